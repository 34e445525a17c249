"""The shape of the program: imports point down, each outside thing has one room, files stay small.

`problems` reads the sources with `ast`, so an import inside a function counts like any other. The second half
plants one violation of each kind in a small tree and sees it found.
"""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import queuectl

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "queuectl"

# Lowest first; a room may import its own layer and those before it. docs/ARCHITECTURE.md draws the same picture.
LAYERS = (
    {"__init__", "clock", "errors", "ids", "units", "version"},
    {"atomic_file", "config", "growing_file", "timers", "times"},
    {"job"},
    {"command_location", "json_schema", "scheduling"},
    {"spool"},
    {"control_client", "executor", "index", "log"},
    {"disk_space"},
    {"worker"},
    {"supervisor"},
    {"client"},
    {"maintenance"},
    {"health", "metrics", "status"},
    {"doctor"},
    {"web"},
    {"cli", "__main__"},
)
LAYER_OF = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}
PUBLIC_NAMES = {
    name: f"queuectl.{queuectl._MODULES.get(name, 'errors')}" for name in queuectl.__all__ if name != "__version__"
}  # served by queuectl.__getattr__

# Who may touch what. A room ends in "/".
PROCESSES = ("executor/", "supervisor/", "worker/")
MODULE_OWNERS = {
    "argparse": ("cli/",),
    "curses": ("cli/top/",),
    "http": ("web/",),
    "psutil": PROCESSES,
    "signal": PROCESSES,
    "socketserver": ("web/",),
    "sqlite3": ("index/",),
    "subprocess": ("supervisor/", "cli/"),
    "yaml": ("config/yaml_text.py",),
}
CALL_OWNERS = {
    ("clock.py",): (
        "time.monotonic",
        "time.monotonic_ns",
        "time.time",
        "time.time_ns",
        "datetime.now",
        "datetime.utcnow",
    ),
    ("cli/",): ("print",),
    PROCESSES: ("os.fork", "os.forkpty", "os.kill", "os.killpg", "os.posix_spawn", "os.posix_spawnp"),
    ("spool/fs.py",): (
        *("os.fdatasync", "os.fsync", "os.link", "os.remove", "os.rename", "os.renames", "os.replace", "os.unlink"),
    ),
}
OWNERS_OF_CALL = {call: owners for owners, calls in CALL_OWNERS.items() for call in calls}
EXEMPT = (
    ("cli/commands/metrics.py", {"os.replace", "os.unlink"}, "a file for node_exporter, which must be whole"),
    (
        "config/config_file.py",
        {"os.fsync", "os.replace", "os.unlink"},
        "config.yaml and its parsed copy are not spool files",
    ),
    ("index/", {"os.remove", "os.rename", "os.replace", "os.unlink"}, "the index is derived: its file is thrown away"),
    ("job/outcome.py", {"signal"}, "looks up the names of signals and sends none"),
    ("supervisor/control_server.py", {"os.unlink"}, "a socket that a dead supervisor left"),
    ("spool/fs.py", {"signal"}, "names the signal by which a lease breaks, and sends none"),
    ("web/http_server.py", {"os.unlink"}, "a socket that a dead server left"),
    ("web/tokens.py", {"os.replace"}, "the token is not a spool file, and must be whole"),
    ("supervisor/supervisor_lock.py", {"os.unlink"}, "what in run/ tells of a supervisor goes when it goes"),
    ("log.py", {"os.rename", "os.replace", "os.unlink"}, "rotates its own log files"),
)
LONGEST_FILE = 500
SOURCES = {".py", ".sql", ".js", ".css", ".html"}
NAMES_THAT_SAY_NOTHING = {"base", "common", "core", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}


class Source:
    """One Python file of the package."""

    def __init__(self, root: Path, path: Path) -> None:
        self.place = path.relative_to(root).as_posix()
        self.inside = path.relative_to(root / PACKAGE).as_posix()
        parts = path.relative_to(root).with_suffix("").parts
        self.is_package = parts[-1] == "__init__"
        self.module = ".".join(parts[:-1] if self.is_package else parts)
        self.room = parts[1]
        self.tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        self.imports = [*imports(self)]


class Import:
    """One imported name, with the line and whether it happens when the module is imported."""

    def __init__(self, name: str, line: int, at_import: bool) -> None:
        self.name = name
        self.line = line
        self.at_import = at_import


def imports(source: Source) -> Iterator[Import]:
    """Yield every import as a dotted name, `from a import b` as `a.b`."""

    def walk(node: ast.AST, at_import: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, at_import)
        elif isinstance(node, ast.ImportFrom):
            package = source.module.split(".") if source.is_package else source.module.split(".")[:-1]
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(f"{base}.{alias.name}", node.lineno, at_import)
        elif isinstance(node, ast.Call) and dotted(node.func, {}).endswith("import_module"):
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant):
                    yield Import(str(argument.value), node.lineno, False)
        for child in ast.iter_child_nodes(node):
            is_later = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            is_typing = (
                isinstance(node, ast.If) and dotted(node.test, {}).endswith("TYPE_CHECKING") and child in node.body
            )
            yield from walk(child, at_import and not is_later and not is_typing)

    return walk(source.tree, True)


def dotted(node: ast.AST, aliases: dict[str, str]) -> str:
    """Return `a.b.c` for such an expression, "" for any other."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([aliases.get(node.id, node.id), *reversed(names)])


def target_of(name: str, modules: set[str]) -> str | None:
    """Return the module of ours that an imported name lies in; None for anyone else's."""
    if name != PACKAGE and not name.startswith(PACKAGE + "."):
        return None
    package, _, attribute = name.rpartition(".")
    if package == PACKAGE and attribute in PUBLIC_NAMES:
        return PUBLIC_NAMES[attribute]
    while name not in modules and "." in name:
        name = name.rpartition(".")[0]
    return name


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def owned_by(source: Source, owners: tuple[str, ...], thing: str) -> bool:
    exempt = tuple(path for path, things, _ in EXEMPT if thing in things)
    return any(source.inside.startswith(o) if o.endswith("/") else source.inside == o for o in owners + exempt)


def problems(root: Path) -> list[str]:
    """Return every violation as "file:line: what is wrong"."""
    package = root / PACKAGE
    sources = [Source(root, path) for path in sorted(package.rglob("*.py"))]
    modules = {source.module for source in sources}
    found = list(unwieldy_files(root))
    for source in sources:
        if (source.room if source.module != PACKAGE else "__init__") not in LAYER_OF:
            found.append(f"{source.place}: is in no layer; give {source.room} a place in LAYERS")
            continue
        found += upward_imports(source, modules)
        found += strangers(source)
    return found + circles(sources, modules)


def unwieldy_files(root: Path) -> Iterator[str]:
    for path in sorted((root / PACKAGE).rglob("*")):
        place = path.relative_to(root).as_posix()
        if path.suffix in SOURCES:
            lines = len(path.read_text(encoding="utf-8").splitlines())
            if lines > LONGEST_FILE:
                yield f"{place}: has {lines} lines, more than {LONGEST_FILE}"
        if path.stem in NAMES_THAT_SAY_NOTHING:
            yield f"{place}: a name that does not say what is inside"


def upward_imports(source: Source, modules: set[str]) -> Iterator[str]:
    own = LAYER_OF[room_of(source.module)]
    for imported in source.imports:
        target = target_of(imported.name, modules)
        is_public_door = source.module == PACKAGE and not imported.at_import
        if target is None or is_public_door:
            continue
        if LAYER_OF.get(room_of(target), -1) > own:
            yield f"{source.place}:{imported.line}: imports {target}, which lies above {room_of(source.module)}"


def strangers(source: Source) -> Iterator[str]:
    """Yield uses of an outside thing by a room that does not own it."""
    aliases: dict[str, str] = {}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            aliases |= {alias.asname or alias.name.split(".")[0]: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            aliases |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for imported in source.imports:
        outside = imported.name.split(".")[0]
        if outside in MODULE_OWNERS and not owned_by(source, MODULE_OWNERS[outside], outside):
            yield f"{source.place}:{imported.line}: imports {outside}, which only {MODULE_OWNERS[outside]} may"
    for node in ast.walk(source.tree):
        if isinstance(node, (ast.Attribute, ast.Name)):
            # The last two parts: `psutil.time.time` reads the clock as well.
            used = ".".join(dotted(node, aliases).split(".")[-2:])
            if used in OWNERS_OF_CALL and not owned_by(source, OWNERS_OF_CALL[used], used):
                yield f"{source.place}:{node.lineno}: uses {used}, which only {OWNERS_OF_CALL[used]} may"


def circles(sources: list[Source], modules: set[str]) -> list[str]:
    """Return the first circle among the imports; those in functions and annotations count as well.

    `queuectl/__init__.py` imports its public names when they are asked for: of it only imports at import time count.
    """
    graph = {
        source.module: {
            target_of(found.name, modules) for found in source.imports if found.at_import or source.module != PACKAGE
        }
        - {None, source.module}
        for source in sources
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return ["import circle: " + " -> ".join(error.args[1])]
    return []


def test_the_program_has_the_shape_that_was_drawn() -> None:
    """Proves G12."""
    found = problems(ROOT)
    assert not found, "\n" + "\n".join(found)


def test_the_sources_were_found() -> None:
    """An empty directory has no violations either."""
    rooms = {path.relative_to(ROOT / PACKAGE).parts[0] for path in (ROOT / PACKAGE).rglob("*.py")}
    assert {"errors.py", "config", "spool", "index", "supervisor", "cli"} <= rooms


# --- planted violations

CLEAN = {
    "__init__.py": (
        "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from queuectl.client.queue import Queue\n"
        "def __getattr__(name):\n    from queuectl.client.queue import Queue\n    return Queue\n"
    ),
    "errors.py": "class E(Exception): pass\n",
    "clock.py": "import time\nnow = time.time\n",
    "config/__init__.py": "",
    "config/config_file.py": "import os\nos.replace('a', 'b')\n",
    "config/yaml_text.py": "import yaml\n",
    "spool/__init__.py": "",
    "spool/fs.py": "import os\nfrom ..errors import E\nos.rename('a', 'b')\n",
    "spool/spool.py": "from queuectl.spool import fs\nclass S:\n    def rename(self): fs.rename()\n",
    "index/__init__.py": "",
    "index/reader.py": "import sqlite3\nfrom queuectl.spool.fs import E\n",
    "executor/__init__.py": "",
    "executor/process_tree.py": "import os, psutil, signal\nfrom queuectl.spool import fs\nos.kill(1, signal.SIGTERM)\n",
    "client/__init__.py": "",
    "client/queue.py": "from queuectl import errors\nfrom queuectl.executor import process_tree\nclass Queue: pass\n",
    "web/__init__.py": "",
    "web/http_server.py": "import http.server\nfrom queuectl import Queue\n",
    "cli/__init__.py": "",
    "cli/main.py": "import argparse\nimport queuectl.web.http_server\nprint(1)\n",
    "__main__.py": "from queuectl.cli.main import argparse\n",
}


def plant(root: Path, **files: str) -> Path:
    for name, text in {**CLEAN, **files}.items():
        path = root / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_clean_tree_has_no_problems(tmp_path: Path) -> None:
    assert problems(plant(tmp_path)) == []


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        (
            "clock.py",
            "from queuectl.spool import fs",
            "clock.py:1: imports queuectl.spool.fs, which lies above clock",
        ),
        (
            "clock.py",
            "import queuectl.config.config_file",
            "imports queuectl.config.config_file, which lies above clock",
        ),
        ("job/job.py", "def f():\n    from queuectl.spool.spool import S", "job.py:2: imports queuectl.spool.spool"),
        (
            "job/job.py",
            "if TYPE_CHECKING:\n    from queuectl.client.queue import Queue",
            "job.py:2: imports queuectl.client.queue",
        ),
        ("job/job.py", "from ..client import queue", "imports queuectl.client.queue, which lies above job"),
        ("job/job.py", "from queuectl import Queue", "imports queuectl.client.queue, which lies above job"),
        (
            "job/job.py",
            "import importlib\nimportlib.import_module('queuectl.client.queue')",
            "job.py:2: imports queuectl.client.queue",
        ),
        (
            "__init__.py",
            "from queuectl.client.queue import Queue",
            "imports queuectl.client.queue, which lies above __init__",
        ),
        (
            "spool/claim.py",
            "from queuectl.index import reader",
            "imports queuectl.index.reader, which lies above spool",
        ),
        (
            "spool/claim.py",
            "from ..executor import process_tree",
            "imports queuectl.executor.process_tree, which lies above spool",
        ),
        (
            "index/writer.py",
            "import queuectl.client.queue",
            "imports queuectl.client.queue, which lies above index",
        ),
        (
            "worker/worker.py",
            "from queuectl.client.queue import Queue",
            "imports queuectl.client.queue, which lies above worker",
        ),
        ("web/api.py", "def f():\n    import queuectl.cli.main", "imports queuectl.cli.main, which lies above web"),
        ("novelty.py", "", "novelty.py: is in no layer"),
        ("novelty/thing.py", "", "thing.py: is in no layer"),
        ("spool/claim.py", "import sqlite3", "claim.py:1: imports sqlite3, which only ('index/',) may"),
        ("spool/claim.py", "def f():\n    from psutil import Process", "claim.py:2: imports psutil"),
        ("config/settings.py", "import yaml", "imports yaml"),
        ("cli/main.py", "from http.server import HTTPServer", "imports http"),
        ("client/queue.py", "import argparse", "imports argparse"),
        ("client/queue.py", "import signal", "imports signal"),
        ("spool/claim.py", "import subprocess", "imports subprocess"),
        ("job/job.py", "def f():\n    print(1)", "job.py:2: uses print"),
        ("spool/claim.py", "import os\nos.rename('a', 'b')", "claim.py:2: uses os.rename"),
        ("spool/claim.py", "import os as o\no.unlink('a')", "uses os.unlink"),
        ("spool/claim.py", "from os import fsync\nfsync(1)", "uses os.fsync"),
        ("spool/claim.py", "import os\nf = os.fdatasync", "uses os.fdatasync"),
        ("config/settings.py", "import os\nos.link('a', 'b')", "uses os.link"),
        ("job/job.py", "import time\ntime.time()", "uses time.time"),
        ("job/job.py", "from time import monotonic as m\nm()", "uses time.monotonic"),
        ("job/job.py", "from datetime import datetime\ndatetime.now()", "uses datetime.now"),
        ("executor/age.py", "import psutil\npsutil.time.time()", "uses time.time"),
        ("spool/claim.py", "import os\nos.kill(1, 9)", "uses os.kill"),
        ("cli/main.py", "import os\nos.fork()", "uses os.fork"),
        ("job/job.py", "x = 1\n" * 501, "job.py: has 501 lines, more than 500"),
        ("index/queries.sql", "select 1;\n" * 501, "queries.sql: has 501 lines"),
        ("web/static/app.js", "1;\n" * 501, "app.js: has 501 lines"),
        ("spool/utils.py", "", "utils.py: a name that does not say what is inside"),
        ("spool/helpers/__init__.py", "", "helpers: a name that does not say what is inside"),
        ("errors.py", "import queuectl.clock\n", "import circle: "),
        ("errors.py", "def f():\n    import queuectl.clock\n", "import circle: "),
        ("errors.py", "if TYPE_CHECKING:\n    import queuectl.clock\n", "import circle: "),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, name: str, text: str, problem: str) -> None:
    circle = {"clock.py": "from queuectl import errors\n"} if "circle" in problem else {}
    found = problems(plant(tmp_path, **circle, **{name: text}))
    assert [line for line in found if problem in line] == found
    assert found
