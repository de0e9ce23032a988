//! What only the embedded listener has: local clients, back-pressure, an orderly end.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use tasker_bus::embedded::{
    BindError, Headers, Listener, LocalClient, MailboxLimits, Message, Options, PublishError, Subject, SubscribeError,
};

use crate::raw::Raw;
use crate::servers::{Setup, eventually, soon, start_embedded};

fn message(subject: &str, payload: impl Into<Bytes>) -> Message {
    Message { subject: subject_of(subject), reply: None, headers: None, payload: payload.into() }
}

fn subject_of(text: &str) -> Subject {
    Subject::new(text.to_owned()).unwrap()
}

async fn remote(listener: &Listener) -> async_nats::Client {
    async_nats::connect(listener.local_addr().to_string()).await.unwrap()
}

#[tokio::test]
async fn local_and_remote_clients_reach_each_other() {
    let listener = start_embedded(Setup::default()).await;
    let local = listener.client();
    let remote = remote(&listener).await;
    let mut at_local = local.subscribe("to.local.*", None).unwrap();
    let mut at_remote = remote.subscribe("to.remote").await.unwrap();
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Tasker-Step", "reserve");
    remote.publish_with_reply_and_headers("to.local.1", "back", headers, "hello".into()).await.unwrap();
    let received = soon("the message for the local client", at_local.recv()).await.unwrap();
    assert_eq!(received.subject.as_str(), "to.local.1");
    assert_eq!(received.reply, Some(subject_of("back")));
    assert_eq!(received.headers.unwrap().get("Tasker-Step"), Some("reserve"));
    assert_eq!(received.payload, "hello");

    let headers = Headers::build([("traceparent", "00-a-b-01")]).unwrap();
    let large = Bytes::from(vec![b'x'; 500_000]);
    local.publish(Message { headers: Some(headers), ..message("to.remote", large.clone()) }).unwrap();
    let received = soon("the message for the remote client", at_remote.next()).await.unwrap();
    assert_eq!(received.headers.unwrap().get("traceparent").unwrap().as_str(), "00-a-b-01");
    assert_eq!(received.payload, large);
}

#[tokio::test]
async fn a_remote_request_is_answered_by_a_local_queue_group() {
    let listener = start_embedded(Setup::default()).await;
    let (first, second) = (listener.client(), listener.client());
    for local in [first, second] {
        let mut requests = local.subscribe("api.*", Some("coordinators")).unwrap();
        tokio::spawn(async move {
            while let Some(request) = requests.recv().await {
                let reply = request.reply.unwrap();
                local.publish(Message { subject: reply, reply: None, headers: None, payload: request.payload }).unwrap();
            }
        });
    }
    let remote = remote(&listener).await;
    for number in 0..100 {
        let answer = soon("an answer", remote.request("api.submit", number.to_string().into())).await.unwrap();
        assert_eq!(answer.payload, number.to_string());
    }
}

#[tokio::test]
async fn a_local_client_knows_whether_anybody_listens() {
    let listener = start_embedded(Setup::default()).await;
    let local = listener.client();
    assert!(!local.has_interest(&subject_of("to.w1")));
    let remote = remote(&listener).await;
    let subscriber = remote.subscribe("to.>").await.unwrap();
    eventually("interest", || local.has_interest(&subject_of("to.w1")).then_some(())).await;
    drop(subscriber);
    drop(remote);
    eventually("no interest", || (!local.has_interest(&subject_of("to.w1"))).then_some(())).await;
}

#[tokio::test]
async fn a_local_request_that_nobody_answers_is_told_so() {
    let listener = start_embedded(Setup::default()).await;
    let local = listener.client();
    let mut inbox = local.subscribe("inbox.1", None).unwrap();
    let mut eavesdropper = Raw::usual(listener.local_addr()).await;
    eavesdropper.say("SUB inbox.> 1\r\n").await;
    eavesdropper.flush().await;
    local.publish(Message { reply: Some(subject_of("inbox.1")), ..message("nobody", "?") }).unwrap();
    let notice = soon("the notice", inbox.recv()).await.unwrap();
    assert_eq!(notice.headers.unwrap().status(), Some(503));
    eavesdropper.flush().await;
}

/// On one thread nothing is read while the mailbox is looked at, so that its size can be judged exactly.
#[tokio::test]
async fn a_full_mailbox_holds_its_publishers_back_and_loses_nothing() {
    const MESSAGES: usize = 20_000;
    const LIMIT: usize = 50;
    let listener = start_embedded(Setup::default()).await;
    let limits = MailboxLimits { messages_max: LIMIT, bytes_max: 1 << 20 };
    let mut slow = listener.client().subscribe_with_limits("flood.*", None, limits).unwrap();
    let mut publishers = Vec::new();
    for name in 0..2 {
        let mut raw = Raw::usual(listener.local_addr()).await;
        publishers.push(tokio::spawn(async move {
            for number in 0..MESSAGES {
                let text = number.to_string();
                raw.say(&format!("PUB flood.{name} {}\r\n{text}\r\n", text.len())).await;
            }
            raw.flush().await;
        }));
    }
    let mut other = Raw::usual(listener.local_addr()).await;
    let mut next = [0_usize; 2];
    let mut batch = Vec::new();
    let mut fullest = 0;
    while next.iter().sum::<usize>() < 2 * MESSAGES {
        // A connection that does not publish to the full mailbox is served as ever.
        other.flush().await;
        soon("messages", slow.recv_many(&mut batch, usize::MAX)).await;
        fullest = fullest.max(batch.len());
        for message in batch.drain(..) {
            let publisher: usize = message.subject.as_str()[6..].parse().unwrap();
            assert_eq!(message.payload, next[publisher].to_string());
            next[publisher] += 1;
        }
    }
    assert!((LIMIT..=LIMIT + 2).contains(&fullest), "the mailbox held {fullest} messages");
    for publisher in publishers {
        soon("the publisher", publisher).await.unwrap();
    }
}

#[tokio::test]
async fn a_subscription_that_is_dropped_lets_its_publishers_go_on() {
    let listener = start_embedded(Setup::default()).await;
    let limits = MailboxLimits { messages_max: 1, bytes_max: 1 << 20 };
    let stuck = listener.client().subscribe_with_limits("a", None, limits).unwrap();
    let mut raw = Raw::usual(listener.local_addr()).await;
    raw.say(&"PUB a 1\r\nx\r\n".repeat(1_000)).await;
    raw.say("PING\r\n").await;
    eventually("a message", || (listener.statistics().subscriptions == 1).then_some(())).await;
    drop(stuck);
    raw.expect("PONG\r\n").await;
    assert_eq!(listener.statistics().subscriptions, 0);
}

#[tokio::test]
async fn a_local_publisher_is_told_that_a_local_subscriber_is_full() {
    let listener = start_embedded(Setup::default()).await;
    let local = listener.client();
    let limits = MailboxLimits { messages_max: 2, bytes_max: 1 << 20 };
    let mut subscription = local.subscribe_with_limits("a", None, limits).unwrap();
    local.publish(message("a", "1")).unwrap();
    local.publish(message("a", "2")).unwrap();
    assert_eq!(local.publish(message("a", "3")), Err(PublishError::SubscriberFull));
    assert_eq!(subscription.recv().await.unwrap().payload, "1");
    local.publish(message("a", "3")).unwrap();
    assert_eq!(subscription.try_recv().unwrap().payload, "2");
    assert_eq!(subscription.try_recv().unwrap().payload, "3");
    assert_eq!(subscription.try_recv(), None);
}

/// Everything that waits would fit neither the limit nor the kernel's buffers: only a publisher that is slowed down keeps
/// this reader connected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_is_slowed_down_to_the_pace_of_a_steady_reader() {
    const MESSAGES: usize = 6_400;
    const PAYLOAD: usize = 10_000;
    let setup = Setup::limits(|limits| limits.outbound_bytes_max = 8 * 1024 * 1024);
    let listener = start_embedded(setup).await;
    let mut reader = Raw::usual(listener.local_addr()).await;
    reader.say("SUB stream 1\r\n").await;
    reader.flush().await;
    let mut publisher = Raw::usual(listener.local_addr()).await;
    let message = format!("PUB stream {PAYLOAD}\r\n{}\r\n", "x".repeat(PAYLOAD));
    let publishing = tokio::spawn(async move {
        for _ in 0..MESSAGES {
            publisher.say(&message).await;
        }
        publisher.flush().await;
    });
    let expected = format!("MSG stream 1 {PAYLOAD}\r\n{}\r\n", "x".repeat(PAYLOAD));
    for number in 0..MESSAGES {
        if number % 16 == 0 {
            // The reader's own work between two reads; nothing waits for it.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        reader.expect(&expected).await;
    }
    soon("the publisher", publishing).await.unwrap();
    assert_eq!(listener.statistics().slow_consumers_cut, 0);
}

#[tokio::test]
async fn a_local_publisher_that_waits_for_room_never_gets_a_reader_cut_off() {
    const MESSAGES: usize = 2_000;
    let listener = start_embedded(Setup::limits(|limits| limits.outbound_bytes_max = 256 * 1024)).await;
    let local = listener.client();
    let mut raw = Raw::usual(listener.local_addr()).await;
    raw.say("SUB a 1\r\n").await;
    raw.flush().await;
    let reading = tokio::spawn(async move {
        let expected = format!("MSG a 1 10000\r\n{}\r\n", "x".repeat(10_000));
        for _ in 0..MESSAGES {
            raw.expect(&expected).await;
        }
    });
    for _ in 0..MESSAGES {
        soon("room", local.room_for(&subject_of("a"))).await;
        local.publish(message("a", vec![b'x'; 10_000])).unwrap();
    }
    soon("the reader", reading).await.unwrap();
    assert_eq!(listener.statistics().slow_consumers_cut, 0);
}

#[tokio::test]
async fn shutdown_does_not_wait_for_a_local_subscriber_that_does_not_receive() {
    let listener = start_embedded(Setup::limits(|limits| limits.drain_timeout = Duration::from_secs(3_600))).await;
    let limits = MailboxLimits { messages_max: 1, bytes_max: 1 << 20 };
    let mut stuck = listener.client().subscribe_with_limits("a", None, limits).unwrap();
    let mut raw = Raw::usual(listener.local_addr()).await;
    raw.say(&"PUB a 1\r\nx\r\n".repeat(1_000)).await;
    // With one message received, the publisher is certainly at work and fills the mailbox again.
    soon("a message", stuck.recv()).await.unwrap();
    soon("shutdown", listener.shutdown()).await;
}

#[tokio::test]
async fn a_local_message_over_the_limit_is_refused() {
    let listener = start_embedded(Setup::limits(|limits| limits.payload_bytes_max = 10)).await;
    let refused = listener.client().publish(message("a", "12345678901")).unwrap_err();
    assert_eq!(refused, PublishError::TooLarge { bytes: 11, limit: 10 });
    assert_eq!(refused.code(), "bus.payload_too_large");
}

#[tokio::test]
async fn shutdown_writes_what_waits_and_then_closes() {
    const MESSAGES: usize = 2_000;
    let listener = start_embedded(Setup::default()).await;
    let local = listener.client();
    let mut waiting = local.subscribe("a", None).unwrap();
    let mut raw = Raw::usual(listener.local_addr()).await;
    raw.say("SUB a 1\r\n").await;
    raw.flush().await;
    for _ in 0..MESSAGES {
        local.publish(message("a", vec![b'x'; 1_000])).unwrap();
    }
    let reading = tokio::spawn(async move { raw.rest().await });
    soon("shutdown", listener.shutdown()).await;
    let text = String::from_utf8(reading.await.unwrap()).unwrap();
    assert_eq!(text.matches("MSG a 1 1000\r\n").count(), MESSAGES);
    assert!(text.contains("\"ldm\":true"), "the client is told that the listener leaves");
    for _ in 0..MESSAGES {
        assert!(waiting.recv().await.is_some());
    }
    assert_eq!(waiting.recv().await, None);
    assert_eq!(local.publish(message("a", "x")), Err(PublishError::Closed));
    assert_eq!(local.subscribe("a", None).err(), Some(SubscribeError::Closed));
}

#[tokio::test]
async fn shutdown_does_not_wait_for_a_client_that_does_not_read() {
    let setup = Setup::limits(|limits| limits.drain_timeout = Duration::from_millis(200));
    let listener = start_embedded(setup).await;
    let mut deaf = Raw::usual(listener.local_addr()).await;
    deaf.say("SUB a 1\r\n").await;
    deaf.flush().await;
    for _ in 0..40 {
        listener.client().publish(message("a", vec![b'x'; 1 << 20])).unwrap();
    }
    soon("shutdown", listener.shutdown()).await;
}

#[tokio::test]
async fn a_client_that_takes_no_write_is_cut_off() {
    let setup = Setup::limits(|limits| limits.write_timeout = Duration::from_millis(200));
    let listener = start_embedded(setup).await;
    let mut deaf = Raw::usual(listener.local_addr()).await;
    deaf.say("SUB a 1\r\n").await;
    deaf.flush().await;
    for _ in 0..40 {
        listener.client().publish(message("a", vec![b'x'; 1 << 20])).unwrap();
    }
    eventually("the cut", || (listener.statistics().connections == 0).then_some(())).await;
    eventually("the subscription to go", || (listener.statistics().subscriptions == 0).then_some(())).await;
}

#[tokio::test]
async fn a_client_that_never_introduces_itself_is_closed() {
    let setup = Setup::limits(|limits| limits.handshake_timeout = Duration::from_millis(100));
    let listener = start_embedded(setup).await;
    let mut silent = Raw::open(listener.local_addr()).await;
    assert_eq!(silent.rest().await, b"-ERR 'Authentication Timeout'\r\n");
}

#[tokio::test]
async fn a_client_still_reads_the_error_when_it_was_sending_much() {
    let listener = start_embedded(Setup::default()).await;
    let mut raw = Raw::usual(listener.local_addr()).await;
    let too_much = [b"PUB a 7000000\r\n".to_vec(), vec![b'x'; 7_000_000]].concat();
    // A socket closed at once would break this write, and clients report that instead of the reason.
    assert!(raw.try_say(&too_much).await);
    assert_eq!(raw.rest().await, b"-ERR 'Maximum Payload Violation'\r\n");
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_cure() {
    let listener = start_embedded(Setup::default()).await;
    let options = Options { address: listener.local_addr(), ..Options::default() };
    let error = Listener::bind(options).await.err().unwrap();
    assert!(matches!(error, BindError::PortInUse { .. }));
    assert_eq!(error.code(), "bus.port_in_use");
    assert!(error.to_string().contains("choose another port"));
}

#[tokio::test]
async fn an_address_of_another_machine_is_named() {
    let address: SocketAddr = "192.0.2.1:0".parse().unwrap();
    let error = Listener::bind(Options { address, ..Options::default() }).await.err().unwrap();
    assert_eq!(error.code(), "bus.address_unknown");
}

#[tokio::test]
async fn a_dropped_listener_leaves_its_port_and_closes_its_clients() {
    let listener = start_embedded(Setup::default()).await;
    let address = listener.local_addr();
    let mut raw = Raw::usual(address).await;
    let local: LocalClient = listener.client();
    drop(listener);
    assert_eq!(raw.rest().await, b"");
    assert_eq!(local.publish(message("a", "x")), Err(PublishError::Closed));
    let again = soon("the port", async {
        loop {
            match Listener::bind(Options { address, ..Options::default() }).await {
                Ok(listener) => return listener,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    assert_eq!(again.await.local_addr(), address);
}
