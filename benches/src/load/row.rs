//! The rows of the table: which load, which peers take turns at it, and what is aimed at.

use std::time::Duration;

use super::peer::Peer;

/// What a producer sends.
#[derive(Clone, Copy, Debug)]
pub struct Produce {
    /// How many records.
    pub records: u64,
    /// Bytes of each value; there are no keys.
    pub record_bytes: usize,
    /// The topic's partitions; records go round them.
    pub partitions: i32,
    /// librdkafka's `compression.type`.
    pub compression: &'static str,
    /// librdkafka's `batch.size`.
    pub batch_bytes: usize,
    /// How long a record waits for company.
    pub linger: Duration,
}

/// A producer that sends at a fixed rate.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// Records per second.
    pub per_second: u32,
    /// For how long.
    pub seconds: u32,
    /// Bytes of each value.
    pub record_bytes: usize,
    /// How long a record waits for company.
    pub linger: Duration,
}

impl Latency {
    /// Records in all.
    pub fn records(&self) -> u32 {
        self.per_second * self.seconds
    }

    /// Time between two of them.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(1) / self.per_second
    }
}

/// What is done to the brokers in a row.
#[derive(Clone, Copy, Debug)]
pub enum Load {
    /// One producer, as fast as it goes.
    Produce(Produce),
    /// One consumer of what a producer has written before, so many times over.
    Consume(Produce, u32),
    /// One producer at a fixed rate.
    Latency(Latency),
    /// Connections that do nothing.
    IdleConnections(usize),
    /// A topic of so many partitions that nobody uses, then two starts.
    IdlePartitions(i32),
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// How it is asked for.
    pub name: &'static str,
    /// What the table says.
    pub title: &'static str,
    /// What is done.
    pub load: Load,
    /// Who takes turns.
    pub peers: &'static [Peer],
}

const WRITERS: &[Peer] = &[
    Peer::FloorSync,
    Peer::Headrace,
    Peer::KafkaFlush,
    Peer::Floor,
    Peer::HeadraceCached,
    Peer::Kafka,
];
const READERS: &[Peer] = &[Peer::Floor, Peer::Headrace, Peer::Kafka];
const BROKERS: &[Peer] = &[Peer::Headrace, Peer::Kafka];

/// librdkafka's own batch size.
const LARGE_BATCH_BYTES: usize = 1_000_000;
/// librdkafka's own linger.
const LINGER: Duration = Duration::from_millis(5);

/// A machine with 20,000 descriptors for a process leaves a broker of ours 9,872 connections.
const CONNECTIONS: usize = 9_800;

const KIB: Produce = Produce {
    records: 1_000_000,
    record_bytes: 1024,
    partitions: 1,
    compression: "none",
    batch_bytes: LARGE_BATCH_BYTES,
    linger: LINGER,
};
const KIB_16: Produce = Produce {
    partitions: 16,
    ..KIB
};
const SMALL_RECORDS: Produce = Produce {
    records: 5_000_000,
    record_bytes: 100,
    ..KIB_16
};
const AT_5000: Latency = Latency {
    per_second: 5_000,
    seconds: 8,
    record_bytes: 1024,
    linger: Duration::ZERO,
};

/// All rows, in the order of the table.
pub const ROWS: &[Row] = &[
    Row {
        name: "produce-1",
        title: "produce, 1 KiB, 1 partition",
        load: Load::Produce(KIB),
        peers: WRITERS,
    },
    Row {
        name: "produce-16",
        title: "produce, 1 KiB, 16 partitions",
        load: Load::Produce(KIB_16),
        peers: WRITERS,
    },
    Row {
        name: "produce-lz4",
        title: "produce, 1 KiB, lz4",
        load: Load::Produce(Produce {
            compression: "lz4",
            ..KIB
        }),
        peers: WRITERS,
    },
    Row {
        name: "produce-16k",
        title: "produce, 1 KiB in batches of 16 KiB",
        load: Load::Produce(Produce {
            records: 200_000,
            batch_bytes: 16 << 10,
            ..KIB
        }),
        peers: WRITERS,
    },
    Row {
        name: "produce-100b",
        title: "produce, 100 B, 16 partitions",
        load: Load::Produce(SMALL_RECORDS),
        peers: WRITERS,
    },
    Row {
        name: "produce-1k-batches",
        title: "produce, 100 B in batches of 1 KiB",
        load: Load::Produce(Produce {
            records: 500_000,
            record_bytes: 100,
            batch_bytes: 1 << 10,
            ..KIB
        }),
        peers: WRITERS,
    },
    Row {
        name: "consume-1",
        title: "consume, 1 KiB, 1 partition",
        load: Load::Consume(KIB, 2),
        peers: READERS,
    },
    Row {
        name: "consume-16",
        title: "consume, 1 KiB, 16 partitions",
        load: Load::Consume(KIB_16, 2),
        peers: READERS,
    },
    Row {
        name: "consume-100b",
        title: "consume, 100 B, 16 partitions",
        load: Load::Consume(SMALL_RECORDS, 2),
        peers: READERS,
    },
    Row {
        name: "latency-0",
        title: "5,000/s, 1 KiB, linger 0",
        load: Load::Latency(AT_5000),
        peers: WRITERS,
    },
    Row {
        name: "latency-5",
        title: "5,000/s, 1 KiB, linger 5 ms",
        load: Load::Latency(Latency {
            linger: LINGER,
            ..AT_5000
        }),
        peers: WRITERS,
    },
    Row {
        name: "idle-connections",
        title: "9,800 idle connections",
        load: Load::IdleConnections(CONNECTIONS),
        peers: BROKERS,
    },
    Row {
        name: "idle-partitions",
        title: "1,000 idle partitions",
        load: Load::IdlePartitions(1_000),
        peers: BROKERS,
    },
];

/// The row of a name.
pub fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}
