//! `tasker workflow test`

use super::workflow::{parsed, rendered};
use super::{definition, input};
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::{Format, Global};
use crate::look::Tone;
use crate::text;
use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tasker_manifest::{Diagnostic, check};
use tasker_rehearsal::{Case, Report, Suite, SuiteReport, Workflows, read, workflow_of};

/// Which cases are played, and what they must reach.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tasker workflow test                                   all cases of the current directory
  tasker workflow test order.yaml                        the cases beside a manifest, in order.cases.yaml
  tasker workflow test manifests --coverage-min 90
  tasker workflow test order.yaml --case 'declined card'
  tasker workflow test order.yaml -o json | jq '.items[].coverage.missed'

A case:
  cases:
    - name: a declined card undoes the reservation
      input: { order_id: \"4711\" }
      mocks:
        charge: [{ fail: { code: gateway_busy, retryable: true } }, { fail: { code: card_declined } }]
      expect: { status: failed, error: card_declined, compensated: [release], attempts: { charge: 2 } }

All of it: docs/testing-workflows.md")]
pub struct TestArgs {
    /// Files of cases, manifests that have one beside them, or directories
    #[arg(value_name = "FILE|DIR", default_value = ".")]
    paths: Vec<String>,
    /// Play only cases whose name contains this
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// Fail if the cases of a file take less than this share of the ways through their workflow
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=100), conflicts_with = "case")]
    coverage_min: Option<u32>,
}

/// What files of cases end with.
const CASES: &str = ".cases.yaml";
/// No directory has more files than are looked at.
const FILES_MAX: usize = 10_000;

pub(super) fn run(args: &TestArgs, global: &Global, console: &mut Console) -> Result<Exit, Failure> {
    let files = files_of_cases(&args.paths, console)?;
    let mut suites = Vec::new();
    for file in &files {
        suites.push(play(file, args.case.as_deref(), global, console)?);
    }
    if let Some(name) = args.case.as_deref().filter(|_| suites.iter().all(|suite| suite.cases.is_empty())) {
        let help = "`tasker workflow test` without --case plays and names all of them".to_owned();
        return Err(Failure::Usage { said: format!("no case has a name that contains `{}`", text::clean(name)), help });
    }
    suites.retain(|suite| !suite.cases.is_empty());
    let report = Report::of(suites);
    let document = serde_json::value::to_raw_value(&report).expect("a report is texts and numbers, which always print");
    console.answer(&document, |look| {
        let mark = |passed| if passed { look.paint(Tone::Good, "✓") } else { look.paint(Tone::Bad, "✗") };
        let mut text = String::new();
        for suite in &report.items {
            text.push_str(&suite.render(&mark));
            text.push('\n');
        }
        Ok(text)
    })?;
    let below: Vec<String> = args.coverage_min.map_or_else(Vec::new, |least| {
        report.below(least).map(|suite| format!("{} is below the coverage of {least}%", text::clean(&suite.workflow))).collect()
    });
    if console.format() == Format::Table {
        let all = report.passed + report.failed;
        console.chat(&format!("{} of {} passed", report.passed, text::counted(all, "case")));
    }
    below.iter().for_each(|line| console.complain(line));
    Ok(if report.failed > 0 || !below.is_empty() { Exit::Error } else { Exit::Success })
}

/// The files of cases that the paths stand for, in order and without repeats.
fn files_of_cases(paths: &[String], console: &mut Console) -> Result<Vec<PathBuf>, Failure> {
    let mut files: Vec<PathBuf> = Vec::new();
    for given in paths {
        let path = Path::new(given);
        let mut found = if path.is_dir() {
            let found = siblings(path)?;
            for manifest in found.iter().filter(|file| !is_cases(file) && !cases_of(file).is_file()) {
                console.chat(&format!("no cases: {}", text::clean(&manifest.display().to_string())));
            }
            found.into_iter().filter(|file| is_cases(file)).collect()
        } else if is_cases(path) {
            vec![path.to_owned()]
        } else {
            vec![cases_of(path)]
        };
        if found.is_empty() {
            let cause = format!("no file ends with {CASES}");
            let help =
                Some("cases stand beside their manifest: order.yaml has order.cases.yaml; see `tasker workflow test --help`".to_owned());
            return Err(Failure::Input { path: text::clean(given), cause, help });
        }
        found.retain(|file| !files.contains(file));
        files.append(&mut found);
    }
    Ok(files)
}

fn is_cases(path: &Path) -> bool {
    path.to_string_lossy().ends_with(CASES)
}

/// `order.cases.yaml` for `order.yaml`.
fn cases_of(manifest: &Path) -> PathBuf {
    manifest.with_extension("cases.yaml")
}

/// The YAML files of a directory, by name.
fn siblings(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let refused =
        |cause: std::io::Error| Failure::Input { path: text::clean(&folder.display().to_string()), cause: cause.to_string(), help: None };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(refused)?.take(FILES_MAX) {
        let path = entry.map_err(refused)?.path();
        if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Reads one file of cases with its manifests, and plays it.
fn play(file: &Path, only: Option<&str>, global: &Global, console: &mut Console) -> Result<SuiteReport, Failure> {
    let shown = file.to_string_lossy().into_owned();
    let source = input::read_text(&shown, console)?;
    let named = workflow_of(&source, &shown).map_err(|found| wrong(&shown, &found, console))?;
    let manifest = match named {
        Some(named) => file.parent().unwrap_or(Path::new(".")).join(named),
        None => PathBuf::from(shown.strip_suffix(CASES).map_or_else(|| shown.clone(), |stem| format!("{stem}.yaml"))),
    };
    let main = Arc::new(definition::from_file(&manifest.to_string_lossy(), global, console)?.workflow);
    let Suite { cases, warnings } = read(&source, &shown, &main).map_err(|found| wrong(&shown, &found, console))?;
    if !warnings.is_empty() {
        console.chat(rendered(&warnings).trim_end());
    }
    let mut workflows = Workflows::new(main);
    if workflows.starts_children() {
        add_children(&mut workflows, &manifest, global, console)?;
    }
    let wanted = cases.iter().filter(|case: &&Case| only.is_none_or(|only| case.name.contains(only)));
    Ok(SuiteReport::of(&shown, &workflows, wanted, only.is_none()))
}

/// The manifests beside one may be children of its tasks. One that is wrong is no child; whoever needs it is told so by the case.
fn add_children(workflows: &mut Workflows, manifest: &Path, global: &Global, console: &mut Console) -> Result<(), Failure> {
    let folder = manifest.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for sibling in siblings(folder)?.into_iter().filter(|file| !is_cases(file) && file != manifest) {
        let shown = sibling.to_string_lossy().into_owned();
        let source = input::read_text(&shown, console)?;
        if let Some(manifest) = check(&source, &shown, &parsed(&global.namespace)?).manifest {
            workflows.add(Arc::new(manifest.workflow));
        }
    }
    Ok(())
}

fn wrong(file: &str, found: &[Diagnostic], console: &mut Console) -> Failure {
    console.complain(rendered(found).trim_end());
    Failure::Input { path: text::clean(file), cause: "the file of cases has errors".to_owned(), help: None }
}
