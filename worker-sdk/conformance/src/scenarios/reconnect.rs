//! The server goes away and an empty one takes its place.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::scenario::scenarios;
use crate::stage::{Stage, success};
use crate::transcript::Mark;

/// How long there is no server: past the quick first attempts of a client library.
const DARK: Duration = Duration::from_millis(1500);

scenarios! { "reconnect";
    a_session_outlives_its_server,
    a_reply_that_met_no_server_is_delivered_later,
    a_running_handler_outlives_its_server,
}

async fn a_session_outlives_its_server(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    stage.still_serves().await?;
    let before = stage.hello().await?.session;
    let mark = stage.mark();
    stage.server.replace(DARK).await?;
    let hello = stage.hello_since(mark, Duration::from_secs(25)).await.context("after the reconnect the worker must say hello")?;
    ensure!(hello.session == before, "the session changed");
    let mark = stage.mark();
    stage.welcome().await?;
    stage
        .said
        .wait("a poll after the welcome", mark, crate::stage::WAIT, |said| said.iter().find_map(|entry| entry.said.poll().cloned()))
        .await?;
    stage.still_serves().await
}

async fn a_reply_that_met_no_server_is_delivered_later(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let request = stage.ask("conformance.count", json!({ "key": "k", "ms": 600 })).await?;
    stage.beat("that holds the attempt", Mark::START, |beat| !beat.held.is_empty()).await?;
    let mark = stage.mark();
    stage.server.replace(DARK).await?;
    let hello = stage.hello_since(mark, Duration::from_secs(25)).await?;
    ensure!(hello.held.iter().any(|held| held.token == request.token), "the hello after the reconnect does not hold the attempt");
    stage.welcome().await?;
    let result = success(&stage.reply_since(&request, mark).await?)?;
    ensure!(result == json!({ "runs": 1 }), "the handler ran again: {result}");
    Ok(())
}

async fn a_running_handler_outlives_its_server(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let request = stage.ask("conformance.stubborn", json!({ "ms": 5000 })).await?;
    stage.beat("that holds the attempt", Mark::START, |beat| !beat.held.is_empty()).await?;
    let mark = stage.mark();
    stage.server.replace(DARK).await?;
    stage.hello_since(mark, Duration::from_secs(25)).await?;
    stage.welcome().await?;
    let result = success(&stage.reply_since(&request, mark).await?)?;
    ensure!(result["slept_ms"].as_u64().is_some_and(|slept| (4900..30_000).contains(&slept)), "the handler was disturbed: {result}");
    Ok(())
}
