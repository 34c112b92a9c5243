//! What comes out of an engine: where it goes, and what must hold of it always.

use crate::harness::{Frame, NodeIndex, World};
use convoke::engine::{Message, Output, Stamped, Wire};
use convoke::model::{ConnectionId, Effect, Members, Name, Pid};
use std::collections::{BTreeMap, BTreeSet};

impl World {
    pub(crate) fn drain(&mut self, node: NodeIndex) {
        let Some(mut engine) = self.nodes[node].engine.take() else { return };
        let mut stage = 0;
        let mut groups = BTreeSet::new();
        while let Some(output) = engine.poll_any() {
            let of = stage_of(&output);
            assert!(of >= stage, "tables, then messages, then events; but {output:?} came late");
            stage = of;
            assert_eq!(self.nodes[node].closed, None, "after Closed came {output:?}");
            if let Output::Effect(Effect::PublishGroups { groups: changed }) = &output {
                for (group, _) in changed {
                    assert!(groups.insert(group.clone()), "published twice for one input: {group:?}");
                }
            }
            self.take(node, output);
        }
        let state = &self.nodes[node];
        let shown = state.shown.iter().filter_map(|(name, pids)| Some((name, (*pids.last()?)?)));
        let own: BTreeMap<&Name, Pid> = engine.names().collect();
        assert_eq!(shown.collect::<BTreeMap<_, _>>(), own, "readers see what the engine has");
        let own: BTreeMap<Name, Members> = engine.groups().into_iter().collect();
        assert_eq!(state.groups, own, "readers see what the engine has");
        self.nodes[node].engine = Some(engine);
    }

    fn take(&mut self, node: NodeIndex, output: Output) {
        match output.clone() {
            Output::Effect(Effect::PublishName { name, pid }) => {
                let pids = self.nodes[node].shown.entry(name).or_default();
                assert_ne!(pids.last().copied().flatten(), pid, "published without a change");
                pids.push(pid);
            }
            Output::Effect(Effect::PublishHold { process, resource, requester, token }) => {
                let tokens = self.nodes[node].held.entry((process, resource, requester)).or_default();
                assert_ne!(tokens.last().copied().flatten(), token, "published without a change");
                tokens.push(token);
            }
            Output::Effect(Effect::PublishGroups { groups }) => {
                for (group, members) in groups {
                    let before = self.nodes[node].groups.remove(&group);
                    let is_new = self.members_may_come_and_go || before != members;
                    assert!(is_new, "published without a change: {group:?} {members:?}");
                    if let Some(members) = members {
                        self.nodes[node].groups.insert(group, members);
                    }
                }
                self.nodes[node].seen.push(output);
            }
            Output::Effect(Effect::PublishPeer { node: peer, connection: Some(connection), .. }) => {
                let before = self.nodes[node].peers.insert(peer, connection);
                assert_eq!(before, None, "a link came up beside another");
            }
            Output::Effect(Effect::PublishPeer { node: peer, connection: None, .. }) => {
                assert!(self.nodes[node].peers.remove(&peer).is_some(), "a link went down that was not up");
            }
            Output::Wire(Wire::Send { to, message }) => {
                for id in to {
                    self.sends(node, id);
                    self.put(id, node, Frame::Control(message.clone()));
                }
            }
            Output::Wire(Wire::Signal { to, header, data }) => {
                self.sends(node, to);
                self.put(to, node, Frame::Data(header, data.as_bytes().to_vec()));
            }
            Output::Wire(Wire::Dial { address }) => self.nodes[node].dials.push(address),
            Output::Wire(Wire::Open { connection }) => self.put(connection, node, Frame::Go),
            Output::Wire(Wire::Refuse { connection, why }) => {
                self.refused.push((connection, why));
                self.ends(node, connection, Frame::Refuse(why));
            }
            Output::Wire(Wire::Close { connection, goodbye }) => {
                if let Some(why) = goodbye {
                    let message = Message::Goodbye { why };
                    self.put(connection, node, Frame::Control(Stamped { clock: 0, message }));
                }
                self.ends(node, connection, Frame::End);
            }
            Output::Effect(Effect::Answer { op, outcome, .. }) => {
                let before = self.answers.insert(op, outcome.clone());
                assert_eq!(before, None, "two answers to one operation");
                self.nodes[node].seen.push(output);
            }
            Output::Effect(Effect::Closed { reason }) => {
                self.nodes[node].closed = Some(reason);
                self.nodes[node].seen.push(output);
            }
            _ => self.nodes[node].seen.push(output),
        }
    }

    fn sends(&self, node: NodeIndex, id: ConnectionId) {
        let wire = &self.wires[&id];
        assert!(!wire.over[wire.side(node)], "node {node} speaks on a connection that is over");
    }

    fn ends(&mut self, node: NodeIndex, id: ConnectionId, last: Frame) {
        self.put(id, node, last);
        if let Some(wire) = self.wires.get_mut(&id) {
            let side = wire.side(node);
            wire.over[side] = true;
            wire.to[side].clear();
        }
    }
}

fn stage_of(output: &Output) -> u8 {
    match output {
        Output::Effect(Effect::PublishName { .. })
        | Output::Effect(Effect::PublishPeer { .. })
        | Output::Effect(Effect::PublishGroups { .. })
        | Output::Effect(Effect::PublishHold { .. }) => 0,
        Output::Wire(Wire::Send { .. })
        | Output::Wire(Wire::Signal { .. })
        | Output::Wire(Wire::Credit { .. })
        | Output::Wire(Wire::NoReceiver { .. })
        | Output::Wire(Wire::Dial { .. })
        | Output::Wire(Wire::Open { .. })
        | Output::Wire(Wire::Refuse { .. })
        | Output::Wire(Wire::Close { .. }) => 1,
        Output::Effect(Effect::Deliver { .. })
        | Output::Effect(Effect::Notify { .. })
        | Output::Effect(Effect::Answer { .. })
        | Output::Effect(Effect::ProcessGone { .. })
        | Output::Effect(Effect::CallResolver { .. })
        | Output::Effect(Effect::Closed { .. })
        | Output::Effect(Effect::Log { .. }) => 2,
    }
}
