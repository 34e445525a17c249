"""routes: the table of all requests that the server answers.

Owns:       OPERATIONS. openapi.json and docs/reference/api.md are made from it; requests are checked by it.
Guarantees: what is not in the table does not exist: no other path, parameter or member of a body is accepted.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from queuectl.index.query import ORDERS
from queuectl.job.job import STATES
from queuectl.web import (
    bulk,
    bulk_tasks,
    configuration,
    enqueue,
    export,
    job_actions,
    jobs,
    legacy_api,
    output,
    queue_status,
    queues,
    schedules,
    session,
    static_files,
    workers,
)
from queuectl.web.openapi import document_of
from queuectl.web.operation import (
    CHANGES,
    FLAG,
    ID,
    JOB,
    TEXT,
    Answer,
    Field,
    Operation,
    checked,
    choice,
    integer,
    list_of,
    matching,
    members,
    one_or_many,
)
from queuectl.web.response import LINES, Problem, Response, encode
from queuectl.web.response import TEXT as TEXT_TYPE

if TYPE_CHECKING:
    from queuectl.web.app import Request


def openapi(_request: Request) -> Response:
    """Return the document of the API."""
    return Response(200, document())


@lru_cache(maxsize=1)
def document() -> bytes:
    """Return openapi.json."""
    return encode(document_of(OPERATIONS))


def find(method: str, path: str) -> tuple[Operation, dict[str, str]]:
    """Return the operation that a request means, with the parameters in its path.

    Raises:
        Problem: there is none.
    """
    found = [(operation, places) for operation in _BY_PLACES if (places := operation.places(path)) is not None]
    if not found:
        raise Problem(404, "there is nothing at this address", "the API is described at /api/v1/openapi.json")
    for operation, places in found:
        if operation.method == ("GET" if method == "HEAD" else method):
            return operation, places
    allowed = [operation.method for operation, _ in found]
    allow = ", ".join([*allowed, "HEAD"] if "GET" in allowed else allowed)
    raise Problem(405, f"{method} is not allowed for this address", f"allowed: {allow}", headers={"Allow": allow})


# --- parameters and members that several operations have

PAUSE = members(
    Field("for", TEXT, "how long: 1h; default: until it is resumed"),
    Field("until", TEXT, "until when: RFC 3339, or a form of the command line (tomorrow 08:00)"),
    Field("running", FLAG, "also stop what runs (SIGSTOP), and continue it when the pause ends"),
)
QUEUE = Field("name", ID, "the queue's name")
BATCH = Field("name", ID, "the batch's name")
SCHEDULE = Field("name", ID, "the schedule's name")
JOB_ID = Field("id", ID, "the job's id")
KEY = Field(
    "key",
    matching("^[A-Za-z0-9_.@-]{1,200}$", "a name of letters, digits, '_', '-', '@' and '.'"),
    "the setting's name; resources.NAME, queues.NAME, queues.NAME.concurrency and queues.NAME.rate are members",
)
FINGERPRINT = matching("^[0-9a-f]{8}$", "8 hexadecimal digits")
ALL_OR = Field("limit", integer(1), "maximum number of jobs; default all. The header X-QueueCTL-Total has the total")
ONE_QUEUE = Field("queue", TEXT, "only jobs of this queue")
SORTS = tuple(f"{sign}{order}" for order in ORDERS for sign in ("", "-"))
FILTERS = (
    Field("state", TEXT, "a comma list of states; default: all"),
    ONE_QUEUE,
    Field("tag", TEXT, "only jobs with this tag"),
    Field("batch", TEXT, "only jobs of this batch"),
    Field("q", TEXT, "only jobs that contain these words in name, tags, command or last error, or this part of the id"),
    Field("error", FINGERPRINT, "only jobs whose last error has this fingerprint"),
    Field(
        "since",
        TEXT,
        "only jobs changed since this time: RFC 3339, a duration ago (2h), or a form of the command line (yesterday)",
    ),
    Field("until", TEXT, "only jobs not changed after this time"),
)
FILTER = members(*(field._replace(kind=TEXT) for field in FILTERS), least=1)
IF_STATE = Field(
    "if_state", list_of(choice(*STATES)), "states that the caller accepts; 409 if the job is in another state"
)
SET = Field("set", CHANGES)
BULK_ACTION = Field(
    "action", choice("retry", "cancel", "delete", "hold", "release", "edit", "signal"), is_required=True
)
SIGNAL = Field("signal", TEXT, "for the action signal: name or number, as HUP, SIGUSR1, 15")
WITH_DEPENDENTS = Field("with_dependents", FLAG, "for a deletion: also delete the jobs that wait for the job")
HEX_16 = matching("^[0-9a-f]{16}$", "16 hexadecimal digits")
SELECTION = Field("selection", HEX_16, "selection from an earlier answer: the counted jobs that are left")
TASK = Field("task", HEX_16, "the id of the task, which is that of its selection")
NON_EMPTY = checked(
    {"type": "string", "minLength": 1, "maxLength": 1000},
    lambda value: None if isinstance(value, str) and 1 <= len(value) <= 1000 else "a text of 1 to 1,000 characters",
)
TOKEN = checked(
    {"type": "string", "minLength": 1, "maxLength": 200},
    lambda value: None if isinstance(value, str) and 1 <= len(value) <= 200 else "a text of 1 to 200 characters",
)
VALUE = Field(
    "value",
    checked(
        {"type": ["string", "number", "array", "object", "null"], "items": {"type": "integer"}},
        lambda value: "a string, a number, a list, an object or null" if isinstance(value, bool) else None,
    ),
    is_required=True,
)
ABOUT_BULK = (
    "First count: `dry_run` with `ids` or `filter` changes nothing, counts exactly and returns a `selection`. "
    "Then act: send the same action with that `selection`. It changes only the counted jobs, at most `limit` in "
    "one request, for about 20 seconds. Repeat the request with the selection until `left` is 0. Instead of a "
    "selection, send `ids`, or a `filter` with `expected`, the exact number of matching jobs. If `left` is then "
    "not 0, continue with the `selection` of the answer, so that newly matching jobs are not included. A selected "
    "job that does not match any more is not changed; it is listed in `unchanged`. A filter without a state "
    "selects the jobs that the action is for: retry selects failed and dead jobs, cancel selects jobs that have "
    "not ended. A retry runs completed or cancelled jobs again only if the filter names that state, or if they "
    "are named by id. Selections are kept in memory for half an hour after their last use. Afterwards, and after "
    "a restart of the server, the answer is 410."
)
ABOUT_TASKS = (
    "First count with `dry_run`, as for a bulk action. The task changes only the counted jobs, each in the state in which "
    "it was counted: a job that does not match any more is not changed, and a deletion leaves a job that has started since. "
    "It goes on when the client is gone. It can be stopped; a job is then changed as a whole or not at all. If the server "
    "ends, the task ends with it: the jobs that it has not reached are not changed, and the answer is 410 after a restart. "
    "Results are kept for an hour. At most 8 tasks at a time; 503 for more."
)
ETAG = (("ETag", "string", "send it back as If-None-Match"),)


def json(schema: str, description: str = "OK", *, status: int = 200) -> dict[int, Answer]:
    """JSON; `schema` is a name in answers.json."""
    return {status: Answer(schema, description)}


def conditional(schema: str) -> dict[int, Answer]:
    """JSON with an ETag; 304 if the client has it."""
    return {200: Answer(schema, headers=ETAG)}


def text(description: str, *kinds: str) -> dict[int, Answer]:
    """An answer that is not JSON."""
    return {200: Answer("", description, kinds or (TEXT_TYPE,))}


# --- the table

# fmt: off
OPERATIONS = (
    Operation("page", "GET", "/", static_files.page, "The page",
        answers=text("The page; it holds no data", "text/html"), problems=(404,), is_open=True),
    Operation("asset", "GET", "/{file}", static_files.asset, "A file of the page",
        fields=(Field("file", choice(*static_files.ASSETS), "name of a file of the page"),),
        answers=text("A static file", "text/css", "text/javascript", "image/svg+xml"), is_open=True),
    Operation("livez", "GET", "/livez", queue_status.livez, "Check that the web process answers", answers=json("Alive"), is_open=True),
    Operation("healthz", "GET", "/healthz", queue_status.healthz, "Health of the queue, with every check",
        answers={**json("Health", "pass or warn"), **json("Health", "fail", status=503)}),
    Operation("metrics", "GET", "/metrics", queue_status.metrics, "Metrics for Prometheus", answers=text("Prometheus text format 0.0.4")),
    Operation("openapi", "GET", "/api/v1/openapi.json", openapi, "This document", answers=json("AnyObject")),
    Operation("session", "GET", "/api/v1/session", session.session, "Check the cookie or token", answers=json("Session")),
    Operation("login", "POST", "/api/v1/session", session.login, "Sign in with the token; sets a cookie",
        body=members(Field("token", TOKEN, is_required=True)),
        answers=json("SignedIn", "Sets the HttpOnly, SameSite=Strict cookie"), problems=(401, 429), is_open=True),
    Operation("logout", "DELETE", "/api/v1/session", session.logout, "Sign out; deletes the cookie",
        answers=json("SignedOut"), is_open=True),
    Operation("snapshot", "GET", "/api/v1/snapshot", queue_status.snapshot, "All data for a refresh of the page",
        answers=conditional("Snapshot")),

    # --- jobs
    Operation("list_jobs", "GET", "/api/v1/jobs", jobs.list_jobs, "List jobs, in pages",
        fields=(*FILTERS, Field("sort", choice(*SORTS), "default: updated, the last changed first"),
            Field("limit", integer(1, 500), "default 50"), Field("cursor", TEXT, "cursor from the page before"),
            Field("ids", TEXT, "a comma list of up to 500 ids, without another parameter: these jobs, as far as they exist")),
        answers=conditional("JobPage")),
    Operation("export_jobs", "GET", "/api/v1/export", export.export, "All jobs of a list, as a file",
        fields=(*FILTERS, Field("sort", choice(*SORTS), "default: updated, the last changed first"),
            Field("format", choice("csv", "json", "jsonl"), "csv: a header line and a line a job; jsonl: an object a line; json, the default: an array")),
        answers={200: Answer("Rows", "The members of a job of the list. In csv, a text that a spreadsheet would take for a formula begins with '.",
            ("text/csv; charset=utf-8", "application/json", "application/x-ndjson"), (("Content-Disposition", "string", "attachment"),))}),
    Operation("enqueue", "POST", "/api/v1/jobs", enqueue.enqueue, "Enqueue one job (an object) or up to 1,000 (an array)",
        fields=(Field("dry_run", FLAG, "only check the job; returns what would be stored, and the equivalent command"),),
        body=one_or_many(JOB, 1000),
        answers={
            **json("Checked", "dry_run: the job is valid"),
            201: Answer("Enqueued", "The jobs are durable. Of an array, some can be refused; 422 if none was accepted",
                headers=(("Location", "string", "of the job, if there is one"),)),
        }, problems=(409,)),
    Operation("job", "GET", "/api/v1/jobs/{id}", jobs.show, "All details of a job", fields=(JOB_ID,), answers=conditional("Detail"), problems=(422,)),
    Operation("delete_job", "DELETE", "/api/v1/jobs/{id}", job_actions.act("delete"),
        "Delete a job and its output; a running job is cancelled first", fields=(JOB_ID, WITH_DEPENDENTS), answers=json("Action"), problems=(409,)),
    Operation("output", "GET", "/api/v1/jobs/{id}/output", output.output, "Output of an attempt",
        fields=(JOB_ID, Field("attempt", integer(1, 1000000), "default: the newest"),
            Field("lines", integer(0, 5000), "start with the last N lines, but not before `from`"),
            Field("from", integer(0, 1 << 53), "start at this byte; default 0"),
            Field("line", integer(1, 1 << 53), "start at this line, counted from 1"),
            Field("end_line", integer(1, 1 << 53), "with `line`: end before this line; of more than 256 KiB, the last are answered"),
            Field("numbered", FLAG, "answer with the header X-QueueCTL-Line"),
            Field("limit", integer(1, output.MOST_BYTES), f"maximum number of bytes; default {output.MOST_BYTES}"),
            Field("follow", FLAG, "continue until the attempt has ended"),
            Field("download", FLAG, "the whole file, as an attachment")),
        answers={200: Answer("",
            "Bytes, at most 256 KiB unless follow or download is set. With follow, a chunked stream that ends with the attempt. The bytes "
            "are unchanged output of the command. They can be invalid UTF-8 and contain escape sequences.",
            (TEXT_TYPE, output.BINARY),
            (("X-QueueCTL-Attempt", "integer", "which attempt"),
             ("X-QueueCTL-From", "integer", "offset of the first byte of this answer"),
             ("X-QueueCTL-Size", "integer", "bytes written so far"),
             ("X-QueueCTL-Line", "integer", "with `numbered`: number of the line in which this answer begins"),
             ("X-QueueCTL-Ended", "string", "true when the attempt has ended, so that nothing will be added")))}, problems=(422,)),
    Operation("search_output", "GET", "/api/v1/jobs/{id}/output/search", output.search, "Lines of an attempt's output that contain a text",
        fields=(JOB_ID, Field("q", NON_EMPTY, "the text; upper and lower case are the same", is_required=True),
            Field("attempt", integer(1, 1000000), "default: the newest")),
        answers=json("OutputMatches"), problems=(422,)),
    Operation("cancel_job", "POST", "/api/v1/jobs/{id}/cancel", job_actions.act("cancel"),
        "Cancel a job: a running job is killed, a waiting job never starts. A job that has ended is not changed: `unchanged`",
        fields=(JOB_ID,), body=members(IF_STATE), needs_body=False, answers=json("Action"), problems=(409,)),
    Operation("retry_job", "POST", "/api/v1/jobs/{id}/retry", job_actions.act("retry"),
        "Run a job now: a job that has ended gets all its retries again, a waiting job starts without delay. `set` changes fields first. "
        "An `expires_at` that has passed is removed",
        fields=(JOB_ID,), body=members(SET, IF_STATE), needs_body=False, answers=json("Action"), problems=(409,)),
    Operation("hold_job", "POST", "/api/v1/jobs/{id}/hold", job_actions.act("hold"), "Prevent a waiting job from starting",
        fields=(JOB_ID,), body=members(), needs_body=False, answers=json("Action"), problems=(409,)),
    Operation("release_job", "POST", "/api/v1/jobs/{id}/release", job_actions.act("release"), "Release a held job",
        fields=(JOB_ID,), body=members(), needs_body=False, answers=json("Action"), problems=(409,)),
    Operation("signal_job", "POST", "/api/v1/jobs/{id}/signal", job_actions.act("signal"),
        "Send a signal to the process group of a running job's command; STOP and CONT reach all its processes",
        fields=(JOB_ID,), body=members(SIGNAL._replace(is_required=True)),
        answers=json("Action"), problems=(409,)),
    Operation("edit_job", "POST", "/api/v1/jobs/{id}/edit", job_actions.act("edit"), "Change the fields of a waiting job",
        fields=(JOB_ID,), body=members(SET._replace(is_required=True)), answers=json("Action"), problems=(409,)),
    Operation("bulk", "POST", "/api/v1/bulk", bulk.bulk, "Do one action to many jobs", description=ABOUT_BULK,
        body=members(
            BULK_ACTION, Field("ids", list_of(ID, 10000)), SELECTION,
            Field("filter", FILTER, "selects jobs, like the parameters of GET /api/v1/jobs"),
            Field("expected", integer(0), "exact number of jobs that match the filter (needed with it), are named or were selected; "
                "409 with `matched` if it differs"),
            Field("limit", integer(1, bulk.MOST), f"maximum number of jobs in this request; default {bulk.MOST}"),
            SET, SIGNAL, WITH_DEPENDENTS, Field("dry_run", FLAG, "change nothing; count exactly and return a selection")),
        answers=json("BulkAction"), problems=(409, 410)),
    Operation("start_bulk_task", "POST", "/api/v1/bulk/tasks", bulk_tasks.start, "Have the server carry out a selection by itself",
        description=ABOUT_TASKS,
        body=members(
            BULK_ACTION, SELECTION._replace(is_required=True), SET, SIGNAL, WITH_DEPENDENTS,
            Field("delay_s", integer(0, 60), "begin after so many seconds; stopped before, it has done nothing; default 0")),
        answers={202: Answer("Task", "The task has begun, or waits for its delay",
            headers=(("Location", "string", "of the task"),))}, problems=(409, 410)),
    Operation("bulk_tasks", "GET", "/api/v1/bulk/tasks", bulk_tasks.show_all, "Bulk actions that the server carries out, and their results",
        answers=json("Tasks")),
    Operation("bulk_task", "GET", "/api/v1/bulk/tasks/{task}", bulk_tasks.show, "Progress of one of them", fields=(TASK,),
        answers=json("Task"), problems=(410,)),
    Operation("stop_bulk_task", "POST", "/api/v1/bulk/tasks/{task}/stop", bulk_tasks.stop,
        "Stop it after the job that it works on; the rest is left as it is", fields=(TASK,), body=members(), needs_body=False,
        answers=json("Task"), problems=(410,)),
    Operation("forget_bulk_task", "DELETE", "/api/v1/bulk/tasks/{task}", bulk_tasks.forget, "Remove the result of one that has ended",
        fields=(TASK,), answers=json("Task"), problems=(409, 410)),
    Operation("dead_groups", "GET", "/api/v1/dead/groups", jobs.dead_groups,
        "Dead jobs grouped by similar errors, the largest group first",
        fields=(Field("since", TEXT, "only jobs that died since this time"),
            Field("limit", integer(1, 500), "maximum number of groups; default 50")),
        answers=conditional("Groups")),

    # --- workers
    Operation("list_workers", "GET", "/api/v1/workers", workers.show, "The supervisor and its workers", answers=json("Workers")),
    Operation("start_workers", "POST", "/api/v1/workers", workers.start, "Add workers; starts a supervisor if none is running",
        description="Takes up to some seconds. The default of count is 1.", body=members(Field("count", integer(1, 64))),
        answers=json("Started", "Ready to run jobs", status=201), problems=(409,)),
    Operation("scale_workers", "POST", "/api/v1/workers/scale", workers.scale, "Set the number of workers",
        body=members(Field("count", integer(0, 64), is_required=True)), answers=json("Scaled"), problems=(409,)),
    Operation("stop_workers", "POST", "/api/v1/workers/stop", workers.stop,
        "Stop one worker or all after their jobs have ended; with `now`, kill the commands and move the jobs back",
        body=members(Field("id", TEXT), Field("now", FLAG)),
        answers=json("Started", "The workers will stop after their jobs. Without a supervisor, `workers` is empty"), problems=(404,)),
    Operation("restart_workers", "POST", "/api/v1/workers/restart", workers.restart,
        "Replace one worker after its job has ended, or restart the supervisor after all jobs have ended",
        body=members(Field("id", TEXT)), answers=json("Started"), problems=(404, 409)),
    Operation("worker_log", "GET", "/api/v1/workers/{id}/log", workers.log, "The last lines of a worker's log",
        fields=(Field("id", matching("^(supervisor|worker-[0-9]{1,4})$", "worker-1 …, or supervisor"), "worker-1 …, or supervisor"),
            Field("lines", integer(0, 5000), f"default {workers.LOG_LINES}")),
        answers=text("at most 256 KiB")),

    # --- queues
    Operation("list_queues", "GET", "/api/v1/queues", queues.show, "All queues: what waits and runs, limits and pauses",
        answers=conditional("Queues")),
    Operation("pause_queue", "POST", "/api/v1/queues/{name}/pause", queues.act("pause"),
        "Start no job of a queue until it is resumed; what runs goes on", fields=(QUEUE,), body=PAUSE, needs_body=False,
        answers=json("PauseChanged")),
    Operation("resume_queue", "POST", "/api/v1/queues/{name}/resume", queues.act("resume"), "Start jobs of a paused queue again",
        fields=(QUEUE,), body=members(), needs_body=False, answers=json("PauseChanged")),
    Operation("pause_all", "POST", "/api/v1/queues/pause", queues.act("pause"),
        "Start no job until all queues are resumed; what runs goes on", body=PAUSE, needs_body=False, answers=json("PauseChanged")),
    Operation("resume_all", "POST", "/api/v1/queues/resume", queues.act("resume"),
        "End the pause of all queues; a queue that is paused itself stays paused", body=members(), needs_body=False,
        answers=json("PauseChanged")),

    # --- batches
    Operation("list_batches", "GET", "/api/v1/batches", queues.batches, "All batches and how far they are, unfinished ones first",
        answers=conditional("Batches")),
    Operation("show_batch", "GET", "/api/v1/batches/{name}", queues.batch, "How far a batch is, when it will end, its completion job",
        fields=(BATCH,), answers=json("BatchDetail")),

    # --- schedules
    Operation("list_schedules", "GET", "/api/v1/schedules", schedules.show, "All schedules: their next slots and last jobs",
        answers=conditional("Schedules")),
    Operation("run_schedule", "POST", "/api/v1/schedules/{name}/run", schedules.run, "Enqueue the job of a schedule now",
        fields=(SCHEDULE,), body=members(), needs_body=False, answers=json("ScheduleRun", "Enqueued", status=201), problems=(404, 422)),
    Operation("pause_schedule", "POST", "/api/v1/schedules/{name}/pause", schedules.act("pause"),
        "Add no jobs of a schedule until it is resumed", fields=(SCHEDULE,), body=members(), needs_body=False,
        answers=json("ScheduleChanged"), problems=(404,)),
    Operation("resume_schedule", "POST", "/api/v1/schedules/{name}/resume", schedules.act("resume"),
        "Add jobs of a paused schedule again, from its next slot on", fields=(SCHEDULE,), body=members(), needs_body=False,
        answers=json("ScheduleChanged"), problems=(404, 422)),

    # --- settings and figures
    Operation("config", "GET", "/api/v1/config", configuration.show, "All settings with their values and sources",
        answers=json("Settings")),
    Operation("set_config", "PUT", "/api/v1/config/{key}", configuration.change,
        "Change a setting in config.yaml; running workers use it at once",
        fields=(KEY,), body=members(VALUE), answers=json("SettingChanged")),
    Operation("unset_config", "DELETE", "/api/v1/config/{key}", configuration.unset, "Reset a setting to its default",
        fields=(KEY,), answers=json("SettingChanged")),
    Operation("stats", "GET", "/api/v1/stats", queue_status.stats, "Throughput, waiting times and run times over time",
        fields=(Field("window", choice(*queue_status.WINDOWS), "default 1h; steps of 1 minute, 10 minutes, 1 hour"), ONE_QUEUE),
        answers=conditional("Stats")),
    Operation("events", "GET", "/api/v1/events", queue_status.events, "Stream of events",
        answers=text("A chunked stream of JSON objects, one a line, with the members of events --json. Every 10 s it sends {}, so that a "
            "broken connection is detected. The stream ends with the supervisor.", LINES)),

    # --- the paths of the original version
    Operation("old_status", "GET", "/api/status", legacy_api.status, "As `queuectl status --json`", answers=json("AnyObject")),
    Operation("old_jobs", "GET", "/api/jobs", legacy_api.list_jobs, "As `queuectl list --json`",
        fields=(Field("state", TEXT, "a comma list"), ALL_OR), answers=json("Rows")),
    Operation("old_enqueue", "POST", "/api/jobs", enqueue.enqueue, "Enqueue one job", body=JOB,
        answers=json("Enqueued", status=201), problems=(409,)),
    Operation("old_dlq", "GET", "/api/dlq", legacy_api.dlq, "As `queuectl dlq list --json`", fields=(ALL_OR,), answers=json("Rows")),
    Operation("old_job", "GET", "/api/jobs/{id}", jobs.show, "A job", fields=(JOB_ID,), answers=conditional("Detail"), problems=(422,)),
    Operation("old_delete", "DELETE", "/api/jobs/{id}", job_actions.act("delete"), "Delete a job",
        fields=(JOB_ID,), answers=json("Action"), problems=(409,)),
    Operation("old_retry", "POST", "/api/jobs/{id}/retry", job_actions.act("retry"), "Run a job again",
        fields=(JOB_ID,), body=members(), needs_body=False, answers=json("Action"), problems=(409,)),
    Operation("old_workers", "GET", "/api/workers", legacy_api.list_workers, "As `queuectl worker list --json`",
        answers=json("WorkerRows")),
    Operation("old_start", "POST", "/api/workers", workers.start, "Add workers", body=members(Field("count", integer(1, 64))),
        answers=json("Started", status=201), problems=(409,)),
    Operation("old_stop", "DELETE", "/api/workers/{id}", workers.stop_named, "Stop a worker after its job has ended",
        fields=(Field("id", matching("^(worker-)?[0-9]{1,4}$", "worker-1, or 1"), "worker-1, or 1"),), answers=json("Started")),
    Operation("old_config", "GET", "/api/config", configuration.by_name, "All settings by name", answers=json("AnyObject")),
    Operation("old_set_config", "PUT", "/api/config/{key}", configuration.change, "Change a setting",
        fields=(KEY,), body=members(VALUE), answers=json("SettingChanged")),
)
# fmt: on
_BY_PLACES = sorted(
    OPERATIONS, key=lambda operation: len(operation.in_path)
)  # a fixed path comes before one with a parameter
