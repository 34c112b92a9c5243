//! How fast a line is, and how much may lie in the kernel and in one block on it.
//!
//! Control waits for what the kernel holds and cannot send yet, and for the block of data that has been begun. On a fast
//! line both may be large, which saves system calls. On a slow one they would hold a claim up for seconds.

use std::time::Duration;

/// What the kernel may hold of a link that it cannot send yet: at most, and on the slowest line.
pub(super) const MOST: u32 = 128 << 10;
const LEAST: u32 = 16 << 10;
/// It should be sent in this time.
const SOON: Duration = Duration::from_millis(50);

/// What is known of one line.
#[derive(Debug)]
pub(super) struct Pace {
    unsent: u32,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { unsent: MOST }
    }

    /// The kernel has taken nothing for so long: meanwhile half of what it may hold went out, which is when it takes more.
    /// Gives what it may hold from now on, if that changes.
    pub(super) fn was_blocked(&mut self, time: Duration) -> Option<u32> {
        let sent = u128::from(self.unsent / 2);
        let fits = sent * SOON.as_nanos() / time.as_nanos().max(1);
        let fits = u32::try_from(fits).unwrap_or(MOST).clamp(LEAST, MOST);
        // By powers of two: small changes are not worth a system call.
        let fits = 1 << fits.ilog2();
        let changed = fits != self.unsent;
        self.unsent = fits;
        changed.then_some(fits)
    }

    /// The most of a large payload that goes into one frame.
    pub(super) fn fragment(&self) -> usize {
        self.unsent as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets a line of so many bytes a second be measured until nothing changes.
    fn settled(pace: &mut Pace, rate: u64) -> u32 {
        for _ in 0..10 {
            let time = Duration::from_secs_f64(f64::from(pace.unsent / 2) / rate as f64);
            if pace.was_blocked(time).is_none() {
                return pace.unsent;
            }
        }
        panic!("it does not settle");
    }

    #[test]
    fn what_waits_is_what_the_line_sends_soon() {
        let mut pace = Pace::new();
        let mbit = 125_000;
        assert_eq!(settled(&mut pace, 1000 * mbit), MOST);
        assert_eq!(settled(&mut pace, mbit), LEAST);
        assert_eq!(settled(&mut pace, 8 * mbit), 32 << 10);
        assert_eq!(settled(&mut pace, 1000 * mbit), MOST);
        assert_eq!(pace.was_blocked(Duration::ZERO), None);
        assert_eq!(pace.was_blocked(Duration::MAX), Some(LEAST));
    }
}
