use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};

use tokio_util::sync::CancellationToken;

use super::super::MailboxLimits;
use super::super::subject::Pattern;
use super::*;

fn peer(outbound_bytes_max: usize) -> Arc<Peer> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    Arc::new(Peer::new(1, address, outbound_bytes_max, CancellationToken::new()))
}

fn subscribe(router: &Router, pattern: &str, queue: Option<&'static str>, peer: &Arc<Peer>) -> Arc<Interest> {
    let pattern = Pattern::new(pattern.to_owned()).unwrap();
    let target = Target::Peer(Arc::clone(peer));
    let interest = Arc::new(Interest::new(pattern, queue.map(Bytes::from), "1".into(), target));
    router.subscribe(Arc::clone(&interest));
    interest
}

fn publish(publisher: &mut Publisher, subject: &str, payload: &[u8]) -> Result<usize, SubjectError> {
    let owner = Bytes::copy_from_slice(payload);
    publisher.publish(&Parcel { subject: subject.as_bytes(), reply: None, headers: &[], payload: &owner, owner: &owner })
}

fn written(peer: &Peer) -> String {
    let mut batch = VecDeque::new();
    peer.outbound.take(&mut batch);
    batch.iter().map(|chunk| String::from_utf8_lossy(chunk).into_owned()).collect()
}

#[test]
fn a_remembered_subject_follows_every_change_of_its_subscribers() {
    let router = Arc::new(Router::default());
    let mut publisher = Publisher::new(Arc::clone(&router), None);
    assert_eq!(publish(&mut publisher, "a.b", b"1"), Ok(0));
    let (first, second) = (peer(1000), peer(1000));
    let interest = subscribe(&router, "a.b", None, &first);
    assert_eq!(publish(&mut publisher, "a.b", b"2"), Ok(1));
    subscribe(&router, "a.*", None, &second);
    assert_eq!(publish(&mut publisher, "a.b", b"3"), Ok(2));
    router.unsubscribe(&interest);
    assert_eq!(publish(&mut publisher, "a.b", b"4"), Ok(1));
    assert_eq!(written(&first), "MSG a.b 1 1\r\n2\r\nMSG a.b 1 1\r\n3\r\n");
    assert_eq!(written(&second), "MSG a.b 1 1\r\n3\r\nMSG a.b 1 1\r\n4\r\n");
}

#[test]
fn what_a_publisher_remembers_is_bounded() {
    let router = Arc::new(Router::default());
    let mut publisher = Publisher::new(router, None);
    for number in 0..3 * REMEMBERED_SUBJECTS_MAX {
        publish(&mut publisher, &format!("inbox.{number}"), b"").unwrap();
        assert!(publisher.remembered.len() <= REMEMBERED_SUBJECTS_MAX);
    }
}

#[test]
fn a_queue_group_passes_a_message_on_when_a_member_is_closing() {
    let router = Arc::new(Router::default());
    let (gone, alive) = (peer(1000), peer(1000));
    subscribe(&router, "a", Some("q"), &gone);
    subscribe(&router, "a", Some("q"), &alive);
    gone.outbound.drain();
    let mut publisher = Publisher::new(router, None);
    for _ in 0..50 {
        assert_eq!(publish(&mut publisher, "a", b"x"), Ok(1));
    }
    assert_eq!(written(&alive).matches("MSG").count(), 50);
}

#[test]
fn a_client_without_echo_does_not_get_its_own_messages() {
    let router = Arc::new(Router::default());
    let own = peer(1000);
    subscribe(&router, "a", None, &own);
    let mut publisher = Publisher::new(Arc::clone(&router), Some(Arc::clone(&own)));
    assert_eq!(publish(&mut publisher, "a", b"x"), Ok(1));
    own.echo.store(false, Ordering::Relaxed);
    assert_eq!(publish(&mut publisher, "a", b"x"), Ok(0));
}

#[test]
fn a_subscription_ends_with_its_last_message() {
    let router = Arc::new(Router::default());
    let peer = peer(1000);
    let interest = subscribe(&router, "a", None, &peer);
    assert!(!interest.end_after(2));
    let mut publisher = Publisher::new(Arc::clone(&router), None);
    let delivered: Vec<_> = (0..4).map(|_| publish(&mut publisher, "a", b"x").unwrap()).collect();
    assert_eq!(delivered, [1, 1, 0, 0]);
    assert_eq!(router.subscription_count(), 0);
}

#[test]
fn a_connection_that_does_not_read_is_cut_and_others_go_on() {
    let router = Arc::new(Router::default());
    let (slow, fast) = (peer(100), peer(1000));
    subscribe(&router, "a", None, &slow);
    subscribe(&router, "a", None, &fast);
    let mut publisher = Publisher::new(Arc::clone(&router), None);
    let delivered: Vec<_> = (0..4).map(|_| publish(&mut publisher, "a", &[b'x'; 40]).unwrap()).collect();
    assert_eq!(delivered, [2, 1, 1, 1]);
    assert!(slow.closing.is_cancelled());
    assert!(!fast.closing.is_cancelled());
    assert_eq!(router.slow_consumers_cut.load(Ordering::Relaxed), 1);
    assert_eq!(written(&fast).matches("MSG").count(), 4);
}

#[test]
fn a_full_mailbox_is_reported_to_the_publisher_and_keeps_everything() {
    let router = Arc::new(Router::default());
    let mailbox = Arc::new(Mailbox::new(MailboxLimits { messages_max: 2, bytes_max: 1000 }));
    let target = Target::Mailbox(Arc::clone(&mailbox));
    router.subscribe(Arc::new(Interest::new(Pattern::new("a").unwrap(), None, Bytes::new(), target)));
    let mut publisher = Publisher::new(router, Some(peer(1000)));
    publish(&mut publisher, "a", b"1").unwrap();
    assert!(publisher.full.is_empty());
    publish(&mut publisher, "a", b"2").unwrap();
    assert_eq!(publisher.full.len(), 1);
    publish(&mut publisher, "a", b"3").unwrap();
    let mut batch = Vec::new();
    assert_eq!(mailbox.take_now(&mut batch, 10), Some(3));
}

#[test]
fn nobody_gets_a_message_with_a_bad_subject_or_reply_subject() {
    let router = Arc::new(Router::default());
    let peer = peer(1000);
    subscribe(&router, ">", None, &peer);
    let mut publisher = Publisher::new(router, None);
    assert_eq!(publish(&mut publisher, "a.*", b""), Err(SubjectError::Wildcard));
    assert_eq!(publish(&mut publisher, "a..b", b""), Err(SubjectError::EmptyToken));
    let owner = Bytes::new();
    let parcel = Parcel { subject: b"a", reply: Some(b"b..c"), headers: &[], payload: &[], owner: &owner };
    assert_eq!(publisher.publish(&parcel), Err(SubjectError::EmptyToken));
    assert_eq!(written(&peer), "");
}
