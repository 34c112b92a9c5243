//! An eventfd: a descriptor that is readable exactly while it is set.

use super::OwnFd;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// Non-blocking and close-on-exec. All methods may be called from any thread; `set` is async-signal-safe.
#[derive(Debug)]
pub struct EventFd {
    // Before the descriptor is closed.
    _own: OwnFd,
    fd: OwnedFd,
}

impl EventFd {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed; the result is checked before it is owned.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just made and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { _own: OwnFd::new(&fd), fd })
    }

    /// Makes it readable. Setting it twice is the same as once.
    pub fn set(&self) {
        let one = 1u64;
        // SAFETY: writes 8 bytes from a live u64. It can only fail when the counter is full: readable already.
        unsafe { libc::write(self.fd.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    /// Makes it unreadable; says whether it was readable.
    pub fn clear(&self) -> bool {
        let mut count = 0u64;
        // SAFETY: reads 8 bytes into a live u64; fails with EAGAIN when it was not readable.
        unsafe { libc::read(self.fd.as_raw_fd(), (&raw mut count).cast(), 8) == 8 }
    }

    /// Waits until it is readable (`true`) or the deadline has passed; `None` waits for ever. Signals do not end it.
    pub fn wait(&self, deadline: Option<Instant>) -> bool {
        loop {
            let timeout = match deadline {
                None => -1,
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    // Rounded up: a wait never ends early by the rounding of ms.
                    i32::try_from((left + Duration::from_micros(999)).as_millis()).unwrap_or(i32::MAX)
                }
            };
            let mut poll = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one live pollfd.
            if unsafe { libc::poll(&raw mut poll, 1, timeout) } > 0 {
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
