//! A process with a mailbox of its own.

use super::{Event, EventKind, Field, LONG, Node, Status, expect, ok, status};
use convoke::ffi::{
    convoke_cancel, convoke_name_monitor, convoke_name_register, convoke_name_reregister,
    convoke_name_unregister, convoke_node_connect, convoke_node_disconnect, convoke_node_monitor,
    convoke_node_sync, convoke_pid, convoke_process, convoke_process_exit, convoke_process_free,
    convoke_process_is_alive, convoke_process_kill, convoke_process_monitor, convoke_process_pid,
    convoke_process_recv, convoke_process_spawn, convoke_send, convoke_send_name,
};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::{CString, c_void};
use std::ptr::{null, null_mut};
use std::time::{Duration, Instant};

pub(crate) struct Process {
    handle: *mut convoke_process,
    pub(crate) pid: convoke_pid,
    /// Events that were passed over, in order.
    unread: RefCell<VecDeque<Event>>,
}

// SAFETY: processes may be used by any thread; `unread` goes with the one that owns the process.
unsafe impl Send for Process {}

fn bytes(text: &str) -> (*const c_void, usize) {
    (text.as_ptr().cast(), text.len())
}

impl Process {
    pub(crate) fn spawn(node: &Node) -> Self {
        let (mut handle, mut pid) = (null_mut(), super::NOBODY);
        // SAFETY: live handles and valid pointers, here and below.
        unsafe {
            ok(convoke_process_spawn(node.handle, null_mut(), &mut handle));
            ok(convoke_process_pid(handle, &mut pid));
        }
        Self { handle, pid, unread: RefCell::default() }
    }

    pub(crate) fn handle(&self) -> *mut convoke_process {
        self.handle
    }

    // ---- its end

    pub(crate) fn exit(&self) {
        // SAFETY: see `spawn`.
        ok(unsafe { convoke_process_exit(self.handle, 1, null(), 0) });
    }

    pub(crate) fn kill(&self, target: &convoke_pid) {
        // SAFETY: see `spawn`.
        ok(unsafe { convoke_process_kill(self.handle, target, 3) });
    }

    pub(crate) fn is_alive(&self, pid: &convoke_pid) -> bool {
        let mut alive = false;
        // SAFETY: see `spawn`.
        match status(unsafe { convoke_process_is_alive(self.handle, pid, LONG, &mut alive, null_mut()) }) {
            Status::Ok => alive,
            Status::Unreachable => false,
            other => panic!("{other:?}"),
        }
    }

    // ---- events

    /// The next event within `ms`, whatever it is.
    pub(crate) fn next(&self, ms: i64) -> Option<Event> {
        self.unread.borrow_mut().pop_front().or_else(|| self.receive(ms))
    }

    fn receive(&self, ms: i64) -> Option<Event> {
        let mut event = null_mut();
        // SAFETY: see `spawn`.
        match status(unsafe { convoke_process_recv(self.handle, ms, &mut event) }) {
            Status::Ok => Some(Event::own(event)),
            Status::Timeout => None,
            other => panic!("no event comes any more: {other:?}"),
        }
    }

    /// The next event that is looked for; others are kept for later.
    #[track_caller]
    pub(crate) fn find(&self, what: &str, is_it: impl Fn(&Event) -> bool) -> Event {
        let at = self.unread.borrow().iter().position(&is_it);
        if let Some(event) = at.and_then(|at| self.unread.borrow_mut().remove(at)) {
            return event;
        }
        let end = Instant::now() + Duration::from_millis(LONG as u64);
        loop {
            let left = end.saturating_duration_since(Instant::now()).as_millis() as i64;
            let event = self.receive(left).unwrap_or_else(|| panic!("no {what} came"));
            if is_it(&event) {
                return event;
            }
            self.unread.borrow_mut().push_back(event);
        }
    }

    #[track_caller]
    pub(crate) fn expect(&self, kind: EventKind) -> Event {
        self.find(kind.c_name(), |event| event.kind() == kind)
    }

    /// Which of these processes is the first to have an event of this kind.
    #[track_caller]
    pub(crate) fn first_of(processes: &[&Self], kind: EventKind) -> usize {
        let end = Instant::now() + Duration::from_millis(LONG as u64);
        while Instant::now() < end {
            for (index, process) in processes.iter().enumerate() {
                // Each has a mailbox of its own; they are waited for in turn.
                process.unread.borrow_mut().extend(process.receive(10));
                if process.unread.borrow().iter().any(|event| event.kind() == kind) {
                    return index;
                }
            }
        }
        panic!("no {} came", kind.c_name());
    }

    /// How many events of this kind wait. To be asked when whatever could cause one has been waited for.
    pub(crate) fn waiting(&self, kind: EventKind) -> usize {
        while let Some(event) = self.receive(0) {
            self.unread.borrow_mut().push_back(event);
        }
        self.unread.borrow().iter().filter(|event| event.kind() == kind).count()
    }

    /// The DONE event of an operation.
    #[track_caller]
    pub(crate) fn done(&self, op: u64) -> Status {
        let is_it = |event: &Event| event.kind() == EventKind::Done && event.reference() == op;
        self.find("CONVOKE_EVENT_DONE", is_it).result()
    }

    /// The operation did what it says.
    #[track_caller]
    pub(crate) fn done_ok(&self, op: u64) {
        let is_it = |event: &Event| event.kind() == EventKind::Done && event.reference() == op;
        let event = self.find("CONVOKE_EVENT_DONE", is_it);
        assert_eq!(event.result(), Status::Ok, "{}", event.text(Field::Detail));
    }

    /// One EXIT event with this reference follows.
    pub(crate) fn monitor(&self, target: &convoke_pid) -> u64 {
        let mut reference = 0;
        // SAFETY: see `spawn`.
        ok(unsafe { convoke_process_monitor(self.handle, target, &mut reference) });
        reference
    }

    #[track_caller]
    pub(crate) fn exit_of(&self, monitor: u64) -> Event {
        let is_it = |event: &Event| event.kind() == EventKind::Exit && event.reference() == monitor;
        self.find("CONVOKE_EVENT_EXIT", is_it)
    }

    pub(crate) fn cancel(&self, reference: u64) {
        // SAFETY: see `spawn`.
        ok(unsafe { convoke_cancel(self.handle, reference) });
    }

    // ---- names

    pub(crate) fn try_register(
        &self,
        name: &str,
        pid: &convoke_pid,
        resolver: Option<&str>,
        ms: i64,
    ) -> Status {
        let resolver = resolver.map(|text| CString::new(text).unwrap());
        let resolver = resolver.as_ref().map_or(null(), |text| text.as_ptr());
        let (data, len) = bytes(name);
        // SAFETY: see `spawn`.
        status(unsafe { convoke_name_register(self.handle, data, len, pid, resolver, ms, null_mut()) })
    }

    /// For itself, with the default resolver.
    #[track_caller]
    pub(crate) fn register(&self, name: &str) {
        self.register_with(name, None);
    }

    #[track_caller]
    pub(crate) fn register_with(&self, name: &str, resolver: Option<&str>) {
        assert_eq!(self.try_register(name, &self.pid, resolver, LONG), Status::Ok);
    }

    /// Begins a registration for itself; its DONE event tells how it ended.
    pub(crate) fn begin_register(&self, name: &str, ms: i64) -> u64 {
        let ((data, len), mut op) = (bytes(name), 0);
        // SAFETY: see `spawn`.
        ok(unsafe { convoke_name_register(self.handle, data, len, null(), null(), ms, &mut op) });
        op
    }

    #[track_caller]
    pub(crate) fn reregister(&self, name: &str, pid: &convoke_pid) {
        let (data, len) = bytes(name);
        // SAFETY: see `spawn`.
        ok(unsafe { convoke_name_reregister(self.handle, data, len, pid, null(), LONG, null_mut()) });
    }

    #[track_caller]
    pub(crate) fn unregister(&self, name: &str) {
        let (data, len) = bytes(name);
        // SAFETY: see `spawn`.
        ok(unsafe { convoke_name_unregister(self.handle, data, len, LONG, null_mut()) });
    }

    pub(crate) fn monitor_name(&self, name: &str) -> u64 {
        let ((data, len), mut reference) = (bytes(name), 0);
        // SAFETY: see `spawn`.
        ok(unsafe { convoke_name_monitor(self.handle, data, len, &mut reference) });
        reference
    }

    // ---- messages

    /// Tries again when there is room, if there is none.
    #[track_caller]
    pub(crate) fn send(&self, to: &convoke_pid, text: &str) {
        let (data, len) = bytes(text);
        // SAFETY: see `spawn`.
        while let status = status(unsafe { convoke_send(self.handle, to, data, len) })
            && status != Status::Ok
        {
            assert_eq!(status, Status::Full);
            self.expect(EventKind::Sendable);
        }
    }

    /// To whoever has the name; who that was.
    pub(crate) fn send_name(&self, name: &str, text: &str) -> Result<convoke_pid, Status> {
        let ((data, len), (text, text_len), mut to) = (bytes(name), bytes(text), super::NOBODY);
        // SAFETY: see `spawn`.
        match status(unsafe { convoke_send_name(self.handle, data, len, text, text_len, &mut to) }) {
            Status::Ok => Ok(to),
            status => Err(status),
        }
    }

    // ---- nodes

    pub(crate) fn try_connect(&self, address: &str, ms: i64) -> Status {
        let address = CString::new(address).unwrap();
        // SAFETY: see `spawn`.
        status(unsafe { convoke_node_connect(self.handle, address.as_ptr(), ms, null_mut()) })
    }

    pub(crate) fn begin_connect(&self, address: &str) -> u64 {
        let (address, mut op) = (CString::new(address).unwrap(), 0);
        // SAFETY: see `spawn`.
        ok(unsafe { convoke_node_connect(self.handle, address.as_ptr(), LONG, &mut op) });
        op
    }

    #[track_caller]
    pub(crate) fn disconnect(&self, node: &str) {
        let node = CString::new(node).unwrap();
        // SAFETY: see `spawn`.
        ok(unsafe { convoke_node_disconnect(self.handle, node.as_ptr(), LONG, null_mut()) });
    }

    #[track_caller]
    pub(crate) fn sync(&self) {
        // SAFETY: see `spawn`.
        expect(Status::Ok, unsafe { convoke_node_sync(self.handle, LONG, null_mut()) });
    }

    /// Hears of every change of the node's links from now on: the present ones are read and passed over, since what is
    /// not read is told together with what follows.
    #[track_caller]
    pub(crate) fn monitor_nodes(&self) {
        let mut reference = 0;
        // SAFETY: see `spawn`.
        ok(unsafe { convoke_node_monitor(self.handle, &mut reference) });
        self.find("SNAPSHOT_END", |event| {
            event.kind() == EventKind::SnapshotEnd && event.reference() == reference
        });
        self.unread.borrow_mut().retain(|event| event.reference() != reference);
    }

    /// Hears of every change of the name from now on; who has it at present.
    #[track_caller]
    pub(crate) fn watch(&self, name: &str) -> Option<convoke_pid> {
        let reference = self.monitor_name(name);
        let is_it = |event: &Event| event.kind() == EventKind::NameChanged && event.reference() == reference;
        self.find("NAME_CHANGED", is_it).peer()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.unread.borrow_mut().clear();
        // SAFETY: see `spawn`; freed here only.
        unsafe { convoke_process_free(self.handle) };
    }
}
