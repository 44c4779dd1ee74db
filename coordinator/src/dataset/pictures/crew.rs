//! Work on many pictures by all cores, with a bar if it takes longer than a moment.
//!
//! Pictures are handed out one by one, in order, so a large one holds nobody up. Of several that fail, the
//! first is told, whatever the number of threads: all before it were handed out too.

use super::error::PicturesError;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::num::NonZeroUsize;
use std::sync::{Mutex, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Time after which progress is shown.
const QUIET: Duration = Duration::from_secs(1);

/// Does `work` on every job; returns the results in the order of the jobs. `what` names the work in the bar
/// among `bars`.
///
/// # Errors
/// The error of the first job that fails. Later ones are not begun then.
pub(super) fn each<J: Send, T: Send>(
    what: &'static str,
    jobs: Vec<J>,
    bars: Option<&MultiProgress>,
    work: impl Fn(J) -> Result<T, PicturesError> + Sync,
) -> Result<Vec<T>, PicturesError> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(jobs.len().max(1));
    let progress = Progress::new(what, jobs.len(), bars);
    let mut places: Vec<Option<Result<T, PicturesError>>> = jobs.iter().map(|_| None).collect();
    let queue = Mutex::new(Some(jobs.into_iter().zip(&mut places)));
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).as_mut()?.next();
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some((job, place)) = next() {
                    let result = work(job);
                    if result.is_err() {
                        *queue.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    }
                    *place = Some(result);
                    progress.step();
                }
            });
        }
    });
    drop(queue);
    progress.bar.finish_and_clear();
    // After a failure the rest is empty, and collecting ends at the failure.
    places.into_iter().flatten().collect()
}

/// A bar that appears after a moment.
struct Progress<'a> {
    bar: ProgressBar,
    bars: Option<&'a MultiProgress>,
    started: Instant,
    shown: Once,
}

impl<'a> Progress<'a> {
    fn new(what: &'static str, count: usize, bars: Option<&'a MultiProgress>) -> Self {
        let bar = ProgressBar::with_draw_target(Some(count as u64), ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}");
        let style = style.expect("a template of known keys");
        let bar = bar.with_style(style).with_message(what);
        Self { bar, bars, started: Instant::now(), shown: Once::new() }
    }

    fn step(&self) {
        self.bar.inc(1);
        if let Some(bars) = self.bars
            && self.started.elapsed() > QUIET
        {
            self.shown.call_once(|| drop(bars.add(self.bar.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_and_the_first_failure_is_told() {
        let work = |job: usize| {
            if job % 10 == 7 { Err(PicturesError::NotPicture(job.to_string().into())) } else { Ok(2 * job) }
        };
        assert_eq!(each("", (0..7).collect(), None, work).unwrap(), [0, 2, 4, 6, 8, 10, 12]);
        for _ in 0..50 {
            let error = each("", (0..100).collect(), None, work).unwrap_err();
            assert!(matches!(&error, PicturesError::NotPicture(path) if path.ends_with("7")), "{error}");
        }
        assert!(each("", vec![], None, work).unwrap().is_empty());
    }
}
