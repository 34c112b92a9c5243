//! The state machine of a node: names, claims, clashes, processes, membership and messages.
//!
//! Pure: inputs and the time come in through `handle_*`, effects go out through `poll_*`. No I/O, no clock, no threads,
//! no randomness but the seed's; it imports nothing of the other rooms. The same code runs in the product and in the
//! simulator.

mod claim;
mod clash;
mod command;
mod dial;
mod forward;
mod id;
mod limits;
mod liveness;
mod machine;
mod membership;
pub mod message;
mod name;
mod output;
mod process;
mod protocol;
mod publish;
mod status;
mod time;
mod timers;
mod vote;

pub use command::{Command, Outcome, Patience};
pub use id::{ConnectionId, Name, NodeId, Payload, Pid, Ref, Reg, Tx};
pub use limits::{
    Config, FRAGMENT, Limits, MAX_CLOCK_JUMP, MAX_FRAME, MAX_LIST, MESSAGE_OVERHEAD, SNAPSHOT_ROWS,
};
pub use machine::Engine;
pub use output::{Event, Output};
pub use protocol::{
    Binding, ClashMessage, Goodbye, Identity, Key, Message, Pair, PeerAddress, Refusal, Resolver, Stamped,
    Task,
};
pub use status::{Reason, Status};
pub use time::Time;
