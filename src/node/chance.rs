//! Choosing at random on callers' threads: cheap, different on every thread, good for spreading load and for nothing
//! that an enemy must not guess.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// The odd number that SplitMix64 steps by: 2^64 divided by the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Where the next thread begins.
static BEGIN: AtomicU64 = AtomicU64::new(0);

thread_local! {
    // Nothing to drop, so it can be asked at every moment of a thread's life.
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// Adds randomness of the operating system's, so that two programs do not choose alike.
pub(super) fn stir(random: u64) {
    BEGIN.fetch_add(random, Ordering::Relaxed);
}

/// A number below `bound`, which is not 0; each as likely as any other, but for one part in 2^64 / `bound`.
pub(super) fn below(bound: usize) -> usize {
    let next = STATE.try_with(|state| {
        if state.get() == 0 {
            state.set(scramble(BEGIN.fetch_add(STEP, Ordering::Relaxed)) | 1);
        }
        state.set(state.get().wrapping_add(STEP));
        state.get()
    });
    let number = scramble(next.unwrap_or_else(|_| BEGIN.fetch_add(STEP, Ordering::Relaxed)));
    // The upper half of the product is the number scaled down.
    ((u128::from(number) * bound as u128) >> 64) as usize
}

/// The output function of SplitMix64.
fn scramble(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_below_the_bound_is_about_as_likely() {
        const BOUND: usize = 7;
        const ROUNDS: usize = 70_000;
        let mut counts = [0; BOUND];
        for _ in 0..ROUNDS {
            counts[below(BOUND)] += 1;
        }
        // Ten standard deviations: a good generator never fails here.
        let (expected, bound) = (ROUNDS / BOUND, 10.0 * ((ROUNDS / BOUND) as f64).sqrt());
        for count in counts {
            assert!((count as f64 - expected as f64).abs() < bound, "{counts:?}");
        }
        assert_eq!(below(1), 0);
    }

    #[test]
    fn threads_choose_differently() {
        let choose = || std::thread::spawn(|| (0..16).map(|_| below(1000)).collect::<Vec<_>>());
        let [one, two] = [choose(), choose()].map(|thread| thread.join().unwrap());
        assert_ne!(one, two);
    }
}
