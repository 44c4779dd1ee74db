//! The settings of a trial: flags with values, and their text.

use host::printable;
use std::collections::BTreeMap;
use toml::Value;

/// Values of flags, by the flags' long names.
pub(crate) type Settings = BTreeMap<String, Value>;

/// A value as a person would write it after the flag.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text).into_owned(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(","),
        // Without the zeros of very large and very small ones.
        Value::Float(value) => format!("{value:?}"),
        value => printable(&value.to_string()).into_owned(),
    }
}

/// All settings on a line.
pub(crate) fn line(settings: &Settings) -> String {
    let setting = |(key, value): (&String, &Value)| {
        let value = text(value);
        if value.contains(' ') { format!("{key}=\"{value}\"") } else { format!("{key}={value}") }
    };
    settings.iter().map(setting).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_quotes_what_has_spaces() {
        let settings = Settings::from([
            ("augment".to_owned(), Value::String("crop(1) flip(0.5)".to_owned())),
            ("hidden".to_owned(), Value::Array(vec![Value::Integer(64), Value::Integer(32)])),
            ("lr".to_owned(), Value::Float(0.001)),
        ]);
        assert_eq!(line(&settings), "augment=\"crop(1) flip(0.5)\" hidden=64,32 lr=0.001");
    }
}
