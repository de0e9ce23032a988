//! What works without a server: lint, help, completion.

mod stage;

use stage::run;
use std::io::Write;
use tasker_cli::Exit;

/// Refused by any version of the manifest's grammar: it is not even YAML.
const BROKEN: &str = "name: [unclosed\n";

fn file(content: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a temporary file");
    file.write_all(content.as_bytes()).expect("writable");
    file
}

#[tokio::test]
async fn a_broken_manifest_is_explained_and_exits_with_one() {
    let manifest = file(BROKEN);
    let path = manifest.path().to_str().expect("UTF-8");
    let ran = run(&["workflow", "lint", path], "").await;
    assert_eq!(ran.exit, Exit::Error);
    assert!(ran.out.contains("error[") && ran.out.contains(path), "{}", ran.out);
    assert!(ran.err.starts_with("1 manifest checked: 1 error"), "{}", ran.err);
}

#[tokio::test]
async fn lint_reads_standard_input_and_counts_over_all_files() {
    let manifest = file(BROKEN);
    let ran = run(&["workflow", "lint", "-", manifest.path().to_str().expect("UTF-8"), "-o", "json"], BROKEN).await;
    assert_eq!(ran.exit, Exit::Error);
    let report: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(report["files"], 2);
    assert_eq!(report["errors"], 2);
    assert_eq!(report["items"][0]["file"], "<stdin>");
    assert_eq!(report["items"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn lint_as_json_lines_prints_a_diagnostic_per_line() {
    let ran = run(&["workflow", "lint", "-", "-o", "jsonl"], BROKEN).await;
    let first: serde_json::Value = serde_json::from_str(ran.out.lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["severity"], "error");
}

#[tokio::test]
async fn the_example_manifests_pass() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../manifests/examples");
    for entry in std::fs::read_dir(examples).expect("the examples are there") {
        let path = entry.expect("readable").path();
        if path.to_str().is_some_and(|path| path.ends_with(".cases.yaml")) {
            continue;
        }
        let ran = run(&["workflow", "lint", path.to_str().expect("UTF-8")], "").await;
        assert_eq!(ran.exit, Exit::Success, "{}{}", ran.out, ran.err);
    }
}

#[tokio::test]
async fn a_missing_file_is_named() {
    let ran = run(&["workflow", "lint", "no/such/order.yaml"], "").await;
    assert_eq!(ran.exit, Exit::Error);
    assert!(ran.err.starts_with("error[client.input_unreadable]: no/such/order.yaml: "), "{}", ran.err);
}

#[tokio::test]
async fn quiet_leaves_out_remarks_and_keeps_the_data() {
    let ran = run(&["-q", "workflow", "lint", "-"], BROKEN).await;
    assert!(!ran.out.is_empty() && ran.err.is_empty(), "{ran:?}");
}

#[tokio::test]
async fn completion_knows_the_whole_program() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(&["completion", shell], "").await;
        assert_eq!(ran.exit, Exit::Success);
        for word in ["dev", "submit", "--input-lines", "why"] {
            // Fish writes long options without their dashes.
            let word = if shell == "fish" { word.trim_start_matches('-') } else { word };
            assert!(ran.out.contains(word), "{shell}: {word}");
        }
    }
}

#[tokio::test]
async fn help_finds_commands_topics_and_nothing_else() {
    let overview = run(&["help"], "").await;
    assert!(overview.out.contains("Topics (tasker help TOPIC):") && overview.out.contains("dev"), "{}", overview.out);
    assert!(run(&["help", "task", "submit"], "").await.out.contains("Usage: tasker task submit"));
    for topic in ["exit-codes", "output", "environment", "bulk", "retries"] {
        assert!(overview.out.contains(topic), "{topic}");
        assert_eq!(run(&["help", topic], "").await.exit, Exit::Success, "{topic}");
    }
    let unknown = run(&["help", "flying"], "").await;
    assert_eq!(unknown.exit, Exit::Usage);
    insta::assert_snapshot!(unknown.err);
}

#[tokio::test]
async fn help_prints_the_page_of_every_documented_error_code() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors");
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(code) = name.strip_suffix(".md").filter(|code| code.contains('.')) else { continue };
        let ran = run(&["help", code], "").await;
        let page = std::fs::read_to_string(entry.path()).expect("readable");
        assert_eq!(ran.out.trim_end(), page.trim_end(), "{code}");
    }
}

#[tokio::test]
async fn input_that_is_not_json_is_refused_before_anything_is_sent() {
    let file = file("{}");
    let path = file.path().to_str().expect("UTF-8");
    // Port 9 is never asked: a request would exit with `unreachable`.
    let ran = run(&["--server", "http://127.0.0.1:9", "task", "submit", "order", "--input", path], "").await;
    assert_eq!(ran.exit, Exit::Usage);
    assert!(ran.err.contains(&format!("help: to send the content of that file: --input @{path}")), "{}", ran.err);
    let ran = run(&["--server", "http://127.0.0.1:9", "task", "submit", "order", "--input", "-"], "{\"a\":").await;
    assert_eq!(ran.exit, Exit::Error);
    assert!(ran.err.starts_with("error[client.input_unreadable]: <stdin>: not JSON: "), "{}", ran.err);
}
