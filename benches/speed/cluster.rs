//! The other OS processes: this program again, with a role, driven by lines on stdin and answering by lines on stdout.
//!
//! Every wait for an answer is bounded. A child is killed by its handle when its [`Peer`] is dropped, on a panic too,
//! and asks the kernel to be killed with its parent, should that be killed.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Children that live now, for the account of foreign load.
static ALIVE: Mutex<Vec<u32>> = Mutex::new(Vec::new());

pub fn children() -> Vec<u32> {
    ALIVE.lock().unwrap_or_else(|p| p.into_inner()).clone()
}

/// `key=value` pairs: the arguments of a task, and what it answers.
#[derive(Clone, Default, Debug)]
pub struct Pairs(BTreeMap<String, String>);

impl Pairs {
    pub fn new() -> Self {
        Self::default()
    }
    pub fn with(mut self, key: &str, value: impl Display) -> Self {
        self.0.insert(key.to_owned(), value.to_string());
        self
    }
    pub fn parse(text: &str) -> Self {
        let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
        Self(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
    }
    pub fn text(&self, key: &str) -> Result<&str, String> {
        self.0.get(key).map(String::as_str).ok_or_else(|| format!("no {key}"))
    }
    pub fn number(&self, key: &str) -> Result<f64, String> {
        self.text(key)?.parse().map_err(|_| format!("{key} is no number"))
    }
    pub fn integer(&self, key: &str) -> Result<u64, String> {
        self.text(key)?.parse().map_err(|_| format!("{key} is no whole number"))
    }
    pub fn list(&self, key: &str) -> Result<Vec<u64>, String> {
        let text = self.text(key)?;
        let numbers = text.split(',').filter(|part| !part.is_empty());
        numbers.map(|part| part.parse().map_err(|_| format!("{key} is no list of numbers"))).collect()
    }
}

impl Display for Pairs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|(key, value)| write!(f, " {key}={value}"))
    }
}

/// Numbers as [`Pairs::list`] reads them.
pub fn join(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(",")
}

/// A child process.
pub struct Peer {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    label: String,
    /// Where others dial its node, once it is open.
    pub address: String,
}

impl Peer {
    /// Starts this program in a role.
    pub fn start(role: &str, label: &str) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|e| e.to_string())?;
        let mut child = Command::new(program)
            .args(["--role", role])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("cannot start {label}: {e}"))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("no pipes to the child".to_owned());
        };
        ALIVE.lock().unwrap_or_else(|p| p.into_inner()).push(child.id());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).all(|line| send.send(line).is_ok())
        });
        Ok(Self { child, stdin, lines, label: label.to_owned(), address: String::new() })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Starts a task, whose end [`Peer::finish`] awaits.
    pub fn begin(&mut self, task: &str, args: &Pairs) -> Result<(), String> {
        writeln!(self.stdin, "{task}{args}").map_err(|e| format!("{}: {task}: {e}", self.label))
    }

    pub fn finish(&mut self, patience: Duration) -> Result<Pairs, String> {
        match self.lines.recv_timeout(patience) {
            Ok(line) => match line.split_once(' ') {
                Some(("ok", rest)) => Ok(Pairs::parse(rest)),
                _ if line == "ok" => Ok(Pairs::new()),
                _ => Err(format!("{}: {line}", self.label)),
            },
            Err(RecvTimeoutError::Timeout) => Err(format!("{}: no answer in {patience:?}", self.label)),
            Err(RecvTimeoutError::Disconnected) => Err(format!("{}: it has ended", self.label)),
        }
    }

    pub fn call(&mut self, task: &str, args: &Pairs, patience: Duration) -> Result<Pairs, String> {
        self.begin(task, args)?;
        self.finish(patience).map_err(|why| format!("{task}: {why}"))
    }

    /// SIGKILL, without waiting for the end.
    pub fn kill(&mut self) -> Result<(), String> {
        self.child.kill().map_err(|e| e.to_string())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
        ALIVE.lock().unwrap_or_else(|p| p.into_inner()).retain(|pid| *pid != self.child.id());
    }
}

/// Tasks that only wait for the cluster.
pub const SETTLE: Duration = Duration::from_secs(60);

/// Nodes that are linked with one another, each its own OS process.
pub struct Cluster {
    pub nodes: Vec<Peer>,
    secret: Option<&'static str>,
}

impl Cluster {
    /// `n` nodes n1, n2, ..., all linked.
    pub fn start(n: usize) -> Result<Self, String> {
        Self::named("n", n)
    }

    /// The same with another beginning of their names.
    pub fn named(prefix: &str, n: usize) -> Result<Self, String> {
        Self { nodes: Vec::new(), secret: None }.filled(prefix, n)
    }

    /// The same with encrypted links.
    pub fn with_secret(prefix: &str, n: usize, secret: &'static str) -> Result<Self, String> {
        Self { nodes: Vec::new(), secret: Some(secret) }.filled(prefix, n)
    }

    fn filled(self, prefix: &str, n: usize) -> Result<Self, String> {
        let mut cluster = self;
        for index in 1..=n {
            let node = cluster.join(&format!("{prefix}{index}"))?.0;
            cluster.nodes.push(node);
        }
        cluster.settle(n - 1, 0)?;
        Ok(cluster)
    }

    /// One more node, whose seed is the cluster's last node; also when its opening began.
    pub fn join(&mut self, name: &str) -> Result<(Peer, u64), String> {
        let mut node = Peer::start("node", name)?;
        node.call("hello", &Pairs::new(), SETTLE)?;
        let seeds = self.nodes.last().map_or("", |seed| &seed.address);
        let mut options = Pairs::new().with("name", name).with("seeds", seeds);
        if let Some(secret) = self.secret {
            options = options.with("secret", secret);
        }
        let opened = node.call("open", &options, SETTLE)?;
        node.address = opened.text("address")?.to_owned();
        Ok((node, opened.integer("at")?))
    }

    /// Waits until every node has so many peers and so many names. When the last of them did.
    pub fn settle(&mut self, peers: usize, names: u64) -> Result<u64, String> {
        let nodes: Vec<&mut Peer> = self.nodes.iter_mut().collect();
        settle(nodes, peers, names)
    }

    /// An error unless all nodes have the same table.
    pub fn check_equal(&mut self, extra: Option<&mut Peer>) -> Result<(), String> {
        let nodes = self.nodes.iter_mut().chain(extra);
        let digests: Result<Vec<Pairs>, String> =
            nodes.map(|node| node.call("digest", &Pairs::new(), SETTLE)).collect();
        let texts: Vec<String> = digests?.iter().map(Pairs::to_string).collect();
        if texts.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(format!("the tables differ: {texts:?}"));
        }
        Ok(())
    }
}

pub fn settle(mut nodes: Vec<&mut Peer>, peers: usize, names: u64) -> Result<u64, String> {
    let wanted = Pairs::new().with("peers", peers).with("names", names);
    nodes.iter_mut().try_for_each(|node| node.begin("settle", &wanted))?;
    let mut last = 0;
    for node in nodes {
        last = last.max(node.finish(SETTLE)?.integer("at")?);
    }
    Ok(last)
}
