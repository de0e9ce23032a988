//! Translates between bytes on the wire or in the record and our own words. Never does I/O.
//!
//! Start at [`journal`].

pub mod journal;
