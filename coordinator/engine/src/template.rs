//! Input mappings: JSON in which strings may hold expressions.

use crate::expression::{Expression, InvalidExpression, NoValue, Scope};
use crate::ids::StepName;
use serde_json::Value;
use std::collections::BTreeSet;

/// A JSON value with expressions in it.
#[derive(Debug, Clone, PartialEq)]
pub enum Template {
    /// Exactly this.
    Literal(Value),
    /// `"${ … }"`: the value itself, of any type.
    Expression(Expression),
    /// `"order ${ … } of ${ … }"`: text; other values are written as JSON.
    Text(Vec<Part>),
    /// A list of templates.
    List(Vec<Template>),
    /// An object of templates, in the order of the manifest.
    Object(Vec<(String, Template)>),
}

/// A piece of a text with expressions in it.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// As written.
    Text(String),
    /// Evaluated.
    Expression(Expression),
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// A `${` without its `}`.
    #[error("`${{` is never closed; write `$${{` for the characters themselves")]
    Unclosed,
    /// What is between the braces is not acceptable.
    #[error(transparent)]
    Expression(#[from] InvalidExpression),
}

impl Template {
    /// Compiles a JSON value. `$${` stands for the characters `${`.
    ///
    /// # Errors
    /// Names the first text that is not acceptable by its JSON pointer.
    pub fn compile(value: &Value) -> Result<Self, (String, InvalidTemplate)> {
        Self::compile_at(value, "")
    }

    fn compile_at(value: &Value, pointer: &str) -> Result<Self, (String, InvalidTemplate)> {
        Ok(match value {
            Value::String(text) => Self::compile_text(text).map_err(|error| (pointer.to_owned(), error))?,
            Value::Array(items) => Self::List(
                items
                    .iter()
                    .enumerate()
                    .map(|(place, item)| Self::compile_at(item, &format!("{pointer}/{place}")))
                    .collect::<Result<_, _>>()?,
            ),
            Value::Object(members) => Self::Object(
                members
                    .iter()
                    .map(|(name, member)| {
                        let place = name.replace('~', "~0").replace('/', "~1");
                        Ok((name.clone(), Self::compile_at(member, &format!("{pointer}/{place}"))?))
                    })
                    .collect::<Result<_, (String, InvalidTemplate)>>()?,
            ),
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::Literal(value.clone()),
        })
    }

    /// Compiles one string.
    ///
    /// # Errors
    /// An expression that is not closed or not acceptable.
    pub fn compile_text(text: &str) -> Result<Self, InvalidTemplate> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(place) = rest.find("${") {
            if rest[..place].ends_with('$') {
                literal.push_str(&rest[..place - 1]);
                literal.push_str("${");
                rest = &rest[place + 2..];
                continue;
            }
            literal.push_str(&rest[..place]);
            let body = &rest[place + 2..];
            let end = end_of_expression(body).ok_or(InvalidTemplate::Unclosed)?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Expression(Expression::compile(&body[..end])?));
            rest = &body[end + 1..];
        }
        literal.push_str(rest);
        Ok(match (parts.as_mut_slice(), literal.is_empty()) {
            ([], _) => Self::Literal(Value::String(literal)),
            ([Part::Expression(only)], true) => Self::Expression(only.clone()),
            (_, true) => Self::Text(parts),
            (_, false) => {
                parts.push(Part::Text(literal));
                Self::Text(parts)
            }
        })
    }

    /// The value for one task.
    ///
    /// # Errors
    /// If an expression in it has no value.
    pub fn evaluate(&self, scope: &dyn Scope) -> Result<Value, NoValue> {
        Ok(match self {
            Self::Literal(value) => value.clone(),
            Self::Expression(expression) => expression.evaluate(scope)?,
            Self::Text(parts) => {
                let mut text = String::new();
                for part in parts {
                    match part {
                        Part::Text(piece) => text.push_str(piece),
                        Part::Expression(expression) => match expression.evaluate(scope)? {
                            Value::String(piece) => text.push_str(&piece),
                            other => text.push_str(&other.to_string()),
                        },
                    }
                }
                Value::String(text)
            }
            Self::List(items) => Value::Array(items.iter().map(|item| item.evaluate(scope)).collect::<Result<_, _>>()?),
            Self::Object(members) => Value::Object(
                members.iter().map(|(name, member)| Ok((name.clone(), member.evaluate(scope)?))).collect::<Result<_, NoValue>>()?,
            ),
        })
    }

    /// The steps whose results it reads.
    pub fn steps(&self) -> BTreeSet<StepName> {
        let mut steps = BTreeSet::new();
        self.visit(&mut |expression| steps.extend(expression.steps().iter().cloned()));
        steps
    }

    /// Shows every expression in it, in the order of the manifest.
    pub fn visit(&self, look: &mut dyn FnMut(&Expression)) {
        match self {
            Self::Literal(_) => {}
            Self::Expression(expression) => look(expression),
            Self::Text(parts) => parts.iter().for_each(|part| match part {
                Part::Text(_) => {}
                Part::Expression(expression) => look(expression),
            }),
            Self::List(items) => items.iter().for_each(|item| item.visit(look)),
            Self::Object(members) => members.iter().for_each(|(_, member)| member.visit(look)),
        }
    }
}

/// The byte of the `}` that closes an expression: braces and quotes inside it are stepped over.
fn end_of_expression(body: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut quote = None;
    let mut escaped = false;
    for (place, character) in body.char_indices() {
        match (quote, character) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if character == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '{') => depth += 1,
            (None, '}') if depth == 0 => return Some(place),
            (None, '}') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Given(Value);

    impl Scope for Given {
        fn task_input(&self) -> &Value {
            &self.0
        }
        fn step_result(&self, _: &str) -> Option<&Value> {
            None
        }
    }

    fn evaluate(template: Value) -> Value {
        let scope = Given(json!({ "id": 7, "name": "Ada" }));
        Template::compile(&template).expect("valid").evaluate(&scope).expect("has a value")
    }

    #[test]
    fn a_lone_expression_keeps_its_type_and_text_around_it_makes_text() {
        assert_eq!(evaluate(json!("${ task.input.id }")), json!(7));
        assert_eq!(evaluate(json!("order ${ task.input.id } for ${task.input.name}")), json!("order 7 for Ada"));
        assert_eq!(evaluate(json!("costs $${5}")), json!("costs ${5}"));
        assert_eq!(evaluate(json!("${ {'a': task.input.id}.a }")), json!(7));
        assert_eq!(evaluate(json!("${ '}' }")), json!("}"));
        assert_eq!(evaluate(json!({ "a": ["${task.input.id}", true] })), json!({ "a": [7, true] }));
    }

    #[test]
    fn a_bad_expression_is_named_by_its_place() {
        let (pointer, _) = Template::compile(&json!({ "a": ["x", "${ 1 + }"] })).expect_err("syntax");
        assert_eq!(pointer, "/a/1");
        assert_eq!(Template::compile_text("${ 1").expect_err("unclosed"), InvalidTemplate::Unclosed);
    }
}
