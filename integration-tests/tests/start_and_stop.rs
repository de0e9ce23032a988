//! Starting, stopping in order, and going on afterwards, as one process and with the real binary.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::time::{Duration, Instant};
use tasker_integration_tests::api::{Api, step};
use tasker_integration_tests::coordinator::Setup;
use tasker_integration_tests::stage::{Language, Stage, on_stage};
use tasker_integration_tests::until::{SOON, until_true};
use tasker_integration_tests::{place, ports};

/// From the start of the process to the first answer of `/readyz`.
const READY_MAX: Duration = Duration::from_millis(200);
/// Starts that are tried: the machine may be doing something else during some of them.
const STARTS: usize = 5;

const NAP: &str = "
name: nap
version: 1.0.0
systems: { sleeper: {}, echoer: {} }
workflow_steps:
  - { name: sleep, owner: sleeper, capability: conformance.sleep, input: { ms: '${ task.input.ms }' } }
  - { name: tell, owner: echoer, capability: conformance.echo, depends_on: sleep, input: { text: done, number: '${ steps.sleep.result.slept_ms }' } }
";

/// How long `tasker dev` takes to answer `/readyz`, measured from before its process exists.
async fn dev_start(stage: &Stage, data: Option<&str>) -> Result<Duration> {
    let (http, nats) = (ports::free(), ports::free());
    let mut arguments = ["dev", "--http-port", &http.to_string(), "--nats-port", &nats.to_string()].map(str::to_owned).to_vec();
    arguments.extend(data.into_iter().flat_map(|data| ["--data".to_owned(), data.to_owned()]));
    let api = Api::new(http);
    let mut process = stage.start("tasker dev", &place::tasker(), &arguments, &[])?;
    let deadline = process.started + SOON;
    while !api.is_ready().await {
        ensure!(process.is_running() && Instant::now() < deadline, "`tasker dev` is not ready");
        tokio::task::yield_now().await;
    }
    let took = process.started.elapsed();
    ensure!(process.stop(SOON).await? == 0, "`tasker dev` did not stop with success");
    process.read_to_end();
    let said = process.log().lines().join("\n");
    for expected in [format!("http://127.0.0.1:{http}"), format!("nats://127.0.0.1:{nats}"), "/docs".to_owned()] {
        ensure!(said.contains(&expected), "the banner does not say `{expected}`:\n{said}");
    }
    Ok(took)
}

#[test]
fn dev_answers_readyz_in_under_200_ms() {
    on_stage(async |stage| {
        let data = stage.path("data").display().to_string();
        // Throw-away data and kept data, new and existing.
        for data in [None, Some(data.as_str())] {
            let mut took = Vec::new();
            for _ in 0..STARTS {
                took.push(dev_start(stage, data).await?);
            }
            let best = took.iter().min().context("at least one start")?;
            ensure!(*best < READY_MAX, "data {data:?}: the best of {took:?} is not under {READY_MAX:?}");
        }
        Ok(())
    });
}

#[test]
fn dev_throws_its_data_away_and_keeps_what_it_is_told_to_keep() {
    on_stage(async |stage| {
        let temporary = stage.path("tmp");
        std::fs::create_dir(&temporary)?;
        let arguments = ["dev", "--http-port", "0", "--nats-port", "0"].map(str::to_owned);
        let directory = temporary.display().to_string();
        let mut process = stage.start("tasker dev", &place::tasker(), &arguments, &[("TMPDIR", &directory)])?;
        let holds = || Ok(std::fs::read_dir(&temporary)?.count() > 0);
        until_true("the throw-away database is there", SOON, async || holds()).await?;
        until_true("the banner is printed", SOON, async || Ok(process.log().lines().iter().any(|line| line.contains("thrown away"))))
            .await?;
        ensure!(process.stop(SOON).await? == 0);
        ensure!(!holds()?, "the throw-away data is still there after the end");
        let data = stage.path("kept/deep");
        dev_start(stage, Some(&data.display().to_string())).await?;
        ensure!(data.join("tasker.db").exists(), "the data that should be kept is gone");
        Ok(())
    });
}

#[test]
fn a_stop_lets_open_attempts_finish_and_a_restart_continues() {
    on_stage(async |stage| {
        let mut coordinator = Setup::embedded(stage).start(stage).await?;
        let _sleeper = coordinator.worker(stage, Language::Python, "sleeper").await?;
        let api = coordinator.api.clone();
        api.apply(NAP).await?;
        let id = api.submit("nap", json!({ "ms": 1500 })).await?;
        api.step_in(&id, "sleep", "running").await?;
        // Stopping waits for the attempt that runs; its result is committed by the process that is stopped.
        coordinator.stop().await?;
        coordinator.start_again(stage).await?;
        let task = api.task(&id).await?;
        let slept = step(&task, "sleep")?;
        ensure!(slept["state"] == "succeeded" && slept["attempt"] == 1, "the attempt was not waited for: {task:#}");
        ensure!(slept["attempts"].as_array().is_some_and(|attempts| attempts.len() == 1), "the attempt was repeated: {task:#}");
        // Only now is there somebody for the second step: the task goes on where it was.
        let _echoer = coordinator.worker(stage, Language::TypeScript, "echoer").await?;
        api.finished_as(&id, "succeeded").await?;
        coordinator.stop().await?;
        coordinator.check(stage, &[id]).await?;
        Ok(())
    });
}

#[test]
fn a_stop_does_not_wait_longer_than_it_is_told_and_the_attempt_goes_on_afterwards() {
    on_stage(async |stage| {
        let mut coordinator = Setup::embedded(stage).with("TASKER_DRAIN_TIMEOUT", "300ms").start(stage).await?;
        let _sleeper = coordinator.worker(stage, Language::Rust, "sleeper").await?;
        let _echoer = coordinator.worker(stage, Language::Rust, "echoer").await?;
        let api = coordinator.api.clone();
        api.apply(NAP).await?;
        let id = api.submit("nap", json!({ "ms": 4000 })).await?;
        api.step_in(&id, "sleep", "running").await?;
        let asked = Instant::now();
        coordinator.stop().await?;
        ensure!(asked.elapsed() < Duration::from_millis(3500), "the stop took {:?}, as long as the attempt", asked.elapsed());
        coordinator.start_again(stage).await?;
        // The worker has kept the attempt and its result; nothing is run twice.
        let task = api.finished_as(&id, "succeeded").await?;
        ensure!(step(&task, "sleep")?["attempt"] == 1, "the attempt was repeated although its worker held it: {task:#}");
        coordinator.stop().await?;
        coordinator.check(stage, &[id]).await?;
        Ok(())
    });
}

#[test]
fn a_stop_does_not_wait_for_a_step_that_nobody_has_taken() {
    on_stage(async |stage| {
        let mut coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(NAP).await?;
        let id = api.submit("nap", json!({ "ms": 1 })).await?;
        until_true("somebody was looked for", SOON, async || {
            let why = api.get(&format!("/v1/tasks/{id}/why")).await?.ok()?;
            Ok(why["items"][0]["text"].as_str().is_some_and(|text| text.contains("no plain responder answered")))
        })
        .await?;
        let asked = Instant::now();
        coordinator.stop().await?;
        ensure!(asked.elapsed() < Duration::from_secs(3), "the stop waited {:?} for nobody", asked.elapsed());
        Ok(())
    });
}

#[test]
fn while_it_drains_submissions_are_refused_and_readiness_is_withdrawn() {
    on_stage(async |stage| {
        let mut coordinator = Setup::embedded(stage).start(stage).await?;
        let _sleeper = coordinator.worker(stage, Language::TypeScript, "sleeper").await?;
        let api = coordinator.api.clone();
        api.apply(NAP).await?;
        let id = api.submit("nap", json!({ "ms": 3000 })).await?;
        api.step_in(&id, "sleep", "running").await?;
        coordinator.process.terminate()?;
        until_true("readiness is withdrawn", SOON, async || Ok(api.get("/readyz").await?.status == 503)).await?;
        api.submit_with_key("nap", &json!({ "ms": 1 }), "late").await?.problem(503, "coordinator.draining")?;
        ensure!(api.get("/livez").await?.status == 200, "it still lives");
        let status = coordinator.process.ended(SOON).await?;
        ensure!(status.code() == Some(0), "it ended with {status}");
        Ok(())
    });
}

#[test]
fn a_worker_that_is_stopped_finishes_what_it_holds() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).start(stage).await?;
        let api = &coordinator.api;
        api.apply(NAP).await?;
        let _echoer = coordinator.worker(stage, Language::Rust, "echoer").await?;
        for language in Language::ALL {
            let mut sleeper = coordinator.worker(stage, language, "sleeper").await?;
            let id = api.submit("nap", json!({ "ms": 1200 })).await?;
            api.step_in(&id, "sleep", "running").await?;
            let code = sleeper.stop(SOON).await?;
            ensure!(code == 0, "the worker in {language:?} ended with {code}");
            let task = api.finished_as(&id, "succeeded").await?;
            ensure!(step(&task, "sleep")?["attempt"] == 1, "{language:?}: the attempt was lost: {task:#}");
            until_true("the worker is gone", SOON, async || Ok(!api.workers().await?.iter().any(|worker| worker["system"] == "sleeper")))
                .await?;
        }
        Ok(())
    });
}
