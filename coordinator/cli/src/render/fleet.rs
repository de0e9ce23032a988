//! Systems, capabilities and workers.

use super::{brief, fields, indented, labels};
use crate::answers::{Breaker, BreakerPolicy, CapabilityDetail, DrainedVersion, SystemDetail, SystemHealth, WorkerDetail};
use crate::look::{Look, Tone};
use crate::table::{self, Table};
use crate::{text, yaml};
use serde_json::Value;

/// A list's length, or the number itself: the same idea in two shapes.
fn count(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::Array(items) => u64::try_from(items.len()).ok(),
        other => other.as_u64(),
    }
}

fn name_of(capability: &Value) -> String {
    text::clean(capability.as_str().or_else(|| capability.get("name")?.as_str()).unwrap_or("?"))
}

/// A worker that an operator drains still says that it is active until it has heard of it.
fn state_of(worker: &WorkerDetail) -> &str {
    match (worker.state.as_str(), &worker.withheld) {
        ("active", Some(_)) => "drained",
        (state, _) => state,
    }
}

pub(crate) fn drained_worker(worker: &WorkerDetail, look: &Look) -> String {
    let running = count(worker.running.as_ref()).unwrap_or_default();
    let holds = match running {
        0 => "it holds nothing".to_owned(),
        running => format!("it finishes {} and then leaves", text::counted(usize::try_from(running).unwrap_or(usize::MAX), "attempt")),
    };
    format!(
        "Worker {} of {} gets nothing new; {holds}.\n",
        look.paint(Tone::Strong, &text::clean(&worker.session)),
        text::clean(&worker.system)
    )
}

pub(crate) fn drained_version(done: &DrainedVersion) -> String {
    let workers = text::counted(usize::try_from(done.workers).unwrap_or(usize::MAX), "worker");
    let what = if done.drained { "gets nothing new" } else { "gets work again" };
    format!("Version {} of {} {what} ({workers} now).\n", text::clean(&done.version), text::clean(&done.system))
}

pub(crate) fn workers(workers: &[WorkerDetail], look: &Look) -> String {
    if workers.is_empty() {
        return "No worker is connected. Start one that points at this server's bus; `tasker capability list` shows what is waited for.\n"
            .to_owned();
    }
    // Most fleets have no labels, and an empty column would take the room of the others.
    let labelled = workers.iter().any(|worker| !worker.labels.is_empty());
    let columns = ["!session", "!system", "!state", "busy", "!last heard", "!joined", "process", "sdk", "capabilities"];
    let mut table = Table::new(&columns.into_iter().chain(labelled.then_some("labels")).collect::<Vec<_>>());
    for worker in workers {
        let busy =
            count(worker.running.as_ref()).map_or_else(|| format!("?/{}", worker.slots), |running| format!("{running}/{}", worker.slots));
        let sdk =
            worker.sdk.as_ref().map(|sdk| format!("{} {}", if sdk.language.is_empty() { &sdk.name } else { &sdk.language }, sdk.version));
        let system = match &worker.system_version {
            Some(version) if !version.is_empty() => format!("{} {version}", worker.system),
            Some(_) | None => worker.system.clone(),
        };
        // Where to look on that machine: `warehouse-3:4711` is host and process id.
        let process = match (worker.host.as_deref().filter(|host| !host.is_empty()), worker.process_id) {
            (Some(host), Some(id)) => Some(format!("{host}:{id}")),
            (Some(host), None) => Some(host.to_owned()),
            (None, _) => None,
        };
        let mut row = vec![
            table::plain(&worker.session),
            table::plain(&system),
            table::state(state_of(worker)),
            busy,
            worker.silent_ms.map_or_else(|| "-".to_owned(), |silent| format!("{} ago", text::duration(silent))),
            worker.joined_at.map_or_else(|| "-".to_owned(), text::instant),
            table::optional(process.as_deref()),
            table::optional(sdk.as_deref()),
            worker.capabilities.iter().map(name_of).collect::<Vec<_>>().join(", "),
        ];
        if labelled {
            row.push(table::optional(labels(&worker.labels).as_deref()));
        }
        table.row(row);
    }
    table.render(look)
}

pub(crate) fn systems(systems: &[SystemDetail], look: &Look) -> String {
    if systems.is_empty() {
        return "No systems in this namespace yet. They come with a manifest (tasker workflow apply order.yaml) or with the first worker.\n".to_owned();
    }
    let mut table = Table::new(&["!name", "capabilities", "workers", "base url"]);
    for system in systems {
        table.row(vec![
            table::plain(&system.name),
            system.capabilities.len().to_string(),
            system.workers.len().to_string(),
            table::optional(system.base_url.as_deref()),
        ]);
    }
    table.render(look)
}

pub(crate) fn system(system: &SystemDetail, look: &Look) -> String {
    let mut out = format!("{}\n", look.paint(Tone::Strong, &text::clean(&system.name)));
    out.push_str(&fields(
        look,
        &[
            ("base url", system.base_url.as_deref().map(text::clean)),
            ("transport", system.transport.as_deref().map(text::clean)),
            ("health check", system.health_check_url.as_deref().map(text::clean)),
            ("health", system.health.as_ref().map(|health| health_of(health, look))),
            (
                "canary",
                system.canary.as_ref().map(|canary| format!("{} % of the tasks go to {}", canary.share, text::clean(&canary.version))),
            ),
            (
                "drained",
                (!system.drained_versions.is_empty())
                    .then(|| system.drained_versions.iter().map(|version| text::clean(version)).collect::<Vec<_>>().join(", ")),
            ),
        ],
    ));
    out.push('\n');
    if system.capabilities.is_empty() {
        out.push_str("It has no capabilities yet: a manifest or a worker declares them.\n");
    } else {
        let mut table = Table::new(&["!capability", "declared by", "!contract", "description"]);
        for capability in &system.capabilities {
            table.row(vec![
                table::plain(&capability.name),
                table::optional(capability.source.as_deref()),
                short_digest(capability.digest.as_deref()),
                table::optional(capability.description.as_deref().filter(|text| !text.is_empty())),
            ]);
        }
        out.push_str(&table.render(look));
    }
    out.push('\n');
    out.push_str(&workers(&system.workers, look));
    out
}

/// What a health check says: `unhealthy for 12 s: it answered 503`.
fn health_of(health: &SystemHealth, look: &Look) -> String {
    let since = health.since.map(|since| format!(" for {}", text::duration(text::milliseconds_between(since, look.now))));
    let problem = health.problem.as_deref().map(|problem| format!(": {}", text::clean(problem)));
    format!("{}{}{}", text::clean(&health.state), since.unwrap_or_default(), problem.unwrap_or_default())
}

pub(crate) fn capabilities(capabilities: &[CapabilityDetail], look: &Look) -> String {
    if capabilities.is_empty() {
        return "No capabilities in this namespace yet. They come with a manifest (tasker workflow apply order.yaml) or with the first worker.\n".to_owned();
    }
    let mut table = Table::new(&["!system", "!name", "workers", "waiting", "oldest waiting", "breaker", "!contract", "description"]);
    for capability in capabilities {
        table.row(vec![
            table::plain(&capability.system),
            table::plain(&capability.name),
            count(capability.workers.as_ref()).map_or_else(|| "-".to_owned(), |workers| workers.to_string()),
            capability.waiting.to_string(),
            oldest(capability, look).unwrap_or_else(|| "-".to_owned()),
            capability.breaker.as_ref().map_or_else(|| "-".to_owned(), |breaker| table::state(&breaker.state)),
            short_digest(capability.digest.as_deref()),
            table::optional(capability.description.as_deref().filter(|text| !text.is_empty())),
        ]);
    }
    table.render(look)
}

pub(crate) fn capability(capability: &CapabilityDetail, look: &Look) -> String {
    let name = format!("{} · {}", text::clean(&capability.system), text::clean(&capability.name));
    let mut out = format!("{}\n", look.paint(Tone::Strong, &name));
    out.push_str(&fields(
        look,
        &[
            ("description", capability.description.as_deref().filter(|text| !text.is_empty()).map(text::clean)),
            ("declared by", capability.source.as_deref().map(text::clean)),
            ("declared", capability.declared_at.map(text::instant)),
            ("contract", capability.digest.as_deref().map(text::clean)),
            ("timeout", capability.timeout_ms.map(text::duration)),
            ("workers", count(capability.workers.as_ref()).map(|workers| workers.to_string())),
            ("waiting", Some(text::counted(usize::try_from(capability.waiting).unwrap_or(usize::MAX), "step"))),
            ("oldest", oldest(capability, look).map(|age| format!("has waited {age}"))),
            ("breaker", capability.breaker.as_ref().map(|breaker| breaker_line(breaker, look))),
            ("breaker rule", capability.breaker.as_ref().and_then(|breaker| breaker.policy.as_ref()).map(policy_line)),
        ],
    ));
    if let Some(contract) = &capability.contract {
        for (part, schema) in [("input", &contract.input), ("result", &contract.result), ("errors", &contract.errors)] {
            if let Some(schema) = schema {
                out.push_str(&format!("\n{}\n{}", look.paint(Tone::Strong, part), indented(&yaml::document(schema), 2)));
            }
        }
    }
    out
}

pub(crate) fn breaker_of(capability: &CapabilityDetail, look: &Look) -> String {
    let name = look.paint(Tone::Strong, &text::clean(&capability.name));
    match &capability.breaker {
        Some(breaker) => format!("The breaker of {name} is {}.\n", breaker_line(breaker, look)),
        None => format!("{name} has no breaker: no manifest declares one.\n"),
    }
}

/// Where a breaker stands: `open since 12 s, next probe in 7 s, opened 3 times`.
fn breaker_line(breaker: &Breaker, look: &Look) -> String {
    let since = breaker.since.map(|since| format!(" for {}", text::duration(text::milliseconds_between(since, look.now))));
    let mut line = format!("{}{}", text::clean(&breaker.state).replace('_', "-"), since.unwrap_or_default());
    match breaker.operator.as_str() {
        "open" | "close" => line.push_str(" by an operator's order"),
        _ if breaker.failures > 0 => {
            line.push_str(&format!(", {} count now", text::counted(usize::try_from(breaker.failures).unwrap_or(usize::MAX), "failure")))
        }
        _ => {}
    }
    if let Some(at) = breaker.next_probe_at {
        line.push_str(&format!(", next probe in {}", text::duration(text::milliseconds_between(look.now, at).max(0))));
    }
    if breaker.opened > 0 {
        line.push_str(&format!(", opened {}", text::counted(usize::try_from(breaker.opened).unwrap_or(usize::MAX), "time")));
    }
    line
}

fn policy_line(policy: &BreakerPolicy) -> String {
    let failures = text::counted(usize::try_from(policy.failures).unwrap_or(usize::MAX), "failure");
    let probes = text::counted(usize::try_from(policy.probes).unwrap_or(usize::MAX), "probe");
    format!(
        "{failures} within {} open it for {}, it closes after {probes}",
        text::duration(policy.window_ms),
        text::duration(policy.open_for_ms)
    )
}

fn short_digest(digest: Option<&str>) -> String {
    digest.map_or_else(|| "-".to_owned(), |digest| text::clean(digest).chars().take(12).collect())
}

/// How long the oldest has waited: given as the instant it began, or as something else that is shown as it is.
fn oldest(capability: &CapabilityDetail, look: &Look) -> Option<String> {
    /// An id or an instant.
    const SHOWN_CHARACTERS_MAX: usize = 40;
    let value = capability.oldest_waiting.as_ref().filter(|value| !value.is_null())?;
    match value.as_str().and_then(|text| text.parse().ok()) {
        Some(since) => Some(text::duration(text::milliseconds_between(since, look.now))),
        None => Some(brief(value, SHOWN_CHARACTERS_MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKER: &str = r#"{"session":"aB3dE5gH7jK9mN1pQ2rS4t","system":"python_inventory","system_version":"1.4.2","sdk":{"name":"tasker-worker","version":"0.1.0","language":"python"},
        "host":"warehouse-3","process_id":4711,"labels":{"region":"eu","gpu":"none"},"state":"active","withheld":"worker","capabilities":["inventory.reserve","inventory.release"],"slots":8,"running":3,"joined_at":"2026-11-21T06:00:00.000Z","silent_ms":1200}"#;
    const CAPABILITY: &str = r#"{"system":"node_payments","name":"payment.charge","description":"Charges a card","contract":{"input":{"type":"object","required":["amount"]},"result":{"type":"object"},"errors":null},
        "digest":"9f2c51e0aa00bb11","source":"manifest","declared_at":"2026-11-21T06:00:00.000Z","timeout_ms":45000,"workers":0,"waiting":2,"oldest_waiting":"2026-11-21T06:58:00.000Z",
        "breaker":{"state":"open","since":"2026-11-21T06:59:57.000Z","failures":0,"next_probe_at":"2026-11-21T07:00:07.000Z","override":"auto","opened":3,
        "policy":{"failures":5,"window_ms":30000,"open_for_ms":10000,"probes":1}}}"#;

    fn look() -> Look {
        Look { now: "2026-11-21T07:00:00Z".parse().expect("a valid instant"), width: Some(150), ..Look::plain() }
    }

    fn read<T: serde::de::DeserializeOwned>(json: &str) -> T {
        serde_json::from_str(json).expect("the fixture fits the contract")
    }

    #[test]
    fn workers_show_who_is_busy_and_who_is_silent() {
        insta::assert_snapshot!(workers(
            &[read(WORKER), read(r#"{"session":"old","system":"x","state":"silent","slots":2,"running":["a"],"silent_ms":95000}"#)],
            &look()
        ));
    }

    #[test]
    fn tables_fit_narrow_terminals() {
        for width in [70_u16, 80, 100, 120] {
            let narrow = Look { width: Some(width), ..look() };
            for drawn in [workers(&[read(WORKER)], &narrow), capabilities(&[read(CAPABILITY)], &narrow)] {
                assert!(drawn.lines().all(|line| line.chars().count() <= usize::from(width)), "{width}:\n{drawn}");
                assert!(drawn.contains("aB3dE5gH7jK9mN1pQ2rS4t") || drawn.contains("node_payments"), "ids stay whole:\n{drawn}");
            }
        }
    }

    #[test]
    fn a_system_shows_its_capabilities_and_workers() {
        let json = format!(
            r#"{{"name":"python_inventory","base_url":"https://stock.example.com","health_check_url":"https://stock.example.com/health","transport":"auto",
                "health":{{"state":"unhealthy","since":"2026-11-21T06:59:48.000Z","problem":"it answered 503"}},
                "capabilities":[{{"name":"inventory.reserve","description":"Takes stock aside","source":"manifest and worker","digest":"9f2c51e0aa00bb11"}}],"workers":[{WORKER}]}}"#
        );
        insta::assert_snapshot!(system(&read(&json), &look()));
        insta::assert_snapshot!("systems", systems(&[read(&json)], &look()));
    }

    #[test]
    fn a_capability_shows_its_backlog_and_contract() {
        insta::assert_snapshot!(capability(&read(CAPABILITY), &look()));
        insta::assert_snapshot!("capabilities", capabilities(&[read(CAPABILITY)], &look()));
    }

    #[test]
    fn an_order_is_answered_with_what_holds_now() {
        let said = [
            drained_worker(&read(WORKER), &look()),
            drained_version(&read(r#"{"system":"node_payments","version":"2.0.0","drained":true,"workers":2}"#)),
            drained_version(&read(r#"{"system":"node_payments","version":"2.0.0","drained":false,"workers":1}"#)),
            breaker_of(&read(CAPABILITY), &look()),
            breaker_of(&read(r#"{"name":"a","breaker":{"state":"open","since":"2026-11-21T06:59:00.000Z","override":"open"}}"#), &look()),
            breaker_of(
                &read(r#"{"name":"b","breaker":{"state":"closed","since":"2026-11-21T06:00:00.000Z","failures":2,"override":"auto"}}"#),
                &look(),
            ),
            breaker_of(&read(r#"{"name":"c","breaker":null}"#), &look()),
        ];
        insta::assert_snapshot!(said.concat());
    }

    #[test]
    fn empty_lists_say_the_next_command() {
        for text in [workers(&[], &look()), systems(&[], &look()), capabilities(&[], &look())] {
            assert!(text.contains("tasker "), "{text}");
        }
    }
}
