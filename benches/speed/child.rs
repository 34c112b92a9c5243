//! The other side of [`crate::cluster`]: an OS process that runs the tasks it is told.

use crate::capi::{EVENT_DONE, Node, Process, Queue};
use crate::cluster::Pairs;
use crate::measure::{now_ns, own_cpu_ns};
use crate::rows;
use std::collections::VecDeque;
use std::io::{BufRead, Write};
use std::time::Duration;

/// A task gets what the process has, and its arguments; it answers with pairs.
pub type Task = fn(&mut Side, &Pairs) -> Result<Pairs, String>;

/// What an OS process of the bench keeps between tasks.
#[derive(Default)]
pub struct Side {
    node: Option<Node>,
    queue: Option<Queue>,
    /// Processes that own the names of [`fill`].
    pub owners: Vec<Process>,
    /// The process whose mailbox the present row reads.
    pub mailbox: Option<Process>,
}

impl Side {
    pub fn node(&self) -> Result<Node, String> {
        self.node.ok_or_else(|| "the node is not open".to_owned())
    }
    /// One queue per OS process, made at its first use.
    pub fn queue(&mut self) -> Result<Queue, String> {
        if self.queue.is_none() {
            self.queue = Some(self.node()?.queue()?);
        }
        self.queue.ok_or_else(|| "no queue".to_owned())
    }
}

/// Runs tasks until stdin ends.
pub fn serve() {
    die_with_parent();
    let mut side = Side::default();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let (task, args) = line.split_once(' ').unwrap_or((&line, ""));
        let outcome = match find(task) {
            Some(run) => run(&mut side, &Pairs::parse(args)),
            None => Err(format!("no task {task}")),
        };
        let answer = match outcome {
            Ok(pairs) => format!("ok{pairs}"),
            Err(why) => format!("failed {}", why.replace('\n', " ")),
        };
        if writeln!(std::io::stdout(), "{answer}").is_err() {
            return;
        }
    }
}

/// Nobody outlives the bench, whatever ends it.
pub fn die_with_parent() {
    // SAFETY: no memory is involved.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

fn find(name: &str) -> Option<Task> {
    let own: &[(&str, Task)] = &[
        ("hello", |_, _| Ok(Pairs::new())),
        ("open", open),
        ("settle", settle),
        ("digest", digest),
        ("fill", fill),
        ("empty", empty),
    ];
    let all = own.iter().chain(rows::ALL.iter().flat_map(|row| row.tasks));
    all.into_iter().find(|(task, _)| *task == name).map(|(_, run)| *run)
}

fn open(side: &mut Side, args: &Pairs) -> Result<Pairs, String> {
    let at = now_ns();
    let mut options = vec![("name", args.text("name")?), ("listen", "127.0.0.1:0")];
    let seeds = args.text("seeds")?;
    if !seeds.is_empty() {
        options.push(("seeds", seeds));
    }
    // Without a secret of its own a node on loopback has that of the user: rows say what they measure.
    match args.text("secret") {
        Ok(secret) => options.push(("secret", secret)),
        Err(_) => options.push(("insecure.plaintext", "allow")),
    }
    let node = Node::open(&options)?;
    side.node = Some(node);
    Ok(Pairs::new().with("at", at).with("address", node.address()?))
}

/// Waits until the node has so many peers and names.
fn settle(side: &mut Side, args: &Pairs) -> Result<Pairs, String> {
    let (node, peers, names) = (side.node()?, args.integer("peers")?, args.integer("names")?);
    let end = now_ns() + 55_000_000_000;
    loop {
        let stats = node.stats()?;
        let at = now_ns();
        if stats.peers == peers && stats.names == names {
            return Ok(Pairs::new().with("at", at));
        }
        if at > end {
            return Err(format!(
                "{} peers and {} names instead of {peers} and {names}",
                stats.peers, stats.names
            ));
        }
        // Short against what is measured, long enough to leave the cores to the nodes.
        std::thread::sleep(Duration::from_micros(20));
    }
}

fn digest(side: &mut Side, _: &Pairs) -> Result<Pairs, String> {
    let (digest, names) = side.node()?.table_digest()?;
    Ok(Pairs::new().with("digest", digest).with("names", names))
}

/// A name of 16 bytes: 4 of prefix, 12 digits.
pub fn name_of(prefix: &str, index: u64) -> [u8; 16] {
    let mut name = *b"    000000000000";
    for (to, from) in name[..4].iter_mut().zip(prefix.bytes()) {
        *to = from;
    }
    let mut rest = index;
    for digit in name[4..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    name
}

/// Registers `count` names from the queue, `owners=each`: each for a process of its own, or all for one.
pub fn fill(side: &mut Side, args: &Pairs) -> Result<Pairs, String> {
    let (node, queue) = (side.node()?, side.queue()?);
    let (count, prefix) = (args.integer("count")?, args.text("prefix")?);
    let each = args.text("owners")? == "each";
    let began = now_ns();
    let mut waiting = 0;
    for index in 0..count {
        if each || index == 0 {
            side.owners.push(node.spawn(Some(queue))?);
        }
        let owner = side.owners.last().ok_or("no owner")?;
        owner.register_begin(&name_of(prefix, index), 60_000)?;
        waiting += 1;
        while waiting >= 256 {
            done(queue)?;
            waiting -= 1;
        }
    }
    for _ in 0..waiting {
        done(queue)?;
    }
    Ok(Pairs::new().with("ns", now_ns() - began))
}

/// The owners of [`fill`] exit, and their names go.
fn empty(side: &mut Side, _: &Pairs) -> Result<Pairs, String> {
    for owner in side.owners.drain(..) {
        owner.exit()?;
        owner.free();
    }
    Ok(Pairs::new())
}

/// Waits for one DONE event of an operation that must succeed; which operation it was.
pub fn done(queue: Queue) -> Result<u64, String> {
    loop {
        let event = queue.next(30_000)?.ok_or("no DONE event in 30 s")?;
        if event.kind() == EVENT_DONE {
            event.result()?;
            return Ok(event.reference());
        }
    }
}

/// What operations under way are about. DONE events come nearly in the order of the calls, so a short search finds them.
pub struct Pending<T>(VecDeque<(u64, T)>);

impl<T> Pending<T> {
    pub fn new() -> Self {
        Self(VecDeque::new())
    }
    pub fn push(&mut self, op: u64, what: T) {
        self.0.push_back((op, what));
    }
    pub fn take(&mut self, op: u64) -> Option<T> {
        let at = self.0.iter().position(|(it, _)| *it == op)?;
        self.0.remove(at).map(|(_, what)| what)
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One of the pairs that [`pairs_in_flight`] keeps under way.
#[derive(Clone, Copy)]
pub struct Pair {
    /// Which of those that are under way at the same time it is.
    pub slot: u64,
    /// Which of all it is.
    pub number: u64,
}

/// One thread keeps `count` pairs of operations under way for so many ns: `first` begins a pair, and when that is done
/// `second` ends it. How many pairs a second, and the CPU time for each.
pub fn pairs_in_flight(
    queue: Queue,
    count: u64,
    time: u64,
    first: impl Fn(Pair) -> Result<u64, String>,
    second: impl Fn(Pair) -> Result<u64, String>,
) -> Result<Pairs, String> {
    let mut pending = Pending::new();
    let (began, cpu, mut pairs, mut last) = (now_ns(), own_cpu_ns(), 0u64, 0);
    for slot in 0..count {
        let pair = Pair { slot, number: slot };
        pending.push(first(pair)?, (pair, false));
    }
    let mut next = count;
    while !pending.is_empty() {
        let op = done(queue)?;
        let (pair, half_done) = pending.take(op).ok_or("a DONE event of no operation")?;
        if !half_done {
            pending.push(second(pair)?, (pair, true));
            continue;
        }
        pairs += 1;
        last = now_ns();
        if last - began < time {
            let pair = Pair { number: next, ..pair };
            next += 1;
            pending.push(first(pair)?, (pair, false));
        }
    }
    let cpu = own_cpu_ns() - cpu;
    let rate = pairs as f64 * 1e9 / (last - began) as f64;
    Ok(Pairs::new().with("rate", rate).with("cpu_ns", cpu as f64 / pairs as f64))
}
