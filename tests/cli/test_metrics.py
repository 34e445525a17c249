"""metrics: what /metrics says, printed, or written for node_exporter so that it never reads half of it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from queuectl.client.queue import Queue
from queuectl.index.database import IndexUnavailable
from tests.cli.support import Jobs, Run


def some(jobs: Jobs) -> None:
    jobs.completed("a")
    jobs.dead("d")
    jobs.pending("p", queue="night")


def values(text: str) -> dict[str, float]:
    """Return every sample by name and labels, as Prometheus's own parser reads them."""
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_they_are_read_by_the_parser_of_prometheus_and_right(cli: Run, jobs: Jobs) -> None:
    some(jobs)
    ran = cli("metrics")
    assert (ran.code, ran.err) == (0, "")
    found = values(ran.out)
    assert found["queuectl_jobs[('queue', 'night'), ('state', 'pending')]"] == 1
    assert found["queuectl_jobs_finished_total[('outcome', 'completed')]"] == 1
    assert found["queuectl_job_duration_seconds_count[]"] == 2
    assert (found["queuectl_up[]"], found["queuectl_index_up[]"]) == (0, 1)
    assert all(family.documentation for family in text_string_to_metric_families(ran.out))


def test_json_has_the_same_figures(cli: Run, jobs: Jobs) -> None:
    some(jobs)
    told = json.loads(cli("metrics", "--json").out)
    samples = {f"{s['name']}{sorted(s['labels'].items())}" for family in told.values() for s in family["samples"]}
    assert samples == set(values(cli("metrics").out))


def test_without_an_index_the_rest_is_told(cli: Run, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise IndexUnavailable("the index is damaged")

    monkeypatch.setattr(Queue, "reader", fail)
    ran = cli("metrics")
    found = values(ran.out)
    assert (ran.code, found["queuectl_index_up[]"]) == (0, 0)
    assert "queuectl_spool_free_bytes[]" in found
    assert not any(name.startswith("queuectl_jobs") for name in found)


def test_the_file_is_replaced_whole_and_readable_by_all(
    cli: Run, jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the instant before the rename the old one is untouched, and the new one has a name that nobody reads."""
    some(jobs)
    place = tmp_path / "metrics"
    place.mkdir()
    path = place / "queuectl.prom"
    path.write_text("the last one")
    seen = []
    replace = os.replace

    def look(source: str, target: str) -> None:
        if target == str(path):
            seen.append((path.read_text(), [p.name for p in place.glob("*.prom")], values(Path(source).read_text())))
        replace(source, target)

    monkeypatch.setattr(os, "replace", look)
    before = os.umask(0o077)
    ran = cli("metrics", "--textfile", str(path))
    os.umask(before)
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    [(old, names, new)] = seen
    assert (old, names) == ("the last one", ["queuectl.prom"])
    assert values(path.read_text()) == new
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [*place.iterdir()] == [path]


def test_a_file_that_cannot_be_written_leaves_the_last_one_and_nothing_else(
    cli: Run, jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "queuectl.prom"
    path.write_text("the last one")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    ran = cli("metrics", "--textfile", str(path))
    assert ran.code == 9
    assert f"cannot write {path}: No space left on device" in ran.err
    assert path.read_text() == "the last one"
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".queuectl")]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--textfile", "nowhere/q.prom"], 1, "cannot write nowhere/q.prom: No such file or directory"),
        (["--textfile", "."], 1, "it is a directory"),
        (["--textfile="], 2, "--textfile must name a file"),
        (["--textfile", "q.prom", "--json"], 2, "cannot be used with JSON"),
        (["--textfile", "q.txt"], 0, "reads only files that end in .prom"),
    ],
)
def test_mistakes_are_told(cli: Run, jobs: Jobs, words: list[str], code: int, says: str) -> None:
    ran = cli("metrics", *words)
    assert (ran.code, ran.out) == (code, "")
    assert says in ran.err


@pytest.mark.parametrize("kind", ["a symbolic link", "no regular file"])
def test_what_is_no_file_is_not_replaced(cli: Run, jobs: Jobs, tmp_path: Path, kind: str) -> None:
    """Of root, who may do it, `--textfile /dev/null` would have made the system's /dev/null a file."""
    path = tmp_path / "queuectl.prom"
    if kind == "no regular file":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/null")
    before = path.lstat()
    ran = cli("metrics", "--textfile", str(path))
    assert (ran.code, ran.out) == (1, "")
    assert f"cannot write {path}: it is {kind}" in ran.err
    assert path.lstat().st_ino == before.st_ino
