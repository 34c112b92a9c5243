//! Opening and closing a node, and what it can be asked.

use super::address::{advertised, bind, check_advertised};
use super::driver::Bound;
use super::event::NOBODY;
use super::queue_core::Wait;
use super::shared::{Shared, lock};
use super::{Error, List, Options, Process, Request, Resolve, Result, Security, chance, driver};
use crate::engine::Engine;
use crate::model::{Command, Level, NodeId, Pid, Reason, Status, Topic};
use crate::os::watch_forks;
use crate::sync::Mutex;
use crate::wire::Opening;
use rand::TryRng;
use rand::rngs::SysRng;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

/// A running node; clones are the same node. The last clone dropped ends it as `free` does.
#[derive(Clone)]
pub struct Node(Arc<NodeCore>);

struct NodeCore {
    shared: Arc<Shared>,
    /// What it was opened with, but for secrets.
    opened: Options,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Counters since the node was opened, and gauges, as in `convoke_stats`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Messages that were accepted from processes of this node.
    pub messages_sent: u64,
    /// Messages that were put into queues of this node.
    pub messages_received: u64,
    /// Names that this node sees.
    pub names: u64,
    /// Locks that processes of this node hold and may rely on.
    pub locks_held: u64,
    /// Groups that this node sees.
    pub groups: u64,
    /// Nodes that this one has a link to.
    pub peers: u64,
    /// Events that wait in queues and mailboxes.
    pub queue_depth: u64,
    /// Messages dropped unread, because their receiver ended or its queue was freed.
    pub dropped: u64,
}

impl Node {
    /// Opens a node: listens, starts its thread, dials the seeds, and waits for them as long as option `join.wait` says.
    /// `Option`: options that do not fit together, or an address that is not allowed. `Io`: the address is taken, no
    /// descriptor, no thread. `Timeout`: a node has answered and was not merged in time; `Exists`: its name is taken. Then
    /// it is closed.
    pub fn open(options: &Options) -> Result<Self> {
        watch_forks();
        let mut config = options.config(NOBODY.node)?;
        let opening = loop {
            let opening = Opening(random_bytes()?);
            config.node = opening.incarnation(&config.name);
            // Zero is no node.
            if config.node != NOBODY.node {
                break opening;
            }
        };
        let security = Security::new(options, &config.name)?;
        let may_leave = security.may_leave();
        super::options::check_networks(&config.seeds, &security.networks)?;
        if !may_leave {
            super::options::check_seeds(&config.seeds)?;
            check_advertised(options.text("advertise"))?;
        }
        let bound = Bound::new(bind(options.text("listen"), options.text("advertise"), may_leave)?);
        let address = bound.address().map_err(|e| io("local_addr", &e))?;
        config.address = advertised(options.text("advertise"), address);
        config.bound = address.to_string();
        config.first_token = first_token(SystemTime::now());
        // Only now: a node that may not listen where it is to makes no file.
        let said = security.take_secret_of_user(options)?;
        let seed = random()?;
        chance::stir(random()?);
        let cluster = options.text("cluster").to_owned();
        let shared = Shared::new(config, cluster, security, options.resolver_timeout());
        let shared = shared.map_err(|e| io("open", &e))?;
        #[cfg(feature = "test-hooks")]
        crate::testing::opened(&shared);
        let engine = Engine::new(shared.config.clone(), seed, shared.clock.now());
        let thread = driver::start(shared.clone(), engine, bound, opening).map_err(|e| io("start", &e))?;
        shared.log(Level::Info, Topic::Node, || {
            let (id, address) = (shared.config.node, &shared.config.address);
            format!("the node is open: {id:?}, cluster {:?}, address {address}", shared.cluster)
        });
        if let Some((level, text)) = said {
            shared.log(level, Topic::Node, || text);
        }
        let opened = options.without_secrets();
        let node = Self(Arc::new(NodeCore { shared, opened, thread: Mutex::new(Some(thread)) }));
        let wait = options.join_wait_ms();
        // Without seeds there is nobody to meet.
        if wait > 0 && !node.shared().config.seeds.is_empty() {
            node.join(wait)?;
        }
        Ok(node)
    }

    /// Waits until the tables of all nodes that can be met are merged, so that nothing is registered into a clash. If one
    /// of them has answered and that does not come to be the node is closed.
    fn join(&self, wait_ms: i64) -> Result<()> {
        let joined = Process::spawn(self, None).and_then(|joiner| {
            let joined = joiner.join(wait_ms);
            joiner.free();
            joined
        });
        let Err(error) = joined else { return Ok(()) };
        // Takes as long as peers that leave a goodbye unread; then its end has a reason.
        self.close(-1)?;
        Err(match (error.status, self.0.shared.why_closed()) {
            (Status::Closed, Some(Reason::NAME_TAKEN)) => {
                Error::new(Status::Exists, "another node of this name is open in the cluster")
            }
            (Status::Timeout, _) => {
                let text = "join.wait is over, and a node that has answered is not merged yet";
                Error::new(Status::Timeout, text)
            }
            _ => error,
        })
    }

    /// A node without a thread, for tests that drive it by hand.
    #[cfg(test)]
    pub(super) fn without_thread(options: &Options) -> Result<Self> {
        let config = options.config(NodeId(random()?))?;
        let shared = Shared::new(config, String::new(), Security::default(), options.resolver_timeout());
        let shared = shared.map_err(|e| io("open", &e))?;
        let opened = options.without_secrets();
        Ok(Self(Arc::new(NodeCore { shared, opened, thread: Mutex::new(None) })))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// Leaves in order: every process ends with NODE_CLOSED, every peer is told. Waits for the end; `Timeout`: it goes
    /// on, and this may be called again. Waits for no callback, so it may be called from one.
    pub fn close(&self, timeout_ms: i64) -> Result<()> {
        let wait = Wait::from_ms(timeout_ms)?;
        self.shut();
        let may_join = self.0.shared.wait_finished(&wait)?;
        let thread = lock(&self.0.thread).take();
        if let Some(thread) = thread.filter(|_| may_join) {
            // It has nothing left to do. Its panics were caught and told where they happened.
            let _ = thread.join();
        }
        Ok(())
    }

    /// Starts to leave in order and does not wait.
    pub fn shut(&self) {
        self.0.shut();
    }

    /// As `shut`, and gives resolver functions back, each after its last call. Other clones may live on.
    pub fn free(&self) {
        self.0.free();
    }

    /// Takes over what may change while the node is open: the secrets or certificates, and the seeds. `options`: all that it was opened
    /// with, and the new values. Connections that begin from now on follow them; links go on with the keys of their
    /// sessions, unless they were made under what is good no more and option `reload.links` says `end`; and stay when their seed goes.
    /// `Option`: something else differs, the node has no secret and is to get one, or the reverse, or others can read a
    /// file of secrets. `Io`: a file cannot be read.
    pub fn reload(&self, options: &Options) -> Result<()> {
        let security = &self.0.shared.security;
        self.0.shared.check_open()?;
        self.0.opened.check_reload(options)?;
        let protection = security.reloaded(options, self.name())?;
        let seeds = options.seeds();
        super::options::check_networks(&seeds, &security.networks)?;
        if !security.plaintext_may_leave && !protection.may_leave() {
            super::options::check_seeds(&seeds)?;
        }
        security.replace(protection.clone());
        if options.ends_replaced_links() {
            self.0.shared.inbox.push(Request::EndReplaced { by: protection })?;
        }
        self.0.shared.command_if_room(Command::SetSeeds { seeds })
    }

    /// Whether calls are still accepted.
    pub fn is_open(&self) -> bool {
        self.0.shared.check_open().is_ok()
    }

    pub fn name(&self) -> &str {
        &self.0.shared.config.name
    }

    /// The address that other nodes dial.
    pub fn address(&self) -> &str {
        &self.0.shared.config.address
    }

    /// This incarnation, as in the pids of its processes.
    pub fn id(&self) -> NodeId {
        self.0.shared.config.node
    }

    pub fn stats(&self) -> Stats {
        let shared = &self.0.shared;
        let mailboxes = shared.processes.all();
        let mailboxes = mailboxes.iter().filter(|process| process.has_mailbox).map(|process| &process.queue);
        let queues = shared.queues();
        let depth = queues.iter().chain(mailboxes).map(|queue| queue.depth() as u64).sum();
        let counters = &shared.counters;
        Stats {
            messages_sent: counters.messages_sent.load(Ordering::Relaxed),
            messages_received: counters.messages_received.load(Ordering::Relaxed),
            names: shared.tables.names_len() as u64,
            locks_held: counters.locks_held.load(Ordering::Relaxed),
            groups: shared.tables.groups_len() as u64,
            peers: shared.tables.peers_len() as u64,
            queue_depth: depth,
            dropped: counters.dropped.load(Ordering::Relaxed),
        }
    }

    /// From now on names can be registered with this function as their resolver. `Exists`: there is one of that name, or it
    /// is built in. `Invalid`: the name is empty. `TooBig`: it is longer than 255 bytes. `Full`: there are too many.
    /// The function is dropped when this fails, and when the node is freed, but not while it runs.
    pub fn add_resolver(&self, name: &str, function: Resolve) -> Result<()> {
        let shared = &self.0.shared;
        shared.check_open()?;
        let resolver = shared.resolvers.add(name, function)?;
        shared.command(Command::AddResolver { resolver }, None)
    }

    /// Who has the name, as this node sees it now. Never waits. `NotFound`: nobody.
    pub fn whereis(&self, name: &[u8]) -> Result<Pid> {
        self.0.shared.check_open()?;
        self.0.shared.tables.whereis(name).ok_or_else(|| Status::NotFound.into())
    }

    /// Rows with Name and Pid, sorted by name: the names that begin with `prefix`.
    pub fn names(&self, prefix: &[u8]) -> Result<List> {
        self.0.shared.check_open()?;
        Ok(List::of_names(self.0.shared.tables.names(prefix)))
    }

    /// The name of the node that the process lives on. `NotFound`: it is neither this one nor a linked one.
    pub fn node_of(&self, pid: Pid) -> Result<String> {
        self.0.shared.check_open()?;
        if pid.node == self.id() {
            return Ok(self.name().to_owned());
        }
        let text = "the process lives on no node that this one has a link to";
        self.0.shared.tables.peer_name(pid.node).ok_or_else(|| Error::new(Status::NotFound, text))
    }

    /// The fork epoch that the node was opened in.
    pub fn epoch(&self) -> u32 {
        self.0.shared.epoch()
    }
}

impl NodeCore {
    fn free(&self) {
        self.shut();
        self.shared.resolvers.clear();
    }

    fn shut(&self) {
        if self.shared.set_closed() {
            // Refused: it has ended by itself.
            let _ = self.shared.command(Command::Close, None);
        }
    }
}

impl Drop for NodeCore {
    fn drop(&mut self) {
        self.free();
    }
}

fn random() -> Result<u64> {
    random_bytes().map(u64::from_le_bytes)
}

fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).map_err(|e| Error::new(Status::Io, format!("random: {e}")))?;
    Ok(bytes)
}

fn io(what: &str, error: &std::io::Error) -> Error {
    Error::new(Status::Io, format!("{what}: {error}"))
}

/// Where the fencing tokens of a node begin: milliseconds of the wall clock times 2^20, so that those of a node that is
/// restarted are above those that it gave before, unless the clock was set back. However the clock is set, there is room above.
/// A clock of before this library was written is not set: 0, and then the tokens of others are the only clock.
fn first_token(now: SystemTime) -> u64 {
    const YEAR_2020_MS: u128 = 1_577_836_800_000;
    let ms = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    if ms < YEAR_2020_MS { 0 } else { u64::try_from(ms << 20).unwrap_or(u64::MAX).min(u64::MAX / 4) }
}
