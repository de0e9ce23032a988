//! HTTP for people and programs: JSON in and out, problems after RFC 9457, live events over SSE, and an OpenAPI document of it all.
//!
//! Every request passes [`edge`] (request id, deadline, panics, metrics, headers), is read by [`request`] (nothing unknown is ignored,
//! everything has a limit), is answered by the file of its resource, and leaves as one of the shapes in [`view`] or as a [`problem`].
//!
//! Never here: SQL, NATS, decisions about tasks. All of that is behind [`tasker_runtime::operations::Operations`].
//!
//! Start reading at [`app::router`], which is the table of routes.

mod app;
mod callbacks;
mod capabilities;
mod cursor;
mod docs;
mod edge;
mod events;
mod exposition;
mod flow;
mod forward;
mod gate;
mod health;
mod instant;
mod letters;
mod listing;
mod measurements;
mod metrics;
mod nearest;
mod outside;
mod people;
pub mod problem;
mod process;
mod queues;
mod raw;
mod request;
mod result;
mod server;
mod stream;
mod submit;
mod tasks;
mod view;
mod workflows;

pub use app::{Options, measured, router};
pub use docs::document;
pub use measurements::Measurements;
pub use server::serve;
