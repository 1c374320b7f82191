//! Election timeouts from a seed: raft-rs draws its own from the thread's randomness, which no simulation could
//! repeat. Each call into it is followed by [`Draws::settle`], which puts ours in place.

use raft::{Raft, StateRole};

use super::settings::ELECTION_TICKS;
use super::storage::Mirror;

/// One group's election timeouts.
#[derive(Debug)]
pub(super) struct Draws {
    state: u64,
    timeout_ticks: usize,
    /// When to draw anew: a timeout is kept until the role or the term changes.
    drawn_for: Option<(u64, StateRole)>,
}

impl Draws {
    pub(super) fn new(seed: u64) -> Draws {
        Draws {
            state: seed,
            timeout_ticks: ELECTION_TICKS,
            drawn_for: None,
        }
    }

    /// Replaces the timeout that raft-rs may have drawn.
    pub(super) fn settle(&mut self, raft: &mut Raft<Mirror>) {
        let now = (raft.term, raft.state);
        if self.drawn_for != Some(now) {
            self.drawn_for = Some(now);
            let spread = u64::try_from(ELECTION_TICKS).expect("a small constant");
            let beyond = usize::try_from(self.next() % spread).expect("below a small constant");
            self.timeout_ticks = ELECTION_TICKS + beyond;
        }
        raft.set_randomized_election_timeout(self.timeout_ticks);
    }

    /// `SplitMix64`: eight bytes of state, any seed will do.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
