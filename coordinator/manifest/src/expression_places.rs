//! Where each `${ … }` of a text stands in the file.
//!
//! Whether a text is acceptable is the engine's verdict; this file only finds the places for diagnostics.

use crate::report::Place;
use crate::yaml::Node;
use std::ops::Range;

/// What stands between the braces of each `${ … }`.
pub(crate) fn bodies(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find("${").map(|place| from + place) {
        if text[from..start].ends_with('$') {
            from = start + 2;
            continue;
        }
        let Some(length) = length_of_body(&text[start + 2..]) else { break };
        found.push(start + 2..start + 2 + length);
        from = start + 2 + length + 1;
    }
    found
}

/// The bytes before the `}` that closes an expression; quotes and inner braces are stepped over.
fn length_of_body(rest: &str) -> Option<usize> {
    let (mut depth, mut quote, mut escaped) = (0usize, None, false);
    for (place, byte) in rest.bytes().enumerate() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if byte == b'\\' => escaped = true,
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if byte == b'\'' || byte == b'"' => quote = Some(byte),
            None if byte == b'{' => depth += 1,
            None if byte == b'}' && depth == 0 => return Some(place),
            None if byte == b'}' => depth -= 1,
            None => {}
        }
    }
    None
}

/// Where each expression stands in the file. Escapes and folded lines can hide one; then the whole text is marked.
pub(crate) fn places(node: &Node, text: &str, bodies: &[Range<usize>], source: &str) -> Vec<Place> {
    let raw = source.get(node.place.start..node.place.end).unwrap_or_default();
    let mut places = Vec::with_capacity(bodies.len());
    let (mut done, mut line, mut column) = (0, node.place.line, node.place.column);
    for body in bodies {
        let body = &text[body.clone()];
        let found = raw[done..].match_indices("${").map(|(place, _)| done + place).find(|place| !raw[..*place].ends_with('$'));
        let Some(start) = found.map(|place| place + 2) else {
            places.push(node.place);
            continue;
        };
        for character in raw[done..start].chars() {
            (line, column) = if character == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        done = start;
        let lead = body.len() - body.trim_start().len();
        if raw[start..].starts_with(body) && !body[..lead].contains('\n') {
            let begin = node.place.start + start;
            places.push(Place {
                start: begin + lead,
                end: begin + body.trim_end().len().max(lead),
                line,
                column: column + body[..lead].chars().count(),
            });
            for character in body.chars() {
                (line, column) = if character == '\n' { (line + 1, 1) } else { (line, column + 1) };
            }
            done += body.len();
        } else {
            let begin = node.place.start + start - 2;
            places.push(Place { start: begin, end: begin + 2, line, column: column.saturating_sub(2).max(1) });
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_found_as_the_engine_finds_them() {
        let table: [(&str, &[&str]); 7] = [
            ("none", &[]),
            ("${ a.b }", &[" a.b "]),
            ("x ${a.b} y ${c.d}", &["a.b", "c.d"]),
            ("$${no} ${yes}", &["yes"]),
            ("${ {'a': '}'}.a }", &[" {'a': '}'}.a "]),
            ("${ '\\'}' }", &[" '\\'}' "]),
            ("${ open", &[]),
        ];
        for (text, expected) in table {
            let found: Vec<&str> = bodies(text).into_iter().map(|body| &text[body]).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
