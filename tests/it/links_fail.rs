//! A network that is slow, cut, half dead or broken costs time and no bit.

use common::protocol::coordinator::Cause;
use std::thread::sleep;
use std::time::Duration;
use tests::golden::{Bench, SLOW, assert_golden};
use tests::process::Process;
use tests::proxy::{Fate, Link, Proxy, Way};
use tests::told::{any_dropped, any_joined, drop_of, dropped};

/// Timeout for bytes to come through a proxy.
const PATIENCE: Duration = Duration::from_secs(120);

/// A run with two workers behind one proxy; it needs both to continue.
struct Linked {
    bench: Bench,
    run: Process,
    proxy: Proxy,
    workers: [Process; 2],
}

impl Linked {
    fn new(flags: &[&str]) -> Self {
        let bench = Bench::new();
        let (run, proxy) = bench.slowed(&[&["--workers", "2:2"], flags].concat());
        let workers = ["a", "b"].map(|name| Process::worker(&proxy.address(), name));
        let mut linked = Self { bench, run, proxy, workers };
        linked.advance(10);
        linked
    }

    /// Waits for `steps` further steps.
    fn advance(&mut self, steps: u64) {
        let step = self.bench.newest() + steps;
        self.run.wait_for_checkpoint(self.bench.folder(), step);
    }

    fn joins(&self) -> usize {
        self.run.events_with(any_joined)
    }

    fn ends_golden(self) -> String {
        self.proxy.heal();
        let outcome = self.run.wait();
        assert_golden(&outcome);
        for worker in self.workers {
            assert_eq!(worker.wait().code, Some(0));
        }
        outcome.errors
    }
}

#[test]
fn a_slow_link_only_takes_longer() {
    let mut linked = Linked::new(&[]);
    let link = Link { delay: Duration::from_millis(20), rate: Some(4_000_000), fate: None };
    linked.proxy.set_both(link);
    linked.advance(10);
    linked.proxy.set_both(SLOW);
    let log = linked.ends_golden();
    assert!(!log.contains("worker dropped"), "{log}");
}

#[test]
fn a_link_that_is_out_for_a_second_is_waited_for() {
    let mut linked = Linked::new(&[]);
    linked.proxy.set_both(Link::after(0, Fate::Hold));
    sleep(Duration::from_secs(1));
    linked.proxy.set_both(SLOW);
    linked.advance(5);
    let log = linked.ends_golden();
    assert!(!log.contains("worker dropped"), "{log}");
}

/// A run whose link is down for `seconds`, with the default timeouts. Returns how often workers joined again.
fn out_for(seconds: u64) -> usize {
    let mut linked = Linked::new(&[]);
    let joins = linked.joins();
    linked.proxy.set_both(Link::after(0, Fate::Hold));
    sleep(Duration::from_secs(seconds));
    linked.proxy.set_both(SLOW);
    linked.advance(5);
    let again = linked.joins() - joins;
    linked.ends_golden();
    again
}

#[test]
fn a_link_that_is_out_for_ten_seconds_costs_time_and_no_bit() {
    out_for(10);
}

#[test]
fn workers_behind_a_link_that_is_out_for_a_minute_come_back() {
    assert!(out_for(60) >= 2);
}

#[test]
fn workers_behind_a_link_that_is_out_too_long_are_evicted_and_come_back() {
    let mut linked = Linked::new(&["--heartbeat-timeout", "2"]);
    let joins = linked.joins();
    linked.proxy.set_both(Link::after(0, Fate::Hold));
    for name in ["a", "b"] {
        let (cause, _) = drop_of(linked.run.wait_for_event("drops the silent", dropped(name)));
        assert!(matches!(cause, Cause::Silent { .. }), "{cause}");
    }
    linked.proxy.set_both(SLOW);
    linked.run.wait_for_events(joins + 2, "lets both in again", any_joined);
    linked.ends_golden();
}

#[test]
fn a_half_open_connection_is_noticed_whichever_half_is_dead() {
    for way in [Way::Up, Way::Down] {
        let mut linked = Linked::new(&["--heartbeat-timeout", "2"]);
        let joins = linked.joins();
        linked.proxy.set(way, Link::after(0, Fate::Swallow));
        linked.run.wait_for_event("drops one", any_dropped);
        linked.proxy.set_both(SLOW);
        linked.run.wait_for_events(joins + 1, "lets it in again", any_joined);
        linked.ends_golden();
    }
}

#[test]
fn a_connection_cut_after_any_number_of_bytes_is_made_anew() {
    let mut linked = Linked::new(&[]);
    for (bytes, fate) in
        [(1, Fate::Close), (3_000, Fate::Reset), (70_000, Fate::Close), (250_000, Fate::Reset)]
    {
        for way in [Way::Up, Way::Down] {
            let joins = linked.joins();
            let drops = linked.run.events_with(any_dropped);
            linked.proxy.set(way, Link::after(bytes, fate));
            linked.proxy.wait_for_fate(way, PATIENCE);
            linked.run.wait_for_events(drops + 1, "drops one", any_dropped);
            linked.proxy.set_both(SLOW);
            linked.run.wait_for_events(joins + 1, "lets it in again", any_joined);
        }
    }
    linked.ends_golden();
}

#[test]
fn a_reset_connection_is_made_anew() {
    let mut linked = Linked::new(&[]);
    for _ in 0..4 {
        let joins = linked.joins();
        linked.proxy.break_all(Fate::Reset);
        linked.run.wait_for_events(joins + 2, "lets both in again", any_joined);
        linked.advance(5);
    }
    linked.ends_golden();
}
