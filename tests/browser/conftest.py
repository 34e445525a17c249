"""People who look at the page in chromium. What serves the page is that of tests/web."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support import browser as support
from tests.support.browser import Person
from tests.web.conftest import jobs as jobs
from tests.web.conftest import plain_environment as plain_environment
from tests.web.conftest import serve as serve
from tests.web.conftest import web as web

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser

    from tests.web.support import Served


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
