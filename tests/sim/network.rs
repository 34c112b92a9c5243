//! The virtual network: connections that are first in, first out in each direction and nothing else. They may be slow,
//! go dark in one direction, break so that the two ends notice at different times, or so that an end never does.

use crate::host::Host;
use crate::world::{Happening, R, World};
use convoke::engine::{Ending, Goodbye, Identity, Message, Refusal, Stamped};
use convoke::model::{ConnectionId, NodeId, Reason, Status};
use convoke::wire::{Frame, FrameReader, Handshake, Opening, WireError, encode_control, encode_handshake};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What matters about bytes that are under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Load {
    Handshake,
    Control,
    /// Control messages that are exchanged for ever, at rest too.
    Quiet,
    Block,
    /// The end of the stream.
    End,
}

pub(crate) struct Parcel {
    bytes: Vec<u8>,
    pub(crate) load: Load,
}

/// One direction.
#[derive(Default)]
pub(crate) struct Way {
    pub(crate) queue: VecDeque<Parcel>,
    last_arrival: u64,
    /// So many have arrived where nothing passes for the time being.
    pub(crate) held: usize,
    /// Whatever is put in is lost.
    pub(crate) dark: bool,
}

pub(crate) struct ConnectionEnd {
    pub(crate) slot: usize,
    pub(crate) node: NodeId,
    pub(crate) open: bool,
    /// The engine was told who is at the other end.
    pub(crate) introduced: bool,
    /// A Go was sent or read.
    pub(crate) linked: bool,
    dialled: Option<String>,
    reader: FrameReader,
}

pub(crate) struct Connection {
    pub(crate) ends: [ConnectionEnd; 2],
    /// `ways[e]` leads from end `e` to the other one.
    pub(crate) ways: [Way; 2],
    pub(crate) cut: bool,
    /// What its end says of the peer that is no more.
    pub(crate) parting: Parting,
    /// An end gave it up without a word, and has reset it.
    reset: bool,
}

/// How an end looks to the other one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Parting {
    Broke,
    /// The OS process was on the same machine.
    Died,
    /// On another one, which can be asked.
    MayHaveDied,
}

/// A name for the addresses of all hosts, as far as whoever looks it up can tell.
pub(crate) const SERVICE: &str = "service";

/// An address behind which another host answers each time.
pub(crate) const BALANCER: &str = "balancer:1";

#[derive(Default)]
pub(crate) struct Network {
    pub(crate) connections: BTreeMap<u64, Connection>,
    next: u64,
    /// Pairs of hosts, the smaller first, between which nothing passes.
    pub(crate) blocked: BTreeSet<(usize, usize)>,
    /// (from, to): cannot be dialled in this direction.
    pub(crate) closed_doors: BTreeSet<(usize, usize)>,
    /// (from, to) -> how many times slower.
    pub(crate) clogged: BTreeMap<(usize, usize), u64>,
    /// (from, to): for the time being nothing passes, and nothing is lost.
    pub(crate) stopped: BTreeSet<(usize, usize)>,
    /// Hosts that read pings and their like, and leave all else lying.
    pub(crate) numb: BTreeSet<usize>,
}

pub(crate) fn id_of(connection: u64, end: usize) -> ConnectionId {
    ConnectionId(connection << 1 | end as u64)
}
pub(crate) fn split(id: ConnectionId) -> (u64, usize) {
    (id.0 >> 1, (id.0 & 1) as usize)
}
pub(crate) fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}
/// The id by which the other end knows the same connection.
pub(crate) fn other_end(id: ConnectionId) -> ConnectionId {
    ConnectionId(id.0 ^ 1)
}

impl Network {
    pub(crate) fn end(&self, id: ConnectionId) -> Option<&ConnectionEnd> {
        let (connection, end) = split(id);
        self.connections.get(&connection).map(|c| &c.ends[end])
    }

    /// Both ends are there, and nobody has broken it.
    pub(crate) fn is_whole(&self, id: ConnectionId) -> bool {
        let (connection, _) = split(id);
        self.connections
            .get(&connection)
            .is_some_and(|c| !c.cut && c.ends.iter().all(|e| e.open) && c.ways.iter().all(|w| !w.dark))
    }

    /// A dead connection of which an end is still open, or one whose handshake is not over.
    pub(crate) fn has_ruins(&self) -> bool {
        self.connections
            .iter()
            .any(|(id, c)| c.ends.iter().any(|e| e.open && !e.linked) || !self.is_whole(id_of(*id, 0)))
    }

    /// Is something under way that is not exchanged for ever?
    pub(crate) fn is_busy(&self) -> bool {
        self.connections
            .values()
            .any(|c| c.ways.iter().any(|w| w.queue.iter().any(|p| p.load != Load::Quiet)))
    }
}

fn load_of(message: &Message) -> Load {
    match message {
        Message::Heartbeat
        | Message::Ping { .. }
        | Message::Pong { .. }
        | Message::Probe { .. }
        | Message::ProbeAnswer { .. }
        | Message::Challenge { .. }
        | Message::Vouch { .. }
        | Message::Vouched { .. } => Load::Quiet,
        _ => Load::Control,
    }
}

impl World {
    // ---- dialling

    pub(crate) fn dial(&mut self, slot: usize, address: String) {
        let at = self.now + self.delay(slot, slot);
        let node = self.hosts[slot].id;
        let target = self.hosts.iter().find(|h| h.address == address);
        let up = address == SERVICE || address == BALANCER || target.is_some_and(Host::is_up);
        let refused = target.is_some_and(|target| self.is_open(slot, target.slot));
        self.later(
            at,
            if up {
                Happening::Dialled { slot, node, address }
            } else {
                Happening::DialFailed { slot, node, address, refused }
            },
        );
    }

    pub(crate) fn dialled(&mut self, slot: usize, node: NodeId, address: String) -> R {
        if self.hosts[slot].id != node || !self.hosts[slot].is_up() {
            return Ok(());
        }
        if address == SERVICE {
            return self.look_up(slot, node, address);
        }
        let target = match address.as_str() {
            BALANCER => self.balance(),
            _ => self.hosts.iter().position(|h| h.address == address),
        };
        let passes = target.is_some_and(|to| self.is_open(slot, to));
        match target {
            Some(to) if passes && self.hosts[to].is_up() => self.connect(slot, to, address),
            _ => {
                // A host that is down refuses at once; what a wall swallows comes back as a timeout.
                let late = if self.rng.percent(70) { 0 } else { self.rng.below(self.plan.detection) };
                let failed = Happening::DialFailed { slot, node, address, refused: passes };
                self.later(self.now + late, failed);
                Ok(())
            }
        }
    }

    /// The host that the balancer leads to this time: mostly one that is up, as far as it knows.
    fn balance(&mut self) -> Option<usize> {
        let up: Vec<usize> = self.hosts.iter().filter(|h| h.is_up()).map(|h| h.slot).collect();
        if self.rng.percent(10) { Some(self.rng.index(self.hosts.len())) } else { self.rng.pick(&up) }
    }

    /// Nothing stands between the two hosts.
    fn is_open(&self, from: usize, to: usize) -> bool {
        !self.net.blocked.contains(&pair(from, to)) && !self.net.closed_doors.contains(&(from, to))
    }

    /// Who is down may still be found, and who is up may not be yet.
    fn look_up(&mut self, slot: usize, node: NodeId, name: String) -> R {
        let mut found: Vec<String> = self.hosts.iter().map(|host| host.address.clone()).collect();
        found.retain(|_| self.rng.percent(85));
        if self.plan.entrance.is_balanced() {
            found = vec![BALANCER.to_owned()];
        }
        let first = self.rng.index(found.len().max(1));
        found.rotate_left(first);
        if self.rng.percent(10) {
            return self.dial_failed(slot, node, name, false);
        }
        self.trace.say(self.now, || format!("h{slot} finds {found:?}"));
        self.feed(slot, |engine, now| engine.handle_looked_up(now, &name, found))
    }

    pub(crate) fn dial_failed(&mut self, slot: usize, node: NodeId, address: String, refused: bool) -> R {
        if self.hosts[slot].id != node || !self.hosts[slot].is_up() {
            return Ok(());
        }
        self.trace.say(self.now, || format!("h{slot} dial of {address} failed (refused {refused})"));
        if refused {
            self.proof = Some(address.clone());
            return self.feed(slot, |engine, now| engine.handle_dial_refused(now, &address, "simulated"));
        }
        self.feed(slot, |engine, now| {
            engine.handle_dial_failed(now, &address, Status::Unreachable, "simulated")
        })
    }

    fn connect(&mut self, from: usize, to: usize, address: String) -> R {
        let id = self.net.next;
        self.net.next += 1;
        let end = |slot: usize, dialled| ConnectionEnd {
            slot,
            node: self.hosts[slot].id,
            open: true,
            introduced: false,
            linked: false,
            dialled,
            reader: FrameReader::new(),
        };
        let ends = [end(from, Some(address)), end(to, None)];
        self.trace.say(self.now, || format!("h{from}-h{to} connection {id}"));
        self.net.connections.insert(
            id,
            Connection { ends, ways: Default::default(), cut: false, parting: Parting::Broke, reset: false },
        );
        for (end, slot) in [from, to].into_iter().enumerate() {
            let host = &self.hosts[slot];
            let identity = Identity {
                node: host.id,
                name: host.name.clone(),
                address: host.address.clone(),
                connectivity: host
                    .engine
                    .as_ref()
                    .map(|e| e.connectivity(host.local(self.now)))
                    .unwrap_or_default(),
                groups: host.engine.as_ref().map_or(0, |engine| engine.existence_digest()),
                uptime_ms: (self.now - host.started) / 1000,
                message_limit: self.plan.limits.message as u64,
            };
            let handshake = Handshake::identity("sim", identity, Opening([0; 32]));
            self.put_handshake(id_of(id, end), &handshake);
            // The driver gives up on a handshake that does not come to its end.
            let late = self.now + self.plan.detection;
            self.later(late, Happening::Late { connection: id, end });
        }
        Ok(())
    }

    /// The handshake has taken too long.
    pub(crate) fn late(&mut self, connection: u64, end: usize) -> R {
        match self.net.connections.get(&connection) {
            Some(c) if c.ends[end].open && !c.ends[end].linked => self.end_of(connection, end, "handshake"),
            _ => Ok(()),
        }
    }

    // ---- sending

    fn put(&mut self, id: ConnectionId, bytes: Vec<u8>, load: Load) {
        let (connection, end) = split(id);
        let Some(c) = self.net.connections.get(&connection) else { return };
        let (from, to) = (c.ends[end].slot, c.ends[1 - end].slot);
        if c.cut || c.ways[end].dark {
            return;
        }
        let at = self.now + self.delay(from, to);
        let Some(c) = self.net.connections.get_mut(&connection) else { return };
        let way = &mut c.ways[end];
        way.last_arrival = way.last_arrival.max(at);
        let at = way.last_arrival;
        way.queue.push_back(Parcel { bytes, load });
        self.later(at, Happening::Arrive { connection, from: end });
    }

    fn put_handshake(&mut self, id: ConnectionId, handshake: &Handshake) {
        let mut bytes = Vec::new();
        encode_handshake(handshake, &mut bytes);
        self.put(id, bytes, Load::Handshake);
    }

    pub(crate) fn put_control(&mut self, to: &[ConnectionId], message: &Stamped) {
        let mut bytes = Vec::new();
        if let Err(error) = encode_control(message, &mut bytes) {
            self.fault = Some(format!("wire: {error:?} for {message:?}"));
        }
        for id in to {
            if self.net.end(*id).is_some_and(|e| e.open) {
                self.put(*id, bytes.clone(), load_of(&message.message));
            }
        }
    }

    pub(crate) fn open(&mut self, id: ConnectionId) {
        let (connection, end) = split(id);
        let Some(c) = self.net.connections.get_mut(&connection) else { return };
        if c.ends[end].open {
            // The higher side may send as soon as it has read the Go.
            c.ends[end].reader.link();
            c.ends[end].linked = true;
            self.put_handshake(id, &Handshake::Go);
        }
    }

    pub(crate) fn refuse(&mut self, id: ConnectionId, why: Refusal) {
        if self.net.end(id).is_some_and(|e| e.open) {
            self.put_handshake(id, &Handshake::Refuse(why));
            self.hang_up(id);
        }
    }

    pub(crate) fn close(&mut self, id: ConnectionId, goodbye: Option<Goodbye>) {
        if let Some(why) = goodbye {
            self.put_control(&[id], &Stamped { clock: 0, message: Message::Goodbye { why } });
        }
        self.hang_up(id);
    }

    /// This side closes: what was put in still arrives, nothing is read any more.
    pub(crate) fn hang_up(&mut self, id: ConnectionId) {
        let (connection, end) = split(id);
        let Some(c) = self.net.connections.get_mut(&connection) else { return };
        if !c.ends[end].open {
            return;
        }
        c.ends[end].open = false;
        self.put(id, Vec::new(), Load::End);
        self.sweep(connection);
    }

    /// Moves blocks of messages from the outbox of a link onto its connection, as far as there is room.
    pub(crate) fn pump(&mut self, slot: usize, node: NodeId) {
        loop {
            let room = self.plan.blocks;
            let Some(link) = self.hosts[slot].links.get_mut(&node) else { return };
            if link.flowing >= room || link.outbox.is_empty() {
                return;
            }
            let Some(block) = link.outbox.next_block() else { return };
            let id = link.connection;
            let bytes = block.clone();
            link.queued -= block.len() as i64;
            link.flowing += 1;
            let told = link.outbox.written(block);
            self.put(id, bytes, Load::Block);
            // What is put on a dead connection is gone, and its room free again.
            let lost = self
                .net
                .connections
                .get(&(id.0 >> 1))
                .is_none_or(|c| c.cut || c.ways[(id.0 & 1) as usize].dark);
            if lost && let Some(link) = self.hosts[slot].links.get_mut(&node) {
                link.flowing -= 1;
            }
            self.tell(slot, node, id, told);
        }
    }

    // ---- receiving

    /// The slot that an arrival concerns.
    pub(crate) fn receiver(&self, connection: u64, from: usize) -> Option<usize> {
        self.net.connections.get(&connection).map(|c| c.ends[1 - from].slot)
    }

    pub(crate) fn arrive(&mut self, connection: u64, from: usize) -> R {
        let Some(c) = self.net.connections.get_mut(&connection) else { return Ok(()) };
        let to = 1 - from;
        if self.net.stopped.contains(&(c.ends[from].slot, c.ends[to].slot)) {
            c.ways[from].held += 1;
            return Ok(());
        }
        // What has arrived and lies there: as many parcels as are held, and this one.
        let here = c.ways[from].held;
        let at = if self.net.numb.contains(&c.ends[to].slot) && c.ends[to].linked {
            match c.ways[from].queue.iter().take(here + 1).position(|p| p.load == Load::Quiet) {
                Some(at) => at,
                None => {
                    c.ways[from].held += 1;
                    return Ok(());
                }
            }
        } else {
            0
        };
        let Some(parcel) = c.ways[from].queue.remove(at) else { return Ok(()) };
        let (sender, sender_node) = (c.ends[from].slot, c.ends[from].node);
        if parcel.load == Load::Block && self.hosts[sender].id == sender_node {
            let peer = c.ends[to].node;
            self.block_arrived(connection, from, sender, peer);
        }
        let Some(c) = self.net.connections.get_mut(&connection) else { return Ok(()) };
        if !c.ends[to].open {
            self.sweep(connection);
            return Ok(());
        }
        if parcel.load == Load::End {
            // Nothing of it was lost: whoever ends a link and lives has said goodbye.
            if self.plan.same_machine && !c.reset && !c.cut && !c.ways[from].dark {
                c.parting = Parting::Died;
            }
            return self.end_of(connection, to, "end of stream");
        }
        let mut frames = Vec::new();
        let mut broken = false;
        let reader = &mut c.ends[to].reader;
        // Sometimes the bytes come in two pieces.
        let middle = if self.rng.percent(10) { self.rng.index(parcel.bytes.len() + 1) } else { 0 };
        for mut piece in [&parcel.bytes[..middle], &parcel.bytes[middle..]] {
            while !piece.is_empty() {
                let space = reader.space();
                let read = piece.len().min(space.len());
                space[..read].copy_from_slice(&piece[..read]);
                reader.filled(read);
                piece = &piece[read..];
                loop {
                    match reader.next_frame() {
                        Ok(Some(Frame::Handshake(h))) => {
                            let go = h == Handshake::Go;
                            frames.push(Arrived::Handshake(h));
                            if go {
                                reader.link();
                            }
                        }
                        Ok(Some(Frame::Control(m))) => frames.push(Arrived::Control(m)),
                        Ok(Some(Frame::Data(header, body))) => {
                            frames.push(Arrived::Data(header, body.to_vec()));
                        }
                        Ok(None) => break,
                        // A refusal that crossed our Go: the driver ends the connection.
                        Err(WireError::Lane(0)) => {
                            broken = true;
                            break;
                        }
                        Err(error) => return Err(format!("wire: a frame of a peer is refused: {error:?}")),
                    }
                }
            }
        }
        for frame in frames {
            if self.net.end(id_of(connection, to)).is_some_and(|e| e.open) {
                self.frame(connection, to, frame)?;
            }
        }
        if broken {
            return self.end_of(connection, to, "a frame that is not allowed here");
        }
        self.sweep(connection);
        Ok(())
    }

    pub(crate) fn block_arrived(&mut self, connection: u64, from: usize, sender: usize, peer: NodeId) {
        let id = id_of(connection, from);
        if let Some(link) = self.hosts[sender].links.get_mut(&peer)
            && link.connection == id
        {
            link.flowing = link.flowing.saturating_sub(1);
            self.pump(sender, peer);
        }
    }

    fn frame(&mut self, connection: u64, end: usize, frame: Arrived) -> R {
        let id = id_of(connection, end);
        let Some(e) = self.net.end(id) else { return Ok(()) };
        let slot = e.slot;
        match frame {
            Arrived::Handshake(Handshake::Go) => {
                self.trace.say(self.now, || format!("h{slot} c{connection} Go"));
                if let Some(c) = self.net.connections.get_mut(&connection) {
                    c.ends[end].linked = true;
                }
                self.feed(slot, |engine, now| engine.handle_go(now, id))
            }
            Arrived::Handshake(Handshake::Refuse(why)) => {
                self.trace.say(self.now, || format!("h{slot} c{connection} refused: {why:?}"));
                self.forget_end(connection, end);
                // Who is closing does not come back.
                self.ending = (why == Refusal::Closing).then_some(Ending::Died);
                self.feed(slot, |engine, now| engine.handle_refused(now, id, why))
            }
            Arrived::Handshake(Handshake::Identity { identity, .. }) => {
                let dialled = e.dialled.clone();
                self.prove_by(slot, identity.node, dialled.as_deref());
                self.hosts[slot].met.insert(identity.node);
                self.trace.say(self.now, || {
                    format!("h{slot} c{connection} meets {:?} dialled {}", identity.node, dialled.is_some())
                });
                if let Some(c) = self.net.connections.get_mut(&connection) {
                    c.ends[end].introduced = true;
                }
                self.feed(slot, |engine, now| engine.handle_connection(now, id, identity, dialled))
            }
            Arrived::Control(message) => {
                self.trace.say(self.now, || format!("h{slot} c{connection} < {message:?}"));
                self.snoop(slot, self.node_at(slot, id), &message.message);
                // Of the others nothing is asked afterwards.
                let told = matches!(
                    message.message,
                    Message::SharePublished { .. }
                        | Message::Hello { .. }
                        | Message::HelloAck
                        | Message::LockConflict { .. }
                );
                let told = told.then(|| message.message.clone());
                if let Some(told) = &told {
                    self.before_reading(slot, id, told);
                }
                self.feed(slot, |engine, now| engine.handle_message(now, id, message))?;
                if let Some(told) = &told {
                    self.after_reading(slot, id, told);
                }
                Ok(())
            }
            Arrived::Data(header, body) => {
                self.trace.say(self.now, || format!("h{slot} c{connection} < {header:?} {}", body.len()));
                self.arriving = Some(id);
                self.feed(slot, |engine, now| engine.handle_data(now, id, header, &body))
            }
        }
    }

    /// The host at this end learns that the connection is over.
    pub(crate) fn end_of(&mut self, connection: u64, end: usize, detail: &str) -> R {
        let Some(c) = self.net.connections.get_mut(&connection) else { return Ok(()) };
        let e = &mut c.ends[end];
        if !e.open {
            self.sweep(connection);
            return Ok(());
        }
        let (slot, introduced, dialled) = (e.slot, e.introduced, e.dialled.clone());
        let (linked, peer) = (e.linked, c.ends[1 - end].node);
        c.reset |= c.parting == Parting::Broke;
        let ending = self.ending(connection, end);
        self.trace.say(self.now, || format!("h{slot} c{connection} ended: {detail}"));
        self.hang_up(id_of(connection, end));
        if introduced {
            let id = id_of(connection, end);
            self.cause = Some(Reason::OS_PROCESS_DIED);
            if linked && self.hosts[slot].link_to(peer) == Some(id) {
                self.must_be_dead(peer, &ending)?;
            }
            self.ending = Some(ending.clone());
            self.feed(slot, |engine, now| engine.handle_connection_end(now, id, ending, detail))
        } else if let Some(address) = dialled {
            self.feed(slot, |engine, now| engine.handle_dial_failed(now, &address, Status::Io, detail))
        } else {
            Ok(())
        }
    }

    fn forget_end(&mut self, connection: u64, end: usize) {
        self.hang_up(id_of(connection, end));
    }

    /// Drops a connection that neither end knows any more.
    pub(crate) fn sweep(&mut self, connection: u64) {
        let over = self.net.connections.get(&connection).is_some_and(|c| c.ends.iter().all(|e| !e.open));
        if over {
            self.net.connections.remove(&connection);
        }
    }

    /// What is under way on a slow network goes on as on a fast one.
    pub(crate) fn speed_up(&mut self) {
        let mut under_way = Vec::new();
        for (connection, c) in &mut self.net.connections {
            for (from, way) in c.ways.iter_mut().enumerate() {
                way.last_arrival = self.now;
                under_way.extend(way.queue.iter().map(|_| (*connection, from)));
            }
        }
        for (connection, from) in under_way {
            let at = self.now + self.rng.below(self.plan.delay_max + 1);
            self.later(at, Happening::Arrive { connection, from });
        }
    }

    /// How long a parcel takes.
    fn delay(&mut self, from: usize, to: usize) -> u64 {
        let delay = self.rng.between(self.plan.delay_min, self.plan.delay_max);
        let delay = if self.rng.percent(self.plan.stragglers) { delay * 10 } else { delay };
        let clogged = self.net.clogged.get(&(from, to)).copied().unwrap_or(1);
        delay * clogged * self.hosts[from].slow.max(self.hosts[to].slow)
    }
}

/// What came out of the reader, free of its buffer.
enum Arrived {
    Handshake(Handshake),
    Control(Stamped),
    Data(convoke::flow::DataHeader, Vec<u8>),
}
