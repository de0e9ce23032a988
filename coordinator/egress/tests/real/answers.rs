//! What comes of asking.

use crate::stage::{Server, Stage, call, response, settings};
use axum::body::Body;
use serde_json::{Value, json};
use std::time::Duration;
use tasker_egress::{Settings, Signer, failures};
use tasker_engine::{FailureKind, Payload};
use tasker_runtime::port::egress::{HttpCall, HttpMethod, HttpOutcome, HttpRoute};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Gives back what it was asked.
async fn mirror() -> Server {
    Server::start(|request, body| async move {
        let headers: serde_json::Map<String, Value> =
            request.headers().iter().map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap_or("?")))).collect();
        let body = String::from_utf8_lossy(&body).into_owned();
        let seen = json!({ "method": request.method().as_str(), "url": request.uri().to_string(), "headers": headers, "body": body });
        response(200, &[], seen.to_string())
    })
    .await
}

fn result(outcome: HttpOutcome) -> Value {
    match outcome {
        HttpOutcome::Succeeded(result) => result.value(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_system_sees_the_input_and_which_attempt_it_is_for() {
    let server = mirror().await;
    let (namespace, system) = crate::stage::name();
    let signer = Signer::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
    let settings = Settings {
        public_url: Some("https://tasker.example.com/base/".into()),
        signers: [((namespace, system), signer.clone())].into(),
        ..settings(&["127.0.0.1"])
    };
    let mut stage = Stage::open(settings, crate::stage::Names::knowing(&[]));
    let seen = result(stage.ask(call(&server.url())).await);
    assert_eq!((&seen["method"], &seen["url"], &seen["body"]), (&json!("POST"), &json!("/v1/charges"), &json!(r#"{"amount":1.50}"#)));
    let headers = &seen["headers"];
    for (name, value) in [
        ("content-type", "application/json"),
        ("user-agent", "tasker/0.1.0"),
        ("idempotency-key", "tsk_000000000001a/charge"),
        ("tasker-task", "tsk_000000000001a"),
        ("tasker-step", "charge"),
        ("tasker-attempt", "1"),
        ("traceparent", "00-01010101010101010101010101010101-0202020202020202-01"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    let callback = headers["tasker-callback-url"].as_str().expect("a callback");
    assert!(callback.starts_with("https://tasker.example.com/base/v1/callbacks/v1."), "{callback}");
    let text = |name: &str| headers[name].as_str().expect(name).to_owned();
    let signed = signer.sign(&text("webhook-id"), text("webhook-timestamp").parse().expect("seconds"), br#"{"amount":1.50}"#);
    assert_eq!(text("webhook-signature"), signed);
    for absent in ["authorization", "cookie", "referer", "accept-encoding"] {
        assert!(headers[absent].is_null(), "{absent}");
    }
}

#[tokio::test]
async fn every_method_is_sent_as_declared() {
    let server = mirror().await;
    let mut stage = Stage::local();
    for method in [HttpMethod::Post, HttpMethod::Put, HttpMethod::Patch, HttpMethod::Get, HttpMethod::Delete] {
        let route = HttpRoute::new(method, "/x").expect("a path");
        let seen = result(stage.ask(HttpCall { route, ..call(&server.url()) }).await);
        assert_eq!(seen["method"], method.as_str());
        let (url, body) = if method.has_body() { ("/x", r#"{"amount":1.50}"#) } else { ("/x?amount=1.5", "") };
        assert_eq!((&seen["url"], &seen["body"]), (&json!(url), &json!(body)), "{method:?}");
    }
}

#[tokio::test]
async fn an_error_keeps_its_code_message_details_and_pause() {
    let problem = r#"{"type":"https://e.com/problems/limit_reached","detail":"slow down","limit":10}"#;
    let server = Server::answering(429, &[("retry-after", "7"), ("content-type", "application/problem+json")], problem).await;
    let failure = Stage::local().failure(call(&server.url())).await;
    assert_eq!((failure.kind, failure.code.as_str(), failure.message.as_str()), (FailureKind::Retryable, "limit_reached", "slow down"));
    assert_eq!(failure.details, Some(Payload::of(&json!({ "limit": 10 }))));
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
    let server = Server::answering(404, &[], "<html>nothing here</html>").await;
    let failure = Stage::local().failure(call(&server.url())).await;
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Permanent, "http.status_404"));
}

#[tokio::test]
async fn a_system_that_is_not_there_burns_no_attempt() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let closed = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let mut stage = Stage::local();
    for url in [closed.as_str(), "http://no-such-host.test/"] {
        let outcome = stage.ask(call(url)).await;
        assert!(matches!(&outcome, HttpOutcome::Unreachable { reason } if !reason.is_empty()), "{url}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_server_without_tls_at_an_https_address_is_not_reached() {
    let server = mirror().await;
    let outcome = Stage::local().ask(call(&server.url().replace("http:", "https:"))).await;
    assert!(matches!(outcome, HttpOutcome::Unreachable { .. }), "{outcome:?}");
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn a_system_that_does_not_answer_in_time_has_timed_out() {
    let silent = Server::start(|_, _| std::future::pending()).await;
    let endless = Server::start(|_, _| async {
        let drops = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, std::io::Error>(" "), ()))
        });
        response(200, &[], Body::from_stream(drops))
    })
    .await;
    let mut stage = Stage::local();
    for server in [silent, endless] {
        let call = HttpCall { timeout: Duration::from_millis(200), ..call(&server.url()) };
        assert_eq!(stage.ask(call).await, HttpOutcome::TimedOut);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_is_complete_may_be_tried_again() {
    for said in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"half\":",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"a",
        "garbage\r\n\r\n",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            let (mut peer, _) = listener.accept().await.expect("a connection");
            let _ = peer.read(&mut [0; 4096]).await;
            let _ = peer.write_all(said.as_bytes()).await;
        });
        let failure = Stage::local().failure(call(&url)).await;
        assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Retryable, failures::ANSWER_INCOMPLETE), "{said:?}");
    }
}
