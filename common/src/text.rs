//! Text form of a choice with settings: `name`, `name(value,...)` or `name(key=value,...)`.
//!
//! Layers, optimizers and schedules are written and parsed in this form, so that a checkpoint can be read
//! back. The caller decides what a name or a key means.

use std::str::FromStr;

/// Length of the longest text that is parsed, in bytes.
pub const TEXT_BYTES_MAX: usize = 1 << 16;

/// A name with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// Name before the parenthesis.
    pub name: &'a str,
    /// Settings between the parentheses, in order, trimmed.
    pub arguments: Vec<Argument<'a>>,
}

/// A setting, with or without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument<'a> {
    /// Text before `=`, if there is one.
    pub key: Option<&'a str>,
    /// Text after `=`, or all of it.
    pub value: &'a str,
}

/// Reason why a text is not a valid choice with settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum TextError {
    /// Parentheses do not match, or text follows the last one.
    #[error("{0:?} is not NAME or NAME(VALUE,...)")]
    Form(String),
    /// A setting does not exist, comes twice, or is missing.
    #[error("{name} takes {expected}")]
    Settings { name: String, expected: String },
    /// A value does not have the type of its setting.
    #[error("{value:?} is not a value for {what}")]
    Value { what: String, value: String },
    /// The name is not known.
    #[error("{got:?} is not known; there are {known}")]
    Unknown { got: String, known: String },
}

impl<'a> Call<'a> {
    /// Parses a choice with its settings.
    ///
    /// # Errors
    /// When the text has another form.
    pub fn parse(text: &'a str) -> Result<Self, TextError> {
        let form = || TextError::Form(shortened(text));
        let text = text.trim();
        let (name, inside) = match text.split_once('(') {
            None => (text, None),
            Some((name, rest)) => (name.trim_end(), Some(rest.strip_suffix(')').ok_or_else(form)?)),
        };
        let is_word = |word: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || ['_', '-', '.', '*'].contains(&c);
            !word.is_empty() && word.chars().all(fits)
        };
        if !is_word(name) || inside.is_some_and(|inside| inside.contains(['(', ')'])) {
            return Err(form());
        }
        let argument = |text: &'a str| match text.split_once('=') {
            None => Argument { key: None, value: text.trim() },
            Some((key, value)) => Argument { key: Some(key.trim()), value: value.trim() },
        };
        let arguments = match inside {
            None => Vec::new(),
            Some(inside) => inside.split(',').map(argument).collect(),
        };
        Ok(Self { name, arguments })
    }

    /// Values of settings without keys.
    ///
    /// # Errors
    /// When a setting has a key, or is not of this type.
    pub fn positional<T: FromStr>(&self) -> Result<Vec<T>, TextError> {
        let value = |argument: &Argument<'_>| match argument.key {
            None => parsed(self.name, argument.value),
            Some(_) => Err(self.settings("values without keys")),
        };
        self.arguments.iter().map(value).collect()
    }

    /// Texts of the settings without keys, and of those with these keys, each at most once and behind the
    /// ones without.
    ///
    /// # Errors
    /// When a setting has another key or place; `expected` says what is taken.
    pub fn mixed<const N: usize>(
        &self,
        keys: [&str; N],
        expected: &str,
    ) -> Result<(Vec<&'a str>, [Option<&'a str>; N]), TextError> {
        let mut plain = Vec::new();
        let mut with_key = [None; N];
        for Argument { key, value } in &self.arguments {
            let place = key.map(|key| keys.iter().position(|&known| known == key));
            match place {
                None if with_key == [None; N] => plain.push(*value),
                Some(Some(at)) if with_key[at].is_none() => with_key[at] = Some(*value),
                _ => return Err(self.settings(expected)),
            }
        }
        Ok((plain, with_key))
    }

    /// Checks that the settings have exactly these keys, in any order. `keys` are those that
    /// [`key`](Self::key) is asked for.
    ///
    /// # Errors
    /// When a key is missing, unknown or there twice.
    pub fn expect_keys(&self, keys: &[&str]) -> Result<(), TextError> {
        let mut own: Vec<&str> = self.arguments.iter().filter_map(|argument| argument.key).collect();
        let mut expected = keys.to_vec();
        own.sort_unstable();
        expected.sort_unstable();
        let complete = own == expected && own.len() == self.arguments.len();
        if complete { Ok(()) } else { Err(self.settings(&keys.join(", "))) }
    }

    /// Value of the setting with that key.
    ///
    /// # Errors
    /// When there is none, or it is not of this type.
    pub fn key<T: FromStr>(&self, key: &str) -> Result<T, TextError> {
        let of_key = self.arguments.iter().find(|argument| argument.key == Some(key));
        of_key.map_or_else(|| Err(self.settings(key)), |argument| parsed(key, argument.value))
    }

    /// The error for settings that this choice does not take.
    #[must_use]
    pub fn settings(&self, expected: &str) -> TextError {
        let expected = if expected.is_empty() { "no settings" } else { expected };
        TextError::Settings { name: shortened(self.name), expected: expected.to_owned() }
    }
}

/// The value of a setting.
///
/// # Errors
/// When the text is not of this type.
pub fn parsed<T: FromStr>(what: &str, value: &str) -> Result<T, TextError> {
    value.parse().map_err(|_| TextError::Value { what: shortened(what), value: shortened(value) })
}

/// The beginning of a text of any length, for an error message.
#[must_use]
pub fn shortened(text: &str) -> String {
    const CHARACTERS: usize = 60;
    let mut short: String = text.chars().take(CHARACTERS).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}

/// Splits a text into words, at spaces that are not inside parentheses.
#[must_use]
pub fn words(text: &str) -> Vec<&str> {
    let mut depth = 0usize;
    let between = move |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && c.is_whitespace()
    };
    text.split(between).filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_values_and_keys_are_taken_apart() {
        assert_eq!(Call::parse(" relu ").unwrap(), Call { name: "relu", arguments: vec![] });
        assert_eq!(Call::parse("conv( 32, 3 )").unwrap().positional::<usize>().unwrap(), [32, 3]);
        let call = Call::parse("adam(beta1=0.9, eps = 1e-8)").unwrap();
        assert_eq!((call.key::<f64>("beta1").unwrap(), call.key::<f64>("eps").unwrap()), (0.9, 1e-8));
        assert!(call.expect_keys(&["eps", "beta1"]).is_ok());
        assert!(call.expect_keys(&["eps"]).is_err() && call.expect_keys(&["eps", "beta1", "x"]).is_err());
        for bad in ["", "(", "a(", "a)", "a(b)c", "a((b))", "a b", "a(1))"] {
            assert!(Call::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn values_stand_before_keys_and_keys_stand_once() {
        let mixed = |text| Call::parse(text).unwrap().mixed(["a", "b"], "");
        assert_eq!(mixed("f(1,2,b=3)"), Ok((vec!["1", "2"], [None, Some("3")])));
        assert_eq!(mixed("f(b=3,a=4)"), Ok((vec![], [Some("4"), Some("3")])));
        for bad in ["f(a=1,2)", "f(a=1,a=1)", "f(c=1)"] {
            assert!(mixed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn words_stay_whole_between_parentheses() {
        assert_eq!(words(" conv(32, 3)  relu\nflatten"), ["conv(32, 3)", "relu", "flatten"]);
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart_or_refused(text in "\\PC{0,60}") {
            let _ = words(&text).into_iter().map(Call::parse).count();
        }
    }
}
