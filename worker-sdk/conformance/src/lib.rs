//! Decides whether a worker SDK keeps the worker protocol.
//!
//! The suite starts a real NATS server for each scenario, starts the SDK's
//! conformance worker against it, and plays the coordinator itself: it welcomes,
//! requests steps, withholds acknowledgements, kills the server, and looks at
//! what the worker says. It contains no coordinator and no SDK.
//!
//! Start reading in `scenario.rs` (what a scenario is), then any file under
//! `scenarios/` (one per group), then `stage.rs` (what a scenario can do).

pub mod nats_server;
pub mod otlp;
pub mod process;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod scenarios;
pub mod stage;
pub mod transcript;
