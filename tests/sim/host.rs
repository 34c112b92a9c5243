//! One machine: a real engine and, around it, what the room `node` does for one: processes with mailboxes, the outbox
//! of each link, the tables that readers see.

use crate::departures::Broke;
use crate::lock_book::Share;
use crate::plan::Plan;
use convoke::engine::{Binding, Engine};
use convoke::flow::{Outbox, Window};
use convoke::model::{Config, ConnectionId, Level, Limits, Machine, Members, Name, NodeId, Pid, Ref, Time};
use convoke::wire::DataEncoder;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// A message that waits to be taken.
pub(crate) struct Waiting {
    pub(crate) window: Window,
    pub(crate) cost: u64,
}

#[derive(Default)]
pub(crate) struct Process {
    pub(crate) mailbox: VecDeque<Waiting>,
    /// It takes nothing before this moment.
    pub(crate) deaf_until: u64,
    pub(crate) reading: bool,
}

pub(crate) struct Link {
    pub(crate) connection: ConnectionId,
    /// The step in which it came up.
    pub(crate) since: u64,
    pub(crate) outbox: Outbox<DataEncoder>,
    /// The peer's snapshot was read, and this host's by the peer.
    pub(crate) synced: bool,
    pub(crate) acked: bool,
    /// When both became true, in which step, and how far the host's clock had jumped.
    pub(crate) merged: Option<(u64, u64, u64)>,
    /// Blocks under way.
    pub(crate) flowing: usize,
    /// Payload bytes accepted and not yet on the connection.
    pub(crate) queued: i64,
}

pub(crate) struct Host {
    pub(crate) slot: usize,
    pub(crate) name: String,
    pub(crate) address: String,
    /// `None`: crashed or closed.
    pub(crate) engine: Option<Engine>,
    pub(crate) id: NodeId,
    /// The engine's clock is the world's plus this, and runs faster by so many permille since the start (or slower).
    pub(crate) offset: u64,
    drift: i64,
    /// By how much it has jumped, in all.
    pub(crate) jumped: u64,
    /// What it showed when it jumped last: an engine has seen this, and sees nothing less.
    reached: Time,
    /// How many times slower than others: what comes and goes, and its timers.
    pub(crate) slow: u64,
    /// Addresses that it was told at its start.
    pub(crate) seeds: Vec<String>,
    pub(crate) started: u64,
    /// The engine's next timeout, in world time.
    pub(crate) wake: Option<u64>,
    pub(crate) idle_wakes: u32,
    pub(crate) paused: bool,
    pub(crate) paused_at: u64,
    /// So many inputs are still handled with the time of the last pause.
    pub(crate) stale: u64,
    /// By how much such times were too old, in all.
    pub(crate) behind: u64,
    /// Links that had lasted, and are not back.
    pub(crate) broke: BTreeMap<NodeId, Broke>,
    /// When it last did something after a time in which it could not, or was slow.
    pub(crate) resumed: u64,
    pub(crate) closing: bool,
    pub(crate) links: BTreeMap<NodeId, Link>,
    /// Who has ever said to it who they are.
    pub(crate) met: BTreeSet<NodeId>,
    pub(crate) table: BTreeMap<Name, Pid>,
    pub(crate) groups: BTreeMap<Name, Members>,
    /// What lock_check says yes to.
    pub(crate) holds: BTreeMap<Share, u64>,
    pub(crate) processes: BTreeMap<u64, Process>,
    /// Of processes that are gone.
    pub(crate) unread: Vec<Waiting>,
    pub(crate) next_serial: u64,
    pub(crate) next_ref: u64,
    /// Rows of the table as they were after the last input.
    pub(crate) rows: Vec<(Name, Binding)>,
}

impl Host {
    pub(crate) fn new(slot: usize, name: String, address: String) -> Self {
        Self {
            slot,
            name,
            address,
            engine: None,
            id: NodeId(0),
            offset: 0,
            drift: 0,
            jumped: 0,
            reached: Time(0),
            slow: 1,
            seeds: Vec::new(),
            started: 0,
            wake: None,
            idle_wakes: 0,
            paused: false,
            paused_at: 0,
            stale: 0,
            behind: 0,
            broke: BTreeMap::new(),
            resumed: 0,
            closing: false,
            links: BTreeMap::new(),
            met: BTreeSet::new(),
            table: BTreeMap::new(),
            groups: BTreeMap::new(),
            holds: BTreeMap::new(),
            processes: BTreeMap::new(),
            unread: Vec::new(),
            next_serial: 1,
            next_ref: 1,
            rows: Vec::new(),
        }
    }

    /// A new incarnation. `clock`: what the engine's shows, and its drift.
    pub(crate) fn start(
        &mut self,
        plan: &Plan,
        id: NodeId,
        seeds: Vec<String>,
        seed: u64,
        now: u64,
        clock: (u64, i64),
    ) {
        let mut config = Config::new(id, &self.name);
        config.address = self.address.clone();
        config.seeds = seeds.clone();
        config.detection = plan.detection();
        config.heartbeat = Duration::from_micros(plan.heartbeat);
        config.dial_min = Duration::from_micros(plan.dial_max / 16);
        config.dial_max = Duration::from_micros(plan.dial_max);
        // Those of a balancer are dialled for ever: seldom enough for a moment in which nobody does.
        let refresh = if plan.entrance.is_balanced() { plan.detection * 4 } else { plan.dial_max * 2 };
        config.seeds_refresh = Duration::from_micros(refresh);
        config.part_slow = plan.part_slow;
        config.one_name_per_pid = plan.one_name;
        config.limits = plan.limits.clone();
        if plan.tight_host.is_some_and(|tight| tight != self.slot) {
            let Limits { names, locks, groups, .. } = Limits::default();
            (config.limits.names, config.limits.locks, config.limits.groups) = (names, locks, groups);
        }
        // The wall clocks that tokens start at are up to a day apart, and those of successors in no order; some are not set.
        let day = 24 * 3600 * 1000_u64;
        let ms = if seed.is_multiple_of(40) { day >> (seed % 27) } else { seed % 50 };
        config.first_token = ms << 20;
        *self = Self::new(self.slot, std::mem::take(&mut self.name), std::mem::take(&mut self.address));
        self.id = id;
        (self.offset, self.drift) = clock;
        self.seeds = seeds;
        self.started = now;
        self.resumed = now;
        let mut engine = Engine::new(config, seed, self.local(now));
        // Always, so that a replay with a trace does the same.
        engine.set_log_level(Some(Level::Debug));
        #[cfg(feature = "faults")]
        engine.break_rule(plan.fault);
        self.engine = Some(engine);
    }

    /// The time that an input is handled with.
    pub(crate) fn read_clock(&mut self, world: u64) -> Time {
        // What comes later than the end of the pause is read with a clock of its own.
        if self.stale == 0 || world > self.resumed {
            self.stale = 0;
            return self.local(world);
        }
        self.stale -= 1;
        self.local(self.paused_at.max(self.started))
    }

    pub(crate) fn local(&self, world: u64) -> Time {
        let age = world.saturating_sub(self.started) as i64;
        Time((world + self.offset).saturating_add_signed(age * self.drift / 1000))
    }

    /// The first moment of the world at which the engine's clock shows this, or more.
    pub(crate) fn world(&self, local: Time) -> u64 {
        let reached = local.0.saturating_sub(self.offset);
        if self.drift == 0 {
            return reached;
        }
        let age = reached.saturating_sub(self.started) as i64;
        let mut at = self.started + (age * 1000 / (1000 + self.drift)) as u64;
        while self.local(at) < local {
            at += 1;
        }
        at
    }

    /// The clock leaps ahead, or stands still until as much has passed: monotonic clocks do not go back.
    pub(crate) fn jump(&mut self, by: u64, ahead: bool, now: u64) {
        let by = if ahead { by } else { by.min(self.offset) };
        self.jumped += by;
        self.resumed = now;
        self.reached = self.reached.max(self.local(now));
        if ahead {
            self.offset += by;
            self.wake = self.wake.map(|at| at.saturating_sub(by));
        } else {
            self.offset -= by;
            self.wake = self.wake.map(|at| at.saturating_add(by));
        }
    }

    /// It is as fast as the others again; what was to come late may still do so.
    pub(crate) fn recover(&mut self, now: u64) {
        if self.slow > 1 {
            (self.slow, self.resumed) = (1, now);
        }
    }

    /// A clock that stands still goes on.
    pub(crate) fn wind_up(&mut self, now: u64) {
        let behind = self.reached.0.saturating_sub(self.local(now).0);
        if behind > 0 {
            self.jump(behind, true, now);
        }
    }

    /// Can its processes do something now?
    pub(crate) fn is_awake(&self) -> bool {
        self.is_up() && !self.paused && !self.closing
    }

    pub(crate) fn is_up(&self) -> bool {
        self.engine.is_some()
    }

    /// Is there a published link to this node, and over which connection?
    pub(crate) fn link_to(&self, node: NodeId) -> Option<ConnectionId> {
        self.links.get(&node).map(|l| l.connection)
    }

    /// The binding of this name by a process of this host.
    pub(crate) fn own_row(&self, name: &Name) -> Option<&Binding> {
        self.rows.iter().find(|(n, b)| n == name && b.reg.node == self.id).map(|(_, b)| b)
    }

    pub(crate) fn next_reference(&mut self) -> Ref {
        self.next_ref += 1;
        Ref(self.next_ref - 1)
    }

    pub(crate) fn next_pid(&mut self) -> Pid {
        self.next_serial += 1;
        Pid { node: self.id, serial: self.next_serial - 1 }
    }
}

/// Every row, hidden ones too.
pub(crate) fn rows(engine: &Engine) -> Vec<(Name, Binding)> {
    engine.bindings().map(|(name, binding)| (name.clone(), binding.clone())).collect()
}
