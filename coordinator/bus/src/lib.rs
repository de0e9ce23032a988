//! The bus room: how messages reach workers and come back.
//!
//! [`nats`] is a NATS server or cluster through the official client; [`local`] is the coordinator's own place in the [`embedded`] listener,
//! which speaks the core NATS client protocol when no broker is installed. Both are the runtime's `Bus`; both pass what arrives
//! through the same door.

mod door;
pub mod embedded;
pub mod local;
pub mod nats;
mod responders;
