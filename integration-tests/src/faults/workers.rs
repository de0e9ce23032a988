//! Workers that die, stand still, hang, lie, or are sent what they cannot take.

use super::kills::under_traffic;
use super::traffic::extra_attempts;
use super::{Row, Seen, Size, play};
use crate::api::step;
use crate::coordinator::Setup;
use crate::raw::{RawWorker, success};
use crate::scripted::{Introduction, Play, ScriptedWorker};
use crate::stage::Language;
use crate::until::{SOON, until_true};
use anyhow::ensure;
use serde_json::json;
use std::time::{Duration, Instant};
use tasker_proto::worker::v1::ReplyDisposition as Disposition;

/// The family.
pub fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "worker.killed",
            fault: "a worker dies with its hands full, again and again",
            how: "kill -9 under traffic, another takes its place",
            checked: "what it held is given to another after its lease",
            short: true,
            play: killed,
        },
        Row {
            name: "worker.stopped",
            fault: "a worker stands still for longer than its lease and comes back",
            how: "SIGSTOP, SIGCONT",
            checked: "another does its work; its late replies change nothing",
            short: false,
            play: stopped,
        },
        Row {
            name: "worker.hangs",
            fault: "a worker takes steps and never answers, but beats",
            how: "a worker of the tests holds what it gets",
            checked: "the attempt ends with attempt.timeout, attempts end at their limit; other workers' steps go on",
            short: true,
            play: hangs,
        },
        Row {
            name: "worker.poisoned",
            fault: "a step kills every worker that takes it",
            how: "workers of the tests vanish when they get it",
            checked: "it fails with worker.lost when its attempts are used up; other steps go on",
            short: true,
            play: poisoned,
        },
        Row {
            name: "worker.lies",
            fault: "a worker answers with another's token, twice with different results, and for an attempt that is over",
            how: "single messages of the protocol",
            checked: "only the first true answer counts",
            short: true,
            play: lies,
        },
        Row {
            name: "payload.oversize",
            fault: "inputs of a little more than the limit, of ten times the limit, and 100,000 levels deep",
            how: "HTTP requests",
            checked: "refused with 413 or 400 in under a second, and the coordinator goes on",
            short: true,
            play: oversize,
        },
    ]
}

fn killed(size: Size) -> Seen {
    play(async |stage| {
        let setup = Setup::embedded(stage).with("TASKER_LEASE", "1500ms").with("TASKER_HEARTBEAT", "500ms");
        let (mut coordinator, mut worker, traffic) = under_traffic(stage, &setup).await?;
        let times = size.of(2, 20);
        let killing = async {
            for _ in 0..times {
                let seen = traffic.count();
                until_true("tasks are under way", SOON, async || Ok(traffic.count() >= seen + 10)).await?;
                worker.kill()?;
                worker = coordinator.worker_with(stage, Language::Rust, "shop", &[("TASKER_SLOTS", "32")]).await?;
            }
            traffic.end();
            Ok(())
        };
        tokio::try_join!(traffic.keep_going(4), killing)?;
        let tasks = traffic.all_succeeded().await?;
        let extra = extra_attempts(&tasks);
        ensure!(extra > 0, "no worker had anything open when it died");
        traffic.stop_and_check(stage, &mut coordinator).await?;
        Ok(Seen::new(times, format!("{} tasks, {extra} attempts given to another", tasks.len())))
    })
}

fn stopped(size: Size) -> Seen {
    play(async |stage| {
        let setup = Setup::embedded(stage).with("TASKER_LEASE", "1500ms").with("TASKER_HEARTBEAT", "500ms");
        let (mut coordinator, mut worker, traffic) = under_traffic(stage, &setup).await?;
        let _other = coordinator.worker(stage, Language::Rust, "shop").await?;
        let times = size.of(1, 10);
        let stopping = async {
            for _ in 0..times {
                let seen = traffic.count();
                until_true("tasks are under way", SOON, async || Ok(traffic.count() >= seen + 10)).await?;
                worker.signal("STOP")?;
                tokio::time::sleep(Duration::from_secs(4)).await;
                worker.signal("CONT")?;
            }
            traffic.end();
            Ok(())
        };
        tokio::try_join!(traffic.keep_going(4), stopping)?;
        let tasks = traffic.all_succeeded().await?;
        let extra = extra_attempts(&tasks);
        traffic.stop_and_check(stage, &mut coordinator).await?;
        Ok(Seen::new(times, format!("{} tasks, {extra} attempts given to another", tasks.len())))
    })
}

const SHORT_OF_TIME: &str = "
name: impatient
version: 1.0.0
systems: { bank: {} }
workflow_steps: [{ name: pay, owner: bank, capability: card.charge, timeout: 700ms, retry: { kind: fixed, base: 10ms, jitter: none, max_attempts: 2 } }]
";

const CURSED: &str = "
name: cursed
version: 1.0.0
systems: { bank: {} }
workflow_steps: [{ name: pay, owner: bank, capability: card.charge, retry: { kind: fixed, base: 10ms, jitter: none, max_attempts: 3 } }]
";

fn hangs(size: Size) -> Seen {
    play(async |stage| {
        let (mut coordinator, _worker, traffic) = under_traffic(stage, &Setup::embedded(stage)).await?;
        let api = coordinator.api.clone();
        api.apply(SHORT_OF_TIME).await?;
        let introduction = Introduction::new("bank", "card.charge", "hanging-worker").slots(200);
        let _hanging = ScriptedWorker::join(&coordinator.setup().worker_url(), &api, introduction, |_| Play::Hold).await?;
        let count = size.of(5, 50);
        let mut stuck = Vec::new();
        for _ in 0..count {
            stuck.push(api.submit("impatient", json!({})).await?);
        }
        traffic.submit_more(20).await?;
        traffic.all_succeeded().await?;
        for id in &stuck {
            let task = api.finished_as(id, "failed").await?;
            let attempts = step(&task, "pay")?["attempts"].as_array().cloned().unwrap_or_default();
            ensure!(attempts.len() == 2 && attempts.iter().all(|one| one["failure"]["code"] == "attempt.timeout"), "{task:#}");
        }
        traffic.stop_and_check(stage, &mut coordinator).await?;
        Ok(Seen::new(2 * count, "each step tried twice, then failed; the others were not held up"))
    })
}

fn poisoned(size: Size) -> Seen {
    play(async |stage| {
        let setup = Setup::embedded(stage).with("TASKER_LEASE", "1s").with("TASKER_HEARTBEAT", "300ms");
        let (mut coordinator, _worker, traffic) = under_traffic(stage, &setup).await?;
        let (api, url) = (coordinator.api.clone(), coordinator.setup().worker_url());
        api.apply(CURSED).await?;
        let times = size.of(1, 5);
        for time in 0..times {
            let id = api.submit("cursed", json!({})).await?;
            for death in 0..3 {
                let introduction = Introduction::new("bank", "card.charge", &format!("doomed-{time}-{death}"));
                let doomed = ScriptedWorker::join(&url, &api, introduction, |_| Play::Hold).await?;
                until_true("it was given the step", SOON, async || Ok(!doomed.taken().is_empty())).await?;
                drop(doomed);
            }
            traffic.submit_more(10).await?;
            let task = api.finished_as(&id, "failed").await?;
            let attempts = step(&task, "pay")?["attempts"].as_array().cloned().unwrap_or_default();
            ensure!(attempts.len() == 3 && attempts.iter().all(|one| one["failure"]["code"] == "worker.lost"), "{task:#}");
        }
        traffic.all_succeeded().await?;
        traffic.stop_and_check(stage, &mut coordinator).await?;
        Ok(Seen::new(3 * times, "three attempts each, then the task failed with worker.lost"))
    })
}

fn lies(size: Size) -> Seen {
    play(async |stage| {
        let (mut coordinator, _worker, traffic) = under_traffic(stage, &Setup::embedded(stage)).await?;
        let (api, url) = (coordinator.api.clone(), coordinator.setup().worker_url());
        api.apply(CURSED).await?;
        let times = size.of(2, 50);
        for time in 0..times {
            let id = api.submit("cursed", json!({})).await?;
            let mut liar = RawWorker::connect(&url, "bank", &format!("lying-worker-{time}")).await?;
            let request = liar.take("card.charge").await?;
            let mut forged = success(&request, r#"{"forged":true}"#);
            forged.token = vec![7; request.token.len()].into();
            for (reply, expected) in [
                (forged, Disposition::Refused),
                (success(&request, r#"{"true":true}"#), Disposition::Recorded),
                (success(&request, r#"{"true":true}"#), Disposition::Repeated),
                (success(&request, r#"{"second":true}"#), Disposition::Conflicting),
            ] {
                let said = liar.reply(request.shard, reply).await?;
                ensure!(said.disposition == i32::from(expected), "expected {expected:?}: {said:?}");
            }
            let task = api.finished_as(&id, "succeeded").await?;
            ensure!(step(&task, "pay")?["result"] == json!({ "true": true }), "another answer counted: {task:#}");
        }
        traffic.submit_more(5).await?;
        traffic.all_succeeded().await?;
        traffic.stop_and_check(stage, &mut coordinator).await?;
        Ok(Seen::new(3 * times, "the forged and the second answers changed nothing"))
    })
}

fn oversize(size: Size) -> Seen {
    play(async |stage| {
        let (mut coordinator, _worker, traffic) = under_traffic(stage, &Setup::embedded(stage)).await?;
        let api = coordinator.api.clone();
        let times = size.of(1, 20);
        let mut slowest = Duration::ZERO;
        let limit = 960 * 1024;
        let deep = |levels: usize| format!("{{\"workflow\":\"journey\",\"input\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        let large = |bytes: usize| json!({ "workflow": "journey", "input": { "text": "x".repeat(bytes) } }).to_string();
        for body in [large(limit + 1), large(10 * limit), deep(100_000)].iter().cycle().take(3 * times) {
            let began = Instant::now();
            let answer =
                api.request(reqwest::Method::POST, "/v1/tasks", &[("content-type", "application/json")], body.clone().into_bytes()).await;
            slowest = slowest.max(began.elapsed());
            // A server may answer and close before everything was sent.
            if let Ok(answer) = answer {
                ensure!(matches!(answer.status.as_u16(), 400 | 413 | 422), "{answer:?}");
            }
        }
        traffic.submit_more(5).await?;
        traffic.all_succeeded().await?;
        traffic.stop_and_check(stage, &mut coordinator).await?;
        Ok(Seen::new(3 * times, format!("slowest refusal {} ms", slowest.as_millis())))
    })
}
