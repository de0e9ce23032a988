//! `tasker help` and `tasker completion`: answered from the program itself, without a server.

use crate::console::Console;
use crate::exit::{EXIT_CODES, Exit};
use crate::failure::Failure;
use crate::text;

/// The pages of `docs/errors/`, by code; collected when the program is built.
mod pages {
    include!(concat!(env!("OUT_DIR"), "/error_pages.rs"));
}

/// Topics that are no command.
const TOPICS: [(&str, &str, &str); 5] = [
    ("exit-codes", "what the exit codes mean", EXIT_CODES),
    (
        "output",
        "formats, and what goes where",
        "\
Data goes to standard output, everything else (progress, remarks, errors) to standard error, so `id=$(tasker task submit …)` holds the id only.
-q leaves out progress and remarks; errors are always printed.

  -o table   for people; fits the terminal. Into a pipe, nothing is wrapped: a line is a record. What events carry is shortened
  -o json    the server's own answer; field order and every digit of a number as they came
  -o jsonl   one document per line: each item of a list, each event, each submitted line
  -o yaml    the server's answer as YAML

Colours are used on terminals only, and not if NO_COLOR is set or --no-color is given.
Control characters in text from the server are shown as � and never reach the terminal.",
    ),
    (
        "environment",
        "variables that are read",
        "\
  TASKER_SERVER      address of the server; --server wins       [http://127.0.0.1:7420]
  TASKER_NAMESPACE   namespace; --namespace wins                [default]
  TRACEPARENT        W3C trace that `task submit` continues; --traceparent wins
  NO_COLOR           any value: no colours
  HTTP_PROXY, HTTPS_PROXY, NO_PROXY   as everywhere; never used for this machine's own loopback address",
    ),
    (
        "bulk",
        "submit many tasks from a file",
        "\
  tasker task submit process_order --input-lines orders.jsonl --key-field order_id > ids.txt

Each line is the input of one task. Lines are sent in batches (--batch-size), several at once (--concurrency); ids are printed in the order of
the file. A busy or restarting server is waited for, as long as it asks for.

Every line has an idempotency key: the value of --key-field, or PREFIX-<line number>. So a run that broke off is continued by running the same
command again: lines that were accepted are found by their keys and print the same ids. Without --key-field and --key-prefix a new prefix is
made for each run; if it breaks off, the prefix to continue with is printed.

Lines that are refused are reported on standard error with their number and do not stop the others, until there are more than --refused-max.
The exit code is 1 if any line was refused.",
    ),
    (
        "retries",
        "when a request is sent again",
        "\
A request is repeated only if a repeat cannot do anything twice: questions, submissions with a key, signals and events with an id, and dry
runs. 429 and 503 are tried again after what the server asks for with Retry-After (up to 60 s), otherwise after a growing delay. Commands that run for long (--wait, watch,
--follow, --input-lines) also live through a restart of the server of about two minutes.

If a submission without a key gets no answer, nobody knows whether it was accepted. It is not repeated; the exit code is 9.",
    ),
];

/// Prints the script that teaches a shell the commands of the whole program.
pub(super) fn completion(shell: clap_complete::Shell, mut program: clap::Command, console: &mut Console) -> Result<Exit, Failure> {
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, name, &mut script);
    console.print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Success)
}

/// Prints help on a command, a topic or an error code; without words, what there is.
pub(super) fn help(words: &[String], program: clap::Command, console: &mut Console) -> Result<Exit, Failure> {
    let mut program = program;
    program.build();
    if words.is_empty() {
        let topics: String = TOPICS.iter().map(|(name, about, _)| format!("  {name:<12} {about}\n")).collect();
        let long = program.render_help().to_string();
        console.print(&format!(
            "{}\n\nTopics (tasker help TOPIC):\n{topics}\nError codes: tasker help CODE, as in `tasker help input.violated`\n",
            long.trim_end()
        ))?;
        return Ok(Exit::Success);
    }
    if let Some(command) = find(&mut program, words) {
        let long = command.render_long_help().to_string();
        console.print(&long)?;
        return Ok(Exit::Success);
    }
    if let [word] = words {
        if let Some((_, _, content)) = TOPICS.iter().find(|(name, _, _)| name == word) {
            console.line(content)?;
            return Ok(Exit::Success);
        }
        if let Some((_, page)) = pages::PAGES.iter().find(|(code, _)| code == word) {
            console.line(page.trim_end())?;
            return Ok(Exit::Success);
        }
    }
    let asked = text::shorten(&text::clean(&words.join(" ")), 80);
    Err(Failure::Usage {
        said: format!("there is no help on `{asked}`"),
        help: "`tasker help` lists the commands and topics; error codes look like input.violated".to_owned(),
    })
}

/// The command that the words name, one after the other.
fn find<'a>(program: &'a mut clap::Command, words: &[String]) -> Option<&'a mut clap::Command> {
    words.iter().try_fold(program, |command, word| command.find_subcommand_mut(word))
}
