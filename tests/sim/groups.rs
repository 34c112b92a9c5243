//! What processes do with groups: make and delete them, join and leave with any pid, monitor them.

use crate::book::{GroupAct, Watch, What};
use crate::world::{R, World};
use convoke::model::{Action, Command, Deadline, Name};
use std::collections::BTreeMap;

pub(crate) fn group(index: usize) -> Name {
    Name::new(&[b'G', b'0' + index as u8])
}

impl World {
    pub(crate) fn create_group(&mut self, slot: usize) -> R {
        self.group_act(slot, |_| Some(GroupAct::Create))
    }

    pub(crate) fn delete_group(&mut self, slot: usize) -> R {
        self.group_act(slot, |_| Some(GroupAct::Delete))
    }

    pub(crate) fn join_group(&mut self, slot: usize) -> R {
        self.group_act(slot, |world| {
            let own = world.rng.percent(60);
            let pid = if own { world.some_process_of(slot, false) } else { world.some_pid(false) };
            pid.map(GroupAct::Join)
        })
    }

    pub(crate) fn leave_group(&mut self, slot: usize) -> R {
        self.group_act(slot, |world| {
            let members: Vec<_> = world.hosts[slot].groups.values().flat_map(|m| m.iter().copied()).collect();
            let member = world.rng.percent(80);
            let pid = if member { world.rng.pick(&members) } else { world.some_pid(false) };
            pid.map(GroupAct::Leave)
        })
    }

    fn group_act(&mut self, slot: usize, act: impl FnOnce(&mut Self) -> Option<GroupAct>) -> R {
        let group = group(self.rng.index(self.plan.groups));
        let Some(process) = self.some_process(slot) else { return Ok(()) };
        let Some(act) = act(self) else { return Ok(()) };
        let deadline = self.patience(slot);
        self.act_on_group(slot, process, group, act, deadline)
    }

    pub(crate) fn act_on_group(
        &mut self,
        slot: usize,
        process: u64,
        group: Name,
        act: GroupAct,
        deadline: Deadline,
    ) -> R {
        let home = match act {
            GroupAct::Join(pid) | GroupAct::Leave(pid) => pid.node,
            GroupAct::Create | GroupAct::Delete => self.hosts[slot].id,
        };
        let what = What::Group { group: group.clone(), act };
        let op = self.operation(slot, process, what, deadline, home);
        let action = match act {
            GroupAct::Create => Action::CreateGroup { group },
            GroupAct::Delete => Action::DeleteGroup { group },
            GroupAct::Join(pid) => Action::JoinGroup { group, pid },
            GroupAct::Leave(pid) => Action::LeaveGroup { group, pid },
        };
        self.operate(slot, process, op, deadline, action)
    }

    pub(crate) fn watch_group(&mut self, slot: usize) -> R {
        let Some(process) = self.some_process(slot) else { return Ok(()) };
        let group = group(self.rng.index(self.plan.groups));
        let host = &mut self.hosts[slot];
        let (id, reference) = (host.id, host.next_reference());
        let watch = Watch::Group { process, group: group.clone(), members: BTreeMap::new(), complete: false };
        self.book.watches.insert((id, reference), watch);
        self.give(slot, Command::MonitorGroup { process, reference, group })?;
        match self.book.watches.get(&(id, reference)) {
            Some(Watch::Group { complete: true, .. }) => Ok(()),
            _ => Err(format!("the group monitor {reference:?} on h{slot} got no snapshot")),
        }
    }
}
