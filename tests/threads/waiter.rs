//! A thread that waits for an answer gets it, and exactly the first one.

use crate::Model;
use crate::model::{Outcome, Status};
use crate::node::Waiter;
use crate::sync::thread;
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[("waiter: an answer is not missed", an_answer_is_not_missed)];

fn an_answer_is_not_missed() {
    let waiter = Arc::new(Waiter::default());
    // The engine's answer and the end of the node may come at once.
    let answerers: Vec<_> = [Status::Ok, Status::Closed]
        .map(|status| {
            let waiter = waiter.clone();
            thread::spawn(move || assert!(waiter.answer(Outcome::of(status)).is_none()))
        })
        .into();
    let outcome = waiter.wait(None, || None).unwrap();
    assert!(matches!(outcome.status, Status::Ok | Status::Closed));
    answerers.into_iter().for_each(|answerer| answerer.join().unwrap());
}
