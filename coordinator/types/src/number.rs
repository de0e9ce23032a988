//! Sets of numbers: points, and ranges with an optional step.

use crate::kinds::Kinds;
use serde_json::{Number, Value};
use std::cmp::Ordering;

/// The most members of a range that are looked at one by one.
const ENUMERATED_MAX: i128 = 2_048;
/// Floats below this are exact as integers, with room for arithmetic.
const EXACT_BELOW: f64 = (1_u128 << 120) as f64;

/// A JSON number, compared exactly. `Float` holds what has a fraction, or is too large for `Int`; it is always finite.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Num {
    Int(i128),
    Float(f64),
}

impl Num {
    pub(crate) fn of(number: &Number) -> Self {
        if let Some(small) = number.as_i64() {
            return Self::Int(i128::from(small));
        }
        if let Some(large) = number.as_u64() {
            return Self::Int(i128::from(large));
        }
        Self::of_float(number.as_f64().unwrap_or(0.0))
    }

    pub(crate) fn of_float(float: f64) -> Self {
        // Exact: a float without fraction below 2^120 is an integer of at most 120 bits.
        if float.fract() == 0.0 && float.abs() < EXACT_BELOW { Self::Int(float as i128) } else { Self::Float(float) }
    }

    pub(crate) fn is_integral(self) -> bool {
        match self {
            Self::Int(_) => true,
            Self::Float(float) => float.fract() == 0.0,
        }
    }

    pub(crate) fn to_value(self) -> Value {
        match self {
            Self::Int(int) => match (i64::try_from(int), u64::try_from(int)) {
                (Ok(small), _) => Value::from(small),
                (Err(_), Ok(large)) => Value::from(large),
                (Err(_), Err(_)) => Value::from(int as f64),
            },
            Self::Float(float) => Value::from(float),
        }
    }

    /// The least integer that is not below; `None` when it is out of reach.
    fn ceil(self) -> Option<i128> {
        match self {
            Self::Int(int) => Some(int),
            Self::Float(float) => (float.abs() < EXACT_BELOW).then(|| float.ceil() as i128),
        }
    }

    /// The greatest integer that is not above; `None` when it is out of reach.
    fn floor(self) -> Option<i128> {
        match self {
            Self::Int(int) => Some(int),
            Self::Float(float) => (float.abs() < EXACT_BELOW).then(|| float.floor() as i128),
        }
    }

    pub(crate) fn to_float(self) -> f64 {
        match self {
            Self::Int(int) => int as f64,
            Self::Float(float) => float,
        }
    }
}

impl PartialEq for Num {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Num {}

impl PartialOrd for Num {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Num {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(b),
            (Self::Int(a), Self::Float(b)) => compare(*a, *b),
            (Self::Float(a), Self::Int(b)) => compare(*b, *a).reverse(),
        }
    }
}

/// A float that is no exact integer is never equal to one.
fn compare(int: i128, float: f64) -> Ordering {
    if float.abs() >= EXACT_BELOW {
        return if float > 0.0 { Ordering::Less } else { Ordering::Greater };
    }
    if int <= float.floor() as i128 { Ordering::Less } else { Ordering::Greater }
}

impl std::fmt::Display for Num {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Int(int) => write!(f, "{int}"),
            Self::Float(float) => write!(f, "{float}"),
        }
    }
}

/// One end of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) at: Num,
    /// Whether the number itself is outside.
    pub(crate) open: bool,
}

/// Numbers from one edge to another. With a step, only its multiples (so no fractions); a step of 1 means integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Range {
    pub(crate) low: Option<Edge>,
    pub(crate) high: Option<Edge>,
    pub(crate) step: Option<i128>,
}

/// A set of numbers that is not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// Sorted, each once.
    Points(Vec<Num>),
    Range(Range),
}

/// What is left of a set of numbers when others are taken away.
#[derive(Debug, PartialEq)]
pub(crate) enum Gap {
    Nothing,
    /// Some of what is left.
    These(Vec<Num>),
    /// Not decided.
    Unknown,
}

impl Range {
    pub(crate) const fn integers() -> Self {
        Self { low: None, high: None, step: Some(1) }
    }

    pub(crate) fn contains(&self, number: Num) -> bool {
        let above = self.low.is_none_or(|low| number > low.at || (!low.open && number == low.at));
        let below = self.high.is_none_or(|high| number < high.at || (!high.open && number == high.at));
        above && below && self.steps_on(number)
    }

    fn steps_on(&self, number: Num) -> bool {
        match (self.step, number) {
            (None, _) => true,
            (Some(step), Num::Int(int)) => int % step == 0,
            (Some(step), Num::Float(float)) => float.fract() == 0.0 && float % (step as f64) == 0.0,
        }
    }

    /// The first and last multiple of the step, in steps; an end without edge is `None`.
    fn in_steps(&self, step: i128) -> (Option<i128>, Option<i128>) {
        let low = self.low.and_then(|edge| {
            let first = edge.at.ceil()?;
            let steps = first.div_euclid(step) + i128::from(first.rem_euclid(step) != 0);
            Some(if edge.open && Num::Int(steps.checked_mul(step)?) == edge.at { steps + 1 } else { steps })
        });
        let high = self.high.and_then(|edge| {
            let steps = edge.at.floor()?.div_euclid(step);
            Some(if edge.open && Num::Int(steps.checked_mul(step)?) == edge.at { steps - 1 } else { steps })
        });
        (low, high)
    }

    /// The set, with edges on members where there is a step; `None` if nothing is in it.
    pub(crate) fn settled(mut self) -> Option<Numbers> {
        if let Some(step) = self.step {
            let (low, high) = self.in_steps(step);
            if let Some(at) = low.and_then(|low| low.checked_mul(step)) {
                self.low = Some(Edge { at: Num::Int(at), open: false });
            }
            if let Some(at) = high.and_then(|high| high.checked_mul(step)) {
                self.high = Some(Edge { at: Num::Int(at), open: false });
            }
        }
        match (self.low, self.high) {
            (Some(low), Some(high)) if low.at > high.at => None,
            (Some(low), Some(high)) if low.at == high.at => (!low.open && !high.open).then(|| Numbers::Points(vec![low.at])),
            _ => Some(Numbers::Range(self)),
        }
    }

    /// Numbers that are probably in the range and look natural, to be filtered by [`Range::contains`].
    fn candidates(&self) -> Vec<Num> {
        let mut found: Vec<Num> = vec![Num::Int(1), Num::Int(0), Num::Int(2)];
        if self.step.is_none() {
            found.extend([Num::Float(0.5), Num::Float(1.5)]);
        }
        let step = self.step.unwrap_or(1);
        let (low, high) = self.in_steps(step);
        for (edge, inward) in [(low, 1), (high, -1)] {
            if let Some(edge) = edge {
                found.extend((0..3).filter_map(|n| Some(Num::Int((edge + n * inward).checked_mul(step)?))));
            }
        }
        if self.step.is_none() {
            found.extend([self.low, self.high].into_iter().flatten().map(|edge| edge.at));
            match (self.low, self.high) {
                (Some(low), Some(high)) => {
                    let (low, high) = (low.at.to_float(), high.at.to_float());
                    found.extend([0.5, 0.25, 0.75].map(|part| Num::of_float(low + (high - low) * part)));
                }
                (Some(low), None) => found.push(Num::of_float(low.at.to_float() + 0.5)),
                (None, Some(high)) => found.push(Num::of_float(high.at.to_float() - 0.5)),
                (None, None) => {}
            }
        }
        found.retain(|number| self.contains(*number));
        found
    }
}

impl Numbers {
    pub(crate) fn contains(&self, number: Num) -> bool {
        match self {
            Self::Points(points) => points.binary_search(&number).is_ok(),
            Self::Range(range) => range.contains(number),
        }
    }

    pub(crate) fn kinds(&self) -> Kinds {
        let integral = match self {
            Self::Points(points) => points.iter().all(|point| point.is_integral()),
            Self::Range(range) => range.step.is_some(),
        };
        if integral { Kinds::INTEGER } else { Kinds::INTEGER.with(Kinds::NUMBER) }
    }

    /// What is in both; `None` if nothing is.
    pub(crate) fn meet(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Points(points), set) | (set, Self::Points(points)) => {
                let kept: Vec<Num> = points.iter().copied().filter(|point| set.contains(*point)).collect();
                (!kept.is_empty()).then_some(Self::Points(kept))
            }
            (Self::Range(a), Self::Range(b)) => {
                let step = match (a.step, b.step) {
                    (Some(a), Some(b)) => Some(least_common_multiple(a, b)),
                    (one, other) => one.or(other),
                };
                let low = tighter(a.low, b.low, Ordering::Greater);
                let high = tighter(a.high, b.high, Ordering::Less);
                Range { low, high, step }.settled()
            }
        }
    }

    /// The members, if they are at most `most`.
    pub(crate) fn members(&self, most: usize) -> Option<Vec<Num>> {
        match self {
            Self::Points(points) => (points.len() <= most).then(|| points.clone()),
            Self::Range(range) => {
                let step = range.step?;
                let (low, high) = range.in_steps(step);
                let (low, high) = (low?, high?);
                let count = usize::try_from(high.checked_sub(low)?).ok()?;
                (count < most).then(|| (low..=high).map(|steps| Num::Int(steps * step)).collect())
            }
        }
    }

    /// A few different members, the plainest first.
    pub(crate) fn samples(&self) -> Vec<Num> {
        match self {
            Self::Points(points) => points.iter().copied().take(8).collect(),
            Self::Range(range) => {
                let mut found: Vec<Num> = Vec::new();
                for number in range.candidates() {
                    if !found.contains(&number) {
                        found.push(number);
                    }
                }
                found
            }
        }
    }

    /// Whether the other is inside, seen from its edges and step alone.
    fn plainly_holds(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Range(own), Self::Range(other)) => {
                let step = own.step.is_none_or(|step| other.step.is_some_and(|other| other % step == 0));
                let low =
                    own.low.is_none_or(|own| other.low.is_some_and(|low| low.at > own.at || (low.at == own.at && (low.open || !own.open))));
                let high = own
                    .high
                    .is_none_or(|own| other.high.is_some_and(|high| high.at < own.at || (high.at == own.at && (high.open || !own.open))));
                step && low && high
            }
            (Self::Points(own), Self::Points(other)) => own == other,
            (Self::Points(_), Self::Range(_)) | (Self::Range(_), Self::Points(_)) => false,
        }
    }

    /// What of this set is in none of the others.
    pub(crate) fn without(&self, others: &[&Self]) -> Gap {
        if others.iter().any(|other| other.plainly_holds(self)) {
            return Gap::Nothing;
        }
        let outside = |number: &Num| !others.iter().any(|other| other.contains(*number));
        if let Some(members) = self.members(ENUMERATED_MAX as usize) {
            let left: Vec<Num> = members.into_iter().filter(outside).take(8).collect();
            return if left.is_empty() { Gap::Nothing } else { Gap::These(left) };
        }
        let Self::Range(range) = self else {
            let Self::Points(points) = self else { return Gap::Unknown };
            let left: Vec<Num> = points.iter().copied().filter(outside).take(8).collect();
            return if left.is_empty() { Gap::Nothing } else { Gap::These(left) };
        };
        let gaps = match range.step {
            Some(step) => gaps_in_steps(range, step, others),
            None => gaps(range, others),
        };
        let Some(gaps) = gaps else { return Gap::Unknown };
        if gaps.is_empty() {
            return Gap::Nothing;
        }
        let mut left: Vec<Num> = Vec::new();
        for gap in gaps.iter().take(8) {
            left.extend(gap.candidates().into_iter().filter(|number| range.contains(*number) && outside(number)).take(4));
        }
        if left.is_empty() { Gap::Unknown } else { Gap::These(left) }
    }
}

fn tighter(a: Option<Edge>, b: Option<Edge>, wanted: Ordering) -> Option<Edge> {
    match (a, b) {
        (Some(a), Some(b)) => Some(match a.at.cmp(&b.at) {
            Ordering::Equal => Edge { at: a.at, open: a.open || b.open },
            order if order == wanted => a,
            _ => b,
        }),
        (one, other) => one.or(other),
    }
}

/// Saturates: multiples of a number beyond every JSON number are zero alone, as far as anybody can see.
fn least_common_multiple(a: i128, b: i128) -> i128 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x).checked_mul(b).unwrap_or(i128::MAX)
}

/// The parts of a stepped range that no other range with a fitting step covers. `None` if an edge is out of reach.
fn gaps_in_steps(range: &Range, step: i128, others: &[&Numbers]) -> Option<Vec<Range>> {
    let reach = |edge: Option<Edge>, found: Option<i128>| (edge.is_some() == found.is_some()).then_some(found);
    let bounds = |of: &Range| {
        let (low, high) = of.in_steps(step);
        Some((reach(of.low, low)?.unwrap_or(i128::MIN), reach(of.high, high)?.unwrap_or(i128::MAX)))
    };
    let (first, last) = bounds(range)?;
    let mut covers = Vec::new();
    for other in others {
        if let Numbers::Range(other) = other
            && other.step.is_none_or(|other| step % other == 0)
        {
            covers.push(bounds(other)?);
        }
    }
    covers.sort_unstable();
    let (mut gaps, mut next) = (Vec::new(), Some(first));
    for (low, high) in covers {
        let Some(from) = next else { break };
        if low > from {
            gaps.push((from, last.min(low - 1)));
        }
        next = if high >= from { high.checked_add(1).filter(|after| *after <= last) } else { next };
    }
    gaps.extend(next.map(|from| (from, last)));
    let edge =
        |steps: i128| (steps != i128::MIN && steps != i128::MAX).then(|| Edge { at: Num::Int(steps.saturating_mul(step)), open: false });
    let shaped = gaps.into_iter().filter(|(low, high)| low <= high);
    Some(shaped.map(|(low, high)| Range { low: edge(low), high: edge(high), step: Some(step) }).collect())
}

/// The parts of a range of all numbers that no other such range covers.
fn gaps(range: &Range, others: &[&Numbers]) -> Option<Vec<Range>> {
    let mut covers: Vec<&Range> = others
        .iter()
        .filter_map(|other| match other {
            Numbers::Range(other) if other.step.is_none() => Some(other),
            Numbers::Range(_) | Numbers::Points(_) => None,
        })
        .collect();
    covers.sort_by(|a, b| compare_lows(a.low, b.low));
    let (mut gaps, mut from, mut done) = (Vec::new(), range.low, false);
    for cover in covers {
        if compare_lows(cover.low, from) == Ordering::Greater
            && let Some(low) = cover.low
        {
            gaps.push(Range { low: from, high: Some(Edge { at: low.at, open: !low.open }), step: None });
        }
        match cover.high {
            None => {
                done = true;
                break;
            }
            Some(high) => {
                let after = Some(Edge { at: high.at, open: !high.open });
                if compare_lows(after, from) == Ordering::Greater {
                    from = after;
                }
            }
        }
    }
    if !done {
        gaps.push(Range { low: from, high: range.high, step: None });
    }
    let inside = gaps.into_iter().filter_map(|gap| match Numbers::Range(gap).meet(&Numbers::Range(*range))? {
        Numbers::Range(gap) => Some(gap),
        Numbers::Points(points) => {
            let edge = points.first().map(|at| Edge { at: *at, open: false });
            Some(Range { low: edge, high: edge, step: None })
        }
    });
    Some(inside.collect())
}

fn compare_lows(a: Option<Edge>, b: Option<Edge>) -> Ordering {
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(a), Some(b)) => a.at.cmp(&b.at).then(a.open.cmp(&b.open)),
    }
}
