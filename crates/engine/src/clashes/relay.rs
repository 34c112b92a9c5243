//! Clashes between homes without a link to each other.
//!
//! A third node that sees both bindings for a while tells the lower home, and passes the messages of the clash on. It never
//! decides anything, and never calls a resolver. And where a re-register has replaced a binding for good, it tells the home
//! of that for as long as it shows it.

use crate::fault::Fault;
use crate::machine::Engine;
use crate::timers::Timer;
use crate::*;

impl Engine {
    /// There is something between two other homes that they may not know.
    pub(super) fn watch_as_third(&mut self, name: &Name) {
        let timer = Timer::ClashSeen(name.clone());
        if !self.cx.timers.is_set(&timer) {
            self.cx.timers.set(timer, self.cx.now + self.cx.config.detection);
        }
    }

    /// Bindings of other nodes that those of yet others have replaced for good: by which, and which.
    pub(super) fn replaced_of_others(&self, name: &Name) -> impl Iterator<Item = (&Binding, Reg)> {
        let me = self.cx.config.node;
        self.names.replaced(name).into_iter().filter(move |(by, reg)| by.reg.node != me && reg.node != me)
    }

    /// This node still shows two bindings of other nodes: if their homes have no link, the lower one hears of it here.
    pub(crate) fn clash_seen_due(&mut self, name: Name) {
        let settled = self.replaced_of_others(&name).map(|(by, reg)| {
            let (name, supersedes) = (name.clone(), by.supersedes.clone());
            (reg.node, Message::Settled { name, reg: by.reg, to: reg.node, supersedes })
        });
        for (to, message) in settled.collect::<Vec<_>>() {
            self.send(to, message);
            self.watch_as_third(&name);
        }
        let open: Vec<(Reg, Pid)> = self.names.open(&name).iter().map(|b| (b.reg, b.pid())).collect();
        if let [(low, _), (high, high_pid), ..] = open[..]
            && low.node != self.cx.config.node
            && high.node != self.cx.config.node
            && !self.is_broken(Fault::ThirdNodeIsSilent)
        {
            let pair = Pair { low, high };
            self.send(low.node, Message::ClashSeen { name: name.clone(), pair, high: high_pid });
            self.cx.timers.set(Timer::ClashSeen(name), self.cx.now + self.cx.config.detection);
        }
    }

    pub(crate) fn on_clash_seen(
        &mut self,
        from: NodeId,
        name: Name,
        pair: Pair,
        high: Pid,
    ) -> Result<(), Violation> {
        if self.mine(&name) == Some(pair.low)
            && pair.high.node != self.cx.config.node
            && !self.view.is_linked(pair.high.node)
        {
            self.remember_relay(pair.high.node, from);
            self.pair(&name, pair, high);
        }
        Ok(())
    }

    pub(crate) fn on_relayed(
        &mut self,
        from: NodeId,
        to: NodeId,
        origin: NodeId,
        clash: ClashMessage,
    ) -> Result<(), Violation> {
        if to == self.cx.config.node {
            if !self.may_be_passed_on(from, origin) {
                return Ok(());
            }
            self.remember_relay(origin, from);
            // A relay is not to blame for what it passes on: nonsense is void, the link stays.
            let _ = self.on_clash_message(origin, clash);
            return Ok(());
        }
        if origin == from {
            self.send(to, Message::Relayed { to, from: origin, clash });
        } else {
            self.refuse_relay(from, origin);
        }
        Ok(())
    }

    /// However many nodes can be reached so, no more of them are remembered than there may be peers.
    fn remember_relay(&mut self, to: NodeId, through: NodeId) {
        if self.clashes.relays.contains_key(&to) || self.clashes.relays.len() < self.cx.config.limits.peers {
            self.clashes.relays.insert(to, through);
        }
    }

    pub(super) fn send_clash(&mut self, to: NodeId, clash: ClashMessage) {
        if to == self.cx.config.node || self.view.is_linked(to) {
            let message = match clash {
                ClashMessage::Engage { name, pair, round } => Message::Engage { name, pair, round },
                ClashMessage::Engaged { name, pair, round, age_ms } => {
                    Message::Engaged { name, pair, round, age_ms }
                }
                ClashMessage::ClashEnded { name, pair } => Message::ClashEnded { name, pair },
                ClashMessage::Verdict { name, pair, treatment } => Message::Verdict { name, pair, treatment },
            };
            self.send(to, message);
        } else if let Some(relay) = self.clashes.relays.get(&to).copied() {
            self.send(relay, Message::Relayed { to, from: self.cx.config.node, clash });
        }
    }
}
