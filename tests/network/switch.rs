//! The cables between the namespaces: a thread that carries packets, and loses, delays and overtakes them as it is told.
//!
//! The kernel's own means (sch_netem, filters that drop) are not in every kernel, and a pair of nodes has to be cut in
//! one direction. So packets go through here, each direction of each pair by itself.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What happens to the packets of one direction of one pair.
#[derive(Clone, Copy, Default, Debug)]
pub struct Path {
    /// None arrives.
    pub cut: bool,
    pub delay: Duration,
    /// Up to so much more, by chance: packets overtake each other.
    pub jitter: Duration,
    /// So many of a thousand are lost.
    pub loss: u64,
    /// Those with more bytes than this are lost: a tunnel in the way, and nobody says so.
    pub largest: Option<usize>,
}

/// Packets that are on their way at one time. More are lost, as in any router.
const MOST_ON_THE_WAY: usize = 20_000;
/// How often the thread looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);

pub struct Switch {
    shared: Arc<Mutex<Shared>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    paths: Vec<Vec<Path>>,
    carried: u64,
    lost: u64,
    over: bool,
}

impl Switch {
    /// One device per node; the node `i` has an IPv4 address that ends with `i + 1`.
    pub fn new(devices: Vec<OwnedFd>, seed: u64) -> Self {
        let n = devices.len();
        let paths = vec![vec![Path::default(); n]; n];
        let shared = Arc::new(Mutex::new(Shared { paths, carried: 0, lost: 0, over: false }));
        let carrier = Carrier {
            devices: devices.into_iter().map(std::fs::File::from).collect(),
            shared: shared.clone(),
            rng: seed | 1,
            on_the_way: BinaryHeap::new(),
            count: 0,
        };
        let thread = std::thread::Builder::new().name("switch".to_owned()).spawn(move || carrier.run());
        Self { shared, thread: Some(thread.expect("a thread")) }
    }

    /// Changes the direction from one node to another.
    pub fn set(&self, from: usize, to: usize, change: impl FnOnce(&mut Path)) {
        change(&mut lock(&self.shared).paths[from][to]);
    }

    /// Changes all directions.
    pub fn set_all(&self, change: impl Fn(&mut Path)) {
        lock(&self.shared).paths.iter_mut().flatten().for_each(change);
    }

    /// Packets that have arrived, and that were lost on purpose.
    pub fn counts(&self) -> (u64, u64) {
        let shared = lock(&self.shared);
        (shared.carried, shared.lost)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        lock(&self.shared).over = true;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When, in which order, for whom, what.
type Packet = Reverse<(Instant, u64, usize, Vec<u8>)>;

struct Carrier {
    devices: Vec<std::fs::File>,
    shared: Arc<Mutex<Shared>>,
    rng: u64,
    on_the_way: BinaryHeap<Packet>,
    count: u64,
}

impl Carrier {
    fn run(mut self) {
        let mut buffer = vec![0; 65536];
        while !lock(&self.shared).over {
            self.wait();
            for from in 0..self.devices.len() {
                // A device that is down gives and takes nothing, and says so by an error.
                while let Ok(n) = (&self.devices[from]).read(&mut buffer) {
                    self.take(from, &buffer[..n]);
                }
            }
            self.deliver();
        }
    }

    /// Until there is a packet or one is due.
    fn wait(&self) {
        let due =
            self.on_the_way.peek().map(|Reverse((due, ..))| due.saturating_duration_since(Instant::now()));
        let pause = due.map_or(LOOK, |due| due.min(LOOK));
        let poll =
            |file: &std::fs::File| libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let mut fds: Vec<libc::pollfd> = self.devices.iter().map(poll).collect();
        let timeout = libc::timespec { tv_sec: 0, tv_nsec: i64::from(pause.subsec_nanos()) };
        // SAFETY: the list and the time outlive the call.
        let ready =
            unsafe { libc::ppoll(fds.as_mut_ptr(), fds.len() as u64, &raw const timeout, std::ptr::null()) };
        let failed = ready < 0 && io::Error::last_os_error().kind() != io::ErrorKind::Interrupted;
        assert!(!failed, "ppoll: {}", io::Error::last_os_error());
        if fds.iter().any(|fd| fd.revents & libc::POLLERR != 0) {
            std::thread::sleep(Duration::from_millis(1)); // a device that is down is always "ready"
        }
    }

    fn take(&mut self, from: usize, packet: &[u8]) {
        // The last byte of the destination of an IPv4 packet.
        let (Some(4), Some(&last)) = (packet.first().map(|byte| byte >> 4), packet.get(19)) else { return };
        let to = usize::from(last).wrapping_sub(1);
        if to >= self.devices.len() {
            return;
        }
        let path = lock(&self.shared).paths[from][to];
        let too_large = path.largest.is_some_and(|largest| packet.len() > largest);
        if path.cut || too_large || self.below(1000) < path.loss || self.on_the_way.len() >= MOST_ON_THE_WAY {
            lock(&self.shared).lost += 1;
            return;
        }
        let jitter = Duration::from_micros(self.below(path.jitter.as_micros() as u64 + 1));
        self.count += 1;
        let due = Instant::now() + path.delay + jitter;
        self.on_the_way.push(Reverse((due, self.count, to, packet.to_vec())));
    }

    fn deliver(&mut self) {
        while self.on_the_way.peek().is_some_and(|Reverse((due, ..))| *due <= Instant::now()) {
            let Some(Reverse((_, _, to, packet))) = self.on_the_way.pop() else { return };
            let arrived = (&self.devices[to]).write(&packet).is_ok();
            let mut shared = lock(&self.shared);
            shared.carried += u64::from(arrived);
            shared.lost += u64::from(!arrived);
        }
    }

    fn below(&mut self, n: u64) -> u64 {
        self.rng ^= self.rng << 13;
        self.rng ^= self.rng >> 7;
        self.rng ^= self.rng << 17;
        (self.rng >> 33) % n
    }
}
