"""What Python callers may give to Queue, and what they are told when it is wrong."""

from __future__ import annotations

import json
import os
import pickle
import stat
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from queuectl import Conflict, InvalidField, InvalidFilter, NotAllowed, Queue, QueueError, UnknownField, UsageError
from tests.support.permissions import as_if_not_root

if TYPE_CHECKING:
    from collections.abc import Callable

PAST = datetime(2020, 1, 1, tzinfo=timezone.utc)
DAY = date(2999, 1, 1)


@pytest.fixture
def queue(home: Path) -> Queue:
    """A queue with a job `waits` and a job `cancelled`."""
    queue = Queue(home)
    queue.enqueue("true", id="waits", delay="1h")
    queue.enqueue("true", id="cancelled")
    queue.cancel("cancelled")
    return queue


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"at": 60},
            '"at" must be a datetime, a timedelta from now, text as on the command line, or seconds since 1970 (60',
        ),
        ({"at": -1}, '"at" must be a datetime'),
        ({"at": DAY}, '"at" must be a datetime'),
        ({"at": b"1h"}, '"at" must be a datetime'),
        ({"run_at": "nope"}, '"run_at" must be a time'),
        ({"expires": 60}, '"expires" must be a datetime'),
        ({"expires": PAST}, '"expires" must be in the future'),
        ({"expires_at": PAST}, '"expires_at" must be in the future'),
        ({"expires": "1h", "at": "2h"}, '"expires" must be after "at" ('),
        ({"expires": "1h", "delay": "2h"}, '"expires" must be after "delay" ('),
        ({"timeout": b"1"}, '"timeout" must be a number of seconds, a timedelta, or text'),
        ({"timeout": float("nan")}, '"timeout" must be a number of seconds'),
        ({"timeout": datetime(2999, 1, 1)}, '"timeout" must be a number of seconds'),  # noqa: DTZ001
        ({"backoff_base": timedelta(1)}, '"backoff_base" must be a number'),
        ({"queue": b"a"}, '"queue" must be letters'),
        ({"tags": b"a"}, '"tags" must be a list'),
        ({"env": {"A": Path("/x")}}, '"env" must be an object of strings'),
        ({"cwd": b"/tmp"}, '"cwd" must be a path'),
        ({"cwd": ""}, '"cwd" must not be empty'),
    ],
)
def test_a_message_names_what_the_caller_wrote(queue: Queue, fields: dict[str, Any], words: str) -> None:
    before = queue.counts()
    for call in (
        lambda: queue.enqueue("x", **fields),
        lambda: queue.enqueue({"command": "x", **fields}),
        lambda: queue.enqueue_many(["x"], **fields),
        lambda: queue.edit("waits", **fields),
    ):
        with pytest.raises(InvalidField) as caught:
            call()
        assert str(caught.value).startswith(words)
    assert queue.counts() == before


@pytest.mark.parametrize(
    ("job", "words", "hint"),
    [
        (["ls", 3], "the job must be a non-empty list of strings", "3 is not a string: str() makes it one"),
        (["ls", b"x"], "the job must be a non-empty list of strings", None),
        ("", "the job must be a non-empty string", None),
        ({"ls", "x"}, "a job must be a shell command", "a set has no order: give a list"),
        (Path("/bin/true"), "a job must be a shell command", "to run one program: a list with its path"),
        ("x\0y", '"command" cannot be written to a job file', None),
        ("x\ud800y", '"command" cannot be written to a job file', None),
        ({"command": "x", "own": {1}}, '"own" cannot be written to a job file', None),
        ({"command": "x", 5: 1}, "the name of a field must be text, not 5", None),
    ],
)
def test_a_wrong_job_is_described(queue: Queue, job: Any, words: str, hint: str | None) -> None:
    with pytest.raises(InvalidField) as caught:
        queue.enqueue(job)
    assert str(caught.value).startswith(words)
    assert caught.value.hint == hint


def test_fields_of_many_jobs_are_refused_before_any_is_enqueued(queue: Queue) -> None:
    read: list[int] = []
    jobs = (read.append(number) or "true" for number in range(3))
    for fields in ({"priority": "x"}, {"cwd": "nope"}, {"at": "nope"}):
        with pytest.raises(InvalidField):
            queue.enqueue_many(jobs, **fields)
    assert read == []
    for wrong in (None, 5, b"ls"):
        with pytest.raises(UsageError, match="takes a list of jobs"):
            queue.enqueue_many(wrong)  # type: ignore[arg-type]
    for call in (queue.submit, lambda given: [*queue.submit_many([given])]):
        with pytest.raises(UsageError, match="must be a mapping"):
            call("ls")  # type: ignore[operator]


def test_any_series_of_tags_is_a_list(queue: Queue) -> None:
    for tags in (("b", "a"), {"b", "a"}, (tag for tag in "ba"), {"b": 1, "a": 2}.keys()):
        found = queue.get(queue.enqueue("true", tags=tags)).fields["tags"]
        assert sorted(found) == ["a", "b"]


def test_one_rule_for_instants_and_durations(queue: Queue) -> None:
    """`run_at` takes what `at` takes; a timeout of `wait` what the timeout of a job takes."""
    now = queue.spool.clock.now()
    for name in ("at", "run_at"):
        for value in ("1h", "3600", timedelta(hours=1), now + 3600):
            job = queue.get(queue.enqueue("true", **{name: value}))
            assert abs(job.run_at - now - 3600) < 60
    for timeout in (3600, "10m", timedelta(minutes=10), float("inf"), -1):
        assert [*queue.wait("cancelled", timeout)] == ["cancelled"]
    for wrong in ("soon", float("nan"), True, PAST, b"1"):
        with pytest.raises(UsageError, match='"timeout_s" must be'):
            queue.wait("cancelled", wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match='"on_end" must be a function'):
        queue.wait("cancelled", on_end=5)  # type: ignore[arg-type]


def test_a_job_is_given_by_its_id_or_as_a_job(queue: Queue) -> None:
    job = queue.get("waits")
    assert queue.hold(job).state == "held"
    assert queue.release(job).state == "pending"
    assert queue.edit(job, priority=3).priority == queue.get(job).priority == 3
    assert queue.resolve(job) == "waits"
    assert queue.retry(job, {"priority": 4}).priority == 4
    assert queue.cancel(job).state == "cancelled"
    assert [*queue.wait([job, "cancelled", job])] == ["waits", "cancelled"]
    assert [*queue.wait(job)] == ["waits"]
    queue.delete(job)
    assert queue.counts()["cancelled"] == 1


def test_what_is_no_job_is_a_usage_error(queue: Queue) -> None:
    verbs: tuple[Callable[[Any], object], ...] = (
        *(queue.get, queue.cancel, queue.retry, queue.hold, queue.release, queue.delete, queue.resolve, queue.output),
        *(lambda job: queue.edit(job, priority=1), queue.wait, lambda job: queue.wait([job])),
    )
    for verb in verbs:
        for wrong in (None, 5, b"waits", Path("waits")):
            with pytest.raises(UsageError, match="a job is given by its id or as a Job, not "):
                verb(wrong)
    refused = queue.enqueue_many([""])
    with pytest.raises(UsageError) as caught:
        queue.wait(refused)  # type: ignore[arg-type]
    assert caught.value.hint == "enqueue_many returns an error for each job that it refuses"
    for wrong in ("1", 1.5, True):
        with pytest.raises(UsageError, match='"attempt" must be'):
            queue.get("waits").output_path(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        (["created"], 'there is no event "created"; did you mean "enqueued"?'),
        ("finished", 'there is no event "finished"; did you mean "completed"?'),
        ("dead", 'there is no event "dead"; did you mean "died"?'),
        (5, "kinds of events must be text or several texts, not 5"),
        ([5], "a kind of event must be text, not 5"),
        (b"died", "kinds of events must be text or several texts"),
    ],
)
def test_a_wrong_kind_of_event_is_refused(queue: Queue, kinds: Any, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        queue.events(kinds=kinds)
    assert str(caught.value) == words or str(caught.value).startswith(f"{words}, not b")
    assert str(caught.value.hint).startswith("there are enqueued, ")
    assert [*queue.events(kinds=None)] == [*queue.events(kinds=[])] != []


@pytest.mark.parametrize("older_than", [-5, timedelta(-1), float("nan"), True, b"x", [], "x"])
def test_an_age_that_is_none_removes_nothing(queue: Queue, older_than: Any) -> None:
    """A negative age selected every job."""
    with pytest.raises(InvalidFilter, match=r'^"older_than" must be'):
        queue.purge(older_than=older_than)
    assert queue.counts()["cancelled"] == 1


def test_an_edit_checks_the_directory_as_enqueue_does(queue: Queue) -> None:
    for call in (
        lambda: queue.edit("waits", cwd="nope"),
        lambda: queue.edit("waits", {"cwd": "nope"}),
        lambda: queue.retry("waits", {"cwd": "nope"}),
    ):
        with pytest.raises(InvalidField, match="there is no directory") as caught:
            call()
        assert caught.value.hint == "to skip this check: check=False"
    assert queue.edit("waits", cwd="nope", check=False).fields["cwd"] == f"{os.getcwd()}/nope"
    with pytest.raises(InvalidField, match='"changes" must be a mapping'):
        queue.edit("waits", 5)  # type: ignore[arg-type]


def test_a_start_in_the_past_is_a_warning(queue: Queue) -> None:
    """At the line of the caller, whatever calls lie between; a job of which it is an error is not enqueued."""
    before = queue.counts()
    calls: tuple[Callable[[], object], ...] = (
        lambda: queue.enqueue("true", at=PAST),
        lambda: queue.enqueue({"command": "true", "run_at": "2020-01-01T00:00:00Z"}),
        lambda: queue.enqueue_many(["true"], at=timedelta(hours=-1)),
        lambda: queue.enqueue_many([{"command": "true", "at": PAST}] * 3),
        lambda: queue.edit("waits", run_at=PAST),
        lambda: queue.retry("waits", {"at": PAST}),
    )
    for number, call in enumerate(calls):
        with pytest.warns(
            UserWarning, match=r'^"(run_)?at" is in the past \(.* ago\): the job runs at once$'
        ) as caught:
            call()
        assert [warning.filename for warning in caught] == [__file__], number
    assert queue.counts()["pending"] == before["pending"] + 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        queue.enqueue("true", at=datetime.now(timezone.utc))
        queue.enqueue("true", at=queue.spool.clock.now(), delay=None)
        with pytest.raises(UserWarning):
            queue.enqueue("true", at=PAST)
        with pytest.raises(UserWarning):
            queue.enqueue_many(["true"], at=PAST)
    assert queue.counts()["pending"] == before["pending"] + 8


# --- the home


@pytest.mark.parametrize("given", [5, "a\0b", ["x"]])
def test_what_is_no_path_is_no_home(given: Any) -> None:
    with pytest.raises(UsageError, match="the home of a queue must"):
        Queue(given)


def test_a_home_is_a_path_of_any_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert {
        Queue(home).layout.home for home in (tmp_path / "q", f"{tmp_path}/q", os.fsencode(tmp_path / "q"), "~/q")
    } == {f"{tmp_path}/q"}
    assert repr(Queue("~/q")) == f"<Queue {tmp_path}/q>"
    (tmp_path / "file").write_text("")
    with pytest.raises(QueueError, match=r"cannot use .*/file/q: Not a directory"):
        Queue(tmp_path / "file/q")


def test_what_the_system_refuses_is_a_queue_error(queue: Queue, home: Path) -> None:
    """A home in which nothing can be written: every call raises an error of queuectl, with what to do."""
    script = (
        "from queuectl import Queue, QueueError\n"
        "queue = Queue()\n"
        "calls = dict(enqueue=lambda: queue.enqueue('true'), many=lambda: queue.enqueue_many(['true']),\n"
        "    unique=lambda: queue.enqueue('true', unique_key='k'), hold=lambda: queue.hold('waits'),\n"
        "    cancel=lambda: queue.cancel('waits'), delete=lambda: queue.delete('cancelled'), purge=lambda: queue.purge())\n"
        "for name, call in calls.items():\n"
        "    try: print(name, call())\n"
        "    except QueueError as error: print(name, type(error).__name__)\n"
        "print(len(queue.list()), queue.counts()['pending'], queue.get('waits').state)\n"
    )
    folders = [home, *(path for path in home.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        done = subprocess.run(
            [*as_if_not_root(), sys.executable, "-c", script], capture_output=True, text=True, check=False
        )
    finally:
        for folder in folders:
            folder.chmod(0o700)
    assert done.stderr == ""
    *refused, read = done.stdout.splitlines()
    assert read == "2 1 pending"
    assert {line.split()[0]: line.split()[1] for line in refused} == {
        **dict.fromkeys(("enqueue", "many", "unique", "cancel", "delete", "purge"), "NotAllowed"),
        "hold": "<Job",  # the file of the job can be written
    }


# --- processes


def test_queue_job_and_errors_can_be_sent_to_another_process(queue: Queue) -> None:
    queue, job = pickle.loads(pickle.dumps((queue, queue.get("waits"))))
    assert (queue.get(job).id, job.as_dict()["max_retries"]) == ("waits", queue.settings.max_retries_default)
    for error in (UnknownField("a", "b", "c"), InvalidFilter("a", "b", "c"), Conflict("b", "c"), NotAllowed("b", "c")):
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy), copy.hint, copy.__dict__) == (type(error), "b", "c", error.__dict__)
    with queue as same:
        assert same is queue
    assert json.dumps(queue.counts())


def test_a_queue_keeps_no_file_open(queue: Queue) -> None:
    queue.list()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        job = queue.get(queue.enqueue("true"))
        for refused in (
            lambda: queue.wait("waits", 0),
            lambda: queue.enqueue("x", id="waits"),
            lambda: queue.get("none"),
        ):
            with pytest.raises(QueueError):
                refused()
        queue.cancel(queue.release(queue.hold(job)))
        queue.list(limit=1)
        next(queue.events())
    assert len(os.listdir("/proc/self/fd")) == before


def test_threads_and_a_forked_process_share_a_queue(queue: Queue) -> None:
    queue.list()
    child = os.fork()
    if child == 0:
        try:
            queue.enqueue("true", queue="forked")
            os._exit(len(queue.list(queue="forked")) - 1)
        finally:
            os._exit(9)
    assert os.waitpid(child, 0)[1] == 0
    with ThreadPoolExecutor(8) as pool:
        ids = [*pool.map(lambda number: queue.enqueue(f"echo {number}", queue="threads"), range(80))]
        found = [*pool.map(lambda _: len(queue.list(queue="threads")), range(8))]
    assert (len(set(ids)), found) == (80, [80] * 8)
