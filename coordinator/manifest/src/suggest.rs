//! Finds the name that was probably meant.

use crate::report::Report;

/// Names longer than this are not compared; the cost of a comparison is the product of the lengths.
const NAME_MAX: usize = 64;

/// The candidate that is nearest to a name, if one is near: at most a third of the characters differ.
pub(crate) fn nearest<'c>(report: &mut Report<'_>, name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let written: Vec<char> = name.chars().take(NAME_MAX + 1).collect();
    if written.len() > NAME_MAX || report.is_full() {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let longest = written.len().max(candidate.len());
        let limit = best.map_or((longest / 3).max(1) + 1, |(distance, _)| distance);
        if candidate.len() > NAME_MAX || written.len().abs_diff(candidate.len()) >= limit {
            continue;
        }
        report.comparisons_left = report.comparisons_left.checked_sub(1)?;
        let distance = distance(&written, candidate);
        if distance < limit {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// No more candidates than this are compared for one hint, so that a wrong name costs little however many names exist.
const CANDIDATES_MAX: usize = 2_000;

/// The candidate that is nearest to a name, outside the checker: for hints of the API and the runtime. At most a third of the characters differ.
pub fn nearest_name<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let written: Vec<char> = name.chars().take(NAME_MAX + 1).collect();
    if written.is_empty() || written.len() > NAME_MAX {
        return None;
    }
    let near = candidates.into_iter().take(CANDIDATES_MAX).filter(|candidate| candidate.len() <= NAME_MAX).filter_map(|candidate| {
        let allowed = (written.len().max(candidate.len()) / 3).max(1);
        let distance = distance(&written, candidate);
        (distance <= allowed).then_some((distance, candidate))
    });
    near.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// How many characters must be added, removed, replaced or swapped with their neighbour (optimal string alignment).
fn distance(written: &[char], candidate: &str) -> usize {
    let candidate: Vec<char> = candidate.chars().map(|character| character.to_ascii_lowercase()).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=candidate.len()).collect();
    let mut previous = '\0';
    for (i, &raw) in written.iter().enumerate() {
        let character = raw.to_ascii_lowercase();
        let mut next = vec![i + 1];
        for (j, &other) in candidate.iter().enumerate() {
            let replaced = row[j] + usize::from(character != other);
            let mut least = replaced.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && character == candidate[j - 1] && previous == other {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
        previous = character;
    }
    row[candidate.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        let table = [
            ("depend_on", Some("depends_on")),
            ("dependson", Some("depends_on")),
            ("ownre", Some("owner")),
            ("Owner", Some("owner")),
            ("imput", Some("input")),
            ("colour", None),
            ("", None),
        ];
        for (written, expected) in table {
            let mut report = Report::new("", "");
            let found = nearest(&mut report, written, ["owner", "depends_on", "input", "timeout"]);
            assert_eq!(found, expected, "{written}");
        }
    }

    #[test]
    fn suggestions_stop_when_their_budget_is_spent() {
        let mut report = Report::new("", "");
        report.comparisons_left = 1;
        assert_eq!(nearest(&mut report, "owner_a", ["owner_b", "owner_a"]), None);
    }
}
