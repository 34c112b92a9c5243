//! The state machine of a node: names, claims, clashes, processes, membership and messages.
//!
//! Pure: inputs and the time come in through `handle_*`, effects go out through `poll_*`. No I/O, no clock, no threads,
//! no randomness but the seed's. The same code runs in the product and in the simulator.

#![forbid(unsafe_code)]

mod balancer;
mod bounds;
mod budget;
mod claim;
mod clash;
mod conduct;
mod conflict;
mod convergence;
mod counters;
mod decode;
mod departure;
mod dial;
mod dirty;
mod dispatch;
mod existence;
mod fault;
mod forward;
mod group;
mod hearsay;
mod hold;
mod id;
mod index;
mod inspection;
mod joining;
mod links;
mod liveness;
mod lock;
mod log;
mod lookup;
mod machine;
mod maker;
mod member;
mod names;
mod node_set;
mod operation;
mod output;
mod own;
mod paced;
mod peer_counts;
mod process;
mod protocol;
mod publish;
mod queue;
mod register;
mod resolver;
mod shares;
mod sync;
mod target;
mod timers;
mod told;
mod trim;
mod view;
mod vote;
mod withdrawal;

pub use bounds::{LAST_CLOCK, MAX_CLOCK_STEP, MAX_DOT, MAX_FRAME, MAX_LIST, SNAPSHOT_ROWS};
pub use convoke_flow as message;
pub use convoke_flow::{FRAGMENT, MESSAGE_OVERHEAD};
pub use convoke_model::*;
pub use decode::text;
pub use departure::Ending;
#[cfg(feature = "faults")]
pub use fault::Fault;
pub use id::{Dot, Reg, Tx};
pub use machine::Engine;
pub use output::{Output, Wire};
pub use protocol::{
    Binding, ClashMessage, Connectivity, Existence, Fact, Goodbye, Hold, Identity, Key, Membership, Message,
    Pair, PeerAddress, Refusal, Stamped, Standing, Task, Treatment, Want,
};
