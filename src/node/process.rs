//! Processes, and what is done on their behalf.

use super::address::{Purpose, canonical, check_address};
use super::event::NOBODY;
use super::process_core::ProcessCore;
use super::queue_core::{QueueCore, Wait};
use super::reply::Asker;
use super::resolver::check_not_resolving;
use super::send::Outgoing;
use super::shared::Shared;
use super::{Error, Event, Handler, Node, Queue, Reply, Result, Waiter};
use crate::model::{Action, Call, Command, Deadline, Name, Payload, Pid, Reason, Ref, Resolver, Status};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The engine keeps the deadlines of calls. A caller that has waited for so much longer does not wait for a node's thread that something
/// keeps busy.
const STUCK: Duration = Duration::from_millis(100);

/// Where the answer to a call that may wait goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completion {
    /// The call waits for it (`op_out` is NULL in C).
    Wait,
    /// The call returns at once, one DONE event follows.
    Event,
}

/// A call that may wait was accepted or is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Done {
    /// The operation that a DONE event will name; 0 when it was waited for.
    pub op: Ref,
    /// The result's value, when it was waited for.
    pub value: u64,
}

/// A process; clones are the same process. Every call gives `Closed` once the node is closed and `NoProcess` once the
/// process has ended.
#[derive(Clone)]
pub struct Process {
    pub(super) shared: Arc<Shared>,
    pub(super) core: Arc<ProcessCore>,
}

impl Process {
    /// `queue`: where its events go; `None`: to a mailbox of its own, read by `recv`. `Full`: `limits.processes` are
    /// alive, or too many calls lie ahead of the node's thread. `Invalid`: the queue is another node's.
    pub fn spawn(node: &Node, queue: Option<&Queue>) -> Result<Self> {
        let shared = node.shared().clone();
        shared.check_open()?;
        if let Some(queue) = queue {
            if !Arc::ptr_eq(&queue.shared, &shared) {
                return Err(Error::new(Status::Invalid, "the queue belongs to another node"));
            }
            queue.core.check_usable()?;
        }
        if shared.processes.dying() >= shared.calls_ahead() {
            return Err(Error::new(
                Status::Full,
                "too many processes have ended just now; limits.operations",
            ));
        }
        if !shared.processes.reserve(shared.config.limits.processes) {
            return Err(Error::new(Status::Full, "limits.processes are alive"));
        }
        let pid = Pid { node: shared.config.node, serial: shared.new_serial() };
        let mailbox = || Arc::new(QueueCore::new());
        let own = queue.map_or_else(mailbox, |queue| queue.core.clone());
        let core = Arc::new(ProcessCore::new(pid, own, queue.is_none()));
        shared.processes.insert(core.clone());
        if let Err(error) = shared.command_if_room(Command::Spawn { process: pid.serial }) {
            shared.processes.remove(pid.serial);
            shared.processes.release();
            return Err(error);
        }
        Ok(Self { shared, core })
    }

    pub fn pid(&self) -> Pid {
        self.core.pid()
    }

    pub(super) fn check_alive(&self) -> Result<()> {
        self.shared.check_open()?;
        if self.core.is_alive() {
            Ok(())
        } else {
            Err(Error::new(Status::NoProcess, "the process has ended"))
        }
    }

    // ---- life and death

    /// Ends the process by its own will: it is gone at once for every caller of this node. Messages that wait unread
    /// are dropped, its other events stay. `TooBig`: more than 64 KiB of data.
    pub fn exit(&self, reason: Reason, data: &[u8]) -> Result<()> {
        self.check_alive()?;
        let limit = self.shared.config.limits.exit_data;
        if data.len() > limit {
            return Err(Error::new(Status::TooBig, format!("{} bytes of data; at most {limit}", data.len())));
        }
        if !self.end(reason, Payload::new(data)) {
            return Err(Status::NoProcess.into());
        }
        Ok(())
    }

    /// Says whether it was alive until now.
    fn end(&self, reason: Reason, data: Payload) -> bool {
        if !self.core.end() {
            return false;
        }
        self.shared.processes.ended();
        // A mailbox stays open for the DONE events of what is under way; ProcessGone ends it then.
        let is_last = self.core.pending.is_empty();
        self.shared.settle(self.core.queue.process_ended(&self.core, is_last));
        // When the node is closed the process is gone anyway.
        let _ = self.shared.command(Command::Exit { process: self.pid().serial, reason, data }, None);
        true
    }

    /// Ends the process, if it lives, with reason FREED, and lets go of its handler: no new call of it starts. Events
    /// of a shared queue that are for it and are not messages go to the queue's handler. Never waits, never fails.
    pub fn free(&self) {
        self.end(Reason::FREED, Payload::default());
        if !self.core.set_freed() {
            return;
        }
        drop(self.core.replace_handler(None));
        if self.core.has_mailbox {
            self.shared.settle(self.core.queue.free());
        } else {
            self.core.queue.handlers_changed();
        }
    }

    /// The oldest event of its mailbox. `State`: it was spawned on a queue. `Timeout`: none in time. When the process
    /// has ended what waits is still handed out, then `NoProcess`; when the node is closed, then `Closed`.
    pub fn recv(&self, timeout_ms: i64) -> Result<Arc<Event>> {
        if !self.core.has_mailbox {
            return Err(Error::new(
                Status::State,
                "the process was spawned on a queue; use next or dispatch",
            ));
        }
        let taken = self.core.queue.take(&Wait::from_ms(timeout_ms)?);
        let (event, after) = taken.map_err(|error| match error.status {
            Status::Closed if self.core.is_freed() => Error::new(Status::NoProcess, "the process is freed"),
            _ => error,
        })?;
        self.shared.settle(after);
        Ok(event)
    }

    /// Overrides the handler of the queue for events of this process. `State`: it has a mailbox of its own. The
    /// handler is dropped when this fails.
    pub fn set_handler(&self, handler: Option<Handler>) -> Result<()> {
        let check = self.check_alive().and_then(|()| {
            let text = "the process has a mailbox of its own; spawn it on a queue";
            if self.core.has_mailbox { Err(Error::new(Status::State, text)) } else { Ok(()) }
        });
        if let Err(error) = check {
            drop(handler);
            return Err(error);
        }
        drop(self.core.replace_handler(handler.map(Arc::new)));
        // Freed meanwhile: nobody else would let go of it.
        if self.core.is_freed() {
            drop(self.core.replace_handler(None));
        }
        self.core.queue.handlers_changed();
        Ok(())
    }

    /// One EXIT event follows when `target` ends or cannot be reached: at once, if that is so already. `Full`:
    /// `limits.operations` monitors and operations are under way.
    pub fn monitor(&self, target: Pid) -> Result<Ref> {
        check_pid(target)?;
        self.watch(|process, reference| Command::Monitor { process, reference, target })
    }

    /// Ends any process. Reason NORMAL counts as KILLED. Whether it existed is not told. `Full`: too many calls lie ahead of the
    /// node's thread, or too much on the link to the process's node.
    pub fn kill(&self, target: Pid, reason: Reason) -> Result<()> {
        self.check_alive()?;
        check_pid(target)?;
        if self.shared.links.get(target.node).is_some_and(|link| link.is_crowded()) {
            return Err(Error::new(Status::Full, "the node of the process leaves too much unread"));
        }
        self.shared.command_if_room(Command::Kill { process: self.pid().serial, target, reason })
    }

    /// Value 1: alive, 0: not.
    pub fn is_alive(&self, pid: Pid, timeout_ms: i64, completion: Completion) -> Result<Done> {
        check_pid(pid)?;
        self.operate(timeout_ms, completion, Action::IsAlive { pid })
    }

    /// Ends a monitor: no further event of it is put into the queue. Or ends an operation early: its DONE event says
    /// `Cancelled`, or how it had ended before. Unknown or ended ones: fine.
    pub fn cancel(&self, reference: Ref) -> Result<()> {
        self.check_alive()?;
        if reference.0 == 0 {
            return Err(Error::new(Status::Invalid, "the reference is none"));
        }
        let reply = self.core.remove_monitor(reference).then_some(Reply::Place);
        // Of anything else there is nothing to end.
        if reply.is_some() || self.core.pending.cancel(reference) {
            self.shared.command(Command::Cancel { process: self.pid().serial, reference }, reply)?;
        }
        Ok(())
    }

    // ---- names

    /// `pid`: who gets the name, `None` for this process. `resolver`: who decides a clash, `None` for `random-exit`;
    /// `NotFound`: there is no such. `replace`: take the name over from whoever has it.
    pub fn register(
        &self,
        name: &[u8],
        pid: Option<Pid>,
        resolver: Option<&str>,
        replace: bool,
        timeout_ms: i64,
        completion: Completion,
    ) -> Result<Done> {
        let name = self.name(name)?;
        check_not_resolving(&self.shared, &name)?;
        let pid = pid.unwrap_or(self.pid());
        check_pid(pid)?;
        let resolver = resolver.map_or(Resolver::RandomExit, Resolver::from_name);
        // For a process elsewhere its home says so.
        if let Resolver::Function(name) = &resolver
            && self.shared.processes.is_here(pid)
            && !self.shared.resolvers.has(name)
        {
            let shown = name.as_bytes().escape_ascii();
            return Err(Error::new(Status::NotFound, format!("there is no resolver \"{shown}\"")));
        }
        // What a re-register replaced is gone.
        self.operate_or_take_back(
            timeout_ms,
            completion,
            !replace,
            Action::Register { name, pid, resolver, replace },
        )
    }

    pub fn unregister(&self, name: &[u8], timeout_ms: i64, completion: Completion) -> Result<Done> {
        let name = self.name(name)?;
        check_not_resolving(&self.shared, &name)?;
        self.operate(timeout_ms, completion, Action::Unregister { name })
    }

    /// NAME_CHANGED at once with the present binding, then at every change.
    pub fn name_monitor(&self, name: &[u8]) -> Result<Ref> {
        let name = self.name(name)?;
        self.watch(|process, reference| Command::MonitorName { process, reference, name })
    }

    // ---- nodes

    /// NODE_UP for every present peer, SNAPSHOT_END, then every change.
    pub fn node_monitor(&self) -> Result<Ref> {
        self.watch(|process, reference| Command::MonitorNodes { process, reference })
    }

    /// Links to the node at `address`: host:port, or a range of ports. A name may stand for several nodes; one is enough.
    pub fn connect(&self, address: &str, timeout_ms: i64, completion: Completion) -> Result<Done> {
        check_address(address, Purpose::Dial).map_err(|text| Error::new(Status::Invalid, text))?;
        let address = canonical(address);
        self.operate(timeout_ms, completion, Action::Connect { address })
    }

    /// Ends the link with a node and does not dial it again until it is asked to.
    pub fn disconnect(&self, node_name: &str, timeout_ms: i64, completion: Completion) -> Result<Done> {
        let node_name = node_name.to_owned();
        self.operate(timeout_ms, completion, Action::Disconnect { node_name })
    }

    /// Waits until the tables of all nodes known are merged.
    pub fn sync(&self, timeout_ms: i64, completion: Completion) -> Result<Done> {
        self.operate(timeout_ms, completion, Action::Sync)
    }

    /// Waits until the node is merged with everybody whom it can be merged with, as it does when it is opened.
    pub(super) fn join(&self, timeout_ms: i64) -> Result<Done> {
        self.operate(timeout_ms, Completion::Wait, Action::Join)
    }

    // ---- messages

    /// Hands a message over; it arrives after those that this process sent to `to` before. `Full`: the receiver has
    /// no room; one SENDABLE event follows when it has. `NoProcess`, `Unreachable`, `TooBig`.
    pub fn send(&self, to: Pid, payload: &[u8]) -> Result<()> {
        self.check_alive()?;
        self.shared.send(&self.core, to, &Outgoing::new(&self.shared, payload)?)
    }

    /// To whoever has the name; who that was. `NotFound`: nobody.
    pub fn send_name(&self, name: &[u8], payload: &[u8]) -> Result<Pid> {
        self.check_alive()?;
        let to = self.shared.tables.whereis(name).ok_or(Status::NotFound)?;
        self.shared.send(&self.core, to, &Outgoing::new(&self.shared, payload)?)?;
        Ok(to)
    }

    // ---- what these have in common

    pub(super) fn name(&self, name: &[u8]) -> Result<Name> {
        self.shared.name(name)
    }

    pub(super) fn watch(&self, command: impl FnOnce(u64, Ref) -> Command) -> Result<Ref> {
        self.check_alive()?;
        self.shared.reserve_operation()?;
        let reference = self.shared.new_ref();
        self.core.add_monitor(reference);
        if let Err(error) = self.shared.command_if_room(command(self.pid().serial, reference)) {
            if self.core.remove_monitor(reference) {
                self.shared.release_operations(1);
            }
            return Err(error);
        }
        Ok(reference)
    }

    /// For what is done all the same, or does no harm, should it be done too late.
    pub(super) fn operate(&self, timeout_ms: i64, completion: Completion, what: Action) -> Result<Done> {
        self.operate_or_take_back(timeout_ms, completion, false, what)
    }

    /// `takes_back`: should it be done too late it is taken back.
    pub(super) fn operate_or_take_back(
        &self,
        timeout_ms: i64,
        completion: Completion,
        takes_back: bool,
        what: Action,
    ) -> Result<Done> {
        self.check_alive()?;
        // The engine keeps the deadline; here it is only checked.
        Wait::from_ms(timeout_ms)?;
        let detection = self.shared.config.detection;
        let now = self.shared.clock.now();
        let deadline = Deadline::from_timeout_ms(now, timeout_ms, detection);
        let (process, op) = (self.pid().serial, self.shared.new_ref());
        let call = Call { process, op, deadline, what };
        match completion {
            Completion::Wait => {
                let waiter = Arc::new(Waiter::default());
                let until =
                    deadline.at.and_then(|deadline| Instant::now().checked_add(deadline.since(now) + STUCK));
                let done = (takes_back && until.is_some()).then(|| Box::new(call.clone()));
                let reverse = || done.map(|done| Command::TakeBack { done });
                self.shared.command(Command::Call(call), Some(Reply::Wait(waiter.clone())))?;
                let Some(outcome) = waiter.wait(until, reverse) else {
                    // As soon as the node's thread gets round to it.
                    self.shared.command(Command::Cancel { process, reference: op }, None)?;
                    let text = "the node's thread has not kept the deadline";
                    return Err(Error::new(Status::Timeout, text));
                };
                match outcome.status {
                    Status::Ok => Ok(Done { op: Ref(0), value: outcome.value }),
                    status => Err(Error::new(status, outcome.detail)),
                }
            }
            Completion::Event => {
                self.shared.reserve_operation()?;
                self.core.pending.add(op);
                let reply = Reply::Event(Asker(self.core.clone()));
                if let Err(error) = self.shared.command(Command::Call(call), Some(reply)) {
                    self.core.pending.remove(op);
                    self.shared.release_operations(1);
                    return Err(error);
                }
                Ok(Done { op, value: 0 })
            }
        }
    }
}

pub(super) fn check_pid(pid: Pid) -> Result<()> {
    if pid == NOBODY { Err(Error::new(Status::Invalid, "the pid is none")) } else { Ok(()) }
}
