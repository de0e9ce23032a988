//! Tables that fit the terminal. Without a terminal nothing is wrapped or cut: a line is a record for `grep` and `awk`.

use crate::look::{Look, PLAIN_AGAIN, Tone};
use crate::text;
use comfy_table::{ColumnConstraint, ContentArrangement, presets};

/// Invisible characters of width zero that carry a tone through the layout; replaced by escape sequences, or by nothing, afterwards.
/// `text::clean` takes them out of everything that comes from outside, so nobody else can set them.
const MARKS: [(char, Tone); 5] =
    [('\u{2061}', Tone::Good), ('\u{2062}', Tone::Bad), ('\u{2063}', Tone::Busy), ('\u{2064}', Tone::Dim), ('\u{200b}', Tone::Strong)];
const MARK_END: char = '\u{2060}';

/// Spaces between columns.
const GAP: u16 = 2;
/// Characters that a wrapped column gets at least, so that words stay readable.
const WRAPPED_MIN: u16 = 8;

/// A table under construction.
pub(crate) struct Table {
    headings: Vec<&'static str>,
    whole: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns. A heading that starts with `!` names a column that is never wrapped: ids and states.
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        Self {
            headings: headings.iter().map(|heading| heading.trim_start_matches('!')).collect(),
            whole: headings.iter().map(|heading| heading.starts_with('!')).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row of cells made by [`plain`] and [`state`].
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.headings.len(), "a row has a cell for each heading");
        self.rows.push(cells);
    }

    /// The table as text, ending with a line break.
    pub(crate) fn render(&self, look: &Look) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        match look.width {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        table.set_header(self.headings.iter().map(|heading| marked(Tone::Strong, &heading.to_uppercase())));
        for row in &self.rows {
            table.add_row(row);
        }
        let last = self.headings.len().saturating_sub(1);
        let whole = self.kept_whole(&table.column_max_content_widths(), look.width);
        for (position, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, if position == last { 0 } else { GAP }));
            if whole[position] {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        let mut out = String::new();
        for line in table.to_string().lines() {
            out.push_str(&coloured(line.trim_end(), look.colour));
            out.push('\n');
        }
        out
    }

    /// Which columns are kept whole. In a terminal too narrow for all that want to be, those further left win: they hold the ids.
    fn kept_whole(&self, widths: &[u16], width: Option<u16>) -> Vec<bool> {
        let mut whole = self.whole.clone();
        let Some(width) = width else { return whole };
        let needed = |whole: &[bool]| {
            let each = widths
                .iter()
                .zip(whole)
                .map(|(content, whole)| u32::from(if *whole { *content } else { (*content).min(WRAPPED_MIN) }) + u32::from(GAP));
            each.sum::<u32>()
        };
        while needed(&whole) > u32::from(width) {
            match whole.iter().rposition(|is_whole| *is_whole).filter(|position| *position > 0) {
                Some(position) => whole[position] = false,
                None => break,
            }
        }
        whole
    }
}

/// A cell of text from outside.
pub(crate) fn plain(content: &str) -> String {
    text::clean(content)
}

/// A cell that may be empty.
pub(crate) fn optional(content: Option<&str>) -> String {
    content.map_or_else(|| "-".to_owned(), plain)
}

/// A cell that holds a state, coloured by what it means.
pub(crate) fn state(content: &str) -> String {
    Tone::of_state(content).map_or_else(|| plain(content), |tone| marked(tone, &plain(content)))
}

fn marked(tone: Tone, words: &str) -> String {
    let mark = MARKS.iter().find(|(_, marks)| *marks == tone).map_or(MARK_END, |(mark, _)| *mark);
    format!("{mark}{words}{MARK_END}")
}

fn coloured(line: &str, colour: bool) -> String {
    let mut out = String::with_capacity(line.len());
    for character in line.chars() {
        let escape = match MARKS.iter().find(|(mark, _)| *mark == character) {
            Some((_, tone)) => tone.escape(),
            None if character == MARK_END => PLAIN_AGAIN,
            None => {
                out.push(character);
                continue;
            }
        };
        if colour {
            out.push_str(escape);
        }
    }
    out.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(&["!id", "!status", "message"]);
        table.row(vec![plain("tsk_0001"), state("succeeded"), plain("a long story that does not fit into forty columns at all")]);
        table.row(vec![plain("tsk_0002"), state("failed"), plain("ctrl\u{1b}[2J \u{2061}mark")]);
        table
    }

    #[test]
    fn a_narrow_terminal_wraps_the_text_and_keeps_the_ids_whole() {
        let rendered = sample().render(&Look { width: Some(40), ..Look::plain() });
        assert!(rendered.lines().all(|line| line.chars().count() <= 40), "{rendered}");
        insta::assert_snapshot!(rendered);
    }

    #[test]
    fn a_pipe_gets_one_line_for_each_row() {
        insta::assert_snapshot!(sample().render(&Look { width: None, ..Look::plain() }));
    }

    #[test]
    fn colour_changes_no_layout() {
        let plain = sample().render(&Look::plain());
        let colour = sample().render(&Look { colour: true, ..Look::plain() });
        assert!(colour.contains("\u{1b}[32msucceeded\u{1b}[0m"), "{colour:?}");
        let mut stripped = colour;
        for escape in ["\u{1b}[32m", "\u{1b}[1;31m", "\u{1b}[1m", PLAIN_AGAIN] {
            stripped = stripped.replace(escape, "");
        }
        assert_eq!(stripped, plain);
    }
}
