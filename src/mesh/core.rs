//! What the mesh drives.

use crate::engine::{Ending, Goodbye, Identity, Refusal, Stamped};
use crate::flow::DataHeader;
use crate::model::{ConnectionId, Payload, Status};
use crate::wire::{LinkProtection, Protection};

/// The node's state machine as the mesh sees it: what happens goes in by `handle_*`, what is to be done comes out by
/// [`poll_order`](Core::poll_order), which is drained after every few inputs. The mesh never calls it from within
/// another call.
pub trait Core: 'static {
    /// The sending side of a link's data lane: a cheap handle.
    type Outbox: Clone + 'static;

    /// Input follows that has just been read: the time is read anew, and what callers had asked for by now is handled
    /// first. A program that learned of a process by another way than Convoke may rely on its being there.
    fn begin(&mut self);
    /// The driver waits for something that has changed: an earlier timer, or the end.
    fn needs_driver(&self) -> bool;
    /// What this node says of itself at this moment.
    fn identity(&self) -> Identity;

    /// Somebody is at the other end of a connection, which is protected so. The next thing that is told of it is who.
    fn opened(&mut self, _connection: ConnectionId, _protection: LinkProtection) {}
    /// There is no such connection any more; the last that is told of it.
    fn forgotten(&mut self, _connection: ConnectionId) {}
    /// The peer of a new connection has said who it is. `dialled`: the address, if this node dialled it.
    fn handle_connection(&mut self, connection: ConnectionId, peer: Identity, dialled: Option<String>);
    /// The peer says that the connection is a link.
    fn handle_go(&mut self, connection: ConnectionId);
    /// The peer does not want the connection as a link; it is over.
    fn handle_refused(&mut self, connection: ConnectionId, why: Refusal);
    /// A connection that was told of by `handle_connection` is over, and not by an order.
    fn handle_connection_end(&mut self, connection: ConnectionId, ending: Ending, detail: &str);
    /// What was dialled is a name, or a range of ports, and stands for these addresses at present.
    fn handle_looked_up(&mut self, name: &str, addresses: Vec<String>);
    /// No connection came to be, or the name could not be looked up.
    fn handle_dial_failed(&mut self, address: &str, status: Status, detail: &str);
    /// The machine refused the connection: nobody listens at the address.
    fn handle_dial_refused(&mut self, address: &str, detail: &str);
    fn handle_message(&mut self, connection: ConnectionId, message: Stamped);
    fn handle_data(&mut self, connection: ConnectionId, header: DataHeader, body: &[u8]);
    /// Something came on a link, and it is not a whole frame yet.
    fn handle_part(&mut self, connection: ConnectionId);

    /// What is to be done next; `None` when that is all.
    fn poll_order(&mut self) -> Option<Order<Self::Outbox>>;
    /// All orders so far are carried out: what waits behind them (events and answers) may go out.
    fn settle(&mut self);

    /// The next block of whole data frames to write, if any. A block is small enough for control to wait for it; of a large
    /// payload it has `fragment` bytes at most.
    fn next_block(&mut self, outbox: &Self::Outbox, fragment: usize) -> Option<Vec<u8>>;
    /// The block is written.
    fn written(&mut self, outbox: &Self::Outbox, block: Vec<u8>);

    /// So many bytes were read from a socket, or written to one; `outbox` is that of the link, if it is one.
    fn moved(&mut self, _outbox: Option<&Self::Outbox>, _read: usize, _written: usize) {}
    /// Somebody has connected to this node.
    fn accepted(&mut self) {}

    /// Worth telling an operator.
    fn log(&mut self, status: Status, text: String);
}

/// What the mesh is to do. Orders for a connection that is over are no longer of interest and do nothing.
#[derive(Debug)]
pub enum Order<O> {
    /// The same message on the control lane of each link.
    Send { to: Vec<ConnectionId>, message: Stamped },
    /// The link's data are to be had from this outbox from now on.
    Attach { connection: ConnectionId, outbox: O },
    /// The outbox of the link may have something to write.
    Data { connection: ConnectionId },
    /// The outbox of the link is gone; these blocks were its last.
    Detach { connection: ConnectionId, rest: Vec<Vec<u8>> },
    /// A data frame behind the last block of a detached outbox.
    Tail { connection: ConnectionId, header: DataHeader, data: Payload },
    /// Connect to this address, or look up what it stands for.
    Dial { address: String },
    /// The connection is a link: say so.
    Open { connection: ConnectionId },
    /// The connection does not become a link: say why, and close it.
    Refuse { connection: ConnectionId, why: Refusal },
    /// Cut every connection that was made, or begun, under what this has replaced.
    EndReplaced { by: Protection },
    /// Write what was ordered before, then the goodbye, then close.
    Close { connection: ConnectionId, goodbye: Option<Goodbye> },
}
