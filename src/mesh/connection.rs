//! One connection: its handshake, and the task that reads it and goes on with its writing.

mod job;

use super::effort::{Effort, give_way};
use super::half::{Half, halves};
use super::mesh::encode_refusal;
use super::outgoing::{Outgoing, Pumped};
use super::pace;
use super::refusals::Refused;
use super::whereabouts::Whereabouts;
use super::workers::Job;
use super::{Core, Mesh};
use crate::engine::{Ending, Refusal};
use crate::model::{ConnectionId, NodeId, Status};
use crate::os;
use crate::wire::{self, Channel, Denial, Frame, FrameReader, Handshake, Setup, Shown, Step, WireError};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::Sleep;

/// Read from one connection in one turn, before the others have theirs.
const READ_TURN: usize = 256 << 10;
/// Frames given to the core before its orders are drained, so that they do not pile up.
const FRAMES_PER_DRAIN: u32 = 64;

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stage {
    /// It is not known who the peer is; the core does not know of the connection.
    Unauthenticated,
    /// The core knows who the peer is; who decides of the two has not spoken.
    Known,
    /// The connection is a link.
    Linked,
    /// Everything is said on this side; what is left is written and the peer's end awaited. The core has done with it.
    Closing,
}

/// What the mesh holds of a connection; the rest belongs to its task.
pub(super) struct Connection<O> {
    pub(super) id: ConnectionId,
    pub(super) out: RefCell<Outgoing<O>>,
    /// What lies below the frames, in both directions.
    pub(super) channel: RefCell<Channel>,
    /// Stands in the mesh's list of connections with something to write.
    pub(super) dirty: Cell<bool>,
    stage: Cell<Stage>,
    /// Set: the connection is to end at once, for this reason.
    cut: RefCell<Option<String>>,
    waker: RefCell<Option<Waker>>,
}

impl<O: Clone> Connection<O> {
    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn is_linked(&self) -> bool {
        self.stage.get() == Stage::Linked
    }

    pub(super) fn is_closing(&self) -> bool {
        self.stage.get() == Stage::Closing
    }

    /// The handshake is under way.
    pub(super) fn is_half_open(&self) -> bool {
        self.stage.get() < Stage::Linked
    }

    pub(super) fn linked(&self) {
        if self.is_half_open() {
            self.stage.set(Stage::Linked);
            self.out.borrow_mut().link();
            self.wake();
        }
    }

    /// Ends it without another word; the core is told if it knows of the connection.
    pub(super) fn cut(&self, why: &str) {
        self.cut.borrow_mut().get_or_insert_with(|| why.to_owned());
        self.wake();
    }

    /// A few bytes before anything else, if the socket takes them; whoever they are for may have gone.
    pub(super) fn say_at_once(&self, bytes: &[u8]) {
        if let Some(socket) = self.out.borrow().socket() {
            let _ = socket.try_write(bytes);
        }
    }

    /// Says why the connection does not become a link, and closes it.
    pub(super) fn refuse(&self, why: Refusal) {
        self.out.borrow_mut().tail([encode_refusal(why)]);
        self.close();
    }

    /// Ends the connection behind all that is to be written. The core hears no more of it.
    pub(super) fn close(&self) {
        self.stage.set(Stage::Closing);
        self.out.borrow_mut().close();
        self.wake();
    }
}

/// What has to be over in time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Limit {
    Handshake,
    /// Reading the rest from a connection that cannot be written to any more.
    Broken,
    Farewell,
}

/// How a connection ends.
enum End {
    /// The core ordered it, or knows already.
    Known,
    /// The peer's side has closed it: its machine, most likely, for a node that goes on says goodbye first, or resets.
    Ended,
    /// By a reset.
    Reset(String),
    /// By the network, a violation or this side.
    Broken(String),
}

/// A new connection and its task. `remote`: where the other end is.
pub(super) fn begin<C: Core>(
    mesh: Mesh<C>,
    id: ConnectionId,
    stream: TcpStream,
    remote: Option<SocketAddr>,
    dialled: Option<String>,
    nonce: [u8; 16],
) -> (Rc<Connection<C::Outbox>>, impl Future<Output = ()> + 'static) {
    let settings = mesh.settings();
    // A link works without these, if worse; a socket that is gone already shows that when it is read.
    let _ = stream.set_nodelay(true);
    let _ = os::tune_link_socket(&stream, pace::MOST, settings.unacknowledged);
    let (read, write) = halves(stream);
    let setup = Setup {
        versions: settings.versions,
        cluster: settings.cluster.clone(),
        node: settings.node,
        name: mesh.with_core(|core| core.identity().name),
        protection: settings.protection(),
        nonce,
    };
    let channel = if dialled.is_some() { Channel::dial(setup) } else { Channel::accept(setup) };
    let connection = Rc::new(Connection {
        id,
        out: RefCell::new(Outgoing::new(write, settings.rekey)),
        channel: RefCell::new(channel),
        dirty: Cell::new(false),
        stage: Cell::new(Stage::Unauthenticated),
        cut: RefCell::default(),
        waker: RefCell::default(),
    });
    let mut task = Task {
        connection: connection.clone(),
        read,
        frames: FrameReader::new(),
        undrained: 0,
        taken: 0,
        effort: Effort::new(),
        has_more: false,
        rest: None,
        remote,
        has_dialled: dialled.is_some(),
        dialled,
        peer: NodeId(0),
        whereabouts: Whereabouts::default(),
        deadline: None,
        shown: Shown::Nothing,
        has_linked: false,
        job: None,
        has_begun: false,
        mesh,
    };
    (connection, async move {
        let end = std::future::poll_fn(|cx| task.poll(cx)).await;
        task.end(end);
    })
}

#[allow(clippy::struct_excessive_bools)] // each says of another part of the task how far it is
struct Task<C: Core> {
    mesh: Mesh<C>,
    connection: Rc<Connection<C::Outbox>>,
    read: Half<OwnedReadHalf>,
    frames: FrameReader,
    /// Frames given to the core since its orders were drained.
    undrained: u32,
    /// Frames that have come.
    taken: u64,
    effort: Effort,
    /// The turn ended before all that was read was handled.
    has_more: bool,
    /// The peer has cost too much, and is not read meanwhile.
    rest: Option<Pin<Box<Sleep>>>,
    remote: Option<SocketAddr>,
    has_dialled: bool,
    /// The address, if this node dialled it and the core has not been told how that went.
    dialled: Option<String>,
    peer: NodeId,
    whereabouts: Whereabouts,
    deadline: Option<(Limit, Pin<Box<Sleep>>)>,
    /// What the peer has shown of itself, if it has dialled.
    shown: Shown,
    has_linked: bool,
    /// A step of the handshake that is being taken elsewhere.
    job: Option<Job>,
    /// One was taken.
    has_begun: bool,
}

impl<C: Core> Task<C> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        match &mut *self.connection.waker.borrow_mut() {
            Some(waker) => waker.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        if let Some(why) = self.connection.cut.borrow_mut().take() {
            return Poll::Ready(End::Broken(why));
        }
        self.poll_write(cx);
        let read = self.poll_turn(cx);
        self.mesh.turn();
        self.undrained = 0;
        if let ControlFlow::Break(end) = read {
            return Poll::Ready(end);
        }
        // The turn may have closed the connection or filled the socket; its wake-up comes back here.
        self.poll_deadline(cx)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) {
        loop {
            let mut out = self.connection.out.borrow_mut();
            if out.is_blocked() {
                let ready = out.socket().map(|socket| socket.as_ref().poll_write_ready(cx));
                if matches!(ready, Some(Poll::Pending)) {
                    return;
                }
                out.unblock();
            }
            drop(out);
            match self.mesh.pump(&self.connection) {
                Pumped::Blocked => {} // asks to be told when it no longer is
                Pumped::More => return cx.waker().wake_by_ref(),
                Pumped::Idle | Pumped::Broken => return,
            }
        }
    }

    /// One turn of reading, unless the peer rests. `Break`: the connection is over.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> ControlFlow<End> {
        if let Some(rest) = &mut self.rest {
            if rest.as_mut().poll(cx).is_pending() {
                return ControlFlow::Continue(());
            }
            self.rest = None;
        }
        self.effort.begin();
        let read = self.poll_read(cx);
        if let Some(rest) = self.effort.end() {
            let mut rest = Box::pin(tokio::time::sleep(rest));
            if rest.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
            self.rest = Some(rest);
        }
        read
    }

    /// Reads what is there, up to a turn's worth. `Break`: the connection is over.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> ControlFlow<End> {
        let mut left = READ_TURN;
        self.poll_job(cx)?;
        if std::mem::take(&mut self.has_more) {
            self.mesh.with_core(|core| core.begin());
            self.handle_frames()?;
            if !self.has_more {
                self.handle_bytes(cx)?;
            }
            if self.has_more {
                give_way(cx);
                return ControlFlow::Continue(());
            }
        }
        loop {
            if self.job.is_some() {
                return ControlFlow::Continue(()); // it comes back here with the next wake-up
            }
            let mut channel = self.connection.channel.borrow_mut();
            let mut buffer = ReadBuf::new(channel.space(&mut self.frames));
            match Pin::new(self.read.inner()).poll_read(cx, &mut buffer) {
                Poll::Pending => return ControlFlow::Continue(()),
                Poll::Ready(Err(e)) => {
                    let text = format!("reading failed: {e}");
                    return ControlFlow::Break(match e.kind() {
                        ErrorKind::ConnectionReset => End::Reset(text),
                        _ => End::Broken(text),
                    });
                }
                Poll::Ready(Ok(())) => {}
            }
            let n = buffer.filled().len();
            if n == 0 {
                // A reset is told once; if it was told to the writing side, reading finds an end.
                let broken = self.connection.out.borrow().why_broken().map(str::to_owned);
                return ControlFlow::Break(broken.map_or(End::Ended, End::Reset));
            }
            self.mesh.count_read();
            self.effort.note_bytes(n);
            channel.filled(n, &mut self.frames);
            drop(channel);
            self.mesh.with_core(|core| {
                core.moved(self.connection.out.borrow().outbox(), n, 0);
                core.begin();
            });
            let taken = self.taken;
            self.handle_bytes(cx)?;
            // On a slow line a frame may be on its way for longer than a peer may be silent.
            if self.taken == taken && self.connection.is_linked() {
                self.mesh.with_core(|core| core.handle_part(self.connection.id));
            }
            left = left.saturating_sub(n);
            if left == 0 || self.has_more || self.effort.is_turn_over() {
                give_way(cx);
                return ControlFlow::Continue(());
            }
        }
    }

    /// Takes what was read through the channel, then its frames.
    fn handle_bytes(&mut self, cx: &mut Context<'_>) -> ControlFlow<End> {
        loop {
            // Nothing that comes now is of interest; only its end is.
            if self.connection.is_closing() {
                self.connection.channel.borrow_mut().discard();
                self.frames.discard();
                return ControlFlow::Continue(());
            }
            let step = self.connection.channel.borrow_mut().step(&mut self.frames);
            let is_all = !matches!(step, Ok(Step::Words | Step::Open | Step::Data));
            self.handle_step(step, cx)?;
            if is_all || self.has_more || self.connection.cut.borrow().is_some() {
                return ControlFlow::Continue(()); // if it was cut its wake-up is on its way
            }
        }
    }

    fn handle_step(&mut self, step: Result<Step, WireError>, cx: &mut Context<'_>) -> ControlFlow<End> {
        let shown = self.connection.channel.borrow().shown();
        if !self.has_dialled && shown != self.shown {
            self.shown = shown;
            self.mesh.shows(self.connection.id, shown);
        }
        match step {
            Ok(Step::Wait) => {}
            Ok(Step::Words) => self.connection.wake(), // written when its wake-up comes
            Ok(Step::Work) => return self.leave_to_others(cx),
            Ok(Step::Open) => self.introduce(),
            Ok(Step::Data) => self.handle_frames()?,
            Err(error) => return self.refuse_bytes(error),
        }
        ControlFlow::Continue(())
    }

    /// The first frame that is written.
    fn introduce(&mut self) {
        let identity = self.mesh.with_core(|core| core.identity());
        let identity = {
            let settings = self.mesh.settings();
            Handshake::identity(&settings.cluster, identity, settings.opening)
        };
        self.connection.out.borrow_mut().control(|out| wire::encode_handshake(&identity, out));
        self.connection.wake();
    }

    /// The peer's bytes are not taken.
    fn refuse_bytes(&mut self, error: WireError) -> ControlFlow<End> {
        let text = error.to_string();
        self.note_refusal(Refused::of(&error), &text);
        self.dial_failed(error.status(), &text);
        if self.connection.stage.get() == Stage::Unauthenticated
            && self.connection.channel.borrow().has_handshake_bytes()
        {
            self.connection.close(); // behind the words, which tell the peer why
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(End::Broken(text))
    }

    fn note_refusal(&self, why: Refused, text: &str) {
        self.mesh.refuse(why, self.remote, self.has_dialled, text);
    }

    fn handle_frames(&mut self) -> ControlFlow<End> {
        let id = self.connection.id;
        loop {
            match self.connection.stage.get() {
                Stage::Closing => return ControlFlow::Continue(()), // the rest is discarded
                Stage::Linked => self.frames.link(),
                Stage::Unauthenticated | Stage::Known => {}
            }
            let frame = match self.frames.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return ControlFlow::Continue(()),
                Err(error) => return self.refuse_bytes(error),
            };
            // Data cost what their bytes are worth; a message may cost much.
            let is_control = matches!(frame, Frame::Control(_));
            match frame {
                Frame::Control(message) => self.mesh.with_core(|core| core.handle_message(id, message)),
                Frame::Data(header, body) => self.mesh.with_core(|core| core.handle_data(id, header, body)),
                Frame::Handshake(handshake) => self.handle_handshake(handshake)?,
            }
            self.taken += 1;
            self.undrained += 1;
            self.effort.note_frame();
            if is_control && self.effort.is_turn_over() {
                self.has_more = true;
                return ControlFlow::Continue(());
            }
            if self.undrained >= FRAMES_PER_DRAIN {
                self.undrained = 0;
                self.mesh.half_turn();
                if self.connection.cut.borrow().is_some() {
                    return ControlFlow::Continue(()); // its wake-up is on its way
                }
            }
        }
    }

    fn handle_handshake(&mut self, handshake: Handshake) -> ControlFlow<End> {
        let id = self.connection.id;
        let stage = self.connection.stage.get();
        match handshake {
            Handshake::Identity { cluster, identity, opening } if stage == Stage::Unauthenticated => {
                let is_proven = (self.mesh.settings().is_proven)(&identity, &opening);
                if !is_proven || !self.connection.channel.borrow().vouches_for(&identity) {
                    return self.refuse_bytes(WireError::Identity);
                }
                if cluster != self.mesh.settings().cluster {
                    // The channel knows digests of the names; this is the names themselves.
                    let error = WireError::Denied(Denial::Cluster);
                    self.note_refusal(Refused::of(&error), &error.to_string());
                    self.dial_failed(error.status(), &error.to_string());
                    self.connection.refuse(Refusal::Cluster); // written when its wake-up comes
                    return ControlFlow::Continue(());
                }
                self.connection.stage.set(Stage::Known);
                self.peer = identity.node;
                let local = self.read.local_addr().ok();
                self.whereabouts = Whereabouts::of(&identity.address, local, self.remote);
                let dialled = self.dialled.take();
                let protection = self.connection.channel.borrow().protection();
                self.mesh.with_core(|core| {
                    core.opened(id, protection);
                    core.handle_connection(id, identity, dialled);
                });
            }
            // Of the two the lower one decides, and only the other may be told.
            Handshake::Go if stage == Stage::Known && self.peer < self.mesh.settings().node => {
                self.connection.linked();
                self.mesh.with_core(|core| core.handle_go(id));
            }
            // Also when this side, which decides, has said Go already: the peer may have an objection of its own.
            Handshake::Refuse(why) if matches!(stage, Stage::Known | Stage::Linked) => {
                self.mesh.with_core(|core| core.handle_refused(id, why));
                return ControlFlow::Break(End::Known);
            }
            Handshake::Refuse(why) if stage == Stage::Unauthenticated => {
                let status = match why {
                    Refusal::Cluster => Status::Auth,
                    Refusal::Version => Status::Version,
                    _ => Status::Unreachable,
                };
                self.dial_failed(status, &format!("the peer refused the connection: {why:?}"));
                return ControlFlow::Break(End::Known);
            }
            Handshake::Identity { .. } | Handshake::Go | Handshake::Refuse(_) => {
                let text = "a frame of the handshake at the wrong time".to_owned();
                return ControlFlow::Break(End::Broken(text));
            }
        }
        ControlFlow::Continue(())
    }

    fn dial_failed(&mut self, status: Status, text: &str) {
        if let Some(address) = self.dialled.take() {
            self.mesh.with_core(|core| core.handle_dial_failed(&address, status, text));
        }
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let broken = self.connection.out.borrow().why_broken().is_some();
        let (limit, time) = match self.connection.stage.get() {
            Stage::Closing => (Limit::Farewell, self.mesh.settings().farewell),
            // What the peer said before it went is still to be read, and then its end; both are there already.
            _ if broken => (Limit::Broken, self.mesh.settings().farewell),
            Stage::Unauthenticated | Stage::Known => (Limit::Handshake, self.mesh.settings().handshake),
            Stage::Linked => {
                self.deadline = None;
                if !std::mem::replace(&mut self.has_linked, true) {
                    self.mesh.linked(self.connection.id, self.remote);
                }
                return Poll::Pending;
            }
        };
        let deadline = match &mut self.deadline {
            Some((of, deadline)) if *of == limit => deadline,
            other => &mut other.insert((limit, Box::pin(tokio::time::sleep(time)))).1,
        };
        deadline.as_mut().poll(cx).map(|()| {
            let why = self.connection.out.borrow().why_broken().map(str::to_owned);
            let text = why.unwrap_or_else(|| "the peer did not end the handshake in time".to_owned());
            if limit == Limit::Handshake {
                self.note_refusal(Refused::Late, &text);
            }
            End::Broken(text)
        })
    }

    fn end(&mut self, end: End) {
        let id = self.connection.id;
        // An end of stream without a goodbye says that its sender is dead: a node that lives does not send one.
        // As soon as this node has said who it is, this may be a link for the peer.
        let is_said = self.connection.out.borrow().is_shut_down();
        let is_known = self.connection.channel.borrow().is_open();
        if matches!(end, End::Broken(_)) && is_known && !is_said {
            let _ = self.read.as_ref().set_zero_linger(); // of a socket that is gone already it does not matter
        }
        let (ending, text) = match end {
            End::Known => (None, String::new()),
            End::Ended => (Some(self.whereabouts.ended()), "the peer ended the connection".to_owned()),
            End::Reset(text) => (Some(self.whereabouts.reset()), text),
            End::Broken(text) => (Some(Ending::Broke), text),
        };
        if let Some(ending) = ending {
            match self.connection.stage.get() {
                Stage::Unauthenticated => self.dial_failed(Status::Unreachable, &text),
                Stage::Known | Stage::Linked => {
                    self.mesh.with_core(|core| core.handle_connection_end(id, ending, &text));
                }
                Stage::Closing => {}
            }
        }
        self.connection.stage.set(Stage::Closing);
        self.connection.out.borrow_mut().break_off("the connection is over".to_owned());
        self.mesh.forget(id);
        self.mesh.turn();
    }
}
