//! Accepting connections, whatever strangers do.

use super::connection::Connection;
use super::refusals::{Origin, Refused};
use super::{Core, Mesh};
use crate::engine::Status;
use crate::os::{self, OwnFd};
use crate::wire::{self, Denial};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::Instant;

/// The pauses after an error that is the machine's and not one connection's (no descriptors, no memory).
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A handshake takes one round trip. When there are too many, the oldest goes if it has taken this long.
const PATIENCE: Duration = Duration::from_millis(500);
const CROWDED: &str = "too many handshakes are under way";

struct Waiting<O> {
    since: Instant,
    remote: Option<SocketAddr>,
    origin: Origin,
    connection: Weak<Connection<O>>,
}

impl<O: Clone> Waiting<O> {
    fn is_under_way(&self) -> bool {
        self.connection.upgrade().is_some_and(|connection| connection.takes_a_place())
    }
}

/// Accepted connections whose handshake is under way.
pub(super) struct HalfOpen<O> {
    limit: usize,
    /// Of one address.
    limit_of_one: usize,
    waiting: RefCell<VecDeque<Waiting<O>>>,
    listener: RefCell<Option<Waker>>,
    left: Cell<bool>,
    /// Whose places were taken, and who has not been told of.
    evicted: RefCell<Vec<Option<SocketAddr>>>,
}

impl<O: Clone> HalfOpen<O> {
    pub(super) fn new(limit: usize, limit_of_one: usize) -> Self {
        HalfOpen {
            limit,
            limit_of_one,
            waiting: RefCell::default(),
            listener: RefCell::default(),
            left: Cell::new(false),
            evicted: RefCell::default(),
        }
    }

    pub(super) fn enter(&self, connection: &Rc<Connection<O>>, remote: Option<SocketAddr>) {
        self.waiting.borrow_mut().push_back(Waiting {
            since: Instant::now(),
            remote,
            origin: Origin::of(remote.map(|remote| remote.ip())),
            connection: Rc::downgrade(connection),
        });
    }

    /// Whether one address may begin another handshake. Its oldest goes if it has had its time.
    fn admits(&self, address: IpAddr) -> bool {
        let origin = Origin::of(Some(address));
        let mut waiting = self.waiting.borrow_mut();
        waiting.retain(Waiting::is_under_way);
        let of_origin = || waiting.iter().enumerate().filter(|(_, one)| one.origin == origin);
        if of_origin().count() < self.limit_of_one {
            return true;
        }
        let oldest = of_origin().next().filter(|(_, one)| one.since + PATIENCE <= Instant::now());
        let Some(oldest) = oldest.map(|(at, _)| at).and_then(|at| waiting.remove(at)) else { return false };
        self.end(&oldest);
        true
    }

    /// Its place is needed.
    fn end(&self, one: &Waiting<O>) {
        if let Some(connection) = one.connection.upgrade() {
            connection.cut(CROWDED);
            self.evicted.borrow_mut().push(one.remote);
        }
    }

    /// A connection has ended.
    pub(super) fn leave(&self) {
        self.left.set(true);
        self.wake();
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.listener.borrow() {
            waker.wake_by_ref();
        }
    }

    /// How many there are.
    fn count(&self) -> usize {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= self.limit || self.left.take() {
            waiting.retain(Waiting::is_under_way);
        }
        waiting.len()
    }

    /// Ends the oldest if it has had its time; otherwise says when it will have.
    fn evict(&self) -> Option<Instant> {
        let mut waiting = self.waiting.borrow_mut();
        let oldest = waiting.front()?;
        let due = oldest.since + PATIENCE;
        if due > Instant::now() {
            return Some(due);
        }
        if let Some(oldest) = waiting.pop_front() {
            self.end(&oldest);
        }
        None
    }

    /// Waits until there is room for one more. So strangers who connect and say nothing take the place of each other,
    /// and not of those who do.
    async fn room(&self) {
        while self.count() >= self.limit {
            if let Some(due) = self.evict() {
                let mut sleep = Box::pin(tokio::time::sleep_until(due));
                std::future::poll_fn(|cx| {
                    *self.listener.borrow_mut() = Some(cx.waker().clone());
                    if self.count() < self.limit { Poll::Ready(()) } else { sleep.as_mut().poll(cx) }
                })
                .await;
            }
        }
    }
}

fn tell_evicted<C: Core>(mesh: &Mesh<C>) {
    let evicted = mesh.half_open().evicted.take();
    for remote in &evicted {
        mesh.refuse(Refused::Busy, *remote, false, CROWDED);
    }
    if !evicted.is_empty() {
        mesh.turn();
    }
}

/// The listening socket.
pub(super) struct Listening {
    // Before the descriptor is closed.
    _own: OwnFd,
    socket: TcpListener,
}

impl Listening {
    pub(super) fn new(socket: TcpListener) -> Listening {
        Listening { _own: OwnFd::new(&socket), socket }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // A child that was forked past the handlers has a descriptor for it too.
        os::shut_down(&self.socket);
    }
}

pub(super) async fn run<C: Core>(mesh: Mesh<C>, listener: Listening) {
    let mut pause = FIRST_PAUSE;
    while !mesh.is_closed() {
        mesh.half_open().room().await;
        tell_evicted(&mesh);
        let accepted = std::future::poll_fn(|cx| {
            *mesh.half_open().listener.borrow_mut() = Some(cx.waker().clone());
            if mesh.is_closed() { Poll::Ready(None) } else { listener.socket.poll_accept(cx).map(Some) }
        })
        .await;
        match accepted {
            None => return,
            Some(Ok((stream, from))) => {
                pause = FIRST_PAUSE;
                if mesh.half_open().admits(from.ip()) {
                    tell_evicted(&mesh);
                    mesh.adopt(stream, None);
                } else {
                    let settings = mesh.settings();
                    let denial = wire::deny(&settings.protection(), settings.versions, Denial::Busy);
                    let _ = stream.try_write(&denial); // a few bytes into an empty buffer; or the peer has gone
                    mesh.refuse(Refused::Busy, Some(from), false, CROWDED);
                    mesh.turn();
                }
            }
            // One connection that was gone before it was accepted.
            Some(Err(e))
                if matches!(
                    e.kind(),
                    ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
                ) => {}
            Some(Err(e)) => {
                if pause == FIRST_PAUSE {
                    mesh.with_core(|core| core.log(Status::Io, format!("accepting connections failed: {e}")));
                    mesh.turn();
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}
