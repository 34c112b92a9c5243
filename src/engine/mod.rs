//! The state machine of a node: names, claims, clashes, processes, membership and messages.
//!
//! Pure: inputs and the time come in through `handle_*`, effects go out through `poll_*`. No I/O, no clock, no threads,
//! no randomness but the seed's; it imports nothing of the other rooms. The same code runs in the product and in the
//! simulator.

mod balancer;
mod budget;
mod claim;
mod clash;
mod command;
mod conduct;
mod conflict;
mod convergence;
mod counters;
mod departure;
mod dial;
mod dispatch;
mod entries;
mod existence;
mod fault;
mod forward;
mod group;
mod hearsay;
mod hold;
mod id;
mod index;
mod joining;
mod limits;
mod liveness;
mod lock;
mod log;
mod lookup;
mod machine;
mod maker;
mod member;
mod membership;
pub mod message;
mod name;
mod node_set;
mod operation;
mod output;
mod own;
mod paced;
mod peer_counts;
mod picture;
mod process;
mod protocol;
mod publish;
mod queue;
mod resolver;
mod shares;
mod status;
mod sync;
mod target;
mod time;
mod timers;
mod told;
mod trim;
mod view;
mod vote;
mod withdrawal;

pub use command::{Command, Outcome, Patience};
pub use counters::{BUCKETS, Counters, Gauges, Histogram};
pub use departure::Ending;
pub use entries::Members;
#[cfg(feature = "faults")]
pub use fault::Fault;
pub use id::{ConnectionId, Dot, Name, NodeId, Payload, Pid, Ref, Reg, Tx};
pub use limits::{
    Config, DEFAULT_REQUESTER, FRAGMENT, LAST_CLOCK, Limits, MAX_CLOCK_STEP, MAX_DOT, MAX_FRAME, MAX_LIST,
    MAX_NAME, MAX_RESOLVER, MAX_TEXT, MESSAGE_OVERHEAD, SNAPSHOT_ROWS,
};
pub use log::{Level, Short, Target};
pub use machine::Engine;
pub use peer_counts::{PastRow, PeerCounts};
pub use output::{ClashAnswer, ClashCall, ClashLoser, ClashWinner, Event, LockRow, Output};
pub use picture::{Picture, ROWS, Rows, Text};
use protocol::covers;
pub(crate) use protocol::text;
pub use protocol::{
    Binding, ClashMessage, Connectivity, Existence, Fact, Goodbye, Hold, Identity, Key, Membership, Message,
    Pair, PeerAddress, Refusal, Resolver, Stamped, Standing, Task, Treatment, Want,
};
pub use status::{Reason, Status};
pub use time::Time;
