//! A real S3 and a real FTP server of a test's own, and the program run between them.

#![allow(dead_code, reason = "each test takes what it needs")]

pub(crate) mod certificate;
pub(crate) mod ftpd;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod radosgw;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::folder::Folder;
use ftpd::Ftpd;

pub(crate) struct Servers {
    site: u64,
    pub(crate) folder: Folder,
    /// Where the S3 server and the FTP server are spoken to.
    pub(crate) s3: u64,
    pub(crate) ftp: u64,
    user: &'static str,
    /// What the FTP server shows as its root.
    pub(crate) root: PathBuf,
    more: Vec<String>,
}

impl Servers {
    /// None, said aloud, where Python has not what it takes.
    pub(crate) fn start(name: &str) -> Option<Servers> {
        Servers::start_with(name, None)
    }

    pub(crate) fn start_with(name: &str, certificate: Option<&Path>) -> Option<Servers> {
        let folder = Folder::new(name);
        let root = folder.path("ftp");
        fs::create_dir(&root).unwrap();
        let site = process::tell(&json!({"open": &root, "certificate": certificate}))?;
        Some(Servers {
            site: site["site"].as_u64().unwrap(),
            folder,
            s3: site["s3"].as_u64().unwrap(),
            ftp: site["ftp"].as_u64().unwrap(),
            user: "user",
            root,
            more: Vec::new(),
        })
    }

    /// With another S3 server in place of the usual one, to which no faults can be ordered.
    pub(crate) fn start_before(name: &str, s3: u16) -> Option<Servers> {
        let mut servers = Servers::start(name)?;
        servers.s3 = u64::from(s3);
        servers.tell(json!({"endpoint": format!("http://127.0.0.1:{s3}")}));
        Some(servers)
    }

    /// Another FTP server in place of the usual one.
    pub(crate) fn to(mut self, ftpd: &Ftpd) -> Servers {
        self.ftp = u64::from(ftpd.port);
        self.user = ftpd.user;
        self.root.clone_from(&ftpd.root);
        self
    }

    /// Flags that every run gets from now on.
    pub(crate) fn with(mut self, more: &[&str]) -> Servers {
        self.more.extend(more.iter().map(|flag| (*flag).to_owned()));
        self
    }

    fn tell(&mut self, mut command: Value) -> Value {
        command["site"] = json!(self.site);
        process::tell(&command).expect("the servers were started")
    }

    pub(crate) fn put(&mut self, key: &str, text: &str) {
        self.tell(json!({"put": key, "text": text}));
    }

    pub(crate) fn delete(&mut self, key: &str) {
        self.tell(json!({"delete": key}));
    }

    pub(crate) fn faults(&mut self, faults: Value) {
        self.tell(json!({"faults": faults}));
    }

    /// Requests since faults were ordered last.
    pub(crate) fn count(&mut self, name: &str) -> u64 {
        self.tell(json!({"counts": true}))["counts"][name]
            .as_u64()
            .unwrap()
    }

    /// Faults that were ordered so many times and have not happened so often.
    pub(crate) fn faults_left(&mut self) -> Vec<String> {
        serde_json::from_value(self.tell(json!({"counts": true}))["left"].take()).unwrap()
    }

    /// Keys of one page of the bucket, as the server sends them.
    pub(crate) fn page(&mut self) -> u64 {
        self.tell(json!({"page": true}))["page"].as_u64().unwrap()
    }

    pub(crate) fn command(&self, verb: &str) -> Command {
        self.command_of(Command::new(env!("CARGO_BIN_EXE_mirror")), verb)
    }

    /// The program with its settings, started by another that is given.
    pub(crate) fn command_of(&self, mut command: Command, verb: &str) -> Command {
        command
            .args([verb, "--s3-bucket=bucket"])
            .arg(format!("--ftp-username={}", self.user))
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
        gather(&self.root, "", &mut files);
        files
    }

    /// Those that have their own names already.
    pub(crate) fn whole_files(&self) -> BTreeMap<String, String> {
        let mut files = self.files();
        files.retain(|name, _| !name.contains(".mirror-part-"));
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

/// What a run said, and how it ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
}

impl Run {
    pub(crate) fn of(output: Output) -> Run {
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
