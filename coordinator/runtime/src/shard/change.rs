//! What people and programs ask to be changed. Answers wait for the commit of everything decided so far (P5).

use super::Shard;
use super::flow::DeclaredFlow;
use super::group::AfterCommit;
use crate::command::Command;
use crate::operations::{Applied, ApplyError, ChangeError, Force, TaskView};
use crate::port::store::{CapabilityRow, SystemRow, WorkflowRow};
use std::sync::Arc;
use tasker_engine::decide::cancel;
use tasker_engine::{Namespace, TaskId};
use tasker_registry::message::AnnouncedCapability;
use tasker_registry::registry::{Declared, Source};

impl Shard {
    pub(super) fn take_command(&mut self, command: Command) {
        if let Some(command) = self.unless_loading(command) {
            self.take_known(command);
        }
    }

    /// Carries out a command; if it is about a task, the task is in memory or does not exist.
    pub(super) fn take_known(&mut self, command: Command) {
        match self.full {
            None => self.take_now(command),
            Some(_) => self.take_while_full(command),
        }
    }

    pub(super) fn take_now(&mut self, command: Command) {
        match command {
            Command::Apply { manifest, source, dry_run, force, warnings, answer } => {
                let applied = self.apply(*manifest, &source, dry_run, force.as_ref(), warnings);
                self.answer(answer, applied);
            }
            Command::Submit { submission, answer } => {
                let accepted = self.accept_new(submission);
                self.answer(answer, accepted);
            }
            Command::Cancel { namespace, id, reason, answer } => {
                let changed = self.cancel(&namespace, id, &reason);
                self.answer(answer, changed);
            }
            Command::Retry { namespace, id, answer } => {
                let retried = self.retry(&namespace, id);
                self.answer(answer, retried);
            }
            Command::OverrideBreaker { target, operator, answer } => {
                let overridden = self.override_breaker(target, operator);
                self.answer(answer, overridden);
            }
            Command::ChangeQueue { target, change, answer } => {
                let changed = self.order_queue(target, change);
                self.answer(answer, changed);
            }
            Command::DrainWorker { namespace, session, system, answer } => {
                let drained = self.drain_worker(&namespace, &session, system.as_ref());
                self.answer(answer, drained);
            }
            Command::DrainVersion { namespace, system, version, undo, answer } => {
                let drained = self.drain_version(&namespace, system, version, undo);
                self.answer(answer, drained);
            }
            Command::Callback { call, answer } => {
                let taken = self.take_callback(*call);
                self.answer(answer, taken);
            }
            Command::Drain { grace, answer } => {
                self.tell_workers_to_wait();
                self.begin_drain(grace, Some(answer));
            }
            other => self.take_intervention(other),
        }
    }

    /// Carries out what comes from outside a task's own course: signals, decisions, pauses.
    fn take_intervention(&mut self, command: Command) {
        match command {
            Command::Signal { namespace, id, name, payload, signal, answer } => {
                let signalled = self.signal(&namespace, id, &name, &payload, signal.as_deref());
                self.answer(answer, signalled);
            }
            Command::SendEvent { namespace, name, key, payload, identified, answer } => {
                let taken = self.send_event(namespace, name, key, payload, identified);
                self.answer(answer, taken);
            }
            Command::Decide { namespace, id, step, verdict, answer } => {
                let decided = self.decide(&namespace, id, &step, &verdict);
                self.answer(answer, decided);
            }
            Command::Comment { namespace, id, step, by, comment, answer } => {
                let commented = self.comment(&namespace, id, &step, &by, &comment);
                self.answer(answer, commented);
            }
            Command::Resolve { namespace, id, step, resolution, by, comment, answer } => {
                let resolved = self.resolve(&namespace, id, &step, &resolution, &by, comment.as_deref());
                self.answer(answer, resolved);
            }
            Command::Pause { namespace, id, reason, answer } => {
                let paused = self.pause(&namespace, id, &reason);
                self.answer(answer, paused);
            }
            Command::Resume { namespace, id, answer } => {
                let resumed = self.resume(&namespace, id);
                self.answer(answer, resumed);
            }
            Command::RequeueLetter { namespace, id, by, reason, answer } => {
                let requeued = self.requeue_letter(&namespace, id, &by, &reason);
                self.answer(answer, requeued);
            }
            Command::DiscardLetter { namespace, id, by, reason, answer } => {
                let discarded = self.discard_letter(&namespace, id, &by, &reason);
                self.answer(answer, discarded);
            }
            Command::PauseWorkflow { namespace, name, reason, answer } => {
                let paused = self.pause_workflow(namespace, name, reason);
                self.answer(answer, paused);
            }
            question => self.take_question(question),
        }
    }

    /// Answers once everything decided so far is durable: an answer never speaks of what a crash could undo.
    pub(super) fn answer<A: Send + 'static>(&mut self, answer: tokio::sync::oneshot::Sender<A>, value: A) {
        let send = AfterCommit::Answer(Box::new(move || drop(answer.send(value))));
        if self.answers_at_once() {
            self.carry_out(vec![send]);
        } else if !self.group.batch.is_empty() {
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
        force: Option<&Force>,
        warnings: Vec<tasker_manifest::Diagnostic>,
    ) -> Result<Applied, ApplyError> {
        let workflow = manifest.workflow;
        let namespace = workflow.namespace.clone();
        let known = self.catalog.version(&namespace, &workflow.name, workflow.version.as_str());
        if let Some(known) = known {
            if known.workflow.digest != workflow.digest {
                return Err(ApplyError::VersionTaken { name: workflow.name, version: workflow.version });
            }
            return Ok(Applied { workflow: known.workflow.clone(), changed: false, warnings, compatibility: Vec::new() });
        }
        let assessed = self.assess(&workflow, &manifest.systems).passed(&workflow, force)?;
        if dry_run {
            return Ok(Applied { workflow: Arc::new(workflow), changed: true, warnings, compatibility: assessed.found });
        }
        assessed.audit(&workflow, force);
        let flow = DeclaredFlow::of(&namespace, &manifest.systems);
        for system in manifest.systems {
            self.manners.learn(&namespace, &system);
            let (base_url, health) = (system.base_url, system.health_check_url);
            self.registry.locate(&namespace, &system.name, base_url.clone(), health.clone());
            self.group.batch.systems.push(SystemRow {
                namespace: namespace.clone(),
                name: system.name.clone(),
                base_url,
                health_check_url: health,
            });
            for capability in system.capabilities {
                if assessed.contradicts(&system.name, &capability.name) {
                    continue;
                }
                let announced = AnnouncedCapability {
                    name: capability.name,
                    contract: capability.contract,
                    description: capability.description,
                    timeout: capability.timeout,
                    // What a manifest says about it is looked up when a step is given out.
                    slot_cost: None,
                };
                let declared = self.registry.declare(&namespace, &system.name, &announced, Source::Manifest, self.clock.now());
                self.store_declarations(declared);
            }
        }
        self.watch_health();
        let row = WorkflowRow {
            namespace,
            name: workflow.name.clone(),
            version: workflow.version.clone(),
            digest: workflow.digest,
            source: source.to_owned(),
            applied_at: self.clock.now(),
        };
        self.group.batch.workflows.push(row.clone());
        let entry = self.catalog.insert(workflow, manifest.description, flow, row, &mut self.scheduler);
        self.declare_flow(&entry.workflow.namespace);
        tracing::info!(workflow = %entry.workflow.name, version = %entry.workflow.version, digest = %entry.workflow.digest, "workflow applied");
        Ok(Applied { workflow: entry.workflow, changed: true, warnings, compatibility: assessed.found })
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

    fn cancel(&mut self, namespace: &Namespace, id: TaskId, reason: &str) -> Result<TaskView, ChangeError> {
        let now = self.clock.now();
        let Some(resident) = self.residents.get_mut(id).filter(|known| known.task.submission.namespace == *namespace) else {
            return Err(ChangeError::UnknownTask(id));
        };
        let decision = cancel::cancel(&mut resident.task, reason, now).map_err(|refusal| match refusal {
            cancel::Refusal::AlreadyFinished(status) => ChangeError::AlreadyFinished(status),
            cancel::Refusal::AlreadyEnding => ChangeError::Ending,
        })?;
        self.record(id, decision, None);
        self.residents.get(id).map(|resident| self.view(resident)).ok_or(ChangeError::UnknownTask(id))
    }
}
