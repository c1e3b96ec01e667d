//! Named, nested intervals of a run, with the peak *inside* each: of live bytes where a
//! [`ledger`] is installed, and of RSS.
//!
//! ```
//! use plimsoll::stage::Stage;
//!
//! let import = Stage::begin("import");
//! for _ in 0..3 {
//!     let batch = import.nest("batch");
//!     let rows = vec![1u8; 1 << 20];
//!     drop(rows);
//!     let figures = batch.end();
//!     assert_eq!(figures.path, "import/batch");
//! }
//! println!("{}", import.end().memstats());
//! ```
//!
//! # What it costs
//! A stage holds its path twice and 90 bytes; the state of all stages is 1.3 KiB, static. Beginning and
//! ending one reads a small file of `/proc`, writes another, and sums up the ledger's counters:
//! some tens of microseconds (`docs/design/library-cost.md`), so one for each batch is cheap and one
//! for each record is not. O(threads x tags) with a ledger.
//!
//! # Peaks
//! *Live bytes* are requested ones, exact within the bound that the ledger states. *RSS*: the kernel
//! keeps a high-water mark of the process (`VmHWM`); at each border of a stage it is read and reset
//! (`/proc/self/clear_refs`, proc_pid_clear_refs(5)), so a peak that fell again is still seen. Where
//! the mark can't be reset, [`RssPeak`] says what is known instead. Both are of the whole process:
//! what other threads do meanwhile is in them. Stages may overlap, in one thread or several; of more
//! than 16 at a time the later ones have no peaks.
//!
//! # What it is not for
//! - A program whose high-water mark is read from outside (`time -v`, `VmHWM`): after a reset that
//!   tells what came after it. [`keep_high_water`] forbids resets; under `plimsoll run`, which sets
//!   `PLIMSOLL_MARKS` and resets the mark itself, the library never does.
//! - Who holds the memory: tags tell that.
//! - A child of `fork` before it calls `exec`, while another thread of the parent was at a border.
//!
//! # Errors
//! Only [`Stage::tell_observer`] fails. A figure that can't be had is absent, never zero.

use std::borrow::Cow;
use std::fmt;
use std::io::{BufRead, BufReader, ErrorKind as IoErrorKind, Write};
use std::marker::PhantomData;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::ledger::{self, Window};
use crate::{Error, ErrorKind};

mod open;
mod rss;

use open::OpenPlace;
pub(crate) use open::{OpenStage, open_stages};
use rss::RssWindow;
pub use rss::{RssPeak, keep_high_water};

/// The variable in which an outside observer, `plimsoll run`, names its socket.
pub const MARKS_VARIABLE: &str = "PLIMSOLL_MARKS";
/// What the observer reads of a label.
const LABEL_MAX: usize = 4095;
/// The observer answers once it has read the figures of that instant: milliseconds, and with a full
/// breakdown of a large process a second.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// An interval of the run, from [`Stage::begin`] to [`Stage::end`] (or until it is dropped, without
/// figures). It ends before the stage that it is nested in.
#[derive(Debug)]
pub struct Stage<'outer> {
    path: String,
    outermost: bool,
    begun: Instant,
    /// Dropped before `live`, so that nobody asks a window that is closed.
    open: OpenPlace,
    live: Option<LiveWindow>,
    rss: RssWindow,
    in_outer: PhantomData<&'outer ()>,
}

#[derive(Debug)]
struct LiveWindow {
    window: Option<Window>,
    begin: ledger::TagFigures,
}

impl Stage<'static> {
    /// Begins an outermost stage.
    #[must_use = "the stage ends when it is dropped"]
    pub fn begin(name: &str) -> Stage<'static> {
        Stage::new(name.to_owned(), true)
    }
}

impl<'outer> Stage<'outer> {
    /// Begins a stage inside this one; its path is `outer/name`.
    #[must_use = "the stage ends when it is dropped"]
    pub fn nest(&self, name: &str) -> Stage<'_> {
        Stage::new(format!("{}/{name}", self.path), false)
    }

    fn new(path: String, outermost: bool) -> Stage<'outer> {
        let live = ledger::is_installed().then(|| {
            let begin = ledger::total();
            LiveWindow {
                window: Window::open(begin.live_bytes),
                begin,
            }
        });
        let begin = live.as_ref().map(|live| live.begin.live_bytes);
        let window = live.as_ref().and_then(|live| live.window.as_ref());
        Stage {
            open: OpenPlace::take(&path, begin, window),
            path,
            outermost,
            begun: Instant::now(),
            live,
            rss: RssWindow::open(),
            in_outer: PhantomData,
        }
    }

    /// Names from the outermost stage to this one, joined by `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Ends the stage.
    pub fn end(self) -> StageFigures {
        let duration = self.begun.elapsed();
        drop(self.open);
        let (rss, rss_peak) = self.rss.close();
        let live = self.live.map(|live| {
            let end = ledger::total();
            LiveFigures {
                begin_bytes: live.begin.live_bytes,
                end_bytes: end.live_bytes,
                end_blocks: end.live_blocks,
                peak_bytes: live.window.map(|window| window.peak().max(end.live_bytes)),
                total_bytes: end.total_bytes.wrapping_sub(live.begin.total_bytes),
                total_blocks: end.total_blocks.wrapping_sub(live.begin.total_blocks),
            }
        });
        StageFigures {
            path: self.path,
            duration,
            live,
            rss_bytes: rss,
            rss_peak,
        }
    }

    /// Tells who watches from outside (`plimsoll run`) that this stage begins here, and waits until
    /// it has read the figures of this instant: what the program does next is in its stage of this
    /// name. `Ok(false)` where nobody watches. The observer's stages do not nest: each lasts to the
    /// next mark.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a stage inside another, and for a name that has a line break or
    /// more than 4095 bytes; [`ErrorKind::TimedOut`] where no answer came within ten seconds;
    /// [`ErrorKind::Gone`] where the observer hung up; [`ErrorKind::Io`] where it can't be reached.
    pub fn tell_observer(&self) -> Result<bool, Error> {
        let path = &self.path;
        if !self.outermost {
            let message = format!(
                "tell the observer of stage {path}: its stages do not nest, so only an outermost \
                 stage can be told"
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        if path.len() > LABEL_MAX || path.contains('\n') {
            let message = format!(
                "tell the observer of a stage: a name is one line of at most {LABEL_MAX} bytes, and \
                 this one has {}",
                path.len()
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let Some(socket) = std::env::var_os(MARKS_VARIABLE) else {
            return Ok(false);
        };
        let socket = std::path::Path::new(&socket);
        let answer = exchange(socket, path).map_err(|error| {
            let kind = match error.kind() {
                IoErrorKind::WouldBlock | IoErrorKind::TimedOut => ErrorKind::TimedOut,
                _ => ErrorKind::Io,
            };
            let message = format!("tell the observer at {} of stage {path}", socket.display());
            Error::with_source(kind, message, error)
        })?;
        match answer.as_str() {
            "ok\n" => Ok(true),
            "" => Err(Error::new(
                ErrorKind::Gone,
                format!(
                    "tell the observer at {} of stage {path}: it hung up; the run may be over",
                    socket.display()
                ),
            )),
            other => Err(Error::new(
                ErrorKind::Malformed,
                format!(
                    "tell the observer at {} of stage {path}: it answered {other:?} instead of ok",
                    socket.display()
                ),
            )),
        }
    }
}

fn exchange(socket: &std::path::Path, label: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    stream.write_all(format!("{label}\n").as_bytes())?;
    let mut answer = String::new();
    // Bounded: whoever answers more than a few bytes is no observer.
    let limited = std::io::Read::take(stream, 64);
    BufReader::new(limited).read_line(&mut answer)?;
    Ok(answer)
}

/// What a stage took.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StageFigures {
    /// Names from the outermost stage to this one, joined by `/`.
    pub path: String,
    /// From begin to end.
    pub duration: Duration,
    /// `None` without a ledger.
    pub live: Option<LiveFigures>,
    /// At the end; `None` where `/proc` can't be read.
    pub rss_bytes: Option<u64>,
    /// Highest RSS inside the stage, as far as the kernel tells.
    pub rss_peak: RssPeak,
}

/// Requested bytes of all tags, by the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LiveFigures {
    /// Live bytes of all tags when it began.
    pub begin_bytes: u64,
    /// Live bytes of all tags when it ended.
    pub end_bytes: u64,
    /// Live blocks when it ended.
    pub end_blocks: u64,
    /// The highest inside the stage. `None` where more than 16 stages were open at its beginning.
    pub peak_bytes: Option<u64>,
    /// Requested inside the stage, freed or not.
    pub total_bytes: u64,
    /// Allocations inside the stage, freed or not.
    pub total_blocks: u64,
}

impl StageFigures {
    /// One line for a log: `[MEMSTATS:import] Alloc=15MiB PeakAlloc=55MiB …`. Figures that are
    /// absent are left out; `<=` and `>=` stand for `=` where a figure is a bound.
    #[must_use]
    pub fn memstats(&self) -> Memstats<'_> {
        Memstats {
            label: Cow::Borrowed(&self.path),
            alloc: self.live.map(|live| live.end_bytes),
            peak_alloc: self.live.and_then(|live| live.peak_bytes),
            total_alloc: self.live.map(|live| live.total_bytes),
            objects: self.live.map(|live| live.end_blocks),
            rss: self.rss_bytes,
            rss_peak: self.rss_peak,
            duration: Some(self.duration),
        }
    }
}

/// The figures of this instant as a line for a log, outside of stages: `Alloc` is live, `PeakAlloc`
/// and `TotalAlloc` are since the program began.
#[must_use]
pub fn memstats(label: &str) -> Memstats<'_> {
    let live = ledger::is_installed().then(ledger::total);
    Memstats {
        label: Cow::Borrowed(label),
        alloc: live.map(|live| live.live_bytes),
        peak_alloc: live.map(|live| live.peak_bytes),
        total_alloc: live.map(|live| live.total_bytes),
        objects: live.map(|live| live.live_blocks),
        rss: rss::read().map(|level| level.rss),
        rss_peak: RssPeak::Unknown,
        duration: None,
    }
}

/// A line of figures, by `Display`: sizes in MiB, rounded down, as `kB` and `MB` mean several
/// things. Control characters of the label are replaced, so that it is one line.
#[derive(Clone, Debug)]
pub struct Memstats<'a> {
    label: Cow<'a, str>,
    alloc: Option<u64>,
    peak_alloc: Option<u64>,
    total_alloc: Option<u64>,
    objects: Option<u64>,
    rss: Option<u64>,
    rss_peak: RssPeak,
    duration: Option<Duration>,
}

impl fmt::Display for Memstats<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[MEMSTATS:")?;
        for character in self.label.chars() {
            let plain = if character.is_control() {
                '?'
            } else {
                character
            };
            write!(f, "{plain}")?;
        }
        f.write_str("]")?;
        let mut size = |key: &str, sign: &str, bytes: Option<u64>| match bytes {
            Some(bytes) => write!(f, " {key}{sign}{}MiB", bytes >> 20),
            None => Ok(()),
        };
        size("Alloc", "=", self.alloc)?;
        size("PeakAlloc", "=", self.peak_alloc)?;
        size("TotalAlloc", "=", self.total_alloc)?;
        size("RSS", "=", self.rss)?;
        let (sign, peak) = self.rss_peak.sign_and_bytes();
        size("PeakRSS", sign, peak)?;
        if let Some(objects) = self.objects {
            write!(f, " HeapObjects={objects}")?;
        }
        if let Some(duration) = self.duration {
            write!(f, " Seconds={:.3}", duration.as_secs_f64())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_what_is_known() {
        let check = |figures: StageFigures, expected: &str| {
            assert_eq!(figures.memstats().to_string(), expected);
        };
        let mut figures = StageFigures {
            path: "import/batch\n1".to_owned(),
            duration: Duration::from_millis(1500),
            live: Some(LiveFigures {
                begin_bytes: 0,
                end_bytes: 15 << 20,
                end_blocks: 22252,
                peak_bytes: Some(55 << 20),
                total_bytes: (80 << 20) + 5,
                total_blocks: 30000,
            }),
            rss_bytes: Some(60 << 20),
            rss_peak: RssPeak::AtMost(90 << 20),
        };
        check(
            figures.clone(),
            "[MEMSTATS:import/batch?1] Alloc=15MiB PeakAlloc=55MiB TotalAlloc=80MiB RSS=60MiB \
             PeakRSS<=90MiB HeapObjects=22252 Seconds=1.500",
        );
        figures.live = None;
        figures.rss_bytes = None;
        figures.rss_peak = RssPeak::Unknown;
        check(figures, "[MEMSTATS:import/batch?1] Seconds=1.500");
    }
}
