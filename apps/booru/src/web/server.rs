//! Connections: how many, for how long, and how they end.
//!
//! Threads: two that never block, and as many that may as there is work for at once. What a client
//! sends or takes slowly costs a connection, not a thread.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tower::ServiceExt;

use super::api::upload::remove_leftovers;
use super::error::{Failure, show};
use super::holdings::publish;
use super::monitor::Monitor;
use super::password::Password;
use super::patience::Patient;
use super::peers::Peers;
use super::session::{Host, Peer};
use super::settings::Settings;
use super::{App, boards, models, origin, router};
use crate::board::Board;
use crate::store::Access;

/// Connections at once: with the 8 KiB that each has at least, 2 MiB.
const CONNECTIONS_MAX: usize = 256;
/// Requests at once, most of which wait for their turn and take some 10 KiB each.
const REQUESTS_MAX: usize = 192;
/// A request's head: a query of 8 KiB with each byte escaped, and cookies. Also what is held of an
/// answer until the client takes it.
const BUFFER_BYTES_MAX: usize = 40 << 10;
const HEADERS_MAX: usize = 64;
/// For the head of a request to arrive, from the last answer on.
const HEAD_TIME_MAX: Duration = Duration::from_secs(20);
/// Until a client takes any more of an answer.
const SEND_TIME_MAX: Duration = Duration::from_secs(30);
/// For a request that only reads, until its answer begins.
const READ_TIME_MAX: Duration = Duration::from_secs(30);
/// For requests that are being done when the server is to end.
const END_TIME_MAX: Duration = Duration::from_secs(10);
/// Threads that never block.
const THREADS: usize = 2;
/// Beside those that read the database: one writes it, one checks passwords, four read and write files.
const FILE_THREADS: usize = 6;
/// Of any thread; it is touched as far as it is needed.
const STACK_BYTES: usize = 1 << 20;

pub(super) fn run(settings: Settings, password: Option<Password>) -> Result<()> {
    bound_malloc();
    let listening = || format!("listen on {}", settings.listen);
    // First: that another program is there is known before the board is read.
    let listener = std::net::TcpListener::bind(settings.listen).with_context(listening)?;
    listener.set_nonblocking(true).with_context(listening)?;
    let address = listener.local_addr().with_context(listening)?;
    let board = Board::open_holding(&settings.board, settings.store, settings.tags_held)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .max_blocking_threads(settings.readers + FILE_THREADS)
        .thread_stack_size(STACK_BYTES)
        .thread_name("booru")
        .enable_all()
        .build()
        .context("start threads")?;
    if settings.store.access == Access::InPlace {
        remove_leftovers(&settings.folders.ingest);
    }
    let has_models = models::are_wanted(&board, settings.store.access, &settings.models)?;
    let app = Arc::new(App::new(settings, password, board)?);
    let _beacon = publish(app.budget());
    // Before files are taken in: they are for models.
    if has_models {
        app.start_models()?;
    }
    let monitored = app.settings.is_monitored;
    let monitor = monitored.then(|| Monitor::start(&app)).transpose()?;
    let done = runtime.block_on(answer(Arc::clone(&app), listener, address));
    app.end_models();
    if let Some(monitor) = monitor {
        monitor.end(END_TIME_MAX);
    }
    // An edit that is not done by then is not done at all.
    runtime.shutdown_timeout(END_TIME_MAX);
    done
}

/// glibc would keep an arena for each thread, and larger and larger blocks that were freed.
pub(super) fn bound_malloc() {
    // SAFETY: it sets numbers, before any thread is started.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 256 << 10);
    }
}

async fn answer(app: Arc<App>, listener: std::net::TcpListener, address: SocketAddr) -> Result<()> {
    let listener = TcpListener::from_std(listener).context("take connections")?;
    let mut ends = Ends::new()?;
    let keeper = tokio::spawn(keep(Arc::clone(&app)));
    let router = layered(&app);
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let peers = Peers::default();
    let graceful = GracefulShutdown::new();
    tell(address)?;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ends.next() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Mostly too many open files, which takes a moment to end.
                eprintln!("booru: take a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // All that a proxy hands on comes from its address.
        let visit = match app.settings.behind_proxy {
            true => None,
            false => Some(peers.enter(peer.ip())),
        };
        let place = Arc::clone(&connections).try_acquire_owned();
        let (Ok(place), None | Some(Some(_))) = (place, &visit) else {
            turn_away(&stream);
            continue;
        };
        let connection = graceful.watch(connection(router.clone(), stream, peer));
        tokio::spawn(async move {
            // A client that goes away or sends what is no HTTP is no fault of the server.
            let _ = connection.await;
            drop((place, visit));
        });
    }
    drop(listener);
    keeper.abort();
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(END_TIME_MAX) => eprintln!("booru: ended with requests that were not done"),
        () = ends.next() => eprintln!("booru: told to end once more: ended with requests that were not done"),
    }
    Ok(())
}

fn connection(
    router: Router,
    stream: TcpStream,
    peer: SocketAddr,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> {
    // Answers are written whole; to wait for more of them helps nobody.
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |mut request: hyper::Request<_>| {
        request.extensions_mut().insert(Peer(peer.ip()));
        router.clone().oneshot(request.map(Body::new))
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(Patient::new(stream, SEND_TIME_MAX)), service)
}

/// As many connections as may be are there: a line, as far as it goes out at once.
fn turn_away(stream: &TcpStream) {
    let mut sent = [0; 4096];
    // What is unread when a connection is closed would take the answer with it.
    let _ = stream.try_read(&mut sent);
    let _ = stream.try_write(
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
}

fn tell(address: SocketAddr) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let told = writeln!(out, "http://{address}/").and_then(|()| out.flush());
    match told {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        told => told.context("tell the address"),
    }
}

/// Signals to end by.
struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Ends {
    fn new() -> Result<Ends> {
        let catch = |kind| signal(kind).context("catch signals to end by");
        Ok(Ends {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Follows what other programs do to the database.
async fn keep(app: Arc<App>) {
    loop {
        tokio::time::sleep(boards::REFRESH_INTERVAL).await;
        app.similarity.unload_if_idle(Instant::now());
        if let Err(error) = app.boards.refresh().await {
            eprintln!("booru: follow another program: {error:#}");
        }
    }
}

/// What is done for every request, the outermost last.
fn layered(app: &Arc<App>) -> Router {
    let places = Arc::new(Semaphore::new(REQUESTS_MAX));
    router(app)
        .fallback(|| async { Failure::not_found("there is no such page") })
        .layer(from_fn_with_state(Arc::clone(app), check_host))
        .layer(from_fn_with_state(places, bound))
        .layer(from_fn_with_state(Arc::clone(app), show))
        .layer(from_fn(protect))
}

/// Answers hosts that are the board's own, where anything can be had without a login.
async fn check_host(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let host = match origin::host(request.headers(), request.uri()) {
        Ok(host) => host,
        Err(failure) => return failure.into_response(),
    };
    if app.is_open() && !origin::is_own(&host, app.settings.public_url.as_ref()) {
        return Failure::new(
            StatusCode::MISDIRECTED_REQUEST,
            "this is not the name of the board: open it by its address, or start it with --public-url and \
             this name",
        )
        .into_response();
    }
    request.extensions_mut().insert(Host(host));
    next.run(request).await
}

/// So many requests at once; and what only reads ends in time. An edit takes as long as it takes.
async fn bound(State(places): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let Ok(_place) = places.try_acquire() else {
        return Failure::busy().into_response();
    };
    if !request.method().is_safe() {
        return next.run(request).await;
    }
    match tokio::time::timeout(READ_TIME_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Failure::new(
            StatusCode::GATEWAY_TIMEOUT,
            "it took too long; ask for less, or try again when the server has less to do",
        )
        .into_response(),
    }
}

/// What browsers are told to keep to, unless an answer says something stricter itself.
async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in PROTECTION {
        let name = HeaderName::from_static(name);
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

const PROTECTION: [(&str, &str); 8] = [
    (
        "content-security-policy",
        "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
    ("cache-control", "no-store"),
];
