//! Workers and child tasks, as the case has them.

use super::{At, Cue, Pending, Stage, TASKS_MAX, refused};
use crate::case::Given;
use crate::outcome::Sent;
use std::collections::BTreeMap;
use std::time::Duration;
use tasker_engine::decide::dispatch::{Assignment, dispatch};
use tasker_engine::decide::reply::{Outcome as Replied, Reply, reply};
use tasker_engine::decide::{accept, child, lost};
use tasker_engine::event::Target;
use tasker_engine::failure::code;
use tasker_engine::task::{Parent, StepState, Submission, Trace};
use tasker_engine::{AttemptToken, Failure, FailureKind, Payload, SessionId, ShardId, TaskId, TaskStatus, Workflow};

impl Stage<'_> {
    /// A worker of the case takes a ready step, and will answer as its mock says.
    pub(super) fn dispatch(&mut self, at: At) {
        let Some(actor) = self.actors.get(&at.task) else { return };
        if !matches!(actor.task.progress(at.step).state, StepState::Ready { .. }) || actor.task.paused.is_some() {
            return;
        }
        let answer = match self.answers.next(&actor.task, &actor.prefix, at.step) {
            Ok(answer) => answer,
            Err(problem) => return self.problems.push(problem),
        };
        if answer.given == Given::Unclaimed {
            return;
        }
        let token = self.token();
        let session = SessionId::new("rehearsal").expect("a constant of the right form");
        let assignment = Assignment { token, target: Target::Session(session), contract: None };
        self.decide(at.task, |task, now| dispatch(task, at.step, &assignment, now));
        self.promise(at, token, answer.given, answer.after);
    }

    /// The open attempt will be answered.
    fn promise(&mut self, at: At, token: AttemptToken, given: Given, after: Duration) {
        let open = self.actors.get(&at.task).and_then(|actor| actor.task.open_attempt(at.step));
        let Some(attempt) = open.filter(|open| open.token == token).map(|open| open.attempt) else { return };
        self.number += 1;
        self.pending.insert(self.number, Pending { attempt, token, given });
        let number = self.number;
        self.due(self.now.after(after), Cue::Answer(at, number));
    }

    pub(super) fn answer(&mut self, at: At, number: u64) {
        let Some(Pending { attempt, token, given }) = self.pending.remove(&number) else { return };
        let is_child = self
            .actors
            .get(&at.task)
            .and_then(|actor| actor.task.open_attempt(at.step))
            .is_some_and(|open| matches!(open.target, Target::Child(_)));
        if is_child {
            let outcome = match given {
                Given::Result(result) => child::ChildOutcome::Succeeded(result),
                Given::Failure(failure) => child::ChildOutcome::Failed(failure),
                Given::Lost => child::ChildOutcome::Cancelled { reason: "the case says so".to_owned() },
                Given::Silence | Given::Unclaimed => return,
            };
            return self.decide(at.task, |task, now| child::finished(task, at.step, token, &outcome, now));
        }
        let outcome = match given {
            Given::Result(result) => Replied::Succeeded(result),
            Given::Failure(failure) => Replied::Failed(failure),
            Given::Lost => return self.decide(at.task, |task, now| lost::lost(task, at.step, token, "its worker died", now)),
            Given::Silence | Given::Unclaimed => return,
        };
        let given = Reply { step: at.step, attempt, token, outcome };
        self.decide(at.task, |task, now| reply(task, &given, None, now).1);
    }

    /// Starts a child task, or the mock of one.
    pub(super) fn start_child(&mut self, at: At) {
        let token = self.token();
        let Some(actor) = self.actors.get(&at.task) else { return };
        let (prefix, label) = (actor.prefix.clone(), actor.task.label(at.step).to_string());
        let request = match child::request(&actor.task, at.step, token) {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(failure) => return self.decide(at.task, |task, now| child::refused(task, at.step, failure, now)),
        };
        let mocked = self.answers.mocked(&actor.task, &prefix, at.step);
        self.last_id = self.last_id.following(self.now, ShardId::default());
        let id = self.last_id;
        self.sent.push(Sent { step: format!("{prefix}{label}"), input: request.input.clone() });
        if let Some(answer) = mocked {
            self.decide(at.task, |task, now| child::started(task, at.step, id, token, now));
            return self.promise(at, token, answer.given, answer.after);
        }
        let Some(definition) = self.workflows.find(&request.workflow, request.version.as_ref()).cloned() else {
            let version = request.version.map_or(String::new(), |version| format!(" version {version}"));
            let wanted = format!("the child `{prefix}{label}` runs the workflow `{}`{version}", request.workflow);
            return self.problems.push(format!("{wanted}, which was not given: put its manifest beside this one, or mock the step"));
        };
        if self.actors.len() >= TASKS_MAX {
            return self.problems.push(format!("the case starts more than {TASKS_MAX} tasks"));
        }
        let submission = self.submission(&definition, request.input, Some(request.parent));
        match accept::accept(id, &definition, submission, Vec::new(), self.now) {
            Ok((task, decision)) => {
                self.decide(at.task, |task, now| child::started(task, at.step, id, token, now));
                self.enter(task, format!("{prefix}{label}/"), decision);
            }
            Err(refusal) => {
                let failure = Failure::new(FailureKind::Permanent, code::child_refused(), refused(&refusal));
                self.decide(at.task, |task, now| child::refused(task, at.step, failure, now));
            }
        }
    }

    /// A task is over: whoever started it and waits for it hears of it.
    pub(super) fn ended(&mut self, id: TaskId) {
        let Some(actor) = self.actors.get(&id) else { return };
        let Some(parent) = actor.task.submission.parent.filter(|parent| !parent.detached) else { return };
        let outcome = match actor.task.status {
            TaskStatus::Running => return,
            TaskStatus::Succeeded => child::ChildOutcome::Succeeded(actor.task.result.clone().unwrap_or_else(Payload::null)),
            TaskStatus::Failed => match &actor.task.failure {
                Some((_, failure)) => child::ChildOutcome::Failed(failure.clone()),
                None => return,
            },
            TaskStatus::Cancelled => child::ChildOutcome::Cancelled { reason: actor.task.cancel_reason.clone().unwrap_or_default() },
        };
        self.decide(parent.task, |task, now| child::finished(task, parent.step, parent.token, &outcome, now));
    }

    pub(super) fn submission(&self, workflow: &Workflow, input: Payload, parent: Option<Parent>) -> Submission {
        Submission {
            namespace: workflow.namespace.clone(),
            workflow: workflow.digest,
            input,
            labels: BTreeMap::new(),
            idempotency_key: None,
            origin: None,
            trace: Trace { trace_id: [1; 16], parent: None, sampled: false },
            parent,
            priority: workflow.flow.priority.default,
            // A case plays one task, so there is nobody to wait for.
            concurrency: None,
        }
    }

    fn token(&mut self) -> AttemptToken {
        self.number += 1;
        let mut token = [0; 16];
        token[..8].copy_from_slice(&self.number.to_le_bytes());
        AttemptToken(token)
    }
}
