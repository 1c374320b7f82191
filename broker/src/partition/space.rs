//! Room on the disk: below a reserve clients may no longer append, so that the log never fills the disk.
//!
//! ```text
//!            free bytes
//!   Ample    ............ reserve + 1/8   back to Ample only above this, so that it does not flutter
//!   Short    ............ reserve         = max(percent of the disk, bytes): clients are refused
//!   Spent    ............ reserve / 2     the broker's own topics are refused too
//! ```
//! Reads, deletes and retention always go on; they are what makes room. Admitting an append is one atomic
//! load: the room is asked for once a second. (A write that found the disk full closed its log, which says so itself;
//! what else is written in that second meets the same.)

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use headrace_storage::fs::{Disk, Space};
use tracing::{error, info, warn};

/// The room that appends leave: the greater of the two counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceRule {
    /// Bytes; 0 with a percentage of 0 turns the guard off.
    pub bytes_min: u64,
    /// A part of the file system, in percent.
    pub percent_min: u8,
}

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Enough.
    Ample,
    /// The reserve is touched: clients may not append.
    Short,
    /// Half of the reserve is gone: nobody may.
    Spent,
}

/// Whose append it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// A client's.
    Client,
    /// The broker's own: group offsets.
    Internal,
}

impl SpaceRule {
    /// The bytes that must stay free on a disk of this size.
    pub fn reserve_bytes(&self, total_bytes: u64) -> u64 {
        let part = u128::from(total_bytes) * u128::from(self.percent_min) / 100;
        u64::try_from(part).unwrap_or(u64::MAX).max(self.bytes_min)
    }

    /// What follows when `space` is found where there was `room`.
    pub fn judge(&self, room: Room, space: Space) -> Room {
        let reserve = self.reserve_bytes(space.total_bytes);
        let level = |at: u64, worse: bool| {
            // a level that was crossed downwards is crossed back only an eighth above
            let back = at.saturating_add(at / 8);
            space.free_bytes < if worse { back } else { at }
        };
        if level(reserve / 2, room >= Room::Spent) {
            Room::Spent
        } else if level(reserve, room >= Room::Short) {
            Room::Short
        } else {
            Room::Ample
        }
    }
}

/// The room on the data directory's disk, as it was found last.
#[derive(Debug)]
pub struct SpaceGuard {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    rule: SpaceRule,
    /// A [`Room`]; written by [`SpaceGuard::check`].
    room: AtomicU8,
    free_bytes: AtomicU64,
    total_bytes: AtomicU64,
}

impl SpaceGuard {
    /// Watches the disk that holds `dir`, and looks at it once.
    pub fn new(disk: Arc<dyn Disk>, dir: PathBuf, rule: SpaceRule) -> SpaceGuard {
        let guard = SpaceGuard {
            disk,
            dir,
            rule,
            room: AtomicU8::new(0),
            free_bytes: AtomicU64::new(0),
            total_bytes: AtomicU64::new(0),
        };
        guard.check();
        guard
    }

    /// Whether this writer may append or make something.
    pub fn admits(&self, writer: Writer) -> bool {
        match self.room() {
            Room::Ample => true,
            Room::Short => writer == Writer::Internal,
            Room::Spent => false,
        }
    }

    /// How much room was found last.
    pub fn room(&self) -> Room {
        match self.room.load(Ordering::Relaxed) {
            0 => Room::Ample,
            1 => Room::Short,
            _ => Room::Spent,
        }
    }

    /// The space that was found last.
    pub fn space(&self) -> Space {
        Space {
            free_bytes: self.free_bytes.load(Ordering::Relaxed),
            total_bytes: self.total_bytes.load(Ordering::Relaxed),
        }
    }

    /// The bytes that must stay free.
    pub fn reserve_bytes(&self) -> u64 {
        self.rule.reserve_bytes(self.space().total_bytes)
    }

    /// Looks at the disk. A failure changes nothing: it says nothing about room.
    pub fn check(&self) {
        let space = match self.disk.space(&self.dir) {
            Ok(space) => space,
            Err(failed) => {
                return warn!(dir = %self.dir.display(), %failed, "free space cannot be told");
            }
        };
        let Space {
            free_bytes,
            total_bytes,
        } = space;
        self.free_bytes.store(free_bytes, Ordering::Relaxed);
        self.total_bytes.store(total_bytes, Ordering::Relaxed);
        let before = self.room();
        let now = self.rule.judge(before, space);
        if now == before {
            return;
        }
        let code = match now {
            Room::Ample => 0,
            Room::Short => 1,
            Room::Spent => 2,
        };
        self.room.store(code, Ordering::Relaxed);
        let reserve_bytes = self.reserve_bytes();
        match now {
            Room::Ample => info!(free_bytes, "disk has room again, appends are taken"),
            Room::Short => error!(
                free_bytes,
                reserve_bytes, "disk is nearly full, appends of clients are refused"
            ),
            Room::Spent => error!(
                free_bytes,
                reserve_bytes, "disk is nearly full, all appends are refused"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headrace_storage::fs::MemoryDisk;

    const RULE: SpaceRule = SpaceRule {
        bytes_min: 800,
        percent_min: 5,
    };

    fn judged(room: Room, free_bytes: u64) -> Room {
        let total_bytes = 10_000;
        RULE.judge(
            room,
            Space {
                free_bytes,
                total_bytes,
            },
        )
    }

    #[test]
    fn the_greater_of_both_numbers_is_kept_free() {
        assert_eq!(RULE.reserve_bytes(1_000), 800);
        assert_eq!(RULE.reserve_bytes(100_000), 5_000);
        assert_eq!(RULE.reserve_bytes(u64::MAX), u64::MAX / 20);
    }

    #[test]
    fn clients_are_refused_first_and_let_in_again_above_the_reserve() {
        assert_eq!(judged(Room::Ample, 800), Room::Ample);
        assert_eq!(judged(Room::Ample, 799), Room::Short);
        assert_eq!(judged(Room::Short, 899), Room::Short);
        assert_eq!(judged(Room::Short, 900), Room::Ample);
        assert_eq!(judged(Room::Short, 400), Room::Short);
        assert_eq!(judged(Room::Ample, 399), Room::Spent);
        assert_eq!(judged(Room::Spent, 449), Room::Spent);
        assert_eq!(judged(Room::Spent, 450), Room::Short);
        assert_eq!(judged(Room::Spent, 10_000), Room::Ample);
    }

    #[test]
    fn a_rule_of_nothing_refuses_nothing() {
        let off = SpaceRule {
            bytes_min: 0,
            percent_min: 0,
        };
        let full = Space {
            free_bytes: 0,
            total_bytes: 10,
        };
        assert_eq!(off.judge(Room::Ample, full), Room::Ample);
    }

    #[test]
    fn the_guard_heals_by_itself() {
        let disk = MemoryDisk::new();
        let set = |free_bytes| {
            disk.set_space(Space {
                free_bytes,
                total_bytes: 10_000,
            });
        };
        set(10_000);
        let guard = SpaceGuard::new(Arc::new(disk.clone()), PathBuf::from("/"), RULE);
        assert!(guard.admits(Writer::Client));
        set(500);
        assert!(guard.admits(Writer::Client), "only a check finds out");
        guard.check();
        assert!(!guard.admits(Writer::Client) && guard.admits(Writer::Internal));
        set(100);
        guard.check();
        assert!(!guard.admits(Writer::Internal));
        assert_eq!(guard.space().free_bytes, 100);
        set(2_000);
        guard.check();
        assert!(guard.admits(Writer::Client) && guard.admits(Writer::Internal));
    }
}
