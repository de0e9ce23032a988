//! A task's history: walked back from its newest row, page by page.

use crate::row::{self, JournalColumns};
use tasker_engine::{Event, TaskId};
use tasker_runtime::port::store::{History, JournalRow, ReadError, Sequence};

/// How many rows one query brings: enough that a history of ordinary length takes one, few enough that the query holds neither a
/// connection nor SQLite's write-ahead log for long.
pub const PAGE_ROWS: i64 = 1_024;

/// The part of a history that has been read so far, newest first.
pub struct Chain {
    task: TaskId,
    next: Sequence,
    rows: Vec<JournalRow>,
}

impl Chain {
    /// Starts at the task's newest row.
    pub fn new(task: TaskId, last: Sequence) -> Self {
        Self { task, next: last, rows: Vec::new() }
    }

    /// From where the next page is to be read; none once the first row was reached.
    pub fn next(&self) -> Option<Sequence> {
        (self.next > 0).then_some(self.next)
    }

    /// Takes the rows that follow `next` backwards.
    ///
    /// # Errors
    /// Damaged, if a row is missing, changed, or another task's.
    pub fn extend(&mut self, page: Vec<JournalColumns>) -> Result<(), ReadError> {
        let damaged = |what: String| Err(ReadError::Damaged(format!("the history of {}: {what}", self.task)));
        if page.is_empty() {
            return damaged(format!("journal row {} is missing", self.next));
        }
        for columns in page {
            let row = row::journal_row(columns)?;
            if row.sequence != self.next {
                return damaged(format!("journal row {} is missing", self.next));
            }
            if row.entry.task != self.task {
                return damaged(format!("journal row {} belongs to {}", row.sequence, row.entry.task));
            }
            if row.previous >= row.sequence || row.previous < 0 {
                return damaged(format!("journal row {} follows row {}", row.sequence, row.previous));
            }
            self.next = row.previous;
            self.rows.push(row);
        }
        Ok(())
    }

    /// The whole history, oldest first.
    ///
    /// # Errors
    /// Damaged, if its first row does not accept the task.
    pub fn finish(mut self) -> Result<History, ReadError> {
        self.rows.reverse();
        let first = self.rows.first().and_then(|row| row.entry.events.first());
        let Some(Event::TaskAccepted(submission)) = first else {
            return Err(ReadError::Damaged(format!("the history of {} does not start with its acceptance", self.task)));
        };
        Ok(History { namespace: submission.namespace.clone(), rows: self.rows })
    }
}
