//! `sync` and `join`: when the tables of all nodes known are merged.
//!
//! The manual: "Synchronizes the global name server with all nodes known to this node." Known are the linked peers, the
//! seeds, and whoever a peer has named in its snapshot. Each is waited for until it is merged (its snapshot is
//! complete here and mine is there) or has shown that it cannot be had: nobody answers, or it refuses. So a node that is
//! alone is in sync at once, and one that joins is when it has met everybody that there was to meet.
//!
//! A node that is opened waits in the same way (`join`), so that it registers nothing into a clash, but it must open. An
//! address that says nothing (a hung program, a machine that is off, packets that are swallowed) is the only hope of
//! finding the cluster while nobody else has answered: it is waited for to the end, and then the node is open. Once
//! another node has answered, that one tells of all the others, and whoever has said nothing a second later is passed
//! over: a name that it has is refused by the nodes that have a link to it. Only who has answered and is not merged at the
//! end makes a join fail.

use super::answers::Work;
use crate::fault::Fault;
use crate::machine::Engine;
use crate::timers::Timer;
use crate::*;
use std::time::Duration;

/// For so long a node that joins waits for those who say nothing, once another node has answered.
const LAST_CALL: Duration = Duration::from_millis(1000);

/// A call that waits until everybody is met.
#[derive(Debug)]
pub(crate) struct Meeting {
    pub(super) process: u64,
    /// Of a join: whether those who say nothing are still waited for, and until when.
    join: Option<LastCall>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum LastCall {
    /// Nobody has answered.
    NotYet,
    /// Somebody has; the timer runs.
    Running,
    Over,
}

impl Engine {
    pub(crate) fn sync(&mut self, process: u64, op: Ref, deadline: Deadline) {
        self.meet_all(process, op, deadline, None);
    }

    pub(crate) fn join(&mut self, process: u64, op: Ref, deadline: Deadline) {
        let join = if self.is_broken(Fault::JoinDoesNotWait) { LastCall::Over } else { LastCall::NotYet };
        self.meet_all(process, op, deadline, Some(join));
    }

    fn meet_all(&mut self, process: u64, op: Ref, deadline: Deadline, join: Option<LastCall>) {
        if !self.processes.begin_call(process, op, Work::Sync) {
            return self.answer_call(process, op, Outcome::of(Status::NoProcess));
        }
        if let Some(deadline) = deadline.at {
            self.cx.timers.set(Timer::Sync(op), deadline);
        }
        self.calls.syncs.insert(op, Meeting { process, join }); // answered at the end of this input, if all is merged already
    }

    /// At the end of every input: it may have been what the callers wait for.
    pub(crate) fn answer_syncs(&mut self) {
        if self.calls.syncs.is_empty() {
            return;
        }
        if !self.view.is_alone() {
            for (op, meeting) in &mut self.calls.syncs {
                if meeting.join == Some(LastCall::NotYet) {
                    meeting.join = Some(LastCall::Running);
                    self.cx.timers.set(Timer::LastCall(*op), self.cx.now + LAST_CALL);
                }
            }
        }
        let (all_met, all_answered_met) = (self.is_all_met(true), self.is_all_met(false));
        let is_over = |meeting: &Meeting| all_met || all_answered_met && meeting.join == Some(LastCall::Over);
        let over = self.calls.syncs.iter().filter(|(_, meeting)| is_over(meeting));
        for op in over.map(|(op, _)| *op).collect::<Vec<_>>() {
            self.end_sync(op, Outcome::of(Status::Ok));
        }
    }

    /// Everybody known is merged or cannot be had. `silent_too`: also those who have not said a word.
    fn is_all_met(&self, silent_too: bool) -> bool {
        self.view.is_merged() && !self.view.is_meeting(silent_too)
    }

    /// Those who say nothing are passed over; the end of this input looks whether anybody is left.
    pub(crate) fn last_call_over(&mut self, op: Ref) {
        if let Some(meeting) = self.calls.syncs.get_mut(&op) {
            meeting.join = Some(LastCall::Over);
        }
    }

    pub(crate) fn sync_deadline(&mut self, op: Ref) {
        let is_join = self.calls.syncs.get(&op).is_some_and(|meeting| meeting.join.is_some());
        let met = is_join && self.is_all_met(self.is_broken(Fault::SilentFailJoin));
        self.end_sync(op, Outcome::of(if met { Status::Ok } else { Status::Timeout }));
    }

    pub(crate) fn end_sync(&mut self, op: Ref, outcome: Outcome) {
        if let Some(meeting) = self.forget_sync(op) {
            self.answer_call(meeting.process, op, outcome);
        }
    }

    fn forget_sync(&mut self, op: Ref) -> Option<Meeting> {
        self.cx.timers.cancel(&Timer::Sync(op));
        self.cx.timers.cancel(&Timer::LastCall(op));
        self.calls.syncs.remove(&op)
    }

    pub(super) fn drop_syncs_without_process(&mut self) {
        let gone = self.calls.syncs.iter().filter(|(_, meeting)| !self.processes.exists(meeting.process));
        for op in gone.map(|(op, _)| *op).collect::<Vec<_>>() {
            self.forget_sync(op);
        }
    }
}
