//! `sync`: when the tables of all nodes known are merged.
//!
//! The manual: "Synchronizes the global name server with all nodes known to this node." Known are the linked peers, the
//! seeds, and whoever a peer has named in its snapshot. Each is waited for until it is merged (its snapshot is
//! complete here and mine is there) or has shown that it cannot be had: nobody answers, or it refuses. So a node that is
//! alone is in sync at once, and one that joins is when it has met everybody that there was to meet.

use super::forward::Work;
use super::machine::Engine;
use super::timers::Timer;
use super::*;

impl Engine {
    pub(super) fn sync(&mut self, process: u64, op: Ref, patience: Patience) {
        let Some(caller) = self.processes.get_mut(process) else {
            return self.answer_call(process, op, Outcome::of(Status::NoProcess));
        };
        caller.calls.insert(op, Work::Sync);
        if let Some(deadline) = patience.deadline {
            self.timers.set(Timer::Sync(op), deadline);
        }
        self.syncs.insert(op, process); // answered at the end of this input, if all is merged already
    }

    /// At the end of every input: it may have been what the callers wait for.
    pub(super) fn answer_syncs(&mut self) {
        if !self.syncs.is_empty() && self.view.is_merged() && !self.view.dials.is_meeting() {
            for op in self.syncs.keys().copied().collect::<Vec<_>>() {
                self.end_sync(op, Outcome::of(Status::Ok));
            }
        }
    }

    pub(super) fn end_sync(&mut self, op: Ref, outcome: Outcome) {
        if let Some(process) = self.forget_sync(op) {
            self.answer_call(process, op, outcome);
        }
    }

    fn forget_sync(&mut self, op: Ref) -> Option<u64> {
        self.timers.cancel(&Timer::Sync(op));
        self.syncs.remove(&op)
    }

    pub(super) fn drop_syncs_without_process(&mut self) {
        let gone = self.syncs.iter().filter(|(_, process)| !self.processes.exists(**process));
        for op in gone.map(|(op, _)| *op).collect::<Vec<_>>() {
            self.forget_sync(op);
        }
    }
}
