//! An input goes to the engine of a host, and what the engine wants is carried out: what the room `node` and the driver do
//! in the product.

use crate::host::Link;
use crate::lock_book::Share;
use crate::world::{R, World};
use convoke::engine::{Engine, Goodbye, Output, Wire};
use convoke::flow::Outbox;
use convoke::model::{ConnectionId, Effect, Machine, NodeId, Pid, Reason, Time};

impl World {
    /// Gives an input to the engine of a host and carries out what it wants.
    pub(crate) fn feed(&mut self, slot: usize, input: impl FnOnce(&mut Engine, Time)) -> R {
        let host = &mut self.hosts[slot];
        // A process that is stopped does nothing: what comes for it waits, and what it would do is late.
        if host.paused {
            return Err(format!("the simulator gave h{slot} an input while it was paused"));
        }
        let now = host.read_clock(self.now);
        if let Some(engine) = host.engine.as_mut() {
            input(engine, now);
            self.settle_unclear(slot);
            self.drain(slot)?;
        }
        if self.plan.spurious > 0 && self.rng.percent(self.plan.spurious) {
            (self.cause, self.ending, self.proof) = (Some(Reason::NODE_UNREACHABLE), None, None);
            if let Some(engine) = self.hosts[slot].engine.as_mut() {
                engine.handle_timeout(now);
                self.settle_unclear(slot);
                self.drain(slot)?;
            }
        }
        (self.cause, self.ending, self.proof) = (None, None, None);
        self.arriving = None;
        self.withdrawn_now = None;
        Ok(())
    }

    pub(crate) fn drain(&mut self, slot: usize) -> R {
        let mut class = 0;
        while let Some(output) = self.hosts[slot].engine.as_mut().and_then(Engine::poll_any) {
            let now_class = class_of(&output);
            if now_class < class {
                return Err(format!("h{slot}: outputs out of order: {output:?}"));
            }
            class = now_class;
            self.apply(slot, output)?;
        }
        let host = &mut self.hosts[slot];
        let lag = self.plan.timer_lag * host.slow;
        let lag = if lag > 0 { self.rng.below(lag) } else { 0 };
        let next = host.engine.as_ref().and_then(Engine::poll_timeout);
        host.wake = next.map(|at| host.world(at).saturating_add(lag));
        self.after(slot)
    }

    fn apply(&mut self, slot: usize, output: Output) -> R {
        match output {
            Output::Effect(Effect::PublishName { name, pid }) => {
                self.trace.say(self.now, || format!("h{slot} PUBLISH {name:?} {pid:?}"));
                let host = &mut self.hosts[slot];
                let old = match pid {
                    Some(pid) => host.table.insert(name.clone(), pid),
                    None => host.table.remove(&name),
                };
                let (step, node) = (self.book.stats.steps, host.id);
                self.book.histories.read(step, node, name, old, pid);
                Ok(())
            }
            Output::Effect(Effect::PublishGroups { groups }) => {
                self.trace.say(self.now, || format!("h{slot} PUBLISH {groups:?}"));
                self.groups_stirred = true;
                groups.into_iter().try_for_each(|(group, members)| self.publish_group(slot, group, members))
            }
            Output::Effect(Effect::PublishHold { process, resource, requester, token }) => {
                self.trace.say(self.now, || {
                    format!("h{slot} p{process} PUBLISH {resource:?} {requester:?} {token:?}")
                });
                self.locks_stirred = true;
                let host = &mut self.hosts[slot];
                let share = Share { resource, requester, pid: Pid { node: host.id, serial: process } };
                match token {
                    Some(token) => host.holds.insert(share, token),
                    None => host.holds.remove(&share),
                };
                Ok(())
            }
            Output::Effect(Effect::CallResolver { clash }) => {
                self.trace.say(self.now, || format!("h{slot} CALLS {clash:?}"));
                self.call_resolver(slot, clash)
            }
            Output::Effect(Effect::PublishPeer { node, connection, .. }) => {
                self.publish_peer(slot, node, connection)
            }
            Output::Wire(Wire::Send { to, message }) => {
                self.trace.say(self.now, || format!("h{slot} > {to:?} {message:?}"));
                self.put_control(&to, &message);
                self.snoop_lock_sent(slot, &to, &message.message);
                self.snoop_clash_sent(slot, &message.message)?;
                self.snoop_sent(slot, &message.message)
            }
            Output::Wire(Wire::Signal { to, header, data }) => {
                self.trace.say(self.now, || format!("h{slot} > {to:?} {header:?}"));
                if let Some(node) = self.node_at(slot, to) {
                    if let Some(link) = self.hosts[slot].links.get_mut(&node) {
                        link.outbox.signal(header, data.as_bytes());
                    }
                    self.pump(slot, node);
                }
                Ok(())
            }
            Output::Wire(Wire::Credit { connection, to, credit }) => {
                if let Some(node) = self.node_at(slot, connection) {
                    if let Some(link) = self.hosts[slot].links.get_mut(&node) {
                        let told = link.outbox.credit(to, credit);
                        self.tell(slot, node, connection, told);
                    }
                    self.pump(slot, node);
                }
                Ok(())
            }
            Output::Wire(Wire::NoReceiver { connection, to }) => {
                if let Some(node) = self.node_at(slot, connection) {
                    if let Some(link) = self.hosts[slot].links.get_mut(&node) {
                        let told = link.outbox.no_receiver(to);
                        self.tell(slot, node, connection, told);
                    }
                    self.pump(slot, node);
                }
                Ok(())
            }
            Output::Wire(Wire::Dial { address }) => {
                self.trace.say(self.now, || format!("h{slot} dials {address}"));
                self.dial(slot, address);
                Ok(())
            }
            Output::Wire(Wire::Open { connection }) => {
                self.trace.say(self.now, || format!("h{slot} opens {connection:?}"));
                self.open(connection);
                Ok(())
            }
            Output::Wire(Wire::Refuse { connection, why }) => {
                self.trace.say(self.now, || format!("h{slot} refuses {connection:?}: {why:?}"));
                self.refuse(connection, why);
                Ok(())
            }
            Output::Wire(Wire::Close { connection, goodbye }) => {
                self.trace.say(self.now, || format!("h{slot} closes {connection:?}: {goodbye:?}"));
                if goodbye == Some(Goodbye::Slow) {
                    self.parts_from(slot, connection);
                }
                self.close(connection, goodbye);
                Ok(())
            }
            Output::Effect(Effect::Deliver { to, from, payload, window }) => {
                self.delivered(slot, to, from, &payload, window)
            }
            Output::Effect(Effect::Notify { process, event }) => {
                self.trace.say(self.now, || format!("h{slot} p{process} EVENT {event:?}"));
                self.notified(slot, process, event)
            }
            Output::Effect(Effect::Answer { process, op, outcome }) => {
                self.trace.say(self.now, || format!("h{slot} p{process} ANSWER {op:?} {outcome:?}"));
                self.answered(slot, process, op, &outcome)
            }
            Output::Effect(Effect::ProcessGone { process }) => {
                self.trace.say(self.now, || format!("h{slot} p{process} GONE"));
                self.process_gone(slot, process)
            }
            Output::Effect(Effect::Closed { reason }) => {
                self.trace.say(self.now, || format!("h{slot} CLOSED {reason:?}"));
                self.closed(slot, reason)
            }
            Output::Effect(Effect::Log { level, topic, text }) => {
                self.trace.say(self.now, || format!("h{slot} LOG {level:?} {text}"));
                self.book.stats.parted += u64::from(text.contains(" is parted for "));
                self.nobody_is_blamed(slot, level, topic, &text)
            }
        }
    }

    fn publish_peer(&mut self, slot: usize, node: NodeId, connection: Option<ConnectionId>) -> R {
        self.trace.say(self.now, || format!("h{slot} PEER {node:?} {connection:?}"));
        let id = self.hosts[slot].id;
        self.view_changed = true;
        self.locks_stirred = true;
        self.groups_stirred = true;
        match connection {
            Some(connection) => {
                self.book.stats.links += 1;
                let outbox = Outbox::new(&self.plan.limits);
                #[cfg(feature = "faults")]
                let outbox = crate::mutants::outbox(self.plan.fault, outbox);
                let (since, synced, acked, merged) = (self.book.stats.steps, false, false, None);
                let link = Link { connection, since, outbox, synced, acked, merged, flowing: 0, queued: 0 };
                if self.hosts[slot].links.insert(node, link).is_some() || node == id {
                    return Err(format!("links: h{slot} has a second link with {node:?}"));
                }
            }
            None => {
                let Some(mut link) = self.hosts[slot].links.remove(&node) else {
                    return Err(format!("links: h{slot} loses a link with {node:?} that it does not have"));
                };
                let told = link.outbox.close();
                self.tell(slot, node, link.connection, told);
                if let Some(left) = self.book.refused.iter().find(|(c, ..)| *c == link.connection) {
                    return Err(format!("P8: the link is down and {left:?} was not told"));
                }
                self.book.note_break(id, node, self.cause);
                self.note_departure(slot, node, link.merged);
                self.left_sets(id, node, link.connection);
            }
        }
        Ok(())
    }

    /// The linked node at the other end of a connection.
    pub(crate) fn node_at(&self, slot: usize, connection: ConnectionId) -> Option<NodeId> {
        self.hosts[slot].links.iter().find(|(_, l)| l.connection == connection).map(|(node, _)| *node)
    }
}

/// 1: tables for readers, 2: messages to peers, 3: events and answers.
fn class_of(output: &Output) -> u8 {
    match output {
        Output::Effect(Effect::PublishName { .. })
        | Output::Effect(Effect::PublishPeer { .. })
        | Output::Effect(Effect::PublishGroups { .. })
        | Output::Effect(Effect::PublishHold { .. }) => 1,
        Output::Wire(Wire::Send { .. })
        | Output::Wire(Wire::Signal { .. })
        | Output::Wire(Wire::Credit { .. })
        | Output::Wire(Wire::NoReceiver { .. })
        | Output::Wire(Wire::Dial { .. })
        | Output::Wire(Wire::Open { .. })
        | Output::Wire(Wire::Refuse { .. })
        | Output::Wire(Wire::Close { .. }) => 2,
        Output::Effect(Effect::Deliver { .. })
        | Output::Effect(Effect::Notify { .. })
        | Output::Effect(Effect::Answer { .. })
        | Output::Effect(Effect::ProcessGone { .. })
        | Output::Effect(Effect::CallResolver { .. })
        | Output::Effect(Effect::Closed { .. })
        | Output::Effect(Effect::Log { .. }) => 3,
    }
}
