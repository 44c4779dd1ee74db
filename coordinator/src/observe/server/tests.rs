use super::*;
use std::ffi::OsString;

const SECRET: &str = "hunter2";

/// An environment in which each variable of these has the secret.
fn with(variables: &'static [&'static str]) -> impl Fn(&str) -> Option<OsString> {
    |asked| variables.contains(&asked).then(|| SECRET.into())
}

fn at(address: &str, variables: &'static [&'static str]) -> Server {
    ServerParser::MLFLOW.server(address.as_ref(), &with(variables)).unwrap()
}

#[test]
fn only_a_login_that_leaves_the_machine_without_tls_is_warned_of() {
    let is_readable = |address: &str| {
        assert!(!at(address, &[]).is_readable(), "{address}: there is no login");
        at(address, &["MLFLOW_TRACKING_TOKEN"]).is_readable()
    };
    for address in [
        "http://127.0.0.1:5000",
        "http://127.8.9.1/x",
        "http://localhost:5000",
        "http://LocalHost",
        "http://a.localhost",
        "http://[::1]:5000",
        "http://[::ffff:127.0.0.1]",
        "https://tracker.example",
        "https://192.0.2.1",
    ] {
        assert!(!is_readable(address), "{address}");
    }
    for address in [
        "http://tracker.example",
        "http://192.0.2.1:5000",
        "http://localhost.example",
        "http://notlocalhost",
        "http://127.0.0.1.example/127.0.0.1",
        "http://[2001:db8::1]",
        "http://0.0.0.0",
        "http://[not an address",
    ] {
        let Ok(uri) = address.parse() else { continue };
        let login = at("http://a", &["MLFLOW_TRACKING_TOKEN"]).login;
        assert!(Server::new(uri, login).is_readable(), "{address}");
    }
}

#[test]
fn a_flag_whose_server_can_not_be_used_says_why_and_shows_no_secret() {
    let command = || Command::new("program").no_binary_name(true);
    let parsed = |parser: ServerParser, value: &str| {
        let flag = Arg::new("mlflow").long("mlflow").value_name("URI").value_parser(parser);
        let matches = command().arg(flag).try_get_matches_from(["--mlflow", value]);
        matches.map(|matches| matches.get_one::<Server>("mlflow").unwrap().uri().to_string())
    };
    assert_eq!(parsed(ServerParser::MLFLOW, "http://a/").unwrap(), "http://a");
    assert_eq!(parsed(ServerParser::OTLP, "https://a:1/b").unwrap(), "https://a:1/b");
    for address in [&format!("http://ann:{SECRET}@a")[..], &format!("http://a?key={SECRET}"), SECRET] {
        let error = parsed(ServerParser::MLFLOW, address).unwrap_err();
        assert!(error.to_string().contains("--mlflow <URI>: it "), "{error}");
        assert!(!format!("{error} {error:?}").contains(SECRET), "{error:?}");
    }
    let half = ServerParser::MLFLOW.server("http://a".as_ref(), &with(&["MLFLOW_TRACKING_PASSWORD"]));
    assert!(half.unwrap_err().contains("MLFLOW_TRACKING_USERNAME is not"));
    let list = ServerParser::OTLP.server("http://a".as_ref(), &with(&["OTEL_EXPORTER_OTLP_HEADERS"]));
    assert!(list.unwrap_err().contains("OTEL_EXPORTER_OTLP_HEADERS, entry 1"));
}
