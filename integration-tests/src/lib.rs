//! What tests of more than one room need: real processes, real servers, and the rules of the house. The tests themselves are in `tests/`.
//!
//! A test runs [`stage::on_stage`], starts a [`coordinator`] and workers there, and speaks to them through [`api`]. Everything it starts
//! ends with it.

pub mod api;
pub mod coordinator;
pub mod exposition;
pub mod faults;
pub mod house;
pub mod nats;
pub mod otlp;
pub mod place;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod responder;
pub mod scripted;
pub mod shim;
pub mod stage;
pub mod until;
