use super::*;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// Counts how often it was dropped.
struct Thing(Arc<AtomicUsize>);

impl Drop for Thing {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

macro_rules! checked {
    ($name:ident, $lanes:ty, $tag:literal) => {
        struct $name(#[allow(dead_code, reason = "held for its drop")] Thing);
        impl Checked for $name {
            type Lanes = $lanes;
            const TAG: usize = $tag;
            fn table() -> &'static Table<$name> {
                static TABLE: Table<$name> = Table::new();
                &TABLE
            }
            fn poison(&self) {}
        }
    };
}
checked!(One, Single, 14);
checked!(Many, Striped, 15);

fn dropped(count: &Arc<AtomicUsize>) -> usize {
    count.load(Ordering::SeqCst)
}

fn life<T: Checked>(make: impl Fn(Thing) -> T) {
    let drops = Arc::new(AtomicUsize::new(0));
    let cookie = T::table().insert(make(Thing(drops.clone()))).unwrap();
    let first = T::table().enter(cookie, 1).unwrap();
    let second = T::table().enter(cookie, 7).unwrap();
    let closer = T::table().close(cookie).unwrap();
    assert!(T::table().close(cookie).is_none(), "closed twice");
    assert_eq!(T::table().enter(cookie, 1).err(), Some(Status::Invalid));
    drop(closer);
    drop(first);
    assert_eq!(dropped(&drops), 0, "someone is inside");
    drop(second);
    assert_eq!(dropped(&drops), 1);
    // The slot is used again under another cookie.
    let again = T::table().insert(make(Thing(drops.clone()))).unwrap();
    assert_ne!(again, cookie);
    assert_eq!(T::table().enter(cookie, 1).err(), Some(Status::Invalid));
    assert!(T::table().enter(again, 3).is_ok());
    drop(T::table().close(again));
    assert_eq!(dropped(&drops), 2);
}

#[test]
fn the_last_to_leave_drops_the_object() {
    life::<One>(One);
    life::<Many>(Many);
}

#[test]
fn garbage_is_refused() {
    let drops = Arc::new(AtomicUsize::new(0));
    let cookie = One::table().insert(One(Thing(drops.clone()))).unwrap();
    let near = [0, 1, cookie ^ 1, cookie ^ (1 << 4), cookie + (1 << 32), cookie + (2 << 32), usize::MAX];
    for garbage in near.into_iter().chain([&raw const drops as usize, usize::MAX & !15 | 14]) {
        assert_eq!(One::table().enter(garbage, 0).err(), Some(Status::Invalid), "{garbage:x}");
    }
    assert_eq!(Many::table().enter(cookie, 0).err(), Some(Status::Invalid), "a handle of another type");
    drop(One::table().close(cookie));
}

#[test]
fn a_slot_whose_generations_are_used_up_retires() {
    let drops = Arc::new(AtomicUsize::new(0));
    let cookie = Many::table().insert(Many(Thing(drops.clone()))).unwrap();
    let (slot, index) = Many::table().find(cookie).unwrap();
    for lane in 0..16 {
        slot.lanes.get(lane).store((u64::from(u32::MAX) << 32) | 1, Ordering::SeqCst);
    }
    let last = cookie | 0xffff_ffff_0000_0000;
    assert!(Many::table().enter(last, 2).is_ok());
    drop(Many::table().close(last));
    assert_eq!(dropped(&drops), 1);
    for lane in 0..16 {
        assert_eq!(slot.lanes.get(lane).load(Ordering::SeqCst), 0);
    }
    assert_eq!(Many::table().enter(index as usize * 16 + 15, 0).err(), Some(Status::Invalid));
}

#[test]
fn what_is_given_up_in_a_signal_handler_is_dropped_later() {
    struct Late(#[allow(dead_code, reason = "held for its drop")] Thing);
    static TABLE: Table<Late> = Table::new();
    impl Checked for Late {
        type Lanes = Single;
        const TAG: usize = 13;
        fn table() -> &'static Table<Self> {
            &TABLE
        }
        fn poison(&self) {}
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let cookie = TABLE.insert(Late(Thing(drops.clone()))).unwrap();
    let inside = TABLE.enter(cookie, 0).unwrap();
    drop(TABLE.close(cookie));
    inside.leave_in_signal_handler();
    assert_eq!(dropped(&drops), 0);
    let next = TABLE.insert(Late(Thing(drops.clone()))).unwrap();
    assert_eq!(dropped(&drops), 1);
    drop(TABLE.close(next));
    assert_eq!(dropped(&drops), 2);
}

/// Threads that use, free and remake the same few handles: each object is dropped once, and never while it is used.
#[test]
fn many_threads_at_once() {
    const ROUNDS: usize = 2000;
    let drops = Arc::new(AtomicUsize::new(0));
    let cookies: Vec<AtomicU64> = (0..4)
        .map(|_| AtomicU64::new(Many::table().insert(Many(Thing(drops.clone()))).unwrap() as u64))
        .collect();
    let made = AtomicUsize::new(4);
    std::thread::scope(|scope| {
        let spawn = |thread: u32| {
            let (cookies, made, drops) = (&cookies, &made, &drops);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let at = &cookies[(round * 7 + thread as usize) % 4];
                    let cookie = at.load(Ordering::SeqCst);
                    if let Ok(inside) = Many::table().enter(cookie as usize, thread) {
                        assert!(Arc::strong_count(&inside.0.0) > 1);
                    }
                    if round % 3 == 0 && Many::table().close(cookie as usize).is_some() {
                        let new = Many::table().insert(Many(Thing(drops.clone()))).unwrap();
                        made.fetch_add(1, Ordering::SeqCst);
                        at.store(new as u64, Ordering::SeqCst);
                    }
                }
            })
        };
        // Joined one by one: ThreadSanitizer does not see how a scope waits.
        let threads: Vec<_> = (0..4).map(spawn).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    for cookie in &cookies {
        assert!(Many::table().close(cookie.load(Ordering::SeqCst) as usize).is_some());
    }
    assert_eq!(dropped(&drops), made.load(Ordering::SeqCst));
}
