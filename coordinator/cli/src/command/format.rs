//! `tasker workflow fmt`: manifests written one way, in place.

use super::input;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Format;
use crate::text;
use clap::Args;
use serde::Serialize;
use std::io::Write;
use std::path::Path;
use tasker_manifest::Diagnostic;

/// Beyond this many lines, what changed is not worked out line by line: a manifest has at most a million bytes.
const DIFF_LINES_MAX: usize = 20_000;
/// Lines shown around each change.
const CONTEXT: usize = 3;

/// Which manifests, and what to do with them.
#[derive(Debug, Args)]
pub struct Fmt {
    /// Manifests; - is standard input, whose formatted text goes to standard output
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,

    /// Change nothing; show what would change, and exit with 1 if anything would
    #[arg(long)]
    check: bool,

    /// Print the formatted text instead of changing the file
    #[arg(long, conflicts_with = "check")]
    stdout: bool,
}

/// What `-o json` prints for each file.
#[derive(Debug, Serialize)]
struct Outcome {
    file: String,
    /// Whether formatting changes it.
    changed: bool,
    /// Why the text was left as it is, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_as_is: Option<String>,
    /// Why it could not be read.
    diagnostics: Vec<Diagnostic>,
    /// With `--check`: the changes, as a unified diff.
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
}

pub(super) fn run(fmt: &Fmt, console: &mut Console) -> Result<Exit, Failure> {
    let mut outcomes = Vec::new();
    for file in &fmt.files {
        outcomes.push(one(file, fmt, console)?);
    }
    let printed = fmt.stdout || fmt.files.iter().any(|file| file == "-" && !fmt.check);
    let unreadable = outcomes.iter().any(|outcome| !outcome.diagnostics.is_empty());
    let changed = outcomes.iter().filter(|outcome| outcome.changed).count();
    if !printed {
        /// A list like any other, so that `-o jsonl` prints a file per line.
        #[derive(Serialize)]
        struct Report<'a> {
            items: &'a [Outcome],
            files: usize,
            changed: usize,
        }
        let report = Report { items: &outcomes, files: outcomes.len(), changed };
        let report = serde_json::value::to_raw_value(&report).expect("outcomes are texts and flags, which always print");
        console.answer(&report, |_| Ok(shown(&outcomes)))?;
    }
    for outcome in &outcomes {
        if let Some(why) = &outcome.left_as_is {
            console.complain(&format!("{}: {}", text::clean(&outcome.file), text::clean(why)));
        }
        if printed || console.format() != Format::Table {
            for diagnostic in &outcome.diagnostics {
                console.complain(&format!("{}\n", text::clean_lines(diagnostic.render().trim_end())));
            }
        }
    }
    if console.format() == Format::Table && !printed {
        let verb = if fmt.check { "would be changed" } else { "changed" };
        console.chat(&format!("{} read, {changed} {verb}", text::counted(outcomes.len(), "manifest")));
    }
    Ok(if unreadable || (fmt.check && changed > 0) { Exit::Error } else { Exit::Success })
}

fn one(file: &str, fmt: &Fmt, console: &mut Console) -> Result<Outcome, Failure> {
    let source = input::read_text(file, console)?;
    let name = input::name_of(file);
    let formatted = match tasker_manifest::format(&source, &name) {
        Ok(formatted) => formatted,
        Err(diagnostics) => return Ok(Outcome { file: name, changed: false, left_as_is: None, diagnostics, diff: None }),
    };
    let changed = formatted.text != source;
    let mut diff = None;
    if fmt.check {
        diff = changed.then(|| unified(&name, &source, &formatted.text));
    } else if fmt.stdout || file == "-" {
        console.print(&formatted.text)?;
    } else if changed {
        replace(Path::new(file), &formatted.text)?;
    }
    Ok(Outcome { file: name, changed, left_as_is: formatted.left_as_is, diagnostics: Vec::new(), diff })
}

/// For people: the diffs, the names of what was changed, and why something could not be read.
fn shown(outcomes: &[Outcome]) -> String {
    let mut out = String::new();
    for outcome in outcomes {
        for diagnostic in &outcome.diagnostics {
            out.push_str(&format!("{}\n\n", text::clean_lines(diagnostic.render().trim_end())));
        }
        match &outcome.diff {
            Some(diff) => out.push_str(&text::clean_lines(diff)),
            None if outcome.changed => out.push_str(&format!("{}\n", outcome.file)),
            None => {}
        }
    }
    out
}

/// Writes beside the file and moves it into place, so that a full disk leaves the old text; permissions stay.
fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let refused = |cause: std::io::Error| Failure::Input {
        path: text::clean(&path.display().to_string()),
        cause: format!("it cannot be written: {cause}"),
        help: Some("--stdout prints the formatted text instead".to_owned()),
    };
    // A link is followed, so that what it points to is changed and not the link.
    let target = std::fs::canonicalize(path).map_err(refused)?;
    let folder = target.parent().unwrap_or(Path::new("."));
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = folder.join(format!(".{name}.{}.fmt", std::process::id()));
    let written = std::fs::OpenOptions::new().write(true).create_new(true).open(&beside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.set_permissions(std::fs::metadata(&target)?.permissions())?;
        file.sync_all()?;
        std::fs::rename(&beside, &target)
    });
    written.map_err(|cause| {
        let _ = std::fs::remove_file(&beside);
        refused(cause)
    })
}

/// The changes with some lines around them, as `diff -u` and `git apply` write and read them.
fn unified(name: &str, old: &str, new: &str) -> String {
    if old.lines().count() + new.lines().count() > DIFF_LINES_MAX {
        return format!("--- {name}\n+++ {name} (formatted; too long to show)\n");
    }
    let (before, after) = (format!("{name} (as it is)"), format!("{name} (formatted)"));
    similar::TextDiff::from_lines(old, new).unified_diff().context_radius(CONTEXT).header(&before, &after).to_string()
}
