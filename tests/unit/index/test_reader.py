from __future__ import annotations

import json
import os
import random
import sqlite3
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from queuectl.errors import Busy, UsageError
from queuectl.index import query
from queuectl.index.database import IndexUnavailable
from queuectl.index.query import ORDERS, Query
from queuectl.index.reader import Reader
from queuectl.index.rows import AT, COLUMNS
from queuectl.index.writer import Writer
from queuectl.job.job import STATES
from tests.unit.index.conftest import NOW, row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Writer]:
    made = Writer(str(tmp_path / "index.sqlite3"))
    yield made
    made.close()


@pytest.fixture
def jobs(index: Writer) -> list[list[Any]]:
    """Three hundred jobs of all kinds, many of them changed at the same instant."""
    chance = random.Random(1)
    made = []
    for number in range(300):
        made.append(
            row(
                f"job-{number * 7 % 300:03}",
                state=chance.choice(STATES),
                queue=chance.choice(["default", "mail", "video"]),
                priority=chance.randrange(-2, 3),
                name=chance.choice([None, "nightly", "hourly"]),
                command=chance.choice(["gzip A", "100% sure", "a_b", "back\\slash", "it's"]),
                tags=chance.choice([None, '["red"]', '["red","blue"]', '["bluegreen"]']),
                batch=chance.choice([None, "b1"]),
                last_error=chance.choice([None, "No space left on device", "100% full"]),
                dead_reason=chance.choice([None, "expired"]),
                run_at=NOW + chance.randrange(5),
                created_at=NOW - chance.randrange(5),
                updated_at=NOW + chance.randrange(10),
            )
        )
        index.put(list(made[-1]))
    index.commit()
    return made


def ask(index: Writer, query: Query) -> query.Page:
    with Reader(index.path) as found:
        return found.page(query)


def all_pages(index: Writer, **query: Any) -> tuple[list[str], query.Page]:
    """Turn the pages to the end."""
    ids: list[str] = []
    cursor = None
    while True:
        page = ask(index, Query(cursor=cursor, **query))
        ids += [found["id"] for found in page.rows]
        cursor = page.cursor
        if cursor is None:
            return ids, page
        assert page.rows


def by_hand(jobs: list[list[Any]], query: Query) -> list[str]:
    """What a page must show, found the slow way."""

    def matches(job: list[Any]) -> bool:
        value = dict(zip(COLUMNS, job, strict=True))
        words, error = (query.search or "").lower().split() or [""], (query.error or "").lower()
        reason = value["last_error"] or f"{value['dead_reason'] or ''} {(value['dead_reason'] or '').replace('_', ' ')}"
        texts = [
            value["id"] if len(words) == 1 else "",
            value["name"] or "",
            value["command"],
            reason,
            *json.loads(value["tags"] or "[]"),
        ]
        return (
            value["state"] in query.states
            and query.queue in (None, value["queue"])
            and query.batch in (None, value["batch"])
            and (query.since is None or value["updated_at"] >= query.since)
            and (query.until is None or value["updated_at"] < query.until)
            and (query.tag is None or query.tag in json.loads(value["tags"] or "[]"))
            and error in (value["last_error"] or value["dead_reason"] or "").lower()
            and all(any(word in text.lower() for text in texts) for word in words)
        )

    found = [job for job in jobs if matches(job)]
    for column, down in reversed(query.order):
        found.sort(key=lambda job: job[AT[column]], reverse=down)
    return [job[0] for job in found]


FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"states": ("dead",)},
    {"states": ("pending", "failed", "held")},
    {"queue": "mail"},
    {"queue": "mail", "states": ("completed",)},
    {"queue": "nowhere"},
    {"since": NOW + 3},
    {"until": NOW + 3, "states": ("pending", "dead")},
    {"since": NOW + 2, "until": NOW + 4, "queue": "video"},
    {"tag": "red"},
    {"tag": "blue", "states": ("pending",)},
    {"search": "JOB-01"},
    {"search": "nightly", "queue": "mail"},
    {"search": "0%"},
    {"search": "a_"},
    {"search": "\\"},
    {"search": "'"},
    {"batch": "b1"},
    {"batch": "b1", "tag": "red", "search": "gzip", "since": NOW + 1},
    {"search": "no such text"},
    {"search": "["},
    {"search": '","'},
    {"search": "red"},
    {"search": "gzip red"},
    {"search": "retries"},
    {"error": "SPACE left"},
    {"error": "0%", "states": ("dead",)},
    {"error": "expired"},
)


@pytest.mark.parametrize("many", [10_000, 20], ids=["few", "many"])
@pytest.mark.parametrize("sort", [*ORDERS, *(f"-{order}" for order in ORDERS)])
def test_pages_show_what_matches_in_order_without_gap_or_repetition(
    index: Writer, jobs: list[list[Any]], sort: str, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "MANY", many)
    tried = 0
    for filters in FILTERS:
        wanted = by_hand(jobs, Query(sort=sort, **filters))
        for limit in (7, 300, None):
            ids, last = all_pages(index, sort=sort, limit=limit, **filters)
            assert ids == wanted, (filters, limit)
            assert last.total == len(wanted) if last.is_exact else last.total == many < len(wanted)
            tried += 1
    assert tried == 84


@pytest.mark.parametrize("sort", [*ORDERS, *(f"-{order}" for order in ORDERS)])
def test_all_rows_are_those_of_the_pages(index: Writer, jobs: list[list[Any]], sort: str) -> None:
    with Reader(index.path) as reader:
        for filters in FILTERS:
            wanted = by_hand(jobs, Query(sort=sort, **filters))
            assert [job["id"] for job in reader.rows(Query(sort=sort, limit=7, **filters))] == wanted, filters
        wanted = by_hand(jobs, Query(sort=sort))
        first = reader.page(Query(sort=sort, limit=70))
        behind = reader.rows(Query(sort=sort, limit=70, cursor=first.cursor))
        assert [job["id"] for job in behind] == wanted[70:]


@pytest.mark.parametrize("sort", ["created", "-created", "priority", "run_at"])
def test_all_rows_are_sorted_once_however_many_there_are(index: Writer, sort: str) -> None:
    """Sorting for every page made the time grow with the square of the jobs."""
    for number in range(1200):
        index.put(row(f"j{number:04}", created_at=NOW + number % 7, priority=number % 5))
    index.commit()
    said: list[str] = []
    with Reader(index.path) as reader:
        reader._database._connection.set_trace_callback(said.append)
        assert len([*reader.rows(Query(sort=sort, limit=100))]) == 1200
    assert sum("ORDER BY" in sql for sql in said) == 1


def test_a_job_that_no_longer_matches_is_left_out_of_rows_that_are_sorted_once(index: Writer) -> None:
    for number in range(4):
        index.put(row(f"j{number}", created_at=NOW - number))
    index.commit()
    with Reader(index.path) as reader:
        count, rows = reader.in_order(Query(("pending",), sort="created"))
        index.remove("j1")
        index.put(row("j2", state="completed"))
        index.commit()
        assert (count, [job["id"] for job in rows]) == (4, ["j0", "j3"])


def test_a_search_that_finds_very_many_counts_no_further(
    index: Writer, jobs: list[list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "MANY", 100)
    page = ask(index, Query(search="job-", limit=5))
    assert (page.total, page.is_exact) == (100, False)
    page = ask(index, Query(search="job-01", limit=5))
    assert (page.total, page.is_exact) == (10, True)


def test_a_page_goes_on_behind_the_last_row_whatever_came_and_went(index: Writer) -> None:
    for number in range(10):
        index.put(row(f"j{number}", updated_at=NOW + number))
    index.commit()
    first = ask(index, Query(limit=4))
    index.put(row("newer", updated_at=NOW + 99))
    index.remove("j6")
    index.put(row("j5", updated_at=NOW + 50))
    index.commit()
    second = ask(index, Query(limit=3, cursor=first.cursor))
    assert [job["id"] for job in first.rows] == ["j9", "j8", "j7", "j6"]
    assert [job["id"] for job in second.rows] == ["j4", "j3", "j2"]


CURSORS = (
    *('["updated"]', '["updated", 1]', '["updated", 1, 2]', '["updated", "a", "b"]', '["updated", null, "b"]', "{}"),
    *('["updated", 1e999, "b"]', '["updated", NaN, "b"]', '["updated", true, "b"]', '["updated", [1], "b"]', "[]"),
    *(f'["updated", {10**40}, "b"]', '[["updated"], 1, "b"]', '"updated"', "1", "null"),
)


@pytest.mark.parametrize("cursor", ["", "x", "0", "00", "ff" * 20, *(text.encode().hex() for text in CURSORS)])
def test_a_cursor_of_somewhere_else_is_refused(index: Writer, cursor: str) -> None:
    with pytest.raises(UsageError, match="cursor"):
        ask(index, Query(cursor=cursor))


def test_a_cursor_belongs_to_one_order(index: Writer) -> None:
    for number in range(5):
        index.put(row(f"j{number}"))
    index.commit()
    cursor = ask(index, Query(limit=2)).cursor
    with pytest.raises(UsageError):
        ask(index, Query(limit=2, sort="-updated", cursor=cursor))


def test_an_order_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(UsageError, match="cannot sort by") as caught:
        Query(sort="colour")
    assert "priority" in (caught.value.hint or "")


def test_rows_are_dictionaries_without_what_only_the_index_needs(index: Writer) -> None:
    index.put(row("a", tags='["x"]', exit_code=3))
    index.commit()
    job = ask(index, Query()).rows[0]
    assert job["tags"] == ["x"]
    assert job["exit_code"] == 3
    assert not {"size", "inode", "ctime_ns"} & job.keys()


def test_the_default_list_sorts_and_scans_no_table(index: Writer, jobs: list[list[Any]]) -> None:
    with Reader(index.path) as found:
        asked: list[str] = []
        found._database._connection.set_trace_callback(asked.append)
        found.page(Query(limit=5))
        found._database._connection.set_trace_callback(None)
        for sql in asked:
            if sql.startswith("SELECT"):
                plan = [step[3] for step in found._database.all(f"EXPLAIN QUERY PLAN {sql}")]
                assert not [step for step in plan if step.startswith("SCAN jobs")], plan


# --- counts


def test_counts_have_every_state_also_where_there_is_none(index: Writer, jobs: list[list[Any]]) -> None:
    with Reader(index.path) as found:
        really = Counter(job[1] for job in jobs)
        assert found.counts() == {state: really[state] for state in STATES}
        assert sum(sum(counts.values()) for counts in found.by_queue().values()) == 300
        assert set(found.by_queue()) == {"default", "mail", "video"}


def test_an_empty_index_counts_zero(index: Writer) -> None:
    with Reader(index.path) as found:
        assert found.counts() == dict.fromkeys(STATES, 0)
        assert found.by_queue() == {}
        assert found.page(Query()).total == 0


def test_a_queue_that_was_emptied_is_no_longer_named(index: Writer) -> None:
    index.put(row("a", queue="once"))
    index.commit()
    index.remove("a")
    index.commit()
    with Reader(index.path) as found:
        assert found.by_queue() == {}


# --- naming


def test_prefixes_name_the_ids_that_begin_so(index: Writer) -> None:
    for job_id in ("ab", "abc", "abd", "b", "ab.", "aB"):
        index.put(row(job_id))
    index.commit()
    with Reader(index.path) as found:
        assert found.ids_with_prefix("ab", 10) == ["ab", "ab.", "abc", "abd"]
        assert found.ids_with_prefix("ab", 2) == ["ab", "ab."]
        assert found.ids_with_prefix("x", 2) == []


def test_near_finds_what_was_mistyped(index: Writer) -> None:
    for number in range(1000):
        index.put(row(f"01JDF{number:05}X", state="failed"))
    index.put(row("nightly-backup", state="completed"))
    index.commit()
    with Reader(index.path) as found:
        assert found.near("01JDF00500")[0] == ("01JDF00500X", "failed")
        assert found.near("nigthly-backup") == [("nightly-backup", "completed")]
        assert found.near("NIGHTLY-BACKUP") == [("nightly-backup", "completed")]
        assert len(found.near("01JDF0050Z")) == 3
        assert found.near("something-else") == []
        assert found.near("") == []


def test_a_text_that_is_no_text_is_nowhere(index: Writer) -> None:
    """Bytes of a command line that are not UTF-8 reach us as half characters."""
    index.put(row("a"))
    index.commit()
    with Reader(index.path) as found:
        assert found.ids_with_prefix("\udcff", 3) == []
        assert found.near("\udcff") == []
        assert found.get("\udcff") is None
        assert found.unique_holder("\udcff") is None
        assert found.page(Query(search="\udcff", queue="\udcff", tag="\udcff", batch="\udcff")).rows == []


def test_a_unique_key_is_answered_as_the_writer_does(index: Writer) -> None:
    index.put(row("a", unique_key="k"))
    index.commit()
    with Reader(index.path) as found:
        assert found.unique_holder("k") == "a"
        assert found.unique_holder("l") is None
        assert found.get("a") is not None
        assert found.get("b") is None


# --- statistics


def test_the_oldest_waiting_job_is_found_among_queues_and_priorities(index: Writer) -> None:
    chance = random.Random(2)
    oldest: dict[str, float] = {}
    for number in range(200):
        queue, run_at = f"q{chance.randrange(4)}", NOW - chance.randrange(10_000)
        ready_at = min(NOW, run_at + chance.choice((0, 0, 3000)))  # a time in the past was asked for, or it was held
        index.put(row(f"j{number}", queue=queue, priority=chance.randrange(-3, 4), run_at=run_at, ready_at=ready_at))
        oldest[queue] = min(ready_at, oldest.get(queue, ready_at))
    index.put(row("held", state="held", run_at=0.0))
    index.put(row("running", state="processing", run_at=0.0))
    index.commit()
    with Reader(index.path) as found:
        assert found.oldest_by_queue(NOW) == oldest


def test_a_job_whose_time_came_unnoticed_waits_as_well(index: Writer) -> None:
    index.put(row("a", run_at=4e9, queue="q"))
    index.commit()
    with Reader(index.path) as found:
        assert found.oldest_by_queue(4e9 - 1) == {}
        assert [*found.oldest_by_queue(4e9 + 60).values()] == [4e9]


# --- the file


def test_a_missing_index_says_so_and_what_helps(tmp_path: Path) -> None:
    with pytest.raises(IndexUnavailable, match="there is no index") as caught:
        Reader(str(tmp_path / "index.sqlite3"))
    assert "queuectl index rebuild" in (caught.value.hint or "")
    assert isinstance(caught.value, Busy)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("content", [b"", b"text\n" * 500, os.urandom(9000)], ids=["empty", "text", "noise"])
def test_a_broken_index_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "index.sqlite3"
    path.write_bytes(content)
    with pytest.raises(IndexUnavailable):
        Reader(str(path))
    assert path.read_bytes() == content


def test_damage_that_shows_only_later_says_so(index: Writer) -> None:
    for number in range(3000):
        index.put(row(f"j{number}"))
    index.close()
    with Reader(index.path) as found:
        with open(index.path, "r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (os.path.getsize(index.path) - 4096))
        with pytest.raises(IndexUnavailable):
            [*found.all_rows()]


def test_an_index_of_another_version_is_left_alone(index: Writer) -> None:
    index.close()
    connection = sqlite3.connect(index.path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(IndexUnavailable, match="another version"):
        Reader(index.path)


def test_a_reader_goes_on_in_the_file_that_took_the_place_of_its_own(index: Writer) -> None:
    index.put(row("a"))
    index.commit()
    with Reader(index.path) as found:
        assert found.counts()["pending"] == 1
        index.reopen(anew=True)
        assert found.counts()["pending"] == 0
        os.unlink(index.path)
        with pytest.raises(IndexUnavailable):
            found.counts()
        index.reopen()
        assert found.counts()["pending"] == 0


def test_a_reader_finds_a_new_file_that_has_the_inode_number_of_its_old_one(index: Writer) -> None:
    """The number is free once nobody has the old file open, and file systems give it to the next file."""
    with Reader(index.path) as found:
        os.rename(index.path, f"{index.path}.away")
        with pytest.raises(IndexUnavailable):
            found.counts()
        os.rename(f"{index.path}.away", index.path)
        assert found.counts()["pending"] == 0


def test_a_reader_sees_what_is_committed_while_it_is_open(index: Writer) -> None:
    with Reader(index.path) as found:
        index.put(row("a"))
        assert found.counts()["pending"] == 0
        index.commit()
        assert found.counts()["pending"] == 1


def test_a_reader_can_change_nothing(index: Writer) -> None:
    with Reader(index.path) as found, pytest.raises(IndexUnavailable):
        found._database.change(("remove", [("a",)]))


@pytest.mark.parametrize("name", ["with space", "100%", "question?", "hash#", "ü"])
def test_a_home_may_have_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    path = str(tmp_path / name / "index.sqlite3")
    Writer(path).close()
    assert os.path.exists(path)
    with Reader(path) as found:
        assert found.counts()["pending"] == 0
