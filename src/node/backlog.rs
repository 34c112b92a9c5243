//! The events that wait in one queue: first in, first out, with what coalesces while it is unread. No locks, no fd.

use super::event::Body;
use super::process_core::ProcessCore;
use crate::model::{Event as EngineEvent, NodeId, Payload, Pid, Ref};
use crate::sync::atomic::Ordering;
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
    /// The one event that stands for all nodes that came and went.
    Passed(u64, Ref),
    Member(u64, Ref, Pid),
    Wanted(u64, Ref),
    Sendable(u64, Pid),
}

/// A place in the queue.
#[derive(Debug)]
struct Slot {
    /// None: a gap.
    entry: Option<Entry>,
    /// Of a message: where the message before it lies that waits for the same process, as in
    /// [`ProcessCore::last_message`].
    before: u64,
}

/// Entries keep their number while they wait; one that is taken out of the middle leaves a gap. The messages for one process are
/// a chain from the last one backwards, so that a process that ends is not looked for among those of all others.
#[derive(Default, Debug)]
pub(super) struct Backlog {
    slots: VecDeque<Slot>,
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
    /// - a node that went down before anybody read that it came up is told of by its going alone, and of several such for one
    ///   monitor only the last, with the number of all: so nodes that come and go leave a trace, and a bounded one;
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

    fn push_body(&mut self, process: Arc<ProcessCore>, mut body: Box<Body>) {
        let serial = process.pid().serial;
        if let Some(key) = key_of(serial, &body) {
            if let Some(&at) = self.unread.get(&key) {
                return self.merge(key, at, *body);
            }
        } else if let Body::Engine(EngineEvent::NodeDown { reference, node, changes, .. }) = &mut *body
            && let Some(up) = self.unread.remove(&Key::NodeUp(serial, *reference, *node))
        {
            self.remove(up);
            *changes += 1;
            // Where it lies is asked for now: a removal may move what waits.
            if let Some(passed) = self.unread.remove(&Key::Passed(serial, *reference))
                && let Some(Body::Engine(EngineEvent::NodeDown { changes: earlier, .. })) =
                    self.remove(passed).as_deref()
            {
                *changes += earlier;
            }
        }
        if let Some(key) = key_of(serial, &body) {
            self.unread.insert(key, self.first + self.slots.len() as u64);
        }
        self.append(Entry { process: Some(process), content: Content::System(body) });
    }

    fn append(&mut self, entry: Entry) {
        self.logs += usize::from(entry.is_log());
        let number = self.first + self.slots.len() as u64;
        let before =
            entry.receiver().map_or(0, |process| process.last_message.swap(number + 1, Ordering::Relaxed));
        self.slots.push_back(Slot { entry: Some(entry), before });
        self.live += 1;
    }

    pub(super) fn front(&self) -> Option<&Entry> {
        // The first slot is never a gap.
        self.slots.front()?.entry.as_ref()
    }

    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = self.slots.pop_front()?.entry?;
        self.first += 1;
        self.live -= 1;
        self.logs -= usize::from(entry.is_log());
        self.trim();
        if let Some(key) = entry.key() {
            self.unread.remove(&key);
        }
        Some(entry)
    }

    /// Takes out the messages that wait for a process; its other events stay. It takes as long as there are such messages,
    /// however much else waits.
    pub(super) fn remove_messages(&mut self, process: &ProcessCore) -> Vec<Entry> {
        let mut removed = Vec::new();
        let mut link = process.last_message.swap(0, Ordering::Relaxed);
        // The chain ends with one that was read long ago.
        while let Some(at) = link.checked_sub(1).and_then(|number| number.checked_sub(self.first))
            && let Some(slot) = self.slots.get_mut(at as usize)
        {
            link = slot.before;
            removed.extend(slot.entry.take());
        }
        removed.reverse();
        self.live -= removed.len();
        self.tidy();
        removed
    }

    pub(super) fn take_all(&mut self) -> Vec<Entry> {
        let all = std::mem::take(self);
        self.first = all.first + all.slots.len() as u64;
        all.slots.into_iter().filter_map(|slot| slot.entry).collect()
    }

    /// Puts what is new together with what waits at this place.
    fn merge(&mut self, key: Key, at: u64, newer: Body) {
        let Some(slot) = self.slots.get_mut((at - self.first) as usize) else { return };
        let Some(Entry { process, content: Content::System(waiting) }) = slot.entry.take() else { return };
        match coalesce(*waiting, newer) {
            Some(body) => slot.entry = Some(Entry { process, content: Content::System(Box::new(body)) }),
            None => {
                self.unread.remove(&key);
                self.live -= 1;
                self.tidy();
            }
        }
    }

    /// Takes out what is no message.
    fn remove(&mut self, at: u64) -> Option<Box<Body>> {
        let slot = self.slots.get_mut((at - self.first) as usize)?;
        let Some(Entry { content: Content::System(body), .. }) = slot.entry.take() else { return None };
        self.live -= 1;
        self.tidy();
        Some(body)
    }

    /// No gap stays in front.
    fn trim(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.entry.is_none()) {
            self.slots.pop_front();
            self.first += 1;
        }
    }

    /// Gaps never outnumber what waits by much, or a queue whose head is never read could grow without bound. What that
    /// costs was paid for by as many removals.
    fn tidy(&mut self) {
        self.trim();
        if self.slots.len() > 2 * self.live + 64 {
            self.slots.retain(|slot| slot.entry.is_some());
            self.renumber();
        }
    }

    /// The slots have moved up.
    fn renumber(&mut self) {
        self.unread.clear();
        let receivers = self.slots.iter().filter_map(|slot| slot.entry.as_ref()?.receiver());
        receivers.for_each(|process| process.last_message.store(0, Ordering::Relaxed));
        for (number, slot) in (self.first..).zip(&mut self.slots) {
            let Some(entry) = &slot.entry else { continue };
            if let Some(process) = entry.receiver() {
                slot.before = process.last_message.swap(number + 1, Ordering::Relaxed);
            }
            if let Some(key) = entry.key() {
                self.unread.insert(key, number);
            }
        }
    }
}

impl Entry {
    fn is_log(&self) -> bool {
        matches!(&self.content, Content::System(body) if matches!(**body, Body::Log { .. }))
    }

    /// The process that it is a message for.
    fn receiver(&self) -> Option<&ProcessCore> {
        self.process.as_deref().filter(|_| matches!(self.content, Content::Message { .. }))
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
        Body::Engine(EngineEvent::NameChanged { reference, .. }) => Some(Key::Name(serial, *reference)),
        Body::Engine(EngineEvent::NodeUp { reference, node, .. }) => {
            Some(Key::NodeUp(serial, *reference, *node))
        }
        Body::Engine(EngineEvent::NodeDown { reference, changes: 2.., .. }) => {
            Some(Key::Passed(serial, *reference))
        }
        Body::Sendable { receiver } => Some(Key::Sendable(serial, *receiver)),
        Body::Engine(
            EngineEvent::GroupJoined { reference, pid, .. } | EngineEvent::GroupLeft { reference, pid, .. },
        ) => Some(Key::Member(serial, *reference, *pid)),
        Body::Engine(EngineEvent::LockWanted { reference, .. }) => Some(Key::Wanted(serial, *reference)),
        _ => None,
    }
}

/// What two events with one key come to; `None`: nothing has changed since the reader was told last.
fn coalesce(waiting: Body, newer: Body) -> Option<Body> {
    match (waiting, newer) {
        (
            Body::Engine(EngineEvent::NameChanged { reference, name, old, changes, .. }),
            Body::Engine(EngineEvent::NameChanged { new, changes: more, .. }),
        ) => Some(Body::Engine(EngineEvent::NameChanged {
            reference,
            name,
            old,
            new,
            changes: changes + more,
        })),
        (
            Body::Engine(
                EngineEvent::GroupJoined { reference, group, pid, old, .. }
                | EngineEvent::GroupLeft { reference, group, pid, old, .. },
            ),
            Body::Engine(EngineEvent::GroupJoined { count, .. } | EngineEvent::GroupLeft { count, .. }),
        ) if count > old => {
            Some(Body::Engine(EngineEvent::GroupJoined { reference, group, pid, old, count }))
        }
        (
            Body::Engine(
                EngineEvent::GroupJoined { reference, group, pid, old, .. }
                | EngineEvent::GroupLeft { reference, group, pid, old, .. },
            ),
            Body::Engine(EngineEvent::GroupLeft { count, reason, .. }),
        )
        | (
            Body::Engine(EngineEvent::GroupLeft { reference, group, pid, old, reason, .. }),
            Body::Engine(EngineEvent::GroupJoined { count, .. }),
        ) if count < old => {
            Some(Body::Engine(EngineEvent::GroupLeft { reference, group, pid, old, count, reason }))
        }
        (
            Body::Engine(EngineEvent::GroupJoined { .. } | EngineEvent::GroupLeft { .. }),
            Body::Engine(EngineEvent::GroupJoined { .. } | EngineEvent::GroupLeft { .. }),
        ) => None,
        (Body::Engine(EngineEvent::LockWanted { .. }), newer) => Some(newer),
        (waiting, _) => Some(waiting),
    }
}
