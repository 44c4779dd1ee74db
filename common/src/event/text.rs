//! An event as a line for people: what happened, then its fields as `key=value`. A value with a space is
//! quoted, so that it can't be read as two.

use super::{
    Departure, Event, MistakesRecord, Phases, PseudoLabelsRecord, RoundRecord, RunOutcome, RunRecord,
};
use std::fmt::{self, Display, Formatter};

impl Event {
    /// Short text of what happened, without the fields.
    #[must_use]
    pub fn title(&self) -> &'static str {
        match self {
            Self::RunStarted(_) => "run started",
            Self::RunResumed(_) => "run resumed",
            Self::RunRolledBack { .. } => "going back to before the worker joined that miscomputes",
            Self::RunEnded { .. } => "run ended",
            Self::Listening { address: Some(_), .. } => "listening",
            Self::Listening { address: None, .. } => "no port is open",
            Self::WorkerJoined { .. } => "worker joined",
            Self::WorkerKeptAsSpare { .. } => "all places are taken; worker kept as a spare",
            Self::WorkerLeft(_) => "worker left",
            Self::WorkerDropped { .. } => "worker dropped",
            Self::WorkerRefused { .. } => "worker refused",
            Self::OtherNumerics { .. } => {
                "its arithmetic differs from the run's; the final bits may depend on who computed what"
            }
            Self::WorkerQuarantined { .. } => "worker quarantined for the rest of the run",
            Self::WorkerLate { .. } => "worker late; others compute its pieces too",
            Self::GradientDoubted { .. } => "a gradient is out of line; its piece is computed once more",
            Self::GradientConfirmed { .. } => {
                "a gradient out of line has the same bits when computed again; it is accepted"
            }
            Self::AuditWaits { .. } => "audit waits for a second worker; until then pieces go unaudited",
            Self::WorkerMiscomputes { .. } => {
                "worker miscomputes: two others agree on other bits; the round begins anew without it"
            }
            Self::MiscomputedWorkKept { .. } => {
                "what it computed since it joined is in the model; the last checkpoint from before"
            }
            Self::Round(_) => "round complete",
            Self::WorkersUsage { .. } => "what workers use",
            Self::Step(_) => "step",
            Self::Validation(_) => "validation",
            Self::Test(_) => "test",
            Self::Mistakes(_) => "what the model gets most wrong",
            Self::PseudoLabels(_) => "unlabelled samples have labels",
            Self::CheckpointWritten { .. } => "checkpoint written",
            Self::CheckpointFailed { .. } => {
                "no checkpoint; the training goes on, the next one is tried anew"
            }
            Self::WaitingForWorkers { .. } => "waiting for workers to join",
            Self::Stopping { .. } => "stopping: finishing the step, then a checkpoint",
            Self::EventsLost { .. } => "an observer was too slow; events were left out",
        }
    }
}

impl Display for Event {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())?;
        let mut line = Fields(f);
        match self {
            Self::RunStarted(_)
            | Self::RunResumed(_)
            | Self::RunRolledBack { .. }
            | Self::RunEnded { .. } => line.run(self),
            Self::Step(_) | Self::Validation(_) | Self::Test(_) => line.training(self),
            Self::Round(round) => line.round(round),
            Self::WorkersUsage { workers, step } => {
                line.field("step", step)?;
                line.field("workers", &workers.len())
            }
            Self::Mistakes(MistakesRecord { step, count, worst }) => {
                line.field("step", step)?;
                line.field("count", count)?;
                line.field("shown", &worst.len())
            }
            Self::PseudoLabels(PseudoLabelsRecord { step, epoch, samples, labelled, right, .. }) => {
                line.field("step", step)?;
                line.field("epoch", epoch)?;
                line.field("samples", samples)?;
                line.field("labelled", labelled)?;
                line.field("right", right)
            }
            Self::GradientDoubted { .. }
            | Self::GradientConfirmed { .. }
            | Self::AuditWaits { .. }
            | Self::WorkerMiscomputes { .. }
            | Self::MiscomputedWorkKept { .. } => line.doubts(self),
            Self::WorkerJoined { .. }
            | Self::WorkerKeptAsSpare { .. }
            | Self::WorkerLeft(_)
            | Self::WorkerDropped { .. }
            | Self::WorkerRefused { .. }
            | Self::OtherNumerics { .. }
            | Self::WorkerQuarantined { .. }
            | Self::WorkerLate { .. } => line.worker(self),
            Self::Listening { address, .. } => line.optional("address", address.as_ref()),
            Self::CheckpointWritten { checkpoint, path, .. } => {
                line.field("checkpoint", checkpoint)?;
                line.field("path", path)
            }
            Self::CheckpointFailed { checkpoint, last_good, problem, .. } => {
                line.field("checkpoint", checkpoint)?;
                line.optional("last_good", last_good.as_ref())?;
                line.field("problem", problem)
            }
            Self::WaitingForWorkers { live, needed, step } => {
                line.field("step", step)?;
                line.field("live", live)?;
                line.field("needed", needed)
            }
            Self::Stopping { step } => line.field("step", step),
            Self::EventsLost { observer, events } => {
                line.field("observer", observer)?;
                line.field("events", events)
            }
        }
    }
}

/// Writer of a line's fields.
struct Fields<'a, 'f>(&'a mut Formatter<'f>);

impl Fields<'_, '_> {
    fn field(&mut self, name: &str, value: &dyn Display) -> fmt::Result {
        let value = value.to_string();
        let is_word = !value.is_empty() && !value.contains([' ', '"', '=']);
        if is_word { write!(self.0, " {name}={value}") } else { write!(self.0, " {name}={value:?}") }
    }

    /// Writes the field's value, or `none`.
    fn optional(&mut self, name: &str, value: Option<&impl Display>) -> fmt::Result {
        match value {
            Some(value) => self.field(name, value),
            None => self.field(name, &"none"),
        }
    }

    fn run(&mut self, event: &Event) -> fmt::Result {
        match event {
            Event::RunStarted(run) | Event::RunResumed(run) => self.run_record(run),
            Event::RunRolledBack { from, checkpoint, run } => {
                self.field("from", from)?;
                self.optional("checkpoint", checkpoint.as_ref())?;
                self.run_record(run)
            }
            Event::RunEnded { steps_done, outcome, .. } => {
                self.field("steps_done", steps_done)?;
                self.field("outcome", outcome)
            }
            _ => Ok(()),
        }
    }

    fn run_record(&mut self, run: &RunRecord) -> fmt::Result {
        self.field("step", &run.step)?;
        self.field("run_id", &run.run_id)
    }

    fn training(&mut self, event: &Event) -> fmt::Result {
        let (step, epoch, loss, accuracy) = match event {
            Event::Step(record) => (record.step, record.epoch, record.loss, record.accuracy),
            Event::Validation(record) => {
                let record = &record.evaluation;
                (record.step, record.epoch, record.loss, record.accuracy)
            }
            Event::Test(record) => (record.step, record.epoch, record.loss, record.accuracy),
            _ => return Ok(()),
        };
        self.field("step", &step)?;
        self.field("epoch", &epoch)?;
        self.field("loss", &loss)?;
        self.field("accuracy", &accuracy)
    }

    fn round(&mut self, record: &RoundRecord) -> fmt::Result {
        let Phases { compute_us, wait_us, reduce_us, optimizer_us } = record.phases();
        self.field("step", &record.step)?;
        self.field("round", &record.round)?;
        self.field("pieces", &record.pieces.len())?;
        self.field("compute_us", &compute_us)?;
        self.field("wait_us", &wait_us)?;
        self.field("reduce_us", &reduce_us)?;
        self.field("optimizer_us", &optimizer_us)
    }

    fn doubts(&mut self, event: &Event) -> fmt::Result {
        match event {
            Event::GradientDoubted { worker, piece, peak, usual, step } => {
                self.field("worker", worker)?;
                self.field("step", step)?;
                self.field("piece", piece)?;
                self.field("peak", peak)?;
                self.field("usual", usual)
            }
            Event::GradientConfirmed { worker, by, piece, step } => {
                self.field("worker", worker)?;
                self.field("step", step)?;
                self.field("piece", piece)?;
                self.field("by", &by.join(","))
            }
            Event::AuditWaits { step } => self.field("step", step),
            Event::WorkerMiscomputes { worker, contradicted_by, piece, joined, step } => {
                self.field("worker", worker)?;
                self.field("step", step)?;
                self.field("piece", piece)?;
                self.field("joined", joined)?;
                self.field("contradicted_by", &contradicted_by.join(","))
            }
            Event::MiscomputedWorkKept { joined, checkpoint, step } => {
                self.field("step", step)?;
                self.field("joined", joined)?;
                self.optional("checkpoint", checkpoint.as_ref())
            }
            _ => Ok(()),
        }
    }

    fn worker(&mut self, event: &Event) -> fmt::Result {
        match event {
            Event::WorkerJoined { worker, rank, incarnation, step, .. } => {
                self.field("worker", worker)?;
                self.field("rank", rank)?;
                self.field("incarnation", incarnation)?;
                self.field("step", step)
            }
            Event::WorkerKeptAsSpare { worker, incarnation, ahead, step } => {
                self.field("worker", worker)?;
                self.field("incarnation", incarnation)?;
                self.field("ahead", ahead)?;
                self.field("step", step)
            }
            Event::WorkerLeft(departure) => self.departure(departure),
            Event::WorkerDropped { cause, departure } => {
                self.departure(departure)?;
                self.field("cause", cause)
            }
            Event::WorkerRefused { worker, reason, .. } => {
                self.field("worker", worker)?;
                self.field("reason", reason)
            }
            Event::OtherNumerics { worker, differs, .. } => {
                self.field("worker", worker)?;
                self.field("promised", &differs.promised)?;
                self.field("own", &differs.own)
            }
            Event::WorkerQuarantined { worker, offences, .. } => {
                self.field("worker", worker)?;
                self.field("offences", offences)
            }
            Event::WorkerLate { worker, helper, round, piece, step } => {
                self.field("worker", worker)?;
                self.field("helper", helper)?;
                self.field("step", step)?;
                self.field("round", round)?;
                self.field("piece", piece)
            }
            _ => Ok(()),
        }
    }

    fn departure(&mut self, departure: &Departure) -> fmt::Result {
        let Departure { worker, rank, incarnation, pieces, step, .. } = departure;
        let pieces: Vec<String> = pieces.iter().map(ToString::to_string).collect();
        self.field("worker", worker)?;
        match rank {
            Some(rank) => self.field("rank", rank)?,
            None => self.field("rank", &"spare")?,
        }
        self.field("incarnation", incarnation)?;
        self.field("step", step)?;
        self.field("pieces", &pieces.join(","))
    }
}

impl Display for RunOutcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("complete"),
            Self::Stopped => f.write_str("stopped"),
            Self::Failed { problem } => write!(f, "failed: {problem}"),
        }
    }
}
