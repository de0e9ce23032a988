//! The faults that Tasker is shown to survive, one row each, with real processes: how a fault is injected, what is checked afterwards.
//!
//! `make faults` (`deploy/faults`, the binary `faults`) plays rows at full size and prints what it saw; `tests/faults.rs` plays the short form
//! of those that need nothing but the toolchain. `docs/reliability.md` holds the table. A row that cannot be played here fails and says what is
//! missing; none is skipped.
//!
//! Start reading at [`rows`], then `traffic.rs`: what every fault is injected into, and what is asked when it is over.

pub mod clock;
pub mod crowd;
pub mod database;
pub mod disk;
pub mod image;
pub mod kills;
pub mod takeover;
pub mod traffic;
pub mod wire;
pub mod workers;

use crate::stage::{Stage, on_stage};
use anyhow::Result;
use std::cell::RefCell;

/// How large a row is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// A few seconds, in every test run.
    Short,
    /// As `docs/reliability.md` reports it.
    Full,
}

impl Size {
    /// One of two amounts.
    pub fn of<T>(self, short: T, full: T) -> T {
        match self {
            Self::Short => short,
            Self::Full => full,
        }
    }
}

/// What a row saw.
#[derive(Debug, Clone)]
pub struct Seen {
    /// How often the fault was injected.
    pub injected: u64,
    /// What was measured, in a few words.
    pub says: String,
}

impl Seen {
    /// So many faults, and what was seen.
    pub fn new(injected: usize, says: impl Into<String>) -> Self {
        Self { injected: injected as u64, says: says.into() }
    }
}

/// One fault.
pub struct Row {
    /// As `deploy/faults` takes it: `family.fault`.
    pub name: &'static str,
    /// What happens.
    pub fault: &'static str,
    /// How it is made to happen.
    pub how: &'static str,
    /// What must hold afterwards, beyond what every row asks: all accepted tasks end as they should, and the checker finds every promise kept.
    pub checked: &'static str,
    /// Whether every test run plays its short form.
    pub short: bool,
    /// Plays it; panics, after showing what its processes wrote, if anything is not as it should be.
    pub play: fn(Size) -> Seen,
}

/// Every fault, family by family.
pub fn rows() -> Vec<Row> {
    let families: [fn() -> Vec<Row>; 8] =
        [kills::rows, disk::rows, clock::rows, wire::rows, workers::rows, crowd::rows, database::rows, takeover::rows];
    families.into_iter().flat_map(|rows| rows()).collect()
}

/// Plays one row on a stage of its own.
fn play(body: impl AsyncFnOnce(&Stage) -> Result<Seen>) -> Seen {
    let seen = RefCell::new(None);
    on_stage(async |stage| {
        let outcome = body(stage).await?;
        *seen.borrow_mut() = Some(outcome);
        Ok(())
    });
    seen.into_inner().expect("a row that did not panic has seen something")
}
