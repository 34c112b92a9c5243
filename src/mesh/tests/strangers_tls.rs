//! Strangers that have nodes with certificates compute.

use super::strangers::{Flood, RATE, longest_join, patient, turn};
use super::tls::authority::Authority;
use super::tls::{good, protection_of};
use super::*;
use crate::mesh::Refused;
use crate::os;
use crate::wire::{WORK_HERE, Work};

/// What one says that begins a handshake of TLS, as far as it gets without an answer: as costly as a whole one.
fn hello(authority: &Authority) -> Vec<u8> {
    let protection = protection_of(9, &authority.node("node9"));
    let end = |node| Setup { protection: protection.clone(), ..setup(node) };
    let (mut dialler, mut accepter) = (Channel::dial(end(9)), Channel::accept(end(1)));
    let mut frames = FrameReader::new();
    let mut said = Vec::new();
    dialler.take_handshake_bytes(&mut said);
    let mut pass = |words: &[u8], to: &mut Channel| {
        to.space(&mut frames)[..words.len()].copy_from_slice(words);
        to.filled(words.len(), &mut frames);
        to.step(&mut frames).unwrap()
    };
    let mut answer = Vec::new();
    assert_eq!(pass(&said, &mut accepter), Step::Words);
    accepter.take_handshake_bytes(&mut answer);
    assert_eq!(pass(&answer, &mut dialler), Step::Work);
    let worked = dialler.work().map(Work::run);
    assert_eq!(dialler.worked(worked), Ok(Step::Words));
    dialler.take_handshake_bytes(&mut said);
    assert!(said.len() > 200);
    said
}

/// Keys and signatures are no business of the thread that serves the links, whoever has dialled.
#[test]
fn handshakes_are_computed_elsewhere() {
    run(async {
        let authority = Authority::new("ours");
        let (low, address) = start(good(&authority, 1)).await;
        let (high, _) = start(good(&authority, 2)).await;
        high.order(Order::Dial { address: address.clone() });
        let there = high.wait_seen(|seen| if let Seen::Go(id) = seen { Some(*id) } else { None }).await;
        high.say(there, 3);
        assert_eq!(low.numbers(1).await, [3]);
        let (other, _) = start(good(&Authority::new("foreign"), 3)).await;
        other.order(Order::Dial { address });
        other.wait_seen(|seen| matches!(seen, Seen::DialFailed { .. }).then_some(())).await;
        assert_eq!(WORK_HERE.get(), 0);
        hello(&authority);
        assert_eq!(WORK_HERE.get(), 1, "it would be noticed");
    });
}

#[test]
fn handshakes_without_end_keep_nobody_out() {
    let _turn = turn();
    run(async {
        os::raise_descriptor_limit();
        let authority = Authority::new("ours");
        let (low, address) = start(patient(good(&authority, 1))).await;
        let flood = Flood::begin(&address, vec![hello(&Authority::new("foreign"))]);
        flood.made(2 * RATE as usize).await;
        let longest = longest_join(&address, |node| good(&authority, node)).await;
        println!("a join took {longest:?} at most");
        assert!(longest < Duration::from_secs(4), "a join took {longest:?}");
        drop(flood);
        assert!(low.settings().refusals.get(Refused::Busy) > 100);
    });
}

/// An address whose handshakes fail without end has no more of them computed, and is told that it has had too many.
#[test]
fn those_that_fail_without_end_are_computed_no_more() {
    run(async {
        let authority = Authority::new("ours");
        let (low, address) = start(patient(good(&authority, 1))).await;
        let words = hello(&Authority::new("foreign"));
        let mut answered = 0;
        loop {
            let mut stranger = TcpStream::connect(&address).await.unwrap();
            stranger.write_all(&words).await.unwrap();
            let mut answer = vec![0; 4096];
            let mut n = 0;
            // The preamble, and the first words of TLS with it or behind it.
            while n <= 40 && answer[15] < 2 {
                n += match stranger.read(&mut answer[n..]).await {
                    Ok(more @ 1..) => more,
                    _ => break,
                };
            }
            if answer[15] != 1 {
                break;
            }
            assert!(n > 40, "it was computed");
            answered += 1;
            assert!(answered < 1000, "there is no end of it");
        }
        assert!(answered > 32, "only {answered} were answered");
        assert!(low.settings().refusals.get(Refused::Busy) > 0);
        // The others go on.
        assert_eq!(low.panic(), None);
    });
}
