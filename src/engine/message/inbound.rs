//! The receiving side: room granted to other nodes, reassembly.

use super::{Credit, DataHeader, Window};
use crate::engine::{Limits, NodeId, Payload};

/// What a frame meant.
pub enum Received {
    Nothing,
    Message { from: u64, payload: Payload, window: Window },
    Exit { from: u64, to: u64, reference: u64, reason: u32 },
    Kill { from: u64, to: u64, reason: u32 },
    NoReceiver { to: u64 },
}

/// The peer broke the protocol; the link is ended.
#[derive(Debug)]
pub struct Violation(pub &'static str);

/// Room granted to the processes of other nodes.
pub struct Inbound {}

impl Inbound {
    pub fn new(_limits: &Limits) -> Inbound {
        Inbound {}
    }
    pub fn link_up(&mut self, _peer: NodeId, _link: u64) {}
    pub fn link_down(&mut self, _peer: NodeId) {}
    pub fn frame(
        &mut self,
        _peer: NodeId,
        _header: DataHeader,
        _body: &[u8],
        _alive: &dyn Fn(u64) -> bool,
    ) -> Result<(Received, Option<(u64, Credit)>), Violation> {
        Ok((Received::Nothing, None))
    }
    pub fn taken(&mut self, _window: Window, _messages: u64, _bytes: u64) -> Vec<(NodeId, u64, Credit)> {
        Vec::new()
    }
    pub fn receiver_exit(&mut self, _serial: u64) -> Vec<NodeId> {
        Vec::new()
    }
}
