//! The checker that the other tests rely on sees what it should: a database that was tampered with breaks the promise that it breaks.

use anyhow::{Result, ensure};
use serde_json::json;
use sqlx::{Connection, Executor, SqliteConnection};
use std::path::Path;
use tasker_integration_tests::coordinator::Setup;
use tasker_integration_tests::stage::{Language, Stage, on_stage};

const ECHO: &str = "
name: echo
version: 1.0.0
systems: { only: {} }
workflow_steps: [{ name: step, owner: only, capability: conformance.echo }]
";

/// Runs three tasks, of which the last is not over, and stops; returns their ids.
async fn three_tasks(stage: &Stage, setup: &Setup) -> Result<Vec<String>> {
    let mut coordinator = setup.start(stage).await?;
    let api = coordinator.api.clone();
    api.apply(ECHO).await?;
    let mut worker = coordinator.worker(stage, Language::Rust, "only").await?;
    let mut ids = Vec::new();
    for number in 0..2 {
        let id = api.submit("echo", json!({ "text": "x", "number": number })).await?;
        api.finished_as(&id, "succeeded").await?;
        ids.push(id);
    }
    worker.stop(tasker_integration_tests::until::SOON).await?;
    ids.push(api.submit("echo", json!({ "text": "x", "number": 2 })).await?);
    coordinator.stop().await?;
    Ok(ids)
}

async fn change(database: &Path, statement: &'static str) -> Result<()> {
    let mut connection = SqliteConnection::connect(&format!("sqlite:{}", database.display())).await?;
    let changed = connection.execute(statement).await?.rows_affected();
    ensure!(changed == 1, "`{statement}` changed {changed} rows");
    Ok(connection.close().await?)
}

/// Runs the checker on a copy of the database that was changed, and returns its exit code and what it said.
async fn check_changed(stage: &Stage, name: &str, statement: Option<&'static str>, more: &[&str]) -> Result<(Option<i32>, String)> {
    let copy = stage.path(name);
    // The database was closed in order, so that everything is in the one file.
    std::fs::copy(stage.path("tasker.db"), &copy)?;
    if let Some(statement) = statement {
        change(&copy, statement).await?;
    }
    let url = format!("sqlite:{}", copy.display());
    stage.tasker(&[&["debug", "check", "--database-url", &url], more].concat()).await
}

#[test]
fn the_checker_names_the_promise_that_was_broken() {
    on_stage(async |stage| {
        let setup = Setup::embedded(stage);
        let ids = three_tasks(stage, &setup).await?;
        let (code, said) = check_changed(stage, "whole.db", None, &[]).await?;
        ensure!(code == Some(0) && !said.contains("BROKEN"), "the untouched database: {code:?}\n{said}");

        // A task that is not over, when all should be; an acknowledged task that is not there.
        let (code, said) = check_changed(stage, "open.db", None, &["--all-finished"]).await?;
        ensure!(code == Some(1) && said.contains("BROKEN  P9") && said.contains(&ids[2]), "{code:?}\n{said}");
        let missing = format!("{}z", &ids[0][..ids[0].len() - 1]);
        let accepted = stage.path("more.txt");
        std::fs::write(&accepted, format!("{}\n{missing}\n", ids[0]))?;
        let (code, said) = check_changed(stage, "more.db", None, &["--accepted", &accepted.display().to_string()]).await?;
        ensure!(code == Some(1) && said.contains("BROKEN  P1") && said.contains(&missing), "{code:?}\n{said}");

        // A row that is gone from the middle of the journal.
        let gone = "DELETE FROM journal WHERE sequence = 2";
        let (code, said) = check_changed(stage, "gone.db", Some(gone), &[]).await?;
        ensure!(code == Some(1) && said.contains("BROKEN  P19"), "{code:?}\n{said}");
        // A row that the disk has changed.
        let damaged = "UPDATE journal SET entry = zeroblob(length(entry)) WHERE sequence = 2";
        let (code, said) = check_changed(stage, "damaged.db", Some(damaged), &[]).await?;
        ensure!(code == Some(1) && said.contains("store.unreadable"), "{code:?}\n{said}");
        Ok(())
    });
}

/// What the checker says of three tasks and a log that contradicts them; ids are replaced, and what was counted is left out.
const CONTRADICTED: &str = "  BROKEN  P1   every accepted task is there: 1 violations
            <lost> was acknowledged, but is not in the journal
  BROKEN  P2   no idempotency key leads to two tasks: 1 violations
            key `k` was answered with <first> and with <second>
  kept    P3   what was refused was not done
  kept    P4   dependencies first
  BROKEN  P6   one result per attempt: 1 violations
            <first>: the reply of attempt 2 of `step` was acknowledged, but is not in the journal
  kept    P7   one open attempt per step
  BROKEN  P8   late replies change nothing: 1 violations
            <second>: attempt 1 of `step` was answered as stale, but brought the result
  kept    P9   exactly one terminal state per task
  kept    P12  nothing is stuck
  kept    P14  timers fire once and never early
  kept    P16  results fit their contracts
  kept    P17  every task is pinned to a stored workflow
  kept    P19  histories are complete and fold to a state";

#[test]
fn a_clients_log_is_held_against_the_database() {
    on_stage(async |stage| {
        let setup = Setup::embedded(stage);
        let ids = three_tasks(stage, &setup).await?;
        let log = stage.path("client.jsonl");
        let named = log.display().to_string();
        let check = async |lines: &[serde_json::Value]| {
            let text: Vec<String> = lines.iter().map(serde_json::Value::to_string).collect();
            std::fs::write(&log, text.join("\n"))?;
            check_changed(stage, "log.db", None, &["--client-log", &named]).await
        };
        let submitted =
            |key: &str, id: &str| json!({ "op": "submit", "key": key, "t_start": 1, "t_end": 2, "outcome": "accepted", "id": id });
        let replied = |id: &str, attempt: u32, outcome: &str| json!({ "op": "reply", "id": id, "step": "step", "attempt": attempt, "outcome": outcome });

        let (code, said) = check(&[submitted("a", &ids[0]), replied(&ids[0], 1, "recorded"), submitted("b", &ids[2])]).await?;
        ensure!(code == Some(0) && !said.contains("BROKEN"), "a log that agrees: {code:?}\n{said}");

        let lost = format!("{}z", &ids[0][..ids[0].len() - 1]);
        let contradicting = [
            submitted("k", &ids[0]),
            submitted("k", &ids[1]),
            submitted("l", &lost),
            replied(&ids[0], 2, "recorded"),
            replied(&ids[1], 1, "stale"),
        ];
        let (code, said) = check(&contradicting).await?;
        let shown = said.replace(&lost, "<lost>").replace(&ids[0], "<first>").replace(&ids[1], "<second>");
        let promises: Vec<&str> = shown.lines().filter(|line| line.starts_with("  ")).collect();
        ensure!(code == Some(1) && promises.join("\n") == CONTRADICTED, "{code:?}\n{shown}");

        let (code, said) = check(&[json!({ "op": "submit" })]).await?;
        ensure!(
            code == Some(1) && said.contains("file.malformed") && said.contains("line 1"),
            "a log that cannot be read: {code:?}\n{said}"
        );
        Ok(())
    });
}
