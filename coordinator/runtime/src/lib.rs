//! The only loop: takes inputs, lets the engine decide, commits in groups, and carries out the effects afterwards.
//!
//! It owns the ports ([`port`]) and the state in memory; it never contains SQL, NATS or HTTP types. What people and programs may ask of a
//! running coordinator is in [`operations`].

mod command;
mod failpoint;
pub mod operations;
pub mod port;
mod settings;
mod shard;
pub mod trace;

pub use failpoint::Failpoint;
pub use settings::{INBOX_MAX, Settings};
pub use shard::{Running, StartError, start};
