//! Accepting connections, whatever strangers do.

use super::{Core, Mesh};
use crate::model::Status;
use crate::os::{self, OwnFd};
use std::io::ErrorKind;
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpListener;

/// The pauses after an error that is the machine's and not one connection's (no descriptors, no memory).
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Connections that the kernel has made and nobody has accepted yet. Were it less than comes in while this thread has other
/// things to do, those that are left out would try again after a second.
const BACKLOG: u32 = 4096;

/// The listening socket.
pub(super) struct Listening {
    // Before the descriptor is closed.
    _own: OwnFd,
    socket: TcpListener,
}

impl Listening {
    pub(super) fn new(socket: TcpListener) -> Self {
        // What it was made with does, if this does not.
        let _ = os::set_backlog(&socket, BACKLOG);
        Self { _own: OwnFd::new(&socket), socket }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // A child that was forked past the handlers has a descriptor for it too.
        os::shut_down(&self.socket);
    }
}

pub(super) async fn run<C: Core>(mesh: Mesh<C>, listener: Listening) {
    let mut pause = FIRST_PAUSE;
    while !mesh.is_closed() {
        let accepted = std::future::poll_fn(|cx| {
            mesh.watch_closing(cx.waker());
            if mesh.is_closed() { Poll::Ready(None) } else { listener.socket.poll_accept(cx).map(Some) }
        })
        .await;
        match accepted {
            None => return,
            Some(Ok((stream, from))) => {
                pause = FIRST_PAUSE;
                mesh.accept(stream, from);
            }
            // One connection that was gone before it was accepted.
            Some(Err(e))
                if matches!(
                    e.kind(),
                    ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
                ) => {}
            Some(Err(e)) => {
                if pause == FIRST_PAUSE {
                    mesh.with_core(|core| core.log(Status::Io, format!("accepting connections failed: {e}")));
                    mesh.turn();
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}
