//! Many seeds over all cores.

use super::plan::Plan;
use super::run::Run;
use super::{Report, Sabotage, simulate};
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Runs `seeds` and adds up what happened.
///
/// # Errors
/// The failed seed, the broken promise, how to replay it, and the last events before.
pub fn sweep(seeds: std::ops::Range<u64>) -> Result<Report, String> {
    let next = AtomicU64::new(seeds.start);
    let failed = AtomicBool::new(false);
    let total = Mutex::new(Ok(Report::default()));
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let outcome = one(seed);
            let mut total = total.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match (outcome, &mut *total) {
                (Ok(report), Ok(sum)) => sum.add(report),
                (Err(why), total @ Ok(_)) => {
                    failed.store(true, Ordering::Relaxed);
                    *total = Err(why);
                }
                (_, Err(_)) => {}
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Runs one seed. A failure is run again to trace it.
fn one(seed: u64) -> Result<Report, String> {
    let no_sabotage: Option<Sabotage> = None;
    let replay = format!("LOCKSTEP_SIM_SEED={seed} cargo test --workspace --test it simulation");
    match catch_unwind(|| simulate(seed, no_sabotage)) {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(_)) => {
            let violation = Run::new(Plan::new(seed), no_sabotage).traced().finish().err();
            let (what, trace) = violation.map_or_else(
                || ("a failure that does not repeat".to_owned(), String::new()),
                |violation| (violation.to_string(), violation.trace),
            );
            Err(format!("{trace}\nseed {seed}: {what}\nreplay: {replay}"))
        }
        Err(_) => Err(format!("seed {seed}: a panic, see above\nreplay: {replay}")),
    }
}
