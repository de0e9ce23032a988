//! What can go wrong, and what one seed chooses of it.

use crate::dice::Dice;
use std::collections::BTreeSet;
use std::fmt;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)+) => {
        /// One kind of fault. A seed switches some off, so that rare combinations are not drowned by common ones.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault { $($(#[$doc])* $name,)+ }

        impl Fault {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The word on the command line.
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }
        }
    };
}

faults! {
    /// Messages do not arrive.
    Loss = "loss",
    /// Messages arrive twice.
    Repeat = "repeat",
    /// Messages arrive late.
    Delay = "delay",
    /// Messages overtake each other.
    Reorder = "reorder",
    /// Bytes change on the way.
    Corruption = "corruption",
    /// Somebody is cut off from the bus, in one direction or both.
    Partition = "partition",
    /// The bus is replaced by an empty one.
    Wipe = "wipe",
    /// A coordinator is killed.
    Crash = "crash",
    /// A coordinator leaves in order.
    Leave = "leave",
    /// A coordinator neither reads, writes nor commits for a while, often longer than its lease.
    Pause = "pause",
    /// A coordinator is cut off from the database.
    StoreCut = "store-cut",
    /// A commit fails, and nothing is written.
    IoError = "io-error",
    /// There is no more space for a while.
    DiskFull = "disk-full",
    /// A commit fails; whether it was written is anybody's guess.
    UnknownCommit = "unknown-commit",
    /// A commit takes long.
    Stall = "stall",
    /// The database loses its power: what it had not synced is gone, and nobody who waited is told.
    PowerCut = "power-cut",
    /// Wall clocks jump in both directions.
    ClockJump = "clock-jump",
    /// Workers are killed.
    WorkerCrash = "worker-crash",
    /// Handlers never end.
    WorkerHang = "worker-hang",
    /// Handlers take long.
    WorkerSlow = "worker-slow",
    /// Handlers fail.
    WorkerFail = "worker-fail",
    /// Results break their contract.
    WorkerViolate = "worker-violate",
    /// Workers answer with wrong tokens, for steps of others, and twice, differently.
    WorkerLie = "worker-lie",
    /// Few tasks may be active at once.
    SmallLimit = "small-limit",
}

impl Fault {
    /// Reads the word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|fault| fault.word() == word)
    }
}

/// What a run is made of. All of it follows from the seed, except what is switched off by hand.
#[derive(Debug, Clone)]
pub struct Options {
    /// The seed.
    pub seed: u64,
    /// What may happen.
    pub faults: BTreeSet<Fault>,
    /// What was switched off by hand.
    pub without: BTreeSet<Fault>,
    /// Whether every event is printed.
    pub verbose: bool,
}

impl Options {
    /// What this seed chooses.
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0xFA17);
        let often = *dice.pick(&[25, 50, 50, 75]).expect("four numbers");
        let mut faults: BTreeSet<Fault> = Fault::ALL.iter().copied().filter(|_| dice.percent(often)).collect();
        // Corruption can make anything of anything; few seeds have it, so that the others can be checked strictly.
        if dice.percent(70) {
            faults.remove(&Fault::Corruption);
        }
        Self { seed, faults, without: BTreeSet::new(), verbose: false }
    }

    /// The same without some kinds.
    #[must_use]
    pub fn without(mut self, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.without.extend(faults);
        self.faults.retain(|fault| !self.without.contains(fault));
        self
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// What a person types to see the same again.
    pub fn command(&self) -> String {
        let without: Vec<&str> = self.without.iter().map(|fault| fault.word()).collect();
        let without = if without.is_empty() { String::new() } else { format!(" --without {}", without.join(",")) };
        format!("deploy/simulate --seed {}{without} --verbose", self.seed)
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.faults.iter().map(|fault| fault.word()).collect();
        write!(f, "seed {} with {}", self.seed, if words.is_empty() { "no faults".to_owned() } else { words.join(", ") })
    }
}
