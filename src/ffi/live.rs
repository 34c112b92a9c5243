//! How many objects the program holds: one line of a leak test in any language.

use crate::sync::atomic::{AtomicIsize, Ordering};

/// Each thread counts on a cache line of its own as far as they reach; the sum is what counts.
#[repr(align(64))]
struct Line(AtomicIsize);

static LINES: [Line; 16] = [const { Line(AtomicIsize::new(0)) }; 16];

/// One more. `lane`: any number, best a different one per thread.
pub(super) fn add(lane: u32) {
    LINES[lane as usize % 16].0.fetch_add(1, Ordering::Relaxed);
}

/// One fewer.
pub(super) fn remove(lane: u32) {
    LINES[lane as usize % 16].0.fetch_sub(1, Ordering::Relaxed);
}

/// The sum. Exact when nothing is made or freed meanwhile.
pub(super) fn count() -> usize {
    let sum: isize = LINES.iter().map(|line| line.0.load(Ordering::Relaxed)).sum();
    usize::try_from(sum).unwrap_or(0)
}
