//! Every construct of the language, as the workflow it becomes.

use serde_json::json;
use std::time::Duration;
use tasker_engine::reaction::{Exhausted, Reaction};
use tasker_engine::template::Template;
use tasker_engine::transport::{HttpMethod, Transport};
use tasker_engine::workflow::{Branch, IdentityBy, Join, OnDuplicate, Role, SleepFor, Step, StepKind, Stop, WaitSource};
use tasker_engine::{ErrorCode, Namespace, StepIndex};
use tasker_manifest::{Checked, Manifest, check, restore};

fn checked(source: &str) -> Checked {
    check(source, "m.yaml", &Namespace::new("default").expect("valid"))
}

/// A manifest that must be free of any remark.
fn manifest(source: &str) -> Manifest {
    let checked = checked(source);
    let rendered: String = checked.diagnostics.iter().map(|diagnostic| diagnostic.render()).collect();
    assert_eq!(rendered, "", "nothing is to be said");
    checked.manifest.expect("no errors")
}

fn with_steps(steps: &str) -> String {
    format!(
        "name: example\nversion: 1.0.0\nsystems:\n  shop: {{}}\nworkflow_steps:\n- {{ name: check, owner: shop, capability: x }}\n{steps}"
    )
}

/// The steps after the first, which is called `check`.
fn steps(source: &str) -> Vec<Step> {
    manifest(&with_steps(source)).workflow.steps.split_off(1)
}

fn code(text: &str) -> ErrorCode {
    ErrorCode::new(text).expect("valid")
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_workflow_itself_says_how_long_how_wide_and_who() {
    let manifest = manifest(
        "
name: example
version: 1.0.0
description: What it is for.
timeout: 2h
deadline: \"${ task.input.due_at }\"
max_parallel: 20
identity:
  fields: [customer_id, order.id, weird-name.in]
  window: 1h
  on_duplicate: refuse
on_failure: [notify, record]
systems: { shop: {} }
workflow_steps:
- { name: a, owner: shop, capability: x, description: The first. }
- { name: notify, owner: shop, capability: x, input: { why: \"${ task.error.code }\", seen: \"${ steps.a.status }\" } }
- { name: record, owner: shop, capability: x, on_exhausted: wait }
",
    );
    let workflow = &manifest.workflow;
    assert_eq!(workflow.deadline.as_ref().expect("given").source(), "task.input.due_at");
    assert_eq!(workflow.max_parallel, Some(20));
    let identity = workflow.identity.as_ref().expect("given");
    let IdentityBy::Fields(fields) = &identity.by else { panic!("fields") };
    let sources: Vec<&str> = fields.iter().map(|field| field.source()).collect();
    assert_eq!(sources, ["task.input.customer_id", "task.input.order.id", "task.input['weird-name']['in']"]);
    assert_eq!((identity.window, identity.on_duplicate), (secs(3600), OnDuplicate::Refuse));
    assert_eq!(workflow.on_failure, [StepIndex(1), StepIndex(2)]);
    assert_eq!(workflow.steps[1].role, Role::OnFailure);
    assert_eq!(workflow.steps[1].on_error.otherwise, Reaction::Give(Exhausted::Continue), "the default of on_failure steps");
    assert_eq!(workflow.steps[2].on_error.otherwise, Reaction::Give(Exhausted::Wait));
    let descriptions: Vec<(&str, &str)> = manifest.descriptions.iter().map(|(name, said)| (name.as_str(), said.as_str())).collect();
    assert_eq!(descriptions, [("a", "The first.")]);
}

#[test]
fn an_identity_may_be_an_expression_or_none_at_all() {
    let with = |identity: &str| {
        let source = with_steps("").replace("systems:", &format!("identity: {identity}\nsystems:"));
        manifest(&source).workflow.identity.expect("given")
    };
    let expression = with("{ expression: \"${ task.input.a + task.input.b }\" }");
    assert!(matches!(&expression.by, IdentityBy::Expression(given) if given.source() == "task.input.a + task.input.b"));
    assert_eq!((expression.window, expression.on_duplicate), (secs(24 * 3600), OnDuplicate::Existing));
    assert_eq!(with("{ guid: true }").by, IdentityBy::Guid);
}

#[test]
fn systems_say_how_they_are_reached_and_when_they_count_as_broken() {
    let manifest = manifest(
        "
name: example
version: 1.0.0
systems:
  node_payments:
    base_url: https://payments.example.com
    transport: http
    capabilities:
      - name: payment.charge
        http: { method: PUT, path: /v1/charges }
        breaker: { failures: 7, window: 1m, open_for: 20s, probes: 2 }
      - name: payment.refund
        http: {}
        breaker: { failures: 3 }
  fleet:
    canary: { version: \">=2.0.0\", share: 10 }
workflow_steps:
- { name: a, owner: node_payments, capability: payment.charge }
- { name: b, owner: fleet, capability: x, route: { version: \">=1.4, <3\", labels: { region: eu, gpu: 'yes' }, sticky: \"${ task.input.user }\" } }
",
    );
    let [payments, fleet] = manifest.systems.as_slice() else { panic!("two systems") };
    assert_eq!((payments.transport, fleet.transport), (Transport::Http, Transport::Auto));
    let [charge, refund] = payments.capabilities.as_slice() else { panic!("two capabilities") };
    let http = charge.http.as_ref().expect("given");
    assert_eq!((http.method(), http.path()), (HttpMethod::Put, "/v1/charges"));
    let breaker = charge.breaker.expect("given");
    assert_eq!((breaker.failures(), breaker.window(), breaker.open_for(), breaker.probes()), (7, secs(60), secs(20), 2));
    let http = refund.http.as_ref().expect("given");
    assert_eq!((http.method(), http.path()), (HttpMethod::Post, "/capabilities/payment.refund"));
    assert_eq!(refund.breaker.expect("given").window(), secs(30), "the default");
    let canary = fleet.canary.as_ref().expect("given");
    assert_eq!((canary.version().as_str(), canary.share()), (">=2.0.0", 10));
    let route = manifest.workflow.steps[1].call().expect("a call").route.as_deref().expect("given").clone();
    assert_eq!(route.version.expect("given").as_str(), ">=1.4, <3");
    assert_eq!(route.labels.into_iter().collect::<Vec<_>>(), [("gpu".into(), "yes".into()), ("region".into(), "eu".into())]);
    assert_eq!(route.sticky.expect("given").source(), "task.input.user");
}

#[test]
fn a_child_task_is_attached_and_tried_once_unless_it_says_otherwise() {
    let steps = steps(
        "- { name: plain, workflow: pack_order }
- { name: full, workflow: { name: pack_order, version: 1.0, mode: detached }, input: { id: 1 } }
- { name: retried, workflow: { name: pack_order, mode: attached }, retry: { base: 1s }, timeout: 5m }
",
    );
    let child = |step: &Step| match &step.kind {
        StepKind::Child(child) => child.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((child(&steps[0]).workflow.as_str(), child(&steps[0]).version, child(&steps[0]).detached), ("pack_order", None, false));
    assert_eq!(steps[0].retry.attempts_max, 1);
    assert_eq!(child(&steps[1]).version.expect("given").as_str(), "1.0");
    assert!(child(&steps[1]).detached && !child(&steps[2]).detached);
    assert_eq!((steps[2].retry.attempts_max, steps[2].timeouts.running), (5, Some(secs(300))));
}

#[test]
fn waits_sleeps_and_approvals_wait_as_long_as_they_say() {
    let steps = steps(
        "- { name: signal, wait_for: { signal: go_on }, timeout: 1h }
- name: event
  wait_for: { event: payment.settled, key: \"${ task.input.order_id }\", payload: { type: object } }
  timeout: { waiting: 3d }
- { name: fixed, sleep: 30d }
- { name: written, sleep: { for: 2h } }
- { name: computed, sleep: { for: \"${ task.input.pause }\" } }
- { name: until, sleep: { until: \"${ task.input.at }\" } }
- name: approve
  approval:
    title: \"Approve ${ task.input.title }\"
    description: Plain words.
    form: { type: object }
    assignees: [legal, \"${ task.input.owner }\"]
    remind_every: 1d
    escalate: { after: 3d, to: [head] }
  timeout: 14d
",
    );
    assert!(matches!(&steps[0].kind, StepKind::Wait(wait) if wait.source == WaitSource::Signal("go_on".into()) && wait.payload.is_none()));
    assert_eq!((steps[0].timeouts.waiting, steps[0].timeouts.running), (Some(secs(3600)), None));
    let StepKind::Wait(event) = &steps[1].kind else { panic!("a wait") };
    assert!(matches!(&event.source, WaitSource::Event { name, key } if name == "payment.settled" && key.source() == "task.input.order_id"));
    assert_eq!(event.payload.as_ref().expect("given").source(), &json!({ "type": "object" }));
    assert_eq!(steps[1].timeouts.waiting, Some(secs(3 * 24 * 3600)));
    assert_eq!(steps[2].kind, StepKind::Sleep(SleepFor::Fixed(secs(30 * 24 * 3600))));
    assert_eq!(steps[3].kind, StepKind::Sleep(SleepFor::Fixed(secs(7200))));
    assert!(matches!(&steps[4].kind, StepKind::Sleep(SleepFor::For(given)) if given.source() == "task.input.pause"));
    assert!(matches!(&steps[5].kind, StepKind::Sleep(SleepFor::Until(given)) if given.source() == "task.input.at"));
    let StepKind::Approval(approval) = &steps[6].kind else { panic!("an approval") };
    assert!(matches!(&approval.title, Template::Text(parts) if parts.len() == 2));
    assert_eq!(approval.description, Some(Template::Literal(json!("Plain words."))));
    assert_eq!((approval.assignees.len(), approval.remind_every), (2, Some(secs(24 * 3600))));
    let escalate = approval.escalate.as_ref().expect("given");
    assert_eq!((escalate.after, &escalate.to[0]), (secs(3 * 24 * 3600), &Template::Literal(json!("head"))));
    assert!(approval.form.is_some());
    assert_eq!(steps[6].timeouts.waiting, Some(secs(14 * 24 * 3600)));
}

#[test]
fn a_switch_takes_its_branches_behind_it_and_tells_numbers_from_texts() {
    let workflow = manifest(&with_steps(
        "- name: route
  depends_on: check
  switch:
    on: \"${ steps.check.result.risk }\"
    cases: { 1: ship, '2': [review, hold], true: ship, null: [] }
    default: hold
- { name: ship, owner: shop, capability: x }
- { name: review, owner: shop, capability: x, input: { risk: \"${ steps.check.result.risk }\", case: \"${ steps.route.result.case }\" } }
- { name: hold, owner: shop, capability: x, depends_on: [check] }
",
    ))
    .workflow;
    let StepKind::Switch(switch) = &workflow.steps[1].kind else { panic!("a switch") };
    let cases: Vec<(&str, &serde_json::Value)> = switch.cases.iter().map(|case| (case.name.as_str(), &case.value)).collect();
    assert_eq!(cases, [("1", &json!(1)), ("2", &json!("2")), ("true", &json!(true)), ("null", &json!(null))]);
    assert!(switch.has_default);
    let branch = |case| Branch { switch: StepIndex(1), case };
    assert_eq!(workflow.steps[2].branches.as_slice(), [branch(0), branch(2)]);
    assert_eq!(workflow.steps[3].branches.as_slice(), [branch(1)]);
    assert_eq!(workflow.steps[4].branches.as_slice(), [branch(1), branch(4)]);
    assert_eq!(workflow.steps[2].depends_on.as_slice(), [StepIndex(1)], "the switch comes before its branches");
    assert_eq!(workflow.steps[4].depends_on.as_slice(), [StepIndex(0), StepIndex(1)]);
    assert_eq!(workflow.steps[1].successors.as_slice(), [StepIndex(2), StepIndex(3), StepIndex(4)]);
}

#[test]
fn every_join_is_read() {
    let joins = [
        ("all", Join::All),
        ("any", Join::Any),
        ("done", Join::Done),
        ("first", Join::AtLeast { count: 1, cancel_others: false }),
        ("{ first: cancel }", Join::AtLeast { count: 1, cancel_others: true }),
        ("{ at_least: 2 }", Join::AtLeast { count: 2, cancel_others: false }),
        ("{ at_least: 2, others: cancel }", Join::AtLeast { count: 2, cancel_others: true }),
    ];
    for (written, expected) in joins {
        let source = format!(
            "- {{ name: b, owner: shop, capability: x }}\n- {{ name: c, owner: shop, capability: x, depends_on: [check, b], join: {written}, when: \"${{ has(task.input.x) }}\" }}\n"
        );
        let steps = steps(&source);
        assert_eq!(steps[1].join, expected, "{written}");
        assert_eq!(steps[1].when.as_ref().expect("given").source(), "has(task.input.x)");
    }
}

#[test]
fn every_stop_of_a_fan_out_is_read() {
    let stops = [
        ("", Stop::OnFailure),
        (", stop: on_failure", Stop::OnFailure),
        (", stop: never", Stop::Never),
        (", stop: { failures: 3 }", Stop::Failures(3)),
        (", stop: { successes: 1 }", Stop::Successes(1)),
    ];
    for (written, expected) in stops {
        let source = format!(
            "- {{ name: resize, owner: shop, capability: x, for_each: {{ items: \"${{ task.input.images }}\", max_parallel: 50, batch_size: 10{written} }}, input: {{ paths: \"${{ item }}\", number: \"${{ item_index }}\" }} }}\n"
        );
        let for_each = steps(&source)[0].for_each.as_deref().expect("given").clone();
        assert_eq!(for_each.stop, expected, "{written}");
        assert_eq!((for_each.max_parallel, for_each.batch_size, for_each.items.source()), (Some(50), Some(10), "task.input.images"));
    }
    let plain = steps("- { name: each, workflow: one_line, for_each: { items: \"${ task.input.lines }\" } }\n");
    assert_eq!(plain[0].input, None, "the item is sent as it is");
    assert_eq!(plain[0].for_each.as_deref().expect("given").max_parallel, None);
}

#[test]
fn every_reaction_is_read() {
    let workflow = manifest(&with_steps(
        "- name: charge
  owner: shop
  capability: x
  compensate: refund
  retry: { max_attempts: 3 }
  on_error:
    card_declined: compensate
    rate_limited: { retry: { kind: fixed, base: 5s, max_attempts: 20 }, then: wait }
    gateway_down: { fallback: by_invoice }
    address_unknown: wait
    newsletter_failed: continue
    fatal: fail
    flaky: retry
    worker.lost: { retry: { base: 1s }, then: { fallback: by_invoice } }
    default: { fallback: by_invoice }
- { name: refund, owner: shop, capability: x, input: { id: \"${ steps.charge.result.id }\", why: \"${ task.error.code }\" } }
- { name: by_invoice, owner: shop, capability: x, input: { why: \"${ steps.charge.error.code }\" }, compensate: unbill }
- { name: unbill, owner: shop, capability: x, input: { bill: \"${ steps.by_invoice.result.id }\" }, on_exhausted: continue }
",
    ))
    .workflow;
    let charge = &workflow.steps[1];
    let by_invoice = Exhausted::Fallback(StepIndex(3));
    let reaction = |text: &str| charge.on_error.arms.get(&code(text)).expect("an arm").clone();
    assert_eq!(reaction("card_declined"), Reaction::Give(Exhausted::Compensate));
    assert_eq!(reaction("gateway_down"), Reaction::Give(by_invoice));
    assert_eq!(reaction("address_unknown"), Reaction::Give(Exhausted::Wait));
    assert_eq!(reaction("newsletter_failed"), Reaction::Give(Exhausted::Continue));
    assert_eq!(reaction("fatal"), Reaction::Give(Exhausted::Fail));
    assert_eq!(reaction("flaky"), Reaction::Retry { policy: None, then: Exhausted::Compensate });
    let Reaction::Retry { policy: Some(policy), then: Exhausted::Wait } = reaction("rate_limited") else { panic!("a retry") };
    assert_eq!((policy.base, policy.attempts_max), (secs(5), 20));
    assert_eq!(reaction("worker.lost").exhausted(), by_invoice);
    assert_eq!(charge.on_error.otherwise, Reaction::Give(by_invoice));
    assert_eq!(charge.compensate, Some(StepIndex(2)));
    assert_eq!(workflow.steps[2].role, Role::Compensation { of: StepIndex(1) });
    assert_eq!(workflow.steps[2].on_error.otherwise, Reaction::Give(Exhausted::Wait), "the default of compensation");
    assert_eq!(workflow.steps[3].role, Role::Fallback { of: StepIndex(1) });
    assert_eq!(workflow.steps[3].on_error.otherwise, Reaction::Give(Exhausted::Compensate));
    assert_eq!(workflow.steps[4].on_error.otherwise, Reaction::Give(Exhausted::Continue));
    assert_eq!(workflow.steps[0].on_error.otherwise, Reaction::Give(Exhausted::Compensate), "the default of any other");
}

#[test]
fn what_is_said_of_a_wait_and_of_a_fallback_of_a_compensation_follows_their_role() {
    let workflow = manifest(&with_steps(
        "- { name: wait, depends_on: check, wait_for: { signal: go }, timeout: 1d, on_error: { wait.timeout: continue } }
- { name: charge, owner: shop, capability: x, compensate: refund }
- { name: refund, owner: shop, capability: x, on_exhausted: { fallback: ask } }
- { name: ask, approval: { title: \"Refund ${ steps.charge.result.id }, because ${ task.error.message }?\" } }
",
    ))
    .workflow;
    assert_eq!(workflow.steps[1].on_error.arms[&code("wait.timeout")], Reaction::Give(Exhausted::Continue));
    assert_eq!(workflow.steps[4].role, Role::Fallback { of: StepIndex(3) });
    assert_eq!(workflow.steps[4].on_error.otherwise, Reaction::Give(Exhausted::Wait), "as the compensation it belongs to");
}

#[test]
fn every_construct_is_part_of_the_digest() {
    let base = "
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
    transport: auto
    canary: { version: \">=2\", share: 10 }
    capabilities:
      - name: x
        http: { method: POST, path: /a }
        breaker: { failures: 5 }
workflow_steps:
- { name: a, owner: shop, capability: x, description: First., route: { version: '>1', labels: { r: eu }, sticky: \"${ task.input.s }\" } }
- { name: b, owner: shop, capability: x, depends_on: a, join: all, when: \"${ task.input.w }\" }
- { name: c, owner: shop, capability: x, compensate: undo, on_error: { odd: wait, even: { retry: { base: 1s } } }, for_each: { items: \"${ task.input.i }\", stop: never, batch_size: 2, max_parallel: 3 } }
- { name: undo, owner: shop, capability: x, on_exhausted: wait }
- { name: tell, owner: shop, capability: x }
- { name: d, workflow: { name: w, version: 1, mode: attached } }
- { name: e, wait_for: { event: p.q, key: \"${ task.input.k }\", payload: { type: object } }, timeout: 1d }
- { name: f, sleep: 1h }
- { name: g, sleep: { until: \"${ task.input.u }\" } }
- { name: h, approval: { title: \"T ${ task.input.t }\", description: D, form: { type: object }, assignees: [p], remind_every: 1h, escalate: { after: 2h, to: [q] } } }
- { name: i, switch: { on: \"${ task.input.o }\", cases: { 1: j }, default: [] } }
- { name: j, owner: shop, capability: x }
";
    let digest = |source: &str| manifest(source).workflow.digest;
    let changes = [
        ("input.due ", "input.due2 "),
        ("max_parallel: 20", "max_parallel: 21"),
        ("fields: [a]", "fields: [b]"),
        ("window: 1h", "window: 2h"),
        ("on_duplicate: existing", "on_duplicate: refuse"),
        ("on_failure: tell", "on_failure: [tell, f]"),
        ("transport: auto", "transport: http"),
        (">=2", ">=3"),
        ("share: 10", "share: 11"),
        ("method: POST", "method: PUT"),
        ("path: /a", "path: /b"),
        ("failures: 5", "failures: 6"),
        ("First.", "Second."),
        ("'>1'", "'>2'"),
        ("r: eu", "r: us"),
        ("input.s ", "input.s2 "),
        ("join: all", "join: any"),
        ("input.w ", "input.w2 "),
        ("odd: wait", "odd: fail"),
        ("base: 1s", "base: 2s"),
        ("on_exhausted: wait", "on_exhausted: continue"),
        ("compensate: undo, ", ""),
        ("input.i ", "input.i2 "),
        ("stop: never", "stop: { failures: 2 }"),
        ("batch_size: 2", "batch_size: 3"),
        ("max_parallel: 3", "max_parallel: 4"),
        ("name: w,", "name: v,"),
        ("version: 1,", "version: 2,"),
        ("mode: attached", "mode: detached"),
        ("event: p.q", "event: p.r"),
        ("input.k ", "input.k2 "),
        ("payload: { type: object }", "payload: { type: array }"),
        ("timeout: 1d", "timeout: 2d"),
        ("sleep: 1h", "sleep: 2h"),
        ("until:", "for:"),
        ("title: \"T ", "title: \"U "),
        ("description: D", "description: E"),
        ("form: { type: object }", "form: { type: array }"),
        ("assignees: [p]", "assignees: [r]"),
        ("remind_every: 1h", "remind_every: 2h"),
        ("after: 2h", "after: 3h"),
        ("to: [q]", "to: [s]"),
        ("input.o ", "input.o2 "),
        ("cases: { 1: j }", "cases: { '1': j }"),
        ("default: []", "default: j"),
    ];
    let before = digest(base);
    for (from, to) in changes {
        assert_eq!(base.matches(from).count(), 1, "{from} is there once");
        // Some changes leave something behind that is worth a remark, but never an error.
        let mut changed = base.replace(from, to);
        if to == "transport: http" {
            changed = changed.replace(", route: { version: '>1', labels: { r: eu }, sticky: \"${ task.input.s }\" }", "");
            changed = changed.replace("canary: { version: \">=2\", share: 10 }", "");
        }
        let after = checked(&changed).manifest.unwrap_or_else(|| panic!("{from} → {to}: {:#?}", checked(&changed).diagnostics));
        assert_ne!(after.workflow.digest, before, "{from} → {to}");
    }
}

#[test]
fn what_was_accepted_once_is_restored_although_the_check_has_learnt_more() {
    let namespace = Namespace::new("default").expect("valid");
    let source =
        with_steps("- { name: b, owner: shop, capability: x, depends_on: check, when: \"${ steps.check.status == 'failed' }\" }\n");
    assert!(checked(&source).manifest.is_none(), "under `all` the step before has succeeded");
    let restored = restore(&source, "stored.yaml", &namespace);
    assert_eq!(restored.diagnostics, []);
    assert_eq!(restored.manifest.expect("there").workflow.steps.len(), 2);
    let sound = with_steps("");
    assert_eq!(restore(&sound, "stored.yaml", &namespace).manifest, checked(&sound).manifest, "the same, digest and all");
    assert!(restore(&sound.replace("owner: shop", "owner: shp"), "stored.yaml", &namespace).manifest.is_none(), "an error stays one");
}
