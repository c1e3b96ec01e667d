//! What the environment says, by the original's names.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use plimsoll_booru_worker_protocol::message::BATCH_MAX;
use plimsoll_booru_worker_protocol::usual_socket;

use crate::runtime::{Backend, Device, Engine, Placement};

/// Settings of `booru-tagger serve`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `ML_WORKER_SOCKET`.
    pub socket: PathBuf,
    /// `ML_WORKER_IDLE_TIMEOUT`, seconds; 300.
    pub idle_timeout: Duration,
    /// `ML_WORKER_BACKEND`, `ML_WORKER_RUNTIME` (new) and `ORT_DYLIB_PATH` (ONNX Runtime's usual name).
    pub backend: Backend,
    /// `ML_MODELS_DIR` (new): where upscalers are looked for by name; `./models`.
    pub models: PathBuf,
    /// `ML_WORKER_BATCH_SIZE` (new): images of one inference, 1 to [`BATCH_MAX`].
    pub batch_size: Option<usize>,
}

/// Of one inference on a device; on the processor a batch takes the memory of several and is no faster.
const DEVICE_BATCH: usize = 8;

impl Config {
    /// Images of one inference where the model takes several: what was set, or else 8 on a device and 1
    /// on the processor.
    #[must_use]
    pub fn batch_images(&self) -> usize {
        let usual = match self.backend.device {
            Device::Cpu => 1,
            _ => DEVICE_BATCH,
        };
        self.batch_size.unwrap_or(usual)
    }

    /// Reads `variable`s.
    ///
    /// # Errors
    /// Names the variable that makes no sense.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Config> {
        let text = |name: &str| -> Result<Option<String>> {
            let value = variable(name).filter(|value| !value.is_empty());
            value
                .map(|value| {
                    value
                        .into_string()
                        .map_err(|_| anyhow::anyhow!("{name} is not UTF-8"))
                })
                .transpose()
        };
        let path = |name: &str| {
            variable(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let seconds = match text("ML_WORKER_IDLE_TIMEOUT")? {
            None => 300.0,
            Some(text) => text
                .trim()
                .parse::<f64>()
                .with_context(|| format!("ML_WORKER_IDLE_TIMEOUT is {text:?}, not seconds"))?,
        };
        let idle_timeout = Duration::try_from_secs_f64(seconds)
            .with_context(|| format!("ML_WORKER_IDLE_TIMEOUT is {seconds} s"))?;
        ensure!(
            !idle_timeout.is_zero(),
            "ML_WORKER_IDLE_TIMEOUT is 0: no request would be in time"
        );
        let batch_size = match text("ML_WORKER_BATCH_SIZE")? {
            None => None,
            Some(text) => {
                let size = text.trim().parse().ok();
                let size = size.filter(|size| (1..=BATCH_MAX).contains(size));
                Some(size.with_context(|| {
                    format!("ML_WORKER_BATCH_SIZE is {text:?}, not from 1 to {BATCH_MAX}")
                })?)
            }
        };
        let named = |name: &str| Ok::<_, anyhow::Error>(text(name)?.unwrap_or_default());
        Ok(Config {
            socket: path("ML_WORKER_SOCKET")
                .unwrap_or_else(|| usual_socket(path("XDG_RUNTIME_DIR"))),
            idle_timeout,
            backend: Backend {
                device: named("ML_WORKER_BACKEND")?
                    .parse()
                    .context("read ML_WORKER_BACKEND")?,
                engine: named("ML_WORKER_RUNTIME")?
                    .parse::<Engine>()
                    .context("read ML_WORKER_RUNTIME")?,
                library: path("ORT_DYLIB_PATH"),
                placement: Placement::Mostly,
            },
            models: path("ML_MODELS_DIR").unwrap_or_else(|| "models".into()),
            batch_size,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings() {
        let config = Config::read(|name| match name {
            "ML_WORKER_BACKEND" => Some("cuda".into()),
            "ML_WORKER_IDLE_TIMEOUT" => Some("0.25".into()),
            "XDG_RUNTIME_DIR" => Some("/run/user/7".into()),
            _ => None,
        });
        let config = config.unwrap();
        assert_eq!(config.backend.device, Device::Cuda);
        assert_eq!(config.idle_timeout, Duration::from_millis(250));
        assert_eq!(
            config.socket,
            PathBuf::from("/run/user/7/booru_ml_worker.sock")
        );
        let refuse = |wrong: &str, value: &str| {
            let error = Config::read(|name| (name == wrong).then(|| value.into())).unwrap_err();
            assert!(format!("{error:#}").contains(wrong), "{error:#}");
        };
        refuse("ML_WORKER_BACKEND", "abacus");
        refuse("ML_WORKER_RUNTIME", "torch");
        for value in ["soon", "-1", "0", "NaN", "1e300"] {
            refuse("ML_WORKER_IDLE_TIMEOUT", value);
        }
        for value in ["0", "257", "many"] {
            refuse("ML_WORKER_BATCH_SIZE", value);
        }
    }
}
