//! `workflow fmt`: one way to write a manifest, and never another meaning.

use tasker_manifest::format as fmt;

#[track_caller]
fn formatted(source: &str) -> String {
    let formatted = fmt(source, "m.yaml").unwrap_or_else(|problems| panic!("{source}\n{problems:?}"));
    assert_eq!(formatted.left_as_is, None, "{source}");
    formatted.text
}

/// Formats twice: the second time changes nothing.
#[track_caller]
fn check(source: &str, expected: &str) {
    let once = formatted(source);
    assert_eq!(once, expected, "from:\n{source}");
    assert_eq!(formatted(&once), once, "a second time");
}

#[test]
fn fields_stand_in_their_order_and_the_authors_own_stay_where_they_are() {
    check(
        "
workflow_steps:
- capability: order.check
  retry: {max_attempts: 3, kind: fixed}
  input: {z: 1, a: 2}
  owner: shop
  name: check
  timeout:
    total: 1m
    running: 30s
systems:
    shop:
        capabilities:
          - result: {type: object, properties: {b: {}, a: {}}}
            name: order.check
        base_url: 'https://shop.example.com'
version: 1.10
name: example
",
        r#"name: example
version: 1.10
systems:
  shop:
    base_url: "https://shop.example.com"
    capabilities:
      - name: order.check
        result: { type: object, properties: { b: {}, a: {} } }
workflow_steps:
  - name: check
    owner: shop
    capability: order.check
    input: { z: 1, a: 2 }
    timeout:
      running: 30s
      total: 1m
    retry: { kind: fixed, max_attempts: 3 }
"#,
    );
}

#[test]
fn comments_and_groups_stay_with_what_they_belong_to() {
    check(
        "# config/order.yaml
# the header

# about the version
version: 1.0.0   # semver
name: example # its name


# about systems
systems: # all of them
   # the shop
   shop: {} # nothing yet
   # pay: {}

workflow_steps:
      # first
   -   name: a      # x
       owner: shop  # y
       # capability: none
       capability: c

   # second
   -
       # its name
       name: b
       owner: shop
       capability: c
# the end
",
        "# config/order.yaml
# the header

name: example # its name
# about the version
version: 1.0.0 # semver

# about systems
systems: # all of them
  # the shop
  shop: {} # nothing yet
  # pay: {}

workflow_steps:
  # first
  - name: a     # x
    owner: shop # y
    # capability: none
    capability: c

  # second
  -
    # its name
    name: b
    owner: shop
    capability: c
# the end
",
    );
}

#[test]
fn block_texts_keep_every_line() {
    check(
        "a: |\n     one\n       two\n\n     three\n\nb: >-\n      folded\n      text\nc: |2\n    begins deep\n   x\nd: |+ # kept\n  end\n\ne: 1\n",
        "a: |\n  one\n    two\n\n  three\n\nb: >-\n  folded\n  text\nc: |2\n    begins deep\n   x\nd: |+ # kept\n  end\n\ne: 1\n",
    );
}

#[test]
fn lists_of_lists_and_lists_as_deep_as_their_key_are_indented() {
    check("a:\n- x\n- - y\n  - z: 1\n    w: 2\n-\n- []\n", "a:\n  - x\n  - - y\n    - z: 1\n      w: 2\n  -\n  - []\n");
}

#[test]
fn anchors_and_aliases_are_kept_and_never_pass_each_other() {
    check(
        "workflow_steps:\n  - retry: &patient {max_attempts: 9}\n    name: a\n  - name: b\n    retry: *patient\nname: &n x\n",
        "name: &n x\nworkflow_steps:\n  - name: a\n    retry: &patient { max_attempts: 9 }\n  - name: b\n    retry: *patient\n",
    );
    // `timeout` would come before `retry`, and with it the alias before its anchor.
    check(
        "workflow_steps:\n  - retry: {cap: &t 5s}\n    timeout: *t\n    name: a\n",
        "workflow_steps:\n  - retry: { cap: &t 5s }\n    timeout: *t\n    name: a\n",
    );
}

#[test]
fn an_anchored_block_in_a_list_stays_anchored() {
    check("a:\n  - &x\n    b: 1\n  - *x\nc: &y\n  - 1\n", "a:\n  - &x\n    b: 1\n  - *x\nc: &y\n  - 1\n");
}

#[test]
fn brackets_that_are_too_long_become_lines_and_short_ones_one_line() {
    let long: Vec<String> = (0..20).map(|number| format!("step_number_{number}")).collect();
    let lines: String = long.iter().map(|name| format!("  - {name}\n")).collect();
    check(&format!("depends_on: [{}] # many\n", long.join(", ")), &format!("depends_on: # many\n{lines}"));
    check("a: [\n  1,\n  {b: 2,\n   c: },\n]\n", "a: [1, { b: 2, c: }]\n");
}

#[test]
fn brackets_with_comments_become_lines() {
    check(
        "a: [ # numbers\n  1, # one\n  # two\n  2,\n  {x: 1, y: [] } # both\n  # last\n] # end\n",
        "a: # end\n  # numbers\n  - 1 # one\n  # two\n  - 2\n  - { x: 1, y: [] } # both\n  # last\n",
    );
}

#[test]
fn long_texts_are_folded_at_spaces() {
    let words = vec!["seventeen"; 15].join(" ");
    let source = format!("description: {words}\nother: \"{words}\"\nurl: {}\n", "x".repeat(200));
    let out = formatted(&source);
    assert!(out.starts_with("description: >-\n  seventeen") && out.contains("other: >-\n"), "{out}");
    assert!(out.contains(&format!("url: {}", "x".repeat(200))), "what has no spaces stays: {out}");
    assert!(out.lines().filter(|line| !line.starts_with("url")).all(|line| line.len() <= 120), "{out}");
    assert_eq!(formatted(&out), out);
}

#[test]
fn texts_over_several_lines_are_joined_or_become_literal() {
    check("a: one\n   two\nb: \"x\n\n   y\"\nc: 'it''s\n  so'\n", "a: one two\nb: |-\n  x\n  y\nc: \"it's so\"\n");
}

#[test]
fn a_comment_between_a_key_and_its_value_stays_there() {
    check("a:\n  - b: 1\n    # about b\n  -\n    # about c\n    - c\n", "a:\n  - b: 1\n    # about b\n  -\n    # about c\n    - c\n");
    check("a: # one\n  b # two\nc:\n  # three\n  d\ne: # four\n  f\n", "a: # one\n  b # two\nc:\n  # three\n  d\ne: f # four\n");
}

#[test]
fn signs_of_other_systems_are_left_behind() {
    check("\u{feff}---\r\nname: a\r\nversion: '1'\r\n...\r\n", "name: a\nversion: \"1\"\n");
    check("", "");
    check("# only a comment\n", "# only a comment\n");
}

#[test]
fn what_cannot_be_read_is_explained_instead() {
    for (source, code) in [
        ("a: [1", "manifest.syntax"),
        ("? [a]\n: 1", "manifest.bad_key"),
        ("a: !!str 1", "manifest.tag"),
        ("a: yes", "manifest.unquoted_boolean"),
    ] {
        let problems = fmt(source, "m.yaml").expect_err(source);
        assert_eq!(problems[0].code, code);
    }
}

#[test]
fn every_example_is_formatted_without_change_of_meaning() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../manifests/examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the examples are there") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let source = std::fs::read_to_string(&path).expect("readable");
        let once = formatted(&source);
        assert_eq!(formatted(&once), once, "{}", path.display());
        seen += 1;
    }
    assert!(seen > 0, "no example was seen");
}

#[test]
fn a_large_manifest_is_formatted_in_the_time_of_a_breath() {
    let step = |number: usize| {
        let flow = "{ a: [1, 2, {x: 1, y: [a, b, c]}], b: 'text' } # a comment";
        format!("  - capability: order.check\n    name: step_{number}\n    # about it\n    input: {flow}\n\n    owner: shop\n")
    };
    let source = format!("workflow_steps:\n{}", (0..6_000).map(step).collect::<String>());
    let begin = std::time::Instant::now();
    assert!(formatted(&source).len() > 800_000);
    // About a second in an unoptimised build; what grows with the square of the size takes minutes.
    assert!(begin.elapsed() < std::time::Duration::from_secs(20), "{:?}", begin.elapsed());
}
