//! Lines from the tree: two spaces for each level, one space before a comment, comments that stood in one column still in one column.

use super::LINE_MAX;
use super::scalar::Written;
use super::tree::{Collection, Document, Item, Lead, Remark, Value};

/// How much deeper each level stands.
const STEP: usize = 2;

/// Prints a whole document.
pub(super) fn write(document: &Document) -> String {
    let mut printer = Printer { lines: Vec::new() };
    printer.lead(&document.header, 0, false);
    let root = &document.root;
    printer.lead(&root.lead, 0, false);
    match &root.value {
        Value::Collection(collection) if is_block(collection, 0) => {
            match &root.anchor {
                Some(anchor) => printer.line(0, anchor.clone(), root.head.clone()),
                None => printer.comments(root.head.iter().map(|remark| remark.text.as_str()), 0),
            }
            printer.comments(root.trailing.iter().map(|remark| remark.text.as_str()), 0);
            printer.lead(&root.inner, 0, false);
            printer.collection(collection, 0, "");
        }
        Value::Collection(_) | Value::Scalar(_) | Value::Alias(_) => {
            printer.valued(root, Label { text: root.anchor.clone().unwrap_or_default(), begin: 0, inner: STEP });
        }
    }
    printer.lead(&document.tail, 0, true);
    printer.finish()
}

/// One line of the result.
struct Line {
    text: String,
    comment: Option<Remark>,
}

/// What stands before a value: `name:`, `-`, `- name: &anchor`.
struct Label {
    text: String,
    /// The column where it begins.
    begin: usize,
    /// The column of whatever belongs to it in lines below.
    inner: usize,
}

impl Label {
    /// The column where a value behind it begins.
    fn used(&self) -> usize {
        self.begin + if self.text.is_empty() { 0 } else { self.text.chars().count() + 1 }
    }
}

struct Printer {
    lines: Vec<Line>,
}

impl Printer {
    /// Fields or items from a column on. `prefix` holds the dashes of the items that this collection is the value of; its first line
    /// begins with them.
    fn collection(&mut self, collection: &Collection, indent: usize, prefix: &str) {
        for (place, item) in collection.items.iter().enumerate() {
            let opens = place == 0;
            if !opens || prefix.is_empty() {
                self.lead(&item.lead, indent, !opens);
            }
            self.item(item, indent, if opens { prefix } else { "" });
        }
        self.lead(&collection.tail, indent, true);
    }

    fn item(&mut self, item: &Item, indent: usize, prefix: &str) {
        let mut text = match &item.key {
            Some(key) => format!("{prefix}{}:", key.inline()),
            None => format!("{prefix}-"),
        };
        if let Some(anchor) = &item.anchor {
            text = format!("{text} {anchor}");
        }
        let label = Label { text, begin: indent - prefix.len(), inner: indent + STEP };
        match &item.value {
            Value::Collection(collection) if is_block(collection, label.used()) => {
                let behind = item.anchor.is_some() || item.head.is_some() || item.trailing.is_some() || !item.inner.is_empty();
                let above = collection.items.first().is_some_and(|first| has_comment(&first.lead));
                if item.key.is_none() && !behind && !above {
                    return self.collection(collection, label.inner, &format!("{prefix}- "));
                }
                // What stood behind brackets that are a block now stands behind the label.
                let (head, below) = match (&item.head, &item.trailing) {
                    (Some(head), trailing) => (Some(head), trailing.as_ref()),
                    (None, trailing) => (trailing.as_ref(), None),
                };
                self.line(label.begin, label.text, head.cloned());
                self.comments(below.iter().map(|remark| remark.text.as_str()), label.inner);
                self.lead(&item.inner, label.inner, false);
                self.collection(collection, label.inner, "");
            }
            Value::Collection(_) | Value::Scalar(_) | Value::Alias(_) => self.valued(item, label),
        }
    }

    /// A value that begins in the line of its label, or below if comments stand between.
    fn valued(&mut self, item: &Item, label: Label) {
        let broken = !item.inner.is_empty() || (item.head.is_some() && item.trailing.is_some());
        let used = if broken { label.inner } else { label.used() };
        let (text, content) = match &item.value {
            Value::Alias(name) => (name.clone(), Vec::new()),
            Value::Collection(collection) => (brackets(collection), Vec::new()),
            Value::Scalar(scalar) => match scalar.in_block(used, LINE_MAX.saturating_sub(label.inner), LINE_MAX) {
                Written::Inline(text) => (text, Vec::new()),
                Written::Block { header, lines } => (header, lines),
            },
        };
        if broken {
            self.line(label.begin, label.text, item.head.clone());
            self.lead(&item.inner, label.inner, false);
            self.line(label.inner, text, item.trailing.clone());
        } else {
            let space = if label.text.is_empty() || text.is_empty() { "" } else { " " };
            self.line(label.begin, format!("{}{space}{text}", label.text), item.trailing.clone().or(item.head.clone()));
        }
        for line in content {
            let indent = if line.is_empty() { 0 } else { label.inner };
            self.lines.push(Line { text: format!("{:indent$}{line}", ""), comment: None });
        }
    }

    fn line(&mut self, indent: usize, text: String, comment: Option<Remark>) {
        if !text.is_empty() || comment.is_some() {
            self.lines.push(Line { text: format!("{:indent$}{text}", ""), comment });
        }
    }

    fn comments<'c>(&mut self, comments: impl Iterator<Item = &'c str>, indent: usize) {
        comments.for_each(|comment| self.line(indent, comment.to_owned(), None));
    }

    /// Comments and at most one blank line at a time; none at the beginning of a block.
    fn lead(&mut self, lead: &[Lead], indent: usize, mut blank: bool) {
        for lead in lead {
            match lead {
                // After a text that keeps its empty lines, one more would be part of it.
                Lead::Blank if blank && self.lines.last().is_some_and(|last| !last.text.is_empty()) => {
                    self.lines.push(Line { text: String::new(), comment: None });
                    blank = false;
                }
                Lead::Blank => {}
                Lead::Comment(text) => {
                    self.line(indent, text.clone(), None);
                    blank = true;
                }
            }
        }
    }

    /// The text. Comments in neighbouring lines that stood in one column are put into one column again.
    fn finish(self) -> String {
        let mut out = String::new();
        let mut at = 0;
        while at < self.lines.len() {
            let column = self.lines[at].comment.as_ref().map(|comment| comment.column);
            let together = self.lines[at..]
                .iter()
                .take_while(|line| column.is_some() && line.comment.as_ref().map(|comment| comment.column) == column)
                .count()
                .max(1);
            let width = self.lines[at..at + together].iter().map(|line| line.text.chars().count()).max().unwrap_or(0);
            for line in &self.lines[at..at + together] {
                match &line.comment {
                    Some(comment) => out.push_str(&format!("{:width$} {}\n", line.text, comment.text)),
                    None => out.push_str(&format!("{}\n", line.text)),
                }
            }
            at += together;
        }
        out
    }
}

fn has_comment(lead: &[Lead]) -> bool {
    lead.iter().any(|lead| matches!(lead, Lead::Comment(_)))
}

/// Whether a collection is written in lines of its own: if its author did, if it holds comments, or if brackets make too long a line.
fn is_block(collection: &Collection, used: usize) -> bool {
    if !collection.flow {
        return true;
    }
    // An empty collection has only brackets; comments in it stand behind them.
    !collection.items.is_empty() && (collection.has_comments() || used + brackets(collection).chars().count() > LINE_MAX)
}

/// A collection in brackets, in one line.
fn brackets(collection: &Collection) -> String {
    let items: Vec<String> = collection.items.iter().map(bracketed).collect();
    match (collection.list, items.is_empty()) {
        (true, _) => format!("[{}]", items.join(", ")),
        (false, true) => "{}".to_owned(),
        (false, false) => format!("{{ {} }}", items.join(", ")),
    }
}

fn bracketed(item: &Item) -> String {
    let value = match &item.value {
        Value::Scalar(scalar) => scalar.inline(),
        Value::Alias(name) => name.clone(),
        Value::Collection(collection) => brackets(collection),
    };
    let pieces = [item.key.as_ref().map(|key| format!("{}:", key.inline())), item.anchor.clone(), Some(value)];
    let pieces: Vec<String> = pieces.into_iter().flatten().filter(|piece| !piece.is_empty()).collect();
    pieces.join(" ")
}
