//! Submissions become tasks.

use super::resident::Resident;
use super::{Shard, catalog};
use crate::command::KeyedSubmission;
use crate::operations::{ChangeError, SubmitError, Submitted, Unavailable, now};
use crate::port::store::KeyUse;
use crate::settings::KEY_LOOKUP_VALID;
use crate::trace::hex;
use std::collections::BTreeMap;
use std::time::Duration;
use tasker_engine::decide::accept::{self, Refusal, accept};
use tasker_engine::task::{Submission, Trace};
use tasker_engine::{Namespace, Payload, StepIndex, TaskId, TaskStatus};
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

    pub(super) fn submit(
        &mut self,
        entry: &catalog::Entry,
        submission: Submission,
        keyed: Option<KeyedSubmission>,
        kept: Vec<(StepIndex, Payload)>,
    ) -> Result<Submitted, SubmitError> {
        let now = now();
        if self.draining.is_some() {
            return Err(Unavailable::Draining.into());
        }
        if self.residents.active() >= self.settings.active_tasks_max {
            return Err(Unavailable::Busy { retry_after: Duration::from_secs(2) }.into());
        }
        let namespace = submission.namespace.clone();
        if let Some(keyed) = &keyed {
            if now.since(keyed.looked_up_at) > KEY_LOOKUP_VALID {
                return Err(Unavailable::Busy { retry_after: Duration::from_secs(1) }.into());
            }
            if let Some(used) = self.keys.get(&namespace, &keyed.key) {
                if used.fingerprint != keyed.fingerprint {
                    return Err(SubmitError::KeyReused { key: keyed.key.clone(), task: used.task });
                }
                let trace = self.residents.get(used.task).map(|resident| resident.task.submission.trace.trace_id);
                let trace_id = hex(&trace.unwrap_or_default());
                return Ok(Submitted { task: used.task, created: false, trace_id });
            }
        }
        let id = self.last_task.next().max(TaskId::first_at(now));
        let trace_id = hex(&submission.trace.trace_id);
        let (task, decision) = accept(id, &entry.workflow, submission, kept, now).map_err(|refusal| match refusal {
            Refusal::InputViolated { workflow, violations } => SubmitError::InputViolated { workflow, violations },
            Refusal::NoDeadline { workflow, problem } => SubmitError::NoDeadline { workflow, problem },
        })?;
        self.last_task = id;
        self.residents.insert(Resident { task, last: 0, lanes: entry.lanes.clone(), progress: BTreeMap::new() });
        self.counters.tasks_accepted += 1;
        if let Some(keyed) = keyed {
            let used = KeyUse { namespace, key: keyed.key, fingerprint: keyed.fingerprint, task: id, used_at: now, valid_until: None };
            self.keys.insert(used.clone());
            self.group.batch.keys.push(used);
        }
        self.record(id, decision, None);
        Ok(Submitted { task: id, created: true, trace_id })
    }

    pub(super) fn retry(
        &mut self,
        namespace: &Namespace,
        id: TaskId,
        answer: tokio::sync::oneshot::Sender<Result<Submitted, ChangeError>>,
    ) {
        let known = self.residents.get(id).filter(|known| known.task.submission.namespace == *namespace);
        let Some(resident) = known else {
            return self.answer(answer, Err(ChangeError::UnknownTask(id)));
        };
        let outcome = match resident.task.status {
            TaskStatus::Running => Err(ChangeError::StillRunning),
            TaskStatus::Succeeded => Err(ChangeError::NothingToRetry),
            TaskStatus::Failed | TaskStatus::Cancelled => Ok(()),
        };
        if let Err(error) = outcome {
            return self.answer(answer, Err(error));
        }
        let kept = accept::reusable_results(&resident.task);
        let submission = Submission {
            idempotency_key: None,
            origin: Some(resident.task.submission.origin.unwrap_or(id)),
            trace: new_trace(),
            ..(*resident.task.submission).clone()
        };
        let entry = self.catalog.pinned(namespace, submission.workflow).cloned();
        let submitted = match entry {
            None => Err(ChangeError::UnknownTask(id)),
            Some(entry) => self.submit(&entry, submission, None, kept).map_err(|error| match error {
                SubmitError::Unavailable(unavailable) => unavailable.into(),
                // The same input fitted the same workflow before, and there is no key.
                other => ChangeError::Unavailable(Unavailable::Read(other.to_string())),
            }),
        };
        self.answer(answer, submitted);
    }
}

/// A trace of its own.
pub(super) fn new_trace() -> Trace {
    let mut trace_id: [u8; 16] = rand::random();
    // The standard forbids the all-zero id.
    trace_id[0] |= 1;
    Trace { trace_id, parent: None, sampled: true }
}
