//! What is refused, in which words, and who has to leave for it.

use async_nats::ConnectOptions;

use crate::on_both_servers;
use crate::raw::Raw;
use crate::servers::{Kind, Server, Setup};

on_both_servers![
    the_right_token_opens_the_door,
    a_wrong_or_missing_token_does_not,
    the_right_user_and_password_open_the_door,
    a_wrong_user_or_password_does_not,
    nothing_is_processed_before_the_credentials,
    a_payload_over_the_limit_ends_the_connection,
    a_control_line_over_the_limit_ends_the_connection,
    an_unknown_operation_ends_the_connection,
    a_bad_pattern_is_refused_and_the_connection_goes_on,
    a_bad_published_subject_is_refused_when_the_client_is_pedantic,
    a_subscription_too_many_is_refused,
    a_connection_too_many_is_refused,
    a_client_that_wants_notices_must_understand_headers,
    headers_from_a_client_that_did_not_announce_them_end_the_connection,
    what_is_not_json_is_no_introduction,
];

async fn connects(server: &Server, options: ConnectOptions) -> bool {
    options.connect(server.url()).await.is_ok()
}

async fn the_right_token_opens_the_door(kind: Kind) {
    let server = Server::start(kind, Setup::token()).await;
    assert!(connects(&server, ConnectOptions::with_token("s3cret".to_owned())).await);
    let raw = Raw::open(server.address).await;
    assert_eq!(raw.info["auth_required"], true);
}

async fn a_wrong_or_missing_token_does_not(kind: Kind) {
    let server = Server::start(kind, Setup::token()).await;
    assert!(!connects(&server, ConnectOptions::with_token("other".to_owned())).await);
    assert!(!connects(&server, ConnectOptions::new()).await);
    let mut raw = Raw::open(server.address).await;
    raw.say("CONNECT {\"verbose\":false,\"auth_token\":\"s3cre\"}\r\nPING\r\n").await;
    assert_eq!(raw.rest().await, b"-ERR 'Authorization Violation'\r\n");
}

async fn the_right_user_and_password_open_the_door(kind: Kind) {
    let server = Server::start(kind, Setup::user()).await;
    assert!(connects(&server, ConnectOptions::with_user_and_password("orders".to_owned(), "pw".to_owned())).await);
}

async fn a_wrong_user_or_password_does_not(kind: Kind) {
    let server = Server::start(kind, Setup::user()).await;
    for (user, password) in [("orders", "px"), ("stock", "pw"), ("", "")] {
        let options = ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned());
        assert!(!connects(&server, options).await, "{user} got in with {password}");
    }
}

async fn nothing_is_processed_before_the_credentials(kind: Kind) {
    let server = Server::start(kind, Setup::token()).await;
    let mut raw = Raw::open(server.address).await;
    raw.say("PUB a 1\r\nx\r\n").await;
    assert_eq!(raw.rest().await, b"-ERR 'Authorization Violation'\r\n");
}

async fn a_payload_over_the_limit_ends_the_connection(kind: Kind) {
    let server = Server::start(kind, Setup::limits(|limits| limits.payload_bytes_max = 1_000)).await;
    let mut raw = Raw::usual(server.address).await;
    assert_eq!(raw.info["max_payload"], 1_000);
    raw.say(&format!("PUB a 1000\r\n{}\r\n", "x".repeat(1_000))).await;
    raw.flush().await;
    raw.say("PUB a 1001\r\n").await;
    assert_eq!(raw.rest().await, b"-ERR 'Maximum Payload Violation'\r\n");
}

async fn a_control_line_over_the_limit_ends_the_connection(kind: Kind) {
    let server = Server::start(kind, Setup::limits(|limits| limits.control_line_bytes_max = 512)).await;
    let mut raw = Raw::usual(server.address).await;
    raw.try_say(format!("SUB {} 1\r\n", "a".repeat(600)).as_bytes()).await;
    assert_eq!(raw.rest().await, b"-ERR 'maximum control line exceeded'\r\n");
}

async fn an_unknown_operation_ends_the_connection(kind: Kind) {
    let server = Server::start(kind, Setup::default()).await;
    let mut raw = Raw::usual(server.address).await;
    raw.say("GET / HTTP/1.1\r\n").await;
    assert_eq!(raw.rest().await, b"-ERR 'Unknown Protocol Operation'\r\n");
}

async fn a_bad_pattern_is_refused_and_the_connection_goes_on(kind: Kind) {
    let server = Server::start(kind, Setup::default()).await;
    let mut raw = Raw::usual(server.address).await;
    for pattern in ["a..b", ".a", "a.", "a.>.b"] {
        raw.say(&format!("SUB {pattern} 1\r\n")).await;
        raw.expect("-ERR 'Invalid Subject'\r\n").await;
    }
    raw.flush().await;
}

async fn a_bad_published_subject_is_refused_when_the_client_is_pedantic(kind: Kind) {
    let server = Server::start(kind, Setup::default()).await;
    let mut raw = Raw::join(server.address, r#""verbose":false,"pedantic":true"#).await;
    for subject in ["a..b", "a.*", "a.>"] {
        raw.say(&format!("PUB {subject} 1\r\nx\r\n")).await;
        raw.expect("-ERR 'Invalid Publish Subject'\r\n").await;
    }
    raw.flush().await;
}

async fn a_subscription_too_many_is_refused(kind: Kind) {
    let server = Server::start(kind, Setup::limits(|limits| limits.subscriptions_max = 2)).await;
    let mut raw = Raw::usual(server.address).await;
    raw.say("SUB a 1\r\nSUB b 2\r\nSUB c 3\r\n").await;
    raw.expect("-ERR 'maximum subscriptions exceeded'\r\n").await;
    raw.flush().await;
    raw.say("UNSUB 1\r\nSUB c 3\r\nPUB c 1\r\nx\r\n").await;
    raw.expect("MSG c 3 1\r\nx\r\n").await;
}

async fn a_connection_too_many_is_refused(kind: Kind) {
    let server = Server::start(kind, Setup::limits(|limits| limits.connections_max = 2)).await;
    let mut first = Raw::usual(server.address).await;
    let mut second = Raw::usual(server.address).await;
    let mut third = Raw::open(server.address).await;
    assert_eq!(third.rest().await, b"-ERR 'maximum connections exceeded'\r\n");
    first.flush().await;
    second.flush().await;
}

async fn a_client_that_wants_notices_must_understand_headers(kind: Kind) {
    let server = Server::start(kind, Setup::default()).await;
    let mut raw = Raw::open(server.address).await;
    raw.say("CONNECT {\"verbose\":false,\"no_responders\":true}\r\n").await;
    assert_eq!(raw.rest().await, b"-ERR 'no responders requires headers support'\r\n");
}

async fn headers_from_a_client_that_did_not_announce_them_end_the_connection(kind: Kind) {
    let server = Server::start(kind, Setup::default()).await;
    let mut raw = Raw::join(server.address, r#""verbose":false"#).await;
    raw.say("HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n").await;
    let rest = raw.rest().await;
    // A NATS server closes without a word; the embedded listener says why.
    match kind {
        Kind::Embedded => assert_eq!(rest, b"-ERR 'message headers not supported'\r\n"),
        Kind::NatsServer => assert_eq!(rest, b""),
    }
}

async fn what_is_not_json_is_no_introduction(kind: Kind) {
    let server = Server::start(kind, Setup::default()).await;
    let mut raw = Raw::open(server.address).await;
    raw.say("CONNECT {\"verbose\":\r\nPING\r\n").await;
    let rest = String::from_utf8(raw.rest().await).unwrap();
    assert!(!rest.contains("PONG"), "the connection went on: {rest:?}");
}
