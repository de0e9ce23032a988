//! Everything the worker said, in order, and waiting for what it should say.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tasker_proto::worker::v1::{Beat, Credit, Hello, Poll, ReplyBatch, StepReply};
use tokio::sync::Notify;

/// One message of the worker.
#[derive(Debug, Clone)]
pub struct Entry {
    pub at: Instant,
    pub said: Said,
}

#[derive(Debug, Clone)]
pub enum Said {
    Hello {
        hello: Hello,
        reply_subject: Option<String>,
    },
    Poll(Poll),
    Beat(Beat),
    Replies {
        shard: String,
        batch: ReplyBatch,
    },
    /// A subject or a body that the protocol does not know.
    Unreadable(String),
}

impl Said {
    pub fn credit(&self) -> Option<Credit> {
        match self {
            Self::Poll(poll) => poll.credit,
            Self::Beat(beat) => beat.credit,
            Self::Replies { batch, .. } => batch.credit,
            Self::Hello { .. } | Self::Unreadable(_) => None,
        }
    }

    pub fn session(&self) -> Option<&str> {
        match self {
            Self::Hello { hello, .. } => Some(&hello.session),
            Self::Poll(poll) => Some(&poll.session),
            Self::Beat(beat) => Some(&beat.session),
            Self::Replies { batch, .. } => Some(&batch.session),
            Self::Unreadable(_) => None,
        }
    }

    pub fn replies(&self) -> &[StepReply] {
        match self {
            Self::Replies { batch, .. } => &batch.replies,
            Self::Hello { .. } | Self::Poll(_) | Self::Beat(_) | Self::Unreadable(_) => &[],
        }
    }

    pub fn hello(&self) -> Option<&Hello> {
        if let Self::Hello { hello, .. } = self { Some(hello) } else { None }
    }

    pub fn beat(&self) -> Option<&Beat> {
        if let Self::Beat(beat) = self { Some(beat) } else { None }
    }

    pub fn poll(&self) -> Option<&Poll> {
        if let Self::Poll(poll) = self { Some(poll) } else { None }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Poll(_) => "poll",
            Self::Beat(_) => "beat",
            Self::Replies { .. } => "reply",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

/// A place in the transcript; what follows it is what is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Mark(usize);

impl Mark {
    pub const START: Self = Self(0);
}

#[derive(Default)]
pub struct Transcript {
    entries: Mutex<Vec<Entry>>,
    added: Notify,
}

impl Transcript {
    pub fn add(&self, said: Said) {
        self.lock().push(Entry { at: Instant::now(), said });
        self.added.notify_waiters();
    }

    pub fn mark(&self) -> Mark {
        Mark(self.lock().len())
    }

    pub fn since(&self, mark: Mark) -> Vec<Entry> {
        self.lock()[mark.0..].to_vec()
    }

    /// Waits until what was said since `mark` gives an answer.
    pub async fn wait<T>(&self, what: &str, mark: Mark, within: Duration, find: impl Fn(&[Entry]) -> Option<T>) -> Result<T> {
        let found = async {
            loop {
                let added = self.added.notified();
                let answer = find(&self.lock()[mark.0..]);
                if let Some(answer) = answer {
                    return answer;
                }
                added.await;
            }
        };
        match tokio::time::timeout(within, found).await {
            Ok(answer) => Ok(answer),
            Err(_) => bail!("expected {what} within {within:?}; the worker said {}", self.summary(mark)),
        }
    }

    /// What was said since `mark`, in few words.
    pub fn summary(&self, mark: Mark) -> String {
        let mut words: Vec<(&'static str, usize)> = Vec::new();
        for entry in &self.lock()[mark.0..] {
            let name = entry.said.name();
            match words.last_mut() {
                Some((last, count)) if *last == name => *count += 1,
                _ => words.push((name, 1)),
            }
        }
        if words.is_empty() {
            return "nothing".to_owned();
        }
        words.iter().map(|(name, count)| format!("{name}×{count}")).collect::<Vec<_>>().join(", ")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
