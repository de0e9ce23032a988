//! One way to write a manifest down: the same order of fields, indentation and quotes everywhere, with the author's comments, groups
//! of lines, anchors and choices between block and flow kept.
//!
//! The path of a text through this folder: [`events`] are what the parser saw, with anchors; [`trivia`] finds the comments and blank
//! lines between them; [`tree`] hangs both onto the nodes they belong to; [`order`] knows which field comes first where order is only a
//! matter of taste; [`lines`] writes them, and [`scalar`] one value.
//!
//! Never here: a change of meaning. What was printed is read again and compared before anybody sees it.

mod events;
mod lines;
mod order;
mod scalar;
mod tree;
mod trivia;

use crate::diagnostic::Diagnostic;
use crate::report::Report;
use crate::yaml::{self, Kind, Node};
use std::borrow::Cow;

/// The longest line that is written where it can be avoided, in characters; the width of the rest of the project.
pub const LINE_MAX: usize = 120;

/// A formatted manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formatted {
    /// The whole text; ends with a line break.
    pub text: String,
    /// Set if the text could not be formatted without risk and was therefore left exactly as it is; says why.
    pub left_as_is: Option<String>,
}

/// Formats a manifest.
///
/// The result means the same: the tree that a check reads, the comments, the anchors and the aliases are those of the source. Formatting
/// the result again changes nothing. Only fields whose order carries no meaning are moved (of the manifest, its systems, capabilities,
/// steps, retries and timeouts); whatever is the author's own, such as an input mapping or a schema, keeps its order.
///
/// Pure; the work is bounded by the same limits as a check.
///
/// # Errors
/// The diagnostics of a text that the strict reader refuses: what cannot be read cannot be formatted.
///
/// ```
/// let formatted = tasker_manifest::format("version: 1.0.0   # first\nname:   greeting\n", "greeting.yaml").expect("YAML");
/// assert_eq!(formatted.text, "name: greeting\nversion: 1.0.0 # first\n");
/// ```
pub fn format(source: &str, file: &str) -> Result<Formatted, Vec<Diagnostic>> {
    let source = normalised(source);
    let mut report = Report::new(&source, file);
    let before = yaml::parse(&mut report);
    let (Some(before), false) = (before, report.failed()) else { return Err(report.finish()) };
    if source.trim().is_empty() {
        return Ok(Formatted { text: String::new(), left_as_is: None });
    }
    if !matches!(before.kind, Kind::Map(_) | Kind::Null) {
        return Ok(left(&source, "a manifest is a mapping, and this is something else"));
    }
    let text = match events::read(&source) {
        Some(events) => lines::write(&tree::build(&source, &events)),
        None => return Ok(left(&source, "its events could not be read again")),
    };
    Ok(match difference(&source, &before, &text) {
        None => Formatted { text, left_as_is: None },
        Some(why) => left(&source, why),
    })
}

fn left(source: &str, why: &str) -> Formatted {
    Formatted { text: source.to_owned(), left_as_is: Some(format!("{why}; the text is left as it is")) }
}

/// One kind of line break, and no byte order mark: both mean nothing in YAML.
fn normalised(source: &str) -> Cow<'_, str> {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    if source.contains('\r') { Cow::Owned(source.replace("\r\n", "\n").replace('\r', "\n")) } else { Cow::Borrowed(source) }
}

/// What printing would have changed; nothing if the text still says the same.
fn difference(source: &str, before: &Node, text: &str) -> Option<&'static str> {
    if text.len() > yaml::BYTES_MAX {
        return Some("formatted, it would be larger than a manifest may be");
    }
    let mut report = Report::new(text, "");
    let after = yaml::parse(&mut report);
    let Some(after) = after.filter(|_| !report.failed()) else { return Some("what was printed could not be read") };
    if !same(before, &after) {
        return Some("a value would have changed");
    }
    let (Some(old), Some(new)) = (events::read(source), events::read(text)) else { return Some("what was printed could not be read") };
    if events::names(source, &old) != events::names(text, &new) {
        return Some("an anchor or an alias would have been lost");
    }
    if trivia::comments(source, &old) != trivia::comments(text, &new) {
        return Some("a comment would have been lost");
    }
    None
}

/// Whether two trees mean the same: the order of a mapping's fields means nothing, everything else does.
fn same(left: &Node, right: &Node) -> bool {
    match (&left.kind, &right.kind) {
        (Kind::Null, Kind::Null) => true,
        (Kind::Bool(left), Kind::Bool(right)) => left == right,
        (Kind::Number(_, left), Kind::Number(_, right)) | (Kind::Text(left), Kind::Text(right)) => left == right,
        (Kind::List(left), Kind::List(right)) => left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right)),
        (Kind::Map(left), Kind::Map(right)) => {
            let sorted = |entries: &'_ Vec<(yaml::Key, std::rc::Rc<Node>)>| {
                let mut places: Vec<usize> = (0..entries.len()).collect();
                places.sort_by(|&a, &b| entries[a].0.text.cmp(&entries[b].0.text));
                places
            };
            left.len() == right.len()
                && sorted(left)
                    .into_iter()
                    .zip(sorted(right))
                    .all(|(a, b)| left[a].0.text == right[b].0.text && same(&left[a].1, &right[b].1))
        }
        (Kind::Null | Kind::Bool(_) | Kind::Number(..) | Kind::Text(_) | Kind::List(_) | Kind::Map(_) | Kind::Invalid, _) => false,
    }
}
