//! The page token: what a browser or another program shows to read the web pages beyond loopback.
//!
//! Its text is `lp1_` and [`TEXT_CHARS`] characters of base32 (RFC 4648, lower case, no padding): a secret
//! (32 bytes), and the first two bytes of its SHA-256. It opens pages and nothing else: no worker joins with
//! it.
//!
//! 1. Browsers keep a [cookie](PageToken::cookie) in place of the token: an HMAC from which the token can't
//!    be told.
//! 2. What is shown is compared as that HMAC, in constant time: how long an answer takes says nothing about
//!    how much of a guess was right.

use crate::secret_file::{self, SecretError};
use crate::secret_text;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use zeroize::Zeroizing;

/// What every page token begins with; the number is that of this format.
pub const PREFIX: &str = "lp1_";
/// Characters of base32 after the prefix.
pub const TEXT_CHARS: usize = secret_text::chars(SECRET);
/// What the cookie is derived for; the number is that of this derivation.
const COOKIE_INFO: &[u8] = b"lockstep page cookie 1";
/// Bytes of the secret.
const SECRET: usize = 32;

/// A secret that opens the web pages. Erased from memory when it is dropped.
#[derive(Clone)]
pub struct PageToken {
    secret: Zeroizing<[u8; SECRET]>,
}

/// A text that is no page token. Never shows the text, which may be one with a typing error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no page token, which is {PREFIX} and {TEXT_CHARS} characters of a to z and 2 to 7")]
pub struct NoPageToken;

impl PageToken {
    /// A new token, of random bits.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn generate() -> std::io::Result<Self> {
        let mut secret = Zeroizing::new([0; SECRET]);
        SystemRandom::new()
            .fill(&mut secret[..])
            .map_err(|_| std::io::Error::other("the system gives no random numbers"))?;
        Ok(Self { secret })
    }

    /// The token in a file, which is made where there is none.
    ///
    /// # Errors
    /// When others can read the file, it holds something else, or it can't be made.
    pub(crate) fn kept_in(path: &Path) -> Result<Self, SecretError> {
        match read(path) {
            Err(error) if error.is_missing() => make(path),
            read => read,
        }
    }

    /// The token as it is written down. Whoever has it can read the pages.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        secret_text::write(PREFIX, &self.secret[..])
    }

    /// What a browser keeps in place of the token: hexadecimal digits.
    #[must_use]
    pub fn cookie(&self) -> Zeroizing<String> {
        Zeroizing::new(HEXLOWER.encode(hmac::sign(&self.key(), COOKIE_INFO).as_ref()))
    }

    /// Whether a text is this token.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        let shown = text.parse::<Self>();
        shown.is_ok_and(|shown| self.has_signed(hmac::sign(&shown.key(), COOKIE_INFO).as_ref()))
    }

    /// Whether a text is this token's cookie.
    #[must_use]
    pub fn is_cookie(&self, text: &str) -> bool {
        HEXLOWER_PERMISSIVE.decode(text.as_bytes()).is_ok_and(|tag| self.has_signed(&tag))
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.secret[..])
    }

    fn has_signed(&self, tag: &[u8]) -> bool {
        hmac::verify(&self.key(), COOKIE_INFO, tag).is_ok()
    }
}

impl FromStr for PageToken {
    type Err = NoPageToken;

    /// Reads a token. Space around it is ignored, and so is the case of its letters.
    fn from_str(text: &str) -> Result<Self, NoPageToken> {
        secret_text::read(PREFIX, text).map(|secret| Self { secret }).map_err(|_| NoPageToken)
    }
}

impl fmt::Debug for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        secret_text::shown("PageToken", &self.reveal(), f)
    }
}

fn read(path: &Path) -> Result<PageToken, SecretError> {
    let bytes = secret_file::read(path)?;
    let token = std::str::from_utf8(&bytes).map_err(|_| NoPageToken).and_then(str::parse);
    token.map_err(|error| SecretError::Invalid {
        path: path.to_owned(),
        what: format!("{error}; remove the file, and the next start makes a new token"),
    })
}

/// Makes a token, unless another process has just made one.
fn make(path: &Path) -> Result<PageToken, SecretError> {
    let token =
        PageToken::generate().map_err(|source| SecretError::Unwritable { path: path.to_owned(), source })?;
    let mut text = token.reveal();
    text.push('\n');
    match secret_file::create(path, text.as_bytes()) {
        Ok(()) => Ok(token),
        Err(error) if error.is_there() => read(path),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    /// Secret 32 times 9, as Python's hashlib, hmac and base64 have it.
    const TEXT: &str = "lp1_beeqscijbeeqscijbeeqscijbeeqscijbeeqscijbeeqscijbeeyyda";

    #[test]
    fn a_token_reads_back_whatever_its_case_and_the_space_around_it() {
        let token = PageToken::generate().unwrap();
        let text = token.reveal();
        assert_eq!(text.len(), PREFIX.len() + TEXT_CHARS);
        for form in [text.to_string(), format!(" {}\n", *text), text.to_ascii_uppercase()] {
            assert!(token.is(&form), "{form}");
        }
        assert_ne!(*PageToken::generate().unwrap().reveal(), *text);
    }

    #[test]
    fn text_and_cookie_are_those_that_other_programs_make() {
        let token: PageToken = TEXT.parse().unwrap();
        assert_eq!(*token.secret, [9; SECRET]);
        assert_eq!(*token.reveal(), TEXT);
        assert_eq!(*token.cookie(), COOKIE);
    }

    const COOKIE: &str = "847a4b40157bcf9c19e6b0b73560c4914d4236f78110ae1be2db724f6eda4112";

    #[test]
    fn nothing_but_the_token_is_it_and_nothing_but_its_cookie() {
        let token = PageToken::generate().unwrap();
        let [text, cookie] = [token.reveal(), token.cookie()];
        let other = PageToken::generate().unwrap();
        let none =
            [String::new(), PREFIX.to_owned(), text[..text.len() - 1].to_owned(), format!("{}a", *text)];
        for wrong in none.iter().chain([&*other.reveal(), &*cookie]) {
            assert!(!token.is(wrong), "{wrong}");
        }
        for at in PREFIX.len()..text.len() {
            let other = if text.as_bytes()[at] == b'a' { "b" } else { "a" };
            let mut wrong = text.to_string();
            wrong.replace_range(at..=at, other);
            assert!(wrong.parse::<PageToken>().is_err(), "{at}");
        }
        assert!(token.is_cookie(&cookie));
        for wrong in ["", &cookie[..62], &text, &other.cookie()] {
            assert!(!token.is_cookie(wrong), "{wrong}");
        }
    }

    #[test]
    fn debug_and_errors_show_six_characters_at_most() {
        let token = PageToken::generate().unwrap();
        let text = token.reveal();
        assert_eq!(format!("{token:?}"), format!("PageToken({}…)", &text[..6]));
        let error = format!("{}x", *text).parse::<PageToken>().unwrap_err();
        assert!(!format!("{error} {error:?}").contains(&text[4..12]));
    }

    #[test]
    fn a_token_is_made_once_and_refused_where_others_can_read_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("page.token");
        let kept = || PageToken::kept_in(&path).map(|token| token.reveal().to_string());
        let texts = std::thread::scope(|scope| {
            let made: Vec<_> = (0..8).map(|_| scope.spawn(kept)).collect();
            made.into_iter().map(|one| one.join().unwrap().unwrap()).collect::<Vec<_>>()
        });
        assert!(texts.iter().all(|text| *text == texts[0]));
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(kept(), Err(SecretError::ReadableByOthers { .. })));
        fs::remove_file(&path).unwrap();
        secret_file::create(&path, b"junk\n").unwrap();
        assert!(kept().unwrap_err().to_string().contains("remove the file"));
    }
}
