//! Applies what the engine says to tables, queues and waiting callers.

use super::accounts::Taken;
use super::event::Body;
use super::links::Lane;
use super::printable::printable;
use super::process_core::ProcessCore;
use super::reply::{Asker, operation_of};
use super::shared::{Shared, lock};
use super::tables::Peer;
use super::{Reply, Request, log};
use crate::flow::{Credit, Window, cost};
use crate::model::{ConnectionId, Effect, Event, Name, NodeId, Outcome, Payload, Pid, Reason, Ref, Status};
use crate::wire::LinkProtection;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Lives on the node's thread.
pub struct Delivery {
    shared: Arc<Shared>,
    /// Operations that have not been answered.
    pending: BTreeMap<Ref, Reply>,
    /// Of the connections whose peers are known.
    protections: BTreeMap<ConnectionId, LinkProtection>,
    /// Processes with a mailbox that the closing of the node has ended: their readers are told so.
    ended_by_close: Vec<Arc<ProcessCore>>,
}

impl Delivery {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, pending: BTreeMap::new(), protections: BTreeMap::new(), ended_by_close: Vec::new() }
    }

    /// How a connection is protected that may become a link.
    pub fn opened(&mut self, connection: ConnectionId, protection: LinkProtection) {
        self.protections.insert(connection, protection);
    }

    pub fn forgotten(&mut self, connection: ConnectionId) {
        self.protections.remove(&connection);
    }

    /// The answer to `op` goes there. Called before the command goes to the engine.
    pub fn expect(&mut self, op: Ref, reply: Reply) {
        self.pending.insert(op, reply);
    }

    /// After `Closed` the inbox takes nothing more.
    pub fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::PublishName { name, pid } => {
                let here = pid.filter(|pid| self.shared.processes.is_here(*pid));
                let local = here
                    .and_then(|pid| self.shared.processes.get(pid.serial))
                    .map(|process| process.life().clone());
                self.shared.tables.publish_name(name, pid, local);
            }
            Effect::PublishPeer { node, name, address, connection, message_limit } => {
                let waiting = match connection {
                    Some(connection) => self.shared.links.up(node, connection, message_limit),
                    None => self.shared.links.down(node),
                };
                // They try again and see that it is not reachable, or that it is by another connection.
                self.sendable(node, waiting);
                match connection {
                    Some(connection) => {
                        let protection = self.protections.get(&connection).cloned().unwrap_or_default();
                        let since = self.shared.clock.now();
                        self.shared.tables.peer_up(node, Peer { name, address, protection, since });
                    }
                    None => self.shared.tables.peer_down(node),
                }
            }
            Effect::PublishGroups { groups } => self.shared.tables.publish_groups(groups),
            Effect::PublishHold { process, resource, requester, token } => {
                self.publish_hold(process, resource, requester, token);
            }
            Effect::CallResolver { clash } => self.shared.resolvers.call(&self.shared, clash),
            Effect::Deliver { to, from, payload, window } => {
                self.deliver(to, std::iter::once((from, payload, window)));
            }
            Effect::Notify { process, event } => self.notify(process, event),
            Effect::Answer { op, outcome, .. } => {
                if let Some(reply) = self.pending.remove(&op) {
                    self.answer(op, reply, outcome);
                }
            }
            Effect::ProcessGone { process } => self.process_gone(process),
            Effect::Closed { reason } => self.close(Status::Closed, reason),
            Effect::Log { level, topic, text } => log::emit(&self.shared.config.name, level, topic, &text),
        }
    }

    /// Applies all of them, in order. Messages in a row for one process are handed over at once.
    pub fn apply_all(&mut self, effects: &mut Vec<Effect>) {
        let mut effects = effects.drain(..).peekable();
        while let Some(effect) = effects.next() {
            let Effect::Deliver { to, from, payload, window } = effect else {
                self.apply(effect);
                continue;
            };
            let rest = std::iter::from_fn(|| {
                let next = effects
                    .next_if(|next| matches!(next, Effect::Deliver { to: also, .. } if *also == to))?;
                let Effect::Deliver { from, payload, window, .. } = next else { return None };
                Some((from, payload, window))
            });
            self.deliver(to, std::iter::once((from, payload, window)).chain(rest));
        }
    }

    /// Senders that were refused by the outbox of the link to `node` may try again (what `Outbox::written` returns).
    pub fn sendable(&mut self, node: NodeId, senders: Vec<(u64, u64)>) {
        for (sender, receiver) in senders {
            self.shared.tell_sendable(sender, Pid { node, serial: receiver });
        }
    }

    /// The node is over without the engine's word: every caller that waits is answered with `status`, every process
    /// and queue is closed.
    pub fn fail_all(&mut self, status: Status) {
        let is_internal_error = status == Status::Internal;
        self.close(status, if is_internal_error { Reason::INTERNAL_ERROR } else { Reason::NODE_CLOSED });
    }

    // ---- links

    /// Room for messages to the peer's process `to`, or the news that there is no such process.
    pub(super) fn credit(&mut self, connection: ConnectionId, to: u64, credit: Option<Credit>) {
        let Some((node, link)) = self.shared.links.over_connection(connection) else { return };
        let Lane::Native(outbox) = &mut *lock(&link.outbox);
        let senders = match credit {
            Some(credit) => outbox.credit(to, credit),
            None => outbox.no_receiver(to),
        };
        // A message that waited for this room may go now.
        if !outbox.is_empty() {
            link.poke(&self.shared.inbox);
        }
        self.sendable(node, senders);
    }

    fn publish_hold(&self, serial: u64, resource: Name, requester: Name, token: Option<u64>) {
        let Some(process) = self.shared.processes.get(serial) else { return };
        let locks_held = &self.shared.counters.locks_held;
        match (process.set_hold(resource, requester, token), token) {
            (false, Some(_)) => drop(locks_held.fetch_add(1, Ordering::Relaxed)),
            (true, None) => drop(locks_held.fetch_sub(1, Ordering::Relaxed)),
            (true, Some(_)) | (false, None) => {}
        }
    }

    // ---- events

    fn deliver(&self, to: u64, messages: impl Iterator<Item = (Pid, Payload, Window)>) {
        let mut count = 0;
        let messages = messages.inspect(|_| count += 1);
        let refused = match self.shared.processes.get(to) {
            Some(process) => process.queue.push_messages(&process, messages),
            None => messages.map(|(_, payload, window)| (window, cost(payload.as_bytes().len()))).collect(),
        };
        let dropped = refused.len() as u64;
        self.shared.counters.messages_received.fetch_add(count - dropped, Ordering::Relaxed);
        self.shared.counters.dropped.fetch_add(dropped, Ordering::Relaxed);
        for (window, bytes) in refused {
            self.shared.report_taken(Taken { window, messages: 1, bytes });
        }
    }

    fn notify(&mut self, serial: u64, event: Event) {
        let Some(process) = self.shared.processes.get(serial) else { return };
        let is_wanted = match &event {
            // Of a monitor's events only an EXIT ends it; its place passes on to the event.
            Event::Exit { reference: Ref(0), .. } | Event::NameConflict { .. } => true,
            Event::Exit { reference, .. } => process.remove_monitor(*reference),
            Event::LockLost { .. } => true,
            Event::NameChanged { reference, .. }
            | Event::GroupJoined { reference, .. }
            | Event::GroupLeft { reference, .. }
            | Event::LockWanted { reference, .. }
            | Event::NodeUp { reference, .. }
            | Event::NodeDown { reference, .. }
            | Event::SnapshotEnd { reference } => process.has_monitor(*reference),
        };
        if !is_wanted {
            return;
        }
        if matches!(event, Event::Exit { reference: Ref(0), .. }) {
            // Killed: no message comes behind its own EXIT.
            self.end(&process, false);
        }
        self.shared.push(process, Body::Engine(event));
    }

    fn answer(&self, op: Ref, reply: Reply, outcome: Outcome) {
        match reply {
            Reply::Wait(waiter) => {
                if let Some(reverse) = waiter.answer(outcome) {
                    // Only if the node is over it cannot be; then nothing of it is left.
                    let _ = self.shared.command(reverse, None);
                }
            }
            Reply::Place => self.shared.release_operations(1),
            Reply::Event(Asker(process)) => {
                let detail = CString::new(printable(&outcome.detail).as_ref()).unwrap_or_default();
                let Outcome { status, value, .. } = outcome;
                self.shared.push(process.clone(), Body::Done { op, status, detail, value });
                let was_last = process.pending.remove(op);
                if was_last && !process.is_alive() && self.ended_by_close.is_empty() {
                    self.end(&process, true);
                }
            }
        }
    }

    /// Says whether it was alive until now.
    fn end(&self, process: &ProcessCore, is_last: bool) -> bool {
        let was_alive = process.end();
        if was_alive {
            self.shared.processes.ended();
        }
        self.shared.settle(process.queue.process_ended(process, is_last));
        was_alive
    }

    fn process_gone(&mut self, serial: u64) {
        let Some(process) = self.shared.processes.get(serial) else { return };
        self.shared.release_operations(process.drop_monitors());
        self.shared.counters.locks_held.fetch_sub(process.drop_holds(), Ordering::Relaxed);
        if process.was_refused.load(Ordering::Acquire) {
            for link in self.shared.links.all() {
                lock(&link.outbox).forget_sender(serial);
            }
        }
        // Neither its own will nor a kill: the node closes. Its mailbox ends with the node's last word.
        if process.is_alive() && process.has_mailbox {
            self.end(&process, false);
            self.ended_by_close.push(process);
        } else {
            let is_last = process.pending.is_empty();
            self.end(&process, is_last);
        }
        self.shared.processes.remove(serial);
    }

    // ---- the end

    fn close(&mut self, status: Status, reason: Reason) {
        self.shared.set_closed();
        self.shared.ends_with(reason);
        let late = self.shared.inbox.close();
        for (op, reply) in std::mem::take(&mut self.pending) {
            self.answer(op, reply, Outcome::of(status));
        }
        for request in late {
            if let Request::Command { command, reply: Some(reply) } = request
                && let Some(op) = operation_of(&command)
            {
                self.answer(op, reply, Outcome::of(status));
            }
        }
        let mut mailboxes = std::mem::take(&mut self.ended_by_close);
        for process in self.shared.processes.clear() {
            let is_mailbox_open = process.is_alive() && process.has_mailbox;
            self.end(&process, !is_mailbox_open);
            if is_mailbox_open {
                mailboxes.push(process);
            }
        }
        let queues = self.shared.take_queues();
        let mailboxes = mailboxes.iter().map(|process| &process.queue);
        for queue in queues.iter().chain(mailboxes) {
            self.shared.settle(queue.node_closed(Body::NodeClosed { reason }));
        }
    }
}
