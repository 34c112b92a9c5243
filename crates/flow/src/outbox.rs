//! The sending side of one link's data lane.

use super::blocks::Blocks;
use super::bulk::{Bulk, Item};
use super::receiver::{Parked, Receiver};
use super::waiters::{Waiters, Want};
use super::{Credit, DataHeader, cost};
use crate::FRAGMENT;
use convoke_model::Limits;
use foldhash::fast::FixedState;
use std::collections::{HashMap, VecDeque};
use std::marker::PhantomData;

/// Turns a data frame into bytes; implemented by the room `wire`.
pub trait EncodeData {
    /// Appends one whole frame to `out`.
    fn encode(header: &DataHeader, body: &[u8], out: &mut Vec<u8>);
}

/// Why a message was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendRefusal {
    /// No room. The sender is remembered, and named once by a later `credit`, `no_receiver`, `written` or `close`.
    Full,
    /// The peer has said that there is no such process.
    NoProcess,
}

/// Receivers that are remembered to be no more; the oldest is forgotten first, and said anew by the peer when it is
/// asked for. More than the peer keeps in mind to have told (see `Inbound`).
const GONE: usize = 1024;

/// Messages, exits and kills for the processes of one peer, from `send` until they are written to the link.
///
/// Memory: the blocks and large payloads on their way take up to `Limits::link_buffer` and one payload more; each of
/// the two kinds of payloads that wait for room at their receivers as much again at most.
pub struct Outbox<E> {
    receivers: HashMap<u64, Receiver, FixedState>,
    /// Receivers that are no more, as they were told.
    gone: VecDeque<u64>,
    blocks: Blocks,
    bulk: Bulk,
    waiters: Waiters,
    /// The block with the last signal to a process that is not among `receivers`.
    signal_block: u64,
    /// What the parked payloads cost that wait for memory of the peer alone.
    parked: u64,
    /// What the others cost, which may wait for their receivers to read. Counted by themselves, so that receivers that
    /// never read cannot keep the payloads for others from being parked.
    blind: u64,
    /// Whether it is a fragment's turn.
    fragment_next: bool,
    closed: bool,
    link_buffer: usize,
    exit_data: usize,
    /// A deliberate fault: see `Fault::ExitOvertakesMessages`.
    #[cfg(feature = "faults")]
    pub exits_overtake: bool,
    encoder: PhantomData<fn() -> E>,
}

impl<E: EncodeData> Outbox<E> {
    pub fn new(limits: &Limits) -> Self {
        Self::with_seed(limits, 0)
    }

    /// `seed`: random, so that a peer which chooses the serials of its processes cannot make look-ups slow. Nothing
    /// else depends on it.
    pub fn with_seed(limits: &Limits, seed: u64) -> Self {
        Self {
            receivers: HashMap::with_hasher(FixedState::with_seed(seed)),
            gone: VecDeque::new(),
            blocks: Blocks::default(),
            bulk: Bulk::default(),
            waiters: Waiters::default(),
            signal_block: 0,
            parked: 0,
            blind: 0,
            fragment_next: false,
            closed: false,
            link_buffer: limits.link_buffer.max(1),
            exit_data: limits.exit_data.min(FRAGMENT),
            #[cfg(feature = "faults")]
            exits_overtake: false,
            encoder: PhantomData,
        }
    }

    /// A message from process `from` of this node to process `to` of the peer. The payload is at most
    /// `Limits::message` bytes long: the caller has checked that. After `close` messages are lost, as all that was
    /// under way.
    pub fn send(&mut self, from: u64, to: u64, payload: &[u8]) -> Result<(), SendRefusal> {
        if self.closed {
            return Ok(());
        }
        let cost = cost(payload.len());
        let block = self.signal_block;
        let receiver = self.receivers.entry(to).or_insert_with(|| Receiver::new(block));
        if receiver.gone {
            return Err(SendRefusal::NoProcess);
        }
        if self.blocks.backlog() >= self.link_buffer {
            self.waiters.add(from, to, Want::Link, cost);
            return Err(SendRefusal::Full);
        }
        if !receiver.fits(cost) {
            return self.send_without_room(from, to, payload);
        }
        receiver.charge(cost);
        if receiver.queues == 0 && payload.len() <= FRAGMENT {
            receiver.block = self.blocks.put::<E>(&DataHeader::Message { from, to }, payload);
            return Ok(());
        }
        self.send_slowly(from, to, payload);
        Ok(())
    }

    /// An exit notice or a kill: needs no room. What is longer than `Limits::exit_data` is cut off.
    ///
    /// A kill does not wait behind a payload that waits for room: the process to be killed may be the one that does not
    /// read, and would never have read that payload.
    pub fn signal(&mut self, header: DataHeader, data: &[u8]) {
        let (DataHeader::Exit { from, to, .. } | DataHeader::Kill { from, to, .. }) = header else {
            return debug_assert!(false, "not a signal: {header:?}");
        };
        if self.closed {
            return;
        }
        debug_assert!(data.len() <= self.exit_data);
        let data = &data[..data.len().min(self.exit_data)];
        let Some(receiver) = self.receivers.get_mut(&to) else {
            // No entry for a process that is only told of exits; one that comes later goes by `signal_block`.
            self.signal_block = self.blocks.put::<E>(&header, data);
            return;
        };
        let pair = (to, from);
        let overtakes = matches!(header, DataHeader::Kill { .. }) && self.bulk.is_parked(pair);
        #[cfg(feature = "faults")]
        let overtakes = overtakes || self.exits_overtake;
        if receiver.queues > 0 && !overtakes && self.bulk.queue(pair, || Item::Signal(header, data.to_vec()))
        {
            self.blocks.add_backlog(data.len());
        } else {
            receiver.block = self.blocks.put::<E>(&header, data);
        }
    }

    /// The peer has granted room. Returns the (sender, receiver) that may try again. There may be something to write.
    pub fn credit(&mut self, to: u64, credit: Credit) -> Vec<(u64, u64)> {
        let mut told = Vec::new();
        let Some(receiver) = self.receivers.get_mut(&to) else { return told };
        if receiver.gone || !receiver.raise(credit) {
            return told;
        }
        receiver.asked = 0;
        if let Some(parked) = receiver.parked {
            if receiver.has(parked.cost) {
                receiver.parked = None;
                receiver.charge(parked.cost);
                let len = self.bulk.unpark((to, parked.from), receiver.block, self.blocks.given_out());
                self.blocks.add_backlog(len);
                *(if parked.blind { &mut self.blind } else { &mut self.parked }) -= parked.cost;
            } else {
                self.ask_for_parked(to, parked);
                return told;
            }
        }
        self.waiters.tell_credit(to, |cost| receiver.is_inviting(cost), &mut told);
        if let Some(cost) = self.waiters.largest(to) {
            self.ask(to, cost);
        }
        self.tell_of_room(&mut told);
        told
    }

    /// The peer has no process `to`. Returns the (sender, receiver) that may try again (and see `NoProcess`).
    pub fn no_receiver(&mut self, to: u64) -> Vec<(u64, u64)> {
        let mut told = Vec::new();
        if self.closed {
            return told;
        }
        let block = self.signal_block;
        let receiver = self.receivers.entry(to).or_insert_with(|| Receiver::new(block));
        if receiver.gone {
            return told;
        }
        receiver.gone = true;
        let parked = receiver.parked.take();
        if std::mem::take(&mut receiver.queues) > 0 {
            let dropped = self.bulk.drop_receiver(to);
            self.blocks.sub_backlog(dropped);
        }
        if let Some(parked) = parked {
            *(if parked.blind { &mut self.blind } else { &mut self.parked }) -= parked.cost;
        }
        self.gone.push_back(to);
        if self.gone.len() > GONE
            && let Some(oldest) = self.gone.pop_front()
        {
            self.receivers.remove(&oldest);
        }
        self.waiters.tell_credit(to, |_| true, &mut told);
        self.tell_of_room(&mut told);
        told
    }

    /// The process exited: it is told nothing any more; what it sent still goes.
    pub fn forget_sender(&mut self, from: u64) {
        self.waiters.forget_sender(from);
    }

    /// Nothing to write at the moment.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.bulk.is_idle()
    }

    /// Bytes that wait to be written or are being written. Signals are never refused, so a writer that does not get on
    /// may want to end the link at some multiple of `Limits::link_buffer`.
    pub fn backlog(&self) -> usize {
        self.blocks.backlog()
    }

    /// What to write next: a block of whole frames (64 KiB and a little at most), or one fragment of a large message,
    /// by turns. Blocks are written in the order they are given out, and each is given back with `written`.
    pub fn next_block(&mut self) -> Option<Vec<u8>> {
        self.next_block_of(FRAGMENT)
    }

    /// As `next_block`, with at most so many bytes of a large message in a fragment: on a slow line less stands in the way.
    pub fn next_block_of(&mut self, fragment: usize) -> Option<Vec<u8>> {
        let size = fragment.clamp(1, FRAGMENT);
        if self.fragment_next
            && let Some(fragment) = self.next_fragment(size)
        {
            self.fragment_next = false;
            return Some(fragment);
        }
        if let Some(block) = self.blocks.take() {
            self.bulk.given_out(self.blocks.given_out());
            self.fragment_next = true;
            return Some(block);
        }
        self.next_fragment(size)
    }

    /// The block was written: takes the buffer for reuse. Returns the (sender, receiver) that may try again, as the
    /// link has room.
    pub fn written(&mut self, block: Vec<u8>) -> Vec<(u64, u64)> {
        let mut told = Vec::new();
        if !self.closed {
            self.blocks.written(block);
            self.tell_of_room(&mut told);
        }
        told
    }

    /// The link is down: drops everything. Returns all (sender, receiver) that were refused, so that they try again
    /// and see that the link is down.
    pub fn close(&mut self) -> Vec<(u64, u64)> {
        self.closed = true;
        self.receivers = HashMap::default();
        self.gone = VecDeque::new();
        self.blocks = Blocks::default();
        self.bulk = Bulk::default();
        (self.parked, self.blind) = (0, 0);
        self.waiters.tell_all()
    }

    /// The receiver has not granted enough for this.
    fn send_without_room(&mut self, from: u64, to: u64, payload: &[u8]) -> Result<(), SendRefusal> {
        let cost = cost(payload.len());
        let Some(receiver) = self.receivers.get_mut(&to) else { return Err(SendRefusal::Full) };
        if receiver.parked.is_some() {
            self.waiters.add(from, to, Want::Credit, cost);
            return Err(SendRefusal::Full);
        }
        let blind = !receiver.is_untouched();
        let room = may_park(if blind { self.blind } else { self.parked }, cost, self.link_buffer);
        if cost <= receiver.window() || (blind && (!room || self.bulk.has((to, from)))) {
            self.waiters.add(from, to, Want::Credit, cost);
            self.ask(to, cost);
            return Err(SendRefusal::Full);
        }
        if !room {
            self.waiters.add(from, to, Want::Parking, cost);
            return Err(SendRefusal::Full);
        }
        let parked = Parked { from, cost, blind, requested: false };
        receiver.parked = Some(parked);
        receiver.queues += 1;
        self.bulk.park((to, from), payload.to_vec());
        *(if blind { &mut self.blind } else { &mut self.parked }) += cost;
        self.ask_for_parked(to, parked);
        Ok(())
    }

    /// Asks for room for the parked payload; if other messages may still be at the receiver, asks to hear when they are
    /// not.
    fn ask_for_parked(&mut self, to: u64, parked: Parked) {
        let Some(receiver) = self.receivers.get_mut(&to) else { return };
        if parked.requested {
            return;
        }
        if receiver.is_untouched() {
            receiver.parked = Some(Parked { requested: true, ..parked });
            receiver.block = self.blocks.put::<E>(&DataHeader::Request { to, bytes: parked.cost }, &[]);
        } else {
            self.ask(to, parked.cost);
        }
    }

    /// A message that is large, or to a receiver of large messages. It is charged already.
    fn send_slowly(&mut self, from: u64, to: u64, payload: &[u8]) {
        let Some(receiver) = self.receivers.get_mut(&to) else { return };
        let pair = (to, from);
        if receiver.queues > 0 && self.bulk.queue(pair, || Item::Message(payload.to_vec())) {
            self.blocks.add_backlog(payload.len());
        } else if payload.len() <= FRAGMENT {
            receiver.block = self.blocks.put::<E>(&DataHeader::Message { from, to }, payload);
        } else {
            receiver.queues += 1;
            self.bulk.start(pair, payload.to_vec(), receiver.block, self.blocks.given_out());
            self.blocks.add_backlog(payload.len());
        }
    }

    /// Asks for a credit that has room for `cost`.
    fn ask(&mut self, to: u64, cost: u64) {
        let Some(receiver) = self.receivers.get_mut(&to) else { return };
        let want = Credit {
            messages: receiver.messages.saturating_add(1),
            bytes: receiver.bytes.saturating_add(cost.max(receiver.window() / 4)),
            taken: receiver.bytes,
        };
        if want.bytes > receiver.asked {
            receiver.asked = want.bytes;
            self.blocks.put::<E>(&DataHeader::Wait { to, want }, &[]);
        }
    }

    fn next_fragment(&mut self, size: usize) -> Option<Vec<u8>> {
        let fragment = self.bulk.next(size)?;
        let bytes = self.bulk.bytes(&fragment);
        let block = self.blocks.frame::<E>(&fragment.header, bytes);
        self.blocks.sub_backlog(bytes.len());
        let Some((behind, more)) = self.bulk.cut(&fragment) else { return Some(block) };
        let (to, from) = fragment.pair;
        let Some(receiver) = self.receivers.get_mut(&to) else { return Some(block) };
        for item in behind {
            self.blocks.sub_backlog(item.len());
            receiver.block = match item {
                Item::Message(payload) => self.blocks.put::<E>(&DataHeader::Message { from, to }, &payload),
                Item::Signal(header, data) => self.blocks.put::<E>(&header, &data),
            };
        }
        if more {
            self.bulk.resume(fragment.pair, receiver.block, self.blocks.given_out());
        } else {
            receiver.queues -= 1;
        }
        Some(block)
    }

    /// Those who wait for the link are told when less than half of its buffer is in use.
    fn tell_of_room(&mut self, told: &mut Vec<(u64, u64)>) {
        if self.blocks.backlog() <= self.link_buffer / 2 {
            self.waiters.tell_link(told);
        }
        let (parked, limit) = (self.parked, self.link_buffer);
        self.waiters.tell_parking(|cost| may_park(parked, cost, limit), told);
    }
}

/// May another large payload wait, beside those that cost `parked`? One alone always may.
fn may_park(parked: u64, cost: u64, limit: usize) -> bool {
    parked == 0 || parked + cost <= limit as u64
}
