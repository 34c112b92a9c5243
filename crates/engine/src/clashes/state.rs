//! What a home keeps of the clashes of its bindings: the pairs that it decides, with how far each is, and the pair that it takes part in.

use super::resolver::Resolvers;
use crate::*;
use std::collections::BTreeMap;

/// So many pairs of one binding are remembered. Those that are decided and whose other home has a link end by
/// themselves; others may be of incarnations that never come back.
const MAX_CASES: usize = 64;

/// What becomes of the two sides of a pair; `None`: it keeps the name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Decision {
    pub(super) low: Option<Treatment>,
    pub(super) high: Option<Treatment>,
}

/// How far the lower home is with a pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PairState {
    /// The higher home was asked to take part.
    Asked,
    /// A function was called; it is not called again for this pair.
    Resolving,
    /// Likewise, and the higher binding has gone for good meanwhile: there is nothing left to decide.
    Obsolete,
    Decided(Decision),
}

/// A pair at its lower home.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Case {
    pub(super) state: PairState,
    /// The process of the higher binding. A row of it need not be here, where a third node has told of it.
    pub(super) high: Pid,
    pub(super) since: Time,
    /// The number of the question that an answer must have.
    pub(super) round: u64,
}

impl Case {
    /// Also while the higher home has not withdrawn what has lost: until then a third home may find it here, and let it win
    /// against the one that has beaten this one meanwhile, so that in the end all had lost to each other.
    /// `shown`: of the higher home this binding is shown. One that its home has replaced in place withdraws only if it is
    /// shown again, and the verdict is told again then: it does not hold up the pair with the new one.
    pub(super) fn is_running(
        &self,
        pair: &Pair,
        linked: impl Fn(NodeId) -> bool,
        shown: impl Fn(Reg) -> bool,
    ) -> bool {
        match self.state {
            PairState::Resolving | PairState::Obsolete => true,
            PairState::Asked => linked(pair.high.node),
            PairState::Decided(Decision { high: Some(_), .. }) => linked(pair.high.node) && shown(pair.high),
            PairState::Decided(Decision { high: None, .. }) => false,
        }
    }
}

/// The clashes of one name at a home.
#[derive(Default, Debug)]
pub(super) struct Clash {
    /// As the lower home.
    pub(super) cases: BTreeMap<Pair, Case>,
    /// As the higher home: the pair that my binding takes part in, and those that wait for it.
    pub(super) engaged: Option<Pair>,
    pub(super) waiting: BTreeMap<Pair, u64>,
}

/// All clashes of this node's bindings, and what deciding them needs.
#[derive(Default, Debug)]
pub(crate) struct Clashes {
    pub(super) by_name: BTreeMap<Name, Clash>,
    pub(super) resolvers: Resolvers,
    /// Homes without a link and the third node that can pass clash messages to them.
    pub(super) relays: BTreeMap<NodeId, NodeId>,
}

impl Clashes {
    /// Names with a clash, under way or decided.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Name> {
        self.by_name.keys()
    }
    /// For a picture of the state.
    pub(crate) fn cases(&self) -> &impl std::fmt::Debug {
        &self.by_name
    }
    pub(crate) fn check_invariants(&self) -> Sound {
        let empty = self.by_name.iter().find(|(_, clash)| clash.is_empty());
        ensure(empty.is_none(), || {
            format!("a clash of which nothing is left: {:?}", empty.map(|(name, _)| name))
        })
    }
    pub(crate) fn resolvers(&self) -> &Resolvers {
        &self.resolvers
    }
    pub(crate) fn link_up(&mut self, node: NodeId) {
        self.relays.remove(&node); // it can be reached itself
    }
    pub(crate) fn link_down(&mut self, node: NodeId) {
        self.relays.retain(|_, through| *through != node);
    }
    /// The node closes: what was asked is not waited for any more.
    pub(crate) fn clear(&mut self) {
        self.by_name.clear();
        self.resolvers.forget_calls();
    }
}

impl Clash {
    pub(super) fn is_empty(&self) -> bool {
        self.cases.is_empty() && self.engaged.is_none() && self.waiting.is_empty()
    }
    /// Only decisions are left, kept against repetition, and what was said through a third node and lost its other side:
    /// that blocks nothing, and goes with my binding.
    pub(super) fn is_at_rest(&self, linked: impl Fn(NodeId) -> bool, shown: impl Fn(Reg) -> bool) -> bool {
        self.engaged.is_none_or(|pair| !linked(pair.low.node))
            && self.waiting.is_empty()
            && self.cases.iter().all(|(pair, case)| !case.is_running(pair, &linked, &shown))
    }
    /// The case that is missed least, when there are too many: one of a home without a link, best one that is not decided.
    pub(super) fn make_room(&mut self, linked: impl Fn(NodeId) -> bool) {
        if self.cases.len() < MAX_CASES {
            return;
        }
        let running = |case: &Case| matches!(case.state, PairState::Resolving | PairState::Obsolete);
        let idle = self.cases.iter().filter(|(pair, case)| !linked(pair.high.node) && !running(case));
        if let Some(pair) = idle.min_by_key(|(_, case)| case.state != PairState::Asked).map(|(pair, _)| *pair)
        {
            self.cases.remove(&pair);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of each state: whether the pair is running where the homes have a link and the higher binding is shown, with a link alone, and
    /// without one.
    #[test]
    fn which_pairs_are_running() {
        let reg = |node| Reg { node: NodeId(node), seq: 1 };
        let pair = Pair { low: reg(1), high: reg(2) };
        let decided =
            |low: Option<Treatment>, high: Option<Treatment>| PairState::Decided(Decision { low, high });
        let goes = Some(Treatment::Silent);
        for (state, shown, linked, unlinked) in [
            (PairState::Asked, true, true, false),
            (PairState::Resolving, true, true, true),
            (PairState::Obsolete, true, true, true),
            (decided(None, None), false, false, false),
            (decided(goes, None), false, false, false),
            (decided(None, goes), true, false, false),
            (decided(goes, goes), true, false, false),
        ] {
            let case = Case { state, high: Pid { node: NodeId(2), serial: 1 }, since: Time(0), round: 1 };
            let is_running = |is_linked, is_shown| case.is_running(&pair, |_| is_linked, |_| is_shown);
            assert_eq!(is_running(true, true), shown, "{state:?}");
            assert_eq!(is_running(true, false), linked, "{state:?}");
            assert_eq!(is_running(false, true), unlinked, "{state:?}");
        }
    }
}
