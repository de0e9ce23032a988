//! Systems over HTTP: a real service on this machine, the real coordinator, and everything that may go wrong between them.

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tasker_integration_tests::api::{instant, step};
use tasker_integration_tests::coordinator::{Coordinator, Setup};
use tasker_integration_tests::ports;
use tasker_integration_tests::stage::{Stage, on_stage};
use tasker_integration_tests::until::{SOON, until};
use tokio::net::TcpListener;

/// What a service was asked.
#[derive(Debug, Clone)]
struct Asked {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Value,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// A service on this machine; it ends with the test's threads.
struct Service {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Service {
    async fn start(answer: impl Fn(&Asked, usize) -> Response + Clone + Send + Sync + 'static) -> Result<Self> {
        Self::start_on(ports::free(), answer).await
    }

    /// `answer` is told what was asked, and how often it was asked before.
    async fn start_on(port: u16, answer: impl Fn(&Asked, usize) -> Response + Clone + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let seen = asked.clone();
        let router = Router::new().fallback(move |request: Request| {
            let (answer, seen) = (answer.clone(), seen.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, 10_000_000).await.expect("a body");
                let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("?").to_owned()));
                let one = Asked {
                    method: parts.method.to_string(),
                    url: parts.uri.to_string(),
                    headers: headers.collect(),
                    body: serde_json::from_slice(&body).unwrap_or(Value::Null),
                };
                let mut seen = seen.lock().expect("a lock");
                let before = seen.len();
                seen.push(one.clone());
                answer(&one, before)
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, asked })
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("a lock").clone()
    }

    async fn asked_at_least(&self, count: usize) -> Result<Vec<Asked>> {
        until(&format!("the service was asked {count} times"), SOON, async || Ok(Some(self.asked()).filter(|asked| asked.len() >= count)))
            .await
    }
}

fn answer(status: u16, headers: &[(&str, &str)], body: &Value) -> Response {
    let mut response = Response::builder().status(status).header("content-type", "application/json");
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    response.body(body).expect("a response")
}

/// One step of a system at an address; `capability` and `more` are YAML.
fn manifest(name: &str, address: SocketAddr, transport: &str, capability: &str, more: &str) -> String {
    format!(
        "name: {name}\nversion: 1.0.0\nsystems:\n  payments:\n    base_url: http://{address}\n    transport: {transport}\n    capabilities:\n      \
         - {capability}\nworkflow_steps:\n  - {{ name: charge, owner: payments, capability: payment.charge{more} }}\n"
    )
}

const CHARGE: &str = "{ name: payment.charge, http: { method: POST, path: /v1/charges } }";

/// May call this machine, and is called back there.
fn local(stage: &Stage) -> Setup {
    let setup = Setup::embedded(stage).with("TASKER_EGRESS_ALLOW", "127.0.0.1/32");
    let public = format!("http://127.0.0.1:{}", setup.http_port);
    setup.with("TASKER_PUBLIC_URL", &public)
}

/// Calls back as a service does.
async fn call_back(url: &str, body: &Value) -> Result<(u16, Value)> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let answer = client.post(url).header("content-type", "application/json").body(body.to_string()).send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

async fn end(stage: &Stage, coordinator: &mut Coordinator, accepted: &[String]) -> Result<()> {
    coordinator.stop().await?;
    coordinator.check(stage, accepted).await?;
    Ok(())
}

#[test]
fn a_system_that_runs_no_worker_is_called_over_http() {
    on_stage(async |stage| {
        let service = Service::start(|asked, _| match asked.url.as_str() {
            "/capabilities/stock.reserve" => answer(200, &[], &json!({ "reserved": asked.body["sku"] })),
            "/v1/charges" => answer(201, &[], &json!({ "charged": asked.body["amount"] })),
            "/v1/rates?currency=EUR&exact=true" => answer(200, &[], &json!(1.5)),
            _ => answer(404, &[], &json!({})),
        })
        .await?;
        let secret = stage.path("payments.secret");
        std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")?;
        let setup = local(stage).with("TASKER_EGRESS_SECRETS", &format!("payments={}", secret.display()));
        let mut coordinator = setup.start(stage).await?;
        let api = coordinator.api.clone();
        let manifest = format!(
            r#"
name: http_order
version: 1.0.0
systems:
  payments:
    base_url: http://{}
    transport: http
    capabilities:
      - stock.reserve
      - {CHARGE}
      - {{ name: rates.show, http: {{ method: GET, path: /v1/rates }} }}
workflow_steps:
  - {{ name: reserve, owner: payments, capability: stock.reserve }}
  - {{ name: rate, owner: payments, capability: rates.show, input: {{ currency: EUR, exact: true, at: null }} }}
  - name: charge
    owner: payments
    capability: payment.charge
    depends_on: [reserve, rate]
    input: {{ amount: "${{ steps.rate.result * 2.0 }}" }}
"#,
            service.address
        );
        api.apply(&manifest).await?;
        let id = api.submit("http_order", json!({ "sku": "a" })).await?;
        let task = api.finished_as(&id, "succeeded").await?;
        ensure!(step(&task, "reserve")?["result"] == json!({ "reserved": "a" }), "{task:#}");
        ensure!(step(&task, "charge")?["result"] == json!({ "charged": 3.0 }), "{task:#}");
        ensure!(step(&task, "charge")?["worker"] == "http", "{task:#}");
        let asked = service.asked();
        ensure!(asked.len() == 3, "{asked:?}");
        let charge = asked.iter().find(|asked| asked.url == "/v1/charges").context("the charge")?;
        ensure!(charge.method == "POST" && charge.header("content-type") == "application/json", "{charge:?}");
        ensure!(charge.header("tasker-task") == id && charge.header("tasker-step") == "charge", "{charge:?}");
        ensure!(charge.header("tasker-attempt") == "1" && charge.header("user-agent").starts_with("tasker/"), "{charge:?}");
        ensure!(!charge.header("idempotency-key").is_empty() && charge.header("webhook-signature").starts_with("v1,"), "{charge:?}");
        let parts: Vec<&str> = charge.header("traceparent").split('-').collect();
        ensure!(parts.len() == 4 && task["trace_id"] == parts[1], "{charge:?}");
        let system = api.get("/v1/systems/payments").await?.ok()?;
        ensure!(system["transport"] == "http" && system["health"].is_null(), "{system:#}");
        end(stage, &mut coordinator, &[id]).await
    });
}

#[test]
fn what_was_accepted_is_finished_by_a_callback_once() {
    on_stage(async |stage| {
        let service = Service::start(|_, _| answer(202, &[], &json!({ "status": "queued" }))).await?;
        let mut coordinator = local(stage).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(&manifest("later", service.address, "http", CHARGE, "")).await?;
        let id = api.submit("later", json!({ "amount": 1 })).await?;
        let url = service.asked_at_least(1).await?[0].header("tasker-callback-url").to_owned();
        let why = until("the acceptance is seen", SOON, async || {
            let why = api.get(&format!("/v1/tasks/{id}/why")).await?.ok()?.to_string();
            Ok(Some(why).filter(|why| why.contains("accepted")))
        })
        .await?;
        ensure!(why.contains("payments"), "{why}");

        let (status, problem) = call_back(&url, &json!({ "results": 1 })).await?;
        ensure!(status == 422 && problem["code"] == "callback.body_malformed", "{problem:#}");
        let (status, problem) = call_back(&format!("{url}A"), &json!({ "result": 1 })).await?;
        ensure!(status == 404 && problem["code"] == "callback.token_invalid", "{problem:#}");
        ensure!(api.step_in(&id, "charge", "running").await.is_ok(), "neither changed anything");

        let result = json!({ "result": { "id": "ch_1" } });
        ensure!(call_back(&url, &result).await? == (200, json!({ "outcome": "recorded" })), "the first counts");
        let task = api.finished_as(&id, "succeeded").await?;
        ensure!(step(&task, "charge")?["result"] == json!({ "id": "ch_1" }), "{task:#}");
        ensure!(call_back(&url, &result).await? == (200, json!({ "outcome": "repeated" })), "the same again is no news");
        let (status, problem) = call_back(&url, &json!({ "error": { "code": "card_declined" } })).await?;
        ensure!(status == 409 && problem["code"] == "callback.conflicting", "{problem:#}");
        ensure!(service.asked().len() == 1, "{:?}", service.asked());
        end(stage, &mut coordinator, &[id]).await
    });
}

#[test]
fn a_coordinator_that_was_killed_believes_the_callback_of_before() {
    on_stage(async |stage| {
        let service = Service::start(|_, _| answer(202, &[], &Value::Null)).await?;
        let mut coordinator = local(stage).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(&manifest("survives", service.address, "http", CHARGE, "")).await?;
        let id = api.submit("survives", json!({})).await?;
        let before = service.asked_at_least(1).await?.remove(0);
        coordinator.kill_and_start(stage).await?;
        let (status, said) = call_back(before.header("tasker-callback-url"), &json!({ "result": 7 })).await?;
        ensure!((status, &said) == (200, &json!({ "outcome": "recorded" })), "{status} {said:#}");
        let task = api.finished_as(&id, "succeeded").await?;
        ensure!(step(&task, "charge")?["result"] == 7, "{task:#}");
        for again in service.asked() {
            // Whether it is asked again is a matter of moments; if it is, it is the same attempt under the same key.
            ensure!(again.header("tasker-attempt") == "1", "{again:?}");
            ensure!(again.header("idempotency-key") == before.header("idempotency-key"), "{again:?}");
            ensure!(again.header("tasker-callback-url") == before.header("tasker-callback-url"), "{again:?}");
        }
        end(stage, &mut coordinator, &[id]).await
    });
}

#[test]
fn an_acceptance_without_a_callback_runs_out_of_time_and_a_late_one_is_stale() {
    on_stage(async |stage| {
        let service = Service::start(|_, _| answer(202, &[], &Value::Null)).await?;
        let mut coordinator = local(stage).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(&manifest("silent", service.address, "http", CHARGE, ", timeout: { running: 300ms }, retry: { max_attempts: 1 }"))
            .await?;
        let id = api.submit("silent", json!({})).await?;
        let task = api.finished_as(&id, "failed").await?;
        ensure!(task["failure"]["code"] == "attempt.timeout", "{task:#}");
        let url = service.asked()[0].header("tasker-callback-url").to_owned();
        let (status, problem) = call_back(&url, &json!({ "result": 1 })).await?;
        ensure!(status == 409 && problem["code"] == "callback.stale", "{problem:#}");
        end(stage, &mut coordinator, &[id]).await
    });
}

#[test]
fn a_busy_system_is_tried_again_when_it_says() {
    on_stage(async |stage| {
        let service = Service::start(|_, before| match before {
            0 => answer(503, &[("retry-after", "1")], &json!({ "error": { "code": "busy", "message": "come back" } })),
            _ => answer(200, &[], &json!("done")),
        })
        .await?;
        let mut coordinator = local(stage).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(&manifest("busy", service.address, "http", CHARGE, ", retry: { base: 1ms, max_attempts: 3 }")).await?;
        let id = api.submit("busy", json!({})).await?;
        let task = api.finished_as(&id, "succeeded").await?;
        let attempts = step(&task, "charge")?["attempts"].as_array().cloned().unwrap_or_default();
        ensure!(attempts.len() == 2 && attempts[0]["failure"]["code"] == "busy", "{task:#}");
        let pause = instant(&attempts[1], "started_at")? - instant(&attempts[0], "finished_at")?;
        ensure!(pause >= 1_000, "tried again after {pause} ms: {task:#}");
        let asked = service.asked();
        ensure!(asked[0].header("idempotency-key") == asked[1].header("idempotency-key"), "{asked:?}");
        end(stage, &mut coordinator, &[id]).await
    });
}

#[test]
fn a_redirect_into_the_network_is_not_followed() {
    on_stage(async |stage| {
        let inside = Service::start(|_, _| answer(200, &[], &json!({ "credentials": "secret" }))).await?;
        let target = format!("http://{}/latest/meta-data", inside.address);
        let service = Service::start(move |_, _| answer(307, &[("location", &target)], &Value::Null)).await?;
        let mut coordinator = local(stage).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(&manifest("redirected", service.address, "http", CHARGE, ", retry: { base: 1ms, max_attempts: 3 }")).await?;
        let id = api.submit("redirected", json!({})).await?;
        let task = api.finished_as(&id, "failed").await?;
        ensure!(task["failure"]["code"] == "http.redirect_refused", "{task:#}");
        ensure!(service.asked().len() == 1 && inside.asked().is_empty(), "it is not tried again, and nobody inside was asked");
        end(stage, &mut coordinator, &[id]).await
    });
}

#[test]
fn a_private_address_is_refused_unless_the_configuration_allows_it() {
    on_stage(async |stage| {
        let service = Service::start(|_, _| answer(200, &[], &json!(1))).await?;
        let mut coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        let named = format!("localhost:{}", service.address.port());
        let by_name = manifest("by_name", service.address, "http", CHARGE, "").replace(&service.address.to_string(), &named);
        let mapped = format!("[::ffff:127.0.0.1]:{}", service.address.port());
        let by_mapped = manifest("by_mapped", service.address, "http", CHARGE, "").replace(&service.address.to_string(), &mapped);
        let mut accepted = Vec::new();
        for (name, manifest) in
            [("by_address", manifest("by_address", service.address, "http", CHARGE, "")), ("by_name", by_name), ("by_mapped", by_mapped)]
        {
            api.apply(&manifest).await?;
            let id = api.submit(name, json!({})).await?;
            let task = api.finished_as(&id, "failed").await?;
            ensure!(task["failure"]["code"] == "egress.address_refused", "{task:#}");
            accepted.push(id);
        }
        ensure!(service.asked().is_empty(), "{:?}", service.asked());
        end(stage, &mut coordinator, &accepted).await
    });
}

#[test]
fn a_system_that_is_not_there_burns_no_attempt() {
    on_stage(async |stage| {
        let port = ports::free();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut coordinator = local(stage).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(&manifest("absent", address, "http", CHARGE, ", retry: { max_attempts: 1 }")).await?;
        let ids = [api.submit("absent", json!({})).await?, api.submit("absent", json!({})).await?];
        until("the absence is explained", SOON, async || {
            let why = api.get(&format!("/v1/tasks/{}/why", ids[0])).await?.ok()?.to_string();
            Ok(why.contains("cannot be reached").then_some(()))
        })
        .await?;
        let _service = Service::start_on(port, |_, _| answer(200, &[], &json!("there"))).await?;
        for id in &ids {
            let task = api.finished_as(id, "succeeded").await?;
            let attempts = step(&task, "charge")?["attempts"].as_array().map_or(0, Vec::len);
            ensure!(attempts == 1, "{task:#}");
        }
        end(stage, &mut coordinator, &ids).await
    });
}

#[test]
fn a_system_that_nobody_plays_on_the_bus_is_called_over_http_after_a_while() {
    on_stage(async |stage| {
        let service = Service::start(|_, _| answer(200, &[], &json!("over http"))).await?;
        let mut coordinator = local(stage).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(&manifest("either", service.address, "auto", CHARGE, "")).await?;
        let id = api.submit("either", json!({})).await?;
        let task = api.finished_as(&id, "succeeded").await?;
        let done = step(&task, "charge")?;
        ensure!(done["result"] == "over http", "{task:#}");
        let waited = instant(done, "finished_at")? - instant(&task, "accepted_at")?;
        ensure!(waited >= 10_000, "the bus was silent for {waited} ms only");
        api.apply(&manifest("bus_only", service.address, "bus", "payment.charge", ", timeout: { waiting: 300ms }")).await?;
        let refused = api.submit("bus_only", json!({})).await?;
        let task = api.finished_as(&refused, "failed").await?;
        ensure!(task["failure"]["code"] == "step.waiting_timeout" && service.asked().len() == 1, "{task:#}");
        end(stage, &mut coordinator, &[id, refused]).await
    });
}
