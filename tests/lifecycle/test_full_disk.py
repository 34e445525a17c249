"""Retention on a full disk, which it is there to empty."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from queuectl import disk_space
from queuectl.cli.main import main
from queuectl.client.queue import Queue
from queuectl.errors import Busy
from queuectl.spool import context
from tests.support.chaos import SmallDisk
from tests.support.supervised import Supervised

ROOT = Path(__file__).parents[2]


def maintenance(home: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "QUEUECTL_RETENTION_DONE": "0.001"}
    command = [sys.executable, "-m", "queuectl", "--home", str(home), "maintenance"]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("is_supervised", [True, False], ids=["supervisor", "alone"])
@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_old_jobs_are_removed_from_a_full_disk(tmp_path: Path, kind: str, is_supervised: bool) -> None:
    """Whatever else cannot be done there is told; the next run finds nothing wrong."""
    with SmallDisk(kind, tmp_path) as disk:
        home = disk.path / "home"
        home.mkdir(mode=0o700)
        with Supervised(home, min_free=0, maintenance_interval=0) as s:
            process = s.start(1)
            ids = [each for each in s.queue.enqueue_many(["true"] * 150) if isinstance(each, str)]
            s.wait_until(lambda: s.queue.counts()["completed"] == len(ids), "all have run")
            if not is_supervised:
                process.terminate()
                process.wait()
            disk.fill("bytes")
            first = maintenance(home)
            assert not [*home.glob("spool/done/*")], first.stderr
            assert first.returncode in (0, 7), first
            assert "bug" not in first.stderr
            disk.free()
            second = maintenance(home)
            assert (second.returncode, second.stdout, second.stderr) == (0, "", ""), second
            assert (home / "run/ballast").exists()
            assert s.queue.counts()["completed"] == 0


def test_a_disk_that_a_job_has_filled_is_emptied_by_the_command_that_is_named(tmp_path: Path) -> None:
    """One that waits for its next try, and one that still runs."""
    with SmallDisk("tmpfs", tmp_path) as disk:
        home = disk.path / "home"
        home.mkdir(mode=0o700)
        with Supervised(home, min_free=1 << 20, maintenance_interval=0, backoff_base=1000) as s:
            s.start(2)
            runs = s.queue.enqueue("head -c 4M /dev/zero; exec sleep 1000", id="runs")
            s.wait_until(lambda: sizes(home / "output") == [4 << 20], "it has written")
            s.queue.enqueue("head -c 100M /dev/zero", id="waits")
            s.wait_for("waits", "failed")
            with pytest.raises(Busy) as refused:
                s.queue.enqueue("true")
            hint = str(refused.value.hint)
            assert hint.endswith("to remove: queuectl cancel runs && queuectl purge --output-only waits runs")
            for command in hint.partition("to remove: ")[2].split(" && "):
                run = [sys.executable, "-m", "queuectl", "--home", str(home), *command.split()[1:]]
                ran = subprocess.run(run, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False)
                assert ran.returncode == 0, ran
            assert (s.state(runs), s.state("waits")) == ("cancelled", "failed")
            s.wait_for(s.queue.enqueue("true"), "completed")


def sizes(folder: Path) -> list[int]:
    return [path.stat().st_size for path in folder.iterdir() if path.is_file()]


def test_a_job_that_no_space_is_left_for_is_taken_with_a_warning(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a small disk a job needs more space to start than to be enqueued."""
    for module in (disk_space, context):
        monkeypatch.setattr(module, "LEAST_FREE_BYTES", 1 << 60)
    queue = Queue(home)
    words = "needed: no job starts until there is space"
    with pytest.warns(UserWarning, match=words):
        queue.enqueue("true", id="a")
    with pytest.warns(UserWarning, match=words):
        queue.enqueue_many(["true"])
    for line in (["enqueue", "--command", "true"], ["enqueue", "--lines", "-"], ["map", "true"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"true\n")))
        assert main(["--home", str(home), *line, "--json"]) == 0
        out, err = capsys.readouterr()
        assert json.loads(out)["queued"] == 1
        assert f"queuectl: the disk of {home} is full: " in err
        assert words in err, line
    assert queue.counts()["pending"] == 5
    assert main(["--home", str(home), "status", "--json"]) == 0
    assert "needed: no job starts" in str(json.loads(capsys.readouterr().out)["attention"])
    assert main(["--home", str(home), "check"]) == 2
    assert "no job starts" in capsys.readouterr().out
    assert main(["--home", str(home), "doctor"]) == 1
    assert f"the disk of {home} is full: " in " ".join(
        capsys.readouterr().out.split()
    )  # whatever the width of its lines
