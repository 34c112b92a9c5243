//! Names that stand for many addresses, and addresses that come and go: the headless service of a container platform, a
//! host with several interfaces, a range of ports.
//!
//! What a dial turns out to be a name is a target that is never connected to itself. Each of its addresses is a target of
//! its own, dialled once in every round; a round begins with a new look-up. Rounds follow each other with the back-off of
//! any dial until somebody is linked; then ever more slowly while some address is missing, and at a slow pace for ever
//! even when all are linked, for two halves of a cluster may share nothing but this name.

use super::dial::myself;
use super::target::DialTarget;
use super::told;
use crate::machine::Engine;
use crate::timers::Timer;
use crate::*;
use std::collections::BTreeSet;

/// So many addresses of one name are dialled; whoever is there tells of the others.
const MAX_FOUND: usize = 256;

impl Engine {
    /// What was dialled is a name, and stands for these addresses now.
    pub(crate) fn looked_up(&mut self, name: &str, addresses: Vec<String>) {
        let targets = &self.view.dials.targets;
        let Some(target) = targets.get(name) else { return };
        let room = match target.seed {
            true => MAX_FOUND,
            false if target.is_unproven() => self.room_for_targets().min(told::MOST_OF_TOLD_NAME),
            false => self.room_for_targets(),
        };
        let fits = |address: &String| !address.is_empty() && address.len() <= 255 && address != name;
        let addresses: BTreeSet<String> = addresses.into_iter().filter(fits).collect();
        // The first ones in a fixed order: which they are must not change with the order of an answer.
        let (known, new): (BTreeSet<_>, BTreeSet<_>) =
            addresses.into_iter().take(MAX_FOUND).partition(|address| targets.contains(address));
        let found: BTreeSet<String> = known.into_iter().chain(new.into_iter().take(room)).collect();
        if found.is_empty() {
            return self.dial_failed(name, Status::Unreachable, "the name stands for no address");
        }
        let Some(target) = self.view.dials.targets.get_mut(name) else { return };
        target.dialling = false;
        target.set_met();
        let before = self.view.dials.targets.set_found(name, found.clone());
        for gone in before.difference(&found) {
            self.release(gone, true);
        }
        let is_unproven = self.view.dials.targets.get(name).is_some_and(DialTarget::is_unproven);
        for address in &found {
            let is_new = !self.view.dials.targets.contains(address);
            let target = self.view.dials.targets.at(address);
            target.unproven |= is_new && is_unproven;
            target.set_listed();
            if self.cx.config.is_own(address) {
                target.set_myself();
            }
            self.dial(address);
        }
        self.dial_some_alias(&found);
        self.adopt_link(name);
        self.round_over(name);
        let synced = |target: &DialTarget| target.linked().is_some_and(|node| self.view.is_synced(node));
        if self.view.dials.targets.get(name).is_some_and(synced) {
            self.end_connects_to(name, &Outcome::of(Status::Ok));
        }
        self.name_failed(name, &Outcome::failed(Status::Unreachable, "no address of the name is dialled"));
    }

    /// What others tell this node to dial must not fill its memory, by way of a name neither. Seeds have room of their own.
    pub(super) fn room_for_targets(&self) -> usize {
        let of_seeds = self.cx.config.seeds.len().saturating_mul(MAX_FOUND + 1);
        let most = self.cx.config.limits.peers.saturating_mul(4).saturating_add(of_seeds);
        most.saturating_sub(self.view.dials.targets.len())
    }

    /// When the next round is.
    fn round_over(&mut self, name: &str) {
        let Some(target) = self.view.dials.targets.get(name) else { return };
        let (kept, at_rest) = (target.is_kept(), target.linked().is_some() && self.is_all_settled(target));
        if let Some(target) = self.view.dials.targets.get_mut(name) {
            target.failures = if at_rest { 0 } else { target.failures.saturating_add(1) };
        }
        if kept {
            self.dial_later(name);
        }
    }

    /// Nothing new is to be found at any address of the name.
    pub(super) fn is_all_settled(&self, name: &DialTarget) -> bool {
        let settled =
            |address: &String| self.view.dials.targets.get(address).is_some_and(DialTarget::is_settled);
        name.found().into_iter().flatten().all(settled)
    }

    /// The names among whose addresses this one is.
    pub(super) fn names_leading_to(&self, address: &str) -> Vec<String> {
        let targets = &self.view.dials.targets;
        if !targets.get(address).is_some_and(|target| target.is_listed()) {
            return Vec::new();
        }
        let leading = targets.names().filter(|(_, found)| found.contains(address));
        leading.map(|(name, _)| name.to_owned()).collect()
    }

    /// An address of these names led to a link.
    pub(super) fn names_linked(&mut self, names: &[String], node: NodeId) {
        let peer = self.view.links.get(&node).map(|link| link.name.clone()).unwrap_or_default();
        for name in names {
            let targets = &mut self.view.dials.targets;
            let Some(target) = targets.get(name) else { continue };
            let (seed, linked, unnamed) = (target.seed, target.linked(), target.name().is_empty());
            targets.set_linked(name, linked.or(Some(node)));
            if unnamed {
                targets.set_name(name, &peer);
            }
            if !seed {
                self.cx.timers.cancel(&Timer::Dial(name.clone()));
            }
        }
    }

    /// Looks for a link that an address of the name has led to. Says whether there is one.
    pub(super) fn adopt_link(&mut self, name: &str) -> bool {
        let targets = &self.view.dials.targets;
        let found = targets.get(name).and_then(DialTarget::found);
        let linked = found.into_iter().flatten().find_map(|address| targets.get(address)?.linked());
        let Some(node) = linked else { return false };
        self.names_linked(&[name.to_owned()], node);
        true
    }

    /// After an address of the name has failed: if none is left that may lead to a link, whoever waits for one learns it.
    pub(super) fn name_failed(&mut self, name: &str, outcome: &Outcome) {
        let targets = &self.view.dials.targets;
        let Some(target) = targets.get(name) else { return };
        let Some(found) = target.found().filter(|_| !target.dialling && target.linked().is_none()) else {
            return;
        };
        if found.iter().filter_map(|address| targets.get(address)).any(DialTarget::is_open) {
            return;
        }
        let is_myself = |address: &String| targets.get(address).is_some_and(DialTarget::leads_back);
        let outcome = if found.iter().all(is_myself) { myself() } else { outcome.clone() };
        let kept = target.is_kept();
        self.end_connects_to(name, &outcome);
        if !kept {
            self.forget(name);
        }
    }

    /// Not dialled any more for its own sake.
    pub(super) fn let_go(&mut self, address: &str) {
        match self.view.dials.targets.get(address) {
            Some(target) if target.is_listed() => {
                self.view.dials.targets.set_name(address, "");
                self.cx.timers.cancel(&Timer::Dial(address.to_owned()));
            }
            _ => self.forget(address),
        }
    }

    fn forget(&mut self, address: &str) {
        let Some(target) = self.view.dials.targets.remove(address) else { return };
        self.cx.timers.cancel(&Timer::Dial(address.to_owned()));
        self.view.dials.tellers.forget(address);
        for found in target.found().into_iter().flatten() {
            self.release(found, false);
        }
    }

    /// A name does not lead to this address any more: it is forgotten, or so it is when its link is over.
    fn release(&mut self, address: &str, vanished: bool) {
        let listed = !self.names_leading_to(address).is_empty();
        let Some(target) = self.view.dials.targets.get_mut(address) else { return };
        if listed {
            return target.set_listed();
        }
        target.set_unlisted(vanished);
        let idle = target.linked().is_none() && !target.dialling;
        if idle && (!target.is_kept() || target.is_parted()) {
            self.forget(address);
            let text = "the name does not stand for this address any more";
            self.end_connects_to(address, &Outcome::failed(Status::Unreachable, text));
        }
    }

    /// These are the seeds from now on. Links stay; who was a seed and is not linked is forgotten.
    pub(crate) fn set_seeds(&mut self, seeds: Vec<String>) {
        self.cx.config.seeds = seeds;
        let seeds: BTreeSet<&str> = self.cx.config.seeds.iter().map(String::as_str).collect();
        let rows = self.view.dials.targets.iter();
        let dropped = rows.filter(|(at, target)| target.seed && !seeds.contains(*at));
        let dropped: Vec<String> = dropped.map(|(address, _)| address.to_owned()).collect();
        for address in dropped {
            let awaited = self.view.dials.connects.values().any(|(_, at)| *at == address);
            let Some(target) = self.view.dials.targets.get_mut(&address) else { continue };
            target.seed = false;
            if target.is_name() && !awaited {
                self.forget(&address);
            } else if target.linked().is_none() {
                let dialling = target.dialling;
                self.view.dials.targets.set_name(&address, "");
                if !dialling && !awaited {
                    self.let_go(&address);
                }
            }
        }
        self.dial_seeds();
    }
}
