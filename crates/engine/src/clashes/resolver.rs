//! Resolvers: which functions this node has, and how a clash is decided by the one that its name was registered with.
//!
//! Those that are built in decide here and now, at the lower home alone, so chance needs no agreement. A function of the
//! program is called elsewhere, and its answer comes back later, in any case.

use super::state::Decision;
use crate::machine::Engine;
use crate::*;
use rand::RngExt;
use std::collections::{BTreeMap, BTreeSet};

/// A call of a function that has not been answered. At most one for each binding of this node.
#[derive(Debug)]
struct Call {
    name: Name,
    pair: Pair,
    a: Pid,
    b: Pid,
    since: Time,
}

#[derive(Default, Debug)]
pub(crate) struct Resolvers {
    functions: BTreeSet<Name>,
    calls: BTreeMap<u64, Call>,
    last_call: u64,
}

impl Resolvers {
    pub(crate) fn has(&self, resolver: &Resolver) -> bool {
        if let Resolver::Function(name) = resolver { self.functions.contains(&**name) } else { true }
    }
    /// What was asked is not waited for any more.
    pub(super) fn forget_calls(&mut self) {
        self.calls.clear();
    }
    /// Calls that are not answered, and since when.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (&Name, Pid, Pid, Time)> {
        self.calls.values().map(|call| (&call.name, call.a, call.b, call.since))
    }
    pub(crate) fn residue(&self) -> usize {
        self.calls.len()
    }
}

impl Engine {
    pub(crate) fn add_resolver(&mut self, resolver: Name) {
        self.clashes.resolvers.functions.insert(resolver);
    }

    /// For how long a registration of mine stands: since its commit, by this node's clock (D21 of the design).
    pub(crate) fn age_ms(&self, reg: Reg) -> u64 {
        u64::try_from(self.cx.now.since(committed_at(reg)).as_millis()).unwrap_or(u64::MAX)
    }

    /// By the resolver of my binding, the lower one: "the function is the one stored on that side". `None`: a function was
    /// called.
    pub(crate) fn decide(
        &mut self,
        name: &Name,
        pair: Pair,
        high: Pid,
        high_age_ms: u64,
    ) -> Option<Decision> {
        let mine = self.names.of(name, pair.low.node)?;
        let low = mine.pid();
        let keeps = |is_low: bool, loser: Treatment| {
            if is_low {
                Decision { low: None, high: Some(loser) }
            } else {
                Decision { low: Some(loser), high: None }
            }
        };
        Some(match mine.resolver.clone() {
            // "It randomly chooses one of the pids for registration and kills the other one."
            Resolver::RandomExit => {
                let is_low = self.cx.rng.random();
                keeps(is_low, Treatment::Kill { by: Some(if is_low { low } else { high }) })
            }
            // "... and sends the message {global_name_conflict, Name} to the other pid": without the winner's.
            Resolver::RandomNotify => keeps(self.cx.rng.random(), Treatment::Notify { other: None }),
            Resolver::NotifyAll => neither(low, high),
            // A tie goes to the smaller binding.
            Resolver::KeepOldest => {
                let is_low = self.age_ms(pair.low) >= high_age_ms;
                keeps(is_low, Treatment::Notify { other: Some(if is_low { low } else { high }) })
            }
            Resolver::Function(resolver) => {
                self.clashes.resolvers.last_call += 1;
                let id = self.clashes.resolvers.last_call;
                let call = Call { name: name.clone(), pair, a: low, b: high, since: self.cx.now };
                self.cx.counters.resolver_calls += 1;
                self.clashes.resolvers.calls.insert(id, call);
                let clash = ClashCall {
                    id,
                    resolver: (*resolver).clone(),
                    name: name.clone(),
                    a: low,
                    b: high,
                    age_a_ms: self.age_ms(pair.low),
                    age_b_ms: high_age_ms,
                };
                self.event(Effect::CallResolver { clash });
                return None;
            }
        })
    }

    /// The first answer to a call counts.
    pub(crate) fn resolved(&mut self, id: u64, answer: ClashAnswer) {
        if let Some(Call { name, pair, a, b, .. }) = self.clashes.resolvers.calls.remove(&id) {
            if answer == ClashAnswer::Failed {
                self.cx.counters.resolver_failures += 1;
                self.log(Level::Warn, Topic::Resolver, |_| {
                    let name = log::of_name(&name);
                    format!("the resolver function for the name {name} failed: neither process keeps it")
                });
            }
            self.function_decided(&name, pair, decision(answer, a, b));
        }
    }
}

/// When a registration was committed, by the clock of its home.
fn committed_at(reg: Reg) -> Time {
    Time(reg.seq)
}

/// "It unregisters both pids, and sends the message {global_name_conflict, Name, OtherPid} to both processes."
fn neither(a: Pid, b: Pid) -> Decision {
    let told = |other| Some(Treatment::Notify { other: Some(other) });
    Decision { low: told(b), high: told(a) }
}

fn decision(answer: ClashAnswer, a: Pid, b: Pid) -> Decision {
    let ClashAnswer::Decided { winner, loser } = answer else {
        // "If the function crashes, or returns anything other than one of the pids, the name is unregistered."
        return neither(a, b);
    };
    let by = match winner {
        ClashWinner::Neither => None,
        ClashWinner::A => Some(a),
        ClashWinner::B => Some(b),
    };
    let treatment = |other| match loser {
        ClashLoser::Silent => Treatment::Silent,
        ClashLoser::Kill => Treatment::Kill { by },
        ClashLoser::Notify => Treatment::Notify { other: Some(other) },
    };
    Decision {
        low: (winner != ClashWinner::A).then(|| treatment(b)),
        high: (winner != ClashWinner::B).then(|| treatment(a)),
    }
}
