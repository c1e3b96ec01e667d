//! What is measured and what is read: the `plimsoll` command, and subjects of a given shape.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use plimsoll_subjects::Subject;

use crate::machine;

pub(crate) const GIB: usize = 1 << 30;

/// Left to others when a subject is made.
const MEMORY_LEFT: u64 = 3 << 30;

/// The `plimsoll` command.
#[derive(Clone, Debug)]
pub(crate) struct Tool {
    pub(crate) path: PathBuf,
}

impl Tool {
    /// The one at `path`, or the release build of the workspace beside this folder.
    pub(crate) fn find(path: Option<&Path>) -> anyhow::Result<Tool> {
        if let Some(path) = path {
            let path = path
                .canonicalize()
                .with_context(|| format!("failed to find {}", path.display()))?;
            return Ok(Tool { path });
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("bench/ lies in the workspace")?;
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let target = root.join("target");
        let status = Command::new(cargo)
            .args(["build", "--quiet", "--release", "--package", "plimsoll-cli"])
            .arg("--target-dir")
            .arg(&target)
            .current_dir(root)
            .status()
            .context("failed to start cargo")?;
        if !status.success() {
            bail!("failed to build plimsoll ({status}); --plimsoll FILE takes one that is built");
        }
        let path = target.join("release/plimsoll");
        Ok(Tool { path })
    }

    pub(crate) fn command(&self) -> Command {
        Command::new(&self.path)
    }
}

/// A process of `gib` GiB of touched anonymous memory in `vmas` mappings of small pages, or why
/// this machine can't have it now.
pub(crate) fn cut_memory(vmas: usize, gib: usize) -> Result<Subject, String> {
    room_for(gib * GIB)?;
    let pages = gib * GIB / 4096 / vmas;
    let (vmas, pages) = (vmas.to_string(), pages.to_string());
    Ok(Subject::start(
        "swiss_vmas",
        &["--vmas", &vmas, "--pages", &pages],
    ))
}

/// Whether the machine has `bytes` left, and some more for others.
pub(crate) fn room_for(bytes: usize) -> Result<(), String> {
    let (wanted, left) = (bytes as u64, machine::available());
    if wanted + MEMORY_LEFT <= left {
        return Ok(());
    }
    Err(format!(
        "skipped: {:.1} GiB are available, and this needs {:.1} with {:.1} left to others",
        in_gib(left),
        in_gib(wanted),
        in_gib(MEMORY_LEFT)
    ))
}

#[expect(clippy::cast_precision_loss, reason = "printed with one decimal")]
pub(crate) fn in_gib(bytes: u64) -> f64 {
    bytes as f64 / GIB as f64
}

#[expect(clippy::cast_precision_loss, reason = "printed with one decimal")]
pub(crate) fn in_mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
