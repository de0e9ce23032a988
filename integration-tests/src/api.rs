//! A client of the HTTP API that says plainly what came back.

use crate::coordinator::{TASK_MAX, text};
use crate::until::until;
use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A request that takes longer has failed; long polls are shorter.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The body, if it was JSON.
    pub body: Value,
    /// The type of the body.
    pub content_type: String,
}

impl Answer {
    /// Requires a problem with this status and code, complete as RFC 9457 and the project ask.
    ///
    /// # Errors
    /// It is something else.
    pub fn problem(&self, status: u16, code: &str) -> Result<&Value> {
        ensure!(self.status.as_u16() == status && self.body["code"] == code, "expected {status} `{code}`, not {self:?}");
        ensure!(self.content_type.starts_with("application/problem+json"), "a problem is `{}`", self.content_type);
        for member in ["type", "title", "detail", "request_id"] {
            ensure!(self.body[member].as_str().is_some_and(|text| !text.is_empty()), "the problem `{code}` has no `{member}`: {self:?}");
        }
        ensure!(self.body["status"] == status && self.body["retryable"].is_boolean(), "the problem `{code}` is not complete: {self:?}");
        Ok(&self.body)
    }

    /// Requires success.
    ///
    /// # Errors
    /// It is something else.
    pub fn ok(self) -> Result<Value> {
        ensure!(self.status.is_success(), "{self:?}");
        Ok(self.body)
    }
}

/// A client of one coordinator.
#[derive(Clone)]
pub struct Api {
    base: String,
    client: reqwest::Client,
}

impl Api {
    /// For the coordinator on this port.
    pub fn new(port: u16) -> Self {
        let client = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build();
        Self { base: format!("http://127.0.0.1:{port}"), client: client.expect("a client without settings can be built") }
    }

    /// Any request.
    ///
    /// # Errors
    /// There was no complete answer.
    pub async fn request(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Result<Answer> {
        let mut request = self.client.request(method, format!("{}{path}", self.base)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        let status = response.status();
        let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let bytes = response.bytes().await?;
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Ok(Answer { status, body, content_type })
    }

    /// GET.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.request(Method::GET, path, &[], Vec::new()).await
    }

    /// POST of JSON.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.request(Method::POST, path, &[("content-type", "application/json")], body.to_string().into_bytes()).await
    }

    /// POST of JSON that a repeat with the same key does not do twice.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn post_with_key(&self, path: &str, body: &Value, key: &str) -> Result<Answer> {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        self.request(Method::POST, path, &headers, body.to_string().into_bytes()).await
    }

    /// Whether `/readyz` says yes.
    pub async fn is_ready(&self) -> bool {
        self.get("/readyz").await.is_ok_and(|answer| answer.status == StatusCode::OK)
    }

    /// Applies a manifest.
    ///
    /// # Errors
    /// It was refused.
    pub async fn apply(&self, manifest: &str) -> Result<Value> {
        self.try_apply(manifest).await?.ok().context("applying the manifest")
    }

    /// Applies a manifest, whatever comes of it.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn try_apply(&self, manifest: &str) -> Result<Answer> {
        self.request(Method::POST, "/v1/workflows", &[("content-type", "application/yaml")], manifest.as_bytes().to_vec()).await
    }

    /// Submits a task and returns its id.
    ///
    /// # Errors
    /// It was refused.
    pub async fn submit(&self, workflow: &str, input: Value) -> Result<String> {
        let answer = self.post("/v1/tasks", &json!({ "workflow": workflow, "input": input })).await?.ok()?;
        Ok(text(&answer, "id")?.to_owned())
    }

    /// Submits a task with an idempotency key, whatever comes of it.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn submit_with_key(&self, workflow: &str, input: &Value, key: &str) -> Result<Answer> {
        let body = json!({ "workflow": workflow, "input": input }).to_string().into_bytes();
        self.request(Method::POST, "/v1/tasks", &[("content-type", "application/json"), ("idempotency-key", key)], body).await
    }

    /// Everything about a task.
    ///
    /// # Errors
    /// There is none.
    pub async fn task(&self, id: &str) -> Result<Value> {
        self.get(&format!("/v1/tasks/{id}")).await?.ok()
    }

    /// Why a task is not moving, as one text.
    ///
    /// # Errors
    /// There is none.
    pub async fn why(&self, id: &str) -> Result<String> {
        Ok(self.get(&format!("/v1/tasks/{id}/why")).await?.ok()?.to_string())
    }

    /// The children of a task, once it has some.
    ///
    /// # Errors
    /// It has none in time.
    pub async fn children(&self, id: &str) -> Result<Vec<Value>> {
        until(&format!("task {id} has children"), TASK_MAX, async || {
            let children = self.task(id).await?["children"].as_array().cloned().unwrap_or_default();
            Ok((!children.is_empty()).then_some(children))
        })
        .await
    }

    /// A task's history.
    ///
    /// # Errors
    /// There is no such task.
    pub async fn events(&self, id: &str) -> Result<Vec<Value>> {
        let answer = self.get(&format!("/v1/tasks/{id}/events?limit=1000")).await?.ok()?;
        Ok(answer["items"].as_array().cloned().unwrap_or_default())
    }

    /// Waits for a task's end, with long polls.
    ///
    /// # Errors
    /// It is not over in time.
    pub async fn finished(&self, id: &str) -> Result<Value> {
        let deadline = Instant::now() + TASK_MAX;
        loop {
            let answer = self.get(&format!("/v1/tasks/{id}/result?wait=10s")).await?;
            match answer.status {
                StatusCode::OK => return Ok(answer.body),
                StatusCode::ACCEPTED if Instant::now() < deadline => {}
                _ => {
                    let task = self.task(id).await.unwrap_or_default();
                    anyhow::bail!("task {id} is not over after {TASK_MAX:?}: {answer:?}; {task:#}")
                }
            }
        }
    }

    /// Waits for a task's end, requires this status, and returns everything about it.
    ///
    /// # Errors
    /// It is not over in time, or ended otherwise.
    pub async fn finished_as(&self, id: &str, status: &str) -> Result<Value> {
        self.finished(id).await?;
        let task = self.task(id).await?;
        ensure!(task["status"] == status, "task {id} should be {status}: {task:#}");
        Ok(task)
    }

    /// Waits until a step is in a state, and returns it.
    ///
    /// # Errors
    /// It is not in time.
    pub async fn step_in(&self, id: &str, name: &str, state: &str) -> Result<Value> {
        until(&format!("step `{name}` of {id} is {state}"), TASK_MAX, async || {
            let task = self.task(id).await?;
            let step = step(&task, name)?;
            Ok((step["state"] == state).then(|| step.clone()))
        })
        .await
    }

    /// The workers that the coordinator knows.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn workers(&self) -> Result<Vec<Value>> {
        let answer = self.get("/v1/workers").await?.ok()?;
        Ok(answer["items"].as_array().cloned().unwrap_or_default())
    }
}

/// One step of a task.
///
/// # Errors
/// There is none of this name.
pub fn step<'a>(task: &'a Value, name: &str) -> Result<&'a Value> {
    let steps = task["steps"].as_array().into_iter().flatten();
    steps.into_iter().find(|step| step["name"] == name).with_context(|| format!("no step `{name}` in {task:#}"))
}

/// An instant of an answer, in milliseconds since 1970.
///
/// # Errors
/// The member is absent or not an instant.
pub fn instant(value: &Value, member: &str) -> Result<i64> {
    let instant: jiff::Timestamp = text(value, member)?.parse()?;
    Ok(instant.as_millisecond())
}
