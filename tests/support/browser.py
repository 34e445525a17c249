"""A real browser: Debian's Chromium, driven by playwright; and what every test of the page does with it.

Skips, with the reason, where there is none; fails where there has to be one.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page

    from tests.web.support import Served

IS_CI = os.environ.get("QUEUECTL_CI") == "1"
NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 20_000  # only ever used up by a test that fails
# Names that an attacker's DNS would answer: they lead here.
RULES = "--host-resolver-rules=MAP evil.test 127.0.0.1, MAP rebind.test 127.0.0.1"
SERIOUS = ("serious", "critical")
# The page's own listener of `hashchange` comes before this one; afterwards it has begun to load, where it loads anything.
GO = """async ([view, patience]) => {
  const { isRefreshing } = await import(new URL('refresh.js', document.baseURI));
  const until = performance.now() + patience, isOther = location.hash !== `#/${view}`;
  const changed = new Promise((done) => addEventListener('hashchange', done, { once: true }));
  location.hash = `#/${view}`;
  if (isOther) await changed;
  while (isRefreshing() && performance.now() < until) await new Promise((done) => setTimeout(done, 10));
}"""


def path() -> str | None:
    """Return Chromium's path; None where there is none, or nothing to drive it with."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return found if find_spec("playwright") else None


def require() -> str:
    """Return Chromium's path; skip, or in CI fail, where there is none."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    reason = "there is no chromium" if path is None else None
    for module in ("playwright", "axe_playwright_python"):
        if find_spec(module) is None:
            reason = f"there is no Python package {module}"
    if reason is not None and IS_CI:
        pytest.fail(f"a real browser is part of CI, but {reason}")
    if reason is not None or path is None:
        pytest.skip(f"no browser: {reason}")
    return path


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser without a window."""
    path = require()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", RULES])
        try:
            yield made
        finally:
            made.close()


class Person:
    """Somebody who looks at the page; what is wrong on it, no test has to ask for: errors of the script fail at the end.

    Args:
        every: how often the page refreshes, in seconds.
        more: of the browser's context: viewport, color_scheme ...
    """

    def __init__(self, browser: Browser, web: Served, *, every: str = "0.4", **more: Any) -> None:
        self.web = web
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **more})
        self.context.set_default_timeout(PATIENCE_MS)
        self.context.add_init_script(f"if (location.protocol === 'http:') localStorage['queuectl.every'] ??= '{every}'")
        self.faults: list[str] = []
        self.page = self.new_page()

    def new_page(self) -> Page:
        """Open another tab."""
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda message: self._heard(message.text))
        return page

    def _heard(self, text: str) -> None:
        if re.search("Content Security Policy|TypeError|ReferenceError", text) and "frame-ancestors" not in text:
            self.faults.append(text)

    @property
    def url(self) -> str:
        return f"http://{self.web.host}/"

    def sign_in(self, view: str = "overview") -> Page:
        """Open the printed address, then a view."""
        self.page.goto(f"{self.url}#token={self.web.token}")
        self.see("#controls button:has-text('?')")
        return self.go(view)

    def go(self, view: str) -> Page:
        """Open a view, as a link would, and wait until it shows what it loads."""
        self.page.evaluate(GO, [view, PATIENCE_MS])
        self.see("#view h1")
        return self.page

    def see(self, what: str, text: str | None = None) -> Locator:
        """Wait until something can be seen."""
        found = self.page.locator(what)
        if text is not None:
            found = found.filter(has_text=text)
        found.first.wait_for()
        return found.first

    def miss(self, what: str, text: str | None = None) -> None:
        """Wait until something cannot be seen any more."""
        found = self.page.locator(what)
        if text is not None:
            found = found.filter(has_text=text)
        found.first.wait_for(state="hidden")

    def press(self, name: str) -> None:
        """Press the button with this name."""
        self.page.get_by_role("button", name=name, exact=True).first.click()

    def refreshes(self, count: int = 2) -> None:
        """Wait for some refreshes."""
        for _ in range(count):
            with self.page.expect_response(lambda answer: answer.url.endswith("/api/v1/snapshot")):
                pass
            self.page.evaluate(
                "async () => { const { isRefreshing } = await import(new URL('refresh.js', document.baseURI));"
                " while (isRefreshing()) await new Promise((done) => setTimeout(done, 10)); }"
            )

    def with_state(self, script: str) -> Any:
        """Run a script with the page's state, S."""
        return self.page.evaluate(
            f"async () => {{ const {{ S }} = await import(new URL('state.js', document.baseURI)); return {script}; }}"
        )

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def outside(self) -> list[str]:
        """Which elements stick out of the window, though no box scrolls them; at most the first five."""
        found = self.page.evaluate(
            """() => {
              const scrolls = (node) => node && (/auto|scroll|hidden|clip/.test(getComputedStyle(node).overflowX) || scrolls(node.parentElement));
              const out = [...document.querySelectorAll('header *, main *, #toasts *')].filter((node) => {
                const box = node.getBoundingClientRect();
                return box.width && !node.closest('svg, .unseen') && (box.left < -1 || box.right > innerWidth + 1) && !scrolls(node.parentElement);
              });
              return out.slice(0, 5).map((node) => node.outerHTML.slice(0, 120));
            }"""
        )
        return [str(each) for each in found]

    def axe(self) -> list[str]:
        """What axe-core finds that is serious."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(f"() => {{ {_axe()} }}")
        found = self.page.evaluate("() => axe.run({resultTypes: ['violations']})")
        return [
            f"{each['id']}: {each['help']}: {[node['html'][:160] + ' ' + node['failureSummary'][:300] for node in each['nodes'][:3]]}"
            for each in found["violations"]
            if each["impact"] in SERIOUS
        ]

    def close(self) -> None:
        """Leave; nothing may have gone wrong on the page."""
        self.context.close()
        assert not self.faults, self.faults


def _axe() -> str:
    import axe_playwright_python

    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
