//! The bytes of what stands within messages: every variant of every enumeration, as it has always been.

use super::codec;
use super::golden::*;
use crate::engine::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fmt::Debug;

/// One line for each value. All variants must be there.
fn every<T>(values: Vec<T>) -> Vec<(String, Vec<u8>)>
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let what = std::any::type_name::<T>().rsplit("::").next().unwrap_or_default();
    let mut seen = BTreeSet::new();
    let lines: Vec<_> = values
        .into_iter()
        .map(|value| {
            let mut bytes = Vec::new();
            codec::encode(&value, &mut bytes);
            seen.insert(bytes[0]);
            assert_eq!(codec::decode::<T>("part", &bytes).as_ref(), Ok(&value));
            (format!("{what} {}", variant(value)), bytes)
        })
        .collect();
    assert!(
        seen.iter().copied().eq(0..codec::variants::<T>()),
        "{what}: a variant has no golden bytes: {seen:?}"
    );
    lines
}

#[test]
fn parts_of_messages() {
    let lines = [
        every(vec![Key::Name(name()), Key::Lock(name())]),
        every(vec![Want::Name { replace: true }, Want::Lock { requester: Name::new(b"r"), serial: 6 }]),
        every(vec![
            Resolver::RandomExit,
            Resolver::RandomNotify,
            Resolver::NotifyAll,
            Resolver::KeepOldest,
            Resolver::from_name("mine"),
        ]),
        every(vec![
            Treatment::Silent,
            Treatment::Kill { by: None },
            Treatment::Kill { by: Some(pid()) },
            Treatment::Notify { other: Some(pid()) },
        ]),
        every(vec![
            Fact::Binding(name(), binding()),
            Fact::Beneath(reg(1, 1)),
            Fact::Peers([NodeId(2), NodeId(300)].into()),
            Fact::Hold(hold()),
            Fact::Membership(membership()),
        ]),
        every(vec![
            Existence::Live { group: name(), dot: dot(1, 2) },
            Existence::Seen { node: NodeId(1), up_to: 9 },
            Existence::Beyond(dot(1, 11)),
        ]),
        every(vec![
            Goodbye::Closing,
            Goodbye::Disconnected,
            Goodbye::Silent,
            Goodbye::Violation,
            Goodbye::Stale,
            Goodbye::Slow,
            Goodbye::TooMuch,
        ]),
        every(vec![
            Task::Register {
                name: name(),
                serial: 1,
                resolver: Resolver::NotifyAll,
                replace: true,
                no_wait: false,
            },
            Task::Unregister { name: name(), reg: reg(1, 2) },
            Task::IsAlive { serial: 70_000 },
            Task::Join { group: name(), serial: 6, dots: BTreeSet::from([dot(1, 2)]) },
            Task::Leave { group: name(), serial: 6 },
        ]),
        every(vec![
            ClashMessage::Engage { name: name(), pair: pair(), round: 7 },
            ClashMessage::Engaged { name: name(), pair: pair(), round: 7, age_ms: 1 },
            ClashMessage::ClashEnded { name: name(), pair: pair() },
            ClashMessage::Verdict { name: name(), pair: pair(), treatment: Treatment::Silent },
        ]),
        every(Status::ALL.to_vec()),
    ];
    compare(lines.concat(), "golden_parts.txt", include_str!("golden_parts.txt"));
}
