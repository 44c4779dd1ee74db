//! Numbers that lie in memory in another order than row-major.

/// The row-major strides of a shape, in elements; `None` where they are too large.
pub(super) fn row_major(shape: &[usize]) -> Option<Vec<usize>> {
    let mut strides = vec![1; shape.len()];
    let mut all = 1usize;
    for (stride, &size) in strides.iter_mut().zip(shape).rev() {
        *stride = all;
        all = all.checked_mul(size.max(1))?;
    }
    Some(strides)
}

/// Whether an array of this shape and these strides covers as many elements as it has, each once: whether it
/// is a row-major array with its dimensions exchanged.
pub(super) fn is_dense(shape: &[usize], strides: &[usize]) -> bool {
    let mut dimensions: Vec<(usize, usize)> =
        strides.iter().copied().zip(shape.iter().copied()).filter(|&(_, size)| size != 1).collect();
    dimensions.sort_unstable();
    let mut expected = Some(1usize);
    shape.len() == strides.len()
        && dimensions.into_iter().all(|(stride, size)| {
            let is_next = expected == Some(stride);
            expected = expected.and_then(|all| all.checked_mul(size));
            is_next
        })
}

/// The elements of a dense array in row-major order.
///
/// # Panics
/// When the array is not dense, or has another number of values.
pub(super) fn in_order(values: Vec<f32>, shape: &[usize], strides: &[usize]) -> Vec<f32> {
    assert!(is_dense(shape, strides) && values.len() == shape.iter().product::<usize>(), "a dense array");
    if row_major(shape).as_deref() == Some(strides) {
        return values;
    }
    places(shape, strides).map(|at| values[at]).collect()
}

/// The reverse of [`in_order`]: the elements as they lie in memory, of values in row-major order.
///
/// # Panics
/// When the array is not dense, or has another number of values.
pub(super) fn out_of_order(values: &[f32], shape: &[usize], strides: &[usize]) -> Vec<f32> {
    assert!(is_dense(shape, strides) && values.len() == shape.iter().product::<usize>(), "a dense array");
    let mut stored = vec![0.0; values.len()];
    for (at, &value) in places(shape, strides).zip(values) {
        stored[at] = value;
    }
    stored
}

/// The place in memory of each element, in row-major order.
fn places(shape: &[usize], strides: &[usize]) -> impl Iterator<Item = usize> {
    let mut index = vec![0; shape.len()];
    let mut at = 0;
    (0..shape.iter().product::<usize>()).map(move |_| {
        let place = at;
        for dimension in (0..shape.len()).rev() {
            index[dimension] += 1;
            at += strides[dimension];
            if index[dimension] < shape[dimension] {
                break;
            }
            at -= strides[dimension] * shape[dimension];
            index[dimension] = 0;
        }
        place
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchanged_dimensions_come_back_in_order() {
        let values: Vec<f32> = (0u8..24).map(f32::from).collect();
        assert_eq!(in_order(values.clone(), &[2, 3, 4], &[12, 4, 1]), values);
        // In memory [3, 4, 2], wanted [2, 3, 4].
        let got = in_order(values.clone(), &[2, 3, 4], &[1, 8, 2]);
        let expected: Vec<f32> =
            (0u8..2).flat_map(|a| (0..12).map(move |bc| f32::from(bc * 2 + a))).collect();
        assert_eq!(got, expected);
        assert_eq!(out_of_order(&got, &[2, 3, 4], &[1, 8, 2]), values);
        assert_eq!(in_order(vec![7.0], &[], &[]), [7.0]);
        assert!(in_order(vec![], &[0, 3], &[3, 1]).is_empty());
    }

    #[test]
    fn views_and_lies_are_not_dense() {
        for (shape, strides, is) in [
            (&[2, 3][..], &[3, 1][..], true),
            (&[2, 3], &[1, 2], true),
            (&[2, 1, 3], &[3, 77, 1], true),
            (&[2, 3], &[4, 1], false),
            (&[2, 3], &[0, 1], false),
            (&[2, 3], &[1], false),
            (&[usize::MAX, usize::MAX, 2], &[1, usize::MAX, 5], false),
        ] {
            assert_eq!(is_dense(shape, strides), is, "{shape:?} {strides:?}");
        }
        assert_eq!(row_major(&[usize::MAX, usize::MAX, 2]), None);
    }
}
