//! A node whose process has run out of file descriptors waits for better times, without spinning and without dying.
//! A test binary of its own, because the limit is the whole process's.

use convoke::node::{Node, Options};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

fn limit_descriptors(soft: Option<u64>) {
    // SAFETY: both calls work on one live rlimit.
    unsafe {
        let mut limit = std::mem::zeroed::<libc::rlimit>();
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = soft.unwrap_or(limit.rlim_max);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
}

/// The processor time that the node's thread has had.
fn node_thread_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let is_node = |task: &std::path::PathBuf| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with("convoke/"))
    };
    let task = tasks.into_iter().find(is_node).unwrap();
    let times = std::fs::read_to_string(task.join("schedstat")).unwrap();
    Duration::from_nanos(times.split(' ').next().unwrap().parse().unwrap())
}

/// A connection that the node answers: that it does not speak the versions 9 to 9.
fn is_answered(mut stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let _ = stream.write_all(b"CONVOKE\0\x09\0\x09\0\x28\0\0\0");
    stream.read(&mut [0; 64]).is_ok_and(|n| n > 0)
}

#[test]
fn running_out_of_descriptors_is_waited_out() {
    let mut options = Options::new();
    options.set("name", "frugal").unwrap();
    let node = Node::open(&options).unwrap();
    let first = TcpStream::connect(node.address()).unwrap();
    assert!(is_answered(&first));

    let used = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    // Room for connecting, and not for accepting what has been connected.
    limit_descriptors(Some(used));
    let mut streams = Vec::new();
    while let Ok(stream) = TcpStream::connect(node.address()) {
        streams.push(stream);
        assert!(streams.len() < 100, "the limit does not hold");
    }
    assert!(!streams.is_empty());
    // What is measured here is what happens while nothing happens.
    std::thread::sleep(Duration::from_millis(100));
    limit_descriptors(None);
    let before = node_thread_time();
    limit_descriptors(Some(used));
    std::thread::sleep(Duration::from_millis(500));
    limit_descriptors(None);
    let spent = node_thread_time() - before;
    assert!(spent < Duration::from_millis(100), "{spent:?} of 500 ms");

    // All that has connected meanwhile is served.
    for stream in &streams {
        assert!(is_answered(stream));
    }
    node.close(5000).unwrap();
}
