//! What was accepted is finished later, whatever happened to the coordinator in between.

use crate::stage::{Names, Server, Stage, call, response, settings};
use bytes::Bytes;
use serde_json::json;
use std::sync::{Arc, Mutex};
use tasker_egress::egress::CALLBACK_BYTES_MAX;
use tasker_egress::{CallbackSecret, Settings, failures};
use tasker_engine::{FailureKind, Payload};
use tasker_runtime::port::bus::Inbox;
use tasker_runtime::port::egress::{CallbackRefusal, Egress as _, HttpOutcome};

fn public() -> Settings {
    Settings { public_url: Some("http://tasker.example.com:7420".into()), ..settings(&["127.0.0.1"]) }
}

/// Asks a system that accepts, and gives back the token that it was given.
async fn accepted() -> String {
    let given = Arc::new(Mutex::new(None));
    let taken = given.clone();
    let server = Server::start(move |request, _| {
        *taken.lock().expect("a lock") = request.headers().get("tasker-callback-url").map(|url| url.to_str().expect("text").to_owned());
        async { response(202, &[], r#"{"status":"queued"}"#) }
    })
    .await;
    assert_eq!(Stage::open(public(), Names::knowing(&[])).ask(call(&server.url())).await, HttpOutcome::Accepted);
    let url = given.lock().expect("a lock").take().expect("a callback URL");
    url.strip_prefix("http://tasker.example.com:7420/v1/callbacks/").expect("the public URL and the path").to_owned()
}

#[tokio::test]
async fn a_callback_finds_its_attempt_after_a_restart() {
    let token = accepted().await;
    let restarted = Stage::open(public(), Names::knowing(&[])).egress;
    let answer = restarted.read_callback(&token, Bytes::from_static(br#"{"result":{"id":"ch_1"}}"#)).expect("a callback");
    assert_eq!(answer.call, call("").key);
    assert_eq!(answer.outcome, HttpOutcome::Succeeded(Payload::of(&json!({ "id": "ch_1" }))));
    let body = br#"{"error":{"code":"card_declined","message":"no","details":{"bank":7},"retryable":true}}"#;
    let HttpOutcome::Failed(failure) = restarted.read_callback(&token, Bytes::from_static(body)).expect("a callback").outcome else {
        panic!("an error is a failure")
    };
    assert_eq!((failure.kind, failure.code.as_str(), failure.message.as_str()), (FailureKind::Retryable, "card_declined", "no"));
    assert_eq!(failure.details, Some(Payload::of(&json!({ "bank": 7 }))));
}

#[tokio::test]
async fn a_callback_of_another_coordinator_or_without_sense_is_refused() {
    let token = accepted().await;
    let own = Stage::open(public(), Names::knowing(&[])).egress;
    let foreign = Stage::open(Settings { callback_secret: CallbackSecret::new([6; 32]), ..public() }, Names::knowing(&[])).egress;
    let fine = Bytes::from_static(br#"{"result":1}"#);
    assert_eq!(foreign.read_callback(&token, fine.clone()), Err(CallbackRefusal::TokenInvalid));
    assert_eq!(own.read_callback("v1.AAAA.AAAA", Bytes::from_static(b"not JSON")), Err(CallbackRefusal::TokenInvalid));
    let refused = own.read_callback(&token, Bytes::from_static(br#"{"results":1}"#)).expect_err("misspelt");
    assert!(matches!(&refused, CallbackRefusal::BodyMalformed(why) if why.contains("results")), "{refused}");
    let large = Bytes::from(vec![b' '; CALLBACK_BYTES_MAX + 1]);
    assert_eq!(own.read_callback(&token, large), Err(CallbackRefusal::BodyTooLarge { max: CALLBACK_BYTES_MAX }));
}

#[tokio::test]
async fn without_a_public_url_nobody_may_finish_later() {
    let server = Server::start(|request, _| async move {
        assert!(!request.headers().contains_key("tasker-callback-url"));
        response(202, &[], "")
    })
    .await;
    let failure = Stage::local().failure(call(&server.url())).await;
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Permanent, failures::CALLBACK_UNAVAILABLE));
}

#[tokio::test]
async fn a_public_url_that_is_none_is_refused_at_the_start() {
    let (inbox, _) = tokio::sync::mpsc::channel(1);
    for url in ["tasker.example.com", "https://a:b@tasker.example.com", "https://tasker.example.com/?x=1", "https://tasker.example.com/#x"]
    {
        let settings = Settings { public_url: Some(url.into()), ..public() };
        assert!(tasker_egress::HttpEgress::open(settings, Names::knowing(&[]), Inbox::One(inbox.clone())).is_err(), "{url}");
    }
}
