//! Where the time of a task went: one bar per step, scaled to the terminal.

use crate::answers::{Timeline, TimelineAttempt, TimelineRow};
use crate::look::{Look, Tone};
use crate::text;

/// Bars shorter than this say nothing.
const BAR_CELLS_MIN: usize = 20;
/// Names longer than this are cut, so that the bars keep their room.
const NAME_CHARACTERS_MAX: usize = 28;

/// What fills a cell of a bar. In order of importance: where two things share a cell, the later one is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cell {
    Nothing,
    /// Between two attempts.
    Pause,
    /// Ready, and no worker took it yet.
    Waiting,
    /// Nobody worked: it slept, or waited for a person, a signal or an event.
    Outside,
    Withdrawn,
    Succeeded,
    Running,
    Failed,
}

impl Cell {
    fn glyph(self) -> char {
        match self {
            Self::Nothing => ' ',
            Self::Pause => '·',
            Self::Waiting => '░',
            Self::Outside => '~',
            Self::Withdrawn => '-',
            Self::Succeeded => '█',
            Self::Running => '▒',
            Self::Failed => '×',
        }
    }

    fn tone(self) -> Option<Tone> {
        match self {
            Self::Nothing => None,
            Self::Pause | Self::Waiting | Self::Outside | Self::Withdrawn => Some(Tone::Dim),
            Self::Succeeded => Some(Tone::Good),
            Self::Running => Some(Tone::Busy),
            Self::Failed => Some(Tone::Bad),
        }
    }

    fn of_outcome(outcome: &str) -> Self {
        match outcome {
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            "withdrawn" => Self::Withdrawn,
            _ => Self::Running,
        }
    }

    /// What a step did from being due to its end, if it made no attempt of its own: it slept or waited, or its items did the work.
    fn of_row(row: &TimelineRow) -> Self {
        match (row.kind.as_deref(), row.state.as_str()) {
            (Some("wait" | "sleep" | "approval"), _) => Self::Outside,
            (_, "succeeded") => Self::Succeeded,
            (_, "failed" | "held") => Self::Failed,
            (_, "fanned_out" | "falling_back") => Self::Running,
            (_, "cancelled") => Self::Withdrawn,
            (_, _) => Self::Waiting,
        }
    }
}

/// From being due to its end, in milliseconds since the task was accepted; for steps that made no attempt of their own.
fn due(row: &TimelineRow, timeline: &Timeline, so_far: i64) -> Option<(i64, i64)> {
    if !row.attempts.is_empty() || row.state == "skipped" {
        return None;
    }
    let since = |at| text::milliseconds_between(timeline.accepted_at, at);
    let from = since(row.ready_at?);
    Some((from, row.finished_at.map_or(so_far, since).max(from)))
}

pub(crate) fn draw(timeline: &Timeline, look: &Look) -> String {
    let so_far = text::milliseconds_between(timeline.accepted_at, timeline.finished_at.unwrap_or(look.now));
    let span =
        timeline.rows.iter().flat_map(|row| &row.attempts).map(|attempt| end_of(attempt, so_far)).max().unwrap_or(0).max(so_far).max(1);
    let mut out = heading(timeline, so_far, look);
    if timeline.rows.is_empty() {
        out.push_str("Nothing has started yet.\n");
        return out;
    }

    let names: Vec<String> = timeline.rows.iter().map(|row| text::shorten(&text::clean(&row.step), NAME_CHARACTERS_MAX)).collect();
    let owners: Vec<String> = timeline.rows.iter().map(|row| text::shorten(&owner(row), NAME_CHARACTERS_MAX)).collect();
    let name_width = longest(&names).max("step".len());
    let owner_width = longest(&owners).max("system".len());
    let width = usize::from(look.width.unwrap_or(Look::WIDTH_WITHOUT_TERMINAL));
    // Two spaces between columns, and room for ` 59.9s` behind the bar.
    let cells = width.saturating_sub(name_width + owner_width + 4 + 9).max(BAR_CELLS_MIN);

    let ruler = format!("{:<name_width$}  {:<owner_width$}  {}", "STEP", "SYSTEM", ruler(cells, span));
    out.push_str(&look.paint(Tone::Strong, ruler.trim_end()));
    out.push('\n');
    for ((row, name), owner) in timeline.rows.iter().zip(&names).zip(&owners) {
        let bar = paint(&cells_of(row, due(row, timeline, so_far), cells, span, so_far), look);
        let taken = duration_of(row, due(row, timeline, so_far), so_far).map(text::duration).unwrap_or_default();
        out.push_str(format!("{name:<name_width$}  {owner:<owner_width$}  {bar} {taken}").trim_end());
        out.push('\n');
        for line in remarks(row, due(row, timeline, so_far), look) {
            out.push_str(&format!("  {line}\n"));
        }
    }
    out.push_str(
        &look.paint(Tone::Dim, "░ waits  ~ sleeps or waits outside  █ succeeded  × failed  ▒ running  · pause before a retry  - withdrawn"),
    );
    out.push('\n');
    out
}

fn heading(timeline: &Timeline, so_far: i64, look: &Look) -> String {
    let word = if timeline.finished_at.is_some() { "in" } else { "for" };
    let id = look.paint(Tone::Strong, &text::clean(&timeline.id));
    let mut out = format!("{id}  {} {word} {}\n", look.state(&timeline.status), text::duration(so_far));
    out.push_str(&format!("accepted {}", text::instant(timeline.accepted_at)));
    if let Some(trace) = &timeline.trace_id {
        out.push_str(&format!("  trace {}", text::clean(trace)));
    }
    out.push_str("\n\n");
    out
}

/// The system; or what kind of step it is, if none is asked.
fn owner(row: &TimelineRow) -> String {
    match (&row.system, row.kind.as_deref()) {
        (Some(system), _) => text::clean(system),
        (None, Some(kind)) => format!("({})", text::clean(kind)),
        (None, None) => "-".to_owned(),
    }
}

fn longest(texts: &[String]) -> usize {
    texts.iter().map(|text| text.chars().count()).max().unwrap_or(0)
}

fn end_of(attempt: &TimelineAttempt, so_far: i64) -> i64 {
    attempt.duration_ms.map_or(so_far, |duration| attempt.offset_ms.saturating_add(duration))
}

/// From the start of the first attempt to the end of the last.
fn duration_of(row: &TimelineRow, due: Option<(i64, i64)>, so_far: i64) -> Option<i64> {
    if let Some((from, to)) = due.filter(|_| Cell::of_row(row) != Cell::Waiting) {
        return Some(to - from);
    }
    let first = row.attempts.iter().map(|attempt| attempt.offset_ms).min()?;
    let last = row.attempts.iter().map(|attempt| end_of(attempt, so_far)).max()?;
    Some(last.saturating_sub(first))
}

/// `0ms ─── 1.6s ─── 3.2s`, as wide as the bars.
fn ruler(cells: usize, span: i64) -> String {
    let (middle, end) = (text::duration(span / 2), text::duration(span));
    let start = "0ms";
    let left = (cells / 2).saturating_sub(start.len() + middle.len() / 2 + 2);
    let right = cells.saturating_sub(start.len() + left + middle.len() + end.len() + 4);
    format!("{start} {} {middle} {} {end}", "─".repeat(left), "─".repeat(right))
}

fn cells_of(row: &TimelineRow, due: Option<(i64, i64)>, cells: usize, span: i64, so_far: i64) -> Vec<Cell> {
    let mut bar = vec![Cell::Nothing; cells];
    let mut fill = |from: i64, to: i64, cell: Cell| {
        let position = |at: i64| {
            let at = i128::from(at.clamp(0, span)) * i128::try_from(cells).expect("a terminal's width fits") / i128::from(span);
            usize::try_from(at).expect("between zero and the width")
        };
        let start = position(from).min(cells - 1);
        // Whatever happened is visible, however short it was.
        for place in &mut bar[start..position(to).clamp(start + 1, cells)] {
            *place = (*place).max(cell);
        }
    };
    if let Some((from, to)) = due {
        fill(from, to, Cell::of_row(row));
        return bar;
    }
    let first = row.attempts.iter().map(|attempt| attempt.offset_ms).min();
    if let Some(waited) = row.waited_ms.filter(|waited| *waited > 0) {
        let until = first.unwrap_or(so_far);
        fill(until.saturating_sub(waited), until, Cell::Waiting);
    }
    for pair in row.attempts.windows(2) {
        fill(end_of(&pair[0], so_far), pair[1].offset_ms, Cell::Pause);
    }
    for attempt in &row.attempts {
        fill(attempt.offset_ms, end_of(attempt, so_far), Cell::of_outcome(&attempt.outcome));
    }
    bar
}

fn paint(bar: &[Cell], look: &Look) -> String {
    bar.chunk_by(|one, next| one == next)
        .map(|run| {
            let drawn: String = run.iter().map(|cell| cell.glyph()).collect();
            run[0].tone().map_or_else(|| drawn.clone(), |tone| look.paint(tone, &drawn))
        })
        .collect()
}

/// The attempts in words, where the bar does not say all: who worked, what failed, how long it waited.
fn remarks(row: &TimelineRow, due: Option<(i64, i64)>, look: &Look) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    if row.attempts.is_empty() {
        let waited = match due {
            Some((from, to)) if Cell::of_row(row) == Cell::Outside => Some((to - from, "waited outside")),
            Some((from, to)) if Cell::of_row(row) == Cell::Waiting => Some((to - from, "waited")),
            // What its items did is no waiting of its own.
            Some(_) => None,
            None => row.waited_ms.map(|waited| (waited, "waited")),
        };
        let slept = row.kind.as_deref() == Some("sleep");
        let waited = waited
            .filter(|(waited, _)| *waited > 0)
            .map(|(waited, word)| format!(", {} {}", if slept { "slept" } else { word }, text::duration(waited)));
        lines.push(format!("{}{}", look.state(&row.state), waited.unwrap_or_default()));
    }
    for attempt in &row.attempts {
        let waited = row
            .waited_ms
            .filter(|waited| *waited > 0 && attempt.attempt == 1)
            .map(|waited| format!(" after {} of waiting", text::duration(waited)));
        let worker = attempt.worker.as_deref().map(|worker| format!(" by {}", text::clean(worker)));
        let code = attempt.code.as_deref().map(|code| format!(" {}", text::clean(code)));
        let taken = attempt.duration_ms.map(|duration| format!(" {}", text::duration(duration)));
        lines.push(format!(
            "#{} {}{}{}{}{}",
            attempt.attempt,
            look.state(&attempt.outcome),
            code.unwrap_or_default(),
            taken.unwrap_or_default(),
            worker.unwrap_or_default(),
            waited.unwrap_or_default(),
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINISHED: &str = r#"{"id":"tsk_06f1a2b3c4d5e","status":"succeeded","accepted_at":"2026-11-21T07:00:00.000Z","finished_at":"2026-11-21T07:00:03.200Z","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736",
        "rows":[
            {"step":"validate_order","system":"rails_orders","capability":"order.validate","state":"succeeded","waited_ms":0,"attempts":[
                {"attempt":1,"worker":"aB3dE5gH","started_at":"2026-11-21T07:00:00.010Z","finished_at":"2026-11-21T07:00:00.460Z","offset_ms":10,"duration_ms":450,"outcome":"succeeded","code":null}]},
            {"step":"charge_payment","system":"node_payments","capability":"payment.charge","state":"succeeded","waited_ms":400,"attempts":[
                {"attempt":1,"worker":"cC3dE5gH","offset_ms":860,"duration_ms":600,"outcome":"failed","code":"bank.timeout"},
                {"attempt":2,"worker":"responders","offset_ms":2000,"duration_ms":1190,"outcome":"succeeded","code":null}]},
            {"step":"log_order","system":"rails_orders","capability":"order.log","state":"succeeded","waited_ms":null,"attempts":[
                {"attempt":1,"worker":"aB3dE5gH","offset_ms":3199,"duration_ms":0,"outcome":"succeeded","code":null}]}
        ]}"#;

    fn read(json: &str) -> Timeline {
        serde_json::from_str(json).expect("the fixture fits the contract")
    }

    #[test]
    fn bars_show_waiting_failing_and_working() {
        insta::assert_snapshot!(draw(&read(FINISHED), &Look::plain()));
    }

    #[test]
    fn bars_fit_the_terminal() {
        for width in [60_u16, 80, 133, 240] {
            let drawn = draw(&read(FINISHED), &Look { width: Some(width), ..Look::plain() });
            let bars = drawn.lines().filter(|line| line.contains('█') || line.contains('─')).filter(|line| !line.contains("waits"));
            for line in bars {
                assert!(line.chars().count() <= usize::from(width), "{width}: {line}");
            }
        }
    }

    #[test]
    fn a_running_task_is_drawn_up_to_now() {
        let json = r#"{"id":"tsk_1","status":"running","accepted_at":"2026-11-21T07:00:00Z","finished_at":null,"rows":[
            {"step":"a","system":"s","state":"running","waited_ms":100,"attempts":[{"attempt":1,"worker":"w","offset_ms":1000,"duration_ms":null,"outcome":"running","code":null}]},
            {"step":"b","system":"s","state":"ready","waited_ms":5000,"attempts":[]},
            {"step":"c","system":"s","state":"pending","waited_ms":null,"attempts":[]}]}"#;
        let now = "2026-11-21T07:00:10Z".parse().expect("a valid instant");
        insta::assert_snapshot!(draw(&read(json), &Look { now, width: Some(70), ..Look::plain() }));
    }

    #[test]
    fn sleeps_and_waits_are_drawn_where_they_were() {
        let json = r#"{"id":"tsk_1","status":"running","accepted_at":"2026-11-21T07:00:00Z","finished_at":null,"rows":[
            {"step":"cool_down","kind":"sleep","system":null,"capability":null,"state":"succeeded","waited_ms":10000,"ready_at":"2026-11-21T07:00:00Z","finished_at":"2026-11-21T07:00:04Z","attempts":[]},
            {"step":"resize","kind":"call","system":"img","capability":"image.resize","state":"fanned_out","waited_ms":6000,"ready_at":"2026-11-21T07:00:04Z","finished_at":null,"attempts":[]},
            {"step":"review","kind":"approval","system":null,"capability":null,"state":"waiting","waited_ms":5000,"ready_at":"2026-11-21T07:00:05Z","finished_at":null,"attempts":[]},
            {"step":"queued","kind":"call","system":"img","capability":"image.send","state":"ready","waited_ms":2000,"ready_at":"2026-11-21T07:00:08Z","finished_at":null,"attempts":[]},
            {"step":"gift","kind":"call","system":"img","capability":"gift.wrap","state":"skipped","waited_ms":null,"attempts":[]}]}"#;
        let now = "2026-11-21T07:00:10Z".parse().expect("a valid instant");
        insta::assert_snapshot!(draw(&read(json), &Look { now, width: Some(80), ..Look::plain() }));
    }

    #[test]
    fn nonsense_from_a_server_is_drawn_without_harm() {
        let json = r#"{"id":"t","status":"odd","accepted_at":"2026-11-21T07:00:00Z","finished_at":"2026-11-21T06:00:00Z","rows":[
            {"step":"b","system":null,"kind":null,"ready_at":"2026-11-21T05:00:00Z","finished_at":"2026-11-20T06:00:00Z"},
            {"step":"a","attempts":[{"offset_ms":-9223372036854775808,"duration_ms":-5,"outcome":"?"},{"offset_ms":9000000000000000000,"duration_ms":9000000000000000000}]}]}"#;
        assert!(draw(&read(json), &Look::plain()).starts_with("t  odd in 0ms"));
    }
}
