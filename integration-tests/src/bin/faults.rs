//! Plays the faults of `docs/reliability.md` at full size and prints what each row saw. `deploy/faults` builds everything it needs and runs it.

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tasker_integration_tests::faults::{Row, Seen, Size, rows};

const HELP: &str = "Plays faults with real processes and says what was seen.

Usage: faults [--short] [--list] [ROW…]

  ROW       a row's name, or the beginning of several: `disk.full`, `disk`; without any, all are played
  --short   the short form that every test run plays
  --list    name the rows and say what they do";

struct Played {
    name: &'static str,
    outcome: Option<Seen>,
    took: Duration,
}

fn main() -> ExitCode {
    let (mut size, mut list, mut wanted) = (Size::Full, false, Vec::new());
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--short" => size = Size::Short,
            "--list" => list = true,
            "--help" | "-h" => {
                println!("{HELP}");
                return ExitCode::SUCCESS;
            }
            name if !name.starts_with('-') => wanted.push(name.to_owned()),
            unknown => {
                eprintln!("`{unknown}` is not an option\n\n{HELP}");
                return ExitCode::from(2);
            }
        }
    }
    let all = rows();
    for name in &wanted {
        if !all.iter().any(|row| row.name.starts_with(name.as_str())) {
            eprintln!("no row is called `{name}`; there are: {}", all.iter().map(|row| row.name).collect::<Vec<_>>().join(" "));
            return ExitCode::from(2);
        }
    }
    let chosen: Vec<Row> =
        all.into_iter().filter(|row| wanted.is_empty() || wanted.iter().any(|name| row.name.starts_with(name.as_str()))).collect();
    if list {
        for row in &chosen {
            println!("{:<28} {}\n{:28} by {}\n{:28} checked: {}", row.name, row.fault, "", row.how, "", row.checked);
        }
        return ExitCode::SUCCESS;
    }
    let played: Vec<Played> = chosen.iter().map(|row| play(row, size)).collect();
    print(&played);
    if played.iter().all(|row| row.outcome.is_some()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn play(row: &Row, size: Size) -> Played {
    eprintln!("── {}: {}", row.name, row.fault);
    let began = Instant::now();
    // A row that fails has said why.
    let outcome = catch_unwind(|| (row.play)(size)).ok();
    let took = began.elapsed();
    eprintln!("   {} in {:.1} s", outcome.as_ref().map_or("FAILED", |_| "held"), took.as_secs_f64());
    Played { name: row.name, outcome, took }
}

fn print(played: &[Played]) {
    println!("{:<28} {:>9} {:>8}  seen", "row", "injected", "seconds");
    for Played { name, outcome, took } in played {
        match outcome {
            Some(seen) => println!("{name:<28} {:>9} {:>8.1}  {}", seen.injected, took.as_secs_f64(), seen.says),
            None => println!("{name:<28} {:>9} {:>8.1}  FAILED, see above", "", took.as_secs_f64()),
        }
    }
    let failed = played.iter().filter(|row| row.outcome.is_none()).count();
    println!("{} rows, {failed} failed", played.len());
}
