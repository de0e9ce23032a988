//! The comparison: each alternative of one type against the alternatives of another.
//!
//! Two types that hold themselves are compared by assuming what is being shown: if the assumption is never refuted, no
//! finite value refutes it. On the way back out, a value that breaks a part is put into a value of the whole.

use crate::contains::{case_contains, contains};
use crate::doubt::all_known;
use crate::effort::Effort;
use crate::grow::are_disjoint;
use crate::limits::{DEPTH_MAX, SAMPLES_MAX};
use crate::number;
use crate::render::{short, short_case, short_value};
use crate::sample::case_samples;
use crate::shape::{Case, Graph, Ref, Set, View};
use crate::text;
use serde_json::Value;
use std::sync::Arc;

/// What a comparison found.
#[derive(Debug)]
pub(crate) enum Outcome {
    Fits,
    Broken(Box<Broken>),
    Open(Box<Open>),
}

#[derive(Debug)]
pub(crate) struct Broken {
    /// From the inside out.
    pub(crate) path: Vec<Step>,
    pub(crate) expected: String,
    pub(crate) found: String,
    pub(crate) reason: String,
    /// A value of the one side that the other refuses.
    pub(crate) witness: Option<Value>,
    /// Whether there is such a value, even if none can be shown.
    pub(crate) certain: bool,
    /// Whether no value of the one side fits.
    pub(crate) all: bool,
}

#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) path: Vec<Step>,
    pub(crate) reason: String,
}

/// One step into a value.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Member(Arc<str>),
    Element(usize),
    /// Any element, or any member that is not declared.
    Each,
}

/// Where in a graph, twice.
type Pair = ((usize, u32), (usize, u32));

/// One comparison with its bounds.
pub(crate) struct Checker<'e> {
    pub(crate) effort: &'e Effort,
    /// Whether what a schema leaves unsaid is unproven rather than everything.
    pub(crate) lenient: bool,
    /// Pairs that are assumed, and pairs that were shown with them; a refuted assumption takes its followers with it.
    /// The graphs are kept with them, so that the address of one that is gone never stands for another.
    assumed: Vec<(Pair, [Arc<Graph>; 2])>,
    pub(crate) cuts: usize,
}

/// Whether every value of one type surely fits another.
pub(crate) fn fits(sub: View<'_>, sup: View<'_>, effort: &Effort) -> bool {
    matches!(Checker::new(true, effort).views(sub, sup, 0), Outcome::Fits)
}

pub(crate) fn open(reason: impl Into<String>) -> Outcome {
    Outcome::Open(Box::new(Open { path: Vec::new(), reason: reason.into() }))
}

impl Outcome {
    pub(crate) fn fits(&self) -> bool {
        matches!(self, Self::Fits)
    }

    /// The first that breaks, else the first that is open.
    pub(crate) fn worse(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Broken(_), _) | (Self::Open(_), Self::Fits | Self::Open(_)) | (Self::Fits, Self::Fits) => self,
            (Self::Open(_), Self::Broken(_)) | (Self::Fits, _) => other,
        }
    }
}

/// One side of a comparison of two alternatives.
#[derive(Clone, Copy)]
pub(crate) struct Side<'t> {
    pub(crate) view: View<'t>,
    pub(crate) case: &'t Case,
    pub(crate) effort: &'t Effort,
}

impl Side<'_> {
    pub(crate) fn samples(self, most: usize) -> Vec<Value> {
        case_samples(self.view, self.case, most, self.effort)
    }

    pub(crate) fn has(self, value: &Value) -> Option<bool> {
        case_contains(self.view, self.case, value, self.effort)
    }
}

impl<'e> Checker<'e> {
    pub(crate) fn new(lenient: bool, effort: &'e Effort) -> Self {
        Self { effort, lenient, assumed: Vec::new(), cuts: 0 }
    }

    pub(crate) fn views(&mut self, sub: View<'_>, sup: View<'_>, depth: usize) -> Outcome {
        if sub.is(sup) || sup.is_any() || sub.is_never() {
            return Outcome::Fits;
        }
        if self.lenient && sub.is_any() && !sup.is_never() {
            return open(format!("nothing is said about the value, and only `{}` is accepted", short(sup)));
        }
        if depth > DEPTH_MAX {
            return open("the types nest too deep to be compared");
        }
        let tangled = sub.graph.tangled || sup.graph.tangled;
        let pair = (sub.key(), sup.key());
        let mark = self.assumed.len();
        if tangled {
            if self.assumed.iter().any(|(known, _)| *known == pair) {
                return Outcome::Fits;
            }
            self.assumed.push((pair, [sub.graph.clone(), sup.graph.clone()]));
        }
        let mut worst = Outcome::Fits;
        let mut broken_everywhere = true;
        for case in &sub.node().cases {
            let outcome = self.case(Side { view: sub, case, effort: self.effort }, sup, depth);
            broken_everywhere &= matches!(&outcome, Outcome::Broken(broken) if broken.all);
            worst = worst.worse(outcome);
        }
        if let Outcome::Broken(broken) = &mut worst {
            broken.all = broken_everywhere;
        }
        if tangled && !worst.fits() {
            self.assumed.truncate(mark);
        }
        worst
    }

    /// One alternative against all of the other side.
    pub(crate) fn case(&mut self, sub: Side<'_>, sup: View<'_>, depth: usize) -> Outcome {
        let of_this_kind = || sup.node().cases.iter().filter(|case| case.set.is_like(&sub.case.set));
        let mut outcomes = Vec::new();
        for case in of_this_kind() {
            match self.pair(sub, Side { view: sup, case, effort: self.effort }, depth) {
                Outcome::Fits => return Outcome::Fits,
                other => outcomes.push(other),
            }
        }
        match outcomes.len() {
            0 => Outcome::Broken(Box::new(Broken {
                path: Vec::new(),
                expected: short(sup),
                found: short_case(sub.view, sub.case),
                reason: format!("`{}` is not `{}`", short_case(sub.view, sub.case), short(sup)),
                witness: sub.samples(1).pop(),
                certain: true,
                all: true,
            })),
            1 => outcomes.swap_remove(0),
            _ => self.together(sub, sup, &of_this_kind().collect::<Vec<_>>(), outcomes, depth),
        }
    }

    /// One alternative against one of the same kind.
    fn pair(&mut self, sub: Side<'_>, sup: Side<'_>, depth: usize) -> Outcome {
        if !self.effort.compare() {
            return open("the types are too large to be compared");
        }
        let exact = match (&sub.case.set, &sup.case.set) {
            _ if sup.case.set.is_whole() => Outcome::Fits,
            (Set::Boolean(own), Set::Boolean(Some(wanted))) if *own != Some(*wanted) => {
                broken(sub, sup, Some(Value::Bool(!wanted)), true, own.is_some())
            }
            (Set::Number(numbers), Set::Number(wanted)) => match numbers.without(&[wanted]) {
                number::Gap::Nothing => Outcome::Fits,
                number::Gap::These(left) => {
                    broken(sub, sup, left.first().map(|number| number.to_value()), true, numbers.meet(wanted).is_none())
                }
                number::Gap::Unknown => undecided(sub, sup),
            },
            (Set::Text(texts), Set::Text(wanted)) => match texts.without(&[wanted], self.effort) {
                text::Gap::Nothing => Outcome::Fits,
                text::Gap::Something(left) => {
                    broken(sub, sup, left.into_iter().next().map(Value::String), true, texts.meet(wanted).is_none())
                }
                text::Gap::Unknown => undecided(sub, sup),
            },
            (Set::List(list), Set::List(wanted)) => self.lists(sub, list, sup, wanted, depth),
            (Set::Object(object), Set::Object(wanted)) => self.objects(sub, object, sup, wanted, depth),
            _ => Outcome::Fits,
        };
        match exact {
            Outcome::Fits if all_known(&sup.case.doubts, &sub.case.doubts) => Outcome::Fits,
            Outcome::Fits => doubtful(sub, sup),
            Outcome::Broken(broken) if !sub.case.doubts.is_empty() => doubted(sub, *broken),
            other => other,
        }
    }

    /// No single alternative of the other side holds everything; perhaps several together do.
    fn together(&mut self, sub: Side<'_>, sup: View<'_>, alike: &[&Case], outcomes: Vec<Outcome>, depth: usize) -> Outcome {
        let exact = alike.iter().filter(|case| case.doubts.is_empty());
        let mut found: Vec<Value> = Vec::new();
        match &sub.case.set {
            Set::Number(numbers) => {
                let others: Vec<_> = exact.filter_map(|case| if let Set::Number(set) = &case.set { Some(&**set) } else { None }).collect();
                match numbers.without(&others) {
                    number::Gap::Nothing => return Outcome::Fits,
                    number::Gap::These(left) => found.extend(left.into_iter().map(number::Num::to_value)),
                    number::Gap::Unknown => {}
                }
            }
            Set::Text(texts) => {
                let others: Vec<_> = exact.filter_map(|case| if let Set::Text(set) = &case.set { Some(&**set) } else { None }).collect();
                match texts.without(&others, self.effort) {
                    text::Gap::Nothing => return Outcome::Fits,
                    text::Gap::Something(left) => found.extend(left.into_iter().map(Value::String)),
                    text::Gap::Unknown => {}
                }
            }
            Set::Boolean(_) | Set::List(_) | Set::Object(_) | Set::Null => {}
        }
        let nearest = self.nearest(sub, sup, alike, outcomes);
        if let Outcome::Broken(broken) = &nearest {
            found.splice(0..0, broken.witness.clone());
        }
        found.extend(sub.samples(SAMPLES_MAX));
        let shown = found.into_iter().find(|value| sub.has(value) == Some(true) && contains(sup, value, self.effort) == Some(false));
        if let Some(value) = shown {
            return match nearest {
                Outcome::Broken(mut broken) => {
                    broken.witness = Some(value);
                    broken.certain = true;
                    Outcome::Broken(broken)
                }
                Outcome::Open(_) | Outcome::Fits => none_of(sub, sup, alike.len(), Some(value)),
            };
        }
        let names: Vec<Arc<str>> = self.concerned(&nearest, sub);
        if let Some(outcome) = self.cut(sub, sup, &names, depth) {
            return outcome;
        }
        let path = match nearest {
            Outcome::Broken(broken) => broken.path,
            Outcome::Open(open) => open.path,
            Outcome::Fits => Vec::new(),
        };
        let reason = format!("whether the {} alternatives of `{}` together hold all of it was not decided", alike.len(), short(sup));
        Outcome::Open(Box::new(Open { path, reason }))
    }

    /// Of several outcomes, the one worth telling: that of the only alternative that a value could have at all, such as the
    /// one with the same tag.
    fn nearest(&mut self, sub: Side<'_>, sup: View<'_>, alike: &[&Case], outcomes: Vec<Outcome>) -> Outcome {
        let mut parts = |second: bool, part: &Ref| if second { sup.part(part).cases_here() } else { sub.view.part(part).cases_here() };
        let possible: Vec<bool> = alike.iter().map(|case| !are_disjoint(sub.case, case, 3, &mut parts)).collect();
        if possible.iter().filter(|possible| **possible).count() == 1 {
            let mut outcomes = outcomes.into_iter().zip(possible);
            if let Some((outcome, _)) = outcomes.find(|(_, possible)| *possible) {
                return outcome;
            }
            return Outcome::Fits;
        }
        let disjoint = possible.iter().all(|possible| !possible);
        let Outcome::Broken(mut broken) = none_of(sub, sup, alike.len(), None) else { return Outcome::Fits };
        broken.certain = disjoint;
        broken.all = disjoint;
        let inner = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Broken(inner) => inner.witness.clone(),
            Outcome::Fits | Outcome::Open(_) => None,
        });
        broken.witness = inner;
        Outcome::Broken(broken)
    }
}

fn none_of(sub: Side<'_>, sup: View<'_>, count: usize, witness: Option<Value>) -> Outcome {
    Outcome::Broken(Box::new(Broken {
        path: Vec::new(),
        expected: short(sup),
        found: short_case(sub.view, sub.case),
        reason: format!("`{}` fits none of the {count} alternatives of `{}`", short_case(sub.view, sub.case), short(sup)),
        witness,
        certain: true,
        all: false,
    }))
}

pub(crate) fn broken(sub: Side<'_>, sup: Side<'_>, witness: Option<Value>, certain: bool, all: bool) -> Outcome {
    let (expected, found) = (short_case(sup.view, sup.case), short_case(sub.view, sub.case));
    let reason = match &witness {
        Some(value) => format!("`{found}` may be `{}`, which is not `{expected}`", short_value(value)),
        None => format!("`{found}` is not always `{expected}`"),
    };
    Outcome::Broken(Box::new(Broken { path: Vec::new(), expected, found, reason, witness, certain, all }))
}

fn undecided(sub: Side<'_>, sup: Side<'_>) -> Outcome {
    open(format!("whether `{}` is always `{}` was not decided", short_case(sub.view, sub.case), short_case(sup.view, sup.case)))
}

/// Everything fits but for parts of the other side that are not taken apart; a sample may show that they refuse something.
fn doubtful(sub: Side<'_>, sup: Side<'_>) -> Outcome {
    let refused = sub.samples(SAMPLES_MAX).into_iter().find(|value| sub.has(value) == Some(true) && sup.has(value) == Some(false));
    if let Some(value) = refused {
        return broken(sub, sup, Some(value), true, false);
    }
    let names: Vec<String> = sup.case.doubts.iter().map(|doubt| format!("`{}`", doubt.short())).collect();
    open(format!("it is not known what {} of the expected schema refuses", names.join(", ")))
}

/// What breaks may be excluded by parts of the own side that are not taken apart; unless a value shows that it is not, or no
/// value fits anyway.
fn doubted(sub: Side<'_>, mut broken: Broken) -> Outcome {
    if broken.all || broken.witness.as_ref().is_some_and(|value| sub.has(value) == Some(true)) {
        return Outcome::Broken(Box::new(broken));
    }
    let names: Vec<String> = sub.case.doubts.iter().map(|doubt| format!("`{}`", doubt.short())).collect();
    broken.reason.push_str(&format!(", unless {} excludes it", names.join(", ")));
    Outcome::Open(Box::new(Open { path: broken.path, reason: broken.reason }))
}
