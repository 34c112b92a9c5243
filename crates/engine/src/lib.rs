//! The state machine of a node: names, claims, clashes, processes, membership and messages.
//!
//! Pure: inputs and the time come in through `handle_*`, effects go out through `poll_*`. No I/O, no clock, no threads,
//! no randomness but the seed's. The same code runs in the product and in the simulator.

#![forbid(unsafe_code)]

mod border;
mod bounds;
mod budget;
mod calls;
#[cfg(test)]
mod cases;
mod claims;
mod clashes;
mod context;
mod counters;
mod decode;
mod dirty;
mod dispatch;
mod ends;
mod fault;
mod groups;
mod id;
mod index;
mod inspection;
mod invariants;
mod links;
mod locks;
mod log;
mod machine;
mod names;
mod notices;
mod output;
mod processes;
mod protocol;
mod rows;
mod sending;
mod timers;

pub use bounds::{LAST_CLOCK, MAX_CLOCK_STEP, MAX_DOT, MAX_FRAME, MAX_LIST, SNAPSHOT_ROWS};
pub use convoke_flow as message;
use convoke_flow::Violation;
pub use convoke_flow::{FRAGMENT, MESSAGE_OVERHEAD};
pub use convoke_model::*;
pub use decode::text;
pub use ends::{Goodbye, Refusal};
#[cfg(feature = "faults")]
pub use fault::Fault;
pub use id::{Dot, Reg, Tx};
use invariants::{Sound, ensure, same};
pub use links::Ending;
pub use machine::Engine;
use notices::Notice;
pub use output::{Output, Wire};
pub use protocol::{
    Binding, ClashMessage, Connectivity, Existence, Fact, Hold, Identity, Key, Membership, Message, Pair,
    PeerAddress, Stamped, Standing, Task, Treatment, Want,
};
use rows::ms;
