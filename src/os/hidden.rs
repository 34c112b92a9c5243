//! Memory for what must not get into a core dump.

use super::pages::{map_pages, unmap_pages};
use rustix::mm::Advice;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// A value in a page of its own that the kernel leaves out of core dumps (`MADV_DONTDUMP`). Clones share it until one is changed. For
/// few and small values: each takes a page. It is dropped before its page goes.
///
/// Where there is no such page to be had (a limit on memory, an old kernel) it lies among everything else.
pub struct Hidden<T>(Arc<Page<T>>);

struct Page<T> {
    value: NonNull<T>,
    /// The length of the mapping; 0: it is a `Box`.
    mapped: usize,
}

// SAFETY: a page owns its value, as a `Box` would.
unsafe impl<T: Send> Send for Page<T> {}
// SAFETY: as above; a shared page is only read.
unsafe impl<T: Sync> Sync for Page<T> {}

impl<T> Hidden<T> {
    pub fn new(value: T) -> Self {
        Self(Arc::new(Page::new(value)))
    }
}

impl<T> Page<T> {
    fn new(value: T) -> Self {
        match map(size_of::<T>(), align_of::<T>()) {
            Some((page, mapped)) => {
                let place = page.cast::<T>();
                // SAFETY: a new mapping, long enough and aligned for it, that nobody else has.
                unsafe { place.write(value) };
                Self { value: place, mapped }
            }
            None => Self { value: Box::leak(Box::new(value)).into(), mapped: 0 },
        }
    }
}

impl<T> Drop for Page<T> {
    fn drop(&mut self) {
        #[cfg(test)]
        let _change = if self.mapped > 0 { Some(CHANGES.read()) } else { None };
        // SAFETY: made by `new`, and given up only here.
        unsafe {
            if self.mapped == 0 {
                drop(Box::from_raw(self.value.as_ptr()));
            } else {
                ptr::drop_in_place(self.value.as_ptr());
                unmap_pages(self.value.cast(), self.mapped);
            }
        }
    }
}

impl<T: Clone> Clone for Page<T> {
    fn clone(&self) -> Self {
        // SAFETY: it lives as long as the page, and is only read while it is shared.
        Self::new(unsafe { self.value.as_ref() }.clone())
    }
}

impl<T> Deref for Hidden<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: it lives as long as the page, and is only read while it is shared.
        unsafe { self.0.value.as_ref() }
    }
}

impl<T: Clone> DerefMut for Hidden<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: after this nobody else has the page.
        unsafe { Arc::make_mut(&mut self.0).value.as_mut() }
    }
}

impl<T> Clone for Hidden<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Default> Default for Hidden<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: PartialEq> PartialEq for Hidden<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Hidden<T> {}

impl<T> fmt::Debug for Hidden<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}

/// Held while pages come and go, so that a test that goes through the memory finds all that there are: pages beside each other are one
/// mapping to the kernel, and one that goes in the middle of it cuts it in two.
#[cfg(test)]
static CHANGES: std::sync::RwLock<()> = std::sync::RwLock::new(());

/// Linux has none that are smaller; what is aligned to it is so in any page.
const SMALLEST_PAGE: usize = 4096;

/// A new mapping for so many bytes, and its length.
fn map(bytes: usize, align: usize) -> Option<(NonNull<u8>, usize)> {
    if cfg!(miri) {
        return None; // it knows of no such advice
    }
    if align > SMALLEST_PAGE {
        return None;
    }
    let length = bytes.max(1);
    #[cfg(test)]
    let _change = CHANGES.read();
    Some((map_pages(length, Advice::LinuxDontDump)?, length))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::FileExt;
    use std::sync::{Mutex, PoisonError};
    use zeroize::Zeroizing;

    /// The mappings of this process that may be read: from, to, and whether they get into a core dump.
    fn mappings() -> Vec<(u64, u64, bool)> {
        let text = fs::read_to_string("/proc/self/smaps").unwrap();
        let mut found = Vec::new();
        for line in text.lines() {
            let first = line.split(' ').next().unwrap_or_default();
            if let Some((from, to)) = first.split_once('-')
                && let (Ok(from), Ok(to)) = (u64::from_str_radix(from, 16), u64::from_str_radix(to, 16))
            {
                found.push((from, to, true));
            }
            if let (Some(flags), Some(last)) = (line.strip_prefix("VmFlags:"), found.last_mut()) {
                last.2 = !flags.split(' ').any(|flag| flag == "dd");
            }
        }
        found
    }

    /// How often the bytes stand in memory that gets into a core dump, and in memory that does not. They are told masked, so that what the
    /// caller has is no find; copies that are made here are passed over, and wiped.
    pub(crate) fn count(masked: &[u8]) -> (usize, usize) {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let _still = CHANGES.write().unwrap_or_else(PoisonError::into_inner);
        let wanted = Zeroizing::new(self::masked(masked.iter().copied()));
        let mut piece = Zeroizing::new(vec![0; 1 << 20]);
        let copies =
            [&wanted, &piece].map(|copy| copy.as_ptr_range()).map(|of| of.start as u64..of.end as u64);
        let memory = File::open("/proc/self/mem").unwrap();
        let mut counts = (0, 0);
        for (from, to, is_dumped) in mappings() {
            let mut at = from;
            while at < to {
                let most = piece.len().min((to - at) as usize);
                let Ok(read @ 1..) = memory.read_at(&mut piece[..most], at) else { break };
                for found in find(&piece[..read], &wanted) {
                    let place = at + found as u64;
                    if !copies.iter().any(|copy| copy.contains(&place)) {
                        *(if is_dumped { &mut counts.0 } else { &mut counts.1 }) += 1;
                    }
                }
                at += read as u64;
            }
        }
        counts
    }

    /// Where the bytes are: not too slow for all of memory in a build without optimisations.
    fn find(all: &[u8], wanted: &[u8]) -> Vec<usize> {
        let (mut places, mut from) = (Vec::new(), 0);
        loop {
            let rest = &all[from..];
            // SAFETY: both are live slices with their lengths.
            let at = unsafe {
                libc::memmem(rest.as_ptr().cast(), rest.len(), wanted.as_ptr().cast(), wanted.len())
            };
            if at.is_null() {
                return places;
            }
            places.push(at as usize - all.as_ptr() as usize);
            from = at as usize - all.as_ptr() as usize + 1;
        }
    }

    pub(crate) fn masked(bytes: impl IntoIterator<Item = u8>) -> Vec<u8> {
        bytes.into_iter().map(|byte| byte ^ 0x5a).collect()
    }

    #[cfg(not(miri))] // it has no memory to look at
    #[test]
    fn it_is_left_out_of_core_dumps_and_wiped() {
        let wanted = masked((0..32u8).map(|at| at.wrapping_mul(37) ^ 0xe1));
        let mut hidden = Hidden::<Zeroizing<[u8; 32]>>::default();
        hidden.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at as u8).wrapping_mul(37) ^ 0xe1);
        assert_eq!(count(&wanted), (0, 1));
        let mut other = hidden.clone();
        assert_eq!(count(&wanted), (0, 1), "clones share it");
        other[0] ^= 1;
        assert!(other != hidden && hidden[0] == 0xe1);
        drop((hidden, other));
        assert_eq!(count(&wanted), (0, 0));
    }

    #[test]
    fn without_a_page_it_lies_elsewhere() {
        assert_eq!(map(usize::MAX, 1), None);
        let text = Hidden::new("text".to_owned());
        let boxed =
            Hidden(Arc::new(Page { value: Box::leak(Box::new("text".to_owned())).into(), mapped: 0 }));
        assert!(text == boxed && format!("{boxed:?}") == "Hidden");
    }
}
