//! A run with one honest worker, so slow that it outlasts its visitors and leaves them something to do.

use crate::golden::{Bench, assert_golden};
use crate::process::Process;
use crate::proxy::{Link, Proxy};
use crate::told::dropped;
use std::time::Duration;

/// A step takes twice this at least.
const DELAY: Duration = Duration::from_millis(60);

/// The run; there is one more place in it.
pub struct Visited {
    /// What it reads and writes.
    pub bench: Bench,
    /// The coordinator.
    pub run: Process,
    /// Where that listens itself.
    pub address: String,
    /// Between it and the honest worker.
    pub proxy: Proxy,
    worker: Process,
}

impl Visited {
    /// A run with these further flags, a few steps after its beginning.
    #[must_use]
    pub fn new(more: &[&str]) -> Self {
        let bench = Bench::new();
        let (mut run, address) = bench.coordinator(&[&["--workers", "1:2"], more].concat());
        let proxy = Proxy::start(&address);
        proxy.set_both(Link { delay: DELAY, ..Link::default() });
        let worker = Process::worker(&proxy.address(), "honest");
        run.wait_for_checkpoint(bench.folder(), 5);
        Self { bench, run, address, proxy, worker }
    }

    /// It was not over when the last visitor had gone, it ends with the golden digests, and the honest worker was in it
    /// all the time.
    ///
    /// # Panics
    /// When that is not so.
    pub fn ends_golden_and_undisturbed(self) {
        self.ends_golden_and_undisturbed_with(|| {});
    }

    /// The same, and what else must hold while its files are there.
    ///
    /// # Panics
    /// When that is not so.
    pub fn ends_golden_and_undisturbed_with(mut self, check: impl FnOnce()) {
        let step = self.bench.newest() + 1;
        self.run.wait_for_checkpoint(self.bench.folder(), step);
        self.proxy.heal();
        let outcome = self.run.wait();
        assert_golden(&outcome);
        assert!(!outcome.events.iter().any(dropped("honest")), "{}", outcome.errors);
        assert_eq!(self.worker.wait().code, Some(0));
        check();
    }
}
