//! What comes from outside: signals to one task, events for whoever waits.

use super::{Operations, Unavailable, unreadable};
use crate::command::{Command, KeyedEvent};
use bytes::Bytes;
use tasker_engine::contract::Violation;
use tasker_engine::decide::signal::{KEPT_MAX, NAME_BYTES_MAX};
use tasker_engine::payload::InvalidPayload;
use tasker_engine::{Digest, Namespace, Payload, StepLabel, TaskId, TaskStatus};

/// The longest id by which a repeat of a signal or event is recognised, in bytes.
pub const ID_BYTES_MAX: usize = 255;

/// A signal to one task.
#[derive(Debug, Clone)]
pub struct SendSignal {
    /// As the waiting step names it; 1 to [`NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// JSON, at most [`Payload::BYTES_MAX`]; empty counts as `null`.
    pub payload: Bytes,
    /// By which a repeat is recognised, among the task's latest signals; 1 to [`ID_BYTES_MAX`] bytes.
    pub id: Option<String>,
}

/// What became of a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signalled {
    /// The step that waited for it; none if it is kept until one does.
    pub taken_by: Option<StepLabel>,
    /// Whether the same signal had come before, so that this one changed nothing.
    pub repeated: bool,
}

/// An event for whoever waits for its name and key.
#[derive(Debug, Clone)]
pub struct SendEvent {
    /// As the waiting steps name it; 1 to [`NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// By which it is correlated; 1 to [`NAME_BYTES_MAX`] bytes.
    pub key: String,
    /// JSON, at most [`Payload::BYTES_MAX`]; empty counts as `null`.
    pub payload: Bytes,
    /// By which a repeat with the same name and key is recognised for a day; 1 to [`ID_BYTES_MAX`] bytes.
    pub id: Option<String>,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTaken {
    /// The tasks that waited for it and took it, in order.
    pub tasks: Vec<TaskId>,
    /// How many waited for it but declare a payload that this one does not fit; they go on waiting.
    pub refused: usize,
    /// Whether nobody took it and it is kept, for a day, for whoever will wait for it first.
    pub kept: bool,
    /// Whether the same event had come before, so that this one changed nothing.
    pub repeated: bool,
}

/// Why a signal was not taken. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// There is no such task in the namespace.
    #[error("there is no task {0} here")]
    UnknownTask(TaskId),
    /// The task is over or on its way to its end; code `task.not_running`.
    #[error("the task is {}", .0.map_or("ending", TaskStatus::as_str))]
    NotRunning(Option<TaskStatus>),
    /// No step of the workflow waits for a signal of this name; code `signal.unknown`.
    #[error("no step waits for the signal `{name}`; the workflow knows {}", if .known.is_empty() { "none".to_owned() } else { .known.join(", ") })]
    UnknownSignal {
        /// The name given.
        name: String,
        /// Names that exist.
        known: Vec<String>,
        /// The nearest of them.
        similar: Option<String>,
    },
    /// The payload does not fit what the step declares; code `signal.payload_violated`.
    #[error("the payload does not fit what step `{step}` waits for")]
    PayloadViolated {
        /// Which step.
        step: String,
        /// Where and why.
        violations: Vec<Violation>,
    },
    /// The task keeps too many already; code `signal.too_many`, HTTP 429.
    #[error("the task keeps {KEPT_MAX} signals that nobody has taken yet")]
    TooMany,
    /// The payload is not JSON or too large.
    #[error("the payload is not acceptable: {0}")]
    Payload(#[from] InvalidPayload),
    /// A name or id is out of bounds.
    #[error("{0}")]
    Limit(String),
    /// The coordinator cannot take it now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why an event was not taken. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Somebody waits for it, and it fits nobody who does; code `event.payload_violated`.
    #[error("the payload does not fit what step `{step}` of task {task} waits for")]
    PayloadViolated {
        /// The first who waits.
        task: TaskId,
        /// With which step.
        step: String,
        /// Where and why.
        violations: Vec<Violation>,
    },
    /// Nobody waits for it, and as many as may be kept are; code `event.too_many`, HTTP 429.
    #[error("nobody waits for the event, and namespace `{namespace}` keeps {kept} events ({bytes} bytes) already")]
    TooMany {
        /// Whose.
        namespace: Namespace,
        /// How many it keeps.
        kept: usize,
        /// How many bytes their payloads have.
        bytes: usize,
    },
    /// The payload is not JSON or too large.
    #[error("the payload is not acceptable: {0}")]
    Payload(#[from] InvalidPayload),
    /// A name, key or id is out of bounds.
    #[error("{0}")]
    Limit(String),
    /// The coordinator cannot take it now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Operations {
    /// Gives a signal to a task: the step that waits for it goes on, or the task keeps it until one does. A repeat with the same id changes
    /// nothing. Answers after the commit.
    ///
    /// # Errors
    /// See [`SignalError`].
    pub async fn signal(&self, namespace: &Namespace, task: TaskId, signal: SendSignal) -> Result<Signalled, SignalError> {
        let SendSignal { name, payload, id } = signal;
        let limits = [within("signal", &name, NAME_BYTES_MAX), id.as_deref().map_or(Ok(()), |id| within("id", id, ID_BYTES_MAX))];
        limits.into_iter().collect::<Result<(), _>>().map_err(SignalError::Limit)?;
        let payload = payload_of(payload)?;
        self.ask(|answer| Command::Signal { namespace: namespace.clone(), id: task, name, payload, signal: id, answer }).await?
    }

    /// Gives an event to every step that waits for its name and key; if none does, it is kept for a day for the first that will. A repeat with
    /// the same name, key and id within a day changes nothing. Answers after the commit.
    ///
    /// # Errors
    /// See [`EventError`].
    pub async fn send_event(&self, namespace: &Namespace, event: SendEvent) -> Result<EventTaken, EventError> {
        let SendEvent { name, key, payload, id } = event;
        let limits = [
            within("event", &name, NAME_BYTES_MAX),
            within("key", &key, NAME_BYTES_MAX),
            id.as_deref().map_or(Ok(()), |id| within("id", id, ID_BYTES_MAX)),
        ];
        limits.into_iter().collect::<Result<(), _>>().map_err(EventError::Limit)?;
        let payload = payload_of(payload)?;
        let mut identified = None;
        if let Some(id) = id {
            let (used_key, looked_up_at) = (event_key(&name, &key, &id), self.looks_up());
            let found = self.door(namespace)?.store.find_key(namespace, &used_key).await.map_err(unreadable)?;
            if found.is_some_and(|used| !used.is_over(looked_up_at.wall)) {
                return Ok(EventTaken::repeated());
            }
            identified = Some(KeyedEvent { key: used_key, looked_up_at, id });
        }
        self.ask(|answer| Command::SendEvent { namespace: namespace.clone(), name, key, payload, identified, answer }).await?
    }
}

impl EventTaken {
    /// The same event had come before.
    pub(crate) fn repeated() -> Self {
        Self { tasks: Vec::new(), refused: 0, kept: false, repeated: true }
    }
}

/// Under which key the id of an event is remembered. The id counts for one name and key, so that two senders who count from one do not
/// swallow each other's events.
fn event_key(name: &str, key: &str, id: &str) -> String {
    let mut text = Vec::with_capacity(name.len() + key.len() + id.len() + 16);
    for part in [name, key, id] {
        text.extend_from_slice(&(part.len() as u64).to_le_bytes());
        text.extend_from_slice(part.as_bytes());
    }
    format!("{}{}", super::submit::EVENT_PREFIX, Digest::of(&text))
}

/// A payload from the door; nothing at all is `null`.
pub(super) fn payload_of(bytes: Bytes) -> Result<Payload, InvalidPayload> {
    if bytes.is_empty() { Ok(Payload::null()) } else { Payload::parse(bytes) }
}

/// Whether a text has 1 to `max` bytes and nothing that a database cannot hold; says what is wrong otherwise.
pub(super) fn within(what: &str, text: &str, max: usize) -> Result<(), String> {
    match text.len() {
        0 => Err(format!("the {what} is empty; give 1 to {max} bytes")),
        bytes if bytes > max => Err(format!("the {what} has {bytes} bytes; give 1 to {max}")),
        _ if text.contains('\0') => Err(format!("the {what} holds a NUL character; leave it out")),
        _ => Ok(()),
    }
}
