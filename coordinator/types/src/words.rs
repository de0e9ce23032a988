//! Finds a text that one set has and others lack, by walking the automata of all their patterns together.
//!
//! The walk goes over bytes in the order of length, so what it finds is as short as can be. A state of the walk is the state
//! of each automaton, of a reader of UTF-8, and a count of characters; when every state was seen and no text found, there is
//! none. Formats are not automata: where they decide, the walk may find a text and never proves that there is none.

use crate::effort::Effort;
use crate::limits::{BUILD_COST, WALK_STATES_MAX, WALK_WORDS_MAX};
use crate::pattern::{Machine, Pattern, start};
use crate::text::{Free, Texts};
use regex_automata::dfa::Automaton;
use regex_automata::util::primitives::StateID;
use std::collections::BTreeMap;

/// What a walk found out.
#[derive(Debug, PartialEq)]
pub(crate) enum Walk {
    Found(String),
    Nothing,
    Unknown,
}

/// Where an automaton is; `None` once it has found its pattern, which no further byte changes.
type Place = Option<StateID>;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    places: Vec<Place>,
    utf8: Utf8,
    length: u64,
}

/// A set that the text must not be in.
struct Refused<'t> {
    /// By number of the automaton.
    machines: Vec<usize>,
    set: &'t Texts,
}

/// A text that `set` has and none of `others` has.
pub(crate) fn find(set: &Free, others: &[&Texts], effort: &Effort) -> Walk {
    let words: Vec<Option<Pattern>> = others.iter().map(|other| words_of(other)).collect();
    let mut patterns: Vec<&Pattern> = set.patterns.iter().collect();
    let mut refused = Vec::new();
    for (other, words) in others.iter().zip(&words) {
        let own: &[Pattern] = match other {
            Texts::Free(free) => &free.patterns,
            Texts::Words(_) => &[],
        };
        let mut machines = Vec::new();
        for pattern in own.iter().chain(words) {
            let known = patterns.iter().position(|known| *known == pattern);
            machines.push(known.unwrap_or_else(|| {
                patterns.push(pattern);
                patterns.len() - 1
            }));
        }
        refused.push(Refused { machines, set: other });
    }
    let new = patterns.iter().filter(|pattern| !pattern.is_built()).count();
    if !effort.walk(BUILD_COST.saturating_mul(u32::try_from(new).unwrap_or(u32::MAX))) {
        return Walk::Unknown;
    }
    let Some(machines) = patterns.iter().map(|pattern| pattern.machine()).collect::<Option<Vec<&Machine>>>() else {
        return Walk::Unknown;
    };
    Walker { set, needed: set.patterns.len(), machines, refused, unsure: false, effort }.walk()
}

/// A finite set as an automaton, if it is not too large.
fn words_of(set: &Texts) -> Option<Pattern> {
    match set {
        Texts::Words(words) if words.len() <= WALK_WORDS_MAX => Some(Pattern::of_words(words.iter().map(|word| &**word))),
        Texts::Words(_) | Texts::Free(_) => None,
    }
}

struct Walker<'t> {
    set: &'t Free,
    /// The first so many automata must find their pattern.
    needed: usize,
    machines: Vec<&'t Machine>,
    refused: Vec<Refused<'t>>,
    /// Whether a text was passed over only because nothing is known about it.
    unsure: bool,
    effort: &'t Effort,
}

impl Walker<'_> {
    fn walk(mut self) -> Walk {
        let Some(places) = self.machines.iter().map(|machine| start(machine).map(Some)).collect::<Option<Vec<Place>>>() else {
            return Walk::Unknown;
        };
        let counted = self.counted();
        if counted > WALK_STATES_MAX as u64 {
            return Walk::Unknown;
        }
        let alphabet = self.alphabet();
        // Each state with the state before it and the byte between them; the order of finding is the order of length.
        let mut found: Vec<(State, usize, u8)> = vec![(State { places, utf8: Utf8::Whole, length: 0 }, 0, 0)];
        let mut seen: BTreeMap<State, ()> = BTreeMap::from([(found[0].0.clone(), ())]);
        let mut at = 0;
        while at < found.len() {
            if found[at].0.utf8 == Utf8::Whole
                && let Some(text) = self.accepted(&found, at)
            {
                return Walk::Found(text);
            }
            for byte in &alphabet {
                let Some(next) = self.step(&found[at].0, *byte, counted) else { continue };
                if seen.insert(next.clone(), ()).is_none() {
                    found.push((next, at, *byte));
                }
            }
            if found.len() > WALK_STATES_MAX || !self.effort.walk(1) {
                return Walk::Unknown;
            }
            at += 1;
        }
        if self.unsure { Walk::Unknown } else { Walk::Nothing }
    }

    /// The length from which on more characters change nothing.
    fn counted(&self) -> u64 {
        let bounds = |free: &Free| free.max.map_or(free.min, |max| max.saturating_add(1));
        let others = self.refused.iter().map(|refused| match refused.set {
            Texts::Free(free) => bounds(free),
            Texts::Words(_) => 0,
        });
        others.fold(bounds(self.set), u64::max)
    }

    /// One byte for each group of bytes that all automata treat alike, readable ones first.
    fn alphabet(&self) -> Vec<u8> {
        let readable = (b'a'..=b'z').chain(b'0'..=b'9').chain(b'A'..=b'Z').chain(b' '..=b'~').chain(0..=255);
        let mut groups: BTreeMap<(Vec<u8>, u8), ()> = BTreeMap::new();
        let mut bytes = Vec::new();
        for byte in readable {
            let group = (self.machines.iter().map(|machine| machine.byte_classes().get(byte)).collect(), Utf8::group(byte));
            if groups.insert(group, ()).is_none() {
                bytes.push(byte);
            }
        }
        bytes
    }

    /// The state after one more byte; `None` if no text of the set goes that way.
    fn step(&self, state: &State, byte: u8, counted: u64) -> Option<State> {
        let utf8 = state.utf8.after(byte)?;
        let length = (state.length + u64::from(state.utf8 == Utf8::Whole)).min(counted.max(1));
        if self.set.max.is_some_and(|max| length > max) {
            return None;
        }
        let mut places = state.places.clone();
        for (number, (place, machine)) in places.iter_mut().zip(&self.machines).enumerate() {
            let Some(from) = *place else { continue };
            let to = machine.next_state(from, byte);
            *place = if machine.is_match_state(to) { None } else { Some(to) };
            if number < self.needed && machine.is_dead_state(to) {
                return None;
            }
        }
        Some(State { places, utf8, length })
    }

    /// The text that leads to a state, if it is in the set and in none of the refused ones.
    fn accepted(&mut self, found: &[(State, usize, u8)], at: usize) -> Option<String> {
        let state = &found[at].0;
        let matched = |number: &usize| match state.places[*number] {
            None => true,
            Some(place) => self.machines[*number].is_match_state(self.machines[*number].next_eoi_state(place)),
        };
        if !(0..self.needed).all(|number| matched(&number)) || state.length < self.set.min {
            return None;
        }
        let mut judged = Vec::new();
        for refused in &self.refused {
            let fits = refused.machines.iter().all(matched);
            match refused.set {
                Texts::Words(words) if words.len() > WALK_WORDS_MAX => judged.push(refused.set),
                Texts::Words(_) if fits => return None,
                Texts::Free(free) if fits && state.length >= free.min && free.max.is_none_or(|max| state.length <= max) => {
                    if free.formats.iter().all(|format| self.set.formats.iter().any(|own| own.implies(*format))) {
                        return None;
                    }
                    judged.push(refused.set);
                }
                Texts::Words(_) | Texts::Free(_) => {}
            }
        }
        let mut bytes = Vec::new();
        let mut back = at;
        while back != 0 {
            bytes.push(found[back].2);
            back = found[back].1;
        }
        bytes.reverse();
        let text = String::from_utf8(bytes).ok()?;
        let formatted = self.set.formats.iter().all(|format| format.has(&text) == Some(true));
        if formatted && judged.iter().all(|set| set.contains(&text) == Some(false)) {
            return Some(text);
        }
        self.unsure = true;
        None
    }
}

/// How much of a character has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Utf8 {
    Whole,
    /// So many continuation bytes are missing.
    Missing(u8),
    /// After E0, ED, F0, F4, whose next byte is restricted.
    AfterE0,
    AfterEd,
    AfterF0,
    AfterF4,
}

impl Utf8 {
    fn after(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Whole, 0x00..=0x7F) => Some(Self::Whole),
            (Self::Whole, 0xC2..=0xDF) => Some(Self::Missing(1)),
            (Self::Whole, 0xE0) => Some(Self::AfterE0),
            (Self::Whole, 0xED) => Some(Self::AfterEd),
            (Self::Whole, 0xE1..=0xEF) => Some(Self::Missing(2)),
            (Self::Whole, 0xF0) => Some(Self::AfterF0),
            (Self::Whole, 0xF1..=0xF3) => Some(Self::Missing(3)),
            (Self::Whole, 0xF4) => Some(Self::AfterF4),
            (Self::Missing(1), 0x80..=0xBF) => Some(Self::Whole),
            (Self::Missing(more), 0x80..=0xBF) => Some(Self::Missing(more - 1)),
            (Self::AfterE0, 0xA0..=0xBF) | (Self::AfterEd, 0x80..=0x9F) => Some(Self::Missing(1)),
            (Self::AfterF0, 0x90..=0xBF) | (Self::AfterF4, 0x80..=0x8F) => Some(Self::Missing(2)),
            _ => None,
        }
    }

    /// Bytes of one group are treated alike by [`Utf8::after`].
    fn group(byte: u8) -> u8 {
        match byte {
            0x00..=0x7F => 0,
            0x80..=0x8F => 1,
            0x90..=0x9F => 2,
            0xA0..=0xBF => 3,
            0xC2..=0xDF => 4,
            0xE0 => 5,
            0xED => 6,
            0xE1..=0xEF => 7,
            0xF0 => 8,
            0xF1..=0xF3 => 9,
            0xF4 => 10,
            _ => 11,
        }
    }
}
