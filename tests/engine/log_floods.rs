//! What a member can have a node write into its log.

use crate::harness::config;
use convoke::engine::{Connectivity, Ending, Engine, Identity, Output};
use convoke::model::{ConnectionId, Effect, Level, Machine, NodeId, Time, Topic};

/// Links up and down again, each another node, 100 in a second for an hour: how many lines are told.
fn lines_of_links(level: Level, seconds: u64) -> usize {
    let mut engine = Engine::new(config(0), 1, Time(0));
    engine.set_log_level(Some(level));
    let mut lines = 0;
    for number in 0..seconds * 100 {
        let (now, connection) = (Time(number * 10_000), ConnectionId(number));
        let peer = Identity {
            node: NodeId(1000 + number),
            name: format!("m{number}"),
            address: String::new(),
            connectivity: Connectivity::default(),
            groups: 0,
            uptime_ms: 1,
            message_limit: 1 << 20,
        };
        engine.handle_connection(now, connection, peer, None);
        engine.handle_connection_end(now, connection, Ending::Broke, "reading failed");
        while let Some(output) = engine.poll_any() {
            let is_about_links = matches!(
                output,
                Output::Effect(Effect::Log { topic: Topic::Link | Topic::Handshake | Topic::Liveness, .. })
            );
            lines += usize::from(is_about_links);
        }
    }
    lines
}

#[test]
fn links_that_come_and_go_without_end_are_told_ever_more_rarely() {
    let (short, long) = (lines_of_links(Level::Warn, 60), lines_of_links(Level::Warn, 600));
    assert!((100..1000).contains(&short), "{short} lines of 6,000 links");
    assert!(long < short + 20, "{long} lines of 60,000 links");
    // At every level.
    let info = lines_of_links(Level::Info, 60);
    assert!((100..1000).contains(&info), "{info} lines of 6,000 links");
}
