"""doctor on homes with which nothing is wrong, or into which it may not look; how it looks on a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl.cli.main import main
from queuectl.client.queue import Queue
from queuectl.clock import spell
from queuectl.config.settings import Settings
from queuectl.doctor.checks import CHECKS
from queuectl.job.job import DONE, PENDING
from queuectl.supervisor import supervisor_lock
from tests.support.chaos import need_root
from tests.support.damaged_home import DamagedHome, make_index
from tests.support.supervised import ROOT

JOBS = 2_000
ROUNDS = 50 if os.environ.get("QUEUECTL_SWEEP") == "full" else 15
NOBODY = 65534
READING = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")  # the interpreter may lie where he may not
# Everything that users do to jobs, for as long as it is let.
TURMOIL = """
import itertools, random, sys
from queuectl import Queue, QueueError
queue = Queue()
kinds = ("true", "exit 3", "sleep 0.05", "kill -9 $$", "true")
for n in itertools.count():
    if not sys.stdin.readline():
        break
    job_id = f"job-{n % 200}"
    for verb in random.sample((
        lambda: queue.enqueue(random.choice(kinds), id=job_id, max_retries=2),
        lambda: queue.enqueue(random.choice(kinds), max_retries=1),
        lambda: queue.cancel(f"job-{random.randrange(200)}"),
        lambda: queue.retry(f"job-{random.randrange(200)}"),
        lambda: queue.delete(f"job-{random.randrange(200)}"),
    ), 3):
        try:
            verb()
        except QueueError:
            pass
    print(n, flush=True)
"""


def many_jobs(home: Path) -> None:
    """Half of them wait for tomorrow, half have ended, and the index knows all."""
    queue = Queue(home, settings=Settings.from_dict({"durability": "relaxed"}))
    now = queue.spool.clock.now()
    later = spell(now + 86400)
    for made in queue.enqueue_many({"command": "true", "run_at": later} for _ in range(JOBS // 2)):
        assert isinstance(made, str)
    history = [
        {"event": "started", "attempt": 1, "at": spell(now - 9), "worker": "worker-1"},
        {"event": "completed", "at": spell(now - 8), "exit_code": 0},
    ]
    for number in range(JOBS // 2):
        path = Path(queue.layout.job(DONE, f"ended-{number}"))
        path.write_text(json.dumps({"id": f"ended-{number}", "command": "true", "history": history}))
        path.chmod(0o600)
        Path(queue.layout.output_of(f"ended-{number}", 1)).touch(0o600)
    make_index(queue)


def test_a_healthy_home_of_many_jobs_is_found_well(
    home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing on stdout, one line on stderr, exit 0; that every job was compared with the index shows in one that is wrong."""
    monkeypatch.setattr(supervisor_lock, "file_system_of", lambda path: "ext4")  # the home may be in memory
    monkeypatch.setenv("COLUMNS", "500")

    def queuectl(*argv: str) -> tuple[int, str, str]:
        return main(["doctor", *argv]), *capfd.readouterr()

    many_jobs(home)
    assert queuectl() == (0, "", f"{len(CHECKS)} checks, no problems found\n")
    assert queuectl("-q") == (0, "", "")
    with contextlib.closing(sqlite3.connect(home / "index.sqlite3")) as database, database:
        database.execute("UPDATE jobs SET attempts = 2 WHERE id = 'ended-471'")
    assert "ended-471: stale: attempts is 1, not 2" in queuectl()[1]


@pytest.fixture
def queuectl(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Run `queuectl doctor` in a process of its own, perhaps as another user."""
    for name in [name for name in os.environ if name.startswith("QUEUECTL_") and name != "QUEUECTL_HOME"]:
        monkeypatch.delenv(name)
    environ = {name: value for name, value in os.environ.items() if name != "COLUMNS"}

    def run(*argv: str, become: tuple[str, ...] = ()) -> tuple[int, str, str]:
        command = [sys.executable, str(ROOT / "queuectl"), "doctor", *argv]
        # Named, for libraries set COLUMNS behind Python's back.
        done = subprocess.run([*become, *command], capture_output=True, text=True, cwd="/", env=environ, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


def test_of_a_home_that_does_not_exist_it_says_so_and_makes_none(
    home: Path, queuectl: Callable[..., tuple[int, str, str]]
) -> None:
    home.rmdir()
    for argv in ((), ("--fix",), ("--json",)):
        code, out, err = queuectl(*argv)
        assert (code, out, home.exists()) == (3, "", False)
        assert f"no queue at {home} ($QUEUECTL_HOME): the directory does not exist" in err


def test_a_home_of_somebody_else_is_not_examined(home: Path, queuectl: Callable[..., tuple[int, str, str]]) -> None:
    """Who may not look in is told so, with what to type; root is told the same, for what it wrote would be root's."""
    need_root("being somebody else")
    code, out, err = queuectl(become=("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *READING))
    assert (code, out) == (8, "")
    assert f"queuectl: {home} belongs to user root, not to you" in err
    os.chown(home, NOBODY, -1)
    code, out, err = queuectl("--fix")
    assert (code, out) == (8, "")
    assert "belongs to user nobody, not to you" in err
    assert f"sudo -u nobody queuectl doctor --home {home}" in err


def test_a_home_of_a_later_format_is_left_as_it_is(home: Path, queuectl: Callable[..., tuple[int, str, str]]) -> None:
    """It may hold what this version would take for litter."""
    (home / "format").write_text("2\n")
    for argv in ((), ("--fix",)):
        code, out, err = queuectl(*argv)
        assert (code, out, os.listdir(home)) == (6, "", ["format"])
        assert "has spool format 2" in err


def test_what_is_no_directory_is_refused(home: Path, queuectl: Callable[..., tuple[int, str, str]]) -> None:
    home.rmdir()
    home.write_text("")
    assert queuectl()[::2] == (
        8,
        f"queuectl: {home} is not a directory\n          hint: move it away, or choose another directory: --home DIR\n",
    )


def test_a_queue_at_work_raises_no_alarm(damaged: DamagedHome) -> None:
    """Examined again and again, while jobs are enqueued, run, fail, are retried, cancelled, revived and deleted all the time."""
    s = damaged.supervised
    s.environ.update(QUEUECTL_BACKOFF_BASE="0.05", QUEUECTL_DURABILITY="relaxed")
    s.start(3)
    user = subprocess.Popen(
        [sys.executable, "-c", TURMOIL], env=s.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert user.stdin is not None
    assert user.stdout is not None
    alarms, examined = [], 0
    try:
        while examined < ROUNDS:
            user.stdin.write("\n" * 20)
            user.stdin.flush()
            assert user.stdout.readline()
            alarms += damaged.findings()
            examined += 1
    finally:
        user.communicate()
    assert user.returncode == 0
    assert alarms == [], json.dumps(alarms, indent=1)
    for job_id in [*damaged.spool.ids(PENDING)]:
        damaged.queue.cancel(job_id)


def test_a_terminal_gets_colour_and_lines_that_fit_and_commands_that_are_whole(
    damaged: DamagedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 60 columns every line fits but those that are to be copied; words of files cannot command the terminal."""
    damaged.write("spool/pending/\x1b[31mred.jsn", "{}")
    monkeypatch.setenv("COLUMNS", "60")
    shown = damaged.doctor("--verbose", "--color", "never").out
    assert "\x1b" not in shown
    assert "\\x1b[31mred.jsn" in shown
    long = [line for line in shown.splitlines() if len(line) > 60]
    assert all(line.lstrip().startswith("cure: ") for line in long), long
    assert "\x1b[33mwarn" in damaged.doctor("--color", "always").out


def test_the_page_on_troubles_knows_every_check_and_no_other() -> None:
    page = (ROOT / "docs/howto/troubleshooting.md").read_text(encoding="utf-8")
    said = [
        cell
        for row in re.findall(r"^\| [^|]+ \| ([^|]+) \| [^|]+ \|$", page, re.M)
        for cell in re.findall(r"`([a-z-]+)`", row)
    ]
    assert set(said) == {check.name for check in CHECKS}
