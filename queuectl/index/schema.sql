-- The index: one row a job, derived from the spool; deleting the file at any time loses nothing.
--
-- The checksum of this text is the schema's version (PRAGMA user_version). A file with any other version is thrown away
-- and built anew, so there are no migrations. Meaning of the rows: 5 (count this up when rows.py fills a column
-- otherwise than before).

CREATE TABLE jobs (
    id            TEXT PRIMARY KEY NOT NULL, -- as the file is called
    state         TEXT NOT NULL,    -- one of job.STATES; tells the directory too
    queue         TEXT NOT NULL,    -- the lane it waits in
    name          TEXT,             -- the author's label
    priority      INTEGER NOT NULL, -- higher runs first
    command       TEXT NOT NULL,    -- as a person would type it, cut to rows.COMMAND_CHARS
    tags          TEXT,             -- JSON list of strings; NULL without any
    batch         TEXT,             -- the author's group
    unique_key    TEXT,             -- no second job with it may wait or run
    run_at        REAL NOT NULL,    -- not to be started before; instants are seconds since 1970
    created_at    REAL NOT NULL,    -- when it was put in
    updated_at    REAL NOT NULL,    -- last event, else created_at
    started_at    REAL,             -- newest attempt
    finished_at   REAL,             -- end of the newest attempt, or of the job
    attempts      INTEGER NOT NULL, -- how often it was started, ever
    failures      INTEGER NOT NULL, -- failed attempts since the last revival
    max_retries   INTEGER,          -- NULL: what the configuration says
    exit_code     INTEGER,          -- of the newest attempt
    outcome       TEXT,             -- exited, signal, timed_out, output_limit, memory_limit, cpu_limit, failed_to_start
    last_error    TEXT,             -- cut to rows.ERROR_CHARS
    dead_reason   TEXT,             -- why it is in dead/
    worker        TEXT,             -- who runs it or ran it last
    cpu_s         REAL,             -- processor seconds of the newest attempt
    max_rss_bytes INTEGER,          -- its peak memory
    fingerprint   TEXT,             -- of a failed or dead job: what its error has in common with others'
    ready_at      REAL NOT NULL,    -- since when it may start, or will be allowed to, or might before it started
    wait_s        REAL,             -- from then until the start of the newest attempt
    run_s         REAL,             -- for how long that ran; NULL unless the state says how it ended
    ready         INTEGER,          -- NULL: not waiting, or held; 0: waits for run_at; 1: may start; 2, 3: its parents may not have ended, then it becomes 1 or 0
    lane          TEXT NOT NULL,    -- what it takes while it runs: scheduling.limits
    after         TEXT,             -- JSON list of the jobs that it waits for; NULL once it was started, or ended otherwise
    after_policy  TEXT,             -- how they have to end; NULL where `after` is
    inode         INTEGER,          -- the file when this row was read; NULL: a report that did not say (then the next
    size          INTEGER,          --   comparison reads the file again); in bytes
    ctime_ns      INTEGER           -- likewise; it changes with every growth and every move
);

-- What may start, in the order in which it starts, queue by queue so that a paused queue costs nothing; ready_at is
-- there so that the one that waits longest is found without a row.
CREATE INDEX jobs_due ON jobs (queue, priority DESC, run_at, id, ready_at, lane) WHERE ready = 1;

-- The same lane by lane, so that a blocked lane costs nothing.
CREATE INDEX jobs_lanes ON jobs (lane, priority DESC, run_at, id) WHERE ready = 1 AND lane <> queue;

-- What waits for its parents.
CREATE INDEX jobs_awaiting ON jobs (ready) WHERE ready >= 2;

-- What waits for its time, soonest first.
CREATE INDEX jobs_waits ON jobs (run_at, priority DESC, id, lane) WHERE ready = 0;

-- Lists, newest change first; `queue` is there so that filtering by it needs no row.
CREATE INDEX jobs_by_state ON jobs (state, updated_at DESC, id, queue);

-- Who holds a unique_key.
CREATE INDEX jobs_unique ON jobs (unique_key)
    WHERE unique_key IS NOT NULL AND state IN ('pending', 'held', 'failed', 'processing');

-- The jobs of a batch, and how far it is.
CREATE INDEX jobs_batch ON jobs (batch, state) WHERE batch IS NOT NULL;

-- Failures by what they have in common, newest first.
CREATE INDEX jobs_failures ON jobs (state, fingerprint, updated_at DESC, id) WHERE fingerprint IS NOT NULL;

-- How many jobs there are, kept by the triggers below: `status` costs the same at a million jobs.
CREATE TABLE counts (
    queue TEXT NOT NULL,
    state TEXT NOT NULL,
    n     INTEGER NOT NULL, -- may be 0 for what was there once
    PRIMARY KEY (queue, state)
) WITHOUT ROWID;

CREATE TRIGGER jobs_count_new AFTER INSERT ON jobs BEGIN
    INSERT INTO counts VALUES (new.queue, new.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER jobs_count_changed AFTER UPDATE OF queue, state ON jobs
WHEN old.state <> new.state OR old.queue <> new.queue BEGIN
    UPDATE counts SET n = n - 1 WHERE queue = old.queue AND state = old.state;
    INSERT INTO counts VALUES (new.queue, new.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER jobs_count_gone AFTER DELETE ON jobs BEGIN
    UPDATE counts SET n = n - 1 WHERE queue = old.queue AND state = old.state;
END;

-- Which job waits for which, kept by the triggers below.
CREATE TABLE dependencies (
    child  TEXT NOT NULL,
    parent TEXT NOT NULL,
    state  TEXT NOT NULL, -- of the parent: missing, waiting (it has not ended), completed or failed (dead or cancelled)
    PRIMARY KEY (child, parent)
) WITHOUT ROWID;
CREATE INDEX dependencies_by_parent ON dependencies (parent, child);
CREATE INDEX dependencies_by_state ON dependencies (child, state);
CREATE INDEX dependencies_missing ON dependencies (child) WHERE state = 'missing';

-- Jobs with parents about which something has changed; the supervisor decides about them and removes them here.
CREATE TABLE undecided (child TEXT PRIMARY KEY NOT NULL) WITHOUT ROWID;

CREATE TRIGGER dependencies_new AFTER INSERT ON jobs WHEN new.after IS NOT NULL BEGIN
    INSERT INTO dependencies SELECT new.id, value, CASE
        (SELECT state FROM jobs WHERE id = value)
        WHEN 'completed' THEN 'completed' WHEN 'dead' THEN 'failed' WHEN 'cancelled' THEN 'failed'
        ELSE iif(EXISTS (SELECT 1 FROM jobs WHERE id = value), 'waiting', 'missing') END
    FROM json_each(new.after) WHERE true ON CONFLICT DO NOTHING;
    INSERT INTO undecided VALUES (new.id) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER dependencies_changed AFTER UPDATE OF after, after_policy, ready ON jobs
WHEN new.after IS NOT old.after OR new.after_policy IS NOT old.after_policy OR (new.ready >= 2 AND old.ready IS NOT new.ready)
    OR (new.after IS NOT NULL AND new.state = 'dead' AND old.state <> 'dead') BEGIN -- a parent may have been revived meanwhile
    DELETE FROM dependencies WHERE child = new.id AND new.after IS NOT old.after;
    INSERT INTO dependencies SELECT new.id, value, CASE
        (SELECT state FROM jobs WHERE id = value)
        WHEN 'completed' THEN 'completed' WHEN 'dead' THEN 'failed' WHEN 'cancelled' THEN 'failed'
        ELSE iif(EXISTS (SELECT 1 FROM jobs WHERE id = value), 'waiting', 'missing') END
    FROM json_each(coalesce(new.after, '[]')) WHERE true ON CONFLICT DO NOTHING;
    INSERT INTO undecided VALUES (new.id) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER dependencies_gone AFTER DELETE ON jobs BEGIN
    DELETE FROM dependencies WHERE child = old.id AND old.after IS NOT NULL;
    INSERT INTO undecided SELECT child FROM dependencies WHERE parent = old.id ON CONFLICT DO NOTHING;
    UPDATE dependencies SET state = 'missing' WHERE parent = old.id;
END;

CREATE TRIGGER parent_new AFTER INSERT ON jobs BEGIN
    INSERT INTO undecided SELECT child FROM dependencies WHERE parent = new.id ON CONFLICT DO NOTHING;
    UPDATE dependencies SET state = CASE new.state
        WHEN 'completed' THEN 'completed' WHEN 'dead' THEN 'failed' WHEN 'cancelled' THEN 'failed' ELSE 'waiting' END
    WHERE parent = new.id;
END;

CREATE TRIGGER parent_changed AFTER UPDATE OF state ON jobs
WHEN new.state <> old.state AND (new.state IN ('completed', 'dead', 'cancelled') OR old.state IN ('completed', 'dead', 'cancelled'))
BEGIN
    INSERT INTO undecided SELECT child FROM dependencies WHERE parent = new.id ON CONFLICT DO NOTHING;
    UPDATE dependencies SET state = CASE new.state
        WHEN 'completed' THEN 'completed' WHEN 'dead' THEN 'failed' WHEN 'cancelled' THEN 'failed' ELSE 'waiting' END
    WHERE parent = new.id;
END;

-- What happened in each minute, for charts and counters. The triggers below see what changes in a row, so a row that is
-- put again unchanged counts for nothing; what was counted stays when the job is deleted. A new index counts what the
-- histories of the jobs that are still there say.
CREATE TABLE minutes (
    minute  INTEGER NOT NULL, -- since 1970; the first of its hour once that is long ago, 0 once it is very long ago
    queue   TEXT NOT NULL,
    what    TEXT NOT NULL,    -- enqueued, wait (counted at a start), or the state in which an attempt or a job ended;
                              --   rerun_ and a state: a job that ended so then, and was retried since
    bucket  INTEGER NOT NULL, -- the first of minutes.BOUNDS that the duration does not exceed; -1: it has none
    n       INTEGER NOT NULL,
    total_s REAL NOT NULL,    -- the durations together
    PRIMARY KEY (minute, queue, what, bucket)
) WITHOUT ROWID;

CREATE VIEW measured AS SELECT 0.0 AS at, '' AS queue, '' AS what, 0.0 AS s;

-- The numbers must agree with minutes.BOUNDS.
CREATE TRIGGER measured_count INSTEAD OF INSERT ON measured BEGIN
    INSERT INTO minutes VALUES (
        max(1, CAST(new.at / 60 AS INTEGER)), new.queue, new.what,
        CASE
            WHEN new.s IS NULL OR new.s < 0 THEN -1
            WHEN new.s <= 0.01 THEN 0
            WHEN new.s <= 0.025 THEN 1
            WHEN new.s <= 0.05 THEN 2
            WHEN new.s <= 0.1 THEN 3
            WHEN new.s <= 0.25 THEN 4
            WHEN new.s <= 0.5 THEN 5
            WHEN new.s <= 1 THEN 6
            WHEN new.s <= 2.5 THEN 7
            WHEN new.s <= 5 THEN 8
            WHEN new.s <= 10 THEN 9
            WHEN new.s <= 30 THEN 10
            WHEN new.s <= 60 THEN 11
            WHEN new.s <= 300 THEN 12
            WHEN new.s <= 900 THEN 13
            WHEN new.s <= 3600 THEN 14
            WHEN new.s <= 14400 THEN 15
            ELSE 16
        END,
        1, max(0, coalesce(new.s, 0))
    ) ON CONFLICT DO UPDATE SET n = n + 1, total_s = total_s + excluded.total_s;
END;

CREATE TRIGGER jobs_enqueued AFTER INSERT ON jobs BEGIN
    INSERT INTO minutes VALUES (max(1, CAST(new.created_at / 60 AS INTEGER)), new.queue, 'enqueued', -1, 1, 0.0)
    ON CONFLICT DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER jobs_started_new AFTER INSERT ON jobs WHEN new.started_at IS NOT NULL BEGIN
    INSERT INTO measured VALUES (new.started_at, new.queue, 'wait', new.wait_s);
END;

CREATE TRIGGER jobs_started AFTER UPDATE OF started_at ON jobs
WHEN new.started_at IS NOT NULL AND new.started_at IS NOT old.started_at BEGIN
    INSERT INTO measured VALUES (new.started_at, new.queue, 'wait', new.wait_s);
END;

CREATE TRIGGER jobs_ended_new AFTER INSERT ON jobs
WHEN new.finished_at IS NOT NULL AND new.state IN ('completed', 'failed', 'dead', 'cancelled') BEGIN
    INSERT INTO measured VALUES (new.finished_at, new.queue, new.state, new.run_s);
END;

-- A file that has its verdict and has not been moved yet reads as processing, with the time of its end already.
CREATE TRIGGER jobs_ended AFTER UPDATE OF finished_at, state ON jobs
WHEN new.finished_at IS NOT NULL AND (new.finished_at IS NOT old.finished_at OR old.state = 'processing')
    AND new.state IN ('completed', 'failed', 'dead', 'cancelled') BEGIN
    INSERT INTO measured VALUES (new.finished_at, new.queue, new.state, new.run_s);
END;

-- A job counts once, as it ended last: its earlier end is taken back in the minute in which it was counted.
CREATE TRIGGER jobs_rerun AFTER UPDATE OF finished_at ON jobs
WHEN old.state IN ('completed', 'dead', 'cancelled') AND old.finished_at IS NOT NULL
    AND new.finished_at IS NOT old.finished_at BEGIN
    INSERT INTO measured VALUES (old.finished_at, old.queue, 'rerun_' || old.state, NULL);
END;

-- What a row does not show of attempts (rows.earlier_of); put before the row. Counted is what the row before it has
-- not counted, when a job was retried faster than the index was written, or in a new index.
CREATE VIEW earlier AS SELECT
    '' AS id, '' AS queue, 0 AS attempt, 0.0 AS started_at, 0.0 AS wait_s, '' AS what, 0.0 AS ended_at, 0.0 AS run_s;

CREATE TRIGGER earlier_started INSTEAD OF INSERT ON earlier
WHEN new.started_at IS NOT NULL AND new.attempt > coalesce((SELECT attempts FROM jobs WHERE id = new.id), 0) BEGIN
    INSERT INTO measured VALUES (new.started_at, new.queue, 'wait', new.wait_s);
END;

CREATE TRIGGER earlier_ended INSTEAD OF INSERT ON earlier
WHEN new.what IS NOT NULL AND new.attempt > coalesce(
    (SELECT CASE state WHEN 'processing' THEN attempts - 1 ELSE attempts END FROM jobs WHERE id = new.id), 0) BEGIN
    INSERT INTO measured VALUES (new.ended_at, new.queue, new.what, new.run_s);
    INSERT INTO measured SELECT new.ended_at, new.queue, 'rerun_' || new.what, NULL WHERE new.what <> 'failed';
END;

-- What the index knows about itself.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY NOT NULL, -- seal: see clean_shutdown.py
    value TEXT NOT NULL
) WITHOUT ROWID;
