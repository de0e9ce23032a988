//! What both writers share: one owner of the connection, one batch after the other, and no second chance after a failure.

use crate::measures::Measures;
use std::sync::Arc;
use tasker_runtime::port::store::{Batch, CommitError, ReadError, Sequence};
use tasker_telemetry::reading::Readings;
use tokio::sync::{mpsc, oneshot};

/// Commands that may wait for the writer. The coordinator sends one batch at a time; the rest is room for probes.
const WAITING_MAX: usize = 16;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What the writer is asked to do.
pub enum Command {
    /// Make a batch durable.
    Commit(Box<Batch>, oneshot::Sender<Result<(), CommitError>>),
    /// Prove that writing works.
    Probe(oneshot::Sender<Result<(), ReadError>>),
    /// Let go.
    Close(oneshot::Sender<()>),
}

/// Reaches the writer. A caller that stops waiting does not interrupt a commit.
#[derive(Clone)]
pub struct Handle(mpsc::Sender<Command>, Arc<Measures>);

/// Why a commit was not even tried, or why nobody answers.
#[derive(Debug, thiserror::Error)]
enum NotTried {
    #[error("the store is closed")]
    Closed,
    #[error("the writer stopped without an answer")]
    Vanished,
    #[error("an earlier commit failed; the process must recover before it writes again")]
    AfterFailure,
    #[error("the batch starts at journal place {found}, but {expected} is next; nothing was written")]
    OutOfOrder { expected: Sequence, found: Sequence },
    #[error("journal row {sequence} claims to follow row {previous}; nothing was written")]
    BadPrevious { sequence: Sequence, previous: Sequence },
    #[error("the projection's mark {mark} is beyond the journal's end {last}; nothing was written")]
    MarkBeyondEnd { mark: Sequence, last: Sequence },
}

impl Handle {
    /// The handle and the writer's end, for a writer with this ledger.
    pub fn new(ledger: &Ledger) -> (Self, mpsc::Receiver<Command>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self(sender, ledger.measures.clone()), receiver)
    }

    /// See [`tasker_runtime::port::store::Store::measure`].
    pub fn measure(&self, readings: &mut Readings) {
        self.1.read(readings);
    }

    /// See [`tasker_runtime::port::store::Store::commit`].
    pub async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        if batch.is_empty() {
            return Ok(());
        }
        let unknown = |why: NotTried| CommitError::Unknown(why.into());
        self.ask(|answer| Command::Commit(Box::new(batch), answer)).await.unwrap_or_else(|why| Err(unknown(why)))
    }

    /// See [`tasker_runtime::port::store::Store::probe`].
    pub async fn probe(&self) -> Result<(), ReadError> {
        self.ask(Command::Probe).await.unwrap_or_else(|why| Err(ReadError::Database(why.into())))
    }

    /// Returns once the writer has let go. Closing twice is harmless.
    pub async fn close(&self) {
        // A writer that is gone already has let go.
        let _ = self.ask(Command::Close).await;
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, NotTried> {
        let (answer, answered) = oneshot::channel();
        self.0.send(command(answer)).await.map_err(|_| NotTried::Closed)?;
        answered.await.map_err(|_| NotTried::Vanished)
    }
}

/// A key that would have been used twice. Whoever commits looks keys up first, so only a fault of ours can cause it (P2).
#[derive(Debug, thiserror::Error)]
#[error("a key that is in use was to be used again; nothing was written")]
pub struct KeyInUse;

/// Why a transaction did not commit.
pub enum Failed {
    /// The lease's epoch is another one.
    LeaseLost,
    /// There is no space, and nothing was written.
    Full(Source),
    /// The database said so.
    Database(Source),
}

impl Failed {
    /// The same, if the database refused for want of space as `is_full` says.
    pub fn full_if<E: std::error::Error + 'static>(self, is_full: impl FnOnce(&E) -> bool) -> Self {
        match self {
            Self::Database(source) if source.downcast_ref::<E>().is_some_and(is_full) => Self::Full(source),
            other => other,
        }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}

/// The writer's memory: which epoch it holds, where the journal ends, and whether it may go on.
pub struct Ledger {
    epoch: i64,
    last: Sequence,
    state: State,
    measures: Arc<Measures>,
}

enum State {
    Working,
    Fenced,
    Failed,
}

impl Ledger {
    /// A writer that has just taken the lease.
    pub fn new(epoch: i64, last: Sequence) -> Self {
        Self { epoch, last, state: State::Working, measures: Arc::new(Measures::new(epoch)) }
    }

    /// Notes how long the database's own commit took.
    pub fn synced(&self, took: std::time::Duration) {
        self.measures.synced(took);
    }

    /// The epoch it holds.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Whether a batch may be tried.
    pub fn check(&mut self, batch: &Batch) -> Result<(), CommitError> {
        match self.state {
            State::Working => self.check_order(batch).map_err(|why| {
                self.state = State::Failed;
                CommitError::Unknown(why.into())
            }),
            State::Fenced => Err(CommitError::Fenced { epoch: self.epoch }),
            State::Failed => Err(CommitError::Unknown(NotTried::AfterFailure.into())),
        }
    }

    /// The journal has neither gap nor repeat, and the projection does not run ahead of it.
    fn check_order(&self, batch: &Batch) -> Result<(), NotTried> {
        let mut last = self.last;
        for row in &batch.journal {
            if row.sequence != last + 1 {
                return Err(NotTried::OutOfOrder { expected: last + 1, found: row.sequence });
            }
            if row.previous < 0 || row.previous >= row.sequence {
                return Err(NotTried::BadPrevious { sequence: row.sequence, previous: row.previous });
            }
            last = row.sequence;
        }
        match batch.projected_to {
            Some(mark) if mark > last => Err(NotTried::MarkBeyondEnd { mark, last }),
            _ => Ok(()),
        }
    }

    /// Remembers how a batch went. After any failure but want of space nothing more is written (P3, P11).
    /// Only a batch of which certainly nothing was written is given back, to be tried again.
    pub fn settle(&mut self, batch: Box<Batch>, outcome: Result<(), Failed>) -> Result<(), CommitError> {
        match outcome {
            Ok(()) => {
                self.last = batch.journal.last().map_or(self.last, |row| row.sequence);
                Ok(())
            }
            Err(Failed::LeaseLost) => {
                self.measures.fenced();
                self.state = State::Fenced;
                Err(CommitError::Fenced { epoch: self.epoch })
            }
            Err(Failed::Full(source)) => {
                self.measures.full();
                Err(CommitError::Full { batch, source })
            }
            Err(Failed::Database(source)) => {
                self.measures.unknown();
                self.state = State::Failed;
                Err(CommitError::Unknown(source))
            }
        }
    }

    /// Says how a probe went. A failed one does not stop the writer: nothing that was accepted depends on it.
    pub fn probed(&self, outcome: Result<(), Failed>) -> Result<(), ReadError> {
        if outcome.is_err() {
            self.measures.probe_failed();
        }
        match (&self.state, outcome) {
            (State::Failed, _) => Err(ReadError::Database(NotTried::AfterFailure.into())),
            (State::Fenced, _) | (_, Err(Failed::LeaseLost)) => Err(ReadError::Database(CommitError::Fenced { epoch: self.epoch }.into())),
            (State::Working, Err(Failed::Database(source) | Failed::Full(source))) => Err(ReadError::Database(source)),
            (State::Working, Ok(())) => Ok(()),
        }
    }
}
