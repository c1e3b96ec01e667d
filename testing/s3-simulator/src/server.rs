//! The bucket over HTTP, a thread a connection, with counts and faults. Memory: a page and a head a
//! connection.
//!
//! A bucket `BUCKET-N` is the same with N objects, so that one server has all sizes of an experiment.
//! Beside `GET /BUCKET?list-type=2…`, `GET` and `HEAD /BUCKET/KEY` there is, for tests:
//! `POST /_faults` (a script), `POST /_generation` (a number), `POST /_count` (a number), and
//! `GET /_counts` and `POST /_counts`, which sets them to nothing.

use std::io::{self, BufWriter, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde::Serialize;

use crate::bucket::{Bucket, Contents, Object};
use crate::faults::{Operation, Orders, Script};
use crate::http::{Request, Requests, decode_percent, write_head};
use crate::listing::{Page, Query, civil};

/// A server in this process; its threads go on until that ends.
#[derive(Clone, Debug)]
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
}

#[derive(Debug)]
struct Shared {
    name: String,
    bucket: Mutex<Bucket>,
    script: Mutex<Script>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    lists: AtomicU64,
    gets: AtomicU64,
    heads: AtomicU64,
    objects_listed: AtomicU64,
    prefixes_listed: AtomicU64,
    faults: AtomicU64,
    connections: AtomicU64,
}

/// What was asked for since the counts were set to nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    pub lists: u64,
    pub gets: u64,
    pub heads: u64,
    /// In pages that were answered.
    pub objects_listed: u64,
    pub prefixes_listed: u64,
    /// Rules of scripts that held.
    pub faults: u64,
    /// Opened.
    pub connections: u64,
}

impl Counts {
    fn all(&self) -> [&AtomicU64; 7] {
        [
            &self.lists,
            &self.gets,
            &self.heads,
            &self.objects_listed,
            &self.prefixes_listed,
            &self.faults,
            &self.connections,
        ]
    }

    fn get(&self) -> Counted {
        let [
            lists,
            gets,
            heads,
            objects_listed,
            prefixes_listed,
            faults,
            connections,
        ] = self.all().map(|count| count.load(Ordering::Relaxed));
        Counted {
            lists,
            gets,
            heads,
            objects_listed,
            prefixes_listed,
            faults,
            connections,
        }
    }

    fn reset(&self) {
        for count in self.all() {
            count.store(0, Ordering::Relaxed);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

impl Server {
    /// Serves a bucket of this name on a port of this machine; 0 is any that is free.
    ///
    /// # Errors
    /// The port is taken.
    pub fn start(name: &str, bucket: Bucket, port: u16) -> io::Result<Server> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            bucket: Mutex::new(bucket),
            script: Mutex::new(Script::default()),
            counts: Counts::default(),
        });
        let server = Server { shared, address };
        let shared = server.shared.clone();
        thread::Builder::new()
            .name("s3".to_owned())
            .spawn(move || {
                for stream in listener.incoming().flatten() {
                    add(&shared.counts.connections, 1);
                    let shared = shared.clone();
                    // A client that goes away is no failure of the server.
                    thread::spawn(move || drop(Connection::serve(&shared, stream)));
                }
            })?;
        Ok(server)
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `http://127.0.0.1:PORT`
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    #[must_use]
    pub fn bucket(&self) -> Bucket {
        *lock(&self.shared.bucket)
    }

    /// Has another bucket in place of this one.
    pub fn set_bucket(&self, bucket: Bucket) {
        *lock(&self.shared.bucket) = bucket;
    }

    pub fn set_faults(&self, script: Script) {
        *lock(&self.shared.script) = script;
    }

    #[must_use]
    pub fn counts(&self) -> Counted {
        self.shared.counts.get()
    }

    pub fn reset_counts(&self) {
        self.shared.counts.reset();
    }
}

/// One client.
struct Connection<'a> {
    shared: &'a Shared,
    to: BufWriter<TcpStream>,
    page: Page,
}

/// Whether the connection goes on.
type Answered = io::Result<bool>;

impl Connection<'_> {
    fn serve(shared: &Shared, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut requests = Requests::new(stream.try_clone()?);
        let mut connection = Connection {
            shared,
            to: BufWriter::with_capacity(16 << 10, stream),
            page: Page::default(),
        };
        while let Some(request) = requests.next()? {
            let goes_on = connection.answer(&request)?;
            connection.to.flush()?;
            if !goes_on || request.is_last {
                break;
            }
        }
        Ok(())
    }

    fn answer(&mut self, request: &Request) -> Answered {
        if let Some(verb) = request.path.strip_prefix("/_") {
            return self.control(verb, request);
        }
        let path = &request.path[1.min(request.path.len())..];
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let operation = match &*request.method {
            "GET" if key.is_empty() => Operation::List,
            "GET" => Operation::Get,
            "HEAD" => Operation::Head,
            _ => return self.fail(405, "MethodNotAllowed", "only GET and HEAD"),
        };
        let Some(key) = decode_percent(key, b'+') else {
            return self.fail(400, "InvalidURI", "the key is not percent-encoded");
        };
        let counts = &self.shared.counts;
        match operation {
            Operation::List => add(&counts.lists, 1),
            Operation::Head => add(&counts.heads, 1),
            _ => add(&counts.gets, 1),
        }
        let orders = lock(&self.shared.script).orders(operation, &key);
        add(&counts.faults, orders.rules);
        thread::sleep(orders.delay);
        if let Some(status) = orders.status {
            return self.fail(status, "Ordered", "by the script of faults");
        }
        let Some(found) = self.bucket(bucket) else {
            return self.fail(404, "NoSuchBucket", "there is no such bucket");
        };
        match operation {
            Operation::List => self.list(request, bucket, &found, &orders),
            _ => self.object(request, &found, &key, &orders),
        }
    }

    /// The bucket of a name.
    fn bucket(&self, name: &str) -> Option<Bucket> {
        let bucket = *lock(&self.shared.bucket);
        let rest = name.strip_prefix(&*self.shared.name)?;
        if rest.is_empty() {
            return Some(bucket);
        }
        let count = rest.strip_prefix('-')?.parse().ok()?;
        let bucket = Bucket { count, ..bucket };
        bucket.check().is_ok().then_some(bucket)
    }

    fn list(
        &mut self,
        request: &Request,
        name: &str,
        bucket: &Bucket,
        orders: &Orders,
    ) -> Answered {
        let mut query = match Query::parse(&request.query) {
            Ok(query) => query,
            Err(text) => return self.fail(400, "InvalidArgument", &text),
        };
        query.bucket = name.to_owned();
        if self.page.fill(bucket, &query, orders.page).is_err() {
            return self.fail(
                400,
                "InvalidArgument",
                "the continuation token is none of ours",
            );
        }
        let counts = &self.shared.counts;
        add(&counts.objects_listed, self.page.objects as u64);
        add(&counts.prefixes_listed, self.page.prefixes as u64);
        let text = &self.page.text;
        write_head(&mut self.to, 200, "application/xml", text.len() as u64, "")?;
        if orders.drop {
            self.to.write_all(&text[..text.len() / 2])?;
            return Ok(false);
        }
        self.to.write_all(text)?;
        Ok(true)
    }

    fn object(
        &mut self,
        request: &Request,
        bucket: &Bucket,
        key: &[u8],
        orders: &Orders,
    ) -> Answered {
        let Some(slot) = bucket.find(key) else {
            return self.fail(404, "NoSuchKey", "there is no such object");
        };
        let object = bucket.object(slot);
        let mut etag = Vec::new();
        object.put_etag(&mut etag);
        let etag = String::from_utf8_lossy(&etag);
        let wanted = request.if_match.as_deref().filter(|wanted| *wanted != "*");
        if wanted.is_some_and(|wanted| wanted != etag || orders.changed) {
            return self.fail(412, "PreconditionFailed", "the object has another ETag");
        }
        let encryption = match bucket.contents {
            Contents::Photos => "x-amz-server-side-encryption: aws:kms\r\n",
            Contents::Bodies(..) => "",
        };
        let modified = http_date(object.modified);
        let more = format!("etag: \"{etag}\"\r\nlast-modified: {modified}\r\n{encryption}");
        let length = match orders.page.is_cut {
            true => object.size_bytes / 2,
            false => object.size_bytes,
        };
        write_head(&mut self.to, 200, "application/octet-stream", length, &more)?;
        if request.method == "HEAD" {
            return Ok(true);
        }
        let sent = if orders.drop { length / 2 } else { length };
        self.body(&object, sent, orders.damage)?;
        Ok(!orders.drop)
    }

    fn body(&mut self, object: &Object, length: u64, is_damaged: bool) -> io::Result<()> {
        let mut part = [0; 16 << 10];
        let mut at = 0;
        while at < length {
            let size = (length - at).min(part.len() as u64) as usize;
            object.body(at, &mut part[..size]);
            if at == 0 && is_damaged {
                part[0] ^= 1;
            }
            self.to.write_all(&part[..size])?;
            at += size as u64;
        }
        Ok(())
    }

    fn fail(&mut self, status: u16, code: &str, message: &str) -> Answered {
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <Error><Code>{code}</Code><Message>{message}</Message></Error>"
        );
        write_head(
            &mut self.to,
            status,
            "application/xml",
            text.len() as u64,
            "",
        )?;
        self.to.write_all(text.as_bytes())?;
        Ok(true)
    }

    fn control(&mut self, verb: &str, request: &Request) -> Answered {
        let number = || -> Option<u64> { str::from_utf8(&request.body).ok()?.trim().parse().ok() };
        let changed = |change: &dyn Fn(&mut Bucket, u64)| {
            let mut bucket = *lock(&self.shared.bucket);
            change(&mut bucket, number().ok_or("the body is no number")?);
            bucket.check().map_err(|error| format!("{error:#}"))?;
            *lock(&self.shared.bucket) = bucket;
            Ok::<_, String>(())
        };
        let done = match (&*request.method, verb) {
            ("GET", "counts") => Ok(()),
            ("POST", "counts") => {
                self.shared.counts.reset();
                Ok(())
            }
            ("POST", "generation") => changed(&|bucket, n| bucket.generation = n as u32),
            ("POST", "count") => changed(&|bucket, n| bucket.count = n),
            ("POST", "faults") => Script::parse(&request.body)
                .map(|script| *lock(&self.shared.script) = script)
                .map_err(|error| format!("the body is no script: {error}")),
            _ => Err(format!("{} /_{verb} is not known", request.method)),
        };
        if let Err(text) = done {
            return self.fail(400, "InvalidArgument", &text);
        }
        let json = serde_json::to_vec(&self.shared.counts.get())?;
        write_head(&mut self.to, 200, "application/json", json.len() as u64, "")?;
        self.to.write_all(&json)?;
        Ok(true)
    }
}

/// Seconds since 1970 as HTTP has dates.
fn http_date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let days = seconds / 86_400;
    let [year, month, day] = civil(days);
    format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        DAYS[(days % 7) as usize],
        MONTHS[month as usize - 1],
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_http() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
