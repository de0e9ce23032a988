//! Runs scenarios, a few at once, each on a stage of its own.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use futures::{StreamExt as _, stream};

use crate::report::{Report, Verdict};
use crate::scenario::Scenario;
use crate::stage::Stage;

/// Above the slowest scenario (a drain timeout of 30 s) by enough for a busy machine.
const SCENARIO_MAX: Duration = Duration::from_secs(90);
/// How much of the worker's standard error a failure shows.
const LINES_SHOWN: usize = 4;

/// What to run the scenarios against.
pub struct Run {
    pub worker: String,
    pub language: String,
    pub nats_server: PathBuf,
    pub jobs: usize,
}

struct Judged {
    place: usize,
    verdict: Verdict,
    sdk_version: String,
}

/// Never fails: what goes wrong is in the report.
pub async fn run(run: Run, scenarios: Vec<Scenario>) -> Report {
    let mut queue: Vec<(usize, Scenario)> = scenarios.into_iter().enumerate().collect();
    // Stable: otherwise in their order.
    queue.sort_by_key(|(_, scenario)| !scenario.setup.slow);
    let mut judged: Vec<Judged> =
        stream::iter(queue).map(|(place, scenario)| judge(&run, place, scenario)).buffer_unordered(run.jobs).collect().await;
    judged.sort_by_key(|judged| judged.place);
    let sdk_version = judged.iter().map(|judged| judged.sdk_version.clone()).find(|version| !version.is_empty()).unwrap_or_default();
    Report { language: run.language, sdk_version, scenarios: judged.into_iter().map(|judged| judged.verdict).collect() }
}

async fn judge(run: &Run, place: usize, scenario: Scenario) -> Judged {
    let mut sdk_version = String::new();
    let outcome = match tokio::time::timeout(SCENARIO_MAX, perform(run, &scenario, &mut sdk_version)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(anyhow::anyhow!("not over after {SCENARIO_MAX:?}")),
    };
    let detail = outcome.err().map(|error| format!("{error:#}")).unwrap_or_default();
    let verdict = Verdict { name: scenario.name.to_owned(), group: scenario.group.to_owned(), passed: detail.is_empty(), detail };
    Judged { place, verdict, sdk_version }
}

async fn perform(run: &Run, scenario: &Scenario, sdk_version: &mut String) -> Result<()> {
    let mut stage = Stage::set(run, scenario.setup).await?;
    let outcome = match (scenario.run)(&mut stage).await {
        Ok(()) => stage.check_invariants(),
        Err(error) => Err(error),
    };
    *sdk_version = stage.sdk_version();
    outcome.map_err(|error| {
        let lines = stage.worker.all_lines();
        let shown = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
        anyhow::anyhow!("{error:#}\nthe worker's last lines:\n{}", if shown.is_empty() { "(none)" } else { &shown })
    })
}
