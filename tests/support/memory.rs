//! What each thread has allocated and not freed, and the most that it was: tests run side by side. And what all of them
//! have together.
#![allow(dead_code)] // each test binary needs a part of it

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering};

struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

static IN_USE: AtomicIsize = AtomicIsize::new(0);

fn count(change: isize) {
    IN_USE.fetch_add(change, Ordering::Relaxed);
    // While a thread ends there is nothing to be counted any more.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + change);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The most memory that was in use at one time during this, in bytes.
pub(crate) fn peak_of(what: impl FnOnce()) -> usize {
    let before = LIVE.with(Cell::get);
    PEAK.with(|peak| peak.set(before));
    what();
    usize::try_from(PEAK.with(Cell::get) - before).unwrap_or(0)
}

/// What all threads have in use now, in bytes.
pub(crate) fn in_use() -> isize {
    IN_USE.load(Ordering::Relaxed)
}
