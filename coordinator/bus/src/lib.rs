//! The bus room: how messages reach workers and come back.
//!
//! Start with [`embedded`], the listener that speaks the core NATS client protocol when no broker is installed.

pub mod embedded;
