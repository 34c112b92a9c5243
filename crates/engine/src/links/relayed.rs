//! What a peer says in the name of a third node.

use crate::machine::Engine;
use crate::*;

impl Engine {
    /// Whether `from` may say something to this node in the name of `origin`. A node that is linked here says it itself, and so does this
    /// very node: such a word crossed the link that has just come up, where it is said anew, or is a lie. It is void, and no
    /// violation, since the first may befall an honest node.
    pub(crate) fn may_be_passed_on(&mut self, from: NodeId, origin: NodeId) -> bool {
        let may = origin != self.cx.config.node && !self.view.is_linked(origin);
        if !may {
            self.refuse_relay(from, origin);
        }
        may
    }

    pub(crate) fn refuse_relay(&mut self, from: NodeId, origin: NodeId) {
        self.cx.counters.relays_refused += 1;
        self.view.count_for(from, |counts| counts.relays_refused += 1);
        self.log_paced(Level::Info, Topic::Clash, |engine| {
            let (from, origin) = (engine.identity_of(from), engine.identity_of(origin));
            format!("node {from} has said something in the name of node {origin}, which is void")
        });
    }
}
