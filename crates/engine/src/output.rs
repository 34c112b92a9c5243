//! What the engine has its network do.

use super::ends::{Goodbye, Refusal};
use super::message::{Credit, DataHeader};
use super::protocol::Stamped;
use super::{ConnectionId, Payload};

/// What the engine puts out, in the order given: published tables, then messages to peers, then events and answers.
pub type Output = convoke_model::Output<Wire>;

/// Orders to the network of the native protocol.
#[derive(Clone, PartialEq, Debug)]
pub enum Wire {
    /// The same message on the control lane of each connection: encode it once.
    Send { to: Vec<ConnectionId>, message: Stamped },
    /// An exit notice or a kill, on the data lane, in the FIFO of its pair.
    Signal { to: ConnectionId, header: DataHeader, data: Payload },
    /// The peer has granted room for messages to its process `to`: hand it to the outbox of the connection.
    Credit { connection: ConnectionId, to: u64, credit: Credit },
    /// The peer has no process `to`: the outbox forgets its window.
    NoReceiver { connection: ConnectionId, to: u64 },
    /// Connect to this address; answered by `handle_connection`, `handle_dial_refused` or `handle_dial_failed`. If it is a name, or stands for
    /// several addresses in another way, look it up instead and answer with `handle_looked_up`.
    Dial { address: String },
    /// The connection becomes a link: send `Go`, then whatever follows.
    Open { connection: ConnectionId },
    /// The connection does not become a link: say why, then close it.
    Refuse { connection: ConnectionId, why: Refusal },
    /// The link is over: send the goodbye behind all that was sent before, then close. Nothing comes from this
    /// connection any more.
    Close { connection: ConnectionId, goodbye: Option<Goodbye> },
}
