//! One machine: a real engine and, around it, what the room `node` does for one: processes with mailboxes, the outbox
//! of each link, the tables that readers see.

use crate::lock_book::Share;
use crate::plan::Plan;
use convoke::engine::message::{Outbox, Window};
use convoke::engine::{Binding, Config, ConnectionId, Engine, Members, Name, NodeId, Pid, Ref, Time};
use convoke::wire::DataEncoder;
use std::collections::{BTreeMap, VecDeque};
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
    pub(crate) outbox: Outbox<DataEncoder>,
    /// The peer's snapshot was read, and this host's by the peer.
    pub(crate) synced: bool,
    pub(crate) acked: bool,
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
    /// The engine's clock is the world's plus this.
    pub(crate) offset: u64,
    pub(crate) started: u64,
    /// The engine's next timeout, in world time.
    pub(crate) wake: Option<u64>,
    pub(crate) idle_wakes: u32,
    pub(crate) paused: bool,
    pub(crate) resumed: u64,
    pub(crate) closing: bool,
    pub(crate) links: BTreeMap<NodeId, Link>,
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
    pub(crate) fn new(slot: usize, name: String, address: String) -> Host {
        Host {
            slot,
            name,
            address,
            engine: None,
            id: NodeId(0),
            offset: 0,
            started: 0,
            wake: None,
            idle_wakes: 0,
            paused: false,
            resumed: 0,
            closing: false,
            links: BTreeMap::new(),
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

    /// A new incarnation.
    pub(crate) fn start(
        &mut self,
        plan: &Plan,
        id: NodeId,
        seeds: Vec<String>,
        seed: u64,
        now: u64,
        offset: u64,
    ) {
        let mut config = Config::new(id, &self.name);
        config.address = self.address.clone();
        config.seeds = seeds;
        config.detection = plan.detection();
        config.heartbeat = Duration::from_micros(plan.heartbeat);
        config.dial_min = Duration::from_micros(plan.dial_max / 16);
        config.dial_max = Duration::from_micros(plan.dial_max);
        config.one_name_per_pid = plan.one_name;
        config.limits = plan.limits.clone();
        #[cfg(feature = "faults")]
        {
            config.fault = plan.fault;
        }
        // The counters start far apart, and in no order.
        config.first_token = (seed % 50) << 20;
        *self = Host::new(self.slot, std::mem::take(&mut self.name), std::mem::take(&mut self.address));
        self.id = id;
        self.offset = offset;
        self.started = now;
        self.resumed = now;
        self.engine = Some(Engine::new(config, seed, self.local(now)));
    }

    pub(crate) fn local(&self, world: u64) -> Time {
        Time(world + self.offset)
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
