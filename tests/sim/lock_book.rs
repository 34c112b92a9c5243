//! What is true about locks, as far as it can be told from outside: which shares their homes were granted, where they
//! bind, who voted for what over which link, and the tokens that were seen.

use crate::book::{Operation, What};
use crate::departures::Unclear;
use convoke::engine::{Hold, Tx};
use convoke::model::{ConnectionId, Name, NodeId, Pid, Reason, Ref};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// One process's share of a lock under one requester.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Share {
    pub(crate) resource: Name,
    pub(crate) requester: Name,
    pub(crate) pid: Pid,
}

/// A vote, or the binding of a hold, at a node other than its home.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bound {
    /// The node's end of the link with the home.
    pub(crate) over: ConnectionId,
    pub(crate) step: u64,
    /// It voted; otherwise it was told in a snapshot.
    pub(crate) voted: bool,
    /// The largest token of another requester that was bound there before.
    pub(crate) floor: u64,
    /// The step in which the home lost the link that it came over.
    pub(crate) void: Option<u64>,
}

/// Something of a share: what was acquired to be kept, or for a scope.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    pub(crate) view: bool,
    /// Its set, without the nodes that left in order.
    pub(crate) nodes: BTreeSet<NodeId>,
    pub(crate) lost: Option<Reason>,
}

impl Part {
    pub(crate) fn binds_on(&self, node: NodeId) -> bool {
        self.view || self.nodes.contains(&node)
    }
    /// "Broken links leave at most half of the set."
    pub(crate) fn is_minority(&self, broken: &BTreeSet<NodeId>) -> bool {
        let present = (&self.nodes - broken).len();
        present == 0 || present < self.nodes.len() && 2 * present <= self.nodes.len()
    }
}

/// A share from its grant to its end.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// What was acquired to be kept, and what for a scope; `None`: nothing of it is left.
    pub(crate) kept: Option<Part>,
    pub(crate) scopes: BTreeMap<Ref, Option<Part>>,
    pub(crate) token: u64,
    /// It was on the view once: nodes that join may yet hear of that.
    pub(crate) was_view: bool,
    /// The nodes that the link of the home broke to.
    pub(crate) broken: BTreeSet<NodeId>,
    /// Every node that was ever in it.
    pub(crate) ever: BTreeSet<NodeId>,
    pub(crate) bound: BTreeMap<NodeId, Bound>,
    pub(crate) since: u64,
    pub(crate) step: u64,
    /// Since when all of it is lost to broken links.
    pub(crate) minority_since: Option<u64>,
}

impl Held {
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.kept.iter().chain(self.scopes.values().flatten())
    }
    pub(crate) fn parts_mut(&mut self) -> impl Iterator<Item = &mut Part> {
        self.kept.iter_mut().chain(self.scopes.values_mut().flatten())
    }
    pub(crate) fn view(&self) -> bool {
        self.parts().any(|part| part.view)
    }
    pub(crate) fn nodes(&self) -> BTreeSet<NodeId> {
        self.parts().flat_map(|part| &part.nodes).copied().collect()
    }
    pub(crate) fn binds_on(&self, node: NodeId) -> bool {
        self.parts().any(|part| part.binds_on(node))
    }
    /// No part of it is lost.
    pub(crate) fn is_relied_on(&self) -> bool {
        self.parts().all(|part| part.lost.is_none())
    }
    /// Something of it that binds there is not lost.
    pub(crate) fn is_relied_on_at(&self, node: NodeId) -> bool {
        self.parts().any(|part| part.binds_on(node) && part.lost.is_none())
    }
    fn is_lost_to_links_at(&self, node: NodeId) -> bool {
        let mut there = self.parts().filter(|part| part.binds_on(node)).peekable();
        there.peek().is_some() && there.all(|part| part.lost == Some(Reason::MINORITY))
    }

    /// Parts of it are lost. Says whether any was not before.
    pub(crate) fn lose(&mut self, reason: Reason, now: u64, is_lost: impl Fn(&Part) -> bool) -> bool {
        let mut is_new = false;
        for part in self.parts_mut().filter(|part| part.lost.is_none() && is_lost(part)) {
            part.lost = Some(reason);
            is_new = true;
        }
        if self.parts().all(|part| part.lost == Some(Reason::MINORITY)) {
            self.minority_since.get_or_insert(now);
        }
        is_new
    }

    /// Something is acquired. What is kept and was lost is made good by what covers it.
    pub(crate) fn add(&mut self, scope: Option<Ref>, part: Part) {
        self.minority_since = None;
        match (scope, &mut self.kept) {
            (Some(scope), _) => {
                self.scopes.insert(scope, Some(part));
            }
            (None, None) => self.kept = Some(part),
            (None, Some(kept)) => {
                kept.view |= part.view;
                if kept.lost.is_some() && (kept.view || kept.nodes.is_subset(&part.nodes)) {
                    (kept.lost, kept.nodes) = (None, part.nodes);
                } else {
                    kept.nodes.extend(part.nodes);
                }
            }
        }
    }

    /// What of it is left on these nodes.
    fn shrink(&mut self, rest: &BTreeSet<NodeId>) {
        let stays = |part: &Part| part.nodes.is_empty() || !part.nodes.is_disjoint(rest);
        self.retain(stays);
        for part in self.parts_mut() {
            part.view = false;
            part.nodes.retain(|node| rest.contains(node));
        }
        self.bound.retain(|node, _| rest.contains(node));
    }

    fn retain(&mut self, stays: impl Fn(&Part) -> bool) {
        self.kept.take_if(|part| !stays(part));
        for part in self.scopes.values_mut() {
            part.take_if(|part| !stays(part));
        }
    }

    /// A scope of it, or what binds at a voter, has ended: of what is left nothing joins where it was on the view.
    fn tidy(&mut self) {
        let nodes = self.nodes();
        self.broken.retain(|node| nodes.contains(node));
        if !self.view() {
            self.bound.retain(|node, _| nodes.contains(node));
        }
    }
}

/// A share that has ended.
#[derive(Debug)]
pub(crate) struct Past {
    share: Share,
    view: bool,
    ever: BTreeSet<NodeId>,
    /// When it was not relied on any more: the end of the share, or the loss of it to broken links.
    end: u64,
}

#[derive(Default, Debug)]
pub(crate) struct LockBook {
    pub(crate) live: BTreeMap<Share, Held>,
    pub(crate) past: Vec<Past>,
    /// Votes under way or counted, of nodes other than the home.
    pub(crate) votes: BTreeMap<Tx, BTreeMap<NodeId, Bound>>,
    /// The names that incarnations bear.
    pub(crate) names: BTreeMap<NodeId, String>,
    pub(crate) unclear: Unclear,
    /// Nodes that a claim cannot do without, though they were missing when it began.
    pub(crate) needs: BTreeMap<(NodeId, Ref), Vec<NodeId>>,
    /// What claims are for.
    pub(crate) wants: BTreeMap<Tx, (Name, Name)>,
    /// What a home said of completions in the present input.
    pub(crate) published: BTreeMap<Share, VecDeque<(Tx, Hold)>>,
    /// What a home said last of what is left of a share: where it stays, if anywhere.
    pub(crate) said_of_rest: Option<(Share, Option<BTreeSet<NodeId>>)>,
    /// Shares that a home has ended, in whole or in part, in the present input although nobody gave them back.
    pub(crate) ended: Vec<Share>,
    /// The voter that has told of two holders in the present input; `None`: the home's own, if any.
    pub(crate) told_by: Option<NodeId>,
    /// The largest token of each requester that was ever bound at a node.
    floors: BTreeMap<(NodeId, Name), BTreeMap<Name, u64>>,
}

impl LockBook {
    /// The largest token of another requester that was bound at the node.
    pub(crate) fn floor(&self, node: NodeId, resource: &Name, requester: &Name) -> u64 {
        let seen = self.floors.get(&(node, resource.clone())).into_iter().flatten();
        seen.filter(|(r, _)| *r != requester).map(|(_, token)| *token).max().unwrap_or(0)
    }

    pub(crate) fn raise_floor(&mut self, node: NodeId, share: &Share, token: u64) {
        let seen = self.floors.entry((node, share.resource.clone())).or_default();
        let floor = seen.entry(share.requester.clone()).or_default();
        *floor = token.max(*floor);
    }

    /// The share is over at its home.
    pub(crate) fn end(&mut self, share: &Share, now: u64) {
        if let Some(Held { was_view, ever, minority_since, .. }) = self.live.remove(share) {
            let end = minority_since.unwrap_or(now);
            self.past.push(Past { share: share.clone(), view: was_view, ever, end });
        }
    }

    fn named(&self, held: &Held, names: &[String]) -> BTreeSet<NodeId> {
        let is_named = |node: &NodeId| self.names.get(node).is_some_and(|name| names.contains(name));
        held.nodes().into_iter().filter(is_named).collect()
    }

    /// Is it held, on any of these nodes if some are named?
    pub(crate) fn is_held_on(&self, share: &Share, names: Option<&[String]>) -> bool {
        let held = self.live.get(share);
        let on = |held: &Held, names| held.nodes().is_empty() || !self.named(held, names).is_empty();
        held.is_some_and(|held| names.is_none_or(|names| on(held, names)))
    }

    /// The share is given back on these nodes; what is left of it is a list.
    pub(crate) fn shrink(&mut self, share: &Share, names: &[String], now: u64) {
        let Some(gone) = self.live.get(share).map(|held| self.named(held, names)) else { return };
        // A share whose nodes have all left ends wherever it is given back.
        let touched = |held: &&mut Held| !gone.is_empty() || held.nodes().is_empty();
        let Some(held) = self.live.get_mut(share).filter(touched) else { return };
        let rest = &held.nodes() - &gone;
        held.shrink(&rest);
        held.tidy();
        if rest.is_empty() {
            self.end(share, now);
        }
    }

    /// A scope of the share ends; what is left of it.
    pub(crate) fn end_scope(&mut self, share: &Share, scope: Ref, now: u64) {
        let Some(held) = self.live.get_mut(share) else { return };
        held.scopes.remove(&scope);
        held.tidy();
        if held.parts().next().is_none() {
            self.end(share, now);
        }
    }

    /// What of a share binds at this voter ends, if it was lost to broken links and has met another holder. Says whether
    /// that is so.
    pub(crate) fn end_lost(&mut self, share: &Share, voter: NodeId, now: u64) -> bool {
        let held = self.live.get(share);
        if !held.is_some_and(|held| held.is_lost_to_links_at(voter) && self.had_rival(share, held)) {
            return false;
        }
        let Some(held) = self.live.get_mut(share) else { return false };
        held.retain(|part| !part.binds_on(voter));
        held.tidy();
        if held.parts().next().is_none() {
            self.end(share, now);
        }
        true
    }

    pub(crate) fn open_scopes(&self, home: NodeId) -> Vec<(Share, Ref)> {
        let scopes = |(share, held): (&Share, &Held)| {
            held.scopes.keys().map(|scope| (share.clone(), *scope)).collect::<Vec<_>>()
        };
        self.of_home(home).flat_map(scopes).collect()
    }

    pub(crate) fn end_all_of(&mut self, now: u64, is_over: impl Fn(Pid) -> bool) {
        let over: Vec<Share> = self.live.keys().filter(|s| is_over(s.pid)).cloned().collect();
        for share in over {
            self.end(&share, now);
        }
    }

    /// The nodes of a hold that its home has no link to, but for those of whom it is being found out whether they are dead.
    pub(crate) fn missed(&self, home: NodeId, held: &Held) -> BTreeSet<NodeId> {
        held.broken.iter().filter(|node| !self.unclear.contains_key(&(home, **node))).copied().collect()
    }

    /// A node has left the sets of the holds of this home.
    pub(crate) fn leaves(&mut self, home: NodeId, node: NodeId) {
        for (_, held) in self.live.iter_mut().filter(|(share, _)| share.pid.node == home) {
            held.broken.remove(&node);
            held.parts_mut().for_each(|part| {
                part.nodes.remove(&node);
            });
        }
    }

    pub(crate) fn of_home(&self, home: NodeId) -> impl Iterator<Item = (&Share, &Held)> {
        self.live.iter().filter(move |(share, _)| share.pid.node == home)
    }

    /// Was another requester's share there, on a node of both sets, at the same time, and not lost to broken links before?
    pub(crate) fn had_rival(&self, share: &Share, held: &Held) -> bool {
        let rival = |s: &Share| s.resource == share.resource && s.requester != share.requester;
        let meets =
            |view: bool, nodes: &BTreeSet<NodeId>| view || held.was_view || !nodes.is_disjoint(&held.ever);
        let stood = |h: &Held| h.minority_since.is_none_or(|at| at >= held.since);
        self.live.iter().any(|(s, h)| rival(s) && stood(h) && meets(h.was_view, &h.ever))
            || self.past.iter().any(|p| rival(&p.share) && meets(p.view, &p.ever) && p.end >= held.since)
    }
}

/// A claim that waits.
#[derive(Clone, Debug)]
pub(crate) struct Waiter {
    pub(crate) key: (NodeId, Ref),
    pub(crate) resource: Name,
    pub(crate) requester: Name,
    /// `None`: the view.
    pub(crate) nodes: Option<BTreeSet<NodeId>>,
    pub(crate) pid: Pid,
    pub(crate) issued: u64,
    /// It may wait for ever.
    pub(crate) patient: bool,
}

impl Waiter {
    pub(crate) fn of(key: (NodeId, Ref), o: &Operation) -> Option<Self> {
        match &o.what {
            What::Acquire { resource, requester, nodes, retries, .. } if o.answer.is_none() => Some(Self {
                key,
                resource: resource.clone(),
                requester: requester.clone(),
                nodes: nodes.clone(),
                pid: Pid { node: key.0, serial: o.process },
                issued: o.issued,
                patient: o.deadline.is_none() && !o.no_wait && retries.is_none(),
            }),
            _ => None,
        }
    }

    /// Is there a node where both are?
    pub(crate) fn waits_at(&self, held: &Held, up: &BTreeSet<NodeId>) -> bool {
        let claimed = |node: &NodeId| self.nodes.as_ref().is_none_or(|nodes| nodes.contains(node));
        let bound = |node: &NodeId| held.binds_on(*node);
        up.iter().any(|node| claimed(node) && bound(node))
    }

    fn meets(&self, other: &Self) -> bool {
        match (&self.nodes, &other.nodes) {
            (Some(mine), Some(nodes)) => !mine.is_disjoint(nodes),
            _ => true,
        }
    }
}

/// The requester holds the lock wherever the claim is, so it enters at once.
fn is_shared(locks: &LockBook, w: &Waiter, up: &BTreeSet<NodeId>) -> bool {
    let on_all = |held: &Held| w.nodes.as_ref().unwrap_or(up).is_subset(&(&held.nodes() - &held.broken));
    let own = |share: &Share| share.resource == w.resource && share.requester == w.requester;
    locks.live.iter().any(|(share, held)| own(share) && on_all(held))
}

/// Of those that wait, the ones that have nothing to wait for: neither a live share of another requester nor a claim
/// of another requester that itself waits for something.
pub(crate) fn idle_waiters(locks: &LockBook, waiters: Vec<Waiter>, up: &BTreeSet<NodeId>) -> Vec<Waiter> {
    // A lock that was lost is acquired anew on all of its set.
    let widened = waiters.into_iter().map(|mut w| {
        let own = |s: &Share| s.pid == w.pid && s.resource == w.resource && s.requester == w.requester;
        let lost = locks.live.iter().any(|(s, held)| own(s) && !held.is_relied_on());
        if lost || locks.past.iter().any(|p| own(&p.share) && p.end >= w.issued) {
            w.nodes = None;
        }
        w
    });
    let (mut blocked, mut idle): (Vec<Waiter>, Vec<Waiter>) = widened.partition(|w| {
        let in_the_way = |(share, held): (&Share, &Held)| {
            share.resource == w.resource && share.requester != w.requester && w.waits_at(held, up)
        };
        w.patient && locks.live.iter().any(in_the_way)
    });
    loop {
        let behind = idle.iter().position(|w| {
            w.patient
                && !is_shared(locks, w, up)
                && blocked
                    .iter()
                    .any(|b| b.resource == w.resource && b.requester != w.requester && b.meets(w))
        });
        let Some(index) = behind else { return idle };
        blocked.push(idle.remove(index));
    }
}
