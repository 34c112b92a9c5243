//! The sending side of a connection: control before data, one block of data at a time.
//!
//! Plain frames go from where they lie to the socket. On other links they are sealed first, as much as goes out at once:
//! so control that is said later still waits for one block of data at most.

use super::Core;
use super::half::Half;
use super::pace::Pace;
use crate::os;
use crate::wire::{Channel, WireError};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::Duration;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::Instant;

/// Control that waits for a peer: what is beyond this is no slow peer but a stuck one.
const MAX_CONTROL: usize = 64 << 20;
/// A buffer that has grown beyond this is given back when it is empty; one of sealed bytes, beyond twice that.
const KEEP_BUFFER: usize = 64 << 10;
/// Control that is sealed in one go: as much as a block of data.
const SEAL: usize = 64 << 10;
/// Control that is worth a system call of its own.
const MUCH: usize = 16 << 10;

/// How far writing has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pumped {
    /// Everything is written.
    Idle,
    /// There is more, and the socket may take it; others have their turn first.
    More,
    /// The socket takes no more at present.
    Blocked,
    /// The socket takes nothing any more.
    Broken,
}

/// Bytes of which the first `done` are written.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    done: usize,
}

impl Pending {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.done..]
    }

    /// Counts what was written of `n` bytes; gives what is left of `n` for the next in line.
    fn advance(&mut self, n: usize) -> usize {
        let step = n.min(self.bytes.len() - self.done);
        self.done += step;
        n - step
    }

    /// All of it is written. A buffer that has grown beyond `keep` is given back.
    fn reset(&mut self, keep: usize) {
        self.done = 0;
        self.bytes.clear();
        if self.bytes.capacity() > keep {
            self.bytes = Vec::new();
        }
    }
}

pub(super) struct Outgoing<O> {
    /// `None`: broken, or shut down behind the last byte.
    socket: Option<Half<OwnedWriteHalf>>,
    /// As it travels: the words of the handshake, and on links that are not plain everything after them.
    sealed: Pending,
    /// When the cipher is given its next key, and how often.
    rekey: (Option<Instant>, Duration),
    control: Pending,
    /// The block being written, and the outbox that it goes back to.
    block: Option<(Pending, Option<O>)>,
    outbox: Option<O>,
    /// The outbox may have a block.
    data: bool,
    /// Behind the control lane and instead of the outbox: the last things that are written.
    tail: VecDeque<Vec<u8>>,
    /// What the link began with, whose size is the size of a table and no fault of the peer.
    snapshot: usize,
    in_snapshot: bool,
    /// Since when the socket takes no more.
    blocked: Option<Instant>,
    pace: Pace,
    /// Shut down when all is written.
    closing: bool,
    why_broken: Option<String>,
}

impl<O: Clone> Outgoing<O> {
    /// `rekey`: for how long the cipher uses one key.
    pub(super) fn new(socket: Half<OwnedWriteHalf>, rekey: Duration) -> Self {
        Self {
            socket: Some(socket),
            sealed: Pending::default(),
            rekey: (None, rekey),
            control: Pending::default(),
            block: None,
            outbox: None,
            data: false,
            tail: VecDeque::new(),
            snapshot: 0,
            in_snapshot: false,
            blocked: None,
            pace: Pace::new(),
            closing: false,
            why_broken: None,
        }
    }

    pub(super) fn socket(&self) -> Option<&OwnedWriteHalf> {
        self.socket.as_deref()
    }

    /// Lets `encode` append to the control lane. `false`: the peer has left too much unread.
    pub(super) fn control(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> bool {
        if self.socket.is_none() {
            return true; // over; the end is on its way to the core by another way
        }
        if self.control.done > MAX_CONTROL / 64 && self.control.done > self.control.bytes.len() / 2 {
            self.control.bytes.drain(..self.control.done);
            self.control.done = 0;
        }
        encode(&mut self.control.bytes);
        self.in_snapshot || self.control.rest().len() <= MAX_CONTROL + self.snapshot
    }

    /// The connection is a link. What is said from now on to the end of the turn is the snapshot, of whatever size.
    pub(super) fn link(&mut self) {
        self.in_snapshot = true;
    }

    /// The end of a turn.
    pub(super) fn end_snapshot(&mut self) {
        if std::mem::take(&mut self.in_snapshot) {
            self.snapshot = self.control.rest().len();
        }
    }

    /// So much waits that the peer should read it while more is said.
    pub(super) fn has_much(&self) -> bool {
        self.control.rest().len() >= MUCH && !self.is_blocked()
    }

    pub(super) fn outbox(&self) -> Option<&O> {
        self.outbox.as_ref()
    }

    pub(super) fn attach(&mut self, outbox: O) {
        self.outbox = Some(outbox);
        self.data = true;
    }

    pub(super) fn detach(&mut self, rest: Vec<Vec<u8>>) {
        self.outbox = None;
        self.tail(rest);
    }

    /// To be written behind everything else.
    pub(super) fn tail(&mut self, blocks: impl IntoIterator<Item = Vec<u8>>) {
        if self.socket.is_some() {
            self.tail.extend(blocks);
        }
    }

    pub(super) fn data_ready(&mut self) {
        self.data = true;
    }

    /// Nothing comes any more: when all is written the stream is ended.
    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// The socket takes bytes again, or says now why it does not.
    pub(super) fn unblock(&mut self) {
        let time = self.blocked.take().map(|since| since.elapsed());
        if let (Some(time), Some(socket)) = (time, &self.socket)
            && let Some(unsent) = self.pace.was_blocked(time)
        {
            // A link works without it, if worse.
            let _ = os::limit_unsent(socket.as_ref(), unsent);
        }
    }

    /// Why nothing can be written any more.
    pub(super) fn why_broken(&self) -> Option<&str> {
        self.why_broken.as_deref()
    }

    /// Writes until all is written, the socket is full, or `budget` bytes are through.
    pub(super) fn pump<C: Core<Outbox = O>>(
        &mut self,
        core: &mut C,
        channel: &mut Channel,
        mut budget: usize,
    ) -> Pumped {
        loop {
            if self.is_blocked() {
                return Pumped::Blocked;
            }
            if self.socket.is_none() {
                return if self.why_broken.is_some() { Pumped::Broken } else { Pumped::Idle };
            }
            if self.sealed.rest().is_empty() {
                self.sealed.reset(2 * KEEP_BUFFER);
                channel.take_handshake_bytes(&mut self.sealed.bytes);
                if channel.is_open() {
                    self.take_block(core);
                    if !channel.is_plain()
                        && let Err(error) = self.seal(core, channel)
                    {
                        self.break_off(error.to_string());
                        return Pumped::Broken;
                    }
                }
            }
            let waits = channel.is_open() && !(self.control.rest().is_empty() && self.block.is_none());
            if self.sealed.rest().is_empty() && !waits {
                if self.closing {
                    self.socket = None; // ends the stream behind the last byte
                }
                return Pumped::Idle;
            }
            if budget == 0 {
                return Pumped::More;
            }
            match self.write() {
                Ok(n) => {
                    core.moved(self.outbox.as_ref(), 0, n);
                    if self.sealed.rest().is_empty() {
                        self.advance(core, n);
                    } else {
                        self.sealed.advance(n);
                    }
                    budget = budget.saturating_sub(n);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.blocked = Some(Instant::now()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => self.break_off(format!("writing failed: {e}")),
            }
        }
    }

    /// The end of the stream was written behind everything else.
    pub(super) fn is_shut_down(&self) -> bool {
        self.socket.is_none() && self.why_broken.is_none()
    }

    /// Nothing more is written; what waits is dropped. The stream is not ended by that.
    pub(super) fn break_off(&mut self, why: String) {
        self.why_broken.get_or_insert(why);
        if let Some(socket) = self.socket.take() {
            socket.forget();
        }
        self.blocked = None;
        self.sealed = Pending::default();
        self.control = Pending::default();
        self.block = None;
        self.tail.clear();
    }

    /// Sees to it that there is a block if there are data.
    fn take_block<C: Core<Outbox = O>>(&mut self, core: &mut C) {
        if self.block.is_some() {
            return;
        }
        if self.data
            && let Some(outbox) = &self.outbox
        {
            if let Some(bytes) = core.next_block(outbox, self.pace.fragment()) {
                self.block = Some((Pending { bytes, done: 0 }, Some(outbox.clone())));
                return;
            }
            self.data = false;
        }
        if let Some(bytes) = self.tail.pop_front() {
            self.block = Some((Pending { bytes, done: 0 }, None));
        }
    }

    /// Seals what goes out next: control, and if that is all of it the block.
    fn seal<C: Core<Outbox = O>>(&mut self, core: &mut C, channel: &mut Channel) -> Result<(), WireError> {
        let all = self.control.rest();
        let control = &all[..all.len().min(SEAL)];
        let block = match &self.block {
            Some((block, _)) if control.len() == all.len() => block.rest(),
            _ => &[],
        };
        if control.is_empty() && block.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        let due = self.rekey.0.get_or_insert(now + self.rekey.1);
        if *due <= now {
            *due = now + self.rekey.1;
            channel.rekey(&mut self.sealed.bytes)?;
        }
        let together;
        let plain = match (control, block) {
            (control, []) => control,
            ([], block) => block,
            _ => {
                together = [control, block].concat();
                &together
            }
        };
        channel.seal(plain, &mut self.sealed.bytes)?;
        let n = plain.len();
        self.advance(core, n);
        Ok(())
    }

    fn write(&mut self) -> io::Result<usize> {
        let Some(socket) = &self.socket else { return Err(io::ErrorKind::NotConnected.into()) };
        if !self.sealed.rest().is_empty() {
            return socket.try_write(self.sealed.rest());
        }
        let control = self.control.rest();
        match &self.block {
            None => socket.try_write(control),
            Some((block, _)) if control.is_empty() => socket.try_write(block.rest()),
            // A block that has been begun is finished first: frames are not cut.
            Some((block, _)) if block.done > 0 => {
                socket.try_write_vectored(&[IoSlice::new(block.rest()), IoSlice::new(control)])
            }
            Some((block, _)) => {
                socket.try_write_vectored(&[IoSlice::new(control), IoSlice::new(block.rest())])
            }
        }
    }

    fn advance<C: Core<Outbox = O>>(&mut self, core: &mut C, mut n: usize) {
        let begun = self.block.as_ref().is_some_and(|(block, _)| block.done > 0);
        if !begun {
            n = self.control.advance(n);
        }
        if let Some((block, _)) = &mut self.block {
            n = block.advance(n);
        }
        if begun {
            self.control.advance(n);
        }
        if self.control.rest().is_empty() {
            self.control.reset(KEEP_BUFFER);
            self.snapshot = 0;
        }
        if let Some((block, outbox)) = self.block.take_if(|(block, _)| block.rest().is_empty())
            && let Some(outbox) = outbox
        {
            core.written(&outbox, block.bytes);
        }
    }
}
