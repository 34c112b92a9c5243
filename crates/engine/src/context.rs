//! What all sub-machines work with, and none of them owns: the time of the present input, the configuration, timers, chance, what is
//! judged anew at the end of the input, and what is to leave the engine.

use super::dirty::Dirty;
#[cfg(feature = "faults")]
use super::fault::Fault;
use super::names::Table;
use super::timers::Timers;
use super::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::VecDeque;

pub(super) struct Context {
    pub(super) config: Config,
    /// The time of the present input.
    pub(super) now: Time,
    pub(super) opened: Time,
    /// A clock that stands still while this node does not run: by it others are judged.
    pub(super) awake: Time,
    pub(super) rng: StdRng,
    pub(super) timers: Timers,
    pub(super) counters: Counters,
    /// What is judged anew at the end of this input.
    pub(super) dirty: Dirty,
    /// What rooms have told those above them.
    pub(super) notices: VecDeque<Notice>,
    pub(super) out: Outputs,
    /// Records up to this level are made; 0: none.
    log_level: u8,
    /// The Lamport clock; every message carries it.
    clock: u64,
    closed: bool,
    /// Inputs until the invariants are checked again.
    #[cfg(debug_assertions)]
    pub(super) until_check: usize,
    /// The one rule that this engine breaks.
    #[cfg(feature = "faults")]
    fault: Option<Fault>,
}

impl Context {
    pub(super) fn new(config: Config, seed: u64, now: Time) -> Self {
        Self {
            config,
            now,
            opened: now,
            awake: now,
            rng: StdRng::seed_from_u64(seed),
            timers: Timers::default(),
            counters: Counters::default(),
            dirty: Dirty::default(),
            notices: VecDeque::new(),
            out: Outputs::default(),
            log_level: 0,
            clock: 0,
            closed: false,
            #[cfg(debug_assertions)]
            until_check: 0,
            #[cfg(feature = "faults")]
            fault: None,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }
    pub(super) fn close(&mut self) {
        self.closed = true;
    }
    pub(super) fn clock(&self) -> u64 {
        self.clock
    }
    /// A new moment of the Lamport clock.
    pub(super) fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
    /// Moves the clock past that of a message, as far as one message may. Returns what of the message's clock counts.
    pub(super) fn follow(&mut self, clock: u64) -> u64 {
        let counts = clock.min(self.clock.saturating_add(MAX_CLOCK_STEP)).min(LAST_CLOCK);
        self.clock = self.clock.max(counts) + 1;
        counts
    }

    pub(super) fn set_log_level(&mut self, level: Option<Level>) {
        self.log_level = level.map_or(0, Level::number);
    }
    /// `Closed` is the last word.
    pub(super) fn is_logged(&self, level: Level) -> bool {
        level.number() <= self.log_level
    }

    #[cfg(feature = "faults")]
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault
    }
    #[cfg(feature = "faults")]
    pub(super) fn set_fault(&mut self, fault: Option<Fault>) {
        self.fault = fault;
    }
}

/// What is to leave the engine: tables first, then what goes to the network, then events and answers. And what is said to oneself.
#[derive(Default)]
pub(super) struct Outputs {
    tables: VecDeque<Table>,
    orders: VecDeque<Wire>,
    events: VecDeque<Effect>,
    /// Handled at the end of each input, never re-entrantly.
    to_self: VecDeque<Message>,
    /// Messages to oneself during this input: a broken rule may make them endless.
    #[cfg(feature = "faults")]
    handled: usize,
}

/// A queue that a flood has made long gives its room back.
fn give_back<T>(queue: &mut VecDeque<T>) {
    if queue.capacity() > 16_384 {
        *queue = VecDeque::new();
    }
}

impl Outputs {
    pub(super) fn table(&mut self, table: Table) {
        self.tables.push_back(table);
    }
    /// Another effect on the tables than a name's.
    pub(super) fn publish(&mut self, effect: Effect) {
        self.tables.push_back(Table::Other(Box::new(effect)));
    }
    pub(super) fn order(&mut self, order: Wire) {
        self.orders.push_back(order);
    }
    pub(super) fn event(&mut self, effect: Effect) {
        self.events.push_back(effect);
    }
    pub(super) fn say_to_self(&mut self, message: Message) {
        self.to_self.push_back(message);
    }

    pub(super) fn next_to_self(&mut self) -> Option<Message> {
        let message = self.to_self.pop_front()?;
        #[cfg(feature = "faults")]
        {
            self.handled += 1;
            assert!(self.handled < 100_000, "messages to oneself do not cease: {message:?}");
        }
        Some(message)
    }
    pub(super) fn end_input(&mut self) {
        #[cfg(feature = "faults")]
        {
            self.handled = 0;
        }
    }

    /// Tables, then orders.
    pub(super) fn poll(&mut self) -> Option<Output> {
        let table = self.tables.pop_front().map(|table| Output::Effect(table.into()));
        let output = table.or_else(|| self.orders.pop_front().map(Output::Wire));
        if output.is_none() {
            give_back(&mut self.tables);
            give_back(&mut self.orders);
        }
        output
    }
    pub(super) fn poll_event(&mut self) -> Option<Effect> {
        self.events.pop_front()
    }
    pub(super) fn drain_events(&mut self, into: &mut Vec<Effect>) {
        into.extend(self.events.drain(..));
        give_back(&mut self.events);
    }
}
