"""Raw requests that no well-behaved client sends: each is refused in the way that is meant, and the server goes on."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest

from tests.web.support import status_of

if TYPE_CHECKING:
    from tests.web.support import Served

ENQUEUE = b'{"command": "echo owned"}'
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "BREW")

# --- Host: exactly ours, or a name of this machine's loopback interface with any port, for every method

STRANGERS = (
    *("evil.example", "evil.example:{port}", "localhost.evil.example:{port}", "127.0.0.1.evil.example:{port}"),
    *("0.0.0.0:{port}", "0.0.0.0", "[::]:{port}", "localhost:", "localhost:65536", "localhost:-1"),
    *("localhost.:{port}", "127.0.0.1.:{port}", "127.1:{port}", "2130706433:{port}", "0x7f.1:{port}", ":{port}"),
    *("localhost:{port}:{port}", "user@localhost:{port}", "localhost:{port}/", "localhost:0{port}", "[::1"),
    *(
        "localhost:" + "1" * 5000,
        "[::ffff:127.0.0.1]:{port}",
        "127.0.0.2:{port}",
        "192.168.0.1:{port}",
        "localhost :{port}",
        "localhost,evil",
    ),
    *("127.0.0.1:{port}#", "127.0.0.1:{port}?x", "%6cocalhost:{port}", "xn--localhost:{port}", "LOCALHOST.example"),
)


@pytest.mark.parametrize("host", STRANGERS)
def test_a_host_that_is_not_ours_is_refused(web: Served, host: str) -> None:
    answer = web.raw(web.head(host=host.format(port=web.port)))
    assert status_of(answer) == 421, answer
    assert b"--allow-host" in answer


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", ["/", "/livez", "/api/v1/jobs", "/nowhere"])
def test_it_is_refused_whatever_is_asked_for(web: Served, method: str, target: str) -> None:
    assert status_of(web.raw(web.head(method, target, "Content-Length: 0", host="evil.example"))) == 421


@pytest.mark.parametrize(
    "host",
    [
        "localhost:{port}",
        "127.0.0.1:{port}",
        "[::1]:{port}",
        "LocalHost:{port}",
        "localhost",
        "[::1]",
        "127.0.0.1:8080",
    ],
)
def test_a_host_that_is_ours_is_answered(web: Served, host: str) -> None:
    """A tunnel (ssh -L 8080:localhost:5000) has another port."""
    assert status_of(web.raw(web.head(host=host.format(port=web.port)))) == 200


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        ["Host: 127.0.0.1:{port}", "Host: 127.0.0.1:{port}"],
        ["Host: 127.0.0.1:{port}", "host: evil.example"],
        ["Host:"],
        ["Host : 127.0.0.1:{port}"],
        [" Host: 127.0.0.1:{port}"],
        ["X: 1", " Host: 127.0.0.1:{port}"],
    ],
)
def test_no_host_two_hosts_and_odd_ones_are_refused(web: Served, hosts: list[str]) -> None:
    lines = ["GET /livez HTTP/1.1", *(host.format(port=web.port) for host in hosts), "", ""]
    assert status_of(web.raw("\r\n".join(lines).encode())) in (400, 421)


# --- what is no request


@pytest.mark.parametrize(
    "data",
    [
        *(b"\r\n\r\n", b"hello\r\n\r\n", b"GET\r\n\r\n", b"GET /livez\r\n\r\n", b"GET /livez HTTP/1.1 x\r\n\r\n"),
        *(b"get /livez HTTP/1.1\r\n\r\n", b"GET  /livez HTTP/1.1\r\n\r\n", b"GET /livez http/1.1\r\n\r\n"),
        *(b"GET\t/livez HTTP/1.1\r\n\r\n", b"GET /li vez HTTP/1.1\r\n\r\n", b"GET /livez HTTP/11\r\n\r\n"),
        *(b" GET /livez HTTP/1.1\r\n\r\n", b"GET http://evil.example/ HTTP/1.1\r\n\r\n", b"GET * HTTP/1.1\r\n\r\n"),
        *(b"GET livez HTTP/1.1\r\n\r\n", b"CONNECT evil.example:443 HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\r\n\r\n"),
        *(b"GET /livez\0 HTTP/1.1\r\n\r\n", b"GET /liv\xc3\xa9z HTTP/1.1\r\n\r\n", b"GET /#x HTTP/1.1\r\n\r\n"),
        *(b"PRI * HTTP/2.0\r\n\r\n", b"GET /livez HTTP/1.1\r\nno colon\r\n\r\n", b"GET /livez HTTP/1.1\r\n: x\r\n\r\n"),
        *(
            b"GET /livez HTTP/1.1\r\nA: b\rc\r\n\r\n",
            b"GET /livez HTTP/1.1\r\nA: b\0\r\n\r\n",
            b"GETGETGETGETGETGET / HTTP/1.1\r\n\r\n",
        ),
        *(
            b"GET /livez HTTP/1.1\nHost: x\r\n\r\n",
            b"GET /livez HTTP/1.1\r\nA\x80: b\r\n\r\n",
            b"GET /livez HTTP/1.1\r\nA B: c\r\n\r\n",
        ),
    ],
)
def test_what_is_no_request_is_answered_with_400_and_the_connection_ends(web: Served, data: bytes) -> None:
    answer = web.raw(data)
    assert status_of(answer) in (400, 505), answer
    assert b"Connection: close" in answer
    assert status_of(web.raw(web.head())) == 200  # it goes on


def test_bare_newlines_end_no_head(web: Served) -> None:
    assert status_of(web.raw(b"GET /livez HTTP/1.1\nHost: " + web.host.encode() + b"\n\n", shut=True)) == 0


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/0.9", b"HTTP/3.1"])
def test_another_version_is_not_spoken(web: Served, version: bytes) -> None:
    assert status_of(web.raw(b"GET /livez " + version + b"\r\nHost: x\r\n\r\n")) == 505


# --- lengths and bodies


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Content-Length: -1"], 400),
        (["Content-Length: +5"], 400),
        (["Content-Length: 0x10"], 400),
        (["Content-Length: 1e3"], 400),
        (["Content-Length: 5, 5"], 400),
        (["Content-Length: 5 5"], 400),
        (["Content-Length:"], 400),
        (["Content-Length: \xb2"], 400),
        (["Content-Length: 5", "Content-Length: 5"], 400),
        (["Content-Length: 5", "content-length: 6"], 400),
        (["Content-Length: 1048577"], 413),
        (["Content-Length: 1073741824"], 413),
        (["Content-Length: 99999999999999999999999"], 413),
        (["Transfer-Encoding: chunked"], 411),
        (["Transfer-Encoding: identity"], 411),
        (["Transfer-Encoding: gzip, chunked"], 411),
        (["Transfer-Encoding: chunked", "Content-Length: 5"], 411),
        (["Content-Length: 5", "Transfer-Encoding:\tchunked"], 411),
        (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], 400),
        (["Transfer-Encoding : chunked"], 400),
        (["Expect: 200-ok", "Content-Length: 5"], 417),
        (["X: " + "a" * 17000], 431),
        ([f"X{n}: {'a' * 100}" for n in range(200)], 431),
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_length_that_can_be_read_in_two_ways_is_refused(
    web: Served, method: str, lines: list[str], status: int
) -> None:
    answer = web.raw(web.head(method, "/api/v1/jobs", "Content-Type: application/json", *lines) + b"0\r\n\r\n")
    assert status_of(answer) == status, answer
    assert b"Connection: close" in answer
    assert not web.queue.list()


def test_a_long_target_is_refused(web: Served) -> None:
    assert status_of(web.raw(web.head("GET", "/" + "a" * 9000))) == 414
    assert status_of(web.raw(web.head("GET", "/" + "a" * 20000))) == 431


@pytest.mark.parametrize(
    "kind",
    [
        *(None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json"),
        *("application/json; charset=utf-8", "application/json;", "APPLICATION/JSON", "application/json, text/plain"),
        *("application/problem+json", "text/plain; application/json", "application/jsonx", "*/*"),
    ],
)
def test_a_write_is_exactly_json(web: Served, kind: str | None) -> None:
    """A form or a fetch of another origin can send the simple types only, without being asked for more."""
    lines = [f"Content-Length: {len(ENQUEUE)}"] + ([] if kind is None else [f"Content-Type: {kind}"])
    for method, target in (("POST", "/api/v1/jobs"), ("PUT", "/api/v1/config/timeout"), ("DELETE", "/api/v1/jobs/x")):
        assert status_of(web.raw(web.head(method, target, *lines) + ENQUEUE)) == 415, (method, target)
    assert not web.queue.list()


@pytest.mark.parametrize(
    "line",
    [
        *("Origin: null", "Origin: http://evil.example", "Origin: http://127.0.0.1", "Origin: http://127.0.0.1:1"),
        *("Origin: http://localhost:{port}.evil.example", "Origin: http://127.0.0.1:{port}/", "Origin: file://"),
        *(
            "Origin: ftp://127.0.0.1:{port}",
            "Origin: http://localhost:{port}",
            "Origin:",
            "Origin: http://0.0.0.0:{port}",
        ),
        *("Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Sec-Fetch-Site: x", "Sec-Fetch-Site:"),
    ],
)
def test_a_page_of_another_origin_can_neither_write_nor_read(web: Served, line: str) -> None:
    extra = ["Content-Type: application/json", line.format(port=web.port)]
    request = web.head("POST", "/api/v1/jobs", *extra, f"Content-Length: {len(ENQUEUE)}") + ENQUEUE
    assert status_of(web.raw(request)) == 403
    assert status_of(web.raw(web.head("GET", "/api/v1/jobs", line.format(port=web.port)))) == 403
    assert status_of(web.raw(web.head("POST", "/api/v1/session", *extra, "Content-Length: 2") + b"{}")) == 403
    assert not web.queue.list()


@pytest.mark.parametrize(
    "line", ["Origin: http://127.0.0.1:{port}", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: none"]
)
def test_our_own_page_may(web: Served, line: str) -> None:
    extra = ["Content-Type: application/json", line.format(port=web.port), f"Content-Length: {len(ENQUEUE)}"]
    assert status_of(web.raw(web.head("POST", "/api/v1/jobs", *extra) + ENQUEUE)) == 201


@pytest.mark.parametrize("method", ["OPTIONS", "PATCH", "TRACE", "BREW", "CONNECT"])
@pytest.mark.parametrize("target", ["/", "/livez", "/api/v1/jobs", "/api/v1/bulk"])
def test_another_method_is_not_allowed_and_no_preflight_succeeds(web: Served, method: str, target: str) -> None:
    answer = web.raw(web.head(method, target, "Access-Control-Request-Method: POST"))
    assert status_of(answer) == 405
    assert b"\r\nAllow: " in answer
    assert b"Access-Control" not in answer


@pytest.mark.parametrize(
    "target",
    [
        *(
            "/api/v1/jobs/..%2f..%2fweb.token",
            "/api/v1/jobs/%2e%2e%2fweb.token",
            "/api/v1/jobs/..",
            "/api/v1/jobs/.hidden",
        ),
        *("/api/v1/jobs/../../web.token", "/..%2fweb.token", "/web.token", "/app.js/../../web.token", "/%2e%2e/app.js"),
        *("/api/v1/jobs/a%00b", "/api/v1/jobs/%ff", "/api/v1/jobs/%252e", "/api/v1/jobs/" + "a" * 129),
        *("/api/v1/workers/..%2f..%2fconfig/log", "/api/v1/workers/web/log", "/api/v1/workers/supervisor.log/log"),
        *("//", "//api/v1/jobs", "/api/v1/jobs/", "/API/v1/jobs", "/api/v1/jobs;x", "/static/app.js", "/index.html"),
        *("/api/v1/jobs/a/output/../..", "/openapi.json", "/api/v1", "/api/v1/jobs/a%2foutput", "/%61pi/v1/jobs"),
    ],
)
def test_no_address_leads_out_of_the_table(web: Served, target: str) -> None:
    answer = web.raw(web.head("GET", target))
    assert status_of(answer) in (400, 404), answer
    assert web.token.encode() not in answer


@pytest.mark.parametrize(
    "body", [b"{}", b"null", b"", b'{"token": 5}', b'{"token": ""}', b"[]", b'{"token": "x", "a": 1}']
)
def test_signing_in_takes_a_token_only(web: Served, body: bytes) -> None:
    lines = ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    assert status_of(web.raw(web.head("POST", "/api/v1/session", *lines) + body)) in (400, 422)


def test_a_body_where_none_belongs_is_no_second_request(web: Served) -> None:
    """What is in a body is never read as a request: the smuggled one is not answered."""
    inner = web.head("DELETE", "/api/v1/jobs/x")
    with web.connect() as connection:
        connection.sendall(web.head("GET", "/livez", f"Content-Length: {len(inner)}", "Connection: close") + inner)
        data = b""
        while more := connection.recv(65536):
            data += more
    assert data.count(b"HTTP/1.1 ") == 1


def test_requests_in_one_piece_are_answered_one_after_the_other(web: Served) -> None:
    ones = web.head("GET", "/livez") * 3 + web.head("GET", "/livez", "Connection: close")
    with web.connect() as connection:
        connection.sendall(ones)
        data = b""
        while more := connection.recv(65536):
            data += more
    assert data.count(b"HTTP/1.1 200 ") == 4


def test_every_answer_carries_what_keeps_browsers_safe(web: Served) -> None:
    for request in (web.head("GET", "/livez"), web.head("GET", "/nowhere"), web.head(host="evil"), b"x\r\n\r\n"):
        head = web.raw(request).partition(b"\r\n\r\n")[0].decode()
        assert "Content-Security-Policy: default-src 'none'; script-src 'self'" in head
        for line in ("nosniff", "X-Frame-Options: DENY", "no-referrer", "no-store", "Resource-Policy: same-origin"):
            assert line in head, line
        assert "unsafe" not in head
        assert "Server:" not in head
        assert "python" not in head.lower()


def test_hostile_text_is_inert_in_json_and_in_output(web: Served) -> None:
    """It is data of a type that no browser renders, whatever it holds."""
    text = "</script><script>alert(1)</script>\x1b]0;x\x07\u202e\u2028 <img src=x onerror=alert(1)>"
    job = web.post("/api/v1/jobs", {"command": text, "id": "h", "tags": [text[:100]], "unique_key": text[:100]})
    assert job["id"] == "h"
    reply = web.ask("GET", "/api/v1/jobs/h")
    assert reply.headers["content-type"] == "application/json"
    assert reply.json["command"] == text
    assert json.loads(web.ask("GET", "/api/v1/jobs").body)["jobs"][0]["command"] == text


def test_ranges_and_head(web: Served) -> None:
    answer = web.raw(web.head("HEAD", "/livez"))
    assert status_of(answer) == 200
    assert answer.endswith(b"\r\n\r\n")
    assert status_of(web.raw(web.head("HEAD", "/api/v1/bulk"))) == 405


def test_http_1_0_is_answered_and_hung_up(web: Served) -> None:
    request = f"GET /livez HTTP/1.0\r\nHost: {web.host}\r\n\r\n".encode()
    with web.connect() as connection:
        connection.sendall(request)
        data = b""
        while more := connection.recv(65536):
            data += more
    assert status_of(data) == 200
    assert b"Connection: close" in data


def test_how_many_requests_those_were() -> None:
    """Each case of a test above sends one at least; test_limits has the slow clients and the idle sockets beside."""
    sent = 0
    for name, test in globals().items():
        if name.startswith("test_") and name != "test_how_many_requests_those_were":
            marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
            sent += math.prod(len(mark.args[1]) for mark in marks)
    print(f"{sent} raw requests")
    assert sent >= 150
