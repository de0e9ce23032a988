//! What pages and stubs are made from.

use std::time::Duration;
use tasker_engine::Contract;

/// A system and what it can do, as a manifest or a fleet declares it.
#[derive(Debug, Clone, PartialEq)]
pub struct System {
    /// Its name.
    pub name: String,
    /// Where people and tools find it.
    pub base_url: Option<String>,
    /// What it can do; of several with one name, the first counts.
    pub capabilities: Vec<Capability>,
}

/// A capability with its contract.
#[derive(Debug, Clone, PartialEq)]
pub struct Capability {
    /// Its name: dotted words.
    pub name: String,
    /// What it does, in plain words; may be empty.
    pub description: String,
    /// The running limit of steps that give none of their own.
    pub timeout: Option<Duration>,
    /// What goes in, what may come out.
    pub contract: Contract,
}
