"""`queuectl web` as its user starts it."""

from __future__ import annotations

import grp
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from queuectl import Queue
from tests.support.permissions import as_if_not_root
from tests.web.support import PATIENCE_S, read_answer, status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Start = Callable[..., tuple[subprocess.Popen[str], str]]

ROOT = Path(__file__).resolve().parents[2]
QUEUECTL = [sys.executable, str(ROOT / "queuectl")]


def queuectl(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*QUEUECTL, *words], capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def start(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Return a function that starts `queuectl web` and returns it with the first line of its output."""
    monkeypatch.setenv("QUEUECTL_HOME", str(home))
    made: list[subprocess.Popen[str]] = []

    def begin(*words: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [*QUEUECTL, "web", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        made.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    yield begin
    for process in made:
        process.kill()
        process.communicate()


def test_the_url_is_printed_and_leads_in(start: Start, home: Path) -> None:
    process, url = start("--port", "0")
    address, _, code = url.partition("#code=")
    token = (home / "web.token").read_text().strip()
    assert token not in url
    assert signed_in(address, code) == 200
    assert signed_in(address, code) == 401  # it works once
    request = urllib.request.Request(f"{address}api/v1/jobs", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        assert json.load(answer)["total"] == 0
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors) == (0, "Stopped; jobs and workers continue\n")


def signed_in(address: str, code: str) -> int:
    """Sign in with a code as the page does, and return the status of the answer."""
    body = json.dumps({"token": f"#code={code}"}).encode()
    request = urllib.request.Request(f"{address}api/v1/session", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_another_address_to_sign_in_is_printed(start: Start, home: Path) -> None:
    _, url = start("--port", "0")
    address = url.partition("#")[0]
    port = address.rstrip("/").rpartition(":")[2]
    printed = [queuectl("web", "login", "--port", port).stdout.strip() for _ in range(2)]
    assert [each.partition("#")[0] for each in printed] == [address, address]
    assert [signed_in(address, each.partition("#code=")[2]) for each in printed] == [200, 200]
    assert queuectl("web", "token", "--rotate").returncode == 0
    late = queuectl("web", "login", "--port", port).stdout.strip()
    assert signed_in(address, printed[0].partition("#code=")[2]) == 401
    assert signed_in(address, late.partition("#code=")[2]) == 200


def test_json_and_the_setting_of_the_port(start: Start, home: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (home / "config.yaml").write_text(f"web.port: {port}\nweb.access: read-only\n")
    process, _ = start("--json")
    assert process.stdout is not None
    text = "{" + "".join(iter(process.stdout.readline, "}\n")) + "}"
    told = json.loads(text)
    assert told["url"].startswith(f"http://127.0.0.1:{port}/#code=")
    assert told["read_only"] is True


def test_a_socket_in_the_file_system(start: Start, home: Path) -> None:
    """Only its owner can use it, a dead one makes room, a living one does not, and it goes at the end."""
    path = home / "web.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    group = grp.getgrgid(os.getgid()).gr_name
    process, told = start("--socket", str(path), "--socket-mode", "660", "--socket-group", group)
    assert told == str(path)
    assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_gid) == (0o660, os.getgid())
    token = (home / "web.token").read_text().strip()
    for host, status in (("localhost", 200), ("evil.example", 421)):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(
                f"GET /api/v1/jobs HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
            )
            assert status_of(read_answer(client)) == status
    second = queuectl("web", "--socket", str(path))
    assert (second.returncode, "cannot listen" in second.stderr) == (4, True)
    process.send_signal(signal.SIGINT)
    process.wait(PATIENCE_S)
    assert not path.exists()


def test_the_token_is_printed_and_made_anew(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUECTL_HOME", str(home))
    first = queuectl("web", "token")
    assert (first.returncode, first.stdout) == (0, (home / "web.token").read_text())
    assert queuectl("web", "token").stdout == first.stdout
    second = queuectl("web", "token", "--rotate")
    assert second.stdout != first.stdout
    assert "sign in again" in second.stderr
    assert json.loads(queuectl("web", "token", "--json").stdout)["token"] == second.stdout.strip()
    (home / "web.token").chmod(0o644)
    open_to_all = queuectl("web", "token")
    assert (open_to_all.returncode, "chmod 600" in open_to_all.stderr) == (8, True)


@pytest.mark.parametrize(
    ("words", "settings", "code", "text"),
    [
        (["--host", "0.0.0.0"], {"WEB_AUTH": "none"}, 2, "refusing to listen on 0.0.0.0 without authentication"),
        (["--host", "0.0.0.0", "--read-only"], {"WEB_AUTH": "none"}, 2, "refusing to listen on 0.0.0.0"),
        ([], {"WEB_AUTH": "none"}, 2, "refusing to serve without authentication"),
        (["--host", "no.such.host.invalid"], {}, 2, "is not an address of this host"),
        (["--host", "192.0.2.1"], {}, 2, "cannot listen"),
        (["--port", "70000"], {}, 2, "--port must be from 0 to 65535"),
        (["--port", "x"], {}, 2, "must be an integer"),
        (["--socket", "web.sock", "--host", "127.0.0.1"], {}, 2, "--host cannot be used with --socket"),
        (["--socket", "web.sock", "--port", "5000"], {}, 2, "--port cannot be used with --socket"),
        (["--socket", "web.sock", "--open"], {}, 2, "--open cannot be used with --socket"),
        (["--socket", "/tmp/" + "x" * 103], {}, 2, "108 bytes are too many for the path of a socket; at most 107"),
        (["--socket", ""], {}, 2, "--socket needs a path"),
        (["--rotate"], {}, 2, "goes with `token`"),
        (["tokn"], {}, 2, 'token must be one of login, token, not "tokn"'),
        (["--token-file", "/nonexistent/token"], {}, 1, "/nonexistent/token"),
        ([], {"WEB_AUTH": "maybe"}, 6, "QUEUECTL_WEB_AUTH must be"),
    ],
)
def test_what_cannot_be_served_is_said(
    home: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], settings: dict[str, str], code: int, text: str
) -> None:
    monkeypatch.setenv("QUEUECTL_HOME", str(home))
    for name, value in settings.items():
        monkeypatch.setenv(f"QUEUECTL_{name}", value)
    done = queuectl("web", *words)
    assert (done.returncode, text in done.stderr) == (code, True), done


def test_a_taken_port_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUECTL_HOME", str(home))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = queuectl("web", "--port", str(port))
    assert (done.returncode, f"--port {port + 1}" in done.stderr) == (4, True)


def test_another_address_works_and_warns(start: Start) -> None:
    process, url = start("--host", "0.0.0.0", "--port", "0")
    assert url.startswith("http://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert "there is no TLS" in errors
    assert "--allow-host" in errors


def test_a_browser_is_opened_without_the_token_on_a_command_line(start: Start, home: Path, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    os.environ["BROWSER"] = f"{browser} %s"
    try:
        _, url = start("--port", "0", "--open")
        deadline = time.monotonic() + PATIENCE_S
        while not (tmp_path / "opened").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        del os.environ["BROWSER"]
    time.sleep(0.05)
    opened = (tmp_path / "opened").read_text()
    page = home / "run/web.html"
    assert opened.strip() == f"file://{page}"
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert url in page.read_text()


def test_it_reads_the_index_that_the_command_line_reads(start: Start, home: Path) -> None:
    assert queuectl("enqueue", "--command", "true", "--id", "a").returncode == 0
    _, url = start("--port", "0")
    address, token = url.partition("#")[0], (home / "web.token").read_text().strip()
    request = urllib.request.Request(f"{address}api/jobs", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        assert [row["id"] for row in json.load(answer)] == ["a"]


def test_a_taken_port_creates_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUECTL_HOME", str(tmp_path / "none"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = queuectl("web", "--port", str(taken.getsockname()[1]))
    assert (refused.returncode, "is taken by another program" in refused.stderr) == (4, True)
    assert not (tmp_path / "none").exists()


def test_a_home_that_cannot_be_written_is_read(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that the index does not contain is shown; an action is refused with the reason; nothing is written."""
    monkeypatch.setenv("QUEUECTL_HOME", str(home))
    queue = Queue(home)
    queue.enqueue("true", id="known")
    queue.list()
    queue.enqueue("true", id="late")
    start = as_if_not_root()
    closed = [home, *(path for path in home.rglob("*") if path.is_dir())]
    for folder in closed:
        folder.chmod(0o500)
    words = [*start, sys.executable, str(ROOT / "queuectl"), "web", "--port", "0"]
    try:
        refused = subprocess.run(words, capture_output=True, text=True, check=False)
        assert (refused.returncode, "--token-file PATH" in refused.stderr) == (8, True)
        words += ["--token-file", str(tmp_path / "token")]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                address = process.stdout.readline().partition("#")[0]
                token = (tmp_path / "token").read_text().strip()
                headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

                def ask(path: str, body: bytes | None = None) -> dict[str, Any]:
                    request = urllib.request.Request(address + path, body, headers)
                    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                        return dict(json.load(answer))

                assert {job["id"] for job in ask("api/v1/jobs")["jobs"]} == {"known", "late"}
                assert ask("api/v1/snapshot")["counts"]["pending"] == 2
                for path, body in (("api/v1/jobs", b'{"command": "true"}'), ("api/v1/jobs/late/cancel", b"{}")):
                    with pytest.raises(urllib.error.HTTPError) as caught:
                        ask(path, body)
                    problem = json.load(caught.value)
                    assert (caught.value.code, problem["title"]) == (403, "not allowed")
                    assert "Permission denied" in problem["detail"]
            finally:
                process.terminate()
    finally:
        for folder in closed:
            folder.chmod(0o700)
    assert sorted(path.name for path in (home / "spool/pending").iterdir()) == ["known.json", "late.json"]
    assert not (home / "web.token").exists()
