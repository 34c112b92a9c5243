//! What a process has of a lock, as its home keeps it.
//!
//! A hold is made of *parts*: what was acquired to be kept, and what was acquired for each scope (`convoke_lock_with`). The
//! end of a scope leaves the hold as it would be without it, however scopes are nested or overlap, and on whatever lists of
//! nodes. Each part is judged by its own set of nodes, and lost by itself: what another one has beside it, or acquires
//! later, says nothing about what may have happened where this one was lost. The process may rely on the lock when no part
//! of it is lost.

use super::node_set::{Change, NodeSet, NodeSets};
use crate::{NodeId, Reason, Ref, Standing};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Nodes that the link broke to, with their names. They bind it again if they come back.
type Broken = BTreeMap<NodeId, String>;

/// Something that was acquired, and where it is held.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// It takes in nodes that join; else it is on a list.
    view: bool,
    nodes: NodeSet,
    /// The process was told that it cannot rely on it, for this reason. It goes on keeping others out.
    lost: Option<Reason>,
}

impl Part {
    pub(super) fn binds_on(&self, node: NodeId) -> bool {
        self.view || self.nodes.contains(&node)
    }

    /// "Broken links leave at most half of the set", or there is nothing left of it.
    fn is_minority(&self, is_missed: impl Fn(&NodeId) -> bool) -> bool {
        let missed = self.nodes.iter().filter(|node| is_missed(node)).count();
        2 * (self.nodes.len() - missed) <= self.nodes.len()
    }

    /// More is acquired to be kept. What was lost is made good by what covers it: a hold on the view by whatever was
    /// granted anew on all of it that is there (the caller sees to that), one on a list by all nodes of the list.
    fn add(&mut self, part: Self, sets: &mut NodeSets) {
        let is_view = self.view || part.view;
        if self.lost.is_some() && (is_view || self.nodes.is_subset(&part.nodes)) {
            (self.nodes, self.lost) = (part.nodes, None);
        } else if !part.nodes.is_subset(&self.nodes) {
            self.nodes = sets.share(&*self.nodes | &*part.nodes);
        }
        self.view = is_view;
    }
}

/// A lock that a process of this node holds, or believes to.
#[derive(Default, Debug)]
pub(super) struct Own {
    pub(super) token: u64,
    broken: Option<Arc<Broken>>,
    kept: Option<Part>,
    /// `None`: what the scope had was given back before its end.
    #[allow(clippy::box_collection)]
    // two words less in each of very many holds, hardly any of which has scopes
    scopes: Option<Box<BTreeMap<Ref, Option<Part>>>>,
}

impl Own {
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        let of_scopes = self.scopes.iter().flat_map(|scopes| scopes.values().flatten());
        self.kept.iter().chain(of_scopes)
    }

    fn parts_mut(&mut self) -> impl Iterator<Item = &mut Part> {
        let of_scopes = self.scopes.iter_mut().flat_map(|scopes| scopes.values_mut().flatten());
        self.kept.iter_mut().chain(of_scopes)
    }

    /// The token, if the process may rely on the lock.
    pub(crate) fn check(&self) -> Option<u64> {
        let is_held = self.parts().next().is_some();
        (is_held && self.parts().all(|part| part.lost.is_none())).then_some(self.token)
    }

    pub(super) fn is_on_view(&self) -> bool {
        self.parts().any(|part| part.view)
    }

    /// Where it binds.
    pub(crate) fn nodes(&self) -> BTreeSet<NodeId> {
        let mut parts = self.parts();
        let mut nodes = parts.next().map(|part| (*part.nodes).clone()).unwrap_or_default();
        parts.for_each(|part| nodes.extend(part.nodes.iter()));
        nodes
    }

    pub(super) fn is_bound_on(&self, node: NodeId) -> bool {
        self.parts().any(|part| part.binds_on(node))
    }

    /// What the hold is worth where it binds at this voter: as much as the best of its parts there. `None`: it does not.
    pub(super) fn standing_on(&self, voter: NodeId) -> Option<Standing> {
        let there = self.parts().filter(|part| part.binds_on(voter));
        let standings = there.map(|part| match part.lost {
            None => Standing::Relied,
            Some(Reason::MINORITY) => Standing::Minority,
            Some(_) => Standing::SecondHolder,
        });
        standings.max()
    }

    fn is_broken(&self, node: &NodeId) -> bool {
        self.broken.as_ref().is_some_and(|broken| broken.contains_key(node))
    }

    /// The name of a node that the link broke to.
    pub(super) fn name_of_broken(&self, node: &NodeId) -> Option<&String> {
        self.broken.as_ref()?.get(node)
    }

    /// The nodes that the link broke to.
    pub(crate) fn broken(&self) -> impl Iterator<Item = NodeId> {
        self.broken.iter().flat_map(|broken| broken.keys().copied())
    }

    /// Of what is kept and was lost, the nodes that are there: they must grant it anew.
    pub(crate) fn to_be_granted_anew(&self) -> BTreeSet<NodeId> {
        let lost = self.kept.iter().filter(|part| part.lost.is_some());
        lost.flat_map(|part| part.nodes.iter()).filter(|node| !self.is_broken(node)).copied().collect()
    }

    // ---- what is acquired and given back

    /// For a scope, or to be kept.
    pub(crate) fn acquired(
        &mut self,
        scope: Option<Ref>,
        view: bool,
        nodes: BTreeSet<NodeId>,
        token: u64,
        sets: &mut NodeSets,
    ) {
        self.mend(&mut Change::default(), |broken| broken.retain(|node, _| !nodes.contains(node)));
        self.token = self.token.max(token);
        let part = Part { view, nodes: sets.share(nodes), lost: None };
        match (scope, &mut self.kept) {
            (Some(scope), _) => {
                self.scopes.get_or_insert_default().insert(scope, Some(part));
            }
            (None, Some(kept)) => kept.add(part, sets),
            (None, kept) => *kept = Some(part),
        }
        self.forget_broken();
    }

    /// Whatever was lost of it is relied on again.
    pub(super) fn make_good(&mut self) {
        self.parts_mut().for_each(|part| part.lost = None);
    }

    /// A scope ends. Says whether it was open.
    pub(super) fn end_scope(&mut self, scope: Ref) -> bool {
        let was_open = self.scopes.as_mut().is_some_and(|scopes| scopes.remove(&scope).is_some());
        self.scopes.take_if(|scopes| scopes.is_empty());
        self.forget_broken();
        was_open
    }

    /// Something was given back: the hold is on these nodes from now on, and takes in none that join. Else a scope that
    /// ends later would leave behind what was given back long ago.
    pub(super) fn shrink(&mut self, rest: &BTreeSet<NodeId>, sets: &mut NodeSets) {
        self.parts_mut().for_each(|part| part.view = false);
        // Of some the nodes have all left. That takes nothing away from what the process believes to hold.
        let is_left = |part: &Part| part.nodes.is_empty() || !part.nodes.is_disjoint(rest);
        self.retain(is_left);
        for part in self.parts_mut().filter(|part| !part.nodes.is_subset(rest)) {
            part.nodes = sets.share(&*part.nodes & rest);
        }
        self.forget_broken();
    }

    /// What binds at this voter, lost as it is, ends. Says whether anything is left.
    pub(super) fn end_on(&mut self, voter: NodeId) -> bool {
        self.retain(|part| !part.binds_on(voter));
        self.forget_broken();
        self.parts().next().is_some()
    }

    fn retain(&mut self, stays: impl Fn(&Part) -> bool) {
        self.kept.take_if(|part| !stays(part));
        for part in self.scopes.iter_mut().flat_map(|scopes| scopes.values_mut()) {
            part.take_if(|part| !stays(part));
        }
    }

    // ---- what becomes of it

    /// Parts of it are lost. Says whether any was not before.
    pub(crate) fn lose(&mut self, reason: Reason, is_lost: impl Fn(&Part) -> bool) -> bool {
        let mut is_new = false;
        for part in self.parts_mut().filter(|part| part.lost.is_none()) {
            if is_lost(part) {
                part.lost = Some(reason);
                is_new = true;
            }
        }
        is_new
    }

    /// Broken links have left parts of it in a minority. Says whether any was not lost before.
    pub(super) fn lose_minorities(&mut self, is_excused: impl Fn(NodeId) -> bool) -> bool {
        let Some(broken) = self.broken.clone() else {
            return self.lose(Reason::MINORITY, |part| part.is_minority(|_| false));
        };
        let is_missed = |node: &NodeId| broken.contains_key(node) && !is_excused(*node);
        self.lose(Reason::MINORITY, |part| part.is_minority(is_missed))
    }

    /// A node is gone for good. Says whether it was in any set.
    pub(crate) fn leave(
        &mut self,
        node: NodeId,
        change: &mut (Change<BTreeSet<NodeId>>, Change<Broken>),
        sets: &mut NodeSets,
    ) -> bool {
        let mut was_in = false;
        for part in self.parts_mut().filter(|part| part.nodes.contains(&node)) {
            was_in = true;
            part.nodes = change.0.of(&part.nodes, |nodes| {
                let mut nodes = nodes.clone();
                nodes.remove(&node);
                sets.share(nodes)
            });
        }
        if self.is_broken(&node) {
            self.mend(&mut change.1, |broken| {
                broken.remove(&node); // it had come back, and not been heard out
            });
        }
        was_in
    }

    /// The link to a node broke: it may keep others out no longer, and let them have the lock. Says whether it is in any
    /// set.
    pub(super) fn miss(&mut self, node: NodeId, name: &str, change: &mut Change<Broken>) -> bool {
        let is_in = self.parts().any(|part| part.nodes.contains(&node));
        if is_in {
            let old = self.broken.take().unwrap_or_else(|| change.nothing());
            self.broken = Some(change.of(&old, |broken| {
                let mut broken = broken.clone();
                broken.insert(node, name.to_owned());
                Arc::new(broken)
            }));
        }
        is_in
    }

    /// A node has this node's snapshot: it binds what is on the view, and again what was on it before the link broke. On
    /// the view it takes the place of one of its name that is surely gone.
    pub(crate) fn join(
        &mut self,
        node: NodeId,
        name: &str,
        change: &mut (Change<BTreeSet<NodeId>>, Change<Broken>),
        sets: &mut NodeSets,
    ) {
        let is_replaced = |broken: &Broken, old: &NodeId| broken.get(old).is_some_and(|old| old == name);
        let broken = self.broken.clone();
        for part in self.parts_mut().filter(|part| part.view) {
            // What the others have is changed in the same way if the same nodes are replaced.
            let replaced: Vec<NodeId> = match &broken {
                None => Vec::new(),
                Some(broken) => part.nodes.iter().filter(|old| is_replaced(broken, old)).copied().collect(),
            };
            if replaced.is_empty() && part.nodes.contains(&node) {
                continue;
            }
            let mut changed = |nodes: &BTreeSet<NodeId>| {
                let mut nodes: BTreeSet<NodeId> =
                    nodes.iter().filter(|node| !replaced.contains(node)).copied().collect();
                nodes.insert(node);
                sets.share(nodes)
            };
            part.nodes =
                if replaced.is_empty() { change.0.of(&part.nodes, changed) } else { changed(&part.nodes) };
        }
        if self.is_broken(&node) {
            self.mend(&mut change.1, |broken| {
                broken.remove(&node);
            });
        }
        self.forget_broken();
    }

    fn mend(&mut self, change: &mut Change<Broken>, how: impl FnOnce(&mut Broken)) {
        let Some(old) = self.broken.take() else { return };
        let new = change.of(&old, |broken| {
            let mut broken = broken.clone();
            how(&mut broken);
            Arc::new(broken)
        });
        self.broken = Some(new).filter(|broken| !broken.is_empty());
    }

    /// Of the broken ones only those count that something is on.
    fn forget_broken(&mut self) {
        let Some(broken) = &self.broken else { return };
        if broken.keys().any(|node| !self.parts().any(|part| part.nodes.contains(node))) {
            let nodes = self.nodes();
            self.mend(&mut Change::default(), |broken| broken.retain(|node, _| nodes.contains(node)));
        }
    }
}
