//! Submissions become tasks.

use super::resident::Resident;
use super::{Shard, catalog};
use crate::command::{Accepted, KeyedSubmission, LookedUp, NewTask};
use crate::operations::submit::IDENTITY_PREFIX;
use crate::operations::{ChangeError, SubmitError, Submitted, Unavailable};
use crate::port::store::KeyUse;
use crate::settings::KEY_LOOKUP_VALID;
use crate::trace::{hex, parse_traceparent};
use std::time::Duration;
use tasker_engine::decide::accept::{self, Refusal, accept};
use tasker_engine::identity::identity_key;
use tasker_engine::task::{Submission, Trace};
use tasker_engine::workflow::OnDuplicate;
use tasker_engine::{Digest, Namespace, Payload, StepIndex, TaskId, TaskStatus, Timestamp, Workflow};
use tasker_manifest::nearest_name;

impl Shard {
    pub(super) fn find_workflow(
        &self,
        namespace: &Namespace,
        name: &tasker_engine::WorkflowName,
        version: Option<&str>,
    ) -> Result<&catalog::Entry, SubmitError> {
        let found = match version {
            Some(version) => self.catalog.version(namespace, name, version),
            None => self.catalog.current(namespace, name),
        };
        found.ok_or_else(|| SubmitError::UnknownWorkflow {
            name: version.map_or_else(|| name.to_string(), |version| format!("{name} {version}")),
            namespace: namespace.clone(),
            similar: nearest_name(name.as_str(), self.catalog.names(namespace).map(|name| name.as_str())).map(str::to_owned),
        })
    }

    /// Accepts a task, finds the one that is the same, or asks for the identity to be looked up first.
    pub(super) fn accept_new(&mut self, mut new: Box<NewTask>) -> Result<Accepted, SubmitError> {
        let version = new.version.as_ref().map(|version| version.as_str());
        let entry = self.find_workflow(&new.namespace, &new.workflow, version)?.clone();
        if let Some(found) = self.find_keyed(&new)? {
            return Ok(Accepted::Done(found));
        }
        let workflow = &entry.workflow;
        let key = identity_key(workflow, &new.input)
            .map_err(|problem| SubmitError::NoIdentity { workflow: workflow.name.to_string(), problem })?
            .map(|key| format!("{IDENTITY_PREFIX}{key}"));
        if let Some(key) = &key {
            match &new.identified {
                Some(identified) if identified.key == *key => {}
                _ => return Ok(Accepted::LookUp { key: key.clone(), submission: new }),
            }
            if let Some(found) = self.find_identical(workflow, &mut new)? {
                return Ok(Accepted::Done(found));
            }
        }
        let range = workflow.flow.priority;
        let priority = range.of(new.priority).map_err(|asked| SubmitError::PriorityNotAllowed {
            workflow: workflow.name.to_string(),
            asked,
            range,
        })?;
        let trace = new.traceparent.as_deref().and_then(parse_traceparent);
        let submission = Submission {
            namespace: new.namespace.clone(),
            workflow: workflow.digest,
            input: new.input,
            labels: new.labels,
            idempotency_key: new.keyed.as_ref().map(|keyed| keyed.key.clone()),
            origin: None,
            trace: trace.unwrap_or_else(|| new_trace(self.chance.draw())),
            parent: None,
            priority,
            concurrency: None,
        };
        let submitted = self.submit(&entry, submission, Vec::new())?;
        let now = self.clock.now();
        if let Some(keyed) = new.keyed {
            self.use_key(&new.namespace, keyed, submitted.task, now);
        }
        if let (Some(key), Some(identity)) = (key, &workflow.identity) {
            let fingerprint = Digest::of(key.as_bytes());
            let valid_until = Some(now.after(identity.window));
            self.remember_key(KeyUse { namespace: new.namespace, key, fingerprint, task: submitted.task, used_at: now, valid_until });
        }
        Ok(Accepted::Done(submitted))
    }

    /// The task that the idempotency key led to a moment ago.
    fn find_keyed(&self, new: &NewTask) -> Result<Option<Submitted>, SubmitError> {
        let Some(keyed) = &new.keyed else { return Ok(None) };
        if self.is_stale_look_up(keyed.looked_up_at) {
            return Err(Unavailable::Busy { retry_after: Duration::from_secs(1) }.into());
        }
        match self.keys.get(&new.namespace, &keyed.key) {
            Some(used) if used.fingerprint != keyed.fingerprint => Err(SubmitError::KeyReused { key: keyed.key.clone(), task: used.task }),
            Some(used) => Ok(Some(self.existing(used.task))),
            None => Ok(None),
        }
    }

    /// The task that has the same identity, if its window is not over.
    fn find_identical(&mut self, workflow: &Workflow, new: &mut NewTask) -> Result<Option<Submitted>, SubmitError> {
        let (Some(identified), Some(identity)) = (&new.identified, &workflow.identity) else { return Ok(None) };
        let now = self.clock.now();
        if self.is_stale_look_up(identified.looked_up_at) {
            return Err(Unavailable::Busy { retry_after: Duration::from_secs(1) }.into());
        }
        let recent = self.keys.get(&new.namespace, &identified.key);
        let Some(used) = recent.or(identified.used.as_ref()).filter(|used| !used.is_over(now)).cloned() else { return Ok(None) };
        match identity.on_duplicate {
            OnDuplicate::Existing => {
                // A repeat with the same key finds the task by the key, also when the window is over.
                if let Some(keyed) = new.keyed.take() {
                    self.use_key(&new.namespace, keyed, used.task, now);
                }
                Ok(Some(self.existing(used.task)))
            }
            OnDuplicate::Refuse => {
                let until = used.valid_until.unwrap_or(now);
                Err(SubmitError::Duplicate { workflow: workflow.name.to_string(), task: used.task, until })
            }
        }
    }

    /// Whether a key may have been used since the store was asked for it without the loop knowing: too long ago, or before this loop was there,
    /// while another one wrote the same shard.
    pub(super) fn is_stale_look_up(&self, looked_up: LookedUp) -> bool {
        let waited = looked_up.at.elapsed().max(self.clock.now().since(looked_up.wall));
        looked_up.at <= self.started || waited > KEY_LOOKUP_VALID
    }

    fn existing(&self, task: TaskId) -> Submitted {
        let trace = self.residents.get(task).map(|resident| resident.task.submission.trace.trace_id);
        Submitted { task, created: false, trace_id: hex(&trace.unwrap_or_default()) }
    }

    fn use_key(&mut self, namespace: &Namespace, keyed: KeyedSubmission, task: TaskId, now: Timestamp) {
        let KeyedSubmission { key, fingerprint, .. } = keyed;
        self.remember_key(KeyUse { namespace: namespace.clone(), key, fingerprint, task, used_at: now, valid_until: None });
    }

    /// A key is in use from now on. An earlier use whose window is over gives way to it, in the group that gathers as in the store.
    pub(super) fn remember_key(&mut self, used: KeyUse) {
        if used.valid_until.is_some() {
            self.group.batch.keys.retain(|known| known.key != used.key || known.namespace != used.namespace);
        }
        self.keys.insert(used.clone());
        self.group.batch.keys.push(used);
    }

    /// The id of the next task.
    pub(super) fn next_task(&self, now: Timestamp) -> TaskId {
        self.last_task.following(now, self.settings.shard)
    }

    fn submit(
        &mut self,
        entry: &catalog::Entry,
        mut submission: Submission,
        kept: Vec<(StepIndex, Payload)>,
    ) -> Result<Submitted, SubmitError> {
        let now = self.clock.now();
        if self.draining.is_some() {
            return Err(Unavailable::Draining.into());
        }
        if self.active() >= self.settings.active_tasks_max {
            return Err(Unavailable::Busy { retry_after: Duration::from_secs(2) }.into());
        }
        if let Some(full) = self.backlog_full(&entry.lanes) {
            self.counters.backlog_refused += 1;
            return Err(SubmitError::BacklogFull(full));
        }
        submission.concurrency = self.concurrency_of(&entry.workflow, &submission.input);
        let id = self.next_task(now);
        let trace_id = hex(&submission.trace.trace_id);
        let (task, decision) = accept(id, &entry.workflow, submission, kept, now).map_err(|refusal| match refusal {
            Refusal::InputViolated { workflow, violations } => SubmitError::InputViolated { workflow, violations },
            Refusal::NoDeadline { workflow, problem } => SubmitError::NoDeadline { workflow, problem },
        })?;
        self.last_task = id;
        self.residents.accept(Resident::new(task, 0, entry.lanes.clone()));
        self.record(id, decision, None);
        self.counted(id);
        self.settle_pause(id);
        Ok(Submitted { task: id, created: true, trace_id })
    }

    /// Tries a task again that somebody named; its dead letter, if it has one, is settled with it.
    pub(super) fn retry(&mut self, namespace: &Namespace, id: TaskId) -> Result<Submitted, ChangeError> {
        let submitted = self.try_again(namespace, id)?;
        self.letter_retried(id, submitted.task);
        Ok(submitted)
    }

    /// Starts a new task that names this one as its origin and keeps its good results (P9).
    pub(super) fn try_again(&mut self, namespace: &Namespace, id: TaskId) -> Result<Submitted, ChangeError> {
        let known = self.residents.get(id).filter(|known| known.task.submission.namespace == *namespace);
        let Some(resident) = known else { return Err(ChangeError::UnknownTask(id)) };
        match resident.task.status {
            TaskStatus::Running => return Err(ChangeError::StillRunning),
            TaskStatus::Succeeded => return Err(ChangeError::NothingToRetry),
            TaskStatus::Failed | TaskStatus::Cancelled => {}
        }
        let kept = accept::reusable_results(&resident.task);
        let submission = Submission {
            idempotency_key: None,
            origin: Some(resident.task.submission.origin.unwrap_or(id)),
            // Nobody waits for it: the attempt that a child was is over.
            parent: None,
            trace: new_trace(self.chance.draw()),
            ..(*resident.task.submission).clone()
        };
        let entry = self.catalog.pinned(namespace, submission.workflow).cloned().ok_or(ChangeError::UnknownTask(id))?;
        self.submit(&entry, submission, kept).map_err(|error| match error {
            SubmitError::Unavailable(unavailable) => unavailable.into(),
            SubmitError::BacklogFull(full) => Unavailable::Busy { retry_after: full.retry_after }.into(),
            // The same input fitted the same workflow before, and there is no key.
            other => ChangeError::Unavailable(Unavailable::Read(other.to_string())),
        })
    }
}

/// A trace of its own, with this id.
pub(super) fn new_trace(mut trace_id: [u8; 16]) -> Trace {
    // The standard forbids the all-zero id.
    trace_id[0] |= 1;
    Trace { trace_id, parent: None, sampled: true }
}
