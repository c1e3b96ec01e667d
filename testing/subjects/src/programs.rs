//! Real programs of other runtimes: the sources under `programs/`, run with what the machine has.
//!
//! [`Program::start`] returns [`Skipped`], which says why, where a runtime is not installed; tests
//! print it and pass. What is installed but does not build or run is a failure and panics.

use std::fmt;
use std::process::Command;

use crate::artifacts::programs_folder;
use crate::spawn::Subject;

/// A real program of another runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// CPython with NumPy: `python_numpy.py`.
    PythonNumpy,
}

/// Why a program could not be run on this machine, such as `skipped: go is not installed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped(String);

impl fmt::Display for Skipped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "skipped: {}", self.0)
    }
}

impl Program {
    /// Starts the program with `arguments`, or says why this machine cannot.
    pub fn start(self, arguments: &[&str]) -> Result<Subject, Skipped> {
        let mut command = Command::new("python3");
        command
            .arg(programs_folder().join("python_numpy.py"))
            .args(arguments);
        if !programs_folder().join("python_numpy.py").is_file() {
            return Err(Skipped("python_numpy.py is not there".to_owned()));
        }
        Ok(Subject::start_command("python_numpy", command))
    }
}
