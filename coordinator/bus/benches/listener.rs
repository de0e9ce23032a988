//! What one message costs between the socket it comes from and the socket it goes to.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tasker_bus::embedded::bench::Feed;
use tasker_bus::embedded::parser::{ParseLimits, Parser};

const MESSAGES: usize = 500;

/// About what the worker protocol sends: a subject of eight tokens and 128 bytes.
fn stream(subject: impl Fn(usize) -> String) -> Vec<u8> {
    let payload = "x".repeat(128);
    (0..MESSAGES).flat_map(|number| format!("PUB {} 128\r\n{payload}\r\n", subject(number)).into_bytes()).collect()
}

fn parsing(criterion: &mut Criterion) {
    let limits = ParseLimits { control_line_bytes_max: 4096, payload_bytes_max: 1 << 20 };
    let stream = stream(|_| "tasker.v1.default.python_inventory.reply.0".to_owned());
    let mut group = criterion.benchmark_group("parser");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    group.bench_function("publish, 128 bytes", |bencher| {
        bencher.iter_batched(
            || (Parser::new(limits, false), bytes::BytesMut::from(&stream[..])),
            |(mut parser, mut buffer)| {
                let mut count = 0;
                while let Ok(Some(_)) = parser.next(&mut buffer) {
                    count += 1;
                }
                assert_eq!(count, MESSAGES);
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn routing(criterion: &mut Criterion) {
    let mut patterns: Vec<String> = (0..1_000).map(|worker| format!("tasker.v1.default.system.to.{worker}")).collect();
    patterns.push("tasker.v1.*.*.reply.*".to_owned());
    let mut group = criterion.benchmark_group("parser and router");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    for (name, stream) in [
        ("one subject", stream(|_| "tasker.v1.default.system.reply.0".to_owned())),
        ("a thousand subjects", stream(|number| format!("tasker.v1.default.system.to.{}", number * 2))),
    ] {
        let mut feed = Feed::new(&patterns).expect("the patterns are well formed");
        group.bench_function(name, |bencher| bencher.iter(|| assert_eq!(feed.feed(&stream), MESSAGES)));
    }
    let mut fan_out = Feed::new(&vec!["tasker.v1.default.event.>".to_owned(); 10]).expect("the patterns are well formed");
    let events = stream(|_| "tasker.v1.default.event.task_succeeded".to_owned());
    group.bench_function("one subject to ten subscribers", |bencher| {
        bencher.iter(|| assert_eq!(fan_out.feed(&events), 10 * MESSAGES));
    });
    let feed = Feed::new(&patterns).expect("the patterns are well formed");
    group.throughput(Throughput::Elements(1));
    group.bench_function("a subject never seen before", |bencher| {
        bencher.iter(|| feed.has_interest(std::hint::black_box("tasker.v1.default.system.reply.0")));
    });
    group.finish();
}

criterion_group!(benches, parsing, routing);
criterion_main!(benches);
