"""A plugin for the pytest that tries a mutant: writes down how each test ended, and whether a broken promise ended it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import queuectl
from queuectl.errors import QueueError

if TYPE_CHECKING:
    from collections.abc import Generator

TOLD_TO = "QUEUECTL_WITNESS"
FILE = os.environ.get(TOLD_TO, "")  # tests may remove the variable
# `pytest.raises` says the second when nothing was raised; the third is the program's own judgement of what it found.
VIOLATIONS = (AssertionError, pytest.fail.Exception, QueueError)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to try another program than the copy."""
    if not Path(queuectl.__file__).is_relative_to(config.rootpath):
        raise pytest.UsageError(f"{queuectl.__file__} is not below {config.rootpath}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell of every call, and of a setup that failed."""
    report = yield
    if call.when == "call" or (call.when == "setup" and not report.passed):
        what = call.excinfo
        is_violation = what is not None and call.when == "call" and isinstance(what.value, VIOLATIONS)
        said = "" if what is None else (str(what.value).strip() or what.typename).splitlines()[0]
        kind = "" if what is None else what.typename
        line = {"id": item.nodeid, "outcome": report.outcome, "violation": is_violation, "kind": kind, "said": said}
        with Path(FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    return report
