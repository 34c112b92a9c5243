//! `sync`: when the tables of all nodes known are merged.

use super::machine::Engine;
use super::*;

impl Engine {
    pub(super) fn sync(&mut self, process: u64, op: Ref, _patience: Patience) {
        self.answer_call(process, op, Outcome::of(Status::Unsupported));
    }
}
