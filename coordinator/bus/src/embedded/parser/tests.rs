use bytes::BytesMut;
use proptest::prelude::*;

use super::*;

const LIMITS: ParseLimits = ParseLimits { control_line_bytes_max: 64, payload_bytes_max: 128 };

/// Everything that comes out of a stream cut into these pieces; the error, if any, comes last.
fn read(pieces: &[&[u8]]) -> (Vec<Operation>, Option<ParseError>) {
    let mut parser = Parser::new(LIMITS, false);
    let mut buffer = BytesMut::new();
    let mut operations = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match parser.next(&mut buffer) {
                Ok(Some(operation)) => operations.push(operation),
                Ok(None) => break,
                Err(error) => return (operations, Some(error)),
            }
        }
    }
    (operations, None)
}

fn check(stream: &str, expect: Result<Operation, ParseError>) {
    let (operations, error) = read(&[stream.as_bytes()]);
    match expect {
        Ok(operation) => assert_eq!((operations, error), (vec![operation], None), "{stream:?}"),
        Err(expected) => assert_eq!((operations, error), (vec![], Some(expected)), "{stream:?}"),
    }
}

fn publication(stream: &str) -> Publication {
    match read(&[stream.as_bytes()]) {
        (mut operations, None) if operations.len() == 1 => match operations.remove(0) {
            Operation::Publish(publication) => publication,
            other => panic!("{stream:?} gave {other:?}"),
        },
        other => panic!("{stream:?} gave {other:?}"),
    }
}

#[test]
fn a_publication_has_subject_reply_headers_and_payload() {
    let plain = publication("PUB a.b 5\r\nhello\r\n");
    assert_eq!((plain.subject(), plain.reply(), plain.payload().as_ref()), (&b"a.b"[..], None, &b"hello"[..]));
    assert!(!plain.has_headers());

    let asking = publication("pub\ta.b   inbox.1  0\r\n\r\n");
    assert_eq!((asking.reply(), asking.payload_bytes()), (Some(&b"inbox.1"[..]), 0));

    let headed = publication("HPUB a.b inbox 12 17\r\nNATS/1.0\r\n\r\nhello\r\n");
    assert_eq!(headed.headers().as_ref(), b"NATS/1.0\r\n\r\n");
    assert_eq!(headed.payload().as_ref(), b"hello");
    assert_eq!(headed.body(), (&b"NATS/1.0\r\n\r\n"[..], &b"hello"[..]));
}

#[test]
fn a_payload_may_hold_line_ends() {
    assert_eq!(publication("PUB a 7\r\nx\r\ny\r\nz\r\n").payload().as_ref(), b"x\r\ny\r\nz");
}

#[test]
fn subscriptions_name_pattern_queue_and_sid() {
    check("SUB a.* 1\r\n", Ok(Operation::Subscribe { pattern: "a.*".into(), queue: None, sid: "1".into() }));
    check("SUB a.> workers 2\r\n", Ok(Operation::Subscribe { pattern: "a.>".into(), queue: Some("workers".into()), sid: "2".into() }));
    check("UNSUB 1\r\n", Ok(Operation::Unsubscribe { sid: "1".into(), max: None }));
    check("UNSUB 1 5\r\n", Ok(Operation::Unsubscribe { sid: "1".into(), max: Some(5) }));
    check("UNSUB 1 0\r\n", Ok(Operation::Unsubscribe { sid: "1".into(), max: None }));
}

#[test]
fn short_operations_are_read_in_any_case_and_with_a_bare_line_feed() {
    check("PING\r\n", Ok(Operation::Ping));
    check("ping\n", Ok(Operation::Ping));
    check("Pong\r\n", Ok(Operation::Pong));
    check("+OK\r\n", Ok(Operation::Acknowledge));
    check("CONNECT {}\r\n", Ok(Operation::Connect { options: " {}".into() }));
}

#[test]
fn what_is_not_the_protocol_is_refused() {
    check("GET / HTTP/1.1\r\n", Err(ParseError::UnknownOperation));
    check("\r\n", Err(ParseError::UnknownOperation));
    check("MSG a 1 0\r\n", Err(ParseError::UnknownOperation));
    check("PUB a\r\n", Err(ParseError::Arguments { operation: "PUB" }));
    check("PUB a b c 1\r\n", Err(ParseError::Arguments { operation: "PUB" }));
    check("PUB a -1\r\n", Err(ParseError::Arguments { operation: "PUB" }));
    check("PUB a 99999999999999999999\r\n", Err(ParseError::Arguments { operation: "PUB" }));
    check("HPUB a 0 5\r\n", Err(ParseError::Arguments { operation: "HPUB" }));
    check("HPUB a 6 5\r\n", Err(ParseError::Arguments { operation: "HPUB" }));
    check("SUB a\r\n", Err(ParseError::Arguments { operation: "SUB" }));
    check("SUB a b c d e f\r\n", Err(ParseError::Arguments { operation: "SUB" }));
    check("UNSUB\r\n", Err(ParseError::Arguments { operation: "UNSUB" }));
    check("PUB a 1\r\nabc", Err(ParseError::PayloadEnd));
    check("PUB a 1\r\na\rb", Err(ParseError::PayloadEnd));
}

#[test]
fn a_payload_over_the_limit_is_refused_before_it_is_read() {
    assert_eq!(publication(&format!("PUB a 128\r\n{}\r\n", "x".repeat(128))).payload_bytes(), 128);
    check("PUB a 129\r\n", Err(ParseError::PayloadTooLarge { announced: 129, limit: 128 }));
    check("HPUB a 12 129\r\n", Err(ParseError::PayloadTooLarge { announced: 129, limit: 128 }));
}

#[test]
fn a_control_line_over_the_limit_is_refused_without_waiting_for_its_end() {
    let exact = format!("SUB {} 1\r\n", "a".repeat(64 - 6));
    assert_eq!(read(&[exact.as_bytes()]).0.len(), 1);
    let over = format!("SUB {} 1\r\n", "a".repeat(64 - 5));
    check(&over, Err(ParseError::LineTooLong { limit: 64 }));
    check(&"x".repeat(66), Err(ParseError::LineTooLong { limit: 64 }));
}

#[test]
fn nothing_but_connect_is_read_while_credentials_are_expected() {
    let mut parser = Parser::new(LIMITS, true);
    let mut buffer = BytesMut::from(&b"CONNECT {}\r\nPUB a 1\r\nx\r\n"[..]);
    assert!(matches!(parser.next(&mut buffer), Ok(Some(Operation::Connect { .. }))));
    assert_eq!(parser.next(&mut buffer), Err(ParseError::ConnectExpected));

    let mut parser = Parser::new(LIMITS, true);
    let mut buffer = BytesMut::from(&b"CONNECT {}\r\nPING\r\n"[..]);
    assert!(matches!(parser.next(&mut buffer), Ok(Some(Operation::Connect { .. }))));
    parser.connected();
    assert_eq!(parser.next(&mut buffer), Ok(Some(Operation::Ping)));
}

/// Mostly well-formed streams, sometimes damaged: the interesting cuts lie inside operations that nearly parse.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let text = "[a-z.*>]{1,12}";
    let body = proptest::collection::vec(any::<u8>(), 0..140);
    let operation = prop_oneof![
        (text, body.clone()).prop_map(|(subject, body)| frame(&format!("PUB {subject} {}\r\n", body.len()), &body)),
        (text, text, body.clone())
            .prop_map(|(subject, reply, body)| { frame(&format!("PUB {subject} {reply} {}\r\n", body.len()), &body) }),
        (text, body.clone(), 0_usize..20)
            .prop_map(|(subject, body, headers)| { frame(&format!("HPUB {subject} {headers} {}\r\n", body.len()), &body,) }),
        (text, text).prop_map(|(pattern, sid)| format!("SUB {pattern} {sid}\r\n").into_bytes()),
        (text, 0_u32..9).prop_map(|(sid, max)| format!("UNSUB {sid} {max}\n").into_bytes()),
        Just(b"PING\r\n".to_vec()),
        Just(b"CONNECT {\"verbose\":false}\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..8),
    ];
    proptest::collection::vec(operation, 0..12).prop_map(|parts| parts.concat())
}

fn frame(line: &str, body: &[u8]) -> Vec<u8> {
    [line.as_bytes(), body, b"\r\n"].concat()
}

proptest! {
    #[test]
    fn any_cut_of_a_stream_gives_the_same_operations(stream in streams(), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20)) {
        let whole = read(&[&stream]);
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        places.push(0);
        places.push(stream.len());
        places.sort_unstable();
        let pieces: Vec<&[u8]> = places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        prop_assert_eq!(&read(&pieces), &whole);
        let single: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(&read(&single), &whole);
    }

    #[test]
    fn random_bytes_never_panic(stream in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = read(&[&stream]);
    }

    #[test]
    fn the_buffer_never_needs_more_than_one_frame(stream in streams()) {
        let mut parser = Parser::new(LIMITS, false);
        let mut buffer = BytesMut::new();
        for byte in stream {
            buffer.extend_from_slice(&[byte]);
            match parser.next(&mut buffer) {
                Ok(_) => prop_assert!(buffer.len() <= LIMITS.control_line_bytes_max + LIMITS.payload_bytes_max + 4),
                Err(_) => break,
            }
        }
    }
}
