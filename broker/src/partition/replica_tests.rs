//! Three replicas over real logs and vote journals on disks in memory: what a group says fits what storage does.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use headrace_storage::fs::{Disk, MemoryDisk};
use headrace_storage::record::{BatchBuilder, Compression};
use headrace_storage::votes::{GroupId, Sequence, VoteJournal};
use headrace_storage::{Entry, EntryIndex, Log, LogConfig, LogIdentity, StoredEntry};
use raft::eraftpb::Message;
use uuid::Uuid;

use super::boot::Identity;
use super::opener::{Existing, Opened, Place, open_all};
use crate::raft::{Group, Membership, Output, ReplicaId, Role, VoterSet};

const ROOT: &str = "/data";

fn replica_id(node: u32) -> ReplicaId {
    ReplicaId::new(1, node)
}

fn identity() -> LogIdentity {
    LogIdentity {
        cluster_id: Uuid::from_u128(1),
        topic_id: Uuid::from_u128(2),
        partition: 0,
    }
}

fn group_id() -> GroupId {
    GroupId::from(&identity())
}

/// A replica as a shard would drive it, every sync on its own thread's time: now.
struct Replica {
    id: ReplicaId,
    disk: MemoryDisk,
    log: Log,
    group: Group,
    journal: VoteJournal,
    votes: Vec<(Sequence, u64)>,
    committed: EntryIndex,
    cuts: usize,
}

impl Replica {
    fn new(node: u32) -> Replica {
        let disk = MemoryDisk::new();
        disk.create_dir_all(Path::new(ROOT)).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        let voters = VoterSet {
            voters: (1..=3).map(replica_id).collect(),
            ..VoterSet::default()
        };
        let mut journal = begin_journal(&disk);
        let initial = Membership::initial(voters).encode();
        journal.set_membership(group_id(), (EntryIndex(0), initial));
        journal.settle().unwrap();
        Replica::open(node, disk)
    }

    fn open(node: u32, disk: MemoryDisk) -> Replica {
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let loaded = VoteJournal::load(&disk, Path::new(ROOT)).unwrap();
        let replica = replica_id(node);
        let place = Place {
            existing: Existing::May,
            checkpoint: None,
            dir: Path::new(ROOT).join("log"),
            identity: identity(),
            config: LogConfig::default(),
            replica: Identity {
                replica,
                seed: u64::from(node),
            },
            state: loaded.states.get(&group_id()).cloned(),
        };
        let opened = open_all(&shared, vec![place], 0).remove(0).unwrap();
        let Opened { log, group, .. } = opened;
        Replica {
            id: replica,
            journal: begin_journal(&disk),
            disk,
            log,
            committed: group.commit(),
            group,
            votes: Vec::new(),
            cuts: 0,
        }
    }

    /// Loses what is not synced, and starts again.
    fn lose_power(&mut self, node: u32) {
        *self = Replica::open(node, self.disk.crash());
    }

    fn turn(&mut self) -> Vec<(Message, Vec<Entry>)> {
        let mut outputs = Vec::new();
        self.group.drain(&mut outputs);
        let mut sent = Vec::new();
        for output in outputs {
            match output {
                Output::Role(_) => {}
                Output::Vote { term, vote, number } => {
                    let sequence = self.journal.set_vote(group_id(), term, vote);
                    self.votes.push((sequence, number));
                }
                Output::Membership {
                    index,
                    content,
                    number,
                } => {
                    let sequence = self.journal.set_membership(group_id(), (index, content));
                    self.votes.push((sequence, number));
                }
                Output::Truncate(last) => {
                    let journal = &mut self.journal;
                    let mut lower = |hint| {
                        let lowered = journal.lower_hint(group_id(), hint);
                        lowered.map_err(std::io::Error::other)
                    };
                    self.log.truncate(last, &mut lower).unwrap();
                    self.cuts += 1;
                }
                Output::Append(first, entries) => {
                    for (index, entry) in (first.0..).zip(entries) {
                        assert_eq!(self.log.append(entry).unwrap().0, index);
                    }
                }
                Output::Send(message) => {
                    let payloads = self.payloads(&message);
                    sent.push((message, payloads));
                }
                Output::Committed(index) => {
                    self.log.commit(index);
                    self.committed = index;
                }
            }
        }
        sent
    }

    /// What a message names, from the log: staged, written or durable.
    fn payloads(&self, message: &Message) -> Vec<Entry> {
        let Some(first) = message.get_entries().first() else {
            return Vec::new();
        };
        let upto = first.index + u64::try_from(message.get_entries().len()).unwrap();
        let entries = self.entries(EntryIndex(first.index), EntryIndex(upto));
        for (stored, named) in entries.iter().zip(message.get_entries()) {
            let epoch = u64::try_from(stored.epoch.0).unwrap();
            assert_eq!((stored.index.0, epoch), (named.index, named.term));
        }
        entries.into_iter().map(|stored| stored.entry).collect()
    }

    fn entries(&self, from: EntryIndex, upto: EntryIndex) -> Vec<StoredEntry> {
        self.log.entries(from, upto, usize::MAX).unwrap()
    }

    /// Everything, to compare: entries as text.
    fn all(&self) -> Vec<String> {
        let entries = self.entries(EntryIndex(1), self.log.last_index().next());
        entries
            .iter()
            .map(|stored| format!("{} {} {:?}", stored.index, stored.epoch, stored.entry))
            .collect()
    }

    fn sync(&mut self) {
        self.journal.settle().unwrap();
        let durable = self.journal.durable();
        for (_, number) in self.votes.extract_if(.., |(at, _)| *at <= durable) {
            self.group.votes_synced(number);
        }
        self.log.write().unwrap();
        while let Some(point) = self.log.sync_point() {
            self.log.synced(point.run()).unwrap();
        }
        self.group.durable(self.log.flushed_index());
    }

    fn leads(&self) -> bool {
        matches!(self.group.role(), Some(Role::Leader(_)))
    }

    /// Stamps and proposes as a core does.
    fn propose(&mut self, value: &str) {
        let Some(Role::Leader(term)) = self.group.role() else {
            panic!("it does not lead");
        };
        let mut builder = BatchBuilder::new(Compression::None);
        builder.push(5, None, Some(value.as_bytes()), &[]);
        let mut batch = builder.build();
        batch.stamp(self.log.next_offset(), term);
        self.group.propose(term, vec![Entry::Batch(batch)]).unwrap();
    }
}

fn begin_journal(disk: &MemoryDisk) -> VoteJournal {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let loaded = VoteJournal::load(disk, Path::new(ROOT)).unwrap();
    VoteJournal::create(shared, Path::new(ROOT), 0, &loaded).unwrap()
}

struct Cluster {
    replicas: Vec<Replica>,
    on_the_way: VecDeque<(Message, Vec<Entry>)>,
    isolated: Option<usize>,
}

impl Cluster {
    fn new() -> Cluster {
        Cluster {
            replicas: (1..=3).map(Replica::new).collect(),
            on_the_way: VecDeque::new(),
            isolated: None,
        }
    }

    fn turn(&mut self, at: usize) {
        let sent = self.replicas[at].turn();
        if self.isolated != Some(at) {
            self.on_the_way.extend(sent);
        }
    }

    fn settle(&mut self) {
        loop {
            for at in 0..3 {
                self.turn(at);
                self.replicas[at].sync();
                self.turn(at);
            }
            let Some((message, payloads)) = self.on_the_way.pop_front() else {
                return;
            };
            let to = (0..3).find(|at| self.replicas[*at].id.0 == message.to);
            let to = to.filter(|to| self.isolated != Some(*to));
            if let Some(to) = to {
                self.replicas[to].group.receive(message, payloads).unwrap();
            }
        }
    }

    fn tick(&mut self, ticks: usize) {
        for _ in 0..ticks {
            for at in 0..3 {
                self.replicas[at].group.tick();
            }
            self.settle();
        }
    }

    fn elect(&mut self) -> usize {
        for _ in 0..100 {
            let free = (0..3).filter(|at| self.isolated != Some(*at));
            let leader = free.clone().find(|at| self.replicas[*at].leads());
            if let Some(leader) = leader {
                return leader;
            }
            self.tick(1);
        }
        panic!("nobody leads");
    }
}

/// trap 30
#[test]
fn a_divergent_tail_is_cut_out_of_the_log_across_a_roll_and_stays_cut() {
    let mut cluster = Cluster::new();
    let old = cluster.elect();
    for value in ["a", "b", "c"] {
        cluster.replicas[old].propose(value);
        cluster.turn(old);
    }
    cluster.settle();
    // alone it writes on, into a second segment, and all of that is durable
    cluster.isolated = Some(old);
    cluster.replicas[old].propose("lost");
    cluster.turn(old);
    let Some(Role::Leader(term)) = cluster.replicas[old].group.role() else {
        panic!("it led a moment ago");
    };
    let roll = vec![Entry::Roll { at_ms: 5 }];
    cluster.replicas[old].group.propose(term, roll).unwrap();
    cluster.turn(old);
    cluster.replicas[old].propose("lost too");
    cluster.settle();
    assert_eq!(
        cluster.replicas[old].log.flushed(),
        cluster.replicas[old].log.next_offset()
    );
    cluster.tick(60);
    let new = cluster.elect();
    assert_ne!(new, old);
    cluster.replicas[new].propose("d");
    cluster.settle();
    cluster.isolated = None;
    cluster.tick(10);
    assert_eq!(cluster.replicas[old].cuts, 1);
    let expected = cluster.replicas[new].all();
    assert_eq!(cluster.replicas[old].all(), expected);
    let node = u32::try_from(old + 1).unwrap();
    cluster.replicas[old].lose_power(node);
    assert_eq!(cluster.replicas[old].all(), expected);
    cluster.tick(10);
    assert_eq!(
        cluster.replicas[old].committed,
        cluster.replicas[new].committed
    );
}

#[test]
fn all_lose_power_at_once_and_nothing_that_was_committed_is_gone() {
    let mut cluster = Cluster::new();
    for round in 0..8 {
        let leader = cluster.elect();
        for number in 0..5 {
            cluster.replicas[leader].propose(&format!("{round} {number}"));
            cluster.turn(leader);
        }
        cluster.settle();
        let committed = cluster.replicas[leader].committed;
        let upto = committed.next();
        let before = cluster.replicas[leader].entries(EntryIndex(1), upto);
        // more that is under way and may be lost
        cluster.replicas[leader].propose("perhaps");
        cluster.turn(leader);
        cluster.on_the_way.clear();
        for (node, replica) in (1..).zip(&mut cluster.replicas) {
            replica.lose_power(node);
        }
        let leader = cluster.elect();
        cluster.tick(5);
        let after = cluster.replicas[leader].entries(EntryIndex(1), upto);
        assert_eq!(format!("{after:?}"), format!("{before:?}"));
        assert!(cluster.replicas[leader].committed > committed);
    }
    let all: Vec<_> = cluster.replicas.iter().map(Replica::all).collect();
    assert!(all.iter().all(|log| *log == all[0]));
}
