//! Identifiers from names that were not made to be identifiers.

use std::collections::HashSet;

/// The longest identifier; the rest of a name is cut off, and uniqueness restored by a number.
const LENGTH_MAX: usize = 80;

/// How a language writes identifiers of some kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// `OrderLine`
    Pascal,
    /// `order_line`
    Snake,
    /// `orderLine`
    Camel,
}

/// The identifiers of one scope; none is given twice.
#[derive(Debug)]
pub(crate) struct Names {
    case: Case,
    reserved: HashSet<String>,
    taken: HashSet<String>,
}

impl Names {
    /// A scope in which some words mean something else.
    pub fn new(case: Case, reserved: &[&str]) -> Self {
        Self { case, reserved: reserved.iter().map(|word| (*word).to_owned()).collect(), taken: HashSet::new() }
    }

    /// An identifier for a name: without a number if nobody has it yet; reserved words get an underscore.
    pub fn take(&mut self, name: &str) -> String {
        let mut plain = identifier(name, self.case);
        if self.reserved.contains(&plain) {
            plain.push('_');
        }
        let numbered = (2..).map(|number| format!("{plain}{number}"));
        let free = [plain.clone()]
            .into_iter()
            .chain(numbered)
            .find(|candidate| !self.taken.contains(candidate) && !self.reserved.contains(candidate));
        let free = free.expect("there are more numbers than names");
        self.taken.insert(free.clone());
        free
    }
}

/// The words of a name: `order.find-by_id2` has `order`, `find`, `by`, `id2`; `orderLine` has two.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = ' ';
    for sign in name.chars() {
        let starts = !before.is_ascii_alphanumeric() || (sign.is_ascii_uppercase() && !before.is_ascii_uppercase());
        if sign.is_ascii_alphanumeric() {
            match words.last_mut() {
                Some(word) if !starts => word.push(sign.to_ascii_lowercase()),
                Some(_) | None => words.push(sign.to_ascii_lowercase().to_string()),
            }
        }
        before = sign;
    }
    words
}

/// An identifier in all three languages: ASCII letters, digits, underscores; never empty, never beginning with a digit.
pub(crate) fn identifier(name: &str, case: Case) -> String {
    let mut words = words(name);
    if words.is_empty() {
        words.push("value".to_owned());
    }
    if words[0].starts_with(|sign: char| sign.is_ascii_digit()) {
        words.insert(0, "n".to_owned());
    }
    let capital = |word: &String| word[..1].to_ascii_uppercase() + &word[1..];
    let whole = match case {
        Case::Pascal => words.iter().map(capital).collect(),
        Case::Snake => words.join("_"),
        Case::Camel => words[0].clone() + &words[1..].iter().map(capital).collect::<String>(),
    };
    whole.chars().take(LENGTH_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_identifiers_in_each_case() {
        let table = [
            ("inventory.reserve", "InventoryReserve", "inventory_reserve", "inventoryReserve"),
            ("order-lineID", "OrderLineId", "order_line_id", "orderLineId"),
            ("2fast", "N2fast", "n_2fast", "n2fast"),
            ("größe", "GrE", "gr_e", "grE"),
            ("_", "Value", "value", "value"),
            ("", "Value", "value", "value"),
        ];
        for (name, pascal, snake, camel) in table {
            assert_eq!(identifier(name, Case::Pascal), pascal);
            assert_eq!(identifier(name, Case::Snake), snake);
            assert_eq!(identifier(name, Case::Camel), camel);
        }
    }

    #[test]
    fn no_identifier_is_given_twice_and_reserved_words_step_aside() {
        let mut names = Names::new(Case::Snake, &["type"]);
        assert_eq!(names.take("type"), "type_");
        assert_eq!(names.take("Type"), "type_2");
        assert_eq!(names.take("a-b"), "a_b");
        assert_eq!(names.take("a_b"), "a_b2");
        assert_eq!(names.take("a_b2"), "a_b22");
    }
}
