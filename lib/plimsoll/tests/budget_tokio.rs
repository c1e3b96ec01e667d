//! Waiting for a budget in tokio's tasks: never more than the limit, nobody forgotten, in order, and
//! nothing left of those who gave up.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use plimsoll::ErrorKind;
use plimsoll::budget::{Budget, Policy, Reservation};
use tokio::task::{spawn, yield_now};
use tokio::time::timeout;

/// For a busy machine; nothing that works waits so long.
const PATIENCE: Duration = Duration::from_secs(120);

const LIMIT: u64 = 1000;

async fn until(what: impl Fn() -> bool) {
    let looks = async {
        while !what() {
            yield_now().await;
        }
    };
    timeout(PATIENCE, looks).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_share_a_budget_and_all_are_served() {
    const TASKS: u64 = 200;
    let budget = Budget::new(LIMIT, Policy::Greedy);
    let consumer = budget.consumer("tasks");
    let held = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|number| {
            let (consumer, held) = (consumer.clone(), Arc::clone(&held));
            let bytes = 1 + number * 37 % LIMIT;
            spawn(async move {
                for _ in 0..10 {
                    let reservation = consumer.reserve_async(bytes).await.unwrap();
                    let now = held.fetch_add(bytes, Ordering::SeqCst) + bytes;
                    assert!(now <= LIMIT, "{now}");
                    yield_now().await;
                    held.fetch_sub(bytes, Ordering::SeqCst);
                    drop(reservation);
                }
            })
        })
        .collect();
    for task in tasks {
        timeout(PATIENCE, task).await.unwrap().unwrap();
    }
    let figures = budget.figures();
    assert_eq!((figures.held_bytes, figures.waiting), (0, 0));
    assert_eq!(
        (figures.granted_total, figures.refused_total),
        (10 * TASKS, 0)
    );
    assert!(figures.held_peak_bytes <= LIMIT);
}

/// A producer that reserves for each item is held back by a consumer that frees them late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_is_held_back() {
    const ITEM: u64 = 100;
    let budget = Budget::new(LIMIT, Policy::Greedy);
    let consumer = budget.consumer("items");
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<Reservation>();
    let producer = spawn(async move {
        for _ in 0..100 {
            let reservation = consumer.reserve_async(ITEM).await.unwrap();
            sender.send(reservation).unwrap();
        }
    });
    until(|| budget.figures().waiting == 1).await;
    assert_eq!(receiver.len() as u64, LIMIT / ITEM);
    let mut taken = 0;
    while let Some(reservation) = receiver.recv().await {
        assert!(receiver.len() as u64 <= LIMIT / ITEM);
        taken += reservation.bytes();
    }
    assert_eq!(taken, 100 * ITEM);
    producer.await.unwrap();
    assert_eq!(budget.figures().held_peak_bytes, LIMIT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_gives_up_or_is_aborted_leaves_nothing() {
    let budget = Budget::new(LIMIT, Policy::Greedy);
    let consumer = budget.consumer("impatient");
    let all = consumer.reserve(LIMIT).unwrap();
    let first = consumer.reserve_async(LIMIT);
    assert!(timeout(Duration::from_millis(1), first).await.is_err());
    assert_eq!(budget.figures().waiting, 0);

    let waits: Vec<_> = (0..50)
        .map(|_| {
            let consumer = consumer.clone();
            spawn(async move { consumer.reserve_async(LIMIT).await.map(|all| all.bytes()) })
        })
        .collect();
    until(|| budget.figures().waiting == 50).await;
    // Every second one is aborted, some of them while they are granted what the one before let go.
    drop(all);
    let mut served = 0;
    for (number, wait) in waits.into_iter().enumerate() {
        if number % 2 == 0 {
            wait.abort();
        }
        match timeout(PATIENCE, wait).await.unwrap() {
            Ok(bytes) => {
                assert_eq!(bytes.unwrap(), LIMIT);
                served += 1;
            }
            Err(error) => assert!(error.is_cancelled() && number % 2 == 0),
        }
    }
    assert!(served >= 25, "{served}");
    let figures = budget.figures();
    assert_eq!((figures.held_bytes, figures.waiting), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_can_never_be_is_an_error_and_no_wait() {
    let budget = Budget::new(LIMIT, Policy::Greedy);
    let consumer = budget.consumer("large");
    let ends = timeout(PATIENCE, consumer.reserve_async(LIMIT + 1));
    let error = ends.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfBudget);

    // So is what waits when the limit falls below it.
    let held = consumer.reserve(LIMIT).unwrap();
    let waits = {
        let consumer = consumer.clone();
        spawn(async move { consumer.reserve_async(LIMIT).await.map(drop) })
    };
    until(|| budget.figures().waiting == 1).await;
    budget.set_limit(LIMIT / 2);
    let error = timeout(PATIENCE, waits)
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfBudget);
    drop(held);
}
