//! What fails again and again is left alone and tried carefully; what demands a build or a label waits for it; what is drained gets nothing new.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tasker_integration_tests::api::{Api, instant, step};
use tasker_integration_tests::coordinator::{Coordinator, Setup};
use tasker_integration_tests::scripted::{Introduction, Play, ScriptedWorker};
use tasker_integration_tests::stage::{Language, Stage, on_stage};
use tasker_integration_tests::until::{SOON, until, until_true};

/// A step that is tried often, and one that depends on it.
const FRAGILE: &str = "
name: fragile
version: 1.0.0
systems:
  bank:
    capabilities:
      - name: card.charge
        breaker: { failures: 3, window: 30s, open_for: 1s, probes: 1 }
  shop: {}
workflow_steps:
  - name: charge
    owner: bank
    capability: card.charge
    retry: { kind: fixed, base: 1ms, jitter: none, max_attempts: 20 }
  - { name: ship, owner: shop, capability: parcel.ship, depends_on: charge }
";

fn routed(name: &str, route: &str) -> String {
    format!(
        "name: {name}\nversion: 1.0.0\nsystems: {{ bank: {{}} }}\nworkflow_steps:\n  - {{ name: charge, owner: bank, capability: card.charge{route} }}\n"
    )
}

fn bank(session: &str) -> Introduction {
    Introduction::new("bank", "card.charge", session)
}

async fn charge_breaker(api: &Api) -> Result<Value> {
    Ok(api.get("/v1/capabilities/bank/card.charge").await?.ok()?["breaker"].clone())
}

/// Waits until the breaker is in a state, and returns how it looks then.
async fn breaker_in(api: &Api, state: &str) -> Result<Value> {
    until(&format!("the breaker is {state}"), SOON, async || {
        let breaker = charge_breaker(api).await?;
        Ok((breaker["state"] == state).then_some(breaker))
    })
    .await
}

/// Whether the page shows a line, or does so soon: it may be a second old.
async fn metric(api: &Api, line: &str) -> Result<bool> {
    let shown = until_true(line, SOON, async || {
        let page = api.get("/metrics").await?.ok()?;
        Ok(page.as_str().is_some_and(|page| page.lines().any(|found| found == line)))
    });
    Ok(shown.await.is_ok())
}

/// Why a step of a task waits, in words.
async fn why(api: &Api, id: &str, name: &str) -> Result<String> {
    let reasons = api.get(&format!("/v1/tasks/{id}/why")).await?.ok()?;
    let reason = reasons["items"].as_array().into_iter().flatten().find(|reason| reason["step"] == name);
    Ok(reason.with_context(|| format!("nothing about `{name}` in {reasons:#}"))?["text"].as_str().unwrap_or_default().to_owned())
}

async fn submit_many(api: &Api, workflow: &str, inputs: impl IntoIterator<Item = Value>) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for input in inputs {
        ids.push(api.submit(workflow, input).await?);
    }
    Ok(ids)
}

async fn all_succeed(api: &Api, ids: &[String]) -> Result<()> {
    for id in ids {
        api.finished_as(id, "succeeded").await?;
    }
    Ok(())
}

async fn stop_and_check(stage: &Stage, mut coordinator: Coordinator, accepted: &[String]) -> Result<()> {
    coordinator.stop().await?;
    coordinator.check(stage, accepted).await?;
    Ok(())
}

#[test]
fn a_failing_capability_opens_its_breaker_and_what_waits_burns_no_attempt() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).start(stage).await?;
        let (api, url) = (coordinator.api.clone(), coordinator.setup().worker_url());
        api.apply(FRAGILE).await?;
        let ill = Arc::new(AtomicBool::new(true));
        let illness = ill.clone();
        let play = move |_: &_| if illness.load(Ordering::SeqCst) { Play::Fail } else { Play::Succeed };
        let charging = ScriptedWorker::join(&url, &api, bank("bank-worker-1").slots(4), play).await?;
        let _shop = ScriptedWorker::join(&url, &api, Introduction::new("shop", "parcel.ship", "shop-worker-1"), |_| Play::Succeed).await?;
        ensure!(charge_breaker(&api).await?["state"] == "closed", "it starts closed");

        // Three failures of one task open it for all.
        let mut ids = vec![api.submit("fragile", json!({})).await?];
        let opened = breaker_in(&api, "open").await?;
        ensure!(opened["opened"] == 1 && opened["override"] == "auto" && opened["policy"]["failures"] == 3, "{opened:#}");
        let pause = instant(&opened, "next_probe_at")? - instant(&opened, "since")?;
        ensure!(pause == 1_000, "it is open for {pause} ms: {opened:#}");
        ids.extend(submit_many(&api, "fragile", (0..5).map(|number| json!({ "number": number }))).await?);

        // The first probe fails: twice as long. Nothing else was tried.
        let again = until("a probe has failed", SOON, async || {
            let breaker = charge_breaker(&api).await?;
            Ok((breaker["opened"] == 2 && breaker["state"] == "open").then_some(breaker))
        })
        .await?;
        let pause = instant(&again, "next_probe_at")? - instant(&again, "since")?;
        ensure!(pause == 2_000, "it is open for {pause} ms: {again:#}");
        ensure!(charging.taken().len() == 4, "{} attempts: three failures and a probe", charging.taken().len());
        for id in &ids[1..] {
            let task = api.task(id).await?;
            let waiting = step(&task, "charge")?;
            let attempts = waiting["attempts"].as_array().map_or(0, Vec::len);
            ensure!(waiting["state"] == "ready" && attempts == 0, "no attempt is burnt: {task:#}");
            ensure!(step(&task, "ship")?["state"] == "pending", "{task:#}");
        }
        let reason = why(&api, &ids[1], "charge").await?;
        ensure!(reason.starts_with("the breaker of `card.charge` is ") && reason.contains("steps are parked"), "{reason}");
        ensure!(
            metric(&api, r#"tasker_breaker_opened_total{namespace="default",system="bank",capability="card.charge"} 2"#).await?,
            "no figure"
        );

        // Well again: the next probe closes it, and everything goes.
        ill.store(false, Ordering::SeqCst);
        all_succeed(&api, &ids).await?;
        let closed = breaker_in(&api, "closed").await?;
        ensure!(closed["opened"] == 2 && closed["next_probe_at"].is_null(), "{closed:#}");
        ensure!(metric(&api, r#"tasker_breaker_state{namespace="default",system="bank",capability="card.charge"} 0"#).await?, "no figure");
        ensure!(charging.taken().len() == 4 + ids.len(), "{} attempts", charging.taken().len());
        let attempts: usize = {
            let mut attempts = 0;
            for id in &ids[1..] {
                attempts += step(&api.task(id).await?, "charge")?["attempts"].as_array().map_or(0, Vec::len);
            }
            attempts
        };
        ensure!(
            attempts <= ids.len(),
            "{attempts} attempts for {} tasks that waited: one of them was the failed probe at most",
            ids.len() - 1
        );
        stop_and_check(stage, coordinator, &ids).await
    });
}

#[test]
fn an_operator_opens_and_closes_a_breaker_from_the_command_line() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).start(stage).await?;
        let (api, url) = (coordinator.api.clone(), coordinator.setup().worker_url());
        let server = format!("http://127.0.0.1:{}", coordinator.setup().http_port);
        api.apply(&routed("plain", "")).await?;
        let worker = ScriptedWorker::join(&url, &api, bank("bank-worker-1"), |_| Play::Succeed).await?;
        let order = async |demand: &str| -> Result<String> {
            let (code, said) = stage.tasker(&["--server", &server, "capability", "breaker", "bank", "card.charge", demand]).await?;
            ensure!(code == Some(0), "{said}");
            Ok(said)
        };
        ensure!(order("open").await?.contains("by an operator's order"), "it says who opened it");
        let id = api.submit("plain", json!({})).await?;
        until_true("the reason names the operator", SOON, async || {
            Ok(why(&api, &id, "charge").await?.contains("was opened by an operator") && charge_breaker(&api).await?["override"] == "open")
        })
        .await?;
        ensure!(worker.taken().is_empty(), "{:?}", worker.taken());
        let (_, listed) = stage.tasker(&["--server", &server, "capability", "list"]).await?;
        ensure!(listed.lines().any(|line| line.contains("card.charge") && line.contains("open")), "{listed}");
        ensure!(order("auto").await?.contains("no breaker"), "without a policy nothing is left of it");
        api.finished_as(&id, "succeeded").await?;

        let unknown = api.post("/v1/capabilities/bank/card.refund/breaker", &json!({ "override": "open" })).await?;
        unknown.problem(404, "capability.unknown")?;
        let nonsense = api.post("/v1/capabilities/bank/card.charge/breaker", &json!({ "override": "ajar" })).await?;
        nonsense.problem(400, "request.malformed")?;
        stop_and_check(stage, coordinator, &[id]).await
    });
}

#[test]
fn a_route_waits_for_the_build_and_the_labels_it_demands() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).start(stage).await?;
        let (api, url) = (coordinator.api.clone(), coordinator.setup().worker_url());
        api.apply(&routed("european", ", route: { version: '>=2, <3', labels: { region: eu } }")).await?;
        api.apply(&routed("anywhere", "")).await?;
        let others = [
            ScriptedWorker::join(&url, &api, bank("old-european").version("1.9.0").label("region", "eu").slots(4), |_| Play::Succeed)
                .await?,
            ScriptedWorker::join(&url, &api, bank("new-american").version("2.1.0").label("region", "us").slots(4), |_| Play::Succeed)
                .await?,
            ScriptedWorker::join(&url, &api, bank("unversioned").label("region", "eu").slots(4), |_| Play::Succeed).await?,
        ];
        let mut ids = submit_many(&api, "european", (0..10).map(|number| json!({ "number": number }))).await?;
        let reason = until("the reason names the route", SOON, async || {
            let reason = why(&api, &ids[0], "charge").await?;
            Ok(reason.contains("with version >=2, <3 and region=eu").then_some(reason))
        })
        .await?;
        ensure!(reason.contains("3 offer `card.charge`, none of them is that") && reason.contains("1.9.0 region=eu"), "{reason}");
        // The same workers take what demands nothing while the others wait.
        let free = submit_many(&api, "anywhere", (0..6).map(|number| json!({ "number": number }))).await?;
        all_succeed(&api, &free).await?;
        ensure!(others.iter().flat_map(ScriptedWorker::taken).all(|request| request.workflow_name == "anywhere"), "a route was broken");

        let fitting = bank("new-european").version("2.1.0").label("region", "eu").label("gpu", "none").slots(4);
        let fitting = ScriptedWorker::join(&url, &api, fitting, |_| Play::Succeed).await?;
        all_succeed(&api, &ids).await?;
        ensure!(fitting.taken().iter().filter(|request| request.workflow_name == "european").count() == 10, "{:?}", fitting.taken());
        ensure!(others.iter().flat_map(ScriptedWorker::taken).all(|request| request.workflow_name == "anywhere"), "a route was broken");
        ids.extend(free);
        stop_and_check(stage, coordinator, &ids).await
    });
}

#[test]
fn workers_of_every_sdk_are_routed_to_by_their_labels() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        let mut workers = Vec::new();
        for language in Language::ALL {
            let labels = format!("language={}", language.name());
            workers.push(coordinator.worker_with(stage, language, "lab", &[("TASKER_LABELS", &labels)]).await?);
        }
        let mut ids = Vec::new();
        for language in Language::ALL.map(Language::name) {
            let route = format!("route: {{ labels: {{ language: {language} }} }}");
            api.apply(&format!(
                "name: to_{language}\nversion: 1.0.0\nsystems: {{ lab: {{}} }}\nworkflow_steps:\n  - {{ name: ask, owner: lab, capability: conformance.echo, {route} }}\n"
            ))
            .await?;
            for number in 0..4 {
                ids.push(api.submit(&format!("to_{language}"), json!({ "text": language, "number": number })).await?);
            }
        }
        all_succeed(&api, &ids).await?;
        let known = api.workers().await?;
        for id in &ids {
            let task = api.task(id).await?;
            let session = &step(&task, "ask")?["worker"];
            let worker = known.iter().find(|worker| worker["session"] == *session).with_context(|| format!("{task:#}"))?;
            let wanted = task["workflow"].as_str().and_then(|name| name.strip_prefix("to_")).unwrap_or_default();
            ensure!(worker["sdk"]["language"] == wanted && worker["labels"]["language"] == wanted, "{task:#} went to {worker:#}");
        }
        stop_and_check(stage, coordinator, &ids).await
    });
}

/// Which worker took each customer's steps.
fn by_customer(workers: &[ScriptedWorker]) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for worker in workers {
        for request in worker.taken() {
            let input: Value = serde_json::from_slice(&request.input).unwrap_or_default();
            let customer = input["customer"].as_str().unwrap_or_default().to_owned();
            found.entry(customer).or_default().insert(worker.session().to_owned());
        }
    }
    found
}

#[test]
fn steps_with_one_key_go_to_one_worker_for_as_long_as_it_lives() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).start(stage).await?;
        let (api, url) = (coordinator.api.clone(), coordinator.setup().worker_url());
        api.apply(&routed("kept", ", route: { sticky: '${ task.input.customer }' }")).await?;
        let mut workers = Vec::new();
        for session in ["worker-one", "worker-two", "worker-three"] {
            workers.push(ScriptedWorker::join(&url, &api, bank(session).slots(64), |_| Play::Succeed).await?);
        }
        let inputs = || (0..60).map(|number| json!({ "customer": format!("customer-{}", number % 20) }));
        let mut ids = submit_many(&api, "kept", inputs()).await?;
        all_succeed(&api, &ids).await?;
        let before = by_customer(&workers);
        ensure!(before.len() == 20 && before.values().all(|sessions| sessions.len() == 1), "a customer was torn apart: {before:?}");
        ensure!(workers.iter().all(|worker| !worker.taken().is_empty()), "one worker got nothing: {before:?}");

        // One leaves: its customers move, and no others.
        let gone = workers.remove(0);
        let session = gone.session().to_owned();
        gone.leave().await?;
        until_true("the worker is gone", SOON, async || Ok(api.workers().await?.len() == 2)).await?;
        let more = submit_many(&api, "kept", inputs()).await?;
        all_succeed(&api, &more).await?;
        for (customer, sessions) in by_customer(&workers) {
            ensure!(sessions.len() == 1, "{customer} was torn apart: {sessions:?}");
            ensure!(before[&customer] == sessions || before[&customer].contains(&session), "{customer} moved without need: {sessions:?}");
        }
        ids.extend(more);
        stop_and_check(stage, coordinator, &ids).await
    });
}

#[test]
fn a_step_waits_a_while_for_the_worker_it_prefers_and_then_takes_any() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).start(stage).await?;
        let (api, url) = (coordinator.api.clone(), coordinator.setup().worker_url());
        api.apply(&routed("kept", ", route: { sticky: '${ task.input.customer }' }")).await?;
        let holding = |_: &_| Play::Hold;
        let workers = [
            ScriptedWorker::join(&url, &api, bank("worker-one"), holding).await?,
            ScriptedWorker::join(&url, &api, bank("worker-two"), holding).await?,
        ];
        let taken = async |count: usize| {
            until_true(&format!("{count} steps are taken"), SOON, async || {
                Ok(workers.iter().map(|worker| worker.taken().len()).sum::<usize>() == count)
            })
            .await
        };
        let first = api.submit("kept", json!({ "customer": "one and only" })).await?;
        taken(1).await?;
        let second = api.submit("kept", json!({ "customer": "one and only" })).await?;
        until_true("the reason names the preferred worker", SOON, async || {
            Ok(why(&api, &second, "charge").await?.contains("which its sticky key prefers"))
        })
        .await?;
        taken(2).await?;
        let task = api.task(&second).await?;
        let attempt = &step(&task, "charge")?["attempts"][0];
        let waited = Duration::from_millis(u64::try_from(instant(attempt, "started_at")? - instant(&task, "accepted_at")?)?);
        ensure!((Duration::from_secs(5)..Duration::from_secs(15)).contains(&waited), "it waited {waited:?}: {task:#}");
        let torn = by_customer(&workers);
        ensure!(torn["one and only"].len() == 2, "the other worker took the second: {torn:?}");
        for worker in &workers {
            worker.finish().await?;
        }
        let ids = [first, second];
        all_succeed(&api, &ids).await?;
        stop_and_check(stage, coordinator, &ids).await
    });
}

/// Two steps, so that it shows whether a task stays on its side.
const CANARY: &str = "
name: tried
version: 1.0.0
systems:
  bank:
    canary: { version: '>=2', share: 30 }
workflow_steps:
  - { name: charge, owner: bank, capability: card.charge }
  - { name: settle, owner: bank, capability: card.charge, depends_on: charge }
";

#[test]
fn a_canary_gets_its_share_of_tasks_and_holds_up_none() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).start(stage).await?;
        let (api, url) = (coordinator.api.clone(), coordinator.setup().worker_url());
        api.apply(CANARY).await?;
        let stable = ScriptedWorker::join(&url, &api, bank("stable-one").version("1.9").slots(64), |_| Play::Succeed).await?;
        let canary = ScriptedWorker::join(&url, &api, bank("canary-one").version("2.0").slots(64), |_| Play::Succeed).await?;
        let mut ids = submit_many(&api, "tried", (0..200).map(|number| json!({ "number": number }))).await?;
        all_succeed(&api, &ids).await?;
        let tasks = |worker: &ScriptedWorker| worker.taken().into_iter().map(|request| request.task_id).collect::<BTreeSet<_>>();
        let (old, new) = (tasks(&stable), tasks(&canary));
        ensure!(old.is_disjoint(&new), "a task was on both sides");
        ensure!((30..90).contains(&new.len()), "{} of 200 tasks went to a canary of 30 percent", new.len());
        let shown = api.get("/v1/systems/bank").await?.ok()?;
        ensure!(shown["canary"] == json!({ "version": ">=2", "share": 30 }), "{shown:#}");

        // The canary dies: nothing waits for it.
        canary.leave().await?;
        until_true("the canary is gone", SOON, async || Ok(api.workers().await?.len() == 1)).await?;
        let more = submit_many(&api, "tried", (0..20).map(|number| json!({ "number": number }))).await?;
        all_succeed(&api, &more).await?;
        ids.extend(more);
        stop_and_check(stage, coordinator, &ids).await
    });
}

#[test]
fn a_drained_worker_finishes_what_it_holds_and_gets_nothing_more() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).start(stage).await?;
        let (api, url) = (coordinator.api.clone(), coordinator.setup().worker_url());
        let server = format!("http://127.0.0.1:{}", coordinator.setup().http_port);
        api.apply(&routed("plain", "")).await?;
        let leaving = ScriptedWorker::join(&url, &api, bank("worker-leaving").slots(8), |_| Play::Hold).await?;
        let mut ids = vec![api.submit("plain", json!({})).await?];
        until_true("the step is taken", SOON, async || Ok(leaving.taken().len() == 1)).await?;
        let (code, said) = stage.tasker(&["--server", &server, "worker", "drain", "worker-leaving"]).await?;
        ensure!(code == Some(0) && said.contains("finishes 1 attempt"), "{said}");
        until_true("the worker has heard of it", SOON, async || Ok(leaving.drained().is_some())).await?;

        let staying = ScriptedWorker::join(&url, &api, bank("worker-staying").slots(8), |_| Play::Succeed).await?;
        let more = submit_many(&api, "plain", (0..10).map(|number| json!({ "number": number }))).await?;
        all_succeed(&api, &more).await?;
        ensure!(staying.taken().len() == 10 && leaving.taken().len() == 1, "the drained worker got more: {:?}", leaving.taken());
        let task = api.task(&ids[0]).await?;
        ensure!(step(&task, "charge")?["state"] == "running", "what it held was taken away: {task:#}");
        leaving.finish().await?;
        api.finished_as(&ids[0], "succeeded").await?;

        api.post("/v1/workers/nobody-there/drain", &json!({})).await?.problem(404, "worker.unknown")?;
        ids.extend(more);
        stop_and_check(stage, coordinator, &ids).await
    });
}

#[test]
fn a_drained_version_gets_nothing_until_the_drain_is_undone() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).start(stage).await?;
        let (api, url) = (coordinator.api.clone(), coordinator.setup().worker_url());
        let server = format!("http://127.0.0.1:{}", coordinator.setup().http_port);
        api.apply(&routed("plain", "")).await?;
        let old = ScriptedWorker::join(&url, &api, bank("worker-old").version("1.0.0").slots(8), |_| Play::Succeed).await?;
        let new = ScriptedWorker::join(&url, &api, bank("worker-new").version("2.0.0").slots(8), |_| Play::Succeed).await?;
        let drain = async |more: &[&str]| -> Result<String> {
            let (code, said) = stage.tasker(&[&["--server", &server, "system", "drain", "bank", "--version"], more].concat()).await?;
            ensure!(code == Some(0), "{said}");
            Ok(said)
        };
        ensure!(drain(&["2.0.0"]).await?.contains("Version 2.0.0 of bank gets nothing new (1 worker now)"), "it says what it did");
        let late = ScriptedWorker::join(&url, &api, bank("worker-late").version("2.0.0").slots(8), |_| Play::Succeed).await?;
        let mut ids = submit_many(&api, "plain", (0..20).map(|number| json!({ "number": number }))).await?;
        all_succeed(&api, &ids).await?;
        ensure!(old.taken().len() == 20 && new.taken().is_empty() && late.taken().is_empty(), "a drained build got work");
        ensure!(new.drained().is_none(), "workers of a drained build stay");
        let shown = api.get("/v1/systems/bank").await?.ok()?;
        ensure!(shown["drained_versions"] == json!(["2.0.0"]), "{shown:#}");

        // Everything is drained: steps wait, and go on once it is undone.
        drain(&["1.0.0"]).await?;
        let waiting = api.submit("plain", json!({})).await?;
        until_true("the step waits for a worker", SOON, async || Ok(why(&api, &waiting, "charge").await?.contains("3 are draining")))
            .await?;
        ensure!(drain(&["2.0.0", "--undo"]).await?.contains("gets work again (2 workers now)"), "it says what it did");
        api.finished_as(&waiting, "succeeded").await?;
        ensure!(old.taken().len() == 20 && new.taken().len() + late.taken().len() == 1, "the wrong build got it");
        api.post("/v1/systems/bnak/drain", &json!({ "version": "2.0.0" })).await?.problem(404, "system.unknown")?;
        ids.push(waiting);
        stop_and_check(stage, coordinator, &ids).await
    });
}

#[test]
fn what_a_manifest_declares_holds_after_a_restart_and_ends_with_its_version() {
    on_stage(async |stage| {
        let mut coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(FRAGILE).await?;
        api.apply(CANARY).await?;
        coordinator.kill_and_start(stage).await?;
        ensure!(charge_breaker(&api).await?["policy"]["failures"] == 3, "the breaker is declared again");
        ensure!(api.get("/v1/systems/bank").await?.ok()?["canary"]["share"] == 30, "so is the canary");
        // The next version of the workflow says nothing of them.
        let breaker = "\n        breaker: { failures: 3, window: 30s, open_for: 1s, probes: 1 }";
        api.apply(&FRAGILE.replace("1.0.0", "1.1.0").replace(breaker, "")).await?;
        api.apply(
            &CANARY.replace("1.0.0", "1.1.0").replace("    canary: { version: '>=2', share: 30 }\n", "").replace("bank:\n", "bank: {}\n"),
        )
        .await?;
        ensure!(charge_breaker(&api).await?.is_null(), "no current workflow declares a breaker");
        ensure!(api.get("/v1/systems/bank").await?.ok()?["canary"].is_null(), "nor a canary");
        coordinator.stop().await
    });
}
