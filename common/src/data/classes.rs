//! Names of a data set's classes, by label.
//!
//! They are for people: a run's numbers depend on labels alone. So a class that gets another name is still
//! the same run, as long as its label stays. Where classes are folders, a name that sorts elsewhere changes
//! labels, and with them the digest of the data: that is another run.
//!
//! Names may come from anybody's folders and checkpoints. Their number and length are bounded here, and
//! whoever shows one escapes it.

use crate::data::spec::{CLASSES_MAX, DataSpec};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Most characters of a name; a longer one is cut.
pub const NAME_CHARS_MAX: usize = 64;
/// What a name that was cut ends in.
const CUT: &str = "...";

/// The names of all classes, class 0 first.
///
/// As text they are a list in JSON, which reads back:
///
/// ```
/// use common::data::classes::ClassNames;
///
/// let names = ClassNames::new(["cat", "dog"]);
/// assert_eq!((names.get(1), names.to_string().as_str()), ("dog", r#"["cat","dog"]"#));
/// assert_eq!(names.to_string().parse(), Ok(names));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassNames(Arc<[String]>);

/// Why a text is no list of class names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum NamesError {
    /// It is not written as one.
    #[error("names of classes are a list of texts in JSON")]
    Text,
    /// There are too many.
    #[error("there are {0} names; there are at most {CLASSES_MAX} classes")]
    Count(usize),
    /// A name is longer than this program writes one.
    #[error("the name of class {0} has more than {NAME_CHARS_MAX} characters")]
    Length(usize),
}

impl ClassNames {
    /// These names, of which long ones are cut.
    pub fn new<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Self {
        Self(names.into_iter().map(|name| cut(name.as_ref())).collect())
    }

    /// The names of classes that have none: their numbers.
    #[must_use]
    pub fn numbers(classes: usize) -> Self {
        Self((0..classes).map(|class| class.to_string()).collect())
    }

    /// Number of names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Name of a class; empty where there is no such class.
    #[must_use]
    pub fn get(&self, class: usize) -> &str {
        self.0.get(class).map_or("", String::as_str)
    }

    /// Whether each class's name is its number.
    #[must_use]
    pub fn are_numbers(&self) -> bool {
        (0..).zip(&*self.0).all(|(class, name): (usize, _)| *name == class.to_string())
    }

    /// Whether these are the names for samples of that form: one for each class.
    #[must_use]
    pub fn fit(&self, spec: DataSpec) -> bool {
        self.len() == spec.classes()
    }
}

/// The beginning of a name that is too long.
fn cut(name: &str) -> String {
    if name.chars().nth(NAME_CHARS_MAX).is_none() {
        return name.to_owned();
    }
    name.chars().take(NAME_CHARS_MAX - CUT.len()).chain(CUT.chars()).collect()
}

impl fmt::Display for ClassNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(&*self.0).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for ClassNames {
    type Err = NamesError;

    fn from_str(text: &str) -> Result<Self, NamesError> {
        let names: Vec<String> = serde_json::from_str(text).map_err(|_| NamesError::Text)?;
        if names.len() > CLASSES_MAX {
            return Err(NamesError::Count(names.len()));
        }
        match names.iter().position(|name| name.chars().nth(NAME_CHARS_MAX).is_some()) {
            Some(class) => Err(NamesError::Length(class)),
            None => Ok(Self(names.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_bounded_and_those_without_are_numbers() {
        let long = "\u{e9}".repeat(10_000);
        let names = ClassNames::new([long.as_str(), "\u{1b}[2J\n\"", ""]);
        assert_eq!(names.get(0), "\u{e9}".repeat(61) + "...");
        assert_eq!((names.get(1), names.get(2), names.get(3), names.len()), ("\u{1b}[2J\n\"", "", "", 3));
        assert_eq!(names.to_string().parse(), Ok(names.clone()));
        assert!(ClassNames::numbers(11).are_numbers() && !names.are_numbers());
        assert_eq!(ClassNames::numbers(11).get(10), "10");
        assert_eq!(ClassNames::new(["a".repeat(64)]).get(0), "a".repeat(64));
    }

    #[test]
    fn lists_that_are_too_long_are_refused() {
        let many = ClassNames::numbers(CLASSES_MAX + 1).to_string();
        assert_eq!(many.parse::<ClassNames>(), Err(NamesError::Count(1001)));
        let long = format!("[\"a\",\"{}\"]", "b".repeat(65));
        assert_eq!(long.parse::<ClassNames>(), Err(NamesError::Length(1)));
        for text in ["", "a,b", "{}", "[1]", "[\"a\"", "[\"a\"] [\"b\"]"] {
            assert_eq!(text.parse::<ClassNames>(), Err(NamesError::Text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_parsed(names in proptest::collection::vec(any::<String>(), 0..20)) {
            let names = ClassNames::new(names);
            prop_assert_eq!(names.to_string().parse(), Ok(names));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in any::<String>()) {
            let _ = text.parse::<ClassNames>();
        }
    }
}
