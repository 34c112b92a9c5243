//! Who listens to the log of this OS process: one function of the program, and any number of queues.
//!
//! Records are made on threads of the library that must not wait, and the program's function may do anything: block, call
//! back into the library, remove itself. So it runs on a thread of its own ("convoke/log"), behind a queue that drops and
//! counts what does not fit; and a queue of the program takes a record only while few of them are unread.

use super::printable::printable;
use super::queue_core::QueueCore;
use super::shared::lock;
use super::{Error, Result};
use crate::model::{Level, Short, Status, Topic};
use crate::os::{PerEpoch, fork_epoch, watch_forks, with_signals_blocked};
use crate::sync::{Condvar, Mutex};
use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, Weak};

/// Nothing is recorded.
pub const LOG_OFF: i32 = 0;

/// Records that wait for the program's function.
const WAITING: usize = 1024;
/// A longer text is cut.
const LONGEST: usize = 2048;

/// Gets every record. Dropped exactly once, after its last call, with no lock held.
pub type Logger = Box<dyn Fn(&Record) + Send>;

/// One thing worth telling.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    pub level: Level,
    pub topic: Topic,
    text: CString,
}

impl Record {
    /// The one place where texts become records: whatever they quote, nothing in them acts on who reads them.
    fn new(level: Level, topic: Topic, text: &str) -> Self {
        let mut text = printable(text).into_owned();
        let end = (0..=LONGEST.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        Self { level, topic, text: CString::new(text).unwrap_or_default() }
    }
    #[cfg(test)]
    pub(super) fn sample() -> Arc<Self> {
        Arc::new(Self::new(Level::Info, Topic::Node, "text"))
    }
    /// UTF-8.
    pub fn text(&self) -> &CStr {
        &self.text
    }
}

/// The highest level that anybody listens to, 0 for nobody, and above it the fork epoch in which that was so.
static LOUDEST: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);
static HUB: PerEpoch<Mutex<Arc<Listeners>>> = PerEpoch::new();

/// Replaced as a whole, so that nobody is called with the hub's lock held.
#[derive(Clone, Default)]
struct Listeners {
    function: Option<(Level, Arc<Line>)>,
    queues: Vec<(Level, Weak<QueueCore>)>,
}

fn hub() -> &'static Mutex<Arc<Listeners>> {
    HUB.get(Mutex::default)
}

/// The highest level that anybody listens to, if anybody does.
pub(super) fn loudest() -> Option<Level> {
    let loudest = LOUDEST.load(Ordering::Relaxed);
    // In a forked child nobody listens any more.
    let is_here = (loudest >> 8) as u32 == fork_epoch();
    level((loudest & 0xff) as i32).filter(|_| is_here)
}

pub(super) fn is_wanted(level: Level) -> bool {
    u64::from(level.number()) <= LOUDEST.load(Ordering::Relaxed) & 0xff
}

/// Records that were dropped, in the life of this process.
pub(super) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

pub(super) fn count_dropped(count: u64) {
    DROPPED.fetch_add(count, Ordering::Relaxed);
}

fn level(number: i32) -> Option<Level> {
    u8::try_from(number).ok().and_then(Level::from_number)
}

/// A level of C. `Ok(None)`: off.
fn checked(max_level: i32) -> Result<Option<Level>> {
    match level(max_level) {
        None if max_level != LOG_OFF => {
            let text = format!("the level is {max_level}; levels go from 0 to {}", Level::ALL.len());
            Err(Error::new(Status::Invalid, text))
        }
        level => Ok(level),
    }
}

/// Tells everybody who listens at this level. `node`: whose record it is.
pub(super) fn emit(node: &str, level: Level, topic: Topic, text: &str) {
    if !is_wanted(level) {
        return;
    }
    let listeners = lock(hub()).clone();
    let text = format!("{}: {text}", Short(node.as_bytes()));
    let record = Arc::new(Record::new(level, topic, &text));
    if let Some((_, line)) = listeners.function.as_ref().filter(|(max, _)| level <= *max) {
        line.put(&record);
    }
    let queues = listeners.queues.iter().filter(|(max, _)| level <= *max);
    for queue in queues.filter_map(|(_, queue)| queue.upgrade()) {
        queue.push_log(&record);
    }
}

/// Replaces the listeners, and gives the old ones to be dropped.
fn change(f: impl FnOnce(&mut Listeners)) -> Arc<Listeners> {
    let mut current = lock(hub());
    let mut listeners = Listeners::clone(&current);
    f(&mut listeners);
    listeners.queues.retain(|(_, queue)| queue.strong_count() > 0);
    let levels = listeners.queues.iter().map(|(level, ..)| *level);
    let loudest = levels.chain(listeners.function.as_ref().map(|(level, _)| *level)).max();
    let loudest = loudest.map_or(0, Level::number);
    LOUDEST.store(u64::from(fork_epoch()) << 8 | u64::from(loudest), Ordering::Relaxed);
    std::mem::replace(&mut current, Arc::new(listeners))
}

/// From now on the function gets every record up to this level, and no function that was set before does; `None` or
/// level 0: none does. `Invalid`: there is no such level. `Io`: no thread is left; then nothing has changed. What is
/// replaced, and what cannot be set, is dropped, after its last call.
pub fn set_logger(max_level: i32, logger: Option<Logger>) -> Result<()> {
    let max = checked(max_level)?;
    watch_forks();
    let function = match (max, logger) {
        (Some(max), Some(logger)) => Some((max, Line::start(logger)?)),
        _ => None,
    };
    let before = change(|listeners| listeners.function = function);
    if let Some((_, line)) = &before.function {
        line.stop();
    }
    Ok(())
}

/// From now on the queue gets LOG events up to this level; 0: no longer.
pub(super) fn log_to_queue(queue: &Arc<QueueCore>, max_level: i32) -> Result<()> {
    let max = checked(max_level)?;
    queue.check_usable()?;
    queue.wants_log(max.is_some());
    let entry = max.map(|max| (max, Arc::downgrade(queue)));
    change(|listeners| {
        let it = Arc::as_ptr(queue);
        listeners.queues.retain(|(_, other)| other.as_ptr() != it);
        listeners.queues.extend(entry);
    });
    Ok(())
}

/// The queue is over.
pub(super) fn forget_queue(queue: &Arc<QueueCore>) {
    if loudest().is_some() {
        change(|listeners| listeners.queues.retain(|(_, other)| other.as_ptr() != Arc::as_ptr(queue)));
    }
}

/// Records on their way to one function, and its thread.
struct Line {
    state: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// Each with how many were dropped before it.
    records: VecDeque<(Arc<Record>, u64)>,
    dropped: u64,
    stopped: bool,
}

impl Line {
    fn start(logger: Logger) -> Result<Arc<Self>> {
        let line = Arc::new(Self { state: Mutex::default(), changed: Condvar::new() });
        let its = line.clone();
        let started = with_signals_blocked(|| {
            std::thread::Builder::new().name("convoke/log".into()).spawn(move || its.serve(&logger))
        });
        match started {
            Ok(_) => Ok(line),
            Err(e) => Err(Error::new(Status::Io, format!("a thread for the log: {e}"))),
        }
    }

    fn put(&self, record: &Arc<Record>) {
        let mut waiting = lock(&self.state);
        if waiting.stopped {
            return;
        }
        if waiting.records.len() >= WAITING {
            waiting.dropped += 1;
            count_dropped(1);
            return;
        }
        let dropped = std::mem::take(&mut waiting.dropped);
        waiting.records.push_back((record.clone(), dropped));
        drop(waiting);
        self.changed.notify_one();
    }

    fn stop(&self) {
        let mut waiting = lock(&self.state);
        waiting.stopped = true;
        let dropped = std::mem::take(&mut waiting.records);
        drop(waiting);
        drop(dropped);
        self.changed.notify_one();
    }

    /// The thread "convoke/log". It ends, and gives the function back, when it is replaced or removed.
    fn serve(&self, logger: &Logger) {
        while let Some((record, dropped)) = self.next() {
            if dropped > 0 {
                let text = format!("{dropped} records were dropped here, because the logger is too slow");
                call(logger, &Record::new(Level::Warn, Topic::Log, &text));
            }
            // It may have removed itself.
            if let Some(record) = record.filter(|_| !lock(&self.state).stopped) {
                call(logger, &record);
            }
        }
    }

    /// The next record, and how many were dropped before it. `None`: it is over.
    fn next(&self) -> Option<(Option<Arc<Record>>, u64)> {
        let mut waiting = lock(&self.state);
        loop {
            if waiting.stopped {
                return None;
            }
            if let Some((record, dropped)) = waiting.records.pop_front() {
                return Some((Some(record), dropped));
            }
            if waiting.dropped > 0 {
                return Some((None, std::mem::take(&mut waiting.dropped)));
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn call(logger: &Logger, record: &Record) {
    // One record less; the next may do better.
    let _ = catch_unwind(AssertUnwindSafe(|| logger(record)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_cannot_forge_a_line_or_move_the_cursor() {
        let record = Record::new(Level::Warn, Topic::Link, "refused: x\nERROR \u{1b}[2Jforged\0");
        assert_eq!(record.text().to_str().unwrap(), r"refused: x\u{a}ERROR \u{1b}[2Jforged\u{0}");
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let record = Record::new(Level::Warn, Topic::Link, &"é".repeat(LONGEST));
        assert_eq!(record.text().to_str().unwrap().chars().count(), LONGEST / 2);
    }
}
