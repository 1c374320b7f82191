//! What consensus starts from, out of a recovered log and the vote journal.

use bytes::Bytes;
use headrace_storage::votes::VoteState;
use headrace_storage::{EntryIndex, Log, Offset, ReadError};

use crate::raft::{Boot, Membership, ReplicaId, TermRun, VoterSet};

/// Who this replica is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    pub(super) replica: ReplicaId,
    /// For its election timeouts.
    pub(super) seed: u64,
}

/// Asks the log for what the group must know. A group of which the journal knows nothing begins with this
/// replica as its only voter.
pub(super) fn boot(
    log: &Log,
    identity: Identity,
    state: Option<&VoteState>,
) -> Result<Boot, ReadError> {
    let Identity { replica, seed } = identity;
    let state = state.cloned().unwrap_or_default();
    let membership = state.membership.unwrap_or_else(|| {
        let initial = Membership::initial(VoterSet::lone(replica));
        (EntryIndex(0), initial.encode())
    });
    Ok(Boot {
        replica,
        seed,
        first_index: log.first_index(),
        last_index: log.last_index(),
        runs: term_runs(log),
        hint: state.hint.map_or(EntryIndex(0), |hint| hint.index),
        term: state.term,
        vote: state.vote,
        memberships: memberships_after(log, membership.0)?,
        membership,
    })
}

/// The offset after what is known to be committed at the start.
pub(super) fn committed_offset(log: &Log, commit: EntryIndex, state: Option<&VoteState>) -> Offset {
    let hint = state.and_then(|state| state.hint);
    match hint.filter(|hint| hint.index == commit) {
        Some(hint) => hint.offset.max(log.log_start()),
        None if commit == log.last_index() => log.log_end(),
        None => log.log_start(),
    }
}

/// Where each term begins, found by halving: a log has far fewer terms than entries.
fn term_runs(log: &Log) -> Vec<TermRun> {
    let mut from = EntryIndex(log.first_index().0.saturating_sub(1));
    let last = log.last_index();
    let mut runs = Vec::new();
    while let Some(epoch) = log.term(from) {
        runs.push(TermRun { from, epoch });
        let (mut same, mut other) = (from.0, last.0.saturating_add(1));
        while same + 1 < other {
            let middle = same.midpoint(other);
            if log.term(EntryIndex(middle)) == Some(epoch) {
                same = middle;
            } else {
                other = middle;
            }
        }
        from = EntryIndex(other);
    }
    runs
}

/// The membership entries behind `after`, oldest first.
fn memberships_after(log: &Log, after: EntryIndex) -> Result<Vec<(EntryIndex, Bytes)>, ReadError> {
    let mut found = Vec::new();
    let mut upto = log.last_index();
    while upto > after
        && let Some((index, content)) = log.membership_after(after, upto)?
    {
        found.push((index, content));
        upto = EntryIndex(index.0 - 1);
    }
    found.reverse();
    Ok(found)
}
