//! What the node's thread and callers' threads have in common.

use crate::engine::{Config, Time};
use crate::node::{Inbox, Links, Tables};
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// The engine's clock: microseconds since the node was opened.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base: Instant,
}

impl Clock {
    pub fn start() -> Clock {
        Clock { base: Instant::now() }
    }
    pub fn now(&self) -> Time {
        Time(u64::try_from(self.base.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
    /// The moment that the engine means.
    pub fn instant(&self, time: Time) -> Instant {
        self.base + std::time::Duration::from_micros(time.0)
    }
}

/// One node's state outside its engine.
pub struct Shared {
    /// The engine's configuration; `address` is the advertised one, known before the start.
    pub config: Config,
    /// Nodes of another cluster name are refused (option `cluster`).
    pub cluster: String,
    pub clock: Clock,
    pub inbox: Inbox,
    pub tables: Tables,
    pub links: Links,
}

impl Shared {
    pub fn new(config: Config, cluster: String) -> io::Result<Arc<Shared>> {
        let links = Links::new(&config.limits);
        let inbox = Inbox::new()?;
        Ok(Arc::new(Shared { config, cluster, clock: Clock::start(), inbox, tables: Tables {}, links }))
    }

    /// The node's thread has ended, or is about to with nothing left to do: who waits in `close` goes on.
    pub fn finished(&self) {}
}
