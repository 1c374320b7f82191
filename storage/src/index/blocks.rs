//! A list that grows at its end and is cheap to share: full blocks never change again.
//!
//! ```text
//!   groups | block x 64 | block x 64 |     group | block | block |     last | elements, at most 64 |
//! ```
//!
//! A snapshot shares everything. The next push after it copies at most one block, once per block the list
//! of at most 64 blocks, once per 64 blocks that of all groups: what a push costs does not grow with the
//! list. An empty list has nothing on the heap.

use std::sync::Arc;

/// Elements per block and blocks per group. Copied when something is added, hence small.
const BLOCK_LEN: usize = 64;

type Block<T> = Arc<[T]>;
type Group<T> = Arc<Vec<Block<T>>>;

/// The list as it stands; cheap to clone.
#[derive(Debug)]
pub(crate) struct Blocks<T> {
    groups: Option<Arc<Vec<Group<T>>>>,
    /// The group that is growing.
    group: Option<Group<T>>,
    last: Option<Arc<Vec<T>>>,
}

impl<T> Default for Blocks<T> {
    fn default() -> Blocks<T> {
        Blocks {
            groups: None,
            group: None,
            last: None,
        }
    }
}

impl<T> Clone for Blocks<T> {
    fn clone(&self) -> Blocks<T> {
        Blocks {
            groups: self.groups.clone(),
            group: self.group.clone(),
            last: self.last.clone(),
        }
    }
}

/// Adds an element to a list that may be shared; gives the list back alone when it is full.
fn push<T: Clone>(list: &mut Option<Arc<Vec<T>>>, element: T) -> Option<Arc<Vec<T>>> {
    let elements = Arc::make_mut(list.get_or_insert_default());
    elements.push(element);
    if elements.len() < BLOCK_LEN {
        return None;
    }
    list.take()
}

fn len<T>(list: Option<&Arc<Vec<T>>>) -> usize {
    list.map_or(0, |list| list.len())
}

impl<T: Copy> Blocks<T> {
    /// Adds an element.
    pub(crate) fn push(&mut self, element: T) {
        if let Some(full) = push(&mut self.last, element)
            && let Some(group) = push(&mut self.group, full.as_slice().into())
        {
            Arc::make_mut(self.groups.get_or_insert_default()).push(group);
        }
    }

    /// The number of elements.
    pub(crate) fn len(&self) -> usize {
        let groups = len(self.groups.as_ref());
        let blocks = groups * BLOCK_LEN + len(self.group.as_ref());
        blocks * BLOCK_LEN + len(self.last.as_ref())
    }

    /// The `at`-th element.
    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        self.block(at / BLOCK_LEN)?.get(at % BLOCK_LEN)
    }

    /// The `at`-th block.
    fn block(&self, at: usize) -> Option<&[T]> {
        let (group, place) = (at / BLOCK_LEN, at % BLOCK_LEN);
        let groups = len(self.groups.as_ref());
        if group < groups {
            return self
                .groups
                .as_ref()?
                .get(group)?
                .get(place)
                .map(|block| &**block);
        }
        let blocks = len(self.group.as_ref());
        match at - groups * BLOCK_LEN {
            at if at < blocks => self.group.as_ref()?.get(at).map(|block| &**block),
            at if at == blocks => self.last.as_ref().map(|last| last.as_slice()),
            _ => None,
        }
    }

    /// All elements in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.iter_from(0)
    }

    /// The elements from the `at`-th on.
    pub(crate) fn iter_from(&self, at: usize) -> impl Iterator<Item = &T> {
        (at..self.len()).filter_map(|at| self.get(at))
    }

    /// How many elements at the beginning satisfy `holds`, which must hold for a prefix of them.
    pub(crate) fn partition_point(&self, holds: impl Fn(&T) -> bool) -> usize {
        Self::partition(0, self.len(), |at| self.get(at).is_some_and(&holds))
    }

    /// The same, if it is probably near `guess`: looked for from there in steps that grow, for what a search
    /// costs is the elements it looks at, which are seldom in a cache.
    pub(crate) fn partition_point_near(&self, guess: usize, holds: impl Fn(&T) -> bool) -> usize {
        let holds = |at: usize| self.get(at).is_some_and(&holds);
        let (mut low, mut high, mut step) = (guess, guess, 1);
        if holds(guess) {
            while holds(high) {
                low = high + 1;
                high += step;
                step *= 2;
            }
        } else {
            while low > 0 && low == high {
                low = low.saturating_sub(step);
                if !holds(low) {
                    high = low;
                }
                step *= 2;
            }
        }
        Self::partition(low, high, holds)
    }

    /// The first place from `low` on where it does not hold; it does not at `high`.
    fn partition(mut low: usize, mut high: usize, holds: impl Fn(usize) -> bool) -> usize {
        while low < high {
            let middle = low.midpoint(high);
            if holds(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The last element for which `holds`, which must hold for a prefix of them.
    pub(crate) fn last_where(&self, holds: impl Fn(&T) -> bool) -> Option<&T> {
        self.partition_point(holds)
            .checked_sub(1)
            .and_then(|at| self.get(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_over_blocks_and_groups_and_snapshots_stay() {
        let count = 3 * BLOCK_LEN * BLOCK_LEN + 2 * BLOCK_LEN + 7;
        let mut list = Blocks::default();
        let mut snapshots = Vec::new();
        for at in 0..count {
            if at % 97 == 0 || at % BLOCK_LEN == 0 {
                snapshots.push((at, list.clone()));
            }
            list.push(at);
        }
        snapshots.push((count, list));
        for (len, list) in snapshots {
            assert_eq!(list.len(), len);
            assert_eq!(list.get(len), None);
            assert_eq!(list.get(len + BLOCK_LEN), None);
            if len % 13 == 0 || len == count {
                assert!(list.iter().copied().eq(0..len));
                assert!(list.iter_from(len / 2).copied().eq(len / 2..len));
            }
            for at in [0, len / 3, len.saturating_sub(1), len, len + 1] {
                assert_eq!(list.get(at).copied(), (at < len).then_some(at));
                assert_eq!(list.partition_point(|element| *element < at), at.min(len));
                for guess in [0, at / 2, at, at + 3, at + at / 2, len, 2 * len] {
                    let found = list.partition_point_near(guess, |element| *element < at);
                    assert_eq!(found, at.min(len), "guessed {guess} of {len}");
                }
            }
        }
    }
}
