//! Values of flags: their types, and how they are parsed.

use crate::run::Resume;
use clap::ValueEnum;
use common::protocol::coordinator::Numerics;
use host::duration::parse_within;
use std::time::Duration;

/// Most workers; each holds a connection and a share of every step.
const WORKERS_MAX: u32 = 1024;
/// Longest `--max-time`: a year.
const MAX_TIME_MAX: Duration = Duration::from_hours(365 * 24);

/// The value of `--numerics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the flag's help describes them")]
pub enum NumericsRule {
    Strict,
    Relaxed,
}

impl From<NumericsRule> for Numerics {
    fn from(rule: NumericsRule) -> Self {
        match rule {
            NumericsRule::Strict => Self::Strict,
            NumericsRule::Relaxed => Self::Relaxed,
        }
    }
}

/// The value of `--workers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workers {
    /// Fewest workers to start with.
    pub start: u32,
    /// Fewest workers to continue with.
    pub min: u32,
    /// Most workers; further ones are spares.
    pub max: u32,
}

pub(super) fn workers(text: &str) -> Result<Workers, String> {
    let number = |text: &str| text.parse().ok().filter(|n| (1..=WORKERS_MAX).contains(n));
    let workers = match text.split_once(':') {
        None => number(text).map(|n| Workers { start: n, min: 1, max: n }),
        Some((min, max)) => match (number(min), number(max)) {
            (Some(min), Some(max)) if min <= max => Some(Workers { start: min, min, max }),
            _ => None,
        },
    };
    workers
        .ok_or_else(|| format!("workers are N or MIN:MAX, each from 1 to {WORKERS_MAX}, MIN not above MAX"))
}

pub(super) fn audit(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a share is 0 to 1".to_owned())
}

pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    parse_within(text, Duration::from_millis(500), Duration::from_hours(1))
}

pub(super) fn max_time(text: &str) -> Result<Duration, String> {
    parse_within(text, Duration::from_secs(1), MAX_TIME_MAX)
}

pub(super) fn resume(text: &str) -> Result<Resume, String> {
    match text {
        "auto" => Ok(Resume::Auto),
        "never" => Ok(Resume::Never),
        "" => Err("it is auto, never, or a folder with checkpoints".to_owned()),
        folder => Ok(Resume::From(folder.into())),
    }
}
