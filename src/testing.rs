//! Cutting and healing links between nodes of this OS process, by the names of the nodes, and host names with addresses of
//! the test's choice: for tests of whole clusters.
//!
//! A name for the cluster of each test. And a secret for all nodes of a test run, so that whole test programs run once more with
//! encrypted links.
//!
//! Compiled in only with the feature `test-hooks`; a released library has nothing of it. A cut lies between the mesh and
//! the bridge of each of the two nodes, so engines, sockets and threads are the real ones. Each call returns when both
//! nodes have done their part.

use crate::node::{Request, Shared};
use crate::sync::{Mutex, MutexGuard};
use crate::wire::Secret;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

/// What the options of every node begin with, if the environment has it: `CONVOKE_TEST_SECRET`, 64 hexadecimal digits.
pub(crate) fn secret() -> Option<Secret> {
    let text = std::env::var("CONVOKE_TEST_SECRET").ok()?;
    // A run that is thought to be encrypted and is not would be worse than none.
    Some(Secret::from_text(&text).unwrap_or_else(|error| panic!("CONVOKE_TEST_SECRET: {error}")))
}

/// A cluster for the nodes of the test on whose thread this is called. Ports are given again: what a node of this test goes
/// on dialling may be a node of another test by now, or of another run, and the two would be one cluster.
pub fn cluster() -> String {
    format!("{} of {}", std::thread::current().name().unwrap_or("nobody"), std::process::id())
}

/// Who notices a cut when it is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Noticed<'a> {
    /// Both ends see the connection end, as when a cable's machine says so.
    ByBoth,
    /// The node of this name does. The other goes on talking to nobody until it misses the life signs.
    OnlyBy(&'a str),
    /// Neither, until the life signs are missed. What is said meanwhile arrives if it is healed before.
    ByNobody,
}

/// What a node is to do, in its inbox.
#[derive(Debug)]
pub struct Hook {
    /// The other end.
    pub(crate) peer: String,
    pub(crate) act: Act,
    /// Dropped when it is done.
    pub(crate) done: SyncSender<()>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Act {
    /// The connections with the peer are over.
    End,
    /// Nothing that the peer says is heard for now.
    Hush,
    Heal,
}

struct Cables {
    nodes: Vec<Weak<Shared>>,
    cut: BTreeSet<[String; 2]>,
}

static CABLES: Mutex<Cables> = Mutex::new(Cables { nodes: Vec::new(), cut: BTreeSet::new() });

fn cables() -> MutexGuard<'static, Cables> {
    CABLES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pair(a: &str, b: &str) -> [String; 2] {
    let mut pair = [a.to_owned(), b.to_owned()];
    pair.sort();
    pair
}

/// A node has been opened.
pub(crate) fn opened(node: &Arc<Shared>) {
    let mut cables = cables();
    cables.nodes.retain(|known| known.strong_count() > 0);
    cables.nodes.push(Arc::downgrade(node));
}

pub(crate) fn is_cut(a: &str, b: &str) -> bool {
    cables().cut.contains(&pair(a, b))
}

/// Ends the link between two nodes; none comes to be until it is healed. Either may be opened later, or anew.
pub fn cut(a: &str, b: &str, noticed: Noticed<'_>) {
    cables().cut.insert(pair(a, b));
    let act = |node: &str| match noticed {
        Noticed::ByBoth => Some(Act::End),
        Noticed::OnlyBy(one) if one == node => Some(Act::End),
        Noticed::OnlyBy(_) => None,
        Noticed::ByNobody => Some(Act::Hush),
    };
    carry_out([(a, b, act(a)), (b, a, act(b))]);
}

/// Lets two nodes link again, and has both dial at once whomever they miss.
pub fn heal(a: &str, b: &str) {
    cables().cut.remove(&pair(a, b));
    carry_out([(a, b, Some(Act::Heal)), (b, a, Some(Act::Heal))]);
}

fn carry_out(acts: [(&str, &str, Option<Act>); 2]) {
    /// Beyond this the node hangs.
    const LIMIT: Duration = Duration::from_secs(30);
    let (done, all_done) = sync_channel(2);
    for (name, peer, act) in acts {
        let named = |node: &Arc<Shared>| node.config.name == name;
        let nodes: Vec<Arc<Shared>> = cables().nodes.iter().filter_map(Weak::upgrade).filter(named).collect();
        for (node, act) in nodes.iter().zip(std::iter::repeat(act)) {
            if let Some(act) = act {
                let hook = Hook { peer: peer.to_owned(), act, done: done.clone() };
                // A node that is closed has no links.
                let _ = node.inbox.push(Request::Hook(hook));
            }
        }
    }
    drop(done);
    // Nothing is ever sent: the end of the last hook is the word.
    assert_ne!(
        all_done.recv_timeout(LIMIT),
        Err(RecvTimeoutError::Timeout),
        "a node does not carry out a cut"
    );
}

static HOSTS: Mutex<BTreeMap<String, Vec<IpAddr>>> = Mutex::new(BTreeMap::new());

/// From now on look-ups of this host, in the whole process, find these addresses; none: they fail.
pub fn set_addresses(host: &str, addresses: &[IpAddr]) {
    HOSTS.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned(), addresses.to_vec());
}

/// What a look-up of the host finds by order of a test, if one has given any.
pub(crate) fn addresses_of(host: &str) -> Option<io::Result<Vec<IpAddr>>> {
    let hosts = HOSTS.lock().unwrap_or_else(PoisonError::into_inner);
    let found = hosts.get(host)?;
    Some(if found.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(found.clone()) })
}
