//! The examples that ship with the project are manifests, and mean what their comments say.

use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use tasker_engine::expression::Scope;
use tasker_engine::{Namespace, StepIndex};
use tasker_manifest::{Checked, Manifest, Severity, check};

fn read(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../manifests/examples").join(name);
    std::fs::read_to_string(path).expect("an example")
}

fn checked(name: &str) -> Checked {
    check(&read(name), name, &Namespace::new("default").expect("valid"))
}

fn manifest(name: &str) -> Manifest {
    let checked = checked(name);
    let rendered: String = checked.diagnostics.iter().map(|diagnostic| diagnostic.render()).collect();
    checked.manifest.unwrap_or_else(|| panic!("{name} has errors:\n{rendered}"))
}

#[test]
fn every_example_has_no_errors_and_ours_have_no_warnings() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../manifests/examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        if !name.ends_with(".yaml") || name.ends_with(".cases.yaml") {
            continue;
        }
        seen += 1;
        let checked = checked(&name);
        let rendered: String = checked.diagnostics.iter().map(|diagnostic| diagnostic.render()).collect();
        assert!(checked.manifest.is_some(), "{rendered}");
        // A dependency for the order alone is said, and is right.
        let clean = checked.diagnostics.iter().all(|found| found.severity == Severity::Info);
        assert!(name == "distributed_order_processing.yaml" || clean, "{rendered}");
    }
    assert!(seen >= 2);
}

#[test]
fn the_manifest_of_the_roadmap_runs_unchanged() {
    let manifest = manifest("distributed_order_processing.yaml");
    let workflow = &manifest.workflow;
    assert_eq!(workflow.name.as_str(), "distributed_order_processing");
    assert_eq!(workflow.version.as_str(), "2.0.0");
    let steps: Vec<(&str, &str, &str, Option<u64>)> = workflow
        .steps
        .iter()
        .map(|step| {
            let running = step.timeouts.running.map(|running| running.as_secs());
            let call = step.call().expect("a call");
            (step.name.as_str(), call.system.as_str(), call.capability.as_str(), running)
        })
        .collect();
    assert_eq!(
        steps,
        [
            ("validate_order", "rails_app", "Orders.ValidateOrderHandler", None),
            ("check_inventory", "python_inventory", "inventory.check_stock", Some(30)),
            ("process_payment", "node_payments", "payment.charge", Some(45)),
            ("finalize_order", "rails_app", "Orders.FinalizeOrderHandler", None),
        ]
    );
    assert_eq!(workflow.steps[0].successors.as_slice(), [StepIndex(1)]);
    assert_eq!(workflow.steps[3].depends_on.as_slice(), [StepIndex(2)]);
    assert_eq!(manifest.systems[0].base_url.as_deref(), Some("https://orders.company.com"));
    assert_eq!(manifest.systems[2].capabilities[1].name.as_str(), "payment.refund");
    let rendered: Vec<String> = checked("distributed_order_processing.yaml").diagnostics.iter().map(|d| d.render()).collect();
    insta::assert_snapshot!(rendered.join("\n"));
}

struct Given {
    input: Value,
    results: Value,
}

impl Scope for Given {
    fn task_input(&self) -> &Value {
        &self.input
    }
    fn step_result(&self, step: &str) -> Option<&Value> {
        self.results.get(step)
    }
}

#[test]
fn the_order_workflow_passes_results_that_fit_the_next_contract() {
    let manifest = manifest("order_processing.yaml");
    let workflow = &manifest.workflow;
    assert_eq!(workflow.timeout, Some(Duration::from_secs(120)));
    let scope = Given {
        input: json!({
            "order_id": "536365", "placed_at": "2010-12-01T08:26:00Z", "customer_id": "17850", "country": "United Kingdom",
            "currency": "GBP",
            "lines": [{ "sku": "85123A", "description": null, "quantity": 6, "unit_price": "2.55" }]
        }),
        results: json!({
            "validate_order": {
                "order_id": "536365", "customer_id": "17850", "item_count": 6, "total": "15.30", "currency": "GBP",
                "country": "United Kingdom", "lines": [{ "sku": "85123A", "quantity": 6 }]
            },
            "reserve_stock": { "reservation_id": "res-1", "warehouse": "LDN", "lines": [{ "sku": "85123A", "quantity": 6 }] },
            "charge_payment": { "payment_id": "pay-1", "amount": "15.30", "currency": "GBP" },
            "plan_shipping": { "carrier": "royal_mail", "ship_on": "2010-12-02", "parcels": 1 },
            "finalize_order": { "order_id": "536365", "status": "completed" }
        }),
    };
    for step in &workflow.steps {
        let input = step.input.as_ref().map_or(Ok(scope.input.clone()), |input| input.evaluate(&scope)).expect("has a value");
        let schema = step.contract.input.as_ref().expect("a contract everywhere");
        assert_eq!(schema.violations(&input), [], "input of {}", step.name);
        let result = scope.step_result(step.name.as_str()).expect("a result");
        assert_eq!(step.contract.result.as_ref().expect("a contract everywhere").violations(result), []);
        assert_eq!(step.timeouts.running, Some(Duration::from_secs(10)));
    }
    let result = workflow.result.as_ref().expect("a result mapping").evaluate(&scope).expect("has a value");
    assert_eq!(result["payment_id"], "pay-1");
    let reserve = workflow.find("reserve_stock").expect("there");
    assert_eq!(
        workflow.step(reserve).input.as_ref().expect("mapped").evaluate(&scope).expect("has a value")["lines"],
        json!([{ "sku": "85123A", "quantity": 6 }])
    );
    let (charge, plan) = (workflow.find("charge_payment"), workflow.find("plan_shipping"));
    assert_eq!(workflow.step(reserve).successors.as_slice(), [charge.expect("there"), plan.expect("there")], "in parallel");
}
