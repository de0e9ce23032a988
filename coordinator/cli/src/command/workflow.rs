//! `tasker workflow …`

use super::explain::{self, ExplainArgs};
use super::format::{self, Fmt};
use super::graph::{self, GraphArgs};
use super::rehearse::{self, TestArgs};
use super::{input, pages, schema};
use crate::answers::{Applied, Page, WorkflowDetail};
use crate::client::{Answer, Client};
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::{Format, Global};
use crate::{render, text};
use clap::Subcommand;
use serde::Serialize;
use serde_json::value::RawValue;
use std::fmt::Display;
use std::str::FromStr;
use tasker_manifest::{Diagnostic, Severity};

/// What can be done with workflows.
#[derive(Debug, Subcommand)]
pub enum WorkflowCommand {
    /// Check manifests without a server
    ///
    /// Prints every problem with its place, the excerpt and what to change; all at once, not only the first.
    /// Exits with 1 if there is an error; warnings alone exit with 0.
    #[command(after_help = "\
Examples:
  tasker workflow lint manifests/*.yaml
  tasker workflow lint - < order.yaml
  tasker workflow lint order.yaml -o json | jq '.items[].code'")]
    Lint {
        /// Manifests; - is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<String>,
    },
    /// Write manifests one way: the order of fields, indentation, quotes
    ///
    /// Keeps comments, blank lines, anchors, and whatever order means something; never changes what a manifest says.
    #[command(after_help = "\
Examples:
  tasker workflow fmt manifests/*.yaml
  tasker workflow fmt --check manifests/*.yaml
  tasker workflow fmt - < order.yaml")]
    Fmt(Fmt),
    /// Print a page about the workflow of a manifest, as Markdown, without a server
    ///
    /// Its purpose, its graph as Mermaid, its input and result, and each step: who runs it, with which types, limits, attempts and errors.
    #[command(after_help = "Examples:\n  tasker workflow docs order.yaml > order.md")]
    Docs {
        /// The manifest; - is standard input
        #[arg(value_name = "FILE")]
        file: String,
    },
    /// Check manifests on the server and make them available to tasks
    ///
    /// Applying the same manifest again changes nothing. A version never changes: another content needs another version.
    /// With several files, nothing is applied unless the server accepts all of them. A manifest that does not fit the live workers or
    /// the other workflows is refused; --dry-run shows what does not fit.
    #[command(after_help = "\
Examples:
  tasker workflow apply order.yaml
  tasker workflow apply manifests/*.yaml --dry-run
  generate | tasker workflow apply -")]
    Apply {
        /// Manifests; - is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<String>,
        /// Let the server check everything, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Apply it although it does not fit the live workers or the other workflows; the server logs who did so
        #[arg(long)]
        force: bool,
        /// Who forces it, for the log
        #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
        by: Option<String>,
    },
    /// List the workflows of the namespace
    #[command(after_help = "\
Examples:
  tasker workflow list
  tasker workflow list -o jsonl | jq -r 'select(.current) | .name'")]
    List,
    /// Show a workflow's graph, or the manifest it was applied from
    #[command(
        disable_version_flag = true,
        after_help = "\
Examples:
  tasker workflow show process_order
  tasker workflow show process_order --version 1.9.0
  tasker workflow show process_order --source > order.yaml"
    )]
    Show {
        /// Its name
        #[arg(value_parser = text::parse_name)]
        name: String,
        /// Another version than the current one
        #[arg(long, value_parser = text::parse_name)]
        version: Option<String>,
        /// Print the manifest as it was applied
        #[arg(long)]
        source: bool,
    },
    /// Pause every task of a workflow, in every version, now and later
    ///
    /// Open attempts finish, nothing new is started; tasks are still accepted, and wait. Sleeps and waits go on.
    #[command(after_help = "Examples:\n  tasker workflow pause process_order --reason 'the bank is down'")]
    Pause {
        /// Its name
        #[arg(value_parser = text::parse_name)]
        name: String,
        /// Why, for people who look later
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let the tasks of a paused workflow go on
    #[command(after_help = "Examples:\n  tasker workflow resume process_order")]
    Resume {
        /// Its name
        #[arg(value_parser = text::parse_name)]
        name: String,
    },
    /// Play the cases of workflows without a server: the real engine, mocked results, virtual time
    ///
    /// Cases stand in a file beside their manifest: order.yaml has order.cases.yaml. Each says how the systems answer, what comes from
    /// outside, and what must come of it; at the end is said which ways through the workflow no case took.
    Test(TestArgs),
    /// Draw a workflow, or where the steps of a task stand
    Graph(GraphArgs),
    /// Tell in plain sentences what a workflow does
    Explain(ExplainArgs),
    /// Print the JSON Schema of manifests, for editors
    ///
    /// An editor with a YAML language server completes and checks manifests by it: put the schema into a file and name it in the first
    /// line of a manifest, as in the example.
    #[command(after_help = "\
Examples:
  tasker workflow schema > manifest.schema.json
  # then, in the first line of a manifest:
  # yaml-language-server: $schema=manifest.schema.json")]
    Schema,
}

pub(super) async fn run(command: WorkflowCommand, global: &Global, console: &mut Console) -> Result<Exit, Failure> {
    match command {
        WorkflowCommand::Lint { files } => lint(&files, global, console),
        WorkflowCommand::Fmt(fmt) => format::run(&fmt, console),
        WorkflowCommand::Docs { file } => pages::workflow(&file, global, console),
        WorkflowCommand::Apply { files, dry_run, force, by } => {
            let how = Apply { dry_run, force, by: by.as_deref() };
            apply(&files, how, &Client::new(global)?, console).await
        }
        WorkflowCommand::List => list(&Client::new(global)?, console).await,
        WorkflowCommand::Show { name, version, source } => show(&name, version.as_deref(), source, &Client::new(global)?, console).await,
        WorkflowCommand::Pause { name, reason } => hold(&name, "pause", reason.as_deref(), &Client::new(global)?, console).await,
        WorkflowCommand::Resume { name } => hold(&name, "resume", None, &Client::new(global)?, console).await,
        WorkflowCommand::Test(args) => rehearse::run(&args, global, console),
        WorkflowCommand::Graph(args) => graph::run(&args, global, console).await,
        WorkflowCommand::Explain(args) => explain::run(&args, global, console).await,
        WorkflowCommand::Schema => schema::run(console),
    }
}

fn lint(files: &[String], global: &Global, console: &mut Console) -> Result<Exit, Failure> {
    /// What `-o json` prints; a list like any other, so that `-o jsonl` prints a diagnostic per line.
    #[derive(Serialize)]
    struct Report<'a> {
        items: &'a [Diagnostic],
        files: usize,
        errors: usize,
        warnings: usize,
        /// What is worth knowing and often meant.
        remarks: usize,
    }

    let namespace = parsed(&global.namespace)?;
    let mut found = Vec::new();
    for file in files {
        let source = input::read_text(file, console)?;
        found.extend(tasker_manifest::check(&source, &input::name_of(file), &namespace).diagnostics);
    }
    let count = |severity| found.iter().filter(|diagnostic| diagnostic.severity == severity).count();
    let (errors, warnings, remarks) = (count(Severity::Error), count(Severity::Warning), count(Severity::Info));
    let report = serde_json::value::to_raw_value(&Report { items: &found, files: files.len(), errors, warnings, remarks })
        .expect("diagnostics are strings and numbers, which always print");
    console.answer(&report, |_| Ok(rendered(&found)))?;
    if console.format() == Format::Table {
        let checked = text::counted(files.len(), "manifest");
        let verdict = if found.is_empty() {
            "no problems".to_owned()
        } else {
            let remarks = if remarks > 0 { format!(", {}", text::counted(remarks, "remark")) } else { String::new() };
            format!("{}, {}{remarks}", text::counted(errors, "error"), text::counted(warnings, "warning"))
        };
        console.chat(&format!("{checked} checked: {verdict}"));
    }
    Ok(if errors > 0 { Exit::Error } else { Exit::Success })
}

/// Every diagnostic, with an empty line after each.
pub(super) fn rendered(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(|diagnostic| format!("{}\n\n", text::clean_lines(diagnostic.render().trim_end()))).collect()
}

/// The text as whatever type is asked for.
pub(super) fn parsed<T: FromStr>(text: &str) -> Result<T, Failure>
where
    T::Err: Display,
{
    text.parse()
        .map_err(|cause: T::Err| Failure::Usage { said: cause.to_string(), help: "choose another with -n or TASKER_NAMESPACE".to_owned() })
}

/// How manifests are sent.
#[derive(Clone, Copy)]
struct Apply<'a> {
    dry_run: bool,
    force: bool,
    by: Option<&'a str>,
}

async fn apply(files: &[String], how: Apply<'_>, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    let mut sources = Vec::new();
    for file in files {
        sources.push((input::name_of(file), input::read_text(file, console)?));
    }
    if sources.len() > 1 && !how.dry_run {
        // One refused manifest among many must not leave half of them applied.
        send_all(&sources, Apply { dry_run: true, ..how }, client, console).await?;
    }
    let answers = send_all(&sources, how, client, console).await?;
    let documents: Vec<&str> = answers.iter().map(|answer| answer.body.get()).collect();
    let document = RawValue::from_string(format!("{{\"items\":[{}]}}", documents.join(","))).expect("a list of valid JSON is valid JSON");
    let applied = answers.iter().map(Answer::read).collect::<Result<Vec<Applied>, _>>()?;
    for warning in applied.iter().flat_map(|applied| &applied.warnings) {
        console.chat(&format!("{}\n", text::clean_lines(warning.render().trim_end())));
    }
    for found in applied.iter().flat_map(|applied| &applied.compatibility) {
        console.chat(&format!("warning[contract.{}]: {}\n", text::clean(&found.certainty), text::clean(&found.message)));
    }
    console.answer(&document, |look| Ok(applied.iter().map(|applied| render::workflow::applied(applied, look)).collect()))?;
    if let [one] = applied.as_slice()
        && !how.dry_run
    {
        console.chat(&format!("next: tasker task submit {} --input '{{}}' --wait", text::clean(&one.name)));
    }
    Ok(Exit::Success)
}

/// Sends every manifest. All are tried, so that all problems are seen at once; the first failure is returned, the others are told.
async fn send_all(sources: &[(String, String)], how: Apply<'_>, client: &Client, console: &mut Console) -> Result<Vec<Answer>, Failure> {
    let dry_run = how.dry_run;
    let mut answers = Vec::new();
    let mut first = None;
    for (file, source) in sources {
        let request = client
            .post(&["workflows"])
            .query("file", file)
            .query_if("dry_run", dry_run.then_some("true"))
            .query_if("force", how.force.then_some("true"));
        let request = request.query_if("by", how.by.filter(|_| how.force)).yaml(source.clone());
        let request = if dry_run { request.repeatable() } else { request };
        match request.send().await {
            Ok(answer) => answers.push(answer),
            Err(failure @ Failure::Problem(_)) if dry_run => match first {
                None => first = Some(failure),
                Some(_) => console.fail(&failure),
            },
            // Without a dry run, or without a server, going on would only do damage or repeat itself.
            Err(failure) => {
                if !dry_run && !answers.is_empty() {
                    console.chat(&format!("{} of {} applied before this:", answers.len(), text::counted(sources.len(), "manifest")));
                }
                return Err(failure);
            }
        }
    }
    first.map_or(Ok(answers), Err)
}

async fn list(client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    let answer = client.get(&["workflows"]).send().await?;
    console.answer(&answer.body, |look| {
        let page: Page<_> = answer.read()?;
        Ok(render::workflow::list(&page.items, look))
    })?;
    Ok(Exit::Success)
}

async fn show(name: &str, version: Option<&str>, source: bool, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    let answer = client.get(&["workflows", name]).query_if("version", version).send().await?;
    if source {
        let detail: WorkflowDetail = answer.read()?;
        console.raw(&detail.source)?;
    } else {
        console.answer(&answer.body, |look| Ok(render::workflow::detail(&answer.read()?, look)))?;
    }
    Ok(Exit::Success)
}

/// Pauses or resumes. Not repeated without an answer: the reason of a repeat could be kept in place of somebody else's.
async fn hold(name: &str, verb: &str, reason: Option<&str>, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    let body = reason.map_or_else(|| serde_json::json!({}), |reason| serde_json::json!({ "reason": reason }));
    let answer = client.post(&["workflows", &format!("{name}:{verb}")]).json(body.to_string()).send().await?;
    console.answer(&answer.body, |look| Ok(render::workflow::held(&answer.read()?, look)))?;
    Ok(Exit::Success)
}
