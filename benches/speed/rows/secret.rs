//! What a secret costs: messages, round trips and registers on encrypted links beside the same on plain ones. And what
//! strangers cost who knock at the door of an honest pair.

use super::{Bench, Row};
use crate::cluster::{Cluster, Pairs, Peer};
use crate::measure::{Samples, median};
use crate::report::{Figure, Mark};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// Of this benchmark only; nodes that are worth something have one that nobody can read.
const SECRET: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f000112233445566778899aabbccddeef1";
/// Rounds with and without, in turn; the medians count.
const ROUNDS: usize = 5;

pub const ENCRYPTED: Row = Row {
    name: "encrypted",
    about: "messages, round trips and registers with the option `secret`; floor: the same without, measured in turn",
    tasks: &[],
    run: encrypted,
    otp_suite: "",
};

pub const STRANGERS: Row = Row {
    name: "strangers",
    about: "an honest encrypted pair while 1000 strangers a second connect to one of its nodes: silent ones, garbage, and \
            preambles with secrets that it does not know; floor: the same without strangers, measured in turn",
    tasks: &[],
    run: strangers,
    otp_suite: "",
};

/// Messages a second of this size from the first node to the second.
fn rate(cluster: &mut Cluster, size: u32) -> Result<f64, String> {
    let (from, to) = super::send::two(cluster)?;
    let target = to.call("mailbox", &Pairs::new(), PATIENCE)?;
    to.begin("drain", &Pairs::new())?;
    let sent = from.call("flood", &target.with("ms", 1000).with("size", size), PATIENCE)?;
    let got = to.finish(PATIENCE)?;
    let count = got.number("count")?;
    if count != sent.number("count")? {
        return Err(format!("{} sent, {count} received", sent.number("count")?));
    }
    Ok(count * 1e9 / got.number("ns")?)
}

/// The middle of 32 bytes there and back, in us.
fn round_trip(cluster: &mut Cluster) -> Result<f64, String> {
    let (from, to) = super::send::two(cluster)?;
    let target = to.call("mailbox", &Pairs::new(), PATIENCE)?;
    to.begin("echo", &Pairs::new())?;
    let got = from.call("ping", &target.with("ms", 600).with("size", 32), PATIENCE)?;
    to.finish(PATIENCE)?;
    Ok(Samples::new(got.list("ns")?).spread().p50)
}

/// The middle of registers, one at a time, in us.
fn register(node: &mut Peer) -> Result<f64, String> {
    let got = node.call("register_one", &Pairs::new().with("ms", 600).with("tag", "sec"), PATIENCE)?;
    Ok(Samples::new(got.list("register")?).spread().p50)
}

/// The medians of the one and the other, measured in turn.
fn in_turn(
    mut one: impl FnMut() -> Result<f64, String>,
    mut other: impl FnMut() -> Result<f64, String>,
) -> Result<(f64, f64), String> {
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        others.push(other()?);
        ones.push(one()?);
    }
    Ok((median(ones), median(others)))
}

fn encrypted(_: &mut Bench) -> Result<Vec<Figure>, String> {
    let mut plain = Cluster::start(3)?;
    let mut sealed = Cluster::with_secret("s", 3, SECRET)?;
    let mut figures = Vec::new();
    for (size, shown) in [(32, "32 B"), (1024, "1 KiB"), (64 << 10, "64 KiB")] {
        let (value, floor) = in_turn(|| rate(&mut sealed, size), || rate(&mut plain, size))?;
        figures.push(
            Figure::new(format!("send {shown} encrypted"), value, "msg/s")
                .floor("plain", floor)
                .raw("megabytes_per_s", value * f64::from(size) / 1e6),
        );
    }
    let (value, floor) = in_turn(|| round_trip(&mut sealed), || round_trip(&mut plain))?;
    figures.push(Figure::new("round trip encrypted, p50", value, "us").floor("plain", floor));
    let (value, floor) = in_turn(|| register(&mut sealed.nodes[0]), || register(&mut plain.nodes[0]))?;
    figures.push(Figure::new("register encrypted, p50", value, "us").floor("plain", floor));
    Ok(figures)
}

/// Strangers that come and go, each once a second, until it is dropped.
struct Crowd {
    stop: Arc<AtomicBool>,
    came: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    fn come(address: SocketAddr) -> Self {
        let (stop, came) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (until, count) = (stop.clone(), came.clone());
        let thread = std::thread::spawn(move || {
            let began = Instant::now();
            let mut inside: Vec<Option<TcpStream>> = (0..STRANGERS_A_SECOND).map(|_| None).collect();
            for turn in 0u32.. {
                if until.load(Ordering::Relaxed) {
                    break;
                }
                let due = began + Duration::from_secs(1) / STRANGERS_A_SECOND * turn;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let place = &mut inside[(turn % STRANGERS_A_SECOND) as usize];
                *place = None;
                if let Ok(mut stranger) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
                    // Whether anybody listens is not a stranger's concern.
                    let _ = stranger.write_all(&words(turn));
                    *place = Some(stranger);
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self { stop, came, thread: Some(thread) }
    }
}

const STRANGERS_A_SECOND: u32 = 1000;

/// What a stranger says.
fn words(turn: u32) -> Vec<u8> {
    let preamble = |mode: u8, hints: u8| {
        let mut words = b"CONVOKE\0\x01\0\x01\0".to_vec();
        words.extend([40 + 8 * hints, hints, mode, 0]);
        words.extend((0..24 + 8 * u32::from(hints)).map(|at| (at * 7 + turn) as u8));
        words
    };
    match turn % 4 {
        0 => Vec::new(),
        1 => b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        2 => preamble(1, 8),
        _ => preamble(0, 0),
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn strangers(_: &mut Bench) -> Result<Vec<Figure>, String> {
    let mut pair = Cluster::with_secret("s", 2, SECRET)?;
    let address: SocketAddr = pair.nodes[0].address.parse().map_err(|e| format!("{e}"))?;
    let (mut rates, mut calm_rates, mut trips, mut calm_trips) = (vec![], vec![], vec![], vec![]);
    let mut came = 0;
    for _ in 0..ROUNDS {
        calm_rates.push(rate(&mut pair, 1024)?);
        calm_trips.push(round_trip(&mut pair)?);
        let crowd = Crowd::come(address);
        rates.push(rate(&mut pair, 1024)?);
        trips.push(round_trip(&mut pair)?);
        came += crowd.came.load(Ordering::Relaxed);
    }
    Ok(vec![
        Figure::new("send 1 KiB among strangers", median(rates), "msg/s")
            .floor("without them", median(calm_rates))
            .goal(Mark::AtLeastTimes(0.75))
            .raw("strangers", came as f64),
        Figure::new("round trip among strangers, p50", median(trips), "us")
            .floor("without them", median(calm_trips))
            .goal(Mark::Times(1.25)),
    ])
}
