//! Rust types generated from `proto/`: names and numbers only, no behaviour.
//!
//! Start reading in `proto/tasker/worker/v1/worker.proto`; the rules that go
//! with the messages are in `docs/protocol.md`.

#![allow(clippy::all, missing_docs)]

/// The wire between a coordinator and workers.
pub mod worker {
    /// Version 1; fields are added, never reused.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/tasker.worker.v1.rs"));
    }
}

/// What a journal row holds.
pub mod journal {
    /// Version 1; fields are added, never reused.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/tasker.journal.v1.rs"));
    }
}
