//! Operations for a pid that lives elsewhere: they are run by its home. And how an operation is ended early.

use super::answers::{Caller, Joint, Work};
use crate::fault::Fault;
use crate::machine::Engine;
use crate::timers::Timer;
use crate::*;
use std::collections::BTreeSet;
use std::time::Duration;

/// An operation that another node runs for this one.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) caller: Caller,
    pub(super) home: NodeId,
    pub(super) since: Time,
    /// The home was asked to stop because of this; its answer is on the way.
    pub(super) cancelled: Option<Status>,
    /// What takes it back, should it be done when nobody waits any more.
    reverse: Option<Reverse>,
}

/// A re-register has none: what it replaced is gone.
#[derive(Debug)]
enum Reverse {
    Unregister(Name),
    Leave { group: Name, serial: u64 },
}

impl Reverse {
    fn of(task: &Task) -> Option<Self> {
        match task {
            Task::Register { name, replace: false, .. } => Some(Self::Unregister(name.clone())),
            Task::Join { group, serial, .. } => Some(Self::Leave { group: group.clone(), serial: *serial }),
            _ => None,
        }
    }
    /// `value`: what the home has answered, the number of a registration.
    fn task(self, home: NodeId, value: u64) -> Task {
        match self {
            Self::Unregister(name) => Task::Unregister { name, reg: Reg { node: home, seq: value } },
            Self::Leave { group, serial } => Task::Leave { group, serial },
        }
    }
}

impl Engine {
    // ---- cancelling

    /// Ends the work early; its answer follows, now or when the home has undone it.
    pub(crate) fn stop(&mut self, work: Work, why: Status) {
        match work {
            Work::Operation(tx) => self.undo(tx, Outcome::of(why)),
            Work::Forward(id) => self.stop_forward(id, why),
            Work::Joint(joint) => {
                let parts = self.calls.joints.get(&joint).map(|j| j.parts.clone()).unwrap_or_default();
                for part in parts {
                    self.stop(part, why);
                }
            }
            Work::Connect | Work::Sync => {}
        }
    }

    fn stop_forward(&mut self, id: Tx, why: Status) {
        if let Some(asked) = self.calls.asked.get_mut(&id)
            && asked.cancelled.is_none()
        {
            asked.cancelled = Some(why);
            let home = asked.home;
            if !self.is_broken(Fault::HomeIsNotAskedToStop) {
                self.send(home, Message::Cancel { id });
            }
            // The home answers in one round trip, or the link goes down; this is for a home that does neither.
            self.cx.timers.set(Timer::Forward(id), self.cx.now + self.cx.config.detection);
        }
    }

    /// The process whose call it was is gone: nobody waits, and what was not complete is undone.
    pub(crate) fn abandon(&mut self, work: Work) {
        match work {
            Work::Operation(tx) => {
                self.claims.forget_caller(tx);
                self.undo(tx, Outcome::of(Status::NoProcess));
            }
            Work::Forward(id) => {
                if let Some(asked) = self.calls.asked.get_mut(&id) {
                    asked.caller = Caller::Nobody;
                }
                self.stop_forward(id, Status::NoProcess);
            }
            Work::Joint(joint) => {
                let parts = self.calls.joints.remove(&joint).map(|j| j.parts).unwrap_or_default();
                for part in parts {
                    self.abandon(part);
                }
            }
            Work::Connect => self.drop_connects_without_process(),
            Work::Sync => self.drop_syncs_without_process(),
        }
    }

    /// See [`Command::TakeBack`].
    pub(crate) fn take_back(&mut self, Call { process, op, what, .. }: Call) {
        let deadline = Deadline::FOREVER;
        match what {
            Action::Register { name, pid, replace: false, .. } => {
                // Unless it is somebody else's since.
                let binding = self.names.of(&name, pid.node).filter(|binding| binding.serial == pid.serial);
                if let Some(reg) = binding.map(|binding| binding.reg) {
                    self.run_at(Caller::Nobody, pid.node, Task::Unregister { name, reg }, deadline);
                }
            }
            Action::JoinGroup { group, pid, .. } => {
                self.run_at(Caller::Nobody, pid.node, Task::Leave { group, serial: pid.serial }, deadline);
            }
            Action::Acquire { resource, requester, scope, .. } => {
                self.lock_release(process, op, resource, requester, None, scope, deadline);
            }
            _ => {}
        }
    }

    // ---- the caller's node

    /// Runs the task at the home of the pid concerned: here or there.
    pub(crate) fn call_at(&mut self, process: u64, op: Ref, home: NodeId, task: Task, deadline: Deadline) {
        let caller = Caller::Call { process, op };
        if !self.processes.exists(process) {
            return self.conclude(caller, Outcome::of(Status::NoProcess));
        }
        self.run_at(caller, home, task, deadline);
    }

    fn run_at(&mut self, caller: Caller, home: NodeId, task: Task, deadline: Deadline) {
        if home == self.cx.config.node {
            return self.run_here(caller, task, deadline);
        }
        if !self.view.is_linked(home) {
            return self.conclude(
                caller,
                Outcome::failed(Status::Unreachable, "no link to the home of the process"),
            );
        }
        let id = self.next_tx();
        self.track_work(&caller, Work::Forward(id));
        let reverse = Reverse::of(&task);
        self.calls.asked.insert(id, Asked { caller, home, since: self.cx.now, cancelled: None, reverse });
        self.cx.counters.forwards += 1;
        if let Some(deadline) = deadline.at {
            self.cx.timers.set(Timer::Forward(id), deadline);
        }
        let told = deadline.at.filter(|_| !self.is_broken(Fault::HomeIsNotAskedToStop));
        let left = told.map(|at| at.since(self.cx.now).as_millis().try_into().unwrap_or(u64::MAX));
        self.send(home, Message::Forward { id, task, remaining_ms: left });
    }

    /// Removes every binding of the name that is shown here, each at its home; and what they have covered: a node that
    /// has not heard yet that its home has withdrawn it would show it again behind the withdrawal of what covers it.
    pub(crate) fn unregister(&mut self, process: u64, op: Ref, name: Name, deadline: Deadline) {
        let caller = Caller::Call { process, op };
        if !self.processes.exists(process) {
            return self.conclude(caller, Outcome::of(Status::NoProcess));
        }
        if let Err(status) = self.cx.config.check_name(name.as_bytes()) {
            return self.conclude(caller, Outcome::of(status));
        }
        let shown = self.names.all(&name);
        let covered = shown.iter().flat_map(|binding| &binding.supersedes).copied();
        let covered = covered.filter(|reg| reg.node == self.cx.config.node || self.view.is_linked(reg.node));
        let regs: BTreeSet<Reg> = shown.iter().map(|binding| binding.reg).chain(covered).collect();
        let is_covered = |reg: Reg| shown.iter().any(|binding| binding.covers(reg));
        let regs: Vec<(Reg, bool)> = regs.into_iter().map(|reg| (reg, is_covered(reg))).collect();
        match regs[..] {
            [] => self.conclude(caller, Outcome::of(Status::Ok)),
            [(reg, _)] => self.run_at(caller, reg.node, Task::Unregister { name, reg }, deadline),
            _ => {
                self.calls.last_joint += 1;
                let joint = self.calls.last_joint;
                self.track_work(&caller, Work::Joint(joint));
                let whole =
                    Joint { caller, parts: Vec::new(), left: regs.len(), outcome: Outcome::of(Status::Ok) };
                self.calls.joints.insert(joint, whole);
                for (reg, covered) in regs {
                    let task = Task::Unregister { name: name.clone(), reg };
                    self.run_at(Caller::Part { joint, covered }, reg.node, task, deadline);
                }
            }
        }
    }

    pub(crate) fn on_answer(
        &mut self,
        from: NodeId,
        id: Tx,
        status: Status,
        value: u64,
    ) -> Result<(), Violation> {
        if self.calls.asked.get(&id).is_some_and(|asked| asked.home != from) {
            return Err(Violation("an answer to what another node was asked"));
        }
        if let Some(Asked { caller, home, cancelled, reverse, .. }) = self.end_forward(id) {
            if caller == Caller::Nobody && status == Status::Ok {
                // It was done before the home heard that the caller is gone, who was told that it was not.
                if let Some(reverse) = reverse.filter(|_| !self.is_broken(Fault::DoneForNobodyStays)) {
                    self.run_at(Caller::Nobody, home, reverse.task(home, value), Deadline::FOREVER);
                }
                return Ok(());
            }
            let status = match cancelled {
                Some(why) if status == Status::Cancelled => why,
                _ => status,
            };
            let value = if reverse.is_none() { value } else { 0 };
            self.conclude(caller, Outcome { status, detail: String::new(), value });
        }
        Ok(())
    }

    fn end_forward(&mut self, id: Tx) -> Option<Asked> {
        self.cx.timers.cancel(&Timer::Forward(id));
        self.calls.asked.remove(&id)
    }

    /// The home is asked to undo it; only its answer says that it has.
    pub(crate) fn forward_deadline(&mut self, id: Tx) {
        if self.calls.asked.get(&id).is_some_and(|asked| asked.cancelled.is_none()) {
            self.stop_forward(id, Status::Timeout);
        } else if let Some(asked) = self.end_forward(id) {
            let outcome =
                Outcome::failed(Status::Unreachable, "the home does not answer; the outcome is unknown");
            self.conclude(asked.caller, outcome);
        }
    }

    /// The link to a home is lost before its answer: the outcome is unknown here.
    pub(crate) fn drop_forwards_of(&mut self, peer: NodeId) {
        let lost = self.calls.asked.iter().filter(|(_, asked)| asked.home == peer).map(|(id, _)| *id);
        for id in lost.collect::<Vec<_>>() {
            if let Some(asked) = self.end_forward(id) {
                let text = "the link to the home was lost before its answer; the outcome is unknown";
                self.conclude(asked.caller, Outcome::failed(Status::Unreachable, text));
            }
        }
        let mut orphans = Vec::new();
        self.calls.served.retain(|id, tx| {
            if id.node == peer {
                orphans.extend(*tx);
            }
            id.node != peer
        });
        // Its caller is told that the outcome is unknown: what is under way is undone, as if it had been cancelled.
        for tx in orphans {
            self.claims.forget_caller(tx);
            if !self.is_broken(Fault::OrphansGoOn) {
                self.undo(tx, Outcome::of(Status::NoProcess));
            }
        }
    }

    // ---- the home

    pub(crate) fn on_forward(
        &mut self,
        from: NodeId,
        id: Tx,
        task: Task,
        remaining_ms: Option<u64>,
    ) -> Result<(), Violation> {
        if id.node != from || self.calls.served.contains_key(&id) {
            return Err(Violation("a forwarded operation of another node, or twice the same"));
        }
        if self.calls.served.len() >= self.cx.config.limits.operations {
            self.send(from, Message::Answer { id, status: Status::Full, value: 0 });
            return Ok(());
        }
        if let Err(status) = task.name().map_or(Ok(()), |name| self.cx.config.check_name(name.as_bytes())) {
            // The caller's node may have another limit.
            self.send(from, Message::Answer { id, status, value: 0 });
            return Ok(());
        }
        self.calls.served.insert(id, None);
        let deadline = Config::deadline(self.cx.now, remaining_ms.map(Duration::from_millis));
        let no_wait = matches!(task, Task::Register { no_wait: true, .. });
        if let Task::Unregister { name, .. } = &task
            && self.mine(name).is_some()
        {
            self.view.count_for(from, |counts| counts.unregistered += 1);
            self.log_paced(Level::Info, Topic::Process, |engine| {
                format!(
                    "node {} unregisters the name {} of a process of this node",
                    engine.identity_of(from),
                    log::of_name(name)
                )
            });
        }
        self.run_here(Caller::Forwarded { id }, task, Deadline { at: deadline, no_wait });
        Ok(())
    }

    pub(crate) fn on_cancel(&mut self, from: NodeId, id: Tx) -> Result<(), Violation> {
        if id.node != from {
            return Err(Violation("a forwarded operation of another node"));
        }
        if let Some(Some(tx)) = self.calls.served.get(&id).copied() {
            self.undo(tx, Outcome::of(Status::Cancelled));
        }
        Ok(())
    }

    fn run_here(&mut self, caller: Caller, task: Task, deadline: Deadline) {
        match task {
            Task::Register { name, serial, resolver, replace, .. } => {
                self.register_here(caller, name, serial, resolver, replace, deadline);
            }
            Task::Unregister { name, reg } => self.unregister_here(caller, &name, reg, deadline),
            Task::Join { group, serial, dots } => self.join_here(caller, group, serial, dots, deadline),
            Task::Leave { group, serial } => self.leave_here(caller, group, serial, deadline),
            Task::IsAlive { serial } => {
                let alive = self.processes.exists(serial);
                self.conclude(caller, Outcome::value(alive.into()));
            }
        }
    }
}
