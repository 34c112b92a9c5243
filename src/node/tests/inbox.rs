use crate::flow::Window;
use crate::model::{Command, ConnectionId, NodeId};
use crate::node::{Inbox, Request};

fn command(process: u64) -> Request {
    Request::Command { command: Command::Spawn { process }, reply: None }
}

/// Whether it was set since the last time; who waits for the edge needs not clear it, the test does.
fn is_signalled(inbox: &Inbox) -> bool {
    inbox.event_fd().clear()
}

#[test]
fn the_eventfd_is_written_only_for_a_sleeper() {
    let inbox = Inbox::new().unwrap();
    inbox.push(command(1)).unwrap();
    inbox.poke(ConnectionId(7));
    assert!(!is_signalled(&inbox));
    assert!(!inbox.prepare_sleep(), "something is there");

    let (mut requests, mut dirty) = (Vec::new(), Vec::new());
    inbox.drain(&mut requests);
    assert!(!inbox.prepare_sleep(), "the poke is still there");
    inbox.drain_dirty(&mut dirty);
    assert_eq!((requests.len(), dirty.as_slice()), (1, &[ConnectionId(7)][..]));

    assert!(inbox.prepare_sleep());
    inbox.push(command(2)).unwrap();
    inbox.push(command(3)).unwrap();
    assert!(is_signalled(&inbox));
    inbox.awake();
    assert!(!is_signalled(&inbox));

    requests.clear();
    inbox.drain(&mut requests);
    assert_eq!(requests.len(), 2);
    assert!(inbox.prepare_sleep());
    inbox.awake();
    inbox.push(command(4)).unwrap();
    assert!(!is_signalled(&inbox), "awake by its own timer");
}

#[test]
fn reports_on_one_window_are_added_up() {
    let inbox = Inbox::new().unwrap();
    let window = |to| Window { from: NodeId(1), link: 1, to };
    let taken = |to, messages, bytes| Request::Taken { window: window(to), messages, bytes };
    for request in [taken(1, 1, 10), taken(1, 2, 20), taken(2, 1, 5), command(1), taken(2, 1, 5)] {
        inbox.push(request).unwrap();
    }
    let mut requests = Vec::new();
    inbox.drain(&mut requests);
    let shown: Vec<_> = requests
        .iter()
        .map(|request| match request {
            Request::Taken { window, messages, bytes } => (window.to, *messages, *bytes),
            _ => (0, 0, 0),
        })
        .collect();
    assert_eq!(shown, [(1, 3, 30), (2, 1, 5), (0, 0, 0), (2, 1, 5)]);
}

#[test]
fn small_reports_do_not_wake() {
    let inbox = Inbox::new().unwrap();
    let taken =
        |to, messages| Request::Taken { window: Window { from: NodeId(1), link: 1, to }, messages, bytes: 0 };
    assert!(inbox.prepare_sleep());
    for _ in 0..7 {
        inbox.push(taken(1, 1)).unwrap();
    }
    assert!(!is_signalled(&inbox));
    inbox.push(taken(1, 1)).unwrap();
    assert!(is_signalled(&inbox), "together they are much");

    inbox.awake();
    inbox.drain(&mut Vec::new());
    assert!(inbox.prepare_sleep());
    (0..32).for_each(|to| inbox.push(taken(to, 1)).unwrap());
    assert!(!is_signalled(&inbox));
    inbox.push(taken(32, 1)).unwrap();
    assert!(is_signalled(&inbox), "so many are much");

    inbox.awake();
    inbox.drain(&mut Vec::new());
    inbox.set_room_wanted(true);
    assert!(inbox.prepare_sleep());
    inbox.push(taken(1, 1)).unwrap();
    assert!(is_signalled(&inbox), "somebody waits for it");

    inbox.awake();
    assert!(!inbox.prepare_sleep(), "what was pushed is there, urgent or not");
}

#[test]
fn a_closed_inbox_gives_requests_back() {
    let inbox = Inbox::new().unwrap();
    inbox.push(command(1)).unwrap();
    assert_eq!(inbox.close().len(), 1);
    assert!(inbox.push(command(2)).is_err());
    assert!(inbox.close().is_empty());
}

#[test]
fn many_threads_push_and_nothing_is_lost() {
    let inbox = Inbox::new().unwrap();
    const EACH: u64 = 5_000;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..EACH).for_each(|n| inbox.push(command(n)).unwrap()));
        }
        let (mut requests, mut seen) = (Vec::new(), 0);
        while seen < 4 * EACH as usize {
            inbox.drain(&mut requests);
            seen += requests.len();
            requests.clear();
            if seen < 4 * EACH as usize && inbox.prepare_sleep() {
                inbox.event_fd().wait(None);
                inbox.event_fd().clear();
                inbox.awake();
            }
        }
    });
}
