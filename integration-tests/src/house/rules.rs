//! What a file may not contain, and how large and how named it may be.

use super::Finding;
use super::source::Source;

/// A file this long holds more than one thing.
pub const LINES_MAX: usize = 1_000;

/// Longer files, and why.
const LONG: &[(&str, &str)] =
    &[("worker-sdk/typescript/src/gen/tasker/worker/v1/worker_pb.ts", "generated from the proto file, with its comments")];

/// Names of drawers: they say nothing of what is inside.
const DRAWERS: &[&str] = &["common", "util", "utils", "helper", "helpers", "shared", "manager", "managers", "misc"];

/// The rooms whose functions depend on nothing but their arguments.
pub const PURE: &[&str] =
    &["tasker-engine", "tasker-types", "tasker-manifest", "tasker-registry", "tasker-scheduler", "tasker-drawing", "tasker-rehearsal"];

/// What a pure room may take from outside the house: values and text, nothing that acts.
const PURE_MAY_USE: &[&str] = &[
    "bytes",
    "cel",
    "granit-parser",
    "hex",
    "jiff",
    "jsonschema",
    "proptest",
    "regex-automata",
    "serde",
    "serde_json",
    "sha2",
    "smallvec",
    "thiserror",
    "fixedbitset",
];

/// Where pure code would touch the world, chance or the clock.
const IMPURE: &[&[&str]] = &[
    &["tokio"],
    &["rand"],
    &["futures"],
    &["tracing"],
    &["std", "fs"],
    &["std", "env"],
    &["std", "io"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "net", "TcpStream"],
    &["std", "net", "TcpListener"],
    &["std", "net", "UdpSocket"],
    &["std", "net", "ToSocketAddrs"],
    &["std", "time", "Instant"],
    &["std", "time", "SystemTime"],
    &["std", "collections", "hash_map", "RandomState"],
    &["std", "hash", "RandomState"],
];

/// Words that pure code has no use for, wherever they come from.
const IMPURE_WORDS: &[&str] = &["async", "await", "println", "eprintln", "print", "eprint"];

/// Uses of a hash map in the engine that cannot be avoided, and why they do no harm.
const HASH_MAPS: &[(&str, &str)] = &[(
    "coordinator/engine/src/expression.rs",
    "the expression library's own map is one; an expression that ranges over an object has no value, so its order is never seen",
)];

fn finding(rule: &'static str, place: impl Into<String>, says: impl Into<String>) -> Finding {
    Finding { rule, place: place.into(), says: says.into() }
}

/// A file's length.
pub fn check_length(place: &str, text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    let excepted = LONG.iter().any(|(path, _)| *path == place);
    (lines > LINES_MAX && !excepted).then(|| {
        finding("file length", place, format!("{lines} lines, at most {LINES_MAX}; split it, or state the exception with its reason"))
    })
}

/// The names along a path.
pub fn check_name(place: &str) -> Option<Finding> {
    let stem = |part: &str| part.split('.').next().unwrap_or(part).to_lowercase();
    let drawer =
        place.split('/').map(stem).find(|part| DRAWERS.iter().any(|drawer| part == drawer || part.ends_with(&format!("_{drawer}"))));
    drawer.map(|name| finding("name", place, format!("`{name}` names a drawer; name the thing inside")))
}

/// Calls that stop the process without saying why.
pub fn check_unwrap(place: &str, source: &Source) -> Vec<Finding> {
    let called = source.tokens.windows(4).filter(|four| {
        let texts: Vec<&str> = four.iter().map(|token| token.text.as_str()).collect();
        texts == [".", "unwrap", "(", ")"]
    });
    called
        .map(|four| {
            finding("unwrap", format!("{place}:{}", four[0].line), "`unwrap` outside tests; use `expect` with the reason it cannot fail")
        })
        .collect()
}

/// What a pure room declares.
pub fn check_pure_dependencies(place: &str, crate_name: &str, uses: &[String]) -> Vec<Finding> {
    if !PURE.contains(&crate_name) {
        return Vec::new();
    }
    let acting = uses.iter().filter(|used| !used.starts_with("tasker-") && !PURE_MAY_USE.contains(&used.as_str()));
    acting
        .map(|used| finding("purity", place, format!("`{crate_name}` is pure and may not use `{used}`, unless that only knows values")))
        .collect()
}

/// What a pure room does.
pub fn check_pure_source(place: &str, crate_name: &str, source: &Source) -> Vec<Finding> {
    if !PURE.contains(&crate_name) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let hash_maps_allowed = crate_name != "tasker-engine" || HASH_MAPS.iter().any(|(path, _)| *path == place);
    for path in source.paths() {
        let words: Vec<&str> = path.words.iter().map(String::as_str).collect();
        let at = format!("{place}:{}", path.line);
        let impure = IMPURE.iter().find(|impure| words.starts_with(impure));
        let clock = words.windows(2).any(|two| matches!(two, ["Instant" | "SystemTime" | "Timestamp" | "Zoned", "now"]));
        let word = words.iter().find(|word| IMPURE_WORDS.contains(word));
        if impure.is_some() || clock || word.is_some() {
            findings.push(finding("purity", &at, format!("`{}` is pure and may not use `{}`", crate_name, words.join("::"))));
        }
        if !hash_maps_allowed && words.iter().any(|word| matches!(*word, "HashMap" | "HashSet")) {
            findings.push(finding("purity", &at, "the engine may not depend on hash order; use a BTreeMap or a list"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_swallowed_everything_is_found() {
        let text = "line\n".repeat(LINES_MAX + 1);
        assert!(check_length("coordinator/engine/src/task.rs", &text).is_some());
        assert!(check_length("coordinator/engine/src/task.rs", &text[5..]).is_none());
        assert!(check_length(LONG[0].0, &text).is_none());
    }

    #[test]
    fn drawers_are_found_as_files_and_as_folders() {
        for place in
            ["coordinator/engine/src/util.rs", "demo/shared/money.py", "worker-sdk/typescript/src/session_manager.ts", "a/Misc.test.ts"]
        {
            assert!(check_name(place).is_some(), "{place}");
        }
        for place in ["coordinator/engine/src/utility_rate.rs", "demo/driver/client.py", "worker-sdk/rust/src/step.rs"] {
            assert!(check_name(place).is_none(), "{place}");
        }
    }

    #[test]
    fn an_unwrap_is_found_in_code_and_not_in_tests_texts_or_comments() {
        let text = "fn a() { b.unwrap() }\n// c.unwrap()\nfn d() { e.unwrap_or(1); say(\".unwrap()\") }\n#[cfg(test)]\nmod tests { fn f() { g.unwrap() } }";
        let found = check_unwrap("x.rs", &Source::read(text));
        assert_eq!(found.len(), 1);
        assert!(found[0].place.ends_with(":1"));
    }

    #[test]
    fn each_way_out_of_a_pure_room_is_found() {
        for text in [
            "use tokio::time;",
            "use std::{fmt, fs};",
            "fn f() { std::env::var(\"X\"); }",
            "use std::time::{Duration, Instant};",
            "fn f() { let t = SystemTime::now(); }",
            "fn f() { let r = rand::random::<u8>(); }",
            "use std::net::TcpStream;",
            "async fn f() {}",
            "fn f() { println!(\"x\"); }",
            "use std::collections::HashMap;",
            "fn f() { let s = std::collections::HashSet::new(); }",
        ] {
            let found = check_pure_source("coordinator/engine/src/x.rs", "tasker-engine", &Source::read(text));
            assert!(!found.is_empty(), "{text}");
            assert!(check_pure_source("x.rs", "tasker-runtime", &Source::read(text)).is_empty(), "the runtime may: {text}");
        }
    }

    #[test]
    fn values_are_pure() {
        let text = "use std::time::Duration;\nuse std::net::Ipv6Addr;\nfn now(now: Timestamp) -> Timestamp { now }\nuse std::collections::BTreeMap;";
        assert_eq!(check_pure_source("coordinator/engine/src/x.rs", "tasker-engine", &Source::read(text)), []);
        assert_eq!(check_pure_dependencies("Cargo.toml", "tasker-engine", &["serde".into(), "tokio".into()]).len(), 1);
    }
}
