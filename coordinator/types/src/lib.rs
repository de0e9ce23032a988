//! What a JSON Schema admits: types that can be read, asked, compared, shown and written back.
//!
//! A [`Type`] is read from a JSON Schema 2020-12 or put together by the checker of a manifest. The one question that matters
//! is [`Type::admits`]: does every value of one type fit another? The answer is *fits*, *breaks* with a value that shows it,
//! or *unproven* with the reason; it never guesses.
//!
//! This room is pure, knows nothing of workflows, and never fails: what it does not understand in a schema stays in the type
//! as a *doubt*, which can make an answer unproven and never wrong. Every walk is bounded, also over schemas that refer to
//! themselves or were written to be dear.
//!
//! Start with `shape.rs` (what a type is), then `read.rs` (schema → type), `grow.rs` (meeting and joining), `admits.rs` and
//! `cover.rs` (inclusion), `contains.rs` (one value, the independent judge of every counterexample).

mod admits;
mod ask;
mod construct;
mod contains;
mod cover;
mod diff;
mod doubt;
mod effort;
mod format;
mod grow;
mod keywords;
mod kinds;
mod limits;
mod number;
mod own;
mod parts;
mod pattern;
mod read;
mod render;
mod sample;
mod shape;
mod text;
mod words;
mod write;

pub use admits::Verdict;
pub use ask::{Field, FieldOf};
pub use diff::{Change, Effect, diff};
pub use kinds::Kinds;
pub use shape::Type;
