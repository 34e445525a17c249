"""The page behind nginx, under a path, with the configuration of docs/howto/remote-page.md."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from queuectl.clock import Clock
from queuectl.web.tokens import login_code
from tests.support.browser import IS_CI, PATIENCE_MS
from tests.web.support import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cli.support import Jobs
    from tests.support.browser import Person
    from tests.web.support import Served

GUIDE = Path(__file__).resolve().parents[2] / "docs/howto/remote-page.md"
LOCATIONS = re.findall(r"```nginx\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
CONFIGURATION = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1; {user}
events {{}}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{ listen 127.0.0.1:{port}; {location} }}
}}
"""


class Proxy:
    """nginx before a page, as `Person` needs it."""

    def __init__(self, web: Served, folder: Path, location: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.token, self.host = web.token, f"127.0.0.1:{self.port}/queue"
        user = "user root;" if os.geteuid() == 0 else ""
        text = CONFIGURATION.format(folder=folder, port=self.port, location=location, user=user)
        (folder / "nginx.conf").write_text(text)
        self._process = subprocess.Popen([NGINX, "-e", folder / "error.log", "-c", folder / "nginx.conf"])

    def __enter__(self) -> Proxy:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            assert self._process.poll() is None
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.02)
        self.__exit__()
        raise AssertionError("nginx does not listen")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> int:
        """Ask through the proxy and return the status."""
        request = Request(f"http://{self.host}/{path}", body, headers, method=method)
        try:
            with urlopen(request, timeout=PATIENCE_S) as answer:
                return int(answer.status)
        except HTTPError as error:
            with error:
                return error.code


NGINX = shutil.which("nginx") or "/usr/sbin/nginx"


@pytest.fixture(params=["address", "socket"])
def proxy(request: pytest.FixtureRequest, serve: Callable[..., Served], tmp_path: Path) -> Iterator[Proxy]:
    if shutil.which(NGINX) is None:
        if IS_CI:
            pytest.fail("nginx is part of CI, but it is missing")
        pytest.skip("there is no nginx")
    by_address, by_socket = LOCATIONS
    folder = tmp_path / "nginx"
    folder.mkdir()
    if request.param == "address":
        web = serve(allow_hosts=["queue.example.org"])
        location = by_address.replace("127.0.0.1:5000", web.host)
    else:
        path = f"{folder}/web.sock"
        web = serve(allow_hosts=["queue.example.org"], socket_path=path)
        location = by_socket.replace("/run/queuectl/web.sock", path)
    assert web.token
    with Proxy(web, folder, location) as made:
        yield made


def test_the_page_works_under_a_path(proxy: Proxy, meet: Callable[..., Person], jobs: Jobs) -> None:
    """It is opened without the / at the end, signs in with a code, shows a job, changes it, and follows what it writes."""
    jobs.pending("waits")
    person = meet(web=proxy)
    page = person.page
    page.goto(f"http://{proxy.host}#code={login_code(proxy.token, Clock().now())}")
    page.wait_for_url(re.compile(r"/queue/#/overview$"), timeout=PATIENCE_MS)
    person.see("#controls button:has-text('?')")
    person.go("jobs/waits")
    person.press("Hold")
    person.see("h1 ~ .s-held, .pill", "held")
    assert jobs.queue.get("waits").state == "held"
    page.goto(f"http://{proxy.host}/no/such/page")
    person.see("h1", "Not found")


def test_what_another_site_asks_for_is_refused(proxy: Proxy, jobs: Jobs) -> None:
    """Its name is accepted, also as an origin; other names and origins are not."""
    jobs.pending("waits")
    entry = {"Authorization": f"Bearer {proxy.token}", "Content-Type": "application/json"}
    hold = "api/v1/jobs/waits/hold"
    ours, other = "http://queue.example.org", "http://evil.example"
    assert proxy.ask("GET", "api/v1/jobs", **entry) == 200
    assert proxy.ask("POST", hold, b"{}", **entry, Host="queue.example.org", Origin=other) == 403
    assert proxy.ask("POST", hold, b"{}", **entry, Host="evil.example", Origin=other) == 421
    assert jobs.queue.get("waits").state == "pending"
    assert proxy.ask("POST", hold, b"{}", **entry, Host="queue.example.org", Origin=ours) == 200
