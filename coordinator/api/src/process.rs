//! What the operating system says of this process. On a system without `/proc` there is nothing to say, and nothing is said.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tasker_telemetry::metric;
use tasker_telemetry::reading::Readings;

/// The unit of processor time in `/proc`: Linux has shown hundredths of a second to programs for as long as it has shown any.
const TICKS_PER_SECOND: f64 = 100.0;

/// Adds the figures to a snapshot.
pub(crate) fn read(readings: &mut Readings) {
    let text = |file: &str| std::fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    if let Some(seconds) = processor_seconds(&text("stat")) {
        readings.add(&metric::PROCESS_CPU, &[], seconds);
    }
    if let Some(bytes) = resident_bytes(&text("status")) {
        readings.add(&metric::PROCESS_MEMORY, &[], bytes);
    }
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        // The directory that is being read is open, too.
        readings.add(&metric::PROCESS_FDS, &[], entries.count().saturating_sub(1));
    }
    if let Some(most) = files_max(&text("limits")) {
        readings.add(&metric::PROCESS_FDS_MAX, &[], most);
    }
    if let Some(started) = started(&text("stat"), &std::fs::read_to_string("/proc/uptime").unwrap_or_default(), SystemTime::now()) {
        readings.add(&metric::PROCESS_START, &[], started);
    }
}

/// A field of `/proc/self/stat`, numbered as its manual does. The second one, in brackets, may hold anything, so counting begins after it.
fn field(stat: &str, number: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(number - 3)?.parse().ok()
}

fn processor_seconds(stat: &str) -> Option<f64> {
    Some((field(stat, 14)? + field(stat, 15)?) / TICKS_PER_SECOND)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

fn files_max(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Seconds since 1970: now, less the time the machine has been up, and then the time it had been up at the start.
fn started(stat: &str, uptime: &str, now: SystemTime) -> Option<f64> {
    let up: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    let now = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64();
    Some(now - up + field(stat, 22)? / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "4242 (a (b) c) S 1 4242 4242 0 -1 4194560 900 0 3 0 250 50 0 0 20 0 9 0 12345 1000000 500 18446744073709551615";

    #[test]
    fn figures_of_the_process_are_read_by_their_place_whatever_it_is_called() {
        assert_eq!(processor_seconds(STAT), Some(3.0));
        assert_eq!(started(STAT, "1000.00 1900.00\n", UNIX_EPOCH + Duration::from_secs(5000)), Some(4123.45));
        assert_eq!(resident_bytes("Name:\ttasker\nVmRSS:\t   2048 kB\n"), Some(2_097_152));
        assert_eq!(files_max("Limit  Soft  Hard\nMax open files            1024                 4096                 files\n"), Some(1024));
    }

    #[test]
    fn what_cannot_be_read_is_not_invented() {
        assert_eq!((processor_seconds(""), resident_bytes("VmRSS:"), files_max("Max open files unlimited")), (None, None, None));
    }
}
