//! Rules of the format, each shown on a small manifest.

use std::time::Duration;
use tasker_engine::retry::{Backoff, Jitter, RetryPolicy};
use tasker_engine::{Namespace, StepIndex};
use tasker_manifest::{Checked, Manifest, check};

fn checked(source: &str) -> Checked {
    check(source, "m.yaml", &Namespace::new("default").expect("valid"))
}

fn manifest(source: &str) -> Manifest {
    let checked = checked(source);
    checked.manifest.unwrap_or_else(|| panic!("{:#?}", checked.diagnostics))
}

fn codes(source: &str) -> Vec<String> {
    checked(source).diagnostics.into_iter().map(|diagnostic| diagnostic.code).collect()
}

/// A manifest with one system that declares nothing, and the given steps.
fn with_steps(steps: &str) -> String {
    format!("name: example\nversion: 1.0.0\nsystems:\n  shop: {{}}\nworkflow_steps:\n{steps}")
}

#[test]
fn a_version_keeps_its_source_text() {
    for version in ["1.0", "1.10", "2", "2.0.0", "2026-11-21", "canary-3", "1e3", "0x10"] {
        let source = with_steps("- {name: a, owner: shop, capability: x}\n").replace("1.0.0", version);
        assert_eq!(manifest(&source).workflow.version.as_str(), version);
    }
}

#[test]
fn the_capability_comes_from_any_one_of_three_fields() {
    let table = [
        ("capability: order.check", "order.check"),
        ("event_pattern: 'inventory.check_stock'", "inventory.check_stock"),
        ("handler: 'Orders::ValidateOrderHandler'", "Orders.ValidateOrderHandler"),
        ("handler: validate", "validate"),
    ];
    for (field, expected) in table {
        let manifest = manifest(&with_steps(&format!("- {{name: a, owner: shop, {field}}}\n")));
        assert_eq!(manifest.workflow.steps[0].capability().expect("a call").as_str(), expected);
    }
    assert_eq!(codes(&with_steps("- {name: a, owner: shop, handler: 'A::B', event_pattern: c}\n")), ["manifest.several_capabilities"]);
}

#[test]
fn every_field_of_retry_and_timeout_is_kept() {
    let manifest = manifest(&with_steps(
        "- name: a
  owner: shop
  capability: x
  timeout: { waiting: 5m, running: 30s, total: 10m }
  retry: { kind: fibonacci, base: 200ms, cap: 10s, jitter: full, max_attempts: 7, non_retryable: [card_declined] }
- { name: b, owner: shop, capability: x, timeout: 1m30s, retry: { base: 2m } }
- { name: c, owner: shop, capability: x }
",
    ));
    let [first, second, third] = manifest.workflow.steps.as_slice() else { panic!("three steps") };
    assert_eq!(first.retry.backoff, Backoff::Fibonacci);
    assert_eq!(first.retry.jitter, Jitter::Full);
    assert_eq!((first.retry.base, first.retry.cap), (Duration::from_millis(200), Duration::from_secs(10)));
    assert_eq!(first.retry.attempts_max, 7);
    assert!(first.retry.non_retryable.contains("card_declined"));
    assert_eq!(first.timeouts.waiting, Some(Duration::from_secs(300)));
    assert_eq!(first.timeouts.running, Some(Duration::from_secs(30)));
    assert_eq!(first.timeouts.total, Some(Duration::from_secs(600)));
    assert_eq!(second.timeouts.running, Some(Duration::from_secs(90)));
    assert_eq!(second.retry.cap, Duration::from_secs(120), "never below the base");
    assert_eq!(third.retry, RetryPolicy::default());
    assert_eq!(third.timeouts, Default::default());
}

#[test]
fn a_step_takes_contract_and_running_limit_from_its_capability() {
    let source = "
name: example
version: 1
systems:
  shop:
    capabilities:
      - name: order.check
        timeout: 20s
        input: { type: object }
        errors: [busy]
  bank:
    capabilities: [order.check]
workflow_steps:
  - { name: a, owner: shop, capability: order.check }
  - { name: b, owner: shop, capability: order.check, timeout: 5s }
  - { name: c, owner: bank, capability: order.check }
";
    let workflow = manifest(source).workflow;
    assert_eq!(workflow.steps[0].timeouts.running, Some(Duration::from_secs(20)));
    assert_eq!(workflow.steps[1].timeouts.running, Some(Duration::from_secs(5)));
    assert!(workflow.steps[0].contract.input.is_some() && workflow.steps[0].contract.errors.contains_key("busy"));
    assert!(workflow.steps[2].contract.is_empty() && workflow.steps[2].timeouts.running.is_none(), "another system's");
}

#[test]
fn dependencies_are_one_name_or_a_list_and_are_linked_both_ways() {
    let workflow = manifest(&with_steps(
        "- { name: d, owner: shop, capability: x, depends_on: [c, b] }
- { name: c, owner: shop, capability: x, depends_on: a }
- { name: b, owner: shop, capability: x, depends_on: [a] }
- { name: a, owner: shop, capability: x, depends_on: [] }
",
    ))
    .workflow;
    assert_eq!(workflow.steps[0].depends_on.as_slice(), [StepIndex(1), StepIndex(2)]);
    assert_eq!(workflow.steps[3].successors.as_slice(), [StepIndex(1), StepIndex(2)]);
    assert_eq!(workflow.last_steps().collect::<Vec<_>>(), [StepIndex(0)]);
}

#[test]
fn an_expression_may_read_any_step_that_has_certainly_finished() {
    let steps = |input: &str| {
        with_steps(&format!(
            "- {{ name: a, owner: shop, capability: x }}
- {{ name: b, owner: shop, capability: x, depends_on: a }}
- {{ name: c, owner: shop, capability: x, depends_on: b, input: '{input}' }}
- {{ name: d, owner: shop, capability: x }}
"
        ))
    };
    assert_eq!(codes(&steps("${ steps.a.result.id }")), [""; 0], "through b");
    assert_eq!(codes(&steps("${ steps.b.result }")), [""; 0]);
    assert_eq!(codes(&steps("${ steps.d.result }")), ["manifest.not_a_dependency"]);
    assert_eq!(codes(&steps("${ steps.c.result }")), ["manifest.not_a_dependency"]);
    assert_eq!(codes(&steps("${ steps.e.result }")), ["manifest.unknown_step"]);
}

#[test]
fn the_result_of_the_workflow_may_read_every_step() {
    let source = with_steps("- {name: a, owner: shop, capability: x}\n- {name: b, owner: shop, capability: x}\n");
    let source = format!("{source}result: {{ a: '${{ steps.a.result }}', b: '${{ steps.b.result }}' }}\n");
    assert!(manifest(&source).workflow.result.is_some());
}

#[test]
fn every_circle_is_named_whole_and_once() {
    let source = with_steps(
        "- { name: a, owner: shop, capability: x, depends_on: c }
- { name: b, owner: shop, capability: x, depends_on: a }
- { name: c, owner: shop, capability: x, depends_on: b }
- { name: d, owner: shop, capability: x, depends_on: [a, e] }
- { name: e, owner: shop, capability: x, depends_on: d }
- { name: f, owner: shop, capability: x, depends_on: e }
",
    );
    let messages: Vec<String> = checked(&source).diagnostics.into_iter().map(|diagnostic| diagnostic.message).collect();
    assert_eq!(messages, ["these steps wait for each other: `a` → `c` → `b` → `a`", "these steps wait for each other: `d` → `e` → `d`"]);
}

#[test]
fn all_problems_are_reported_together_in_the_order_of_the_file() {
    let source = "
name: Bad Name
version: 1.0.0
systems: { shop: {} }
workflow_steps:
  - { name: a, owner: shp, capability: x, timeout: 30 }
  - { name: a, owner: shop, capability: x, depends_on: z, input: { b: '${ nope }' } }
";
    assert_eq!(
        codes(source),
        [
            "manifest.bad_name",
            "manifest.unknown_owner",
            "manifest.bad_duration",
            "manifest.duplicate_step",
            "manifest.unknown_dependency",
            "manifest.bad_expression",
        ]
    );
}

#[test]
fn yaml_1_1_words_never_become_booleans() {
    for word in ["no", "No", "NO", "yes", "on", "off", "OFF"] {
        let source = with_steps(&format!("- {{name: a, owner: shop, capability: x, input: {{ country: {word} }} }}\n"));
        assert_eq!(codes(&source), ["manifest.unquoted_boolean"], "{word}");
        let quoted = source.replace(&format!("country: {word}"), &format!("country: '{word}'"));
        assert_eq!(codes(&quoted), [""; 0]);
    }
}

#[test]
fn paths_are_checked_through_references_and_pass_where_schemas_combine() {
    let source = |path: &str| {
        format!(
            "
name: example
version: 1.0.0
input:
  type: object
  additionalProperties: false
  properties:
    order: {{ $ref: '#/$defs/order' }}
    either: {{ anyOf: [{{ type: object }}, {{ type: string }}] }}
    open: {{ type: object }}
  $defs:
    order:
      type: object
      additionalProperties: false
      properties: {{ id: {{ type: string }}, parent: {{ $ref: '#/$defs/order' }} }}
systems: {{ shop: {{}} }}
workflow_steps:
  - {{ name: a, owner: shop, capability: x, input: {{ v: '${{ task.input.{path} }}' }} }}
"
        )
    };
    for path in ["order", "order.id", "order.parent.parent.id", "either.anything", "open.anything.below"] {
        // That a value may be missing is what the types say; here it counts that the path leads somewhere.
        let found = codes(&source(path)).into_iter().filter(|code| code.starts_with("manifest."));
        assert_eq!(found.collect::<Vec<_>>(), [""; 0], "{path}");
    }
    for path in ["ordr", "order.no", "order.id.x", "order.parent.no"] {
        assert_eq!(codes(&source(path)), ["manifest.unknown_path"], "{path}");
    }
}

#[test]
fn the_digest_depends_on_what_is_said_and_not_on_how() {
    let digest = |source: &str| manifest(source).workflow.digest;
    let base = "
name: example
version: 1.0.0
systems:
  shop: { base_url: https://shop.example.com }
workflow_steps:
  - { name: a, owner: shop, capability: x }
  - { name: b, owner: shop, capability: x }
  - name: c
    owner: shop
    capability: x
    depends_on: [a, b]
    input: { id: '${ task.input.id }', n: 1 }
    timeout: 90s
";
    let same = "
# A comment.
version: '1.0.0'
workflow_steps:
- {capability: x, owner: shop, name: a, retry: {max_attempts: 5}}
- {capability: x, owner: shop, name: b, depends_on: []}
- input: {n: 1, id: \"${ task.input.id }\"}
  timeout: {running: 1m30s}
  depends_on: [b, a]
  event_pattern: x
  name: c
  owner: shop
name: example
systems: {shop: {base_url: 'https://shop.example.com', capabilities: []}}
";
    assert_eq!(digest(base), digest(same));
    let other_namespace = check(base, "other.yaml", &Namespace::new("other").expect("valid")).manifest.expect("valid");
    assert_eq!(other_namespace.workflow.digest, digest(base));
    let changes = [
        ("1.0.0", "1.0.1"),
        ("name: example", "name: example2"),
        ("90s", "91s"),
        ("n: 1", "n: 2"),
        ("[a, b]", "[a]"),
        ("shop.example", "shop2.example"),
        ("name: a, owner: shop, capability: x", "name: a, owner: shop, capability: y"),
        ("version:", "description: more\nversion:"),
    ];
    for (from, to) in changes {
        assert_ne!(digest(&base.replace(from, to)), digest(base), "{from} → {to}");
    }
}

/// A stored digest identifies a definition for ever, so the form of what is digested may not change by accident.
#[test]
fn the_digest_of_a_known_manifest_is_known() {
    let manifest = manifest(&with_steps("- {name: a, owner: shop, capability: x}\n"));
    insta::assert_snapshot!(manifest.workflow.digest.to_string());
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_change_nothing() {
    let plain = with_steps("- {name: a, owner: shop, capability: x}\n");
    let windows = format!("\u{feff}{}", plain.replace('\n', "\r\n"));
    assert_eq!(manifest(&plain).workflow.digest, manifest(&windows).workflow.digest);
    let broken = windows.replace("owner: shop", "owner: shp");
    let found = &checked(&broken).diagnostics[0];
    assert_eq!((found.line, found.excerpt.as_str()), (6, "- {name: a, owner: shp, capability: x}"));
}

#[test]
fn a_file_that_holds_no_manifest_is_one_problem() {
    for source in ["", "# nothing\n", "---\n", "hello", "[1, 2]", "null"] {
        assert_eq!(codes(source), ["manifest.wrong_type"], "{source:?}");
    }
}
