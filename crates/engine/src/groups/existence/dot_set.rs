//! The live dots of one group.

use crate::{Dot, NodeId};
use std::collections::BTreeSet;

/// More dots than this are kept as a tree: in a vector each new one would move all behind it.
const MOST_IN_VECTOR: usize = 16;

/// Live dots, in order. There may be very many groups, and hardly any has more than one dot, so one takes no room elsewhere and a few
/// are a vector.
#[derive(Clone, Debug)]
pub(crate) enum DotSet {
    One(Dot),
    Few(Vec<Dot>),
    Many(BTreeSet<Dot>),
}

impl DotSet {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Dot> {
        let (few, many) = self.parts();
        few.iter().chain(many.into_iter().flatten())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    pub(super) fn insert(&mut self, dot: Dot) {
        match self {
            Self::Many(dots) => drop(dots.insert(dot)),
            Self::One(one) if *one == dot => {}
            Self::One(one) => *self = Self::Few(vec![dot.min(*one), dot.max(*one)]),
            Self::Few(dots) => match dots.binary_search(&dot) {
                Ok(_) => {}
                Err(_) if dots.is_empty() => *self = Self::One(dot),
                Err(_) if dots.len() >= MOST_IN_VECTOR => {
                    *self = Self::Many(dots.iter().copied().chain([dot]).collect());
                }
                Err(at) => dots.insert(at, dot),
            },
        }
    }

    /// Says whether it was there.
    pub(super) fn remove(&mut self, dot: &Dot) -> bool {
        match self {
            Self::One(one) if one == dot => {
                *self = Self::default();
                true
            }
            Self::One(_) => false,
            Self::Few(dots) => dots.binary_search(dot).map(|at| dots.remove(at)).is_ok(),
            Self::Many(dots) => dots.remove(dot),
        }
    }

    pub(super) fn made_by(&self, node: NodeId) -> impl Iterator<Item = &Dot> {
        let (few, many) = self.parts();
        let range = Dot { node, number: 0 }..=Dot { node, number: u64::MAX };
        let of_many = many.into_iter().flat_map(move |dots| dots.range(range.clone()));
        few.iter().filter(move |dot| dot.node == node).chain(of_many)
    }

    fn parts(&self) -> (&[Dot], Option<&BTreeSet<Dot>>) {
        match self {
            Self::One(dot) => (std::slice::from_ref(dot), None),
            Self::Few(dots) => (dots, None),
            Self::Many(dots) => (&[], Some(dots)),
        }
    }
}

impl Default for DotSet {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl PartialEq for DotSet {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for DotSet {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::for_each_case;
    use proptest::bool::weighted;
    use proptest::collection::vec;

    /// Few or many, it says what a tree says.
    #[test]
    fn a_set_of_dots_is_a_set() {
        // More and more, then fewer and fewer.
        let steps = |inserts| vec((weighted(inserts), 1..5u64, 1..20u64), 0..200);
        for_each_case(100, &(steps(0.8), steps(0.2)), |(growing, shrinking)| {
            let (mut set, mut model) = (DotSet::default(), BTreeSet::new());
            for (insert, node, number) in growing.into_iter().chain(shrinking) {
                let dot = Dot { node: NodeId(node), number };
                if insert {
                    set.insert(dot);
                    model.insert(dot);
                } else {
                    assert_eq!(set.remove(&dot), model.remove(&dot));
                }
                assert!(set.iter().eq(&model));
                assert!(set.made_by(dot.node).eq(model.iter().filter(|other| other.node == dot.node)));
                assert_eq!((set.is_empty(), &set), (model.is_empty(), &DotSet::Many(model.clone())));
            }
        });
    }
}
