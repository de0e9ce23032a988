//! Manifests from strangers: whatever the text is, a check ends with an answer after bounded work.

use proptest::prelude::*;
use std::fmt::Write as _;
use tasker_engine::Namespace;
use tasker_manifest::{BYTES_MAX, Checked, Severity, check};

fn checked(source: &str) -> Checked {
    let checked = check(source, "m.yaml", &Namespace::new("default").expect("valid"));
    let errors = checked.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    assert_eq!(checked.manifest.is_none(), errors, "a manifest is there exactly if nothing is an error");
    assert!(checked.diagnostics.len() <= 101);
    for diagnostic in &checked.diagnostics {
        assert!(diagnostic.excerpt.chars().count() <= 162 && diagnostic.message.chars().count() <= 2_000);
        assert!(diagnostic.line >= 1 && diagnostic.column >= 1 && diagnostic.length >= 1);
        assert!(!diagnostic.render().is_empty());
    }
    checked
}

fn first_code(source: &str) -> String {
    checked(source).diagnostics.first().expect("a problem").code.clone()
}

const HEAD: &str = "name: example\nversion: 1.0.0\nsystems: { shop: {} }\n";

/// Repeats a piece until the manifest is almost as large as is accepted.
fn filled(head: &str, piece: impl Fn(usize) -> String, tail: &str) -> String {
    let mut source = head.to_owned();
    for place in 0.. {
        let piece = piece(place);
        if source.len() + piece.len() + tail.len() > BYTES_MAX {
            break;
        }
        source.push_str(&piece);
    }
    source.push_str(tail);
    source
}

#[test]
fn one_byte_more_than_the_limit_is_refused_unread() {
    assert_eq!(first_code(&"x".repeat(BYTES_MAX + 1)), "manifest.too_large");
    assert_ne!(first_code(&"x".repeat(BYTES_MAX)), "manifest.too_large");
}

/// Each of these is a megabyte made to be slow somewhere. Their work is bounded by the limits named in the crate, so the test
/// asks for the answer that the limit gives, not for a time.
#[test]
fn a_megabyte_of_anything_ends_in_an_answer() {
    let table: [(String, &[&str]); 14] = [
        (filled("a: [", |_| "x,".into(), "]"), &["manifest.too_large"]),
        (filled("a: ", |_| "[".into(), ""), &["manifest.too_deep"]),
        (filled("", |_| "? ".into(), ""), &["manifest.too_deep", "manifest.syntax"]),
        (filled("a: '", |_| "''".into(), "'\n"), &["manifest.unknown_field"]),
        (filled("", |_| "\t".into(), ""), &["manifest.tab_indentation", "manifest.syntax", "manifest.wrong_type"]),
        (filled("", |_| "#\n".into(), ""), &["manifest.wrong_type"]),
        (filled("", |place| format!("k{place}: 1\n"), ""), &["manifest.unknown_field"]),
        (filled("", |place| format!("&a{place} "), ""), &["manifest.syntax"]),
        (filled("", |_| "---\n".into(), ""), &["manifest.several_documents"]),
        (
            filled(&format!("{HEAD}workflow_steps:\n"), |place| format!("- {{name: s{place}, owner: shop, capability: x}}\n"), ""),
            &["manifest.too_many_steps"],
        ),
        (
            filled(
                &format!("{HEAD}workflow_steps:\n- {{name: a, owner: shop, capability: x, input: {{ a: [\n"),
                |place| format!("\"${{task.input.a{place}}}\",\n"),
                "] } }\n",
            ),
            &["manifest.too_many_expressions"],
        ),
        (
            filled(
                &format!("{HEAD}workflow_steps:\n- {{name: a, owner: shop, capability: x, input: {{ a: \""),
                |_| "${".into(),
                "\" } }\n",
            ),
            &["manifest.bad_expression"],
        ),
        (
            filled(
                &format!("{HEAD}workflow_steps:\n- {{name: a, owner: shop, capability: x, input: {{ a: \""),
                |_| "${}".into(),
                "\" } }\n",
            ),
            &["manifest.too_many_expressions"],
        ),
        (
            filled(
                "name: example\nversion: 1.0.0\nworkflow_steps: []\nsystems:\n  shop:\n    capabilities:\n",
                |place| format!("    - {{ name: c{place}, input: {{ pattern: '(?:.{{30}}){{3{place}}}' }} }}\n"),
                "",
            ),
            &["manifest.no_steps"],
        ),
    ];
    let wrong: Vec<String> = table
        .iter()
        .map(|(source, expected)| (source, expected, first_code(source)))
        .filter(|(_, expected, found)| !expected.contains(&found.as_str()))
        .map(|(source, _, found)| format!("{found} for {:?}…", &source[..60]))
        .collect();
    assert_eq!(wrong, [""; 0]);
}

/// Thirty lines that ask for 2^30 evaluations of one literal, and one large contract that ten thousand steps share.
#[test]
fn schemas_that_are_dear_to_use_are_refused_or_shared() {
    let mut multiplying = String::from(
        "name: example\nversion: 1.0.0\nsystems:\n  shop:\n    capabilities:\n    - name: x\n      input:\n        $ref: '#/$defs/d0'\n        $defs:\n",
    );
    for level in 0..30 {
        writeln!(multiplying, "          d{level}: {{ allOf: [{{ $ref: '#/$defs/d{0}' }}, {{ $ref: '#/$defs/d{0}' }}] }}", level + 1)
            .expect("writes");
    }
    multiplying.push_str("          d30: { type: object }\nworkflow_steps:\n- { name: a, owner: shop, capability: x, input: { a: 1 } }\n");
    assert_eq!(first_code(&multiplying), "manifest.bad_schema");

    let values: String = (0..9_000).map(|value| format!("{value},")).collect();
    let mut shared = format!(
        "name: example\nversion: 1.0.0\nsystems:\n  shop:\n    capabilities:\n    - {{ name: x, input: {{ enum: [{values}] }} }}\nworkflow_steps:\n"
    );
    for place in 0..10_000 {
        writeln!(shared, "- {{name: s{place}, owner: shop, capability: x}}").expect("writes");
    }
    assert!(checked(&shared).manifest.is_some());
}

/// Ten thousand steps where each waits for the five before it and some read the first one's result.
#[test]
fn ten_thousand_steps_are_checked() {
    let mut source = format!("{HEAD}workflow_steps:\n- {{name: s0, owner: shop, capability: x}}\n");
    for place in 1..10_000usize {
        let dependencies: Vec<String> = (place.saturating_sub(5)..place).map(|earlier| format!("s{earlier}")).collect();
        let input = if place % 100 == 0 { ", input: '${steps.s0.result}'" } else { "" };
        let dependencies = dependencies.join(",");
        writeln!(source, "- {{name: s{place}, owner: shop, capability: x, depends_on: [{dependencies}]{input}}}").expect("writes");
    }
    assert!(source.len() < BYTES_MAX);
    assert_eq!(checked(&source).manifest.expect("valid").workflow.steps.len(), 10_000);
}

#[test]
fn a_circle_of_ten_thousand_steps_is_named_briefly() {
    let mut source = format!("{HEAD}workflow_steps:\n");
    for place in 0..10_000usize {
        writeln!(source, "- {{name: s{place}, owner: shop, capability: x, depends_on: s{}}}", (place + 1) % 10_000).expect("writes");
    }
    let found = &checked(&source).diagnostics;
    assert_eq!(found.len(), 1);
    assert!(found[0].message.ends_with("(10000 steps in all)"), "{}", found[0].message);
}

#[test]
fn names_that_are_almost_right_cost_no_more_than_the_budget_for_suggestions() {
    let mut source = format!("{HEAD}workflow_steps:\n");
    for place in 0..5_000usize {
        writeln!(source, "- {{name: {:a>50}{place}, owner: shop, capability: x, depends_on: {:a>50}x{place}}}", "", "").expect("writes");
    }
    let checked = checked(&source);
    assert_eq!(checked.diagnostics.len(), 101);
    assert!(checked.diagnostics.iter().any(|diagnostic| diagnostic.fix.is_some()));
}

const VALID: &str = include_str!("../../../manifests/examples/order_processing.yaml");

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_text_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        checked(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn random_yaml_like_text_never_panics(text in "[a-c:{}\\[\\],&*!|>'\"%@`#?~ \\n\\t$\\-.0-9<é\u{feff}]{0,400}") {
        checked(&text);
        checked(&format!("{HEAD}workflow_steps:\n- name: a\n  owner: shop\n  capability: x\n  input:\n    v: {text}\n"));
    }

    #[test]
    fn random_expressions_never_panic(body in "[a-z.+(){}'\"\\[\\] 0-9é,\\\\]{0,200}") {
        let quoted = body.replace('\'', "''");
        checked(&format!("{HEAD}workflow_steps:\n- {{name: a, owner: shop, capability: x, input: {{v: 'é ${{{quoted}}} ${{task.input.x}}'}}}}\n"));
    }

    #[test]
    fn a_mutated_manifest_never_panics(
        cuts in proptest::collection::vec((0usize..VALID.len(), 0usize..40, "[a-z0-9:\\-{}\\[\\]'\"&*!#$\\n \\t<.é]{0,8}"), 1..6)
    ) {
        let mut text = VALID.to_owned();
        for (start, length, put) in cuts {
            let floor = |mut place: usize| {
                place = place.min(text.len());
                while !text.is_char_boundary(place) { place -= 1; }
                place
            };
            let (start, end) = (floor(start), floor(start + length));
            text.replace_range(start..end, &put);
        }
        checked(&text);
    }

    #[test]
    fn lines_in_another_order_never_panic(seed in any::<u64>()) {
        let mut lines: Vec<&str> = VALID.lines().collect();
        let mut state = seed | 1;
        for place in (1..lines.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if state >> 60 < 2 {
                lines.swap(place, (state >> 33) as usize % (place + 1));
            }
        }
        checked(&lines.join("\n"));
    }
}
