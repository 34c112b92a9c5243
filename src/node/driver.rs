//! Stand-in until the node's thread lands: an engine without a network.

use crate::engine::{Engine, Output};
use crate::node::{Delivery, Request, Shared, operation_of};
use crate::os::with_signals_blocked;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;

pub(crate) fn start(
    shared: Arc<Shared>,
    mut engine: Engine,
    listener: TcpListener,
) -> io::Result<JoinHandle<()>> {
    let run = move || {
        let _listener = listener;
        let mut delivery = Delivery::new(shared.clone());
        let mut requests = Vec::new();
        let mut dirty = Vec::new();
        loop {
            shared.inbox.drain(&mut requests);
            shared.inbox.drain_dirty(&mut dirty);
            dirty.clear();
            let now = shared.clock.now();
            for request in requests.drain(..) {
                match request {
                    Request::Command { command, reply } => {
                        if let (Some(op), Some(reply)) = (operation_of(&command), reply) {
                            delivery.expect(op, reply);
                        }
                        engine.handle_command(now, command);
                    }
                    Request::Taken { window, messages, bytes } => {
                        engine.handle_taken(now, window, messages, bytes);
                    }
                }
            }
            if engine.poll_timeout().is_some_and(|at| at <= now) {
                engine.handle_timeout(now);
            }
            let mut is_over = false;
            while let Some(output) = engine.poll_output() {
                is_over |= matches!(output, Output::Closed { .. });
                delivery.apply(output);
            }
            if is_over {
                return shared.finished();
            }
            if shared.inbox.prepare_sleep() {
                let deadline = engine.poll_timeout().map(|at| shared.clock.instant(at));
                shared.inbox.event_fd().wait(deadline);
                shared.inbox.awake();
            }
        }
    };
    with_signals_blocked(|| std::thread::Builder::new().name("convoke/node".into()).spawn(run))
}
