"""Slow, idle and greedy clients keep nobody out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from queuectl.web import http_request, http_server, response
from tests.web.support import read_answer, status_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from tests.support.supervised import Supervised
    from tests.web.support import Served


def test_two_hundred_idle_connections_keep_nobody_out(web: Served) -> None:
    idle = [web.connect() for _ in range(200)]
    try:
        assert web.get("/api/v1/jobs")["total"] == 0
        assert len(web.server._connections) <= http_server.CONNECTIONS
    finally:
        for connection in idle:
            connection.close()


def test_two_hundred_half_requests_keep_nobody_out(web: Served) -> None:
    idle = [web.connect() for _ in range(200)]
    try:
        for number, connection in enumerate(idle):
            try:
                connection.sendall(
                    b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"[: number % 80 + 1]
                )
            except OSError:
                continue  # it has had to make room
        assert web.get("/api/v1/jobs")["total"] == 0
    finally:
        for connection in idle:
            connection.close()


def test_one_that_waits_for_nothing_is_hung_up(web: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_request, "IDLE_S", 0.2)
    with web.connect() as connection:
        assert connection.recv(1) == b""


@pytest.mark.parametrize(
    "part",
    [b"G", b"GET /livez HTTP/1.1\r\n", b"GET /livez HTTP/1.1\r\nHost: x\r\n", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r"],
)
def test_one_that_stands_still_is_told_and_hung_up(web: Served, monkeypatch: pytest.MonkeyPatch, part: bytes) -> None:
    monkeypatch.setattr(http_request, "IDLE_S", 0.2)
    assert status_of(web.raw(part)) == 408


def test_one_that_trickles_is_told_after_the_time_a_request_may_take(
    web: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes soon enough; all of them together do not."""
    monkeypatch.setattr(http_request, "REQUEST_S", 1.0)
    body = b'{"command": "true"}' + b" " * 500
    with web.connect() as connection:
        lines = ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        connection.sendall(web.head("POST", "/api/v1/jobs", *lines))
        try:
            for byte in body:
                connection.sendall(bytes([byte]))
                time.sleep(0.02)
        except OSError:
            pass
        assert status_of(read_answer(connection)) == 408
    assert not web.queue.list()


def test_a_body_that_ends_early_is_no_request(web: Served) -> None:
    lines = ["Content-Type: application/json", "Content-Length: 100"]
    web.raw(web.head("POST", "/api/v1/jobs", *lines) + b'{"command": "true"}', shut=True)
    assert not web.queue.list()


def test_a_body_may_wait_for_leave(web: Served) -> None:
    body = b'{"command": "true"}'
    lines = ["Content-Type: application/json", f"Content-Length: {len(body)}", "Expect: 100-continue"]
    with web.connect() as connection:
        connection.sendall(web.head("POST", "/api/v1/jobs", *lines))
        assert b"100 Continue" in connection.recv(100)
        connection.sendall(body)
        assert status_of(read_answer(connection)) == 201


def test_a_connection_is_kept_and_answers_have_exact_lengths(web: Served) -> None:
    with web.connect() as connection:
        for path in ("/livez", "/nowhere", "/api/v1/jobs", "/api/v1/jobs?x", "/livez"):
            connection.sendall(web.head("GET", path))
            answer = read_answer(connection)
            text, _, body = answer.partition(b"\r\n\r\n")
            assert f"Content-Length: {len(body)}".encode() in text


def test_a_mebibyte_is_taken(web: Served) -> None:
    jobs = [{"command": "true", "env": {"X": "x" * 1000}} for _ in range(900)]
    assert len(web.post("/api/v1/jobs", jobs)["ids"]) == 900


def test_streams_are_bounded(
    web: Served, supervised: Callable[..., Supervised], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one too many is told to ask again; when others hang up there is room."""
    monkeypatch.setattr(response, "STREAMS", 3)
    watched = supervised()
    watched.start(1)
    web.post("/api/v1/jobs", {"command": "echo begin; exec sleep 60", "id": "long"})
    watched.wait_for("long", "processing")
    plain = "/api/v1/jobs/long/output"
    watched.wait_until(lambda: web.ask("GET", plain).body == b"begin\n", "the command has begun")
    path = "/api/v1/jobs/long/output?follow=true"
    streams: list[socket.socket] = []
    for _ in range(3):
        streams.append(web.connect())
        streams[-1].sendall(web.head("GET", path))
        assert b"200 OK" in streams[-1].recv(20)
    refused = web.ask("GET", path)
    assert (refused.status, refused.json["title"], refused.headers["retry-after"]) == (503, "streams full", "2")
    assert web.ask("GET", plain).body == b"begin\n"
    for stream in streams:
        stream.close()
    watched.wait_until(lambda: web.server.app.streams.open == 0, "the streams have noticed")
    web.post("/api/v1/jobs/long/cancel", {})
