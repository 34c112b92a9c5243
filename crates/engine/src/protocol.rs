//! What two linked nodes say to each other on the control lane. The engine's rules for each message stand beside its
//! handler; docs/design.md tells the whole protocol.

use super::Goodbye;
use super::decode::{bounded, text, up_to};
use super::id::{Dot, Reg, Tx};
use super::message::Credit;
use super::{Name, NodeId, Pid, Reason, Resolver, Status};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A message and the sender's Lamport clock. EVERY message carries the clock: if only claims did, a node with a slow
/// clock could overtake a waiter for ever.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Stamped {
    pub clock: u64,
    pub message: Message,
}

/// What a claim is for: one claim machine serves both.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Key {
    Name(Name),
    /// The ResourceId of a lock.
    Lock(Name),
}

/// What a voter must know of a claim.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Want {
    /// `replace`: a re-register.
    Name { replace: bool },
    /// `serial`: the process that wants the lock, under this LockRequesterId.
    Lock { requester: Name, serial: u64 },
}

/// What becomes of a process that loses its name in a clash.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Treatment {
    /// It is not told.
    Silent,
    /// It is killed; `by`: the winner, if there is one.
    Kill { by: Option<Pid> },
    /// It gets NAME_CONFLICT, with the other pid where the resolver tells it.
    Notify { other: Option<Pid> },
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
    pub supersedes: BTreeSet<Reg>,
    /// All nodes have acknowledged it, so what it covers may go.
    pub settled: bool,
}

impl Binding {
    pub fn pid(&self) -> Pid {
        Pid { node: self.reg.node, serial: self.serial }
    }
    /// Whether it covers this registration. A home numbers its registrations upwards, and those beneath the shown one are older: to
    /// cover one of them is to cover all that are older. So nobody has to know what stands beneath, and a third node may name the
    /// row.
    pub fn covers(&self, reg: Reg) -> bool {
        self.supersedes.range(reg..=Reg { seq: u64::MAX, ..reg }).next().is_some()
    }
}

/// A clash of two bindings of one name: the lower home's and the higher home's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Pair {
    pub low: Reg,
    pub high: Reg,
}

/// One process's share of a lock, as its home publishes it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hold {
    pub resource: Name,
    /// The LockRequesterId: processes with the same one share the lock.
    pub requester: Name,
    /// The process at the home. Shares are told apart by requester and pid.
    pub serial: u64,
    /// A hold on the view takes in nodes that join; else it is on a list.
    pub view: bool,
    /// Where it binds: the nodes that granted it, and for a hold on the view those that joined since.
    #[serde(deserialize_with = "bounded")]
    pub nodes: BTreeSet<NodeId>,
    /// The fencing token.
    pub token: u64,
    /// The home wants to hear when somebody else begins to wait for the lock.
    pub watched: bool,
}

/// What a share of a lock is worth to its process. The later ones are worth more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Standing {
    /// It was told that broken links had left the lock on a minority of its nodes.
    Minority,
    /// It was told of a second holder.
    SecondHolder,
    /// It may rely on it.
    Relied,
}

/// One process's membership in a group, as its home publishes it. A count of 0: it is no member any more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Membership {
    pub group: Name,
    /// The process at the home.
    pub serial: u64,
    /// How often it has joined without leaving.
    pub count: u64,
    /// The dots that the group had when it joined. A delete that covers them all ends the membership.
    #[serde(deserialize_with = "bounded")]
    pub dots: BTreeSet<Dot>,
    /// Why it ended, when it did.
    pub why: Reason,
}

/// One fact of the sender that a snapshot tells.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Fact {
    Binding(Name, Binding),
    /// A registration of the sender beneath the one that it shows, which is under way.
    Beneath(Reg),
    /// The nodes that the sender has links to; a node that does not know one of them asks where it is. (Were it told at once, a
    /// cluster of n nodes that starts would tell n^3 addresses.)
    Peers(#[serde(deserialize_with = "bounded")] BTreeSet<NodeId>),
    Hold(Hold),
    Membership(Membership),
}

/// Part of what a node knows of the existence of groups: an observed-remove set of dots with its causal context.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Existence {
    /// The group has this dot.
    Live { group: Name, dot: Dot },
    /// All dots of the incarnation up to this number are known: those that are not live were deleted.
    Seen {
        node: NodeId,
        #[serde(deserialize_with = "up_to")]
        up_to: u64,
    },
    /// This dot beyond those is known too.
    Beyond(Dot),
}

/// A node that can be dialled.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct PeerAddress {
    pub node: NodeId,
    #[serde(deserialize_with = "text")]
    pub name: String,
    #[serde(deserialize_with = "text")]
    pub address: String,
}

/// An operation for a pid that lives elsewhere, run by its home.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Task {
    Register {
        name: Name,
        serial: u64,
        resolver: Resolver,
        replace: bool,
        no_wait: bool,
    },
    Unregister {
        name: Name,
        reg: Reg,
    },
    IsAlive {
        serial: u64,
    },
    /// `dots`: those of the group that the caller knows. The home may not know the group yet.
    Join {
        group: Name,
        serial: u64,
        #[serde(deserialize_with = "bounded")]
        dots: BTreeSet<Dot>,
    },
    Leave {
        group: Name,
        serial: u64,
    },
}

impl Task {
    /// The name that the home is to keep.
    pub(super) fn name(&self) -> Option<&Name> {
        match self {
            Self::Register { name, .. } | Self::Join { group: name, .. } => Some(name),
            Self::Unregister { .. } | Self::IsAlive { .. } | Self::Leave { .. } => None,
        }
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Message {
    // ---- links
    /// Part of the sender's snapshot: first thing on a link, and again until `last`. The facts of an owner are
    /// complete, and the link *synced*, with the last part. What the sender knows of the existence of groups comes between
    /// (`GroupState`), unless the receiver knows the same.
    Hello {
        #[serde(deserialize_with = "bounded")]
        facts: Vec<Fact>,
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
    /// The sender has not heard these nodes for a while: does the receiver?
    Probe {
        #[serde(deserialize_with = "bounded")]
        about: BTreeSet<NodeId>,
    },
    /// Of the nodes that the receiver has asked about, the sender does not hear these either.
    ProbeAnswer {
        #[serde(deserialize_with = "bounded")]
        silent: BTreeSet<NodeId>,
    },
    // ---- claims
    Acquire {
        tx: Tx,
        key: Key,
        want: Want,
        no_wait: bool,
    },
    /// The vote. `epoch`, of a lock: this voter's number for the time from which on it is not free. `regs`: for a
    /// re-register, every binding of the name that the voter shows.
    Grant {
        tx: Tx,
        key: Key,
        epoch: u64,
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
    /// The claim has used up its retries: from now on it does not wait for others. Denied if it does.
    NoWait {
        tx: Tx,
        key: Key,
    },
    // ---- locks
    /// The claim is complete: the hold is known to all, and binds on the nodes of its set. Also when a hold changes.
    SharePublished {
        tx: Tx,
        hold: Hold,
    },
    /// The share ends on these nodes; everywhere if it binds nowhere else.
    ShareReleased {
        resource: Name,
        requester: Name,
        serial: u64,
        /// What is left of the hold; `None`: nothing.
        rest: Option<Hold>,
        ack: Option<Tx>,
    },
    /// To a home: a share of it and one of another requester bind at the sender, both confirmed. `ends`: the share was
    /// lost to a broken link before the other one was met, and ends; else the process is told.
    LockConflict {
        resource: Name,
        requester: Name,
        serial: u64,
        /// The token that was confirmed: what is said does not concern a later hold of the process.
        token: u64,
        ends: bool,
    },
    /// To a home that watches: `waiter` waits for the lock, by this claim.
    Wanted {
        tx: Tx,
        resource: Name,
        requester: Name,
        serial: u64,
        waiter: Pid,
    },
    // ---- names
    Commit {
        tx: Tx,
        name: Name,
        binding: Binding,
    },
    /// Acknowledges what was published or withdrawn under this number.
    Ack {
        tx: Tx,
    },
    /// To `to`, an owner of bindings in `supersedes`: all nodes show `reg`. Passed on once where there is no link.
    Settled {
        name: Name,
        reg: Reg,
        to: NodeId,
        #[serde(deserialize_with = "bounded")]
        supersedes: BTreeSet<Reg>,
    },
    Unregistered {
        name: Name,
        reg: Reg,
        beneath: Option<Binding>,
        ack: Option<Tx>,
    },
    // ---- groups
    /// A membership begins, changes or ends.
    Membership {
        membership: Membership,
        ack: Option<Tx>,
    },
    /// The sender made the group, or made it anew: `dot` is its own, under its number of this `generation`.
    Create {
        group: Name,
        dot: Dot,
        generation: u32,
        ack: Option<Tx>,
    },
    /// The group is deleted as far as the sender saw it. Memberships under no other dots end with it.
    Delete {
        group: Name,
        #[serde(deserialize_with = "bounded")]
        dots: BTreeSet<Dot>,
        ack: Option<Tx>,
    },
    /// A digest of all live dots, after a change of the view: who differs answers with what it knows.
    GroupDigest {
        digest: u64,
    },
    /// What the sender knows of the existence of groups, all of it up to `last`, or in a snapshot up to its end. `answer`: it
    /// wants the same back if it lacks anything.
    GroupState {
        #[serde(deserialize_with = "bounded")]
        parts: Vec<Existence>,
        last: bool,
        answer: bool,
    },
    // ---- clashes
    /// The lower home asks the higher one to take part; `round` tells its questions apart.
    Engage {
        name: Name,
        pair: Pair,
        round: u64,
    },
    /// The higher binding takes part in no other pair meanwhile; it was committed so long ago.
    Engaged {
        name: Name,
        pair: Pair,
        round: u64,
        age_ms: u64,
    },
    /// The receiver's side of the pair need not be held up: the sender's is no more, or was not asked.
    ClashEnded {
        name: Name,
        pair: Pair,
    },
    /// The higher binding loses.
    Verdict {
        name: Name,
        pair: Pair,
        treatment: Treatment,
    },
    /// To the lower home, which may not see the higher one: the sender sees both.
    ClashSeen {
        name: Name,
        pair: Pair,
        high: Pid,
    },
    /// A clash message between two homes without a link, passed on once by a node that is linked to both.
    Relayed {
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
    // ---- finding each other
    /// The snapshot named these nodes, and the sender does not know them: where can they be dialled?
    Where {
        #[serde(deserialize_with = "bounded")]
        nodes: BTreeSet<NodeId>,
    },
    /// Those of them that the sender still has a link to, up to `last`.
    Peers {
        #[serde(deserialize_with = "bounded")]
        peers: Vec<PeerAddress>,
        last: bool,
    },
    // ---- locks after a split
    /// To a home: is this share, which binds at the sender as one of another requester does, still held with this token?
    ConfirmHold {
        question: u64,
        resource: Name,
        requester: Name,
        serial: u64,
        token: u64,
    },
    /// The answer. `None`: no, or it does not bind at the receiver any more.
    HoldConfirmed {
        question: u64,
        resource: Name,
        requester: Name,
        serial: u64,
        standing: Option<Standing>,
    },
    // ---- groups
    /// These dots are none any more, and no membership ends with them: a creation was undone, or a newer one stands for
    /// them.
    Retract {
        group: Name,
        #[serde(deserialize_with = "bounded")]
        dots: BTreeSet<Dot>,
        ack: Option<Tx>,
    },
    // ---- more of claims
    /// Does the receiver hear this node, whose registration is in the way of a claim of the sender? Answered with
    /// `Vouched` as soon as it has, and not at all if it gives the node up.
    Vouch {
        node: NodeId,
    },
    Vouched {
        node: NodeId,
    },
    /// The claim waits at the sender behind others. A later `Grant` comes by itself: the sender owes nothing now.
    Queued {
        tx: Tx,
    },
    // ---- two nodes of one name
    /// Another node claims the name of the receiver: is the receiver there? Answered with `Pong` and the same number; and the
    /// receiver dials the claimant, to find out by itself which of the two stays.
    Challenge {
        number: u64,
        claimant: PeerAddress,
    },
}

/// The clash messages that may travel through a third node. Their own type, so that nothing nests.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ClashMessage {
    Engage { name: Name, pair: Pair, round: u64 },
    Engaged { name: Name, pair: Pair, round: u64, age_ms: u64 },
    ClashEnded { name: Name, pair: Pair },
    Verdict { name: Name, pair: Pair, treatment: Treatment },
}

/// How well a node is connected at this moment: of two nodes of one name the one with more links stays.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Connectivity {
    /// Peers whose tables are merged there and that have this node's, and that have answered since it was paused last.
    pub links: u32,
    /// Those that have not answered since: they may have given the node up meanwhile.
    pub unsure: u32,
}

/// What a node says of itself before a link comes to be (see `wire::handshake`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identity {
    pub node: NodeId,
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// Where it can be dialled; empty: nowhere.
    #[serde(deserialize_with = "text")]
    pub address: String,
    /// For how long it has been open, in ms: of two nodes with one name and as many links the younger goes.
    pub uptime_ms: u64,
    pub connectivity: Connectivity,
    /// A digest of all that it knows of the existence of groups: who knows the same does not tell it again.
    pub groups: u64,
    /// The largest payload that it takes, in bytes. A larger one is refused at its sender: `E_TOO_BIG`.
    pub message_limit: u64,
}
