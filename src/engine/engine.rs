//! The engine's inputs and outputs.

use super::message::{DataHeader, Window};
use super::*;

/// A node's state machine.
pub struct Engine {
    config: Config,
}

impl Engine {
    pub fn new(config: Config, _seed: u64, _now: Time) -> Engine {
        Engine { config }
    }
    pub fn handle_command(&mut self, _now: Time, _command: Command) {}
    pub fn handle_connection(&mut self, _: Time, _: ConnectionId, _: Identity, _dialled: Option<String>) {}
    pub fn handle_go(&mut self, _now: Time, _connection: ConnectionId) {}
    pub fn handle_refused(&mut self, _now: Time, _connection: ConnectionId, _why: Refusal) {}
    pub fn handle_connection_end(&mut self, _now: Time, _connection: ConnectionId, _detail: &str) {}
    pub fn handle_dial_failed(&mut self, _now: Time, _address: &str, _status: Status, _detail: &str) {}
    pub fn handle_message(&mut self, _now: Time, _connection: ConnectionId, _message: Stamped) {}
    pub fn handle_data(&mut self, _now: Time, _: ConnectionId, _header: DataHeader, _body: &[u8]) {}
    pub fn handle_taken(&mut self, _now: Time, _window: Window, _messages: u64, _bytes: u64) {}
    pub fn handle_timeout(&mut self, _now: Time) {}
    pub fn set_address(&mut self, address: String) {
        self.config.address = address;
    }
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        None
    }
    pub fn node(&self) -> NodeId {
        self.config.node
    }
    pub fn whereis(&self, _name: &[u8]) -> Option<Pid> {
        None
    }
    pub fn names(&self) -> impl Iterator<Item = (&Name, Pid)> {
        std::iter::empty()
    }
    pub fn links(&self) -> impl Iterator<Item = (NodeId, bool)> {
        std::iter::empty()
    }
    pub fn pending_operations(&self) -> usize {
        0
    }
    pub fn describe(&self) -> String {
        String::new()
    }
}
