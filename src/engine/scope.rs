//! What a hold is made of when some of it was acquired for a while (`convoke_lock_with`): the end of such a scope leaves
//! the hold as it would be without it, however scopes are nested or overlap, and on whatever lists of nodes.

use super::{NodeId, Ref};
use std::collections::{BTreeMap, BTreeSet};

/// Where something of a hold is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// On all of the view, with those that join.
    View,
    Nodes(BTreeSet<NodeId>),
}

impl Part {
    pub(super) fn new(view: bool, nodes: &BTreeSet<NodeId>) -> Part {
        if view { Part::View } else { Part::Nodes(nodes.clone()) }
    }

    fn add(&mut self, other: Part) {
        match (&mut *self, other) {
            (Part::View, _) => {}
            (_, Part::View) => *self = Part::View,
            (Part::Nodes(nodes), Part::Nodes(more)) => nodes.extend(more),
        }
    }

    /// What of a list is left on these nodes; `None`: nothing.
    fn on(self, rest: &BTreeSet<NodeId>) -> Option<Part> {
        match self {
            Part::View => Some(Part::View),
            // Its nodes have all left. That takes nothing away from what the process believes to hold.
            Part::Nodes(nodes) if nodes.is_empty() => Some(Part::Nodes(nodes)),
            Part::Nodes(nodes) => Some(&nodes & rest).filter(|nodes| !nodes.is_empty()).map(Part::Nodes),
        }
    }
}

/// Of a hold that scopes have a part in. All that stands here is in the hold.
#[derive(Debug)]
pub(super) struct Scopes {
    /// What was acquired until it is released.
    kept: Option<Part>,
    /// `None`: what the scope had was given back before its end.
    open: BTreeMap<Ref, Option<Part>>,
}

impl Scopes {
    /// `kept`: the hold before its first scope; `None`: there was none.
    pub(super) fn new(kept: Option<Part>) -> Scopes {
        Scopes { kept, open: BTreeMap::new() }
    }

    /// A part is acquired: for a scope, or to be kept.
    pub(super) fn add(&mut self, scope: Option<Ref>, part: Part) {
        let place = match scope {
            None => &mut self.kept,
            Some(scope) => {
                self.open.insert(scope, Some(part));
                return;
            }
        };
        match place {
            Some(kept) => kept.add(part),
            None => *place = Some(part),
        }
    }

    /// A scope ends. Says whether it was open.
    pub(super) fn end(&mut self, scope: Ref) -> bool {
        self.open.remove(&scope).is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// What the hold is without the scopes that have ended; `None`: nothing.
    pub(super) fn all(&self) -> Option<Part> {
        let mut parts = self.kept.iter().chain(self.open.values().flatten());
        let mut all = parts.next()?.clone();
        parts.for_each(|part| all.add(part.clone()));
        Some(all)
    }

    /// Something was given back: the hold is on these nodes from now on, and takes in none that join. Else a scope that
    /// ends later would leave behind what was given back long ago.
    pub(super) fn shrink(&mut self, rest: &BTreeSet<NodeId>) {
        for part in self.kept.iter_mut().chain(self.open.values_mut().flatten()) {
            if *part == Part::View {
                *part = Part::Nodes(rest.clone());
            }
        }
        self.shrink_lists(rest);
    }

    /// What was lost is acquired anew, on these nodes.
    pub(super) fn shrink_lists(&mut self, rest: &BTreeSet<NodeId>) {
        self.kept = self.kept.take().and_then(|part| part.on(rest));
        for part in self.open.values_mut() {
            *part = part.take().and_then(|part| part.on(rest));
        }
    }

    /// A node has left in order, and is gone from the hold; it may come back as another one does.
    pub(super) fn leave(&mut self, node: NodeId) {
        for part in self.kept.iter_mut().chain(self.open.values_mut().flatten()) {
            if let Part::Nodes(nodes) = part {
                nodes.remove(&node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(nodes: &[u64]) -> Part {
        Part::Nodes(nodes.iter().map(|node| NodeId(*node)).collect())
    }

    #[test]
    fn a_scope_within_another_ends_without_it() {
        let mut scopes = Scopes::new(None);
        scopes.add(Some(Ref(1)), on(&[1, 2]));
        scopes.add(Some(Ref(2)), on(&[2, 3]));
        assert_eq!(scopes.all(), Some(on(&[1, 2, 3])));
        assert!(scopes.end(Ref(2)));
        assert_eq!(scopes.all(), Some(on(&[1, 2])));
        assert!(!scopes.end(Ref(2)), "once");
        assert!(scopes.end(Ref(1)) && scopes.is_empty());
        assert_eq!(scopes.all(), None);
    }

    #[test]
    fn scopes_that_overlap_end_in_any_order() {
        let mut scopes = Scopes::new(Some(on(&[9])));
        scopes.add(Some(Ref(1)), Part::View);
        scopes.add(Some(Ref(2)), on(&[1]));
        assert!(scopes.end(Ref(1)));
        assert_eq!(scopes.all(), Some(on(&[1, 9])));
        scopes.add(None, on(&[2]));
        assert!(scopes.end(Ref(2)) && scopes.is_empty());
        assert_eq!(scopes.all(), Some(on(&[2, 9])), "what was acquired to be kept is kept");
    }

    #[test]
    fn what_is_given_back_is_on_a_list_for_every_scope() {
        let mut scopes = Scopes::new(Some(Part::View));
        scopes.add(Some(Ref(1)), Part::View);
        scopes.add(Some(Ref(2)), on(&[1]));
        assert!(scopes.end(Ref(2)));
        assert_eq!(scopes.all(), Some(Part::View));
        scopes.shrink(&[NodeId(1), NodeId(2)].into());
        assert_eq!(scopes.all(), Some(on(&[1, 2])));
        scopes.add(None, Part::View);
        assert_eq!(scopes.all(), Some(Part::View));
    }

    #[test]
    fn what_was_given_back_does_not_come_back_with_the_end_of_a_scope() {
        let mut scopes = Scopes::new(Some(on(&[1, 2])));
        scopes.add(Some(Ref(1)), on(&[2, 3]));
        scopes.shrink(&[NodeId(3)].into());
        scopes.add(Some(Ref(2)), on(&[2]));
        assert!(scopes.end(Ref(2)));
        assert_eq!(scopes.all(), Some(on(&[3])));
        assert!(scopes.end(Ref(1)) && scopes.is_empty());
        assert_eq!(scopes.all(), None, "nothing is kept any more");
    }

    /// Who believes to hold what is on no node any more is told by the hold that is left: it is on none.
    #[test]
    fn what_is_kept_on_nodes_that_have_left_is_kept() {
        let mut scopes = Scopes::new(Some(on(&[1])));
        scopes.add(Some(Ref(1)), on(&[1, 2]));
        scopes.leave(NodeId(1));
        assert_eq!(scopes.all(), Some(on(&[2])));
        assert!(scopes.end(Ref(1)));
        assert_eq!(scopes.all(), Some(on(&[])));
    }
}
