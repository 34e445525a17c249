"""config: settings: their values, where these come from, and changing them."""

from __future__ import annotations

import os

from queuectl.cli import lowered_limits
from queuectl.cli.home import home_that_exists
from queuectl.cli.options import command, option
from queuectl.cli.table import Column, emit
from queuectl.cli.terminal import shorten
from queuectl.client.queue import own_layout
from queuectl.client.schedules import invalid_schedules
from queuectl.config import config_file
from queuectl.config.capacities import member, spell_member
from queuectl.config.settings import SETTINGS, find, find_member
from queuectl.errors import InvalidData, with_more
from queuectl.spool.layout import Layout, default_home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen
    from queuectl.config.settings import Setting, Settings


def _home(args: Arguments) -> str:
    return own_layout(args.home).home


def _rows(settings: Settings) -> list[dict[str, Any]]:
    values = settings.as_dict()
    return [
        {"name": s.name, "value": values[s.name], "origin": settings.origin(s.name), "help": s.help} for s in SETTINGS
    ]


@command(
    "config list",
    examples=("queuectl config list", "queuectl config list --json"),
)
def run_list(args: Arguments, screen: Screen) -> int:
    """Show every setting."""
    columns = (
        Column("SETTING", lambda row: row["name"]),
        Column("VALUE", lambda row: find(row["name"]).spell(_value(row["value"]))),
        Column("ORIGIN", lambda row: row["origin"], colour=lambda row: "dim" if row["origin"] == "default" else None),
        Column("MEANING", lambda row: row["help"], leave_out=1),
    )
    rows = _rows(config_file.load(home_that_exists(args, screen).home, os.environ))
    emit(screen, rows, columns, ("name", "value", "origin"), name="name")
    return 0


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@command(
    "config get",
    option(
        "key",
        metavar="KEY",
        help="the setting's name; resources.NAME, queues.NAME.concurrency and queues.NAME.rate are members",
    ),
    examples=("queuectl config get max_retries_default", "queuectl config get queues.encode.rate"),
)
def run_get(args: Arguments, screen: Screen) -> int:
    """Print one value, as `config set` reads it."""
    setting, path = find_member(args.key)
    settings = config_file.load(home_that_exists(args, screen).home, os.environ)
    row = next(row for row in _rows(settings) if row["name"] == setting.name)
    if path:
        value = member(row["value"], path)
        origin = "default" if value is None else row["origin"]
        row = {**row, "name": ".".join((setting.name, *path)), "value": value, "origin": origin}
    if screen.format in ("json", "jsonl"):
        screen.json(row)
    else:
        screen.line(_spelled(setting, path, settings.get(setting.name) if not path else row["value"]))
    return 0


def _spelled(setting: Setting, path: tuple[str, ...], value: Any) -> str:
    return spell_member(value) if path else setting.spell(value)


@command(
    "config set",
    option(
        "key",
        metavar="KEY",
        help="the setting's name; resources.NAME, queues.NAME.concurrency and queues.NAME.rate are members",
    ),
    option("value", metavar="VALUE", help="its new value"),
    examples=(
        "queuectl config set max_retries_default 5",
        "queuectl config set timeout 2h30m",
        "queuectl config set resources.gpu 2",
    ),
)
def run_set(args: Arguments, screen: Screen) -> int:
    """Change one value in config.yaml."""
    home = _home(args)
    return _change(args, screen, "set", lambda: config_file.set_value(home, args.key, args.value, os.environ))


@command(
    "config unset",
    option(
        "key",
        metavar="KEY",
        help="the setting's name; resources.NAME, queues.NAME.concurrency and queues.NAME.rate are members",
    ),
    examples=("queuectl config unset timeout", "queuectl config unset max-retries"),
)
def run_unset(args: Arguments, screen: Screen) -> int:
    """Take one value out of config.yaml."""
    find_member(args.key)
    home = home_that_exists(args, screen).home
    return _change(args, screen, "unset", lambda: config_file.unset_value(home, args.key, os.environ))


def _change(args: Arguments, screen: Screen, action: str, change: Callable[[], tuple[Any, Any, str | None]]) -> int:
    setting, path = find_member(args.key)
    lanes = lowered_limits.startable_lanes(_home(args)) if setting.name in lowered_limits.LIMITS else {}
    old, new, overridden_by = change()
    name = ".".join((setting.name, *path))
    if screen.format in ("json", "jsonl"):
        plain = [[*value] if isinstance(value, tuple) else value for value in (old, new)]
        screen.json({"action": action, "name": name, "old": plain[0], "new": plain[1], "overridden_by": overridden_by})
    screen.message(
        f"{name}: {_spelled(setting, path, old)} → {_spelled(setting, path, new)}"
        + (" (the default)" if action == "unset" and not path else "")
    )
    if overridden_by:
        screen.warn(f"{overridden_by} overrides this; {name} stays {_spelled(setting, path, old)} where that is set")
    lowered_limits.warn(screen, _home(args), lanes, name)
    return 0


@command(
    "config path",
    examples=("queuectl config path", "$EDITOR $(queuectl config path)"),
)
def run_path(args: Arguments, screen: Screen) -> int:
    """Print where config.yaml is, or would be."""
    where = os.path.join(Layout(args.home or default_home()).home, config_file.FILE)
    screen.result({"path": where, "exists": os.path.exists(where)}, [where])
    return 0


@command(
    "config check",
    examples=("queuectl config check", "queuectl config check --json"),
)
def run_check(args: Arguments, screen: Screen) -> int:
    """Read the configuration; what is wrong with it is the error."""
    home = home_that_exists(args, screen).home
    wrong: list[InvalidData] = []
    settings = config_file.load(home, os.environ, wrong)
    where = os.path.join(home, config_file.FILE)
    wrong += invalid_schedules(home, settings)
    if wrong:
        raise with_more(wrong)
    changed = [s.name for s in SETTINGS if settings.origin(s.name) != "default"]
    screen.result({"valid": True, "path": where, "changed": changed})
    there = "is valid" if os.path.exists(where) else "does not exist; every setting has its default"
    screen.message(f"{shorten(where)} {there}")
    return 0
