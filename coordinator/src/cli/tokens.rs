//! `coordinator token`: the tokens with which workers join.

use crate::net::access::AccessError;
use clap::{Args, Parser, Subcommand};
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::num::NonZeroU32;
use std::path::PathBuf;
use trust::identity::{self, Identity};
use trust::tokens::{TokenName, Tokens, USES_MAX};

/// Makes, lists and revokes the tokens with which workers join. A coordinator that is running takes note
/// within a second.
///
/// Whoever has a token may join as a worker, and is connected to this coordinator and no other. The first
/// start beyond loopback makes one of the name default.
#[derive(Clone, Debug, Parser)]
#[command(name = "coordinator token", bin_name = "coordinator token", version, about, long_about)]
pub struct TokenFlags {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Make a token, and print it
    New {
        /// Name by which it is listed and revoked: letters, digits, - and _
        name: TokenName,
        /// Number of workers that may join with it, each any number of times [default: no limit]
        #[arg(long, value_name = "N", value_parser = uses)]
        uses: Option<NonZeroU32>,
        #[command(flatten)]
        place: Place,
    },
    /// List the tokens: names, uses, and the files in which they lie
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Make a token invalid, and disconnect its workers
    Revoke {
        /// Name of the token
        name: TokenName,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Clone, Debug, Args)]
struct Place {
    /// Folder of the coordinator's key and tokens [default: lockstep/identity in the user's configuration
    /// folder]
    #[arg(long, value_name = "FOLDER", env = "LOCKSTEP_IDENTITY")]
    identity: Option<PathBuf>,
}

impl Place {
    fn open(&self) -> Result<(Identity, Tokens), AccessError> {
        // An empty variable counts as unset.
        let chosen = self.identity.clone().filter(|folder| !folder.as_os_str().is_empty());
        let folder = chosen.or_else(identity::default_folder).ok_or(AccessError::NoFolder)?;
        let identity = Identity::open(&folder)?;
        let tokens = identity.tokens()?;
        Ok((identity, tokens))
    }
}

impl TokenFlags {
    /// Does what is asked for. Returns what is to be printed.
    ///
    /// # Errors
    /// When the identity or a token can't be read, made or removed.
    pub fn run(&self) -> anyhow::Result<String> {
        trust::core_dumps::refuse();
        match &self.action {
            Action::New { name, uses, place } => new(&place.open()?.1, name, *uses),
            Action::List { place } => list(&place.open()?),
            Action::Revoke { name, place } => revoke(&place.open()?.1, name),
        }
    }
}

/// On a terminal a person reads what is printed; else a program takes the token alone.
fn new(tokens: &Tokens, name: &TokenName, uses: Option<NonZeroU32>) -> anyhow::Result<String> {
    let token = tokens.create(name, uses).map_err(|error| {
        if error.is_there() {
            return anyhow::anyhow!(
                "there is a token {name} already; choose another name, or revoke it first"
            );
        }
        error.into()
    })?;
    let token = token.reveal();
    Ok(if std::io::stdout().is_terminal() {
        let file = tokens.path(name);
        format!(
            "{}\n\nIt also lies in {}.\nA worker joins with: worker --connect HOST:PORT --token TOKEN\n",
            *token,
            file.display()
        )
    } else {
        format!("{}\n", *token)
    })
}

fn list((identity, tokens): &(Identity, Tokens)) -> anyhow::Result<String> {
    let mut text = format!("coordinator {} in {}\n", identity.key().pin(), identity.folder().display());
    let names = tokens.names()?;
    if names.is_empty() {
        text += "no tokens; coordinator token new NAME makes one\n";
    }
    for name in &names {
        let kept = tokens.read(name);
        let state = match &kept {
            Ok(kept) => match kept.uses {
                None => "any number of workers".to_owned(),
                Some(uses) => format!("{} of {uses} workers have joined", tokens.used(name, uses)),
            },
            Err(error) => format!("unusable: {error}"),
        };
        let _ = writeln!(text, "{name:<16} {state:<32} {}", tokens.path(name).display());
    }
    Ok(text)
}

fn revoke(tokens: &Tokens, name: &TokenName) -> anyhow::Result<String> {
    match tokens.revoke(name) {
        Ok(()) => {
            Ok(format!("the token {name} is revoked; its workers are disconnected within a second or two\n"))
        }
        Err(error) if error.is_missing() => {
            let names = tokens.names()?.iter().map(TokenName::to_string).collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() { "none".to_owned() } else { names };
            Err(anyhow::anyhow!("there is no token {name}; there are: {names}"))
        }
        Err(error) => Err(error.into()),
    }
}

fn uses(text: &str) -> Result<NonZeroU32, String> {
    let uses = text.parse().ok().filter(|uses: &NonZeroU32| uses.get() <= USES_MAX);
    uses.ok_or_else(|| format!("a token is for 1 to {USES_MAX} workers"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_are_consistent() {
        TokenFlags::command().help_expected(true).debug_assert();
    }

    #[test]
    fn tokens_are_made_listed_and_revoked() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("identity");
        let run = |args: &[&str]| {
            let all = ["token"].iter().chain(args).map(std::ffi::OsString::from);
            let all = all.chain(["--identity".into(), folder.clone().into()]);
            TokenFlags::try_parse_from(all).unwrap().run()
        };
        assert!(run(&["list"]).unwrap().contains("no tokens"));
        let token = run(&["new", "lab", "--uses", "3"]).unwrap();
        assert!(token.contains("ls1_"), "{token}");
        assert!(run(&["new", "lab"]).unwrap_err().to_string().contains("already"));
        let listed = run(&["list"]).unwrap();
        assert!(listed.contains("lab") && listed.contains("0 of 3 workers"), "{listed}");
        assert!(!listed.contains("ls1_"), "{listed}");
        assert!(run(&["revoke", "lap"]).unwrap_err().to_string().contains("there are: lab"));
        run(&["revoke", "lab"]).unwrap();
        assert!(run(&["list"]).unwrap().contains("no tokens"));
    }
}
