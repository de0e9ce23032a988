//! A task in the hands of a test: everything that was committed, and every kind of thing that can happen to it.

use crate::naive;
use crate::workflows::CODES;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::decide::accept::{accept, reusable_results};
use tasker_engine::decide::approval::{self, Verdict};
use tasker_engine::decide::child::{self, ChildOutcome};
use tasker_engine::decide::dispatch::{Assignment, dispatch};
use tasker_engine::decide::reply::{Disposition, Outcome, Reply, reply};
use tasker_engine::decide::{Decision, Effect, admit, cancel, lost, pause, resolve, signal, timer};
use tasker_engine::event::{Entry, Event, Resolution, Target};
use tasker_engine::invariant::{check_history, check_state};
use tasker_engine::task::{Concurrency, StepState, Submission, Task, TaskStatus, Trace, Wait};
use tasker_engine::workflow::{StepKind, Workflow};
use tasker_engine::{
    AttemptNumber, AttemptToken, ErrorCode, Failure, FailureKind, Payload, SessionId, ShardId, StepIndex, TaskId, Timestamp,
};

/// What may happen to a task; numbers are reduced to what exists.
#[derive(Debug, Clone)]
pub enum Move {
    Dispatch(usize),
    StartChild(usize, bool),
    EndChild(usize, u8),
    Succeed(usize),
    Fail(usize, u8, u8),
    RepeatLast,
    ConflictLast,
    Forge(usize),
    Lose(usize),
    Wait(u16),
    Timer(usize),
    TaskTimer,
    Signal(u8, bool),
    Event(usize),
    Decide(usize, bool),
    Resolve(usize, u8),
    Pause,
    Resume,
    Admit,
    Cancel,
}

const PLACES: usize = 40;

pub fn moves() -> impl Strategy<Value = Vec<Move>> {
    let place = 0..PLACES;
    let one = prop_oneof![
        12 => place.clone().prop_map(Move::Dispatch),
        4 => (place.clone(), prop::bool::weighted(0.8)).prop_map(|(place, well)| Move::StartChild(place, well)),
        4 => (place.clone(), 0..3u8).prop_map(|(place, how)| Move::EndChild(place, how)),
        12 => place.clone().prop_map(Move::Succeed),
        5 => (place.clone(), 0..5u8, 0..3u8).prop_map(|(place, kind, code)| Move::Fail(place, kind, code)),
        1 => Just(Move::RepeatLast),
        1 => Just(Move::ConflictLast),
        1 => place.clone().prop_map(Move::Forge),
        2 => place.clone().prop_map(Move::Lose),
        3 => (0..3_000u16).prop_map(Move::Wait),
        4 => place.clone().prop_map(Move::Timer),
        1 => Just(Move::TaskTimer),
        2 => (any::<u8>(), prop::bool::weighted(0.9)).prop_map(|(id, fits)| Move::Signal(id, fits)),
        2 => place.clone().prop_map(Move::Event),
        2 => (place.clone(), any::<bool>()).prop_map(|(place, yes)| Move::Decide(place, yes)),
        3 => (place, 0..4u8).prop_map(|(place, how)| Move::Resolve(place, how)),
        1 => Just(Move::Pause),
        1 => Just(Move::Resume),
        2 => Just(Move::Admit),
        1 => prop::bool::weighted(0.3).prop_map(|cancel| if cancel { Move::Cancel } else { Move::Wait(10) }),
    ];
    proptest::collection::vec(one, 0..120)
}

pub struct World {
    task: Task,
    entries: Vec<Entry>,
    now: Timestamp,
    tokens: u8,
    last_reply: Option<Reply>,
    /// The history of the task that this one is a retry of.
    before: Vec<Entry>,
}

impl World {
    /// None if the workflow does not accept the input.
    pub fn new(workflow: &Arc<Workflow>, input: &Value) -> Option<Self> {
        let now = Timestamp::from_millis(1_000_000);
        let submission = Submission {
            namespace: workflow.namespace.clone(),
            workflow: workflow.digest,
            input: Payload::of(input),
            labels: BTreeMap::new(),
            idempotency_key: None,
            origin: None,
            trace: Trace { trace_id: [1; 16], parent: None, sampled: false },
            parent: None,
            priority: tasker_engine::flow::Priority::default(),
            // Every third workflow is one whose tasks may have to wait for their turn.
            concurrency: workflow.steps.len().is_multiple_of(3).then(|| Concurrency { key: "key".into(), queued: true }),
        };
        let id = TaskId::first_at(now);
        let (task, decision) = accept(id, workflow, submission, Vec::new(), now).ok()?;
        let mut world = Self { task, entries: Vec::new(), now, tokens: 0, last_reply: None, before: Vec::new() };
        world.commit(decision);
        Some(world)
    }

    fn step(&self, number: usize) -> StepIndex {
        StepIndex((number % self.task.steps.len()) as u32)
    }

    /// A step for which the input makes sense, if there is one; now and then any step, because the world also sends what makes none.
    fn pick(&self, number: usize, makes_sense: impl Fn(&StepState) -> bool) -> StepIndex {
        let fitting: Vec<StepIndex> = self.task.indexes().filter(|step| makes_sense(&self.task.progress(*step).state)).collect();
        match fitting.as_slice() {
            [] => self.step(number),
            _ if number.is_multiple_of(13) => self.step(number),
            _ => fitting[number % fitting.len()],
        }
    }

    fn token(&mut self) -> AttemptToken {
        self.tokens = self.tokens.wrapping_add(1) % 200;
        AttemptToken([self.tokens; 16])
    }

    fn commit(&mut self, decision: Decision) {
        self.entries.extend(decision.entry);
        for effect in &decision.effects {
            if let Effect::Ask { step, .. } = effect {
                assert!(self.task.open_attempt(*step).is_some(), "nobody is asked without an open attempt (P5)");
            }
        }
        let found = check_state(&self.task);
        assert!(found.is_empty(), "{found:?}");
        let found = check_history(self.task.id, &self.task.workflow, &self.entries);
        assert!(found.is_empty(), "{found:?}");
        let folded = Task::fold(self.task.workflow.clone(), &self.entries).expect("a whole history");
        assert_eq!(folded, self.task, "folding the history gives the state (P19)");
        let kept = self.entries.iter().flat_map(|entry| &entry.events).filter_map(|event| match event {
            Event::StepKept { step, .. } => Some(*step),
            _ => None,
        });
        naive::agrees(&self.task, &kept.collect());
    }

    pub fn play(&mut self, chosen: Move) {
        let (status, result) = (self.task.status, self.task.result.clone());
        match chosen {
            Move::Dispatch(number) => self.dispatch(self.pick(number, |state| matches!(state, StepState::Ready { .. }))),
            Move::StartChild(number, well) => self.start_child(self.pick(number, |state| matches!(state, StepState::Ready { .. })), well),
            Move::EndChild(number, how) => self.end_child(self.pick(number, |state| matches!(state, StepState::Running(_))), how),
            Move::Succeed(number) => self.answer(
                self.pick(number, |state| matches!(state, StepState::Running(_))),
                Outcome::Succeeded(Payload::trusted(Bytes::from(format!("{number}")))),
            ),
            Move::Fail(number, kind, code) => {
                let kind =
                    [FailureKind::Retryable, FailureKind::Permanent, FailureKind::Contract, FailureKind::Cancelled, FailureKind::Lost]
                        [usize::from(kind)];
                let code = ErrorCode::new(CODES[usize::from(code)]).expect("valid");
                self.answer(
                    self.pick(number, |state| matches!(state, StepState::Running(_))),
                    Outcome::Failed(Failure::new(kind, code, "no")),
                );
            }
            Move::RepeatLast => self.repeat(),
            Move::ConflictLast => self.conflict(),
            Move::Forge(number) => self.forge(number),
            Move::Lose(number) => self.lose(self.pick(number, |state| matches!(state, StepState::Running(_)))),
            Move::Wait(millis) => self.now = self.now.after(Duration::from_millis(u64::from(millis))),
            Move::Timer(number) => self.timer(
                self.pick(number, |state| matches!(state, StepState::BackingOff { .. } | StepState::Waiting(_) | StepState::Running(_))),
            ),
            Move::TaskTimer => {
                let due = self.task.task_due();
                let decision = timer::task_timer(&mut self.task, self.now);
                assert!(decision.entry.is_none() || due.is_some_and(|due| due <= self.now), "a timer never fires early (P14)");
                self.commit(decision);
            }
            Move::Signal(id, fits) => self.signal(id, fits),
            Move::Event(number) => self.event(self.pick(number, |state| matches!(state, StepState::Waiting(_)))),
            Move::Decide(number, approved) => self.decide(self.pick(number, |state| matches!(state, StepState::Waiting(_))), approved),
            Move::Resolve(number, how) => self.resolve(self.pick(number, |state| matches!(state, StepState::Held { .. })), how),
            Move::Pause => {
                if let Ok(decision) = pause::pause(&mut self.task, "a while", self.now) {
                    self.commit(decision);
                }
            }
            Move::Resume => {
                if let Ok(decision) = pause::resume(&mut self.task, self.now) {
                    self.commit(decision);
                }
            }
            Move::Admit => {
                let queued = self.task.queued;
                let decision = admit::admit(&mut self.task, self.now);
                assert_eq!(decision.entry.is_some(), queued, "a task is admitted once, and only if it waits");
                self.commit(decision);
            }
            Move::Cancel => {
                if let Ok(decision) = cancel::cancel(&mut self.task, "no longer wanted", self.now) {
                    self.commit(decision);
                }
            }
        }
        if status.is_terminal() {
            assert_eq!(self.task.status, status, "a terminal state never changes (P9)");
            assert_eq!(self.task.result, result);
        }
    }

    fn dispatch(&mut self, step: StepIndex) {
        if self.task.definition(step).call().is_none() {
            return;
        }
        let token = self.token();
        let target = Target::Session(SessionId::new("session-1").expect("valid"));
        let can = matches!(self.task.progress(step).state, StepState::Ready { .. }) && self.task.paused.is_none();
        let decision = dispatch(&mut self.task, step, &Assignment { token, target, contract: None }, self.now);
        assert_eq!(decision.entry.is_some(), can, "only a ready step of a task that is not paused is dispatched (P7, P10)");
        self.commit(decision);
    }

    fn start_child(&mut self, step: StepIndex, well: bool) {
        if !matches!(self.task.definition(step).kind, StepKind::Child(_)) {
            return;
        }
        let token = self.token();
        match child::request(&self.task, step, token).expect("the input is the task's") {
            None => {}
            Some(_) if well => {
                let id = self.task.id.following(self.now, ShardId::default());
                let decision = child::started(&mut self.task, step, id, token, self.now);
                assert!(decision.entry.is_some());
                self.commit(decision);
            }
            Some(_) => {
                let failure = Failure::new(FailureKind::Permanent, tasker_engine::failure::code::child_refused(), "no such workflow");
                let decision = child::refused(&mut self.task, step, failure, self.now);
                self.commit(decision);
            }
        }
    }

    fn end_child(&mut self, step: StepIndex, how: u8) {
        let token = self.task.open_attempt(step).map_or(AttemptToken([253; 16]), |open| open.token);
        let outcome = match how {
            0 => ChildOutcome::Succeeded(Payload::trusted(Bytes::from_static(b"{\"child\":true}"))),
            1 => ChildOutcome::Failed(Failure::new(FailureKind::Permanent, ErrorCode::new("broken").expect("valid"), "no")),
            _ => ChildOutcome::Cancelled { reason: "no".into() },
        };
        let decision = child::finished(&mut self.task, step, token, &outcome, self.now);
        self.commit(decision);
        let again = child::finished(&mut self.task, step, token, &outcome, self.now);
        assert!(again.entry.is_none(), "a child ends once (P6)");
    }

    fn answer(&mut self, step: StepIndex, outcome: Outcome) {
        let Some(open) = self.task.open_attempt(step).filter(|open| matches!(open.target, Target::Session(_))).cloned() else { return };
        let given = Reply { step, attempt: open.attempt, token: open.token, outcome };
        let (disposition, decision) = reply(&mut self.task, &given, None, self.now);
        assert_eq!(disposition, Disposition::Recorded);
        self.last_reply = Some(given);
        self.commit(decision);
    }

    fn repeat(&mut self) {
        let Some(last) = self.last_reply.clone() else { return };
        let before = self.task.clone();
        let (disposition, decision) = reply(&mut self.task, &last, None, self.now);
        assert_eq!(disposition, Disposition::Repeated);
        assert!(decision.entry.is_none());
        assert_eq!(self.task, before, "an identical repeat changes nothing (P6)");
    }

    fn conflict(&mut self) {
        let Some(last) = self.last_reply.clone() else { return };
        let before = self.task.clone();
        let other = Outcome::Succeeded(Payload::trusted(Bytes::from_static(b"\"other\"")));
        let (disposition, decision) = reply(&mut self.task, &Reply { outcome: other, ..last }, None, self.now);
        assert_eq!(disposition, Disposition::Conflicting);
        assert_eq!(self.task.status, before.status);
        let states = |task: &Task| task.steps.iter().map(|step| step.state.clone()).collect::<Vec<_>>();
        assert_eq!(states(&self.task), states(&before), "a different second reply changes no state (P6, P8)");
        self.commit(decision);
    }

    fn forge(&mut self, number: usize) {
        let before = self.task.clone();
        let (step, attempt) = (self.step(number), AttemptNumber(1 + number as u32 % 3));
        let forged = Reply { step, attempt, token: AttemptToken([255; 16]), outcome: Outcome::Succeeded(Payload::null()) };
        let (disposition, decision) = reply(&mut self.task, &forged, None, self.now);
        assert_eq!(disposition, Disposition::Forged);
        assert!(decision.entry.is_none());
        assert_eq!(self.task, before, "a forged reply changes nothing (P13)");
    }

    fn lose(&mut self, step: StepIndex) {
        let open = self.task.open_attempt(step).filter(|open| matches!(open.target, Target::Session(_)));
        let token = open.map_or(AttemptToken([254; 16]), |open| open.token);
        let decision = lost::lost(&mut self.task, step, token, "silent", self.now);
        self.commit(decision);
        let again = lost::lost(&mut self.task, step, token, "silent", self.now);
        assert!(again.entry.is_none(), "a second sweep finds nothing (P7)");
    }

    fn timer(&mut self, step: StepIndex) {
        let due = self.task.step_due(step);
        let decision = timer::step_timer(&mut self.task, step, self.now);
        assert!(decision.entry.is_none() || due.is_some_and(|due| due <= self.now), "a timer never fires early (P14)");
        self.commit(decision);
    }

    fn signal(&mut self, id: u8, fits: bool) {
        let before = self.task.clone();
        let payload = Payload::trusted(Bytes::from_static(if fits { b"7" } else { b"\"seven\"" }));
        // The upper half of the ids stands for signals without one.
        let id = (id < 128).then(|| id.to_string());
        match signal::receive(&mut self.task, "go", &payload, id.as_deref(), self.now) {
            Ok(decision) => {
                assert!(fits, "what does not fit is refused (P16)");
                self.commit(decision);
                if id.is_some() {
                    let again = signal::receive(&mut self.task, "go", &payload, id.as_deref(), self.now);
                    assert!(again.map_or(true, |again| again.entry.is_none()), "a repeat changes nothing");
                }
            }
            Err(_) => assert_eq!(self.task, before, "a refusal changes nothing"),
        }
    }

    fn event(&mut self, step: StepIndex) {
        let decision = signal::event_arrived(&mut self.task, step, "paid", "k", &Payload::null(), self.now);
        self.commit(decision.expect("no schema"));
    }

    fn decide(&mut self, step: StepIndex, approved: bool) {
        let verdict = Verdict { approved, by: "ada".into(), role: None, comment: None, form: None };
        if let Ok(decision) = approval::comment(&mut self.task, step, "bob", "hm", self.now) {
            self.commit(decision);
        }
        if let Ok(decision) = approval::decide(&mut self.task, step, &verdict, self.now) {
            self.commit(decision);
            assert!(approval::decide(&mut self.task, step, &verdict, self.now).is_err(), "a decision is taken once");
        }
    }

    fn resolve(&mut self, step: StepIndex, how: u8) {
        let resolution =
            [Resolution::Retry, Resolution::Skip, Resolution::Supply(Payload::null()), Resolution::Fail][usize::from(how)].clone();
        if let Ok(decision) = resolve::resolve(&mut self.task, step, &resolution, "ada", Some("because"), self.now) {
            self.commit(decision);
        }
    }

    /// Everything that was recorded.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.before.iter().chain(&self.entries).flat_map(|entry| &entry.events)
    }

    /// A task that did not succeed is tried again with what it has done; nothing that was undone counts.
    pub fn retry(&mut self) {
        if self.task.status == TaskStatus::Succeeded {
            return;
        }
        let kept = reusable_results(&self.task);
        for (step, _) in &kept {
            let undo = self.task.workflow.step(*step).compensate;
            assert!(undo.is_none_or(|undo| self.task.step_result(undo).is_none()), "what was undone is not kept");
        }
        let origin = Some(self.task.id);
        let submission = Submission { origin, ..(*self.task.submission).clone() };
        let workflow = self.task.workflow.clone();
        let (task, decision) = accept(self.task.id.following(self.now, ShardId::default()), &workflow, submission, kept, self.now)
            .expect("it was accepted before");
        self.before = std::mem::take(&mut self.entries);
        (self.task, self.last_reply) = (task, None);
        self.commit(decision);
        self.heal();
    }

    /// Faults are over: everything that is asked is answered. The task must end.
    pub fn heal(&mut self) {
        self.play(Move::Resume);
        self.play(Move::Admit);
        for _ in 0..2_000 {
            if self.task.status.is_terminal() {
                return;
            }
            for step in self.task.indexes() {
                self.serve(step);
            }
            self.now = self.now.after(Duration::from_millis(500));
        }
        let open = self.task.indexes().filter(|step| !self.task.progress(*step).state.is_terminal());
        let open: Vec<String> = open.map(|step| format!("{} is {:?}", self.task.label(step), self.task.progress(step).state)).collect();
        panic!("the task never ends: {open:?}, {:?}", self.task.ending);
    }

    /// Does what the step waits for.
    fn serve(&mut self, step: StepIndex) {
        let done = Payload::trusted(Bytes::from_static(b"true"));
        match &self.task.progress(step).state {
            StepState::Ready { .. } => {
                self.dispatch(step);
                self.start_child(step, true);
            }
            StepState::Running(open) if matches!(open.target, Target::Child(_)) => self.end_child(step, 0),
            StepState::Running(_) => self.answer(step, Outcome::Succeeded(done)),
            StepState::BackingOff { .. } => self.timer(step),
            StepState::Waiting(waiting) => match &waiting.wait {
                Wait::Signal { .. } => self.signal(255, true),
                Wait::Event { .. } => self.event(step),
                Wait::Approval { .. } => self.decide(step, true),
                Wait::Sleep => self.timer(step),
            },
            StepState::Held { .. } => self.resolve(step, 1),
            _ => {}
        }
    }
}
