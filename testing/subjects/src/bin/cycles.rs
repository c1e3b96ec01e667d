//! Does `--count N` cycles of work and marks each; memory goes by `--shape`:
//!
//! | shape | memory | truth |
//! |---|---|---|
//! | `flat` | a cycle frees what it took | flat |
//! | `warm_up` | grows in the first 20 cycles, then stays | flat |
//! | `cache` | a cache that is full after a third of the cycles | bounded |
//! | `teeth` | grows for `--period` cycles, then frees all | bounded |
//! | `leak` | `--step-kib` more in each cycle | growing |
//! | `noisy_leak` | the same under work of changing size | growing |
//! | `teeth_leak` | the same under teeth | growing |
//! | `late_leak` | the same from a third of the cycles on | growing |
//! | `blocks_leak` | the same in malloc blocks of 1000 bytes | growing |
//! | `shared_leak` | the same in a memfd | growing |
//! | `child_leak` | the same in a child process | growing |
//! | `thread_leak` | a thread in each cycle that never ends | growing |
//! | `file` | more pages of a mapped file in each cycle, clean | flat (own memory) |
//! | `wander` | up or down by chance | not growing |
//! | `fragments` | blocks of all sizes come and go, as many as there were | not growing |
//! | `doubling` | a buffer that doubles its capacity | not flat, not bounded |
//!
//! At its end it prints one line `{"cycles":N}`. Without `PLIMSOLL_MARKS` it does the same unmarked;
//! with `--lines` it writes a line `cycle K` for each instead of marking. After each it sleeps `--pause-us` (0).

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::children::Children;
use plimsoll_subjects::marks::Marks;
use plimsoll_subjects::memory::{Region, Sharing, create_file};
use plimsoll_subjects::stage::Outcome;

const KIB: usize = 1024;
/// Large enough that malloc gives it a mapping of its own: freeing it returns it at once.
const WORK: usize = 512 * KIB;
/// A child in each cycle would be more processes than anybody follows.
const CHILD_EVERY: usize = 8;

fn main() -> Outcome {
    let arguments = Arguments::from_environment(&[
        "count", "shape", "step-kib", "period", "lines", "pause-us",
    ])?;
    let count = arguments.number("count", 200)?;
    let mut work = Work {
        step: arguments.number("step-kib", 64)? * KIB,
        period: arguments.number("period", 23)?,
        count,
        state: 0x9E37_79B9_7F4A_7C15,
        ..Work::default()
    };
    let shape = arguments.text("shape", "flat").to_owned();
    let pause = Duration::from_micros(arguments.number("pause-us", 0)? as u64);
    let mut marks = Marks::connect()?;
    for cycle in 0..count {
        work.cycle(&shape, cycle)?;
        if arguments.has("lines") {
            println!("cycle {}", cycle + 1);
        } else {
            marks.mark("cycle")?;
        }
        std::thread::sleep(pause);
    }
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{{\"cycles\":{count}}}")?;
    // Children wait for the end of this process's pipe; threads end with it.
    std::process::exit(0);
}

/// What is held from cycle to cycle.
#[derive(Default)]
struct Work {
    step: usize,
    period: usize,
    count: usize,
    held: Vec<Region>,
    teeth: Vec<Region>,
    blocks: Vec<Vec<u8>>,
    buffer: Vec<u8>,
    file: Option<Region>,
    children: Vec<Children>,
    /// Of xorshift64: the same run each time.
    state: u64,
}

impl Work {
    fn cycle(&mut self, shape: &str, cycle: usize) -> std::io::Result<()> {
        let noise = 64 * KIB * (self.random() % 8) as usize;
        drop(touched(WORK + noise)?);
        match shape {
            "flat" => {}
            "warm_up" => self.grow_if(cycle < 20)?,
            "cache" => self.grow_if(cycle < self.count / 3)?,
            "teeth" => self.tooth(cycle)?,
            "leak" | "noisy_leak" => self.grow_if(true)?,
            "teeth_leak" => {
                self.tooth(cycle)?;
                self.grow_if(true)?;
            }
            "late_leak" => self.grow_if(cycle >= self.count / 3)?,
            "blocks_leak" => {
                for _ in 0..self.step / 1000 {
                    self.blocks.push(vec![1; 1000]);
                }
            }
            "shared_leak" => {
                let region = Region::shared_anonymous(self.step)?;
                region.write_pages(0..self.step, 1);
                self.held.push(region);
            }
            "child_leak" if cycle.is_multiple_of(CHILD_EVERY) => self.child()?,
            "child_leak" => {}
            "thread_leak" => self.thread()?,
            "file" => self.read_more(cycle)?,
            "wander" => {
                if self.random().is_multiple_of(2) {
                    self.grow_if(true)?;
                } else {
                    self.held.pop();
                }
            }
            "fragments" => self.fragment(),
            "doubling" => self.buffer.resize(self.buffer.len() + self.step, 1),
            other => {
                let message = format!("no shape is called {other:?}");
                return Err(std::io::Error::other(message));
            }
        }
        Ok(())
    }

    fn grow_if(&mut self, grows: bool) -> std::io::Result<()> {
        if grows {
            self.held.push(touched(self.step)?);
        }
        Ok(())
    }

    fn tooth(&mut self, cycle: usize) -> std::io::Result<()> {
        if cycle.is_multiple_of(self.period) {
            self.teeth.clear();
        }
        self.teeth.push(touched(4 * self.step)?);
        Ok(())
    }

    /// A child that holds a step of its own and waits.
    fn child(&mut self) -> std::io::Result<()> {
        let step = CHILD_EVERY * self.step;
        let children = Children::fork(1, move |_| {
            if let Ok(region) = touched(step) {
                std::mem::forget(region);
            }
        })?;
        self.children.push(children);
        Ok(())
    }

    fn thread(&mut self) -> std::io::Result<()> {
        let step = self.step;
        let (ready, wait) = std::sync::mpsc::channel();
        std::thread::Builder::new().spawn(move || {
            let _held_for_good = touched(step);
            // The other end waits for it, so it is there.
            let _ = ready.send(());
            loop {
                std::thread::park();
            }
        })?;
        let _ = wait.recv();
        Ok(())
    }

    fn read_more(&mut self, cycle: usize) -> std::io::Result<()> {
        let length = self.count * self.step;
        if self.file.is_none() {
            let path = PathBuf::from(format!("cycles-{}.data", std::process::id()));
            let file = create_file(&path, length)?;
            std::fs::remove_file(&path)?;
            self.file = Some(Region::of_file(&file, length, Sharing::Shared)?);
        }
        if let Some(file) = &self.file {
            std::hint::black_box(file.read_pages(cycle * self.step..(cycle + 1) * self.step));
        }
        Ok(())
    }

    /// 2000 blocks at most, of 100 to 8000 bytes: each that comes takes the place of another.
    fn fragment(&mut self) {
        for _ in 0..400 {
            let size = 100 + self.random() as usize % 7900;
            let block = vec![1; size];
            if self.blocks.len() < 2000 {
                self.blocks.push(block);
            } else {
                let place = self.random() as usize % self.blocks.len();
                self.blocks[place] = block;
            }
        }
    }

    /// Marsaglia 2003, xorshift64.
    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state >> 8
    }
}

fn touched(bytes: usize) -> std::io::Result<Region> {
    let region = Region::anonymous_in_small_pages(bytes)?;
    region.write_pages(0..bytes, 1);
    Ok(region)
}
