//! A peer whose every byte is the test's: it shakes hands as a node does, and then does what no node would.

use crate::agent::cluster;
use convoke::engine::{Connectivity, Identity, Message, Stamped};
use convoke::model::NodeId;
use convoke::wire::{self, Channel, Frame, FrameReader, Handshake, Opening, Protection, Setup, Step};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// An incarnation that is most likely higher than that of a node, which therefore says Go.
fn incarnation(name: &str) -> (NodeId, Opening) {
    let mut all = (0_u64..).map(|number| {
        let mut opening = Opening([0; 32]);
        opening.0[..8].copy_from_slice(&number.to_le_bytes());
        (opening.incarnation(name), opening)
    });
    all.find(|(node, _)| node.0.leading_ones() >= 16).expect("there are many")
}

fn identity(name: &str, node: NodeId) -> Identity {
    Identity {
        node,
        name: name.to_owned(),
        address: "127.0.0.1:1".to_owned(),
        connectivity: Connectivity::default(),
        groups: 0,
        uptime_ms: 1,
        message_limit: 1 << 20,
    }
}

fn channel(name: &str, node: NodeId) -> Channel {
    Channel::dial(Setup {
        versions: wire::VERSIONS,
        cluster: cluster(),
        node,
        name: name.to_owned(),
        protection: Protection::Plain,
        nonce: [5; 16],
    })
}

/// What a node says first.
pub fn greeting(name: &str, node: u64) -> Vec<u8> {
    let mut words = Vec::new();
    channel(name, NodeId(node)).take_handshake_bytes(&mut words);
    words
}

/// What an idle link carries.
pub fn heartbeat() -> Vec<u8> {
    control(Message::Heartbeat)
}

fn control(message: Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::encode_control(&Stamped { clock: 1, message }, &mut bytes).expect("a small frame");
    bytes
}

pub struct Peer {
    stream: TcpStream,
    channel: Channel,
    frames: FrameReader,
    node: NodeId,
}

impl Peer {
    /// Shakes hands, as the higher of the two nodes, and reads nothing after that. Little fits into its buffers.
    pub fn link(address: SocketAddr, name: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the node accepts");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
        take_little(&stream).expect("a socket");
        let (node, opening) = incarnation(name);
        let mut peer = Self { stream, channel: channel(name, node), frames: FrameReader::new(), node };
        while !peer.channel.is_open() {
            peer.step();
        }
        let mut greeting = Vec::new();
        wire::encode_handshake(
            &Handshake::identity(&cluster(), identity(name, node), opening),
            &mut greeting,
        );
        peer.say(&greeting);
        while peer.handshake() != Handshake::Go {}
        peer
    }

    /// Says what the channel has to say and reads what there is.
    fn step(&mut self) {
        let mut words = Vec::new();
        self.channel.take_handshake_bytes(&mut words);
        self.stream.write_all(&words).expect("the node reads");
        if self.channel.step(&mut self.frames).expect("an honest node") == Step::Wait {
            let space = self.channel.space(&mut self.frames);
            let n = self.stream.read(space).expect("the node answers");
            assert!(n > 0, "the node ends the handshake");
            self.channel.filled(n, &mut self.frames);
        }
    }

    fn handshake(&mut self) -> Handshake {
        loop {
            match self.frames.next_frame().expect("an honest node") {
                Some(Frame::Handshake(handshake)) => return handshake,
                Some(other) => panic!("not yet: {other:?}"),
                None => self.step(),
            }
        }
    }

    /// The pid of a process that it might have.
    pub fn pid(&self, serial: u64) -> String {
        format!("{:016x}.{serial}", self.node.0)
    }

    pub fn say(&mut self, bytes: &[u8]) {
        let _ = self.try_say(bytes); // the node may have ended the link meanwhile
    }

    pub fn try_say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }
}

fn take_little(stream: &TcpStream) -> io::Result<()> {
    let size: libc::c_int = 4096;
    // SAFETY: the descriptor is open, and the option is a live int of the size that is told.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUF,
            (&raw const size).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
