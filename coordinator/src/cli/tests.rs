use super::*;
use common::protocol::coordinator::Numerics;

fn options(args: &[&str]) -> Result<Options, clap::Error> {
    Flags::try_parse_from(["coordinator"].iter().chain(args))?.options()
}

#[test]
fn the_flags_are_consistent() {
    Flags::command().help_expected(true).debug_assert();
}

#[test]
fn every_flag_has_an_environment_twin() {
    let command = Flags::command();
    let own = command.get_arguments().filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version"));
    for arg in own {
        let twin = arg.get_env().map(|name| name.to_string_lossy().into_owned());
        let name = arg.get_long().expect("every flag has a long name").replace('-', "_").to_uppercase();
        let expected = match name.as_str() {
            "MNIST_DIR" => name,
            // That of OpenTelemetry's own programs.
            "OTLP" => "OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(),
            _ => format!("LOCKSTEP_{name}"),
        };
        assert_eq!(twin, Some(expected));
    }
}

#[test]
fn workers_are_a_number_or_a_range() {
    assert_eq!(workers("3"), Ok(Workers { start: 3, min: 1, max: 3 }));
    assert_eq!(workers("2:8"), Ok(Workers { start: 2, min: 2, max: 8 }));
    for bad in ["", "0", "3:2", "0:2", "a", "1:", "9999", "-1"] {
        assert!(workers(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_flag_that_would_do_nothing_is_refused() {
    for (args, flag) in [
        (&["--hidden", "8"][..], "--hidden"),
        (&["--momentum", "0.5"], "--momentum"),
        (&["--nesterov"], "--nesterov"),
        (&["--optimizer", "sgd", "--beta1", "0.5"], "--beta1"),
        (&["--step-factor", "0.5"], "--step-factor"),
        (&["--threads", "2"], "--local"),
        (&["--audit-rollback"], "--audit"),
        (&["--mlflow", "http://127.0.0.1:5000"], "--run-dir"),
        (&["--run-dir", "a", "--mlflow", "mlruns"], "http://"),
        (&["--image-size", "8x8"], "--image-size is for a folder of pictures, and --dataset is auto"),
        (&["--dataset", "mnist", "--grayscale"], "--grayscale"),
        (&["--dataset", "digits", "--fit", "pad"], "--fit"),
        (&["--dataset", "auto", "--test-split", "5"], "--test-split"),
    ] {
        let message = options(args).unwrap_err().to_string();
        assert!(message.contains(flag), "{message}");
    }
}

#[test]
fn options_of_pictures_come_from_flags_and_from_the_folders_name() {
    let dataset = |args: &[&str]| options(args).unwrap().run.dataset.to_string();
    assert_eq!(dataset(&["--dataset", "a?fit=pad"]), "a?fit=pad");
    let flags = ["--image-size", "8x9", "--fit", "crop", "--grayscale", "--test-split", "5%"];
    let all = "a?image-size=8x9,grayscale,fit=crop,test-split=5%";
    assert_eq!(dataset(&[&["--dataset", "a?fit=pad"], &flags[..]].concat()), all);
    assert_eq!(dataset(&["--dataset", all]), all);
    for bad in [&["--image-size", "8"][..], &["--fit", "round"], &["--test-split", "100%"]] {
        assert!(options(&[&["--dataset", "a"], bad].concat()).is_err(), "{bad:?}");
    }
}

#[test]
fn other_numerics_are_let_in_only_where_an_operator_says_so() {
    assert_eq!(options(&[]).unwrap().cluster.limits.numerics, Numerics::Strict);
    assert_eq!(options(&["--numerics", "relaxed"]).unwrap().cluster.limits.numerics, Numerics::Relaxed);
}

#[test]
fn an_audited_share_is_a_part_of_one() {
    let parts = |share| options(&["--audit", share]).map(|options| options.cluster.limits.audit.share);
    assert_eq!(options(&[]).unwrap().cluster.limits.audit.share, 0);
    for (share, expected) in [("0", 0), ("1e-9", 1), ("0.01", 10_000), ("1", SHARE_PARTS)] {
        assert_eq!(parts(share).unwrap(), expected, "{share}");
    }
    for bad in ["-0.1", "1.1", "NaN", "half"] {
        assert!(parts(bad).is_err(), "{bad}");
    }
}

#[test]
fn timeouts_are_seconds_within_an_hour() {
    let limits = |flags: &[&str]| options(flags).map(|options| options.cluster.limits);
    let default = limits(&[]).unwrap();
    assert_eq!((default.heartbeat_timeout_us, default.answer_timeout_us), (10_000_000, 120_000_000));
    let chosen = limits(&["--heartbeat-timeout", "2.5", "--answer-timeout", "0.5"]).unwrap();
    assert_eq!((chosen.heartbeat_timeout_us, chosen.answer_timeout_us), (2_500_000, 500_000));
    let chosen = limits(&["--heartbeat-timeout", "2s", "--answer-timeout", "5m"]).unwrap();
    assert_eq!((chosen.heartbeat_timeout_us, chosen.answer_timeout_us), (2_000_000, 300_000_000));
    for bad in ["0", "-1", "NaN", "3601", "long", "61m"] {
        assert!(limits(&["--answer-timeout", bad]).is_err(), "{bad}");
    }
}

#[test]
fn defaults_and_values_reach_the_configuration() {
    let training = |flags: &[&str]| options(flags).unwrap().run.training.resolve(None).unwrap();
    let config = training(&[]);
    assert_eq!((config.batch_size, config.micro_batch, config.val_split), (128, 32, 0));
    assert_eq!(
        (config.schedule.base, config.schedule.shape),
        (0.002, common::train::schedule::Shape::Cosine)
    );
    let config = training(&["--model", "mlp", "--hidden", "8,4", "--optimizer", "sgd", "--val-split", "7"]);
    assert_eq!(config.model.short_name(), "mlp(8,4)");
    assert_eq!((config.schedule.base, config.val_split), (0.05, 7));
}

#[test]
fn local_workers_need_no_port_and_others_do() {
    let listen = |flags: &[&str]| options(flags).unwrap().cluster.listen;
    let port = || "0.0.0.0:1".to_owned();
    assert_eq!(listen(&[]), Listen::Tcp(BIND.to_owned()));
    assert_eq!(listen(&["--bind", &port()]), Listen::Tcp(port()));
    assert_eq!(listen(&["--local", "--workers", "2:8"]), Listen::Unix);
    assert_eq!(listen(&["--local", "--bind", &port()]), Listen::Both(port()));
}
