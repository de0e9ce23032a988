//! The only loop: takes inputs, lets the engine decide, commits in groups, and carries out the effects afterwards.
//!
//! It owns the ports ([`port`]) and the state in memory; it never contains SQL, NATS or HTTP types. What people and programs may ask of a
//! running coordinator is in [`operations`].

mod command;
mod failpoint;
mod host;
pub mod operations;
pub mod port;
mod settings;
mod shard;
pub mod trace;

pub use failpoint::Failpoint;
pub use host::{Doors, HostError, Hosted, Installation, Place, host};
pub use settings::Settings;
pub use shard::StartError;
