//! Addresses that lead to another node each time: that of a balancer, of a cluster's service, of somebody's redirection.
//!
//! What this node listens at, and what it tells others to dial, is certainly its own. Any other address that led back to
//! it is dialled again, ever more seldom. An address that led to a node which says to be dialled elsewhere is, if it is a
//! seed, dialled again while that one is linked, at a slow pace: two pairs that came in through one balancer have nothing
//! but its address in common.

use super::dial::myself;
use crate::fault::Fault;
use crate::machine::Engine;
use crate::*;
use rand::RngExt;
use std::collections::BTreeSet;

impl Engine {
    /// This very node answers at the address. Unless its options say so that is no more than how it was this time: behind
    /// a balancer each dial leads to another node. So it is dialled again, ever more seldom.
    pub(super) fn dial_led_back(&mut self, address: &str) {
        let forever = self.is_broken(Fault::LedBackIsForEver);
        let Some(target) = self.view.dials.targets.get_mut(address) else { return };
        target.dialling = false;
        target.set_led_back();
        if forever {
            target.set_myself();
        }
        target.set_met();
        if target.linked().is_none() {
            target.failures = target.failures.saturating_add(1);
        }
        let kept = target.is_kept();
        let names = self.names_leading_to(address);
        if kept {
            self.dial_later(address);
        } else {
            self.let_go(address);
        }
        let outcome = myself();
        self.end_connects_to(address, &outcome);
        for name in names {
            self.name_failed(&name, &outcome);
        }
    }

    /// The address led to a node that is linked.
    pub(super) fn note_leads_to(&mut self, address: &str, node: NodeId) {
        let own = self.view.links.get(&node).is_some_and(|link| link.address == address)
            || self.is_broken(Fault::AliasIsSettled);
        self.view.dials.targets.set_linked(address, Some(node));
        if let Some(target) = self.view.dials.targets.get_mut(address) {
            target.is_alias = !own && !target.is_name();
        }
    }

    /// Of the addresses behind which are linked peers that say to be dialled elsewhere, one by chance: behind the one
    /// address of a balancer there may be others too. Not all, for with many nodes of such addresses each would dial each.
    pub(super) fn dial_some_alias(&mut self, found: &BTreeSet<String>) {
        let is_alias = |at: &&String| self.view.dials.targets.get(at).is_some_and(|target| target.is_alias);
        let aliases: Vec<&String> = found.iter().filter(is_alias).collect();
        if !aliases.is_empty() {
            let chosen = self.cx.rng.random_range(0..aliases.len());
            self.dial_anyway(aliases[chosen]);
        }
    }
}
