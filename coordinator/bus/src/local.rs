//! The embedded listener as the coordinator's own bus: no socket between them.

use crate::door::{Door, Refused};
use crate::embedded::{BindError, Headers, Listener, LocalClient, MailboxLimits, Message, Options, Subject, Subscription};
use crate::responders;
use futures::future::BoxFuture;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tasker_engine::ShardId;
use tasker_runtime::port::bus::{Answer, Bus, Call, CallOutcome, Inbound, Inbox, ToWorker};
use tasker_wire::worker::{Subjects, encode};
use tokio::sync::oneshot;

/// Messages taken from a subscription at a time.
const RECEIVE_BATCH: usize = 256;
/// Where answers of plain responders arrive.
const INBOX: &str = "_INBOX.tasker";

/// The embedded listener and the coordinator's own place in it.
pub struct Embedded {
    listener: Mutex<Option<Listener>>,
    client: LocalClient,
    door: Door,
    address: SocketAddr,
    calls: Arc<Calls>,
}

/// Calls whose answer has not come.
#[derive(Default)]
struct Calls {
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Message>>>,
}

impl Embedded {
    /// Listens, subscribes, and begins to hand on what arrives.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn bind(options: Options, subjects: Subjects, inbox: Inbox) -> Result<Self, BindError> {
        let listener = Listener::bind(options).await?;
        let (client, address) = (listener.client(), listener.local_addr());
        let door = Door { subjects: Arc::new(subjects), inbox, refused: Arc::new(Refused::default()) };
        for subject in door.subjects.of_coordinator() {
            let subscription = client
                .subscribe_with_limits(&subject, None, MailboxLimits::default())
                .expect("the coordinator's subjects are patterns, and the listener has just been opened");
            tokio::spawn(receive(subscription, door.clone()));
        }
        let calls = Arc::new(Calls::default());
        let answers = client.subscribe(&format!("{INBOX}.*"), None).expect("a constant pattern, and the listener has just been opened");
        tokio::spawn(take_answers(answers, calls.clone()));
        Ok(Self { listener: Mutex::new(Some(listener)), client, door, address, calls })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks and waits for the answer.
    async fn ask(client: &LocalClient, door: &Door, calls: &Calls, call: &Call) -> CallOutcome {
        let number = calls.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        calls.lock().insert(number, answer);
        let subject = door.subjects.call(&call.namespace, &call.system, &call.capability);
        let headers = responders::headers(call);
        let pairs = headers.iter().map(|(name, value)| (*name, value.as_str()));
        let sent = match (Subject::new(subject), Subject::new(format!("{INBOX}.{number}")), Headers::build(pairs)) {
            (Ok(subject), Ok(reply), Ok(headers)) => {
                let payload = call.input.bytes().clone();
                client.publish(Message { subject, reply: Some(reply), headers: Some(headers), payload }).is_ok()
            }
            _ => false,
        };
        let outcome = match sent {
            false => CallOutcome::NoAnswer,
            true => match tokio::time::timeout(call.timeout, answered).await {
                Ok(Ok(message)) => read(message),
                Ok(Err(_)) | Err(_) => CallOutcome::NoAnswer,
            },
        };
        calls.lock().remove(&number);
        outcome
    }
}

impl Calls {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Message>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(message: Message) -> CallOutcome {
    let headers = message.headers;
    let status = headers.as_ref().and_then(Headers::status);
    if status == Some(crate::embedded::headers::STATUS_NO_RESPONDERS) && message.payload.is_empty() {
        return CallOutcome::NoResponders;
    }
    responders::outcome(message.payload, |name| Some(headers.as_ref()?.get(name)?.to_owned()))
}

async fn receive(mut subscription: Subscription, door: Door) {
    let mut batch = Vec::with_capacity(RECEIVE_BATCH);
    while subscription.recv_many(&mut batch, RECEIVE_BATCH).await > 0 {
        for message in batch.drain(..) {
            door.take(message.subject.as_str(), message.payload).await;
        }
    }
}

async fn take_answers(mut answers: Subscription, calls: Arc<Calls>) {
    while let Some(message) = answers.recv().await {
        let number = message.subject.as_str().rsplit('.').next().and_then(|number| number.parse::<u64>().ok());
        if let Some(waiting) = number.and_then(|number| calls.lock().remove(&number)) {
            let _ = waiting.send(message);
        }
    }
}

impl Bus for Embedded {
    fn send(&self, messages: Vec<ToWorker>) {
        for message in messages {
            let subject = self.door.subjects.to(&message.namespace, &message.system, &message.session);
            let Ok(subject) = Subject::new(subject) else { continue };
            for payload in encode(message) {
                let sent = self.client.publish(Message { subject: subject.clone(), reply: None, headers: None, payload });
                if sent.is_err() {
                    self.door.refused.count("outgoing_full");
                }
            }
        }
    }

    fn call(&self, call: Call) {
        let (client, door, calls) = (self.client.clone(), self.door.clone(), self.calls.clone());
        tokio::spawn(async move {
            let outcome = Self::ask(&client, &door, &calls, &call).await;
            door.inbox.deliver(&call.namespace, Inbound::Answered(Answer { call: call.key, outcome })).await;
        });
    }

    /// The listener belongs to this coordinator alone, so everything comes here anyway.
    fn serve(&self, _: ShardId) {}

    fn leave(&self, _: ShardId) {}

    fn is_connected(&self) -> bool {
        true
    }

    fn refused(&self) -> BTreeMap<&'static str, u64> {
        self.door.refused.counts()
    }

    fn describe(&self) -> String {
        format!("embedded listener on {}", self.address)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        Box::pin(async move {
            if let Some(listener) = listener {
                listener.shutdown().await;
            }
        })
    }
}
