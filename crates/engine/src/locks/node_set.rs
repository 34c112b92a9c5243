//! Sets of nodes that very many rows have in common: one copy of each.

use crate::NodeId;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A set that others may hold too. It is changed by putting another one in its place.
pub(super) type NodeSet = Arc<BTreeSet<NodeId>>;

/// So many sets may lie here before those that nobody has any more are looked for.
const FEW: usize = 64;

#[derive(Default, Debug)]
pub(super) struct NodeSets {
    all: BTreeSet<NodeSet>,
    tidy_at: usize,
}

impl NodeSets {
    /// The one copy of this set.
    pub(crate) fn share(&mut self, set: BTreeSet<NodeId>) -> NodeSet {
        if let Some(known) = self.all.get(&set) {
            return known.clone();
        }
        if self.all.len() >= self.tidy_at.max(FEW) {
            self.all.retain(|set| Arc::strong_count(set) > 1);
            self.tidy_at = 2 * self.all.len();
        }
        let set = Arc::new(set);
        self.all.insert(set.clone());
        set
    }
}

/// One change of values that many rows share: each of them is changed once, and the rows go on sharing what comes of it.
#[derive(Debug)]
pub(super) struct Change<T> {
    done: Vec<(Arc<T>, Arc<T>)>,
    /// For rows that have nothing yet, so that they share what comes of that too.
    nothing: Arc<T>,
}

impl<T: Default> Default for Change<T> {
    fn default() -> Self {
        Self { done: Vec::new(), nothing: Arc::default() }
    }
}

impl<T> Change<T> {
    pub(crate) fn nothing(&self) -> Arc<T> {
        self.nothing.clone()
    }

    /// What comes of this value; `change` is the same for all that are asked about.
    pub(crate) fn of(&mut self, old: &Arc<T>, change: impl FnOnce(&T) -> Arc<T>) -> Arc<T> {
        if let Some((_, new)) = self.done.iter().find(|(from, _)| Arc::ptr_eq(from, old)) {
            return new.clone();
        }
        let new = change(old);
        // More are hardly ever in use; what is forgotten here is found out again.
        if self.done.len() == 8 {
            self.done.remove(0);
        }
        self.done.push((old.clone(), new.clone()));
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(nodes: &[u64]) -> BTreeSet<NodeId> {
        nodes.iter().map(|node| NodeId(*node)).collect()
    }

    #[test]
    fn equal_sets_are_one_and_those_without_a_user_go() {
        let mut sets = NodeSets::default();
        let one = sets.share(set(&[1, 2]));
        assert!(Arc::ptr_eq(&one, &sets.share(set(&[1, 2]))));
        for node in 0..10_000 {
            sets.share(set(&[node]));
        }
        assert!(sets.all.len() <= FEW + 1, "{}", sets.all.len());
        assert!(Arc::ptr_eq(&one, &sets.share(set(&[1, 2]))));
    }

    #[test]
    fn rows_go_on_sharing_what_is_changed() {
        let (one, other) = (Arc::new(1), Arc::new(5));
        let mut change = Change::default();
        let results = [&one, &other, &one].map(|value| change.of(value, |value| Arc::new(value + 1)));
        assert_eq!(results.clone().map(|value| *value), [2, 6, 2]);
        assert!(Arc::ptr_eq(&results[0], &results[2]));
    }
}
