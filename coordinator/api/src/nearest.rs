//! Finds the name that was probably meant, for hints.

/// Names longer than this are not compared: the cost grows with the product of the lengths.
const NAME_MAX: usize = 128;

/// No more candidates than this are compared for one hint, so that a wrong name costs little however many names exist.
const CANDIDATES_MAX: usize = 2_000;

/// The candidate nearest to a name, if at most a third of its characters differ.
pub(crate) fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if name.is_empty() || name.len() > NAME_MAX {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates.into_iter().take(CANDIDATES_MAX) {
        let allowed = (name.len().max(candidate.len()) / 3).max(1);
        if candidate.len() > NAME_MAX || name.len().abs_diff(candidate.len()) > allowed {
            continue;
        }
        let distance = distance(&name.to_ascii_lowercase(), &candidate.to_ascii_lowercase());
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// `did you mean …?`, if something is near.
pub(crate) fn did_you_mean<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    nearest(name, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

/// How many letters must be added, removed, replaced or swapped with their neighbour; three rows of the table at a time.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for i in 1..=left.len() {
        let mut row = vec![i; right.len() + 1];
        for j in 1..=right.len() {
            let replaced = last[j - 1] + usize::from(left[i - 1] != right[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_a_stranger_finds_none() {
        let names = ["workflow", "version", "input", "labels"];
        for (written, meant) in [
            ("workflo", Some("workflow")),
            ("Input", Some("input")),
            ("lables", Some("labels")),
            ("inptu", Some("input")),
            ("zebra", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, names), meant, "{written}");
        }
    }
}
