//! While the database takes no more: what was decided waits, what would be decided is refused, and what is durable can be read.
//!
//! A commit of which certainly nothing was written ([`CommitError::Full`]) is no unknown outcome, so the process need not stop (P3). Its batch
//! is tried again as it is, and nothing of it leaves before (P5). Meanwhile changes are refused before anything is decided, questions are
//! answered at once, and questions about a task whose latest decisions wait are refused, because a crash could still undo those.
//! Worker replies go on being taken until the group is as large as it may be (P22); those that are not are sent again by the workers.

use super::companions::{concerned, refuse};
use super::{InFlight, Shard};
use crate::command::Command;
use crate::operations::Unavailable;
use crate::port::store::{Batch, CommitError, Sequence};
use std::time::Duration;
use tokio::time::Instant;

/// How often the batch is tried again. Space is freed by people or by other programs; neither notices a second.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// That the database is full.
pub(super) struct Full {
    since: Instant,
    /// Journal rows from here on are not durable.
    from: Sequence,
    /// Whether a question is being answered that speaks of nothing but what is durable.
    answering: bool,
}

impl Shard {
    /// Keeps a batch of which nothing was written and tries it again.
    ///
    /// # Errors
    /// The coordinator is being stopped: it does not wait for space.
    pub(super) fn wait_for_space(
        &mut self,
        refused: InFlight,
        batch: Box<Batch>,
        source: Box<dyn std::error::Error + Send + Sync>,
    ) -> Result<(), CommitError> {
        if self.draining.is_some() {
            return Err(CommitError::Full { batch, source });
        }
        if self.full.is_none() {
            let first = batch.journal.first().or(self.group.batch.journal.first());
            let from = first.map_or(self.last + 1, |row| row.sequence);
            tracing::error!(
                code = "store.full",
                error = %source,
                "the database's disk is full: changes are refused until there is space; nothing that was acknowledged is lost"
            );
            self.full = Some(Full { since: Instant::now(), from, answering: false });
        }
        let store = self.store.clone();
        let commit = Box::pin(async move {
            tokio::time::sleep(TRY_EVERY).await;
            store.commit(*batch).await
        });
        self.in_flight = Some(InFlight { commit, ..refused });
        Ok(())
    }

    /// A commit went through.
    pub(super) fn note_space(&mut self) {
        if let Some(full) = self.full.take() {
            tracing::warn!(seconds = full.since.elapsed().as_secs(), "the database takes changes again");
        }
    }

    /// Refuses a command that would change something, or that speaks of what is not durable; answers any other at once.
    pub(super) fn take_while_full(&mut self, command: Command) {
        let from = self.full.as_ref().map_or(Sequence::MAX, |full| full.from);
        let waits = concerned(&command).and_then(|id| self.residents.get(id)).is_some_and(|resident| resident.last >= from);
        if waits || changes(&command) {
            return refuse(command, Unavailable::Full);
        }
        self.set_answering(true);
        self.take_now(command);
        self.set_answering(false);
    }

    /// Whether an answer need not wait for the commit that waits for space.
    pub(super) fn answers_at_once(&self) -> bool {
        self.full.as_ref().is_some_and(|full| full.answering)
    }

    fn set_answering(&mut self, answering: bool) {
        if let Some(full) = &mut self.full {
            full.answering = answering;
        }
    }
}

/// Whether a command would leave something to be stored.
fn changes(command: &Command) -> bool {
    match command {
        Command::Apply { .. }
        | Command::Submit { .. }
        | Command::Cancel { .. }
        | Command::Signal { .. }
        | Command::SendEvent { .. }
        | Command::Decide { .. }
        | Command::Comment { .. }
        | Command::Resolve { .. }
        | Command::Pause { .. }
        | Command::Resume { .. }
        | Command::PauseWorkflow { .. }
        | Command::Retry { .. }
        | Command::RequeueLetter { .. }
        | Command::DiscardLetter { .. }
        | Command::Callback { .. } => true,
        Command::Workflows { .. }
        | Command::Show { .. }
        | Command::Head { .. }
        | Command::WaitFinished { .. }
        | Command::Approvals { .. }
        | Command::Held { .. }
        | Command::Items { .. }
        | Command::Systems { .. }
        | Command::Capabilities { .. }
        | Command::Queues { .. }
        | Command::ChangeQueue { .. }
        | Command::Why { .. }
        | Command::Status { .. }
        | Command::Figures { .. }
        | Command::OverrideBreaker { .. }
        | Command::DrainWorker { .. }
        | Command::DrainVersion { .. }
        | Command::Drain { .. } => false,
    }
}
