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
//! up later than all that: then the snapshots told.

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
}

/// What this node knows of the existence of groups.
#[derive(Default, Debug)]
pub(super) struct Dots {
    pub(super) live: BTreeMap<Name, BTreeSet<Dot>>,
    pub(super) seen: BTreeMap<NodeId, Seen>,
    /// Over all live dots, independent of their order.
    digest: u64,
    pub(super) live_count: usize,
    pub(super) beyond_count: usize,
}

/// What another node knows, as it is being told. Nothing of it counts before it is complete.
#[derive(Default, Debug)]
pub(super) struct Picture {
    live: BTreeSet<(Name, Dot)>,
    dots: BTreeSet<Dot>,
    seen: BTreeMap<NodeId, u64>,
    beyond: BTreeSet<Dot>,
}

impl Picture {
    pub(super) fn add(&mut self, part: protocol::Existence) {
        match part {
            protocol::Existence::Live { group, dot } => {
                self.dots.insert(dot);
                self.live.insert((group, dot));
            }
            // Says nothing, and would take the place of an incarnation of which something is known.
            protocol::Existence::Seen { up_to: 0, .. } => {}
            protocol::Existence::Seen { node, up_to } => {
                let seen = self.seen.entry(node).or_default();
                *seen = up_to.max(*seen);
            }
            protocol::Existence::Beyond(dot) => {
                self.beyond.insert(dot);
            }
        }
    }
    /// No honest node knows more: see `trim`.
    pub(super) fn is_within(&self, limits: &Limits) -> bool {
        self.live.len() <= trim::most_live(limits)
            && self.beyond.len() <= trim::most_beyond(limits)
            && self.seen.len() <= trim::most_strangers(limits).saturating_add(limits.peers.saturating_mul(2))
    }
    fn is_deleted(&self, dot: &Dot) -> bool {
        let known = self.seen.get(&dot.node).is_some_and(|up_to| dot.number <= *up_to);
        (known || self.beyond.contains(dot)) && !self.dots.contains(dot)
    }
}

impl Dots {
    pub(super) fn is_live(&self, group: &Name) -> bool {
        self.live.contains_key(group)
    }
    pub(super) fn is_live_dot(&self, group: &Name, dot: &Dot) -> bool {
        self.live.get(group).is_some_and(|dots| dots.contains(dot))
    }
    pub(super) fn of(&self, group: &Name) -> BTreeSet<Dot> {
        self.live.get(group).cloned().unwrap_or_default()
    }
    /// Some dots of the group: the first ones, so many at most.
    pub(super) fn some_of(&self, group: &Name, most: usize) -> BTreeSet<Dot> {
        self.live.get(group).into_iter().flatten().take(most).copied().collect()
    }
    /// The node's own dots of the group.
    pub(super) fn made_by(&self, group: &Name, node: NodeId) -> BTreeSet<Dot> {
        self.live.get(group).map(|dots| dots_of(dots, node).copied().collect()).unwrap_or_default()
    }
    pub(super) fn groups(&self) -> impl ExactSizeIterator<Item = &Name> {
        self.live.keys()
    }
    pub(super) fn digest(&self) -> u64 {
        self.digest
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
    pub(super) fn remembers(&self, node: NodeId) -> bool {
        self.seen.contains_key(&node)
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
        let seen = self.seen.entry(dot.node).or_default();
        if dot.number > seen.up_to && seen.beyond.insert(dot.number) {
            self.beyond_count += 1;
        }
        self.compact(dot.node);
    }

    /// What is known without a gap needs one number.
    pub(super) fn compact(&mut self, node: NodeId) {
        let Some(seen) = self.seen.get_mut(&node) else { return };
        while let Some(first) = seen.beyond.first().copied()
            && first <= seen.up_to.saturating_add(1)
        {
            seen.beyond.pop_first();
            self.beyond_count -= 1;
            seen.up_to = first.max(seen.up_to);
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
        seen.groups += usize::from(dots_of(dots, dot.node).next().is_none());
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
            seen.groups -= usize::from(dots_of(dots, dot.node).next().is_none());
        }
        if dots.is_empty() {
            self.live.remove(group);
        }
        self.live_count -= 1;
        self.digest = self.digest.wrapping_sub(hash(group, &dot));
        true
    }

    /// What one side has deleted is gone on both, what one side has made and the other not seen is there on both.
    /// Returns the groups with other live dots than before.
    pub(super) fn merge(&mut self, picture: Picture) -> BTreeSet<Name> {
        let mut changed = BTreeSet::new();
        let all = self.live.iter().flat_map(|(group, dots)| dots.iter().map(move |dot| (group, dot)));
        let gone = all.filter(|(_, dot)| picture.is_deleted(dot));
        for (group, dot) in gone.map(|(group, dot)| (group.clone(), *dot)).collect::<Vec<_>>() {
            self.remove(&group, dot);
            changed.insert(group);
        }
        let mut groups: Option<BTreeMap<Dot, Name>> = None;
        for (group, dot) in &picture.live {
            if self.add(group, *dot) {
                changed.insert(group.clone());
            } else if !self.is_live_dot(group, dot) && self.live_count_of(dot.node) > 0 {
                // Deleted here; or its maker has told two nodes of two groups. Then all come to agree on the first name.
                let groups = groups.get_or_insert_with(|| self.groups_of_dots());
                if let Some(other) = groups.get_mut(dot).filter(|other| group < *other) {
                    self.remove(other, *dot);
                    self.put(group, *dot);
                    changed.extend([group.clone(), std::mem::replace(other, group.clone())]);
                }
            }
        }
        for (node, up_to) in picture.seen {
            let seen = self.seen.entry(node).or_default();
            seen.up_to = up_to.max(seen.up_to);
            self.compact(node);
        }
        for dot in &picture.beyond {
            self.see(dot);
        }
        changed
    }

    fn groups_of_dots(&self) -> BTreeMap<Dot, Name> {
        let all = self.live.iter().flat_map(|(group, dots)| dots.iter().map(|dot| (*dot, group.clone())));
        all.collect()
    }

    /// All of it, to be told.
    pub(super) fn parts(&self) -> Vec<protocol::Existence> {
        let live = self.live.iter().flat_map(|(group, dots)| {
            dots.iter().map(|dot| protocol::Existence::Live { group: group.clone(), dot: *dot })
        });
        let seen = self.seen.iter().filter(|(_, seen)| seen.up_to > 0);
        let seen = seen.map(|(node, seen)| protocol::Existence::Seen { node: *node, up_to: seen.up_to });
        let beyond = self.seen.iter().flat_map(|(node, seen)| {
            let dot = |number: &u64| protocol::Existence::Beyond(Dot { node: *node, number: *number });
            seen.beyond.iter().map(dot)
        });
        live.chain(seen).chain(beyond).collect()
    }

    /// Nothing of the incarnation has been heard for so long that nobody will name its deleted dots again; or there is no
    /// room for it.
    pub(super) fn forget(&mut self, node: NodeId) {
        if let Some(seen) = self.seen.remove(&node) {
            self.beyond_count -= seen.beyond.len();
        }
    }
}

fn dots_of(dots: &BTreeSet<Dot>, node: NodeId) -> impl Iterator<Item = &Dot> {
    dots.range(Dot { node, number: 0 }..=Dot { node, number: u64::MAX })
}

/// FNV-1a over the length and the bytes of the group, then node and number, all numbers as eight bytes, lowest first; with
/// the finish of MurmurHash3, so that sums of such numbers do not cancel out. The same on every machine: it is compared
/// between nodes.
fn hash(group: &Name, dot: &Dot) -> u64 {
    let numbers = |number: u64| number.to_le_bytes();
    let group = group.as_bytes();
    let bytes = numbers(group.len() as u64)
        .into_iter()
        .chain(group.iter().copied())
        .chain(numbers(dot.node.0))
        .chain(numbers(dot.number));
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
        dots.parts().into_iter().for_each(|part| picture.add(part));
        picture
    }

    #[test]
    fn what_was_deleted_is_told_from_what_is_new() {
        let (g, h) = (Name::new(b"g"), Name::new(b"h"));
        let (mut one, mut two) = (Dots::default(), Dots::default());
        assert!(one.add(&g, dot(1, 1)) && two.add(&g, dot(1, 1)));
        assert!(one.remove(&g, dot(1, 1)));
        assert!(two.add(&h, dot(2, 1)));
        assert_eq!(two.merge(picture(&one)), [g.clone()].into());
        assert_eq!(one.merge(picture(&two)), [h.clone()].into());
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
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let all = make();
            let mut sum = Dots::default();
            for at in order.into_iter().chain(order) {
                sum.merge(picture(&all[at]));
            }
            assert_eq!(sum.of(&g), [dot(2, 1)].into(), "{order:?}");
            assert!(sum.merge(picture(&all[0])).is_empty());
        }
    }

    /// A maker that tells each node of another group under one dot does not set them at odds for ever.
    #[test]
    fn a_dot_of_two_groups_comes_to_be_of_the_first() {
        let (g, h) = (Name::new(b"g"), Name::new(b"h"));
        let (mut one, mut two) = (Dots::default(), Dots::default());
        assert!(one.add(&g, dot(1, 1)) && two.add(&h, dot(1, 1)));
        let (of_one, of_two) = (picture(&one), picture(&two));
        assert_eq!(two.merge(of_one), [g.clone(), h.clone()].into());
        assert_eq!(one.merge(of_two), BTreeSet::new());
        assert_eq!((one.of(&g), two.of(&g), two.is_live(&h)), (two.of(&g), [dot(1, 1)].into(), false));
        assert_eq!((one.digest(), one.live_count()), (two.digest(), two.live_count()));
        // Deleted under one name it is deleted under each.
        one.remove(&g, dot(1, 1));
        assert_eq!(two.merge(picture(&one)), [g].into());
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
        dots.merge(Picture { seen: [(NodeId(1), 9)].into(), ..Picture::default() });
        assert_eq!(dots.beyond_count, 0);
        assert_eq!(dots.live_count(), 0, "all that was seen by the other, and is not live there, is deleted");
        assert_eq!(dots.digest(), 0);
        dots.forget(NodeId(1));
        assert_eq!(dots.parts(), []);
    }

    /// Other machines compute the same.
    #[test]
    fn the_digest_is_a_number_of_the_protocol() {
        assert_eq!(hash(&Name::new(b"crew"), &dot(7, 300)), 9_304_665_281_080_893_872);
    }
}
