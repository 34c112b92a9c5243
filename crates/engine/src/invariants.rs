//! What is true of the state between two inputs, whatever comes in: counts equal rows, every index equals what it indexes, and what
//! waits has a timer. Each room says so of its own; here they are asked, and what spans two of them is compared.

use super::machine::Engine;
use super::timers::Timer;
use super::*;
use std::collections::BTreeSet;

/// What a room says of itself: `Err` names what is not so.
pub(crate) type Sound = Result<(), String>;

pub(crate) fn ensure(is_so: bool, what: impl FnOnce() -> String) -> Sound {
    if is_so { Ok(()) } else { Err(what()) }
}

/// Two that are to be the same.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(what: &str, one: T, other: T) -> Sound {
    ensure(one == other, || format!("{what}: {one:?}, and not {other:?}"))
}

impl Engine {
    /// After any input. Goes through everything, so it is for tests: the simulator asks after every step of some runs, builds with debug
    /// assertions after some inputs, as long as the state is small.
    pub fn check_invariants(&self) -> Result<(), String> {
        ensure(self.cx.dirty.is_empty(), || "something is marked and not reconciled".to_owned())?;
        ensure(self.cx.notices.is_empty(), || format!("not carried out: {:?}", self.cx.notices))?;
        self.view.check_invariants()?;
        self.claims.check_invariants()?;
        self.names.check_invariants()?;
        self.holds.check_invariants()?;
        self.groups.check_invariants()?;
        self.processes.check_invariants()?;
        self.clashes.check_invariants()?;
        if self.cx.is_closed() {
            return Ok(());
        }
        for (node, _) in self.view.nodes() {
            for timer in [Timer::Heartbeat(node), Timer::Silence(node)] {
                ensure(self.cx.timers.is_set(&timer), || format!("a link without {timer:?}"))?;
            }
        }
        for tx in self.claims.out_of_sight() {
            ensure(self.cx.timers.is_set(&Timer::Grace(tx)), || {
                format!("{tx:?} waits for an unseen owner for ever")
            })?;
        }
        // A process has the names that it has registrations of, shown or beneath.
        let held: BTreeSet<(u64, &Name)> = self.processes.held_names().collect();
        same("names of processes", &held, &self.names.registrations().collect())?;
        let of_processes: BTreeSet<(Name, u64)> =
            self.processes.memberships().map(|(group, serial)| (group.clone(), serial)).collect();
        let of_rows = self.groups.owned_by(self.cx.config.node);
        same("groups of processes", of_processes, of_rows.into_iter().collect())
    }

    /// How much there is to go through.
    #[cfg(debug_assertions)]
    fn size(&self) -> usize {
        let claims = self.claims.counts();
        self.claims.operations().len()
            + claims.requests
            + self.names.len()
            + self.holds.len()
            + self.groups.memberships()
            + self.groups.dots()
            + self.processes.len()
    }

    /// Now and then, while the state is small: an input costs about as much as without, and one that meets large tables no more.
    #[cfg(debug_assertions)]
    pub(super) fn assert_invariants(&mut self) {
        const SELDOM: usize = 16;
        const SMALL: usize = 64;
        if let Some(left) = self.cx.until_check.checked_sub(1) {
            self.cx.until_check = left;
            return;
        }
        let size = self.size();
        if size <= SMALL
            && let Err(what) = self.check_invariants()
        {
            panic!("{what}\n{}", self.describe());
        }
        self.cx.until_check = SELDOM + 2 * size.min(SMALL);
    }
}
