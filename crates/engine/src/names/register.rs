//! How a name is registered, moved and unregistered, at the home of the process and at all that are linked with it.

use crate::calls::Caller;
use crate::claims::{Claim, Publication};
use crate::fault::Fault;
use crate::machine::Engine;
use crate::*;
use std::collections::BTreeSet;

impl Engine {
    pub(crate) fn mine(&self, name: &Name) -> Option<Reg> {
        self.names.of(name, self.cx.config.node).map(|b| b.reg)
    }

    /// A peer's binding becomes known, or known anew.
    pub(crate) fn install(&mut self, name: &Name, binding: Binding) {
        let (supersedes, settled) = (binding.supersedes.clone(), binding.settled);
        self.names.put(name, binding);
        self.row_changed(name);
        if settled {
            self.settled(name, &supersedes);
        }
    }

    /// All nodes show a binding that covers these: registrations of mine among them go, those beneath the shown one too. Only now:
    /// until here the withdrawal would uncover them.
    pub(crate) fn settled(&mut self, name: &Name, supersedes: &BTreeSet<Reg>) {
        let mine = supersedes.iter().filter(|reg| reg.node == self.cx.config.node);
        let Some(up_to) = mine.map(|reg| reg.seq).max() else { return };
        if !self.is_broken(Fault::CoveredStaysBeneath) {
            let gone = self.names.cut(name, up_to);
            self.tell_losers(name, &gone);
        }
        if let Some(mine) = self.mine(name).filter(|mine| mine.seq <= up_to) {
            self.tell_replaced(name, mine);
            self.retire(name, mine, None);
        }
    }

    /// These registrations of mine are gone. The processes that hold the name no more.
    fn forget_registrations(&mut self, name: &Name, gone: &[Binding]) -> BTreeSet<u64> {
        let mut serials: BTreeSet<u64> = gone.iter().map(|binding| binding.serial).collect();
        serials.retain(|serial| !self.names.has_registration_of(name, *serial));
        serials.iter().for_each(|serial| self.processes.forget_name(*serial, name));
        serials
    }

    /// Another registration has taken the place of these for good: their processes live on and are told.
    fn tell_losers(&mut self, name: &Name, gone: &[Binding]) {
        for serial in self.forget_registrations(name, gone) {
            self.notify_lost_name(serial, name, self.names.visible(name.as_bytes()));
        }
    }

    /// The process of a binding of mine that another re-register has covered lives on and is told.
    fn tell_replaced(&mut self, name: &Name, mine: Reg) {
        let Some(serial) = self.names.of(name, mine.node).filter(|b| b.reg == mine).map(|b| b.serial) else {
            return;
        };
        // Where its home has no link to that of the new one, this is what is shown here still.
        let old = Pid { node: mine.node, serial };
        let winner = self.names.visible(name.as_bytes()).filter(|pid| *pid != old);
        self.notify_lost_name(serial, name, winner);
    }

    pub(super) fn notify_lost_name(&mut self, serial: u64, name: &Name, winner: Option<Pid>) {
        if self.processes.exists(serial) {
            let event = Event::NameConflict { name: name.clone(), winner, reason: Reason::REPLACED };
            self.event(Effect::Notify { process: serial, event });
        }
    }

    /// A registration of mine is taken back before all have acknowledged it: what it stood on is back, here and everywhere.
    pub(crate) fn undo_registration(&mut self, name: &Name, reg: Reg) {
        self.cx.dirty.mark_gone(name, reg);
        if self.is_broken(Fault::NothingIsRestored) {
            self.names.cut(name, u64::MAX);
        }
        let was_shown = self.mine(name) == Some(reg);
        let stays = !was_shown && self.is_broken(Fault::UndoneStaysBeneath);
        let (gone, beneath) = if stays { (None, None) } else { self.names.undo(name, reg) };
        self.forget_registrations(name, gone.as_slice());
        if was_shown {
            self.row_changed(name);
        }
        if !self.is_broken(Fault::UndoneHereOnly) {
            self.broadcast(Message::Unregistered {
                name: name.clone(),
                reg,
                beneath: beneath.clone(),
                ack: None,
            });
        }
        if let Some(restored) = beneath.filter(|restored| was_shown && restored.settled) {
            self.settled(name, &restored.supersedes);
        }
    }

    /// Withdraws a binding of mine on every link: in the same FIFO as snapshots and commits, so it kills stale copies. What stood
    /// beneath it goes with it.
    pub(crate) fn retire(&mut self, name: &Name, reg: Reg, ack: Option<Tx>) {
        self.remove_mine(name, reg);
        self.cx.dirty.mark_gone(name, reg);
        self.broadcast(Message::Unregistered { name: name.clone(), reg, beneath: None, ack });
    }

    pub(crate) fn remove_mine(&mut self, name: &Name, reg: Reg) {
        let mut gone = self.names.cut(name, u64::MAX);
        if let Some(shown) = self.names.remove(name, self.cx.config.node) {
            debug_assert_eq!(shown.reg, reg);
            gone.push(shown);
        }
        self.forget_registrations(name, &gone);
        self.row_changed(name);
    }

    /// Its owner withdrew a binding.
    pub(crate) fn on_unregistered(
        &mut self,
        from: NodeId,
        name: &Name,
        reg: Reg,
        beneath: Option<Binding>,
        ack: Option<Tx>,
    ) -> Result<(), Violation> {
        if reg.node != from || beneath.as_ref().is_some_and(|b| b.reg.node != from) {
            return Err(Violation("a node withdraws a binding of another"));
        }
        if self.names.of(name, from).is_some_and(|shown| shown.reg == reg) {
            match beneath {
                Some(binding) => self.install(name, binding),
                None => {
                    self.names.remove(name, from);
                    self.row_changed(name);
                }
            }
        }
        if let Some(tx) = ack {
            self.send(from, Message::Ack { tx });
        }
        self.cx.dirty.mark_name(name);
        Ok(())
    }

    /// A link went down: all that its owner published goes. Returns the names.
    pub(crate) fn drop_bindings_of(&mut self, owner: NodeId) -> Vec<Name> {
        if self.names.count(owner) == 0 {
            return Vec::new();
        }
        let names = self.names.names_of(owner);
        for name in &names {
            self.names.remove(name, owner);
            self.row_changed(name);
        }
        names
    }

    /// `name -> pid` of a process of mine, as asked by a caller here or forwarded by another node.
    pub(crate) fn register_here(
        &mut self,
        caller: Caller,
        name: Name,
        serial: u64,
        resolver: Resolver,
        replace: bool,
        deadline: Deadline,
    ) {
        let key = Key::Name(name.clone());
        if let Err(status) = self.may_register(&name, serial, &resolver, replace) {
            return self.conclude(caller, Outcome::of(status));
        }
        let tx = self.next_tx();
        let mut nodes = self.view.synced();
        nodes.insert(self.cx.config.node);
        let claim = Claim::on_name(serial, replace, resolver, deadline.no_wait);
        self.start_claim(tx, key, claim, caller, nodes, deadline);
    }

    fn may_register(
        &self,
        name: &Name,
        serial: u64,
        resolver: &Resolver,
        replace: bool,
    ) -> Result<(), Status> {
        let process = self.processes.get(serial).ok_or(Status::NoProcess)?;
        self.cx.config.check_name(name.as_bytes())?;
        // It may have to be called here: the home of a binding is where its clashes are decided.
        if !self.clashes.resolvers().has(resolver) {
            return Err(Status::NotFound);
        }
        if self.has_another_name(process, name) {
            return Err(Status::Exists);
        }
        if !replace && self.names.shows(name) {
            return Err(Status::Exists);
        }
        let held = self.names.count(self.cx.config.node) + self.claims.counts().naming;
        if self.mine(name).is_none() && held >= self.cx.config.limits.names {
            return Err(Status::Full);
        }
        Ok(())
    }

    fn has_another_name(&self, process: &processes::Process, name: &Name) -> bool {
        self.cx.config.one_name_per_pid && process.has_another_name(name)
    }

    /// Withdraws my binding of the name, and answers when every linked node has. `reg`: the one that the caller saw. What has
    /// come later stays; what is older is back, or may come back, because that one was withdrawn, and goes with it.
    pub(crate) fn unregister_here(&mut self, caller: Caller, name: &Name, reg: Reg, deadline: Deadline) {
        if reg.node != self.cx.config.node {
            return self.conclude(caller, Outcome::of(Status::Ok)); // no honest node asks that
        }
        let mine = self.mine(name).filter(|mine| mine.seq <= reg.seq);
        let gone = self.names.cut(name, reg.seq);
        self.forget_registrations(name, &gone);
        let tx = self.next_tx();
        self.start_publication(tx, Some(Key::Name(name.clone())), Publication::Unregister, caller, deadline);
        match mine {
            Some(mine) => self.retire(name, mine, Some(tx)),
            // It was withdrawn or replaced in place already, and not all may have heard of that.
            None => self.broadcast(Message::Unregistered {
                name: name.clone(),
                reg,
                beneath: None,
                ack: Some(tx),
            }),
        }
    }

    /// All have granted: the home publishes the binding to all that are linked. `shown`: for a re-register, what the voters show.
    pub(crate) fn publish_binding(
        &mut self,
        tx: Tx,
        name: &Name,
        serial: u64,
        resolver: Resolver,
        shown: Option<BTreeSet<Reg>>,
        to: &BTreeSet<NodeId>,
    ) -> Result<Reg, Outcome> {
        let me = self.cx.config.node;
        if self.processes.get(serial).is_some_and(|process| self.has_another_name(process, name)) {
            // It got the other name while this claim was under way.
            return Err(Outcome::of(Status::Exists));
        }
        // All that a voter showed is covered, whoever owns it: that voter's readers must not go on seeing it after this call is
        // answered. Its owner may have withdrawn it already, or be dead, or have no link to this node and so no vote: then a
        // node between tells it that it was replaced. It stays covered even if the voter's link breaks now: after a heal it
        // is replaced without a resolver.
        let mut supersedes = BTreeSet::new();
        if let Some(shown) = shown {
            let here = self.names.all(name).into_iter().map(|binding| binding.reg);
            supersedes.extend(shown.into_iter().chain(here).filter(|reg| reg.node != me));
        }
        if supersedes.len() > MAX_LIST {
            return Err(Outcome::failed(Status::Full, "too many registrations of this name are under way"));
        }
        let reg = self.names.next_reg(self.cx.now);
        let binding = Binding { reg, serial, resolver, supersedes, settled: false };
        self.processes.remember_name(serial, name);
        self.send_to_all(to, Message::Commit { tx, name: name.clone(), binding: binding.clone() });
        self.names.push(name, binding);
        self.row_changed(name);
        if self.is_broken(Fault::SettledAtCommit) {
            self.settle_binding(name, reg);
        }
        Ok(reg)
    }

    /// Every linked node has acknowledged: the registration covers for good.
    pub(crate) fn settle_binding(&mut self, name: &Name, reg: Reg) {
        let Some((supersedes, gone)) = self.names.settle(name, reg) else { return };
        for to in supersedes.iter().map(|r| r.node).collect::<BTreeSet<_>>() {
            self.tell_settled(name, reg, to, &supersedes);
        }
        self.tell_losers(name, &gone);
    }

    /// An owner of bindings that mine has replaced for good hears of it: where there is no link, from all who have one.
    fn tell_settled(&mut self, name: &Name, reg: Reg, to: NodeId, supersedes: &BTreeSet<Reg>) {
        let message = Message::Settled { name: name.clone(), reg, to, supersedes: supersedes.clone() };
        if self.view.is_linked(to) {
            self.send(to, message);
        } else {
            self.broadcast(message);
        }
    }

    /// The link to an owner ended, and it may not have heard what was on its way: a node between tells it.
    pub(crate) fn tell_settled_without_link(&mut self, name: &Name, owner: NodeId) {
        let mine = self.names.of(name, self.cx.config.node).filter(|mine| mine.settled);
        let supersedes = mine.map(|mine| (mine.reg, mine.supersedes.clone()));
        if let Some((reg, supersedes)) =
            supersedes.filter(|(_, supersedes)| supersedes.iter().any(|under| under.node == owner))
        {
            self.tell_settled(name, reg, owner, &supersedes);
        }
    }

    /// All nodes that `from` is linked to show `reg`: for the owner `to` of bindings under it; passed on, and again as long
    /// as it does not withdraw them (`clashes/relay`).
    pub(crate) fn on_settled(
        &mut self,
        from: NodeId,
        name: Name,
        reg: Reg,
        to: NodeId,
        supersedes: BTreeSet<Reg>,
    ) -> Result<(), Violation> {
        if to == self.cx.config.node {
            if reg.node == from || self.may_be_passed_on(from, reg.node) {
                self.settled(&name, &supersedes);
            }
        } else if reg.node == from {
            self.names.mark_settled(&name, reg);
            self.cx.dirty.mark_name(&name);
            self.send(to, Message::Settled { name, reg, to, supersedes });
        } else {
            self.refuse_relay(from, reg.node);
        }
        Ok(())
    }

    /// A binding that its home has published.
    pub(crate) fn on_commit(
        &mut self,
        from: NodeId,
        tx: Tx,
        name: Name,
        binding: Binding,
    ) -> Result<(), Violation> {
        if tx.node != from {
            return Err(Violation("a commit under the claim of another node"));
        }
        border::check_binding(from, &binding)?;
        self.install(&name, binding);
        self.send(from, Message::Ack { tx });
        self.free_claim(tx, &Key::Name(name));
        Ok(())
    }
}
