"""Nobody else's page can read or change anything, and nothing a job says can act on the page; each tried in a browser."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from tests.cli.support import Jobs
    from tests.support.browser import Person
    from tests.web.support import Served

VIEWS = ("overview", "jobs", "dead", "workers", "config", "health")
SIMPLE = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data")  # need no preflight
HTML = "<img src=x onerror=\"document.title='broken into'\"><script>document.title='broken into'</script><b id=evil>"
ANSI = "\x1b[31mred\x1b[0m\x1b]0;title\x07\x08\x7f"
BIDI = "\u202egnp.exe\u2066\u200b\ufeff"
NASTY = f"{HTML} {ANSI} {BIDI} {{{{7*7}}}} javascript:alert(1) ' \" ` \\"


# What a page of another origin may put into itself, and how it may ask; each has to come to nothing.
TAGS = (
    *(("script", "/app.js"), ("script", "/api/v1/snapshot"), ("module", "/state.js"), ("link", "/app.css")),
    *(("img", "/favicon.svg"), ("img", "/api/v1/jobs"), ("object", "/"), ("embed", "/"), ("video", "/api/v1/jobs")),
    *(("audio", "/metrics"), ("object", "/favicon.svg")),
)
LOADS = """([tag, url]) => new Promise((done) => { const node = document.createElement(tag === 'module' ? 'script' : tag);
    node.onload = () => done(node.contentDocument ? 'seen' : /object|embed/.test(tag) ? 'silence' : 'loaded');
    node.onerror = () => done('refused'); node.onloadeddata = () => done('loaded');
    if (tag === 'module') node.type = 'module';
    if (tag === 'link') { node.rel = 'stylesheet'; node.href = url; } else if (tag === 'object') node.data = url; else node.src = url;
    document.body.append(node); setTimeout(() => done('silence'), 3000); })"""
FRAMES = """([url, sandbox]) => { const frame = document.createElement('iframe'); if (sandbox) frame.sandbox = sandbox;
    frame.src = url; document.body.append(frame); }"""
SCRIPTS = {
    "XMLHttpRequest": """url => new Promise((done) => { const ask = new XMLHttpRequest(); ask.withCredentials = true;
        ask.onload = () => done('seen'); ask.onerror = () => done('refused'); ask.open('GET', url); ask.send(); })""",
    "EventSource": """url => new Promise((done) => { const source = new EventSource(url, {withCredentials: true});
        source.onopen = () => done('seen'); source.onerror = () => { source.close(); done('refused'); }; })""",
    "import": "url => import(url).then(() => 'seen', () => 'refused')",
    "Worker": """url => new Promise((done) => { try { const worker = new Worker(url); worker.onerror = () => done('refused');
        worker.onmessage = () => done('seen'); } catch { done('refused'); } })""",
    "importScripts": """url => new Promise((done) => { const code = new Blob([`try { importScripts('${url}'); postMessage('seen'); } catch { postMessage('refused'); }`]);
        new Worker(URL.createObjectURL(code)).onmessage = (event) => done(event.data); })""",
    "a style": """url => new Promise((done) => { const style = document.createElement('style'); style.textContent = `@import '${url}';`;
        document.head.append(style); setTimeout(() => { try { done(style.sheet.cssRules[0].styleSheet?.cssRules.length ? 'seen' : 'refused'); } catch { done('refused'); } }, 300); })""",
    "a null origin": """url => new Promise((done) => { addEventListener('message', (event) => done(event.data), {once: true});
        const frame = document.createElement('iframe'); frame.sandbox = 'allow-scripts'; document.body.append(frame);
        frame.srcdoc = `<script>fetch('${url}', {credentials: 'include'}).then(() => 'seen', () => 'refused').then((said) => parent.postMessage(said, '*'))</` + 'script>'; })""",
}


class _Elsewhere(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<!doctype html><title>elsewhere</title><body>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def elsewhere() -> Iterator[int]:
    """Another web server of this machine: the port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def _fetches(page: Page, url: str, options: dict[str, Any]) -> str:
    """What a script gets to see: the status and text, or that it was refused by the browser."""
    found = page.evaluate(
        """async ([url, options]) => {
             try { const r = await fetch(url, options); return `${r.type} ${r.status} ${await r.text()}`; }
             catch (error) { return `refused: ${error}`; } }""",
        [url, options],
    )
    return str(found)


@pytest.mark.parametrize("origin", ["http://127.0.0.1:{}/", "http://evil.test:{}/"])
def test_another_origin_neither_reads_nor_changes(
    person: Person, jobs: Jobs, web: Served, elsewhere: int, origin: str
) -> None:
    jobs.dead("target", name="secret-name")
    person.sign_in()  # so that the browser has the cookie
    page = person.new_page()
    page.goto(origin.format(elsewhere))
    base = f"http://{web.host}"
    reads = 0
    for path in ("/", "/api/v1/jobs", "/api/v1/snapshot", "/api/v1/jobs/target/output", "/metrics", "/app.js"):
        for mode in ("cors", "no-cors"):
            seen = _fetches(page, base + path, {"credentials": "include", "mode": mode})
            assert "refused" in seen or seen == "opaque 0 ", (path, seen)
            reads += 1
    body = '{"command": "touch /tmp/owned"}'
    writes = 0
    for path, method in (
        ("/api/v1/jobs", "POST"),
        ("/api/jobs", "POST"),
        ("/api/v1/bulk", "POST"),
        ("/api/v1/jobs/target/retry", "POST"),
    ):
        for kind in (*SIMPLE, "application/json", "text/plain; application/json"):
            for mode in ("cors", "no-cors"):
                options = {
                    "method": method,
                    "body": body,
                    "credentials": "include",
                    "mode": mode,
                    "headers": {"Content-Type": kind},
                }
                seen = _fetches(page, base + path, options)
                assert "refused" in seen or seen == "opaque 0 ", (path, kind, seen)
                writes += 1
    for method in ("PUT", "DELETE"):
        assert "refused" in _fetches(page, f"{base}/api/v1/jobs/target", {"method": method, "credentials": "include"})
    for kind in SIMPLE:
        page.evaluate(
            """([action, kind]) => { const form = document.createElement('form'); const field = document.createElement('input');
                 const frame = document.createElement('iframe'); frame.name = 'sink'; document.body.append(frame);
                 Object.assign(form, {method: 'post', action, enctype: kind, target: 'sink'});
                 Object.assign(field, {name: '{"command": "true", "x": "', value: '"}'});
                 form.append(field); document.body.append(form); form.submit(); }""",
            [f"{base}/api/v1/jobs", kind],
        )
        writes += 1
    beacon = "url => navigator.sendBeacon(url, new Blob(['{\"command\": \"true\"}'], {type: 'text/plain'}))"
    page.evaluate(beacon, f"{base}/api/v1/jobs")
    page.wait_for_timeout(300)
    rows = web.get("/api/v1/jobs")["jobs"]
    assert [(row["id"], row["state"]) for row in rows] == [("target", "dead")]
    print(f"{reads} reads and {writes} writes from another origin: nothing seen, nothing changed")


@pytest.mark.parametrize("origin", ["http://127.0.0.1:{}/", "http://evil.test:{}/"])
def test_tags_frames_and_sockets_of_another_origin_get_nothing(
    person: Person, web: Served, elsewhere: int, origin: str
) -> None:
    """Another port of this address is the same site to a browser, which sends the cookie along; it gets no further."""
    person.sign_in()
    page = person.new_page()
    page.goto(origin.format(elsewhere))
    base = f"http://{web.host}"
    tried = 0
    for tag, path in TAGS:
        assert page.evaluate(LOADS, [tag, base + path]) in ("refused", "silence"), (tag, path)
        tried += 1
    assert page.evaluate("typeof S") == "undefined"
    for how, script in SCRIPTS.items():
        assert page.evaluate(script, f"{base}/api/v1/snapshot") == "refused", how
        tried += 1
    for sandbox in (None, "allow-scripts allow-forms", "allow-scripts allow-same-origin"):
        page.evaluate(FRAMES, [person.url, sandbox])
        tried += 1
    page.wait_for_timeout(500)
    assert all("QueueCTL" not in frame.content() for frame in page.frames if "chrome-error" not in frame.url)
    answer = page.evaluate(
        """url => new Promise((done) => { const s = new WebSocket(url); s.onopen = () => done('open'); s.onerror = () => done('refused'); })""",
        f"ws://{web.host}/api/v1/events",
    )
    assert answer == "refused"
    with page.expect_popup() as popup:  # nor is there a window to talk to
        page.evaluate("url => { window.opened = open(url); }", person.url)
    popup.value.wait_for_load_state()
    assert popup.value.evaluate("window.opener") is None
    assert page.evaluate("(() => { try { return !!opened.document; } catch { return false; } })()") is False
    print(f"{tried} ways from {origin}: nothing seen")


def test_a_rebound_name_and_zero_are_refused(person: Person, web: Served) -> None:
    from playwright.sync_api import Error

    person.sign_in()
    for host in ("rebind.test", "0.0.0.0", "evil.test", "127.0.0.2", "[::ffff:127.0.0.1]", "localhost."):
        page = person.new_page()
        try:
            answer = page.goto(f"http://{host}:{web.port}/")
        except Error:  # the browser itself did not want to
            assert "QueueCTL" not in page.title()
            continue
        assert answer is not None
        assert answer.status in (400, 421), (host, answer.status)
        assert "QueueCTL" not in page.title()
        assert "421" in _fetches(page, "/api/v1/jobs", {"credentials": "include"}) or answer.status == 400
    page = person.new_page()
    page.goto(f"http://localhost:{web.port}/")  # a name of ours, but its cookie is another
    page.locator("dialog h2").wait_for()


def _break_in(person: Person, view: str) -> None:
    page = person.go(view)
    person.refreshes(1)
    page.evaluate("() => new Promise((done) => setTimeout(done, 100))")
    assert page.title() != "broken into"
    assert page.locator("#evil, main img, main script").count() == 0, view
    text = page.evaluate(
        "document.body.innerText + [...document.querySelectorAll('[title]')].map((n) => n.title).join()"
    )
    active = re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069\ufeff]", text.replace("\r", ""))
    assert active is None, (view, text[max(0, active.start() - 60) : active.end() + 20])


def test_what_a_job_says_is_shown_and_does_nothing(person: Person, jobs: Jobs, web: Served, home: Path) -> None:
    """Command, tags, directory, environment and its names, key, error, reason, output, result, progress, notes, filters."""
    env = {"A": NASTY, NASTY.replace("=", "-"): "x"}
    texts = {"tags": [NASTY], "cwd": f"/{NASTY}", "env": env, "unique_key": NASTY[:200], "x_note": NASTY}
    # As a dropped file: only there may a variable have such a name.
    jobs.spool.enqueue({"id": "dead", "command": f"echo {NASTY}", **texts})
    with jobs.start("dead", b"killed\n") as claim:
        claim.move_to_dead(
            "retries_exhausted", {"exit_code": 137, "signal": "SIGKILL", "error": NASTY, "reason": NASTY}
        )
    jobs.failed("failed", output=NASTY.encode(), command=f"false {NASTY}")
    jobs.pending("argv", command=f": {NASTY}")
    for kind, text in (("result", json.dumps({NASTY: NASTY})), ("progress", f"40% {NASTY}")):
        for job_id in ("dead", "runs"):
            Path(jobs.queue.layout.output_of(job_id, 1, kind)).write_text(text)
    with jobs.running("runs", NASTY.encode() + b"\n" + NASTY.encode(), command=f": {NASTY}"):
        person.sign_in()
        for view in (
            *VIEWS,
            "jobs/dead",
            "jobs/failed",
            "jobs/argv",
            "jobs/runs",
            "jobs/%3Cb%20id=evil%3E",
            "jobs?q=%3Cb%20id=evil%3E%E2%80%AE",
            f"jobs?tag={quote(NASTY)}",
            f"jobs?queue={quote(NASTY)}&since={quote(NASTY)}&sort={quote(NASTY)}",
        ):
            _break_in(person, view)
        page = person.go("jobs/failed")
        person.see(".out", "<img src=x onerror=")
        assert "<b id=evil> re\u2421" in page.inner_text(".out")  # a backspace goes back one column
        assert "[31m" not in page.inner_text(".out")  # what is for a terminal is left out
        person.go("jobs/dead")
        person.see("pre.code", "‹U+202E›gnp.exe")
        person.see("pre.code", "␛[31mred")
        assert "A=••••" in page.inner_text("dl")
        for word in ("Directory", "Unique key", "Error", "Dead because", "Environment", "Result", "Tags"):
            shown = page.locator(f"dt:has-text('{word}') + dd").inner_text()
            assert "<b id" in shown, word
        person.press("Edit and retry")
        assert HTML in page.input_value("#f-command")  # as it is: it is saved again
        page.keyboard.press("Escape")
        person.press("Delete")
        _break_in(person, "dead")
        page.keyboard.press("u")


def test_a_raw_view_of_output_is_text(person: Person, jobs: Jobs) -> None:
    jobs.dead("d")
    jobs.completed("html", b"<!doctype html><script>document.title='broken into'</script>")
    page = person.sign_in("jobs/html")
    with page.expect_popup() as popup:
        page.get_by_role("link", name="Raw").click()
    raw = popup.value
    raw.wait_for_load_state()
    assert "<script>" in raw.inner_text("body")
    assert raw.title() != "broken into"
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "html.1.log"
