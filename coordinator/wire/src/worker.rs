//! The worker protocol: `proto/tasker/worker/v1` and the subjects of `docs/protocol.md`.

mod decode;
mod encode;
mod subject;

pub use decode::{Heard, Unreadable, decode};
pub use encode::{BATCH_BYTES_MAX, REQUESTS_PER_BATCH, encode};
pub use subject::{Arrival, InvalidPrefix, Kind, Subjects};
