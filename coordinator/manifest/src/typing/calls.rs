//! The types of operators and functions: what CEL would refuse when it runs is said here, with both types.

use super::error_codes;
use super::facts::{Facts, literal, path_of};
use super::infer::{Infer, Typed, never_equal, written};
use crate::codes;
use crate::suggest::nearest_name;
use cel::common::ast::{CallExpr, Expr, IdedExpr, operators};
use serde_json::Value;
use tasker_engine::StepIndex;
use tasker_types::{Field, Kinds, Type};

const NUMERIC: Kinds = Kinds::INTEGER.with(Kinds::NUMBER);
const SHOWN: usize = 120;

/// Functions that expressions know, for suggestions.
const FUNCTIONS: [&str; 30] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "string",
    "int",
    "uint",
    "double",
    "bool",
    "bytes",
    "duration",
    "timestamp",
    "type",
    "dyn",
    "has",
    "map",
    "filter",
    "all",
    "exists",
    "exists_one",
    "getFullYear",
    "getMonth",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getHours",
    "getMinutes",
    "getSeconds",
];

/// The type of a call.
pub(super) fn infer(infer: &mut Infer<'_, '_>, call: &CallExpr, facts: &Facts) -> Typed {
    let name = call.func_name.as_str();
    match (name, call.args.as_slice()) {
        (operators::CONDITIONAL, [condition, yes, no]) => conditional(infer, condition, yes, no, facts),
        (operators::LOGICAL_AND, [left, right]) => logic(infer, left, right, facts, true),
        (operators::LOGICAL_OR, [left, right]) => logic(infer, left, right, facts, false),
        (operators::LOGICAL_NOT, [inner]) => {
            let of = infer.infer(inner, facts).of;
            infer.demand(&of, Kinds::BOOLEAN, "what follows `!`");
            Type::boolean().into()
        }
        (operators::NOT_STRICTLY_FALSE, [inner]) => {
            infer.infer(inner, facts);
            Type::boolean().into()
        }
        (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => {
            equality(infer, name, left, right, facts);
            Type::boolean().into()
        }
        (operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS, [left, right]) => {
            let (left, right) = (infer.infer(left, facts), infer.infer(right, facts));
            compare(infer, name, &left.of, &right.of);
            Type::boolean().into()
        }
        (operators::ADD, [left, right]) => {
            let (left, right) = (infer.infer(left, facts), infer.infer(right, facts));
            add(infer, &left, &right)
        }
        (operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO, [left, right]) => {
            let by = right;
            let (left, right) = (infer.infer(left, facts), infer.infer(right, facts));
            if matches!(name, operators::DIVIDE | operators::MODULO) {
                divisor(infer, &right, by, facts);
            }
            arithmetic(infer, name, &left, &right)
        }
        (operators::NEGATE, [inner]) => {
            let of = infer.infer(inner, facts);
            infer.demand(&of.of, NUMERIC, "what follows `-`");
            Typed { of: if of.of.kinds().meets(Kinds::NUMBER) { Type::number() } else { Type::integer() }, float: of.float }
        }
        (operators::INDEX, [list, place]) => index(infer, list, place, facts),
        (operators::IN, [element, range]) => {
            let (element, range) = (infer.infer(element, facts).of, infer.infer(range, facts).of);
            infer.demand(&range, Kinds::ARRAY.with(Kinds::OBJECT), "what follows `in`");
            let inside = range.element().filter(|_| range.kinds().only(Kinds::ARRAY));
            if inside.is_some_and(|inside| never_equal(&element, &inside)) {
                let message = format!("the list never has such an element: {} in {}", element.render(SHOWN), range.render(SHOWN));
                infer.issue(&codes::IMPOSSIBLE, message, "compare with a value that the list may have");
            }
            Type::boolean().into()
        }
        _ => function(infer, call, facts),
    }
}

fn conditional(infer: &mut Infer<'_, '_>, condition: &IdedExpr, yes: &IdedExpr, no: &IdedExpr, facts: &Facts) -> Typed {
    let of = infer.infer(condition, facts).of;
    infer.demand(&of, Kinds::BOOLEAN, "the condition before `?`");
    let (mut held, mut failed) = (facts.clone(), facts.clone());
    held.learn(condition, true);
    failed.learn(condition, false);
    let (yes, no) = (infer.infer(yes, &held), infer.infer(no, &failed));
    Typed { float: yes.float && no.float, of: Type::union([yes.of, no.of]) }
}

fn logic(infer: &mut Infer<'_, '_>, left: &IdedExpr, right: &IdedExpr, facts: &Facts, and: bool) -> Typed {
    let operator = if and { "&&" } else { "||" };
    let of = infer.infer(left, facts).of;
    infer.demand(&of, Kinds::BOOLEAN, &format!("the left of `{operator}`"));
    // The right side is looked at where the left has not decided.
    let mut facts = facts.clone();
    facts.learn(left, and);
    let of = infer.infer(right, &facts).of;
    infer.demand(&of, Kinds::BOOLEAN, &format!("the right of `{operator}`"));
    Type::boolean().into()
}

fn equality(infer: &mut Infer<'_, '_>, operator: &str, left: &IdedExpr, right: &IdedExpr, facts: &Facts) {
    let (one, other) = (infer.infer(left, facts).of, infer.infer(right, facts).of);
    // To rule out null once more than needed does no harm: what came before may have done so already.
    let guard = operator == operators::NOT_EQUALS && [left, right].into_iter().any(|side| literal(side) == Some(Value::Null));
    if guard || !never_equal(&one, &other) {
        return;
    }
    let word = |node: &IdedExpr| literal(node).and_then(|value| value.as_str().map(str::to_owned));
    let near = [(left, &other), (right, &one)].into_iter().find_map(|(node, known)| {
        let known = known.values()?;
        let known: Vec<&str> = known.iter().filter_map(Value::as_str).collect();
        nearest_name(&word(node)?, known.iter().copied()).map(str::to_owned)
    });
    let near = near.or_else(|| {
        let (node, step) =
            [(left, failed_step(infer, right)), (right, failed_step(infer, left))].into_iter().find(|(_, step)| step.is_some())?;
        let words = error_codes::words(infer.world.workflow.step(step?))?;
        nearest_name(&word(node)?, words.iter().copied()).map(str::to_owned)
    });
    let message = format!("these are never equal: {} and {}", one.render(SHOWN), other.render(SHOWN));
    let hint = near.map_or_else(|| "compare with a value that it may have".to_owned(), |near| format!("did you mean \"{near}\"?"));
    infer.issue(&codes::IMPOSSIBLE, message, hint);
}

/// The step whose error code is read.
fn failed_step(infer: &Infer<'_, '_>, node: &IdedExpr) -> Option<StepIndex> {
    match path_of(node)?.as_slice() {
        [steps, name, error, code] if steps == "steps" && error == "error" && code == "code" => infer.world.workflow.find(name),
        _ => None,
    }
}

fn compare(infer: &mut Infer<'_, '_>, operator: &str, left: &Type, right: &Type) {
    if left.is_any() || right.is_any() || left.is_never() || right.is_never() {
        return;
    }
    let both = |kinds: Kinds| left.kinds().only(kinds) && right.kinds().only(kinds);
    if !both(NUMERIC) && !both(Kinds::STRING) && !both(Kinds::BOOLEAN) {
        mismatch(infer, operator, left, right, "compare two numbers, or two texts");
    }
}

fn mismatch(infer: &mut Infer<'_, '_>, operator: &str, left: &Type, right: &Type, hint: &str) {
    let message = format!("`{}` does not take {} and {}", written(operator), left.render(SHOWN), right.render(SHOWN));
    infer.issue(&codes::TYPE_MISMATCH, message, hint);
}

fn add(infer: &mut Infer<'_, '_>, left: &Typed, right: &Typed) -> Typed {
    let both = |kinds: Kinds| left.of.kinds().only(kinds) && right.of.kinds().only(kinds);
    let unknown = left.of.is_any() || right.of.is_any() || left.of.is_never() || right.of.is_never();
    if !unknown && both(Kinds::STRING) {
        return Type::string().into();
    }
    if !unknown && both(Kinds::ARRAY) {
        let elements = [&left.of, &right.of].into_iter().filter_map(Type::element);
        return Type::list(Type::union(elements.collect::<Vec<_>>())).into();
    }
    arithmetic(infer, operators::ADD, left, right)
}

fn arithmetic(infer: &mut Infer<'_, '_>, operator: &str, left: &Typed, right: &Typed) -> Typed {
    if left.of.is_any() || right.of.is_any() || left.of.is_never() || right.of.is_never() {
        return Type::any().into();
    }
    let both = |kinds: Kinds| left.of.kinds().only(kinds) && right.of.kinds().only(kinds);
    if left.float && right.float && operator == operators::MODULO {
        mismatch(infer, operator, &left.of, &right.of, "only whole numbers have a remainder");
        return Type::any().into();
    }
    if left.float && right.float {
        return Typed { of: Type::number(), float: true };
    }
    if both(Kinds::INTEGER) && !left.float && !right.float {
        return Type::integer().into();
    }
    if both(NUMERIC) {
        let hint = "whole numbers and fractions do not mix, and JSON does not say which comes: write `double(…)` around both";
        mismatch(infer, operator, &left.of, &right.of, hint);
        return Typed { of: Type::number(), float: false };
    }
    let hint = if operator == operators::ADD { "turn the other into text: `string(…)`" } else { "both must be numbers" };
    mismatch(infer, operator, &left.of, &right.of, hint);
    Type::any().into()
}

/// Nothing is divided by zero: whole numbers fail, and the others give what JSON has no word for.
fn divisor(infer: &mut Infer<'_, '_>, right: &Typed, written: &IdedExpr, facts: &Facts) {
    let plain = converted(written);
    let excluded = path_of(plain).is_some_and(|path| facts.excluded(&path).iter().any(|value| value.as_f64() == Some(0.0)));
    // `double(…)` says nothing of the bounds of what it converts.
    let of = if std::ptr::eq(plain, written) { right.of.clone() } else { infer.infer(plain, facts).of };
    if !excluded && !of.is_any() && of.contains(&Value::from(0)) != Some(false) {
        infer.issue(&codes::TYPE_UNPROVEN, "the divisor may be zero", "rule it out before: `n != 0 ? x / n : …`");
    }
}

/// What stands inside of `double(…)`.
fn converted(node: &IdedExpr) -> &IdedExpr {
    match &node.expr {
        Expr::Call(call) if call.func_name == "double" && call.target.is_none() && call.args.len() == 1 => converted(&call.args[0]),
        _ => node,
    }
}

fn index(infer: &mut Infer<'_, '_>, list: &IdedExpr, place: &IdedExpr, facts: &Facts) -> Typed {
    let (of, at) = (infer.infer(list, facts).of, infer.infer(place, facts).of);
    if of.is_any() || of.is_never() {
        return Type::any().into();
    }
    if of.kinds().only(Kinds::OBJECT) {
        infer.demand(&at, Kinds::STRING, "the name of a field");
        return match literal(place).as_ref().and_then(Value::as_str).map(|name| of.field(name)) {
            Some(Field::Present(part)) => part.into(),
            _ => {
                let hint = "read the field by its name, after `has(…)`";
                infer.issue(&codes::TYPE_UNPROVEN, format!("whether the field is there cannot be shown of {}", of.render(SHOWN)), hint);
                Type::any().into()
            }
        };
    }
    if !infer.demand(&of, Kinds::ARRAY, "what is before `[…]`") {
        return Type::any().into();
    }
    infer.demand(&at, Kinds::INTEGER, "the place in a list");
    let place = literal(place).and_then(|value| value.as_u64());
    let known = path_of(list).map_or(0, |path| facts.shortest(&path));
    let shortest = of.list_lengths().map_or(0, |(shortest, _)| shortest).max(known);
    if place.is_none_or(|place| place >= shortest) {
        let hint = "ask before: `size(list) > 0 ? … : …`, or give the list a `minItems` in its schema";
        infer.issue(&codes::TYPE_UNPROVEN, "whether the list is long enough cannot be shown", hint);
    }
    let element = place.and_then(|place| of.element_at(place as usize)).or_else(|| of.element());
    element.unwrap_or_else(Type::any).into()
}

fn function(infer: &mut Infer<'_, '_>, call: &CallExpr, facts: &Facts) -> Typed {
    let operands: Vec<&IdedExpr> = call.target.as_deref().into_iter().chain(&call.args).collect();
    let types: Vec<Typed> = operands.iter().map(|operand| infer.infer(operand, facts)).collect();
    let name = call.func_name.as_str();
    let unproven = |infer: &mut Infer<'_, '_>, what: &str| {
        infer.issue(&codes::TYPE_UNPROVEN, format!("whether the text is {what} cannot be shown"), "give the value in the right form");
    };
    match (name, types.as_slice()) {
        ("size", [one]) => {
            infer.demand(&one.of, Kinds::STRING.with(Kinds::ARRAY).with(Kinds::OBJECT), "what `size` counts");
            Type::integer_between(Some(0), None).into()
        }
        ("contains" | "startsWith" | "endsWith" | "matches", [one, other]) => {
            infer.demand(&one.of, Kinds::STRING, &format!("what `{name}` looks into"));
            infer.demand(&other.of, Kinds::STRING, &format!("what `{name}` looks for"));
            Type::boolean().into()
        }
        ("string", [one]) => {
            infer.demand(&one.of, Kinds::STRING.with(NUMERIC).with(Kinds::BOOLEAN), "what `string` writes");
            Type::string().into()
        }
        ("int" | "uint", [one]) => {
            infer.demand(&one.of, Kinds::STRING.with(NUMERIC), &format!("what `{name}` reads"));
            if one.of.kinds().meets(Kinds::STRING.with(Kinds::NUMBER)) {
                unproven(infer, "a whole number");
            }
            Type::integer().into()
        }
        ("double", [one]) => {
            infer.demand(&one.of, Kinds::STRING.with(NUMERIC), "what `double` reads");
            if one.of.kinds().meets(Kinds::STRING) && !one.of.is_any() {
                unproven(infer, "a number");
            }
            Typed { of: Type::number(), float: true }
        }
        ("bool", [one]) => {
            infer.demand(&one.of, Kinds::STRING.with(Kinds::BOOLEAN), "what `bool` reads");
            if !one.of.kinds().only(Kinds::BOOLEAN) {
                unproven(infer, "`true` or `false`");
            }
            Type::boolean().into()
        }
        ("duration" | "timestamp", [one]) => {
            infer.demand(&one.of, Kinds::STRING, &format!("what `{name}` reads"));
            unproven(infer, &format!("a {name}"));
            Type::any().into()
        }
        ("dyn", [one]) => one.clone(),
        ("bytes" | "type", [_]) => Type::any().into(),
        (name, _) if name.starts_with("get") && FUNCTIONS.contains(&name) => Type::integer().into(),
        (name, _) if FUNCTIONS.contains(&name) => {
            let message = format!("`{name}` does not take {} values", types.len());
            infer.issue(&codes::TYPE_MISMATCH, message, "look at how it is written in docs/manifest.md");
            Type::any().into()
        }
        (name, _) => {
            let near = nearest_name(name, FUNCTIONS);
            let hint =
                near.map_or_else(|| "expressions know CEL's standard functions".to_owned(), |near| format!("did you mean `{near}`?"));
            infer.issue(&codes::TYPE_MISMATCH, format!("there is no function `{name}`"), hint);
            Type::any().into()
        }
    }
}
