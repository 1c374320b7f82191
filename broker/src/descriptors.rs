//! Who gets the file descriptors of this process: connections, the files of logs, and a reserve.
//!
//! Connections beyond their share are refused, files beyond theirs are closed and opened again; what is
//! begun (a roll, a sync, the HTTP interface) finds a descriptor in the reserve.

use headrace_storage::fs::raise_descriptor_limit;

use crate::config::BrokerConfig;

/// For what is neither: listeners, timers, side files that are written and closed, a burst of cold reads.
const RESERVE: usize = 256;

/// The kernel allows 65,530 mappings by default; each open segment has one, and the allocator needs some.
const FILES_MAX: usize = 32_000;

/// Below this a broker would open and close files all the time.
const FILES_MIN: usize = 16;

/// How many of each there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptors {
    pub(crate) connections_max: usize,
    pub(crate) files_max: usize,
}

impl Descriptors {
    /// Raises the limit as far as it goes, and shares it out.
    pub(crate) fn claim(config: &BrokerConfig) -> Descriptors {
        Descriptors::share(raise_descriptor_limit(), config)
    }

    fn share(limit: usize, config: &BrokerConfig) -> Descriptors {
        let left = limit.saturating_sub(RESERVE.min(limit / 4));
        let connections_max = config.connections_max.min(left / 2);
        let files_max = (left - connections_max).min(FILES_MAX);
        let wanted = config.files_max.unwrap_or(files_max);
        Descriptors {
            connections_max,
            files_max: wanted.min(files_max).max(FILES_MIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_shared_out_with_a_reserve() {
        let config = BrokerConfig::default();
        let share = |limit| {
            let share = Descriptors::share(limit, &config);
            (share.connections_max, share.files_max)
        };
        assert_eq!(share(1_048_576), (10_000, FILES_MAX));
        assert_eq!(share(20_000), (9_872, 9_872));
        assert_eq!(share(1024), (384, 384));
        assert_eq!(share(0), (0, FILES_MIN));
        let few = BrokerConfig {
            files_max: Some(50),
            ..config
        };
        assert_eq!(Descriptors::share(20_000, &few).files_max, 50);
    }
}
