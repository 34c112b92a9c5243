//! Large messages on their way, in fragments, and what queues behind them.

use super::{DataHeader, MAX_STREAMS};
use crate::FRAGMENT;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// (receiver, sender), in this order, so that all pairs of one receiver stand together.
pub(super) type Pair = (u64, u64);

/// Something that could not go into a block at once.
pub(super) enum Item {
    Message(Vec<u8>),
    Signal(DataHeader, Vec<u8>),
}

impl Item {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Message(bytes) | Self::Signal(_, bytes) => bytes.len(),
        }
    }
    fn is_large(&self) -> bool {
        matches!(self, Self::Message(bytes) if bytes.len() > FRAGMENT)
    }
}

/// The FIFO of one pair. While it exists, its front is a large message.
struct Queue {
    items: VecDeque<Item>,
    /// How much of the front is in frames already.
    cut: usize,
    /// The front waits for room at the receiver.
    parked: bool,
}

/// What is to be written next of a large message.
pub(super) struct Fragment {
    pub(super) header: DataHeader,
    /// The range of `payload` that it carries.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) pair: Pair,
}

/// Pairs whose turn it is by and by. Each pair with a queue that is not parked is in exactly one of `ring`, `behind`
/// and `surplus`.
#[derive(Default)]
pub(super) struct Bulk {
    queues: BTreeMap<Pair, Queue>,
    ring: VecDeque<Pair>,
    /// Pairs of which frames are in a block that was not given out yet: (block, pair).
    behind: BTreeSet<(u64, Pair)>,
    /// Pairs that wait until one of [`MAX_STREAMS`] messages is through.
    surplus: VecDeque<Pair>,
    streams: usize,
}

impl Bulk {
    /// Nothing may be written now.
    pub(super) fn is_idle(&self) -> bool {
        self.ring.is_empty()
    }

    /// Queues behind the large message of the pair; false if there is none.
    pub(super) fn queue(&mut self, pair: Pair, item: impl FnOnce() -> Item) -> bool {
        let Some(queue) = self.queues.get_mut(&pair) else { return false };
        queue.items.push_back(item());
        true
    }

    pub(super) fn has(&self, pair: Pair) -> bool {
        self.queues.contains_key(&pair)
    }

    pub(super) fn is_parked(&self, pair: Pair) -> bool {
        self.queues.get(&pair).is_some_and(|queue| queue.parked)
    }

    /// A large message of a pair without a queue that waits for room at the receiver.
    pub(super) fn park(&mut self, pair: Pair, payload: Vec<u8>) {
        self.queues.insert(pair, Queue { items: [Item::Message(payload)].into(), cut: 0, parked: true });
    }

    /// There is room: it may go when block `after` was given out, of `given_out` so far. Returns its length.
    pub(super) fn unpark(&mut self, pair: Pair, after: u64, given_out: u64) -> usize {
        let Some(queue) = self.queues.get_mut(&pair) else { return 0 };
        queue.parked = false;
        let len = queue.items.front().map_or(0, Item::len);
        self.line_up(pair, after, given_out);
        len
    }

    /// A large message of a pair without a queue; as with `unpark`.
    pub(super) fn start(&mut self, pair: Pair, payload: Vec<u8>, after: u64, given_out: u64) {
        self.queues.insert(pair, Queue { items: [Item::Message(payload)].into(), cut: 0, parked: false });
        self.line_up(pair, after, given_out);
    }

    fn line_up(&mut self, pair: Pair, after: u64, given_out: u64) {
        if after <= given_out {
            self.ring.push_back(pair);
        } else {
            self.behind.insert((after, pair));
        }
    }

    /// The block with this number was given out.
    pub(super) fn given_out(&mut self, block: u64) {
        while let Some(&(after, pair)) = self.behind.first() {
            if after > block {
                break;
            }
            self.behind.pop_first();
            self.ring.push_back(pair);
        }
    }

    /// The next fragment, in turn, of at most so many bytes; `Bulk::cut` must follow.
    pub(super) fn next(&mut self, size: usize) -> Option<Fragment> {
        loop {
            let pair = self.ring.pop_front()?;
            let Some(queue) = self.queues.get(&pair) else { continue };
            let total = queue.items.front().map_or(0, Item::len);
            let (start, end) = (queue.cut, total.min(queue.cut + size));
            let (to, from) = pair;
            let header = if start > 0 {
                DataHeader::More { from, to }
            } else if self.streams < MAX_STREAMS {
                self.streams += 1;
                DataHeader::First { from, to, total: total as u64 }
            } else {
                self.surplus.push_back(pair);
                continue;
            };
            return Some(Fragment { header, start, end, pair });
        }
    }

    /// The bytes of a fragment.
    pub(super) fn bytes(&self, fragment: &Fragment) -> &[u8] {
        match self.queues.get(&fragment.pair).and_then(|queue| queue.items.front()) {
            Some(Item::Message(payload)) => &payload[fragment.start..fragment.end],
            _ => &[],
        }
    }

    /// The fragment is in a frame. When it was the last of its message: what follows in the FIFO up to the next large
    /// message, to be put into a block, and whether there is such a message: `resume` must follow then. Else the queue
    /// is no more.
    pub(super) fn cut(&mut self, fragment: &Fragment) -> Option<(Vec<Item>, bool)> {
        let pair = fragment.pair;
        let queue = self.queues.get_mut(&pair)?;
        queue.cut = fragment.end;
        if queue.items.front().is_some_and(|item| fragment.end < item.len()) {
            self.ring.push_back(pair);
            return None;
        }
        queue.cut = 0;
        queue.items.pop_front();
        let mut small = Vec::new();
        while queue.items.front().is_some_and(|item| !item.is_large()) {
            small.extend(queue.items.pop_front());
        }
        let more = !queue.items.is_empty();
        if !more {
            self.queues.remove(&pair);
        }
        self.end_stream();
        Some((small, more))
    }

    /// The next large message of the pair may go when block `after` was given out.
    pub(super) fn resume(&mut self, pair: Pair, after: u64, given_out: u64) {
        self.line_up(pair, after, given_out);
    }

    /// The receiver is no more: drops what is queued for it. Returns how many bytes that were, without a parked
    /// payload's.
    pub(super) fn drop_receiver(&mut self, to: u64) -> usize {
        let pairs: Vec<Pair> = self.queues.range((to, 0)..=(to, u64::MAX)).map(|(&pair, _)| pair).collect();
        let mut dropped = 0;
        for pair in pairs {
            let Some(queue) = self.queues.remove(&pair) else { continue };
            let parked = usize::from(queue.parked);
            dropped += queue.items.iter().skip(parked).map(Item::len).sum::<usize>() - queue.cut;
            if queue.cut > 0 {
                self.end_stream();
            }
        }
        self.ring.retain(|pair| pair.0 != to);
        self.surplus.retain(|pair| pair.0 != to);
        self.behind.retain(|(_, pair)| pair.0 != to);
        dropped
    }

    fn end_stream(&mut self) {
        self.streams -= 1;
        if let Some(pair) = self.surplus.pop_front() {
            self.ring.push_back(pair);
        }
    }
}
