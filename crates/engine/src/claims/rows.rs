//! What is told of operations that are under way, and of whom they wait for.

use super::operation::{Operation, OperationKind, Phase, Publication};
use super::queue::Request;
use crate::machine::Engine;
use crate::timers::Timer;
use crate::*;

/// Who is in the way of a claim.
struct Blocker<'a> {
    pid: Pid,
    requester: Option<&'a Name>,
    how: &'static str,
    since: Time,
}

impl Engine {
    /// Numbers of transactions rise, so the oldest come first.
    pub(crate) fn operation_rows(&self, now: Time) -> Rows<OperationRow> {
        Rows::new(&self.claims.operations, |(tx, op)| self.operation_row(now, *tx, op))
    }

    /// Keys at this voter that somebody waits for.
    pub(crate) fn contended_rows(&self, now: Time) -> Rows<VoteRow> {
        let claim = |(tx, request): (Tx, &Request)| self.claim_row(now, tx, request);
        let contended = self.claims.ballots.iter().filter(|(_, ballot)| !ballot.queue.is_empty());
        Rows::new(contended, |(key, ballot)| VoteRow {
            kind: if matches!(key, Key::Name(_)) { "name" } else { "lock" },
            key: text_of(key),
            holders: Rows::inner(self.holders(key), |blocker| self.blocker_row(now, blocker)),
            granted: Rows::inner(ballot.granted.iter().map(|(tx, request)| (*tx, request)), claim),
            queue: Rows::inner(ballot.queue.iter(), claim),
        })
    }

    /// Who has yet to acknowledge what was published.
    pub(crate) fn not_acknowledged(&self, tx: Tx) -> impl Iterator<Item = NodeId> {
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
            suspected: self.view.is_suspected(node),
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
        let is_other = move |blocker: &Blocker<'_>| requester.is_none() || blocker.requester != requester;
        let ballot = self.claims.ballots.get(key);
        let granted = ballot.into_iter().flat_map(|ballot| &ballot.granted);
        let granted = granted.map(|(tx, request)| (*tx, request, "is granted here"));
        let older = ballot.into_iter().flat_map(|ballot| ballot.queue.iter());
        let older = older.take_while(move |(other, _)| *other < tx);
        let older = older.map(|(tx, request)| (tx, request, "waits here, and is older"));
        let claims = granted.chain(older).filter(move |(other, ..)| *other != tx);
        let claims = claims.map(|(tx, request, how)| Blocker {
            pid: Pid { node: tx.node, serial: request.serial() },
            requester: request.requester(),
            how,
            since: request.since,
        });
        self.holders(key).chain(claims).filter(is_other)
    }

    fn blocker_row(&self, now: Time, blocker: Blocker<'_>) -> BlockerRow {
        BlockerRow {
            pid: self.pid_row(blocker.pid),
            requester: blocker.requester.map(Text::from),
            how: blocker.how,
            since_ms: ms(now.since(blocker.since)),
        }
    }

    fn claim_row(&self, now: Time, tx: Tx, request: &Request) -> ClaimRow {
        let node = self.node_row(tx.node);
        let pid = request.requester().map(|_| PidRow { node: node.clone(), serial: request.serial() });
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
            ms(self.cx.now.since(op.since)),
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
