//! Special files in place of regular ones. FIFOs, links, endless and forged files are refused with a message,
//! in bounded time and memory. Nothing that is not the run's is read or emptied.

use common::checkpoint::digest;
use nix::sys::signal::Signal::SIGTERM;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::golden::{Bench, assert_golden};
use tests::hostile::seeds;
use tests::process::{Outcome, Process};
use tests::small_data::SmallData;
use tests::small_pictures::SmallPictures;
use tests::tables::crc32;
use tests::told::resumed;

/// Timeout for a program to refuse its files, on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Largest memory of a program that was given files which claim a GiB, in kB.
const MEMORY_KB_MAX: u64 = 400_000;
const GIB: u64 = 1 << 30;

fn fifo(path: &Path) {
    mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).expect("a name that is free");
}

/// Result of a program that must refuse to start.
fn refused(name: &str, args: &[&str]) -> Outcome {
    let outcome = Process::start(name, args).wait_for(PATIENCE);
    assert_ne!(outcome.code, Some(0), "{}", outcome.errors);
    assert!(!outcome.errors.contains("panicked"), "{}", outcome.errors);
    outcome
}

/// A stopped run and the folder of its newest checkpoint.
fn stopped() -> (Bench, PathBuf) {
    let bench = Bench::new();
    let _ = bench.stopped(1, 10, SIGTERM);
    let newest = bench.folder().join(format!("step-{:012}", bench.newest()));
    (bench, newest)
}

/// Changes a manifest's text and updates its digest.
fn forge(checkpoint: &Path, change: impl Fn(String) -> String) {
    let path = checkpoint.join("manifest.json");
    let text = change(fs::read_to_string(&path).expect("a manifest"));
    // The last field is the digest of the text without it.
    let (text, _) = text.rsplit_once("\"sha256\"").expect("a digest");
    let with = |digest: &str| format!("{text}\"sha256\": \"{digest}\"\n}}\n");
    fs::write(path, with(&digest(with("").as_bytes()))).expect("a folder that can be written");
}

#[test]
fn a_fifo_where_a_file_should_be_is_refused_and_not_waited_for() {
    let bench = Bench::new();
    for name in ["lock", "metrics.jsonl"] {
        let path = bench.folder().join(name);
        let _ = fs::remove_file(&path);
        fifo(&path);
        let errors = refused("coordinator", &bench.flags(&["--bind", "127.0.0.1:0"])).errors;
        assert!(errors.contains(&format!("{name}: it is a FIFO")), "{errors}");
        fs::remove_file(path).unwrap();
    }
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("flags.toml");
    fifo(&config);
    let config = config.to_str().unwrap();
    for (program, own) in [("coordinator", "--bind=127.0.0.1:0"), ("worker", "--connect=127.0.0.1:1")] {
        let errors = refused(program, &[own, "--config", config]).errors;
        assert!(errors.contains("flags.toml: it is a FIFO"), "{errors}");
    }
    let data = SmallData::write();
    let images = Path::new(data.folder()).join("train-images-idx3-ubyte");
    fs::remove_file(&images).unwrap();
    fifo(&images);
    let folder = home.path().join("checkpoints");
    let flags = ["--dataset", data.folder(), "--checkpoint-dir", folder.to_str().unwrap()];
    let errors = refused("coordinator", &flags).errors;
    assert!(errors.contains("train-images-idx3-ubyte: it is a FIFO"), "{errors}");
}

#[test]
fn a_checkpoint_with_a_fifo_or_a_link_in_it_is_passed_over() {
    type Fault = fn(&Path);
    let faults: [(&str, Fault); 3] = [
        ("manifest.json", fifo),
        ("model.safetensors", fifo),
        ("optimizer.safetensors", |path| {
            let elsewhere = path.with_extension("elsewhere");
            fs::write(&elsewhere, "somebody's").unwrap();
            symlink(elsewhere, path).unwrap();
        }),
    ];
    let (bench, newest) = stopped();
    for (file, fault) in faults {
        let path = newest.join(file);
        let good = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fault(&path);
        let (run, _) = bench.coordinator(&[]);
        let errors = run.errors();
        let refusal = errors.lines().find(|line| line.contains("passing over a checkpoint"));
        assert!(refusal.is_some_and(|line| line.contains(&format!("{file}: it is a"))), "{errors}");
        drop(run);
        fs::remove_file(&path).unwrap();
        fs::write(&path, good).unwrap();
    }
    assert_golden(&bench.local("2").wait());
}

#[test]
fn a_checkpoint_with_a_number_that_is_not_finite_is_passed_over() {
    let (bench, newest) = stopped();
    let path = newest.join("optimizer.safetensors");
    let good = fs::read(&path).unwrap();
    let at = 4;
    let mut bytes = good.clone();
    let last = bytes.len() - at;
    bytes[last..].copy_from_slice(&f32::INFINITY.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    forge(&newest, |text| text.replace(&digest(&good), &digest(&bytes)));
    let outcome = bench.local("2").wait();
    let refusal = outcome.errors.lines().find(|line| line.contains("passing over a checkpoint"));
    let named = "optimizer.safetensors: tensor exp_avg_sq.";
    assert!(refusal.is_some_and(|line| line.contains(named)), "{}", outcome.errors);
    assert_golden(&outcome);
}

#[test]
fn a_model_file_longer_than_any_such_model_is_not_read() {
    let (bench, newest) = stopped();
    let path = newest.join("model.safetensors");
    let bytes = path.metadata().unwrap().len();
    File::options().write(true).open(path).unwrap().set_len(GIB).unwrap();
    forge(&newest, |text| text.replace(&format!("\"bytes\": {bytes}"), &format!("\"bytes\": {GIB}")));
    let (mut run, _) = bench.coordinator(&[]);
    run.wait_for_line("model.safetensors: it has 1073741824 bytes");
    assert!(run.status("VmHWM") < MEMORY_KB_MAX, "{} kB", run.status("VmHWM"));
}

#[test]
fn a_metrics_line_without_end_takes_no_memory() {
    let (bench, _) = stopped();
    let path = bench.folder().join("metrics.jsonl");
    let records = fs::read(&path).unwrap();
    File::options().append(true).open(&path).unwrap().set_len(GIB).unwrap();
    let (run, _) = bench.coordinator(&[]);
    assert!(run.status("VmHWM") < MEMORY_KB_MAX, "{} kB", run.status("VmHWM"));
    assert!(fs::metadata(&path).unwrap().len() <= 2 * records.len() as u64);
}

#[test]
fn images_are_held_once() {
    let data = SmallData::write();
    let home = tempfile::tempdir().unwrap();
    // 256 MiB of black images, all of class 0.
    let count = 342_000_u32;
    for (name, header) in [("images-idx3", 16), ("labels-idx1", 8)] {
        let path = Path::new(data.folder()).join(format!("train-{name}-ubyte"));
        let mut start = fs::read(&path).unwrap()[..header as usize].to_vec();
        start[4..8].copy_from_slice(&count.to_be_bytes());
        let mut file = File::create(path).unwrap();
        file.write_all(&start).unwrap();
        let item = if header == 16 { 784 } else { 1 };
        file.set_len(header + u64::from(count) * item).unwrap();
    }
    let folder = home.path().to_str().unwrap();
    let sizes = ["--batch-size", "1024", "--micro-batch", "1024"];
    let flags = [&["--dataset", data.folder(), "--checkpoint-dir", folder], &sizes[..]].concat();
    let (run, _) = Process::coordinator("127.0.0.1:0", &flags);
    assert!(run.status("VmHWM") < MEMORY_KB_MAX, "{} kB", run.status("VmHWM"));
}

/// Files of few bytes that announce pictures of these sides, in PNG, JPEG, WebP and BMP.
fn bombs(side: u16) -> [Vec<u8>; 4] {
    let [mut jpeg, mut png, mut webp]: [Vec<u8>; 3] = seeds("picture").try_into().expect("three pictures");
    let sides = [side, side];
    png[16..24].copy_from_slice(&sides.map(|side| u32::from(side).to_be_bytes()).concat());
    let checksum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    let frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).expect("a frame");
    jpeg[frame + 5..frame + 9].copy_from_slice(&sides.map(u16::to_be_bytes).concat());
    // WebP has 14 bits for a side.
    webp[26..30].copy_from_slice(&sides.map(|side| side.min(0x3fff).to_le_bytes()).concat());
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let size = words(&[58, 0, 54, 40, side.into(), side.into()]);
    let bmp = [&b"BM"[..], &size, &[1, 0, 24, 0], &[0; 28]].concat();
    [png, jpeg, webp, bmp]
}

#[test]
fn a_small_picture_that_announces_a_huge_one_is_refused_in_bounded_memory() {
    // Beyond the largest sides, and within them.
    for side in [u16::MAX, 9999] {
        for bomb in bombs(side) {
            let data = SmallPictures::write();
            let path = data.path().join("flat/7.bmp");
            fs::write(&path, bomb).unwrap();
            let flags = ["--dataset", data.folder(), "--image-size", "8x8", "--inspect"];
            // A process that wants more address space than that in kB is ended by the allocator.
            let outcome = Process::start_after("ulimit -v 1500000", "coordinator", &flags).wait_for(PATIENCE);
            assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
            assert!(outcome.errors.contains(path.to_str().unwrap()), "{}", outcome.errors);
            assert!(!outcome.errors.contains("panicked"), "{}", outcome.errors);
        }
    }
}

#[test]
fn a_link_named_as_the_metrics_file_empties_nothing() {
    let bench = Bench::new();
    let home = tempfile::tempdir().unwrap();
    let victim = home.path().join("victim");
    fs::write(&victim, "somebody's").unwrap();
    symlink(&victim, bench.folder().join("metrics.jsonl")).unwrap();
    let errors = refused("coordinator", &bench.flags(&["--bind", "127.0.0.1:0"])).errors;
    assert!(errors.contains("metrics.jsonl: it is a symbolic link"), "{errors}");
    assert_eq!(fs::read_to_string(victim).unwrap(), "somebody's");
}

#[test]
fn escape_sequences_of_a_manifest_do_not_reach_the_terminal() {
    let (bench, newest) = stopped();
    forge(&newest, |text| text.replace("\"seed\": \"1\"", "\"seed\": \"\\u001b[31m1\""));
    let errors = refused("coordinator", &bench.flags(&["--bind", "127.0.0.1:0"])).errors;
    assert!(errors.contains("seed: saved \\u001b[31m1, now 1"), "{errors}");
    assert!(!errors.contains('\x1b'), "{errors}");
}

#[test]
fn a_folder_of_data_is_read_only_if_it_is_named() {
    let (bench, _) = stopped();
    let flags = bench.flags(&["--bind", "127.0.0.1:0"]);
    let folder = flags[1];
    let rest = &flags[2..];
    let errors = refused("coordinator", rest).errors;
    assert!(errors.contains(&format!("give --dataset {folder} to go on")), "{errors}");
    let (run, _) = bench.coordinator(&[]);
    assert!(run.events_with(resumed) > 0, "{}", run.errors());
}

#[test]
fn a_fifo_that_nobody_reads_is_not_waited_for() {
    let bench = Bench::new();
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("fifo");
    fifo(&path);
    for flag in ["--metrics", "--trace"] {
        let flags = bench.flags(&["--bind", "127.0.0.1:0", flag, path.to_str().unwrap()]);
        let errors = refused("coordinator", &flags).errors;
        assert!(errors.contains("a FIFO that nobody reads"), "{errors}");
    }
}

#[test]
fn metrics_to_standard_output_are_added_to_what_is_there() {
    let bench = Bench::new();
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("output");
    fs::write(&path, "of somebody else\n").unwrap();
    let flags =
        bench.flags(&["--bind", "127.0.0.1:0", "--metrics", "/dev/stdout", "--workers", "1", "--local"]);
    let prepare = format!("exec >>'{}'", path.display());
    let outcome = Process::start_after(&prepare, "coordinator", &flags).wait();
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    let text = fs::read_to_string(path).unwrap();
    assert!(text.starts_with("of somebody else\n{\"kind\":\"run\",\"event\":\"start\""), "{text}");
    assert!(text.contains("{\"kind\":\"test\"") && text.contains("model.safetensors"), "{text}");
}
