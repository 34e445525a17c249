"""What a job wrote: its end, a piece, all of it, and as it comes."""

from __future__ import annotations

import http.client
import os
from typing import TYPE_CHECKING

from queuectl.web.output import MOST_BYTES
from tests.web.support import PATIENCE_S, status_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.support import Jobs
    from tests.support.supervised import Supervised
    from tests.web.support import Served

OUTPUT = "/api/v1/jobs/j/output"


def test_the_end_a_piece_and_all_of_it(web: Served, jobs: Jobs) -> None:
    data = b"".join(b"line %d\n" % n for n in range(50_000))
    jobs.completed("j", data)
    tail = web.ask("GET", f"{OUTPUT}?lines=2")
    assert tail.body == b"line 49998\nline 49999\n"
    assert tail.headers["x-queuectl-from"] == str(len(data) - len(tail.body))
    assert tail.headers["x-queuectl-size"] == str(len(data))
    assert tail.headers["x-queuectl-ended"] == "true"
    assert tail.headers["content-type"] == "text/plain; charset=utf-8"
    assert web.ask("GET", f"{OUTPUT}?lines=0").body == b""
    assert web.ask("GET", f"{OUTPUT}?from=5&limit=3").body == data[5:8]
    assert web.ask("GET", f"{OUTPUT}?from=999999999").body == b""
    assert web.ask("GET", OUTPUT).body == data[:MOST_BYTES]
    assert len(web.ask("GET", f"{OUTPUT}?lines=5000&limit=10").body) == 10
    parts, at = [], 0
    while at < len(data):
        parts.append(web.ask("GET", f"{OUTPUT}?from={at}").body)
        at += len(parts[-1])
    assert b"".join(parts) == data
    whole = web.ask("GET", f"{OUTPUT}?download=true")
    assert whole.body == data
    assert whole.headers["content-disposition"] == 'attachment; filename="j.1.log"'
    assert whole.headers["content-length"] == str(len(data))


def test_lines_that_are_too_long_are_cut_at_the_limit(web: Served, jobs: Jobs) -> None:
    jobs.completed("j", b"x" * (2 * MOST_BYTES))
    reply = web.ask("GET", f"{OUTPUT}?lines=1")
    assert (len(reply.body), reply.headers["x-queuectl-from"]) == (MOST_BYTES, str(MOST_BYTES))


def test_what_is_not_there_is_not_found(web: Served, jobs: Jobs) -> None:
    jobs.pending("p")
    assert "not run yet" in web.ask("GET", "/api/v1/jobs/p/output").json["detail"]
    jobs.completed("j", b"secret")
    assert web.ask("GET", f"{OUTPUT}?attempt=2").status == 404
    path = jobs.queue.layout.output_of("j", 1)
    os.unlink(path)
    assert "removed" in web.ask("GET", OUTPUT).json["detail"]


def test_no_link_pipe_or_directory_is_opened(web: Served, jobs: Jobs) -> None:
    jobs.completed("j", b"x")
    path = jobs.queue.layout.output_of("j", 1)
    for make in (lambda: os.symlink("/etc/passwd", path), lambda: os.mkfifo(path), lambda: os.mkdir(path)):
        os.unlink(path) if not os.path.isdir(path) else os.rmdir(path)
        make()
        for query in ("", "?lines=5", "?download=true"):
            assert web.ask("GET", OUTPUT + query).status == 404


def test_whatever_bytes_are_written_arrive(web: Served, jobs: Jobs) -> None:
    data = bytes(range(256)) + b"<script>alert(1)</script>\x1b]0;title\x07"
    jobs.completed("j", data)
    reply = web.ask("GET", OUTPUT)
    assert reply.body == data
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_it_is_followed_until_the_attempt_has_ended(web: Served, supervised: Callable[..., Supervised]) -> None:
    """Chunked to the end, so that a broken connection can be told from the end; it continues where another left off."""
    watched = supervised()
    watched.start(1)
    script = "echo one; while [ ! -e go ]; do sleep 0.05; done; echo two"
    web.post("/api/v1/jobs", {"command": script, "id": "j", "cwd": str(watched.home)})
    watched.wait_until(lambda: web.ask("GET", OUTPUT).body == b"one\n", "it writes")
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=PATIENCE_S)
    headers = {"Authorization": f"Bearer {web.token}"}
    connection.request("GET", f"{OUTPUT}?follow=true&from=1", headers=headers)
    answer = connection.getresponse()
    assert answer.getheader("Transfer-Encoding") == "chunked"
    assert answer.getheader("X-QueueCTL-Ended") == "false"
    assert answer.read(3) == b"ne\n"
    (watched.home / "go").touch()
    assert answer.read() == b"two\n"
    connection.request("GET", f"{OUTPUT}?follow=true&from=4", headers=headers)  # the connection goes on too
    answer = connection.getresponse()
    assert (answer.getheader("X-QueueCTL-Ended"), answer.read()) == ("true", b"two\n")
    connection.close()
    old = f"GET {OUTPUT}?follow=true HTTP/1.0\r\nHost: {web.host}\r\nAuthorization: Bearer {web.token}\r\n\r\n"
    with web.connect() as plain:
        plain.sendall(old.encode())
        data = b""
        while more := plain.recv(65536):
            data += more
    assert status_of(data) == 200
    assert data.endswith(b"\r\n\r\none\ntwo\n")


def test_following_goes_on_when_the_file_is_truncated(web: Served, jobs: Jobs) -> None:
    """A line says so; what is written from then on follows it."""
    claim = jobs.running("j", b"old and longer\n")
    path = jobs.queue.layout.output_of("j", 1)
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=PATIENCE_S)
    connection.request("GET", f"{OUTPUT}?follow=true&from=4", headers={"Authorization": f"Bearer {web.token}"})
    answer = connection.getresponse()
    assert answer.readline() == b"and longer\n"
    os.truncate(path, 0)
    with open(path, "ab") as log:
        log.write(b"new\n")
    assert answer.readline() == b"\n"
    assert answer.readline() == b"--- the output was truncated: showing it from its new start ---\n"
    assert answer.readline() == b"new\n"
    with claim:
        claim.finish({"exit_code": 0})
    assert answer.read() == b""
    connection.close()


def test_events_are_passed_on_as_they_happen(web: Served, supervised: Callable[..., Supervised]) -> None:
    assert web.ask("GET", "/api/v1/events").status == 503
    watched = supervised()
    watched.start(1)
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=PATIENCE_S)
    connection.request("GET", "/api/v1/events", headers={"Authorization": f"Bearer {web.token}"})
    answer = connection.getresponse()
    web.post("/api/v1/jobs", {"command": "true", "id": "j"})
    lines = [answer.readline()]
    while b'"event":"completed"' not in lines[-1]:
        lines.append(answer.readline())
        assert lines[-1], lines
    assert b'"event":"started","id":"j","state":"processing"' in lines[-2]
    connection.close()


def test_lines_are_found_by_their_numbers(web: Served, jobs: Jobs) -> None:
    lines = [b"line %d\n" % n for n in range(1, 300_001)]  # more than one piece of the file
    jobs.completed("j", b"".join(lines) + b"last")
    for number in (1, 2, 250, 120_000, 300_000, 300_001):
        reply = web.ask("GET", f"{OUTPUT}?line={number}&limit=20&numbered=true")
        assert reply.body == b"".join([*lines[number - 1 : number + 5], b"last"])[:20]
        assert reply.headers["x-queuectl-line"] == str(number)
    assert web.ask("GET", f"{OUTPUT}?line=9999999&numbered=true").headers["x-queuectl-line"] == "300001"
    some = web.ask("GET", f"{OUTPUT}?line=1000&end_line=1500")
    assert some.body == b"".join(lines[999:1499])
    cut = web.ask("GET", f"{OUTPUT}?line=1&end_line=200001&numbered=true")
    assert MOST_BYTES - 12 < len(cut.body) <= MOST_BYTES
    assert (cut.body[:5], cut.body[-12:]) == (b"line ", b"line 200000\n")
    assert int(cut.headers["x-queuectl-line"]) == 200_001 - cut.body.count(b"\n")
    assert web.ask("GET", f"{OUTPUT}?line=5&end_line=2").body == b""


def test_a_text_is_found_in_all_of_the_output(web: Served, jobs: Jobs) -> None:
    data = b"".join(b"line %d\n" % n for n in range(1, 200_001))
    jobs.completed("j", data + b"\x1b[31mERR\x1b[0mOR: broken\nthe \xff end: error")
    found = web.get(f"{OUTPUT}/search?q=error")
    assert (found["total"], [each["line"] for each in found["matches"]]) == (2, [200_001, 200_002])
    assert found["matches"][0]["text"] == "ERROR: broken"
    many = web.get(f"{OUTPUT}/search?q=LINE")
    assert (many["total"], len(many["matches"]), many["matches"][-1]["line"]) == (200_000, 1000, 1000)
    assert web.get(f"{OUTPUT}/search?q=none")["matches"] == []
    assert web.ask("GET", f"{OUTPUT}/search").status == 400
    assert web.ask("GET", "/api/v1/jobs/none/output/search?q=a").status == 404


def test_an_escape_sequence_ends_with_its_line(web: Served, jobs: Jobs) -> None:
    jobs.completed("j", b"a\x1b\nneedle 1\n\x1b]0;title\nneedle 2\nnee\x1b(B\x1b[mdle 3\n")
    found = web.get(f"{OUTPUT}/search?q=needle")
    assert [(each["line"], each["text"]) for each in found["matches"]] == [
        (2, "needle 1"),
        (4, "needle 2"),
        (5, "needle 3"),
    ]


def test_what_is_cut_begins_with_a_whole_line(web: Served, jobs: Jobs) -> None:
    jobs.completed("j", (b"x" * 1000 + b"\n") * 1000)
    reply = web.ask("GET", f"{OUTPUT}?line=1&end_line=1000&numbered=true")
    assert len(reply.body) % 1001 == 0
    assert int(reply.headers["x-queuectl-line"]) == 1000 - len(reply.body) // 1001
