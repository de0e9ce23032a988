//! `tasker contract …`: schemas from samples, stubs from schemas, and what breaks between two.

use super::{input, pages};
use crate::answers::{Page, TaskDetail, TaskSummary};
use crate::client::Client;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::{Format, Global};
use crate::text;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tasker_contracts::diff::{self, Report, Verdict};
use tasker_contracts::infer::{self, Options, SAMPLES_MAX};
use tasker_contracts::stubs;

/// Tasks asked for at once; the server's own maximum is 200.
const PAGE_TASKS: usize = 100;
/// Tasks that are looked at for each result that is wanted: many have not come to the step, or failed before it.
const TASKS_PER_RESULT: usize = 10;

/// What can be done with contracts.
#[derive(Debug, Subcommand)]
pub enum ContractCommand {
    /// Make a JSON Schema from sample values, or from the results of recorded tasks
    ///
    /// Says what all samples have in common: types, required fields, formats, words that repeat. It never invents a bound, and never
    /// closes an object, because samples show what may come and not what may not.
    #[command(after_help = "\
Examples:
  tasker contract infer samples/*.json
  curl -s https://shop.example.com/orders | tasker contract infer --list -
  tasker contract infer --task-result order_processing reserve_stock --limit 200 -o yaml")]
    Infer(Infer),
    /// Say what breaks when one contract follows another
    ///
    /// A and B are contracts (`input`, `result` and `errors`, in JSON or YAML) or manifests. Of two manifests, every capability is compared.
    /// Narrowing an input breaks callers, widening a result breaks dependants, a new error code breaks every `on_error` that was complete.
    /// Exits with 1 if something breaks.
    #[command(after_help = "\
Examples:
  tasker contract diff main.yaml branch.yaml
  tasker contract diff old.yaml new.yaml --system node_payments --capability payment.charge
  tasker contract diff old.json new.json --strict -o json | jq '.items[].report.verdict'")]
    Diff(Diff),
    /// Write a typed worker for a system: its types, and a handler to fill in for each capability
    #[command(after_help = "\
Examples:
  tasker contract stubs order.yaml --system python_inventory --language python > worker.py
  tasker contract stubs order.yaml --system node_payments --language typescript --out src/")]
    Stubs(Stubs),
}

/// Where the samples are.
#[derive(Debug, Args)]
pub struct Infer {
    /// JSON values, one after the other; - is standard input
    #[arg(value_name = "FILE", required_unless_present = "task_result", conflicts_with = "task_result")]
    files: Vec<String>,

    /// Each value is a list of samples, and not a sample that is a list
    #[arg(long, conflicts_with = "task_result")]
    list: bool,

    /// Take the results that a step had in the newest tasks of a workflow
    #[arg(long, num_args = 2, value_names = ["WORKFLOW", "STEP"], value_parser = text::parse_name)]
    task_result: Vec<String>,

    /// How many results to take at most
    #[arg(long, value_name = "N", default_value_t = 100, requires = "task_result", value_parser = clap::value_parser!(u32).range(1..=SAMPLES_MAX as i64))]
    limit: u32,

    /// Do not say `format`
    #[arg(long)]
    no_formats: bool,

    /// Do not say `enum`
    #[arg(long)]
    no_enums: bool,
}

/// What to compare.
#[derive(Debug, Args)]
pub struct Diff {
    /// The contract, or the manifest, that was
    #[arg(value_name = "A")]
    old: String,
    /// The one that follows it
    #[arg(value_name = "B")]
    new: String,
    /// Of manifests: only this system
    #[arg(long, value_parser = text::parse_name)]
    system: Option<String>,
    /// Of manifests: only this capability
    #[arg(long, value_parser = text::parse_name)]
    capability: Option<String>,
    /// Take what could not be proven for broken
    #[arg(long)]
    strict: bool,
}

/// Which stubs to write.
#[derive(Debug, Args)]
pub struct Stubs {
    /// The manifest that declares the system; - is standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// The system
    #[arg(long, value_parser = text::parse_name)]
    system: String,
    /// In which language
    #[arg(long, value_enum)]
    language: Language,
    /// Write the file into this folder instead of printing it
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long, requires = "out")]
    force: bool,
}

/// A language with an SDK that stubs are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// serde structs and async functions
    Rust,
    /// pydantic models and async functions
    Python,
    /// zod schemas and steps
    Typescript,
}

pub(super) async fn run(command: ContractCommand, global: &Global, console: &mut Console) -> Result<Exit, Failure> {
    match command {
        ContractCommand::Infer(infer) => run_infer(&infer, global, console).await,
        ContractCommand::Diff(diff) => run_diff(&diff, global, console),
        ContractCommand::Stubs(stubs) => run_stubs(&stubs, global, console),
    }
}

async fn run_infer(infer: &Infer, global: &Global, console: &mut Console) -> Result<Exit, Failure> {
    let samples = match infer.task_result.as_slice() {
        [workflow, step] => recorded(workflow, step, infer.limit as usize, &Client::new(global)?).await?,
        _ => {
            let mut samples = Vec::new();
            for file in &infer.files {
                samples.extend(values(file, infer.list, console)?);
            }
            samples
        }
    };
    let options = Options { formats: !infer.no_formats, enums: !infer.no_enums };
    let schema = infer::infer(&samples, options).map_err(|refusal| Failure::Refused {
        code: refusal.code(),
        said: refusal.to_string(),
        help: format!("`tasker help {}` says more", refusal.code()),
    })?;
    let answer = serde_json::value::to_raw_value(&schema).expect("a schema is JSON, which always prints");
    // For people, too, a schema is JSON: it is what goes into a manifest.
    console.answer(&answer, |_| Ok(format!("{schema:#}\n")))?;
    console.chat(&format!("learnt from {}", text::counted(samples.len(), "sample")));
    Ok(Exit::Success)
}

/// The JSON values of a file.
fn values(file: &str, list: bool, console: &mut Console) -> Result<Vec<Value>, Failure> {
    let content = input::read_text(file, console)?;
    let refused = |cause: String, help: Option<String>| Failure::Input { path: input::name_of(file), cause, help };
    let mut values = Vec::new();
    for value in serde_json::Deserializer::from_str(&content).into_iter::<Value>() {
        match value.map_err(|cause| refused(format!("not JSON: {cause}"), None))? {
            Value::Array(items) if list => values.extend(items),
            _ if list => {
                let help = "leave out --list if every value is a sample itself".to_owned();
                return Err(refused("--list expects lists of samples, and there is something else".to_owned(), Some(help)));
            }
            value => values.push(value),
        }
    }
    Ok(values)
}

/// The results of a step in the newest tasks of a workflow.
async fn recorded(workflow: &str, step: &str, wanted: usize, client: &Client) -> Result<Vec<Value>, Failure> {
    let mut results = Vec::new();
    let (mut cursor, mut looked, mut known): (Option<String>, usize, bool) = (None, 0, false);
    while results.len() < wanted && looked < wanted.saturating_mul(TASKS_PER_RESULT) {
        let list = client
            .get(&["tasks"])
            .query("workflow", workflow)
            .query("limit", &PAGE_TASKS.to_string())
            .query_if("cursor", cursor.as_deref());
        let page: Page<TaskSummary> = list.send().await?.read()?;
        for task in &page.items {
            if results.len() >= wanted {
                break;
            }
            looked += 1;
            let answer = client.get(&["tasks", &task.id]).send().await?;
            let detail: TaskDetail = answer.read()?;
            let found = detail.steps.iter().find(|candidate| candidate.name == step);
            known |= found.is_some();
            if let Some(result) = found.filter(|found| found.state == "succeeded").and_then(|found| found.result.as_deref()) {
                results.push(serde_json::from_str(result.get()).expect("a raw value holds valid JSON"));
            }
        }
        cursor = page.next_cursor;
        if cursor.is_none() || page.items.is_empty() {
            break;
        }
    }
    if looked > 0 && !known {
        return Err(Failure::Absent {
            what: format!("no task of `{}` has a step `{}`", text::clean(workflow), text::clean(step)),
            help: format!("`tasker workflow show {}` shows its steps", text::clean(workflow)),
        });
    }
    Ok(results)
}

/// One compared capability, as `-o json` prints it.
#[derive(Debug, Serialize)]
struct Compared {
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capability: Option<String>,
    verdict: Verdict,
    /// Absent if only one of the two has the capability.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<Report>,
    /// What happened to the capability as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<&'static str>,
}

/// A side of the comparison: one contract, or those of a manifest by system and capability.
enum Contracts {
    One(diff::Source),
    Many(BTreeMap<(String, String), diff::Source>),
}

fn run_diff(diff: &Diff, global: &Global, console: &mut Console) -> Result<Exit, Failure> {
    let old = contracts(&diff.old, diff, global, console)?;
    let new = contracts(&diff.new, diff, global, console)?;
    let compared = match (old, new) {
        (Contracts::One(old), Contracts::One(new)) => vec![of_both(None, &old, &new)],
        (Contracts::Many(old), Contracts::Many(new)) => of_manifests(&old, &new),
        (Contracts::One(_), Contracts::Many(_)) | (Contracts::Many(_), Contracts::One(_)) => {
            return Err(Failure::Usage {
                said: "one of the two is a contract and the other a manifest".to_owned(),
                help: "compare two contracts, or two manifests".to_owned(),
            });
        }
    };
    let worst = compared.iter().map(|compared| compared.verdict).max().unwrap_or(Verdict::Unchanged);
    #[derive(Serialize)]
    struct Answer<'a> {
        items: &'a [Compared],
        verdict: Verdict,
    }
    let answer =
        serde_json::value::to_raw_value(&Answer { items: &compared, verdict: worst }).expect("a report is JSON, which always prints");
    console.answer(&answer, |_| Ok(text::clean_lines(&shown(&compared))))?;
    if console.format() == Format::Table {
        console.chat(&format!("{} compared: {worst}", text::counted(compared.len(), "contract")));
    }
    Ok(match worst {
        Verdict::Breaking => Exit::Error,
        Verdict::Unproven if diff.strict => Exit::Error,
        Verdict::Unproven | Verdict::Compatible | Verdict::Unchanged => Exit::Success,
    })
}

fn of_both(named: Option<&(String, String)>, old: &diff::Source, new: &diff::Source) -> Compared {
    let report = diff::compare(old, new);
    let (system, capability) = named.cloned().unzip();
    Compared { system, capability, verdict: report.verdict, report: Some(report), what: None }
}

fn of_manifests(old: &BTreeMap<(String, String), diff::Source>, new: &BTreeMap<(String, String), diff::Source>) -> Vec<Compared> {
    let mut names: Vec<&(String, String)> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    let one_side = |name: &(String, String), verdict, what| Compared {
        system: Some(name.0.clone()),
        capability: Some(name.1.clone()),
        verdict,
        report: None,
        what: Some(what),
    };
    let compared = names.into_iter().filter_map(|name| match (old.get(name), new.get(name)) {
        (Some(old), Some(new)) => Some(of_both(Some(name), old, new)),
        (Some(_), None) => Some(one_side(name, Verdict::Breaking, "no longer declared")),
        (None, Some(_)) => Some(one_side(name, Verdict::Compatible, "new")),
        (None, None) => None,
    });
    compared.collect()
}

/// Lines for people; capabilities that did not change are only counted.
fn shown(compared: &[Compared]) -> String {
    let mut out = String::new();
    for one in compared.iter().filter(|one| one.verdict != Verdict::Unchanged || one.capability.is_none()) {
        let report = one.report.as_ref().map(Report::to_text).unwrap_or_default();
        match (&one.system, &one.capability) {
            (Some(system), Some(capability)) => {
                let what = one.what.map_or(String::new(), |what| format!(" ({what})"));
                out.push_str(&format!("{system} · {capability}: {}{what}\n", one.verdict));
                report.lines().for_each(|line| out.push_str(&format!("  {line}\n")));
            }
            _ => out.push_str(&report),
        }
    }
    out
}

fn contracts(file: &str, diff: &Diff, global: &Global, console: &mut Console) -> Result<Contracts, Failure> {
    let source = input::read_text(file, console)?;
    let name = input::name_of(file);
    let refused = |cause: String, help: &str| Failure::Input { path: name.clone(), cause, help: Some(help.to_owned()) };
    let document = document(&source, &name, console)?;
    if document.get("systems").is_none() {
        if diff.system.is_some() || diff.capability.is_some() {
            return Err(refused(
                "it is no manifest, so it has no systems to choose from".to_owned(),
                "leave out --system and --capability",
            ));
        }
        let help = "a contract has `input`, `result` and `errors`, each of which may be absent; a manifest has `systems`";
        return diff::Source::read(&document).map(Contracts::One).map_err(|cause| refused(cause, help));
    }
    let manifest = pages::check(&source, file, global, console)?;
    let mut found = BTreeMap::new();
    for system in pages::systems(&manifest) {
        for capability in system.capabilities {
            let wanted = diff.system.as_ref().is_none_or(|wanted| *wanted == system.name)
                && diff.capability.as_ref().is_none_or(|wanted| *wanted == capability.name);
            if wanted {
                found.insert((system.name.clone(), capability.name), diff::Source::of(capability.contract));
            }
        }
    }
    if found.is_empty() && (diff.system.is_some() || diff.capability.is_some()) {
        return Err(Failure::Absent {
            what: format!("{name} declares no such capability"),
            help: "`tasker system docs` prints what a manifest declares".to_owned(),
        });
    }
    Ok(Contracts::Many(found))
}

/// JSON or YAML as a value.
fn document(source: &str, name: &str, console: &mut Console) -> Result<Value, Failure> {
    if let Ok(value) = serde_json::from_str(source) {
        return Ok(value);
    }
    let mut reader = tasker_manifest::reader::Reader::new(source, name);
    let value = reader.document().and_then(|entry| entry.json());
    let diagnostics = reader.finish();
    value.filter(|_| diagnostics.is_empty()).ok_or_else(|| {
        for diagnostic in &diagnostics {
            console.complain(&format!("{}\n", text::clean_lines(diagnostic.render().trim_end())));
        }
        Failure::Input { path: name.to_owned(), cause: "it is neither JSON nor YAML without errors".to_owned(), help: None }
    })
}

fn run_stubs(wanted: &Stubs, global: &Global, console: &mut Console) -> Result<Exit, Failure> {
    let manifest = pages::checked(&wanted.file, global, console)?;
    let system = pages::find(&manifest, &wanted.file, &wanted.system)?;
    let language = match wanted.language {
        Language::Rust => stubs::Language::Rust,
        Language::Python => stubs::Language::Python,
        Language::Typescript => stubs::Language::TypeScript,
    };
    let stub = stubs::stubs(&system, language);
    let Some(folder) = &wanted.out else {
        console.raw(&stub.text)?;
        return Ok(Exit::Success);
    };
    let path = folder.join(&stub.file_name);
    write(&path, &stub.text, wanted.force)?;
    console.line(&text::clean(&path.display().to_string()))?;
    console.chat(&format!("{} to write", text::counted(system.capabilities.len(), "handler")));
    Ok(Exit::Success)
}

/// Writes a new file; one that is there may hold somebody's work.
fn write(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true);
    let options = if force { options.create(true).truncate(true) } else { options.create_new(true) };
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|cause| {
        let exists = cause.kind() == std::io::ErrorKind::AlreadyExists;
        Failure::Input {
            path: crate::text::clean(&path.display().to_string()),
            cause: if exists {
                "it is there already, and may hold somebody's work".to_owned()
            } else {
                format!("it cannot be written: {cause}")
            },
            help: exists.then(|| "--force replaces it; without --out the stub is printed".to_owned()),
        }
    })
}
