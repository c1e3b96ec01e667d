//! A real S3 and a real FTP server, and the program run against them.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use serde_json::{Value, json};

use crate::folder::Folder;

pub(crate) struct Servers {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    pub(crate) folder: Folder,
    s3: u64,
    ftp: u64,
    more: Vec<String>,
}

impl Servers {
    /// None, said aloud, where Python has not what it takes.
    pub(crate) fn start(name: &str) -> Option<Servers> {
        Servers::start_with(name, None)
    }

    pub(crate) fn start_with(name: &str, certificate: Option<&Path>) -> Option<Servers> {
        let folder = Folder::new(name);
        fs::create_dir(folder.path("ftp")).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/servers.py");
        let mut command = Command::new("python3");
        command
            .arg(script)
            .arg(folder.path("ftp"))
            .args(certificate);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let Ok(mut child) = child else {
            println!("SKIPPED: no python3");
            return None;
        };
        let mut from = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        let Ok(ports) = serde_json::from_str::<Value>(&line) else {
            println!("SKIPPED: python3 has no moto[server], boto3, pyftpdlib or pyOpenSSL");
            let _ = child.wait();
            return None;
        };
        Some(Servers {
            to: child.stdin.take().unwrap(),
            child,
            from,
            folder,
            s3: ports["s3"].as_u64().unwrap(),
            ftp: ports["ftp"].as_u64().unwrap(),
            more: Vec::new(),
        })
    }

    /// Flags that every run gets from now on.
    pub(crate) fn with(mut self, more: &[&str]) -> Servers {
        self.more.extend(more.iter().map(|flag| (*flag).to_owned()));
        self
    }

    fn tell(&mut self, command: &Value) -> Value {
        writeln!(self.to, "{command}").unwrap();
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    pub(crate) fn put(&mut self, key: &str, text: &str) {
        self.tell(&json!({"put": key, "text": text}));
    }

    pub(crate) fn delete(&mut self, key: &str) {
        self.tell(&json!({"delete": key}));
    }

    pub(crate) fn faults(&mut self, faults: Value) {
        self.tell(&json!({"faults": faults}));
    }

    /// Requests since faults were ordered last.
    pub(crate) fn count(&mut self, name: &str) -> u64 {
        self.tell(&json!({"counts": true}))["counts"][name]
            .as_u64()
            .unwrap()
    }

    pub(crate) fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mirror"));
        command
            .args([verb, "--s3-bucket=bucket", "--ftp-username=user"])
            .arg(format!("--state={}", self.folder.path("state").display()))
            .arg(format!("--s3-endpoint=http://127.0.0.1:{}", self.s3))
            .arg(format!("--ftp-port={}", self.ftp))
            .args(["--ftp-host=localhost", "--ftp-base-path=/base"])
            .env("S3_ACCESS_KEY_ID", "key")
            .env("S3_SECRET_ACCESS_KEY", "unseen-secret")
            .env("FTP_PASSWORD", "secret")
            .args(&self.more);
        command
    }

    pub(crate) fn run(&self, more: &[&str]) -> Run {
        Run::of(self.command("run").args(more).output().unwrap())
    }

    pub(crate) fn state(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mirror"));
        command.args(arguments);
        command.arg(format!("--state={}", self.folder.path("state").display()));
        Run::of(command.output().unwrap())
    }

    /// Every file that the FTP server has, hidden ones too, by its path below the base.
    pub(crate) fn files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        gather(&self.folder.path("ftp"), "", &mut files);
        files
    }
}

fn gather(folder: &Path, below: &str, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{below}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            gather(&entry.path(), &format!("{name}/"), files);
        } else {
            // It may be renamed meanwhile.
            let Ok(text) = fs::read_to_string(entry.path()) else {
                continue;
            };
            files.insert(name.strip_prefix("base/").unwrap_or(&name).to_owned(), text);
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a run said, and how it ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
}

impl Run {
    fn of(output: Output) -> Run {
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert!(!text.contains("unseen-secret"), "a secret is shown: {text}");
        Run {
            code: output.status.code(),
            text,
        }
    }

    #[track_caller]
    pub(crate) fn expect(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.text);
        for part in parts {
            assert!(self.text.contains(part), "no {part:?} in:\n{}", self.text);
        }
    }
}

/// What is to be where.
pub(crate) fn files(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = pairs
        .iter()
        .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()));
    owned.collect()
}
