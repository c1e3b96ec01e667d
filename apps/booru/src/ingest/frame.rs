//! A picture out of what is none: the first frame of a video, by the program `ffmpeg` where it is installed, and
//! the first picture of an archive.

use std::io::{self, ErrorKind, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use plimsoll::stream::zip::{ZipArchive, ZipLimits, ZipPlace};

use super::incoming::{Incoming, Waiting};

/// Seconds that a frame may take, by the clock and of the processor.
const SECONDS_MAX: u64 = 30;
/// Address space of the program that decodes: 8K video takes about half of it.
const ADDRESS_BYTES_MAX: u64 = 2 << 30;
/// Of a frame as PNG, and of a picture in an archive.
const PICTURE_BYTES_MAX: u64 = 128 << 20;
/// How often is looked whether the program has ended.
const LOOK: Duration = Duration::from_millis(10);
/// What it says is told up to here.
const ERROR_BYTES_MAX: u64 = 400;

/// The name of the program, for tests to put another in its place.
const FFMPEG: &str = "ffmpeg";

/// A frame of a video as a PNG file: that at 0.1 s, or else the first. `None` where there is no `ffmpeg`.
///
/// # Errors
/// What it says, and where it takes too long or too much.
pub(super) fn of_video(video: &Path, incoming: &Incoming) -> Result<Option<Waiting>> {
    let frame = incoming.file("png")?;
    match run_ffmpeg(video, &frame, Some("0.1")) {
        Err(error) if error.is::<NotInstalled>() => return Ok(None),
        done => done?,
    }
    let length = || frame.file.metadata().map(|found| found.len());
    if length().context("look at the frame")? == 0 {
        run_ffmpeg(video, &frame, None)?;
    }
    if length().context("look at the frame")? == 0 {
        bail!("ffmpeg found no picture in it");
    }
    Ok(Some(frame))
}

#[derive(Debug)]
struct NotInstalled(String);

impl std::fmt::Display for NotInstalled {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{} is not installed", self.0)
    }
}

impl std::error::Error for NotInstalled {}

fn run_ffmpeg(video: &Path, frame: &Waiting, at: Option<&str>) -> Result<()> {
    // With the prefix no name is taken for an option or for an address in a network.
    let file = |path: &Path| {
        let mut name = std::ffi::OsString::from("file:");
        name.push(path);
        name
    };
    let mut command = Command::new(FFMPEG);
    command.args(["-v", "error", "-nostdin", "-y"]);
    command.args(["-threads", "1", "-protocol_whitelist", "file"]);
    if let Some(at) = at {
        command.args(["-ss", at]);
    }
    command.arg("-i").arg(file(video));
    command.args([
        "-frames:v",
        "1",
        "-an",
        "-sn",
        "-f",
        "image2",
        "-c:v",
        "png",
    ]);
    command.args(["-update", "1"]).arg(file(&frame.path));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // SAFETY: setrlimit is a system call that takes its value from the stack of the child; nothing is allocated.
    unsafe {
        command.pre_exec(|| {
            limit(libc::RLIMIT_AS, ADDRESS_BYTES_MAX)?;
            limit(libc::RLIMIT_CPU, SECONDS_MAX)?;
            limit(libc::RLIMIT_FSIZE, PICTURE_BYTES_MAX)
        });
    }
    run_within(&mut command, Duration::from_secs(SECONDS_MAX))
}

fn limit(which: libc::__rlimit_resource_t, most: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: most,
        rlim_max: most,
    };
    // SAFETY: it reads the structure, which lives on this stack.
    match unsafe { libc::setrlimit(which, &limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn run_within(command: &mut Command, time: Duration) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = match command.spawn() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(NotInstalled(program).into());
        }
        child => child.with_context(|| format!("start {program}"))?,
    };
    let until = Instant::now() + time;
    let mut errors = child.stderr.take();
    // A pipe that nobody reads would stop it.
    let said = thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(errors) = &mut errors {
            let _ = errors.by_ref().take(ERROR_BYTES_MAX).read_to_end(&mut said);
            let _ = io::copy(errors, &mut io::sink());
        }
        String::from_utf8_lossy(&said).trim().to_owned()
    });
    let status = loop {
        if let Some(status) = child
            .try_wait()
            .with_context(|| format!("wait for {program}"))?
        {
            break status;
        }
        if Instant::now() >= until {
            // It may have ended in between.
            let _ = child.kill();
            let _ = child.wait();
            bail!(
                "{program} took more than {} s and was ended",
                time.as_secs()
            );
        }
        thread::sleep(LOOK);
    };
    let said = said.join().unwrap_or_default();
    if !status.success() {
        bail!("{program} failed ({status}): {said}");
    }
    Ok(())
}

/// The first picture of an archive in the order in which people count, as a file.
///
/// # Errors
/// An archive that is damaged, hostile or has no picture.
pub(super) fn of_archive(path: &Path, incoming: &Incoming) -> Result<Waiting> {
    let limits = ZipLimits {
        entries: ENTRIES_MAX,
        entry_bytes: PICTURE_BYTES_MAX,
        ..ZipLimits::default()
    };
    let archive = ZipArchive::open(path)?;
    archive.check(&limits)?;
    let mut first: Option<(String, ZipPlace)> = None;
    archive.walk(|entry| {
        let name = String::from_utf8_lossy(entry.name()).into_owned();
        let is_picture = !entry.is_folder() && is_picture(&name);
        let is_first = || {
            first
                .as_ref()
                .is_none_or(|(known, _)| comes_before(&name, known))
        };
        if is_picture && is_first() {
            first = Some((name, entry.place()));
        }
        Ok::<(), plimsoll::Error>(())
    })?;
    let Some((name, place)) = first else {
        bail!("the archive has no picture");
    };
    let mut picture = incoming.file("picture")?;
    let mut reader = archive.read(place, &limits)?;
    io::copy(&mut reader, &mut picture.file)
        .with_context(|| format!("unpack {name:?}, the first picture of the archive"))?;
    Ok(picture)
}

/// Frames of an animation, with room.
const ENTRIES_MAX: u64 = 100_000;

fn is_picture(name: &str) -> bool {
    let name = name.to_lowercase();
    let endings = [".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp"];
    endings.iter().any(|ending| name.ends_with(ending))
}

/// Numbers within names count as numbers: `9` comes before `10`.
fn comes_before(a: &str, b: &str) -> bool {
    natural(a).cmp(natural(b)).then_with(|| a.cmp(b)).is_lt()
}

/// Texts and numbers of a name in turn; a number without the zeros before it is longer or comes later.
fn natural(name: &str) -> impl Iterator<Item = (bool, usize, String)> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let is_number = first.is_ascii_digit();
        let end = rest.find(|one: char| one.is_ascii_digit() != is_number);
        let (part, behind) = rest.split_at(end.unwrap_or(rest.len()));
        rest = behind;
        Some(match is_number {
            true => {
                let digits = part.trim_start_matches('0');
                (false, digits.len(), digits.to_owned())
            }
            false => (true, 0, part.to_lowercase()),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let mut names = [
            "10.png", "9.png", "a2.png", "a10.png", "009b.png", "A1.png", "b.png",
        ];
        names.sort_by(|a, b| match comes_before(a, b) {
            true => std::cmp::Ordering::Less,
            false => std::cmp::Ordering::Greater,
        });
        assert_eq!(
            names,
            [
                "9.png", "009b.png", "10.png", "A1.png", "a2.png", "a10.png", "b.png"
            ]
        );
    }

    #[test]
    fn a_program_that_hangs_fails_or_is_not_there_is_told() {
        let run = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments).stderr(Stdio::piped());
            run_within(&mut command, Duration::from_millis(300))
        };
        assert!(run("true", &[]).is_ok());
        let error = run("sh", &["-c", "echo broken >&2; exit 3"]).unwrap_err();
        assert!(error.to_string().contains("broken"), "{error}");
        let error = run("sleep", &["100"]).unwrap_err();
        assert!(error.to_string().contains("was ended"), "{error}");
        let error = run("no-such-program", &[]).unwrap_err();
        assert!(error.to_string().contains("not installed"), "{error}");
    }
}
