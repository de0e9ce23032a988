//! Which worker a step prefers.

use super::scope::TaskScope;
use crate::ids::StepIndex;
use crate::task::Task;
use serde_json::Value;

/// The text by which a step of a task, or an item of a fan-out, prefers a worker: steps with the same key prefer the same one.
///
/// None if its route declares no `sticky` key, or the expression gives `null`, or has no value for this task: a preference that cannot be computed
/// is none, and the step goes to anybody. Values other than texts are written as JSON, so the number `7` and the text `"7"` are the same key.
pub fn sticky_key(task: &Task, step: StepIndex) -> Option<String> {
    let expression = task.definition(step).call()?.route.as_ref()?.sticky.as_ref()?;
    match expression.evaluate(&TaskScope::of(task, step)) {
        Ok(Value::Null) | Err(_) => None,
        Ok(Value::String(text)) => Some(text),
        Ok(other) => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Contract;
    use crate::decide::accept::accept;
    use crate::expression::Expression;
    use crate::ids::{CapabilityName, Digest, Namespace, StepName, SystemName, TaskId, WorkflowName, WorkflowVersion};
    use crate::payload::Payload;
    use crate::reaction::OnError;
    use crate::retry::RetryPolicy;
    use crate::task::{Submission, Trace};
    use crate::time::Timestamp;
    use crate::workflow::{Call, Join, Role, Route, Step, StepKind, Timeouts, Workflow};
    use serde_json::json;
    use smallvec::SmallVec;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    /// One step with the key `sticky`, of a task with the input.
    fn key(sticky: Option<&str>, input: &Value) -> Option<String> {
        let sticky = sticky.map(|source| Expression::compile(source).expect("an expression"));
        let call = Call {
            system: SystemName::new("payments").expect("valid"),
            capability: CapabilityName::new("payment.charge").expect("valid"),
            route: Some(Box::new(Route { version: None, labels: BTreeMap::new(), sticky })),
            limits: None,
        };
        let step = Step {
            name: StepName::new("charge").expect("valid"),
            kind: StepKind::Call(call),
            role: Role::Forward,
            depends_on: SmallVec::new(),
            successors: SmallVec::new(),
            join: Join::All,
            branches: SmallVec::new(),
            when: None,
            for_each: None,
            input: None,
            contract: Contract::default(),
            retry: RetryPolicy::default(),
            timeouts: Timeouts::default(),
            on_error: OnError::default(),
            compensate: None,
        };
        let mut workflow = Workflow {
            namespace: Namespace::new("default").expect("valid"),
            name: WorkflowName::new("order").expect("valid"),
            version: WorkflowVersion::new("1").expect("valid"),
            digest: Digest::of(b"order"),
            input: None,
            result: None,
            timeout: None,
            deadline: None,
            max_parallel: None,
            identity: None,
            flow: crate::flow::WorkflowFlow::default(),
            on_failure: Vec::new(),
            steps: vec![step],
            places: BTreeMap::new(),
        };
        workflow.link();
        let submission = Submission {
            namespace: workflow.namespace.clone(),
            workflow: workflow.digest,
            input: Payload::of(input),
            labels: BTreeMap::new(),
            idempotency_key: None,
            origin: None,
            parent: None,
            priority: crate::flow::Priority::default(),
            concurrency: None,
            trace: Trace { trace_id: [1; 16], parent: None, sampled: true },
        };
        let id = TaskId::from_number(7).expect("not negative");
        let (task, _) = accept(id, &Arc::new(workflow), submission, Vec::new(), Timestamp::from_millis(0)).expect("accepted");
        sticky_key(&task, StepIndex(0))
    }

    #[test]
    fn the_key_is_the_text_of_what_the_expression_gives() {
        let sticky = Some("task.input.customer");
        let table = [
            (json!("c-7"), Some("c-7")),
            (json!(""), Some("")),
            (json!(7), Some("7")),
            (json!(true), Some("true")),
            (json!([1, "a"]), Some(r#"[1,"a"]"#)),
            (Value::Null, None),
        ];
        for (customer, expected) in table {
            assert_eq!(key(sticky, &json!({ "customer": customer })).as_deref(), expected, "{customer}");
        }
    }

    #[test]
    fn without_a_key_or_a_value_for_it_any_worker_will_do() {
        assert_eq!(key(None, &json!({ "customer": "c-7" })), None);
        assert_eq!(key(Some("task.input.customer"), &json!({})), None);
    }
}
