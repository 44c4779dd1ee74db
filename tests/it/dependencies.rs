//! Dependencies are what `deny.toml` allows: where they come from, under which licences, and which never.

use serde_json::Value;
use std::process::Command;
use tests::documents::root;
use toml::Table;

/// The strings of a list in `deny.toml`.
fn list(deny: &Table, section: &str, key: &str) -> Vec<String> {
    let items = deny[section][key].as_array().expect("a list");
    let text = |item: &toml::Value| {
        let text = item.as_str().or_else(|| item.get("crate")?.as_str());
        text.expect("a text, or a crate").to_owned()
    };
    items.iter().map(text).collect()
}

/// What an SPDX expression asks for; some old ones have `/` for `OR`.
struct Licence<'a> {
    words: std::iter::Peekable<std::vec::IntoIter<String>>,
    allowed: &'a [String],
}

impl<'a> Licence<'a> {
    fn is_allowed(expression: &str, allowed: &'a [String]) -> bool {
        let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
        let words: Vec<String> = spaced.split_whitespace().map(str::to_owned).collect();
        let mut licence = Self { words: words.into_iter().peekable(), allowed };
        licence.any() && licence.words.next().is_none()
    }

    fn any(&mut self) -> bool {
        let mut is_allowed = self.all();
        while self.words.next_if(|word| word == "OR").is_some() {
            is_allowed |= self.all();
        }
        is_allowed
    }

    fn all(&mut self) -> bool {
        let mut is_allowed = self.one();
        while self.words.next_if(|word| word == "AND").is_some() {
            is_allowed &= self.one();
        }
        is_allowed
    }

    fn one(&mut self) -> bool {
        let Some(mut name) = self.words.next() else { return false };
        if name == "(" {
            let is_allowed = self.any();
            return self.words.next().as_deref() == Some(")") && is_allowed;
        }
        if self.words.next_if(|word| word == "WITH").is_some() {
            name = format!("{name} WITH {}", self.words.next().unwrap_or_default());
        }
        self.allowed.contains(&name)
    }
}

/// What `cargo metadata` says of the packages that are built on this machine: others may not be there.
fn packages_of_this_machine() -> Vec<Value> {
    let run = |program: &str, args: &[&str]| {
        let output =
            Command::new(program).args(args).current_dir(root()).output().expect("cargo and rustc are there");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let version = run("rustc", &["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    let args = ["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", host];
    let metadata: Value = serde_json::from_str(&run("cargo", &args)).expect("JSON");
    metadata["packages"].as_array().expect("a list").clone()
}

#[test]
fn dependencies_are_what_the_list_allows() {
    let deny: Table = std::fs::read_to_string(root().join("deny.toml")).unwrap().parse().unwrap();
    let [licences, banned, registries] =
        [("licenses", "allow"), ("bans", "deny"), ("sources", "allow-registry")]
            .map(|(section, key)| list(&deny, section, key));
    let mut wrong = Vec::new();
    let lock: Table = std::fs::read_to_string(root().join("Cargo.lock")).unwrap().parse().unwrap();
    for package in lock["package"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let source = package.get("source").and_then(toml::Value::as_str);
        if source.is_some_and(|source| !registries.iter().any(|known| source == format!("registry+{known}")))
        {
            wrong.push(format!("{name} comes from {source:?}"));
        }
        if banned.iter().any(|banned| banned == name) {
            wrong.push(format!("{name} is banned"));
        }
    }
    let packages = packages_of_this_machine();
    assert!(packages.len() > 100, "{} packages", packages.len());
    for package in packages.iter().filter(|package| !package["source"].is_null()) {
        let licence = package["license"].as_str().unwrap_or("none");
        if !Licence::is_allowed(licence, &licences) {
            wrong.push(format!("{} has the licence {licence}", package["name"]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn licences_are_read_as_spdx_has_them() {
    let allowed = ["MIT", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
    for good in [
        "MIT",
        "MIT/GPL-3.0",
        "GPL-3.0 OR MIT",
        "(MIT OR GPL-3.0) AND Unicode-3.0",
        "GPL-3.0 OR Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(Licence::is_allowed(good, &allowed), "{good}");
    }
    for bad in ["none", "", "GPL-3.0", "MIT AND GPL-3.0", "(MIT", "Apache-2.0", "MIT MIT"] {
        assert!(!Licence::is_allowed(bad, &allowed), "{bad}");
    }
}
