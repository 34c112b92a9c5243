//! The existence of groups: an observed-remove set of dots with its causal context.
//!
//! Existence belongs to no process, for empty groups exist. Each making of a group is a dot of the node that made it; what
//! was seen of each incarnation is remembered, so a dot that was deleted is told from one that is new. Merging is a join in a
//! lattice: in any order, any number of times, with the same outcome.
//!
//! Why all nodes of a full mesh agree at rest: take two linked nodes whose live dots differ, and the later of the last
//! change at either. It was a change by a snapshot or a state that was merged: then that node has sent its digest to all
//! its links since, the other has seen that it differs, and the two have exchanged all they know. Or it was an operation
//! of a third node: that one has sent it on all its links, so it has no link to the other; since every two nodes at rest
//! are linked, it is gone, and its end was the end of a link, after which digests are sent as well. Or their own link came
//! up later than all that: then the snapshots told, or each had told the other before (`Dots::knowledge`) that it knows the same.

mod dot_set;
mod made;
mod merge;

pub(crate) use dot_set::DotSet;
use made::Made;
pub(crate) use merge::{Changed, Told};

use crate::*;
use std::collections::{BTreeMap, BTreeSet};

/// Dots of one incarnation that are known, live or deleted.
#[derive(Default, Debug)]
pub(crate) struct Seen {
    /// All up to this number.
    pub(super) up_to: u64,
    /// And these beyond.
    pub(super) beyond: BTreeSet<u64>,
    /// Those that are live.
    pub(super) made: Made,
    /// Groups with live dots of it.
    groups: usize,
    /// The names of those groups, for each dot.
    pub(super) bytes: usize,
    /// When it is to be forgotten, unless it has a link or a live dot then.
    forget_at: Option<Time>,
}

/// What this node knows of the existence of groups.
#[derive(Default, Debug)]
pub(super) struct Dots {
    pub(super) live: BTreeMap<Name, DotSet>,
    pub(super) seen: BTreeMap<NodeId, Seen>,
    /// Over all live dots, independent of their order.
    digest: u64,
    /// And over what was seen of each incarnation.
    context: u64,
    pub(super) live_count: usize,
    /// The names of the groups, for each live dot.
    pub(super) live_bytes: usize,
    pub(super) beyond_count: usize,
}

impl Dots {
    pub(super) fn is_live(&self, group: &Name) -> bool {
        self.live.contains_key(group)
    }
    /// Which of these groups, in order, have a live dot. Where they are many of all, all are gone through once.
    pub(super) fn are_live<'a>(&self, groups: impl ExactSizeIterator<Item = &'a Name>) -> Vec<bool> {
        if groups.len() < self.live.len() / 16 {
            return groups.map(|group| self.is_live(group)).collect();
        }
        let mut live = self.live.keys().peekable();
        let is_live = |group: &Name| {
            while live.next_if(|other| *other < group).is_some() {}
            live.peek() == Some(&group)
        };
        groups.map(is_live).collect()
    }
    pub(super) fn is_live_dot(&self, group: &Name, dot: &Dot) -> bool {
        self.group_of(dot) == Some(group)
    }
    /// Whether it is live, in whatever group.
    pub(super) fn is_live_anywhere(&self, dot: &Dot) -> bool {
        self.group_of(dot).is_some()
    }
    /// The group of a live dot.
    fn group_of(&self, dot: &Dot) -> Option<&Name> {
        self.seen.get(&dot.node)?.made.get(dot.number)
    }
    pub(crate) fn of(&self, group: &Name) -> BTreeSet<Dot> {
        self.live.get(group).into_iter().flat_map(DotSet::iter).copied().collect()
    }
    /// Some dots of the group: the first ones, so many at most.
    pub(super) fn some_of(&self, group: &Name, most: usize) -> BTreeSet<Dot> {
        self.live.get(group).into_iter().flat_map(DotSet::iter).take(most).copied().collect()
    }
    /// The node's own dots of the group.
    pub(super) fn made_by(&self, group: &Name, node: NodeId) -> BTreeSet<Dot> {
        self.live.get(group).into_iter().flat_map(|dots| dots.made_by(node)).copied().collect()
    }
    pub(crate) fn groups(&self) -> impl ExactSizeIterator<Item = &Name> {
        self.live.keys()
    }
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }
    /// Over all that is known. Two nodes with the same one have nothing to tell each other.
    pub(super) fn knowledge(&self) -> u64 {
        self.digest.wrapping_add(self.context)
    }
    pub(super) fn live_count(&self) -> usize {
        self.live_count
    }
    #[cfg(test)]
    pub(super) fn live_count_of(&self, node: NodeId) -> usize {
        self.seen.get(&node).map_or(0, |seen| seen.made.len())
    }
    /// How many groups have a live dot of the node.
    pub(super) fn groups_made_by(&self, node: NodeId) -> usize {
        self.seen.get(&node).map_or(0, |seen| seen.groups)
    }
    /// Incarnations that something is remembered of.
    pub(crate) fn incarnations(&self) -> impl ExactSizeIterator<Item = NodeId> {
        self.seen.keys().copied()
    }

    pub(crate) fn knows(&self, dot: &Dot) -> bool {
        let seen = self.seen.get(&dot.node);
        seen.is_some_and(|seen| dot.number <= seen.up_to || seen.beyond.contains(&dot.number))
    }

    /// The number of the last dot of the node that is known, live or not.
    pub(super) fn last_known(&self, node: NodeId) -> u64 {
        let seen = self.seen.get(&node);
        seen.map_or(0, |seen| seen.beyond.last().copied().unwrap_or_default().max(seen.up_to))
    }

    fn see(&mut self, dot: &Dot) {
        let Dot { node, number } = *dot;
        let seen = self.seen.entry(node).or_default();
        if number == seen.up_to.saturating_add(1) {
            self.see_up_to(node, number);
        } else if number > seen.up_to && seen.beyond.insert(number) {
            self.beyond_count += 1;
            self.context = self.context.wrapping_add(hash_beyond(dot));
        }
    }

    /// All dots of the node up to this number are known. What is known without a gap needs one number.
    pub(super) fn see_up_to(&mut self, node: NodeId, up_to: u64) {
        let seen = self.seen.entry(node).or_default();
        let before = seen.up_to;
        seen.up_to = up_to.max(before);
        while let Some(first) = seen.beyond.first().copied()
            && first <= seen.up_to.saturating_add(1)
        {
            seen.beyond.pop_first();
            seen.up_to = first.max(seen.up_to);
            self.beyond_count -= 1;
            self.context = self.context.wrapping_sub(hash_beyond(&Dot { node, number: first }));
        }
        if seen.up_to != before {
            let (before, now) = (hash_up_to(node, before), hash_up_to(node, seen.up_to));
            self.context = self.context.wrapping_sub(before).wrapping_add(now);
        }
    }

    /// Says whether that is news. A dot that was deleted stays deleted.
    pub(crate) fn add(&mut self, group: &Name, dot: Dot) -> bool {
        if self.knows(&dot) {
            return false;
        }
        self.see(&dot);
        self.put(group, dot);
        true
    }

    fn put(&mut self, group: &Name, dot: Dot) {
        let dots = self.live.entry(group.clone()).or_default();
        let seen = self.seen.entry(dot.node).or_default();
        seen.groups += usize::from(dots.made_by(dot.node).next().is_none());
        seen.made.insert(dot.number, group.clone());
        seen.bytes += group.as_bytes().len();
        self.live_bytes += group.as_bytes().len();
        dots.insert(dot);
        self.live_count += 1;
        self.digest = self.digest.wrapping_add(hash(group, &dot));
    }

    /// Says whether it was live.
    pub(crate) fn remove(&mut self, group: &Name, dot: Dot) -> bool {
        self.see(&dot);
        let Some(dots) = self.live.get_mut(group) else { return false };
        if !dots.remove(&dot) {
            return false;
        }
        if let Some(seen) = self.seen.get_mut(&dot.node) {
            seen.made.remove(dot.number);
            seen.bytes -= group.as_bytes().len();
            seen.groups -= usize::from(dots.made_by(dot.node).next().is_none());
        }
        self.live_bytes -= group.as_bytes().len();
        if dots.is_empty() {
            self.live.remove(group);
        }
        self.live_count -= 1;
        self.digest = self.digest.wrapping_sub(hash(group, &dot));
        true
    }

    /// All of it, to be told.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Existence> {
        let live = self.live.iter().flat_map(|(group, dots)| {
            dots.iter().map(|dot| Existence::Live { group: group.clone(), dot: *dot })
        });
        // A node of which one dot is known, which is live, is told of by that: most nodes that are dead.
        let is_told = |seen: &Seen| seen.up_to == 1 && seen.made.len() == 1 && seen.beyond.is_empty();
        let seen = self.seen.iter().filter(move |(_, seen)| seen.up_to > 0 && !is_told(seen));
        let seen = seen.map(|(node, seen)| Existence::Seen { node: *node, up_to: seen.up_to });
        let beyond = self.seen.iter().flat_map(|(node, seen)| {
            let dot = |number: &u64| Existence::Beyond(Dot { node: *node, number: *number });
            seen.beyond.iter().map(dot)
        });
        live.chain(seen).chain(beyond)
    }

    /// Nothing of the incarnation has been heard for so long that nobody will name its deleted dots again; or there is no
    /// room for it.
    pub(crate) fn forget(&mut self, node: NodeId) {
        if let Some(seen) = self.seen.remove(&node) {
            self.beyond_count -= seen.beyond.len();
            let beyond = seen.beyond.iter().map(|number| hash_beyond(&Dot { node, number: *number }));
            let gone = beyond.fold(hash_up_to(node, seen.up_to), u64::wrapping_add);
            self.context = self.context.wrapping_sub(gone);
        }
    }

    // ---- for how long it is remembered

    /// These are to be forgotten at that time, if nothing else is said of them yet. `true`: there are such.
    pub(super) fn forget_later(&mut self, at: Time, nodes: impl IntoIterator<Item = NodeId>) -> bool {
        let mut any = false;
        for node in nodes {
            let Some(seen) = self.seen.get_mut(&node).filter(|seen| seen.forget_at.is_none()) else {
                continue;
            };
            seen.forget_at = Some(at);
            any = true;
        }
        any
    }

    /// The same for all that are not present.
    pub(super) fn forget_absent_later(&mut self, at: Time, is_present: impl Fn(NodeId) -> bool) -> bool {
        let unsaid = self.seen.iter_mut().filter(|(_, seen)| seen.forget_at.is_none());
        let mut any = false;
        for (_, seen) in unsaid.filter(|(node, _)| !is_present(**node)) {
            seen.forget_at = Some(at);
            any = true;
        }
        any
    }

    /// The node has left: its time begins.
    pub(super) fn forget_at(&mut self, at: Time, node: NodeId) -> bool {
        let seen = self.seen.get_mut(&node);
        seen.map(|seen| seen.forget_at = Some(at)).is_some()
    }

    /// Forgets whose time is over; those with a live dot are looked at again later. When the next one is due.
    pub(super) fn forget_due(
        &mut self,
        now: Time,
        later: Time,
        is_present: impl Fn(NodeId) -> bool,
    ) -> Option<Time> {
        let mut over = Vec::new();
        for (node, seen) in &mut self.seen {
            if is_present(*node) {
                seen.forget_at = None; // counted anew when it leaves
            } else if seen.forget_at.is_some_and(|at| at <= now) {
                if seen.made.len() == 0 {
                    over.push(*node);
                } else {
                    seen.forget_at = Some(later);
                }
            }
        }
        over.into_iter().for_each(|node| self.forget(node));
        self.seen.values().filter_map(|seen| seen.forget_at).min()
    }
}

impl Dots {
    pub(super) fn check_invariants(&self) -> Sound {
        let live = || self.live.iter().flat_map(|(group, dots)| dots.iter().map(move |dot| (group, *dot)));
        same("live dots", self.live_count, live().count())?;
        same("bytes of live dots", self.live_bytes, live().map(|(group, _)| group.as_bytes().len()).sum())?;
        same("digest", self.digest, live().fold(0, |sum, (group, dot)| sum.wrapping_add(hash(group, &dot))))?;
        let made = self.seen.iter().flat_map(|(node, seen)| {
            seen.made.iter().map(move |(number, group)| (Dot { node: *node, number }, group))
        });
        same(
            "live dots by maker",
            made.collect::<BTreeSet<_>>(),
            live().map(|(group, dot)| (dot, group)).collect(),
        )?;
        let beyond = || {
            let all = self.seen.iter();
            all.flat_map(|(node, seen)| {
                seen.beyond.iter().map(move |number| Dot { node: *node, number: *number })
            })
        };
        same("dots beyond a gap", self.beyond_count, beyond().count())?;
        let up_to = self.seen.iter().map(|(node, seen)| hash_up_to(*node, seen.up_to));
        let context = up_to.chain(beyond().map(|dot| hash_beyond(&dot))).fold(0, u64::wrapping_add);
        same("digest of what was seen", self.context, context)?;
        for (node, seen) in &self.seen {
            let groups: BTreeSet<&Name> = seen.made.iter().map(|(_, group)| group).collect();
            same("groups by maker", seen.groups, groups.len())?;
            let bytes = seen.made.iter().map(|(_, group)| group.as_bytes().len()).sum();
            same("bytes by maker", seen.bytes, bytes)?;
            let known = seen.made.iter().all(|(number, _)| self.knows(&Dot { node: *node, number }));
            ensure(known, || format!("a live dot of {node:?} is not known"))?;
            let is_beyond = seen.beyond.first().is_none_or(|first| *first > seen.up_to + 1);
            ensure(is_beyond, || format!("what is known of {node:?} has no gap"))?;
        }
        Ok(())
    }
}

/// Over the length and the bytes of the group, then node and number. The same on every machine: it is compared between nodes.
fn hash(group: &Name, dot: &Dot) -> u64 {
    let group = group.as_bytes();
    let (whole, rest) = group.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let words = whole.iter().chain([&last]).map(|bytes| u64::from_le_bytes(*bytes));
    hash_dot(words.fold(mix(SEED, group.len() as u64), mix), dot)
}

/// The same for what is seen, with numbers that are the length of no group.
fn hash_up_to(node: NodeId, up_to: u64) -> u64 {
    if up_to == 0 { 0 } else { hash_dot(mix(SEED, u64::MAX), &Dot { node, number: up_to }) }
}

fn hash_beyond(dot: &Dot) -> u64 {
    hash_dot(mix(SEED, u64::MAX - 1), dot)
}

const SEED: u64 = 0xcbf2_9ce4_8422_2325;

fn mix(hash: u64, word: u64) -> u64 {
    let hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 32)
}

/// With the finish of MurmurHash3, so that sums of such numbers do not cancel out.
fn hash_dot(before: u64, dot: &Dot) -> u64 {
    let mut hash = mix(mix(before, dot.node.0), dot.number);
    for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^ (hash >> 33)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn dot(node: u64, number: u64) -> Dot {
        Dot { node: NodeId(node), number }
    }

    /// All that the other would tell.
    pub(crate) fn told_by(dots: &Dots) -> Told {
        let mut told = Told::default();
        dots.parts().for_each(|part| told.add(part));
        told
    }

    #[test]
    fn what_was_deleted_is_told_from_what_is_new() {
        let (g, h) = (Name::new(b"g"), Name::new(b"h"));
        let (mut one, mut two) = (Dots::default(), Dots::default());
        assert!(one.add(&g, dot(1, 1)) && two.add(&g, dot(1, 1)));
        assert!(one.remove(&g, dot(1, 1)));
        assert!(two.add(&h, dot(2, 1)));
        assert_eq!(two.merge(told_by(&one)), Changed::These(vec![g.clone()]));
        assert_eq!(one.merge(told_by(&two)), Changed::These(vec![h.clone()]));
        assert!(!one.is_live(&g) && one.is_live(&h) && one.digest() == two.digest() && one.digest() != 0);
        assert!(!one.add(&g, dot(1, 1)), "a deleted dot stays deleted");
        assert!(one.add(&g, dot(1, 2)), "made anew");
    }

    #[test]
    fn which_are_live_is_found_out_in_one_go() {
        let mut dots = Dots::default();
        for number in 0..40 {
            dots.add(&Name::new(format!("g{number:02}").as_bytes()), dot(1, number + 1));
        }
        for count in [1, 3, 30] {
            let asked: Vec<Name> =
                (0..count).map(|n| Name::new(format!("g{:02}", 5 + 3 * n).as_bytes())).collect();
            let expected: Vec<bool> = asked.iter().map(|group| dots.is_live(group)).collect();
            assert_eq!(dots.are_live(asked.iter()), expected);
        }
    }

    /// "A node of which one dot is known, which is live, is told of by that", and no other is.
    #[test]
    fn the_first_dot_of_a_node() {
        let g = Name::new(b"g");
        for (added, removed) in [
            (vec![1], vec![]),
            (vec![1], vec![1]),
            (vec![1, 3], vec![1]),
            (vec![3], vec![1]),
            (vec![1, 2], vec![2]),
        ] {
            let mut one = Dots::default();
            for number in &added {
                one.add(&g, dot(1, *number));
            }
            for number in &removed {
                one.remove(&g, dot(1, *number));
            }
            let mut other = Dots::default();
            other.merge(told_by(&one));
            assert_eq!(
                (other.knowledge(), other.of(&g)),
                (one.knowledge(), one.of(&g)),
                "{added:?} {removed:?}"
            );
            let parts: Vec<_> = one.parts().collect();
            assert_eq!(parts.len() == 1, added == [1], "{parts:?}");
        }
    }

    /// What is seen counts too, beside what is live: who has not seen the end of a dot must be told.
    #[test]
    fn knowledge_is_more_than_what_is_live() {
        let g = Name::new(b"g");
        let (mut one, two) = (Dots::default(), Dots::default());
        for number in [2, 1, 5, 7] {
            one.add(&g, dot(1, number));
            let alive = one.knowledge();
            one.remove(&g, dot(1, number));
            assert!(one.digest() == two.digest() && one.knowledge() != alive && one.knowledge() != 0);
        }
        let mut other = Dots::default();
        other.merge(told_by(&one));
        assert_eq!(other.knowledge(), one.knowledge());
        one.see_up_to(NodeId(1), 7);
        assert_ne!(other.knowledge(), one.knowledge(), "3, 4 and 6 are known now");
        one.forget(NodeId(1));
        other.forget(NodeId(1));
        assert_eq!((one.knowledge(), other.knowledge()), (0, 0));
    }

    #[test]
    fn what_is_seen_without_a_gap_takes_no_room() {
        let g = Name::new(b"g");
        let mut dots = Dots::default();
        for number in [3, 2, 5] {
            dots.add(&g, dot(1, number));
        }
        assert_eq!(dots.beyond_count, 3);
        dots.add(&g, dot(1, 1));
        assert_eq!(dots.beyond_count, 1);
        let mut told = Told::default();
        told.add(Existence::Seen { node: NodeId(1), up_to: 9 });
        dots.merge(told);
        assert_eq!(dots.beyond_count, 0);
        assert_eq!(dots.live_count(), 0, "all that was seen by the other, and is not live there, is deleted");
        assert_eq!(dots.digest(), 0);
        dots.forget(NodeId(1));
        assert_eq!(dots.parts().count(), 0);
    }

    /// Other machines compute the same.
    #[test]
    fn the_digest_is_a_number_of_the_protocol() {
        assert_eq!(hash(&Name::new(b"crew"), &dot(7, 300)), 2_843_807_676_644_304_002);
    }
}
