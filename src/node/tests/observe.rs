//! What a node tells when its thread does not answer: here, because there is none.

use super::*;
use crate::node::Field;

fn text_of(list: &crate::node::List) -> String {
    String::from_utf8_lossy(list.bytes(0, Field::Text).unwrap()).into_owned()
}

#[test]
fn a_stuck_thread_is_told_of_and_not_waited_for() {
    let (node, mut delivery) = by_hand_with(&[("name", "stuck")]);
    let (_queue, receiver, sender) = on_queue(&node);
    sender.send(receiver.pid(), b"unread").unwrap();
    std::thread::scope(|scope| {
        let dump = scope.spawn(|| text_of(&node.dump().unwrap()));
        let metrics = text_of(&node.metrics().unwrap());
        assert!(metrics.contains("\nconvoke_node_thread_answers{node=\"stuck\"} 0\n"), "{metrics}");
        assert!(metrics.contains("\nconvoke_queue_depth{node=\"stuck\"} 1\n"), "{metrics}");
        assert!(!metrics.contains("convoke_claims") && metrics.ends_with("# EOF\n"), "{metrics}");
        let dump: serde_json::Value = serde_json::from_str(&dump.join().unwrap()).unwrap();
        assert_eq!(dump["node_thread"], "stuck");
        assert_eq!(dump["engine"], serde_json::Value::Null);
        assert_eq!(dump["queues"]["rows"][0], 1);
        assert!(dump["inbox_requests"].as_u64().unwrap() > 0);
    });
    delivery.fail_all(Status::Internal);
    assert_eq!(status(node.metrics()), Status::Closed);
    assert_eq!(status(node.dump()), Status::Closed);
}
