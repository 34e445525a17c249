"""A page served for the test, with the token in its home."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.support import Jobs
from tests.support import browser as support
from tests.support.browser import Person
from tests.web.support import Served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the surroundings that could change a setting."""
    for name in [name for name in os.environ if name.startswith("QUEUECTL_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def serve(home: Path) -> Iterator[Callable[..., Served]]:
    """Return a function that serves the page, with what `Wanted` takes."""
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


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with support.chromium() as made:
        yield made


@pytest.fixture
def meet(chromium: Browser, web: Served) -> Iterator[Callable[..., Person]]:
    """Return a function that lets somebody look at the page."""
    made: list[Person] = []

    def person(**more: Any) -> Person:
        made.append(Person(chromium, more.pop("web", web), **more))
        return made[-1]

    yield person
    for each in made:
        each.close()


@pytest.fixture
def person(meet: Callable[..., Person]) -> Person:
    return meet()
