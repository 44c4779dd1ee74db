//! Every entry point survives any bytes: arbitrary ones, and valid ones that were changed.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tests::hostile::{ENTRY_POINTS, seeds};

/// Number of cases for each entry point and each way of making bytes.
const CASES: u32 = 1000;

fn runner() -> TestRunner {
    // A failure is printed; there is no file to find it in again.
    TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() })
}

#[test]
fn good_bytes_pass_every_entry_point() {
    for (name, entry_point) in ENTRY_POINTS {
        for seed in seeds(name) {
            assert!(entry_point(&seed), "{name}");
        }
    }
}

#[test]
fn arbitrary_bytes_come_back_from_every_entry_point() {
    for (name, entry_point) in ENTRY_POINTS {
        let tried = runner().run(&vec(any::<u8>(), 0..2000), |bytes| {
            let _ = entry_point(&bytes);
            Ok(())
        });
        assert!(tried.is_ok(), "{name}: {tried:?}");
    }
}

#[test]
fn changed_good_bytes_come_back_from_every_entry_point() {
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let cuts = proptest::option::of(any::<prop::sample::Index>());
    let inserted = (any::<prop::sample::Index>(), vec(any::<u8>(), 0..12));
    for (name, entry_point) in ENTRY_POINTS {
        let seed = seeds(name).remove(0);
        // Most of a long seed is numbers. Headers are at its beginning, so half of the changes are made
        // there.
        let near = seed.len().min(200);
        let tried =
            runner().run(&(&changes, &cuts, &inserted, any::<bool>()), |(changes, cut, more, near_start)| {
                let mut bytes = seed.clone();
                let range = if near_start { near } else { bytes.len() };
                for (at, byte) in changes {
                    bytes[at.index(range)] = byte;
                }
                let at = more.0.index(range);
                bytes.splice(at..at, more.1);
                if let Some(cut) = cut {
                    bytes.truncate(cut.index(bytes.len()));
                }
                let _ = entry_point(&bytes);
                Ok(())
            });
        assert!(tried.is_ok(), "{name}: {tried:?}");
    }
}

#[test]
fn gzip_that_was_changed_comes_back_as_an_error_or_data() {
    // Everything after the magic number is taken for deflate.
    let (_, entry_point) = ENTRY_POINTS.into_iter().find(|(name, _)| *name == "dataset").unwrap();
    let tried = runner().run(&(vec(any::<u8>(), 0..600), any::<bool>()), |(deflated, stored)| {
        let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        // A stored block, so that a header may come out of it.
        let block: &[u8] =
            if stored { &[1, 16, 0, 239, 255, 0, 0, 8, 3, 255, 255, 255, 255, 0, 0, 0, 28] } else { &[] };
        let file = [&header, block, &deflated].concat();
        let bytes = [&(file.len() as u32).to_le_bytes()[..], &file, &file].concat();
        assert!(!entry_point(&bytes));
        Ok(())
    });
    assert!(tried.is_ok(), "{tried:?}");
}
