//! Is a history linearizable? The search of Wing and Gong with the memory of Lowe: an operation takes effect at one moment
//! between its call and its answer; some order of these moments must explain every answer. What has been tried once, a
//! set of operations done and the state that they led to, is not tried again.
//!
//! One object at a time: a history of many names is linearizable if that of each name is.

use std::collections::HashSet;
use std::hash::Hash;

/// The end of what has not been answered, or of which nobody knows when it took effect.
pub(crate) const OPEN: u64 = u64::MAX;

#[derive(Clone, Debug)]
pub(crate) struct Operation<A> {
    pub(crate) act: A,
    pub(crate) begin: u64,
    pub(crate) end: u64,
    /// It took effect; else perhaps.
    pub(crate) sure: bool,
}

/// What a correct object does.
pub(crate) trait Object {
    type Act: std::fmt::Debug;
    type State: Clone + Eq + Hash;
    /// The state after the act; `None`: it cannot have had this answer now. `by`: when it has happened at the latest.
    fn apply(&self, state: &Self::State, act: &Self::Act, by: u64) -> Option<Self::State>;
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Explained,
    /// No order explains it. The longest that was found breaks down before this operation.
    Inexplicable(usize),
    /// The search was given up.
    Undecided,
}

/// So many states are looked at; a history that an engine makes takes hardly more than it has operations.
const PATIENCE: usize = 50_000;

pub(crate) fn check<O: Object>(object: &O, first: O::State, history: &[Operation<O::Act>]) -> Verdict {
    // By their ends: the first that is not done bounds the moment of the next, and is likely to be that.
    let mut order: Vec<usize> = (0..history.len()).collect();
    order.sort_by_key(|i| (history[*i].end, history[*i].begin));
    let ops: Vec<&Operation<O::Act>> = order.iter().map(|i| &history[*i]).collect();
    let mut search = Search {
        object,
        ops,
        done: vec![0; history.len().div_ceil(64)],
        tried: HashSet::new(),
        longest: (0, 0),
    };
    match search.goes_on(first, 0, 0, 0) {
        Some(true) => Verdict::Explained,
        Some(false) => Verdict::Inexplicable(order[search.longest.1]),
        None => Verdict::Undecided,
    }
}

struct Search<'a, O: Object> {
    object: &'a O,
    ops: Vec<&'a Operation<O::Act>>,
    done: Vec<u64>,
    tried: HashSet<(Vec<u64>, O::State)>,
    /// How many were done at the most, and what was in the way then.
    longest: (usize, usize),
}

impl<O: Object> Search<'_, O> {
    fn is_done(&self, i: usize) -> bool {
        self.done[i / 64] & (1 << (i % 64)) != 0
    }

    /// `low`: all before it are done or will not be. `began`: when the last to begin of those done began.
    fn goes_on(&mut self, state: O::State, mut low: usize, began: u64, count: usize) -> Option<bool> {
        while low < self.ops.len() && (self.is_done(low) || !self.ops[low].sure) {
            low += 1;
        }
        let Some(next) = self.ops.get(low) else { return Some(true) };
        if self.tried.len() >= PATIENCE {
            return None;
        }
        if !self.tried.insert((self.done.clone(), state.clone())) {
            return Some(false);
        }
        if count >= self.longest.0 {
            self.longest = (count, low);
        }
        let bound = next.end;
        // What ends before `low` and need not have happened may still have.
        for i in 0..self.ops.len() {
            let op = self.ops[i];
            if self.is_done(i) || op.begin > bound || op.end < began {
                continue;
            }
            let Some(after) = self.object.apply(&state, &op.act, bound.min(op.end)) else { continue };
            self.done[i / 64] |= 1 << (i % 64);
            let explained = self.goes_on(after, low, began.max(op.begin), count + 1);
            self.done[i / 64] &= !(1 << (i % 64));
            if explained != Some(false) {
                return explained;
            }
        }
        Some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A register: what was written last is read.
    struct Cell;
    #[derive(Debug)]
    enum Act {
        Write(u32),
        Read(u32),
    }
    impl Object for Cell {
        type Act = Act;
        type State = u32;
        fn apply(&self, state: &u32, act: &Act, _: u64) -> Option<u32> {
            match act {
                Write(value) => Some(*value),
                Read(value) => (value == state).then_some(*state),
            }
        }
    }
    use Act::{Read, Write};

    fn op(act: Act, begin: u64, end: u64) -> Operation<Act> {
        Operation { act, begin, end, sure: true }
    }
    fn perhaps(act: Act, begin: u64, end: u64) -> Operation<Act> {
        Operation { sure: false, ..op(act, begin, end) }
    }
    fn verdict(history: &[Operation<Act>]) -> Verdict {
        check(&Cell, 0, history)
    }

    #[test]
    fn one_after_the_other() {
        assert_eq!(verdict(&[]), Verdict::Explained);
        assert_eq!(verdict(&[op(Read(0), 1, 2), op(Write(1), 3, 4), op(Read(1), 5, 6)]), Verdict::Explained);
        assert_eq!(verdict(&[op(Write(1), 1, 2), op(Read(0), 3, 4)]), Verdict::Inexplicable(1));
        assert_eq!(verdict(&[op(Read(1), 1, 2), op(Write(1), 3, 4)]), Verdict::Inexplicable(0));
    }

    #[test]
    fn at_one_time_any_order_will_do() {
        let mut history = vec![op(Write(1), 1, 9), op(Write(2), 2, 8), op(Read(2), 3, 4), op(Read(1), 5, 6)];
        assert_eq!(verdict(&history), Verdict::Explained);
        // The second value was there before the first one, and does not come back.
        history.push(op(Read(2), 10, 11));
        assert!(matches!(verdict(&history), Verdict::Inexplicable(_)));
    }

    /// Two readers that see two writers in opposite orders.
    #[test]
    fn readers_agree_on_the_order() {
        let writes = || [op(Write(1), 1, 20), op(Write(2), 1, 20)];
        let agree = [op(Read(1), 2, 3), op(Read(2), 4, 5), op(Read(2), 6, 7)];
        let differ = [op(Read(1), 2, 3), op(Read(2), 4, 5), op(Read(1), 6, 7)];
        assert_eq!(verdict(&writes().into_iter().chain(agree).collect::<Vec<_>>()), Verdict::Explained);
        assert!(matches!(
            verdict(&writes().into_iter().chain(differ).collect::<Vec<_>>()),
            Verdict::Inexplicable(_)
        ));
    }

    #[test]
    fn what_nobody_knows_of_may_have_happened_or_not_or_late() {
        for read in [0, 1] {
            let history = [perhaps(Write(1), 1, OPEN), op(Read(read), 5, 6)];
            assert_eq!(verdict(&history), Verdict::Explained);
        }
        let late = [perhaps(Write(1), 1, OPEN), op(Read(0), 5, 6), op(Read(1), 7, 8)];
        assert_eq!(verdict(&late), Verdict::Explained);
        let twice = [perhaps(Write(1), 1, OPEN), op(Read(1), 5, 6), op(Read(0), 7, 8)];
        assert_eq!(verdict(&twice), Verdict::Inexplicable(2));
        let early = [op(Read(1), 1, 2), perhaps(Write(1), 3, OPEN)];
        assert_eq!(verdict(&early), Verdict::Inexplicable(0));
        // It may have happened, but only while it was under way.
        let over = [perhaps(Write(1), 1, 3), op(Read(0), 5, 6), op(Read(1), 7, 8)];
        assert_eq!(verdict(&over), Verdict::Inexplicable(2));
    }

    /// Many at one time: without its memory the search would not end.
    #[test]
    fn what_was_tried_is_not_tried_again() {
        let mut history: Vec<_> = (0..12).map(|i| op(Write(i % 3), 1, 100)).collect();
        history.push(op(Read(9), 200, 201));
        assert_eq!(verdict(&history), Verdict::Inexplicable(12));
    }
}
