//! Steps of the handshake that are taken on other threads.

use super::{End, Task};
use crate::mesh::Core;
use crate::mesh::origin::Origin;
use crate::mesh::workers::Job;
use crate::model::Status;
use std::ops::ControlFlow;
use std::task::{Context, Poll};

impl<C: Core> Task<C> {
    /// Looks whether the step of the handshake that was left to others is taken, and goes on from there.
    pub(super) fn poll_job(&mut self, cx: &mut Context<'_>) -> ControlFlow<End> {
        let Some(Poll::Ready(worked)) = self.job.as_ref().map(Job::poll) else {
            return ControlFlow::Continue(());
        };
        self.job = None;
        let step = self.connection.channel.borrow_mut().worked(worked);
        self.mesh.with_core(|core| core.begin());
        self.handle_step(step, cx)?;
        self.handle_bytes(cx)
    }

    /// Until it is taken nothing is read.
    pub(super) fn leave_to_others(&mut self, cx: &mut Context<'_>) -> ControlFlow<End> {
        let origin = Origin::of(self.remote.map(|remote| remote.ip()));
        let work = self.connection.channel.borrow_mut().work();
        let begins = !self.has_dialled && !std::mem::replace(&mut self.has_begun, true);
        self.job = work.and_then(|work| self.mesh.workers().give(work, origin, begins, cx.waker()));
        if self.job.is_some() {
            return ControlFlow::Continue(());
        }
        let text = "no thread is left for the handshake";
        self.dial_failed(Status::Io, text);
        ControlFlow::Break(End::Broken(text.to_owned()))
    }
}
