//! A timerfd: a descriptor that becomes readable after a time.

use super::OwnFd;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// One timer of the monotonic clock. Exact to the microsecond and free while it runs, where tokio's timers are exact to
/// the millisecond and wake the thread several times on the way.
#[derive(Debug)]
pub struct TimerFd {
    // Before the descriptor is closed.
    _own: OwnFd,
    fd: OwnedFd,
}

impl TimerFd {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed; the result is checked before it is owned.
        let fd =
            unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just made and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { _own: OwnFd::new(&fd), fd })
    }

    /// Becomes readable once, so long from now; what was set before is forgotten.
    pub fn set(&self, after: Duration) -> io::Result<()> {
        // All zero would switch it off instead.
        let after = after.max(Duration::from_nanos(1));
        let once = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec {
                tv_sec: libc::time_t::try_from(after.as_secs()).unwrap_or(libc::time_t::MAX),
                tv_nsec: after.subsec_nanos() as libc::c_long, // below 10^9, which fits everywhere
            },
        };
        // SAFETY: reads one live itimerspec; the old value is not asked for.
        let set =
            unsafe { libc::timerfd_settime(self.fd.as_raw_fd(), 0, &raw const once, std::ptr::null_mut()) };
        if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl AsFd for TimerFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::super::FdWatch;
    use super::*;
    use std::task::Poll;
    use std::time::Instant;

    #[test]
    fn expires_each_time_that_it_is_set_without_being_read() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let timer = TimerFd::new().unwrap();
            let watch = FdWatch::new(&timer).unwrap();
            for ms in [0, 2, 1] {
                let after = Duration::from_millis(ms);
                let began = Instant::now();
                timer.set(after).unwrap();
                std::future::poll_fn(|cx| if watch.poll(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
                assert!(began.elapsed() >= after);
            }
        });
    }
}
