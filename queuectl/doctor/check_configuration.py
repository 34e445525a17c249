"""check_configuration: config.yaml and the environment, as they would be read now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.config import config_file
from queuectl.config.settings import ALIASES, SETTINGS
from queuectl.doctor.result import ERROR, WARN, Finding, quoted
from queuectl.errors import QueueError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.doctor.context import Context

LIKE = 0.85
OTHERS = ("QUEUECTL_HOME",)


def file(context: Context) -> Iterator[Finding]:
    """Whether config.yaml can be read and is valid."""
    try:
        config_file.load(context.layout.home, {})
    except QueueError as error:
        running = "; the supervisor goes on with the last good settings" if context.supervisor is not None else ""
        hint = f" ({error.hint})" if error.hint else ""
        cure = f"$EDITOR {quoted(f'{context.layout.home}/{config_file.FILE}')}; then: queuectl config check"
        yield Finding(ERROR, f"{error}{hint}{running}", cure)


def environment(context: Context) -> Iterator[Finding]:
    """Whether the variables that override it are valid, and are settings."""
    from difflib import get_close_matches

    known = {setting.variable: setting for setting in SETTINGS}
    known |= {f"QUEUECTL_{alias.upper()}": known[f"QUEUECTL_{name.upper()}"] for alias, name in ALIASES.items()}
    for name in sorted(context.environ):
        if not name.startswith("QUEUECTL_") or not context.environ[name]:
            continue
        if name in known:
            try:
                known[name].parse(context.environ[name])
            except ValueError as error:
                yield Finding(ERROR, f"{name} {error}", f"unset {name}, where it is set")
        elif (near := get_close_matches(name, [*known, *OTHERS], 1, LIKE)) and near[0] != name:
            yield Finding(WARN, f"{name} in the environment is no setting; was {near[0]} meant?", f"unset {name}")
