//! Messages between processes: sent through the real outboxes, taken when the receiver likes, and held to promise 8.

use crate::checks::name;
use crate::host::Waiting;
use crate::network::other_end;
use crate::world::{Happening, R, World};
use convoke::flow::{INITIAL_CREDIT, SendRefusal, Window, cost};
use convoke::model::{ConnectionId, Machine, NodeId, Payload, Pid};
use std::collections::{BTreeMap, BTreeSet};

/// What a message says: a pattern that only its place in its stream decides, so that a wrong order, a loss, a
/// repetition and a mixture of two messages all show.
pub(crate) fn pattern(from: Pid, index: u64, len: u64) -> Vec<u8> {
    let first = (from.serial ^ index.wrapping_mul(0x9E37)) as u8;
    (0..len).map(|i| first.wrapping_add((i >> 6) as u8).wrapping_add(i as u8)).collect()
}

impl World {
    pub(crate) fn send_something(&mut self, slot: usize) -> R {
        let Some(from) = self.some_process_of(slot, false) else { return Ok(()) };
        let to = if self.rng.percent(30) {
            let name = name(self.rng.index(self.plan.names));
            self.hosts[slot].table.get(&name).copied()
        } else {
            self.some_pid(false)
        };
        let Some(to) = to else { return Ok(()) };
        let burst = if self.rng.percent(70) { 1 } else { self.rng.between(1, 90) };
        for _ in 0..burst {
            let most = if self.rng.percent(80) { 100 } else { self.plan.largest_payload };
            let size = self.rng.below(most + 1);
            if !self.send(slot, from, to, size) {
                break;
            }
        }
        Ok(())
    }

    /// `false`: refused.
    pub(crate) fn send(&mut self, slot: usize, from: Pid, to: Pid, size: u64) -> bool {
        let host = &mut self.hosts[slot];
        if !host.processes.contains_key(&from.serial) || from.node != host.id {
            return false;
        }
        let Some(link) = host.links.get_mut(&to.node) else { return false };
        let connection = link.connection;
        let stream = self.book.streams.entry((from, to, connection)).or_default();
        let payload = pattern(from, stream.accepted, size);
        let sent = link.outbox.send(from.serial, to.serial, &payload);
        self.trace.say(self.now, || format!("h{slot} {from:?} SENDS {size} bytes to {to:?}: {sent:?}"));
        match sent {
            Ok(()) => {
                stream.accepted += 1;
                stream.lengths.push_back(size);
                link.queued += size as i64;
                // As the outbox promises: what is on its way, and as much again that waits for room.
                let most = 2 * (self.plan.limits.link_buffer + self.plan.limits.message) as i64;
                if link.queued > most {
                    self.fault =
                        Some(format!("P8: {} bytes wait in one outbox, allowed are {most}", link.queued));
                }
                self.pump(slot, to.node);
                true
            }
            Err(SendRefusal::Full) => {
                self.book.stats.refused += 1;
                self.book.refused.insert((connection, from, to));
                // The refusal may have asked the peer for room.
                self.pump(slot, to.node);
                false
            }
            Err(SendRefusal::NoProcess) => {
                if !self.book.is_over(to) {
                    self.fault = Some(format!("P8: {to:?} lives and {from:?} is told that it does not"));
                }
                false
            }
        }
    }

    pub(crate) fn deafen(&mut self, slot: usize) -> R {
        let Some(process) = self.some_process(slot) else { return Ok(()) };
        let until = self.now + self.rng.below(self.plan.detection);
        if let Some(process) = self.hosts[slot].processes.get_mut(&process) {
            process.deaf_until = until;
        }
        Ok(())
    }

    /// A process takes some or all of what waits for it.
    pub(crate) fn read(&mut self, slot: usize, pid: Pid) -> R {
        if self.hosts[slot].id != pid.node {
            return Ok(());
        }
        let Some(process) = self.hosts[slot].processes.get_mut(&pid.serial) else { return Ok(()) };
        if process.deaf_until > self.now {
            let at = process.deaf_until;
            self.later(at, Happening::Read { slot, pid });
            return Ok(());
        }
        let few = self.rng.percent(50);
        let count = if few { process.mailbox.len().min(4) } else { process.mailbox.len() };
        let taken: Vec<_> = process.mailbox.drain(..count).collect();
        process.reading = !process.mailbox.is_empty();
        if process.reading {
            let at = self.now + self.rng.below(self.plan.delay_max / 4 + 1);
            self.later(at, Happening::Read { slot, pid });
        }
        self.taken(slot, taken)
    }

    pub(crate) fn discard(&mut self, slot: usize, node: NodeId) -> R {
        if self.hosts[slot].id != node {
            return Ok(());
        }
        let taken = std::mem::take(&mut self.hosts[slot].unread);
        self.taken(slot, taken)
    }

    fn taken(&mut self, slot: usize, taken: Vec<Waiting>) -> R {
        let mut sums = BTreeMap::new();
        for waiting in taken {
            let sum: &mut (u64, u64) = sums.entry(waiting.window).or_default();
            sum.0 += 1;
            sum.1 += waiting.cost;
        }
        for (window, (messages, bytes)) in sums {
            self.trace.say(self.now, || format!("h{slot} TAKES {messages} messages of {window:?}"));
            let sum = self.book.taken.entry((self.hosts[slot].id, window)).or_default();
            *sum = (sum.0 + messages, sum.1 + bytes);
            self.feed(slot, |engine, now| engine.handle_taken(now, window, messages, bytes))?;
        }
        Ok(())
    }

    pub(crate) fn delivered(
        &mut self,
        slot: usize,
        to: u64,
        from: Pid,
        payload: &Payload,
        window: Window,
    ) -> R {
        let to = Pid { node: self.hosts[slot].id, serial: to };
        let size = payload.as_bytes().len();
        self.trace.say(self.now, || format!("h{slot} p{} DELIVER {size} bytes from {from:?}", to.serial));
        let Some(connection) = self.arriving.map(other_end) else {
            return Err(format!("P8: {to:?} gets a message from {from:?} out of nothing"));
        };
        let Some(process) = self.hosts[slot].processes.get_mut(&to.serial) else {
            return Err(format!("P8: {to:?} is gone and gets a message"));
        };
        process.mailbox.push_back(Waiting { window, cost: cost(size) });
        let start = !process.reading;
        process.reading = true;
        let at = process.deaf_until;
        let Some(stream) = self.book.streams.get_mut(&(from, to, connection)) else {
            return Err(format!(
                "P8: {to:?} gets a message from {from:?}, which sent none over {connection:?}"
            ));
        };
        let Some(len) = stream.lengths.pop_front() else {
            return Err(format!("P8: {to:?} gets a message from {from:?} more than once"));
        };
        let index = stream.delivered;
        stream.delivered += 1;
        if pattern(from, index, len) != payload.as_bytes() {
            return Err(format!(
                "P8: message {index} from {from:?} to {to:?} is not the {len} bytes that were sent, or not in order"
            ));
        }
        self.book.stats.delivered += 1;
        if start {
            let soon = self.now + self.rng.below(self.plan.delay_max / 4 + 1);
            self.later(soon.max(at), Happening::Read { slot, pid: to });
        }
        self.window_is_bounded(slot, to.serial, window)?;
        self.memory_bounded(slot)
    }

    fn memory_bounded(&self, slot: usize) -> R {
        let host = &self.hosts[slot];
        let waiting = || host.processes.values().flat_map(|p| &p.mailbox).chain(&host.unread);
        let bytes: u64 = waiting().map(|w| w.cost).sum();
        let cap = self.plan.limits.memory as u64 * 3 / 4;
        if bytes > cap {
            let windows: BTreeSet<Window> = waiting().map(|w| w.window).collect();
            let unasked = windows.len() as u64 * INITIAL_CREDIT.bytes;
            if bytes > cap + unasked {
                return Err(format!("P8: {bytes} bytes wait on h{slot}, allowed are {cap} + {unasked}"));
            }
        }
        Ok(())
    }

    /// Senders that were refused are told that there is room.
    pub(crate) fn tell(
        &mut self,
        slot: usize,
        node: NodeId,
        connection: ConnectionId,
        told: Vec<(u64, u64)>,
    ) {
        for (from, to) in told {
            let from = Pid { node: self.hosts[slot].id, serial: from };
            let to = Pid { node, serial: to };
            self.trace.say(self.now, || format!("h{slot} p{} SENDABLE {to:?}", from.serial));
            if !self.book.refused.remove(&(connection, from, to)) {
                self.fault =
                    Some(format!("P8: {from:?} is told that {to:?} has room, and did not wait for it"));
            }
            if self.rng.percent(50) {
                let at = self.now + self.rng.below(self.plan.delay_max);
                self.later(at, Happening::Retry { slot, from, to });
            }
        }
    }
}
