//! Joins of this node's processes that have not returned yet, and what of a membership rests on which of them.
//!
//! A process that joins several times has one row with a count. Until a join has returned it may be undone, and a delete may
//! end what was there before it and not the join itself, which began under a dot that the delete has not seen. So as long as
//! joins of a row are under way the home knows of each what it rests on: undoing one takes away exactly that one.

use super::memberships::Row;
use crate::{Dot, Name, Tx};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default, Debug)]
struct Joining {
    /// The dots that the joins which have returned rest on; there are as many of those as the row counts beyond `joins`.
    base: BTreeSet<Dot>,
    /// Those that have not returned.
    joins: BTreeMap<Tx, BTreeSet<Dot>>,
}

impl Joining {
    fn dots(&self) -> BTreeSet<Dot> {
        self.base.iter().chain(self.joins.values().flatten()).copied().collect()
    }
}

/// What a delete leaves of a row: whether what has returned goes, and which joins go.
#[derive(Debug)]
pub(super) struct Left {
    count: u64,
    base_goes: bool,
    go: Vec<Tx>,
}

/// By group and serial.
#[derive(Default, Debug)]
pub(super) struct Joinings(BTreeMap<(Name, u64), Joining>);

impl Joinings {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// `before`: the dots of the row, if there is one.
    pub(super) fn started(
        &mut self,
        group: &Name,
        serial: u64,
        before: BTreeSet<Dot>,
        tx: Tx,
        dots: BTreeSet<Dot>,
    ) {
        let new = || Joining { base: before, joins: BTreeMap::new() };
        self.0.entry((group.clone(), serial)).or_insert_with(new).joins.insert(tx, dots);
    }

    /// The join has returned.
    pub(crate) fn done(&mut self, group: &Name, serial: u64, tx: Tx, is_live: impl Fn(&Dot) -> bool) {
        let key = (group.clone(), serial);
        let Some(joining) = self.0.get_mut(&key) else { return };
        joining.base.extend(joining.joins.remove(&tx).unwrap_or_default());
        // Joins may overlap for ever.
        if joining.base.iter().any(&is_live) {
            joining.base.retain(is_live);
        }
        if joining.joins.is_empty() {
            self.0.remove(&key);
        }
    }

    /// The join is taken back: the dots that the rest of the row has. `None`: there is nothing left to take back.
    pub(crate) fn undone(&mut self, group: &Name, serial: u64, tx: Tx) -> Option<BTreeSet<Dot>> {
        let key = (group.clone(), serial);
        let joining = self.0.get_mut(&key)?;
        joining.joins.remove(&tx)?;
        let dots = joining.dots();
        if joining.joins.is_empty() {
            self.0.remove(&key);
        }
        Some(dots)
    }

    /// The process has left once, and the row counts so much now. What has returned goes first.
    pub(crate) fn left(&mut self, group: &Name, serial: u64, count: u64) {
        let key = (group.clone(), serial);
        let Some(joining) = self.0.get_mut(&key) else { return };
        if joining.joins.len() as u64 > count {
            joining.joins.pop_first();
        }
        if joining.joins.is_empty() {
            self.0.remove(&key);
        }
    }

    /// The row is gone.
    pub(crate) fn forget(&mut self, group: &Name, serial: u64) {
        if !self.0.is_empty() {
            self.0.remove(&(group.clone(), serial));
        }
    }

    /// What a delete ends of a row, where it ends anything; `is_over` says whether it ends what rests on these dots.
    pub(super) fn what_is_over(
        &self,
        group: &Name,
        serial: u64,
        row: &Row,
        is_over: impl Fn(&BTreeSet<Dot>) -> bool,
    ) -> Option<(u64, Left)> {
        let joining = (!self.0.is_empty()).then(|| self.0.get(&(group.clone(), serial))).flatten();
        let Some(joining) = joining else {
            let left = Left { count: 0, base_goes: true, go: Vec::new() };
            return is_over(&row.dots).then_some((serial, left));
        };
        let based = row.count.saturating_sub(joining.joins.len() as u64);
        let base_goes = based > 0 && is_over(&joining.base);
        let go: Vec<Tx> = joining.joins.iter().filter(|(_, dots)| is_over(dots)).map(|(tx, _)| *tx).collect();
        let gone = go.len() as u64 + if base_goes { based } else { 0 };
        (gone > 0).then_some((serial, Left { count: row.count - gone, base_goes, go }))
    }

    /// A delete ends that: what is left of the row, its count and its dots.
    pub(crate) fn end(&mut self, group: &Name, serial: u64, left: Left) -> (u64, BTreeSet<Dot>) {
        let key = (group.clone(), serial);
        let Some(joining) = self.0.get_mut(&key).filter(|_| left.count > 0) else {
            return (0, BTreeSet::new()); // what was under way is forgotten with the row
        };
        if left.base_goes {
            joining.base.clear();
        }
        joining.joins.retain(|tx, _| !left.go.contains(tx));
        let dots = joining.dots();
        if joining.joins.is_empty() {
            self.0.remove(&key);
        }
        (left.count, dots)
    }
}
