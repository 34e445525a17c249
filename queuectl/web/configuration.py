"""configuration: settings: their values, where these come from, and changing them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from queuectl.config import config_file
from queuectl.config.settings import SETTINGS, Settings, find
from queuectl.errors import InvalidData
from queuectl.spool.layout import shorten
from queuectl.web.response import Answer, Problem, ok, without_home

if TYPE_CHECKING:
    from typing import Any

    from queuectl.web.app import Ask


def _plain(value: Any) -> Any:
    return [*value] if isinstance(value, tuple) else value


def show(ask: Ask) -> Answer:
    """Tell every setting."""
    settings, problem = _load(ask)
    rows = [
        {
            "name": setting.name,
            "value": _plain(settings.get(setting.name)),
            "origin": settings.origin(setting.name),
            "help": setting.help,
            "default": _plain(setting.default),
            "expected": setting.expected(),
            "unit": setting.unit,
            "choices": [*setting.choices],
            "spelled": setting.spell(settings.get(setting.name)),
        }
        for setting in SETTINGS
    ]
    return ok({"settings": rows, "problem": problem, "path": shorten(f"{ask.site.home}/{config_file.FILE}")})


def _load(ask: Ask) -> tuple[Settings, str | None]:
    try:
        return config_file.load(ask.site.home, os.environ), None
    except InvalidData as error:
        return Settings(), without_home(error, ask.site.home)


def by_name(ask: Ask) -> Answer:
    """Return the values by name."""
    return ok(_load(ask)[0].as_dict())


def change(ask: Ask) -> Answer:
    """Set a setting in config.yaml."""
    setting, value = find(ask.params["key"]), ask.body["value"]
    try:
        text = value if isinstance(value, str) else setting.spell(setting.check(value))
        made = config_file.set_value(ask.site.home, setting.name, text, os.environ)
    except ValueError as error:  # said of the value as it was given, not as config.yaml would spell it
        words = f"{setting.name} {error}"
        raise Problem(422, words, errors=[("/value", words, None)]) from None
    except InvalidData as error:
        words = without_home(error, ask.site.home)
        raise Problem(422, words, error.hint, errors=[("/value", words, error.hint)]) from None
    return _answer(ask, "set", setting.name, made)


def unset(ask: Ask) -> Answer:
    """Take a setting out of config.yaml."""
    name = find(ask.params["key"]).name
    return _answer(ask, "unset", name, config_file.unset_value(ask.site.home, name, os.environ))


def _answer(ask: Ask, action: str, name: str, made: tuple[Any, Any, str | None]) -> Answer:
    old, new, overridden_by = made
    ask.about["setting"] = name
    plain = {"old": _plain(old), "new": _plain(new)}
    return ok({"action": action, "name": name, **plain, "overridden_by": overridden_by})
