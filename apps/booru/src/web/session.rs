//! Who is logged in, and how one comes to be. Memory: at most 1,024 sessions, some 80 bytes each.
//!
//! A session is 256 random bits in a cookie, of which only a hash is kept; it is lost when the server
//! ends. Each has a token that only pages of the board know: what changes something sends it along, in
//! the header `X-CSRF-Token` or the field `csrf_token` of a form.

mod viewer;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};

pub use viewer::{CSRF_FIELD, Candidate, Editor, EditorForm, Viewer, Visitor};

use super::error::Failure;
use super::holdings::PASSWORD_BYTES;
use super::{App, origin};

/// A session ends this long after it was last used, as the original's.
const UNUSED_MAX: Duration = Duration::from_secs(4 * 3600);
/// And so long after its beginning in any case.
const AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// The one that was not used for longest makes room for a new one.
pub(super) const SESSIONS_MAX: usize = 1024;

/// With TLS, a name that browsers take from the very host alone, and encrypted.
const COOKIE_NAME: &str = "booru_session";
const COOKIE_NAME_TLS: &str = "__Host-booru_session";

/// Who is logged in.
#[derive(Debug)]
pub(super) struct Sessions {
    /// Of this run of the server: tokens are made with it.
    secret: [u8; 32],
    table: Mutex<HashMap<[u8; 32], Session>>,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    begun: Instant,
    used: Instant,
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) >= UNUSED_MAX
            || now.saturating_duration_since(self.begun) >= AGE_MAX
    }
}

impl Sessions {
    /// # Errors
    /// A system without random bytes.
    pub(super) fn new() -> Result<Sessions> {
        Ok(Sessions {
            secret: random()?,
            table: Mutex::new(HashMap::new()),
        })
    }

    fn open(&self, now: Instant) -> Result<String> {
        let key = blake3::Hash::from_bytes(random()?).to_hex().to_string();
        let mut table = self.table();
        table.retain(|_, session| !session.is_over(now));
        if table.len() >= SESSIONS_MAX {
            let oldest = table.iter().min_by_key(|(_, session)| session.used);
            if let Some(oldest) = oldest.map(|(hash, _)| *hash) {
                table.remove(&oldest);
            }
        }
        let session = Session {
            begun: now,
            used: now,
        };
        table.insert(hash(&key), session);
        Ok(key)
    }

    fn is_open(&self, key: &str, now: Instant) -> bool {
        let mut table = self.table();
        match table.get_mut(&hash(key)) {
            Some(session) if !session.is_over(now) => {
                session.used = now;
                true
            }
            _ => false,
        }
    }

    fn close(&self, key: &str) {
        self.table().remove(&hash(key));
    }

    /// The token of a session, or of those who need none.
    fn token(&self, key: Option<&str>) -> blake3::Hash {
        blake3::keyed_hash(&self.secret, key.unwrap_or("").as_bytes())
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Session>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow!("get random bytes from the system: {error}"))?;
    Ok(bytes)
}

fn hash(key: &str) -> [u8; 32] {
    *blake3::hash(key.as_bytes()).as_bytes()
}

/// The address at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// The host that the request is sent to, once that is checked.
#[derive(Clone, Debug)]
pub(super) struct Host(pub(super) String);

/// Logs in by the password; the value of `Set-Cookie`.
///
/// # Errors
/// A wrong password, too many attempts, a request of another page, a board without a password.
pub async fn log_in(app: &App, parts: &Parts, given: String) -> Result<HeaderValue, Failure> {
    check_origin(parts, app)?;
    let Some(password) = &app.password else {
        return Err(Failure::invalid(
            "there is no password: everybody who can open the board may change it",
        ));
    };
    let from = client(parts, app);
    let begun = app.attempts().begin(from, Instant::now());
    begun.map_err(|wait| Failure {
        retry_after: Some(wait),
        ..Failure::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!(
                "too many attempts: wait {} minutes",
                wait.as_secs().div_ceil(60)
            ),
        )
    })?;
    let turn = password.turn().await;
    let reserved = app.holdings.reserve(PASSWORD_BYTES)?;
    if !password.is(given, (turn, reserved)).await? {
        return Err(Failure::new(
            StatusCode::UNAUTHORIZED,
            "that is not the password",
        ));
    }
    app.attempts().succeed(from);
    if let Some(before) = cookie(&parts.headers, app.cookie_name()) {
        app.sessions.close(before);
    }
    let key = app.sessions.open(Instant::now()).map_err(Failure::from)?;
    Ok(app.set_cookie(&key, AGE_MAX))
}

/// Ends the session; the value of `Set-Cookie`.
pub fn log_out(app: &App, viewer: &Viewer) -> HeaderValue {
    if let Some(key) = &viewer.key {
        app.sessions.close(key);
    }
    app.set_cookie("", Duration::ZERO)
}

/// Whether a request that changes something comes from a page of the board.
pub(super) fn check_origin(parts: &Parts, app: &App) -> Result<(), Failure> {
    let host = parts.extensions.get::<Host>();
    let host = host.map_or("", |host| host.0.as_str());
    origin::check(&parts.headers, host, app.settings.public_url.as_ref())
}

fn client(parts: &Parts, app: &App) -> IpAddr {
    let peer = parts.extensions.get::<Peer>();
    let peer = peer.map_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), |peer| peer.0);
    origin::client(&parts.headers, peer, app.settings.behind_proxy)
}

impl App {
    fn is_https(&self) -> bool {
        let url = self.settings.public_url.as_ref();
        url.is_some_and(|url| url.is_https)
    }

    fn cookie_name(&self) -> &'static str {
        match self.is_https() {
            true => COOKIE_NAME_TLS,
            false => COOKIE_NAME,
        }
    }

    fn set_cookie(&self, key: &str, age: Duration) -> HeaderValue {
        let secure = match self.is_https() {
            true => "; Secure",
            false => "",
        };
        let name = self.cookie_name();
        let text = format!(
            "{name}={key}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}",
            age.as_secs()
        );
        HeaderValue::try_from(text).expect("a key is hexadecimal digits")
    }
}

/// The value of a cookie, the first of its name.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter();
    let mut pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_unused_and_old_ones_make_room() {
        let sessions = Sessions::new().unwrap();
        let start = Instant::now();
        let key = sessions.open(start).unwrap();
        assert_eq!(key.len(), 64);
        let mut now = start;
        while now < start + AGE_MAX - UNUSED_MAX {
            now += UNUSED_MAX - Duration::from_secs(1);
            assert!(sessions.is_open(&key, now));
        }
        assert!(!sessions.is_open(&key, start + AGE_MAX));
        let other = sessions.open(now).unwrap();
        assert!(!sessions.is_open(&other, now + UNUSED_MAX));
        assert!(!sessions.is_open("", now));
        sessions.close(&other);
        assert!(!sessions.is_open(&other, now));
        let first = sessions.open(now).unwrap();
        for number in 0..SESSIONS_MAX as u64 {
            sessions
                .open(now + Duration::from_millis(number + 1))
                .unwrap();
        }
        assert_eq!(sessions.table().len(), SESSIONS_MAX);
        assert!(!sessions.is_open(&first, now));
    }

    #[test]
    fn tokens_are_of_a_session_and_a_run() {
        let (one, other) = (Sessions::new().unwrap(), Sessions::new().unwrap());
        let tokens = [
            one.token(Some("a")),
            one.token(Some("b")),
            one.token(None),
            other.token(Some("a")),
        ];
        for (number, token) in tokens.iter().enumerate() {
            assert_eq!(tokens.iter().position(|one| one == token), Some(number));
        }
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(
            COOKIE,
            HeaderValue::from_static("xbooru_session=1; booru_session_=2"),
        );
        headers.append(
            COOKIE,
            HeaderValue::from_static("a=b;booru_session=3; booru_session=4"),
        );
        assert_eq!(cookie(&headers, COOKIE_NAME), Some("3"));
        assert_eq!(cookie(&headers, COOKIE_NAME_TLS), None);
    }
}
