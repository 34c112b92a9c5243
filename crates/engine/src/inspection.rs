//! What is under way on a node, and who waits for whom, as the engine knows it.

use super::claims::{Operation, OperationKind, Phase, Publication};
use super::links::Misconduct;
use super::machine::Engine;
use super::timers::Timer;
use super::*;
use std::collections::BTreeSet;
use std::time::Duration;

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
    pub fn inspect(&self, now: Time) -> Inspection {
        let row = |node| self.node_row(node);
        let claim = |(tx, request): (Tx, &claims::Request)| self.claim_row(now, tx, request);
        let connects = self.view.dials.connects().map(|(op, process, address)| (op, process, Some(address)));
        let syncs = self.syncs.iter().map(|(op, meeting)| (*op, meeting.process, None));
        let contended = self.claims.ballots.iter().filter(|(_, ballot)| !ballot.queue.is_empty());
        Inspection {
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
                counts: self.counts_of(*node),
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
            forwarded: Rows::new(self.forwards.asked(), |(id, caller, home, since, cancelled)| ForwardRow {
                home: row(home),
                caller: self.caller_row(caller),
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
            contended: Rows::new(contended, |(key, ballot)| VoteRow {
                kind: if matches!(key, Key::Name(_)) { "name" } else { "lock" },
                key: text_of(key),
                holders: Rows::inner(self.holders(key), |blocker| self.blocker_row(now, blocker)),
                granted: Rows::inner(ballot.granted.iter().map(|(tx, request)| (*tx, request)), claim),
                queue: Rows::inner(ballot.queue.iter(), claim),
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
            local_health: self.view.local_health,
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

    fn caller_row(&self, caller: &calls::Caller) -> CallerRow {
        match caller {
            calls::Caller::Call { process, op } => CallerRow::Process { serial: *process, reference: op.0 },
            calls::Caller::Forwarded { id } => CallerRow::Node(self.node_row(id.node)),
            calls::Caller::Part { joint, .. } => CallerRow::PartOfCall(*joint),
            calls::Caller::Nobody => CallerRow::Nobody,
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
            caller: self.caller_row(&op.caller),
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
        let ballot = self.claims.ballots.get(key);
        let granted = ballot.into_iter().flat_map(|ballot| &ballot.granted);
        let granted = granted.map(|(tx, request)| (*tx, request, "is granted here"));
        let older = ballot.into_iter().flat_map(|ballot| ballot.queue.iter());
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

    fn claim_row(&self, now: Time, tx: Tx, request: &claims::Request) -> ClaimRow {
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

fn serial_of(request: &claims::Request) -> u64 {
    if let Want::Lock { serial, .. } = &request.want { *serial } else { 0 }
}

fn text_of(key: &Key) -> Text {
    let (Key::Name(name) | Key::Lock(name)) = key;
    name.into()
}

/// What an operation is: its kind, what it is about, and the requester of a lock.
fn what(op: &Operation) -> (&'static str, Option<Text>, Option<&Name>) {
    let key = op.key.as_ref().map(text_of);
    match (&op.claim.kind, &op.publication) {
        (OperationKind::Name(naming), _) => {
            (if naming.replace { "re-register" } else { "register" }, key, None)
        }
        (OperationKind::Lock(locking), _) => ("acquire", key, Some(&locking.requester)),
        (OperationKind::Nothing, Publication::Create { group, .. }) => {
            ("create group", Some(group.into()), None)
        }
        (OperationKind::Nothing, Publication::Join { group, .. }) => ("join group", Some(group.into()), None),
        (OperationKind::Nothing, Publication::Delete { group }) => ("delete group", Some(group.into()), None),
        (OperationKind::Nothing, Publication::Leave { group }) => ("leave group", Some(group.into()), None),
        (OperationKind::Nothing, Publication::Release { resource }) => {
            ("release", Some(resource.into()), None)
        }
        (OperationKind::Nothing, Publication::Unregister) => ("unregister", key, None),
        (OperationKind::Nothing, Publication::Withdraw | Publication::Claim) => {
            ("withdraw members", key, None)
        }
    }
}
