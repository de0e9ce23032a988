//! One connection: reads operations and gives each its meaning.

use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::Instant;

use super::handshake::{self, Connect};
use super::listener::Shared;
use super::options::Authentication;
use super::outbound::Appended;
use super::parcel::Parcel;
use super::parser::{Operation, ParseError, ParseLimits, Parser, Publication};
use super::peer::{Interest, Peer, Target};
use super::router::Publisher;
use super::subject::Pattern;

/// What an idle connection asks the kernel for, in bytes; doubled whenever a read fills it.
const READ_BYTES_MIN: usize = 4 * 1024;

/// What a busy connection asks for at most, in bytes. More per read gains nothing measurable.
const READ_BYTES_MAX: usize = 64 * 1024;

/// How long a publisher is held back per read for a connection that is more than half full.
///
/// A producer that is only a little faster than its consumer is slowed to the consumer's pace and nobody is cut off. A
/// consumer that stands still cannot hold a producer for longer than this per read.
const HOLD_BACK: Duration = Duration::from_millis(5);

/// How long, and for how many bytes, input is read and dropped after an error, so that the client gets to read the
/// error: closing a socket with unread input discards what was sent before.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES_MAX: usize = 8 * 1024 * 1024;

const PING: &[u8] = b"PING\r\n";
const PONG: &[u8] = b"PONG\r\n";
const OK: &[u8] = b"+OK\r\n";

/// Serves one client from INFO to its end.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream, client: SocketAddr, id: u64) {
    // Small answers must not wait for more; writes are gathered by ourselves. A socket that refuses is about to fail.
    let _ = stream.set_nodelay(true);
    let (input, output) = stream.into_split();
    let limits = shared.options.limits;
    let peer = Arc::new(Peer::new(id, client, limits.outbound_bytes_max, shared.cut.child_token()));
    let info = handshake::info_line(&shared.options, &shared.identity, id, client, false);
    peer.outbound.append(&[&info], None);
    let writer = shared.tasks.spawn(super::writer::run(Arc::clone(&peer), output, limits.write_timeout));

    let mut connection = Connection::new(Arc::clone(&shared), Arc::clone(&peer), input);
    let end = connection.run().await;
    connection.leave();
    tracing::debug!(connection = id, client = %client, end = ?end, "client left");
    match end {
        End::Refused => {
            peer.outbound.drain();
            tokio::select! {
                () = connection.linger() => {}
                () = peer.closing.cancelled() => {}
            }
        }
        End::Drained => {
            let info = handshake::info_line(&shared.options, &shared.identity, id, client, true);
            peer.outbound.append(&[&info], None);
            peer.outbound.drain();
        }
        End::Gone => peer.cut(),
    }
    // The write timeout bounds this; a panic in the writer has ended the connection as well.
    let _ = writer.await;
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client closed, failed or was cut off.
    Gone,
    /// The client broke a rule and was told which.
    Refused,
    /// The listener shuts down.
    Drained,
}

struct Connection {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    input: OwnedReadHalf,
    parser: Parser,
    buffer: BytesMut,
    read_bytes: usize,
    publisher: Publisher,
    /// A NATS server acknowledges every operation until CONNECT says otherwise.
    verbose: bool,
    connected: bool,
    pings_unanswered: u32,
}

impl Connection {
    fn new(shared: Arc<Shared>, peer: Arc<Peer>, input: OwnedReadHalf) -> Self {
        let limits = ParseLimits {
            control_line_bytes_max: shared.options.limits.control_line_bytes_max,
            payload_bytes_max: shared.options.limits.payload_bytes_max,
        };
        let credentials_expected = shared.options.authentication != Authentication::None;
        let publisher = Publisher::new(Arc::clone(&shared.router), Some(Arc::clone(&peer)));
        Self {
            shared,
            peer,
            input,
            parser: Parser::new(limits, credentials_expected),
            buffer: BytesMut::new(),
            read_bytes: READ_BYTES_MIN,
            publisher,
            verbose: true,
            connected: false,
            pings_unanswered: 0,
        }
    }

    async fn run(&mut self) -> End {
        self.peer.outbound.wake();
        let limits = self.shared.options.limits;
        let handshake_end = Instant::now() + limits.handshake_timeout;
        let mut next_ping = Instant::now() + limits.ping_interval;
        loop {
            let wake_at = if self.connected { next_ping } else { handshake_end };
            self.buffer.reserve(self.read_bytes);
            let read = tokio::select! {
                biased;
                () = self.peer.closing.cancelled() => return End::Gone,
                () = self.shared.draining.cancelled() => return End::Drained,
                read = self.input.read_buf(&mut self.buffer) => Some(read),
                () = tokio::time::sleep_until(wake_at) => None,
            };
            match read {
                Some(Ok(0) | Err(_)) => return End::Gone,
                Some(Ok(count)) => {
                    next_ping = Instant::now() + limits.ping_interval;
                    if let ControlFlow::Break(end) = self.process(count).await {
                        return end;
                    }
                }
                None if !self.connected => return self.refuse("Authentication Timeout"),
                None if self.pings_unanswered >= limits.pings_unanswered_max => {
                    return self.refuse("Stale Connection");
                }
                None => {
                    self.pings_unanswered += 1;
                    self.say(PING);
                    self.publisher.wake();
                    self.peer.outbound.wake();
                    next_ping = Instant::now() + limits.ping_interval;
                }
            }
        }
    }

    /// Handles everything that is whole in the buffer, then wakes whom it concerns.
    async fn process(&mut self, count: usize) -> ControlFlow<End> {
        // Whoever sends is alive, whether it answers pings or not.
        self.pings_unanswered = 0;
        let mut messages = 0;
        let outcome = loop {
            match self.parser.next(&mut self.buffer) {
                Ok(Some(Operation::Publish(publication))) => {
                    messages += 1;
                    if publication.has_headers() && !self.peer.headers.load(Ordering::Relaxed) {
                        break ControlFlow::Break(self.refuse("message headers not supported"));
                    }
                    self.publish(&publication);
                    drop(publication);
                    if let ControlFlow::Break(end) = self.wait_for_mailboxes().await {
                        break ControlFlow::Break(end);
                    }
                }
                Ok(Some(Operation::Connect { options })) => {
                    if let ControlFlow::Break(end) = self.connect(&options) {
                        break ControlFlow::Break(end);
                    }
                }
                Ok(Some(Operation::Subscribe { pattern, queue, sid })) => self.subscribe(pattern, queue, sid),
                Ok(Some(Operation::Unsubscribe { sid, max })) => self.unsubscribe(&sid, max),
                Ok(Some(Operation::Ping)) => self.say(PONG),
                // Any input is a sign of life; nothing else follows from these.
                Ok(Some(Operation::Pong | Operation::Acknowledge)) => {}
                Ok(None) => break ControlFlow::Continue(()),
                Err(error) => break ControlFlow::Break(self.refuse(refusal(&error))),
            }
        };
        self.shared.router.messages_received.fetch_add(messages, Ordering::Relaxed);
        self.publisher.wake();
        self.peer.outbound.wake();
        self.adapt(count);
        self.hold_back().await;
        outcome
    }

    fn connect(&mut self, options: &Bytes) -> ControlFlow<End> {
        let Some(connect) = Connect::read(options) else {
            return ControlFlow::Break(self.refuse("Parser Error"));
        };
        if connect.tls_required {
            return ControlFlow::Break(self.refuse("Secure Connection - TLS Required"));
        }
        if !connect.is_admitted(&self.shared.options.authentication) {
            tracing::warn!(client = %self.peer.address, "client refused: wrong or missing credentials");
            return ControlFlow::Break(self.refuse("Authorization Violation"));
        }
        if connect.no_responders && !connect.headers {
            // The notice is a header block, so that such a client could not be told.
            return ControlFlow::Break(self.refuse("no responders requires headers support"));
        }
        self.parser.connected();
        self.connected = true;
        self.verbose = connect.verbose;
        self.peer.echo.store(connect.echo, Ordering::Relaxed);
        self.peer.headers.store(connect.headers, Ordering::Relaxed);
        self.peer.no_responders.store(connect.no_responders, Ordering::Relaxed);
        self.acknowledge();
        ControlFlow::Continue(())
    }

    fn publish(&mut self, publication: &Publication) {
        // Answers come before what the message causes, as from a NATS server.
        self.acknowledge();
        let parcel = Parcel::from_publication(publication);
        match self.publisher.publish(&parcel) {
            Ok(0) => {
                if let Some(reply) = parcel.reply
                    && self.peer.no_responders.load(Ordering::Relaxed)
                {
                    self.publisher.tell_no_responders(parcel.subject, reply);
                }
            }
            Ok(_) => {}
            Err(_) => self.say_error("Invalid Publish Subject"),
        }
    }

    fn subscribe(&mut self, pattern: Bytes, queue: Option<Bytes>, sid: Bytes) {
        let Ok(pattern) = Pattern::new(pattern) else {
            return self.say_error("Invalid Subject");
        };
        let interest = {
            let mut subscriptions = self.peer.subscriptions();
            let count = subscriptions.len();
            match subscriptions.entry(sid) {
                // A name that is taken keeps its subscription: saying the same twice changes nothing.
                Entry::Occupied(_) => None,
                Entry::Vacant(_) if count >= self.shared.options.limits.subscriptions_max => {
                    return self.say_error("maximum subscriptions exceeded");
                }
                Entry::Vacant(place) => {
                    let target = Target::Peer(Arc::clone(&self.peer));
                    let interest = Arc::new(Interest::new(pattern, queue, place.key().clone(), target));
                    place.insert(Arc::clone(&interest));
                    Some(interest)
                }
            }
        };
        if let Some(interest) = interest {
            self.shared.router.subscribe(interest);
        }
        self.acknowledge();
    }

    fn unsubscribe(&mut self, sid: &Bytes, max: Option<u64>) {
        let interest = self.peer.subscriptions().get(sid).cloned();
        if let Some(interest) = interest
            && max.is_none_or(|max| interest.end_after(max))
        {
            self.peer.subscriptions().remove(sid);
            self.shared.router.unsubscribe(&interest);
        }
        self.acknowledge();
    }

    /// Stops reading until every full mailbox that this connection filled has room again.
    async fn wait_for_mailboxes(&mut self) -> ControlFlow<End> {
        if self.publisher.full.is_empty() {
            return ControlFlow::Continue(());
        }
        // Whoever makes room may depend on what was published before.
        self.publisher.wake();
        self.peer.outbound.wake();
        while let Some(mailbox) = self.publisher.full.pop() {
            tokio::select! {
                () = mailbox.room() => {}
                () = self.peer.closing.cancelled() => return ControlFlow::Break(End::Gone),
                () = self.shared.draining.cancelled() => return ControlFlow::Break(End::Drained),
            }
        }
        ControlFlow::Continue(())
    }

    async fn hold_back(&mut self) {
        if self.publisher.pressed.is_empty() {
            return;
        }
        let end = Instant::now() + HOLD_BACK;
        for peer in std::mem::take(&mut self.publisher.pressed) {
            // Past the end, the consumer has had its chance.
            let _ = tokio::time::timeout_at(end, peer.outbound.relieved()).await;
        }
    }

    /// Lets busy connections read much at once, and idle ones hold little memory.
    fn adapt(&mut self, count: usize) {
        if count >= self.read_bytes {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        } else if count < self.read_bytes / 4 && self.read_bytes > READ_BYTES_MIN {
            self.read_bytes /= 2;
        }
        if self.buffer.is_empty() && self.buffer.capacity() > 4 * self.read_bytes {
            self.buffer = BytesMut::new();
        }
    }

    /// Tells the client why it has to go.
    fn refuse(&mut self, reason: &str) -> End {
        tracing::debug!(connection = self.peer.id, client = %self.peer.address, reason, "client refused");
        self.say_error(reason);
        End::Refused
    }

    fn acknowledge(&self) {
        if self.verbose {
            self.say(OK);
        }
    }

    fn say_error(&self, reason: &str) {
        self.append(&[b"-ERR '", reason.as_bytes(), b"'\r\n"]);
    }

    fn say(&self, line: &[u8]) {
        self.append(&[line]);
    }

    fn append(&self, pieces: &[&[u8]]) {
        match self.peer.outbound.append(pieces, None) {
            Appended::Waiting { .. } | Appended::Closed => {}
            // It asks and does not read the answers.
            Appended::Overflow => self.peer.cut(),
        }
    }

    /// Withdraws all subscriptions.
    fn leave(&mut self) {
        let interests: Vec<_> = self.peer.subscriptions().drain().map(|(_, interest)| interest).collect();
        for interest in interests {
            self.shared.router.unsubscribe(&interest);
        }
        self.publisher.wake();
        self.peer.outbound.wake();
    }

    /// Reads and drops input for a moment.
    async fn linger(&mut self) {
        let drop_input = async {
            let mut dropped = 0;
            self.buffer.clear();
            while let Ok(count @ 1..) = self.input.read_buf(&mut self.buffer).await {
                self.buffer.clear();
                dropped += count;
                if dropped > LINGER_BYTES_MAX {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, drop_input).await;
    }
}

/// What a client is told when its bytes are not the protocol; the words are those of a NATS server.
fn refusal(error: &ParseError) -> &'static str {
    match error {
        ParseError::UnknownOperation => "Unknown Protocol Operation",
        ParseError::Arguments { .. } | ParseError::PayloadEnd => "Parser Error",
        ParseError::LineTooLong { .. } => "maximum control line exceeded",
        ParseError::PayloadTooLarge { .. } => "Maximum Payload Violation",
        ParseError::ConnectExpected => "Authorization Violation",
    }
}
