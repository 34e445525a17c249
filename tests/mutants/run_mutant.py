"""Trying a mutant: a copy of program and tests in which a piece of the program is another, and the tests that must notice.

Nothing of the project itself is changed. A piece that is not there exactly once ends the trial, so no mutant can rot.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psutil

from queuectl.executor.environment import HOME_TAG
from tests.mutants.result_plugin import TOLD_TO

Edits = tuple[tuple[str, str], ...]

ROOT = Path(__file__).parents[2]
PATIENCE_S = "6"  # of a test for what never comes true on a mutant
LIMIT_S = 120


@dataclass(frozen=True)
class Mutant:
    """A way to break the protocol.

    Attributes:
        name: what is broken, in a few words.
        file: below queuectl/.
        edits: pairs of text and what stands there instead.
        tests: each of these has to fail, by an assertion or because the program finds its own files broken.
        why: what goes wrong in the hands of a user.
        also: the same for one more file.
    """

    name: str
    file: str
    edits: Edits
    tests: tuple[str, ...]
    why: str
    also: tuple[str, Edits] | None = None


@dataclass(frozen=True)
class Ending:
    """How a test ended."""

    id: str
    outcome: str
    violation: bool
    kind: str
    said: str


def lay_out(path: Path, source: Path = ROOT) -> Path:
    """Copy program and tests to `path`; what has been compiled in `source` need not be compiled again."""
    path.mkdir(parents=True)
    for folder in ("queuectl", "tests"):
        shutil.copytree(source / folder, path / folder)
    shutil.copy2(source / "setup.cfg", path)
    return path


def break_it(path: Path, mutant: Mutant) -> None:
    """Turn a copy into a mutant."""
    for file, edits in ((mutant.file, mutant.edits), *([mutant.also] if mutant.also is not None else [])):
        broken = path / "queuectl" / file
        text = edited(broken.read_text(encoding="utf-8"), edits, f"{mutant.name}: in {file}")
        compile(text, str(broken), "exec")
        broken.write_text(text, encoding="utf-8")
        for compiled in broken.parent.glob(f"__pycache__/{broken.stem}.*.pyc"):
            compiled.unlink()


def check_fits(mutant: Mutant) -> None:
    """Raise AssertionError when a piece of the program that a mutant replaces is not there, or a test is not."""
    for file, edits in ((mutant.file, mutant.edits), *([mutant.also] if mutant.also is not None else [])):
        edited((ROOT / "queuectl" / file).read_text(encoding="utf-8"), edits, f"{mutant.name}: in {file}")
    for test in mutant.tests:
        file, _, name = test.partition("[")[0].partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{mutant.name}: there is no {test}"


def edited(text: str, edits: Edits, where: str) -> str:
    """Return the text with the edits; raises AssertionError when one of them does not find its place."""
    for before, after in edits:
        count = text.count(before)
        assert count == 1, f"{where} this stands {count} times, not once:\n{before}"
        text = text.replace(before, after)
    return text


def run(path: Path, tests: tuple[str, ...], patience_s: str | None = None) -> list[Ending]:
    """Run tests of a copy in a process of its own and return how each of them ended.

    Raises:
        AssertionError: they did not come to an end, or could not be collected.
    """
    scratch = Path(tempfile.mkdtemp(dir=path.parent))
    told = scratch / "told"
    environ = {**os.environ, "PYTHONPATH": str(path), TOLD_TO: str(told), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    for name in (
        "QUEUECTL_SWEEP",
        "PYTHONDONTWRITEBYTECODE",
    ):  # a sweep's small size will do; compiling twice takes long
        environ.pop(name, None)
    if patience_s is not None:
        environ["QUEUECTL_TEST_PATIENCE_S"] = patience_s
    options = ["-q", "-p", "no:cacheprovider", "-p", "tests.mutants.result_plugin", f"--basetemp={scratch / 'tmp'}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=path,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        raise AssertionError(f"still running after {LIMIT_S} s\n{said}") from None
    finally:
        end_what_is_left(scratch)
    assert process.returncode in (0, 1), said
    assert told.exists(), said
    return [Ending(**json.loads(line)) for line in told.read_text(encoding="utf-8").splitlines()]


def end_what_is_left(path: Path) -> None:
    """Kill what a trial has started and a broken program has lost: the processes whose home lies below `path`."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(HOME_TAG, "").startswith(f"{path}/"):
                process.kill()
        except psutil.Error:
            continue


def of(test: str, endings: list[Ending]) -> list[Ending]:
    """Return how a named test ended, in all the cases that its name stands for."""
    return [ending for ending in endings if ending.id == test or ending.id.startswith(f"{test}[")]


def check_pass(tests: tuple[str, ...], endings: list[Ending]) -> None:
    """Each of the tests has passed; else it says nothing about a mutant."""
    for test in tests:
        found = of(test, endings)
        assert found, f"there is no {test}"
        assert [ending for ending in found if ending.outcome != "passed"] == []


def check_caught(tests: tuple[str, ...], endings: list[Ending]) -> None:
    """Each of the tests has failed in some case, and an assertion said so: no error in the mutant itself."""
    for test in tests:
        found = of(test, endings)
        failed = [ending for ending in found if ending.outcome == "failed"]
        assert failed, f"not noticed by {test}: {found}"
        assert any(ending.violation for ending in failed), f"broken otherwise than meant, in {test}: {failed}"
