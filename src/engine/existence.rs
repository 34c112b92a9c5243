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

use super::*;
use std::collections::{BTreeMap, BTreeSet};

/// Dots of one incarnation that are known, live or deleted.
#[derive(Default, Debug)]
pub(super) struct Seen {
    /// All up to this number.
    pub(super) up_to: u64,
    /// And these beyond.
    pub(super) beyond: BTreeSet<u64>,
    pub(super) live: usize,
    /// Groups with live dots of it.
    groups: usize,
    /// When it is to be forgotten, unless it has a link or a live dot then.
    forget_at: Option<Time>,
}

/// The live dots of one group, in order. Hardly ever more than one, and there may be very many groups, so a vector.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct DotSet(Vec<Dot>);

impl DotSet {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Dot> {
        self.0.iter()
    }
    fn contains(&self, dot: &Dot) -> bool {
        self.0.binary_search(dot).is_ok()
    }
    fn insert(&mut self, dot: Dot) {
        if let Err(at) = self.0.binary_search(&dot) {
            // Room for one more and no others, as long as it is alone.
            if self.0.is_empty() {
                self.0.reserve_exact(1);
            }
            self.0.insert(at, dot);
        }
    }
    /// Says whether it was there.
    fn remove(&mut self, dot: &Dot) -> bool {
        let found = self.0.binary_search(dot);
        found.map(|at| self.0.remove(at)).is_ok()
    }
    fn made_by(&self, node: NodeId) -> &[Dot] {
        let (from, to) =
            (self.0.partition_point(|dot| dot.node < node), self.0.partition_point(|dot| dot.node <= node));
        &self.0[from..to]
    }
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
    pub(super) beyond_count: usize,
}

/// What another node knows, as it is being told. Nothing of it counts before it is complete. Honest nodes tell nothing twice.
#[derive(Default, Debug)]
pub(super) struct Picture {
    live: Vec<(Name, Dot)>,
    seen: Vec<(NodeId, u64)>,
    beyond: Vec<Dot>,
}

impl Picture {
    pub(super) fn add(&mut self, part: protocol::Existence) {
        match part {
            protocol::Existence::Live { group, dot } => self.live.push((group, dot)),
            // Says nothing, and would take the place of an incarnation of which something is known.
            protocol::Existence::Seen { up_to: 0, .. } => {}
            protocol::Existence::Seen { node, up_to } => self.seen.push((node, up_to)),
            protocol::Existence::Beyond(dot) => self.beyond.push(dot),
        }
    }
    /// All live dots, in order.
    fn dots(&self) -> Vec<Dot> {
        let mut dots: Vec<Dot> = self.live.iter().map(|(_, dot)| *dot).collect();
        dots.sort_unstable();
        dots
    }
    /// No honest node knows more: see `trim`.
    pub(super) fn is_within(&self, limits: &Limits) -> bool {
        self.live.len() <= trim::most_live(limits)
            && self.beyond.len() <= trim::most_beyond(limits)
            && self.seen.len() <= trim::most_strangers(limits).saturating_add(limits.peers.saturating_mul(2))
    }
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
        self.live.get(group).is_some_and(|dots| dots.contains(dot))
    }
    pub(super) fn of(&self, group: &Name) -> BTreeSet<Dot> {
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
    pub(super) fn groups(&self) -> impl ExactSizeIterator<Item = &Name> {
        self.live.keys()
    }
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }
    /// Over all that is known. Two nodes with the same one have nothing to tell each other.
    pub(super) fn knowledge(&self) -> u64 {
        self.digest.wrapping_add(self.context)
    }
    pub(super) fn live_count(&self) -> usize {
        self.live_count
    }
    pub(super) fn live_count_of(&self, node: NodeId) -> usize {
        self.seen.get(&node).map_or(0, |seen| seen.live)
    }
    /// How many groups have a live dot of the node.
    pub(super) fn groups_made_by(&self, node: NodeId) -> usize {
        self.seen.get(&node).map_or(0, |seen| seen.groups)
    }
    /// Incarnations that something is remembered of.
    pub(super) fn incarnations(&self) -> impl ExactSizeIterator<Item = NodeId> {
        self.seen.keys().copied()
    }

    pub(super) fn knows(&self, dot: &Dot) -> bool {
        let seen = self.seen.get(&dot.node);
        seen.is_some_and(|seen| dot.number <= seen.up_to || seen.beyond.contains(&dot.number))
    }

    fn see(&mut self, dot: &Dot) {
        let Dot { node, number } = *dot;
        let seen = self.seen.entry(node).or_default();
        if number == seen.up_to.saturating_add(1) {
            self.see_up_to(node, number);
        } else if number > seen.up_to && seen.beyond.insert(number) {
            self.beyond_count += 1;
            self.context = self.context.wrapping_add(hash_of_one(dot));
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
            self.context = self.context.wrapping_sub(hash_of_one(&Dot { node, number: first }));
        }
        if seen.up_to != before {
            let (before, now) = (hash_up_to(node, before), hash_up_to(node, seen.up_to));
            self.context = self.context.wrapping_sub(before).wrapping_add(now);
        }
    }

    /// Says whether that is news. A dot that was deleted stays deleted.
    pub(super) fn add(&mut self, group: &Name, dot: Dot) -> bool {
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
        seen.groups += usize::from(dots.made_by(dot.node).is_empty());
        seen.live += 1;
        dots.insert(dot);
        self.live_count += 1;
        self.digest = self.digest.wrapping_add(hash(group, &dot));
    }

    /// Says whether it was live.
    pub(super) fn remove(&mut self, group: &Name, dot: Dot) -> bool {
        self.see(&dot);
        let Some(dots) = self.live.get_mut(group) else { return false };
        if !dots.remove(&dot) {
            return false;
        }
        if let Some(seen) = self.seen.get_mut(&dot.node) {
            seen.live -= 1;
            seen.groups -= usize::from(dots.made_by(dot.node).is_empty());
        }
        if dots.0.is_empty() {
            self.live.remove(group);
        }
        self.live_count -= 1;
        self.digest = self.digest.wrapping_sub(hash(group, &dot));
        true
    }

    /// What one side has deleted is gone on both, what one side has made and the other not seen is there on both.
    /// Returns the groups with other live dots than before.
    pub(super) fn merge(&mut self, picture: Picture) -> Vec<Name> {
        let dots = picture.dots();
        // Some may tell of one dot twice.
        if self.seen.is_empty() && picture.beyond.is_empty() && dots.is_sorted_by(|one, other| one < other) {
            return self.adopt(picture, &dots);
        }
        let mut changed = self.delete_what_is_not_in(&picture, &dots);
        let mut groups: Option<BTreeMap<Dot, Name>> = None;
        for (group, dot) in picture.live {
            if self.add(&group, dot) {
                changed.push(group);
            } else if !self.is_live_dot(&group, &dot) && self.live_count_of(dot.node) > 0 {
                // Deleted here; or its maker has told two nodes of two groups. Then all come to agree on the first name.
                let groups = groups.get_or_insert_with(|| self.groups_of_dots());
                if let Some(other) = groups.get_mut(&dot).filter(|other| group < **other) {
                    self.remove(other, dot);
                    self.put(&group, dot);
                    changed.extend([group.clone(), std::mem::replace(other, group)]);
                }
            }
        }
        for (node, up_to) in picture.seen {
            self.see_up_to(node, up_to);
        }
        for dot in &picture.beyond {
            self.see(dot);
        }
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// A node that knows nothing yet takes over what the other knows: built in one go from what is sorted, for there may be very
    /// many groups, and a node that joins waits for it.
    fn adopt(&mut self, picture: Picture, dots: &[Dot]) -> Vec<Name> {
        let Picture { mut live, mut seen, .. } = picture;
        self.live_count = live.len();
        self.digest = live.iter().fold(0, |sum, (group, dot)| sum.wrapping_add(hash(group, dot)));
        seen.extend(dots.iter().map(|dot| (dot.node, 0)));
        seen.sort_unstable_by_key(|(node, up_to)| (*node, std::cmp::Reverse(*up_to)));
        seen.dedup_by_key(|(node, _)| *node);
        let (mut rest, mut beyond) = (dots, Vec::new());
        let rows = seen.into_iter().map(|(node, told)| {
            let (of_node, others) = rest.split_at(rest.partition_point(|dot| dot.node == node));
            rest = others;
            let up_to = of_node.iter().fold(told, |up_to, dot| up_to + u64::from(dot.number == up_to + 1));
            beyond.extend(of_node.iter().filter(|dot| dot.number > up_to));
            (node, Seen { up_to, live: of_node.len(), ..Seen::default() })
        });
        self.seen = rows.collect();
        self.context =
            self.seen.iter().fold(0, |sum, (node, seen)| sum.wrapping_add(hash_up_to(*node, seen.up_to)));
        beyond.iter().for_each(|dot| self.see(dot));
        live.sort_unstable(); // it is
        let rows = live.chunk_by(|one, other| one.0 == other.0);
        let rows = rows.map(|row| (row[0].0.clone(), DotSet(row.iter().map(|(_, dot)| *dot).collect())));
        self.live = rows.collect();
        for dots in self.live.values() {
            for of_node in dots.0.chunk_by(|one, other| one.node == other.node) {
                if let Some(seen) = self.seen.get_mut(&of_node[0].node) {
                    seen.groups += 1;
                }
            }
        }
        self.live.keys().cloned().collect()
    }

    /// What the other knows and does not show it has deleted.
    fn delete_what_is_not_in(&mut self, picture: &Picture, live: &[Dot]) -> Vec<Name> {
        if self.live_count == 0 {
            return Vec::new();
        }
        let seen: BTreeMap<NodeId, u64> = picture.seen.iter().copied().collect();
        let mut known: Vec<Dot> = picture.beyond.clone();
        known.sort_unstable();
        let is_known = |dot: &Dot| {
            seen.get(&dot.node).is_some_and(|up_to| dot.number <= *up_to) || known.binary_search(dot).is_ok()
        };
        let all = self.live.iter().flat_map(|(group, dots)| dots.iter().map(move |dot| (group, dot)));
        let gone = all.filter(|(_, dot)| is_known(dot) && live.binary_search(dot).is_err());
        let gone: Vec<(Name, Dot)> = gone.map(|(group, dot)| (group.clone(), *dot)).collect();
        for (group, dot) in &gone {
            self.remove(group, *dot);
        }
        gone.into_iter().map(|(group, _)| group).collect()
    }

    fn groups_of_dots(&self) -> BTreeMap<Dot, Name> {
        let all = self.live.iter().flat_map(|(group, dots)| dots.iter().map(|dot| (*dot, group.clone())));
        all.collect()
    }

    /// All of it, to be told.
    pub(super) fn parts(&self) -> impl Iterator<Item = protocol::Existence> {
        let live = self.live.iter().flat_map(|(group, dots)| {
            dots.iter().map(|dot| protocol::Existence::Live { group: group.clone(), dot: *dot })
        });
        // A node of which one dot is known, which is live, is told of by that: most nodes that are dead.
        let is_told = |seen: &Seen| seen.up_to == 1 && seen.live == 1 && seen.beyond.is_empty();
        let seen = self.seen.iter().filter(move |(_, seen)| seen.up_to > 0 && !is_told(seen));
        let seen = seen.map(|(node, seen)| protocol::Existence::Seen { node: *node, up_to: seen.up_to });
        let beyond = self.seen.iter().flat_map(|(node, seen)| {
            let dot = |number: &u64| protocol::Existence::Beyond(Dot { node: *node, number: *number });
            seen.beyond.iter().map(dot)
        });
        live.chain(seen).chain(beyond)
    }

    /// Nothing of the incarnation has been heard for so long that nobody will name its deleted dots again; or there is no
    /// room for it.
    pub(super) fn forget(&mut self, node: NodeId) {
        if let Some(seen) = self.seen.remove(&node) {
            self.beyond_count -= seen.beyond.len();
            let beyond = seen.beyond.iter().map(|number| hash_of_one(&Dot { node, number: *number }));
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
                if seen.live == 0 {
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

/// FNV-1a over the length and the bytes of the group, then node and number, all numbers as eight bytes, lowest first; with
/// the finish of MurmurHash3, so that sums of such numbers do not cancel out. The same on every machine: it is compared
/// between nodes.
fn hash(group: &Name, dot: &Dot) -> u64 {
    let group = group.as_bytes();
    let length = (group.len() as u64).to_le_bytes();
    hash_bytes(length.into_iter().chain(group.iter().copied()), dot)
}

/// The same for what is seen, with numbers that are the length of no group.
fn hash_up_to(node: NodeId, up_to: u64) -> u64 {
    if up_to == 0 { 0 } else { hash_bytes(u64::MAX.to_le_bytes().into_iter(), &Dot { node, number: up_to }) }
}

fn hash_of_one(dot: &Dot) -> u64 {
    hash_bytes((u64::MAX - 1).to_le_bytes().into_iter(), dot)
}

fn hash_bytes(first: impl Iterator<Item = u8>, dot: &Dot) -> u64 {
    let bytes = first.chain(dot.node.0.to_le_bytes()).chain(dot.number.to_le_bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(node: u64, number: u64) -> Dot {
        Dot { node: NodeId(node), number }
    }

    fn picture(dots: &Dots) -> Picture {
        let mut picture = Picture::default();
        dots.parts().for_each(|part| picture.add(part));
        picture
    }

    #[test]
    fn what_was_deleted_is_told_from_what_is_new() {
        let (g, h) = (Name::new(b"g"), Name::new(b"h"));
        let (mut one, mut two) = (Dots::default(), Dots::default());
        assert!(one.add(&g, dot(1, 1)) && two.add(&g, dot(1, 1)));
        assert!(one.remove(&g, dot(1, 1)));
        assert!(two.add(&h, dot(2, 1)));
        assert_eq!(two.merge(picture(&one)), std::slice::from_ref(&g));
        assert_eq!(one.merge(picture(&two)), std::slice::from_ref(&h));
        assert!(!one.is_live(&g) && one.is_live(&h) && one.digest() == two.digest() && one.digest() != 0);
        assert!(!one.add(&g, dot(1, 1)), "a deleted dot stays deleted");
        assert!(one.add(&g, dot(1, 2)), "made anew");
    }

    /// Whatever the order in which three nodes hear of each other.
    #[test]
    fn merging_is_a_join() {
        let g = Name::new(b"g");
        let make = || {
            let mut all = [Dots::default(), Dots::default(), Dots::default()];
            all[0].add(&g, dot(1, 1));
            all[1].add(&g, dot(1, 1));
            all[1].remove(&g, dot(1, 1));
            all[1].add(&g, dot(2, 3));
            all[2].add(&g, dot(2, 1));
            all[2].remove(&g, dot(2, 3));
            all
        };
        let mut knowledge = BTreeSet::new();
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let all = make();
            let mut sum = Dots::default();
            for at in order.into_iter().chain(order) {
                sum.merge(picture(&all[at]));
            }
            assert_eq!(sum.of(&g), [dot(2, 1)].into(), "{order:?}");
            assert!(sum.merge(picture(&all[0])).is_empty());
            knowledge.insert(sum.knowledge());
            assert!(all.iter().all(|part| part.knowledge() != sum.knowledge()), "each knew less");
        }
        assert_eq!(knowledge.len(), 1, "they have nothing to tell each other");
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

    /// Who knows nothing takes over what it is told, and comes to what it would have come to step by step.
    #[test]
    fn what_is_adopted_is_what_is_merged() {
        use rand::{RngExt, SeedableRng, rngs::StdRng};
        for seed in 0..300 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut told = Dots::default();
            for _ in 0..rng.random_range(0..60) {
                let group = Name::new(format!("g{}", rng.random_range(0..9)).as_bytes());
                let dot = dot(rng.random_range(1..12), rng.random_range(1..6));
                if rng.random_bool(0.7) {
                    told.add(&group, dot);
                } else {
                    told.remove(&group, dot);
                }
            }
            let (mut adopts, mut merges) = (Dots::default(), Dots::default());
            // It has heard of somebody already.
            merges.see_up_to(NodeId(99), 1);
            let changed = adopts.merge(picture(&told));
            assert_eq!(changed, merges.merge(picture(&told)), "seed {seed}");
            merges.forget(NodeId(99));
            assert_eq!(format!("{adopts:?}"), format!("{merges:?}"), "seed {seed}");
            assert_eq!((adopts.knowledge(), &adopts.live), (told.knowledge(), &told.live), "seed {seed}");
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
            other.merge(picture(&one));
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
        other.merge(picture(&one));
        assert_eq!(other.knowledge(), one.knowledge());
        one.see_up_to(NodeId(1), 7);
        assert_ne!(other.knowledge(), one.knowledge(), "3, 4 and 6 are known now");
        one.forget(NodeId(1));
        other.forget(NodeId(1));
        assert_eq!((one.knowledge(), other.knowledge()), (0, 0));
    }

    /// A maker that tells each node of another group under one dot does not set them at odds for ever.
    #[test]
    fn a_dot_of_two_groups_comes_to_be_of_the_first() {
        let (g, h) = (Name::new(b"g"), Name::new(b"h"));
        let (mut one, mut two) = (Dots::default(), Dots::default());
        assert!(one.add(&g, dot(1, 1)) && two.add(&h, dot(1, 1)));
        let (of_one, of_two) = (picture(&one), picture(&two));
        assert_eq!(two.merge(of_one), [g.clone(), h.clone()]);
        assert_eq!(one.merge(of_two), []);
        assert_eq!((one.of(&g), two.of(&g), two.is_live(&h)), (two.of(&g), [dot(1, 1)].into(), false));
        assert_eq!((one.digest(), one.live_count()), (two.digest(), two.live_count()));
        // Deleted under one name it is deleted under each.
        one.remove(&g, dot(1, 1));
        assert_eq!(two.merge(picture(&one)), [g]);
        assert_eq!((two.live_count(), two.digest()), (0, 0));
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
        dots.merge(Picture { seen: vec![(NodeId(1), 9)], ..Picture::default() });
        assert_eq!(dots.beyond_count, 0);
        assert_eq!(dots.live_count(), 0, "all that was seen by the other, and is not live there, is deleted");
        assert_eq!(dots.digest(), 0);
        dots.forget(NodeId(1));
        assert_eq!(dots.parts().count(), 0);
    }

    /// Other machines compute the same.
    #[test]
    fn the_digest_is_a_number_of_the_protocol() {
        assert_eq!(hash(&Name::new(b"crew"), &dot(7, 300)), 9_304_665_281_080_893_872);
    }
}
