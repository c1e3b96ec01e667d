//! ONNX Runtime by its shared library, which is opened when a model is first loaded.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use ort::ep;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;

use super::{Backend, Device, Model, Placement, Tensor};

/// Opens the library, once in a process: what is opened stays.
pub(super) fn start(library: Option<&Path>) -> Result<()> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    let started = STARTED.get_or_init(|| {
        let library = library.unwrap_or(Path::new("libonnxruntime.so"));
        // `ort` 2.0.0-rc.12 waits for itself for ever where this fails, so it is tried here first.
        require(library).map_err(|reason| {
            format!(
                "open ONNX Runtime's library {}: {reason}; ORT_DYLIB_PATH says where it is",
                library.display()
            )
        })?;
        let environment = ort::init_from(library).map_err(|error| {
            format!(
                "open ONNX Runtime's library {}: {error}; ORT_DYLIB_PATH says where it is",
                library.display()
            )
        })?;
        environment.with_telemetry(false).commit();
        Ok(())
    });
    started.clone().map_err(|text| anyhow!(text))
}

/// What a library of ONNX Runtime exports, `OrtApiBase` in onnxruntime_c_api.h.
#[repr(C)]
struct ApiBase {
    get_api: unsafe extern "C" fn(u32) -> *const std::ffi::c_void,
    get_version: unsafe extern "C" fn() -> *const std::ffi::c_char,
}

/// The version of the interface that is asked of it, by the feature `api-18` of `ort`.
const API_VERSION: u32 = 18;

/// Opens the library, which stays open, and asks it for the interface.
fn require(library: &Path) -> Result<(), String> {
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::CString::new(library.as_os_str().as_bytes())
        .map_err(|_| "its name has a NUL".to_owned())?;
    // SAFETY: a string that ends in NUL; the library's own initialisers are trusted as the library is.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if handle.is_null() {
        // SAFETY: after a failure it is a string of this thread, or null.
        let text = unsafe { libc::dlerror() };
        if text.is_null() {
            return Err("it can't be opened".to_owned());
        }
        // SAFETY: not null, so it ends in NUL and stays until the next call of dlerror.
        let text = unsafe { std::ffi::CStr::from_ptr(text) };
        return Err(text.to_string_lossy().into_owned());
    }
    // SAFETY: the handle is open, and the name ends in NUL.
    let symbol = unsafe { libc::dlsym(handle, c"OrtGetApiBase".as_ptr()) };
    if symbol.is_null() {
        return Err("it has no OrtGetApiBase, so it is another library".to_owned());
    }
    // SAFETY: a symbol of this name is this function, which takes nothing and returns a static.
    let base = unsafe {
        let get: unsafe extern "C" fn() -> *const ApiBase = std::mem::transmute(symbol);
        get().as_ref()
    };
    let base = base.ok_or("it has no interface")?;
    // SAFETY: as the header declares it; null where it does not know that version.
    if unsafe { (base.get_api)(API_VERSION) }.is_null() {
        // SAFETY: as the header declares it, a static string.
        let version = unsafe { std::ffi::CStr::from_ptr((base.get_version)()) };
        let version = version.to_string_lossy();
        return Err(format!(
            "it is version {version}, and 1.{API_VERSION} is the oldest that works"
        ));
    }
    Ok(())
}

pub(super) struct Loaded {
    session: Session,
    input: String,
    shape: Vec<Option<usize>>,
}

impl Loaded {
    pub(super) fn load(path: &Path, backend: &Backend) -> Result<Loaded> {
        let plain = |error: ort::Error<_>| anyhow!("{error}");
        let builder = Session::builder()
            .map_err(|error| anyhow!("{error}"))?
            .with_optimization_level(GraphOptimizationLevel::Level3)
            .map_err(plain)?
            // Idle threads of the pool wait instead of spinning: the worker mostly waits.
            .with_intra_op_spinning(false)
            .map_err(plain)?;
        // A device that can't be had is an error, not a slower device.
        let provider = match backend.device {
            Device::Cpu => None,
            Device::Cuda => Some(ep::CUDA::default().build()),
            Device::Xpu => Some(ep::OpenVINO::default().with_device_type("GPU").build()),
            Device::Mps => Some(ep::CoreML::default().build()),
        };
        let mut builder = match provider {
            Some(provider) => builder
                .with_execution_providers([provider.error_on_failure()])
                .map_err(plain)?,
            None => builder,
        };
        if backend.device != Device::Cpu && backend.placement == Placement::Whole {
            builder = builder.with_disable_cpu_fallback().map_err(plain)?;
        }
        let session = builder
            .commit_from_file(path)
            .map_err(|error| anyhow!("{error}"))?;
        let count = session.inputs().len();
        ensure!(
            count == 1,
            "it has {count} inputs, one image is what is given"
        );
        let input = &session.inputs()[0];
        let shape = input
            .dtype()
            .tensor_shape()
            .context("its input is no tensor")?;
        let shape = shape
            .iter()
            .map(|length| usize::try_from(*length).ok())
            .collect();
        Ok(Loaded {
            input: input.name().to_owned(),
            shape,
            session,
        })
    }
}

impl Model for Loaded {
    fn input_shape(&self) -> &[Option<usize>] {
        &self.shape
    }

    fn run(&mut self, input: Tensor) -> Result<Vec<Tensor>> {
        let value = ort::value::Tensor::from_array((input.shape, input.data))?;
        let outputs = self
            .session
            .run(ort::inputs![self.input.as_str() => value])?;
        let mut found = Vec::with_capacity(outputs.len());
        for (name, value) in &outputs {
            let (shape, data) = value
                .try_extract_tensor::<f32>()
                .with_context(|| format!("its output {name:?} is not of f32"))?;
            let shape = shape
                .iter()
                .map(|length| usize::try_from(*length).unwrap_or(0));
            found.push(Tensor {
                shape: shape.collect(),
                data: data.to_vec(),
            });
        }
        Ok(found)
    }
}
