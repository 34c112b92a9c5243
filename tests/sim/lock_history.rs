//! The history of a lock while nothing breaks: does one order of what was acquired and given back explain that nobody ever
//! held it beside a foreign requester on a common node, and that every token is larger than those of all foreign holds
//! before it?

use crate::linear::{Object, Operation};
use crate::lock_book::Share;
use convoke::model::{Name, NodeId, Pid};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Act {
    /// From now on the share is held on these nodes.
    Hold { share: Share, on: BTreeSet<NodeId>, token: u64 },
    /// It is not held on these any more; `None`: on none.
    Drop { share: Share, on: Option<BTreeSet<NodeId>> },
}

/// What is held, and the largest token of each requester that was ever held on a node.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub(crate) struct State {
    held: BTreeMap<Share, BTreeSet<NodeId>>,
    tokens: BTreeMap<(NodeId, Name), u64>,
}

/// `ends`: when processes ended.
pub(crate) struct LockObject {
    pub(crate) ends: BTreeMap<Pid, u64>,
}

impl Object for LockObject {
    type Act = Act;
    type State = State;

    fn apply(&self, state: &State, act: &Act, by: u64) -> Option<State> {
        let mut after = state.clone();
        match act {
            Act::Hold { share, on, token } => {
                for (other, nodes) in &state.held {
                    if other.requester == share.requester || nodes.is_disjoint(on) {
                        continue;
                    }
                    if self.ends.get(&other.pid).is_none_or(|at| *at > by) {
                        return None;
                    }
                    after.held.remove(other);
                }
                let foreign =
                    |(node, requester): &(NodeId, Name)| on.contains(node) && *requester != share.requester;
                if state.tokens.iter().any(|(key, before)| foreign(key) && before >= token) {
                    return None;
                }
                for node in on {
                    let highest = after.tokens.entry((*node, share.requester.clone())).or_default();
                    *highest = (*highest).max(*token);
                }
                after.held.entry(share.clone()).or_default().extend(on);
            }
            Act::Drop { share, on } => {
                if let Some(nodes) = after.held.get_mut(share) {
                    nodes.retain(|node| on.as_ref().is_some_and(|on| !on.contains(node)));
                    if nodes.is_empty() {
                        after.held.remove(share);
                    }
                }
            }
        }
        Some(after)
    }
}

/// What was done about locks since nothing breaks any more.
pub(crate) type Acts = Vec<Operation<Act>>;

pub(crate) fn of(acts: &Acts, resource: &Name) -> Acts {
    let is_of = |act: &Act| match act {
        Act::Hold { share, .. } | Act::Drop { share, .. } => share.resource == *resource,
    };
    acts.iter().filter(|op| is_of(&op.act)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::{OPEN, Verdict, check};

    fn share(requester: u8) -> Share {
        let pid = Pid { node: NodeId(1), serial: u64::from(requester) };
        Share { resource: Name::new(b"L"), requester: Name::new(&[requester]), pid }
    }
    fn nodes(on: &[u64]) -> BTreeSet<NodeId> {
        on.iter().map(|node| NodeId(*node)).collect()
    }
    fn hold(requester: u8, on: &[u64], token: u64, begin: u64, end: u64) -> Operation<Act> {
        Operation { act: Act::Hold { share: share(requester), on: nodes(on), token }, begin, end, sure: true }
    }
    fn drop(requester: u8, on: Option<&[u64]>, begin: u64, end: u64) -> Operation<Act> {
        let sure = end != OPEN;
        Operation { act: Act::Drop { share: share(requester), on: on.map(nodes) }, begin, end, sure }
    }
    fn fits(history: &[Operation<Act>]) -> bool {
        let object = LockObject { ends: BTreeMap::from([(share(9).pid, 10)]) };
        check(&object, State::default(), history) == Verdict::Explained
    }

    #[test]
    fn two_requesters_do_not_hold_together() {
        assert!(!fits(&[hold(1, &[1, 2], 5, 1, 2), hold(2, &[2, 3], 6, 3, 4)]));
        assert!(fits(&[hold(1, &[1, 2], 5, 1, 2), hold(2, &[3], 6, 3, 4)]), "no common node");
        assert!(fits(&[hold(1, &[1], 5, 1, 2), drop(1, None, 3, 6), hold(2, &[1], 6, 3, 4)]));
        assert!(!fits(&[hold(1, &[1], 5, 1, 2), hold(2, &[1], 6, 3, 4), drop(1, None, 5, 6)]));
    }

    #[test]
    fn a_part_that_is_given_back_is_free_and_the_rest_is_not() {
        let part = |on: &[u64]| [hold(1, &[1, 2], 5, 1, 2), drop(1, Some(&[2]), 3, 4), hold(2, on, 6, 5, 6)];
        assert!(fits(&part(&[2])));
        assert!(!fits(&part(&[1, 2])));
    }

    #[test]
    fn tokens_rise_past_every_foreign_hold() {
        assert!(!fits(&[hold(1, &[1], 5, 1, 2), drop(1, None, 3, 4), hold(2, &[1], 5, 5, 6)]));
        assert!(fits(&[hold(1, &[1], 5, 1, 2), drop(1, None, 3, 4), hold(2, &[2], 5, 5, 6)]));
        assert!(fits(&[hold(1, &[1], 5, 1, 2), drop(1, None, 3, 4), hold(1, &[1], 5, 5, 6)]), "its own");
    }

    #[test]
    fn the_lock_of_the_dead_is_free_when_they_are_dead() {
        assert!(!fits(&[hold(9, &[1], 5, 1, 2), hold(2, &[1], 6, 3, 4)]));
        assert!(fits(&[hold(9, &[1], 5, 1, 2), hold(2, &[1], 6, 11, 12)]));
    }

    #[test]
    fn what_was_not_answered_may_have_been_given_back() {
        assert!(fits(&[hold(1, &[1], 5, 1, 2), drop(1, None, 3, OPEN), hold(2, &[1], 6, 5, 6)]));
    }
}
