//! What is measured is what happened, everything that boards, alerts and pages name is there, and a push says the same as a page.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tasker_integration_tests::api::Api;
use tasker_integration_tests::coordinator::Setup;
use tasker_integration_tests::exposition::{Asked, Page, asked};
use tasker_integration_tests::otlp::Receiver;
use tasker_integration_tests::place::repository;
use tasker_integration_tests::scripted::{Introduction, Play, ScriptedWorker};
use tasker_integration_tests::stage::on_stage;
use tasker_integration_tests::until::{SOON, until, until_true};

/// Two steps of two systems; the first has a breaker that nothing opens.
const WORKFLOW: &str = "
name: measured
version: 1.0.0
systems:
  bank:
    capabilities:
      - { name: card.charge, breaker: { failures: 50, window: 30s, open_for: 1s, probes: 1 } }
  shop: {}
workflow_steps:
  - { name: charge, owner: bank, capability: card.charge, retry: { kind: fixed, base: 1ms, jitter: none, max_attempts: 3 } }
  - { name: ship, owner: shop, capability: parcel.ship, depends_on: charge }
";

/// How many tasks; the first attempt of the first one fails.
const TASKS: usize = 5;

/// Labels that a scrape adds.
const SCRAPED: [&str; 2] = ["instance", "job"];

/// Lets the tasks run, and waits until the page has counted them: it may be a second old.
async fn workload(api: &Api, url: &str) -> Result<(Page, Vec<ScriptedWorker>)> {
    api.apply(WORKFLOW).await?;
    let tries = Arc::new(AtomicUsize::new(0));
    let play = move |_: &_| if tries.fetch_add(1, Ordering::SeqCst) == 0 { Play::Fail } else { Play::Succeed };
    let workers = vec![
        ScriptedWorker::join(url, api, Introduction::new("bank", "card.charge", "bank-worker-1").slots(4), play).await?,
        ScriptedWorker::join(url, api, Introduction::new("shop", "parcel.ship", "shop-worker-1"), |_| Play::Succeed).await?,
    ];
    for number in 0..TASKS {
        let id = api.submit("measured", json!({ "number": number })).await?;
        api.finished_as(&id, "succeeded").await?;
    }
    let page = until("every task is counted", SOON, async || {
        let page = Page::of(api).await?;
        let counted = page.sum("tasker_tasks_finished_total", &[("workflow", "measured"), ("outcome", "succeeded")]);
        Ok((counted == Some(TASKS as f64)).then_some(page))
    })
    .await?;
    Ok((page, workers))
}

/// The figures are those of what was done, whichever way they are counted.
fn counts_what_happened(page: &Page) -> Result<()> {
    let tasks = TASKS as f64;
    let (bank, shop) = (("system", "bank"), ("system", "shop"));
    type Expected<'e> = (&'e str, &'e [(&'e str, &'e str)], f64);
    let table: &[Expected<'_>] = &[
        ("tasker_tasks_accepted_total", &[("namespace", "default"), ("workflow", "measured")], tasks),
        ("tasker_tasks_finished_total", &[], tasks),
        ("tasker_task_duration_seconds_count", &[("workflow", "measured")], tasks),
        ("tasker_tasks_active", &[], 0.0),
        ("tasker_steps_finished_total", &[("step", "charge"), ("outcome", "succeeded")], tasks),
        ("tasker_steps_finished_total", &[("step", "ship")], tasks),
        ("tasker_steps_dispatched_total", &[bank, ("capability", "card.charge")], tasks + 1.0),
        ("tasker_steps_dispatched_total", &[shop], tasks),
        ("tasker_attempts_total", &[bank, ("outcome", "succeeded")], tasks),
        ("tasker_attempts_total", &[bank, ("outcome", "retryable")], 1.0),
        ("tasker_attempt_failures_total", &[], 1.0),
        ("tasker_step_queue_seconds_count", &[bank], tasks + 1.0),
        ("tasker_step_queue_seconds_count", &[shop], tasks),
        ("tasker_step_run_seconds_count", &[bank], tasks + 1.0),
        ("tasker_step_overhead_seconds_count", &[], 2.0 * tasks + 1.0),
        ("tasker_replies_total", &[("disposition", "recorded")], 2.0 * tasks + 1.0),
        ("tasker_replies_total", &[("disposition", "stale")], 0.0),
        ("tasker_timer_lateness_seconds_bucket", &[("le", "0.0001")], 0.0),
        ("tasker_attempts_open", &[], 0.0),
        ("tasker_backlog", &[], 0.0),
        ("tasker_capability_workers", &[bank], 1.0),
        ("tasker_workers", &[("state", "active")], 2.0),
        ("tasker_workers_lost_total", &[], 0.0),
        ("tasker_worker_slots", &[bank, ("state", "used")], 0.0),
        ("tasker_breaker_state", &[bank], 0.0),
        ("tasker_uncovered_steps", &[], 0.0),
        ("tasker_invariant_violations_total", &[], 0.0),
        ("tasker_store_errors_total", &[], 0.0),
        ("tasker_bus_connected", &[], 1.0),
        ("tasker_runtime_answers", &[], 1.0),
        ("tasker_http_requests_seconds_count", &[("method", "POST"), ("route", "/v1/tasks"), ("status", "201")], tasks),
    ];
    for (name, labels, expected) in table {
        // What the page says of timers that fire within 100 us is not known beforehand; that it is there is.
        let found = page.sum(name, labels).with_context(|| format!("there is no {name} with {labels:?}"))?;
        ensure!(*name == "tasker_timer_lateness_seconds_bucket" || found == *expected, "{name} {labels:?} is {found}, not {expected}");
    }
    let (commits, rows) = (page.sum("tasker_store_commit_seconds_count", &[]), page.sum("tasker_store_commit_rows_sum", &[]));
    ensure!(commits > Some(0.0) && rows == page.sum("tasker_store_rows_committed_total", &[]), "{commits:?} commits with {rows:?} rows");
    ensure!(page.sum("tasker_store_fsync_seconds_count", &[]) >= commits, "each commit of SQLite is a sync");
    ensure!(page.sum("process_resident_memory_bytes", &[]) > Some(1_000_000.0), "the process holds memory");
    Ok(())
}

/// Every expression of the boards and the alerts, with the file it is from.
fn expressions() -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for name in ["overview", "internals"] {
        let file = format!("deploy/grafana/{name}.json");
        let board: Value = serde_json::from_slice(&std::fs::read(repository().join(&file)).context(file.clone())?)?;
        let panels = board["panels"].as_array().context("panels")?;
        let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
        found.extend(targets.filter_map(|target| Some((file.clone(), target["expr"].as_str()?.to_owned()))));
    }
    let file = "deploy/prometheus/alerts.yaml".to_owned();
    let rules = std::fs::read_to_string(repository().join(&file))?;
    let lines = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    found.extend(lines.map(|expression| (file.clone(), expression.to_owned())));
    Ok(found)
}

/// Whether it is a room of the house or the workers' library, as programs name them.
fn is_package(name: &str) -> bool {
    let room = name.trim_start_matches("tasker_");
    room == "worker" || repository().join("coordinator").join(room).join("Cargo.toml").exists()
}

/// Every metric that a page of the documentation names in code, without the suffixes of histograms.
fn named_in_pages() -> Result<BTreeSet<(String, String)>> {
    let mut found = BTreeSet::new();
    let folders = ["docs", "docs/errors", "docs/adr"];
    for file in folders.iter().flat_map(|folder| std::fs::read_dir(repository().join(folder)).into_iter().flatten().flatten()) {
        let path = file.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let text = std::fs::read_to_string(&path)?;
            for code in text.split('`').skip(1).step_by(2) {
                let names = asked(code).selected.into_iter().map(|(name, _)| name).filter(|name| !name.ends_with('_') && !is_package(name));
                found.extend(names.map(|name| (path.display().to_string(), name)));
            }
        }
    }
    Ok(found)
}

/// The metric of a series: without the suffix that a histogram's parts have.
fn metric_of<'n>(page: &Page, series: &'n str) -> &'n str {
    let parts = ["_bucket", "_sum", "_count"].into_iter().filter_map(|suffix| series.strip_suffix(suffix));
    parts.into_iter().find(|name| page.kinds.get(*name).is_some_and(|kind| kind == "histogram")).unwrap_or(series)
}

fn is_answerable(page: &Page, Asked { selected, grouped }: &Asked) -> Result<()> {
    let mut known: BTreeSet<&str> = SCRAPED.into();
    for (series, labels) in selected {
        let shown = page.labels(series).with_context(|| format!("no series of {series} is on the page"))?;
        for label in labels {
            ensure!(shown.contains(label.as_str()) || SCRAPED.contains(&label.as_str()), "{series} has no label `{label}`, only {shown:?}");
        }
        known.extend(shown);
    }
    let strange: Vec<&String> = grouped.iter().filter(|label| !known.contains(label.as_str())).collect();
    ensure!(strange.is_empty(), "it groups by {strange:?}, of which no series knows");
    Ok(())
}

/// Prometheus' own tool, if it is installed.
fn accepts_rules() -> Result<()> {
    let rules = repository().join("deploy/prometheus/alerts.yaml");
    match Command::new("promtool").args(["check", "rules"]).arg(&rules).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
        Ok(output) => {
            ensure!(
                output.status.success(),
                "promtool: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            Ok(())
        }
    }
}

#[test]
fn figures_are_what_happened_and_boards_alerts_and_pages_name_only_what_is_there() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).start(stage).await?;
        let (page, _workers) = workload(&coordinator.api, &coordinator.setup().worker_url()).await?;
        counts_what_happened(&page)?;
        let expressions = expressions()?;
        ensure!(expressions.len() > 60, "only {} expressions were found, so the search is broken", expressions.len());
        for (file, expression) in &expressions {
            let asked = asked(expression);
            is_answerable(&page, &asked).with_context(|| format!("{file}: {expression}"))?;
        }
        let named = named_in_pages()?;
        ensure!(named.len() > 50, "only {} names were found, so the search is broken", named.len());
        for (file, name) in &named {
            ensure!(page.kinds.contains_key(metric_of(&page, name)), "{file} names {name}, which is not measured");
        }
        accepts_rules()
    });
}

#[test]
fn every_alert_has_a_section_that_says_what_to_do() {
    let rules = std::fs::read_to_string(repository().join("deploy/prometheus/alerts.yaml")).expect("the rules are there");
    let page = std::fs::read_to_string(repository().join("docs/alerts.md")).expect("the page is there");
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let sections: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(alerts, sections, "docs/alerts.md has the sections of the alerts, in their order");
    for alert in alerts {
        let address = format!("runbook_url: https://tasker.dev/alerts#{}\n", alert.to_lowercase());
        assert!(rules.contains(&address), "{alert} does not name its section");
    }
}

#[test]
fn a_push_over_otlp_says_what_the_page_says() {
    on_stage(async |stage| {
        let receiver = Receiver::start().await?;
        let setup = Setup::embedded(stage).with("TASKER_OTLP_METRICS_PERIOD", "1s").traced(&receiver);
        let mut coordinator = setup.start(stage).await?;
        let (page, workers) = workload(&coordinator.api, &coordinator.setup().worker_url()).await?;
        until_true("a push has every task", SOON, async || {
            let attributes = [("workflow", "measured"), ("outcome", "succeeded")];
            Ok(receiver.pushed("tasker_tasks_finished_total", &attributes) == Some(TASKS as f64))
        })
        .await?;
        for name in [
            "tasker_steps_dispatched_total",
            "tasker_attempts_total",
            "tasker_replies_total",
            "tasker_step_run_seconds_count",
            "tasker_backlog",
        ] {
            let (pushed, shown) = (receiver.pushed(name, &[]), page.sum(name, &[]));
            ensure!(pushed.is_some() && pushed == shown, "{name}: {pushed:?} was pushed, {shown:?} is shown");
        }
        let about = receiver.pushed_by().context("nobody pushed")?;
        ensure!(about.get("service.name") == Some(&json!("tasker")) && about.contains_key("service.instance.id"), "{about:?}");

        // What happened just before a stop is pushed, too.
        let id = coordinator.api.submit("measured", json!({ "number": TASKS })).await?;
        coordinator.api.finished_as(&id, "succeeded").await?;
        drop(workers);
        coordinator.stop().await?;
        ensure!(receiver.pushed("tasker_tasks_accepted_total", &[]) == Some(TASKS as f64 + 1.0), "the last push is missing");
        Ok(())
    });
}
