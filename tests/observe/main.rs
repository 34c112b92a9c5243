//! What a node tells of itself: the dump, read by a JSON parser; metrics, read by a strict checker; the log. On whole nodes.

mod openmetrics;

use convoke::model::{Level, Status, Topic};
use convoke::node::{
    Attempt, Completion, EventKind, Field, List, LockId, METRICS, MetricKind, Node, Options, Process, Queue,
};
use convoke::testing::{Noticed, cut, heal};
use serde_json::Value;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Long enough for anything that happens; a test that needs it has failed.
const LONG: i64 = 30_000;

/// The log is that of the whole program, so tests that read it have it to themselves.
fn the_log() -> MutexGuard<'static, ()> {
    static LOG: Mutex<()> = Mutex::new(());
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(name: &str, options: &[(&str, &str)]) -> (Node, Process) {
    let mut all = Options::new();
    all.set("name", name).unwrap();
    all.set("cluster", &convoke::testing::cluster()).unwrap();
    options.iter().for_each(|(key, value)| all.set(key, value).unwrap());
    let node = Node::open(&all).unwrap();
    let process = Process::spawn(&node, None).unwrap();
    (node, process)
}

/// Two nodes with a link.
fn pair(names: [&str; 2], options: &[(&str, &str)]) -> [(Node, Process); 2] {
    let (one, two) = (open(names[0], options), open(names[1], options));
    two.1.connect(one.0.address(), LONG, Completion::Wait).unwrap();
    one.1.connect(two.0.address(), LONG, Completion::Wait).unwrap();
    [one, two]
}

fn text(list: List) -> String {
    assert_eq!(list.len(), 1);
    String::from_utf8(list.bytes(0, Field::Text).unwrap().to_vec()).unwrap()
}

fn dump(node: &Node) -> Value {
    let text = text(node.dump().unwrap());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn rows<'a>(dump: &'a Value, list: &str) -> &'a Vec<Value> {
    dump["engine"][list]["rows"].as_array().unwrap_or_else(|| panic!("no rows {list} in {dump:#}"))
}

fn lock(resource: &[u8]) -> LockId<'_> {
    LockId { resource, requester: None }
}

fn attempt(timeout_ms: i64) -> Attempt {
    Attempt { nodes: None, retries: None, timeout_ms }
}

// ---- the dump

#[test]
fn a_register_that_waits_for_a_silent_peer_names_it_and_how_long() {
    let [(one, process), (_two, _)] = pair(["hopeful", "mute"], &[]);
    cut("hopeful", "mute", Noticed::ByNobody);
    let op = process.register(b"n", None, None, false, LONG, Completion::Event).unwrap().op;
    let first = dump(&one);
    let [waiting] = &rows(&first, "operations")[..] else { panic!("not one operation: {first:#}") };
    assert_eq!(waiting["kind"], "register");
    assert_eq!(waiting["key"], "n");
    assert_eq!(waiting["phase"], "claiming");
    assert_eq!(waiting["process"], process.pid().serial);
    assert_eq!(waiting["caller"]["process"]["reference"], op.0);
    let [peer] = &waiting["waits_for"]["rows"].as_array().unwrap()[..] else { panic!("{first:#}") };
    assert_eq!(peer["node"]["name"], "mute");
    assert_eq!(peer["what"], "grant");
    assert!(peer["silent_ms"].is_u64());
    // It goes on to say how long.
    let since = |dump: &Value| rows(dump, "operations")[0]["since_ms"].as_u64().unwrap();
    let mut later = first;
    while since(&later) < 50 {
        later = dump(&one);
    }
    let silent = rows(&later, "operations")[0]["waits_for"]["rows"][0]["silent_ms"].as_u64().unwrap();
    assert!(silent >= 50, "{later:#}");
    let link = rows(&later, "links").iter().find(|link| link["node"]["name"] == "mute").unwrap();
    assert!(link["silent_ms"].as_u64().unwrap() >= silent);
    heal("hopeful", "mute");
    let done = process.recv(LONG).unwrap();
    assert_eq!(done.result().unwrap().0, Status::Ok);
    assert!(rows(&dump(&one), "operations").is_empty());
}

#[test]
fn who_waits_for_a_lock_names_its_holder() {
    let [(one, holder), (two, waiter)] = pair(["holder", "waiter"], &[]);
    holder.acquire(lock(b"r"), attempt(LONG), Completion::Wait).unwrap();
    waiter.acquire(lock(b"r"), attempt(LONG), Completion::Event).unwrap();
    // The holder has its answer, and the others may hear of it a little later.
    let is_known = |seen: &Value| rows(seen, "operations")[0]["behind"]["rows"][0]["how"] == "holds";
    let mut seen = dump(&two);
    while !is_known(&seen) {
        seen = dump(&two);
    }
    let [waiting] = &rows(&seen, "operations")[..] else { panic!("not one operation: {seen:#}") };
    assert_eq!((&waiting["kind"], &waiting["key"]), (&"acquire".into(), &"r".into()));
    let behind = &waiting["behind"]["rows"][0];
    assert_eq!(behind["how"], "holds");
    assert_eq!(behind["pid"]["node"]["name"], "holder");
    assert_eq!(behind["pid"]["node"]["incarnation"], format!("{:016x}", one.id().0));
    assert_eq!(behind["pid"]["serial"], holder.pid().serial);
    // Its own voter has it in a queue behind that holder.
    let [contended] = &rows(&seen, "contended")[..] else { panic!("not one key: {seen:#}") };
    assert_eq!((&contended["kind"], &contended["key"]), (&"lock".into(), &"r".into()));
    assert_eq!(contended["queue"]["rows"][0]["node"]["name"], "waiter");
    assert_eq!(contended["queue"]["rows"][0]["pid"]["serial"], waiter.pid().serial);
    assert_eq!(contended["holders"]["rows"][0]["pid"]["node"]["name"], "holder");
    holder.release(lock(b"r"), None, LONG, Completion::Wait).unwrap();
    assert_eq!(waiter.recv(LONG).unwrap().result().unwrap().0, Status::Ok);
    assert!(rows(&dump(&two), "contended").is_empty());
}

/// Any bytes make valid JSON: texts as they are, others with a marker; and long names are cut.
#[test]
fn names_of_any_bytes_are_told() {
    let [(_one, holder), (two, waiter)] = pair(["plain", "we\"ird \\ ü"], &[]);
    let long = [b'l'; 1000];
    let names: [&[u8]; 4] = [b"a\xff\0b", "gr\u{fc}n \"q\"\n\u{1}".as_bytes(), &long, b"\0"];
    for name in names {
        holder.acquire(lock(name), attempt(LONG), Completion::Wait).unwrap();
        waiter.acquire(lock(name), attempt(LONG), Completion::Event).unwrap();
    }
    let seen = dump(&two);
    assert_eq!(seen["node"]["name"], "we\"ird \\ ü");
    let keys: Vec<&Value> = rows(&seen, "operations").iter().map(|row| &row["key"]).collect();
    assert_eq!(*keys[0], serde_json::json!({ "hex": "61ff0062", "bytes": 4 }));
    assert_eq!(*keys[1], "gr\u{fc}n \"q\"\n\u{1}");
    assert_eq!(*keys[2], serde_json::json!({ "hex": "6c".repeat(256), "bytes": 1000 }));
    assert_eq!(*keys[3], "\0");
}

#[test]
fn the_dump_is_bounded() {
    let [(_one, holder), (two, waiter)] = pair(["much", "more"], &[]);
    holder.acquire(lock(b"r"), attempt(LONG), Completion::Wait).unwrap();
    let count = 2_000;
    for n in 0..count {
        let requester = [&[b'q'; 1000][..], &u64::to_be_bytes(n)].concat();
        let id = LockId { resource: b"r", requester: Some(&requester) };
        waiter.acquire(id, attempt(LONG), Completion::Event).unwrap();
        for _ in 0..2 {
            let mailbox = Process::spawn(&two, None).unwrap();
            waiter.send(mailbox.pid(), b"x").unwrap();
            std::mem::forget(mailbox); // freed with its node
        }
    }
    let text = text(two.dump().unwrap());
    assert!(text.len() < 4 << 20, "{} bytes", text.len());
    let seen: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(rows(&seen, "operations").len(), 200);
    assert_eq!(seen["engine"]["operations"]["more"], count - 200);
    assert_eq!(seen["engine"]["contended"]["rows"][0]["queue"]["more"], 1000, "and no more are counted");
    assert_eq!(seen["mailboxes"]["more"], 2 * count - 200);
}

#[test]
fn calls_that_wait_for_links_are_told() {
    let (one, process) = open("lonely", &[("insecure.plaintext", "allow")]);
    // A machine that never answers: only the deadline of the dial ends it.
    process.connect("192.0.2.1:9", LONG, Completion::Event).unwrap();
    let seen = dump(&one);
    let [call] = &rows(&seen, "meetings")[..] else { panic!("not one call: {seen:#}") };
    assert_eq!((&call["kind"], &call["address"]), (&"connect".into(), &"192.0.2.1:9".into()));
    let [target] = &rows(&seen, "targets")[..] else { panic!("not one target: {seen:#}") };
    assert_eq!(target["address"], "192.0.2.1:9");
}

// ---- metrics

#[test]
fn metrics_are_openmetrics() {
    let [(one, process), (two, far)] = pair(["one \"quoted\" \\ two", "two"], &[("heartbeat_ms", "20")]);
    process.register(b"n", None, None, false, LONG, Completion::Wait).unwrap();
    process.acquire(lock(b"r"), attempt(LONG), Completion::Wait).unwrap();
    process.group_create(b"g", LONG, Completion::Wait).unwrap();
    process.send(far.pid(), b"hello").unwrap();
    far.recv(LONG).unwrap();
    assert_eq!(far.send(process.pid(), &[0; 17 << 20]).map_err(|e| e.status), Err(Status::TooBig));
    // An idle link is measured.
    let mut read = openmetrics::read(&text(one.metrics().unwrap()));
    while read.value("convoke_round_trip_seconds_count", "") == 0.0 {
        read = openmetrics::read(&text(one.metrics().unwrap()));
    }
    for (sample, value) in [
        ("convoke_links", 1.0),
        ("convoke_links_synced", 1.0),
        ("convoke_names", 1.0),
        ("convoke_names_own", 1.0),
        ("convoke_locks_held", 1.0),
        ("convoke_groups", 1.0),
        ("convoke_processes", 1.0),
        ("convoke_register_seconds_count", 1.0),
        ("convoke_acquire_seconds_count", 1.0),
        ("convoke_claims_total", 2.0),
        ("convoke_claims_failed_total", 0.0),
        ("convoke_messages_sent_total", 1.0),
        ("convoke_node_thread_answers", 1.0),
        ("convoke_links_up_total", 1.0),
    ] {
        assert_eq!(read.value(sample, ""), value, "{sample}");
    }
    assert_eq!(read.value("convoke_claims_in_flight", "name"), 0.0);
    for sample in ["convoke_read_bytes_total", "convoke_written_bytes_total", "convoke_heartbeats_total"] {
        assert!(read.value(sample, "") > 0.0, "{sample}");
    }
    assert_eq!(read.node, "one \"quoted\" \\ two");
    // The families are those of the table, in its order; those by a label only once there is something to tell.
    let names: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(read.families, names);
    two.close(LONG).unwrap();
    let mut read = openmetrics::read(&text(one.metrics().unwrap()));
    while read.value("convoke_links", "") != 0.0 {
        read = openmetrics::read(&text(one.metrics().unwrap()));
    }
    assert_eq!(read.value("convoke_links_down_total", "NODE_CLOSED"), 1.0);
}

/// The samples that are promised to be there, in the form that is promised.
#[test]
fn every_metric_has_a_proper_name() {
    for metric in METRICS {
        assert!(metric.name.starts_with("convoke_"), "{}", metric.name);
        assert!(!metric.name.ends_with("_total") && !metric.name.ends_with("_info"), "{}", metric.name);
        assert!(metric.meaning.ends_with('.'), "{}", metric.name);
        assert!(metric.kind != MetricKind::Histogram || metric.unit() == "seconds", "{}", metric.name);
    }
}

// ---- the log

/// The next record of this subject with these words; others are passed over.
fn told(queue: &Queue, topic: Topic, words: &[&str]) -> Level {
    loop {
        let event = queue.next(LONG).unwrap();
        if event.kind() != EventKind::Log || event.bytes(Field::Target) != Some(topic.c_name().as_bytes()) {
            continue;
        }
        let text = String::from_utf8(event.bytes(Field::Text).unwrap().to_vec()).unwrap();
        if words.iter().all(|word| text.contains(word)) {
            let level = event.u64(Field::Level).unwrap();
            return u8::try_from(level).ok().and_then(Level::from_number).unwrap();
        }
    }
}

#[test]
fn an_operator_is_told_what_happens() {
    let _log = the_log();
    let (reader, _) = open("reader", &[]);
    let queue = Queue::new(&reader).unwrap();
    queue.log(i32::from(Level::Trace.number())).unwrap();
    let quick = [("detection_ms", "1000"), ("heartbeat_ms", "50"), ("limits.message", "100000")];
    let [(one, holder), (two, waiter)] = pair(["first", "second"], &quick);
    assert_eq!(told(&queue, Topic::Node, &["\"second\": the node is open"]), Level::Info);
    assert_eq!(told(&queue, Topic::Link, &["\"first\"", "\"second\"", "is up"]), Level::Info);
    // A claim that waits for longer than the detection time, and for whom.
    holder.acquire(lock(b"r\n"), attempt(LONG), Completion::Wait).unwrap();
    waiter.acquire(lock(b"r\n"), attempt(LONG), Completion::Event).unwrap();
    let serial = holder.pid().serial;
    let words = [
        "\"second\": acquire of the lock \"r\\n\" has waited",
        &format!("process {serial} of node \"first\" holds"),
    ];
    assert_eq!(told(&queue, Topic::Claim, &words), Level::Warn);
    // Nobody reads, and the sender is refused.
    while waiter.send(holder.pid(), &[0; 50_000]).is_ok() {}
    assert_eq!(told(&queue, Topic::Queue, &["\"second\"", "may not send"]), Level::Warn);
    // A peer falls silent and is given up; the lock is lost.
    cut("first", "second", Noticed::ByNobody);
    assert_eq!(told(&queue, Topic::Liveness, &["\"first\": node \"second\" is silent"]), Level::Info);
    assert_eq!(
        told(&queue, Topic::Link, &["\"first\"", "\"second\"", "is down: NODE_UNREACHABLE"]),
        Level::Warn
    );
    assert_eq!(told(&queue, Topic::Lock, &["\"first\"", "no longer rely on", "MINORITY"]), Level::Warn);
    assert_eq!(told(&queue, Topic::Dial, &["failed", "1 times"]), Level::Info);
    // Two bindings of one name.
    holder.register(b"n", None, Some("notify-all"), false, LONG, Completion::Wait).unwrap();
    let rival = Process::spawn(&two, None).unwrap();
    rival.register(b"n", None, Some("notify-all"), false, LONG, Completion::Wait).unwrap();
    heal("first", "second");
    assert_eq!(told(&queue, Topic::Clash, &["the name \"n\" is bound"]), Level::Info);
    assert_eq!(told(&queue, Topic::Clash, &["is decided: neither keeps it"]), Level::Info);
    one.close(LONG).unwrap();
    assert_eq!(told(&queue, Topic::Node, &["\"first\": the node closes"]), Level::Info);
}

#[test]
fn refusals_and_namesakes_are_told() {
    let _log = the_log();
    let (reader, process) = open("judge", &[]);
    let queue = Queue::new(&reader).unwrap();
    queue.log(i32::from(Level::Debug.number())).unwrap();
    let (stranger, _) = open("stranger", &[("cluster", "another")]);
    assert_eq!(
        process.connect(stranger.address(), LONG, Completion::Wait).map_err(|e| e.status),
        Err(Status::Auth)
    );
    assert_eq!(told(&queue, Topic::Dial, &["\"judge\": dialling", "failed"]), Level::Info);
    // Another node of the same name closes.
    let (namesake, it) = open("judge", &[]);
    let _ = it.connect(reader.address(), LONG, Completion::Wait);
    assert_eq!(told(&queue, Topic::Node, &["\"judge\": the node closes: NAME_TAKEN"]), Level::Error);
    namesake.close(LONG).unwrap();
}
