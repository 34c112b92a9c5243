//! Claims: exclusive use of a key on a set of nodes, agreed before anything is published.

mod coordinator;
mod operation;
mod queue;
mod voter;

pub(crate) use operation::{Claim, Claims, Locking, Naming, Operation, OperationKind, Phase, Publication};
pub(crate) use queue::Request;
