//! Claims: exclusive use of a key on a set of nodes, agreed before anything is published.

mod completion;
mod coordinator;
mod late;
mod operation;
mod queue;
mod rows;
mod unseen;
mod view_changes;
mod voter;

pub(crate) use operation::{Claim, Claims, Operation, Publication};
