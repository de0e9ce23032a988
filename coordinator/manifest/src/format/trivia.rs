//! What stands between the tokens: comments and blank lines.

use super::events::Token;

/// A comment or a blank line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trivia {
    /// First byte: of a comment its `#`, of a blank line its beginning.
    pub start: usize,
    /// After the last byte.
    pub end: usize,
    /// Characters before it in its line.
    pub column: usize,
    pub kind: TriviaKind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum TriviaKind {
    Blank,
    /// Has its line for itself.
    Above,
    /// Follows something in its line.
    Right,
}

/// Everything between the tokens, in the order of the source.
pub(super) fn scan(source: &str, tokens: &[Token]) -> Vec<Trivia> {
    let mut solid: Vec<(usize, usize)> = tokens.iter().map(|token| (token.start, token.end)).collect();
    solid.extend(tokens.iter().filter_map(|token| token.anchor));
    solid.retain(|(start, end)| start < end);
    solid.sort_unstable();
    let mut solid = solid.into_iter().peekable();
    let mut found = Vec::new();
    let (mut line, mut empty, mut at) = (0, true, 0);
    let bytes = source.as_bytes();
    while at < bytes.len() {
        while solid.next_if(|(_, end)| *end <= at).is_some() {}
        if let Some(&(start, end)) = solid.peek()
            && start <= at
        {
            line = source[..end].rfind('\n').map_or(0, |found| found + 1);
            // A block scalar that keeps its empty lines ends with a whole line.
            empty = line == end;
            at = end;
            continue;
        }
        match bytes[at] {
            b'\n' => {
                if empty {
                    found.push(Trivia { start: line, end: at, column: 0, kind: TriviaKind::Blank });
                }
                (line, empty) = (at + 1, true);
                at += 1;
            }
            b'#' if at == 0 || matches!(bytes[at - 1], b' ' | b'\t' | b'\n') => {
                let end = source[at..].find('\n').map_or(source.len(), |found| at + found);
                let kind = if empty { TriviaKind::Above } else { TriviaKind::Right };
                found.push(Trivia { start: at, end, column: source[line..at].chars().count(), kind });
                empty = false;
                at = end;
            }
            b' ' | b'\t' => at += 1,
            _ => {
                empty = false;
                at += 1;
            }
        }
    }
    found
}

/// Every comment's text, in sorted order: what must not get lost.
pub(super) fn comments<'s>(source: &'s str, tokens: &[Token]) -> Vec<&'s str> {
    let found = scan(source, tokens).into_iter().filter(|trivia| trivia.kind != TriviaKind::Blank);
    let mut comments: Vec<&str> = found.map(|trivia| source[trivia.start..trivia.end].trim_end()).collect();
    comments.sort_unstable();
    comments
}
