//! One mirror: whether it answers, and one attempt to get a file from it.
//!
//! A mirror that has not answered yet has one short deadline from the look-up of its name to its first
//! answer. So a machine without a network soon learns that it has none. A mirror that has answered has longer
//! deadlines. [`download`](super), the only caller, decides about further attempts and what is done with the
//! bytes.

use super::super::DatasetError;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;
use ureq::{Agent, Proxy, Timeout};

/// Time for a mirror's first answer. For both mirrors it stays below the 5 seconds that a run without a
/// network may wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest silence of a transfer: longer than a lossy link's pauses, shorter than a person's patience.
const STALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Time for a whole file: MNIST's largest at 3 kB/s. It ends a transfer that trickles.
const TRANSFER_TIMEOUT: Duration = Duration::from_hours(1);
/// Pause before the second round; doubled before each further one.
const PAUSE: Duration = Duration::from_secs(1);
/// Most bytes of a file: MNIST's largest has 47 MB uncompressed, and some servers send it like that.
const BYTES_MAX: u64 = 64 << 20;
/// Size of the read buffer: few system calls for a file of megabytes.
const BUFFER_BYTES: usize = 64 << 10;

/// Deadlines and size limit of downloads.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Limits {
    /// Time for a mirror's first answer, including the look-up of its name.
    pub(in super::super) answer: Duration,
    /// Later time for each step of a request, and for each part of a file.
    pub(in super::super) stall: Duration,
    /// Time for a whole file.
    pub(in super::super) transfer: Duration,
    /// Pause before mirrors are tried a second time.
    pub(in super::super) pause: Duration,
    /// Most bytes of a file.
    pub(in super::super) bytes_max: u64,
}

impl Limits {
    /// The limits for mirrors on the internet.
    pub(in super::super) const PUBLIC: Self = Self {
        answer: ANSWER_TIMEOUT,
        stall: STALL_TIMEOUT,
        transfer: TRANSFER_TIMEOUT,
        pause: PAUSE,
        bytes_max: BYTES_MAX,
    };
}

/// Why one attempt at one mirror failed. The text continues a sentence that begins with the mirror's name.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum FetchError {
    /// The mirror can't be reached or does not answer.
    #[error("gave no answer ({0})")]
    Silent(io::Error),
    /// The mirror was not asked, because it had not answered before.
    #[error("was not asked again after it had given no answer")]
    NotAsked,
    /// The mirror does not have the file, or refuses it.
    #[error("answered with HTTP status {0}")]
    Status(u16),
    /// The transfer broke off.
    #[error("broke off after {got} bytes ({why})")]
    BrokeOff { got: u64, why: io::Error },
    /// The mirror sent more bytes than the file can have.
    #[error("sent more than the {0} bytes that are accepted")]
    TooLong(u64),
    /// The mirror sent another content.
    #[error(
        "sent {bytes} bytes that are not this file; a login page or a proxy may have answered in its place"
    )]
    Foreign {
        bytes: u64,
        /// The check's error, which names a temporary file.
        why: Box<DatasetError>,
    },
}

impl FetchError {
    /// Whether a later attempt may succeed.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::BrokeOff { .. } => true,
            // Request timeout, too many requests, and the server's own errors.
            Self::Status(status) => matches!(status, 408 | 429 | 500..),
            Self::Silent(_) | Self::NotAsked | Self::TooLong(_) | Self::Foreign { .. } => false,
        }
    }
}

/// Why a transfer failed.
pub(super) enum Failure {
    /// The mirror or the network failed: another mirror may work.
    Mirror(FetchError),
    /// The local file system failed.
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

/// The HTTP client for all mirrors.
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
            // The files themselves are compressed.
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

/// A mirror that files are downloaded from.
pub(super) struct Mirror {
    base: String,
    standing: Standing,
}

/// Whether a mirror has answered.
#[derive(Clone, Copy)]
enum Standing {
    Unknown,
    Answers,
    Silent,
}

impl Mirror {
    /// A mirror at `base`, which ends with a slash.
    pub(super) fn new(base: String) -> Self {
        Self { base, standing: Standing::Unknown }
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Writes `file` to `out`. Returns its length in bytes.
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

    /// Checks that the mirror answers at all.
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

/// Adds the length of a deadline to the client's error, which names only its kind.
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
