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
