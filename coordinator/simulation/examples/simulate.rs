//! Runs seeds: `deploy/simulate --seeds 100000`, `deploy/simulate --seed 17 --verbose`.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tasker_simulation::{Fault, Options, Outcome, RARE, Sometimes, run};

const HELP: &str = "Runs whole clusters, each from one seed, in virtual time.

  --seed N          only this seed, twice, and says whether it did the same both times
  --seeds N         so many seeds (default 500)
  --from N          the first one (default 0)
  --threads N       so many at once (default: one per core)
  --until-red       stops at the first seed that fails
  --rare            fails if a rare state never happened
  --without A,B     switches kinds of faults off: FAULTS
  --verbose         prints everything that happens, with --seed";

/// From this many seeds on a rare state that never happened is a finding.
const ENOUGH: u64 = 400;

struct Asked {
    seed: Option<u64>,
    seeds: u64,
    from: u64,
    threads: usize,
    until_red: bool,
    rare: bool,
    without: Vec<Fault>,
    verbose: bool,
}

fn read() -> Result<Option<Asked>, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut asked = Asked { seed: None, seeds: 500, from: 0, threads, until_red: false, rare: false, without: Vec::new(), verbose: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} takes a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("`{text}` is no number"));
        match word.as_str() {
            "--seed" => asked.seed = Some(number(value()?)?),
            "--seeds" => asked.seeds = number(value()?)?,
            "--from" => asked.from = number(value()?)?,
            "--threads" => asked.threads = number(value()?)?.max(1) as usize,
            "--until-red" => asked.until_red = true,
            "--rare" => asked.rare = true,
            "--verbose" => asked.verbose = true,
            "--without" => {
                for word in value()?.split(',') {
                    asked.without.push(Fault::from_word(word).ok_or_else(|| format!("`{word}` is no kind of fault"))?);
                }
            }
            "--help" | "-h" => return Ok(None),
            other => return Err(format!("`{other}` is not known; --help says what is")),
        }
    }
    Ok(Some(asked))
}

fn main() -> ExitCode {
    match read() {
        Ok(None) => {
            let words: Vec<&str> = Fault::ALL.iter().map(|fault| fault.word()).collect();
            println!("{}", HELP.replace("FAULTS", &words.join(",")));
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            eprintln!("{wrong}");
            ExitCode::from(2)
        }
        Ok(Some(asked)) => match asked.seed {
            Some(seed) => one(&asked, seed),
            None => many(&asked),
        },
    }
}

fn one(asked: &Asked, seed: u64) -> ExitCode {
    let options = || Options { verbose: asked.verbose, ..Options::new(seed).without(asked.without.iter().copied()) };
    println!("{}", options());
    let first = run(options());
    let second = run(Options { verbose: false, ..options() });
    tell(&options(), &first);
    let same = first.hash == second.hash;
    if !same {
        println!("NOT THE SAME TWICE: {:016x} after {} and {:016x} after {}", first.hash, first.noted, second.hash, second.noted);
    }
    if first.violations.is_empty() && same { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(options: &Options, outcome: &Outcome) {
    let (tasks, rows, epochs) = outcome.figures;
    println!(
        "seed {}: {tasks} tasks, {rows} rows, {epochs} epochs, {:.0} s of virtual time, trace {:016x}",
        options.seed,
        outcome.elapsed.as_secs_f64(),
        outcome.hash
    );
    for violation in &outcome.violations {
        println!("  {violation}");
    }
    if !outcome.violations.is_empty() {
        println!("  {options}\n  again with: {}", options.command());
    }
}

fn many(asked: &Asked) -> ExitCode {
    let (next, red) = (AtomicU64::new(asked.from), AtomicU64::new(0));
    let end = asked.from + asked.seeds;
    let began = Instant::now();
    let seen = Mutex::new((Sometimes::default(), began, 0u64));
    std::thread::scope(|scope| {
        for _ in 0..asked.threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || (asked.until_red && red.load(Ordering::Relaxed) > 0) {
                        return;
                    }
                    let options = Options::new(seed).without(asked.without.iter().copied());
                    let outcome = run(options.clone());
                    let mut seen = seen.lock().expect("nobody panics while holding it");
                    seen.0.add(&outcome.sometimes);
                    seen.2 += 1;
                    if !outcome.violations.is_empty() {
                        red.fetch_add(1, Ordering::Relaxed);
                        tell(&options, &outcome);
                    }
                    if seen.1.elapsed() > Duration::from_secs(10) {
                        seen.1 = Instant::now();
                        println!(
                            "{} of {} seeds, {} failed, {:.0} s",
                            seen.2,
                            asked.seeds,
                            red.load(Ordering::Relaxed),
                            began.elapsed().as_secs_f64()
                        );
                    }
                }
            });
        }
    });
    let (sometimes, _, ran) = seen.into_inner().expect("nobody panicked while holding it");
    let red = red.load(Ordering::Relaxed);
    for what in RARE {
        println!("{:>9}  {what}", sometimes.count(what));
    }
    let missing = sometimes.missing();
    let poor = asked.rare || asked.seeds >= ENOUGH;
    if poor && !missing.is_empty() {
        println!("never happened: {}", missing.join("; "));
    }
    println!("{ran} seeds in {:.1} s: {red} failed", began.elapsed().as_secs_f64());
    if red == 0 && (missing.is_empty() || !poor) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
