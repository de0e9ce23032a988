//! The schema for editors and the checker know the same fields, and neither is stricter about structure than the other.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use tasker_engine::{Namespace, Schema};
use tasker_manifest::reader::Reader;
use tasker_manifest::{check, editor_schema};

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

fn manifests(folder_name: &str) -> Vec<(String, String)> {
    let names = std::fs::read_dir(folder(folder_name)).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut found: Vec<(String, String)> = names
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml") && !path.to_string_lossy().ends_with(".cases.yaml"))
        .map(|path| (path.file_stem().expect("a name").to_string_lossy().into_owned(), std::fs::read_to_string(&path).unwrap_or_default()))
        .collect();
    found.sort();
    found
}

/// The manifest as JSON; none if it is not YAML that a manifest could be.
fn json_of(source: &str) -> Option<Value> {
    let mut reader = Reader::new(source, "m.yaml");
    let json = reader.document().and_then(|root| root.json());
    json.filter(|_| !reader.failed())
}

fn schema() -> Schema {
    Schema::compile(editor_schema()).expect("a schema that is bounded like any other")
}

#[test]
fn the_published_schema_is_the_generated_one() {
    let published = std::fs::read_to_string(folder("docs/manifest.schema.json")).expect("it is published");
    let generated = serde_json::to_string_pretty(&editor_schema()).expect("it prints") + "\n";
    assert!(published == generated, "run: tasker workflow schema > docs/manifest.schema.json");
}

#[test]
fn every_example_fits_the_schema() {
    let schema = schema();
    let examples = manifests("manifests/examples");
    assert!(examples.len() >= 2);
    for (name, source) in examples {
        let violations = schema.violations(&json_of(&source).unwrap_or_else(|| panic!("{name} is not YAML")));
        assert!(violations.is_empty(), "{name}: {violations:#?}");
    }
}

/// Diagnostics that structure alone shows, so that an editor can.
const STRUCTURAL: [&str; 13] = [
    "manifest.unknown_field",
    "manifest.missing_field",
    "manifest.wrong_type",
    "manifest.unknown_choice",
    "manifest.bad_attempts",
    "manifest.bad_duration",
    "manifest.bad_url",
    "manifest.no_steps",
    "manifest.step_without_kind",
    "manifest.several_kinds",
    "manifest.field_of_other_kind",
    "manifest.exactly_one",
    "manifest.bad_rate",
];

#[test]
fn what_structure_shows_is_refused_by_the_schema_as_well() {
    let schema = schema();
    let mut seen = 0;
    for (name, source) in manifests("manifests/invalid").iter().filter(|(name, _)| STRUCTURAL.contains(&name.as_str())) {
        let Some(json) = json_of(source) else { continue };
        seen += 1;
        assert!(!schema.violations(&json).is_empty(), "{name} fits the schema");
    }
    assert!(seen >= 8, "only {seen} of the structural mistakes are in the corpus");
}

#[test]
fn what_only_a_check_shows_is_left_to_the_check() {
    let schema = schema();
    for name in ["cycle", "unknown_owner", "unknown_dependency", "not_a_dependency", "duplicate_step", "undeclared_capability"] {
        let source = std::fs::read_to_string(folder("manifests/invalid").join(format!("manifest.{name}.yaml"))).expect("in the corpus");
        let violations = schema.violations(&json_of(&source).expect("YAML"));
        assert!(violations.is_empty(), "{name}: {violations:?}");
    }
}

/// A manifest with one step that has `body`, and `system` in its system.
fn with(system: &str, body: &str) -> String {
    format!(
        "name: w\nversion: 1.0.0\nsystems:\n  s:\n    base_url: http://s.example.com\n{system}workflow_steps:\n  - name: a\n    owner: s\n    capability: x.y\n  - name: b\n{body}"
    )
}

/// Where each mapping of the language stands in the schema, and a manifest that has a field there which does not exist.
fn places() -> Vec<(&'static str, String)> {
    let step = |body: &str| with("", body);
    let system = |body: &str| with(body, "    owner: s\n    capability: x.y\n");
    let call = "    owner: s\n    capability: x.y\n";
    vec![
        ("", with("", call) + "bogus: 1\n"),
        ("/$defs/identity", with("", call) + "identity: { guid: true, bogus: 1 }\n"),
        ("/$defs/system", system("    bogus: 1\n")),
        ("/$defs/system/properties/canary", system("    canary: { version: '>=1', share: 1, bogus: 1 }\n")),
        ("/$defs/capability/oneOf/1", system("    capabilities: [{ name: x.y, bogus: 1 }]\n")),
        ("/$defs/capability/oneOf/1/properties/http", system("    capabilities: [{ name: x.y, http: { bogus: 1 } }]\n")),
        ("/$defs/capability/oneOf/1/properties/breaker", system("    capabilities: [{ name: x.y, breaker: { bogus: 1 } }]\n")),
        ("/$defs/rate_limit/oneOf/1", system("    rate_limit: { rate: 1/s, bogus: 1 }\n")),
        ("/$defs/keyed_rate/oneOf/1", step(&format!("{call}    rate_limit: {{ rate: 1/s, bogus: 1 }}\n"))),
        ("/$defs/step_concurrency", step(&format!("{call}    concurrency: {{ limit: 1, bogus: 1 }}\n"))),
        ("/$defs/task_concurrency", with("", call) + "concurrency: { limit: 1, bogus: 1 }\n"),
        ("/$defs/priority/oneOf/1", with("", call) + "priority: { min: 1, bogus: 1 }\n"),
        ("/$defs/error", system("    capabilities: [{ name: x.y, errors: { e: { bogus: 1 } } }]\n")),
        ("/$defs/step", step(&format!("{call}    bogus: 1\n"))),
        ("/$defs/retry", step(&format!("{call}    retry: {{ bogus: 1 }}\n"))),
        ("/$defs/timeouts/oneOf/1", step(&format!("{call}    timeout: {{ bogus: 1 }}\n"))),
        ("/$defs/route", step(&format!("{call}    route: {{ bogus: 1 }}\n"))),
        ("/$defs/join/oneOf/4", step(&format!("{call}    depends_on: a\n    join: {{ at_least: 1, bogus: 1 }}\n"))),
        ("/$defs/for_each", step(&format!("{call}    for_each: {{ items: '${{ task.input }}', bogus: 1 }}\n"))),
        (
            "/$defs/for_each/properties/stop/oneOf/2",
            step(&format!("{call}    for_each: {{ items: '${{ task.input }}', stop: {{ failures: 1, bogus: 1 }} }}\n")),
        ),
        ("/$defs/then/oneOf/4", step(&format!("{call}    on_exhausted: {{ fallback: a, bogus: 1 }}\n"))),
        ("/$defs/reaction/oneOf/2", step(&format!("{call}    on_error: {{ e: {{ retry: {{ }}, bogus: 1 }} }}\n"))),
        ("/$defs/child/oneOf/1", step("    workflow: { name: w, bogus: 1 }\n")),
        ("/$defs/wait_for", step("    wait_for: { signal: s, bogus: 1 }\n")),
        ("/$defs/sleep/oneOf/1", step("    sleep: { for: 1s, bogus: 1 }\n")),
        ("/$defs/approval", step("    approval: { title: t, bogus: 1 }\n")),
        ("/$defs/approval/properties/escalate", step("    approval: { title: t, escalate: { after: 1s, to: [a], bogus: 1 } }\n")),
        ("/$defs/switch", step("    switch: { on: '${ task.id }', cases: { a: a }, bogus: 1 }\n")),
    ]
}

#[test]
fn the_schema_and_the_checker_know_the_same_fields_everywhere() {
    let schema = editor_schema();
    for (place, source) in places() {
        let object = schema.pointer(place).unwrap_or_else(|| panic!("{place} is not in the schema"));
        let known: BTreeSet<String> = object["properties"].as_object().unwrap_or_else(|| panic!("{place}")).keys().cloned().collect();
        let checked = check(&source, "m.yaml", &Namespace::new("default").expect("valid"));
        let found = checked.diagnostics.iter().find(|found| found.code == "manifest.unknown_field" && found.message.ends_with("`bogus`"));
        let hint = found.and_then(|found| found.hint.clone()).unwrap_or_else(|| panic!("{place}: {:#?}\n{source}", checked.diagnostics));
        let asked: BTreeSet<String> = hint.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        assert_eq!(known, asked, "{place}");
    }
}

#[test]
fn every_mapping_of_the_schema_is_among_the_places_that_are_compared() {
    fn walk(value: &Value, place: &str, found: &mut BTreeSet<String>) {
        if value["additionalProperties"] == json!(false) {
            found.insert(place.to_owned());
        }
        match value {
            Value::Object(members) => {
                members
                    .iter()
                    .for_each(|(name, member)| walk(member, &format!("{place}/{}", name.replace('~', "~0").replace('/', "~1")), found));
            }
            Value::Array(items) => items.iter().enumerate().for_each(|(number, item)| walk(item, &format!("{place}/{number}"), found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = BTreeSet::new();
    walk(&editor_schema(), "", &mut found);
    let compared: BTreeSet<String> = places().into_iter().map(|(place, _)| place.to_owned()).collect();
    assert_eq!(found, compared);
}

#[test]
fn every_field_says_what_it_is_for() {
    fn walk(value: &Value, place: &str) {
        if let Some(properties) = value["properties"].as_object().filter(|_| value["additionalProperties"] == json!(false)) {
            for (name, property) in properties {
                assert!(property["description"].as_str().is_some_and(|text| text.ends_with('.')), "{place}.{name}");
            }
        }
        match value {
            Value::Object(members) => members.iter().for_each(|(name, member)| walk(member, &format!("{place}/{name}"))),
            Value::Array(items) => items.iter().for_each(|item| walk(item, place)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    walk(&editor_schema(), "");
}

/// Words and fields that no example needs, and why.
const WITHOUT_EXAMPLE: [(&str, &str); 5] = [
    ("queue", "what `on_limit` is unless something else is said"),
    ("all", "what `join` is unless something else is said"),
    ("auto", "what `transport` is unless something else is said"),
    ("attached", "what `mode` is unless something else is said"),
    ("on_failure", "what `stop` is unless something else is said"),
];

#[test]
fn every_field_and_word_of_the_language_is_in_an_example() {
    fn collect(value: &Value, keys: &mut BTreeSet<String>, words: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(key, member)| {
                keys.insert(key.clone());
                collect(member, keys, words);
            }),
            Value::Array(items) => items.iter().for_each(|item| collect(item, keys, words)),
            Value::String(word) => {
                words.insert(word.clone());
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    fn needed(value: &Value, keys: &mut BTreeSet<String>, words: &mut BTreeSet<String>) {
        if value["additionalProperties"] == json!(false) {
            keys.extend(value["properties"].as_object().into_iter().flat_map(|properties| properties.keys().cloned()));
        }
        words.extend(value["const"].as_str().map(str::to_owned));
        match value {
            Value::Object(members) => members.iter().filter(|(key, _)| *key != "not").for_each(|(key, member)| {
                if key != "propertyNames" {
                    needed(member, keys, words);
                }
            }),
            Value::Array(items) => items.iter().for_each(|item| needed(item, keys, words)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let (mut keys, mut words) = (BTreeSet::new(), BTreeSet::new());
    for (_, source) in manifests("manifests/examples") {
        collect(&json_of(&source).expect("YAML"), &mut keys, &mut words);
    }
    let (mut fields, mut choices) = (BTreeSet::new(), BTreeSet::new());
    needed(&editor_schema(), &mut fields, &mut choices);
    let excused = |word: &&String| !WITHOUT_EXAMPLE.iter().any(|(excused, _)| excused == word);
    let missing: Vec<&String> = fields.difference(&keys).chain(choices.difference(&words)).filter(excused).collect();
    assert!(missing.is_empty(), "no example shows {missing:?}");
}
