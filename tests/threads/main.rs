//! What threads share, in every order that a scheduler can think of: the files of `src` that hold it are compiled once
//! more, with the primitives of shuttle in the place of the standard library's. A thread that is never woken, or a lock that is
//! never given back, is a deadlock, which shuttle reports with the schedule that led to it.
//!
//!   CONVOKE_THREADS_SCHEDULES   how many schedules each model is run in (default 3000)
//!
//! Orders of execution are looked at, not the orderings of atomics: every one counts as `SeqCst` here.

mod atomic;
mod inbox;
mod os;
mod waiter;

/// Primitives whose every use is a place where another thread may go on.
mod sync {
    pub(crate) use crate::atomic;
    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, RwLock};
    pub(crate) use shuttle::thread;
}

pub(crate) use convoke::{engine, flow, model, testing, wire};

/// The part of the room that is shared by threads. The node's thread itself is played by the models.
#[allow(dead_code, unused_imports)] // a model uses a part of what there is
mod node {
    #[path = "../../../src/node/accounts.rs"]
    mod accounts;
    #[path = "../../../src/node/backlog.rs"]
    mod backlog;
    #[path = "../../../src/node/dispatch.rs"]
    mod dispatch;
    #[path = "../../../src/node/error.rs"]
    mod error;
    #[path = "../../../src/node/event.rs"]
    mod event;
    #[path = "../../../src/node/inbox.rs"]
    mod inbox;
    #[path = "../../../src/node/links.rs"]
    mod links;
    #[path = "../../../src/node/map.rs"]
    mod map;
    #[path = "../../../src/node/process_core.rs"]
    mod process_core;
    #[path = "../../../src/node/queue_core.rs"]
    mod queue_core;
    #[path = "../../../src/node/reply.rs"]
    mod reply;
    #[path = "../../../src/node/resolver.rs"]
    mod resolver;
    #[path = "../../../src/node/send.rs"]
    mod send;
    #[path = "../../../src/node/shared.rs"]
    mod shared;
    #[path = "../../../src/node/tables.rs"]
    mod tables;

    pub use error::{Error, Result};
    pub use event::{Event, EventKind};
    pub use inbox::{Inbox, Request};
    pub use links::{Lane, LinkOutbox, Links};
    pub use reply::{Asker, Reply, Waiter, operation_of};
    pub use shared::{Clock, Shared};
    pub use tables::Tables;

    pub use convoke::node::Security;
    pub use log::Record;

    /// Nobody listens to it here.
    mod log {
        use crate::model::{Level, Topic};
        use std::ffi::{CStr, CString};
        use std::sync::Arc;

        #[derive(Debug)]
        pub struct Record {
            pub level: Level,
            pub topic: Topic,
            text: CString,
        }
        impl Record {
            pub fn text(&self) -> &CStr {
                &self.text
            }
            /// For the tests of events, which come along.
            pub(in crate::node) fn sample() -> Arc<Self> {
                Arc::new(Self { level: Level::Warn, topic: Topic::Queue, text: CString::default() })
            }
        }

        pub(super) fn is_wanted(_: Level) -> bool {
            false
        }
        pub(super) fn emit(_: &str, _: Level, _: Topic, _: &str) {}
        pub(super) fn count_dropped(_: u64) {}
    }

    /// Nor does anybody ask for figures.
    mod observe {
        #[derive(Debug)]
        pub struct Observed;
    }

    pub type Handler = Box<dyn Fn(&std::sync::Arc<Event>) + Send + Sync>;

    pub(crate) mod messages;
    pub(crate) mod queues;
}

#[allow(dead_code)]
mod ffi {
    #[path = "../../../src/ffi/handle.rs"]
    pub(crate) mod handle;
    pub(crate) mod handles;
    #[path = "../../../src/ffi/live.rs"]
    pub(crate) mod live;
}

/// The work itself is played by the models.
#[allow(dead_code, unused_imports)] // the files come with their tests
mod mesh {
    #[path = "../../../src/mesh/origin.rs"]
    mod origin;
    #[path = "../../../src/mesh/workers.rs"]
    mod workers;

    pub(crate) mod handshakes;

    pub(crate) use origin::Origin;
    pub(crate) use workers::Workers;

    pub(crate) struct Work(pub(crate) usize);
    pub(crate) struct Worked(pub(crate) usize);
    impl Work {
        pub(crate) fn run(self) -> Worked {
            Worked(self.0)
        }
    }
}

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, MaxSteps, Runner};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

type Model = (&'static str, fn());

/// Set for a process that is to run its model in schedules of one kind only.
const KIND: &str = "CONVOKE_THREADS_KIND";
const KINDS: [&str; 2] = ["random", "sparse"];

fn main() {
    let schedules =
        std::env::var("CONVOKE_THREADS_SCHEDULES").ok().and_then(|n| n.parse().ok()).unwrap_or(3000);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // As cargo's test harness: words that do not begin with a dash choose.
    let wanted: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let models = [
        inbox::MODELS,
        waiter::MODELS,
        mesh::handshakes::MODELS,
        node::queues::MODELS,
        node::messages::MODELS,
        ffi::handles::MODELS,
    ];
    let models = models.concat();
    if arguments.iter().any(|word| word == "--list") {
        models.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    let is_exact = arguments.iter().any(|word| word == "--exact");
    let is_chosen = |name: &str| {
        wanted.is_empty()
            || wanted.iter().any(|word| if is_exact { name == *word } else { name.contains(*word) })
    };
    let chosen: Vec<&Model> = models.iter().filter(|(name, _)| is_chosen(name)).collect();
    match chosen[..] {
        [&(name, model)] => {
            // At random, then with few changes of threads at places of their own choice, which finds other mistakes.
            // Endless is what takes so many steps; a schedule of that length is not worth printing in full.
            let mut config = Config::new();
            config.max_steps = MaxSteps::FailAfter(20_000);
            let kind = std::env::var(KIND).unwrap_or_default();
            if kind != KINDS[1] {
                Runner::new(RandomScheduler::new(schedules), config.clone()).run(model);
            }
            if kind != KINDS[0] {
                Runner::new(PctScheduler::new(3, schedules), config).run(model);
            }
            println!("{name}: ok in {} {kind} schedules", schedules * if kind.is_empty() { 2 } else { 1 });
        }
        _ => each_in_a_process(&chosen),
    }
}

/// All cores have a model to run, and each model the statics of the library for itself.
fn each_in_a_process(models: &[&Model]) {
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((name, _)) = models.get(index / KINDS.len()) else { return };
            let program = std::env::current_exe().expect("this program");
            let kind = KINDS[index % KINDS.len()];
            let run =
                Command::new(program).args(["--exact", name]).env(KIND, kind).output().expect("it runs");
            let said = [run.stdout, run.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            assert!(run.status.success(), "{name}: {}\n{}", run.status, said.concat());
            print!("{}", said[0]);
        }
    };
    std::thread::scope(|scope| {
        (0..std::thread::available_parallelism().map_or(1, usize::from))
            .for_each(|_| drop(scope.spawn(work)));
    });
}
