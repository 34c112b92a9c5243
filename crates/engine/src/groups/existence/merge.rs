//! What another node knows of the existence of groups, and how two nodes come to know the same.

use super::{DotSet, Dots, Seen, hash, hash_up_to};
use crate::groups::trim;
use crate::{Dot, Existence, Limits, Name, NodeId};
use std::collections::BTreeSet;

/// What another node knows, as it is being told. Nothing of it counts before it is complete. Honest nodes tell nothing twice.
#[derive(Default, Debug)]
pub(crate) struct Told {
    live: Vec<(Name, Dot)>,
    seen: Vec<(NodeId, u64)>,
    beyond: Vec<Dot>,
    /// The names of the groups.
    bytes: usize,
}

impl Told {
    pub(crate) fn add(&mut self, part: Existence) {
        match part {
            Existence::Live { group, dot } => {
                self.bytes += group.as_bytes().len();
                self.live.push((group, dot));
            }
            // Says nothing, and would take the place of an incarnation of which something is known.
            Existence::Seen { up_to: 0, .. } => {}
            Existence::Seen { node, up_to } => self.seen.push((node, up_to)),
            Existence::Beyond(dot) => self.beyond.push(dot),
        }
    }
    /// Of whom something is told; perhaps more than once.
    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        let live = self.live.iter().map(|(_, dot)| dot.node);
        let seen = self.seen.iter().map(|(node, _)| *node);
        live.chain(seen).chain(self.beyond.iter().map(|dot| dot.node)).collect()
    }
    /// How much is told.
    pub(crate) fn len(&self) -> usize {
        self.live.len() + self.seen.len() + self.beyond.len()
    }
    /// No honest node knows more: see `trim`.
    pub(crate) fn is_within(&self, limits: &Limits) -> bool {
        self.live.len() <= trim::most_live(limits)
            && self.bytes <= trim::most_bytes(limits)
            && self.beyond.len() <= trim::most_beyond(limits)
            && self.seen.len()
                <= trim::max_unlinked_incarnations(limits).saturating_add(limits.peers.saturating_mul(2))
    }
}

/// Which groups have other live dots than before.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Changed {
    /// In order, each once.
    These(Vec<Name>),
    /// All that there are now.
    All,
}

impl Dots {
    /// What one side has deleted is gone on both, what one side has made and the other not seen is there on both.
    /// Costs no more than what is told, and what changes.
    pub(crate) fn merge(&mut self, mut told: Told) -> Changed {
        let knows_nothing = self.seen.is_empty();
        if knows_nothing && !told.live.is_empty() && told.beyond.is_empty() && self.adopt(&mut told) {
            return Changed::All;
        }
        let mut changed = self.delete_what_is_not_in(&told);
        for (group, dot) in told.live {
            if self.add(&group, dot) {
                changed.push(group);
            } else if let Some(other) = self.group_of(&dot).filter(|other| group < **other).cloned() {
                // Its maker has told two nodes of two groups. All come to agree on the first name.
                self.remove(&other, dot);
                self.put(&group, dot);
                changed.extend([group, other]);
            }
        }
        for (node, up_to) in told.seen {
            self.see_up_to(node, up_to);
        }
        for dot in &told.beyond {
            self.see(dot);
        }
        changed.sort_unstable();
        changed.dedup();
        Changed::These(changed)
    }

    /// A node that knows nothing yet takes over what the other knows: built in one go from what is sorted, for there may be very
    /// many groups, and a node that joins waits for it. `false`: some dot is told of twice, and nothing was done.
    fn adopt(&mut self, told: &mut Told) -> bool {
        if !told.live.is_sorted() {
            told.live.sort_unstable();
        }
        let mut dots: Vec<(Dot, usize)> = told.live.iter().map(|(_, dot)| *dot).zip(0..).collect();
        dots.sort_unstable();
        if dots.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return false;
        }
        let live = std::mem::take(&mut told.live);
        let made = dots.chunk_by(|one, other| one.0.node == other.0.node);
        let mut seen = std::mem::take(&mut told.seen);
        seen.extend(made.map(|of_node| (of_node[0].0.node, 0)));
        seen.sort_unstable_by_key(|(node, up_to)| (*node, std::cmp::Reverse(*up_to)));
        seen.dedup_by_key(|(node, _)| *node);
        let (mut rest, mut beyond) = (&dots[..], Vec::new());
        let rows = seen.into_iter().map(|(node, told_up_to)| {
            let (of_node, others) = rest.split_at(rest.partition_point(|(dot, _)| dot.node == node));
            rest = others;
            let up_to =
                of_node.iter().fold(told_up_to, |up_to, (dot, _)| up_to + u64::from(dot.number == up_to + 1));
            beyond.extend(of_node.iter().map(|(dot, _)| *dot).filter(|dot| dot.number > up_to));
            let bytes = of_node.iter().map(|(_, at)| live[*at].0.as_bytes().len()).sum();
            let made = of_node.iter().map(|(dot, at)| (dot.number, live[*at].0.clone())).collect();
            // Those with several of its dots are counted once below.
            (node, Seen { up_to, made, groups: of_node.len(), bytes, ..Seen::default() })
        });
        self.seen = rows.collect();
        self.context =
            self.seen.iter().fold(0, |sum, (node, seen)| sum.wrapping_add(hash_up_to(*node, seen.up_to)));
        beyond.iter().for_each(|dot| self.see(dot));
        self.live_count = live.len();
        self.live_bytes = told.bytes;
        self.digest = live.iter().fold(0, |sum, (group, dot)| sum.wrapping_add(hash(group, dot)));
        let mut rows: Vec<(Name, DotSet)> = Vec::with_capacity(live.len());
        for (group, dot) in live {
            match rows.last_mut() {
                Some((last, dots)) if *last == group => {
                    if dots.made_by(dot.node).next().is_some()
                        && let Some(seen) = self.seen.get_mut(&dot.node)
                    {
                        seen.groups -= 1;
                    }
                    dots.insert(dot);
                }
                _ => rows.push((group, DotSet::One(dot))),
            }
        }
        self.live = rows.into_iter().collect();
        true
    }

    /// What the other knows and does not show it has deleted.
    fn delete_what_is_not_in(&mut self, told: &Told) -> Vec<Name> {
        if self.live_count == 0 || told.seen.is_empty() && told.beyond.is_empty() {
            return Vec::new();
        }
        let live: BTreeSet<Dot> = told.live.iter().map(|(_, dot)| *dot).collect();
        let mut gone: Vec<(Dot, Name)> = Vec::new();
        // An incarnation that is told of twice is gone through once.
        let mut seen = told.seen.clone();
        seen.sort_unstable_by_key(|(node, up_to)| (*node, std::cmp::Reverse(*up_to)));
        seen.dedup_by_key(|(node, _)| *node);
        for (node, up_to) in &seen {
            let made = self.seen.get(node).into_iter().flat_map(|seen| seen.made.iter());
            let dots = made.take_while(|(number, _)| number <= up_to);
            let dots = dots.map(|(number, group)| (Dot { node: *node, number }, group));
            gone.extend(dots.filter(|(dot, _)| !live.contains(dot)).map(|(dot, group)| (dot, group.clone())));
        }
        let dots = told.beyond.iter().filter(|dot| !live.contains(dot));
        gone.extend(dots.filter_map(|dot| Some((*dot, self.group_of(dot)?.clone()))));
        gone.retain(|(dot, group)| self.remove(group, *dot));
        gone.into_iter().map(|(_, group)| group).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{dot, told_by};
    use super::*;
    use crate::cases::for_each_case;
    use proptest::bool::weighted;
    use proptest::collection::vec;

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
                sum.merge(told_by(&all[at]));
            }
            assert_eq!(sum.of(&g), [dot(2, 1)].into(), "{order:?}");
            assert_eq!(sum.merge(told_by(&all[0])), Changed::These(Vec::new()));
            knowledge.insert(sum.knowledge());
            assert!(all.iter().all(|part| part.knowledge() != sum.knowledge()), "each knew less");
        }
        assert_eq!(knowledge.len(), 1, "they have nothing to tell each other");
    }

    /// No honest node tells of an incarnation twice. One that does is taken at its highest word.
    #[test]
    fn what_is_told_twice() {
        let g = Name::new(b"g");
        let mut one = Dots::default();
        one.add(&g, dot(1, 1));
        one.add(&g, dot(1, 2));
        let mut told = Told::default();
        for up_to in [2, 1] {
            told.add(Existence::Seen { node: NodeId(1), up_to });
        }
        assert_eq!(one.merge(told), Changed::These(vec![g]));
        assert_eq!(one.live_count(), 0);
    }

    /// A node that knows nothing takes over what it is told, and comes to what it would have come to step by step.
    #[test]
    fn what_is_adopted_is_what_is_merged() {
        let steps = vec((weighted(0.7), 0..9, 1..12u64, 1..6u64), 0..60);
        for_each_case(300, &steps, |steps| {
            let mut told = Dots::default();
            for (add, group, node, number) in steps {
                let group = Name::new(format!("g{group}").as_bytes());
                if add {
                    told.add(&group, dot(node, number));
                } else {
                    told.remove(&group, dot(node, number));
                }
            }
            let (mut adopts, mut merges) = (Dots::default(), Dots::default());
            // It has heard of somebody already.
            merges.see_up_to(NodeId(99), 1);
            let adopted = adopts.merge(told_by(&told));
            let all: Vec<Name> = adopts.groups().cloned().collect();
            let is_adopted = !all.is_empty() && told_by(&told).beyond.is_empty();
            assert_eq!(adopted, if is_adopted { Changed::All } else { Changed::These(all.clone()) });
            assert_eq!(merges.merge(told_by(&told)), Changed::These(all));
            merges.forget(NodeId(99));
            assert_eq!(format!("{adopts:?}"), format!("{merges:?}"));
            assert_eq!((adopts.knowledge(), &adopts.live), (told.knowledge(), &told.live));
        });
    }

    /// The laws of a join, of whatever three nodes know: neither the order nor how often they are told matters.
    #[test]
    fn whatever_is_merged_comes_to_the_same() {
        let steps = vec((0..3usize, weighted(0.6), 1..5u64, 1..6u64), 0..40);
        for_each_case(300, &steps, |steps| {
            let mut all = [Dots::default(), Dots::default(), Dots::default()];
            for (at, add, node, number) in steps {
                // One dot is of one group.
                let group = Name::new(format!("g{}", (node + number) % 3).as_bytes());
                if add {
                    all[at].add(&group, dot(node, number));
                } else {
                    all[at].remove(&group, dot(node, number));
                }
            }
            let sum = |order: [usize; 3]| {
                let mut sum = Dots::default();
                order.iter().for_each(|at| drop(sum.merge(told_by(&all[*at]))));
                sum
            };
            let expected = sum([0, 1, 2]);
            for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
                let sum = sum(order);
                assert_eq!((&sum.live, sum.knowledge()), (&expected.live, expected.knowledge()), "{order:?}");
            }
            for part in &all {
                let mut again = sum([0, 1, 2]);
                assert_eq!(again.merge(told_by(part)), Changed::These(Vec::new()), "it is in there already");
                assert_eq!((&again.live, again.knowledge()), (&expected.live, expected.knowledge()));
            }
        });
    }

    /// A maker that tells each node of another group under one dot does not set them at odds for ever.
    #[test]
    fn a_dot_of_two_groups_comes_to_be_of_the_first() {
        let (g, h) = (Name::new(b"g"), Name::new(b"h"));
        let (mut one, mut two) = (Dots::default(), Dots::default());
        assert!(one.add(&g, dot(1, 1)) && two.add(&h, dot(1, 1)));
        let (of_one, of_two) = (told_by(&one), told_by(&two));
        assert_eq!(two.merge(of_one), Changed::These(vec![g.clone(), h.clone()]));
        assert_eq!(one.merge(of_two), Changed::These(Vec::new()));
        assert_eq!((one.of(&g), two.of(&g), two.is_live(&h)), (two.of(&g), [dot(1, 1)].into(), false));
        assert_eq!((one.digest(), one.live_count()), (two.digest(), two.live_count()));
        // Deleted under one name it is deleted under each.
        one.remove(&g, dot(1, 1));
        assert_eq!(two.merge(told_by(&one)), Changed::These(vec![g]));
        assert_eq!((two.live_count(), two.digest()), (0, 0));
    }
}
