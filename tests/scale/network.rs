//! The virtual network: every connection is first in, first out in each direction, with a delay of its own for each frame.
//! A wall between two halves swallows what is sent, or resets what stands.

use crate::count;
use crate::world::{Happening, Input, World};
use convoke::engine::{Ending, Identity, Message, Refusal, Stamped};
use convoke::model::ConnectionId;
use convoke::wire::{Handshake, Opening, encode_control, encode_handshake};
use std::sync::Arc;

/// How long a frame is under way, in us; and by how much more at most.
pub(crate) const DELAY: u64 = 500;
pub(crate) const JITTER: u64 = 200;
/// A handshake that takes longer is given up, and so is a dial into a wall.
const HANDSHAKE: u64 = 5_000_000;

/// How the two halves of a cluster notice that they are apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wall {
    /// Nothing arrives any more.
    Silence,
    /// Every connection is reset within 100 ms.
    Resets,
}

/// What travels on a connection.
#[derive(Clone)]
pub(crate) enum Parcel {
    Identity(Arc<Identity>),
    Go,
    Refuse(Refusal),
    Control(Arc<Stamped>),
    End,
}

impl Parcel {
    pub(crate) fn is_busy(&self) -> bool {
        !matches!(self, Self::Control(stamped) if count::is_life_sign(&stamped.message))
    }
}

/// End 0 has dialled.
pub(crate) struct Connection {
    pub(crate) hosts: [usize; 2],
    open: [bool; 2],
    introduced: [bool; 2],
    linked: [bool; 2],
    last_arrival: [u64; 2],
    refused: bool,
    cut: bool,
}

pub(crate) fn id_of(connection: usize, end: usize) -> ConnectionId {
    ConnectionId((connection as u64) << 1 | end as u64)
}
fn split(id: ConnectionId) -> (usize, usize) {
    ((id.0 >> 1) as usize, (id.0 & 1) as usize)
}

impl World {
    fn is_walled(&self, a: usize, b: usize) -> bool {
        self.wall.is_some() && self.hosts[a].side != self.hosts[b].side
    }

    fn delay(&mut self) -> u64 {
        DELAY + self.rng.below(JITTER)
    }

    // ---- dialling

    pub(crate) fn dial(&mut self, from: usize, address: String) {
        self.count.dials += 1;
        let late = self.delay() + self.delay();
        self.later(self.now + late, Happening::Dialled { from, address });
    }

    pub(crate) fn dialled(&mut self, from: usize, address: String) {
        if !self.hosts[from].up {
            return;
        }
        let to = self.by_address.get(&address).copied().filter(|to| self.hosts[*to].up);
        match to {
            Some(to) if !self.is_walled(from, to) => self.connect(from, to),
            Some(_) if self.wall == Some(Wall::Silence) => {
                self.later(self.now + HANDSHAKE, Happening::DialFailed { from, address });
            }
            _ => self.dial_failed(from, address),
        }
    }

    pub(crate) fn dial_failed(&mut self, from: usize, address: String) {
        self.count.dials_failed += 1;
        self.give(from, Input::DialFailed(address));
    }

    fn connect(&mut self, from: usize, to: usize) {
        self.count.connections += 1;
        let connection = self.connections.len();
        self.connections.push(Connection {
            hosts: [from, to],
            open: [true; 2],
            introduced: [false; 2],
            linked: [false; 2],
            last_arrival: [0; 2],
            refused: false,
            cut: false,
        });
        for (end, host) in [from, to].into_iter().enumerate() {
            let mut identity = (*self.hosts[host].identity).clone();
            identity.uptime_ms = (self.now - self.hosts[host].started) / 1000;
            let mut bytes = Vec::new();
            encode_handshake(&Handshake::identity("scale", identity.clone(), Opening([0; 32])), &mut bytes);
            self.count.bytes += bytes.len() as u64;
            self.put(self.now, id_of(connection, end), Parcel::Identity(Arc::new(identity)));
        }
        self.later(self.now + HANDSHAKE, Happening::Late { connection });
    }

    pub(crate) fn late(&mut self, connection: usize) {
        for end in 0..2 {
            let c = &self.connections[connection];
            if c.open[end] && !c.linked[end] {
                self.end_of(connection, end);
            }
        }
    }

    // ---- sending

    fn put(&mut self, leaves: u64, id: ConnectionId, parcel: Parcel) {
        let (connection, end) = split(id);
        let arrives = leaves + self.delay();
        let c = &mut self.connections[connection];
        if c.cut {
            return;
        }
        c.last_arrival[end] = c.last_arrival[end].max(arrives);
        let at = c.last_arrival[end];
        self.busy += usize::from(parcel.is_busy());
        self.later(at, Happening::Arrive { connection, from: end, parcel });
    }

    /// Encodes once and sends to all, one after the other. Returns when the last one has left.
    pub(crate) fn send(&mut self, mut leaves: u64, to: &[ConnectionId], message: Stamped) -> u64 {
        self.scratch.clear();
        encode_control(&message, &mut self.scratch).expect("a message that fits into a frame");
        let (size, kind) = (self.scratch.len() as u64, count::kind(&message.message));
        let is_life_sign = count::is_life_sign(&message.message);
        let message = Arc::new(message);
        for id in to {
            let (connection, end) = split(*id);
            if !self.connections[connection].open[end] {
                continue;
            }
            leaves += self.plan.send_us;
            self.count.messages[kind] += 1;
            self.count.bytes += size;
            self.count.idle_bytes += if is_life_sign { size } else { 0 };
            self.put(leaves, *id, Parcel::Control(message.clone()));
        }
        leaves
    }

    pub(crate) fn open(&mut self, leaves: u64, id: ConnectionId) {
        let (connection, end) = split(id);
        if self.connections[connection].open[end] {
            self.connections[connection].linked[end] = true;
            self.put(leaves, id, Parcel::Go);
        }
    }

    pub(crate) fn refuse(&mut self, leaves: u64, id: ConnectionId, why: Refusal) {
        let was_refused = std::mem::replace(&mut self.connections[split(id).0].refused, true);
        self.count.refused += u64::from(!was_refused);
        self.put(leaves, id, Parcel::Refuse(why));
        self.hang_up(leaves, id);
    }

    pub(crate) fn hang_up(&mut self, leaves: u64, id: ConnectionId) {
        let (connection, end) = split(id);
        if std::mem::replace(&mut self.connections[connection].open[end], false) {
            self.put(leaves, id, Parcel::End);
        }
    }

    // ---- receiving

    pub(crate) fn arrive(&mut self, connection: usize, from: usize, parcel: Parcel) {
        let to = 1 - from;
        let c = &self.connections[connection];
        let host = c.hosts[to];
        if c.cut || !c.open[to] || !self.hosts[host].up {
            self.busy -= usize::from(parcel.is_busy());
            return;
        }
        self.give(host, Input::Parcel(id_of(connection, to), parcel));
    }

    /// The host at this end reads what has arrived.
    pub(crate) fn read(&mut self, host: usize, id: ConnectionId, parcel: Parcel) {
        let (connection, end) = split(id);
        let c = &mut self.connections[connection];
        if !c.open[end] {
            return;
        }
        match parcel {
            Parcel::Identity(identity) => {
                c.introduced[end] = true;
                let dialled = (end == 0).then(|| identity.address.clone());
                let peer = (*identity).clone();
                self.feed(host, |engine, now| engine.handle_connection(now, id, peer, dialled));
            }
            Parcel::Go => {
                c.linked[end] = true;
                self.feed(host, |engine, now| engine.handle_go(now, id));
            }
            Parcel::Refuse(why) => {
                c.open[end] = false;
                self.feed(host, |engine, now| engine.handle_refused(now, id, why));
            }
            Parcel::Control(stamped) => {
                let is_hello = matches!(stamped.message, Message::Hello { .. });
                self.count.received[host] += u64::from(!count::is_life_sign(&stamped.message));
                self.last_hello = if is_hello { self.now } else { self.last_hello };
                let stamped = Arc::unwrap_or_clone(stamped);
                self.feed(host, |engine, now| engine.handle_message(now, id, stamped));
            }
            Parcel::End => self.end_of(connection, end),
        }
    }

    fn end_of(&mut self, connection: usize, end: usize) {
        let c = &mut self.connections[connection];
        if !std::mem::replace(&mut c.open[end], false) {
            return;
        }
        let (host, introduced, id) = (c.hosts[end], c.introduced[end], id_of(connection, end));
        let address = self.hosts[c.hosts[1 - end]].address.clone();
        if !self.hosts[host].up {
            return;
        }
        if introduced {
            self.feed(host, |engine, now| {
                engine.handle_connection_end(now, id, Ending::Broke, "the stream ended")
            });
        } else if end == 0 {
            self.give(host, Input::DialFailed(address));
        }
    }

    // ---- the wall

    /// The first half of the hosts and the second can reach each other no more.
    pub(crate) fn split(&mut self, wall: Wall) {
        let half = self.hosts.len() / 2;
        for (index, host) in self.hosts.iter_mut().enumerate() {
            host.side = index >= half;
        }
        self.wall = Some(wall);
        for connection in 0..self.connections.len() {
            let [a, b] = self.connections[connection].hosts;
            if !self.is_walled(a, b) {
                continue;
            }
            self.connections[connection].cut = true;
            if wall == Wall::Resets {
                for end in 0..2 {
                    if self.connections[connection].open[end] {
                        let at = self.now + self.rng.below(100_000);
                        self.later(at, Happening::Reset { connection, end });
                    }
                }
            }
        }
    }

    pub(crate) fn reset(&mut self, connection: usize, end: usize) {
        self.end_of(connection, end);
    }

    pub(crate) fn heal(&mut self) {
        self.wall = None;
    }
}
