//! `tasker contract …`, `workflow fmt`, `workflow docs` and `system docs`.

mod stage;

use serde_json::{Value, json};
use stage::{Stage, run};
use std::path::{Path, PathBuf};
use tasker_cli::Exit;

const MANIFEST: &str = "\
version: 1.0.0
name: order
systems:
  shop:
    capabilities:
      - name: order.check # first
        input: { type: object, required: [id], properties: { id: { type: string } } }
        result: { type: object, required: [ok], properties: { ok: { type: boolean } } }
        errors: [unknown_order]
      - name: order.close
workflow_steps:
  - name: check
    capability: order.check
    owner: shop
";

/// A folder with files, and their paths as arguments.
struct Folder(tempfile::TempDir);

impl Folder {
    fn of(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        files.iter().for_each(|(name, content)| std::fs::write(folder.path().join(name), content).expect("writable"));
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join(name)).expect("readable")
    }
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test]
async fn fmt_changes_files_and_leaves_formatted_ones_alone() {
    let folder = Folder::of(&[("a.yaml", MANIFEST)]);
    let ran = run(&["workflow", "fmt", &folder.path("a.yaml")], "").await;
    assert_eq!(ran.exit, Exit::Success, "{ran:?}");
    assert_eq!(ran.out.trim_end(), folder.path("a.yaml"));
    let formatted = folder.read("a.yaml");
    assert!(formatted.starts_with("name: order\nversion: 1.0.0\n") && formatted.contains("order.check # first"), "{formatted}");
    let again = run(&["workflow", "fmt", "--check", &folder.path("a.yaml")], "").await;
    assert_eq!((again.exit, again.out.as_str()), (Exit::Success, ""), "{again:?}");
    assert_eq!(std::fs::read_dir(folder.0.path()).expect("readable").count(), 1, "nothing is left beside the file");
}

#[tokio::test]
async fn fmt_check_shows_the_difference_and_changes_nothing() {
    let folder = Folder::of(&[("a.yaml", MANIFEST)]);
    let ran = run(&["workflow", "fmt", "--check", &folder.path("a.yaml")], "").await;
    assert_eq!(ran.exit, Exit::Error);
    assert_eq!(folder.read("a.yaml"), MANIFEST);
    insta::assert_snapshot!("fmt_check", ran.out.replace(&folder.path("a.yaml"), "a.yaml"));
    let ran = run(&["workflow", "fmt", "--check", &folder.path("a.yaml"), "-o", "json"], "").await;
    let report = json_of(&ran.out);
    assert_eq!((&report["changed"], &report["items"][0]["changed"]), (&json!(1), &json!(true)));
}

#[tokio::test]
async fn fmt_is_a_filter_for_standard_input_and_explains_what_it_cannot_read() {
    let ran = run(&["workflow", "fmt", "-"], MANIFEST).await;
    assert!(ran.exit == Exit::Success && ran.out.starts_with("name: order\n"), "{ran:?}");
    let folder = Folder::of(&[("a.yaml", MANIFEST), ("broken.yaml", "a: [1\n")]);
    let ran = run(&["workflow", "fmt", "--stdout", &folder.path("a.yaml")], "").await;
    assert!(ran.out.starts_with("name: order\n") && folder.read("a.yaml") == MANIFEST, "{ran:?}");
    let ran = run(&["workflow", "fmt", &folder.path("broken.yaml")], "").await;
    assert_eq!(ran.exit, Exit::Error);
    assert!(ran.out.contains("error[manifest.syntax]"), "{ran:?}");
    assert_eq!(folder.read("broken.yaml"), "a: [1\n");
}

#[tokio::test]
async fn infer_learns_from_values_and_from_lists_of_values() {
    let ran = run(&["contract", "infer", "-"], "{\"a\": 1}\n{\"a\": 2, \"b\": \"2026-11-21\"}").await;
    assert_eq!(ran.exit, Exit::Success, "{ran:?}");
    let expected = json!({
        "type": "object",
        "required": ["a"],
        "properties": { "a": { "type": "integer" }, "b": { "type": "string", "format": "date" } },
    });
    assert_eq!(json_of(&ran.out), expected);
    assert_eq!(ran.err.trim_end(), "learnt from 2 samples");
    let folder = Folder::of(&[("list.json", "[{\"a\": 1}, {\"a\": 2, \"b\": \"2026-11-21\"}]")]);
    let list = run(&["contract", "infer", "--list", &folder.path("list.json"), "-o", "json"], "").await;
    assert_eq!(json_of(&list.out), expected);
    let plain = run(&["contract", "infer", "--list", "--no-formats", &folder.path("list.json")], "").await;
    assert_eq!(json_of(&plain.out)["properties"]["b"], json!({ "type": "string" }));
    let one = run(&["contract", "infer", &folder.path("list.json")], "").await;
    assert_eq!(json_of(&one.out)["type"], "array");
}

#[tokio::test]
async fn infer_says_why_it_learns_nothing() {
    let none = run(&["contract", "infer", "-"], "").await;
    assert_eq!(none.exit, Exit::Error);
    assert!(none.err.starts_with("error[samples.none]"), "{none:?}");
    let broken = run(&["contract", "infer", "-"], "{\"a\":").await;
    assert!(broken.err.starts_with("error[client.input_unreadable]: <stdin>: not JSON"), "{broken:?}");
    let no_list = run(&["contract", "infer", "--list", "-"], "1").await;
    assert!(no_list.err.contains("leave out --list"), "{no_list:?}");
}

#[tokio::test]
async fn infer_learns_from_recorded_tasks_page_by_page() {
    let stage = Stage::start(|asked| match (asked.path.as_str(), asked.query.contains("cursor=next")) {
        ("/v1/tasks", false) => stage::json(200, r#"{"items":[{"id":"tsk_1","workflow":"order","status":"succeeded"},{"id":"tsk_2","workflow":"order","status":"failed"}],"next_cursor":"next"}"#),
        ("/v1/tasks", true) => stage::json(200, r#"{"items":[{"id":"tsk_3","workflow":"order","status":"succeeded"}]}"#),
        (path, _) => {
            let state = if path.ends_with("tsk_2") { "failed" } else { "succeeded" };
            let extra = if path.ends_with("tsk_3") { r#","note":"x""# } else { "" };
            let result = if state == "succeeded" { format!(r#"{{"ok":true{extra}}}"#) } else { "null".to_owned() };
            stage::json(200, format!(r#"{{"id":"t","workflow":"order","status":"succeeded","steps":[{{"name":"check","state":"{state}","result":{result}}}]}}"#))
        }
    })
    .await;
    let ran = stage.run(&["contract", "infer", "--task-result", "order", "check"]).await;
    assert_eq!(ran.exit, Exit::Success, "{ran:?}");
    let schema = json_of(&ran.out);
    assert_eq!(schema["required"], json!(["ok"]));
    assert_eq!(schema["properties"]["note"], json!({ "type": "string" }));
    assert!(ran.err.contains("learnt from 2 samples"), "{ran:?}");
    let limited = stage.run(&["contract", "infer", "--task-result", "order", "check", "--limit", "1"]).await;
    assert_eq!(json_of(&limited.out)["properties"].as_object().map(serde_json::Map::len), Some(1));
    let unknown = stage.run(&["contract", "infer", "--task-result", "order", "chekc"]).await;
    assert_eq!(unknown.exit, Exit::NotFound);
    assert!(unknown.err.contains("no task of `order` has a step `chekc`"), "{unknown:?}");
}

#[tokio::test]
async fn diff_exits_with_one_if_something_breaks() {
    let folder = Folder::of(&[
        ("old.json", r#"{ "input": { "type": "object", "properties": { "a": { "type": "string" } } }, "errors": ["x"] }"#),
        ("same.yaml", "input: { type: object, properties: { a: { type: string } } }\nerrors: { x: {} }\n"),
        ("narrow.yaml", "input: { type: object, required: [a], properties: { a: { type: string } } }\nerrors: [x, y]\n"),
        ("other.yaml", "inputs: {}\n"),
    ]);
    let diff = async |new: &str| run(&["contract", "diff", &folder.path("old.json"), &folder.path(new)], "").await;
    let same = diff("same.yaml").await;
    assert_eq!(same.exit, Exit::Success, "{same:?}");
    assert!(same.err.contains("1 contract compared: unchanged"), "{same:?}");
    let narrow = diff("narrow.yaml").await;
    assert_eq!(narrow.exit, Exit::Error);
    insta::assert_snapshot!("diff_breaking", format!("{}{}", narrow.out, narrow.err));
    let other = diff("other.yaml").await;
    assert!(other.exit == Exit::Error && other.err.contains("a contract has no field `inputs`"), "{other:?}");
}

#[tokio::test]
async fn diff_compares_every_capability_of_two_manifests() {
    let new = MANIFEST.replace("required: [ok]", "required: []").replace("order.close", "order.open");
    let folder = Folder::of(&[("old.yaml", MANIFEST), ("new.yaml", &new), ("contract.json", "{}")]);
    let (old, new) = (folder.path("old.yaml"), folder.path("new.yaml"));
    let ran = run(&["contract", "diff", &old, &new], "").await;
    assert_eq!(ran.exit, Exit::Error);
    insta::assert_snapshot!("diff_manifests", ran.out);
    let one = run(&["contract", "diff", &old, &new, "--capability", "order.check", "-o", "json"], "").await;
    let answer = json_of(&one.out);
    assert_eq!(answer["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(answer["items"][0]["report"]["result"]["verdict"], "breaking");
    let none = run(&["contract", "diff", &old, &new, "--system", "post"], "").await;
    assert_eq!(none.exit, Exit::NotFound, "{none:?}");
    let mixed = run(&["contract", "diff", &old, &folder.path("contract.json")], "").await;
    assert_eq!(mixed.exit, Exit::Usage, "{mixed:?}");
}

#[tokio::test]
async fn stubs_are_printed_or_written_and_never_overwrite_by_accident() {
    let folder = Folder::of(&[("order.yaml", MANIFEST)]);
    let manifest = folder.path("order.yaml");
    for (language, file) in [("rust", "shop.rs"), ("python", "shop.py"), ("typescript", "shop.ts")] {
        let arguments = ["contract", "stubs", &manifest, "--system", "shop", "--language", language];
        let printed = run(&arguments, "").await;
        assert!(printed.exit == Exit::Success && printed.out.contains("handler.not_written"), "{printed:?}");
        let out = folder.path(".");
        let mut writing = arguments.to_vec();
        writing.extend(["--out", &out]);
        assert_eq!(run(&writing, "").await.exit, Exit::Success);
        assert_eq!(folder.read(file), printed.out);
        let again = run(&writing, "").await;
        assert!(again.exit == Exit::Error && again.err.contains("--force"), "{again:?}");
        writing.push("--force");
        assert_eq!(run(&writing, "").await.exit, Exit::Success);
    }
    let unknown = run(&["contract", "stubs", &manifest, "--system", "shpo", "--language", "rust"], "").await;
    assert!(unknown.exit == Exit::NotFound && unknown.err.contains("it declares shop"), "{unknown:?}");
}

#[tokio::test]
async fn pages_are_printed_as_markdown_or_inside_json() {
    let page = run(&["workflow", "docs", "-"], MANIFEST).await;
    assert_eq!(page.exit, Exit::Success, "{page:?}");
    insta::assert_snapshot!("workflow_docs", page.out);
    let systems = run(&["system", "docs", "-"], MANIFEST).await;
    insta::assert_snapshot!("system_docs", systems.out);
    let one = run(&["system", "docs", "-", "--system", "shop", "-o", "json"], MANIFEST).await;
    assert_eq!(json_of(&one.out)["items"][0]["markdown"], systems.out);
    let broken = run(&["workflow", "docs", "-"], "name: x\n").await;
    assert!(broken.exit == Exit::Error && broken.err.contains("error[manifest.missing_field]"), "{broken:?}");
}

#[tokio::test]
async fn every_example_gives_pages_and_stubs() {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests/examples");
    for entry in std::fs::read_dir(folder).expect("the examples are there") {
        let path = entry.expect("readable").path();
        let file = path.to_str().expect("UTF-8");
        if !file.ends_with(".yaml") || file.ends_with(".cases.yaml") {
            continue;
        }
        assert_eq!(run(&["workflow", "docs", file], "").await.exit, Exit::Success, "{file}");
        let systems = json_of(&run(&["system", "docs", file, "-o", "json"], "").await.out);
        for system in systems["items"].as_array().expect("a list") {
            let name = system["name"].as_str().expect("a name");
            for language in ["rust", "python", "typescript"] {
                let ran = run(&["contract", "stubs", file, "--system", name, "--language", language], "").await;
                assert_eq!(ran.exit, Exit::Success, "{file} {name} {language}: {}", ran.err);
            }
        }
    }
}
