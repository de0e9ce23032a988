//! Formats and patterns as this room reads them, against the validator of contracts.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use tasker_types::{Type, Verdict};

const FORMATS: &[&str] = &[
    "date",
    "date-time",
    "time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uri-reference",
    "iri",
    "iri-reference",
    "uri-template",
    "uuid",
    "json-pointer",
    "relative-json-pointer",
    "regex",
];

/// Texts of every format, nearly of one, and of none.
const TEXTS: &[&str] = &[
    "",
    " ",
    "(",
    "[",
    "a",
    "a b",
    "ü",
    "example.com",
    "example",
    "-a.com",
    "a@b",
    "a@example.com",
    "@",
    "a@",
    "a@[127.0.0.1]",
    "\"a b\"@c.de",
    "2026-01-31",
    "2026-02-29",
    "2024-02-29",
    "1900-02-29",
    "2000-02-29",
    "0000-01-01",
    "2026-13-01",
    "2026-1-1",
    "2026-01-31T00:00:00Z",
    "2026-01-31t00:00:00z",
    "2026-01-31 00:00:00Z",
    "2026-01-31T24:00:00Z",
    "2016-12-31T23:59:60Z",
    "2026-01-31T00:00:00+01:00",
    "2026-01-31T00:00:00",
    "00:00:00Z",
    "23:59:60Z",
    "24:00:00Z",
    "12:00:00",
    "12:00:00.123Z",
    "P1D",
    "P",
    "PT",
    "P1Y2M",
    "PT1H",
    "P1W",
    "1D",
    "127.0.0.1",
    "256.0.0.1",
    "1.2.3",
    "01.2.3.4",
    "::",
    "::1",
    "1::2::3",
    "fe80::1%eth0",
    "2001:db8::1",
    "http://example.com/a?b#c",
    "http://a b",
    "urn:x",
    "a/b",
    "//a",
    "#f",
    "mailto:a@b.c",
    "http://example.com/{id}",
    "{",
    "}",
    "123e4567-e89b-12d3-a456-426614174000",
    "123E4567-E89B-12D3-A456-426614174000",
    "123e4567e89b12d3a456426614174000",
    "/a/b",
    "/a~0b",
    "/a~",
    "/~2",
    "0",
    "0#",
    "1/a",
    "01",
    "-1",
    "[0-9]+",
    "(?=a)",
    "*",
    "\\",
    "a\u{0}b",
    "a\nb",
    "ä@ö.de",
    "http://ö.de",
];

/// The validator of contracts, set up as contracts set it up; what does not compile accepts nothing.
fn acceptor(schema: &Value) -> impl Fn(&str) -> bool + use<> {
    let validator = jsonschema::draft202012::options()
        .with_pattern_options(jsonschema::PatternOptions::regex().size_limit(1 << 20))
        .should_validate_formats(true)
        .offline()
        .build(schema)
        .ok();
    move |text| validator.as_ref().is_some_and(|validator| validator.is_valid(&json!(text)))
}

#[test]
fn what_is_said_of_a_format_is_what_the_validator_says() {
    for format in FORMATS {
        let schema = json!({ "type": "string", "format": format });
        let accepts = acceptor(&schema);
        let admitted = Type::of_schema(&schema);
        let mut said = 0;
        for text in TEXTS {
            if let Some(answer) = admitted.contains(&json!(text)) {
                assert_eq!(answer, accepts(text), "{text:?} as {format}");
                said += 1;
            }
        }
        assert!(said >= 5, "hardly anything is said of {format}");
        let sample = admitted.sample().expect("every format has a sample");
        assert!(sample.as_str().is_some_and(&accepts), "{sample} as {format}");
        // A text of any kind is not of the format, and there is one to show it.
        assert!(matches!(admitted.admits(&Type::string()), Verdict::Breaks { counterexample: Some(_), .. }), "{format}");
    }
}

#[test]
fn formats_that_are_not_enforced_admit_every_text() {
    for format in ["idn-email", "idn-hostname", "unheard-of"] {
        let schema = json!({ "type": "string", "format": format });
        assert!(Type::of_schema(&schema).admits(&Type::string()).fits());
        let accepts = acceptor(&schema);
        assert!(TEXTS.iter().all(|text| accepts(text)), "{format} is enforced");
    }
}

/// The lengths that are promised of a format are those that the validator admits.
#[test]
fn a_format_bounds_the_length() {
    for (format, length) in [("date", 10), ("uuid", 36)] {
        let exactly = json!({ "type": "string", "minLength": length, "maxLength": length });
        assert!(Type::of_schema(&exactly).admits(&Type::of_schema(&json!({ "type": "string", "format": format }))).fits());
    }
    for text in TEXTS {
        for (format, least, most) in [
            ("date-time", 20, 99),
            ("time", 9, 99),
            ("ipv4", 7, 15),
            ("ipv6", 2, 99),
            ("email", 2, 99),
            ("uri", 2, 99),
            ("duration", 3, 99),
        ] {
            let fits = (least..=most).contains(&text.chars().count());
            assert!(fits || !acceptor(&json!({ "format": format }))(text), "{text:?} as {format}");
        }
    }
}

fn pattern() -> impl Strategy<Value = String> {
    let atom = select(vec![
        "a", "b", "ü", "1", ".", r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", r"\.", r"\-", "[ab]", "[^a]", "[a-c1-3]", r"[\d.]", "[.a-]",
        r"[\w-]", "[^ü]", "^", "$", " ", "/", "-", r"\/", "[[a]", "&&", "[a&&b]", r"\t",
    ]);
    let quantifier = select(vec!["", "", "", "*", "+", "?", "{2}", "{1,3}", "{2,}"]);
    let term =
        (atom, quantifier).prop_map(|(atom, many)| if matches!(atom, "^" | "$") { atom.to_owned() } else { format!("{atom}{many}") });
    let row = prop::collection::vec(term, 1..5).prop_map(|terms| terms.concat());
    let group = prop::collection::vec(row.clone(), 1..3).prop_map(|rows| format!("({})", rows.join("|")));
    prop_oneof![
        row.clone(),
        row.clone().prop_map(|row| format!("^{row}$")),
        (row, group).prop_map(|(row, group)| format!("^{row}{group}?"))
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(select(vec!['a', 'b', 'c', '1', 'ü', '.', ' ', '-', '/', '\n', '[', '_', '&']), 0..6)
        .prop_map(|chars| chars.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn a_pattern_is_read_as_the_validator_reads_it(pattern in pattern(), texts in prop::collection::vec(text(), 20)) {
        let schema = json!({ "type": "string", "pattern": pattern });
        let accepts = acceptor(&schema);
        let admitted = Type::of_schema(&schema);
        for text in &texts {
            if let Some(answer) = admitted.contains(&json!(text)) {
                prop_assert_eq!(answer, accepts(text), "{:?} as /{}/", text, pattern);
            }
        }
        if let Some(Value::String(sample)) = admitted.sample() {
            prop_assert!(accepts(&sample), "{sample:?} as /{pattern}/");
        }
    }

    #[test]
    fn patterns_and_lengths_are_compared_rightly(
        (one, other) in (pattern(), pattern()), (min, max, least, most) in (0_u64..4, 3_u64..8, 0_u64..4, 3_u64..8), texts in prop::collection::vec(text(), 40)
    ) {
        let sub = json!({ "type": "string", "pattern": one, "minLength": min, "maxLength": max });
        let sup = json!({ "anyOf": [{ "type": "string", "pattern": other, "minLength": least }, { "type": "string", "maxLength": most, "pattern": "^a" }] });
        let (gives, takes) = (acceptor(&sub), acceptor(&sup));
        match Type::of_schema(&sup).admits(&Type::of_schema(&sub)) {
            Verdict::Fits => {
                for text in &texts {
                    prop_assert!(!gives(text) || takes(text), "{text:?}: /{one}/ in /{other}/");
                }
            }
            Verdict::Breaks { counterexample: Some(Value::String(text)), .. } => {
                prop_assert!(gives(&text) && !takes(&text), "{text:?}: /{one}/ in /{other}/");
            }
            Verdict::Breaks { .. } | Verdict::Unproven { .. } => {}
        }
    }
}
