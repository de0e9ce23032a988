//! Tables: one schema against another, and what is said of it.

use serde_json::{Value, json};
use tasker_types::{Effect, Field, Kinds, Type, Verdict, diff};

fn of(schema: Value) -> Type {
    Type::of_schema(&schema)
}

/// `fits`, `breaks at PATH by VALUE` or `unproven at PATH`.
fn said(sup: &Value, sub: &Value) -> String {
    match of(sup.clone()).admits(&of(sub.clone())) {
        Verdict::Fits => "fits".into(),
        Verdict::Breaks { path, counterexample: Some(value), .. } => format!("breaks at `{path}` by {value}"),
        Verdict::Breaks { path, counterexample: None, .. } => format!("breaks at `{path}`"),
        Verdict::Unproven { path, .. } => format!("unproven at `{path}`"),
    }
}

#[track_caller]
fn check(sup: Value, sub: Value, expect: &str) {
    assert_eq!(said(&sup, &sub), expect, "\nexpected: {}\ngiven:    {}", of(sup), of(sub));
}

#[test]
fn kinds_are_told_apart() {
    check(json!({ "type": "integer" }), json!({ "type": "string" }), "breaks at `` by \"a\"");
    check(json!({ "type": "number" }), json!({ "type": "integer" }), "fits");
    check(json!({ "type": "integer" }), json!({ "type": "number" }), "breaks at `` by 0.5");
    check(json!({ "type": ["string", "null"] }), json!({ "type": "string" }), "fits");
    check(json!({ "type": "string" }), json!({ "type": ["string", "null"] }), "breaks at `` by null");
    check(json!({ "type": "boolean" }), json!({ "const": true }), "fits");
    check(json!({ "const": true }), json!({ "type": "boolean" }), "breaks at `` by false");
    check(json!({ "enum": [true, false] }), json!({ "type": "boolean" }), "fits");
    check(json!(false), json!({ "type": "string" }), "breaks at `` by \"a\"");
    check(json!({ "type": "string" }), json!(false), "fits");
}

#[test]
fn what_is_unsaid_is_unproven() {
    check(json!({ "type": "string" }), json!({}), "unproven at ``");
    check(json!({}), json!({ "type": "string" }), "fits");
    check(json!(true), json!({}), "fits");
    check(json!({ "type": "object", "required": ["a"] }), json!({ "type": "object" }), "unproven at `/a`");
    check(
        json!({ "type": "object", "properties": { "a": { "type": "string" } } }),
        json!({ "type": "object", "properties": { "b": { "type": "string" } } }),
        "unproven at `/a`",
    );
    let strictly = of(json!({ "type": "string" })).admits_strictly(&of(json!({})));
    assert!(matches!(strictly, Verdict::Breaks { counterexample: Some(_), .. }), "{strictly:?}");
}

#[test]
fn numbers_have_bounds_and_steps() {
    check(json!({ "type": "integer", "minimum": 1 }), json!({ "type": "integer", "minimum": 0 }), "breaks at `` by 0");
    check(json!({ "type": "integer", "minimum": 1 }), json!({ "type": "integer", "exclusiveMinimum": 0 }), "fits");
    check(json!({ "type": "number", "minimum": 1 }), json!({ "type": "number", "exclusiveMinimum": 0 }), "breaks at `` by 0.5");
    check(json!({ "multipleOf": 2 }), json!({ "type": "integer", "multipleOf": 4 }), "fits");
    check(json!({ "type": "integer", "multipleOf": 4 }), json!({ "type": "integer", "multipleOf": 2 }), "breaks at `` by 2");
    check(json!({ "type": "integer" }), json!({ "enum": [1, 2.0] }), "fits");
    check(json!({ "enum": [1, 2, 3] }), json!({ "type": "integer", "minimum": 1, "maximum": 3 }), "fits");
    check(json!({ "enum": [1, 3] }), json!({ "type": "integer", "minimum": 1, "maximum": 3 }), "breaks at `` by 2");
    let halves = json!({ "anyOf": [{ "type": "number", "maximum": 0 }, { "type": "number", "exclusiveMinimum": 0 }] });
    check(halves, json!({ "type": "number" }), "fits");
    let gap = json!({ "anyOf": [{ "type": "number", "maximum": 0 }, { "type": "number", "minimum": 1 }] });
    check(gap, json!({ "type": "number" }), "breaks at `` by 0.5");
    let apart = json!({ "anyOf": [{ "type": "integer", "maximum": 0 }, { "type": "integer", "minimum": 1 }] });
    check(apart, json!({ "type": "integer" }), "fits");
    check(json!({ "type": "number", "multipleOf": 0.01 }), json!({ "type": "number", "multipleOf": 0.01 }), "fits");
    check(json!({ "type": "number", "multipleOf": 0.01 }), json!({ "type": "number" }), "unproven at ``");
}

#[test]
fn texts_have_lengths_patterns_and_formats() {
    check(json!({ "type": "string", "maxLength": 3 }), json!({ "type": "string", "maxLength": 5 }), "breaks at `` by \"aaaa\"");
    check(json!({ "type": "string", "minLength": 1 }), json!({ "type": "string" }), "breaks at `` by \"\"");
    check(json!({ "type": "string", "maxLength": 9 }), json!({ "enum": ["a", "bb"] }), "fits");
    check(json!({ "enum": ["a"] }), json!({ "enum": ["a", "b"] }), "breaks at `` by \"b\"");
    check(json!({ "type": "string", "pattern": "^[0-9]+$" }), json!({ "const": "12" }), "fits");
    check(json!({ "type": "string", "pattern": "^[0-9]+$" }), json!({ "const": "1x" }), "breaks at `` by \"1x\"");
    check(json!({ "type": "string", "pattern": "^[0-9]+$" }), json!({ "type": "string" }), "breaks at `` by \"a\"");
    let (digits, money) = (json!({ "type": "string", "pattern": "^[0-9]+$" }), json!({ "type": "string", "pattern": r"^\d+(\.\d{2})?$" }));
    check(money.clone(), digits.clone(), "fits");
    check(digits, money, "breaks at `` by \"0.00\"");
    let odd = json!({ "type": "string", "pattern": "^(?=a)b" });
    check(odd.clone(), odd.clone(), "fits");
    check(odd, json!({ "type": "string" }), "unproven at ``");
    check(
        json!({ "type": "string", "format": "date-time" }),
        json!({ "type": "string", "format": "date" }),
        "breaks at `` by \"2026-01-31\"",
    );
    check(json!({ "type": "string", "maxLength": 10 }), json!({ "type": "string", "format": "date" }), "fits");
    check(json!({ "type": "string", "format": "uuid" }), json!({ "type": "string" }), "breaks at `` by \"a\"");
    check(json!({ "type": "string" }), json!({ "type": "string", "format": "email" }), "fits");
    let word = json!({ "type": "string", "pattern": "^[a-z]{2,4}$" });
    check(json!({ "type": "string", "minLength": 2, "maxLength": 4 }), word.clone(), "fits");
    check(json!({ "type": "string", "minLength": 3 }), word, "breaks at `` by \"aa\"");
    check(
        json!({ "anyOf": [{ "type": "string", "pattern": "^a" }, { "type": "string", "pattern": "^b" }] }),
        json!({ "type": "string", "pattern": "^[ab]" }),
        "fits",
    );
}

#[test]
fn objects_break_at_the_member() {
    let order = json!({
        "type": "object",
        "properties": { "order_id": { "type": "string" }, "note": { "type": "string" } },
        "required": ["order_id"],
        "additionalProperties": false
    });
    check(order.clone(), order.clone(), "fits");
    check(
        order.clone(),
        json!({ "type": "object", "properties": { "order_id": { "type": "integer" } }, "required": ["order_id"], "additionalProperties": false }),
        "breaks at `/order_id` by {\"order_id\":1}",
    );
    check(
        order.clone(),
        json!({ "type": "object", "properties": { "order_id": { "type": "string" } }, "additionalProperties": false }),
        "breaks at `/order_id` by {}",
    );
    check(
        order.clone(),
        json!({ "type": "object", "properties": { "order_id": { "type": "string" }, "total": { "type": "string" } }, "required": ["order_id"], "additionalProperties": false }),
        "breaks at `/total` by {\"order_id\":\"a\",\"total\":\"a\"}",
    );
    check(
        order,
        json!({ "type": "object", "properties": { "order_id": { "type": "string" }, "note": { "type": ["string", "null"] } }, "required": ["order_id"], "additionalProperties": false }),
        "breaks at `/note` by {\"note\":null,\"order_id\":\"a\"}",
    );
    let map = json!({ "type": "object", "additionalProperties": { "type": "integer" } });
    check(map.clone(), json!({ "type": "object", "properties": { "a": { "type": "integer" } }, "additionalProperties": false }), "fits");
    check(map, json!({ "type": "object", "additionalProperties": { "type": "number" } }), "breaks at `/*` by {\"other\":0.5}");
}

#[test]
fn lists_break_at_the_element() {
    let lines = |quantity: Value| json!({ "type": "array", "items": { "type": "object", "properties": { "quantity": quantity }, "required": ["quantity"] } });
    check(
        lines(json!({ "type": "integer", "minimum": 1 })),
        lines(json!({ "type": "integer" })),
        "breaks at `/*/quantity` by [{\"quantity\":0}]",
    );
    check(json!({ "type": "array", "minItems": 1 }), json!({ "type": "array" }), "breaks at `` by []");
    check(
        json!({ "type": "array", "maxItems": 1 }),
        json!({ "type": "array", "items": { "type": "null" } }),
        "breaks at `` by [null,null]",
    );
    check(
        json!({ "type": "array", "uniqueItems": true }),
        json!({ "type": "array", "items": { "type": "integer" } }),
        "breaks at `` by [1,1]",
    );
    check(
        json!({ "type": "array", "items": { "type": "integer" } }),
        json!({ "type": "array", "prefixItems": [{ "type": "integer" }, { "type": "string" }], "items": false }),
        "breaks at `/1` by [1,\"a\"]",
    );
    check(
        json!({ "type": "array", "items": { "type": ["integer", "string"] } }),
        json!({ "type": "array", "prefixItems": [{ "type": "integer" }, { "type": "string" }], "items": false }),
        "fits",
    );
}

fn shapes(circle: Value, square: Value) -> Value {
    json!({ "oneOf": [
        { "type": "object", "properties": { "kind": { "const": "circle" }, "radius": circle }, "required": ["kind", "radius"] },
        { "type": "object", "properties": { "kind": { "const": "square" }, "side": square }, "required": ["kind", "side"] },
    ] })
}

#[test]
fn tagged_alternatives_are_compared_by_tag() {
    let number = json!({ "type": "number" });
    check(shapes(number.clone(), number.clone()), shapes(json!({ "type": "integer" }), number.clone()), "fits");
    check(
        shapes(number.clone(), json!({ "type": "integer" })),
        shapes(number.clone(), number.clone()),
        "breaks at `/side` by {\"kind\":\"square\",\"side\":0.5}",
    );
    let both = json!({ "type": "object", "required": ["kind", "radius", "side"],
        "properties": { "kind": { "enum": ["circle", "square"] }, "radius": number, "side": number } });
    check(shapes(number.clone(), number.clone()), both, "fits");
    let triangle =
        json!({ "type": "object", "properties": { "kind": { "const": "triangle" } }, "required": ["kind"], "additionalProperties": false });
    check(shapes(number.clone(), number), triangle, "breaks at `` by {\"kind\":\"triangle\"}");
}

#[test]
fn types_that_hold_themselves_are_compared() {
    let tree = |leaf: &str| {
        json!({ "$ref": "#/$defs/tree", "$defs": { "tree": {
        "type": "object", "properties": { "value": { "type": leaf }, "children": { "type": "array", "items": { "$ref": "#/$defs/tree" } } },
        "required": ["value", "children"], "additionalProperties": false } } })
    };
    check(tree("number"), tree("integer"), "fits");
    check(tree("integer"), tree("number"), "breaks at `/value` by {\"children\":[],\"value\":0.5}");
    assert_eq!(of(tree("integer")).to_string(), "{ children: [tree], value: integer }");
}

#[test]
fn parts_that_are_not_taken_apart_make_no_false_claims() {
    let odd = json!({ "type": "integer", "not": { "multipleOf": 2 } });
    check(odd.clone(), odd.clone(), "fits");
    check(json!({ "type": "integer" }), odd.clone(), "fits");
    check(odd.clone(), json!({ "type": "integer" }), "breaks at `` by 0");
    check(json!({ "type": "string" }), odd.clone(), "breaks at `` by 1");
    check(json!({ "not": { "type": "null" } }), json!({ "type": "string" }), "fits");
    check(json!({ "not": { "type": "null" } }), json!({ "type": ["string", "null"] }), "breaks at `` by null");
    let pair = json!({ "type": "object", "properties": { "a": { "type": "integer" }, "b": { "type": "integer" } }, "additionalProperties": false, "dependentRequired": { "a": ["b"] } });
    let free = json!({ "type": "object", "properties": { "a": { "type": "integer" }, "b": { "type": "integer" } }, "additionalProperties": false });
    check(free.clone(), pair.clone(), "fits");
    check(pair, free, "breaks at `` by {\"a\":1}");
}

#[test]
fn members_are_read_by_name() {
    let order = of(
        json!({ "type": "object", "properties": { "id": { "type": "string" }, "note": { "type": "string" } }, "required": ["id"], "additionalProperties": false }),
    );
    assert!(matches!(order.field("id"), Field::Present(part) if part.to_string() == "string"));
    assert!(matches!(order.field("note"), Field::Optional(_)));
    assert!(matches!(order.field("idd"), Field::Absent { known } if known == ["id", "note"]));
    assert!(matches!(of(json!({ "type": "object" })).field("x"), Field::Unknown));
    assert!(matches!(Type::any().field("x"), Field::Unknown));
    let map = of(json!({ "type": "object", "additionalProperties": { "type": "integer" } }));
    assert!(matches!(map.field("x"), Field::Optional(part) if part.kinds() == Kinds::INTEGER));
    let shape = of(shapes(json!({ "type": "number" }), json!({ "type": "integer" })));
    assert!(matches!(shape.field("kind"), Field::Present(part) if part.values() == Some(vec![json!("circle"), json!("square")])));
    assert!(matches!(shape.field("nothing"), Field::Unknown));
}

#[test]
fn types_are_shown_as_people_write_them() {
    let order = json!({ "type": "object", "required": ["order_id", "total", "lines"], "properties": {
        "order_id": { "type": "string" }, "total": { "type": "string", "pattern": "^[0-9]+$" },
        "lines": { "type": "array", "items": { "type": "object", "required": ["sku", "quantity"], "properties": {
            "sku": { "type": "string" }, "quantity": { "type": "integer", "minimum": 1 } } } },
        "note": { "type": ["string", "null"] } } });
    let shown = of(order.clone()).to_string();
    assert_eq!(
        shown,
        "{ lines: [{ quantity: integer >= 1, sku: string }], note?: string | null, order_id: string, total: string /^[0-9]+$/ }"
    );
    assert_eq!(of(order).render(20), "{ lines: [{ quantit…");
    assert_eq!(of(json!({ "enum": ["a", "b", 1, null] })).to_string(), "1 | \"a\" | \"b\" | null");
    assert_eq!(
        of(json!({ "type": "array", "items": { "type": ["string", "null"] }, "minItems": 1 })).to_string(),
        "[string | null] of at least 1 element"
    );
    assert_eq!(
        of(json!({ "type": "array", "prefixItems": [{ "type": "string" }], "items": false, "minItems": 1 })).to_string(),
        "[string]"
    );
    assert_eq!(of(json!({ "type": "object" })).to_string(), "object");
    assert_eq!(of(json!({ "type": "object", "additionalProperties": { "type": "string" } })).to_string(), "{ ...: string }");
}

#[test]
fn types_are_made_and_joined() {
    let maybe = Type::string().nullable();
    assert_eq!(maybe.to_string(), "string | null");
    assert!(maybe.is_nullable() && !maybe.without_null().is_nullable());
    assert_eq!(Type::union([Type::integer(), Type::number(), Type::literal(&json!(3))]).to_string(), "number");
    assert_eq!(Type::union([Type::literal(&json!("a")), Type::words(["b"])]).values(), Some(vec![json!("a"), json!("b")]));
    assert_eq!(Type::literal(&json!({ "a": [1, null] })).to_string(), "{ a: [1, null] }");
    assert!(Type::union([]).is_never());
    assert!(Type::union([Type::string(), Type::any()]).is_any());
    assert_eq!(Type::number().and(&Type::integer_between(Some(1), Some(3))).to_string(), "integer 1..3");
    assert!(Type::string().and(&Type::integer()).is_never());
    assert_eq!(Type::list(Type::string()).element().expect("a list").to_string(), "string");
}

#[test]
fn changes_say_where_and_which_way() {
    let object = |members: Value, required: Value| json!({ "type": "object", "properties": members, "required": required });
    let old = object(
        json!({ "id": { "type": "string" }, "size": { "enum": ["s", "m"] }, "count": { "type": "integer", "minimum": 1 }, "gone": { "type": "string" } }),
        json!(["id", "gone"]),
    );
    let new = object(
        json!({ "id": { "type": ["string", "null"] }, "size": { "enum": ["m", "l"] }, "count": { "type": "integer", "minimum": 0 }, "note": { "type": "string", "description": "for people" } }),
        json!(["id", "size"]),
    );
    let shown: Vec<String> =
        diff(&old, &new).into_iter().map(|change| format!("{} {:?}: {}", change.path, change.effect, change.what)).collect();
    assert_eq!(
        shown,
        [
            "/count Widened: `integer >= 1` became `integer >= 0`",
            "/gone Widened: `gone` was removed; it was required: `string`",
            "/id Widened: `null` is accepted now",
            "/note Declared: `note` was added, optional: `string`",
            "/size Narrowed: `size` is required now",
            "/size Widened: `\"l\"` is accepted now",
            "/size Narrowed: `\"s\"` is no longer accepted",
        ]
    );
    let one = |old: Value, new: Value| diff(&old, &new).into_iter().map(|change| (change.path, change.effect)).collect::<Vec<_>>();
    assert_eq!(one(json!({ "type": "string" }), json!({ "type": "integer" })), [(String::new(), Effect::Replaced)]);
    assert_eq!(one(json!({ "title": "a" }), json!({ "title": "b" })), [(String::new(), Effect::Annotation)]);
    assert_eq!(one(json!({ "minimum": 1, "type": "number" }), json!({ "type": "number", "minimum": 1.0 })), []);
    assert_eq!(
        one(json!({ "type": "array", "items": { "type": "integer" } }), json!({ "type": "array", "items": { "type": "number" } })),
        [("/*".to_owned(), Effect::Widened)]
    );
    assert_eq!(
        one(json!({ "type": "object" }), json!({ "type": "object", "additionalProperties": false })),
        [(String::new(), Effect::Narrowed)]
    );
    assert_eq!(one(json!({ "type": "integer" }), json!({ "type": "integer", "not": { "const": 3 } })), [(String::new(), Effect::Narrowed)]);
}

#[test]
fn types_are_written_as_schemas() {
    let written = |schema: Value| of(schema).to_schema();
    for same in [
        json!({ "type": "string", "maxLength": 3, "pattern": "^a" }),
        json!({ "type": "object", "properties": { "a": { "type": ["integer", "null"] } }, "required": ["a"], "additionalProperties": false }),
        json!({ "enum": ["a", "b"] }),
        json!({ "type": "array", "items": { "type": "number", "exclusiveMinimum": 0 }, "minItems": 1, "uniqueItems": true }),
    ] {
        let mut expect = same.clone();
        if let Some(Value::Array(names)) = expect.pointer_mut("/properties/a/type") {
            names.sort_by_key(ToString::to_string);
        }
        assert_eq!(written(same), expect);
    }
    assert_eq!(Type::any().to_schema(), json!({}));
    assert_eq!(Type::never().to_schema(), json!(false));
    let tree =
        json!({ "$ref": "#/$defs/tree", "$defs": { "tree": { "type": "object", "properties": { "next": { "$ref": "#/$defs/tree" } } } } });
    assert_eq!(written(tree.clone()), tree);
}

#[test]
fn types_go_between_threads() {
    fn is_shared<T: Send + Sync + Clone + 'static>() {}
    is_shared::<Type>();
    is_shared::<Verdict>();
}
