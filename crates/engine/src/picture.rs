//! What is under way on a node, and who waits for whom: the first thing to look at when something hangs.
//!
//! Every list is cut after [`ROWS`] rows, those that wait for longest first, and every name after [`TEXT`] bytes, so a
//! picture is of bounded size however much is under way. Serialized, it is the middle of `convoke_node_dump`.

use super::conduct::Misconduct;
use super::machine::Engine;
use super::operation::{Aim, Deed, Operation, Phase};
use super::timers::Timer;
use super::*;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::BTreeSet;
use std::time::Duration;

/// Rows of one list.
pub const ROWS: usize = 200;
/// Rows of a list within a row.
const INNER_ROWS: usize = 20;
/// Rows beyond those that are counted.
const COUNTED: usize = 1000;
/// Bytes of one name.
pub const TEXT: usize = 256;

/// Any bytes: a text where they are one and not too long, otherwise the first of them in hexadecimal, and how many.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Text(Vec<u8>, usize);

impl Text {
    pub fn new(bytes: &[u8]) -> Text {
        Text(bytes[..bytes.len().min(TEXT)].to_vec(), bytes.len())
    }
}

impl From<&Name> for Text {
    fn from(name: &Name) -> Text {
        Text::new(name.as_bytes())
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) if self.1 <= TEXT => s.serialize_str(text),
            _ => {
                let hex: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
                let mut map = s.serialize_map(Some(2))?;
                map.serialize_entry("hex", &hex)?;
                map.serialize_entry("bytes", &self.1)?;
                map.end()
            }
        }
    }
}

/// The first rows of a list, and how many more there are.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Rows<T> {
    pub rows: Vec<T>,
    pub more: usize,
}

impl<T> Rows<T> {
    /// Only the rows that are told are made.
    pub fn new<I>(items: impl IntoIterator<Item = I>, row: impl FnMut(I) -> T) -> Rows<T> {
        let mut items = items.into_iter();
        Rows { rows: items.by_ref().take(ROWS).map(row).collect(), more: items.count() }
    }
    /// For a list within a row: not all are counted either.
    fn inner<I>(items: impl IntoIterator<Item = I>, row: impl FnMut(I) -> T) -> Rows<T> {
        let mut items = items.into_iter();
        Rows { rows: items.by_ref().take(INNER_ROWS).map(row).collect(), more: items.take(COUNTED).count() }
    }
}

/// A node. An incarnation has 64 bits, more than a number of JSON is good for.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct NodeRow {
    pub incarnation: String,
    /// `None`: there is no link to it.
    pub name: Option<Text>,
}

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct PidRow {
    pub node: NodeRow,
    pub serial: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct LinkRow {
    pub node: NodeRow,
    pub address: Text,
    /// The peer's facts are complete here, and mine there.
    pub synced: bool,
    pub acknowledged: bool,
    pub silent_ms: u64,
    pub round_trip_us: Option<u64>,
    /// Suspected: so many neighbours were asked after it and have not answered that they do not hear it either.
    pub suspected: Option<usize>,
    /// Its life is in doubt because somebody else claims its place.
    pub doubted: bool,
    /// For how long it has kept votes and acknowledgements owing of late.
    pub owed_ms: u64,
    /// Bytes that are kept here of what it has published: see `limits.published`.
    pub published: usize,
    pub counts: PeerCounts,
}

/// A peer that is left alone for a while: it kept this node waiting, broke the protocol, or published too much.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct PartedRow {
    pub incarnation: String,
    pub name: Text,
    pub address: Text,
    pub left_ms: u64,
    /// How often it was, less what good behaviour has taken back.
    pub level: u32,
    /// `slow`, `too much` or `violation`.
    pub why: &'static str,
}

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct TargetRow {
    pub address: Text,
    pub name: Text,
    pub seed: bool,
    /// `linked`, `dialling`, `waiting`, `resting` (who answered there is left alone), `parted` (until somebody connects)
    /// or `myself`.
    pub state: &'static str,
    pub failures: u32,
    pub next_dial_ms: Option<u64>,
}

/// A node that an operation waits for.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct WaitRow {
    pub node: NodeRow,
    /// `grant`, `grant, it shows a binding`, or `acknowledgement`.
    pub what: &'static str,
    /// For how long nothing was heard of it; `None`: it is this node, or there is no link.
    pub silent_ms: Option<u64>,
    pub suspected: bool,
    /// Whose binding it shows.
    pub behind: Option<PidRow>,
}

/// Who is in the way of a claim, as far as this node knows.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct BlockerRow {
    pub pid: PidRow,
    pub requester: Option<Text>,
    /// `holds`, `is granted here` or `waits here, and is older`.
    pub how: &'static str,
    pub since_ms: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct OperationRow {
    pub kind: &'static str,
    pub key: Option<Text>,
    pub requester: Option<Text>,
    /// The process that it is for; a process that only asks for it stands in `caller`.
    pub process: Option<u64>,
    pub caller: CallerRow,
    pub since_ms: u64,
    pub deadline_in_ms: Option<u64>,
    /// `claiming` or `publishing`.
    pub phase: &'static str,
    pub granted: usize,
    pub waits_for: Rows<WaitRow>,
    pub behind: Rows<BlockerRow>,
}

/// Who gets the answer.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallerRow {
    Process { serial: u64, reference: u64 },
    Node(NodeRow),
    PartOfCall(u64),
    Nobody,
}

/// What another node runs for this one.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct ForwardRow {
    pub home: NodeRow,
    pub caller: CallerRow,
    pub since_ms: u64,
    pub silent_ms: Option<u64>,
    pub cancelled: bool,
    pub deadline_in_ms: Option<u64>,
}

/// Calls that wait for links.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct MeetingRow {
    /// `connect` or `sync`.
    pub kind: &'static str,
    pub process: u64,
    pub reference: u64,
    pub address: Option<Text>,
    /// Links whose snapshots are not exchanged yet.
    pub waits_for: Rows<NodeRow>,
}

/// A claim at this voter.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct ClaimRow {
    pub node: NodeRow,
    /// Of a lock.
    pub pid: Option<PidRow>,
    pub requester: Option<Text>,
    pub since_ms: u64,
}

/// A key that claims wait for at this voter.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct VoteRow {
    /// `name` or `lock`.
    pub kind: &'static str,
    pub key: Text,
    pub holders: Rows<BlockerRow>,
    pub granted: Rows<ClaimRow>,
    pub queue: Rows<ClaimRow>,
}

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct ClashRow {
    pub name: Text,
    /// `decides` (this node is the lower home) or `takes part`.
    pub role: &'static str,
    pub other: NodeRow,
    /// `asked`, `its resolver runs`, `decided`, `engaged` or `waiting`.
    pub state: &'static str,
    pub since_ms: Option<u64>,
}

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct CallRow {
    pub name: Text,
    pub a: PidRow,
    pub b: PidRow,
    pub since_ms: u64,
}

/// Deletes of other nodes that wait until members of this one are withdrawn everywhere.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct WithdrawalRow {
    pub groups: Rows<Text>,
    pub deletes_of: Rows<NodeRow>,
    pub waits_for: Rows<NodeRow>,
}

/// What the engine knows at one moment.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Picture {
    pub links: Rows<LinkRow>,
    /// Peers whose links are over, the latest first.
    pub past: Rows<PastRow>,
    pub parted: Rows<PartedRow>,
    pub targets: Rows<TargetRow>,
    pub operations: Rows<OperationRow>,
    pub forwarded: Rows<ForwardRow>,
    /// Operations that this node runs for others and has not answered.
    pub served: usize,
    pub meetings: Rows<MeetingRow>,
    /// Keys that somebody waits for at this voter.
    pub contended: Rows<VoteRow>,
    pub clashes: Rows<ClashRow>,
    pub resolver_calls: Rows<CallRow>,
    pub withdrawals: Rows<WithdrawalRow>,
    pub names_own: usize,
    pub locks: usize,
    pub locks_own: usize,
    pub ill_health: u32,
    pub clock: u64,
}

/// Who is in the way of a claim.
struct Blocker<'a> {
    pid: Pid,
    requester: Option<&'a Name>,
    how: &'static str,
    since: Time,
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Engine {
    pub fn picture(&self, now: Time) -> Picture {
        let row = |node| self.node_row(node);
        let claim = |(tx, request): (Tx, &queue::Request)| self.claim_row(now, tx, request);
        let connects = self.view.dials.connects().map(|(op, process, address)| (op, process, Some(address)));
        let syncs = self.syncs.iter().map(|(op, meeting)| (*op, meeting.process, None));
        let contended = self.claims.arbiters.iter().filter(|(_, arbiter)| !arbiter.queue.is_empty());
        Picture {
            links: Rows::new(&self.view.links, |(node, link)| LinkRow {
                node: row(*node),
                address: Text::new(link.address.as_bytes()),
                synced: link.synced,
                acknowledged: link.is_merged(),
                silent_ms: ms(now.since(link.last_heard)),
                round_trip_us: link.round_trip.map(|took| took.as_micros().try_into().unwrap_or(u64::MAX)),
                suspected: link.suspected.as_ref().map(BTreeSet::len),
                doubted: link.doubted.is_some(),
                owed_ms: ms(self.conducts.owed_of(*node)),
                published: self.published_by(*node),
                counts: link.counts,
            }),
            past: Rows::new(self.view.past.rows(), |row| row),
            parted: Rows::new(self.conducts.parted(now), |parted| PartedRow {
                incarnation: format!("{:016x}", parted.node.0),
                name: Text::new(parted.name.as_bytes()),
                address: Text::new(parted.address.as_bytes()),
                left_ms: ms(parted.left),
                level: parted.level,
                why: parted.why.map_or("", Misconduct::as_str),
            }),
            targets: Rows::new(self.view.dials.rows(), |(address, name, seed, state, failures)| TargetRow {
                next_dial_ms: self.left(now, &Timer::Dial(address.to_owned())),
                address: Text::new(address.as_bytes()),
                name: Text::new(name.as_bytes()),
                seed,
                state,
                failures,
            }),
            // Numbers of transactions rise, so the oldest come first.
            operations: Rows::new(&self.claims.operations, |(tx, op)| self.operation_row(now, *tx, op)),
            forwarded: Rows::new(self.forwards.asked(), |(id, origin, home, since, cancelled)| ForwardRow {
                home: row(home),
                caller: self.caller_row(origin),
                since_ms: ms(now.since(since)),
                silent_ms: self.silent_ms(now, home),
                cancelled,
                deadline_in_ms: self.left(now, &Timer::Forward(id)),
            }),
            served: self.forwards.served(),
            meetings: Rows::new(connects.chain(syncs), |(op, process, address)| {
                let unmerged = self.view.links.iter().filter(|(_, link)| !link.is_merged());
                MeetingRow {
                    kind: if address.is_some() { "connect" } else { "sync" },
                    process,
                    reference: op.0,
                    address: address.map(|address| Text::new(address.as_bytes())),
                    waits_for: Rows::inner(unmerged.filter(|_| address.is_none()), |(node, _)| row(*node)),
                }
            }),
            contended: Rows::new(contended, |(key, arbiter)| VoteRow {
                kind: if matches!(key, Key::Name(_)) { "name" } else { "lock" },
                key: text_of(key),
                holders: Rows::inner(self.holders(key), |blocker| self.blocker_row(now, blocker)),
                granted: Rows::inner(arbiter.holders.iter().map(|(tx, request)| (*tx, request)), claim),
                queue: Rows::inner(arbiter.queue.iter(), claim),
            }),
            clashes: Rows::new(self.clash_rows(), |(name, role, other, state, since)| ClashRow {
                name: name.into(),
                role,
                other: row(other),
                state,
                since_ms: since.map(|since| ms(now.since(since))),
            }),
            resolver_calls: Rows::new(self.resolvers.calls(), |(name, a, b, since)| CallRow {
                name: name.into(),
                a: self.pid_row(a),
                b: self.pid_row(b),
                since_ms: ms(now.since(since)),
            }),
            withdrawals: Rows::new(self.groups.withdrawals.under_way(), |(tx, groups, deletes)| {
                WithdrawalRow {
                    groups: Rows::inner(groups, Text::from),
                    deletes_of: Rows::inner(deletes, |(node, _)| row(*node)),
                    waits_for: Rows::inner(self.not_acknowledged(*tx), row),
                }
            }),
            names_own: self.names.count(self.config.node),
            locks: self.holds.len(),
            locks_own: self.holds.own.len(),
            ill_health: self.view.ill_health,
            clock: self.clock,
        }
    }

    fn node_row(&self, node: NodeId) -> NodeRow {
        let name = if node == self.config.node {
            Some(&self.config.name)
        } else {
            self.view.links.get(&node).map(|link| &link.name)
        };
        NodeRow { incarnation: format!("{:016x}", node.0), name: name.map(|name| Text::new(name.as_bytes())) }
    }

    fn pid_row(&self, pid: Pid) -> PidRow {
        PidRow { node: self.node_row(pid.node), serial: pid.serial }
    }

    fn silent_ms(&self, now: Time, node: NodeId) -> Option<u64> {
        self.view.links.get(&node).map(|link| ms(now.since(link.last_heard)))
    }

    fn left(&self, now: Time, timer: &Timer) -> Option<u64> {
        self.timers.at(timer).map(|at| ms(at.since(now)))
    }

    fn caller_row(&self, origin: &forward::Origin) -> CallerRow {
        match origin {
            forward::Origin::Call { process, op } => CallerRow::Process { serial: *process, reference: op.0 },
            forward::Origin::Forwarded { id } => CallerRow::Node(self.node_row(id.node)),
            forward::Origin::Part { joint, .. } => CallerRow::PartOfCall(*joint),
            forward::Origin::Nobody => CallerRow::Nobody,
        }
    }

    fn not_acknowledged(&self, tx: Tx) -> impl Iterator<Item = NodeId> {
        let acks = self.claims.operations.get(&tx).and_then(|op| match &op.phase {
            Phase::Committing(acks) => Some(acks),
            Phase::Acquiring => None,
        });
        acks.into_iter().flatten().copied()
    }

    fn operation_row(&self, now: Time, tx: Tx, op: &Operation) -> OperationRow {
        let (kind, key, requester) = what(op);
        let behind = op.key.as_ref().filter(|_| op.is_acquiring());
        OperationRow {
            kind,
            key,
            requester: requester.map(Text::from),
            process: (op.claim.serial != 0).then_some(op.claim.serial),
            caller: self.caller_row(&op.origin),
            since_ms: ms(now.since(op.since)),
            deadline_in_ms: self.left(now, &Timer::Operation(tx)),
            phase: if op.is_acquiring() { "claiming" } else { "publishing" },
            granted: op.granted.len(),
            waits_for: Rows::inner(waits_for(op), |node| self.wait_row(now, op, node)),
            behind: Rows::inner(
                behind.into_iter().flat_map(|key| self.in_the_way(tx, key, requester)),
                |it| self.blocker_row(now, it),
            ),
        }
    }

    fn wait_row(&self, now: Time, op: &Operation, node: NodeId) -> WaitRow {
        let busy = op.naming().filter(|_| op.is_acquiring()).and_then(|naming| naming.busy.get(&node));
        let shown = busy.and_then(|reg| match &op.key {
            Some(Key::Name(name)) => self.names.of(name, reg.node).filter(|b| b.reg == *reg),
            _ => None,
        });
        WaitRow {
            node: self.node_row(node),
            what: match (op.is_acquiring(), busy) {
                (true, None) => "grant",
                (true, Some(_)) => "grant, it shows a binding",
                (false, _) => "acknowledgement",
            },
            silent_ms: self.silent_ms(now, node),
            suspected: self.view.links.get(&node).is_some_and(|link| link.suspected.is_some()),
            behind: shown.map(|binding| self.pid_row(binding.pid())),
        }
    }

    /// Who holds the lock, as all nodes know.
    fn holders(&self, key: &Key) -> impl Iterator<Item = Blocker<'_>> {
        let resource = if let Key::Lock(resource) = key { Some(resource) } else { None };
        let shares = resource.into_iter().flat_map(|resource| self.holds.shares(resource));
        shares.map(|(requester, pid, since)| Blocker { pid, requester: Some(requester), how: "holds", since })
    }

    /// What keeps a claim of this node from being granted: holds of other requesters, claims that this voter has
    /// granted, and older ones that wait here.
    fn in_the_way<'a>(
        &'a self,
        tx: Tx,
        key: &Key,
        requester: Option<&'a Name>,
    ) -> impl Iterator<Item = Blocker<'a>> {
        let is_other = move |blocker: &Blocker| requester.is_none() || blocker.requester != requester;
        let arbiter = self.claims.arbiters.get(key);
        let granted = arbiter.into_iter().flat_map(|arbiter| &arbiter.holders);
        let granted = granted.map(|(tx, request)| (*tx, request, "is granted here"));
        let older = arbiter.into_iter().flat_map(|arbiter| arbiter.queue.iter());
        let older = older.take_while(move |(other, _)| *other < tx);
        let older = older.map(|(tx, request)| (tx, request, "waits here, and is older"));
        let claims = granted.chain(older).filter(move |(other, ..)| *other != tx);
        let claims = claims.map(|(tx, request, how)| Blocker {
            pid: Pid { node: tx.node, serial: serial_of(request) },
            requester: request.requester(),
            how,
            since: request.since,
        });
        self.holders(key).chain(claims).filter(is_other)
    }

    fn blocker_row(&self, now: Time, blocker: Blocker) -> BlockerRow {
        BlockerRow {
            pid: self.pid_row(blocker.pid),
            requester: blocker.requester.map(Text::from),
            how: blocker.how,
            since_ms: ms(now.since(blocker.since)),
        }
    }

    fn claim_row(&self, now: Time, tx: Tx, request: &queue::Request) -> ClaimRow {
        let node = self.node_row(tx.node);
        let pid = request.requester().map(|_| PidRow { node: node.clone(), serial: serial_of(request) });
        ClaimRow {
            node,
            pid,
            requester: request.requester().map(Text::from),
            since_ms: ms(now.since(request.since)),
        }
    }

    /// For the log: what an operation is, and whom it waits for.
    pub(super) fn tell_of_wait(&self, tx: Tx) -> String {
        let Some(op) = self.claims.operations.get(&tx) else { return String::new() };
        let (kind, _, requester) = what(op);
        let nodes: Vec<NodeId> = waits_for(op).collect();
        let mut text = format!(
            "{kind} of {} has waited for {} ms for {}",
            log::of_key(op.key.as_ref()),
            ms(self.now.since(op.since)),
            self.names_of(nodes.iter())
        );
        let key = op.key.as_ref().filter(|_| op.is_acquiring());
        if let Some(blocker) = key.and_then(|key| self.in_the_way(tx, key, requester).next()) {
            let (node, serial) = (self.name_of(blocker.pid.node), blocker.pid.serial);
            text += &format!("; process {serial} of node {node} {}", blocker.how);
        }
        text
    }
}

/// Who has not granted, or not acknowledged.
fn waits_for(op: &Operation) -> impl Iterator<Item = NodeId> {
    let (asked, acks) = match &op.phase {
        Phase::Acquiring => (Some(op.nodes.difference(&op.granted)), None),
        Phase::Committing(acks) => (None, Some(acks)),
    };
    asked.into_iter().flatten().chain(acks.into_iter().flatten()).copied()
}

fn serial_of(request: &queue::Request) -> u64 {
    if let Want::Lock { serial, .. } = &request.want { *serial } else { 0 }
}

fn text_of(key: &Key) -> Text {
    let (Key::Name(name) | Key::Lock(name)) = key;
    name.into()
}

/// What an operation is: its kind, what it is about, and the requester of a lock.
fn what(op: &Operation) -> (&'static str, Option<Text>, Option<&Name>) {
    let key = op.key.as_ref().map(text_of);
    match (&op.claim.aim, &op.deed) {
        (Aim::Name(naming), _) => (if naming.replace { "re-register" } else { "register" }, key, None),
        (Aim::Lock(locking), _) => ("acquire", key, Some(&locking.requester)),
        (Aim::Nothing, Deed::Create { group, .. }) => ("create group", Some(group.into()), None),
        (Aim::Nothing, Deed::Join { group, .. }) => ("join group", Some(group.into()), None),
        (Aim::Nothing, Deed::Delete { group }) => ("delete group", Some(group.into()), None),
        (Aim::Nothing, Deed::Leave { group }) => ("leave group", Some(group.into()), None),
        (Aim::Nothing, Deed::Release { resource }) => ("release", Some(resource.into()), None),
        (Aim::Nothing, Deed::Unregister) => ("unregister", key, None),
        (Aim::Nothing, Deed::Withdraw | Deed::Claim) => ("withdraw members", key, None),
    }
}
