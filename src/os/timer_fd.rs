//! A timerfd: a descriptor that becomes readable after a time.

use super::OwnFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
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
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        Ok(Self { _own: OwnFd::new(&fd), fd })
    }

    /// Becomes readable once, so long from now; what was set before is forgotten.
    pub fn set(&self, after: Duration) -> io::Result<()> {
        // All zero would switch it off instead.
        let after = after.max(Duration::from_nanos(1));
        let never = Timespec { tv_sec: i64::MAX, tv_nsec: 0 };
        let once =
            Itimerspec { it_interval: Timespec::default(), it_value: after.try_into().unwrap_or(never) };
        timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
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
