"""Who knows the token, who does not, and what is read-only."""

from __future__ import annotations

import http.client
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from queuectl.errors import InvalidData, NotAllowed, UsageError
from queuectl.spool.layout import Layout
from queuectl.web import tokens
from queuectl.web.routes import OPERATIONS
from queuectl.web.serve import ServeOptions
from queuectl.web.tokens import LOGIN_CODE_S, login_code
from tests.web.support import PATIENCE_S, Served

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CLOSED = [operation for operation in OPERATIONS if not operation.is_open]
JSON = {"Content-Type": "application/json"}


def _address(path: str) -> str:
    return (
        path.replace("{id}", "worker-1")
        .replace("{key}", "timeout")
        .replace("{name}", "default")
        .replace("{file}", "app.js")
        .replace("{task}", "0" * 16)
    )


@pytest.mark.parametrize("header", [None, "Bearer ", "Bearer wrong", "Basic eDp5", "Bearer {token}x", "{token}"])
def test_nothing_is_answered_without_the_token(web: Served, header: str | None) -> None:
    assert len(CLOSED) > 35
    for operation in CLOSED:
        method, path = operation.method, _address(operation.path)
        headers = {**JSON} if header is None else {**JSON, "Authorization": header.format(token=web.token)}
        reply = web.ask(method, path, {} if method in ("POST", "PUT") else None, auth=False, headers=headers)
        assert reply.status in (401, 429), operation.id
        assert reply.status == 429 or reply.headers["www-authenticate"].startswith("Bearer")


def test_the_page_and_livez_need_none(web: Served) -> None:
    assert web.ask("GET", "/livez", auth=False).json == {"status": "pass"}
    assert web.ask("GET", "/", auth=False).status in (200, 404)


def test_a_browser_signs_in_once(web: Served) -> None:
    """A cookie lets it read; writes need the write token too, which no other port of this host gets to see."""
    for given in (web.token, f"http://{web.host}/#token={web.token}"):
        reply = web.ask("POST", "/api/v1/session", {"token": given}, auth=False)
        assert reply.status == 200
    cookie = reply.headers["set-cookie"]
    assert cookie.startswith(f"queuectl-{web.port}=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert web.token not in cookie
    assert reply.json["write_token"] not in cookie
    headers = {"Cookie": f"a=b; {cookie.partition(';')[0]}; c=d"}
    assert web.get("/api/v1/session", auth=False, headers=headers)["auth"] == "token"
    assert "write_token" not in web.get("/api/v1/session", auth=False, headers=headers)
    job = {"command": "true"}
    refused = web.ask("POST", "/api/v1/jobs", job, auth=False, headers=headers)
    assert (refused.status, refused.json["title"]) == (403, "no write token")
    for wrong in ("", "x", web.token, cookie.partition("=")[2].partition(";")[0]):
        written = {**headers, "X-QueueCTL-Token": wrong}
        assert web.ask("POST", "/api/v1/jobs", job, auth=False, headers=written).status == 403
    written = {**headers, "X-QueueCTL-Token": reply.json["write_token"]}
    assert web.ask("POST", "/api/v1/jobs", job, auth=False, headers=written).status == 201
    out = web.ask("DELETE", "/api/v1/session", auth=False, headers=headers)
    assert "Max-Age=0" in out.headers["set-cookie"]


def test_wrong_tokens_are_throttled_and_the_right_one_is_not(web: Served) -> None:
    statuses = [web.ask("POST", "/api/v1/session", {"token": f"wrong{n}"}, auth=False).status for n in range(15)]
    assert statuses[:9] == [401] * 9
    assert statuses[-1] == 429
    assert web.ask("GET", "/api/v1/jobs").status == 200
    assert web.ask("POST", "/api/v1/session", {"token": web.token}, auth=False).status == 200


def test_a_new_token_counts_at_once(web: Served, home: Path) -> None:
    old = {"Authorization": f"Bearer {web.token}"}
    cookie = web.ask("POST", "/api/v1/session", {"token": web.token}, auth=False).headers["set-cookie"]
    tokens.make(Layout(str(home)).web_token)
    assert web.ask("GET", "/api/v1/jobs", auth=False, headers=old).status == 401
    assert web.ask("GET", "/api/v1/jobs", auth=False, headers={"Cookie": cookie.partition(";")[0]}).status == 401
    assert web.ask("GET", "/api/v1/jobs").status == 200
    (home / "web.token").unlink()
    assert web.ask("GET", "/api/v1/jobs", auth=False, headers=old).status == 401


def test_the_token_is_ours_alone_and_outlives_a_restart(serve: Callable[..., Served], home: Path) -> None:
    first = serve().token
    assert stat.S_IMODE(os.stat(home / "web.token").st_mode) == 0o600
    assert serve().token == first
    assert len(first) >= 40


@pytest.mark.parametrize("how", ["open", "link", "empty", "short", "long", "spaces", "directory", "missing"])
def test_a_token_that_is_none_or_that_others_can_read_is_refused(tmp_path: Path, how: str) -> None:
    path = tmp_path / "token"
    texts = {"empty": "", "short": "abc", "long": "a" * 500, "spaces": "a b " * 10}
    if how == "directory":
        path.mkdir()
    elif how == "link":
        (tmp_path / "there").write_text("a" * 40)
        path.symlink_to(tmp_path / "there")
    elif how != "missing":
        path.write_text(texts.get(how, "a" * 40))
        path.chmod(0o644 if how == "open" else 0o600)
    with pytest.raises(Exception, match="token") as raised:
        tokens.read(str(path))
    assert getattr(raised.value, "exit_code", 70) in (InvalidData.exit_code, NotAllowed.exit_code, 1)


def test_a_token_file_of_ones_own(serve: Callable[..., Served], home: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_text("my-own-token-that-is-long\n")
    path.chmod(0o600)
    web = serve(token_file=str(path))
    assert not (home / "web.token").exists()
    headers = {"Authorization": "Bearer my-own-token-that-is-long"}
    assert web.ask("GET", "/api/v1/jobs", auth=False, headers=headers).status == 200


WRITES = [operation for operation in OPERATIONS if operation.is_write and not operation.is_open]


def test_read_only_is_the_router_s_word(serve: Callable[..., Served], home: Path) -> None:
    """No write gets as far as its handler, however it is asked for; reading goes on."""
    web = serve(read_only=True)
    assert len(WRITES) > 15
    for operation in WRITES:
        method, path = operation.method, _address(operation.path)
        reply = web.ask(method, path, {} if method in ("POST", "PUT") else None)
        assert (reply.status, reply.json["title"]) == (403, "read-only"), operation.id
    assert web.get("/api/v1/snapshot")["read_only"] is True
    assert not (home / "config.yaml").exists()


def test_without_authentication_it_only_reads_and_only_here(serve: Callable[..., Served]) -> None:
    for wanted in (
        ServeOptions("127.0.0.1", 0, auth="none"),
        ServeOptions("0.0.0.0", 0, auth="none", read_only=True),
        ServeOptions("0.0.0.0", 0, auth="none"),
        ServeOptions("::", 0, auth="none", read_only=True),
    ):
        with pytest.raises(UsageError, match="refusing"):
            wanted.check()
    web = serve(auth="none", read_only=True)
    assert web.get("/api/v1/session", auth=False)["auth"] == "none"
    assert web.get("/api/v1/jobs", auth=False)["total"] == 0
    assert web.ask("POST", "/api/v1/jobs", {"command": "x"}, auth=False).status == 403
    assert web.ask("POST", "/api/v1/session", {"token": "any"}, auth=False).status == 200


def test_another_name_has_to_be_allowed(serve: Callable[..., Served]) -> None:
    web = serve(allow_hosts=["queue.example", "exact.example:443"])
    for name, status in (
        ("queue.example", 200),
        (f"queue.example:{web.port}", 200),
        ("queue.example:1", 421),
        ("exact.example:443", 200),
        ("exact.example", 421),
        ("sub.queue.example", 421),
    ):
        assert web.ask("GET", "/api/v1/jobs", headers={"Host": name}).status == status, name
    headers = {"Host": "queue.example", "Origin": "https://queue.example"}
    assert web.ask("POST", "/api/v1/jobs", {"command": "true"}, headers=headers).status == 201


def test_every_write_leaves_a_line_and_no_secret(web: Served, home: Path) -> None:
    secret = "hush-hush"
    web.post("/api/v1/jobs", {"command": f"echo {secret}", "id": "j", "env": {"P": secret}})
    web.ask("POST", "/api/v1/jobs/j/hold", {})
    web.ask("DELETE", "/api/v1/jobs/%0aforged")
    web.ask("DELETE", f"/api/v1/jobs/j?token={secret}")
    web.ask("POST", "/api/v1/session", {"token": web.token}, auth=False)
    web.ask("GET", "/api/v1/jobs", auth=False, headers={"Authorization": f"Bearer {secret}"})
    web.ask("GET", "/api/v1/jobs")
    log = (home / "logs/web.log").read_text()
    assert "POST /api/v1/jobs 201 client=127.0.0.1 auth=bearer action=web id=j" in log
    assert "POST /api/v1/jobs/j/hold 200" in log
    assert "GET /api/v1/jobs 401" in log
    assert log.count("GET") == 1
    assert secret not in log
    assert web.token not in log
    assert len(log.splitlines()) == 5


@pytest.mark.parametrize(
    ("path", "host", "status", "words"),
    [
        ("/no/such/page", None, 404, "there is nothing at this address"),
        ("/api/v1/jobs", None, 401, "a token is required"),
        ("/", "evil.example", 421, "to allow it: queuectl web --allow-host evil.example"),
    ],
)
def test_a_person_gets_an_error_as_a_page(web: Served, path: str, host: str | None, status: int, words: str) -> None:
    accept = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", **({"Host": host} if host else {})}
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=PATIENCE_S)
    with closing(connection):
        connection.request("GET", path, headers=accept)
        answer = connection.getresponse()
        text = answer.read().decode()
    assert (answer.status, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert f"<p>{words}</p>" in text


def test_what_an_address_holds_does_not_become_markup(web: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=PATIENCE_S)
    with closing(connection):
        connection.request(
            "GET",
            "/api/v1/jobs?state=%3Cscript%3E",
            headers={"Accept": "text/html", "Authorization": f"Bearer {web.token}"},
        )
        text = connection.getresponse().read().decode()
    assert "&lt;script&gt;" in text
    assert "<script" not in text


def test_a_login_code_works_once_and_not_for_long(web: Served) -> None:
    now = web.server.app.clock.now()
    code, old, later = (login_code(web.token, at) for at in (now, now - LOGIN_CODE_S - 1, now + 2 * LOGIN_CODE_S))
    statuses = [sign_in(web, f"http://x/#code={each}") for each in (code, code, old, later, f"{code}0", "", "1.2.3")]
    assert statuses == [200, 401, 401, 401, 401, 401, 401]


def test_of_many_who_use_a_code_at_once_one_signs_in(web: Served) -> None:
    code = login_code(web.token, web.server.app.clock.now())
    with ThreadPoolExecutor(8) as pool:
        statuses = [*pool.map(lambda _: sign_in(web, f"#code={code}"), range(8))]
    assert sorted(statuses) == [200, *[401] * 7]


def sign_in(web: Served, given: str) -> int:
    return web.ask("POST", "/api/v1/session", {"token": given}, auth=False).status
