//! The worker's flags.

use crate::addresses::Addresses;
use crate::client::Way;
use crate::driver::Options;
use crate::token::{self, TokenText};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use common::ids::Instance;
use host::args::SharedFlags;
use host::duration::parse_within;
use host::files::{Links, read_regular};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// Largest file with the host's name that is read, in bytes.
const HOST_BYTES_MAX: u64 = 4096;
const TRACE_HELP: &str =
    "File for a Chrome or Perfetto trace; spans are appended to an existing trace, such as the coordinator's";

/// Computes gradients for a coordinator. Needs no data and no disk; may join and leave at any time.
///
/// Every flag can also be set by the environment variable beside it, or by its long name in the --config
/// file. Exit codes: 0 if the run is over, or --idle-exit's time is; 75 if it was told to leave before; 77 if
/// the coordinator refused it for good; 1 on failure, or without a coordinator for longer than --give-up; 2
/// on invalid flags.
#[derive(Clone, Debug, Parser)]
#[command(version = host::version(), about, long_about, mut_arg("trace", |arg| arg.help(TRACE_HELP)))]
pub struct Flags {
    /// Where the coordinator is: HOST:PORT; srv:NAME for a service in DNS; @FILE for a file with addresses,
    /// which may be written later and is read again before each dial; unix:@NAME for a coordinator on this
    /// machine; or several of these, with commas between, which are dialled in turn
    #[arg(long, value_name = "HOST:PORT", env = "LOCKSTEP_CONNECT", value_parser = Addresses::from_str)]
    pub connect: Addresses,
    /// Token of the coordinator (coordinator token list names its tokens), or - to read it from standard
    /// input. Other users of the machine can see a command line; they can't see the environment, or
    /// --token-file
    #[arg(
        long,
        value_name = "TOKEN|-",
        env = "LOCKSTEP_TOKEN",
        hide_env_values = true,
        conflicts_with = "token_file",
        value_parser = TokenText::from_str
    )]
    pub token: Option<TokenText>,
    /// File whose first line is the token
    #[arg(long, value_name = "FILE", env = "LOCKSTEP_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// Number of compute threads [default: all cores]
    #[arg(long, value_name = "N", env = "LOCKSTEP_THREADS", value_parser = threads)]
    pub threads: Option<NonZeroU32>,
    /// Name of this worker in the coordinator's logs, unique among the run's workers [default: host name,
    /// process id and four random digits]
    #[arg(long, env = "LOCKSTEP_NAME", value_parser = name)]
    pub name: Option<String>,
    /// Time without a coordinator after which the worker gives up, in seconds or with a unit (90s, 5m)
    #[arg(long, value_name = "DURATION", env = "LOCKSTEP_GIVE_UP", default_value = "5m", value_parser = give_up)]
    pub give_up: Duration,
    /// Time without work after which the worker leaves, such as 10m: as a spare, as one that is given
    /// nothing, or without a coordinator [default: it stays]
    #[arg(long, value_name = "DURATION", env = "LOCKSTEP_IDLE_EXIT", value_parser = idle_exit)]
    pub idle_exit: Option<Duration>,
    /// Exit code of a worker that was told to leave before the run's end
    #[arg(long, value_name = "CODE", env = "LOCKSTEP_STOPPED_EXIT_CODE", default_value_t = host::STOPPED)]
    pub stopped_exit_code: u8,
    /// Leave when standard input closes, for a parent process that may be killed
    #[arg(long, env = "LOCKSTEP_UNTIL_STDIN_CLOSES")]
    pub until_stdin_closes: bool,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented by its type")]
    pub shared: SharedFlags,
}

impl Flags {
    /// Converts the flags to the driver's options. May read the token.
    ///
    /// # Errors
    /// When the token can't be read, or is none.
    pub fn options(&self) -> Result<Options, clap::Error> {
        let invalid = |message: String| Self::command().error(ErrorKind::ValueValidation, message);
        let is_standard_input = self.token.as_ref().is_some_and(TokenText::is_standard_input);
        if is_standard_input && self.until_stdin_closes {
            return Err(invalid("--token - and --until-stdin-closes both read standard input".to_owned()));
        }
        let tls = token::side(self.token.as_ref(), self.token_file.as_deref()).map_err(invalid)?;
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        // A hello's instance is never 0.
        let instance = Instance(host::random().max(1));
        Ok(Options {
            way: Way::new(self.connect.clone(), tls),
            name: self.name.clone().unwrap_or_else(|| default_name(instance)),
            instance,
            threads: self.threads.map_or(cores, NonZeroU32::get),
            give_up: self.give_up,
            idle_exit: self.idle_exit,
            join_timeout: Duration::from_secs(10),
        })
    }
}

/// Host name, process id and random digits: containers of one image may have the first two in common.
fn default_name(instance: Instance) -> String {
    let host = read_regular(Path::new("/etc/hostname"), HOST_BYTES_MAX, Links::Followed).unwrap_or_default();
    let host = String::from_utf8_lossy(&host);
    let host: String = host.trim().chars().filter(|c| !c.is_control()).take(64).collect();
    let host = if host.is_empty() { "worker" } else { &host };
    format!("{host}-{}-{:04x}", std::process::id(), instance.0 & 0xffff)
}

fn give_up(text: &str) -> Result<Duration, String> {
    parse_within(text, Duration::from_secs(1), Duration::from_hours(365 * 24))
}

fn idle_exit(text: &str) -> Result<Duration, String> {
    parse_within(text, Duration::from_secs(1), Duration::from_hours(365 * 24))
}

fn threads(text: &str) -> Result<NonZeroU32, String> {
    let max = proto::message::THREADS_MAX;
    let threads = text.parse().ok().filter(|n: &NonZeroU32| n.get() <= max);
    threads.ok_or_else(|| format!("a number of threads is 1 to {max}"))
}

fn name(text: &str) -> Result<String, String> {
    let max = proto::message::NAME_BYTES_MAX;
    let valid = (1..=max).contains(&text.len()) && !text.chars().any(char::is_control);
    if valid { Ok(text.to_owned()) } else { Err(format!("a name has 1 to {max} printable characters")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Flags::command().help_expected(true).debug_assert();
    }

    #[test]
    fn two_processes_of_one_host_and_id_have_two_default_names() {
        let [one, other] = [0x1_a37c, 0x1_0042].map(|number| default_name(Instance(number)));
        assert!(one.ends_with("-a37c") && other.ends_with("-0042"), "{one} {other}");
        let flags = Flags::try_parse_from(["worker", "--connect", "127.0.0.1:1"]).unwrap();
        let [one, other] = [flags.options().unwrap(), flags.options().unwrap()];
        assert!(one.instance.0 > 0 && one.instance != other.instance);
        assert!(one.name.ends_with(&format!("-{:04x}", one.instance.0 & 0xffff)), "{}", one.name);
    }
}
