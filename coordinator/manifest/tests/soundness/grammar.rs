//! Random expressions over what a step may name; mostly sensible, so that many are accepted, and often careless.

use crate::chance::Chance;
use crate::shape::Shape;

/// The kind of value that an expression is meant to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    Boolean,
    Integer,
    Float,
    Text,
    List,
}

const WANTS: [Want; 5] = [Want::Boolean, Want::Integer, Want::Float, Want::Text, Want::List];

/// Something that can be named.
#[derive(Debug, Clone)]
pub struct Known {
    path: String,
    shape: Shape,
    /// What has to hold for it to be there.
    guards: Vec<String>,
}

/// What an expression may name.
#[derive(Debug, Clone, Default)]
pub struct Names {
    pub known: Vec<Known>,
    /// Steps that come before.
    pub steps: Vec<String>,
}

impl Names {
    /// Adds a root and everything below it. `doubtful`: it may be missing as a whole.
    pub fn add(&mut self, path: &str, shape: &Shape, doubtful: bool) {
        let guards = if doubtful { vec![format!("has({path})")] } else { vec![] };
        self.below(path, shape, guards);
    }

    fn below(&mut self, path: &str, shape: &Shape, guards: Vec<String>) {
        match shape {
            Shape::Nullable(inner) => {
                let mut guarded = guards.clone();
                guarded.push(format!("{path} != null"));
                self.below(path, inner, guarded);
            }
            Shape::Object { fields, .. } => {
                for field in fields {
                    let inner = format!("{path}.{}", field.name);
                    let mut guards = guards.clone();
                    if !field.required {
                        guards.push(format!("has({inner})"));
                    }
                    self.below(&inner, &field.shape, guards);
                }
            }
            Shape::Integer(..) | Shape::Number | Shape::Text | Shape::Words(_) | Shape::Boolean | Shape::List(..) => {}
        }
        self.known.push(Known { path: path.to_owned(), shape: shape.clone(), guards });
    }

    /// A list, and what its elements are.
    pub fn list(&self, chance: &mut Chance) -> Option<(String, Shape)> {
        let lists: Vec<(&String, &Shape)> = self
            .known
            .iter()
            .filter_map(|known| match &known.shape {
                Shape::List(element, _) if known.guards.is_empty() || chance.percent(10) => Some((&known.path, element.as_ref())),
                _ => None,
            })
            .collect();
        (!lists.is_empty()).then(|| *chance.pick(&lists)).map(|(path, element)| (path.clone(), element.clone()))
    }

    /// One of several words, which may be read as it is.
    pub fn word(&self, chance: &mut Chance) -> Option<String> {
        let safe = |known: &&Known| known.guards.is_empty() && matches!(known.shape, Shape::Words(_));
        let words: Vec<&Known> = self.known.iter().filter(safe).collect();
        (!words.is_empty()).then(|| chance.pick(&words).path.clone())
    }

    /// A path of any shape, without regard to whether it is there.
    pub fn careless(&self, chance: &mut Chance) -> String {
        chance.pick(&self.known).path.clone()
    }
}

/// An expression that should have a value of the wanted kind.
pub fn expression(chance: &mut Chance, names: &Names, want: Want, depth: usize) -> String {
    if chance.percent(1) {
        let other = *chance.pick(&WANTS);
        return expression(chance, names, other, depth);
    }
    if depth == 0 || chance.percent(35) {
        return leaf(chance, names, want);
    }
    let next = depth - 1;
    // A place in a list that is long enough.
    if chance.percent(8)
        && let Some((range, of, _)) = ranged(chance, names)
        && of == want
    {
        let (literal, least) = (literal(chance, want), chance.below(2));
        let read = if want == Want::Float { format!("double({range}[{least}])") } else { format!("{range}[{least}]") };
        let guard = if chance.percent(90) { least } else { 0 };
        return format!("(size({range}) > {guard} ? {read} : {literal})");
    }
    if chance.percent(20) {
        let condition = expression(chance, names, Want::Boolean, next);
        let (yes, no) = (expression(chance, names, want, next), expression(chance, names, want, next));
        return format!("({condition} ? {yes} : {no})");
    }
    let other = *chance.pick(&WANTS);
    match want {
        Want::Boolean => boolean(chance, names, next),
        Want::Integer => {
            let (left, right) = (expression(chance, names, Want::Integer, next), expression(chance, names, Want::Integer, next));
            match chance.below(9) {
                0 | 1 => format!("({left} + {right})"),
                2 => format!("({left} - {right})"),
                3 => format!("({left} * {right})"),
                4 => format!("({left} / {})", 1 + chance.below(3)),
                5 => match named(chance, names, Want::Integer).filter(|named| !named.contains('?')) {
                    Some(by) => format!("({by} > 0 ? {left} % {by} : 0)"),
                    None => format!("({left} % {})", 1 + chance.below(3)),
                },
                6 => format!("size({})", expression(chance, names, Want::Text, next)),
                7 => format!("size({})", expression(chance, names, Want::List, next)),
                _ => format!("(-{left})"),
            }
        }
        Want::Float => {
            let (left, right) = (expression(chance, names, Want::Float, next), expression(chance, names, Want::Float, next));
            match chance.below(5) {
                0 => format!("({left} + {right})"),
                1 => format!("({left} * {right})"),
                2 => format!("({left} / 2.0)"),
                3 => match named(chance, names, Want::Float).filter(|named| !named.contains('?')) {
                    Some(by) => format!("({} != 0.0 ? {left} / {by} : 0.0)", by.trim_start_matches("double(").trim_end_matches(')')),
                    None => format!("({left} - {right})"),
                },
                _ => format!("double({})", expression(chance, names, Want::Integer, next)),
            }
        }
        Want::Text => match chance.below(4) {
            0 | 1 => format!("({} + {})", expression(chance, names, Want::Text, next), expression(chance, names, Want::Text, next)),
            2 => format!("string({})", expression(chance, names, Want::Integer, next)),
            _ => format!("string({})", expression(chance, names, if other == Want::List { Want::Text } else { other }, next)),
        },
        Want::List => {
            let (range, element, joined) = ranged(chance, names).unwrap_or_else(|| ("[1, 2, 3]".into(), Want::Integer, Want::Integer));
            match chance.below(4) {
                0 => format!("[{}, {}]", expression(chance, names, Want::Integer, next), expression(chance, names, Want::Integer, next)),
                1 => format!("{range}.map(x, string(size([x])))"),
                2 => format!("{range}.filter(x, x {} {})", chance.pick(&["==", "!="]), literal(chance, element)),
                _ => format!("{range}.map(x, x + {})", literal(chance, joined)),
            }
        }
    }
}

fn boolean(chance: &mut Chance, names: &Names, depth: usize) -> String {
    let mut pair = |want| (expression(chance, names, want, depth), expression(chance, names, want, depth));
    let (left, right) = pair(Want::Boolean);
    let (one, other) = pair(Want::Integer);
    let (float, double) = pair(Want::Float);
    let (text, part) = pair(Want::Text);
    match chance.below(14) {
        0 | 1 => format!("({left} && {right})"),
        2 | 3 => format!("({left} || {right})"),
        4 => format!("!({left})"),
        5 => format!("{one} {} {other}", chance.pick(&["<", "<=", ">", ">=", "!="])),
        6 => format!("{float} {} {double}", chance.pick(&["<", ">"])),
        7 => format!("{one} < {double}"),
        8 => format!(
            "{text} {} {part}",
            if text.starts_with('\'') && part.starts_with('\'') { "<" } else { *chance.pick(&["==", "!=", "<"]) }
        ),
        9 => format!("{text}.{}({part})", chance.pick(&["contains", "startsWith", "endsWith"])),
        10 => format!("{text} in [string({one}), 'low', {part}]"),
        11 => {
            let (range, other, _) = ranged(chance, names).unwrap_or_else(|| ("['low', 'high']".into(), Want::Text, Want::Text));
            let word = chance.pick(&["exists", "all", "exists_one"]);
            let literal = literal(chance, other);
            format!("{range}.{word}(x, x {} {literal})", if other == Want::Boolean { "==" } else { *chance.pick(&["<", ">"]) })
        }
        12 if !names.steps.is_empty() => {
            let step = chance.pick(&names.steps);
            match chance.below(3) {
                0 => format!("steps.{step}.status == '{}'", chance.pick(&["succeeded", "failed", "skipped", "open"])),
                1 => format!("steps.{step}.error != null"),
                _ => format!("(steps.{step}.error != null && steps.{step}.error.code == 'odd')"),
            }
        }
        _ => {
            let known = chance.pick(&names.known);
            match (known.guards.last(), known.path.matches('.').count()) {
                (Some(_), _) => format!("({})", known.guards.join(" && ")),
                (None, 2..) => format!("has({})", known.path),
                (None, _) => "true".into(),
            }
        }
    }
}

/// A list of simple values, what these are compared with, and what can be added to them; now and then not the right ones.
fn ranged(chance: &mut Chance, names: &Names) -> Option<(String, Want, Want)> {
    let simple = |known: &&Known| match &known.shape {
        Shape::List(element, _) => {
            known.guards.is_empty() && !matches!(**element, Shape::List(..) | Shape::Object { .. } | Shape::Nullable(_))
        }
        _ => false,
    };
    let lists: Vec<&Known> = names.known.iter().filter(simple).collect();
    if lists.is_empty() || chance.percent(10) {
        return None;
    }
    let known = *chance.pick(&lists);
    let Shape::List(element, _) = &known.shape else { return None };
    if chance.percent(5) {
        return Some((known.path.clone(), Want::Text, Want::Integer));
    }
    let of = match **element {
        Shape::Integer(..) => Want::Integer,
        Shape::Number => Want::Float,
        Shape::Boolean => Want::Boolean,
        _ => Want::Text,
    };
    Some((known.path.clone(), of, of))
}

/// A name, or a literal.
fn leaf(chance: &mut Chance, names: &Names, want: Want) -> String {
    if chance.percent(75)
        && let Some(named) = named(chance, names, want)
    {
        return named;
    }
    literal(chance, want)
}

fn literal(chance: &mut Chance, want: Want) -> String {
    match want {
        Want::Boolean => chance.pick(&["true", "false"]).to_string(),
        Want::Integer => format!("{}", chance.below(7)),
        Want::Float => format!("{}.5", chance.below(7)),
        Want::Text => chance.pick(&["'low'", "'high'", "'x'", "'1'"]).to_string(),
        Want::List => chance.pick(&["[1, 2]", "['low']", "[]"]).to_string(),
    }
}

/// Something of the kind that can be named, mostly with what makes it safe.
fn named(chance: &mut Chance, names: &Names, want: Want) -> Option<String> {
    let fits = |shape: &Shape| match (want, shape) {
        (_, Shape::Nullable(_)) => false,
        (Want::Boolean, Shape::Boolean) | (Want::Integer, Shape::Integer(..)) | (Want::Float, Shape::Number | Shape::Integer(..)) => true,
        (Want::Text, Shape::Text | Shape::Words(_)) | (Want::List, Shape::List(..)) => true,
        _ => false,
    };
    let fitting: Vec<&Known> = names.known.iter().filter(|known| fits(&known.shape)).collect();
    if fitting.is_empty() {
        return None;
    }
    let known = *chance.pick(&fitting);
    let read = if want == Want::Float { format!("double({})", known.path) } else { known.path.clone() };
    // What is ranged over may only be a plain path.
    if known.guards.is_empty() || want == Want::List || chance.percent(4) {
        return (want != Want::List || known.guards.is_empty() || chance.percent(15)).then_some(read);
    }
    Some(format!("({} ? {read} : {})", known.guards.join(" && "), literal(chance, want)))
}
