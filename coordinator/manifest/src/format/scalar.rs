//! One scalar: which quotes, which style, which lines.
//!
//! What has no quotes gets none and what has them keeps them, because quotes decide what a value is. Double quotes are the rule; a text
//! with quotes or backslashes in it, such as a pattern or an expression with literals, reads better in single ones.

use granit_parser::ScalarStyle;

/// A scalar as it was written and what it says.
#[derive(Debug, Clone)]
pub(super) struct Scalar {
    value: String,
    style: ScalarStyle,
    /// The source: of a block scalar its content from the first character on.
    raw: String,
    /// Of a block scalar: `|`, `>-`, `|2+`.
    header: String,
    /// Of a block scalar: how deep its content stood.
    column: usize,
}

/// How a scalar is written at some place.
#[derive(Debug, PartialEq)]
pub(super) enum Written {
    /// Behind its key or dash; may be empty.
    Inline(String),
    /// A header behind the key, and lines of content; they are indented, but empty ones are not.
    Block { header: String, lines: Vec<String> },
}

impl Scalar {
    pub fn new(value: &str, style: ScalarStyle, raw: &str, header: &str, column: usize) -> Self {
        Self { value: value.to_owned(), style, raw: raw.to_owned(), header: header.to_owned(), column }
    }

    /// A value that is not there.
    pub fn empty() -> Self {
        Self::new("", ScalarStyle::Plain, "", "", 0)
    }

    pub fn value(&self) -> &str {
        &self.value
    }

    /// In one line, whatever it was; for keys and between brackets.
    pub fn inline(&self) -> String {
        match self.style {
            ScalarStyle::Plain if self.raw.contains('\n') && self.value.contains('\n') => escaped(&self.value),
            ScalarStyle::Plain if self.raw.contains('\n') => self.value.clone(),
            ScalarStyle::Plain => self.raw.clone(),
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => self.quoted(),
            ScalarStyle::Literal | ScalarStyle::Folded => escaped(&self.value),
        }
    }

    /// In a block. `used` is what already stands in the line, with the space after it; `room` is left for lines of content.
    pub fn in_block(&self, used: usize, room: usize, line_max: usize) -> Written {
        match self.style {
            // A line of spaces at the end cannot be told from an empty line after the text by anybody who looks at it.
            ScalarStyle::Literal | ScalarStyle::Folded if ends_in_spaces(&self.value) => Written::Inline(escaped(&self.value)),
            ScalarStyle::Literal => literal(&self.value),
            ScalarStyle::Folded => self.folded(),
            ScalarStyle::Plain | ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
                let many = self.raw.contains('\n');
                if many && self.value.contains('\n') && !needs_escapes(&self.value) && !ends_in_spaces(&self.value) {
                    return literal(&self.value);
                }
                let inline = self.inline();
                let long = used + inline.chars().count() > line_max;
                match wrapped(&self.value, room) {
                    Some(lines) if long && (self.style != ScalarStyle::Plain || is_text(&self.value)) => {
                        Written::Block { header: ">-".to_owned(), lines }
                    }
                    Some(_) | None => Written::Inline(inline),
                }
            }
        }
    }

    fn quoted(&self) -> String {
        let one_line = !self.raw.contains('\n');
        if needs_escapes(&self.value) {
            return if one_line { self.raw.clone() } else { escaped(&self.value) };
        }
        if one_line && self.style == ScalarStyle::DoubleQuoted && has_other_escapes(&self.raw) {
            return self.raw.clone();
        }
        let heavy = self.value.matches(['"', '\\']).count();
        let light = self.value.matches('\'').count();
        if heavy > light {
            format!("'{}'", self.value.replace('\'', "''"))
        } else {
            format!("\"{}\"", self.value.replace('\\', "\\\\").replace('"', "\\\""))
        }
    }

    /// A folded text keeps its lines: where they break is the author's.
    fn folded(&self) -> Written {
        let indented = |line: &&str| !line.trim().is_empty();
        let mut all: Vec<String> = Vec::new();
        // The source begins behind the indentation of the first line.
        let first = " ".repeat(self.column);
        let text = format!("{first}{}", self.raw);
        let depth = if self.header.contains(|sign: char| sign.is_ascii_digit()) {
            self.column
        } else {
            text.lines().find(indented).map_or(self.column, |line| line.len() - line.trim_start_matches(' ').len())
        };
        for line in text.lines() {
            let own = line.len() - line.trim_start_matches(' ').len();
            all.push(line[own.min(depth)..].to_owned());
        }
        let keep = self.header.contains('+');
        while !keep && all.last().is_some_and(|line| line.trim().is_empty()) {
            all.pop();
        }
        block('>', &self.value, all)
    }
}

/// A literal text, made from what it says.
fn literal(value: &str) -> Written {
    let body = value.trim_end_matches('\n');
    let mut lines: Vec<String> = body.split('\n').map(str::to_owned).collect();
    if body.is_empty() {
        lines.clear();
    }
    let ends = value.len() - body.len();
    // Beyond the first, every line break at the end is an empty line that must be kept.
    lines.extend(std::iter::repeat_n(String::new(), if body.is_empty() { ends } else { ends.saturating_sub(1) }));
    block('|', value, lines)
}

/// The header says how the text ends, and where its lines begin if the first one begins with a space.
fn block(sign: char, value: &str, lines: Vec<String>) -> Written {
    let chomping = match value.len() - value.trim_end_matches('\n').len() {
        0 => "-",
        1 if value.len() > 1 => "",
        _ => "+",
    };
    let leading = lines.iter().find(|line| !line.trim_start_matches(' ').is_empty()).is_some_and(|line| line.starts_with(' '));
    let spaces = lines.iter().take_while(|line| line.trim_start_matches(' ').is_empty()).any(|line| !line.is_empty());
    let indicator = if leading || spaces { "2" } else { "" };
    Written::Block { header: format!("{sign}{indicator}{chomping}"), lines }
}

/// Whether an unquoted scalar is text, so that it may become a folded one.
fn is_text(value: &str) -> bool {
    crate::scalar::read(value) == crate::scalar::Plain::Text
}

/// Words in lines of at most `room` characters where they allow it; nothing if the text has only one line then, or if folding would
/// change it. A line may only break at a space that stands alone: what begins with a space is not folded.
fn wrapped(value: &str, room: usize) -> Option<Vec<String>> {
    if value.is_empty() || value.contains('\n') || value.trim() != value || needs_escapes(value) {
        return None;
    }
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in words(value) {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    (lines.len() > 1).then_some(lines)
}

/// The pieces between single spaces; several spaces stay inside a piece.
fn words(value: &str) -> Vec<&str> {
    let bytes = value.as_bytes();
    let blank = |at: usize| matches!(bytes.get(at), Some(b' ' | b'\t'));
    let mut words = Vec::new();
    let mut start = 0;
    for at in 1..bytes.len() {
        if bytes[at] == b' ' && !blank(at - 1) && !blank(at + 1) {
            words.push(&value[start..at]);
            start = at + 1;
        }
    }
    words.push(&value[start..]);
    words
}

/// Whether the last line that is not empty holds only spaces.
fn ends_in_spaces(value: &str) -> bool {
    let body = value.trim_end_matches('\n');
    body.rsplit('\n').next().is_some_and(|last| !last.is_empty() && last.trim().is_empty())
}

/// Whether a text holds what only escapes can show.
fn needs_escapes(value: &str) -> bool {
    value.chars().any(|sign| {
        sign != '\n' && sign != '\t' && sign.is_control()
            || matches!(sign, '\u{85}' | '\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    })
}

/// Whether double quotes hold an escape that is more than a quote or a backslash; then the author's spelling is kept.
fn has_other_escapes(raw: &str) -> bool {
    let mut signs = raw.chars();
    while let Some(sign) = signs.next() {
        if sign == '\\' && !matches!(signs.next(), Some('"' | '\\')) {
            return true;
        }
    }
    false
}

/// In double quotes with escapes, in one line.
fn escaped(value: &str) -> String {
    let mut out = String::from("\"");
    for sign in value.chars() {
        match sign {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            sign if needs_escapes(sign.encode_utf8(&mut [0; 4])) => out.push_str(&format!("\\u{:04x}", sign as u32)),
            sign => out.push(sign),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, value: &str, style: ScalarStyle, expected: &str) {
        assert_eq!(Scalar::new(value, style, raw, "", 0).inline(), expected, "{raw}");
    }

    #[test]
    fn quotes_are_double_unless_single_ones_read_better() {
        check("'a'", "a", ScalarStyle::SingleQuoted, "\"a\"");
        check("\"a\"", "a", ScalarStyle::DoubleQuoted, "\"a\"");
        check(r"'^\d+$'", r"^\d+$", ScalarStyle::SingleQuoted, r"'^\d+$'");
        check(r#""^\\d+$""#, r"^\d+$", ScalarStyle::DoubleQuoted, r"'^\d+$'");
        check(r#""{'a': 1}""#, "{'a': 1}", ScalarStyle::DoubleQuoted, r#""{'a': 1}""#);
        check(r#"'say "a"'"#, "say \"a\"", ScalarStyle::SingleQuoted, r#"'say "a"'"#);
        check(r#""tab\there""#, "tab\there", ScalarStyle::DoubleQuoted, r#""tab\there""#);
        check("plain", "plain", ScalarStyle::Plain, "plain");
        check("two\n  lines", "two lines", ScalarStyle::Plain, "two lines");
    }

    #[test]
    fn lines_break_only_at_single_spaces() {
        assert_eq!(wrapped("aaa bbb  ccc ddd", 8), Some(vec!["aaa".into(), "bbb  ccc".into(), "ddd".into()]));
        assert_eq!(wrapped("aaa", 1), None);
        assert_eq!(wrapped(" aaa bbb", 3), None);
    }

    #[test]
    fn a_literal_says_how_it_ends_and_where_it_begins() {
        let header = |value: &str| match literal(value) {
            Written::Block { header, lines } => (header, lines.len()),
            Written::Inline(_) => panic!("a literal is a block"),
        };
        assert_eq!(header("a\nb"), ("|-".into(), 2));
        assert_eq!(header("a\n"), ("|".into(), 1));
        assert_eq!(header("a\n\n"), ("|+".into(), 2));
        assert_eq!(header(" a\n"), ("|2".into(), 1));
        assert_eq!(header(""), ("|-".into(), 0));
        assert_eq!(header("\n"), ("|+".into(), 1));
    }
}
