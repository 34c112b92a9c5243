//! Atomics at which another thread may go on. Unlike shuttle's own they are as large as the real ones, and zeroes are a
//! value of them: handles lie in zeroed memory.

use shuttle::thread::yield_now;
use std::sync::atomic as real;

pub(crate) use real::Ordering;

macro_rules! atomic {
    ($name:ident, $value:ty) => {
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub(crate) struct $name(real::$name);

        #[allow(dead_code)] // not every type is used in every way
        impl $name {
            pub(crate) const fn new(value: $value) -> $name {
                $name(real::$name::new(value))
            }
            pub(crate) fn load(&self, _: Ordering) -> $value {
                yield_now();
                self.0.load(Ordering::SeqCst)
            }
            pub(crate) fn store(&self, value: $value, _: Ordering) {
                yield_now();
                self.0.store(value, Ordering::SeqCst);
            }
            pub(crate) fn swap(&self, value: $value, _: Ordering) -> $value {
                yield_now();
                self.0.swap(value, Ordering::SeqCst)
            }
            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                _: Ordering,
                _: Ordering,
            ) -> Result<$value, $value> {
                yield_now();
                self.0.compare_exchange(current, new, Ordering::SeqCst, Ordering::SeqCst)
            }
            pub(crate) fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }
            pub(crate) fn fetch_update(
                &self,
                _: Ordering,
                _: Ordering,
                mut update: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut seen = self.load(Ordering::SeqCst);
                while let Some(new) = update(seen) {
                    match self.compare_exchange(seen, new, Ordering::SeqCst, Ordering::SeqCst) {
                        Ok(before) => return Ok(before),
                        Err(now) => seen = now,
                    }
                }
                Err(seen)
            }
        }
    };
    ($name:ident, $value:ty, counts) => {
        atomic!($name, $value);
        #[allow(dead_code)]
        impl $name {
            pub(crate) fn fetch_add(&self, value: $value, _: Ordering) -> $value {
                yield_now();
                self.0.fetch_add(value, Ordering::SeqCst)
            }
            pub(crate) fn fetch_sub(&self, value: $value, _: Ordering) -> $value {
                yield_now();
                self.0.fetch_sub(value, Ordering::SeqCst)
            }
        }
    };
}

atomic!(AtomicBool, bool);
atomic!(AtomicU32, u32, counts);
atomic!(AtomicU64, u64, counts);
atomic!(AtomicUsize, usize, counts);
atomic!(AtomicIsize, isize, counts);

#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct AtomicPtr<T>(real::AtomicPtr<T>);

impl<T> AtomicPtr<T> {
    pub(crate) const fn new(value: *mut T) -> Self {
        Self(real::AtomicPtr::new(value))
    }
    pub(crate) fn load(&self, _: Ordering) -> *mut T {
        yield_now();
        self.0.load(Ordering::SeqCst)
    }
    pub(crate) fn compare_exchange(
        &self,
        current: *mut T,
        new: *mut T,
        _: Ordering,
        _: Ordering,
    ) -> Result<*mut T, *mut T> {
        yield_now();
        self.0.compare_exchange(current, new, Ordering::SeqCst, Ordering::SeqCst)
    }
}
