//! Turns a YAML manifest into a checked [`tasker_engine::Workflow`], or says everything that is wrong with it.
//!
//! The path of a text through this room: [`yaml`] reads it into a tree in which every node knows its place; [`systems`] and
//! [`steps`] read the tree strictly, field by field, with a file for each construct ([`switch`], [`for_each`], [`wait_for`], …); values with
//! expressions are gathered as [`slots`]. [`graph`] checks what depends on what, [`handlers`] who runs for whom, [`scope`] what expressions
//! may name, [`arms`] what `on_error` covers. [`assemble`] builds the workflow, [`definition`] its digest; then [`reach`], [`dataflow`] and
//! [`typing`] look at the whole, which [`typed_parts`] hands them. Problems never stop the check: they are collected in a [`report`], each
//! with a stable code from [`codes`].
//!
//! Never here: files, clocks, the network, the database. A manifest comes from a stranger, so all work is bounded: bytes, depth,
//! nodes after aliases are followed, schema nodes, expressions and diagnostics each have a limit.
//!
//! Start reading at [`check`].

mod approval;
mod arms;
mod assemble;
mod breaker;
mod call;
mod canonical;
mod check;
mod child;
pub mod codes;
mod dataflow;
mod definition;
mod diagnostic;
mod duration;
mod editor_schema;
mod expression_places;
mod fields;
mod flow;
mod for_each;
mod format;
mod graph;
mod handlers;
mod identity;
mod input;
mod join;
mod kind;
mod mapping;
mod paths;
mod reach;
mod reactions;
pub mod reader;
mod report;
mod retry;
mod route;
mod scalar;
mod schema;
mod scope;
mod sleep;
mod slot_cost;
mod slots;
mod steps;
mod suggest;
mod switch;
mod systems;
mod timeouts;
mod transport;
mod typed_parts;
mod typing;
mod url;
mod wait_for;
mod yaml;

pub use check::{Checked, DeclaredCapability, DeclaredSystem, Manifest, check, restore};
pub use codes::CODES;
pub use diagnostic::{Diagnostic, Severity};
pub use duration::parse_duration;
pub use editor_schema::{EDITOR_SCHEMA_ID, editor_schema};
pub use format::{Formatted, LINE_MAX, format};
pub use suggest::nearest_name;
pub use tasker_engine::transport::{HttpMethod, HttpRoute, Transport};
pub use yaml::{BYTES_MAX, DEPTH_MAX, NODES_MAX};
