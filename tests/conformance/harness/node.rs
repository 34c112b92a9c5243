//! One node.

use super::{EventKind, Field, LONG, NOBODY, Process, Status, expect, ok, status};
use convoke::ffi::{
    convoke_list, convoke_list_bytes, convoke_list_free, convoke_list_len, convoke_list_pid,
    convoke_list_u64, convoke_name_list, convoke_name_whereis, convoke_node, convoke_node_address,
    convoke_node_close, convoke_node_free, convoke_node_name, convoke_node_open, convoke_node_peers,
    convoke_options_free, convoke_options_new, convoke_options_set, convoke_pid,
};
use std::collections::BTreeSet;
use std::ffi::{CString, c_char};
use std::ptr::null_mut;

pub(crate) struct Node {
    pub(crate) handle: *mut convoke_node,
    pub(crate) name: String,
    pub(crate) address: String,
}

// SAFETY: nodes may be used by any thread.
unsafe impl Send for Node {}
// SAFETY: likewise, by several at a time.
unsafe impl Sync for Node {}

impl Node {
    pub(crate) fn try_open(options: &[(&str, &str)]) -> Result<Self, Status> {
        let (mut chosen, mut handle) = (null_mut(), null_mut());
        // SAFETY: live handles and valid pointers, here and below.
        let opened = unsafe {
            ok(convoke_options_new(&mut chosen));
            for (key, value) in options {
                let (key, value) = (CString::new(*key).unwrap(), CString::new(*value).unwrap());
                ok(convoke_options_set(chosen, key.as_ptr(), value.as_ptr()));
            }
            let opened = status(convoke_node_open(chosen, &mut handle));
            convoke_options_free(chosen);
            opened
        };
        if opened != Status::Ok {
            return Err(opened);
        }
        let [mut name, mut address] = [[0_u8; 256]; 2];
        let (mut name_len, mut address_len) = (0, 0);
        // SAFETY: see above; the buffers are as large as is said.
        unsafe {
            ok(convoke_node_name(handle, name.as_mut_ptr().cast::<c_char>(), 256, &mut name_len));
            ok(convoke_node_address(handle, address.as_mut_ptr().cast::<c_char>(), 256, &mut address_len));
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ok(Self { handle, name: text(&name[..name_len]), address: text(&address[..address_len]) })
    }

    #[track_caller]
    pub(crate) fn open(options: &[(&str, &str)]) -> Self {
        Self::try_open(options).unwrap_or_else(|status| panic!("{status:?}"))
    }

    pub(crate) fn spawn(&self) -> Process {
        Process::spawn(self)
    }

    /// Leaves in order.
    #[track_caller]
    pub(crate) fn close(&self) {
        // SAFETY: see `try_open`.
        expect(Status::Ok, unsafe { convoke_node_close(self.handle, LONG) });
    }

    // ---- what it shows

    pub(crate) fn whereis(&self, name: &str) -> Option<convoke_pid> {
        let mut pid = NOBODY;
        // SAFETY: see `try_open`.
        match status(unsafe { convoke_name_whereis(self.handle, name.as_ptr().cast(), name.len(), &mut pid) })
        {
            Status::Ok => Some(pid),
            Status::NotFound => None,
            other => panic!("{other:?}"),
        }
    }

    /// Every registered name.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let mut list = null_mut();
        // SAFETY: see `try_open`.
        ok(unsafe { convoke_name_list(self.handle, std::ptr::null(), 0, &mut list) });
        Rows(list).names()
    }

    /// The names of the nodes that it is linked to.
    pub(crate) fn peers(&self) -> BTreeSet<String> {
        let mut list = null_mut();
        // SAFETY: see `try_open`.
        ok(unsafe { convoke_node_peers(self.handle, &mut list) });
        Rows(list).names()
    }

    // ---- waiting

    /// Waits until the node shows under the name what is wanted, and returns it.
    #[track_caller]
    pub(crate) fn await_name(
        &self,
        name: &str,
        is_wanted: impl Fn(Option<convoke_pid>) -> bool,
    ) -> Option<convoke_pid> {
        let watcher = self.spawn();
        watcher.monitor_name(name);
        loop {
            let shown = watcher.expect(EventKind::NameChanged).peer();
            if is_wanted(shown) {
                return shown;
            }
        }
    }

    #[track_caller]
    pub(crate) fn await_gone(&self, name: &str) {
        self.await_name(name, |shown| shown.is_none());
    }

    /// Waits until it is linked to exactly these nodes.
    #[track_caller]
    pub(crate) fn await_peers(&self, wanted: &BTreeSet<String>) {
        let watcher = self.spawn();
        watcher.monitor_nodes();
        while self.peers() != *wanted {
            let change = watcher.next(LONG);
            assert!(change.is_some(), "{} is linked to {:?}, not {wanted:?}", self.name, self.peers());
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // SAFETY: see `try_open`; freed here only. A thread that is left must not outlive the test that made it.
        unsafe {
            convoke_node_close(self.handle, LONG);
            convoke_node_free(self.handle);
        }
    }
}

/// A list of results; freed when dropped.
pub(crate) struct Rows(pub(crate) *mut convoke_list);

impl Rows {
    pub(crate) fn len(&self) -> usize {
        // SAFETY: the list lives as long as `self`, here and below.
        unsafe { convoke_list_len(self.0) }
    }

    pub(crate) fn pid(&self, index: usize) -> convoke_pid {
        let mut pid = NOBODY;
        // SAFETY: see above.
        ok(unsafe { convoke_list_pid(self.0, index, &mut pid) });
        pid
    }

    pub(crate) fn pids(&self) -> Vec<convoke_pid> {
        (0..self.len()).map(|index| self.pid(index)).collect()
    }

    pub(crate) fn number(&self, index: usize, field: Field) -> u64 {
        let mut value = 0;
        // SAFETY: see above.
        ok(unsafe { convoke_list_u64(self.0, index, field.number(), &mut value) });
        value
    }

    pub(crate) fn bytes(&self, index: usize, field: Field) -> Vec<u8> {
        let (mut data, mut len) = (std::ptr::null(), 0);
        // SAFETY: see above; the bytes are lent as long as the list lives.
        unsafe {
            ok(convoke_list_bytes(self.0, index, field.number(), &mut data, &mut len));
            std::slice::from_raw_parts(data.cast::<u8>(), len).to_vec()
        }
    }

    pub(crate) fn names(&self) -> BTreeSet<String> {
        let name = |index| String::from_utf8_lossy(&self.bytes(index, Field::Name)).into_owned();
        (0..self.len()).map(name).collect()
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        // SAFETY: owned, and freed here only.
        unsafe { convoke_list_free(self.0) };
    }
}
