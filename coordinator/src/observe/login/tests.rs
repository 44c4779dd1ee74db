use super::*;
use std::os::unix::ffi::OsStringExt;

/// A word that nothing may show, also as base64 has it.
const SECRET: &str = "hunter2";

/// An environment with these variables.
fn with(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
    let variables: Vec<(String, OsString)> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), value.into())).collect();
    move |asked| variables.iter().find(|(name, _)| name == asked).map(|(_, value)| value.clone())
}

/// The headers, by name.
fn sorted(login: &Login) -> Vec<(&str, &[u8])> {
    let mut headers: Vec<_> = login.0.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    headers.sort_unstable();
    headers
}

fn mlflow(variables: &[(&str, &str)]) -> Result<Login, LoginError> {
    Login::of_mlflow(&with(variables))
}

fn otlp(variables: &[(&str, &str)]) -> Result<Login, LoginError> {
    Login::of_otlp(&with(variables))
}

#[test]
fn mlflow_takes_a_name_with_a_password_and_else_a_token() {
    let basic = [("authorization", &b"Basic YW5uOnA6dyBk"[..])];
    let pair = [(USERNAME, "ann"), (PASSWORD, "p:w d")];
    assert_eq!(sorted(&mlflow(&pair).unwrap()), basic);
    assert_eq!(sorted(&mlflow(&[pair[0], pair[1], (TOKEN, "t")]).unwrap()), basic);
    let bearer = [("authorization", &b"Bearer t.1"[..])];
    assert_eq!(sorted(&mlflow(&[(TOKEN, "t.1")]).unwrap()), bearer);
    assert_eq!(sorted(&mlflow(&[(TOKEN, "t.1"), (USERNAME, ""), (PASSWORD, "")]).unwrap()), bearer);
    assert!(mlflow(&[(HEADERS, "a=b")]).unwrap().is_empty());
}

#[test]
fn half_a_pair_is_refused_and_the_other_half_is_named() {
    for (set, missing) in [(USERNAME, PASSWORD), (PASSWORD, USERNAME)] {
        for variables in [&[(set, SECRET)][..], &[(set, SECRET), (missing, ""), (TOKEN, SECRET)]] {
            let error = mlflow(variables).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{set} is set and {missing} is not")), "{error}");
        }
    }
}

#[test]
fn otlp_takes_a_list_of_headers_and_that_for_traces_alone_where_there_is_one() {
    let list = " Authorization = Basic%20YTpi== ,x-scope=a%2Cb%3Bc+%E2%82%AC,, x-empty=,x-twice=1,x-twice=2,";
    let expected = [
        ("authorization", &b"Basic YTpi=="[..]),
        ("x-empty", b""),
        ("x-scope", "a,b;c+€".as_bytes()),
        ("x-twice", b"2"),
    ];
    assert_eq!(sorted(&otlp(&[(HEADERS, list)]).unwrap()), expected);
    assert_eq!(sorted(&otlp(&[(HEADERS, "no list"), (TRACES_HEADERS, list)]).unwrap()), expected);
    assert_eq!(sorted(&otlp(&[(HEADERS, list), (TRACES_HEADERS, "")]).unwrap()), expected);
    let plain = otlp(&[(HEADERS, "authorization=Bearer a b")]).unwrap();
    assert_eq!(sorted(&plain), [("authorization", &b"Bearer a b"[..])], "as many write it");
    assert!(otlp(&[(TOKEN, "t")]).unwrap().is_empty());
}

#[test]
fn of_a_malformed_list_the_entry_is_named_and_nothing_of_it_is_shown() {
    for (entry, problem) in [
        (SECRET.to_owned(), "has no ="),
        (format!("={SECRET}"), "no name"),
        (format!("{SECRET} {SECRET}=a"), "no name"),
        (format!("ü{SECRET}=a"), "no name"),
        (format!("a={SECRET};b=c"), "%3B"),
        (format!("a={SECRET}%"), "hexadecimal"),
        (format!("a={SECRET}%4"), "hexadecimal"),
        (format!("a={SECRET}%+4"), "hexadecimal"),
        (format!("a={SECRET}%4ü"), "hexadecimal"),
        (format!("a={SECRET}%0d%0ab: c"), "line break"),
        (format!("a={SECRET}\nb"), "line break"),
        (format!("Content-Type={SECRET}"), "follows"),
    ] {
        for variable in [HEADERS, TRACES_HEADERS] {
            let list = format!("x=1,,{entry},y=2");
            let error = otlp(&[(variable, &list)]).unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with(&format!("{variable}, entry 3: ")) && text.contains(problem), "{text}");
            assert!(!format!("{error:?} {text}").contains(SECRET), "{error:?} {text}");
        }
    }
}

#[test]
fn what_no_header_can_have_is_refused_and_not_shown() {
    let odd = || Some(OsString::from_vec([SECRET.as_bytes(), b"\xff"].concat()));
    for error in [
        mlflow(&[(TOKEN, &format!("{SECRET}\n"))]).unwrap_err(),
        Login::of_mlflow(&|name| odd().filter(|_| name == TOKEN)).unwrap_err(),
        Login::of_mlflow(&|name| odd().filter(|_| name == PASSWORD)).unwrap_err(),
        Login::of_otlp(&|name| odd().filter(|_| name == HEADERS)).unwrap_err(),
    ] {
        let text = error.to_string();
        assert!([TOKEN, PASSWORD, HEADERS].iter().any(|name| text.starts_with(name)), "{text}");
        assert!(!format!("{error:?} {text}").contains(SECRET), "{error:?} {text}");
    }
}

#[test]
fn a_login_does_not_show_its_secrets() {
    let list = format!("x-key={SECRET},authorization=Bearer%20{SECRET}");
    for login in [
        mlflow(&[(USERNAME, "ann"), (PASSWORD, SECRET)]),
        mlflow(&[(TOKEN, SECRET)]),
        otlp(&[(HEADERS, &list)]),
    ] {
        let login = login.unwrap();
        let shown = format!("{login:?} {:#?} {:?}", login.clone(), login.show(ureq::get("http://a/")));
        assert!(shown.contains("authorization"), "{shown}");
        for secret in [SECRET, &STANDARD.encode(format!("ann:{SECRET}"))] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
