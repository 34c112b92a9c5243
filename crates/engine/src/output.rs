//! Every effect that the engine has on the world: one variant of one type.

use super::message::{Credit, DataHeader};
use super::protocol::{Goodbye, Refusal, Stamped};
use super::{
    ClashCall, ConnectionId, Event, Level, Members, Name, NodeId, Outcome, Payload, Pid, Reason, Ref, Target,
    Window,
};

/// Drained with [`Engine::poll_output`](super::Engine::poll_output) until empty after every input, in the order given:
/// published tables, then messages to peers, then events and answers.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    // ---- 1: tables for readers
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
    // ---- 2: messages to peers
    /// The same message on the control lane of each connection: encode it once.
    Send {
        to: Vec<ConnectionId>,
        message: Stamped,
    },
    /// An exit notice or a kill, on the data lane, in the FIFO of its pair.
    Signal {
        to: ConnectionId,
        header: DataHeader,
        data: Payload,
    },
    /// The peer has granted room for messages to its process `to`: hand it to the outbox of the connection.
    Credit {
        connection: ConnectionId,
        to: u64,
        credit: Credit,
    },
    /// The peer has no process `to`: the outbox forgets its window.
    NoReceiver {
        connection: ConnectionId,
        to: u64,
    },
    /// Connect to this address; answered by `handle_connection`, `handle_dial_refused` or `handle_dial_failed`. If it is a name, or stands for
    /// several addresses in another way, look it up instead and answer with `handle_looked_up`.
    Dial {
        address: String,
    },
    /// The connection becomes a link: send `Go`, then whatever follows.
    Open {
        connection: ConnectionId,
    },
    /// The connection does not become a link: say why, then close it.
    Refuse {
        connection: ConnectionId,
        why: Refusal,
    },
    /// The link is over: send the goodbye behind all that was sent before, then close. Nothing comes from this
    /// connection any more.
    Close {
        connection: ConnectionId,
        goodbye: Option<Goodbye>,
    },
    // ---- 3: events and answers
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
        target: Target,
        text: String,
    },
}
