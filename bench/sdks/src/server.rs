//! What the contestants talk to: processes of their own, ended with the value that holds them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

/// A server that printed its ports as a line of JSON.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    ports: serde_json::Value,
}

impl Server {
    /// # Errors
    /// It can't be started, or prints no ports.
    pub(crate) fn start(command: &mut Command) -> Result<Server> {
        let failed = || format!("start {command:?}");
        // Standard input is held open: they end with it.
        let mut child = Command::new(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(failed)?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out)
                .read_line(&mut line)
                .with_context(failed)?;
        }
        let Ok(ports) = serde_json::from_str(&line) else {
            bail!("{}: it prints no ports, but {line:?}", failed());
        };
        Ok(Server { child, ports })
    }

    /// # Errors
    /// It has no such port.
    pub(crate) fn port(&self, name: &str) -> Result<u64> {
        let port = self.ports[name].as_u64();
        port.with_context(|| format!("no port {name} in {}", self.ports))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It removes what it made, and ends.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
