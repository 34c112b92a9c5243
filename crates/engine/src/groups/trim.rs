//! What is remembered of groups stays bounded, although everybody may make groups in everybody's memory.
//!
//! Two nodes that have each heard as much as they may from others would know too much together. It is nobody's fault but a
//! liar's, whom neither can name, so none of them loses a link: what is too much goes. It goes in such ways that the nodes
//! agree about the rest:
//!
//! - Live dots that are too many are deleted, and what was not heard of between two known dots counts as deleted. That is
//!   what anybody may do with a dot at any time, a step up in the lattice of `existence`, and travels like every delete.
//!   There are only so many dots, and none comes back, so it ends.
//! - Of the incarnations that have no link those with the lowest numbers are kept. The lowest of the lowest are the lowest of
//!   all: one that is kept in the end was never let go by anybody, so everything that was known of it is known; and one
//!   that is let go is let go by each who has heard of the others, in whatever order that came about. Linked ones are
//!   always kept. Which they are is the same for all when a mesh is at rest.
//!
//! Who has made the most loses first, so whoever fills the memory of others loses what it filled it with. One that makes
//! groups in many names does more harm, but no more than it could by deleting the groups of all others, which is every
//! node's right.

use super::existence::Dots;
use crate::*;
use std::collections::{BTreeMap, BTreeSet};

/// Live dots: each group has one of every node that made it, and a cluster may have as many parts as join.
pub(super) fn most_live(limits: &Limits) -> usize {
    limits.existence.saturating_mul(4)
}

/// The names of the groups, for each live dot.
pub(super) fn most_bytes(limits: &Limits) -> usize {
    limits.existence.saturating_mul(256)
}

/// Known dots of which an earlier one is not known: on their way, unless somebody lies.
pub(super) fn most_beyond(limits: &Limits) -> usize {
    limits.existence
}

/// Incarnations without a link. They are many more than are linked at a time, for each that was restarted within the time
/// of memory counts anew.
pub(super) fn max_unlinked_incarnations(limits: &Limits) -> usize {
    limits.existence.saturating_add(limits.peers.saturating_mul(4))
}

/// What had to go.
#[derive(Default, Debug, PartialEq)]
pub(super) struct Trimmed {
    /// Groups with fewer live dots than before.
    pub(super) groups: BTreeSet<Name>,
    /// Incarnations that nothing is known of any more.
    pub(super) forgotten: Vec<NodeId>,
}

impl Dots {
    /// There is room for one more dot of anybody.
    pub(crate) fn has_room(&self, limits: &Limits) -> bool {
        self.live_count < most_live(limits)
            && self.live_bytes < most_bytes(limits)
            && self.beyond_count < most_beyond(limits)
            && self.seen.len() < max_unlinked_incarnations(limits)
    }

    /// `members`: this node, and those that have a link.
    pub(crate) fn trim(&mut self, limits: &Limits, members: impl Iterator<Item = NodeId>) -> Trimmed {
        let mut trimmed = Trimmed::default();
        self.trim_strangers(max_unlinked_incarnations(limits), members, &mut trimmed);
        // Some room is made at once, for each time all incarnations are looked through.
        if self.live_count > most_live(limits) {
            self.trim_live(limits.existence.saturating_mul(3), &mut trimmed.groups);
        }
        if self.live_bytes > most_bytes(limits) {
            self.trim_bytes(most_bytes(limits) / 4 * 3, &mut trimmed.groups);
        }
        if self.beyond_count > most_beyond(limits) {
            self.trim_beyond(limits.existence / 2);
        }
        trimmed
    }

    fn trim_strangers(&mut self, most: usize, members: impl Iterator<Item = NodeId>, trimmed: &mut Trimmed) {
        if self.seen.len() <= most {
            return; // the rule, and quick
        }
        // Not all that is known is looked through: at the limit that would be so for each message.
        let members: BTreeSet<NodeId> = members.filter(|node| self.seen.contains_key(node)).collect();
        let excess = (self.seen.len() - members.len()).saturating_sub(most);
        let strangers = self.seen.keys().rev().filter(|node| !members.contains(node));
        let excess: BTreeSet<NodeId> = strangers.take(excess).copied().collect();
        for node in excess {
            self.remove_latest(node, 0, &mut trimmed.groups);
            self.forget(node);
            trimmed.forgotten.push(node);
        }
    }

    /// The latest dots of those who have made the most.
    fn trim_live(&mut self, room: usize, groups: &mut BTreeSet<Name>) {
        let counts = self.seen.iter().map(|(node, seen)| (*node, seen.made.len()));
        for (node, share) in shares(counts, room) {
            self.remove_latest(node, share, groups);
        }
    }

    /// The latest dots of those whose names take the most.
    fn trim_bytes(&mut self, room: usize, groups: &mut BTreeSet<Name>) {
        let counts = self.seen.iter().map(|(node, seen)| (*node, seen.bytes));
        for (node, share) in shares(counts, room) {
            let made = self.seen.get(&node).into_iter().flat_map(|seen| seen.made.iter());
            let mut bytes = 0;
            let stay = made.take_while(|(_, group)| {
                bytes += group.as_bytes().len();
                bytes <= share
            });
            let stay = stay.count();
            self.remove_latest(node, stay, groups);
        }
    }

    /// All live dots of the node but the first ones.
    fn remove_latest(&mut self, node: NodeId, stay: usize, groups: &mut BTreeSet<Name>) {
        let all = self.seen.get(&node).into_iter().flat_map(|seen| seen.made.iter());
        let gone = all.skip(stay).map(|(number, group)| (Dot { node, number }, group.clone()));
        for (dot, group) in gone.collect::<Vec<_>>() {
            self.remove(&group, dot);
            groups.insert(group);
        }
    }

    /// What is missing before the first dots of those who have the most counts as known, and so as deleted.
    fn trim_beyond(&mut self, room: usize) {
        let counts = self.seen.iter().map(|(node, seen)| (*node, seen.beyond.len()));
        for (node, share) in shares(counts, room) {
            let Some(seen) = self.seen.get(&node) else { continue };
            let known = seen.beyond.len().checked_sub(share + 1).and_then(|at| seen.beyond.iter().nth(at));
            let known = known.copied().unwrap_or_default();
            self.see_up_to(node, known);
        }
    }
}

/// Of so much room everybody gets as much as he has, as long as it is no more than what others get. Those who get less than
/// they have, and how much; where it cannot be the same, the lower incarnations get one more.
fn shares(counts: impl Iterator<Item = (NodeId, usize)>, room: usize) -> BTreeMap<NodeId, usize> {
    let mut counts: Vec<(usize, NodeId)> = counts.map(|(node, count)| (count, node)).collect();
    counts.sort_unstable();
    let mut left = room;
    let mut served = 0;
    for (count, _) in &counts {
        if *count > left / (counts.len() - served) {
            break;
        }
        left -= count;
        served += 1;
    }
    let mut short: Vec<NodeId> = counts.drain(served..).map(|(_, node)| node).collect();
    short.sort_unstable();
    let (share, rest) = (left / short.len().max(1), left % short.len().max(1));
    short.into_iter().enumerate().map(|(at, node)| (node, share + usize::from(at < rest))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::existence::{DotSet, tests::told_by};
    use super::*;
    use crate::cases::for_each_case;
    use proptest::collection::vec;
    use proptest::prop_oneof;
    use proptest::strategy::Strategy;
    use std::cell::Cell;

    fn dot(node: u64, number: u64) -> Dot {
        Dot { node: NodeId(node), number }
    }

    fn limits(existence: usize) -> Limits {
        Limits { existence, peers: 2, ..Limits::default() }
    }

    #[test]
    fn room_is_shared_fairly() {
        let of = |counts: &[(u64, usize)], room| {
            let short = shares(counts.iter().map(|(node, count)| (NodeId(*node), *count)), room);
            short.into_iter().map(|(node, share)| (node.0, share)).collect::<Vec<_>>()
        };
        assert_eq!(of(&[(1, 3), (2, 4)], 7), []);
        assert_eq!(of(&[(1, 3), (2, 100)], 7), [(2, 4)]);
        assert_eq!(of(&[(1, 9), (2, 1), (3, 9)], 8), [(1, 4), (3, 3)]);
        assert_eq!(of(&[(1, 9), (2, 9)], 0), [(1, 0), (2, 0)]);
        assert_eq!(of(&[(1, 1), (2, 1), (3, 1)], 2), [(1, 1), (2, 1), (3, 0)]);
        assert_eq!(of(&[], 5), []);
    }

    /// "Who has made the most loses first", and of that the latest.
    #[test]
    fn live_dots_go_from_who_has_the_most() {
        let mut dots = Dots::default();
        for number in 1..=4 {
            dots.add(&Name::new(b"small"), dot(1, number));
        }
        for number in 1..=37 {
            dots.add(&Name::new(format!("big{number:02}").as_bytes()), dot(2, number));
        }
        let before = dots.digest();
        let trimmed = dots.trim(&limits(10), [NodeId(1), NodeId(2)].into_iter());
        assert_eq!(
            (dots.live_count(), dots.live_count_of(NodeId(1)), dots.live_count_of(NodeId(2))),
            (30, 4, 26)
        );
        assert_eq!(trimmed.groups.len(), 11);
        assert!(dots.is_live(&Name::new(b"big26")) && !dots.is_live(&Name::new(b"big27")));
        assert!(dots.knows(&dot(2, 37)), "it is deleted, not forgotten");
        assert_ne!(dots.digest(), before);
        assert_eq!(dots.trim(&limits(10), [NodeId(1), NodeId(2)].into_iter()), Trimmed::default());
    }

    /// The same for names that are long, however few they are.
    #[test]
    fn long_names_go_from_who_has_the_most_of_them() {
        let mut dots = Dots::default();
        for number in 1..=10 {
            dots.add(&Name::new(format!("small{number}").as_bytes()), dot(1, number));
            dots.add(&Name::new(format!("{number:0>300}").as_bytes()), dot(2, number));
        }
        let trimmed = dots.trim(&limits(10), [NodeId(1), NodeId(2)].into_iter());
        assert_eq!((dots.live_count_of(NodeId(1)), dots.live_count_of(NodeId(2))), (10, 6));
        assert_eq!((trimmed.groups.len(), dots.live_bytes), (4, 6 * 300 + 61));
        let told = told_by(&dots);
        assert!(told.is_within(&limits(10)) && !told.is_within(&limits(7)));
    }

    #[test]
    fn gaps_close_where_there_are_the_most() {
        let mut dots = Dots::default();
        let group = Name::new(b"g");
        for number in [3, 5] {
            dots.add(&group, dot(1, number));
        }
        for number in 1..=9 {
            dots.remove(&group, dot(2, 2 * number));
        }
        assert_eq!(dots.trim(&limits(10), [NodeId(1), NodeId(2)].into_iter()), Trimmed::default());
        assert_eq!(dots.beyond_count, 5);
        assert!(dots.knows(&dot(2, 11)) && !dots.knows(&dot(2, 13)) && !dots.knows(&dot(1, 2)));
        assert_eq!(dots.live_count_of(NodeId(1)), 2, "what is live stays so");
    }

    #[test]
    fn the_lowest_strangers_are_kept_and_all_members() {
        let mut dots = Dots::default();
        let limits = limits(2); // ten strangers
        for node in (1..=14).rev() {
            dots.add(&Name::new(format!("g{node}").as_bytes()), dot(node, 1));
            dots.remove(&Name::new(format!("g{node}").as_bytes()), dot(node, 1));
        }
        dots.add(&Name::new(b"last"), dot(14, 2));
        let trimmed = dots.trim(&limits, [NodeId(2), NodeId(13), NodeId(99)].into_iter());
        assert_eq!(trimmed.forgotten, [NodeId(12), NodeId(14)]);
        assert_eq!(trimmed.groups, [Name::new(b"last")].into());
        assert!(dots.knows(&dot(13, 1)) && dots.knows(&dot(11, 1)) && !dots.knows(&dot(14, 1)));
        assert_eq!((dots.live_count(), dots.digest()), (0, 0));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Add(Dot),
        Remove(Dot),
        Hear(usize),
    }

    /// Three nodes hear each of other things, from liars and of each other, in any order and with any memory of what was
    /// deleted. When they have told each other all, they agree, and telling it again changes nothing.
    #[test]
    fn whoever_trims_comes_to_agree() {
        let dots = || (0..50u64, 1..12u64).prop_map(|(node, number)| dot(node, number));
        let step = prop_oneof![
            6 => dots().prop_map(Step::Add),
            2 => dots().prop_map(Step::Remove),
            2 => (0..3usize).prop_map(Step::Hear),
        ];
        let (dropped, forgotten, closed) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let note = |count: &Cell<u32>, is_so| count.set(count.get() + u32::from(is_so));
        for_each_case(1000, &(1..6usize, vec((0..3usize, step), 0..120)), |(existence, steps)| {
            let limits = limits(existence);
            let members = [NodeId(1), NodeId(20), NodeId(40)];
            let mut all = [Dots::default(), Dots::default(), Dots::default()];
            let trim = |dots: &mut Dots| {
                let gaps = dots.beyond_count;
                let trimmed = dots.trim(&limits, members.into_iter());
                note(&dropped, !trimmed.groups.is_empty() && trimmed.forgotten.is_empty());
                note(&forgotten, !trimmed.forgotten.is_empty());
                note(&closed, dots.beyond_count < gaps);
                assert!(dots.live_count() <= most_live(&limits) && dots.beyond_count <= most_beyond(&limits));
                assert!(dots.live_bytes <= most_bytes(&limits));
                let bytes = |(name, dots): (&Name, &DotSet)| dots.iter().count() * name.as_bytes().len();
                assert_eq!(dots.live.iter().map(bytes).sum::<usize>(), dots.live_bytes);
                assert_eq!(dots.seen.values().map(|seen| seen.bytes).sum::<usize>(), dots.live_bytes);
                assert!(dots.seen.len() <= max_unlinked_incarnations(&limits) + members.len());
                assert!(told_by(dots).is_within(&limits), "what it tells is a violation");
            };
            // One dot is of one group.
            let group_of = |dot: Dot| {
                let kind = (dot.node.0 + dot.number) % 7;
                Name::new(format!("g{kind:0>width$}", width = kind as usize * 30).as_bytes())
            };
            for (at, step) in steps {
                match step {
                    Step::Add(dot) => drop(all[at].add(&group_of(dot), dot)),
                    Step::Remove(dot) => drop(all[at].remove(&group_of(dot), dot)),
                    Step::Hear(from) => {
                        let told = told_by(&all[from]);
                        all[at].merge(told);
                    }
                }
                trim(&mut all[at]);
            }
            // As after any news: whoever differs tells all it knows, and is told.
            let mut rounds = 0;
            while all.iter().any(|dots| dots.digest() != all[0].digest()) {
                for (from, to) in [(0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0)] {
                    let told = told_by(&all[from]);
                    all[to].merge(told);
                    trim(&mut all[to]);
                }
                rounds += 1;
                assert!(rounds < 10, "they do not come to agree");
            }
            assert!(all.iter().all(|dots| dots.live == all[0].live));
        });
        let (dropped, forgotten, closed) = (dropped.get(), forgotten.get(), closed.get());
        assert!(dropped > 300 && forgotten > 300 && closed > 300, "{dropped} {forgotten} {closed}");
    }
}
