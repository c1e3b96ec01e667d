//! Who may change a state on S3: one object, swapped by compare-and-swap, that its holder renews.
//!
//! No clock of one machine is compared with that of another. Who waits for a lease takes it once it has
//! not changed for a whole term by its own clock; who holds it stops working once it has not renewed it for
//! two thirds of a term by its own, so a third is left between. That clock is CLOCK_BOOTTIME, which no
//! administrator sets and which goes on while a machine or a process sleeps.
//!
//! Costs: a thread, and a request each third of a term.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use crate::s3::Client;
use crate::s3::objects::{Condition, Swap};

const STACK_BYTES: usize = 512 << 10;

/// What the object says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    /// Machine and process, for people; nobody holds it where it is empty.
    holder: String,
    /// Rises with each holder: no two have the same.
    epoch: u64,
    term_seconds: u64,
    /// Rises with each renewal, so that no two objects have the same bytes.
    beat: u64,
    /// By chance: a swap whose answer was lost is known by its bytes, and containers share names of machines
    /// and numbers of processes.
    #[serde(default)]
    id: String,
}

/// Whether the lease is still there, to be asked before anything that lasts.
#[derive(Debug)]
pub struct Fence {
    /// CLOCK_BOOTTIME, in milliseconds, of before the last request that renewed it.
    renewed: AtomicU64,
    valid_millis: u64,
    is_lost: AtomicBool,
}

impl Fence {
    fn new(term: Duration, renewed: u64) -> Fence {
        Fence {
            renewed: AtomicU64::new(renewed),
            valid_millis: term.as_millis() as u64 * 2 / 3,
            is_lost: AtomicBool::new(false),
        }
    }

    /// Whether work may go on.
    #[must_use]
    pub fn holds(&self) -> bool {
        let age = boot_millis().saturating_sub(self.renewed.load(Ordering::Relaxed));
        !self.is_lost.load(Ordering::Relaxed) && age < self.valid_millis
    }

    /// # Errors
    /// The lease is lost.
    pub fn check(&self) -> Result<()> {
        if !self.holds() {
            bail!(
                "the lease on the state was lost, since it was not renewed in time or another machine has \
                 taken it; this run ends, and the next one goes on"
            );
        }
        Ok(())
    }
}

/// Milliseconds since the machine was started, sleep included: clock_gettime(2), Linux 2.6.39.
fn boot_millis() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: it writes one timespec, which is there.
    unsafe {
        libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time);
    }
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

/// The right to change a state, as long as it is renewed.
#[derive(Debug)]
pub struct Lease {
    pub epoch: u64,
    pub fence: Arc<Fence>,
    client: Arc<Client>,
    key: String,
    current: Arc<Mutex<(Held, String)>>,
    /// Dropped, it ends the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Lease {
    /// Takes the lease: at once where nobody has it, else once its holder has not renewed it for a term.
    ///
    /// # Errors
    /// Another run holds and renews it; the source can't be reached, or does not honour conditions.
    pub fn take(
        client: &Arc<Client>,
        key: &str,
        term: Duration,
        tell: &dyn Fn(&str),
    ) -> Result<Lease> {
        let failed = || format!("take the lease {key} on the state");
        let (before, etag) = free(client, key, tell).with_context(failed)?;
        let held = Held {
            holder: holder(),
            epoch: before.as_ref().map_or(1, |before| before.epoch + 1),
            term_seconds: term.as_secs(),
            beat: 0,
            id: by_chance()?,
        };
        let condition = match &etag {
            Some(etag) => Condition::Is(etag),
            None => Condition::Absent,
        };
        let renewed = boot_millis();
        let swap = client.swap_object(key, &serde_json::to_vec(&held)?, condition);
        let Swap::Done(etag) = swap.with_context(failed)? else {
            bail!("{}: another run was faster; wait until it ends", failed());
        };
        let mut lease = Lease {
            epoch: held.epoch,
            fence: Arc::new(Fence::new(term, renewed)),
            client: client.clone(),
            key: key.to_owned(),
            current: Arc::new(Mutex::new((held, etag))),
            stop: None,
            thread: None,
        };
        lease.keep(term / 3)?;
        Ok(lease)
    }

    /// Starts the thread that renews it.
    fn keep(&mut self, each: Duration) -> Result<()> {
        let (stop, stopped) = channel::<()>();
        let (client, key) = (self.client.clone(), self.key.clone());
        let (current, fence) = (self.current.clone(), self.fence.clone());
        let renew = move || {
            let mut wait = each;
            while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
                let renewed = boot_millis();
                wait = match swap(&client, &key, &mut current, |held| held.beat += 1) {
                    Ok(true) => {
                        fence.renewed.store(renewed, Ordering::Relaxed);
                        each
                    }
                    Ok(false) => {
                        fence.is_lost.store(true, Ordering::Relaxed);
                        return;
                    }
                    // Tried again soon: the fence counts the time.
                    Err(_) => each / 4,
                };
            }
        };
        let thread = thread::Builder::new()
            .name("lease".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(renew)
            .context("start a thread that renews the lease")?;
        (self.stop, self.thread) = (Some(stop), Some(thread));
        Ok(())
    }
}

impl Drop for Lease {
    /// Gives it back, if it is still there.
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if self.fence.holds() {
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            // Who comes next waits for a term otherwise.
            let _ = swap(&self.client, &self.key, &mut current, |held| {
                held.holder.clear();
                held.beat += 1;
            });
        }
    }
}

/// Puts what is held in place of what was; false where somebody else has put something there.
fn swap(
    client: &Client,
    key: &str,
    (held, etag): &mut (Held, String),
    change: impl FnOnce(&mut Held),
) -> Result<bool> {
    let mut next = held.clone();
    change(&mut next);
    let bytes = serde_json::to_vec(&next)?;
    Ok(
        match client.swap_object(key, &bytes, Condition::Is(etag))? {
            Swap::Done(put) => {
                (*held, *etag) = (next, put);
                true
            }
            Swap::Conflict => false,
        },
    )
}

/// Waits until the lease may be taken: what is there then, with its ETag.
fn free(client: &Client, key: &str, tell: &dyn Fn(&str)) -> Result<(Option<Held>, Option<String>)> {
    let read = || -> Result<Option<(Held, String)>> {
        let Some(stored) = client.read_object(key)? else {
            return Ok(None);
        };
        let held = serde_json::from_slice(&stored.bytes)
            .context("the object is no lease; is the prefix one of a state?")?;
        Ok(Some((held, stored.etag)))
    };
    let Some((held, etag)) = read()? else {
        probe(client, key)?;
        return Ok((None, None));
    };
    if held.holder.is_empty() {
        return Ok((Some(held), Some(etag)));
    }
    let term = Duration::from_secs(held.term_seconds);
    tell(&format!(
        "the state is held by {}: it is taken over if that is not heard of for {} seconds",
        held.holder, held.term_seconds
    ));
    let since = boot_millis();
    while boot_millis() - since < term.as_millis() as u64 {
        thread::sleep((term / 10).clamp(Duration::from_millis(100), Duration::from_secs(5)));
        match read()? {
            Some((_, now)) if now == etag => {}
            Some((held, now)) if held.holder.is_empty() => return Ok((Some(held), Some(now))),
            _ => bail!(
                "{} is running on this state; wait until it ends",
                held.holder
            ),
        }
    }
    tell(&format!(
        "{} was not heard of: its lease is taken over",
        held.holder
    ));
    Ok((Some(held), Some(etag)))
}

/// Makes sure that the server honours conditions: without them two runs could change a state at once.
fn probe(client: &Client, key: &str) -> Result<()> {
    let probe = format!("{key}.probe-{}", by_chance()?);
    let honours = || -> Result<bool> {
        let first = client.swap_object(&probe, b"1", Condition::Absent)?;
        let again = client.swap_object(&probe, b"2", Condition::Absent)?;
        let other = client.swap_object(&probe, b"3", Condition::Is("0123456789abcdef"))?;
        Ok(matches!(first, Swap::Done(_)) && again == Swap::Conflict && other == Swap::Conflict)
    };
    let honoured = honours();
    client.delete_object(&probe)?;
    if !honoured? {
        bail!(
            "the server puts objects without regard to If-Match and If-None-Match, so two runs could change \
             the state at once; keep the state in a folder, or at a service that honours them"
        );
    }
    Ok(())
}

/// 128 bits that nobody else has.
fn by_chance() -> Result<String> {
    let mut bytes = [0; 16];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| anyhow!("the system gives no random bytes"))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// This process, for people.
fn holder() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("process {} of {}", std::process::id(), name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_holds_for_two_thirds_of_a_term() {
        let now = boot_millis();
        let fence = |age: u64| Fence::new(Duration::from_secs(60), now.saturating_sub(age));
        assert!(fence(0).holds() && fence(39_000).holds());
        assert!(!fence(40_000).holds() && !fence(60_000).holds());
        let lost = fence(0);
        lost.is_lost.store(true, Ordering::Relaxed);
        assert!(lost.check().unwrap_err().to_string().contains("was lost"));
    }
}
