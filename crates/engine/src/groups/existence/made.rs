//! The live dots that one incarnation has made, and of which group each is.

use crate::Name;
use std::collections::BTreeMap;

/// By number. There may be very many incarnations, and hardly any has more than one live dot, so one takes no room elsewhere.
#[derive(Clone, Default, Debug)]
pub(crate) enum Made {
    #[default]
    Nothing,
    One(u64, Name),
    Many(BTreeMap<u64, Name>),
}

impl Made {
    pub(crate) fn len(&self) -> usize {
        match self {
            Made::Nothing => 0,
            Made::One(..) => 1,
            Made::Many(dots) => dots.len(),
        }
    }

    /// The group of the dot with this number, if it is live.
    pub(super) fn get(&self, number: u64) -> Option<&Name> {
        match self {
            Made::One(one, group) if *one == number => Some(group),
            Made::Nothing | Made::One(..) => None,
            Made::Many(dots) => dots.get(&number),
        }
    }

    /// In order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Name)> {
        let (one, many) = match self {
            Made::Nothing => (None, None),
            Made::One(number, group) => (Some((*number, group)), None),
            Made::Many(dots) => (None, Some(dots)),
        };
        one.into_iter().chain(many.into_iter().flatten().map(|(number, group)| (*number, group)))
    }

    pub(super) fn insert(&mut self, number: u64, group: Name) {
        match self {
            Made::Nothing => *self = Made::One(number, group),
            Made::One(one, _) if *one == number => *self = Made::One(number, group),
            Made::One(one, first) => *self = Made::Many([(*one, first.clone()), (number, group)].into()),
            Made::Many(dots) => drop(dots.insert(number, group)),
        }
    }

    pub(super) fn remove(&mut self, number: u64) {
        match self {
            Made::One(one, _) if *one == number => *self = Made::Nothing,
            Made::Nothing | Made::One(..) => {}
            Made::Many(dots) => {
                dots.remove(&number);
                if dots.is_empty() {
                    *self = Made::Nothing;
                }
            }
        }
    }
}

impl FromIterator<(u64, Name)> for Made {
    fn from_iter<T: IntoIterator<Item = (u64, Name)>>(dots: T) -> Made {
        let mut made = Made::default();
        dots.into_iter().for_each(|(number, group)| made.insert(number, group));
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    /// None, one or many, it says what a tree says.
    #[test]
    fn what_was_made_is_a_map() {
        for seed in 0..100 {
            let mut rng = StdRng::seed_from_u64(seed);
            let (mut made, mut model) = (Made::default(), BTreeMap::new());
            for step in 0..100 {
                let number = rng.random_range(1..6);
                if rng.random_bool(0.5) {
                    let group = Name::new(format!("g{step}").as_bytes());
                    made.insert(number, group.clone());
                    model.insert(number, group);
                } else {
                    made.remove(number);
                    model.remove(&number);
                }
                assert!(made.iter().eq(model.iter().map(|(number, group)| (*number, group))));
                assert_eq!((made.len(), made.get(number)), (model.len(), model.get(&number)));
                assert_eq!(format!("{:?}", made.clone()).contains("Nothing"), model.is_empty());
            }
        }
    }
}
