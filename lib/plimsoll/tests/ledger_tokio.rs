//! Tags of tasks that tokio's threads take from each other.

use std::collections::HashSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use plimsoll::ledger::{Ledger, Tag};
use tokio::task::{block_in_place, spawn, spawn_blocking};

#[global_allocator]
static LEDGER: Ledger = Ledger::system();

/// For a busy machine; nothing that works waits so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// Live bytes and blocks, total bytes and blocks.
fn figures(tag: &'static Tag) -> [u64; 4] {
    let found = tag.figures();
    [
        found.live_bytes,
        found.live_blocks,
        found.total_bytes,
        found.total_blocks,
    ]
}

/// Allocates before and behind each place where it may go to another thread. How many threads
/// polled it, and what it holds.
async fn wander(steps: u64, bytes: usize) -> (usize, Vec<Vec<u8>>) {
    let mut threads = HashSet::<ThreadId>::new();
    let mut held = Vec::new();
    for step in 0..steps {
        untagged(|| threads.insert(thread::current().id()));
        let block = vec![1_u8; bytes];
        untagged(|| held.push(block));
        if step % 8 == 0 {
            // The others of this thread go to another one meanwhile.
            untagged(|| block_in_place(thread::yield_now));
        }
        yield_now().await;
    }
    (threads.len(), held)
}

/// Lets others run. Allocates nothing, which tokio's own may do, in the tag of the task that calls it.
async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What the test and the runtime keep for themselves is not to be in the figures that are checked.
fn untagged<T>(act: impl FnOnce() -> T) -> T {
    static TEST: Tag = Tag::new("the test's own");
    TEST.run(act)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_tag_follows_its_task_to_other_threads() {
    static ODD: Tag = Tag::new("odd tasks");
    static EVEN: Tag = Tag::new("even tasks");
    const TASKS: u64 = 32;
    const STEPS: u64 = 50;
    let begin = Instant::now();
    let mut rounds = 0;
    let mut wandered = false;
    // Until the scheduler has moved one: nearly always in the first round.
    while !wandered {
        assert!(begin.elapsed() < PATIENCE, "no task was moved");
        let tasks: Vec<_> = (0..TASKS)
            .map(|number| {
                let (tag, bytes) = [(&EVEN, 100), (&ODD, 300)][number as usize % 2];
                spawn(tag.follow(wander(STEPS, bytes)))
            })
            .collect();
        let mut held = Vec::new();
        for task in tasks {
            let (threads, blocks) = task.await.expect("no panic");
            wandered |= threads > 1;
            held.push(blocks);
        }
        let (live, all) = (TASKS / 2 * STEPS, (rounds + 1) * TASKS / 2 * STEPS);
        assert_eq!(figures(&EVEN), [live * 100, live, all * 100, all]);
        assert_eq!(figures(&ODD), [live * 300, live, all * 300, all]);
        drop(held);
        rounds += 1;
    }
    assert_eq!(figures(&EVEN)[..2], [0, 0]);
    assert_eq!(figures(&ODD)[..2], [0, 0]);
    assert_eq!(Tag::current().name(), "untagged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tags_nest_in_tasks_and_are_handed_on() {
    static OUTER: Tag = Tag::new("outer");
    static INNER: Tag = Tag::new("inner");
    let task = async {
        let outer = vec![1_u8; 1000];
        yield_now().await;
        let inner = INNER
            .follow(async {
                yield_now().await;
                let inner = vec![1_u8; 500];
                yield_now().await;
                inner
            })
            .await;
        assert_eq!(Tag::current().name(), "outer");
        yield_now().await;
        // A task or thread that is started here is in no tag until it is handed this one.
        let tag = Tag::current();
        let (plain, handed, blocking) = untagged(|| {
            (
                spawn(async { Tag::current().name() }),
                spawn(tag.follow(async { vec![1_u8; 70] })),
                spawn_blocking(move || tag.run(|| vec![1_u8; 7])),
            )
        });
        assert_eq!(plain.await.expect("no panic"), "untagged");
        let handed = (
            handed.await.expect("no panic"),
            blocking.await.expect("no panic"),
        );
        (outer, inner, handed)
    };
    let held = spawn(OUTER.follow(task)).await.expect("no panic");
    assert_eq!(figures(&INNER), [500, 1, 500, 1]);
    assert_eq!(figures(&OUTER), [1077, 3, 1077, 3]);
    drop(held);
    assert_eq!(figures(&OUTER)[..2], [0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_task_that_is_aborted_leaves_nothing() {
    static TAG: Tag = Tag::new("aborted");
    let ready = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let ready = Arc::clone(&ready);
            spawn(TAG.follow(async move {
                let block = vec![1_u8; 1000];
                ready.fetch_add(1, Ordering::Release);
                std::future::pending::<()>().await;
                drop(block);
            }))
        })
        .collect();
    let begin = Instant::now();
    while ready.load(Ordering::Acquire) < 20 {
        assert!(begin.elapsed() < PATIENCE);
        yield_now().await;
    }
    assert_eq!(figures(&TAG), [20_000, 20, 20_000, 20]);
    for task in tasks {
        task.abort();
        assert!(task.await.expect_err("aborted").is_cancelled());
    }
    assert_eq!(figures(&TAG), [0, 0, 20_000, 20]);
}

/// A task that panics while it is polled leaves its thread in the tag it was in.
#[tokio::test(flavor = "current_thread")]
async fn a_panic_leaves_the_tag() {
    static TAG: Tag = Tag::new("panics");
    let task = spawn(TAG.follow(async {
        yield_now().await;
        let _block = Box::new([1_u8; 100]);
        panic!("expected");
    }));
    assert!(task.await.expect_err("it panics").is_panic());
    assert_eq!(Tag::current().name(), "untagged");
    let mut quiet = pin!(TAG.follow(async { Tag::current().name() }));
    let name = std::future::poll_fn(|context| quiet.as_mut().poll(context)).await;
    assert_eq!((name, Tag::current().name()), ("panics", "untagged"));
}
