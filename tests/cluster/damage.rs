//! What is damaged on its way between two programs, and TCP's sum does not show: by a relay in between.

use crate::agent::Agent;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const SECRET: &str = "26d66729dbeab67a3aec12cf8e5900eb45dd801bc7bf0e4d7d9970b0bcaf7483";

/// Nothing is damaged.
const NOTHING: usize = usize::MAX;

/// Carries bytes to one address, and flips one bit when it is told to.
struct Relay {
    address: String,
    /// The bit of the next piece towards the address that is flipped.
    flip: Arc<AtomicUsize>,
}

impl Relay {
    fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (target, flip) = (target.to_owned(), Arc::new(AtomicUsize::new(NOTHING)));
        let relay =
            Self { address: listener.local_addr().expect("its address").to_string(), flip: flip.clone() };
        // It ends with the test program.
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(&target) else { continue };
                let never = Arc::new(AtomicUsize::new(NOTHING));
                for (from, to, flip) in [(&near, &far, flip.clone()), (&far, &near, never)] {
                    let (from, to) = (from.try_clone().expect("a copy"), to.try_clone().expect("a copy"));
                    std::thread::spawn(move || carry(from, to, &flip));
                }
            }
        });
        relay
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, flip: &AtomicUsize) {
    let mut buffer = vec![0; 65536];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        let bit = flip.swap(NOTHING, Ordering::SeqCst);
        if let Some(byte) = buffer[..n].get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
        if to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// "A flipped bit in the length of a record ends the link within a detection time": heartbeats that come behind it are no signs of
/// life, although they might be taken for what the length promises.
#[test]
fn a_flipped_bit_of_a_length_ends_the_link() {
    const DETECTION: Duration = Duration::from_secs(20);
    let secret = format!("secret={SECRET}");
    // The bit makes the length some thousands longer: of a frame (u32), and of a record (u16).
    for (secret, bit) in [("", 16), (secret.as_str(), 12)] {
        let options = format!("detection_ms={} heartbeat_ms=50 {secret}", DETECTION.as_millis());
        let mut a = Agent::open("a", &[], &options);
        let relay = Relay::to(&a.address);
        let mut b = Agent::open("b", &[&relay.address], &options);
        a.wait_for_peers(&["b"]);
        b.wait_for_peers(&["a"]);
        // What is said by itself begins with a header: nobody says anything but heartbeats.
        let damaged = Instant::now();
        relay.flip.store(bit, Ordering::SeqCst);
        a.event("down b");
        b.event("down a");
        assert!(damaged.elapsed() < DETECTION, "noticed after {:?}", damaged.elapsed());
        a.event("up b");
        b.event("up a");
    }
}
