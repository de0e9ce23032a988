//! Reads `switch:`.

use crate::codes;
use crate::fields::{Fields, entries, names, short};
use crate::report::{Place, Problem, Report};
use crate::scalar::{self, Plain};
use crate::slots::{SlotKind, Slots};
use crate::yaml::{Key, Node};
use serde_json::Value;
use std::collections::HashMap;
use tasker_engine::workflow::{Case, Switch};

/// The most cases of one switch: a thousand rows are a table, which a step can look up better.
const CASES_MAX: usize = 1_000;

/// A switch and the steps named in its branches.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub switch: Switch,
    /// For each case, and at last for the default if there is one: the steps that run in it, with their places.
    pub branches: Vec<Vec<(String, Place)>>,
}

/// Reads a switch.
pub(crate) fn read(node: &Node, slots: &mut Slots<'_>, report: &mut Report<'_>) -> Option<Written> {
    let fields = Fields::open(node, "`switch`", &["on", "cases", "default"], report)?;
    fields.required("on", "say what to look at: `on: \"${ steps.check.result.risk }\"`", report);
    let on = fields.shared("on").and_then(|node| slots.expression(SlotKind::SwitchOn, node, "`on`", report));
    let written = fields.required("cases", "name the values and what follows: `cases: { low: ship, high: review }`", report);
    let written = written.and_then(|node| Some((node, entries(node, "`cases`", report)?)));
    let (mut cases, mut branches) = (Vec::new(), Vec::new());
    if let Some((node, written)) = written {
        if written.is_empty() || written.len() > CASES_MAX {
            let message = format!("the switch has {} cases; 1 to {CASES_MAX} are accepted", written.len());
            let hint = "let a step turn the value into one of a few words, and switch on those";
            report.add(Problem::new(&codes::OUT_OF_RANGE, node.mark(), message).hint(hint));
            return None;
        }
        let mut seen = HashMap::with_capacity(written.len());
        for (key, value) in written {
            let named = names(value, "a case", "the name of a step", report);
            let Some(value) = case_value(key, &mut seen, report) else { continue };
            cases.push(Case { name: key.text.clone(), value });
            branches.push(named);
        }
    }
    let default = fields.get("default").map(|node| names(node, "`default`", "the name of a step", report));
    let has_default = default.is_some();
    branches.extend(default);
    Some(Written { switch: Switch { on: on?, cases, has_default }, branches })
}

/// What a case compares with: the key as YAML would read it as a value, so that `1` is the number and `'1'` the text.
fn case_value(key: &Key, seen: &mut HashMap<String, String>, report: &mut Report<'_>) -> Option<Value> {
    if key.text == Switch::DEFAULT {
        let message = "a case is called `default`, which is what the result says when no case fits";
        let hint = "move `default` out of `cases`, beside it; a value `default` cannot be told apart";
        report.add(Problem::new(&codes::RESERVED_CASE, key.place, message).hint(hint));
        return None;
    }
    let text = || Value::String(key.text.clone());
    let value = match if key.plain { scalar::read(&key.text) } else { Plain::Text } {
        Plain::Null => Value::Null,
        Plain::Bool(flag) => Value::Bool(flag),
        Plain::Number(number) => Value::Number(number),
        Plain::Text => text(),
        Plain::AmbiguousBool(flag) => {
            let message = format!("an unquoted `{}` is text to some readers of YAML and a boolean to others", key.text);
            let hint = format!("write `'{}'` for the text or `{flag}` for the boolean", key.text);
            let problem = Problem::new(&codes::UNQUOTED_BOOLEAN, key.place, message);
            report.add(problem.hint(hint).fix(format!("'{}'", key.text)));
            return None;
        }
        Plain::BadNumber(why) => {
            let shown = short(&key.text);
            let problem = Problem::new(&codes::BAD_NUMBER, key.place, format!("`{shown}` is not kept as a number: {why}"));
            report.add(problem.hint("quote it if it is text").fix(format!("'{shown}'")));
            return None;
        }
    };
    if let Some(first) = seen.get(&identity(&value)) {
        let message = format!("the cases `{}` and `{}` have the same value", short(first), short(&key.text));
        let problem = Problem::new(&codes::DUPLICATE_CASE, key.place, message);
        report.add(problem.hint("the second would never be taken; put the steps of both into one, or quote what is meant as text"));
        return None;
    }
    seen.insert(identity(&value), key.text.clone());
    Some(value)
}

/// A text that two values share exactly if a switch cannot tell them apart: `1` and `1.0` are one number.
fn identity(value: &Value) -> String {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 9e15 => format!("{}", float as i64),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}
