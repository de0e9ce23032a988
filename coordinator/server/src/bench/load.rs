//! The load: tasks in batches over the HTTP API, with a bound on how many are in flight or at a given rate.

use super::process::Child;
use crate::args::Bench;
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The most tasks in one request.
const BATCH_MAX: usize = 500;

/// The API, as the benchmark uses it.
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

    pub async fn until_workers(&self, count: usize, within: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + within;
        while self.get("/v1/workers").await?["items"].as_array().map_or(0, Vec::len) < count {
            if Instant::now() > until {
                bail!("[bench.failed]: {count} workers did not join within {within:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
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

    /// Submits everything and waits until it is over; gives the ids. At most about `in_flight` tasks are open: a batch is sent when the
    /// last task of an earlier one is over.
    pub async fn submit_all(&self, workflow: &str, given: &Bench, within: Duration) -> anyhow::Result<Vec<String>> {
        // At a given rate, small batches a hundred times a second: load without bursts.
        let batch = match given.rate {
            Some(rate) => ((rate / 100.0).ceil() as usize).clamp(1, BATCH_MAX),
            None => (given.in_flight / 4).clamp(1, BATCH_MAX),
        };
        let pad = "x".repeat(given.payload);
        let started = Instant::now();
        let (mut ids, mut open): (Vec<String>, VecDeque<String>) = (Vec::with_capacity(given.tasks), VecDeque::new());
        while ids.len() < given.tasks {
            let count = batch.min(given.tasks - ids.len());
            if let Some(rate) = given.rate {
                let due = started + Duration::from_secs_f64(ids.len() as f64 / rate);
                tokio::time::sleep_until(due.into()).await;
            } else if open.len() >= 4
                && let Some(oldest) = open.pop_front()
            {
                self.until_over(&oldest, within).await?;
            }
            let accepted = self.submit(workflow, &pad, count).await?;
            open.extend(accepted.last().cloned());
            ids.extend(accepted);
        }
        // The last ones may end in any order.
        for id in ids.iter().rev().take(batch * 8) {
            self.until_over(id, within).await?;
        }
        Ok(ids)
    }

    async fn submit(&self, workflow: &str, pad: &str, count: usize) -> anyhow::Result<Vec<String>> {
        let task = json!({ "workflow": workflow, "input": { "pad": pad } });
        let body = json!({ "tasks": vec![task; count] }).to_string();
        let request = self.http.post(format!("{}/v1/tasks:batch", self.base)).header("content-type", "application/json");
        let answer = request.body(body).send().await?;
        let answer: Value = serde_json::from_slice(&answer.bytes().await?)?;
        let items = answer["items"].as_array().with_context(|| format!("[bench.failed]: {answer}"))?;
        let ids = items.iter().map(|item| item["id"].as_str().map(str::to_owned));
        ids.collect::<Option<Vec<_>>>().with_context(|| format!("[bench.failed]: {answer}"))
    }

    async fn until_over(&self, id: &str, within: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + within;
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
