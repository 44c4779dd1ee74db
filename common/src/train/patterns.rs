//! Patterns that choose tensors by name, separated by spaces or commas: `fc2.* *.bias`. A `*` stands for any
//! characters.

use crate::text::{TextError, shortened};
use std::fmt;
use std::str::FromStr;

/// Most patterns in a list.
const PATTERNS_MAX: usize = 64;

/// A list of patterns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns(Vec<String>);

impl Patterns {
    /// Whether there is no pattern.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The patterns in their order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether one of them matches the name.
    #[must_use]
    pub fn choose(&self, name: &str) -> bool {
        self.iter().any(|pattern| matches(pattern, name))
    }
}

/// Whether `pattern` matches all of `name`.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

impl FromStr for Patterns {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let words = text.split([' ', ',']).filter(|word| !word.is_empty());
        let is_pattern =
            |word: &str| word.chars().all(|c| c.is_ascii_alphanumeric() || ['_', '.', '*'].contains(&c));
        let mut patterns = Vec::new();
        for word in words {
            if !is_pattern(word) || patterns.len() == PATTERNS_MAX {
                let what = format!("one of at most {PATTERNS_MAX} patterns, such as fc2.*");
                return Err(TextError::Value { what, value: shortened(word) });
            }
            patterns.push(word.to_owned());
        }
        if patterns.is_empty() {
            return Err(TextError::Value {
                what: "patterns, such as fc2.*".to_owned(),
                value: String::new(),
            });
        }
        Ok(Self(patterns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, is_match) in [
            ("fc1.weight", "fc1.weight", true),
            ("fc1", "fc1.weight", false),
            ("fc1*", "fc1.weight", true),
            ("*.bias", "conv1.bias", true),
            ("*.bias", "conv1.biases", false),
            ("c*1*t", "conv1.weight", true),
            ("*", "anything", true),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches(pattern, name), is_match, "{pattern} and {name}");
        }
    }

    #[test]
    fn a_list_has_spaces_or_commas_and_nothing_odd() {
        let list: Patterns = " fc2.*  conv1.bias,bn*".parse().unwrap();
        assert_eq!(list.to_string(), "fc2.* conv1.bias bn*");
        assert!(list.choose("bn3.weight") && list.choose("fc2.bias") && !list.choose("conv1.weight"));
        for bad in ["", " ,", "fc(1)", "fc-1", "a\u{1b}", &"a ".repeat(PATTERNS_MAX + 1)] {
            assert!(bad.parse::<Patterns>().is_err(), "{bad:?}");
        }
    }
}
