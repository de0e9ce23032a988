//! Versions of systems, and what a route demands of them: `>=1.4.0, <2`.
//!
//! Versions are what the owners of systems write: `1.4`, `v2.0.0-rc.1`, `2026.11.21.3`. The crate `semver` reads only exactly three numbers and
//! gives partial versions a meaning of their own in requirements, so the comparison is our own and follows the order of Semantic Versioning
//! 2.0.0, clause 11: numbers by value, a pre-release before its release, build metadata without weight. Numbers that are not written are zero.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A version that can be compared: one to four numbers, perhaps a pre-release (`-rc.1`), perhaps build metadata (`+5f3a`), perhaps a leading `v`.
///
/// Equal means equal in order: `1.4` is `1.4.0`, and `1.4.0+a` is `1.4.0+b`.
#[derive(Debug, Clone)]
pub struct Version {
    numbers: [u64; Self::NUMBERS_MAX],
    pre: Vec<Identifier>,
}

/// One word of a pre-release. The derived order is the standard's: numbers before words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Word(String),
}

impl Version {
    /// The longest accepted text, in bytes; as long as a version in the registry may be.
    pub const BYTES_MAX: usize = 128;
    /// Semantic Versioning has three numbers; dates with a counter have four.
    pub const NUMBERS_MAX: usize = 4;

    /// Reads a version; none if the text is something else, such as a commit's hash: nothing can be said about its order.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        if text.len() > Self::BYTES_MAX {
            return None;
        }
        let (text, build) = text.split_once('+').map_or((text, None), |(front, build)| (front, Some(build)));
        if build.is_some_and(|build| !build.split('.').all(is_identifier)) {
            return None;
        }
        let (core, pre) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
        let mut numbers = [0; Self::NUMBERS_MAX];
        for (place, number) in core.split('.').enumerate() {
            *numbers.get_mut(place)? = number_of(number)?;
        }
        let pre = pre.map_or(Some(Vec::new()), |pre| pre.split('.').map(identifier).collect())?;
        Some(Self { numbers, pre })
    }

    /// Whether it comes before a release: `2.0.0-rc.1`.
    pub fn is_pre_release(&self) -> bool {
        !self.pre.is_empty()
    }
}

fn is_identifier(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Digits only: `parse` alone would take a sign.
fn number_of(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn identifier(word: &str) -> Option<Identifier> {
    is_identifier(word).then(|| number_of(word).map_or_else(|| Identifier::Word(word.to_owned()), Identifier::Number))
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => self.pre.cmp(&other.pre),
        })
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

/// What a version must fulfil: comparisons joined by commas, all of which must hold: `>=1.4.0, <2`.
///
/// Operators are `=`, `!=`, `>`, `>=`, `<` and `<=`; a version alone means `=`. A bound that names no pre-release means the release and its
/// pre-releases alike: `<2` does not let `2.0.0-rc.1` through, because whoever writes it means nothing of 2, and `>=2` does not either, because
/// a pre-release is before its release. `>=2.0.0-0` lets them through. A worker whose version cannot be compared fulfils no constraint.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VersionConstraint {
    text: Arc<str>,
    comparisons: Arc<[Comparison]>,
}

/// One of the comparisons.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Comparison {
    operator: Operator,
    bound: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Why a text is not a version constraint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVersionConstraint {
    /// Nothing to compare with.
    #[error("it is empty; write comparisons such as `>=1.4.0, <2`")]
    Empty,
    /// Longer than [`VersionConstraint::BYTES_MAX`].
    #[error("it is {0} bytes long; at most {max} are accepted", max = VersionConstraint::BYTES_MAX)]
    TooLong(usize),
    /// More than [`VersionConstraint::COMPARISONS_MAX`].
    #[error("it has more than {max} comparisons", max = VersionConstraint::COMPARISONS_MAX)]
    TooMany,
    /// A part that cannot be read.
    #[error("`{0}` is no comparison; write one of `=`, `!=`, `>`, `>=`, `<`, `<=` and a version such as `1.4.0`")]
    Comparison(String),
    /// Two parts that no version fulfils together.
    #[error("no version is `{0}` and `{1}` at once")]
    Contradiction(String, String),
}

impl VersionConstraint {
    /// The longest accepted text, in bytes.
    pub const BYTES_MAX: usize = 256;
    /// The most comparisons: bounds on both sides and some exceptions.
    pub const COMPARISONS_MAX: usize = 8;

    /// Reads a constraint.
    ///
    /// # Errors
    /// Names the part that cannot be read, or two parts that exclude each other: such a step would wait for ever.
    pub fn parse(text: &str) -> Result<Self, InvalidVersionConstraint> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidVersionConstraint::Empty);
        }
        if text.len() > Self::BYTES_MAX {
            return Err(InvalidVersionConstraint::TooLong(text.len()));
        }
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        if parts.len() > Self::COMPARISONS_MAX {
            return Err(InvalidVersionConstraint::TooMany);
        }
        let read = |part: &&str| Comparison::parse(part).ok_or_else(|| InvalidVersionConstraint::Comparison((*part).to_owned()));
        let comparisons: Vec<Comparison> = parts.iter().map(read).collect::<Result<_, _>>()?;
        for (place, one) in comparisons.iter().enumerate() {
            if let Some(other) = comparisons[..place].iter().position(|other| one.excludes(other)) {
                return Err(InvalidVersionConstraint::Contradiction(parts[other].to_owned(), parts[place].to_owned()));
            }
        }
        Ok(Self { text: Arc::from(text), comparisons: comparisons.into() })
    }

    /// Whether a version fulfils every comparison.
    pub fn admits(&self, version: &Version) -> bool {
        self.comparisons.iter().all(|comparison| comparison.admits(version))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Comparison {
    fn parse(part: &str) -> Option<Self> {
        const OPERATORS: [(&str, Operator); 6] = [
            (">=", Operator::GreaterOrEqual),
            ("<=", Operator::LessOrEqual),
            ("!=", Operator::NotEqual),
            (">", Operator::Greater),
            ("<", Operator::Less),
            ("=", Operator::Equal),
        ];
        let found = OPERATORS.iter().find_map(|(sign, operator)| Some((part.strip_prefix(sign)?, *operator)));
        let (version, operator) = found.unwrap_or((part, Operator::Equal));
        Some(Self { operator, bound: Version::parse(version.trim())? })
    }

    fn admits(&self, version: &Version) -> bool {
        let bound = &self.bound;
        match self.operator {
            Operator::Equal => version == bound,
            Operator::NotEqual => version != bound,
            Operator::Less => version < bound && !self.is_pre_release_of_bound(version),
            Operator::LessOrEqual => version <= bound && !self.is_pre_release_of_bound(version),
            Operator::Greater => version > bound,
            Operator::GreaterOrEqual => version >= bound,
        }
    }

    /// Whether the version is a pre-release of the bound, and the bound does not speak of pre-releases.
    fn is_pre_release_of_bound(&self, version: &Version) -> bool {
        version.is_pre_release() && !self.bound.is_pre_release() && version.numbers == self.bound.numbers
    }

    /// Whether no version fulfils both. `!=` excludes only its own `=`: between two versions there is always another.
    fn excludes(&self, other: &Self) -> bool {
        let (low, high) = if other.is_lower() { (other, self) } else { (self, other) };
        match (low.operator, high.operator) {
            (Operator::Equal, _) => !high.admits(&low.bound),
            (_, Operator::Equal) => !low.admits(&high.bound),
            (Operator::Greater | Operator::GreaterOrEqual, Operator::Less) => {
                low.bound >= high.bound || high.is_pre_release_of_bound(&low.bound)
            }
            (Operator::Greater, Operator::LessOrEqual) => low.bound >= high.bound,
            (Operator::GreaterOrEqual, Operator::LessOrEqual) => low.bound > high.bound,
            _ => false,
        }
    }

    fn is_lower(&self) -> bool {
        matches!(self.operator, Operator::Greater | Operator::GreaterOrEqual)
    }
}

impl fmt::Display for VersionConstraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for VersionConstraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.text)
    }
}

/// Two constraints are the same if they are written the same: routes that are written the same share a queue.
impl PartialEq for VersionConstraint {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for VersionConstraint {}

impl PartialOrd for VersionConstraint {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for VersionConstraint {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl std::hash::Hash for VersionConstraint {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl FromStr for VersionConstraint {
    type Err = InvalidVersionConstraint;
    fn from_str(text: &str) -> Result<Self, InvalidVersionConstraint> {
        Self::parse(text)
    }
}

impl TryFrom<String> for VersionConstraint {
    type Error = InvalidVersionConstraint;
    fn try_from(text: String) -> Result<Self, InvalidVersionConstraint> {
        Self::parse(&text)
    }
}

impl From<VersionConstraint> for String {
    fn from(constraint: VersionConstraint) -> String {
        constraint.text.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap_or_else(|| panic!("`{text}` is a version"))
    }

    #[test]
    fn versions_are_ordered_as_the_standard_says() {
        let ascending = [
            "0.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.0.1",
            "1.2",
            "1.10",
            "2026.11.21",
        ];
        for (place, lower) in ascending.iter().enumerate() {
            for higher in &ascending[place + 1..] {
                assert!(version(lower) < version(higher), "{lower} < {higher}");
            }
        }
        for (one, other) in [("1.4", "1.4.0"), ("v2", "2.0.0"), ("1.0.0+a", "1.0.0+b")] {
            assert_eq!(version(one), version(other));
        }
    }

    #[test]
    fn what_cannot_be_compared_is_no_version() {
        for text in
            ["", "v", "main", "5f3a91c", "1..2", "1.2.3.4.5", "1.-2", "+1", "1.0-", "1.0-a..b", "1.0+", "99999999999999999999", "1 .2"]
        {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_constraint_holds_if_every_comparison_does() {
        let table = [
            (">=1.4.0, <2", &["1.4", "1.4.1", "1.99.99"] as &[_], &["1.3.9", "1.4.0-rc.1", "2.0.0-rc.1", "2.0.0", "2.1"] as &[_]),
            ("<=2", &["1.0", "2.0.0"], &["2.0.0-rc.1", "2.0.1"]),
            (">=2.0.0-0", &["2.0.0-rc.1", "2.0.0", "3.0"], &["1.9.9"]),
            ("<2.0.0-rc.2", &["2.0.0-rc.1", "1.0"], &["2.0.0-rc.2", "2.0.0"]),
            (">1, !=1.5", &["1.4", "1.5.1"], &["1.0.0", "1.5.0"]),
            ("1.4.0", &["1.4", "1.4.0+build"], &["1.4.1", "1.4.0-rc.1"]),
            ("= 1.4.0", &["1.4.0"], &["1.4.1"]),
        ];
        for (text, admitted, refused) in table {
            let constraint = VersionConstraint::parse(text).expect(text);
            admitted.iter().for_each(|one| assert!(constraint.admits(&version(one)), "`{text}` admits {one}"));
            refused.iter().for_each(|one| assert!(!constraint.admits(&version(one)), "`{text}` does not admit {one}"));
        }
    }

    #[test]
    fn a_constraint_that_nothing_fulfils_is_refused() {
        let contradictions = [">2, <1", ">=2, <2", ">2, <=2", ">=2-rc, <2", "=1.0, >=2", "<1, =1.5", "=1, =2", "=1, !=1"];
        for text in contradictions {
            let refused = VersionConstraint::parse(text).expect_err(text);
            assert!(matches!(refused, InvalidVersionConstraint::Contradiction(..)), "{text}: {refused}");
        }
        assert!(VersionConstraint::parse(">=2, <=2").is_ok());
    }

    #[test]
    fn what_is_no_constraint_is_refused_with_the_part_that_is_wrong() {
        assert_eq!(VersionConstraint::parse("  "), Err(InvalidVersionConstraint::Empty));
        assert_eq!(VersionConstraint::parse(">=1,, <2"), Err(InvalidVersionConstraint::Comparison(String::new())));
        assert_eq!(VersionConstraint::parse(">=1, ~2"), Err(InvalidVersionConstraint::Comparison("~2".into())));
        assert_eq!(VersionConstraint::parse(&"1,".repeat(128)), Err(InvalidVersionConstraint::TooMany));
        assert_eq!(VersionConstraint::parse(&"1".repeat(257)), Err(InvalidVersionConstraint::TooLong(257)));
    }

    fn any_version() -> impl Strategy<Value = String> {
        let core = prop::collection::vec(0..4u64, 1..=4);
        let word = prop_oneof![Just("rc".to_owned()), Just("a".to_owned()), (0..3u64).prop_map(|number| number.to_string())];
        (core, prop::collection::vec(word, 0..3)).prop_map(|(core, pre)| {
            let core: Vec<String> = core.iter().map(u64::to_string).collect();
            let dash = if pre.is_empty() { "" } else { "-" };
            format!("{}{dash}{}", core.join("."), pre.join("."))
        })
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_panic(text in "\\PC{0,40}", near in "[v0-9.,<>=! a-c+-]{0,24}") {
            for text in [text, near] {
                let _ = Version::parse(&text);
                if let Ok(constraint) = VersionConstraint::parse(&text) {
                    prop_assert_eq!(VersionConstraint::parse(constraint.as_str()), Ok(constraint));
                }
            }
        }

        #[test]
        fn the_order_is_total(one in any_version(), two in any_version(), three in any_version()) {
            let (one, two, three) = (version(&one), version(&two), version(&three));
            prop_assert_eq!(one.cmp(&two), two.cmp(&one).reverse());
            if one <= two && two <= three {
                prop_assert!(one <= three);
            }
        }

        #[test]
        fn a_refused_pair_admits_nothing(bounds in (any_version(), any_version()), signs in (0..6usize, 0..6usize), probe in any_version()) {
            const SIGNS: [&str; 6] = ["=", "!=", "<", "<=", ">", ">="];
            let parts = [format!("{}{}", SIGNS[signs.0], bounds.0), format!("{}{}", SIGNS[signs.1], bounds.1)];
            if let Err(InvalidVersionConstraint::Contradiction(..)) = VersionConstraint::parse(&parts.join(",")) {
                let both = parts.iter().all(|part| VersionConstraint::parse(part).expect("each alone is fine").admits(&version(&probe)));
                prop_assert!(!both, "{parts:?} admit {probe}");
            }
        }
    }
}
