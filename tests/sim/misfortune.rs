//! What befalls the machines and the network: connections break, go dark, are blocked or slow; machines pause and crash.

use crate::network::{Load, Parting, pair};
use crate::plan::Mode;
use crate::world::{Happening, R, World};

impl World {
    pub(crate) fn cut_one(&mut self, slot: usize) -> R {
        let near = self.connections_of(slot);
        if let Some(connection) = self.rng.pick(&near) {
            self.cut_somehow(connection);
        }
        Ok(())
    }

    pub(crate) fn isolate(&mut self, slot: usize) -> R {
        for connection in self.connections_of(slot) {
            self.cut_somehow(connection);
        }
        for other in 0..self.hosts.len() {
            if other != slot && self.rng.percent(50) {
                self.net.blocked.insert(pair(slot, other));
            }
        }
        Ok(())
    }

    pub(crate) fn darken_one(&mut self, slot: usize) -> R {
        let near = self.connections_of(slot);
        if let Some(connection) = self.rng.pick(&near) {
            let end = self.rng.index(2);
            self.darken(connection, end);
        }
        Ok(())
    }

    /// One way only, on all its links: it hears the others and is not heard, or the reverse.
    pub(crate) fn mute(&mut self, slot: usize) -> R {
        let speaks = self.rng.percent(50);
        for connection in self.connections_of(slot) {
            let Some(c) = self.net.connections.get(&connection) else { continue };
            let own = usize::from(c.ends[0].slot != slot);
            self.darken(connection, if speaks { 1 - own } else { own });
        }
        for other in 0..self.hosts.len() {
            if other != slot && self.rng.percent(50) {
                let door = if speaks { (other, slot) } else { (slot, other) };
                self.net.closed_doors.insert(door);
            }
        }
        Ok(())
    }

    pub(crate) fn block(&mut self, slot: usize) -> R {
        let other = self.rng.index(self.hosts.len());
        if other == slot {
            return Ok(());
        }
        self.trace.say(self.now, || format!("h{slot}-h{other} BLOCKED"));
        self.net.blocked.insert(pair(slot, other));
        for connection in self.connections_between(slot, other) {
            self.cut_somehow(connection);
        }
        Ok(())
    }

    pub(crate) fn unblock(&mut self, _: usize) -> R {
        let blocked: Vec<_> = self.net.blocked.iter().copied().collect();
        if let Some(pair) = self.rng.pick(&blocked) {
            self.trace.say(self.now, || format!("h{}-h{} UNBLOCKED", pair.0, pair.1));
            self.net.blocked.remove(&pair);
        }
        let doors: Vec<_> = self.net.closed_doors.iter().copied().collect();
        if let Some(door) = self.rng.pick(&doors) {
            self.net.closed_doors.remove(&door);
        }
        Ok(())
    }

    pub(crate) fn crash_and_restart(&mut self, slot: usize) -> R {
        self.crash(slot);
        let down = self.rng.below(self.plan.detection * 2);
        self.later(self.now + down, Happening::Start { slot });
        Ok(())
    }

    /// For a while it answers pings, and nothing else that is said on its links.
    pub(crate) fn go_numb(&mut self, slot: usize) -> R {
        if self.net.numb.insert(slot) {
            self.book.stats.numb += 1;
            self.trace.say(self.now, || format!("h{slot} ANSWERS PINGS ONLY"));
            let until = self.now + self.rng.below(self.plan.detection * 4);
            self.later(until, Happening::Feels { slot });
        }
        Ok(())
    }

    pub(crate) fn recover_feeling(&mut self, slot: usize) {
        if self.net.numb.remove(&slot) {
            self.free_ways(|_, to| to == slot);
        }
    }

    /// It is paused until its peers have given it up and a node of the same name is in its place; then it wakes.
    pub(crate) fn replace_paused(&mut self, slot: usize) -> R {
        let name = self.hosts[slot].name.clone();
        let twin = self.hosts.iter().find(|h| h.slot != slot && h.name == name && !h.is_up());
        let Some(twin) = twin.map(|twin| twin.slot) else { return Ok(()) };
        self.book.stats.replaced_paused += 1;
        let detection = self.plan.detection;
        let until = self.now + detection + self.rng.below(detection * 3);
        self.pause(slot, until);
        let start = self.now + self.rng.below(detection * 2);
        self.later(start, Happening::Start { slot: twin });
        Ok(())
    }

    /// The longest time that something may stand still. In a mesh where nothing may break nobody may be thought dead.
    fn longest_stop(&self) -> u64 {
        match self.plan.mode {
            Mode::Faulty => self.plan.detection * 2,
            Mode::Join | Mode::Stable => self.plan.detection / 10,
        }
    }

    pub(crate) fn pause_a_while(&mut self, slot: usize) -> R {
        // Now and then for so long that all peers have given it up and gone on.
        let times = if self.plan.mode == Mode::Faulty && self.rng.percent(30) { 3 } else { 1 };
        let until = self.now + self.rng.below(self.longest_stop() * times);
        self.pause(slot, until);
        Ok(())
    }

    /// A clock that leaps ahead, or stands still for a while as that of a machine that was suspended.
    pub(crate) fn jump(&mut self, slot: usize) -> R {
        let by = self.rng.below(self.longest_stop());
        let ahead = self.rng.percent(60);
        self.book.stats.jumps += 1;
        self.trace.say(self.now, || format!("h{slot} CLOCK {}{by}", if ahead { "+" } else { "-" }));
        self.hosts[slot].jump(by, ahead, self.now);
        Ok(())
    }

    /// A clogged direction is freed, a free one is clogged.
    pub(crate) fn clog(&mut self, slot: usize) -> R {
        let other = self.rng.index(self.hosts.len());
        if other != slot
            && self.plan.mode != Mode::Stable
            && self.net.clogged.remove(&(slot, other)).is_none()
        {
            self.net.clogged.insert((slot, other), self.rng.between(2, 8));
        }
        Ok(())
    }

    /// All that comes to it and from it is slow for a while, its timers are late.
    pub(crate) fn slow_down(&mut self, slot: usize) -> R {
        // Stragglers of a slow host would pass for dead.
        let most = if self.plan.mode == Mode::Faulty { 12 } else { 3 };
        if self.hosts[slot].slow > 1 || self.plan.mode != Mode::Faulty && self.plan.stragglers > 0 {
            return Ok(());
        }
        let factor = self.rng.between(2, most);
        self.trace.say(self.now, || format!("h{slot} SLOW {factor}"));
        self.hosts[slot].slow = factor;
        let until = self.now + self.rng.below(self.plan.detection * 3);
        self.later(until, Happening::Recover { slot });
        Ok(())
    }

    /// Directions of links, of some hosts or at random, are stopped up one by one, then freed in another order.
    pub(crate) fn swizzle(&mut self, _: usize) -> R {
        if self.plan.mode != Mode::Faulty && self.plan.stragglers > 0 {
            return Ok(());
        }
        self.book.stats.swizzles += 1;
        let hosts = self.hosts.len();
        let by_host = self.rng.percent(40);
        let chosen: Vec<bool> = (0..hosts).map(|_| self.rng.percent(50)).collect();
        let mut ways = Vec::new();
        for from in 0..hosts {
            for to in 0..hosts {
                let taken = if by_host { chosen[from] || chosen[to] } else { self.rng.percent(50) };
                if from != to && taken {
                    ways.push((from, to));
                }
            }
        }
        self.trace.say(self.now, || format!("SWIZZLE {ways:?}"));
        let half = match self.plan.mode {
            Mode::Faulty => self.plan.detection,
            Mode::Join | Mode::Stable => self.plan.detection / 24,
        };
        for (from, to) in ways {
            let stop = self.now + self.rng.below(half);
            let free = self.now + half + self.rng.below(half);
            self.later(stop, Happening::Stop { from, to });
            self.later(free, Happening::Free { from, to });
        }
        Ok(())
    }

    pub(crate) fn free(&mut self, from: usize, to: usize) {
        self.trace.say(self.now, || format!("h{from}>h{to} FREE"));
        self.net.stopped.remove(&(from, to));
        self.free_ways(|a, b| (a, b) == (from, to));
    }

    /// What has arrived in these directions and was not read is read now.
    fn free_ways(&mut self, is_meant: impl Fn(usize, usize) -> bool) {
        let mut held = Vec::new();
        for (connection, c) in &mut self.net.connections {
            for end in 0..2 {
                if is_meant(c.ends[end].slot, c.ends[1 - end].slot) {
                    let count = std::mem::take(&mut c.ways[end].held);
                    held.extend(std::iter::repeat_n((*connection, end), count));
                }
            }
        }
        for (connection, from) in held {
            let at = self.now + self.rng.below(self.plan.delay_min + 1);
            self.later(at, Happening::Arrive { connection, from });
        }
    }

    fn cut_somehow(&mut self, connection: u64) {
        let mut notice = [None; 2];
        for after in &mut notice {
            if !self.rng.percent(self.plan.unnoticed) {
                *after = Some(self.rng.below(self.plan.delay_max * 6));
            }
        }
        self.cut(connection, notice);
    }

    /// Something of what is under way is lost, and all that comes later. Each end notices after its time, or never.
    pub(crate) fn cut(&mut self, connection: u64, notice: [Option<u64>; 2]) {
        let Some(c) = self.net.connections.get_mut(&connection) else { return };
        if c.cut {
            return;
        }
        c.cut = true;
        let slots = [c.ends[0].slot, c.ends[1].slot];
        let mut lost = [0; 2];
        for (end, way) in c.ways.iter_mut().enumerate() {
            let kept = self.rng.index(way.queue.len() + 1);
            lost[end] = way.queue.iter().skip(kept).filter(|p| p.load == Load::Block).count();
            way.queue.truncate(kept);
        }
        self.trace.say(self.now, || {
            format!("h{}-h{} CUT c{connection} noticed after {notice:?}", slots[0], slots[1])
        });
        for (end, after) in notice.into_iter().enumerate() {
            if let Some(after) = after {
                self.later(self.now + after, Happening::Notice { connection, end });
            }
        }
        self.free_lost_blocks(connection, lost);
    }

    /// From now on nothing passes from this end to the other, and nobody is told.
    pub(crate) fn darken(&mut self, connection: u64, end: usize) {
        let Some(c) = self.net.connections.get_mut(&connection) else { return };
        let way = &mut c.ways[end];
        way.dark = true;
        let kept = self.rng.index(way.queue.len() + 1);
        let mut lost = [0; 2];
        lost[end] = way.queue.iter().skip(kept).filter(|p| p.load == Load::Block).count();
        way.queue.truncate(kept);
        let slots = [c.ends[0].slot, c.ends[1].slot];
        self.trace.say(self.now, || format!("h{}-h{} DARK c{connection} from end {end}", slots[0], slots[1]));
        self.free_lost_blocks(connection, lost);
    }

    fn free_lost_blocks(&mut self, connection: u64, lost: [usize; 2]) {
        for (end, lost) in lost.into_iter().enumerate() {
            let Some(c) = self.net.connections.get(&connection) else { return };
            let (slot, peer) = (c.ends[end].slot, c.ends[1 - end].node);
            for _ in 0..lost {
                self.block_arrived(connection, end, slot, peer);
            }
        }
    }

    /// The connections of a host that are not cut.
    pub(crate) fn connections_of(&self, slot: usize) -> Vec<u64> {
        self.net
            .connections
            .iter()
            .filter(|(_, c)| !c.cut && c.ends.iter().any(|e| e.slot == slot))
            .map(|(id, _)| *id)
            .collect()
    }

    pub(crate) fn connections_between(&self, a: usize, b: usize) -> Vec<u64> {
        let ends = [a, b];
        self.net
            .connections
            .iter()
            .filter(|(_, c)| {
                !c.cut && c.ends.iter().all(|e| ends.contains(&e.slot)) && c.ends[0].slot != c.ends[1].slot
            })
            .map(|(id, _)| *id)
            .collect()
    }

    /// How the death of an OS process looks to a peer.
    fn parting(&mut self) -> Parting {
        if !self.rng.percent(self.plan.clear_deaths) {
            Parting::Broke // by a reset, or it was not known where the peer listens
        } else if self.plan.same_machine {
            Parting::Died
        } else {
            Parting::MayHaveDied
        }
    }

    /// The OS process of this host is gone: its ends are closed without a word.
    pub(crate) fn drop_ends_of(&mut self, slot: usize) {
        for connection in self.net.connections.keys().copied().collect::<Vec<_>>() {
            let Some(c) = self.net.connections.get(&connection) else { continue };
            let Some(end) = c.ends.iter().position(|e| e.slot == slot && e.open) else { continue };
            let unnoticed = self.rng.percent(self.plan.unnoticed);
            let after = self.rng.below(self.plan.delay_max * 4);
            let mut notice = [None; 2];
            if !unnoticed {
                notice[1 - end] = Some(after);
            }
            let was_cut = self.net.connections.get(&connection).is_some_and(|c| c.cut);
            self.cut(connection, notice);
            let parting = self.parting();
            if let Some(c) = self.net.connections.get_mut(&connection) {
                if !was_cut {
                    c.parting = parting;
                }
                for e in c.ends.iter_mut().filter(|e| e.slot == slot) {
                    e.open = false;
                }
            }
            self.sweep(connection);
        }
    }
}
