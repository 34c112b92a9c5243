//! What the caller's side asks of the engine.

use crate::{Name, Payload, Pid, Reason, Ref, Resolver, Status, Time};
use std::time::Duration;

/// How long an operation may take, and whether it may wait for others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deadline {
    /// When it is undone or answered at the latest; `None`: it waits for ever.
    pub at: Option<Time>,
    /// Never queue behind another (a timeout of 0): the answer is no as soon as somebody else holds the claim.
    pub no_wait: bool,
}

impl Deadline {
    pub const FOREVER: Self = Self { at: None, no_wait: false };

    /// From a timeout in ms as the C interface has it: -1 is for ever; 0 never queues behind another and waits for
    /// the network at most the detection time.
    pub fn from_timeout_ms(now: Time, timeout_ms: i64, detection: Duration) -> Self {
        match timeout_ms {
            0 => Self { at: Some(now + detection), no_wait: true },
            ms if ms < 0 => Self::FOREVER,
            ms => Self { at: Some(now + Duration::from_millis(ms as u64)), no_wait: false },
        }
    }
}

/// What the caller's side asks for. `process`: the serial of the process on whose behalf. Serials and refs are given out by the
/// caller's side, each once; a process is spawned before it is named.
#[derive(Clone, Debug)]
pub enum Command {
    Spawn {
        process: u64,
    },
    /// The process ends by its own will (or its handle was freed). It gets no EXIT of its own.
    Exit {
        process: u64,
        reason: Reason,
        data: Payload,
    },
    /// Ends any process, here or elsewhere; a process killed from outside gets a last EXIT event of its own.
    Kill {
        process: u64,
        target: Pid,
        reason: Reason,
    },
    /// Exactly one [`Event::Exit`](crate::Event::Exit) with this reference follows, unless it is cancelled first.
    Monitor {
        process: u64,
        reference: Ref,
        target: Pid,
    },
    /// [`Event::NameChanged`](crate::Event::NameChanged) at once with the present binding, then at every change.
    MonitorName {
        process: u64,
        reference: Ref,
        name: Name,
    },
    /// [`Event::NodeUp`](crate::Event::NodeUp) for every present peer, [`Event::SnapshotEnd`](crate::Event::SnapshotEnd), then every change.
    MonitorNodes {
        process: u64,
        reference: Ref,
    },
    /// Ends a monitor (silently) or a pending operation (answered `E_CANCELLED` unless it was complete already).
    Cancel {
        process: u64,
        reference: Ref,
    },
    /// What this command began was done after its caller had gone, who was told that it was not. It is taken back; a register, a
    /// join or an acquisition, others stand.
    TakeBack {
        done: Box<Call>,
    },
    /// [`Event::LockWanted`] whenever another requester begins to wait for a lock that the process holds.
    ///
    /// [`Event::LockWanted`]: crate::Event::LockWanted
    WatchLock {
        process: u64,
        reference: Ref,
        resource: Name,
        requester: Name,
    },
    /// [`Event::GroupJoined`] for every present member, [`Event::SnapshotEnd`], then every change.
    ///
    /// [`Event::GroupJoined`]: crate::Event::GroupJoined
    /// [`Event::SnapshotEnd`]: crate::Event::SnapshotEnd
    MonitorGroup {
        process: u64,
        reference: Ref,
        group: Name,
    },
    /// From now on this node has a resolver function of that name.
    AddResolver {
        resolver: Name,
    },
    /// The seeds from now on, instead of those before. Links stay.
    SetSeeds {
        seeds: Vec<String>,
    },
    /// Leaves in order: every process exits with NODE_CLOSED, every peer is told. [`Effect::Closed`] follows when all
    /// is handed over.
    ///
    /// [`Effect::Closed`]: crate::Effect::Closed
    Close,
    /// An operation, which is answered once.
    Call(Call),
}

/// An operation of a process. `op`: where its one answer goes.
#[derive(Clone, Debug)]
pub struct Call {
    pub process: u64,
    pub op: Ref,
    pub deadline: Deadline,
    pub what: Action,
}

/// What an operation does.
#[derive(Clone, Debug)]
pub enum Action {
    /// `pid` may live elsewhere. `replace`: re-register.
    Register {
        name: Name,
        pid: Pid,
        resolver: Resolver,
        replace: bool,
    },
    Unregister {
        name: Name,
    },
    /// Answer value: 1 alive, 0 not.
    IsAlive {
        pid: Pid,
    },
    /// A lock for the process itself. `nodes`: names of nodes; `None`: all of the view. `retries`: so many chances more
    /// than one, then the claim does not wait any longer (D2 of the design); `None`: no such bound. `scope`: what is
    /// acquired is given back by the [`Release`](Self::Release) with the same; no scope has a number twice. Answer
    /// value: the fencing token.
    Acquire {
        resource: Name,
        requester: Name,
        nodes: Option<Vec<String>>,
        retries: Option<u64>,
        scope: Option<Ref>,
    },
    /// Gives back the process's share: on these nodes, or all of it. With a `scope`: only what the process would not hold
    /// if it had not acquired it for this scope.
    Release {
        resource: Name,
        requester: Name,
        nodes: Option<Vec<String>>,
        scope: Option<Ref>,
    },
    CreateGroup {
        group: Name,
    },
    DeleteGroup {
        group: Name,
    },
    /// `pid` may live elsewhere.
    JoinGroup {
        group: Name,
        pid: Pid,
    },
    LeaveGroup {
        group: Name,
        pid: Pid,
    },
    /// Answered when the tables of all nodes known are merged.
    Sync,
    /// The same for a node that is being opened, which is not to fail for the sake of those who say nothing: once another
    /// node has answered they are waited for a second longer, and no longer than the deadline in any case.
    Join,
    /// Dials an address once (no back-off) and answers when the link is up.
    Connect {
        address: String,
    },
    /// Ends the link with a node and does not dial it again until it is asked to.
    Disconnect {
        node_name: String,
    },
}

/// The answer to an operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    pub status: Status,
    /// More than the status says, in English; often empty.
    pub detail: String,
    pub value: u64,
}

impl Outcome {
    pub fn of(status: Status) -> Self {
        Self { status, detail: String::new(), value: 0 }
    }
    pub fn value(value: u64) -> Self {
        Self { status: Status::Ok, detail: String::new(), value }
    }
    pub fn failed(status: Status, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), value: 0 }
    }
}
