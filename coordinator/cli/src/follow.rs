//! A task's events as they happen: first what already happened, by pages; then the live stream, taken up again where it broke.

use crate::answers::{Event, Events};
use crate::client::Client;
use crate::failure::Failure;
use crate::retry::{self, Patience, Trouble};
use crate::sse::{Message, Parser};
use serde_json::value::RawValue;
use std::time::Duration;
use tokio::sync::mpsc;

/// Events asked for at once; the server's own maximum for pages.
const PAGE_EVENTS: usize = 200;
/// Events that may wait for a slow terminal before the network is no longer read.
const WAITING_EVENTS_MAX: usize = 64;
/// The server sends a heartbeat each 15 s; three missed in a row mean that the connection is dead.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// Connections that bring nothing new before we give up.
const FRUITLESS_TRIES_MAX: u32 = 10;

/// An event as it came and as we read it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) event: Event,
    pub(crate) raw: Box<RawValue>,
}

/// Follows a task from the event after number `after` until its end. Each event arrives once and in order; a failure is the last item.
///
/// Runs until the end of the task, or until the receiver is dropped.
pub(crate) fn follow(client: Client, id: String, after: u64) -> mpsc::Receiver<Result<Seen, Failure>> {
    let (sender, receiver) = mpsc::channel(WAITING_EVENTS_MAX);
    tokio::spawn(async move {
        let mut follower = Follower { client, id, last: after, sender };
        if let Err(Stop::Failed(failure)) = follower.run().await {
            // The receiver may be gone; then nobody asks any more.
            let _ = follower.sender.send(Err(failure)).await;
        }
    });
    receiver
}

/// Why following stops before the task's end.
enum Stop {
    Failed(Failure),
    /// Nobody listens any more.
    Unheard,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// How one connection of the stream ended.
enum Ended {
    /// The task is over.
    Finished,
    /// Events are missing between what we have and what comes: read them by pages.
    Interrupted,
    /// The connection broke; worth another.
    Broken { trouble: Trouble, cause: String },
}

struct Follower {
    client: Client,
    id: String,
    last: u64,
    sender: mpsc::Sender<Result<Seen, Failure>>,
}

impl Follower {
    async fn run(&mut self) -> Result<(), Stop> {
        if self.catch_up().await? {
            return Ok(());
        }
        let mut fruitless = 0;
        loop {
            let before = self.last;
            let ended = self.stream().await?;
            fruitless = if self.last > before { 1 } else { fruitless + 1 };
            let (trouble, cause) = match ended {
                Ended::Finished => return Ok(()),
                Ended::Interrupted => {
                    if self.catch_up().await? {
                        return Ok(());
                    }
                    (Trouble::Broken, "the server cannot continue it".to_owned())
                }
                Ended::Broken { trouble, cause } => (trouble, cause),
            };
            let delay = retry::delay(Patience::Long, true, fruitless, trouble).filter(|_| fruitless < FRUITLESS_TRIES_MAX);
            match delay {
                Some(delay) => tokio::time::sleep(delay).await,
                None => return Err(Failure::StreamLost { id: self.id.clone(), tries: fruitless, cause }.into()),
            }
        }
    }

    /// Reads by pages what has already happened. Gives whether the task is over and everything of it was seen.
    async fn catch_up(&mut self) -> Result<bool, Stop> {
        loop {
            let page: Events = self
                .client
                .get(&["tasks", &self.id, "events"])
                .query("after", &self.last.to_string())
                .query("limit", &PAGE_EVENTS.to_string())
                .patient()
                .send()
                .await?
                .read()?;
            let before = self.last;
            for raw in page.items {
                self.hand_over(raw).await?;
            }
            if self.last == before {
                return Ok(page.finished);
            }
        }
    }

    async fn stream(&mut self) -> Result<Ended, Stop> {
        let request = self.client.get(&["tasks", &self.id, "events:stream"]).header("last-event-id", &self.last.to_string());
        let mut response = match request.open_stream().await {
            Ok(response) => response,
            Err(refused) => {
                return match *refused {
                    (Some(trouble), failure) if retry::delay(Patience::Long, true, 1, trouble).is_some() => {
                        Ok(Ended::Broken { trouble, cause: failure.to_string() })
                    }
                    (_, failure) => Err(failure.into()),
                };
            }
        };
        let mut parser = Parser::default();
        loop {
            let broken = |cause: &str| Ok(Ended::Broken { trouble: Trouble::Broken, cause: cause.to_owned() });
            let chunk = match tokio::time::timeout(SILENCE_MAX, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => return broken("the server closed it"),
                Ok(Err(cause)) => return broken(&cause.to_string()),
                Err(_) => return broken("not even a heartbeat came"),
            };
            let messages = match parser.feed(&chunk) {
                Ok(messages) => messages,
                Err(cause) => return Err(self.unreadable(&cause.to_string()).into()),
            };
            for message in messages {
                if let Some(ended) = self.take(message).await? {
                    return Ok(ended);
                }
            }
        }
    }

    async fn take(&mut self, message: Message) -> Result<Option<Ended>, Stop> {
        match message.event.as_str() {
            "end" => return Ok(Some(Ended::Finished)),
            "reset" => return Ok(Some(Ended::Interrupted)),
            _ => {}
        }
        let raw = RawValue::from_string(message.data).map_err(|cause| self.unreadable(&cause.to_string()))?;
        let number = self.read(&raw)?.number;
        if number > self.last + 1 {
            return Ok(Some(Ended::Interrupted));
        }
        self.hand_over(raw).await?;
        Ok(None)
    }

    /// Gives an event to the receiver, unless it has had it.
    async fn hand_over(&mut self, raw: Box<RawValue>) -> Result<(), Stop> {
        let event = self.read(&raw)?;
        if event.number > self.last {
            self.last = event.number;
            self.sender.send(Ok(Seen { event, raw })).await.map_err(|_| Stop::Unheard)?;
        }
        Ok(())
    }

    fn read(&self, raw: &RawValue) -> Result<Event, Failure> {
        serde_json::from_str(raw.get()).map_err(|cause| self.unreadable(&cause.to_string()))
    }

    fn unreadable(&self, cause: &str) -> Failure {
        Failure::Unreadable { address: format!("the events of {}", self.id), cause: cause.to_owned() }
    }
}
