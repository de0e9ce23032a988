//! What can be made of contracts, and what contracts can be made of: a schema from samples, pages for people, stubs for programmers.
//!
//! Pure: values in, text out; the same values always give the same text. It never reads a file, asks a server, or guesses: where samples,
//! a language or a page cannot say something, it stays unsaid, and the coordinator's own check of the contract still holds.
//!
//! Start with `infer/mod.rs` (samples → schema), `model/mod.rs` (schema → named types, which pages and stubs share), then `stubs/mod.rs`.

pub mod diff;
pub mod docs;
pub mod infer;
mod model;
pub mod stubs;
mod system;

pub use system::{Capability, System};
