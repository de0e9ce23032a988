//! The searchable projection of tasks, swept into the store in key order, the whole dirty set at a time (design, section 6).

use super::Shard;
use super::resident::Resident;
use super::sleep::is_still;
use crate::port::store::{Batch, ForgetKeys, Sequence, TaskRow, WaitingFor};
use crate::settings::SWEEP_ROWS_MAX;
use std::collections::BTreeSet;
use std::time::Duration;
use tasker_engine::TaskId;

/// Which tasks have changed since they were last projected.
#[derive(Default)]
pub(super) struct Projection {
    dirty: BTreeSet<TaskId>,
    /// What the sweep that runs has still to write, and up to where the journal will then be reflected. A set, because every finished task
    /// is looked up in it before it leaves memory. Without a place the mark stays where it is.
    sweep: BTreeSet<TaskId>,
    mark: Option<Sequence>,
    /// Rows in each piece of the sweep that runs.
    piece: usize,
    swept_at: Duration,
    keys_forgotten_at: Duration,
}

/// A sweep is written in about so many pieces, one at each tick: fewer than ticks between two sweeps.
const SWEEP_PIECES: usize = 8;

/// How often old idempotency keys are deleted.
const FORGET_KEYS_EVERY: Duration = Duration::from_secs(600);

impl Projection {
    pub fn touch(&mut self, id: TaskId) {
        self.dirty.insert(id);
    }

    /// Tasks whose row in the store does not say the latest, at most so many.
    pub fn changed(&self, most: usize) -> Vec<TaskId> {
        self.dirty.iter().chain(&self.sweep).take(most).copied().collect()
    }

    /// Whether there is nothing to write.
    pub fn is_idle(&self) -> bool {
        self.dirty.is_empty() && self.sweep.is_empty()
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
            self.projection.sweep = std::mem::take(&mut self.projection.dirty);
            // However much has changed, a sweep ends before the next is due: otherwise finished tasks would pile up in memory under load.
            self.projection.piece = SWEEP_ROWS_MAX.max(self.projection.sweep.len().div_ceil(SWEEP_PIECES));
            self.projection.mark = (!self.loads.holds_mark()).then_some(self.last);
            self.projection.swept_at = uptime;
        }
        self.sweep_piece(self.projection.piece);
        if uptime.saturating_sub(self.projection.keys_forgotten_at) > FORGET_KEYS_EVERY {
            self.projection.keys_forgotten_at = uptime;
            let keep = i64::try_from(self.settings.keep_keys.as_millis()).unwrap_or(i64::MAX);
            let now = self.clock.now();
            let used_before = tasker_engine::Timestamp::from_millis(now.as_millis().saturating_sub(keep));
            self.group.batch.forget_keys = Some(ForgetKeys { used_before, now });
        }
        self.evict();
    }

    /// With each commit, if that is wanted: writes what has changed.
    pub(super) fn sweep_along(&mut self) {
        if self.settings.sweep.is_zero() {
            self.sweep();
        }
    }

    /// Lets go of tasks that are over. What is not committed is not in the store, where it would be looked for.
    fn evict(&mut self) {
        let Self { projection, residents, committed_to, loads, .. } = self;
        residents.evict(|known| known.last <= *committed_to && projection.is_clean(known.task.id) && !loads.needs(known.task.id));
    }

    fn sweep_piece(&mut self, most: usize) {
        // A sweep names a task once, so only what an earlier sweep left in this group can be there already.
        let earlier = std::mem::take(&mut self.group.batch.tasks);
        let mut written = BTreeSet::new();
        for _ in 0..most {
            let Some(id) = self.projection.sweep.pop_first() else { break };
            // A row that is changed again before this commit is written as it then stands, and once more by the next sweep.
            if let Some(resident) = self.residents.get(id) {
                self.group.batch.tasks.push(row_of(resident));
                if !earlier.is_empty() {
                    written.insert(id);
                }
                if is_still(&resident.task) {
                    self.drowsy.push_back(id);
                }
                self.tally_up(id);
            }
        }
        let kept = earlier.into_iter().filter(|row| !written.contains(&row.id));
        self.group.batch.tasks.extend(kept);
        if self.projection.sweep.is_empty() {
            self.group.batch.projected_to = self.projection.mark.or(self.group.batch.projected_to);
        }
    }

    /// Projects everything, at a graceful stop, so that the next start has nothing to catch up with.
    pub(super) async fn sweep_all(&mut self) {
        self.projection.sweep.extend(std::mem::take(&mut self.projection.dirty));
        self.projection.mark = (!self.loads.holds_mark()).then_some(self.last);
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
