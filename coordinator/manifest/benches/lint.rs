//! What a check costs: a manifest of 1,000 steps in which every construct of the language occurs.

use criterion::{Criterion, criterion_group, criterion_main};
use std::fmt::Write as _;
use std::hint::black_box;
use tasker_engine::Namespace;
use tasker_manifest::{Severity, check};

/// One block is ten steps; each begins where the one before it ends.
const BLOCKS: usize = 100;

const HEAD: &str = "name: example
version: 1.0.0
timeout: 30d
max_parallel: 50
identity: { fields: [order.id] }
input:
  type: object
  required: [order, lines]
  properties:
    order: { type: object, required: [id], properties: { id: { type: string }, total: { type: integer } } }
    lines: { type: array, items: { type: object, required: [sku], properties: { sku: { type: string } } } }
systems:
  shop:
    capabilities:
      - name: order.check
        input: { type: object, required: [id], properties: { id: { type: string }, before: {} } }
        result: { type: object, required: [risk, id], properties: { risk: { enum: [low, high] }, id: { type: string } } }
        errors: [unknown_order, shop_busy]
      - { name: order.act, input: { type: object }, result: { type: object, required: [id], properties: { id: { type: string } } }, errors: [refused] }
workflow_steps:
";

fn manifest() -> String {
    let mut text = HEAD.to_owned();
    for block in 0..BLOCKS {
        let (after, before) = match block.checked_sub(1) {
            Some(last) => (format!(", depends_on: close_{last}"), format!("${{ steps.close_{last}.result.id }}")),
            None => (String::new(), "${ task.input.order.id }".to_owned()),
        };
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "- {{ name: check_{block}, owner: shop, capability: order.check{after}, input: {{ id: '${{ task.input.order.id }}', before: '{before}' }}, retry: {{ max_attempts: 5 }}, on_error: {{ unknown_order: fail, shop_busy: {{ retry: {{ base: 5s }}, then: wait }} }} }}
- {{ name: route_{block}, depends_on: check_{block}, switch: {{ on: '${{ steps.check_{block}.result.risk }}', cases: {{ low: each_{block}, high: ask_{block} }}, default: [] }} }}
- {{ name: each_{block}, owner: shop, capability: order.act, for_each: {{ items: '${{ task.input.lines }}', max_parallel: 10, stop: never }}, input: {{ sku: '${{ item.sku }}', number: '${{ item_index }}' }}, on_exhausted: continue }}
- {{ name: ask_{block}, approval: {{ title: 'Order ${{ steps.check_{block}.result.id }}?', assignees: [desk], remind_every: 1d }}, timeout: 3d, on_error: {{ approval.timeout: continue }} }}
- {{ name: pay_{block}, depends_on: [each_{block}, ask_{block}], join: any, owner: shop, capability: order.act, when: \"${{ steps.check_{block}.result.risk == 'low' || steps.ask_{block}.status == 'succeeded' }}\", input: {{ id: '${{ steps.check_{block}.result.id }}', each: '${{ steps.each_{block}.status }}' }}, compensate: undo_{block}, on_error: {{ refused: {{ fallback: owe_{block} }} }} }}
- {{ name: undo_{block}, owner: shop, capability: order.act, input: {{ id: '${{ steps.pay_{block}.result.id }}', why: '${{ task.error.code }}' }} }}
- {{ name: owe_{block}, owner: shop, capability: order.act, input: {{ id: '${{ steps.check_{block}.result.id }}', why: '${{ steps.pay_{block}.error.message }}' }}, on_exhausted: wait }}
- {{ name: paid_{block}, depends_on: pay_{block}, join: done, wait_for: {{ event: payment.settled, key: '${{ task.input.order.id }}' }}, timeout: 5d, on_exhausted: continue }}
- {{ name: pack_{block}, depends_on: paid_{block}, join: done, workflow: pack_order, input: {{ order: '${{ task.input.order }}' }} }}
- {{ name: close_{block}, depends_on: [pack_{block}, check_{block}], owner: shop, capability: order.act, input: {{ id: '${{ steps.check_{block}.result.id }}', packed: '${{ steps.pack_{block}.result }}' }}, route: {{ version: '>=1.4, <3', sticky: '${{ task.input.order.id }}' }} }}
"
        );
    }
    text
}

fn lint(c: &mut Criterion) {
    let text = manifest();
    let namespace = Namespace::new("default").expect("a valid name");
    let checked = check(&text, "bench.yaml", &namespace);
    let errors: String = checked.diagnostics.iter().filter(|found| found.severity == Severity::Error).map(|found| found.render()).collect();
    assert_eq!(errors, "", "a manifest that is refused early costs less");
    assert_eq!(checked.manifest.expect("no errors").workflow.steps.len(), 10 * BLOCKS);
    c.bench_function("lint 1,000 mixed steps", |b| b.iter(|| check(black_box(&text), "bench.yaml", &namespace)));
}

criterion_group!(benches, lint);
criterion_main!(benches);
