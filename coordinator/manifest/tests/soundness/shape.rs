//! Shapes of values: each as a schema, and as a value that fits it.

use crate::chance::Chance;
use serde_json::{Map, Value, json};

#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    Integer(i64, i64),
    Number,
    Text,
    Words(Vec<&'static str>),
    Boolean,
    List(Box<Shape>, usize),
    Nullable(Box<Shape>),
    Object { fields: Vec<Field>, closed: bool },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub name: &'static str,
    pub shape: Shape,
    pub required: bool,
}

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
const WORDS: [&str; 4] = ["low", "middle", "high", "none"];
const TEXTS: [&str; 5] = ["", "x", "low", "12", "a longer text"];

impl Shape {
    /// An object with a few fields, as inputs and results are.
    pub fn object(chance: &mut Chance, depth: usize) -> Self {
        let count = 1 + chance.below(4);
        let fields =
            NAMES[..count].iter().map(|name| Field { name, shape: Self::any(chance, depth), required: chance.percent(75) }).collect();
        Self::Object { fields, closed: chance.percent(50) }
    }

    fn any(chance: &mut Chance, depth: usize) -> Self {
        match chance.below(if depth == 0 { 6 } else { 9 }) {
            0 => Self::Integer(-3, 9),
            1 => Self::Integer(1, 5),
            2 => Self::Number,
            3 => Self::Text,
            4 => Self::Words(WORDS[..2 + chance.below(3)].to_vec()),
            5 => Self::Boolean,
            6 => Self::List(Box::new(Self::any(chance, depth - 1)), chance.below(2)),
            7 => Self::Nullable(Box::new(Self::any(chance, depth - 1))),
            _ => Self::object(chance, depth - 1),
        }
    }

    pub fn schema(&self) -> Value {
        match self {
            Self::Integer(low, high) => json!({ "type": "integer", "minimum": low, "maximum": high }),
            Self::Number => json!({ "type": "number", "minimum": -50, "maximum": 50 }),
            Self::Text => json!({ "type": "string" }),
            Self::Words(words) => json!({ "enum": words }),
            Self::Boolean => json!({ "type": "boolean" }),
            Self::List(element, least) => json!({ "type": "array", "items": element.schema(), "minItems": least, "maxItems": 4 }),
            Self::Nullable(inner) => json!({ "anyOf": [inner.schema(), { "type": "null" }] }),
            Self::Object { fields, closed } => {
                let properties: Map<String, Value> = fields.iter().map(|field| (field.name.to_owned(), field.shape.schema())).collect();
                let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
                json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": !closed })
            }
        }
    }

    /// A value that fits.
    pub fn value(&self, chance: &mut Chance) -> Value {
        match self {
            Self::Integer(low, high) => json!(low + chance.below((high - low + 1) as usize) as i64),
            // A number may be whole, which CEL tells from one with a fraction.
            Self::Number if chance.percent(50) => json!(chance.below(20) as i64 - 10),
            Self::Number => json!(chance.below(20) as f64 - 9.5),
            Self::Text => json!(chance.pick(&TEXTS)),
            Self::Words(words) => json!(chance.pick(words)),
            Self::Boolean => json!(chance.percent(50)),
            Self::List(element, least) => {
                let length = (*least).max(chance.below(4));
                Value::Array((0..length).map(|_| element.value(chance)).collect())
            }
            Self::Nullable(inner) => {
                if chance.percent(40) {
                    Value::Null
                } else {
                    inner.value(chance)
                }
            }
            Self::Object { fields, closed } => {
                let mut object = Map::new();
                for field in fields {
                    if field.required || chance.percent(50) {
                        object.insert(field.name.to_owned(), field.shape.value(chance));
                    }
                }
                if !closed && chance.percent(20) {
                    object.insert("undeclared".into(), json!("anything"));
                }
                Value::Object(object)
            }
        }
    }
}
