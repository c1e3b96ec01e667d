-- The tables of a Plimsoll recording, schema version 2. Version 1
-- has no `stage`, no `pressure` and no facts `cap_…`; all else is the same.
--
-- One file holds one run. It is told apart from other SQLite files by application_id 1347179340
-- ("PLSL"); user_version is the schema version. Rows are added while the run goes on; the only
-- row that changes afterwards is a process's, which gets its end. Times are whole microseconds
-- since the start of the recording unless the column says otherwise; sizes are bytes. A NULL is
-- a figure that is not known, never a zero.

-- What the recording is: one row a fact.
--   tool_version      the plimsoll that wrote it
--   command           JSON array: the command line of `run`, [] for `record`
--   root_pid, root_start_time   the root process; absent until the subject has started
--   started_at_us     start of the recording, microseconds since the Unix epoch
--   interval_us       time between quick samples
-- and, only once the recorder has finished its work:
--   length_us         from the start to the last thing recorded
--   exit_code         the subject's exit code; absent when it outlived the recording
--   exit_signal       the signal that ended the subject; absent when none did
--   recorder_cpu_us   processor time that the recorder itself used
--   samples_taken     rows of `sample`
--   complete          1
-- and, where it ran under a cap:
--   cap_mechanism     cgroup_v2 | cgroup_v1 | data_limit: what enforced it
--   cap_limit_bytes   the cap
--   cap_refused       JSON array: why a stronger mechanism was not used, one sentence each
--   cap_charge_peak_bytes   highest charge of the group
--   cap_limit_hits    how often the group was at its limit
--   cap_oom_kills     processes of the group that the kernel killed for it
--                     (these three are absent where the mechanism has no such figure)
CREATE TABLE plimsoll (
    key   TEXT PRIMARY KEY,
    value
) WITHOUT ROWID;

-- A process of the subject's tree.
CREATE TABLE process (
    id             INTEGER PRIMARY KEY,
    pid            INTEGER NOT NULL,
    start_time     INTEGER NOT NULL,   -- field 22 of /proc/PID/stat: clock ticks after boot
    parent         INTEGER NOT NULL,   -- pid of the parent when first seen
    name           TEXT    NOT NULL,   -- /proc/PID/comm
    command        TEXT    NOT NULL,   -- JSON array of arguments
    first_seen_us  INTEGER NOT NULL,
    ended_us       INTEGER,            -- NULL while it lives, or when its end was not seen
    rss_peak_bytes INTEGER,            -- highest RSS known of it; NULL until it ended
    UNIQUE (pid, start_time)
);

-- A quick reading of one process. All processes read in one tick have the same at_us.
CREATE TABLE sample (
    at_us       INTEGER NOT NULL,
    process_id  INTEGER NOT NULL REFERENCES process (id),
    rss_bytes   INTEGER NOT NULL,      -- anon + file + shmem
    anon_bytes  INTEGER NOT NULL,
    file_bytes  INTEGER NOT NULL,
    shmem_bytes INTEGER NOT NULL,
    swap_bytes  INTEGER NOT NULL       -- swapped out, beside RSS
);

-- A full reading: who owns every resident byte. Its components are in `component`.
CREATE TABLE breakdown (
    id                 INTEGER PRIMARY KEY,
    at_us              INTEGER NOT NULL,
    scope              TEXT    NOT NULL,   -- process | tree
    pid                INTEGER NOT NULL,   -- root of what was read
    resident_bytes     INTEGER NOT NULL,   -- sum over its top components
    proportional_bytes INTEGER NOT NULL,   -- PSS
    private_bytes      INTEGER NOT NULL,   -- USS
    dirty_bytes        INTEGER NOT NULL,
    swap_bytes         INTEGER NOT NULL,
    verdict            TEXT    NOT NULL,   -- one or two plain sentences
    rest               TEXT    NOT NULL    -- JSON: processes, all totals, cgroup, system, gaps, cost
);

-- What a component is, apart from its sizes: written once, referred to by many readings.
CREATE TABLE owner (
    id              INTEGER PRIMARY KEY,
    name            TEXT NOT NULL,
    kind            TEXT NOT NULL,     -- heap | runtime | stack | code | jit | file | shared |
                                       -- hugetlb | device | kernel | named | unattributed
    evidence        TEXT NOT NULL,     -- what proves the label
    used_method     TEXT NOT NULL,     -- how live and held_free were told; '' when they were not
    package_manager TEXT NOT NULL,     -- python | deb | rpm | npm | apk | folder; '' for none
    package_name    TEXT NOT NULL,
    package_version TEXT NOT NULL,
    UNIQUE (name, kind, evidence, used_method, package_manager, package_name, package_version)
);

-- Sizes of one component in one reading. Parts follow their parent.
CREATE TABLE component_usage (
    breakdown_id           INTEGER NOT NULL REFERENCES breakdown (id),
    position               INTEGER NOT NULL,  -- 0, 1, 2 … in the order of the report
    parent                 INTEGER,           -- position of the component it is a part of; NULL at the top
    owner_id               INTEGER NOT NULL REFERENCES owner (id),
    resident_bytes         INTEGER NOT NULL,  -- counted in RSS
    distinct_bytes         INTEGER NOT NULL,  -- distinct pages of it
    proportional_bytes     INTEGER NOT NULL,
    private_bytes          INTEGER NOT NULL,
    dirty_bytes            INTEGER NOT NULL,
    swap_bytes             INTEGER NOT NULL,
    hugetlb_bytes          INTEGER NOT NULL,
    must_stay_bytes        INTEGER NOT NULL,  -- these four sum to resident_bytes
    swap_only_bytes        INTEGER NOT NULL,
    droppable_bytes        INTEGER NOT NULL,
    after_writeback_bytes  INTEGER NOT NULL,
    mappings               INTEGER NOT NULL,
    sharing_processes      INTEGER,           -- processes that map the same file
    sharing_complete       INTEGER,           -- 1: all processes were looked at; 0: there may be more
    shared_bytes           INTEGER NOT NULL,  -- resident, and mapped by at least one other
    proportional_exactness TEXT    NOT NULL,  -- exact | estimated | at_most
    detail                 TEXT    NOT NULL,
    live_bytes             INTEGER,           -- in use by the program
    held_free_bytes        INTEGER,           -- freed by the program, held for reuse
    file_size_bytes        INTEGER,
    cached_bytes           INTEGER,           -- of the whole file, in the page cache
    cached_dirty_bytes     INTEGER,
    writeback_bytes        INTEGER,
    evicted_bytes          INTEGER,
    recently_evicted_bytes INTEGER,
    PRIMARY KEY (breakdown_id, position)
) WITHOUT ROWID;

-- Components as a reader wants them: who, and how much.
CREATE VIEW component AS
SELECT breakdown.at_us, owner.name, owner.kind, owner.evidence, owner.used_method,
       owner.package_manager, owner.package_name, owner.package_version, component_usage.*
FROM component_usage
JOIN breakdown ON breakdown.id = component_usage.breakdown_id
JOIN owner ON owner.id = component_usage.owner_id;

-- A stage of the run, from one mark to the next: written when it ends, so the one that was open when
-- the recorder was cut off is not there. No rows when the run was not cut into stages. Figures are
-- sums over all processes.
CREATE TABLE stage (
    label              TEXT    NOT NULL,   -- what the subject called it; (start) before the first mark
    source             TEXT    NOT NULL,   -- what began it: start | mark | log
    start_us           INTEGER NOT NULL,
    end_us             INTEGER NOT NULL,
    start_rss_bytes    INTEGER NOT NULL,   -- at its start: anon + file + shmem
    start_anon_bytes   INTEGER NOT NULL,
    start_file_bytes   INTEGER NOT NULL,
    start_shmem_bytes  INTEGER NOT NULL,
    start_swap_bytes   INTEGER NOT NULL,
    end_rss_bytes      INTEGER NOT NULL,   -- at its end
    end_anon_bytes     INTEGER NOT NULL,
    end_file_bytes     INTEGER NOT NULL,
    end_shmem_bytes    INTEGER NOT NULL,
    end_swap_bytes     INTEGER NOT NULL,
    peak_bytes         INTEGER NOT NULL,   -- highest RSS inside it that is known
    peak_at_most_bytes INTEGER             -- what it was at most; NULL when peak_bytes is exact
);

-- Time that tasks of the whole machine waited for memory (PSI), since the start of the recording:
-- about one row a second, none where the kernel has no PSI.
CREATE TABLE pressure (
    at_us   INTEGER NOT NULL,
    some_us INTEGER NOT NULL,   -- at least one task waited
    full_us INTEGER NOT NULL    -- all tasks that were not idle waited at once
);

-- Something that happened.
CREATE TABLE event (
    at_us INTEGER NOT NULL,
    kind  TEXT    NOT NULL,   -- started | process_started | process_ended | interrupted | ended
    text  TEXT    NOT NULL
);

-- Something that was not read, and why.
CREATE TABLE gap (
    at_us  INTEGER NOT NULL,
    what   TEXT    NOT NULL,
    reason TEXT    NOT NULL,  -- denied | vanished | unsupported | malformed | changed | bounded |
                              -- absent (not in version 1)
    detail TEXT    NOT NULL
);
