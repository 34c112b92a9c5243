//! What kind of run a seed makes: its mode and its knobs. Every run turns some dangers off and others up, because a
//! mixture that is always the same finds the same schedules again and again.

use crate::rng::Rng;
use convoke::model::Limits;
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// A full mesh in which nothing breaks: here the strictest promises hold.
    Stable,
    /// Links only come up; the mesh is partial for most of the run.
    Join,
    /// Everything may happen.
    Faulty,
}

impl Mode {
    pub(crate) const ALL: [Self; 3] = [Self::Stable, Self::Join, Self::Faulty];
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Join => "join",
            Self::Faulty => "faulty",
        }
    }
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.name() == name)
    }
}

/// How often each thing is done, relative to the others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weights {
    pub(crate) register: u64,
    pub(crate) reregister: u64,
    pub(crate) unregister: u64,
    pub(crate) cancel_operation: u64,
    pub(crate) is_alive: u64,
    pub(crate) spawn: u64,
    pub(crate) exit: u64,
    pub(crate) kill: u64,
    pub(crate) monitor: u64,
    pub(crate) demonitor: u64,
    pub(crate) watch: u64,
    pub(crate) send: u64,
    pub(crate) deafen: u64,
    pub(crate) sync: u64,
    pub(crate) connect: u64,
    pub(crate) disconnect: u64,
    pub(crate) close: u64,
    pub(crate) acquire: u64,
    pub(crate) release: u64,
    pub(crate) end_scope: u64,
    pub(crate) watch_lock: u64,
    pub(crate) create: u64,
    pub(crate) delete: u64,
    pub(crate) join: u64,
    pub(crate) leave: u64,
    pub(crate) watch_group: u64,
    // What the network and the machines do.
    pub(crate) cut: u64,
    pub(crate) isolate: u64,
    pub(crate) darken: u64,
    pub(crate) block: u64,
    pub(crate) unblock: u64,
    pub(crate) crash: u64,
    pub(crate) pause: u64,
    pub(crate) clog: u64,
    pub(crate) swizzle: u64,
    pub(crate) slow: u64,
    pub(crate) jump: u64,
    pub(crate) mute: u64,
    /// A member answers pings and nothing else for a while.
    pub(crate) numb: u64,
    /// A node is paused for long, and meanwhile one of the same name takes its place.
    pub(crate) replace: u64,
}

/// Which resolvers names are registered with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Resolvers {
    /// The manual's default.
    Default,
    /// One of the built-in ones for all.
    Same(usize),
    /// Functions of the program only.
    Functions,
    Any,
}

/// What nodes are told to find each other by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entrance {
    /// Addresses of some of the hosts.
    Hosts,
    /// A name that stands for all of them, more or less.
    Service,
    /// One address, and nothing else, that leads to another host each time: the own one, too.
    Balancer,
    /// A name for that address.
    BalancedService,
}

impl Entrance {
    fn draw(percent: u64) -> Self {
        match percent {
            0..=24 => Self::Service,
            25..=36 => Self::Balancer,
            37..=41 => Self::BalancedService,
            _ => Self::Hosts,
        }
    }

    pub(crate) fn is_balanced(self) -> bool {
        matches!(self, Self::Balancer | Self::BalancedService)
    }
}

/// All times in microseconds.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)] // dangers that are there or not, drawn one by one
pub(crate) struct Plan {
    pub(crate) mode: Mode,
    pub(crate) hosts: usize,
    /// Hosts that bear the name of another one: they must not live together.
    pub(crate) twins: usize,
    pub(crate) names: usize,
    pub(crate) resources: usize,
    /// LockRequesterIds that processes share; they also use their own pids.
    pub(crate) requesters: usize,
    pub(crate) groups: usize,
    pub(crate) resolvers: Resolvers,
    /// Peers that keep others waiting are parted. Not where nobody may be thought dead.
    pub(crate) part_slow: bool,
    /// A process may hold one name only.
    pub(crate) one_name: bool,
    pub(crate) full_at_start: bool,
    pub(crate) ticks: u64,
    /// Longest pause between two things that are done.
    pub(crate) gap: u64,
    pub(crate) delay_min: u64,
    pub(crate) delay_max: u64,
    /// In percent of the parcels: ten times slower than the others.
    pub(crate) stragglers: u64,
    pub(crate) detection: u64,
    pub(crate) heartbeat: u64,
    pub(crate) dial_max: u64,
    /// How late timeouts are noticed.
    pub(crate) timer_lag: u64,
    /// In percent of the inputs: a timeout that nobody asked for follows.
    pub(crate) spurious: u64,
    /// Blocks of messages under way in one direction at a time.
    pub(crate) blocks: usize,
    pub(crate) limits: Limits,
    /// There is room for hardly anything.
    pub(crate) tight: bool,
    /// Only this host has tight limits, and the others have what it may not: none of them minds.
    pub(crate) tight_host: Option<usize>,
    pub(crate) largest_payload: u64,
    /// In percent: operations without a deadline, and such that never queue.
    pub(crate) patient: u64,
    pub(crate) no_wait: u64,
    /// All hosts are on one machine: the end of a stream is a certain death.
    pub(crate) same_machine: bool,
    /// In percent: deaths that look like one to their peers, or can be found out.
    pub(crate) clear_deaths: u64,
    /// In percent: pauses between reading the clock and handling what was read.
    pub(crate) stale: u64,
    /// In percent: ends that never notice that their connection was cut.
    pub(crate) unnoticed: u64,
    pub(crate) weights: Weights,
    /// In percent: locks that are acquired for a while only.
    pub(crate) scopes: u64,
    /// How much faster or slower than the world's a clock may run, in permille.
    pub(crate) drift: u64,
    pub(crate) rest_in_parts: bool,
    /// So much is done after the heal, when nothing breaks any more.
    pub(crate) calm: u64,
    pub(crate) afterlife: bool,
    pub(crate) entrance: Entrance,
    /// Nodes wait until they have met everybody before they are open, as with the option `join.wait`. Where nothing breaks
    /// and all know all addresses they register the same name then, at once.
    pub(crate) joins: bool,
    /// The rule that all engines break.
    #[cfg(feature = "faults")]
    pub(crate) fault: Option<convoke::engine::Fault>,
}

impl Plan {
    pub(crate) fn draw(mode: Mode, rng: &mut Rng) -> Self {
        // Of later subjects: drawn by themselves, so that seeds of old mean what they did.
        let mut later = rng.clone();
        let delay_max = [300, 2_000, 10_000, 40_000][rng.weighted(&[2, 4, 3, 1])];
        // Far above what a parcel takes, so that nothing is declared down in a stable mesh.
        let detection = (delay_max * rng.between(60, 100)).max(200_000);
        let memory = [96 << 10, 512 << 10, 256 << 20][rng.weighted(&[2, 2, 4])];
        let mut limits = Limits {
            message: memory / 2,
            memory,
            link_buffer: [64 << 10, 8 << 20][rng.weighted(&[1, 3])],
            ..Limits::default()
        };
        let tight = rng.percent(6);
        if tight {
            limits.names = 1 + rng.index(2);
            limits.locks = 1 + rng.index(3);
            limits.groups = 2 + rng.index(3);
            limits.existence = limits.groups;
        }
        let largest_payload = match rng.below(20) {
            0 => 400 << 10,
            1..=3 => 70 << 10,
            _ => 200,
        };
        let mut dice = rng.clone();
        let tight_host = (tight && dice.percent(50)).then(|| dice.index(2));
        let (entrance, joins) = (Entrance::draw(dice.below(100)), !tight && dice.percent(35));
        Self {
            mode,
            hosts: 2 + rng.weighted(&[60, 100, 80, 24, 6, 4, 3, 3]),
            twins: usize::from(mode == Mode::Faulty && rng.percent(8)),
            names: 1 + usize::from(joins) + rng.weighted(&[4, 3, 2]),
            resources: 1 + rng.weighted(&[3, 1]),
            requesters: 1 + rng.weighted(&[1, 3, 2]),
            groups: 1 + rng.weighted(&[3, 1]),
            resolvers: match rng.below(10) {
                0 | 1 => Resolvers::Default,
                2 | 3 => Resolvers::Same(rng.index(4)),
                4..=6 => Resolvers::Functions,
                _ => Resolvers::Any,
            },
            part_slow: mode == Mode::Faulty && rng.clone().percent(50),
            one_name: rng.percent(10),
            full_at_start: match mode {
                Mode::Stable => true,
                Mode::Join => false,
                Mode::Faulty => rng.percent(70),
            },
            ticks: rng.between(15, 60),
            gap: delay_max * [1, 2, 4, 12][rng.index(4)],
            delay_min: delay_max / [1, 4, 50][rng.index(3)],
            delay_max,
            stragglers: if rng.percent(50) { rng.below(15) } else { 0 },
            detection,
            heartbeat: detection / 8,
            dial_max: detection / [2, 4, 8][rng.index(3)],
            timer_lag: if rng.percent(40) { rng.below(delay_max) } else { 0 },
            spurious: if rng.percent(20) { 10 } else { 0 },
            blocks: 1 + rng.index(3),
            largest_payload: largest_payload.min(limits.message as u64),
            limits,
            tight,
            tight_host,
            patient: rng.below(101),
            no_wait: if rng.percent(50) { rng.below(40) } else { 0 },
            same_machine: rng.percent(40),
            clear_deaths: [0, 70, 100][rng.index(3)],
            stale: if rng.percent(50) { 50 } else { 0 },
            unnoticed: [0, 10, 50][rng.index(3)],
            weights: Weights::draw(mode, rng).with_later(mode, &mut later),
            scopes: if rng.percent(40) { rng.between(20, 80) } else { 0 },
            drift: if rng.percent(30) { rng.between(1, 50) } else { 0 },
            calm: if mode != Mode::Stable && rng.percent(30) { rng.between(10, 30) } else { 0 },
            rest_in_parts: mode != Mode::Stable && rng.percent(50),
            afterlife: rng.percent(40),
            entrance: if joins && mode == Mode::Stable { Entrance::Hosts } else { entrance },
            joins,
            #[cfg(feature = "faults")]
            fault: None,
        }
        .without_calm_where_peers_are_parted()
    }

    /// Whoever has met everybody registers the second name.
    pub(crate) fn registers_at_once(&self) -> bool {
        self.joins && self.mode == Mode::Stable
    }

    /// Who is parted for being slow loses links: that is no calm, and what is promised there is promised where no link ends.
    fn without_calm_where_peers_are_parted(self) -> Self {
        let calm = if self.part_slow { 0 } else { self.calm };
        Self { calm, ..self }
    }

    pub(crate) fn detection(&self) -> Duration {
        Duration::from_micros(self.detection)
    }
}

impl Weights {
    fn with_later(mut self, mode: Mode, rng: &mut Rng) -> Self {
        if mode == Mode::Faulty {
            let mut often =
                |percent: u64, most: u64| if rng.percent(percent) { 1 + rng.below(most) } else { 0 };
            self.numb = often(20, 2);
            self.replace = often(50, 4);
        }
        self
    }

    fn draw(mode: Mode, rng: &mut Rng) -> Self {
        // Names are what can go wrong most; each other subject is there in a part of the runs.
        let mut often = |percent: u64, most: u64| if rng.percent(percent) { 1 + rng.below(most) } else { 0 };
        let mut weights = Self {
            register: 8 + often(80, 12),
            reregister: often(80, 16),
            unregister: often(70, 6),
            cancel_operation: often(40, 4),
            is_alive: often(40, 4),
            spawn: 2 + often(60, 3),
            exit: often(70, 4),
            kill: often(50, 4),
            monitor: often(70, 6),
            demonitor: often(40, 3),
            watch: often(50, 3),
            send: often(60, 20),
            deafen: often(50, 3),
            sync: often(30, 3),
            connect: often(20, 2),
            pause: often(if mode == Mode::Faulty { 35 } else { 20 }, 2),
            clog: often(40, 4),
            swizzle: often(20, 1),
            slow: often(15, 1),
            jump: often(20, 2),
            ..Self::default()
        };
        if often(60, 1) > 0 {
            weights.acquire = 6 + often(80, 14);
            weights.release = 2 + often(80, 8);
            weights.end_scope = often(90, 10);
            weights.watch_lock = often(40, 3);
        }
        if often(50, 1) > 0 {
            weights.create = 2 + often(60, 4);
            weights.delete = often(70, 3);
            weights.join = 3 + often(80, 8);
            weights.leave = often(70, 5);
            weights.watch_group = often(50, 3);
        }
        if weights.acquire + weights.create > 0 && often(30, 1) > 0 {
            // Nearly a whole run for the newer subjects.
            weights.register = 1;
            weights.reregister = 0;
            weights.unregister = 0;
            weights.send = 0;
        }
        match mode {
            Mode::Stable => {}
            // A mesh that stays partial: homes without a link need a third node.
            Mode::Join if often(35, 1) > 0 => weights.unblock = 0,
            Mode::Join => weights.unblock = 3 + often(80, 6),
            Mode::Faulty => {
                weights.cut = often(80, 10);
                weights.isolate = often(40, 3);
                weights.darken = often(40, 4);
                weights.mute = often(20, 1);
                weights.block = often(60, 4);
                weights.unblock = often(80, 5);
                weights.crash = often(50, 3);
                weights.disconnect = often(20, 2);
                weights.close = often(25, 1);
            }
        }
        weights
    }

    /// The same work, and nothing befalls anybody.
    pub(crate) fn calm(&self) -> Self {
        Self {
            connect: 0,
            disconnect: 0,
            close: 0,
            cut: 0,
            isolate: 0,
            darken: 0,
            mute: 0,
            numb: 0,
            replace: 0,
            block: 0,
            unblock: 0,
            crash: 0,
            pause: 0,
            clog: 0,
            swizzle: 0,
            slow: 0,
            jump: 0,
            ..self.clone()
        }
    }
}
