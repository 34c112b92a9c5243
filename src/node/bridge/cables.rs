//! Cut links, as the bridge of one node has them: see [`crate::testing`].

use super::{Attachment, Bridge};
use crate::engine::{Ending, Goodbye, Stamped};
use crate::flow::DataHeader;
use crate::mesh::Order;
use crate::model::{ConnectionId, Status};
use crate::testing::{self, Act, Hook};
use std::collections::BTreeMap;
use std::sync::mpsc::SyncSender;

/// What was said on a line that is hushed.
enum Said {
    Message(Stamped),
    Data(DataHeader, Vec<u8>),
}

enum State {
    Live,
    /// What is said is heard if the cut is healed in time.
    Hushed(Vec<Said>),
    /// Nothing is heard any more. It stays open as long as there is no new one, so that the other end notices nothing.
    Dead,
}

/// A connection that the engine was told of.
struct Line {
    peer: String,
    /// The engine took it for a link. Of a link that is held up it learns the end by the silence; of a connection that is
    /// none yet nothing else would ever tell it, and whoever dialled it would wait for ever.
    linked: bool,
    state: State,
}

#[derive(Default)]
pub(super) struct Cables {
    lines: BTreeMap<ConnectionId, Line>,
    /// How many of them are not live.
    cut: usize,
    /// To be closed.
    closing: Vec<ConnectionId>,
    /// Hooks whose effect is not published yet.
    done: Vec<SyncSender<()>>,
}

impl Cables {
    pub(super) fn poll_order(&mut self) -> Option<Order<Attachment>> {
        let connection = self.closing.pop()?;
        self.ended(connection);
        // Without one the other end, if it is not cut, would take this node for dead.
        Some(Order::Close { connection, goodbye: Some(Goodbye::Silent) })
    }

    /// All that was ordered is carried out.
    pub(super) fn settle(&mut self) {
        self.done.clear();
    }

    /// The line is no more. Says whether the engine is to be told: of a link that is cut it learns nothing.
    pub(super) fn ended(&mut self, connection: ConnectionId) -> bool {
        let Some(line) = self.lines.remove(&connection) else { return true };
        self.count();
        match line.state {
            State::Live => true,
            State::Hushed(_) => !line.linked,
            State::Dead => false, // it knows
        }
    }

    /// The engine makes the connection a link, or hears that it is one.
    pub(super) fn goes(&mut self, connection: ConnectionId) {
        if let Some(line) = self.lines.get_mut(&connection) {
            line.linked = true;
        }
    }

    /// The engine closes the line. `false`: the other end must not notice that.
    pub(super) fn closes(&mut self, connection: ConnectionId) -> bool {
        match self.lines.get_mut(&connection) {
            Some(Line { state: State::Live, .. }) => {
                self.lines.remove(&connection);
                true
            }
            Some(line) => {
                line.state = State::Dead;
                false
            }
            None => true,
        }
    }

    /// Gives back what is to be handled now.
    fn hear(&mut self, connection: ConnectionId, said: Said) -> Option<Said> {
        match self.lines.get_mut(&connection).map(|line| &mut line.state) {
            Some(State::Hushed(held)) => {
                held.push(said);
                None
            }
            Some(State::Dead) => None,
            Some(State::Live) | None => Some(said),
        }
    }

    pub(super) fn hear_message(&mut self, connection: ConnectionId, message: Stamped) -> Option<Stamped> {
        if self.cut == 0 {
            return Some(message);
        }
        match self.hear(connection, Said::Message(message)) {
            Some(Said::Message(message)) => Some(message),
            _ => None,
        }
    }

    /// Says whether it is to be handled now.
    pub(super) fn hear_data(&mut self, connection: ConnectionId, header: &DataHeader, body: &[u8]) -> bool {
        self.cut == 0 || self.hear(connection, Said::Data(*header, body.to_vec())).is_some()
    }

    /// Whether what is said on the line is heard now.
    pub(super) fn is_live(&self, connection: ConnectionId) -> bool {
        self.lines.get(&connection).is_none_or(|line| matches!(line.state, State::Live))
    }

    /// A new link with the peer: nothing needs the dead lines any more.
    pub(super) fn linked(&mut self, connection: ConnectionId) {
        let Some(peer) = self.lines.get(&connection).map(|line| line.peer.clone()) else { return };
        let dead =
            self.lines.iter().filter(|(_, line)| line.peer == peer && matches!(line.state, State::Dead));
        self.closing.extend(dead.map(|(connection, _)| *connection));
    }

    /// Lines to the peer that are in a state of this kind.
    fn to(&self, peer: &str, is_meant: impl Fn(&State) -> bool) -> Vec<ConnectionId> {
        let meant = self.lines.iter().filter(|(_, line)| line.peer == peer && is_meant(&line.state));
        meant.map(|(connection, _)| *connection).collect()
    }

    fn set(&mut self, connection: ConnectionId, state: State) -> Option<State> {
        let line = self.lines.get_mut(&connection)?;
        let old = std::mem::replace(&mut line.state, state);
        self.count();
        Some(old)
    }

    fn count(&mut self) {
        self.cut = self.lines.values().filter(|line| !matches!(line.state, State::Live)).count();
    }
}

impl Bridge {
    /// The peer of a new connection has said who it is. Says whether the engine may hear of it.
    pub(super) fn is_cable_whole(
        &mut self,
        connection: ConnectionId,
        peer: &str,
        dialled: Option<&str>,
    ) -> bool {
        if testing::is_cut(&self.desk.shared.config.name, peer) {
            self.cables.closing.push(connection);
            if let Some(address) = dialled {
                self.desk.engine.handle_dial_failed(
                    self.desk.now,
                    address,
                    Status::Unreachable,
                    "cut by a test",
                );
            }
            return false;
        }
        self.cables
            .lines
            .insert(connection, Line { peer: peer.to_owned(), linked: false, state: State::Live });
        true
    }

    pub(super) fn handle_hook(&mut self, hook: Hook) {
        match hook.act {
            Act::End => {
                for connection in self.cables.to(&hook.peer, |state| !matches!(state, State::Dead)) {
                    self.cables.set(connection, State::Dead);
                    self.desk.engine.handle_connection_end(
                        self.desk.now,
                        connection,
                        Ending::Broke,
                        "cut by a test",
                    );
                }
            }
            Act::Hush => {
                for connection in self.cables.to(&hook.peer, |state| matches!(state, State::Live)) {
                    self.cables.set(connection, State::Hushed(Vec::new()));
                }
            }
            Act::Heal => {
                for connection in self.cables.to(&hook.peer, |state| matches!(state, State::Hushed(_))) {
                    let Some(State::Hushed(held)) = self.cables.set(connection, State::Live) else {
                        continue;
                    };
                    for said in held {
                        match said {
                            Said::Message(message) => {
                                self.desk.engine.handle_message(self.desk.now, connection, message);
                            }
                            Said::Data(header, body) => {
                                self.desk.engine.handle_data(self.desk.now, connection, header, &body);
                            }
                        }
                    }
                }
                self.desk.engine.redial(self.desk.now);
            }
        }
        self.cables.done.push(hook.done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What ends while it is held up: of a link the engine is to learn nothing, of a connection that is none yet it must.
    #[test]
    fn the_end_of_a_held_up_connection_is_told_unless_it_is_a_link() {
        for (linked, state, told) in [
            (false, State::Live, true),
            (true, State::Live, true),
            (false, State::Hushed(Vec::new()), true),
            (true, State::Hushed(Vec::new()), false),
            (false, State::Dead, false),
            (true, State::Dead, false),
        ] {
            let mut cables = Cables::default();
            let id = ConnectionId(1);
            cables.lines.insert(id, Line { peer: "b".to_owned(), linked: false, state });
            if linked {
                cables.goes(id);
            }
            assert_eq!(cables.ended(id), told);
            assert!(cables.ended(id), "what is not known any more is no business of the hooks");
        }
    }
}
