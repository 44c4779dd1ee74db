//! Who was there when: a row for each worker, from joining to parting, with the starts of the coordinator.
//!
//! Names and times are text beside the bars, so that they stay readable on a narrow page. The same stands in
//! a table below.

use super::history::{At, Beginning, History, Parting, Start, Stay, Worker};
use super::html::{self, Cell};
use super::units::{count, duration, moment};
use std::fmt::Write as _;

/// Most workers that have a row.
const ROWS_MAX: usize = 60;
/// Most rows of the table.
const STAYS_MAX: usize = 500;
/// Width of the bars in their own units.
const WIDTH: f64 = 1000.0;

/// The axis: time since the first start, or steps where a file has no times.
struct Axis {
    by_time: bool,
    from: f64,
    to: f64,
}

impl Axis {
    fn of(history: &History) -> Self {
        let by_time = history.starts.iter().all(|start| start.at.time.is_some());
        let value = |at: &At| if by_time { at.time.unwrap_or(0.0) } else { at.step as f64 };
        let starts = history.starts.iter().map(|start| value(&start.at));
        let stays = history.workers.iter().flat_map(|worker| &worker.stays);
        let all: Vec<f64> =
            starts.chain(stays.map(|stay| value(&stay.to))).chain([value(&history.last)]).collect();
        let [from, to] =
            [all.iter().copied().fold(f64::INFINITY, f64::min), all.iter().copied().fold(0.0, f64::max)];
        Self { by_time, from, to: if to > from { to } else { from + 1.0 } }
    }

    fn place(&self, at: &At) -> f64 {
        let value = if self.by_time { at.time.unwrap_or(self.from) } else { at.step as f64 };
        (WIDTH * (value - self.from) / (self.to - self.from)).clamp(0.0, WIDTH)
    }

    fn label(&self, at: &At) -> String {
        match at.time.filter(|_| self.by_time) {
            Some(time) => format!("{} (step {})", duration((time - self.from).max(0.0)), at.step),
            None => format!("step {}", at.step),
        }
    }
}

/// The history as a picture and a table; nothing where no worker joined.
#[must_use]
pub fn timeline(history: &History) -> String {
    if history.workers.is_empty() || history.starts.is_empty() {
        return String::new();
    }
    let axis = Axis::of(history);
    let mut rows =
        row("coordinator", &history.starts.iter().map(|start| mark(start, &axis)).collect::<String>());
    for worker in history.workers.iter().take(ROWS_MAX) {
        rows += &row(&worker.name, &bars(worker, history, &axis));
    }
    let ends = if axis.by_time {
        [moment(axis.from) + " UTC", format!("{} later", duration(axis.to - axis.from))]
    } else {
        [axis.from, axis.to].map(|step| format!("step {step:.0}"))
    };
    let [first, last] = ends.map(|end| html::text(&end));
    // Writing to a string can't fail.
    let _ = write!(rows, "<span></span><div class=\"ends\"><span>{first}</span><span>{last}</span></div>");
    let described = html::text(&summary(history));
    let mut markup = format!(
        "<figure><div class=\"timeline\" role=\"group\" aria-label=\"{described}\">\n{rows}</div></figure>\n"
    );
    let more = history.workers.len().saturating_sub(ROWS_MAX);
    if more > 0 {
        markup += &html::paragraph(&format!("{more} more workers have no row here."));
    }
    markup + &html::details("The same as a table", &table(history, &axis))
}

/// The history in a sentence.
#[must_use]
pub fn summary(history: &History) -> String {
    let workers = match history.workers.len() {
        1 => "1 worker".to_owned(),
        n => format!("{n} workers"),
    };
    let starts = match history.starts.iter().filter(|start| start.how != Beginning::Rollback).count() {
        0 | 1 => "one coordinator".to_owned(),
        n => format!("{n} starts of the coordinator"),
    };
    format!("{workers}, at most {} at a time; {starts}", history.most_workers)
}

fn row(name: &str, bars: &str) -> String {
    let name = html::text(name);
    format!(
        "<span class=\"name\">{name}</span>\
         <svg viewBox=\"0 0 {WIDTH} 18\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{name}\">\
         <rect class=\"back\" width=\"{WIDTH}\" height=\"18\"/>{bars}</svg>\n"
    )
}

fn bar(class: &str, from: f64, width: f64, title: &str) -> String {
    // One that begins at the very end is still seen.
    let from = from.min(WIDTH - width.min(WIDTH));
    let title = html::text(title);
    format!(
        "<rect class=\"{class}\" x=\"{from:.1}\" width=\"{width:.1}\" height=\"18\"><title>{title}</title></rect>"
    )
}

fn mark(start: &Start, axis: &Axis) -> String {
    bar("start", axis.place(&start.at), 4.0, &format!("{} at {}", begun(start), axis.label(&start.at)))
}

fn bars(worker: &Worker, history: &History, axis: &Axis) -> String {
    let stay = |stay: &Stay| {
        let [from, to] = [&stay.from, &stay.to].map(|at| axis.place(at));
        let [joined, parted] = [&stay.from, &stay.to].map(|at| axis.label(at));
        let title = format!("{}: joined at {joined}; {} at {parted}", worker.name, parting(&stay.parting));
        let mut all = bar("stay", from, (to - from).max(2.0), &title);
        if let Parting::Dropped(_) = stay.parting {
            all += &bar("dead", (to - 6.0).max(0.0), 6.0, &title);
        }
        all
    };
    let stays: String = worker.stays.iter().map(stay).collect();
    stays + &history.starts.iter().skip(1).map(|start| mark(start, axis)).collect::<String>()
}

fn begun(start: &Start) -> &'static str {
    match (start.how, start.after_crash) {
        (Beginning::Start, false) => "started",
        (Beginning::Start, true) => "started anew, after one that ended without a word",
        (Beginning::Resume, false) => "resumed",
        (Beginning::Resume, true) => "resumed, after one that ended without a word",
        (Beginning::Rollback, _) => "rolled back",
    }
}

fn parting(parting: &Parting) -> String {
    match parting {
        Parting::Left => "left".to_owned(),
        Parting::Dropped(reason) => format!("dropped: {reason}"),
        Parting::RunEnded => "there until the end".to_owned(),
        Parting::CoordinatorLost => "there when the coordinator was lost".to_owned(),
        Parting::Unknown => "last seen".to_owned(),
    }
}

fn table(history: &History, axis: &Axis) -> String {
    let starts = history.starts.iter().map(|start| {
        (
            axis.place(&start.at),
            ["coordinator".to_owned(), axis.label(&start.at), String::new(), begun(start).to_owned()],
        )
    });
    let stays = history.workers.iter().flat_map(|worker| worker.stays.iter().map(move |stay| (worker, stay)));
    let stays = stays.map(|(worker, stay)| {
        let [from, to] = [&stay.from, &stay.to].map(|at| axis.label(at));
        (axis.place(&stay.from), [worker.name.clone(), from, to, parting(&stay.parting)])
    });
    let mut all: Vec<_> = starts.chain(stays).collect();
    all.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let more = all.len().saturating_sub(STAYS_MAX);
    all.truncate(STAYS_MAX);
    let rows: Vec<Vec<Cell>> = all.into_iter().map(|(_, cells)| cells.map(Cell::Text).to_vec()).collect();
    let caption = if more > 0 {
        format!("The first of it; {} rows more", count(more as u64))
    } else {
        summary(history)
    };
    html::table(&caption, &["who", "from", "until", "what"], &rows)
}
