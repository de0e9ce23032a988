//! How text is drawn: width, colour, and the instant that "now" means. Renderers take it as a value, so that a test can hold it still.

use crate::text;
use jiff::Timestamp;

/// What a piece of text means; the colour follows from it. Never the only carrier of meaning: the words say it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Bad,
    Busy,
    Dim,
    Strong,
}

impl Tone {
    /// The tone of a task's status, a step's state, an attempt's outcome or a worker's state. Words added later are drawn plainly.
    pub(crate) fn of_state(state: &str) -> Option<Self> {
        match state {
            "succeeded" | "alive" | "active" => Some(Self::Good),
            "failed" | "held" | "lost" | "gone" => Some(Self::Bad),
            "running" | "backing_off" | "ready" | "waiting" | "fanned_out" | "falling_back" | "draining" | "silent" => Some(Self::Busy),
            "cancelled" | "withdrawn" | "pending" | "parked" | "standby" | "skipped" | "left" => Some(Self::Dim),
            _ => None,
        }
    }

    pub(crate) fn escape(self) -> &'static str {
        match self {
            Self::Good => "\u{1b}[32m",
            Self::Bad => "\u{1b}[1;31m",
            Self::Busy => "\u{1b}[33m",
            Self::Dim => "\u{1b}[2m",
            Self::Strong => "\u{1b}[1m",
        }
    }
}

/// Ends any tone.
pub(crate) const PLAIN_AGAIN: &str = "\u{1b}[0m";

/// How to draw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// Columns to fit into; none if the text goes to a file or a pipe, where a line is a record.
    pub(crate) width: Option<u16>,
    /// Rows to fit into, for what is redrawn in place.
    pub(crate) height: u16,
    /// Whether to colour.
    pub(crate) colour: bool,
    /// The instant against which running things are measured.
    pub(crate) now: Timestamp,
}

impl Look {
    /// The width assumed for drawings that need one (bars) when nobody looks.
    pub(crate) const WIDTH_WITHOUT_TERMINAL: u16 = 100;

    /// Without colour, 100 columns, at a fixed instant: for tests.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { width: Some(100), height: 24, colour: false, now: Timestamp::UNIX_EPOCH }
    }

    pub(crate) fn paint(&self, tone: Tone, words: &str) -> String {
        if self.colour { format!("{}{words}{PLAIN_AGAIN}", tone.escape()) } else { words.to_owned() }
    }

    /// A state, coloured by what it means.
    pub(crate) fn state(&self, state: &str) -> String {
        let shown = text::clean(state);
        Tone::of_state(state).map_or_else(|| shown.clone(), |tone| self.paint(tone, &shown))
    }

    /// `error[code]: what happened`.
    pub(crate) fn headline(&self, word: &str, tone: Tone, code: &str, said: &str) -> String {
        let head = format!("{word}[{}]", text::clean(code));
        format!("{}: {}", self.paint(tone, &head), text::clean_lines(said))
    }
}
