//! What peers publish is kept here, so it is bounded: in bytes, for each peer and for all of them (`limits.published`).
//!
//! The limits on names, locks and groups are for the processes of this node. They say nothing of what others may have: a
//! node with small limits must not part a cluster whose other nodes have larger ones. The one on the length of a name
//! (`limits.name`) is for the names of all. A peer that is beyond a bound is parted for a growing pause (`conduct`), with a
//! text that names the option.

use super::machine::Engine;
use super::*;
use std::collections::BTreeMap;

/// What a row takes beside its names and lists, in bytes: no less than what it takes in memory, with all tables that it
/// stands in.
const BINDING: usize = 384;
const HOLD: usize = 320;
const MEMBERSHIP: usize = 384;
const REQUEST: usize = 320;
pub(super) const MONITOR: usize = 256;
pub(super) const WAITING_DELETE: usize = 96;
/// An element of a list: a dot, a registration, an entry of a group.
const ITEM: usize = 48;

/// Bytes that are kept for each node.
#[derive(Default, Debug)]
pub(super) struct Tally {
    by_node: BTreeMap<NodeId, usize>,
    total: usize,
}

impl Tally {
    pub(super) fn add(&mut self, node: NodeId, bytes: usize) {
        self.total += bytes;
        *self.by_node.entry(node).or_default() += bytes;
    }

    pub(super) fn subtract(&mut self, node: NodeId, bytes: usize) {
        let Some(of_node) = self.by_node.get_mut(&node) else { return };
        let bytes = bytes.min(*of_node);
        *of_node -= bytes;
        self.total -= bytes;
        if *of_node == 0 {
            self.by_node.remove(&node);
        }
    }

    /// Nothing is kept for the node any more.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.total -= self.by_node.remove(&node).unwrap_or_default();
    }

    /// It is what these rows take.
    pub(super) fn check(&self, what: &str, rows: impl Iterator<Item = (NodeId, usize)>) -> Sound {
        let mut counted = Self::default();
        rows.for_each(|(node, bytes)| counted.add(node, bytes));
        counted.by_node.retain(|_, bytes| *bytes > 0);
        let told = self.by_node.iter().filter(|(_, bytes)| **bytes > 0);
        same(what, told.collect::<Vec<_>>(), counted.by_node.iter().collect())?;
        same(what, self.total, counted.total)
    }

    fn of(&self, node: NodeId) -> usize {
        self.by_node.get(&node).copied().unwrap_or_default()
    }
}

pub(super) fn of_binding(name: &Name, binding: &Binding) -> usize {
    let resolver = if let Resolver::Function(it) = &binding.resolver { it.as_bytes().len() } else { 0 };
    // The name stands in two tables.
    BINDING + 2 * name.as_bytes().len() + resolver + binding.supersedes.len() * ITEM
}

pub(super) fn of_share(resource: &Name, requester: &Name) -> usize {
    HOLD + resource.as_bytes().len() + requester.as_bytes().len()
}

pub(super) fn of_membership(group: &Name, count: u64, dots: usize) -> usize {
    let entries = usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(size_of::<Pid>());
    (MEMBERSHIP + group.as_bytes().len() + dots * ITEM).saturating_add(entries)
}

pub(super) fn of_request(key: &Key, want: &Want) -> usize {
    let (Key::Name(name) | Key::Lock(name)) = key;
    let requester = if let Want::Lock { requester, .. } = want { requester.as_bytes().len() } else { 0 };
    REQUEST + name.as_bytes().len() + 2 * requester
}

impl Engine {
    fn tallies(&self) -> [&Tally; 6] {
        [
            self.names.tally(),
            self.holds.tally(),
            self.groups.tally(),
            self.claims.tally(),
            self.processes.tally(),
            self.groups.withdrawal_tally(),
        ]
    }

    /// Bytes that are kept here of what the peer has published.
    pub(super) fn published_by(&self, node: NodeId) -> usize {
        self.tallies().iter().map(|tally| tally.of(node)).sum()
    }

    /// Bytes that are kept here of what all peers have published.
    pub fn published(&self) -> usize {
        self.published_by_all() - self.published_by(self.cx.config.node)
    }

    pub(super) fn published_by_all(&self) -> usize {
        self.tallies().iter().map(|tally| tally.total).sum()
    }

    /// The most that one of them may have: the other half is for all others.
    pub(super) fn most_of_one(&self) -> usize {
        self.cx.config.limits.published / 2
    }

    /// Registrations that a snapshot may name.
    pub(super) fn most_in_snapshot(&self) -> usize {
        self.most_of_one() / ITEM
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_back_is_free_again() {
        let (a, b) = (NodeId(1), NodeId(2));
        let mut tally = Tally::default();
        tally.add(a, 10);
        tally.add(b, 5);
        tally.add(a, 1);
        assert_eq!((tally.of(a), tally.of(b), tally.total), (11, 5, 16));
        tally.subtract(a, 11);
        tally.subtract(b, 2);
        assert_eq!((tally.of(a), tally.of(b), tally.total), (0, 3, 3));
        tally.forget(b);
        tally.forget(a);
        assert_eq!((tally.of(b), tally.total, tally.by_node.len()), (0, 0, 0));
    }
}
