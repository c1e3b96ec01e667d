//! The source: what of S3 a mirror needs, which is to list and to get.
//!
//! Requests are signed here and sent by `ureq`; pages are read as they arrive. Memory: some 100 KiB a
//! connection (its buffers and those of TLS), of which there are as many as threads ask.

mod elements;
mod page;
mod sign;

use std::fmt;
use std::io::{BufReader, Read};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use chrono::DateTime;
use ureq::http::{Response, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

pub use page::{Page, Place};
pub use sign::Credentials;

use crate::listing::{Ask, Lister};
use crate::metrics::{self, Answer, Side};
use crate::record::Meta;

/// Buffers of a connection; the defaults are 128 KiB each.
const INPUT_BYTES: usize = 64 << 10;
const OUTPUT_BYTES: usize = 16 << 10;
/// What of a page is read at once.
const PAGE_INPUT_BYTES: usize = 16 << 10;
/// What is read of an error's text.
const ERROR_BYTES_MAX: u64 = 16 << 10;
/// First pause before a request is tried again; it doubles.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// Where the bucket is, and how to ask.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Such as `https://fsn1.example.com`, with no path.
    pub endpoint: String,
    pub bucket: String,
    pub credentials: Credentials,
    /// Longest time without a byte.
    pub idle: Duration,
    /// Tries of a request before it has failed.
    pub tries: u32,
    /// Requests a second; 0 is no limit.
    pub requests_per_second: u32,
    /// Connections that are kept.
    pub connections: usize,
    /// Certificates to trust instead of the usual ones, as DER.
    pub certificates: Vec<Vec<u8>>,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// No such object.
    Gone,
    /// The object has another hash by now.
    Changed,
    /// Refused with this status: trying again is of no use.
    Refused(u16),
    /// Not reached, broken off, too busy.
    Failed,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Fault {}

/// A client for one bucket; used from many threads.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    settings: Settings,
    /// `scheme://host`, and the host with its port.
    origin: String,
    host: String,
    rate: Option<Rate>,
    /// Requests for pages so far.
    lists: AtomicU64,
    /// Seconds that the server's clock is ahead of this machine's, once it has refused a time for it.
    clock_ahead: AtomicI64,
}

impl Client {
    /// # Errors
    /// An endpoint that is no address.
    pub fn new(settings: Settings) -> Result<Client> {
        let endpoint = settings.endpoint.trim_end_matches('/');
        let uri: Uri = endpoint
            .parse()
            .with_context(|| format!("the endpoint {endpoint:?} is no address"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            bail!("the endpoint {endpoint:?} has to begin with https:// or http://");
        };
        if !matches!(scheme, "http" | "https")
            || uri.path() != "/"
            || authority.as_str().contains('@')
        {
            bail!("the endpoint {endpoint:?} has to be https://HOST[:PORT] or http://HOST[:PORT]");
        }
        let usual = match scheme {
            "https" => ":443",
            _ => ":80",
        };
        let host = authority.as_str();
        let host = host.strip_suffix(usual).unwrap_or(host).to_owned();
        let roots = if settings.certificates.is_empty() {
            RootCerts::WebPki
        } else {
            let all = settings.certificates.iter();
            let all: Vec<_> = all
                .map(|der| Certificate::from_der(der).to_owned())
                .collect();
            RootCerts::new_with_certs(&all)
        };
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent("mirror")
            .timeout_connect(Some(settings.idle))
            .timeout_recv_response(Some(settings.idle))
            .timeout_per_read(Some(settings.idle))
            .timeout_per_write(Some(settings.idle))
            .input_buffer_size(INPUT_BYTES)
            .output_buffer_size(OUTPUT_BYTES)
            .max_idle_connections(settings.connections)
            .max_idle_connections_per_host(settings.connections)
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build()
            .new_agent();
        Ok(Client {
            agent,
            origin: format!("{scheme}://{host}"),
            host,
            rate: Rate::new(settings.requests_per_second),
            lists: AtomicU64::new(0),
            clock_ahead: AtomicI64::new(0),
            settings,
        })
    }

    /// The object of a key, if it is still the one that was listed: one try, to be read at once.
    pub fn get(&self, key: &str, meta: &Meta) -> Result<Object, Fault> {
        let mut path = format!("/{}/", self.settings.bucket);
        sign::encode(key.as_bytes(), b"/", &mut path);
        let etag = meta.etag.to_string();
        let response = self.send(&path, "", (!etag.is_empty()).then_some(&etag))?;
        // With a key of somebody else's, the hash is not that of the bytes.
        let encryption = response.headers().get("x-amz-server-side-encryption");
        let is_plain = encryption.is_none_or(|kind| kind == "AES256")
            && !response
                .headers()
                .contains_key("x-amz-server-side-encryption-customer-algorithm");
        Ok(Object {
            has_md5_etag: is_plain,
            reader: Box::new(response.into_body().into_reader()),
        })
    }

    /// Sends a request; what is no success becomes a fault. Times that the server refuses, because a clock is
    /// wrong, are told by its clock from then on.
    fn send(&self, path: &str, query: &str, etag: Option<&str>) -> Result<Response<Body>, Fault> {
        let ahead = self.clock_ahead.load(Ordering::Relaxed);
        match self.send_counted(path, query, etag) {
            Err(_) if self.clock_ahead.load(Ordering::Relaxed) != ahead => {
                self.send_counted(path, query, etag)
            }
            ended => ended,
        }
    }

    fn send_counted(
        &self,
        path: &str,
        query: &str,
        etag: Option<&str>,
    ) -> Result<Response<Body>, Fault> {
        let ended = self.send_once(path, query, etag);
        metrics::count_request(match &ended {
            Ok(_) => Answer::Success,
            Err(fault) => match fault.kind {
                FaultKind::Gone => Answer::Gone,
                FaultKind::Changed => Answer::Changed,
                FaultKind::Refused(_) => Answer::Refused,
                FaultKind::Failed => Answer::Failed,
            },
        });
        ended
    }

    fn send_once(
        &self,
        path: &str,
        query: &str,
        etag: Option<&str>,
    ) -> Result<Response<Body>, Fault> {
        if let Some(rate) = &self.rate {
            rate.wait();
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let here = now.map_or(0, |since| since.as_secs() as i64);
        let now = here + self.clock_ahead.load(Ordering::Relaxed);
        let request = sign::Request {
            host: &self.host,
            path,
            query,
        };
        let (date, authorization) = sign::sign(&self.settings.credentials, request, now);
        let mark = if query.is_empty() { "" } else { "?" };
        let mut request = self
            .agent
            .get(format!("{}{path}{mark}{query}", self.origin))
            .header("x-amz-content-sha256", sign::EMPTY_SHA256)
            .header("x-amz-date", date)
            .header("authorization", authorization);
        if let Some(etag) = etag {
            request = request.header("if-match", format!("\"{etag}\""));
        }
        let response = request.call().map_err(|error| Fault {
            kind: FaultKind::Failed,
            text: format!("GET {}{path}: {error}", self.origin),
        })?;
        let status = response.status().as_u16();
        if status == 200 {
            return Ok(response);
        }
        let there = response.headers().get("date").and_then(|date| {
            let date = DateTime::parse_from_rfc2822(date.to_str().ok()?);
            Some(date.ok()?.timestamp())
        });
        let mut text = String::new();
        // Only for the message.
        let _ = response
            .into_body()
            .into_reader()
            .take(ERROR_BYTES_MAX)
            .read_to_string(&mut text);
        if status == 403
            && between(&text, "<Code>", "</Code>") == Some("RequestTimeTooSkewed")
            && let Some(there) = there
        {
            self.clock_ahead.store(there - here, Ordering::Relaxed);
        }
        Err(self.fault(path, query, status, &text))
    }

    fn fault(&self, path: &str, query: &str, status: u16, text: &str) -> Fault {
        let code = between(text, "<Code>", "</Code>").unwrap_or_default();
        let message = between(text, "<Message>", "</Message>").unwrap_or_default();
        let is_object = query.is_empty();
        let kind = match status {
            404 if is_object && code != "NoSuchBucket" => FaultKind::Gone,
            412 if is_object => FaultKind::Changed,
            408 | 429 | 500..=599 => FaultKind::Failed,
            // It waited too long for the request: the network, or this machine was busy.
            _ if code == "RequestTimeout" => FaultKind::Failed,
            _ => FaultKind::Refused(status),
        };
        Fault {
            kind,
            text: format!(
                "GET {}{path}: status {status} {code} {message}",
                self.origin
            )
            .trim_end()
            .to_owned(),
        }
    }

    /// Tries until it works, is refused, or has been tried often enough.
    fn with_tries<T>(&self, mut act: impl FnMut() -> Result<T, Fault>) -> Result<T, Fault> {
        let mut pause = PAUSE;
        let mut tries = 1;
        loop {
            match act() {
                Err(fault) if fault.kind == FaultKind::Failed && tries < self.settings.tries => {}
                ended => return ended,
            }
            metrics::count_retry(Side::Source);
            thread::sleep(pause);
            pause = (2 * pause).min(PAUSE_MAX);
            tries += 1;
        }
    }
}

impl Lister for Client {
    fn list(&self, ask: &Ask<'_>, page: &mut Page) -> Result<(), Fault> {
        // Parameters in the order of their names, as signatures have them.
        let mut query = String::new();
        if let Some(token) = ask.token {
            query.push_str("continuation-token=");
            sign::encode(token.as_bytes(), b"", &mut query);
            query.push('&');
        }
        if ask.has_delimiter {
            query.push_str("delimiter=%2F&");
        }
        query.push_str("encoding-type=url&list-type=2&max-keys=");
        query.push_str(&ask.keys_max.to_string());
        if !ask.prefix.is_empty() {
            query.push_str("&prefix=");
            sign::encode(ask.prefix.as_bytes(), b"", &mut query);
        }
        if let Some(after) = ask.start_after {
            query.push_str("&start-after=");
            sign::encode(after, b"", &mut query);
        }
        let path = format!("/{}", self.settings.bucket);
        self.with_tries(|| {
            self.lists.fetch_add(1, Ordering::Relaxed);
            let response = self.send(&path, &query, None)?;
            let body =
                BufReader::with_capacity(PAGE_INPUT_BYTES, response.into_body().into_reader());
            page.read(body).map_err(|error| Fault {
                kind: FaultKind::Failed,
                text: format!(
                    "list s3://{}/{}: {error:#}",
                    self.settings.bucket, ask.prefix
                ),
            })
        })
    }

    fn requests(&self) -> u64 {
        self.lists.load(Ordering::Relaxed)
    }
}

/// An object that is being read.
pub struct Object {
    /// Whether a hash that looks like an MD5 is that of the bytes.
    pub has_md5_etag: bool,
    pub reader: Box<dyn Read>,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("has_md5_etag", &self.has_md5_etag)
            .finish_non_exhaustive()
    }
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(from)?;
    Some(rest.split_once(to)?.0)
}

/// Lets so many requests a second pass, and as many at once after a pause.
#[derive(Debug)]
struct Rate {
    gap: Duration,
    burst: Duration,
    /// When the next may pass.
    next: Mutex<Instant>,
}

impl Rate {
    fn new(requests_per_second: u32) -> Option<Rate> {
        (requests_per_second > 0).then(|| Rate {
            gap: Duration::from_secs(1) / requests_per_second,
            burst: Duration::from_secs(1),
            next: Mutex::new(Instant::now()),
        })
    }

    fn wait(&self) {
        thread::sleep(self.claim(Instant::now()));
    }

    /// How long to wait for the next place.
    fn claim(&self, now: Instant) -> Duration {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(self.burst - self.gap).unwrap_or(now);
        let place = (*next).max(earliest);
        *next = place + self.gap;
        place.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_pass_at_their_rate_after_a_burst() {
        let rate = Rate::new(5).unwrap();
        let start = Instant::now() + Duration::from_secs(10);
        let waits: Vec<u128> = (0..8).map(|_| rate.claim(start).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 200, 400, 600]);
        let later = start + Duration::from_secs(60);
        assert_eq!(rate.claim(later), Duration::ZERO);
        assert!(Rate::new(0).is_none());
    }
}
