"""The files of the page: which there are, how they hang together, what may not be in them, and how much travels."""

from __future__ import annotations

import graphlib
import gzip
import re
from pathlib import Path
from typing import TYPE_CHECKING

from queuectl.web import static_files

if TYPE_CHECKING:
    from tests.web.support import Served

STATIC = Path(static_files.STATIC)
FILES = {path.name: path.read_text(encoding="utf-8") for path in sorted(STATIC.iterdir())}
MODULES = {name: text for name, text in FILES.items() if name.endswith(".js")}
IMPORT = re.compile(r"^import \{ ([^}]+) \} from '\./(\w+\.js)';$", re.MULTILINE)
EXPORT = re.compile(r"^export (?:async )?(?:function|class|const) ([\w$]+)", re.MULTILINE)
PACKED_BYTES = 70_000  # all of them together, as they travel
LONGEST_LINE = 150
BANNED = (
    *("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "srcdoc", "DOMParser"),
    *("setAttribute('on", "import("),
)


def test_every_file_is_served_and_nothing_else() -> None:
    assert sorted([*static_files.ASSETS, static_files.INDEX]) == sorted(FILES)
    assert {Path(name).suffix[1:] for name in FILES} <= set(static_files.KINDS)


def test_modules_hang_together_without_a_circle() -> None:
    """Each import names what is exported, and is used; what is exported is imported."""
    used: set[tuple[str, str]] = {("refresh.js", "isRefreshing")}  # asked for by tests
    graph: dict[str, set[str]] = {}
    for name, text in MODULES.items():
        assert len(re.findall("^import", text, re.MULTILINE)) == len(IMPORT.findall(text)), name
        graph[name] = {other for _, other in IMPORT.findall(text)}
        for names, other in IMPORT.findall(text):
            wanted = set(names.split(", "))
            assert wanted <= set(EXPORT.findall(MODULES[other])), f"{name}: {wanted} of {other}"
            used |= {(other, each) for each in wanted}
            rest = IMPORT.sub("", text)
            unused = {each for each in wanted if not re.search(rf"(?<![\w$]){re.escape(each)}(?![\w$])", rest)}
            assert not unused, f"{name} imports {unused} for nothing"
    graphlib.TopologicalSorter(graph).prepare()
    exported = {(name, each) for name, text in MODULES.items() for each in EXPORT.findall(text)}
    assert exported == used, exported ^ used


def test_all_modules_are_asked_for_at_once() -> None:
    """Else a browser asks for the deepest ones only after it has read those above."""
    preloaded = re.findall(r'<link rel="modulepreload" href="([^"/]+)">', FILES["index.html"])
    assert sorted([*preloaded, "app.js"]) == sorted(MODULES)
    assert '<script type="module" src="app.js"></script>' in FILES["index.html"]


def test_every_module_says_what_it_is_and_can_be_read() -> None:
    for name, text in MODULES.items():
        assert text.startswith("/* "), name
        long = [number for number, line in enumerate(text.splitlines(), 1) if len(line) > LONGEST_LINE]
        assert not long, f"{name}: lines {long} are longer than {LONGEST_LINE}"


def test_no_style_is_without_use() -> None:
    """Classes that are put together while the page runs: of states, of columns, and of the colours of output."""
    rules = re.sub(r"/\*.*?\*/|\{[^{}]*\}", " ", FILES["app.css"], flags=re.DOTALL)
    users = "".join(text for name, text in FILES.items() if name != "app.css")
    made = re.compile(r"s-[a-z]+|c[0-9]|[fb][0-9]+")
    named = {each for each in re.findall(r"[.#]([a-z][\w-]*)", rules) if not made.fullmatch(each)}
    assert len(named) > 50
    assert [each for each in sorted(named) if not re.search(rf"(?<![\w-]){each}(?![\w-])", users)] == []


def test_the_files_hold_nothing_that_could_let_text_act() -> None:
    for name, text in MODULES.items():
        assert [each for each in BANNED if each in text] == [], name
    html = FILES["index.html"]
    assert not re.search(r"<script(?! type=\"module\" src=\"app.js\")|\son\w+=|\sstyle=|<style|javascript:", html)
    for name, text in FILES.items():
        assert not re.search(r"//[a-z0-9.-]+\.[a-z]{2,}|@import", text.replace("http://www.w3.org/2000/svg", "")), name
    assert "url(" not in FILES["app.css"]


def test_every_address_is_relative() -> None:
    """So that the page also works where a proxy has it under a path."""
    assert not re.search(r"(?:href|src)=\"/", FILES["index.html"])
    for name, text in MODULES.items():
        assert not re.search(r"['\"`]/(?:api|\w+\.(?:js|css|svg))", text), name


def test_the_page_is_small_as_it_travels(web: Served) -> None:
    total = 0
    for name in FILES:
        path = "/" if name == static_files.INDEX else f"/{name}"
        plain = web.ask("GET", path)
        packed = web.ask("GET", path, headers={"Accept-Encoding": "br, gzip, deflate"})
        assert "content-encoding" not in plain.headers
        assert (packed.headers["content-encoding"], packed.headers["vary"]) == ("gzip", "Accept-Encoding")
        assert plain.body == gzip.decompress(packed.body) == (STATIC / name).read_bytes()
        total += len(packed.body)
    print(f"the page takes {total:,} bytes, {sum(map(len, FILES.values())):,} unpacked")
    assert total <= PACKED_BYTES
