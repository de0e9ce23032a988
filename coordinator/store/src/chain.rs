//! A task's history: walked back from its newest row, page by page.

use crate::row::{self, JournalColumns};
use std::collections::HashMap;
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

/// The most rows that are read together for several tasks, and the most bytes: what a reader holds at once, also if histories are long.
pub const TOGETHER_ROWS_MAX: i64 = 16_384;
const TOGETHER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The rows of several tasks, as they come, in any order.
#[derive(Default)]
pub struct Together {
    rows: HashMap<i64, Vec<JournalColumns>>,
    count: i64,
    bytes: usize,
}

impl Together {
    /// Takes a row. False once there are more than one reader should hold: then fewer tasks must be asked for.
    pub fn take(&mut self, columns: JournalColumns) -> bool {
        self.count += 1;
        self.bytes += columns.4.len();
        self.rows.entry(columns.1).or_default().push(columns);
        self.count < TOGETHER_ROWS_MAX && self.bytes <= TOGETHER_BYTES_MAX
    }

    /// The histories, in the order of the tasks that were asked for.
    ///
    /// # Errors
    /// Damaged, as [`Chain`] says.
    pub fn finish(mut self, heads: &[(TaskId, Sequence)]) -> Result<Vec<History>, ReadError> {
        let history = |(task, last): &(TaskId, Sequence)| {
            let mut rows = self.rows.remove(&task.as_number()).unwrap_or_default();
            rows.sort_unstable_by_key(|(sequence, ..)| std::cmp::Reverse(*sequence));
            let mut chain = Chain::new(*task, *last);
            chain.extend(rows)?;
            match chain.next() {
                None => chain.finish(),
                Some(next) => Err(ReadError::Damaged(format!("the history of {task}: journal row {next} is missing"))),
            }
        };
        heads.iter().map(history).collect()
    }
}
