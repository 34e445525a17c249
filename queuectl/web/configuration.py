"""configuration: settings: their values, where these come from, and changing them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from queuectl.config import config_file
from queuectl.config.capacities import spell_member
from queuectl.config.settings import SETTINGS, Settings, find_member
from queuectl.errors import InvalidData
from queuectl.spool.layout import shorten
from queuectl.web.response import Problem, Response, ok, without_home

if TYPE_CHECKING:
    from typing import Any

    from queuectl.web.app import Request


def _plain(value: Any) -> Any:
    return [*value] if isinstance(value, tuple) else value


def show(request: Request) -> Response:
    """Tell every setting."""
    settings, problem = _load(request)
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
    return ok({"settings": rows, "problem": problem, "path": shorten(f"{request.app.home}/{config_file.FILE}")})


def _load(request: Request) -> tuple[Settings, str | None]:
    try:
        return config_file.load(request.app.home, os.environ), None
    except InvalidData as error:
        return Settings(), without_home(error, request.app.home)


def by_name(request: Request) -> Response:
    """Return the values by name."""
    return ok(_load(request)[0].as_dict())


def change(request: Request) -> Response:
    """Set a setting, or a member of one, in config.yaml."""
    (setting, path), value = find_member(request.params["key"]), request.body["value"]
    name = ".".join((setting.name, *path))
    try:
        text = value if isinstance(value, str) else spell_member(value) if path else setting.spell(setting.check(value))
        made = config_file.set_value(request.app.home, name, text, os.environ)
    except ValueError as error:  # said of the value as it was given, not as config.yaml would spell it
        words = f"{name} {error}"
        raise Problem(422, words, errors=[("/value", words, None)]) from None
    except InvalidData as error:
        words = without_home(error, request.app.home)
        raise Problem(422, words, error.hint, errors=[("/value", words, error.hint)]) from None
    return _response(request, "set", name, made)


def unset(request: Request) -> Response:
    """Take a setting, or a member of one, out of config.yaml."""
    setting, path = find_member(request.params["key"])
    name = ".".join((setting.name, *path))
    return _response(request, "unset", name, config_file.unset_value(request.app.home, name, os.environ))


def _response(request: Request, action: str, name: str, made: tuple[Any, Any, str | None]) -> Response:
    old, new, overridden_by = made
    request.log_fields["setting"] = name
    plain = {"old": _plain(old), "new": _plain(new)}
    return ok({"action": action, "name": name, **plain, "overridden_by": overridden_by})
