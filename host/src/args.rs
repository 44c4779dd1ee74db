//! Flags from four sources, in this order: the command line, the environment, a TOML file, the default.
//!
//! A file's keys are the flags' long names. The command line is parsed twice: once to see which flags are
//! set, and once with the file's values for those that are not.
//!
//! 1. Of a flag that is given twice the last one counts, so that a wrapper script can set defaults.
//! 2. An empty environment variable counts as unset.
//! 3. The variable of a switch takes 1, true, yes and on, or 0, false, no and off.

use crate::files::{Links, read_regular};
use crate::logging::LogFormat;
use crate::trace::{self, Begin};
use crate::{printable, printable_lines, write_to_stderr};
use anyhow::{Context, bail};
use clap::builder::{BoolishValueParser, Resettable};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, CommandFactory, FromArgMatches};
use std::ffi::OsString;
use std::path::PathBuf;
use tracing::Level;

/// The flag, and environment variable, that names the file.
const CONFIG: &str = "config";
/// Environment variable of `--log-format`.
const LOG_FORMAT: &str = "LOCKSTEP_LOG_FORMAT";
/// Largest file of flags, in bytes: a thousand times what all flags need.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The flags that every program has. `--trace` gets its help from the program.
#[derive(Clone, Debug, Args)]
pub struct SharedFlags {
    #[arg(long, value_name = "FILE", env = "LOCKSTEP_TRACE")]
    #[allow(missing_docs, reason = "a comment would be its help")]
    pub trace: Option<PathBuf>,
    /// Log format on standard error; RUST_LOG sets the filter
    #[arg(long, env = LOG_FORMAT, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// TOML file with values for these flags
    #[arg(long, value_name = "FILE", env = "LOCKSTEP_CONFIG")]
    pub config: Option<PathBuf>,
}

impl SharedFlags {
    /// Checks that the trace that was asked for can be written, and leaves its file as it is.
    ///
    /// # Errors
    /// When it can't.
    pub fn check_trace(&self) -> anyhow::Result<()> {
        let Some(path) = &self.trace else { return Ok(()) };
        trace::check(path).map_err(|error| anyhow::anyhow!("--trace {}: {error}", path.display()))
    }

    /// Starts the trace that was asked for, if any, of the program with this name.
    ///
    /// # Errors
    /// When its file can't be used.
    pub fn start_trace(&self, program: &str, begin: Begin) -> anyhow::Result<()> {
        let Some(path) = &self.trace else { return Ok(()) };
        let started = trace::start(path, program, begin);
        started.map_err(|error| anyhow::anyhow!("--trace {}: {error}", path.display()))
    }
}

/// Parses the program's flags. Ends the program if they are invalid (code 2) or help is asked for (code 0).
#[must_use]
pub fn parse<P: CommandFactory + FromArgMatches>() -> P {
    let args: Vec<OsString> = std::env::args_os().collect();
    let format = wanted_format(&args);
    match try_parse(args) {
        Ok(parsed) => parsed,
        Err(error) => match error.downcast::<clap::Error>() {
            Ok(error) => exit(&error, format),
            Err(error) => {
                let message = format!("{error:#}");
                exit(&P::command().error(ErrorKind::Io, printable_lines(&message)), format)
            }
        },
    }
}

/// Ends the program with a message about its flags and code 2, or with its help and code 0.
pub fn exit(error: &clap::Error, format: LogFormat) -> ! {
    if format == LogFormat::Json && error.use_stderr() {
        let message = error.render().to_string();
        let line = format.lines(Level::ERROR, "flags", message.trim_end());
        write_to_stderr(&line);
        std::process::exit(error.exit_code());
    }
    error.exit()
}

/// The log format that a command line asks for that may not be valid as a whole.
fn wanted_format(args: &[OsString]) -> LogFormat {
    let texts = || args.iter().map(|arg| arg.to_string_lossy());
    let after =
        texts().zip(texts().skip(1)).filter(|(flag, _)| flag == "--log-format").map(|(_, value)| value);
    let joined =
        texts().filter_map(|arg| arg.strip_prefix("--log-format=").map(|value| value.to_owned().into()));
    let flag = after.chain(joined).last();
    let value = flag.map(|value| value.into_owned()).or_else(|| std::env::var(LOG_FORMAT).ok());
    if value.as_deref() == Some("json") { LogFormat::Json } else { LogFormat::Text }
}

/// Parses `args`, the first of which is the program's name.
///
/// # Errors
/// A [`clap::Error`] for invalid flags or a request for help; another error for a file that can't be used.
pub fn try_parse<P: CommandFactory + FromArgMatches>(mut args: Vec<OsString>) -> anyhow::Result<P> {
    Ok(P::from_arg_matches(&all_matches::<P>(&mut args)?.1)?)
}

/// The flags of a command line with their values, as a file of flags has them: those of the command line, the
/// environment, the file that it names, and defaults. A switch that is off is left out.
///
/// # Errors
/// As for [`try_parse`], and when a value is no UTF-8.
pub fn settings<P: CommandFactory>(mut args: Vec<OsString>) -> anyhow::Result<toml::Table> {
    let (command, matches) = all_matches::<P>(&mut args)?;
    let mut settings = toml::Table::new();
    for arg in command.get_arguments() {
        let (Some(flag), id) = (arg.get_long(), arg.get_id().as_str()) else { continue };
        if flag == CONFIG {
            continue;
        }
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            if matches.get_flag(id) {
                settings.insert(flag.to_owned(), true.into());
            }
            continue;
        }
        let Ok(Some(values)) = matches.try_get_raw(id) else { continue };
        let values = values.map(|value| value.to_str().with_context(|| format!("--{flag} is no UTF-8")));
        let value = values.collect::<anyhow::Result<Vec<_>>>()?.join(",");
        settings.insert(flag.to_owned(), to_value(value));
    }
    Ok(settings)
}

/// A number where the text is one in its only form, else the text.
fn to_value(text: String) -> toml::Value {
    match text.parse::<i64>() {
        Ok(number) if number.to_string() == text => number.into(),
        _ => text.into(),
    }
}

/// The command, and what is set by the command line, the environment, the file that it names, and defaults.
fn all_matches<P: CommandFactory>(args: &mut Vec<OsString>) -> anyhow::Result<(Command, ArgMatches)> {
    let given = Given::by::<P>(args)?;
    if let Some(path) = given.matches.get_one::<PathBuf>(CONFIG) {
        let from = || format!("--config {}", path.display());
        let bytes = read_regular(path, FILE_BYTES_MAX, Links::Followed).with_context(from)?;
        let text = String::from_utf8(bytes).with_context(from)?;
        let table: toml::Table =
            text.parse().map_err(|error| anyhow::anyhow!("--config {}: {error}", path.display()))?;
        for (key, value) in &table {
            if !given.sets(key).with_context(from)? {
                args.extend(given.argument(key, value).with_context(from)?);
            }
        }
    }
    let matches = given.command.clone().try_get_matches_from(args.iter())?;
    Ok((given.command, matches))
}

/// A valid command line of a program, to which values for flags can be added.
#[derive(Debug)]
pub struct Given {
    command: Command,
    matches: ArgMatches,
}

impl Given {
    /// The command line `args`, the first of which is the program's name.
    ///
    /// # Errors
    /// When it is invalid, or asks for help.
    pub fn by<P: CommandFactory>(args: &[OsString]) -> Result<Self, clap::Error> {
        let command = lenient(P::command());
        let matches = command.clone().try_get_matches_from(args)?;
        Ok(Self { command, matches })
    }

    /// Whether the flag of that long name is set by the command line or the environment.
    ///
    /// # Errors
    /// When no file may set it, because there is no such flag.
    pub fn sets(&self, key: &str) -> anyhow::Result<bool> {
        let set = self.matches.value_source(self.flag(key)?.get_id().as_str());
        Ok(matches!(set, Some(ValueSource::CommandLine | ValueSource::EnvVariable)))
    }

    /// A file's `key = value` as an argument; none for a switch that is off.
    ///
    /// # Errors
    /// When there is no such flag, or it is no value of a flag.
    pub fn argument(&self, key: &str, value: &toml::Value) -> anyhow::Result<Option<OsString>> {
        let is_switch = matches!(self.flag(key)?.get_action(), ArgAction::SetTrue);
        to_argument(key, value, is_switch).with_context(|| key.to_owned())
    }

    fn flag(&self, key: &str) -> anyhow::Result<&Arg> {
        let known = self.command.get_arguments().find(|arg| arg.get_long() == Some(key) && key != CONFIG);
        known.with_context(|| format!("there is no flag --{}", printable(key)))
    }
}

/// The command with the rules for repeated flags, empty variables and switches.
fn lenient(command: Command) -> Command {
    command.args_override_self(true).mut_args(|arg| {
        let arg = match arg.get_action() {
            ArgAction::SetTrue => arg.value_parser(BoolishValueParser::new()),
            // A list is one value with commas.
            ArgAction::Append => arg.action(ArgAction::Set),
            _ => arg,
        };
        if is_set_to_nothing(&arg) { arg.env(Resettable::Reset) } else { arg }
    })
}

fn is_set_to_nothing(arg: &Arg) -> bool {
    arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty())
}

/// One `key = value` as an argument; none for a switch that is off.
fn to_argument(key: &str, value: &toml::Value, is_switch: bool) -> anyhow::Result<Option<OsString>> {
    let scalar = |value: &toml::Value| match value {
        // The next program that gets the argument, or this one, would show it.
        toml::Value::String(text) if text.contains(char::is_control) => {
            bail!("\"{}\" has control characters", printable(text))
        }
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) => Ok(value.to_string()),
        other => bail!("a {} is not a flag's value", other.type_str()),
    };
    Ok(match value {
        toml::Value::Boolean(on) if is_switch => on.then(|| format!("--{key}").into()),
        toml::Value::Array(items) => {
            let items = items.iter().map(scalar).collect::<anyhow::Result<Vec<_>>>()?;
            Some(format!("--{key}={}", items.join(",")).into())
        }
        value => Some(format!("--{key}={}", scalar(value)?).into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Flags {
        #[arg(long)]
        config: Option<PathBuf>,
        #[arg(long, default_value_t = 1)]
        size: u32,
        #[arg(long, value_delimiter = ',')]
        widths: Vec<u32>,
        #[arg(long)]
        fast: bool,
    }

    fn parse_with(file: &str, flags: &[&str]) -> anyhow::Result<Flags> {
        let name = format!("lockstep-args-{}-{:?}.toml", std::process::id(), std::thread::current().id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, file)?;
        let mut args: Vec<OsString> = vec!["program".into(), "--config".into(), path.clone().into()];
        args.extend(flags.iter().map(OsString::from));
        let parsed = try_parse(args);
        std::fs::remove_file(path)?;
        parsed
    }

    #[test]
    fn a_files_values_stand_where_no_flag_does() {
        let flags = parse_with("size = 7\nwidths = [3, 4]\nfast = true", &[]).unwrap();
        assert_eq!((flags.size, flags.widths, flags.fast), (7, vec![3, 4], true));
        let flags = parse_with("size = 7\nfast = false", &["--size", "9"]).unwrap();
        assert_eq!((flags.size, flags.fast), (9, false));
        assert!(flags.config.is_some());
    }

    #[test]
    fn settings_read_back_from_a_file() {
        let args = ["program", "--size", "9", "--widths", "1,2", "--fast"].map(OsString::from).to_vec();
        let settings = super::settings::<Flags>(args).unwrap();
        assert_eq!(settings.to_string(), "fast = true\nsize = 9\nwidths = \"1,2\"\n");
        let flags = parse_with(&settings.to_string(), &[]).unwrap();
        assert_eq!((flags.size, flags.widths, flags.fast), (9, vec![1, 2], true));
        assert_eq!(super::settings::<Flags>(vec!["program".into()]).unwrap().to_string(), "size = 1\n");
    }

    fn parse_args(flags: &[&str]) -> anyhow::Result<Flags> {
        try_parse(["program"].iter().chain(flags).map(OsString::from).collect())
    }

    #[test]
    fn of_a_flag_that_is_given_twice_the_last_one_counts() {
        let flags =
            parse_args(&["--size", "7", "--fast", "--widths", "1,2", "--fast", "--size=9", "--widths=3"])
                .unwrap();
        assert_eq!((flags.size, flags.fast, flags.widths), (9, true, vec![3]));
    }

    #[test]
    fn unknown_keys_bad_values_and_bad_files_are_named() {
        let message = |file: &str| format!("{:#}", parse_with(file, &[]).unwrap_err());
        assert!(message("speed = 3").contains("no flag --speed"));
        assert!(message("size = \"many\"").contains("invalid value 'many'"));
        assert!(message("size = {a = 1}").contains("a table is not"));
        assert!(message("size = \"\\u001b[31m\"").contains("\"\\u001b[31m\" has control characters"));
        assert!(message("size = ").contains("--config"));
        let missing =
            try_parse::<Flags>(vec!["program".into(), "--config=/no/such.toml".into()]).unwrap_err();
        assert!(format!("{missing:#}").contains("/no/such.toml"));
    }
}
