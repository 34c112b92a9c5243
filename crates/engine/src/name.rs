//! The table of names: every binding that its owner publishes, and which of them readers see.
//!
//! A name has at most one binding per owner. Bindings of other owners that a re-register covers stay, hidden behind
//! it, until it is settled; so a re-register that is withdrawn uncovers what was there before.

use super::budget::{self, Tally};
use super::fault::Fault;
use super::forward::Caller;
use super::machine::Engine;
use super::operation::{Claim, Naming, Operation, OperationKind, Phase, Publication};
use super::*;
use foldhash::quality::FixedState;
use std::collections::hash_map::Entry as MapEntry;
use std::collections::{BTreeSet, HashMap, HashSet};

/// A binding, and its place in the order in which this node first saw them.
#[derive(Clone, Debug)]
struct Row {
    binding: Binding,
    seen: i64,
}

/// What is known of one name. Hardly ever more than one row, so a vector; ordered by owner.
#[derive(Default, Debug)]
struct Entry {
    rows: Vec<Row>,
    /// What readers were told last.
    published: Option<Pid>,
}

impl Entry {
    fn is_covered(&self, reg: &Reg) -> bool {
        self.rows.len() > 1 && self.rows.iter().any(|row| row.binding.covers(*reg))
    }
    fn open(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| !self.is_covered(&row.binding.reg))
    }
    /// The binding that covers the others, else the one seen first.
    fn visible(&self) -> Option<&Binding> {
        self.open().min_by_key(|row| row.seen).map(|row| &row.binding)
    }
    fn find(&self, owner: NodeId) -> Result<usize, usize> {
        self.rows.binary_search_by_key(&owner, |row| row.binding.reg.node)
    }
}

/// All names. The hasher is seeded: names come from peers, and two runs with one seed must be alike.
pub(super) struct Names {
    entries: HashMap<Name, Entry, FixedState>,
    /// Names with more than one row: the only ones that can clash or be uncovered.
    crowded: BTreeSet<Name>,
    /// The names that each owner binds: for its limit, and for the end of its link. A cluster that falls into halves ends very
    /// many links one after the other, and the whole table cannot be looked through for each.
    owned: HashMap<NodeId, HashSet<Name, FixedState>, FixedState>,
    hasher: FixedState,
    seen: i64,
    /// What the bindings of each owner take.
    pub(super) tally: Tally,
}

impl Names {
    pub(super) fn new(seed: u64) -> Names {
        Names {
            entries: HashMap::with_hasher(FixedState::with_seed(seed)),
            crowded: BTreeSet::new(),
            owned: HashMap::with_hasher(FixedState::with_seed(seed)),
            hasher: FixedState::with_seed(seed),
            seen: 0,
            tally: Tally::default(),
        }
    }
    pub(super) fn visible(&self, name: &[u8]) -> Option<Pid> {
        self.entries.get(name)?.visible().map(Binding::pid)
    }
    pub(super) fn all_visible(&self) -> impl Iterator<Item = (&Name, Pid)> {
        self.entries.iter().filter_map(|(name, entry)| Some((name, entry.visible()?.pid())))
    }
    pub(super) fn all_bindings(&self) -> impl Iterator<Item = (&Name, &Binding)> {
        self.entries.iter().flat_map(|(name, entry)| entry.rows.iter().map(move |row| (name, &row.binding)))
    }
    /// The owner's binding of the name.
    pub(super) fn of(&self, name: &Name, owner: NodeId) -> Option<&Binding> {
        let entry = self.entries.get(name)?;
        entry.find(owner).ok().map(|at| &entry.rows[at].binding)
    }
    /// Whether any binding is here, hidden ones too.
    pub(super) fn shows(&self, name: &Name) -> bool {
        self.entries.get(name).is_some_and(|entry| !entry.rows.is_empty())
    }
    /// The bindings that are not covered, by owner.
    pub(super) fn open(&self, name: &Name) -> Vec<&Binding> {
        self.entries.get(name).map(|e| e.open().map(|row| &row.binding).collect()).unwrap_or_default()
    }
    /// Bindings that others have replaced for good, each with the one that has.
    pub(super) fn replaced(&self, name: &Name) -> Vec<(&Binding, Reg)> {
        let all = self.all(name);
        let settled: Vec<&Binding> = all.iter().copied().filter(|binding| binding.settled).collect();
        let by = |reg: Reg| settled.iter().copied().find(|binding| binding.covers(reg));
        all.iter().filter_map(|binding| Some((by(binding.reg)?, binding.reg))).collect()
    }
    pub(super) fn all(&self, name: &Name) -> Vec<&Binding> {
        self.entries.get(name).map(|e| e.rows.iter().map(|row| &row.binding).collect()).unwrap_or_default()
    }
    /// A binding to tell a claimant of that cannot be voted for: the visible one, else any.
    pub(super) fn shown(&self, name: &Name) -> Option<Reg> {
        let entry = self.entries.get(name)?;
        entry.visible().or_else(|| entry.rows.first().map(|row| &row.binding)).map(|b| b.reg)
    }
    pub(super) fn crowded(&self) -> &BTreeSet<Name> {
        &self.crowded
    }
    pub(super) fn count(&self, owner: NodeId) -> usize {
        self.owned.get(&owner).map_or(0, HashSet::len)
    }

    fn put(&mut self, name: &Name, binding: Binding) {
        let owner = binding.reg.node;
        self.seen += 1;
        self.tally.add(owner, budget::of_binding(name, &binding));
        let entry = self.entries.entry(name.clone()).or_default();
        // What readers see is replaced by the newer one, and never by what that uncovers when it goes: one that was covered
        // may be withdrawn already, with the word of that still on its way.
        let replaces = |shown: &Binding| shown.reg.node == owner || binding.covers(shown.reg);
        let seen = match entry.visible() {
            Some(shown) if replaces(shown) => {
                entry.rows.iter().map(|row| row.seen).min().unwrap_or(self.seen) - 1
            }
            _ => self.seen,
        };
        match entry.find(owner) {
            Ok(at) => {
                let row = &mut entry.rows[at];
                self.tally.subtract(owner, budget::of_binding(name, &row.binding));
                // The same binding again (a snapshot after a flap that only one side noticed) keeps its age here.
                if row.binding.reg != binding.reg {
                    row.seen = seen;
                }
                row.binding = binding;
            }
            Err(at) => {
                // Room for one more and no others: nearly all names have one row for ever.
                entry.rows.reserve_exact(1);
                entry.rows.insert(at, Row { binding, seen });
                let owned = || HashSet::with_hasher(self.hasher.clone());
                self.owned.entry(owner).or_insert_with(owned).insert(name.clone());
                if entry.rows.len() > 1 {
                    self.crowded.insert(name.clone());
                }
            }
        }
    }

    fn remove(&mut self, name: &Name, owner: NodeId) -> Option<Binding> {
        let entry = self.entries.get_mut(name)?;
        let at = entry.find(owner).ok()?;
        let row = entry.rows.remove(at);
        self.tally.subtract(owner, budget::of_binding(name, &row.binding));
        if entry.rows.len() < 2 {
            self.crowded.remove(name);
        }
        if let Some(owned) = self.owned.get_mut(&owner) {
            owned.remove(name);
            if owned.is_empty() {
                self.owned.remove(&owner);
            }
        }
        Some(row.binding)
    }

    fn of_mut(&mut self, name: &Name, owner: NodeId) -> Option<&mut Binding> {
        let entry = self.entries.get_mut(name)?;
        entry.find(owner).ok().map(|at| &mut entry.rows[at].binding)
    }

    /// The names that the owner binds, in the order of a table.
    fn names_of(&self, owner: NodeId) -> Vec<Name> {
        self.owned.get(&owner).into_iter().flatten().cloned().collect()
    }

    /// What readers saw and see now, if that differs. An empty entry ends here.
    pub(super) fn publish(&mut self, name: &Name) -> Option<(Option<Pid>, Option<Pid>)> {
        let MapEntry::Occupied(mut slot) = self.entries.entry(name.clone()) else { return None };
        let entry = slot.get_mut();
        let new = entry.visible().map(Binding::pid);
        let old = std::mem::replace(&mut entry.published, new);
        if entry.rows.is_empty() {
            slot.remove();
        }
        (old != new).then_some((old, new))
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let sorted: std::collections::BTreeMap<_, _> = self.entries.iter().collect();
        f.debug_map().entries(sorted.iter().map(|(name, entry)| (name, &entry.rows))).finish()
    }
}

impl Engine {
    pub(super) fn mine(&self, name: &Name) -> Option<Reg> {
        self.names.of(name, self.config.node).map(|b| b.reg)
    }

    /// A binding becomes known, or known anew.
    pub(super) fn install(&mut self, name: &Name, binding: Binding) {
        let (over, settled) = (binding.over.clone(), binding.settled);
        self.names.put(name, binding);
        self.touched(name);
        if settled {
            self.settled(name, &over);
        }
        self.reconcile_name(name);
    }

    /// All nodes show a binding that covers these: rows of mine among them go, also one that is only kept for a
    /// restore (its re-register then restores nothing). Only now: until here the withdrawal would uncover them.
    pub(super) fn settled(&mut self, name: &Name, over: &BTreeSet<Reg>) {
        if over.is_empty() {
            return;
        }
        let ignores_kept = self.is_broken(Fault::SettledIgnoresKept);
        for tx in self.claims.of(&Key::Name(name.clone())) {
            let Some(op) = self.claims.operations.get_mut(&tx).filter(|_| !ignores_kept) else { continue };
            let claimant = op.claim.serial;
            let Some(naming) = op.naming_mut() else { continue };
            if let Some(kept) = naming.restore.take_if(|kept| covers(over, kept.reg))
                && kept.serial != claimant
            {
                let bound = self.names.of(name, self.config.node);
                self.processes.forget_name_unless_bound(kept.serial, name, bound);
                self.notify_lost_name(kept.serial, name, self.names.visible(name.as_bytes()));
            }
        }
        if let Some(mine) = self.mine(name).filter(|mine| covers(over, *mine)) {
            self.tell_replaced(name, mine);
            self.retire(name, mine, None);
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

    /// Removes a binding if it is still the owner's; `restore` comes back in its place.
    pub(super) fn unbind(&mut self, name: &Name, reg: Reg, restore: Option<Binding>) {
        if self.names.of(name, reg.node).is_none_or(|b| b.reg != reg) {
            return;
        }
        self.touched(name);
        let gone = match restore {
            None => self.names.remove(name, reg.node),
            Some(binding) => {
                let (over, settled) = (binding.over.clone(), binding.settled);
                let gone = self.names.of(name, reg.node).cloned();
                if reg.node == self.config.node {
                    self.processes.remember_name(binding.serial, name);
                }
                self.names.put(name, binding);
                if settled {
                    self.settled(name, &over);
                }
                gone
            }
        };
        let now = self.names.of(name, reg.node).map(|b| b.serial);
        if let Some(gone) = gone.filter(|gone| reg.node == self.config.node && now != Some(gone.serial)) {
            self.processes.forget_name(gone.serial, name);
        }
    }

    /// Withdraws a binding of mine on every link: in the same FIFO as snapshots and commits, so it kills stale copies.
    pub(super) fn retire(&mut self, name: &Name, reg: Reg, ack: Option<Tx>) {
        if let Some(gone) = self.names.remove(name, self.config.node) {
            debug_assert_eq!(gone.reg, reg);
            self.processes.forget_name(gone.serial, name);
        }
        self.touched(name);
        self.forget_verdicts(name, reg);
        self.broadcast(Message::Unregistered { name: name.clone(), reg, restore: None, ack });
        self.reconcile_name(name);
    }

    /// Its owner withdrew a binding.
    pub(super) fn on_unregistered(
        &mut self,
        from: NodeId,
        name: Name,
        reg: Reg,
        restore: Option<Binding>,
        ack: Option<Tx>,
    ) -> Result<(), &'static str> {
        if reg.node != from || restore.as_ref().is_some_and(|b| b.reg.node != from) {
            return Err("a node withdraws a binding of another");
        }
        self.unbind(&name, reg, restore);
        if let Some(tx) = ack {
            self.send(from, Message::Ack { tx });
        }
        self.rival_gone(&name, reg);
        self.reconcile_name(&name);
        Ok(())
    }

    /// A link went down: all that its owner published goes. Returns the names.
    pub(super) fn drop_bindings_of(&mut self, owner: NodeId) -> Vec<Name> {
        if self.names.count(owner) == 0 {
            return Vec::new();
        }
        let names = self.names.names_of(owner);
        for name in &names {
            self.names.remove(name, owner);
            self.touched(name);
        }
        names
    }

    /// `name -> pid` of a process of mine, as asked by a caller here or forwarded by another node.
    pub(super) fn register_here(
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
        nodes.insert(self.config.node);
        let kind = OperationKind::Name(Naming::new(replace, resolver));
        let claim = Claim { serial, kind, no_wait: deadline.no_wait };
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
        self.config.check_name(name.as_bytes())?;
        // It may have to be called here: the home of a binding is where its clashes are decided.
        if !self.resolvers.has(resolver) {
            return Err(Status::NotFound);
        }
        if self.has_another_name(process, name) {
            return Err(Status::Exists);
        }
        if !replace && self.names.shows(name) {
            return Err(Status::Exists);
        }
        let held = self.names.count(self.config.node) + self.claims.naming;
        if self.mine(name).is_none() && held >= self.config.limits.names {
            return Err(Status::Full);
        }
        Ok(())
    }

    fn has_another_name(&self, process: &process::Process, name: &Name) -> bool {
        self.config.one_name_per_pid && process.names.iter().any(|held| held != name)
    }

    /// Withdraws my binding of the name, and answers when every linked node has. `reg`: the one that the caller saw. What has
    /// come later stays; what is older is back, or may come back, because that one was withdrawn, and goes with it.
    pub(super) fn unregister_here(&mut self, caller: Caller, name: &Name, reg: Reg, deadline: Deadline) {
        if reg.node != self.config.node {
            return self.conclude(caller, Outcome::of(Status::Ok)); // no honest node asks that
        }
        let mine = self.mine(name).filter(|mine| mine.seq <= reg.seq);
        self.forget_kept(name, reg);
        let tx = self.next_tx();
        self.start_publication(tx, Some(Key::Name(name.clone())), Publication::Unregister, caller, deadline);
        match mine {
            Some(mine) => self.retire(name, mine, Some(tx)),
            // It was withdrawn or replaced in place already, and not all may have heard of that.
            None => self.broadcast(Message::Unregistered {
                name: name.clone(),
                reg,
                restore: None,
                ack: Some(tx),
            }),
        }
        self.check(tx);
    }

    /// Re-registers under way that keep this binding of mine, or older ones, do not restore them.
    fn forget_kept(&mut self, name: &Name, reg: Reg) {
        for tx in self.claims.of(&Key::Name(name.clone())) {
            let naming = self.claims.operations.get_mut(&tx).and_then(Operation::naming_mut);
            let Some(naming) = naming else { continue };
            if let Some(kept) = naming.restore.take_if(|kept| kept.reg.seq <= reg.seq) {
                let bound = self.names.of(name, reg.node);
                self.processes.forget_name_unless_bound(kept.serial, name, bound);
            }
        }
    }

    /// All granted: the home publishes the binding.
    pub(super) fn publish_binding(&mut self, tx: Tx, name: &Name) {
        let me = self.config.node;
        let claimed = self.claims.operations.get(&tx).and_then(|op| self.processes.get(op.claim.serial));
        if claimed.is_some_and(|process| self.has_another_name(process, name)) {
            // It got the other name while this claim was under way.
            return self.fail(tx, Outcome::of(Status::Exists));
        }
        let acks = self.view.linked();
        let old = self.names.of(name, me).cloned();
        let reg = self.names_next_reg();
        let unvoted = self.is_broken(Fault::UnvotedIsNotCovered);
        let Some(op) = self.claims.operations.get_mut(&tx) else { return };
        let (serial, voters) = (op.claim.serial, op.nodes.clone());
        let Some(naming) = op.naming_mut() else { return };
        // All that a voter showed is covered, whoever owns it: that voter's readers must not go on seeing it after this call is
        // answered. Its owner may have withdrawn it already, or be dead, or have no link to this node and so no vote: then a
        // node between tells it that it was replaced. It stays covered even if the voter's link breaks now: after a heal it
        // is replaced without a resolver.
        let over: BTreeSet<Reg> = if naming.replace {
            let shown = self.names.all(name).into_iter().map(|b| b.reg);
            let elsewhere = naming.shown.iter().map(|(_, reg)| *reg);
            let elsewhere = elsewhere.filter(|reg| !unvoted || voters.contains(&reg.node));
            elsewhere.chain(shown).filter(|reg| reg.node != me).collect()
        } else {
            BTreeSet::new()
        };
        if over.len() > MAX_LIST {
            let text = "too many registrations of this name are under way";
            return self.fail(tx, Outcome::failed(Status::Full, text));
        }
        let resolver = naming.resolver.clone();
        let binding = Binding { reg, serial, resolver, over: over.clone(), settled: false };
        naming.reg = Some(reg);
        naming.over = over;
        naming.restore = old;
        op.phase = Phase::Committing(acks.clone());
        self.processes.remember_name(serial, name);
        self.expect_answers(tx, &acks);
        self.send_to_all(&acks, Message::Commit { tx, name: name.clone(), binding: binding.clone() });
        self.install(name, binding);
        if self.is_broken(Fault::SettledAtCommit)
            && let Some(naming) = self.claims.operations.get(&tx).and_then(Operation::naming)
        {
            self.settle_binding(name, reg, naming.over.clone());
        }
        self.free_claim(tx, &Key::Name(name.clone()));
        self.check(tx);
    }

    /// The number is the time of the commit: a clash asks for the age of a binding, and no row has to keep it.
    fn names_next_reg(&mut self) -> Reg {
        self.claims.last_seq = self.now.0.max(self.claims.last_seq + 1);
        Reg { node: self.config.node, seq: self.claims.last_seq }
    }

    /// Every linked node has acknowledged: the binding covers for good.
    pub(super) fn settle_binding(&mut self, name: &Name, reg: Reg, over: BTreeSet<Reg>) {
        let me = self.config.node;
        if let Some(binding) = self.names.of_mut(name, me).filter(|b| b.reg == reg) {
            binding.settled = true;
        }
        for tx in self.claims.of(&Key::Name(name.clone())) {
            let naming = self.claims.operations.get_mut(&tx).and_then(Operation::naming_mut);
            if let Some(kept) =
                naming.and_then(|naming| naming.restore.as_mut()).filter(|kept| kept.reg == reg)
            {
                kept.settled = true;
            }
        }
        for to in over.iter().map(|r| r.node).collect::<BTreeSet<_>>() {
            self.tell_settled(name, reg, to, &over);
        }
    }

    /// An owner of bindings that mine has replaced for good hears of it: where there is no link, from all who have one.
    fn tell_settled(&mut self, name: &Name, reg: Reg, to: NodeId, over: &BTreeSet<Reg>) {
        let message = Message::Settled { name: name.clone(), reg, to, over: over.clone() };
        if self.view.is_linked(to) {
            self.send(to, message);
        } else {
            self.broadcast(message);
        }
    }

    /// The link to an owner ended, and it may not have heard what was on its way: a node between tells it.
    pub(super) fn tell_settled_without_link(&mut self, name: &Name, owner: NodeId) {
        let mine = self.names.of(name, self.config.node).filter(|mine| mine.settled);
        let over = mine.map(|mine| (mine.reg, mine.over.clone()));
        if let Some((reg, over)) = over.filter(|(_, over)| over.iter().any(|under| under.node == owner)) {
            self.tell_settled(name, reg, owner, &over);
        }
    }

    /// All nodes that `from` is linked to show `reg`: for the owner `to` of bindings under it; passed on, and again as long
    /// as it does not withdraw them (`hearsay`).
    pub(super) fn on_settled(
        &mut self,
        from: NodeId,
        name: Name,
        reg: Reg,
        to: NodeId,
        over: BTreeSet<Reg>,
    ) -> Result<(), &'static str> {
        if to == self.config.node {
            if reg.node == from || self.may_be_passed_on(from, reg.node) {
                self.settled(&name, &over);
            }
        } else if reg.node == from {
            if let Some(binding) = self.names.of_mut(&name, from).filter(|b| b.reg == reg) {
                binding.settled = true;
            }
            self.send(to, Message::Settled { name: name.clone(), reg, to, over });
            self.reconcile_name(&name);
        } else {
            self.refuse_relay(from, reg.node);
        }
        Ok(())
    }

    /// A binding that its home has published.
    pub(super) fn on_commit(
        &mut self,
        from: NodeId,
        tx: Tx,
        name: Name,
        binding: Binding,
    ) -> Result<(), &'static str> {
        if tx.node != from {
            return Err("a commit under the claim of another node");
        }
        self.check_binding(from, &name, &binding)?;
        self.install(&name, binding);
        self.send(from, Message::Ack { tx });
        self.free_claim(tx, &Key::Name(name));
        Ok(())
    }

    pub(super) fn check_binding(
        &self,
        from: NodeId,
        name: &Name,
        binding: &Binding,
    ) -> Result<(), &'static str> {
        if binding.reg.node != from {
            return Err("a node publishes a binding of another");
        }
        if name.as_bytes().is_empty() || binding.serial == 0 {
            return Err("an empty name or pid");
        }
        if matches!(&binding.resolver, Resolver::Function(it) if it.as_bytes().len() > MAX_RESOLVER) {
            return Err("a resolver with a name longer than any");
        }
        Ok(())
    }
}
