//! What passes in a world: frames that arrive, time, and the ends of connections and nodes.

use crate::harness::{Cable, DETECTION, Frame, NodeIndex, World, address};
use convoke::engine::{Ending, Engine, Message};
use convoke::model::{ConnectionId, Machine};
use std::collections::VecDeque;
use std::time::Duration;

impl World {
    // ---- delivery

    /// The next frame from one node to the other arrives. `None`: nothing was on the way.
    pub(crate) fn step(&mut self, from: NodeIndex, to: NodeIndex) -> Option<Frame> {
        let of_pair = |wire: &Cable| wire.ends == [from, to] || wire.ends == [to, from];
        let ready = |wire: &&Cable| of_pair(wire) && !wire.to[wire.side(to)].is_empty();
        let id = *self.wires.iter().find(|(_, wire)| ready(wire))?.0;
        let wire = self.wires.get_mut(&id)?;
        let side = wire.side(to);
        let frame = wire.to[side].pop_front()?;
        self.delivered.push((from, to, frame.clone()));
        self.arrive(id, to, frame.clone());
        Some(frame)
    }

    /// Only this message arrives, before those that were sent earlier. For what another schedule of more nodes would
    /// bring about; a link itself is FIFO.
    pub(crate) fn take_out(&mut self, from: NodeIndex, to: NodeIndex, wanted: impl Fn(&Message) -> bool) {
        let id = self.wire(from, to).expect("the nodes have a connection");
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let side = wire.side(to);
        let at = wire.to[side].iter().position(|frame| frame.message().is_some_and(&wanted));
        let frame = at.and_then(|at| wire.to[side].remove(at)).expect("the message is on the way");
        self.arrive(id, to, frame);
    }

    /// Delivers from one node to the other up to the first message of this kind.
    pub(crate) fn until(&mut self, from: NodeIndex, to: NodeIndex, wanted: impl Fn(&Message) -> bool) {
        while let Some(frame) = self.step(from, to) {
            if frame.message().is_some_and(&wanted) {
                return;
            }
        }
        panic!("no such message was on the way from {from} to {to}\n{}", self.picture());
    }

    pub(crate) fn arrive(&mut self, id: ConnectionId, node: NodeIndex, frame: Frame) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let side = wire.side(node);
        if wire.over[side] {
            return;
        }
        if self.nodes[node].engine.is_none() {
            return self.nodes[node].inbox.push(frame);
        }
        let is_about_the_link = |message: &Message| {
            matches!(
                message,
                Message::Hello { .. }
                    | Message::HelloAck
                    | Message::Heartbeat
                    | Message::Ping { .. }
                    | Message::Pong { .. }
                    | Message::Goodbye { .. }
            )
        };
        if self.pings_only.contains(&node) && !frame.message().is_none_or(is_about_the_link) {
            return;
        }
        match frame {
            Frame::Go => self.input(node, |engine, now| engine.handle_go(now, id)),
            Frame::Control(stamped) => {
                self.input(node, |engine, now| engine.handle_message(now, id, stamped))
            }
            Frame::Data(header, body) => {
                self.input(node, |engine, now| engine.handle_data(now, id, header, &body))
            }
            Frame::Refuse(why) => {
                wire.over[side] = true;
                self.input(node, |engine, now| engine.handle_refused(now, id, why))
            }
            Frame::End => {
                wire.over[side] = true;
                let broke = Ending::Broke;
                self.input(node, |engine, now| engine.handle_connection_end(now, id, broke, "end of stream"))
            }
            Frame::Ended(ending) => {
                wire.over[side] = true;
                self.input(node, |engine, now| engine.handle_connection_end(now, id, ending, "end of stream"))
            }
        };
    }

    /// Everything on the way, as (from, to, message).
    pub(crate) fn in_flight(&self) -> Vec<(NodeIndex, NodeIndex, Frame)> {
        let mut all = Vec::new();
        for wire in self.wires.values() {
            for side in 0..2 {
                let (to, from) = (wire.ends[side], wire.ends[1 - side]);
                all.extend(wire.to[side].iter().map(|frame| (from, to, frame.clone())));
            }
        }
        all
    }

    /// Lets everything arrive that is on the way and what follows from it; no time passes. A hung node reads nothing.
    pub(crate) fn settle(&mut self) {
        let mut steps = 0;
        loop {
            let pairs = self.channels();
            if pairs.is_empty() {
                return;
            }
            for (from, to) in pairs {
                self.step(from, to);
                steps += 1;
                assert!(steps < 100_000, "it never comes to rest\n{}", self.picture());
            }
        }
    }

    /// Like [`settle`](Self::settle), looking at the world after every single arrival.
    pub(crate) fn settle_with(&mut self, mut look: impl FnMut(&Self)) {
        while let Some((from, to)) = self.channels().into_iter().next() {
            self.step(from, to);
            look(self);
        }
    }

    /// Like [`settle`](Self::settle), but in one direction nothing arrives from the first message of this kind on. (Such a
    /// direction must not be needed for what the others do.)
    pub(crate) fn settle_but(&mut self, from: NodeIndex, to: NodeIndex, held: impl Fn(&Message) -> bool) {
        let is_held = |world: &Self| {
            let first = world.in_flight().into_iter().find(|(a, b, _)| (*a, *b) == (from, to));
            first.is_some_and(|(_, _, frame)| frame.message().is_some_and(&held))
        };
        loop {
            let held = is_held(self);
            let Some((a, b)) = self.channels().into_iter().find(|pair| !held || *pair != (from, to)) else {
                return;
            };
            self.step(a, b);
        }
    }

    /// The directions in which something is on the way.
    pub(crate) fn channels(&self) -> Vec<(NodeIndex, NodeIndex)> {
        let mut pairs: Vec<_> = self.in_flight().into_iter().map(|(from, to, _)| (from, to)).collect();
        pairs.retain(|(from, to)| !self.nodes[*to].hung && !self.held_up.contains(&(*from, *to)));
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }

    // ---- time

    /// Time passes; timers fire when they are due, and everything arrives at once.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.pass(by, true);
    }

    /// Nodes that lost each other stay apart for so long that nobody waits for anybody any more.
    pub(crate) fn stay_apart(&mut self) {
        self.advance(DETECTION);
    }

    /// Time passes, but nothing arrives.
    pub(crate) fn advance_still(&mut self, by: Duration) {
        self.pass(by, false);
    }

    fn pass(&mut self, by: Duration, delivering: bool) {
        let end = self.now + by;
        loop {
            if delivering {
                self.settle();
                while self.dials_go_through && self.answer_dials() {
                    self.settle();
                }
            }
            let due = self
                .nodes
                .iter()
                .enumerate()
                .filter(|(_, node)| !node.hung)
                .filter_map(|(index, node)| Some((node.engine.as_ref()?.poll_timeout()?, index)));
            let Some((at, node)) = due.min().filter(|(at, _)| *at <= end) else { break };
            self.now = self.now.max(at);
            self.input(node, Engine::handle_timeout);
            let next = self.engine(node).poll_timeout();
            assert!(next.is_none_or(|next| next > at), "a timer that was due is due still");
        }
        self.now = end;
    }

    /// The node neither reads nor keeps time until it is woken.
    pub(crate) fn hang(&mut self, node: NodeIndex) {
        self.nodes[node].hung = true;
    }

    pub(crate) fn wake(&mut self, node: NodeIndex) {
        self.nodes[node].hung = false;
    }

    /// What one node says to the other stays on the way until it is let through.
    pub(crate) fn hold_up(&mut self, from: NodeIndex, to: NodeIndex) {
        self.held_up.insert((from, to));
    }

    pub(crate) fn let_through(&mut self, from: NodeIndex, to: NodeIndex) {
        self.held_up.remove(&(from, to));
    }

    /// Nothing that one end of the present connection sends arrives any more, and nobody is told.
    pub(crate) fn mute(&mut self, from: NodeIndex, to: NodeIndex) {
        let id = self.wire(from, to).expect("the nodes have a connection");
        if let Some(wire) = self.wires.get_mut(&id) {
            let side = wire.side(from);
            wire.mute[side] = true;
        }
    }

    // ---- ends

    /// Both ends see the connection end now; what was on the way is lost.
    pub(crate) fn cut(&mut self, a: NodeIndex, b: NodeIndex) {
        self.cut_at(a, b);
        self.cut_at(b, a);
    }

    /// One end sees the connection to `other` end. What it had sent before may still arrive; the other end knows nothing.
    pub(crate) fn cut_at(&mut self, node: NodeIndex, other: NodeIndex) {
        let of_pair = |wire: &Cable| wire.ends == [node, other] || wire.ends == [other, node];
        let live = |wire: &&mut Cable| of_pair(wire) && !wire.over[wire.side(node)];
        let mut ended = Vec::new();
        for (id, wire) in self.wires.iter_mut() {
            if live(&wire) {
                let side = wire.side(node);
                wire.over[side] = true;
                wire.mute = [true; 2];
                wire.to[side].clear();
                ended.push(*id);
            }
        }
        for id in ended {
            self.input(node, |engine, now| engine.handle_connection_end(now, id, Ending::Broke, "reset"));
        }
    }

    /// Nothing arrives any more in either direction, and nobody is told.
    pub(crate) fn black_hole(&mut self, a: NodeIndex, b: NodeIndex) {
        for wire in self.wires.values_mut() {
            if wire.ends == [a, b] || wire.ends == [b, a] {
                wire.mute = [true; 2];
                wire.to.iter_mut().for_each(VecDeque::clear);
            }
        }
    }

    /// The OS process dies: its peers read what it had sent, then an end of the stream that may mean anything.
    pub(crate) fn crash(&mut self, node: NodeIndex) {
        self.end_process(node, &Frame::End);
    }

    /// Likewise, and its peers, all on its machine, know that it is dead.
    pub(crate) fn die(&mut self, node: NodeIndex) {
        self.end_process(node, &Frame::Ended(Ending::Died));
    }

    /// Likewise, and its peers, on other machines, can find out.
    pub(crate) fn die_elsewhere(&mut self, node: NodeIndex) {
        let address = address(node);
        self.end_process(node, &Frame::Ended(Ending::MayHaveDied { address }));
    }

    fn end_process(&mut self, node: NodeIndex, end: &Frame) {
        self.nodes[node].engine = None;
        for wire in self.wires.values_mut().filter(|wire| wire.ends.contains(&node)) {
            let side = wire.side(node);
            if !wire.over[side] {
                wire.over[side] = true;
                wire.to[side].clear();
                wire.to[1 - side].push_back(end.clone());
            }
        }
    }
}
