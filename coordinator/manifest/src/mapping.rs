//! Mappings, texts and lone expressions: compiled once, with the place of every expression in the YAML.

use crate::codes;
use crate::expression_places::{bodies, places};
use crate::fields::{short, wrong_type};
use crate::report::{Place, Problem, Report};
use crate::yaml::{Kind, Node};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::ops::Range;
use tasker_engine::expression::{Expression, InvalidExpression};
use tasker_engine::template::{InvalidTemplate, Part, Template};

/// The most expressions in one manifest. Compiling a plain path costs about ten microseconds.
const EXPRESSIONS_MAX: usize = 10_000;
/// The most bytes of expressions that are more than a path, in one manifest; a byte costs a few microseconds. Repeated texts count once.
const COMPUTED_BYTES_MAX: usize = 64 * 1024;

/// The longest text that is tried as an expression without its braces.
const LACKING_MAX: usize = 80;

/// A compiled value and what it looks at.
#[derive(Debug)]
pub(crate) struct Mapping {
    pub template: Template,
    /// Every expression in it, in the order of the file.
    pub expressions: Vec<Located>,
}

/// One expression and where it stands.
#[derive(Debug)]
pub(crate) struct Located {
    pub expression: Expression,
    /// The text between the braces.
    pub place: Place,
}

/// Compiles mappings within one manifest's budget.
pub(crate) struct Mappings {
    expressions_left: usize,
    computed_left: usize,
    /// Texts with expressions that were compiled before.
    compiled: HashMap<String, Template>,
    /// Said once; every later expression would say the same.
    exhausted: bool,
}

impl Mappings {
    pub fn new() -> Self {
        Self { expressions_left: EXPRESSIONS_MAX, computed_left: COMPUTED_BYTES_MAX, compiled: HashMap::new(), exhausted: false }
    }

    /// Compiles a mapping, or a text that is one expression. `what` names it in messages: `the input of a step`.
    pub fn read(&mut self, node: &Node, what: &str, report: &mut Report<'_>) -> Option<Mapping> {
        match &node.kind {
            Kind::Map(_) => {}
            Kind::Text(text) if text.trim_start().starts_with("${") => {}
            _ => {
                wrong_type(node, what, "a mapping, or one `${ … }`", report);
                return None;
            }
        }
        self.compile_whole(node, report)
    }

    /// Compiles a text, with or without expressions in it.
    pub fn text(&mut self, node: &Node, what: &str, report: &mut Report<'_>) -> Option<Mapping> {
        crate::fields::text(node, what, report)?;
        self.compile_whole(node, report)
    }

    /// Compiles a text that is one expression and nothing else.
    pub fn expression(&mut self, node: &Node, what: &str, report: &mut Report<'_>) -> Option<(Expression, Mapping)> {
        let Kind::Text(text) = &node.kind else {
            not_an_expression(node, what, None, report);
            return None;
        };
        let mapping = self.compile_whole(node, report)?;
        match &mapping.template {
            Template::Expression(expression) => Some((expression.clone(), mapping)),
            Template::Literal(_) | Template::Text(_) | Template::List(_) | Template::Object(_) => {
                not_an_expression(node, what, Some(text), report);
                None
            }
        }
    }

    /// Compiles a text that the manifest's author did not write as an expression, such as a path of the input.
    pub fn made(&mut self, node: &Node, source: &str, report: &mut Report<'_>) -> Option<Expression> {
        self.spend(node, 1, 0, report)?;
        match Expression::compile(source) {
            Ok(expression) => Some(expression),
            Err(invalid) => {
                complain(&invalid, source, node.place, report);
                None
            }
        }
    }

    fn compile_whole(&mut self, node: &Node, report: &mut Report<'_>) -> Option<Mapping> {
        let mut expressions = Vec::new();
        let template = self.compile(node, &mut expressions, report)?;
        Some(Mapping { template, expressions })
    }

    /// Compiles everything below a node, also after a first problem, so that all of them are reported.
    fn compile(&mut self, node: &Node, found: &mut Vec<Located>, report: &mut Report<'_>) -> Option<Template> {
        match &node.kind {
            Kind::Null => Some(Template::Literal(Value::Null)),
            Kind::Bool(flag) => Some(Template::Literal(Value::Bool(*flag))),
            Kind::Number(number, _) => Some(Template::Literal(Value::Number(number.clone()))),
            Kind::Text(text) => self.compile_text(node, text, found, report),
            Kind::List(items) => {
                let compiled: Vec<_> = items.iter().map(|item| self.compile(item, found, report)).collect();
                Some(Template::List(compiled.into_iter().collect::<Option<_>>()?))
            }
            Kind::Map(entries) => {
                let compiled: Vec<_> =
                    entries.iter().map(|(key, value)| Some((key.text.clone(), self.compile(value, found, report)?))).collect();
                Some(Template::Object(compiled.into_iter().collect::<Option<_>>()?))
            }
            Kind::Invalid => None,
        }
    }

    fn compile_text(&mut self, node: &Node, text: &str, found: &mut Vec<Located>, report: &mut Report<'_>) -> Option<Template> {
        if !text.contains("${") {
            return Some(Template::Literal(Value::String(text.to_owned())));
        }
        let bodies = bodies(text);
        let places = places(node, text, &bodies, report.source());
        let template = match self.compiled.get(text).cloned() {
            Some(known) => {
                self.spend(node, bodies.len(), 0, report)?;
                known
            }
            None => self.compile_new(node, text, &bodies, &places, report)?,
        };
        for (place, expression) in expressions_of(&template).enumerate() {
            let place = places.get(place).copied().unwrap_or(node.place);
            found.push(Located { expression: expression.clone(), place });
        }
        Some(template)
    }

    fn compile_new(
        &mut self,
        node: &Node,
        text: &str,
        bodies: &[Range<usize>],
        places: &[Place],
        report: &mut Report<'_>,
    ) -> Option<Template> {
        let computed: usize = bodies.iter().map(|body| &text[body.clone()]).filter(|body| !is_path(body.trim())).map(str::len).sum();
        self.spend(node, bodies.len(), computed, report)?;
        match Template::compile_text(text) {
            Ok(template) => {
                self.compiled.insert(text.to_owned(), template.clone());
                Some(template)
            }
            Err(InvalidTemplate::Unclosed) => {
                let message = "`${` is never closed by `}`";
                let problem = Problem::new(&codes::BAD_EXPRESSION, node.place, message);
                report.add(problem.hint("close it, quote a text that holds ` #`, or write `$${` for the characters themselves"));
                None
            }
            Err(InvalidTemplate::Expression(first)) => {
                let before = report.failed();
                for (body, place) in bodies.iter().zip(places) {
                    if let Err(invalid) = Expression::compile(&text[body.clone()]) {
                        complain(&invalid, &text[body.clone()], *place, report);
                    }
                }
                if !before && !report.failed() {
                    complain(&first, text, node.place, report);
                }
                None
            }
        }
    }

    fn spend(&mut self, node: &Node, expressions: usize, computed: usize, report: &mut Report<'_>) -> Option<()> {
        if self.exhausted {
            return None;
        }
        let left = self.expressions_left.checked_sub(expressions.max(1)).zip(self.computed_left.checked_sub(computed));
        if let Some((expressions_left, computed_left)) = left {
            (self.expressions_left, self.computed_left) = (expressions_left, computed_left);
            return Some(());
        }
        self.exhausted = true;
        let message = format!(
            "the manifest has more than {EXPRESSIONS_MAX} expressions, or more than {COMPUTED_BYTES_MAX} bytes of expressions that are not plain paths"
        );
        let problem = Problem::new(&codes::TOO_MANY_EXPRESSIONS, node.place, message);
        report.add(problem.hint("let a step compute what is large, or split the workflow"));
        None
    }
}

/// The expressions of one text.
fn expressions_of(template: &Template) -> impl Iterator<Item = &Expression> {
    let (lone, parts): (Option<&Expression>, &[Part]) = match template {
        Template::Expression(expression) => (Some(expression), &[]),
        Template::Text(parts) => (None, parts),
        Template::Literal(_) | Template::List(_) | Template::Object(_) => (None, &[]),
    };
    lone.into_iter().chain(parts.iter().filter_map(|part| match part {
        Part::Expression(expression) => Some(expression),
        Part::Text(_) => None,
    }))
}

/// The value of a template without expressions.
pub(crate) fn literal(template: &Template) -> Option<Value> {
    match template {
        Template::Literal(value) => Some(value.clone()),
        Template::Expression(_) | Template::Text(_) => None,
        Template::List(items) => items.iter().map(literal).collect::<Option<_>>().map(Value::Array),
        Template::Object(members) => {
            members.iter().map(|(name, member)| Some((name.clone(), literal(member)?))).collect::<Option<Map<_, _>>>().map(Value::Object)
        }
    }
}

fn is_path(source: &str) -> bool {
    source.contains('.')
        && source.split('.').all(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
}

fn not_an_expression(node: &Node, what: &str, text: Option<&str>, report: &mut Report<'_>) {
    if matches!(node.kind, Kind::Invalid) {
        return;
    }
    // Nobody reads on, and trying what may be an expression costs more than saying that it is none.
    let tried = !report.is_full();
    let message = format!("{what} is one expression, but this is {}", text.map_or(node.noun(), |_| "text"));
    let problem = Problem::new(&codes::NOT_AN_EXPRESSION, node.mark(), message);
    report.add(match text {
        Some(text) if text.contains("${") => {
            problem.hint("put everything between the braces; texts are joined by `+`: `\"${ 'order-' + task.input.id }\"`")
        }
        // What is an expression already lacks its braces alone.
        Some(text) if tried && text.len() <= LACKING_MAX && !text.contains(['"', '\\', '\n']) && Expression::compile(text).is_ok() => {
            problem.hint("put it between braces").fix(format!("\"${{ {text} }}\""))
        }
        Some(text) if text.len() <= LACKING_MAX && !text.contains(['\'', '"', '\\', '\n']) => {
            problem.hint(format!("write `\"${{ … }}\"` with an expression between the braces; the text itself is `\"${{ '{text}' }}\"`"))
        }
        _ => problem.hint("write `\"${ … }\"` with an expression between the braces"),
    });
}

fn complain(invalid: &InvalidExpression, body: &str, place: Place, report: &mut Report<'_>) {
    let problem = |message: String| Problem::new(&codes::BAD_EXPRESSION, place, message);
    let names = "expressions know `task.input`, `task.id`, `task.error`, `steps.<name>.result`, `.status` and `.error`, `item`, `item_index`, and the variables of `map`, `filter`, `all`, `exists`";
    report.add(match invalid {
        InvalidExpression::Syntax { message, column } => {
            let body = body.trim();
            let skipped = body.chars().take(column - 1).map(char::len_utf8).sum::<usize>();
            let at = match body[skipped..].chars().next() {
                Some(character) if !body.contains('\n') => Place {
                    start: place.start + skipped,
                    end: place.start + skipped + character.len_utf8(),
                    column: place.column + column - 1,
                    ..place
                },
                _ => place,
            };
            let message = format!("`{}` is not an expression: {}", short(body), plain(message));
            Problem::new(&codes::BAD_EXPRESSION, at, message)
                .hint("expressions are CEL: `task.input.total > 100`, `steps.charge.result.id`, `size(task.input.lines)`")
        }
        InvalidExpression::UnknownName(name) => problem(format!("`{}` does not exist here", short(name))).hint(names),
        InvalidExpression::TooLong(_) | InvalidExpression::TooLarge | InvalidExpression::TooNested | InvalidExpression::ComputedRange => {
            problem(invalid.to_string()).hint("let a step compute it, and read the step's result")
        }
    });
}

/// The parser's own words without its internals.
fn plain(message: &str) -> String {
    if message.contains("Recursion limit") {
        return "it is nested too deeply".into();
    }
    if message.contains("'<EOF>'") {
        return "it ends too early".into();
    }
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    message.split(" expecting ").next().unwrap_or(message).to_owned()
}
