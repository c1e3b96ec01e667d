//! The memory budget of a server: what the board holds, what is kept ready, and what requests take while
//! they are done. What does not fit is not done, and its client is told to try again.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use plimsoll::beacon::{Beacon, BeaconOptions};
use plimsoll::budget::{Budget, Consumer, Policy, Reservation};
use plimsoll::ledger::Tag;
use serde::Serialize;

use super::error::Failure;
use super::settings::{READER_CACHE_BYTES, Settings};
use crate::catalog::Catalog;

/// Unless it is set.
pub(super) const BUDGET_MIB: u64 = 256;
/// The program: code and libraries as far as they are touched, stacks, what malloc keeps. A board without
/// images has 8.3 MiB of RSS.
const PROCESS_BYTES: u64 = 12 << 20;
/// 256 connections of 8 KiB, and 192 requests that wait, of 10.
const CONNECTIONS_BYTES: u64 = 4 << 20;
/// A request that reads the database; the largest that was measured took 2 MiB at 200,000 images.
pub(super) const READ_BYTES: u64 = 2 << 20;
/// A body of JSON, its parts as they are read, and what is made of them.
pub(super) const BODY_BYTES: u64 = 4 << 20;
/// A file that is sent in pieces.
pub(super) const FILE_BYTES: u64 = 128 << 10;
/// A form that is taken in pieces.
pub(super) const UPLOAD_BYTES: u64 = 256 << 10;
/// Argon2id.
pub(super) const PASSWORD_BYTES: u64 = 3584 << 10;

/// What requests have from the allocator while they read.
pub(super) static READING: Tag = Tag::new("requests that read");

/// The budget with its holders.
#[derive(Debug)]
pub(super) struct Holdings {
    budget: Budget,
    catalog: Mutex<Reservation>,
    requests: Consumer,
    thumbnails: Consumer,
    /// As long as the server runs.
    _fixed: [Reservation; 3],
}

impl Holdings {
    /// # Errors
    /// A budget that the board alone does not fit into.
    pub(super) fn new(settings: &Settings, catalog: &Catalog) -> Result<Holdings> {
        let budget = Budget::new(settings.budget_bytes, Policy::Greedy);
        let hold = |name: &'static str, bytes: u64| budget.consumer(name).reserve(bytes);
        let caches = settings.store.cache_bytes + settings.readers as u64 * READER_CACHE_BYTES;
        let fill = || -> Result<_, plimsoll::Error> {
            let fixed = [
                hold("process", PROCESS_BYTES)?,
                hold("connections", CONNECTIONS_BYTES)?,
                hold("page caches", caches)?,
            ];
            Ok((hold("catalog", bytes_of(catalog))?, fixed))
        };
        let (reserved, fixed) = fill().with_context(|| {
            let sum = PROCESS_BYTES + CONNECTIONS_BYTES + caches + bytes_of(catalog);
            // Beside it one request of each kind, and a picture that is made smaller.
            let enough = (sum >> 20) + 32;
            format!(
                "serve the board: its memory does not fit; give --memory-budget-mb {enough} or more"
            )
        })?;
        Ok(Holdings {
            requests: budget.consumer("requests"),
            thumbnails: budget.consumer("thumbnails"),
            catalog: Mutex::new(reserved),
            budget,
            _fixed: fixed,
        })
    }

    /// For something that a request does; it is given back when it is dropped.
    ///
    /// # Errors
    /// It does not fit now.
    pub(super) fn reserve(&self, bytes: u64) -> Result<Reservation, Failure> {
        self.requests.reserve(bytes).map_err(|_| Failure::busy())
    }

    /// For a picture that is read to be made smaller.
    ///
    /// # Errors
    /// It does not fit now.
    pub(super) fn reserve_thumbnail(&self, bytes: u64) -> Result<Reservation> {
        Ok(self.thumbnails.reserve(bytes)?)
    }

    /// Accounts for a catalog that has changed. It is there whether it fits or not: where it does not, less is
    /// left for requests as soon as it does.
    pub(super) fn follow(&self, catalog: &Catalog) {
        let mut held = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = held.resize(bytes_of(catalog));
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Who holds what of it.
    pub(super) fn shares(&self) -> Shares {
        let figures = self.budget.figures();
        let holders = figures.consumers.iter().map(|one| Holder {
            name: one.name.to_string(),
            held_bytes: one.held_bytes,
            held_peak_bytes: one.held_peak_bytes,
        });
        Shares {
            limit_bytes: figures.limit_bytes,
            held_bytes: figures.held_bytes,
            held_peak_bytes: figures.held_peak_bytes,
            refused: figures.refused_total,
            holders: holders.collect(),
        }
    }
}

fn bytes_of(catalog: &Catalog) -> u64 {
    let components = catalog.components();
    components.iter().map(|part| part.bytes as u64).sum()
}

/// Reservations of a budget.
#[derive(Debug, Serialize)]
pub(super) struct Shares {
    limit_bytes: u64,
    held_bytes: u64,
    held_peak_bytes: u64,
    /// Requests that did not fit.
    refused: u64,
    holders: Vec<Holder>,
}

#[derive(Debug, Serialize)]
struct Holder {
    name: String,
    held_bytes: u64,
    held_peak_bytes: u64,
}

/// Lets `plimsoll inspect` and `watch` see the budget and the tags; a server goes on without.
pub(super) fn publish(budget: &Budget) -> Option<Beacon> {
    let beacon = BeaconOptions::default().budget("memory-budget", budget);
    let beacon = beacon.publish();
    beacon
        .map_err(|error| eprintln!("booru: nobody can watch this server from outside: {error}"))
        .ok()
}
