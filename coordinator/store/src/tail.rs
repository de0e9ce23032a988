//! Recovery: the projection says where tasks stood a few seconds before the end, the journal's tail says what happened since.

use crate::row::{check_journal, task_id};
use std::collections::{BTreeMap, HashMap};
use tasker_engine::{TaskId, TaskStatus};
use tasker_runtime::port::store::{ReadError, Sequence};
use tasker_wire::journal;

/// How many tasks one query asks about.
pub const ASKED_MAX: usize = 1_000;

/// What is known of one task that is running, or that the tail speaks of.
#[derive(Clone, Copy)]
struct Head {
    last: Sequence,
    standing: Standing,
    /// Whether the task waits for something that no worker brings, and has done nothing since its row said so.
    waits: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Running,
    Over,
    /// The tail continues a task that neither it nor the running rows know: only its own row can tell.
    Unclear,
}

/// The standing of tasks while the tail is read in order.
#[derive(Default)]
pub struct Tail {
    heads: BTreeMap<i64, Head>,
    /// The newest journal place seen.
    pub last: Sequence,
    /// The highest task number seen.
    pub last_task: Option<i64>,
}

/// Tasks by where they stand: id and newest journal place.
pub struct Sorted {
    /// Not over; those that wait last.
    pub active: Vec<(TaskId, Sequence)>,
    /// Over, which their row does not say yet.
    pub finished_unprojected: Vec<(TaskId, Sequence)>,
}

impl Tail {
    /// Takes a task's row that says it is running, and whether it waits for something that no worker brings.
    pub fn running(&mut self, task: i64, last: Sequence, waits: bool) {
        self.heads.insert(task, Head { last, standing: Standing::Running, waits });
    }

    /// Takes the next journal row after the projection's mark.
    ///
    /// # Errors
    /// Damaged, if the row is not what was written.
    pub fn row(&mut self, sequence: Sequence, task: i64, previous: Sequence, checksum: i64, entry: &[u8]) -> Result<(), ReadError> {
        check_journal(sequence, task, previous, checksum, entry)?;
        let outline = journal::outline(entry).map_err(|error| ReadError::Damaged(format!("journal row {sequence}: {error}")))?;
        let head = self.heads.entry(task).or_insert(Head { last: 0, standing: Standing::Unclear, waits: false });
        head.last = head.last.max(sequence);
        head.waits = false;
        if outline.ends.is_some() {
            head.standing = Standing::Over;
        } else if outline.accepts {
            head.standing = Standing::Running;
        }
        self.last = self.last.max(sequence);
        self.last_task = self.last_task.max(Some(task));
        Ok(())
    }

    /// The tasks whose rows must be looked at before [`Self::sort`].
    pub fn questions(&self) -> Vec<i64> {
        self.heads.iter().filter(|(_, head)| head.standing != Standing::Running).map(|(task, _)| *task).collect()
    }

    /// Sorts the tasks, given the rows of those in question: status and the place that the row reflects.
    ///
    /// # Errors
    /// Damaged, if the journal continues a task that nothing has accepted.
    pub fn sort(self, rows: &HashMap<i64, (String, Sequence)>) -> Result<Sorted, ReadError> {
        let mut sorted = Sorted { active: Vec::new(), finished_unprojected: Vec::new() };
        let mut waiting = Vec::new();
        for (number, head) in self.heads {
            let id = task_id(number)?;
            let row = rows.get(&number);
            let row_says_over = row.and_then(|(status, _)| TaskStatus::from_word(status)).is_some_and(TaskStatus::is_terminal);
            let up_to_date = row_says_over && row.is_some_and(|(_, last)| *last >= head.last);
            match (head.standing, row_says_over) {
                (Standing::Running, _) if head.waits => waiting.push((id, head.last)),
                (Standing::Running, _) => sorted.active.push((id, head.last)),
                (Standing::Over, _) | (Standing::Unclear, true) if !up_to_date => sorted.finished_unprojected.push((id, head.last)),
                (Standing::Over, _) | (Standing::Unclear, true) => {}
                (Standing::Unclear, false) => {
                    let place = head.last;
                    return Err(ReadError::Damaged(format!("journal row {place} continues {id}, which nothing has accepted")));
                }
            }
        }
        sorted.active.append(&mut waiting);
        Ok(sorted)
    }
}
