"""The benchmarks work from end to end; no time is asserted."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from queuectl.client.queue import Queue
from queuectl.index.rebuild import verify
from tests.bench import spools
from tests.bench.__main__ import DOCUMENT, RESULTS, main
from tests.bench.harness import ABOVE, BENCHES, FULL, NOTHING_STORED, RELAXED, Figure, Goal, Row
from tests.bench.report import markdown, number, put_into
from tests.support.scenarios import IS_FULL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.supervised import Supervised

INSTANT = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
MEASURED = rb',"(cpu_s|max_rss_bytes)":[\d.]+'


def test_the_small_size_runs_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Table and JSON hold every figure, with its durability and one number a round; no process, no file stays."""
    names = ["limits", "enqueue-process", "lag", "idle", *(["web"] if IS_FULL else [])]  # a browser takes half a minute
    target = tmp_path / "figures.json"
    before = set(psutil.pids())
    work = tmp_path / "work"
    work.mkdir()
    arguments = ["--small", "--rounds", "2", "--quiet", "--directory", str(work), "--json", str(target)]
    assert main([*names, *arguments]) == 0
    table = capsys.readouterr().out
    result: dict[str, Any] = json.loads(target.read_text())
    assert [*result] == names
    for name, made in result.items():
        assert {"cores", "processor", "kernel", "python", "file_system", "date", "size"} <= set(made["machine"])
        for row in made["rows"]:
            assert row["figure"] in table
            assert row["durability"] in (NOTHING_STORED, RELAXED, FULL)
            assert len(row["samples"]) == 2, (name, row)
            assert all(sample >= 0 for sample in row["samples"])
            assert len(row["comparisons"]) == (2 if row["limit"] else 0)
    assert [*work.iterdir()] == []
    left = [psutil.Process(pid) for pid in set(psutil.pids()) - before if psutil.pid_exists(pid)]
    assert [process for process in left if str(work) in " ".join(_words(process))] == []


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_made_job_is_what_the_queue_writes(tmp_path: Path, supervised: Callable[..., Supervised]) -> None:
    """Byte for byte, but for id, instants and what the command used; and the index agrees with every file."""
    home = tmp_path / "made"
    spools.build(home, 20, 30, print)
    spools.index(home, print)
    queue = Queue(home)
    assert queue.counts()["pending"] == 20
    assert queue.counts()["completed"] == 30
    with queue.reader() as reader:
        assert [found for found in verify(queue.spool, reader) if found is not None] == []
    s = supervised()
    s.start(1)
    job_id = s.queue.submit({"command": "true"})
    s.wait_for(job_id, "completed")
    real = _plain(s.home / f"spool/done/{job_id}.json", job_id)
    for path in (home / "spool/done").iterdir():
        assert _plain(path, path.stem) == real
        assert path.stat().st_mode == (s.home / f"spool/done/{job_id}.json").stat().st_mode
    waiting = Queue(tmp_path / "other")
    job_id = waiting.submit({"command": "true"})
    real = _plain(tmp_path / f"other/spool/pending/{job_id}.json", job_id)
    assert {_plain(path, path.stem) for path in (home / "spool/pending").iterdir()} == {real}


def _plain(path: Path, job_id: str) -> bytes:
    data = path.read_bytes().replace(job_id.encode(), b"ID")
    return re.sub(MEASURED, b"", re.sub(INSTANT, b"INSTANT", data)).rstrip()


def test_a_spool_that_does_not_fit_is_not_begun(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path)
    with pytest.raises(OSError, match="do not fit"):
        spools.refuse_when_too_big(str(tmp_path), free.f_bavail * free.f_frsize // spools.BLOCK_BYTES)


def test_figures_are_compared_within_each_round() -> None:
    limit = Row("b", Figure("limit", "jobs/s"), [100.0, 200.0, 400.0])
    ours = Row("b", Figure("ours", "jobs/s", RELAXED, "limit", goal=Goal(least=0.9)), [90.0, 190.0, 100.0])
    ours.compare_with(limit)
    assert ours.comparisons == [0.9, 0.95, 0.25]
    assert ours.verdict is True
    above = Row("b", Figure("above", "ms", RELAXED, "limit", ABOVE, Goal(most=5)), [104.0, 206.0, 407.0])
    above.compare_with(limit)
    assert above.comparisons == [4.0, 6.0, 7.0]
    assert above.verdict is False
    assert Row("b", Figure("none", "ms", goal=Goal(most=1, of="value")), [float("nan")]).verdict is None


def test_numbers_are_written_with_what_matters() -> None:
    assert [number(n) for n in (0, 0.0123, 1.5, 61.25, 812.6, 48_123.4)] == [
        "0",
        "0.0123",
        "1.50",
        "61.2",
        "813",
        "48,123",
    ]


def test_every_bench_is_known_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert all(f"{name} " in listed for name in BENCHES)
    assert main(["no-such-bench"]) == 2


def test_the_document_shows_the_figures_that_are_kept() -> None:
    text = DOCUMENT.read_text()
    assert put_into(text, markdown(json.loads(RESULTS.read_text()))) == text
