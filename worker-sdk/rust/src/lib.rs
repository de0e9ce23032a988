//! Answer Tasker steps from Rust.
//!
//! A worker is an ordinary async function per capability. The library announces
//! them with the JSON Schemas of their types, receives step requests over NATS,
//! runs the functions, and keeps every reply until the coordinator has
//! acknowledged it. It never talks to a database and knows nothing of workflows.
//!
//! ```no_run
//! use tasker_worker::{Context, JsonSchema, StepError, Worker};
//!
//! #[derive(serde::Deserialize, JsonSchema)]
//! struct ChargeIn { order: String, cents: u64 }
//! #[derive(serde::Serialize, JsonSchema)]
//! struct ChargeOut { payment: String }
//!
//! async fn charge(input: ChargeIn, ctx: Context) -> Result<ChargeOut, StepError> {
//!     tracing::info!(order = input.order, "charging");
//!     Ok(ChargeOut { payment: ctx.idempotency_key().to_owned() })
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), tasker_worker::WorkerError> {
//!     tasker_worker::logging::init();
//!     Worker::new("payments").step("payment.charge", charge).slots(16).run().await
//! }
//! ```
//!
//! Steps run *at least once*: a handler that acts on the world hands
//! [`Context::idempotency_key`] to whatever must not act twice.
//!
//! Start reading in `worker.rs` (what a user says), then `session/mod.rs` (the
//! one loop that owns all state), then `session/held.rs` (credit and what is held).
//! The rules are in `docs/protocol.md`; `worker-sdk/conformance` checks them.

#![warn(missing_docs)]

mod connection;
mod context;
mod contract;
mod error;
pub mod logging;
mod session;
mod settings;
mod step;
mod telemetry;
pub mod testing;
mod worker;

pub use context::Context;
pub use error::{ErrorKind, StepError, WorkerError};
pub use schemars::{self, JsonSchema};
pub use step::Step;
pub use worker::Worker;
