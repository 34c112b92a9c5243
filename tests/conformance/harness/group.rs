//! Groups.

use super::node::Rows;
use super::{Cluster, Event, EventKind, Field, LONG, Node, Process, Reason, Status, convoke_pid, ok, status};
use convoke::ffi::{
    convoke_group_closest, convoke_group_create, convoke_group_delete, convoke_group_join,
    convoke_group_leave, convoke_group_list, convoke_group_local_members, convoke_group_members,
    convoke_group_monitor, convoke_group_send,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::c_void;
use std::ptr::null_mut;

fn bytes(text: &str) -> (*const c_void, usize) {
    (text.as_ptr().cast(), text.len())
}

pub(crate) type Members = Vec<convoke_pid>;

/// For comparing: no order is promised.
pub(crate) fn sorted(mut pids: Members) -> Members {
    pids.sort_by_key(|pid| (pid.node, pid.serial));
    pids
}

/// A change of a group that is watched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    Joined(convoke_pid, u64),
    Left(convoke_pid, u64, Reason),
}

impl Process {
    #[track_caller]
    pub(crate) fn create(&self, group: &str) {
        let (name, len) = bytes(group);
        // SAFETY: live handles and valid pointers, here and below.
        ok(unsafe { convoke_group_create(self.handle(), name, len, LONG, null_mut()) });
    }

    pub(crate) fn begin_create(&self, group: &str) -> u64 {
        let ((name, len), mut op) = (bytes(group), 0);
        // SAFETY: see above.
        ok(unsafe { convoke_group_create(self.handle(), name, len, LONG, &mut op) });
        op
    }

    #[track_caller]
    pub(crate) fn delete(&self, group: &str) {
        let (name, len) = bytes(group);
        // SAFETY: see above.
        ok(unsafe { convoke_group_delete(self.handle(), name, len, LONG, null_mut()) });
    }

    pub(crate) fn try_join(&self, group: &str, pid: &convoke_pid) -> Status {
        let (name, len) = bytes(group);
        // SAFETY: see above.
        status(unsafe { convoke_group_join(self.handle(), name, len, pid, LONG, null_mut()) })
    }

    #[track_caller]
    pub(crate) fn join(&self, group: &str, pid: &convoke_pid) {
        assert_eq!(self.try_join(group, pid), Status::Ok);
    }

    pub(crate) fn begin_join(&self, group: &str) -> u64 {
        let ((name, len), mut op) = (bytes(group), 0);
        // SAFETY: see above.
        ok(unsafe { convoke_group_join(self.handle(), name, len, &self.pid, LONG, &mut op) });
        op
    }

    pub(crate) fn try_leave(&self, group: &str, pid: &convoke_pid) -> Status {
        let (name, len) = bytes(group);
        // SAFETY: see above.
        status(unsafe { convoke_group_leave(self.handle(), name, len, pid, LONG, null_mut()) })
    }

    pub(crate) fn begin_leave(&self, group: &str) -> u64 {
        let ((name, len), mut op) = (bytes(group), 0);
        // SAFETY: see above.
        ok(unsafe { convoke_group_leave(self.handle(), name, len, &self.pid, LONG, &mut op) });
        op
    }

    #[track_caller]
    pub(crate) fn leave(&self, group: &str, pid: &convoke_pid) {
        assert_eq!(self.try_leave(group, pid), Status::Ok);
    }

    /// How many members have taken it.
    pub(crate) fn send_group(&self, group: &str, text: &str) -> Result<u32, Status> {
        let ((name, len), (data, data_len), mut count) = (bytes(group), bytes(text), 0);
        // SAFETY: see above.
        match status(unsafe { convoke_group_send(self.handle(), name, len, data, data_len, &mut count) }) {
            Status::Ok => Ok(count),
            status => Err(status),
        }
    }

    /// Hears of every change from now on; the members at present, and how often each.
    #[track_caller]
    pub(crate) fn watch_group(&self, group: &str) -> (u64, Vec<(convoke_pid, u64)>) {
        let ((name, len), mut reference) = (bytes(group), 0);
        // SAFETY: see above.
        ok(unsafe { convoke_group_monitor(self.handle(), name, len, &mut reference) });
        let mut members = Vec::new();
        loop {
            let event = self.find("event of the group", |event| event.reference() == reference);
            match event.kind() {
                EventKind::SnapshotEnd => return (reference, members),
                _ => match change(&event) {
                    Change::Joined(pid, count) => members.push((pid, count)),
                    left => panic!("in a snapshot: {left:?}"),
                },
            }
        }
    }

    /// The next change of a group that is watched.
    #[track_caller]
    pub(crate) fn next_change(&self, watch: u64) -> Change {
        change(&self.find("change of the group", |event| event.reference() == watch))
    }
}

fn change(event: &Event) -> Change {
    let (pid, count) = (event.pid(Field::Peer), event.number(Field::Count));
    match event.kind() {
        EventKind::GroupJoined => Change::Joined(pid, count),
        EventKind::GroupLeft => Change::Left(pid, count, event.reason()),
        other => panic!("{other:?}"),
    }
}

impl Node {
    pub(crate) fn members(&self, group: &str) -> Result<Members, Status> {
        let ((name, len), mut list) = (bytes(group), null_mut());
        // SAFETY: see above.
        match status(unsafe { convoke_group_members(self.handle, name, len, &mut list) }) {
            Status::Ok => Ok(sorted(Rows(list).pids())),
            status => Err(status),
        }
    }

    pub(crate) fn local_members(&self, group: &str) -> Result<Members, Status> {
        let ((name, len), mut list) = (bytes(group), null_mut());
        // SAFETY: see above.
        match status(unsafe { convoke_group_local_members(self.handle, name, len, &mut list) }) {
            Status::Ok => Ok(sorted(Rows(list).pids())),
            status => Err(status),
        }
    }

    pub(crate) fn closest(&self, group: &str) -> Result<convoke_pid, Status> {
        let ((name, len), mut pid) = (bytes(group), super::NOBODY);
        // SAFETY: see above.
        match status(unsafe { convoke_group_closest(self.handle, name, len, &mut pid) }) {
            Status::Ok => Ok(pid),
            status => Err(status),
        }
    }

    pub(crate) fn groups(&self) -> BTreeSet<String> {
        let mut list = null_mut();
        // SAFETY: see above.
        ok(unsafe { convoke_group_list(self.handle, &mut list) });
        Rows(list).names()
    }

    /// Waits until the group has these members here.
    #[track_caller]
    pub(crate) fn await_members(&self, group: &str, wanted: &[convoke_pid]) {
        let wanted = sorted(wanted.to_vec());
        let watcher = self.spawn();
        watcher.watch_group(group);
        while self.members(group).unwrap_or_default() != wanted {
            let change = watcher.next(LONG);
            assert!(change.is_some(), "{} has {:?}, not {wanted:?}", self.name, self.members(group));
        }
    }
}

impl Cluster {
    /// What holds at rest: all nodes have the same groups and members; the local lists together are the members; who is
    /// closest is local if anybody is. This is also what all of them show.
    #[track_caller]
    pub(crate) fn groups(&self) -> BTreeMap<String, Members> {
        let groups = self[0].groups();
        let shown: BTreeMap<String, Members> = groups
            .iter()
            .map(|group| (group.clone(), self[0].members(group).expect("it is listed")))
            .collect();
        for node in &self.nodes {
            assert_eq!(node.groups(), groups, "{}", node.name);
            for (group, members) in &shown {
                assert_eq!(node.members(group).as_ref(), Ok(members), "{group} at {}", node.name);
                let local = node.local_members(group).expect("it is listed");
                match node.closest(group) {
                    Ok(closest) if local.is_empty() => assert!(members.contains(&closest)),
                    Ok(closest) => assert!(local.contains(&closest)),
                    Err(status) => assert!(status == Status::NoProcess && members.is_empty()),
                }
            }
        }
        for (group, members) in &shown {
            let locals = self.nodes.iter().flat_map(|node| node.local_members(group).unwrap_or_default());
            assert_eq!(sorted(locals.collect()), *members, "{group}");
        }
        shown
    }

    #[track_caller]
    pub(crate) fn await_members(&self, group: &str, wanted: &[convoke_pid]) {
        for node in &self.nodes {
            node.await_members(group, wanted);
        }
    }
}
