//! A NATS server or cluster, through the official client. Core NATS only.

use crate::door::{Door, Refused};
use crate::responders;
use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tasker_engine::ShardId;
use tasker_runtime::port::bus::{Answer, Bus, Call, CallOutcome, Inbound, Inbox, ToWorker};
use tasker_wire::worker::{Subjects, encode};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Messages to workers that may wait for the connection; more are dropped and counted, and sent again by the next beat's comparison.
const OUTGOING_MAX: usize = 65_536;
/// How often the server is asked for a sign of life, so that a silent one is noticed within seconds.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// How often the coordinator says something to itself through the server, and how long after hearing it last it counts as cut off: sooner than
/// the workers' leases end, because the silence is not theirs then.
const ECHO_EVERY: Duration = Duration::from_millis(500);
const ECHO_LATE: Duration = Duration::from_millis(1_500);
/// How long the first connection is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How to reach the server.
#[derive(Debug, Clone)]
pub struct Options {
    /// `nats://host:4222`, several separated by commas; user and password or token may be in it.
    pub url: String,
    /// A file with NATS credentials.
    pub credentials_file: Option<std::path::PathBuf>,
    /// Shown by the server.
    pub name: String,
}

/// Why the bus could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL is not one.
    #[error("the NATS URL is malformed: {0}; give nats://HOST:PORT")]
    Url(String),
    /// No server answers there.
    #[error("no NATS server answers at {servers}: {reason}; start one, correct --nats-url, or leave it out to use the embedded listener")]
    Unreachable {
        /// Where it was tried, without credentials.
        servers: String,
        /// What the client says.
        reason: String,
    },
    /// The server does not let this coordinator subscribe.
    #[error("the NATS server refused a subscription: {0}; the coordinator needs to publish and subscribe below its prefix and its inbox")]
    Refused(String),
}

impl ConnectError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Url(_) => "bus.url_malformed",
            Self::Unreachable { .. } => "bus.unreachable",
            Self::Refused(_) => "bus.permission_denied",
        }
    }
}

/// A connection to NATS.
pub struct Nats {
    client: async_nats::Client,
    door: Door,
    outgoing: mpsc::Sender<Outgoing>,
    connected: Arc<AtomicBool>,
    /// When it last heard itself; none if it never did, for instance because it may not.
    heard: Arc<Mutex<Option<Instant>>>,
    servers: String,
    served: Mutex<BTreeMap<ShardId, CancellationToken>>,
}

enum Outgoing {
    Messages(Vec<ToWorker>),
    Flush(oneshot::Sender<()>),
}

impl Nats {
    /// Connects, subscribes, and begins to hand on what arrives.
    ///
    /// # Errors
    /// No server answers within five seconds, or it refuses.
    pub async fn connect(options: Options, subjects: Subjects, inbox: Inbox) -> Result<Self, ConnectError> {
        let servers = without_credentials(&options.url)?;
        let connected = Arc::new(AtomicBool::new(true));
        let (events_connected, events_inbox) = (connected.clone(), inbox.clone());
        let mut connect = async_nats::ConnectOptions::new()
            .name(&options.name)
            .ping_interval(PING_INTERVAL)
            .connection_timeout(CONNECT_TIMEOUT)
            .client_capacity(OUTGOING_MAX)
            .subscription_capacity(OUTGOING_MAX)
            .event_callback(move |event| {
                let (connected, inbox) = (events_connected.clone(), events_inbox.clone());
                async move { note(event, &connected, &inbox).await }
            });
        if let Some(file) = &options.credentials_file {
            connect = connect.credentials_file(file).await.map_err(|error| ConnectError::Unreachable {
                servers: servers.clone(),
                reason: format!("the credentials file {} cannot be read: {error}", file.display()),
            })?;
        }
        // The client does not read users and tokens out of addresses, so they are handed over.
        if let Some((user, password)) = credentials_of(&options.url) {
            connect = match password {
                Some(password) => connect.user_and_password(user, password),
                None => connect.token(user),
            };
        }
        let addresses: Vec<async_nats::ServerAddr> = servers
            .split(", ")
            .map(|address| address.parse().map_err(|_| ConnectError::Url(address.to_owned())))
            .collect::<Result<_, _>>()?;
        let client = connect
            .connect(addresses)
            .await
            .map_err(|error| ConnectError::Unreachable { servers: servers.clone(), reason: error.to_string() })?;
        let door = Door { subjects: Arc::new(subjects), inbox, refused: Arc::new(Refused::default()) };
        for subject in door.subjects.of_every_coordinator() {
            let subscriber = client.subscribe(subject).await.map_err(|error| ConnectError::Refused(error.to_string()))?;
            tokio::spawn(receive(subscriber, door.clone()));
        }
        client.flush().await.map_err(|error| ConnectError::Refused(error.to_string()))?;
        let (outgoing, waiting) = mpsc::channel(OUTGOING_MAX);
        tokio::spawn(publish(client.clone(), door.subjects.clone(), waiting));
        let heard = Arc::new(Mutex::new(None));
        let name = client.new_inbox();
        let echo = door.subjects.echo(name.rsplit('.').next().unwrap_or(&name));
        tokio::spawn(hear_oneself(client.clone(), echo, heard.clone()));
        Ok(Self { client, door, outgoing, connected, heard, servers, served: Mutex::default() })
    }
}

async fn receive(mut subscriber: async_nats::Subscriber, door: Door) {
    receive_from(&mut subscriber, &door).await;
}

async fn receive_from(subscriber: &mut async_nats::Subscriber, door: &Door) {
    while let Some(message) = subscriber.next().await {
        door.take(&message.subject, message.payload).await;
    }
}

/// Says something to itself, again and again. A server that stands still or is cut off closes no connection; that messages pass both ways is known
/// only from one that has.
async fn hear_oneself(client: async_nats::Client, subject: String, heard: Arc<Mutex<Option<Instant>>>) {
    let Ok(mut echoes) = client.subscribe(subject.clone()).await else { return };
    let mut beat = tokio::time::interval(ECHO_EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            echo = echoes.next() => match echo {
                Some(_) => *heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now()),
                None => return,
            },
            // What cannot be sent is not heard either.
            _ = beat.tick() => drop(client.publish(subject.clone(), Bytes::new()).await),
        }
    }
}

/// Hears the replies to one shard until it is given up.
async fn serve(client: async_nats::Client, door: Door, shard: ShardId, given_up: CancellationToken) {
    match client.subscribe(door.subjects.replies(shard)).await {
        Ok(mut subscriber) => {
            given_up.run_until_cancelled(receive_from(&mut subscriber, &door)).await;
            // The server forgets it with the connection otherwise.
            let _ = subscriber.unsubscribe().await;
        }
        // Only a client that is closed refuses.
        Err(error) => tracing::error!(shard = shard.0, %error, "the replies to a shard cannot be heard"),
    }
}

async fn publish(client: async_nats::Client, subjects: Arc<Subjects>, mut waiting: mpsc::Receiver<Outgoing>) {
    while let Some(outgoing) = waiting.recv().await {
        match outgoing {
            Outgoing::Messages(messages) => {
                for message in messages {
                    let subject = subjects.to(&message.namespace, &message.system, &message.session);
                    for body in encode(message) {
                        if let Err(error) = client.publish(subject.clone(), body).await {
                            tracing::warn!(%error, "a message to a worker was not sent; it will be sent again");
                        }
                    }
                }
            }
            Outgoing::Flush(done) => {
                let _ = client.flush().await;
                let _ = done.send(());
            }
        }
    }
}

async fn note(event: async_nats::Event, connected: &AtomicBool, inbox: &Inbox) {
    match event {
        async_nats::Event::Connected => {
            if !connected.swap(true, Ordering::Relaxed) {
                tracing::info!("connected to nats again");
                inbox.deliver_reconnected().await;
            }
        }
        async_nats::Event::Disconnected => {
            connected.store(false, Ordering::Relaxed);
            tracing::warn!("the connection to nats was lost; trying again");
        }
        other => tracing::warn!(event = %other, "nats"),
    }
}

/// The addresses as they may be shown.
fn without_credentials(url: &str) -> Result<String, ConnectError> {
    let shown = url.split(',').map(|one| {
        let one = one.trim();
        let (scheme, rest) = one.split_once("://").unwrap_or(("nats", one));
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        if host.is_empty() || !matches!(scheme, "nats" | "tls" | "ws" | "wss") {
            return Err(ConnectError::Url(format!("{scheme}://{host}")));
        }
        Ok(format!("{scheme}://{host}"))
    });
    Ok(shown.collect::<Result<Vec<_>, _>>()?.join(", "))
}

/// The user and password, or the token, in the first address that has any.
fn credentials_of(url: &str) -> Option<(String, Option<String>)> {
    url.split(',').find_map(|one| {
        let rest = one.trim().split_once("://").map_or(one.trim(), |(_, rest)| rest);
        let (credentials, _) = rest.rsplit_once('@')?;
        Some(match credentials.split_once(':') {
            Some((user, password)) => (user.to_owned(), Some(password.to_owned())),
            None => (credentials.to_owned(), None),
        })
    })
}

impl Bus for Nats {
    fn send(&self, messages: Vec<ToWorker>) {
        if self.outgoing.try_send(Outgoing::Messages(messages)).is_err() {
            self.door.refused.count("outgoing_full");
        }
    }

    fn call(&self, call: Call) {
        let (client, door) = (self.client.clone(), self.door.clone());
        tokio::spawn(async move {
            let subject = door.subjects.call(&call.namespace, &call.system, &call.capability);
            let mut headers = async_nats::HeaderMap::new();
            for (name, value) in responders::headers(&call) {
                headers.insert(name, value);
            }
            let request = async_nats::Request::new().payload(call.input.bytes().clone()).headers(headers).timeout(Some(call.timeout));
            let outcome = match client.send_request(subject, request).await {
                Ok(answer) => responders::outcome(answer.payload, |name| Some(answer.headers.as_ref()?.get(name)?.as_str().to_owned())),
                Err(error) if error.kind() == async_nats::RequestErrorKind::NoResponders => CallOutcome::NoResponders,
                Err(_) => CallOutcome::NoAnswer,
            };
            door.inbox.deliver(&call.namespace, Inbound::Answered(Answer { call: call.key, outcome })).await;
        });
    }

    fn serve(&self, shard: ShardId) {
        let given_up = CancellationToken::new();
        let before = self.served.lock().unwrap_or_else(PoisonError::into_inner).insert(shard, given_up.clone());
        if let Some(before) = before {
            before.cancel();
        }
        tokio::spawn(serve(self.client.clone(), self.door.clone(), shard, given_up));
    }

    fn leave(&self, shard: ShardId) {
        if let Some(given_up) = self.served.lock().unwrap_or_else(PoisonError::into_inner).remove(&shard) {
            given_up.cancel();
        }
    }

    fn is_connected(&self) -> bool {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        self.connected.load(Ordering::Relaxed) && heard.is_none_or(|at| at.elapsed() < ECHO_LATE)
    }

    fn refused(&self) -> BTreeMap<&'static str, u64> {
        self.door.refused.counts()
    }

    fn describe(&self) -> String {
        format!("NATS at {}", self.servers)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let (done, flushed) = oneshot::channel();
            if self.outgoing.send(Outgoing::Flush(done)).await.is_ok() {
                let _ = tokio::time::timeout(CONNECT_TIMEOUT, flushed).await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_a_url_are_never_shown() {
        assert_eq!(without_credentials("nats://user:secret@bus:4222, bus2").ok(), Some("nats://bus:4222, nats://bus2".into()));
        assert_eq!(credentials_of("nats://user:secret@bus:4222"), Some(("user".into(), Some("secret".into()))));
        assert_eq!(credentials_of("nats://token@bus:4222"), Some(("token".into(), None)));
        assert_eq!(credentials_of("nats://bus:4222"), None);
        assert!(matches!(without_credentials("http://bus"), Err(ConnectError::Url(_))));
        assert!(matches!(without_credentials("nats://"), Err(ConnectError::Url(_))));
    }
}
