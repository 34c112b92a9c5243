//! The shares of one lock, as a node knows them. Locks are many and sharers few, so a single share takes no more room than
//! it needs; where there are many, nothing looks through all of them.

use crate::{Name, Pid, Time};
use std::collections::BTreeMap;

/// What is kept of a share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Row {
    pub(super) token: u64,
    /// When this node learned of it.
    pub(super) since: Time,
    /// It keeps others from the lock here.
    pub(super) binds: bool,
    /// It binds here, and its home wants to hear when others wait.
    pub(super) watched: bool,
}

/// The state of a lock at this voter: by the requesters of the shares that bind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LockState<'a> {
    Free,
    HeldBy(&'a Name),
    /// By several, after a split.
    Conflict,
}

impl LockState<'_> {
    /// Does anybody but this requester have it?
    pub(crate) fn is_held_by_another_than(self, requester: Option<&Name>) -> bool {
        match self {
            LockState::Free => false,
            LockState::HeldBy(holder) => Some(holder) != requester,
            LockState::Conflict => true,
        }
    }
}

/// By requester and process.
#[derive(Default, Debug)]
pub(crate) enum Shares {
    #[default]
    None,
    One(Name, Pid, Row),
    Many(Box<Many>),
}

#[derive(Default, Debug)]
pub(crate) struct Many {
    rows: BTreeMap<(Name, Pid), Row>,
    /// So many of each requester bind.
    bound: BTreeMap<Name, usize>,
    /// So many are watched.
    watched: usize,
}

impl Many {
    fn put(&mut self, requester: Name, pid: Pid, row: Row) -> Option<Row> {
        self.watched += usize::from(row.watched);
        if row.binds {
            *self.bound.entry(requester.clone()).or_default() += 1;
        }
        let old = self.rows.insert((requester.clone(), pid), row);
        if let Some(old) = &old {
            self.uncount(&requester, old);
        }
        old
    }

    fn remove(&mut self, requester: &Name, pid: Pid) -> Option<Row> {
        let old = self.rows.remove(&(requester.clone(), pid))?;
        self.uncount(requester, &old);
        Some(old)
    }

    fn uncount(&mut self, requester: &Name, old: &Row) {
        self.watched -= usize::from(old.watched);
        if let Some(count) = self.bound.get_mut(requester).filter(|_| old.binds) {
            *count -= 1;
            if *count == 0 {
                self.bound.remove(requester);
            }
        }
    }
}

impl Shares {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(crate) fn get(&self, requester: &Name, pid: Pid) -> Option<Row> {
        match self {
            Self::None => None,
            Self::One(one, of, row) => (one == requester && *of == pid).then_some(*row),
            Self::Many(many) => many.rows.get(&(requester.clone(), pid)).copied(),
        }
    }

    /// What was there before.
    pub(crate) fn put(&mut self, requester: Name, pid: Pid, row: Row) -> Option<Row> {
        match self {
            Self::Many(many) => return many.put(requester, pid, row),
            Self::One(one, of, old) if *one == requester && *of == pid => {
                return Some(std::mem::replace(old, row));
            }
            Self::None | Self::One(..) => {}
        }
        *self = match std::mem::take(self) {
            Self::One(one, of, old) => {
                let mut many = Box::<Many>::default();
                many.put(one, of, old);
                many.put(requester, pid, row);
                Self::Many(many)
            }
            _ => Self::One(requester, pid, row),
        };
        None
    }

    pub(crate) fn remove(&mut self, requester: &Name, pid: Pid) -> Option<Row> {
        let old = self.get(requester, pid)?;
        match self {
            Self::None => {}
            Self::One(..) => *self = Self::None,
            Self::Many(many) => {
                many.remove(requester, pid);
                if many.rows.len() == 1
                    && let Some(((requester, pid), row)) = many.rows.pop_first()
                {
                    *self = Self::One(requester, pid, row);
                }
            }
        }
        Some(old)
    }

    /// In the order of requesters and processes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Name, Pid, &Row)> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(requester, pid, row) => (Some((requester, *pid, row)), None),
            Self::Many(many) => (None, Some(many.rows.iter())),
        };
        let many = many.into_iter().flatten().map(|((requester, pid), row)| (requester, *pid, row));
        one.into_iter().chain(many)
    }

    pub(crate) fn watched(&self) -> impl Iterator<Item = (&Name, Pid)> {
        let any = !matches!(self, Self::Many(many) if many.watched == 0);
        let rows = any.then(|| self.iter()).into_iter().flatten();
        rows.filter(|(.., row)| row.watched).map(|(requester, pid, _)| (requester, pid))
    }

    pub(crate) fn state(&self) -> LockState<'_> {
        match self {
            Self::One(requester, _, row) if row.binds => LockState::HeldBy(requester),
            Self::None | Self::One(..) => LockState::Free,
            Self::Many(many) => match (many.bound.keys().next(), many.bound.len()) {
                (None, _) => LockState::Free,
                (Some(requester), 1) => LockState::HeldBy(requester),
                _ => LockState::Conflict,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeId;

    fn row(token: u64, binds: bool) -> Row {
        Row { token, since: Time(0), binds, watched: binds }
    }
    fn pid(serial: u64) -> Pid {
        Pid { node: NodeId(1), serial }
    }

    #[test]
    fn one_and_many_are_told_alike() {
        let (a, b) = (Name::new(b"a"), Name::new(b"b"));
        let mut shares = Shares::default();
        assert_eq!(shares.state(), LockState::Free);
        assert_eq!(shares.put(a.clone(), pid(1), row(5, true)), None);
        assert_eq!(shares.state(), LockState::HeldBy(&a));
        assert_eq!(shares.put(a.clone(), pid(1), row(6, false)), Some(row(5, true)));
        assert_eq!((shares.state(), shares.watched().count()), (LockState::Free, 0));
        shares.put(a.clone(), pid(1), row(6, true));
        shares.put(b.clone(), pid(2), row(7, true));
        shares.put(b.clone(), pid(3), row(8, true));
        assert_eq!(shares.state(), LockState::Conflict);
        assert!(shares.state().is_held_by_another_than(Some(&b)));
        assert_eq!(shares.iter().map(|(_, pid, _)| pid.serial).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(shares.remove(&a, pid(2)), None);
        assert_eq!(shares.remove(&a, pid(1)), Some(row(6, true)));
        assert!(shares.state() == LockState::HeldBy(&b) && !shares.state().is_held_by_another_than(Some(&b)));
        assert_eq!(shares.put(b.clone(), pid(2), row(9, false)), Some(row(7, true)));
        assert_eq!(shares.watched().collect::<Vec<_>>(), [(&b, pid(3))]);
        shares.remove(&b, pid(3));
        assert!(matches!(shares, Shares::One(..)), "what one needs no more is given back");
        assert_eq!(shares.state(), LockState::Free);
        shares.remove(&b, pid(2));
        assert!(shares.is_empty());
    }

    #[test]
    fn a_single_share_is_small() {
        assert!(size_of::<Shares>() <= 64, "{}", size_of::<Shares>());
    }
}
