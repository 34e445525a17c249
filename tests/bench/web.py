"""How long the page's answers take, and what twenty open pages cost. Not a test: python tests/bench/web.py [JOBS].

Makes a home with JOBS jobs (100,000) in every state, serves it in a process of its own beside a supervisor, and asks.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from queuectl.clock import spell  # noqa: E402 - the path comes first
from queuectl.spool.layout import Layout  # noqa: E402

QUEUECTL = [sys.executable, str(ROOT / "queuectl")]
PATHS = (
    *(
        "/livez",
        "/api/v1/jobs",
        "/api/v1/jobs?state=dead&sort=created",
        "/api/v1/jobs?q=image77",
        "/api/v1/dead/groups",
    ),
    *("/api/v1/stats?window=1h", "/api/v1/stats?window=7d", "/metrics", "/healthz", "/api/v1/jobs/J000000001"),
)
PAGES, REFRESH_S, WATCH_S = 20, 3.0, 30.0


def fill(layout: Layout, count: int) -> None:
    """Write job files: six of ten completed, two dead, two waiting for next month."""
    chance, now = random.Random(1), time.time()
    for number in range(count):
        created = now - 7 * 86400 * chance.random()
        began = created + 5 * chance.random()
        ended = began + chance.expovariate(0.5)
        started = {"event": "started", "at": spell(began), "attempt": 1, "worker": "worker-1"}
        job = {"command": f"convert image{number}.png", "tags": ["thumb"], "created_at": spell(created)}
        kind = number % 10
        if kind < 6:
            directory, end = "done", {"event": "completed", "at": spell(ended), "exit_code": 0}
        elif kind < 8:
            error = f"cannot open image{number}.png: code {number}"
            directory = "dead"
            end = {
                "event": "died",
                "at": spell(ended),
                "reason": "retries_exhausted",
                "exit_code": kind,
                "error": error,
            }
        else:
            directory, end = "pending", None
            job["run_at"] = spell(now + 30 * 86400 + number)
        if end is not None:
            job["history"] = [started, end]
        path = Path(layout.job(directory, f"J{number:09}"))
        path.write_text(json.dumps(job))
        path.chmod(0o600)


class Client:
    """One kept connection."""

    def __init__(self, port: int, token: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port)
        self.headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str, etag: str | None = None) -> tuple[float, int, str | None]:
        start = time.perf_counter()
        self.connection.request("GET", path, headers={**self.headers, **({"If-None-Match": etag} if etag else {})})
        answer = self.connection.getresponse()
        answer.read()
        return (time.perf_counter() - start) * 1000, answer.status, answer.getheader("ETag")


def measure(client: Client, path: str, turns: int, pause_s: float = 0.0, *, cached: bool = False) -> None:
    times, etag, status = [], None, 0
    for _ in range(turns + 1):
        took, status, seen = client.get(path, etag if cached else None)
        etag = seen or etag
        times.append(took)
        time.sleep(pause_s)
    print(f"{path:42} {status}  median {statistics.median(times[1:]):7.2f} ms   worst {max(times[1:]):7.2f} ms")


def watch(port: int, token: str, pid: int) -> None:
    """Open PAGES pages and tell what the web process uses."""
    stop = time.monotonic() + WATCH_S

    def page(number: int) -> None:
        client, etag = Client(port, token), None
        time.sleep(number * REFRESH_S / PAGES)
        while time.monotonic() < stop:
            etag = client.get("/api/v1/snapshot", etag)[2]
            time.sleep(REFRESH_S)

    process = psutil.Process(pid)
    before = sum(process.cpu_times()[:2])
    threads = [threading.Thread(target=page, args=(number,)) for number in range(PAGES)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    share = (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - start)
    print(f"{PAGES} pages, every {REFRESH_S:g} s: {share:.2%} of a core, {process.memory_info().rss >> 20} MiB")


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["QUEUECTL_HOME"] = folder
        layout = Layout(folder)
        layout.ensure()
        fill(layout, count)
        subprocess.run([*QUEUECTL, "-q", "index", "rebuild"], check=True)
        subprocess.run([*QUEUECTL, "-q", "worker", "start", "--count", "2"], check=True, stdout=subprocess.DEVNULL)
        web = subprocess.Popen([*QUEUECTL, "web", "--port", "0"], stdout=subprocess.PIPE, text=True)
        try:
            assert web.stdout is not None
            address, _, token = web.stdout.readline().strip().partition("#token=")
            port = int(address.rstrip("/").rpartition(":")[2])
            client = Client(port, token)
            print(f"{count:,} jobs")
            measure(client, "/api/v1/snapshot", 10, 0.6)
            measure(client, "/api/v1/snapshot", 50, cached=True)
            for path in PATHS:
                measure(client, path, 10)
            watch(port, token, web.pid)
        finally:
            web.kill()
            web.communicate()
            subprocess.run([*QUEUECTL, "-q", "worker", "stop", "--wait"], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
