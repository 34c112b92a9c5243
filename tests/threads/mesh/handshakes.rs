//! Work that is given to threads is done, and they end when nobody has any more.

use crate::Model;
use crate::mesh::{Origin, Work, Workers};
use crate::sync::{Condvar, Mutex};
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

pub(crate) const MODELS: &[Model] = &[("workers: what is given is done", what_is_given_is_done)];

/// Counts how often it was woken.
#[derive(Default)]
struct Bell {
    rung: Mutex<usize>,
    changed: Condvar,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.rung.lock().unwrap() += 1;
        self.changed.notify_all();
    }
}

fn what_is_given_is_done() {
    let workers = Workers::default();
    let bells = [(); 3].map(|()| Arc::new(Bell::default()));
    let mut given = Vec::new();
    for (number, bell) in bells.iter().enumerate() {
        let waker = Waker::from(bell.clone());
        let begins = number == 1;
        let job = workers.give(Work(number), Origin::of(None), begins, &waker).expect("a thread");
        given.push((number, job, bell));
    }
    // Nobody waits for this one any more, done or not.
    drop(given.remove(2));
    for (number, job, bell) in given {
        let mut rung = bell.rung.lock().unwrap();
        while *rung == 0 {
            rung = bell.changed.wait(rung).unwrap();
        }
        assert_eq!(*rung, 1);
        match job.poll() {
            Poll::Ready(Some(worked)) => assert_eq!(worked.0, number),
            _ => panic!("it was told to be done"),
        }
    }
    // The threads end; did one sleep on, that would be reported.
    drop(workers);
}
