//! The load: tasks in batches over the HTTP API, with a bound on how many are in flight or at a given rate.

use super::given::Bench;
use super::process::Child;
use super::progress::Progress;
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The most tasks in one request.
const BATCH_MAX: usize = 500;

/// The most bytes of inputs in one request; the API takes a few times more.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Batches at the end whose tasks may still run when the last one is over.
const LAST_BATCHES: usize = 8;

/// How long a refused submission waits before it is tried again, if the answer does not say.
const BUSY_WAIT: Duration = Duration::from_millis(50);

/// How long everything may take to finish after the last submission.
const FINISH_WITHIN: Duration = Duration::from_secs(300);

/// The API, as the benchmark uses it.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    pub fn new(base: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(90)).build()?;
        Ok(Self { http, base: base.to_owned() })
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await?;
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    }

    /// How long the answer to a read took; an answer that is none is an error.
    pub async fn timed(&self, path: &str) -> anyhow::Result<Duration> {
        let since = Instant::now();
        let answer = self.http.get(format!("{}{path}", self.base)).send().await?;
        let (status, body) = (answer.status(), answer.bytes().await?);
        let took = since.elapsed();
        if !status.is_success() {
            bail!("[bench.failed]: GET {path}: {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(took)
    }

    pub async fn until_ready(&self, within: Duration, coordinator: &mut Child) -> anyhow::Result<()> {
        let until = Instant::now() + within;
        loop {
            coordinator.still_runs()?;
            let ready = self.http.get(format!("{}/readyz", self.base)).send().await;
            if ready.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("[bench.failed]: the coordinator was not ready within {within:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn until_workers(&self, count: usize, within: Duration, workers: &mut [Child]) -> anyhow::Result<()> {
        let until = Instant::now() + within;
        while self.get("/v1/workers").await?["items"].as_array().map_or(0, Vec::len) < count {
            workers.iter_mut().try_for_each(Child::still_runs)?;
            if Instant::now() > until {
                bail!("[bench.failed]: {count} workers did not join within {within:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Waits until lists show a task that has succeeded.
    pub async fn until_a_task_is_over(&self, within: Duration, coordinator: &mut Child) -> anyhow::Result<()> {
        let until = Instant::now() + within;
        while self.get("/v1/tasks?status=succeeded&limit=1").await?["items"].as_array().is_none_or(Vec::is_empty) {
            coordinator.still_runs()?;
            if Instant::now() > until {
                bail!("[bench.failed]: no task was finished within {within:?} of the restart");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Applies the manifest; gives the workflow's name.
    pub async fn apply(&self, manifest: &str) -> anyhow::Result<String> {
        let request = self.http.post(format!("{}/v1/workflows", self.base)).header("content-type", "application/yaml");
        let answer = request.body(manifest.to_owned()).send().await?;
        let status = answer.status();
        let body: Value = serde_json::from_slice(&answer.bytes().await?)?;
        let name = body["name"].as_str().filter(|_| status.is_success());
        Ok(name.with_context(|| format!("[bench.failed]: {body}"))?.to_owned())
    }

    /// What the store says of itself.
    pub async fn store_line(&self) -> anyhow::Result<String> {
        Ok(self.get("/v1/status").await?["store"].as_str().unwrap_or("unknown").to_owned())
    }

    /// How long all commits took and how many there were, as the coordinator counts them.
    pub async fn commits(&self) -> anyhow::Result<Option<(f64, f64)>> {
        let page = self.http.get(format!("{}/metrics", self.base)).send().await?.text().await?;
        let figure = |end: &str| {
            let line =
                page.lines().find(|line| line.strip_prefix("tasker_store_commit_seconds_").is_some_and(|rest| rest.starts_with(end)))?;
            line.rsplit_once(' ')?.1.parse::<f64>().ok()
        };
        Ok(figure("sum").zip(figure("count")))
    }

    /// Submits everything and waits until the last batches are as good as over; gives the ids. At most about `in_flight` tasks are open: a
    /// batch is sent when the last task of an earlier one is over.
    pub async fn submit_all(&self, workflow: &str, input: &Value, given: &Bench, progress: &mut Progress) -> anyhow::Result<Vec<String>> {
        let (tasks, in_flight) = (given.tasks as usize, given.in_flight as usize);
        // At a given rate, small batches a hundred times a second: load without bursts.
        let batch = match given.rate {
            Some(rate) => (rate / 100.0).ceil() as usize,
            None => in_flight / 4,
        };
        let batch = batch.clamp(1, batch_max(input));
        let open_max = (in_flight / batch).max(1);
        let started = Instant::now();
        let (mut ids, mut open): (Vec<String>, VecDeque<String>) = (Vec::with_capacity(tasks), VecDeque::new());
        while ids.len() < tasks {
            let count = batch.min(tasks - ids.len());
            if let Some(rate) = given.rate {
                let due = started + Duration::from_secs_f64(ids.len() as f64 / rate);
                tokio::time::sleep_until(due.into()).await;
            } else if open.len() >= open_max
                && let Some(oldest) = open.pop_front()
            {
                self.until_over(&oldest).await?;
            }
            let accepted = self.submit(workflow, input, count).await?;
            open.extend(accepted.last().cloned());
            ids.extend(accepted);
            progress.at(ids.len());
        }
        for id in open.iter().rev().take(LAST_BATCHES) {
            self.until_over(id).await?;
        }
        Ok(ids)
    }

    /// Waits until the last ones are over, too: they may end in any order. Asking after each would be a load of its own while it is measured.
    pub async fn until_all_over(&self, ids: &[String]) -> anyhow::Result<()> {
        for id in ids.iter().rev().take(BATCH_MAX * LAST_BATCHES) {
            self.until_over(id).await?;
        }
        Ok(())
    }

    /// Submits without waiting for anything; gives the last id.
    pub async fn submit_only(
        &self,
        workflow: &str,
        input: &Value,
        tasks: usize,
        progress: &mut Progress,
    ) -> anyhow::Result<Option<String>> {
        let (mut last, mut sent) = (None, 0);
        while sent < tasks {
            let accepted = self.submit(workflow, input, batch_max(input).min(tasks - sent)).await?;
            sent += accepted.len();
            last = accepted.last().cloned();
            progress.at(sent);
        }
        Ok(last)
    }

    /// Submits so many equal tasks; one that is refused because too much waits is tried again.
    async fn submit(&self, workflow: &str, input: &Value, count: usize) -> anyhow::Result<Vec<String>> {
        let task = json!({ "workflow": workflow, "input": input });
        let mut ids = Vec::with_capacity(count);
        let until = Instant::now() + FINISH_WITHIN;
        while ids.len() < count {
            let body = json!({ "tasks": vec![&task; count - ids.len()] }).to_string();
            let request = self.http.post(format!("{}/v1/tasks:batch", self.base)).header("content-type", "application/json");
            let answer = request.body(body).send().await?;
            let busy = answer.status().as_u16() == 429;
            let answer: Value = serde_json::from_slice(&answer.bytes().await?)?;
            let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
            let accepted = ids.len();
            ids.extend(items.iter().filter_map(|item| item["id"].as_str().map(str::to_owned)));
            let refused = items.iter().find(|item| item["id"].is_null());
            let told_to_wait = busy || refused.is_some_and(|item| item["problem"]["status"] == 429);
            if ids.len() < count && (!told_to_wait || Instant::now() > until) {
                bail!("[bench.failed]: a submission was refused: {}", refused.unwrap_or(&answer));
            }
            if told_to_wait && ids.len() == accepted {
                tokio::time::sleep(BUSY_WAIT).await;
            }
        }
        Ok(ids)
    }

    /// Waits until a task has succeeded; the coordinator answers when it has.
    pub async fn until_over(&self, id: &str) -> anyhow::Result<()> {
        let until = Instant::now() + FINISH_WITHIN;
        loop {
            let result = self.get(&format!("/v1/tasks/{id}/result?wait=30s")).await?;
            match result["status"].as_str() {
                Some("succeeded") => return Ok(()),
                Some("running") if Instant::now() < until => {}
                _ => bail!("[bench.failed]: {id}: {result}"),
            }
        }
    }
}

fn batch_max(input: &Value) -> usize {
    (BATCH_BYTES_MAX / input.to_string().len().max(1)).clamp(1, BATCH_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_inputs_make_small_batches() {
        assert_eq!(batch_max(&json!({ "pad": "x" })), BATCH_MAX);
        assert_eq!(batch_max(&json!("x".repeat(1024 * 1024))), 3);
        assert_eq!(batch_max(&json!("x".repeat(8 * 1024 * 1024))), 1);
    }
}
