//! No text makes the checker panic or hang; what it accepts, it accepts again after it was formatted, as the same workflow.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tasker_engine::Namespace;

fuzz_target!(|source: &str| {
    let namespace = Namespace::new("default").expect("a constant of the right form");
    let checked = tasker_manifest::check(source, "fuzz.yaml", &namespace);
    for diagnostic in &checked.diagnostics {
        assert!(!diagnostic.render().is_empty());
    }
    let Some(manifest) = checked.manifest else { return };
    if let Ok(formatted) = tasker_manifest::format(source, "fuzz.yaml") {
        let again = tasker_manifest::check(&formatted.text, "fuzz.yaml", &namespace).manifest;
        assert_eq!(again.map(|again| again.workflow.digest), Some(manifest.workflow.digest));
    }
});
