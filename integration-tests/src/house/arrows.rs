//! Which room may use which: the table of the design, and what was added to it.

use super::Finding;
use super::source::Source;

/// One room, its floor, and the rooms it may use.
struct Room {
    name: &'static str,
    floor: u8,
    uses: &'static [&'static str],
}

/// The table. A crate that is not in it has no place in the house.
const TABLE: &[Room] = &[
    Room { name: "tasker-engine", floor: 0, uses: &[] },
    Room { name: "tasker-types", floor: 0, uses: &[] },
    Room { name: "tasker-proto", floor: 0, uses: &[] },
    Room { name: "tasker-telemetry", floor: 0, uses: &[] },
    Room { name: "tasker-manifest", floor: 1, uses: &["tasker-engine", "tasker-types"] },
    Room { name: "tasker-registry", floor: 1, uses: &["tasker-engine", "tasker-types"] },
    Room { name: "tasker-contracts", floor: 1, uses: &["tasker-engine", "tasker-types"] },
    Room { name: "tasker-scheduler", floor: 1, uses: &["tasker-engine"] },
    Room { name: "tasker-drawing", floor: 1, uses: &["tasker-engine"] },
    Room { name: "tasker-rehearsal", floor: 2, uses: &["tasker-engine", "tasker-manifest", "tasker-types"] },
    Room { name: "tasker-wire", floor: 2, uses: &["tasker-engine", "tasker-registry", "tasker-proto"] },
    Room {
        name: "tasker-runtime",
        floor: 2,
        uses: &[
            "tasker-engine",
            "tasker-types",
            "tasker-proto",
            "tasker-telemetry",
            "tasker-manifest",
            "tasker-registry",
            "tasker-scheduler",
        ],
    },
    Room { name: "tasker-store", floor: 3, uses: &["tasker-runtime", "tasker-wire", "tasker-engine", "tasker-telemetry"] },
    Room { name: "tasker-bus", floor: 3, uses: &["tasker-runtime", "tasker-wire", "tasker-engine", "tasker-telemetry"] },
    Room { name: "tasker-egress", floor: 3, uses: &["tasker-runtime", "tasker-engine", "tasker-telemetry"] },
    Room { name: "tasker-api", floor: 3, uses: &["tasker-runtime", "tasker-telemetry", "tasker-wire"] },
    Room { name: "tasker-cli", floor: 4, uses: &["tasker-manifest", "tasker-types"] },
    Room {
        name: "tasker-server",
        floor: 4,
        uses: &[
            "tasker-engine",
            "tasker-proto",
            "tasker-telemetry",
            "tasker-manifest",
            "tasker-registry",
            "tasker-scheduler",
            "tasker-wire",
            "tasker-runtime",
            "tasker-store",
            "tasker-bus",
            "tasker-egress",
            "tasker-api",
            "tasker-cli",
        ],
    },
    // Plays whole clusters; nothing that ships uses it.
    Room {
        name: "tasker-simulation",
        floor: 3,
        uses: &["tasker-engine", "tasker-manifest", "tasker-registry", "tasker-proto", "tasker-wire", "tasker-runtime"],
    },
    // The worker SDK stands beside the house; all it shares with it is the wire.
    Room { name: "tasker-worker", floor: 0, uses: &["tasker-proto"] },
    Room { name: "tasker-conformance", floor: 0, uses: &["tasker-proto"] },
];

/// Arrows that the table does not draw, and why they are there. An arrow without a reason is a finding.
const ADDED: &[(&str, &str, &str)] = &[
    ("tasker-api", "tasker-engine", "the answers of the operations are made of the engine's words: ids, events, failures"),
    ("tasker-api", "tasker-manifest", "applying a manifest answers with the checker's diagnostics"),
    ("tasker-cli", "tasker-drawing", "pictures and sentences are made from files on the author's machine, without a server"),
    ("tasker-cli", "tasker-rehearsal", "cases are played on the author's machine, without a server"),
    (
        "tasker-cli",
        "tasker-contracts",
        "schemas from samples, pages and stubs are made from files on the author's machine, without a server",
    ),
    ("tasker-server", "tasker-worker", "`tasker bench` measures with real workers, which the same binary runs in processes of their own"),
];

/// For the tests of a room: real servers.
const FOR_TESTS: &str = "tasker-integration-tests";

/// What a crate says it depends on.
#[derive(Debug, Default)]
pub struct Declared {
    /// The crate.
    pub name: String,
    /// Of its code and its build script.
    pub uses: Vec<String>,
    /// Of its tests.
    pub tests_use: Vec<String>,
}

impl Declared {
    /// Reads a `Cargo.toml`.
    ///
    /// # Errors
    /// It is not TOML, or names no package.
    pub fn read(text: &str) -> anyhow::Result<Self> {
        let manifest: toml::Table = text.parse()?;
        let name = manifest.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str);
        let name = name.ok_or_else(|| anyhow::anyhow!("no package name"))?.to_owned();
        let mut declared = Self { name, ..Self::default() };
        let targets = manifest.get("target").and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::values);
        for part in targets.filter_map(toml::Value::as_table).chain([&manifest]) {
            // A renamed dependency is what it was before it was renamed.
            let real =
                |(name, value): (&String, &toml::Value)| value.get("package").and_then(toml::Value::as_str).unwrap_or(name).to_owned();
            let section = |name: &str| part.get(name).and_then(toml::Value::as_table).into_iter().flatten().map(real);
            declared.uses.extend(section("dependencies").chain(section("build-dependencies")));
            declared.tests_use.extend(section("dev-dependencies"));
        }
        Ok(declared)
    }
}

/// Whether the crate has a place in the house, that is, in the table.
pub fn is_room(name: &str) -> bool {
    room(name).is_some()
}

fn room(name: &str) -> Option<&'static Room> {
    TABLE.iter().find(|room| room.name == name)
}

fn may_use(user: &Room, used: &str) -> bool {
    user.uses.contains(&used) || ADDED.iter().any(|(from, to, _)| *from == user.name && *to == used)
}

/// Tests may look down, into every room on a lower floor.
fn tests_may_use(user: &Room, used: &str) -> bool {
    used == FOR_TESTS || used == user.name || may_use(user, used) || room(used).is_some_and(|used| used.floor < user.floor)
}

/// The arrows that a crate declares.
pub fn check_declared(place: &str, declared: &Declared) -> Vec<Finding> {
    let finding = |says: String| Finding { rule: "arrows", place: place.to_owned(), says };
    let Some(user) = room(&declared.name) else {
        return vec![finding(format!("`{}` is not in the table of rooms; give it a floor and its arrows", declared.name))];
    };
    let ours = |name: &&String| name.starts_with("tasker-");
    let code = declared.uses.iter().filter(ours).filter(|used| !may_use(user, used));
    let code = code.map(|used| finding(format!("`{}` may not use `{used}`", declared.name)));
    let tests = declared.tests_use.iter().filter(ours).filter(|used| !tests_may_use(user, used));
    let tests = tests.map(|used| finding(format!("the tests of `{}` may not use `{used}`, which is not below it", declared.name)));
    code.chain(tests).collect()
}

/// The arrows that a file draws, whatever is declared: a re-export would hide one.
pub fn check_source(place: &str, crate_name: &str, source: &Source) -> Vec<Finding> {
    let Some(user) = room(crate_name) else { return Vec::new() };
    let named = source.paths().into_iter().filter_map(|path| {
        let used = path.words.first()?.replace('_', "-");
        (room(&used).is_some() && used != crate_name && !may_use(user, &used)).then_some((used, path.line))
    });
    named
        .map(|(used, line)| Finding {
            rule: "arrows",
            place: format!("{place}:{line}"),
            says: format!("`{crate_name}` may not use `{used}`"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(text: &str) -> Vec<String> {
        let declared = Declared::read(text).expect("valid TOML");
        check_declared("Cargo.toml", &declared).into_iter().map(|finding| finding.says).collect()
    }

    #[test]
    fn an_arrow_that_points_up_is_found() {
        let text = "[package]\nname = 'tasker-engine'\n[dependencies]\ntasker-runtime.workspace = true\nserde = '1'";
        assert_eq!(declared(text), ["`tasker-engine` may not use `tasker-runtime`"]);
    }

    #[test]
    fn an_arrow_between_rooms_of_one_floor_is_found() {
        let text = "[package]\nname = 'tasker-store'\n[dependencies]\ntasker-bus.workspace = true";
        assert_eq!(declared(text), ["`tasker-store` may not use `tasker-bus`"]);
    }

    #[test]
    fn an_arrow_cannot_hide_behind_a_name_a_target_or_a_build_script() {
        let text = "[package]\nname = 'tasker-cli'\n[dependencies]\nwords = { package = 'tasker-engine', path = '..' }\n\
                    [build-dependencies]\ntasker-proto = '1'\n[target.'cfg(unix)'.dependencies]\ntasker-store = '1'";
        let mut found = declared(text);
        found.sort();
        assert_eq!(
            found,
            [
                "`tasker-cli` may not use `tasker-engine`",
                "`tasker-cli` may not use `tasker-proto`",
                "`tasker-cli` may not use `tasker-store`"
            ]
        );
    }

    #[test]
    fn a_crate_without_a_place_in_the_table_is_found() {
        assert_eq!(declared("[package]\nname = 'tasker-attic'").len(), 1);
    }

    #[test]
    fn tests_may_look_down_and_not_up() {
        let text = "[package]\nname = 'tasker-api'\n[dev-dependencies]\ntasker-registry = '1'\ntasker-server = '1'\ntasker-integration-tests = '1'";
        assert_eq!(declared(text), ["the tests of `tasker-api` may not use `tasker-server`, which is not below it"]);
    }

    #[test]
    fn a_path_in_the_code_counts_as_an_arrow() {
        let source = Source::read("//! tasker_store is not for us\nuse tasker_runtime::Settings;\nfn f() { tasker_store::open() }");
        let found = check_source("lib.rs", "tasker-bus", &source);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].to_string(), "lib.rs:3: arrows: `tasker-bus` may not use `tasker-store`");
    }

    #[test]
    fn every_added_arrow_is_new_and_points_down() {
        for (from, to, reason) in ADDED {
            let (from, to) = (room(from).expect("a room"), room(to).expect("a room"));
            assert!(from.floor > to.floor && !from.uses.contains(&to.name) && !reason.is_empty(), "{} -> {}", from.name, to.name);
        }
    }
}
