"""What an author may say, field by field, and the ids of jobs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import pytest

from queuectl.cli.verbs import load
from queuectl.clock import INSTANTS_MAX, instant_of, stamp
from queuectl.errors import InvalidData
from queuectl.ids import ID_MAX, is_id, new_id
from queuectl.job.checks import LONGEST_ARGUMENT, NAME_MAX
from queuectl.job.fields import (
    EDITABLE,
    FIELDS,
    HOOKS,
    RUNS,
    InvalidField,
    UnknownField,
    command_line,
    meant_by,
    misspelt,
    refuse_misspelt,
    unknown,
    validate,
)

GOOD: dict[str, list[Any]] = {
    "id": ["a", "0", "A.b_c-d", "nightly@20261130T013000Z", "x" * ID_MAX],
    "command": ["true", " echo hi ", "é\n", "x" * LONGEST_ARGUMENT, "é" * (LONGEST_ARGUMENT // 2)],
    "argv": [["true"], ["echo", ""], ["echo", "x" * LONGEST_ARGUMENT]],
    "queue": ["default", "q.1"],
    "name": [
        "nightly",
        "nightly encode",
        "Jürgen",
        "夜間 エンコード",
        "می\u200cخواهم",
        "a/b: c!",
        " x ",
        "é" * NAME_MAX,
    ],
    "batch": ["b1"],
    "priority": [-1000, 0, 1000],
    "tags": [[], ["a", "b c"]],
    "max_retries": [0, 1000],
    "timeout": [0, 0.5, 315360000],
    "kill_after": [0.1, 10],
    "backoff_base": [0.5, 1, 2],
    "backoff_max": [1],
    "backoff_jitter": [0, 0.5, 1],
    "run_at": ["2026-11-24T14:01:58Z", "2026-11-24t14:01:58.5+05:30"],
    "expires_at": ["9999-12-31T23:59:59Z"],
    "cwd": ["/", "/tmp/a b"],
    "env": [{}, {"A": "", "B": "x=y"}, {"A": "x" * (LONGEST_ARGUMENT - 2)}],
    "stdin": ["input", "/", "/a b/c"],
    "unique_key": ["k", "x" * 256],
    "after": [["a"], ["b.1", "a"], [f"j{n}" for n in range(1000)]],
    "after_policy": ["success", "any", "failure"],
    "lock": ["db", "db:1", "a.b-c:1000"],
    "needs": [{"gpu": 1}, {"gpu": 998, "license": 2}],
    "weight": [1, 1000],
    "shell": ["bash", "/usr/bin/zsh", "x" * 256],
    "nice": [-20, 0, 19],
    "ionice": ["idle", "best-effort", "best-effort:0", "realtime", "realtime:7"],
    "memory": [1 << 20, 1 << 50],
    "cpu_time": [0.5, 60, 315360000],
    **{hook: ["true", "x" * LONGEST_ARGUMENT, "a\nb"] for hook in (*HOOKS, "on_batch_done")},
    "leftovers": ["end", "leave"],
    "on_interrupt": ["requeue", "bury"],
    "state": ["pending"],
    "attempts": [0],
    "created_at": ["2026-11-24T14:01:58.123456Z"],
    "updated_at": ["2026-11-24T14:01:58Z"],
}
BAD: dict[str, list[Any]] = {
    "id": ["", ".a", "-a", "@a", "a/b", "a b", "a\n", "é", "x" * (ID_MAX + 1), 1, None],
    "command": ["", "  ", None, ["true"], 1, "x" * (LONGEST_ARGUMENT + 1), "é" * (LONGEST_ARGUMENT // 2 + 1)],
    "argv": [[], [""], "true", ["a", 1], None, ["a", "x" * (LONGEST_ARGUMENT + 1)]],
    "queue": ["", "a/b", 1],
    "name": [
        *(
            "",
            "   ",
            None,
            7,
            ["a"],
            "a\nb",
            "a\n",
            "a\tb",
            "\x1b[31mred",
            "a\x7f",
            "a\x85b",
            "a\u2028b",
            "\u202egnp.exe",
        ),
        *("\u200fa", "\u2066a", "\ufeffa", "é" * (NAME_MAX + 1)),
    ],
    "batch": [True],
    "priority": [-1001, 1001, 1.0, True, "1", None],
    "tags": ["a", [""], [1], None],
    "max_retries": [-1, 1001, 3.0, True, "3", None],
    "timeout": [-1, 315360001, True, "1", None, float("nan"), float("inf")],
    "kill_after": [0, -1, "10"],
    "backoff_base": [0, -2],
    "backoff_max": [0],
    "backoff_jitter": [-0.1, 1.1],
    "run_at": [
        "2026-11-24T14:01:58",
        "2026-11-24",
        "now",
        0,
        "2026-02-30T00:00:00Z",
        "2026-W47-2T14:01:58Z",
        "2026-11-24T14:01:58+00:60",
        "20२6-11-24T14:01:58Z",
    ],
    "expires_at": [None],
    "cwd": ["", "tmp", "~/x", 1],
    "env": [[], {"": "x"}, {"A=B": "x"}, {"A": 1}, {1: "x"}, "A=B", {"A": "x" * (LONGEST_ARGUMENT - 1)}],
    "stdin": ["", "inputs", "input/a", "input\n", "a/b", "~/x", "-", True, None, ["/a"]],
    "unique_key": ["", "x" * 257],
    "leftovers": ["keep", None],
    "on_interrupt": ["retry"],
    "after": [[], "a", ["a", "a"], ["a/b"], [1], [f"j{n}" for n in range(1001)]],
    "after_policy": ["succes", "all", None],
    **{hook: ["", " ", 1, None, ["true"], "x" * (LONGEST_ARGUMENT + 1)] for hook in (*HOOKS, "on_batch_done")},
    "lock": ["", ":2", "db:", "db:0", "db:1001", "db:x", "d b", 1, "db:2:3", "db:\u0662"],
    "needs": [
        {},
        [],
        {"gpu": 0},
        {"gpu": 1001},
        {"gpu": True},
        {"g p": 1},
        "gpu",
        {"gpu": 999, "x": 2},
        dict.fromkeys("abcdefghijklmnopq", 1),
    ],
    "weight": [0, 1001, 1.5, "2", True],
    "shell": ["", " ", "x" * 257, 1, ["bash"], None],
    "nice": [-21, 20, 1.5, "5", True, None],
    "ionice": ["", "Idle", "idle:1", "best-effort:", "best-effort:8", "best-effort:77", "realtime:-1", "none", 2, None],
    "memory": [0, 500, (1 << 20) - 1, (1 << 50) + 1, 1e9, "500M", True, None],
    "cpu_time": [0, -1, "1m", True, 315360001],
    "state": ["processing", "failed", None],
    "attempts": [1, False, 0.0],
    "created_at": [1, "yesterday"],
    "updated_at": ["2026-11-24T25:00:00Z"],
}


def fields_with(field: str, value: object) -> dict[str, object]:
    others = {} if field in ("command", "argv") else {"command": "true"}
    if field == "on_batch_done":
        others["batch"] = "b"
    return {**others, field: value}


@pytest.mark.parametrize(("field", "value"), [(f, v) for f, values in GOOD.items() for v in values])
def test_a_good_value_is_accepted(field: str, value: object) -> None:
    validate(fields_with(field, value))


@pytest.mark.parametrize(("field", "value"), [(f, v) for f, values in BAD.items() for v in values])
def test_a_bad_value_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(InvalidField, match=f'^"{field}" must be ') as caught:
        validate(fields_with(field, value))
    assert caught.value.field == field
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(
    os.sysconf("SC_PAGE_SIZE") != 4096 or sys.platform != "linux", reason="where pages are larger, so is the limit"
)
def test_what_is_accepted_can_be_run_and_one_byte_more_cannot() -> None:
    fits = ": " + "x" * (LONGEST_ARGUMENT - 2)
    assert subprocess.run(["/bin/sh", "-c", fits], check=False).returncode == 0
    with pytest.raises(OSError, match="too long"):
        subprocess.run(["/bin/sh", "-c", f"{fits}x"], check=False)


def test_every_field_has_good_and_bad_examples_here() -> None:
    assert GOOD.keys() == FIELDS.keys() == BAD.keys()


@pytest.mark.parametrize("fields", [{}, {"argv": ["a"], "command": "a"}, {"id": "x"}])
def test_a_job_has_exactly_one_of_command_and_argv(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidField, match="has either"):
        validate(fields)


def test_fields_that_are_not_ours_may_hold_anything() -> None:
    validate({"command": "true", "x-team": {"any": [None, 1.5]}, "History": 1})


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, 10**5000, object()], ids=["bytes", "set", "huge", "object"])
def test_a_value_that_json_cannot_hold_is_shown_all_the_same(value: object) -> None:
    with pytest.raises(InvalidField) as caught:
        validate({"command": value})
    assert len(str(caught.value)) < 200


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(InvalidData, match=r"\.\.\.$"):
        validate({"command": "true", "priority": "9" * 500})


def test_ids_of_one_process_sort_by_creation_even_if_the_clock_goes_back() -> None:
    nows = [1_800_000_000.0, 1_800_000_000.0, 1_800_000_000.001, 1_700_000_000.0, 1_800_000_001.0]
    made = [new_id(now) for now in nows for _ in range(100)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert all(is_id(each) and len(each) == 16 for each in made)


def test_threads_never_get_the_same_id() -> None:
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda: made.extend([new_id(1_800_000_002.0) for _ in range(500)])) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 4000


def test_a_forked_child_does_not_repeat_its_parents_ids() -> None:
    new_id(1_900_000_000.0)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, new_id(1_900_000_000.0).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    theirs = os.read(read, 100).decode()
    os.close(read)
    os.close(write)
    assert theirs != new_id(1_900_000_000.0)
    assert len(theirs) == 16


def test_a_stamp_reads_back_as_the_instant_it_spells() -> None:
    """Also when the cache has been emptied meanwhile, and across the end of a second."""
    nows = [1_800_000_000.0, 1_800_000_000.999_999_6, 1_799_999_999.25, 0.0, 1_800_000_000.123_456_7]
    first = [(stamp(now), instant_of(stamp(now))) for now in nows]
    for number in range(INSTANTS_MAX + 1):
        stamp(number)
    assert [(text, instant_of(text)) for text, _ in first] == first
    assert first[0][0] == "2027-01-15T08:00:00.000000Z"
    assert first[1][0] == "2027-01-15T08:00:01.000000Z"


def test_a_misspelt_field_is_noticed() -> None:
    assert misspelt({"comand": 1, "Priority": 2, "x-team": 3, "history": []}) == {
        "comand": "command",
        "Priority": "priority",
    }
    assert misspelt({"command": "true"}) == {}
    assert misspelt({"delay": 5, "retries": 1, "unique": "k"}) == {
        "delay": "run_at",
        "retries": "max_retries",
        "unique": "unique_key",
    }


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        ("at delay runAt run-at", "run_at"),
        ("expires expire_at ttl", "expires_at"),
        ("prio priorty Priority", "priority"),
        ("max_retry maxRetries max_attempts", "max_retries"),
        ("working_dir workdir", "cwd"),
        ("comand cmd commnad", "command"),
        ("args", "argv"),
        ("time_limit timeouts TimeOut", "timeout"),
        ("environment pass_env", "env"),
        ("tag labels", "tags"),
    ],
)
def test_a_new_job_must_not_have_a_member_that_looks_like_a_field(names: str, meant: str) -> None:
    for name in names.split():
        with pytest.raises(UnknownField, match=f'^unknown field "{name}"; did you mean "{meant}"\\?$'):
            refuse_misspelt({"command": "x", name: 1})


def test_every_option_of_enqueue_that_describes_a_job_is_known_as_a_member() -> None:
    """A person who writes JSON uses the names of the options."""
    about_the_call = {"job", "file", "lines", "on-conflict", "resume", "wait", "follow", "wait-timeout", "propagate"}
    about_the_call |= {"no-check", "dry-run"}
    options = {names[-1].lstrip("-") for names, _ in load("enqueue").options} - about_the_call
    assert {name for name in options if name not in FIELDS and meant_by(name) is None} == set()


def test_members_of_the_author_that_resemble_no_field_are_kept() -> None:
    own = "pid uid block clock patch match later size user start end title script x-team created createdAt status date"
    assert {name: meant for name, meant in unknown(own.split()).items() if meant} == {"createdAt": "created_at"}
    refuse_misspelt({"command": "x", "tag": "a", "createdAt": "b", "ID": "c"}, RUNS)  # a dropped file runs as it would


def test_a_misspelt_command_is_named_and_not_said_to_be_missing() -> None:
    with pytest.raises(UnknownField, match='"comand"; did you mean "command"'):
        validate({"comand": "x"})


def test_a_command_is_shown_as_a_person_would_type_it() -> None:
    assert command_line({"command": "echo hi"}) == "echo hi"
    assert command_line({"argv": ["echo", "a b"]}) == "echo 'a b'"


def test_what_tells_a_job_from_others_cannot_be_edited() -> None:
    assert {"id", "stdin", "state", "attempts", "created_at", "updated_at", "unique_key"} == FIELDS.keys() - EDITABLE


@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        ("timeout", "10m", 'as a number of seconds: "timeout": 600'),
        ("kill_after", "500ms", 'as a number of seconds: "kill_after": 0.5'),
        ("memory", "50M", 'as a number of bytes: "memory": 52428800'),
        ("timeout", "soon", None),
        ("priority", "10", None),
    ],
)
def test_a_duration_or_a_size_as_text_is_shown_as_a_number(field: str, value: str, hint: str | None) -> None:
    with pytest.raises(InvalidField) as refused:
        validate({"command": "true", field: value})
    assert refused.value.hint == hint
