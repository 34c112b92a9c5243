//! Clashes and the resolvers that decide them: functions that answer later, or never in time, and every loser's treatment
//! held to what its resolver says.

use crate::plan::Resolvers;
use crate::world::{Happening, R, World};
use convoke::engine::{ClashMessage, Message, Pair, Reg, Treatment};
use convoke::model::{
    ClashAnswer, ClashCall, ClashLoser, ClashWinner, Command, Machine, Name, NodeId, Pid, Resolver,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Default, Debug)]
pub(crate) struct ClashBook {
    /// Functions of each incarnation.
    pub(crate) functions: BTreeSet<(NodeId, Name)>,
    /// Every binding that a home has shown as its own.
    pub(crate) regs: BTreeMap<Reg, (Pid, Resolver)>,
    calls: BTreeMap<Pair, ClashCall>,
    decisions: BTreeMap<Pair, ClashAnswer>,
    /// What higher homes were told.
    verdicts: BTreeMap<Pair, Treatment>,
    /// The pair whose higher home has just agreed to take part.
    engaged: Option<Pair>,
    /// What each binding that lost a clash has lost to, and in which pair.
    fates: BTreeMap<Reg, (Reg, Pair)>,
    /// The pair that the present input is about, at the home of this side of it.
    judged: Option<(Name, Pair, Reg)>,
    /// What the loser is to be told if it loses now: through a third node a verdict may come too late.
    perhaps: Option<(Pid, Treatment)>,
    /// What must be told to whom in the present input, and what was.
    due: Vec<(Pid, Treatment)>,
    told: Vec<(Pid, Treatment)>,
    /// Bindings of higher homes that lost, and which have won.
    pub(crate) beaten: BTreeMap<Reg, Reg>,
    /// Bindings that lost, and to whom, where their processes are told that.
    lost: BTreeSet<(Reg, Pid)>,
}

/// The functions that nodes may have.
fn function(index: usize) -> Name {
    Name::new(&[b'F', b'0' + index as u8])
}

/// What a function's answer means for one of the two.
fn treatment(answer: ClashAnswer, is_a: bool, a: Pid, b: Pid) -> Option<Treatment> {
    let other = Some(if is_a { b } else { a });
    let ClashAnswer::Decided { winner, loser } = answer else { return Some(Treatment::Notify { other }) };
    let by = match winner {
        ClashWinner::Neither => None,
        ClashWinner::A => Some(a),
        ClashWinner::B => Some(b),
    };
    if by == Some(if is_a { a } else { b }) {
        return None;
    }
    Some(match loser {
        ClashLoser::Silent => Treatment::Silent,
        ClashLoser::Kill => Treatment::Kill { by },
        ClashLoser::Notify => Treatment::Notify { other },
    })
}

impl World {
    // ---- the workload

    pub(crate) fn add_resolvers(&mut self, slot: usize) -> R {
        for index in 0..2 {
            if self.rng.percent(85) {
                let resolver = function(index);
                self.book.clashes.functions.insert((self.hosts[slot].id, resolver.clone()));
                self.give(slot, Command::AddResolver { resolver })?;
            }
        }
        Ok(())
    }

    pub(crate) fn some_resolver(&mut self) -> Resolver {
        let built_in = |index: usize| Resolver::BUILT_IN[index].1.clone();
        let functions = match self.plan.resolvers {
            Resolvers::Default => return Resolver::RandomExit,
            Resolvers::Same(index) => return built_in(index),
            Resolvers::Functions => true,
            Resolvers::Any => self.rng.percent(40),
        };
        if functions {
            Resolver::Function(Arc::new(function(self.rng.index(2))))
        } else {
            built_in(self.rng.index(4))
        }
    }

    /// Does this incarnation have it?
    pub(crate) fn has_resolver(&self, node: NodeId, resolver: &Resolver) -> bool {
        match resolver {
            Resolver::Function(name) => self.book.clashes.functions.contains(&(node, (**name).clone())),
            _ => true,
        }
    }

    /// May its clashes end with nobody keeping the name?
    pub(crate) fn may_choose_neither(resolver: &Resolver) -> bool {
        matches!(resolver, Resolver::NotifyAll | Resolver::Function(_))
    }

    // ---- calls and answers

    pub(crate) fn call_resolver(&mut self, slot: usize, clash: ClashCall) -> R {
        let host = &self.hosts[slot];
        let id = host.id;
        self.book.stats.resolver_calls += 1;
        if !host.links.contains_key(&clash.b.node) {
            self.book.stats.third_node_calls += 1;
        }
        let Some(pair) = self.book.clashes.engaged else {
            return Err(format!("P6: h{slot} calls a resolver, and nobody takes part: {clash:?}"));
        };
        let reg = |reg: Reg| self.book.clashes.regs.get(&reg);
        let (low, high) = (reg(pair.low), reg(pair.high));
        let named = Resolver::Function(Arc::new(clash.resolver.clone()));
        let right = clash.a.node == id
            && clash.a.node < clash.b.node
            && low.is_some_and(|(pid, resolver)| *pid == clash.a && *resolver == named)
            && high.is_some_and(|(pid, _)| *pid == clash.b);
        if !right || !self.has_resolver(id, &named) {
            return Err(format!("P6: h{slot} calls {clash:?} for {pair:?}: {low:?} {high:?}"));
        }
        let born = |reg| self.book.born.get(&reg).copied().unwrap_or(self.now);
        let ages = (self.now.saturating_sub(born(pair.low)), self.now.saturating_sub(born(pair.high)));
        let slack = |age: u64| 1 + self.clocks_are_off(age).div_ceil(1000);
        if clash.age_a_ms.abs_diff(ages.0 / 1000) > slack(ages.0)
            || clash.age_b_ms > ages.1 / 1000 + slack(ages.1)
        {
            return Err(format!("D21: h{slot} calls {clash:?}; the ages in us are {ages:?}"));
        }
        self.never_together(pair)?;
        if let Some(before) = self.book.clashes.calls.insert(pair, clash.clone()) {
            return Err(format!("P6: a resolver is called twice for {pair:?}: {before:?}, then {clash:?}"));
        }
        let most = [0, self.plan.delay_max * 4, self.plan.detection * 2][self.rng.index(3)];
        let at = self.now + self.rng.below(most + 1);
        let winner = [ClashWinner::Neither, ClashWinner::A, ClashWinner::B][self.rng.index(3)];
        let loser = [ClashLoser::Silent, ClashLoser::Kill, ClashLoser::Notify][self.rng.index(3)];
        let decided = ClashAnswer::Decided { winner, loser };
        let answer = if self.rng.percent(15) { ClashAnswer::Failed } else { decided };
        self.later(at, Happening::Resolved { slot, node: id, id: clash.id, pair, answer });
        Ok(())
    }

    /// Nodes that have each other's vote cannot come to a second owner.
    fn never_together(&self, pair: Pair) -> R {
        let since = self.book.together.get(&(pair.low.node, pair.high.node));
        let born = self.book.born.get(&pair.low).max(self.book.born.get(&pair.high));
        match (since, born) {
            (Some(since), Some(born)) if since < born => Err(format!(
                "P6: {pair:?} clash, born until {born}, of nodes together since {since}\n{}",
                self.describe()
            )),
            _ => Ok(()),
        }
    }

    pub(crate) fn resolve(
        &mut self,
        slot: usize,
        node: NodeId,
        id: u64,
        pair: Pair,
        answer: ClashAnswer,
    ) -> R {
        if self.hosts[slot].id != node || !self.hosts[slot].is_up() {
            return Ok(());
        }
        self.trace.say(self.now, || format!("h{slot} RESOLVED {id} {pair:?} {answer:?}"));
        self.book.clashes.decisions.insert(pair, answer);
        let name = self.book.clashes.calls.get(&pair).map(|call| call.name.clone());
        self.book.clashes.judged = name.map(|name| (name, pair, pair.low));
        if let Some(ClashCall { a, b, name, .. }) = self.book.clashes.calls.get(&pair) {
            let rows = &self.hosts[slot].rows;
            let there = |reg: Reg| rows.iter().any(|(n, row)| n == name && row.reg == reg);
            let (low, high) = (treatment(answer, true, *a, *b), treatment(answer, false, *a, *b));
            if let (Some(low), None) = (low, high)
                && there(pair.low)
                && there(pair.high)
            {
                self.book.clashes.due.push((*a, low));
            }
        }
        self.feed(slot, |engine, now| engine.handle_resolved(now, id, answer))
    }

    // ---- messages that the world sees pass

    pub(crate) fn snoop_clash(&mut self, slot: usize, message: &Message) {
        let id = self.hosts[slot].id;
        let (name, pair, treatment) = match message {
            Message::Engaged { name, pair, .. } => {
                self.book.clashes.engaged = Some(*pair);
                self.book.clashes.judged = Some((name.clone(), *pair, pair.low));
                return;
            }
            Message::Relayed { to, clash: ClashMessage::Engaged { name, pair, .. }, .. } if *to == id => {
                self.book.clashes.engaged = Some(*pair);
                self.book.clashes.judged = Some((name.clone(), *pair, pair.low));
                return;
            }
            Message::ClashEnded { name, pair }
            | Message::Relayed { clash: ClashMessage::ClashEnded { name, pair }, .. } => {
                self.book.clashes.judged = Some((name.clone(), *pair, pair.low));
                return;
            }
            Message::Unregistered { name, reg, .. } => {
                let mut pairs = self.book.clashes.verdicts.keys();
                let pair = pairs.find(|pair| pair.low.node == id && pair.high == *reg).copied();
                self.book.clashes.judged = pair.map(|pair| (name.clone(), pair, pair.low));
                return;
            }
            Message::Verdict { name, pair, treatment } => (name, pair, treatment),
            Message::Relayed { to, clash: ClashMessage::Verdict { name, pair, treatment }, .. }
                if *to == id =>
            {
                (name, pair, treatment)
            }
            _ => return,
        };
        self.book.clashes.judged = Some((name.clone(), *pair, pair.high));
        let mine = self.hosts[slot].own_row(name).filter(|row| row.reg == pair.high).map(|row| row.pid());
        if let Some(loser) = mine {
            match message {
                Message::Relayed { .. } => self.book.clashes.perhaps = Some((loser, *treatment)),
                _ => self.book.clashes.due.push((loser, *treatment)),
            }
        }
    }

    /// Of a pair whose higher binding has lost.
    fn lower_has_won(&self, pair: Pair) -> bool {
        match self.book.clashes.regs.get(&pair.low) {
            Some((_, Resolver::NotifyAll)) | None => false,
            Some((_, Resolver::Function(_))) => {
                let answer = self.book.clashes.decisions.get(&pair);
                matches!(answer, Some(ClashAnswer::Decided { winner: ClashWinner::A, .. }))
            }
            Some(_) => true,
        }
    }

    pub(crate) fn snoop_clash_sent(&mut self, slot: usize, message: &Message) -> R {
        let (pair, said) = match message {
            Message::Verdict { pair, treatment, .. } => (pair, treatment),
            Message::Relayed { from, clash: ClashMessage::Verdict { pair, treatment, .. }, .. }
                if *from == self.hosts[slot].id =>
            {
                (pair, treatment)
            }
            _ => return Ok(()),
        };
        let clashes = &self.book.clashes;
        let Some((low, resolver)) = clashes.regs.get(&pair.low) else {
            return Err(format!("P6: h{slot} decides {pair:?}, which nobody has shown"));
        };
        let right = match resolver {
            Resolver::RandomExit => *said == Treatment::Kill { by: Some(*low) },
            Resolver::RandomNotify => *said == Treatment::Notify { other: None },
            Resolver::NotifyAll | Resolver::KeepOldest => *said == Treatment::Notify { other: Some(*low) },
            Resolver::Function(_) => match (clashes.calls.get(pair), clashes.decisions.get(pair)) {
                (Some(call), Some(answer)) => treatment(*answer, false, call.a, call.b) == Some(*said),
                _ => false,
            },
        };
        let before = clashes.verdicts.get(pair);
        if !right || before.is_some_and(|before| before != said) || pair.low.node != self.hosts[slot].id {
            return Err(format!(
                "P6: h{slot} decides {pair:?} by {resolver:?}: {said:?}; before: {before:?}, {:?} answered {:?}",
                clashes.calls.get(pair),
                clashes.decisions.get(pair)
            ));
        }
        if *resolver == Resolver::KeepOldest {
            self.check_oldest(pair.low, pair.high)?;
        }
        self.book.clashes.verdicts.insert(*pair, *said);
        Ok(())
    }

    /// The ages are exchanged, so on the way they may be off a little.
    fn check_oldest(&self, winner: Reg, loser: Reg) -> R {
        let born = |reg: Reg| self.book.born.get(&reg).copied();
        match (born(winner), born(loser)) {
            (Some(w), Some(l)) if w > l + 3 * self.plan.detection + self.clocks_are_off(self.now - l) => {
                Err(format!("D21: keep-oldest keeps {winner:?}, born {w}, before {loser:?}, born {l}"))
            }
            _ => Ok(()),
        }
    }

    // ---- what losers are told

    pub(crate) fn told_of_clash(&mut self, loser: Pid, how: Treatment) {
        self.book.stats.conflicts += 1;
        self.book.clashes.told.push((loser, how));
    }

    pub(crate) fn note_loss(&mut self, loser: Pid, about: &Name, winner: Option<Pid>) {
        // As the table was before this input.
        let host = self.hosts.iter().find(|host| host.id == loser.node);
        let row = host.and_then(|host| host.own_row(about)).filter(|row| row.pid() == loser);
        // One that goes while the other is out of reach does so for the sake of a third.
        let reached = host.is_some_and(|host| winner.is_some_and(|w| host.links.contains_key(&w.node)));
        if let (Some(row), Some(winner), true) = (row, winner, reached) {
            self.book.clashes.lost.insert((row.reg, winner));
        }
    }

    /// The side of a pair that lost in the present input. Two that go together, since neither was to keep the name, lose to each
    /// other; but in no larger circle: whoever was beaten last has lost to one that stayed.
    fn note_fate(&mut self, slot: usize) -> R {
        let judged = self.book.clashes.judged.take();
        let perhaps = self.book.clashes.perhaps.take();
        let Some((name, pair, side)) = judged else { return Ok(()) };
        let Some(engine) = self.hosts[slot].engine.as_ref() else { return Ok(()) };
        let had = self.hosts[slot].own_row(&name).is_some_and(|row| row.reg == side);
        if !had || engine.bindings().any(|(n, row)| *n == name && row.reg == side) {
            return Ok(());
        }
        self.book.clashes.due.extend(perhaps);
        if side == pair.high && self.lower_has_won(pair) {
            self.book.clashes.beaten.insert(pair.high, pair.low);
        }
        let other = if side == pair.low { pair.high } else { pair.low };
        self.book.clashes.fates.insert(side, (other, pair));
        let fates = &self.book.clashes.fates;
        let mut at = other;
        for _ in 0..fates.len() {
            let Some((next, last)) = fates.get(&at).copied() else { return Ok(()) };
            if next == side && last != pair {
                return Err(format!("P6: all lost {name:?} to each other: {fates:?}\n{}", self.describe()));
            }
            if next == side {
                return Ok(());
            }
            at = next;
        }
        Ok(())
    }

    /// After every input: each loser was told exactly what its resolver says, and nobody else was told anything.
    pub(crate) fn check_treatments(&mut self, slot: usize) -> R {
        self.book.clashes.engaged = None;
        self.note_fate(slot)?;
        if self.book.clashes.due.is_empty() && self.book.clashes.told.is_empty() {
            return Ok(());
        }
        let due = std::mem::take(&mut self.book.clashes.due);
        let mut told = std::mem::take(&mut self.book.clashes.told);
        for (loser, how) in due.iter().filter(|(_, how)| *how != Treatment::Silent) {
            let Some(at) = told.iter().position(|t| t == &(*loser, *how)) else {
                return Err(format!("P6: {loser:?} lost and is to be told {how:?}; told were {told:?}"));
            };
            told.remove(at);
        }
        for (loser, how) in told {
            if !self.is_own_decision(slot, loser, how) {
                return Err(format!("P6: {loser:?} is told {how:?}, and no resolver says so"));
            }
        }
        Ok(())
    }

    /// At rest: where neither was to keep the name and the lower one has lost it, the higher one has too.
    pub(crate) fn check_neither(&self) -> R {
        let clashes = &self.book.clashes;
        for pair in clashes.verdicts.keys() {
            let Some((high, _)) = clashes.regs.get(&pair.high) else { continue };
            let mut rows = self.hosts.iter().flat_map(|host| &host.rows);
            if clashes.lost.contains(&(pair.low, *high)) && rows.any(|(_, row)| row.reg == pair.high) {
                return Err(format!("P6: neither was to keep {pair:?}, and the higher one does"));
            }
        }
        Ok(())
    }

    /// The lower home's own process lost, by the resolver of its own binding.
    fn is_own_decision(&self, slot: usize, loser: Pid, how: Treatment) -> bool {
        let clashes = &self.book.clashes;
        // As the table was before this input.
        let rows = self.hosts[slot].rows.iter().map(|(_, row)| row).filter(|row| row.pid() == loser);
        let above = |other: Option<Pid>| other.is_some_and(|other| other.node > loser.node);
        rows.into_iter().any(|row| match (&row.resolver, how) {
            (Resolver::RandomExit, Treatment::Kill { by }) => above(by),
            (Resolver::RandomNotify, Treatment::Notify { other: None }) => true,
            (Resolver::NotifyAll | Resolver::KeepOldest, Treatment::Notify { other }) => above(other),
            (Resolver::Function(_), how) => clashes.decisions.iter().any(|(pair, answer)| {
                let call = clashes.calls.get(pair);
                pair.low == row.reg && call.is_some_and(|c| treatment(*answer, true, c.a, c.b) == Some(how))
            }),
            _ => false,
        })
    }
}
