//! What a process is told, and what an engine has its node do.

use crate::{ConnectionId, Level, Members, Name, NodeId, Outcome, Payload, Pid, Reason, Ref, Topic};

/// What an engine puts out, in this order: tables for readers, orders to its network, then events and answers. So a caller who
/// has an answer reads tables that are no older, and an EXIT never arrives before the state it tells of.
#[derive(Clone, PartialEq, Debug)]
pub enum Output<W> {
    Effect(Effect),
    Wire(W),
}

/// What the node does for its engine, whichever engine that is.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    // ---- tables for readers
    /// `whereis(name)` answers `pid` from now on.
    PublishName {
        name: Name,
        pid: Option<Pid>,
    },
    /// A link came up (`Some`) or went down. Senders reach `node` through this connection from now on.
    PublishPeer {
        node: NodeId,
        name: String,
        address: String,
        connection: Option<ConnectionId>,
        /// The largest payload that it takes, in bytes.
        message_limit: u64,
    },
    /// The members of these groups are these from now on; `None`: there is no such group. All that have changed are told at once,
    /// for a node that joins learns of very many.
    PublishGroups {
        groups: Vec<(Name, Option<Members>)>,
    },
    /// The process of this node holds the lock with this token, as far as it may rely on it; `None`: it does not, or
    /// not any longer (released, or LOCK_LOST).
    PublishHold {
        process: u64,
        resource: Name,
        requester: Name,
        token: Option<u64>,
    },
    // ---- events and answers
    /// A message for a process of this node; what it occupies is reported with `handle_taken(window, ..)` when the
    /// application takes it.
    Deliver {
        to: u64,
        from: Pid,
        payload: Payload,
        window: Window,
    },
    Notify {
        process: u64,
        event: Event,
    },
    /// The one answer to an operation.
    Answer {
        process: u64,
        op: Ref,
        outcome: Outcome,
    },
    /// The process is no more. When it was killed from outside an [`Event::Exit`] of its own went before.
    ProcessGone {
        process: u64,
    },
    /// The node is closed: by `Close`, or because its name was taken. Nothing else follows.
    Closed {
        reason: Reason,
    },
    /// Run a resolver function, once, not on this thread; its answer comes back by `handle_resolved`, in any case.
    CallResolver {
        clash: ClashCall,
    },
    /// Worth telling an operator.
    Log {
        level: Level,
        topic: Topic,
        text: String,
    },
}

/// The window that a waiting message occupies: room given to node `from` at the process `to` of this node.
/// `link` tells links of one node apart, so that what is taken after a reconnect does not count for the new link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Window {
    pub from: NodeId,
    pub link: u64,
    pub to: u64,
}

/// One clash for a resolver function. `a` and `b` have the order that both parts of the cluster agree on: `a` is of the
/// lower incarnation. Ages in ms since each was registered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClashCall {
    /// Named again in the answer.
    pub id: u64,
    pub resolver: Name,
    pub name: Name,
    pub a: Pid,
    pub b: Pid,
    pub age_a_ms: u64,
    pub age_b_ms: u64,
}

/// What a resolver function decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClashAnswer {
    Decided {
        winner: ClashWinner,
        loser: ClashLoser,
    },
    /// It is missing, was late, or gave no answer that makes sense: the manual's rule, nobody keeps the name. Both
    /// processes are told.
    Failed,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClashWinner {
    Neither,
    A,
    B,
}

/// What is to become of whoever loses the name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClashLoser {
    Silent,
    Kill,
    /// NAME_CONFLICT with the other pid.
    Notify,
}

/// A holder of a lock, or one that waits for it, as this node sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LockRow {
    pub resource: Name,
    pub requester: Name,
    pub pid: Pid,
    /// The fencing token; 0 for one that waits.
    pub token: u64,
    pub is_waiter: bool,
    /// For how long this node has seen it so.
    pub since_ms: u64,
}

/// What a process is told.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// `pid` exited. With `reference` of a monitor; a process that is killed gets one about itself with reference 0,
    /// its last event. `by`: who killed it, if anybody did.
    Exit {
        reference: Ref,
        pid: Pid,
        reason: Reason,
        data: Payload,
        by: Option<Pid>,
    },
    /// The process lost a name and lives on, in a clash or by a re-register. `winner`: the other process of it, where
    /// that is told; with `notify-all` and the like it has lost the name too.
    NameConflict {
        name: Name,
        winner: Option<Pid>,
        reason: Reason,
    },
    NameChanged {
        reference: Ref,
        name: Name,
        old: Option<Pid>,
        new: Option<Pid>,
        /// So many that it stands for: one, until unread ones are merged.
        changes: u64,
    },
    NodeUp {
        reference: Ref,
        node: NodeId,
        name: String,
        address: String,
    },
    NodeDown {
        reference: Ref,
        node: NodeId,
        name: String,
        address: String,
        reason: Reason,
        /// One; or, where nodes that came up and went down are unread, twice as many as those, of which it tells the last.
        changes: u64,
    },
    SnapshotEnd {
        reference: Ref,
    },
    /// `pid` is a member of the group `count` times now, more than the `old` times that were told of before; 0: it was
    /// none.
    GroupJoined {
        reference: Ref,
        group: Name,
        pid: Pid,
        old: u64,
        count: u64,
    },
    /// `pid` is a member `count` times now, fewer than the `old` times that were told of before; 0: no member any more.
    /// `reason`: `NORMAL` when it left.
    GroupLeft {
        reference: Ref,
        group: Name,
        pid: Pid,
        old: u64,
        count: u64,
        reason: Reason,
    },
    /// The process can rely on this lock no longer.
    LockLost {
        resource: Name,
        requester: Name,
        token: u64,
        reason: Reason,
    },
    /// `waiter`, of another requester, waits for a lock that the process holds.
    LockWanted {
        reference: Ref,
        resource: Name,
        requester: Name,
        waiter: Pid,
    },
}
