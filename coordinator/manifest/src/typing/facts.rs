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
}

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

    fn learn_equality(&mut self, left: &IdedExpr, right: &IdedExpr, equal: bool) {
        for (side, other) in [(left, right), (right, left)] {
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
