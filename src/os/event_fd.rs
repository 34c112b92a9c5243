//! An eventfd: a descriptor that is readable exactly while it is set.

use super::OwnFd;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Instant;

/// Non-blocking and close-on-exec. All methods may be called from any thread; `set` is async-signal-safe.
#[derive(Debug)]
pub struct EventFd {
    // Before the descriptor is closed.
    _own: OwnFd,
    fd: OwnedFd,
}

impl EventFd {
    pub fn new() -> io::Result<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { _own: OwnFd::new(&fd), fd })
    }

    /// Makes it readable. Setting it twice is the same as once.
    pub fn set(&self) {
        // It can only fail when the counter is full: readable already.
        let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
    }

    /// Makes it unreadable; says whether it was readable.
    pub fn clear(&self) -> bool {
        // Fails with EAGAIN when it was not readable.
        rustix::io::read(&self.fd, &mut [0; 8]) == Ok(8)
    }

    /// Waits until it is readable (`true`) or the deadline has passed; `None` waits for ever. Signals do not end it.
    pub fn wait(&self, deadline: Option<Instant>) -> bool {
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            // What is too long to be told is as good as for ever.
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            let mut polled = [PollFd::new(&self.fd, PollFlags::IN)];
            if poll(&mut polled, timeout.as_ref()).is_ok_and(|ready| ready > 0) {
                return true;
            }
            if deadline.is_some_and(|at| Instant::now() >= at) {
                return false;
            }
        }
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn is_readable_exactly_while_set() {
        let fd = EventFd::new().unwrap();
        assert!(!fd.wait(Some(Instant::now())));
        fd.set();
        fd.set();
        assert!(fd.wait(Some(Instant::now())));
        assert!(fd.clear());
        assert!(!fd.clear());
        assert!(!fd.wait(Some(Instant::now() + Duration::from_millis(2))));
    }
}
