//! Clashes: two bindings of one name, met when two parts of a cluster join.
//!
//! Only the two homes act, and the lower one decides: one pair at a time, each pair once. The verdict is kept, so that a
//! link that flaps meanwhile does not call a resolver again. Between unlinked homes a third node passes the messages on.

use super::machine::Engine;
use super::timers::Timer;
use super::*;
use rand::RngExt;
use std::collections::{BTreeMap, BTreeSet};

/// Who keeps the name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Choice {
    /// The lower home's binding.
    Low,
    /// The higher home's binding.
    High,
}

/// How far the lower home is with a pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// The higher home was asked to take part.
    Asked,
    Decided(Choice),
}

/// The clashes of one name at a home.
#[derive(Default, Debug)]
pub(super) struct Clash {
    /// As the lower home.
    verdicts: BTreeMap<Pair, Verdict>,
    /// As the higher home: the pair that my binding takes part in, and those that wait for it.
    engaged: Option<Pair>,
    waiting: BTreeSet<Pair>,
    /// Who the other side of a pair is, as far as known without its row: told by a third node.
    heard_of: BTreeMap<Reg, Pid>,
}

impl Clash {
    fn is_empty(&self) -> bool {
        self.verdicts.is_empty() && self.engaged.is_none() && self.waiting.is_empty()
    }
    /// Only decisions are left, kept against repetition, and what was said through a third node and lost its other side:
    /// that blocks nothing, and goes with my binding.
    pub(super) fn is_at_rest(&self, linked: impl Fn(NodeId) -> bool) -> bool {
        self.engaged.is_none_or(|pair| !linked(pair.low.node))
            && self.waiting.is_empty()
            && self.verdicts.iter().all(|(pair, v)| *v != Verdict::Asked || !linked(pair.high.node))
    }
}

impl Engine {
    /// Something about the bindings of the name changed.
    pub(super) fn clash(&mut self, name: &Name) {
        self.engage_next(name);
        if self.names.crowded().contains(name) {
            let open: Vec<Reg> = self.names.open(name).iter().map(|b| b.reg).collect();
            if let [low, high, ..] = open[..] {
                if low.node == self.config.node {
                    self.pair(name, Pair { low, high });
                } else if high.node != self.config.node {
                    let timer = Timer::Hearsay(name.clone());
                    if !self.timers.is_set(&timer) {
                        self.timers.set(timer, self.now + self.config.detection);
                    }
                }
            }
        }
        if self.clashes.get(name).is_some_and(Clash::is_empty) {
            self.clashes.remove(name);
        }
        let key = Key::Name(name.clone());
        self.recheck(&key);
        self.pump(&key);
    }

    /// After a change of the view: every name that may be concerned.
    pub(super) fn clash_all(&mut self) {
        let mut names: BTreeSet<Name> = self.names.crowded().clone();
        names.extend(self.clashes.keys().cloned());
        let claimed = |key| if let Key::Name(name) = key { Some(name) } else { None };
        names.extend(self.claims.keys().into_iter().filter_map(claimed));
        for name in names {
            self.clash(&name);
        }
    }

    /// The lower home: a pair that is not decided yet is opened, a decided one is carried out again (a link may have
    /// broken before the verdict arrived; repeats are harmless).
    fn pair(&mut self, name: &Name, pair: Pair) {
        match self.clashes.get(name).and_then(|c| c.verdicts.get(&pair).copied()) {
            Some(Verdict::Decided(choice)) => self.carry_out(name, pair, choice),
            _ if self.takes_part(name, pair.low, pair) => {}
            _ => {
                self.clashes.entry(name.clone()).or_default().verdicts.insert(pair, Verdict::Asked);
                self.send_clash(pair.high.node, ClashMessage::Engage { name: name.clone(), pair });
            }
        }
    }

    /// Whether my binding is in another running pair. Between unlinked homes a pair blocks nothing, so waits only go
    /// upward and end.
    fn takes_part(&self, name: &Name, mine: Reg, except: Pair) -> bool {
        let Some(clash) = self.clashes.get(name) else { return false };
        let asked = clash.verdicts.iter().any(|(pair, verdict)| {
            pair.low == mine
                && *pair != except
                && *verdict == Verdict::Asked
                && self.view.is_linked(pair.high.node)
        });
        let engaged = clash
            .engaged
            .is_some_and(|pair| pair != except && pair.high == mine && self.view.is_linked(pair.low.node));
        asked || engaged
    }

    /// The higher home: takes the next pair that waits for my binding.
    fn engage_next(&mut self, name: &Name) {
        if !self.clashes.contains_key(name) {
            return;
        }
        let mine = self.mine(name);
        if let Some(pair) = self.clashes.get(name).and_then(|c| c.engaged) {
            let low_gone = self.view.is_linked(pair.low.node)
                && self.names.of(name, pair.low.node).map(|b| b.reg) != Some(pair.low);
            if mine != Some(pair.high) || low_gone {
                self.with_clash(name, |clash| clash.engaged = None);
            }
        }
        loop {
            let waiting = self.clashes.get(name).map(|c| c.waiting.iter().copied().collect::<Vec<_>>());
            let ready = |pair: &Pair| mine != Some(pair.high) || !self.takes_part(name, pair.high, *pair);
            let Some(pair) = waiting.into_iter().flatten().find(ready) else { return };
            let alive = mine == Some(pair.high);
            self.with_clash(name, |clash| {
                clash.waiting.remove(&pair);
                if alive {
                    clash.engaged = Some(pair);
                }
            });
            let name = name.clone();
            let answer = if alive {
                ClashMessage::Engaged { name, pair, age_ms: 0 }
            } else {
                ClashMessage::Gone { name, pair }
            };
            self.send_clash(pair.low.node, answer);
        }
    }

    fn with_clash(&mut self, name: &Name, change: impl FnOnce(&mut Clash)) {
        if let Some(clash) = self.clashes.get_mut(name) {
            change(clash);
        }
    }

    pub(super) fn clash_message(&mut self, from: NodeId, message: ClashMessage) -> Result<(), &'static str> {
        match message {
            ClashMessage::Engage { name, pair } => {
                if pair.low.node != from || pair.high.node != self.config.node {
                    return Err("a clash of other nodes");
                }
                if self.mine(&name) == Some(pair.high) {
                    self.clashes.entry(name.clone()).or_default().waiting.insert(pair);
                    self.engage_next(&name);
                } else {
                    self.send_clash(pair.low.node, ClashMessage::Gone { name, pair });
                }
            }
            ClashMessage::Engaged { name, pair, .. } => self.engaged(name, pair),
            ClashMessage::Gone { name, pair } => {
                self.with_clash(&name, |clash| {
                    if clash.engaged == Some(pair) {
                        clash.engaged = None;
                    }
                    if clash.verdicts.get(&pair) == Some(&Verdict::Asked) {
                        clash.verdicts.remove(&pair);
                    }
                });
                self.clash(&name);
            }
            ClashMessage::Verdict { name, lose, treatment } => {
                if self.mine(&name) == Some(lose) {
                    self.lose(&name, lose, treatment);
                }
            }
        }
        Ok(())
    }

    /// The higher home takes part: the pair is decided, once.
    fn engaged(&mut self, name: Name, pair: Pair) {
        let verdict = self.clashes.get(&name).and_then(|c| c.verdicts.get(&pair).copied());
        let alive = self.mine(&name) == Some(pair.low);
        match verdict {
            Some(Verdict::Asked) if alive => {
                // The manual's random_exit_name "randomly chooses one of the pids". Every resolver of this step is
                // built in, so the decision is made here and now.
                let choice = if self.rng.random() { Choice::Low } else { Choice::High };
                self.with_clash(&name, |clash| {
                    clash.verdicts.insert(pair, Verdict::Decided(choice));
                });
                if self.is_known(&name, pair.high) {
                    self.carry_out(&name, pair, choice);
                }
                self.clash(&name);
            }
            Some(Verdict::Decided(choice)) if alive => self.carry_out(&name, pair, choice),
            _ => {
                self.with_clash(&name, |clash| {
                    clash.verdicts.remove(&pair);
                });
                self.send_clash(pair.high.node, ClashMessage::Gone { name, pair });
            }
        }
    }

    fn is_known(&self, name: &Name, high: Reg) -> bool {
        self.names.of(name, high.node).is_some_and(|b| b.reg == high)
            || self.messengers.contains_key(&high.node)
    }

    fn carry_out(&mut self, name: &Name, pair: Pair, choice: Choice) {
        match choice {
            Choice::Low => {
                let winner = self.names.of(name, pair.low.node).map(Binding::pid);
                let verdict = ClashMessage::Verdict {
                    name: name.clone(),
                    lose: pair.high,
                    treatment: Treatment::Kill { by: winner },
                };
                self.send_clash(pair.high.node, verdict);
            }
            Choice::High => {
                let told = || self.clashes.get(name).and_then(|c| c.heard_of.get(&pair.high).copied());
                let winner = self.names.of(name, pair.high.node).map(Binding::pid).or_else(told);
                self.lose(name, pair.low, Treatment::Kill { by: winner });
            }
        }
    }

    /// My binding lost. `random-exit`, the manual's default: "one of the two registered processes will be selected as
    /// correct while the other is killed".
    fn lose(&mut self, name: &Name, reg: Reg, treatment: Treatment) {
        let serial = self.names.of(name, reg.node).map(|b| b.serial);
        self.retire(name, reg, None);
        if let (Some(serial), Treatment::Kill { by }) = (serial, treatment) {
            self.process_exits(serial, Reason::CONFLICT_LOST, Payload::default(), Some(by));
        }
    }

    /// A registration is gone for good: so is what was decided about it.
    pub(super) fn forget_verdicts(&mut self, name: &Name, reg: Reg) {
        self.with_clash(name, |clash| {
            clash.verdicts.retain(|pair, _| pair.low != reg && pair.high != reg);
            clash.heard_of.remove(&reg);
        });
    }

    /// A peer's snapshot: registrations of it that it does not have any more are gone for good.
    pub(super) fn forget_verdicts_missing(&mut self, peer: NodeId, have: &BTreeSet<Reg>) {
        let gone = |reg: Reg| reg.node == peer && !have.contains(&reg);
        for clash in self.clashes.values_mut() {
            clash.verdicts.retain(|pair, _| !gone(pair.low) && !gone(pair.high));
            clash.heard_of.retain(|reg, _| !gone(*reg));
        }
    }

    /// A link came up or went down: what this node asked of the peer, or promised it, ended with the old link.
    pub(super) fn forget_engagements(&mut self, peer: NodeId, link_down: bool) {
        for clash in self.clashes.values_mut() {
            clash.verdicts.retain(|pair, v| !(*v == Verdict::Asked && pair.high.node == peer));
            if clash.engaged.is_some_and(|pair| pair.low.node == peer) {
                clash.engaged = None;
            }
            if link_down {
                clash.waiting.retain(|pair| pair.low.node != peer);
            }
        }
    }

    // ---- homes without a link to each other

    /// This node still shows two bindings of other nodes: if their homes have no link, the lower one hears of it here.
    pub(super) fn hearsay_due(&mut self, name: Name) {
        let open: Vec<(Reg, Pid)> = self.names.open(&name).iter().map(|b| (b.reg, b.pid())).collect();
        if let [(low, _), (high, high_pid), ..] = open[..]
            && low.node != self.config.node
            && high.node != self.config.node
        {
            let pair = Pair { low, high };
            self.send(low.node, Message::Hearsay { name: name.clone(), pair, high: high_pid });
            self.timers.set(Timer::Hearsay(name), self.now + self.config.detection);
        }
    }

    pub(super) fn hearsay(
        &mut self,
        from: NodeId,
        name: Name,
        pair: Pair,
        high: Pid,
    ) -> Result<(), &'static str> {
        if self.mine(&name) == Some(pair.low)
            && pair.high.node != self.config.node
            && !self.view.is_linked(pair.high.node)
        {
            self.messengers.insert(pair.high.node, from);
            self.clashes.entry(name.clone()).or_default().heard_of.insert(pair.high, high);
            self.pair(&name, pair);
        }
        Ok(())
    }

    pub(super) fn via(
        &mut self,
        from: NodeId,
        to: NodeId,
        origin: NodeId,
        clash: ClashMessage,
    ) -> Result<(), &'static str> {
        if to == self.config.node {
            if !self.view.is_linked(origin) {
                self.messengers.insert(origin, from);
            }
            // Who only passes it on is not to blame for what it says: nonsense is void, the link stays.
            let _ = self.clash_message(origin, clash);
            return Ok(());
        }
        if origin == from {
            self.send(to, Message::Via { to, from: origin, clash });
        }
        Ok(())
    }

    fn send_clash(&mut self, to: NodeId, clash: ClashMessage) {
        if to == self.config.node || self.view.is_linked(to) {
            let message = match clash {
                ClashMessage::Engage { name, pair } => Message::Engage { name, pair },
                ClashMessage::Engaged { name, pair, age_ms } => Message::Engaged { name, pair, age_ms },
                ClashMessage::Gone { name, pair } => Message::Gone { name, pair },
                ClashMessage::Verdict { name, lose, treatment } => Message::Verdict { name, lose, treatment },
            };
            self.send(to, message);
        } else if let Some(messenger) = self.messengers.get(&to).copied() {
            self.send(messenger, Message::Via { to, from: self.config.node, clash });
        }
    }
}
