//! Names that are dialled are looked up, whatever the look-ups do.

use super::*;
use crate::mesh::Hosts;
use crate::sync::Mutex;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::mpsc::channel;

/// A mesh of a node whose hosts are found so.
async fn start_with(
    node: u64,
    find: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
) -> Mesh<Script> {
    start(Settings { hosts: Hosts::new(find), ..settings(node) }).await.0
}

impl Mesh<Script> {
    async fn found(&self, name: &str) -> Result<Vec<String>, String> {
        let before = self.with_core(|core| core.seen.len());
        self.order(Order::Dial { address: name.to_owned() });
        self.wait(|core| {
            core.seen[before..].iter().find_map(|seen| match seen {
                Seen::LookedUp(of, found) if of == name => Some(Ok(found.clone())),
                Seen::DialFailed { address, status, detail } if address == name => {
                    assert_eq!(*status, Status::Unreachable);
                    Some(Err(detail.clone()))
                }
                _ => None,
            })
        })
        .await
    }
}

#[test]
fn a_name_is_looked_up_and_its_addresses_can_be_dialled() {
    run(async {
        let (low, address) = start(settings(1)).await;
        let high = start_with(2, |_| Ok(vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()])).await;
        let (_, port) = address.rsplit_once(':').unwrap();
        let name = format!("service.example:{port}");
        assert_eq!(high.found(&name).await, Ok(vec![format!("[::1]:{port}"), address.clone()]));
        assert!(low.with_core(|core| core.seen.is_empty()), "nobody is connected to by name");
        high.order(Order::Dial { address });
        low.connection().await;
    });
}

/// The system's own answer, whatever families it has on this machine.
#[test]
fn localhost_is_this_machine() {
    run(async {
        let (mesh, _) = start(settings(1)).await;
        let found = mesh.found("localhost:4370").await.unwrap();
        assert!(!found.is_empty());
        assert!(found.iter().all(|at| at == "127.0.0.1:4370" || at == "[::1]:4370"), "{found:?}");
    });
}

#[test]
fn a_range_of_ports_stands_for_each_of_them() {
    run(async {
        let mesh = start_with(1, |_| Ok(vec![Ipv4Addr::LOCALHOST.into()])).await;
        let expected: Vec<String> = (4370..=4372).map(|port| format!("127.0.0.1:{port}")).collect();
        for host in ["127.0.0.1", "service.example"] {
            assert_eq!(mesh.found(&format!("{host}:4370-4372")).await, Ok(expected.clone()), "{host}");
        }
        assert_eq!(mesh.found("[::1]:9-9").await, Ok(vec!["[::1]:9".to_owned()]));
    });
}

#[test]
fn what_cannot_be_looked_up_says_why() {
    run(async {
        let mesh = start_with(1, |host| match host {
            "none.example" => Ok(vec![]),
            "local.example" => Ok(vec!["fe80::1".parse().unwrap()]),
            "both.example" => Ok(vec!["fe80::1".parse().unwrap(), "::ffff:127.0.0.1".parse().unwrap()]),
            _ => Err(io::Error::other("no such host")),
        })
        .await;
        for (name, text) in [
            ("none.example:1", "has no address"),
            ("local.example:1", "link-local"),
            ("gone.example:1", "no such host"),
            ("no-port", "host:port"),
            ("", "host:port"),
            ("127.0.0.1:5-1", "host:port"),
        ] {
            let failed = mesh.found(name).await.unwrap_err();
            assert!(failed.contains(text), "{name}: {failed}");
        }
        assert_eq!(mesh.found("both.example:1").await, Ok(vec!["127.0.0.1:1".to_owned()]));
        let failed = mesh.found("[fe80::1]:1").await.unwrap_err();
        assert!(failed.contains("link-local"), "{failed}");
    });
}

#[test]
fn a_name_of_countless_addresses_is_bounded() {
    run(async {
        let many = (0..5000_u32).map(|n| IpAddr::from(Ipv4Addr::from(0x0a00_0000 + n))).collect::<Vec<_>>();
        let mesh = start_with(1, move |_| Ok(many.clone())).await;
        assert_eq!(mesh.found("many.example:1").await.unwrap().len(), 1024);
        assert_eq!(mesh.found("many.example:1-64").await.unwrap().len(), 1024);
    });
}

/// It is given up in time, and not begun a second time while it hangs, so that it holds one thread at most.
#[test]
fn a_look_up_that_hangs_stops_nobody() {
    run(async {
        let (release, hung) = channel::<()>();
        let (hung, begun) = (Mutex::new(hung), Arc::new(Mutex::new(0)));
        let count = begun.clone();
        let mesh = start_with(1, move |host| {
            if host == "hangs.example" {
                *count.lock().unwrap() += 1;
                let _ = hung.lock().unwrap().recv();
            }
            Ok(vec![Ipv4Addr::LOCALHOST.into()])
        })
        .await;
        let failed = mesh.found("hangs.example:1").await.unwrap_err();
        assert!(failed.contains("takes too long"), "{failed}");
        for _ in 0..20 {
            let failed = mesh.found("hangs.example:1").await.unwrap_err();
            assert!(failed.contains("no answer yet"), "{failed}");
            assert!(mesh.found("other.example:1").await.is_ok());
        }
        assert_eq!(*begun.lock().unwrap(), 1);
        drop(release);
        // It comes back at last, and the name can be looked up again.
        while mesh.found("hangs.example:1").await.is_err() {
            tokio::task::yield_now().await;
        }
        assert_eq!(*begun.lock().unwrap(), 2);
    });
}
