//! psutil, measured inside one Python process that stays: its start-up is not in the figures.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::cost::Cost;
use crate::race::Turn;

/// Each line `METHOD PID…` is answered by the seconds that it took: wall clock, processor.
const PROGRAM: &str = "
import sys, time, psutil
def maps(pid): return psutil.Process(pid).memory_maps(grouped=False)
def info(pid): return psutil.Process(pid).memory_full_info()
methods = {'maps': maps, 'info': info}
print('ready', flush=True)
for line in sys.stdin:
    method, *pids = line.split()
    wall, cpu = time.perf_counter(), time.process_time()
    for pid in pids:
        try: methods[method](int(pid))
        except psutil.Error: pass
    print(time.perf_counter() - wall, time.process_time() - cpu, flush=True)
";

/// A Python process with psutil.
#[derive(Debug)]
pub(crate) struct Psutil {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// Which reading of psutil.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PsutilMethod {
    /// `memory_maps(grouped=False)`: smaps, every mapping.
    Maps,
    /// `memory_full_info()`: smaps_rollup, three sums.
    FullInfo,
}

impl Psutil {
    /// `Err` says why it is skipped.
    pub(crate) fn start() -> Result<Psutil, String> {
        Psutil::try_start()
            .map_err(|_| "skipped: psutil is not installed (pip install psutil)".to_owned())
    }

    fn try_start() -> anyhow::Result<Psutil> {
        let mut child = Command::new("python3")
            .args(["-c", PROGRAM])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let input = child.stdin.take().context("its input is a pipe")?;
        let output = child.stdout.take().context("its output is a pipe")?;
        let mut psutil = Psutil {
            child,
            input,
            output: BufReader::new(output),
        };
        if psutil.line()? != "ready" {
            bail!("python3 did not get ready");
        }
        Ok(psutil)
    }

    pub(crate) fn read(&mut self, method: PsutilMethod, pids: &[u32]) -> anyhow::Result<Turn> {
        let mut line = match method {
            PsutilMethod::Maps => "maps".to_owned(),
            PsutilMethod::FullInfo => "info".to_owned(),
        };
        for pid in pids {
            line += &format!(" {pid}");
        }
        line.push('\n');
        self.input.write_all(line.as_bytes())?;
        let answer = self.line()?;
        let mut seconds = answer.split(' ').map(str::parse::<f64>);
        let (Some(Ok(wall)), Some(Ok(cpu))) = (seconds.next(), seconds.next()) else {
            bail!("psutil answered {answer:?}");
        };
        Ok(Turn::from(Cost {
            wall: Duration::try_from_secs_f64(wall)?,
            cpu: Duration::try_from_secs_f64(cpu)?,
        }))
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Psutil {
    fn drop(&mut self) {
        // Both fail only where it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
