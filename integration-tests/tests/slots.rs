//! Steps that take more than one slot, through real workers: they get their slots, they are not starved, and old workers go on.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tasker_integration_tests::api::{Api, instant, step};
use tasker_integration_tests::coordinator::Setup;
use tasker_integration_tests::scripted::{Introduction, Play, ScriptedWorker};
use tasker_integration_tests::stage::{Language, on_stage};
use tasker_integration_tests::until::{SOON, until_true};

/// Cheap steps that end at different times, so that slots come free one by one.
const CHEAP: usize = 120;

/// The heavy handler of the conformance worker says itself that it takes two slots; for the stubborn one the manifest says four.
const MANIFEST: &str = r#"
name: WORKFLOW
version: 1.0.0
input: { type: object, properties: { ms: { type: integer } }, required: [ms] }
systems:
  mill:
    capabilities:
      - conformance.sleep
      - conformance.heavy
      - { name: conformance.stubborn, slot_cost: 4 }
workflow_steps: [{ name: work, owner: mill, capability: CAPABILITY, input: { ms: "${ task.input.ms }" } }]
"#;

async fn apply(api: &Api, workflow: &str, capability: &str) -> Result<()> {
    api.apply(&MANIFEST.replace("WORKFLOW", workflow).replace("CAPABILITY", capability)).await?;
    Ok(())
}

fn started(task: &Value) -> Result<i64> {
    instant(step(task, "work")?["attempts"].as_array().context("attempts")?.last().context("an attempt")?, "started_at")
}

#[test]
fn a_step_that_needs_every_slot_is_not_starved_by_cheap_ones() {
    on_stage(async |stage| {
        let mut coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        for (workflow, capability) in [("cheap", "conformance.sleep"), ("heavy", "conformance.heavy"), ("whole", "conformance.stubborn")] {
            apply(&api, workflow, capability).await?;
        }
        let _worker = coordinator.worker_with(stage, Language::Rust, "mill", &[("TASKER_SLOTS", "4")]).await?;
        let workers = api.workers().await?;
        ensure!(workers[0]["slot_costs"] == json!({ "conformance.heavy": 2, "conformance.stubborn": 4 }), "{workers:#?}");

        let mut cheap = Vec::new();
        for number in 0..CHEAP {
            cheap.push(api.submit("cheap", json!({ "ms": 80 + 17 * (number % 7) })).await?);
        }
        let whole = api.submit("whole", json!({ "ms": 50 })).await?;
        let heavy = api.submit("heavy", json!({ "ms": 50 })).await?;
        until_true("why says how many slots are missing", SOON, async || {
            let said = api.why(&whole).await?;
            let over = api.task(&whole).await?["status"] == "succeeded";
            ensure!(!over, "the step was given out before anybody could ask: make the flood larger");
            Ok(said.contains("waits for 4 free slots of one worker"))
        })
        .await?;
        let (whole, heavy) = (api.finished_as(&whole, "succeeded").await?, api.finished_as(&heavy, "succeeded").await?);
        let mut last = 0;
        let mut accepted = vec![];
        for id in &cheap {
            let task = api.finished_as(id, "succeeded").await?;
            last = last.max(started(&task)?);
            accepted.push(id.clone());
        }
        ensure!(started(&whole)? < last && started(&heavy)? < last, "cheap steps that came earlier and later all went first: starved");
        coordinator.stop().await?;
        coordinator.check(stage, &accepted).await?;
        Ok(())
    });
}

#[test]
fn a_worker_that_counts_no_costs_takes_as_many_attempts_as_it_has_slots() {
    on_stage(async |stage| {
        let mut coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        apply(&api, "whole", "conformance.stubborn").await?;
        let introduction = Introduction::new("mill", "conformance.stubborn", "old-worker-1").slots(2);
        let worker = ScriptedWorker::join(&coordinator.setup().worker_url(), &api, introduction, |_| Play::Hold).await?;
        let mut accepted = Vec::new();
        for _ in 0..3 {
            accepted.push(api.submit("whole", json!({ "ms": 1 })).await?);
        }
        until_true("both slots are taken", SOON, async || Ok(worker.taken().len() == 2)).await?;
        ensure!(worker.taken().iter().all(|request| request.slot_cost == 1), "an old worker is told nothing else than what it counts");
        worker.finish().await?;
        until_true("the third was sent", SOON, async || Ok(worker.taken().len() == 3)).await?;
        worker.finish().await?;
        for id in &accepted {
            api.finished_as(id, "succeeded").await?;
        }
        coordinator.stop().await?;
        coordinator.check(stage, &accepted).await?;
        Ok(())
    });
}
