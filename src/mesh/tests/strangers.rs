//! Strangers that knock without end, from many addresses, while somebody wants to come in.

use super::*;
use crate::mesh::Refused;
use crate::os;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::net::TcpSocket;

/// Addresses that strangers come from, and how many connections they make in a second, all together.
const ADDRESSES: usize = 200;
pub(super) const RATE: u32 = 2000;

/// Strangers on a thread of their own. All of 127.0.0.0/8 is this machine.
pub(super) struct Flood {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

/// One flood at a time, as each has enough to do for the whole machine. To be called before the time of the test runs.
pub(super) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Flood {
    /// `words`: what each of them says, before it says nothing more for ever.
    pub(super) fn begin(address: &str, words: Vec<Vec<u8>>) -> Self {
        let to: SocketAddr = address.parse().unwrap();
        let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stops, makes) = (stop.clone(), made.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            tokio::task::LocalSet::new().block_on(&runtime, async {
                let mut tick = tokio::time::interval(Duration::from_millis(1));
                tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
                let mut number = 0;
                while !stops.load(Ordering::Relaxed) {
                    tick.tick().await;
                    for _ in 0..RATE / 1000 {
                        let words = words[number % words.len()].clone();
                        tokio::task::spawn_local(stranger(to, number, words, makes.clone()));
                        number += 1;
                    }
                }
            });
        });
        Self { stop, made, thread: Some(thread) }
    }

    /// Waits until as many have connected.
    pub(super) async fn made(&self, count: usize) {
        while self.made.load(Ordering::Relaxed) < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

/// Connects, says these words and stays until the other end has had enough.
async fn stranger(to: SocketAddr, number: usize, words: Vec<u8>, made: Arc<AtomicUsize>) {
    let n = (number % ADDRESSES) as u8;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::new(127, 0, 9, n + 1), 0).into()).unwrap();
    let Ok(mut stream) = socket.connect(to).await else { return };
    made.fetch_add(1, Ordering::Relaxed);
    let _ = stream.write_all(&words).await;
    while stream.read(&mut [0; 256]).await.is_ok_and(|n| n > 0) {}
}

/// As long as a node's handshake may take.
pub(super) fn patient(settings: Settings) -> Settings {
    Settings { handshake: Duration::from_secs(5), ..settings }
}

/// The longest of some joins, one after the other, by nodes that the listener has never heard of.
pub(super) async fn longest_join(address: &str, settings: impl Fn(u64) -> Settings) -> Duration {
    let mut longest = Duration::ZERO;
    for node in 2..52 {
        let (high, _) = start(patient(settings(node))).await;
        let began = Instant::now();
        high.order(Order::Dial { address: address.to_owned() });
        let failed = high.wait_seen(|seen| match seen {
            Seen::Go(_) => Some(None),
            Seen::DialFailed { detail, .. } => Some(Some(detail.clone())),
            _ => None,
        });
        assert_eq!(failed.await, None, "the first dial is enough");
        longest = longest.max(began.elapsed());
    }
    longest
}

/// Joins while strangers knock that say such words.
async fn join_among(settings: impl Fn(u64) -> Settings, words: Vec<Vec<u8>>) -> Mesh<Script> {
    os::raise_descriptor_limit();
    let (low, address) = start(patient(settings(1))).await;
    let flood = Flood::begin(&address, words);
    flood.made(2 * RATE as usize).await;
    let longest = longest_join(&address, settings).await;
    println!("a join took {longest:?} at most, {} strangers", flood.made.load(Ordering::Relaxed));
    assert!(longest < Duration::from_secs(4), "a join took {longest:?}");
    assert!(low.connections() < 1100, "{} connections", low.connections());
    low
}

/// What a node would say first.
pub(super) fn greeting(protection: Protection) -> Vec<u8> {
    let mut greeting = Vec::new();
    Channel::dial(Setup { protection, ..setup(9) }).take_handshake_bytes(&mut greeting);
    greeting
}

#[test]
fn strangers_without_end_keep_nobody_out() {
    let _turn = turn();
    run(async {
        let greeting = greeting(protection());
        let words = [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &greeting[..20]];
        let low = join_among(settings, words.map(<[u8]>::to_vec).to_vec()).await;
        assert!(low.settings().refusals.get(Refused::Busy) > 1000, "the places were full");
    });
}

/// In a cluster without a secret strangers may speak as nodes do.
#[test]
fn strangers_that_greet_as_nodes_do_keep_nobody_out() {
    let _turn = turn();
    run(async {
        let words = vec![greeting(protection())];
        let low = join_among(settings, words).await;
        assert!(low.settings().refusals.get(Refused::Busy) > 1000, "the places were full");
    });
}

fn shared() -> Protection {
    let bytes: Vec<u8> = (0..32u32).map(|at| (at * at * 53 + 7) as u8).collect();
    secret("test", &[Secret::from_bytes(&bytes).unwrap()])
}

fn sealed(node: u64) -> Settings {
    Settings { protection: Arc::new(RwLock::new(shared())), ..settings(node) }
}

/// Says the first words of a node and waits for the answer to them.
async fn greet(address: &str, words: &[u8]) -> TcpStream {
    let address: SocketAddr = address.parse().unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(words).await.unwrap();
    assert!(stream.read(&mut [0; 256]).await.is_ok_and(|n| n > 0), "no answer");
    stream
}

/// A holder of the secret that is slow keeps its place, whoever comes, from its own address too: with the first words
/// that it has said, which others have recorded, and when it has proven that they were its own.
#[test]
fn strangers_never_take_the_place_of_a_holder_of_the_secret() {
    run(async {
        let (low, address) = start(patient(Settings { half_open: 2, ..sealed(1) })).await;
        let recording = greeting(shared());
        drop(greet(&address, &recording).await);
        low.empty().await;
        let mut slow = Peer::connect_as(&address, Setup { protection: shared(), ..setup(2) }).await;
        let mut words = Vec::new();
        slow.channel.take_handshake_bytes(&mut words);
        slow.stream.write_all(&words).await.unwrap();
        slow.stream.readable().await.unwrap();
        let crowd = async || {
            let mut crowd = Vec::new();
            for _ in 0..5 {
                crowd.push(TcpStream::connect(&address).await.unwrap());
                crowd.push(greet(&address, &recording).await); // and so all before it have been looked at
            }
            crowd
        };
        let _first = crowd().await;
        slow.knock().await.unwrap();
        let _second = crowd().await;
        slow.introduce(2).await;
        assert!(matches!(slow.handshake().await, Some(Handshake::Identity { .. })));
        assert_eq!(slow.handshake().await, Some(Handshake::Go));
        assert!(low.settings().refusals.get(Refused::Busy) > 10);
    });
}

/// Who does not know the secret is ended at its first words, and gets no answer that could be of use.
#[test]
fn words_that_no_holder_of_the_secret_has_signed_are_not_answered() {
    run(async {
        let (low, address) = start(patient(sealed(1))).await;
        let good = greeting(shared());
        for at in [8 + 2, 12, 20, 33, good.len() - 1] {
            let mut words = good.clone();
            words[at] ^= 4;
            words.extend([0; 4]); // one of them claims to be longer
            let mut stranger = TcpStream::connect(&address).await.unwrap();
            stranger.write_all(&words).await.unwrap();
            let mut answer = Vec::new();
            let _ = stranger.read_to_end(&mut answer).await;
            assert!(answer.is_empty(), "byte {at}: {answer:?}");
        }
        assert_eq!(low.settings().refusals.get(Refused::Handshake), 5);
        greet(&address, &good).await;
    });
}

/// What the kernel has to keep while the node's thread has other things to do.
#[test]
fn a_thousand_may_connect_before_one_is_accepted() {
    run(async {
        os::raise_descriptor_limit();
        let (_low, address) = start(settings(1)).await;
        let address: SocketAddr = address.parse().unwrap();
        // Nothing else happens on this thread meanwhile.
        let connect = |_| std::net::TcpStream::connect_timeout(&address, Duration::from_secs(3));
        let connected: Result<Vec<_>, _> = (0..1000).map(connect).collect();
        assert_eq!(connected.unwrap().len(), 1000);
    });
}

/// Whoever comes to nothing again and again is not told why any more, until some time has passed.
#[test]
fn those_that_fail_without_end_are_not_answered() {
    run(async {
        let (low, address) = start(patient(sealed(1))).await;
        let mut answers = Vec::new();
        for _ in 0..1000 {
            let mut stranger = TcpStream::connect(&address).await.unwrap();
            stranger.write_all(&greeting(Protection::Plain)).await.unwrap();
            let mut answer = Vec::new();
            let _ = stranger.read_to_end(&mut answer).await;
            answers.push(answer.len());
            if answer.is_empty() {
                break;
            }
        }
        assert!(answers.len() > 32, "the first are told: {answers:?}");
        assert_eq!(answers.last(), Some(&0));
        assert_eq!(low.settings().refusals.get(Refused::Mode), answers.len() as u64);
        // From the same address: who knows the secret is not meant.
        let (high, _) = start(sealed(2)).await;
        high.order(Order::Dial { address });
        high.wait_seen(|seen| if let Seen::Go(id) = seen { Some(*id) } else { None }).await;
    });
}
