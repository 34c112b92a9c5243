//! The table of names: every binding that its owner publishes, and which of them readers see.
//!
//! A name has at most one binding per owner. Bindings of other owners that a re-register covers stay, hidden behind
//! it, until it is settled; so a re-register that is withdrawn uncovers what was there before. What this node's own
//! re-registers cover of its own stands in a stack (`stack`).

mod stack;

use crate::budget::{self, Tally};
use crate::*;
use foldhash::quality::FixedState;
use std::collections::hash_map::Entry as MapEntry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

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
pub(crate) struct Names {
    me: NodeId,
    entries: HashMap<Name, Entry, FixedState>,
    /// Names with more than one row: the only ones that can clash or be uncovered.
    crowded: BTreeSet<Name>,
    /// The names that each owner binds: for its limit, and for the end of its link. A cluster that falls into halves ends very
    /// many links one after the other, and the whole table cannot be looked through for each.
    owned: HashMap<NodeId, HashSet<Name, FixedState>, FixedState>,
    hasher: FixedState,
    seen: i64,
    /// The number of the last binding that this node made.
    last_seq: u64,
    /// Names whose visible binding may have changed during this input; some stand here more than once.
    pub(super) unpublished: Vec<Name>,
    /// This node's registrations beneath those that it shows, the oldest first.
    beneath: BTreeMap<Name, Vec<Binding>>,
    /// What the bindings of each owner take.
    tally: Tally,
}

impl Names {
    pub(crate) fn new(me: NodeId, seed: u64) -> Self {
        Self {
            me,
            entries: HashMap::with_hasher(FixedState::with_seed(seed)),
            crowded: BTreeSet::new(),
            owned: HashMap::with_hasher(FixedState::with_seed(seed)),
            hasher: FixedState::with_seed(seed),
            seen: 0,
            last_seq: 0,
            unpublished: Vec::new(),
            beneath: BTreeMap::new(),
            tally: Tally::default(),
        }
    }
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }
    pub(crate) fn visible(&self, name: &[u8]) -> Option<Pid> {
        self.entries.get(name)?.visible().map(Binding::pid)
    }
    pub(crate) fn all_visible(&self) -> impl Iterator<Item = (&Name, Pid)> {
        self.entries.iter().filter_map(|(name, entry)| Some((name, entry.visible()?.pid())))
    }
    pub(crate) fn all_bindings(&self) -> impl Iterator<Item = (&Name, &Binding)> {
        self.entries.iter().flat_map(|(name, entry)| entry.rows.iter().map(move |row| (name, &row.binding)))
    }
    /// The owner's binding of the name.
    pub(crate) fn of(&self, name: &Name, owner: NodeId) -> Option<&Binding> {
        let entry = self.entries.get(name)?;
        entry.find(owner).ok().map(|at| &entry.rows[at].binding)
    }
    /// Whether any binding is here, hidden ones too.
    pub(crate) fn shows(&self, name: &Name) -> bool {
        self.entries.get(name).is_some_and(|entry| !entry.rows.is_empty())
    }
    /// The bindings that are not covered, by owner.
    pub(crate) fn open(&self, name: &Name) -> Vec<&Binding> {
        self.entries.get(name).map(|e| e.open().map(|row| &row.binding).collect()).unwrap_or_default()
    }
    /// Bindings that others have replaced for good, each with the one that has.
    pub(crate) fn replaced(&self, name: &Name) -> Vec<(&Binding, Reg)> {
        let all = self.all(name);
        let settled: Vec<&Binding> = all.iter().copied().filter(|binding| binding.settled).collect();
        let by = |reg: Reg| settled.iter().copied().find(|binding| binding.covers(reg));
        all.iter().filter_map(|binding| Some((by(binding.reg)?, binding.reg))).collect()
    }
    pub(crate) fn all(&self, name: &Name) -> Vec<&Binding> {
        self.entries.get(name).map(|e| e.rows.iter().map(|row| &row.binding).collect()).unwrap_or_default()
    }
    /// A binding to tell a claimant of that cannot be voted for: the visible one, else any.
    pub(crate) fn shown(&self, name: &Name) -> Option<Reg> {
        let entry = self.entries.get(name)?;
        entry.visible().or_else(|| entry.rows.first().map(|row| &row.binding)).map(|b| b.reg)
    }
    pub(crate) fn crowded(&self) -> &BTreeSet<Name> {
        &self.crowded
    }
    pub(crate) fn count(&self, owner: NodeId) -> usize {
        self.owned.get(&owner).map_or(0, HashSet::len)
    }

    /// For a new binding of this node. The number is the time of the commit: a clash asks for the age of a binding, and no row has
    /// to keep it.
    pub(super) fn next_reg(&mut self, now: Time) -> Reg {
        self.last_seq = now.0.max(self.last_seq + 1);
        Reg { node: self.me, seq: self.last_seq }
    }

    /// The owner shows this binding from now on.
    pub(crate) fn put(&mut self, name: &Name, binding: Binding) {
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

    pub(crate) fn remove(&mut self, name: &Name, owner: NodeId) -> Option<Binding> {
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

    /// All nodes that the owner is linked to show the binding.
    pub(super) fn mark_settled(&mut self, name: &Name, reg: Reg) {
        if let Some(binding) = self.of_mut(name, reg.node).filter(|binding| binding.reg == reg) {
            binding.settled = true;
        }
    }

    fn of_mut(&mut self, name: &Name, owner: NodeId) -> Option<&mut Binding> {
        let entry = self.entries.get_mut(name)?;
        entry.find(owner).ok().map(|at| &mut entry.rows[at].binding)
    }

    /// The names that the owner binds, in the order of a table.
    pub(crate) fn names_of(&self, owner: NodeId) -> Vec<Name> {
        self.owned.get(&owner).into_iter().flatten().cloned().collect()
    }

    /// What readers saw and see now, if that differs. An empty entry ends here.
    pub(crate) fn publish(&mut self, name: &Name) -> Option<(Option<Pid>, Option<Pid>)> {
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
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sorted: BTreeMap<_, _> = self.entries.iter().collect();
        f.debug_map().entries(sorted.iter().map(|(name, entry)| (name, &entry.rows))).finish()
    }
}

impl Names {
    /// Names that anything is known of.
    #[cfg(debug_assertions)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The registrations of this node's processes, shown or beneath.
    pub(crate) fn registrations(&self) -> impl Iterator<Item = (u64, &Name)> {
        let shown = self.all_bindings().filter(|(_, binding)| binding.reg.node == self.me);
        let beneath =
            self.beneath.iter().flat_map(|(name, stack)| stack.iter().map(move |binding| (name, binding)));
        shown.chain(beneath).map(|(name, binding)| (binding.serial, name))
    }

    pub(crate) fn check_invariants(&self) -> Sound {
        same("names to be published", self.unpublished.len(), 0)?;
        let crowded =
            self.entries.iter().filter(|(_, entry)| entry.rows.len() > 1).map(|(name, _)| name.clone());
        same("names with several rows", &self.crowded, &crowded.collect())?;
        let empty = self.entries.iter().find(|(_, entry)| entry.rows.is_empty());
        ensure(empty.is_none(), || "a name without a row".to_owned())?;
        let mut owned = BTreeMap::<NodeId, BTreeSet<&Name>>::new();
        for (name, binding) in self.all_bindings() {
            owned.entry(binding.reg.node).or_default().insert(name);
        }
        let indexed = self.owned.iter().map(|(owner, names)| (*owner, names.iter().collect()));
        same("names by owner", &owned, &indexed.collect())?;
        let bytes =
            self.all_bindings().map(|(name, binding)| (binding.reg.node, budget::of_binding(name, binding)));
        self.tally.check("bytes of bindings", bytes)?;
        for (name, stack) in &self.beneath {
            let top = self.of(name, self.me).map(|binding| binding.reg);
            let regs: Vec<Reg> = stack.iter().map(|binding| binding.reg).chain(top).collect();
            let is_stack = !stack.is_empty() && top.is_some() && regs.is_sorted_by(|one, other| one < other);
            ensure(is_stack, || format!("the registrations of {name:?} are no stack: {regs:?}"))?;
        }
        Ok(())
    }
}
