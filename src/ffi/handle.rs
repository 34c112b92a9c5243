//! Checked handles: what a program holds for a node, a queue or a process is a cookie {generation, slot, tag} that is
//! looked up at every call, so that use after free, double free and a handle of another type answer `E_INVALID`
//! instead of reading freed memory.
//!
//! A slot lives in a chunk that is never freed. Its state is a word {generation:32, refs:32}: a call enters by a
//! compare-and-swap that holds only while the generation is the cookie's, and leaves by a subtraction. Odd generations
//! are open, even ones closed. Freeing makes the generation even and gives up the owner's share; whoever leaves last
//! drops the object, so freeing waits for nobody. A node is used by many threads at once, so its word is split into
//! lanes on separate cache lines, one per thread as far as they reach.
//!
//! There is no lock anywhere, so a fork in another thread cannot leave one held in the child. What was made before a
//! fork answers `E_FORKED` in the child and is never dropped there: its threads and its peers belong to the parent.

use super::live;
use crate::model::Status;
use crate::os;
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::ptr;

/// The tag stands in the lowest bits, where an aligned pointer has zeroes: no address of an object is a valid cookie.
const TAG_BITS: u32 = 4;
const INDEX_BITS: u32 = 28;
/// Slots in the first chunk; each further chunk has twice as many.
const FIRST_CHUNK: u32 = 16;
const CHUNKS: usize = 24;
const SLOTS: u32 = FIRST_CHUNK * ((1 << CHUNKS) - 1);
const _: () = assert!(SLOTS < 1 << INDEX_BITS && usize::BITS == 64, "a cookie fills a 64-bit pointer");

/// Adding this raises the generation by one and takes one share away.
const CLOSE_AND_LEAVE: u64 = (1 << 32) - 1;
const CLOSE: u64 = 1 << 32;

fn generation(word: u64) -> u32 {
    (word >> 32) as u32
}
fn refs(word: u64) -> u32 {
    word as u32
}

/// A type whose handles are checked.
pub(super) trait Checked: Sized + Send + Sync + 'static {
    type Lanes: Lanes;
    /// Not zero, different for each type.
    const TAG: usize;
    fn table() -> &'static Table<Self>;
    /// A call on this object met an internal error: the node it belongs to may be torn, so it is closed. Never waits.
    fn poison(&self);
}

/// The words of a slot.
pub(super) trait Lanes {
    const COUNT: u32;
    fn get(&self, lane: u32) -> &AtomicU64;
}

/// One word: for objects that are mostly used by one thread.
pub(super) struct Single(AtomicU64);

impl Lanes for Single {
    const COUNT: u32 = 1;
    fn get(&self, _: u32) -> &AtomicU64 {
        &self.0
    }
}

/// Sixteen words on cache lines of their own: threads that use one object at once do not slow each other down.
pub(super) struct Striped([Line; 16]);
#[repr(align(64))]
struct Line(AtomicU64);

impl Lanes for Striped {
    const COUNT: u32 = 16;
    fn get(&self, lane: u32) -> &AtomicU64 {
        &self.0[lane as usize % 16].0
    }
}

/// All zeroes is a valid, free slot.
struct Slot<T: Checked> {
    lanes: T::Lanes,
    /// Lanes that still have shares.
    lanes_left: AtomicU32,
    /// The epoch in which the object was made; see [`os::fork_epoch`].
    epoch: AtomicU32,
    /// While the slot is in a list: the next one's index + 1.
    next: AtomicU32,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the value is written by the one thread that took the slot from the free list, read only while a share is
// held, and dropped by the one thread that gave up the last share; `T` itself is Send and Sync.
unsafe impl<T: Checked> Sync for Slot<T> {}

/// A lock-free stack of slots, linked through `next`: {count of changes:32, index + 1:32}.
struct Stack(AtomicU64);

impl Stack {
    fn push<T: Checked>(&self, table: &Table<T>, index: u32) {
        let Some(slot) = table.slot(index) else { return };
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            slot.next.store(refs(head), Ordering::Relaxed);
            let new = (u64::from(generation(head).wrapping_add(1)) << 32) | u64::from(index + 1);
            match self.0.compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    fn pop<T: Checked>(&self, table: &Table<T>) -> Option<u32> {
        let mut head = self.0.load(Ordering::Acquire);
        loop {
            let index = refs(head).checked_sub(1)?;
            // A stale `next` is harmless: the count of changes makes the exchange fail.
            let next = table.slot(index)?.next.load(Ordering::Relaxed);
            let new = (u64::from(generation(head).wrapping_add(1)) << 32) | u64::from(next);
            match self.0.compare_exchange_weak(head, new, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Some(index),
                Err(now) => head = now,
            }
        }
    }
}

/// The slots of one type.
pub(super) struct Table<T: Checked> {
    chunks: [AtomicPtr<Slot<T>>; CHUNKS],
    /// Indices from here on have never been used.
    fresh: AtomicU32,
    free: Stack,
    /// Slots whose last share was given up in a signal handler, where nothing may be dropped.
    put_off: Stack,
}

impl<T: Checked> Table<T> {
    pub(super) const fn new() -> Self {
        Self {
            chunks: [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS],
            fresh: AtomicU32::new(0),
            free: Stack(AtomicU64::new(0)),
            put_off: Stack(AtomicU64::new(0)),
        }
    }

    /// Takes the object in and gives its cookie out. Err: there is no memory, or there are too many.
    pub(super) fn insert(&'static self, value: T) -> Result<usize, Status> {
        self.drop_what_was_put_off();
        let index = match self.free.pop(self) {
            Some(index) => index,
            None => self.fresh_index()?,
        };
        let slot = self.slot(index).ok_or(Status::Memory)?;
        // SAFETY: the index came from the free list or is fresh, so no other thread has this slot, and no share of it
        // exists: nobody reads the value.
        unsafe { (*slot.value.get()).write(value) };
        slot.epoch.store(os::fork_epoch(), Ordering::Relaxed);
        slot.lanes_left.store(T::Lanes::COUNT, Ordering::Relaxed);
        // Odd: closed generations are even, and a slot whose generations are used up is not reused.
        let open = generation(slot.lanes.get(0).load(Ordering::Relaxed)) + 1;
        for lane in 0..T::Lanes::COUNT {
            slot.lanes.get(lane).store((u64::from(open) << 32) | 1, Ordering::Release);
        }
        live::add(0);
        Ok(((open as usize) << 32) | ((index as usize) << TAG_BITS) | T::TAG)
    }

    /// Uses the object. `lane`: any number, best a different one per thread.
    pub(super) fn enter(&'static self, cookie: usize, lane: u32) -> Result<Entered<T>, Status> {
        let (slot, index) = self.find(cookie).ok_or(Status::Invalid)?;
        let word = slot.lanes.get(lane);
        let mut seen = word.load(Ordering::Relaxed);
        loop {
            if generation(seen) != (cookie >> 32) as u32 || refs(seen) == 0 {
                return Err(Status::Invalid);
            }
            match word.compare_exchange_weak(seen, seen + 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        let entered = Entered { slot, index, lane };
        if entered.is_forked() { Err(Status::Forked) } else { Ok(entered) }
    }

    /// Ends the handle: exactly one caller gets the object, as its last user but for those inside.
    pub(super) fn close(&'static self, cookie: usize) -> Option<Entered<T>> {
        self.drop_what_was_put_off();
        let (slot, index) = self.find(cookie)?;
        // The first lane decides who closes; its owner's share passes to the guard that is returned.
        let word = slot.lanes.get(0);
        let mut seen = word.load(Ordering::Relaxed);
        loop {
            if generation(seen) != (cookie >> 32) as u32 || refs(seen) == 0 {
                return None;
            }
            match word.compare_exchange_weak(
                seen,
                seen.wrapping_add(CLOSE),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        let entered = Entered { slot, index, lane: 0 };
        for lane in 1..T::Lanes::COUNT {
            let before = slot.lanes.get(lane).fetch_add(CLOSE_AND_LEAVE, Ordering::AcqRel);
            if refs(before) == 1 {
                // The guard holds the first lane, so this is never the last.
                slot.lanes_left.fetch_sub(1, Ordering::AcqRel);
            }
        }
        live::remove(0);
        Some(entered)
    }

    fn find(&'static self, cookie: usize) -> Option<(&'static Slot<T>, u32)> {
        if cookie & ((1 << TAG_BITS) - 1) != T::TAG || (cookie >> 32) & 1 == 0 {
            return None;
        }
        let index = (cookie as u32) >> TAG_BITS;
        Some((self.slot(index)?, index))
    }

    fn slot(&self, index: u32) -> Option<&'static Slot<T>> {
        let (chunk, offset) = place(index)?;
        let start = self.chunks[chunk].load(Ordering::Acquire);
        if start.is_null() {
            return None;
        }
        // SAFETY: a chunk that is published is never freed, zeroed memory is a valid array of slots, and `place` keeps
        // the offset within the chunk's length.
        Some(unsafe { &*start.add(offset as usize) })
    }

    fn fresh_index(&self) -> Result<u32, Status> {
        let fresh = |index| (index < SLOTS).then(|| index + 1);
        let index =
            self.fresh.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fresh).map_err(|_| Status::Full)?;
        let (chunk, _) = place(index).ok_or(Status::Full)?;
        if self.chunks[chunk].load(Ordering::Acquire).is_null() {
            let layout =
                Layout::array::<Slot<T>>((FIRST_CHUNK << chunk) as usize).map_err(|_| Status::Memory)?;
            // SAFETY: the layout is not empty.
            let made = unsafe { alloc_zeroed(layout) }.cast::<Slot<T>>();
            if made.is_null() {
                return Err(Status::Memory);
            }
            let publish = self.chunks[chunk].compare_exchange(
                ptr::null_mut(),
                made,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            if publish.is_err() {
                // SAFETY: another thread's chunk was published, so nobody has seen this one.
                unsafe { dealloc(made.cast(), layout) };
            }
        }
        Ok(index)
    }

    /// The last share of the slot is gone.
    fn dispose(&'static self, slot: &'static Slot<T>, index: u32) {
        if slot.epoch.load(Ordering::Relaxed) == os::fork_epoch() {
            // SAFETY: the last share is gone and the generation is closed, so nobody can reach the value any more;
            // `lanes_left` ordered all earlier uses before this.
            unsafe { (*slot.value.get()).assume_init_drop() };
        }
        // Generation 0 after a close: all are used up, a further one would repeat an old cookie.
        if generation(slot.lanes.get(0).load(Ordering::Relaxed)) != 0 {
            self.free.push(self, index);
        }
    }

    fn drop_what_was_put_off(&'static self) {
        while let Some(index) = self.put_off.pop(self) {
            if let Some(slot) = self.slot(index) {
                self.dispose(slot, index);
            }
        }
    }
}

/// The chunk and the offset within it.
fn place(index: u32) -> Option<(usize, u32)> {
    let chunk = (index / FIRST_CHUNK + 1).ilog2();
    let first = FIRST_CHUNK * ((1 << chunk) - 1);
    ((chunk as usize) < CHUNKS).then(|| (chunk as usize, index - first))
}

/// A share of an object: while it lives the object does.
pub(super) struct Entered<T: Checked> {
    slot: &'static Slot<T>,
    index: u32,
    lane: u32,
}

impl<T: Checked> Entered<T> {
    /// Made by the parent of this forked process: nothing of it may be touched.
    pub(super) fn is_forked(&self) -> bool {
        self.slot.epoch.load(Ordering::Relaxed) != os::fork_epoch()
    }

    /// Leaves without ever dropping the object, allocating or freeing: for signal handlers.
    pub(super) fn leave_in_signal_handler(self) {
        if self.give_up() {
            T::table().put_off.push(T::table(), self.index);
        }
        std::mem::forget(self);
    }

    /// Whether it was the last share of all.
    fn give_up(&self) -> bool {
        let before = self.slot.lanes.get(self.lane).fetch_sub(1, Ordering::Release);
        if refs(before) != 1 {
            return false;
        }
        // What the others did before they left. A load and not a fence, which ThreadSanitizer does not understand.
        self.slot.lanes.get(self.lane).load(Ordering::Acquire);
        self.slot.lanes_left.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

impl<T: Checked> Deref for Entered<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: this guard is a share, so the value is there and is not dropped.
        unsafe { (*self.slot.value.get()).assume_init_ref() }
    }
}

impl<T: Checked> Drop for Entered<T> {
    fn drop(&mut self) {
        if self.give_up() {
            T::table().dispose(self.slot, self.index);
        }
    }
}

#[cfg(test)]
#[path = "handle_tests.rs"]
mod tests;
