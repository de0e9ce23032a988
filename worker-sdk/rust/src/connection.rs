//! The NATS connection: it reconnects for ever, and says when it has.

use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, ServerAddr, Subject};
use bytes::Bytes;
use rand::Rng as _;
use tokio::sync::watch;

use crate::error::WorkerError;

/// The first reconnect is quick, because most interruptions are a restart.
const RECONNECT_FIRST: Duration = Duration::from_millis(50);
/// And no later than this, because work waits meanwhile.
const RECONNECT_MAX: Duration = Duration::from_secs(4);
/// How long the last messages may take to leave.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// Whether a server is there, and how many times one has been found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LinkState {
    pub up: bool,
    pub connections: u64,
}

/// A client that never blocks its owner while no server is there.
#[derive(Clone)]
pub(crate) struct Link {
    client: Client,
    state: watch::Receiver<LinkState>,
}

impl Link {
    /// Begins to connect and returns at once.
    ///
    /// # Errors
    /// An address that cannot be one, or credentials that cannot be read.
    pub async fn open(url: &str, name: &str, inbox: &str) -> Result<Self, WorkerError> {
        let mut servers = Vec::new();
        for part in url.split(',') {
            let server: ServerAddr = part.trim().parse().map_err(|error| {
                WorkerError::Nats(format!("`{}` is not a NATS address like nats://host:4222: {error}", without_secrets(part)))
            })?;
            servers.push(server);
        }
        let (sender, state) = watch::channel(LinkState::default());
        let options = credentials(ConnectOptions::new(), servers.first())
            .name(name)
            .custom_inbox_prefix(inbox)
            .retry_on_initial_connect()
            .max_reconnects(None)
            .reconnect_delay_callback(delay)
            .event_callback(move |event| {
                observe(&sender, &event);
                std::future::ready(())
            });
        let client = options.connect(servers).await.map_err(|error| WorkerError::Nats(error.to_string()))?;
        Ok(Self { client, state })
    }

    pub async fn subscribe(&self, subject: &Subject) -> Result<async_nats::Subscriber, WorkerError> {
        self.client.subscribe(subject.clone()).await.map_err(|error| WorkerError::Nats(error.to_string()))
    }

    /// Hands a message to the client. While no server is there it is dropped:
    /// whoever holds the fact sends it again after the reconnect.
    pub async fn publish(&self, subject: Subject, payload: Bytes) {
        let sending = self.client.publish(subject.clone(), payload);
        self.unless_down(&subject, sending).await;
    }

    /// The same with a reply subject.
    pub async fn publish_with_reply(&self, subject: Subject, reply: Subject, payload: Bytes) {
        let sending = self.client.publish_with_reply(subject.clone(), reply, payload);
        self.unless_down(&subject, sending).await;
    }

    async fn unless_down<E: std::fmt::Display>(&self, subject: &Subject, sending: impl Future<Output = Result<(), E>>) {
        if !self.state.borrow().up {
            return;
        }
        let mut state = self.state.clone();
        tokio::select! {
            biased;
            sent = sending => if let Err(error) = sent {
                tracing::error!(%subject, %error, "a message could not be handed to NATS");
            },
            _ = state.wait_for(|state| !state.up) => {}
        }
    }

    /// Waits until everything published has left, at most two seconds.
    pub async fn flush(&self) {
        if self.is_up() && tokio::time::timeout(FLUSH_MAX, self.client.flush()).await.is_err() {
            tracing::warn!("the last messages did not leave in time");
        }
    }

    pub fn is_up(&self) -> bool {
        self.state.borrow().up
    }

    /// The largest message that the server takes.
    pub fn message_bytes_max(&self) -> usize {
        self.client.max_payload()
    }

    pub fn states(&self) -> watch::Receiver<LinkState> {
        self.state.clone()
    }
}

fn observe(sender: &watch::Sender<LinkState>, event: &Event) {
    match event {
        Event::Connected => {
            sender.send_modify(|state| *state = LinkState { up: true, connections: state.connections + 1 });
        }
        Event::Disconnected | Event::Closed => {
            sender.send_modify(|state| state.up = false);
            tracing::warn!("lost the connection to NATS; trying again for ever");
        }
        Event::SlowConsumer(_) => {
            tracing::warn!("step requests arrived faster than they were read and some were dropped; they will be sent again")
        }
        Event::ServerError(error) => tracing::error!(%error, "NATS refused something; does this user have the rights in docs/protocol.md?"),
        Event::ClientError(error) => tracing::warn!(%error, "cannot connect to NATS yet; trying again"),
        Event::LameDuckMode | Event::Draining => tracing::info!(%event, "the NATS server is going away"),
    }
}

/// Doubles from 50 ms to 4 s, with half of it random, so that a thousand
/// workers do not come back in the same millisecond.
fn delay(attempts: usize) -> Duration {
    let exponent = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    let whole = RECONNECT_FIRST.saturating_mul(1 << exponent).min(RECONNECT_MAX);
    whole.mul_f64(rand::rng().random_range(0.5..=1.0))
}

/// User and password, or a token, stand in the address: `nats://user:password@host`, `nats://token@host`.
fn credentials(options: ConnectOptions, server: Option<&ServerAddr>) -> ConnectOptions {
    let Some(server) = server else { return options };
    match (server.username(), server.password()) {
        (Some(user), Some(password)) => options.user_and_password(percent_decoded(user), percent_decoded(password)),
        (Some(token), None) => options.token(percent_decoded(token)),
        (None, _) => options,
    }
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        decoded.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// An address as it may be shown.
fn without_secrets(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => format!("{}[redacted]{}", &url[..scheme + 3], &url[at..]),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconnects_begin_quickly_grow_and_stay_below_their_limit() {
        assert!(delay(1) <= RECONNECT_FIRST);
        for attempts in [10, 1000, usize::MAX] {
            assert!(delay(attempts) <= RECONNECT_MAX && delay(attempts) >= RECONNECT_MAX / 2);
        }
    }

    #[test]
    fn a_password_may_hold_any_character() {
        assert_eq!(percent_decoded("a%40b%2Fc%"), "a@b/c%");
    }

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        assert_eq!(without_secrets("nats://me:secret@host:1"), "nats://[redacted]@host:1");
        assert_eq!(without_secrets("nats://host:1"), "nats://host:1");
    }
}
