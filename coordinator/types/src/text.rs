//! Sets of texts: finite ones, and those described by length, patterns and formats.

use crate::effort::Effort;
use crate::format::Format;
use crate::limits::SAMPLE_LENGTH_MAX;
use crate::pattern::Pattern;
use crate::words::{self, Walk};
use std::sync::Arc;

/// Texts of some length (in characters) that have every pattern and every format.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Free {
    pub(crate) min: u64,
    pub(crate) max: Option<u64>,
    pub(crate) patterns: Vec<Pattern>,
    pub(crate) formats: Vec<Format>,
}

/// A set of texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Texts {
    /// Sorted, each once, at least one.
    Words(Vec<Arc<str>>),
    Free(Free),
}

/// What is left of a set of texts when others are taken away.
#[derive(Debug, PartialEq)]
pub(crate) enum Gap {
    Nothing,
    /// Something; the texts are examples, and there may be none to show.
    Something(Vec<String>),
    Unknown,
}

impl Free {
    /// The bounds of length, formats included.
    fn lengths(&self) -> (u64, Option<u64>) {
        self.formats.iter().map(|format| format.lengths()).fold((self.min, self.max), |(low, high), (min, max)| {
            (low.max(min), high.map_or(max, |high| Some(max.map_or(high, |max| high.min(max)))))
        })
    }

    fn contains(&self, text: &str) -> Option<bool> {
        let length = text.chars().count() as u64;
        if length < self.min || self.max.is_some_and(|max| length > max) {
            return Some(false);
        }
        let patterns = self.patterns.iter().map(|pattern| pattern.is_in(text));
        let formats = self.formats.iter().map(|format| format.has(text));
        patterns
            .chain(formats)
            .try_fold(Some(true), |all, one| match one {
                Some(false) => Err(()),
                Some(true) => Ok(all),
                None => Ok(None),
            })
            .unwrap_or(Some(false))
    }

    /// Whether everything the other asks for is asked for here.
    fn asks_all_of(&self, other: &Self) -> bool {
        let (low, high) = self.lengths();
        low >= other.min
            && other.max.is_none_or(|max| high.is_some_and(|high| high <= max))
            && other.patterns.iter().all(|pattern| self.patterns.contains(pattern))
            && other.formats.iter().all(|format| self.formats.iter().any(|own| own.implies(*format)))
    }

    fn is_plain(&self) -> bool {
        self.patterns.is_empty() && self.formats.is_empty()
    }
}

impl Texts {
    pub(crate) const fn any() -> Self {
        Self::Free(Free { min: 0, max: None, patterns: Vec::new(), formats: Vec::new() })
    }

    pub(crate) fn contains(&self, text: &str) -> Option<bool> {
        match self {
            Self::Words(words) => Some(words.binary_search_by(|word| (**word).cmp(text)).is_ok()),
            Self::Free(free) => free.contains(text),
        }
    }

    /// What is in both, and whether that is exact; `None` if nothing is.
    pub(crate) fn meet(&self, other: &Self) -> Option<(Self, bool)> {
        match (self, other) {
            (Self::Words(words), set) | (set, Self::Words(words)) => {
                let mut exact = true;
                let mut kept = words.clone();
                kept.retain(|word| {
                    let inside = set.contains(word);
                    exact &= inside.is_some();
                    inside != Some(false)
                });
                (!kept.is_empty()).then_some((Self::Words(kept), exact))
            }
            (Self::Free(a), Self::Free(b)) => {
                let mut met = a.clone();
                met.min = a.min.max(b.min);
                met.max = match (a.max, b.max) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (one, other) => one.or(other),
                };
                met.patterns.extend(b.patterns.iter().filter(|pattern| !a.patterns.contains(pattern)).cloned());
                met.formats.extend(b.formats.iter().filter(|format| !a.formats.contains(format)));
                met.formats.sort_unstable();
                let (low, high) = met.lengths();
                high.is_none_or(|high| low <= high).then_some((Self::Free(met), true))
            }
        }
    }

    /// A few different texts of the set, the plainest first; empty if none is found.
    pub(crate) fn samples(&self, most: usize, effort: &Effort) -> Vec<String> {
        match self {
            Self::Words(words) => words.iter().take(most).map(|word| word.to_string()).collect(),
            Self::Free(free) => {
                let mut found: Vec<String> = Vec::new();
                let candidates = free.candidates(&[]);
                for text in candidates {
                    if found.len() < most && free.contains(&text) == Some(true) && !found.contains(&text) {
                        found.push(text);
                    }
                }
                if found.is_empty()
                    && !free.patterns.is_empty()
                    && let Walk::Found(text) = words::find(free, &[], effort)
                {
                    found.push(text);
                }
                found
            }
        }
    }

    /// Whether the other is inside, without looking at single texts.
    fn plainly_holds(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Free(own), Self::Free(other)) => other.asks_all_of(own),
            (Self::Words(own), Self::Words(other)) => own == other,
            (Self::Words(_), Self::Free(_)) | (Self::Free(_), Self::Words(_)) => false,
        }
    }

    /// What of this set is in none of the others.
    pub(crate) fn without(&self, others: &[&Self], effort: &Effort) -> Gap {
        if others.iter().any(|other| other.plainly_holds(self)) {
            return Gap::Nothing;
        }
        let outside = |text: &str| {
            others.iter().map(|other| other.contains(text)).try_fold(true, |all, inside| match inside {
                Some(true) => Err(false),
                Some(false) => Ok(all),
                None => Ok(false),
            })
        };
        match self {
            Self::Words(words) => {
                let mut gap = Gap::Nothing;
                for word in words {
                    match outside(word) {
                        Ok(true) => return Gap::Something(vec![word.to_string()]),
                        Ok(false) => gap = Gap::Unknown,
                        Err(_) => {}
                    }
                }
                gap
            }
            Self::Free(free) => {
                let frees: Vec<&Free> = others
                    .iter()
                    .filter_map(|other| match other {
                        Self::Free(free) => Some(free),
                        Self::Words(_) => None,
                    })
                    .collect();
                let shown = |text: &String| free.contains(text) == Some(true) && outside(text) == Ok(true);
                let found: Vec<String> = free.candidates(others).into_iter().filter(shown).take(3).collect();
                if !found.is_empty() {
                    return Gap::Something(found);
                }
                if free.is_plain() && frees.iter().all(|other| other.is_plain()) {
                    return free.lengths_without(&frees, others);
                }
                match words::find(free, others, effort) {
                    Walk::Found(text) => Gap::Something(vec![text]),
                    Walk::Nothing => Gap::Nothing,
                    Walk::Unknown => Gap::Unknown,
                }
            }
        }
    }
}

impl Free {
    /// Texts worth trying: of each format, and of each length at which another set ends.
    fn candidates(&self, others: &[&Texts]) -> Vec<String> {
        let mut found: Vec<String> = self.formats.iter().flat_map(|format| format.samples()).map(|text| (*text).to_owned()).collect();
        let mut lengths: Vec<u64> = vec![self.min.max(1), self.min, self.min + 1];
        for other in others {
            match other {
                Texts::Free(other) => {
                    lengths.extend(other.max.map(|max| max.saturating_add(1)));
                    lengths.extend(other.min.checked_sub(1));
                    found.extend(other.formats.iter().flat_map(|format| format.samples()).map(|text| (*text).to_owned()));
                }
                Texts::Words(words) => lengths.extend(words.iter().map(|word| word.chars().count() as u64 + 1).max()),
            }
        }
        lengths.retain(|length| *length <= SAMPLE_LENGTH_MAX);
        // Any text will do where there is neither pattern nor format; where there is, these rarely do, and cost nothing.
        for letter in ["a", "0", "A"] {
            found.extend(lengths.iter().map(|length| letter.repeat(usize::try_from(*length).unwrap_or(0))));
        }
        found.extend(Format::NEVER.map(str::to_owned));
        found
    }

    /// For sets that only bound lengths: the least length that no other set holds is the own least, or one above another's
    /// greatest, and all of those were tried as far as they can be shown.
    fn lengths_without(&self, frees: &[&Self], others: &[&Texts]) -> Gap {
        let mut starts = vec![self.min];
        starts.extend(frees.iter().filter_map(|other| other.max?.checked_add(1)));
        let inside = |length: u64, of: &Self| length >= of.min && of.max.is_none_or(|max| length <= max);
        let left = starts.into_iter().filter(|start| inside(*start, self) && !frees.iter().any(|other| inside(*start, other)));
        let mut left = left.peekable();
        match left.peek() {
            None => Gap::Nothing,
            // Too long to be shown, and longer than every single word.
            Some(length) if *length > SAMPLE_LENGTH_MAX => Gap::Something(Vec::new()),
            Some(_) if frees.len() < others.len() => Gap::Unknown,
            Some(_) => Gap::Something(Vec::new()),
        }
    }
}
