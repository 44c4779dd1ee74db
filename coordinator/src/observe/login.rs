//! What a server that is told of a run is shown so that it knows who tells: headers, from the environment
//! variables that the server's usual clients read.
//!
//! 1. For MLflow a name and a password, or a token. Where all are set the token is not sent, as MLflow's own
//!    client has it.
//! 2. For OpenTelemetry a list of any headers: `key=value,key2=value2`, values percent-encoded. The list for
//!    traces takes the place of the one for all signals.
//! 3. The values are secrets. No form of a [`Login`], and no error, shows one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::ffi::OsString;
use ureq::RequestBuilder;
use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use ureq::http::{HeaderMap, HeaderName, HeaderValue};

const USERNAME: &str = "MLFLOW_TRACKING_USERNAME";
const PASSWORD: &str = "MLFLOW_TRACKING_PASSWORD";
const TOKEN: &str = "MLFLOW_TRACKING_TOKEN";
const TRACES_HEADERS: &str = "OTEL_EXPORTER_OTLP_TRACES_HEADERS";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
/// Headers that follow from what is sent.
const OWN: [HeaderName; 3] = [CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING];
const ODD_CHARACTER: &str = "has a character that no header can have, such as a line break";

/// Reads an environment variable.
pub(crate) type Read<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The headers that say who tells. There may be none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Login(HeaderMap);

/// Why the environment has no login that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    #[error("{set} is set and {missing} is not; set both or neither")]
    Half { set: &'static str, missing: &'static str },
    #[error("{variable} {problem}")]
    Text { variable: &'static str, problem: &'static str },
    #[error("{variable}, entry {number}: it {problem}; the form is key=value,key2=value2, percent-encoded")]
    Entry { variable: &'static str, number: usize, problem: &'static str },
}

impl Login {
    /// The login for MLflow's trackers.
    pub(crate) fn of_mlflow(read: Read) -> Result<Self, LoginError> {
        let [name, password, token] = [USERNAME, PASSWORD, TOKEN].map(|variable| text(read, variable));
        let (variable, value) = match (name?, password?, token?) {
            (Some(name), Some(password), _) => {
                (USERNAME, format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))))
            }
            (Some(_), None, _) => return Err(LoginError::Half { set: USERNAME, missing: PASSWORD }),
            (None, Some(_), _) => return Err(LoginError::Half { set: PASSWORD, missing: USERNAME }),
            (None, None, Some(token)) => (TOKEN, format!("Bearer {token}")),
            (None, None, None) => return Ok(Self::default()),
        };
        let value = secret(value.as_bytes()).ok_or(LoginError::Text { variable, problem: ODD_CHARACTER })?;
        Ok(Self([(AUTHORIZATION, value)].into_iter().collect()))
    }

    /// The login for collectors of OpenTelemetry's traces.
    pub(crate) fn of_otlp(read: Read) -> Result<Self, LoginError> {
        for variable in [TRACES_HEADERS, HEADERS] {
            if let Some(list) = text(read, variable)? {
                let entry = |(number, problem)| LoginError::Entry { variable, number, problem };
                return Self::of_list(&list).map_err(entry);
            }
        }
        Ok(Self::default())
    }

    /// The headers of a list; else the number of the entry that is none, and why.
    fn of_list(list: &str) -> Result<Self, (usize, &'static str)> {
        let mut headers = HeaderMap::new();
        for (entry, number) in list.split(',').zip(1..).filter(|(entry, _)| !entry.trim().is_empty()) {
            let (name, value) = header(entry).map_err(|problem| (number, problem))?;
            headers.try_insert(name, value).map_err(|_| (number, "is one too many"))?;
        }
        Ok(Self(headers))
    }

    /// Whether there is nothing to show.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the headers to a request.
    pub(crate) fn show<Body>(&self, request: RequestBuilder<Body>) -> RequestBuilder<Body> {
        self.0.iter().fold(request, |request, (name, value)| request.header(name, value))
    }
}

/// The text of a variable. An empty one counts as unset.
fn text(read: Read, variable: &'static str) -> Result<Option<String>, LoginError> {
    let value = read(variable).filter(|value| !value.is_empty());
    let text = value.map(OsString::into_string).transpose();
    text.map_err(|_| LoginError::Text { variable, problem: "is no UTF-8" })
}

/// The header that an entry of a list means; else what is wrong with it, without a word of it.
fn header(entry: &str) -> Result<(HeaderName, HeaderValue), &'static str> {
    let (key, value) = entry.split_once('=').ok_or("has no =")?;
    let name: HeaderName = key.trim().parse().map_err(|_| "has no name of a header before its =")?;
    if OWN.contains(&name) {
        return Err("sets a header that follows from what is sent");
    }
    if value.contains(';') {
        return Err("has a semicolon, which a value has as %3B");
    }
    let value = decoded(value.trim()).ok_or("has a % without two hexadecimal digits")?;
    Ok((name, secret(&value).ok_or(ODD_CHARACTER)?))
}

/// What a percent-encoded text means.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let digits = piece.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(&piece.as_bytes()[2..]);
    }
    Some(bytes)
}

/// A header's value that its debug form does not show.
fn secret(bytes: &[u8]) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(bytes).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests;
