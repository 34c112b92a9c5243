//! The world: virtual time, the things that are going to happen, and the hosts to which they happen. One thread, one
//! seed; time jumps to the next thing.

use crate::book::Book;
use crate::exits::ExitSeen;
use crate::host::Host;
use crate::network::{BALANCER, Network, SERVICE};
use crate::plan::{Entrance, Mode, Plan};
use crate::rng::Rng;
use crate::trace::{Trace, Tracing};
use convoke::engine::{Ending, Pair, Reg};
use convoke::model::{ClashAnswer, ConnectionId, Machine, Name, NodeId, Pid, Reason};
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

/// `Err`: a promise was broken, and how.
pub(crate) type R<T = ()> = Result<T, String>;

#[derive(Debug)]
pub(crate) enum Happening {
    /// The next parcel from this end arrives at the other one.
    Arrive {
        connection: u64,
        from: usize,
    },
    /// This end notices that the connection was cut.
    Notice {
        connection: u64,
        end: usize,
    },
    /// A handshake has taken too long.
    Late {
        connection: u64,
        end: usize,
    },
    Dialled {
        slot: usize,
        node: NodeId,
        address: String,
    },
    DialFailed {
        slot: usize,
        node: NodeId,
        address: String,
        /// By the machine that has the address.
        refused: bool,
    },
    Resume {
        slot: usize,
    },
    Start {
        slot: usize,
    },
    /// A slow host is as fast as the others again.
    Recover {
        slot: usize,
    },
    /// It reads what it is told again.
    Feels {
        slot: usize,
    },
    /// From now on nothing passes in this direction; now again.
    Stop {
        from: usize,
        to: usize,
    },
    Free {
        from: usize,
        to: usize,
    },
    /// A process takes messages out of its mailbox.
    Read {
        slot: usize,
        pid: Pid,
    },
    /// What processes that are gone had not read is thrown away.
    Discard {
        slot: usize,
        node: NodeId,
    },
    /// A sender that was told that there is room tries again.
    Retry {
        slot: usize,
        from: Pid,
        to: Pid,
    },
    /// A node that has met everybody is open now: its program goes on.
    Opened {
        slot: usize,
        node: NodeId,
    },
    /// A resolver function is done.
    Resolved {
        slot: usize,
        node: NodeId,
        id: u64,
        pair: Pair,
        answer: ClashAnswer,
    },
    /// The workload does the next thing.
    Tick,
}

struct Entry {
    at: u64,
    tie: u32,
    number: u64,
    what: Happening,
}

impl Entry {
    fn key(&self) -> (u64, u32, u64) {
        (self.at, self.tie, self.number)
    }
}
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

#[allow(clippy::struct_excessive_bools)] // what has changed in a step, each for a check of its own
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) rng: Rng,
    pub(crate) now: u64,
    pub(crate) trace: Trace,
    pub(crate) hosts: Vec<Host>,
    pub(crate) net: Network,
    pub(crate) book: Book,
    heap: BinaryHeap<Reverse<Entry>>,
    numbers: u64,
    /// Things to come that are more than parcels: the world is not at rest while there are some.
    errands: usize,
    /// Dials under way to hosts that are there; for ever, where one cannot be reached.
    dials: usize,
    /// What waits for a paused host.
    deferred: Vec<(usize, Happening)>,
    /// Hosts whose nodes were disconnected on purpose.
    pub(crate) parted: BTreeSet<(usize, usize)>,
    pub(crate) ticks_left: u64,
    /// The connection whose frame the engine is handling.
    pub(crate) arriving: Option<ConnectionId>,
    /// Why a link that goes down during the present input does so, if that is known.
    pub(crate) cause: Option<Reason>,
    /// How the connection ended that the engine is told of.
    pub(crate) ending: Option<Ending>,
    /// The address at which the present input shows that nobody is there who was.
    pub(crate) proof: Option<String>,
    /// Found where no error can be returned.
    pub(crate) fault: Option<String>,
    pub(crate) exits: Vec<ExitSeen>,
    /// Links came or went, or a snapshot was read.
    pub(crate) view_changed: bool,
    /// A node has read a withdrawal: its rows are looked at even if they seem unchanged.
    pub(crate) withdrawal: bool,
    /// The withdrawal that the present input is.
    pub(crate) withdrawn_now: Option<(Name, Reg)>,
    /// The present input may have changed something about locks, or groups.
    pub(crate) locks_stirred: bool,
    pub(crate) groups_stirred: bool,
    /// Name 0 is bound on all nodes and only ever re-registered.
    pub(crate) name_stays: bool,
    /// Whether the engines' invariants are checked after every input. That takes twice as long as all else, so it is done in one run of
    /// eight.
    pub(crate) checks_invariants: bool,
}

/// So many steps without an end are a livelock.
const MAX_STEPS: u64 = 3_000_000;

impl World {
    pub(crate) fn new(seed: u64, mode: Mode, tracing: Tracing) -> Self {
        let mut rng = Rng::new(seed);
        let plan = Plan::draw(mode, &mut rng);
        let mut trace = Trace::new(tracing);
        trace.say(0, || format!("{plan:?}"));
        let mut hosts: Vec<Host> = (0..plan.hosts)
            .map(|slot| Host::new(slot, format!("node{slot}"), format!("host{slot}:1")))
            .collect();
        for twin in 0..plan.twins {
            let slot = plan.hosts + twin;
            hosts.push(Host::new(slot, format!("node{twin}"), format!("host{slot}:1")));
        }
        Self {
            plan,
            rng,
            now: 0,
            trace,
            hosts,
            net: Network::default(),
            book: Book::default(),
            heap: BinaryHeap::new(),
            numbers: 0,
            errands: 0,
            dials: 0,
            deferred: Vec::new(),
            parted: BTreeSet::new(),
            ticks_left: 0,
            arriving: None,
            cause: None,
            ending: None,
            proof: None,
            fault: None,
            exits: Vec::new(),
            view_changed: false,
            withdrawal: false,
            withdrawn_now: None,
            locks_stirred: false,
            groups_stirred: false,
            name_stays: false,
            checks_invariants: seed.is_multiple_of(8),
        }
    }

    // ---- time

    pub(crate) fn later(&mut self, at: u64, what: Happening) {
        self.numbers += 1;
        if let Some(count) = self.count_of(&what) {
            *count += 1;
        }
        let tie = self.rng.number() as u32;
        self.heap.push(Reverse(Entry { at: at.max(self.now), tie, number: self.numbers, what }));
    }

    pub(crate) fn has_errands(&self) -> bool {
        self.errands > 0
    }

    pub(crate) fn is_dialling(&self) -> bool {
        self.dials > 0
    }

    fn count_of(&mut self, what: &Happening) -> Option<&mut usize> {
        match what {
            Happening::Arrive { .. }
            | Happening::Late { .. }
            | Happening::Notice { .. }
            | Happening::DialFailed { .. }
            | Happening::Tick => None,
            Happening::Dialled { .. } => Some(&mut self.dials),
            _ => Some(&mut self.errands),
        }
    }

    /// One thing happens. `false`: nothing will ever happen again.
    pub(crate) fn step(&mut self) -> R<bool> {
        self.book.stats.steps += 1;
        if self.book.stats.steps > MAX_STEPS {
            return Err(format!("P7: no end after {MAX_STEPS} steps\n{}", self.describe()));
        }
        let wake = self
            .hosts
            .iter()
            .filter(|h| !h.paused)
            .filter_map(|h| h.wake.map(|at| (at.max(self.now), h.slot)))
            .min();
        let next = self.heap.peek().map(|Reverse(e)| e.at);
        match (wake, next) {
            (None, None) => return Ok(false),
            (Some((at, slot)), next) if next.is_none_or(|next| at < next) => {
                self.now = at;
                self.wake(slot)?;
            }
            _ => {
                if let Some(Reverse(entry)) = self.heap.pop() {
                    self.now = self.now.max(entry.at);
                    if let Some(count) = self.count_of(&entry.what) {
                        *count -= 1;
                    }
                    self.happen(entry.what)?;
                }
            }
        }
        match self.fault.take() {
            Some(fault) => Err(fault),
            None => Ok(true),
        }
    }

    fn wake(&mut self, slot: usize) -> R {
        let before = self.hosts[slot].wake;
        self.cause = Some(Reason::NODE_UNREACHABLE);
        self.feed(slot, |engine, now| engine.handle_timeout(now))?;
        let host = &mut self.hosts[slot];
        // Due again at once, and again: the timer is never served.
        host.idle_wakes = if host.wake == before { host.idle_wakes + 1 } else { 0 };
        if host.idle_wakes > 100 {
            return Err(format!("P7: h{slot} asks for the same timeout for ever\n{}", self.describe()));
        }
        Ok(())
    }

    fn happen(&mut self, what: Happening) -> R {
        let concerned = match &what {
            Happening::Arrive { connection, from } => self.receiver(*connection, *from),
            Happening::Notice { connection, end } | Happening::Late { connection, end } => {
                self.net.connections.get(connection).map(|c| c.ends[*end].slot)
            }
            Happening::DialFailed { slot, .. }
            | Happening::Read { slot, .. }
            | Happening::Discard { slot, .. }
            | Happening::Resolved { slot, .. }
            | Happening::Opened { slot, .. }
            | Happening::Retry { slot, .. } => Some(*slot),
            // The answer of a look-up goes straight to its engine.
            Happening::Dialled { slot, address, .. } if address == SERVICE => Some(*slot),
            Happening::Dialled { .. }
            | Happening::Resume { .. }
            | Happening::Start { .. }
            | Happening::Recover { .. }
            | Happening::Feels { .. }
            | Happening::Stop { .. }
            | Happening::Free { .. }
            | Happening::Tick => None,
        };
        if let Some(slot) = concerned.filter(|slot| self.hosts[*slot].paused) {
            self.deferred.push((slot, what));
            return Ok(());
        }
        match what {
            Happening::Arrive { connection, from } => self.arrive(connection, from),
            Happening::Notice { connection, end } => self.end_of(connection, end, "reset"),
            Happening::Late { connection, end } => self.late(connection, end),
            Happening::Dialled { slot, node, address } => self.dialled(slot, node, address),
            Happening::DialFailed { slot, node, address, refused } => {
                self.dial_failed(slot, node, address, refused)
            }
            Happening::Resume { slot } => {
                self.resume(slot);
                Ok(())
            }
            Happening::Start { slot } => self.start(slot),
            Happening::Recover { slot } => {
                self.hosts[slot].recover(self.now);
                Ok(())
            }
            Happening::Feels { slot } => {
                self.recover_feeling(slot);
                Ok(())
            }
            Happening::Stop { from, to } => {
                self.trace.say(self.now, || format!("h{from}>h{to} STOPPED"));
                self.net.stopped.insert((from, to));
                Ok(())
            }
            Happening::Free { from, to } => {
                self.free(from, to);
                Ok(())
            }
            Happening::Read { slot, pid } => self.read(slot, pid),
            Happening::Discard { slot, node } => self.discard(slot, node),
            Happening::Retry { slot, from, to } => {
                let size = self.rng.below(100);
                self.send(slot, from, to, size);
                Ok(())
            }
            Happening::Resolved { slot, node, id, pair, answer } => {
                self.resolve(slot, node, id, pair, answer)
            }
            Happening::Opened { slot, node } => self.opened(slot, node),
            Happening::Tick => self.tick(),
        }
    }

    // ---- hosts

    pub(crate) fn start(&mut self, slot: usize) -> R {
        if self.hosts[slot].is_up() {
            return Ok(());
        }
        let id = NodeId(self.rng.below(900) * 1000 + 1000 + self.book.gone.len() as u64 * 16 + slot as u64);
        let seed = self.rng.number();
        let drift = self.rng.between(0, self.plan.drift * 2) as i64 - self.plan.drift as i64;
        let clock = (self.plan.detection * 200 + self.rng.below(1_000_000_000), drift);
        // Everybody knows the first host, some know others; a node may well be told its own address.
        let entrance = self.plan.entrance;
        let mut seeds = match entrance {
            Entrance::Hosts => vec![self.hosts[0].address.clone()],
            Entrance::Service | Entrance::BalancedService => vec![SERVICE.to_owned()],
            Entrance::Balancer => vec![BALANCER.to_owned()],
        };
        for other in 1..self.hosts.len() {
            // With a twin about the first host may be gone for good.
            let all = entrance == Entrance::Hosts
                && (slot == 0 || self.plan.twins > 0 || self.plan.registers_at_once());
            if all || self.rng.percent(30) && !entrance.is_balanced() {
                seeds.push(self.hosts[other].address.clone());
            }
        }
        let now = self.now;
        self.hosts[slot].start(&self.plan, id, seeds, seed, now, clock);
        self.book.locks.names.insert(id, self.hosts[slot].name.clone());
        self.trace.say(now, || format!("h{slot} STARTS as {id:?}"));
        self.drain(slot)?;
        self.add_resolvers(slot)?;
        for spared in [true, false] {
            self.spawn(slot, spared)?;
        }
        if self.plan.joins { self.join(slot) } else { Ok(()) }
    }

    pub(crate) fn crash(&mut self, slot: usize) {
        let id = self.hosts[slot].id;
        self.trace.say(self.now, || format!("h{slot} CRASHES ({id:?})"));
        self.book.stats.crashes += 1;
        self.drop_ends_of(slot);
        self.went_down(slot);
    }

    /// Its engine is no more, whatever the reason.
    pub(crate) fn went_down(&mut self, slot: usize) {
        let id = self.hosts[slot].id;
        self.view_changed = true;
        self.book.gone.insert(id);
        for (_, life) in self.book.lives.range_mut(pids_of(id)) {
            life.crashed = true;
        }
        self.book.refused.retain(|(_, from, _)| from.node != id);
        let now = self.now;
        self.book.locks.end_all_of(now, |pid| pid.node == id);
        let host = &mut self.hosts[slot];
        host.engine = None;
        host.wake = None;
        host.links.clear();
        host.table.clear();
        host.groups.clear();
        host.holds.clear();
        host.processes.clear();
        host.rows.clear();
        host.unread.clear();
        host.closing = false;
        if host.paused {
            self.resume(slot);
        }
    }

    pub(crate) fn pause(&mut self, slot: usize, until: u64) {
        self.trace.say(self.now, || format!("h{slot} PAUSES until {until}"));
        self.hosts[slot].paused = true;
        self.hosts[slot].paused_at = self.now;
        self.later(until, Happening::Resume { slot });
    }

    pub(crate) fn resume(&mut self, slot: usize) {
        let host = &mut self.hosts[slot];
        if !host.paused {
            return;
        }
        host.paused = false;
        host.resumed = self.now;
        // It had read the clock, and handles what it had read with that time.
        if self.rng.percent(self.plan.stale) {
            host.stale = 1 + self.rng.below(4);
            host.behind += self.now - host.paused_at;
        }
        let (due, rest): (Vec<_>, Vec<_>) = self.deferred.drain(..).partition(|(s, _)| *s == slot);
        self.deferred = rest;
        for (_, what) in due {
            self.later(self.now, what);
        }
    }

    /// By how much two clocks may have come apart in this time.
    pub(crate) fn clocks_are_off(&self, time: u64) -> u64 {
        let jumped = self.hosts.iter().map(|h| h.jumped + h.behind).max().unwrap_or(0);
        let drift = time * self.plan.drift / 1000;
        2 * (jumped + drift)
    }

    // ---- for failures

    pub(crate) fn describe(&self) -> String {
        let mut text = format!("at {} us, in {:?} mode\n", self.now, self.plan.mode);
        for host in &self.hosts {
            match &host.engine {
                Some(engine) => {
                    text += &format!(
                        "--- h{} {}{}\n",
                        host.slot,
                        if host.paused { "paused " } else { "" },
                        engine.describe()
                    );
                }
                None => text += &format!("--- h{} is down\n", host.slot),
            }
        }
        text
    }
}

pub(crate) fn pids_of(node: NodeId) -> std::ops::RangeInclusive<Pid> {
    Pid { node, serial: 0 }..=Pid { node, serial: u64::MAX }
}
