//! In whose name nodes make groups. A dot's maker is the node's incarnation, unless somebody has claimed that the node has made
//! more dots than any does: what was told to be known counts as deleted where the lie went, so the node could make no group any
//! more. Then it goes on under another number, which follows from its incarnation, so that its peers can tell that it is its.

use crate::*;
use std::collections::BTreeMap;

/// No node makes so many groups. A node that is said to have made more goes on under another number.
const MOST: u64 = 1 << 40;
/// For so many numbers of one peer it is remembered whose they are.
const KEPT: usize = 16;

/// The number under which a node makes groups after it has left so many behind.
pub(crate) fn maker(node: NodeId, generation: u32) -> NodeId {
    if generation == 0 {
        return node;
    }
    // The finish of MurmurHash3, which takes no two numbers to the same one.
    let mut hash = node.0 ^ u64::from(generation).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    NodeId(hash ^ (hash >> 33))
}

#[derive(Default, Debug)]
pub(super) struct Makers {
    generation: u32,
    /// The number of the last dot that this node made under its present number, or is said to have made.
    last: u64,
    /// Other numbers than incarnations, and whose they are.
    aliases: BTreeMap<NodeId, NodeId>,
}

impl Makers {
    /// A new dot of the node `me`, and its generation.
    pub(crate) fn make(&mut self, me: NodeId) -> (Dot, u32) {
        if self.last >= MOST {
            self.generation = self.generation.saturating_add(1);
            self.last = 0;
            self.aliases.insert(maker(me, self.generation), me);
        }
        self.last += 1;
        (Dot { node: maker(me, self.generation), number: self.last }, self.generation)
    }

    /// Somebody says that there is this dot. If it is one that `me` has never made he lies, and whoever passes that on does so in
    /// good faith. It was made from now on; another one of its number would count as deleted where the lie went.
    pub(super) fn heard_of(&mut self, me: NodeId, dot: Dot) {
        if dot.node == maker(me, self.generation) {
            self.last = self.last.max(dot.number);
        }
    }

    /// `node` makes a group under this number. `false`: it is not its own.
    pub(super) fn is_of(&mut self, node: NodeId, number: NodeId, generation: u32) -> bool {
        if number != maker(node, generation) {
            return false;
        }
        if generation > 0 && self.of(node).count() < KEPT {
            self.aliases.insert(number, node);
        }
        true
    }

    /// Whose number that is: an incarnation's own, as a rule.
    pub(crate) fn node(&self, number: NodeId) -> NodeId {
        self.aliases.get(&number).copied().unwrap_or(number)
    }

    /// All such numbers, of nodes with a link and of this one.
    pub(crate) fn all(&self) -> impl Iterator<Item = NodeId> {
        self.aliases.keys().copied()
    }

    /// The other numbers of a node.
    pub(crate) fn of(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        self.aliases.iter().filter(move |(_, owner)| **owner == node).map(|(number, _)| *number)
    }

    pub(crate) fn forget(&mut self, node: NodeId) {
        self.aliases.retain(|_, owner| *owner != node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other machines compute the same.
    #[test]
    fn the_other_numbers_are_of_the_protocol() {
        assert_eq!(
            [0, 1, 2].map(|generation| maker(NodeId(7), generation)),
            [0x7, 0x2d54_0be8_3487_5d2f, 0xa59c_30e5_a24e_d8dd].map(NodeId)
        );
    }

    #[test]
    fn who_is_said_to_have_made_too_much_goes_on_under_another_number() {
        let (me, mut makers) = (NodeId(7), Makers::default());
        makers.heard_of(me, Dot { node: me, number: 41 });
        makers.heard_of(me, Dot { node: NodeId(8), number: 99 });
        assert_eq!(makers.make(me), (Dot { node: me, number: 42 }, 0));
        for generation in 1..40 {
            makers.heard_of(me, Dot { node: maker(me, generation - 1), number: MOST });
            let dot = Dot { node: maker(me, generation), number: 1 };
            assert_eq!(makers.make(me), (dot, generation));
            assert_eq!(makers.node(dot.node), me);
        }
        // The old one does not count any more.
        makers.heard_of(me, Dot { node: me, number: MOST });
        assert_eq!(makers.make(me).0.number, 2);
    }

    #[test]
    fn whose_number_it_is() {
        let (peer, mut makers) = (NodeId(7), Makers::default());
        assert!(makers.is_of(peer, peer, 0) && !makers.is_of(peer, NodeId(8), 0));
        assert!(!makers.is_of(peer, peer, 1) && !makers.is_of(NodeId(8), maker(peer, 1), 1));
        assert_eq!(makers.all().count(), 0);
        // However many it has, few are remembered.
        for generation in 1..100 {
            assert!(makers.is_of(peer, maker(peer, generation), generation));
        }
        assert_eq!((makers.of(peer).count(), makers.node(maker(peer, 1))), (KEPT, peer));
        makers.forget(peer);
        assert_eq!((makers.all().count(), makers.node(maker(peer, 1))), (0, maker(peer, 1)));
    }
}
