//! The account of a budget: who holds how much, who waits, and what may be handed out. Pure: no
//! lock, clock or thread in here.
//!
//! Cost: about 140 bytes a consumer and 80 a waiting request. A claim is O(1) under both policies;
//! what is given back is O(1) plus O(waiting) while requests wait.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use super::{ConsumerFigures, Figures, Hook, Policy};

/// Requests that may wait at once; further ones are refused. A queue as long as this is never
/// served in useful time, and without a bound it would be memory that the budget does not see.
pub(crate) const WAITING_MAX: usize = 1 << 16;

/// Place of a consumer in the account.
pub(crate) type ConsumerId = usize;

#[derive(Default)]
struct Entry {
    name: Arc<str>,
    held: u64,
    peak: u64,
    refused: u64,
    spillable: bool,
    hook: Option<(u8, Hook)>,
    hook_running: bool,
}

impl Entry {
    /// Waiting does not count: two requests for more than half would keep each other from ever being
    /// served.
    fn active(&self) -> bool {
        self.held > 0
    }
}

struct Waiting {
    ticket: u64,
    id: ConsumerId,
    wanted: u64,
    waker: Option<Waker>,
}

/// How a waiting request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    Granted,
    /// The limit fell below what was wanted.
    Refused,
}

/// Why a claim does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// The pool has too little left, or others wait for it.
    Pool { left: u64 },
    /// The consumer's own share is used up.
    Share { left: u64 },
    /// More than the whole budget.
    Never,
}

/// Who is to be woken once the lock is released.
#[must_use]
#[derive(Default)]
pub(crate) struct Wakes {
    pub(crate) wakers: Vec<Waker>,
    pub(crate) blocked: bool,
}

pub(crate) struct Account {
    limit: u64,
    withheld: u64,
    pub(crate) drift: i64,
    policy: Policy,
    held: u64,
    held_unspillable: u64,
    spillable_active: u64,
    entries: Vec<Option<Entry>>,
    queue: VecDeque<Waiting>,
    /// Whether a waiting request is short of bytes of the pool, which then are promised to it.
    queue_wants_pool: bool,
    settled: HashMap<u64, Settled>,
    ticket_next: u64,
    peak: u64,
    granted: u64,
    refused: u64,
    pub(crate) hooks_called: u64,
    pub(crate) hooks_freed: u64,
    /// Claims until one fails on purpose; 0 for never.
    pub(crate) fail_in: u64,
}

impl Account {
    pub(crate) fn new(limit: u64, policy: Policy) -> Account {
        Account {
            limit,
            withheld: 0,
            drift: 0,
            policy,
            held: 0,
            held_unspillable: 0,
            spillable_active: 0,
            entries: Vec::new(),
            queue: VecDeque::new(),
            queue_wants_pool: false,
            settled: HashMap::new(),
            ticket_next: 0,
            peak: 0,
            granted: 0,
            refused: 0,
            hooks_called: 0,
            hooks_freed: 0,
            fail_in: 0,
        }
    }

    pub(crate) fn register(&mut self, name: Arc<str>) -> ConsumerId {
        let entry = Entry {
            name,
            ..Entry::default()
        };
        if let Some(id) = self.entries.iter().position(Option::is_none) {
            self.entries[id] = Some(entry);
            return id;
        }
        self.entries.push(Some(entry));
        self.entries.len() - 1
    }

    /// Ends a registration; its reservations are gone before. The hook is returned so that the
    /// caller drops it without the lock.
    pub(crate) fn unregister(&mut self, id: ConsumerId) -> (Option<Hook>, Wakes) {
        let entry = self.entries.get_mut(id).and_then(Option::take);
        debug_assert!(entry.as_ref().is_none_or(|entry| !entry.active()));
        let hook = entry.and_then(|entry| entry.hook).map(|(_, hook)| hook);
        (hook, self.advance())
    }

    pub(crate) fn set_spillable(&mut self, id: ConsumerId) -> Wakes {
        // Taken out of the sums as what it was, put back as what it is.
        let held = self.update(id, |entry| std::mem::take(&mut entry.held));
        self.update(id, |entry| entry.spillable = true);
        self.update(id, |entry| entry.held = held);
        self.advance()
    }

    pub(crate) fn set_hook(&mut self, id: ConsumerId, priority: u8, hook: Hook) -> Option<Hook> {
        let old = self.update(id, |entry| {
            entry.hook_running = false;
            entry.hook.replace((priority, hook))
        });
        old.map(|(_, hook)| hook)
    }

    /// Changes an entry and keeps the sums right.
    fn update<R>(&mut self, id: ConsumerId, change: impl FnOnce(&mut Entry) -> R) -> R {
        let entry = self.entries[id]
            .as_mut()
            .expect("a consumer is registered as long as its handle lives");
        let (held, active) = (entry.held, entry.active());
        let result = change(entry);
        self.held = self.held - held + entry.held;
        if entry.spillable {
            self.spillable_active =
                self.spillable_active + u64::from(entry.active()) - u64::from(active);
        } else {
            self.held_unspillable = self.held_unspillable - held + entry.held;
        }
        result
    }

    fn entry(&self, id: ConsumerId) -> Option<&Entry> {
        self.entries.get(id).and_then(Option::as_ref)
    }

    /// What may be handed out in all.
    pub(crate) fn usable(&self) -> u64 {
        self.limit.saturating_sub(self.withheld)
    }

    pub(crate) fn left(&self) -> u64 {
        self.usable().saturating_sub(self.held)
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    pub(crate) fn held(&self) -> u64 {
        self.held
    }

    pub(crate) fn held_by(&self, id: ConsumerId) -> u64 {
        self.entry(id).map_or(0, |entry| entry.held)
    }

    /// What a spillable consumer may hold under [`Policy::Fair`] if it holds anything: an even part
    /// of what the unspillable ones leave. `newcomers` will be active too.
    fn share(&self, id: ConsumerId, newcomers: u64) -> u64 {
        let own = self.entry(id).is_some_and(Entry::active);
        let others = self.spillable_active - u64::from(own);
        self.usable().saturating_sub(self.held_unspillable) / (others + newcomers + 1)
    }

    /// Whether `wanted` more bytes fit, of a pool that has `left`.
    fn check(&self, id: ConsumerId, wanted: u64, left: u64) -> Result<(), Shortage> {
        if wanted > self.limit {
            return Err(Shortage::Never);
        }
        let spillable = self.entry(id).is_some_and(|entry| entry.spillable);
        if self.policy == Policy::Fair && spillable {
            let share_left = self.share(id, 0).saturating_sub(self.held_by(id));
            if wanted > share_left {
                return Err(Shortage::Share { left: share_left });
            }
        }
        if wanted > left {
            return Err(Shortage::Pool { left });
        }
        Ok(())
    }

    /// Claims bytes at once. While requests wait for the pool nobody passes them.
    pub(crate) fn claim(&mut self, id: ConsumerId, wanted: u64) -> Result<(), Shortage> {
        if wanted == 0 {
            return Ok(());
        }
        let left = if self.queue_wants_pool {
            0
        } else {
            self.left()
        };
        self.check(id, wanted, left)?;
        self.hold(id, wanted);
        Ok(())
    }

    /// Whether this claim is the one to fail; see `Budget::fail_nth`.
    pub(crate) fn fails_on_purpose(&mut self) -> bool {
        self.fail_in = match self.fail_in {
            0 => return false,
            left => left - 1,
        };
        self.fail_in == 0
    }

    fn hold(&mut self, id: ConsumerId, wanted: u64) {
        self.update(id, |entry| {
            entry.held += wanted;
            entry.peak = entry.peak.max(entry.held);
        });
        self.granted += 1;
        self.peak = self.peak.max(self.held);
    }

    pub(crate) fn release(&mut self, id: ConsumerId, bytes: u64) -> Wakes {
        self.update(id, |entry| entry.held -= bytes);
        self.advance()
    }

    pub(crate) fn count_refusal(&mut self, id: ConsumerId) {
        self.refused += 1;
        self.update(id, |entry| entry.refused += 1);
    }

    pub(crate) fn set_limit(&mut self, limit: u64) -> Wakes {
        self.limit = limit;
        self.advance()
    }

    pub(crate) fn set_withheld(&mut self, withheld: u64) -> Wakes {
        self.withheld = withheld;
        self.advance()
    }

    pub(crate) fn withheld(&self) -> u64 {
        self.withheld
    }

    /// Puts a request at the end of the queue; `None` when the queue is full.
    pub(crate) fn enqueue(
        &mut self,
        id: ConsumerId,
        wanted: u64,
        waker: Option<Waker>,
    ) -> Option<(u64, Wakes)> {
        if self.queue.len() >= WAITING_MAX {
            return None;
        }
        let ticket = self.ticket_next;
        self.ticket_next += 1;
        self.queue.push_back(Waiting {
            ticket,
            id,
            wanted,
            waker,
        });
        Some((ticket, self.advance()))
    }

    /// The end of a request, taken once.
    pub(crate) fn take_settled(&mut self, ticket: u64) -> Option<Settled> {
        self.settled.remove(&ticket)
    }

    pub(crate) fn is_settled(&self, ticket: u64) -> bool {
        self.settled.contains_key(&ticket)
    }

    /// Sets who is woken; the old waker is returned so that the caller drops it without the lock.
    pub(crate) fn set_waker(&mut self, ticket: u64, waker: Waker) -> Option<Waker> {
        let mut queue = self.queue.iter_mut();
        let waiting = queue.find(|waiting| waiting.ticket == ticket)?;
        waiting.waker.replace(waker)
    }

    /// Withdraws a request: out of the queue, or gives back what it was granted meanwhile.
    pub(crate) fn cancel(&mut self, ticket: u64, id: ConsumerId, wanted: u64) -> Wakes {
        match self.take_settled(ticket) {
            Some(Settled::Granted) => return self.release(id, wanted),
            Some(Settled::Refused) => return Wakes::default(),
            None => {}
        }
        let at = self.queue.iter().position(|w| w.ticket == ticket);
        let Some(waiting) = at.and_then(|at| self.queue.remove(at)) else {
            return Wakes::default();
        };
        let mut wakes = self.advance();
        // Dropped by the caller, without the lock; waking one that is gone does no harm.
        wakes.wakers.extend(waiting.waker);
        wakes
    }

    /// Serves the queue: in order, but a request that only its consumer's own share keeps back lets
    /// the others pass.
    fn advance(&mut self) -> Wakes {
        let mut wakes = Wakes::default();
        self.queue_wants_pool = false;
        let mut at = 0;
        while let Some(waiting) = self.queue.get(at) {
            let (id, wanted) = (waiting.id, waiting.wanted);
            let settled = match self.check(id, wanted, self.left()) {
                Ok(()) => Settled::Granted,
                Err(Shortage::Never) => Settled::Refused,
                Err(Shortage::Share { .. }) => {
                    at += 1;
                    continue;
                }
                Err(Shortage::Pool { .. }) => {
                    self.queue_wants_pool = true;
                    break;
                }
            };
            let waiting = self.queue.remove(at).expect("it was just looked at");
            if settled == Settled::Granted {
                self.hold(id, wanted);
            }
            self.settled.insert(waiting.ticket, settled);
            match waiting.waker {
                Some(waker) => wakes.wakers.push(waker),
                None => wakes.blocked = true,
            }
        }
        wakes
    }

    /// Bytes that hooks must free before a new claim of `wanted` fits.
    pub(crate) fn missing(&self, wanted: u64) -> u64 {
        let waiting = if self.queue_wants_pool {
            self.queue.iter().map(|waiting| waiting.wanted).sum()
        } else {
            0_u64
        };
        waiting.saturating_add(wanted).saturating_sub(self.left())
    }

    /// The same for a request that waits: those before it come first. Zero where hooks can't help.
    pub(crate) fn missing_for(&self, ticket: u64) -> u64 {
        let mut wanted = 0_u64;
        for waiting in &self.queue {
            let share_short = matches!(
                self.check(waiting.id, waiting.wanted, u64::MAX),
                Err(Shortage::Share { .. })
            );
            if !share_short {
                wanted = wanted.saturating_add(waiting.wanted);
            }
            if waiting.ticket == ticket {
                return if share_short {
                    0
                } else {
                    wanted.saturating_sub(self.left())
                };
            }
        }
        0
    }

    /// The next hook to call, none of `tried`, and marks it as running: consumers above their fair
    /// share first, then the lowest priority, then the largest holder.
    pub(crate) fn next_hook(
        &mut self,
        asker: Option<ConsumerId>,
        tried: &[ConsumerId],
    ) -> Option<(ConsumerId, Hook)> {
        let asks = asker.and_then(|id| self.entry(id));
        let newcomers = u64::from(asks.is_some_and(|entry| entry.spillable && !entry.active()));
        let (id, hook) = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(id, entry)| {
                let entry = entry.as_ref()?;
                let (priority, hook) = entry.hook.as_ref()?;
                let free = entry.held > 0 && !entry.hook_running && !tried.contains(&id);
                let above = self.policy == Policy::Fair && entry.held > self.share(id, newcomers);
                (free && asker != Some(id)).then_some((
                    !above,
                    *priority,
                    u64::MAX - entry.held,
                    id,
                    hook,
                ))
            })
            .min_by_key(|(within, priority, small, id, _)| (*within, *priority, *small, *id))
            .map(|(.., id, hook)| (id, hook.clone()))?;
        self.update(id, |entry| entry.hook_running = true);
        Some((id, hook))
    }

    pub(crate) fn end_hook(&mut self, id: ConsumerId, hook: &Hook) {
        // The hook may have dropped the last handle of its consumer, and another one may have got
        // its place since.
        let entry = self.entries.get_mut(id).and_then(Option::as_mut);
        if let Some(entry) = entry
            && let Some((_, own)) = &entry.hook
            && Arc::ptr_eq(own, hook)
        {
            entry.hook_running = false;
        }
    }

    /// What consumers with a hook hold.
    pub(crate) fn held_with_hook(&self) -> u64 {
        self.entries
            .iter()
            .flatten()
            .filter(|entry| entry.hook.is_some())
            .map(|entry| entry.held)
            .sum()
    }

    /// The largest holders, largest first.
    pub(crate) fn holders(&self, count: usize) -> Vec<(Arc<str>, u64)> {
        let entries = self.entries.iter().flatten();
        let mut holders: Vec<_> = entries
            .filter(|entry| entry.held > 0)
            .map(|entry| (entry.name.clone(), entry.held))
            .collect();
        holders.sort_by_key(|(_, held)| u64::MAX - held);
        holders.truncate(count);
        holders
    }

    pub(crate) fn name(&self, id: ConsumerId) -> Arc<str> {
        self.entry(id)
            .map_or_else(Arc::default, |entry| entry.name.clone())
    }

    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn figures(&self) -> Figures {
        Figures {
            limit_bytes: self.limit,
            withheld_bytes: self.withheld,
            held_bytes: self.held,
            held_peak_bytes: self.peak,
            left_bytes: self.left(),
            drift_bytes: self.drift,
            waiting: self.queue.len(),
            waiting_bytes: self.queue.iter().map(|waiting| waiting.wanted).sum(),
            granted_total: self.granted,
            refused_total: self.refused,
            hooks_called_total: self.hooks_called,
            hooks_freed_bytes_total: self.hooks_freed,
            consumers: self
                .entries
                .iter()
                .flatten()
                .map(|entry| ConsumerFigures {
                    name: entry.name.clone(),
                    held_bytes: entry.held,
                    held_peak_bytes: entry.peak,
                    spillable: entry.spillable,
                    refused_total: entry.refused,
                })
                .collect(),
        }
    }
}
