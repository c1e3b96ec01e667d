//! A client of WebDriver (W3C, 2018), as much of it as the tests need, and Chromium by it: JSON over HTTP/1.1.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// Until something comes up that has to; what does not come up at all is an error then.
const PATIENCE: Duration = Duration::from_secs(60);

/// Keys as WebDriver names them.
pub(crate) mod key {
    pub(crate) const TAB: char = '\u{e004}';
    pub(crate) const ENTER: char = '\u{e007}';
    pub(crate) const SHIFT: char = '\u{e008}';
    pub(crate) const CONTROL: char = '\u{e009}';
    pub(crate) const ALT: char = '\u{e00a}';
    pub(crate) const ESCAPE: char = '\u{e00c}';
    pub(crate) const LEFT: char = '\u{e012}';
    pub(crate) const RIGHT: char = '\u{e014}';
    pub(crate) const DOWN: char = '\u{e015}';
}

/// One browser is open at a time: each takes hundreds of MiB.
static ONE: Mutex<()> = Mutex::new(());

/// A chromedriver, which ends with it.
pub(crate) struct Driver {
    child: Child,
    port: u16,
    _one: MutexGuard<'static, ()>,
}

impl Driver {
    /// `None`, said aloud, where there is no browser or nothing to drive it by.
    pub(crate) fn start(test: &str) -> Option<Driver> {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let is_there = |program: &str| {
            let run = Command::new(program).arg("--version").output();
            run.is_ok_and(|output| output.status.success())
        };
        let missing = match (BROWSERS.into_iter().any(is_there), is_there("chromedriver")) {
            (true, true) => None,
            (false, _) => Some("no Chromium"),
            (true, false) => Some("no chromedriver"),
        };
        if let Some(missing) = missing {
            eprintln!("SKIPPED {test}: {missing} is installed");
            return None;
        }
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| {
            let line = line.ok()?;
            let (_, port) = line.split_once("successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        // It goes on talking, and must not wait for who listens.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Driver {
            child,
            port: port.expect("chromedriver says its port"),
            _one: one,
        })
    }

    fn call(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value, String> {
        let body = body.map_or(String::new(), |body| body.to_string());
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(2 * PATIENCE)).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.port,
            body.len()
        )
        .unwrap();
        let body = read_answer(&mut BufReader::new(stream));
        let mut answer: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{body}"));
        let value = answer["value"].take();
        match value["error"].as_str() {
            Some(_) => Err(format!("{method} {path}: {value:#}")),
            None => Ok(value),
        }
    }

    /// A browser with a profile of its own.
    pub(crate) fn open(&self) -> Browser<'_> {
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": [
                "--headless=new",
                // A container's root has no sandbox to enter; the pages are ours.
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--no-first-run",
                "--window-size=1280,900",
            ]},
        }}});
        let session = self.call("POST", "/session", Some(wanted)).unwrap();
        let session = session["sessionId"].as_str().unwrap().to_owned();
        Browser {
            driver: self,
            session,
        }
    }
}

/// The body of an answer. It says its length, and the connection may stay open behind it.
fn read_answer(from: &mut impl BufRead) -> String {
    let mut length = 0;
    loop {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Browser<'a> {
    driver: &'a Driver,
    session: String,
}

impl Browser<'_> {
    fn call(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value, String> {
        let path = format!("/session/{}{path}", self.session);
        self.driver.call(method, &path, body)
    }

    fn post(&self, path: &str, body: Value) -> Value {
        self.call("POST", path, Some(body))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Opens a page, and waits until it is loaded with its modules.
    pub(crate) fn open(&self, url: &str) {
        self.post("/url", json!({"url": url}));
    }

    pub(crate) fn back(&self) {
        self.post("/back", json!({}));
    }

    pub(crate) fn reload(&self) {
        self.post("/refresh", json!({}));
    }

    /// What a script returns that is the body of a function.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({"script": script, "args": []}))
    }

    pub(crate) fn text(&self, script: &str) -> String {
        let value = self.run(script);
        value
            .as_str()
            .map_or_else(|| panic!("{script}: {value}"), str::to_owned)
    }

    pub(crate) fn number(&self, script: &str) -> f64 {
        let value = self.run(script);
        value
            .as_f64()
            .unwrap_or_else(|| panic!("{script}: {value}"))
    }

    /// Waits until an expression is true; a page that is just left answers nothing.
    pub(crate) fn wait(&self, expression: &str) {
        let begun = Instant::now();
        let script = format!("return Boolean({expression})");
        loop {
            let body = json!({"script": script, "args": []});
            let answer = self.call("POST", "/execute/sync", Some(body));
            if answer == Ok(Value::Bool(true)) {
                return;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "waited for {expression}: {answer:?}; at {}",
                self.text("return location.href + ' ' + document.body.innerText.slice(0, 400)")
            );
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    fn element(&self, selector: &str) -> String {
        let found = self.post(
            "/element",
            json!({"using": "css selector", "value": selector}),
        );
        let id = found.as_object().and_then(|found| found.values().next());
        id.and_then(Value::as_str).unwrap().to_owned()
    }

    pub(crate) fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.post(&format!("/element/{element}/click"), json!({}));
    }

    /// Types into a field, behind what is there.
    pub(crate) fn fill(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.post(&format!("/element/{element}/value"), json!({"text": text}));
    }

    /// Empties a field.
    pub(crate) fn clear(&self, selector: &str) {
        let element = self.element(selector);
        self.post(&format!("/element/{element}/clear"), json!({}));
    }

    /// Presses keys one after the other, wherever the focus is.
    pub(crate) fn press(&self, keys: &[char]) {
        self.press_with(&[], keys);
    }

    /// Presses keys while others are held.
    pub(crate) fn press_with(&self, held: &[char], keys: &[char]) {
        let act = |kind: &str, key: &char| json!({"type": kind, "value": key.to_string()});
        let mut actions: Vec<Value> = held.iter().map(|key| act("keyDown", key)).collect();
        for key in keys {
            actions.push(act("keyDown", key));
            actions.push(act("keyUp", key));
        }
        actions.extend(held.iter().map(|key| act("keyUp", key)));
        self.post(
            "/actions",
            json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]}),
        );
    }

    /// A command of Chrome's DevTools protocol.
    pub(crate) fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post(
            "/goog/cdp/execute",
            json!({"cmd": command, "params": parameters}),
        )
    }

    pub(crate) fn set_scheme(&self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.devtools("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    pub(crate) fn be_phone(&self) {
        let size = json!({"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": true});
        self.devtools("Emulation.setDeviceMetricsOverride", size);
        let touch = json!({"enabled": true});
        self.devtools("Emulation.setTouchEmulationEnabled", touch);
    }

    /// # Panics
    /// Where a script failed, something was missing or the page's policy was broken since the last call.
    pub(crate) fn check_console(&self) {
        let said = self.post("/se/log", json!({"type": "browser"}));
        let said = said.as_array().unwrap();
        let wrong = said.iter().filter(|entry| {
            let is_policy = entry["message"]
                .as_str()
                .unwrap()
                .contains("Content Security");
            entry["level"] == "SEVERE" || is_policy
        });
        let wrong: Vec<_> = wrong.collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

impl Drop for Browser<'_> {
    fn drop(&mut self) {
        let _ = self.call("DELETE", "", None);
    }
}
