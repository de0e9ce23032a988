//! Reads `identity:`, which submissions are the same task.

use crate::codes;
use crate::duration::{self, format};
use crate::fields::{Fields, choice, short, text, wrong_type};
use crate::report::{Problem, Report};
use crate::slots::{SlotKind, Slots};
use crate::yaml::{Kind, Node};
use std::collections::HashSet;
use std::time::Duration;
use tasker_engine::expression::Expression;
use tasker_engine::workflow::{Identity, IdentityBy, OnDuplicate};

/// The most fields that tell tasks apart; who needs more means an expression.
const FIELDS_MAX: usize = 16;
/// How long a second submission counts as the same, unless it is said.
const WINDOW_DEFAULT: Duration = Duration::from_secs(24 * 3600);
/// The longest window: the keys of so long are kept and looked up at every submission.
const WINDOW_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

const ON_DUPLICATE: [(&str, OnDuplicate); 2] = [("existing", OnDuplicate::Existing), ("refuse", OnDuplicate::Refuse)];

/// Reads an identity.
pub(crate) fn read(node: &Node, slots: &mut Slots<'_>, report: &mut Report<'_>) -> Option<Identity> {
    let fields = Fields::open(node, "`identity`", &["fields", "expression", "guid", "window", "on_duplicate"], report)?;
    let given = fields.one_of(&["fields", "expression", "guid"], report)?;
    let by = match given {
        "fields" => fields.get(given).and_then(|node| input_fields(node, slots, report)).map(IdentityBy::Fields),
        "expression" => {
            let node = fields.shared(given)?;
            slots.expression(SlotKind::IdentityExpression, node, "`expression`", report).map(IdentityBy::Expression)
        }
        _ => guid(&fields, report),
    };
    let window = fields.get("window").map_or(Some(WINDOW_DEFAULT), |node| window(node, report));
    let on_duplicate =
        fields.get("on_duplicate").map_or(Some(OnDuplicate::Existing), |node| choice(node, "`on_duplicate`", &ON_DUPLICATE, report));
    Some(Identity { by: by?, window: window?, on_duplicate: on_duplicate? })
}

/// Every submission is a task of its own, so nothing can be said about a second one.
fn guid(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<IdentityBy> {
    let node = fields.get("guid")?;
    match &node.kind {
        Kind::Bool(true) => {}
        Kind::Bool(false) => {
            let problem = Problem::new(&codes::UNKNOWN_CHOICE, node.place, "`guid` cannot be `false`");
            report.add(problem.hint("give `fields` or an `expression`, or remove `identity`").fix("true"));
            return None;
        }
        _ => {
            wrong_type(node, "`guid`", "`true`", report);
            return None;
        }
    }
    for name in ["window", "on_duplicate"] {
        if let Some(key) = fields.key(name) {
            let message = format!("with `guid` every submission is a task of its own, so there is no `{name}`");
            report.add(Problem::new(&codes::FIELD_OF_OTHER_KIND, key, message).hint(format!("remove `{name}`, or give `fields`")));
        }
    }
    Some(IdentityBy::Guid)
}

fn window(node: &Node, report: &mut Report<'_>) -> Option<Duration> {
    let window = duration::read(node, "`window`", report)?;
    if window > WINDOW_MAX {
        let message = format!("`window` cannot be {}", format(window));
        report.add(Problem::new(&codes::OUT_OF_RANGE, node.place, message).hint(format!("give at most {}", format(WINDOW_MAX))));
        return None;
    }
    Some(window)
}

/// Paths of the input such as `customer_id` or `order.id`.
fn input_fields(node: &Node, slots: &mut Slots<'_>, report: &mut Report<'_>) -> Option<Vec<Expression>> {
    let Kind::List(items) = &node.kind else {
        wrong_type(node, "`fields`", "a list of fields of the input", report);
        return None;
    };
    if items.is_empty() || items.len() > FIELDS_MAX {
        let message = format!("`fields` names {} fields; 1 to {FIELDS_MAX} are accepted", items.len());
        let hint = "name the fields that tell tasks apart, such as `[customer_id, order.id]`";
        report.add(Problem::new(&codes::OUT_OF_RANGE, node.mark(), message).hint(hint));
        return None;
    }
    let mut seen = HashSet::new();
    let read = items.iter().map(|item| {
        let path = text(item, "a field of the input", report)?;
        if !seen.insert(path) {
            let problem = Problem::new(&codes::DUPLICATE_DEPENDENCY, item.place, format!("the field `{}` is named twice", short(path)));
            report.add(problem.hint("remove one of the two"));
        }
        let Some(source) = source_of(path) else {
            let problem = Problem::new(&codes::BAD_NAME, item.place, format!("`{}` is not a path of the input", short(path)));
            report.add(problem.hint("write names joined by dots, without `task.input`: `customer_id`, `order.id`"));
            return None;
        };
        slots.made(SlotKind::IdentityField, item, &source, report)
    });
    read.collect::<Vec<_>>().into_iter().collect()
}

/// Words that CEL reads as something else, so that they cannot stand after a dot.
const WORDS: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The expression that reads a path of the input. Names that CEL cannot write after a dot go into brackets.
fn source_of(path: &str) -> Option<String> {
    let mut source = String::from("task.input");
    for name in path.split('.') {
        let plain = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !WORDS.contains(&name);
        let quotable = !name.is_empty() && name.chars().all(|character| !character.is_control() && !"'\"\\${}".contains(character));
        match (plain, quotable) {
            (true, _) => source.push_str(&format!(".{name}")),
            (false, true) => source.push_str(&format!("['{name}']")),
            (false, false) => return None,
        }
    }
    Some(source)
}
