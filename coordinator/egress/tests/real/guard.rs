//! Where requests may not go.

use crate::stage::{Names, Server, Stage, call, response, settings};
use std::sync::atomic::Ordering;
use tasker_egress::failures;
use tasker_engine::FailureKind;
use tasker_runtime::port::egress::HttpOutcome;

#[tokio::test]
async fn this_machine_and_private_networks_are_refused_by_default() {
    let server = Server::answering(200, &[], "{}").await;
    let port = server.address.port();
    let names = Names::knowing(&[
        ("loopback.test", &[&["127.0.0.1"]]),
        ("mapped.test", &[&["::ffff:127.0.0.1"]]),
        ("metadata.test", &[&["169.254.169.254"]]),
        ("mixed.test", &[&["8.8.8.8", "127.0.0.1"]]),
        ("translated.test", &[&["64:ff9b::7f00:1"]]),
        ("six.test", &[&["2002:7f00:1::"]]),
        ("unique.test", &[&["fd00:ec2::254"]]),
    ]);
    let mut stage = Stage::open(settings(&[]), names);
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "0.0.0.0",
        "[::]",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "0xa9fea9fe",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "224.0.0.1",
        "255.255.255.255",
        "loopback.test",
        "LOOPBACK.test",
        "mapped.test",
        "metadata.test",
        "mixed.test",
        "translated.test",
        "six.test",
        "unique.test",
    ] {
        let failure = stage.failure(call(&format!("http://{host}:{port}"))).await;
        assert_eq!(
            (failure.kind, failure.code.as_str()),
            (FailureKind::Permanent, failures::ADDRESS_REFUSED),
            "{host}: {}",
            failure.message
        );
    }
    assert_eq!(server.requests(), 0, "nothing was connected to");
}

#[tokio::test]
async fn what_the_configuration_names_may_be_called() {
    let server = Server::answering(200, &[], "{}").await;
    let port = server.address.port();
    for (allow, host) in [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.0/8", "[::ffff:127.0.0.1]"),
        ("127.0.0.1/32", "inventory.internal"),
        ("inventory.internal", "inventory.internal"),
        ("inventory.internal", "Inventory.Internal"),
    ] {
        let names = Names::knowing(&[("inventory.internal", &[&["127.0.0.1"]])]);
        let outcome = Stage::open(settings(&[allow]), names).ask(call(&format!("http://{host}:{port}"))).await;
        assert!(matches!(outcome, HttpOutcome::Succeeded(_)), "{allow} {host}: {outcome:?}");
    }
    let names = Names::knowing(&[("other.internal", &[&["127.0.0.1"]])]);
    let failure = Stage::open(settings(&["inventory.internal"]), names).failure(call(&format!("http://other.internal:{port}"))).await;
    assert_eq!(failure.code.as_str(), failures::ADDRESS_REFUSED);
    assert!(failure.message.contains("`other.internal` is at 127.0.0.1, a loopback address"), "{}", failure.message);
}

#[tokio::test]
async fn a_name_is_checked_for_every_connection() {
    // A server that closes after each answer, so that every call connects anew; then the name points elsewhere.
    let server = Server::answering(200, &[("connection", "close")], "{}").await;
    let names = Names::knowing(&[("rebinding.test", &[&["127.0.0.1"], &["127.0.0.2"]])]);
    let mut stage = Stage::open(settings(&["127.0.0.1/32"]), names.clone());
    let url = format!("http://rebinding.test:{}", server.address.port());
    let first = stage.ask(call(&url)).await;
    assert!(matches!(first, HttpOutcome::Succeeded(_)), "{first:?}");
    let failure = stage.failure(call(&url)).await;
    assert_eq!(failure.code.as_str(), failures::ADDRESS_REFUSED, "{}", failure.message);
    assert_eq!((server.requests(), names.asked.load(Ordering::SeqCst)), (1, 2));
}

#[tokio::test]
async fn a_connection_goes_to_the_address_that_was_checked() {
    let server = Server::answering(200, &[], "{}").await;
    // One answer that passes, then one that does not: a second look-up between check and connection would fail.
    let names = Names::knowing(&[("rebinding.test", &[&["127.0.0.1"], &["127.0.0.2"]])]);
    let mut stage = Stage::open(settings(&["127.0.0.1/32"]), names.clone());
    let outcome = stage.ask(call(&format!("http://rebinding.test:{}", server.address.port()))).await;
    assert!(matches!(outcome, HttpOutcome::Succeeded(_)), "{outcome:?}");
    assert_eq!(names.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let inside = Server::answering(200, &[], r#"{"credentials":"secret"}"#).await;
    let target = format!("{}/latest/meta-data", inside.url());
    for status in [301, 302, 303, 307, 308] {
        let location = target.clone();
        let server = Server::start(move |_, _| {
            let location = location.clone();
            async move { response(status, &[("location", &location)], "") }
        })
        .await;
        let failure = Stage::local().failure(call(&server.url())).await;
        assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Permanent, failures::REDIRECT_REFUSED), "{status}");
        assert!(failure.message.contains(&target), "{}", failure.message);
    }
    assert_eq!(inside.requests(), 0);
}

#[tokio::test]
async fn a_url_that_is_none_is_refused() {
    for url in ["ftp://example.com", "http://user:secret@example.com", "example.com", "unix:/run/x.sock"] {
        let failure = Stage::local().failure(call(url)).await;
        assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Permanent, failures::URL_REFUSED), "{url}");
        assert!(!failure.message.contains("secret"));
    }
}
