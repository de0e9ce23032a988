//! Does every value of one type fit another? What is answered, and what is promised about the answer.

use crate::contains::contains;
use crate::cover::{Broken, Checker, Open, Outcome, Step};
use crate::effort::Effort;
use crate::shape::{Type, View};
use serde_json::Value;

/// Whether every value of a type fits another.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Every value fits.
    Fits,
    /// Some value does not.
    Breaks {
        /// Where in the value, as a JSON pointer in which `*` stands for any element or any member; empty for the value itself.
        path: String,
        /// What would be accepted there.
        expected: String,
        /// What may come instead.
        found: String,
        /// One sentence.
        reason: String,
        /// A whole value that one side gives and the other refuses, if one could be made and was checked against both.
        counterexample: Option<Value>,
    },
    /// Neither could be shown.
    Unproven {
        /// Where in the value.
        path: String,
        /// Why, in one sentence.
        reason: String,
    },
}

impl Type {
    /// Whether every value of `sub` fits this type.
    ///
    /// *Fits* holds for every value. *Breaks* is only said when `sub` has a value that does not fit; parts of a schema that are
    /// not understood are taken to admit something. What a schema leaves unsaid is not held against it: a value without any
    /// schema, an object without declared members, and members beyond the declared ones are *unproven*, where
    /// [`Type::admits_strictly`] takes them for everything they may be.
    pub fn admits(&self, sub: &Self) -> Verdict {
        verdict(sub.view(), self.view(), true)
    }

    /// Like [`Type::admits`], with what is unsaid taken for every value: the inclusion of two contracts.
    pub fn admits_strictly(&self, sub: &Self) -> Verdict {
        verdict(sub.view(), self.view(), false)
    }
}

impl Verdict {
    /// Whether every value fits.
    pub fn fits(&self) -> bool {
        matches!(self, Self::Fits)
    }
}

fn verdict(sub: View<'_>, sup: View<'_>, lenient: bool) -> Verdict {
    within(sub, sup, lenient, &Effort::one())
}

pub(crate) fn within(sub: View<'_>, sup: View<'_>, lenient: bool, effort: &Effort) -> Verdict {
    match Checker::new(lenient, effort).views(sub, sup, 0) {
        Outcome::Fits => Verdict::Fits,
        Outcome::Open(open) => unproven(*open),
        Outcome::Broken(broken) => judged(*broken, sub, sup, effort),
    }
}

fn unproven(open: Open) -> Verdict {
    Verdict::Unproven { path: pointer(&open.path), reason: open.reason }
}

/// No counterexample is shown that was not held against both sides; one that fails there proves nothing.
fn judged(broken: Broken, sub: View<'_>, sup: View<'_>, effort: &Effort) -> Verdict {
    let Broken { path, expected, found, reason, witness, certain, .. } = broken;
    let path = pointer(&path);
    let judged = witness.as_ref().map(|value| (contains(sub, value, effort), contains(sup, value, effort)));
    let counterexample = match judged {
        Some((Some(true), Some(false))) => witness,
        Some((Some(false), _) | (_, Some(true))) => return Verdict::Unproven { path, reason: format!("probably not: {reason}") },
        Some(_) | None if certain => None,
        Some(_) | None => return Verdict::Unproven { path, reason },
    };
    Verdict::Breaks { path, expected, found, reason, counterexample }
}

/// Steps are kept from the inside out.
fn pointer(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps.iter().rev() {
        text.push('/');
        match step {
            Step::Member(name) => text.push_str(&name.replace('~', "~0").replace('/', "~1")),
            Step::Element(place) => text.push_str(&place.to_string()),
            Step::Each => text.push('*'),
        }
    }
    text
}
