//! Locks on all nodes of the view; the requester is the process itself.

use super::{Op, Process, api, check, place};
use std::ptr::{null, null_mut};

impl Process {
    pub fn acquire(self, resource: &[u8], timeout_ms: i64) -> Result<(), String> {
        self.lock_acquire(resource, timeout_ms, None)
    }

    /// Begins the operation that a DONE event ends.
    pub fn acquire_begin(self, resource: &[u8], timeout_ms: i64) -> Result<u64, String> {
        let mut op = 0;
        self.lock_acquire(resource, timeout_ms, Some(&mut op)).map(|()| op)
    }

    fn lock_acquire(self, resource: &[u8], timeout_ms: i64, op: Op<'_>) -> Result<(), String> {
        let (data, len, op) = (resource.as_ptr(), resource.len(), place(op));
        // SAFETY: a checked handle, a resource, and NULL where the header allows it.
        check("lock_acquire", unsafe {
            (api().lock_acquire)(self.0, data, len, null(), 0, timeout_ms, null_mut(), op)
        })
    }

    pub fn release(self, resource: &[u8], timeout_ms: i64) -> Result<(), String> {
        self.lock_release(resource, timeout_ms, None)
    }

    pub fn release_begin(self, resource: &[u8], timeout_ms: i64) -> Result<u64, String> {
        let mut op = 0;
        self.lock_release(resource, timeout_ms, Some(&mut op)).map(|()| op)
    }

    fn lock_release(self, resource: &[u8], timeout_ms: i64, op: Op<'_>) -> Result<(), String> {
        let (data, len, op) = (resource.as_ptr(), resource.len(), place(op));
        // SAFETY: as above.
        check("lock_release", unsafe { (api().lock_release)(self.0, data, len, null(), 0, timeout_ms, op) })
    }
}
