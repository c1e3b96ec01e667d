//! Pipelines: order, bounds, errors, and no thread left waiting. A test that hangs has failed.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use plimsoll::stream::Pipeline;
use plimsoll::{Error, ErrorKind};

/// Room for two items of a thousand bytes.
const QUEUE: usize = 2 * (1000 + size_of::<Vec<u8>>());

fn item(number: usize) -> Vec<u8> {
    let mut item = vec![0; 1000];
    item[..8].copy_from_slice(&(number as u64).to_le_bytes());
    item
}

fn number(item: &[u8]) -> usize {
    u64::from_le_bytes(item[..8].try_into().unwrap()) as usize
}

/// Counts how many are alive, so that a thread or item that stays is seen.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Alive {
        count.fetch_add(1, Ordering::SeqCst);
        Alive(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn items_come_in_order_and_queues_hold_to_their_limit() {
    let mut next = 0;
    let figures = Pipeline::new(QUEUE, |out| (0..1000).try_for_each(|n| out.send(item(n))))
        .unwrap()
        .step(|item: Vec<u8>, out| out.send(item))
        .unwrap()
        // Nothing for odd ones, two for even ones.
        .step(|item: Vec<u8>, out| {
            if number(&item).is_multiple_of(2) {
                out.send(item.clone())?;
                out.send(item)?;
            }
            Ok::<_, Error>(())
        })
        .unwrap()
        .finish(|item| {
            assert_eq!(number(&item), next / 2 * 2);
            next += 1;
            Ok::<_, Error>(())
        })
        .unwrap();
    assert_eq!(next, 1000);
    assert_eq!(figures.queues.len(), 3);
    for queue in figures.queues {
        assert!(queue.held_peak_bytes <= QUEUE, "{queue:?}");
        assert_eq!(queue.items_total, 1000);
    }
}

#[test]
fn a_slow_step_holds_the_source_back() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let pipeline = Pipeline::new(QUEUE, move |out| {
        (0..100).try_for_each(|n| {
            out.send(item(n))?;
            counter.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Error>(())
        })
    })
    .unwrap();
    let mut received = 0;
    let figures = pipeline
        .finish(|_| {
            received += 1;
            // What came out is counted, so only what is in the queue is ahead.
            let ahead = sent.load(Ordering::SeqCst).saturating_sub(received);
            assert!(ahead <= 2, "{ahead} ahead");
            thread::yield_now();
            Ok::<_, Error>(())
        })
        .unwrap();
    assert_eq!((received, figures.queues[0].items_total), (100, 100));
}

/// Fails or panics in the `place`-th step at the `nth` item.
fn run_failing(
    place: usize,
    nth: usize,
    panics: bool,
    alive: &Arc<AtomicUsize>,
) -> Result<usize, Error> {
    let fail = move |at: usize, number: usize| {
        if (at, number) != (place, nth) {
            return Ok(());
        }
        assert!(!panics, "as the test wants");
        Err(format!("injected at {at}"))
    };
    let (source, first, second) = (Alive::new(alive), Alive::new(alive), Alive::new(alive));
    let mut count = 0;
    Pipeline::new(QUEUE, move |out| {
        let _source = source;
        for n in 0..50 {
            fail(0, n)?;
            out.send(item(n)).map_err(|error| error.to_string())?;
        }
        Ok::<_, String>(())
    })?
    .step(move |item: Vec<u8>, out| {
        let _first = &first;
        fail(1, number(&item))?;
        out.send(item).map_err(|error| error.to_string())
    })?
    .step(move |item: Vec<u8>, out| {
        let _second = &second;
        fail(2, number(&item))?;
        out.send(item).map_err(|error| error.to_string())
    })?
    .finish(|item| {
        count += 1;
        fail(3, number(&item))
    })?;
    Ok(count)
}

#[test]
fn the_first_error_anywhere_stops_all() {
    let alive = Arc::new(AtomicUsize::new(0));
    for place in 0..4 {
        for nth in 0..50 {
            let error = run_failing(place, nth, false, &alive).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Failed);
            let text = error.to_string();
            assert!(text.ends_with(&format!("injected at {place}")), "{text}");
            assert_eq!(alive.load(Ordering::SeqCst), 0, "every thread has ended");
        }
    }
    assert_eq!(run_failing(9, 0, false, &alive).unwrap(), 50);
}

#[test]
fn a_panic_stops_all() {
    let alive = Arc::new(AtomicUsize::new(0));
    for place in 0..3 {
        let error = run_failing(place, 7, true, &alive).unwrap_err();
        assert!(error.to_string().contains("panicked"), "{error}");
    }
    let outcome = std::panic::catch_unwind(|| run_failing(3, 7, true, &alive).is_ok());
    assert!(outcome.is_err(), "that of the caller goes on");
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

#[test]
fn a_dropped_pipeline_ends() {
    let alive = Arc::new(AtomicUsize::new(0));
    for round in 0..200 {
        let source = Alive::new(&alive);
        // A source that would go on for ever, and waits at a full queue.
        let pipeline = Pipeline::new(QUEUE, move |out| {
            let _source = source;
            (0..).try_for_each(|n| out.send(item(n)))
        })
        .unwrap();
        match round % 3 {
            0 => drop(pipeline),
            1 => drop(pipeline.step(|item: Vec<u8>, out| out.send(item)).unwrap()),
            _ => {
                let swallow =
                    |_: Vec<u8>, _: &plimsoll::stream::Outlet<Vec<u8>>| Ok::<_, Error>(());
                drop(pipeline.step(swallow).unwrap());
            }
        }
        assert_eq!(alive.load(Ordering::SeqCst), 0, "round {round}");
    }
}

#[test]
fn an_item_larger_than_a_queue_is_refused() {
    let error = Pipeline::new(1000, |out| out.send(vec![0_u8; 1000]))
        .unwrap()
        .finish(|_| Ok::<_, Error>(()))
        .unwrap_err();
    assert!(
        error.to_string().contains("a queue takes 1000 B"),
        "{error}"
    );
}

#[test]
fn a_source_may_send_from_many_threads() {
    let mut seen = vec![0; 400];
    Pipeline::new(QUEUE, |out| {
        thread::scope(|scope| {
            let senders: Vec<_> = (0..4)
                .map(|part| {
                    scope.spawn(move || (0..100).try_for_each(|n| out.send(item(part * 100 + n))))
                })
                .collect();
            senders
                .into_iter()
                .try_for_each(|sender| sender.join().unwrap())
        })
    })
    .unwrap()
    .step(|item: Vec<u8>, out| out.send(item))
    .unwrap()
    .finish(|item| {
        seen[number(&item)] += 1;
        Ok::<_, Error>(())
    })
    .unwrap();
    assert!(seen.iter().all(|count| *count == 1));
}
