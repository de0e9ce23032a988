//! Input and result mappings: compiled once, with the place of every expression in the YAML.

use crate::codes;
use crate::fields::{short, wrong_type};
use crate::report::{Place, Problem, Report};
use crate::schema::json_of;
use crate::yaml::{Kind, Node};
use serde_json::{Map, Value};
use std::ops::Range;
use tasker_engine::StepName;
use tasker_engine::expression::{Expression, InvalidExpression};
use tasker_engine::template::{InvalidTemplate, Part, Template};

/// The most expressions in one manifest. Compiling a plain path costs about ten microseconds.
const EXPRESSIONS_MAX: usize = 10_000;
/// The most bytes of expressions that are more than a path, in one manifest; a byte costs a few microseconds.
const COMPUTED_BYTES_MAX: usize = 64 * 1024;

/// A compiled mapping and what it looks at.
pub(crate) struct Mapping {
    pub template: Template,
    /// The mapping as it was written, for the digest.
    pub source: Value,
    /// Every step it reads, once for each expression.
    pub steps: Vec<(StepName, Place)>,
    /// Every expression that is a plain path, such as `task.input.order_id`.
    pub paths: Vec<(Vec<String>, Place)>,
}

/// Compiles mappings within one manifest's budget.
pub(crate) struct Mappings {
    expressions_left: usize,
    computed_left: usize,
    /// Said once; every later expression would say the same.
    exhausted: bool,
}

impl Mappings {
    pub fn new() -> Self {
        Self { expressions_left: EXPRESSIONS_MAX, computed_left: COMPUTED_BYTES_MAX, exhausted: false }
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
        let (mut steps, mut paths) = (Vec::new(), Vec::new());
        let template = self.compile(node, &mut steps, &mut paths, report);
        Some(Mapping { template: template?, source: json_of(node)?, steps, paths })
    }

    /// Compiles everything below a node, also after a first problem, so that all of them are reported.
    fn compile(
        &mut self,
        node: &Node,
        steps: &mut Vec<(StepName, Place)>,
        paths: &mut Vec<(Vec<String>, Place)>,
        report: &mut Report<'_>,
    ) -> Option<Template> {
        match &node.kind {
            Kind::Null => Some(Template::Literal(Value::Null)),
            Kind::Bool(flag) => Some(Template::Literal(Value::Bool(*flag))),
            Kind::Number(number, _) => Some(Template::Literal(Value::Number(number.clone()))),
            Kind::Text(text) => self.compile_text(node, text, steps, paths, report),
            Kind::List(items) => {
                let compiled: Vec<_> = items.iter().map(|item| self.compile(item, steps, paths, report)).collect();
                Some(Template::List(compiled.into_iter().collect::<Option<_>>()?))
            }
            Kind::Map(entries) => {
                let compiled: Vec<_> =
                    entries.iter().map(|(key, value)| Some((key.text.clone(), self.compile(value, steps, paths, report)?))).collect();
                Some(Template::Object(compiled.into_iter().collect::<Option<_>>()?))
            }
            Kind::Invalid => None,
        }
    }

    fn compile_text(
        &mut self,
        node: &Node,
        text: &str,
        steps: &mut Vec<(StepName, Place)>,
        paths: &mut Vec<(Vec<String>, Place)>,
        report: &mut Report<'_>,
    ) -> Option<Template> {
        if !text.contains("${") {
            return Some(Template::Literal(Value::String(text.to_owned())));
        }
        let bodies = bodies(text);
        self.spend(node, text, &bodies, report)?;
        let places = places(node, text, &bodies, report.source());
        let template = match Template::compile_text(text) {
            Ok(template) => template,
            Err(InvalidTemplate::Unclosed) => {
                let message = "`${` is never closed by `}`";
                let problem = Problem::new(&codes::BAD_EXPRESSION, node.place, message);
                report.add(problem.hint("close it, quote a text that holds ` #`, or write `$${` for the characters themselves"));
                return None;
            }
            Err(InvalidTemplate::Expression(first)) => {
                let before = report.failed();
                for (body, place) in bodies.iter().zip(&places) {
                    if let Err(invalid) = Expression::compile(&text[body.clone()]) {
                        complain(&invalid, &text[body.clone()], *place, report);
                    }
                }
                if !before && !report.failed() {
                    complain(&first, text, node.place, report);
                }
                return None;
            }
        };
        let compiled: Vec<&Expression> = match &template {
            Template::Expression(expression) => vec![expression],
            Template::Text(parts) => parts
                .iter()
                .filter_map(|part| match part {
                    Part::Expression(expression) => Some(expression),
                    Part::Text(_) => None,
                })
                .collect(),
            Template::Literal(_) | Template::List(_) | Template::Object(_) => Vec::new(),
        };
        for (place, expression) in compiled.into_iter().enumerate() {
            let at = places.get(place).copied().unwrap_or(node.place);
            steps.extend(expression.steps().iter().map(|step| (step.clone(), at)));
            if is_path(expression.source()) {
                paths.push((expression.source().split('.').map(str::to_owned).collect(), at));
            }
        }
        Some(template)
    }

    fn spend(&mut self, node: &Node, text: &str, bodies: &[Range<usize>], report: &mut Report<'_>) -> Option<()> {
        let computed: usize = bodies.iter().map(|body| &text[body.clone()]).filter(|body| !is_path(body.trim())).map(str::len).sum();
        if self.exhausted {
            return None;
        }
        let left = self.expressions_left.checked_sub(bodies.len().max(1)).zip(self.computed_left.checked_sub(computed));
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

/// What stands between the braces of each `${ … }`. Used for places alone: whether a text is acceptable is the engine's verdict.
fn bodies(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find("${").map(|place| from + place) {
        if text[from..start].ends_with('$') {
            from = start + 2;
            continue;
        }
        let Some(length) = length_of_body(&text[start + 2..]) else { break };
        found.push(start + 2..start + 2 + length);
        from = start + 2 + length + 1;
    }
    found
}

/// The bytes before the `}` that closes an expression; quotes and inner braces are stepped over.
fn length_of_body(rest: &str) -> Option<usize> {
    let (mut depth, mut quote, mut escaped) = (0usize, None, false);
    for (place, byte) in rest.bytes().enumerate() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if byte == b'\\' => escaped = true,
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if byte == b'\'' || byte == b'"' => quote = Some(byte),
            None if byte == b'{' => depth += 1,
            None if byte == b'}' && depth == 0 => return Some(place),
            None if byte == b'}' => depth -= 1,
            None => {}
        }
    }
    None
}

/// Where each expression stands in the file. Escapes and folded lines can hide one; then the whole text is marked.
fn places(node: &Node, text: &str, bodies: &[Range<usize>], source: &str) -> Vec<Place> {
    let raw = source.get(node.place.start..node.place.end).unwrap_or_default();
    let mut places = Vec::with_capacity(bodies.len());
    let (mut done, mut line, mut column) = (0, node.place.line, node.place.column);
    for body in bodies {
        let body = &text[body.clone()];
        let found = raw[done..].match_indices("${").map(|(place, _)| done + place).find(|place| !raw[..*place].ends_with('$'));
        let Some(start) = found.map(|place| place + 2) else {
            places.push(node.place);
            continue;
        };
        for character in raw[done..start].chars() {
            (line, column) = if character == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        done = start;
        let lead = body.len() - body.trim_start().len();
        if raw[start..].starts_with(body) && !body[..lead].contains('\n') {
            let begin = node.place.start + start;
            places.push(Place {
                start: begin + lead,
                end: begin + body.trim_end().len().max(lead),
                line,
                column: column + body[..lead].chars().count(),
            });
            for character in body.chars() {
                (line, column) = if character == '\n' { (line + 1, 1) } else { (line, column + 1) };
            }
            done += body.len();
        } else {
            let begin = node.place.start + start - 2;
            places.push(Place { start: begin, end: begin + 2, line, column: column.saturating_sub(2).max(1) });
        }
    }
    places
}

fn complain(invalid: &InvalidExpression, body: &str, place: Place, report: &mut Report<'_>) {
    let problem = |message: String| Problem::new(&codes::BAD_EXPRESSION, place, message);
    let names = "expressions know `task.input` and `steps.<name>.result`, and the variables of `map`, `filter`, `all`, `exists`";
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_found_as_the_engine_finds_them() {
        let table: [(&str, &[&str]); 7] = [
            ("none", &[]),
            ("${ a.b }", &[" a.b "]),
            ("x ${a.b} y ${c.d}", &["a.b", "c.d"]),
            ("$${no} ${yes}", &["yes"]),
            ("${ {'a': '}'}.a }", &[" {'a': '}'}.a "]),
            ("${ '\\'}' }", &[" '\\'}' "]),
            ("${ open", &[]),
        ];
        for (text, expected) in table {
            let found: Vec<&str> = bodies(text).into_iter().map(|body| &text[body]).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
