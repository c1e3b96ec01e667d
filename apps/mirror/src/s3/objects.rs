//! Objects that this program writes itself, which a state on S3 is made of: put, swapped, read, removed.
//!
//! Memory: a body that is given as bytes; of a file nothing but a buffer, however long it is.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use ureq::http::{Request, Response};
use ureq::{Body, SendBody};

use super::{Client, ERROR_BYTES_MAX, Fault, FaultKind, Page, between, sign};
use crate::listing::{Ask, Lister};

/// Longest object that is read into memory.
const BYTES_MAX: u64 = 1 << 20;
/// A file beyond it is put in parts of this size: S3 takes 10,000 parts, and 5 GiB in one.
pub const PART_BYTES: u64 = 64 << 20;
const READ_BYTES: usize = 64 << 10;

/// What has to be there for an object to be put.
#[derive(Clone, Copy, Debug)]
pub enum Condition<'a> {
    Always,
    /// Nothing.
    Absent,
    /// The object with this ETag.
    Is(&'a str),
}

/// What becomes of a swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swap {
    /// It is there, with this ETag.
    Done(String),
    /// Something else is there than was expected.
    Conflict,
}

/// An object that is read whole.
#[derive(Clone, Debug)]
pub struct Stored {
    pub bytes: Vec<u8>,
    pub etag: String,
}

impl Client {
    /// The object of a key, whole; none where there is none. Up to 1 MiB.
    pub fn read_object(&self, key: &str) -> Result<Option<Stored>, Fault> {
        let path = self.path(key);
        let response = self.with_tries(|| self.exchange("GET", &path, "", &[], None));
        let response = match response {
            Ok(response) => response,
            Err(fault) if fault.kind == FaultKind::Gone => return Ok(None),
            Err(fault) => return Err(fault),
        };
        let etag = etag_of(&response);
        let mut bytes = Vec::new();
        let read = response.into_body().into_reader().take(BYTES_MAX + 1);
        { read }
            .read_to_end(&mut bytes)
            .map_err(|error| failed(format!("GET {}{path}: {error}", self.origin)))?;
        if bytes.len() as u64 > BYTES_MAX {
            let text = format!("GET {}{path}: over {BYTES_MAX} bytes", self.origin);
            return Err(failed(text));
        }
        Ok(Some(Stored { bytes, etag }))
    }

    /// The object of a key, to be read at once.
    pub fn open_object(&self, key: &str) -> Result<Box<dyn Read>, Fault> {
        let path = self.path(key);
        let response = self.with_tries(|| self.exchange("GET", &path, "", &[], None))?;
        Ok(Box::new(response.into_body().into_reader()))
    }

    /// Puts bytes.
    pub fn put_object(&self, key: &str, bytes: &[u8]) -> Result<(), Fault> {
        match self.swap_object(key, bytes, Condition::Always)? {
            Swap::Done(_) => Ok(()),
            Swap::Conflict => Err(failed(format!("PUT {key}: a condition that was not made"))),
        }
    }

    /// Puts bytes in place of what is expected there. A try whose answer was lost is known by its bytes,
    /// so they have to be of this try alone.
    pub fn swap_object(
        &self,
        key: &str,
        bytes: &[u8],
        condition: Condition<'_>,
    ) -> Result<Swap, Fault> {
        let path = self.path(key);
        let quoted = |etag: &str| format!("\"{etag}\"");
        let header = match condition {
            Condition::Always => None,
            Condition::Absent => Some(("if-none-match", "*".to_owned())),
            Condition::Is(etag) => Some(("if-match", quoted(etag))),
        };
        let headers: Vec<(&str, &str)> = header
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let put = self
            .with_tries(|| self.exchange("PUT", &path, "", &headers, Some(Content::Bytes(bytes))));
        match put {
            Ok(response) => Ok(Swap::Done(etag_of(&response))),
            // Two at once are told by 409, and if-match of what is gone by 404.
            Err(fault)
                if matches!(
                    fault.kind,
                    FaultKind::Changed | FaultKind::Gone | FaultKind::Refused(409)
                ) && !fault.text.contains("NoSuchBucket") =>
            {
                match self.read_object(key)? {
                    Some(stored) if stored.bytes == bytes => Ok(Swap::Done(stored.etag)),
                    _ => Ok(Swap::Conflict),
                }
            }
            Err(fault) => Err(fault),
        }
    }

    /// Puts a file, in parts where it is long; a part is read twice, for its hash and to be sent.
    pub fn put_file(&self, key: &str, file: &File, part_bytes: u64) -> Result<(), Fault> {
        let path = self.path(key);
        let of_file = |error: io::Error| failed(format!("read what is put as {key}: {error}"));
        let length = file.metadata().map_err(of_file)?.len();
        if length <= part_bytes {
            return self.put_part(&path, "", file, 0, length).map(drop);
        }
        let begun = self.with_tries(|| {
            let response =
                self.exchange("POST", &path, "uploads=", &[], Some(Content::Bytes(&[])))?;
            text_of(response)
        })?;
        let Some(id) = between(&begun, "<UploadId>", "</UploadId>") else {
            return Err(failed(format!("POST {path}?uploads: no upload is named")));
        };
        let mut encoded = String::new();
        sign::encode(id.as_bytes(), b"", &mut encoded);
        let ended = self.put_parts(&path, &encoded, file, length, part_bytes);
        if ended.is_err() {
            // What is left of it costs money and nothing else.
            let _ = self.exchange("DELETE", &path, &format!("uploadId={encoded}"), &[], None);
        }
        ended
    }

    fn put_parts(
        &self,
        path: &str,
        id: &str,
        file: &File,
        length: u64,
        part_bytes: u64,
    ) -> Result<(), Fault> {
        let mut list = "<CompleteMultipartUpload>".to_owned();
        for (number, from) in (1..).zip((0..length).step_by(part_bytes as usize)) {
            let query = format!("partNumber={number}&uploadId={id}");
            let etag = self.put_part(path, &query, file, from, part_bytes.min(length - from))?;
            list +=
                &format!("<Part><PartNumber>{number}</PartNumber><ETag>\"{etag}\"</ETag></Part>");
        }
        list += "</CompleteMultipartUpload>";
        let query = format!("uploadId={id}");
        let answer = self.with_tries(|| {
            let body = Some(Content::Bytes(list.as_bytes()));
            text_of(self.exchange("POST", path, &query, &[], body)?)
        })?;
        // Also a failure may come with status 200, behind blanks that keep the connection.
        match answer.contains("<ETag>") && !answer.contains("<Error>") {
            true => Ok(()),
            false => Err(failed(format!("POST {path}: {}", answer.trim()))),
        }
    }

    fn put_part(
        &self,
        path: &str,
        query: &str,
        file: &File,
        from: u64,
        length: u64,
    ) -> Result<String, Fault> {
        let of_file = |error: io::Error| failed(format!("read what is put as {path}: {error}"));
        let hash = hash_of(file, from, length).map_err(of_file)?;
        let response = self.with_tries(|| {
            let mut source = file;
            source.seek(SeekFrom::Start(from)).map_err(of_file)?;
            let mut source = io::BufReader::with_capacity(READ_BYTES, source.take(length));
            let content = Content::Reader(&mut source, length, &hash);
            self.exchange("PUT", path, query, &[], Some(content))
        })?;
        Ok(etag_of(&response))
    }

    /// Removes an object; that there is none is no failure.
    pub fn delete_object(&self, key: &str) -> Result<(), Fault> {
        let path = self.path(key);
        match self.with_tries(|| self.exchange("DELETE", &path, "", &[], None)) {
            Err(fault) if fault.kind != FaultKind::Gone => Err(fault),
            _ => Ok(()),
        }
    }

    /// The keys that begin with `prefix`, in the order in which the server has them, each given to `each`.
    pub fn each_key(
        &self,
        prefix: &str,
        mut each: impl FnMut(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut page = Page::default();
        let mut token: Option<String> = None;
        loop {
            let ask = Ask {
                prefix,
                token: token.as_deref(),
                start_after: None,
                has_delimiter: false,
                keys_max: 1000,
            };
            self.list(&ask, &mut page)?;
            for key in page.keys() {
                if let Ok(key) = std::str::from_utf8(key) {
                    each(key)?;
                }
            }
            let next = page.next_token().map(str::to_owned);
            if !page.is_truncated() || next.is_none() || next == token {
                return Ok(());
            }
            token = next;
        }
    }

    fn path(&self, key: &str) -> String {
        let mut path = format!("/{}/", self.settings.bucket);
        sign::encode(key.as_bytes(), b"/", &mut path);
        path
    }

    /// One request of any kind.
    fn exchange(
        &self,
        method: &str,
        path: &str,
        query: &str,
        headers: &[(&str, &str)],
        content: Option<Content<'_>>,
    ) -> Result<Response<Body>, Fault> {
        if let Some(rate) = &self.rate {
            rate.wait();
        }
        let here = SystemTime::now().duration_since(UNIX_EPOCH);
        let here = here.map_or(0, |since| since.as_secs() as i64);
        let hash = match &content {
            None => sign::EMPTY_SHA256.to_owned(),
            Some(Content::Bytes(bytes)) => sign::sha256(bytes),
            Some(Content::Reader(_, _, hash)) => (*hash).to_owned(),
        };
        let request = sign::Request {
            method,
            host: &self.host,
            path,
            query,
            payload_sha256: &hash,
        };
        let now = here + self.clock_ahead.load(Ordering::Relaxed);
        let (date, authorization) = sign::sign(&self.settings.credentials, request, now);
        let mark = if query.is_empty() { "" } else { "?" };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}{mark}{query}", self.origin))
            .header("x-amz-content-sha256", &hash)
            .header("x-amz-date", date)
            .header("authorization", authorization);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let failed_by = |error: &dyn std::fmt::Display| {
            failed(format!("{method} {}{path}: {error}", self.origin))
        };
        let sent = match content {
            None => self.agent.run(request.body(()).map_err(|e| failed_by(&e))?),
            Some(Content::Bytes(bytes)) => self
                .agent
                .run(request.body(bytes).map_err(|e| failed_by(&e))?),
            Some(Content::Reader(source, length, _)) => {
                let request = request.header("content-length", length);
                let body = SendBody::from_reader(source);
                self.agent
                    .run(request.body(body).map_err(|e| failed_by(&e))?)
            }
        };
        let response = sent.map_err(|error| failed_by(&error))?;
        let status = response.status().as_u16();
        if (200..300).contains(&status) {
            return Ok(response);
        }
        let text = text_of(response).unwrap_or_default();
        let mut fault = self.fault(path, "", status, &text);
        fault.text = fault.text.replacen("GET", method, 1);
        Err(fault)
    }
}

/// What is sent.
enum Content<'a> {
    Bytes(&'a [u8]),
    /// So many bytes, with their hash.
    Reader(&'a mut dyn Read, u64, &'a str),
}

fn failed(text: String) -> Fault {
    Fault {
        kind: FaultKind::Failed,
        text,
    }
}

fn etag_of(response: &Response<Body>) -> String {
    let etag = response.headers().get("etag");
    let etag = etag.and_then(|etag| etag.to_str().ok());
    etag.unwrap_or_default().trim_matches('"').to_owned()
}

fn text_of(response: Response<Body>) -> Result<String, Fault> {
    let mut text = String::new();
    let mut reader = response.into_body().into_reader().take(ERROR_BYTES_MAX);
    reader
        .read_to_string(&mut text)
        .map_err(|error| failed(format!("read an answer: {error}")))?;
    Ok(text)
}

fn hash_of(mut file: &File, from: u64, length: u64) -> io::Result<String> {
    file.seek(SeekFrom::Start(from))?;
    let mut source = file.take(length);
    let mut buffer = vec![0; READ_BYTES];
    let mut hash = sign::Sha256::new();
    loop {
        let read = source.read(&mut buffer)?;
        if read == 0 {
            return Ok(hash.finish());
        }
        hash.update(&buffer[..read]);
    }
}
