//! Real programs of other runtimes and allocators, run with what the machine has.
//!
//! The main type is [`Program`]; the sources are in `programs/`. Starting one returns [`Skipped`],
//! which says why, where its runtime is not installed: a test prints that and passes. What is
//! installed but does not build or run is a failure and panics.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::artifacts::{profile_folder, programs_folder};
use crate::spawn::Subject;

/// A real program of another runtime or allocator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// CPython with NumPy: `python_numpy.py`.
    PythonNumpy,
    /// CPython with one SQLite database mapped by many connections: `python_sqlite_mmap.py`.
    PythonSqlite,
    /// CPython that marks cycles of work: `cycles.py`.
    PythonCycles,
    /// Go: `heap.go`.
    Go,
    /// A JVM: `Heap.java`.
    Java,
    /// Node, which is V8: `heap.js`.
    Node,
    /// Node that marks cycles of work: `cycles.js`.
    NodeCycles,
    /// A static C program on musl: `musl_blocks.c`.
    Musl,
    /// The subject `malloc_blocks` with mimalloc preloaded.
    Mimalloc,
    /// The subject `malloc_blocks` with tcmalloc preloaded.
    Tcmalloc,
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
    /// All of them.
    pub const ALL: [Program; 10] = [
        Program::PythonNumpy,
        Program::PythonSqlite,
        Program::PythonCycles,
        Program::Go,
        Program::Java,
        Program::Node,
        Program::NodeCycles,
        Program::Musl,
        Program::Mimalloc,
        Program::Tcmalloc,
    ];

    /// Starts the program with `arguments` (of its own, see its source), or says why this machine
    /// cannot.
    ///
    /// # Panics
    /// Where the program fails to build or to start, although its runtime is installed.
    pub fn start(self, arguments: &[&str]) -> Result<Subject, Skipped> {
        let mut command = self.command()?;
        command.args(arguments);
        Ok(Subject::start_command(
            &format!("{self:?}").to_lowercase(),
            command,
        ))
    }

    /// The command that starts the program: for tests in which the tool starts it. It may write
    /// files to its current folder.
    ///
    /// # Panics
    /// Where the program fails to build, although its runtime is installed.
    pub fn command(self) -> Result<Command, Skipped> {
        match self {
            Program::PythonNumpy => python("python_numpy.py", "numpy"),
            Program::PythonSqlite => python("python_sqlite_mmap.py", "sqlite3"),
            Program::PythonCycles => python("cycles.py", "sqlite3"),
            Program::Go => go(),
            Program::Java => java(),
            Program::Node => node("heap.js"),
            Program::NodeCycles => node("cycles.js"),
            Program::Musl => musl(),
            Program::Mimalloc => preloaded("libmimalloc.so"),
            Program::Tcmalloc => preloaded("libtcmalloc_minimal.so"),
        }
    }
}

fn python(source: &str, module: &str) -> Result<Command, Skipped> {
    want("python3")?;
    let import = ["-c", &format!("import {module}")];
    let imported = quietly(Command::new("python3").args(import)).status();
    if !imported.is_ok_and(|status| status.success()) {
        return Err(Skipped(format!("python3 has no module {module}")));
    }
    let mut command = Command::new("python3");
    command.arg(programs_folder().join(source));
    Ok(command)
}

fn node(source: &str) -> Result<Command, Skipped> {
    want("node")?;
    let mut command = Command::new("node");
    command.arg(programs_folder().join(source));
    Ok(command)
}

fn go() -> Result<Command, Skipped> {
    want("go")?;
    let program = compiled("heap-go", "heap.go", |source, output| {
        let mut command = Command::new("go");
        // Nothing is fetched: the standard library is all that it imports.
        command
            .env("GOFLAGS", "-mod=mod")
            .env("GOTOOLCHAIN", "local")
            .env("GOPROXY", "off");
        command.arg("build").arg("-o").arg(output).arg(source);
        command
    });
    Ok(Command::new(program))
}

fn java() -> Result<Command, Skipped> {
    want("java")?;
    want("javac")?;
    let class = compiled("Heap.class", "Heap.java", |source, output| {
        let mut command = Command::new("javac");
        command
            .arg("-d")
            .arg(output.parent().expect("the output lies in a folder"))
            .arg(source);
        command
    });
    let mut command = Command::new("java");
    command
        .arg("-Xmx256m")
        .arg("-cp")
        .arg(class.parent().expect("the class lies in a folder"));
    command.arg("Heap");
    Ok(command)
}

fn musl() -> Result<Command, Skipped> {
    want("musl-gcc")?;
    let program = compiled("musl_blocks", "musl_blocks.c", |source, output| {
        let mut command = Command::new("musl-gcc");
        command.args(["-static", "-O2", "-Wall", "-Wextra", "-Werror", "-o"]);
        command.arg(output).arg(source);
        command
    });
    Ok(Command::new(program))
}

fn preloaded(library: &str) -> Result<Command, Skipped> {
    let Some(path) = shared_library(library) else {
        return Err(Skipped(format!("{library} is not installed")));
    };
    let mut command = Command::new(Subject::executable("malloc_blocks"));
    command.env("LD_PRELOAD", path);
    Ok(command)
}

/// The first library whose file name starts with `name`, where distributions put them.
fn shared_library(name: &str) -> Option<PathBuf> {
    let architecture = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let folders = [
        architecture.as_str(),
        "/usr/lib64",
        "/usr/lib",
        "/usr/local/lib",
    ];
    let entries = folders
        .into_iter()
        .filter_map(|folder| Path::new(folder).read_dir().ok());
    let paths = entries
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<PathBuf> = paths
        .filter(|path| {
            path.file_name()
                .is_some_and(|file| file.to_string_lossy().starts_with(name))
        })
        .collect();
    found.sort();
    found.into_iter().next()
}

/// Whether the command is in `PATH`.
fn want(command: &str) -> Result<(), Skipped> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join(command).is_file()) {
        Ok(())
    } else {
        Err(Skipped(format!("{command} is not installed")))
    }
}

/// Compiles a source of `programs/` once, or again where it has changed; the lock keeps the many
/// processes of nextest from doing so at the same time.
fn compiled(output: &str, source: &str, compiler: impl FnOnce(&Path, &Path) -> Command) -> PathBuf {
    let folder = profile_folder().join("subjects-programs");
    let source = programs_folder().join(source);
    let output = folder.join(output);
    let prepared = std::fs::create_dir_all(&folder)
        .and_then(|()| File::create(folder.join(".lock")))
        .and_then(|lock| lock.lock().map(|()| lock));
    let lock =
        prepared.unwrap_or_else(|error| panic!("failed to use {}: {error}", folder.display()));
    let modified = |path: &Path| {
        path.metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
    };
    if modified(&output) < modified(&source) {
        let mut command = compiler(&source, &output);
        let status = command.stdin(Stdio::null()).status();
        assert!(
            status.as_ref().is_ok_and(|status| status.success()),
            "failed to compile {} with {command:?}: {status:?}",
            source.display()
        );
    }
    drop(lock);
    output
}

fn quietly(command: &mut Command) -> &mut Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
}
