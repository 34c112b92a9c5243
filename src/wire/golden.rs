//! The bytes of every message, header and handshake frame, as they have always been. A change here is a change of the
//! protocol: new variants go to the end, old ones stay as they are, anything else needs a new protocol version. A variant
//! without golden bytes fails these tests.

use super::codec;
use super::frame::{DataEncoder, Frame, FrameReader, HEADER, encode_control, encode_handshake};
use super::handshake::{Handshake, Opening, VERSIONS};
use crate::engine::*;
use crate::flow::{Credit, DataHeader, EncodeData};
use std::collections::BTreeSet;

pub(super) fn reg(node: u64, seq: u64) -> Reg {
    Reg { node: NodeId(node), seq }
}

pub(super) fn tx() -> Tx {
    Tx { lamport: 300, node: NodeId(7) }
}

pub(super) fn name() -> Name {
    Name::new(b"db")
}

pub(super) fn key() -> Key {
    Key::Name(name())
}

pub(super) fn pair() -> Pair {
    Pair { low: reg(1, 2), high: reg(3, 4) }
}

pub(super) fn binding() -> Binding {
    Binding {
        reg: reg(0x0102_0304_0506_0708, 5),
        serial: 9,
        resolver: Resolver::RandomExit,
        supersedes: BTreeSet::from([reg(1, 1), reg(2, 2)]),
        settled: true,
    }
}

fn function_binding() -> Binding {
    Binding { resolver: Resolver::from_name("mine"), ..binding() }
}

pub(super) fn pid() -> Pid {
    Pid { node: NodeId(3), serial: 8 }
}

pub(super) fn dot(node: u64, number: u64) -> Dot {
    Dot { node: NodeId(node), number }
}

pub(super) fn hold() -> Hold {
    Hold {
        resource: name(),
        requester: Name::new(b"r"),
        serial: 6,
        view: true,
        nodes: BTreeSet::from([NodeId(1), NodeId(2)]),
        token: 1 << 60,
        watched: false,
    }
}

pub(super) fn membership() -> Membership {
    Membership { group: name(), serial: 6, count: 2, dots: BTreeSet::from([dot(1, 2)]), why: Reason::NORMAL }
}

fn identity() -> Identity {
    Identity {
        node: NodeId(u64::MAX),
        name: "ann".into(),
        address: "127.0.0.1:4370".into(),
        connectivity: Connectivity { links: 3, unsure: 1 },
        groups: 1 << 40,
        uptime_ms: 65536,
        message_limit: 16 << 20,
    }
}

/// Every message at least once, in the order of the enum.
pub(super) fn messages() -> Vec<Message> {
    use Message as M;
    vec![
        M::Hello {
            facts: vec![
                Fact::Binding(name(), binding()),
                Fact::Beneath(reg(1, 1)),
                Fact::Peers([NodeId(2), NodeId(300)].into()),
                Fact::Hold(hold()),
                Fact::Membership(membership()),
            ],
            last: true,
        },
        M::HelloAck,
        M::Heartbeat,
        M::Ping { number: 250 },
        M::Pong { number: 251 },
        M::Goodbye { why: Goodbye::Closing },
        M::Goodbye { why: Goodbye::Silent },
        M::Goodbye { why: Goodbye::Disconnected },
        M::Goodbye { why: Goodbye::Violation },
        M::Goodbye { why: Goodbye::Stale },
        M::Goodbye { why: Goodbye::Slow },
        M::Goodbye { why: Goodbye::TooMuch },
        M::Probe { about: [NodeId(1), NodeId(300)].into() },
        M::ProbeAnswer { silent: [NodeId(1)].into() },
        M::Acquire { tx: tx(), key: key(), want: Want::Name { replace: true }, no_wait: false },
        M::Acquire {
            tx: tx(),
            key: Key::Lock(name()),
            want: Want::Lock { requester: Name::new(b"r"), serial: 6 },
            no_wait: true,
        },
        M::Grant { tx: tx(), key: key(), epoch: 1 << 61, regs: vec![reg(1, 2)] },
        M::Deny { tx: tx() },
        M::Busy { tx: tx(), reg: reg(1, 2) },
        M::Wound { tx: tx(), key: key() },
        M::Yield { tx: tx(), key: key() },
        M::Release { tx: tx(), key: key() },
        M::NoWait { tx: tx(), key: key() },
        M::SharePublished { tx: tx(), hold: hold() },
        M::ShareReleased { resource: name(), requester: Name::new(b"r"), serial: 6, rest: None, ack: None },
        M::ShareReleased {
            resource: name(),
            requester: Name::new(b"r"),
            serial: 6,
            rest: Some(hold()),
            ack: Some(tx()),
        },
        M::LockConflict { resource: name(), requester: Name::new(b"r"), serial: 6, token: 9, ends: true },
        M::Wanted { tx: tx(), resource: name(), requester: Name::new(b"r"), serial: 6, waiter: pid() },
        M::Commit { tx: tx(), name: name(), binding: binding() },
        M::Commit { tx: tx(), name: name(), binding: function_binding() },
        M::Ack { tx: tx() },
        M::Settled { name: name(), reg: reg(1, 2), to: NodeId(5), supersedes: BTreeSet::from([reg(5, 6)]) },
        M::Unregistered { name: name(), reg: reg(1, 2), beneath: None, ack: None },
        M::Unregistered { name: name(), reg: reg(1, 2), beneath: Some(binding()), ack: Some(tx()) },
        M::Membership { membership: membership(), ack: Some(tx()) },
        M::Create { group: name(), dot: dot(1, 2), generation: 0, ack: Some(tx()) },
        M::Delete { group: name(), dots: BTreeSet::from([dot(1, 2), dot(2, 1)]), ack: Some(tx()) },
        M::GroupDigest { digest: 0x0102_0304_0506_0708 },
        M::GroupState { parts: vec![Existence::Beyond(dot(1, 11))], last: true, answer: false },
        M::Engage { name: name(), pair: pair(), round: 7 },
        M::Engaged { name: name(), pair: pair(), round: 7, age_ms: 90_000 },
        M::ClashEnded { name: name(), pair: pair() },
        M::Verdict { name: name(), pair: pair(), treatment: Treatment::Kill { by: Some(pid()) } },
        M::Verdict { name: name(), pair: pair(), treatment: Treatment::Notify { other: None } },
        M::Verdict { name: name(), pair: pair(), treatment: Treatment::Silent },
        M::ClashSeen { name: name(), pair: pair(), high: Pid { node: NodeId(3), serial: 4 } },
        M::Relayed {
            to: NodeId(1),
            from: NodeId(2),
            clash: ClashMessage::Engage { name: name(), pair: pair(), round: 7 },
        },
        M::Relayed {
            to: NodeId(1),
            from: NodeId(2),
            clash: ClashMessage::Engaged { name: name(), pair: pair(), round: 7, age_ms: 1 },
        },
        M::Relayed {
            to: NodeId(1),
            from: NodeId(2),
            clash: ClashMessage::ClashEnded { name: name(), pair: pair() },
        },
        M::Relayed {
            to: NodeId(1),
            from: NodeId(2),
            clash: ClashMessage::Verdict {
                name: name(),
                pair: pair(),
                treatment: Treatment::Notify { other: Some(pid()) },
            },
        },
        M::Forward {
            id: tx(),
            task: Task::Register {
                name: name(),
                serial: 1,
                resolver: Resolver::RandomExit,
                replace: false,
                no_wait: true,
            },
            remaining_ms: Some(5000),
        },
        M::Forward { id: tx(), task: Task::Unregister { name: name(), reg: reg(1, 2) }, remaining_ms: None },
        M::Forward {
            id: tx(),
            task: Task::Join { group: name(), serial: 6, dots: BTreeSet::from([dot(1, 2)]) },
            remaining_ms: None,
        },
        M::Forward { id: tx(), task: Task::Leave { group: name(), serial: 6 }, remaining_ms: None },
        M::Forward { id: tx(), task: Task::IsAlive { serial: 70_000 }, remaining_ms: None },
        M::Answer { id: tx(), status: Status::Exists, value: 1 << 40 },
        M::Cancel { id: tx() },
        M::Monitor { watcher: 1, reference: 2, target: 3 },
        M::Demonitor { watcher: 1, reference: 2, target: 3 },
        M::Credit { to: 4, credit: Credit { messages: 64, bytes: 98304, taken: 5 } },
        M::NoReceiver { to: 4 },
        M::Where { nodes: [NodeId(2), NodeId(300)].into() },
        M::Peers {
            peers: vec![PeerAddress { node: NodeId(2), name: "bob".into(), address: "h:1".into() }],
            last: true,
        },
        M::ConfirmHold { question: 5, resource: name(), requester: Name::new(b"r"), serial: 6, token: 9 },
        M::HoldConfirmed {
            question: 5,
            resource: name(),
            requester: Name::new(b"r"),
            serial: 6,
            standing: Some(Standing::Minority),
        },
        M::HoldConfirmed {
            question: 5,
            resource: name(),
            requester: Name::new(b"r"),
            serial: 6,
            standing: None,
        },
        M::Retract { group: name(), dots: BTreeSet::from([dot(1, 2), dot(2, 1)]), ack: None },
        M::Retract { group: name(), dots: BTreeSet::new(), ack: Some(tx()) },
        M::Vouch { node: NodeId(300) },
        M::Vouched { node: NodeId(300) },
        M::Queued { tx: tx() },
        M::Challenge {
            number: 251,
            claimant: PeerAddress { node: NodeId(2), name: "bob".into(), address: "h:1".into() },
        },
    ]
}

pub(super) fn headers() -> Vec<DataHeader> {
    use DataHeader as H;
    vec![
        H::Message { from: 1, to: 2 },
        H::First { from: 1, to: 2, total: 1 << 24 },
        H::More { from: 1, to: 2 },
        H::Request { to: 2, bytes: 70_000 },
        H::Exit { from: 1, to: 2, reference: 3, reason: 0x10000 },
        H::Kill { from: 1, to: 2, reason: 3 },
        H::Wait { to: 2, want: Credit { messages: 1, bytes: 300, taken: 300 } },
    ]
}

pub(super) fn handshakes() -> Vec<Handshake> {
    let refusals = [
        Refusal::Linked,
        Refusal::Myself,
        Refusal::NameInDoubt,
        Refusal::NameTaken,
        Refusal::TooManyPeers,
        Refusal::Closing,
        Refusal::Cluster,
        Refusal::Version,
        Refusal::Disconnected,
        Refusal::Slow,
        Refusal::TooMuch,
        Refusal::Violation,
    ];
    let mut all = vec![Handshake::identity("blue", identity(), Opening([7; 32])), Handshake::Go];
    all.extend(refusals.map(Handshake::Refuse));
    all
}

pub(super) fn frame_of(message: Message) -> Vec<u8> {
    let mut out = Vec::new();
    encode_control(&Stamped { clock: 300, message }, &mut out).unwrap();
    out
}

pub(super) fn frame_of_data(header: &DataHeader, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    DataEncoder::encode(header, body, &mut out);
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// All lines are compared before the test fails. With CONVOKE_BLESS in the environment they are written instead: that is a new
/// version of the protocol, once there has been a release.
pub(super) fn compare(frames: Vec<(String, Vec<u8>)>, file: &str, golden: &str) {
    let now: String = frames.iter().map(|(what, bytes)| format!("{} {what}\n", hex(bytes))).collect();
    let golden: String = golden.lines().map(|l| format!("{}\n", l.trim())).collect();
    if now != golden {
        if std::env::var_os("CONVOKE_BLESS").is_some() {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wire").join(file);
            return std::fs::write(path, now).unwrap();
        }
        panic!("the bytes are now:\n{now}");
    }
}

fn read_one(reader: &mut FrameReader, bytes: &[u8]) {
    reader.space()[..bytes.len()].copy_from_slice(bytes);
    reader.filled(bytes.len());
}

/// The word that Debug prints first.
pub(super) fn variant(debug: impl std::fmt::Debug) -> String {
    format!("{debug:?}").split([' ', '(']).next().unwrap_or_default().to_owned()
}

/// docs/protocol.md says of every message who sends it and what it means.
#[test]
fn every_message_is_documented() {
    let text = include_str!("../../docs/protocol.md");
    let all = messages().into_iter().map(variant).chain(headers().into_iter().map(variant));
    for name in all {
        assert!(text.contains(&format!("**`{name}`**")) || text.contains(&format!("| `{name}`")), "{name}");
    }
}

#[test]
fn control_messages() {
    let mut frames = Vec::new();
    let mut seen = BTreeSet::new();
    let mut reader = FrameReader::new();
    reader.link();
    for message in messages() {
        let bytes = frame_of(message.clone());
        // The frame's header and the clock (300 takes three bytes) go before the number.
        seen.insert(bytes[HEADER + 3]);
        read_one(&mut reader, &bytes);
        assert_eq!(
            reader.next_frame(),
            Ok(Some(Frame::Control(Stamped { clock: 300, message: message.clone() })))
        );
        assert_eq!(reader.next_frame(), Ok(None));
        frames.push((variant(message), bytes));
    }
    assert!(
        seen.iter().copied().eq(0..codec::variants::<Message>()),
        "a message has no golden bytes: {seen:?}"
    );
    compare(frames, "golden_control.txt", include_str!("golden_control.txt"));
}

#[test]
fn data_headers() {
    let mut frames = Vec::new();
    let mut seen = BTreeSet::new();
    let mut reader = FrameReader::new();
    reader.link();
    for header in headers() {
        let bytes = frame_of_data(&header, b"pay");
        seen.insert(bytes[HEADER]);
        read_one(&mut reader, &bytes);
        assert_eq!(reader.next_frame(), Ok(Some(Frame::Data(header, b"pay"))));
        frames.push((variant(header), bytes));
    }
    assert!(
        seen.iter().copied().eq(0..codec::variants::<DataHeader>()),
        "a header has no golden bytes: {seen:?}"
    );
    compare(frames, "golden_data.txt", include_str!("golden_data.txt"));
}

#[test]
fn handshake_frames() {
    assert_eq!(VERSIONS, (2, 2));
    let mut frames = Vec::new();
    let mut seen = (BTreeSet::new(), BTreeSet::new());
    for handshake in handshakes() {
        let mut bytes = Vec::new();
        encode_handshake(&handshake, &mut bytes);
        seen.0.insert(bytes[HEADER]);
        if let Handshake::Refuse(_) = handshake {
            seen.1.insert(bytes[HEADER + 1]);
        }
        let mut reader = FrameReader::new();
        read_one(&mut reader, &bytes);
        assert_eq!(reader.next_frame(), Ok(Some(Frame::Handshake(handshake.clone()))));
        let what = match &handshake {
            Handshake::Identity { .. } => "Identity".to_owned(),
            Handshake::Go => "Go".to_owned(),
            Handshake::Refuse(why) => format!("Refuse {why:?}"),
        };
        frames.push((what, bytes));
    }
    assert!(seen.0.iter().copied().eq(0..codec::variants::<Handshake>()), "{seen:?}");
    assert!(seen.1.iter().copied().eq(0..codec::variants::<Refusal>()), "{seen:?}");
    compare(frames, "golden_handshake.txt", include_str!("golden_handshake.txt"));
}
