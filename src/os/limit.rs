//! What the system lets this process have.

use rustix::process::{Resource, getrlimit};

/// How many descriptors the process may have open at present.
pub fn descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.and_then(|limit| limit.try_into().ok()).unwrap_or(usize::MAX)
}

/// As many as it may ask for: tests with very many connections have both ends of each.
#[cfg(test)]
pub(crate) fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = rustix::process::setrlimit(Resource::Nofile, limit);
}
