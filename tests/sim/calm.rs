//! Times in which nothing breaks: a stable mesh from its start, any other after its heal. What is done then is recorded, and
//! must be linearizable, name by name and lock by lock.

use crate::book::Book;
use crate::checks::name;
use crate::linear::{OPEN, Object, Operation, Verdict, check};
use crate::lock_book::Share;
use crate::lock_history::{self, LockObject};
use crate::locks::resource;
use crate::name_history::{self, Change, NameObject, moment};
use crate::world::{R, World};
use convoke::model::{Name, NodeId, Pid, Ref, Status};
use std::collections::{BTreeMap, BTreeSet};

/// What is recorded.
#[derive(Default)]
pub(crate) struct Histories {
    /// The step since which nothing breaks.
    since: Option<u64>,
    /// What all nodes showed then.
    first: BTreeMap<Name, Pid>,
    pub(crate) changes: Vec<Change>,
    locks: lock_history::Acts,
    /// Where calls that give something back stand in it.
    drops: BTreeMap<(NodeId, Ref), usize>,
}

impl Histories {
    pub(crate) fn read(&mut self, step: u64, node: NodeId, name: Name, old: Option<Pid>, new: Option<Pid>) {
        if self.since.is_some() {
            self.changes.push(Change { step, node, name, old, new });
        }
    }

    /// A share is held from now on, or on more nodes, or under another token.
    pub(crate) fn held(&mut self, asked: u64, now: u64, share: &Share, on: &BTreeSet<NodeId>, token: u64) {
        if self.since.is_some() {
            let act = lock_history::Act::Hold { share: share.clone(), on: on.clone(), token };
            self.locks.push(Operation { act, begin: moment(asked), end: moment(now), sure: true });
        }
    }

    /// A share is given back on these nodes, or on all: its home says so now, the others learn of it until the answer.
    pub(crate) fn dropped(
        &mut self,
        key: (NodeId, Ref),
        now: u64,
        share: &Share,
        on: Option<BTreeSet<NodeId>>,
    ) {
        if self.since.is_some() {
            self.drops.insert(key, self.locks.len());
            let act = lock_history::Act::Drop { share: share.clone(), on };
            self.locks.push(Operation { act, begin: moment(now), end: OPEN, sure: false });
        }
    }

    pub(crate) fn answered(&mut self, key: (NodeId, Ref), now: u64, status: Status) {
        if let Some(at) = self.drops.remove(&key)
            && status == Status::Ok
        {
            (self.locks[at].end, self.locks[at].sure) = (moment(now), true);
        }
    }
}

/// When processes ended.
fn ends(book: &Book) -> BTreeMap<Pid, u64> {
    let ended = |(pid, life): (&Pid, &crate::book::Life)| Some((*pid, moment(life.end.as_ref()?.step)));
    book.lives.iter().filter_map(ended).collect()
}

impl World {
    /// All is at rest, and nothing will break any more.
    pub(crate) fn begin_histories(&mut self) {
        let up = self.hosts.iter().find(|h| h.is_up());
        self.book.histories = Histories {
            since: Some(self.book.stats.steps + 1),
            first: up.map(|host| host.table.clone()).unwrap_or_default(),
            ..Histories::default()
        };
    }

    /// All is at rest once more.
    pub(crate) fn check_histories(&mut self) -> R {
        let histories = std::mem::take(&mut self.book.histories);
        let Some(since) = histories.since else { return Ok(()) };
        let ends = ends(&self.book);
        for index in 0..self.plan.resources {
            let acts = lock_history::of(&histories.locks, &resource(index));
            let object = LockObject { ends: ends.clone() };
            self.judge(&format!("{:?}", resource(index)), &object, lock_history::State::default(), acts)?;
        }
        let object = NameObject { ends };
        self.book.histories.changes = histories.changes;
        for index in 0..self.plan.names {
            let name = name(index);
            let readers = self.hosts.iter().filter(|h| h.is_up()).map(|h| Some(h.id));
            for reader in [None].into_iter().chain(readers).collect::<Vec<_>>() {
                let one_name = self.plan.one_name;
                let mut acts = name_history::history(&self.book, &name, since, reader, one_name);
                // What is shown at rest.
                let host = self.hosts.iter().find(|h| h.is_up() && reader.is_none_or(|node| node == h.id));
                if let Some(host) = host {
                    let last = name_history::Act::Read(host.table.get(&name).copied());
                    let now = moment(self.book.stats.steps + 1);
                    acts.push(Operation { act: last, begin: now, end: now, sure: true });
                }
                let first = name_history::at_rest(histories.first.get(&name).copied());
                self.judge(&format!("{name:?} as {reader:?} shows it"), &object, first, acts)?;
            }
        }
        self.book.histories = Histories::default();
        Ok(())
    }

    fn judge<O: Object>(
        &mut self,
        about: &str,
        object: &O,
        first: O::State,
        acts: Vec<Operation<O::Act>>,
    ) -> R {
        self.book.stats.histories += 1;
        match check(object, first, &acts) {
            Verdict::Explained => Ok(()),
            Verdict::Undecided => {
                self.book.stats.undecided += 1;
                Ok(())
            }
            Verdict::Inexplicable(at) => {
                let mut acts: Vec<(usize, Operation<O::Act>)> = acts.into_iter().enumerate().collect();
                acts.sort_by_key(|(_, op)| (op.begin, op.end));
                let lines = acts.iter().map(|(i, op)| {
                    let end = if op.end == OPEN { "    open".into() } else { format!("{:>8}", op.end) };
                    let (mark, sure) =
                        (if *i == at { "?" } else { " " }, if op.sure { "" } else { " perhaps" });
                    format!("{mark} {:>8} {end}{sure} {:?}\n", op.begin, op.act)
                });
                Err(format!(
                    "linear: nothing explains {about} (twice the steps of calls and answers):\n{}",
                    lines.collect::<String>()
                ))
            }
        }
    }

    /// After the heal the work goes on for a while, and nothing befalls anybody.
    pub(crate) fn calm(&mut self) -> R {
        self.trace.say(self.now, || "CALM".into());
        let weights = self.plan.weights.calm();
        let stormy = std::mem::replace(&mut self.plan.weights, weights);
        self.begin_histories();
        self.ticks_left = self.plan.calm;
        self.later(self.now, crate::world::Happening::Tick);
        while self.ticks_left > 0 {
            self.step()?;
        }
        self.come_to_rest(true)?;
        self.check_locks_at_rest().map_err(|e| format!("{e} (calm)\n{}", self.describe()))?;
        self.loosen()?;
        self.come_to_rest(true)?;
        self.check_rest("calm")?;
        self.plan.weights = stormy;
        self.check_histories()
    }
}
