//! What was seen at one place of the samples.

use super::formats::Format;
use super::{DEPTH_MAX, ENUM_BYTES_MAX, ENUM_VALUES_MAX, NODES_MAX};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Everything seen at one place, over all samples.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub nulls: usize,
    pub booleans: usize,
    /// Written without a point: `1`, not `1.0`.
    pub integers: usize,
    pub fractions: usize,
    pub strings: Strings,
    pub arrays: usize,
    /// Of all arrays together.
    pub items: Option<Box<Seen>>,
    pub objects: usize,
    /// By key, with how many objects have it.
    pub fields: BTreeMap<String, Field>,
}

/// What was seen under one key.
#[derive(Debug, Default)]
pub(super) struct Field {
    pub count: usize,
    pub seen: Seen,
}

/// What was seen of strings.
#[derive(Debug, Default)]
pub(super) struct Strings {
    pub count: usize,
    /// The formats that every string so far has; none before the first.
    pub formats: Option<BTreeSet<Format>>,
    /// Each different one with how often; none once there are too many or too long ones.
    pub values: Option<BTreeMap<String, usize>>,
}

impl Seen {
    pub fn look(&mut self, value: &Value) {
        self.look_at(value, 0);
    }

    fn look_at(&mut self, value: &Value, depth: usize) {
        match value {
            Value::Null => self.nulls += 1,
            Value::Bool(_) => self.booleans += 1,
            Value::Number(number) if number.is_f64() => self.fractions += 1,
            Value::Number(_) => self.integers += 1,
            Value::String(text) => self.strings.look(text),
            Value::Array(items) => {
                self.arrays += 1;
                if depth < DEPTH_MAX {
                    for item in items {
                        self.items.get_or_insert_default().look_at(item, depth + 1);
                    }
                }
            }
            Value::Object(members) => {
                self.objects += 1;
                for (key, member) in members {
                    let field = self.fields.entry(key.clone()).or_default();
                    field.count += 1;
                    if depth < DEPTH_MAX {
                        field.seen.look_at(member, depth + 1);
                    }
                }
            }
        }
    }

    /// Adds what was seen elsewhere, as if it had been seen here.
    pub fn merge(&mut self, other: &Self) {
        self.nulls += other.nulls;
        self.booleans += other.booleans;
        self.integers += other.integers;
        self.fractions += other.fractions;
        self.strings.merge(&other.strings);
        self.arrays += other.arrays;
        if let Some(items) = &other.items {
            self.items.get_or_insert_default().merge(items);
        }
        self.objects += other.objects;
        for (key, field) in &other.fields {
            let own = self.fields.entry(key.clone()).or_default();
            own.count += field.count;
            own.seen.merge(&field.seen);
        }
    }
}

impl Strings {
    fn look(&mut self, text: &str) {
        let first = self.count == 0;
        self.count += 1;
        match &mut self.formats {
            Some(formats) => formats.retain(|format| format.fits(text)),
            none => *none = Some(Format::ALL.into_iter().filter(|format| format.fits(text)).collect()),
        }
        if first {
            self.values = Some(BTreeMap::new());
        }
        if text.is_empty() || text.len() > ENUM_BYTES_MAX {
            self.values = None;
        }
        if let Some(values) = &mut self.values {
            *values.entry(text.to_owned()).or_default() += 1;
            if values.len() > ENUM_VALUES_MAX {
                self.values = None;
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        let first = self.count == 0;
        self.count += other.count;
        self.formats = match (first, &self.formats, &other.formats) {
            (false, Some(own), Some(others)) => Some(own.intersection(others).copied().collect()),
            (_, _, others) => others.clone(),
        };
        let own = if first { Some(BTreeMap::new()) } else { self.values.take() };
        self.values = own.zip(other.values.as_ref()).and_then(|(mut own, others)| {
            for (value, count) in others {
                *own.entry(value.clone()).or_default() += count;
            }
            (own.len() <= ENUM_VALUES_MAX).then_some(own)
        });
    }
}

/// Adds the nodes of a value to a count; nothing once there are too many.
pub(super) fn count(value: &Value, before: usize) -> Option<usize> {
    let nodes = before + 1;
    if nodes > NODES_MAX {
        return None;
    }
    match value {
        Value::Array(items) => items.iter().try_fold(nodes, |nodes, item| count(item, nodes)),
        Value::Object(members) => members.values().try_fold(nodes, |nodes, member| count(member, nodes)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(nodes),
    }
}
