//! `workflow fmt` on texts nobody would write by hand: random trees in random layouts, with comments, blank lines and anchors anywhere.

use proptest::collection::vec;
use proptest::prelude::*;
use tasker_manifest::format;

/// A tree; how it is laid out is drawn with it.
#[derive(Debug, Clone)]
enum Tree {
    /// Text, and its style.
    Scalar(String, u8),
    List(Vec<(Layout, Tree)>, bool),
    Map(Vec<(Layout, String, Tree)>, bool),
}

/// What stands around a field or an item.
#[derive(Debug, Clone)]
struct Layout {
    above: Vec<Option<String>>,
    behind: Option<String>,
    /// How much deeper the value stands, beyond one space.
    deeper: usize,
    /// For `- name: …`: the block begins behind the dash.
    joined: bool,
    anchor: bool,
}

fn comment() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,8}", Just("[brackets]: {and more}".to_owned()), Just("- a: 'b".to_owned())].prop_map(|text| format!("# {text}"))
}

fn layout() -> impl Strategy<Value = Layout> {
    let above = vec(prop::option::of(comment()), 0..3);
    (above, prop::option::weighted(0.2, comment()), 0usize..4, any::<bool>(), prop::bool::weighted(0.1))
        .prop_map(|(above, behind, deeper, joined, anchor)| Layout { above, behind, deeper, joined, anchor })
}

fn key() -> impl Strategy<Value = String> {
    let known: Vec<String> = ["name", "version", "owner", "retry", "timeout", "input", "systems", "workflow_steps", "kind", "capabilities"]
        .map(str::to_owned)
        .to_vec();
    prop_oneof![3 => prop::sample::select(known), 2 => "[a-z]{1,6}", 1 => Just("'quoted key'".to_owned())]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z]{1,10}",
        2 => "[a-z]{2,9}( [a-z]{2,9}){1,30}",
        1 => "[ a-z'\"\\\\#:{},\\[\\]&*-]{0,20}",
        1 => "[a-z ]{0,6}(\n{1,2}[a-z ]{0,6}){1,3}",
        1 => Just("12".to_owned()),
        1 => Just(String::new()),
        1 => "[a-zäöü\u{a0}\t]{1,5}",
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = (text(), any::<u8>()).prop_map(|(text, style)| Tree::Scalar(text, style));
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            (vec((layout(), inner.clone()), 0..5), prop::bool::weighted(0.3)).prop_map(|(items, flow)| Tree::List(items, flow)),
            (vec((layout(), key(), inner), 0..6), prop::bool::weighted(0.3)).prop_map(|(mut fields, flow)| {
                let mut seen = std::collections::HashSet::new();
                fields.retain(|(_, key, _)| seen.insert(key.clone()));
                Tree::Map(fields, flow)
            }),
        ]
    })
}

struct Writer {
    out: String,
    anchors: usize,
}

impl Writer {
    fn above(&mut self, layout: &Layout, indent: usize) {
        for line in &layout.above {
            match line {
                Some(comment) => self.out.push_str(&format!("{:indent$}{comment}\n", "")),
                None => self.out.push('\n'),
            }
        }
    }

    /// In brackets, perhaps over several lines.
    fn flow(&mut self, tree: &Tree, layout: &Layout, indent: usize) {
        let end = if layout.joined { " ".to_owned() } else { format!("\n{:1$}", "", indent + 1 + layout.deeper) };
        match tree {
            Tree::Scalar(text, style) => self.out.push_str(&inline(text, *style, true)),
            Tree::List(items, _) => {
                self.out.push('[');
                for (layout, item) in items {
                    self.out.push_str(&end);
                    self.flow(item, layout, indent + 2);
                    self.out.push(',');
                }
                self.out.push_str(&end);
                self.out.push(']');
            }
            Tree::Map(fields, _) => {
                self.out.push('{');
                for (layout, key, value) in fields {
                    self.out.push_str(&end);
                    self.out.push_str(&format!("{key}: "));
                    self.flow(value, layout, indent + 2);
                    if let Some(comment) = &layout.behind {
                        self.out.push_str(&format!(", {comment}\n{:1$}", "", indent + 1));
                    } else {
                        self.out.push(',');
                    }
                }
                self.out.push_str(&end);
                self.out.push('}');
            }
        }
    }

    /// What follows a key or a dash, to the end of its lines. `indent` is the column of the key or the dash.
    fn value(&mut self, tree: &Tree, layout: &Layout, indent: usize, dash: bool) {
        let behind = layout.behind.as_ref().map_or(String::new(), |comment| format!(" {comment}"));
        let anchor = if layout.anchor {
            self.anchors += 1;
            format!(" &a{}", self.anchors)
        } else {
            String::new()
        };
        match tree {
            Tree::Scalar(text, style) if style % 5 == 4 && is_literal(text) => {
                let chomping = if text.ends_with('\n') { "+" } else { "-" };
                self.out.push_str(&format!("{anchor} |{chomping}{behind}\n"));
                let body = text.strip_suffix('\n').unwrap_or(text);
                for line in body.split('\n') {
                    let depth = if line.is_empty() { 0 } else { indent + 1 + layout.deeper };
                    self.out.push_str(&format!("{:depth$}{line}\n", ""));
                }
            }
            Tree::Scalar(text, style) => {
                let written = inline(text, *style, false);
                self.out.push_str(&format!("{anchor} {written}{behind}\n"));
            }
            Tree::List(items, flow) if *flow || items.is_empty() => {
                self.out.push_str(&format!("{anchor} "));
                self.flow(tree, layout, indent + 1);
                self.out.push_str(&format!("{behind}\n"));
            }
            Tree::Map(fields, flow) if *flow || fields.is_empty() => {
                self.out.push_str(&format!("{anchor} "));
                self.flow(tree, layout, indent + 1);
                self.out.push_str(&format!("{behind}\n"));
            }
            Tree::List(..) | Tree::Map(..) => {
                let depth = indent + 1 + layout.deeper;
                if dash && layout.joined && anchor.is_empty() && behind.is_empty() {
                    self.out.push_str(&" ".repeat(1 + layout.deeper));
                    return self.block(tree, indent + 2 + layout.deeper, true);
                }
                self.out.push_str(&format!("{anchor}{behind}\n"));
                self.block(tree, depth, false);
            }
        }
    }

    fn block(&mut self, tree: &Tree, indent: usize, joined: bool) {
        let mut first = joined;
        let mut begin = |writer: &mut Self, layout: &Layout| {
            if !first {
                writer.above(layout, indent);
                writer.out.push_str(&" ".repeat(indent));
            }
            first = false;
        };
        match tree {
            Tree::List(items, _) => {
                for (layout, item) in items {
                    begin(self, layout);
                    self.out.push('-');
                    self.value(item, layout, indent, true);
                }
            }
            Tree::Map(fields, _) => {
                for (layout, key, value) in fields {
                    begin(self, layout);
                    self.out.push_str(&format!("{key}:"));
                    self.value(value, layout, indent, false);
                }
            }
            Tree::Scalar(..) => unreachable!("only collections are blocks"),
        }
    }
}

fn is_literal(text: &str) -> bool {
    !text.is_empty() && !text.starts_with([' ', '\n', '\t']) && !text.contains(['\t', '\u{a0}']) && !text.trim().is_empty()
}

fn inline(text: &str, style: u8, flow: bool) -> String {
    let plain = !text.is_empty() && text.chars().all(|sign| sign.is_ascii_lowercase() || sign == ' ') && text.trim() == text;
    let single = !text.contains('\n');
    match style % 4 {
        0 if plain && !matches!(text, "on" | "no" | "yes" | "off") => text.to_owned(),
        0 if text == "12" => text.to_owned(),
        0 if text.is_empty() && !flow => String::new(),
        1 if plain && !matches!(text, "on" | "no" | "yes" | "off") => text.replacen(' ', "\n                                      ", 1),
        2 if single && !text.contains('\u{a0}') => format!("'{}'", text.replace('\'', "''")),
        _ => serde_json::to_string(text).expect("text prints"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// `format` itself compares what it printed with what it read, so that it is enough to see that it never gave up.
    #[test]
    fn any_tree_in_any_layout_is_formatted_once_and_for_all(fields in vec((layout(), key(), tree()), 1..6), end in vec(prop::option::of(comment()), 0..3)) {
        let mut seen = std::collections::HashSet::new();
        let fields: Vec<_> = fields.into_iter().filter(|(_, key, _)| seen.insert(key.clone())).collect();
        let mut writer = Writer { out: String::new(), anchors: 0 };
        writer.block(&Tree::Map(fields, false), 0, false);
        writer.above(&Layout { above: end, behind: None, deeper: 0, joined: false, anchor: false }, 0);
        let source = writer.out;
        if let Ok(once) = format(&source, "m.yaml") {
            prop_assert_eq!(&once.left_as_is, &None, "\n{}", source);
            let twice = format(&once.text, "m.yaml").expect("what was printed can be read");
            prop_assert_eq!(&twice.left_as_is, &None, "\n{}", once.text);
            prop_assert_eq!(&twice.text, &once.text, "\n{}", source);
        }
    }

    #[test]
    fn no_text_makes_it_panic(source in "[a-z:#&*\\-\\[\\]{}|>'\" \n]{0,80}") {
        if let Ok(once) = format(&source, "m.yaml") {
            let twice = format(&once.text, "m.yaml").expect("what was printed can be read");
            prop_assert!(once.left_as_is.is_some() || twice.left_as_is.is_some() || twice.text == once.text, "{source:?}\n{:?}\n{:?}", once.text, twice.text);
        }
    }
}

/// The property above is worth nothing if its texts are refused.
#[test]
fn most_random_texts_are_manifests_of_the_strict_reader() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut read = 0;
    for _ in 0..200 {
        let tree = vec((layout(), key(), tree()), 1..6).new_tree(&mut runner).expect("a tree").current();
        let mut seen = std::collections::HashSet::new();
        let fields = tree.into_iter().filter(|(_, key, _)| seen.insert(key.clone())).collect();
        let mut writer = Writer { out: String::new(), anchors: 0 };
        writer.block(&Tree::Map(fields, false), 0, false);
        read += usize::from(format(&writer.out, "m.yaml").is_ok());
    }
    assert!(read > 150, "only {read} of 200 could be read");
}
