//! How many file descriptors this process may have.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the limit as far as the system allows, and gives it.
///
/// The limit that a process begins with is low for the sake of programs that cannot count further than
/// 1,024; those who can are meant to raise it.
pub fn raise_descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let mut raised = limit;
    raised.current = limit.maximum;
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        Err(_) => limit.current,
    };
    current.map_or(usize::MAX, |count| {
        usize::try_from(count).unwrap_or(usize::MAX)
    })
}
