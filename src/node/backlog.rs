//! The events that wait in one queue: first in, first out, with what coalesces while it is unread. No locks, no fd.

use super::event::Body;
use super::process_core::ProcessCore;
use crate::engine::{NodeId, Payload, Pid, Ref};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// One waiting event. `process`: whom it is for; `None`: the queue as a whole.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) process: Option<Arc<ProcessCore>>,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Message { from: Pid, payload: Payload, charge: Charge },
    System(Box<Body>),
}

/// Whose room a waiting message takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Charge {
    /// Of the receiver's account for messages of its own node, and of that node's.
    Local,
    /// Of the window of the sender's node, over this link.
    Remote { link: u64 },
}

/// What a later event replaces or undoes, while it is unread. With the serial of the process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Key {
    Name(u64, Ref),
    NodeUp(u64, Ref, NodeId),
    Member(u64, Ref, Pid),
    Wanted(u64, Ref),
    Sendable(u64, Pid),
}

/// Entries keep their number while they wait; one that is taken out of the middle leaves a gap.
#[derive(Default, Debug)]
pub(super) struct Backlog {
    slots: VecDeque<Option<Entry>>,
    /// The number of the first slot.
    first: u64,
    live: usize,
    /// LOG events among them.
    logs: usize,
    unread: BTreeMap<Key, u64>,
}

impl Backlog {
    pub(super) fn len(&self) -> usize {
        self.live
    }

    #[cfg(test)]
    pub(super) fn slots_held(&self) -> usize {
        self.slots.len()
    }

    /// LOG events that wait.
    pub(super) fn logs(&self) -> usize {
        self.logs
    }

    pub(super) fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Appends, or merges with what waits unread:
    /// - of changes of one name for one monitor only the newest is kept, in the place of the oldest and with its `old`;
    /// - a node that went down before anybody read that it came up is not mentioned at all;
    /// - of joinings and leavings of one member for one monitor only what they come to is kept, in the place of the
    ///   oldest; nothing, if that is what was read before. So what is unread of a group is bounded by its members, and
    ///   those that were told of;
    /// - of one watch over a lock only the newest who waits;
    /// - one SENDABLE per receiver is enough.
    pub(super) fn push(&mut self, entry: Entry) {
        match entry {
            Entry { process: Some(process), content: Content::System(body) } => self.push_body(process, body),
            _ => self.append(entry),
        }
    }

    fn push_body(&mut self, process: Arc<ProcessCore>, body: Box<Body>) {
        let number = self.first + self.slots.len() as u64;
        let serial = process.pid().serial;
        if let Some(key) = key_of(serial, &body) {
            if let Some(&at) = self.unread.get(&key) {
                return self.merge(key, at, *body);
            }
            self.unread.insert(key, number);
        } else if let Body::NodeDown { reference, node, .. } = &*body
            && let Some(up) = self.unread.remove(&Key::NodeUp(serial, *reference, *node))
        {
            return self.remove(up);
        }
        self.append(Entry { process: Some(process), content: Content::System(body) });
    }

    fn append(&mut self, entry: Entry) {
        self.logs += usize::from(entry.is_log());
        self.slots.push_back(Some(entry));
        self.live += 1;
    }

    pub(super) fn front(&self) -> Option<&Entry> {
        // The first slot is never a gap.
        self.slots.front()?.as_ref()
    }

    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = self.slots.pop_front()??;
        self.first += 1;
        self.live -= 1;
        self.logs -= usize::from(entry.is_log());
        self.trim();
        if let Some(key) = entry.key() {
            self.unread.remove(&key);
        }
        Some(entry)
    }

    /// Takes out the messages that wait for a process; its other events stay.
    pub(super) fn remove_messages(&mut self, serial: u64) -> Vec<Entry> {
        let is_theirs = |slot: &Option<Entry>| {
            slot.as_ref().is_some_and(|entry| {
                matches!(entry.content, Content::Message { .. })
                    && entry.process.as_ref().is_some_and(|p| p.pid().serial == serial)
            })
        };
        let removed: Vec<Entry> =
            self.slots.iter_mut().filter(|slot| is_theirs(slot)).filter_map(Option::take).collect();
        self.live -= removed.len();
        self.tidy();
        removed
    }

    pub(super) fn take_all(&mut self) -> Vec<Entry> {
        let all = std::mem::take(self);
        self.first = all.first + all.slots.len() as u64;
        all.slots.into_iter().flatten().collect()
    }

    /// Puts what is new together with what waits at this place.
    fn merge(&mut self, key: Key, at: u64, newer: Body) {
        let Some(slot) = self.slots.get_mut((at - self.first) as usize) else { return };
        let Some(Entry { process, content: Content::System(waiting) }) = slot.take() else { return };
        match together(*waiting, newer) {
            Some(body) => *slot = Some(Entry { process, content: Content::System(Box::new(body)) }),
            None => {
                self.unread.remove(&key);
                self.live -= 1;
                self.tidy();
            }
        }
    }

    fn remove(&mut self, at: u64) {
        if self.slots.get_mut((at - self.first) as usize).and_then(Option::take).is_some() {
            self.live -= 1;
            self.tidy();
        }
    }

    /// No gap stays in front.
    fn trim(&mut self) {
        while matches!(self.slots.front(), Some(None)) {
            self.slots.pop_front();
            self.first += 1;
        }
    }

    /// Gaps never outnumber what waits by much, or a queue whose head is never read could grow without bound.
    fn tidy(&mut self) {
        self.trim();
        if self.slots.len() > 2 * self.live + 64 {
            self.slots.retain(Option::is_some);
            let numbered = (self.first..).zip(&self.slots);
            self.unread = numbered.filter_map(|(n, slot)| Some((slot.as_ref()?.key()?, n))).collect();
        }
    }
}

impl Entry {
    fn is_log(&self) -> bool {
        matches!(&self.content, Content::System(body) if matches!(**body, Body::Log { .. }))
    }
    fn key(&self) -> Option<Key> {
        match (&self.content, &self.process) {
            (Content::System(body), Some(process)) => key_of(process.pid().serial, body),
            _ => None,
        }
    }
}

fn key_of(serial: u64, body: &Body) -> Option<Key> {
    match body {
        Body::NameChanged { reference, .. } => Some(Key::Name(serial, *reference)),
        Body::NodeUp { reference, node, .. } => Some(Key::NodeUp(serial, *reference, *node)),
        Body::Sendable { receiver } => Some(Key::Sendable(serial, *receiver)),
        Body::GroupJoined { reference, pid, .. } | Body::GroupLeft { reference, pid, .. } => {
            Some(Key::Member(serial, *reference, *pid))
        }
        Body::LockWanted { reference, .. } => Some(Key::Wanted(serial, *reference)),
        _ => None,
    }
}

/// What two events with one key come to; `None`: nothing has changed since the reader was told last.
fn together(waiting: Body, newer: Body) -> Option<Body> {
    match (waiting, newer) {
        (Body::NameChanged { reference, name, old, .. }, Body::NameChanged { new, .. }) => {
            Some(Body::NameChanged { reference, name, old, new })
        }
        (
            Body::GroupJoined { reference, group, pid, old, .. }
            | Body::GroupLeft { reference, group, pid, old, .. },
            Body::GroupJoined { count, .. } | Body::GroupLeft { count, .. },
        ) if count > old => Some(Body::GroupJoined { reference, group, pid, old, count }),
        (
            Body::GroupJoined { reference, group, pid, old, .. }
            | Body::GroupLeft { reference, group, pid, old, .. },
            Body::GroupLeft { count, reason, .. },
        )
        | (Body::GroupLeft { reference, group, pid, old, reason, .. }, Body::GroupJoined { count, .. })
            if count < old =>
        {
            Some(Body::GroupLeft { reference, group, pid, old, count, reason })
        }
        (
            Body::GroupJoined { .. } | Body::GroupLeft { .. },
            Body::GroupJoined { .. } | Body::GroupLeft { .. },
        ) => None,
        (Body::LockWanted { .. }, newer) => Some(newer),
        (waiting, _) => Some(waiting),
    }
}
