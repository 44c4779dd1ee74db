//! The file of a search: which flags are fixed, which are searched among which values, and how.
//!
//! It is TOML. `[fixed]` holds flags as a `--config` file does, `[search]` a list or a range for each flag.
//! What is wrong is said with its key and with what to do. Which flags may be searched is decided in
//! `trials`.

use super::error::SweepError;
use common::checkpoint::digest;
use common::search::range::Range;
use host::files::{Links, read_regular};
use host::printable;
use proto::setup::SETUPS_MAX;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Largest file, in bytes: a thousand times what a search needs.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Largest number of trials in a search.
pub(super) const TRIALS_MAX: u32 = 10_000;
/// Most seeds with which the winner is trained again.
const REPEATS_MAX: u32 = 1000;
/// Largest number of rungs in a search.
const RUNGS_MAX: usize = 64;
/// Keys beside `[fixed]` and `[search]`.
const KEYS: &str = "method, trials, seed, eta, rungs, parallel and repeats";

/// What an operator wants to be searched.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SweepFile {
    pub(super) path: PathBuf,
    /// SHA-256 of what the results depend on.
    pub(super) digest: String,
    /// Flags of all trials.
    pub(super) fixed: BTreeMap<String, Value>,
    /// Flags that are searched.
    pub(super) search: BTreeMap<String, Space>,
    pub(super) method: Method,
    /// Seed of the draws.
    pub(super) seed: u64,
    /// One trial in so many goes on.
    pub(super) eta: u32,
    /// Epochs at which trials pause, if they are given.
    pub(super) rungs: Option<Vec<u64>>,
    /// Most runs at the same time.
    pub(super) parallel: u32,
    /// Seeds with which the winner is trained again.
    pub(super) repeats: u32,
}

/// How trials are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// Each combination of the listed values, trained to the end.
    Grid,
    /// So many draws, trained to the end.
    Random { trials: u32 },
    /// So many draws, of which few are trained to the end.
    Halving { trials: u32 },
}

/// The values of a flag.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Space {
    List(Vec<Value>),
    Range(Range),
}

impl SweepFile {
    /// Reads the file of that name.
    ///
    /// # Errors
    /// When it can't be read, or has a mistake.
    pub(super) fn read(path: &Path) -> Result<Self, SweepError> {
        let bytes = read_regular(path, FILE_BYTES_MAX, Links::Followed)
            .map_err(|source| SweepError::Unreadable { path: path.to_owned(), source })?;
        let text = String::from_utf8(bytes).map_err(|_| "it is no text in UTF-8".to_owned());
        let parsed = text.and_then(|text| Self::parse(path, &text));
        parsed.map_err(|problem| SweepError::Mistake { path: path.to_owned(), problem })
    }

    fn parse(path: &Path, text: &str) -> Result<Self, String> {
        let mut table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        let mut same = table.clone();
        // How many runs there are at a time changes no result.
        same.remove("parallel");
        let digest = digest(canonical(&Value::Table(same)).as_bytes());
        let fixed = sub_table(&mut table, "fixed")?;
        let search = sub_table(&mut table, "search")?;
        if search.is_empty() {
            let lr = "lr = { from = 1e-4, to = 1e-2, log = true }";
            return Err(format!("[search] is missing or empty; name at least one flag there, as {lr}"));
        }
        if let Some(key) = fixed.keys().find(|key| search.contains_key(*key)) {
            return Err(format!("{key} is in [fixed] and in [search]; remove one of them"));
        }
        let space = |(key, value): (String, Value)| match space(value) {
            Ok(space) => Ok((key, space)),
            Err(problem) => Err(format!("[search] {}: {problem}", printable(&key))),
        };
        let search = search.into_iter().map(space).collect::<Result<BTreeMap<_, _>, _>>()?;
        let method = method(&mut table, &search)?;
        let halves = matches!(method, Method::Halving { .. });
        if let Some(key) = ["eta", "rungs"].into_iter().find(|key| !halves && table.contains_key(*key)) {
            return Err(format!("{key} has a meaning with method = \"halving\" only; remove it"));
        }
        let file = Self {
            path: path.to_owned(),
            digest,
            fixed,
            search,
            method,
            seed: integer(&mut table, "seed", 0..=i64::MAX as u64, 1)?,
            eta: integer(&mut table, "eta", 2..=100, 3)? as u32,
            rungs: rungs(&mut table)?,
            parallel: integer(&mut table, "parallel", 1..=SETUPS_MAX.into(), 1)? as u32,
            repeats: integer(&mut table, "repeats", 0..=REPEATS_MAX.into(), 3)? as u32,
        };
        match table.keys().next() {
            Some(key) => Err(format!(
                "there is no {}; a search has {KEYS}, and flags in [fixed] and [search]",
                printable(key)
            )),
            None => Ok(file),
        }
    }
}

fn sub_table(table: &mut Table, key: &str) -> Result<BTreeMap<String, Value>, String> {
    match table.remove(key) {
        None => Ok(BTreeMap::new()),
        Some(Value::Table(table)) => Ok(table.into_iter().collect()),
        Some(other) => Err(format!("{key} is a {}; write flags in a table, under [{key}]", other.type_str())),
    }
}

fn integer(table: &mut Table, key: &str, range: RangeInclusive<u64>, otherwise: u64) -> Result<u64, String> {
    let Some(value) = table.remove(key) else { return Ok(otherwise) };
    let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
    number.filter(|number| range.contains(number)).ok_or_else(|| {
        format!("{key} is {}; it is a whole number, {} to {}", shown(&value), range.start(), range.end())
    })
}

fn method(table: &mut Table, search: &BTreeMap<String, Space>) -> Result<Method, String> {
    let wanted = table.remove("method");
    let name = wanted.as_ref().and_then(Value::as_str);
    let trials = table.contains_key("trials");
    match name {
        Some("grid") => {
            if trials {
                return Err(
                    "trials has no meaning with a grid, which is all combinations; remove it, or use \
                            method = \"random\""
                        .to_owned(),
                );
            }
            if let Some((key, _)) = search.iter().find(|(_, space)| matches!(space, Space::Range(_))) {
                return Err(format!(
                    "[search] {key}: a grid needs a list, as [0.001, 0.003]; a range needs method = \"random\" or \
                     \"halving\""
                ));
            }
            Ok(Method::Grid)
        }
        Some(name @ ("random" | "halving")) => {
            if !trials {
                return Err(format!("trials is missing; say how many {name} trials there are to be"));
            }
            let trials = integer(table, "trials", 1..=TRIALS_MAX.into(), 1)? as u32;
            Ok(if name == "random" { Method::Random { trials } } else { Method::Halving { trials } })
        }
        _ => {
            let got = wanted.as_ref().map_or("missing".to_owned(), shown);
            Err(format!("method is {got}; it is \"grid\", \"random\" or \"halving\""))
        }
    }
}

fn rungs(table: &mut Table) -> Result<Option<Vec<u64>>, String> {
    let Some(value) = table.remove("rungs") else { return Ok(None) };
    let epochs = |value: &Value| value.as_integer().and_then(|n| u64::try_from(n).ok()).filter(|&n| n > 0);
    let rungs: Option<Vec<u64>> = value.as_array().and_then(|all| all.iter().map(epochs).collect());
    let ascending = |rungs: &Vec<u64>| rungs.windows(2).all(|pair| pair[0] < pair[1]);
    match rungs.filter(|rungs| (1..=RUNGS_MAX).contains(&rungs.len()) && ascending(rungs)) {
        Some(rungs) => Ok(Some(rungs)),
        None => Err(format!(
            "rungs is {}; it is a list of whole epochs, ascending, at most {RUNGS_MAX}, as [1, 3, 9]",
            shown(&value)
        )),
    }
}

fn space(value: Value) -> Result<Space, String> {
    match value {
        Value::Array(values) if values.is_empty() => Err("the list is empty; name its values".to_owned()),
        Value::Array(values) => {
            if let Some(at) = (1..values.len()).find(|&at| values[..at].contains(&values[at])) {
                return Err(format!("{} is listed twice; remove one of them", shown(&values[at])));
            }
            Ok(Space::List(values))
        }
        Value::Table(table) => range(table).map(Space::Range),
        other => {
            Err(format!("{} is a single value; write a list, as [{0}], or move it to [fixed]", shown(&other)))
        }
    }
}

fn range(mut table: Table) -> Result<Range, String> {
    let form = "a range is { from = LOW, to = HIGH } with numbers, and log = true if it is wanted";
    let from = table.remove("from");
    let to = table.remove("to");
    let log = table.remove("log").map_or(Some(false), |log| log.as_bool());
    let range = match (from, to, log) {
        _ if !table.is_empty() => None,
        (Some(Value::Integer(from)), Some(Value::Integer(to)), Some(log)) => {
            Some(Range::Integer { from, to, log })
        }
        (Some(from), Some(to), Some(log)) => {
            let number = |value: &Value| value.as_float().or(value.as_integer().map(|n| n as f64));
            number(&from).zip(number(&to)).map(|(from, to)| Range::Float { from, to, log })
        }
        _ => None,
    };
    let range = range.ok_or(form)?;
    range.validate().map_err(|problem| format!("{problem}; {form}"))?;
    Ok(range)
}

/// The value as a text that depends on no order of keys.
fn canonical(value: &Value) -> String {
    match value {
        Value::Table(table) => {
            let sorted: BTreeMap<_, _> = table.iter().collect();
            let entries: Vec<String> =
                sorted.iter().map(|(key, value)| format!("{key:?}={}", canonical(value))).collect();
            format!("{{{}}}", entries.join(","))
        }
        Value::Array(values) => {
            format!("[{}]", values.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        value => value.to_string(),
    }
}

/// A value as in the file, on one line of bounded length.
fn shown(value: &Value) -> String {
    let text: String = value.to_string().chars().take(80).collect();
    printable(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SweepFile, String> {
        SweepFile::parse(Path::new("search.toml"), text)
    }

    #[test]
    fn a_file_says_what_is_searched_and_how() {
        let file = parse(
            "method = \"halving\"\ntrials = 27\nrungs = [1, 3, 9]\nparallel = 4\n[fixed]\nmodel = \"cnn\"\n\
             [search]\nlr = { from = 1e-4, to = 1, log = true }\nbatch-size = { from = 16, to = 64 }\n\
             augment = [\"none\", \"digits\"]\nhidden = [[64], [128, 64]]",
        )
        .unwrap();
        assert_eq!(file.method, Method::Halving { trials: 27 });
        assert_eq!((file.seed, file.eta, file.repeats, file.parallel), (1, 3, 3, 4));
        assert_eq!(file.search["lr"], Space::Range(Range::Float { from: 1e-4, to: 1.0, log: true }));
        assert_eq!(file.search["batch-size"], Space::Range(Range::Integer { from: 16, to: 64, log: false }));
        assert!(matches!(&file.search["hidden"], Space::List(values) if values.len() == 2));
        assert_eq!(file.fixed["model"].as_str(), Some("cnn"));
    }

    #[test]
    fn what_changes_no_result_changes_no_digest() {
        let digest = |text: &str| parse(text).unwrap().digest;
        let one = digest("method = \"grid\"\nseed = 2\n[search]\nlr = [1.0, 2.0]");
        let same = "# comment\nparallel = 9\nseed = 2\nmethod = \"grid\"\n[search]\nlr = [\n 1.0,\n 2.0]";
        assert_eq!(one, digest(same));
        assert_ne!(one, digest("method = \"grid\"\nseed = 3\n[search]\nlr = [1.0, 2.0]"));
        assert_ne!(one, digest("method = \"grid\"\nseed = 2\n[search]\nlr = [2.0, 1.0]"));
    }

    #[test]
    fn mistakes_are_named_with_their_key_and_what_to_do() {
        let search = |value: &str| format!("method = \"random\"\ntrials = 3\n[search]\nlr = {value}");
        let with = |line: &str| format!("method = \"halving\"\ntrials = 3\n{line}\n[search]\nlr = [1.0]");
        for (text, named) in [
            ("method = ", "line 1"),
            ("method = \"grid\"", "[search] is missing or empty"),
            ("search = 3", "search is a integer; write flags in a table, under [search]"),
            ("[search]\nlr = [1.0]", "method is missing; it is \"grid\""),
            ("method = \"bayes\"\n[search]\nlr = [1.0]", "method is \"bayes\""),
            ("method = \"random\"\n[search]\nlr = [1.0]", "trials is missing"),
            ("method = \"grid\"\ntrials = 3\n[search]\nlr = [1.0]", "trials has no meaning with a grid"),
            ("method = \"grid\"\n[search]\nlr = {from = 1, to = 2}", "[search] lr: a grid needs a list"),
            ("method = \"grid\"\neta = 3\n[search]\nlr = [1.0]", "eta has a meaning with"),
            (
                "method = \"grid\"\n[fixed]\nlr = 1.0\n[search]\nlr = [1.0]",
                "lr is in [fixed] and in [search]",
            ),
            (&search("[]"), "[search] lr: the list is empty"),
            (&search("[1.0, 1.0]"), "1.0 is listed twice"),
            (&search("3"), "3 is a single value; write a list, as [3]"),
            (&search("{from = 1}"), "a range is { from = LOW"),
            (&search("{from = 1, to = 2, step = 1}"), "a range is { from = LOW"),
            (&search("{from = 2, to = 1}"), "from must be below to"),
            (&search("{from = 0.0, to = 1.0, log = true}"), "from must be above 0"),
            (&with("eta = 1"), "eta is 1; it is a whole number, 2 to 100"),
            (&with("parallel = 65"), "parallel is 65; it is a whole number, 1 to 64"),
            (&with("repeats = -1"), "repeats is -1"),
            (&with("seed = 1.5"), "seed is 1.5"),
            (&with("rungs = [3, 1]"), "rungs is [3, 1]; it is a list of whole epochs, ascending"),
            (&with("rungs = [0]"), "rungs is [0]"),
            (&with("rungs = []"), "rungs is []"),
            (&with("speed = 9"), "there is no speed; a search has method, trials"),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.contains(named), "{text}:\n{problem}");
        }
    }

    #[test]
    fn a_file_that_is_none_is_named() {
        let error = SweepFile::read(Path::new("/no/such.toml")).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("/no/such.toml"), "{error}");
        let error = SweepFile::read(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(error.contains("a device"), "{error}");
    }
}
