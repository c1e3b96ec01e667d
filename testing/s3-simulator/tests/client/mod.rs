//! A client of a few lines, which says what came byte by byte.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::io::{Read, Write};
use std::net::TcpStream;

pub(crate) struct Client {
    stream: TcpStream,
    port: u16,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// The body is as long as was told.
    pub(crate) is_whole: bool,
}

/// What a page of a listing tells.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) keys: Vec<String>,
    pub(crate) prefixes: Vec<String>,
    pub(crate) key_count: usize,
    pub(crate) next: Option<String>,
}

impl Client {
    pub(crate) fn new(port: u16) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, port }
    }

    /// Sends one request, on a new connection when the last one was ended.
    pub(crate) fn ask(&mut self, method: &str, target: &str, head: &str, body: &str) -> Answer {
        let length = body.len();
        let text = format!(
            "{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{head}\r\n{body}"
        );
        self.stream.write_all(text.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        let mut part = [0; 64 << 10];
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
                break at + 4;
            }
            let read = self.stream.read(&mut part).unwrap();
            assert!(read > 0, "the server ended the connection");
            bytes.extend_from_slice(&part[..read]);
        };
        let answered = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let told = answered.split_once("content-length: ").unwrap().1;
        let told: usize = told.split_once("\r\n").unwrap().0.parse().unwrap();
        let told = if method == "HEAD" { 0 } else { told };
        let mut body = bytes[end..].to_vec();
        while body.len() < told {
            let read = self.stream.read(&mut part).unwrap();
            if read == 0 {
                self.stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
                break;
            }
            body.extend_from_slice(&part[..read]);
        }
        assert!(body.len() <= told);
        Answer {
            status: answered[9..12].parse().unwrap(),
            head: answered,
            is_whole: body.len() == told,
            body,
        }
    }

    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.ask("GET", target, "", "")
    }

    pub(crate) fn list(
        &mut self,
        prefix: &str,
        delimiter: &str,
        start_after: &str,
        token: Option<&str>,
        keys_max: usize,
        is_url_encoded: bool,
    ) -> Told {
        let mut target = format!("/bucket?list-type=2&max-keys={keys_max}");
        for (name, value) in [
            ("prefix", prefix),
            ("delimiter", delimiter),
            ("start-after", start_after),
            ("continuation-token", token.unwrap_or_default()),
        ] {
            if !value.is_empty() {
                let value: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
                target += &format!("&{name}={value}");
            }
        }
        if is_url_encoded {
            target += "&encoding-type=url";
        }
        let answer = self.get(&target);
        let text = String::from_utf8(answer.body).unwrap();
        assert_eq!(answer.status, 200, "{text}");
        told(&text, is_url_encoded)
    }
}

pub(crate) fn told(text: &str, is_url_encoded: bool) -> Told {
    let names = |from: &str, to: &str| -> Vec<String> {
        let parts = text.split(from).skip(1);
        let names = parts.map(|part| part.split_once(to).unwrap().0);
        names.map(|name| plain(name, is_url_encoded)).collect()
    };
    let one = |name: &str| -> Option<&str> {
        let rest = text.split_once(&format!("<{name}>"))?.1;
        Some(rest.split_once('<').unwrap().0)
    };
    let next = one("NextContinuationToken").map(str::to_owned);
    assert_eq!(
        one("IsTruncated"),
        Some(if next.is_some() { "true" } else { "false" })
    );
    Told {
        keys: names("<Contents><Key>", "</Key>"),
        prefixes: names("<CommonPrefixes><Prefix>", "</Prefix>"),
        key_count: one("KeyCount").unwrap().parse().unwrap(),
        next,
    }
}

/// A name as it was before it was written into the page.
fn plain(name: &str, is_url_encoded: bool) -> String {
    if !is_url_encoded {
        let pairs = [
            ("&lt;", "<"),
            ("&gt;", ">"),
            ("&quot;", "\""),
            ("&amp;", "&"),
        ];
        return pairs
            .iter()
            .fold(name.to_owned(), |name, (from, to)| name.replace(from, to));
    }
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte == b'%' {
            let digits = str::from_utf8(&rest[..2]).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            rest = &rest[2..];
        } else {
            assert!(byte.is_ascii_alphanumeric() || b"-_.~/".contains(byte));
            bytes.push(*byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}
