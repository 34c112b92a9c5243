//! Resolver functions.

use super::{Event, Field, Node, convoke_pid, ok};
use convoke::ffi::{convoke_event, convoke_event_retain, convoke_resolver_add};
use std::ffi::{CString, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

pub(crate) const NEITHER: i32 = 0;
pub(crate) const A: i32 = 1;
pub(crate) const B: i32 = 2;
pub(crate) const KILL_LOSER: i32 = 0x100;
pub(crate) const NOTIFY_LOSER: i32 = 0x200;
/// Means nothing: counts as a failure.
pub(crate) const NONSENSE: i32 = 77;

/// What a function is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Clash {
    pub(crate) name: String,
    /// On the node that asks.
    pub(crate) a: convoke_pid,
    pub(crate) b: convoke_pid,
    pub(crate) ages: [u64; 2],
}

impl Clash {
    /// The answer that keeps this one of the two.
    pub(crate) fn keep(&self, pid: &convoke_pid) -> i32 {
        match pid {
            pid if *pid == self.a => A,
            pid if *pid == self.b => B,
            _ => NONSENSE,
        }
    }
}

/// One function, on however many nodes; what it was asked on any of them.
pub(crate) struct Resolver {
    decide: Arc<dyn Fn(&Clash) -> i32 + Send + Sync>,
    asked: Arc<Mutex<Vec<Clash>>>,
}

impl Resolver {
    pub(crate) fn new(decide: impl Fn(&Clash) -> i32 + Send + Sync + 'static) -> Self {
        Self { decide: Arc::new(decide), asked: Arc::default() }
    }

    pub(crate) fn asked(&self) -> Vec<Clash> {
        self.asked.lock().unwrap().clone()
    }

    /// Gives the node this function under the name.
    #[track_caller]
    pub(crate) fn add_to(&self, node: &Node, name: &str) {
        type Decide = Box<dyn Fn(&Clash) -> i32 + Send + Sync>;
        unsafe extern "C" fn call(event: *const convoke_event, decide: *mut c_void) -> i32 {
            // SAFETY: the event is lent until this returns, and retained for the accessors' owner.
            let event = Event::own(unsafe { convoke_event_retain(event.cast_mut()) });
            let clash = Clash {
                name: event.text(Field::Name),
                a: event.pid(Field::Pid),
                b: event.pid(Field::Peer),
                ages: [Field::AgeMs, Field::OtherAgeMs].map(|field| event.number(field)),
            };
            // SAFETY: `user_data` as given below; it lives until it is given back.
            let decide = unsafe { &*decide.cast::<Decide>() };
            // A panic is no answer; what it says is on stderr.
            catch_unwind(AssertUnwindSafe(|| decide(&clash))).unwrap_or(NONSENSE)
        }
        unsafe extern "C" fn give_back(decide: *mut c_void) {
            // SAFETY: made by `Box::into_raw` below, given back once.
            drop(unsafe { Box::from_raw(decide.cast::<Decide>()) });
        }
        let (decide, asked) = (self.decide.clone(), self.asked.clone());
        let noting: Decide = Box::new(move |clash| {
            asked.lock().unwrap().push(clash.clone());
            decide(clash)
        });
        let (name, data) = (CString::new(name).unwrap(), Box::into_raw(Box::new(noting)));
        // SAFETY: a live handle, a terminated text, and a pair that belongs together.
        ok(unsafe {
            convoke_resolver_add(node.handle, name.as_ptr(), Some(call), data.cast(), Some(give_back))
        });
    }

    #[track_caller]
    pub(crate) fn add_to_all(&self, nodes: &[Node], name: &str) {
        nodes.iter().for_each(|node| self.add_to(node, name));
    }
}
