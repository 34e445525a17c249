"""A log line is never lost for a bug of ours, and never in the way of a job."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from queuectl import log as log_module
from queuectl.log import Log


def make(tmp_path: Path, **kwargs: bool) -> tuple[Log, Path]:
    path = tmp_path / "worker-1.log"
    return Log(str(path), "worker-1", **kwargs), path


def test_what_is_noted_together_is_written_together(tmp_path: Path) -> None:
    log, path = make(tmp_path)
    log.info("one action=a")
    log.info("two action=b")
    assert not path.exists()
    log.flush()
    one, two = path.read_text().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z worker-1 INFO one action=a", one)
    assert two.endswith("INFO two action=b")


@pytest.mark.parametrize("level", ["warning", "error"])
def test_what_a_person_should_see_is_there_at_once_and_in_order(tmp_path: Path, level: str) -> None:
    log, path = make(tmp_path)
    log.info("before")
    getattr(log, level)("now")
    assert [line.split(maxsplit=2)[2] for line in path.read_text().splitlines()] == [
        "INFO before",
        f"{level.upper()} now",
    ]


def test_an_exception_comes_with_its_traceback_on_one_line(tmp_path: Path) -> None:
    log, path = make(tmp_path)
    try:
        raise KeyError("x")
    except KeyError:
        log.exception("it failed")
    (line,) = path.read_text().splitlines()
    assert "it failed\\nTraceback" in line
    assert "KeyError: 'x'" in line


def test_control_characters_and_what_is_not_unicode_are_escaped(tmp_path: Path) -> None:
    log, path = make(tmp_path)
    log.info("a\x1b[31m\nb\udcff\u202e")
    log.flush()
    (line,) = path.read_bytes().splitlines()
    assert line.endswith(rb"INFO a\x1b[31m\nb\udcff\u202e")


def test_a_full_file_is_set_aside_and_the_oldest_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "MAX_BYTES", 200)
    log, path = make(tmp_path)
    for number in range(20):
        log.info(f"line {number} " + "x" * 100)
        log.flush()
    kept = sorted(tmp_path.iterdir())
    assert [p.name for p in kept] == [
        "worker-1.log",
        *(f"worker-1.log.{n}" for n in range(1, log_module.KEPT_FILES + 1)),
    ]
    assert "line 19 " in path.read_text()
    assert "line 18 " in (tmp_path / "worker-1.log.1").read_text()
    assert all(p.stat().st_size <= 200 for p in kept)


def test_it_goes_on_with_the_file_that_is_there(tmp_path: Path) -> None:
    for text in ("first", "second"):
        log, path = make(tmp_path)
        log.info(text)
        log.flush()
    assert len(path.read_text().splitlines()) == 2
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_directory_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "gone/worker-1.log"), "worker-1")
    log.error("lost")
    (tmp_path / "gone").mkdir()
    log.error("kept")
    assert "kept" in (tmp_path / "gone/worker-1.log").read_text()


def test_in_the_foreground_it_is_shown_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, _ = make(tmp_path, echo=True)
    log.warning("look")
    assert "WARNING look" in capsys.readouterr().err
