"""A page served for the test, with the token in its home."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.support import Jobs
from tests.web.support import Served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the surroundings that could change a setting."""
    for name in [name for name in os.environ if name.startswith("QUEUECTL_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def serve(home: Path) -> Iterator[Callable[..., Served]]:
    """Return a function that serves the page, with what `ServeOptions` takes."""
    made: list[Served] = []

    def start(**wanted: Any) -> Served:
        made.append(Served(home, **wanted).__enter__())
        return made[-1]

    yield start
    for each in made:
        each.__exit__()


@pytest.fixture
def web(serve: Callable[..., Served]) -> Served:
    """The page as `queuectl web` serves it."""
    return serve()


@pytest.fixture
def jobs(home: Path) -> Jobs:
    """Jobs in every state."""
    return Jobs(home)
