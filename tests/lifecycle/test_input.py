"""What a command reads on its standard input: every attempt from the beginning, and what is missing is a failure."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]


def drop(s: Supervised, name: str, **fields: str) -> None:
    made = s.home / "spool/tmp" / name
    made.write_text(json.dumps(fields))
    made.rename(s.home / f"spool/pending/{name}.json")


DATA = b"first\nsecond\n" * 10_000


def test_each_attempt_reads_the_input_from_its_beginning(supervised: Make, tmp_path: Path) -> None:
    """Also one that was retried by hand, and under limits."""
    s = supervised(backoff_base=0.01)
    s.start(1)
    path = tmp_path / "data"
    path.write_bytes(DATA)
    job_id = s.queue.enqueue('head -c 6; md5sum; [ "$QUEUECTL_ATTEMPT" = 2 ]', stdin=path, max_retries=1)
    path.unlink()
    s.wait_for(job_id, "completed")
    s.queue.retry(job_id)
    s.wait_until(lambda: s.queue.get(job_id).attempts == 3 and s.state(job_id) in ("failed", "dead"), "a third attempt")
    outputs = [s.queue.get(job_id).output_text(attempt) for attempt in (1, 2, 3)]
    assert outputs[0].startswith("first\n")
    assert outputs == outputs[:1] * 3
    limited = s.queue.enqueue("cat", stdin=DATA, nice=5)
    s.wait_for(limited, "completed")
    assert s.output(limited) == DATA
    s.queue.delete(job_id)
    assert os.listdir(s.queue.layout.input) == [limited]


def test_without_an_input_a_command_reads_nothing(supervised: Make) -> None:
    s = supervised()
    s.start(1)
    ids = [s.queue.enqueue("readlink /proc/self/fd/0", **more) for more in ({}, {"nice": 5})]  # type: ignore[arg-type]
    s.wait_for(ids[1], "completed")
    assert [s.output(job_id) for job_id in ids] == [b"/dev/null\n"] * 2


def test_a_dropped_file_may_name_a_file_or_bring_its_input(supervised: Make, tmp_path: Path) -> None:
    s = supervised()
    s.start(1)
    path = tmp_path / "data"
    path.write_bytes(b"named")
    (s.home / "input/brought").write_bytes(b"brought")
    drop(s, "named", command="cat", stdin=str(path))
    drop(s, "brought", id="brought", command="cat", stdin="input")
    for job_id in ("named", "brought"):
        s.wait_for(job_id, "completed")
        assert s.output(job_id) == job_id.encode()


def test_an_input_that_cannot_be_read_is_a_failed_attempt(supervised: Make, tmp_path: Path) -> None:
    """A FIFO or a device would let the worker wait, a link in input/ could lead anywhere."""
    s = supervised(max_retries_default=0)
    s.start(1)
    fifo, link = tmp_path / "fifo", s.home / "input/link"
    os.mkfifo(fifo)
    link.symlink_to("/etc/passwd")
    ends = {
        "missing": ("input", "No such file"),
        "link": ("input", "symbolic links"),
        "fifo": (str(fifo), "is not a regular file"),
        "directory": ("/tmp", "is not a regular file"),
        "device": ("/dev/zero", "is not a regular file"),
        "gone": (str(tmp_path / "gone"), "No such file"),
    }
    for job_id, (stdin, _) in ends.items():
        drop(s, job_id, id=job_id, command="cat", stdin=stdin)
    for job_id, (_, words) in ends.items():
        s.wait_for(job_id, "dead")
        job = s.queue.get(job_id)
        assert (job.outcome, job.exit_code) == ("failed_to_start", 126)
        assert words in (job.last_error or ""), job.last_error


@pytest.mark.parametrize("verb", ["delete", "purge"])
def test_the_input_goes_with_its_job(supervised: Make, verb: str) -> None:
    s = supervised()
    kept, gone = s.queue.enqueue("cat", stdin=b"k"), s.queue.enqueue("cat", stdin=b"gone", batch="b")
    if verb == "delete":
        s.queue.delete(gone)
    else:
        s.queue.cancel(gone)
        assert s.queue.purge(batch="b").output_bytes == 4
    assert os.listdir(s.queue.layout.input) == [kept]
