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

/// A duration as manifests write it: `1h30m`, `250ms`.
pub(crate) fn shown(duration: Duration) -> String {
    let mut left = duration.as_millis();
    let mut out = String::new();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if left >= size {
            out.push_str(&format!("{}{unit}", left / size));
            left %= size;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}
