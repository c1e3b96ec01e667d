//! What runs a model: ONNX Runtime, loaded from a shared library when a model is first needed, or
//! tract, which is compiled in.
//!
//! **Cost.** Nothing until the first model is loaded. Then the library (ONNX Runtime's CPU build maps
//! some 25 MiB), the weights, and what an inference takes between its layers. README.md has figures.

#[cfg(feature = "onnxruntime")]
mod onnxruntime;
#[cfg(feature = "tract")]
mod tract;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

/// Numbers with a shape, in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Lengths of the axes.
    pub shape: Vec<usize>,
    /// Their product of numbers.
    pub data: Vec<f32>,
}

impl Tensor {
    /// `tensors` of one shape, one behind the other on the first axis. O(bytes).
    #[must_use]
    pub fn stacked(tensors: &[Tensor]) -> Tensor {
        let mut shape = tensors.first().map_or(Vec::new(), |one| one.shape.clone());
        if let Some(axis) = shape.first_mut() {
            *axis = tensors.iter().map(|one| one.shape[0]).sum();
        }
        let mut data = Vec::with_capacity(tensors.iter().map(|one| one.data.len()).sum());
        for one in tensors {
            data.extend_from_slice(&one.data);
        }
        Tensor { shape, data }
    }
}

/// A loaded model of one input and one or more outputs, all of f32.
pub trait Model: Send {
    /// Lengths of the input's axes; `None` for those that it leaves open.
    fn input_shape(&self) -> &[Option<usize>];

    /// One inference.
    ///
    /// # Errors
    /// What the runtime says: a shape that does not fit, or no memory.
    fn run(&mut self, input: Tensor) -> Result<Vec<Tensor>>;
}

/// What computes; names are the original's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    Cpu,
    /// NVIDIA, by CUDA.
    Cuda,
    /// Intel, by OpenVINO.
    Xpu,
    /// Apple, by CoreML.
    Mps,
}

impl FromStr for Device {
    type Err = anyhow::Error;

    /// `auto` is the processor, as for the original's ONNX models.
    fn from_str(text: &str) -> Result<Device> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "cpu" | "auto" | "" => Device::Cpu,
            "cuda" => Device::Cuda,
            "xpu" => Device::Xpu,
            "mps" => Device::Mps,
            _ => bail!("{text:?} is no backend; there are auto, cpu, cuda, xpu and mps"),
        })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Device::Cpu => "cpu",
            Device::Cuda => "cuda",
            Device::Xpu => "xpu",
            Device::Mps => "mps",
        })
    }
}

/// Which implementation runs a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// ONNX Runtime where its library is found; on the processor tract otherwise.
    Auto,
    /// ONNX Runtime.
    OnnxRuntime,
    /// tract.
    Tract,
}

impl FromStr for Engine {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Engine> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "auto" | "" => Engine::Auto,
            "onnxruntime" => Engine::OnnxRuntime,
            "tract" => Engine::Tract,
            _ => bail!("{text:?} is no runtime; there are auto, onnxruntime and tract"),
        })
    }
}

/// Whether a device has to run all of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// The device runs what it can, the processor the small rest: how models are usually run.
    Mostly,
    /// All of it, or it is an error: what a verification needs.
    Whole,
}

/// Where models are to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// What computes.
    pub device: Device,
    /// Which implementation.
    pub engine: Engine,
    /// ONNX Runtime's library; without it the system's loader looks for `libonnxruntime.so`.
    pub library: Option<PathBuf>,
    /// Whether the device has to run all of a model.
    pub placement: Placement,
}

/// A model and what runs it, as it was found out.
pub struct Loaded {
    /// The model.
    pub model: Box<dyn Model>,
    /// The implementation's name, `onnxruntime` or `tract`.
    pub engine: &'static str,
}

impl Backend {
    /// Loads a model's file; the first call loads the runtime too.
    ///
    /// # Errors
    /// Where there is no such file, it is no ONNX model of one f32 input, or nothing here can run it on
    /// this device: there is no silent fallback from a device to another.
    pub fn load(&self, path: &Path) -> Result<Loaded> {
        let found = std::fs::metadata(path)
            .with_context(|| format!("load the model {}", path.display()))?;
        ensure!(
            found.is_file(),
            "load the model {}: it is no file",
            path.display()
        );
        let loaded = self.load_file(path);
        loaded.with_context(|| format!("load the model {} on {}", path.display(), self.device))
    }

    fn load_file(&self, path: &Path) -> Result<Loaded> {
        let (engine, reason) = match self.engine {
            Engine::Tract => (Engine::Tract, None),
            Engine::OnnxRuntime => (Engine::OnnxRuntime, None),
            Engine::Auto => match start_onnxruntime(self.library.as_deref()) {
                Ok(()) => (Engine::OnnxRuntime, None),
                Err(error) if self.device == Device::Cpu => (Engine::Tract, Some(error)),
                Err(error) => return Err(error),
            },
        };
        if engine == Engine::OnnxRuntime {
            start_onnxruntime(self.library.as_deref())?;
            return load_by_onnxruntime(path, self);
        }
        ensure!(
            self.device == Device::Cpu,
            "tract runs on the processor alone; use ML_WORKER_RUNTIME=onnxruntime"
        );
        load_by_tract(path).map_err(|error| match reason {
            // Both were wanted, so both reasons count.
            Some(reason) => error.context(format!("without ONNX Runtime ({reason:#}), by tract")),
            None => error,
        })
    }
}

#[cfg(feature = "onnxruntime")]
fn start_onnxruntime(library: Option<&Path>) -> Result<()> {
    onnxruntime::start(library)
}

#[cfg(not(feature = "onnxruntime"))]
fn start_onnxruntime(_: Option<&Path>) -> Result<()> {
    bail!("this program was built without the feature onnxruntime")
}

#[cfg(feature = "onnxruntime")]
fn load_by_onnxruntime(path: &Path, backend: &Backend) -> Result<Loaded> {
    Ok(Loaded {
        model: Box::new(onnxruntime::Loaded::load(path, backend)?),
        engine: "onnxruntime",
    })
}

#[cfg(not(feature = "onnxruntime"))]
fn load_by_onnxruntime(_: &Path, _: &Backend) -> Result<Loaded> {
    bail!("this program was built without the feature onnxruntime")
}

#[cfg(feature = "tract")]
fn load_by_tract(path: &Path) -> Result<Loaded> {
    Ok(Loaded {
        model: Box::new(tract::Loaded::load(path)?),
        engine: "tract",
    })
}

#[cfg(not(feature = "tract"))]
fn load_by_tract(_: &Path) -> Result<Loaded> {
    bail!("this program was built without the feature tract")
}
