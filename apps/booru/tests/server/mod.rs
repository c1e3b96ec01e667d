//! A server of its own process, and a client that sends what it is told, byte by byte.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;

pub(crate) const PASSWORD: &str = "correct horse";

/// A `booru serve` that is killed when the test ends.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

pub(crate) fn booru(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_booru"));
    // None of the settings of whoever runs the tests.
    command.args(arguments).env_clear();
    command
}

/// Sets the password of a board.
pub(crate) fn set_password(board: &Path, password: &str) {
    let mut child = booru(&["passwd", board.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{password}").unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
}

impl Server {
    pub(crate) fn start(board: &Path, arguments: &[&str]) -> Server {
        let board = board.to_str().unwrap();
        let base = ["serve", board, "--port", "0", "--monitor-enabled", "false"];
        Server::spawn(&mut booru(&[&base, arguments].concat()))
    }

    pub(crate) fn spawn(command: &mut Command) -> Server {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let address = line.trim().trim_start_matches("http://");
        let address = address.trim_end_matches('/').parse();
        Server {
            address: address.unwrap_or_else(|_| panic!("{line:?} is no address")),
            child,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: it is our own child, which is not waited for yet.
        assert_eq!(unsafe { libc::kill(self.pid() as i32, signal) }, 0);
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream
    }

    /// A request without anything that is not said here but `Host`.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Response {
        let host = match headers.to_lowercase().contains("host:") {
            true => String::new(),
            false => format!("Host: {}\r\n", self.address),
        };
        let length = match body.is_empty() {
            true => String::new(),
            false => format!("Content-Length: {}\r\n", body.len()),
        };
        let head =
            format!("{method} {path} HTTP/1.1\r\n{host}{length}{headers}Connection: close\r\n\r\n");
        let mut stream = self.connect();
        // A server that refuses closes before it has read all.
        let _ = stream.write_all(&[head.as_bytes(), body].concat());
        Response::read(&mut stream, method == "HEAD")
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.send("GET", path, "", b"")
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        let response = self.get(path);
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        response.json()
    }

    /// A change, with the token of who asks.
    pub(crate) fn post(&self, path: &str, cookie: &str, body: &Value) -> Response {
        let token = self.token(cookie);
        let headers = format!("{}{cookie}X-CSRF-Token: {token}\r\n", JSON);
        self.send("POST", path, &headers, body.to_string().as_bytes())
    }

    pub(crate) fn token(&self, cookie: &str) -> String {
        let session = self.send("GET", "/api/session", cookie, b"").json();
        session["csrf_token"].as_str().unwrap().to_owned()
    }

    /// The header with the cookie of a new session.
    pub(crate) fn log_in(&self, password: &str) -> String {
        let response = self.try_log_in(password, "");
        assert_eq!(response.status, 200, "{}", response.text());
        let cookie = response.header("set-cookie").unwrap();
        format!("Cookie: {}\r\n", cookie.split(';').next().unwrap())
    }

    pub(crate) fn try_log_in(&self, password: &str, headers: &str) -> Response {
        let body = serde_json::json!({ "password": password }).to_string();
        let headers = format!("{JSON}{headers}");
        self.send("POST", "/api/login", &headers, body.as_bytes())
    }

    pub(crate) fn total(&self, query: &str) -> u64 {
        let found = self.json(&format!("/api/images?query={}", escaped(query)));
        found["total_results"].as_u64().unwrap()
    }

    /// A figure of `/proc/PID/status`, in bytes.
    pub(crate) fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<u64>().unwrap() << 10
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) const JSON: &str = "Content-Type: application/json\r\n";

/// What a server has answered.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The rest of what a connection gives, as one answer; status 0 where it gives none.
    pub(crate) fn read(stream: &mut TcpStream, is_head: bool) -> Response {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        let _ = reader.read_line(&mut line);
        let status = line.split(' ').nth(1).and_then(|text| text.parse().ok());
        let mut response = Response {
            status: status.unwrap_or(0),
            headers: Vec::new(),
            body: Vec::new(),
        };
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) <= 2 {
                break;
            }
            let (name, value) = line.split_once(':').unwrap();
            let (name, value) = (name.to_lowercase(), value.trim().to_owned());
            response.headers.push((name, value));
        }
        let length = response.header("content-length");
        let length = length.and_then(|length| length.parse::<u64>().ok());
        if is_head {
            return response;
        }
        match length {
            Some(length) => {
                let _ = reader.take(length).read_to_end(&mut response.body);
            }
            None if response.header("transfer-encoding").is_some() => {
                response.body = unchunked(&mut reader);
            }
            None => {}
        }
        response
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find_map(|(other, value)| (other == name).then_some(value.as_str()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }
}

fn unchunked(reader: &mut impl BufRead) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let len = u64::from_str_radix(line.trim(), 16).unwrap();
        let before = body.len() as u64;
        reader
            .by_ref()
            .take(len + 2)
            .read_to_end(&mut body)
            .unwrap();
        body.truncate((before + len) as usize);
        if len == 0 {
            return body;
        }
    }
}

/// As a part of an address.
pub(crate) fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'/' => (byte as char).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}
