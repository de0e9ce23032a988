//! What is promised of every pair of schemas, held against an independent validator.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};
use tasker_types::{Type, Verdict, diff};

/// The validator of contracts, set up as contracts set it up.
fn validator(schema: &Value) -> Option<jsonschema::Validator> {
    jsonschema::draft202012::options()
        .with_pattern_options(jsonschema::PatternOptions::regex().size_limit(1 << 20))
        .should_validate_formats(true)
        .offline()
        .build(schema)
        .ok()
}

const CASES: u32 = 1_500;
const NAMES: &[&str] = &["a", "b", "c"];
const TEXTS: &[&str] = &["", "a", "b", "ab", "aab", "12", "7", "2026-01-31", "ü", "a b"];
const PATTERNS: &[&str] = &["^a", "b$", "^[ab]*$", r"^\d+$", "a|b", "^.{2}$", "^[^a]*$", "(?=a)", "^(a|12)$"];
const FORMATS: &[&str] = &["date", "uuid", "email", "date-time", "uri", "unheard-of"];
const TYPES: &[&str] = &["null", "boolean", "integer", "number", "string", "array", "object"];

fn plain() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-3_i64..6).prop_map(Value::from),
        select(vec![0.5, 1.5, 2.0, -0.25, 1e300]).prop_map(Value::from),
        select(TEXTS).prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    plain().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((select(NAMES), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())),
        ]
    })
}

type Part = (&'static str, Value);

fn scalar_part() -> impl Strategy<Value = Part> {
    let bound = || prop_oneof![(-2_i64..5).prop_map(Value::from), select(vec![0.5, 1.5]).prop_map(Value::from)];
    let few = || (0_u64..4).prop_map(Value::from);
    prop_oneof![
        8 => select(TYPES).prop_map(|name| ("type", json!(name))),
        2 => prop::collection::vec(select(TYPES), 1..3).prop_map(|names| ("type", { let mut names = names; names.sort_unstable(); names.dedup(); json!(names) })),
        1 => bound().prop_map(|bound| ("minimum", bound)),
        1 => bound().prop_map(|bound| ("maximum", bound)),
        1 => bound().prop_map(|bound| ("exclusiveMinimum", bound)),
        1 => bound().prop_map(|bound| ("exclusiveMaximum", bound)),
        1 => select(vec![json!(1), json!(2), json!(3), json!(0.5)]).prop_map(|step| ("multipleOf", step)),
        1 => few().prop_map(|count| ("minLength", count)),
        1 => few().prop_map(|count| ("maxLength", count)),
        2 => select(PATTERNS).prop_map(|pattern| ("pattern", json!(pattern))),
        1 => select(FORMATS).prop_map(|format| ("format", json!(format))),
        1 => few().prop_map(|count| ("minItems", count)),
        1 => few().prop_map(|count| ("maxItems", count)),
        1 => Just(("uniqueItems", json!(true))),
        1 => few().prop_map(|count| ("minProperties", count)),
        1 => few().prop_map(|count| ("maxProperties", count)),
        2 => prop::collection::vec(select(NAMES), 0..3).prop_map(|names| ("required", { let mut names = names; names.sort_unstable(); names.dedup(); json!(names) })),
        1 => value().prop_map(|value| ("const", value)),
        2 => prop::collection::vec(value(), 1..4).prop_map(|values| ("enum", json!(values))),
    ]
}

fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => any::<bool>().prop_map(Value::Bool),
        1 => Just(json!({ "$ref": "#/$defs/x" })),
        8 => prop::collection::vec(scalar_part(), 1..4).prop_map(object),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let named = || prop::collection::vec((select(NAMES), inner.clone()), 0..4);
        let several = || prop::collection::vec(inner.clone(), 1..4);
        let applied = prop_oneof![
            6 => named().prop_map(|members| ("properties", members_of(members))),
            2 => inner.clone().prop_map(|part| ("additionalProperties", part)),
            3 => Just(("additionalProperties", json!(false))),
            3 => inner.clone().prop_map(|part| ("items", part)),
            2 => several().prop_map(|parts| ("prefixItems", json!(parts))),
            2 => several().prop_map(|parts| ("allOf", json!(parts))),
            3 => several().prop_map(|parts| ("anyOf", json!(parts))),
            2 => several().prop_map(|parts| ("oneOf", json!(parts))),
            1 => inner.clone().prop_map(|part| ("not", part)),
            1 => inner.clone().prop_map(|part| ("if", part)),
            1 => inner.clone().prop_map(|part| ("then", part)),
            1 => inner.clone().prop_map(|part| ("else", part)),
            1 => inner.clone().prop_map(|part| ("contains", part)),
            1 => inner.clone().prop_map(|part| ("propertyNames", part)),
            1 => (select(PATTERNS), inner.clone()).prop_filter("look-around is for strings", |(text, _)| !text.contains("?=")).prop_map(|(text, part)| ("patternProperties", json!({ text: part }))),
            1 => (select(NAMES), select(NAMES)).prop_map(|(one, other)| ("dependentRequired", json!({ one: [other] }))),
            1 => (select(NAMES), inner.clone()).prop_map(|(name, part)| ("dependentSchemas", json!({ name: part }))),
            1 => any::<bool>().prop_map(|flag| ("unevaluatedProperties", json!(flag))),
        ];
        (prop::collection::vec(scalar_part(), 0..3), prop::collection::vec(applied, 1..3))
            .prop_map(|(scalars, applied)| object(scalars.into_iter().chain(applied).collect()))
    })
}

fn object(parts: Vec<Part>) -> Value {
    Value::Object(parts.into_iter().map(|(keyword, value)| (keyword.to_owned(), value)).collect())
}

fn members_of(members: Vec<(&str, Value)>) -> Value {
    Value::Object(members.into_iter().map(|(name, part)| (name.to_owned(), part)).collect())
}

/// A whole document: what `#/$defs/x` leads to may lead back to itself.
fn document() -> impl Strategy<Value = Value> {
    (schema(), schema()).prop_map(|(root, inner)| {
        let mut members = match root {
            Value::Object(members) => members,
            other => Map::from_iter([("allOf".to_owned(), json!([other]))]),
        };
        members.insert("$defs".into(), json!({ "x": { "properties": { "a": inner, "c": { "$ref": "#/$defs/x" } } } }));
        Value::Object(members)
    })
}

/// Two schemas of which one is the other with a part changed, so that neither answer is rare.
fn pair() -> impl Strategy<Value = (Value, Value)> {
    let changed = (document(), schema(), any::<prop::sample::Index>()).prop_map(|(one, part, place)| {
        let mut other = one.clone();
        let mut places = Vec::new();
        find_parts(&other, String::new(), &mut places);
        if !places.is_empty() {
            let pointer = &places[place.index(places.len())];
            if let Some(found) = other.pointer_mut(pointer) {
                *found = part;
            }
        }
        (one, other)
    });
    let loosened = (document(), any::<prop::sample::Index>()).prop_map(|(one, place)| {
        let mut other = one.clone();
        if let Value::Object(members) = &mut other {
            let names: Vec<String> = members.keys().filter(|name| *name != "$defs").cloned().collect();
            if !names.is_empty() {
                members.remove(&names[place.index(names.len())]);
            }
        }
        (one, other)
    });
    prop_oneof![2 => (document(), document()), 3 => changed, 2 => loosened]
}

fn find_parts(schema: &Value, pointer: String, places: &mut Vec<String>) {
    let Value::Object(members) = schema else { return };
    for (keyword, member) in members {
        let inner = format!("{pointer}/{}", keyword.replace('~', "~0").replace('/', "~1"));
        match (keyword.as_str(), member) {
            ("properties" | "$defs" | "patternProperties" | "dependentSchemas", Value::Object(parts)) => {
                for (name, part) in parts {
                    let inner = format!("{inner}/{}", name.replace('~', "~0").replace('/', "~1"));
                    places.push(inner.clone());
                    find_parts(part, inner, places);
                }
            }
            ("allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(parts)) => {
                for (number, part) in parts.iter().enumerate() {
                    let inner = format!("{inner}/{number}");
                    places.push(inner.clone());
                    find_parts(part, inner, places);
                }
            }
            ("items" | "additionalProperties" | "not" | "if" | "then" | "else" | "contains" | "propertyNames", _) => {
                places.push(inner.clone());
                find_parts(member, inner, places);
            }
            _ => {}
        }
    }
}

fn check(sub: &Value, sup: &Value, values: &[Value]) -> Result<(), TestCaseError> {
    let (Some(gives), Some(takes)) = (validator(sub), validator(sup)) else { return Ok(()) };
    let (sub_type, sup_type) = (Type::of_schema(sub), Type::of_schema(sup));
    for verdict in [sup_type.admits(&sub_type), sup_type.admits_strictly(&sub_type)] {
        match verdict {
            Verdict::Fits => {
                for value in values.iter().chain(&sub_type.sample()) {
                    prop_assert!(!gives.is_valid(value) || takes.is_valid(value), "said to fit, but {value}\n{sub_type}\n{sup_type}");
                }
            }
            Verdict::Breaks { counterexample: Some(value), .. } => {
                prop_assert!(gives.is_valid(&value), "{value} is not of {sub_type}");
                prop_assert!(!takes.is_valid(&value), "{value} is of {sup_type}");
            }
            Verdict::Breaks { counterexample: None, .. } | Verdict::Unproven { .. } => {}
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn what_fits_fits_and_what_breaks_breaks((one, other) in pair(), values in prop::collection::vec(value(), 40)) {
        check(&one, &other, &values)?;
        check(&other, &one, &values)?;
    }

    #[test]
    fn a_value_is_judged_as_the_validator_judges_it(schema in document(), values in prop::collection::vec(value(), 20)) {
        let Some(validator) = validator(&schema) else { return Ok(()) };
        let admitted = Type::of_schema(&schema);
        for value in &values {
            if let Some(answer) = admitted.contains(value) {
                prop_assert_eq!(answer, validator.is_valid(value), "{} of {}", value, admitted);
            }
        }
        if let Some(sample) = admitted.sample() {
            prop_assert!(validator.is_valid(&sample), "{sample} is not of {admitted}");
        }
    }

    #[test]
    fn every_type_fits_itself_and_a_union_with_another((one, other) in pair()) {
        let (one, other) = (Type::of_schema(&one), Type::of_schema(&other));
        prop_assert!(one.admits_strictly(&one).fits());
        let both = Type::union([one.clone(), other]);
        let verdict = both.admits_strictly(&one);
        prop_assert!(!matches!(verdict, Verdict::Breaks { .. }), "{one} / {both}: {verdict:?}");
    }

    #[test]
    fn what_is_written_back_admits_the_same(schema in document(), values in prop::collection::vec(value(), 20)) {
        let admitted = Type::of_schema(&schema);
        let written = admitted.to_schema();
        let (Some(before), Some(after)) = (validator(&schema), validator(&written)) else {
            prop_assert!(validator(&schema).is_none(), "{written} is not a schema");
            return Ok(());
        };
        // Depends on what stands beside it, so it may be left out.
        let exact = !schema.to_string().contains("unevaluated");
        for value in values.iter().chain(&admitted.sample()) {
            let (was, is) = (before.is_valid(value), after.is_valid(value));
            prop_assert!(was == is || (is && !exact), "{value}: {was} before, {is} after\n{written}");
        }
    }

    #[test]
    fn changes_are_listed_exactly_if_there_are_any((one, other) in pair()) {
        prop_assert_eq!(diff(&one, &one), vec![]);
        let changes = diff(&one, &other);
        let (old, new) = (Type::of_schema(&one), Type::of_schema(&other));
        let same = old.admits_strictly(&new).fits() && new.admits_strictly(&old).fits();
        prop_assert_eq!(changes.is_empty(), same, "{} / {}: {:?}", old, new, changes);
    }
}

/// How often an answer is open says whether the promises above are worth anything.
#[test]
fn few_answers_are_open_and_few_breaks_are_not_shown() {
    let mut runner = TestRunner::deterministic();
    let (mut fits, mut shown, mut not_shown, mut open) = (0, 0, 0, 0);
    for _ in 0..1_000 {
        let (one, other) = pair().new_tree(&mut runner).expect("a pair").current();
        match Type::of_schema(&one).admits_strictly(&Type::of_schema(&other)) {
            Verdict::Fits => fits += 1,
            Verdict::Breaks { counterexample: Some(_), .. } => shown += 1,
            Verdict::Breaks { counterexample: None, .. } => not_shown += 1,
            Verdict::Unproven { .. } => open += 1,
        }
    }
    assert!(fits > 200 && shown > 200 && not_shown < 20 && open < 100, "{fits} {shown} {not_shown} {open}");
}
