//! Shows a workflow to people: as a picture in Mermaid, DOT or SVG, and in plain sentences.
//!
//! A [`Scene`] is what is drawn: nodes and edges in words, made from a definition and, if there is one, the live state of a task.
//! Each notation draws the same scene. [`explain`] tells a workflow step by step.
//!
//! Never here: files, clocks, the network, other programs. The same workflow always gives the same text, byte for byte.
//!
//! Start reading at [`Scene::of`].

mod dot;
mod explain;
mod layout;
mod live;
mod mermaid;
mod scene;
mod svg;
mod words;

pub use dot::dot;
pub use explain::explain;
pub use live::{Live, LiveStates, Tone, live_states};
pub use mermaid::mermaid;
pub use scene::{Edge, Line, Node, Scene, Shape};
pub use svg::{SVG_ARROWS_MAX, SVG_STEPS_MAX, TooLarge, svg};
