//! Sockets: the listener, the dialler, and one task per connection.
//!
//! Touches `engine`'s types, `wire` and tokio. What it drives is a [`Core`]: the node's engine with its surroundings in
//! the product, a script in the tests. Everything here runs on the node's thread: bytes go from the socket straight
//! into the core and from its orders straight into the buffers of the connections, with no channel in between, and
//! what a batch of input has caused is written with as few system calls as possible at its end.
//!
//! A connection begins with the handshakes of `wire`: its channel is opened, which everybody is refused that does not
//! fit; then both ends say who they are, and the core decides whether it becomes a link. On a link control frames go before data: data are taken from the core one block at a time, so that control that
//! is said later waits for at most one of them, and for what the kernel holds, which is bounded by a socket option.
//!
//! A peer can do nothing here but end its own connection: what it may send, leave unread or leave unsaid is bounded in
//! bytes and in time.

mod connection;
mod core;
mod dialler;
mod effort;
mod failures;
mod half;
mod listener;
mod lookup;
#[allow(clippy::module_inception)] // the mesh itself, in the room of the sockets
mod mesh;
mod networks;
mod origin;
mod outgoing;
mod pace;
mod places;
mod refusals;
#[cfg(test)]
mod tests;
mod whereabouts;
mod workers;

use crate::wire::{Work, Worked};

pub use self::core::{Core, Order};
pub use self::dialler::UNPROTECTED;
pub(crate) use self::effort::{TURN, give_way};
pub use self::lookup::Hosts;
pub(crate) use self::lookup::{MAX_LOOKUPS, MAX_PORTS, is_link_local, split_address};
pub use self::mesh::{Mesh, Settings};
pub use self::networks::Networks;
pub use self::refusals::{RefusalCounts, Refused};
