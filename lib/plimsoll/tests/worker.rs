//! Workers as real processes: this program runs itself, as a worker and as a supervisor that is
//! killed.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use plimsoll::worker::{CALLS_MAX, Context, Worker, WorkerBuilder, frame};
use plimsoll::{Error, ErrorKind};

/// For a busy machine; nothing that works waits so long.
const PATIENCE: Duration = Duration::from_secs(120);

const MIB: usize = 1 << 20;

fn arguments(process: &str) -> [&str; 4] {
    ["--exact", process, "--ignored", "--nocapture"]
}

fn builder() -> WorkerBuilder {
    Worker::builder(std::env::current_exe().unwrap())
        .args(arguments("worker_process"))
        .call_timeout(PATIENCE)
        .cancel_grace(PATIENCE)
        .idle_timeout(PATIENCE)
}

fn worker() -> Worker {
    builder().build().unwrap()
}

fn call(worker: &Worker, request: &str) -> Result<String, Error> {
    let reply = worker.call(request.as_bytes())?;
    Ok(String::from_utf8(reply).unwrap())
}

fn pid(worker: &Worker) -> u32 {
    call(worker, "pid").unwrap().parse().unwrap()
}

fn signal(pid: u32, signal: libc::c_int) -> bool {
    // SAFETY: a signal to a process of this test.
    unsafe { libc::kill(pid.try_into().unwrap(), signal) == 0 }
}

/// A state that comes by itself; looked for until it is there.
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        thread::yield_now();
    }
}

/// Stops a process, and comes back when all its threads stand.
fn freeze(pid: u32) {
    assert!(signal(pid, libc::SIGSTOP));
    let stands = |task: std::io::Result<fs::DirEntry>| {
        let stat = fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('T')
    };
    until("it stands", || {
        let mut tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        tasks.all(stands)
    });
}

/// A file that is not there, for what a request has to know about its first try.
fn marker(name: &str) -> PathBuf {
    let file = format!("plimsoll-worker-{name}-{}", std::process::id());
    let path = std::env::temp_dir().join(file);
    let _ = fs::remove_file(&path);
    path
}

fn is_first_try(marker: &str) -> bool {
    fs::File::create_new(marker).is_ok()
}

/// A descriptor that tells of the end of any process.
fn open_pidfd(pid: u32) -> OwnedFd {
    // SAFETY: takes two integers and returns a new descriptor.
    unsafe {
        let number = libc::syscall(libc::SYS_pidfd_open, libc::c_long::from(pid), 0);
        assert!(number >= 0, "{}", std::io::Error::last_os_error());
        OwnedFd::from_raw_fd(number.try_into().unwrap())
    }
}

fn wait_for_end(pidfd: &OwnedFd) -> bool {
    let mut watched = libc::pollfd {
        fd: pidfd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let patience = PATIENCE.as_millis().try_into().unwrap();
    // SAFETY: one entry that is there.
    unsafe { libc::poll(&raw mut watched, 1, patience) == 1 }
}

fn wait_for_cancel(context: &Context) {
    while !context.is_cancelled() {
        thread::yield_now();
    }
}

fn handle(request: &[u8], context: &Context) -> Result<Vec<u8>, String> {
    let text = str::from_utf8(&request[..request.len().min(200)]).unwrap_or("");
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    let die = || signal(std::process::id(), libc::SIGKILL);
    match verb {
        "pid" => return Ok(std::process::id().to_string().into()),
        "name" => return Ok(std::env::args().next().unwrap().into()),
        "fail" => return Err(format!("no {rest}")),
        "die" => _ = die(),
        "panic" => panic!("as asked"),
        "die-once" if is_first_try(rest) => _ = die(),
        "tell-once" if is_first_try(rest) => {
            let own = std::process::id().to_string();
            context.progress(own.as_bytes()).unwrap();
            wait_for_cancel(context);
        }
        "wait" => {
            context.progress(b"waits").unwrap();
            wait_for_cancel(context);
            return Err("gave up".into());
        }
        "outlive" => {
            // SAFETY: takes two integers: no death signal any more.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0) };
            context.progress(b"lives on").unwrap();
            wait_for_cancel(context);
        }
        "hang" => {
            // SAFETY: sets no handler, only that the signal is ignored.
            unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
            context.progress(b"hangs").unwrap();
            loop {
                thread::park();
            }
        }
        "count" => {
            for number in 0..rest.parse::<u32>().unwrap() {
                context.progress(number.to_string().as_bytes()).unwrap();
            }
        }
        "grow" => {
            let bytes = rest.parse::<usize>().unwrap() * MIB;
            std::mem::forget(std::hint::black_box(vec![1_u8; bytes]));
        }
        _ => {}
    }
    Ok(request.to_vec())
}

#[test]
#[ignore = "the worker of the other tests"]
fn worker_process() {
    plimsoll::worker::serve(handle).unwrap();
}

#[test]
fn starts_on_demand_and_answers() {
    let worker = worker();
    assert!(!worker.check(PATIENCE).unwrap());
    assert_eq!(worker.figures().pid, None);
    assert_eq!(call(&worker, "hello").unwrap(), "hello");
    assert!(worker.check(PATIENCE).unwrap());
    assert_eq!(worker.figures().pid, Some(pid(&worker)));
    let error = call(&worker, "fail bread").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().ends_with("no bread"), "{error}");
    assert_eq!(worker.figures().started_total, 1);
}

#[test]
fn a_program_that_starts_itself_has_a_name() {
    let itself = || {
        let itself = Worker::builder("/proc/self/exe").args(arguments("worker_process"));
        itself.call_timeout(PATIENCE)
    };
    let worker = itself().build().unwrap();
    assert_eq!(call(&worker, "name").unwrap(), "/proc/self/exe");
    let worker = itself().arg0("carrier").build().unwrap();
    assert_eq!(call(&worker, "name").unwrap(), "carrier");
}

#[test]
fn what_cannot_start_is_told() {
    let worker = Worker::builder("/nonexistent/worker").build().unwrap();
    let error = worker.call(b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("/nonexistent/worker"), "{error}");
    // Ends without a word.
    let worker = Worker::builder("true").build().unwrap();
    let error = worker.call(b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Gone);
    assert!(error.to_string().contains("exit status: 0"), "{error}");
    assert_eq!(worker.figures().started_total, 2);
    // And nobody serves whom no supervisor started.
    let error = plimsoll::worker::serve(handle).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn pipelines_calls_of_many_threads() {
    let worker = worker();
    thread::scope(|scope| {
        for number in 0..8 {
            let worker = worker.clone();
            scope.spawn(move || {
                for round in 0..50 {
                    let text = format!("{number} {round}");
                    assert_eq!(call(&worker, &text).unwrap(), text);
                }
            });
        }
    });
    // More at once than the child is given.
    let calls: Vec<_> = (0..100_u8).map(|n| worker.submit(&[n]).unwrap()).collect();
    for (number, call) in (0..100_u8).zip(calls) {
        assert_eq!(call.wait().unwrap(), [number]);
    }
    assert_eq!(worker.figures().started_total, 1);
}

#[test]
fn calls_are_bounded() {
    let worker = worker();
    let mut calls = vec![worker.submit(b"wait").unwrap()];
    calls.extend((1..CALLS_MAX).map(|_| worker.submit(b"x").unwrap()));
    let error = worker.submit(b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    // Dropped calls are cancelled, and make room.
    drop(calls);
    assert_eq!(call(&worker, "y").unwrap(), "y");
    assert_eq!(worker.figures().started_total, 1);
}

#[test]
fn payloads_of_all_sizes() {
    let worker = worker();
    for length in [0, frame::BODY_MAX, frame::BODY_MAX + 1, 9 * MIB] {
        let bytes: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        assert!(worker.call(&bytes).unwrap() == bytes, "{length} bytes");
    }
}

#[test]
fn progress_comes_before_the_reply() {
    let mut heard = Vec::new();
    let call = worker().submit(b"count 20").unwrap();
    let reply = call.wait_with(|message| heard.push(String::from_utf8(message.to_vec()).unwrap()));
    assert_eq!(reply.unwrap(), b"count 20");
    let expected: Vec<_> = (0..20).map(|number| number.to_string()).collect();
    assert_eq!(heard, expected);
}

#[test]
fn a_late_call_leaves_a_worker_that_heeds_it() {
    let worker = worker();
    let before = pid(&worker);
    let late = worker.submit_within(b"wait", Duration::from_millis(20));
    // Behind it, and late in line.
    let other = worker.submit_within(b"x", Duration::from_millis(20));
    assert_eq!(
        late.unwrap().wait().unwrap_err().kind(),
        ErrorKind::TimedOut
    );
    let _ = other.unwrap().wait();
    assert_eq!(pid(&worker), before);
    assert_eq!(worker.figures().killed_total, 0);
}

#[test]
fn a_worker_that_ignores_a_cancel_is_killed() {
    let worker = builder().cancel_grace(Duration::from_millis(20));
    let worker = worker.build().unwrap();
    let before = pid(&worker);
    let hanging = worker.submit(b"hang").unwrap();
    let canceller = hanging.canceller();
    let behind = worker.submit(b"behind").unwrap();
    let mut cancels = Vec::new();
    let error = hanging.wait_with(|_| cancels.push(canceller.cancel()));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!((cancels, canceller.cancel()), (vec![true], false));
    assert_eq!(behind.wait().unwrap(), b"behind");
    assert_ne!(pid(&worker), before);
    assert_eq!(worker.figures().killed_total, 1);
    assert_eq!(worker.figures().crashed_total, 0);
}

#[test]
fn a_stopped_process_fails_its_check() {
    let worker = worker();
    let before = pid(&worker);
    freeze(before);
    // More than the child is given at once: the check passes them.
    let behind: Vec<_> = (0..50).map(|_| worker.submit(b"y").unwrap()).collect();
    let waiting = worker.submit(b"x").unwrap();
    let error = worker.check(Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(waiting.wait().unwrap(), b"x");
    drop(behind);
    assert_ne!(pid(&worker), before);
    assert_eq!(worker.figures().killed_total, 1);
}

#[test]
fn a_crash_is_retried_once() {
    let worker = worker();
    let marker = marker("crash");
    let request = format!("die-once {}", marker.display());
    assert_eq!(call(&worker, &request).unwrap(), request);
    let figures = worker.figures();
    assert_eq!((figures.crashed_total, figures.started_total), (1, 2));
    assert_eq!((figures.retried_total, figures.poisoned_total), (1, 0));
    // A reply clears the blame: one more death is not its second.
    fs::remove_file(&marker).unwrap();
    assert_eq!(call(&worker, &request).unwrap(), request);
    fs::remove_file(&marker).unwrap();
}

#[test]
fn a_request_that_killed_two_workers_is_refused() {
    for (request, how) in [("die", "signal: 9"), ("panic", "exit status: 101")] {
        let worker = worker();
        let poison = worker.submit(request.as_bytes()).unwrap();
        let equal = worker.submit(request.as_bytes()).unwrap();
        let innocent = worker.submit(b"innocent").unwrap();
        let error = poison.wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Poisoned);
        assert!(error.to_string().contains(how), "{error}");
        assert_eq!(equal.wait().unwrap_err().kind(), ErrorKind::Poisoned);
        assert_eq!(innocent.wait().unwrap(), b"innocent");
        let error = call(&worker, request).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Poisoned);
        let figures = worker.figures();
        assert_eq!((figures.crashed_total, figures.started_total), (2, 3));
        assert_eq!(figures.poisoned_total, 3);
    }
}

#[test]
fn killed_while_it_runs_a_call() {
    let worker = worker();
    let marker = marker("running");
    let request = format!("tell-once {}", marker.display());
    let call = worker.submit(request.as_bytes()).unwrap();
    let behind = worker.submit(b"behind").unwrap();
    let mut killed = 0;
    let reply = call.wait_with(|pid| {
        let pid = str::from_utf8(pid).unwrap().parse().unwrap();
        killed += u32::from(signal(pid, libc::SIGKILL));
    });
    assert_eq!(reply.unwrap(), request.as_bytes());
    assert_eq!(behind.wait().unwrap(), b"behind");
    assert_eq!((killed, worker.figures().crashed_total), (1, 1));
    fs::remove_file(&marker).unwrap();
}

#[test]
fn killed_before_it_takes_a_call() {
    let worker = worker();
    let before = pid(&worker);
    freeze(before);
    let small = worker.submit(b"small").unwrap();
    let large = vec![7; 3 * MIB];
    let shared = worker.submit(&large).unwrap();
    assert!(signal(before, libc::SIGKILL));
    assert_eq!(small.wait().unwrap(), b"small");
    assert!(shared.wait().unwrap() == large);
}

/// At whatever step the kill comes: in line, on the way, running, answering, answered.
#[test]
fn killed_at_any_time() {
    let worker = worker();
    for round in 0..40_usize {
        let victim = pid(&worker);
        let request = vec![1; 1 + round * 9000];
        let call = worker.submit(&request).unwrap();
        for _ in 0..round * 20 {
            std::hint::spin_loop();
        }
        signal(victim, libc::SIGKILL);
        assert!(call.wait().unwrap() == request, "round {round}");
    }
    assert_eq!(worker.figures().poisoned_total, 0);
}

/// Calls, cancels and kills at once: every call ends, and no answer is another call's.
#[test]
fn a_storm_of_calls_cancels_and_kills() {
    let worker = worker();
    thread::scope(|scope| {
        for number in 0..4_usize {
            let worker = worker.clone();
            scope.spawn(move || {
                for round in 0..60_usize {
                    let request = format!("{number} {round} ").repeat(1 + round * 300);
                    let call = worker.submit(request.as_bytes()).unwrap();
                    if round % 3 == number % 3 {
                        call.canceller().cancel();
                    }
                    match call.wait() {
                        Ok(reply) => assert!(reply == request.as_bytes()),
                        Err(error) => assert!(
                            [ErrorKind::Cancelled, ErrorKind::Poisoned].contains(&error.kind()),
                            "{error}"
                        ),
                    }
                }
            });
        }
        for round in 0..10 {
            if let Ok(victim) = call(&worker, &format!("pid {round}")) {
                signal(victim.parse().unwrap(), libc::SIGKILL);
            }
        }
    });
    until("nothing is pending", || worker.figures().pending == 0);
    assert_eq!(call(&worker, "after").unwrap(), "after");
}

#[test]
fn waits_without_end_are_possible() {
    let worker = builder()
        .call_timeout(Duration::MAX)
        .cancel_grace(Duration::MAX)
        .idle_timeout(Duration::MAX)
        .stop_waits(Duration::MAX, Duration::MAX)
        .build()
        .unwrap();
    assert_eq!(call(&worker, "x").unwrap(), "x");
    drop(worker.submit(b"wait").unwrap());
    assert_eq!(call(&worker, "y").unwrap(), "y");
    worker.stop();
    assert_eq!(worker.figures().pid, None);
}

#[test]
fn nothing_is_left_after_idleness() {
    let worker = builder().idle_timeout(Duration::from_millis(1));
    let worker = worker.build().unwrap();
    for round in 1..=3 {
        let child = pid(&worker);
        until("the child ends", || worker.figures().pid.is_none());
        // Reaped, so not even a zombie.
        assert!(!signal(child, 0));
        assert_eq!(worker.figures().idle_exits_total, round);
    }
    assert_eq!(worker.figures().crashed_total, 0);
}

#[test]
fn a_worker_that_grew_is_replaced() {
    let worker = builder().memory_max_bytes(64 << 20).build().unwrap();
    let before = pid(&worker);
    call(&worker, "grow 4").unwrap();
    assert_eq!(pid(&worker), before);
    call(&worker, "grow 80").unwrap();
    assert_ne!(pid(&worker), before);
    let figures = worker.figures();
    assert_eq!((figures.memory_exits_total, figures.crashed_total), (1, 0));
    assert!(figures.memory_bytes.unwrap() < 64 << 20, "{figures:?}");
}

#[test]
fn stops_gently_and_by_force() {
    let worker = worker();
    worker.stop();
    let child = pid(&worker);
    worker.stop();
    assert!(!signal(child, 0));
    assert_eq!(worker.figures().pid, None);
    assert_eq!(worker.figures().crashed_total, 0);

    // Deaf to the message and to SIGTERM.
    let wait = Duration::from_millis(20);
    let worker = builder().stop_waits(wait, wait).build().unwrap();
    let child = pid(&worker);
    let hanging = worker.submit(b"hang").unwrap();
    let behind = worker.submit(b"x").unwrap();
    let mut stopped = 0;
    let error = hanging.wait_with(|_| {
        worker.stop();
        stopped += 1;
    });
    assert_eq!((error.unwrap_err().kind(), stopped), (ErrorKind::Gone, 1));
    assert_eq!(behind.wait().unwrap_err().kind(), ErrorKind::Gone);
    assert!(!signal(child, 0));
    assert_ne!(pid(&worker), child);
}

#[test]
fn dropping_the_last_handle_ends_the_child_after_its_calls() {
    let worker = worker();
    let pidfd = open_pidfd(pid(&worker));
    let open = worker.submit(b"open").unwrap();
    drop(worker);
    assert_eq!(open.wait().unwrap(), b"open");
    assert!(wait_for_end(&pidfd));
}

#[test]
#[ignore = "the supervisor that a test kills"]
fn supervisor_process() {
    let worker = worker();
    // The thread that called first ends; the child must not end with it.
    let child = thread::scope(|scope| scope.spawn(|| pid(&worker)).join().unwrap());
    assert_eq!(pid(&worker), child);
    let verb = std::env::var("VERB").unwrap();
    let running = worker.submit(verb.as_bytes()).unwrap();
    let _ = running.wait_with(|_| {
        println!("child {child}");
        std::io::stdout().flush().unwrap();
    });
}

/// By the death signal where the child is deaf, by the end of its socket where that was cleared.
#[test]
fn no_orphan_when_the_parent_is_killed() {
    for verb in ["hang", "outlive"] {
        let mut parent = Command::new(std::env::current_exe().unwrap())
            .args(arguments("supervisor_process"))
            .env("VERB", verb)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
        let child = lines
            .map(Result::unwrap)
            .find_map(|line| line.split_once("child ").map(|(_, pid)| pid.to_owned()));
        let pidfd = open_pidfd(child.unwrap().parse().unwrap());
        parent.kill().unwrap();
        parent.wait().unwrap();
        assert!(wait_for_end(&pidfd), "{verb}");
    }
}
