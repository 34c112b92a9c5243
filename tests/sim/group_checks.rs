//! What is checked of groups: the tables that readers see, monitors, promise 1 at every OK, and at rest existence and
//! members everywhere.

use crate::book::{GroupAct, Operation, Watch, What};
use crate::groups::group;
use crate::host::Host;
use crate::network::other_end;
use crate::plan::Mode;
use crate::world::{R, World};
use convoke::model::{Members, Name, NodeId, Pid, Reason, Ref, Status};
use std::collections::BTreeMap;

/// How often each pid is in it.
pub(crate) fn counts(members: Option<&Members>) -> BTreeMap<Pid, u64> {
    let mut counts = BTreeMap::new();
    for pid in members.into_iter().flat_map(|m| m.iter()) {
        *counts.entry(*pid).or_default() += 1;
    }
    counts
}

fn all_counts(host: &Host) -> BTreeMap<Name, BTreeMap<Pid, u64>> {
    host.groups.iter().map(|(group, members)| (group.clone(), counts(Some(members)))).collect()
}

impl World {
    pub(crate) fn publish_group(&mut self, slot: usize, group: Name, members: Option<Members>) -> R {
        let host = &mut self.hosts[slot];
        if host.groups.get(&group) == members.as_ref() {
            return Err(format!("table: h{slot} publishes {group:?} again as {members:?}"));
        }
        if let Some(m) = &members {
            let local = m.iter().take_while(|pid| pid.node == host.id).count();
            let others = m.as_slice()[local..].iter().any(|pid| pid.node == host.id);
            let copies = m.as_slice().chunk_by(|a, b| a == b).count() != counts(Some(m)).len();
            if local != m.local() || others || copies {
                return Err(format!("table: h{slot} publishes {group:?} badly sorted: {m:?}"));
            }
        }
        // What this home shows of its own processes, for those that are to show the same.
        let (before, after) = (counts(host.groups.get(&group)), counts(members.as_ref()));
        let step = self.book.stats.steps;
        for pid in before.keys().chain(after.keys()).filter(|pid| pid.node == host.id) {
            let count = after.get(pid).copied().unwrap_or(0);
            if before.get(pid).copied().unwrap_or(0) != count {
                self.book.counts.entry((group.clone(), *pid)).or_default().push((step, count));
            }
        }
        match members {
            Some(members) => host.groups.insert(group, members),
            None => host.groups.remove(&group),
        };
        Ok(())
    }

    // ---- after every input of a host that concerns groups

    pub(crate) fn check_groups(&self, slot: usize) -> R {
        let host = &self.hosts[slot];
        let Some(engine) = host.engine.as_ref() else { return Ok(()) };
        let groups = engine.groups();
        if groups.len() != host.groups.len() || groups.iter().any(|(g, m)| host.groups.get(g) != Some(m)) {
            return Err(format!("table: h{slot} published {:?}, the engine has {groups:?}", host.groups));
        }
        for (group, members) in &groups {
            for pid in members.iter() {
                if pid.node == host.id && !host.processes.contains_key(&pid.serial) {
                    return Err(format!("P5: h{slot} shows the dead {pid:?} in {group:?}"));
                }
                if pid.node != host.id && !host.links.contains_key(&pid.node) {
                    return Err(format!("P5: h{slot} shows {pid:?} in {group:?} without a link to its home"));
                }
            }
        }
        for ((_, reference), watch) in self.book.watches.range((host.id, Ref(0))..=(host.id, Ref(u64::MAX))) {
            if let Watch::Group { process, group, members, complete: true } = watch
                && host.processes.contains_key(process)
                && *members != counts(host.groups.get(group))
            {
                return Err(format!(
                    "the monitor {reference:?} of {group:?} on h{slot} tells {members:?}, readers see {:?}",
                    host.groups.get(group)
                ));
            }
        }
        Ok(())
    }

    /// A monitor is told that a pid is a member `count` times now; `reason`: why that is less than before.
    pub(crate) fn group_change(
        &mut self,
        me: Pid,
        reference: Ref,
        about: &Name,
        pid: Pid,
        (old, count): (u64, u64),
        reason: Option<Reason>,
    ) -> R {
        self.book.stats.group_events += 1;
        if let Some(reason) = reason
            && !self.may_have_left(me, about, pid, reason)
        {
            return Err(format!("{me:?} is told that {pid:?} left {about:?} because of {reason:?}"));
        }
        match self.book.watches.get_mut(&(me.node, reference)) {
            Some(Watch::Group { process, group, members, complete })
                if *process == me.serial && group == about =>
            {
                let before = members.get(&pid).copied().unwrap_or(0);
                let rises = reason.is_none();
                let right = if rises { count > before } else { count < before && *complete };
                if !right || old != before {
                    return Err(format!(
                        "the monitor of {group:?}: {pid:?} had {before}, now {old} -> {count} ({reason:?})"
                    ));
                }
                if count == 0 {
                    members.remove(&pid)
                } else {
                    members.insert(pid, count)
                };
                Ok(())
            }
            other => Err(format!("{me:?} is told of {pid:?} in {about:?} for {other:?}")),
        }
    }

    fn may_have_left(&self, watcher: Pid, about: &Name, pid: Pid, reason: Reason) -> bool {
        let asked = |wanted: &dyn Fn(GroupAct) -> bool| {
            self.book
                .operations
                .values()
                .any(|o| matches!(&o.what, What::Group { group, act } if group == about && wanted(*act)))
        };
        match reason {
            // A join that is undone at its deadline is a leave.
            Reason::NORMAL => {
                asked(&|act| act == GroupAct::Leave(pid) || act == GroupAct::Join(pid))
                    || self.book.is_over(pid)
            }
            Reason::GROUP_DELETED => self.is_deleted_since(about, 0),
            _ => {
                // Of a process of the same node the end itself is told a little later in the same outputs.
                let own = pid.node == watcher.node;
                own || self.book.is_over(pid) || self.book.breaks_between(watcher.node, pid.node) > 0 || {
                    let life = self.book.lives.get(&pid);
                    life.is_some_and(|l| l.leaving.is_some() || l.kills.contains(&reason) || l.told.is_some())
                }
            }
        }
    }

    // ---- promise 1

    /// The operation was answered OK: what do the linked nodes show?
    pub(crate) fn group_done(&self, slot: usize, o: &Operation) -> R {
        let What::Group { group, act } = &o.what else { return Ok(()) };
        match act {
            GroupAct::Create => {
                if !self.is_deleted_since(group, o.issued) {
                    return self.all_peers(
                        slot,
                        |h| h.groups.contains_key(group),
                        || format!("P1: {group:?} was created"),
                    );
                }
                Ok(())
            }
            GroupAct::Delete => {
                // A group that this node knows no longer is deleted at once, though the same is on its way elsewhere (D22).
                if self.is_being_deleted(group, o) {
                    return Ok(());
                }
                if self.knows_all_since(o.issued) && !self.is_made_since(group, o.issued) {
                    return self.all_peers(
                        slot,
                        |h| !h.groups.contains_key(group),
                        || format!("P1: {group:?} was deleted"),
                    );
                }
                Ok(())
            }
            GroupAct::Join(pid) | GroupAct::Leave(pid) => {
                if pid.node == self.hosts[slot].id {
                    self.shown_in_group(slot, group, *pid, o.step)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// At the home, when it says OK: every linked node shows a count that the home has shown since it was asked.
    pub(crate) fn shown_in_group(&self, home: usize, group: &Name, pid: Pid, asked: u64) -> R {
        let shown = |h: &Host| counts(h.groups.get(group)).get(&pid).copied().unwrap_or(0);
        let log = self.book.counts.get(&(group.clone(), pid)).into_iter().flatten();
        let mut allowed: Vec<u64> = log.filter(|(step, _)| *step >= asked).map(|(_, count)| *count).collect();
        // Who is no member leaves at once, though its end may be on its way elsewhere (D22).
        if allowed.is_empty() {
            return Ok(());
        }
        allowed.push(shown(&self.hosts[home]));
        self.all_peers(
            home,
            |h| allowed.contains(&shown(h)),
            || format!("P1: {pid:?} in {group:?} has been shown {allowed:?} times by its home"),
        )
    }

    fn all_peers(&self, slot: usize, fits: impl Fn(&Host) -> bool, what: impl FnOnce() -> String) -> R {
        let host = &self.hosts[slot];
        for (peer, link) in &host.links {
            let Some(other) = self.hosts.iter().find(|h| h.id == *peer && h.is_up()) else { continue };
            if other.link_to(host.id) == Some(other_end(link.connection)) && !fits(other) {
                return Err(format!(
                    "{} at h{slot}, OK, but h{} shows {:?}\n{}",
                    what(),
                    other.slot,
                    other.groups,
                    self.describe()
                ));
            }
        }
        Ok(())
    }

    /// Was a delete asked later than then, or under way at that moment? Undoing a creation is none: it takes away what that
    /// one has made, and nothing that rests on it.
    fn is_deleted_since(&self, about: &Name, since: u64) -> bool {
        self.book.operations.values().any(|o| {
            matches!(&o.what, What::Group { group, act: GroupAct::Delete } if group == about)
                && o.answered.is_none_or(|at| at >= since)
        })
    }

    /// Is there another delete that may not have come everywhere yet?
    fn is_being_deleted(&self, about: &Name, but: &Operation) -> bool {
        self.book.operations.values().any(|o| {
            matches!(&o.what, What::Group { group, act: GroupAct::Delete | GroupAct::Create } if group == about)
                && o.answer != Some(Status::Ok)
                && (o.step, o.process) != (but.step, but.process)
        })
    }

    /// Was it made, or populated, later than then, or may that have been under way? What is undone is on its way to others
    /// for a while.
    fn is_made_since(&self, about: &Name, since: u64) -> bool {
        self.book.operations.values().any(|o| {
            matches!(&o.what, What::Group { group, act: GroupAct::Create | GroupAct::Join(_) } if group == about)
                && (o.answer != Some(Status::Ok) || o.answered.is_none_or(|at| at >= since))
        })
    }

    /// The same at rest, when what was undone is undone everywhere.
    fn may_exist_since(&self, about: &Name, since: u64) -> bool {
        self.book.operations.iter().any(|((node, _), o)| {
            matches!(&o.what, What::Group { group, act: GroupAct::Create | GroupAct::Join(_) } if group == about)
                && !self.is_undone(*node, o)
                && (o.answer != Some(Status::Ok) || o.answered.is_none_or(|at| at >= since))
        })
    }

    /// A creation or a join of which nothing may be left: its caller was told that it was not done, by a node that lives, so
    /// that all have heard of that; and if the home of the process is another node, by that one.
    fn is_undone(&self, caller: NodeId, o: &Operation) -> bool {
        let home = match &o.what {
            What::Group { act: GroupAct::Create, .. } => caller,
            What::Group { act: GroupAct::Join(pid), .. } => pid.node,
            _ => return false,
        };
        let told = match o.answer {
            Some(Status::Timeout | Status::Cancelled | Status::NotFound | Status::Full) => true,
            // Of a call that was forwarded the home may have heard of it too late.
            Some(Status::NoProcess) => home == caller,
            _ => false,
        };
        told && !self.book.gone.contains(&caller) && !self.book.gone.contains(&home)
    }

    /// All nodes have been linked and synced with each other since before that, and nobody was ever lost.
    fn knows_all_since(&self, since: u64) -> bool {
        let up: Vec<_> = self.hosts.iter().filter(|h| h.is_up()).map(|h| h.id).collect();
        let together = |a, b| self.book.together.get(&(a, b)).is_some_and(|at| *at < since);
        self.plan.mode != Mode::Faulty
            && up.len() == self.hosts.len()
            && up.iter().all(|a| up.iter().all(|b| a >= b || together(*a, *b)))
    }

    // ---- at rest

    /// Two nodes that show different groups.
    pub(crate) fn torn_groups(&self) -> Option<String> {
        let mut up = self.hosts.iter().filter(|h| h.is_up());
        let first = up.next()?;
        let shown = all_counts(first);
        let other = up.find(|host| all_counts(host) != shown)?;
        let (a, b) = (first.slot, other.slot);
        Some(format!("P2: h{a} has groups {shown:?}, h{b} has {:?}", all_counts(other)))
    }

    pub(crate) fn check_groups_at_rest(&self) -> R {
        if let Some(torn) = self.torn_groups() {
            return Err(torn);
        }
        let Some(first) = self.hosts.iter().find(|h| h.is_up()) else { return Ok(()) };
        let shown = all_counts(first);
        for index in 0..self.plan.groups {
            let group = group(index);
            self.check_existence(&group, shown.contains_key(&group))?;
            for (pid, count) in shown.get(&group).into_iter().flatten() {
                if self.book.is_over(*pid) {
                    return Err(format!("P5: the dead {pid:?} is in {group:?}"));
                }
                let most = self.joins(&group, *pid, true);
                if *count > most {
                    return Err(format!(
                        "P1: {pid:?} is in {group:?} {count} times, and joined {most} times"
                    ));
                }
            }
            self.check_members(&group, shown.get(&group))?;
        }
        Ok(())
    }

    /// How many joins were answered OK; or `perhaps` took place, if nobody knows.
    fn joins(&self, about: &Name, member: Pid, perhaps: bool) -> u64 {
        let joined = self.book.operations.iter().filter(|((node, _), o)| match &o.what {
            What::Group { group, act: GroupAct::Join(pid) } if group == about && *pid == member => {
                let caller = Pid { node: *node, serial: o.process };
                // Without a link it is answered at once; later, that the home gave no answer.
                let gave_up = o.answer == Some(Status::Unreachable) && o.answered > Some(o.issued);
                let broke = self.book.breaks_between(*node, pid.node) > o.breaks;
                let unknown = *node != pid.node && (self.book.is_over(caller) || broke || gave_up);
                o.answer == Some(Status::Ok) || perhaps && unknown
            }
            _ => false,
        });
        joined.count() as u64
    }

    /// Where nobody deleted the group, a member is in it as often as it joined, less what it may have left.
    fn check_members(&self, about: &Name, shown: Option<&BTreeMap<Pid, u64>>) -> R {
        if self.is_deleted_since(about, 0) {
            return Ok(());
        }
        let acts = self.book.operations.values();
        let joined: std::collections::BTreeSet<Pid> = acts
            .filter_map(|o| match &o.what {
                What::Group { group, act: GroupAct::Join(pid) } if group == about => Some(*pid),
                _ => None,
            })
            .filter(|pid| !self.book.is_over(*pid))
            .collect();
        for pid in joined {
            let left = self.book.operations.values().filter(|o| {
                matches!(&o.what, What::Group { group, act } if group == about && *act == GroupAct::Leave(pid))
            });
            let least = self.joins(about, pid, false).saturating_sub(left.count() as u64);
            let count = shown.and_then(|m| m.get(&pid)).copied().unwrap_or(0);
            if count < least {
                return Err(format!(
                    "P1: {pid:?} joined {about:?} and must be in it {least} times, not {count}"
                ));
            }
        }
        Ok(())
    }

    /// Existence is linearizable where one answer was given before the next question was asked.
    fn check_existence(&self, about: &Name, exists: bool) -> R {
        let of_group = |o: &&Operation| matches!(&o.what, What::Group { group, .. } if group == about);
        let acts: Vec<&Operation> = self.book.operations.values().filter(of_group).collect();
        let act = |o: &Operation| match &o.what {
            What::Group { act, .. } => Some(*act),
            _ => None,
        };
        // A creation after which nobody has asked to delete it, whose maker is there to say so.
        let made = self.book.operations.iter().any(|((node, _), o)| {
            of_group(&o)
                && act(o) == Some(GroupAct::Create)
                && o.answer == Some(Status::Ok)
                && !self.book.gone.contains(node)
                && !self.is_deleted_since(about, o.issued)
        });
        if made && !exists {
            return Err(format!("P1: {about:?} was created, nobody deleted it since, and it is gone"));
        }
        let deleted = acts.iter().any(|o| {
            act(o) == Some(GroupAct::Delete)
                && o.answer == Some(Status::Ok)
                && self.knows_all_since(o.issued)
                && !self.may_exist_since(about, o.issued)
        });
        if deleted && exists {
            return Err(format!("P1: {about:?} was deleted, nobody made it anew, and it is there"));
        }
        if exists && !self.may_exist_since(about, 0) {
            return Err(format!("P1: {about:?} exists, and whoever made it was told that it did not"));
        }
        Ok(())
    }
}
