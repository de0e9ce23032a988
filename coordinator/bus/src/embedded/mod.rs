//! The embedded listener: the coordinator speaks the core NATS client protocol itself.
//!
//! `tasker dev` and small installations run without a broker. Official NATS clients of every language connect to
//! this listener unchanged; the coordinator, in the same process, uses a [`LocalClient`] and no socket.
//!
//! What it does: INFO, CONNECT, PING and PONG, PUB and HPUB, SUB and UNSUB, queue groups, wildcards, no-responder
//! answers, payload and control-line limits, a token or user and password, slow-consumer cut-off, draining.
//!
//! What it never does: JetStream, clustering, TLS, accounts, per-subject permissions. Whoever may connect may publish and
//! subscribe to everything, so an installation whose systems must not trust each other uses a NATS server.
//!
//! The path of a message, in reading order:
//!
//! 1. [`parser`] turns bytes into operations; pure, and fuzzed.
//! 2. `connection` gives each operation its meaning.
//! 3. `router` finds who is interested (`index`) and hands the message over: to an `outbound` buffer of another
//!    connection, or to the `mailbox` of a local subscription.
//! 4. `writer` moves an outbound buffer to its socket.
//!
//! Two rules keep memory bounded. A *remote* subscriber that does not read is disconnected. A *local* subscriber never
//! loses a message: while its mailbox is full, the connections that publish to it are not read.

// A test stops at the first surprise.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod connection;
mod handshake;
pub mod headers;
mod index;
mod listener;
mod local;
mod mailbox;
mod options;
mod outbound;
mod parcel;
pub mod parser;
mod peer;
mod router;
pub mod subject;
mod writer;

#[doc(hidden)]
pub mod bench;

pub use headers::{HeaderError, Headers};
pub use listener::{BindError, Listener, Statistics};
pub use local::{LocalClient, PublishError, SubscribeError, Subscription};
pub use mailbox::MailboxLimits;
pub use options::{Authentication, Limits, Options, Secret};
pub use router::Message;
pub use subject::{Pattern, Subject, SubjectError};
