//! `tasker debug check`: reads a whole database and says, promise by promise, whether it was kept.

mod client_log;

use crate::args::Check;
use anyhow::Context;
use client_log::Known;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::Arc;
use tasker_engine::event::{Entry, Event, Resolution, Target};
use tasker_engine::invariant::{Violation, check_history};
use tasker_engine::task::Wait;
use tasker_engine::{Digest, Namespace, StepIndex, Task, TaskId, Timestamp, Workflow};
use tasker_runtime::port::store::{Sequence, Store};

/// Rows read at a time.
const PAGE: usize = 2_000;
/// Violations printed per promise; all are counted.
const SHOWN: usize = 10;

/// The promises that a database can show, and what each says.
const PROMISES: &[(&str, &str)] = &[
    ("P1", "every accepted task is there"),
    ("P2", "no idempotency key leads to two tasks"),
    ("P3", "what was refused was not done"),
    ("P4", "dependencies first"),
    ("P6", "one result per attempt"),
    ("P7", "one open attempt per step"),
    ("P8", "late replies change nothing"),
    ("P9", "exactly one terminal state per task"),
    ("P12", "nothing is stuck"),
    ("P14", "timers fire once and never early"),
    ("P16", "results fit their contracts"),
    ("P17", "every task is pinned to a stored workflow"),
    ("P19", "histories are complete and fold to a state"),
];

#[derive(Default)]
struct Findings {
    violations: BTreeMap<&'static str, Vec<String>>,
    tasks: BTreeMap<&'static str, usize>,
    rows: usize,
    events: usize,
}

impl Findings {
    fn report(&mut self, promise: &'static str, seen: String) {
        self.violations.entry(promise).or_default().push(seen);
    }
}

/// Runs the check; the exit code is 0 if every promise was kept.
pub async fn run(given: Check, output: tasker_cli::Format) -> anyhow::Result<ExitCode> {
    let stores = tasker_store::inspect(&given.database_url, tasker_store::Options::new("tasker debug check"))
        .await
        .map_err(|error| anyhow::anyhow!("[{}]: {error}", error.code()))?;
    let accepted = match &given.accepted {
        None => Vec::new(),
        Some(file) => {
            let text = std::fs::read_to_string(file).with_context(|| format!("[file.unreadable]: {}", file.display()))?;
            let ids = text.split_whitespace().map(str::parse::<TaskId>).collect::<Result<Vec<_>, _>>();
            ids.with_context(|| format!("[file.malformed]: {}", file.display()))?
        }
    };
    let findings = examine(&stores, &accepted, given.client_log.as_deref(), given.all_finished).await?;
    for store in &stores {
        store.close().await;
    }
    match output {
        tasker_cli::Format::Table => print(&findings),
        tasker_cli::Format::Json | tasker_cli::Format::Yaml | tasker_cli::Format::Jsonl => print_json(&findings),
    }
    Ok(if findings.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn examine(
    stores: &[Arc<dyn Store>],
    accepted: &[TaskId],
    client_log: Option<&std::path::Path>,
    all_finished: bool,
) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    let (mut workflows, mut tasks) = (Workflows::new(), BTreeMap::new());
    for store in stores {
        workflows.extend(stored_workflows(&**store).await?);
        tasks.extend(histories(&**store, &mut findings).await?);
    }
    let histories = tasks;
    let mut keys: BTreeMap<(Namespace, String), TaskId> = BTreeMap::new();
    let mut family = Family::default();
    let mut known = Known { tasks: histories.keys().copied().collect(), ..Known::default() };
    for (id, entries) in &histories {
        timers_are_not_early(*id, entries, &mut findings);
        note_replies(*id, entries, &workflows, &mut known);
        examine_task(*id, entries, &workflows, all_finished, &mut keys, &mut family, &mut findings);
    }
    family.examine(|id| histories.contains_key(&id), &mut findings);
    for id in accepted {
        if !histories.contains_key(id) {
            findings.report("P1", format!("{id} was accepted, but is not in the journal"));
        }
    }
    if let Some(file) = client_log {
        let own = keys.into_iter().filter(|((namespace, _), _)| namespace.as_str() == client_log::NAMESPACE);
        known.keys = own.map(|((_, key), task)| (key, task)).collect();
        client_log::examine(file, &known, &mut findings)?;
    }
    Ok(findings)
}

type Workflows = BTreeMap<(Namespace, Digest), Arc<Workflow>>;

async fn stored_workflows(store: &dyn Store) -> anyhow::Result<Workflows> {
    let recovery = store.recover().await.context("[store.unreadable]")?;
    let checked = recovery.workflows.into_iter().filter_map(|row| {
        let manifest = tasker_manifest::restore(&row.source, "stored.yaml", &row.namespace).manifest?;
        Some(((row.namespace, row.digest), Arc::new(manifest.workflow)))
    });
    Ok(checked.collect())
}

/// Every task's entries, and that the journal itself has no gap and each row names the one before.
async fn histories(store: &dyn Store, findings: &mut Findings) -> anyhow::Result<BTreeMap<TaskId, Vec<Entry>>> {
    let mut histories: BTreeMap<TaskId, (Sequence, Vec<Entry>)> = BTreeMap::new();
    let mut last = 0;
    loop {
        let rows = store.journal(last, PAGE).await.context("[store.unreadable]")?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            if row.sequence != last + 1 && last != 0 {
                findings.report("P19", format!("the journal jumps from {last} to {}", row.sequence));
            }
            last = row.sequence;
            findings.rows += 1;
            findings.events += row.entry.events.len();
            let (previous, entries) = histories.entry(row.entry.task).or_default();
            if row.previous != *previous {
                let seen =
                    format!("row {} of {} names {} as the one before, but it is {previous}", row.sequence, row.entry.task, row.previous);
                findings.report("P19", seen);
            }
            *previous = row.sequence;
            entries.push((*row.entry).clone());
        }
    }
    Ok(histories.into_iter().map(|(id, (_, entries))| (id, entries)).collect())
}

fn examine_task(
    id: TaskId,
    entries: &[Entry],
    workflows: &Workflows,
    all_finished: bool,
    keys: &mut BTreeMap<(Namespace, String), TaskId>,
    family: &mut Family,
    findings: &mut Findings,
) {
    let Some(Event::TaskAccepted(submission)) = entries.first().and_then(|entry| entry.events.first()) else {
        return findings.report("P19", format!("the history of {id} does not begin with its acceptance"));
    };
    if let Some(key) = &submission.idempotency_key
        && let Some(other) = keys.insert((submission.namespace.clone(), key.clone()), id)
    {
        findings.report("P2", format!("key `{key}` led to {other} and to {id}"));
    }
    let Some(workflow) = workflows.get(&(submission.namespace.clone(), submission.workflow)) else {
        return findings.report("P17", format!("{id} is pinned to {}, which is not stored", submission.workflow));
    };
    for Violation { promise, task, seen } in check_history(id, workflow, entries) {
        findings.report(promise, format!("{task}: {seen}"));
    }
    if let Ok(task) = Task::fold(workflow.clone(), entries) {
        results_fit(&task, entries, findings);
        *findings.tasks.entry(task.status.as_str()).or_default() += 1;
        if all_finished && !task.status.is_terminal() {
            let open: BTreeSet<String> = task
                .workflow
                .indexes()
                .filter(|step| !task.progress(*step).state.is_terminal())
                .map(|step| format!("{} {}", task.workflow.step(step).name, task.progress(step).state.as_str()))
                .collect();
            findings.report("P9", format!("{id} is not over: {}", open.into_iter().collect::<Vec<_>>().join(", ")));
        }
        family.note(&task);
    }
}

/// A sleep and the pause before a retry end at their instant or later (P14), by the clock of the coordinator that wrote the entries.
fn timers_are_not_early(id: TaskId, entries: &[Entry], findings: &mut Findings) {
    let mut due: BTreeMap<StepIndex, Timestamp> = BTreeMap::new();
    for entry in entries {
        for event in &entry.events {
            match event {
                Event::WaitStarted { step, wait: Wait::Sleep, until: Some(until) } => drop(due.insert(*step, *until)),
                Event::AttemptFailed { step, retry_at: Some(at), .. } => drop(due.insert(*step, *at)),
                // A person may let a step go on before its time.
                Event::StepResolved { step, .. } => drop(due.remove(step)),
                Event::WaitSatisfied { step, .. } | Event::StepReady { step } => {
                    if let Some(at) = due.remove(step).filter(|at| entry.at < *at) {
                        findings
                            .report("P14", format!("{id}: step {step:?} went on {} ms before it was due", at.since(entry.at).as_millis()));
                    }
                }
                _ => {}
            }
        }
    }
}

/// Which attempts brought a result or were closed by a reply, as a client's log names them.
fn note_replies(id: TaskId, entries: &[Entry], workflows: &Workflows, known: &mut Known) {
    let Some(Event::TaskAccepted(submission)) = entries.first().and_then(|entry| entry.events.first()) else { return };
    let Some(workflow) = workflows.get(&(submission.namespace.clone(), submission.workflow)) else { return };
    let Ok(task) = Task::fold(workflow.clone(), entries) else { return };
    for event in entries.iter().flat_map(|entry| &entry.events) {
        match event {
            Event::StepSucceeded { step, attempt, .. } => {
                known.results.insert((id, task.label(*step).to_string(), attempt.0));
            }
            Event::AttemptFailed { step, attempt, reply: Some(_), .. } => {
                known.failures.insert((id, task.label(*step).to_string(), attempt.0));
            }
            _ => {}
        }
    }
}

/// What must agree between a task and its children, whose beginnings and ends are committed together.
#[derive(Default)]
struct Family {
    over: BTreeSet<TaskId>,
    /// By child that is waited for: the task whose attempt it is, and that attempt's token.
    awaited: BTreeMap<TaskId, (TaskId, [u8; 16])>,
    /// Attached children that are neither over nor on their way to their end: whose they are.
    running: BTreeMap<TaskId, (TaskId, [u8; 16])>,
}

impl Family {
    fn note(&mut self, task: &Task) {
        if task.status.is_terminal() {
            self.over.insert(task.id);
        }
        for open in task.indexes().filter_map(|step| task.open_attempt(step)) {
            if let Target::Child(child) = open.target {
                self.awaited.insert(child, (task.id, open.token.0));
            }
        }
        let attached = task.submission.parent.filter(|parent| !parent.detached);
        if let Some(parent) = attached.filter(|_| !task.status.is_terminal() && task.ending.is_none()) {
            self.running.insert(task.id, (parent.task, parent.token.0));
        }
    }

    fn examine(&self, known: impl Fn(TaskId) -> bool, findings: &mut Findings) {
        for (child, (parent, _)) in &self.awaited {
            if self.over.contains(child) || !known(*child) {
                let how = if known(*child) { "is over" } else { "is not in the journal" };
                findings.report("P12", format!("{parent} waits for its child {child}, which {how}"));
            }
        }
        for (child, (parent, token)) in &self.running {
            if self.awaited.get(child) != Some(&(*parent, *token)) {
                findings.report("P12", format!("{child} runs as a child of {parent}, which does not wait for it"));
            }
        }
    }
}

fn results_fit(task: &Task, entries: &[Entry], findings: &mut Findings) {
    for event in entries.iter().flat_map(|entry| &entry.events) {
        let (step, result) = match event {
            Event::StepSucceeded { step, result, .. } => (*step, result),
            Event::StepResolved { step, resolution: Resolution::Supply(result), .. } => (*step, result),
            _ => continue,
        };
        // What a person supplies for a whole fan-out is a list of what its items would have given.
        let whole = task.definition(step).for_each.is_some() && task.item(step).is_none();
        let values = match result.value() {
            Value::Array(items) if whole => items.into_iter().filter(|item| !item.is_null()).collect(),
            one => vec![one],
        };
        let Some(schema) = &task.definition(step).contract.result else { continue };
        if let Some(violation) = values.iter().find_map(|value| schema.violations(value).into_iter().next()) {
            let (id, label) = (task.id, task.label(step));
            findings.report("P16", format!("{id}: the result of `{label}` at {}: {}", violation.pointer, violation.message));
        }
    }
}

fn print(findings: &Findings) {
    let total: usize = findings.tasks.values().sum();
    let by_status: Vec<String> = findings.tasks.iter().map(|(status, count)| format!("{count} {status}")).collect();
    out!("{total} tasks ({}), {} journal rows, {} events", by_status.join(", "), findings.rows, findings.events);
    for (promise, says) in PROMISES {
        match findings.violations.get(promise) {
            None => out!("  kept    {promise:<4} {says}"),
            Some(seen) => {
                out!("  BROKEN  {promise:<4} {says}: {} violations", seen.len());
                seen.iter().take(SHOWN).for_each(|one| out!("            {one}"));
            }
        }
    }
}

/// The same for programs; JSON is YAML, too.
fn print_json(findings: &Findings) {
    let promises = PROMISES.iter().map(|(promise, says)| {
        let violations = findings.violations.get(promise).cloned().unwrap_or_default();
        json!({ "promise": promise, "says": says, "kept": violations.is_empty(), "violations": violations })
    });
    let report = json!({
        "tasks": findings.tasks,
        "journal_rows": findings.rows,
        "events": findings.events,
        "promises": promises.collect::<Vec<_>>(),
    });
    out!("{report:#}");
}
