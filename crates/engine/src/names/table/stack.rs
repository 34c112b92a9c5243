//! A home's registrations of one name: a stack. A re-register pushes; what it stands on is shown again if it is undone, wherever in
//! the stack it stands by then, and is gone for good when it has settled.
//!
//! The topmost is the row of the table, which readers may see. Hardly any name has anything beneath it, and that only for as long
//! as a re-register is under way.

use super::Names;
use crate::{Binding, Name, Reg};
use std::collections::BTreeSet;

impl Names {
    /// This node's registrations of the name: the oldest first, the shown one last.
    fn stack(&self, name: &Name) -> impl Iterator<Item = &Binding> {
        self.beneath(name).iter().chain(self.of(name, self.me))
    }

    /// Those that are not shown.
    pub(crate) fn beneath(&self, name: &Name) -> &[Binding] {
        self.beneath.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn all_beneath(&self) -> impl Iterator<Item = Reg> {
        self.beneath.values().flatten().map(|binding| binding.reg)
    }

    /// Whether the process has a registration of the name, shown or not.
    pub(crate) fn has_registration_of(&self, name: &Name, serial: u64) -> bool {
        self.stack(name).any(|binding| binding.serial == serial)
    }

    /// This node registers the name anew.
    pub(crate) fn push(&mut self, name: &Name, binding: Binding) {
        if let Some(old) = self.of(name, self.me).cloned() {
            self.beneath.entry(name.clone()).or_default().push(old);
        }
        self.put(name, binding);
    }

    /// A registration is taken back. What it stood on is shown in its place if it was the shown one. Both, as far as they were there.
    pub(crate) fn undo(&mut self, name: &Name, reg: Reg) -> (Option<Binding>, Option<Binding>) {
        if let Some(shown) = self.of(name, self.me).filter(|shown| shown.reg == reg).cloned() {
            let below = self.change_beneath(name, Vec::pop);
            match &below {
                Some(below) => self.put(name, below.clone()),
                None => drop(self.remove(name, self.me)),
            }
            return (Some(shown), below);
        }
        self.change_beneath(name, |stack| {
            let Some(at) = stack.iter().position(|binding| binding.reg == reg) else { return (None, None) };
            let gone = stack.remove(at);
            (Some(gone), at.checked_sub(1).map(|at| stack[at].clone()))
        })
    }

    /// All linked nodes have acknowledged the registration: it is not undone any more. What it has covered of other homes, and what stood
    /// beneath it. `None`: it is gone.
    pub(crate) fn settle(&mut self, name: &Name, reg: Reg) -> Option<(BTreeSet<Reg>, Vec<Binding>)> {
        let me = self.me;
        let shown = self.of_mut(name, me).filter(|shown| shown.reg == reg);
        let (supersedes, count) = match shown {
            Some(shown) => {
                shown.settled = true;
                (shown.supersedes.clone(), self.beneath(name).len())
            }
            None => {
                let stack = self.beneath.get_mut(name)?;
                let at = stack.iter().position(|binding| binding.reg == reg)?;
                stack[at].settled = true;
                (stack[at].supersedes.clone(), at)
            }
        };
        Some((supersedes, self.change_beneath(name, |stack| stack.drain(..count).collect())))
    }

    /// The registrations up to this number leave the stack, but for the shown one.
    pub(crate) fn cut(&mut self, name: &Name, up_to: u64) -> Vec<Binding> {
        self.change_beneath(name, |stack| stack.extract_if(.., |binding| binding.reg.seq <= up_to).collect())
    }

    /// The process has ended: what it has beneath others does not come back.
    pub(crate) fn cut_those_of(&mut self, name: &Name, serial: u64) {
        self.change_beneath(name, |stack| stack.retain(|binding| binding.serial != serial));
    }

    fn change_beneath<T>(&mut self, name: &Name, change: impl FnOnce(&mut Vec<Binding>) -> T) -> T
    where
        T: Default,
    {
        let Some(stack) = self.beneath.get_mut(name) else { return T::default() };
        let result = change(stack);
        if stack.is_empty() {
            self.beneath.remove(name);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NodeId, Resolver};

    const ME: NodeId = NodeId(1);

    fn reg(seq: u64) -> Reg {
        Reg { node: ME, seq }
    }

    /// Of process 10, 20, ...
    fn binding(seq: u64) -> Binding {
        let supersedes = BTreeSet::from([Reg { node: NodeId(2), seq }]);
        Binding {
            reg: reg(seq),
            serial: 10 * seq,
            resolver: Resolver::RandomExit,
            supersedes,
            settled: false,
        }
    }

    fn numbers<'a>(bindings: impl IntoIterator<Item = &'a Binding>) -> Vec<u64> {
        bindings.into_iter().map(|binding| binding.reg.seq).collect()
    }

    fn four() -> (Names, Name) {
        let (mut names, name) = (Names::new(ME, 0), Name::new(b"x"));
        (1..=4).for_each(|seq| names.push(&name, binding(seq)));
        (names, name)
    }

    #[test]
    fn the_last_one_is_shown_and_the_others_wait_beneath() {
        let (names, x) = four();
        assert_eq!((names.visible(b"x").unwrap().serial, numbers(names.beneath(&x))), (40, vec![1, 2, 3]));
        assert_eq!(names.all_beneath().collect::<Vec<_>>(), [1, 2, 3].map(reg));
        assert!(names.has_registration_of(&x, 10) && names.has_registration_of(&x, 40));
        assert!(!names.has_registration_of(&x, 50));
        assert_eq!(names.count(ME), 1);
    }

    /// One that is undone leaves its place to what it stood on, in whatever order they are undone.
    #[test]
    fn each_is_undone_where_it_stands() {
        let (mut names, x) = four();
        assert_eq!(names.undo(&x, reg(3)), (Some(binding(3)), Some(binding(2))));
        assert_eq!((names.visible(b"x").unwrap().serial, numbers(names.beneath(&x))), (40, vec![1, 2]));
        assert_eq!(names.undo(&x, reg(4)), (Some(binding(4)), Some(binding(2))));
        assert_eq!((names.visible(b"x").unwrap().serial, numbers(names.beneath(&x))), (20, vec![1]));
        assert_eq!(names.undo(&x, reg(4)), (None, None), "it is gone");
        assert_eq!(names.undo(&x, reg(1)), (Some(binding(1)), None));
        assert_eq!(names.undo(&x, reg(2)), (Some(binding(2)), None));
        assert!(!names.shows(&x) && names.beneath.is_empty());
    }

    #[test]
    fn what_settles_is_all_that_stands_beneath_the_newer_ones() {
        let (mut names, x) = four();
        let (supersedes, gone) = names.settle(&x, reg(3)).unwrap();
        assert_eq!((supersedes, numbers(&gone)), (binding(3).supersedes, vec![1, 2]));
        assert_eq!(names.beneath(&x), [Binding { settled: true, ..binding(3) }]);
        assert_eq!(names.settle(&x, reg(2)), None, "its turn is over");
        let (supersedes, gone) = names.settle(&x, reg(4)).unwrap();
        assert_eq!((supersedes, numbers(&gone)), (binding(4).supersedes, vec![3]));
        assert!(names.of(&x, ME).unwrap().settled && names.beneath.is_empty());
    }

    #[test]
    fn what_is_cut_does_not_come_back() {
        let (mut names, x) = four();
        assert_eq!(numbers(&names.cut(&x, 2)), [1, 2]);
        names.cut_those_of(&x, 30);
        assert_eq!(names.undo(&x, reg(4)), (Some(binding(4)), None));
        assert!(names.beneath.is_empty());
    }
}
