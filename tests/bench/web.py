"""web: how long the page's answers take, what twenty open pages cost, and a long log in a real browser."""

from __future__ import annotations

import http.client
import json
import math
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import psutil

from queuectl.clock import spell
from queuectl.spool.layout import Layout
from tests.bench import spools
from tests.bench.harness import RELAXED, Case, Context, Figure, Goal, bench
from tests.bench.service import Service, environment
from tests.cli.support import Jobs
from tests.support import browser

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_MIXED = 100_000
TURNS = 20
PAGES, REFRESH_S = 20, 3.0
FRESH_S = 0.6  # so long after a snapshot another one is made
LINES = 100_000
WORKERS = 2


class Page:
    """A web server of its own process."""

    def __init__(self, context: Context, home: Path) -> None:
        command = [sys.executable, "-m", "queuectl", "--home", str(home), "web", "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(), cwd="/", text=True)
        self._cleanup = context.cleanup
        context.cleanup.callback(self.process.wait)
        context.cleanup.callback(self.process.kill)
        assert self.process.stdout is not None
        context.cleanup.callback(self.process.stdout.close)
        self.url = self.process.stdout.readline().strip()
        address, token = self.url.partition("#")[0], (home / "web.token").read_text().strip()
        self.port = int(address.rstrip("/").rpartition(":")[2])
        self.headers = {"Authorization": f"Bearer {token}"}

    def connect(self) -> http.client.HTTPConnection:
        """Return another connection; it is closed in the end."""
        made = http.client.HTTPConnection("127.0.0.1", self.port)
        self._cleanup.callback(made.close)
        return made

    def ask(
        self, path: str, etag: str | None = None, connection: http.client.HTTPConnection | None = None
    ) -> tuple[float, str | None, bytes]:
        """Return milliseconds, the ETag and the body of an answer."""
        connection = connection or self.connect()  # a kept one is hung up when nobody asks for a while
        start = time.perf_counter()
        connection.request("GET", path, headers={**self.headers, **({"If-None-Match": etag} if etag else {})})
        answer = connection.getresponse()
        body = answer.read()
        took = (time.perf_counter() - start) * 1000
        assert answer.status in (200, 304), (path, answer.status, body[:200])
        return took, answer.getheader("ETag"), body

    def usual(self, path: str) -> float:
        """Return the median of some answers, in milliseconds; the first one warms up."""
        connection = self.connect()
        self.ask(path, None, connection)
        return median(self.ask(path, None, connection)[0] for _ in range(TURNS))

    def snapshot(self) -> float:
        """Return the median of snapshots that are made anew."""
        times = []
        for _ in range(5):
            time.sleep(FRESH_S)
            times.append(self.ask("/api/v1/snapshot")[0])
        return median(times)

    def unchanged(self) -> float:
        """Return the median of answers that nothing has changed; a snapshot that is made in between is no such answer."""
        connection, etag, times = self.connect(), None, []
        for _ in range(TURNS * 5):
            took, etag, body = self.ask("/api/v1/snapshot", etag, connection)
            if not body:
                times.append(took)
        return median(times)

    def watched(self, seconds: float) -> float:
        """Return which share of a core this server uses while PAGES pages are open, in percent."""
        stop = time.monotonic() + seconds

        def page(number: int) -> None:
            connection, etag = self.connect(), None
            time.sleep(number * REFRESH_S / PAGES)
            while time.monotonic() < stop:
                etag = self.ask("/api/v1/snapshot", etag, connection)[1]
                time.sleep(REFRESH_S)
            connection.close()

        process = psutil.Process(self.process.pid)
        before, start = sum(process.cpu_times()[:2]), time.monotonic()
        threads = [threading.Thread(target=page, args=(number,)) for number in range(PAGES)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - start) * 100


def fill(layout: Layout, count: int) -> None:
    """Write job files: six of ten completed, two dead, two waiting for next month."""
    chance, now = random.Random(1), time.time()
    for number in range(count):
        created = now - 7 * 86400 * chance.random()
        began = created + 5 * chance.random()
        at = spell(began + chance.expovariate(0.5))
        started = {"event": "started", "at": spell(began), "attempt": 1, "worker": "worker-1"}
        job = {"command": f"convert image{number}.png", "tags": ["thumb"], "created_at": spell(created)}
        kind = number % 10
        if kind < 6:
            directory = "done"
            job["history"] = [started, {"event": "completed", "at": at, "exit_code": 0}]
        elif kind < 8:
            directory = "dead"
            why = {"reason": "retries_exhausted", "error": f"cannot open image{number}.png: code {number}"}
            job["history"] = [started, {"event": "died", "at": at, "exit_code": kind, **why}]
        else:
            directory = "pending"
            job["run_at"] = spell(now + 30 * 86400 + number)
        path = Path(layout.job(directory, f"J{number:09}"))
        path.write_text(json.dumps(job))
        path.chmod(0o600)


def _under(most: float) -> Goal:
    return Goal(most=most, of="value", full_size_only=True)


@bench("web", "the page's answers on a large spool, what twenty open pages cost, a long log in a browser")
def web(context: Context) -> Iterator[Case]:
    """A supervisor with idle workers runs beside the first server; nobody else asks but the bench."""
    yield _mixed(context, min(MOST_MIXED, context.sizes.backlogs[-1]))
    yield _finished(context, context.sizes.backlogs[-1])
    yield _log(context)


def _mixed(context: Context, count: int) -> Case:
    home = context.fresh("mixed")
    layout = Layout(str(home))
    layout.ensure()
    fill(layout, count)
    spools.index(home, context.say)
    Service(context, home, RELAXED).start(WORKERS)
    page = Page(context, home)
    jobs = f"{count:,} jobs"
    seconds = max(REFRESH_S, REFRESH_S * context.sizes.seconds)
    figures = (
        Figure(f"a snapshot, {jobs}", "ms", RELAXED, goal=_under(20)),
        Figure(f"a snapshot that has not changed (304), {jobs}", "ms", RELAXED, goal=_under(1)),
        Figure(f"a page of jobs, {jobs}", "ms", RELAXED, goal=_under(30)),
        Figure(f"a search in all commands, {jobs}", "ms", RELAXED),
        Figure(f"dead jobs in groups, {jobs}", "ms", RELAXED),
        Figure(f"charts of 7 days, {jobs}", "ms", RELAXED),
        Figure(f"metrics, {jobs}", "ms", RELAXED),
        Figure(f"{PAGES} open pages at {REFRESH_S:g} s, {jobs}", "% of a core", RELAXED, goal=_under(2)),
    )
    paths = ("/api/v1/jobs", "/api/v1/jobs?q=image77", "/api/v1/dead/groups", "/api/v1/stats?window=7d", "/metrics")
    return Case(
        figures,
        lambda: [page.snapshot(), page.unchanged(), *map(page.usual, paths), page.watched(seconds)],
    )


def _finished(context: Context, count: int) -> Case:
    """Where the growth benches have built a spool of this size with as many waiting jobs, that one serves."""
    home = spools.spool(context, count if (count, count) in context.shared else 0, count)
    page = Page(context, home)
    jobs = f"{count:,} done"
    figures = (
        Figure(f"a snapshot, {jobs}", "ms", RELAXED),
        Figure(f"a page of jobs, {jobs}", "ms", RELAXED, goal=_under(30)),
        Figure(f"a page of jobs far down, {jobs}", "ms", RELAXED, goal=_under(30)),
        Figure(f"a page of completed jobs by age, {jobs}", "ms", RELAXED),
    )

    def run() -> list[float]:
        cursor = json.loads(page.ask("/api/v1/jobs?limit=500")[2])["cursor"]
        further = f"/api/v1/jobs?limit=50{f'&cursor={cursor}' if cursor else ''}"
        oldest = "/api/v1/jobs?state=completed&sort=-created"
        return [page.snapshot(), page.usual("/api/v1/jobs"), page.usual(further), page.usual(oldest)]

    return Case(figures, run)


def _log(context: Context) -> Case:
    """Without Chromium, the figure of the browser is left out."""
    home = context.fresh("log")
    jobs = Jobs(home)
    lines = b"".join(b"line %d of a long log\n" % number for number in range(LINES))
    jobs.completed("long", lines)
    page = Page(context, home)
    figures = (
        Figure(f"the end of a log of {LINES:,} lines", "ms", RELAXED),
        Figure(f"the longest pause of the page while {LINES:,} lines come", "ms", RELAXED, goal=_under(200)),
    )

    def run() -> list[float]:
        end = page.usual("/api/v1/jobs/long/output?lines=200")
        return [end, _longest_pause(page.url, jobs, lines)]

    return Case(figures, run)


def _longest_pause(url: str, jobs: Jobs, lines: bytes) -> float:
    """Return the longest time between two frames of a page that reads lines as they are written."""
    if not browser.path():
        return math.nan
    with jobs.running(f"runs-{time.monotonic_ns()}", b"begun\n") as claim, browser.chromium() as chromium:
        page = chromium.new_page()
        page.goto(url)
        page.wait_for_selector(".tiles")
        page.evaluate("id => { location.hash = `#/jobs/${id}`; }", claim.job.id)
        page.wait_for_selector(".out:has-text('begun')")
        page.evaluate(
            """() => { window.longest = 0; let last = performance.now();
                 const frame = (at) => { longest = Math.max(longest, at - last); last = at; requestAnimationFrame(frame); };
                 requestAnimationFrame(frame); }"""
        )
        with open(jobs.queue.layout.output_of(claim.job.id, claim.job.attempts), "ab") as file:
            file.write(lines)
        page.wait_for_selector(f".out:has-text('line {LINES - 1} of')")
        return float(page.evaluate("longest"))
