//! Memory of its own, for what the kernel is to treat otherwise than the rest.

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use std::ptr::{self, NonNull};

/// New pages for so many bytes, full of zeroes, with this advice to the kernel; they begin at a multiple of the size of a page.
/// `None`: there are none to be had, or the kernel does not know the advice.
pub(super) fn map_pages(bytes: usize, advice: Advice) -> Option<NonNull<u8>> {
    // SAFETY: a new mapping, which overlaps nothing; it is given back if it is not as wanted. The kernel rounds the length up.
    unsafe {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let at = mmap_anonymous(ptr::null_mut(), bytes, access, MapFlags::PRIVATE).ok()?;
        if madvise(at, bytes, advice).is_err() {
            let _ = munmap(at, bytes);
            return None;
        }
        NonNull::new(at.cast())
    }
}

/// Gives pages back.
///
/// # Safety
///
/// They come from [`map_pages`], with this length, and nobody uses them any more.
pub(super) unsafe fn unmap_pages(at: NonNull<u8>, bytes: usize) {
    // SAFETY: as the caller says.
    let _ = unsafe { munmap(at.as_ptr().cast(), bytes) };
}
