//! A lost network: a proxy between the program and a server, which drops, stalls or resets connections after
//! so many bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Closed in order, in the middle of what was to come.
    Drop,
    /// Reset, as by a router that has forgotten the connection.
    Reset,
    /// Open, and nothing more is carried.
    Stall,
}

/// What happens to how many connections, once this many bytes came from the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) trouble: Trouble,
    pub(crate) after: u64,
    pub(crate) times: u64,
}

pub(crate) struct Proxy {
    pub(crate) port: u64,
    plan: Arc<Mutex<Option<Plan>>>,
    happened: Arc<AtomicU64>,
}

impl Proxy {
    pub(crate) fn before(server: u64) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = u64::from(listener.local_addr().unwrap().port());
        let plan = Arc::new(Mutex::new(None));
        let happened = Arc::new(AtomicU64::new(0));
        let (of_threads, counter) = (plan.clone(), happened.clone());
        // It lives as long as the tests.
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { continue };
                let Ok(server) = TcpStream::connect(("127.0.0.1", server as u16)) else {
                    continue;
                };
                carry_both(client, server, &of_threads, &counter);
            }
        });
        Proxy {
            port,
            plan,
            happened,
        }
    }

    /// From now on.
    pub(crate) fn plan(&self, plan: Option<Plan>) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
        self.happened.store(0, Ordering::SeqCst);
    }

    /// How many connections had their trouble since it was planned.
    pub(crate) fn happened(&self) -> u64 {
        self.happened.load(Ordering::SeqCst)
    }
}

fn carry_both(
    client: TcpStream,
    server: TcpStream,
    plan: &Arc<Mutex<Option<Plan>>>,
    happened: &Arc<AtomicU64>,
) {
    let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || carry(from_client, to_server));
    let (plan, happened) = (plan.clone(), happened.clone());
    thread::spawn(move || carry_until(server, client, &plan, &happened));
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

fn carry_until(
    mut server: TcpStream,
    mut client: TcpStream,
    plan: &Mutex<Option<Plan>>,
    happened: &AtomicU64,
) {
    let mut carried = 0;
    let mut buffer = vec![0; 16 << 10];
    loop {
        let due = due(plan, carried);
        let room = match due {
            Some(Due::Now(trouble)) => {
                happened.fetch_add(1, Ordering::SeqCst);
                return make(trouble, &server, &client);
            }
            Some(Due::After(bytes)) => buffer.len().min(bytes as usize),
            None => buffer.len(),
        };
        match server.read(&mut buffer[..room]) {
            Ok(read) if read > 0 => {
                if client.write_all(&buffer[..read]).is_err() {
                    break;
                }
                carried += read as u64;
            }
            _ => break,
        }
    }
    let _ = client.shutdown(Shutdown::Write);
}

enum Due {
    Now(Trouble),
    After(u64),
}

fn due(plan: &Mutex<Option<Plan>>, carried: u64) -> Option<Due> {
    let mut plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
    let plan = plan.as_mut().filter(|plan| plan.times > 0)?;
    if carried < plan.after {
        return Some(Due::After(plan.after - carried));
    }
    plan.times -= 1;
    Some(Due::Now(plan.trouble))
}

fn make(trouble: Trouble, server: &TcpStream, client: &TcpStream) {
    match trouble {
        Trouble::Drop => {
            let _ = client.shutdown(Shutdown::Both);
        }
        Trouble::Reset => {
            let linger = libc::linger {
                l_onoff: 1,
                l_linger: 0,
            };
            // SAFETY: an open socket and a value of the length that is told.
            unsafe {
                libc::setsockopt(
                    client.as_raw_fd(),
                    libc::SOL_SOCKET,
                    libc::SO_LINGER,
                    (&raw const linger).cast(),
                    size_of::<libc::linger>() as u32,
                );
            }
            // The other direction holds the same socket: once it has read to this end, the last of both
            // closes it, by a reset.
            let _ = client.shutdown(Shutdown::Read);
            let _ = server.shutdown(Shutdown::Both);
        }
        // Until the client gives up.
        Trouble::Stall => while matches!(client.peek(&mut [0]), Ok(1)) {},
    }
}
