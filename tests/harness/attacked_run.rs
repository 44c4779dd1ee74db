//! A run with one honest worker, slow enough to outlast the connections that attack it.

use crate::golden::{Bench, assert_golden};
use crate::process::Process;
use crate::proxy::{Link, Proxy};
use crate::told::dropped;
use crate::trusted::House;
use std::time::Duration;

/// Delay of the honest worker's link; a step takes at least twice this.
const DELAY: Duration = Duration::from_millis(60);

/// A run with one honest worker, and a place for one more.
pub struct AttackedRun {
    /// Data and checkpoint folder of the run.
    pub bench: Bench,
    /// The process of the coordinator.
    pub run: Process,
    /// The coordinator's own address.
    pub address: String,
    /// The proxy between the coordinator and the honest worker.
    pub proxy: Proxy,
    worker: Process,
}

impl AttackedRun {
    /// A run with the further flags `more`, a few steps after its beginning.
    #[must_use]
    pub fn new(more: &[&str]) -> Self {
        Self::start(more, None)
    }

    /// The same with workers that need a token of `house`, as the honest one has.
    #[must_use]
    pub fn with_tokens(house: &House, more: &[&str]) -> Self {
        Self::start(&[more, &["--identity", house.folder()]].concat(), Some(house))
    }

    fn start(more: &[&str], house: Option<&House>) -> Self {
        let bench = Bench::new();
        let (mut run, address) = bench.coordinator(&[&["--workers", "1:2"], more].concat());
        let proxy = Proxy::start(&address);
        proxy.set_both(Link { delay: DELAY, ..Link::default() });
        let way = proxy.address();
        let name = "honest";
        let worker = match house {
            None => Process::worker(&way, name),
            Some(house) => house.worker(&way, name, "default"),
        };
        run.wait_for_checkpoint(bench.folder(), 5);
        Self { bench, run, address, proxy, worker }
    }

    /// Asserts that the run outlasts all attacks, ends with the golden digests, and had the honest worker as
    /// a member all the time.
    ///
    /// # Panics
    /// When one of these does not hold.
    pub fn ends_golden_and_undisturbed(self) {
        self.ends_golden_and_undisturbed_with(|| {});
    }

    /// Asserts the same, and calls `check` while the run's files exist.
    ///
    /// # Panics
    /// When one of these does not hold.
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
