//! The descriptors that a tokio runtime has for itself and does not tell.

use super::{FdWatch, OwnFd};
use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsRawFd, RawFd};

/// Descriptors that are looked at: those of a runtime lie near those that it was given, unless there are very many.
const NEAR: RawFd = 1024;

/// A descriptor that somebody else has opened for the library.
struct Theirs(RawFd);

impl AsRawFd for Theirs {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

/// The descriptors of the runtime that watches these and nothing else yet: its epoll, and the eventfd that wakes it. None where
/// there is no `/proc` to tell; then a forked child keeps them, which does no harm but to its table. To be dropped before the
/// runtime is.
pub fn descriptors_of_runtime(watches: [&FdWatch; 2]) -> Vec<OwnFd> {
    descriptors_near(watches, NEAR)
}

fn descriptors_near(watches: [&FdWatch; 2], near: RawFd) -> Vec<OwnFd> {
    let given = BTreeSet::from(watches.map(FdWatch::number));
    let Some(&last) = given.last() else { return Vec::new() };
    let mut own = BTreeSet::new();
    // Those that there are, for most numbers are nobody's.
    let all = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok());
    let near = numbers.filter(|fd| (last.saturating_sub(near)..last.saturating_add(near / 8)).contains(fd));
    for fd in near.collect::<Vec<_>>() {
        if !is(fd, "anon_inode:[eventpoll]") {
            continue;
        }
        // Nobody else watches the same: the numbers are those of copies that only the runtime was given.
        let mut watched = watched_by(fd);
        if !given.iter().all(|fd| watched.remove(fd)) {
            continue;
        }
        if let (Some(waker), None) = (watched.pop_first(), watched.pop_first())
            && is(waker, "anon_inode:[eventfd]")
        {
            own.extend([fd, waker]);
        }
    }
    own.into_iter().map(|fd| OwnFd::new(&Theirs(fd))).collect()
}

fn is(fd: RawFd, what: &str) -> bool {
    fs::read_link(format!("/proc/self/fd/{fd}")).is_ok_and(|link| link.as_os_str() == what)
}

/// What an epoll descriptor watches.
fn watched_by(epoll: RawFd) -> BTreeSet<RawFd> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{epoll}")).unwrap_or_default();
    let number = |line: &str| line.strip_prefix("tfd:")?.split_whitespace().next()?.parse().ok();
    text.lines().filter_map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::super::EventFd;
    use super::*;

    #[test]
    fn the_descriptors_of_a_runtime_are_found_and_no_others() {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let (one, other) = (runtime(), runtime());
        let _other = other.enter();
        let fd = EventFd::new().unwrap();
        let _others = [FdWatch::new(&fd).unwrap(), FdWatch::new(&fd).unwrap()];
        let _one = one.enter();
        let watches = [FdWatch::new(&fd).unwrap(), FdWatch::new(&fd).unwrap()];
        let [first, second] = &watches;
        // However many descriptors other tests have meanwhile.
        let descriptors_of_runtime = |watches| descriptors_near(watches, RawFd::MAX);
        let found = descriptors_of_runtime([first, second]);
        // The epoll, tokio's copy of it, and the waker.
        assert_eq!(found.len(), 3);
        let third = FdWatch::new(&fd).unwrap();
        assert!(descriptors_of_runtime([first, second]).is_empty(), "it watches more than these");
        drop(third);
    }
}
