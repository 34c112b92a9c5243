//! What a node and its engine say to each other: commands and effects, and the names, pids and statuses in them. Any engine can
//! speak this language.

#![forbid(unsafe_code)]

mod command;
mod effect;
mod id;
mod limits;
mod log;
mod members;
mod resolver;
mod status;
mod time;

pub use command::{Command, Outcome, Patience};
pub use effect::{ClashAnswer, ClashCall, ClashLoser, ClashWinner, Event, LockRow, Window};
pub use id::{ConnectionId, Name, NodeId, Payload, Pid, Ref};
pub use limits::{Config, DEFAULT_REQUESTER, Limits, MAX_NAME, MAX_RESOLVER, MAX_TEXT};
pub use log::{Level, Short, Target};
pub use members::{Entries, Members};
pub use resolver::Resolver;
pub use status::{Reason, Status};
pub use time::Time;
