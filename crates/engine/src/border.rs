//! What messages are checked for at the border, before anything is done. Behind it a name is right, and no handler looks again.

use super::links::Misconduct;
use super::*;

/// Why a name stands in a message.
#[derive(Clone, Copy)]
enum Role {
    /// The sender has this node keep it for its own sake.
    Kept,
    /// The requester of a lock. What a process is told apart by where it gave no name is none.
    Requester,
    /// It may be what a third node has made, and the sender is innocent of its length.
    PassedOn,
}

/// Calls `see` for every name that the message has this node keep.
fn each_kept_name(message: &Message, mut see: impl FnMut(&Name, Role)) {
    let see_hold = |hold: &Hold, see: &mut dyn FnMut(&Name, Role)| {
        see(&hold.resource, Role::Kept);
        see(&hold.requester, Role::Requester);
    };
    match message {
        Message::Hello { facts, .. } => {
            for fact in facts {
                match fact {
                    Fact::Binding(name, _) => see(name, Role::Kept),
                    Fact::Hold(hold) => see_hold(hold, &mut see),
                    Fact::Membership(membership) => see(&membership.group, Role::Kept),
                    Fact::Beneath(_) | Fact::Peers(_) => {}
                }
            }
        }
        Message::Acquire { key: Key::Name(name) | Key::Lock(name), want, .. } => {
            see(name, Role::Kept);
            if let Want::Lock { requester, .. } = want {
                see(requester, Role::Requester);
            }
        }
        Message::Commit { name, .. } => see(name, Role::Kept),
        Message::SharePublished { hold, .. } => see_hold(hold, &mut see),
        Message::Membership { membership, .. } => see(&membership.group, Role::Kept),
        Message::Create { group, .. } => see(group, Role::Kept),
        Message::Retract { group, .. } | Message::Delete { group, .. } => see(group, Role::PassedOn),
        Message::GroupState { parts, .. } => {
            for part in parts {
                if let Existence::Live { group, .. } = part {
                    see(group, Role::PassedOn);
                }
            }
        }
        _ => {}
    }
}

/// An honest peer says nothing of an empty name, and of its own has none longer than `limit` bytes (`limits.name`).
pub(super) fn check_names(message: &Message, limit: usize) -> Result<(), Misconduct> {
    let (mut is_any_empty, mut longest) = (false, 0);
    each_kept_name(message, |name, role| {
        let bytes = name.as_bytes().len();
        is_any_empty |= bytes == 0;
        match role {
            Role::Kept => longest = longest.max(bytes),
            Role::Requester if bytes != DEFAULT_REQUESTER => longest = longest.max(bytes),
            Role::Requester | Role::PassedOn => {}
        }
    });
    if is_any_empty {
        Err(Misconduct::Violation("an empty name"))
    } else if longest > limit {
        Err(Misconduct::LongName { bytes: longest, limit })
    } else {
        Ok(())
    }
}

/// A binding is published by its owner's home.
pub(crate) fn check_binding(from: NodeId, binding: &Binding) -> Result<(), Violation> {
    if binding.reg.node != from {
        return Err(Violation("a node publishes a binding of another"));
    }
    if binding.serial == 0 {
        return Err(Violation("an empty pid"));
    }
    if matches!(&binding.resolver, Resolver::Function(it) if it.as_bytes().len() > MAX_RESOLVER) {
        return Err(Violation("a resolver with a name longer than any"));
    }
    Ok(())
}
