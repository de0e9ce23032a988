//! `tasker dlq requeue` and `tasker dlq discard`: named letters, or all that fit, piece by piece.

use super::Which;
use crate::answers::{LettersSettled, SettledLetter};
use crate::client::Client;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{render, text};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// One request settles so many at most, so that progress shows and an unknown outcome concerns few.
const PER_REQUEST: u64 = 200;
/// A request that keeps to a rate is answered after about this long.
const SECONDS_PER_REQUEST: u64 = 2;
/// What is settled by one command at most: outcomes are held in memory until they are printed.
const LETTERS_MAX: i64 = 1_000_000;
/// The server's own maximum.
const RATE_MAX: i64 = 10_000;

/// Which letters, by whom, why and how fast.
#[derive(Debug, Args)]
pub struct Settle {
    /// The tasks whose letters are meant
    #[arg(value_name = "TASK", value_parser = text::parse_name, conflicts_with_all = ["code", "workflow", "step", "system", "capability", "failed_from", "failed_before", "all", "limit"])]
    tasks: Vec<String>,
    #[command(flatten)]
    which: Which,
    /// Every open letter of the namespace
    #[arg(long, conflicts_with_all = ["code", "workflow", "step", "system", "capability", "failed_from", "failed_before"])]
    all: bool,
    /// Of those that the filters choose, so many at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=LETTERS_MAX as u64))]
    limit: Option<u64>,
    /// Why, for people who look later; needed unless it is a dry run
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run", value_parser = NonEmptyStringValueParser::new())]
    reason: Option<String>,
    /// Who says so
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true, required_unless_present = "dry_run", value_parser = NonEmptyStringValueParser::new())]
    by: Option<String>,
    /// So many per second at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=RATE_MAX as u64))]
    rate: Option<u64>,
    /// Only say how many are meant, and show the first of them
    #[arg(long)]
    dry_run: bool,
    /// Go ahead with all that the filters choose; without it they are only counted
    #[arg(long)]
    yes: bool,
}

/// What becomes of the letters.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verb {
    Requeue,
    Discard,
}

impl Verb {
    fn path(self) -> &'static str {
        match self {
            Self::Requeue => "dlq:requeue",
            Self::Discard => "dlq:discard",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Requeue => "requeue",
            Self::Discard => "discard",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Requeue => "requeued",
            Self::Discard => "discarded",
        }
    }
}

/// An order as the server reads it.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<&'a Which>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

pub(super) async fn run(verb: Verb, order: Settle, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    if order.tasks.is_empty() && !order.all && !order.which.is_filtered() {
        return Err(Failure::Usage {
            said: "it is not said which dead letters are meant".to_owned(),
            help: "name tasks, give a filter such as --code, or --all for every open one; `tasker dlq groups` shows what there is"
                .to_owned(),
        });
    }
    if order.dry_run {
        let preview = order.preview(verb, client).await?;
        console.answer(&preview.body, |look| Ok(render::letters::preview(verb.word(), &preview.read()?, look)))?;
        return Ok(Exit::Success);
    }
    let settled =
        if order.tasks.is_empty() { order.fitting(verb, client, console).await? } else { order.named(verb, client, console).await? };
    let whole = serde_json::value::to_raw_value(&settled).expect("text and numbers always print");
    console.answer(&whole, |look| Ok(render::letters::settled(verb.done(), &settled, look)))?;
    Ok(exit_of(&settled.items))
}

impl Settle {
    fn body(&self) -> Body<'_> {
        Body {
            tasks: None,
            filter: None,
            limit: None,
            after: None,
            rate: self.rate,
            dry_run: false,
            by: self.by.as_deref(),
            reason: self.reason.as_deref(),
        }
    }

    /// How many one request settles.
    fn piece(&self) -> u64 {
        self.rate.map_or(PER_REQUEST, |rate| (rate * SECONDS_PER_REQUEST).clamp(1, PER_REQUEST))
    }

    async fn preview(&self, verb: Verb, client: &Client) -> Result<crate::client::Answer, Failure> {
        let named = !self.tasks.is_empty();
        let body = Body {
            tasks: named.then_some(self.tasks.as_slice()),
            filter: (!named).then_some(&self.which),
            rate: None,
            dry_run: true,
            ..self.body()
        };
        client.post(&[verb.path()]).json(written(&body)).repeatable().send().await
    }

    /// The letters of the tasks that were named. A repeat settles nothing twice, so a request that got no answer is sent again.
    async fn named(&self, verb: Verb, client: &Client, console: &Console) -> Result<LettersSettled, Failure> {
        let progress = progress(self.tasks.len() as u64, console);
        let mut whole = LettersSettled::default();
        for tasks in self.tasks.chunks(usize::try_from(self.piece()).unwrap_or(1)) {
            let body = Body { tasks: Some(tasks), ..self.body() };
            let answer = client.post(&[verb.path()]).json(written(&body)).repeatable().send().await?;
            whole.add(answer.read()?);
            progress.set_position(whole.matched);
        }
        progress.finish_and_clear();
        Ok(whole)
    }

    /// The letters that the filters choose, as they are now: those that fail meanwhile are not counted, or a task that fails again and again
    /// would keep us here for ever.
    async fn fitting(&self, verb: Verb, client: &Client, console: &Console) -> Result<LettersSettled, Failure> {
        let preview: LettersSettled = self.preview(verb, client).await?.read()?;
        let meant = preview.matched.min(self.limit.unwrap_or(LETTERS_MAX as u64));
        if meant > 0 && !self.yes {
            let word = verb.word();
            return Err(Failure::Usage {
                said: format!("{} are meant; nothing was done", text::counted(usize::try_from(meant).unwrap_or(usize::MAX), "dead letter")),
                help: format!("the same command with --dry-run shows the first of them, with --yes it goes ahead and {word}s them"),
            });
        }
        let progress = progress(meant, console);
        let mut whole = LettersSettled::default();
        while whole.matched < meant {
            let limit = self.piece().min(meant - whole.matched);
            let after = whole.next_after.clone();
            let body = Body { filter: Some(&self.which), limit: Some(limit), after: after.as_deref(), ..self.body() };
            let answer: LettersSettled = client.post(&[verb.path()]).json(written(&body)).send().await?.read()?;
            whole.add(answer);
            progress.set_position(whole.matched);
            if whole.next_after.is_none() || whole.next_after == after {
                break;
            }
        }
        progress.finish_and_clear();
        whole.next_after = None;
        Ok(whole)
    }
}

fn written(body: &Body<'_>) -> String {
    serde_json::to_string(body).expect("text and numbers always print")
}

fn progress(length: u64, console: &Console) -> ProgressBar {
    if !console.shows_progress() {
        return ProgressBar::hidden();
    }
    let template =
        ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} (eta {eta})").expect("the template is a constant that is tested");
    ProgressBar::new(length).with_style(template)
}

/// If nothing was settled, why not; one reason for all is told by the exit code.
fn exit_of(items: &[SettledLetter]) -> Exit {
    let mut codes: Vec<&str> = items.iter().filter_map(|item| item.code.as_deref()).collect();
    if codes.is_empty() {
        return Exit::Success;
    }
    let all = codes.len() == items.len();
    codes.dedup();
    match codes.as_slice() {
        ["dead_letter.unknown"] if all => Exit::NotFound,
        ["dead_letter.settled"] if all => Exit::Conflict,
        _ => Exit::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::global::{Format, Global};

    #[test]
    fn the_progress_bars_template_is_valid() {
        let global = Global {
            server: "http://127.0.0.1:1".parse().expect("an address"),
            namespace: "default".into(),
            output: Format::Table,
            no_color: true,
            quiet: false,
        };
        let (console, _) = Console::captured(&global, std::io::empty());
        assert!(progress(7, &console).is_hidden(), "nobody watches");
        assert!(ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} (eta {eta})").is_ok());
    }

    #[test]
    fn the_exit_code_tells_why_nothing_was_settled() {
        let item = |code: Option<&str>| SettledLetter { code: code.map(str::to_owned), ..SettledLetter::default() };
        for (codes, exit) in [
            (vec![], Exit::Success),
            (vec![None, None], Exit::Success),
            (vec![Some("dead_letter.unknown"), Some("dead_letter.unknown")], Exit::NotFound),
            (vec![Some("dead_letter.settled")], Exit::Conflict),
            (vec![Some("dead_letter.settled"), None], Exit::Error),
            (vec![Some("dead_letter.settled"), Some("dead_letter.unknown")], Exit::Error),
            (vec![Some("coordinator.busy")], Exit::Error),
        ] {
            let items: Vec<SettledLetter> = codes.iter().map(|code| item(*code)).collect();
            assert_eq!(exit_of(&items), exit, "{codes:?}");
        }
    }
}
