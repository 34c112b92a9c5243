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
            Self::Nothing => 0,
            Self::One(..) => 1,
            Self::Many(dots) => dots.len(),
        }
    }

    /// The group of the dot with this number, if it is live.
    pub(super) fn get(&self, number: u64) -> Option<&Name> {
        match self {
            Self::One(one, group) if *one == number => Some(group),
            Self::Nothing | Self::One(..) => None,
            Self::Many(dots) => dots.get(&number),
        }
    }

    /// In order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Name)> {
        let (one, many) = match self {
            Self::Nothing => (None, None),
            Self::One(number, group) => (Some((*number, group)), None),
            Self::Many(dots) => (None, Some(dots)),
        };
        one.into_iter().chain(many.into_iter().flatten().map(|(number, group)| (*number, group)))
    }

    pub(super) fn insert(&mut self, number: u64, group: Name) {
        match self {
            Self::Nothing => *self = Self::One(number, group),
            Self::One(one, _) if *one == number => *self = Self::One(number, group),
            Self::One(one, first) => *self = Self::Many([(*one, first.clone()), (number, group)].into()),
            Self::Many(dots) => drop(dots.insert(number, group)),
        }
    }

    pub(super) fn remove(&mut self, number: u64) {
        match self {
            Self::One(one, _) if *one == number => *self = Self::Nothing,
            Self::Nothing | Self::One(..) => {}
            Self::Many(dots) => {
                dots.remove(&number);
                if dots.is_empty() {
                    *self = Self::Nothing;
                }
            }
        }
    }
}

impl FromIterator<(u64, Name)> for Made {
    fn from_iter<T: IntoIterator<Item = (u64, Name)>>(dots: T) -> Self {
        let mut dots = dots.into_iter();
        match (dots.next(), dots.next()) {
            (None, _) => Self::Nothing,
            (Some((number, group)), None) => Self::One(number, group),
            (Some(first), Some(second)) => Self::Many([first, second].into_iter().chain(dots).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::for_each_case;
    use proptest::collection::vec;

    /// None, one or many, it says what a tree says.
    #[test]
    fn what_was_made_is_a_map() {
        let steps = vec((proptest::bool::ANY, 1..6u64), 0..200);
        for_each_case(100, &steps, |steps| {
            let (mut made, mut model) = (Made::default(), BTreeMap::new());
            for (step, (insert, number)) in steps.into_iter().enumerate() {
                if insert {
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
        });
    }
}
