//! Reads a recording, finished, running or cut off, without ever trusting it.
//!
//! [`read_recorded`] streams: it holds the samples that are asked for, at most
//! [`BREAKDOWNS_LIMIT`] breakdowns and one row of the rest. The file is opened read-only; the one
//! exception is a file whose recorder was killed inside a commit, which SQLite must roll back.

mod stages;

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use plimsoll_model::{
    Breakdown, Bytes, Event, EventKind, Gap, GapReason, ProcessId, ProcessRecord, Recorded,
    RecordingMeta, Sample, TimedBreakdown,
};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, Row};

use crate::RecordingError;
use crate::components::{bytes, bytes_or_none, read_components, word};
use crate::schema::{APPLICATION_ID, VERSION};
use crate::thin::{Census, Thinner, thin_indexes};

/// Breakdowns held in memory: at some 300 components each, about 100 MiB.
pub const BREAKDOWNS_LIMIT: usize = 1000;
/// Processes, stages, events and gaps held in memory, each; a build starts tens of thousands.
const ROWS_LIMIT: usize = 100_000;
/// How long to wait while the recorder commits.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// Reads the recording at `path`, its samples thinned to about `max_samples`.
///
/// Thinning keeps measured points: the smallest and largest total and the extremes of each
/// process in equal stretches of time, and the first and last tick. Samples of one tick are kept
/// together where they make up such a total, so more processes than `max_samples` exceed it.
pub fn read_recorded(path: &Path, max_samples: usize) -> Result<Recorded, RecordingError> {
    let (connection, version) = open(path)?;
    let reader = Reader {
        connection: &connection,
        path,
        version,
    };
    // One state of the file throughout, though it may still grow.
    connection
        .execute_batch("BEGIN")
        .map_err(|error| reader.failed(&error))?;
    reader.check_structure()?;
    reader.read(max_samples)
}

/// The file and its schema version.
fn open(path: &Path) -> Result<(Connection, i64), RecordingError> {
    check_header(path)?;
    let connection = match open_and_touch(path, OpenFlags::SQLITE_OPEN_READ_ONLY) {
        Ok(connection) => connection,
        Err(error) if needs_rollback(&error) => {
            open_and_touch(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|_| {
                RecordingError::UnfinishedWrite {
                    path: path.to_owned(),
                }
            })?
        }
        Err(error) => return Err(RecordingError::from_read(path, &error)),
    };
    let pragma = |name: &str| -> Result<i64, RecordingError> {
        connection
            .pragma_query_value(None, name, |row| row.get(0))
            .map_err(|error| RecordingError::from_read(path, &error))
    };
    if pragma("application_id")? != APPLICATION_ID {
        return Err(RecordingError::NotRecording {
            path: path.to_owned(),
        });
    }
    let found = pragma("user_version")?;
    if found > VERSION {
        return Err(RecordingError::NewerSchema {
            path: path.to_owned(),
            found,
            known: VERSION,
        });
    }
    if found < 1 {
        return Err(RecordingError::damaged(
            path,
            format!("schema version {found}"),
        ));
    }
    Ok((connection, found))
}

/// Tells files that can't be opened, and files of other formats, before SQLite sees them.
fn check_header(path: &Path) -> Result<(), RecordingError> {
    let failed = |source| RecordingError::Open {
        path: path.to_owned(),
        source,
    };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut header = [0; 16];
    match file.read_exact(&mut header) {
        Ok(()) if &header == b"SQLite format 3\0" => Ok(()),
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => Err(failed(error)),
        _ => Err(RecordingError::NotSqlite {
            path: path.to_owned(),
        }),
    }
}

fn open_and_touch(path: &Path, access: OpenFlags) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(LOCK_WAIT)?;
    // A recording may come from someone else: nothing in its schema is to run functions.
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

/// A journal that was left by a kill inside a commit can't be rolled back read-only.
fn needs_rollback(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen)
    )
}

struct Reader<'a> {
    connection: &'a Connection,
    path: &'a Path,
    /// Of the schema.
    version: i64,
}

impl Reader<'_> {
    fn failed(&self, error: &rusqlite::Error) -> RecordingError {
        RecordingError::from_read(self.path, error)
    }

    fn damaged(&self, detail: impl Into<String>) -> RecordingError {
        RecordingError::damaged(self.path, detail)
    }

    /// Torn pages must not turn into figures.
    fn check_structure(&self) -> Result<(), RecordingError> {
        let verdict: String = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|error| self.failed(&error))?;
        if verdict == "ok" {
            Ok(())
        } else {
            Err(self.damaged(verdict.replace('\n', " ")))
        }
    }

    fn read(&self, max_samples: usize) -> Result<Recorded, RecordingError> {
        let facts = self.read_facts()?;
        let mut gaps = Vec::new();
        let ids = self.read_process_ids()?;
        let census = self.census(&ids)?;
        let samples = self.read_samples(&ids, &census, max_samples)?;
        let breakdowns = self.read_breakdowns(&mut gaps)?;
        let stages = self.read_stages(&mut gaps)?;
        let pressure = self.read_pressure()?;
        let cap = self.cap_of(&facts)?;
        let events = self.read_events(&mut gaps)?;
        let processes = self.read_processes(&mut gaps)?;
        let mut stored_gaps = self.read_gaps(&mut gaps)?;
        let root = processes.first().map(|process| process.id);
        let meta = self.meta_of(&facts, root, census.samples, &mut gaps)?;
        stored_gaps.append(&mut gaps);
        Ok(Recorded {
            meta,
            processes,
            samples,
            breakdowns,
            stages,
            pressure,
            cap,
            events,
            gaps: stored_gaps,
        })
    }

    fn read_facts(&self) -> Result<HashMap<String, Value>, RecordingError> {
        let mut facts = HashMap::new();
        self.each("SELECT key, value FROM plimsoll", |row| {
            facts.insert(row.get(0)?, value_of(row, 1)?);
            Ok(())
        })?;
        Ok(facts)
    }

    fn meta_of(
        &self,
        facts: &HashMap<String, Value>,
        first_process: Option<ProcessId>,
        samples: u64,
        gaps: &mut Vec<Gap>,
    ) -> Result<RecordingMeta, RecordingError> {
        let whole = |key: &str| match facts.get(key) {
            None => Ok(None),
            Some(Value::Integer(value)) => Ok(Some(*value)),
            Some(_) => Err(self.damaged(format!("{key} is not a number"))),
        };
        let count = |key: &str| -> Result<Option<u64>, RecordingError> {
            whole(key)?
                .map(u64::try_from)
                .transpose()
                .map_err(|_| self.damaged(format!("{key} is negative")))
        };
        let code = |key: &str| -> Result<Option<i32>, RecordingError> {
            whole(key)?
                .map(i32::try_from)
                .transpose()
                .map_err(|_| self.damaged(format!("{key} is out of range")))
        };
        let needed = |key: &str| count(key)?.ok_or_else(|| self.damaged(format!("no {key}")));
        let text = |key: &str| match facts.get(key) {
            Some(Value::Text(text)) => Ok(text.clone()),
            _ => Err(self.damaged(format!("no {key}"))),
        };
        let root = match (count("root_pid")?, count("root_start_time")?) {
            (Some(pid), Some(start_time)) => ProcessId {
                pid: u32::try_from(pid).map_err(|_| self.damaged("root_pid is out of range"))?,
                start_time,
            },
            _ => first_process.unwrap_or(ProcessId {
                pid: 0,
                start_time: 0,
            }),
        };
        let complete = whole("complete")? == Some(1);
        if !complete {
            gaps.push(Gap::new(
                "end of the recording",
                GapReason::Vanished,
                "the recorder is still running or was cut off; its processor time is not known",
            ));
        }
        let length = match count("length_us")? {
            Some(length) => Duration::from_micros(length),
            None => self.last_instant()?,
        };
        Ok(RecordingMeta {
            command: self.list_of_text(&text("command")?)?,
            root,
            started_at: Duration::from_micros(needed("started_at_us")?),
            length,
            interval: Duration::from_micros(needed("interval_us")?),
            exit_code: code("exit_code")?,
            exit_signal: code("exit_signal")?,
            complete,
            tool_version: text("tool_version")?,
            recorder_cpu: Duration::from_micros(count("recorder_cpu_us")?.unwrap_or(0)),
            samples_taken: count("samples_taken")?.unwrap_or(samples),
        })
    }

    /// The latest time in a recording that was cut off.
    fn last_instant(&self) -> Result<Duration, RecordingError> {
        let mut last = self.last_stage_instant()?;
        for table in ["sample", "breakdown", "event", "gap"] {
            let query = format!("SELECT at_us FROM {table} ORDER BY rowid DESC LIMIT 1");
            self.each(&query, |row| {
                last = last.max(micros(row, 0)?);
                Ok(())
            })?;
        }
        Ok(last)
    }

    fn read_process_ids(&self) -> Result<HashMap<i64, ProcessId>, RecordingError> {
        let mut ids = HashMap::new();
        self.each("SELECT id, pid, start_time FROM process", |row| {
            ids.insert(row.get(0)?, process_id(row, 1)?);
            Ok(())
        })?;
        Ok(ids)
    }

    fn read_processes(&self, gaps: &mut Vec<Gap>) -> Result<Vec<ProcessRecord>, RecordingError> {
        // A process that was not seen to end has the highest sample as its peak. No index on
        // sample: the recorder would pay for it at every insert.
        let mut peaks: HashMap<i64, Bytes> = HashMap::new();
        self.each(
            "SELECT process_id, max(rss_bytes) FROM sample GROUP BY process_id",
            |row| {
                peaks.insert(row.get(0)?, bytes(row, 1)?);
                Ok(())
            },
        )?;
        let mut processes = Vec::new();
        let mut commands = Vec::new();
        let query = "SELECT id, pid, start_time, parent, name, command, first_seen_us, ended_us,
                            rss_peak_bytes FROM process ORDER BY id";
        self.each_bounded(query, "processes", gaps, |row| {
            let sampled = peaks.get(&row.get(0)?).copied().unwrap_or_default();
            let stored = bytes_or_none(row, 8)?.unwrap_or_default();
            commands.push(row.get::<_, String>(5)?);
            processes.push(ProcessRecord {
                id: process_id(row, 1)?,
                parent: row.get(3)?,
                name: row.get(4)?,
                command: Vec::new(),
                first_seen: micros(row, 6)?,
                ended: row.get::<_, Option<u64>>(7)?.map(Duration::from_micros),
                rss_peak: stored.max(sampled),
            });
            Ok(())
        })?;
        for (process, command) in processes.iter_mut().zip(&commands) {
            process.command = self.list_of_text(command)?;
        }
        Ok(processes)
    }

    fn census(&self, ids: &HashMap<i64, ProcessId>) -> Result<Census, RecordingError> {
        let mut census = Census::default();
        self.each_sample(ids, |sample| census.count(&sample))?;
        Ok(census)
    }

    fn read_samples(
        &self,
        ids: &HashMap<i64, ProcessId>,
        census: &Census,
        max_samples: usize,
    ) -> Result<Vec<Sample>, RecordingError> {
        if census.samples <= max_samples as u64 {
            let mut samples = Vec::new();
            self.each_sample(ids, |sample| samples.push(sample))?;
            return Ok(samples);
        }
        // Halved at each try, so at most as many passes as the number has binary digits.
        let mut buckets = census.buckets(max_samples);
        loop {
            let mut thinner = Thinner::new(census, buckets, max_samples);
            self.each_sample(ids, |sample| thinner.push(sample))?;
            if let Some(kept) = thinner.finish() {
                return Ok(kept);
            }
            buckets /= 2;
        }
    }

    fn each_sample(
        &self,
        ids: &HashMap<i64, ProcessId>,
        mut take: impl FnMut(Sample),
    ) -> Result<(), RecordingError> {
        let mut stray = false;
        let query = "SELECT at_us, process_id, rss_bytes, anon_bytes, file_bytes, shmem_bytes,
                            swap_bytes FROM sample ORDER BY rowid";
        self.each(query, |row| {
            let Some(process) = ids.get(&row.get(1)?) else {
                stray = true;
                return Ok(());
            };
            take(Sample {
                at: micros(row, 0)?,
                process: *process,
                rss: bytes(row, 2)?,
                anon: bytes(row, 3)?,
                file: bytes(row, 4)?,
                shmem: bytes(row, 5)?,
                swap: bytes(row, 6)?,
            });
            Ok(())
        })?;
        if stray {
            return Err(self.damaged("a sample is of a process that is not there"));
        }
        Ok(())
    }

    fn read_breakdowns(&self, gaps: &mut Vec<Gap>) -> Result<Vec<TimedBreakdown>, RecordingError> {
        let mut rows: Vec<i64> = Vec::new();
        let mut sizes: Vec<u64> = Vec::new();
        self.each(
            "SELECT id, resident_bytes FROM breakdown ORDER BY id",
            |row| {
                rows.push(row.get(0)?);
                sizes.push(row.get(1)?);
                Ok(())
            },
        )?;
        let kept = thin_indexes(&sizes, BREAKDOWNS_LIMIT);
        if kept.len() < rows.len() {
            gaps.push(Gap::new(
                "breakdowns of the recording",
                GapReason::Bounded,
                format!(
                    "{} of {} are shown, the smallest and largest among them; the file has all",
                    kept.len(),
                    rows.len()
                ),
            ));
        }
        kept.into_iter()
            .map(|index| self.read_breakdown(rows[index]))
            .collect()
    }

    fn read_breakdown(&self, id: i64) -> Result<TimedBreakdown, RecordingError> {
        let (at, rest): (Duration, String) = self
            .connection
            .prepare_cached("SELECT at_us, rest FROM breakdown WHERE id = ?1")
            .and_then(|mut statement| {
                statement.query_row([id], |row| Ok((micros(row, 0)?, row.get(1)?)))
            })
            .map_err(|error| self.failed(&error))?;
        let mut breakdown: Breakdown = serde_json::from_str(&rest)
            .map_err(|error| self.damaged(format!("breakdown {id}: {error}")))?;
        breakdown.components = read_components(self.connection, self.path, id)?;
        Ok(TimedBreakdown { at, breakdown })
    }

    fn read_events(&self, gaps: &mut Vec<Gap>) -> Result<Vec<Event>, RecordingError> {
        let mut events = Vec::new();
        let query = "SELECT at_us, kind, text FROM event ORDER BY rowid";
        self.each_bounded(query, "events", gaps, |row| {
            events.push(Event {
                at: micros(row, 0)?,
                kind: word::<EventKind>(row, 1)?,
                text: row.get(2)?,
            });
            Ok(())
        })?;
        Ok(events)
    }

    fn read_gaps(&self, gaps: &mut Vec<Gap>) -> Result<Vec<Gap>, RecordingError> {
        let mut stored = Vec::new();
        let query = "SELECT what, reason, detail FROM gap ORDER BY rowid";
        self.each_bounded(query, "gaps", gaps, |row| {
            stored.push(Gap {
                what: row.get(0)?,
                reason: word::<GapReason>(row, 1)?,
                detail: row.get(2)?,
            });
            Ok(())
        })?;
        Ok(stored)
    }

    fn list_of_text(&self, json: &str) -> Result<Vec<String>, RecordingError> {
        serde_json::from_str(json).map_err(|error| self.damaged(format!("a command line: {error}")))
    }

    /// [`Reader::each`] for the first [`ROWS_LIMIT`] rows, with a gap when there are more.
    fn each_bounded(
        &self,
        query: &str,
        what: &str,
        gaps: &mut Vec<Gap>,
        mut take: impl FnMut(&Row<'_>) -> Result<(), rusqlite::Error>,
    ) -> Result<(), RecordingError> {
        let mut rows = 0;
        self.each(&format!("{query} LIMIT {}", ROWS_LIMIT + 1), |row| {
            rows += 1;
            if rows <= ROWS_LIMIT {
                take(row)
            } else {
                Ok(())
            }
        })?;
        if rows > ROWS_LIMIT {
            gaps.push(Gap::new(
                format!("{what} of the recording"),
                GapReason::Bounded,
                format!("the first {ROWS_LIMIT} are shown; the file has all"),
            ));
        }
        Ok(())
    }

    fn each(
        &self,
        query: &str,
        mut take: impl FnMut(&Row<'_>) -> Result<(), rusqlite::Error>,
    ) -> Result<(), RecordingError> {
        let mut run = || -> Result<(), rusqlite::Error> {
            let mut statement = self.connection.prepare_cached(query)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                take(row)?;
            }
            Ok(())
        };
        run().map_err(|error| self.failed(&error))
    }
}

/// A value of any type. Text is checked here: `Value` itself panics on what is not UTF-8.
fn value_of(row: &Row<'_>, column: usize) -> Result<Value, rusqlite::Error> {
    match row.get_ref(column)? {
        ValueRef::Text(_) => row.get(column).map(Value::Text),
        _ => row.get(column),
    }
}

fn micros(row: &Row<'_>, column: usize) -> Result<Duration, rusqlite::Error> {
    row.get::<_, u64>(column).map(Duration::from_micros)
}

/// From two columns: pid and start time.
fn process_id(row: &Row<'_>, column: usize) -> Result<ProcessId, rusqlite::Error> {
    Ok(ProcessId {
        pid: row.get(column)?,
        start_time: row.get(column + 1)?,
    })
}
