//! What is true about locks, as far as it can be told from outside: which shares their homes were granted, where they
//! bind, who voted for what over which link, and the tokens that were seen.

use crate::book::{Operation, What};
use convoke::engine::{ConnectionId, Hold, Name, NodeId, Pid, Reason, Ref, Tx};
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

/// Where something of a share is held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    View,
    On(BTreeSet<NodeId>),
}

impl Part {
    fn add(&mut self, other: &Part) {
        match (&mut *self, other) {
            (Part::On(nodes), Part::On(more)) => nodes.extend(more),
            _ => *self = Part::View,
        }
    }
    /// What of a list is left on these nodes; `None`: nothing.
    fn on(self, rest: &BTreeSet<NodeId>) -> Option<Part> {
        match self {
            Part::On(nodes) if !nodes.is_empty() => {
                Some(&nodes & rest).filter(|nodes| !nodes.is_empty()).map(Part::On)
            }
            other => Some(other),
        }
    }
    fn without(&mut self, node: NodeId) {
        if let Part::On(nodes) = self {
            nodes.remove(&node);
        }
    }
}

/// A share from its grant to its end.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// What was acquired to be kept, and what for a scope; `None`: nothing of it is left.
    pub(crate) kept: Option<Part>,
    pub(crate) scopes: BTreeMap<Ref, Option<Part>>,
    pub(crate) token: u64,
    pub(crate) view: bool,
    /// It was on the view once: nodes that join may yet hear of that.
    pub(crate) was_view: bool,
    /// Its set, without the nodes that left in order.
    pub(crate) nodes: BTreeSet<NodeId>,
    /// Those of them that the link of the home broke to.
    pub(crate) broken: BTreeSet<NodeId>,
    /// Every node that was ever in it.
    pub(crate) ever: BTreeSet<NodeId>,
    pub(crate) bound: BTreeMap<NodeId, Bound>,
    pub(crate) since: u64,
    pub(crate) step: u64,
    pub(crate) lost: Option<Reason>,
    /// Since when it is lost to broken links.
    pub(crate) minority_since: Option<u64>,
}

impl Held {
    /// "Broken links leave at most half of the set."
    pub(crate) fn is_minority(&self) -> bool {
        let present = self.nodes.len() - self.broken.len();
        present == 0 || !self.broken.is_empty() && 2 * present <= self.nodes.len()
    }
}

impl Held {
    /// Something is acquired; what was lost before is no part of it any more.
    pub(crate) fn add(&mut self, scope: Option<Ref>, part: Part) {
        match scope {
            Some(scope) => {
                self.scopes.insert(scope, Some(part));
            }
            None => match &mut self.kept {
                Some(kept) => kept.add(&part),
                None => self.kept = Some(part),
            },
        }
    }

    /// What of it is left where it was given back, or lost and not acquired again.
    pub(crate) fn parts_shrink(&mut self, rest: &BTreeSet<NodeId>) {
        self.kept = self.kept.take().and_then(|part| part.on(rest));
        for part in self.scopes.values_mut() {
            *part = part.take().and_then(|part| part.on(rest));
        }
    }

    pub(crate) fn parts_without(&mut self, node: NodeId) {
        self.kept.iter_mut().chain(self.scopes.values_mut().flatten()).for_each(|part| part.without(node));
    }

    /// What is to be held when a scope has ended.
    fn without_scope(&self, scope: Ref) -> Option<Part> {
        let others =
            self.scopes.iter().filter(|(other, _)| **other != scope).filter_map(|(_, part)| part.as_ref());
        let mut parts = self.kept.iter().chain(others);
        let mut all = parts.next()?.clone();
        parts.for_each(|part| all.add(part));
        Some(all)
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
    /// What claims are for.
    pub(crate) wants: BTreeMap<Tx, (Name, Name)>,
    /// What a home said of completions in the present input.
    pub(crate) published: BTreeMap<Share, VecDeque<(Tx, Hold)>>,
    /// What a home said last of what is left of a share: where it stays, if anywhere.
    pub(crate) said_of_rest: Option<(Share, Option<BTreeSet<NodeId>>)>,
    /// Shares that a home has ended in the present input although they were held, lost to broken links.
    pub(crate) ended: Vec<Share>,
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
        held.nodes.iter().filter(|node| is_named(node)).copied().collect()
    }

    /// Is it held, on any of these nodes if some are named?
    pub(crate) fn is_held_on(&self, share: &Share, names: Option<&[String]>) -> bool {
        let held = self.live.get(share);
        let on = |held: &Held, names| held.nodes.is_empty() || !self.named(held, names).is_empty();
        held.is_some_and(|held| names.is_none_or(|names| on(held, names)))
    }

    /// The share is given back on these nodes; what is left of it is a list.
    pub(crate) fn shrink(&mut self, share: &Share, names: &[String], now: u64) {
        let Some(gone) = self.live.get(share).map(|held| self.named(held, names)) else { return };
        // A share whose nodes have all left ends wherever it is given back.
        let touched = |held: &&mut Held| !gone.is_empty() || held.nodes.is_empty();
        let Some(held) = self.live.get_mut(share).filter(touched) else { return };
        let rest = held.nodes.difference(&gone).copied().collect();
        if !shrink(held, rest) {
            self.end(share, now);
        }
    }

    /// A scope of the share ends; what is left of it.
    pub(crate) fn end_scope(&mut self, share: &Share, scope: Ref, now: u64) {
        let Some(held) = self.live.get_mut(share) else { return };
        let all = held.without_scope(scope);
        held.scopes.remove(&scope);
        match all {
            None => self.end(share, now),
            Some(Part::View) => {}
            Some(Part::On(nodes)) => {
                let rest = &held.nodes & &nodes;
                if held.view || rest.len() < held.nodes.len() {
                    shrink(held, rest);
                }
            }
        }
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

/// The share stays on a list of nodes only; `false`: on none.
fn shrink(held: &mut Held, rest: BTreeSet<NodeId>) -> bool {
    held.view = false;
    for part in held.kept.iter_mut().chain(held.scopes.values_mut().flatten()) {
        if *part == Part::View {
            *part = Part::On(rest.clone());
        }
    }
    held.parts_shrink(&rest);
    held.broken.retain(|node| rest.contains(node));
    held.bound.retain(|node, _| rest.contains(node));
    held.nodes = rest;
    !held.nodes.is_empty()
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
    pub(crate) fn of(key: (NodeId, Ref), o: &Operation) -> Option<Waiter> {
        match &o.what {
            What::Acquire { resource, requester, nodes, retries, .. } if o.answer.is_none() => Some(Waiter {
                key,
                resource: resource.clone(),
                requester: requester.clone(),
                nodes: nodes.clone(),
                pid: Pid { node: key.0, serial: o.process },
                issued: o.issued,
                patient: o.deadline.is_none() && !o.nowait && retries.is_none(),
            }),
            _ => None,
        }
    }

    /// Is there a node where both are?
    pub(crate) fn waits_at(&self, held: &Held, up: &BTreeSet<NodeId>) -> bool {
        let claimed = |node: &NodeId| self.nodes.as_ref().is_none_or(|nodes| nodes.contains(node));
        let bound = |node: &NodeId| held.view || held.nodes.contains(node);
        up.iter().any(|node| claimed(node) && bound(node))
    }

    fn meets(&self, other: &Waiter) -> bool {
        match (&self.nodes, &other.nodes) {
            (Some(mine), Some(nodes)) => !mine.is_disjoint(nodes),
            _ => true,
        }
    }
}

/// The requester holds the lock wherever the claim is, so it enters at once.
fn is_shared(locks: &LockBook, w: &Waiter, up: &BTreeSet<NodeId>) -> bool {
    let on_all = |held: &Held| w.nodes.as_ref().unwrap_or(up).is_subset(&(&held.nodes - &held.broken));
    let own = |share: &Share| share.resource == w.resource && share.requester == w.requester;
    locks.live.iter().any(|(share, held)| own(share) && on_all(held))
}

/// Of those that wait, the ones that have nothing to wait for: neither a live share of another requester nor a claim
/// of another requester that itself waits for something.
pub(crate) fn idle_waiters(locks: &LockBook, waiters: Vec<Waiter>, up: &BTreeSet<NodeId>) -> Vec<Waiter> {
    // A lock that was lost is acquired anew on all of its set.
    let widened = waiters.into_iter().map(|mut w| {
        let own = |s: &Share| s.pid == w.pid && s.resource == w.resource && s.requester == w.requester;
        let lost = locks.live.iter().any(|(s, held)| own(s) && held.lost.is_some());
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
