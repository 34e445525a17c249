"""Torn writes: after a power cut each byte may be new, old, or NUL behind the old end. All are tried."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import pytest

from queuectl.errors import InvalidData
from queuectl.job.job_file import MAX_FILE_BYTES, Record, parse, parse_torn, render_new

AT = "2026-11-24T14:01:58.120000Z"
STARTED: dict[str, object] = {"event": "started", "attempt": 1, "at": AT, "worker": "worker-1"}
FAILED: dict[str, object] = {
    "event": "failed",
    "at": AT,
    "exit_code": 137,
    "error": 'größer "]}" €\\',
    "run_at": AT,
    "cpu_s": 12.5,
}
EDITED: dict[str, object] = {"event": "edited", "at": AT, "set": {"env": {"A": "]}"}, "tags": ["x"]}}
SECTOR = 512


def padded(fields: dict[str, object], size: int) -> dict[str, object]:
    return {"pad": "x" * size, **fields}


WITH_HISTORY = {
    "empty history": render_new({"id": "a", "command": "echo 1"}),
    "one entry": json.dumps({"command": "true", "history": [STARTED]}, separators=(",", ":")).encode() + b"\n",
    "pretty": json.dumps({"command": "true", "history": [STARTED, FAILED]}, indent=2, ensure_ascii=False).encode(),
    "pretty and empty": json.dumps({"command": "true", "history": []}, indent=2).encode(),
    "far brackets": b'{"command":"true","history":[' + b" " * 30 + b"]" + b" " * 600 + b"}" + b"\n" * 600,
    "brackets in texts": b'{"command":"echo \\"]}\\" \\"history\\":[","priority":10,"history":[]}\n',
}
WITHOUT_HISTORY = {
    "bare": b'{"command":"true"}',
    "a number last": b'{"command":"true","priority":100}\n',
    "a name that begins so": b'{"command":"true","history2":[],"h":1}',
    "pretty": json.dumps({"command": "true", "env": {"A": "b"}}, indent=2).encode(),
    "space before and behind": b'{"command":"true"' + b" " * 600 + b"}" + b"\n" * 600,
    "history in a text": b'{"name":"x","command":",\\"history\\":["}',
}


def tears(old: bytes, at: int, growth: bytes) -> Iterator[bytes]:
    """Yield what a power cut in the middle of a growth may leave."""
    new = old[:at] + growth
    size = max(len(old), len(new))
    joint = at + (12 if growth.startswith(b',"history":[') else 0)

    def mixed(is_new: list[bool], length: int) -> bytes:
        behind = old.ljust(size, b"\0")
        return bytes(new[i] if is_new[i] and i < len(new) else behind[i] for i in range(length))

    for cut in (at, *range(joint, len(new) + 1)):
        is_new = [i < cut for i in range(size)]
        yield mixed(is_new, max(len(old), cut))  # the size grew as far as the bytes did
        yield mixed(is_new, size)  # the size is on the disk, the bytes are not
        if cut == at or cut > joint:
            yield mixed([i < at or i >= cut for i in range(size)], size)  # the end got there first
    sectors = range(at // SECTOR, (size - 1) // SECTOR + 1)
    for written in itertools.product((False, True), repeat=len(sectors)):
        yield mixed([i < at or written[i // SECTOR - sectors[0]] for i in range(size)], size)


def read(data: bytes, *, without_history: bool) -> Record | None:
    try:
        return parse(data)
    except InvalidData:
        return parse_torn(data, without_history=without_history)


def check_tears(old: bytes, entry: dict[str, object], *, without_history: bool) -> int:
    before = parse(old)
    growth = before.growth(dict(entry))
    tried = 0
    for data in set(tears(old, before.grow_at, growth)):
        tried += 1
        record = read(data, without_history=without_history)
        assert record is not None, data
        assert record.fields == before.fields, data
        assert record.history in (before.history, [*before.history, entry]), data
        assert record.body + record.tail == data
        kept = data[: record.grow_at] if record.torn else data
        again = parse(kept[: record.grow_at] + record.ending(b"").growth(dict(FAILED)))
        assert (again.fields, again.history) == (before.fields, [*record.history, FAILED]), data
    return tried


@pytest.mark.parametrize("shape", WITH_HISTORY)
def test_a_torn_growth_reads_as_the_job_before_or_after_it(shape: str) -> None:
    """Whatever part of an entry reached the disk, in whatever order; also in pending/."""
    tried = 0
    for entry in (STARTED, FAILED, EDITED):
        tried += check_tears(WITH_HISTORY[shape], entry, without_history=False)
    print(tried, "tears")
    assert tried > 500


@pytest.mark.parametrize("shape", WITHOUT_HISTORY)
def test_a_torn_first_growth_reads_as_the_job_before_or_after_it(shape: str) -> None:
    """Where the file was whole before: in processing/, done/ and dead/."""
    tried = check_tears(WITHOUT_HISTORY[shape], STARTED, without_history=True)
    print(tried, "tears")
    assert tried > 100


@pytest.mark.parametrize("offset", range(-20, 5))
def test_a_sector_may_end_anywhere(offset: int) -> None:
    bare = parse(render_new(padded({"command": "true"}, 0))).grow_at
    old = render_new(padded({"command": "true"}, SECTOR - bare % SECTOR + offset + SECTOR))
    assert (parse(old).grow_at - offset) % SECTOR == 0
    assert check_tears(old, STARTED, without_history=False) > 100


def test_an_entry_that_is_whole_but_not_closed_is_not_taken() -> None:
    """Its end may be a bracket of the old tail: a shorter entry would pass for the true one."""
    data = b'{"command":"true","history":[{"event":"failed","at":"' + AT.encode() + b'"} \n}\n'
    record = parse_torn(data, without_history=False)
    assert record is not None
    assert record.history == []


def test_no_prefix_of_a_strangers_file_is_a_job() -> None:
    """Half of what somebody writes never runs: in pending/ a file without a history is read strictly.

    Proves G3. Hole H5.
    """
    for text in WITHOUT_HISTORY.values():
        whole = text.rstrip()
        for size in range(len(whole)):
            for data in (whole[:size], whole[:size] + bytes(len(whole) - size)):
                assert read(data, without_history=False) is None


@pytest.mark.parametrize("shape", WITHOUT_HISTORY)
def test_what_the_author_wrote_is_never_guessed(shape: str) -> None:
    """A file that lost some of the author's own bytes is either read with all his members or not at all.

    Proves G10. Hole H5.
    """
    whole = WITHOUT_HISTORY[shape].rstrip()
    fields = parse(whole).fields
    for size in range(len(whole)):
        record = read(whole[:size] + bytes(len(whole) - size), without_history=True)
        assert record is None or record.fields == fields


@pytest.mark.parametrize(
    "data",
    [
        b'{"command":"true","history":[],"id":"x"}',
        b'{"command":"true","history":[],"command":"false"}',
        b'{"command":"true","command":"false","history":[]}',
        b'{"command":"true","history":[{"event":"exploded","at":"' + AT.encode() + b'"}]}',
        b'{"command":"true","history":[{"event":"failed","at":NaN}]}',
        b'{"priority":5,"history":[]}',
        b'{"command":7,"history":[]',
        b'{"command":"true","priority":"high","history":[{"ev',
        b'{"command":"a\\u0000","history":[',
        b'{"command":"\\ud800","history":[',
        b'{"a":{"x":1,"x":2},"command":"true","history":[',
        b'["command"]',
        b"",
        b"\0" * 600,
        b'\xff{"command":"true","history":[',
        b"[" * 100_000,
        b'{"command":"true","history":[' + b" " * MAX_FILE_BYTES,
    ],
    ids=lambda data: repr(data[:40]),
)
def test_a_file_that_is_wrong_and_not_torn_is_not_salvaged(data: bytes) -> None:
    """A whole text that breaks a rule was written so; and the author's part is held to the rules either way."""
    with pytest.raises(InvalidData):
        parse(data)
    assert parse_torn(data, without_history=True) is None


def test_damage_in_a_character_ends_the_good_part() -> None:
    entry = json.dumps({**FAILED, "error": "größer"}, ensure_ascii=False).encode()
    data = b'{"command":"true","history":[' + entry[: entry.index("ö".encode()) + 1]
    record = parse_torn(data, without_history=False)
    assert record is not None
    assert (record.history, record.torn) == ([], True)
    assert record.tail == data[record.grow_at :]
