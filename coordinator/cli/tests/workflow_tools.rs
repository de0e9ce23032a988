//! What an author has without a server: cases, pictures, sentences, the schema.

mod stage;

use serde_json::{Value, json};
use stage::{Stage, run};
use std::path::{Path, PathBuf};
use tasker_cli::Exit;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../manifests/examples");

fn examples() -> Vec<PathBuf> {
    let paths = std::fs::read_dir(EXAMPLES).expect("the examples are there").map(|entry| entry.expect("readable").path());
    let mut found: Vec<PathBuf> = paths.filter(|path| !path.to_string_lossy().ends_with(".cases.yaml")).collect();
    found.sort();
    found
}

/// A folder with a manifest of one step and two cases, of which one does not hold.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("writable");
    write(
        "greet.yaml",
        "name: greet\nversion: 1.0.0\nsystems: { hello: {} }\nworkflow_steps:\n  - { name: greet, owner: hello, capability: hello.greet, timeout: 5s }\n",
    );
    write(
        "greet.cases.yaml",
        "cases:\n  - { name: everybody is greeted, mocks: { greet: { result: hi } }, expect: { status: succeeded, result: { greet: hi } } }\n  - { name: nobody is greeted twice, mocks: { greet: [{ lost: true }, { result: hi }] }, expect: { attempts: { greet: 1 } } }\n",
    );
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[tokio::test]
async fn the_cases_of_all_examples_hold() {
    let ran = run(&["workflow", "test", EXAMPLES, "--coverage-min", "90"], "").await;
    assert_eq!(ran.exit, Exit::Success, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("✓ a thousand files are converted fifty at a time and loaded in ten batches"), "{}", ran.out);
    assert!(ran.err.contains(" of ") && ran.err.contains(" cases passed"), "{}", ran.err);
}

#[tokio::test]
async fn a_case_that_does_not_hold_is_shown_with_both_sides_and_exits_with_one() {
    let folder = folder();
    let ran = run(&["workflow", "test", text(folder.path())], "").await;
    assert_eq!(ran.exit, Exit::Error);
    insta::assert_snapshot!(ran.out.replace(text(folder.path()), "FOLDER"));
    assert_eq!(ran.err, "1 of 2 cases passed\n");
}

#[tokio::test]
async fn cases_are_chosen_by_name_and_then_coverage_means_nothing() {
    let folder = folder();
    let manifest = folder.path().join("greet.yaml");
    let ran = run(&["workflow", "test", text(&manifest), "--case", "everybody"], "").await;
    assert_eq!(ran.exit, Exit::Success, "{}{}", ran.out, ran.err);
    assert!(!ran.out.contains("coverage") && !ran.out.contains("twice"), "{}", ran.out);
    let none = run(&["workflow", "test", text(&manifest), "--case", "nothing like it"], "").await;
    assert_eq!(none.exit, Exit::Usage, "{}", none.err);
}

#[tokio::test]
async fn coverage_below_what_is_asked_for_exits_with_one() {
    let folder = folder();
    let cases = folder.path().join("greet.cases.yaml");
    std::fs::write(&cases, "cases: [{ name: a, expect: { status: succeeded } }]").expect("writable");
    let enough = run(&["workflow", "test", text(&cases), "--coverage-min", "50"], "").await;
    assert_eq!(enough.exit, Exit::Success, "{}{}", enough.out, enough.err);
    let ran = run(&["workflow", "test", text(&cases), "--coverage-min", "51"], "").await;
    assert_eq!(ran.exit, Exit::Error);
    assert!(ran.err.contains("greet is below the coverage of 51%"), "{}", ran.err);
}

#[tokio::test]
async fn programs_get_the_whole_report() {
    let folder = folder();
    let ran = run(&["workflow", "test", text(folder.path()), "-o", "json"], "").await;
    let report: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!((&report["passed"], &report["failed"]), (&json!(1), &json!(1)));
    assert_eq!(report["items"][0]["cases"][1]["mismatches"][0], json!({ "what": "attempts.greet", "expected": "1", "actual": "2" }));
    assert_eq!(report["items"][0]["coverage"]["missed"], json!(["`greet` runs out of time (`attempt.timeout`)"]));
}

#[tokio::test]
async fn wrong_cases_and_wrong_manifests_are_explained() {
    let folder = folder();
    let cases = folder.path().join("greet.cases.yaml");
    std::fs::write(&cases, "cases: [{ name: a, expct: { status: succeeded } }]").expect("writable");
    let ran = run(&["workflow", "test", text(&cases)], "").await;
    assert_eq!(ran.exit, Exit::Error);
    assert!(
        ran.err.contains("error[manifest.unknown_field]: a case has no field `expct`") && ran.err.contains("has errors"),
        "{}",
        ran.err
    );
    std::fs::write(&cases, "workflow: gret.yaml\ncases: []").expect("writable");
    let ran = run(&["workflow", "test", text(&cases)], "").await;
    assert!(ran.err.contains("gret.yaml: "), "{}", ran.err);
    let empty = tempfile::tempdir().expect("a folder");
    let ran = run(&["workflow", "test", text(empty.path())], "").await;
    assert!(ran.exit == Exit::Error && ran.err.contains("no file ends with .cases.yaml"), "{}", ran.err);
}

#[tokio::test]
async fn every_example_is_told_in_sentences() {
    for path in examples() {
        let ran = run(&["workflow", "explain", text(&path)], "").await;
        assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
        insta::assert_snapshot!(format!("explain_{}", path.file_stem().expect("a name").to_string_lossy()), ran.out);
    }
}

#[tokio::test]
async fn every_example_is_drawn_in_every_notation() {
    for path in examples() {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let mermaid = run(&["workflow", "graph", text(&path)], "").await;
        assert_eq!(mermaid.exit, Exit::Success, "{}", mermaid.err);
        insta::assert_snapshot!(format!("graph_{name}"), mermaid.out);
        let dot = run(&["workflow", "graph", text(&path), "--format", "dot"], "").await;
        assert!(dot.out.starts_with("digraph ") && dot.out.ends_with("}\n"), "{}", dot.out);
        let svg = run(&["workflow", "graph", text(&path), "--format", "svg"], "").await;
        assert!(svg.out.starts_with("<svg ") && svg.out.ends_with("</svg>\n"), "{}", svg.out);
    }
}

#[tokio::test]
async fn a_task_is_drawn_where_it_stands() {
    let source = std::fs::read_to_string(Path::new(EXAMPLES).join("pack_parcel.yaml")).expect("an example");
    let server = Stage::start(move |asked| match asked.path.as_str() {
        "/v1/tasks/tsk_1" => stage::json(
            200,
            json!({ "id": "tsk_1", "workflow": "pack_parcel", "version": "1.0.0", "status": "running", "steps": [
                { "name": "take", "state": "succeeded" }, { "name": "pad", "state": "backing_off", "items": { "over": 2, "count": 5 } }
            ] })
            .to_string(),
        ),
        _ => stage::json(200, json!({ "name": "pack_parcel", "version": "1.0.0", "source": source }).to_string()),
    })
    .await;
    let ran = server.run(&["workflow", "graph", "--task", "tsk_1"]).await;
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    assert!(ran.out.contains("<br/>succeeded\"]") && ran.out.contains("backing off, 2 of 5 items"), "{}", ran.out);
    assert!(ran.out.contains("class s_take good") && ran.out.contains("class s_pad busy"), "{}", ran.out);
}

#[tokio::test]
async fn a_manifest_with_errors_is_neither_drawn_nor_explained() {
    for command in ["graph", "explain"] {
        let ran = run(&["workflow", command, "-"], "name: x\n").await;
        assert_eq!(ran.exit, Exit::Error, "{}", ran.out);
        assert!(ran.err.contains("error[manifest.missing_field]") && ran.out.is_empty(), "{}", ran.err);
    }
}

#[tokio::test]
async fn the_schema_is_the_published_one() {
    let ran = run(&["workflow", "schema"], "").await;
    let published = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/manifest.schema.json")).expect("published");
    assert_eq!(ran.out, published);
}
