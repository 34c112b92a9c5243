//! Answers to operations: each once, to the right process, in time, with a status that makes sense, and what an OK promises.

use crate::book::{GroupAct, Operation, What};
use crate::network::other_end;
use crate::plan::Mode;
use crate::world::{Happening, R, World};
use convoke::model::{NodeId, Outcome, Ref, Status};

impl World {
    pub(crate) fn answered(&mut self, slot: usize, process: u64, op: Ref, outcome: &Outcome) -> R {
        let host = &self.hosts[slot];
        let (id, local, resumed) = (host.id, host.local(self.now).0, host.resumed);
        let near = self.plan.timer_lag * host.slow * 2 + u64::from(self.plan.drift > 0);
        let far = near + self.plan.detection + self.clocks_are_off(self.plan.detection);
        if !host.processes.contains_key(&process) {
            return Err(format!("P7: h{slot} answers {op:?} to process {process}, which is gone"));
        }
        let Some(o) = self.book.operations.get_mut(&(id, op)) else {
            return Err(format!("P7: h{slot} answers {op:?}, which nobody asked"));
        };
        if let Some(before) = o.answer {
            return Err(format!("P7: h{slot} answers {op:?} twice: {before:?}, then {outcome:?}"));
        }
        let status = outcome.status;
        o.answer = Some(status);
        o.answered = Some(self.now);
        o.answered_step = Some(self.book.stats.steps);
        self.book.histories.answered((id, op), self.book.stats.steps, status);
        *self.book.stats.answers.entry(status).or_default() += 1;
        // At the deadline of what another node runs, that node is asked to undo it; only its answer says that it has.
        let elsewhere = match &o.what {
            What::Register { pid, .. }
            | What::IsAlive { pid, .. }
            | What::Group { act: GroupAct::Join(pid) | GroupAct::Leave(pid), .. } => pid.node != id,
            What::Unregister { .. } => true,
            _ => false,
        };
        let slack = if elsewhere { far } else { near };
        if let Some(deadline) = o.deadline
            && local > deadline + slack
            && resumed < o.issued
        {
            return Err(format!("P7: h{slot} answers {op:?} {} us after its deadline", local - deadline));
        }
        let o = o.clone();
        if o.process != process {
            return Err(format!(
                "P7: the answer to {op:?} goes to process {process} instead of {}",
                o.process
            ));
        }
        if !self.is_sane(id, &o, status) {
            return Err(format!("P7: {o:?} is answered {outcome:?} in {:?} mode", self.plan.mode));
        }
        if status != Status::Ok {
            self.not_left_behind(slot, &o)?;
        }
        match &o.what {
            What::Register { name, pid, .. } if status == Status::Ok => {
                self.book.stats.registered += 1;
                if pid.node == id { self.shown_everywhere(slot, name, pid.serial) } else { Ok(()) }
            }
            What::IsAlive { pid, over_at_start } if status == Status::Ok => {
                let over = self.book.is_over(*pid);
                if outcome.value == 1 && *over_at_start || outcome.value == 0 && !over {
                    return Err(format!(
                        "P5: is_alive({pid:?}) says {}; over: {over_at_start}, now {over}",
                        outcome.value
                    ));
                }
                Ok(())
            }
            What::Acquire { .. } => {
                self.locks_stirred = true;
                self.check_retries(&o)?;
                if status == Status::Ok { self.acquired(slot, op, &o, outcome.value) } else { Ok(()) }
            }
            What::Release { .. } => self.released(slot, &o, status),
            What::Sync if status == Status::Ok => self.synced(slot),
            What::Join => self.joined(slot, status),
            What::Group { act, .. } if status == Status::Ok => {
                self.book.stats.joined += u64::from(matches!(act, GroupAct::Join(_)));
                self.group_done(slot, &o)
            }
            _ => Ok(()),
        }
    }

    /// Promise 1, the other half: what was not granted is withdrawn before the answer.
    fn not_left_behind(&self, slot: usize, o: &Operation) -> R {
        let What::Register { name, pid, .. } = &o.what else { return Ok(()) };
        let host = &self.hosts[slot];
        let Some(engine) = host.engine.as_ref().filter(|_| pid.node == host.id) else { return Ok(()) };
        let others = self.book.operations.values().filter(
            |other| matches!(&other.what, What::Register { name: n, pid: p, .. } if n == name && p == pid),
        );
        // Another one may have bound the same.
        if others.count() > 1 {
            return Ok(());
        }
        let left = engine.bindings().find(|(n, b)| *n == name && b.pid() == *pid);
        match left {
            Some((_, binding)) => Err(format!("P1: h{slot} has not granted {o:?}, and keeps {binding:?}")),
            None => Ok(()),
        }
    }

    /// Every node that there was to meet is merged with this one: each shows what the other has published.
    fn synced(&mut self, slot: usize) -> R {
        self.book.stats.synced += 1;
        let host = &self.hosts[slot];
        for (peer, link) in &host.links {
            if !link.synced || !link.acked {
                return Err(format!("sync: h{slot} is in sync, and not merged with {peer:?}"));
            }
            let other = self.hosts.iter().find(|h| h.id == *peer && h.is_up());
            let Some(other) = other.filter(|h| h.link_to(host.id) == Some(other_end(link.connection))) else {
                continue;
            };
            for (owner, reader) in [(host, other), (other, host)] {
                let settled = owner.rows.iter().filter(|(_, b)| b.reg.node == owner.id && b.settled);
                for (name, binding) in settled {
                    let shown = reader.rows.iter().any(|(n, b)| n == name && b.reg.node == owner.id);
                    if !shown {
                        return Err(format!(
                            "sync: h{slot} is in sync with {peer:?}, and h{} does not show {name:?} {binding:?}",
                            reader.slot
                        ));
                    }
                }
            }
        }
        // Where nothing is in the way, whoever was there to be met was met.
        let missed = self.hosts.iter().find(|other| {
            other.is_up()
                && host.seeds.contains(&other.address)
                && other.id != host.id
                && other.started < host.started
                && !host.links.contains_key(&other.id)
        });
        match missed {
            Some(missed) if self.plan.mode == Mode::Stable => {
                Err(format!("sync: h{slot} is in sync and has not met h{}", missed.slot))
            }
            _ => Ok(()),
        }
    }

    /// A node is open, or could not be opened. Those who say nothing are not to blame for that.
    fn joined(&mut self, slot: usize, status: Status) -> R {
        let host = &self.hosts[slot];
        let node = host.id;
        match status {
            Status::Ok => {
                self.book.stats.opened += 1;
                if let Some(peer) = host.links.iter().find(|(_, link)| !link.synced || !link.acked) {
                    return Err(format!("join: h{slot} is open, and not merged with {:?}", peer.0));
                }
                if self.plan.registers_at_once() {
                    self.later(self.now, Happening::Opened { slot, node });
                }
                Ok(())
            }
            Status::Timeout if self.plan.mode != Mode::Faulty => {
                if !host.met.is_empty() {
                    return Ok(());
                }
                Err(format!("join: h{slot} is not opened, and nobody has answered it\n{}", self.describe()))
            }
            _ => Ok(()),
        }
    }

    /// Can an operation end like this?
    fn is_sane(&self, id: NodeId, o: &Operation, status: Status) -> bool {
        use Status::{
            Cancelled, Closed, Exists, Full, Internal, Memory, NoProcess, NotFound, NotOwner, Ok, Timeout,
            Unreachable,
        };
        // E_NO_PROCESS: the process that asked ends.
        let always = matches!(status, Ok | Timeout | Cancelled | Closed | NoProcess);
        let possible = match &o.what {
            What::Register { pid, resolver, .. } => match status {
                NotFound => !self.has_resolver(pid.node, resolver),
                Ok => self.has_resolver(pid.node, resolver),
                Exists | NoProcess | Unreachable => true,
                Full => self.plan.tight,
                _ => always,
            },
            What::Sync | What::Join => always,
            What::Unregister { .. } | What::IsAlive { .. } => {
                always || matches!(status, NoProcess | Unreachable)
            }
            What::Connect | What::Disconnect => !matches!(status, Internal | Memory),
            What::Acquire { nodes, .. } => {
                always || status == Unreachable && nodes.is_some() || status == Full && self.plan.tight
            }
            What::Release { .. } => always || status == NotOwner,
            What::Group { act, .. } => match act {
                GroupAct::Create | GroupAct::Delete => always || status == Full && self.plan.tight,
                GroupAct::Join(pid) | GroupAct::Leave(pid) => {
                    always
                        || status == NotFound
                        || status == Unreachable && pid.node != id
                        || status == Full && self.plan.tight
                }
            },
        };
        let hurries = o.no_wait || matches!(o.what, What::Acquire { retries: Some(_), .. });
        let late = status != Timeout || o.deadline.is_some() || hurries;
        let apart = status != Unreachable
            || self.plan.mode != Mode::Stable
            || matches!(o.what, What::Connect | What::Disconnect);
        possible && late && apart && (status != Cancelled || o.cancelled)
    }
}
