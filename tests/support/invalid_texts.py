"""Texts that are no jobs, each with the words that have to tell so: what is wrong, and in which line and column.

Every one of them holds a command that would leave a mark, were it run.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from queuectl.job.checks import LONGEST_ARGUMENT
from queuectl.job.fields import FIELDS
from queuectl.job.history import ENTRY_MEMBERS
from queuectl.job.job_file import MAX_BYTES, MAX_FILE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Mark = Callable[[str], str]  # the command that leaves the mark of this label

AT = "2026-11-24T14:01:58Z"
STARTED = {"event": "started", "attempt": 1, "at": AT}
TIMES = (
    *("soon", "", 1795528918, None, True, "2026-11-24", "2026-11-24T14:01:58", "24.11.2026 14:01:58Z", "Tue, 24 Nov"),
    *("2026-13-24T14:01:58Z", "2026-02-30T14:01:58Z", "2026-11-24T24:01:58Z", "2026-11-24T14:60:58Z"),
    *("2016-12-31T23:59:60Z", "2026-11-24T14:01:58+25:00", "2026-11-24T14:01:58+1", "2026-11-24T14:01:58 CET"),
    *("0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "-2026-11-24T14:01:58Z", "0001-01-01T00:00:00+14:00"),
    *("9999-12-31T23:59:59-14:00", "2026-11-24T14:01:58.Z", "2026-11-24T14:01:58,5Z", "２０26-11-24T14:01:58Z"),
)
LABELS = ("", " ", "a b", ".a", "-a", "a/b", "../../etc/passwd", "a\nb", "é", "a" * 129, 7, None, [], {}, True)
SECONDS = ("5", "5s", -1, -0.5, 1e300, 315360001, True, None, [5], {"s": 5})
TOO_LONG = "x" * (LONGEST_ARGUMENT + 1)
WRONG: dict[str, tuple[Any, ...]] = {
    "id": LABELS,
    "command": ("", " \n\t", 7, None, True, ["touch"], {"sh": "true"}, TOO_LONG, "é" * 65536),
    "argv": (
        [],
        "touch",
        [""],
        ["", "a"],
        ["echo", 1],
        ["echo", None],
        [["echo"]],
        {"0": "echo"},
        None,
        5,
        ["echo", TOO_LONG],
    ),
    "queue": LABELS,
    "name": ("", "  ", "a\nb", "\x1b[2J", "a\x9bb", "\u202egnp.exe", "a\u2028b", "é" * 201, 7, None, [], {}, True),
    "batch": LABELS[4:],
    "priority": (1.0, 0.5, "5", 1001, -1001, 10**30, True, None, [1]),
    "tags": ("a", {}, None, 5, [""], ["a", 1], [["a"]], [None], ["a", True]),
    "max_retries": (-1, 1001, 3.0, "3", True, None, 10**18, []),
    "timeout": SECONDS,
    "kill_after": (0, *SECONDS),
    "backoff_base": (0, *SECONDS[:6]),
    "backoff_max": (0, *SECONDS[2:]),
    "backoff_jitter": (-0.1, 1.1, "0.5", True, None, [0]),
    "run_at": TIMES,
    "expires_at": TIMES[:9],
    "cwd": ("", "relative/path", "~/x", "./", 7, None, ["/tmp"]),
    "env": (
        "A=b",
        [],
        ["A=b"],
        None,
        {"": "x"},
        {"A=B": "x"},
        {"A": 1},
        {"A": None},
        {"A": ["x"]},
        {"A": True},
        {"A": TOO_LONG[2:]},
    ),
    "stdin": ("", "inputs", "input/a", "a/b", "~/x", True, None, ["/a"]),
    "unique_key": ("", " ", "k" * 257, 7, None, ["k"], True),
    "leftovers": ("kill", "", None, True, "END"),
    "on_interrupt": ("retry", "", None, 1, "Requeue"),
    "after": ("a", [], ["a", "a"], ["a/b"], [1], None),
    "after_policy": ("all", "", None, True),
    "lock": ("", ":2", "disk:", "disk:0", "disk:1001", "di sk", 1, None),
    "needs": ({}, [], "gpu", {"gpu": 0}, {"gpu": True}, {"g p": 1}, None),
    "weight": (0, 1001, 1.5, "2", True, None),
    "shell": ("", " ", "x" * 257, 1, ["bash"], None),
    "nice": (-21, 20, 1.5, "5", True, None),
    "ionice": ("", "Idle", "idle:1", "best-effort:", "best-effort:8", "none", 2, None),
    "memory": (0, 500, (1 << 50) + 1, 1e9, "500M", True, None),
    "cpu_time": (0, -1, "1m", True, None),
    "on_success": ("", " ", 1, None, ["true"], TOO_LONG),
    "on_failure": ("", True, None),
    "on_dead": ("", {"command": "true"}, None),
    "on_cancel": ("\n", 0, None),
    "on_batch_done": ("", 7, None, ["true"]),
    "state": ("completed", "processing", "dead", "Pending", "", None, 0),
    "attempts": (1, -1, 0.0, "0", None, False),
    "created_at": TIMES[9:],
    "updated_at": TIMES[2:8],
}
WRONG_ENTRIES: dict[str, tuple[Any, ...]] = {
    "event": ("ended", "", None, 7, ["started"]),
    "at": TIMES[:5],
    "created_at": (None, 5, "now"),
    "attempt": (0, 1.0, 10**7, "1", True),
    "worker": (1, None),
    "units": ([], {"gpu": 0}, {"gpu": [-1]}, {"gpu": ["0"]}, None),
    "run_at": TIMES[10:14],
    "ready_at": TIMES[:4],
    "reason": (1, None),
    "error": (["no"], 5),
    "exit_code": ("1", 1.5, True, 1 << 63),
    "signal": (9, None),
    "timed_out": (1, "true"),
    "output_limit": (0,),
    "memory_limit": (1,),
    "cpu_limit": ("yes",),
    "failed_to_start": (None,),
    "cpu_s": (-1, "1", 1e13),
    "max_rss_bytes": (-1, 1.5, 1 << 63),
    "leftovers": (1, None, {"count": 1}, {"count": "1", "processes": []}, {"count": 1, "processes": [{"pid": 1}]}),
    "set": ("x", {"id": "other"}, {"history": []}, {"attempts": 0}),
    "kept": ({}, None, {"attempts": -1}),
    "last_event": ("no such", None),
}


class Text(NamedTuple):
    """A text, what its reason has to say, and whether only pending/ refuses it: elsewhere it is a torn growth."""

    label: str
    data: bytes
    words: tuple[str, ...]
    only_pending: bool = False


def all_texts(mark: Mark) -> Iterator[Text]:
    """Yield every text."""
    assert set(WRONG) == set(FIELDS), "a field of the table is left out"
    assert set(WRONG_ENTRIES) == set(ENTRY_MEMBERS), "a member of history entries is left out"
    for field, values in WRONG.items():
        for number, value in enumerate(values):
            yield _wrong_field(mark, f"field-{field}-{number}", field, value)
    for member, values in WRONG_ENTRIES.items():
        for number, value in enumerate(values):
            yield _wrong_entry(mark, f"entry-{member}-{number}", member, value)
    for make in (_shapes, _histories, _syntax, _bytes, _sizes, _truncated):
        yield from make(mark)


def _pretty(fields: dict[str, Any]) -> str:
    return json.dumps(fields, indent=2, ensure_ascii=False)


def _wrong_field(mark: Mark, label: str, field: str, value: object) -> Text:
    fields = {"command": mark(label), field: value}
    if field == "argv":
        fields = {"argv": value, "name": "x"}
    place = "line 2, column 3" if field in ("command", "argv") else "line 3, column 3"
    return Text(label, _pretty(fields).encode(), (place, f'"{field}" must be ', ", not "))


def _wrong_entry(mark: Mark, label: str, member: str, value: object) -> Text:
    entry = {**STARTED, member: value}
    if member == "kept":
        entry = {"event": "compacted", "at": AT, "last_event": "", "kept": value}
    text = json.dumps({"command": mark(label), "history": [{"event": "held", "at": AT}, entry]}, indent=1)
    return Text(label, text.encode(), ("line 3, column 2", "history entry 2", f'"{member}" must be '))


def _shapes(mark: Mark) -> Iterator[Text]:
    for label, value in {
        "top-list": [{"command": mark("top-list")}],
        "top-string": mark("top-string"),
        "top-number": 42,
        "top-null": None,
        "top-true": True,
    }.items():
        yield Text(label, json.dumps(value).encode(), ("line 1, column 1", 'expected an object, as {"command"'))
    none = ("line 1, column 1", 'either "command" or "argv"', "neither")
    yield Text("shape-empty-object", b"{}", none)
    yield Text("shape-no-command", b'{"name":"a"}', none)
    misspelt = ("line 1, column 2", 'unknown field "comand"; did you mean "command"')
    yield Text("shape-misspelt", json.dumps({"comand": mark("shape-misspelt")}).encode(), misspelt)
    both = json.dumps({"command": mark("shape-both"), "argv": ["true"]}).encode()
    yield Text("shape-both", both, ('either "command" or "argv"', "both"))


def _histories(mark: Mark) -> Iterator[Text]:
    def text(label: str, history: object, *words: str) -> Text:
        return Text(label, _pretty({"command": mark(label), "history": history}).encode(), ("line 3, column 3", *words))

    for number, value in enumerate(({}, "x", None, 5, True)):
        yield text(f"history-kind-{number}", value, '"history" must be a list')
    for number, entry in enumerate(("started", None, 5, ["started"])):
        yield text(f"history-entry-{number}", [entry], "history entry 1: expected an object")
    yield text("history-no-event", [{"at": AT}], 'history entry 1: "event" is missing')
    yield text("history-no-at", [{"event": "started"}], 'history entry 1: "at" is missing')
    yield text("history-second", [STARTED, {"event": "failed"}], 'history entry 2: "at" is missing')
    bad_edit = {"event": "edited", "at": AT, "set": {"priority": "high"}}
    yield Text(
        "history-bad-edit",
        _pretty({"command": mark("history-bad-edit"), "history": [bad_edit]}).encode(),
        ('"priority" must be an integer from -1000 to 1000, not "high"', "a change in the history"),
    )
    early = _pretty({"history": [], "command": mark("history-first")}).encode()
    yield Text("history-first", early, ("line 2, column 3", '"history" must be the last member'))


def _syntax(mark: Mark) -> Iterator[Text]:
    def text(label: str, template: str, *words: str, only_pending: bool = False) -> Text:
        data = template.replace("COMMAND", json.dumps(mark(label)), 1).encode()
        return Text(label, data, words, only_pending)

    yield text("syntax-shell", "#!/bin/sh\ntouch x\n", "line 1, column 1", "expected an object")
    yield text("syntax-yaml", "command: COMMAND\n", "line 1, column 1", "expected an object")
    yield text("syntax-single-quotes", "{'command':COMMAND}", "line 1, column 2", "expected a key in double quotes")
    yield text("syntax-bare-key", "{command:COMMAND}", "line 1, column 2", "expected a key in double quotes")
    yield text("syntax-bare-value", '{"command":touch}', "line 1, column 12", "expected a JSON value")
    yield text("syntax-no-colon", '{"command" COMMAND}', "line 1, column 12", "expected ':'")
    yield text("syntax-equals", '{"command"=COMMAND}', "line 1, column 11", "expected ':'")
    yield text("syntax-no-comma", '{"command":COMMAND\n"name":"a"}', "line 2, column 1", "expected ',' or '}'")
    yield text("syntax-comma-object", '{"command":COMMAND\n,}', "line 2, column 1", "a comma before '}'")
    yield text("syntax-comma-list", '{"command":COMMAND,\n"tags":["a",]}', "line 2, column 12", "a comma before ']'")
    yield text("syntax-comment", '// a job\n{"command":COMMAND}', "line 1, column 1", "expected an object")
    yield text("syntax-comment-inside", '{\n/* a */"command":COMMAND}', "line 2, column 1", "expected a key")
    yield text("syntax-bracket", '{"command":COMMAND\n]', "line 2, column 1", "expected ',' or '}'")
    yield text("syntax-newline", '{"command":COMMAND,\n"name":"a\nb"}', "line 2, column 10", "a control character")
    yield text("syntax-tab", '{"command":COMMAND,\n"name":"a\tb"}', "line 2, column 10", "a control character")
    yield text(
        "syntax-escape", '{"command":COMMAND,\n"name":"\\x"}', "line 2, column 9", "an escape that JSON does not"
    )
    yield text("syntax-unicode", '{"command":COMMAND,\n"name":"\\u12"}', "line 2, column", "incomplete \\u escape")
    yield text("syntax-surrogate", '{"command":COMMAND,\n"x":"\\ud800"}', "line 2, column 5", "half of a surrogate")
    yield text("syntax-nul", '{"command":COMMAND,\n"x":"a\\u0000b"}', "line 2, column 5", "the character NUL")
    yield text("syntax-nul-command", '{"command":"touch\\u0000"}', "line 1, column 12", "the character NUL")
    yield text("syntax-twice", '{"command":COMMAND,\n"command":"true"}', "line 2, column 1", '"command" occurs twice')
    yield text("syntax-twice-deep", '{"command":COMMAND,\n"x":{"a":1,"a":1}}', "line 2, column 12", '"a" occurs twice')
    yield text("syntax-twice-escaped", '{"command":COMMAND,\n"comm\\u0061nd":""}', "line 2, column 1", "occurs twice")
    for word in ("NaN", "Infinity", "-Infinity"):
        yield text(f"number-{word}", f'{{"command":COMMAND,\n"x":{word}}}', "line 2, column 5", f"found {word}")
    for number, spelled in enumerate(("1e999", "-1e999", "1e400", "9" * 400 + ".0e0", "1E+4000")):
        yield text(
            f"number-large-{number}", f'{{"command":COMMAND,\n"x":{spelled}}}', "line 2, column 5", "is too large"
        )
    for number, spelled in enumerate(("9" * 4301, "-" + "9" * 4300, "1." + "0" * 4300, "1e" + "0" * 4300)):
        words = ("line 2, column 5", "characters; at most 4300")
        yield text(f"number-long-{number}", f'{{"command":COMMAND,\n"x":{spelled}}}', *words)
    for number, spelled in enumerate(("01", "+1", ".5", "1.", "0x10", "1e", "--1", "1_000")):
        yield text(f"number-form-{number}", f'{{"command":COMMAND,\n"x":{spelled}}}', "line 2, column ", "expected ")
    for depth in (32, 33, 1000, 100_000):
        deep = "[" * depth + "]" * depth
        yield text(
            f"deep-list-{depth}", f'{{"command":COMMAND,\n"x":{deep}}}', "line 2, column 36", "more than 32 deep"
        )
    deep = '{"a":' * 40 + "1" + "}" * 40
    yield text("deep-object", f'{{"command":COMMAND,\n"x":{deep}}}', "line 2, column", "more than 32 deep")
    yield text("deep-open", '{"command":COMMAND,\n"x":' + "[" * 100_000, "line 2, column 36", "more than 32 deep")
    after = "expected the end of the file after the object"
    yield text("after-text", '{"command":COMMAND}\nhello', "line 2, column 1", after, only_pending=True)
    yield text("after-object", '{"command":COMMAND}\n{"command":"true"}', "line 2, column 1", after, only_pending=True)
    yield text("after-bracket", '{"command":COMMAND}}', "line 1, column ", after, only_pending=True)
    yield text("after-comma", '{"command":COMMAND},', "line 1, column ", after, only_pending=True)


def _bytes(mark: Mark) -> Iterator[Text]:
    def plain(label: str) -> bytes:
        return json.dumps({"command": mark(label), "name": "a"}).encode()

    empty = "expected an object, the file is empty"
    for label, data in {"empty": b"", "empty-space": b"  \t", "empty-lines": b"\n\n\n"}.items():
        yield Text(label, data, (f"line {data.count(10) + 1}, column ", empty))
    yield Text("nul-only", bytes(100), ("line 1, column 1", "byte 0 is NUL"))
    yield Text("nul-before", b"\0" + plain("nul-before"), ("line 1, column 1", "byte 0 is NUL"))
    yield Text("nul-after", plain("nul-after") + bytes(9), ("line 1, column", "is NUL; expected JSON text"), True)
    inside = plain("nul-inside").replace(b'"a"', b'"\0"')
    yield Text("nul-inside", inside, ("line 1, column", "is NUL; expected JSON text"))
    yield Text("bom", b"\xef\xbb\xbf" + plain("bom"), ("line 1, column 1", "byte order mark"))
    for coding in ("utf-16", "utf-16-le", "utf-16-be"):
        yield Text(coding, plain(coding).decode().encode(coding), ("line 1, column 1", "UTF-16; expected UTF-8"))
    wide = plain("utf-32").decode().encode("utf-32")
    yield Text("utf-32", wide, ("line 1, column 1", "UTF-32; expected UTF-8"))
    for number, data in enumerate((b"\xff", b"\xe9", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82")):
        label = f"not-utf-8-{number}"
        wrong = plain(label).replace(b'"a"', b'"' + data + b'"')
        yield Text(label, wrong, ("line 1, column", f"byte 0x{data[0]:02x} is not UTF-8"))
    gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab"
    yield Text("gzip", gzip, ("line 1, column 2", "byte 0x8b is not UTF-8"))
    yield Text("elf", b"\x7fELF\x02\x01\x01" + bytes(9), ("line 1, column", "is NUL"))


def _sizes(mark: Mark) -> Iterator[Text]:
    def text(label: str, fill: int, history: str = "") -> bytes:
        return f'{{"command":{json.dumps(mark(label))},"x":"{"a" * fill}"{history}}}'.encode()

    yield Text("size-author", text("size-author", MAX_BYTES), (f"at most {MAX_BYTES}",))
    grown = text("size-author-history", MAX_BYTES, ',"history":[]')
    yield Text("size-author-history", grown, (f"at most {MAX_BYTES}",))
    yield Text("size-file", text("size-file", MAX_FILE_BYTES), (f"at most {MAX_FILE_BYTES}",))
    padded = text("size-space", 1) + b" " * MAX_FILE_BYTES
    yield Text("size-space", padded, (f"at most {MAX_FILE_BYTES}",))


def _truncated(mark: Mark) -> Iterator[Text]:
    """Yield the beginnings of one job, cut where a writer or a disk may have stopped."""
    for number in range(1, 60):
        label = f"cut-{number:02}"
        whole = _pretty({"name": "a", "tags": ["b", {"c": -1.5e3}], "env": {"A": "ü\\"}, "command": mark(label)})
        data = whole.encode()
        yield Text(label, data[: len(data) * number // 60], ("line ", ", column ", ": "))
