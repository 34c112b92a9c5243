//! Locks whose workings ThreadSanitizer can see, with the interface of the standard library's as far as it is used here.
//!
//! The standard library comes compiled, so that the sanitizer does not see what its locks do and takes for a race whatever
//! they guard, unless its sources are there to be compiled anew. parking_lot is compiled with the program. Not part of a
//! released library: built with `--cfg visible_locks` only.

use std::sync::{LockResult, TryLockError, TryLockResult};
use std::time::Duration;

pub(crate) use parking_lot::MutexGuard;

/// Is never poisoned: a panic while it is held does not show under this configuration. Named in public fields of rooms, as
/// the standard library's is.
#[derive(Default, Debug)]
pub struct Mutex<T>(parking_lot::Mutex<T>);

impl<T> Mutex<T> {
    pub const fn new(value: T) -> Self {
        Mutex(parking_lot::Mutex::new(value))
    }
    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        Ok(self.0.lock())
    }
    pub(crate) fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        self.0.try_lock().ok_or(TryLockError::WouldBlock)
    }
}

/// Named in public fields of rooms, as the standard library's is.
#[derive(Default, Debug)]
pub struct RwLock<T>(parking_lot::RwLock<T>);

impl<T> RwLock<T> {
    pub const fn new(value: T) -> Self {
        RwLock(parking_lot::RwLock::new(value))
    }
    pub(crate) fn read(&self) -> LockResult<parking_lot::RwLockReadGuard<'_, T>> {
        Ok(self.0.read())
    }
    pub(crate) fn write(&self) -> LockResult<parking_lot::RwLockWriteGuard<'_, T>> {
        Ok(self.0.write())
    }
}

#[derive(Default, Debug)]
pub(crate) struct Condvar(parking_lot::Condvar);

impl Condvar {
    pub(crate) const fn new() -> Self {
        Condvar(parking_lot::Condvar::new())
    }
    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }
    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
    pub(crate) fn wait<'a, T>(&self, mut guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.0.wait(&mut guard);
        Ok(guard)
    }
    pub(crate) fn wait_timeout<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        time: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, parking_lot::WaitTimeoutResult)> {
        let result = self.0.wait_for(&mut guard, time);
        Ok((guard, result))
    }
}
