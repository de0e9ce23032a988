//! The hot paths, a fixed amount of work each, for counting instructions: `deploy/bench-compare` runs them under valgrind.
//!
//! `instructions PATH ROUNDS` does the work of one round so many times. The difference between two numbers of rounds is what a round costs;
//! what happens before the first round cancels out. Unlike time, it is the same on a busy machine.

use anyhow::{Context, bail};
use bytes::Bytes;
use prost::Message;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use tasker_engine::decide::accept::accept;
use tasker_engine::decide::dispatch::{Assignment, dispatch};
use tasker_engine::decide::reply::{Outcome, Reply, reply};
use tasker_engine::decide::{Decision, Effect};
use tasker_engine::event::Target;
use tasker_engine::task::{Submission, Task, Trace};
use tasker_engine::{
    AttemptNumber, AttemptToken, Entry, Namespace, Payload, SessionId, StepIndex, SystemName, TaskId, Timestamp, Workflow,
};
use tasker_proto::worker::v1 as proto;
use tasker_registry::message::{Acknowledgement, AttemptKey, Directive, StepRequest, ToWorker};
use tasker_runtime::port::store::{Batch, JournalRow, Sequence};
use tasker_scheduler::{Lane, Scheduler, Standing, Waiting};
use tasker_wire::worker::Subjects;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Replies and requests in one message, as many as the protocol allows.
const BATCH: usize = 64;

/// Bytes of a result, as in the table of `docs/performance.md`.
const PAYLOAD: usize = 256;

/// Goes along a hot path so many times.
type HotPath = fn(usize) -> anyhow::Result<()>;

const PATHS: [(&str, HotPath); 8] = [
    ("engine: a task of four steps, from acceptance to its end", engine),
    ("engine: a task of a thousand steps, from acceptance to its end", graph),
    ("wire: a batch of 64 replies is read", replies),
    ("wire: 64 requests and 64 acknowledgements are written", requests),
    ("wire: the journal rows of a task of four steps are written", journal_encode),
    ("wire: the journal rows of a task of four steps are read and folded", journal_decode),
    ("scheduler: a thousand steps wait and are taken", scheduler),
    ("store: 64 journal rows are committed on SQLite", commit),
];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["list"] => PATHS.iter().for_each(|(name, _)| println!("{name}")),
        [name, rounds] if !name.starts_with('-') => {
            let (_, path) = PATHS.iter().find(|(known, _)| known == name).with_context(|| format!("no path is called `{name}`"))?;
            path(rounds.parse().context("the rounds are no number")?)?;
        }
        // `cargo bench` and `cargo test` give flags of their own: one round of everything shows that it works.
        flags if flags.iter().all(|flag| flag.starts_with('-')) => PATHS.iter().try_for_each(|(_, path)| path(1))?,
        _ => bail!("instructions list | instructions PATH ROUNDS"),
    }
    Ok(())
}

fn linear(steps: usize) -> Arc<Workflow> {
    let step = |number: usize| {
        let depends_on = if number == 0 { String::new() } else { format!(", depends_on: step_{}", number - 1) };
        format!("  - {{ name: step_{number}, owner: bench, capability: bench.noop{depends_on} }}\n")
    };
    workflow(&(0..steps).map(step).collect::<String>())
}

/// Layers of ten; each step depends on two of the layer before.
fn layered(steps: usize) -> Arc<Workflow> {
    let step = |number: usize| {
        let above = |place: usize| number / 10 * 10 - 10 + place % 10;
        let depends_on =
            if number < 10 { String::new() } else { format!(", depends_on: [step_{}, step_{}]", above(number), above(number + 1)) };
        format!("  - {{ name: step_{number}, owner: bench, capability: bench.noop{depends_on} }}\n")
    };
    workflow(&(0..steps).map(step).collect::<String>())
}

fn workflow(steps: &str) -> Arc<Workflow> {
    let text = format!("name: bench\nversion: 1.0.0\nsystems:\n  bench: {{ capabilities: [bench.noop] }}\nworkflow_steps:\n{steps}");
    let checked = tasker_manifest::check(&text, "bench.yaml", &namespace());
    Arc::new(checked.manifest.unwrap_or_else(|| panic!("{:?}", checked.diagnostics)).workflow)
}

fn namespace() -> Namespace {
    Namespace::new("default").expect("valid")
}

fn payload() -> Payload {
    Payload::of(&serde_json::json!({ "pad": "x".repeat(PAYLOAD) }))
}

fn session() -> SessionId {
    SessionId::new("session-1").expect("valid")
}

/// Runs a task to its end and gives what would be stored.
fn whole(workflow: &Arc<Workflow>, id: TaskId, result: &Payload) -> (Task, Vec<Entry>) {
    let submission = Submission {
        namespace: workflow.namespace.clone(),
        workflow: workflow.digest,
        input: result.clone(),
        labels: BTreeMap::new(),
        idempotency_key: None,
        origin: None,
        trace: Trace { trace_id: [1; 16], parent: None, sampled: true },
        parent: None,
        priority: workflow.flow.priority.default,
        concurrency: None,
    };
    let (mut task, decision) = accept(id, workflow, submission, Vec::new(), NOW).expect("no schema");
    let (mut entries, mut ready) = (Vec::new(), Vec::new());
    let mut take = |decision: Decision, ready: &mut Vec<StepIndex>| {
        entries.extend(decision.entry);
        ready.extend(
            decision.effects.into_iter().filter_map(|effect| if let Effect::Enqueue { step } = effect { Some(step) } else { None }),
        );
    };
    take(decision, &mut ready);
    let token = AttemptToken([7; 16]);
    while let Some(step) = ready.pop() {
        let assignment = Assignment { token, target: Target::Session(session()), contract: None };
        take(dispatch(&mut task, step, &assignment, NOW), &mut ready);
        let answer = Reply { step, attempt: AttemptNumber::FIRST, token, outcome: Outcome::Succeeded(result.clone()) };
        take(reply(&mut task, &answer, None, NOW).1, &mut ready);
    }
    assert!(task.status.is_terminal(), "every step was answered");
    (task, entries)
}

fn engine(rounds: usize) -> anyhow::Result<()> {
    let (workflow, result) = (linear(4), payload());
    (0..rounds).for_each(|_| drop(black_box(whole(&workflow, TaskId::first_at(NOW), &result))));
    Ok(())
}

fn graph(rounds: usize) -> anyhow::Result<()> {
    let (workflow, result) = (layered(1_000), payload());
    (0..rounds).for_each(|_| drop(black_box(whole(&workflow, TaskId::first_at(NOW), &result))));
    Ok(())
}

fn replies(rounds: usize) -> anyhow::Result<()> {
    let one = |number: usize| proto::StepReply {
        task_id: TaskId::first_at(NOW).to_string(),
        step_name: format!("step_{number}"),
        attempt: 1,
        token: Bytes::from_static(&[7; 16]),
        ran_ms: 1,
        outcome: Some(proto::step_reply::Outcome::Success(proto::Success { result: payload().bytes().clone() })),
    };
    let credit = Some(proto::Credit { free: 64, highest_sequence: 1_000, ..proto::Credit::default() });
    let batch = proto::ReplyBatch { session: session().to_string(), replies: (0..BATCH).map(one).collect(), credit };
    let (bytes, subjects) = (Bytes::from(batch.encode_to_vec()), Subjects::new("tasker")?);
    for _ in 0..rounds {
        let arrival = subjects.read(black_box("tasker.v1.default.bench.reply.0")).context("a worker's subject")?;
        black_box(tasker_wire::worker::decode(arrival, bytes.clone())?);
    }
    Ok(())
}

fn requests(rounds: usize) -> anyhow::Result<()> {
    let (workflow, input) = (linear(BATCH), payload());
    let capability = tasker_engine::CapabilityName::new("bench.noop").expect("valid");
    let key = |number: usize| AttemptKey {
        task: TaskId::first_at(NOW),
        step: workflow.steps[number].name.clone().into(),
        attempt: AttemptNumber::FIRST,
        token: AttemptToken([7; 16]),
    };
    let request = |number: usize| {
        Directive::Request(Box::new(StepRequest {
            sequence: number as u64,
            attempt: key(number),
            capability: capability.clone(),
            input: input.clone(),
            dependencies: input.clone(),
            idempotency_key: format!("{}/step_{number}", TaskId::first_at(NOW)),
            slot_cost: 1,
            timeout: None,
            shard: 0,
            trace: Trace { trace_id: [1; 16], parent: Some([2; 8]), sampled: true },
            workflow: workflow.name.clone(),
            version: workflow.version.clone(),
            attempts_max: 3,
        }))
    };
    let system = SystemName::new("bench").expect("valid");
    for _ in 0..rounds {
        let told = (0..BATCH).map(|number| Directive::Acknowledged { attempt: key(number), disposition: Acknowledgement::Recorded });
        let directives = told.chain((0..BATCH).map(request)).collect();
        black_box(tasker_wire::worker::encode(ToWorker { namespace: namespace(), system: system.clone(), session: session(), directives }));
    }
    Ok(())
}

fn journal_encode(rounds: usize) -> anyhow::Result<()> {
    let (_, entries) = whole(&linear(4), TaskId::first_at(NOW), &payload());
    (0..rounds).for_each(|_| entries.iter().for_each(|entry| drop(black_box(tasker_wire::journal::encode(entry)))));
    Ok(())
}

fn journal_decode(rounds: usize) -> anyhow::Result<()> {
    let workflow = linear(4);
    let (_, entries) = whole(&workflow, TaskId::first_at(NOW), &payload());
    let stored: Vec<Bytes> = entries.iter().map(|entry| Bytes::from(tasker_wire::journal::encode(entry))).collect();
    for _ in 0..rounds {
        let read = stored.iter().map(|bytes| tasker_wire::journal::decode(bytes.clone())).collect::<Result<Vec<_>, _>>()?;
        black_box(Task::fold(workflow.clone(), read.iter())?);
    }
    Ok(())
}

fn scheduler(rounds: usize) -> anyhow::Result<()> {
    let mut scheduler = Scheduler::default();
    let system = SystemName::new("bench").expect("valid");
    let capability = tasker_engine::CapabilityName::new("bench.noop").expect("valid");
    let target = tasker_scheduler::Target { namespace: namespace(), system, capability };
    let lane = scheduler.lane(&Lane { target, route: None });
    let flow = scheduler.flow(&namespace(), &tasker_engine::WorkflowName::new("bench").expect("valid"));
    let standing = Standing { flow, priority: tasker_engine::flow::Priority::default(), returned: false, gates: [None; 2] };
    let now = std::time::Duration::ZERO;
    for _ in 0..rounds {
        for number in 0..1_000 {
            let task = TaskId::from_number(number).context("not negative")?;
            scheduler.enqueue(lane, Waiting { task, step: StepIndex(0), since: NOW }, standing);
        }
        while scheduler.waiting() > 0 {
            let mut turns = scheduler.turns(now);
            while let Some(lane) = scheduler.next_turn(&mut turns) {
                if scheduler.admits(lane, now) {
                    black_box(scheduler.take(lane, now));
                    scheduler.served(&mut turns, lane);
                }
            }
        }
    }
    Ok(())
}

fn commit(rounds: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let directory = tempfile::tempdir()?;
    let url = format!("sqlite:{}", directory.path().join("bench.db").display());
    let store = runtime.block_on(tasker_store::open(&url, tasker_store::Options::new("bench")))?;
    let (_, entries) = whole(&linear(4), TaskId::first_at(NOW), &payload());
    let entries: Vec<Arc<Entry>> = entries.into_iter().map(Arc::new).collect();
    let mut last: Sequence = 0;
    for _ in 0..rounds {
        let row = |place: usize| {
            let entry = entries[place % entries.len()].clone();
            JournalRow { sequence: last + 1 + place as i64, previous: 0, entry }
        };
        let batch = Batch { journal: (0..BATCH).map(row).collect(), ..Batch::default() };
        last += BATCH as i64;
        runtime.block_on(store.commit(batch))?;
    }
    runtime.block_on(store.close());
    Ok(())
}
