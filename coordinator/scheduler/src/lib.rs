//! Which ready step goes next, and to whom.
//!
//! Ready steps wait here, in the coordinator, until a live worker has a free slot (design, decision 4): that is what lets a breaker hold back and a
//! route choose among the whole backlog. Pure: credit, time and what is known of workers are parameters; nothing is sent from here.
//!
//! Start reading at [`backlog::Scheduler`]; what holds a lane back is in [`breaker`], who may take from it in [`route`].

pub mod backlog;
pub mod breaker;
pub mod route;

pub use backlog::{Lane, LaneId, Scheduler, Target, TargetId, Waiting};
