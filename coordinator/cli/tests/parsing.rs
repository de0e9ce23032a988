//! The command line itself: what is accepted, what is refused, and what help says.

mod stage;

use clap::{CommandFactory, Parser};
use stage::Program;

#[test]
fn the_commands_fit_into_the_program() {
    Program::command().debug_assert();
}

#[test]
fn every_command_has_an_example_or_is_a_group() {
    let mut program = Program::command();
    program.build();
    let mut poor = Vec::new();
    for group in program.get_subcommands().filter(|group| !matches!(group.get_name(), "dev" | "help" | "completion")) {
        for verb in group.get_subcommands().filter(|verb| !matches!(verb.get_name(), "help" | "check")) {
            if !verb.get_after_help().is_some_and(|help| help.to_string().contains("tasker ")) {
                poor.push(format!("{} {}", group.get_name(), verb.get_name()));
            }
        }
    }
    assert_eq!(poor, Vec::<String>::new());
}

#[test]
fn orders_about_the_fleet_are_accepted() {
    let good: [&[&str]; 12] = [
        &["worker", "drain", "aB3dE5gH7jK9mN1pQ2rS4t"],
        &["worker", "drain", "-B3dE5gH7jK9mN1pQ2rS4t", "--system", "payments"],
        &["worker", "drain", "--system", "payments", "--3dE5gH7jK9mN1pQ2rS4t"],
        &["system", "drain", "payments", "--version", "2.0.0"],
        &["system", "drain", "payments", "--version", "2.0.0", "--undo"],
        &["capability", "breaker", "payments", "payment.charge", "open"],
        &["queue", "list"],
        &["queue", "show", "payments", "payment.charge"],
        &["queue", "pause", "payments", "payment.charge"],
        &["queue", "resume", "payments", "payment.charge"],
        &["queue", "limit", "payments", "payment.charge", "--rate", "5/s", "--burst", "2", "--max-backlog", "unlimited"],
        &["task", "submit", "order", "--input", "1", "--priority", "-20"],
    ];
    for arguments in good {
        let parsed = Program::try_parse_from(std::iter::once(&"tasker").chain(arguments));
        assert!(parsed.is_ok(), "{arguments:?}: {}", parsed.err().map(|error| error.to_string()).unwrap_or_default());
    }
}

#[test]
fn help_texts() {
    let mut program = Program::command().term_width(120);
    program.build();
    insta::assert_snapshot!("help", program.render_long_help().to_string());
    let ours = [
        "workflow",
        "task",
        "approval",
        "step",
        "dlq",
        "event",
        "contract",
        "worker",
        "system",
        "capability",
        "queue",
        "completion",
        "help",
    ];
    for group in ours {
        let command = program.find_subcommand_mut(group).expect("it exists");
        insta::assert_snapshot!(format!("help_{group}"), command.render_long_help().to_string());
        let verbs: Vec<String> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).filter(|verb| verb != "help").collect();
        for verb in verbs {
            let verb_command = command.find_subcommand_mut(&verb).expect("it was listed");
            insta::assert_snapshot!(format!("help_{group}_{verb}"), verb_command.render_long_help().to_string());
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_the_usage_exit_code() {
    let bad: [&[&str]; 31] = [
        &["worker", "drain"],
        &["system", "drain", "payments"],
        &["capability", "breaker", "payments", "payment.charge"],
        &["queue", "limit", "payments", "payment.charge"],
        &["queue", "limit", "payments", "payment.charge", "--burst", "2"],
        &["task", "submit", "order", "--input", "1", "--priority", "101"],
        &["capability", "breaker", "payments", "payment.charge", "half_open"],
        &["task", "submit", "order"],
        &["task", "submit", "order", "--input", "{}", "--input-lines", "x"],
        &["task", "submit", "order", "--input", "{}", "--timeout", "3s"],
        &["task", "submit", "order", "--input", "{}", "--wait", "--timeout", "3"],
        &["task", "submit", "order", "--input", "{}", "--label", "tenant"],
        &["task", "submit", "order", "--input", "{}", "--key-field", "id"],
        &["task", "submit", "order", "--input-lines", "x", "--key", "k"],
        &["task", "submit", "order", "--input-lines", "x", "--batch-size", "1001"],
        &["task", "submit", "order", "--input-lines", "x", "--concurrency", "0"],
        &["task", "submit", "../order", "--input", "{}"],
        &["task", "show", "tsk_1/events"],
        &["task", "list", "--limit", "0"],
        &["task", "list", "--all", "--limit", "5"],
        &["--server", "ftp://x", "task", "list"],
        &["--server", "127.0.0.1:7420", "task", "list"],
        &["-n", "a.b", "task", "list"],
        &["workflow", "lint"],
        &["approval", "decide", "tsk_1", "review", "maybe", "--by", "ada"],
        &["approval", "decide", "tsk_1", "review", "approve", "--by", ""],
        &["approval", "comment", "tsk_1", "review", "", "--by", "ada"],
        &["step", "resolve", "tsk_1", "ship", "supply", "--by", "ada"],
        &["step", "resolve", "tsk_1", "ship[x]", "retry", "--by", "ada"],
        &["event", "send", "paid"],
        &["task", "items", "tsk_1", "resize", "--limit", "10001"],
    ];
    for arguments in bad {
        let refused = Program::try_parse_from(["tasker"].iter().chain(arguments)).expect_err(&format!("{arguments:?}"));
        assert_eq!(refused.exit_code(), 2, "{arguments:?}");
    }
}

#[test]
fn global_options_are_understood_in_any_place() {
    let early = Program::try_parse_from(["tasker", "-n", "acme", "-o", "json", "task", "list"]).expect("valid");
    let late = Program::try_parse_from(["tasker", "task", "list", "-n", "acme", "-o", "json"]).expect("valid");
    for program in [early, late] {
        assert_eq!((program.global.namespace.as_str(), program.global.output), ("acme", tasker_cli::Format::Json));
    }
}

#[test]
fn a_version_of_a_workflow_is_not_the_version_of_the_program() {
    let program = Program::try_parse_from(["tasker", "task", "submit", "order", "--version", "2.0.0", "--input", "{}"]).expect("valid");
    assert!(format!("{:?}", program.command).contains("Some(\"2.0.0\")"), "{:?}", program.command);
    let printed = Program::try_parse_from(["tasker", "--version"]).expect_err("prints the version");
    assert_eq!(printed.kind(), clap::error::ErrorKind::DisplayVersion);
}
