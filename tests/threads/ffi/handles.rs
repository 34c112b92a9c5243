//! Checked handles: an object is there for everybody who is inside, is dropped once, by the last one, and a cookie is
//! good for one object only.

use super::handle::{Checked, Lanes, Single, Striped, Table};
use crate::Model;
use crate::model::Status;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::thread;
use std::cell::Cell;
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[
    ("handles: of one lane, used while they are freed twice", used_and_freed::<Single>),
    ("handles: of many lanes, used while they are freed twice", used_and_freed::<Striped>),
    ("handles: a slot is used again while old cookies are about", used_again),
];

struct Thing<L> {
    alive: AtomicBool,
    drops: Arc<AtomicUsize>,
    lanes: std::marker::PhantomData<L>,
}

impl<L> Thing<L> {
    fn new(drops: &Arc<AtomicUsize>) -> Self {
        Self { alive: AtomicBool::new(true), drops: drops.clone(), lanes: std::marker::PhantomData }
    }
}

impl<L> Drop for Thing<L> {
    fn drop(&mut self) {
        assert!(self.alive.swap(false, Ordering::SeqCst), "dropped twice");
        self.drops.fetch_add(1, Ordering::SeqCst);
    }
}

macro_rules! checked {
    ($lanes:ty, $tag:literal) => {
        impl Checked for Thing<$lanes> {
            type Lanes = $lanes;
            const TAG: usize = $tag;
            /// A new one for each schedule: all of its threads are one to the operating system.
            fn table() -> &'static Table<Self> {
                thread_local! {
                    static TABLE: Cell<Option<&'static Table<Thing<$lanes>>>> = const { Cell::new(None) };
                }
                if NEW.with(Cell::take) {
                    TABLE.set(Some(Box::leak(Box::new(Table::new()))));
                }
                TABLE.get().expect("a table")
            }
            fn poison(&self) {}
        }
    };
}
checked!(Single, 1);
checked!(Striped, 2);

thread_local! {
    /// The next use of a table makes it.
    static NEW: Cell<bool> = const { Cell::new(false) };
}

fn use_it<T: Checked>(cookie: usize, lane: u32, is_alive: impl Fn(&T) -> bool) {
    match T::table().enter(cookie, lane) {
        Ok(entered) => {
            assert!(is_alive(&entered));
            thread::yield_now();
            assert!(is_alive(&entered), "dropped while somebody is inside");
        }
        Err(status) => assert_eq!(status, Status::Invalid),
    }
}

fn used_and_freed<L: Lanes + Send + Sync + 'static>()
where
    Thing<L>: Checked,
{
    NEW.set(true);
    let drops = Arc::new(AtomicUsize::new(0));
    let cookie = Thing::<L>::table().insert(Thing::new(&drops)).expect("a handle");
    let users: Vec<_> = (0..2)
        .map(|lane| {
            thread::spawn(move || use_it::<Thing<L>>(cookie, lane, |it| it.alive.load(Ordering::SeqCst)))
        })
        .collect();
    let closers: Vec<_> = (0..2)
        .map(|_| thread::spawn(move || usize::from(Thing::<L>::table().close(cookie).is_some())))
        .collect();
    users.into_iter().for_each(|user| user.join().unwrap());
    let closed: usize = closers.into_iter().map(|closer| closer.join().unwrap()).sum();
    assert_eq!((closed, drops.load(Ordering::SeqCst)), (1, 1));
    assert_eq!(Thing::<L>::table().enter(cookie, 0).err(), Some(Status::Invalid));
}

fn used_again() {
    type It = Thing<Single>;
    NEW.set(true);
    let drops = Arc::new(AtomicUsize::new(0));
    let first = It::table().insert(It::new(&drops)).expect("a handle");
    let user = thread::spawn(move || use_it::<It>(first, 0, |it| it.alive.load(Ordering::SeqCst)));
    let makers: Vec<_> = (0..2)
        .map(|_| {
            let drops = drops.clone();
            thread::spawn(move || {
                drop(It::table().close(first));
                let cookie = It::table().insert(It::new(&drops)).expect("a handle");
                assert_ne!(cookie, first, "an old cookie is good for a new object");
                use_it::<It>(cookie, 0, |it| it.alive.load(Ordering::SeqCst));
                assert!(It::table().close(cookie).is_some());
            })
        })
        .collect();
    user.join().unwrap();
    makers.into_iter().for_each(|maker| maker.join().unwrap());
    assert_eq!(drops.load(Ordering::SeqCst), 3);
}
