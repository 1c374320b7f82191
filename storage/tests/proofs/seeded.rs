//! Numbers that look random and come back with their seed, and how long the proofs are to be.

/// Longer proofs: a factor on every number of samples. `make soak` sets it.
const SOAK: &str = "HEADRACE_SOAK";

/// How many times more than in `make test` is to be tried: 1 unless `HEADRACE_SOAK` says otherwise.
///
/// # Panics
/// If it is set and not a number: a soak that is none must not look like one.
pub(crate) fn soak() -> u64 {
    match std::env::var(SOAK) {
        Err(_) => 1,
        Ok(factor) => factor
            .parse()
            .unwrap_or_else(|_| panic!("{SOAK} is {factor:?}; it takes a factor, e.g. 20")),
    }
}

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
#[derive(Clone, Debug)]
pub(crate) struct Seeded(u64);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Seeded {
        Seeded(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 if there is none.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).expect("64 bits");
        usize::try_from(self.next() % bound).expect("below a usize")
    }

    /// True once in `times`.
    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}
