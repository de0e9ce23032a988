//! Random manifests, as text: what is applied is read by the real checker.

use crate::dice::Dice;
use std::fmt::Write;
use tasker_engine::Namespace;

/// The systems; each has one capability, `<system>.work`.
pub const SYSTEMS: [&str; 3] = ["alpha", "beta", "gamma"];

/// What a result must look like; workers announce it too.
pub const RESULT: &str =
    r#"{"type":"object","required":["value","by"],"properties":{"value":{"type":"integer","minimum":0},"by":{"type":"string"}}}"#;

/// The input every workflow takes.
const INPUT: &str = r"input:
  type: object
  required: [choice, items, key]
  properties:
    choice: { type: integer }
    items: { type: array, items: { type: integer } }
    key: { type: string }
";

/// How often a manifest is drawn before a plain one is taken.
const TRIES: usize = 20;

/// A manifest that the checker accepts. `children` are names of workflows that may be started by a step.
pub fn draw(dice: &mut Dice, name: &str, version: u64, children: &[String]) -> String {
    let namespace = Namespace::new("default").expect("a name");
    for _ in 0..TRIES {
        let text = write(dice, name, version, children);
        if tasker_manifest::check(&text, "drawn.yaml", &namespace).manifest.is_some() {
            return text;
        }
    }
    let mut text = head(name, version, dice);
    text.push_str("workflow_steps:\n  - { name: s0, owner: alpha, capability: alpha.work, timeout: { running: 4s } }\n");
    text
}

fn head(name: &str, version: u64, dice: &mut Dice) -> String {
    let mut text = format!("name: {name}\nversion: {version}.0.0\n{INPUT}");
    if dice.percent(15) {
        let _ = writeln!(text, "timeout: {}s", dice.between(8, 40));
    }
    if dice.percent(20) {
        let _ = writeln!(text, "max_parallel: {}", dice.between(1, 3));
    }
    flow(dice, &mut text);
    text.push_str("systems:\n");
    for system in SYSTEMS {
        let limits = limits(dice);
        let rate = if dice.percent(10) { " rate_limit: 40/s," } else { "" };
        let _ = writeln!(text, "  {system}: {{{rate} capabilities: [{{ name: {system}.work,{limits} result: {RESULT} }}] }}");
    }
    text
}

/// In which order its tasks go, and how many at once.
fn flow(dice: &mut Dice, text: &mut String) {
    if dice.percent(25) {
        let _ = writeln!(text, "priority: {{ default: {}, min: -100, max: 100 }}", i64::try_from(dice.below(200)).unwrap_or(0) - 100);
    }
    if dice.percent(25) {
        let _ = writeln!(text, "weight: {}", dice.between(1, 9));
    }
    if dice.percent(25) {
        let on_limit = dice.pick(&["queue", "queue", "cancel_newest", "cancel_in_progress"]).expect("four words");
        let limit = dice.between(1, 2);
        let _ = writeln!(text, "concurrency: {{ key: \"${{ task.input.key }}\", limit: {limit}, on_limit: {on_limit} }}");
    }
}

/// What a capability is limited by, and what it costs.
fn limits(dice: &mut Dice) -> String {
    let mut text = String::new();
    if dice.percent(15) {
        let _ = write!(text, " rate_limit: {{ rate: {}/s, burst: {} }},", dice.between(5, 30), dice.between(1, 4));
    }
    if dice.percent(15) {
        let _ = write!(text, " max_concurrent: {},", dice.between(1, 4));
    }
    if dice.percent(20) {
        let _ = write!(text, " slot_cost: {},", dice.between(2, 4));
    }
    text
}

fn write(dice: &mut Dice, name: &str, version: u64, children: &[String]) -> String {
    let mut text = head(name, version, dice);
    let count = dice.between(1, 6);
    let mut handlers = Vec::new();
    text.push_str("workflow_steps:\n");
    for place in 0..count {
        step(dice, &mut text, place, children, &mut handlers);
    }
    for (handler, waits) in handlers {
        let system = dice.pick(&SYSTEMS).expect("three systems");
        let end = if waits { "wait" } else { "continue" };
        let _ = writeln!(
            text,
            "  - {{ name: {handler}, owner: {system}, capability: {system}.work, input: {{ choice: 1 }}, timeout: {{ running: 4s }}, on_exhausted: {end} }}"
        );
    }
    text
}

fn step(dice: &mut Dice, text: &mut String, place: u64, children: &[String], handlers: &mut Vec<(String, bool)>) {
    let _ = writeln!(text, "  - name: s{place}");
    let before: Vec<u64> = (0..place).filter(|_| dice.percent(45)).collect();
    if !before.is_empty() {
        let names: Vec<String> = before.iter().map(|place| format!("s{place}")).collect();
        let _ = writeln!(text, "    depends_on: [{}]", names.join(", "));
        let join = match dice.below(10) {
            0 => Some("any"),
            1 | 2 => Some("done"),
            3 => Some("first"),
            _ => None,
        };
        if let Some(join) = join {
            let _ = writeln!(text, "    join: {join}");
        }
    }
    if dice.percent(8) {
        let _ = writeln!(text, "    when: \"${{ task.input.choice > {} }}\"", dice.below(4));
    }
    let wait = || "    timeout: 12s\n    on_exhausted: continue\n";
    match dice.below(20) {
        0 => text.push_str(&format!("    wait_for: {{ signal: go }}\n{}", wait())),
        1 => text.push_str(&format!("    wait_for: {{ event: paid, key: \"${{ task.input.key }}\" }}\n{}", wait())),
        2 | 3 => {
            let _ = writeln!(text, "    sleep: {}ms", dice.between(50, 6_000));
        }
        4 => text.push_str(&format!("    approval: {{ title: agree }}\n{}", wait())),
        5 | 6 if !children.is_empty() => {
            let child = dice.pick(children).expect("not empty");
            let _ = writeln!(text, "    workflow: {child}\n    on_exhausted: {}", ending(dice));
        }
        kind => call(dice, text, place, kind, handlers),
    }
}

fn call(dice: &mut Dice, text: &mut String, place: u64, kind: u64, handlers: &mut Vec<(String, bool)>) {
    let system = dice.pick(&SYSTEMS).expect("three systems");
    let _ = writeln!(text, "    owner: {system}\n    capability: {system}.work");
    // Without a limit only the lease, and asking again for what is not held, bring back an attempt that was lost.
    let running = dice.percent(60).then(|| format!("running: {}ms", dice.between(1_500, 5_000)));
    let waiting = dice.percent(20).then(|| format!("waiting: {}s", dice.between(6, 20)));
    let limits: Vec<String> = running.into_iter().chain(waiting).collect();
    if !limits.is_empty() {
        let _ = writeln!(text, "    timeout: {{ {} }}", limits.join(", "));
    }
    let _ = writeln!(
        text,
        "    retry: {{ kind: exponential, base: {}ms, cap: 2s, max_attempts: {} }}",
        dice.between(50, 800),
        dice.between(1, 4)
    );
    let _ = writeln!(text, "    on_exhausted: {}", ending(dice));
    if dice.percent(12) {
        let _ = writeln!(text, "    rate_limit: {{ rate: {}/s, burst: 2, key: \"${{ task.input.key }}\" }}", dice.between(2, 20));
    }
    if dice.percent(12) {
        let _ = writeln!(text, "    concurrency: {{ limit: {}, key: \"${{ task.input.key }}\" }}", dice.between(1, 2));
    }
    if matches!(kind, 7 | 8) {
        let stop = *dice.pick(&["on_failure", "never", "{ failures: 2 }", "{ successes: 1 }"]).expect("four words");
        let _ =
            writeln!(text, "    for_each: {{ items: \"${{ task.input.items }}\", max_parallel: {}, stop: {stop} }}", dice.between(1, 4));
        text.push_str("    input: { item: \"${ item }\" }\n");
    }
    if dice.percent(20) {
        let handler = format!("undo{place}");
        let _ = writeln!(text, "    compensate: {handler}");
        handlers.push((handler, dice.percent(50)));
    }
}

fn ending(dice: &mut Dice) -> &'static str {
    dice.pick(&["compensate", "fail", "continue", "continue", "wait"]).expect("five words")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A construct that the checker refuses would never be simulated, and nobody would notice.
    #[test]
    fn most_manifests_are_accepted_as_they_are_drawn_and_every_construct_occurs() {
        let namespace = Namespace::new("default").expect("a name");
        let mut dice = Dice::new(1);
        let mut accepted = String::new();
        let mut count = 0;
        for _ in 0..200 {
            let text = write(&mut dice, "drawn", 1, &["child".to_owned()]);
            let checked = tasker_manifest::check(&text, "drawn.yaml", &namespace);
            match checked.manifest {
                Some(_) => {
                    accepted.push_str(&text);
                    count += 1;
                }
                None => eprintln!("{:?}\n{text}", checked.diagnostics.first().map(|found| &found.message)),
            }
        }
        assert!(count > 100, "only {count} of 200 are accepted");
        let language =
            ["signal:", "event:", "sleep:", "approval:", "workflow: child", "for_each:", "compensate: undo", "join: first", "when:"];
        let flow = [
            "priority:",
            "weight:",
            "on_limit: queue",
            "on_limit: cancel_",
            "max_concurrent:",
            "slot_cost:",
            " rate_limit: 40/s",
            "    concurrency:",
        ];
        for construct in language.into_iter().chain(flow) {
            assert!(accepted.contains(construct), "`{construct}` is never accepted");
        }
    }
}
