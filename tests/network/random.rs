//! Faults at random, with work going on at every node; then everything is mended, and the checker has its say.
//!
//! `CONVOKE_FAULTS=300 CONVOKE_FAULT_SEED=7 cargo test --test network random -- --nocapture`: 300 faults, one a second.
//! The seed decides which faults come when, and what the workload asks for; the scheduler of the machine decides the rest.

use crate::cluster::{Cluster, DETECTION, NODES};
use crate::switch::Path;
use crate::work;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// What can be wrong at one time.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Fault {
    /// Nothing gets from one node to another.
    OneWay(usize, usize),
    Pair(usize, usize),
    /// The nodes of the set, and the others.
    Split(BTreeSet<usize>),
    Cable(usize),
    /// Milliseconds, to and from this node, with disorder.
    Delay(usize, u64),
    /// Of a thousand packets to and from this node.
    Loss(usize, u64),
    Slow(usize),
    /// Until it is started anew.
    Kill(usize),
    Stop(usize),
}

impl Fault {
    fn kind(&self) -> &'static str {
        match self {
            Self::OneWay(..) => "one-way cuts",
            Self::Pair(..) => "cut pairs",
            Self::Split(_) => "splits",
            Self::Cable(_) => "pulled cables",
            Self::Delay(..) => "delays",
            Self::Loss(..) => "losses",
            Self::Slow(_) => "slow lines",
            Self::Kill(_) => "kills",
            Self::Stop(_) => "stops",
        }
    }

    /// The node that is not to be touched by another fault of this kind meanwhile.
    fn occupies(&self) -> Option<usize> {
        match self {
            Self::Cable(node) | Self::Slow(node) | Self::Kill(node) | Self::Stop(node) => Some(*node),
            _ => None,
        }
    }

    /// What it does to the packets from `a` to `b`.
    fn bend(&self, a: usize, b: usize, path: &mut Path) {
        match self {
            Self::OneWay(from, to) => path.cut |= (*from, *to) == (a, b),
            Self::Pair(x, y) => path.cut |= (*x, *y) == (a, b) || (*x, *y) == (b, a),
            Self::Split(side) => path.cut |= side.contains(&a) != side.contains(&b),
            Self::Delay(node, ms) if *node == a || *node == b => {
                path.delay = path.delay.max(Duration::from_millis(*ms));
                path.jitter = path.jitter.max(Duration::from_millis(ms / 2));
            }
            Self::Loss(node, of_thousand) if *node == a || *node == b => {
                path.loss = path.loss.max(*of_thousand);
            }
            _ => {}
        }
    }
}

/// The only source of chance here.
struct Dice(StdRng);

impl Dice {
    fn node(&mut self) -> usize {
        self.0.random_range(0..NODES)
    }

    fn pair(&mut self) -> (usize, usize) {
        let a = self.node();
        (a, (a + self.0.random_range(1..NODES)) % NODES)
    }

    fn fault(&mut self) -> Fault {
        match self.0.random_range(0..12) {
            0 | 1 => {
                let (a, b) = self.pair();
                Fault::OneWay(a, b)
            }
            2 | 3 => {
                let (a, b) = self.pair();
                Fault::Pair(a, b)
            }
            4 | 5 => {
                // One or two of five on one side.
                let (a, b) = self.pair();
                Fault::Split(if self.0.random_ratio(1, 3) { [a].into() } else { [a, b].into() })
            }
            6 => Fault::Cable(self.node()),
            7 => Fault::Delay(self.node(), self.0.random_range(20..120)),
            8 => Fault::Loss(self.node(), self.0.random_range(10..110)),
            9 => Fault::Slow(self.node()),
            10 => Fault::Kill(self.node()),
            _ => Fault::Stop(self.node()),
        }
    }

    /// Some pass before anybody notices, some last long enough for everybody to have noticed.
    fn duration(&mut self) -> Duration {
        let detection = DETECTION.as_millis() as u64;
        Duration::from_millis(match self.0.random_range(0..3) {
            0 => 50 + self.0.random_range(0..detection / 2),
            1 => self.0.random_range(detection / 2..detection * 3 / 2),
            _ => self.0.random_range(detection * 3 / 2..detection * 9 / 2),
        })
    }
}

/// The faults that are there now, and when each ends.
struct Misery {
    cluster: Cluster,
    present: Vec<(Instant, Fault)>,
    seed: u64,
    started: u64,
    can_slow: bool,
}

impl Misery {
    fn work(&mut self, node: usize) {
        self.started += 1;
        let seed = self.seed.wrapping_add(self.started);
        work::begin(self.cluster.node(node), seed);
    }

    fn begin(&mut self, fault: Fault, until: Instant) {
        match fault {
            Fault::Kill(node) => self.cluster.kill(node),
            Fault::Stop(node) => self.cluster.node(node).signal(libc::SIGSTOP),
            Fault::Cable(node) => self.cluster.cable(node, false),
            Fault::Slow(node) if self.can_slow => {
                if let Err(e) = self.cluster.limit_rate(node, Some("1mbit")) {
                    crate::skipped(&format!("slow lines, which this kernel cannot make (sch_tbf): {e}"));
                    self.can_slow = false;
                }
            }
            _ => {}
        }
        self.present.push((until, fault));
        self.bend();
    }

    fn end(&mut self, at: usize) {
        let (_, fault) = self.present.swap_remove(at);
        match fault {
            Fault::Kill(node) => {
                self.cluster.start(node);
                self.work(node);
            }
            Fault::Stop(node) => self.cluster.node(node).signal(libc::SIGCONT),
            Fault::Cable(node) => self.cluster.cable(node, true),
            Fault::Slow(node) if self.can_slow => {
                self.cluster.limit_rate(node, None).expect("tc qdisc del");
            }
            _ => {}
        }
        self.bend();
    }

    /// The paths are what all present faults make of them.
    fn bend(&self) {
        for a in 0..NODES {
            for b in 0..NODES {
                let mut bent = Path::default();
                self.present.iter().for_each(|(_, fault)| fault.bend(a, b, &mut bent));
                self.cluster.switch().set(a, b, |path| *path = bent);
            }
        }
    }

    /// Lets time pass, and ends what ends meanwhile.
    fn pass(&mut self, until: Instant) {
        loop {
            let next = (0..self.present.len()).min_by_key(|at| self.present[*at].0);
            match next.filter(|at| self.present[*at].0 <= until) {
                Some(at) => {
                    std::thread::sleep(self.present[at].0.saturating_duration_since(Instant::now()));
                    self.end(at);
                }
                None => return std::thread::sleep(until.saturating_duration_since(Instant::now())),
            }
        }
    }

    /// Nothing else is wrong with the node that the fault is about.
    fn is_possible(&self, fault: &Fault) -> bool {
        let occupied = fault.occupies();
        occupied.is_none() || self.present.iter().all(|(_, present)| present.occupies() != occupied)
    }
}

#[test]
fn random_faults_break_no_promise() {
    let faults = crate::number("CONVOKE_FAULTS").unwrap_or(15);
    let seed = crate::number("CONVOKE_FAULT_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |now| now.as_millis() as u64 % 1_000_000)
    });
    println!("CONVOKE_FAULTS={faults} CONVOKE_FAULT_SEED={seed}");
    let _turn = crate::turn();
    let Some(cluster) = Cluster::with_seed("", seed) else { return };
    let mut dice = Dice(StdRng::seed_from_u64(seed));
    let mut misery = Misery { cluster, present: Vec::new(), seed, started: 0, can_slow: true };
    (0..NODES).for_each(|node| misery.work(node));
    let mut kinds = BTreeMap::new();
    let began = Instant::now();
    for _ in 0..faults {
        let pause = Duration::from_millis(dice.0.random_range(200..1800)); // one a second
        let fault = loop {
            let fault = dice.fault();
            if misery.is_possible(&fault) {
                break fault;
            }
        };
        let until = Instant::now() + dice.duration();
        *kinds.entry(fault.kind()).or_insert(0) += 1;
        println!("{:>7.2} s: {fault:?} for {:.2?}", began.elapsed().as_secs_f64(), until - Instant::now());
        misery.begin(fault, until);
        misery.pass(Instant::now() + pause);
        misery.cluster.no_violations();
    }
    println!("{faults} faults in {:.0?}: {kinds:?}", began.elapsed());
    while let Some(last) = misery.present.iter().map(|(until, _)| *until).max() {
        misery.pass(last);
    }
    let (carried, lost) = misery.cluster.switch().counts();
    println!("{carried} packets carried, {lost} lost");
    misery.cluster.end_of_work(true);
}
