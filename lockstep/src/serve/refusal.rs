//! What is said where there is no answer: a status of HTTP, and a sentence that says what to do.

use super::body::BODY_BYTES_MAX;
use super::pictures::PIXELS_MAX;
use crate::predict::PredictError;
use crate::predict::reader::ComputeError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use coordinator::dataset::PicturesError;
use host::printable;
use serde::Serialize;

/// Seconds after which one who was refused for lack of room or time may try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum Refusal {
    /// The body is empty.
    #[error("the request has no body; send a picture's bytes as the body (curl --data-binary @FILE)")]
    NoBody,
    /// The body is none of the formats.
    #[error(
        "the body is no picture in PNG, JPEG, WebP or BMP; send a picture's bytes as they are, not as a form \
         (curl --data-binary @FILE)"
    )]
    NoPicture,
    /// The picture can't be decoded.
    #[error("the picture is damaged ({0}); send the whole file, or save it again as PNG or JPEG")]
    Damaged(String),
    /// The picture has too many pixels.
    #[error("the picture has {width} x {height} pixels, and {PIXELS_MAX} are the most; send a smaller one")]
    LargePicture { width: u32, height: u32 },
    /// There is more to look at than digits.
    #[error("there is too much in the picture to look for digits; cut out the part with digits")]
    Crowded,
    /// The body is too large.
    #[error("the body has more than {BODY_BYTES_MAX} bytes; send a smaller picture")]
    LargeBody,
    /// The body came too slowly.
    #[error("the picture did not arrive in time; send it again, or a smaller one")]
    SlowBody,
    /// The connection ended within the body.
    #[error("the body ended before its end; send the picture again")]
    BrokenOff,
    /// A row is asked for where no digits are read.
    #[error(
        "?line reads digits, and this model's input is not 28x28x1 with the classes 0 to 9; leave it out"
    )]
    NoDigits,
    /// The query is not understood.
    #[error("only ?line is understood after /predict; leave out the rest of the query")]
    Query,
    /// There is no room or time.
    #[error("the server is busy with other pictures; try again in a moment")]
    Busy,
    /// The program is at fault.
    #[error("the model could not compute ({0}); the server's log says more")]
    Failed(String),
    /// There is no such path.
    #[error("there is nothing here; / is a page to draw on, and POST /predict takes a picture")]
    NoRoute,
    /// The path has no such method.
    #[error("this path does not take that method; send pictures with POST /predict, and GET the others")]
    Method,
}

/// A refusal's name, which goes with its response to where it is counted.
#[derive(Clone, Copy, Debug)]
pub struct Reason(pub &'static str);

/// A refusal in JSON.
#[derive(Serialize)]
struct Told<'a> {
    error: &'a str,
}

impl Refusal {
    /// Its name in metrics.
    fn reason(&self) -> Reason {
        Reason(match self {
            Self::NoBody => "no_body",
            Self::NoPicture => "no_picture",
            Self::Damaged(_) => "damaged",
            Self::LargePicture { .. } => "large_picture",
            Self::Crowded => "crowded",
            Self::LargeBody => "large_body",
            Self::SlowBody => "slow_body",
            Self::BrokenOff => "broken_off",
            Self::NoDigits => "no_digits",
            Self::Query => "query",
            Self::Busy => "busy",
            Self::Failed(_) => "failed",
            Self::NoRoute => "no_route",
            Self::Method => "method",
        })
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NoBody
            | Self::NoPicture
            | Self::Damaged(_)
            | Self::Crowded
            | Self::BrokenOff
            | Self::NoDigits
            | Self::Query => StatusCode::BAD_REQUEST,
            Self::LargePicture { .. } | Self::LargeBody => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
        }
    }
}

impl From<PredictError> for Refusal {
    fn from(error: PredictError) -> Self {
        match error {
            PredictError::Picture(PicturesError::NotPicture(_)) => Self::NoPicture,
            PredictError::Picture(PicturesError::TooLarge { width, height, .. }) => {
                Self::LargePicture { width, height }
            }
            PredictError::Picture(PicturesError::Broken { problem, .. }) => {
                Self::Damaged(printable(&problem).into_owned())
            }
            PredictError::TooMuch(_) => Self::Crowded,
            PredictError::Model { source: ComputeError::Late, .. } => Self::Busy,
            PredictError::Model { source, .. } => Self::Failed(source.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = self.to_string();
        let body = serde_json::to_vec(&Told { error: &error }).unwrap_or_default();
        let kind = (header::CONTENT_TYPE, "application/json");
        let mut response = (self.status(), [kind], body).into_response();
        if matches!(self, Self::Busy) {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response.extensions_mut().insert(self.reason());
        response
    }
}
