//! Schemas written to be dear: everything ends, soon, and says nothing false.

use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};
use tasker_types::{Type, Verdict, diff};

/// Far above what any of these takes, far below what any would take without bounds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Everything that can be asked of two schemas.
#[track_caller]
fn survive(what: &str, one: &Value, other: &Value) {
    let started = Instant::now();
    let (a, b) = (Type::of_schema(one), Type::of_schema(other));
    for (sup, sub) in [(&a, &b), (&b, &a), (&a, &a)] {
        let _ = sup.admits(sub);
        let _ = sup.admits_strictly(sub);
    }
    for one in [&a, &b] {
        assert!(one.to_string().chars().count() <= 2_000, "{what}");
        let _ = (one.fields(), one.field("a"), one.element(), one.values(), one.kinds(), one.list_lengths());
        if let Some(sample) = one.sample() {
            assert_ne!(one.contains(&sample), Some(false), "{what}: {sample}");
        }
        let _ = Type::of_schema(&one.to_schema());
    }
    let _ = (a.and(&b), Type::union([a.clone(), b.clone()]), diff(one, other));
    if started.elapsed() > Duration::from_millis(500) {
        println!("{what}: {:?}", started.elapsed());
    }
    assert!(started.elapsed() < PATIENCE, "{what} took {:?}", started.elapsed());
}

fn definitions(count: usize, of: impl Fn(usize) -> Value) -> Value {
    let all: Map<String, Value> =
        (0..count).map(|level| (format!("l{level}"), of(level))).chain([(format!("l{count}"), json!({ "type": "string" }))]).collect();
    json!({ "$ref": "#/$defs/l0", "$defs": all })
}

fn next(level: usize) -> Value {
    json!({ "$ref": format!("#/$defs/l{}", level + 1) })
}

#[test]
fn parts_that_multiply_end() {
    let doubling = |keyword: &str| definitions(40, |level| json!({ keyword: [next(level), next(level)] }));
    for keyword in ["allOf", "anyOf", "oneOf"] {
        survive(keyword, &doubling(keyword), &json!({ "type": "string", "maxLength": 3 }));
        survive(keyword, &doubling(keyword), &doubling("anyOf"));
    }
    let members =
        definitions(40, |level| json!({ "type": "object", "properties": { "a": next(level), "b": next(level) }, "required": ["a", "b"] }));
    survive("members", &members, &members);
    let loose = definitions(40, |level| json!({ "type": "object", "properties": { "a": next(level), "b": next(level) } }));
    survive("members, required and not", &members, &loose);
    let lists = definitions(40, |level| json!({ "type": "array", "prefixItems": [next(level), next(level)], "minItems": 2 }));
    survive("lists", &lists, &lists);
    let nots = definitions(40, |level| json!({ "not": { "anyOf": [next(level), { "not": next(level) }] } }));
    survive("nots", &nots, &json!({ "type": "string" }));
    let ifs = definitions(40, |level| json!({ "if": next(level), "then": next(level), "else": next(level) }));
    survive("ifs", &ifs, &json!({ "type": "string" }));
}

#[test]
fn alternatives_times_alternatives_end() {
    let alternatives = |letter: &str, count: usize| {
        let all: Vec<Value> = (0..count).map(|number| json!({ "type": "object", "properties": { format!("{letter}{number}"): { "type": "integer" } }, "required": [format!("{letter}{number}")] })).collect();
        json!({ "anyOf": all })
    };
    let all: Vec<Value> = ["a", "b", "c", "d", "e", "f"].iter().map(|letter| alternatives(letter, 30)).collect();
    survive("products", &json!({ "allOf": all }), &alternatives("a", 30));
    survive("many", &alternatives("a", 300), &alternatives("b", 300));
    let texts: Vec<Value> = (0..200).map(|number| json!({ "type": "string", "pattern": format!("^[a-z]{{{number}}}x") })).collect();
    survive("patterns", &json!({ "anyOf": texts }), &json!({ "type": "string", "pattern": "^[a-z]+$" }));
    let tags = |count: usize| {
        let all: Vec<Value> = (0..count).map(|number| json!({ "type": "object", "properties": { "a": { "enum": [number, number + 1] }, "b": { "enum": [number, number + 1] }, "c": { "type": "boolean" } }, "required": ["a", "b", "c"] })).collect();
        json!({ "oneOf": all })
    };
    survive("overlapping tags", &tags(30), &tags(31));
}

#[test]
fn patterns_that_explode_end() {
    let patterns = [
        "(a|aa)+$",
        "^(.*a.*b.*c.*d.*e.*){10}$",
        r"^\p{L}{1,200}$",
        "(((((a{50}){50}){50}){50}){50})",
        "[a-z]*a[a-z]{18}$",
        "^(a+)+$",
        "(?i)x",
        "\\",
        "[",
    ];
    for one in patterns {
        for other in patterns {
            survive(
                one,
                &json!({ "type": "string", "pattern": one, "maxLength": 100_000 }),
                &json!({ "type": "string", "pattern": other, "minLength": 7 }),
            );
        }
    }
}

#[test]
fn what_is_deep_or_wide_or_long_ends() {
    let deep = |keyword: &str| (0..120).fold(json!({ "type": "string" }), |inner, _| json!({ keyword: inner }));
    for keyword in ["not", "items", "additionalProperties", "contains", "propertyNames", "if"] {
        survive(keyword, &deep(keyword), &deep("items"));
    }
    let deep_list = (0..120).fold(json!(1), |inner, _| json!([inner]));
    survive("a deep literal", &json!({ "const": deep_list }), &json!({ "type": "array" }));
    let wide: Map<String, Value> =
        (0..5_000).map(|number| (format!("m{number}"), json!({ "type": "integer", "minimum": number }))).collect();
    survive("wide", &json!({ "type": "object", "properties": wide }), &json!({ "type": "object" }));
    let words: Vec<String> = (0..9_000).map(|number| format!("word {number}")).collect();
    survive("many words", &json!({ "enum": words }), &json!({ "type": "string", "pattern": "^word [0-9]+$" }));
    let huge = json!({ "type": "array", "items": { "type": "array", "minItems": 60_000, "items": { "type": "string", "minLength": 60_000 } }, "minItems": 60_000 });
    survive("a huge sample", &huge, &json!({ "type": "array", "maxItems": 1 }));
    survive("counts", &json!({ "type": "object", "minProperties": 1_000_000 }), &json!({ "type": "object", "maxProperties": 10 }));
    survive("unique", &json!({ "type": "array", "uniqueItems": true, "minItems": 5_000 }), &json!({ "type": "array", "maxItems": 3 }));
    survive(
        "numbers",
        &json!({ "minimum": -1e308, "maximum": 1e308, "multipleOf": 1e300 }),
        &json!({ "type": "integer", "multipleOf": 9_007_199_254_740_993_u64 }),
    );
}

#[test]
fn what_holds_itself_ends() {
    let itself = json!({ "$ref": "#" });
    survive("itself", &itself, &json!({ "type": "string" }));
    survive("itself in allOf", &json!({ "allOf": [{ "$ref": "#" }, { "type": "string" }] }), &json!({ "type": "string" }));
    survive("itself in anyOf", &json!({ "anyOf": [{ "$ref": "#" }, { "type": "string" }] }), &json!({ "type": "string" }));
    survive("itself in not", &json!({ "not": { "$ref": "#" } }), &json!({ "type": "string" }));
    let tree = json!({ "type": "object", "properties": { "left": { "$ref": "#" }, "right": { "$ref": "#" }, "value": { "type": "integer" } }, "required": ["value"] });
    let met = json!({ "allOf": [tree.clone(), { "type": "object", "properties": { "left": { "$ref": "#" } } }] });
    survive("trees", &tree, &met);
    let endless = json!({ "type": "object", "properties": { "next": { "$ref": "#" } }, "required": ["next"] });
    assert!(Type::of_schema(&endless).is_never(), "no finite value has it");
    let ring = definitions(
        60,
        |level| json!({ "type": "object", "properties": { "a": next(level), "b": { "$ref": format!("#/$defs/l{}", level / 2) } } }),
    );
    survive("a ring", &ring, &ring);
}

#[test]
fn what_is_no_schema_makes_no_claim() {
    let nonsense = [
        json!(null),
        json!(7),
        json!([]),
        json!({ "type": "strnig" }),
        json!({ "type": 7 }),
        json!({ "$ref": "http://example.com/schema" }),
        json!({ "$ref": "#/nowhere" }),
        json!({ "$dynamicRef": "#node" }),
        json!({ "properties": 7 }),
        json!({ "items": "x" }),
    ];
    for schema in nonsense {
        survive("nonsense", &schema, &json!({ "type": "string" }));
        let verdict = Type::of_schema(&schema).admits(&Type::string());
        assert!(!matches!(verdict, Verdict::Breaks { .. }), "{schema}: {verdict:?}");
    }
}
