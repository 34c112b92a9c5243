//! Sending messages, on the caller's thread: into the queue of a process of this node, or into the outbox of a link.

use super::event::NOBODY;
use super::process_core::ProcessCore;
use super::queue_core::Refused;
use super::shared::Shared;
use super::{Error, Result};
use crate::flow::cost;
use crate::model::{Payload, Pid, Status};
use std::cell::OnceCell;
use std::sync::atomic::Ordering;

/// What is sent: to one receiver, or the same to several.
pub(super) struct Outgoing<'a> {
    bytes: &'a [u8],
    /// For receivers of this node: one copy that they share.
    shared: OnceCell<Payload>,
}

impl Outgoing<'_> {
    /// `TooBig`: it is longer than any message may be.
    pub(super) fn new<'a>(shared: &Shared, bytes: &'a [u8]) -> Result<Outgoing<'a>> {
        let limit = shared.config.limits.message;
        if bytes.len() > limit {
            let text = format!("{} bytes; limits.message is {limit}", bytes.len());
            return Err(Error::new(Status::TooBig, text));
        }
        Ok(Outgoing { bytes, shared: OnceCell::new() })
    }
}

impl Shared {
    pub(super) fn send(&self, from: &ProcessCore, to: Pid, outgoing: &Outgoing<'_>) -> Result<()> {
        if to == NOBODY {
            return Err(Error::new(Status::Invalid, "the pid is none"));
        }
        if self.processes.is_here(to) {
            self.send_here(from, to, outgoing)?;
        } else {
            self.send_there(from, to, outgoing.bytes)?;
        }
        self.counters.messages_sent.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn send_here(&self, from: &ProcessCore, to: Pid, outgoing: &Outgoing<'_>) -> Result<()> {
        let receiver = self.processes.get(to.serial).filter(|process| process.is_alive());
        let Some(receiver) = receiver else { return Err(Status::NoProcess.into()) };
        let bytes = cost(outgoing.bytes.len());
        if !self.account.admit(bytes) {
            for (sender, receiver) in self.account.refuse(from.pid().serial, from.life(), to.serial) {
                self.tell_sendable(sender, Pid { node: to.node, serial: receiver });
            }
            let why = "the node's share of limits.memory is taken";
            self.refused(from.pid().serial, to, why);
            return Err(Error::new(Status::Full, why));
        }
        let payload = outgoing.shared.get_or_init(|| Payload::new(outgoing.bytes)).clone();
        let refused = match receiver.queue.push_message(&receiver, from, payload) {
            Ok(()) => {
                self.counters.messages_received.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            Err(refused) => refused,
        };
        self.release_room(bytes);
        match refused {
            Refused::Full => {
                let why = "the receiver has no room";
                self.refused(from.pid().serial, to, why);
                Err(Error::new(Status::Full, why))
            }
            Refused::NoProcess => Err(Status::NoProcess.into()),
            Refused::Discarded => {
                self.counters.dropped.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    fn send_there(&self, from: &ProcessCore, to: Pid, payload: &[u8]) -> Result<()> {
        let Some(link) = self.links.get(to.node) else { return Err(Status::Unreachable.into()) };
        link.send(&self.inbox, from.pid().serial, to.serial, payload).map_err(|status| {
            if status == Status::Full {
                // So that the outbox is asked to forget it when it exits.
                from.was_refused.store(true, Ordering::Release);
                self.refused(from.pid().serial, to, "the receiver or the link has no room");
            }
            Error::from(status)
        })
    }
}
