//! Strangers that knock without end, from many addresses, while somebody wants to come in.

use super::*;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::net::TcpSocket;

/// Addresses that strangers come from, and how many connections they make in a second, all together.
const ADDRESSES: usize = 200;
const RATE: u32 = 2000;

/// Strangers on a thread of their own. All of 127.0.0.0/8 is this machine.
struct Flood {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    /// `words`: what each of them says, before it says nothing more for ever.
    fn begin(address: &str, words: Vec<Vec<u8>>) -> Flood {
        let to: SocketAddr = address.parse().unwrap();
        let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stops, makes) = (stop.clone(), made.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            tokio::task::LocalSet::new().block_on(&runtime, async {
                let mut tick = tokio::time::interval(Duration::from_millis(10));
                let mut number = 0;
                while !stops.load(Ordering::Relaxed) {
                    tick.tick().await;
                    for _ in 0..RATE / 100 {
                        let words = words[number % words.len()].clone();
                        tokio::task::spawn_local(stranger(to, number, words, makes.clone()));
                        number += 1;
                    }
                }
            });
        });
        Flood { stop, made, thread: Some(thread) }
    }

    /// Waits until as many have connected.
    async fn made(&self, count: usize) {
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
fn patient(settings: Settings) -> Settings {
    Settings { handshake: Duration::from_secs(5), ..settings }
}

/// The longest of some joins, one after the other, by nodes that the listener has never heard of.
async fn longest_join(address: &str, settings: impl Fn(u64) -> Settings) -> Duration {
    let mut longest = Duration::ZERO;
    for node in 2..7 {
        let (high, _) = start(patient(settings(node))).await;
        let began = Instant::now();
        while !high.with_core(|core| core.seen.iter().any(|seen| matches!(seen, Seen::Go(_)))) {
            high.with_core(|core| core.seen.clear());
            high.order(Order::Dial { address: address.to_owned() });
            high.wait_seen(|seen| matches!(seen, Seen::Go(_) | Seen::DialFailed { .. }).then_some(())).await;
        }
        longest = longest.max(began.elapsed());
    }
    longest
}

#[test]
fn strangers_without_end_keep_nobody_out() {
    run(async {
        let (low, address) = start(patient(settings(1))).await;
        let mut greeting = Vec::new();
        Channel::dial(setup(9)).words(&mut greeting);
        let flood =
            Flood::begin(&address, vec![vec![], b"GET / HTTP/1.1\r\n\r\n".to_vec(), greeting[..20].to_vec()]);
        flood.made(2 * RATE as usize).await;
        let longest = longest_join(&address, settings).await;
        println!("a join took {longest:?} at most, {} strangers", flood.made.load(Ordering::Relaxed));
        assert!(longest < Duration::from_secs(4), "a join took {longest:?}");
        drop(flood);
        drop(low);
    });
}
