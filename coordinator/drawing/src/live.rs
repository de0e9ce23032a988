//! Where the steps of a task stand, as a picture shows it.

use std::collections::BTreeMap;
use tasker_engine::Task;

/// Where one step stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// The state's word, as the API and the CLI have it: `backing_off`.
    pub state: String,
    /// How many items of a fan-out are over, and how many there are.
    pub items: Option<(u64, u64)>,
}

/// Where the steps stand, by name. A step that is not in it is drawn as in the definition.
pub type LiveStates = BTreeMap<String, Live>;

/// What a state means to whoever looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// It went well.
    Good,
    /// It went wrong.
    Bad,
    /// It is being worked on.
    Busy,
    /// Somebody or something is waited for.
    Waits,
    /// Nothing has happened, or nothing had to.
    Dim,
}

impl Tone {
    /// The tone of a state's word; words added later are dim.
    pub fn of(state: &str) -> Self {
        match state {
            "succeeded" => Self::Good,
            "failed" => Self::Bad,
            "ready" | "running" | "backing_off" | "fanned_out" | "falling_back" => Self::Busy,
            "waiting" | "held" | "parked" => Self::Waits,
            _ => Self::Dim,
        }
    }

    /// Every tone.
    pub const ALL: [Self; 5] = [Self::Good, Self::Bad, Self::Busy, Self::Waits, Self::Dim];

    /// Its name in style sheets.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Busy => "busy",
            Self::Waits => "waits",
            Self::Dim => "dim",
        }
    }

    /// Fill, line and text colour on a light ground. Every text has a contrast of at least 7 to its fill.
    pub(crate) fn light(self) -> [&'static str; 3] {
        match self {
            Self::Good => ["#dcf5e3", "#2b8a4b", "#0b3d1e"],
            Self::Bad => ["#fde2e1", "#c22f2a", "#5a0f0c"],
            Self::Busy => ["#fff1cc", "#b07a00", "#4a3300"],
            Self::Waits => ["#e0ebff", "#3363b8", "#10295a"],
            Self::Dim => ["#f1f2f4", "#7a828e", "#2d333b"],
        }
    }

    /// The same on a dark ground.
    pub(crate) fn dark(self) -> [&'static str; 3] {
        match self {
            Self::Good => ["#12351f", "#4cc277", "#d4f7df"],
            Self::Bad => ["#431614", "#f0716b", "#ffe1df"],
            Self::Busy => ["#3d2f06", "#e0b03c", "#fff0c7"],
            Self::Waits => ["#152748", "#7aa5f5", "#dfe9ff"],
            Self::Dim => ["#23272e", "#8b94a1", "#e4e7eb"],
        }
    }
}

/// Where the steps of a task stand.
pub fn live_states(task: &Task) -> LiveStates {
    task.workflow
        .indexes()
        .map(|step| {
            let progress = task.progress(step);
            let items = progress.fan.as_ref().map(|fan| (u64::from(fan.over), u64::from(fan.count)));
            (task.workflow.step(step).name.to_string(), Live { state: progress.state.as_str().to_owned(), items })
        })
        .collect()
}
