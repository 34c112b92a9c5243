//! What a room tells those that stand above it. Rooms call only what stands below them (docs/design.md, *Rooms*); what they have
//! to say upwards waits here, and is carried out in order before anything is reconciled.

use super::links::Departure;
use super::machine::Engine;
use super::*;

#[derive(Debug)]
pub(super) enum Notice {
    // ---- links
    /// The connection has become the link with this peer. `dialled`: the address, if this node dialled it.
    LinkUp { connection: ConnectionId, peer: Identity, dialled: Option<String> },
    /// The link is over. `goodbye`: this side gives it up, and tells the peer why. `refused`: the peer refuses this node,
    /// which these addresses have led to it.
    LinkOver {
        node: NodeId,
        reason: Reason,
        goodbye: Option<Goodbye>,
        departure: Departure,
        refused: Option<(Vec<String>, Refusal)>,
    },
    /// Nobody waits for the node any more.
    GivenUp { node: NodeId, why: &'static str },
    /// A node that was missing is dead for certain.
    Dead { node: NodeId, name: String },
    /// Whether it is dead will not be known.
    Unclear { node: NodeId },
    /// Another node of this name has shown that it has it.
    NameTaken,
    // ---- claims
    /// Somebody waits for this lock here.
    Wanted { resource: Name },
}

impl Engine {
    pub(super) fn carry_out_notices(&mut self) {
        while let Some(notice) = self.cx.notices.pop_front() {
            match notice {
                Notice::LinkUp { connection, peer, dialled } => self.link_up(connection, peer, dialled),
                Notice::LinkOver { node, reason, goodbye, departure, refused } => {
                    self.link_over(node, reason, goodbye, departure);
                    if let Some((addresses, why)) = refused {
                        addresses.iter().for_each(|address| self.dial_ended(address, why, node));
                    }
                }
                Notice::GivenUp { node, why } => self.claims_without(node, why),
                Notice::Dead { node, name } => {
                    self.holds_without(node, &name, &Departure::Dead);
                    self.claims_without(node, "a node of the list has died");
                    self.rivals_left(node, &Default::default()); // this incarnation never comes back
                    self.mark_all_names();
                }
                Notice::Unclear { node } => self.judge_holds_on(node),
                Notice::NameTaken => self.close(Reason::NAME_TAKEN),
                Notice::Wanted { resource } => self.tell_first_waiter(&resource),
            }
        }
    }
}
