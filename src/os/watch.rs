//! An eventfd in tokio's eyes.

use super::EventFd;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Wakes a task whenever an eventfd is set. It does not clear it: the registration is edge-triggered.
pub struct EventFdWatch(AsyncFd<OwnedFd>);

impl EventFdWatch {
    /// Within a tokio runtime.
    pub fn new(event: &EventFd) -> io::Result<EventFdWatch> {
        // A descriptor of its own for the same eventfd, so that it stays open as long as it is watched.
        let own = event.as_fd().try_clone_to_owned()?;
        // SAFETY: an OwnedFd is open until it is dropped, and it is dropped after its registration.
        let watched = unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) };
        Ok(EventFdWatch(watched.map_err(|e| e.into_parts().1)?))
    }

    /// The task of `cx` is woken when the eventfd is next set.
    pub fn poll(&self, cx: &mut Context) {
        while let Poll::Ready(Ok(mut set)) = self.0.poll_read_ready(cx) {
            set.clear_ready();
        }
    }
}
