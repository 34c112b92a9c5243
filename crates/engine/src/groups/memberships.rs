//! Who is a member of which group, as far as this node sees: the rows, and what readers and monitors are told of them.

use super::existence::{Dots, Told};
use super::joining::Joinings;
use super::maker::Makers;
use super::withdrawal::Withdrawals;
use crate::Entries;
use crate::budget::{self, Tally};
use crate::machine::Engine;
use crate::processes::Watch;
use crate::*;
use foldhash::quality::FixedState;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// A process joins a group at most so often without leaving: every copy is an entry in the readers' list.
pub(super) const MAX_COUNT: u64 = 1 << 16;

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(super) count: u64,
    pub(super) dots: BTreeSet<Dot>,
}

/// Rows of one group, by home and serial.
pub(crate) type Rows = BTreeMap<NodeId, BTreeMap<u64, Row>>;

/// A group that has members.
#[derive(Default, Debug)]
struct Inhabited {
    homes: Rows,
    /// The same, as readers see them.
    entries: Entries,
}

/// What a home publishes.
#[derive(Default, Debug)]
struct Owned {
    rows: BTreeSet<(Name, u64)>,
    /// Entries of its processes, each as often as it has joined.
    entries: u64,
}

#[derive(Default, Debug)]
pub(crate) struct Groups {
    pub(super) dots: Dots,
    rows: BTreeMap<Name, Inhabited>,
    owned: BTreeMap<NodeId, Owned>,
    /// What the memberships of each node take.
    pub(super) tally: Tally,
    watchers: BTreeMap<Name, BTreeSet<(u64, Ref)>>,
    /// Members elsewhere that a delete has ended and whose homes have not withdrawn them yet.
    doomed: BTreeMap<Name, BTreeSet<Pid>>,
    /// Groups that readers see.
    published: HashSet<Name, FixedState>,
    /// To be looked at at the end of the input, and whether members have changed.
    dirty: Vec<(Name, bool)>,
    /// The list of all groups without members.
    nobody: Members,
    pub(super) joinings: Joinings,
    pub(super) withdrawals: Withdrawals,
    /// Deletes of this node that are not acknowledged by all: what they have ended.
    pub(super) deletes: BTreeMap<Tx, (Name, BTreeSet<Dot>)>,
    pub(super) makers: Makers,
    /// What peers are in the middle of telling.
    pub(super) told: BTreeMap<NodeId, Told>,
    /// When peers that differed were told all.
    pub(super) told_all: BTreeMap<NodeId, Time>,
    /// Peers that were told all and have not answered, and whether they differed again since.
    pub(super) asked: BTreeMap<NodeId, bool>,
    /// Digests that each peer was told and has not answered: so often it may ask for everything.
    pub(super) unanswered: BTreeMap<NodeId, u64>,
}

impl Groups {
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }
    pub(crate) fn withdrawal_tally(&self) -> &Tally {
        &self.withdrawals.tally
    }
    /// Withdrawals that deletes wait for: the groups, and whose deletes.
    pub(crate) fn withdrawals(
        &self,
    ) -> impl Iterator<Item = (&Tx, &BTreeSet<Name>, &BTreeSet<(NodeId, Tx)>)> {
        self.withdrawals.under_way()
    }
    /// Whether this publication is a withdrawal: deletes of other nodes may wait for it.
    pub(crate) fn is_withdrawal(&self, tx: Tx) -> bool {
        self.withdrawals.is_under_way(&tx)
    }
    /// Whether it is a delete of this node's: that is repeated on new links, and acknowledged by itself.
    pub(crate) fn is_delete(&self, tx: Tx) -> bool {
        self.deletes.contains_key(&tx)
    }
    pub(crate) fn forget_delete(&mut self, tx: Tx) {
        self.deletes.remove(&tx);
    }
    /// "A group exists while it has a live dot or a visible member."
    pub(crate) fn exists(&self, group: &Name) -> bool {
        self.dots.is_live(group) || self.rows.contains_key(group)
    }
    /// Whether a process may join it. A group that only shows members who are about to go is deleted: a join would bring it
    /// back.
    pub(super) fn can_be_joined(&self, group: &Name) -> bool {
        let all_doomed = |Inhabited { homes, .. }: &Inhabited| {
            let members: usize = homes.values().map(BTreeMap::len).sum();
            self.doomed.get(group).is_some_and(|doomed| doomed.len() == members)
        };
        self.dots.is_live(group) || self.rows.get(group).is_some_and(|inhabited| !all_doomed(inhabited))
    }
    pub(super) fn doom(&mut self, group: &Name, pid: Pid) {
        self.doomed.entry(group.clone()).or_default().insert(pid);
    }
    /// The node that deleted them may be lost, and their homes may never hear of it.
    pub(super) fn clear_doomed(&mut self) {
        self.doomed.clear();
    }
    pub(crate) fn clear_doomed_of(&mut self, group: &Name) {
        self.doomed.remove(group);
    }
    pub(super) fn rows_of(&self, group: &Name) -> Option<&Rows> {
        self.rows.get(group).map(|inhabited| &inhabited.homes)
    }
    pub(crate) fn row(&self, group: &Name, pid: Pid) -> Option<&Row> {
        self.rows_of(group)?.get(&pid.node)?.get(&pid.serial)
    }
    pub(super) fn entries_of(&self, node: NodeId) -> u64 {
        self.owned.get(&node).map_or(0, |owned| owned.entries)
    }
    /// Whose processes are members.
    pub(crate) fn homes(&self) -> Vec<NodeId> {
        self.owned.keys().copied().collect()
    }
    /// How many members there are, and how many of them live on this node.
    pub(crate) fn memberships(&self) -> usize {
        self.owned.values().map(|owned| owned.rows.len()).sum()
    }
    pub(crate) fn memberships_of(&self, node: NodeId) -> usize {
        self.owned.get(&node).map_or(0, |owned| owned.rows.len())
    }
    /// (group, serial) of every member whose home is this node.
    pub(crate) fn owned_by(&self, node: NodeId) -> Vec<(Name, u64)> {
        self.owned.get(&node).map(|owned| owned.rows.iter().cloned().collect()).unwrap_or_default()
    }
    /// The node closes.
    pub(crate) fn forget_work(&mut self) {
        self.told.clear();
        self.asked.clear();
        self.told_all.clear();
        self.unanswered.clear();
        self.joinings = Joinings::default();
        self.withdrawals = Withdrawals::default();
        self.deletes.clear();
    }
    pub(crate) fn residue(&self) -> usize {
        self.doomed.len()
            + self.told.len()
            + self.asked.len()
            + self.joinings.len()
            + self.withdrawals.residue()
    }
    pub(super) fn touch(&mut self, group: &Name, members: bool) {
        match self.dirty.last_mut().filter(|(last, _)| last == group) {
            Some((_, changed)) => *changed |= members,
            None => self.dirty.push((group.clone(), members)),
        }
    }

    /// The same for all groups that have a live dot.
    pub(super) fn touch_all_live(&mut self) {
        self.dirty.extend(self.dots.groups().map(|group| (group.clone(), false)));
    }

    /// Sets a row, or removes it (`None`). Returns the count that it had. `me`: this node.
    fn put(&mut self, me: NodeId, group: &Name, pid: Pid, row: Option<Row>) -> u64 {
        let new = row.as_ref().map_or(0, |row| row.count);
        let bytes = |row: &Row| budget::of_membership(group, row.count, row.dots.len());
        let (old, freed) = self.row(group, pid).map_or((0, 0), |row| (row.count, bytes(row)));
        self.tally.subtract(pid.node, freed);
        self.tally.add(pid.node, row.as_ref().map_or(0, bytes));
        if let Some(doomed) = self.doomed.get_mut(group) {
            doomed.remove(&pid);
            if doomed.is_empty() {
                self.doomed.remove(group);
            }
        }
        match row {
            Some(row) => {
                let Inhabited { homes, entries } = self.rows.entry(group.clone()).or_default();
                homes.entry(pid.node).or_default().insert(pid.serial, row);
                if new != old {
                    entries.set(me, pid, new);
                }
                let owned = self.owned.entry(pid.node).or_default();
                owned.rows.insert((group.clone(), pid.serial));
                owned.entries = owned.entries + new - old;
            }
            None if old > 0 => {
                if let Some(Inhabited { homes, entries }) = self.rows.get_mut(group) {
                    entries.set(me, pid, 0);
                    if let Some(rows) = homes.get_mut(&pid.node) {
                        rows.remove(&pid.serial);
                        if rows.is_empty() {
                            homes.remove(&pid.node);
                        }
                    }
                    if homes.is_empty() {
                        self.rows.remove(group);
                    }
                }
                if let Some(owned) = self.owned.get_mut(&pid.node) {
                    owned.rows.remove(&(group.clone(), pid.serial));
                    owned.entries -= old;
                    if owned.rows.is_empty() {
                        self.owned.remove(&pid.node);
                    }
                }
            }
            None => {}
        }
        self.touch(group, new != old);
        old
    }

    /// Local entries first, every pid as often as it has joined.
    fn members(&self, group: &Name) -> Members {
        self.rows.get(group).map_or_else(|| self.nobody.clone(), |inhabited| inhabited.entries.members())
    }

    fn watchers_of(&self, group: &Name) -> Vec<(u64, Ref)> {
        self.watchers.get(group).map(|set| set.iter().copied().collect()).unwrap_or_default()
    }
}

impl Engine {
    /// A member's row is another one from now on; none with a count of 0. Monitors are told of every change in order.
    pub(super) fn set_membership(&mut self, owner: NodeId, membership: Membership) {
        let Membership { group, serial, count, dots, why } = membership;
        let pid = Pid { node: owner, serial };
        let old =
            self.groups.put(self.cx.config.node, &group, pid, (count > 0).then_some(Row { count, dots }));
        if owner == self.cx.config.node {
            if count == 0 {
                self.groups.joinings.forget(&group, serial);
            }
            self.processes.note_membership(serial, &group, count > 0);
        }
        if count == old {
            return;
        }
        for (process, reference) in self.groups.watchers_of(&group) {
            let group = group.clone();
            let event = if count > old {
                Event::GroupJoined { reference, group, pid, count, old }
            } else {
                Event::GroupLeft { reference, group, pid, count, old, reason: why }
            };
            self.event(Effect::Notify { process, event });
        }
    }

    /// The link to the home of these members went down: "if a member terminates, it is automatically removed".
    pub(super) fn drop_memberships_of(&mut self, owner: NodeId, why: Reason) {
        for (group, serial) in self.groups.owned_by(owner) {
            let gone = Membership { group, serial, count: 0, dots: BTreeSet::new(), why };
            self.set_membership(owner, gone);
        }
    }

    // ---- monitors

    /// The present members, the end of that, then every change.
    pub(crate) fn group_monitor(&mut self, serial: u64, reference: Ref, group: Name) {
        let Some(process) = self.processes.get_mut(serial) else { return };
        process.add_monitor(reference, Watch::Group(group.clone()));
        self.groups.watchers.entry(group.clone()).or_default().insert((serial, reference));
        let homes = self.groups.rows_of(&group).into_iter().flatten();
        let present = homes.flat_map(|(node, rows)| {
            rows.iter().map(|(member, row)| Event::GroupJoined {
                reference,
                group: group.clone(),
                pid: Pid { node: *node, serial: *member },
                count: row.count,
                old: 0,
            })
        });
        for event in present.chain([Event::SnapshotEnd { reference }]).collect::<Vec<_>>() {
            self.event(Effect::Notify { process: serial, event });
        }
    }

    pub(crate) fn group_unwatch(&mut self, serial: u64, reference: Ref, group: &Name) {
        if let Some(watchers) = self.groups.watchers.get_mut(group) {
            watchers.remove(&(serial, reference));
            if watchers.is_empty() {
                self.groups.watchers.remove(group);
            }
        }
    }

    // ---- readers

    /// Called when the outputs are drained: once for all changes of a group, however many inputs there were before that.
    pub(crate) fn publish_groups(&mut self) {
        if self.groups.dirty.is_empty() {
            return;
        }
        let mut dirty = std::mem::take(&mut self.groups.dirty);
        if !dirty.is_sorted() {
            dirty.sort_unstable();
        }
        let live = self.groups.dots.are_live(dirty.iter().map(|(group, _)| group));
        let mut groups = Vec::with_capacity(dirty.len());
        if self.groups.published.is_empty() {
            self.groups.published.reserve(dirty.len());
        }
        let mut dirty = dirty.into_iter().zip(live).peekable();
        while let Some(((group, members_changed), is_live)) = dirty.next() {
            // Of the rows of one group the last says whether members have changed.
            if dirty.peek().is_some_and(|((next, _), _)| *next == group) {
                continue;
            }
            let members = if !(is_live || self.groups.rows.contains_key(&group)) {
                if !self.groups.published.remove(&group) {
                    continue;
                }
                None
            } else if self.groups.published.insert(group.clone()) || members_changed {
                Some(self.groups.members(&group))
            } else {
                continue;
            };
            groups.push((group, members));
        }
        if !groups.is_empty() {
            self.cx.out.publish(Effect::PublishGroups { groups });
        }
    }

    pub(crate) fn all_groups(&self) -> Vec<(Name, Members)> {
        let groups: BTreeSet<&Name> = self.groups.dots.groups().chain(self.groups.rows.keys()).collect();
        groups.into_iter().map(|g| (g.clone(), self.groups.members(g))).collect()
    }
}

impl Groups {
    /// Live dots.
    #[cfg(debug_assertions)]
    pub(crate) fn dots(&self) -> usize {
        self.dots.live_count()
    }

    pub(crate) fn check_invariants(&self) -> Sound {
        let rows = || {
            self.rows.iter().flat_map(|(group, inhabited)| {
                let homes = inhabited.homes.iter();
                homes.flat_map(move |(node, rows)| {
                    rows.iter().map(move |(serial, row)| (group, *node, *serial, row))
                })
            })
        };
        let mut owned = BTreeMap::<NodeId, (BTreeSet<(Name, u64)>, u64)>::new();
        for (group, node, serial, row) in rows() {
            let (members, entries) = owned.entry(node).or_default();
            members.insert((group.clone(), serial));
            *entries += row.count;
        }
        let indexed = self.owned.iter().map(|(node, owned)| (*node, (owned.rows.clone(), owned.entries)));
        same("memberships by home", &owned, &indexed.collect())?;
        let bytes = rows()
            .map(|(group, node, _, row)| (node, budget::of_membership(group, row.count, row.dots.len())));
        self.tally.check("bytes of memberships", bytes)?;
        for (group, inhabited) in &self.rows {
            let count: u64 = inhabited.homes.values().flat_map(BTreeMap::values).map(|row| row.count).sum();
            same("entries of a group", inhabited.entries.members().as_slice().len() as u64, count)?;
            let doomed = self.doomed.get(group).map_or(0, BTreeSet::len);
            ensure(doomed as u64 <= count, || format!("members of {group:?} that are none are about to go"))?;
        }
        self.dots.check_invariants()
    }
}
