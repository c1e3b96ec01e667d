//! Puts rows into an open recording: the writing half of the schema, with no thread and no clock.
//!
//! [`Store`] keeps two small maps from identities to row ids; both are bounded.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use plimsoll_model::{
    Breakdown, CapRecord, Component, Event, Gap, PressureSample, ProcessId, ProcessRecord,
    RecordingMeta, RssParts, Sample, Stage, TimedBreakdown,
};
use rusqlite::{Connection, OptionalExtension, ToSql, params};

use crate::schema::{APPLICATION_ID, COMPONENT_DEPTH_LIMIT, TABLES, VERSION, Word};

/// Owners whose row id is remembered; a report has some hundreds. More are looked up again.
const OWNERS_REMEMBERED: usize = 8192;
/// Processes whose row id is remembered; forgotten ones are looked up by pid and start time.
const PROCESSES_REMEMBERED: usize = 8192;

/// One thing to be written.
#[derive(Debug)]
pub(crate) enum Row {
    Started {
        root: ProcessId,
        started_at: Duration,
    },
    Process(ProcessRecord),
    ProcessEnded {
        id: ProcessId,
        at: Duration,
        rss_peak: u64,
    },
    Sample(Sample),
    Breakdown(Box<TimedBreakdown>),
    Stage(Box<Stage>),
    Pressure(PressureSample),
    Cap(Box<CapRecord>),
    Event(Event),
    Gap(Duration, Gap),
    Finished(Box<RecordingMeta>),
}

/// An open recording that rows are put into.
#[derive(Debug)]
pub(crate) struct Store {
    connection: Connection,
    processes: HashMap<ProcessId, i64>,
    owners: HashMap<OwnerKey, i64>,
}

/// What makes an `owner` row unique, in the order of its columns.
type OwnerKey = [String; 7];

impl Store {
    /// Marks the empty database behind `connection` as a recording and makes its tables.
    pub(crate) fn create(
        connection: Connection,
        meta: &RecordingMeta,
    ) -> Result<Store, rusqlite::Error> {
        // One file at all times: a rollback journal exists only for the milliseconds of a
        // commit, while WAL would keep two more files beside the recording and make it
        // unreadable from a folder without write permission.
        connection.pragma_update(None, "journal_mode", "delete")?;
        connection.pragma_update(None, "synchronous", "normal")?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        connection.pragma_update(None, "user_version", VERSION)?;
        let store = Store {
            connection,
            processes: HashMap::new(),
            owners: HashMap::new(),
        };
        store.connection.execute_batch("BEGIN IMMEDIATE")?;
        store.connection.execute_batch(TABLES)?;
        store.put_fact("tool_version", &meta.tool_version)?;
        store.put_fact("command", &json(&meta.command))?;
        store.put_fact("interval_us", &micros(meta.interval))?;
        store.put_start(meta.root, meta.started_at)?;
        store.connection.execute_batch("COMMIT")?;
        Ok(store)
    }

    /// Writes all `rows` in one transaction, or none of them.
    pub(crate) fn commit(&mut self, rows: &[Row]) -> Result<(), rusqlite::Error> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let written = rows
            .iter()
            .try_for_each(|row| self.put(row))
            .and_then(|()| self.connection.execute_batch("COMMIT"));
        if written.is_err() {
            // The ids of rows that are now rolled back must not be used again.
            self.processes.clear();
            self.owners.clear();
            // After a full disk SQLite may have rolled back by itself; then this fails, rightly.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        written
    }

    /// How long a commit waits for a reader of the file before it reports that it is busy.
    pub(crate) fn wait_for_lock(&self, longest: Duration) -> Result<(), rusqlite::Error> {
        self.connection.busy_timeout(longest)
    }

    pub(crate) fn close(self) -> Result<(), rusqlite::Error> {
        self.connection.close().map_err(|(_, error)| error)
    }

    fn put(&mut self, row: &Row) -> Result<(), rusqlite::Error> {
        match row {
            Row::Started { root, started_at } => self.put_start(*root, *started_at),
            Row::Process(record) => self.put_process(record),
            Row::ProcessEnded { id, at, rss_peak } => self.put_process_end(*id, *at, *rss_peak),
            Row::Sample(sample) => self.put_sample(sample),
            Row::Breakdown(timed) => self.put_breakdown(timed),
            Row::Stage(stage) => self.put_stage(stage),
            Row::Pressure(sample) => self.put_pressure(sample),
            Row::Cap(cap) => self.put_cap(cap),
            Row::Event(event) => self
                .connection
                .prepare_cached("INSERT INTO event (at_us, kind, text) VALUES (?1, ?2, ?3)")?
                .execute(params![micros(event.at), event.kind.word(), event.text])
                .map(drop),
            Row::Gap(at, gap) => self
                .connection
                .prepare_cached(
                    "INSERT INTO gap (at_us, what, reason, detail) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![
                    micros(*at),
                    gap.what,
                    gap.reason.word(),
                    gap.detail
                ])
                .map(drop),
            Row::Finished(meta) => self.put_finish(meta),
        }
    }

    fn put_fact(&self, key: &str, value: &dyn ToSql) -> Result<(), rusqlite::Error> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO plimsoll (key, value) VALUES (?1, ?2)")?
            .execute(params![key, value])
            .map(drop)
    }

    /// A root of pid 0 stands for a subject that is not started yet.
    fn put_start(&self, root: ProcessId, started_at: Duration) -> Result<(), rusqlite::Error> {
        self.put_fact("started_at_us", &micros(started_at))?;
        if root.pid != 0 {
            self.put_fact("root_pid", &root.pid)?;
            self.put_fact("root_start_time", &integer(root.start_time))?;
        }
        Ok(())
    }

    fn put_finish(&self, meta: &RecordingMeta) -> Result<(), rusqlite::Error> {
        self.put_start(meta.root, meta.started_at)?;
        self.put_fact("length_us", &micros(meta.length))?;
        self.put_fact("recorder_cpu_us", &micros(meta.recorder_cpu))?;
        self.put_fact("samples_taken", &integer(meta.samples_taken))?;
        if let Some(code) = meta.exit_code {
            self.put_fact("exit_code", &code)?;
        }
        if let Some(signal) = meta.exit_signal {
            self.put_fact("exit_signal", &signal)?;
        }
        self.put_fact("complete", &1)
    }

    fn put_cap(&self, cap: &CapRecord) -> Result<(), rusqlite::Error> {
        self.put_fact("cap_mechanism", &cap.mechanism.word())?;
        self.put_fact("cap_limit_bytes", &integer(cap.limit.0))?;
        self.put_fact("cap_refused", &json(&cap.refused))?;
        let figures = [
            ("cap_charge_peak_bytes", cap.charge_peak.map(|peak| peak.0)),
            ("cap_limit_hits", cap.limit_hits),
            ("cap_oom_kills", cap.oom_kills),
        ];
        figures
            .into_iter()
            .filter_map(|(key, figure)| Some((key, integer(figure?))))
            .try_for_each(|(key, figure)| self.put_fact(key, &figure))
    }

    fn put_stage(&self, stage: &Stage) -> Result<(), rusqlite::Error> {
        let parts = |parts: &RssParts| {
            [parts.rss, parts.anon, parts.file, parts.shmem, parts.swap]
                .map(|bytes| integer(bytes.0))
        };
        let (start, end) = (parts(&stage.at_start), parts(&stage.at_end));
        self.connection
            .prepare_cached(
                "INSERT INTO stage VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,
                     ?14, ?15, ?16)",
            )?
            .execute(params![
                stage.label,
                stage.source.word(),
                micros(stage.start),
                micros(stage.end),
                start[0],
                start[1],
                start[2],
                start[3],
                start[4],
                end[0],
                end[1],
                end[2],
                end[3],
                end[4],
                integer(stage.peak.0),
                stage.peak_at_most.map(|bytes| integer(bytes.0)),
            ])
            .map(drop)
    }

    fn put_pressure(&self, sample: &PressureSample) -> Result<(), rusqlite::Error> {
        self.connection
            .prepare_cached("INSERT INTO pressure VALUES (?1, ?2, ?3)")?
            .execute(params![
                micros(sample.at),
                micros(sample.some),
                micros(sample.full)
            ])
            .map(drop)
    }

    fn put_process(&mut self, record: &ProcessRecord) -> Result<(), rusqlite::Error> {
        let id: i64 = self
            .connection
            .prepare_cached(
                "INSERT INTO process (pid, start_time, parent, name, command, first_seen_us,
                                      ended_us, rss_peak_bytes)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (pid, start_time) DO UPDATE SET parent = excluded.parent,
                     name = excluded.name, command = excluded.command
                 RETURNING id",
            )?
            .query_row(
                params![
                    record.id.pid,
                    integer(record.id.start_time),
                    record.parent,
                    record.name,
                    json(&record.command),
                    micros(record.first_seen),
                    record.ended.map(micros),
                    record.ended.map(|_| integer(record.rss_peak.0)),
                ],
                |row| row.get(0),
            )?;
        self.remember_process(record.id, id);
        Ok(())
    }

    fn put_process_end(
        &mut self,
        id: ProcessId,
        at: Duration,
        rss_peak: u64,
    ) -> Result<(), rusqlite::Error> {
        let row = self.process_row(id, at)?;
        self.processes.remove(&id);
        self.connection
            .prepare_cached("UPDATE process SET ended_us = ?2, rss_peak_bytes = ?3 WHERE id = ?1")?
            .execute(params![row, micros(at), integer(rss_peak)])
            .map(drop)
    }

    fn put_sample(&mut self, sample: &Sample) -> Result<(), rusqlite::Error> {
        let process = self.process_row(sample.process, sample.at)?;
        self.connection
            .prepare_cached("INSERT INTO sample VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
            .execute(params![
                micros(sample.at),
                process,
                integer(sample.rss.0),
                integer(sample.anon.0),
                integer(sample.file.0),
                integer(sample.shmem.0),
                integer(sample.swap.0),
            ])
            .map(drop)
    }

    /// The row of a process; one that was never announced gets a row without a name.
    fn process_row(&mut self, id: ProcessId, at: Duration) -> Result<i64, rusqlite::Error> {
        if let Some(row) = self.processes.get(&id) {
            return Ok(*row);
        }
        let found: Option<i64> = self
            .connection
            .prepare_cached("SELECT id FROM process WHERE pid = ?1 AND start_time = ?2")?
            .query_row(params![id.pid, integer(id.start_time)], |row| row.get(0))
            .optional()?;
        let row = match found {
            Some(row) => row,
            None => {
                self.connection.execute(
                    "INSERT INTO process (pid, start_time, parent, name, command, first_seen_us)
                     VALUES (?1, ?2, 0, '', '[]', ?3)",
                    params![id.pid, integer(id.start_time), micros(at)],
                )?;
                self.connection.last_insert_rowid()
            }
        };
        self.remember_process(id, row);
        Ok(row)
    }

    fn remember_process(&mut self, id: ProcessId, row: i64) {
        if self.processes.len() >= PROCESSES_REMEMBERED {
            self.processes.clear();
        }
        self.processes.insert(id, row);
    }

    fn put_breakdown(&mut self, timed: &TimedBreakdown) -> Result<(), rusqlite::Error> {
        let breakdown = &timed.breakdown;
        let usage = &breakdown.totals.usage;
        self.connection
            .prepare_cached(
                "INSERT INTO breakdown (at_us, scope, pid, resident_bytes, proportional_bytes,
                     private_bytes, dirty_bytes, swap_bytes, verdict, rest)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                micros(timed.at),
                breakdown.scope.word(),
                breakdown.process.id.pid,
                integer(usage.resident.0),
                integer(usage.proportional.0),
                integer(usage.private.0),
                integer(usage.dirty.0),
                integer(usage.swap.0),
                breakdown.verdict,
                rest_of(breakdown),
            ])?;
        let id = self.connection.last_insert_rowid();
        let mut position = 0;
        for component in &breakdown.components {
            self.put_component(id, &mut position, None, component, 1)?;
        }
        Ok(())
    }

    fn put_component(
        &mut self,
        breakdown: i64,
        position: &mut i64,
        parent: Option<i64>,
        component: &Component,
        depth: usize,
    ) -> Result<(), rusqlite::Error> {
        let owner = self.owner_row(component)?;
        let own_position = *position;
        *position += 1;
        let usage = &component.usage;
        let reclaim = &component.reclaim;
        let optional = |bytes: Option<plimsoll_model::Bytes>| bytes.map(|bytes| integer(bytes.0));
        let used = component.used.as_ref();
        let cache = component.cache.as_ref();
        self.connection
            .prepare_cached(
                "INSERT INTO component_usage VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11,
                     ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26,
                     ?27, ?28, ?29)",
            )?
            .execute(params![
                breakdown,
                own_position,
                parent,
                owner,
                integer(usage.resident.0),
                integer(usage.distinct.0),
                integer(usage.proportional.0),
                integer(usage.private.0),
                integer(usage.dirty.0),
                integer(usage.swap.0),
                integer(usage.hugetlb.0),
                integer(reclaim.must_stay.0),
                integer(reclaim.swap_only.0),
                integer(reclaim.droppable.0),
                integer(reclaim.after_writeback.0),
                component.sharing.mappings,
                component.sharing.processes.map(|processes| processes.count),
                component
                    .sharing
                    .processes
                    .map(|processes| processes.complete),
                integer(component.sharing.shared.0),
                component.proportional_exactness.word(),
                component.detail,
                optional(used.map(|used| used.live)),
                optional(used.map(|used| used.held_free)),
                optional(component.file_size),
                optional(cache.map(|cache| cache.cached)),
                optional(cache.and_then(|cache| cache.dirty)),
                optional(cache.and_then(|cache| cache.writeback)),
                optional(cache.and_then(|cache| cache.evicted)),
                optional(cache.and_then(|cache| cache.recently_evicted)),
            ])?;
        // Parts are within their parent's figures, so none of its bytes is lost by this bound.
        if depth < COMPONENT_DEPTH_LIMIT {
            for part in &component.parts {
                self.put_component(breakdown, position, Some(own_position), part, depth + 1)?;
            }
        }
        Ok(())
    }

    fn owner_row(&mut self, component: &Component) -> Result<i64, rusqlite::Error> {
        let package = component.package.as_ref();
        let key: OwnerKey = [
            component.name.clone(),
            component.kind.word().to_owned(),
            component.evidence.clone(),
            component
                .used
                .as_ref()
                .map_or_else(String::new, |used| used.method.clone()),
            package
                .map_or("", |package| package.manager.word())
                .to_owned(),
            package.map_or_else(String::new, |package| package.name.clone()),
            package.map_or_else(String::new, |package| package.version.clone()),
        ];
        if let Some(row) = self.owners.get(&key) {
            return Ok(*row);
        }
        let parameters = rusqlite::params_from_iter(&key);
        let found: Option<i64> = self
            .connection
            .prepare_cached(
                "SELECT id FROM owner WHERE (name, kind, evidence, used_method, package_manager,
                     package_name, package_version) = (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .query_row(parameters, |row| row.get(0))
            .optional()?;
        let row = match found {
            Some(row) => row,
            None => {
                self.connection
                    .prepare_cached(
                        "INSERT INTO owner (name, kind, evidence, used_method, package_manager,
                             package_name, package_version)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    )?
                    .execute(rusqlite::params_from_iter(&key))?;
                self.connection.last_insert_rowid()
            }
        };
        if self.owners.len() >= OWNERS_REMEMBERED {
            self.owners.clear();
        }
        self.owners.insert(key, row);
        Ok(row)
    }
}

/// Everything of a breakdown but its components, as JSON.
fn rest_of(breakdown: &Breakdown) -> String {
    let mut rest = Breakdown {
        components: Vec::new(),
        published: breakdown.published.clone(),
        taken_at: breakdown.taken_at,
        scope: breakdown.scope,
        process: breakdown.process.clone(),
        processes: breakdown.processes.clone(),
        verdict: breakdown.verdict.clone(),
        totals: breakdown.totals,
        cgroup: breakdown.cgroup.clone(),
        system: breakdown.system,
        gaps: breakdown.gaps.clone(),
        cost: breakdown.cost,
    };
    // JSON is Unicode, a path need not be: it is kept as it would be printed.
    for process in std::iter::once(&mut rest.process).chain(&mut rest.processes) {
        process.executable = process
            .executable
            .take()
            .map(|path| PathBuf::from(path.to_string_lossy().into_owned()));
    }
    json(&rest)
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data with Unicode strings has a JSON form")
}

/// Whole microseconds, as SQLite keeps them.
fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// SQLite's integers are signed; no size of memory reaches the limit.
fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
