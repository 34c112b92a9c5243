//! The engine as its node sees it.

use super::machine::Engine;
use super::*;

impl Machine for Engine {
    type Wire = Wire;

    fn handle_command(&mut self, now: Time, command: Command) {
        self.handle_command(now, command);
    }
    fn handle_resolved(&mut self, now: Time, id: u64, answer: ClashAnswer) {
        self.handle_resolved(now, id, answer);
    }
    fn handle_taken(&mut self, now: Time, window: Window, messages: u64, bytes: u64) {
        self.handle_taken(now, window, messages, bytes);
    }
    fn handle_timeout(&mut self, now: Time) {
        self.handle_timeout(now);
    }
    fn poll_timeout(&self) -> Option<Time> {
        self.poll_timeout()
    }
    fn poll_output(&mut self) -> Option<Output> {
        self.poll_output()
    }
    fn drain_events(&mut self, into: &mut Vec<Effect>) {
        self.drain_events(into);
    }
    fn locks(&self, now: Time, resource: Option<&[u8]>) -> Vec<LockRow> {
        self.locks(now, resource)
    }
    fn observe(&self, now: Time, inspect: bool) -> Observation {
        Observation {
            counters: self.counters().clone(),
            gauges: self.gauges(now),
            inspection: inspect.then(|| self.inspect(now)),
        }
    }
    fn set_log_level(&mut self, level: Option<Level>) {
        self.set_log_level(level);
    }
    fn is_room_wanted(&self) -> bool {
        self.is_room_wanted()
    }
}
