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

/// Nine thousand steps in the branches of one switch, a switch of as many cases as are accepted, and one with far more.
#[test]
fn giant_switches_are_checked() {
    let steps: String = (0..9_000).map(|place| format!("- {{name: s{place}, owner: shop, capability: x}}\n")).collect();
    let named: Vec<String> = (0..9_000).map(|place| format!("s{place}")).collect();
    let head = |cases: &str| {
        format!("{HEAD}workflow_steps:\n- {{ name: route, switch: {{ on: '${{ task.input.x }}', cases: {{ {cases} }}, default: [] }} }}\n")
    };
    let one = format!("{}{steps}", head(&format!("a: [{}]", named.join(","))));
    let checked_one = checked(&one);
    assert_eq!(checked_one.manifest.expect("valid").workflow.steps[9_000].branches.len(), 1);
    let dealt: Vec<String> = named.chunks(9).enumerate().map(|(case, steps)| format!("c{case}: [{}]", steps.join(","))).collect();
    assert!(checked(&format!("{}{steps}", head(&dealt.join(",")))).manifest.is_some());
    let everything: Vec<String> = (0..1_000).map(|case| format!("c{case}: [s0,s1,s2,s3,s4,s5,s6,s7,s8,s9]")).collect();
    let workflow = checked(&format!("{}{steps}", head(&everything.join(",")))).manifest.expect("valid").workflow;
    assert_eq!(workflow.steps[1].branches.len(), 1_000);
    let many: Vec<String> = (0..20_000).map(|case| format!("c{case}: s0")).collect();
    assert_eq!(first_code(&format!("{}{steps}", head(&many.join(",")))), "manifest.out_of_range");
}

/// Each switch stands in a branch of the one before it, and at the end is a step that needs both branches of every one.
#[test]
fn switches_inside_switches_cost_no_more_than_their_number() {
    let mut source = format!("{HEAD}workflow_steps:\n");
    let depth = 3_000usize;
    for place in 0..depth {
        let next = if place + 1 < depth { format!("[w{}, a{place}]", place + 1) } else { format!("a{place}") };
        writeln!(source, "- {{name: w{place}, switch: {{on: '${{task.input.x}}', cases: {{ p: {next} }}, default: b{place} }} }}")
            .expect("writes");
        writeln!(source, "- {{name: a{place}, owner: shop, capability: x}}\n- {{name: b{place}, owner: shop, capability: x}}")
            .expect("writes");
    }
    let all: Vec<String> = (0..depth).map(|place| format!("a{place}")).collect();
    writeln!(source, "- {{name: all, owner: shop, capability: x, depends_on: [{}]}}", all.join(",")).expect("writes");
    writeln!(source, "- {{name: both, owner: shop, capability: x, depends_on: [a5, b5]}}").expect("writes");
    assert!(source.len() < BYTES_MAX);
    let found = &checked(&source).diagnostics;
    let messages: Vec<&str> = found.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
    assert_eq!(messages, ["step `both` can never run: `a5` runs only in case `p` of `w5`, and `b5` runs only in the default of `w5`"]);
}

/// Every step has a handler, a fallback, an arm for many codes and an expression; none may make the others dear.
#[test]
fn thousands_of_handlers_and_arms_are_checked() {
    let mut source = format!("{HEAD}workflow_steps:\n");
    for place in 0..2_500usize {
        writeln!(source, "- {{name: s{place}, owner: shop, capability: x, compensate: u{place}, on_error: {{ e1: {{fallback: f{place}}}, e2: retry, e3: wait, worker.lost: continue }}, when: '${{ task.input.x > 1 }}' }}").expect("writes");
        writeln!(source, "- {{name: u{place}, owner: shop, capability: x, input: {{ id: '${{ steps.s{place}.result }}', why: '${{ task.error.code }}' }} }}").expect("writes");
        writeln!(source, "- {{name: f{place}, owner: shop, capability: x}}").expect("writes");
    }
    assert!(source.len() < BYTES_MAX);
    let checked = checked(&source);
    assert!(checked.manifest.is_some(), "{:?}", checked.diagnostics.first());
    let circle: String = (0..9_000usize)
        .map(|place| format!("- {{name: s{place}, owner: shop, capability: x, on_exhausted: {{fallback: s{}}} }}\n", (place + 1) % 9_000))
        .collect();
    let codes: Vec<String> =
        self::checked(&format!("{HEAD}workflow_steps:\n{circle}")).diagnostics.into_iter().map(|found| found.code).collect();
    assert_eq!(codes, ["manifest.handler_cycle", "manifest.only_handlers"]);
}

/// Deep nesting in the places that came with the constructs ends where all nesting ends.
#[test]
fn deep_nesting_inside_constructs_is_refused() {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(200), close.repeat(200));
    let places = [
        "wait_for: { signal: go, payload: DEEP }",
        "approval: { title: t, form: DEEP }",
        "approval: { title: t, assignees: DEEP }",
        "switch: { on: '${ task.input.x }', cases: { a: DEEP } }",
        "sleep: DEEP",
        "workflow: DEEP",
        "for_each: DEEP",
        "on_error: { x: DEEP }",
        "route: { labels: DEEP }",
    ];
    for place in places {
        for (open, close) in [("[", "]"), ("{a: ", "}")] {
            let field = place.replace("DEEP", &deep(open, close));
            assert_eq!(first_code(&format!("{HEAD}workflow_steps:\n- {{ name: a, {field} }}\n")), "manifest.too_deep", "{place}");
        }
    }
}

/// Fields of steps, dealt at random: references that lead anywhere, kinds that exclude each other, circles of every sort.
const FIELDS: [&str; 32] = [
    "owner: shop",
    "capability: x",
    "workflow: pack",
    "workflow: { name: pack, mode: detached }",
    "sleep: 5s",
    "sleep: { for: '${ steps.s1.result }' }",
    "wait_for: { event: a.b, key: '${ steps.s2.result.id }' }",
    "wait_for: { signal: go }",
    "approval: { title: '${ task.id } ${ item }', assignees: [a], remind_every: 1h }",
    "switch: { on: '${ steps.s0.status }', cases: { a: s1, b: [s2, s3] }, default: s4 }",
    "switch: { on: '${ 1 }', cases: { 1: s3, 2: s5 } }",
    "depends_on: s0",
    "depends_on: [s1, s2]",
    "depends_on: [s3, s4, s5]",
    "join: any",
    "join: { at_least: 2, others: cancel }",
    "join: done",
    "when: '${ false }'",
    "when: '${ steps.s3.error == null }'",
    "input: { a: '${ item }', b: '${ steps.s1.result }' }",
    "input: '${ task.error }'",
    "timeout: 5s",
    "timeout: { waiting: 1h, total: 2h }",
    "retry: { max_attempts: 3, non_retryable: [e] }",
    "for_each: { items: '${ steps.s0.result }', stop: { failures: 2 } }",
    "on_error: { e: { fallback: s2 }, worker.lost: retry, default: wait }",
    "on_error: { wait.timeout: continue, approval.timeout: { fallback: s5 } }",
    "on_exhausted: { fallback: s3 }",
    "on_exhausted: fail",
    "compensate: s4",
    "compensate: s1",
    "route: { version: '>1', sticky: '${ item_index }' }",
];

/// Every construct once, from the tests of the constructs.
const EVERYTHING: &str = "
name: example
version: 1.0.0
timeout: 20d
deadline: \"${ task.input.due }\"
max_parallel: 20
identity: { fields: [a], window: 1h, on_duplicate: existing }
on_failure: tell
systems:
  shop:
    base_url: https://shop.example.com
    canary: { version: \">=2\", share: 10 }
    capabilities:
      - name: x
        errors: { odd: {}, even: { details: { type: object } } }
        http: { method: POST, path: /a }
        breaker: { failures: 5 }
workflow_steps:
- { name: a, owner: shop, capability: x, route: { version: '>1', labels: { r: eu }, sticky: \"${ task.input.s }\" } }
- { name: b, owner: shop, capability: x, depends_on: a, join: all, when: \"${ task.input.w }\" }
- { name: c, owner: shop, capability: x, compensate: undo, on_error: { odd: wait, even: { retry: { base: 1s } } }, for_each: { items: \"${ task.input.i }\", stop: never, batch_size: 2 } }
- { name: undo, owner: shop, capability: x, on_exhausted: wait }
- { name: tell, owner: shop, capability: x, input: { why: \"${ task.error.code }\" } }
- { name: d, workflow: { name: w, version: 1, mode: attached } }
- { name: e, wait_for: { event: p.q, key: \"${ task.input.k }\", payload: { type: object } }, timeout: 1d }
- { name: f, sleep: 1h }
- { name: g, sleep: { until: \"${ task.input.u }\" } }
- { name: h, approval: { title: \"T ${ task.input.t }\", form: { type: object }, assignees: [p], remind_every: 1h, escalate: { after: 2h, to: [q] } } }
- { name: i, depends_on: h, switch: { on: \"${ steps.h.result.decision }\", cases: { approved: j }, default: [] } }
- { name: j, owner: shop, capability: x }
";

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
    fn a_mutated_manifest_of_every_construct_never_panics(
        cuts in proptest::collection::vec((0usize..EVERYTHING.len(), 0usize..40, "[a-z0-9:\\-{}\\[\\]'\"&*!#$\\n \\t<.é]{0,8}"), 1..6)
    ) {
        let mut text = EVERYTHING.to_owned();
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
    fn steps_whose_fields_were_dealt_anew_never_panic(fields in proptest::collection::vec((0usize..FIELDS.len(), 0usize..FIELDS.len()), 1..40)) {
        let mut source = format!("{HEAD}on_failure: [s0, s1]\nworkflow_steps:\n");
        for (step, chunk) in fields.chunks(4).enumerate() {
            let mut written: Vec<&str> = chunk.iter().flat_map(|(one, other)| [FIELDS[*one], FIELDS[*other]]).collect();
            written.sort_unstable();
            written.dedup_by_key(|field| field.split(':').next().unwrap_or_default().to_owned());
            writeln!(source, "- {{ name: s{step}, {} }}", written.join(", ")).expect("writes");
        }
        checked(&source);
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
