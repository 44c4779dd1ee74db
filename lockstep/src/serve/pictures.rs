//! The threads that read pictures, in three lanes, so that what takes long holds up nothing else: small
//! pictures, rows of digits in small pictures, and large pictures. A picture that turns out to be large is
//! passed on.
//!
//! Most of a thread's time for a small picture is the wait for the model. So there are many of them, whose
//! pictures the model's threads compute together. Memory is bounded by what each lane's pictures may have,
//! times its threads; what waits is still in the form in which it came.

use super::body::{BODY_BYTES_MAX, Content};
use super::compute::Engine;
use super::lane::Lane;
use super::refusal::Refusal;
use super::reply;
use crate::predict::reader::{self, Reader};
use crate::predict::{Predictor, Source};
use anyhow::Context;
use common::checkpoint::Model;
use coordinator::dataset::Decoding;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::timeout_at;
use tracing::error;

/// Most pixels of a picture: those of telephones' cameras have 12 or 24 million.
pub const PIXELS_MAX: u64 = 32 << 20;
/// Pixels and bytes of a small picture.
const SMALL_PIXELS: u64 = 1 << 20;
const SMALL_BYTES: usize = 1 << 20;
/// Longest time from a picture's arrival to the answer.
pub const PICTURE_TIMEOUT: Duration = Duration::from_secs(30);

/// The lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Small,
    Row,
    Large,
}

impl Kind {
    /// A decoder may take twice a body beside the picture: the body, and a colour profile as large.
    fn decoding(self) -> Decoding {
        match self {
            Self::Small | Self::Row => Decoding::bounded(SMALL_PIXELS, 2 * SMALL_BYTES as u64),
            Self::Large => Decoding::bounded(PIXELS_MAX, 2 * BODY_BYTES_MAX as u64),
        }
    }
}

/// Kind, name, threads, and most pictures that wait, of each lane. Five views of twelve digits fill a batch.
const LANES: [(Kind, &str, usize, usize); 3] =
    [(Kind::Small, "small", 12, 256), (Kind::Row, "row", 2, 32), (Kind::Large, "large", 1, 16)];

/// A picture that waits.
struct Task {
    content: Content,
    is_row: bool,
    deadline: Instant,
    reply: oneshot::Sender<Result<Vec<u8>, Refusal>>,
}

type Lanes = [Arc<Lane<Task>>; LANES.len()];

/// The threads, seen by those who ask.
pub struct Studio {
    lanes: Lanes,
    reads_digits: bool,
}

impl Studio {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the model takes no pictures, or a thread can't be started.
    pub fn start(model: &Arc<Model>, engine: &Engine) -> anyhow::Result<Self> {
        let lanes: Lanes = LANES.map(|(_, _, _, waiting)| Arc::new(Lane::new(waiting)));
        for (at, (kind, name, threads, _)) in LANES.into_iter().enumerate() {
            for number in 0..threads {
                let deadline = Arc::new(Mutex::new(Instant::now()));
                let reader = Reader::of(Box::new(engine.asking(&deadline)), model.architecture.input());
                let thread = Thread {
                    kind,
                    predictor: Predictor::with(model, reader, kind.decoding())?,
                    deadline,
                    model: Arc::clone(model),
                    lane: Arc::clone(&lanes[at]),
                    lanes: lanes.clone(),
                };
                let named = std::thread::Builder::new().name(format!("{name}-{number}"));
                named.spawn(move || thread.run()).context("can't start a thread for pictures")?;
            }
        }
        Ok(Self { lanes, reads_digits: reader::reads_digits(model) })
    }

    /// Whether digits are read, and rows of them.
    #[must_use]
    pub fn reads_digits(&self) -> bool {
        self.reads_digits
    }

    /// The answer about a picture, in JSON.
    ///
    /// # Errors
    /// When it is no picture, or there is no room or time for it.
    pub async fn answer(&self, content: Content, is_row: bool) -> Result<Vec<u8>, Refusal> {
        if is_row && !self.reads_digits {
            return Err(Refusal::NoDigits);
        }
        let kind = match is_row {
            _ if content.bytes.len() > SMALL_BYTES => Kind::Large,
            true => Kind::Row,
            false => Kind::Small,
        };
        let deadline = Instant::now() + PICTURE_TIMEOUT;
        let (reply, answer) = oneshot::channel();
        // What does not fit is dropped.
        let task = Task { content, is_row, deadline, reply };
        lane(&self.lanes, kind).push(task).map_err(|_| Refusal::Busy)?;
        match timeout_at(deadline.into(), answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(Refusal::Busy),
        }
    }

    /// How many pictures wait in each lane, by its name.
    pub fn waiting(&self) -> impl Iterator<Item = (&'static str, usize)> {
        LANES.iter().zip(&self.lanes).map(|((_, name, ..), lane)| (*name, lane.len()))
    }

    /// Ends the threads, after what they read.
    pub fn close(&self) {
        self.lanes.iter().for_each(|lane| lane.close());
    }
}

fn lane(lanes: &Lanes, kind: Kind) -> &Lane<Task> {
    let at = LANES.iter().position(|(known, ..)| *known == kind);
    &lanes[at.expect("each kind has a lane")]
}

/// A thread of a lane.
struct Thread {
    kind: Kind,
    predictor: Predictor,
    /// Until when its predictor's questions are waited for.
    deadline: Arc<Mutex<Instant>>,
    model: Arc<Model>,
    lane: Arc<Lane<Task>>,
    lanes: Lanes,
}

impl Thread {
    fn run(mut self) {
        while let Some(task) = self.lane.pop() {
            // Who asked may have gone, or given up.
            if task.reply.is_closed() || task.deadline <= Instant::now() {
                continue;
            }
            *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = task.deadline;
            let answer = catch_unwind(AssertUnwindSafe(|| self.read(&task)));
            let answer = answer.unwrap_or_else(|_| {
                error!(bytes = task.content.bytes.len(), "a picture made its reader panic");
                Err(Refusal::Failed("its reader panicked".to_owned()))
            });
            if self.kind != Kind::Large && matches!(answer, Err(Refusal::LargePicture { .. })) {
                // What does not fit is dropped, which its sender is told as too many waiting.
                let _ = lane(&self.lanes, Kind::Large).push(task);
            } else {
                // Who asked may have gone.
                let _ = task.reply.send(answer);
            }
        }
    }

    fn read(&mut self, task: &Task) -> Result<Vec<u8>, Refusal> {
        let picture = Source::Memory(&task.content.bytes);
        let answer = if task.is_row {
            reply::row(&self.predictor.line(picture)?, &self.model)
        } else {
            reply::one(&self.predictor.one(picture)?, &self.model)
        };
        answer.map_err(|error| Refusal::Failed(error.to_string()))
    }
}
