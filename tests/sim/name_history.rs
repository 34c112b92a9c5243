//! The history of a name while nothing breaks, as an object that has one state at a time: which answers and which looks into
//! tables can be explained by one order of what was done?
//!
//! Look-ups on two nodes are not linearizable with each other, and nobody promises that. What is held together is: all
//! answers to register, re-register and unregister; and with these, node by node, every change of what readers of that
//! one node see. (What another node unregisters is what *that* node sees: to the readers of this one it is a withdrawal
//! of what may be older than what they see.)

use crate::book::{Book, What};
use crate::linear::{OPEN, Object, Operation};
use convoke::model::{Name, NodeId, Pid, Status};
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Act {
    /// Becomes what is seen. `tentative`: it may be withdrawn again at any time; then what it covered is seen again.
    Bind {
        pid: Pid,
        replace: bool,
        tentative: bool,
        asked: u64,
    },
    /// Somebody holds the name.
    Taken,
    /// Nobody holds it any more.
    Unbind,
    /// What is there may go, one by one, and so may what was asked for before this moment and comes later.
    Loosen {
        until: u64,
    },
    Read(Option<Pid>),
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Bound {
    pid: Pid,
    /// It may go without another word.
    loose: bool,
}

/// The last is seen; it covers those before it.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub(crate) struct State {
    bound: Vec<Bound>,
    loose_until: u64,
}

/// `ends`: when processes ended.
pub(crate) struct NameObject {
    pub(crate) ends: BTreeMap<Pid, u64>,
}

impl NameObject {
    fn may_go(&self, bound: &Bound, by: u64) -> bool {
        bound.loose || self.ends.get(&bound.pid).is_some_and(|at| *at <= by)
    }
}

impl Object for NameObject {
    type Act = Act;
    type State = State;

    fn apply(&self, state: &State, act: &Act, by: u64) -> Option<State> {
        let mut after = state.clone();
        let bound = &mut after.bound;
        match act {
            Act::Bind { pid, replace, tentative, asked } => {
                if !replace {
                    if !bound.iter().all(|one| self.may_go(one, by)) {
                        return None;
                    }
                    bound.clear();
                }
                if !tentative {
                    // Those that it covers are withdrawn later, one by one.
                    bound.iter_mut().for_each(|one| one.loose = true);
                }
                bound.push(Bound { pid: *pid, loose: *tentative || *asked < state.loose_until });
            }
            Act::Taken if bound.is_empty() => return None,
            Act::Taken => {}
            Act::Unbind => bound.clear(),
            Act::Loosen { until } => {
                bound.iter_mut().for_each(|one| one.loose = true);
                after.loose_until = state.loose_until.max(*until);
            }
            Act::Read(seen) => {
                while bound.last().map(|one| one.pid) != *seen {
                    let top = bound.pop()?;
                    if !self.may_go(&top, by) {
                        return None;
                    }
                }
            }
        }
        Some(after)
    }
}

/// What readers of a node saw of a name until a step, and since then.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) step: u64,
    pub(crate) node: NodeId,
    pub(crate) name: Name,
    pub(crate) old: Option<Pid>,
    pub(crate) new: Option<Pid>,
}

/// Steps are counted double, so that there is a moment before each.
pub(crate) fn moment(step: u64) -> u64 {
    step * 2
}

/// What was seen and done about a name since a step. `reader`: with what readers of this node saw; `None`: without any.
pub(crate) fn history(
    book: &Book,
    name: &Name,
    since: u64,
    reader: Option<NodeId>,
    one_name: bool,
) -> Vec<Operation<Act>> {
    let mut all = Vec::new();
    for ((caller, _), o) in book.operations.iter().filter(|(_, o)| o.step >= since) {
        let begin = moment(o.step);
        let answered = o.answered_step.map_or(OPEN, moment);
        let (act, end, sure) = match (&o.what, o.answer) {
            (What::Register { name: n, pid, replace, .. }, answer) if n == name => match answer {
                Some(Status::Ok) => {
                    let bind = Act::Bind { pid: *pid, replace: *replace, tentative: false, asked: begin };
                    (bind, answered, true)
                }
                // The home looks into its own table. (A process that may have one name only is refused for another reason.)
                Some(Status::Exists) if !one_name && reader.is_none_or(|node| node == pid.node) => {
                    (Act::Taken, answered, true)
                }
                Some(Status::Timeout | Status::Cancelled | Status::NoProcess | Status::Closed) | None => {
                    // At home it is withdrawn before the answer, and what it covered is as it was; elsewhere nobody knows.
                    let known =
                        pid.node == *caller && matches!(answer, Some(Status::Timeout | Status::Cancelled));
                    if !known {
                        all.push(Operation { act: Act::Loosen { until: 0 }, begin, end: OPEN, sure: false });
                    }
                    // Binding and withdrawal are on their way to other nodes when the answer is given.
                    (Act::Bind { pid: *pid, replace: *replace, tentative: true, asked: begin }, OPEN, false)
                }
                Some(_) => continue,
            },
            // Who sees nobody under the name has nothing to do.
            (What::Unregister { name: n, shown: true }, answer) if n == name => {
                let strict = answer == Some(Status::Ok) && reader.is_none_or(|node| node == *caller);
                if strict {
                    all.push(Operation { act: Act::Unbind, begin, end: answered, sure: true });
                }
                // One goes after the other, and what was covered may be seen until its own home has heard; one may come here
                // only to go.
                (Act::Loosen { until: answered }, OPEN, false)
            }
            _ => continue,
        };
        all.push(Operation { act, begin, end, sure });
    }
    let seen = book
        .histories
        .changes
        .iter()
        .filter(|c| c.step >= since && c.name == *name && Some(c.node) == reader);
    for change in seen {
        let before = moment(change.step) - 1;
        let at = moment(change.step);
        all.push(Operation { act: Act::Read(change.old), begin: before, end: before, sure: true });
        all.push(Operation { act: Act::Read(change.new), begin: at, end: at, sure: true });
    }
    all
}

/// The state at a step in which all was at rest.
pub(crate) fn at_rest(pid: Option<Pid>) -> State {
    let bound = pid.into_iter().map(|pid| Bound { pid, loose: false }).collect();
    State { bound, loose_until: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::{Verdict, check};

    fn pid(serial: u64) -> Pid {
        Pid { node: NodeId(1), serial }
    }
    fn op(act: Act, begin: u64, end: u64) -> Operation<Act> {
        Operation { act, begin, end, sure: true }
    }
    fn bind(serial: u64) -> Act {
        Act::Bind { pid: pid(serial), replace: false, tentative: false, asked: 0 }
    }
    fn rebind(serial: u64) -> Act {
        Act::Bind { pid: pid(serial), replace: true, tentative: false, asked: 0 }
    }
    fn undone(serial: u64, replace: bool, begin: u64, end: u64) -> Operation<Act> {
        let act = Act::Bind { pid: pid(serial), replace, tentative: true, asked: begin };
        Operation { act, begin, end, sure: false }
    }
    fn fits(history: &[Operation<Act>]) -> bool {
        fits_with_end(history, &[])
    }
    fn fits_with_end(history: &[Operation<Act>], ends: &[(Pid, u64)]) -> bool {
        let object = NameObject { ends: ends.iter().copied().collect() };
        check(&object, State::default(), history) == Verdict::Explained
    }

    #[test]
    fn two_registrations_are_not_both_granted() {
        assert!(fits(&[op(bind(1), 1, 4), op(Act::Taken, 2, 6)]));
        assert!(!fits(&[op(bind(1), 1, 4), op(bind(2), 2, 6)]));
        assert!(fits(&[op(bind(1), 1, 4), op(Act::Unbind, 3, 5), op(bind(2), 2, 6)]));
        assert!(!fits(&[op(bind(1), 1, 4), op(Act::Unbind, 7, 8), op(bind(2), 2, 6)]));
    }

    #[test]
    fn nobody_is_refused_a_name_that_is_free() {
        assert!(!fits(&[op(Act::Taken, 1, 2)]));
        assert!(!fits(&[op(bind(1), 1, 2), op(Act::Unbind, 3, 4), op(Act::Taken, 5, 6)]));
        assert!(fits(&[op(bind(1), 1, 2), op(Act::Unbind, 3, 8), op(Act::Taken, 5, 6)]));
        // By one that was taken back at its deadline, of which not all may have heard.
        assert!(fits(&[undone(1, false, 1, 3), op(Act::Taken, 5, 6), op(bind(2), 7, 8)]));
        assert!(!fits(&[
            undone(1, false, 1, 3),
            op(bind(2), 5, 6),
            op(Act::Unbind, 7, 8),
            op(Act::Taken, 9, 9)
        ]));
    }

    #[test]
    fn readers_of_a_node_see_every_change_once() {
        let read = |serial: Option<u64>, at| op(Act::Read(serial.map(pid)), at, at);
        assert!(fits(&[
            op(bind(1), 1, 5),
            read(None, 3),
            read(Some(1), 4),
            op(rebind(2), 6, 9),
            read(Some(2), 8)
        ]));
        assert!(!fits(&[op(bind(1), 1, 5), read(None, 6)]), "granted, and not shown");
        assert!(!fits(&[op(bind(1), 1, 5), read(Some(1), 4), read(None, 5), read(Some(1), 6)]));
        assert!(!fits(&[op(bind(1), 1, 5), op(rebind(2), 6, 9), read(None, 8)]), "none during a re-register");
        assert!(!fits(&[op(bind(1), 1, 2), op(Act::Unbind, 3, 4), read(Some(1), 6)]), "shown after its end");
    }

    #[test]
    fn what_a_withdrawn_re_register_covered_is_seen_again() {
        let read = |serial: u64, at| op(Act::Read(Some(pid(serial))), at, at);
        let history = [op(bind(1), 1, 2), undone(2, true, 3, 6), read(2, 5), read(1, 8)];
        assert!(fits(&history));
        let granted = [op(bind(1), 1, 2), op(rebind(2), 3, 6), read(2, 5), read(1, 8)];
        assert!(!fits(&granted), "the old one is back although the new one was granted and lives");
        assert!(fits_with_end(&granted, &[(pid(2), 7)]), "until it is told that it was replaced");
    }

    #[test]
    fn the_dead_go_when_they_are_dead() {
        let history = [op(bind(1), 1, 2), op(bind(2), 5, 6)];
        assert!(fits_with_end(&history, &[(pid(1), 4)]));
        assert!(!fits_with_end(&history, &[(pid(1), 7)]));
        let late = [op(bind(1), 1, 2), op(Act::Taken, 5, 6), op(bind(2), 7, 8)];
        assert!(fits_with_end(&late, &[(pid(1), 4)]), "not all have heard of it yet");
    }
}
