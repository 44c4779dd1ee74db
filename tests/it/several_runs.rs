//! Runs come and go on a standing cluster, one after the other and at the same time. Each ends in the bits of
//! its own lone run, whatever becomes of the others and of the workers.

use common::checkpoint::{Checkpoint, MANIFEST_FILE, MODEL_FILE, Manifest, OPTIMIZER_FILE};
use common::event::{Event, RunOutcome};
use common::selftest::{NumericsDigest, PROMISED};
use common::train::config::RunConfig;
use coordinator::RunError;
use coordinator::cluster::Farewell;
use proto::setup::SETUPS_MAX;
use std::path::Path;
use std::sync::OnceLock;
use tests::cluster::{StandingCluster, Trial, digests, train, within_time};
use tests::process::Process;
use tests::small_data::SmallData;
use tests::told::{any_joined, joined};

/// Runs that have nothing in common but their data: other networks, seeds, batches, optimizers, precisions.
const TRIALS: [&[&str]; 5] = [
    &["--model", "linear", "--seed", "3", "--batch-size", "1000", "--micro-batch", "70", "--lr", "0.05"],
    &["--model", "mlp", "--hidden", "48", "--seed", "4", "--batch-size", "1500", "--optimizer", "adamw"],
    &["--model", "mlp", "--hidden", "32,16", "--batch-size", "900", "--wire-dtype", "bf16"],
    &[
        "--model",
        "flatten dense(24) gelu dense",
        "--seed",
        "6",
        "--batch-size",
        "1100",
        "--micro-batch",
        "90",
    ],
    // The network of the first one, with other inputs.
    &["--model", "linear", "--seed", "3", "--batch-size", "1200", "--normalize", "standard"],
];
/// What they have in common.
const COMMON: [&str; 8] =
    ["--dataset", "digits", "--val-split", "41", "--epochs", "1", "--checkpoint-every", "20"];

fn flags(trial: usize) -> Vec<&'static str> {
    [&COMMON, TRIALS[trial]].concat()
}

/// The digests of a trial that has a cluster of its own.
fn lone(trial: usize) -> &'static [String; 2] {
    static LONE: [OnceLock<[String; 2]>; TRIALS.len()] = [const { OnceLock::new() }; TRIALS.len()];
    LONE[trial].get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let own = ["--checkpoint-dir", folder.path().to_str().expect("a readable name")];
        digests(&train(&[&flags(trial)[..], &own].concat(), &[1]))
    })
}

/// Waits for a trial's end, which must be that of its lone run. Returns what was told of it and not read yet.
async fn ends_like_alone(number: usize, trial: Trial) -> Vec<Event> {
    let (result, events, _) = trial.end().await;
    let summary = result.unwrap_or_else(|error| panic!("trial {number}: {error}"));
    assert_eq!(&digests(&summary), lone(number), "trial {number}");
    events
}

/// How often workers have joined, according to those events.
fn joins(events: &[Event]) -> usize {
    events.iter().filter(|event| any_joined(event)).count()
}

/// Draws the lone runs' digests, before the runtime of a test is there.
fn draw_lone() {
    (0..TRIALS.len()).for_each(|trial| drop(lone(trial).clone()));
}

#[test]
fn one_run_after_the_other_ends_in_the_bits_of_its_lone_run() {
    draw_lone();
    within_time(async {
        let mut cluster = StandingCluster::open(2, &[]);
        (0..2).for_each(|_| cluster.add_worker());
        // A larger network follows a smaller one, and the other way round.
        for (at, trial) in [0, 1, 2, 0].into_iter().enumerate() {
            let events = ends_like_alone(trial, cluster.start(&flags(trial)).await).await;
            assert!(at == 0 || joins(&events) == 0, "they are there already");
        }
        cluster.close().await;
    });
}

#[test]
fn runs_at_the_same_time_end_in_the_bits_of_their_lone_runs() {
    draw_lone();
    within_time(async {
        let mut cluster = StandingCluster::open(2, &[]);
        let mut one = cluster.start(&flags(0)).await;
        let mut other = cluster.start(&flags(1)).await;
        (0..2).for_each(|_| cluster.add_worker());
        one.reaches(3).await;
        other.reaches(3).await;
        let late = cluster.start(&flags(2)).await;
        assert_eq!(joins(&ends_like_alone(2, late).await), 0);
        for (number, trial) in [(0, one), (1, other)] {
            assert_eq!(joins(&ends_like_alone(number, trial).await), 0, "each has joined once");
        }
        cluster.close().await;
    });
}

#[test]
fn runs_of_one_network_at_the_same_time_have_inputs_of_their_own() {
    draw_lone();
    within_time(async {
        let mut cluster = StandingCluster::open(1, &[]);
        let unit = cluster.start(&flags(0)).await;
        let standard = cluster.start(&flags(4)).await;
        cluster.add_worker();
        for (number, trial) in [(0, unit), (4, standard)] {
            ends_like_alone(number, trial).await;
        }
        cluster.close().await;
    });
}

#[test]
fn workers_that_die_and_join_meanwhile_change_no_runs_bits() {
    draw_lone();
    within_time(async {
        let mut cluster = StandingCluster::open(2, &[]);
        let mut trials = Vec::new();
        for trial in 0..TRIALS.len() {
            trials.push(cluster.start(&flags(trial)).await);
        }
        cluster.add_worker();
        let mortal = Process::worker(&cluster.address(), "mortal");
        for trial in &mut trials {
            trial.wait_for(joined("mortal")).await;
            trial.reaches(4).await;
        }
        mortal.signal(nix::sys::signal::Signal::SIGKILL);
        for trial in &mut trials {
            let of_mortal = |event: &Event| matches!(event, Event::WorkerDropped { departure, .. } if departure.worker == "mortal");
            trial.wait_for(of_mortal).await;
        }
        cluster.add_worker();
        for (number, mut trial) in trials.into_iter().enumerate() {
            trial.wait_for(joined("worker-1")).await;
            assert_eq!(joins(&ends_like_alone(number, trial).await), 0);
        }
        cluster.close().await;
        assert_eq!(mortal.wait().code, None);
    });
}

#[test]
fn a_run_that_fails_or_stops_leaves_the_others_alone() {
    draw_lone();
    within_time(async {
        let mut cluster = StandingCluster::open(2, &[]);
        let mut stopped = cluster.start(&flags(1)).await;
        let well = cluster.start(&flags(0)).await;
        let diverging = [&COMMON[..], &["--model", "mlp", "--optimizer", "sgd", "--lr", "1e30"]].concat();
        let failing = cluster.start(&diverging).await;
        (0..2).for_each(|_| cluster.add_worker());
        stopped.reaches(2).await;
        stopped.stop.send_replace(1);
        let (result, events, folder) = stopped.end().await;
        assert!(result.expect("a checkpoint").test.is_none());
        let ended = |events: &[Event]| {
            let outcome = events.iter().find_map(|event| match event {
                Event::RunEnded { outcome, .. } => Some(outcome.clone()),
                _ => None,
            });
            outcome.expect("an end")
        };
        assert_eq!(ended(&events), RunOutcome::Stopped);
        let (result, events, _) = failing.end().await;
        let error = result.expect_err("it diverges");
        assert!(matches!(error, RunError::NonFinite { .. } | RunError::Train(_)), "{error}");
        assert!(matches!(ended(&events), RunOutcome::Failed { .. }));
        ends_like_alone(0, well).await;
        // It goes on from its checkpoint on the same cluster.
        let resumed = cluster.try_start(&flags(1), folder).await.expect("a run");
        let events = ends_like_alone(1, resumed).await;
        assert!(events.iter().any(|event| matches!(event, Event::RunResumed(_))));
        cluster.close().await;
    });
}

#[test]
fn a_run_too_many_is_refused_until_another_has_ended() {
    let data = SmallData::of(20, 1);
    let flags = ["--dataset", data.folder(), "--val-split", "1", "--model", "linear"];
    within_time(async {
        let cluster = StandingCluster::open(1, &[]);
        let folder = || tempfile::tempdir().expect("a folder");
        let mut trials = Vec::new();
        for _ in 0..SETUPS_MAX {
            trials.push(cluster.start(&flags).await);
        }
        let refused = cluster.try_start(&flags, folder()).await.err().expect("no number is left");
        assert!(matches!(refused, RunError::TooManyRuns { most: SETUPS_MAX }), "{refused}");
        let (first, ..) = {
            let trial = trials.swap_remove(0);
            trial.stop.send_replace(1);
            trial.end().await
        };
        assert_eq!(first.expect("a checkpoint of the beginning").steps, 0);
        trials.push(cluster.try_start(&flags, folder()).await.expect("a number is free"));
        cluster.session.close(Farewell::Stopped).await;
        for trial in trials {
            let (result, events, _) = trial.end().await;
            assert!(matches!(result, Err(RunError::Closed)), "{result:?}");
            assert!(matches!(events.last(), Some(Event::RunEnded { .. })));
        }
    });
}

#[test]
fn a_cluster_that_is_dropped_ends_its_runs_and_lets_go_of_its_workers() {
    within_time(async {
        let mut cluster = StandingCluster::open(1, &[]);
        let mut trial = cluster.start(&flags(1)).await;
        let worker = Process::worker(&cluster.address(), "left");
        cluster.add_worker();
        trial.reaches(1).await;
        drop(cluster);
        let (result, ..) = trial.end().await;
        assert!(matches!(result, Err(RunError::Closed)), "{result:?}");
        drop(worker);
    });
}

/// Rewrites a checkpoint as a machine of other arithmetic would have left it.
fn compute_otherwise(folder: &Path) {
    let read = |file| std::fs::read(folder.join(file)).expect("a file of the checkpoint");
    let manifest = Manifest::parse(&read(MANIFEST_FILE)).expect("a manifest");
    let config = RunConfig::from_fields(&manifest.config).expect("a configuration");
    let layout = config.model().layout();
    let verified =
        manifest.verify(read(MODEL_FILE), read(OPTIMIZER_FILE), Vec::new()).expect("a whole checkpoint");
    let decoded = verified.decode(layout, config.training().optimizer.slots()).expect("the run's checkpoint");
    let other = Checkpoint { numerics: Some(NumericsDigest(PROMISED.0 ^ 1)), ..decoded };
    for (name, bytes) in other.encode(layout).files {
        std::fs::write(folder.join(name), bytes).expect("the same checkpoint");
    }
}

#[test]
fn a_checkpoint_of_other_arithmetic_is_refused_beside_other_runs() {
    draw_lone();
    within_time(async {
        let mut cluster = StandingCluster::open(1, &[]);
        cluster.add_worker();
        let (result, _, folder) = cluster.start(&flags(1)).await.end().await;
        compute_otherwise(&result.expect("a complete run").checkpoint);
        let mut own = cluster.start(&flags(2)).await;
        own.reaches(1).await;
        let (result, ..) = cluster.try_start(&flags(1), folder).await.expect("a run").end().await;
        let refused = result.expect_err("it would go on with other bits");
        assert!(matches!(refused, RunError::OtherArithmetic { .. }), "{refused}");
        ends_like_alone(2, own).await;
        cluster.close().await;
    });
}

#[test]
fn a_network_that_outgrows_shared_memory_and_buffers_keeps_its_bits() {
    let data = SmallData::write();
    // Gradients of the large one wait for the gradient budget.
    let small = ["--model", "linear", "--epochs", "2"];
    let large = ["--model", "mlp", "--hidden", "1400", "--epochs", "1"];
    let common =
        ["--dataset", data.folder(), "--val-split", "41", "--batch-size", "150", "--micro-batch", "30"];
    let flags = [&small[..], &large].map(|own| [&common[..], own].concat());
    let lone = flags.each_ref().map(|flags| {
        let folder = tempfile::tempdir().expect("a folder");
        let own = ["--checkpoint-dir", folder.path().to_str().expect("a readable name")];
        digests(&train(&[&flags[..], &own].concat(), &[1]))
    });
    within_time(async {
        let mut cluster = StandingCluster::open(2, &[]);
        (0..2).for_each(|_| cluster.add_worker());
        for trial in [0, 1, 0] {
            let (result, ..) = cluster.start(&flags[trial]).await.end().await;
            assert_eq!(digests(&result.expect("a complete run")), lone[trial]);
        }
        let both = [cluster.start(&flags[0]).await, cluster.start(&flags[1]).await];
        for (trial, lone) in both.into_iter().zip(&lone) {
            assert_eq!(&digests(&trial.end().await.0.expect("a complete run")), lone);
        }
        cluster.close().await;
    });
}
