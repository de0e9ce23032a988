//! The egress room: the one way out of the coordinator over HTTP.
//!
//! [`HttpEgress`] is the runtime's port: it calls systems that are reached over HTTP, reads their callbacks, and asks after their health.
//! Whatever leaves passes one [`client`], which guards where requests may go: [`address`] knows which addresses are public, [`allow`] what
//! the configuration adds, [`resolver`] turns names into addresses that passed both. [`signature`] and [`callback`] say who spoke.
//!
//! Never here: deciding about tasks, retrying (an attempt is one request; the engine decides about the next), following redirects, sending
//! anything that was not asked for.
//!
//! `docs/http-systems.md` says what a system sees. Start reading at [`egress`].

pub mod address;
pub mod allow;
pub mod callback;
pub mod client;
pub mod egress;
mod error_body;
pub mod failures;
pub mod gate;
pub mod health;
pub mod prober;
mod reply;
mod request;
pub mod resolver;
pub mod signature;

pub use allow::AllowList;
pub use callback::CallbackSecret;
pub use egress::{HttpEgress, Settings};
pub use resolver::{Lookup, SystemLookup};
pub use signature::Signer;

/// The wall clock, at the edge where it belongs.
fn now() -> tasker_engine::Timestamp {
    tasker_engine::Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}
