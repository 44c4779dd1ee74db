//! A folder with several runs, such as the trials of a search, as one page: all of them by rank, the curves
//! of the best, and what each setting has to do with the result.
//!
//! Of all runs only what the table needs is kept; those whose curves are drawn are read again.

use super::list::Row;
use super::page;
use coordinator::record::chart::{Chart, Floor, Look, Place, Scale, Series};
use coordinator::record::html::{self, Cell};
use coordinator::record::units::{count, duration, percent};
use coordinator::record::{ReadError, Recorded, read};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Most runs of a page.
const RUNS_MAX: usize = 10_000;
/// Runs that have a row; the best ones.
const ROWS_MAX: usize = 1000;
/// Runs whose curves are drawn; the best ones.
const CURVES: usize = 10;
/// Longest value of a setting that is compared.
const VALUE_CHARS: usize = 120;
/// Settings that are shown.
const SETTINGS_MAX: usize = 12;
/// Distinct values of a setting that are shown in a table.
const VALUES_MAX: usize = 20;
/// Greatest ratio of values that are drawn on a linear axis.
const LINEAR_RATIO: f64 = 20.0;

/// A run of several.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Trial {
    pub folder: PathBuf,
    pub row: Row,
    settings: BTreeMap<String, String>,
}

/// The runs of a folder, the best first.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Several {
    pub name: String,
    pub trials: Vec<Trial>,
}

impl Several {
    /// Reads runs in a folder; `tell` is told of those that can't be read.
    pub fn read(root: &Path, folders: &[PathBuf], tell: impl Fn(&ReadError)) -> Self {
        let mut trials = Vec::new();
        for folder in folders.iter().take(RUNS_MAX) {
            match read(folder) {
                Ok(run) => trials.push(Trial::of(&run, root)),
                Err(error) => tell(&error),
            }
        }
        // Those without a validation come last; equals stay in the order of their names.
        trials.sort_by(|a, b| b.row.validation.unwrap_or(-1.0).total_cmp(&a.row.validation.unwrap_or(-1.0)));
        let whole = std::fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
        let name = whole.file_name().map_or("runs".to_owned(), |name| name.to_string_lossy().into_owned());
        Self { name, trials }
    }

    /// The page.
    #[must_use]
    pub fn page(&self) -> String {
        let settings = self.settings();
        let complete = self.trials.iter().filter(|trial| trial.row.state == "complete").count();
        let words = format!("{} runs, of which {complete} are complete.", count(self.trials.len() as u64));
        let head =
            format!("<header><h1>{}</h1></header>\n", html::text(&self.name)) + &html::paragraph(&words);
        let body = [
            head,
            html::section("Runs", &self.table(&settings)),
            html::section("Curves of the best", &self.curves()),
            html::section("Settings and results", &self.effects(&settings)),
        ];
        html::page(&format!("{} - Lockstep", self.name), &body.concat())
    }

    /// Names of the settings that are not the same in all runs.
    fn settings(&self) -> Vec<&str> {
        let names: BTreeSet<&str> =
            self.trials.iter().flat_map(|trial| trial.settings.keys().map(String::as_str)).collect();
        let first = self.trials.first();
        let differs = |name: &&str| {
            let of_first = first.and_then(|trial| trial.settings.get(*name));
            self.trials.iter().any(|trial| trial.settings.get(*name) != of_first)
        };
        names.into_iter().filter(differs).take(SETTINGS_MAX).collect()
    }

    fn table(&self, settings: &[&str]) -> String {
        let mut heads = vec!["run", "validation", "test", "steps", "time", "state"];
        heads.extend(settings);
        let share = |share: Option<f64>| Cell::Number(share.map_or(String::new(), percent));
        let row = |trial: &Trial| {
            let row = &trial.row;
            let mut cells = vec![
                Cell::text(&row.name),
                share(row.validation),
                share(row.test),
                Cell::Number(format!("{} of {}", count(row.steps_done), count(row.steps_total))),
                Cell::Number(duration(row.seconds)),
                Cell::text(row.state),
            ];
            cells.extend(settings.iter().map(|name| Cell::text(trial.setting(name))));
            cells
        };
        let rows: Vec<Vec<Cell>> = self.trials.iter().take(ROWS_MAX).map(row).collect();
        let caption = match self.trials.len() {
            0..=ROWS_MAX => {
                "All runs by their best validation, with the settings in which they differ".to_owned()
            }
            all => format!("The best {ROWS_MAX} of {all} runs by their best validation"),
        };
        html::table(&caption, &heads, &rows)
    }

    fn curves(&self) -> String {
        let read: Vec<(&str, Recorded)> = self
            .trials
            .iter()
            .take(CURVES)
            .filter_map(|trial| Some((trial.row.name.as_str(), read(&trial.folder).ok()?)))
            .collect();
        let runs: Vec<(&str, &Recorded)> = read.iter().map(|(name, run)| (*name, run)).collect();
        page::curves(&runs)
    }

    /// What each setting has to do with the result.
    fn effects(&self, settings: &[&str]) -> String {
        if settings.is_empty() {
            return html::paragraph("All runs have the same settings.");
        }
        let mut figures = String::new();
        let mut tables = String::new();
        for (at, name) in settings.iter().enumerate() {
            figures += &self.cloud(at, name);
            tables += &self.values(name);
        }
        format!("<div class=\"charts\">\n{figures}</div>\n{tables}")
    }

    /// A setting's numbers against the best validation; nothing where they are no numbers.
    fn cloud(&self, at: usize, name: &str) -> String {
        let place = |trial: &Trial| Some(Place::at(trial.setting(name).parse().ok()?, trial.row.validation?));
        let mut places: Vec<Place> =
            self.trials.iter().filter_map(place).filter(|place| place.x.is_finite()).collect();
        places.sort_by(|a, b| a.x.total_cmp(&b.x));
        let [Some(first), Some(last)] = [places.first(), places.last()] else { return String::new() };
        if first.x >= last.x {
            return String::new();
        }
        let is_wide = first.x > 0.0 && last.x / first.x > LINEAR_RATIO;
        let x_scale = if is_wide { Scale::Logarithmic } else { Scale::Linear };
        let series = Series { name: "a run".to_owned(), places, look: Look::Cloud, colour: 0 };
        Chart {
            title: format!("Best validation by {name}"),
            x_name: name.to_owned(),
            x_scale,
            x_floor: Floor::Lowest,
            y_name: "share of right answers",
            scale: Scale::Linear,
            floor: Floor::Lowest,
            series: vec![series],
        }
        .figure(&format!("setting-{at}"))
    }

    /// Runs with each value of a setting: how many, the best and the mean.
    fn values(&self, name: &str) -> String {
        let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for trial in &self.trials {
            values.entry(trial.setting(name)).or_default().extend(trial.row.validation);
        }
        if values.len() > VALUES_MAX {
            return String::new();
        }
        let row = |(value, results): (&&str, &Vec<f64>)| {
            let best = results.iter().copied().fold(0.0, f64::max);
            let mean = results.iter().sum::<f64>() / results.len().max(1) as f64;
            let share = |share| Cell::Number(if results.is_empty() { String::new() } else { percent(share) });
            vec![Cell::text(*value), Cell::number(count(results.len() as u64)), share(best), share(mean)]
        };
        let rows: Vec<Vec<Cell>> = values.iter().map(row).collect();
        html::table(&format!("Validation by {name}"), &[name, "runs", "best", "mean"], &rows)
    }
}

impl Trial {
    fn of(run: &Recorded, root: &Path) -> Self {
        let is_short = |(_, value): &(&String, &String)| value.len() <= VALUE_CHARS;
        let settings =
            run.run.config.iter().filter(is_short).map(|(name, value)| (name.clone(), value.clone()));
        Self { folder: run.folder.clone(), row: Row::of(run, root), settings: settings.collect() }
    }

    fn setting(&self, name: &str) -> &str {
        self.settings.get(name).map_or("", String::as_str)
    }
}
