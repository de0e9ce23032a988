//! Which ready step goes next, and to whom.
//!
//! Ready steps wait here, in the coordinator, until a live worker has a free slot (design, decision 4): that is what lets a breaker hold back, a
//! priority overtake, a share be kept and a route choose among the whole backlog. Pure: credit, time and what is known of workers are parameters; nothing
//! is sent from here.
//!
//! Start reading at [`backlog::Scheduler`]; whose turn it is in a lane is in [`queue`], what holds a lane back in [`breaker`] and [`limits`], what holds
//! back single steps in [`gates`], who may take from a lane in [`route`].

pub mod backlog;
pub mod breaker;
pub mod bucket;
pub mod gates;
pub mod limits;
pub mod queue;
pub mod route;

pub use backlog::{Lane, LaneId, Scheduler, Standing, Taken, Target, TargetId, Waiting};
pub use queue::FlowId;
