//! Translates between bytes on the wire or in the record and our own words. Never does I/O.
//!
//! [`worker`] is what workers and the coordinator say to each other; [`journal`] is what is stored.

pub mod journal;
pub mod worker;
