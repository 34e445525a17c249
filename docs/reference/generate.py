"""generate: write the pages of this folder from the tables of the program.

    python docs/reference/generate.py            # a test fails when a page differs from what this would write

commands.md comes from queuectl/cli/verbs.py and commands/, settings.md from queuectl/config/settings.py, api.md from
queuectl/web/routes.py, job.md from queuectl/web/answers.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

from queuectl.cli.aliases import aliases_of  # noqa: E402
from queuectl.cli.options import COMMON, HIDDEN  # noqa: E402
from queuectl.cli.parser import places  # noqa: E402
from queuectl.cli.topics import text_of  # noqa: E402
from queuectl.cli.verbs import GROUPS, help_of, load_all  # noqa: E402
from queuectl.client.job_view import DETAIL, ROW  # noqa: E402
from queuectl.config.settings import SETTINGS  # noqa: E402
from queuectl.web.routes import document  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from queuectl.cli.options import Option

WRITTEN = "<!-- written by docs/reference/generate.py -->"


def pages() -> dict[str, str]:
    """Return every page by its name."""
    return {
        "commands.md": "\n".join(_commands()),
        "settings.md": "\n".join(_settings()),
        "api.md": "\n".join(_api()),
        "job.md": "\n".join(_job()),
    }


def _commands() -> Iterator[str]:
    yield "# Commands"
    yield ""
    yield WRITTEN
    yield ""
    yield "This page has the text of `queuectl COMMAND --help`. All commands take these options, before or after the command:"
    yield ""
    yield from _options(COMMON)
    yield "Exit codes:"
    yield ""
    yield "```text"
    yield text_of("exit-codes").strip("\n")
    yield "```"
    group = ""
    for name, command in load_all().items():
        words = name.split()
        if len(words) > 1 and words[0] != group:
            group = words[0]
            yield ""
            yield f"`{group}`: {GROUPS[group]}."
        yield ""
        yield f"## {name}"
        yield ""
        yield help_of(name)[0].upper() + help_of(name)[1:] + "." + "".join(f" Also: `{a}`." for a in aliases_of(name))
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
    yield "`queuectl config set NAME VALUE` writes a setting to `config.yaml` of the home. [config.example.yaml](../../config.example.yaml)"
    yield "has all settings. The environment overrides the file, and an option overrides both. A change applies at once, also to waiting jobs."
    yield ""
    yield "| name | default | accepts | meaning | environment |"
    yield "|---|---|---|---|---|"
    for row in SETTINGS:
        cells = (f"`{row.name}`", f"`{row.spell(row.default)}`", row.expected(), row.help, f"`{row.variable}`")
        yield "| " + " | ".join(map(_cell, cells)) + " |"
    yield ""


def _api() -> Iterator[str]:
    api = json.loads(document())
    yield "# HTTP API"
    yield ""
    yield WRITTEN
    yield ""
    yield "`queuectl web` serves this API. The complete description is `/api/v1/openapi.json`. Every request, except `/livez` and the"
    yield "page itself, needs `Authorization: Bearer TOKEN` (`queuectl web token`) or the page's cookie. Changes need"
    yield "`Content-Type: application/json`. An error is `application/problem+json` (RFC 9457)."
    yield ""
    yield "| request | meaning | parameters | status |"
    yield "|---|---|---|---|"
    for path, operations in api["paths"].items():
        for method, operation in operations.items():
            if "operationId" not in operation:
                continue
            names = ", ".join(f"`{row['name']}`" for row in operation.get("parameters", ()) if row["in"] == "query")
            good = ", ".join(sorted(code for code in operation["responses"] if code < "400"))
            yield f"| `{method.upper()} {path}` | {operation['summary']} | {names} | {good} |"
    yield ""


JOB = """\
A job has the same JSON from every source. There are two forms, a *row* and the *detail*:

| source | form |
|---|---|
| `list`, `dlq list` with `--json` or `-o jsonl`, `Queue.list()` | rows |
| `GET /api/v1/jobs`, `/api/jobs`, `/api/dlq` | rows |
| `show`, `dlq show`, `wait` with `--json` or `-o jsonl`, `Job.as_dict()` | details |
| `GET /api/v1/jobs/{id}`, `/api/jobs/{id}` | the detail; the values of `env` are null |

* Every member is always present. It is null if it has no value.
* A member of a row has the same name, type and value in the detail. Only long texts differ. A row has the first 500
  characters of `command`, and the first 1,000 of `last_error` and of `tags`.
* Instants are RFC 3339 in UTC with microseconds: `2026-11-24T14:01:58.120000Z`. Durations are seconds, sizes bytes.
* A command that can print several jobs prints an array, also for one job: `show ID --json` (`jq '.[0].state'`). `-o jsonl` prints
  one object a line. `events --json` prints an array; with `-f`, one object a line.
* An event always has `at`, `event`, `id`, `state`, `attempt`, `worker` and `exit_code`. It can have more members.
* A row has no `env`, `result`, `attempt_list` or `history`, because the index does not store them. The table below marks the
  members of rows. `show ID --json` has all members.
* Unknown members that the author added to a job are at the end of the detail.

## Members of a job
"""


def _kind(schema: dict[str, Any]) -> str:
    kinds = schema.get("type", "any JSON")
    kinds = kinds if isinstance(kinds, str) else " or ".join(kinds)
    return kinds.replace("string", "instant") if schema.get("format") == "date-time" else kinds


RESULTS = """\
## The result of an action

`cancel`, `retry`, `delete`, `purge`, `dlq retry` and `dlq delete` with `--json`, and `POST /api/v1/bulk`,
`POST /api/v1/jobs/{id}/…` and `DELETE /api/v1/jobs/{id}` give one object. It is the same for one job and for many:

| member | type | meaning |
|---|---|---|
| `action` | string | cancel, retry, delete, purge, hold, release or edit |
| `matched` | integer | number of jobs that were named or selected |
| `ids` | array | the jobs that were changed |
| `unchanged` | array | `id` and `state` of each job that was not changed |
| `failed` | array | `id` and a problem for each job that could not be changed |

Some actions have more members: `expiry_removed` (retry), `output_bytes` and `output_only` (purge), `left` and `selection` (bulk).

`enqueue --json` gives `action`, `ids`, `queued` (number of new jobs), `known` (number of existing jobs) and `refused` (an
array of problems), for one job and for many. For one job there is also `id`.
"""


def _job() -> Iterator[str]:
    api = json.loads(document())
    schemas = api["components"]["schemas"]
    yield "# A job in JSON"
    yield ""
    yield WRITTEN
    yield ""
    yield JOB
    yield "| member | type | in rows | meaning |"
    yield "|---|---|---|---|"
    for name, schema in schemas["Detail"]["properties"].items():
        kind = _kind(schema)
        meaning = schema.get("description", "") or ", ".join(schema.get("enum", ()))
        if name not in DETAIL:
            meaning += " (HTTP API only)"
        yield f"| `{name}` | {kind} | {'yes' if name in ROW else ''} | {_cell(meaning)} |"
    yield ""
    yield "A member of `attempt_list`:"
    yield ""
    yield "| member | type | meaning |"
    yield "|---|---|---|"
    for name, schema in schemas["Attempt"]["properties"].items():
        yield f"| `{name}` | {_kind(schema)} | {_cell(schema.get('description', ''))} |"
    yield ""
    yield "A member of `waits_for`:"
    yield ""
    yield "| member | type | meaning |"
    yield "|---|---|---|"
    for name, schema in schemas["Reason"]["properties"].items():
        meaning = schema.get("description", "") or ", ".join(schema.get("enum", ()))
        yield f"| `{name}` | {_kind(schema)} | {_cell(meaning)} |"
    yield ""
    yield "The entries of `history` are described in [FORMAT.md](../../queuectl/spool/FORMAT.md) § History."
    yield ""
    yield RESULTS
    yield ""


if __name__ == "__main__":
    for page, text in pages().items():
        (HERE / page).write_text(text, encoding="utf-8")
