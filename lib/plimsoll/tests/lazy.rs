//! Promises of the lazy resource: one build for all who wait, failures told to all, unloading that
//! leaves nobody with a dangling one, and a cost that the budget sees.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use plimsoll::ErrorKind;
use plimsoll::budget::{Budget, Policy};
use plimsoll::lazy::{Lazy, LazyOptions};

const COST: u64 = 60;

fn options() -> LazyOptions {
    LazyOptions {
        cost_bytes: COST,
        ..LazyOptions::default()
    }
}

/// A resource that counts its builds and tells when it is dropped.
#[derive(Debug)]
struct Model(Arc<AtomicUsize>);

impl Drop for Model {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn model(budget: &Budget) -> (Lazy<Model>, Arc<AtomicUsize>) {
    let alive = Arc::new(AtomicUsize::new(0));
    let count = alive.clone();
    let lazy = Lazy::new(budget, "model", options(), move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok::<_, std::io::Error>(Model(count.clone()))
    });
    (lazy, alive)
}

#[test]
fn it_costs_only_while_it_is_loaded() {
    let budget = Budget::new(100, Policy::Greedy);
    let (lazy, alive) = model(&budget);
    assert_eq!(lazy.figures().held_bytes, 0);
    assert!(lazy.get_loaded().is_none());
    let guard = lazy.get().unwrap();
    assert_eq!(
        (guard.held_bytes(), budget.figures().held_bytes),
        (COST, COST)
    );
    assert!(lazy.unload());
    assert!(!lazy.unload());
    assert_eq!(alive.load(Ordering::SeqCst), 1, "the guard keeps it");
    assert_eq!(budget.figures().held_bytes, COST);
    drop(guard);
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    assert_eq!(budget.figures().held_bytes, 0);
    drop(lazy.get().unwrap());
    assert_eq!(lazy.figures().built_total, 2);
    drop(lazy);
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    assert!(budget.figures().consumers.is_empty());
}

#[test]
fn idleness_counts_from_the_end_of_the_last_use() {
    let budget = Budget::new(100, Policy::Greedy);
    let (lazy, _) = model(&budget);
    let guard = lazy.get().unwrap();
    let later = Instant::now() + Duration::from_secs(301);
    assert!(!lazy.unload_idle(later), "in use");
    drop(guard);
    assert!(!lazy.unload_idle(Instant::now()));
    assert!(lazy.unload_idle(Instant::now() + Duration::from_secs(301)));
    assert_eq!(lazy.figures().unloaded_by_idleness_total, 1);
    assert_eq!(budget.figures().held_bytes, 0);
}

#[test]
fn pressure_unloads_what_nobody_uses() {
    let budget = Budget::new(100, Policy::Greedy);
    let (lazy, _) = model(&budget);
    let index = budget.consumer("index");
    let guard = lazy.get().unwrap();
    assert_eq!(
        index.reserve(50).unwrap_err().kind(),
        ErrorKind::OutOfBudget
    );
    assert!(lazy.figures().loaded);
    drop(guard);
    let reservation = index.reserve(50).unwrap();
    assert!(!lazy.figures().loaded);
    let error = lazy.get().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfBudget);
    assert!(error.to_string().contains("\"index\" 50 B"), "{error}");
    drop(reservation);
    assert!(lazy.get().is_ok());
}

#[test]
fn a_build_corrects_its_cost() {
    let budget = Budget::new(100, Policy::Greedy);
    let lazy = Lazy::new(&budget, "model", options(), |reservation| {
        reservation.resize(80)
    });
    let _guard = lazy.get().unwrap();
    assert_eq!(budget.figures().held_bytes, 80);
}

#[test]
fn a_failed_build_is_told_to_all_and_tried_again() {
    const CALLERS: usize = 8;
    let budget = Budget::new(100, Policy::Greedy);
    let builds = Arc::new(AtomicUsize::new(0));
    let barrier = Arc::new(Barrier::new(CALLERS));
    let lazy = {
        let builds = builds.clone();
        Lazy::new(&budget, "model", options(), move |_| {
            match builds.fetch_add(1, Ordering::SeqCst) {
                0 => Err(std::io::Error::other("no file")),
                _ => Ok(7),
            }
        })
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CALLERS)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    lazy.get()
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    // Who came after the failure had it built again.
    let failed = results.iter().filter(|result| result.is_err()).count();
    assert!(failed >= 1);
    for error in results.iter().filter_map(|result| result.as_ref().err()) {
        assert_eq!(error.kind(), ErrorKind::Failed);
        assert_eq!(error.to_string(), "build \"model\": no file");
    }
    assert_eq!(*lazy.get().unwrap(), 7);
    assert_eq!(builds.load(Ordering::SeqCst), 2);
    assert_eq!(budget.figures().held_bytes, COST);
}

#[test]
fn a_panicking_build_and_a_build_of_itself_are_errors() {
    let budget = Budget::new(100, Policy::Greedy);
    let lazy: Lazy<()> = Lazy::new(&budget, "model", options(), |_| {
        if true {
            panic!("no");
        }
        Ok::<_, std::io::Error>(())
    });
    let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lazy.get().is_ok()));
    assert!(asked.is_err());
    assert_eq!(lazy.figures().failed_total, 1);
    assert_eq!(budget.figures().held_bytes, 0);

    let own: Arc<std::sync::OnceLock<Lazy<()>>> = Arc::default();
    let inner = own.clone();
    let lazy = Lazy::new(&budget, "circle", options(), move |_| {
        inner.get().unwrap().get().map(drop)
    });
    assert!(own.set(lazy).is_ok());
    let error = own.get().unwrap().get().unwrap_err();
    assert!(error.to_string().contains("asks for itself"), "{error}");
}

#[test]
fn a_refused_reservation_fails_one_build_and_not_the_next() {
    let budget = Budget::new(100, Policy::Greedy);
    let lazy = Lazy::new(&budget, "model", options(), |reservation| {
        reservation.try_grow(5)?;
        Ok::<_, plimsoll::Error>(())
    });
    for (failing, kind) in [(1, ErrorKind::OutOfBudget), (2, ErrorKind::Failed)] {
        budget.fail_nth(failing);
        assert_eq!(lazy.get().unwrap_err().kind(), kind, "failure {failing}");
        assert_eq!(budget.figures().held_bytes, 0);
    }
    drop(lazy.get().unwrap());
    assert_eq!(budget.figures().held_bytes, COST + 5);
}
