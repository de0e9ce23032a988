//! Finds the name that was probably meant, for hints.

use tasker_manifest::nearest_name;

/// `did you mean …?`, if something is near.
pub(crate) fn did_you_mean<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    nearest_name(name, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
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
            assert_eq!(nearest_name(written, names), meant, "{written}");
        }
    }
}
