//! The searchable projection of tasks, swept into the store in key order, the whole dirty set at a time (design, section 6).

use super::Shard;
use super::resident::Resident;
use crate::port::store::{Batch, ForgetKeys, Sequence, TaskRow, WaitingFor};
use crate::settings::SWEEP_ROWS_MAX;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;
use tasker_engine::TaskId;

/// Which tasks have changed since they were last projected.
#[derive(Default)]
pub(super) struct Projection {
    dirty: BTreeSet<TaskId>,
    /// What the sweep that runs has still to write, and up to where the journal will then be reflected.
    sweep: VecDeque<TaskId>,
    mark: Sequence,
    swept_at: Duration,
    keys_forgotten_at: Duration,
}

/// How often old idempotency keys are deleted.
const FORGET_KEYS_EVERY: Duration = Duration::from_secs(600);

impl Projection {
    pub fn touch(&mut self, id: TaskId) {
        self.dirty.insert(id);
    }

    /// Whether the task's row in the store, or in a batch on its way there, says the latest.
    pub fn is_clean(&self, id: TaskId) -> bool {
        !self.dirty.contains(&id) && !self.sweep.contains(&id)
    }
}

impl Shard {
    /// Puts the next piece of the sweep into the group; begins a new sweep when it is time.
    pub(super) fn sweep(&mut self) {
        let uptime = self.uptime();
        if self.projection.sweep.is_empty() {
            if self.projection.dirty.is_empty() || uptime.saturating_sub(self.projection.swept_at) < self.settings.sweep {
                return;
            }
            self.projection.sweep = std::mem::take(&mut self.projection.dirty).into_iter().collect();
            self.projection.mark = self.last;
            self.projection.swept_at = uptime;
        }
        self.sweep_piece(SWEEP_ROWS_MAX);
        if uptime.saturating_sub(self.projection.keys_forgotten_at) > FORGET_KEYS_EVERY {
            self.projection.keys_forgotten_at = uptime;
            let keep = i64::try_from(self.settings.keep_keys.as_millis()).unwrap_or(i64::MAX);
            let now = self.clock.now();
            let used_before = tasker_engine::Timestamp::from_millis(now.as_millis().saturating_sub(keep));
            self.group.batch.forget_keys = Some(ForgetKeys { used_before, now });
        }
        let projection = &self.projection;
        self.residents.evict(|id| projection.is_clean(id));
    }

    fn sweep_piece(&mut self, most: usize) {
        for _ in 0..most {
            let Some(id) = self.projection.sweep.pop_front() else { break };
            // A row that is changed again before this commit is written as it then stands, and once more by the next sweep.
            if let Some(resident) = self.residents.get(id) {
                let row = row_of(resident);
                self.group.batch.tasks.retain(|known| known.id != id);
                self.group.batch.tasks.push(row);
            }
        }
        if self.projection.sweep.is_empty() {
            self.group.batch.projected_to = Some(self.projection.mark);
        }
    }

    /// Projects everything, at a graceful stop, so that the next start has nothing to catch up with.
    pub(super) async fn sweep_all(&mut self) {
        self.projection.sweep.extend(std::mem::take(&mut self.projection.dirty));
        self.projection.mark = self.last;
        self.group.batch = Batch::default();
        while !self.projection.sweep.is_empty() {
            self.sweep_piece(SWEEP_ROWS_MAX);
            let batch = std::mem::take(&mut self.group.batch);
            if let Err(error) = self.store.commit(batch).await {
                tracing::warn!(%error, "the last sweep failed; the next start catches up from the journal");
                return;
            }
        }
    }
}

/// The task as lists and searches see it.
pub(super) fn row_of(resident: &Resident) -> TaskRow {
    let task = &resident.task;
    let failure = task.failure.as_ref();
    let retries = task.steps.iter().map(|step| step.closed.len().saturating_sub(1) as u32).sum();
    TaskRow {
        id: task.id,
        namespace: task.workflow.namespace.clone(),
        workflow: task.workflow.name.clone(),
        version: task.workflow.version.clone(),
        digest: task.workflow.digest,
        status: task.status,
        accepted_at: task.accepted_at,
        finished_at: task.finished_at,
        error_code: failure.map(|(_, failure)| failure.code.to_string()),
        failed_step: failure.and_then(|(step, _)| *step).map(|step| task.label(step).to_string()),
        retries,
        labels: task.submission.labels.clone(),
        parent: task.submission.parent.map(|parent| parent.task),
        waiting: WaitingFor::of(task),
        last: resident.last,
    }
}
