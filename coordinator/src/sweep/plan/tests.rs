use super::*;
use crate::observe::console::Console;
use std::path::Path;

/// Plans a search with that file, and these flags after those that every trial has.
fn plan(text: &str, flags: &[&str]) -> Result<Plan, SweepError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("search.toml");
    std::fs::write(&path, text).unwrap();
    let args = ["program", "--dataset", "digits", "--model", "linear"].iter().chain(flags);
    Plan::new(SweepFile::read(&path)?, args.map(OsString::from).collect(), &Console::silent())
}

const SEARCH: &str =
    "method = \"halving\"\ntrials = 27\n[fixed]\nepochs = 27\nlr = 0.5\n[search]\nmicro-batch = [16, 64]";

#[test]
fn a_trial_is_the_command_line_with_what_is_fixed_and_its_settings() {
    let plan = plan(SEARCH, &["--lr", "0.25", "--checkpoint-dir", "kept", "--max-time", "1h"]).unwrap();
    assert_eq!(plan.rungs, [1, 3, 9, 27]);
    assert_eq!((plan.trials.len(), plan.folder.as_path()), (27, Path::new("kept")));
    assert!(plan.stop_at.is_some());
    for (number, trial) in plan.trials.iter().enumerate() {
        let training = &trial.options.training;
        assert_eq!(
            (training.schedule.lr, training.epochs),
            (Some(0.25), Some(27)),
            "the command line goes first"
        );
        let chosen = trial.settings["micro-batch"].as_integer().map(|chosen| chosen as u32);
        assert_eq!(training.micro_batch, chosen);
        let to_rung = plan.to_rung(number as u32, 1);
        assert_eq!((to_rung.pause_after, to_rung.stop_at), (Some(3), None));
        assert_eq!(to_rung.checkpoint_dir, Some(format!("kept/trials/{number:04}").into()));
    }
    let winner = plan.to_test(3, 0);
    assert_eq!((winner.pause_after, winner.checkpoint_dir), (None, Some("kept/trials/0003".into())));
    let repeat = plan.to_test(3, 2);
    assert_eq!((repeat.training.seed, repeat.checkpoint_dir), (Some(3), Some("kept/repeats/seed-3".into())));
}

#[test]
fn rungs_are_shares_of_the_training_until_one_is_left() {
    for ((epochs, eta, trials), rungs) in [
        ((27, 3, 27), &[1, 3, 9, 27][..]),
        ((5, 3, 27), &[1, 2, 5]),
        ((9, 3, 8), &[3, 9]),
        ((9, 3, 2), &[9]),
        ((1, 3, 9), &[1]),
        ((16, 2, 8), &[2, 4, 8, 16]),
    ] {
        assert_eq!(default_rungs(epochs, eta, trials), rungs, "{epochs} {eta} {trials}");
    }
    let rungs = |line: &str| plan(&format!("{line}\n{SEARCH}"), &[]).map(|plan| plan.rungs);
    assert_eq!(rungs("rungs = [2, 5]").unwrap(), [2, 5, 27]);
    assert_eq!(rungs("rungs = [2, 27]").unwrap(), [2, 27]);
    assert!(rungs("rungs = [2, 28]").unwrap_err().to_string().contains("28 is beyond the 27 epochs"));
}

#[test]
fn what_no_search_can_choose_is_refused_by_name() {
    let grid = |lines: &str| format!("method = \"grid\"\n{lines}");
    for (text, flags, named) in [
        (grid("[search]\nseed = [1, 2]"), &[][..], "[search] seed: a seed is no setting to choose by"),
        (grid("[search]\nval-split = [1, 2]"), &[], "[search] val-split: trials are compared"),
        (grid("[search]\nworkers = [1, 2]"), &[], "[search] workers: it changes no bit"),
        (grid("[search]\nspeed = [1, 2]"), &[], "[search] there is no flag --speed"),
        (grid("[search]\nlr = [1.0]"), &["--lr", "1"], "[search] lr: the command line or the environment"),
        (grid("[fixed]\nspeed = 1\n[search]\nlr = [1.0]"), &[], "[fixed] there is no flag --speed"),
        (
            grid("[fixed]\ntrace = \"t\"\n[search]\nlr = [1.0]"),
            &[],
            "[fixed] trace: it is a flag of the program",
        ),
        (grid("[fixed]\nval-split = 0\n[search]\nlr = [1.0]"), &[], "set --val-split above 0"),
        (grid("[fixed]\nresume = \"never\"\n[search]\nlr = [1.0]"), &[], "leave out --resume"),
        (grid("[fixed]\nmax-steps = 3\n[search]\nlr = [1.0]"), &["--sweep", "f"], "cannot be used with"),
        (grid("[search]\nlr = [1.0, \"fast\"]"), &[], "trial 1 (lr=fast): invalid value 'fast' for '--lr"),
        (
            grid("[search]\nlr = [[1.0]]\nbeta1 = [2.0]"),
            &[],
            "trial 0 (beta1=2.0 lr=1.0): --optimizer: beta1 is 2",
        ),
        (grid("[search]\nmomentum = [0.5]"), &[], "trial 0 (momentum=0.5): --momentum has a meaning with"),
        (
            SEARCH.replace("micro-batch", "epochs").replace("epochs = 27\n", ""),
            &[],
            "all trials have the same length",
        ),
    ] {
        let error = plan(&text, flags).err().unwrap_or_else(|| panic!("{text} is refused"));
        assert!(error.is_usage() && error.to_string().contains(named), "{text}:\n{error}");
        assert!(error.to_string().contains("search.toml"), "{error}");
    }
}
