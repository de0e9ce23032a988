//! How long a commit takes on SQLite, by batch: one journal row per step, 300 bytes of result, fsynced.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::sync::Arc;
use tasker_engine::{AttemptNumber, Entry, Event, Payload, StepIndex, TaskId, Timestamp};
use tasker_runtime::port::store::{Batch, JournalRow, Sequence};
use tasker_store::Options;

/// Results of this size were measured when the shape was chosen.
const RESULT_BYTES: usize = 300;

fn batch(first: Sequence, size: i64) -> Batch {
    let result = Payload::of(&serde_json::Value::String("x".repeat(RESULT_BYTES - 2)));
    let row = |sequence: Sequence| {
        let task = TaskId::from_number(sequence).expect("not negative");
        let done = Event::StepSucceeded { step: StepIndex(0), attempt: AttemptNumber::FIRST, result: result.clone() };
        let events = vec![done, Event::StepReady { step: StepIndex(1) }];
        JournalRow { sequence, previous: 0, entry: Arc::new(Entry { task, first: 1, at: Timestamp::from_millis(0), events }) }
    };
    Batch { journal: (first..first + size).map(row).collect(), ..Batch::default() }
}

fn commit(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let mut group = criterion.benchmark_group("commit");
    for size in [1_i64, 16, 64] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let url = format!("sqlite:{}", directory.path().join("bench.db").display());
        let store = runtime.block_on(tasker_store::open(&url, Options::new("bench"))).expect("opens");
        let mut next = 1;
        group.throughput(Throughput::Elements(size.unsigned_abs()));
        group.bench_function(format!("sqlite/{size}"), |bencher| {
            bencher.iter_batched(
                || {
                    let first = next;
                    next += size;
                    batch(first, size)
                },
                |batch| runtime.block_on(store.commit(batch)).expect("commits"),
                BatchSize::PerIteration,
            );
        });
        runtime.block_on(store.close());
    }
    group.finish();
}

criterion_group!(benches, commit);
criterion_main!(benches);
