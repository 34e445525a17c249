"""Inputs of jobs: copied before the job is there, removed after it is gone, never taken from another job."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO

import pytest

from queuectl.errors import Busy, Conflict, InvalidData, NotFound
from queuectl.job.fields import InvalidField
from queuectl.spool import enqueue, inputs
from tests.support.spools import Home

DATA = bytes(range(256)) * 5000


def put(spool: Home, data: bytes | BinaryIO = DATA, **fields: object) -> str:
    source = io.BytesIO(data) if isinstance(data, bytes) else data
    return spool.enqueue({"command": "cat", **fields}, source)


def kept(spool: Home) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(spool.layout.input).iterdir()}


def test_the_input_is_copied_and_named_after_its_job(spool: Home) -> None:
    job_id = put(spool)
    assert kept(spool) == {job_id: DATA}
    assert spool.job(job_id).fields["stdin"] == "input"
    assert os.stat(spool.layout.input_of(job_id)).st_mode & 0o777 == 0o600
    empty = put(spool, b"", id="empty")
    assert kept(spool)[empty] == b""
    assert spool.litter() == []


def test_an_input_of_any_length_is_read_to_its_end(spool: Home) -> None:
    """A pipe gives what it has."""
    reading, writing = os.pipe()
    if not os.fork():
        for start in range(0, len(DATA), 50_000):
            os.write(writing, DATA[start : start + 50_000])
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as file:
        job_id = put(spool, file)
    os.wait()
    assert kept(spool) == {job_id: DATA}


class _Unread(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise AssertionError("it was read")


@pytest.mark.parametrize(
    ("fields", "error"), [({"nice": 99}, InvalidField), ({"id": "a/b"}, InvalidField), ({"id": "there"}, Conflict)]
)
def test_what_is_refused_anyway_is_not_copied(spool: Home, fields: dict[str, object], error: type[Exception]) -> None:
    put(spool, id="there")
    with pytest.raises(error):
        put(spool, _Unread(), **fields)
    assert kept(spool) == {"there": DATA}


def test_more_than_the_limit_is_refused_and_leaves_nothing(spool: Home) -> None:
    spool.settings = spool.settings.from_dict({**spool.settings.as_dict(), "max_input": 2048})
    put(spool, DATA[:2048], id="fits")
    with pytest.raises(InvalidData, match=r"the input has more than max_input \(2KiB\)"):
        put(spool, DATA[:2049])
    assert [*kept(spool)] == ["fits"]
    assert spool.litter() == []
    assert [*spool.ids("pending")] == ["fits"]


def test_a_disk_that_becomes_full_is_not_filled_up(spool: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    free = iter((1 << 40, 1 << 40, 0))
    monkeypatch.setattr(type(spool.files), "free_bytes", lambda *_: (next(free, 0), 1 << 40))
    with pytest.raises(Busy):
        put(spool, bytes(3 * inputs.CHUNK_BYTES))
    assert kept(spool) == {}
    assert spool.litter() == []


def test_a_generated_id_that_another_process_took_costs_no_input(spool: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = spool.put("pending")
    ids = iter((taken, "fresh"))
    monkeypatch.setattr(enqueue, "new_id", lambda _: next(ids))
    assert put(spool) == "fresh"
    assert kept(spool) == {"fresh": DATA}


def test_two_processes_that_enqueue_one_id_do_not_mix_their_inputs(spool: Home) -> None:
    first = inputs.stage(spool, io.BytesIO(b"first"))
    first.publish("a")
    with pytest.raises(Conflict):
        put(spool, b"second", id="a")
    assert spool.enqueue({"command": "cat", "stdin": "input", "id": "a"}) == "a"
    first.close(is_used=True)
    with pytest.raises(Conflict):
        put(spool, b"second", id="a")
    assert kept(spool) == {"a": b"first"}


def test_an_input_that_a_killed_process_left_is_replaced(spool: Home) -> None:
    Path(spool.layout.input_of("a")).write_bytes(b"half")
    put(spool, b"whole", id="a")
    assert kept(spool) == {"a": b"whole"}


def test_an_input_of_a_job_without_the_field_is_not_taken(spool: Home) -> None:
    spool.put("completed", id="a")
    Path(spool.layout.input_of("a")).write_bytes(b"theirs")
    with pytest.raises(Conflict):
        put(spool, id="a")
    assert kept(spool) == {"a": b"theirs"}


def test_a_deleted_job_takes_its_input_along_but_not_that_of_its_successor(spool: Home) -> None:
    put(spool, b"old", id="a")
    inode = inputs.inode_of(spool, "a")
    with spool.take("a") as claim:
        claim.delete()
    assert kept(spool) == {}
    put(spool, b"new", id="a")
    assert inode is not None
    assert inputs.remove_orphan(spool, "a", inode) is None
    with pytest.raises(NotFound):
        spool.take("b")
    assert kept(spool) == {"a": b"new"}


def test_only_what_no_process_uses_is_an_orphan(spool: Home) -> None:
    assert inputs.remove_orphan(spool, "a") == 0
    staged = inputs.stage(spool, io.BytesIO(DATA))
    staged.publish("a")
    assert inputs.remove_orphan(spool, "a") is None
    staged.close(is_used=True)
    assert inputs.remove_orphan(spool, "a") == len(DATA)
    os.mkdir(spool.layout.input_of("a"))
    assert inputs.remove_orphan(spool, "a") is None
