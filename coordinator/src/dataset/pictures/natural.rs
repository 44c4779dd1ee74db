//! The natural order of names: numbers by their value, letters without regard to case.
//!
//! `2.png` comes before `10.png`, and `a` before `B`. Only ASCII letters have two cases here, so the order
//! does not depend on a version of Unicode. Names that differ only in case or in leading zeros follow each
//! other by their bytes, so the order of different names is always decided.

use std::cmp::Ordering;

/// Compares two names, given as bytes.
pub(super) fn compare(one: &[u8], other: &[u8]) -> Ordering {
    let mut left = one;
    let mut right = other;
    loop {
        let order = match (left, right) {
            ([], []) => return one.cmp(other),
            ([a, ..], [b, ..]) if a.is_ascii_digit() && b.is_ascii_digit() => {
                let a = take_number(&mut left);
                let b = take_number(&mut right);
                a.len().cmp(&b.len()).then(a.cmp(b))
            }
            ([a, rest_of_left @ ..], [b, rest_of_right @ ..]) => {
                left = rest_of_left;
                right = rest_of_right;
                a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase())
            }
            _ => left.len().cmp(&right.len()),
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// The digits at the beginning of `name` without leading zeros, which are taken from it.
fn take_number<'a>(name: &mut &'a [u8]) -> &'a [u8] {
    let digits = name.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = name.split_at(digits);
    *name = rest;
    let zeros = number.iter().take_while(|&&digit| digit == b'0').count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_count_by_value_and_letters_without_case() {
        let sorted = ["", "0", "2", "02", "10", "99999999999999999999999", "a", "a1b2", "a1b10", "B", "ä"];
        let mut names = sorted;
        names.reverse();
        names.sort_by(|one, other| compare(one.as_bytes(), other.as_bytes()));
        // The bytes decide where the value is the same.
        assert_eq!(names[2..4], ["02", "2"]);
        names.swap(2, 3);
        assert_eq!(names, sorted);
        assert_eq!(compare(b"A", b"a"), Ordering::Less);
    }

    proptest! {
        #[test]
        fn the_order_is_total(names in proptest::collection::vec("[a-bA-B0-2._]{0,5}", 3)) {
            let order = |i: usize, j: usize| compare(names[i].as_bytes(), names[j].as_bytes());
            prop_assert_eq!(order(0, 1), order(1, 0).reverse());
            prop_assert_eq!(order(0, 1).is_eq(), names[0] == names[1]);
            if order(0, 1).is_le() && order(1, 2).is_le() {
                prop_assert!(order(0, 2).is_le());
            }
        }
    }
}
