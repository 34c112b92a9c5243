//! What the world knows to be true: every process, operation, monitor and message of a run, over all incarnations.
//! The checks hold the engines to it.

use crate::blame::Taken;
use crate::calm::Histories;
use crate::lock_book::LockBook;
use crate::resolvers::ClashBook;
use convoke::engine::{Reg, Task, Tx};
use convoke::model::{ConnectionId, Name, NodeId, Payload, Pid, Reason, Ref, Resolver, Status};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How a process ended.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct End {
    pub(crate) at: u64,
    pub(crate) step: u64,
    pub(crate) reason: Reason,
    pub(crate) data: Payload,
}

#[derive(Clone, Debug)]
pub(crate) struct Life {
    /// Its incarnation was killed or closed.
    pub(crate) crashed: bool,
    pub(crate) end: Option<End>,
    /// An `Exit` command that was given.
    pub(crate) leaving: Option<(Reason, Payload)>,
    /// Reasons of the kills that were aimed at it.
    pub(crate) kills: BTreeSet<Reason>,
    /// Its last event said so.
    pub(crate) told: Option<Reason>,
    /// Never killed or made to exit by the workload.
    pub(crate) spared: bool,
}

impl Life {
    pub(crate) fn is_over(&self) -> bool {
        self.crashed || self.end.is_some()
    }
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum What {
    Register {
        name: Name,
        pid: Pid,
        replace: bool,
        resolver: Resolver,
    },
    /// `shown`: the caller's node showed somebody under it.
    Unregister {
        name: Name,
        shown: bool,
    },
    IsAlive {
        pid: Pid,
        over_at_start: bool,
    },
    Sync,
    Join,
    Connect,
    Disconnect,
    /// `floor`: the largest token of another requester that was bound at the home when it was asked.
    Acquire {
        resource: Name,
        requester: Name,
        nodes: Option<BTreeSet<NodeId>>,
        retries: Option<u64>,
        scope: Option<Ref>,
        floor: u64,
    },
    /// `held`: the process had a share then, or that scope was open.
    Release {
        resource: Name,
        requester: Name,
        all: bool,
        held: bool,
    },
    Group {
        group: Name,
        act: GroupAct,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GroupAct {
    Create,
    Delete,
    Join(Pid),
    Leave(Pid),
}

#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) what: What,
    pub(crate) process: u64,
    pub(crate) issued: u64,
    pub(crate) deadline: Option<u64>,
    pub(crate) no_wait: bool,
    pub(crate) cancelled: bool,
    pub(crate) answer: Option<Status>,
    pub(crate) answered: Option<u64>,
    /// The step in which it was given, and that in which it was answered.
    pub(crate) step: u64,
    pub(crate) answered_step: Option<u64>,
    /// Breaks of the links between caller and home before it was given.
    pub(crate) breaks: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Monitor {
    pub(crate) process: u64,
    pub(crate) target: Pid,
    pub(crate) linked_at_start: bool,
    pub(crate) cancelled: bool,
    pub(crate) fired: bool,
    pub(crate) breaks: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Watch {
    Name {
        process: u64,
        name: Name,
        shown: Option<Option<Pid>>,
    },
    Nodes {
        process: u64,
        up: BTreeSet<NodeId>,
        complete: bool,
    },
    Group {
        process: u64,
        group: Name,
        members: BTreeMap<Pid, u64>,
        complete: bool,
    },
    /// `since`, `last`: when it began, and when it last said that somebody waits.
    Lock {
        process: u64,
        resource: Name,
        requester: Name,
        since: u64,
        last: Option<u64>,
    },
}

impl Watch {
    pub(crate) fn process(&self) -> u64 {
        match self {
            Self::Name { process, .. }
            | Self::Nodes { process, .. }
            | Self::Group { process, .. }
            | Self::Lock { process, .. } => *process,
        }
    }
}

/// Messages from one process to another over one connection.
#[derive(Clone, Default, Debug)]
pub(crate) struct Stream {
    pub(crate) accepted: u64,
    pub(crate) delivered: u64,
    /// Of those under way.
    pub(crate) lengths: VecDeque<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Kill {
    pub(crate) sender_end: ConnectionId,
    pub(crate) killer: Pid,
    pub(crate) target: Pid,
    /// Messages of the killer to it that were accepted before.
    pub(crate) behind: u64,
}

/// Why one side gave up a link, as far as the world can tell.
#[derive(Clone, Default, Debug)]
pub(crate) struct Breaks {
    pub(crate) count: u64,
    pub(crate) reasons: BTreeSet<Reason>,
}

#[derive(Default)]
pub(crate) struct Book {
    pub(crate) lives: BTreeMap<Pid, Life>,
    pub(crate) operations: BTreeMap<(NodeId, Ref), Operation>,
    pub(crate) monitors: BTreeMap<(NodeId, Ref), Monitor>,
    pub(crate) watches: BTreeMap<(NodeId, Ref), Watch>,
    pub(crate) streams: BTreeMap<(Pid, Pid, ConnectionId), Stream>,
    /// Senders that were refused and wait to be told, by the connection that refused them.
    pub(crate) refused: BTreeSet<(ConnectionId, Pid, Pid)>,
    pub(crate) kills: Vec<Kill>,
    pub(crate) taken: Taken,
    /// Links that were seen to go down: (who saw it, the peer).
    pub(crate) breaks: BTreeMap<(NodeId, NodeId), Breaks>,
    /// Regs whose withdrawal a node has read.
    pub(crate) withdrawn: BTreeSet<(NodeId, Reg)>,
    /// What was asked of homes, and the step in which they read it.
    pub(crate) forwards: BTreeMap<Tx, (Task, u64)>,
    /// What a voter said it shows when it voted for a re-register.
    pub(crate) votes: BTreeMap<(Tx, NodeId), BTreeSet<Reg>>,
    /// The claims that registrations were published under.
    pub(crate) commits: BTreeMap<Reg, Tx>,
    /// Incarnations that are gone for good.
    pub(crate) gone: BTreeSet<NodeId>,
    /// When the home first showed it as its own.
    pub(crate) born: BTreeMap<Reg, u64>,
    /// Nodes (the smaller first) that have been linked and synced with each other since then.
    pub(crate) together: BTreeMap<(NodeId, NodeId), u64>,
    /// Name and loser -> winner, where that is certain.
    pub(crate) lost_to: BTreeMap<(Name, Pid), Pid>,
    pub(crate) locks: LockBook,
    pub(crate) clashes: ClashBook,
    /// What homes showed of memberships of theirs, one count after the other: (step, count).
    pub(crate) counts: BTreeMap<(Name, Pid), Vec<(u64, u64)>>,
    pub(crate) histories: Histories,
    pub(crate) stats: Stats,
}

/// How much of what a run did: a simulator that never meets a clash proves nothing about clashes.
#[derive(Clone, Default, Debug)]
pub(crate) struct Stats {
    pub(crate) seeds: u64,
    pub(crate) steps: u64,
    pub(crate) answers: BTreeMap<Status, u64>,
    pub(crate) registered: u64,
    pub(crate) delivered: u64,
    pub(crate) refused: u64,
    pub(crate) exits: u64,
    pub(crate) conflicts: u64,
    pub(crate) replaced: u64,
    pub(crate) links: u64,
    pub(crate) breaks: u64,
    pub(crate) crashes: u64,
    pub(crate) locked: u64,
    pub(crate) shared: u64,
    pub(crate) lost_minority: u64,
    pub(crate) lost_second: u64,
    pub(crate) lost_ended: u64,
    pub(crate) wanted: u64,
    pub(crate) joined: u64,
    pub(crate) group_events: u64,
    pub(crate) resolver_calls: u64,
    pub(crate) third_node_calls: u64,
    pub(crate) synced: u64,
    pub(crate) opened: u64,
    pub(crate) scopes: u64,
    pub(crate) swizzles: u64,
    pub(crate) numb: u64,
    pub(crate) replaced_paused: u64,
    pub(crate) parted: u64,
    pub(crate) jumps: u64,
    /// Deaths that were found out.
    pub(crate) found_dead: u64,
    pub(crate) histories: u64,
    pub(crate) undecided: u64,
    pub(crate) virtual_ms: u64,
}

impl Stats {
    pub(crate) fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        for (status, count) in &other.answers {
            *self.answers.entry(*status).or_default() += count;
        }
        self.registered += other.registered;
        self.delivered += other.delivered;
        self.refused += other.refused;
        self.exits += other.exits;
        self.conflicts += other.conflicts;
        self.replaced += other.replaced;
        self.links += other.links;
        self.breaks += other.breaks;
        self.crashes += other.crashes;
        self.locked += other.locked;
        self.shared += other.shared;
        self.lost_minority += other.lost_minority;
        self.lost_second += other.lost_second;
        self.lost_ended += other.lost_ended;
        self.wanted += other.wanted;
        self.joined += other.joined;
        self.group_events += other.group_events;
        self.resolver_calls += other.resolver_calls;
        self.third_node_calls += other.third_node_calls;
        self.synced += other.synced;
        self.opened += other.opened;
        self.scopes += other.scopes;
        self.swizzles += other.swizzles;
        self.numb += other.numb;
        self.replaced_paused += other.replaced_paused;
        self.parted += other.parted;
        self.jumps += other.jumps;
        self.found_dead += other.found_dead;
        self.histories += other.histories;
        self.undecided += other.undecided;
        self.virtual_ms += other.virtual_ms;
    }
}

impl Book {
    pub(crate) fn is_over(&self, pid: Pid) -> bool {
        self.gone.contains(&pid.node) || self.lives.get(&pid).is_none_or(Life::is_over)
    }

    /// How often links between the two were given up by either.
    pub(crate) fn breaks_between(&self, a: NodeId, b: NodeId) -> u64 {
        let count = |key| self.breaks.get(&key).map_or(0, |b: &Breaks| b.count);
        count((a, b)) + count((b, a))
    }

    pub(crate) fn note_break(&mut self, seen_by: NodeId, peer: NodeId, reason: Option<Reason>) {
        self.stats.breaks += 1;
        let breaks = self.breaks.entry((seen_by, peer)).or_default();
        breaks.count += 1;
        breaks.reasons.extend(reason);
    }
}
