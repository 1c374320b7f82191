//! Reading sealed segments from the page cache to a socket, against what cannot be done without.
//!
//! - `ours`: `LogView::read_resident` and a vectored write of its chunks to a loopback socket whose other
//!   end is drained by a thread;
//! - `looked`: the same without the socket, which is what it costs us;
//! - `bare`: the same mapped ranges, known beforehand, written to the same socket;
//! - `pread`: the same ranges read by `pread` into one buffer and written from there;
//! - `memcpy`: as many bytes copied from one buffer to another.
//!
//! The figure is CPU time of the sending thread. Besides criterion's report the ways take turns every few
//! reads, and the medians of their CPU seconds per GB are printed with that of the ratio to `bare`.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![allow(clippy::print_stdout, reason = "the table is the result")]

use std::hint::black_box;
use std::io::{IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use headrace_benches::cpu::{CpuTime, Whose};
use headrace_storage::fs::{CachedDisk, RealDisk};
use headrace_storage::{
    Batch, BatchBuilder, Chunk, Compression, Entry, Known, LeaderEpoch, Log, LogConfig,
    LogIdentity, LogView, Offset,
};
use uuid::Uuid;

/// Sealed data: several segments, and more than any cache of the processor.
const SEGMENTS: usize = 4;
const SEGMENT_BYTES: usize = 64 << 20;
/// Sent by one pass.
const PASS_BYTES: usize = 128 << 20;
/// Passes of the table: odd, for the median.
const TURNS: usize = 9;
/// Sent one way before it is another's turn.
const TURN_BYTES: usize = 4 << 20;

/// What is read, and how much at a time.
struct Shape {
    name: &'static str,
    batch_bytes: usize,
    read_bytes: usize,
    /// At random offsets, or one after another.
    random: bool,
}

const SHAPES: [Shape; 4] = [
    Shape {
        name: "1 MiB in order, batches of 16 KiB",
        batch_bytes: 16 << 10,
        read_bytes: 1 << 20,
        random: false,
    },
    Shape {
        name: "1 MiB in order, batches of 1 KiB",
        batch_bytes: 1 << 10,
        read_bytes: 1 << 20,
        random: false,
    },
    Shape {
        name: "16 KiB at random, batches of 16 KiB",
        batch_bytes: 16 << 10,
        read_bytes: 16 << 10,
        random: true,
    },
    Shape {
        name: "16 KiB at random, batches of 1 KiB",
        batch_bytes: 1 << 10,
        read_bytes: 16 << 10,
        random: true,
    },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Bare,
    Ours,
    Looked,
    Pread,
    Memcpy,
}

const WAYS: [Way; 5] = [Way::Bare, Way::Ours, Way::Looked, Way::Pread, Way::Memcpy];

/// A log, the reads of one pass, and a socket that is drained.
struct Bench {
    _dir: tempfile::TempDir,
    _log: Log,
    view: Arc<LogView>,
    reads: Vec<(Offset, Vec<Chunk>)>,
    read_bytes: usize,
    socket: TcpStream,
    source: Vec<u8>,
    target: Vec<u8>,
}

/// A batch of about so many bytes, of records of 1 KiB at most.
fn batch(batch_bytes: usize) -> Batch {
    let record_bytes = batch_bytes.min(1 << 10) - 100;
    let mut builder = BatchBuilder::new(Compression::None);
    loop {
        builder.push(1, Some(b"a key"), Some(&vec![b'v'; record_bytes]), &[]);
        if builder.size_bytes() + record_bytes + 40 > batch_bytes {
            return builder.build();
        }
    }
}

fn settle(log: &mut Log) {
    log.write().unwrap();
    while let Some(point) = log.sync_point() {
        log.synced(point.run()).unwrap();
    }
}

fn sealed_log(dir: &Path, batch: &Batch) -> Log {
    let identity = LogIdentity {
        cluster_id: Uuid::nil(),
        topic_id: Uuid::nil(),
        partition: 0,
    };
    let disk = Arc::new(CachedDisk::new(Arc::new(RealDisk), 1000));
    let mut log = Log::open(disk, dir, identity, LogConfig::default(), Known::default()).unwrap();
    let term = LeaderEpoch(1);
    log.append(Entry::NoOp { term }).unwrap();
    for _ in 0..SEGMENTS {
        for at in 0..SEGMENT_BYTES / batch.size_bytes() {
            let mut batch = batch.clone();
            batch.stamp(log.next_offset(), log.epoch());
            log.append(Entry::Batch(batch)).unwrap();
            if at % 64 == 0 {
                settle(&mut log);
            }
        }
        log.append(Entry::Roll { at_ms: 0 }).unwrap();
        settle(&mut log);
    }
    log
}

/// One end of a loopback connection; a thread drains the other.
fn drained_socket() -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut from, _) = listener.accept().unwrap();
        let mut buffer = vec![0; 1 << 20];
        while from.read(&mut buffer).is_ok_and(|read| read > 0) {}
    });
    let socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// Offsets without order that repeat in every run (a linear congruential sequence).
fn scattered(count: usize, end: i64) -> impl Iterator<Item = i64> {
    let mut state = 1_u64;
    (0..count).map(move |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        i64::try_from(state >> 33).unwrap() % end
    })
}

impl Bench {
    fn new(shape: &Shape) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let batch = batch(shape.batch_bytes);
        let log = sealed_log(&dir.path().join("log"), &batch);
        let view = log.reader().view();
        let end = view.log_end();
        let records = batch.last_offset().0 - batch.base_offset().0 + 1;
        let count = PASS_BYTES / shape.read_bytes;
        let read = |from: Offset| view.read(from, end, shape.read_bytes, true).unwrap();
        let mut reads = Vec::with_capacity(count);
        if shape.random {
            reads.extend(scattered(count, end.0).map(|at| (Offset(at), read(Offset(at)))));
        } else {
            let mut from = Offset(0);
            for _ in 0..count {
                let chunks = read(from);
                let bytes: usize = chunks.iter().map(Chunk::len).sum();
                reads.push((from, chunks));
                from.0 += i64::try_from(bytes / batch.size_bytes()).unwrap() * records;
            }
        }
        assert!(
            reads
                .iter()
                .flat_map(|(_, chunks)| chunks)
                .all(|chunk| matches!(chunk, Chunk::Mapped(_))),
            "all of it is sealed and mapped"
        );
        Bench {
            _dir: dir,
            _log: log,
            view,
            reads,
            read_bytes: shape.read_bytes,
            socket: drained_socket(),
            source: vec![1; 8 << 20],
            target: vec![2; 2 << 20],
        }
    }

    fn bytes(&self) -> usize {
        let chunks = self.reads.iter().flat_map(|(_, chunks)| chunks);
        chunks.map(Chunk::len).sum()
    }

    /// CPU time of one pass.
    fn pass(&mut self, way: Way) -> Duration {
        self.part(way, 0..self.reads.len())
    }

    /// CPU time of one pass of every way, which take turns.
    fn pass_in_turns(&mut self, turn: usize) -> [Duration; WAYS.len()] {
        let mut spent = WAYS.map(|_| Duration::ZERO);
        let reads_at_once = (TURN_BYTES / self.read_bytes).max(1);
        for from in (0..self.reads.len()).step_by(reads_at_once) {
            let part = from..(from + reads_at_once).min(self.reads.len());
            for step in 0..WAYS.len() {
                // in either direction, so that nobody always finds the bytes in the processor's cache
                let step = if turn.is_multiple_of(2) {
                    step
                } else {
                    WAYS.len() - step
                };
                let at = (step + from / reads_at_once) % WAYS.len();
                spent[at] += self.part(WAYS[at], part.clone());
            }
        }
        spent
    }

    /// CPU time of some of the reads.
    fn part(&mut self, way: Way, part: Range<usize>) -> Duration {
        let cpu = CpuTime::start(Whose::Thread);
        for number in part {
            let (from, chunks) = &self.reads[number];
            match way {
                Way::Bare => send(&mut self.socket, chunks),
                Way::Ours => {
                    let read = look(&self.view, *from, self.read_bytes);
                    send(&mut self.socket, &read);
                }
                Way::Looked => {
                    black_box(look(&self.view, *from, self.read_bytes));
                }
                Way::Pread => {
                    let bytes = chunks.iter().map(|chunk| chunk.to_bytes().unwrap());
                    let bytes: Vec<Chunk> = bytes.map(Chunk::Memory).collect();
                    send(&mut self.socket, &bytes);
                }
                Way::Memcpy => {
                    let len: usize = chunks.iter().map(Chunk::len).sum();
                    let at = (number * self.read_bytes) % (self.source.len() - len);
                    self.target[..len].copy_from_slice(&self.source[at..at + len]);
                    black_box(&mut self.target);
                }
            }
        }
        cpu.elapsed()
    }
}

/// As a fetch does: what is not in memory any more is read from the disk.
fn look(view: &LogView, from: Offset, bytes_max: usize) -> Vec<Chunk> {
    let upto = view.log_end();
    let resident = view.read_resident(from, upto, bytes_max, true).unwrap();
    resident.unwrap_or_else(|| view.read(from, upto, bytes_max, true).unwrap())
}

fn send(socket: &mut TcpStream, chunks: &[Chunk]) {
    let mut slices: Vec<IoSlice<'_>> = chunks.iter().map(Chunk::io_slice).collect();
    let mut left = slices.as_mut_slice();
    while !left.is_empty() {
        let written = socket.write_vectored(left).unwrap();
        IoSlice::advance_slices(&mut left, written);
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// CPU seconds per GB of every way, and the ratio to `bare`: the ways take turns every few reads, so that
/// what else the machine does meets all of them.
fn table(shape: &Shape, bench: &mut Bench) {
    let gigabytes = f64::from(u32::try_from(bench.bytes()).unwrap()) / 1e9;
    let mut figures = WAYS.map(|_| Vec::new());
    let mut ratios = WAYS.map(|_| Vec::new());
    for turn in 0..TURNS {
        let cpu = bench.pass_in_turns(turn);
        for (at, spent) in cpu.iter().enumerate() {
            figures[at].push(spent.as_secs_f64() / gigabytes);
            ratios[at].push(spent.as_secs_f64() / cpu[0].as_secs_f64());
        }
    }
    for ((way, figure), ratio) in WAYS.iter().zip(figures).zip(ratios) {
        let (figure, ratio) = (median(figure), median(ratio));
        println!(
            "{}: {way:?} {figure:.3} CPU s per GB, {ratio:.2} x bare",
            shape.name
        );
    }
}

fn read(criterion: &mut Criterion) {
    for shape in &SHAPES {
        let mut bench = Bench::new(shape);
        table(shape, &mut bench);
        let mut group = criterion.benchmark_group("sealed read, CPU");
        group.throughput(Throughput::Bytes(bench.bytes() as u64));
        for way in WAYS {
            let id = BenchmarkId::new(format!("{way:?}"), shape.name);
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|passes| (0..passes).map(|_| bench.pass(way)).sum());
            });
        }
        group.finish();
    }
}

fn few_passes() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .measurement_time(Duration::from_secs(2))
        .warm_up_time(Duration::from_millis(300))
        .without_plots()
}

criterion_group! {
    name = benches;
    config = few_passes();
    targets = read
}
criterion_main!(benches);
