//! The final checkpoint has the same bytes whatever the number of workers and threads, and however often the
//! run was stopped and resumed.

use clap::Parser;
use coordinator::cli::Flags;
use coordinator::observe::console::Console;
use coordinator::run::{Summary, prepare_run};
use tests::cluster::{digests, train};
use tests::small_data::SmallData;

/// Settings that the bits depend on, with sizes that nothing divides: 602 training samples, 13 steps per
/// epoch, 8 leaves per step, two samples in the last step.
const NUMBERS: [&str; 8] =
    ["--val-split", "41", "--batch-size", "50", "--micro-batch", "7", "--checkpoint-every", "4"];

fn run(data: &SmallData, more: &[&str], threads: &[u32]) -> Summary {
    let checkpoints = tempfile::tempdir().expect("a folder");
    run_in(checkpoints.path().to_str().expect("a readable name"), data, more, threads)
}

fn run_in(checkpoints: &str, data: &SmallData, more: &[&str], threads: &[u32]) -> Summary {
    let flags = ["--dataset", data.folder(), "--checkpoint-dir", checkpoints];
    let summary = train(&[&flags[..], &NUMBERS, more].concat(), threads);
    assert_eq!(summary.dataset, data.folder());
    summary
}

#[test]
fn any_number_of_workers_and_threads_ends_with_the_same_bits() {
    let data = SmallData::write();
    let alone = run(&data, &["--epochs", "2"], &[1]);
    assert_eq!(alone.steps, 26);
    for threads in [&[2][..], &[1, 1], &[2, 1, 1], &[1, 1, 1, 1, 1]] {
        let together = run(&data, &["--epochs", "2"], threads);
        assert_eq!(digests(&together), digests(&alone), "workers with {threads:?} threads");
        let confusion = |summary: &Summary| summary.test.as_ref().unwrap().confusion.clone();
        assert_eq!(confusion(&together), confusion(&alone));
    }
}

#[test]
fn a_summary_tells_of_the_checkpoint_on_disk() {
    let data = SmallData::write();
    let [one, other] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let [one, other] = [&one, &other].map(|folder| folder.path().to_str().expect("a readable name"));
    let written = run_in(one, &data, &["--epochs", "1"], &[1]);
    let on_disk = ["model.safetensors", "optimizer.safetensors"]
        .map(|file| common::checkpoint::digest(&std::fs::read(written.checkpoint.join(file)).unwrap()));
    assert_eq!(digests(&written), on_disk);
    // Nothing is left to do, so nothing is written into the other folder.
    let folder = written.checkpoint.to_str().unwrap();
    let resumed = run_in(other, &data, &["--epochs", "1", "--resume", folder], &[1]);
    assert_eq!((&resumed.checkpoint, digests(&resumed)), (&written.checkpoint, on_disk));
}

#[test]
fn every_model_and_optimizer_keeps_its_bits() {
    let data = SmallData::write();
    for flags in [
        &["--epochs", "1", "--model", "linear", "--optimizer", "sgd", "--nesterov"][..],
        &["--model", "mlp", "--hidden", "33,17", "--optimizer", "adamw"],
        &["--model", "mlp", "--wire-dtype", "bf16"],
        &["--model", "mlp", "--param-groups", "fc1*(frozen) *.bias(lr_factor=2,weight_decay=0)"],
        &[
            "--model",
            "mlp",
            "--schedule",
            "step",
            "--warmup-steps",
            "5",
            "--clip-grad-norm",
            "0.5",
            "--init",
            "glorot",
        ],
    ] {
        assert_eq!(digests(&run(&data, flags, &[1])), digests(&run(&data, flags, &[1, 2, 1])), "{flags:?}");
    }
}

#[test]
fn more_large_gradients_than_there_is_room_for_end_with_the_same_bits() {
    let data = SmallData::write();
    // A gradient of more than 4 MiB. A step has 20 of them, and the coordinator's budget is 8.
    let large = ["--model", "mlp", "--hidden", "1400", "--epochs", "1", "--val-split", "43"];
    let steps = ["--batch-size", "300", "--micro-batch", "15"];
    let run = |threads: &[u32]| {
        let checkpoints = tempfile::tempdir().expect("a folder");
        let folder = checkpoints.path().to_str().expect("a readable name");
        let place = ["--dataset", data.folder(), "--checkpoint-dir", folder];
        digests(&train(&[&place[..], &large, &steps].concat(), threads))
    };
    assert_eq!(run(&[1; 20]), run(&[1]));
}

#[test]
fn normalized_samples_train_to_the_same_bits_whoever_computes() {
    let data = SmallData::write();
    let flags = ["--model", "conv(4,3) relu maxpool(2) flatten dense", "--epochs", "2"];
    let standard = [&flags[..], &["--normalize", "standard"]].concat();
    let alone = run(&data, &standard, &[1]);
    assert_eq!(digests(&run(&data, &standard, &[1, 1, 1])), digests(&alone));
    assert_ne!(digests(&run(&data, &flags, &[1])), digests(&alone));
}

#[test]
fn a_resumed_run_keeps_its_normalization() {
    let data = SmallData::write();
    let [first, other] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let [first, other] = [&first, &other].map(|folder| folder.path().to_str().expect("a readable name"));
    let flags = ["--model", "linear", "--epochs", "2", "--normalize", "standard"];
    let straight = run(&data, &flags, &[1]);
    assert_eq!(run_in(first, &data, &[&flags[..], &["--max-steps", "9"]].concat(), &[1]).steps, 9);
    // From the folder, whose settings are taken; then from the run's own checkpoints, by its flags.
    let resumed = run_in(other, &data, &["--resume", first], &[1, 1]);
    assert_eq!(digests(&resumed), digests(&straight));
    let refused = |more: &[&str]| {
        let place = ["coordinator", "--dataset", data.folder(), "--checkpoint-dir", first];
        let all = [&place[..], &NUMBERS, &["--model", "linear", "--epochs", "2"], more].concat();
        let options = Flags::try_parse_from(all).unwrap().options().unwrap();
        prepare_run(&options.run, &Console::silent()).err().expect("no run").to_string()
    };
    for more in [&[][..], &["--resume", first, "--normalize", "unit"]] {
        let error = refused(more);
        assert!(error.contains("normalize: saved standard(mean=0.") && error.contains("now unit"), "{error}");
    }
    let resumed = run_in(first, &data, &flags, &[1]);
    assert_eq!(digests(&resumed), digests(&straight));
}

#[test]
fn another_seed_is_another_run() {
    let data = SmallData::write();
    let model = |seed| run(&data, &["--model", "linear", "--seed", seed], &[1]).model_sha256;
    let one = model("1");
    assert_eq!(one, model("1"));
    assert_ne!(one, model("2"));
}

#[test]
fn more_epochs_go_on_from_where_fewer_ended() {
    let data = SmallData::write();
    let folder = tempfile::tempdir().unwrap();
    let model = ["--model", "mlp", "--hidden", "20", "--schedule", "constant", "--epochs"];
    let run_for = |folder: &str, epochs, threads: &[u32]| {
        run_in(folder, &data, &[&model[..], &[epochs]].concat(), threads)
    };
    let folder = folder.path().to_str().unwrap();
    assert_eq!(run_for(folder, "2", &[1]).steps, 26);
    let longer = run_for(folder, "3", &[1, 1]);
    let straight = run(&data, &[&model[..], &["3"]].concat(), &[2]);
    assert_eq!((longer.steps, digests(&longer)), (39, digests(&straight)));
}
