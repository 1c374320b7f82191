//! A truncation over several segments that a crash broke off: whatever is left, consensus goes on from it.
//!
//! A crash between two removals leaves more of the old log than the truncation was to leave. It is a sound
//! prefix, and what is too much of it conflicts with the leader. So after every crash the leader does what it
//! does with any follower: it finds the last entry that both have, has what follows taken back, and sends its own.

use headrace_storage::EntryIndex;
use headrace_storage::fs::MemoryDisk;

use crate::crash_states::SEED;
use crate::driver::{Driver, LogProof, look, recorded, recover};
use crate::explore::{Depth, Proven, explore};
use crate::history::{Line, Seen};

/// A follower's log, and that of the leader.
struct Follower {
    log: LogProof,
    leader: Line,
}

impl Follower {
    /// The last entry that the leader has too: of that index and term.
    fn last_in_common(&self, driver: &Driver) -> usize {
        let Some(log) = &driver.log else { return 0 };
        let same = |at: &usize| {
            let index = EntryIndex(u64::try_from(*at).expect("64 bits") + 1);
            log.term(index) == Some(self.leader.entries[*at].epoch)
        };
        let count = usize::try_from(log.last_index().0).expect("64 bits");
        let count = count.min(self.leader.entries.len());
        (0..count).take_while(same).count()
    }
}

impl Proven for Follower {
    type Seen = Seen;

    fn recover(&self, disk: &MemoryDisk) -> Result<Seen, String> {
        recover(disk)
    }

    fn allows(&self, calls: usize, seen: &Seen) -> Result<(), String> {
        self.log.allows(calls, seen)
    }

    fn era(&self, calls: usize) -> usize {
        self.log.era(calls)
    }

    fn go_on(&self, disk: &MemoryDisk) -> Result<Seen, String> {
        let mut driver = Driver::started(disk)?;
        let common = self.last_in_common(&driver);
        driver.truncate(common);
        for written in &self.leader.entries[common..] {
            driver.entry(written.entry());
        }
        driver.settle();
        driver.commit();
        let found = look(driver.log.as_ref().expect("opened above"))?;
        let wanted = self.leader.seen(self.leader.entries.len(), 1);
        if found == wanted {
            return Ok(found);
        }
        Err(format!(
            "led on from entry {common} it is {found:?}, not the leader's {wanted:?}"
        ))
    }
}

/// A follower of four segments follows a leader whose log ends inside the second, and one that has only the
/// very first entry.
fn overtaken(driver: &mut Driver) {
    let segment = |driver: &mut Driver, time| {
        driver.batch(&[time], 60);
        driver.batch(&[time, time], 300);
        driver.roll(time);
        driver.settle();
    };
    for time in 0..3 {
        segment(driver, time);
    }
    driver.batch(&[4], 60);
    driver.settle();
    driver.truncate(5);
    driver.lead();
    segment(driver, 5);
    segment(driver, 6);
    driver.batch(&[7], 90);
    driver.write();
    driver.truncate(1);
    driver.lead();
    segment(driver, 8);
    driver.batch(&[9], 60);
    driver.settle();
}

#[test]
fn truncation_that_a_crash_broke_off_is_gone_on_with_by_the_leader() {
    let (log, trace) = recorded(overtaken);
    let leader = log.history.now().clone();
    let follower = Follower { log, leader };
    let depth = Depth {
        go_on_one_in: 1,
        ..Depth::usual()
    };
    let (explored, result) = explore(&follower, &trace, depth, SEED);
    println!("crash states of overwriting: {explored}");
    result.unwrap_or_else(|wrong| panic!("{wrong}"));
}
