//! All connections of a node, and the carrying out of the core's orders.

use super::connection::{self, Connection};
use super::listener::Listening;
use super::lookup::{Hosts, LookUps};
use super::networks::Networks;
use super::outgoing::Pumped;
use super::places::{Evicted, Places};
use super::refusals::{RefusalCounts, Refused, Told};
use super::workers::Workers;
use super::{Core, Order, dialler, listener};
use crate::engine::{Goodbye, Identity, Message, Refusal, Stamped};
use crate::flow::EncodeData;
use crate::model::{ConnectionId, NodeId, Status};
use crate::os;
use crate::sync::RwLock;
use crate::wire::{self, DataEncoder, Denial, Handshake, Opening, Protection, Shown};
use rand::TryRng;
use rand::rngs::SysRng;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// What a mesh is told once, at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This incarnation.
    pub node: NodeId,
    /// What it is made of.
    pub opening: Opening,
    /// Whether a peer's incarnation is its own: [`Opening::opens`]. Nodes of tests have numbers of their choice.
    pub is_proven: fn(&Identity, &Opening) -> bool,
    /// Nodes of another cluster are refused.
    pub cluster: String,
    /// The versions of the protocol that it speaks, first and last.
    pub versions: (u16, u16),
    /// How links are protected. It may change; connections keep what they began with.
    pub protection: Arc<RwLock<Protection>>,
    /// Links that are not protected may leave this machine.
    pub plaintext_may_leave: bool,
    /// Those that may be dialled.
    pub networks: Networks,
    /// For how long a cipher uses one key.
    pub rekey: Duration,
    pub refusals: Arc<RefusalCounts>,
    /// When a machine that acknowledges nothing is given up by the kernel.
    pub unacknowledged: Duration,
    /// For how long a handshake and a dial may take.
    pub handshake: Duration,
    /// For how long a connection that is being closed may take to write what is left.
    pub farewell: Duration,
    /// Handshakes of strangers under way at one time.
    pub half_open: usize,
    /// Where the addresses of host names are found.
    pub hosts: Hosts,
}

/// Handshakes of strangers under way at one time, and the part of the descriptors of the process that they may take.
const HALF_OPEN: usize = 1024;
const PART: usize = 4;

impl Settings {
    pub fn new(node: NodeId, cluster: &str) -> Self {
        Self {
            node,
            opening: Opening([0; 32]),
            is_proven: |identity, opening| opening.opens(identity),
            cluster: cluster.to_owned(),
            versions: wire::VERSIONS,
            protection: Arc::default(),
            plaintext_may_leave: false,
            networks: Networks::default(),
            rekey: Duration::from_secs(3600),
            refusals: Arc::default(),
            unacknowledged: Duration::from_secs(10),
            handshake: Duration::from_secs(5),
            farewell: Duration::from_secs(1),
            half_open: HALF_OPEN.min(os::descriptor_limit() / PART),
            hosts: Hosts::of_system(),
        }
    }

    /// How a connection that begins now is protected.
    pub(super) fn protection(&self) -> Protection {
        self.protection.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a connection to this address may be made.
    pub(super) fn may_reach(&self, address: IpAddr) -> bool {
        self.plaintext_may_leave || address.to_canonical().is_loopback() || self.protection().may_leave()
    }
}

/// Written to one link in one turn, before the others have theirs.
const WRITE_TURN: usize = 256 << 10;

/// All connections of one node. Clones are the same mesh. Lives in a `LocalSet` on the node's thread.
pub struct Mesh<C: Core>(Rc<Inner<C>>);

impl<C: Core> Clone for Mesh<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

type Connections<O> = HashMap<ConnectionId, Rc<Connection<O>>, foldhash::fast::FixedState>;

struct Inner<C: Core> {
    settings: Settings,
    core: RefCell<C>,
    connections: RefCell<Connections<C::Outbox>>,
    last_connection: Cell<u64>,
    /// Connections with something new to write.
    dirty: RefCell<Vec<Rc<Connection<C::Outbox>>>>,
    /// A message for several links is encoded here once.
    scratch: RefCell<Vec<u8>>,
    places: RefCell<Places<Rc<Connection<C::Outbox>>>>,
    workers: Workers,
    told: RefCell<Told>,
    /// Counts what was read from sockets, so that the driver sees whether there was anything.
    reads: Cell<u64>,
    /// Look-ups of host names under way, on threads of their own.
    lookups: LookUps,
    closed: Cell<bool>,
    panic: RefCell<Option<String>>,
    /// Woken when a connection is gone and when a task has panicked.
    watcher: RefCell<Option<Waker>>,
    listener: RefCell<Option<Waker>>,
}

impl<C: Core> Mesh<C> {
    pub fn new(settings: Settings, core: C) -> Self {
        let places = RefCell::new(Places::new(settings.half_open));
        Self(Rc::new(Inner {
            settings,
            core: RefCell::new(core),
            connections: RefCell::default(),
            last_connection: Cell::new(0),
            dirty: RefCell::default(),
            scratch: RefCell::default(),
            places,
            workers: Workers::default(),
            told: RefCell::default(),
            reads: Cell::new(0),
            lookups: LookUps::default(),
            closed: Cell::new(false),
            panic: RefCell::default(),
            watcher: RefCell::default(),
            listener: RefCell::default(),
        }))
    }

    /// Accepts connections from now on.
    pub fn listen(&self, listener: TcpListener) {
        self.spawn(listener::run(self.clone(), Listening::new(listener)));
    }

    /// The core, between two of the mesh's calls: give it input, then call [`turn`](Mesh::turn).
    pub fn with_core<R>(&self, f: impl FnOnce(&mut C) -> R) -> R {
        f(&mut self.0.core.borrow_mut())
    }

    /// The outbox of this connection has something to write; written with the next [`turn`](Mesh::turn).
    pub fn data_ready(&self, connection: ConnectionId) {
        if let Some(connection) = self.get(connection) {
            connection.out.borrow_mut().data_ready();
            self.mark(&connection);
        }
    }

    /// Carries out what the core has ordered: the end of every batch of input.
    pub fn turn(&self) {
        self.drain();
        self.flush();
        let mut core = self.0.core.borrow_mut();
        core.settle();
        if core.needs_driver() {
            self.wake_watcher();
        }
    }

    /// Carries out orders but writes nothing yet: within a large batch of input.
    pub(super) fn half_turn(&self) {
        self.drain();
        self.0.core.borrow_mut().settle();
    }

    /// Takes no more connections and dials no more. What is being closed in order goes on, everything else is cut.
    pub fn close(&self) {
        self.0.closed.set(true);
        let connections: Vec<_> = self.0.connections.borrow().values().cloned().collect();
        for connection in connections {
            if !connection.is_closing() {
                connection.cut("this node is closed");
            }
        }
        if let Some(listener) = &*self.0.listener.borrow() {
            listener.wake_by_ref();
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.connections.borrow().is_empty()
    }

    /// How often something was read from a socket.
    pub fn reads(&self) -> u64 {
        self.0.reads.get()
    }

    /// What a task of the mesh has panicked with.
    pub fn panic(&self) -> Option<String> {
        self.0.panic.borrow().clone()
    }

    /// Woken when a connection is gone, and when a task has panicked.
    pub fn watch(&self, waker: &Waker) {
        let mut watcher = self.0.watcher.borrow_mut();
        match &mut *watcher {
            Some(watcher) => watcher.clone_from(waker),
            None => *watcher = Some(waker.clone()),
        }
    }

    // ---- for the tasks

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(super) fn lookups(&self) -> &LookUps {
        &self.0.lookups
    }

    pub(super) fn workers(&self) -> &Workers {
        &self.0.workers
    }

    /// The listener is woken when the mesh is closed.
    pub(super) fn watch_closing(&self, waker: &Waker) {
        *self.0.listener.borrow_mut() = Some(waker.clone());
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.closed.get()
    }

    pub(super) fn count_read(&self) {
        self.0.reads.set(self.0.reads.get() + 1);
    }

    /// Begins the handshake on a connection that was accepted.
    pub(super) fn accept(&self, stream: TcpStream, from: SocketAddr) {
        let Some((connection, task)) = self.adopt(stream, Some(from), None) else { return };
        self.with_core(C::accepted);
        let entered =
            self.0.places.borrow_mut().enter(connection.id, connection.clone(), Some(from), Instant::now());
        let (is_worth_it, evicted) = entered;
        if !is_worth_it {
            connection.channel.borrow_mut().be_curt();
        }
        self.spawn(task);
        if let Some(evicted) = evicted {
            self.turn_away(evicted);
            self.turn();
        }
    }

    /// Begins the handshake on a connection to an address that this node has dialled.
    pub(super) fn dialled(&self, stream: TcpStream, address: String) {
        let remote = stream.peer_addr().ok();
        if let Some((_, task)) = self.adopt(stream, remote, Some(address)) {
            self.spawn(task);
        }
    }

    /// A peer that has dialled has shown more of itself.
    pub(super) fn shows(&self, id: ConnectionId, shown: Shown) {
        let evicted = self.0.places.borrow_mut().shows(id, shown);
        if let Some(evicted) = evicted {
            self.turn_away(evicted);
        }
    }

    /// A connection has become a link.
    pub(super) fn linked(&self, id: ConnectionId, remote: Option<SocketAddr>) {
        self.0.places.borrow_mut().linked(id, remote);
    }

    /// The place is needed for another one.
    fn turn_away(&self, evicted: Evicted<Rc<Connection<C::Outbox>>>) {
        const WHY: &str = "too many handshakes are under way";
        let Evicted { remote, is_to_be_told, connection } = evicted;
        if is_to_be_told {
            let settings = self.settings();
            connection.say_at_once(&wire::deny(&settings.protection(), settings.versions, Denial::Busy));
        }
        connection.cut(WHY);
        self.refuse(Refused::Busy, remote, false, WHY);
    }

    /// A new connection and its task, which is to be spawned.
    fn adopt(
        &self,
        stream: TcpStream,
        remote: Option<SocketAddr>,
        dialled: Option<String>,
    ) -> Option<(Rc<Connection<C::Outbox>>, impl Future<Output = ()> + 'static)> {
        if self.is_closed() {
            return None;
        }
        let mut nonce = [0; 16];
        if let Err(e) = SysRng.try_fill_bytes(&mut nonce) {
            // Without random numbers there are no keys either.
            let text = format!("there are no random numbers: {e}");
            self.with_core(|core| match &dialled {
                Some(address) => core.handle_dial_failed(address, Status::Io, &text),
                None => core.log(Status::Io, text),
            });
            return None;
        }
        let id = ConnectionId(self.0.last_connection.get() + 1);
        self.0.last_connection.set(id.0);
        let (connection, task) = connection::begin(self.clone(), id, stream, remote, dialled, nonce);
        self.0.connections.borrow_mut().insert(id, connection.clone());
        Some((connection, task))
    }

    /// Counts a refusal, and tells the log unless it has been told lately.
    pub(super) fn refuse(&self, why: Refused, remote: Option<SocketAddr>, has_dialled: bool, text: &str) {
        self.0.settings.refusals.add(why);
        let address = remote.map(|remote| remote.ip().to_canonical());
        let due = self.0.told.borrow_mut().is_due(why, address, Instant::now());
        let Some(untold) = due else { return };
        let status = match why {
            Refused::Version => Status::Version,
            Refused::Unprotected => Status::Option,
            _ => Status::Auth,
        };
        let whom = match (remote, address) {
            (Some(remote), _) if has_dialled => format!("a connection to {remote}"),
            (_, Some(address)) => format!("a connection from {address}"), // its port says nothing
            _ => "a connection".to_owned(),
        };
        let before =
            if untold > 0 { format!(" ({untold} more since the last such line)") } else { String::new() };
        self.with_core(|core| core.log(status, format!("{whom} was refused: {text}{before}")));
    }

    pub(super) fn forget(&self, id: ConnectionId) {
        self.0.connections.borrow_mut().remove(&id);
        self.0.places.borrow_mut().left(id);
        self.with_core(|core| core.forgotten(id));
        self.wake_watcher();
    }

    /// Writes what this connection can write now, at the end of a turn.
    pub(super) fn pump(&self, connection: &Connection<C::Outbox>) -> Pumped {
        connection.out.borrow_mut().end_snapshot();
        self.write(connection)
    }

    fn write(&self, connection: &Connection<C::Outbox>) -> Pumped {
        let mut core = self.0.core.borrow_mut();
        let mut channel = connection.channel.borrow_mut();
        connection.out.borrow_mut().pump(&mut *core, &mut channel, WRITE_TURN)
    }

    /// Runs a task of the mesh. A panic in it is the node's end, not the task's alone.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let mesh = self.clone();
        let mut task = Box::pin(task);
        tokio::task::spawn_local(std::future::poll_fn(move |cx| {
            catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))).unwrap_or_else(|panic| {
                *mesh.0.panic.borrow_mut() = Some(panic_text(&*panic));
                mesh.wake_watcher();
                Poll::Ready(())
            })
        }));
    }

    fn wake_watcher(&self) {
        if let Some(watcher) = &*self.0.watcher.borrow() {
            watcher.wake_by_ref();
        }
    }

    #[cfg(test)]
    pub(super) fn connections(&self) -> usize {
        self.0.connections.borrow().len()
    }

    /// The version of the protocol that is spoken on a connection.
    #[cfg(test)]
    pub(super) fn version(&self, id: ConnectionId) -> Option<u16> {
        self.get(id).map(|connection| connection.channel.borrow().version())
    }

    fn get(&self, id: ConnectionId) -> Option<Rc<Connection<C::Outbox>>> {
        self.0.connections.borrow().get(&id).cloned()
    }

    fn mark(&self, connection: &Rc<Connection<C::Outbox>>) {
        if !connection.dirty.replace(true) {
            self.0.dirty.borrow_mut().push(connection.clone());
        }
    }

    fn drain(&self) {
        loop {
            let order = self.0.core.borrow_mut().poll_order();
            let Some(order) = order else { break };
            self.carry_out(order);
        }
    }

    /// Writes to every connection that has something new.
    fn flush(&self) {
        for connection in self.0.dirty.borrow_mut().drain(..) {
            connection.dirty.set(false);
            let blocked = connection.out.borrow().is_blocked();
            if !blocked && self.pump(&connection) != Pumped::Idle {
                connection.wake(); // its task goes on with it, or finds out why not
            }
        }
    }

    fn carry_out(&self, order: Order<C::Outbox>) {
        match order {
            Order::Send { to, message } => self.send(&to, &message),
            Order::Attach { connection, outbox } => {
                self.on(connection, |c| c.out.borrow_mut().attach(outbox))
            }
            Order::Data { connection } => self.data_ready(connection),
            Order::Detach { connection, rest } => self.on(connection, |c| c.out.borrow_mut().detach(rest)),
            Order::Tail { connection, header, data } => self.on(connection, |c| {
                let mut block = Vec::new();
                DataEncoder::encode(&header, data.as_bytes(), &mut block);
                c.out.borrow_mut().tail([block]);
            }),
            Order::Dial { address } => {
                if !self.is_closed() {
                    self.spawn(dialler::run(self.clone(), address));
                }
            }
            Order::Open { connection } => self.on(connection, |c| {
                c.out.borrow_mut().control(|out| wire::encode_handshake(&Handshake::Go, out));
                c.linked();
            }),
            Order::EndReplaced { by } => self.end_replaced(&by),
            Order::Refuse { connection, why } => self.on(connection, |c| c.refuse(why)),
            Order::Close { connection, goodbye } => self.on(connection, |c| {
                let farewell = goodbye.map(encode_goodbye);
                c.out.borrow_mut().tail(farewell);
                c.close();
            }),
        }
    }

    fn end_replaced(&self, by: &Protection) {
        let connections: Vec<_> = self.0.connections.borrow().values().cloned().collect();
        for connection in connections {
            if !connection.is_closing() && connection.channel.borrow().is_replaced(by) {
                connection.cut("the secret or the certificates that it was made under were replaced");
            }
        }
    }

    fn on(&self, id: ConnectionId, f: impl FnOnce(&Connection<C::Outbox>)) {
        if let Some(connection) = self.get(id) {
            f(&connection);
            self.mark(&connection);
        }
    }

    fn send(&self, to: &[ConnectionId], message: &Stamped) {
        let mut scratch = self.0.scratch.borrow_mut();
        scratch.clear();
        if let Err(e) = wire::encode_control(message, &mut scratch) {
            // The engine keeps its messages below the limit. Were it not so, a link with a gap would be worse than none.
            self.0.core.borrow_mut().log(Status::Internal, format!("a message could not be sent: {e}"));
            to.iter().for_each(|&id| self.on(id, |c| c.cut("a message was too large for the link")));
            return;
        }
        for &id in to {
            self.on(id, |c| {
                if c.is_linked() && !c.out.borrow_mut().control(|out| out.extend_from_slice(&scratch)) {
                    c.cut("the peer leaves too much unread");
                }
                // Within a turn: a newcomer reads the first parts of a large snapshot while the others are being encoded.
                if c.out.borrow().has_much() {
                    self.write(c);
                }
            });
        }
        if scratch.capacity() > 64 << 10 {
            *scratch = Vec::new();
        }
    }
}

/// The last frame of a link. The clock says nothing any more.
fn encode_goodbye(why: Goodbye) -> Vec<u8> {
    let mut frame = Vec::new();
    let goodbye = Stamped { clock: 0, message: Message::Goodbye { why } };
    // A goodbye is a few bytes: it cannot be too long.
    let _ = wire::encode_control(&goodbye, &mut frame);
    frame
}

/// The frame that refuses a connection.
pub(super) fn encode_refusal(why: Refusal) -> Vec<u8> {
    let mut frame = Vec::new();
    wire::encode_handshake(&Handshake::Refuse(why), &mut frame);
    frame
}

/// What a panic says.
pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}
