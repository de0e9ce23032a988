//! `tasker approval …`: what people are asked to decide.

use super::gather::{self, ROWS_MAX};
use super::input;
use crate::client::Client;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{render, text};
use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Verdict {
    /// The answer is yes
    Approve,
    /// The answer is no; the step succeeds with it, and the workflow says what follows
    Reject,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approved",
            Self::Reject => "rejected",
        }
    }
}

/// What can be done with approvals.
#[derive(Debug, Subcommand)]
pub enum ApprovalCommand {
    /// List the decisions that somebody is asked for now, oldest tasks first
    #[command(after_help = "\
Examples:
  tasker approval list --assignee legal
  tasker approval list --task tsk_06f1a2b3c4d5e -o json | jq '.items[].form'")]
    List {
        /// Only what this person or team is asked, or anybody
        #[arg(long, value_name = "NAME")]
        assignee: Option<String>,
        /// Only the approvals of this task
        #[arg(long, value_parser = text::parse_name)]
        task: Option<String>,
        /// How many to list at most
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(ROWS_MAX)))]
        limit: u32,
    },
    /// Decide an approval; the first decision counts
    ///
    /// Exits with 4 if nobody is asked any more, with 5 if somebody else is asked.
    #[command(after_help = "\
Examples:
  tasker approval decide tsk_06f1a2b3c4d5e review approve --by ada
  tasker approval decide tsk_06f1a2b3c4d5e review reject --by ada --role legal --comment 'clause 4 is missing'
  tasker approval decide tsk_06f1a2b3c4d5e review approve --by ada --form '{\"limit\":500}'")]
    Decide {
        /// The task's id
        #[arg(value_parser = text::parse_name)]
        task: String,
        /// The step that asks
        #[arg(value_parser = text::parse_step)]
        step: String,
        /// The answer
        #[arg(value_enum)]
        verdict: Verdict,
        /// Who decides
        #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true, value_parser = NonEmptyStringValueParser::new())]
        by: String,
        /// The assignee they stand for, if they are not one by name: a team
        #[arg(long, value_name = "NAME")]
        role: Option<String>,
        /// Why, for people who look later
        #[arg(long)]
        comment: Option<String>,
        /// What they filled in: JSON, @FILE, or - for standard input
        #[arg(long, value_name = "JSON")]
        form: Option<String>,
    },
    /// Say something about an approval without deciding it
    #[command(after_help = "Examples:\n  tasker approval comment tsk_06f1a2b3c4d5e review --by ada 'asked the customer for page 3'")]
    Comment {
        /// The task's id
        #[arg(value_parser = text::parse_name)]
        task: String,
        /// The step that asks
        #[arg(value_parser = text::parse_step)]
        step: String,
        /// What is said
        #[arg(value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
        comment: String,
        /// Who says it
        #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true, value_parser = NonEmptyStringValueParser::new())]
        by: String,
    },
}

/// A decision, as the server reads it.
#[derive(Serialize)]
struct Decision<'a> {
    decision: &'static str,
    by: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    form: Option<&'a RawValue>,
}

pub(super) async fn run(command: ApprovalCommand, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    match command {
        ApprovalCommand::List { assignee, task, limit } => {
            let ask = || client.get(&["approvals"]).query_if("assignee", assignee.as_deref()).query_if("task", task.as_deref());
            let filtered = assignee.is_some() || task.is_some();
            gather::gather(limit, ask).await?.print(|found, look| render::people::approvals(found, filtered, look), console)?;
        }
        ApprovalCommand::Decide { task, step, verdict, by, role, comment, form } => {
            let form = input::read_optional("--form", form.as_deref(), console)?;
            let decision =
                Decision { decision: verdict.as_str(), by: &by, role: role.as_deref(), comment: comment.as_deref(), form: form.as_deref() };
            let body = serde_json::to_string(&decision).expect("text and valid JSON always print");
            let answer = client.post(&["tasks", &task, "steps", &format!("{step}:decide")]).json(body).send().await?;
            console.answer(&answer.body, |look| Ok(render::people::changed(&step, verdict.as_str(), &answer.read()?, look)))?;
        }
        ApprovalCommand::Comment { task, step, comment, by } => {
            let body = json!({ "by": by, "comment": comment }).to_string();
            let answer = client.post(&["tasks", &task, "steps", &format!("{step}:comment")]).json(body).send().await?;
            console.answer(&answer.body, |look| Ok(render::people::changed(&step, "commented", &answer.read()?, look)))?;
        }
    }
    Ok(Exit::Success)
}
