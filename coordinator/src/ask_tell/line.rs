//! The lines of the protocol, one object of JSON each: what the program outside tells, and what it is told.
//!
//! 1. What it tells is `{"trial": 1, "flags": {"lr": 0.01}}` or `{"trial": 1, "stop": true}`.
//! 2. What it is told of a trial has its number. After `done` or `error` no more comes of it.
//! 3. A line that changes nothing is answered with `refused`, and its number.

use common::event::Evaluation;
use common::train::average::Weights;
use host::printable;
use serde::{Deserialize, Serialize};
use toml::Value;

use crate::trials::settings::Settings;

/// Longest line that is read, in bytes: many times what all flags need.
pub(super) const LINE_BYTES_MAX: usize = 1 << 16;

/// What the program outside wants.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wish {
    /// A trial is to begin, or to go on.
    Begin { trial: u32, settings: Settings },
    /// A trial is to end, with a checkpoint.
    Stop { trial: u32 },
}

/// A line as it comes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    trial: u32,
    flags: Option<Flags>,
    stop: Option<bool>,
}

/// Flags by name, each of them once.
struct Flags(Settings);

impl<'de> Deserialize<'de> for Flags {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> serde::de::Visitor<'de> for Each {
            type Value = Flags;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of flags")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Flags, A::Error> {
                let mut settings = Settings::new();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    if settings.insert(key.clone(), value).is_some() {
                        let problem = format!("the flag {} is there twice", printable(&key));
                        return Err(serde::de::Error::custom(problem));
                    }
                }
                Ok(Flags(settings))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

impl Wish {
    /// What a line asks for.
    ///
    /// # Errors
    /// When it is not of the protocol: what is wrong, and what to write.
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        let form = r#"a line is {"trial": 1, "flags": {"lr": 0.01}} or {"trial": 1, "stop": true}"#;
        if !line.starts_with('{') {
            // A list of the values would be taken for the object.
            return Err(format!("it is no object of JSON; {form}"));
        }
        let told: Told = serde_json::from_str(line).map_err(|error| format!("{error}; {form}"))?;
        match told {
            Told { trial, flags: Some(Flags(settings)), stop: None | Some(false) } => {
                Ok(Self::Begin { trial, settings })
            }
            Told { trial, flags: None, stop: Some(true) } => Ok(Self::Stop { trial }),
            Told { trial, flags: Some(_), .. } => {
                Err(format!("trial {trial} has flags and is to stop; {form}"))
            }
            Told { trial, .. } => Err(format!("there is nothing that trial {trial} is to do; {form}")),
        }
    }
}

/// What the program outside is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Answer {
    /// A version of a trial's weights was validated after an epoch.
    Epoch {
        trial: u32,
        /// Whole epochs that are done.
        epoch: u64,
        /// The version, where it is not the one that is trained.
        #[serde(skip_serializing_if = "Weights::are_last")]
        weights: Weights,
        validation_accuracy: f64,
        validation_loss: f64,
    },
    /// A trial has ended.
    Done(Done),
    /// A trial did not begin, or has failed.
    Error {
        trial: u32,
        error: String,
        /// Whether its settings are to blame: the numbers are not finite any more.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        diverged: bool,
    },
    /// A line changes nothing.
    Refused {
        /// Its number, the first is 1.
        line: u64,
        refused: String,
    },
}

/// What a trial came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Done {
    pub(super) trial: u32,
    pub(super) done: How,
    pub(super) steps: u64,
    /// After the last epoch, if it has come to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) validation_accuracy: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) validation_loss: Option<f64>,
    /// Folder of its last checkpoint.
    pub(super) checkpoint: String,
    pub(super) model_sha256: String,
}

/// How a trial ended that has not failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum How {
    /// It has come to its last epoch, or to where its patience ends.
    Complete,
    /// It was asked to stop, and can go on later.
    Stopped,
}

impl Answer {
    /// What is told of a validation.
    pub(super) fn of(trial: u32, validation: &Evaluation) -> Self {
        let Evaluation { epoch, weights, accuracy, loss, .. } = *validation;
        Self::Epoch {
            trial,
            epoch: epoch.0 + 1,
            weights,
            validation_accuracy: accuracy,
            validation_loss: loss,
        }
    }

    /// The line, with its end.
    pub(super) fn to_line(&self) -> Vec<u8> {
        // It has no keys that are no texts, which is all that could fail.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_begins_a_trial_or_stops_it() {
        let line =
            r#"{"trial": 7, "flags": {"lr": 0.01, "augment": "digits", "hidden": [8, 4], "nesterov": true}}"#;
        let settings = Settings::from([
            ("lr".to_owned(), Value::Float(0.01)),
            ("augment".to_owned(), Value::String("digits".to_owned())),
            ("hidden".to_owned(), Value::Array(vec![Value::Integer(8), Value::Integer(4)])),
            ("nesterov".to_owned(), Value::Boolean(true)),
        ]);
        assert_eq!(Wish::parse(line), Ok(Wish::Begin { trial: 7, settings }));
        let plain = Wish::Begin { trial: 0, settings: Settings::new() };
        assert_eq!(Wish::parse("{\"flags\":{},\"trial\":0}\r"), Ok(plain));
        assert_eq!(Wish::parse(r#"{"trial":7,"stop":true}"#), Ok(Wish::Stop { trial: 7 }));
    }

    #[test]
    fn what_is_no_line_of_the_protocol_is_refused_with_the_form() {
        let deep = format!("{{\"trial\":1,\"flags\":{{\"lr\":{}", "[".repeat(60_000));
        for (line, named) in [
            ("", "no object"),
            ("hello", "no object"),
            ("[1, {}, null]", "no object"),
            ("{", "EOF"),
            ("{}", "missing field `trial`"),
            (r#"{"trial": -1, "flags": {}}"#, "invalid value"),
            (r#"{"trial": 4294967296, "flags": {}}"#, "invalid value"),
            (r#"{"trial": 1.5, "flags": {}}"#, "invalid type"),
            (r#"{"trial": "1", "flags": {}}"#, "invalid type"),
            (r#"{"trial": 1, "trial": 2, "flags": {}}"#, "duplicate field"),
            (r#"{"trial": 1, "flags": {"lr": 1, "lr": 2}}"#, "the flag lr is there twice"),
            (r#"{"trial": 1, "flags": {"lr": null}}"#, "null"),
            (r#"{"trial": 1, "flags": {"lr": 18446744073709551615}}"#, "lr"),
            (r#"{"trial": 1, "flags": [1]}"#, "invalid type"),
            (r#"{"trial": 1, "flags": {}, "speed": 3}"#, "unknown field `speed`"),
            (r#"{"trial": 1}"#, "nothing that trial 1 is to do"),
            (r#"{"trial": 1, "stop": false}"#, "nothing that trial 1 is to do"),
            (r#"{"trial": 1, "flags": {}, "stop": true}"#, "has flags and is to stop"),
            (r#"{"trial": 1, "stop": true} {"trial": 2, "stop": true}"#, "trailing characters"),
            (&deep, "recursion limit"),
        ] {
            let shown: String = line.chars().take(60).collect();
            let problem = Wish::parse(line).expect_err(&shown);
            assert!(problem.contains(named), "{shown}: {problem}");
            assert!(problem.contains(r#"a line is {"trial": 1, "#), "{problem}");
        }
    }

    #[test]
    fn what_is_told_is_a_line_of_json() {
        let text = |answer: Answer| String::from_utf8(answer.to_line()).unwrap();
        let refused = Answer::Refused { line: 3, refused: "no\n\u{1b}[31m".to_owned() };
        assert_eq!(text(refused), "{\"line\":3,\"refused\":\"no\\n\\u001b[31m\"}\n");
        let error = |diverged| Answer::Error { trial: 1, error: "why".to_owned(), diverged };
        assert_eq!(text(error(false)), "{\"trial\":1,\"error\":\"why\"}\n");
        assert_eq!(text(error(true)), "{\"trial\":1,\"error\":\"why\",\"diverged\":true}\n");
        let stopped = Done {
            trial: 2,
            done: How::Stopped,
            steps: 9,
            validation_accuracy: None,
            validation_loss: None,
            checkpoint: "a".to_owned(),
            model_sha256: "b".to_owned(),
        };
        assert_eq!(
            text(Answer::Done(stopped)),
            "{\"trial\":2,\"done\":\"stopped\",\"steps\":9,\"checkpoint\":\"a\",\"model_sha256\":\"b\"}\n"
        );
    }
}
