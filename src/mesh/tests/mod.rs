//! The mesh driven by scripts instead of an engine, over loopback.

mod ciphers;
mod hostile;
mod links;
mod lookups;
mod refused;
mod strangers;
#[cfg(feature = "tls")]
mod strangers_tls;
#[cfg(feature = "tls")]
mod tls;

use super::{Core, Mesh, Order, Settings};
use crate::engine::{Connectivity, Ending, Identity, Message, Refusal, Stamped};
use crate::flow::{DataHeader, EncodeData};
use crate::model::{ConnectionId, NodeId, Status};
use crate::sync::RwLock;
use crate::wire::{
    self, Channel, DataEncoder, Frame, FrameReader, Handshake, Keyring, Opening, Protection, Secret, Setup,
    Step, WireError,
};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What happened to a core.
#[derive(Clone, PartialEq, Debug)]
enum Seen {
    Connection { connection: ConnectionId, peer: NodeId, dialled: Option<String> },
    Go(ConnectionId),
    Refused(ConnectionId, Refusal),
    End(ConnectionId, Ending, String),
    LookedUp(String, Vec<String>),
    DialFailed { address: String, status: Status, detail: String },
    NobodyListens(String),
    Message(ConnectionId, Message),
    Data(ConnectionId, DataHeader, usize),
    Part(ConnectionId),
    Log(Status, String),
}

/// A queue of blocks instead of an outbox.
type Blocks = Rc<RefCell<VecDeque<Vec<u8>>>>;

/// Does what the lower of two nodes has to, notes what happens, and orders what the test wants.
struct Script {
    node: NodeId,
    seen: Vec<Seen>,
    orders: VecDeque<Order<Blocks>>,
    /// Instead of a link.
    refuse: Option<Refusal>,
    /// Said so often as soon as there is a link.
    greeting: Option<(Stamped, usize)>,
    blocks_written: usize,
    /// What is received is not noted one by one.
    quiet: bool,
    panic_on_message: bool,
    /// For so long each message keeps the thread busy.
    message_takes: Duration,
    waker: Option<Waker>,
}

impl Script {
    fn new(node: u64) -> Self {
        Self {
            node: NodeId(node),
            seen: Vec::new(),
            orders: VecDeque::new(),
            refuse: None,
            greeting: None,
            blocks_written: 0,
            quiet: false,
            panic_on_message: false,
            message_takes: Duration::ZERO,
            waker: None,
        }
    }

    fn see(&mut self, seen: Seen) {
        self.seen.push(seen);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Core for Script {
    type Outbox = Blocks;

    fn needs_driver(&self) -> bool {
        false
    }
    fn begin(&mut self) {}
    fn identity(&self) -> Identity {
        identity(self.node.0)
    }
    fn handle_connection(&mut self, connection: ConnectionId, peer: Identity, dialled: Option<String>) {
        if let Some(why) = self.refuse {
            self.orders.push_back(Order::Refuse { connection, why });
        } else if self.node < peer.node {
            self.orders.push_back(Order::Open { connection });
            if let Some((message, times)) = &self.greeting {
                let order = || Order::Send { to: vec![connection], message: message.clone() };
                self.orders.extend(std::iter::repeat_with(order).take(*times));
            }
        }
        self.see(Seen::Connection { connection, peer: peer.node, dialled });
    }
    fn handle_go(&mut self, connection: ConnectionId) {
        self.see(Seen::Go(connection));
    }
    fn handle_refused(&mut self, connection: ConnectionId, why: Refusal) {
        self.see(Seen::Refused(connection, why));
    }
    fn handle_connection_end(&mut self, connection: ConnectionId, ending: Ending, detail: &str) {
        self.see(Seen::End(connection, ending, detail.to_owned()));
    }
    fn handle_looked_up(&mut self, name: &str, addresses: Vec<String>) {
        self.see(Seen::LookedUp(name.to_owned(), addresses));
    }
    fn handle_dial_failed(&mut self, address: &str, status: Status, detail: &str) {
        self.see(Seen::DialFailed { address: address.to_owned(), status, detail: detail.to_owned() });
    }
    fn handle_dial_refused(&mut self, address: &str, detail: &str) {
        self.see(Seen::NobodyListens(address.to_owned()));
        self.handle_dial_failed(address, Status::Unreachable, detail);
    }
    fn handle_message(&mut self, connection: ConnectionId, message: Stamped) {
        assert!(!self.panic_on_message, "a panic on purpose");
        std::thread::sleep(self.message_takes);
        self.see(Seen::Message(connection, message.message));
    }
    fn handle_data(&mut self, connection: ConnectionId, header: DataHeader, body: &[u8]) {
        if !self.quiet {
            self.see(Seen::Data(connection, header, body.len()));
        }
    }
    fn handle_part(&mut self, connection: ConnectionId) {
        if !self.quiet {
            self.see(Seen::Part(connection));
        }
    }
    fn poll_order(&mut self) -> Option<Order<Blocks>> {
        self.orders.pop_front()
    }
    fn settle(&mut self) {}
    fn next_block(&mut self, outbox: &Blocks, _fragment: usize) -> Option<Vec<u8>> {
        outbox.borrow_mut().pop_front()
    }
    fn written(&mut self, _outbox: &Blocks, _block: Vec<u8>) {
        self.blocks_written += 1;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
    fn log(&mut self, status: Status, text: String) {
        self.see(Seen::Log(status, text));
    }
}

fn identity(node: u64) -> Identity {
    Identity {
        node: NodeId(node),
        name: format!("node{node}"),
        address: String::new(),
        connectivity: Connectivity::default(),
        groups: 0,
        uptime_ms: 1,
        message_limit: 1 << 20,
    }
}

const OPENING: Opening = Opening([7; 32]);

/// Runs a test on a runtime like the node's, and fails it if it hangs.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let limited = async { tokio::time::timeout(Duration::from_secs(30), test).await };
    assert!(local.block_on(&runtime, limited).is_ok(), "the test hangs");
    drop(local);
    runtime.shutdown_background();
}

/// Plain, unless this environment variable holds a secret: everything here is to work both ways.
fn protection() -> Protection {
    match std::env::var("CONVOKE_TEST_SECRET") {
        Ok(text) => secret("test", &[Secret::from_text(&text).unwrap()]),
        Err(_) => Protection::Plain,
    }
}

fn secret(cluster: &str, secrets: &[Secret]) -> Protection {
    Protection::Secret(Arc::new(Keyring::new(cluster, secrets).unwrap()))
}

/// What a peer of the test's brings along.
fn setup(node: u64) -> Setup {
    Setup {
        versions: wire::VERSIONS,
        cluster: "test".to_owned(),
        node: NodeId(node),
        name: identity(node).name,
        protection: protection(),
        nonce: [5; 16],
    }
}

fn settings(node: u64) -> Settings {
    Settings {
        protection: Arc::new(RwLock::new(protection())),
        handshake: Duration::from_millis(300),
        farewell: Duration::from_millis(300),
        is_proven: |_, _| true,
        ..Settings::new(NodeId(node), "test")
    }
}

/// A mesh that listens, and where.
async fn start(settings: Settings) -> (Mesh<Script>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mesh = Mesh::new(settings.clone(), Script::new(settings.node.0));
    mesh.listen(listener);
    (mesh, address)
}

impl Mesh<Script> {
    fn order(&self, order: Order<Blocks>) {
        self.with_core(|core| core.orders.push_back(order));
        self.turn();
    }

    fn say(&self, connection: ConnectionId, number: u64) {
        let message = Stamped { clock: 1, message: Message::Ping { number } };
        self.order(Order::Send { to: vec![connection], message });
    }

    /// Waits until `find` finds something in what the core has seen.
    async fn wait<R>(&self, mut find: impl FnMut(&Script) -> Option<R>) -> R {
        std::future::poll_fn(|cx| {
            self.with_core(|core| match find(core) {
                Some(found) => Poll::Ready(found),
                None => {
                    core.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            })
        })
        .await
    }

    async fn wait_seen<R>(&self, mut find: impl FnMut(&Seen) -> Option<R>) -> R {
        self.wait(|core| core.seen.iter().find_map(&mut find)).await
    }

    /// The first connection whose peer is known.
    async fn connection(&self) -> ConnectionId {
        self.wait_seen(|seen| match seen {
            Seen::Connection { connection, .. } => Some(*connection),
            _ => None,
        })
        .await
    }

    async fn numbers(&self, count: usize) -> Vec<u64> {
        self.wait(|core| {
            let numbers: Vec<u64> = core
                .seen
                .iter()
                .filter_map(|seen| match seen {
                    Seen::Message(_, Message::Ping { number }) => Some(*number),
                    _ => None,
                })
                .collect();
            (numbers.len() >= count).then_some(numbers)
        })
        .await
    }

    async fn empty(&self) {
        std::future::poll_fn(|cx| {
            self.watch(cx.waker());
            if self.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Two linked meshes: the lower node listens, the higher one has dialled.
async fn pair() -> (Mesh<Script>, ConnectionId, Mesh<Script>, ConnectionId) {
    let (low, address) = start(settings(1)).await;
    let (high, _) = start(settings(2)).await;
    high.order(Order::Dial { address });
    let there = high.wait_seen(|seen| if let Seen::Go(id) = seen { Some(*id) } else { None }).await;
    let here = low.connection().await;
    (low, here, high, there)
}

/// A peer whose every byte is the test's.
struct Peer {
    stream: TcpStream,
    channel: Channel,
    frames: FrameReader,
}

impl Peer {
    /// A peer that has said nothing yet.
    async fn connect(address: &str) -> Self {
        Self::connect_as(address, setup(0)).await
    }

    async fn connect_as(address: &str, setup: Setup) -> Self {
        let address: SocketAddr = address.parse().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        Self { stream, channel: Channel::dial(setup), frames: FrameReader::new() }
    }

    /// A peer whose channel is open, and who has not said who it is.
    async fn open(address: &str, node: u64) -> Self {
        let mut peer = Self::connect_as(address, setup(node)).await;
        peer.knock().await.unwrap();
        peer
    }

    /// Opens the channel. `Err`: why not; then the connection is over.
    async fn knock(&mut self) -> Result<(), WireError> {
        loop {
            let mut words = Vec::new();
            self.channel.take_handshake_bytes(&mut words);
            self.stream.write_all(&words).await.unwrap();
            match self.step()? {
                Step::Open => return Ok(()),
                Step::Wait => {
                    let n = self.stream.read(self.channel.space(&mut self.frames)).await.unwrap_or(0);
                    assert!(n > 0, "the connection ended without a word");
                    self.channel.filled(n, &mut self.frames);
                }
                Step::Words | Step::Data | Step::Work => {}
            }
        }
    }

    fn step(&mut self) -> Result<Step, WireError> {
        match self.channel.step(&mut self.frames)? {
            Step::Work => {
                let worked = self.channel.work().map(|work| work.run());
                self.channel.worked(worked).map(|step| if step == Step::Wait { Step::Words } else { step })
            }
            step => Ok(step),
        }
    }

    /// A peer that is linked to `mesh`, which is the lower node and so has said Go.
    async fn link(address: &str, node: u64) -> Self {
        let mut peer = Self::open(address, node).await;
        peer.introduce(node).await;
        assert!(matches!(peer.handshake().await, Some(Handshake::Identity { .. })));
        assert_eq!(peer.handshake().await, Some(Handshake::Go));
        peer.frames.link();
        peer
    }

    async fn introduce(&mut self, node: u64) {
        let mut bytes = Vec::new();
        wire::encode_handshake(&Handshake::identity("test", identity(node), OPENING), &mut bytes);
        self.write(&bytes).await;
    }

    /// Frames, or what stands in their place.
    async fn write(&mut self, bytes: &[u8]) {
        let mut sealed = Vec::new();
        self.channel.seal(bytes, &mut sealed).unwrap();
        self.stream.write_all(&sealed).await.unwrap();
    }

    async fn say(&mut self, number: u64) {
        let mut bytes = Vec::new();
        let message = Stamped { clock: 1, message: Message::Ping { number } };
        wire::encode_control(&message, &mut bytes).unwrap();
        self.write(&bytes).await;
    }

    /// Hands the next frame to `f`; `None` at the end of the stream.
    async fn next<R>(&mut self, f: impl FnOnce(Frame<'_>) -> R) -> Option<R> {
        let mut f = Some(f);
        loop {
            if let Some(frame) = self.frames.next_frame().unwrap() {
                return f.take().map(|f| f(frame));
            }
            match self.step() {
                Ok(Step::Wait) => {}
                Ok(_) => continue,
                Err(_) => return None,
            }
            match self.stream.read(self.channel.space(&mut self.frames)).await {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.channel.filled(n, &mut self.frames),
            }
        }
    }

    async fn handshake(&mut self) -> Option<Handshake> {
        self.next(|frame| match frame {
            Frame::Handshake(handshake) => handshake,
            other => panic!("{other:?}"),
        })
        .await
    }

    async fn is_ended(&mut self) -> bool {
        self.next(|_| ()).await.is_none()
    }
}

fn data_block(size: usize) -> Vec<u8> {
    let mut block = Vec::new();
    DataEncoder::encode(&DataHeader::Message { from: 1, to: 2 }, &vec![7; size], &mut block);
    block
}
