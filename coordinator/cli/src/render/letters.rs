//! Dead letters, one by one, by their code, and what became of them.

use crate::answers::{DeadLetter, DeadLetterGroups, LettersSettled};
use crate::look::{Look, Tone};
use crate::table::{self, Table};
use crate::text;

/// Messages in a table cell; `tasker dlq show` and `-o json` print all.
const CELL_CHARACTERS_MAX: usize = 120;
/// Letters of an order that are named one by one in a table; `-o json` names all.
const NAMED_MAX: usize = 50;

pub(crate) fn list(letters: &[DeadLetter], filtered: bool, look: &Look) -> String {
    if letters.is_empty() {
        let more = if filtered { " `tasker dlq groups --state all` shows what there is." } else { "" };
        return format!("There are no such dead letters.{more}\n");
    }
    let help = look.paint(Tone::Strong, "help:");
    let first = text::clean(&letters[0].task);
    format!("{}\n{help} tasker dlq show|requeue|discard {first}\n", table(letters, look))
}

fn table(letters: &[DeadLetter], look: &Look) -> String {
    let mut table = Table::new(&["!task", "!state", "workflow", "step", "!failed", "failure"]);
    for letter in letters {
        table.row(vec![
            table::plain(&letter.task),
            table::state(&letter.state),
            table::plain(&letter.workflow),
            table::optional(letter.step.as_deref()),
            letter.failed_at.map_or_else(|| "-".to_owned(), text::instant),
            text::shorten(&table::plain(&format!("{}: {}", letter.code, letter.message)), CELL_CHARACTERS_MAX),
        ]);
    }
    table.render(look)
}

pub(crate) fn groups(found: &DeadLetterGroups, filtered: bool, look: &Look) -> String {
    let mut out = String::new();
    if found.items.is_empty() {
        let more = if filtered { " `tasker dlq groups --state all` shows what there is." } else { "" };
        out.push_str(&format!("There are no such dead letters.{more}\n"));
    } else {
        let mut table = Table::new(&["!code", "!count", "!oldest", "!newest", "!example", "message"]);
        for group in &found.items {
            table.row(vec![
                table::plain(&group.code),
                group.count.to_string(),
                group.oldest.map_or_else(|| "-".to_owned(), text::instant),
                group.newest.map_or_else(|| "-".to_owned(), text::instant),
                table::plain(&group.example),
                text::shorten(&table::plain(&group.message), CELL_CHARACTERS_MAX),
            ]);
        }
        out.push_str(&table.render(look));
        let letters = text::counted(usize::try_from(found.letters).unwrap_or(usize::MAX), "dead letter");
        let codes = text::counted(usize::try_from(found.codes).unwrap_or(usize::MAX), "code");
        let code = text::clean(&found.items[0].code);
        let help = look.paint(Tone::Strong, "help:");
        out.push_str(&format!("\n{letters} of {codes}\n{help} tasker dlq list|requeue|discard --code {code}\n"));
    }
    if let Some(missed) = &found.missed {
        let last = missed.last_at.map(|at| format!(", the last {}", text::instant(at))).unwrap_or_default();
        out.push_str(&format!(
            "\n{} {} got no dead letter{last}: as many are open as may be. `tasker task list --status failed` shows their tasks; requeue or \
             discard some here.\n",
            look.paint(Tone::Bad, "missed:"),
            text::counted(usize::try_from(missed.count).unwrap_or(usize::MAX), "failure"),
        ));
    }
    out
}

pub(crate) fn one(letter: &DeadLetter, look: &Look) -> String {
    let name = text::clean(&letter.task);
    let mut out = format!("{}  {}\n", look.paint(Tone::Strong, &name), look.state(&letter.state));
    let system = letter.system.as_deref().map(text::clean);
    let asked = system.map(|system| format!("{system} {}", text::clean(letter.capability.as_deref().unwrap_or("-"))));
    out.push_str(&super::fields(
        look,
        &[
            ("workflow", Some(format!("{} {}", text::clean(&letter.workflow), text::clean(&letter.version)))),
            ("step", letter.step.as_deref().map(text::clean)),
            ("asked", asked),
            ("failed", letter.failed_at.map(text::instant)),
            ("code", Some(text::clean(&letter.code))),
            ("message", Some(text::clean(&letter.message))),
            ("settled", letter.settled_at.map(text::instant)),
            ("by", letter.settled_by.as_deref().map(text::clean)),
            ("reason", letter.settled_reason.as_deref().map(text::clean)),
            ("new task", letter.requeued_to.as_deref().map(text::clean)),
        ],
    ));
    let help = look.paint(Tone::Strong, "help:");
    let next = if letter.state == "open" {
        format!("tasker dlq requeue|discard {name} --reason TEXT")
    } else {
        format!("tasker task show {name}")
    };
    out.push_str(&format!("\n{help} {next}; tasker help {}\n", text::clean(&letter.code)));
    out
}

pub(crate) fn preview(verb: &str, preview: &LettersSettled, look: &Look) -> String {
    let counted = text::counted(usize::try_from(preview.matched).unwrap_or(usize::MAX), "dead letter");
    if preview.matched == 0 {
        return "No open dead letter is meant.\n".to_owned();
    }
    let sample: Vec<DeadLetter> = preview.sample.iter().filter_map(|letter| serde_json::from_str(letter.get()).ok()).collect();
    let more = preview.matched.saturating_sub(sample.len() as u64);
    let more = if more > 0 { format!("… and {more} more\n") } else { String::new() };
    format!("It would {verb} {counted}; nothing was done.\n\n{}{more}", table(&sample, look))
}

pub(crate) fn settled(done: &str, settled: &LettersSettled, look: &Look) -> String {
    if settled.items.is_empty() {
        return "No open dead letter is meant; nothing was done.\n".to_owned();
    }
    let before = settled.items.iter().filter(|item| item.before).count();
    let mut said = vec![format!("{done} {}", settled.done - (before as u64).min(settled.done))];
    said.extend((before > 0).then(|| format!("{before} were {done} before")));
    said.extend((settled.refused > 0).then(|| format!("{} refused", settled.refused)));
    let mut out = String::new();
    let named = |item: &&crate::answers::SettledLetter| item.code.is_some() || settled.items.len() <= NAMED_MAX;
    let rows: Vec<_> = settled.items.iter().filter(named).take(NAMED_MAX).collect();
    if !rows.is_empty() {
        let mut table = Table::new(&["!task", "!outcome", "!new task", "refusal"]);
        for item in rows {
            let refusal = item.code.as_ref().map(|code| format!("{code}: {}", item.detail.as_deref().unwrap_or_default()));
            table.row(vec![
                table::plain(&item.task),
                table::plain(&item.outcome),
                table::optional(item.requeued_to.as_deref()),
                refusal.map_or_else(|| "-".to_owned(), |refusal| table::plain(&refusal)),
            ]);
        }
        out.push_str(&table.render(look));
        out.push('\n');
    }
    out.push_str(&format!("{}\n", said.join(", ")));
    out
}
