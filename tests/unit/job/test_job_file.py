"""The bytes of a job file: what is read, how it grows, what is carried over when it is written anew."""

from __future__ import annotations

import json
from typing import Any

import pytest

from queuectl.errors import InvalidData
from queuectl.job.history import EVENTS, KEPT, LEADS_TO, edited, last_event, leads_to, with_changes, wrong_with
from queuectl.job.job_file import (
    CLOSE,
    MAX_BYTES,
    MAX_ENTRY_BYTES,
    MAX_FILE_BYTES,
    Record,
    parse,
    render_entry,
    render_new,
)

AT = "2026-11-24T14:01:58.120000Z"
STARTED = {"event": "started", "attempt": 1, "at": AT, "worker": "worker-1"}
FAILED = {"event": "failed", "at": AT, "exit_code": 1, "error": "no such file", "run_at": AT}
KEPT_VALUES: dict[str, Any] = {
    **dict.fromkeys(KEPT),
    **{
        "attempts": 1,
        "failures": 1,
        "interruptions": 0,
        "snoozes": 0,
        "created_at": AT,
        "run_at": AT,
        "updated_at": AT,
    },
}
COMPACTED = {"event": "compacted", "at": AT, "last_event": "failed", "kept": KEPT_VALUES}


def grow(data: bytes, entry: dict[str, Any]) -> bytes:
    """Return the file after one growth, as a claim makes it."""
    record = parse(data)
    growth = record.growth(dict(entry))
    grown = data[: record.grow_at] + growth
    after = parse(grown)
    written = dict(entry)
    predicted = record.grown(written, record.growth(written))
    assert (after.fields, after.history, after.body, after.tail) == (
        predicted.fields,
        predicted.history,
        predicted.body,
        predicted.tail,
    )
    return grown


SHAPES = {
    "ours": render_new({"id": "a", "command": "true"}),
    "without a history": b'{"command":"true"}',
    "with a final line feed": b'{"command":"true"}\n',
    "with much white space behind": b'{"command":"true"}' + b" \n\t\r" * 300,
    "white space before the bracket": b'{"command":"true"' + b" \n" * 300 + b"}\n",
    "white space in front": b'\n\n {"command":"true"}',
    "pretty, without a history": json.dumps({"command": "true", "env": {"A": "b"}}, indent=2).encode(),
    "pretty, with an empty history": json.dumps({"command": "true", "history": []}, indent=4).encode() + b"\n",
    "pretty, with a history": json.dumps({"command": "true", "history": [STARTED, FAILED]}, indent=2).encode(),
    "space inside the empty list": b'{"command":"true","history":[  \n ] \n } \n',
    "brackets far apart": b'{"command":"true","history":[]' + b" " * 700 + b"}" + b" " * 700,
    "history as text and key": b'{"command":"echo \\",\\"history\\":[\\"","env":{"history":"[]}"}}',
    "a name that begins so": b'{"command":"true","history2":[1]}',
    "an escaped key": b'{"command":"true","hist\\u006fry":[]}',
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_file_of_any_shape_grows_by_whole_entries(shape: str) -> None:
    """Nothing in front of the growth changes, and every stage is a valid job."""
    data = SHAPES[shape]
    before = parse(data)
    assert before.has_history == (
        shape == "ours"
        or "empty" in shape
        or shape in ("pretty, with a history", "brackets far apart", "an escaped key")
    )
    for number in range(1, 4):
        grown = grow(data, STARTED)
        assert grown.startswith(parse(data).body)
        data = grow(grown, FAILED)
        after = parse(data)
        assert after.history == before.history + [STARTED, FAILED] * number
        assert after.fields == before.fields
        assert after.has_history


def test_a_growth_covers_every_byte_of_the_old_tail() -> None:
    """A longer tail would leave its end standing behind the new brackets."""
    for data in SHAPES.values():
        record = parse(data)
        assert len(record.growth(dict(STARTED))) >= len(record.tail)
        assert data == record.body + record.tail


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"history":[],"command":"true"}', '"history" must be the last member'),
        (b'{"command":"true","history":{}}', '"history" must be a list'),
        (b'{"command":"true","history":null}', '"history" must be a list'),
        (b'{"command":"true","history":[1]}', "history entry 1: expected an object"),
        (b'{"command":"true","history":[{}]}', 'history entry 1: "event" is missing'),
        (b'{"command":"true","history":[{"event":"started"}]}', 'history entry 1: "at" is missing'),
        (b'{"command":1}', 'line 1, column 2: "command" must be a non-empty string, not 1'),
        (b'{\n  "command": "true",\n  "priority": "high"\n}', 'line 3, column 3: "priority" must be an integer'),
        (b"{}", "has either"),
        (b'{"command":"true","after":[]}', "a list of 1 to 1,000 different job ids"),
    ],
)
def test_a_file_that_is_no_job_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(InvalidData) as caught:
        parse(data)
    assert str(caught.value).startswith("not a valid job: line ")
    assert words in str(caught.value)


def test_the_size_of_the_authors_part_and_of_the_file_are_limited() -> None:
    def file(author: int, history: bytes = b"") -> bytes:
        head = b'{"command":"true","x":"'
        return head + b"x" * (author - len(head) - 1) + b'"' + history + b"}"

    parse(file(MAX_BYTES - 1))
    with pytest.raises(InvalidData, match=f"{MAX_BYTES + 1} bytes; at most {MAX_BYTES}"):
        parse(file(MAX_BYTES))
    entry = json.dumps(FAILED).encode()
    long = b',"history":[' + b",".join([entry] * (MAX_BYTES // (len(entry) + 1) - 10)) + b"]"
    parse(file(MAX_BYTES - 1, long))
    with pytest.raises(InvalidData, match=f"at most {MAX_BYTES}"):
        parse(file(MAX_BYTES + 1, b',"history":[]'))
    with pytest.raises(InvalidData, match=f"at most {MAX_FILE_BYTES}"):
        parse(b" " * (MAX_FILE_BYTES + 1))


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_is_accepted_with_what_it_carries(event: str) -> None:
    assert wrong_with(COMPACTED if event == "compacted" else {"event": event, "at": AT}) is None


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("started", "expected an object"),
        ({"event": "exploded", "at": AT}, '"event" must be "started" or'),
        ({"event": ["started"], "at": AT}, '"event" must be'),
        ({"event": "started", "at": "now"}, '"at" must be an RFC 3339'),
        ({"event": "started", "at": 1}, '"at" must be an RFC 3339'),
        ({"event": "failed", "at": AT, "run_at": None}, '"run_at" must be'),
        ({"event": "started", "at": AT, "attempt": 0}, '"attempt" must be an integer from 1'),
        ({"event": "started", "at": AT, "attempt": True}, '"attempt" must be'),
        ({"event": "started", "at": AT, "attempt": 10**9}, '"attempt" must be'),
        ({"event": "started", "at": AT, "worker": 1}, '"worker" must be a string'),
        ({"event": "failed", "at": AT, "exit_code": 1.5}, '"exit_code" must be'),
        ({"event": "failed", "at": AT, "exit_code": 1 << 70}, '"exit_code" must be'),
        ({"event": "failed", "at": AT, "timed_out": 1}, '"timed_out" must be true or false'),
        ({"event": "failed", "at": AT, "cpu_s": "1"}, '"cpu_s" must be seconds'),
        ({"event": "edited", "at": AT, "set": []}, '"set" must be an object'),
        ({"event": "edited", "at": AT, "set": {"id": "b"}}, 'without "id"'),
        ({"event": "edited", "at": AT, "set": {"history": []}}, 'without "history"'),
        ({"event": "compacted", "at": AT, "last_event": ""}, '"kept" is missing'),
        ({"event": "compacted", "at": AT, "kept": KEPT_VALUES}, '"last_event" is missing'),
        ({**COMPACTED, "last_event": "compacted"}, '"last_event" must be'),
        ({**COMPACTED, "kept": {}}, '"kept" must be an object whose "attempts" is an integer'),
        ({**COMPACTED, "kept": {**KEPT_VALUES, "run_at": 1e300}}, '"run_at" is an RFC 3339'),
        ({**COMPACTED, "kept": {**KEPT_VALUES, "attempts": "1"}}, '"attempts" is an integer'),
        ({**COMPACTED, "kept": 1}, '"kept" must be an object'),
    ],
)
def test_an_entry_that_could_surprise_us_later_is_refused(entry: object, words: str) -> None:
    assert words in (wrong_with(entry) or "")


def test_members_of_an_entry_that_we_do_not_know_are_kept() -> None:
    entry = {**STARTED, "host": {"any": [1]}}
    data = b'{"command":"true","history":[' + json.dumps(entry).encode() + b"]}"
    assert parse(grow(data, FAILED)).history == [entry, FAILED]


def test_where_each_event_leads() -> None:
    assert {event: leads_to([{"event": event}]) for event in LEADS_TO} == LEADS_TO
    assert leads_to([]) is None
    assert leads_to([STARTED]) is None
    assert leads_to([FAILED, COMPACTED]) == "pending"
    assert leads_to([{**COMPACTED, "last_event": "died"}]) == "dead"
    assert leads_to([{**COMPACTED, "last_event": "started"}]) is None
    assert last_event([{**COMPACTED, "last_event": ""}]) == ""


def test_edits_add_up_and_null_takes_a_member_away() -> None:
    fields = {"command": "a", "x": None, "priority": 1}
    history: list[dict[str, Any]] = [
        {"event": "edited", "set": {"command": "b", "queue": "q"}},
        {"event": "held", "set": {"command": "never"}},
        {"event": "edited", "set": {"priority": None, "tags": ["t"], "never": None}},
        {"event": "edited"},
    ]
    assert edited(fields, history) == {"command": "b", "x": None, "queue": "q", "tags": ["t"]}
    history.append({"event": "revived", "set": {"queue": None}})
    assert edited(fields, history) == {"command": "b", "x": None, "tags": ["t"]}
    assert edited(fields, []) is fields
    assert with_changes(fields, {}) == fields


def test_the_result_of_the_edits_has_to_be_a_job_too() -> None:
    entry = json.dumps({"event": "edited", "at": AT, "set": {"command": None}}).encode()
    with pytest.raises(InvalidData, match="has either"):
        parse(b'{"command":"true","history":[' + entry + b"]}")


@pytest.mark.parametrize(
    "data",
    [
        b'{"command":"true","tags":["a"]}',
        b'{"argv":["true"],"x":{"y":[]}}',
        b'{"command":"true","x":{"history":[]}}\n',
        b'{"command":"echo \\"history\\":[]}","x":[{}]}',
        b'{"x":{"history":[{}]},"command":"]}","history":[] }',
    ],
)
def test_where_a_file_grows_is_found_by_parsing_not_by_looking_at_its_bytes(data: bytes) -> None:
    """A list of the author's may end as a history does, and his words may look like one. Proves G10. Hole H1."""
    before = parse(data)
    after = parse(grow(grow(data, STARTED), FAILED))
    assert (after.fields, after.history) == (before.fields, [STARTED, FAILED])


def test_a_long_text_in_an_entry_loses_its_beginning() -> None:
    """Until the entry fits; whatever the text is made of, not much more is cut than has to be."""
    for text in ("x" * 5000, "é" * 5000, "\x1b" * 5000, '"' * 5000, "€" * 100_000, "\U0001f600" * 3000):
        entry = {**FAILED, "error": text + "END"}
        data = render_entry(entry)
        assert MAX_ENTRY_BYTES - 16 <= len(data) <= MAX_ENTRY_BYTES
        assert str(entry["error"]).endswith("END")
        assert json.loads(data) == entry


def test_an_entry_is_at_most_two_kibibytes() -> None:
    """Whatever a command's last words are; else a few failures would make a file that is too large to be read.

    Hole H2.
    """
    assert len(render_entry({**FAILED, "error": "x" * 100_000})) <= 2048


def test_several_long_texts_are_all_cut() -> None:
    entry = {"event": "died", "at": AT, "reason": "r" * 3000, "error": "e" * 3000, "worker": "w" * 3000}
    assert len(render_entry(entry)) <= MAX_ENTRY_BYTES
    assert json.loads(render_entry(entry))["at"] == AT


def test_an_entry_that_cannot_be_cut_is_refused() -> None:
    with pytest.raises(InvalidData, match="history entry"):
        render_entry({"event": "edited", "at": AT, "set": {"command": "x" * 3000}})


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a\0b", "a\ufffdb"),
        ("a\udcffb", "a?b"),
        ("\ud83d", "?"),
        ("tab\tnew\nline\x1b[0m", "tab\tnew\nline\x1b[0m"),
        ("😀", "😀"),
    ],
)
def test_what_a_command_writes_can_always_be_recorded(text: str, read: str) -> None:
    """A NUL or half a character in an error text must not make the job unreadable."""
    data = grow(render_new({"command": "true"}), {**FAILED, "error": text})
    assert parse(data).history[-1]["error"] == read


def test_a_file_written_anew_carries_the_authors_bytes_over() -> None:
    """Numbers, escapes and spacing are the author's: nothing is spelled differently unless it is edited. Proves G10."""
    head = b'{"command" :"echo \\u00e9","big":1e9, "deep":[ 1.50, {"x":-0}],"priority": 5 '
    record = parse(head + b',"history": [\n' + json.dumps(STARTED).encode() + b"\n]}")
    same = record.rewritten()
    assert same.body + same.tail == record.body + CLOSE
    with_history = parse(head + b"}\n  ").rewritten()
    assert with_history.body + with_history.tail == head.rstrip() + b',"history":[]}\n'
    compact = record.compacted(COMPACTED)
    assert compact.body.startswith(
        b'{"command" :"echo \\u00e9","big":1e9,"deep":[ 1.50, {"x":-0}],"priority": 5,"history":['
    )
    change = record.with_edit(edit({"command": "ls", "priority": None, "queue": "q"}))
    assert change.body.startswith(b'{"command":"ls","big":1e9,"deep":[ 1.50, {"x":-0}],"queue":"q","history":[')
    for made in (same, with_history, compact, change):
        read = parse(made.body + made.tail)
        assert (read.fields, read.history, read.body, read.tail) == (made.fields, made.history, made.body, made.tail)


def edit(changes: dict[str, Any]) -> dict[str, Any]:
    return {"event": "edited", "at": AT, "set": changes}


def test_an_edit_by_rewriting_keeps_when_the_edits_before_it_wanted_the_job_to_run() -> None:
    data = render_new({"command": "a", "run_at": "2030-01-01T00:00:00Z"})
    data = grow(data, edit({"run_at": None}))
    data = grow(data, edit({"run_at": "2031-01-01T00:00:00Z"}))
    record = parse(data).with_edit(edit({"queue": "q"}))
    assert [entry.get("run_at") for entry in record.history] == [AT, "2031-01-01T00:00:00Z", None]


def test_an_edit_by_rewriting_takes_in_the_edits_before_it() -> None:
    data = render_new({"command": "a"})
    data = grow(data, {"event": "edited", "at": AT, "set": {"command": "b", "queue": "q"}})
    data = grow(data, {"event": "held", "at": AT})
    record = parse(data).with_edit(edit({"run_at": "2030-01-01T00:00:00Z", "cwd": "/"}))
    read = parse(record.body + record.tail)
    wanted = {"command": "b", "queue": "q", "run_at": "2030-01-01T00:00:00Z", "cwd": "/"}
    assert read.fields == edited(read.fields, read.history) == wanted
    assert [entry["event"] for entry in read.history] == ["edited", "held", "edited"]
    assert read.history[-1]["run_at"] == "2030-01-01T00:00:00Z"


def test_an_edit_that_makes_the_job_too_long_is_refused() -> None:
    with pytest.raises(InvalidData, match=f"at most {MAX_BYTES}"):
        parse(render_new({"command": "a"})).with_edit(edit({"x": "x" * MAX_BYTES}))


def test_a_record_with_a_cut_tail_grows_from_there() -> None:
    whole = parse(render_new({"command": "a"}))
    cut = whole.ending(b"")
    assert cut.growth(dict(STARTED)) == whole.growth(dict(STARTED))
    assert Record({}, [], b"", b"", has_history=False).closing == b"}\n"
