//! The receiving side: room granted to other nodes, reassembly.

use super::partial::Partials;
use super::pool::Pool;
use super::window::Room;
use super::{Credit, DataHeader, Window, cost};
use crate::FRAGMENT;
use convoke_model::{Limits, NodeId, Payload};
use foldhash::fast::FixedState;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// What a frame meant.
#[derive(PartialEq, Debug)]
pub enum Received {
    /// Nothing yet, or nothing for the engine.
    Nothing,
    /// A whole message for a process that is alive.
    Message { from: u64, payload: Payload, window: Window },
    /// The data are the frame's body.
    Exit { from: u64, to: u64, reference: u64, reason: u32 },
    /// The data are the frame's body.
    Kill { from: u64, to: u64, reason: u32 },
    /// There is no process `to`: tell the peer.
    NoReceiver { to: u64 },
}

/// The peer broke the protocol; the link is ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Violation(pub &'static str);

/// Processes of which a peer was told lately that they are no more: what it sent before it heard that is not answered
/// again. Less than the peer's outbox remembers.
const TOLD_GONE: usize = 64;

/// One link.
struct Peer {
    link: u64,
    /// By the serial of the receiver, a live process of this node: no peer chooses it. The order is never looked at.
    rooms: HashMap<u64, Room, FixedState>,
    partials: Partials,
    told_gone: VecDeque<u64>,
    received: Payloads,
}

/// Whole messages that have come over a link, and what they consist of.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Payloads {
    pub messages: u64,
    pub bytes: u64,
}

impl Payloads {
    fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
    }
}

/// Room granted to the processes of other nodes.
pub struct Inbound {
    peers: BTreeMap<NodeId, Peer>,
    pool: Pool,
    /// Large payloads that wait for room, oldest first: who sends, to whom, and the cost.
    requests: BTreeMap<u64, (NodeId, u64, u64)>,
    requests_made: u64,
    /// Bytes delivered through windows that are closed, and not taken yet.
    unread: BTreeMap<Window, u64>,
    /// Credits that were granted while something else went on.
    due: Vec<(NodeId, u64, Credit)>,
    message: usize,
    exit_data: usize,
}

impl Inbound {
    pub fn new(limits: &Limits) -> Self {
        Self {
            peers: BTreeMap::new(),
            pool: Pool::new(limits),
            requests: BTreeMap::new(),
            requests_made: 0,
            unread: BTreeMap::new(),
            due: Vec::new(),
            message: limits.message,
            exit_data: limits.exit_data,
        }
    }

    /// `link`: a number that no other link of this node has.
    pub fn link_up(&mut self, peer: NodeId, link: u64) {
        self.link_down(peer);
        self.peers.insert(
            peer,
            Peer {
                link,
                rooms: HashMap::with_hasher(FixedState::default()),
                partials: Partials::default(),
                told_gone: VecDeque::new(),
                received: Payloads::default(),
            },
        );
    }

    /// All room given to the peer is free again, but for what is delivered and not taken. Ask for
    /// [`credits_due`](Inbound::credits_due) afterwards.
    pub fn link_down(&mut self, peer: NodeId) {
        let Some(state) = self.peers.remove(&peer) else { return };
        for (to, room) in state.rooms {
            self.close(Window { from: peer, link: state.link, to }, room);
        }
        self.serve();
    }

    /// What has come over the present link.
    pub fn received(&self, peer: NodeId) -> Payloads {
        self.peers.get(&peer).map(|state| state.received).unwrap_or_default()
    }

    /// Bytes granted beyond the first windows, and how many may be.
    pub fn granted(&self) -> (u64, u64) {
        (self.pool.total(), self.pool.cap())
    }

    /// A frame of the peer. `alive(serial)`: is there such a process. Checks credit; reassembles. The credit goes back
    /// to the peer.
    pub fn frame(
        &mut self,
        peer: NodeId,
        header: DataHeader,
        body: &[u8],
        alive: &dyn Fn(u64) -> bool,
    ) -> Result<(Received, Option<(u64, Credit)>), Violation> {
        let Some(state) = self.peers.get_mut(&peer) else {
            return Err(Violation("a data frame without a link"));
        };
        let received = match header {
            DataHeader::Message { from, to } => state.message(peer, from, to, body, self.message, alive)?,
            DataHeader::First { from, to, total } => {
                state.first(from, to, total, body, self.message, alive)?
            }
            DataHeader::More { from, to } => state.more(peer, from, to, body, alive)?,
            DataHeader::Exit { from, to, reference, reason } => {
                state.signal(from, to, body, self.exit_data)?;
                Received::Exit { from, to, reference, reason }
            }
            DataHeader::Kill { from, to, reason } => {
                state.signal(from, to, body, self.exit_data)?;
                Received::Kill { from, to, reason }
            }
            DataHeader::Request { to, bytes } => {
                check_empty(body)?;
                if bytes > cost(self.message) {
                    return Err(Violation("a request beyond the largest message"));
                }
                let Some(room) = state.room(to, alive) else {
                    return Ok((Received::NoReceiver { to }, None));
                };
                if !room.check_request(bytes)? {
                    return Ok((Received::Nothing, None));
                }
                self.requests_made += 1;
                room.request = Some(self.requests_made);
                self.requests.insert(self.requests_made, (peer, to, bytes));
                self.serve();
                let granted = self.due.pop_if(|due| due.0 == peer && due.1 == to);
                return Ok((Received::Nothing, granted.map(|(_, to, credit)| (to, credit))));
            }
            DataHeader::Wait { to, want } => {
                check_empty(body)?;
                let Some(room) = state.room(to, alive) else {
                    return Ok((Received::NoReceiver { to }, None));
                };
                let credit = with_pool(&mut self.pool, room, |pool, room| {
                    room.wait(want)?;
                    Ok(room.grant(pool))
                })?;
                return Ok((Received::Nothing, credit.map(|credit| (to, credit))));
            }
        };
        Ok((received, None))
    }

    /// The application has taken (or dropped unread) so many messages of a window; `bytes` is the sum of their
    /// [`cost`]. Returns the credits to send now, possibly for other windows than this one.
    pub fn taken(&mut self, window: Window, messages: u64, bytes: u64) -> Vec<(NodeId, u64, Credit)> {
        let peer = self.peers.get_mut(&window.from).filter(|peer| peer.link == window.link);
        if let Some(room) = peer.and_then(|peer| peer.rooms.get_mut(&window.to)) {
            let credit = with_pool(&mut self.pool, room, |pool, room| {
                room.take(messages, bytes);
                room.grant(pool)
            });
            self.due.extend(credit.map(|credit| (window.from, window.to, credit)));
        } else if let Some(unread) = self.unread.get_mut(&window) {
            let bytes = bytes.min(*unread);
            *unread -= bytes;
            self.pool.sub_unread(bytes);
            if *unread == 0 {
                self.unread.remove(&window);
            }
        }
        self.serve();
        self.credits_due()
    }

    /// The process is no more: its windows are closed, partial messages dropped. Returns the nodes that have sent to it,
    /// to be told [`NoReceiver`](Received::NoReceiver). What waits unread counts until it is `taken`. Ask for
    /// [`credits_due`](Inbound::credits_due) afterwards.
    pub fn receiver_exit(&mut self, serial: u64) -> Vec<NodeId> {
        let mut senders = Vec::new();
        let mut closed = Vec::new();
        for (&node, peer) in &mut self.peers {
            if let Some(room) = peer.rooms.remove(&serial) {
                if room.partials > 0 {
                    peer.partials.drop_receiver(serial);
                }
                peer.tell_gone(serial);
                closed.push((Window { from: node, link: peer.link, to: serial }, room));
                senders.push(node);
            }
        }
        for (window, room) in closed {
            self.close(window, room);
        }
        self.serve();
        senders
    }

    /// Credits that fell due because a receiver exited or a link went down: for large payloads that waited for room.
    pub fn credits_due(&mut self) -> Vec<(NodeId, u64, Credit)> {
        std::mem::take(&mut self.due)
    }

    /// Do other nodes wait for room? Then every message that is taken should be told of at once.
    pub fn is_room_wanted(&self) -> bool {
        self.pool.is_waited_for() || !self.requests.is_empty()
    }

    /// Bytes of memory that are granted to other nodes beyond the initial windows.
    pub fn reserved(&self) -> u64 {
        self.pool.total()
    }

    fn close(&mut self, window: Window, room: Room) {
        self.pool.sub(&room);
        if let Some(place) = room.request {
            self.requests.remove(&place);
        }
        let unread = room.unread();
        if unread > 0 {
            self.pool.add_unread(unread);
            self.unread.insert(window, unread);
        }
    }

    /// Grants room to large payloads, the oldest first. One that is too large for what is free holds up those behind
    /// it, or it might never have its turn.
    fn serve(&mut self) {
        while let Some((&place, &(node, to, cost))) = self.requests.first_key_value() {
            if let Some(room) = self.peers.get_mut(&node).and_then(|peer| peer.rooms.get_mut(&to)) {
                let granted = with_pool(&mut self.pool, room, |pool, room| {
                    pool.has_room(cost).then(|| room.grant_large(cost))
                });
                let Some(credit) = granted else { return };
                self.due.push((node, to, credit));
            }
            self.requests.remove(&place);
        }
    }
}

impl Peer {
    /// The room of a live receiver; a new one has the initial window.
    fn room(&mut self, to: u64, alive: &dyn Fn(u64) -> bool) -> Option<&mut Room> {
        // A receiver that has a room is alive: its exit closes the room.
        use std::collections::hash_map::Entry;
        match self.rooms.entry(to) {
            Entry::Occupied(room) => Some(room.into_mut()),
            Entry::Vacant(place) => alive(to).then(|| place.insert(Room::new())),
        }
    }

    fn message(
        &mut self,
        node: NodeId,
        from: u64,
        to: u64,
        body: &[u8],
        limit: usize,
        alive: &dyn Fn(u64) -> bool,
    ) -> Result<Received, Violation> {
        if body.len() > limit.min(FRAGMENT) {
            return Err(Violation("a message that is too large"));
        }
        let link = self.link;
        let Some(room) = self.room(to, alive) else { return Ok(self.gone(to)) };
        room.arrive(cost(body.len()))?;
        if room.partials > 0 {
            self.check_order(from, to)?;
        }
        self.received.add(body.len());
        Ok(Received::Message { from, payload: Payload::new(body), window: Window { from: node, link, to } })
    }

    fn first(
        &mut self,
        from: u64,
        to: u64,
        total: u64,
        body: &[u8],
        limit: usize,
        alive: &dyn Fn(u64) -> bool,
    ) -> Result<Received, Violation> {
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        if total > limit {
            return Err(Violation("a message that is too large"));
        }
        if total <= FRAGMENT || body.is_empty() || body.len() > FRAGMENT {
            return Err(Violation("a piece of the wrong length"));
        }
        let Some(room) = self.room(to, alive) else { return Ok(self.gone(to)) };
        room.arrive(cost(total))?;
        room.partials += 1;
        room.partial_bytes += cost(total);
        self.check_order(from, to)?;
        self.partials.begin(to, from, total, body)?;
        Ok(Received::Nothing)
    }

    fn more(
        &mut self,
        node: NodeId,
        from: u64,
        to: u64,
        body: &[u8],
        alive: &dyn Fn(u64) -> bool,
    ) -> Result<Received, Violation> {
        let link = self.link;
        let Some(room) = self.rooms.get_mut(&to) else {
            // Of a message that was dropped with its receiver.
            return if alive(to) {
                Err(Violation("a piece of a message that never began"))
            } else {
                Ok(self.gone(to))
            };
        };
        let Some(whole) = self.partials.add(to, from, body)? else { return Ok(Received::Nothing) };
        room.partials -= 1;
        room.partial_bytes -= cost(whole.len());
        self.received.add(whole.len());
        Ok(Received::Message { from, payload: Payload::from(whole), window: Window { from: node, link, to } })
    }

    fn signal(&self, from: u64, to: u64, data: &[u8], limit: usize) -> Result<(), Violation> {
        if data.len() > limit {
            return Err(Violation("the data of an exit are too large"));
        }
        self.check_order(from, to)
    }

    /// Nothing of a pair comes between the pieces of a message.
    fn check_order(&self, from: u64, to: u64) -> Result<(), Violation> {
        match self.partials.has(to, from) {
            true => Err(Violation("a frame between the pieces of a message")),
            false => Ok(()),
        }
    }

    /// A message for a process that is no more, or never was.
    fn gone(&mut self, to: u64) -> Received {
        if self.told_gone.contains(&to) {
            return Received::Nothing;
        }
        self.tell_gone(to);
        Received::NoReceiver { to }
    }

    fn tell_gone(&mut self, to: u64) {
        if self.told_gone.len() == TOLD_GONE {
            self.told_gone.pop_front();
        }
        self.told_gone.push_back(to);
    }
}

fn check_empty(body: &[u8]) -> Result<(), Violation> {
    match body.is_empty() {
        true => Ok(()),
        false => Err(Violation("bytes behind a frame that has none")),
    }
}

/// Changes a room, and what it takes of the pool with it. While it changes it is not counted.
fn with_pool<R>(pool: &mut Pool, room: &mut Room, change: impl FnOnce(&Pool, &mut Room) -> R) -> R {
    pool.sub(room);
    let result = change(pool, room);
    pool.add(room);
    result
}
