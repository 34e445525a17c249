"""A home with bad entries beside good jobs, what has to become of each, and whether the command line is unharmed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from queuectl.job.job import DEAD, DONE, PENDING, PROCESSING
from queuectl.spool.layout import job_id_of, shown
from tests.support.bad_entries import ENDS_DEAD, ENDS_DONE, REJECTED, STAYS, Bad, Corpus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.supervised import Supervised

ROOT = Path(__file__).parents[2]
GOOD = 100


class HomeWithBadEntries:
    """A home with bad entries and good jobs, and what has to be true of it."""

    def __init__(self, s: Supervised, base: Path) -> None:
        self.s = s
        self.layout = s.queue.layout
        self.layout.ensure()
        self.corpus = Corpus(base, "good-000")
        self.entries = self.corpus.entries()
        self.log = base / "log"
        self.before: dict[tuple[str, bytes], Any] = {}
        self.good = [f"good-{number:03}" for number in range(GOOD)]

    def path(self, bad: Bad) -> bytes:
        return os.fsencode(self.layout.directory(bad.directory)) + b"/" + bad.name

    def put(self, entries: Sequence[Bad]) -> None:
        for bad in entries:
            bad.make(self.path(bad))
            self.before[bad.directory, bad.name] = look_at(self.path(bad))

    def put_good(self, ids: Sequence[str]) -> None:
        """Half by the library, half as a stranger drops them."""
        for number, job_id in enumerate(ids):
            command = f"echo {job_id} >> {self.log}"
            if number % 2:
                self.s.queue.enqueue(command, id=job_id)
            else:
                Path(self.layout.job(PENDING, job_id)).write_text(json.dumps({"command": command}))

    def unsettled(self) -> set[bytes]:
        """Return what still waits or runs, but for what is to stay."""
        staying = {bad.name for bad in self.entries if (bad.directory, bad.fate) == (PENDING, STAYS)}
        running = os.listdir(os.fsencode(self.layout.directory(PROCESSING)))
        return {*os.listdir(os.fsencode(self.layout.directory(PENDING))), *running} - staying

    def check(self) -> Counter[str]:
        """Assert that everything became what it should; returns how many entries met which fate."""
        assert os.listdir(self.corpus.marks) == [], "a command was run that none may run"
        ran = Counter(self.log.read_text().split())
        assert ran == Counter(self.good)
        for job_id in self.good:
            job = self.s.queue.get(job_id)
            assert (job.state, job.attempts) == ("completed", 1)
        reasons, wrong, fates = self._reasons(), [], Counter[str]()
        for bad in self.entries:
            fates[f"{bad.directory}: {bad.fate}"] += 1
            said = self._judge(bad, reasons)
            if said:
                wrong.append(f"{bad.label} in {bad.directory}/: {said}")
        assert not wrong, f"{len(wrong)} of {len(self.entries)}:\n" + "\n".join(wrong)
        return fates

    def _reasons(self) -> dict[str, tuple[str, str]]:
        """Return for each place that something was rejected from its name in rejected/ and the reason."""
        found = {}
        for name in os.listdir(self.layout.rejected):
            if os.path.lexists(f"{self.layout.rejected}/{name}.reason"):
                text = Path(f"{self.layout.rejected}/{name}.reason").read_text("utf-8")
                place = text.partition(" from ")[2].partition(": ")[0]
                assert place not in found, f"{place} was rejected twice"
                found[place] = (name, text)
        return found

    def _judge(self, bad: Bad, reasons: dict[str, tuple[str, str]]) -> str | None:
        path, before = self.path(bad), self.before[bad.directory, bad.name]
        if bad.fate == STAYS:
            return None if look_at(path) == before else "it was changed"
        if bad.fate in (ENDS_DONE, ENDS_DEAD):
            return self._judge_job(bad)
        if os.path.lexists(path):
            return "it was not set aside"
        if f"{bad.directory}/{shown(os.fsdecode(bad.name))}" not in reasons:
            return "there is no reason for it"
        name, reason = reasons[f"{bad.directory}/{shown(os.fsdecode(bad.name))}"]
        kept = look_at(os.fsencode(f"{self.layout.rejected}/{name}"))
        if kept != before:
            return f"rejected/{name} is not what it was"
        missing = [word for word in bad.words if word not in reason]
        return f"{missing} not in {reason!r}" if missing else None

    def _judge_job(self, bad: Bad) -> str | None:
        job = self.s.queue.get(job_id_of(os.fsdecode(bad.name)) or "")
        missing = [word for word in bad.words if word not in (job.last_error or "")]
        if job.directory != bad.fate or missing:
            return f"in {job.directory}/, {missing} not in {job.last_error!r}"
        return None

    def real_counts(self) -> dict[str, int]:
        """What the index has to say: good jobs, and those that were jobs and could not be run."""
        fates = Counter(bad.fate for bad in self.entries)
        cancelled = sum(bad.label == "ended-cancelled" for bad in self.entries)
        return {
            "completed": GOOD + fates[ENDS_DONE] - cancelled,
            "cancelled": cancelled,
            "dead": fates[ENDS_DEAD],
        }

    def command_line(self, *argv: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "queuectl"), *argv]
        return subprocess.run(command, env=self.s.environ, capture_output=True, text=True, check=False)

    def check_command_line(self) -> None:
        """The commands that show jobs are unharmed, and say what is wrong with a file that is none."""
        status = self.command_line("status", "--json")
        assert status.returncode == 0, status.stderr
        shown = json.loads(status.stdout)
        assert {state: number for state, number in shown["counts"].items() if number} == self.real_counts()
        assert shown["rejected"] >= sum(bad.fate == REJECTED for bad in self.entries) - 2  # two are called *.reason
        listed = self.command_line("list", "--all", "--json")
        assert listed.returncode == 0, listed.stderr
        assert len(json.loads(listed.stdout)) == sum(self.real_counts().values())
        verified = self.command_line("index", "verify")
        assert verified.returncode == 0, verified.stdout[:6000] + verified.stderr
        for directory, name, words in (
            (DONE, "d-field-priority-1", ("line 3, column 3", '"priority" must be', "^")),
            (DEAD, "x-bom", ("byte order mark",)),
            (DONE, "k-link-file", ("a symbolic link",)),
            (DEAD, "k-dead-fifo", ("a FIFO",)),
        ):
            one = self.command_line("show", name)
            assert (one.returncode, one.stdout) == (6, ""), one
            for word in (f"{directory}/{name}.json", *words):
                assert word in one.stderr
        assert self.command_line("show", "good-001").returncode == 0
        assert self.command_line("show", "a b").returncode == 3


def look_at(path: bytes) -> tuple[object, ...] | None:
    """What an entry is, links not followed; its inode's number tells whether it is still the same."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    data = os.readlink(path) if os.path.islink(path) else None
    return status.st_ino, status.st_mode, status.st_uid, status.st_size, status.st_mtime_ns, data
