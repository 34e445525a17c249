-- Every question that does not depend on what a user typed; the comment before each gives its name.

-- name: put
INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    state = excluded.state, queue = excluded.queue, name = excluded.name, priority = excluded.priority,
    command = excluded.command, tags = excluded.tags, batch = excluded.batch, unique_key = excluded.unique_key,
    run_at = excluded.run_at, created_at = excluded.created_at, updated_at = excluded.updated_at,
    started_at = excluded.started_at, finished_at = excluded.finished_at, attempts = excluded.attempts,
    failures = excluded.failures, max_retries = excluded.max_retries, exit_code = excluded.exit_code,
    outcome = excluded.outcome, last_error = excluded.last_error, dead_reason = excluded.dead_reason,
    worker = excluded.worker, cpu_s = excluded.cpu_s, max_rss_bytes = excluded.max_rss_bytes,
    fingerprint = excluded.fingerprint, ready_at = excluded.ready_at, wait_s = excluded.wait_s, run_s = excluded.run_s,
    ready = excluded.ready, lane = excluded.lane, after = excluded.after, after_policy = excluded.after_policy,
    inode = excluded.inode, size = excluded.size, ctime_ns = excluded.ctime_ns;

-- name: count_earlier
INSERT INTO earlier VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: remove
DELETE FROM jobs WHERE id = ?;

-- name: get
SELECT * FROM jobs WHERE id = ?;

-- name: has_work
SELECT 1 FROM jobs WHERE ready = 1 UNION ALL SELECT 1 FROM jobs WHERE state = 'failed' LIMIT 1;

-- name: has_unfinished
SELECT 1 FROM jobs INDEXED BY jobs_batch WHERE batch = ? AND state IN ('pending', 'held', 'failed', 'processing') LIMIT 1;

-- name: batches
SELECT batch, state, count(*) FROM jobs INDEXED BY jobs_batch WHERE batch IS NOT NULL GROUP BY batch, state;

-- name: unfinished_batches
WITH RECURSIVE names(name) AS (
    SELECT min(batch) FROM jobs WHERE batch IS NOT NULL
    UNION ALL
    SELECT (SELECT min(batch) FROM jobs WHERE batch > names.name) FROM names WHERE names.name IS NOT NULL)
SELECT name FROM names WHERE name IS NOT NULL AND EXISTS (
    SELECT 1 FROM jobs WHERE batch = names.name AND state IN ('pending', 'held', 'failed', 'processing')) LIMIT ?;

-- name: demanding_lanes
SELECT lane, count(*), min(id) FROM jobs WHERE state IN ('pending', 'held', 'failed') AND lane <> queue GROUP BY lane;

-- name: batch_counts
SELECT state, count(*) FROM jobs INDEXED BY jobs_batch WHERE batch = ? GROUP BY state;

-- name: batch_times
SELECT min(created_at), min(started_at), max(finished_at) FROM jobs WHERE batch = ?;

-- name: ids_of_batch
SELECT id FROM jobs WHERE batch = ? ORDER BY created_at DESC, id DESC;

-- name: told_of
SELECT id, state, batch FROM jobs WHERE id IN (SELECT value FROM json_each(?));

-- name: promote
UPDATE jobs SET ready = 1 WHERE id IN (
    SELECT id FROM jobs INDEXED BY jobs_waits WHERE ready = 0 AND run_at <= ? ORDER BY run_at, priority DESC LIMIT ?);

-- name: due_queue_after
SELECT queue, priority, run_at, id, lane FROM jobs INDEXED BY jobs_due
WHERE ready = 1 AND queue > ? ORDER BY queue, priority DESC, run_at, id LIMIT 1;

-- name: due
SELECT queue, priority, run_at, id, lane FROM jobs INDEXED BY jobs_due
WHERE ready = 1 AND queue = ? AND lane NOT IN (SELECT value FROM json_each(?)) ORDER BY priority DESC, run_at, id;

-- name: due_in_lane
SELECT queue, priority, run_at, id, lane FROM jobs INDEXED BY jobs_lanes
WHERE ready = 1 AND lane <> queue AND lane = ? ORDER BY priority DESC, run_at, id;

-- name: due_in_queue
SELECT queue, priority, run_at, id, lane FROM jobs INDEXED BY jobs_due
WHERE ready = 1 AND queue = ? AND lane = queue ORDER BY priority DESC, run_at, id;

-- name: soon
SELECT queue, priority, run_at, id, lane FROM jobs INDEXED BY jobs_waits
WHERE ready = 0 ORDER BY run_at, priority DESC, id LIMIT ?;

-- Dependencies.

-- name: has_dependents
SELECT 1 FROM dependencies LIMIT 1;

-- name: has_undecided
SELECT 1 FROM undecided LIMIT 1;

-- name: undecided
SELECT u.child, j.state, j.dead_reason, j.after_policy, coalesce(j.ready, 2) < 2,
    EXISTS (SELECT 1 FROM dependencies WHERE child = u.child AND state = 'missing'),
    EXISTS (SELECT 1 FROM dependencies WHERE child = u.child AND state = 'waiting'),
    EXISTS (SELECT 1 FROM dependencies WHERE child = u.child AND state = 'completed'),
    EXISTS (SELECT 1 FROM dependencies WHERE child = u.child AND state = 'failed')
FROM (SELECT child FROM undecided WHERE child NOT IN (SELECT value FROM json_each(?)) LIMIT ?) u LEFT JOIN jobs j ON j.id = u.child AND j.after IS NOT NULL;

-- name: is_in_cycle
WITH RECURSIVE up (id) AS (
    SELECT parent FROM dependencies WHERE child = ? AND state = 'waiting'
    UNION SELECT d.parent FROM up JOIN dependencies d ON d.child = up.id AND d.state = 'waiting' LIMIT ?)
SELECT 1 FROM up WHERE id = ?;

-- name: decided
DELETE FROM undecided WHERE child = ?;

-- name: ask_about_missing
INSERT OR IGNORE INTO undecided SELECT child FROM dependencies INDEXED BY dependencies_missing WHERE state = 'missing';

-- name: may_start
UPDATE jobs SET ready = iif(ready = 2 OR run_at <= ?, 1, 0), ready_at = max(ready_at, coalesce(
    (SELECT max(p.finished_at) FROM dependencies d JOIN jobs p ON p.id = d.parent WHERE d.child = jobs.id), ready_at))
WHERE id = ? AND ready >= 2;

-- name: must_wait
UPDATE jobs SET ready = iif(ready = 1, 2, 3) WHERE id = ? AND ready < 2;

-- name: starts_since
SELECT id, attempts, started_at FROM jobs INDEXED BY jobs_by_state
WHERE state IN ('pending', 'held', 'failed', 'processing', 'completed', 'cancelled', 'dead') AND updated_at >= ? AND queue = ?
    AND started_at >= ? AND started_at < ? ORDER BY started_at DESC LIMIT ?;

-- name: children
SELECT child FROM dependencies WHERE parent = ? ORDER BY child LIMIT ?;

-- name: children_count
SELECT count(*) FROM dependencies WHERE parent = ?;

-- name: waiting_children
SELECT child FROM dependencies JOIN jobs ON jobs.id = child
WHERE parent = ? AND jobs.state IN ('pending', 'held') ORDER BY child LIMIT ?;

-- name: scheduled
SELECT count(*), min(run_at) FROM jobs INDEXED BY jobs_waits WHERE ready = 0 AND run_at > ?;

-- A job whose parents have ended, about which the supervisor has not decided yet, does not wait for them.

-- name: awaiting_parents
SELECT (SELECT count(*) FROM jobs INDEXED BY jobs_awaiting WHERE ready >= 2) - (
    SELECT count(*) FROM undecided u JOIN jobs j ON j.id = u.child
    WHERE j.ready >= 2 AND NOT EXISTS (SELECT 1 FROM dependencies WHERE child = u.child AND state = 'waiting'));

-- name: unique_holder
SELECT id FROM jobs INDEXED BY jobs_unique
WHERE unique_key = ? AND state IN ('pending', 'held', 'failed', 'processing') ORDER BY created_at, id LIMIT 1;

-- name: meta
SELECT value FROM meta WHERE key = ?;

-- name: set_meta
INSERT OR REPLACE INTO meta VALUES (?, ?);

-- name: drop_meta
DELETE FROM meta WHERE key = ?;

-- name: drop_empty_counts
DELETE FROM counts WHERE n = 0;

-- name: counts
SELECT state, sum(n) FROM counts GROUP BY state;

-- name: counts_by_queue
SELECT queue, state, n FROM counts WHERE n > 0 ORDER BY queue;

-- name: queue_counts
SELECT state, n FROM counts WHERE queue = ?;

-- Comparing with the spool: what is known about the files of a directory.

-- The text must agree with rows.witness.

-- name: witnesses_of_few
SELECT id, inode || ' ' || size || ' ' || ctime_ns FROM jobs INDEXED BY jobs_by_state WHERE state IN (?, ?, ?);

-- name: witnesses
SELECT id, inode || ' ' || size || ' ' || ctime_ns FROM jobs WHERE id > ? AND id <= ? AND +state IN (?, ?, ?);

-- name: inodes_of_few
SELECT id, inode FROM jobs INDEXED BY jobs_by_state WHERE state IN (?, ?, ?);

-- name: inodes
SELECT id, inode FROM jobs WHERE id > ? AND id <= ? AND +state IN (?, ?, ?);

-- name: window_end
SELECT id FROM jobs WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?;

-- name: not_changed_since
SELECT updated_at, id FROM jobs INDEXED BY jobs_by_state
WHERE state = ? AND updated_at >= ? AND updated_at < ? AND (updated_at > ? OR id < ?)
ORDER BY updated_at, id DESC LIMIT ?;

-- name: rows_after
SELECT * FROM jobs WHERE id > ? ORDER BY id LIMIT ?;

-- Naming jobs.

-- name: ids_between
SELECT id, state FROM jobs WHERE id >= ? AND id < ? ORDER BY id LIMIT ?;

-- name: ids_before
SELECT id, state FROM jobs WHERE id < ? ORDER BY id DESC LIMIT ?;

-- name: has_batch
SELECT 1 FROM jobs INDEXED BY jobs_batch WHERE batch = ? LIMIT 1;

-- name: has_tag
SELECT 1 FROM jobs, json_each(tags) WHERE tags IS NOT NULL AND value = ? LIMIT 1;

-- name: names_of_batch
WITH RECURSIVE found(name) AS (
    SELECT min(batch) FROM jobs INDEXED BY jobs_batch WHERE batch IS NOT NULL
    UNION ALL
    SELECT (SELECT min(batch) FROM jobs INDEXED BY jobs_batch WHERE batch > name) FROM found WHERE name IS NOT NULL
) SELECT name FROM found WHERE name IS NOT NULL LIMIT ?;

-- name: names_of_tag
SELECT DISTINCT value FROM jobs, json_each(tags) WHERE tags IS NOT NULL LIMIT ?;

-- Statistics.

-- name: due_priority_below
SELECT priority FROM jobs INDEXED BY jobs_due
WHERE ready = 1 AND queue = ? AND priority < ? ORDER BY priority DESC LIMIT 1;

-- name: ready_since
SELECT run_at, ready_at FROM jobs INDEXED BY jobs_due WHERE ready = 1 AND queue = ? AND priority = ? ORDER BY run_at;

-- name: overdue
SELECT queue, ready_at FROM jobs INDEXED BY jobs_waits WHERE ready = 0 AND run_at <= ? ORDER BY run_at LIMIT 1;

-- Failures by what they have in common.

-- name: failure_groups
SELECT fingerprint, sum(n), min(first_at), max(last_at) FROM (
    SELECT fingerprint, count(*) AS n, min(updated_at) AS first_at, max(updated_at) AS last_at
    FROM jobs INDEXED BY jobs_failures
    WHERE fingerprint IS NOT NULL AND state IN (?, ?) AND updated_at >= ? GROUP BY state, fingerprint
) GROUP BY fingerprint ORDER BY 2 DESC, 4 DESC LIMIT ?;

-- name: count_failure_groups
SELECT count(DISTINCT fingerprint) FROM jobs INDEXED BY jobs_failures
WHERE fingerprint IS NOT NULL AND state IN (?, ?) AND updated_at >= ?;

-- name: newest_failure
SELECT * FROM jobs INDEXED BY jobs_failures
WHERE fingerprint = ? AND fingerprint IS NOT NULL AND state = ? ORDER BY updated_at DESC, id LIMIT 1;

-- What happened when.

-- name: first_minute
SELECT min(minute) FROM minutes;

-- name: minutes
SELECT (minute - ?) / ?, what, bucket, sum(n), sum(total_s) FROM minutes WHERE minute >= ? GROUP BY 1, 2, 3;

-- name: minutes_of_queue
SELECT (minute - ?) / ?, what, bucket, sum(n), sum(total_s) FROM minutes WHERE minute >= ? AND queue = ? GROUP BY 1, 2, 3;

-- name: minutes_by_queue
SELECT queue, what, bucket, sum(n), sum(total_s) FROM minutes WHERE minute >= ? GROUP BY 1, 2, 3;

-- name: totals
SELECT what, bucket, sum(n), sum(total_s) FROM minutes GROUP BY 1, 2;

-- name: join_hours
INSERT INTO minutes SELECT minute / 60 * 60, queue, what, bucket, sum(n), sum(total_s) FROM minutes
WHERE minute > 0 AND minute < ? AND minute % 60 <> 0 GROUP BY 1, 2, 3, 4
ON CONFLICT DO UPDATE SET n = n + excluded.n, total_s = total_s + excluded.total_s;

-- name: drop_minutes
DELETE FROM minutes WHERE minute > 0 AND minute < ? AND minute % 60 <> 0;

-- name: join_past
INSERT INTO minutes SELECT 0, queue, what, bucket, sum(n), sum(total_s) FROM minutes
WHERE minute > 0 AND minute < ? GROUP BY 2, 3, 4
ON CONFLICT DO UPDATE SET n = n + excluded.n, total_s = total_s + excluded.total_s;

-- name: drop_past
DELETE FROM minutes WHERE minute > 0 AND minute < ?;
