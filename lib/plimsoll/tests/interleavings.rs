//! The budget and the lazy resource under thousands of schedules: the very sources of the library,
//! compiled with a scheduler's locks in place of std's. A lost wake-up shows as a deadlock, as waits
//! never time out here.

/// What `src/sync.rs` is to the library.
mod sync {
    use std::sync::PoisonError;
    use std::time::Duration;

    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard};
    pub(crate) use shuttle::thread::ThreadId;

    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        condvar.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait_timeout<'a, T>(
        condvar: &Condvar,
        guard: MutexGuard<'a, T>,
        _timeout: Duration,
    ) -> MutexGuard<'a, T> {
        wait(condvar, guard)
    }

    pub(crate) fn thread_id() -> ThreadId {
        shuttle::thread::current().id()
    }
}

/// Limits here are given, not read.
mod cgroup {
    use crate::error::{Error, ErrorKind};

    pub(crate) struct CgroupReading {
        pub(crate) limit_bytes: Option<u64>,
    }

    pub(crate) fn read() -> Option<CgroupReading> {
        Some(CgroupReading { limit_bytes: None })
    }

    pub(crate) fn read_ram() -> Result<u64, Error> {
        Err(Error::new(ErrorKind::Unsupported, "not here"))
    }
}

#[expect(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "sources of the library, of which these tests use a part"
)]
#[path = "../src"]
mod source {
    pub(crate) mod amount;
    pub mod budget;
    pub(crate) mod error;
    pub mod lazy;
}

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use source::{amount, budget, error, lazy};

use budget::{Budget, Policy, Reservation};
use lazy::{Lazy, LazyOptions};
use shuttle::sync::Mutex;
use shuttle::{future, thread};

/// A forgotten wake-up and a granted request that is not given back were found within some hundred;
/// all of it takes a few seconds.
const SCHEDULES: usize = 5_000;

fn explore(scenario: fn()) {
    shuttle::check_random(scenario, SCHEDULES);
    // Few switches at the worst places, which random schedules rarely hit.
    shuttle::check_pct(scenario, SCHEDULES, 3);
}

/// Waits in this world only end with a grant.
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn threads_that_wait_are_all_served() {
    explore(|| {
        let budget = Budget::new(10, Policy::Greedy);
        let threads: Vec<_> = [3, 10, 4, 7]
            .into_iter()
            .map(|bytes| {
                let consumer = budget.consumer("c");
                thread::spawn(move || {
                    let mut held = consumer.reserve_wait(bytes, LONG).unwrap();
                    held.shrink(1);
                    drop(held.split(1));
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        let figures = budget.figures();
        assert_eq!((figures.held_bytes, figures.waiting), (0, 0));
        assert!(figures.held_peak_bytes <= 10);
    });
}

#[test]
fn tasks_threads_and_cancelled_requests_mix() {
    explore(|| {
        let budget = Budget::new(10, Policy::Greedy);
        let consumer = budget.consumer("c");
        let tasks: Vec<_> = [6, 8]
            .into_iter()
            .map(|bytes| {
                let consumer = consumer.clone();
                future::spawn(async move { consumer.reserve_async(bytes).await.map(drop) })
            })
            .collect();
        let cancelled = {
            let consumer = consumer.clone();
            future::spawn(async move {
                let request = consumer.reserve_async(9);
                // Polled once, then dropped, granted or not.
                let mut request = std::pin::pin!(request);
                std::future::poll_fn(|context| {
                    let _ = std::future::Future::poll(request.as_mut(), context);
                    std::task::Poll::Ready(())
                })
                .await;
            })
        };
        let blocked = {
            let consumer = consumer.clone();
            thread::spawn(move || drop(consumer.reserve_wait(10, LONG).unwrap()))
        };
        future::block_on(async {
            for task in tasks {
                task.await.unwrap().unwrap();
            }
            cancelled.await.unwrap();
        });
        blocked.join().unwrap();
        let figures = budget.figures();
        assert_eq!((figures.held_bytes, figures.waiting), (0, 0));
    });
}

#[test]
fn fair_shares_move_as_consumers_come_and_go() {
    explore(|| {
        let budget = Budget::new(12, Policy::Fair);
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let consumer = budget.consumer("c").spillable();
                thread::spawn(move || {
                    // All of the pool: served only when the others are done.
                    let held = consumer.reserve_wait(12, LONG).unwrap();
                    assert_eq!(consumer.held_bytes(), 12);
                    drop(held);
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(budget.figures().held_bytes, 0);
    });
}

#[test]
fn consumers_that_squeeze_each_other_do_not_lock_up() {
    explore(|| {
        let budget = Budget::new(10, Policy::Greedy);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let own: Arc<Mutex<Vec<Reservation>>> = Arc::default();
                let weak = Arc::downgrade(&own);
                let consumer = budget.consumer("cache").on_pressure(0, move |_| {
                    // `try_lock`, as the module says.
                    let own = weak.upgrade();
                    let freed = own.as_ref().and_then(|own| {
                        own.try_lock().ok().map(|mut own| std::mem::take(&mut *own))
                    });
                    drop(freed);
                });
                thread::spawn(move || {
                    for _ in 0..2 {
                        let mut own = own.lock().unwrap();
                        own.extend(consumer.reserve(6));
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(budget.figures().held_bytes, 0);
        assert!(budget.figures().held_peak_bytes <= 10);
    });
}

#[test]
fn a_lazy_resource_is_built_once_at_a_time_and_never_dangles() {
    explore(|| {
        let budget = Budget::new(10, Policy::Greedy);
        let building = Arc::new(AtomicUsize::new(0));
        let options = LazyOptions {
            cost_bytes: 6,
            ..LazyOptions::default()
        };
        let lazy = {
            let building = building.clone();
            Lazy::new(&budget, "model", options, move |_| {
                assert_eq!(building.fetch_add(1, Ordering::SeqCst), 0, "single flight");
                thread::yield_now();
                building.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, std::io::Error>(7)
            })
        };
        let users: Vec<_> = (0..2)
            .map(|_| {
                let lazy = lazy.clone();
                thread::spawn(move || {
                    // A second copy beside one that was unloaded in use may not fit.
                    if let Ok(guard) = lazy.get() {
                        thread::yield_now();
                        assert_eq!(*guard, 7);
                    }
                })
            })
            .collect();
        let index = budget.consumer("index");
        drop(index.reserve(6));
        lazy.unload();
        users.into_iter().for_each(|t| t.join().unwrap());
        drop(lazy);
        assert_eq!(budget.figures().held_bytes, 0);
        assert!(budget.figures().held_peak_bytes <= 10);
    });
}

#[test]
fn a_failed_build_reaches_all_who_wait() {
    explore(|| {
        let budget = Budget::new(10, Policy::Greedy);
        let lazy: Lazy<()> = Lazy::new(&budget, "model", LazyOptions::default(), |_| {
            thread::yield_now();
            Err("no file")
        });
        let users: Vec<_> = (0..3)
            .map(|_| {
                let lazy = lazy.clone();
                thread::spawn(move || assert!(lazy.get().is_err()))
            })
            .collect();
        users.into_iter().for_each(|t| t.join().unwrap());
        let figures = lazy.figures();
        assert!((1..=3).contains(&figures.failed_total) && !figures.loaded);
    });
}
