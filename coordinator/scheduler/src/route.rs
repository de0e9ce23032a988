//! Which workers may take what waits in a lane: builds, labels, the side of a canary, and the worker that a key prefers.
//!
//! Steps with equal demands share a lane, so picking stays a matter of one queue. Pure, and the same on every coordinator and after every
//! restart: hashes are our own, because those of the standard library may change between releases.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::canary::{Canary, Side};
use tasker_engine::version::{Version, VersionConstraint};

/// How long a ready step waits for the worker that its sticky key prefers, if that worker lives but has no free slot; then any takes it.
/// Longer than most steps run, shorter than a person's patience: a warm cache is worth a pause, but not a standstill.
pub const STICKY_PATIENCE: Duration = Duration::from_secs(5);

/// What sets a lane apart from the capability's others. The default sets nothing apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteKey {
    /// What the steps demand of a worker.
    pub rule: Option<Arc<Rule>>,
    /// The side of the system's canary that their tasks are on.
    pub side: Option<Side>,
    /// Which of the buckets their sticky keys fall into.
    pub bucket: Option<Bucket>,
}

/// What a worker must be to take a step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rule {
    /// Its build.
    pub version: Option<VersionConstraint>,
    /// Labels it has announced, with these values.
    pub labels: BTreeMap<String, String>,
}

/// A part of all sticky keys. Keys of one bucket prefer the same worker, so they can wait in one queue without holding up others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bucket(u8);

/// What routing knows of a worker.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'w> {
    /// Its id.
    pub session: &'w str,
    /// Its build; none if it cannot be compared.
    pub version: Option<&'w Version>,
    /// What it has announced.
    pub labels: &'w BTreeMap<String, String>,
}

impl RouteKey {
    /// Whether the steps demand something that only a worker who introduced itself can fulfil: plain responders have neither build nor labels.
    pub fn is_demanding(&self) -> bool {
        self.rule.is_some()
    }
}

impl Rule {
    /// A rule, or none if nothing is demanded.
    pub fn new(version: Option<VersionConstraint>, labels: BTreeMap<String, String>) -> Option<Self> {
        (version.is_some() || !labels.is_empty()).then_some(Self { version, labels })
    }

    /// Whether a worker is what the rule demands.
    pub fn admits(&self, offer: &Offer<'_>) -> bool {
        let version = self.version.as_ref().is_none_or(|constraint| offer.version.is_some_and(|version| constraint.admits(version)));
        version && self.labels.iter().all(|(name, value)| offer.labels.get(name) == Some(value))
    }
}

impl std::fmt::Display for Rule {
    /// For people: `version >=1.4.0, <2 and region=eu`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let version = self.version.as_ref().map(|constraint| format!("version {constraint}"));
        let labels = self.labels.iter().map(|(name, value)| format!("{name}={value}"));
        f.write_str(&version.into_iter().chain(labels).collect::<Vec<_>>().join(" and "))
    }
}

/// The places of those workers, all alive and taking work, which may take from a lane: those that fulfil the rule, and of these the ones on the
/// lane's side of the canary. If nobody lives on that side, the other takes it: a canary holds nothing up.
pub fn eligible(route: &RouteKey, canary: Option<&Canary>, offers: &[Offer<'_>]) -> Vec<usize> {
    let fulfils = |place: &usize| route.rule.as_ref().is_none_or(|rule| rule.admits(&offers[*place]));
    let all: Vec<usize> = (0..offers.len()).filter(fulfils).collect();
    let (Some(side), Some(canary)) = (route.side, canary) else { return all };
    let of_side: Vec<usize> = all.iter().copied().filter(|place| side_of(canary, &offers[*place]) == side).collect();
    if of_side.is_empty() { all } else { of_side }
}

fn side_of(canary: &Canary, offer: &Offer<'_>) -> Side {
    match offer.version.is_some_and(|version| canary.version().admits(version)) {
        true => Side::Canary,
        false => Side::Stable,
    }
}

/// The place of the worker that a bucket prefers among those eligible, by rendezvous hashing: when a worker comes or goes, only the buckets
/// change which prefer that worker.
pub fn preferred(bucket: Bucket, offers: &[Offer<'_>], eligible: &[usize]) -> Option<usize> {
    let weight = |place: &usize| spread(hash(offers[*place].session.as_bytes()) ^ spread(u64::from(bucket.0)));
    eligible.iter().copied().max_by_key(|place| (weight(place), offers[*place].session))
}

/// Who takes the step at the head of a sticky lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StickyChoice {
    /// The worker that the bucket prefers.
    Preferred,
    /// Any that is eligible and has a free slot.
    Any,
    /// Nobody yet: the preferred one lives, and may have a free slot soon.
    Nobody,
}

/// Who takes a step that has been ready for `waited`.
pub fn sticky_choice(preferred_is_free: bool, waited: Duration) -> StickyChoice {
    match (preferred_is_free, waited >= STICKY_PATIENCE) {
        (true, _) => StickyChoice::Preferred,
        (false, true) => StickyChoice::Any,
        (false, false) => StickyChoice::Nobody,
    }
}

impl Bucket {
    /// How many there are: enough to spread keys over dozens of workers, few enough to be queues.
    pub const COUNT: usize = 256;

    /// The bucket of a key.
    pub fn of(key: &str) -> Self {
        Self((spread(hash(key.as_bytes())) >> 56) as u8)
    }
}

/// FNV-1a, 64 bits.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |state, byte| (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The finaliser of SplitMix64: each bit of the input reaches every bit of the output.
fn spread(mut state: u64) -> u64 {
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests;
