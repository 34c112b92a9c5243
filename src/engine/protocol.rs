//! What two linked nodes say to each other on the control lane. The engine's rules for each message stand beside its
//! handler; docs/design.md tells the whole protocol.

use super::id::{Name, NodeId, Pid, Reg, Tx};
use super::limits::MAX_LIST;
use super::message::Credit;
use super::status::{Reason, Status};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeSet;

/// A message and the sender's Lamport clock. EVERY message carries the clock: if only claims did, a node with a slow
/// clock could overtake a waiter for ever.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Stamped {
    pub clock: u64,
    pub message: Message,
}

/// What a claim is for. Locks will be the second variant: one claim machine serves both.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Key {
    Name(Name),
}

/// Who decides a clash of this name: the name of a resolver, for a pointer cannot travel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Resolver {
    /// `random-exit`: one of the two is chosen at random, the other is killed. The manual's default.
    RandomExit,
}

impl Resolver {
    /// The resolver with this name; `None` if there is none.
    pub fn from_name(name: &str) -> Option<Resolver> {
        (name == "random-exit").then_some(Resolver::RandomExit)
    }
}

/// One registration as its home publishes it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Binding {
    pub reg: Reg,
    /// The serial of the process at the home.
    pub serial: u64,
    pub resolver: Resolver,
    /// Bindings of other owners that this one covers (a re-register). They stay, hidden behind it.
    #[serde(deserialize_with = "bounded")]
    pub over: BTreeSet<Reg>,
    /// All nodes have acknowledged it, so what it covers may go.
    pub settled: bool,
}

impl Binding {
    pub fn pid(&self) -> Pid {
        Pid { node: self.reg.node, serial: self.serial }
    }
}

/// A clash of two bindings of one name: the lower home's and the higher home's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Pair {
    pub low: Reg,
    pub high: Reg,
}

/// A node that can be dialled.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct PeerAddress {
    pub node: NodeId,
    pub name: String,
    pub address: String,
}

/// Why a side gives up a link in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Goodbye {
    /// The node closes: its processes are gone for good.
    Closing,
    /// The peer was silent for too long.
    Silent,
    /// `convoke_node_disconnect` was called.
    Disconnected,
    /// The peer broke the protocol.
    Violation,
}

/// An operation for a pid that lives elsewhere, run by its home.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Task {
    Register { name: Name, serial: u64, resolver: Resolver, replace: bool, nowait: bool },
    Unregister { name: Name, reg: Reg },
    IsAlive { serial: u64 },
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Message {
    // ---- links
    /// Part of the sender's snapshot: first thing on a link, and again until `last`. The facts of an owner are
    /// complete, and the link *synced*, with the last part.
    Hello {
        #[serde(deserialize_with = "bounded")]
        bindings: Vec<(Name, Binding)>,
        /// Rows that the sender keeps for a restore.
        #[serde(deserialize_with = "bounded")]
        kept: Vec<Reg>,
        /// The nodes that the sender knows how to dial.
        #[serde(deserialize_with = "bounded")]
        peers: Vec<PeerAddress>,
        last: bool,
    },
    /// Acknowledges all that the snapshot contained.
    HelloAck,
    /// Sent on a link that was idle; asks for nothing.
    Heartbeat,
    /// Asks for a `Pong` with the same number.
    Ping {
        number: u64,
    },
    Pong {
        number: u64,
    },
    /// The last message on a link.
    Goodbye {
        why: Goodbye,
    },
    /// The sender knows a node of the receiver's name that has been open for longer: the receiver closes.
    NameTaken,
    /// The sender has not heard `about` for a while: does the receiver?
    Probe {
        about: NodeId,
    },
    ProbeAnswer {
        about: NodeId,
        heard: bool,
    },
    // ---- claims
    Acquire {
        tx: Tx,
        key: Key,
        replace: bool,
        nowait: bool,
    },
    /// The vote. `regs`: for a re-register, the voter's own binding of the name and every row it keeps for a restore.
    Grant {
        tx: Tx,
        key: Key,
        #[serde(deserialize_with = "bounded")]
        regs: Vec<Reg>,
    },
    Deny {
        tx: Tx,
    },
    /// The voter shows `reg`, so it cannot vote yet. Its table may lag: it never denies a name.
    Busy {
        tx: Tx,
        reg: Reg,
    },
    Wound {
        tx: Tx,
        key: Key,
    },
    Yield {
        tx: Tx,
        key: Key,
    },
    Release {
        tx: Tx,
        key: Key,
    },
    // ---- names
    Commit {
        tx: Tx,
        name: Name,
        binding: Binding,
    },
    /// Acknowledges a commit or an unregistration.
    CommitAck {
        tx: Tx,
    },
    /// To `to`, an owner of bindings in `over`: all nodes show `reg`. Passed on once where there is no link.
    Settled {
        name: Name,
        reg: Reg,
        to: NodeId,
        #[serde(deserialize_with = "bounded")]
        over: BTreeSet<Reg>,
    },
    Unreg {
        name: Name,
        reg: Reg,
        restore: Option<Binding>,
        ack: Option<Tx>,
    },
    // ---- clashes
    Engage {
        name: Name,
        pair: Pair,
    },
    Engaged {
        name: Name,
        pair: Pair,
    },
    Gone {
        name: Name,
        pair: Pair,
    },
    Verdict {
        name: Name,
        lose: Reg,
        winner: Option<Pid>,
    },
    Hearsay {
        name: Name,
        pair: Pair,
        high: Pid,
    },
    /// A clash message between two homes without a link, passed on once by a node that is linked to both.
    Via {
        to: NodeId,
        from: NodeId,
        clash: ClashMessage,
    },
    // ---- operations for a pid elsewhere
    Forward {
        id: Tx,
        task: Task,
        remaining_ms: Option<u64>,
    },
    Answer {
        id: Tx,
        status: Status,
        value: u64,
    },
    Cancel {
        id: Tx,
    },
    // ---- processes (their exits and kills travel on the data lane, see `message`)
    Monitor {
        watcher: u64,
        reference: u64,
        target: u64,
    },
    Demonitor {
        watcher: u64,
        reference: u64,
        target: u64,
    },
    // ---- messages
    /// Room for messages of the receiving node at process `to`.
    Credit {
        to: u64,
        credit: Credit,
    },
    /// There is no process `to`, or no longer.
    NoReceiver {
        to: u64,
    },
}

/// The clash messages that may travel through a third node. Their own type, so that nothing nests.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ClashMessage {
    Engage { name: Name, pair: Pair },
    Engaged { name: Name, pair: Pair },
    Gone { name: Name, pair: Pair },
    Verdict { name: Name, lose: Reg, winner: Option<Pid> },
}

/// What a node says of itself before a link comes to be (see `wire::handshake`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identity {
    pub node: NodeId,
    pub name: String,
    /// Where it can be dialled; empty: nowhere.
    pub address: String,
    /// For how long it has been open, in ms: of two nodes with one name the younger goes.
    pub uptime_ms: u64,
    /// The largest payload that it takes, in bytes. A larger one is refused at its sender: `E_TOO_BIG`.
    pub message_limit: u64,
}

/// Why a connection does not become a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Refusal {
    /// The two nodes have a link already; the other side probes it.
    Linked,
    /// It is this very node.
    Myself,
    /// Another incarnation of the same name is linked; it is being probed. Dial again.
    NameInDoubt,
    /// Another node of this name has been open for longer: the refused node closes.
    NameTaken,
    /// The limit of peers is reached.
    TooManyPeers,
    /// The node is closing.
    Closing,
    /// Another cluster name.
    Cluster,
    /// No common protocol version.
    Version,
    /// The link was ended on purpose by `convoke_node_disconnect`.
    Disconnected,
}

impl Goodbye {
    /// The reason that exits and NODE_DOWN carry after this goodbye.
    pub fn reason(self) -> Reason {
        match self {
            Goodbye::Closing => Reason::NODE_CLOSED,
            Goodbye::Disconnected => Reason::DISCONNECTED,
            Goodbye::Silent | Goodbye::Violation => Reason::NODE_UNREACHABLE,
        }
    }
}

/// Reads a list of at most [`MAX_LIST`] elements, whatever count stands before it.
fn bounded<'de, D, T, C>(deserializer: D) -> Result<C, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
    C: Default + Extend<T> + IntoIterator<Item = T>,
{
    struct Visitor<T, C>(std::marker::PhantomData<(T, C)>);
    impl<'de, T: Deserialize<'de>, C: Default + Extend<T>> serde::de::Visitor<'de> for Visitor<T, C> {
        type Value = C;
        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            write!(f, "a list of at most {MAX_LIST} elements")
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<C, A::Error> {
            let mut list = C::default();
            let mut count = 0;
            while let Some(element) = seq.next_element::<T>()? {
                count += 1;
                if count > MAX_LIST {
                    return Err(serde::de::Error::custom("list too long"));
                }
                list.extend(std::iter::once(element));
            }
            Ok(list)
        }
    }
    deserializer.deserialize_seq(Visitor::<T, C>(std::marker::PhantomData))
}
