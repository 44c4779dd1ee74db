//! A token: all that a worker needs to know its coordinator, and to be known by it.
//!
//! Its text is `ls1_` and [`TEXT_CHARS`] characters of base32 (RFC 4648, lower case, no padding): the
//! coordinator's pin (32 bytes), a secret (32 bytes), and the first two bytes of the SHA-256 of both, so that
//! a typing error is noticed before anybody is dialled.

use crate::key::Pin;
use crate::secret_text::{self, TextError};
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// What every token begins with; the number is that of this format.
pub const PREFIX: &str = "ls1_";
/// Characters of base32 after the prefix.
pub const TEXT_CHARS: usize = secret_text::chars(BYTES);
/// Bytes of a pin, and of a secret.
const HALF: usize = 32;
/// Bytes that a token writes down, without their checksum.
const BYTES: usize = 2 * HALF;

/// A coordinator's pin and a secret that it knows. Erased from memory when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    pin: Pin,
    secret: Zeroizing<[u8; HALF]>,
}

/// Why a text is no token. Never shows the text, which may be one with a typing error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It begins with something else.
    #[error("a token begins with {PREFIX}; copy the whole of it from the coordinator")]
    Prefix,
    /// A part is missing, or something was added.
    #[error(
        "a token has {TEXT_CHARS} characters after {PREFIX}, not {0}; copy the whole of it from the coordinator"
    )]
    Length(usize),
    /// A character is none of base32.
    #[error("character {0} of the token is none of a to z and 2 to 7; copy it from the coordinator")]
    Character(usize),
    /// A character is another one than it was.
    #[error("the token has a typing error: its checksum does not fit; copy it from the coordinator")]
    Checksum,
}

impl Token {
    /// A new token for the coordinator with this pin.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new(pin: Pin) -> std::io::Result<Self> {
        let mut secret = Zeroizing::new([0; HALF]);
        SystemRandom::new()
            .fill(&mut secret[..])
            .map_err(|_| std::io::Error::other("the system gives no random numbers"))?;
        Ok(Self { pin, secret })
    }

    /// The pin of the coordinator that made it.
    #[must_use]
    pub fn pin(&self) -> Pin {
        self.pin
    }

    pub(crate) fn secret(&self) -> &[u8] {
        &self.secret[..]
    }

    /// The token as it is written down. Whoever has it may join.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        bytes[..HALF].copy_from_slice(&self.pin.0);
        bytes[HALF..].copy_from_slice(&self.secret[..]);
        secret_text::write(PREFIX, &bytes[..])
    }
}

impl FromStr for Token {
    type Err = TokenError;

    /// Reads a token. Space around it is ignored, and so is the case of its letters.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let bytes = secret_text::read::<BYTES>(PREFIX, text)?;
        let mut pin = Pin([0; HALF]);
        let mut secret = Zeroizing::new([0; HALF]);
        pin.0.copy_from_slice(&bytes[..HALF]);
        secret.copy_from_slice(&bytes[HALF..]);
        Ok(Self { pin, secret })
    }
}

impl From<TextError> for TokenError {
    fn from(error: TextError) -> Self {
        match error {
            TextError::Prefix => Self::Prefix,
            TextError::Length(length) => Self::Length(length),
            TextError::Character(at) => Self::Character(at),
            TextError::Checksum => Self::Checksum,
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        secret_text::shown("Token", &self.reveal(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token { pin: Pin([7; 32]), secret: Zeroizing::new([9; 32]) }
    }

    #[test]
    fn a_token_reads_back_whatever_its_case_and_the_space_around_it() {
        let text = token().reveal();
        assert_eq!(text.len(), PREFIX.len() + TEXT_CHARS);
        for form in [text.to_string(), format!(" {}\n", *text), text.to_ascii_uppercase()] {
            assert_eq!(form.parse(), Ok(token()));
        }
    }

    #[test]
    fn every_typing_error_is_noticed() {
        let text = token().reveal().to_string();
        for at in PREFIX.len()..text.len() {
            for other in "abcdefghijklmnopqrstuvwxyz234567".chars().filter(|&c| !text[at..].starts_with(c)) {
                let mut wrong = text.clone();
                wrong.replace_range(at..=at, &other.to_string());
                assert!(wrong.parse::<Token>().is_err(), "{at} {other}");
            }
        }
        assert_eq!("ls2_abc".parse::<Token>(), Err(TokenError::Prefix));
        assert_eq!("".parse::<Token>(), Err(TokenError::Prefix));
        assert_eq!("ls1_abc".parse::<Token>(), Err(TokenError::Length(3)));
        assert_eq!(text.replace("ls1_", "ls1_0")[..110].parse::<Token>(), Err(TokenError::Character(5)));
        assert_eq!(format!("{text}a").parse::<Token>(), Err(TokenError::Length(TEXT_CHARS + 1)));
    }

    #[test]
    fn debug_and_errors_show_six_characters_at_most() {
        let text = token().reveal();
        assert_eq!(format!("{:?}", token()), format!("Token({}…)", &text[..6]));
        let error = format!("{}x", *text).parse::<Token>().map(drop).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(&text[4..12]));
    }

    #[test]
    fn two_tokens_of_one_coordinator_differ_in_their_secret() {
        let [one, other] = [Token::new(Pin([1; 32])).unwrap(), Token::new(Pin([1; 32])).unwrap()];
        assert_eq!(one.pin(), other.pin());
        assert_ne!(one, other);
    }
}
