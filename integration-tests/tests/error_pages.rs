//! Every error code that the program can give has a page in `docs/errors/` that says meaning, cause and cure.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a readable directory") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Texts of the form `family.problem` between two marks.
fn codes_in(text: &str, open: char, close: char, families: &[&str]) -> BTreeSet<String> {
    let is_code = |text: &str| {
        let Some((family, problem)) = text.split_once('.') else { return false };
        let word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        // A text that ends in `_` is the beginning of codes that a number completes, such as `http.status_503`.
        families.contains(&family) && word(problem) && !problem.ends_with('_')
    };
    let pieces = text.split(open).skip(1).map(|piece| piece.split_once(close).map_or(piece, |(inside, _)| inside));
    pieces.filter(|piece| is_code(piece)).map(str::to_owned).collect()
}

#[test]
fn every_error_code_has_a_page() {
    let mut codes: BTreeSet<String> = tasker_engine::failure::code::ALL.iter().map(|code| (*code).to_owned()).collect();
    let mut files = Vec::new();
    sources(&root().join("coordinator"), &mut files);
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a readable file");
        // Codes that the server prints stand in brackets, those that travel stand in quotes.
        let server = ["config", "data", "http", "store", "telemetry", "file"];
        codes.extend(codes_in(&text, '[', ']', &server));
        if !file.ends_with("configuration.rs") {
            codes.extend(codes_in(&text, '"', '"', &["worker", "reply", "responder", "bus", "database", "egress", "callback", "http"]));
        }
    }
    assert!(codes.len() > 40, "the search finds the codes: {codes:?}");
    let missing: Vec<&String> = codes.iter().filter(|code| !root().join("docs/errors").join(format!("{code}.md")).is_file()).collect();
    assert!(missing.is_empty(), "write a page in docs/errors/ for {missing:?}");
}

#[test]
fn the_search_finds_codes_and_nothing_else() {
    let found = codes_in("x[config.missing]: [0] [config.Missing] [other.code]", '[', ']', &["config"]);
    assert_eq!(found, BTreeSet::from(["config.missing".to_owned()]));
}
