//! Every code has a manifest that provokes it, a rendering people can read, and a page that explains it.

use std::path::PathBuf;
use tasker_engine::Namespace;
use tasker_manifest::{CODES, Checked, Severity, check};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn namespace() -> Namespace {
    Namespace::new("default").expect("valid")
}

fn names(folder: &str, extension: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    let mut names: Vec<String> = names.filter_map(|name| name.strip_suffix(extension).map(str::to_owned)).collect();
    names.sort();
    names
}

fn codes() -> Vec<String> {
    let mut codes: Vec<String> = CODES.iter().map(|code| code.code.to_owned()).collect();
    codes.sort();
    codes
}

fn check_invalid(code: &str) -> Checked {
    let source = std::fs::read_to_string(root().join("manifests/invalid").join(format!("{code}.yaml"))).expect("a file");
    check(&source, &format!("{code}.yaml"), &namespace())
}

#[test]
fn every_code_has_its_invalid_manifest_and_there_are_no_others() {
    assert_eq!(names("manifests/invalid", ".yaml"), codes());
}

#[test]
fn every_code_has_its_page_with_meaning_cause_and_cure() {
    // Other rooms have pages in the same folder, so only what is missing is wrong here.
    let pages = names("docs/errors", ".md");
    let missing: Vec<String> = codes().into_iter().filter(|code| !pages.contains(code)).collect();
    assert_eq!(missing, [""; 0]);
    for code in codes() {
        let page = std::fs::read_to_string(root().join("docs/errors").join(format!("{code}.md"))).expect("a page");
        assert!(page.starts_with(&format!("# {code}\n")), "{code}");
        for heading in ["## Meaning", "## Cause", "## Cure"] {
            assert!(page.contains(heading), "{code} lacks {heading}");
        }
    }
}

#[test]
fn each_invalid_manifest_provokes_its_code_and_reads_well() {
    for code in CODES {
        let checked = check_invalid(code.code);
        let found = checked.diagnostics.iter().find(|diagnostic| diagnostic.code == code.code);
        let rendered: Vec<String> = checked.diagnostics.iter().map(|diagnostic| diagnostic.render()).collect();
        let found = found.unwrap_or_else(|| panic!("{} is not reported:\n{}", code.code, rendered.join("\n")));
        assert_eq!(found.severity, code.severity);
        let has_errors = checked.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
        assert_eq!(checked.manifest.is_none(), has_errors, "{}", code.code);
        let shown = if rendered.len() > 12 { [&rendered[..2], &rendered[rendered.len() - 2..]].concat() } else { rendered };
        insta::assert_snapshot!(code.code, shown.join("\n"));
    }
}

#[test]
fn each_diagnostic_says_what_to_do_and_points_into_the_file() {
    for code in codes() {
        let source = std::fs::read_to_string(root().join("manifests/invalid").join(format!("{code}.yaml"))).expect("a file");
        let lines: Vec<&str> = source.lines().collect();
        for diagnostic in check_invalid(&code).diagnostics {
            assert!(diagnostic.hint.is_some(), "{diagnostic:?}");
            assert!(diagnostic.message.len() > 10 && diagnostic.message.chars().count() <= 2_000, "{diagnostic:?}");
            assert!(diagnostic.line >= 1 && diagnostic.line <= lines.len() + 1, "{diagnostic:?}");
            let line = lines.get(diagnostic.line - 1).copied().unwrap_or_default();
            assert!(diagnostic.column >= 1 && diagnostic.column <= line.chars().count() + 1, "{diagnostic:?}");
        }
    }
}

/// A fix is offered as an edit, so applying it must leave a manifest without that diagnostic.
#[test]
fn applying_a_fix_removes_its_diagnostic() {
    let mut applied = 0;
    for code in codes() {
        let source = std::fs::read_to_string(root().join("manifests/invalid").join(format!("{code}.yaml"))).expect("a file");
        for diagnostic in check_invalid(&code).diagnostics {
            let Some(fix) = &diagnostic.fix else { continue };
            let mended: Vec<String> = source
                .lines()
                .enumerate()
                .map(|(place, line)| {
                    if place + 1 != diagnostic.line {
                        return line.to_owned();
                    }
                    let (before, rest) = (line.chars().take(diagnostic.column - 1), line.chars().skip(diagnostic.column - 1));
                    before.chain(fix.chars()).chain(rest.skip(diagnostic.length)).collect()
                })
                .collect();
            let again = check(&mended.join("\n"), &diagnostic.file, &namespace());
            let left = again
                .diagnostics
                .iter()
                .find(|left| left.code == diagnostic.code && left.line == diagnostic.line && left.column == diagnostic.column);
            assert!(left.is_none(), "the fix of {diagnostic:#?} leaves {left:#?}");
            applied += 1;
        }
    }
    assert!(applied >= 10, "{applied} fixes were tried");
}

/// What a page recommends must not itself be refused by the reader of YAML.
#[test]
fn the_example_of_every_page_is_yaml_that_manifests_accept() {
    let text_problems = ["syntax", "tab_indentation", "tag", "merge_key", "bad_key", "unquoted_boolean", "bad_number", "too_deep"];
    for code in codes() {
        let page = std::fs::read_to_string(root().join("docs/errors").join(format!("{code}.md"))).expect("a page");
        let example = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
        let found = check(example, "page", &namespace());
        for diagnostic in found.diagnostics {
            let problem = diagnostic.code.trim_start_matches("manifest.");
            assert!(!text_problems.contains(&problem), "{code}: {}", diagnostic.render());
        }
    }
}
