//! What the processes of a run do, and what befalls the machines and the network.

use crate::book::{Kill, Life, Monitor, Operation, Watch, What};
use crate::checks::name;
use crate::host::Process;
use crate::network::{BALANCER, SERVICE};
use crate::plan::Entrance;
use crate::world::{Happening, R, World};
use convoke::model::{
    Action, Call, Command, Deadline, Machine, Name, NodeId, Payload, Pid, Reason, Ref, Resolver, Time,
};
use std::collections::BTreeSet;

impl World {
    pub(crate) fn tick(&mut self) -> R {
        if self.ticks_left == 0 {
            return Ok(());
        }
        self.ticks_left -= 1;
        let at = self.now + self.rng.below(self.plan.gap + 1);
        self.later(at, Happening::Tick);
        let awake: Vec<usize> = self.hosts.iter().filter(|h| h.is_awake()).map(|h| h.slot).collect();
        let Some(slot) = self.rng.pick(&awake) else { return Ok(()) };
        let w = &self.plan.weights;
        type Act = fn(&mut World, usize) -> R;
        let acts: [(u64, Act); 40] = [
            (w.register, |world, slot| world.register_something(slot, false)),
            (w.reregister, |world, slot| world.register_something(slot, true)),
            (w.unregister, Self::unregister_something),
            (w.cancel_operation, Self::cancel_operation),
            (w.is_alive, Self::ask_is_alive),
            (w.spawn, |world, slot| world.spawn(slot, false).map(|_| ())),
            (w.exit, Self::exit),
            (w.kill, Self::kill),
            (w.monitor, Self::monitor),
            (w.demonitor, Self::demonitor),
            (w.watch, Self::watch),
            (w.send, Self::send_something),
            (w.deafen, Self::deafen),
            (w.sync, Self::sync),
            (w.connect, Self::connect_to),
            (w.disconnect, Self::disconnect),
            (w.close, Self::close_node),
            (w.acquire, Self::acquire_something),
            (w.release, Self::release_something),
            (w.end_scope, Self::end_some_scope),
            (w.watch_lock, Self::watch_lock),
            (w.create, Self::create_group),
            (w.delete, Self::delete_group),
            (w.join, Self::join_group),
            (w.leave, Self::leave_group),
            (w.watch_group, Self::watch_group),
            (w.cut, Self::cut_one),
            (w.isolate, Self::isolate),
            (w.darken, Self::darken_one),
            (w.mute, Self::mute),
            (w.numb, Self::go_numb),
            (w.replace, Self::replace_paused),
            (w.block, Self::block),
            (w.unblock, Self::unblock),
            (w.crash, Self::crash_and_restart),
            (w.pause, Self::pause_a_while),
            (w.clog, Self::clog),
            (w.swizzle, Self::swizzle),
            (w.slow, Self::slow_down),
            (w.jump, Self::jump),
        ];
        let act = acts[self.rng.weighted(&acts.map(|(weight, _)| weight))].1;
        act(self, slot)
    }

    // ---- names

    fn register_something(&mut self, slot: usize, replace: bool) -> R {
        let index = self.rng.index(self.plan.names);
        // What must never show none is only re-registered, and only for processes that live on.
        let stays = self.name_stays && index == 0;
        let Some(caller) = self.some_process(slot) else { return Ok(()) };
        let pid = if self.rng.percent(70) { self.some_process_of(slot, stays) } else { self.some_pid(stays) };
        let Some(pid) = pid else { return Ok(()) };
        let deadline = self.patience(slot);
        let resolver = self.some_resolver();
        let replace = replace || stays;
        self.register_with(slot, caller, name(index), pid, resolver, replace, deadline).map(|_| ())
    }

    #[allow(clippy::too_many_arguments)] // those of the command
    pub(crate) fn register_with(
        &mut self,
        slot: usize,
        caller: u64,
        name: Name,
        pid: Pid,
        resolver: Resolver,
        replace: bool,
        deadline: Deadline,
    ) -> R<Ref> {
        let what = What::Register { name: name.clone(), pid, replace, resolver: resolver.clone() };
        let op = self.operation(slot, caller, what, deadline, pid.node);
        self.operate(slot, caller, op, deadline, Action::Register { name, pid, resolver, replace })?;
        Ok(op)
    }

    fn unregister_something(&mut self, slot: usize) -> R {
        let index = self.rng.index(self.plan.names);
        if self.name_stays && index == 0 {
            return Ok(());
        }
        let Some(process) = self.some_process(slot) else { return Ok(()) };
        self.unregister(slot, process, name(index))
    }

    pub(crate) fn unregister(&mut self, slot: usize, process: u64, name: Name) -> R {
        let deadline = self.patience(slot);
        let home = self.hosts[slot].id;
        let shown = self.hosts[slot].table.contains_key(&name);
        let what = What::Unregister { name: name.clone(), shown };
        let op = self.operation(slot, process, what, deadline, home);
        self.operate(slot, process, op, deadline, Action::Unregister { name })
    }

    fn cancel_operation(&mut self, slot: usize) -> R {
        let id = self.hosts[slot].id;
        let pending: Vec<(Ref, u64)> = self
            .book
            .operations
            .range((id, Ref(0))..=(id, Ref(u64::MAX)))
            .filter(|(_, o)| o.answer.is_none())
            .map(|((_, op), o)| (*op, o.process))
            .collect();
        let Some((reference, process)) = self.rng.pick(&pending) else { return Ok(()) };
        if let Some(o) = self.book.operations.get_mut(&(id, reference)) {
            o.cancelled = true;
        }
        self.give(slot, Command::Cancel { process, reference })
    }

    pub(crate) fn operation(
        &mut self,
        slot: usize,
        process: u64,
        what: What,
        deadline: Deadline,
        home: NodeId,
    ) -> Ref {
        let host = &mut self.hosts[slot];
        let op = host.next_reference();
        let breaks = self.book.breaks_between(host.id, home);
        let operation = Operation {
            what,
            process,
            issued: self.now,
            deadline: deadline.at.map(|at| at.0),
            no_wait: deadline.no_wait,
            cancelled: false,
            answer: None,
            answered: None,
            step: self.book.stats.steps,
            answered_step: None,
            breaks,
        };
        self.book.operations.insert((host.id, op), operation);
        op
    }

    pub(crate) fn patience(&mut self, slot: usize) -> Deadline {
        let now = self.hosts[slot].local(self.now);
        let no_wait = self.rng.percent(self.plan.no_wait);
        if self.rng.percent(self.plan.patient) {
            return Deadline { at: None, no_wait };
        }
        let most = [self.plan.delay_max * 3, self.plan.delay_max * 12, self.plan.detection * 2];
        let wait = self.rng.below(most[self.rng.clone().index(3)]);
        let deadline = Some(Time(now.0 + wait));
        Deadline { at: deadline, no_wait }
    }

    // ---- processes

    pub(crate) fn spawn(&mut self, slot: usize, spared: bool) -> R<Pid> {
        let host = &mut self.hosts[slot];
        let pid = host.next_pid();
        host.processes.insert(pid.serial, Process::default());
        let life =
            Life { crashed: false, end: None, leaving: None, kills: BTreeSet::new(), told: None, spared };
        self.book.lives.insert(pid, life);
        self.give(slot, Command::Spawn { process: pid.serial })?;
        Ok(pid)
    }

    fn exit(&mut self, slot: usize) -> R {
        let Some(pid) = self.some_mortal(slot) else { return Ok(()) };
        let reason = self.rng.pick(&[Reason::NORMAL, Reason::EXPLICIT, Reason::FREED, Reason(0x1_0000)]);
        let data = vec![7; self.rng.index(3)];
        self.end_process(slot, pid, reason.unwrap_or(Reason::NORMAL), Payload::from(data))
    }

    pub(crate) fn end_process(&mut self, slot: usize, pid: Pid, reason: Reason, data: Payload) -> R {
        if let Some(life) = self.book.lives.get_mut(&pid) {
            life.leaving = Some((reason, data.clone()));
        }
        self.give(slot, Command::Exit { process: pid.serial, reason, data })
    }

    fn kill(&mut self, slot: usize) -> R {
        let Some(process) = self.some_process(slot) else { return Ok(()) };
        let Some(target) = self.some_victim() else { return Ok(()) };
        let reason = self.rng.pick(&[Reason::KILLED, Reason(0x1_0001)]).unwrap_or(Reason::KILLED);
        if let Some(life) = self.book.lives.get_mut(&target) {
            life.kills.insert(reason);
        }
        if let Some(sender_end) = self.hosts[slot].link_to(target.node) {
            let killer = Pid { node: self.hosts[slot].id, serial: process };
            let behind = self.book.streams.get(&(killer, target, sender_end)).map_or(0, |s| s.accepted);
            self.book.kills.push(Kill { sender_end, killer, target, behind });
        }
        self.give(slot, Command::Kill { process, target, reason })
    }

    fn ask_is_alive(&mut self, slot: usize) -> R {
        let Some(process) = self.some_process(slot) else { return Ok(()) };
        let Some(pid) = self.some_pid(false) else { return Ok(()) };
        let deadline = self.patience(slot);
        let what = What::IsAlive { pid, over_at_start: self.book.is_over(pid) };
        let op = self.operation(slot, process, what, deadline, pid.node);
        self.operate(slot, process, op, deadline, Action::IsAlive { pid })
    }

    fn monitor(&mut self, slot: usize) -> R {
        let Some(process) = self.some_process(slot) else { return Ok(()) };
        let Some(target) = self.some_pid(false) else { return Ok(()) };
        let host = &mut self.hosts[slot];
        let (id, reference) = (host.id, host.next_reference());
        let monitor = Monitor {
            process,
            target,
            linked_at_start: target.node == id || host.links.contains_key(&target.node),
            cancelled: false,
            fired: false,
            breaks: self.book.breaks_between(id, target.node),
        };
        self.book.monitors.insert((id, reference), monitor);
        self.give(slot, Command::Monitor { process, reference, target })
    }

    fn demonitor(&mut self, slot: usize) -> R {
        let id = self.hosts[slot].id;
        let range = (id, Ref(0))..=(id, Ref(u64::MAX));
        let alive = |process: &u64| self.hosts[slot].processes.contains_key(process);
        if self.rng.clone().percent(30) {
            let watches: Vec<(Ref, u64)> = self
                .book
                .watches
                .range(range)
                .map(|((_, r), w)| (*r, w.process()))
                .filter(|(_, process)| alive(process))
                .collect();
            let Some((reference, process)) = self.rng.pick(&watches) else { return Ok(()) };
            self.book.watches.remove(&(id, reference));
            return self.give(slot, Command::Cancel { process, reference });
        }
        let monitors: Vec<(Ref, u64)> = self
            .book
            .monitors
            .range(range)
            .filter(|(_, m)| !m.cancelled && alive(&m.process))
            .map(|((_, r), m)| (*r, m.process))
            .collect();
        let Some((reference, process)) = self.rng.pick(&monitors) else { return Ok(()) };
        if let Some(monitor) = self.book.monitors.get_mut(&(id, reference)) {
            monitor.cancelled = true;
        }
        self.give(slot, Command::Cancel { process, reference })
    }

    fn watch(&mut self, slot: usize) -> R {
        let Some(process) = self.some_process(slot) else { return Ok(()) };
        let host = &mut self.hosts[slot];
        let (id, reference) = (host.id, host.next_reference());
        if self.rng.percent(50) {
            let watch = Watch::Nodes { process, up: BTreeSet::new(), complete: false };
            self.book.watches.insert((id, reference), watch);
            self.give(slot, Command::MonitorNodes { process, reference })?;
            match self.book.watches.get(&(id, reference)) {
                Some(Watch::Nodes { complete: true, .. }) => Ok(()),
                _ => Err(format!("the node monitor {reference:?} on h{slot} got no snapshot")),
            }
        } else {
            let name = name(self.rng.index(self.plan.names));
            let watch = Watch::Name { process, name: name.clone(), shown: None };
            self.book.watches.insert((id, reference), watch);
            self.give(slot, Command::MonitorName { process, reference, name })?;
            match self.book.watches.get(&(id, reference)) {
                Some(Watch::Name { shown: Some(_), .. }) => Ok(()),
                _ => Err(format!("the name monitor {reference:?} on h{slot} was told nothing")),
            }
        }
    }

    // ---- nodes

    pub(crate) fn sync(&mut self, slot: usize) -> R {
        let Some(process) = self.some_process(slot) else { return Ok(()) };
        let deadline = self.patience(slot);
        let home = self.hosts[slot].id;
        let op = self.operation(slot, process, What::Sync, deadline, home);
        self.operate(slot, process, op, deadline, Action::Sync)
    }

    /// What the node does while it is being opened.
    pub(crate) fn join(&mut self, slot: usize) -> R {
        let now = self.hosts[slot].local(self.now);
        let wait = self.rng.between(1, self.plan.detection * 2);
        let deadline = (!self.plan.registers_at_once()).then_some(Time(now.0 + wait));
        let deadline = Deadline { at: deadline, no_wait: false };
        let (process, home) = (1, self.hosts[slot].id);
        let op = self.operation(slot, process, What::Join, deadline, home);
        self.operate(slot, process, op, deadline, Action::Join)
    }

    /// The program of a node that is open registers at once. Whoever has that name already has been met.
    pub(crate) fn opened(&mut self, slot: usize, node: NodeId) -> R {
        if self.hosts[slot].id != node || !self.hosts[slot].is_awake() {
            return Ok(());
        }
        let pid = Pid { node, serial: 2 };
        self.register_with(slot, 2, name(1), pid, Resolver::RandomExit, false, Deadline::FOREVER).map(|_| ())
    }

    fn connect_to(&mut self, slot: usize) -> R {
        let mut rng = self.rng.clone();
        let mut address = self.hosts[rng.index(self.hosts.len())].address.clone();
        match self.plan.entrance {
            Entrance::Hosts => {}
            Entrance::Balancer if rng.percent(50) => address = BALANCER.to_owned(),
            Entrance::Service | Entrance::BalancedService if rng.percent(50) => address = SERVICE.to_owned(),
            _ => {}
        }
        self.connect_host(slot, address)
    }

    pub(crate) fn connect_host(&mut self, slot: usize, address: String) -> R {
        let Some(process) = self.some_process(slot) else { return Ok(()) };
        let deadline = self.patience(slot);
        let home = self.hosts[slot].id;
        let op = self.operation(slot, process, What::Connect, deadline, home);
        self.operate(slot, process, op, deadline, Action::Connect { address })
    }

    fn disconnect(&mut self, slot: usize) -> R {
        let Some(process) = self.some_process(slot) else { return Ok(()) };
        let other = self.rng.index(self.hosts.len());
        if other == slot {
            return Ok(());
        }
        let node_name = self.hosts[other].name.clone();
        let deadline = self.patience(slot);
        let home = self.hosts[slot].id;
        let op = self.operation(slot, process, What::Disconnect, deadline, home);
        // Both sides keep apart until one is asked to connect, over restarts of the other too.
        let namesakes = self.hosts.iter().filter(|h| h.name == node_name).map(|h| h.slot);
        for other in namesakes.collect::<Vec<_>>() {
            self.parted.extend([(slot, other), (other, slot)]);
        }
        self.cause = Some(Reason::DISCONNECTED);
        self.operate(slot, process, op, deadline, Action::Disconnect { node_name })
    }

    fn close_node(&mut self, slot: usize) -> R {
        self.hosts[slot].closing = true;
        self.cause = Some(Reason::NODE_CLOSED);
        self.give(slot, Command::Close)
    }

    pub(crate) fn operate(
        &mut self,
        slot: usize,
        process: u64,
        op: Ref,
        deadline: Deadline,
        what: Action,
    ) -> R {
        self.give(slot, Command::Call(Call { process, op, deadline, what }))
    }

    pub(crate) fn give(&mut self, slot: usize, command: Command) -> R {
        self.trace.say(self.now, || format!("h{slot} COMMAND {command:?}"));
        self.locks_stirred = true;
        self.groups_stirred = true;
        self.feed(slot, |engine, now| engine.handle_command(now, command))
    }

    // ---- who

    pub(crate) fn some_process(&mut self, slot: usize) -> Option<u64> {
        let all: Vec<u64> = self.hosts[slot].processes.keys().copied().collect();
        self.rng.pick(&all)
    }

    pub(crate) fn some_process_of(&mut self, slot: usize, spared: bool) -> Option<Pid> {
        let node = self.hosts[slot].id;
        let all: Vec<Pid> = self.hosts[slot]
            .processes
            .keys()
            .map(|serial| Pid { node, serial: *serial })
            .filter(|pid| !spared || self.book.lives.get(pid).is_some_and(|l| l.spared))
            .collect();
        self.rng.pick(&all)
    }

    fn some_mortal(&mut self, slot: usize) -> Option<Pid> {
        let node = self.hosts[slot].id;
        let all: Vec<Pid> = self.hosts[slot]
            .processes
            .keys()
            .map(|serial| Pid { node, serial: *serial })
            .filter(|pid| self.book.lives.get(pid).is_some_and(|l| !l.spared))
            .collect();
        self.rng.pick(&all)
    }

    /// Any process anywhere, now and then one that is no more, or that never was.
    pub(crate) fn some_pid(&mut self, spared: bool) -> Option<Pid> {
        if !spared && self.rng.percent(5) {
            let all: Vec<Pid> = self.book.lives.keys().copied().collect();
            return self.rng.pick(&all);
        }
        if !spared && self.rng.percent(2) {
            let node = self.hosts[self.rng.clone().index(self.hosts.len())].id;
            return Some(Pid { node, serial: 9_999 }).filter(|p| p.node.0 != 0);
        }
        let up: Vec<usize> = self.hosts.iter().filter(|h| h.is_up()).map(|h| h.slot).collect();
        let slot = self.rng.pick(&up)?;
        self.some_process_of(slot, spared)
    }

    fn some_victim(&mut self) -> Option<Pid> {
        let up: Vec<usize> = self.hosts.iter().filter(|h| h.is_up()).map(|h| h.slot).collect();
        let slot = self.rng.pick(&up)?;
        self.some_mortal(slot)
    }
}
