//! Resolver functions on real nodes: two that have registered the same names before they meet.

use super::*;
use crate::model::{ClashAnswer, ClashLoser, ClashWinner, MAX_RESOLVER, Pid, Reason};
use crate::node::resolver::{
    CLASH_A, CLASH_B, CLASH_CHOICES, CLASH_KILL_LOSER, CLASH_NEITHER, CLASH_NOTIFY_LOSER,
};
use crate::node::{EventKind, Field, Resolve, answer_of};
use crate::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
const A: ClashAnswer = ClashAnswer::Decided { winner: ClashWinner::A, loser: ClashLoser::Notify };

/// Two nodes that do not know each other, with a process on each that watches the other's node.
fn apart(options: &[(&str, &str)]) -> [(Node, Process); 2] {
    [0, 1].map(|_| {
        let node = Node::open(&options_of(options)).unwrap();
        let process = Process::spawn(&node, None).unwrap();
        (node, process)
    })
}

/// Registers a name on both sides, with a function that both have.
fn register_apart(sides: &[(Node, Process); 2], name: &[u8], resolver: &str) {
    for (_, process) in sides {
        let registered = process.register(name, None, Some(resolver), false, LONG, Completion::Wait);
        assert_eq!(status(registered), Status::Ok);
    }
}

fn add(sides: &[(Node, Process); 2], name: &str, function: impl Fn() -> Resolve) {
    for (node, _) in sides {
        node.add_resolver(name, function()).unwrap();
    }
}

fn meet(sides: &[(Node, Process); 2]) {
    sides[0].1.connect(sides[1].0.address(), LONG, Completion::Wait).unwrap();
}

/// The pids in the order in which a function gets them: the lower incarnation first.
fn in_order(sides: &[(Node, Process); 2]) -> [Pid; 2] {
    let mut pids = [sides[0].1.pid(), sides[1].1.pid()];
    pids.sort();
    pids
}

/// The next loss of a name: which, and the other process.
fn conflict(process: &Process) -> (Vec<u8>, Pid) {
    let event = process.recv(LONG).unwrap();
    assert_eq!((event.kind(), event.reason()), (EventKind::NameConflict, Reason::CONFLICT_LOST));
    (event.name().unwrap().to_vec(), event.peer().unwrap())
}

/// Waits until the node shows this.
fn await_shown(node: &Node, name: &[u8], pid: Option<Pid>) {
    let watcher = Process::spawn(node, None).unwrap();
    watcher.name_monitor(name).unwrap();
    loop {
        let event = watcher.recv(LONG).unwrap();
        if event.peer().filter(|peer| peer.serial != 0) == pid {
            return watcher.free();
        }
    }
}

/// A function that says that it was called, and then waits to be let go: each of its calls for one word.
struct Gate {
    called: Mutex<Sender<String>>,
    go: Mutex<Receiver<()>>,
}

fn gate() -> (Arc<Gate>, Receiver<String>, Sender<()>) {
    let ((called, was_called), (let_go, go)) = (channel(), channel());
    (Arc::new(Gate { called: Mutex::new(called), go: Mutex::new(go) }), was_called, let_go)
}

impl Gate {
    fn function(self: &Arc<Self>, answer: ClashAnswer) -> Resolve {
        let gate = self.clone();
        Box::new(move |event| {
            let name = String::from_utf8_lossy(event.name().unwrap()).into_owned();
            gate.called.lock().unwrap().send(name).unwrap();
            // Whoever holds the other end may be gone.
            let _ = gate.go.lock().unwrap().recv();
            answer
        })
    }
}

#[test]
fn a_function_gets_the_clash_and_decides_it() {
    let sides = apart(&[]);
    let (sender, seen) = channel();
    let sender = Mutex::new(sender);
    let sender = Arc::new(sender);
    add(&sides, "mine", || {
        let sender = sender.clone();
        Box::new(move |event| {
            let thread = std::thread::current().name().map(str::to_owned);
            sender.lock().unwrap().send((event.clone(), thread)).unwrap();
            A
        })
    });
    register_apart(&sides, b"x", "mine");
    meet(&sides);
    let (event, thread) = seen.recv_timeout(SOON).unwrap();
    let [a, b] = in_order(&sides);
    assert_eq!(event.kind(), EventKind::Clash);
    assert_eq!((event.name(), event.process(), event.peer()), (Some(&b"x"[..]), Some(a), Some(b)));
    assert!(event.u64(Field::AgeMs).is_some() && event.u64(Field::OtherAgeMs).is_some());
    assert_eq!(thread.as_deref(), Some("convoke/resolver"));
    for (node, process) in &sides {
        await_shown(node, b"x", Some(a));
        if process.pid() == b {
            assert_eq!(conflict(process), (b"x".to_vec(), a));
        }
    }
    assert!(seen.try_recv().is_err(), "called once");
    for (node, _) in &sides {
        node.close(LONG).unwrap();
    }
}

/// "If the function crashes ... the name is unregistered." Both processes live on and are told.
#[test]
fn a_function_that_panics_unregisters_the_name() {
    let sides = apart(&[]);
    add(&sides, "panics", || Box::new(|_| panic!("on purpose")));
    add(&sides, "decides", || Box::new(|_| A));
    register_apart(&sides, b"x", "panics");
    register_apart(&sides, b"y", "decides");
    meet(&sides);
    let [a, b] = in_order(&sides);
    for (node, process) in &sides {
        let other = if process.pid() == a { b } else { a };
        // The loser of the other name may hear of that first.
        let mut told = conflict(process);
        if told.0 == b"y" {
            told = conflict(process);
        }
        assert_eq!(told, (b"x".to_vec(), other));
        await_shown(node, b"x", None);
        // The others go on.
        await_shown(node, b"y", Some(a));
        assert!(node.is_open());
    }
}

/// "A function that hangs holds up nothing but registrations of that name": the functions of other names are called and decide
/// while it runs, with no deadline near.
#[test]
fn a_function_that_hangs_holds_up_no_other_name() {
    let sides = apart(&[("resolver.timeout_ms", "3600000")]);
    let (gate, called, let_go) = gate();
    add(&sides, "stuck", || gate.function(A));
    add(&sides, "decides", || Box::new(|_| A));
    register_apart(&sides, b"stuck", "stuck");
    let others: Vec<String> = (0..20).map(|i| format!("other {i}")).collect();
    for name in &others {
        register_apart(&sides, name.as_bytes(), "decides");
    }
    meet(&sides);
    let [a, b] = in_order(&sides);
    for (node, process) in &sides {
        for name in &others {
            await_shown(node, name.as_bytes(), Some(a));
        }
        // Each side sees its own until it is decided.
        assert_eq!(node.whereis(b"stuck").unwrap(), process.pid());
    }
    assert_eq!(called.recv_timeout(SOON).unwrap(), "stuck");
    let_go.send(()).unwrap();
    for (node, process) in &sides {
        await_shown(node, b"stuck", Some(a));
        if process.pid() == b {
            let mut lost: Vec<Vec<u8>> = (0..=others.len()).map(|_| conflict(process).0).collect();
            assert_eq!(lost.pop().as_deref(), Some(&b"stuck"[..]));
        }
    }
}

/// Late functions are left behind with their threads; while as many as there are threads do not return, further calls wait, but no
/// other resolver and no other work of the node.
#[test]
fn late_functions_are_left_behind() {
    let sides = apart(&[("resolver.timeout_ms", "20")]);
    let (gate, called, let_go) = gate();
    add(&sides, "stuck", || gate.function(A));
    let names: Vec<String> = (0..6).map(|i| format!("stuck {i}")).collect();
    for name in &names {
        register_apart(&sides, name.as_bytes(), "stuck");
    }
    register_apart(&sides, b"free", "keep-oldest");
    meet(&sides);
    // In some order. Of `free` one side is told too.
    let mut late = Vec::new();
    for (_, process) in &sides {
        let mut lost = Vec::new();
        while lost.len() < 4 {
            let (name, _) = conflict(process);
            if name != b"free" {
                lost.push(String::from_utf8(name).unwrap());
            }
        }
        lost.sort();
        late.push(lost);
    }
    assert_eq!(late[0], late[1], "both are told of the same ones");
    let mut were_called: Vec<String> = (0..4).map(|_| called.recv_timeout(SOON).unwrap()).collect();
    were_called.sort();
    assert_eq!(were_called, late[0]);
    // No thread is left; the others wait, undecided, while everything else goes on.
    let undecided: Vec<&String> = names.iter().filter(|name| !late[0].contains(name)).collect();
    for (node, process) in &sides {
        assert_eq!(register(process, format!("other {}", node.name()).as_bytes()), Status::Ok);
        for name in &undecided {
            assert_eq!(node.whereis(name.as_bytes()).unwrap(), process.pid());
        }
    }
    assert!(called.try_recv().is_err());
    let winner = sides[0].0.whereis(b"free").unwrap();
    await_shown(&sides[1].0, b"free", Some(winner));
    // They return, and their threads take the others.
    for _ in 0..6 {
        let_go.send(()).unwrap();
    }
    let mut rest: Vec<String> = (0..2).map(|_| called.recv_timeout(SOON).unwrap()).collect();
    rest.sort();
    assert_eq!(rest, undecided.into_iter().cloned().collect::<Vec<_>>());
    for (node, process) in &sides {
        // Late answers do nothing.
        for name in &late[0] {
            assert_eq!(node.whereis(name.as_bytes()).unwrap_err().status, Status::NotFound);
        }
        assert!(process.pid().serial != 0 && node.is_open());
    }
}

/// "A resolver that calls Convoke: anything but the clashing name must work; that one answers `E_WOULD_DEADLOCK`", however
/// it is called and on whatever node of the cluster.
#[test]
fn a_function_may_call_anything_but_for_its_own_name() {
    let sides = apart(&[]);
    let third = Node::open(&options_of(&[])).unwrap();
    let elsewhere = Node::open(&options_of(&[("cluster", "another")])).unwrap();
    let processes: Vec<Process> =
        [&sides[0].0, &sides[1].0, &third].map(|node| Process::spawn(node, None).unwrap()).to_vec();
    let foreign = Process::spawn(&elsewhere, None).unwrap();
    let (sender, seen) = channel();
    let sender = Arc::new(Mutex::new(sender));
    add(&sides, "calls", || {
        let (sender, processes, foreign) = (sender.clone(), processes.clone(), foreign.clone());
        Box::new(move |event| {
            let mut told = Vec::new();
            for (i, process) in processes.iter().enumerate() {
                for how in [Completion::Wait, Completion::Event] {
                    for replace in [false, true] {
                        let call = process.register(b"x", None, None, replace, LONG, how);
                        told.push((status(call), Status::WouldDeadlock));
                    }
                    told.push((status(process.unregister(b"x", LONG, how)), Status::WouldDeadlock));
                }
                let other = format!("other {i}");
                let call =
                    process.register(other.as_bytes(), None, Some("calls"), true, LONG, Completion::Wait);
                let knows = if i < 2 { Status::Ok } else { Status::NotFound };
                told.push((status(call), knows));
                let call = process.unregister(other.as_bytes(), LONG, Completion::Wait);
                told.push((status(call), Status::Ok));
                if i < 2 {
                    let asked = process.is_alive(event.peer().unwrap(), LONG, Completion::Wait);
                    told.push((status(asked), Status::Ok));
                }
            }
            let call = foreign.register(b"x", None, None, false, LONG, Completion::Wait);
            told.push((status(call), Status::Ok));
            sender.lock().unwrap().send(told).unwrap();
            A
        })
    });
    register_apart(&sides, b"x", "calls");
    meet(&sides);
    for (got, expected) in seen.recv_timeout(SOON).unwrap() {
        assert_eq!(got, expected);
    }
    let [a, _] = in_order(&sides);
    for (node, _) in &sides {
        await_shown(node, b"x", Some(a));
    }
    // The mark goes with the call.
    assert_eq!(register(&processes[2], b"x"), Status::Ok);
}

/// Counts how often it is dropped.
struct Counted(Arc<AtomicUsize>, Sender<()>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        let _ = self.1.send(());
    }
}

/// "Closing and freeing the node while a function runs neither hangs nor uses freed memory", also when the function does
/// it: what belongs to the function is given back once, after it has returned.
#[test]
fn a_node_ends_while_a_function_runs() {
    for by_function in [false, true] {
        let sides = apart(&[]);
        let (gate, called, let_go) = gate();
        let (drops, (dropped, was_dropped)) = (Arc::new(AtomicUsize::new(0)), channel());
        let closed_within = Arc::new(Mutex::new(Vec::new()));
        add(&sides, "slow", || {
            let counted = Counted(drops.clone(), dropped.clone());
            let (inner, nodes) = (gate.function(A), closed_within.clone());
            Box::new(move |event| {
                let _counted = &counted;
                let answer = inner(event);
                for node in nodes.lock().unwrap().drain(..) {
                    Node::close(&node, LONG).unwrap();
                }
                answer
            })
        });
        register_apart(&sides, b"x", "slow");
        meet(&sides);
        called.recv_timeout(SOON).unwrap();
        let nodes = sides.into_iter().map(|(node, _)| node);
        if by_function {
            closed_within.lock().unwrap().extend(nodes);
            drop(let_go);
        } else {
            nodes.for_each(|node| node.close(LONG).unwrap());
            // The node whose function does not run gives its own back at once.
            was_dropped.recv_timeout(SOON).unwrap();
            assert_eq!(drops.load(Ordering::SeqCst), 1);
            drop(let_go);
            was_dropped.recv_timeout(SOON).unwrap();
            assert_eq!(drops.load(Ordering::SeqCst), 2);
            continue;
        }
        for _ in 0..2 {
            was_dropped.recv_timeout(SOON).unwrap();
        }
        assert_eq!(drops.load(Ordering::SeqCst), 2);
    }
}

#[test]
fn a_name_is_given_to_one_function() {
    let [(node, process), (other, elsewhere)] = apart(&[]);
    let (drops, (dropped, _was_dropped)) = (Arc::new(AtomicUsize::new(0)), channel());
    let function = || -> Resolve {
        let counted = Counted(drops.clone(), dropped.clone());
        Box::new(move |_| {
            let _counted = &counted;
            A
        })
    };
    let mut refused = 0;
    for (name, expected) in [
        ("mine", Status::Ok),
        ("mine", Status::Exists),
        ("random-exit", Status::Exists),
        ("random-notify", Status::Exists),
        ("notify-all", Status::Exists),
        ("keep-oldest", Status::Exists),
        ("", Status::Invalid),
        (&"r".repeat(MAX_RESOLVER + 1), Status::TooBig),
        (&"r".repeat(MAX_RESOLVER), Status::Ok),
    ] {
        assert_eq!(status(node.add_resolver(name, function())), expected, "{name}");
        refused += usize::from(expected != Status::Ok);
        assert_eq!(drops.load(Ordering::SeqCst), refused);
    }
    // Here and, by the home's word, elsewhere.
    elsewhere.connect(node.address(), LONG, Completion::Wait).unwrap();
    let register = |by: &Process, pid, resolver, name: &[u8]| {
        status(by.register(name, Some(pid), Some(resolver), false, LONG, Completion::Wait))
    };
    let (here, there) = (process.pid(), elsewhere.pid());
    assert_eq!(register(&process, here, "nobody", b"a"), Status::NotFound);
    assert_eq!(register(&process, there, "mine", b"a"), Status::NotFound);
    assert_eq!(register(&elsewhere, there, "mine", b"a"), Status::NotFound);
    assert_eq!(register(&elsewhere, here, "mine", b"a"), Status::Ok);
    assert_eq!(register(&process, here, "mine", b"b"), Status::Ok);
    node.close(LONG).unwrap();
    assert_eq!(status(node.add_resolver("late", function())), Status::Closed);
    assert_eq!(drops.load(Ordering::SeqCst), refused + 1);
    drop(node);
    assert_eq!(drops.load(Ordering::SeqCst), refused + 3);
    other.close(LONG).unwrap();
}

#[test]
fn a_number_that_means_nothing_is_a_failure() {
    use ClashLoser::{Kill, Notify, Silent};
    use ClashWinner::{B, Neither};
    let decided = |winner, loser| ClashAnswer::Decided { winner, loser };
    assert_eq!(answer_of(CLASH_NEITHER), decided(Neither, Silent));
    assert_eq!(answer_of(CLASH_A), decided(ClashWinner::A, Silent));
    assert_eq!(answer_of(CLASH_B | CLASH_KILL_LOSER), decided(B, Kill));
    assert_eq!(answer_of(CLASH_NEITHER | CLASH_NOTIFY_LOSER), decided(Neither, Notify));
    for number in [3, -1, 4, 0x80, 0x300, 0x301, 0x400, 0x1_0001, i32::MIN, i32::MAX, i32::MIN | CLASH_A] {
        assert_eq!(answer_of(number), ClashAnswer::Failed, "{number:#x}");
    }
    assert_eq!(CLASH_CHOICES.len(), 5);
}
