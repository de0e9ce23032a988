//! The type of an expression, and what is wrong with it.

use super::calls;
use super::error_codes;
use super::facts::{Facts, literal, path_of};
use super::world::{Reader, World, field};
use crate::codes::{self, Code};
use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, IdedExpr, operators};
use serde_json::Value;
use tasker_engine::StepIndex;
use tasker_engine::expression::Expression;
use tasker_engine::workflow::Role;
use tasker_types::{Field, FieldOf, Kinds, Type};

/// The type of a value while an expression is worked out.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub of: Type,
    /// Whether a number is a floating-point number for certain. JSON does not say, and CEL does not mix.
    pub float: bool,
}

impl From<Type> for Typed {
    fn from(of: Type) -> Self {
        Self { of, float: false }
    }
}

/// Something that is wrong with, or cannot be shown of, an expression.
#[derive(Debug)]
pub(crate) struct Issue {
    pub code: &'static Code,
    pub message: String,
    pub hint: String,
}

/// Works out the types of expressions that one reader looks through.
pub(crate) struct Infer<'i, 'w> {
    pub world: &'i World<'w>,
    pub reader: Reader,
    /// What an item of the reader's fan-out is.
    pub item: Type,
    pub issues: Vec<Issue>,
    /// Variables of comprehensions, innermost last.
    bound: Vec<(String, Typed)>,
}

const SHOWN: usize = 120;

impl<'i, 'w> Infer<'i, 'w> {
    pub fn new(world: &'i World<'w>, reader: Reader, item: Type) -> Self {
        Self { world, reader, item, issues: Vec::new(), bound: Vec::new() }
    }

    /// The type of an expression where the facts hold.
    pub fn expression(&mut self, expression: &Expression, facts: &Facts) -> Type {
        match (expression.path(), expression.syntax()) {
            (Some(path), _) => self.path(path, facts, true).of,
            (None, Some(syntax)) => self.infer(syntax, facts).of,
            (None, None) => Type::any(),
        }
    }

    pub(super) fn issue(&mut self, code: &'static Code, message: impl Into<String>, hint: impl Into<String>) {
        let (message, hint) = (message.into(), hint.into());
        if !self.issues.iter().any(|issue| issue.message == message) {
            self.issues.push(Issue { code, message, hint });
        }
    }

    pub(super) fn infer(&mut self, node: &IdedExpr, facts: &Facts) -> Typed {
        if let Some(path) = path_of(node) {
            return self.path(&path, facts, false);
        }
        if let Some(value) = literal(node) {
            return Typed { float: value.is_f64(), of: Type::literal(&value) };
        }
        match &node.expr {
            Expr::Literal(_) => Type::any().into(),
            Expr::Select(select) if select.test => {
                self.has(&select.operand, &select.field, facts);
                Type::boolean().into()
            }
            Expr::Select(select) => {
                let operand = self.infer(&select.operand, facts);
                self.member(&operand.of, &select.field, "the value", &[], facts).into()
            }
            Expr::Call(call) => calls::infer(self, call, facts),
            Expr::List(list) => {
                let elements: Vec<Type> = list.elements.iter().map(|element| self.infer(element, facts).of).collect();
                Type::tuple(elements).into()
            }
            Expr::Map(map) => self.map(map.entries.iter().map(|entry| &entry.expr), facts).into(),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, facts),
            Expr::Struct(_) => {
                self.issue(&codes::TYPE_MISMATCH, "messages cannot be made in expressions", "write an object: `{'name': value}`");
                Type::any().into()
            }
            Expr::Ident(_) | Expr::Unspecified => Type::any().into(),
        }
    }

    fn map<'e>(&mut self, entries: impl Iterator<Item = &'e EntryExpr>, facts: &Facts) -> Type {
        let mut fields: Vec<FieldOf> = Vec::new();
        let mut open = false;
        for entry in entries {
            let EntryExpr::MapEntry(entry) = entry else { continue };
            let part = self.infer(&entry.value, facts).of;
            match literal(&entry.key) {
                Some(Value::String(name)) => {
                    fields.retain(|known| *known.name != *name);
                    fields.push(field(&name, part));
                }
                Some(other) => {
                    self.issue(&codes::TYPE_MISMATCH, format!("the key {other} of an object is not a text"), "quote it");
                }
                None => {
                    let key = self.infer(&entry.key, facts).of;
                    self.demand(&key, Kinds::STRING, "the key of an object");
                    open = true;
                }
            }
        }
        Type::object(fields, !open)
    }

    /// The type of a name, or of a path from one.
    fn path(&mut self, path: &[String], facts: &Facts, lone: bool) -> Typed {
        let (mut of, used) = match self.root(path, facts) {
            Ok(found) => found,
            Err(bound) => (bound, 1),
        };
        let float = used == path.len() && self.bound.iter().rev().any(|(name, typed)| *name == path[0] && typed.float);
        for at in used..path.len() {
            // Fields of these roots were looked at while names were checked; here only what guards can change is said again.
            let said = lone && matches!(path[0].as_str(), "task" | "steps");
            let before = self.issues.len();
            of = self.member(&of, &path[at], &path[..at].join("."), &path[..=at], facts);
            if said {
                let again = |issue: &Issue| std::ptr::eq(issue.code, &codes::TYPE_UNPROVEN);
                let kept: Vec<Issue> = self.issues.drain(before..).filter(|issue| !again(issue)).collect();
                self.issues.extend(kept);
            }
        }
        Typed { of: narrowed(of, path, facts), float }
    }

    /// The type that the first names of a path stand for, and how many these are; of a comprehension's variable its type alone.
    fn root(&mut self, path: &[String], facts: &Facts) -> Result<(Type, usize), Type> {
        if let Some((_, typed)) = self.bound.iter().rev().find(|(name, _)| *name == path[0]) {
            return Err(typed.of.clone());
        }
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        Ok(match names.as_slice() {
            ["task", "input", ..] => (self.world.input.clone(), 2),
            ["task", "id"] => (Type::string(), 2),
            ["task", "error", ..] => {
                let fields = [field("code", Type::string()), field("message", Type::string()), field("step", Type::string().nullable())];
                (Type::object(fields, true), 2)
            }
            ["steps", name, what, ..] => (self.step(name, what, path, facts), 3),
            ["item", ..] => (self.item.clone(), 1),
            ["item_index"] => (Type::integer_between(Some(0), Some(9_999)), 1),
            _ => (Type::any(), names.len()),
        })
    }

    fn step(&mut self, name: &str, what: &str, path: &[String], facts: &Facts) -> Type {
        let Some(step) = self.world.workflow.find(name) else { return Type::any() };
        let certain = self.world.is_certain(self.reader, step);
        match what {
            "result" => {
                if !certain && !facts.is_present(&path[..3]) {
                    let why = self.world.why_missing(self.reader, step);
                    let hint = format!("guard it: `has(steps.{name}.result) ? … : …`, or `steps.{name}.status == \"succeeded\" ? … : …`");
                    self.issue(&codes::OPTIONAL_READ, format!("`steps.{name}.result` may be missing: {why}"), hint);
                }
                let known = [path[0].clone(), path[1].clone(), "status".to_owned()];
                let whole = certain || facts.value(&known).is_some_and(|status| status == "succeeded");
                self.world.result_for(self.reader, step, whole)
            }
            "status" if certain && !self.is_undone(step) => Type::words(["succeeded"]),
            "status" => Type::words(["succeeded", "failed", "skipped", "cancelled", "open"]),
            "error" => {
                let code = error_codes::code_of(self.world.workflow.step(step));
                let fields = [field("code", code), field("message", Type::string()), field("details", Type::any())];
                let error = Type::object(fields, true);
                // Whoever runs in the place of a step knows that it failed.
                match (self.has_role(Role::Fallback { of: step }), certain && !self.is_undone(step)) {
                    (true, _) => error,
                    (false, true) => Type::null(),
                    (false, false) => error.nullable(),
                }
            }
            _ => Type::any(),
        }
    }

    /// Whether the reader undoes this step, which may then be a fan-out that failed part-way.
    fn is_undone(&self, step: StepIndex) -> bool {
        self.has_role(Role::Compensation { of: step })
    }

    fn has_role(&self, role: Role) -> bool {
        matches!(self.reader, Reader::Step { step, .. } if self.world.workflow.step(step).role == role)
    }

    /// The type of a member, or what is wrong with reading it.
    fn member(&mut self, of: &Type, name: &str, seen: &str, path: &[String], facts: &Facts) -> Type {
        if of.is_any() || of.is_never() {
            return of.clone();
        }
        let mut of = of.clone();
        if of.is_nullable() && of.kinds().meets(Kinds::OBJECT) {
            let parent = path.split_last().map_or(path, |(_, parent)| parent);
            if !facts.is_not_null(parent) {
                let hint = format!("guard it: `{seen} != null ? {seen}.{name} : …`");
                self.issue(&codes::OPTIONAL_READ, format!("`{seen}` may be null, which has no field `{name}`"), hint);
            }
            of = of.without_null();
        }
        if !of.kinds().meets(Kinds::OBJECT) {
            let message = format!("`{seen}` has no field `{name}`: it is {}", of.render(SHOWN));
            self.issue(&codes::TYPE_MISMATCH, message, "read the value as a whole");
            return Type::any();
        }
        if !of.kinds().only(Kinds::OBJECT) {
            let message = format!("`{seen}` may have no field `{name}`: it is {}", of.render(SHOWN));
            self.issue(&codes::TYPE_MISMATCH, message, "read a value that is always an object");
        }
        match of.field(name) {
            Field::Present(part) => part,
            Field::Optional(part) if !path.is_empty() && facts.is_present(path) => part,
            Field::Optional(part) => {
                let hint = format!("guard it: `has({seen}.{name}) ? {seen}.{name} : …`; or make it `required` in the schema");
                self.issue(&codes::OPTIONAL_READ, format!("`{seen}.{name}` may be missing: its schema does not require it"), hint);
                part
            }
            Field::Absent { known } => {
                let near = crate::suggest::nearest_name(name, known.iter().map(String::as_str));
                let hint = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if known.is_empty() => "it has no fields".to_owned(),
                    None => format!("its fields are {}", known.iter().take(12).cloned().collect::<Vec<_>>().join(", ")),
                };
                self.issue(&codes::UNKNOWN_PATH, format!("`{seen}` has no field `{name}`"), hint);
                Type::any()
            }
            Field::Unknown if !path.is_empty() && facts.is_present(path) => Type::any(),
            Field::Unknown => {
                let message = format!("whether `{seen}.{name}` is there cannot be shown: its schema does not mention the field");
                self.issue(&codes::TYPE_UNPROVEN, message, "declare the field in the schema");
                Type::any()
            }
        }
    }

    /// `has(…)`: the way to the last name must be there, the last name need not.
    fn has(&mut self, operand: &IdedExpr, name: &str, facts: &Facts) {
        let path = path_of(operand).filter(|path| self.bound.iter().all(|(name, _)| *name != path[0]));
        if let Some([steps, _]) = path.as_deref()
            && steps == "steps"
        {
            return;
        }
        if let Some([root]) = path.as_deref()
            && (root == "task" || root == "steps")
        {
            return;
        }
        let of = self.infer(operand, facts).of;
        if of.is_any() || of.is_never() {
            return;
        }
        if !of.kinds().only(Kinds::OBJECT) {
            let at = path_of(operand).unwrap_or_default();
            let seen = if at.is_empty() { "the value".to_owned() } else { at.join(".") };
            match of.is_nullable() && of.without_null().kinds().only(Kinds::OBJECT) && !at.is_empty() {
                true if facts.is_not_null(&at) => {}
                true => {
                    let message = format!("`{seen}` may be null, and `has` looks only into objects");
                    self.issue(&codes::OPTIONAL_READ, message, format!("ask before: `{seen} != null && has({seen}.{name})`"));
                }
                false => {
                    let message = format!("`has` looks only into objects, but `{seen}` is {}", of.render(SHOWN));
                    self.issue(&codes::TYPE_MISMATCH, message, "ask for a field of an object");
                }
            }
        }
        if let (true, Field::Absent { known }) = (of.kinds().meets(Kinds::OBJECT), of.field(name)) {
            let near = crate::suggest::nearest_name(name, known.iter().map(String::as_str));
            let hint = near.map_or_else(|| "remove the condition".to_owned(), |near| format!("did you mean `{near}`?"));
            self.issue(&codes::IMPOSSIBLE, format!("the field `{name}` is never there"), hint);
        }
    }

    /// Reports a value of the wrong kind. Says whether it is certain to be of the right one.
    pub(super) fn demand(&mut self, of: &Type, kinds: Kinds, what: &str) -> bool {
        if of.is_any() || of.is_never() {
            return of.is_never();
        }
        let right = of.kinds().only(kinds);
        if !right {
            let names = kinds.names().join(" or ");
            let message = format!("{what} must be {names}; here it is {}", of.render(SHOWN));
            let hint = match of.is_nullable() && of.without_null().kinds().only(kinds) {
                true => "rule out null before: `x != null && …`",
                false => "change the expression, or the schema of what it reads",
            };
            self.issue(&codes::TYPE_MISMATCH, message, hint);
        }
        right
    }

    /// What `map`, `filter`, `all`, `exists` and `exists_one` become: an accumulator that each element adds to.
    fn comprehension(&mut self, comprehension: &ComprehensionExpr, facts: &Facts) -> Typed {
        let range = self.infer(&comprehension.iter_range, facts).of;
        let mut element = Type::any();
        if self.demand(&range, Kinds::ARRAY, "what is ranged over") || range.kinds().meets(Kinds::ARRAY) && !range.is_any() {
            element = range.element().unwrap_or_else(Type::any);
        }
        let start = self.infer(&comprehension.accu_init, facts);
        // The first value says nothing about the later ones but its kind.
        let accumulator = match literal(&comprehension.accu_init) {
            Some(Value::Bool(_)) => Type::boolean(),
            Some(Value::Number(_)) => Type::integer(),
            _ => start.of,
        };
        let outer = self.bound.len();
        self.bound.push((comprehension.iter_var.clone(), element.clone().into()));
        if let Some(second) = &comprehension.iter_var2 {
            self.bound.push((second.clone(), element.into()));
        }
        self.bound.push((comprehension.accu_var.clone(), accumulator.into()));
        // The variables may hide names of which something is known.
        let mut inner = facts.clone();
        self.bound[outer..].iter().for_each(|(name, _)| inner.forget(name));
        self.infer(&comprehension.loop_cond, &inner);
        let step = self.infer(&comprehension.loop_step, &inner);
        let accumulated = match step.of.element() {
            Some(element) if step.of.kinds().only(Kinds::ARRAY) => Type::list(element),
            _ => step.of,
        };
        self.bound.truncate(outer);
        self.bound.push((comprehension.accu_var.clone(), accumulated.into()));
        let result = self.infer(&comprehension.result, &inner);
        self.bound.truncate(outer);
        result
    }
}

/// A type with what the facts say about the path it belongs to.
fn narrowed(of: Type, path: &[String], facts: &Facts) -> Type {
    if let Some(value) = facts.value(path) {
        return match of.contains(value) {
            Some(false) => of,
            Some(true) | None => Type::literal(value),
        };
    }
    let mut of = if facts.is_not_null(path) && of.is_nullable() { of.without_null() } else { of };
    let excluded = facts.excluded(path);
    if !excluded.is_empty()
        && let Some(values) = of.values()
    {
        let left = values.iter().filter(|value| !excluded.contains(value)).map(Type::literal);
        of = Type::union(left.collect::<Vec<_>>());
    }
    of
}

/// Whether two types have no value in common, so that they are never equal.
pub(crate) fn never_equal(left: &Type, right: &Type) -> bool {
    if left.is_any() || right.is_any() || left.is_never() || right.is_never() {
        return false;
    }
    let numbers = Kinds::NUMBER.with(Kinds::INTEGER);
    let widened = |kinds: Kinds| if kinds.meets(numbers) { kinds.with(numbers) } else { kinds };
    if !widened(left.kinds()).meets(widened(right.kinds())) {
        return true;
    }
    let apart =
        |one: &Type, other: &Type| one.values().is_some_and(|values| values.iter().all(|value| other.contains(value) == Some(false)));
    apart(left, right) || apart(right, left)
}

/// The operator as it is written.
pub(crate) fn written(operator: &str) -> String {
    match operator {
        operators::IN => "in".to_owned(),
        other => other.trim_matches('_').to_owned(),
    }
}
