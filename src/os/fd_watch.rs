//! A descriptor in tokio's eyes.

use super::OwnFd;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::task::{Context, Poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Wakes a task whenever a descriptor becomes readable: an eventfd is set, a timerfd expires. It is edge-triggered, so
/// nothing has to be read from the descriptor for the next time to be seen.
pub struct FdWatch {
    // Before the descriptor is closed.
    _own: OwnFd,
    fd: AsyncFd<OwnedFd>,
}

impl FdWatch {
    /// Within a tokio runtime.
    pub fn new(watched: &impl AsFd) -> io::Result<Self> {
        // A descriptor of its own for the same file, so that it stays open as long as it is watched.
        let fd = watched.as_fd().try_clone_to_owned()?;
        // SAFETY: an OwnedFd is open until it is dropped, and it is dropped after its registration.
        let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
        let fd = watched.map_err(|e| e.into_parts().1)?;
        Ok(Self { _own: OwnFd::new(fd.get_ref()), fd })
    }

    pub(super) fn number(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Whether it has become readable since the last call. The task of `cx` is woken the next time.
    pub fn poll(&self, cx: &mut Context<'_>) -> bool {
        let mut readable = false;
        while let Poll::Ready(Ok(mut ready)) = self.fd.poll_read_ready(cx) {
            ready.clear_ready();
            readable = true;
        }
        readable
    }
}
