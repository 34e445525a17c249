"""generate: write the pages of this folder from the tables of the program.

    python docs/reference/generate.py            # a test fails when a page differs from what this would write

commands.md comes from queuectl/cli/tree, settings.md from queuectl/settings.py, api.md from queuectl/web/openapi.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

from queuectl.cli.grammar import COMMON, HIDDEN  # noqa: E402
from queuectl.cli.parser import places  # noqa: E402
from queuectl.cli.topics import EXIT_CODES  # noqa: E402
from queuectl.cli.tree import COMMANDS, GROUPS  # noqa: E402
from queuectl.cli.tree.aliases import aliases_of  # noqa: E402
from queuectl.settings import SETTINGS  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from queuectl.cli.grammar import Option

WRITTEN = "<!-- written by docs/reference/generate.py -->"


def pages() -> dict[str, str]:
    """Return every page by its name."""
    return {
        "commands.md": "\n".join(_commands()),
        "settings.md": "\n".join(_settings()),
        "api.md": "\n".join(_api()),
    }


def _commands() -> Iterator[str]:
    yield "# Commands"
    yield ""
    yield WRITTEN
    yield ""
    yield "What `queuectl COMMAND --help` says. All commands take these, before or behind the command:"
    yield ""
    yield from _options(COMMON)
    yield "Exit codes:"
    yield ""
    yield "```text"
    yield EXIT_CODES.strip("\n")
    yield "```"
    group = ""
    for name, command in COMMANDS.items():
        words = name.split()
        if len(words) > 1 and words[0] != group:
            group = words[0]
            yield ""
            yield f"`{group}`: {GROUPS[group]}."
        yield ""
        yield f"## {name}"
        yield ""
        yield command.help[0].upper() + command.help[1:] + "." + "".join(f" Also: `{a}`." for a in aliases_of(name))
        yield ""
        yield "```text"
        yield f"queuectl {name} [options] {places(command)}".rstrip()
        yield "```"
        yield ""
        yield from _options(command.options)
        yield "Examples:"
        yield ""
        yield "```text"
        yield from command.examples
        yield "```"
    yield ""


def _options(options: Iterable[Option]) -> Iterator[str]:
    rows = [(names, more) for names, more in options if more["help"] != HIDDEN]
    if not rows:
        return
    yield "| option | meaning |"
    yield "|---|---|"
    for names, more in rows:
        metavar = more.get("metavar", "")
        shown = metavar if names[0][0] != "-" else f"{', '.join(names)} {metavar}".strip()
        yield f"| `{shown}` | {_cell(more['help'])} |"
    yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


def _settings() -> Iterator[str]:
    yield "# Settings"
    yield ""
    yield WRITTEN
    yield ""
    yield "`queuectl config set NAME VALUE` writes one to `config.yaml` of the home; [config.example.yaml](../../config.example.yaml)"
    yield "has them all. The environment wins over the file, a flag over both. A change acts at once, on waiting jobs too."
    yield ""
    yield "| name | default | accepts | meaning | environment |"
    yield "|---|---|---|---|---|"
    for row in SETTINGS:
        cells = (f"`{row.name}`", f"`{row.spell(row.default)}`", row.expected(), row.help, f"`{row.variable}`")
        yield "| " + " | ".join(map(_cell, cells)) + " |"
    yield ""


def _api() -> Iterator[str]:
    document = json.loads((ROOT / "queuectl/web/openapi.json").read_text(encoding="utf-8"))
    yield "# HTTP API"
    yield ""
    yield WRITTEN
    yield ""
    yield "Served by `queuectl web`; the whole description, with every shape, is `/api/v1/openapi.json`. All but `/livez` and the"
    yield "page itself need `Authorization: Bearer TOKEN` (`queuectl web token`) or the page's cookie; changes need"
    yield "`Content-Type: application/json`. An error is `application/problem+json` (RFC 9457)."
    yield ""
    yield "| request | does | parameters | answers |"
    yield "|---|---|---|---|"
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if "operationId" not in operation:
                continue
            names = ", ".join(f"`{row['name']}`" for row in operation.get("parameters", ()) if row["in"] == "query")
            good = ", ".join(sorted(code for code in operation["responses"] if code < "400"))
            yield f"| `{method.upper()} {path}` | {operation['summary']} | {names} | {good} |"
    yield ""


if __name__ == "__main__":
    for page, text in pages().items():
        (HERE / page).write_text(text, encoding="utf-8")
