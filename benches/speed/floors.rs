//! The floors: what the machine costs without Convoke, measured in the same run and, as far as they are latencies,
//! between the rounds of the row that is compared with them.
//!
//! - plain: 32 bytes there and back over loopback TCP (TCP_NODELAY) between two processes, one blocking thread each;
//!   2 thread wake-ups.
//! - relay: the same between two processes that have an I/O thread and an application thread each, which hand over by
//!   futex; TCP between the I/O threads. 4 wake-ups when the other I/O thread answers, 6 when its application does.
//! - stream: one blocking thread writes blocks of 64 KiB, one in another process reads them.

use crate::child::die_with_parent;
use crate::cluster::{Pairs, Peer};
use crate::measure::{Samples, Spread, now_ns};
use std::io::{self, BufRead, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

const SIZE: usize = 32;
/// What no wait of a floor takes.
const BOUND: Duration = Duration::from_secs(20);

/// Measures floors against one child.
pub struct Floors {
    child: Peer,
}

/// What the first byte of a connection asks of the child.
#[derive(Clone, Copy)]
enum Kind {
    Plain = 1,
    Relay = 2,
    RelayWithApplication = 3,
    Stream = 4,
}

impl Floors {
    pub fn start() -> Result<Self, String> {
        let mut child = Peer::start("floor", "the floor's child")?;
        child.address = child.finish(BOUND)?.text("address")?.to_owned();
        Ok(Self { child })
    }

    fn connect(&self, kind: Kind) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(&self.child.address)?;
        prepare(&stream)?;
        stream.write_all(&[kind as u8])?;
        Ok(stream)
    }

    pub fn plain(&self, time: Duration) -> Result<Spread, String> {
        let measure = || {
            let mut stream = self.connect(Kind::Plain)?;
            let mut block = [7; SIZE];
            sample(time, || {
                stream.write_all(&block)?;
                stream.read_exact(&mut block)
            })
        };
        measure().map_err(|e: io::Error| format!("the plain floor: {e}"))
    }

    pub fn relay(&self, application_answers: bool, time: Duration) -> Result<Spread, String> {
        let measure = || {
            let kind = if application_answers { Kind::RelayWithApplication } else { Kind::Relay };
            let mut stream = self.connect(kind)?;
            let (to_io, to_application) = (Arc::new(Slot::default()), Arc::new(Slot::default()));
            let io_thread = std::thread::spawn({
                let (to_io, to_application) = (to_io.clone(), to_application.clone());
                move || {
                    while let Some(mut block) = to_io.take() {
                        let relayed = stream.write_all(&block).and_then(|()| stream.read_exact(&mut block));
                        to_application.put(relayed.is_ok().then_some(block));
                    }
                }
            });
            let result = sample(time, || {
                to_io.put(Some([7; SIZE]));
                to_application.take().map(|_| ()).ok_or_else(|| io::ErrorKind::TimedOut.into())
            });
            to_io.put(None);
            let _ = io_thread.join();
            result
        };
        measure().map_err(|e: io::Error| format!("the relay floor: {e}"))
    }

    /// Bytes a second, and CPU ns per KiB of both sides.
    pub fn stream(&mut self, time: Duration) -> Result<f64, String> {
        let measure = || {
            let mut stream = self.connect(Kind::Stream)?;
            let block = vec![7; 64 << 10];
            let (began, mut bytes) = (now_ns(), 0u64);
            while now_ns() - began < time.as_nanos() as u64 {
                stream.write_all(&block)?;
                bytes += block.len() as u64;
            }
            stream.shutdown(std::net::Shutdown::Write)?;
            // The child answers when it has read all.
            stream.read_exact(&mut [0])?;
            Ok(bytes as f64 * 1e9 / (now_ns() - began) as f64)
        };
        measure().map_err(|e: io::Error| format!("the stream floor: {e}"))
    }
}

fn sample(time: Duration, mut once: impl FnMut() -> io::Result<()>) -> io::Result<Spread> {
    for _ in 0..200 {
        once()?;
    }
    let (began, mut samples) = (now_ns(), Vec::new());
    let mut last = began;
    while last - began < time.as_nanos() as u64 {
        once()?;
        let now = now_ns();
        samples.push(now - last);
        last = now;
    }
    Ok(Samples::new(samples).spread())
}

/// A hand-over between two threads: a mutex and a condition variable, futexes both. `None` ends it.
#[derive(Default)]
struct Slot {
    content: Mutex<Option<Option<[u8; SIZE]>>>,
    filled: Condvar,
}

impl Slot {
    fn put(&self, content: Option<[u8; SIZE]>) {
        *self.content.lock().unwrap_or_else(PoisonError::into_inner) = Some(content);
        self.filled.notify_one();
    }
    fn take(&self) -> Option<[u8; SIZE]> {
        let guard = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let mut guard =
            self.filled.wait_while(guard, |c| c.is_none()).unwrap_or_else(PoisonError::into_inner);
        guard.take().flatten()
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(BOUND))?;
    stream.set_write_timeout(Some(BOUND))
}

/// The role of the floors' child: serves one connection after the other until stdin ends.
pub fn serve() {
    die_with_parent();
    std::thread::spawn(|| {
        let _ = io::stdin().lock().lines().map_while(Result::ok).count();
        std::process::exit(0);
    });
    let run = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        println!("ok{}", Pairs::new().with("address", listener.local_addr()?));
        for stream in listener.incoming() {
            // The end of a connection is the end of a measurement, however it comes.
            let _ = answer(stream?);
        }
        Ok(())
    };
    if let Err(e) = run() as io::Result<()> {
        println!("failed {e}");
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    prepare(&stream)?;
    let mut kind = [0];
    stream.read_exact(&mut kind)?;
    let mut block = [0; SIZE];
    match kind[0] {
        // The relay without an application is the same on this side: the thread that reads answers.
        k if k == Kind::Plain as u8 || k == Kind::Relay as u8 => loop {
            stream.read_exact(&mut block)?;
            stream.write_all(&block)?;
        },
        k if k == Kind::RelayWithApplication as u8 => {
            let (to_io, to_application) = (Arc::new(Slot::default()), Arc::new(Slot::default()));
            let application = std::thread::spawn({
                let (to_io, to_application) = (to_io.clone(), to_application.clone());
                move || {
                    while let Some(block) = to_application.take() {
                        to_io.put(Some(block));
                    }
                }
            });
            let mut relay = || -> io::Result<()> {
                loop {
                    stream.read_exact(&mut block)?;
                    to_application.put(Some(block));
                    let Some(answer) = to_io.take() else { return Ok(()) };
                    stream.write_all(&answer)?;
                }
            };
            let ended = relay();
            to_application.put(None);
            let _ = application.join();
            ended
        }
        _ => {
            let mut block = vec![0; 256 << 10];
            while stream.read(&mut block)? > 0 {}
            stream.write_all(&[1])
        }
    }
}
