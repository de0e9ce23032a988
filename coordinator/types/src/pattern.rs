//! Patterns: texts of regular expressions, and their automata where both are understood.
//!
//! A pattern that uses anything whose meaning is not surely the validator's is known by its text alone: it equals itself,
//! and about everything else nothing is said.

use crate::limits::AUTOMATON_BYTES_MAX;
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::{Anchored, Input};
use std::sync::{Arc, OnceLock};

pub(crate) type Machine = dense::DFA<Vec<u32>>;

/// A pattern of a schema, searched for anywhere in a text. Cloning shares the automaton, which is built when first needed.
#[derive(Clone)]
pub(crate) struct Pattern(Arc<Lazy>);

struct Lazy {
    text: String,
    machine: OnceLock<Option<Box<Machine>>>,
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        Self(Arc::new(Lazy { text: text.to_owned(), machine: OnceLock::new() }))
    }

    /// A pattern that matches exactly these words.
    pub(crate) fn of_words<'w>(words: impl Iterator<Item = &'w str>) -> Self {
        let mut text = String::from("^(?:");
        for (place, word) in words.enumerate() {
            if place > 0 {
                text.push('|');
            }
            for c in word.chars() {
                if r"\.+*?()|[]{}^$#&-~/".contains(c) {
                    text.push('\\');
                }
                text.push(c);
            }
        }
        text.push_str(")$");
        let machine = OnceLock::new();
        let _ = machine.set(build(&text));
        Self(Arc::new(Lazy { text, machine }))
    }

    pub(crate) fn text(&self) -> &str {
        &self.0.text
    }

    /// A pattern that is not understood, whatever it says.
    pub(crate) fn opaque(text: &str) -> Self {
        Self(Arc::new(Lazy { text: text.to_owned(), machine: OnceLock::from(None) }))
    }

    /// Whether asking for the automaton costs nothing any more.
    pub(crate) fn is_built(&self) -> bool {
        self.0.machine.get().is_some()
    }

    /// The automaton, if the pattern is understood and small.
    pub(crate) fn machine(&self) -> Option<&Machine> {
        self.0.machine.get_or_init(|| build(&translate(&self.0.text)?)).as_deref()
    }

    /// Whether the pattern is found in the text; `None` if it is not understood.
    pub(crate) fn is_in(&self, text: &str) -> Option<bool> {
        let machine = self.machine()?;
        let mut state = start(machine)?;
        for byte in text.bytes() {
            state = machine.next_state(state, byte);
            if machine.is_match_state(state) {
                return Some(true);
            }
        }
        Some(machine.is_match_state(machine.next_eoi_state(state)))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for Pattern {}

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "/{}/", self.0.text)
    }
}

/// The state before the first byte of a text.
pub(crate) fn start(machine: &Machine) -> Option<regex_automata::util::primitives::StateID> {
    machine.start_state_forward(&Input::new("").anchored(Anchored::No)).ok()
}

fn build(text: &str) -> Option<Box<Machine>> {
    let limits = dense::Config::new()
        .start_kind(StartKind::Unanchored)
        .dfa_size_limit(Some(AUTOMATON_BYTES_MAX))
        .determinize_size_limit(Some(AUTOMATON_BYTES_MAX));
    let states = thompson::Config::new().nfa_size_limit(Some(AUTOMATON_BYTES_MAX));
    dense::Builder::new().configure(limits).thompson(states).build(text).ok().map(Box::new)
}

/// The pattern in the dialect of the automata. `None` for whatever ECMA and this dialect may read differently.
fn translate(pattern: &str) -> Option<String> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let escaped = chars.next()?;
                match (escaped, in_class) {
                    ('d', false) => out.push_str("[0-9]"),
                    ('D', false) => out.push_str("[^0-9]"),
                    ('w', false) => out.push_str("[A-Za-z0-9_]"),
                    ('W', false) => out.push_str("[^A-Za-z0-9_]"),
                    ('s', false) => out.push_str(&format!("[{SPACES}]")),
                    ('S', false) => out.push_str(&format!("[^{SPACES}]")),
                    ('d', true) => out.push_str("0-9"),
                    ('w', true) => out.push_str("A-Za-z0-9_"),
                    ('s', true) => out.push_str(SPACES),
                    ('n' | 'r' | 't' | 'f' | 'v', _) => out.extend(['\\', escaped]),
                    (mark, _) if r"\.+*?()|[]{}^$#&-~/".contains(mark) => out.extend(['\\', mark]),
                    _ => return None,
                }
                // `[\w-z]` means a hyphen to one dialect and a range to the other.
                if in_class && matches!(escaped, 'd' | 'w' | 's') && chars.peek() == Some(&'-') {
                    return None;
                }
            }
            '[' if in_class => out.push_str("\\["),
            '[' => {
                in_class = true;
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                // A class that starts with its end, or is empty, is read differently.
                if matches!(chars.peek(), Some(']' | '-')) {
                    return None;
                }
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' | '-' if in_class && chars.peek() == Some(&c) => return None,
            '(' if !in_class => {
                out.push('(');
                if chars.peek() == Some(&'?') {
                    chars.next();
                    if chars.next() != Some(':') {
                        return None;
                    }
                    out.push_str("?:");
                }
            }
            _ => out.push(c),
        }
    }
    Some(out)
}

/// What ECMA calls white space, inside a class.
const SPACES: &str = r"\t-\r \u{A0}\u{1680}\u{2000}-\u{200A}\u{2028}\u{2029}\u{202F}\u{205F}\u{3000}\u{FEFF}";
