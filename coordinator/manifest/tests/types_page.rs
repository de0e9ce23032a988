//! What the section on types in `docs/manifest.md` shows is true.

use std::path::PathBuf;
use tasker_engine::Namespace;
use tasker_manifest::{CODES, check};

/// The complete manifests of the section, in order.
fn examples() -> Vec<String> {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/manifest.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let (_, section) = page.split_once("\n## Types\n").expect("the section");
    let section = section.split("\n## ").next().expect("its text");
    section.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().expect("its end").to_owned()).collect()
}

/// The codes that are said about a text.
fn said(text: &str) -> Vec<String> {
    let checked = check(text, "page.yaml", &Namespace::new("default").expect("valid"));
    checked.diagnostics.into_iter().map(|found| found.code).collect()
}

#[test]
fn nothing_is_said_about_the_examples() {
    let examples = examples();
    assert_eq!(examples.len(), 2);
    for example in examples {
        assert_eq!(said(&example), [""; 0], "{example}");
    }
}

#[test]
fn each_guard_of_the_examples_is_needed() {
    let [price, pack] = <[String; 2]>::try_from(examples()).expect("two");
    let changes = [
        (&price, "    when: \"${ has(task.input.coupon) }\"", "    # nothing is asked", "type.optional_read"),
        (&price, "has(steps.discount.result) ? steps.discount.result.percent : 0", "steps.discount.result.percent", "type.optional_read"),
        (&price, "quantity: \"${ task.input.quantity }\"", "quantity: \"${ task.input.quantity - 1 }\"", "manifest.input_mismatch"),
        (&price, "steps.discount.result.percent : 0", "steps.discount.result.percent : 'none'", "manifest.input_mismatch"),
        (&pack, "low: ship, high: hold", "low: ship", "switch.not_exhaustive"),
        (&pack, "high: hold", "hihg: hold", "switch.impossible_case"),
        (&pack, "sku: \"${ item.sku }\"", "sku: \"${ item }\"", "manifest.input_mismatch"),
        (&pack, "line.weight)", "line)", "manifest.input_mismatch"),
    ];
    for (example, from, to, code) in changes {
        assert_eq!(example.matches(from).count(), 1, "{from} is there once");
        assert!(CODES.iter().any(|known| known.code == code));
        let found = said(&example.replace(from, to));
        assert!(found.iter().any(|found| found == code), "{from} → {to}: {found:?}");
    }
}
