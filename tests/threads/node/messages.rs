//! Messages: a sender that was refused is told when there is room, and never waits for a process that has ended.

use super::process_core::ProcessCore;
use super::queue_core::{QueueCore, Wait};
use super::queues::shared_with;
use super::send::Outgoing;
use super::shared::Shared;
use super::{EventKind, Lane, Result};
use crate::Model;
use crate::engine::FRAGMENT;
use crate::flow::{Credit, cost};
use crate::model::{Config, ConnectionId, Limits, NodeId, Pid, Status};
use crate::sync::thread;
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[
    ("messages: who is refused for want of the node's memory is told of room", || refused_and_told(100)),
    ("messages: who is refused by a full receiver is told of room", || refused_and_told(3 << 20)),
    ("messages: a sender is told of its receiver's end", told_of_the_end),
    ("messages: who is refused by a link is told of room", refused_by_a_link),
];

const NODE: NodeId = NodeId(7);
const PEER: NodeId = NodeId(9);
const CONNECTION: ConnectionId = ConnectionId(3);

struct Room {
    shared: Arc<Shared>,
    receiver: Arc<ProcessCore>,
    sender: Arc<ProcessCore>,
}

fn process(shared: &Shared) -> Arc<ProcessCore> {
    let pid = Pid { node: NODE, serial: shared.new_serial() };
    let process = Arc::new(ProcessCore::new(pid, Arc::new(QueueCore::new()), true));
    assert!(shared.processes.reserve(10));
    shared.processes.insert(process.clone());
    process
}

/// A node whose messages of its own may take so many bytes.
fn room(local_bytes: usize) -> Room {
    let limits = Limits { memory: 4 * local_bytes, ..Limits::default() };
    let shared = shared_with(Config { limits, ..Config::new(NODE, "model") });
    let (receiver, sender) = (process(&shared), process(&shared));
    Room { shared, receiver, sender }
}

impl Room {
    /// Sends until the message is taken in; waits for room when it is refused. Tells how it ended.
    fn send(&self, from: &ProcessCore, payload: &[u8]) -> Result<()> {
        let outgoing = Outgoing::new(&self.shared, payload)?;
        loop {
            match self.shared.send(from, self.receiver.pid(), &outgoing) {
                Err(error) if error.status == Status::Full => {
                    let (event, after) = from.queue.take(&Wait::forever())?;
                    self.shared.settle(after);
                    assert_eq!(
                        (event.kind(), event.peer()),
                        (EventKind::Sendable, Some(self.receiver.pid()))
                    );
                }
                sent => return sent,
            }
        }
    }

    fn receive(&self) -> Result<()> {
        let (event, after) = self.receiver.queue.take(&Wait::forever())?;
        self.shared.settle(after);
        assert_eq!(event.kind(), EventKind::Message);
        Ok(())
    }
}

/// Two senders, and room for one message of each size. With a payload beyond half of a receiver's account it is the
/// receiver that refuses, with a small one the node.
fn refused_and_told(size: usize) {
    let is_large = size > 1 << 20;
    let room = Arc::new(room(if is_large { 64 << 20 } else { cost(size) as usize + 1 }));
    let other = process(&room.shared);
    let senders: Vec<_> = [room.sender.clone(), other]
        .map(|sender| {
            let room = room.clone();
            thread::spawn(move || room.send(&sender, &vec![1; size]).expect("it is sent"))
        })
        .into();
    for _ in 0..2 {
        room.receive().expect("a message");
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert_eq!(room.receiver.queue.depth(), 0);
    // All room was given back.
    assert!(room.shared.account.admit(room.shared.config.limits.memory as u64 / 4));
}

fn told_of_the_end() {
    let room = Arc::new(room(cost(100) as usize + 1));
    let sender = {
        let room = room.clone();
        thread::spawn(move || {
            loop {
                if let Err(error) = room.send(&room.sender, &[1; 100]) {
                    return error.status;
                }
            }
        })
    };
    // As `Process::exit` does it.
    assert!(room.receiver.end());
    room.shared.processes.ended();
    room.shared.settle(room.receiver.queue.process_ended(&room.receiver, true));
    assert_eq!(sender.join().unwrap(), Status::NoProcess);
}

/// A message that a peer's process has no room for; the node's thread writes, and hears of the room later.
fn refused_by_a_link() {
    let room = Arc::new(room(1 << 20));
    room.shared.links.up(PEER, CONNECTION, 1 << 20);
    let link = room.shared.links.get(PEER).expect("it is up");
    let to = Pid { node: PEER, serial: 5 };
    let payload = vec![1; 90 << 10];
    let sender = {
        let (room, payload) = (room.clone(), payload.clone());
        thread::spawn(move || {
            let outgoing = Outgoing::new(&room.shared, &payload).expect("it is not too big");
            for _ in 0..2 {
                while let Err(error) = room.shared.send(&room.sender, to, &outgoing) {
                    assert_eq!(error.status, Status::Full);
                    let (event, after) = room.sender.queue.take(&Wait::forever()).expect("it is told");
                    room.shared.settle(after);
                    assert_eq!((event.kind(), event.peer()), (EventKind::Sendable, Some(to)));
                }
            }
        })
    };
    // The node's thread: writes what callers have put in, and takes in what the peer grants once all was taken there.
    let inbox = &room.shared.inbox;
    let (mut written, mut seen, mut dirty) = (0, 0, Vec::new());
    let mut granted = false;
    while written < 2 * payload.len() {
        inbox.awake();
        inbox.drain_dirty(&mut dirty);
        for connection in dirty.drain(..) {
            assert_eq!(connection, CONNECTION);
            link.begin();
            let mut told = Vec::new();
            loop {
                let mut outbox = link.outbox.lock().unwrap();
                let Some(block) = outbox.next_block(FRAGMENT) else { break };
                written += block.len();
                told.extend(outbox.written(block));
            }
            if written >= payload.len() && !granted {
                granted = true;
                let taken = cost(payload.len());
                let credit = Credit { messages: 128, bytes: 96 * 1024 + taken, taken };
                let Lane::Native(outbox) = &mut *link.outbox.lock().unwrap();
                told.extend(outbox.credit(to.serial, credit));
            }
            for (sender, receiver) in told {
                room.shared.tell_sendable(sender, Pid { node: PEER, serial: receiver });
            }
        }
        if written < 2 * payload.len() && inbox.prepare_sleep() {
            seen = inbox.event_fd().wait_edge(seen);
        }
    }
    sender.join().unwrap();
}
