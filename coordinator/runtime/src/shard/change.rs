//! From decisions to the group: the one place where a decision's events are given their place in the journal and its effects are sorted into
//! what happens in memory at once and what waits for the commit.

use super::attempts::{Carrier, Open};
use super::group::AfterCommit;
use super::resident::Resident;
use super::{Shard, catalog};
use crate::command::{Command, KeyedSubmission};
use crate::operations::{Applied, ApplyError, ChangeError, Committed, SubmitError, Submitted, TaskView, Unavailable, now};
use crate::port::bus::{Call, CallKey};
use crate::port::store::{CapabilityRow, JournalRow, KeyUse, SystemRow, WorkflowRow};
use crate::settings::KEY_LOOKUP_VALID;
use crate::trace::{hex, parse_traceparent, publish_span};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::decide::accept::{self, Refusal, accept};
use tasker_engine::decide::dispatch::responder_timeout;
use tasker_engine::decide::{Decision, Effect, cancel, timer};
use tasker_engine::event::Target;
use tasker_engine::task::{StepState, Submission, Trace};
use tasker_engine::{Namespace, Payload, StepIndex, TaskId, TaskStatus, Timestamp};
use tasker_manifest::nearest_name;
use tasker_registry::SessionKey;
use tasker_registry::message::{AnnouncedCapability, AttemptKey, Directive, StepRequest};
use tasker_registry::registry::{Declared, Source};
use tasker_scheduler::Waiting;

/// Who is asked by a decision that opens an attempt.
pub(super) enum Asked {
    Session(SessionKey),
    Responders,
}

impl Shard {
    pub(super) fn take_command(&mut self, command: Command) {
        if let Some(command) = self.unless_loading(command) {
            self.take_known(command);
        }
    }

    /// Carries out a command; if it is about a task, the task is in memory or does not exist.
    pub(super) fn take_known(&mut self, command: Command) {
        match command {
            Command::Apply { manifest, source, dry_run, warnings, answer } => {
                let applied = self.apply(*manifest, &source, dry_run, warnings);
                self.answer(answer, applied);
            }
            Command::Submit { namespace, workflow, version, input, labels, keyed, traceparent, answer } => {
                let version = version.as_ref().map(|version| version.as_str());
                let found = self.find_workflow(&namespace, &workflow, version).cloned();
                let submitted = match found {
                    Err(error) => Err(error),
                    Ok(entry) => {
                        let trace = traceparent.as_deref().and_then(parse_traceparent);
                        let submission = Submission {
                            namespace,
                            workflow: entry.workflow.digest,
                            input,
                            labels,
                            idempotency_key: keyed.as_ref().map(|keyed| keyed.key.clone()),
                            origin: None,
                            trace: trace.unwrap_or_else(new_trace),
                        };
                        self.submit(&entry, submission, keyed, Vec::new())
                    }
                };
                self.answer(answer, submitted);
            }
            Command::Cancel { namespace, id, reason, answer } => {
                let changed = self.cancel(&namespace, id, &reason);
                self.answer(answer, changed);
            }
            Command::Retry { namespace, id, answer } => self.retry(&namespace, id, answer),
            Command::OverrideBreaker { target, operator, answer } => {
                let overridden = self.override_breaker(target, operator);
                self.answer(answer, overridden);
            }
            Command::DrainWorker { namespace, session, system, answer } => {
                let drained = self.drain_worker(&namespace, &session, system.as_ref());
                self.answer(answer, drained);
            }
            Command::DrainVersion { namespace, system, version, undo, answer } => {
                let drained = self.drain_version(&namespace, system, version, undo);
                self.answer(answer, drained);
            }
            Command::Drain { grace, answer } => {
                self.tell_workers_to_wait();
                self.begin_drain(grace, Some(answer));
            }
            question => self.take_question(question),
        }
    }

    /// Answers once everything decided so far is durable: an answer never speaks of what a crash could undo.
    pub(super) fn answer<A: Send + 'static>(&mut self, answer: tokio::sync::oneshot::Sender<A>, value: A) {
        let send = AfterCommit::Answer(Box::new(move || drop(answer.send(value))));
        if !self.group.batch.is_empty() {
            self.group.then(send);
        } else if let Some(running) = &mut self.in_flight {
            running.after.push(send);
        } else {
            self.group.then(send);
        }
    }

    fn apply(
        &mut self,
        manifest: tasker_manifest::Manifest,
        source: &str,
        dry_run: bool,
        warnings: Vec<tasker_manifest::Diagnostic>,
    ) -> Result<Applied, ApplyError> {
        let workflow = manifest.workflow;
        let namespace = workflow.namespace.clone();
        let known = self.catalog.version(&namespace, &workflow.name, workflow.version.as_str());
        if let Some(known) = known {
            if known.workflow.digest != workflow.digest {
                return Err(ApplyError::VersionTaken { name: workflow.name, version: workflow.version });
            }
            return Ok(Applied { workflow: known.workflow.clone(), changed: false, warnings });
        }
        if dry_run {
            return Ok(Applied { workflow: Arc::new(workflow), changed: true, warnings });
        }
        for system in manifest.systems {
            let (base_url, health) = (system.base_url, system.health_check_url);
            self.registry.locate(&namespace, &system.name, base_url.clone(), health.clone());
            self.group.batch.systems.push(SystemRow {
                namespace: namespace.clone(),
                name: system.name.clone(),
                base_url,
                health_check_url: health,
            });
            for capability in system.capabilities {
                let announced = AnnouncedCapability {
                    name: capability.name,
                    contract: capability.contract,
                    description: capability.description,
                    timeout: capability.timeout,
                };
                let declared = self.registry.declare(&namespace, &system.name, &announced, Source::Manifest, now());
                self.store_declarations(declared);
            }
        }
        let row = WorkflowRow {
            namespace,
            name: workflow.name.clone(),
            version: workflow.version.clone(),
            digest: workflow.digest,
            source: source.to_owned(),
            applied_at: now(),
        };
        self.group.batch.workflows.push(row.clone());
        let entry = self.catalog.insert(workflow, manifest.description, row, &mut self.scheduler);
        tracing::info!(workflow = %entry.workflow.name, version = %entry.workflow.version, digest = %entry.workflow.digest, "workflow applied");
        Ok(Applied { workflow: entry.workflow, changed: true, warnings })
    }

    pub(super) fn store_declarations(&mut self, declared: impl IntoIterator<Item = Declared>) {
        for one in declared {
            let capability = one.capability;
            self.group.batch.contracts.push((capability.digest, capability.contract.to_json()));
            self.group.batch.capabilities.push(CapabilityRow {
                namespace: one.namespace,
                system: one.system,
                name: one.name,
                contract: capability.digest,
                description: capability.description,
                timeout: capability.timeout,
                source: capability.source.as_str().to_owned(),
                declared_at: capability.declared_at,
            });
        }
    }

    fn find_workflow(
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

    fn submit(
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
        })?;
        self.last_task = id;
        self.residents.insert(Resident { task, last: 0, lanes: entry.lanes.clone(), progress: BTreeMap::new() });
        self.counters.tasks_accepted += 1;
        if let Some(keyed) = keyed {
            let used = KeyUse { namespace, key: keyed.key, fingerprint: keyed.fingerprint, task: id, used_at: now };
            self.keys.insert(used.clone());
            self.group.batch.keys.push(used);
        }
        self.record(id, decision, None);
        Ok(Submitted { task: id, created: true, trace_id })
    }

    fn cancel(&mut self, namespace: &Namespace, id: TaskId, reason: &str) -> Result<TaskView, ChangeError> {
        let now = now();
        let Some(resident) = self.residents.get_mut(id).filter(|known| known.task.submission.namespace == *namespace) else {
            return Err(ChangeError::UnknownTask(id));
        };
        let decision = cancel::cancel(&mut resident.task, reason, now).map_err(|refusal| match refusal {
            cancel::Refusal::AlreadyFinished(status) => ChangeError::AlreadyFinished(status),
        })?;
        self.record(id, decision, None);
        let resident = self.residents.get(id).ok_or(ChangeError::UnknownTask(id))?;
        Ok(view(resident))
    }

    fn retry(&mut self, namespace: &Namespace, id: TaskId, answer: tokio::sync::oneshot::Sender<Result<Submitted, ChangeError>>) {
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

    /// Something that was waited for has come.
    pub(super) fn fire(&mut self, id: TaskId, step: Option<StepIndex>, now: Timestamp) {
        if step.is_some_and(|step| self.is_being_called(id, step)) {
            return;
        }
        let Some(resident) = self.residents.get_mut(id) else { return };
        let decision = match step {
            Some(step) => timer::step_timer(&mut resident.task, step, now),
            None => timer::task_timer(&mut resident.task, now),
        };
        self.record(id, decision, None);
    }

    /// Whether an attempt that was opened for plain responders is being worked on, by them or by a worker that joined since: then the limit of
    /// that work holds, not the waiting timeout.
    fn is_being_called(&self, id: TaskId, step: StepIndex) -> bool {
        let open = self.residents.get(id).and_then(|resident| resident.task.open_attempt(step));
        let Some(open) = open.filter(|open| open.target == Target::Responders) else { return false };
        self.attempts.get(&open.token.0).is_some_and(|known| known.carrier != Carrier::Parked)
    }

    /// Takes a decision into the group.
    pub(super) fn record(&mut self, id: TaskId, decision: Decision, asked: Option<Asked>) {
        if let Some(entry) = decision.entry {
            let entry = Arc::new(entry);
            self.last += 1;
            let Some(resident) = self.residents.get_mut(id) else { return };
            let previous = std::mem::replace(&mut resident.last, self.last);
            self.counters.count(&entry.events);
            self.projection.touch(id);
            self.group.batch.journal.push(JournalRow { sequence: self.last, previous, entry: entry.clone() });
            self.group.then(AfterCommit::Tell(Committed { task: id, entry }));
        }
        for effect in decision.effects {
            self.effect(id, effect, asked.as_ref());
        }
    }

    pub(super) fn effect(&mut self, id: TaskId, effect: Effect, asked: Option<&Asked>) {
        match effect {
            Effect::Enqueue { step } => {
                let Some(resident) = self.residents.get(id) else { return };
                let StepState::Ready { since } = resident.task.progress(step).state else { return };
                let waiting = Waiting { task: id, step, since };
                let returned = !resident.task.progress(step).closed.is_empty();
                let lane = self.scheduler.lane_of(resident.lanes[step.at()], id, None);
                self.scheduler.enqueue(lane, waiting, returned);
            }
            Effect::SetStepTimer { step, due } => self.timers.push(Reverse((due, id, Some(step)))),
            Effect::SetTaskTimer { due } => self.timers.push(Reverse((due, id, None))),
            Effect::Ask { step, input, dependencies } => match asked {
                Some(Asked::Session(session)) => self.ask_session(id, step, &session.clone(), input, dependencies),
                Some(Asked::Responders) => self.ask_responders(id, step, input),
                None => {}
            },
            Effect::CancelAttempt { step, attempt, token, target, reason } => {
                let carrier = self.attempts.get(&token.0).map(|open| open.carrier.clone());
                if let (Some(Carrier::Session(session, _)), Some(resident)) = (carrier, self.residents.get(id)) {
                    let step = resident.task.workflow.step(step).name.clone();
                    let attempt = AttemptKey { task: id, step, attempt, token };
                    self.group.direct(&session, Directive::Cancel { attempt, reason });
                }
                debug_assert!(matches!(target, Target::Session(_) | Target::Responders));
            }
            Effect::AttemptClosed { step, token, .. } => {
                self.attempts.remove(&token.0);
                self.report_health(id, step, token);
                if let Some(resident) = self.residents.get_mut(id) {
                    resident.progress.remove(&step);
                }
            }
            Effect::Finished => self.finished(id),
        }
    }

    fn finished(&mut self, id: TaskId) {
        self.residents.finish(id);
        let Some(resident) = self.residents.get(id) else { return };
        *self.counters.tasks_finished.entry(resident.task.status.as_str()).or_default() += 1;
        let view = view(resident);
        for waiter in self.waiters.remove(&id).unwrap_or_default() {
            self.answer(waiter, Ok(Some(view.clone())));
        }
    }

    /// Sends an open attempt to a session: for the first time, or again.
    pub(super) fn ask_session(&mut self, id: TaskId, step: StepIndex, session: &SessionKey, input: Payload, dependencies: Payload) {
        let uptime = self.uptime();
        let Some(resident) = self.residents.get(id) else { return };
        let Some(open) = resident.task.open_attempt(step) else { return };
        let capability = &resident.task.workflow.step(step).capability;
        let asked_for =
            self.registry.system(&session.namespace, &session.system).and_then(|system| system.capabilities.get(capability)?.timeout);
        let Some(worker) = self.registry.session_mut(session) else { return };
        let sequence = worker.next_sequence();
        let task = &resident.task;
        let definition = task.workflow.step(step);
        let request = StepRequest {
            sequence,
            attempt: AttemptKey { task: id, step: definition.name.clone(), attempt: open.attempt, token: open.token },
            capability: definition.capability.clone(),
            input,
            dependencies,
            idempotency_key: task.idempotency_key(step),
            // Where the workflow sets no limit, the one that the handler's author asked for holds; the SDK keeps it.
            timeout: definition.timeouts.running.or(asked_for),
            shard: 0,
            trace: Trace { parent: Some(publish_span(id, step, open.attempt)), ..task.submission.trace },
            workflow: task.workflow.name.clone(),
            version: task.workflow.version.clone(),
            attempts_max: definition.retry.attempts_max,
        };
        let carrier = Carrier::Session(session.clone(), sequence);
        self.attempts.put(open.token.0, Open { task: id, step, carrier, sent_at: uptime });
        self.group.direct(session, Directive::Request(Box::new(request)));
    }

    /// Calls plain responders for an open attempt: for the first time, or again.
    pub(super) fn ask_responders(&mut self, id: TaskId, step: StepIndex, input: Payload) {
        let uptime = self.uptime();
        let Some(resident) = self.residents.get(id) else { return };
        let Some(open) = resident.task.open_attempt(step) else { return };
        let task = &resident.task;
        let definition = task.workflow.step(step);
        let call = Call {
            namespace: task.workflow.namespace.clone(),
            system: definition.system.clone(),
            capability: definition.capability.clone(),
            key: CallKey { task: id, step: definition.name.clone(), attempt: open.attempt, token: open.token },
            input,
            idempotency_key: task.idempotency_key(step),
            timeout: responder_timeout(definition.timeouts.running),
            trace: Trace { parent: Some(publish_span(id, step, open.attempt)), ..task.submission.trace },
        };
        self.responders.called(resident.lanes[step.at()]);
        self.attempts.put(open.token.0, Open { task: id, step, carrier: Carrier::Called, sent_at: uptime });
        self.group.then(AfterCommit::Call(Box::new(call)));
    }
}

/// What a reader of a task gets.
pub(super) fn view(resident: &Resident) -> TaskView {
    TaskView { task: resident.task.clone(), progress: resident.progress.clone() }
}

fn new_trace() -> Trace {
    let mut trace_id: [u8; 16] = rand::random();
    // The standard forbids the all-zero id.
    trace_id[0] |= 1;
    Trace { trace_id, parent: None, sampled: true }
}
