//! A list that grows at its end and is cheap to share: full blocks never change again.
//!
//! A snapshot shares the full blocks and the last one; the next push after a snapshot copies at most one
//! block and, once per block, the list of blocks.

use std::sync::Arc;

/// Copied when something is added, hence small; the shared list of blocks grows by one per so many.
const BLOCK_LEN: usize = 64;

/// The list as it stands; cheap to clone.
#[derive(Debug)]
pub(crate) struct Blocks<T> {
    full: Arc<Vec<Arc<[T]>>>,
    last: Arc<Vec<T>>,
}

impl<T> Default for Blocks<T> {
    fn default() -> Blocks<T> {
        Blocks {
            full: Arc::default(),
            last: Arc::default(),
        }
    }
}

impl<T> Clone for Blocks<T> {
    fn clone(&self) -> Blocks<T> {
        Blocks {
            full: Arc::clone(&self.full),
            last: Arc::clone(&self.last),
        }
    }
}

impl<T: Copy> Blocks<T> {
    /// Adds an element.
    pub(crate) fn push(&mut self, element: T) {
        let last = Arc::make_mut(&mut self.last);
        last.push(element);
        if last.len() == BLOCK_LEN {
            let block = std::mem::take(last).into();
            Arc::make_mut(&mut self.full).push(block);
        }
    }

    /// The number of elements.
    pub(crate) fn len(&self) -> usize {
        self.full.len() * BLOCK_LEN + self.last.len()
    }

    /// The `at`-th element.
    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        match self.full.get(at / BLOCK_LEN) {
            Some(block) => block.get(at % BLOCK_LEN),
            None => self.last.get(at - self.full.len() * BLOCK_LEN),
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
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle).is_some_and(&holds) {
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
