//! Random workflows with every construct, and random, repeated, late and impossible inputs: after every event the promises hold, folding
//! the history gives the state, a naive interpreter agrees on what may run, and once faults are over the task ends.

mod naive;
mod workflows;
mod world;

use proptest::test_runner::{Config, TestCaseError, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeMap;
use world::{World, moves};

/// Everything that can be recorded about a task. Each must have happened often, or the test says little about it.
const EVENTS: [&str; 33] = [
    "task_accepted",
    "deadline_set",
    "step_ready",
    "step_parked",
    "step_skipped",
    "branch_taken",
    "step_fanned_out",
    "step_collected",
    "wait_started",
    "wait_satisfied",
    "approval_reminded",
    "approval_escalated",
    "signal_received",
    "fallback_started",
    "fallback_taken",
    "step_held",
    "step_resolved",
    "task_ending",
    "task_paused",
    "task_resumed",
    "attempt_started",
    "attempt_failed",
    "step_succeeded",
    "step_failed",
    "step_cancelled",
    "reply_conflicted",
    "cancel_requested",
    "task_succeeded",
    "task_failed",
    "task_cancelled",
    "step_kept",
    "task_admitted",
    "approval_commented",
];

#[test]
fn every_promise_holds_after_every_event_and_the_task_ends_once_faults_are_over() {
    let cases = std::env::var("TASKER_PROMISES_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(4_000);
    let mut runner = TestRunner::new(Config { cases, ..Config::default() });
    let seen: RefCell<BTreeMap<&'static str, u32>> = RefCell::default();
    let outcome = runner.run(&(workflows::workflow(), moves()), |((workflow, input), moves)| {
        let Some(mut world) = World::new(&workflow, &input) else { return Err(TestCaseError::reject("no deadline")) };
        for chosen in moves {
            world.play(chosen);
        }
        world.heal();
        world.retry();
        for event in world.events() {
            *seen.borrow_mut().entry(event.name()).or_default() += 1;
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    let seen = seen.into_inner();
    let rare: Vec<_> = EVENTS.iter().filter(|name| seen.get(*name).copied().unwrap_or_default() < cases / 200).collect();
    assert!(rare.is_empty(), "these hardly ever happened: {rare:?}\n{seen:#?}");
}
