//! What the checker accepts without a doubt never fails for its types when it runs.
//!
//! Random small workflows are checked; those without an error, and without anything that could not be shown, are run by the engine
//! with random results that fit their schemas, with failures, skips and withdrawals. No step may then end with `expression.failed` or
//! `contract.input_violated`.
//!
//! `TASKER_SOUNDNESS_CASES` sets how many workflows are drawn, `TASKER_SOUNDNESS_SEED` repeats one.

mod chance;
mod grammar;
mod shape;
mod workflow;

use chance::Chance;
use std::collections::BTreeMap;
use std::sync::Arc;
use tasker_engine::decide::accept::accept;
use tasker_engine::decide::dispatch::{Assignment, dispatch};
use tasker_engine::decide::reply::{Outcome, Reply, reply};
use tasker_engine::decide::{Decision, resolve};
use tasker_engine::event::{Resolution, Target};
use tasker_engine::task::{StepState, Submission, Task, Trace};
use tasker_engine::{AttemptToken, ErrorCode, Failure, FailureKind, Namespace, Payload, SessionId, StepIndex, TaskId, Timestamp, Workflow};
use tasker_manifest::{Severity, check};
use workflow::Case;

/// Enough that each construct meets each other often, and few enough for every run of the tests.
const CASES: u64 = 1_500;
/// Each accepted workflow is run so often, each time with other values.
const RUNS: u64 = 6;
/// No workflow of a few steps needs as many moves.
const MOVES_MAX: usize = 2_000;

/// What a checked workflow must never meet.
const FORBIDDEN: [&str; 2] = ["expression.failed", "contract.input_violated"];
/// With these said, the checker does not claim that it is safe.
const DOUBTS: [&str; 2] = ["type.unproven", "manifest.undeclared_path"];

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn what_is_accepted_without_doubt_never_fails_for_its_types() {
    let seeds = match from_environment("TASKER_SOUNDNESS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..from_environment("TASKER_SOUNDNESS_CASES").unwrap_or(CASES),
    };
    let (mut drawn, mut proven, mut refused) = (0, 0, BTreeMap::new());
    let mut unsound = Vec::new();
    for seed in seeds {
        drawn += 1;
        let case = workflow::case(&mut Chance::new(seed));
        let checked = check(&case.text, "drawn.yaml", &Namespace::new("default").expect("valid"));
        for found in &checked.diagnostics {
            *refused.entry(found.code.clone()).or_insert(0) += 1;
        }
        let doubt = checked.diagnostics.iter().any(|found| found.severity == Severity::Error || DOUBTS.contains(&found.code.as_str()));
        let Some(manifest) = checked.manifest.filter(|_| !doubt) else { continue };
        proven += 1;
        let workflow = Arc::new(manifest.workflow);
        let found = (0..RUNS).find_map(|run| Run::of(&case, &workflow, seed * RUNS + run).err());
        if let Some(problem) = found {
            unsound.push(format!("TASKER_SOUNDNESS_SEED={seed}: {problem}\n{}", case.text));
        }
    }
    println!("{proven} of {drawn} accepted without doubt; said: {refused:?}; unsound: {}", unsound.len());
    assert!(
        unsound.is_empty(),
        "{} accepted workflows failed; the first:\n{}",
        unsound.len(),
        unsound[..unsound.len().min(4)].join("\n\n")
    );
    assert!(drawn == 1 || proven * 5 >= drawn, "the check is worth something only if it accepts enough: {proven} of {drawn}; {refused:?}");
}

/// One task of an accepted workflow.
struct Run<'c> {
    case: &'c Case,
    task: Task,
    chance: Chance,
    now: Timestamp,
    tokens: u8,
}

impl<'c> Run<'c> {
    /// Runs a task to its end.
    ///
    /// # Errors
    /// What it met that the checker should have said.
    fn of(case: &'c Case, workflow: &Arc<Workflow>, seed: u64) -> Result<(), String> {
        let mut chance = Chance::new(seed ^ 0x5eed);
        let now = Timestamp::from_millis(1_000_000);
        let submission = Submission {
            namespace: workflow.namespace.clone(),
            workflow: workflow.digest,
            input: Payload::of(&case.input.value(&mut chance)),
            labels: BTreeMap::new(),
            idempotency_key: None,
            origin: None,
            trace: Trace { trace_id: [1; 16], parent: None, sampled: false },
            parent: None,
            priority: tasker_engine::flow::Priority::default(),
            concurrency: None,
        };
        let (task, decision) = accept(TaskId::first_at(now), workflow, submission, Vec::new(), now).expect("the input fits its schema");
        let mut run = Self { case, task, chance, now, tokens: 0 };
        run.look(&decision)?;
        for _ in 0..MOVES_MAX {
            let open: Vec<StepIndex> = run.task.indexes().filter(|step| run.can_move(*step)).collect();
            if open.is_empty() || run.task.status.is_terminal() {
                let problem = format!("{:?} is stuck", run.task.steps.iter().map(|step| step.state.status_word()).collect::<Vec<_>>());
                return if run.task.status.is_terminal() { Ok(()) } else { Err(problem) };
            }
            let step = *run.chance.pick(&open);
            run.make_move(step)?;
        }
        Err("it never ends".into())
    }

    fn can_move(&self, step: StepIndex) -> bool {
        matches!(self.task.progress(step).state, StepState::Ready { .. } | StepState::Running(_) | StepState::Held { .. })
    }

    fn make_move(&mut self, step: StepIndex) -> Result<(), String> {
        let decision = match &self.task.progress(step).state {
            StepState::Ready { .. } => {
                self.tokens = self.tokens.wrapping_add(1);
                let target = Target::Session(SessionId::new("session-1").expect("valid"));
                let assignment = Assignment { token: AttemptToken([self.tokens; 16]), target, contract: None };
                dispatch(&mut self.task, step, &assignment, self.now)
            }
            StepState::Running(open) => {
                let (attempt, token) = (open.attempt, open.token);
                let outcome = self.outcome(step);
                reply(&mut self.task, &Reply { step, attempt, token, outcome }, None, self.now).1
            }
            _ => {
                let resolution = match self.chance.below(3) {
                    0 => Resolution::Fail,
                    _ => Resolution::Skip,
                };
                resolve::resolve(&mut self.task, step, &resolution, "tester", None, self.now).expect("a held step can be resolved")
            }
        };
        self.look(&decision)
    }

    fn outcome(&mut self, step: StepIndex) -> Outcome {
        if self.chance.percent(25) {
            return Outcome::Failed(Failure::new(FailureKind::Permanent, ErrorCode::new("odd").expect("valid"), "it did not work"));
        }
        let name = &self.task.definition(step).name;
        let (_, result) = self.case.results.iter().find(|(known, _)| known == name.as_str()).expect("a call");
        Outcome::Succeeded(Payload::of(&result.value(&mut self.chance)))
    }

    fn look(&self, decision: &Decision) -> Result<(), String> {
        let Some(entry) = &decision.entry else { return Ok(()) };
        let met = entry.events.iter().map(|event| format!("{event:?}")).find(|event| FORBIDDEN.iter().any(|code| event.contains(code)));
        match met {
            Some(event) => Err(event.chars().take(600).collect()),
            None => Ok(()),
        }
    }
}
