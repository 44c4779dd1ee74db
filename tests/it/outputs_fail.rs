//! Standard output and standard error that can't be written: closed, on a full disk, into a pipe whose reader
//! is gone or never reads. No run ends or changes for it.

use common::checkpoint::digest;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::File;
use std::path::Path;
use tests::golden::{Bench, golden};
use tests::process::{JSON, Process};

/// Flags of a run with a worker of its own.
const LOCAL: [&str; 7] = ["--bind", "127.0.0.1:0", "--workers", "1", "--local", "--threads", "1"];

/// Lines of shell after which a stream, 1 or 2, can't be written. `fifo` is the path of a FIFO.
fn broken(how: &str, stream: u8, fifo: &Path) -> String {
    match how {
        "closed" => format!("exec {stream}>&-"),
        "full" => format!("exec {stream}>/dev/full"),
        // Its only reader has read nothing when it ends.
        "gone" => format!("(: <'{0}') & exec {stream}>'{0}'; wait", fifo.display()),
        _ => unreachable!("{how} is none of these"),
    }
}

/// Asserts that the run in that folder has ended with the golden bits.
fn assert_golden_files(bench: &Bench, what: &str) {
    let newest = bench.folder().join(format!("step-{:012}", bench.newest()));
    let read = |name| std::fs::read(newest.join(name)).expect("a checkpoint");
    let found = ["model.safetensors", "optimizer.safetensors"].map(|name| digest(&read(name)));
    assert_eq!(&found, golden(), "{what}");
}

fn fifo(bench: &Bench, name: &str) -> std::path::PathBuf {
    let path = bench.folder().join(name);
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).expect("a name that is free");
    path
}

#[test]
fn a_run_whose_output_is_lost_ends_with_its_bits_and_success() {
    let formats: [&[&str]; 2] = [&[], JSON];
    for how in ["closed", "full", "gone"] {
        for streams in [&[1][..], &[2], &[1, 2]] {
            let runs = formats.map(|format| {
                let bench = Bench::new();
                let lines = streams
                    .iter()
                    .map(|&stream| broken(how, stream, &fifo(&bench, &format!("stream-{stream}"))));
                let prepare = lines.collect::<Vec<_>>().join("; ");
                let run =
                    Process::start_after(&prepare, "coordinator", &[&bench.flags(&LOCAL), format].concat());
                (format!("{how} {streams:?} {format:?}"), bench, run)
            });
            for (what, bench, run) in runs {
                let outcome = run.wait();
                assert_eq!(outcome.code, Some(0), "{what}: {}", outcome.errors);
                assert_golden_files(&bench, &what);
            }
        }
    }
}

#[test]
fn a_worker_whose_output_is_lost_works_to_the_end() {
    let bench = Bench::new();
    let (run, address) = bench.coordinator(&["--workers", "3"]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("stderr");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).expect("a name that is free");
    let workers = ["closed", "full", "gone"].map(|how| {
        let args = ["--connect", &address, "--name", how, "--threads", "1"];
        (how, Process::start_after(&broken(how, 2, &path), "worker", &args))
    });
    for (how, worker) in workers {
        assert_eq!(worker.wait().code, Some(0), "{how}");
    }
    tests::golden::assert_golden(&run.wait());
}

/// Starts a program whose stderr goes into a pipe that nobody reads, with far more lines than it takes.
fn unread(folder: &Path, name: &str, args: &[&str]) -> (Process, File) {
    let path = folder.join(name);
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).expect("a name that is free");
    let prepare = format!("export RUST_LOG=trace; exec 2>'{}'", path.display());
    let process = Process::start_after(&prepare, name, args);
    (process, File::open(path).expect("a FIFO"))
}

#[test]
fn a_reader_that_never_reads_holds_nobody_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = Bench::new();
    let (alone, _reader) = unread(folder.path(), "coordinator", &local.flags(&LOCAL));
    let bench = Bench::new();
    let (run, address) = bench.coordinator(&["--workers", "1"]);
    let (worker, _reader) = unread(folder.path(), "worker", &["--connect", &address, "--threads", "1"]);
    assert_eq!(worker.wait().code, Some(0));
    tests::golden::assert_golden(&run.wait());
    tests::golden::assert_golden(&alone.wait());
}
