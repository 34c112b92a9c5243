//! The two halves of a connection's socket.

use crate::os::OwnFd;
use std::ops::Deref;
use std::rc::Rc;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// One half of a connection's socket, which is closed with the other one. It is noted as the library's until then.
pub(super) struct Half<T> {
    // Before the half: the last of the two closes the descriptor.
    _own: Rc<OwnFd>,
    half: T,
}

impl<T> Deref for Half<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.half
    }
}

impl Half<OwnedReadHalf> {
    pub(super) fn inner(&mut self) -> &mut OwnedReadHalf {
        &mut self.half
    }
}

impl Half<OwnedWriteHalf> {
    /// Gives it up without ending the stream.
    pub(super) fn forget(self) {
        let Self { _own, half } = self;
        drop(_own);
        half.forget();
    }
}

pub(super) fn halves(stream: TcpStream) -> (Half<OwnedReadHalf>, Half<OwnedWriteHalf>) {
    let own = Rc::new(OwnFd::new(&stream));
    let (read, write) = stream.into_split();
    (Half { _own: own.clone(), half: read }, Half { _own: own, half: write })
}
