//! Systems that have accepted a step over HTTP finish it.

use super::{Operations, Unavailable};
use crate::command::Command;
pub use crate::port::egress::CallbackRefusal;
use bytes::Bytes;
pub use tasker_engine::decide::reply::Disposition;

/// Why a callback changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallbackError {
    /// Its URL is not ours, or its body cannot be read; correct it and call again.
    #[error(transparent)]
    Refused(#[from] CallbackRefusal),
    /// Its task or attempt is not known any more.
    #[error("the callback's task is not known any more")]
    Forgotten,
    /// The attempt was over before.
    #[error("the attempt is over; the callback came too late and changed nothing")]
    Stale,
    /// The attempt had another outcome before.
    #[error("the attempt has another outcome already; the callback changed nothing")]
    Conflicting,
    /// The coordinator cannot answer now; call again.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Operations {
    /// Takes a callback: `token` is the last part of the URL that the system was given, `body` what it sent. Answers after the commit whether
    /// it was [`Disposition::Recorded`] or [`Disposition::Repeated`]; the same callback may be sent again at any time.
    ///
    /// # Errors
    /// It was refused, came too late, or cannot be taken now.
    pub async fn callback(&self, token: &str, body: Bytes) -> Result<Disposition, CallbackError> {
        let call = Box::new(self.egress.read_callback(token, body)?);
        self.ask(|answer| Command::Callback { call, answer }).await?
    }
}
