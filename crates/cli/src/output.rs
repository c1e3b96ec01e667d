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

/// Writes a whole file or leaves none: first beside it, then renamed.
pub(crate) fn to_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> anyhow::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".partial");
    let beside = Path::new(&beside);
    let written = (|| {
        let mut file = BufWriter::new(File::create(beside)?);
        write(&mut file)?;
        file.into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .sync_all()?;
        std::fs::rename(beside, path)
    })();
    if written.is_err() {
        // What could not be finished is of no use; that it can't be removed either adds nothing.
        let _ = std::fs::remove_file(beside);
    }
    written.with_context(|| format!("can't write {}", path.display()))
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

    #[test]
    fn a_cause_is_told_once() {
        let cause = || io::Error::other("disk on fire");
        let quoted = anyhow::Error::new(cause()).context("write x: disk on fire");
        assert_eq!(explain(&quoted), "write x: disk on fire");
        let unquoted = anyhow::Error::new(cause()).context("write x");
        assert_eq!(explain(&unquoted), "write x: disk on fire");
    }
}
