//! What a checked manifest is made of, for whoever works out types: every value with its place, beside the workflow it became.
//!
//! [`crate::check`] builds this at its very end, when structure, graph and names hold, so nothing here needs to be checked again: every
//! step that an expression names exists and comes before it, and every handler has its owner.

use crate::report::Place;
use crate::schema::locate;
use crate::slots::Slot;
use crate::yaml::{Kind, Node};
use tasker_engine::Workflow;
use tasker_engine::ids::StepIndex;

/// A checked manifest in parts.
pub(crate) struct Parts<'a> {
    /// What was built; step `n` of it is `steps[n]` here, and has the contract of what it calls.
    pub workflow: &'a Workflow,
    /// The values of the workflow itself: its result, deadline and identity.
    pub own: &'a [Slot],
    /// The values of each step, in the order of the manifest.
    pub steps: Vec<StepParts<'a>>,
}

/// One step in parts.
pub(crate) struct StepParts<'a> {
    /// The step as it was written.
    pub node: &'a Node,
    /// Its name's place, for what concerns the step as a whole.
    pub place: Place,
    /// Its values that may hold expressions.
    pub slots: &'a [Slot],
}

impl<'a> Parts<'a> {
    /// Every value with the step it belongs to; none for those of the workflow itself.
    pub fn slots(&self) -> impl Iterator<Item = (Option<StepIndex>, &'a Slot)> + '_ {
        let of_steps = self.steps.iter().enumerate();
        let of_steps = of_steps.flat_map(|(place, step)| step.slots.iter().map(move |slot| (Some(StepIndex(place as u32)), slot)));
        self.own.iter().map(|slot| (None, slot)).chain(of_steps)
    }
}

impl StepParts<'_> {
    /// The place of the value that a JSON pointer leads to, such as `/switch/on`; of the last value on the way if there is none.
    pub fn place_of(&self, pointer: &str) -> Place {
        locate(self.node, pointer).mark()
    }

    /// The place of the key that a JSON pointer ends with, such as `low` of `/switch/cases/low`.
    pub fn key_of(&self, pointer: &str) -> Place {
        let (parent, key) = pointer.rsplit_once('/').unwrap_or(("", pointer));
        let parent = locate(self.node, parent);
        let key = key.replace("~1", "/").replace("~0", "~");
        let found = match &parent.kind {
            Kind::Map(entries) => entries.iter().find(|(written, _)| written.text == key).map(|(written, _)| written.place),
            _ => None,
        };
        found.unwrap_or_else(|| parent.mark())
    }
}
