//! Processes of this node, and who watches whom.
//!
//! A process is light: a serial, the names it holds, the monitors it set and those set on it. Its mailbox is the
//! caller's side's.

use crate::budget::{self, Tally};
use crate::calls::Work;
use crate::fault::Fault;
use crate::machine::Engine;
use crate::message::{DataHeader, Received};
use crate::*;
use std::collections::{BTreeMap, BTreeSet};

/// What a monitor watches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Watch {
    Process(Pid),
    Name(Name),
    Group(Name),
    Nodes,
    Lock { resource: Name, requester: Name },
}

/// Who watches a process of this node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Watcher {
    node: NodeId,
    serial: u64,
    reference: u64,
}

#[derive(Default, Debug)]
pub(crate) struct Process {
    /// Names it holds.
    pub(super) names: BTreeSet<Name>,
    /// Groups it is a member of.
    pub(super) groups: BTreeSet<Name>,
    /// Its operations that have not been answered.
    pub(super) calls: BTreeMap<Ref, Work>,
    monitors: BTreeMap<Ref, Watch>,
    watchers: BTreeSet<Watcher>,
}

#[derive(Default, Debug)]
pub(crate) struct Processes {
    alive: BTreeMap<u64, Process>,
    /// Monitors of this node on processes of each other node.
    watching: BTreeMap<NodeId, BTreeSet<(u64, Ref, u64)>>,
    /// Monitors of each other node on processes here: (target, watcher, reference).
    watched_by: BTreeMap<NodeId, BTreeSet<(u64, u64, u64)>>,
    /// What they take.
    pub(super) tally: Tally,
    by_name: BTreeMap<Name, BTreeSet<(u64, Ref)>>,
    of_nodes: BTreeSet<(u64, Ref)>,
}

impl Process {
    pub(crate) fn has_another_name(&self, name: &Name) -> bool {
        self.names.iter().any(|held| held != name)
    }
    pub(crate) fn add_monitor(&mut self, reference: Ref, watch: Watch) {
        self.monitors.insert(reference, watch);
    }
}

impl Processes {
    pub(crate) fn exists(&self, serial: u64) -> bool {
        self.alive.contains_key(&serial)
    }
    pub(crate) fn get(&self, serial: u64) -> Option<&Process> {
        self.alive.get(&serial)
    }
    pub(crate) fn get_mut(&mut self, serial: u64) -> Option<&mut Process> {
        self.alive.get_mut(&serial)
    }
    pub(crate) fn serials(&self) -> Vec<u64> {
        self.alive.keys().copied().collect()
    }
    pub(crate) fn remember_name(&mut self, serial: u64, name: &Name) {
        if let Some(process) = self.alive.get_mut(&serial) {
            process.names.insert(name.clone());
        }
    }
    pub(crate) fn forget_name(&mut self, serial: u64, name: &Name) {
        if let Some(process) = self.alive.get_mut(&serial) {
            process.names.remove(name);
        }
    }
    pub(crate) fn name_watchers(&self, name: &Name) -> Vec<(u64, Ref)> {
        self.by_name.get(name).map(|set| set.iter().copied().collect()).unwrap_or_default()
    }
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }
    pub(crate) fn note_membership(&mut self, serial: u64, group: &Name, is_member: bool) {
        let Some(process) = self.alive.get_mut(&serial) else { return };
        if is_member {
            process.groups.insert(group.clone());
        } else {
            process.groups.remove(group);
        }
    }
    /// The process has a call that is doing this. Says whether the process is there.
    pub(crate) fn begin_call(&mut self, serial: u64, op: Ref, work: Work) -> bool {
        self.alive.get_mut(&serial).map(|process| process.calls.insert(op, work)).is_some()
    }
    pub(crate) fn call(&self, serial: u64, op: Ref) -> Option<&Work> {
        self.alive.get(&serial)?.calls.get(&op)
    }
    pub(crate) fn end_call(&mut self, serial: u64, op: Ref) {
        if let Some(process) = self.alive.get_mut(&serial) {
            process.calls.remove(&op);
        }
    }
    /// The node closes: nothing that is called is waited for any more.
    pub(crate) fn end_all_calls(&mut self) -> Vec<(u64, Ref)> {
        let calls =
            self.alive.iter_mut().map(|(serial, process)| (*serial, std::mem::take(&mut process.calls)));
        calls.flat_map(|(serial, calls)| calls.into_keys().map(move |op| (serial, op))).collect()
    }
    /// Says whether the process is there.
    pub(crate) fn add_monitor(&mut self, serial: u64, reference: Ref, watch: Watch) -> bool {
        let process = self.alive.get_mut(&serial);
        process.map(|process| process.monitors.insert(reference, watch)).is_some()
    }
    pub(crate) fn node_watchers(&self) -> Vec<(u64, Ref)> {
        self.of_nodes.iter().copied().collect()
    }
    pub(crate) fn pending_calls(&self) -> usize {
        self.alive.values().map(|process| process.calls.len()).sum()
    }
}

impl Engine {
    pub(crate) fn spawn(&mut self, serial: u64) {
        self.processes.alive.entry(serial).or_default();
    }

    // ---- monitors

    /// "Exactly one exit notice": at once if the process is gone or its node has no link.
    pub(crate) fn monitor(&mut self, serial: u64, reference: Ref, target: Pid) {
        if !self.processes.exists(serial) {
            return;
        }
        let me = self.cx.config.node;
        let gone = if target.node == me {
            (!self.processes.exists(target.serial)).then_some(Reason::NO_PROCESS)
        } else {
            (!self.view.is_linked(target.node)).then_some(Reason::NODE_UNREACHABLE)
        };
        if let Some(reason) = gone {
            let event = Event::Exit { reference, pid: target, reason, data: Payload::default(), by: None };
            return self.event(Effect::Notify { process: serial, event });
        }
        if let Some(process) = self.processes.get_mut(serial) {
            process.monitors.insert(reference, Watch::Process(target));
        }
        if target.node == me {
            let watcher = Watcher { node: me, serial, reference: reference.0 };
            if let Some(process) = self.processes.get_mut(target.serial) {
                process.watchers.insert(watcher);
            }
        } else {
            let entry = (serial, reference, target.serial);
            self.processes.watching.entry(target.node).or_default().insert(entry);
            let (watcher, reference, target_serial) = (serial, reference.0, target.serial);
            self.send(target.node, Message::Monitor { watcher, reference, target: target_serial });
        }
    }

    pub(crate) fn monitor_name(&mut self, serial: u64, reference: Ref, name: Name) {
        let Some(process) = self.processes.get_mut(serial) else { return };
        process.monitors.insert(reference, Watch::Name(name.clone()));
        self.processes.by_name.entry(name.clone()).or_default().insert((serial, reference));
        let new = self.names.visible(name.as_bytes());
        let event = Event::NameChanged { reference, name, old: None, new, changes: 1 };
        self.event(Effect::Notify { process: serial, event });
    }

    pub(crate) fn monitor_nodes(&mut self, serial: u64, reference: Ref) {
        let Some(process) = self.processes.get_mut(serial) else { return };
        process.monitors.insert(reference, Watch::Nodes);
        self.processes.of_nodes.insert((serial, reference));
        let present = self.view.addresses().map(|(node, name, address)| Event::NodeUp {
            reference,
            node,
            name: name.to_owned(),
            address: address.to_owned(),
        });
        for event in present.chain([Event::SnapshotEnd { reference }]).collect::<Vec<_>>() {
            self.event(Effect::Notify { process: serial, event });
        }
    }

    /// Ends a monitor without an event. Says whether there was one.
    pub(crate) fn cancel_monitor(&mut self, serial: u64, reference: Ref) -> bool {
        let Some(process) = self.processes.get_mut(serial) else { return false };
        let Some(watch) = process.monitors.remove(&reference) else { return false };
        self.unwatch(serial, reference, watch);
        true
    }

    fn unwatch(&mut self, serial: u64, reference: Ref, watch: Watch) {
        let me = self.cx.config.node;
        match watch {
            Watch::Process(target) if target.node == me => {
                if let Some(process) = self.processes.get_mut(target.serial) {
                    process.watchers.remove(&Watcher { node: me, serial, reference: reference.0 });
                }
            }
            Watch::Process(target) => {
                if self.forget_watching(target.node, serial, reference, target.serial) {
                    let (watcher, reference) = (serial, reference.0);
                    self.send(target.node, Message::Demonitor { watcher, reference, target: target.serial });
                }
            }
            Watch::Name(name) => {
                if let Some(watchers) = self.processes.by_name.get_mut(&name) {
                    watchers.remove(&(serial, reference));
                    if watchers.is_empty() {
                        self.processes.by_name.remove(&name);
                    }
                }
            }
            Watch::Group(group) => self.group_unwatch(serial, reference, &group),
            Watch::Nodes => {
                self.processes.of_nodes.remove(&(serial, reference));
            }
            Watch::Lock { resource, requester } => self.lock_unwatch(serial, reference, resource, requester),
        }
    }

    fn forget_watching(&mut self, node: NodeId, serial: u64, reference: Ref, target: u64) -> bool {
        let Some(set) = self.processes.watching.get_mut(&node) else { return false };
        let had = set.remove(&(serial, reference, target));
        if set.is_empty() {
            self.processes.watching.remove(&node);
        }
        had
    }

    /// A process of the peer watches one of mine.
    pub(crate) fn on_monitor(
        &mut self,
        from: NodeId,
        watcher: u64,
        reference: u64,
        target: u64,
    ) -> Result<(), Violation> {
        let Some(process) = self.processes.get_mut(target) else {
            self.signal_exit(from, target, watcher, reference, Reason::NO_PROCESS, Payload::default());
            return Ok(());
        };
        process.watchers.insert(Watcher { node: from, serial: watcher, reference });
        let set = self.processes.watched_by.entry(from).or_default();
        if set.insert((target, watcher, reference)) {
            self.processes.tally.add(from, budget::MONITOR);
        }
        Ok(())
    }

    pub(crate) fn on_demonitor(
        &mut self,
        from: NodeId,
        watcher: u64,
        reference: u64,
        target: u64,
    ) -> Result<(), Violation> {
        if let Some(process) = self.processes.get_mut(target) {
            process.watchers.remove(&Watcher { node: from, serial: watcher, reference });
        }
        self.forget_watched(from, target, watcher, reference);
        Ok(())
    }

    fn forget_watched(&mut self, node: NodeId, target: u64, watcher: u64, reference: u64) {
        if let Some(set) = self.processes.watched_by.get_mut(&node) {
            if set.remove(&(target, watcher, reference)) {
                self.processes.tally.subtract(node, budget::MONITOR);
            }
            if set.is_empty() {
                self.processes.watched_by.remove(&node);
            }
        }
    }

    fn signal_exit(
        &mut self,
        node: NodeId,
        target: u64,
        watcher: u64,
        reference: u64,
        reason: Reason,
        data: Payload,
    ) {
        if let Some(to) = self.view.connection(node) {
            let header = DataHeader::Exit { from: target, to: watcher, reference, reason: reason.0 };
            self.order(Wire::Signal { to, header, data });
        }
    }

    // ---- ends

    /// A process ends. `killed`: from outside, and by whom if that is known; then it gets an EXIT of its own, its last
    /// event. Everything it has goes with it: names, locks, operations, monitors, room for messages.
    pub(crate) fn process_exits(
        &mut self,
        serial: u64,
        reason: Reason,
        data: Payload,
        killed: Option<Option<Pid>>,
    ) {
        let Some(process) = self.processes.alive.remove(&serial) else { return };
        let me = self.cx.config.node;
        let pid = Pid { node: me, serial };
        // First of all: what its own calls undo must not bring back a row of it, nor tell of one that it has no more.
        if !self.is_broken(Fault::BeneathOutlivesProcess) {
            for name in &process.names {
                self.names.cut_those_of(name, serial);
            }
        }
        if !self.is_broken(Fault::MembershipOutlivesProcess) {
            self.leave_all(process.groups, serial, reason);
        }
        for (op, work) in process.calls {
            self.event(Effect::Answer { process: serial, op, outcome: Outcome::of(Status::NoProcess) });
            self.abandon(work);
        }
        self.undo_claims_for(serial);
        if !self.is_broken(Fault::HoldOutlivesProcess) {
            self.end_holds_of(serial);
        }
        for name in process.names {
            let outlives = self.is_broken(Fault::NameOutlivesProcess);
            if let Some(binding) = self.names.of(&name, me).filter(|b| b.serial == serial && !outlives) {
                self.retire(&name, binding.reg, None);
            }
        }
        for (reference, watch) in process.monitors {
            self.unwatch(serial, reference, watch);
        }
        for node in self.inbound.receiver_exit(serial) {
            if !self.is_broken(Fault::GoneReceiverIsNotTold) {
                self.send(node, Message::NoReceiver { to: serial });
            }
        }
        self.send_credits_due();
        for watcher in process.watchers {
            if watcher.node == me {
                let reference = Ref(watcher.reference);
                if let Some(watching) = self.processes.get_mut(watcher.serial) {
                    watching.monitors.remove(&reference);
                    let event = Event::Exit { reference, pid, reason, data: data.clone(), by: None };
                    self.event(Effect::Notify { process: watcher.serial, event });
                }
            } else {
                self.forget_watched(watcher.node, serial, watcher.serial, watcher.reference);
                self.signal_exit(
                    watcher.node,
                    serial,
                    watcher.serial,
                    watcher.reference,
                    reason,
                    data.clone(),
                );
            }
        }
        if let Some(by) = killed {
            let event = Event::Exit { reference: Ref(0), pid, reason, data, by };
            self.event(Effect::Notify { process: serial, event });
        }
        self.event(Effect::ProcessGone { process: serial });
    }

    /// Claims for a process that ended.
    fn undo_claims_for(&mut self, serial: u64) {
        for tx in self.claims.for_process(serial) {
            self.undo(tx, Outcome::of(Status::NoProcess));
        }
    }

    pub(crate) fn kill(&mut self, from: u64, target: Pid, reason: Reason) {
        let reason = if reason == Reason::NORMAL { Reason::KILLED } else { reason };
        let killer = Pid { node: self.cx.config.node, serial: from };
        if target.node == self.cx.config.node {
            self.process_exits(target.serial, reason, Payload::default(), Some(Some(killer)));
        } else if let Some(to) = self.view.connection(target.node) {
            let header = DataHeader::Kill { from, to: target.serial, reason: reason.0 };
            self.order(Wire::Signal { to, header, data: Payload::default() });
        }
    }

    /// A link went down: exits of everything there that is watched from here, and nobody there watches any more.
    pub(crate) fn drop_monitors_of(&mut self, node: NodeId, reason: Reason) {
        self.processes.tally.forget(node);
        for (target, watcher, reference) in self.processes.watched_by.remove(&node).unwrap_or_default() {
            if let Some(process) = self.processes.get_mut(target) {
                process.watchers.remove(&Watcher { node, serial: watcher, reference });
            }
        }
        for (serial, reference, target) in self.processes.watching.remove(&node).unwrap_or_default() {
            if self.is_broken(Fault::NoExitAtLinkDown) {
                continue;
            }
            if let Some(process) = self.processes.get_mut(serial) {
                process.monitors.remove(&reference);
                let pid = Pid { node, serial: target };
                let event = Event::Exit { reference, pid, reason, data: Payload::default(), by: None };
                self.event(Effect::Notify { process: serial, event });
            }
        }
    }

    // ---- the data lane

    pub(crate) fn data(&mut self, from: NodeId, header: DataHeader, body: &[u8]) -> Result<(), Violation> {
        let alive = &self.processes.alive;
        let (received, credit) =
            self.inbound.frame(from, header, body, &|serial| alive.contains_key(&serial))?;
        if let Some((to, credit)) = credit {
            self.send(from, Message::Credit { to, credit });
        }
        match received {
            Received::Nothing => {}
            Received::Message { from: sender, payload, window } => {
                if self.is_broken(Fault::CreditBeforeTaken) {
                    self.taken(window, 1, message::cost(payload.as_bytes().len()));
                }
                let from = Pid { node: from, serial: sender };
                self.event(Effect::Deliver { to: window.to, from, payload, window });
            }
            Received::NoReceiver { to } => self.send(from, Message::NoReceiver { to }),
            Received::Kill { from: killer, to, reason } => {
                let killer = Pid { node: from, serial: killer };
                if self.processes.exists(to) {
                    self.view.count_for(from, |counts| counts.kills += 1);
                    self.log_paced(Level::Info, Topic::Process, |engine| {
                        let (node, reason) = (engine.identity_of(from), Reason(reason));
                        format!("process {to} is killed by process {killer:?} of node {node}: {reason:?}")
                    });
                }
                self.process_exits(to, Reason(reason), Payload::new(body), Some(Some(killer)));
            }
            Received::Exit { from: target, to, reference, reason } => {
                let (pid, reference) = (Pid { node: from, serial: target }, Ref(reference));
                let watched = self.processes.get_mut(to).and_then(|p| p.monitors.get(&reference));
                if watched == Some(&Watch::Process(pid)) {
                    if !self.is_broken(Fault::ExitIsToldTwice) {
                        if let Some(process) = self.processes.get_mut(to) {
                            process.monitors.remove(&reference);
                        }
                        self.forget_watching(from, to, reference, target);
                    }
                    let (reason, data) = (Reason(reason), Payload::new(body));
                    let event = Event::Exit { reference, pid, reason, data, by: None };
                    self.event(Effect::Notify { process: to, event });
                }
            }
        }
        Ok(())
    }

    pub(crate) fn taken(&mut self, window: Window, messages: u64, bytes: u64) {
        for (node, to, credit) in self.inbound.taken(window, messages, bytes) {
            if self.is_broken(Fault::CreditIsNeverReturned) {
                continue;
            }
            self.send(node, Message::Credit { to, credit });
        }
    }

    /// To be called when room came free: payloads of other nodes may wait for it.
    pub(crate) fn send_credits_due(&mut self) {
        for (node, to, credit) in self.inbound.credits_due() {
            self.send(node, Message::Credit { to, credit });
        }
    }

    pub(crate) fn on_credit(&mut self, from: NodeId, to: u64, credit: message::Credit) {
        if let Some(connection) = self.view.connection(from) {
            self.order(Wire::Credit { connection, to, credit });
        }
    }

    pub(crate) fn no_receiver(&mut self, from: NodeId, to: u64) {
        if let Some(connection) = self.view.connection(from) {
            self.order(Wire::NoReceiver { connection, to });
        }
    }
}

impl Processes {
    #[cfg(debug_assertions)]
    pub(crate) fn len(&self) -> usize {
        self.alive.len()
    }

    /// What each process holds.
    pub(crate) fn held_names(&self) -> impl Iterator<Item = (u64, &Name)> {
        self.alive.iter().flat_map(|(serial, process)| process.names.iter().map(move |name| (*serial, name)))
    }

    /// The groups that each process is a member of.
    pub(crate) fn memberships(&self) -> impl Iterator<Item = (&Name, u64)> {
        self.alive
            .iter()
            .flat_map(|(serial, process)| process.groups.iter().map(move |group| (group, *serial)))
    }

    pub(crate) fn check_invariants(&self) -> Sound {
        let watches = || {
            let all = self.alive.iter();
            all.flat_map(|(serial, process)| {
                process.monitors.iter().map(move |(it, watch)| (*serial, *it, watch))
            })
        };
        let names = watches().filter_map(|(serial, reference, watch)| match watch {
            Watch::Name(name) => Some((name, (serial, reference))),
            _ => None,
        });
        let indexed = self.by_name.iter().flat_map(|(name, all)| all.iter().map(move |it| (name, *it)));
        same("monitors of names", indexed.collect::<BTreeSet<_>>(), names.collect())?;
        let of_nodes =
            watches().filter(|(.., watch)| **watch == Watch::Nodes).map(|(serial, it, _)| (serial, it));
        same("monitors of nodes", &self.of_nodes, &of_nodes.collect())?;
        let watched = self.watched_by.iter().flat_map(|(node, all)| all.iter().map(move |it| (*node, *it)));
        let watched: BTreeSet<_> = watched.collect();
        let watchers = self.alive.iter().flat_map(|(serial, process)| {
            process.watchers.iter().map(move |it| (it.node, (*serial, it.serial, it.reference)))
        });
        let watchers = watchers.filter(|(node, _)| self.watched_by.contains_key(node));
        same("monitors of other nodes", &watched, &watchers.collect())?;
        self.tally.check("bytes of monitors", watched.iter().map(|(node, _)| (*node, budget::MONITOR)))
    }
}
