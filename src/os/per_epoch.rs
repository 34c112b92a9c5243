//! Process-wide state that a forked child begins anew.

use super::fork_epoch;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A value for this process. After a fork the child gets another: the parent's may be locked by a thread that the child does
/// not have, so it is left alone for ever.
pub struct PerEpoch<T>(AtomicPtr<(u32, T)>);

impl<T: Send + Sync + 'static> PerEpoch<T> {
    #[allow(clippy::new_without_default)] // only for statics, where a default cannot be called
    pub const fn new() -> Self {
        Self(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// The value, made at the first use.
    pub fn get(&'static self, make: impl FnOnce() -> T) -> &'static T {
        let epoch = fork_epoch();
        let there = self.0.load(Ordering::Acquire);
        // SAFETY: null, or a box that was leaked below.
        if let Some((_, value)) = unsafe { there.as_ref() }.filter(|(of, _)| *of == epoch) {
            return value;
        }
        let made = Box::into_raw(Box::new((epoch, make())));
        match self.0.compare_exchange(there, made, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: never freed from here on.
            Ok(_) => unsafe { &(*made).1 },
            Err(other) => {
                // SAFETY: nobody else has seen it.
                drop(unsafe { Box::from_raw(made) });
                // SAFETY: what another thread has just put there is of this epoch, and never freed.
                unsafe { &(*other).1 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn all_threads_get_the_same() {
        static VALUE: PerEpoch<AtomicUsize> = PerEpoch::new();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| VALUE.get(AtomicUsize::default).fetch_add(1, Ordering::SeqCst));
            }
        });
        assert_eq!(VALUE.get(AtomicUsize::default).load(Ordering::SeqCst), 8);
    }
}
