//! Flags from four places: the command line, else the environment, else a TOML file, else the default.
//!
//! A file's keys are the flags' long names. It is read only where the first two are silent, by parsing the command
//! line twice: once to see what is set, once with the file's values behind it.

use crate::files::{Links, read_regular};
use crate::{printable, printable_lines};
use anyhow::{Context, bail};
use clap::parser::ValueSource;
use clap::{ArgAction, CommandFactory, FromArgMatches};
use std::ffi::OsString;
use std::path::PathBuf;

/// The flag (and its environment twin) that names the file.
const CONFIG: &str = "config";
/// Largest file of flags: a thousand times what all of them need.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Parses the program's flags; ends the program with code 2 (or 0 for `--help`) when they can't be used.
#[must_use]
pub fn parse<P: CommandFactory + FromArgMatches>() -> P {
    match try_parse(std::env::args_os().collect()) {
        Ok(parsed) => parsed,
        Err(error) => match error.downcast::<clap::Error>() {
            Ok(error) => error.exit(),
            Err(error) => {
                let message = format!("{error:#}");
                P::command().error(clap::error::ErrorKind::Io, printable_lines(&message)).exit()
            }
        },
    }
}

/// Parses these arguments, the first of which is the program's name.
///
/// # Errors
/// A [`clap::Error`] for bad flags or a request for help; another for a file that can't be used.
pub fn try_parse<P: CommandFactory + FromArgMatches>(mut args: Vec<OsString>) -> anyhow::Result<P> {
    let command = P::command();
    let matches = command.clone().try_get_matches_from(&args)?;
    if let Some(path) = matches.get_one::<PathBuf>(CONFIG) {
        let from = || format!("--config {}", path.display());
        let bytes = read_regular(path, FILE_BYTES_MAX, Links::Followed).with_context(from)?;
        let text = String::from_utf8(bytes).with_context(from)?;
        let table: toml::Table =
            text.parse().map_err(|error| anyhow::anyhow!("--config {}: {error}", path.display()))?;
        for (key, value) in &table {
            let known = command.get_arguments().find(|arg| arg.get_long() == Some(key) && key != CONFIG);
            let Some(arg) = known else { bail!("--config {}: there is no flag --{key}", path.display()) };
            let set = matches.value_source(arg.get_id().as_str());
            if matches!(set, Some(ValueSource::CommandLine | ValueSource::EnvVariable)) {
                continue;
            }
            let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
            let argument = to_argument(key, value, is_switch);
            args.extend(argument.with_context(|| format!("--config {}: {key}", path.display()))?);
        }
    }
    Ok(P::from_arg_matches(&command.try_get_matches_from(args)?)?)
}

/// One `key = value` as an argument; none for a switch that is off.
fn to_argument(key: &str, value: &toml::Value, is_switch: bool) -> anyhow::Result<Option<OsString>> {
    let scalar = |value: &toml::Value| match value {
        // It would be shown, by this program or by the next one that gets it.
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
