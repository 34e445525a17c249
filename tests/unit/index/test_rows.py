from __future__ import annotations

import json
import os
import sqlite3
import sys
from typing import TYPE_CHECKING, Any

from queuectl.index import rows
from queuectl.index.rows import AT, COLUMNS, DIRECTORY_OF, as_dict, row_of, tag_pattern
from queuectl.job.job import STATES, Job
from queuectl.job.job_file import Record, render_new

if TYPE_CHECKING:
    from tests.unit.index.conftest import Home

AT_NOON = "2026-11-24T12:00:00.000000Z"
AT_ONE = "2026-11-24T13:00:00.000000Z"


def job_of(fields: dict[str, Any], history: list[dict[str, Any]] | None = None, directory: str = "pending") -> Job:
    return Job("a", Record({"command": "true", **fields}, history or [], b"", b""), directory, 1000.0)


def value(job: Job, column: str) -> Any:
    return row_of(job)[AT[column]]


def test_the_columns_are_those_of_the_schema() -> None:
    from queuectl.index.database import _read

    database = sqlite3.connect(":memory:")
    database.executescript(_read("schema.sql"))
    found = [row[1] for row in database.execute("PRAGMA table_info(jobs)")]
    database.close()
    assert tuple(found) == COLUMNS


def test_every_column_of_the_schema_has_a_comment() -> None:
    from queuectl.index.database import _read

    table = _read("schema.sql").partition("CREATE TABLE jobs (")[2].partition(");")[0]
    assert all("--" in line for line in table.strip().splitlines())


def test_every_state_belongs_to_one_directory() -> None:
    assert sorted(DIRECTORY_OF) == sorted(STATES)


def test_a_row_survives_the_pipe_of_a_worker(home: Home) -> None:
    job_id = home.enqueue("echo ü", priority=3, tags=["a", "b"], name="n", batch="b", unique_key="k", max_retries=0)
    row = row_of(home.spool.read(job_id), None)
    assert json.loads(json.dumps(row)) == row


def test_a_job_without_a_time_of_its_own_is_ready_whatever_the_clock_says() -> None:
    assert value(job_of({"created_at": "2199-01-01T00:00:00Z"}), "ready") == 1


def test_a_job_that_waits_for_a_time_is_not_ready_before_the_writer_says_so() -> None:
    assert value(job_of({"run_at": AT_NOON}), "ready") == 0
    assert value(job_of({"run_at": AT_NOON, "created_at": AT_NOON}), "ready") == 0
    assert value(job_of({}, [{"event": "failed", "at": AT_NOON, "run_at": AT_ONE}]), "ready") == 0


def test_held_running_and_ended_jobs_are_never_ready() -> None:
    assert value(job_of({}, [{"event": "held", "at": AT_NOON}]), "ready") is None
    assert value(job_of({}, directory="processing"), "ready") is None
    assert value(job_of({}, directory="done"), "ready") is None
    assert value(job_of({}, directory="dead"), "ready") is None


def test_an_author_who_says_nothing_of_retries_leaves_them_to_the_configuration() -> None:
    assert value(job_of({}), "max_retries") is None
    assert value(job_of({"max_retries": 0}), "max_retries") == 0


def test_a_long_command_is_cut() -> None:
    assert len(value(job_of({"command": "x" * 9999}), "command")) == rows.COMMAND_CHARS


def test_a_list_of_arguments_is_shown_as_typed() -> None:
    job = Job("a", Record({"argv": ["echo", "a b"]}, [], b"", b""), "pending", 0.0)
    assert value(job, "command") == "echo 'a b'"


def test_a_row_is_small_whatever_the_job_says() -> None:
    job = job_of({"command": "é" * 99999, "tags": ["t" * 200] * 200, "unique_key": "k" * 256}, directory="dead")
    job.last_error = "e" * 99999
    job.worker = "w" * 99999
    assert len(json.dumps(row_of(job), ensure_ascii=False).encode()) < 5000


def test_too_many_tags_keep_the_first() -> None:
    tags = json.loads(value(job_of({"tags": [f"tag-{n}" for n in range(1000)]}), "tags"))
    assert tags[0] == "tag-0"
    assert 10 < len(tags) < 1000


def test_one_tag_that_is_too_long_is_left_out() -> None:
    assert value(job_of({"tags": ["t" * 5000]}), "tags") is None


def test_whatever_a_job_claims_of_itself_fits_into_the_index(home: Home) -> None:
    """Its history may be a stranger's: huge numbers, wrong types, half characters."""
    job: Any = job_of({}, [{"event": "failed", "at": AT_NOON, "run_at": AT_NOON}])
    job.attempts, job.failures, job.exit_code, job.max_rss_bytes = 10**400, "many", -(10**40), 1.5
    job.run_at, job.updated_at, job.started_at, job.finished_at = {"a": 1}, None, 10**400, "never"
    job.outcome, job.last_error, job.worker, job.cpu_s = 5, "\ud800", ["w"], 10**400
    row = row_of(job)
    json.dumps(row)
    writer = home.writer()
    writer.put(row)
    writer.commit()
    found = writer.get("a")
    writer.close()
    assert found is not None
    assert found["attempts"] == rows.BIGGEST
    assert found["failures"] == 0
    assert found["run_at"] == found["updated_at"] == job.created_at
    assert found["last_error"] == "?"
    assert found["outcome"] is found["worker"] is found["finished_at"] is found["max_rss_bytes"] is None


def test_a_dictionary_has_the_tags_as_a_list_and_nothing_internal() -> None:
    made = as_dict(row_of(job_of({"tags": ["a"]})))
    assert made["tags"] == ["a"]
    assert as_dict(row_of(job_of({})))["tags"] == []
    assert not made.keys() & set(rows.INTERNAL)


def test_the_pattern_of_a_tag_is_found_only_where_the_tag_is() -> None:
    def holds(tags: list[str], tag: str) -> bool:
        text = value(job_of({"tags": tags}), "tags")
        return tag_pattern(tag) in f",{text[1:-1]},"

    assert holds(["a", "b"], "a")
    assert holds(["a", "b"], "b")
    assert holds(['x"y', "z\\"], 'x"y')
    assert holds(["z\\", "a"], "z\\")
    assert holds(["ü"], "ü")
    assert not holds(["ab"], "a")
    assert not holds(['x,"a",y'], "a")
    assert not holds(["a,b"], "a")


def test_rows_can_be_made_without_sqlite() -> None:
    import subprocess

    code = "import queuectl.index.rows, sys; sys.exit('sqlite3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_rendered_job_is_what_the_tests_think() -> None:
    assert render_new({"command": "true"}) == b'{"command":"true","history":[]}\n'


def test_a_job_that_is_moved_for_a_retry_waits_since_the_move(home: Home) -> None:
    """Revive moves the file before it writes its entry: until then the history has the time of the first enqueue."""
    home.enqueue(id="a", created_at=AT_NOON)
    with home.start("a") as claim:
        claim.move_to_dead("retries_exhausted", {"exit_code": 1})
    os.rename(home.path("dead", "a.json"), home.path("pending", "a.json"))
    home.catch_up()
    moved_at = os.lstat(home.path("pending", "a.json")).st_ctime_ns / 1e9
    with home.reader() as reader:
        assert [*reader.oldest_by_queue(moved_at).values()] == [moved_at]
