//! The one process of moto and pyftpdlib that all tests of a program share: starting it takes longer than
//! most tests. It ends when its input does, which is when the tests end.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::Value;

struct Process {
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Process {
    fn start() -> Option<Process> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/servers.py");
        let mut command = Command::new("python3");
        command.arg(script).stdin(Stdio::piped());
        let Ok(mut child) = command.stdout(Stdio::piped()).spawn() else {
            return None;
        };
        let mut from = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        if line.is_empty() {
            let _ = child.wait();
            return None;
        }
        Some(Process {
            to: child.stdin.take().unwrap(),
            from,
        })
    }
}

/// Sends a command to the servers and gives their answer; none, said aloud, where they can't be started.
pub(crate) fn tell(command: &Value) -> Option<Value> {
    static PROCESS: OnceLock<Option<Mutex<Process>>> = OnceLock::new();
    let Some(process) = PROCESS.get_or_init(|| Process::start().map(Mutex::new)) else {
        println!("SKIPPED: no python3, or it has no moto[server], boto3, pyftpdlib or pyOpenSSL");
        return None;
    };
    let mut process = process.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(process.to, "{command}").unwrap();
    let mut line = String::new();
    process.from.read_line(&mut line).unwrap();
    Some(serde_json::from_str(&line).expect("the servers answer in JSON"))
}
