//! Noticing a fork: the library's threads do not exist in a forked child, so what was opened before must say so; and the
//! descriptors of the library, of which the child has copies, are closed there. Else a link would not end when the parent dies,
//! and its port would stay taken.
//!
//! `fork` runs the handler that does both. What runs no handlers (`_Fork`, a bare system call) is noticed all the same: the number
//! of the process lies in a page that the kernel empties in every child. `vfork` and `posix_spawn` are no forks in this sense:
//! their child shares the parent's memory and is gone with its `exec`, which closes the descriptors.

use super::own_fds;
use super::pages::map_pages;
use rustix::mm::Advice;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

/// Where the number lies until a page has been got, and where there is none to be had.
static PLAIN: AtomicU32 = AtomicU32::new(1);
/// Null: `PLAIN` is it.
static PAGE: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());
/// The last number that was given out in this process or in one that it was forked from.
static LAST: AtomicU32 = AtomicU32::new(1);

fn number() -> &'static AtomicU32 {
    // SAFETY: null, or a page that is mapped for ever; the kernel's zeroes are a valid number too.
    unsafe { PAGE.load(Ordering::Acquire).as_ref() }.unwrap_or(&PLAIN)
}

/// Which process this is, in the line of forks that leads to it. What was made in another epoch is not usable here.
pub fn fork_epoch() -> u32 {
    match number().load(Ordering::Relaxed) {
        0 => begin(),
        epoch => epoch,
    }
}

/// The first look in a child in which no handler has run. What was noted of the parent's descriptors is forgotten and nothing is
/// closed: the program may have closed them by now, and have others of the same numbers.
#[cold]
fn begin() -> u32 {
    let epoch = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    match number().compare_exchange(0, epoch, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => {
            own_fds::take_all(|_| {});
            epoch
        }
        Err(other) => other,
    }
}

extern "C" fn in_child() {
    own_fds::take_all(|fd| {
        // SAFETY: it is the library's, and what it belongs to is never used or dropped in this process.
        unsafe { libc::close(fd) };
    });
    number().store(LAST.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// Starts to take notice; called before the first handle is made. Costs nothing per call, unlike asking for the process id.
pub fn watch_forks() {
    // Not `Once`: a child that is forked in between would wait for ever. To do it twice does no harm.
    static DONE: AtomicBool = AtomicBool::new(false);
    // Before anything is noted: the first look forgets all notes.
    fork_epoch();
    if DONE.load(Ordering::Acquire) {
        return;
    }
    // A page that is full of zeroes in every child. `None`: the kernel has no such (before Linux 4.14).
    if let Some(page) = map_pages(size_of::<AtomicU32>(), Advice::LinuxWipeOnFork) {
        let page = page.cast::<AtomicU32>();
        // SAFETY: it was just mapped, and nobody else has it.
        unsafe { page.as_ref() }.store(number().load(Ordering::Relaxed), Ordering::Relaxed);
        // One too many stays mapped; it is never read.
        let _ = PAGE.compare_exchange(ptr::null_mut(), page.as_ptr(), Ordering::AcqRel, Ordering::Relaxed);
    }
    // SAFETY: the handler touches atomics and closes descriptors. The library is linked `-z nodelete`, so it stays mapped.
    unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    DONE.store(true, Ordering::Release);
}
