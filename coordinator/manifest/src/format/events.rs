//! The parser's events with the places of their tokens, and the names of anchors.

use crate::yaml::{BYTES_MAX, DEPTH_MAX};
use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle};

/// One token of the source, or the end of a collection.
#[derive(Debug)]
pub(super) struct Token {
    pub kind: TokenKind,
    /// First byte. Of a collection in block style, of its first content.
    pub start: usize,
    /// After the last byte.
    pub end: usize,
    /// Characters before it in its line.
    pub column: usize,
    /// The place of `&name` before it.
    pub anchor: Option<(usize, usize)>,
}

#[derive(Debug, PartialEq)]
pub(super) enum TokenKind {
    Scalar {
        value: String,
        style: ScalarStyle,
    },
    Alias,
    Map {
        flow: bool,
    },
    List {
        flow: bool,
    },
    /// Of the innermost open collection.
    End,
}

/// Reads the one document of a text that was parsed before; nothing if it holds what a manifest may not hold.
pub(super) fn read(source: &str) -> Option<Vec<Token>> {
    if source.len() > BYTES_MAX {
        return None;
    }
    let options = granit_parser::options! {
        disallow_directives: true,
        emit_anchor_events: true,
        emit_comments: false,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    let mut tokens: Vec<Token> = Vec::new();
    for next in Parser::new_from_str_with_options(source, options) {
        let (event, span) = next.ok()?;
        let kind = match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => continue,
            Event::Anchor(..) => {
                let (start, end) = bytes(&span)?;
                tokens.last_mut()?.anchor = Some((start, end));
                continue;
            }
            Event::Scalar(value, style, _, None) => TokenKind::Scalar { value: value.into_owned(), style },
            Event::Alias(_) => TokenKind::Alias,
            Event::MappingStart(style, _, None) => TokenKind::Map { flow: style == StructureStyle::Flow },
            Event::SequenceStart(style, _, None) => TokenKind::List { flow: style == StructureStyle::Flow },
            Event::MappingEnd | Event::SequenceEnd => TokenKind::End,
            // Tags, and events of options that are off.
            _ => return None,
        };
        let (start, end) = bytes(&span)?;
        tokens.push(Token { kind, start, end, column: span.start.col(), anchor: None });
    }
    trim(source, &mut tokens);
    Some(tokens)
}

fn bytes(span: &Span) -> Option<(usize, usize)> {
    span.start.byte_offset().zip(span.end.byte_offset())
}

/// The empty lines after a block scalar are not its own, unless its header keeps them.
fn trim(source: &str, tokens: &mut [Token]) {
    for token in tokens {
        if let TokenKind::Scalar { style: ScalarStyle::Literal | ScalarStyle::Folded, .. } = token.kind {
            let content = &source[token.start..token.end];
            let keeps = header(source, token).is_some_and(|header| header.contains('+'));
            // The parser reads on into the indentation of the next line.
            let own = if keeps { content.trim_end_matches(' ') } else { content.trim_end() };
            token.end = token.start + own.len();
        }
    }
}

/// The header of a block scalar as it was written: `|`, `>-`, `|2+`.
pub(super) fn header<'s>(source: &'s str, token: &Token) -> Option<&'s str> {
    let before = &source[..token.start];
    // The header ends the line before the content; empty lines may follow it.
    let line = before.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    let line = line.find(" #").map_or(line, |comment| line[..comment].trim_end());
    let start = line.rfind(['|', '>'])?;
    let header = &line[start..];
    header[1..].chars().all(|sign| matches!(sign, '+' | '-' | '1'..='9')).then_some(header)
}

/// Every anchor and alias by name, in sorted order.
pub(super) fn names<'s>(source: &'s str, tokens: &[Token]) -> Vec<&'s str> {
    let anchors = tokens.iter().filter_map(|token| token.anchor).map(|(start, end)| &source[start..end]);
    let aliases = tokens.iter().filter(|token| token.kind == TokenKind::Alias).map(|token| &source[token.start..token.end]);
    let mut names: Vec<&str> = anchors.chain(aliases).collect();
    names.sort_unstable();
    names
}
