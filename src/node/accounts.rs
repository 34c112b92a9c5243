//! Room for messages that wait: of one receiver, of the node, and of the windows given to other nodes.
//!
//! Messages of other nodes are bounded by the credit that the engine grants; here it is only noted what of it the
//! application has taken. Messages between processes of this node have no credit: a sender is refused when the
//! receiver's account or the node's is full, and is told when half of it is free again.

use super::process_core::Life;
use crate::flow::{INITIAL_CREDIT, MAX_WINDOW, Window};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

/// Senders that were refused and are to be told of room. Those that have ended need not be told: they are let go of whenever there
/// are twice as many as lived the last time, so processes that come, are refused and go do not pile up.
#[derive(Debug)]
struct Refused<K> {
    who: BTreeMap<K, Life>,
    look_at: usize,
}

impl<K> Default for Refused<K> {
    fn default() -> Self {
        Self { who: BTreeMap::new(), look_at: 64 }
    }
}

impl<K: Ord> Refused<K> {
    fn note(&mut self, key: K, sender: &Life) {
        self.who.insert(key, sender.clone());
        if self.who.len() >= self.look_at {
            self.who.retain(|_, life| life.is_alive());
            self.look_at = 64.max(self.who.len() * 2);
        }
    }

    fn take(&mut self) -> BTreeSet<K> {
        std::mem::take(&mut self.who).into_keys().collect()
    }
}

/// Local messages that wait for one receiver. Guarded by the lock of the receiver's queue.
#[derive(Default, Debug)]
pub(super) struct LocalAccount {
    messages: u64,
    bytes: u64,
    refused: Refused<u64>,
}

impl LocalAccount {
    /// Takes room for one message, or notes the sender. A message of any size fits when nothing waits.
    pub(super) fn admit(&mut self, sender: u64, life: &Life, bytes: u64) -> bool {
        let fits = self.messages < MAX_WINDOW.messages && self.bytes + bytes <= MAX_WINDOW.bytes;
        if fits || self.messages == 0 {
            self.messages += 1;
            self.bytes += bytes;
            return true;
        }
        self.refused.note(sender, life);
        false
    }

    /// One message is gone. The senders to be told that there is room: once each.
    pub(super) fn release(&mut self, bytes: u64) -> BTreeSet<u64> {
        self.messages -= 1;
        self.bytes -= bytes;
        let half_free = self.messages <= MAX_WINDOW.messages / 2 && self.bytes <= MAX_WINDOW.bytes / 2;
        if half_free { self.refused.take() } else { BTreeSet::new() }
    }

    /// The receiver is gone: its senders are told, so that they try again and see it.
    pub(super) fn end(&mut self) -> BTreeSet<u64> {
        self.refused.take()
    }
}

/// Bytes of all local messages that wait on a node.
#[derive(Debug)]
pub(super) struct NodeAccount {
    cap: u64,
    used: AtomicU64,
    any_refused: AtomicBool,
    /// (sender, receiver), serials of this node.
    refused: Mutex<Refused<(u64, u64)>>,
}

impl NodeAccount {
    pub(super) fn new(cap: u64) -> Self {
        Self { cap, used: AtomicU64::new(0), any_refused: AtomicBool::new(false), refused: Mutex::default() }
    }

    /// Bytes that wait, and how many may.
    pub(super) fn figures(&self) -> (u64, u64) {
        (self.used.load(Ordering::Relaxed), self.cap)
    }

    pub(super) fn admit(&self, bytes: u64) -> bool {
        let take = |used: u64| (used == 0 || used + bytes <= self.cap).then_some(used + bytes);
        self.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
    }

    /// Notes a sender that was refused. Whom to tell at once, because room was made meanwhile.
    pub(super) fn refuse(&self, sender: u64, life: &Life, receiver: u64) -> BTreeSet<(u64, u64)> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).note((sender, receiver), life);
        self.any_refused.store(true, Ordering::SeqCst);
        self.to_tell(self.used.load(Ordering::SeqCst))
    }

    /// Gives room back. Whom to tell.
    pub(super) fn release(&self, bytes: u64) -> BTreeSet<(u64, u64)> {
        let used = self.used.fetch_sub(bytes, Ordering::SeqCst) - bytes;
        self.to_tell(used)
    }

    fn to_tell(&self, used: u64) -> BTreeSet<(u64, u64)> {
        // Either the one who refuses sees the room that was made, or the one who makes it sees the refusal.
        if used > self.cap / 2 || !self.any_refused.load(Ordering::SeqCst) {
            return BTreeSet::new();
        }
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        self.any_refused.store(false, Ordering::SeqCst);
        refused.take()
    }
}

/// What has been taken of a window and is to be told to the engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Taken {
    pub(super) window: Window,
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

/// Messages of other nodes in one queue, by window. Guarded by the queue's lock.
#[derive(Default, Debug)]
pub(super) struct Windows(BTreeMap<Window, WindowAccount>);

#[derive(Default, Debug)]
struct WindowAccount {
    waiting: u64,
    waiting_bytes: u64,
    taken: u64,
    taken_bytes: u64,
}

impl Windows {
    pub(super) fn arrived(&mut self, window: Window, bytes: u64) {
        let account = self.0.entry(window).or_default();
        account.waiting += 1;
        account.waiting_bytes += bytes;
    }

    /// A message was taken. The report that is due: when nothing of the window waits any more, and when an eighth of
    /// what is known to be granted (the first window, or all that was here at once) has been taken since the last. So
    /// a small window never stalls, and a deep queue costs few reports.
    pub(super) fn taken(&mut self, window: Window, bytes: u64) -> Option<Taken> {
        let account = self.0.get_mut(&window)?;
        account.waiting -= 1;
        account.waiting_bytes -= bytes;
        account.taken += 1;
        account.taken_bytes += bytes;
        let seen = account.waiting + account.taken;
        let seen_bytes = account.waiting_bytes + account.taken_bytes;
        let due = account.taken >= INITIAL_CREDIT.messages.max(seen) / 8
            || account.taken_bytes >= INITIAL_CREDIT.bytes.max(seen_bytes) / 8;
        if account.waiting == 0 {
            let account = self.0.remove(&window)?;
            return Some(Taken { window, messages: account.taken, bytes: account.taken_bytes });
        }
        due.then(|| Taken {
            window,
            messages: std::mem::take(&mut account.taken),
            bytes: std::mem::take(&mut account.taken_bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{DataHeader, Inbound, Outbox, Received, cost};
    use crate::model::{Limits, NodeId};
    use crate::wire::DataEncoder;
    use std::collections::VecDeque;

    #[test]
    fn a_refused_sender_is_told_once_when_half_is_free() {
        let mut account = LocalAccount::default();
        for _ in 0..MAX_WINDOW.messages {
            assert!(account.admit(1, &Life::new(), 1));
        }
        assert!(!account.admit(2, &Life::new(), 1));
        assert!(!account.admit(2, &Life::new(), 1));
        assert!(!account.admit(3, &Life::new(), 1));
        for _ in 0..MAX_WINDOW.messages / 2 - 1 {
            assert!(account.release(1).is_empty());
        }
        assert_eq!(account.release(1), BTreeSet::from([2, 3]));
        assert!(account.release(1).is_empty());
    }

    /// Processes that come, are refused and end leave nothing behind, however many; those that live are told.
    #[test]
    fn refused_senders_that_have_ended_do_not_pile_up() {
        let (mut account, node, alive) = (LocalAccount::default(), NodeAccount::new(1), Life::new());
        assert!(account.admit(0, &alive, MAX_WINDOW.bytes));
        assert!(node.admit(1));
        for sender in 1..10_000 {
            let life = if sender % 1000 == 0 { alive.clone() } else { Life::new() };
            assert!(!account.admit(sender, &life, 1));
            assert!(node.refuse(sender, &life, 1).is_empty());
            if sender % 1000 != 0 {
                life.end();
            }
        }
        let told = account.end();
        assert!(told.len() < 64, "{}", told.len());
        assert!((1..10).all(|n| told.contains(&(n * 1000))));
        let told = node.release(1);
        assert!(told.len() < 64 && (1..10).all(|n| told.contains(&(n * 1000, 1))), "{told:?}");
    }

    #[test]
    fn a_large_message_starts_on_an_untouched_account_only() {
        let mut account = LocalAccount::default();
        let large = MAX_WINDOW.bytes * 3;
        assert!(account.admit(1, &Life::new(), large));
        assert!(!account.admit(2, &Life::new(), 1));
        assert_eq!(account.release(large), BTreeSet::from([2]));
        assert!(account.admit(1, &Life::new(), 1));
        assert!(!account.admit(1, &Life::new(), large));
        assert_eq!(account.end(), BTreeSet::from([1]));
    }

    #[test]
    fn the_node_tells_refused_senders_at_half() {
        let account = NodeAccount::new(100);
        assert!(account.admit(60));
        assert!(!account.admit(50));
        assert!(account.refuse(1, &Life::new(), 9).is_empty());
        assert!(account.admit(40));
        assert!(account.release(40).is_empty());
        assert_eq!(account.release(60), BTreeSet::from([(1, 9)]));
        assert!(account.admit(1000), "anything fits an empty account");
        assert!(!account.admit(1));
        assert!(account.release(1000).is_empty());
        assert_eq!(
            account.refuse(2, &Life::new(), 9),
            BTreeSet::from([(2, 9)]),
            "room was made before the refusal was noted"
        );
    }

    #[test]
    fn taken_messages_are_reported_when_the_window_is_empty_and_in_eighths() {
        let window = Window { from: NodeId(1), link: 1, to: 2 };
        let mut windows = Windows::default();
        windows.arrived(window, cost(0));
        assert_eq!(windows.taken(window, cost(0)), Some(Taken { window, messages: 1, bytes: cost(0) }));

        let many = 10_000;
        for _ in 0..many {
            windows.arrived(window, 1);
        }
        let mut reports = Vec::new();
        for _ in 0..many {
            reports.extend(windows.taken(window, 1));
        }
        assert_eq!(reports.iter().map(|report| report.messages).sum::<u64>(), many);
        assert!(reports.len() < 60, "{} reports", reports.len());
        assert!(windows.0.is_empty());
    }

    /// "Credit must not lag behind reading": 16 messages lie unread, and the credit for what was read comes 16 messages later
    /// than the readers' own answers, which tell the sender that it may go on. It is never refused.
    #[test]
    fn who_sends_to_a_receiver_that_keeps_up_is_never_refused() {
        let (node, to) = (NodeId(1), 9);
        for (size, at_once) in [(0, 1), (0, 5), (0, 16), (1000, 1), (1500, 3)] {
            let limits = Limits::default();
            let mut outbox = Outbox::<DataEncoder>::new(&limits);
            let mut inbound = Inbound::new(&limits);
            inbound.link_up(node, 1);
            let mut windows = Windows::default();
            let payload = vec![0; size];
            let bytes = cost(size);
            let (mut unread, mut on_the_way) = (0, VecDeque::new());
            for number in 0..10_000 {
                while let Some((_, credit)) = on_the_way.pop_front_if(|(read, _)| *read + 16 < number) {
                    assert_eq!(outbox.credit(to, credit), []);
                }
                assert_eq!(outbox.send(1, to, &payload), Ok(()), "{size} bytes, message {number}");
                while let Some(block) = outbox.next_block() {
                    outbox.written(block);
                }
                let frame = inbound.frame(node, DataHeader::Message { from: 1, to }, &payload, &|_| true);
                let Ok((Received::Message { window, .. }, None)) = frame else { panic!("{frame:?}") };
                windows.arrived(window, bytes);
                unread += 1;
                if unread == 16 {
                    for _ in 0..at_once {
                        unread -= 1;
                        let Some(taken) = windows.taken(window, bytes) else { continue };
                        for (_, _, credit) in inbound.taken(window, taken.messages, taken.bytes) {
                            on_the_way.push_back((number, credit));
                        }
                    }
                }
            }
        }
    }
}
