"""Bad files beside good jobs: the page and its API answer as ever, show the good jobs, and say what was set aside."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from queuectl.job.job import STATES
from queuectl.spool.layout import job_id_of
from queuectl.web.routes import OPERATIONS
from tests.support.bad_entries import BAD_NAMES
from tests.support.home_with_bad_entries import HomeWithBadEntries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.support.supervised import Supervised
    from tests.web.support import Served

PLAIN = [each for each in OPERATIONS if each.method == "GET" and "{" not in each.path and each.id != "events"]
VIEWS = ("overview", "jobs", "jobs?state=dead", "jobs/good-001", "jobs/x-bom", "dead", "workers", "config", "health")
WIDTHS = (1280, 320)


def _answers(web: Served, scene: HomeWithBadEntries) -> int:
    """Ask everything that can be read; the client holds every answer against the document, and refuses a 500."""
    asked = 0
    for each in PLAIN:
        reply = web.ask("GET", each.path)
        assert reply.status in ((200, 503) if each.id.startswith("health") else (200,)), (each.path, reply)
        asked += 1
    for query in ({"state": state} for state in STATES):
        assert web.ask("GET", f"/api/v1/jobs?{urlencode({**query, 'limit': 500})}").status == 200
        asked += 1
    for name in (*BAD_NAMES[::4], b"good-0", b"<b>", b"\\%_"):
        text = name.decode("utf-8", "replace").replace("\0", "")
        assert web.ask("GET", f"/api/v1/jobs?{urlencode({'q': text})}").status == 200, text
        asked += 1
    ids = {job_id_of(bad.name.decode("utf-8", "replace")) for bad in scene.entries}
    for job_id in sorted(filter(None, ids))[::12]:
        for path in (f"/api/v1/jobs/{quote(job_id)}", f"/api/v1/jobs/{quote(job_id)}/output"):
            reply = web.ask("GET", path)
            assert reply.status in (200, 404, 409, 422, 503), reply
            asked += 1
    for job_id in scene.good[:5]:
        assert web.get(f"/api/v1/jobs/{job_id}")["id"] == job_id
        asked += 1
    return asked


def test_the_page_is_unharmed_by_bad_files(
    web: Served, supervised: Callable[..., Supervised], tmp_path: Path, chromium: Browser
) -> None:
    """With the corpus in place before anybody works, after it was dealt with, with the index gone, and in a browser."""
    base = tmp_path / "corpus"
    base.mkdir()
    watched = supervised(durability="relaxed", drop_grace=0.2, kill_after=0.2, backoff_base=0.1)
    scene = HomeWithBadEntries(watched, base)
    scene.put_good(scene.good)
    scene.put(scene.entries)
    asked = _answers(web, scene)
    watched.start(4)
    watched.wait_until(lambda: not scene.unsettled(), "all has been dealt with")
    scene.check()
    asked += _answers(web, scene)
    (web.home / "index.sqlite3").unlink()
    watched.wait_until(lambda: web.ask("GET", "/api/v1/jobs").status == 200, "there is an index again")
    asked += _answers(web, scene)
    web.server.app.writes.note_write()
    seen = web.get("/api/v1/snapshot")
    assert {state: count for state, count in seen["counts"].items() if count} == scene.real_counts()
    rejected = seen["rejected"]
    print(f"{asked:,} answers beside {len(scene.entries):,} bad entries; {rejected:,} set aside")
    assert asked > 500
    assert rejected > 500
    assert seen["health"]["checks"]["spool"]["rejected"] == rejected
    assert f"queuectl_spool_rejected_files {rejected}\n".encode() in web.ask("GET", "/metrics").body
    _look(web, chromium, rejected)


def _look(web: Served, chromium: Browser, rejected: int) -> None:
    from tests.support.browser import Person

    for width in WIDTHS:
        person = Person(chromium, web, viewport={"width": width, "height": 800})
        errors: list[str] = []
        person.page.on("console", lambda message, errors=errors: errors.append(message.text))
        person.sign_in()
        person.see(".banner", f"{rejected:,} invalid files were rejected; their reasons are beside them")
        for view in VIEWS:
            person.go(view)
            person.refreshes(1)
            assert person.overflow() <= 0, (view, width)
            assert person.outside() == [], (view, width)
        person.see("tr", f"{rejected:,} invalid files were rejected")
        person.close()
        wrong = [text for text in errors if not re.search("status of (404|422)", text)]  # of a job that is none
        assert wrong == []
