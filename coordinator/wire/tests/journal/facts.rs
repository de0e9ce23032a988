//! Every fact there is, drawn at random.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::Union;
use std::time::Duration;
use tasker_engine::event::Resolution;
use tasker_engine::flow::Priority;
use tasker_engine::task::{Cause, Concurrency, Parent, SkipReason, Submission, Trace, Wait};
use tasker_engine::{
    AttemptNumber, AttemptToken, Digest, Entry, ErrorCode, Event, Failure, FailureKind, Namespace, Payload, SessionId, StepIndex, Target,
    TaskId, Timestamp,
};

fn text() -> impl Strategy<Value = String> {
    ".{0,30}"
}

fn payload() -> impl Strategy<Value = Payload> {
    ".{0,40}".prop_map(|text| Payload::of(&serde_json::Value::String(text)))
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn instant() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_millis)
}

fn task() -> impl Strategy<Value = TaskId> {
    (0..=i64::MAX).prop_map(|number| TaskId::from_number(number).expect("not negative"))
}

fn step() -> impl Strategy<Value = StepIndex> {
    any::<u32>().prop_map(StepIndex)
}

fn attempt() -> impl Strategy<Value = AttemptNumber> {
    any::<u32>().prop_map(AttemptNumber)
}

fn failure() -> impl Strategy<Value = Failure> {
    let kind = prop_oneof![
        Just(FailureKind::Retryable),
        Just(FailureKind::Permanent),
        Just(FailureKind::Contract),
        Just(FailureKind::Cancelled),
        Just(FailureKind::TimedOut),
        Just(FailureKind::Lost),
    ];
    let span = (any::<u64>(), 0u32..1_000_000_000).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos));
    (kind, "[a-z]{1,8}(\\.[a-z_]{1,8})?", ".{0,30}", option::of(payload()), option::of(span)).prop_map(
        |(kind, code, message, details, retry_after)| Failure {
            kind,
            code: ErrorCode::new(&code).expect("of the right form"),
            message,
            details,
            retry_after,
        },
    )
}

fn parent() -> impl Strategy<Value = Parent> {
    (task(), step(), any::<[u8; 16]>(), any::<bool>(), any::<u32>()).prop_map(|(task, step, token, detached, depth)| Parent {
        task,
        step,
        token: AttemptToken(token),
        detached,
        depth,
    })
}

fn submission() -> impl Strategy<Value = Submission> {
    let trace = (any::<[u8; 16]>(), option::of(any::<[u8; 8]>()), any::<bool>()).prop_map(|(trace_id, parent, sampled)| Trace {
        trace_id,
        parent,
        sampled,
    });
    (
        "[A-Za-z0-9_-]{1,64}",
        digest(),
        payload(),
        btree_map(".{0,8}", ".{0,8}", 0..5),
        option::of(".{0,20}"),
        option::of(task()),
        trace,
        option::of(parent()),
        (-100..=100i64, option::of((text(), any::<bool>()))),
    )
        .prop_map(|(namespace, workflow, input, labels, idempotency_key, origin, trace, parent, (priority, counted))| Submission {
            namespace: Namespace::new(&namespace).expect("of the right form"),
            workflow,
            input,
            labels,
            idempotency_key,
            origin,
            trace,
            parent,
            priority: Priority::new(priority).expect("on the scale"),
            concurrency: counted.map(|(key, queued)| Concurrency { key, queued }),
        })
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        "[A-Za-z0-9_-]{8,64}".prop_map(|text| Target::Session(SessionId::new(&text).expect("of the right form"))),
        Just(Target::Responders),
        Just(Target::Http),
        task().prop_map(Target::Child),
    ]
}

fn wait() -> impl Strategy<Value = Wait> {
    prop_oneof![
        text().prop_map(|name| Wait::Signal { name }),
        (text(), text()).prop_map(|(name, key)| Wait::Event { name, key }),
        Just(Wait::Sleep),
        (text(), option::of(text()), vec(text(), 0..4)).prop_map(|(title, description, assignees)| Wait::Approval {
            title,
            description,
            assignees,
        }),
    ]
}

fn skip_reason() -> impl Strategy<Value = SkipReason> {
    prop::sample::select(SkipReason::ALL.to_vec())
}

fn resolution() -> impl Strategy<Value = Resolution> {
    prop_oneof![Just(Resolution::Retry), Just(Resolution::Skip), payload().prop_map(Resolution::Supply), Just(Resolution::Fail),]
}

fn cause() -> impl Strategy<Value = Cause> {
    prop_oneof![
        (option::of(step()), failure()).prop_map(|(step, failure)| Cause::Failed { step, failure }),
        text().prop_map(|reason| Cause::Cancelled { reason }),
    ]
}

/// One strategy for each fact.
pub fn every_fact() -> Vec<BoxedStrategy<Event>> {
    vec![
        submission().prop_map(|submission| Event::TaskAccepted(Box::new(submission))).boxed(),
        (step(), payload()).prop_map(|(step, result)| Event::StepKept { step, result }).boxed(),
        step().prop_map(|step| Event::StepReady { step }).boxed(),
        (step(), attempt(), any::<[u8; 16]>(), target(), option::of(digest()), option::of(instant()))
            .prop_map(|(step, attempt, token, target, contract, deadline)| Event::AttemptStarted {
                step,
                attempt,
                token: AttemptToken(token),
                target,
                contract,
                deadline,
            })
            .boxed(),
        (step(), attempt(), failure(), option::of(digest()), option::of(instant()))
            .prop_map(|(step, attempt, failure, reply, retry_at)| Event::AttemptFailed { step, attempt, failure, reply, retry_at })
            .boxed(),
        (step(), attempt(), payload()).prop_map(|(step, attempt, result)| Event::StepSucceeded { step, attempt, result }).boxed(),
        (step(), failure()).prop_map(|(step, failure)| Event::StepFailed { step, failure }).boxed(),
        step().prop_map(|step| Event::StepCancelled { step }).boxed(),
        (step(), attempt(), digest()).prop_map(|(step, attempt, reply)| Event::ReplyConflicted { step, attempt, reply }).boxed(),
        text().prop_map(|reason| Event::CancelRequested { reason }).boxed(),
        payload().prop_map(|result| Event::TaskSucceeded { result }).boxed(),
        (option::of(step()), failure()).prop_map(|(step, failure)| Event::TaskFailed { step, failure }).boxed(),
        text().prop_map(|reason| Event::TaskCancelled { reason }).boxed(),
        instant().prop_map(|at| Event::DeadlineSet { at }).boxed(),
        step().prop_map(|step| Event::StepParked { step }).boxed(),
        (step(), skip_reason()).prop_map(|(step, reason)| Event::StepSkipped { step, reason }).boxed(),
        (step(), any::<u32>()).prop_map(|(step, branch)| Event::BranchTaken { step, branch }).boxed(),
        (step(), vec(payload(), 0..5)).prop_map(|(step, items)| Event::StepFannedOut { step, items }).boxed(),
        step().prop_map(|step| Event::StepCollected { step }).boxed(),
        (step(), wait(), option::of(instant())).prop_map(|(step, wait, until)| Event::WaitStarted { step, wait, until }).boxed(),
        (step(), payload()).prop_map(|(step, result)| Event::WaitSatisfied { step, result }).boxed(),
        step().prop_map(|step| Event::ApprovalReminded { step }).boxed(),
        (step(), vec(text(), 0..4)).prop_map(|(step, to)| Event::ApprovalEscalated { step, to }).boxed(),
        (step(), text(), text()).prop_map(|(step, by, comment)| Event::ApprovalCommented { step, by, comment }).boxed(),
        (text(), payload(), option::of(text())).prop_map(|(name, payload, id)| Event::SignalReceived { name, payload, id }).boxed(),
        (step(), step(), failure()).prop_map(|(step, to, failure)| Event::FallbackStarted { step, to, failure }).boxed(),
        step().prop_map(|step| Event::FallbackTaken { step }).boxed(),
        (step(), failure()).prop_map(|(step, failure)| Event::StepHeld { step, failure }).boxed(),
        (step(), resolution(), text(), option::of(text()))
            .prop_map(|(step, resolution, by, comment)| Event::StepResolved { step, resolution, by, comment })
            .boxed(),
        (cause(), any::<bool>()).prop_map(|(cause, compensate)| Event::TaskEnding { cause, compensate }).boxed(),
        text().prop_map(|reason| Event::TaskPaused { reason }).boxed(),
        Just(Event::TaskResumed).boxed(),
        Just(Event::TaskAdmitted).boxed(),
    ]
}

/// The number of a fact's field in the schema: written down a second time, so that a change there does not go unnoticed.
pub fn number_of(event: &Event) -> u32 {
    match event {
        Event::TaskAccepted(_) => 1,
        Event::StepKept { .. } => 2,
        Event::StepReady { .. } => 3,
        Event::AttemptStarted { .. } => 4,
        Event::AttemptFailed { .. } => 5,
        Event::StepSucceeded { .. } => 6,
        Event::StepFailed { .. } => 7,
        Event::StepCancelled { .. } => 8,
        Event::ReplyConflicted { .. } => 9,
        Event::CancelRequested { .. } => 10,
        Event::TaskSucceeded { .. } => 11,
        Event::TaskFailed { .. } => 12,
        Event::TaskCancelled { .. } => 13,
        Event::DeadlineSet { .. } => 14,
        Event::StepParked { .. } => 15,
        Event::StepSkipped { .. } => 16,
        Event::BranchTaken { .. } => 17,
        Event::StepFannedOut { .. } => 18,
        Event::StepCollected { .. } => 19,
        Event::WaitStarted { .. } => 20,
        Event::WaitSatisfied { .. } => 21,
        Event::ApprovalReminded { .. } => 22,
        Event::ApprovalEscalated { .. } => 23,
        Event::ApprovalCommented { .. } => 24,
        Event::SignalReceived { .. } => 25,
        Event::FallbackStarted { .. } => 26,
        Event::FallbackTaken { .. } => 27,
        Event::StepHeld { .. } => 28,
        Event::StepResolved { .. } => 29,
        Event::TaskEnding { .. } => 30,
        Event::TaskPaused { .. } => 31,
        Event::TaskResumed => 32,
        Event::TaskAdmitted => 33,
    }
}

/// A few facts of one task.
pub fn entry() -> impl Strategy<Value = Entry> {
    (task(), any::<u64>(), instant(), vec(Union::new(every_fact()), 1..6)).prop_map(|(task, first, at, events)| Entry {
        task,
        first,
        at,
        events,
    })
}
