//! The pipeline under thousands of schedules: the very sources of the library, compiled with a
//! scheduler's locks and threads in place of std's. A lost wake-up shows as a deadlock.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

/// What `src/sync.rs` is to the library.
mod sync {
    use std::sync::PoisonError;

    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard};
    pub(crate) use shuttle::thread::{Builder, JoinHandle};

    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        condvar.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(
    dead_code,
    unreachable_pub,
    reason = "sources of the library, of which these tests use a part"
)]
#[path = "../src"]
mod source {
    pub(crate) mod amount;
    pub(crate) mod error;
    pub(crate) mod stream {
        pub(crate) mod pipeline;
        pub(crate) mod queue;
    }
    pub(crate) mod weight;
}

use std::sync::Arc;

use source::{amount, error, weight};

use error::Error;
use source::stream::pipeline::Pipeline;
use source::stream::queue::Queue;

const SCHEDULES: usize = 3_000;

/// Room for two numbers.
const QUEUE: usize = 16;

fn explore(scenario: fn()) {
    shuttle::check_random(scenario, SCHEDULES);
    // Few switches at the worst places, which random schedules rarely hit.
    shuttle::check_pct(scenario, SCHEDULES, 3);
}

fn start(count: u64) -> Pipeline<u64> {
    Pipeline::new(QUEUE, move |out| (0..count).try_for_each(|n| out.send(n)))
        .unwrap()
        .step(|n: u64, out| out.send(n))
        .unwrap()
}

#[test]
fn all_comes_through_in_order() {
    explore(|| {
        let mut next = 0;
        let figures = start(5)
            .finish(|n| {
                assert_eq!(n, next);
                next += 1;
                Ok::<_, Error>(())
            })
            .unwrap();
        assert_eq!(next, 5);
        let peak = figures
            .queues
            .iter()
            .map(|queue| queue.held_peak_bytes)
            .max();
        assert!(peak <= Some(QUEUE));
    });
}

#[test]
fn an_error_at_any_place_ends_all_threads() {
    explore(|| {
        let error = start(6)
            .step(|n: u64, out| match n {
                3 => Err("injected".to_owned()),
                n => out.send(n).map_err(|error| error.to_string()),
            })
            .unwrap()
            .finish(|_| Ok::<_, Error>(()))
            .unwrap_err();
        assert!(error.to_string().ends_with("injected"), "{error}");
        let error = start(6).finish(|n| if n == 2 { Err("at the end") } else { Ok(()) });
        assert!(error.unwrap_err().to_string().ends_with("at the end"));
    });
}

#[test]
fn a_dropped_pipeline_ends_all_threads() {
    // More than the queues take: the source is at a full queue, or will be.
    explore(|| drop(start(9)));
}

#[test]
fn many_senders_of_one_queue_are_all_served() {
    explore(|| {
        let queue = Arc::new(Queue::new(QUEUE));
        // One fits only when the queue is empty.
        let senders: Vec<_> = [8, 16, 8]
            .into_iter()
            .map(|bytes| {
                let queue = queue.clone();
                shuttle::thread::spawn(move || queue.send(bytes, bytes).unwrap())
            })
            .collect();
        let sum: usize = (0..3).map(|_| queue.receive().unwrap()).sum();
        senders
            .into_iter()
            .for_each(|sender| sender.join().unwrap());
        queue.close();
        assert_eq!((sum, queue.receive()), (32, None));
    });
}
