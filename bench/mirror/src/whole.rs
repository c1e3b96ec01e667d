//! The whole program over the simulated bucket, in which nothing has changed: listing, merge, state. Its
//! processor time is counted apart from that of the simulator.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser};
use plimsoll_mirror::config;
use plimsoll_mirror::state::{Lock, State};
use plimsoll_s3_simulator::Bucket;

use crate::table::{self, mib, seconds, short, spread};
use crate::usage::{Rss, processor_time_of};
use crate::{Folder, objects, stores};

#[derive(Debug, Args)]
pub(crate) struct WholeArguments {
    /// Keys; may be given several times.
    #[arg(long, default_values_t = [1_000_000])]
    count: Vec<u64>,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Folder with `mirror` and `s3-simulator`; they are built where none is given.
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Given to `mirror run` too.
    #[arg(last = true)]
    more: Vec<String>,
}

pub(crate) fn run(arguments: &WholeArguments) -> Result<()> {
    let programs = match &arguments.programs {
        Some(folder) => folder.clone(),
        None => build()?,
    };
    let simulator = Simulator::start(&programs.join("s3-simulator"))?;
    let folder = Folder::new(None)?;
    let mut rows = Vec::new();
    for &count in &arguments.count {
        let state = folder.path().join(count.to_string());
        let words = words(&simulator, &state, count, &arguments.more);
        seed(objects::bucket(count), &words)?;
        let mut measured = Vec::new();
        for _ in 0..arguments.rounds {
            measured.push(once(&programs.join("mirror"), &words, &simulator, count)?);
        }
        let stored = stores::stored(&state)? as f64 / count as f64;
        rows.push(row(count, &measured, stored));
        fs::remove_dir_all(&state).context("remove the state")?;
    }
    let title = format!(
        "mirror run, nothing has changed; medians of {} rounds",
        arguments.rounds
    );
    let columns = [
        "keys",
        "wall s",
        "mirror CPU s",
        "keys a CPU-s",
        "simulator CPU s",
        "peak RSS MiB",
        "anon",
        "file",
        "state bytes a key",
    ];
    table::print(&title, &columns, &rows);
    Ok(())
}

/// Builds both programs as they are released.
fn build() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let status = Command::new("cargo")
        .args(["build", "--release", "-p", "plimsoll-mirror", "-p"])
        .arg("plimsoll-s3-simulator")
        .current_dir(&root)
        .status()
        .context("start cargo")?;
    if !status.success() {
        bail!("the programs can't be built; give a folder that has them by --programs");
    }
    Ok(root.join("target/release"))
}

struct Simulator {
    child: Child,
    s3: u64,
    ftp: u64,
}

impl Simulator {
    fn start(program: &Path) -> Result<Simulator> {
        // It ends with its standard input, however this program ends.
        let mut child = Command::new(program)
            .args(["--photos", "--until-eof"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let mut line = String::new();
        let out = child.stdout.take().context("its output is piped")?;
        BufReader::new(out).read_line(&mut line)?;
        let ports: serde_json::Value = serde_json::from_str(&line)?;
        let port = |name: &str| ports[name].as_u64().context("it tells its ports");
        Ok(Simulator {
            child,
            s3: port("s3")?,
            ftp: port("ftp")?,
        })
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn words(simulator: &Simulator, state: &Path, count: u64, more: &[String]) -> Vec<String> {
    let own = [
        "run".to_owned(),
        format!("--state={}", state.display()),
        format!("--s3-endpoint=http://127.0.0.1:{}", simulator.s3),
        format!("--s3-bucket=bucket-{count}"),
        "--s3-access-key=key".to_owned(),
        "--s3-secret-key=secret".to_owned(),
        "--ftp-host=127.0.0.1".to_owned(),
        format!("--ftp-port={}", simulator.ftp),
        "--ftp-username=user".to_owned(),
        "--log-level=debug".to_owned(),
    ];
    own.iter().chain(more).cloned().collect()
}

/// Makes the state that a run with these arguments leaves behind once all is uploaded.
pub(crate) fn seed(bucket: Bucket, words: &[String]) -> Result<()> {
    let words = ["mirror".to_owned()].into_iter().chain(words.to_vec());
    let config::Command::Run(arguments) = config::Arguments::try_parse_from(words)?.command else {
        bail!("only a run has a state to begin with: give `run --state DIR …`");
    };
    let folder = &arguments.state.state;
    let lock = Lock::take(folder)?;
    let state = State::open(folder, &arguments.pair(), &lock)?;
    stores::seed(state, bucket)?;
    Ok(())
}

/// One run.
#[derive(Clone, Copy, Debug)]
struct Measured {
    wall: Duration,
    cpu: Duration,
    simulator: Duration,
    rss: Rss,
}

fn once(program: &Path, words: &[String], simulator: &Simulator, count: u64) -> Result<Measured> {
    let server = simulator.child.id();
    let before = processor_time_of(server).context("the simulator has ended")?;
    let started = Instant::now();
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    let out = child.stdout.take().context("its output is piped")?;
    let watched = child.id().to_string();
    let watcher = thread::spawn(move || {
        let mut highest = Rss::default();
        while let Some(rss) = Rss::read(&watched) {
            highest.anon = highest.anon.max(rss.anon);
            highest.file = highest.file.max(rss.file);
            highest.peak = highest.peak.max(rss.peak);
            thread::sleep(Duration::from_millis(5));
        }
        highest
    });
    let said = std::io::read_to_string(out).context("read what it says")?;
    let (status, cpu) = wait(&mut child)?;
    let wall = started.elapsed();
    let mut rss = watcher.join().unwrap_or_default();
    // Its own last word comes later than the last look.
    let told = said.split("RssPeak=").skip(1);
    let told = told.filter_map(|rest| rest.split_once("KiB")?.0.parse::<u64>().ok());
    rss.peak = rss.peak.max(told.max().unwrap_or(0) << 10);
    let is_unchanged = said.contains(&format!("TEMP_DELETED→SYNCED={count},"));
    if status != 0 || !is_unchanged {
        bail!("a run that had nothing to do ended with {status} and said:\n{said}");
    }
    let after = processor_time_of(server).context("the simulator has ended")?;
    Ok(Measured {
        wall,
        cpu,
        simulator: after.saturating_sub(before),
        rss,
    })
}

/// Waits for a child: its wait status, and its processor time.
fn wait(child: &mut Child) -> Result<(i32, Duration)> {
    let mut status = 0;
    // SAFETY: all-zero is a valid rusage: it holds numbers only.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values, which the call fills; the child was not waited for.
    let waited = unsafe {
        libc::wait4(
            child.id() as libc::pid_t,
            &raw mut status,
            0,
            &raw mut usage,
        )
    };
    if waited < 0 {
        return Err(std::io::Error::last_os_error()).context("wait for the mirror");
    }
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
    };
    Ok((status, time(usage.ru_utime) + time(usage.ru_stime)))
}

fn row(count: u64, measured: &[Measured], stored: f64) -> Vec<String> {
    let all = |figure: &dyn Fn(&Measured) -> f64| measured.iter().map(figure).collect::<Vec<_>>();
    let cell = |figure: &dyn Fn(&Measured) -> f64| spread(&all(figure), short);
    vec![
        count.to_string(),
        cell(&|one| seconds(one.wall)),
        cell(&|one| seconds(one.cpu)),
        spread(&all(&|one| count as f64 / seconds(one.cpu)), |keys| {
            format!("{:.0},000", keys / 1000.0)
        }),
        cell(&|one| seconds(one.simulator)),
        cell(&|one| mib(one.rss.peak)),
        cell(&|one| mib(one.rss.anon)),
        cell(&|one| mib(one.rss.file)),
        short(stored),
    ]
}
