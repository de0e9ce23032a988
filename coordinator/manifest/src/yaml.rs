//! YAML as a tree in which every node knows its place.
//!
//! The parser gives events; this file builds the tree and refuses what a manifest has no use for and strangers have: several
//! documents, tags, merge keys, keys that are not text, repeated keys, and aliases that multiply without bound.

use crate::codes;
use crate::report::{Place, Problem, Report};
use crate::scalar::{self, Plain};
use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, StrInput};
use serde_json::Number;
use std::collections::HashMap;
use std::rc::Rc;

/// The largest manifest, in bytes: ten thousand steps fit, and one check stays well below a second.
pub const BYTES_MAX: usize = 1024 * 1024;
/// The deepest nesting, also through aliases; everything that walks the tree may recurse.
pub const DEPTH_MAX: usize = 32;
/// The most nodes and keys once every alias is followed: a bomb ends here, twenty nodes for each of ten thousand steps do not.
pub const NODES_MAX: usize = 262_144;

/// One value of the manifest.
#[derive(Debug)]
pub(crate) struct Node {
    pub kind: Kind,
    pub place: Place,
    /// Nodes and keys below and including this one.
    size: usize,
    /// Levels below and including this one.
    height: usize,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    /// The number and its source text, because a version `1.0` is not the number 1.
    Number(Number, String),
    Text(String),
    List(Vec<Rc<Node>>),
    Map(Entries),
    /// Already reported; whoever meets it says nothing more.
    Invalid,
}

#[derive(Debug)]
pub(crate) struct Key {
    pub text: String,
    pub place: Place,
    /// Written without quotes, so that a reader of values may take `1` for a number.
    pub plain: bool,
}

impl Node {
    /// What it is, for messages.
    pub fn noun(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Number(..) => "a number",
            Kind::Text(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
            Kind::Invalid => "invalid",
        }
    }

    /// The value of a field, if this is a mapping that has it.
    pub fn field(&self, name: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|(key, _)| key.text == name).map(|(_, value)| value.as_ref()),
            _ => None,
        }
    }

    pub fn size(&self) -> usize {
        self.size
    }

    /// The place to mark when the node as a whole is meant: of a mapping, its first key, because a block may be long.
    pub fn mark(&self) -> Place {
        match &self.kind {
            Kind::Map(entries) => entries.first().map_or(self.place, |(key, _)| key.place),
            _ => self.place,
        }
    }
}

/// A mapping in the order of the file.
type Entries = Vec<(Key, Rc<Node>)>;

/// The parse cannot go on; the reason is reported.
struct Stopped;

/// Reads a manifest's text. `None` if it is not one YAML document; the reason is reported.
pub(crate) fn parse(report: &mut Report<'_>) -> Option<Rc<Node>> {
    let source = report.source();
    if source.len() > BYTES_MAX {
        let message = format!("the manifest is {} bytes; at most {BYTES_MAX} are accepted", source.len());
        let place = Place { start: 0, end: 0, line: 1, column: 1 };
        report.add(Problem::new(&codes::TOO_LARGE, place, message).hint("split it into several workflows"));
        return None;
    }
    let options = granit_parser::options! {
        disallow_directives: true,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    let parser = Parser::new_from_str_with_options(source, options);
    let mut tree = Tree { parser, report, nodes: 0, anchors: HashMap::new() };
    tree.document().ok()
}

struct Tree<'r, 's> {
    parser: Parser<'s, StrInput<'s>>,
    report: &'r mut Report<'s>,
    nodes: usize,
    anchors: HashMap<usize, Rc<Node>>,
}

impl<'s> Tree<'_, 's> {
    fn document(&mut self) -> Result<Rc<Node>, Stopped> {
        let mut root = None;
        while let Some(next) = self.parser.next_event() {
            let (event, span) = next.map_err(|error| self.syntax(&error))?;
            match event {
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd if root.is_none() => {}
                Event::DocumentEnd => {}
                Event::StreamEnd => break,
                Event::DocumentStart(..) => {
                    let problem = Problem::new(&codes::SEVERAL_DOCUMENTS, place(&span), "a second document starts here");
                    self.report.add(problem.hint("one file holds one manifest; move the second one to its own file"));
                    return Err(Stopped);
                }
                event => root = Some(self.node(event, span, 1)?),
            }
        }
        match root {
            Some(root) => Ok(root),
            None => Ok(Rc::new(Node { kind: Kind::Null, place: Place::default(), size: 1, height: 1 })),
        }
    }

    fn next(&mut self) -> Result<(Event<'s>, Span), Stopped> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Err(Stopped),
        }
    }

    fn node(&mut self, event: Event<'s>, span: Span, depth: usize) -> Result<Rc<Node>, Stopped> {
        let place = place(&span);
        if let Some(tag) = span.tag_span() {
            let problem = Problem::new(&codes::TAG, self::place(&tag), "tags are not used in manifests");
            self.report.add(problem.hint("remove the tag; quote the value if it must be text"));
        }
        if depth > DEPTH_MAX {
            return Err(self.too_deep(place));
        }
        self.spend(1, place)?;
        let (kind, anchor, end) = match event {
            Event::Scalar(text, style, anchor, _) => (self.scalar(&text, style, place), anchor, place.end),
            Event::SequenceStart(_, anchor, _) => {
                let (items, end) = self.list(depth)?;
                (Kind::List(items), anchor, end)
            }
            Event::MappingStart(_, anchor, _) => {
                let (entries, end) = self.map(depth)?;
                (Kind::Map(entries), anchor, end)
            }
            Event::Alias(id) => return self.alias(id, place, depth),
            _ => {
                self.report.add(Problem::new(&codes::SYNTAX, place, "a value is expected here"));
                return Err(Stopped);
            }
        };
        let (size, height) = match &kind {
            Kind::List(items) => measure(items.iter(), 1),
            Kind::Map(entries) => measure(entries.iter().map(|(_, value)| value), 2),
            _ => (1, 1),
        };
        let node = Rc::new(Node { kind, place: Place { end, ..place }, size, height });
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<(Vec<Rc<Node>>, usize), Stopped> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, span) => return Ok((items, place(&span).end)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<(Entries, usize), Stopped> {
        let mut entries: Entries = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, span) => return Ok((entries, place(&span).end)),
                (event, span) => self.key(event, span, depth)?,
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            let Some(key) = key else { continue };
            if let Some(line) = lines.get(&key.text) {
                let message = format!("the key `{}` is given twice", key.text);
                let problem = Problem::new(&codes::DUPLICATE_KEY, key.place, message);
                self.report.add(problem.hint(format!("it is first given in line {line}; keep one of the two")));
                continue;
            }
            lines.insert(key.text.clone(), key.place.line);
            entries.push((key, value));
        }
    }

    /// A key, or nothing if it was reported.
    fn key(&mut self, event: Event<'s>, span: Span, depth: usize) -> Result<Option<Key>, Stopped> {
        let place = place(&span);
        let problem = match event {
            Event::Scalar(text, style, 0, None) => {
                self.spend(1, place)?;
                match text.as_ref() {
                    "<<" if style == ScalarStyle::Plain => {
                        Problem::new(&codes::MERGE_KEY, place, "the merge key `<<` is not part of YAML 1.2")
                            .hint("write the fields out, or repeat a whole value by an alias: `retry: *patient`")
                    }
                    "" => Problem::new(&codes::BAD_KEY, place, "a key is empty").hint("give the field its name"),
                    _ => return Ok(Some(Key { plain: style == ScalarStyle::Plain, text: text.into_owned(), place })),
                }
            }
            event => {
                self.node(event, span, depth + 1)?;
                Problem::new(&codes::BAD_KEY, place, "a key is not plain text")
                    .hint("keys are text without anchors, aliases or tags; quote a text that begins with `{` or `[`")
            }
        };
        self.report.add(problem);
        Ok(None)
    }

    fn alias(&mut self, id: usize, place: Place, depth: usize) -> Result<Rc<Node>, Stopped> {
        let Some(target) = self.anchors.get(&id).cloned() else {
            let problem = Problem::new(&codes::BAD_ALIAS, place, "an alias stands inside the value it repeats");
            self.report.add(problem.hint("nothing can contain itself; write the inner value out"));
            return Ok(Rc::new(Node { kind: Kind::Invalid, place, size: 1, height: 1 }));
        };
        if depth + target.height - 1 > DEPTH_MAX {
            return Err(self.too_deep(place));
        }
        self.spend(target.size, place)?;
        Ok(target)
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, place: Place) -> Kind {
        if style != ScalarStyle::Plain {
            return Kind::Text(text.to_owned());
        }
        match scalar::read(text) {
            Plain::Null => Kind::Null,
            Plain::Bool(flag) => Kind::Bool(flag),
            Plain::Number(number) => Kind::Number(number, text.to_owned()),
            Plain::Text => Kind::Text(text.to_owned()),
            Plain::AmbiguousBool(flag) => {
                let message = format!("an unquoted `{text}` is text to some readers of YAML and a boolean to others");
                let problem = Problem::new(&codes::UNQUOTED_BOOLEAN, place, message);
                let hint = format!("write `'{text}'` for the text or `{flag}` for the boolean");
                self.report.add(problem.hint(hint).fix(format!("'{text}'")));
                Kind::Invalid
            }
            Plain::BadNumber(why) => {
                let shown: String = text.chars().take(40).collect();
                let problem = Problem::new(&codes::BAD_NUMBER, place, format!("`{shown}` is not kept as a number: {why}"));
                self.report.add(problem.hint("quote it if it is text").fix(format!("'{shown}'")));
                Kind::Invalid
            }
        }
    }

    fn spend(&mut self, nodes: usize, place: Place) -> Result<(), Stopped> {
        self.nodes += nodes;
        if self.nodes <= NODES_MAX {
            return Ok(());
        }
        let message = format!("the manifest has more than {NODES_MAX} nodes, counting what aliases repeat");
        self.report.add(Problem::new(&codes::TOO_LARGE, place, message).hint("split it, or repeat less by aliases"));
        Err(Stopped)
    }

    fn too_deep(&mut self, place: Place) -> Stopped {
        let message = format!("the manifest is nested deeper than {DEPTH_MAX} levels");
        let hint = "move inner schemas to `$defs` of the schema and refer to them by `$ref: '#/$defs/…'`";
        self.report.add(Problem::new(&codes::TOO_DEEP, place, message).hint(hint));
        Stopped
    }

    fn syntax(&mut self, error: &ScanError) -> Stopped {
        let mark = error.marker();
        let start = mark.byte_offset().unwrap_or(self.report.source().len());
        let place = Place { start, end: start, line: mark.line(), column: mark.col() + 1 };
        let quote = "text that holds `: `, ` #`, `{`, `[` or begins with `*`, `&`, `!`, `%`, `@` must be quoted";
        let problem = match error.kind() {
            ErrorKind::RecursionLimitExceeded => return self.too_deep(place),
            ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation | ErrorKind::TabNotAllowed => {
                Problem::new(&codes::TAB_INDENTATION, place, "a tab is used where YAML counts spaces")
                    .hint("indent with spaces; set your editor to insert spaces in YAML files")
            }
            ErrorKind::UnknownAnchor => Problem::new(&codes::BAD_ALIAS, place, "an alias names an anchor that does not exist")
                .hint("define the value with `&name` before it is repeated with `*name`; quote text that begins with `*`"),
            ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => {
                Problem::new(&codes::SYNTAX, place, "a `:` stands where no field can begin").hint(format!("check the indentation; {quote}"))
            }
            ErrorKind::UnclosedQuotedScalar => Problem::new(&codes::SYNTAX, place, "a quote is never closed")
                .hint("inside single quotes write `''` for a quote, inside double quotes `\\\"`"),
            kind => Problem::new(&codes::SYNTAX, place, format!("not YAML: {kind}")).hint(quote),
        };
        self.report.add(problem);
        Stopped
    }
}

fn measure<'n>(nodes: impl Iterator<Item = &'n Rc<Node>>, each: usize) -> (usize, usize) {
    nodes.fold((1, 1), |(size, height), node| (size + node.size + each - 1, height.max(node.height + 1)))
}

fn place(span: &Span) -> Place {
    let start = span.start.byte_offset().unwrap_or_default();
    let end = span.end.byte_offset().unwrap_or(start);
    Place { start, end, line: span.start.line(), column: span.start.col() + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes_of(source: &str) -> Vec<String> {
        let mut report = Report::new(source, "m.yaml");
        let _ = parse(&mut report);
        report.finish().into_iter().map(|diagnostic| diagnostic.code).collect()
    }

    #[test]
    fn a_node_knows_its_line_and_column() {
        let mut report = Report::new("a: 1\nb:\n  - 'ü': x\n", "m.yaml");
        let root = parse(&mut report).expect("valid");
        let Kind::Map(entries) = &root.kind else { panic!("a mapping") };
        let Kind::List(items) = &entries[1].1.kind else { panic!("a list") };
        let Kind::Map(inner) = &items[0].kind else { panic!("a mapping") };
        let (key, value) = &inner[0];
        assert_eq!((key.place.line, key.place.column), (3, 5));
        assert_eq!((value.place.line, value.place.column), (3, 10));
    }

    #[test]
    fn what_a_manifest_has_no_use_for_is_refused() {
        let table = [
            ("a: 1\na: 2", "manifest.duplicate_key"),
            ("a: !!str 1", "manifest.tag"),
            ("a: &x {b: 1}\nc:\n  <<: *x", "manifest.merge_key"),
            ("? [a, b]\n: 1", "manifest.bad_key"),
            ("a: *x", "manifest.bad_alias"),
            ("a: &x [*x]", "manifest.bad_alias"),
            ("a: 1\n---\nb: 1", "manifest.several_documents"),
            ("a:\n\tb: 1", "manifest.tab_indentation"),
            ("a: [1", "manifest.syntax"),
            ("%YAML 1.1\n---\na: 1", "manifest.syntax"),
        ];
        for (source, expected) in table {
            assert_eq!(codes_of(source), [expected], "{source:?}");
        }
    }

    #[test]
    fn an_alias_bomb_ends_at_the_node_budget() {
        let mut source = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let item = format!("*a{}", level - 1);
            source.push_str(&format!("a{level}: &a{level} [{}]\n", [item.as_str(); 10].join(", ")));
        }
        assert_eq!(codes_of(&source), ["manifest.too_large"]);
    }

    #[test]
    fn depth_is_bounded_in_blocks_in_flow_and_through_aliases() {
        let flow = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let block: String = (0..200).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
        let mut aliases = String::from("a0: &a0 [x]\n");
        for level in 1..40 {
            aliases.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
        }
        let dashes = "- ".repeat(10_000);
        for source in [flow, block, aliases, dashes] {
            assert_eq!(codes_of(&source), ["manifest.too_deep"]);
        }
    }
}
