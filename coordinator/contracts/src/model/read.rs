//! Types from a JSON Schema.

use super::names::{Case, Names};
use super::{Body, DEPTH_MAX, Field, Kind, Model, Named, Rules, TYPES_MAX, Type};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Reads the schemas of one system into one model.
pub(crate) struct Reader {
    model: Model,
    names: Names,
}

/// One schema while it is read.
struct Source<'s> {
    root: &'s Value,
    /// What the whole schema is called; definitions of its own are named after it.
    owner: &'s str,
    /// What definitions became; nothing while one that has no name is read.
    defined: HashMap<String, Option<Type>>,
}

impl Reader {
    /// `reserved` are the names of types that the generated file means something else by.
    pub fn new(reserved: &[&str]) -> Self {
        Self { model: Model::default(), names: Names::new(Case::Pascal, reserved) }
    }

    /// The type of a schema; `owner` is the name of the type if it needs one: `inventory.reserve input`.
    pub fn read(&mut self, schema: &Value, owner: &str) -> Type {
        let mut source = Source { root: schema, owner, defined: HashMap::new() };
        self.node(schema, owner, 0, &mut source)
    }

    pub fn finish(self) -> Model {
        self.model
    }

    fn node(&mut self, node: &Value, name: &str, depth: usize, source: &mut Source<'_>) -> Type {
        let Value::Object(members) = node else { return Type::any() };
        if depth > DEPTH_MAX || self.model.types.len() >= TYPES_MAX {
            return Type::any();
        }
        if let Some(target) = members.get("$ref").and_then(Value::as_str) {
            return self.reference(target, depth, source);
        }
        if let Some(values) = members.get("enum").and_then(Value::as_array) {
            return self.values(values, members, name);
        }
        if let Some(value) = members.get("const") {
            return self.values(std::slice::from_ref(value), members, name);
        }
        let alternatives = ["anyOf", "oneOf"].iter().find_map(|keyword| members.get(*keyword).and_then(Value::as_array));
        if let Some(alternatives) = alternatives
            && !members.contains_key("properties")
        {
            let mut types = Vec::new();
            for (place, alternative) in alternatives.iter().enumerate() {
                types.push(self.node(alternative, &format!("{name} option {}", place + 1), depth + 1, source));
            }
            return self.union(types, members, name);
        }
        if let Some(parts) = members.get("allOf").and_then(Value::as_array) {
            let whole = merged(members, parts, source.root);
            return self.plain(&whole, name, depth, source);
        }
        self.plain(members, name, depth, source)
    }

    fn reference(&mut self, target: &str, depth: usize, source: &mut Source<'_>) -> Type {
        match source.defined.get(target) {
            Some(Some(of)) => {
                let of = of.clone();
                if let Kind::Named(place) = of.kind
                    && self.model.types[place].body == Body::Open
                {
                    self.model.types[place].recursive = true;
                }
                return of;
            }
            // A circle without a name cannot be written down.
            Some(None) => return Type::any(),
            None => {}
        }
        let Some(found) = target.strip_prefix('#').and_then(|pointer| source.root.pointer(pointer)) else { return Type::any() };
        let last = target.rsplit('/').next().unwrap_or_default();
        let name = if last.is_empty() || last == "#" { source.owner.to_owned() } else { format!("{} {last}", source.owner) };
        let members = found.as_object().filter(|members| members.contains_key("properties") && !members.contains_key("$ref"));
        let of = match members {
            Some(members) => {
                let place = self.open(&name, found);
                source.defined.insert(target.to_owned(), Some(Type::of(Kind::Named(place))));
                let body = self.object(members, &name, depth, source);
                self.close(place, body)
            }
            None => {
                source.defined.insert(target.to_owned(), None);
                self.node(found, &name, depth + 1, source)
            }
        };
        source.defined.insert(target.to_owned(), Some(of.clone()));
        of
    }

    /// One of some values: an enum of texts if they all are, else the values themselves.
    fn values(&mut self, values: &[Value], members: &Map<String, Value>, name: &str) -> Type {
        let nullable = values.contains(&Value::Null);
        let others: Vec<&Value> = values.iter().filter(|value| !value.is_null()).collect();
        let texts: Option<Vec<String>> = others.iter().map(|value| value.as_str().map(str::to_owned)).collect();
        let of = match texts {
            _ if others.is_empty() => Type::of(Kind::Null),
            Some(texts) => {
                let mut different: Vec<String> = Vec::new();
                texts.into_iter().for_each(|text| {
                    if !different.contains(&text) {
                        different.push(text);
                    }
                });
                let place = self.open(name, &Value::Object(members.clone()));
                self.close(place, Body::Enum(different))
            }
            None => Type::of(Kind::OneOf(others.into_iter().cloned().collect())),
        };
        if nullable { of.or_null() } else { of }
    }

    fn union(&mut self, types: Vec<Type>, members: &Map<String, Value>, name: &str) -> Type {
        let nullable = types.iter().any(|of| of.nullable || of.kind == Kind::Null);
        let mut different: Vec<Type> = Vec::new();
        for of in types.into_iter().filter(|of| of.kind != Kind::Null) {
            let of = Type { nullable: false, ..of };
            if !different.contains(&of) {
                different.push(of);
            }
        }
        let of = match different.len() {
            _ if different.iter().any(|of| of.kind == Kind::Any) => Type::any(),
            0 => Type::of(Kind::Null),
            1 => different.remove(0),
            _ => {
                let place = self.open(name, &Value::Object(members.clone()));
                self.close(place, Body::Union(different))
            }
        };
        if nullable { of.or_null() } else { of }
    }

    /// A schema that says what it is by `type`, or by what it says about it.
    fn plain(&mut self, members: &Map<String, Value>, name: &str, depth: usize, source: &mut Source<'_>) -> Type {
        let named: Vec<&str> = match members.get("type") {
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            Some(_) | None if members.contains_key("properties") => vec!["object"],
            Some(_) | None => return Type::any(),
        };
        let types = named.iter().map(|one| self.typed(one, members, name, depth, source)).collect();
        self.union(types, members, name)
    }

    fn typed(&mut self, one: &str, members: &Map<String, Value>, name: &str, depth: usize, source: &mut Source<'_>) -> Type {
        let below = |keyword: &str| members.get(keyword).filter(|node| node.is_object());
        let (kind, keywords): (Kind, &[&str]) = match one {
            "null" => return Type::of(Kind::Null),
            "boolean" => (Kind::Boolean, &[]),
            "integer" => (Kind::Integer, &Rules::ALL[4..9]),
            "number" => (Kind::Number, &Rules::ALL[4..9]),
            "string" => (Kind::Text, &Rules::ALL[..4]),
            "array" => {
                let items = below("items").map_or_else(Type::any, |items| self.node(items, &format!("{name} item"), depth + 1, source));
                (Kind::List(Box::new(items)), &Rules::ALL[9..12])
            }
            "object" => {
                let fields = members.get("properties").and_then(Value::as_object).is_some_and(|fields| !fields.is_empty());
                let required = members.get("required").and_then(Value::as_array).is_some_and(|names| !names.is_empty());
                if fields || required {
                    let place = self.open(name, &Value::Object(members.clone()));
                    let body = self.object(members, name, depth, source);
                    return self.close(place, body);
                }
                let values = below("additionalProperties");
                let values = values.map_or_else(Type::any, |node| self.node(node, &format!("{name} value"), depth + 1, source));
                (Kind::Dictionary(Box::new(values)), &[])
            }
            _ => return Type::any(),
        };
        let rules = keywords.iter().filter_map(|keyword| Some((*keyword, members.get(*keyword)?.clone()))).collect();
        Type { kind, nullable: false, rules: Rules(rules) }
    }

    fn object(&mut self, members: &Map<String, Value>, name: &str, depth: usize, source: &mut Source<'_>) -> Body {
        let required: Vec<&str> =
            members.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let empty = Map::new();
        let properties = members.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let mut fields: Vec<Field> = Vec::new();
        for (wire, node) in properties {
            let of = self.node(node, &format!("{name} {wire}"), depth + 1, source);
            fields.push(Field { wire: wire.clone(), required: required.contains(&wire.as_str()), of, description: description(node) });
        }
        for wire in required {
            if !fields.iter().any(|field| field.wire == wire) {
                fields.push(Field { wire: wire.to_owned(), required: true, of: Type::any(), description: String::new() });
            }
        }
        // Required fields first, each part in alphabetical order: the same text whatever kind of map JSON objects are in this build.
        fields.sort_by(|a, b| (!a.required, &a.wire).cmp(&(!b.required, &b.wire)));
        Body::Object { fields, closed: members.get("additionalProperties") == Some(&Value::Bool(false)) }
    }

    fn open(&mut self, name: &str, node: &Value) -> usize {
        let name = self.names.take(name);
        self.model.types.push(Named { name, description: description(node), body: Body::Open, recursive: false });
        self.model.types.len() - 1
    }

    fn close(&mut self, place: usize, body: Body) -> Type {
        self.model.types[place].body = body;
        self.model.order.push(place);
        Type::of(Kind::Named(place))
    }
}

fn description(node: &Value) -> String {
    let text = ["description", "title"].iter().find_map(|keyword| node.get(*keyword)?.as_str());
    text.map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// What an `allOf` of objects says together. Parts that are no objects add nothing a type could say.
fn merged(members: &Map<String, Value>, parts: &[Value], root: &Value) -> Map<String, Value> {
    let mut whole = members.clone();
    whole.remove("allOf");
    let (mut properties, mut required) = (Map::new(), Vec::new());
    let own = Value::Object(whole.clone());
    for part in parts.iter().chain([&own]) {
        let target = part.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
        let part = target.and_then(|pointer| root.pointer(pointer)).unwrap_or(part);
        properties.extend(part.get("properties").and_then(Value::as_object).cloned().unwrap_or_default());
        required.extend(part.get("required").and_then(Value::as_array).cloned().unwrap_or_default());
        if let (None, Some(of)) = (whole.get("type"), part.get("type")) {
            whole.insert("type".to_owned(), of.clone());
        }
    }
    if !properties.is_empty() {
        whole.insert("properties".to_owned(), Value::Object(properties));
    }
    if !required.is_empty() {
        whole.insert("required".to_owned(), Value::Array(required));
    }
    whole
}
