//! The manifest as it was written: nodes with the comments and blank lines that belong to them.
//!
//! A comment with a line for itself belongs to the field or item below it, unless it is indented deeper than that: then it ends the block
//! that it is indented like. A comment behind something belongs to what it stands behind.

use super::events::{self, Token, TokenKind};
use super::order;
use super::scalar::Scalar;
use super::trivia::{self, Trivia, TriviaKind};
use granit_parser::ScalarStyle;

/// What stands above a field or an item.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Lead {
    Blank,
    Comment(String),
}

/// A comment behind something, and the column where it stood.
#[derive(Debug, Clone)]
pub(super) struct Remark {
    pub text: String,
    pub column: usize,
}

/// A field of a mapping (with a key), an item of a list, or the whole document.
#[derive(Debug)]
pub(super) struct Item {
    pub lead: Vec<Lead>,
    pub key: Option<Scalar>,
    /// Behind the key or the dash, when the value begins below.
    pub head: Option<Remark>,
    /// Comments between the key and a value that is no block.
    pub inner: Vec<Lead>,
    /// `&name`.
    pub anchor: Option<String>,
    pub value: Value,
    /// Behind the value.
    pub trailing: Option<Remark>,
}

#[derive(Debug)]
pub(super) enum Value {
    Scalar(Scalar),
    /// `*name`.
    Alias(String),
    Collection(Collection),
}

#[derive(Debug)]
pub(super) struct Collection {
    pub list: bool,
    /// Written with brackets.
    pub flow: bool,
    pub items: Vec<Item>,
    /// After the last item.
    pub tail: Vec<Lead>,
}

/// The whole file.
#[derive(Debug)]
pub(super) struct Document {
    /// Comments at the top that a blank line separates from the first field; they stay at the top.
    pub header: Vec<Lead>,
    pub root: Item,
    pub tail: Vec<Lead>,
}

impl Collection {
    /// Whether brackets cannot hold it in one line: a comment inside would swallow the rest.
    pub fn has_comments(&self) -> bool {
        let comment = |lead: &[Lead]| lead.iter().any(|lead| matches!(lead, Lead::Comment(_)));
        comment(&self.tail)
            || self.items.iter().any(|item| {
                let below = match &item.value {
                    Value::Collection(collection) => collection.has_comments(),
                    Value::Scalar(_) | Value::Alias(_) => false,
                };
                below || comment(&item.lead) || comment(&item.inner) || item.head.is_some() || item.trailing.is_some()
            })
    }
}

/// Builds the tree of a text from its tokens. The fields are in canonical order.
pub(super) fn build(source: &str, tokens: &[Token]) -> Document {
    let trivia = trivia::scan(source, tokens);
    let mut builder = Builder { source, tokens, at: 0, trivia: &trivia, cursor: 0, columns: Vec::new() };
    let lead = match tokens.first() {
        Some(Token { kind: TokenKind::Map { flow: false } | TokenKind::List { flow: false }, .. }) | None => Vec::new(),
        Some(first) => builder.lead(first.anchor.map_or(first.start, |(start, _)| start)),
    };
    let mut root = builder.value(lead, None, 0);
    let mut tail = builder.lead(source.len() + 1);
    unblank(&mut tail);
    let mut header = Vec::new();
    if let Value::Collection(Collection { items, flow: false, .. }) = &mut root.value
        && let Some(first) = items.first_mut()
        && let Some(blank) = first.lead.iter().rposition(|lead| *lead == Lead::Blank)
    {
        header = first.lead.drain(..=blank).collect();
    }
    order::apply(&mut root);
    Document { header, root, tail }
}

/// Blank lines separate; at an end there is nothing to separate.
fn unblank(tail: &mut Vec<Lead>) {
    while tail.last() == Some(&Lead::Blank) {
        tail.pop();
    }
}

struct Builder<'b> {
    source: &'b str,
    tokens: &'b [Token],
    at: usize,
    /// What is left.
    trivia: &'b [Trivia],
    /// After the last token that was taken.
    cursor: usize,
    /// Of the open block collections, outermost first.
    columns: Vec<usize>,
}

impl<'b> Builder<'b> {
    /// Reads the value at the next token. `after` is the end of the key or the dash before it.
    fn value(&mut self, lead: Vec<Lead>, key: Option<Scalar>, after: usize) -> Item {
        let Some(token) = self.tokens.get(self.at) else {
            return Item { lead, key, head: None, inner: Vec::new(), anchor: None, value: Value::Scalar(Scalar::empty()), trailing: None };
        };
        let anchor = token.anchor.map(|(start, end)| self.source[start..end].to_owned());
        let after = token.anchor.map_or(after, |(_, end)| end.max(after));
        let block = matches!(token.kind, TokenKind::Map { flow: false } | TokenKind::List { flow: false });
        let start = match &token.kind {
            TokenKind::Scalar { .. } if token.start == token.end => after,
            TokenKind::List { flow: false } => self.dash(after.max(self.cursor)),
            TokenKind::Scalar { .. } | TokenKind::Alias | TokenKind::Map { .. } | TokenKind::List { .. } | TokenKind::End => token.start,
        };
        let (mut head, mut inner) = (None, Vec::new());
        while let Some(next) = self.trivia.first().filter(|next| next.start < start) {
            match next.kind {
                TriviaKind::Right if head.is_none() && inner.is_empty() && after > 0 => head = Some(self.remark(next)),
                TriviaKind::Right | TriviaKind::Above | TriviaKind::Blank if block => break,
                TriviaKind::Right | TriviaKind::Above => inner.push(Lead::Comment(self.remark(next).text)),
                TriviaKind::Blank => {}
            }
            self.cursor = self.cursor.max(next.end);
            self.trivia = &self.trivia[1..];
        }
        self.at += 1;
        self.cursor = self.cursor.max(after);
        let mut value = match &token.kind {
            TokenKind::Scalar { value, style } => {
                let end = if token.start == token.end { after } else { token.end };
                self.cursor = self.cursor.max(end);
                Value::Scalar(self.scalar(token, value, *style))
            }
            TokenKind::Alias => {
                self.cursor = token.end;
                Value::Alias(self.source[token.start..token.end].to_owned())
            }
            TokenKind::Map { flow } => Value::Collection(self.collection(token, false, *flow)),
            TokenKind::List { flow } => Value::Collection(self.collection(token, true, *flow)),
            // A value is never an end; the parser's grammar says so.
            TokenKind::End => Value::Scalar(Scalar::empty()),
        };
        if let Value::Collection(Collection { items, tail, flow: true, .. }) = &mut value
            && items.is_empty()
        {
            // Empty brackets have no line in which a comment could stand.
            inner.extend(tail.drain(..).filter(|lead| *lead != Lead::Blank));
        }
        let trailing = if block { None } else { self.trailing() };
        Item { lead, key, head, inner, anchor, value, trailing }
    }

    fn scalar(&self, token: &Token, value: &str, style: ScalarStyle) -> Scalar {
        let raw = &self.source[token.start..token.end];
        let header = match style {
            ScalarStyle::Literal | ScalarStyle::Folded => events::header(self.source, token).unwrap_or_default(),
            _ => "",
        };
        Scalar::new(value, style, raw, header, token.column)
    }

    fn collection(&mut self, token: &'b Token, list: bool, flow: bool) -> Collection {
        if flow {
            self.cursor = self.cursor.max(token.end);
        } else {
            let dash =
                self.source[token.start..].strip_prefix('-').is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n']));
            // A list may stand as deep as its key; then what ends it must be deeper.
            let column = if list && !dash { self.columns.last().map_or(0, |column| column + 1) } else { token.column };
            self.columns.push(column);
        }
        let mut items = Vec::new();
        while let Some(next) = self.tokens.get(self.at) {
            if next.kind == TokenKind::End {
                break;
            }
            items.push(if list { self.list_item(next, flow) } else { self.field(next) });
        }
        let tail = if flow {
            let end = self.tokens.get(self.at).map_or(self.source.len(), |token| token.end);
            let mut tail = self.lead(end);
            unblank(&mut tail);
            self.cursor = self.cursor.max(end);
            tail
        } else {
            let tail = self.tail();
            self.columns.pop();
            tail
        };
        self.at += 1;
        Collection { list, flow, items, tail }
    }

    fn list_item(&mut self, next: &Token, flow: bool) -> Item {
        if flow {
            let start = next.anchor.map_or(next.start, |(start, _)| start);
            let lead = self.lead(start);
            return self.value(lead, None, start);
        }
        let dash = self.dash(self.cursor);
        let lead = self.lead(dash);
        self.cursor = dash + 1;
        self.value(lead, None, dash + 1)
    }

    fn field(&mut self, next: &Token) -> Item {
        let lead = self.lead(next.start);
        let key = match &next.kind {
            TokenKind::Scalar { value, style } => self.scalar(next, value, *style),
            // The strict reader accepts no other keys.
            TokenKind::Alias | TokenKind::Map { .. } | TokenKind::List { .. } | TokenKind::End => Scalar::empty(),
        };
        self.at += 1;
        self.cursor = self.cursor.max(next.end);
        let colon = self.skip(self.cursor);
        let after = if self.source[colon..].starts_with(':') { colon + 1 } else { self.cursor };
        self.cursor = after;
        self.value(lead, Some(key), after)
    }

    /// The next dash that opens an item.
    fn dash(&self, from: usize) -> usize {
        let found = self.skip(from);
        if self.source[found..].starts_with('-') { found } else { from }
    }

    /// The first byte from a place on that is neither white space nor part of a comment.
    fn skip(&self, from: usize) -> usize {
        let mut at = from.min(self.source.len());
        let mut comments = self.trivia.iter().filter(|trivia| trivia.kind != TriviaKind::Blank);
        loop {
            at += self.source[at..].len() - self.source[at..].trim_start().len();
            match comments.find(|comment| comment.start >= at) {
                Some(comment) if comment.start == at => at = comment.end,
                Some(_) | None => return at,
            }
        }
    }

    fn remark(&self, trivia: &Trivia) -> Remark {
        Remark { text: self.source[trivia.start..trivia.end].trim_end().to_owned(), column: trivia.column }
    }

    /// A comment in the same line, if nothing but a comma stands between.
    fn trailing(&mut self) -> Option<Remark> {
        let next = self.trivia.first().filter(|next| next.kind == TriviaKind::Right && next.start >= self.cursor)?;
        let between = &self.source[self.cursor..next.start];
        if !between.chars().all(|sign| matches!(sign, ' ' | '\t' | ',')) {
            return None;
        }
        self.trivia = &self.trivia[1..];
        self.cursor = next.end;
        Some(self.remark(next))
    }

    /// Everything before a place.
    fn lead(&mut self, before: usize) -> Vec<Lead> {
        let count = self.trivia.iter().take_while(|trivia| trivia.start < before).count();
        self.take(count)
    }

    fn take(&mut self, count: usize) -> Vec<Lead> {
        let (taken, left) = self.trivia.split_at(count);
        self.trivia = left;
        self.cursor = taken.last().map_or(self.cursor, |last| self.cursor.max(last.end));
        let lead = |trivia: &Trivia| match trivia.kind {
            TriviaKind::Blank => Lead::Blank,
            TriviaKind::Above | TriviaKind::Right => Lead::Comment(self.remark(trivia).text),
        };
        taken.iter().map(lead).collect()
    }

    /// The comments that end the innermost block rather than begin what follows.
    fn tail(&mut self) -> Vec<Lead> {
        let closing = self.tokens[self.at..].iter().take_while(|token| token.kind == TokenKind::End).count().max(1);
        let own = self.columns.last().copied().unwrap_or(0);
        // The field or item that follows, if any, stands in the block that stays open.
        let follows = self.columns.len().checked_sub(closing + 1).map(|place| self.columns[place]);
        let until = self.skip(self.cursor);
        let mut count = 0;
        for (place, trivia) in self.trivia.iter().enumerate() {
            let deep = follows.is_none_or(|follows| trivia.column > follows) && (trivia.column >= own || closing == 1);
            match trivia.kind {
                TriviaKind::Blank => {}
                TriviaKind::Above if deep && trivia.start < until => count = place + 1,
                TriviaKind::Above | TriviaKind::Right => break,
            }
        }
        self.take(count)
    }
}
