//! HTTP as far as S3 needs it: requests with a head and a short body, one connection a thread, kept
//! alive. Memory: a head of at most 64 KiB.

use std::io::{self, Read, Write};

/// Longest head and body of a request: a script of faults is the longest that is sent.
const REQUEST_BYTES_MAX: usize = 64 << 10;

/// What a client asks for.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Without the `?` and what follows.
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) if_match: Option<String>,
    pub(crate) body: Vec<u8>,
    pub(crate) is_last: bool,
}

/// Reads requests off a connection.
#[derive(Debug)]
pub(crate) struct Requests<R> {
    from: R,
    buffer: Vec<u8>,
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl<R: Read> Requests<R> {
    pub(crate) fn new(from: R) -> Requests<R> {
        Requests {
            from,
            buffer: Vec::new(),
        }
    }

    /// The next request; none when the client has ended the connection.
    pub(crate) fn next(&mut self) -> io::Result<Option<Request>> {
        let head = loop {
            if let Some(at) = self.buffer.windows(4).position(|end| end == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.read_more()? {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(bad("a request is cut off")),
                };
            }
        };
        let text =
            std::str::from_utf8(&self.buffer[..head]).map_err(|_| bad("a head is no text"))?;
        let mut lines = text.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (method, target) = (words.next(), words.next());
        let (Some(method), Some(target)) = (method, target) else {
            return Err(bad("a request has no target"));
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            if_match: None,
            body: Vec::new(),
            is_last: false,
        };
        let mut length = 0;
        for line in lines {
            let (name, value) = line.split_once(':').unwrap_or_default();
            let value = value.trim();
            match &*name.to_ascii_lowercase() {
                "if-match" => request.if_match = Some(value.trim_matches('"').to_owned()),
                "connection" => request.is_last = value.eq_ignore_ascii_case("close"),
                "content-length" => length = value.parse().map_err(|_| bad("a length is none"))?,
                _ => {}
            }
        }
        if length > REQUEST_BYTES_MAX {
            return Err(bad("a request is too long"));
        }
        while self.buffer.len() < head + length {
            if !self.read_more()? {
                return Err(bad("a request is cut off"));
            }
        }
        request.body = self.buffer[head..head + length].to_vec();
        self.buffer.drain(..head + length);
        Ok(Some(request))
    }

    fn read_more(&mut self) -> io::Result<bool> {
        let mut part = [0; 4 << 10];
        if self.buffer.len() > 2 * REQUEST_BYTES_MAX {
            return Err(bad("a request is too long"));
        }
        let read = self.from.read(&mut part)?;
        self.buffer.extend_from_slice(&part[..read]);
        Ok(read > 0)
    }
}

/// The head of an answer with a body of so many bytes.
pub(crate) fn write_head(
    to: &mut impl Write,
    status: u16,
    kind: &str,
    length: u64,
    more: &str,
) -> io::Result<()> {
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        412 => "Precondition Failed",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Slow Down",
        _ => "Status",
    };
    write!(
        to,
        "HTTP/1.1 {status} {reason}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n{more}\r\n"
    )
}

/// Takes `%XX` apart; `plus` is what a `+` stands for.
pub(crate) fn decode_percent(text: &str, plus: u8) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            b'+' => plus,
            other => other,
        });
    }
    Some(decoded)
}

/// Appends bytes, each as `%XX` but for what a path may have.
pub(crate) fn encode_percent(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    // A branch for each byte would be a quarter of a page's time.
    const IS_PLAIN: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            let one = byte as u8;
            table[byte] =
                one.is_ascii_alphanumeric() || matches!(one, b'-' | b'_' | b'.' | b'~' | b'/');
            byte += 1;
        }
        table
    };
    let is_plain = |byte: &u8| IS_PLAIN[usize::from(*byte)];
    if bytes.iter().fold(true, |all, byte| all & is_plain(byte)) {
        out.extend_from_slice(bytes);
        return;
    }
    for byte in bytes {
        if is_plain(byte) {
            out.push(*byte);
        } else {
            let (high, low) = (byte >> 4, byte & 15);
            out.extend_from_slice(&[b'%', DIGITS[high as usize], DIGITS[low as usize]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_follow_each_other() {
        let bytes = b"GET /b/a%20b?x=1 HTTP/1.1\r\nHost: h\r\nIf-Match: \"ab\"\r\n\r\n\
            POST /_faults HTTP/1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
        let mut requests = Requests::new(&bytes[..]);
        let first = requests.next().unwrap().unwrap();
        assert_eq!((&*first.path, &*first.query), ("/b/a%20b", "x=1"));
        assert_eq!(first.if_match.as_deref(), Some("ab"));
        let second = requests.next().unwrap().unwrap();
        assert_eq!((&*second.method, &*second.body), ("POST", &b"{}"[..]));
        assert!(second.is_last && !first.is_last);
        assert!(requests.next().unwrap().is_none());
        for cut in [
            "GET",
            "GET / HTTP/1.1\r\n",
            "P / H\r\nContent-Length: 3\r\n\r\n{}",
        ] {
            assert!(Requests::new(cut.as_bytes()).next().is_err());
        }
    }

    #[test]
    fn percents_come_back() {
        let all: Vec<u8> = (0..=255).collect();
        let mut text = Vec::new();
        encode_percent(&all, &mut text);
        let text = String::from_utf8(text).unwrap();
        assert_eq!(decode_percent(&text, b'?'), Some(all));
        assert_eq!(decode_percent("a+b", b' '), Some(b"a b".to_vec()));
        assert_eq!(decode_percent("%4", b' '), None);
        assert_eq!(decode_percent("%zz", b' '), None);
    }
}
