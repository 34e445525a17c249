"""enqueue: many jobs, from a pipe or a file, and what becomes of each line."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from queuectl.cli import enqueue_file
from queuectl.cli.job_input import read_lines
from queuectl.errors import Busy, InvalidData
from queuectl.job.job_file import MAX_BYTES
from tests.cli.support import Jobs, Run, refused, stored

ROOT = Path(__file__).resolve().parents[2]

Until = Callable[[Callable[[], bool]], None]


@pytest.fixture
def until() -> Until:
    def wait(holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    return wait


def test_many_jobs_from_standard_input(cli: Run, home: Path) -> None:
    ran = cli("enqueue", "-", "--queue", "bulk", stdin=b'{"command":"a","id":"a"}\n\n{"command":"b","id":"b"}')
    assert (ran.code, ran.out) == (0, "a\nb\n")
    assert ran.err.startswith("Queued 2 jobs in ")
    assert stored(home, "b")["queue"] == "bulk"


def test_many_commands_one_a_line(cli: Run, home: Path, tmp_path: Path) -> None:
    (tmp_path / "jobs.txt").write_text("echo one\n# a comment\n\n  echo two  \n")
    ran = cli("enqueue", "--lines", "-f", "jobs.txt", "-q")
    assert (ran.code, ran.err) == (0, "")
    assert [stored(home, job_id)["command"] for job_id in ran.out.split()] == ["echo one", "echo two"]


def test_a_line_that_is_no_job_is_named_and_keeps_no_other_out(cli: Run, home: Path) -> None:
    ran = cli(
        "enqueue", "-", stdin=b'{"command":"a","id":"a"}\nnope\n{"command":"b","id":"a"}\n{"command":"c","id":"c"}\n'
    )
    assert (ran.code, ran.out) == (7, "a\nc\n")
    lines = ran.err.splitlines()
    assert any(line.startswith("queuectl: line 2: column 1: expected an object") for line in lines)
    assert "queuectl: line 3: job a exists already, in pending/" in lines
    assert any(line.startswith("Queued 2 jobs in ") and line.endswith("(2 refused)") for line in lines)
    assert lines[-1] == "queuectl: 2 of 4 jobs were refused"


def test_one_line_that_is_no_job_fails_as_itself(cli: Run) -> None:
    ran = cli("enqueue", "-", stdin=b"nope\n")
    assert (ran.code, ran.out) == (6, "")
    assert ran.err.startswith("queuectl: line 1: column 1: expected an object")


def test_an_object_in_the_first_line_that_is_no_job_does_not_make_the_file_one_job(cli: Run) -> None:
    """The lines after it need not look like objects."""
    ran = cli("enqueue", "-", stdin=b'{"command": 5, "priority": "x"}\n{"command": "ok"}\n[1]\nno json\n')
    said = [line for line in ran.err.splitlines() if line.startswith("queuectl: line ")]
    places = [":".join(line.split(":")[1:3]) for line in said]
    assert places == [" line 1: column 2", " line 1: column 16", " line 3: column 1", " line 4: column 1"]
    assert (ran.code, len(ran.out.splitlines())) == (7, 1)


def test_a_job_over_several_lines_is_one_job(cli: Run, home: Path) -> None:
    ran = cli("enqueue", "-", stdin=b'{\n  "id": "a",\n  "command": "true"\n}\n')
    assert (ran.code, ran.out) == (0, "a\n")


def test_json_says_what_became_of_each_line(cli: Run) -> None:
    ran = cli("enqueue", "-", "--json", stdin=b'{"command":"a","id":"a"}\nnope\n')
    told = json.loads(ran.out)
    assert (ran.code, told["ids"]) == (7, ["a"])
    assert [(r["line"], r["exit_code"]) for r in told["refused"]] == [(2, 6)]
    assert json.loads(ran.err.splitlines()[-1])["type"] == "urn:queuectl:problem:partly-failed"


def test_a_dry_run_checks_every_line(cli: Run, home: Path) -> None:
    ran = cli("enqueue", "-", "--dry-run", stdin=b'{"command":"a"}\n{"command":1}\n{"command":"b","priority":5000}\n')
    assert ran.code == 7
    assert [json.loads(line)["command"] for line in ran.out.splitlines()] == ["a"]
    assert 'line 2: column 2: "command" must be a non-empty string, not 1' in ran.err
    assert 'line 3: column 16: "priority" must be an integer from -1000 to 1000, not 5000' in ran.err
    assert not list(home.glob("spool/pending/*"))


def test_a_dry_run_refuses_ids_and_unique_keys_that_are_taken_as_the_real_run_does(cli: Run, jobs: Jobs) -> None:
    jobs.completed("done")
    jobs.pending("holder", unique_key="k")
    lines = b"""{"command":"true","id":"done"}
{"command":"true","unique_key":"k"}
{"command":"true","id":"a","unique_key":"l"}
{"command":"true","id":"a"}
{"command":"true","unique_key":"l"}
"""
    dry = json.loads(cli("enqueue", "-", "--dry-run", "--json", stdin=lines).out)
    real = json.loads(cli("enqueue", "-", "--json", stdin=lines).out)
    assert (
        [refusal["line"] for refusal in dry["refused"]]
        == [refusal["line"] for refusal in real["refused"]]
        == [1, 2, 4, 5]
    )
    assert {refusal["exit_code"] for refusal in dry["refused"]} == {4}
    refused(
        cli("enqueue", "--id", "a", "--command", "true", "--dry-run"), 4, "queuectl: job a exists already, in pending/"
    )
    for more, code in ([], 4), (["--on-conflict", "skip"], 0):
        assert cli("enqueue", "--unique", "k", "--command", "true", "--dry-run", *more).code == code


def test_a_dry_run_with_resume_counts_what_exists(cli: Run) -> None:
    line = ("enqueue", "--lines", "-", "--resume", "r")
    cli(*line, stdin=b"true a\n")
    ran = cli(*line, "--dry-run", stdin=b"true a\ntrue b\n")
    assert (ran.code, ran.err) == (0, "1 valid job (1 existed already); nothing was added to the queue\n")


def test_a_command_with_bytes_that_are_no_text_is_refused(cli: Run) -> None:
    ran = cli("enqueue", "--lines", "-", stdin=b"echo a\0b\necho \xff\necho ok\n")
    assert ran.code == 7
    assert "queuectl: line 1: the line contains a NUL character" in ran.err.splitlines()
    assert "queuectl: line 2: byte 0xff is not UTF-8" in ran.err.splitlines()


def test_a_directory_that_has_gone_is_told(cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    message = "queuectl: the current directory no longer exists"
    refused(cli("enqueue", "--command", "true"), 1, message, "          hint: name one with --cwd")
    assert cli("enqueue", "--command", "true", "--cwd", "/").code == 0


def test_a_file_that_is_not_there_is_not_found(cli: Run) -> None:
    refused(cli("enqueue", "-f", "nowhere"), 3, "queuectl: no file nowhere")


def test_lines_that_are_too_long_stay_one_line() -> None:
    import io

    long = b"x" * (MAX_BYTES + 10)
    for commands in (True, False):
        found = [*read_lines(io.BytesIO(long + b'\n{"command":"b"}\n'), commands=commands)]
        assert [number for number, _ in found] == [1, 2]
        assert str(found[0][1]) == f"the line has {MAX_BYTES + 10:,} bytes; at most {MAX_BYTES:,} are accepted"
        assert not isinstance(found[1][1], InvalidData)


@pytest.mark.parametrize("size", [1_260_019, 3 * MAX_BYTES + 7])
def test_a_line_that_is_too_long_is_said_to_be_as_long_as_it_is(cli: Run, size: int) -> None:
    line = b'{"command":"' + b"x" * (size - 14) + b'"}'
    for text in (line, b'{"command":"a"}\n' + line, line + b"\n" + line):
        for lines in ["--lines"], []:
            ran = cli("enqueue", "-", *lines, stdin=text)
            assert f"the line has {size:,} bytes; at most 1,048,576 are accepted" in ran.err


def test_a_broken_first_line_does_not_hide_the_others() -> None:
    import io

    lines = [b'{"command": "a"', *(b'{"command":"%d"}' % n for n in range(100_000))]
    found = [*read_lines(io.BytesIO(b"\n".join(lines)), commands=False)]
    assert [number for number, job in found if isinstance(job, InvalidData)] == [1]
    assert len(found) == 100_001


def test_ctrl_c_while_many_are_put_in_says_what_has_become_of_them(
    cli: Run, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    from queuectl.client.queue import Queue

    def interrupted(self: Queue, given: Iterator[dict[str, Any]]) -> Iterator[str]:
        next(given)
        yield "a"
        raise KeyboardInterrupt

    monkeypatch.setattr(Queue, "submit_many", interrupted)
    ran = cli("enqueue", "-", stdin=b'{"command":"a"}\n{"command":"b"}\n')
    assert (ran.code, ran.out) == (130, "a\n")  # which is durable
    assert ran.err == "Stopped; 1 job and possibly some more are in the queue: queuectl list --sort created\n"


def waiting(home: Path) -> set[str]:
    folder = home / "spool/pending"
    return {path.stem for path in folder.iterdir()} if folder.exists() else set()


def begin(home: Path, *argv: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "queuectl"), *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def test_what_has_come_through_a_pipe_is_queued_before_more_is_waited_for(home: Path, until: Until) -> None:
    """`tail -f commands | queuectl enqueue --lines -` must not sit on what it was given."""
    with begin(home, "enqueue", "--lines", "-") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(1, 4):
            process.stdin.write(f"echo {number}\n".encode())
            process.stdin.flush()
            until(lambda: len(waiting(home)) == number)  # noqa: B023 - called before the next round
        process.stdin.close()
        assert len(process.stdout.read().split()) == 3


@pytest.mark.parametrize("words", [("--lines",), ("--lines", "--json"), ()], ids=["table", "json", "unique"])
def test_a_writer_gets_the_id_of_a_job_before_it_writes_the_next(home: Path, words: tuple[str, ...]) -> None:
    with begin(home, "enqueue", "-", *words) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            for command in ("echo 1", "echo 2"):
                job = command if words else json.dumps({"command": command, "unique_key": command})
                process.stdin.write(f"{job}\n".encode())
                process.stdin.flush()
                assert select.select([process.stdout], [], [], 60)[0], "no id was printed"
                (job_id,) = re.findall("[0-9A-Z]{16}", os.read(process.stdout.fileno(), 4096).decode())
                assert stored(home, job_id)["command"] == command
        finally:
            process.kill()


def test_ctrl_c_ends_the_json_document_with_what_was_queued(home: Path, until: Until) -> None:
    with begin(home, "enqueue", "--lines", "-", "--json") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"echo 1\necho 2\n")
        process.stdin.flush()
        until(lambda: len(waiting(home)) == 2)
        process.send_signal(signal.SIGINT)
        shown = json.loads(process.stdout.read())
    assert process.returncode == 130
    assert (shown["interrupted"], shown["queued"]) == (True, len(shown["ids"]))
    assert {*shown["ids"]} <= waiting(home)


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (Busy("the disk is full"), 9)])
@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_what_stops_a_file_ends_the_json_document(
    cli: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, more: tuple[str, ...]
) -> None:
    real, left = enqueue_file.read_lines, [error]

    def lines(*args: Any, **kwargs: Any) -> Any:
        yield from real(*args, **kwargs)
        raise left.pop()

    monkeypatch.setattr(enqueue_file, "read_lines", lines)
    ran = cli("enqueue", "--lines", "-", "--json", *more, stdin=b"true\nfalse\n")
    assert ran.code == code
    shown = json.loads(ran.out or "{}")
    assert shown.get("interrupted", False) == (code == 130)
    assert bool(more) == (len(shown.get("jobs", [])) == 2)


def test_an_interrupted_file_is_resumed_without_doubles(cli: Run, home: Path, until: Until) -> None:
    lines = "".join(f"echo {number}\n" for number in range(1, 2001)).encode()
    with begin(home, "enqueue", "--lines", "-", "--resume", "import") as process:
        assert process.stdin is not None
        process.stdin.write(lines[: lines.index(b"echo 1500\n")])
        process.stdin.flush()
        until(lambda: len(waiting(home)) >= 1000)
        process.kill()
    before = waiting(home)
    assert 1000 <= len(before) < 2000
    told = json.loads(cli("enqueue", "--lines", "-", "--resume", "import", "--json", stdin=lines).out)
    assert (told["queued"], told["known"], told["refused"]) == (2000 - len(before), len(before), [])
    assert waiting(home) == {*told["ids"]}
    assert [stored(home, job_id)["command"] for job_id in told["ids"]] == lines.decode().splitlines()
    assert cli("enqueue", "--lines", "-", "--resume", "import", stdin=lines).out.split() == told["ids"]


def commands(home: Path) -> list[str]:
    return sorted(stored(home, job_id)["command"] for job_id in waiting(home))


RESUME = ("enqueue", "--lines", "-", "--resume", "n")


def test_a_resumed_file_may_have_been_edited(cli: Run, home: Path) -> None:
    """A line put in at the top moves all others; equal lines are jobs of their own."""
    cli(*RESUME, stdin=b"echo a\necho b\necho b\n")
    ran = cli(*RESUME, stdin=b"echo new\n\necho b\necho a\necho b\n   echo b  \n")
    assert ran.code == 0
    assert "Queued 2 jobs" in ran.err
    assert "(3 existed already)" in ran.err
    assert commands(home) == ["echo a", "echo b", "echo b", "echo b", "echo new"]
    assert len({*ran.out.split()}) == 5


def test_a_resumed_job_is_recognised_by_its_json(cli: Run, home: Path) -> None:
    """However its members are ordered; a job with an id of its own is compared as well."""
    line = ("enqueue", "-", "--resume", "n", "--delay", "1h", "--expires", "2h")
    first = cli(*line, stdin=b'{"command":"a","priority":3}\n{"command":"b","id":"b"}\n').out
    assert cli(*line, stdin=b'{"priority":3, "command":"a"}\n{"command":"b","id":"b"}\n').out == first
    ran = cli(*line, stdin=b'{"command":"a","priority":4}\n{"command":"c","id":"b"}\n')
    assert ran.code == 7
    assert 'job b exists already, with another "command": "b", not "c"' in ran.err
    assert commands(home) == ["a", "a", "b"]


@pytest.mark.parametrize(
    ("more", "difference"),
    [
        (("--queue", "q"), '"queue": none, not "q"'),
        (("--env", "A=secret"), '"env"'),
        (("--cwd", "/"), '"cwd": '),
        (("--timeout", "5"), '"timeout": none, not 5.0'),
    ],
)
def test_a_job_that_was_enqueued_otherwise_is_a_conflict(
    cli: Run, home: Path, more: tuple[str, ...], difference: str
) -> None:
    cli(*RESUME, stdin=b"echo a\n")
    ran = cli(*RESUME, *more, stdin=b"echo a\n")
    assert (ran.code, ran.out) == (4, "")
    assert f"exists already, with another {difference}" in ran.err
    assert "secret" not in ran.err
    assert commands(home) == ["echo a"]


def test_what_was_changed_in_the_queue_is_not_compared(cli: Run, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor are a shell's variables, which may be those of another shell."""
    monkeypatch.setenv("TOKEN", "1")
    line = (*RESUME, "--pass-env", "TOKEN")
    [job_id] = cli(*line, stdin=b"echo a\n").out.split()
    with jobs.queue.spool.take(job_id) as claim:
        claim.edit({"priority": 7, "command": "echo A"})
    monkeypatch.setenv("TOKEN", "2")
    monkeypatch.setenv("PATH", "/elsewhere")
    assert cli(*line, stdin=b"echo a\n").out == f"{job_id}\n"
    jobs.queue.cancel(job_id)
    assert cli(*line, stdin=b"echo a\n").out == f"{job_id}\n"


def test_a_job_that_has_been_deleted_is_enqueued_again(cli: Run, jobs: Jobs) -> None:
    [job_id] = cli(*RESUME, stdin=b"echo a\n").out.split()
    jobs.queue.delete(job_id)
    assert "Queued 1 job in" in cli(*RESUME, stdin=b"echo a\n").err


def test_a_unique_key_held_by_another_job_is_a_conflict(cli: Run) -> None:
    cli("enqueue", "--command", "true", "--unique", "k")
    ran = cli("enqueue", "-", "--resume", "n", stdin=b'{"command":"a","unique_key":"k"}\n')
    assert (ran.code, 'unique_key "k" is held by job' in ran.err) == (4, True)


def test_jobs_that_were_numbered_by_line_are_recognised(cli: Run, home: Path) -> None:
    """As earlier versions did; by what they hold, wherever the line is now."""
    old = b"".join(
        json.dumps({"id": f"n-{number}", "command": f"echo {text}"}).encode() + b"\n"
        for number, text in ((1, "a"), (2, "b"), (3, "b"))
    )
    cli("enqueue", "-", stdin=old)
    ran = cli(*RESUME, stdin=b"echo new\necho a\necho b\necho b\necho b\n")
    assert ran.code == 0
    assert ran.out.split()[1:4] == ["n-1", "n-2", "n-3"]
    assert commands(home) == ["echo a", "echo b", "echo b", "echo b", "echo new"]
    assert cli(*RESUME, "--queue", "q", stdin=b"echo a\n").code == 4


# --- many refusals


def test_of_many_refusals_ten_are_told_and_how_many_more_there_are(cli: Run) -> None:
    lines = [b'{"command":"a"}' if number % 100 == 50 else b'{"command":"a","priority":5000}' for number in range(273)]
    ran = cli("enqueue", "-", stdin=b"\n".join(lines))
    told = [line for line in ran.err.splitlines() if not line.startswith(" ")]  # without excerpts
    assert ran.code == 7
    assert [line.startswith(f"queuectl: line {number}: ") for number, line in enumerate(told[:10], 1)] == [True] * 10
    assert told[10].startswith("Queued 3 jobs in ")
    assert told[11:] == [
        "queuectl: 260 more: lines 11-50, 52-150, 152-250, 252-273 (--json shows them all)",
        "queuectl: 270 of 273 jobs were refused",
    ]
    for more in [], ["--dry-run"]:
        ran = cli("enqueue", "-", "--json", *more, stdin=b"\n".join(lines))
        assert len(json.loads(ran.out)["refused"]) == 270
        assert len(ran.err) < 1000


def test_a_hint_that_several_share_is_told_once(cli: Run) -> None:
    ran = cli("enqueue", "-", stdin=b'{"command":"a","id":"a"}\n' * 5)
    assert ran.err.count("already, in pending/") == 4
    assert ran.err.count("hint: omit the id") == 1


def test_a_dry_run_of_a_file_is_one_object_with_json(cli: Run) -> None:
    told = json.loads(cli("enqueue", "--lines", "-", "--json", "--dry-run", stdin=b"a\nb\n").out)
    assert (told["dry_run"], [job["command"] for job in told["jobs"]], told["refused"]) == (True, ["a", "b"], [])
    assert json.loads(cli("enqueue", "--lines", "-", "--json", "--dry-run").out)["jobs"] == []


def test_a_byte_order_mark_is_no_part_of_the_first_command(cli: Run, home: Path) -> None:
    ran = cli("enqueue", "--lines", "-", stdin=b"\xef\xbb\xbfecho one\r\necho two\r\n")
    assert [stored(home, job_id)["command"] for job_id in ran.out.split()] == ["echo one", "echo two"]


def test_resume_is_for_files_and_begins_an_id(cli: Run) -> None:
    refused = cli("enqueue", "--command", "true", "--resume", "a")
    assert (refused.code, "--resume needs jobs from a file" in refused.err) == (2, True)
    refused = cli("enqueue", "--lines", "-", "--resume", "a b", stdin=b"true\n")
    assert (refused.code, "cannot start an id" in refused.err) == (2, True)


def test_a_file_without_jobs_is_told_as_json_too(cli: Run) -> None:
    told = json.loads(cli("enqueue", "--lines", "-", "--json").out)
    assert told == {"action": "enqueue", "ids": [], "queued": 0, "known": 0, "refused": []}


@pytest.mark.parametrize("text", ['[{"command":"a"}]', '\n[\n{"command":"a"},\n{"command":"b"}\n]\n'])
def test_an_array_is_refused_as_a_whole_with_how_to_split_it(cli: Run, home: Path, text: str) -> None:
    """Spread over lines, one of its lines is a job by itself."""
    ran = cli("enqueue", "-", stdin=text.encode())
    assert ran.code == 6
    assert "a JSON array; expected one object a line\n          hint: jq -c '.[]' FILE | queuectl enqueue -" in ran.err
    assert not list(home.glob("spool/pending/*"))


def test_blank_lines_before_a_job_of_several_lines_are_skipped(cli: Run) -> None:
    assert cli("enqueue", "-", stdin=b'\n \n{"command":"a",\n"priority":1}\n').code == 0
    assert len(cli("enqueue", "-", stdin=b'\n{"command":"a"}\n\n{"command":"b"}\n').out.splitlines()) == 2


def test_a_file_without_its_option_is_named_with_it(cli: Run) -> None:
    assert "hint: queuectl enqueue --lines --file jobs.txt" in cli("enqueue", "--lines", "jobs.txt").err


def test_one_job_has_its_id_in_json_however_it_was_given(cli: Run) -> None:
    one = json.loads(cli("enqueue", "--command", "x", "--json").out)
    read = json.loads(cli("enqueue", "-", "--json", stdin=b'{"command":"x"}').out)
    assert {*one} == {*read}
    assert read["id"] == read["ids"][0]
    assert "id" not in json.loads(cli("enqueue", "--lines", "-", "--json", stdin=b"x\ny\n").out)


def test_shell_commands_without_lines_are_refused_with_the_option_that_reads_them(cli: Run) -> None:
    ran = cli("enqueue", "-", stdin=b"echo a\necho b\n")
    assert ran.code == 6
    assert ran.err.count("hint: if the lines are shell commands and not JSON objects, add --lines") == 1
    assert "--lines" not in cli("enqueue", "-", stdin=b'{"command":').err
