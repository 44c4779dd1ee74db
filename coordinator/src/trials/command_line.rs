//! The options of a trial: the command line with the trial's settings, parsed as any other.
//!
//! The command line and the environment go before what is fixed for all trials. What a trial sets is a flag
//! of the training, and in neither of them.

use super::settings::Settings;
use crate::cli::Flags;
use crate::single_run::Options;
use crate::training_flags::TrainingFlags;
use clap::{Args, Command};
use host::args::{Given, try_parse};
use std::collections::BTreeSet;
use std::ffi::OsString;
use toml::Value;

/// Flags of the program rather than of a run; they belong on the command line.
const OF_THE_PROGRAM: [&str; 8] =
    ["sweep", "ask-tell", "dry-run", "log-format", "progress", "stopped-exit-code", "trace", "config"];

/// A command line to which trials add settings.
pub(crate) struct CommandLine {
    given: Given,
    args: Vec<OsString>,
    /// Flags that change what a training comes to.
    of_training: BTreeSet<String>,
}

impl CommandLine {
    /// The command line `args`, the first of which is the program's name.
    ///
    /// # Errors
    /// When it is invalid.
    pub(crate) fn new(args: Vec<OsString>) -> Result<Self, String> {
        let given = Given::by::<Flags>(&args).map_err(|error| first_words(&error.to_string()))?;
        let command = TrainingFlags::augment_args(Command::new("trial"));
        let of_training = command.get_arguments().filter_map(|arg| arg.get_long()).map(str::to_owned);
        Ok(Self { given, args, of_training: of_training.collect() })
    }

    /// Sets a flag for all trials, unless the command line or the environment does.
    ///
    /// # Errors
    /// When there is no such flag, or it is none of a run.
    pub(crate) fn fix(&mut self, key: &str, value: &Value) -> Result<(), String> {
        if OF_THE_PROGRAM.contains(&key) {
            return Err(format!("{key}: it is a flag of the program; set it on the command line"));
        }
        if !self.given.sets(key).map_err(|error| format!("{error:#}"))? {
            let argument = self.given.argument(key, value).map_err(|error| format!("{error:#}"))?;
            self.args.extend(argument);
        }
        Ok(())
    }

    /// Checks that a trial may set the flag.
    ///
    /// # Errors
    /// When it is set for all trials, or is no flag of a training.
    pub(crate) fn check_free(&self, key: &str) -> Result<(), String> {
        if self.given.sets(key).map_err(|error| format!("{error:#}"))? {
            return Err(format!(
                "{key}: the command line or the environment sets it; leave it out there, or here"
            ));
        }
        if !self.of_training.contains(key) {
            return Err(format!("{key}: it changes no bit of a training; set it for all trials at once"));
        }
        Ok(())
    }

    /// The options of a trial with these settings.
    ///
    /// # Errors
    /// When a value is none of its flag, or flags contradict each other.
    pub(crate) fn options(&self, settings: &Settings) -> Result<Options, String> {
        self.flags(settings)?.options().map_err(|error| first_words(&error.to_string()))
    }

    /// The flags of a trial with these settings. Whether they fit each other is not asked.
    ///
    /// # Errors
    /// When a value is none of its flag.
    pub(crate) fn flags(&self, settings: &Settings) -> Result<Flags, String> {
        let mut args = self.args.clone();
        for (key, value) in settings {
            args.extend(self.given.argument(key, value).map_err(|error| format!("{error:#}"))?);
        }
        try_parse::<Flags>(args).map_err(|error| first_words(&format!("{error:#}")))
    }
}

/// What an error says, without the hints on how to use the program.
pub(crate) fn first_words(error: &str) -> String {
    let end = error.find("\n\n").unwrap_or(error.len());
    error[..end].trim_start_matches("error: ").to_owned()
}
