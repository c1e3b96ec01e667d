//! The thumbnailer: the process of a server that reads pictures, by [`plimsoll::worker`]. What it took goes back
//! to the system with it, and a picture that breaks it breaks nothing else.

use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use plimsoll_booru_picture::thumbnail::{self, ThumbnailOptions, write_thumbnail};
use plimsoll_booru_picture::{Limits, header, read};

use super::request::{Reply, Request, Step, Version};
use crate::ingest::{self, thumbnail_path};
use crate::web::beneath;
use crate::web::server::bound_malloc;

/// What malloc keeps and rounds up, beside what a picture was said to take.
const ROOM_BYTES: u64 = 16 << 20;

/// What a server tells its thumbnailer once.
#[derive(Clone, Debug, Args)]
pub struct ThumbnailerArguments {
    #[arg(long)]
    images: PathBuf,
    #[arg(long)]
    thumbnails: PathBuf,
    /// Bytes that reading a picture may hold.
    #[arg(long)]
    memory_max: u64,
    /// Pixels of the longest side of a small picture.
    #[arg(long)]
    side_max: u32,
    #[arg(long)]
    quality: f32,
}

impl ThumbnailerArguments {
    pub(super) fn of(settings: &ingest::Settings) -> ThumbnailerArguments {
        ThumbnailerArguments {
            images: settings.images.clone(),
            thumbnails: settings.thumbnails.clone(),
            memory_max: settings.limits().memory_bytes_max,
            side_max: settings.thumbnail.side_max,
            quality: settings.thumbnail.quality,
        }
    }

    /// As they are typed.
    pub(super) fn words(&self) -> Vec<OsString> {
        let word = |name: &str, value: OsString| {
            let mut word = OsString::from(format!("--{name}="));
            word.push(value);
            word
        };
        vec![
            word("images", self.images.clone().into()),
            word("thumbnails", self.thumbnails.clone().into()),
            word("memory-max", self.memory_max.to_string().into()),
            word("side-max", self.side_max.to_string().into()),
            word("quality", self.quality.to_string().into()),
        ]
    }

    fn limits(&self) -> Limits {
        Limits {
            memory_bytes_max: self.memory_max,
            ..Limits::BOARD
        }
    }

    fn options(&self) -> ThumbnailOptions {
        ThumbnailOptions {
            side_max: self.side_max,
            quality: self.quality,
        }
    }
}

/// Does what a server asks until that ends it, or is gone.
///
/// # Errors
/// Where no server started this process.
pub fn serve(arguments: &ThumbnailerArguments) -> Result<()> {
    bound_malloc();
    // `ps` would show the name of the link that this was started by. And what is typed to end the server is no
    // word to its children: requests that are being done are done to their end.
    // SAFETY: prctl reads a string that ends with a zero; signal sets no handler, only that they are ignored.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, c"thumbnailer".as_ptr());
        libc::signal(libc::SIGINT, libc::SIG_IGN);
        libc::signal(libc::SIGTERM, libc::SIG_IGN);
    }
    plimsoll::worker::serve(|request, _| {
        let done = done(arguments, request).map_err(|error| format!("{error:#}"))?;
        serde_json::to_vec(&done).map_err(|error| error.to_string())
    })?;
    Ok(())
}

fn done(arguments: &ThumbnailerArguments, request: &[u8]) -> Result<Reply> {
    let request: Request = serde_json::from_slice(request).context("read a server's request")?;
    let stored = &request.stored;
    let file = beneath::open(&arguments.images, stored).context("open the image")?;
    ensure!(
        Version::of(&file)? == request.file,
        "its file has changed meanwhile"
    );
    // The very file that was opened, whatever its path leads to by now.
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    match request.step {
        Step::Measure => Ok(measure(arguments, &path)),
        Step::Make { memory_bytes } => {
            let to = arguments.thumbnails.join(thumbnail_path(stored));
            bound(memory_bytes)?;
            make(arguments, &path, &to)
        }
    }
}

fn measure(arguments: &ThumbnailerArguments, path: &Path) -> Reply {
    match header(path, &arguments.limits()) {
        Ok(header) => {
            let pixels = u64::from(header.width) * u64::from(header.height);
            Reply::Takes {
                memory_bytes: header.memory_bytes
                    + thumbnail::memory_bytes(pixels, &arguments.options()),
            }
        }
        Err(error) => unreadable(&error),
    }
}

fn make(arguments: &ThumbnailerArguments, path: &Path, to: &Path) -> Result<Reply> {
    let picture = match read(path, &arguments.limits()) {
        Ok(picture) => picture,
        Err(error) => return Ok(unreadable(&error)),
    };
    write_thumbnail(&picture, to, &arguments.options())?;
    Ok(Reply::Made)
}

fn unreadable(error: &anyhow::Error) -> Reply {
    Reply::Unreadable {
        reason: format!("{error:#}"),
    }
}

/// Keeps this process from more than `bytes` beside what it has and [`ROOM_BYTES`]: RLIMIT_DATA of
/// setrlimit(2), since Linux 4.7 for all memory of its own. Past it, an allocation fails and ends it.
fn bound(bytes: u64) -> Result<()> {
    // Pages of data and stack, proc_pid_statm(5).
    let statm = std::fs::read_to_string("/proc/self/statm").context("read what the process has")?;
    let pages = statm.split_ascii_whitespace().nth(5);
    let pages: u64 = pages
        .and_then(|text| text.parse().ok())
        .with_context(|| format!("/proc/self/statm has no sixth number: {statm:?}"))?;
    // SAFETY: takes an integer.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.unsigned_abs();
    let most = pages * page_bytes + bytes + ROOM_BYTES;
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both are given the structure, which lives on this stack.
    let is_set = unsafe {
        libc::getrlimit(libc::RLIMIT_DATA, &raw mut limit) == 0 && {
            limit.rlim_cur = limit.rlim_max.min(most);
            libc::setrlimit(libc::RLIMIT_DATA, &raw const limit) == 0
        }
    };
    ensure!(
        is_set,
        "bound the memory of the process: {}",
        std::io::Error::last_os_error()
    );
    Ok(())
}
