//! Says on standard error how far a long run is. The measurements are printed on standard output, alone.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// A run that is shorter says nothing.
const EVERY: Duration = Duration::from_secs(5);

/// How far something is.
pub struct Progress {
    what: &'static str,
    total: usize,
    began: Instant,
    next: Instant,
    on: bool,
}

impl Progress {
    pub fn new(what: &'static str, total: usize) -> Self {
        let began = Instant::now();
        Self {
            what,
            total,
            began,
            next: began + EVERY,
            on: std::io::stderr().is_terminal() || std::env::var_os("TASKER_BENCH_PROGRESS").is_some(),
        }
    }

    /// Notes how many are done; speaks now and then.
    pub fn at(&mut self, done: usize) {
        let now = Instant::now();
        if self.on && now >= self.next {
            self.next = now + EVERY;
            eprintln!("{}", line(self.what, done, self.total, now - self.began));
        }
    }
}

fn line(what: &str, done: usize, total: usize, took: Duration) -> String {
    let share = done as f64 / total.max(1) as f64;
    let rate = done as f64 / took.as_secs_f64().max(0.001);
    format!("  {what}: {done} of {total} ({:.0} %), {rate:.0} per second, {:.0} s", share * 100.0, took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_and_how_fast() {
        assert_eq!(line("tasks", 250, 1_000, Duration::from_secs(5)), "  tasks: 250 of 1000 (25 %), 50 per second, 5 s");
    }
}
