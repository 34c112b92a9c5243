//! Locks.

use super::node::Rows;
use super::{Cluster, Event, EventKind, Field, LONG, Node, Process, Status, convoke_pid, ok, status};
use convoke::ffi::{
    convoke_lock_acquire_on, convoke_lock_check, convoke_lock_list, convoke_lock_release,
    convoke_lock_release_on, convoke_lock_watch, convoke_lock_with,
};
use std::ffi::{CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{null, null_mut};

/// What a lock is asked for by.
#[derive(Clone, Debug)]
pub(crate) struct Lock {
    resource: String,
    requester: Option<String>,
    /// Names of nodes; `None`: all.
    nodes: Option<Vec<CString>>,
    retries: i64,
    timeout_ms: i64,
}

impl Lock {
    /// On all nodes, for one process, for as long as it takes.
    pub(crate) fn on_all(resource: &str) -> Self {
        Self { resource: resource.to_owned(), requester: None, nodes: None, retries: -1, timeout_ms: LONG }
    }
    pub(crate) fn on(resource: &str, cluster: &Cluster, nodes: &[usize]) -> Self {
        let names: Vec<&str> = nodes.iter().map(|node| cluster[*node].name.as_str()).collect();
        Self::on_named(resource, &names)
    }
    pub(crate) fn on_named(resource: &str, nodes: &[&str]) -> Self {
        let nodes = nodes.iter().map(|name| CString::new(*name).unwrap()).collect();
        Self { nodes: Some(nodes), ..Self::on_all(resource) }
    }
    pub(crate) fn by(self, requester: &str) -> Self {
        Self { requester: Some(requester.to_owned()), ..self }
    }
    pub(crate) fn retries(self, retries: i64) -> Self {
        Self { retries, ..self }
    }
    pub(crate) fn within(self, timeout_ms: i64) -> Self {
        Self { timeout_ms, ..self }
    }
    /// A try, without waiting for others.
    pub(crate) fn at_once(self) -> Self {
        self.retries(0)
    }

    fn resource(&self) -> (*const c_void, usize) {
        (self.resource.as_ptr().cast(), self.resource.len())
    }
    fn requester(&self) -> (*const c_void, usize) {
        self.requester.as_ref().map_or((null(), 0), |text| (text.as_ptr().cast(), text.len()))
    }
    /// Valid as long as `self` is.
    fn nodes(&self) -> Option<Vec<*const c_char>> {
        self.nodes.as_ref().map(|names| names.iter().map(|name| name.as_ptr()).collect())
    }
}

/// A row of a list of locks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LockRow {
    pub(crate) pid: convoke_pid,
    pub(crate) requester: Vec<u8>,
    pub(crate) is_waiter: bool,
    pub(crate) fence: u64,
}

impl Process {
    fn acquire(&self, lock: &Lock, fence: &mut u64, op: *mut u64) -> Status {
        let ((resource, resource_len), (requester, requester_len)) = (lock.resource(), lock.requester());
        let nodes = lock.nodes();
        let (nodes, nodes_len) = nodes.as_ref().map_or((null(), 0), |nodes| (nodes.as_ptr(), nodes.len()));
        let (retries, timeout) = (lock.retries, lock.timeout_ms);
        // SAFETY: live handles and valid pointers, here and below.
        status(unsafe {
            convoke_lock_acquire_on(
                self.handle(),
                resource,
                resource_len,
                requester,
                requester_len,
                nodes,
                nodes_len,
                retries,
                timeout,
                fence,
                op,
            )
        })
    }

    /// The fencing token, or why not.
    pub(crate) fn try_lock(&self, lock: &Lock) -> Result<u64, Status> {
        let mut fence = 0;
        match self.acquire(lock, &mut fence, null_mut()) {
            Status::Ok => Ok(fence),
            status => Err(status),
        }
    }

    #[track_caller]
    pub(crate) fn lock(&self, lock: &Lock) -> u64 {
        self.try_lock(lock).unwrap_or_else(|status| panic!("{status:?}"))
    }

    /// Somebody else has it.
    #[track_caller]
    pub(crate) fn cannot_lock(&self, lock: &Lock) {
        assert_eq!(self.try_lock(lock), Err(Status::Timeout));
    }

    /// Begins to acquire it; its DONE event tells how that ended.
    pub(crate) fn begin_lock(&self, lock: &Lock) -> u64 {
        let (mut fence, mut op) = (0, 0);
        assert_eq!(self.acquire(lock, &mut fence, &mut op), Status::Ok);
        op
    }

    pub(crate) fn try_unlock(&self, lock: &Lock) -> Status {
        let ((resource, resource_len), (requester, requester_len)) = (lock.resource(), lock.requester());
        // SAFETY: see above.
        status(unsafe {
            match lock.nodes() {
                None => convoke_lock_release(
                    self.handle(),
                    resource,
                    resource_len,
                    requester,
                    requester_len,
                    LONG,
                    null_mut(),
                ),
                Some(nodes) => convoke_lock_release_on(
                    self.handle(),
                    resource,
                    resource_len,
                    requester,
                    requester_len,
                    nodes.as_ptr(),
                    nodes.len(),
                    LONG,
                    null_mut(),
                ),
            }
        })
    }

    #[track_caller]
    pub(crate) fn unlock(&self, lock: &Lock) {
        assert_eq!(self.try_unlock(lock), Status::Ok);
    }

    /// The token, as long as the process may rely on the lock.
    pub(crate) fn relies_on(&self, lock: &Lock) -> Option<u64> {
        let ((resource, resource_len), (requester, requester_len)) = (lock.resource(), lock.requester());
        let mut fence = 0;
        // SAFETY: see above.
        match status(unsafe {
            convoke_lock_check(self.handle(), resource, resource_len, requester, requester_len, &mut fence)
        }) {
            Status::Ok => Some(fence),
            Status::NotOwner => None,
            other => panic!("{other:?}"),
        }
    }

    /// Runs `f` under the lock; what it returned, or why it was not called.
    pub(crate) fn with(&self, lock: &Lock, mut f: impl FnMut(u64) -> i32) -> Result<i32, Status> {
        // An assertion that fails in there must not unwind through C.
        let mut panic = None;
        let mut f = |fence| {
            let outcome = catch_unwind(AssertUnwindSafe(|| f(fence)));
            outcome.unwrap_or_else(|failure| {
                panic = Some(failure);
                0
            })
        };
        unsafe extern "C" fn call<F: FnMut(u64) -> i32>(fence: u64, f: *mut c_void) -> i32 {
            // SAFETY: `user_data` of the call below, which nobody else uses meanwhile.
            unsafe { (*f.cast::<F>())(fence) }
        }
        fn caller<F: FnMut(u64) -> i32>(_: &F) -> unsafe extern "C" fn(u64, *mut c_void) -> i32 {
            call::<F>
        }
        let ((resource, resource_len), (requester, requester_len)) = (lock.resource(), lock.requester());
        let nodes = lock.nodes();
        let (nodes, nodes_len) = nodes.as_ref().map_or((null(), 0), |nodes| (nodes.as_ptr(), nodes.len()));
        let (function, mut result) = (caller(&f), 0);
        // SAFETY: see above.
        let status = status(unsafe {
            convoke_lock_with(
                self.handle(),
                resource,
                resource_len,
                requester,
                requester_len,
                nodes,
                nodes_len,
                lock.retries,
                lock.timeout_ms,
                Some(function),
                (&raw mut f).cast(),
                &mut result,
            )
        });
        if let Some(failure) = panic {
            resume_unwind(failure);
        }
        if status == Status::Ok { Ok(result) } else { Err(status) }
    }

    #[track_caller]
    pub(crate) fn watch_lock(&self, lock: &Lock) -> u64 {
        let ((resource, resource_len), (requester, requester_len)) = (lock.resource(), lock.requester());
        let mut reference = 0;
        // SAFETY: see above.
        ok(unsafe {
            convoke_lock_watch(
                self.handle(),
                resource,
                resource_len,
                requester,
                requester_len,
                &mut reference,
            )
        });
        reference
    }

    /// LOCK_LOST: why.
    #[track_caller]
    pub(crate) fn loses(&self, lock: &Lock) -> super::Reason {
        let is_it =
            |event: &Event| event.kind() == EventKind::LockLost && event.text(Field::Name) == lock.resource;
        self.find("CONVOKE_EVENT_LOCK_LOST", is_it).reason()
    }
}

impl Node {
    /// Holders and waiters of one lock.
    pub(crate) fn locks(&self, resource: &str) -> Vec<LockRow> {
        let mut list = null_mut();
        // SAFETY: live handles and valid pointers.
        ok(unsafe { convoke_lock_list(self.handle, resource.as_ptr().cast(), resource.len(), &mut list) });
        let rows = Rows(list);
        let row = |index| LockRow {
            pid: rows.pid(index),
            requester: rows.bytes(index, Field::Requester),
            is_waiter: rows.number(index, Field::IsWaiter) == 1,
            fence: rows.number(index, Field::Fence),
        };
        (0..rows.len()).map(row).collect()
    }

    /// Waits until the node shows exactly these holders. (No event tells of a share that ends by itself.)
    #[track_caller]
    pub(crate) fn await_holders(&self, resource: &str, wanted: &[convoke_pid]) {
        let began = std::time::Instant::now();
        while self.holders(resource) != wanted {
            assert!(
                began.elapsed().as_millis() < LONG as u128,
                "{} shows {:?}",
                self.name,
                self.holders(resource)
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Who holds the lock, as this node sees it.
    pub(crate) fn holders(&self, resource: &str) -> Vec<convoke_pid> {
        self.locks(resource).into_iter().filter(|row| !row.is_waiter).map(|row| row.pid).collect()
    }
}
