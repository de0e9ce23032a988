//! Every id is its own type, parsed at the door and trusted inside.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is not the id it claims to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {what}: {rule}")]
pub struct InvalidId {
    /// The kind of id, for people.
    pub what: &'static str,
    /// The text as given, shortened to 80 characters.
    pub text: String,
    /// The rule that the text breaks.
    pub rule: &'static str,
}

impl InvalidId {
    fn new(what: &'static str, text: &str, rule: &'static str) -> Self {
        Self { what, text: text.chars().take(80).collect(), rule }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The longest accepted text, in bytes.
            pub const BYTES_MAX: usize = $max;

            /// Checks the text.
            ///
            /// # Errors
            /// Says which rule the text breaks.
            pub fn new(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if text.is_empty() || text.len() > $max || !valid(text) {
                    return Err(InvalidId::new($what, text, $rule));
                }
                Ok(Self(Arc::from(text)))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.to_string()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

fn is_subject_token(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn is_dotted(text: &str) -> bool {
    text.split('.').all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'))
}

name!(
    /// A tenant: workflows, systems, tasks and permissions live in one. A single subject token.
    Namespace, "namespace", 64, "1 to 64 letters, digits, `_` or `-`", is_subject_token
);
name!(
    /// An owner of capabilities. A single subject token.
    SystemName, "system name", 64, "1 to 64 letters, digits, `_` or `-`", is_subject_token
);
name!(
    /// A thing a system can do: dotted words, `payment.charge`. At most 128 bytes.
    CapabilityName, "capability name", 128, "words of letters, digits, `_` or `-`, joined by dots, at most 128 bytes", is_dotted
);
name!(
    /// One running process of a system, named by itself. A single subject token of 8 to 64 characters.
    SessionId, "session", 64, "8 to 64 letters, digits, `_` or `-`", |text| text.len() >= 8 && is_subject_token(text)
);
name!(
    /// The name of a workflow.
    WorkflowName, "workflow name", 128, "starts with a lower-case letter, then lower-case letters, digits and `_`, at most 128 bytes", is_identifier
);
name!(
    /// The version of a workflow: `2.0.0`, `2026-11-21`, `canary-3`.
    WorkflowVersion, "workflow version", 64, "letters, digits, `.`, `_`, `-` or `+`, at most 64 bytes",
    |text| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte))
);
name!(
    /// One node of a workflow's graph.
    StepName, "step name", 64, "starts with a lower-case letter, then lower-case letters, digits and `_`, at most 64 bytes", is_identifier
);
name!(
    /// A stable, machine-readable reason: `card_declined`, `worker.lost`.
    ErrorCode, "error code", 64, "words of letters, digits, `_` or `-`, joined by dots, at most 64 bytes", is_dotted
);

/// One run of a workflow. A 63-bit integer that grows with time, so that databases append instead of scattering;
/// printed as `tsk_` and 13 characters of Crockford's base 32, in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(i64);

const CROCKFORD: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl TaskId {
    /// Bits below the milliseconds: a counter, and the shard below it.
    pub const COUNTER_BITS: u32 = 20;

    /// Wraps a stored number. Negative numbers are not ids.
    pub fn from_number(number: i64) -> Option<Self> {
        (number >= 0).then_some(Self(number))
    }

    /// The first id that shard 0 can give at an instant; no id of an earlier instant is above it.
    pub fn first_at(now: Timestamp) -> Self {
        Self(now.as_millis().max(0) << Self::COUNTER_BITS)
    }

    /// The id that a shard gives after this one, not before the instant. Ids of one shard grow, and no two shards ever give the same one.
    pub fn following(self, now: Timestamp, shard: ShardId) -> Self {
        let floor = (self.0 >> ShardId::BITS).max((Self::first_at(now).0 >> ShardId::BITS) - 1);
        Self(((floor + 1) << ShardId::BITS) | i64::from(shard.0))
    }

    /// The smallest id above this one, whoever gives it; for reading on behind it.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The shard that gave this id. True only of databases that were created with several shards: before, ids were counted through.
    pub fn shard(self) -> ShardId {
        ShardId((self.0 & ((1 << ShardId::BITS) - 1)) as u8)
    }

    /// The stored number.
    pub fn as_number(self) -> i64 {
        self.0
    }
}

/// A set of namespaces with one owner: one journal, one lease, one loop. Counts from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ShardId(pub u8);

impl ShardId {
    /// Bits of a task's id that name its shard: at most 64 shards per database.
    pub const BITS: u32 = 6;
    /// The most shards a database can have.
    pub const COUNT_MAX: u8 = 1 << Self::BITS;

    /// The shard of a namespace in a database with `count` shards: FNV-1a (64 bits) of its bytes, modulo the count. Stored data depends on it, so
    /// it never changes.
    pub fn of(namespace: &Namespace, count: u8) -> Self {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let hash = namespace.as_str().bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
        Self((hash % u64::from(count.max(1))) as u8)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

use crate::time::Timestamp;

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = *b"tsk_0000000000000";
        for (place, byte) in text[4..].iter_mut().enumerate() {
            let shift = 60 - 5 * place;
            *byte = CROCKFORD[((self.0 >> shift) & 31) as usize];
        }
        // In one piece: a step says it several times.
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for TaskId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId::new("task id", text, "`tsk_` and 13 characters of base 32");
        let digits = text.strip_prefix("tsk_").ok_or_else(invalid)?;
        if digits.len() != 13 {
            return Err(invalid());
        }
        let mut number: i64 = 0;
        for (place, byte) in digits.bytes().enumerate() {
            let value = CROCKFORD.iter().position(|digit| *digit == byte.to_ascii_lowercase()).ok_or_else(invalid)?;
            if place == 0 && value > 7 {
                return Err(invalid());
            }
            number = (number << 5) | value as i64;
        }
        Ok(Self(number))
    }
}

impl Serialize for TaskId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TaskId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The place of a step in its workflow: dense, from 0, in the order of the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepIndex(pub u32);

impl StepIndex {
    /// For indexing a slice of steps.
    pub fn at(self) -> usize {
        self.0 as usize
    }
}

/// How a step, or one item of a step's fan-out, is called outside the engine: `resize`, `resize[17]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepLabel {
    /// The step.
    pub name: StepName,
    /// The item's place in the list, from 0.
    pub item: Option<u32>,
}

impl From<StepName> for StepLabel {
    fn from(name: StepName) -> Self {
        Self { name, item: None }
    }
}

impl fmt::Display for StepLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.item {
            None => f.write_str(self.name.as_str()),
            Some(item) => write!(f, "{}[{item}]", self.name),
        }
    }
}

impl FromStr for StepLabel {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let Some((name, rest)) = text.split_once('[') else { return Ok(StepName::new(text)?.into()) };
        let item = rest.strip_suffix(']').filter(|digits| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()));
        // Only the form that is printed is read, so that one item has one name.
        let item = item.filter(|digits| *digits == "0" || !digits.starts_with('0')).and_then(|digits| digits.parse().ok());
        match item {
            Some(item) => Ok(Self { name: StepName::new(name)?, item: Some(item) }),
            None => Err(InvalidId::new("step", text, "a step's name, or its name and an item such as `resize[17]`")),
        }
    }
}

/// Which try at a step this is; counts from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptNumber(pub u32);

impl AttemptNumber {
    /// The first try.
    pub const FIRST: Self = Self(1);

    /// The try after this one.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for AttemptNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The secret that authorises the reply to one attempt: 16 random bytes, drawn by the caller. Never printed.
#[derive(Clone, Copy)]
pub struct AttemptToken(pub [u8; 16]);

impl PartialEq for AttemptToken {
    /// Compares without leaving early, so that time tells nothing about the bytes.
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0.iter()).fold(0u8, |difference, (a, b)| difference | (a ^ b)) == 0
    }
}

impl Eq for AttemptToken {}

impl fmt::Debug for AttemptToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A SHA-256 digest; printed as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Digests bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId::new("digest", text, "64 hexadecimal digits");
        let mut bytes = [0u8; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| invalid())?;
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_id_survives_printing_and_parsing() {
        for number in [0, 1, 42, i64::MAX, 1 << 40] {
            let id = TaskId::from_number(number).expect("not negative");
            assert_eq!(id.to_string().parse::<TaskId>(), Ok(id));
        }
    }

    #[test]
    fn task_ids_sort_as_text_the_way_they_sort_as_numbers() {
        let earlier = TaskId::first_at(Timestamp::from_millis(1_000));
        let later = TaskId::first_at(Timestamp::from_millis(1_001));
        assert!(earlier.to_string() < later.to_string());
    }

    #[test]
    fn ids_of_one_shard_grow_and_no_two_shards_give_the_same() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let mut seen = std::collections::BTreeSet::new();
        for shard in (0..ShardId::COUNT_MAX).map(ShardId) {
            let mut last = TaskId::first_at(Timestamp::from_millis(0));
            for _ in 0..100 {
                let next = last.following(now, shard);
                assert!(next > last && next >= TaskId::first_at(now) && next.shard() == shard);
                assert!(seen.insert(next), "given twice");
                last = next;
            }
            assert!(last < TaskId::first_at(Timestamp::from_millis(1_800_000_000_001)), "a hundred fit into a millisecond");
        }
    }

    #[test]
    fn ids_grow_when_the_clock_goes_back_and_after_ids_that_were_counted_through() {
        let (now, before) = (Timestamp::from_millis(2_000), Timestamp::from_millis(1_000));
        let last = TaskId::first_at(now).following(now, ShardId(3));
        assert!(last.following(before, ShardId(3)) > last);
        let counted = TaskId::from_number(TaskId::first_at(now).as_number() + 7).expect("not negative");
        assert!(counted.following(before, ShardId(0)) > counted);
    }

    #[test]
    fn the_shard_of_a_namespace_never_changes() {
        let shard = |name: &str, count| ShardId::of(&Namespace::new(name).expect("valid"), count).0;
        assert_eq!([shard("default", 16), shard("shop", 16), shard("a", 16), shard("default", 1)], [14, 9, 12, 0]);
    }

    #[test]
    fn hostile_names_are_refused() {
        for text in ["", "a b", "a.b", "ä", "*", ">", &"x".repeat(65)] {
            assert!(SystemName::new(text).is_err(), "{text}");
        }
        for text in ["", ".", "a.", ".a", "a..b", "a b", "a.*", "a.>"] {
            assert!(CapabilityName::new(text).is_err(), "{text}");
        }
        assert!("tsk_zzzzzzzzzzzzz".parse::<TaskId>().is_err(), "above 63 bits");
    }
}
