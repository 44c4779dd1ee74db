//! One mirror: whether it is there at all, and one try to get a file from it.
//!
//! A mirror that has not answered yet has one short deadline for everything from the look-up of its name to its first
//! answer, so that a machine without a network soon learns that it has none. One that has answered gets more patience.
//! Whether to try again, and what becomes of the bytes, is [`download`](super)'s, the only caller.

use super::super::DatasetError;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;
use ureq::{Agent, Proxy, Timeout};

/// Both mirrors' together stay below the 5 seconds that a run without a network may wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Longer than a lossy link is silent for, shorter than a person's patience.
const STALL_TIMEOUT: Duration = Duration::from_secs(15);
/// MNIST's largest file at 3 kB/s: ends a transfer that is kept alive byte by byte.
const TRANSFER_TIMEOUT: Duration = Duration::from_hours(1);
/// Before the second round; doubled before each further one.
const PAUSE: Duration = Duration::from_secs(1);
/// MNIST's largest file has 47 MB uncompressed, which is how some servers send it.
const BYTES_MAX: u64 = 64 << 20;
/// Few system calls for a file of megabytes.
const BUFFER_BYTES: usize = 64 << 10;

/// How long is waited, and for how much.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Limits {
    /// For a mirror that has not answered yet, from the look-up of its name to its answer.
    pub(in super::super) answer: Duration,
    /// Later: for each step of a request, and for each piece of a file.
    pub(in super::super) stall: Duration,
    /// For a whole file.
    pub(in super::super) transfer: Duration,
    /// Before mirrors are tried a second time.
    pub(in super::super) pause: Duration,
    /// Most bytes of a file.
    pub(in super::super) bytes_max: u64,
}

impl Limits {
    /// For mirrors on the internet.
    pub(in super::super) const PUBLIC: Self = Self {
        answer: ANSWER_TIMEOUT,
        stall: STALL_TIMEOUT,
        transfer: TRANSFER_TIMEOUT,
        pause: PAUSE,
        bytes_max: BYTES_MAX,
    };
}

/// Why one try to get a file from one mirror failed. Reads on after the mirror's name.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It can't be reached or says nothing.
    #[error("gave no answer ({0})")]
    Silent(io::Error),
    /// It was silent before.
    #[error("was not asked again after it had given no answer")]
    NotAsked,
    /// It does not have the file, or does not give it.
    #[error("answered with HTTP status {0}")]
    Status(u16),
    /// The file did not come, or not to its end.
    #[error("broke off after {got} bytes ({why})")]
    BrokeOff {
        /// Bytes that came.
        got: u64,
        /// What happened.
        why: io::Error,
    },
    /// What it sends does not end in time to be the file.
    #[error("sent more than the {0} bytes that are accepted")]
    TooLong(u64),
    /// What it sent is not the file.
    #[error(
        "sent {bytes} bytes that are not this file; a login page or a proxy may have answered in its place"
    )]
    Foreign {
        /// How many.
        bytes: u64,
        /// What is wrong with them, said of a temporary file.
        why: Box<DatasetError>,
    },
}

impl FetchError {
    /// Whether a later try may go better.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::BrokeOff { .. } => true,
            // Request timeout, too many requests, and what a server blames itself for.
            Self::Status(status) => matches!(status, 408 | 429 | 500..),
            Self::Silent(_) | Self::NotAsked | Self::TooLong(_) | Self::Foreign { .. } => false,
        }
    }
}

/// Whose fault it is.
pub(super) enum Failure {
    /// The mirror's or the way's to it: another one may do.
    Mirror(FetchError),
    /// The local file system's.
    Disk(io::Error),
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self::Mirror(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// What all mirrors are talked to with.
pub(super) struct Client {
    agent: Agent,
    pub(super) limits: Limits,
    bars: Option<MultiProgress>,
}

impl Client {
    pub(super) fn new(limits: Limits, proxy: Option<Proxy>, bars: Option<MultiProgress>) -> Self {
        let stall = Some(limits.stall);
        let config = Agent::config_builder()
            .proxy(proxy)
            .http_status_as_error(false)
            // The files are compressed as they are.
            .accept_encoding("identity")
            .timeout_resolve(stall)
            .timeout_connect(stall)
            .timeout_send_request(stall)
            .timeout_recv_response(stall)
            .timeout_per_read(stall)
            .timeout_recv_body(Some(limits.transfer));
        Self { agent: config.build().new_agent(), limits, bars }
    }

    fn bar(&self, file: &str, bytes: Option<u64>) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(bytes, ProgressDrawTarget::hidden());
        let bar = bar.with_style(style()).with_message(file.to_owned());
        match &self.bars {
            Some(bars) => bars.add(bar),
            None => bar,
        }
    }
}

/// A place that files are downloaded from.
pub(super) struct Mirror {
    base: String,
    standing: Standing,
}

/// What is known of a mirror.
#[derive(Clone, Copy)]
enum Standing {
    Unknown,
    Answers,
    Silent,
}

impl Mirror {
    /// `base` ends with a slash.
    pub(super) fn new(base: String) -> Self {
        Self { base, standing: Standing::Unknown }
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Writes the file of that name to `out`. Returns its bytes.
    pub(super) fn fetch(
        &mut self,
        client: &Client,
        file: &str,
        out: &mut impl Write,
    ) -> Result<u64, Failure> {
        let url = format!("{}{file}", self.base);
        match self.standing {
            Standing::Silent => return Err(FetchError::NotAsked.into()),
            Standing::Answers => {}
            Standing::Unknown => self.greet(client, &url)?,
        }
        transfer(client, &url, file, out)
    }

    /// Asks for an answer of any kind.
    fn greet(&mut self, client: &Client, url: &str) -> Result<(), FetchError> {
        let answer = client.limits.answer;
        match client.agent.head(url).config().timeout_global(Some(answer)).build().call() {
            Ok(_) => {
                self.standing = Standing::Answers;
                Ok(())
            }
            Err(error) => {
                self.standing = Standing::Silent;
                Err(FetchError::Silent(reason(error, answer)))
            }
        }
    }
}

fn transfer(client: &Client, url: &str, file: &str, out: &mut impl Write) -> Result<u64, Failure> {
    let limits = client.limits;
    let broke_off = |got, error| {
        let deadline = match error {
            ureq::Error::Timeout(Timeout::RecvBody) => limits.transfer,
            _ => limits.stall,
        };
        FetchError::BrokeOff { got, why: reason(error, deadline) }
    };
    let response = client.agent.get(url).call().map_err(|error| broke_off(0, error))?;
    if !response.status().is_success() {
        return Err(FetchError::Status(response.status().as_u16()).into());
    }
    let body = response.into_body();
    let bar = client.bar(file, body.content_length());
    let mut reader = body.into_reader();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut got = 0;
    loop {
        let piece = reader.read(&mut buffer).map_err(|error| broke_off(got, error.into()))?;
        if piece == 0 {
            return Ok(got);
        }
        got += piece as u64;
        if got > limits.bytes_max {
            return Err(FetchError::TooLong(limits.bytes_max).into());
        }
        out.write_all(&buffer[..piece])?;
        bar.set_position(got);
    }
}

/// The client names the kind of a deadline; a person is told how long it was.
fn reason(error: ureq::Error, deadline: Duration) -> io::Error {
    match error {
        ureq::Error::Timeout(_) => {
            io::Error::new(ErrorKind::TimedOut, format!("nothing came within {deadline:?}"))
        }
        error => error.into_io(),
    }
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}");
    style.expect("the template is constant and well-formed")
}
