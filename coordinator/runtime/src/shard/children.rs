//! Child tasks: a step that is another task. The child and the parent's attempt come to be in the same commit, and so do the child's end and
//! the attempt's, so neither is ever without the other.

use super::Shard;
use super::loading::Pending;
use super::resident::Resident;
use super::sleep::open_children;
use crate::settings::{CHILDREN_PER_TURN, GROUP_ROWS_MAX};
use crate::trace::context_of_child;
use std::collections::{BTreeMap, VecDeque};
use tasker_engine::decide::accept::{Refusal, accept};
use tasker_engine::decide::cancel;
use tasker_engine::decide::child::{self, ChildOutcome, ChildRequest};
use tasker_engine::event::Target;
use tasker_engine::failure::code;
use tasker_engine::task::{Parent, StepState, Submission};
use tasker_engine::{AttemptToken, Failure, FailureKind, Payload, StepIndex, Task, TaskId, TaskStatus};

/// Child steps that are ready and wait to be started, by the depth that the child will have. An entry that is out of date does no harm.
pub(super) struct Nursery {
    ready: [VecDeque<(TaskId, StepIndex)>; DEPTHS],
}

/// One for each depth, and one for what is too deep and will be refused.
const DEPTHS: usize = Parent::DEPTH_MAX as usize + 2;

impl Default for Nursery {
    fn default() -> Self {
        Self { ready: std::array::from_fn(|_| VecDeque::new()) }
    }
}

impl Nursery {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.ready.iter().map(VecDeque::len).sum()
    }
}

impl Shard {
    /// A child step is ready. It is started with the others, a bounded number per turn.
    pub(super) fn await_child(&mut self, id: TaskId, step: StepIndex) {
        let Some(resident) = self.residents.get(id) else { return };
        let depth = child_depth(&resident.task).min(DEPTHS - 1);
        self.nursery.ready[depth].push_back((id, step));
    }

    /// How many tasks may be active while a child of this depth is started. Each depth has room that the depths above cannot use up, so that
    /// parents which wait for their children never keep them from starting: whichever depth is the deepest, the next one has room.
    fn room_at(&self, depth: usize) -> usize {
        let max = self.settings.active_tasks_max;
        max.saturating_add(depth.saturating_mul((max / Parent::DEPTH_MAX as usize).max(1)))
    }

    fn may_start_at(&self, depth: usize) -> bool {
        !self.nursery.ready[depth].is_empty() && self.active() < self.room_at(depth)
    }

    /// Whether a child could be started now: the loop does not rest then.
    pub(super) fn has_children_to_start(&self) -> bool {
        let roomy = self.draining.is_none() && self.group.batch.journal.len() < GROUP_ROWS_MAX;
        roomy && (0..DEPTHS).any(|depth| self.may_start_at(depth))
    }

    /// Starts children, the deepest first, because they end what has begun. A coordinator that leaves starts nothing.
    pub(super) fn start_children(&mut self) {
        for _ in 0..CHILDREN_PER_TURN {
            if self.draining.is_some() || self.group.batch.journal.len() >= GROUP_ROWS_MAX {
                return;
            }
            let next = (0..DEPTHS).rev().find(|depth| self.may_start_at(*depth));
            let Some((id, step)) = next.and_then(|depth| self.nursery.ready[depth].pop_front()) else { return };
            self.start_child(id, step);
        }
    }

    fn start_child(&mut self, id: TaskId, step: StepIndex) {
        self.settle_pause(id);
        let Some(resident) = self.residents.get_mut(id) else { return };
        let now = self.clock.now();
        let token = AttemptToken(self.chance.draw());
        let refused = match child::request(&resident.task, step, token) {
            Ok(None) => return,
            Ok(Some(request)) => match self.accept_child(id, step, request) {
                Ok(()) => return,
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        if let Some(resident) = self.residents.get_mut(id) {
            let decision = child::refused(&mut resident.task, step, refused, now);
            self.record(id, decision, None);
        }
    }

    fn accept_child(&mut self, id: TaskId, step: StepIndex, request: ChildRequest) -> Result<(), Failure> {
        let now = self.clock.now();
        let refuse = |message: String| Failure::new(FailureKind::Permanent, code::child_refused(), message);
        let Some(parent) = self.residents.get(id) else { return Ok(()) };
        let namespace = parent.task.workflow.namespace.clone();
        let (labels, trace) = (parent.task.submission.labels.clone(), context_of_child(&parent.task, step));
        let version = request.version.as_ref().map(|version| version.as_str());
        let found = self.find_workflow(&namespace, &request.workflow, version).cloned();
        let entry = found.map_err(|unknown| refuse(unknown.to_string()))?;
        let above = &parent.task.submission;
        let range = entry.workflow.flow.priority;
        let concurrency = self.concurrency_of_child(&parent.task, &entry.workflow, &request.input);
        let submission = Submission {
            priority: above.priority.clamp(range.min, range.max),
            concurrency,
            namespace,
            workflow: entry.workflow.digest,
            input: request.input,
            labels,
            idempotency_key: None,
            origin: None,
            trace,
            parent: Some(request.parent),
        };
        let child = self.next_task(now);
        let accepted = accept(child, &entry.workflow, submission, Vec::new(), now);
        let (task, decision) = accepted.map_err(|refusal| {
            let message = refusal.to_string();
            match refusal {
                Refusal::InputViolated { violations, .. } => {
                    let details = Payload::of(&serde_json::json!({ "workflow": request.workflow, "violations": violations }));
                    refuse(message).with_details(details)
                }
                Refusal::NoDeadline { .. } => refuse(message),
            }
        })?;
        self.last_task = child;
        self.residents.accept(Resident::new(task, 0, entry.lanes.clone()));
        self.counters.children_started += 1;
        // The attempt is there before the child's own effects are carried out: the child may be over at once.
        if let Some(parent) = self.residents.get_mut(id) {
            let started = child::started(&mut parent.task, step, child, request.parent.token, now);
            self.record(id, started, None);
        }
        self.record(child, decision, None);
        self.counted(child);
        self.settle_pause(child);
        Ok(())
    }

    /// Tells the parent of a task that is over, if somebody waits for it there.
    pub(super) fn tell_parent(&mut self, id: TaskId) {
        let Some(resident) = self.residents.get(id) else { return };
        let Some(parent) = resident.task.submission.parent.filter(|parent| !parent.detached) else { return };
        let Some(outcome) = outcome_of(&resident.task) else { return };
        // A parent that is over has given the child up before.
        let Some(waiting) = self.residents.get_mut(parent.task) else { return };
        let decision = child::finished(&mut waiting.task, parent.step, parent.token, &outcome, self.clock.now());
        self.record(parent.task, decision, None);
    }

    /// Nobody waits for an attached child any more: it is cancelled, unless it is over or on its way to its end.
    pub(super) fn give_up_child(&mut self, parent: TaskId, child: TaskId, reason: &str) {
        if self.absent.contains(child) {
            // It is cancelled when it has been read; if that must wait for the next start, the child's own history and its parent's say so.
            return self.load(child, Pending::GiveUp(parent, reason.to_owned()));
        }
        let Some(resident) = self.residents.get_mut(child) else { return };
        let reason = tasker_engine::failure::cut(format!("its parent task {parent} needs it no more: {reason}"));
        if let Ok(decision) = cancel::cancel(&mut resident.task, &reason, self.clock.now()) {
            self.record(child, decision, None);
        }
    }

    /// Puts a task that was just read right with its parent and its children. A parent whose child is over although the attempt is open, and a
    /// child whose parent waits for it no more, can come of a commit only if the parent gave the child up while the child was not in memory and
    /// the process ended before the child was read. A task that waits for ever is worse, so both are looked for.
    pub(super) fn reconcile(&mut self, id: TaskId) {
        let Some(resident) = self.residents.get(id).filter(|known| !known.task.status.is_terminal()) else { return };
        let task = &resident.task;
        let missing: Vec<TaskId> = open_children(task).filter(|child| !self.is_active(*child)).collect();
        let parent = task.submission.parent.filter(|parent| !parent.detached && task.ending.is_none());
        let orphaned = parent.filter(|parent| !self.is_awaited_by(parent) && !self.loads.is_damaged(parent.task));
        for child in missing {
            match self.residents.get(child) {
                Some(_) => {
                    tracing::error!(task_id = %child, "a child task is over, but its parent's attempt was open: reported again");
                    self.tell_parent(child);
                }
                None if self.loads.is_damaged(child) => {}
                None => self.load(child, Pending::Over),
            }
        }
        if let Some(parent) = orphaned {
            tracing::warn!(task_id = %id, parent = %parent.task, "a child task that nobody waits for was still running: cancelled");
            let reason = self.loads.why_given_up(id).unwrap_or_else(|| "its attempt is over".to_owned());
            self.give_up_child(parent.task, id, &reason);
        }
    }

    fn is_awaited_by(&self, parent: &Parent) -> bool {
        let waiting = self.residents.get(parent.task).filter(|known| parent.step.at() < known.task.steps.len());
        waiting.and_then(|known| known.task.open_attempt(parent.step)).is_some_and(|open| open.token == parent.token)
    }

    /// Why a child step that is ready has not been started, for people.
    pub(super) fn why_no_child(&self, task: &Task) -> String {
        let room = self.room_at(child_depth(task).min(DEPTHS - 1));
        if self.draining.is_some() {
            "; the coordinator is shutting down, the next one starts it".to_owned()
        } else if self.active() >= room {
            format!("; {} tasks are active and at most {room} may be, so it waits until some are over", self.active())
        } else {
            String::new()
        }
    }
}

/// How many tasks will be above a child of this task.
fn child_depth(task: &Task) -> usize {
    task.submission.parent.map_or(0, |parent| parent.depth as usize) + 1
}

/// How a task ended; none if it did not.
fn outcome_of(task: &Task) -> Option<ChildOutcome> {
    match task.status {
        TaskStatus::Running => None,
        TaskStatus::Succeeded => Some(ChildOutcome::Succeeded(task.result.clone().unwrap_or_else(Payload::null))),
        TaskStatus::Failed => task.failure.as_ref().map(|(_, failure)| ChildOutcome::Failed(failure.clone())),
        TaskStatus::Cancelled => Some(ChildOutcome::Cancelled { reason: task.cancel_reason.clone().unwrap_or_default() }),
    }
}

/// The child tasks that a task's steps started, in the order of steps and attempts.
pub(super) fn children_of(task: &Task) -> BTreeMap<TaskId, (StepIndex, bool)> {
    let detached = |step| match &task.definition(step).kind {
        tasker_engine::workflow::StepKind::Child(child) => child.detached,
        _ => false,
    };
    let of_step = |step: StepIndex| {
        let progress = task.progress(step);
        let open = match &progress.state {
            StepState::Running(open) => Some(&open.target),
            _ => None,
        };
        let targets = progress.closed.iter().map(|closed| &closed.target).chain(open);
        let children = targets.filter_map(|target| match target {
            Target::Child(child) => Some(*child),
            Target::Session(_) | Target::Responders | Target::Http => None,
        });
        children.map(move |child| (child, (step, detached(step)))).collect::<Vec<_>>()
    };
    task.indexes().flat_map(of_step).collect()
}
