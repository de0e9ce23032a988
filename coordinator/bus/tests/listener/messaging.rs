//! What reaches whom.

use async_nats::{HeaderMap, Subscriber};
use bytes::Bytes;
use futures::StreamExt;

use crate::on_both_servers;
use crate::raw::Raw;
use crate::servers::{Kind, Server, Setup, soon};

on_both_servers![
    every_subscriber_gets_every_message_in_order,
    wildcards_stand_for_one_token_or_the_rest,
    a_queue_group_gets_each_message_once_and_shares_the_work,
    a_request_is_answered,
    a_request_that_nobody_answers_fails_at_once,
    the_notice_of_no_responder_goes_only_to_those_who_asked_for_it,
    headers_travel_with_the_message,
    a_client_without_headers_gets_the_payload_alone,
    a_subscription_ends_after_its_maximum,
    a_maximum_that_was_reached_ends_the_subscription_at_once,
    nothing_comes_after_unsubscribing,
    a_payload_of_the_largest_size_passes_unchanged,
    thousands_of_subscriptions_each_get_their_own,
    a_client_may_switch_off_its_own_echo,
    a_subscription_said_twice_is_one_subscription,
    operations_are_acknowledged_when_the_client_is_verbose,
    arguments_may_be_spread_and_words_be_in_any_case,
];

async fn next(subscriber: &mut Subscriber) -> async_nats::Message {
    soon("a message", subscriber.next()).await.expect("the subscription is open")
}

/// Waits until the server has processed all that this client said; a flush of this client does not wait for that.
async fn settled(client: &async_nats::Client) {
    let inbox = client.new_inbox();
    let mut echo = client.subscribe(inbox.clone()).await.unwrap();
    client.publish(inbox, Bytes::new()).await.unwrap();
    next(&mut echo).await;
}

async fn every_subscriber_gets_every_message_in_order(kind: Kind) {
    const MESSAGES: u32 = 5_000;
    let server = Server::start(kind, Setup::default()).await;
    let (publisher, reader) = (server.client().await, server.client().await);
    let mut subscribers = Vec::new();
    for _ in 0..3 {
        subscribers.push(reader.subscribe("orders.placed").await.unwrap());
    }
    settled(&reader).await;
    for number in 0..MESSAGES {
        publisher.publish("orders.placed", number.to_string().into()).await.unwrap();
    }
    publisher.flush().await.unwrap();
    for subscriber in &mut subscribers {
        for number in 0..MESSAGES {
            let message = next(subscriber).await;
            assert_eq!(message.payload, number.to_string());
            assert_eq!(message.subject.as_str(), "orders.placed");
        }
    }
}

async fn wildcards_stand_for_one_token_or_the_rest(kind: Kind) {
    let server = Server::start(kind, Setup::default()).await;
    let client = server.client().await;
    let mut one = client.subscribe("a.*.c").await.unwrap();
    let mut rest = client.subscribe("a.>").await.unwrap();
    for subject in ["a", "a.b", "a.b.c", "a.x.c", "a.b.c.d", "b.b.c"] {
        client.publish(subject, subject.into()).await.unwrap();
    }
    client.publish("a.end.c", "end".into()).await.unwrap();
    let seen = |messages: Vec<Bytes>| messages.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect::<Vec<_>>();
    let mut collected = [Vec::new(), Vec::new()];
    for (subscriber, into) in [&mut one, &mut rest].into_iter().zip(&mut collected) {
        loop {
            let payload = next(subscriber).await.payload;
            into.push(payload.clone());
            if payload == "end" {
                break;
            }
        }
    }
    let [one, rest] = collected;
    assert_eq!(seen(one), ["a.b.c", "a.x.c", "end"]);
    assert_eq!(seen(rest), ["a.b", "a.b.c", "a.x.c", "a.b.c.d", "end"]);
}

async fn a_queue_group_gets_each_message_once_and_shares_the_work(kind: Kind) {
    const MESSAGES: usize = 2_000;
    let server = Server::start(kind, Setup::default()).await;
    let publisher = server.client().await;
    let mut plain = publisher.subscribe("work").await.unwrap();
    settled(&publisher).await;
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    for member in 0..4 {
        let client = server.client().await;
        let mut subscriber = client.queue_subscribe("work", "workers".to_owned()).await.unwrap();
        settled(&client).await;
        let sender = sender.clone();
        tokio::spawn(async move {
            let _client = client;
            while let Some(message) = subscriber.next().await {
                let _ = sender.send((member, message.payload));
            }
        });
    }
    for number in 0..MESSAGES {
        publisher.publish("work", number.to_string().into()).await.unwrap();
    }
    let mut share = [0_usize; 4];
    let mut seen = std::collections::HashSet::new();
    while seen.len() < MESSAGES {
        let (member, payload) = soon("a shared message", receiver.recv()).await.unwrap();
        share[member] += 1;
        assert!(seen.insert(payload), "a message came twice");
    }
    for _ in 0..MESSAGES {
        next(&mut plain).await;
    }
    // Each has 500 on average; a fair pick is below 250 about once in 10^38.
    assert!(share.iter().all(|count| *count > MESSAGES / 8), "{share:?}");
}

async fn a_request_is_answered(kind: Kind) {
    let server = Server::start(kind, Setup::default()).await;
    let (asking, answering) = (server.client().await, server.client().await);
    let mut requests = answering.subscribe("double").await.unwrap();
    settled(&answering).await;
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let number: u32 = std::str::from_utf8(&request.payload).unwrap().parse().unwrap();
            let reply = request.reply.expect("a request has a reply subject");
            answering.publish(reply, (number * 2).to_string().into()).await.unwrap();
        }
    });
    for number in 0..200_u32 {
        let answer = soon("an answer", asking.request("double", number.to_string().into())).await.unwrap();
        assert_eq!(answer.payload, (number * 2).to_string());
    }
}

async fn a_request_that_nobody_answers_fails_at_once(kind: Kind) {
    let server = Server::start(kind, Setup::default()).await;
    let client = server.client().await;
    let error = soon("the refusal", client.request("nobody.there", "?".into())).await.unwrap_err();
    assert_eq!(error.kind(), async_nats::client::RequestErrorKind::NoResponders);
}

async fn the_notice_of_no_responder_goes_only_to_those_who_asked_for_it(kind: Kind) {
    let server = Server::start(kind, Setup::default()).await;
    let mut usual = Raw::usual(server.address).await;
    let mut plain = Raw::join(server.address, r#""verbose":false,"headers":true"#).await;
    let mut listening = Raw::usual(server.address).await;
    listening.say("SUB inbox.> 9\r\n").await;
    listening.flush().await;
    usual.say("SUB inbox.1 7\r\nPUB nobody inbox.1 2\r\nhi\r\nPING\r\n").await;
    usual.expect("HMSG inbox.1 7 38 38\r\nNATS/1.0 503\r\nNats-Subject: nobody\r\n\r\n\r\nPONG\r\n").await;
    plain.say("SUB inbox.1 7\r\nPUB nobody inbox.1 2\r\nhi\r\nPING\r\n").await;
    plain.expect("PONG\r\n").await;
    listening.flush().await;
}

async fn headers_travel_with_the_message(kind: Kind) {
    let server = Server::start(kind, Setup::default()).await;
    let client = server.client().await;
    let mut subscriber = client.subscribe("traced").await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    headers.append("Tasker-Step", "reserve");
    headers.append("Tasker-Step", "again");
    client.publish_with_headers("traced", headers.clone(), "body".into()).await.unwrap();
    let message = next(&mut subscriber).await;
    assert_eq!(message.headers, Some(headers));
    assert_eq!(message.payload, "body");
}

async fn a_client_without_headers_gets_the_payload_alone(kind: Kind) {
    let server = Server::start(kind, Setup::default()).await;
    let mut old = Raw::join(server.address, r#""verbose":false,"headers":false"#).await;
    let mut new = Raw::usual(server.address).await;
    old.say("SUB a 1\r\n").await;
    old.flush().await;
    new.say("SUB a 2\r\nHPUB a back 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n").await;
    old.expect("MSG a 1 back 2\r\nhi\r\n").await;
    new.expect("HMSG a 2 back 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n").await;
}

async fn a_subscription_ends_after_its_maximum(kind: Kind) {
    let server = Server::start(kind, Setup::default()).await;
    let client = server.client().await;
    let mut limited = client.subscribe("a").await.unwrap();
    limited.unsubscribe_after(3).await.unwrap();
    for number in 0..10 {
        client.publish("a", number.to_string().into()).await.unwrap();
    }
    for number in 0..3 {
        assert_eq!(next(&mut limited).await.payload, number.to_string());
    }
    assert!(soon("the end", limited.next()).await.is_none());

    let mut raw = Raw::usual(server.address).await;
    raw.say("SUB b 1\r\nUNSUB 1 2\r\nPUB b 1\r\nx\r\nPUB b 1\r\ny\r\nPUB b 1\r\nz\r\nPING\r\n").await;
    raw.expect("MSG b 1 1\r\nx\r\nMSG b 1 1\r\ny\r\nPONG\r\n").await;
}

async fn a_maximum_that_was_reached_ends_the_subscription_at_once(kind: Kind) {
    let server = Server::start(kind, Setup::default()).await;
    let mut raw = Raw::usual(server.address).await;
    raw.say("SUB b 1\r\nPUB b 1\r\nx\r\nPUB b 1\r\ny\r\nUNSUB 1 2\r\nPUB b 1\r\nz\r\nPING\r\n").await;
    raw.expect("MSG b 1 1\r\nx\r\nMSG b 1 1\r\ny\r\nPONG\r\n").await;
}

async fn nothing_comes_after_unsubscribing(kind: Kind) {
    let server = Server::start(kind, Setup::default()).await;
    let mut raw = Raw::usual(server.address).await;
    raw.say("SUB b 1\r\nPUB b 1\r\nx\r\nUNSUB 1\r\nPUB b 1\r\ny\r\nUNSUB 1\r\nUNSUB 99\r\nPING\r\n").await;
    raw.expect("MSG b 1 1\r\nx\r\nPONG\r\n").await;
}

async fn a_payload_of_the_largest_size_passes_unchanged(kind: Kind) {
    let server = Server::start(kind, Setup::default()).await;
    let client = server.client().await;
    assert_eq!(client.server_info().max_payload, 1024 * 1024);
    let mut subscriber = client.subscribe("large").await.unwrap();
    let pattern: Vec<u8> = (0..1024 * 1024_u32).map(|number| (number % 251) as u8).collect();
    for size in [0, 1, 4_095, 16_383, 16_384, 65_536, 1024 * 1024] {
        client.publish("large", pattern[..size].to_vec().into()).await.unwrap();
        let message = next(&mut subscriber).await;
        assert!(message.payload == pattern[..size], "a payload of {size} bytes arrived changed");
    }
}

async fn thousands_of_subscriptions_each_get_their_own(kind: Kind) {
    const SUBSCRIPTIONS: usize = 5_000;
    let server = Server::start(kind, Setup::default()).await;
    let mut raw = Raw::usual(server.address).await;
    let subscribe: String = (0..SUBSCRIPTIONS).map(|number| format!("SUB to.{number}.box {number}\r\n")).collect();
    raw.say(&subscribe).await;
    raw.flush().await;
    for number in (0..SUBSCRIPTIONS).step_by(7) {
        raw.say(&format!("PUB to.{number}.box 1\r\nx\r\n")).await;
        raw.expect(&format!("MSG to.{number}.box {number} 1\r\nx\r\n")).await;
    }
    let unsubscribe: String = (0..SUBSCRIPTIONS).map(|number| format!("UNSUB {number}\r\n")).collect();
    raw.say(&unsubscribe).await;
    raw.say("PUB to.0.box 1\r\nx\r\n").await;
    raw.flush().await;
}

async fn a_client_may_switch_off_its_own_echo(kind: Kind) {
    let server = Server::start(kind, Setup::default()).await;
    let mut other = Raw::usual(server.address).await;
    other.say("SUB a 5\r\n").await;
    other.flush().await;
    let mut silent = Raw::join(server.address, r#""verbose":false,"echo":false"#).await;
    silent.say("SUB a 1\r\nSUB a q 2\r\nPUB a 1\r\nx\r\nPING\r\n").await;
    silent.expect("PONG\r\n").await;
    other.expect("MSG a 5 1\r\nx\r\n").await;
}

async fn a_subscription_said_twice_is_one_subscription(kind: Kind) {
    let server = Server::start(kind, Setup::default()).await;
    let mut raw = Raw::usual(server.address).await;
    raw.say("SUB a 1\r\nSUB a 1\r\nPUB a 1\r\nx\r\nPING\r\n").await;
    raw.expect("MSG a 1 1\r\nx\r\nPONG\r\n").await;
}

async fn operations_are_acknowledged_when_the_client_is_verbose(kind: Kind) {
    let server = Server::start(kind, Setup::default()).await;
    let mut raw = Raw::open(server.address).await;
    raw.say("CONNECT {\"verbose\":true}\r\n").await;
    raw.expect("+OK\r\n").await;
    raw.say("SUB a 1\r\n").await;
    raw.expect("+OK\r\n").await;
    raw.say("PUB b 1\r\nx\r\n").await;
    raw.expect("+OK\r\n").await;
    raw.say("UNSUB 1\r\n").await;
    raw.expect("+OK\r\n").await;
    raw.say("PING\r\n").await;
    raw.expect("PONG\r\n").await;
}

async fn arguments_may_be_spread_and_words_be_in_any_case(kind: Kind) {
    let server = Server::start(kind, Setup::default()).await;
    let mut raw = Raw::usual(server.address).await;
    raw.say("sub  a.b \t 1\r\npub\ta.b   back  2\r\nhi\r\nping\r\n").await;
    raw.expect("MSG a.b 1 back 2\r\nhi\r\nPONG\r\n").await;
}
