//! What this node dials, and the ways to find it: by address, by the name of the node that answers there, by the link
//! that it led to. When each is dialled stands in `dial` and `lookup`.
//!
//! Whatever is indexed is written through [`DialTargets`] alone, so that no index can go astray.

use crate::index::Index;
use crate::*;
use std::collections::{BTreeMap, BTreeSet};

/// What speaks against a dial, whoever answers there.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Obstacle {
    #[default]
    Nothing,
    /// This very node answered here last. Behind a balancer or a redirection another one may answer next time.
    LedBack,
    /// `disconnect` was called: not dialled until somebody asks.
    Parted,
    /// This very node listens here, as its own options say: never dialled.
    Myself,
}

/// How far this node is with who answers here.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Meeting {
    #[default]
    Unknown,
    /// A node has said here who it is, and was not lost since.
    Answered,
    /// It was merged with at least once, or could not be had. Of a name: it was looked up.
    Met,
}

/// Whether it stands among the addresses of a name.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Listing {
    #[default]
    Unlisted,
    Listed,
    /// It did, and does no longer: it is forgotten when it is not linked.
    Vanished,
}

#[derive(Default, Debug)]
#[allow(clippy::struct_excessive_bools)] // what it is by its states stands in the enums; each of these is by itself
pub(super) struct DialTarget {
    /// Dialled for ever, also after an orderly goodbye.
    pub(super) seed: bool,
    /// It came to be because a peer has told of it, and has not led to a link that was merged: see `told`.
    pub(super) unproven: bool,
    /// Since when every dial of it was refused because another node of the same name is believed in.
    pub(super) in_doubt: Option<Time>,
    /// A dial of it led to a node that was linked.
    pub(super) reached: bool,
    /// Who answers here, as far as known.
    name: String,
    /// The link that makes a dial needless. Of a name: one of those that its addresses led to.
    linked: Option<NodeId>,
    /// A dial or a look-up is under way.
    pub(super) dialling: bool,
    pub(super) failures: u32,
    obstacle: Obstacle,
    meeting: Meeting,
    listing: Listing,
    /// The node that it is linked to says to be dialled elsewhere: it may lead to others too.
    pub(super) is_alias: bool,
    /// Others know another incarnation here than the one that is linked: it is dialled when that one has left.
    pub(super) successor: bool,
    /// It is a name, and stood for these addresses when it was looked up last.
    found: Option<BTreeSet<String>>,
    /// The node that answered here keeps others waiting, and is left alone for a while.
    pub(super) rests: Option<NodeId>,
}

impl DialTarget {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn linked(&self) -> Option<NodeId> {
        self.linked
    }

    /// The addresses that it stands for, if it is a name.
    pub(crate) fn found(&self) -> Option<&BTreeSet<String>> {
        self.found.as_ref()
    }

    pub(super) fn is_name(&self) -> bool {
        self.found.is_some()
    }

    /// Dialled for its own sake, for ever.
    pub(super) fn is_kept(&self) -> bool {
        self.seed || (!self.name.is_empty() && self.listing != Listing::Vanished)
    }

    /// This very node answers here, for ever or for now.
    pub(super) fn leads_back(&self) -> bool {
        matches!(self.obstacle, Obstacle::Myself | Obstacle::LedBack)
    }

    /// A dial would hardly find anything new here.
    pub(super) fn is_settled(&self) -> bool {
        self.linked.is_some() || self.obstacle != Obstacle::Nothing
    }

    /// A node that is to be linked was neither merged with nor found wanting yet.
    pub(super) fn is_to_be_met(&self) -> bool {
        let wanted = self.seed || !self.name.is_empty() || self.is_listed();
        wanted && self.meeting != Meeting::Met && self.obstacle == Obstacle::Nothing
    }

    /// It is not known yet what a dial leads to.
    pub(super) fn is_open(&self) -> bool {
        self.dialling || !(self.meeting == Meeting::Met || self.is_settled())
    }

    /// A seed that may lead to several nodes, which is dialled also when it led to a link: others may have come.
    pub(super) fn leads_to_several(&self) -> bool {
        self.seed && (self.is_name() || self.is_alias)
    }

    pub(super) fn wants_dial(&self) -> bool {
        self.may_be_dialled() && (self.linked.is_none() || self.leads_to_several())
    }

    pub(super) fn may_be_dialled(&self) -> bool {
        !(self.dialling || matches!(self.obstacle, Obstacle::Myself | Obstacle::Parted))
    }

    pub(super) fn is_myself(&self) -> bool {
        self.obstacle == Obstacle::Myself
    }
    pub(super) fn has_led_back(&self) -> bool {
        self.obstacle == Obstacle::LedBack
    }
    pub(super) fn is_parted(&self) -> bool {
        self.obstacle == Obstacle::Parted
    }
    pub(super) fn has_answered(&self) -> bool {
        self.meeting == Meeting::Answered
    }
    pub(super) fn is_listed(&self) -> bool {
        self.listing == Listing::Listed
    }
    pub(super) fn has_vanished(&self) -> bool {
        self.listing == Listing::Vanished
    }

    // ---- what becomes of it: each is a step from any state

    /// It is this node's own address, for good.
    pub(super) fn set_myself(&mut self) {
        self.obstacle = Obstacle::Myself;
    }
    /// This node itself answered.
    pub(super) fn set_led_back(&mut self) {
        if !self.is_myself() {
            self.obstacle = Obstacle::LedBack;
        }
    }
    /// Another one answered, or nobody.
    pub(super) fn set_not_led_back(&mut self) {
        if self.has_led_back() {
            self.obstacle = Obstacle::Nothing;
        }
    }
    /// The node that answers here was disconnected, or is not any more.
    pub(super) fn set_parted(&mut self, parted: bool) {
        match (parted, self.obstacle) {
            (true, Obstacle::Nothing | Obstacle::LedBack) => self.obstacle = Obstacle::Parted,
            (false, Obstacle::Parted) => self.obstacle = Obstacle::Nothing,
            _ => {}
        }
    }
    pub(super) fn set_answered(&mut self) {
        if self.meeting == Meeting::Unknown {
            self.meeting = Meeting::Answered;
        }
    }
    pub(super) fn set_met(&mut self) {
        self.meeting = Meeting::Met;
    }
    /// The node that answered was lost.
    pub(super) fn set_lost(&mut self) {
        if self.meeting == Meeting::Answered {
            self.meeting = Meeting::Unknown;
        }
    }
    pub(super) fn set_listed(&mut self) {
        self.listing = Listing::Listed;
    }
    /// No name stands for it any more; `vanished`: one did.
    pub(super) fn set_unlisted(&mut self, vanished: bool) {
        if vanished {
            self.listing = Listing::Vanished;
        } else if self.is_listed() {
            self.listing = Listing::Unlisted;
        }
    }
    /// Somebody says that it is good for something.
    pub(super) fn set_not_vanished(&mut self) {
        if self.has_vanished() {
            self.listing = Listing::Unlisted;
        }
    }
}

#[derive(Default, Debug)]
pub(super) struct DialTargets {
    by_address: BTreeMap<String, DialTarget>,
    by_name: Index<String, String>,
    by_link: Index<NodeId, String>,
    /// Those that are names themselves; few, if any.
    names: BTreeSet<String>,
}

impl DialTargets {
    pub(super) fn check_invariants(&self) -> Sound {
        let named = self.by_address.iter().filter(|(_, target)| !target.name.is_empty());
        self.by_name.check(
            "targets by name",
            named.map(|(address, target)| (target.name.clone(), address.clone())),
        )?;
        let linked =
            self.by_address.iter().filter_map(|(address, target)| Some((target.linked()?, address.clone())));
        self.by_link.check("targets by link", linked)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_address.len()
    }

    pub(crate) fn contains(&self, address: &str) -> bool {
        self.by_address.contains_key(address)
    }

    pub(crate) fn get(&self, address: &str) -> Option<&DialTarget> {
        self.by_address.get(address)
    }

    pub(crate) fn get_mut(&mut self, address: &str) -> Option<&mut DialTarget> {
        self.by_address.get_mut(address)
    }

    /// The target with this address, which is made if there is none.
    pub(crate) fn at(&mut self, address: &str) -> &mut DialTarget {
        self.by_address.entry(address.to_owned()).or_default()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &DialTarget)> {
        self.by_address.iter().map(|(address, target)| (address.as_str(), target))
    }

    /// Where a node of this name answers, as far as known.
    pub(crate) fn named(&self, name: &str) -> impl Iterator<Item = (&str, &DialTarget)> {
        self.by_name.with(name).filter_map(|at| Some((at.as_str(), self.by_address.get(at)?)))
    }

    /// The addresses that led to this link.
    pub(super) fn led_to(&self, node: NodeId) -> Vec<String> {
        self.by_link.with(&node).cloned().collect()
    }

    /// The names that stand for addresses, as they were found last.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, &BTreeSet<String>)> {
        self.names.iter().filter_map(|at| Some((at.as_str(), self.by_address.get(at)?.found()?)))
    }

    pub(super) fn set_name(&mut self, address: &str, name: &str) {
        let Some(target) = self.by_address.get_mut(address).filter(|target| target.name != name) else {
            return;
        };
        let old = std::mem::replace(&mut target.name, name.to_owned());
        self.by_name.remove(&old, address);
        if !name.is_empty() {
            self.by_name.insert(name.to_owned(), address.to_owned());
        }
    }

    pub(super) fn set_linked(&mut self, address: &str, linked: Option<NodeId>) {
        let Some(target) = self.by_address.get_mut(address).filter(|target| target.linked != linked) else {
            return;
        };
        if let Some(old) = std::mem::replace(&mut target.linked, linked) {
            self.by_link.remove(&old, address);
        }
        if let Some(new) = linked {
            self.by_link.insert(new, address.to_owned());
        }
    }

    /// It is a name. What it stood for before.
    pub(super) fn set_found(&mut self, address: &str, found: BTreeSet<String>) -> BTreeSet<String> {
        let Some(target) = self.by_address.get_mut(address) else { return BTreeSet::new() };
        self.names.insert(address.to_owned());
        target.found.replace(found).unwrap_or_default()
    }

    pub(crate) fn remove(&mut self, address: &str) -> Option<DialTarget> {
        let target = self.by_address.remove(address)?;
        self.by_name.remove(&target.name, address);
        if let Some(node) = &target.linked {
            self.by_link.remove(node, address);
        }
        self.names.remove(address);
        Some(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::for_each_case;
    use proptest::collection::vec;
    use proptest::prop_oneof;
    use proptest::sample::select;
    use proptest::strategy::{Just, Strategy};
    use std::cell::Cell;

    /// From every state, what each step leads to.
    #[test]
    fn the_steps_of_a_target() {
        use Obstacle::{LedBack, Myself, Nothing, Parted};
        let step = |from: Obstacle, step: fn(&mut DialTarget)| {
            let mut target = DialTarget { obstacle: from, ..DialTarget::default() };
            step(&mut target);
            target.obstacle
        };
        for (from, led_back, not_led_back, parted, not_parted) in [
            (Nothing, LedBack, Nothing, Parted, Nothing),
            (LedBack, LedBack, Nothing, Parted, LedBack),
            (Parted, LedBack, Parted, Parted, Nothing),
            (Myself, Myself, Myself, Myself, Myself),
        ] {
            assert_eq!(step(from, DialTarget::set_myself), Myself);
            assert_eq!(step(from, DialTarget::set_led_back), led_back);
            assert_eq!(step(from, DialTarget::set_not_led_back), not_led_back);
            assert_eq!(step(from, |target| target.set_parted(true)), parted);
            assert_eq!(step(from, |target| target.set_parted(false)), not_parted);
        }
        use Meeting::{Answered, Met, Unknown};
        for (from, answered, lost) in
            [(Unknown, Answered, Unknown), (Answered, Answered, Unknown), (Met, Met, Met)]
        {
            let at = |step: fn(&mut DialTarget)| {
                let mut target = DialTarget { meeting: from, ..DialTarget::default() };
                step(&mut target);
                target.meeting
            };
            assert_eq!((at(DialTarget::set_answered), at(DialTarget::set_lost)), (answered, lost));
            assert_eq!(at(DialTarget::set_met), Met);
        }
        use Listing::{Listed, Unlisted, Vanished};
        for (from, gone, not_vanished) in
            [(Unlisted, Unlisted, Unlisted), (Listed, Unlisted, Listed), (Vanished, Vanished, Unlisted)]
        {
            let at = |step: fn(&mut DialTarget)| {
                let mut target = DialTarget { listing: from, ..DialTarget::default() };
                step(&mut target);
                target.listing
            };
            assert_eq!(at(|target| target.set_unlisted(false)), gone);
            assert_eq!(at(|target| target.set_unlisted(true)), Vanished);
            assert_eq!(
                (at(DialTarget::set_not_vanished), at(DialTarget::set_listed)),
                (not_vanished, Listed)
            );
        }
    }

    /// What the indices say is what a look at every row says.
    fn check(targets: &DialTargets) {
        for name in ["", "a", "b"] {
            let rows = targets.iter().filter(|(_, target)| !name.is_empty() && target.name() == name);
            let expected: Vec<_> = rows.map(|(address, _)| address).collect();
            assert_eq!(targets.named(name).map(|(address, _)| address).collect::<Vec<_>>(), expected);
        }
        for node in [NodeId(1), NodeId(2)] {
            let rows = targets.iter().filter(|(_, target)| target.linked() == Some(node));
            assert_eq!(targets.led_to(node), rows.map(|(address, _)| address).collect::<Vec<_>>());
        }
        let rows = targets.iter().filter(|(_, target)| target.is_name());
        let expected: Vec<_> = rows.map(|(address, _)| address).collect();
        assert_eq!(targets.names().map(|(address, _)| address).collect::<Vec<_>>(), expected);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Add,
        Name(&'static str),
        Link(Option<NodeId>),
        Find,
        Remove,
        Fail,
    }

    #[test]
    fn the_indices_agree_with_the_rows() {
        let links = vec![None, Some(NodeId(1)), Some(NodeId(2))];
        let step = prop_oneof![
            Just(Step::Add),
            select(vec!["", "a", "b"]).prop_map(Step::Name),
            select(links).prop_map(Step::Link),
            Just(Step::Find),
            Just(Step::Remove),
            Just(Step::Fail),
        ];
        let most = Cell::new(0);
        for_each_case(40, &vec((0..6, step), 0..100), |steps| {
            let mut targets = DialTargets::default();
            for (host, step) in steps {
                let address = format!("h{host}");
                match step {
                    Step::Add => drop(targets.at(&address)),
                    Step::Name(name) => targets.set_name(&address, name),
                    Step::Link(node) => targets.set_linked(&address, node),
                    Step::Find => drop(targets.set_found(&address, BTreeSet::from(["h0".to_owned()]))),
                    Step::Remove => drop(targets.remove(&address)),
                    Step::Fail => targets.at(&address).failures += 1,
                }
                check(&targets);
                most.set(most.get().max(targets.len()));
            }
            assert!(targets.iter().all(|(address, _)| targets.contains(address)));
        });
        assert_eq!(most.get(), 6, "every host was there");
    }
}
