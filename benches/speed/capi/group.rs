//! Groups; the member is the process itself.

use super::{Node, Op, Pid, Process, Ptr, api, check, place};
use std::ptr::{null, null_mut};

/// An owned `convoke_list` whose rows have pids.
pub struct Pids(Ptr);

impl Process {
    pub fn group_create(self, group: &[u8], timeout_ms: i64) -> Result<(), String> {
        // SAFETY: a checked handle and a name; NULL: it waits.
        check("group_create", unsafe {
            (api().group_create)(self.0, group.as_ptr(), group.len(), timeout_ms, null_mut())
        })
    }

    pub fn group_delete(self, group: &[u8], timeout_ms: i64) -> Result<(), String> {
        // SAFETY: as above.
        check("group_delete", unsafe {
            (api().group_delete)(self.0, group.as_ptr(), group.len(), timeout_ms, null_mut())
        })
    }

    pub fn join(self, group: &[u8], timeout_ms: i64) -> Result<(), String> {
        self.group_join(group, timeout_ms, None)
    }

    /// Begins the operation that a DONE event ends.
    pub fn join_begin(self, group: &[u8], timeout_ms: i64) -> Result<u64, String> {
        let mut op = 0;
        self.group_join(group, timeout_ms, Some(&mut op)).map(|()| op)
    }

    fn group_join(self, group: &[u8], timeout_ms: i64, op: Op<'_>) -> Result<(), String> {
        // SAFETY: a checked handle, a name, and NULL where the header allows it.
        check("group_join", unsafe {
            (api().group_join)(self.0, group.as_ptr(), group.len(), null(), timeout_ms, place(op))
        })
    }

    pub fn leave(self, group: &[u8], timeout_ms: i64) -> Result<(), String> {
        self.group_leave(group, timeout_ms, None)
    }

    pub fn leave_begin(self, group: &[u8], timeout_ms: i64) -> Result<u64, String> {
        let mut op = 0;
        self.group_leave(group, timeout_ms, Some(&mut op)).map(|()| op)
    }

    fn group_leave(self, group: &[u8], timeout_ms: i64, op: Op<'_>) -> Result<(), String> {
        // SAFETY: as above.
        check("group_leave", unsafe {
            (api().group_leave)(self.0, group.as_ptr(), group.len(), null(), timeout_ms, place(op))
        })
    }
}

impl Node {
    #[inline]
    pub fn members(self, group: &[u8]) -> Result<Pids, String> {
        let mut list = null_mut();
        // SAFETY: a checked handle, a name and a valid pointer.
        check("group_members", unsafe {
            (api().group_members)(self.0, group.as_ptr(), group.len(), &mut list)
        })?;
        Ok(Pids(list))
    }
}

impl Pids {
    #[inline]
    pub fn as_slice(&self) -> Result<&[Pid], String> {
        let (mut pids, mut len) = (null(), 0);
        // SAFETY: a live list and valid pointers; what is lent lives as long as the list.
        unsafe {
            check("list_pids", (api().list_pids)(self.0, &mut pids, &mut len))?;
            Ok(if len == 0 { &[] } else { std::slice::from_raw_parts(pids, len) })
        }
    }
}

impl Drop for Pids {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: owned, and freed once.
        unsafe { (api().list_free)(self.0) }
    }
}
