//! What a writer measures: filled on its thread, read by whoever asks for figures.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tasker_telemetry::histogram::Histogram;
use tasker_telemetry::metric;
use tasker_telemetry::reading::Readings;

/// The numbers of one writer.
pub struct Measures {
    epoch: AtomicI64,
    fenced: AtomicU64,
    full: AtomicU64,
    unknown: AtomicU64,
    probe: AtomicU64,
    /// Written once per commit and read once per scrape, so nobody waits for it.
    fsync: Mutex<Histogram>,
}

impl Measures {
    /// Of a writer that has just taken the lease.
    pub fn new(epoch: i64) -> Self {
        Self {
            epoch: AtomicI64::new(epoch),
            fenced: AtomicU64::new(0),
            full: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            probe: AtomicU64::new(0),
            fsync: Mutex::new(Histogram::new(metric::FINE)),
        }
    }

    /// A write was refused because somebody else holds the lease.
    pub fn fenced(&self) {
        self.fenced.fetch_add(1, Relaxed);
    }

    /// A write was not made, because there is no space; it is tried again.
    pub fn full(&self) {
        self.full.fetch_add(1, Relaxed);
    }

    /// A write failed, and nobody knows whether it was made.
    pub fn unknown(&self) {
        self.unknown.fetch_add(1, Relaxed);
    }

    /// A probe failed.
    pub fn probe_failed(&self) {
        self.probe.fetch_add(1, Relaxed);
    }

    /// The database's own commit took this long.
    pub fn synced(&self, took: Duration) {
        self.fsync.lock().unwrap_or_else(PoisonError::into_inner).observe_time(took);
    }

    /// Adds the numbers to a snapshot.
    pub fn read(&self, readings: &mut Readings) {
        readings.add(&metric::EPOCH, &[], self.epoch.load(Relaxed) as f64);
        let errors = [("fenced", &self.fenced), ("full", &self.full), ("unknown", &self.unknown), ("probe", &self.probe)];
        for (kind, count) in errors {
            readings.add(&metric::STORE_ERRORS, &[kind], count.load(Relaxed));
        }
        readings.add(&metric::STORE_FSYNC, &[], &*self.fsync.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
