//! A running node: commands in from callers' threads, tables and events out to them.
//!
//! The node's own thread (`driver`) runs the engine and the sockets. Callers never enter tokio: they push a
//! [`Request`] into the [`Inbox`], read published [`Tables`], write into the [`LinkOutbox`] of a link, and wait on a
//! condition variable or on a queue's eventfd. What comes back is applied by [`Delivery`] on the node's thread.
//! This room may use all the others but `ffi`; it keeps clear of the native protocol's details.

mod accounts;
mod address;
mod backlog;
mod bridge;
mod chance;
mod delivery;
mod desk;
mod dispatch;
mod driver;
mod dump;
mod error;
mod event;
mod group;
mod inbox;
mod links;
mod list;
mod lock;
mod log;
mod map;
mod metrics;
mod network;
#[allow(clippy::module_inception)] // the node itself, in the room of the running node
mod node;
mod observe;
mod option_table;
mod options;
mod peers;
mod printable;
mod process;
mod process_core;
mod queue;
mod queue_core;
mod reply;
mod resolver;
mod security;
mod send;
mod shared;
mod tables;
mod user_secret;

/// The length of a secret, in bytes.
pub use crate::wire::SECRET;
pub use delivery::Delivery;
pub use error::{Error, Result};
pub use event::{EVENT_FIELDS, Event, EventKind, Field, FieldType};
pub use group::Sent;
pub use inbox::{Inbox, Request};
pub use links::{Lane, LinkOutbox, Links};
pub use list::List;
pub use lock::{Attempt, LockId};
pub use log::{LOG_OFF, Logger, Record, set_logger};
pub use metrics::{METRICS, MetricInfo, MetricKind};
pub use node::{Node, Stats};
pub use option_table::{OPTIONS, OptionInfo, OptionType};
pub use options::Options;
pub use printable::printable;
pub use process::{Completion, Done, Process};
pub use queue::{Handler, Queue};
pub use reply::{Asker, Reply, Waiter, operation_of};
pub use resolver::{CLASH_CHOICES, Resolve, answer_of};
pub use security::Security;
pub use shared::{Clock, Shared};
pub use tables::Tables;

#[cfg(test)]
mod tests;
