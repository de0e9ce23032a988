//! What a worker says about itself while it works.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tasker_proto::worker::v1::SessionState;

use crate::scenario::scenarios;
use crate::stage::{HEARTBEAT, Stage, WAIT, success};
use crate::transcript::{Entry, Mark};

scenarios! { "beats";
    a_worker_beats_at_the_period_it_was_told,
    a_beat_lists_running_attempts_by_name_and_token,
    a_beat_carries_the_latest_progress,
    a_worker_that_holds_nothing_beats_all_the_same,
}

async fn a_worker_beats_at_the_period_it_was_told(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let mark = stage.mark();
    let beats = |said: &[Entry]| -> Option<Vec<Entry>> {
        let beats: Vec<Entry> = said.iter().filter(|entry| entry.said.beat().is_some()).cloned().collect();
        (beats.len() >= 9).then_some(beats)
    };
    let beats = stage.said.wait("nine beats", mark, WAIT, beats).await?;
    let span = beats[8].at - beats[0].at;
    ensure!(span >= HEARTBEAT.mul_f64(8.0 * 0.7) && span <= HEARTBEAT.mul_f64(8.0 * 2.0), "eight periods of {HEARTBEAT:?} took {span:?}");
    Ok(())
}

async fn a_beat_lists_running_attempts_by_name_and_token(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let requests: Vec<_> = (0..2).map(|_| stage.request("conformance.sleep", json!({ "ms": 20_000 }))).collect();
    stage.send(&requests).await?;
    let beat = stage.beat("that holds both attempts", Mark::START, |beat| beat.held.len() == 2).await?;
    ensure!(beat.state() == SessionState::Active, "the state is {}", beat.state().as_str_name());
    for request in &requests {
        let held = beat.held.iter().find(|held| held.token == request.token).context("an attempt is missing")?;
        ensure!(held.task_id == request.task_id && held.step_name == request.step_name && held.attempt == 1, "an attempt is misnamed");
        ensure!(held.progress.is_empty(), "there is progress that no handler gave");
    }
    Ok(())
}

async fn a_beat_carries_the_latest_progress(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let request = stage.ask("conformance.progress", json!({ "of": 8, "every_ms": 150 })).await?;
    let result = success(&stage.reply(&request).await?)?;
    ensure!(result == json!({ "done": 8 }), "the result is {result}");
    let mut steps = Vec::new();
    for entry in stage.said.since(Mark::START) {
        let held = entry.said.beat().and_then(|beat| beat.held.iter().find(|held| held.token == request.token).cloned());
        if let Some(held) = held.filter(|held| !held.progress.is_empty()) {
            let progress: Value = serde_json::from_slice(&held.progress).context("progress is not JSON")?;
            ensure!(progress["of"] == json!(8), "progress is {progress}");
            steps.push(progress["done"].as_u64().context("progress has no `done`")?);
        }
    }
    ensure!(steps.len() >= 2, "only {} beats carried progress", steps.len());
    ensure!(steps.windows(2).all(|pair| pair[0] <= pair[1]), "progress went back: {steps:?}");
    ensure!(steps.last() > steps.first(), "progress never changed: {steps:?}");
    Ok(())
}

async fn a_worker_that_holds_nothing_beats_all_the_same(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let mark = stage.mark();
    tokio::time::sleep(HEARTBEAT * 3 + Duration::from_millis(100)).await;
    let beat = stage.beat("of an idle worker", mark, |_| true).await?;
    ensure!(beat.held.is_empty(), "an idle worker holds {} attempts", beat.held.len());
    let credit = beat.credit.context("the beat has no credit")?;
    ensure!(credit.free == stage.setup.slots, "an idle worker has {} free slots of {}", credit.free, stage.setup.slots);
    Ok(())
}
