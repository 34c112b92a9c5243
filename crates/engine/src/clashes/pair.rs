//! Clashes: two bindings of one name, met when two parts of a cluster join.
//!
//! Only the two homes act, and the lower one decides: one pair at a time, each pair once. The verdict is kept, so that a
//! link that flaps meanwhile does not call a resolver again. How it is decided stands in `resolver`; how homes without a
//! link to each other speak, in `relay`.

use super::state::{Case, Clash, Decision, PairState};
use crate::fault::Fault;
use crate::machine::Engine;
use crate::*;
use std::collections::BTreeSet;

impl Engine {
    /// Something about the bindings of the name has changed.
    pub(crate) fn reconcile_name(&mut self, name: &Name) {
        self.engage_next(name);
        self.forget_cases_of_replaced(name);
        self.carry_out_again(name);
        if self.names.crowded().contains(name) {
            let open: Vec<(Reg, Pid)> = self.names.open(name).iter().map(|b| (b.reg, b.pid())).collect();
            if let [(low, _), (high, high_pid), ..] = open[..] {
                if low.node == self.cx.config.node {
                    self.pair(name, Pair { low, high }, high_pid);
                } else if high.node != self.cx.config.node {
                    self.watch_as_third(name);
                }
            }
            if self.replaced_of_others(name).next().is_some() {
                self.watch_as_third(name);
            }
        }
        self.tell_pending_verdicts(name);
        if self.clashes.by_name.get(name).is_some_and(Clash::is_empty) {
            self.clashes.by_name.remove(name);
        }
        if !self.is_broken(Fault::BusyIsJudgedOnce) {
            self.refuse_if_taken(name);
        }
        self.cx.dirty.mark_key(&Key::Name(name.clone()));
    }

    /// A verdict that neither wins is over when the higher home has withdrawn, and is in the way of my other pairs until
    /// then. The link may have broken before it arrived, and my pair with a still lower home may be the first one by now.
    fn tell_pending_verdicts(&mut self, name: &Name) {
        if self.is_broken(Fault::VerdictIsToldOnce) {
            return;
        }
        let Some(clash) = self.clashes.by_name.get(name) else { return };
        let mine = self.mine(name);
        let pending = clash.cases.iter().filter_map(|(pair, case)| match case.state {
            PairState::Decided(decision @ Decision { low: Some(_), high: Some(_) })
                if mine == Some(pair.low) && self.shows_reg(name, pair.high) =>
            {
                Some((*pair, decision))
            }
            _ => None,
        });
        for (pair, decision) in pending.collect::<Vec<_>>() {
            self.carry_out(name, pair, decision);
        }
    }

    fn state_of(&self, name: &Name, pair: Pair) -> Option<PairState> {
        self.clashes.by_name.get(name)?.cases.get(&pair).map(|case| case.state)
    }

    fn set_state(&mut self, name: &Name, pair: Pair, state: PairState) {
        self.with_clash(name, |clash| {
            if let Some(case) = clash.cases.get_mut(&pair) {
                case.state = state;
            }
        });
    }

    fn with_clash(&mut self, name: &Name, change: impl FnOnce(&mut Clash)) {
        if let Some(clash) = self.clashes.by_name.get_mut(name) {
            change(clash);
        }
    }

    /// My binding is shown by all linked nodes. Before that it takes part in no clash: what it beats would be withdrawn, and
    /// readers who do not see mine yet would see none.
    fn may_clash(&self, name: &Name, reg: Reg) -> bool {
        let settled = self.names.of(name, reg.node).is_some_and(|b| b.reg == reg && b.settled);
        settled || self.is_broken(Fault::ClashBeforeSettled)
    }

    /// The lower home: a pair that is not decided yet is opened, a decided one is carried out again (a link may have
    /// broken before the verdict arrived; repeats are harmless).
    pub(crate) fn pair(&mut self, name: &Name, pair: Pair, high: Pid) {
        match self.state_of(name, pair) {
            // What is shown of both is carried out by `clash`.
            Some(PairState::Decided(_)) if self.shows_reg(name, pair.high) => {}
            // Through a third node: it must take part anew to be told.
            Some(PairState::Decided(_)) => self.engage(name, pair),
            Some(PairState::Resolving | PairState::Obsolete) => {}
            _ if !self.may_clash(name, pair.low) || self.takes_part(name, pair.low, pair) => {}
            asked => {
                if let Some(treatment) = self.forfeit(name, pair.low) {
                    return self.lose(name, pair.low, treatment);
                }
                if asked.is_none() {
                    let round = self.next_tx().lamport;
                    let clash = self.clashes.by_name.entry(name.clone()).or_default();
                    clash.make_room(|node| self.view.is_linked(node));
                    clash
                        .cases
                        .insert(pair, Case { state: PairState::Asked, high, since: self.cx.now, round });
                    self.clash_found(name, high);
                }
                self.engage(name, pair);
            }
        }
    }

    fn engage(&mut self, name: &Name, pair: Pair) {
        let case = self.clashes.by_name.get(name).and_then(|clash| clash.cases.get(&pair));
        let Some(round) = case.map(|case| case.round) else { return };
        self.send_clash(pair.high.node, ClashMessage::Engage { name: name.clone(), pair, round });
    }

    /// My binding and one that is out of reach were both to go, and that one may be gone already. It keeps the name until the two
    /// meet, unless there is another that can have it: were it to meet that one first, and take it along, nobody would be left.
    fn forfeit(&self, name: &Name, mine: Reg) -> Option<Treatment> {
        if self.is_broken(Fault::NothingIsForfeited) {
            return None;
        }
        let mut cases = self.clashes.by_name.get(name)?.cases.iter();
        cases.find_map(|(pair, case)| match case.state {
            PairState::Decided(Decision { low: Some(treatment), high: Some(_) })
                if pair.low == mine && !self.view.is_linked(pair.high.node) =>
            {
                Some(treatment)
            }
            _ => None,
        })
    }

    /// My binding takes part in this pair. What was said of others through third nodes, and is not decided, is void: pairs of homes
    /// without a link hold up nothing, so an answer that is on its way may be older than the end of one of them.
    fn give_up_others(&mut self, name: &Name, mine: Reg, except: Pair) {
        if self.is_broken(Fault::UnlinkedPairsOverlap) {
            return;
        }
        let Some(clash) = self.clashes.by_name.get_mut(name) else { return };
        let linked = |node| self.view.is_linked(node);
        clash.cases.retain(|pair, case| {
            *pair == except || pair.low != mine || case.state != PairState::Asked || linked(pair.high.node)
        });
        clash.engaged.take_if(|pair| *pair != except && !linked(pair.low.node));
    }

    /// Whether my binding is in another running pair. Between unlinked homes a pair blocks nothing, so waits only go
    /// upward and end; a function is called for one pair of a binding at a time, and ends by its deadline.
    fn takes_part(&self, name: &Name, mine: Reg, except: Pair) -> bool {
        let Some(clash) = self.clashes.by_name.get(name) else { return false };
        let as_lower = clash.cases.iter().any(|(pair, case)| {
            let linked = |node| self.view.is_linked(node);
            let running = case.is_running(pair, linked, |reg| self.shows_reg(name, reg));
            pair.low == mine && *pair != except && running
        });
        as_lower || self.is_judged(clash, mine, except)
    }

    /// A lower home decides about my binding.
    fn is_judged(&self, clash: &Clash, mine: Reg, except: Pair) -> bool {
        let engaged = clash.engaged.filter(|pair| *pair != except && pair.high == mine);
        engaged.is_some_and(|pair| self.view.is_linked(pair.low.node))
    }

    fn shows_reg(&self, name: &Name, reg: Reg) -> bool {
        self.names.of(name, reg.node).is_some_and(|b| b.reg == reg)
    }

    /// Names with a clash that is under way.
    pub(crate) fn undecided_clashes(&self) -> usize {
        let linked = |node| self.view.is_linked(node);
        let all = self.clashes.by_name.iter();
        all.filter(|(name, clash)| !clash.is_at_rest(linked, |reg| self.shows_reg(name, reg))).count()
    }

    /// Every clash that is not at rest here: its name, this node's part in it, the other home, how far it is, since when.
    pub(crate) fn clash_rows(
        &self,
    ) -> impl Iterator<Item = (&Name, &'static str, NodeId, &'static str, Option<Time>)> {
        let is_under_way = |(name, clash): &(&Name, &Clash)| {
            !clash.is_at_rest(|node| self.view.is_linked(node), |reg| self.shows_reg(name, reg))
        };
        self.clashes.by_name.iter().filter(is_under_way).flat_map(|(name, clash)| {
            let cases = clash.cases.iter().map(move |(pair, case)| {
                let state = match case.state {
                    PairState::Asked => "asked",
                    PairState::Resolving | PairState::Obsolete => "its resolver runs",
                    PairState::Decided(_) => "decided",
                };
                (name, "decides", pair.high.node, state, Some(case.since))
            });
            let part = move |state| move |pair: &Pair| (name, "takes part", pair.low.node, state, None);
            let engaged = clash.engaged.iter().map(part("engaged"));
            cases.chain(engaged).chain(clash.waiting.keys().map(part("waiting")))
        })
    }

    fn clash_found(&mut self, name: &Name, high: Pid) {
        self.cx.counters.clashes += 1;
        self.log(Level::Info, Topic::Clash, |engine| {
            let (name, home) = (Short(name.as_bytes()), engine.name_of(high.node));
            format!("the name {name} is bound here and on {home}; this node decides")
        });
    }

    fn clash_decided(&mut self, name: &Name, pair: Pair, decision: Decision) {
        self.cx.counters.clashes_decided += 1;
        self.log(Level::Info, Topic::Clash, |engine| {
            let (name, home) = (Short(name.as_bytes()), engine.name_of(pair.high.node));
            let who = match decision {
                Decision { low: None, .. } => "this node keeps it".to_owned(),
                Decision { high: None, .. } => format!("{home} keeps it"),
                _ => "neither keeps it".to_owned(),
            };
            format!("the clash of the name {name} with {home} is decided: {who}")
        });
    }

    /// The higher home: takes the next pair that waits for my binding.
    fn engage_next(&mut self, name: &Name) {
        if !self.clashes.by_name.contains_key(name) {
            return;
        }
        let mine = self.mine(name);
        if let Some(pair) = self.clashes.by_name.get(name).and_then(|c| c.engaged) {
            let low_gone = self.view.is_linked(pair.low.node)
                && self.names.of(name, pair.low.node).map(|b| b.reg) != Some(pair.low);
            if mine != Some(pair.high) || low_gone {
                self.with_clash(name, |clash| clash.engaged = None);
            }
        }
        loop {
            let waiting =
                self.clashes.by_name.get(name).map(|c| c.waiting.keys().copied().collect::<Vec<_>>());
            let ready = |pair: &Pair| {
                mine != Some(pair.high)
                    || self.may_clash(name, pair.high) && !self.takes_part(name, pair.high, *pair)
            };
            let Some(pair) = waiting.into_iter().flatten().find(ready) else { return };
            let alive = mine == Some(pair.high);
            if alive && let Some(treatment) = self.forfeit(name, pair.high) {
                // Those that wait hear of it on the way.
                return self.lose(name, pair.high, treatment);
            }
            if alive {
                self.give_up_others(name, pair.high, pair);
            }
            let mut round = 0;
            self.with_clash(name, |clash| {
                round = clash.waiting.remove(&pair).unwrap_or(0);
                if alive {
                    clash.engaged = Some(pair);
                }
            });
            let name = name.clone();
            let answer = if alive {
                ClashMessage::Engaged { name, pair, round, age_ms: self.age_ms(pair.high) }
            } else {
                ClashMessage::ClashEnded { name, pair }
            };
            self.send_clash(pair.low.node, answer);
        }
    }

    pub(crate) fn on_clash_message(&mut self, from: NodeId, message: ClashMessage) -> Result<(), Violation> {
        match message {
            ClashMessage::Engage { name, pair, round } => {
                if pair.low.node != from || pair.high.node != self.cx.config.node {
                    return Err(Violation("a clash of other nodes"));
                }
                if self.mine(&name) == Some(pair.high) {
                    self.clashes.by_name.entry(name.clone()).or_default().waiting.insert(pair, round);
                    self.engage_next(&name);
                } else {
                    self.send_clash(pair.low.node, ClashMessage::ClashEnded { name, pair });
                }
            }
            ClashMessage::Engaged { name, pair, round, age_ms } => self.engaged(name, pair, round, age_ms),
            ClashMessage::ClashEnded { name, pair } => {
                self.with_clash(&name, |clash| {
                    if clash.engaged == Some(pair) {
                        clash.engaged = None;
                    }
                });
                match self.state_of(&name, pair) {
                    Some(PairState::Asked) => {
                        self.with_clash(&name, |clash| {
                            clash.cases.remove(&pair);
                        });
                    }
                    // A home with a link withdraws where this one hears it.
                    Some(PairState::Decided(_)) if from == pair.high.node && !self.view.is_linked(from) => {
                        self.rival_gone(&name, pair.high);
                    }
                    _ => {}
                }
                self.cx.dirty.mark_name(&name);
            }
            ClashMessage::Verdict { name, pair, treatment } => {
                if pair.low.node != from || pair.high.node != self.cx.config.node {
                    return Err(Violation("a verdict on a clash of other nodes"));
                }
                if self.mine(&name) == Some(pair.high) {
                    // Through a third node it may come late: from a home that has lost since, to one that has beaten others since.
                    let takes_part = self.clashes.by_name.get(&name).is_some_and(|c| c.engaged == Some(pair));
                    let counts = takes_part
                        || self.view.is_linked(from)
                        || self.is_broken(Fault::UnlinkedPairsOverlap);
                    if !counts {
                        return Ok(());
                    }
                    self.lose(&name, pair.high, treatment);
                }
                if !self.view.is_linked(from) {
                    self.send_clash(from, ClashMessage::ClashEnded { name, pair });
                }
            }
        }
        Ok(())
    }

    /// The higher home takes part: the pair is decided, once.
    fn engaged(&mut self, name: Name, pair: Pair, round: u64, high_age_ms: u64) {
        let mut case = self.clashes.by_name.get(&name).and_then(|c| c.cases.get(&pair).copied());
        let alive = self.mine(&name) == Some(pair.low);
        if case.is_some_and(|case| case.round != round) {
            return; // an answer to what was given up; that to the last question follows
        }
        if !self.view.is_linked(pair.high.node)
            && case.is_some_and(|case| case.state == PairState::Asked)
            && self.takes_part(&name, pair.low, pair)
            && !self.is_broken(Fault::UnlinkedPairsOverlap)
        {
            case = None; // another pair has come first
        }
        match case.map(|case| (case.state, case.high)) {
            Some((PairState::Asked, high)) if alive => {
                self.give_up_others(&name, pair.low, pair);
                match self.decide(&name, pair, high, high_age_ms) {
                    Some(decision) => self.decided(&name, pair, decision),
                    None => self.set_state(&name, pair, PairState::Resolving),
                }
                self.cx.dirty.mark_name(&name);
            }
            Some((PairState::Resolving | PairState::Obsolete, _)) => {}
            Some((PairState::Decided(decision), _)) if alive => self.carry_out(&name, pair, decision),
            _ => {
                self.with_clash(&name, |clash| {
                    clash.cases.remove(&pair);
                });
                if !self.is_broken(Fault::EngagedWithoutGone) {
                    self.send_clash(pair.high.node, ClashMessage::ClashEnded { name, pair });
                }
            }
        }
    }

    /// The function that was called for the pair has answered, or has failed to.
    pub(super) fn function_decided(&mut self, name: &Name, pair: Pair, decision: Decision) {
        match self.state_of(name, pair) {
            Some(PairState::Resolving) => self.decided(name, pair, decision),
            Some(PairState::Obsolete) => self.with_clash(name, |clash| {
                clash.cases.remove(&pair);
            }),
            // My binding is gone.
            _ => return,
        }
        self.cx.dirty.mark_name(name);
    }

    /// The verdict is kept; it is carried out if both are still there, else when the other one comes back.
    fn decided(&mut self, name: &Name, pair: Pair, decision: Decision) {
        self.set_state(name, pair, PairState::Decided(decision));
        self.clash_decided(name, pair, decision);
        let is_known = self.names.of(name, pair.high.node).is_some_and(|b| b.reg == pair.high)
            || self.clashes.relays.contains_key(&pair.high.node);
        if is_known && self.mine(name) == Some(pair.low) {
            self.carry_out(name, pair, decision);
        }
    }

    /// When neither keeps the name mine goes only after the other one is gone: if the verdict is lost with a link, it is
    /// told again when the two meet again. Else the other one would keep the name.
    fn carry_out(&mut self, name: &Name, pair: Pair, decision: Decision) {
        match decision {
            Decision { high: Some(treatment), .. } => {
                let verdict = ClashMessage::Verdict { name: name.clone(), pair, treatment };
                self.send_clash(pair.high.node, verdict);
                if self.is_broken(Fault::LowerGoesFirst)
                    && let Decision { low: Some(treatment), .. } = decision
                {
                    self.lose(name, pair.low, treatment);
                }
            }
            Decision { low: Some(treatment), high: None } => self.lose(name, pair.low, treatment),
            Decision { low: None, high: None } => {}
        }
    }

    /// Every decided pair of my binding whose other side is shown, not only the pair whose turn it is: a link may have broken
    /// before the verdict arrived, and a lower home may have come in between. Repeats are harmless.
    fn carry_out_again(&mut self, name: &Name) {
        if self.is_broken(Fault::VerdictIsToldOnce) {
            return;
        }
        let Some(clash) = self.clashes.by_name.get(name) else { return };
        // Not while it is not certain that mine stays: what it beats must not lose to one that has lost itself.
        let decided = clash.cases.iter().filter_map(|(pair, case)| match case.state {
            PairState::Decided(decision) if !self.is_judged(clash, pair.low, *pair) => {
                Some((*pair, decision))
            }
            _ => None,
        });
        for (pair, decision) in decided.collect::<Vec<_>>() {
            if self.mine(name) == Some(pair.low) && self.shows_reg(name, pair.high) {
                self.carry_out(name, pair, decision);
            }
        }
    }

    /// My binding lost, and its process is treated as the resolver says.
    fn lose(&mut self, name: &Name, reg: Reg, treatment: Treatment) {
        let Some(serial) = self.names.of(name, reg.node).filter(|b| b.reg == reg).map(|b| b.serial) else {
            return;
        };
        if self.is_broken(Fault::LoserIsNotWithdrawn) {
            self.remove_mine(name, reg);
        } else {
            self.retire(name, reg, None);
        }
        match treatment {
            Treatment::Silent => {}
            Treatment::Kill { by } => {
                self.process_exits(serial, Reason::CONFLICT_LOST, Payload::default(), Some(by));
            }
            Treatment::Notify { other } => {
                let event =
                    Event::NameConflict { name: name.clone(), winner: other, reason: Reason::CONFLICT_LOST };
                self.event(Effect::Notify { process: serial, event });
            }
        }
    }

    // ---- what is forgotten

    /// A registration of mine is gone for good: so is what was decided about it.
    pub(crate) fn forget_verdicts(&mut self, name: &Name, reg: Reg) {
        self.with_clash(name, |clash| clash.cases.retain(|pair, _| pair.low != reg));
    }

    /// My older binding was replaced in place, and does not come back.
    fn forget_cases_of_replaced(&mut self, name: &Name) {
        let mine = self.mine(name);
        let is_old = |clash: &Clash| clash.cases.keys().any(|pair| Some(pair.low) != mine);
        if self.clashes.by_name.get(name).is_some_and(is_old) {
            let beneath: Vec<Reg> = self.names.beneath(name).iter().map(|binding| binding.reg).collect();
            self.with_clash(name, |clash| {
                clash.cases.retain(|pair, _| Some(pair.low) == mine || beneath.contains(&pair.low));
            });
        }
    }

    /// A registration of another node is gone for good, by the word of its home. Where neither was to keep the name it is
    /// my turn now.
    pub(crate) fn rival_gone(&mut self, name: &Name, reg: Reg) {
        let mut mine_goes = None;
        self.with_clash(name, |clash| {
            clash.cases.retain(|pair, case| {
                if pair.high != reg {
                    return true;
                }
                match &case.state {
                    PairState::Resolving | PairState::Obsolete => {
                        case.state = PairState::Obsolete;
                        return true;
                    }
                    PairState::Decided(Decision { low: Some(treatment), high: Some(_) }) => {
                        mine_goes = Some((pair.low, *treatment));
                    }
                    PairState::Asked | PairState::Decided(_) => {}
                }
                false
            });
        });
        if let Some((low, treatment)) = mine_goes {
            self.lose(name, low, treatment);
        }
    }

    /// Of the registrations of a peer only these are left.
    pub(crate) fn rivals_left(&mut self, peer: NodeId, have: &BTreeSet<Reg>) {
        let gone = |reg: Reg| reg.node == peer && !have.contains(&reg);
        let cases = self
            .clashes
            .by_name
            .iter()
            .flat_map(|(name, clash)| clash.cases.keys().map(move |p| (name, p.high)));
        let gone = cases.filter(|(_, high)| gone(*high)).map(|(name, high)| (name.clone(), high));
        for (name, high) in gone.collect::<Vec<_>>() {
            self.rival_gone(&name, high);
        }
    }

    /// A link came up or went down: what this node asked of the peer, or promised it, ended with the old link.
    pub(crate) fn forget_engagements(&mut self, peer: NodeId, link_down: bool) {
        let forgets = self.is_broken(Fault::VerdictIsForgotten);
        for (name, clash) in &mut self.clashes.by_name {
            let ends = |case: &Case| case.state == PairState::Asked || forgets;
            let before = clash.cases.len() + clash.waiting.len() + usize::from(clash.engaged.is_some());
            clash.cases.retain(|pair, case| !(ends(case) && pair.high.node == peer));
            clash.engaged.take_if(|pair| pair.low.node == peer);
            if link_down {
                clash.waiting.retain(|pair, _| pair.low.node != peer);
            }
            if before > clash.cases.len() + clash.waiting.len() + usize::from(clash.engaged.is_some()) {
                self.cx.dirty.mark_name(name);
            }
        }
    }
}
