//! Which subject a command, a message or a timer belongs to.

use super::machine::Engine;
use super::timers::Timer;
use super::*;

impl Engine {
    pub(super) fn command(&mut self, command: Command) {
        if self.cx.is_closed() {
            return self.answer_closed(command);
        }
        match command {
            Command::Spawn { process } => self.spawn(process),
            Command::Exit { process, reason, data } => self.process_exits(process, reason, data, None),
            Command::Kill { process, target, reason } => self.kill(process, target, reason),
            Command::Monitor { process, reference, target } => self.monitor(process, reference, target),
            Command::MonitorName { process, reference, name } => self.monitor_name(process, reference, name),
            Command::MonitorNodes { process, reference } => self.monitor_nodes(process, reference),
            Command::Cancel { process, reference } => self.cancel(process, reference),
            Command::WatchLock { process, reference, resource, requester } => {
                self.lock_watch(process, reference, resource, requester);
            }
            Command::MonitorGroup { process, reference, group } => {
                self.group_monitor(process, reference, group);
            }
            Command::AddResolver { resolver } => self.add_resolver(resolver),
            Command::SetSeeds { seeds } => self.set_seeds(seeds),
            Command::TakeBack { done } => self.take_back(*done),
            Command::Call(call) => self.call(call),
            Command::Close => self.close(Reason::NORMAL),
        }
    }

    fn call(&mut self, Call { process, op, deadline, what }: Call) {
        match what {
            Action::Register { name, pid, resolver, replace } => {
                let task = |serial| Task::Register {
                    name: name.clone(),
                    serial,
                    resolver: resolver.clone(),
                    replace,
                    no_wait: deadline.no_wait,
                };
                match self.cx.config.check_name(name.as_bytes()) {
                    Err(status) => self.answer_call(process, op, Outcome::of(status)),
                    Ok(()) => self.call_at(process, op, pid.node, task(pid.serial), deadline),
                }
            }
            Action::Unregister { name } => {
                self.unregister(process, op, name, deadline);
            }
            Action::IsAlive { pid } => {
                self.call_at(process, op, pid.node, Task::IsAlive { serial: pid.serial }, deadline);
            }
            Action::Acquire { resource, requester, nodes, retries, scope } => {
                self.lock_acquire(process, op, resource, requester, nodes, retries, scope, deadline);
            }
            Action::Release { resource, requester, nodes, scope } => {
                self.lock_release(process, op, resource, requester, nodes, scope, deadline);
            }
            Action::CreateGroup { group } => {
                self.group_create(process, op, group, deadline);
            }
            Action::DeleteGroup { group } => {
                self.group_delete(process, op, group, deadline);
            }
            Action::JoinGroup { group, pid } => {
                if let Some(task) = self.task_to_join(process, op, group, pid) {
                    self.call_at(process, op, pid.node, task, deadline);
                }
            }
            Action::LeaveGroup { group, pid } => {
                if let Some(task) = self.task_to_leave(process, op, group, pid) {
                    self.call_at(process, op, pid.node, task, deadline);
                }
            }
            Action::Sync => self.sync(process, op, deadline),
            Action::Join => self.join(process, op, deadline),
            Action::Connect { address } => {
                self.connect(process, op, address, deadline);
            }
            Action::Disconnect { node_name } => {
                let outcome = self.disconnect(process, &node_name);
                // What ends with the link is told of before the answer.
                self.carry_out_notices();
                self.answer_call(process, op, outcome);
            }
        }
    }

    pub(super) fn cancel(&mut self, serial: u64, reference: Ref) {
        if self.cancel_monitor(serial, reference) {
            return;
        }
        match self.processes.call(serial, reference).cloned() {
            Some(calls::Work::Connect) => self.end_connect(reference, Outcome::of(Status::Cancelled)),
            Some(calls::Work::Sync) => self.end_sync(reference, Outcome::of(Status::Cancelled)),
            Some(work) => self.stop(work, Status::Cancelled),
            None => {}
        }
    }

    fn answer_closed(&mut self, command: Command) {
        match command {
            Command::Call(Call { process, op, .. }) => {
                self.event(Effect::Answer { process, op, outcome: Outcome::of(Status::Closed) });
            }
            Command::Monitor { process, reference, target } => {
                let event = Event::Exit {
                    reference,
                    pid: target,
                    reason: Reason::NODE_CLOSED,
                    data: Payload::default(),
                    by: None,
                };
                self.event(Effect::Notify { process, event });
            }
            Command::Spawn { process } => self.event(Effect::ProcessGone { process }),
            Command::Exit { .. }
            | Command::Kill { .. }
            | Command::MonitorName { .. }
            | Command::MonitorNodes { .. }
            | Command::MonitorGroup { .. }
            | Command::WatchLock { .. }
            | Command::AddResolver { .. }
            | Command::SetSeeds { .. }
            | Command::Cancel { .. }
            | Command::TakeBack { .. }
            | Command::Close => {}
        }
    }

    /// `Err`: the peer broke the protocol in a way that honest nodes cannot; its link is ended.
    pub(super) fn message(&mut self, from: NodeId, message: Message) -> Result<(), Violation> {
        match message {
            Message::Hello { facts, last } => self.on_hello(from, facts, last),
            Message::HelloAck => self.on_hello_ack(from),
            Message::Heartbeat => Ok(()),
            Message::Ping { number } => {
                self.send(from, Message::Pong { number });
                Ok(())
            }
            Message::Pong { number } => self.on_pong(from, number),
            Message::Goodbye { why } => self.on_goodbye(from, why),
            Message::Probe { about } => self.on_probe(from, about),
            Message::ProbeAnswer { silent } => self.on_probe_answer(from, silent),
            Message::Challenge { number, claimant } => self.on_challenge(from, number, claimant),
            Message::Vouch { node } => {
                self.on_vouch(node, from);
                Ok(())
            }
            Message::Vouched { node } => {
                self.on_vouched(from, node);
                Ok(())
            }
            Message::Acquire { tx, key, want, no_wait } => self.on_acquire(from, tx, key, want, no_wait),
            Message::Grant { tx, key, epoch, regs } => {
                let epoch = self.followed_token(epoch)?;
                self.on_grant(from, tx, key, epoch, regs)
            }
            Message::Queued { tx } => {
                self.on_queued(from, tx);
                Ok(())
            }
            Message::Deny { tx } => self.on_deny(from, tx),
            Message::Busy { tx, reg } => self.on_busy(from, tx, reg),
            Message::Wound { tx, key } => self.on_wound(from, tx, key),
            Message::Yield { tx, key } => self.on_yield(from, tx, key),
            Message::Release { tx, key } => self.on_release(from, tx, key),
            Message::NoWait { tx, key } => self.on_no_wait(from, tx, key),
            Message::SharePublished { tx, hold } => self.on_share_published(from, tx, hold),
            Message::ShareReleased { resource, requester, serial, rest, ack } => {
                self.on_share_released(from, resource, requester, serial, rest, ack)
            }
            Message::LockConflict { resource, requester, serial, token, ends } => {
                self.on_lock_conflict(from, resource, requester, serial, token, ends)
            }
            Message::ConfirmHold { question, resource, requester, serial, token } => {
                self.on_confirm_hold(from, question, resource, requester, serial, token)
            }
            Message::HoldConfirmed { question, resource, requester, serial, standing } => {
                self.on_hold_confirmed(from, question, resource, requester, serial, standing)
            }
            Message::Wanted { tx, resource, requester, serial, waiter } => {
                self.on_wanted(from, tx, resource, requester, serial, waiter)
            }
            Message::Commit { tx, name, binding } => self.on_commit(from, tx, name, binding),
            Message::Ack { tx } => self.on_ack(from, tx),
            Message::Settled { name, reg, to, supersedes } => {
                self.on_settled(from, name, reg, to, supersedes)
            }
            Message::Unregistered { name, reg, beneath, ack } => {
                self.on_unregistered(from, &name, reg, beneath, ack)?;
                self.rival_gone(&name, reg);
                Ok(())
            }
            Message::Membership { membership, ack } => self.on_membership(from, membership, ack),
            Message::Create { group, dot, generation, ack } => {
                self.on_create(from, group, dot, generation, ack)
            }
            Message::Retract { group, dots, ack } => self.on_retract(from, group, dots, ack),
            Message::Delete { group, dots, ack } => self.on_delete(from, group, dots, ack),
            Message::GroupDigest { digest } => self.on_group_digest(from, digest),
            Message::GroupState { parts, last, answer } => self.on_group_state(from, parts, last, answer),
            Message::Engage { name, pair, round } => {
                self.on_clash_message(from, ClashMessage::Engage { name, pair, round })
            }
            Message::Engaged { name, pair, round, age_ms } => {
                self.on_clash_message(from, ClashMessage::Engaged { name, pair, round, age_ms })
            }
            Message::ClashEnded { name, pair } => {
                self.on_clash_message(from, ClashMessage::ClashEnded { name, pair })
            }
            Message::Verdict { name, pair, treatment } => {
                self.on_clash_message(from, ClashMessage::Verdict { name, pair, treatment })
            }
            Message::ClashSeen { name, pair, high } => self.on_clash_seen(from, name, pair, high),
            Message::Relayed { to, from: origin, clash } => self.on_relayed(from, to, origin, clash),
            Message::Forward { id, task, remaining_ms } => self.on_forward(from, id, task, remaining_ms),
            Message::Answer { id, status, value } => self.on_answer(from, id, status, value),
            Message::Cancel { id } => self.on_cancel(from, id),
            Message::Monitor { watcher, reference, target } => {
                self.on_monitor(from, watcher, reference, target)
            }
            Message::Demonitor { watcher, reference, target } => {
                self.on_demonitor(from, watcher, reference, target)
            }
            Message::Credit { to, credit } => {
                self.on_credit(from, to, credit);
                Ok(())
            }
            Message::NoReceiver { to } => {
                self.no_receiver(from, to);
                Ok(())
            }
            Message::Where { nodes } => self.on_where(from, nodes),
            Message::Peers { peers, last } => self.on_peers(from, peers, last),
        }
    }

    pub(super) fn timer(&mut self, timer: Timer) {
        match timer {
            Timer::Operation(tx) => self.operation_deadline(tx),
            Timer::Grace(tx) => self.grace_over(tx),
            Timer::NoWait(tx) => self.stop_waiting(tx),
            Timer::Forward(id) => self.forward_deadline(id),
            Timer::Connect(op) => self.connect_deadline(op),
            Timer::Sync(op) => self.sync_deadline(op),
            Timer::LastCall(op) => self.last_call_over(op),
            Timer::Heartbeat(node) => self.heartbeat_due(node),
            Timer::Silence(node) => self.silence_due(node),
            Timer::Doubt(node) => self.doubt_due(node),
            Timer::Dial(address) => self.dial_due(address),
            Timer::Missing => self.missing_due(),
            Timer::Confirm(node) => self.confirmation_due(node),
            Timer::GroupDigest => self.group_digest_due(),
            Timer::GroupAnswer(node) => self.group_answer_due(node),
            Timer::GroupMemory => self.group_memory_due(),
            Timer::Doomed(group) => self.groups.clear_doomed_of(&group),
            Timer::Claims => self.claims_due(),
            Timer::ClashSeen(name) => self.clash_seen_due(name),
        }
    }
}
