//! Every example that ships with the project does what its cases say.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tasker_engine::{Namespace, Workflow};
use tasker_manifest::{Diagnostic, check};
use tasker_rehearsal::{Report, SuiteReport, Workflows, read, workflow_of};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../manifests/examples")
}

fn rendered(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(Diagnostic::render).collect()
}

/// Every manifest of the folder, by file name.
fn manifests() -> BTreeMap<String, Arc<Workflow>> {
    let names =
        std::fs::read_dir(folder()).expect("a folder").map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    let manifests = names.filter(|name| name.ends_with(".yaml") && !name.ends_with(".cases.yaml")).map(|name| {
        let source = std::fs::read_to_string(folder().join(&name)).expect("readable");
        let checked = check(&source, &name, &Namespace::new("default").expect("valid"));
        let manifest = checked.manifest.unwrap_or_else(|| panic!("{}", rendered(&checked.diagnostics)));
        (name, Arc::new(manifest.workflow))
    });
    manifests.collect()
}

/// The report of the cases that stand beside a manifest.
fn suite(file: &str, all: &BTreeMap<String, Arc<Workflow>>) -> SuiteReport {
    let cases = file.replace(".yaml", ".cases.yaml");
    let source = std::fs::read_to_string(folder().join(&cases)).unwrap_or_else(|_| panic!("{file} has no cases: write {cases}"));
    let named = workflow_of(&source, &cases).unwrap_or_else(|found| panic!("{}", rendered(&found)));
    assert!(named.is_none_or(|named| named == file), "{cases} is about another manifest");
    let mut workflows = Workflows::new(all[file].clone());
    all.values().for_each(|other| workflows.add(other.clone()));
    let suite = read(&source, &cases, &all[file]).unwrap_or_else(|found| panic!("{}", rendered(&found)));
    assert!(suite.warnings.is_empty(), "{}", rendered(&suite.warnings));
    SuiteReport::of(&cases, &workflows, &suite.cases, true)
}

#[test]
fn every_example_does_what_its_cases_say() {
    let all = manifests();
    assert!(all.len() >= 2);
    let report = Report::of(all.keys().map(|file| suite(file, &all)).collect());
    let text: String = report.items.iter().map(|suite| suite.render(&|passed| if passed { "ok" } else { "FAILED" }.to_owned())).collect();
    assert_eq!(report.failed, 0, "\n{text}");
    assert!(report.passed >= report.items.len());
    let below: Vec<&str> = report.below(90).map(|suite| suite.workflow.as_str()).collect();
    assert!(below.is_empty(), "the cases of {below:?} take less than 90% of their ways\n{text}");
}

#[test]
fn every_code_of_cases_has_a_page() {
    let pages = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    for code in tasker_rehearsal::CODES {
        let page = std::fs::read_to_string(pages.join(format!("{}.md", code.code))).unwrap_or_else(|_| panic!("{} has no page", code.code));
        assert!(page.starts_with(&format!("# {}\n", code.code)) && page.contains("\n## Cure\n"), "{}", code.code);
    }
}
