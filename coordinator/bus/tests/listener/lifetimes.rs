//! Who stays connected, who is cut off, and who comes back.

use std::time::Duration;

use futures::StreamExt;

use crate::on_both_servers;
use crate::raw::Raw;
use crate::servers::{Kind, Server, Setup, soon};

on_both_servers![
    a_client_that_does_not_read_is_cut_off_and_others_go_on,
    a_client_that_gives_no_sign_of_life_is_closed,
    a_client_that_answers_pings_stays,
    a_client_reconnects_with_its_subscriptions,
    a_fast_publisher_does_not_get_a_steady_reader_cut_off,
];

async fn a_client_that_does_not_read_is_cut_off_and_others_go_on(kind: Kind) {
    const PAYLOAD: usize = 64 * 1024;
    const ROUNDS: usize = 600;
    let setup = Setup::limits(|limits| limits.outbound_bytes_max = 4 * 1024 * 1024);
    let server = Server::start(kind, setup).await;
    let mut slow = Raw::usual(server.address).await;
    slow.say("SUB feed 1\r\n").await;
    slow.flush().await;
    let client = server.client().await;
    let mut feed = client.subscribe("feed").await.unwrap();
    let payload = bytes::Bytes::from(vec![b'x'; PAYLOAD]);
    for _ in 0..ROUNDS {
        client.publish("feed", payload.clone()).await.unwrap();
        let message = soon("the other reader's message", feed.next()).await.unwrap();
        assert_eq!(message.payload.len(), PAYLOAD);
    }
    let received = slow.rest().await.len();
    assert!(received < ROUNDS * PAYLOAD, "the slow client got everything and was not cut off");
    client.publish("feed", payload).await.unwrap();
    soon("a message after the cut", feed.next()).await.unwrap();
}

async fn a_client_that_gives_no_sign_of_life_is_closed(kind: Kind) {
    let setup = Setup::limits(|limits| {
        limits.ping_interval = Duration::from_millis(100);
        limits.pings_unanswered_max = 1;
    });
    let server = Server::start(kind, setup).await;
    let mut raw = Raw::usual(server.address).await;
    raw.skip_to("PING").await;
    let rest = String::from_utf8(raw.rest().await).unwrap();
    assert!(rest.ends_with("-ERR 'Stale Connection'\r\n"), "{rest:?}");
}

async fn a_client_that_answers_pings_stays(kind: Kind) {
    let setup = Setup::limits(|limits| {
        limits.ping_interval = Duration::from_millis(100);
        limits.pings_unanswered_max = 1;
    });
    let server = Server::start(kind, setup).await;
    let mut raw = Raw::usual(server.address).await;
    for _ in 0..6 {
        raw.skip_to("PING").await;
        raw.say("PONG\r\n").await;
    }
    raw.say("SUB a 1\r\nPUB a 1\r\nx\r\n").await;
    raw.skip_to("MSG a 1 1").await;
}

async fn a_client_reconnects_with_its_subscriptions(kind: Kind) {
    let server = Server::start(kind, Setup::default()).await;
    let port = server.address.port();
    let client = server.client().await;
    let mut subscriber = client.subscribe("again").await.unwrap();
    client.publish("again", "before".into()).await.unwrap();
    assert_eq!(soon("a message", subscriber.next()).await.unwrap().payload, "before");
    server.stop().await;

    let server = Server::start(kind, Setup { port, ..Setup::default() }).await;
    let mut raw = Raw::usual(server.address).await;
    // The client comes back when its delay is over; until then nobody is subscribed.
    let message = soon("the client to come back", async {
        loop {
            raw.say("PUB again 5\r\nafter\r\n").await;
            raw.flush().await;
            let waiting = tokio::time::timeout(Duration::from_millis(50), subscriber.next()).await;
            if let Ok(message) = waiting {
                return message;
            }
        }
    });
    assert_eq!(message.await.unwrap().payload, "after");
}

async fn a_fast_publisher_does_not_get_a_steady_reader_cut_off(kind: Kind) {
    const MESSAGES: usize = 40_000;
    let setup = Setup::limits(|limits| limits.outbound_bytes_max = 4 * 1024 * 1024);
    let server = Server::start(kind, setup).await;
    let mut reader = Raw::usual(server.address).await;
    reader.say("SUB stream 1\r\n").await;
    reader.flush().await;
    let mut publisher = Raw::usual(server.address).await;
    let payload = "x".repeat(1_000);
    let message = format!("PUB stream 1000\r\n{payload}\r\n");
    let publishing = tokio::spawn(async move {
        let batch = message.repeat(100);
        for _ in 0..MESSAGES / 100 {
            publisher.say(&batch).await;
        }
        publisher.flush().await;
    });
    let expected = format!("MSG stream 1 1000\r\n{payload}\r\n");
    for _ in 0..MESSAGES {
        reader.expect(&expected).await;
    }
    publishing.await.unwrap();
}
