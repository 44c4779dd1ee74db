//! The settings of each trial: flags with values, a function of the file and of the trial's number.
//!
//! A grid counts through the combinations: the last flag by name changes first. The other methods draw each
//! value from an address of its own (`common::search::range`).

use super::file::{Method, Space, SweepFile, TRIALS_MAX};
use crate::trials::settings::Settings;
use common::search::range::{Number, stream};
use std::collections::BTreeMap;
use toml::Value;

/// The settings of all trials, in the order of their numbers.
///
/// # Errors
/// When a grid has too many combinations.
pub(super) fn of_trials(file: &SweepFile) -> Result<Vec<Settings>, String> {
    match file.method {
        Method::Grid => grid(&file.search),
        Method::Random { trials } | Method::Halving { trials } => {
            Ok((0..trials).map(|trial| drawn(file, trial)).collect())
        }
    }
}

fn grid(search: &BTreeMap<String, Space>) -> Result<Vec<Settings>, String> {
    let mut all = vec![Settings::new()];
    for (key, space) in search {
        let Space::List(values) = space else { continue };
        if all.len() * values.len() > TRIALS_MAX as usize {
            return Err(format!(
                "the grid has more than {TRIALS_MAX} combinations; list fewer values, or use method = \"random\""
            ));
        }
        let with = |settings: &Settings, value: &Value| {
            settings.clone().into_iter().chain([(key.clone(), value.clone())]).collect()
        };
        all = all.iter().flat_map(|settings| values.iter().map(move |value| with(settings, value))).collect();
    }
    Ok(all)
}

fn drawn(file: &SweepFile, trial: u32) -> Settings {
    let value = |(key, space): (&String, &Space)| {
        let mut stream = stream(file.seed, key, trial);
        let value = match space {
            // A file is too small for more values than that.
            Space::List(values) => values[stream.below(values.len() as u32) as usize].clone(),
            Space::Range(range) => match range.draw(&mut stream) {
                Number::Float(value) => Value::Float(value),
                Number::Integer(value) => Value::Integer(value),
            },
        };
        (key.clone(), value)
    };
    file.search.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trials::settings::line;
    use common::search::range::Range;
    use std::path::PathBuf;

    fn file(method: Method, search: &[(&str, Space)]) -> SweepFile {
        SweepFile {
            path: PathBuf::new(),
            digest: String::new(),
            fixed: BTreeMap::new(),
            search: search.iter().map(|(key, space)| ((*key).to_owned(), space.clone())).collect(),
            method,
            seed: 1,
            eta: 3,
            rungs: None,
            parallel: 1,
            repeats: 0,
        }
    }

    fn list(values: &[i64]) -> Space {
        Space::List(values.iter().map(|&value| Value::Integer(value)).collect())
    }

    #[test]
    fn a_grid_has_each_combination_once() {
        let file = file(Method::Grid, &[("b", list(&[1, 2, 3])), ("a", list(&[7, 8]))]);
        let all: Vec<String> = of_trials(&file).unwrap().iter().map(line).collect();
        assert_eq!(all, ["a=7 b=1", "a=7 b=2", "a=7 b=3", "a=8 b=1", "a=8 b=2", "a=8 b=3"]);
    }

    #[test]
    fn a_grid_that_is_too_large_is_refused() {
        let values: Vec<i64> = (0..101).collect();
        let many = file(Method::Grid, &[("a", list(&values)), ("b", list(&values))]);
        assert!(of_trials(&many).unwrap_err().contains("more than 10000 combinations"));
    }

    #[test]
    fn a_draw_depends_on_no_other_flag_and_on_no_number_of_trials() {
        let range = Space::Range(Range::Float { from: 1e-4, to: 1e-2, log: true });
        let few = of_trials(&file(Method::Random { trials: 3 }, &[("lr", range.clone())])).unwrap();
        let more = file(Method::Halving { trials: 9 }, &[("a", list(&[1, 2])), ("lr", range)]);
        let more = of_trials(&more).unwrap();
        assert_eq!(more.len(), 9);
        for (one, other) in few.iter().zip(&more) {
            assert_eq!(one["lr"], other["lr"]);
        }
        assert!(more.iter().any(|settings| settings["a"] != more[0]["a"]));
    }
}
