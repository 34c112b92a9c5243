//! What a node and its engine say to each other: commands and effects, and the names, pids and statuses in them. Any engine can
//! speak this language.

#![forbid(unsafe_code)]

mod command;
mod effect;
mod id;
mod inspection;
mod limits;
mod log;
mod machine;
mod members;
mod numbered;
mod observation;
mod resolver;
mod status;
mod time;

pub use command::{Action, Call, Command, Deadline, Outcome};
pub use effect::{ClashAnswer, ClashCall, ClashLoser, ClashWinner, Effect, Event, LockRow, Output, Window};
pub use id::{ConnectionId, Name, NodeId, Payload, Pid, Ref};
pub use inspection::*;
pub use limits::{Config, DEFAULT_REQUESTER, Limits, MAX_NAME, MAX_RESOLVER, MAX_TEXT};
pub use log::{Level, Short, Topic};
pub use machine::Machine;
pub use members::{Entries, Members};
pub use numbered::text_for_c;
pub use observation::{BUCKETS, Counters, Gauges, Histogram, Observation};
pub use resolver::Resolver;
pub use status::{Reason, Status};
pub use time::Time;
