//! What one call of the library's blocks costs, beside what programs take instead.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use anyhow::Context;
use plimsoll::beacon::BeaconOptions;
use plimsoll::budget::{Budget, Policy};
use plimsoll::lazy::{Lazy, LazyOptions};
use plimsoll::monitor::MonitorOptions;
use plimsoll::stage::Stage;
use plimsoll::worker::{self, Worker};
use tracing_subscriber::prelude::*;

use crate::benchmarks::Plan;
use crate::cost::Cost;
use crate::race::{Clock, Contestant, race};
use crate::report::Report;
use crate::spread::Spread;
use crate::table::Table;

const CALLS: usize = 200_000;
/// Of what reads files of /proc, and of calls to other processes.
const SLOW_CALLS: usize = 2_000;

/// Someone who does the same `calls` times; the first is what the others are compared with.
struct Caller<'a> {
    name: &'static str,
    calls: usize,
    /// How many of what is measured each call does.
    each: usize,
    act: Box<dyn FnMut() + 'a>,
}

fn caller<'a>(name: &'static str, calls: usize, act: impl FnMut() + 'a) -> Caller<'a> {
    let act = Box::new(act);
    Caller {
        name,
        calls,
        each: 1,
        act,
    }
}

/// Nanoseconds a call by the thread's processor time, or by the wall where others work for it.
fn table(plan: &Plan, report: &mut Report, title: &str, clock: Clock, callers: Vec<Caller<'_>>) {
    let counts: Vec<usize> = callers
        .iter()
        .map(|caller| caller.calls * caller.each)
        .collect();
    let contestants = callers.into_iter().map(|mut caller| {
        Contestant::new(caller.name, move || {
            let ((), cost) = Cost::of(|| (0..caller.calls).for_each(|_| (caller.act)()));
            Ok(cost.into())
        })
    });
    let measured = race(contestants.collect(), plan.rounds);
    let unit = if clock == Clock::Cpu {
        "cpu ns a call"
    } else {
        "wall ns a call"
    };
    let mut table = Table::new(title, &["", unit, "of the first"]);
    let each = |index: usize| -> Vec<f64> {
        let all = measured[index].clock(clock).iter();
        all.map(|ms| ms * 1e6 / counts[index] as f64).collect()
    };
    let ours = each(0);
    for (index, one) in measured.iter().enumerate() {
        let text = |spread: Option<Spread>| spread.map_or("-".to_owned(), |one| one.text());
        let figures = each(index);
        table.row(vec![
            one.name.clone(),
            text(Spread::of(&figures)),
            text(Spread::of_ratios(&figures, &ours)),
        ]);
        table.raw(serde_json::json!({ "name": one.name, "nanoseconds": figures }));
    }
    report.table(table);
}

pub(crate) fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    budget(plan, report)?;
    lazy(plan, report)?;
    stage(plan, report);
    beacon(plan, report)?;
    monitor(plan, report)?;
    workers(plan, report)
}

fn budget(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let greedy = Budget::new(1 << 30, Policy::Greedy);
    let fair = Budget::new(1 << 30, Policy::Fair);
    let (greedy, fair) = (greedy.consumer("one"), fair.consumer("one"));
    let mut grown = greedy.reserve(1)?;
    let counter = AtomicUsize::new(0);
    let semaphore = tokio::sync::Semaphore::new(1 << 20);
    let callers = vec![
        caller("reserve and drop, greedy", CALLS, || {
            drop(black_box(greedy.reserve(4096)))
        }),
        caller("reserve and drop, fair", CALLS, || {
            drop(black_box(fair.reserve(4096)))
        }),
        caller("try_grow and shrink, greedy", CALLS, || {
            let _ = black_box(grown.try_grow(4096));
            black_box(grown.shrink(4096));
        }),
        caller("tokio Semaphore, try_acquire_many and drop", CALLS, || {
            drop(black_box(semaphore.try_acquire_many(4096)));
        }),
        caller("AtomicUsize, add and subtract", CALLS, || {
            black_box(counter.fetch_add(4096, Ordering::Relaxed));
            black_box(counter.fetch_sub(4096, Ordering::Relaxed));
        }),
    ];
    table(
        plan,
        report,
        "budget: 4 KiB claimed and given back",
        Clock::Cpu,
        callers,
    );
    Ok(())
}

fn lazy(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let budget = Budget::new(1 << 30, Policy::Greedy);
    let options = LazyOptions {
        cost_bytes: 8,
        idle_timeout: Duration::from_secs(600),
        priority: 0,
    };
    let lazy = Lazy::new(&budget, "one", options, |_| Ok::<_, plimsoll::Error>(7_u64));
    lazy.get()?;
    let once = OnceLock::from(7_u64);
    let shared = Mutex::new(Some(Arc::new(7_u64)));
    let callers = vec![
        caller("Lazy::get and drop", CALLS, || drop(black_box(lazy.get()))),
        caller("Mutex<Option<Arc>>, clone and drop", CALLS, || {
            drop(black_box(shared.lock().ok().and_then(|one| one.clone())));
        }),
        caller("OnceLock::get", CALLS, || {
            black_box(black_box(&once).get());
        }),
    ];
    table(
        plan,
        report,
        "lazy: a resource that is there",
        Clock::Cpu,
        callers,
    );
    Ok(())
}

fn stage(plan: &Plan, report: &mut Report) {
    let subscriber = tracing_subscriber::registry();
    let guard = tracing::subscriber::set_default(
        subscriber.with(tracing_subscriber::filter::LevelFilter::INFO),
    );
    let callers = vec![
        caller("Stage, begin and end", SLOW_CALLS, || {
            black_box(Stage::begin("one").end());
        }),
        caller("/proc/self/status, read twice", SLOW_CALLS, || {
            for _ in 0..2 {
                let _ = black_box(std::fs::read("/proc/self/status"));
            }
        }),
        caller("tracing span, entered and left", CALLS, || {
            drop(black_box(tracing::info_span!("one").entered()));
        }),
    ];
    table(plan, report, "stage: begun and ended", Clock::Cpu, callers);
    drop(guard);
}

/// One text of a budget with fifty consumers and an open stage; beside it the same consumers as a file
/// in memory, which is what programs leave for others to read.
fn beacon(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let budget = Budget::new(1 << 30, Policy::Greedy);
    let consumers: Vec<_> = (0..50)
        .map(|number| budget.consumer(format!("consumer {number}")))
        .collect();
    let _stage = Stage::begin("one");
    let options = BeaconOptions::default().by_hand();
    let beacon = options.budget("main", &budget).publish()?;
    let file = format!("/dev/shm/plimsoll-bench-{}.json", std::process::id());
    let callers = vec![
        caller("Beacon::refresh", SLOW_CALLS, || beacon.refresh()),
        caller("JSON, written to a file in memory", SLOW_CALLS, || {
            let figures = budget.figures();
            let held: Vec<_> = figures
                .consumers
                .iter()
                .map(|it| (&*it.name, it.held_bytes, it.held_peak_bytes))
                .collect();
            let text = serde_json::json!({ "limit": figures.limit_bytes, "held": held });
            // One that can't be written is seen in its figure: it is far too fast.
            let _ = std::fs::write(&file, text.to_string());
        }),
    ];
    table(plan, report, "beacon: written", Clock::Cpu, callers);
    drop((beacon, consumers));
    let _ = std::fs::remove_file(&file);
    Ok(())
}

/// Readings every 10 ms for a second, by the library's thread and by a loop of psutil.
fn monitor(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    const POLL: &str = "import sys, time, psutil\np = psutil.Process()\nprint('ready', flush=True)\n\
        for line in sys.stdin:\n cpu = time.process_time()\n for _ in range(100):\n  \
        p.memory_info()\n  time.sleep(0.01)\n print(time.process_time() - cpu, flush=True)";
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut psutil = Python::of(Command::new("python3").args(["-c", POLL])).ok();
    for _ in 0..plan.rounds {
        let options = MonitorOptions::default().interval(Duration::from_millis(10));
        let monitor = options.start()?;
        let (cpu, readings) = (process_time()?, monitor.figures().readings_total);
        std::thread::sleep(Duration::from_secs(1));
        let cpu = process_time()?.saturating_sub(cpu);
        let readings = monitor.figures().readings_total - readings;
        ours.push(cpu.as_secs_f64() * 1e6 / readings as f64);
        if let Some(psutil) = &mut psutil {
            let seconds: f64 = psutil.ask("go")?.trim().parse()?;
            theirs.push(seconds * 1e6 / 100.0);
        }
    }
    let title = "monitor: one reading in 10 ms";
    let mut table = Table::new(title, &["", "cpu us a reading", "of the first"]);
    let text = |spread: Option<Spread>| spread.map_or("-".to_owned(), |one| one.text());
    for (name, figures) in [
        ("Monitor's thread", &ours),
        ("psutil memory_info and sleep", &theirs),
    ] {
        let ratio = Spread::of_ratios(figures, &ours);
        table.row(vec![
            name.to_owned(),
            text(Spread::of(figures)),
            text(ratio),
        ]);
        table.raw(serde_json::json!({ "name": name, "microseconds": figures }));
    }
    table.note("Processor time of the whole process. memory_info reads /proc/pid/statm alone.");
    report.table(table);
    Ok(())
}

/// Processor time of all threads.
fn process_time() -> anyhow::Result<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a live timespec, which the call fills.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    anyhow::ensure!(answer == 0, "no clock of the process");
    Ok(Duration::new(
        time.tv_sec.try_into()?,
        time.tv_nsec.try_into()?,
    ))
}

/// A Python process that answers lines.
struct Python {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Python {
    fn of(command: &mut Command) -> anyhow::Result<Python> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let input = child.stdin.take().context("its input is a pipe")?;
        let output = BufReader::new(child.stdout.take().context("its output is a pipe")?);
        let mut one = Python {
            child,
            input,
            output,
        };
        let ready = one.line()?;
        anyhow::ensure!(ready.trim() == "ready", "it isn't ready: {ready:?}");
        Ok(one)
    }

    fn ask(&mut self, line: &str) -> anyhow::Result<String> {
        self.input.write_all(line.as_bytes())?;
        self.input.write_all(b"\n")?;
        self.line()
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line)
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const REQUEST: &str = "{\"number\": 1234567, \"name\": \"a request of some bytes\"}";
/// First argument of this program as the child of a plain pipe.
const PIPE: &str = "--json-pipe";

const POOL: &str = "
import sys, json, multiprocessing, time
def echo(request): return request
if __name__ == '__main__':
    pool = multiprocessing.get_context('spawn' if sys.argv[1] == 'spawn' else 'fork').Pool(1)
    pool.apply(echo, ('first',))
    print('ready', flush=True)
    for line in sys.stdin:
        for _ in range(200): pool.apply(echo, (line,))
        print('done', flush=True)
";

/// Does what this process was started for, if it was: echoes.
pub(crate) fn answer_worker() -> Option<anyhow::Result<()>> {
    if worker::is_worker() {
        let echo = |request: &[u8], _: &worker::Context| Ok::<_, String>(request.to_vec());
        return Some(worker::serve(echo).map_err(Into::into));
    }
    if std::env::args().nth(1)? != PIPE {
        return None;
    }
    println!("ready");
    for line in std::io::stdin().lines() {
        let Ok(line) = line else { break };
        let value: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        println!("{value}");
    }
    Some(Ok(()))
}

fn pipe() -> anyhow::Result<Python> {
    Python::of(Command::new("/proc/self/exe").arg(PIPE))
}

fn workers(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let worker = Worker::builder("/proc/self/exe").build()?;
    worker.call(b"first")?;
    let mut piped = pipe()?;
    let mut pool = Python::of(Command::new("python3").args(["-c", POOL, "fork"]));
    let mut callers = vec![
        caller("Worker::call", SLOW_CALLS, || {
            let _ = black_box(worker.call(REQUEST.as_bytes()));
        }),
        caller("pipes to a child, lines of JSON", SLOW_CALLS, || {
            let _ = black_box(piped.ask(REQUEST));
        }),
    ];
    if let Ok(pool) = &mut pool {
        let all = caller("multiprocessing.Pool(1).apply", 1, || {
            let _ = pool.ask(REQUEST);
        });
        callers.push(Caller { each: 200, ..all });
    }
    table(
        plan,
        report,
        "worker: a call of 50 bytes",
        Clock::Wall,
        callers,
    );
    let starts = vec![
        caller("Worker, build, first call, drop", 5, || {
            let worker = Worker::builder("/proc/self/exe").build();
            let _ = black_box(worker.and_then(|worker| worker.call(b"x")));
        }),
        caller("child and pipes, first line, kill", 5, || {
            let _ = black_box(pipe().and_then(|mut piped| piped.ask(REQUEST)));
        }),
        caller(
            "python3 and multiprocessing.Pool(1), first call, kill",
            1,
            || {
                drop(black_box(Python::of(
                    Command::new("python3").args(["-c", POOL, "fork"]),
                )));
            },
        ),
    ];
    table(
        plan,
        report,
        "worker: start to the first answer",
        Clock::Wall,
        starts,
    );
    Ok(())
}
