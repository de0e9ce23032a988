//! What the constructs may not say, beside what `manifests/invalid` shows: each row is a small manifest and everything reported about it.

use tasker_engine::Namespace;
use tasker_manifest::check;

/// Every code that is reported, in the order of the source; but not that the one system of these manifests may own nothing.
fn codes(source: &str) -> Vec<String> {
    let checked = check(source, "m.yaml", &Namespace::new("default").expect("valid"));
    checked.diagnostics.into_iter().map(|diagnostic| diagnostic.code).filter(|code| code != "manifest.unused_system").collect()
}

/// Steps of a system that declares nothing.
fn with_steps(steps: &str) -> String {
    format!("name: example\nversion: 1.0.0\nsystems:\n  shop: {{}}\nworkflow_steps:\n{steps}")
}

fn call(name: &str, rest: &str) -> String {
    format!("- {{ name: {name}, owner: shop, capability: x{rest} }}\n")
}

fn switch(name: &str, rest: &str, branches: &str) -> String {
    format!("- {{ name: {name}{rest}, switch: {{ on: \"${{ task.input.x }}\", {branches} }} }}\n")
}

fn table(rows: &[(String, &[&str])]) {
    for (steps, expected) in rows {
        assert_eq!(codes(&with_steps(steps)), *expected, "{steps}");
    }
}

#[test]
fn branches_name_steps_that_exist_and_come_later() {
    table(&[
        (switch("s", "", "cases: { a: b }, default: []") + &call("b", ""), &[]),
        (switch("s", "", "cases: { a: c }, default: []") + &call("b", ""), &["manifest.unknown_dependency"]),
        (switch("s", "", "cases: { a: s }, default: []") + &call("b", ""), &["manifest.self_dependency"]),
        (switch("s", "", "cases: { a: [b, b] }, default: b") + &call("b", ""), &["manifest.duplicate_dependency"]),
        (switch("s", ", depends_on: b", "cases: { a: b }, default: []") + &call("b", ""), &["manifest.cycle"]),
        (switch("s", "", "cases: { a: t }, default: []") + &switch("t", "", "cases: { a: s }, default: []"), &["manifest.cycle"]),
        (switch("s", "", "cases: { a: b, c: 1 }") + &call("b", ""), &["manifest.wrong_type"]),
        (switch("s", "", "cases: { a: b, yes: b }") + &call("b", ""), &["manifest.unquoted_boolean"]),
        (switch("s", "", "cases: { a: b, 007: b }") + &call("b", ""), &["manifest.bad_number"]),
        (switch("s", "", "cases: { 1: b, '1': b }") + &call("b", ""), &["manifest.duplicate_key"]),
    ]);
}

#[test]
fn a_circle_through_a_branch_is_marked_where_the_branch_names_the_step() {
    let source = with_steps(&(call("b", "") + &switch("s", ", depends_on: b", "cases: { a: b }, default: []")));
    let checked = check(&source, "m.yaml", &Namespace::new("default").expect("valid"));
    let found = &checked.diagnostics[0];
    assert_eq!((found.line, found.message.as_str()), (7, "these steps wait for each other: `b` → `s` → `b`"));
    assert_eq!(found.excerpt.chars().skip(found.column - 1).take(found.length).collect::<String>(), "b");
}

#[test]
fn expressions_read_what_comes_before_and_handlers_what_their_owner_may_read() {
    let read = |step: &str| format!(", input: {{ v: \"${{ steps.{step}.result }}\" }}");
    table(&[
        // Through a branch.
        (switch("s", "", "cases: { a: b }, default: []") + &call("b", &read("s")), &[]),
        (switch("s", "", "cases: { a: b }, default: []") + &call("b", "") + &call("c", &(", depends_on: b".to_owned() + &read("s"))), &[]),
        (switch("s", "", "cases: { a: b }, default: []") + &call("b", "") + &call("c", &read("b")), &["manifest.not_a_dependency"]),
        // Handlers.
        (call("a", "") + &call("b", ", depends_on: a, compensate: u") + &call("u", &read("a")), &[]),
        (call("a", "") + &call("b", ", depends_on: a, compensate: u") + &call("u", &read("b")), &[]),
        (call("a", "") + &call("b", ", compensate: u") + &call("u", &read("a")), &["manifest.not_a_dependency"]),
        (call("a", "") + &call("b", ", compensate: u") + &call("u", &read("u")), &["manifest.not_a_dependency"]),
        (
            call("a", "")
                + &call("b", ", depends_on: a, on_exhausted: { fallback: f }")
                + &call("f", ", on_exhausted: { fallback: g }")
                + &call("g", &read("a")),
            &[],
        ),
        (
            call("a", ", on_exhausted: { fallback: f }") + &call("f", "") + &call("b", &(", depends_on: a".to_owned() + &read("f"))),
            &["manifest.reads_handler"],
        ),
        // Names that exist in some places alone.
        (call("a", ", for_each: { items: \"${ task.input.l }\" }, input: { v: \"${ item.x }\", n: \"${ item_index }\" }"), &[]),
        (call("a", ", for_each: { items: \"${ item }\" }"), &["manifest.item_outside_for_each"]),
        (call("a", ", compensate: u") + &call("u", ", when: \"${ task.error.code == 'x' }\""), &[]),
        (
            call("a", ", on_exhausted: { fallback: f }") + &call("f", ", when: \"${ task.error.code == 'x' }\""),
            &["manifest.task_error_outside_handler"],
        ),
        (call("a", ", when: \"${ task.id != '' }\""), &[]),
    ]);
}

#[test]
fn an_on_failure_step_may_read_every_other_step() {
    let source =
        with_steps(&(call("a", "") + &call("t", ", input: { v: \"${ steps.a.error }\" }"))).replace("systems:", "on_failure: t\nsystems:");
    assert_eq!(codes(&source), [""; 0]);
    assert_eq!(codes(&source.replace("steps.a.", "steps.t.")), ["manifest.not_a_dependency"]);
}

#[test]
fn a_result_may_read_a_fallback_but_nothing_that_runs_when_the_task_fails() {
    let source = with_steps(&(call("a", ", on_exhausted: { fallback: f }, compensate: u") + &call("f", "") + &call("u", "")));
    let with = |step: &str| codes(&format!("{source}result: {{ v: \"${{ steps.{step}.status }}\" }}\n"));
    assert_eq!(with("f"), [""; 0]);
    assert_eq!(with("u"), ["manifest.reads_handler"]);
}

#[test]
fn one_handler_may_stand_in_several_arms_of_its_owner() {
    let arms = ", on_error: { a: { fallback: f }, b: { retry: { base: 1s }, then: { fallback: f } }, default: { fallback: f } }";
    table(&[(call("a", arms) + &call("f", ""), &[])]);
}

#[test]
fn handlers_of_handlers_have_an_end() {
    let chain = |length: usize| {
        let mut steps = call("h0", ", on_exhausted: { fallback: h1 }");
        for place in 1..length {
            steps += &call(&format!("h{place}"), &format!(", on_exhausted: {{ fallback: h{} }}", place + 1));
        }
        with_steps(&(steps + &call(&format!("h{length}"), "")))
    };
    assert_eq!(codes(&chain(16)), [""; 0]);
    assert_eq!(codes(&chain(18))[0], "manifest.out_of_range");
}

#[test]
fn fields_of_the_constructs_are_strict() {
    let rest = |field: &str| format!("- {{ name: a, {field} }}\n");
    table(&[
        (rest("sleep: 30"), &["manifest.bad_duration"]),
        (rest("sleep: 0s"), &["manifest.zero_duration"]),
        (rest("sleep: { for: 1h, until: \"${ task.input.x }\" }"), &["manifest.exactly_one"]),
        (rest("sleep: { until: tomorrow }"), &["manifest.not_an_expression"]),
        (rest("sleep: { fro: 1h }"), &["manifest.unknown_field", "manifest.exactly_one"]),
        (rest("wait_for: go"), &["manifest.wrong_type"]),
        (rest("wait_for: { signal: 'a b' }"), &["manifest.bad_name"]),
        (rest("wait_for: { event: a.b }"), &["manifest.missing_field"]),
        (rest("wait_for: { signal: go, payload: { type: strin } }"), &["manifest.bad_schema"]),
        (rest("approval: {}"), &["manifest.missing_field"]),
        (rest("approval: { title: t, assignees: legal }"), &["manifest.wrong_type"]),
        (rest("approval: { title: t, escalate: { after: 1d } }"), &["manifest.missing_field"]),
        (rest("workflow: Pack"), &["manifest.bad_name"]),
        (rest("workflow: { version: 1 }"), &["manifest.missing_field"]),
        (rest("workflow: { name: p, mode: detachd }"), &["manifest.unknown_choice"]),
        (rest("workflow: { name: p, version: 'a b' }"), &["manifest.bad_version"]),
        (call("a", ", join: al"), &["manifest.unknown_choice"]),
        (call("a", ", route: {}"), &["manifest.missing_field"]),
        (call("a", ", route: { labels: { gpu: 1 } }"), &["manifest.wrong_type"]),
        (call("a", ", for_each: { items: \"${ task.input.l }\", stop: nevr }"), &["manifest.unknown_choice"]),
        (call("a", ", on_error: { x: compensat }"), &["manifest.unknown_choice"]),
        (call("a", ", on_error: { 'bad code': wait }"), &["manifest.bad_name"]),
        (call("a", ", on_error: { x: { retry: { max_attempts: 0 } } }"), &["manifest.bad_attempts"]),
        (call("a", ", on_error: { x: { then: wait } }"), &["manifest.missing_field"]),
        (call("a", ", on_exhausted: retry"), &["manifest.unknown_choice"]),
        (call("a", ", on_exhausted: { retry: { base: 1s } }"), &["manifest.unknown_field", "manifest.missing_field"]),
        (call("a", ", compensate: [b]") + &call("b", ""), &["manifest.wrong_type"]),
        (call("a", ", when: \"${ task.input. }\""), &["manifest.bad_expression"]),
    ]);
}

#[test]
fn times_that_the_task_does_not_have_are_refused_and_handlers_have_their_own() {
    let source = |steps: &str| with_steps(steps).replace("systems:", "timeout: 1h\nsystems:");
    let rest = "- { name: a, sleep: 2h }\n";
    assert_eq!(codes(&source(rest)), ["manifest.task_timeout_exceeded"]);
    assert_eq!(codes(&source("- { name: a, wait_for: { signal: x }, timeout: 2h }\n")), ["manifest.task_timeout_exceeded"]);
    assert_eq!(
        codes(&source(&(call("a", ", compensate: u") + &call("u", ", timeout: { total: 2h }")))),
        [""; 0],
        "it runs when the time is over"
    );
    assert_eq!(
        codes(&source(&(call("a", ", on_exhausted: { fallback: u }") + &call("u", ", timeout: 2h")))),
        ["manifest.task_timeout_exceeded"]
    );
}

#[test]
fn codes_that_look_like_the_coordinators_are_corrected_and_a_workers_own_are_not() {
    let found = |code: &str| {
        let source = with_steps(&call("a", &format!(", on_error: {{ {code}: wait }}")));
        check(&source, "m.yaml", &Namespace::new("default").expect("valid")).diagnostics
    };
    for code in ["card_declined", "bank.gone", "http.status_503", "responder.error_429", "worker.lost", "handler.error"] {
        assert_eq!(found(code), [], "{code}");
    }
    let misspelt = &found("attempt.timeot")[0];
    assert_eq!((misspelt.code.as_str(), misspelt.fix.as_deref()), ("manifest.undeclared_error", Some("attempt.timeout")));
    assert_eq!(found("step.waiting_timeout")[0].code, "manifest.impossible_error", "no `timeout.waiting`");
}

#[test]
fn what_a_contract_declares_is_offered_when_a_code_is_misspelt() {
    let source = "
name: example
version: 1.0.0
systems:
  shop:
    capabilities:
    - { name: x, errors: [card_declined, gateway_busy] }
workflow_steps:
- { name: a, owner: shop, capability: x, on_error: { card_declind: wait, worker.lost: wait, default: fail } }
";
    let checked = check(source, "m.yaml", &Namespace::new("default").expect("valid"));
    let found: Vec<(&str, Option<&str>)> =
        checked.diagnostics.iter().map(|diagnostic| (diagnostic.code.as_str(), diagnostic.fix.as_deref())).collect();
    assert_eq!(found, [("manifest.undeclared_error", Some("card_declined"))]);
    let complete = source.replace("card_declind", "card_declined").replace(", default: fail", ", gateway_busy: retry");
    assert_eq!(codes(&complete), [""; 0], "every declared code has its arm");
}

/// The example of the grammar's page: nobody reads `check` but the switch, and every step has its place.
#[test]
fn steps_after_a_switch_are_reachable_by_the_right_join_alone() {
    let source = |join: &str| {
        with_steps(
            &(switch("s", "", "cases: { a: b, c: [d, e] }, default: f")
                + &call("b", "")
                + &call("d", "")
                + &call("e", ", depends_on: d")
                + &call("f", "")
                + &call("g", &format!(", depends_on: [b, e, f]{join}"))),
        )
    };
    assert_eq!(codes(&source("")), ["step.unreachable"]);
    for join in [", join: any", ", join: done", ", join: first", ", join: { at_least: 1 }"] {
        assert_eq!(codes(&source(join)), [""; 0], "{join}");
    }
}

#[test]
fn what_demands_the_same_case_in_two_ways_is_reachable() {
    let steps = switch("s", "", "cases: { a: [b, t], c: d }, default: []")
        + &call("b", "")
        + &call("d", "")
        + &switch("t", "", "cases: { x: e }, default: f").replace("input.x", "input.y")
        + &call("e", "")
        + &call("f", "")
        + &call("g", ", depends_on: [e, b]")
        + &call("h", ", depends_on: [e, d]")
        + &call("i", ", depends_on: [g, f]")
        + &call("j", ", depends_on: [h]");
    let source = with_steps(&steps);
    let checked = check(&source, "m.yaml", &Namespace::new("default").expect("valid"));
    let messages: Vec<&str> = checked.diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "step `h` can never run: `d` runs only in case `c` of `s`, and `e` runs only in case `a` of `s`",
            "step `i` can never run: `f` runs only in the default of `t`, and `g` runs only in case `x` of `t`",
        ]
    );
    assert!(checked.manifest.is_some(), "a step that never runs does no harm");
}
