//! Which descriptors of this process are the library's, so that a forked child closes them and no others.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Descriptors from here on are not noted; a child keeps them.
const MOST: usize = 1 << 20;

/// One bit for each. Never locked, so that a child may use it, whatever other threads of its parent were at.
static OWN: [AtomicU64; MOST / 64] = [const { AtomicU64::new(0) }; MOST / 64];
/// No bit is set from this word on.
static END: AtomicUsize = AtomicUsize::new(0);

/// Notes a descriptor as the library's until it is dropped, which must be **before the descriptor is closed**: from then on its
/// number may be anybody's. A fork that falls between the making of a descriptor and its note, or between the dropping and the
/// closing, leaves it open in the child; never is one closed that is not the library's.
#[derive(Debug)]
pub struct OwnFd(RawFd);

impl OwnFd {
    pub fn new(fd: &impl AsRawFd) -> Self {
        let fd = fd.as_raw_fd();
        if let Some((word, bit)) = place(fd) {
            END.fetch_max(word + 1, Ordering::SeqCst);
            OWN[word].fetch_or(bit, Ordering::SeqCst);
        }
        Self(fd)
    }
}

impl Drop for OwnFd {
    fn drop(&mut self) {
        if let Some((word, bit)) = place(self.0) {
            OWN[word].fetch_and(!bit, Ordering::SeqCst);
        }
    }
}

fn place(fd: RawFd) -> Option<(usize, u64)> {
    let fd = usize::try_from(fd).ok().filter(|fd| *fd < MOST)?;
    Some((fd / 64, 1 << (fd % 64)))
}

/// Forgets all of them and hands them to `close`. Async-signal-safe if that is.
pub(super) fn take_all(mut close: impl FnMut(RawFd)) {
    for (index, word) in OWN.iter().enumerate().take(END.swap(0, Ordering::SeqCst)) {
        let mut bits = word.swap(0, Ordering::SeqCst);
        while bits != 0 {
            close((index * 64) as RawFd + bits.trailing_zeros() as RawFd);
            bits &= bits - 1;
        }
    }
}

/// Whether the descriptor is noted.
#[cfg(test)]
pub(crate) fn is_own(fd: RawFd) -> bool {
    place(fd).is_some_and(|(word, bit)| OWN[word].load(Ordering::SeqCst) & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::super::{EventFd, TimerFd};
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_descriptor_is_noted_while_it_is_open() {
        let (event, timer) = (EventFd::new().unwrap(), TimerFd::new().unwrap());
        let numbers = [event.as_raw_fd(), timer.as_fd().as_raw_fd()];
        assert!(numbers.into_iter().all(is_own));
        drop((event, timer));
        // Other tests may have got the numbers, for descriptors of the library again or for others.
        let beyond = OwnFd(MOST as RawFd);
        assert!(!is_own(beyond.0) && !is_own(-1));
    }
}
