//! Where a worker's token comes from: `--token`, the environment, a file, or standard input.

use host::files::{Links, read_regular};
use std::convert::Infallible;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::str::FromStr;
use trust::tls;
use trust::token::Token;
use zeroize::Zeroizing;

/// What `--token` takes for standard input.
const STANDARD_INPUT: &str = "-";
/// Largest file with a token, and longest line, in bytes: many times a token.
const BYTES_MAX: u64 = 4096;

/// The value of `--token`. Any text is taken here, so that no message about a flag can show a mistyped one.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText(Zeroizing<String>);

impl FromStr for TokenText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(…)")
    }
}

impl TokenText {
    /// Whether the token is to be read from standard input.
    pub(crate) fn is_standard_input(&self) -> bool {
        *self.0 == STANDARD_INPUT
    }
}

/// The worker's side of TLS by its token, if it has one.
///
/// # Errors
/// When the token can't be read, or is none. The message does not show it.
pub(crate) fn side(text: Option<&TokenText>, file: Option<&Path>) -> Result<Option<tls::Worker>, String> {
    let (from, text) = match (text, file) {
        (Some(text), _) if text.is_standard_input() => (
            "--token -".to_owned(),
            first_line(std::io::stdin().lock()).map_err(|error| format!("--token -: {error}"))?,
        ),
        (Some(TokenText(text)), _) => ("--token".to_owned(), text.clone()),
        (None, Some(path)) => {
            let from = format!("--token-file {}", path.display());
            // A link, and a file that others can read, are how Kubernetes and systemd hand out secrets.
            let bytes =
                read_regular(path, BYTES_MAX, Links::Followed).map_err(|error| format!("{from}: {error}"))?;
            let line = first_line(&Zeroizing::new(bytes)[..]).map_err(|error| format!("{from}: {error}"))?;
            (from, line)
        }
        (None, None) => return Ok(None),
    };
    trust::core_dumps::refuse();
    let token: Token = text.parse().map_err(|error| format!("{from}: {error}"))?;
    tls::Worker::new(&token).map(Some).map_err(|error| format!("{from}: {error}"))
}

fn first_line(from: impl Read) -> std::io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::with_capacity(BYTES_MAX as usize));
    BufReader::new(from.take(BYTES_MAX)).read_line(&mut line)?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trust::key::Pin;

    #[test]
    fn a_token_is_read_from_where_it_lies() {
        let token = Token::new(Pin([3; 32])).unwrap();
        let folder = std::env::temp_dir().join(format!("lockstep-token-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("token");
        std::fs::write(&file, format!("{}\nuses 3\n", *token.reveal())).unwrap();
        let link = folder.join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(side(None, Some(&link)).unwrap().is_some());
        let text = token.reveal().parse().unwrap();
        assert!(side(Some(&text), None).unwrap().is_some());
        assert!(side(None, None).unwrap().is_none());
        let missing = side(None, Some(&folder.join("none"))).map(drop).unwrap_err();
        assert!(missing.starts_with("--token-file "), "{missing}");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn no_message_shows_a_mistyped_token() {
        let text = Token::new(Pin([3; 32])).unwrap().reveal().replace('a', "b") + "c";
        let message = side(Some(&text.parse().unwrap()), None).map(drop).unwrap_err();
        assert!(!message.contains(&text[4..10]) && message.starts_with("--token: "), "{message}");
        assert_eq!(format!("{:?}", text.parse::<TokenText>()), "Ok(TokenText(…))");
    }
}
