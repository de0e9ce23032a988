//! What waits, chooses, fans out, starts other tasks and undoes what was done is in the one trace of the task, too.

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tasker_integration_tests::coordinator::{Setup, text};
use tasker_integration_tests::otlp::{Received, Receiver};
use tasker_integration_tests::responder::{Reply, Responder};
use tasker_integration_tests::stage::on_stage;

/// The most items of one task that have spans.
const ITEM_SPANS_MAX: usize = 2_000;

const LEAF: &str = "
name: leaf
version: 1.0.0
systems: { plain: { capabilities: [work] } }
workflow_steps:
  - { name: work, owner: plain, capability: work, input: {} }
";

// Steps are named in the order in which they run: spans that begin in the same millisecond are sorted by name.
const TREE: &str = r#"
name: tree
version: 1.0.0
input: { type: object, properties: { list: { type: array } }, required: [list] }
systems: { plain: { capabilities: [work, break, undo] } }
workflow_steps:
  - { name: await_nap, sleep: 1ms }
  - { name: choose, depends_on: await_nap, switch: { on: "${ size(task.input.list) > 0 ? 'some' : 'none' }", cases: { some: each, none: rest } } }
  - { name: rest, sleep: 1ms }
  - { name: each, owner: plain, capability: work, for_each: { items: "${ task.input.list }", max_parallel: 1 }, compensate: undo }
  - { name: fetch, depends_on: each, workflow: leaf }
  - { name: give_up, depends_on: fetch, owner: plain, capability: break, retry: { max_attempts: 1 } }
  - { name: undo, owner: plain, capability: undo, input: {} }
"#;

const EXPECTED: &str = "\
submit (server, tasker)
  task tree (internal, tasker) !no_more
    step await_nap (internal, tasker)
    step choose (internal, tasker)
    step each (internal, tasker)
      step each (internal, tasker)
        publish work (producer, tasker)
      step each (internal, tasker)
        publish work (producer, tasker)
    step fetch (internal, tasker)
      submit (internal, tasker)
        task leaf (internal, tasker)
          step work (internal, tasker)
            publish work (producer, tasker)
    step give_up (internal, tasker) !no_more
      publish break (producer, tasker)
    step undo (internal, tasker)
      publish undo (producer, tasker)
";

fn attribute<'a>(span: &'a Received, name: &str) -> &'a Value {
    span.attributes.get(name).unwrap_or(&Value::Null)
}

#[test]
fn waits_items_children_and_compensation_are_in_the_one_trace() {
    on_stage(async |stage| {
        let receiver = Receiver::start().await?;
        let coordinator = Setup::embedded(stage).traced(&receiver).start(stage).await?;
        let (api, url) = (coordinator.api.clone(), coordinator.setup().worker_url());
        let _work = Responder::start(&url, "plain", "work", |_| Reply::Result(json!({}))).await?;
        let _undo = Responder::start(&url, "plain", "undo", |_| Reply::Result(json!({}))).await?;
        let _break = Responder::start(&url, "plain", "break", |_| Reply::failing("no_more")).await?;
        api.apply(LEAF).await?;
        api.apply(TREE).await?;
        let id = api.submit("tree", json!({ "list": ["a", "b"] })).await?;
        let task = api.finished_as(&id, "failed").await?;
        let trace = receiver.trace_of(text(&task, "trace_id")?, EXPECTED.lines().count()).await?;
        ensure!(trace.tree() == EXPECTED, "the tree should be\n{EXPECTED}but is\n{}", trace.tree());
        let kinds = [("step await_nap", "sleep"), ("step choose", "switch"), ("step fetch", "child"), ("step give_up", "call")];
        for (name, kind) in kinds {
            let span = trace.only(name)?;
            ensure!(attribute(span, "tasker.step.kind") == kind && attribute(span, "tasker.step.role").is_null(), "{span:#?}");
        }
        ensure!(attribute(trace.only("step undo")?, "tasker.step.role") == "compensation", "{:#?}", trace.only("step undo")?);
        let whole = trace.children(&trace.only("task tree")?.id).into_iter().find(|span| span.name == "step each").context("a fan-out")?;
        ensure!(attribute(whole, "tasker.item.index").is_null(), "{whole:#?}");
        let items = trace.children(&whole.id);
        let numbers: BTreeSet<Option<u64>> = items.iter().map(|item| attribute(item, "tasker.item.index").as_u64()).collect();
        ensure!(numbers == BTreeSet::from([Some(0), Some(1)]), "{numbers:?}");
        for item in items {
            ensure!(item.start >= whole.start && item.end <= whole.end, "an item lies within its fan-out: {item:#?}");
        }
        let child = text(&task["children"][0], "task")?;
        ensure!(attribute(trace.only("task leaf")?, "tasker.task.id") == child, "{:#?}", trace.only("task leaf")?);
        Ok(())
    });
}

#[test]
fn a_wide_fan_out_does_not_flood_its_trace() {
    on_stage(async |stage| {
        let receiver = Receiver::start().await?;
        let coordinator = Setup::embedded(stage).traced(&receiver).start(stage).await?;
        let (api, url) = (coordinator.api.clone(), coordinator.setup().worker_url());
        let work = Responder::start(&url, "plain", "work", |_| Reply::Result(json!({}))).await?;
        api.apply(
            r#"
name: wide
version: 1.0.0
input: { type: object, properties: { list: { type: array } }, required: [list] }
systems: { plain: { capabilities: [work] } }
workflow_steps:
  - { name: each, owner: plain, capability: work, for_each: { items: "${ task.input.list }", max_parallel: 20 } }
"#,
        )
        .await?;
        let list: Vec<usize> = (0..ITEM_SPANS_MAX + 100).collect();
        let id = api.submit("wide", json!({ "list": list })).await?;
        let task = api.finished_as(&id, "succeeded").await?;
        // `submit`, `task`, the fan-out, and two spans for each item that has some.
        let expected = 3 + 2 * ITEM_SPANS_MAX;
        let trace = receiver.trace_of(text(&task, "trace_id")?, expected).await?;
        ensure!(trace.spans.len() == expected, "{} spans", trace.spans.len());
        let sampled = |number: usize| {
            let asked = work.asked();
            let request = asked.iter().find(|asked| asked.header("Tasker-Step") == format!("each[{number}]"));
            request.map(|request| request.header("traceparent").ends_with("-01"))
        };
        ensure!(sampled(ITEM_SPANS_MAX - 1) == Some(true), "the last item with a span is sampled");
        ensure!(sampled(ITEM_SPANS_MAX) == Some(false), "whoever works on the items after it is told not to write spans");
        Ok(())
    });
}
