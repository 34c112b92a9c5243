//! What an input has changed and is judged anew at its end.
//!
//! What changes a row marks its subject, and no more. When the input has been handled each subject that is marked is reconciled with
//! what the tables say by then, until none is left: a name (its clashes, and the claims that it ends), a key at this voter (who is
//! granted next), an operation (whether all have granted or acknowledged). So no rule depends on who remembered to call whom, and in
//! which order; and what changes twice in one input, as a link that is replaced, is judged once.

use super::machine::Engine;
use super::*;

#[derive(Default, Debug)]
pub(super) struct Dirty {
    /// Registrations of this node that are gone for good: verdicts on them are void.
    pub(super) gone: Vec<(Name, Reg)>,
    pub(super) names: Vec<Name>,
    pub(super) keys: Vec<Key>,
    pub(super) operations: Vec<Tx>,
}

/// Most inputs mark a subject or two, some of them again and again.
fn mark<T: PartialEq + Clone>(marked: &mut Vec<T>, subject: &T) {
    if marked.last() != Some(subject) {
        marked.push(subject.clone());
    }
}

/// Each once, in their order.
pub(super) fn take<T: Ord>(marked: &mut Vec<T>) -> Vec<T> {
    let mut taken = std::mem::take(marked);
    if taken.len() > 1 {
        taken.sort_unstable();
        taken.dedup();
    }
    taken
}

/// Room for so many is not given back between two inputs.
const KEPT: usize = 64;

/// They were reconciled: the next marks have their room.
pub(super) fn give_room<T>(marked: &mut Vec<T>, mut done: Vec<T>) {
    if marked.capacity() == 0 && done.capacity() <= KEPT {
        done.clear();
        *marked = done;
    }
}

impl Dirty {
    pub(super) fn mark_gone(&mut self, name: &Name, reg: Reg) {
        self.gone.push((name.clone(), reg));
    }
    pub(super) fn mark_name(&mut self, name: &Name) {
        mark(&mut self.names, name);
    }
    pub(super) fn mark_key(&mut self, key: &Key) {
        mark(&mut self.keys, key);
    }
    pub(super) fn mark_operation(&mut self, tx: Tx) {
        mark(&mut self.operations, &tx);
    }
    pub(super) fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.names.is_empty() && self.keys.is_empty() && self.operations.is_empty()
    }
    /// The node closes.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Engine {
    /// After a change of the view: every name that may be concerned.
    pub(super) fn mark_all_names(&mut self) {
        let claimed = self
            .claims
            .keys()
            .into_iter()
            .filter_map(|key| if let Key::Name(name) = key { Some(name) } else { None });
        let names = self.names.crowded().iter().chain(self.clashes.names()).cloned().chain(claimed);
        self.cx.dirty.names.extend(names);
    }

    pub(super) fn mark_all_keys(&mut self) {
        self.cx.dirty.keys.extend(self.claims.contested().cloned());
    }

    pub(super) fn mark_all_operations(&mut self) {
        self.cx.dirty.operations.extend(self.claims.operations());
    }
}
