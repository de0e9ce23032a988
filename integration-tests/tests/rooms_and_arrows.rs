//! The house is built as the design says: who may use whom, what the pure rooms never touch, how files are named and how long they are.
//!
//! The rules, and proofs that each can fail, are in the library under `house`; here they meet the real files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tasker_integration_tests::house::arrows::{self, Declared};
use tasker_integration_tests::house::source::Source;
use tasker_integration_tests::house::{Finding, rules};
use tasker_integration_tests::place::repository;

/// Where source is kept. The demo and these tests stand outside the house: they may use whatever they like, but their files are files.
const FOLDERS: &[&str] = &["coordinator", "worker-sdk", "demo", "integration-tests", "proto", "manifests", "deploy"];

/// Where the house itself is.
const HOUSE: &[&str] = &["coordinator", "worker-sdk"];

/// What is built, fetched or generated outside version control.
const NOT_SOURCE: &[&str] = &["target", "node_modules", "dist", "__pycache__", ".pytest_cache", ".venv"];

const EXTENSIONS: &[&str] = &["rs", "py", "ts", "proto", "sql", "sh", "yaml"];

/// Every file below a folder, relative to the repository, in a stable order.
fn files(folder: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![repository().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if path.is_dir() {
                if !NOT_SOURCE.contains(&name.as_str()) && !name.ends_with(".egg-info") {
                    folders.push(path);
                }
            } else {
                found.insert(path.strip_prefix(repository()).expect("it is below the repository").to_string_lossy().into_owned());
            }
        }
    }
    found
}

fn source_files() -> Vec<String> {
    let all = FOLDERS.iter().flat_map(|folder| files(folder));
    let has_extension =
        |path: &String| EXTENSIONS.iter().any(|extension| Path::new(path).extension().is_some_and(|found| found == *extension));
    all.filter(has_extension).collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The crates of the house: folder and what they declare.
fn rooms() -> Vec<(String, Declared)> {
    let manifests = HOUSE.iter().flat_map(|folder| files(folder)).filter(|path| path.ends_with("/Cargo.toml"));
    // The fuzz target of the listener is built apart and ships nothing.
    let manifests = manifests.filter(|path| !path.contains("/fuzz/"));
    let read = |path: String| {
        let declared = Declared::read(&read(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        (path.trim_end_matches("Cargo.toml").to_owned(), declared)
    };
    manifests.map(read).collect()
}

/// The Rust files of a crate that are not tests, benches or fuzz targets, without the modules that are compiled for tests only.
fn code_of(folder: &str) -> Vec<(String, Source)> {
    let aside = ["tests/", "benches/", "fuzz/"];
    let mut sources: Vec<(String, Source)> = files(folder.trim_end_matches('/'))
        .into_iter()
        .filter(|path| path.ends_with(".rs") && !aside.iter().any(|aside| path[folder.len()..].starts_with(aside)))
        .map(|path| {
            let source = Source::read(&read(&path));
            (path, source)
        })
        .collect();
    let for_tests: Vec<PathBuf> = sources.iter().flat_map(|(path, source)| modules_of(path, &source.test_modules)).collect();
    sources.retain(|(path, _)| {
        !for_tests.iter().any(|module| Path::new(path) == module.with_extension("rs") || Path::new(path).starts_with(module))
    });
    sources
}

/// Where the modules that a file declares are kept.
fn modules_of(path: &str, names: &[String]) -> Vec<PathBuf> {
    let path = Path::new(path);
    let is_root = path.file_stem().is_some_and(|stem| ["lib", "main", "mod"].iter().any(|root| stem == *root));
    let folder = if is_root { path.parent().unwrap_or(path).to_owned() } else { path.with_extension("") };
    names.iter().map(|name| folder.join(name)).collect()
}

fn assert_none(findings: Vec<Finding>) {
    let shown: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(shown.is_empty(), "{} findings:\n  {}", shown.len(), shown.join("\n  "));
}

#[test]
fn every_arrow_between_rooms_is_in_the_table() {
    let rooms = rooms();
    assert!(rooms.len() >= 14, "only {} crates were found, so the search is broken", rooms.len());
    let mut findings = Vec::new();
    for (folder, declared) in &rooms {
        findings.extend(arrows::check_declared(&format!("{folder}Cargo.toml"), declared));
        for (path, source) in code_of(folder) {
            findings.extend(arrows::check_source(&path, &declared.name, &source));
        }
    }
    assert_none(findings);
}

#[test]
fn pure_rooms_touch_neither_clock_nor_chance_nor_the_world() {
    let mut seen = 0;
    let mut findings = Vec::new();
    for (folder, declared) in rooms() {
        findings.extend(rules::check_pure_dependencies(&format!("{folder}Cargo.toml"), &declared.name, &declared.uses));
        for (path, source) in code_of(&folder) {
            seen += usize::from(rules::PURE.contains(&declared.name.as_str()) && !source.tokens.is_empty());
            findings.extend(rules::check_pure_source(&path, &declared.name, &source));
        }
    }
    assert!(seen >= 30, "only {seen} files of pure rooms were read, so the search is broken");
    assert_none(findings);
}

#[test]
fn nothing_outside_tests_unwraps() {
    let folders = rooms().into_iter().map(|(folder, _)| folder).chain(["demo/rails_app/".to_owned()]);
    assert_none(folders.flat_map(|folder| code_of(&folder)).flat_map(|(path, source)| rules::check_unwrap(&path, &source)).collect());
}

#[test]
fn no_file_has_swallowed_everything() {
    let files = source_files();
    assert!(files.len() >= 200, "only {} files were found, so the search is broken", files.len());
    assert_none(files.iter().filter_map(|path| rules::check_length(path, &read(path))).collect());
}

#[test]
fn no_name_is_a_drawer() {
    assert_none(source_files().iter().filter_map(|path| rules::check_name(path)).collect());
}

#[test]
fn modules_for_tests_are_found_where_the_compiler_would() {
    let of = |path: &str| modules_of(path, &["tests".to_owned()]);
    assert_eq!(of("bus/src/router.rs"), [Path::new("bus/src/router/tests")]);
    assert_eq!(of("bus/src/lib.rs"), [Path::new("bus/src/tests")]);
    assert_eq!(of("bus/src/embedded/mod.rs"), [Path::new("bus/src/embedded/tests")]);
}
