//! Accepting connections, whatever strangers do.

use super::connection::Connection;
use super::{Core, Mesh};
use crate::engine::Status;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::ErrorKind;
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

/// Accepted connections whose handshake is under way.
pub(super) struct HalfOpen<O> {
    limit: usize,
    waiting: RefCell<VecDeque<(Instant, Weak<Connection<O>>)>>,
    listener: RefCell<Option<Waker>>,
    left: Cell<bool>,
}

impl<O: Clone> HalfOpen<O> {
    pub(super) fn new(limit: usize) -> Self {
        HalfOpen { limit, waiting: RefCell::default(), listener: RefCell::default(), left: Cell::new(false) }
    }

    pub(super) fn enter(&self, connection: &Rc<Connection<O>>) {
        self.waiting.borrow_mut().push_back((Instant::now(), Rc::downgrade(connection)));
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
            waiting.retain(|(_, connection)| connection.upgrade().is_some_and(|c| c.is_half_open()));
        }
        waiting.len()
    }

    /// Ends the oldest if it has had its time; otherwise says when it will have.
    fn evict(&self) -> Option<Instant> {
        let mut waiting = self.waiting.borrow_mut();
        let (since, oldest) = waiting.front()?;
        let due = *since + PATIENCE;
        if due > Instant::now() {
            return Some(due);
        }
        if let Some(oldest) = oldest.upgrade() {
            oldest.cut("too many handshakes are under way");
        }
        waiting.pop_front();
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

pub(super) async fn run<C: Core>(mesh: Mesh<C>, listener: TcpListener) {
    let mut pause = FIRST_PAUSE;
    while !mesh.is_closed() {
        mesh.half_open().room().await;
        let accepted = std::future::poll_fn(|cx| {
            *mesh.half_open().listener.borrow_mut() = Some(cx.waker().clone());
            if mesh.is_closed() { Poll::Ready(None) } else { listener.poll_accept(cx).map(Some) }
        })
        .await;
        match accepted {
            None => return,
            Some(Ok((stream, _))) => {
                pause = FIRST_PAUSE;
                mesh.adopt(stream, None);
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
