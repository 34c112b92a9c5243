//! What a node needs of its engine.

use crate::{ClashAnswer, Command, Effect, Level, LockRow, Observation, Output, Time, Window};

/// An engine: a state machine without I/O, clock or threads. The same configuration, seed and inputs give the same outputs.
///
/// After every `handle_*`, or a few of them in a row, [`poll_output`](Machine::poll_output) is called until it is empty, then
/// [`drain_events`](Machine::drain_events). What comes from the network has methods of the engine's own.
pub trait Machine {
    /// Orders to the engine's own network.
    type Wire;

    fn handle_command(&mut self, now: Time, command: Command);
    /// A resolver function has decided, or failed to; `id` is that of its [`ClashCall`](crate::ClashCall).
    fn handle_resolved(&mut self, now: Time, id: u64, answer: ClashAnswer);
    /// The application took messages: their room can be granted again. `bytes`: what they cost.
    fn handle_taken(&mut self, now: Time, window: Window, messages: u64, bytes: u64);
    /// The time of [`poll_timeout`](Machine::poll_timeout) has come. Calls before it do nothing.
    fn handle_timeout(&mut self, now: Time);
    /// When the engine wants to be told the time.
    fn poll_timeout(&self) -> Option<Time>;
    /// The next table, then the next order to the network.
    fn poll_output(&mut self) -> Option<Output<Self::Wire>>;
    /// All events and answers, when there is no other output any more.
    fn drain_events(&mut self, into: &mut Vec<Effect>);
    /// Holders of locks and those that wait for them, as this node knows: of one lock, or of all.
    fn locks(&self, now: Time, resource: Option<&[u8]>) -> Vec<LockRow>;
    /// `inspect`: what is under way, too.
    fn observe(&self, now: Time, inspect: bool) -> Observation;
    /// From now on records up to this level are made; `None`: none.
    fn set_log_level(&mut self, level: Option<Level>);
    /// Other nodes wait for room: tell of every message that is taken, and soon. Else it may be told of in passing.
    fn is_room_wanted(&self) -> bool {
        false
    }
}
