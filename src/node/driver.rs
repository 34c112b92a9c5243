//! The node's own thread: tokio's current-thread runtime with the engine and the sockets.
//!
//! It sleeps in one place, until a socket is ready, the inbox is poked or a timer of the engine is due; an idle node
//! does nothing else. What a turn does is bounded, so that callers, sockets and timers cannot starve each other.
//! Whatever panics on this thread, everybody who waits for this node is answered and the process lives.

#[cfg(test)]
mod tests;

use super::Shared;
use super::bridge::Bridge;
use super::network::Network;
use crate::engine::Engine;
use crate::mesh::{Mesh, Settings, give_way};
use crate::model::{ConnectionId, Time};
use crate::os::{self, FdWatch, OwnFd, TimerFd};
use crate::sync::Mutex;
use crate::wire::Opening;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

/// Requests of callers that are handled before sockets have their turn.
const REQUESTS_PER_TURN: usize = 1024;
/// A timer that is later than this says that the node itself was paused.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the sockets have a turn after a pause, as long as there is something to read.
const TURNS_AFTER_PAUSE: usize = 256;
/// Names that a node is told to dial have to be looked up, all at the same time: each look-up that hangs holds one thread
/// for a while, and must not delay another. As many as there may be look-ups in all.
const LOOKUP_THREADS: usize = crate::mesh::MAX_LOOKUPS;

/// Starts the thread of a node. The listener is bound and listening. When this returns the node accepts connections.
pub(crate) fn start(
    shared: Arc<Shared>,
    engine: Engine,
    bound: Bound,
    opening: Opening,
) -> io::Result<JoinHandle<()>> {
    bound.listener.set_nonblocking(true)?;
    let sleeper = Arc::new(Sleeper { shared: shared.clone(), waker: Mutex::new(None) });
    let runtime = runtime(&sleeper)?;
    // A name of the operating system's for a thread holds no zeros and is cut at 15 bytes by std.
    let name = format!("convoke/{}", shared.config.name.replace('\0', ""));
    let (started, outcome) = sync_channel(1);
    let thread = os::with_signals_blocked(|| {
        std::thread::Builder::new().name(name).spawn(move || {
            run(shared, engine, bound, opening, runtime, &sleeper, &started);
        })
    })?;
    match outcome.recv() {
        Ok(Ok(())) => Ok(thread),
        failed => {
            let _ = thread.join();
            Err(failed.ok().and_then(Result::err).unwrap_or_else(|| io::ErrorKind::Other.into()))
        }
    }
}

/// A listening socket that nobody serves yet.
pub(crate) struct Bound {
    // Before the descriptor is closed.
    own: OwnFd,
    listener: TcpListener,
}

impl Bound {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self { own: OwnFd::new(&listener), listener }
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Within a tokio runtime.
    fn listen(self) -> io::Result<tokio::net::TcpListener> {
        // Should this fail the socket is closed in there.
        drop(self.own);
        tokio::net::TcpListener::from_std(self.listener)
    }
}

/// Keeps the inbox informed of whether this thread sleeps, so that callers wake it only when it does.
struct Sleeper {
    shared: Arc<Shared>,
    /// Wakes the driver.
    waker: Mutex<Option<Waker>>,
}

impl Sleeper {
    fn set_waker(&self, waker: Option<&Waker>) {
        let mut slot = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *slot, waker) {
            (Some(old), Some(new)) => old.clone_from(new),
            (slot, new) => *slot = new.cloned(),
        }
    }

    fn before_sleep(&self) {
        if !self.shared.inbox.prepare_sleep()
            && let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner)
        {
            // From within the runtime: it looks at the sockets and goes on, without sleeping.
            waker.wake_by_ref();
        }
    }
}

fn runtime(sleeper: &Arc<Sleeper>) -> io::Result<Runtime> {
    let (before, after) = (sleeper.clone(), sleeper.clone());
    Builder::new_current_thread()
        .enable_all()
        .on_thread_park(move || before.before_sleep())
        .on_thread_unpark(move || after.shared.inbox.awake())
        .max_blocking_threads(LOOKUP_THREADS)
        .thread_keep_alive(Duration::from_secs(1))
        .thread_name("convoke/dns")
        .build()
}

/// The thread from its beginning to its end, with the network of the node's engine.
fn run(
    shared: Arc<Shared>,
    engine: Engine,
    bound: Bound,
    opening: Opening,
    runtime: Runtime,
    sleeper: &Arc<Sleeper>,
    started: &SyncSender<io::Result<()>>,
) {
    let (config, security) = (&shared.config, shared.security.clone());
    let settings = Settings {
        opening,
        unacknowledged: config.detection * 2,
        protection: security.protection,
        plaintext_may_leave: security.plaintext_may_leave,
        networks: security.networks,
        refusals: security.refusals,
        ..Settings::new(config.node, &shared.cluster)
    };
    let network = Mesh::new(settings, Bridge::new(shared.clone(), engine));
    drive(shared, network, bound, runtime, sleeper, started);
}

/// Until the node is closed, in order or by a panic.
fn drive<N: Network>(
    shared: Arc<Shared>,
    network: N,
    bound: Bound,
    runtime: Runtime,
    sleeper: &Arc<Sleeper>,
    started: &SyncSender<io::Result<()>>,
) {
    /// Whoever waits for the end of the node is told in any case.
    struct Finish(Arc<Shared>, bool);
    impl Drop for Finish {
        fn drop(&mut self) {
            if self.1 {
                self.0.finished();
            }
        }
    }
    let mut finish = Finish(shared.clone(), false);
    let local = LocalSet::new();

    let ended = catch_unwind(AssertUnwindSafe(|| {
        local.block_on(&runtime, async {
            let driver =
                Driver::new(&shared, &network, sleeper).and_then(|driver| Ok((driver, bound.listen()?)));
            match driver {
                Err(e) => {
                    let _ = started.send(Err(e));
                    Ok(())
                }
                Ok((mut driver, listener)) => {
                    finish.1 = true;
                    network.listen(listener);
                    let _ = started.send(Ok(()));
                    driver.run().await
                }
            }
        })
    }));
    if !matches!(ended, Ok(Ok(()))) {
        // The engine's state may be torn; what delivers to callers is asked for one last thing.
        let why = match ended {
            Ok(Err(text)) => text,
            _ => "a panic on its thread".to_owned(),
        };
        let _ = catch_unwind(AssertUnwindSafe(|| network.with_desk(|desk| desk.fail(&why))));
    }
    // Connections and dials that are left end here. A look-up that hangs is not waited for.
    let _ = catch_unwind(AssertUnwindSafe(|| drop((local, network))));
    sleeper.set_waker(None);
    runtime.shutdown_background();
    drop(finish);
}

/// Why the driver stops its round of small things.
enum Work {
    Timeout {
        late: Duration,
    },
    Closed,
    /// A panic, or an operating system that does not do its part.
    Failed(String),
}

struct Driver<'a, N> {
    shared: Arc<Shared>,
    network: &'a N,
    sleeper: &'a Sleeper,
    /// The runtime outlives the driver.
    _of_runtime: Vec<OwnFd>,
    wakeup: FdWatch,
    /// Connections whose outboxes have something to write; empty between turns.
    dirty: Vec<ConnectionId>,
    timer: TimerFd,
    expired: FdWatch,
    /// What `timer` is set to.
    armed: Option<Time>,
    /// Timers had their turn; the sockets have theirs before it is theirs again.
    timers_were_last: bool,
}

impl<'a, N: Network> Driver<'a, N> {
    fn new(shared: &Arc<Shared>, network: &'a N, sleeper: &'a Sleeper) -> io::Result<Self> {
        let timer = TimerFd::new()?;
        let (wakeup, expired) = (FdWatch::new(shared.inbox.event_fd())?, FdWatch::new(&timer)?);
        Ok(Driver {
            shared: shared.clone(),
            network,
            sleeper,
            _of_runtime: os::descriptors_of_runtime([&wakeup, &expired]),
            wakeup,
            dirty: Vec::new(),
            expired,
            timer,
            armed: None,
            timers_were_last: false,
        })
    }

    /// Until the node is closed; an error says why it cannot go on.
    async fn run(&mut self) -> Result<(), String> {
        loop {
            match std::future::poll_fn(|cx| self.poll(cx)).await {
                Work::Timeout { late } => {
                    if late > PAUSE {
                        self.read_sockets().await;
                    }
                    self.network.with_desk(|desk| {
                        desk.begin();
                        desk.handle_timeout();
                    });
                    self.network.turn();
                }
                Work::Closed => break,
                Work::Failed(text) => return Err(text),
            }
        }
        self.network.close();
        // Every connection has its own limit; this one is for all of them.
        let limit = self.network.farewell() + Duration::from_millis(100);
        let empty = std::future::poll_fn(|cx| {
            self.network.watch(cx.waker());
            if self.network.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        });
        let _ = tokio::time::timeout(limit, empty).await;
        Ok(())
    }

    /// Polled whenever anything on this thread has been woken: does what callers have asked for, and says what else
    /// there is to do.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Work> {
        self.sleeper.set_waker(Some(cx.waker()));
        self.network.watch(cx.waker());
        self.wakeup.poll(cx);
        if self.expired.poll(cx) {
            self.armed = None;
        }
        if let Some(text) = self.network.panic() {
            return Poll::Ready(Work::Failed(text));
        }
        self.network.with_desk(|desk| desk.driver_looks_at(Some(Time::default())));
        let more = self.take_requests(REQUESTS_PER_TURN);
        self.network.turn();
        if self.network.with_desk(|desk| desk.is_closed()) {
            // The inbox is closed by now. What was taken from it before is answered by the engine.
            self.take_requests(usize::MAX);
            self.network.turn();
            return Poll::Ready(Work::Closed);
        }
        if more {
            give_way(cx);
        }
        self.poll_timer(cx)
    }

    /// Hands the engine at most so many requests of callers, and the mesh the links that callers have written into.
    fn take_requests(&mut self, limit: usize) -> bool {
        self.shared.inbox.drain_dirty(&mut self.dirty);
        for connection in self.dirty.drain(..) {
            self.network.data_ready(connection);
        }
        self.network.with_desk(|desk| desk.take_requests(limit))
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Work> {
        let Some(due) = self.network.with_desk(|desk| desk.poll_timeout()) else {
            self.network.with_desk(|desk| desk.driver_looks_at(self.armed));
            return Poll::Pending;
        };
        let now = self.shared.clock.now();
        if due <= now {
            self.timers_were_last = !self.timers_were_last;
            if self.timers_were_last {
                return Poll::Ready(Work::Timeout { late: now.since(due) });
            }
            give_way(cx);
            return Poll::Pending;
        }
        self.timers_were_last = false;
        // A deadline that moves away is not followed: one wake-up too many costs less than setting a timer each time.
        if self.armed.is_none_or(|armed| armed > due) {
            if let Err(e) = self.timer.set(due.since(now)) {
                return Poll::Ready(Work::Failed(format!("the timer cannot be set: {e}")));
            }
            self.armed = Some(due);
        }
        self.network.with_desk(|desk| desk.driver_looks_at(self.armed));
        Poll::Pending
    }

    /// After a pause of its own a node hears what its peers have said meanwhile before it judges them.
    async fn read_sockets(&mut self) {
        for _ in 0..TURNS_AFTER_PAUSE {
            let before = self.network.reads();
            tokio::task::yield_now().await; // the sockets that are ready are found
            for _ in 0..2 {
                next_round().await; // and read
            }
            if self.network.reads() == before {
                break;
            }
        }
    }
}

/// Lets the other tasks of this thread run once.
async fn next_round() {
    let mut given = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
