//! The engine's state, inputs and outputs. What the inputs do stands in the files of their subjects.

use super::calls::Calls;
use super::claims::Claims;
use super::clashes::Clashes;
use super::context::Context;
use super::dirty::{give_room, take};
use super::fault::Fault;
use super::groups::Groups;
use super::links::{Misconduct, View};
use super::locks::Holds;
use super::message::{DataHeader, Inbound, Window};
use super::names::Names;
use super::processes::Processes;
use super::*;

/// A node's state machine.
///
/// Four kinds of methods, as in quinn-proto:
///
/// - getters (`&self`);
/// - `handle_*`: an input from the network, the caller's side or the clock, with the present time;
/// - [`poll_timeout`](Self::poll_timeout): when [`handle_timeout`](Self::handle_timeout) wants to be called next;
///   spurious calls do nothing;
/// - [`poll_output`](Self::poll_output) and [`drain_events`](Self::drain_events): the effects. **After every `handle_*`, or a
///   few of them in a row, drain the first until it is empty, then the second**: published tables, then messages to peers, then
///   events and answers. So a caller who has an answer reads tables that are no older, and an EXIT never arrives before the
///   state it tells of.
pub struct Engine {
    pub(super) cx: Context,
    pub(super) view: View,
    pub(super) names: Names,
    pub(super) claims: Claims,
    pub(super) holds: Holds,
    pub(super) clashes: Clashes,
    pub(super) groups: Groups,
    pub(super) processes: Processes,
    pub(super) calls: Calls,
    pub(super) inbound: Inbound,
}

/// What any engine does.
impl Machine for Engine {
    type Wire = Wire;

    fn handle_command(&mut self, now: Time, command: Command) {
        self.begin(now);
        self.command(command);
        self.finish();
    }

    fn handle_resolved(&mut self, now: Time, id: u64, answer: ClashAnswer) {
        self.begin(now);
        self.resolved(id, answer);
        self.finish();
    }

    fn handle_taken(&mut self, now: Time, window: Window, messages: u64, bytes: u64) {
        self.begin(now);
        self.taken(window, messages, bytes);
        self.finish();
    }

    fn handle_timeout(&mut self, now: Time) {
        if let Some(due) = self.cx.timers.next() {
            self.notice_own_pause(now.since(due), now);
        }
        self.begin(now);
        while !self.cx.is_closed()
            && let Some(timer) = self.cx.timers.pop_due(now)
        {
            self.timer(timer);
            self.settle();
        }
        self.finish();
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.cx.timers.next()
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.publish_groups();
        self.cx.out.poll()
    }

    fn drain_events(&mut self, into: &mut Vec<Effect>) {
        self.cx.out.drain_events(into);
    }

    fn locks(&self, now: Time, resource: Option<&[u8]>) -> Vec<LockRow> {
        self.lock_rows(now, resource)
    }

    fn observe(&self, now: Time, inspect: bool) -> Observation {
        Observation {
            counters: self.cx.counters.clone(),
            gauges: self.gauges(now),
            inspection: inspect.then(|| self.inspect(now)),
        }
    }

    fn set_log_level(&mut self, level: Option<Level>) {
        self.cx.set_log_level(level);
        if self.is_logged(Level::Warn) && self.claims.operations().len() > 0 {
            self.watch_claims();
        }
    }

    fn is_room_wanted(&self) -> bool {
        self.inbound.is_room_wanted()
    }
}

/// What the native protocol needs besides.
impl Engine {
    /// A node with no links. The seeds are dialled with the first outputs. The same configuration, seed and inputs
    /// give the same outputs, byte for byte.
    pub fn new(config: Config, seed: u64, now: Time) -> Self {
        let mut engine = Self {
            view: View::default(),
            names: Names::new(config.node, seed),
            claims: Claims::default(),
            holds: Holds::new(config.first_token),
            clashes: Clashes::default(),
            groups: Groups::default(),
            processes: Processes::default(),
            calls: Calls::default(),
            inbound: Inbound::new(&config.limits),
            cx: Context::new(config, seed, now),
        };
        engine.dial_seeds();
        engine
    }

    // ---- inputs

    /// Both ends of a new connection have said who they are. `dialled`: the address, if this node dialled it.
    /// [`Wire::Open`] or [`Wire::Refuse`] follows where this node is the arbiter; else the peer says.
    pub fn handle_connection(
        &mut self,
        now: Time,
        connection: ConnectionId,
        peer: Identity,
        dialled: Option<String>,
    ) {
        self.begin(now);
        self.admit(connection, peer, dialled);
        self.finish();
    }

    /// The peer, the arbiter of the pair, made the connection the link.
    pub fn handle_go(&mut self, now: Time, connection: ConnectionId) {
        self.begin(now);
        self.go(connection);
        self.finish();
    }

    /// The peer refused the connection.
    pub fn handle_refused(&mut self, now: Time, connection: ConnectionId, why: Refusal) {
        self.begin(now);
        self.refused(connection, why);
        self.finish();
    }

    /// The connection ended by itself: end of stream, reset or bytes that do not decode (`detail` says which).
    pub fn handle_connection_end(
        &mut self,
        now: Time,
        connection: ConnectionId,
        ending: Ending,
        detail: &str,
    ) {
        self.begin(now);
        self.connection_ended(connection, ending, detail);
        self.finish();
    }

    /// The address could not be connected to, or the name not be looked up, or what answers there cannot be a peer.
    pub fn handle_dial_failed(&mut self, now: Time, address: &str, status: Status, detail: &str) {
        self.begin(now);
        self.dial_over(address);
        self.dial_failed(address, status, detail);
        self.finish();
    }

    /// The machine at this address has refused the connection: nobody listens there.
    pub fn handle_dial_refused(&mut self, now: Time, address: &str, detail: &str) {
        self.begin(now);
        self.dial_over(address);
        self.note_refused_dial(address);
        self.dial_failed(address, Status::Unreachable, detail);
        self.finish();
    }

    /// What was dialled is a name that stands for these addresses at present. They are dialled, each for itself.
    pub fn handle_looked_up(&mut self, now: Time, name: &str, addresses: Vec<String>) {
        self.begin(now);
        self.dial_over(name);
        self.looked_up(name, addresses);
        self.finish();
    }

    pub fn handle_message(&mut self, now: Time, connection: ConnectionId, stamped: Stamped) {
        self.begin(now);
        if let Some(from) = self.heard(connection) {
            if matches!(stamped.message, Message::Hello { .. })
                && self.view.is_stale(from, stamped.clock)
                && !self.is_broken(Fault::StaleSnapshotCounts)
            {
                self.link_down(from, Reason::NODE_UNREACHABLE, Some(Goodbye::Stale));
            } else {
                let clock = self.cx.follow(stamped.clock);
                self.view.note_message(from, clock);
                match border::check_names(&stamped.message, self.cx.config.limits.name) {
                    Err(misconduct) => self.part(from, misconduct),
                    Ok(()) => match self.message(from, stamped.message) {
                        Ok(()) => self.keep_within_budget(from),
                        Err(Violation(what)) => self.part(from, Misconduct::Violation(what)),
                    },
                }
            }
        }
        self.finish();
    }

    pub fn handle_data(&mut self, now: Time, connection: ConnectionId, header: DataHeader, body: &[u8]) {
        self.begin(now);
        if let Some(from) = self.heard(connection)
            && let Err(Violation(what)) = self.data(from, header, body)
        {
            self.part(from, Misconduct::Violation(what));
        }
        self.finish();
    }

    /// Part of a frame came, of which the rest is still on its way.
    pub fn handle_part(&mut self, now: Time, connection: ConnectionId) {
        self.begin(now);
        self.heard_part(connection);
        self.finish();
    }

    /// Every address that waits for its next dial is dialled now.
    #[cfg(feature = "test-hooks")]
    pub fn redial(&mut self, now: Time) {
        self.begin(now);
        self.dial_all();
        self.finish();
    }

    /// Where this node can be dialled, once that is known.
    pub fn set_address(&mut self, address: String) {
        self.cx.config.address = address;
    }

    // ---- outputs

    /// The next output of any kind, in their order.
    #[must_use]
    pub fn poll_any(&mut self) -> Option<Output> {
        self.poll_output().or_else(|| self.cx.out.poll_event().map(Output::Effect))
    }

    // ---- getters

    pub fn node(&self) -> NodeId {
        self.cx.config.node
    }

    /// The process that readers of this node see under the name.
    pub fn whereis(&self, name: &[u8]) -> Option<Pid> {
        self.names.visible(name)
    }

    /// Every name that readers of this node see, in no particular order.
    pub fn names(&self) -> impl Iterator<Item = (&Name, Pid)> {
        self.names.all_visible()
    }

    /// Every binding that this node knows, those hidden behind a covering one too, in no particular order.
    pub fn bindings(&self) -> impl Iterator<Item = (&Name, &Binding)> {
        self.names.all_bindings()
    }

    /// Every group that this node sees, with its members.
    pub fn groups(&self) -> Vec<(Name, Members)> {
        self.all_groups()
    }

    /// The linked nodes, and whether their snapshot is complete here.
    pub fn links(&self) -> impl Iterator<Item = (NodeId, bool)> {
        self.view.nodes()
    }

    /// Operations that have not been answered yet.
    pub fn pending_operations(&self) -> usize {
        self.processes.pending_calls()
    }

    /// What this node holds for others or for later: zero of everything at rest, a leak otherwise.
    pub fn residue(&self) -> Vec<(&'static str, usize)> {
        vec![
            ("operations", self.claims.operations().len()),
            ("claims at this voter", self.claims.contested().len()),
            ("holds", self.holds.residue()),
            ("forwarded operations", self.calls.residue()),
            ("calls of sync", self.calls.syncs().len()),
            ("unanswered calls of resolvers", self.clashes.resolvers().residue()),
            ("unfinished work on groups", self.groups.residue()),
            ("undecided clashes", self.undecided_clashes()),
            ("answers that peers owe", self.owed_answers()),
        ]
    }

    /// A readable picture of the state, for failures of tests.
    pub fn describe(&self) -> String {
        format!(
            "{:?} ({}) clock {}\n  view {:?}\n  names {:?}\n  claims {:?}\n  holds {:?}\n  clashes {:?}\n  resolvers {:?}\n  groups {:?}\n  processes {:?}\n  calls {:?}\n  timers {:?}",
            self.cx.config.node,
            self.cx.config.name,
            self.cx.clock(),
            self.view,
            self.names,
            self.claims,
            self.holds,
            self.clashes.cases(),
            self.clashes.resolvers(),
            self.groups,
            self.processes,
            self.calls,
            self.cx.timers,
        )
    }

    // ---- the frame of every input

    fn begin(&mut self, now: Time) {
        // The driver's clock is monotonic; a simulator's mistake must not turn time back here.
        let before = self.cx.now;
        self.cx.now = before.max(now);
        self.count_awake(before);
        self.notice_gap(before);
    }

    fn finish(&mut self) {
        self.settle();
        self.cx.out.end_input();
        self.begin_waiting_dials();
        self.answer_syncs();
        self.publish_names();
        self.holds.end_input();
        #[cfg(debug_assertions)]
        self.assert_invariants();
    }

    /// Handles what was said to oneself and reconciles what is marked, until nothing is left of either. Names go first: a claim for
    /// one that is taken by now must not be completed.
    pub(super) fn settle(&mut self) {
        loop {
            self.carry_out_notices();
            self.drain_self_queue();
            if !self.cx.notices.is_empty() {
                continue;
            }
            if self.cx.dirty.is_empty() {
                return;
            }
            for (name, reg) in std::mem::take(&mut self.cx.dirty.gone) {
                self.forget_verdicts(&name, reg);
            }
            let names = take(&mut self.cx.dirty.names);
            if !names.is_empty() {
                names.iter().for_each(|name| self.reconcile_name(name));
                give_room(&mut self.cx.dirty.names, names);
                continue;
            }
            let keys = take(&mut self.cx.dirty.keys);
            if !keys.is_empty() {
                keys.iter().for_each(|key| self.reconcile_key(key));
                give_room(&mut self.cx.dirty.keys, keys);
                continue;
            }
            let operations = take(&mut self.cx.dirty.operations);
            operations.iter().for_each(|tx| self.reconcile_operation(*tx));
            give_room(&mut self.cx.dirty.operations, operations);
        }
    }

    pub(super) fn drain_self_queue(&mut self) {
        while let Some(message) = self.cx.out.next_to_self() {
            let me = self.cx.config.node;
            let sane = self.message(me, message);
            debug_assert!(sane.is_ok(), "own message refused: {sane:?}");
        }
    }
}
