//! Where and how results are written: standard output or a file, width, colour.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use anyhow::Context;
use plimsoll_render::TextOptions;

use crate::arguments::{Color, Output};

/// Columns of text that goes to a file or a pipe.
const WIDTH_PLAIN: u16 = 80;

/// Which stream a text goes to decides its colour and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
    File,
}

pub(crate) fn text_options(output: &Output, stream: Stream) -> TextOptions {
    let terminal = match stream {
        Stream::Stdout => io::stdout().is_terminal(),
        Stream::Stderr => io::stderr().is_terminal(),
        Stream::File => false,
    };
    let color = match output.color {
        Color::Always => true,
        Color::Never => false,
        // https://no-color.org
        Color::Auto => {
            terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        }
    };
    let detected = if terminal { terminal_width() } else { None };
    TextOptions {
        color,
        depth: if output.all { usize::MAX } else { output.depth },
        top: (!output.all).then_some(output.top),
        ..TextOptions::plain(output.width.or(detected).unwrap_or(WIDTH_PLAIN))
    }
}

fn terminal_width() -> Option<u16> {
    // SAFETY: an all-zero winsize is a valid value of that plain C structure.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    for descriptor in [libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: TIOCGWINSZ writes one winsize to the pointer, which is valid for that.
        if unsafe { libc::ioctl(descriptor, libc::TIOCGWINSZ, &raw mut size) } == 0
            && size.ws_col > 0
        {
            return Some(size.ws_col);
        }
    }
    None
}

/// Writes to standard output through a buffer and flushes it.
pub(crate) fn to_stdout(
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> anyhow::Result<()> {
    let mut stdout = BufWriter::new(io::stdout().lock());
    write(&mut stdout)?;
    stdout.flush()?;
    Ok(())
}

/// Writes to standard error, which the output of a command under `run` leaves free.
pub(crate) fn to_stderr(
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> anyhow::Result<()> {
    let mut stderr = BufWriter::new(io::stderr().lock());
    write(&mut stderr)?;
    stderr.flush()?;
    Ok(())
}

/// Writes a whole file or leaves none: first beside it, then renamed. What is not a plain file
/// (a device, a pipe) is written to, never replaced.
pub(crate) fn to_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> anyhow::Result<()> {
    let written = match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => File::options()
            .write(true)
            .open(path)
            .and_then(|file| write_all(file, write))
            .map(drop),
        // A link stays a link: the file it leads to is replaced.
        _ => write_beside(
            &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
            write,
        ),
    };
    written.with_context(|| format!("can't write {}", path.display()))
}

fn write_beside(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".partial");
    let beside = Path::new(&beside);
    let written = File::create(beside)
        .and_then(|file| write_all(file, write))
        .and_then(|file| file.sync_all())
        .and_then(|()| std::fs::rename(beside, path));
    if written.is_err() {
        // What could not be finished is of no use; that it can't be removed either adds nothing.
        let _ = std::fs::remove_file(beside);
    }
    written
}

fn write_all(file: File, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<File> {
    let mut buffered = BufWriter::new(file);
    write(&mut buffered)?;
    buffered
        .into_inner()
        .map_err(io::IntoInnerError::into_error)
}

/// An error with its causes on one line; a cause that the message before it quotes already is
/// not repeated.
pub(crate) fn explain(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

/// A reader that closed the pipe has had enough: no error.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe at the path stays a pipe and gets the text; so would a device.
    #[test]
    fn what_is_no_plain_file_is_never_replaced() {
        use std::io::Read;
        use std::os::unix::fs::FileTypeExt;

        let folder = std::env::temp_dir().join(format!("plimsoll-output-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("pipe");
        let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the name is a valid C string.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let reader = std::thread::spawn({
            let path = path.clone();
            move || {
                let mut text = String::new();
                File::open(path).unwrap().read_to_string(&mut text).unwrap();
                text
            }
        });
        to_file(&path, |w| w.write_all(b"report")).unwrap();
        assert_eq!(reader.join().unwrap(), "report");
        assert!(std::fs::metadata(&path).unwrap().file_type().is_fifo());
        to_file(&folder.join("plain"), |w| w.write_all(b"report")).unwrap();
        assert_eq!(std::fs::read(folder.join("plain")).unwrap(), b"report");
        assert!(!folder.join("plain.partial").exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_cause_is_told_once() {
        let cause = || io::Error::other("disk on fire");
        let quoted = anyhow::Error::new(cause()).context("write x: disk on fire");
        assert_eq!(explain(&quoted), "write x: disk on fire");
        let unquoted = anyhow::Error::new(cause()).context("write x");
        assert_eq!(explain(&unquoted), "write x: disk on fire");
    }
}
