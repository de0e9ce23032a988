//! The bytes of a journal row ⇄ the engine's words.
//!
//! What is stored is a contract: `proto/tasker/journal/v1/journal.proto` says what the bytes mean, and rows written by any earlier version
//! are read for ever. Start at [`encode`] and [`decode`]; [`outline`] tells what recovery must know without reading the content.

mod decode;
mod encode;
mod outline;

pub use decode::{Undecodable, decode};
pub use encode::encode;
pub use outline::{Outline, outline};
