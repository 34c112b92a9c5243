//! What the system lets this process have.

/// How many descriptors the process may have open at present.
pub fn descriptor_limit() -> usize {
    // SAFETY: all-zero is a valid limit, and the call fills in a live one.
    unsafe {
        let mut limit = std::mem::zeroed::<libc::rlimit>();
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
    }
}

/// As many as it may ask for: tests with very many connections have both ends of each.
#[cfg(test)]
pub(crate) fn raise_descriptor_limit() {
    // SAFETY: both calls work on one live limit.
    unsafe {
        let mut limit = std::mem::zeroed::<libc::rlimit>();
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
    }
}
