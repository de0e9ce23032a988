//! Types as people read them: `{ order_id: string, lines: [{ sku: string }], note?: string | null }`.

use crate::limits::MESSAGE_CHARS_MAX;
use crate::number::{Edge, Numbers, Range};
use crate::shape::{Case, List, Object, Ref, Set, Type, View};
use crate::text::{Free, Texts};
use serde_json::Value;
use std::fmt::Write;

/// `Display` writes at most this much of a type; [`Type::render`] takes a limit.
const DISPLAY_CHARS_MAX: usize = 2_000;
/// Deeper parts are left out.
const SHOWN_DEPTH_MAX: usize = 8;

impl Type {
    /// The type in one line of at most so many characters; what does not fit is left out with `…`.
    pub fn render(&self, max_chars: usize) -> String {
        render(self.view(), max_chars)
    }
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.render(DISPLAY_CHARS_MAX))
    }
}

impl std::fmt::Debug for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Type({self})")
    }
}

pub(crate) fn render(view: View<'_>, max_chars: usize) -> String {
    let mut pen = Pen { text: String::new(), left: max_chars, above: Vec::new() };
    pen.view(view, false);
    pen.finish(max_chars)
}

/// A type inside a message.
pub(crate) fn short(view: View<'_>) -> String {
    render(view, MESSAGE_CHARS_MAX)
}

/// A case inside a message.
pub(crate) fn short_case(view: View<'_>, case: &Case) -> String {
    let mut pen = Pen { text: String::new(), left: MESSAGE_CHARS_MAX, above: Vec::new() };
    pen.case(view, case);
    pen.finish(MESSAGE_CHARS_MAX)
}

/// A value inside a message.
pub(crate) fn short_value(value: &Value) -> String {
    let mut pen = Pen { text: String::new(), left: 0, above: Vec::new() };
    pen.text = value.to_string();
    pen.finish(MESSAGE_CHARS_MAX)
}

struct Pen {
    text: String,
    /// A bound of what is still written; reached, the parts write nothing more.
    left: usize,
    above: Vec<(usize, u32)>,
}

impl Pen {
    fn put(&mut self, text: &str) {
        self.left = self.left.saturating_sub(text.len());
        self.text.push_str(text);
    }

    fn finish(self, max_chars: usize) -> String {
        if self.text.chars().count() <= max_chars {
            return self.text;
        }
        let mut kept: String = self.text.chars().take(max_chars.saturating_sub(1)).collect();
        kept.push('…');
        kept
    }

    fn view(&mut self, view: View<'_>, inside_union: bool) {
        if self.left == 0 {
            return;
        }
        let node = view.node();
        if node.any {
            return self.put("any");
        }
        if self.above.contains(&view.key()) || self.above.len() >= SHOWN_DEPTH_MAX {
            let name = node.name.clone();
            return self.put(name.as_deref().unwrap_or("…"));
        }
        if node.cases.is_empty() {
            return self.put("never");
        }
        self.above.push(view.key());
        let bracketed = inside_union && node.cases.len() > 1;
        self.put(if bracketed { "(" } else { "" });
        for (place, case) in node.cases.iter().enumerate() {
            if self.left == 0 {
                break;
            }
            self.put(if place > 0 { " | " } else { "" });
            self.case(view, case);
        }
        self.put(if bracketed { ")" } else { "" });
        self.above.pop();
    }

    fn case(&mut self, view: View<'_>, case: &Case) {
        match &case.set {
            Set::Null => self.put("null"),
            Set::Boolean(None) => self.put("boolean"),
            Set::Boolean(Some(flag)) => self.put(if *flag { "true" } else { "false" }),
            Set::Number(numbers) => self.numbers(numbers),
            Set::Text(texts) => self.texts(texts),
            Set::List(list) => self.list(view, list),
            Set::Object(object) => self.object(view, object),
        }
        for (place, doubt) in case.doubts.iter().enumerate() {
            self.put(if place == 0 { " with `" } else { ", `" });
            self.put(doubt.short());
            self.put("`");
        }
    }

    fn numbers(&mut self, numbers: &Numbers) {
        match numbers {
            Numbers::Points(points) => self.several(points.iter().map(ToString::to_string)),
            Numbers::Range(Range { low, high, step }) => {
                self.put(if step.is_some() { "integer" } else { "number" });
                let mark = |edge: &Edge, open, closed| format!(" {} {}", if edge.open { open } else { closed }, edge.at);
                match (low, high) {
                    (Some(low), Some(high)) if !low.open && !high.open => {
                        let text = format!(" {}..{}", low.at, high.at);
                        self.put(&text);
                    }
                    _ => {
                        let ends = [low.as_ref().map(|low| mark(low, ">", ">=")), high.as_ref().map(|high| mark(high, "<", "<="))];
                        self.put(&ends.into_iter().flatten().collect::<String>());
                    }
                }
                if let Some(step) = step.filter(|step| *step != 1) {
                    let text = format!(" in steps of {step}");
                    self.put(&text);
                }
            }
        }
    }

    fn texts(&mut self, texts: &Texts) {
        match texts {
            Texts::Words(words) => self.several(words.iter().map(|word| Value::String(word.to_string()).to_string())),
            Texts::Free(Free { min, max, patterns, formats }) => {
                let mut text = String::from("string");
                for format in formats {
                    let _ = write!(text, " {}", format.name());
                }
                for pattern in patterns {
                    let _ = write!(text, " /{}/", pattern.text());
                }
                if (*min, *max) != (0, None) {
                    let _ = write!(text, " of {}", bounds(*min, *max, "character"));
                }
                self.put(&text);
            }
        }
    }

    fn several(&mut self, values: impl Iterator<Item = String>) {
        for (place, value) in values.enumerate() {
            if self.left == 0 {
                return;
            }
            self.put(if place > 0 { " | " } else { "" });
            self.put(&value);
        }
    }

    fn list(&mut self, view: View<'_>, list: &List) {
        self.put("[");
        for (place, part) in list.first.iter().enumerate() {
            self.put(if place > 0 { ", " } else { "" });
            self.view(view.part(part), false);
        }
        let exact = list.max == Some(list.first.len() as u64);
        if !exact {
            self.put(if list.first.is_empty() { "" } else { ", ..." });
            self.view(view.part(&list.rest), false);
        }
        self.put("]");
        let implied = (if exact { list.max.unwrap_or(0) } else { 0 }, list.max.filter(|_| exact));
        if (list.min, list.max) != implied && !(exact && list.first.is_empty()) {
            let text = format!(" of {}", bounds(list.min, list.max, "element"));
            self.put(&text);
        }
        if list.unique {
            self.put(" without repeats");
        }
    }

    fn object(&mut self, view: View<'_>, object: &Object) {
        let mut first = true;
        let mut comma = |pen: &mut Self| {
            pen.put(if first { "{ " } else { ", " });
            first = false;
        };
        for (name, member) in &object.fields {
            if self.left == 0 {
                break;
            }
            if matches!(member.part, Ref::Never) {
                continue;
            }
            comma(self);
            let plain = name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.')) && !name.is_empty();
            self.put(&if plain { name.to_string() } else { Value::String(name.to_string()).to_string() });
            self.put(if member.required { ": " } else { "?: " });
            self.view(view.part(&member.part), false);
        }
        let rest = view.part(&object.rest);
        if !rest.is_never() && !rest.is_any() {
            comma(self);
            self.put("...: ");
            self.view(rest, false);
        }
        if first {
            self.put(if rest.is_never() { "{}" } else { "object" });
        } else {
            self.put(" }");
        }
        if (object.min, object.max) != (0, None) {
            let text = format!(" of {}", bounds(object.min, object.max, "member"));
            self.put(&text);
        }
    }
}

/// `1 to 10 characters`, `at least 1 element`.
fn bounds(min: u64, max: Option<u64>, what: &str) -> String {
    let plural = |count: u64| if count == 1 { "" } else { "s" };
    match max {
        Some(max) if max == min => format!("{max} {what}{}", plural(max)),
        Some(max) if min == 0 => format!("at most {max} {what}{}", plural(max)),
        Some(max) => format!("{min} to {max} {what}s"),
        None => format!("at least {min} {what}{}", plural(min)),
    }
}
