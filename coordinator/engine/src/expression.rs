//! `${ … }`: a bounded CEL expression over the task's input and the results of earlier steps.
//!
//! CEL itself has no budget, so an expression is bounded when it is compiled (length, nodes, nesting of comprehensions, what a
//! comprehension may range over), and the lists it ranges over are bounded when it is evaluated. Plain paths such as
//! `task.input.lines`, which most mappings are, never enter CEL at all.

use crate::ids::StepName;
use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, IdedExpr};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A compiled expression.
#[derive(Clone)]
pub struct Expression(Arc<Compiled>);

struct Compiled {
    source: String,
    form: Form,
    names: Names,
    nesting: usize,
    ranges: Vec<Vec<Place>>,
}

/// What an expression reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The steps whose result, status or error it reads.
    pub steps: BTreeSet<StepName>,
    /// Whether it reads the task's input.
    pub task_input: bool,
    /// Whether it reads the task's id.
    pub task_id: bool,
    /// Whether it reads why the task ends.
    pub task_error: bool,
    /// Whether it reads the item of a fan-out, or its number.
    pub item: bool,
}

/// One piece of the way from the root to what a comprehension ranges over.
#[derive(Debug, Clone, PartialEq)]
enum Place {
    /// A field by name.
    Field(String),
    /// Any element.
    Each,
}

enum Form {
    Path(Vec<String>),
    Cel(cel::Program),
}

/// Why a text is not an acceptable expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidExpression {
    /// Longer than [`Expression::BYTES_MAX`].
    #[error("the expression is {0} bytes long; at most {max} are accepted", max = Expression::BYTES_MAX)]
    TooLong(usize),
    /// CEL's own parser refuses it. The column counts from 1.
    #[error("{message} (column {column} of the expression)")]
    Syntax {
        /// What the parser says.
        message: String,
        /// Where, in characters from 1.
        column: usize,
    },
    /// More syntax nodes than [`Expression::NODES_MAX`].
    #[error("the expression has more than {max} parts", max = Expression::NODES_MAX)]
    TooLarge,
    /// Comprehensions inside comprehensions inside comprehensions.
    #[error("`map`, `filter`, `all` and `exists` may be nested at most {max} deep", max = Expression::NESTING_MAX)]
    TooNested,
    /// A comprehension ranges over something that is computed.
    #[error("`map`, `filter`, `all` and `exists` may only range over a value such as `task.input.lines`, or over another of them")]
    ComputedRange,
    /// A name that does not exist.
    #[error(
        "`{0}` does not exist here; expressions know `task.input`, `task.id`, `task.error`, `steps.<name>.result`, `.status` and `.error`, `item` and `item_index`"
    )]
    UnknownName(String),
}

/// Why an expression has no value for this task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`${{ {source_text} }}` has no value: {reason}")]
pub struct NoValue {
    source_text: String,
    reason: String,
}

/// What an expression may look at.
pub trait Scope {
    /// The task's input.
    fn task_input(&self) -> &Value;
    /// The result of a step, if it has succeeded.
    fn step_result(&self, step: &str) -> Option<&Value>;
    /// Where a step stands, in one word.
    fn step_status(&self, _step: &str) -> Option<Value> {
        None
    }
    /// Why a step failed: `code`, `message`, `details`; `null` if it did not.
    fn step_error(&self, _step: &str) -> Option<&Value> {
        None
    }
    /// The task's id.
    fn task_id(&self) -> Option<&Value> {
        None
    }
    /// Why the task ends: `code`, `message`, `step`.
    fn task_error(&self) -> Option<&Value> {
        None
    }
    /// The item of a fan-out, and its number.
    fn item(&self) -> Option<(&Value, u32)> {
        None
    }
}

impl Expression {
    /// The longest source, in bytes.
    pub const BYTES_MAX: usize = 1024;
    /// The most syntax nodes.
    pub const NODES_MAX: usize = 256;
    /// The deepest nesting of comprehensions.
    pub const NESTING_MAX: usize = 2;
    /// The longest list below a value that a comprehension may range over, by nesting: one level, two levels.
    pub const LIST_MAX: [usize; Self::NESTING_MAX] = [20_000, 300];

    /// Compiles and bounds a source text.
    ///
    /// # Errors
    /// See [`InvalidExpression`].
    pub fn compile(source: &str) -> Result<Self, InvalidExpression> {
        let source = source.trim();
        if source.len() > Self::BYTES_MAX {
            return Err(InvalidExpression::TooLong(source.len()));
        }
        // Most expressions are plain paths, which need no parser.
        if let Some(path) = scanned_path(source) {
            let mut survey = Survey::default();
            survey.name(&path)?;
            let compiled = Compiled { source: source.to_owned(), form: Form::Path(path), names: survey.names, nesting: 0, ranges: vec![] };
            return Ok(Self(Arc::new(compiled)));
        }
        let program = cel::Program::compile(source).map_err(|errors| syntax_error(&errors))?;
        let mut survey = Survey::default();
        survey.walk(program.expression(), 0, &mut Bound::new())?;
        let form = match plain_path(program.expression()) {
            Some(path) => Form::Path(path),
            None => Form::Cel(program),
        };
        Ok(Self(Arc::new(Compiled {
            source: source.to_owned(),
            form,
            names: survey.names,
            nesting: survey.nesting,
            ranges: survey.ranges,
        })))
    }

    /// The source text.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The steps whose results it reads.
    pub fn steps(&self) -> &BTreeSet<StepName> {
        &self.0.names.steps
    }

    /// Everything that it reads.
    pub fn names(&self) -> &Names {
        &self.0.names
    }

    /// The names of a plain path such as `task.input.lines`; none if the expression computes something.
    pub fn path(&self) -> Option<&[String]> {
        match &self.0.form {
            Form::Path(path) => Some(path),
            Form::Cel(_) => None,
        }
    }

    /// The syntax tree, for whoever works out types; none for a plain path, which has [`Self::path`].
    pub fn syntax(&self) -> Option<&IdedExpr> {
        match &self.0.form {
            Form::Path(_) => None,
            Form::Cel(program) => Some(program.expression()),
        }
    }

    /// The value for one task.
    ///
    /// # Errors
    /// A field that is not there, types that do not fit, or a list too long for a comprehension.
    pub fn evaluate(&self, scope: &dyn Scope) -> Result<Value, NoValue> {
        match &self.0.form {
            Form::Path(path) => self.follow(path, scope).map(Cow::into_owned),
            Form::Cel(program) => self.run(program, scope),
        }
    }

    fn no_value(&self, reason: impl Into<String>) -> NoValue {
        NoValue { source_text: self.0.source.clone(), reason: reason.into() }
    }

    fn follow<'s>(&self, path: &[String], scope: &'s dyn Scope) -> Result<Cow<'s, Value>, NoValue> {
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let (root, used) = root_of(&names, scope).map_err(|reason| self.no_value(reason))?;
        let mut seen = names[..used].join(".");
        let mut value = root;
        for field in &names[used..] {
            let inner = match value {
                Cow::Borrowed(value) => value.get(field).map(Cow::Borrowed),
                Cow::Owned(value) => value.get(field).cloned().map(Cow::Owned),
            };
            value = inner.ok_or_else(|| self.no_value(format!("`{seen}` has no field `{field}`")))?;
            seen = format!("{seen}.{field}");
        }
        Ok(value)
    }

    /// The members of an object have no order, so what ranges over one could differ from run to run.
    fn refuse_objects(&self, range: &[Place], scope: &dyn Scope) -> Result<(), NoValue> {
        let names: Vec<&str> = range
            .iter()
            .map_while(|place| match place {
                Place::Field(name) => Some(name.as_str()),
                Place::Each => None,
            })
            .collect();
        // What has no value is reported when the program runs.
        let Ok((root, used)) = root_of(&names, scope) else { return Ok(()) };
        match leads_to_object(&root, &range[used..]) {
            true => Err(self.no_value("it ranges over an object, whose members have no order; range over a list")),
            false => Ok(()),
        }
    }

    fn run(&self, program: &cel::Program, scope: &dyn Scope) -> Result<Value, NoValue> {
        for range in &self.0.ranges {
            self.refuse_objects(range, scope)?;
        }
        let longest = self.0.nesting.checked_sub(1).map(|level| Self::LIST_MAX[level]);
        let admit = |value: &Value| match longest {
            Some(max) if longest_list(value) > max => {
                Err(self.no_value(format!("a list is longer than {max}, the limit for ranging at this nesting")))
            }
            _ => Ok(to_cel(value)),
        };
        let names = &self.0.names;
        let mut steps = HashMap::new();
        for step in &names.steps {
            let mut facts = HashMap::new();
            let known = [
                ("result", scope.step_result(step.as_str()).map(Cow::Borrowed)),
                ("status", scope.step_status(step.as_str()).map(Cow::Owned)),
                ("error", scope.step_error(step.as_str()).map(Cow::Borrowed)),
            ];
            for (name, value) in known {
                if let Some(value) = value {
                    facts.insert(key(name), admit(&value)?);
                }
            }
            steps.insert(key(step.as_str()), cel::Value::Map(cel::objects::Map { map: Arc::new(facts) }));
        }
        let mut task = HashMap::new();
        let known = [
            ("input", names.task_input.then(|| scope.task_input())),
            ("id", scope.task_id().filter(|_| names.task_id)),
            ("error", scope.task_error().filter(|_| names.task_error)),
        ];
        for (name, value) in known {
            if let Some(value) = value {
                task.insert(key(name), admit(value)?);
            }
        }
        let mut context = cel::Context::default();
        context.add_variable_from_value("task", cel::Value::Map(cel::objects::Map { map: Arc::new(task) }));
        context.add_variable_from_value("steps", cel::Value::Map(cel::objects::Map { map: Arc::new(steps) }));
        if let Some((item, number)) = scope.item().filter(|_| names.item) {
            context.add_variable_from_value("item", admit(item)?);
            context.add_variable_from_value("item_index", cel::Value::Int(i64::from(number)));
        }
        let value = program.execute(&context).map_err(|error| self.no_value(error.to_string()))?;
        value.json().map_err(|error| self.no_value(error.to_string()))
    }
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "${{ {} }}", self.0.source)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source
    }
}

fn syntax_error(errors: &cel::ParseErrors) -> InvalidExpression {
    match errors.errors.first() {
        Some(error) => InvalidExpression::Syntax {
            message: error.msg.chars().take(200).collect(),
            column: usize::try_from(error.pos.1).unwrap_or(0).max(1),
        },
        None => InvalidExpression::Syntax { message: "not an expression".into(), column: 1 },
    }
}

fn key(text: &str) -> cel::objects::Key {
    cel::objects::Key::String(Arc::new(text.to_owned()))
}

/// The value that the first names of a path stand for, and how many names these are.
fn root_of<'s>(names: &[&str], scope: &'s dyn Scope) -> Result<(Cow<'s, Value>, usize), String> {
    match names {
        ["task", "input", ..] => Ok((Cow::Borrowed(scope.task_input()), 2)),
        ["task", "id", ..] => scope.task_id().map(|id| (Cow::Borrowed(id), 2)).ok_or_else(|| "the task has no id yet".to_owned()),
        ["task", "error", ..] => {
            scope.task_error().map(|error| (Cow::Borrowed(error), 2)).ok_or_else(|| "nothing went wrong with the task".to_owned())
        }
        ["steps", name, "result", ..] => {
            scope.step_result(name).map(|result| (Cow::Borrowed(result), 3)).ok_or_else(|| format!("step `{name}` has no result"))
        }
        ["steps", name, "status", ..] => {
            scope.step_status(name).map(|status| (Cow::Owned(status), 3)).ok_or_else(|| format!("there is no step `{name}`"))
        }
        ["steps", name, "error", ..] => {
            scope.step_error(name).map(|error| (Cow::Borrowed(error), 3)).ok_or_else(|| format!("there is no step `{name}`"))
        }
        ["item", ..] => scope.item().map(|(item, _)| (Cow::Borrowed(item), 1)).ok_or_else(|| "there is no item here".to_owned()),
        ["item_index", ..] => {
            scope.item().map(|(_, number)| (Cow::Owned(Value::from(number)), 1)).ok_or_else(|| "there is no item here".to_owned())
        }
        _ => Err("it names nothing that exists".to_owned()),
    }
}

/// A source that is nothing but names and dots, as its names. Words that CEL reads as something else are left to its parser.
fn scanned_path(source: &str) -> Option<Vec<String>> {
    const WORDS: [&str; 22] = [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
        "has",
    ];
    let is_name = |name: &str| {
        let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        starts && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !WORDS.contains(&name)
    };
    let names: Vec<&str> = source.split('.').collect();
    (names.len() <= Expression::NODES_MAX && names.iter().all(|name| is_name(name))).then(|| names.into_iter().map(str::to_owned).collect())
}

fn longest_list(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(longest_list).fold(items.len(), usize::max),
        Value::Object(members) => members.values().map(longest_list).fold(members.len(), usize::max),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Up to here every whole number is a floating-point number of its own.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Whole numbers become CEL integers, so that they compare with literals such as `1`; also those written `1.0`, which JSON Schema calls
/// integers, too.
fn to_cel(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(flag) => cel::Value::Bool(*flag),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => cel::Value::Int(integer),
            (None, Some(unsigned)) => cel::Value::UInt(unsigned),
            (None, None) => match number.as_f64().unwrap_or(f64::NAN) {
                whole if whole.fract() == 0.0 && whole.abs() <= WHOLE_MAX => cel::Value::Int(whole as i64),
                float => cel::Value::Float(float),
            },
        },
        Value::String(text) => cel::Value::String(Arc::new(text.clone())),
        Value::Array(items) => cel::Value::List(Arc::new(items.iter().map(to_cel).collect())),
        Value::Object(members) => {
            let map = members.iter().map(|(name, member)| (key(name), to_cel(member))).collect();
            cel::Value::Map(cel::objects::Map { map: Arc::new(map) })
        }
    }
}

fn leads_to_object(value: &Value, way: &[Place]) -> bool {
    match way {
        [] => value.is_object(),
        [Place::Field(name), rest @ ..] => value.get(name).is_some_and(|field| leads_to_object(field, rest)),
        [Place::Each, rest @ ..] => match value {
            Value::Array(items) => items.iter().any(|item| leads_to_object(item, rest)),
            Value::Object(members) => members.values().any(|member| leads_to_object(member, rest)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        },
    }
}

/// `a.b.c` as its names; anything else is none.
fn plain_path(expression: &IdedExpr) -> Option<Vec<String>> {
    match &expression.expr {
        Expr::Ident(name) => Some(vec![name.clone()]),
        Expr::Select(select) if !select.test => {
            let mut path = plain_path(&select.operand)?;
            path.push(select.field.clone());
            Some(path)
        }
        _ => None,
    }
}

/// The variables of the comprehensions around a node, and where their values come from; none if they are computed.
type Bound = Vec<(String, Option<Vec<Place>>)>;

#[derive(Default)]
struct Survey {
    nodes: usize,
    nesting: usize,
    names: Names,
    ranges: Vec<Vec<Place>>,
}

impl Survey {
    fn walk(&mut self, node: &IdedExpr, depth: usize, bound: &mut Bound) -> Result<(), InvalidExpression> {
        self.nodes += 1;
        if self.nodes > Expression::NODES_MAX {
            return Err(InvalidExpression::TooLarge);
        }
        if let Some(path) = plain_path(node)
            && bound.iter().all(|(variable, _)| *variable != path[0])
        {
            return self.name(&path);
        }
        match &node.expr {
            Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) => Ok(()),
            // `has(steps.a.result)` asks for what the whole path names.
            Expr::Select(select) if select.test => match plain_path(&select.operand) {
                Some(mut path) if bound.iter().all(|(variable, _)| *variable != path[0]) => {
                    path.push(select.field.clone());
                    self.name(&path)
                }
                _ => self.walk(&select.operand, depth, bound),
            },
            Expr::Select(select) => self.walk(&select.operand, depth, bound),
            Expr::Call(call) => {
                if let Some(target) = &call.target {
                    self.walk(target, depth, bound)?;
                }
                call.args.iter().try_for_each(|argument| self.walk(argument, depth, bound))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.walk(element, depth, bound)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| self.entry(&entry.expr, depth, bound)),
            Expr::Struct(given) => given.entries.iter().try_for_each(|entry| self.entry(&entry.expr, depth, bound)),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, depth + 1, bound),
        }
    }

    fn comprehension(&mut self, comprehension: &ComprehensionExpr, depth: usize, bound: &mut Bound) -> Result<(), InvalidExpression> {
        self.nesting = self.nesting.max(depth);
        if depth > Expression::NESTING_MAX {
            return Err(InvalidExpression::TooNested);
        }
        let range = range_of(&comprehension.iter_range, bound)?;
        self.walk(&comprehension.iter_range, depth - 1, bound)?;
        let element = range.clone().map(|mut way| {
            way.push(Place::Each);
            way
        });
        self.ranges.extend(range);
        let outer = bound.len();
        bound.push((comprehension.iter_var.clone(), element.clone()));
        bound.extend(comprehension.iter_var2.clone().map(|variable| (variable, element)));
        bound.push((comprehension.accu_var.clone(), None));
        let inner = [&comprehension.accu_init, &comprehension.loop_cond, &comprehension.loop_step, &comprehension.result];
        inner.into_iter().try_for_each(|inner| self.walk(inner, depth, bound))?;
        bound.truncate(outer);
        Ok(())
    }

    fn entry(&mut self, entry: &EntryExpr, depth: usize, bound: &mut Bound) -> Result<(), InvalidExpression> {
        match entry {
            EntryExpr::StructField(field) => self.walk(&field.value, depth, bound),
            EntryExpr::MapEntry(entry) => {
                self.walk(&entry.key, depth, bound)?;
                self.walk(&entry.value, depth, bound)
            }
        }
    }

    fn name(&mut self, path: &[String]) -> Result<(), InvalidExpression> {
        let unknown = || InvalidExpression::UnknownName(path.join("."));
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        match names.as_slice() {
            ["task", "input", ..] => self.names.task_input = true,
            ["task", "id"] => self.names.task_id = true,
            ["task", "error"] | ["task", "error", "code" | "message" | "step"] => self.names.task_error = true,
            ["steps", name, "result", ..]
            | ["steps", name, "status"]
            | ["steps", name, "error"]
            | ["steps", name, "error", "code" | "message"]
            | ["steps", name, "error", "details", ..] => {
                self.names.steps.insert(StepName::new(name).map_err(|_| unknown())?);
            }
            ["item", ..] | ["item_index"] => self.names.item = true,
            _ => return Err(unknown()),
        }
        Ok(())
    }
}

/// Where the values of a range come from; none for a list that is written out or made by `map`.
///
/// # Errors
/// If it is computed in any other way: its length, or whether it is a list at all, could not be known beforehand.
fn range_of(range: &IdedExpr, bound: &Bound) -> Result<Option<Vec<Place>>, InvalidExpression> {
    match &range.expr {
        Expr::Ident(name) => match bound.iter().rev().find(|(variable, _)| variable == name) {
            Some((_, Some(way))) => Ok(Some(way.clone())),
            Some((_, None)) => Err(InvalidExpression::ComputedRange),
            None => Ok(Some(vec![Place::Field(name.clone())])),
        },
        Expr::Select(select) => {
            let mut way = range_of(&select.operand, bound)?.ok_or(InvalidExpression::ComputedRange)?;
            way.push(Place::Field(select.field.clone()));
            Ok(Some(way))
        }
        Expr::Call(call) if call.func_name == "_[_]" => {
            let list = call.args.first().ok_or(InvalidExpression::ComputedRange)?;
            let mut way = range_of(list, bound)?.ok_or(InvalidExpression::ComputedRange)?;
            way.push(Place::Each);
            Ok(Some(way))
        }
        Expr::Comprehension(inner) if keeps_elements(inner) => range_of(&inner.iter_range, bound),
        Expr::Comprehension(_) => Ok(None),
        Expr::List(list) if list.elements.iter().all(|element| !matches!(element.expr, Expr::Comprehension(_))) => Ok(None),
        _ => Err(InvalidExpression::ComputedRange),
    }
}

/// Whether a comprehension is a `filter`: what it appends is its own variable.
fn keeps_elements(comprehension: &ComprehensionExpr) -> bool {
    let Expr::Call(choice) = &comprehension.loop_step.expr else { return false };
    let appended = choice.args.get(1).filter(|_| choice.func_name == "_?_:_");
    let Some(Expr::Call(sum)) = appended.map(|appended| &appended.expr) else { return false };
    let Some(Expr::List(list)) = sum.args.get(1).map(|appended| &appended.expr) else { return false };
    matches!(list.elements.as_slice(), [IdedExpr { expr: Expr::Ident(name), .. }] if *name == comprehension.iter_var)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Given(Value, Value);

    impl Scope for Given {
        fn task_input(&self) -> &Value {
            &self.0
        }
        fn step_result(&self, step: &str) -> Option<&Value> {
            self.1.get(step)
        }
    }

    fn scope() -> Given {
        Given(
            json!({ "lines": [{ "sku": "A", "quantity": 2 }, { "sku": "B", "quantity": 3 }], "name": "Ada" }),
            json!({ "charge": { "amount": 12.5, "whole": 3.0, "currency": "GBP" } }),
        )
    }

    fn value(source: &str) -> Result<Value, String> {
        let expression = Expression::compile(source).map_err(|error| error.to_string())?;
        expression.evaluate(&scope()).map_err(|error| error.to_string())
    }

    #[test]
    fn expressions_read_the_task_and_earlier_results() {
        let table = [
            ("task.input.name", json!("Ada")),
            ("steps.charge.result.amount", json!(12.5)),
            ("size(task.input.lines)", json!(2)),
            ("task.input.lines.map(line, line.sku)", json!(["A", "B"])),
            ("task.input.lines.filter(line, line.quantity > 2).map(line, line.sku)", json!(["B"])),
            ("task.input.lines[0].quantity + 1", json!(3)),
            ("steps.charge.result.currency == 'GBP' ? 'home' : 'abroad'", json!("home")),
            ("has(task.input.coupon)", json!(false)),
            ("steps.charge.result.whole + 1", json!(4)),
        ];
        for (source, expected) in table {
            assert_eq!(value(source), Ok(expected), "{source}");
        }
    }

    #[test]
    fn an_expression_without_a_value_says_what_is_missing() {
        let error = value("task.input.customer.email").expect_err("no customer");
        assert_eq!(error, "`${ task.input.customer.email }` has no value: `task.input` has no field `customer`");
        assert!(value("steps.refund.result.id").expect_err("no step").contains("step `refund` has no result"));
    }

    #[test]
    fn unbounded_expressions_are_refused_when_they_are_compiled() {
        let compile = |source: &str| Expression::compile(source).err();
        assert!(matches!(compile(&"1+".repeat(600)), Some(InvalidExpression::TooLong(_))));
        assert!(matches!(compile("1 +"), Some(InvalidExpression::Syntax { .. })));
        let nested = "task.input.a.exists(a, task.input.a.exists(b, task.input.a.exists(c, a == c)))";
        assert_eq!(compile(nested), Some(InvalidExpression::TooNested));
        assert_eq!(compile("(task.input.a + task.input.a).map(a, a)"), Some(InvalidExpression::ComputedRange));
        assert_eq!(compile(&["1"; 300].join("+")), Some(InvalidExpression::TooLarge));
        for unknown in ["foo", "task.output", "steps", "steps.charge", "task", "steps.charge.state", "env.HOME"] {
            assert_eq!(compile(unknown), Some(InvalidExpression::UnknownName(unknown.into())), "{unknown}");
        }
    }

    #[test]
    fn ranging_over_an_object_has_no_value_because_its_order_is_not_defined() {
        let given = Given(json!({ "m": { "b": 1, "a": 2 }, "lines": [{ "tags": ["x"], "more": { "k": 1 } }] }), json!({}));
        let value = |source: &str| Expression::compile(source).expect("valid").evaluate(&given).map_err(|error| error.to_string());
        assert!(value("task.input.m.map(k, k)").expect_err("an object").contains("ranges over an object"));
        assert!(
            value("task.input.lines.exists(line, line.more.all(k, k == 'k'))").expect_err("an object").contains("ranges over an object")
        );
        let filtered = "task.input.lines.filter(line, true).map(line, line.more.map(k, k))";
        assert!(value(filtered).expect_err("an object").contains("ranges over an object"));
        assert_eq!(value("task.input.lines.map(line, line.tags.map(tag, tag + '!'))"), Ok(json!([["x!"]])));
        assert_eq!(value("[1, 2].map(n, n * 2)"), Ok(json!([2, 4])));
        let computed = "task.input.lines.map(line, line.more).map(more, more.map(k, k))";
        assert_eq!(Expression::compile(computed).err(), Some(InvalidExpression::ComputedRange));
    }

    #[test]
    fn a_list_too_long_for_a_nested_comprehension_has_no_value() {
        let long = Given(json!({ "a": (0..301).collect::<Vec<_>>() }), json!({}));
        let twice = Expression::compile("task.input.a.exists(a, task.input.a.exists(b, a + b < 0))").expect("valid");
        assert!(twice.evaluate(&long).expect_err("too long").to_string().contains("longer than 300"));
    }
}
