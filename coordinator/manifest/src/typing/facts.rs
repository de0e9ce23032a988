//! What a condition makes certain where it holds.

use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};
use serde_json::Value;
use std::collections::BTreeMap;

/// What is known of paths such as `task.input.coupon`, besides their types.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    known: BTreeMap<Vec<String>, Known>,
}

/// What is known of one path.
#[derive(Debug, Clone, Default)]
struct Known {
    present: bool,
    not_null: bool,
    is: Option<Value>,
    is_not: Vec<Value>,
    /// The least number of elements.
    shortest: u64,
}

/// Facts about more paths than this are not taken over from what came before; a manifest of many steps stays quick to check.
const INHERITED_MAX: usize = 48;

/// What a step's status is once it is over; it then never changes again.
const OVER: [&str; 4] = ["succeeded", "failed", "skipped", "cancelled"];

impl Facts {
    /// Whether something is there although its type allows that it is not.
    pub fn is_present(&self, path: &[String]) -> bool {
        self.known.get(path).is_some_and(|known| known.present || known.not_null || known.is.is_some())
    }

    /// Whether a value is not null although its type allows it.
    pub fn is_not_null(&self, path: &[String]) -> bool {
        self.known.get(path).is_some_and(|known| known.not_null || known.is.as_ref().is_some_and(|value| !value.is_null()))
    }

    /// The one value that a path has here.
    pub fn value(&self, path: &[String]) -> Option<&Value> {
        self.known.get(path)?.is.as_ref()
    }

    /// Values that a path does not have here.
    pub fn excluded(&self, path: &[String]) -> &[Value] {
        self.known.get(path).map_or(&[], |known| &known.is_not)
    }

    /// The least number of elements that a list has here.
    pub fn shortest(&self, path: &[String]) -> u64 {
        self.known.get(path).map_or(0, |known| known.shortest)
    }

    /// Adds what is known elsewhere and holds here, too.
    pub fn add(&mut self, other: &Self) {
        for (path, theirs) in &other.known {
            if self.known.len() >= INHERITED_MAX && !self.known.contains_key(path) {
                continue;
            }
            let mine = self.known.entry(path.clone()).or_default();
            mine.present |= theirs.present;
            mine.not_null |= theirs.not_null;
            mine.is = mine.is.take().or_else(|| theirs.is.clone());
            mine.is_not
                .extend(theirs.is_not.iter().filter(|value| mine.is_not.iter().all(|known| known != *value)).cloned().collect::<Vec<_>>());
            mine.shortest = mine.shortest.max(theirs.shortest);
        }
    }

    /// Forgets what may change while the task goes on: how steps stand that may not be over. `settled` says which certainly are.
    pub fn keep_lasting(&mut self, settled: &dyn Fn(&str) -> bool) {
        self.known.retain(|path, known| match path.as_slice() {
            [steps, name, what, ..] if steps == "steps" && what != "result" => {
                settled(name) || (what == "status" && known.is.as_ref().and_then(Value::as_str).is_some_and(|word| OVER.contains(&word)))
            }
            _ => true,
        });
    }

    /// Forgets what is known of a name, which stands for something else from here on.
    pub fn forget(&mut self, name: &str) {
        self.known.retain(|path, _| path.first().is_none_or(|root| root != name));
    }

    /// The path does not have this value.
    pub fn exclude(&mut self, path: &[String], value: Value) {
        self.known.entry(path.to_vec()).or_default().is_not.push(value);
    }

    /// The path has this value.
    pub fn learn_value(&mut self, path: &[String], value: Value) {
        self.known.entry(path.to_vec()).or_default().is = Some(value);
    }

    /// Adds what follows from a condition being true, or being false.
    pub fn learn(&mut self, condition: &IdedExpr, holds: bool) {
        match &condition.expr {
            Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
                (operators::LOGICAL_NOT, [inner]) => self.learn(inner, !holds),
                (operators::LOGICAL_AND, [left, right]) if holds => {
                    self.learn(left, true);
                    self.learn(right, true);
                }
                (operators::LOGICAL_OR, [left, right]) if !holds => {
                    self.learn(left, false);
                    self.learn(right, false);
                }
                (operators::EQUALS, [left, right]) => self.learn_equality(left, right, holds),
                (operators::NOT_EQUALS, [left, right]) => self.learn_equality(left, right, !holds),
                (operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS, [left, right]) => {
                    self.learn_order(Order::of(&call.func_name, holds), left, right);
                }
                _ => {}
            },
            Expr::Select(select) if select.test && holds => {
                if let Some(mut path) = path_of(&select.operand) {
                    path.push(select.field.clone());
                    self.known.entry(path).or_default().present = true;
                }
            }
            // A boolean by itself.
            Expr::Select(_) | Expr::Ident(_) => {
                if let Some(path) = path_of(condition) {
                    self.learn_value(&path, Value::Bool(holds));
                }
            }
            _ => {}
        }
    }

    /// A number that is above or below another; what counts is whether it can be zero, and how long a list is at least.
    fn learn_order(&mut self, order: Order, left: &IdedExpr, right: &IdedExpr) {
        for (order, side, other) in [(order, left, right), (order.turned(), right, left)] {
            let Some(bound) = literal(other).as_ref().and_then(Value::as_f64) else { continue };
            if let Some(path) = path_of(side)
                && order.excludes_zero(bound)
            {
                self.exclude(&path, Value::from(0));
            }
            if let Some(list) = sized(side).and_then(path_of)
                && let Some(shortest) = order.least(bound)
            {
                let known = self.known.entry(list).or_default();
                known.shortest = known.shortest.max(shortest);
            }
        }
    }

    fn learn_equality(&mut self, left: &IdedExpr, right: &IdedExpr, equal: bool) {
        for (side, other) in [(left, right), (right, left)] {
            if let (Some(list), Some(length)) = (sized(side).and_then(path_of), literal(other).as_ref().and_then(Value::as_u64)) {
                let known = self.known.entry(list).or_default();
                match (equal, length) {
                    (true, _) => known.shortest = known.shortest.max(length),
                    (false, 0) => known.shortest = known.shortest.max(1),
                    (false, _) => {}
                }
            }
            let (Some(path), Some(value)) = (path_of(side), literal(other)) else { continue };
            // A step that has succeeded has a result.
            if let [steps, name, status] = path.as_slice()
                && steps == "steps"
                && status == "status"
                && equal
                && value == "succeeded"
            {
                let result = vec![steps.clone(), name.clone(), "result".to_owned()];
                self.known.entry(result).or_default().present = true;
            }
            let known = self.known.entry(path).or_default();
            match (equal, value.is_null()) {
                (true, _) => known.is = Some(value),
                (false, true) => known.not_null = true,
                (false, false) => known.is_not.push(value),
            }
        }
    }
}

/// How one number stands to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    /// What an operator says, or what follows from its being false. NaN does not occur: JSON has none.
    fn of(operator: &str, holds: bool) -> Self {
        match (operator, holds) {
            (operators::LESS, true) | (operators::GREATER_EQUALS, false) => Self::Less,
            (operators::LESS_EQUALS, true) | (operators::GREATER, false) => Self::LessOrEqual,
            (operators::GREATER, true) | (operators::LESS_EQUALS, false) => Self::Greater,
            _ => Self::GreaterOrEqual,
        }
    }

    /// The same, seen from the other side.
    fn turned(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }

    fn excludes_zero(self, bound: f64) -> bool {
        match self {
            Self::Less => bound <= 0.0,
            Self::LessOrEqual => bound < 0.0,
            Self::Greater => bound >= 0.0,
            Self::GreaterOrEqual => bound > 0.0,
        }
    }

    /// The least whole number that is above the bound.
    fn least(self, bound: f64) -> Option<u64> {
        match self {
            Self::Less | Self::LessOrEqual => None,
            Self::Greater => Some((bound.floor() + 1.0).max(0.0) as u64),
            Self::GreaterOrEqual => Some(bound.ceil().max(0.0) as u64),
        }
    }
}

/// What `size(x)` or `x.size()` counts.
fn sized(expression: &IdedExpr) -> Option<&IdedExpr> {
    match &expression.expr {
        Expr::Call(call) if call.func_name == "size" => match (call.target.as_deref(), call.args.as_slice()) {
            (Some(counted), []) | (None, [counted]) => Some(counted),
            _ => None,
        },
        _ => None,
    }
}

/// `a.b.c` as its names; none for anything that is computed.
pub(crate) fn path_of(expression: &IdedExpr) -> Option<Vec<String>> {
    match &expression.expr {
        Expr::Ident(name) => Some(vec![name.clone()]),
        Expr::Select(select) if !select.test => {
            let mut path = path_of(&select.operand)?;
            path.push(select.field.clone());
            Some(path)
        }
        _ => None,
    }
}

/// The JSON value of a literal.
pub(crate) fn literal(expression: &IdedExpr) -> Option<Value> {
    match &expression.expr {
        Expr::Literal(value) => match value {
            LiteralValue::Boolean(flag) => Some(Value::Bool(*flag.inner())),
            LiteralValue::Int(number) => Some(Value::from(*number.inner())),
            LiteralValue::UInt(number) => Some(Value::from(*number.inner())),
            LiteralValue::Double(number) => serde_json::Number::from_f64(*number.inner()).map(Value::Number),
            LiteralValue::String(text) => Some(Value::String(text.inner().to_owned())),
            LiteralValue::Null => Some(Value::Null),
            LiteralValue::Bytes(_) => None,
        },
        Expr::Call(call) if call.func_name == operators::NEGATE => match literal(call.args.first()?)? {
            Value::Number(number) => match number.as_i64() {
                Some(integer) => integer.checked_neg().map(Value::from),
                None => serde_json::Number::from_f64(-number.as_f64()?).map(Value::Number),
            },
            _ => None,
        },
        _ => None,
    }
}
