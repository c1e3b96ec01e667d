//! `booru-tagger setup`: finds hardware, asks, runs a model on what was chosen, and remembers it.
//!
//! Nothing is remembered, or said to work, that did not run.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::env_file;
use crate::runtime::{Backend, Device, Engine, Placement, Tensor};

/// A model of one layer, 1x1 convolution with a known bias; tests/fixtures/make.py makes it.
const MODEL: &[u8] = include_bytes!("verify.onnx");
/// A driver that hangs must not keep the setup.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// What the user asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Without the menu.
    pub backend: Option<Device>,
    /// Take the recommended one where none is given; ask nothing.
    pub answers: Answers,
    /// Where it is remembered.
    pub env_file: PathBuf,
    /// Which implementation.
    pub engine: Engine,
    /// ONNX Runtime's library.
    pub library: Option<PathBuf>,
}

/// Who answers questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// The user, on standard input.
    Asked,
    /// Nobody: what is recommended.
    Recommended,
}

/// Finds hardware, lets the user choose, verifies and remembers.
///
/// # Errors
/// Where the choice makes no sense, does not run (nothing is then written), or can't be remembered.
pub fn run(options: &Options, mut ask: impl BufRead, mut say: impl Write) -> Result<()> {
    let device = match options.backend {
        Some(device) => device,
        None => choose(&detect(), options.answers, &mut ask, &mut say)?,
    };
    let backend = Backend {
        device,
        engine: options.engine,
        library: options.library.clone(),
        placement: Placement::Whole,
    };
    let engine = verify(&backend).with_context(|| {
        format!(
            "the backend {device} does not run here, so {} is as it was",
            options.env_file.display()
        )
    })?;
    writeln!(say, "A model ran on {device} by {engine}.")?;
    remember(options, device, engine, say)
}

/// Devices that something on this machine answers for, the processor last.
#[must_use]
pub fn detect() -> Vec<Device> {
    let mut found = Vec::new();
    if answers("nvidia-smi", &["-L"]).is_some_and(|text| text.contains("GPU")) {
        found.push(Device::Cuda);
    }
    let by_sycl = answers("sycl-ls", &[]).is_some_and(|text| {
        let mut lines = text.lines();
        lines.any(|line| line.contains("gpu") && line.contains("Intel"))
    });
    let is_display = |line: &str| {
        ["VGA", "Display", "3D"]
            .iter()
            .any(|kind| line.contains(kind))
    };
    if by_sycl
        || answers("lspci", &[]).is_some_and(|text| {
            let mut lines = text.lines();
            lines.any(|line| is_display(line) && line.contains("Intel"))
        })
    {
        found.push(Device::Xpu);
    }
    if cfg!(all(target_os = "macos", target_arch = "aarch64")) {
        found.push(Device::Mps);
    }
    found.push(Device::Cpu);
    found
}

/// What a program prints; `None` where it is not there, fails, or hangs.
fn answers(program: &str, args: &[&str]) -> Option<String> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut stdout = child.stdout.take()?;
    let reader = thread::spawn(move || {
        let mut text = Vec::new();
        let limited = std::io::Read::take(&mut stdout, 1 << 20);
        std::io::Read::read_to_end(&mut { limited }, &mut text).map(|_| text)
    });
    let begun = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if begun.elapsed() < PROBE_TIMEOUT => thread::sleep(Duration::from_millis(20)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    };
    let text = reader.join().ok()?.ok()?;
    status
        .success()
        .then(|| String::from_utf8_lossy(&text).into_owned())
}

fn label(device: Device) -> &'static str {
    match device {
        Device::Cuda => "NVIDIA GPU (CUDA)",
        Device::Xpu => "Intel GPU (XPU)",
        Device::Mps => "Apple GPU (MPS)",
        Device::Cpu => "CPU Only",
    }
}

fn choose(
    found: &[Device],
    answers: Answers,
    ask: &mut impl BufRead,
    say: &mut impl Write,
) -> Result<Device> {
    writeln!(say, "Detected Hardware:")?;
    for (index, device) in found.iter().enumerate() {
        let recommended = if index == 0 { " - Recommended" } else { "" };
        writeln!(say, "[{}] {}{recommended}", index + 1, label(*device))?;
    }
    writeln!(say)?;
    if answers == Answers::Recommended {
        return Ok(found[0]);
    }
    write!(say, "Select backend to install (1-{}): ", found.len())?;
    say.flush()?;
    let mut line = String::new();
    ensure!(
        ask.read_line(&mut line)? > 0,
        "nobody answers; --backend or --yes chooses without a question"
    );
    let number: usize = line.trim().parse().unwrap_or(0);
    match number.checked_sub(1).and_then(|index| found.get(index)) {
        Some(device) => Ok(*device),
        None => bail!("{:?} is not from 1 to {}", line.trim(), found.len()),
    }
}

/// Runs the built-in model and compares its answer; the name of the engine.
fn verify(backend: &Backend) -> Result<&'static str> {
    let file = ModelFile::create()?;
    let mut loaded = backend.load(&file.0)?;
    // Pixel p of channel c is p + c; the model mixes channels: [[1, 0, 0], [0, 2, 0], [1, 1, 1]] + 0.5.
    let data = (0..3)
        .flat_map(|channel| (0..4).map(move |pixel| (pixel + channel) as f32))
        .collect();
    let outputs = loaded.model.run(Tensor {
        shape: vec![1, 3, 2, 2],
        data,
    })?;
    let expected = [0.5, 1.5, 2.5, 3.5, 2.5, 4.5, 6.5, 8.5, 3.5, 6.5, 9.5, 12.5];
    let is_right = matches!(&outputs[..], [output] if output.data.len() == expected.len()
        && output.data.iter().zip(expected).all(|(found, right)| (found - right).abs() < 1e-2));
    ensure!(
        is_right,
        "the model ran and told {outputs:?} instead of {expected:?}"
    );
    Ok(loaded.engine)
}

/// The built-in model as a file; gone when dropped.
struct ModelFile(PathBuf);

impl ModelFile {
    fn create() -> Result<ModelFile> {
        let name = format!("booru-tagger-verify-{}.onnx", std::process::id());
        let path = std::env::temp_dir().join(name);
        let failed = || format!("write the model to be run, {}", path.display());
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .open(&path)
            .with_context(failed)?;
        file.write_all(MODEL).with_context(failed)?;
        Ok(ModelFile(path))
    }
}

impl Drop for ModelFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn remember(options: &Options, device: Device, engine: &str, mut say: impl Write) -> Result<()> {
    let path: &Path = &options.env_file;
    let mut text = env_file::read(path)?;
    text = env_file::with(&text, "ML_WORKER_BACKEND", &device.to_string());
    text = env_file::with(&text, "ML_WORKER_RUNTIME", engine);
    if let Some(library) = &options.library
        && engine == "onnxruntime"
    {
        let library = library.canonicalize().unwrap_or_else(|_| library.clone());
        let library = library
            .to_str()
            .context("remember ORT_DYLIB_PATH: it is not UTF-8")?;
        text = env_file::with(&text, "ORT_DYLIB_PATH", library);
    }
    let path = path.display();
    match env_file::write(&options.env_file, &text)? {
        true => writeln!(say, "Remembered in {path}: ML_WORKER_BACKEND={device}")?,
        false => writeln!(say, "{path} says so already: ML_WORKER_BACKEND={device}")?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_menu_is_the_seed_s() {
        let found = [Device::Cuda, Device::Xpu, Device::Cpu];
        let mut said = Vec::new();
        let chosen = choose(&found, Answers::Asked, &mut &b"2\n"[..], &mut said).unwrap();
        assert_eq!(chosen, Device::Xpu);
        assert_eq!(
            String::from_utf8(said).unwrap(),
            "Detected Hardware:\n[1] NVIDIA GPU (CUDA) - Recommended\n[2] Intel GPU (XPU)\n\
             [3] CPU Only\n\nSelect backend to install (1-3): "
        );
        let refuse = |answer: &[u8], part: &str| {
            let error = choose(&found, Answers::Asked, &mut &answer[..], &mut Vec::new());
            let text = error.unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
        };
        refuse(b"4\n", "from 1 to 3");
        refuse(b"0\n", "from 1 to 3");
        refuse(b"cuda\n", "from 1 to 3");
        refuse(b"", "nobody answers");
    }
}
