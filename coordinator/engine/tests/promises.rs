//! Random workflows and random, repeated, late and impossible inputs: after every event the promises hold, folding the history gives the
//! state, and a naive interpreter agrees on what is ready and how it ends.

use bytes::Bytes;
use proptest::prelude::*;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::decide::accept::accept;
use tasker_engine::decide::dispatch::{Assignment, dispatch};
use tasker_engine::decide::reply::{Disposition, Outcome, Reply, reply};
use tasker_engine::decide::{Decision, Effect, cancel, lost, timer};
use tasker_engine::event::{Entry, Target};
use tasker_engine::invariant::{check_history, check_state};
use tasker_engine::retry::{Backoff, Jitter, RetryPolicy};
use tasker_engine::task::{StepState, Submission, Trace};
use tasker_engine::workflow::{Step, Timeouts};
use tasker_engine::{
    AttemptNumber, AttemptToken, CapabilityName, Contract, Digest, ErrorCode, Failure, FailureKind, Namespace, Payload, SessionId,
    StepIndex, StepName, SystemName, Task, TaskId, TaskStatus, Timestamp, Workflow, WorkflowName, WorkflowVersion,
};

/// What may happen to a task; numbers are reduced to what exists.
#[derive(Debug, Clone)]
enum Move {
    Dispatch(usize),
    Succeed(usize),
    Fail(usize, u8),
    RepeatLast,
    ConflictLast,
    Forge(usize),
    Lose(usize),
    Wait(u16),
    Timer(usize),
    TaskTimer,
    Cancel,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        6 => (0..12usize).prop_map(Move::Dispatch),
        6 => (0..12usize).prop_map(Move::Succeed),
        2 => ((0..12usize), (0..5u8)).prop_map(|(step, kind)| Move::Fail(step, kind)),
        1 => Just(Move::RepeatLast),
        1 => Just(Move::ConflictLast),
        1 => (0..12usize).prop_map(Move::Forge),
        1 => (0..12usize).prop_map(Move::Lose),
        2 => (0..3_000u16).prop_map(Move::Wait),
        2 => (0..12usize).prop_map(Move::Timer),
        1 => Just(Move::TaskTimer),
        1 => Just(Move::Cancel),
    ];
    proptest::collection::vec(one, 0..80)
}

/// A workflow of up to twelve steps; a step depends only on earlier ones, so there is no cycle.
fn workflow() -> impl Strategy<Value = Arc<Workflow>> {
    let step = (any::<u16>(), 1..4u32, prop::option::of(100..2_000u64), prop::option::of(100..2_000u64));
    (proptest::collection::vec(step, 1..=12), prop::option::of(1_000..20_000u64)).prop_map(|(drawn, timeout)| {
        let steps = drawn.iter().enumerate().map(|(place, (mask, attempts_max, waiting, running))| {
            let depends_on: SmallVec<[StepIndex; 4]> =
                (0..place).filter(|earlier| mask & (1 << earlier) != 0).map(|earlier| StepIndex(earlier as u32)).collect();
            Step {
                name: StepName::new(&format!("step_{place}")).expect("valid"),
                system: SystemName::new("system").expect("valid"),
                capability: CapabilityName::new("do.it").expect("valid"),
                depends_on,
                successors: SmallVec::new(),
                input: None,
                contract: Contract::default(),
                retry: RetryPolicy {
                    backoff: Backoff::Exponential,
                    base: Duration::from_millis(100),
                    cap: Duration::from_secs(1),
                    jitter: Jitter::Full,
                    attempts_max: *attempts_max,
                    non_retryable: BTreeSet::new(),
                },
                timeouts: Timeouts {
                    waiting: waiting.map(Duration::from_millis),
                    running: running.map(Duration::from_millis),
                    total: None,
                },
            }
        });
        let mut workflow = Workflow {
            namespace: Namespace::new("default").expect("valid"),
            name: WorkflowName::new("random").expect("valid"),
            version: WorkflowVersion::new("1").expect("valid"),
            digest: Digest::of(b"random"),
            input: None,
            result: None,
            timeout: timeout.map(Duration::from_millis),
            steps: steps.collect(),
        };
        workflow.link();
        Arc::new(workflow)
    })
}

/// A task in the hands of a test: everything that was committed, and a naive second opinion.
struct World {
    task: Task,
    entries: Vec<Entry>,
    now: Timestamp,
    tokens: u8,
    last_reply: Option<Reply>,
    succeeded: BTreeSet<u32>,
}

impl World {
    fn new(workflow: &Arc<Workflow>) -> Self {
        let now = Timestamp::from_millis(1_000_000);
        let submission = Submission {
            namespace: workflow.namespace.clone(),
            workflow: workflow.digest,
            input: Payload::null(),
            labels: BTreeMap::new(),
            idempotency_key: None,
            origin: None,
            trace: Trace { trace_id: [1; 16], parent: None, sampled: false },
        };
        let id = TaskId::first_at(now);
        let (task, decision) = accept(id, workflow, submission, Vec::new(), now).expect("no input schema");
        let mut world = Self { task, entries: Vec::new(), now, tokens: 0, last_reply: None, succeeded: BTreeSet::new() };
        world.commit(decision);
        world
    }

    fn step(&self, number: usize) -> StepIndex {
        StepIndex((number % self.task.steps.len()) as u32)
    }

    fn commit(&mut self, decision: Decision) {
        self.entries.extend(decision.entry);
        for effect in &decision.effects {
            if let Effect::SetStepTimer { due, .. } = effect {
                assert!(*due >= Timestamp::from_millis(1_000_000), "a timer is never set before the beginning");
            }
        }
        self.check();
    }

    fn check(&self) {
        let found = check_state(&self.task);
        assert!(found.is_empty(), "{found:?}");
        let found = check_history(self.task.id, &self.task.workflow, &self.entries);
        assert!(found.is_empty(), "{found:?}");
        let folded = Task::fold(self.task.workflow.clone(), &self.entries).expect("a whole history");
        assert_eq!(folded, self.task, "folding the history gives the state (P19)");
        self.second_opinion();
    }

    /// The naive interpreter: what has succeeded decides what may run.
    fn second_opinion(&self) {
        for index in self.task.workflow.indexes() {
            let step = self.task.workflow.step(index);
            let satisfied = step.depends_on.iter().all(|dependency| self.succeeded.contains(&dependency.0));
            match &self.task.progress(index).state {
                StepState::Pending => assert!(!satisfied || self.task.status.is_terminal(), "{} waits for nothing", step.name),
                StepState::Ready { .. } | StepState::Running(_) | StepState::BackingOff { .. } => {
                    assert!(satisfied, "{} runs too early", step.name);
                }
                StepState::Succeeded { .. } => assert!(self.succeeded.contains(&index.0)),
                StepState::Failed { .. } => assert_eq!(self.task.status, TaskStatus::Failed),
                StepState::Cancelled { .. } => assert!(self.task.status.is_terminal()),
            }
        }
        if self.succeeded.len() == self.task.steps.len() {
            assert_eq!(self.task.status, TaskStatus::Succeeded);
        }
    }

    fn play(&mut self, chosen: Move) {
        let before = self.task.clone();
        match chosen {
            Move::Dispatch(number) => self.dispatch(number),
            Move::Succeed(number) => self.answer(number, Outcome::Succeeded(Payload::trusted(Bytes::from(format!("{number}"))))),
            Move::Fail(number, kind) => {
                let kind =
                    [FailureKind::Retryable, FailureKind::Permanent, FailureKind::Contract, FailureKind::Cancelled, FailureKind::Lost]
                        [usize::from(kind)];
                self.answer(number, Outcome::Failed(Failure::new(kind, ErrorCode::new("broken").expect("valid"), "no")));
            }
            Move::RepeatLast => {
                let Some(last) = self.last_reply.clone() else { return };
                let (disposition, decision) = reply(&mut self.task, &last, None, self.now);
                assert_eq!(disposition, Disposition::Repeated);
                assert!(decision.entry.is_none());
                assert_eq!(self.task, before, "an identical repeat changes nothing (P6)");
            }
            Move::ConflictLast => {
                let Some(last) = self.last_reply.clone() else { return };
                let other = Outcome::Succeeded(Payload::trusted(Bytes::from_static(b"\"other\"")));
                let (disposition, decision) = reply(&mut self.task, &Reply { outcome: other, ..last }, None, self.now);
                assert_eq!(disposition, Disposition::Conflicting);
                assert_eq!(self.task.status, before.status);
                let states = |task: &Task| task.steps.iter().map(|step| step.state.clone()).collect::<Vec<_>>();
                assert_eq!(states(&self.task), states(&before), "a different second reply changes no state (P6, P8)");
                self.commit(decision);
            }
            Move::Forge(number) => {
                let (step, attempt) = (self.step(number), AttemptNumber(1 + number as u32 % 3));
                let outcome = Outcome::Succeeded(Payload::null());
                let forged = Reply { step, attempt, token: AttemptToken([255; 16]), outcome };
                let (disposition, decision) = reply(&mut self.task, &forged, None, self.now);
                assert_eq!(disposition, Disposition::Forged);
                assert!(decision.entry.is_none());
                assert_eq!(self.task, before, "a forged reply changes nothing (P13)");
            }
            Move::Lose(number) => {
                let step = self.step(number);
                let token = self.task.open_attempt(step).map_or(AttemptToken([254; 16]), |open| open.token);
                let decision = lost::lost(&mut self.task, step, token, "silent", self.now);
                self.commit(decision);
                let again = lost::lost(&mut self.task, step, token, "silent", self.now);
                assert!(again.entry.is_none(), "a second sweep finds nothing (P7)");
            }
            Move::Wait(millis) => self.now = self.now.after(Duration::from_millis(u64::from(millis))),
            Move::Timer(number) => {
                let step = self.step(number);
                let due = self.task.step_due(step);
                let decision = timer::step_timer(&mut self.task, step, self.now);
                if due.is_none_or(|due| due > self.now) {
                    assert!(decision.entry.is_none(), "a timer never fires early (P14)");
                }
                self.commit(decision);
            }
            Move::TaskTimer => {
                let decision = timer::task_timer(&mut self.task, self.now);
                self.commit(decision);
            }
            Move::Cancel => {
                if let Ok(decision) = cancel::cancel(&mut self.task, "no longer wanted", self.now) {
                    self.commit(decision);
                }
            }
        }
        if before.status.is_terminal() {
            assert_eq!(self.task.status, before.status, "a terminal state never changes (P9)");
            assert_eq!(self.task.result, before.result);
        }
    }

    fn dispatch(&mut self, number: usize) {
        let step = self.step(number);
        self.tokens = self.tokens.wrapping_add(1) % 200;
        let assignment = Assignment {
            token: AttemptToken([self.tokens; 16]),
            target: Target::Session(SessionId::new("session-1").expect("valid")),
            contract: None,
        };
        let was_ready = matches!(self.task.progress(step).state, StepState::Ready { .. });
        let decision = dispatch(&mut self.task, step, &assignment, self.now);
        assert_eq!(decision.entry.is_some(), was_ready, "only a ready step is dispatched (P7, P10)");
        self.commit(decision);
    }

    fn answer(&mut self, number: usize, outcome: Outcome) {
        let step = self.step(number);
        let Some(open) = self.task.open_attempt(step).cloned() else { return };
        let given = Reply { step, attempt: open.attempt, token: open.token, outcome };
        let (disposition, decision) = reply(&mut self.task, &given, None, self.now);
        assert_eq!(disposition, Disposition::Recorded);
        if matches!(given.outcome, Outcome::Succeeded(_)) {
            self.succeeded.insert(step.0);
        }
        self.last_reply = Some(given);
        self.commit(decision);
    }

    /// Faults are over: everything that is asked is answered. The task must end.
    fn heal(&mut self) {
        for _ in 0..10_000 {
            if self.task.status.is_terminal() {
                return;
            }
            for number in 0..self.task.steps.len() {
                self.play(Move::Dispatch(number));
                self.play(Move::Succeed(number));
                self.play(Move::Timer(number));
            }
            self.now = self.now.after(Duration::from_millis(500));
        }
        panic!("the task never ends: {:?}", self.task);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_promise_holds_after_every_event_and_the_task_ends_once_faults_are_over(
        workflow in workflow(),
        moves in moves(),
    ) {
        let mut world = World::new(&workflow);
        for chosen in moves {
            world.play(chosen);
        }
        world.heal();
    }
}
