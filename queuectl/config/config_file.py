"""config: where settings come from (environment over config.yaml over defaults) and how the file is edited.

Owns:       config.yaml, and run/config.json, the parsed copy that spares most commands the YAML parser.
Guarantees: an edit is whole or not at all, at every instant. The copy is never trusted past a change of the file.
Fails with: InvalidData with file and line (user's data); NotAllowed, Busy and other errors of the
            operating system (environment); Busy when another edit holds the lock.
"""

from __future__ import annotations

import os

from queuectl.atomic_file import FILE_MODE, make_directory, make_parents, open_private
from queuectl.clock import Clock
from queuectl.config.capacities import member, with_member
from queuectl.config.settings import ALIASES, SETTINGS, Settings, find, find_member
from queuectl.errors import Busy, Conflict, InvalidData, NotFound, QueueError, did_you_mean, from_os_error, with_more
from queuectl.units import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from filelock import BaseFileLock

    from queuectl.config.settings import Setting, Value
    from queuectl.config.yaml_text import Found

    Change = Callable[[str, Value, str], str]  # text, value of the setting in it, what the file is called

FILE, COPY, LOCK = "config.yaml", "run/config.json", "run/config.lock"
LOCK_PATIENCE_S = 10
LONGEST_FILE_BYTES = 1 << 20
SETTLED_S = 1.0  # a file changed this recently may change again without its mtime showing it
HEADER = "# QueueCTL settings; `queuectl config list` shows all.\n"


def load(home: str, environ: Mapping[str, str], wrong: list[InvalidData] | None = None) -> Settings:
    """Return the settings in force: environment over config.yaml over defaults.

    Args:
        wrong: gets the errors of single settings, which have their defaults; without it, they are raised.

    Raises:
        InvalidData: a value, a name or the whole file is not acceptable; file and line are named. `more` are the others.
        QueueError: the file cannot be read.
    Cost: one stat without a config.yaml; one small JSON file when it has not changed; else the YAML parser.
    """
    errors: list[InvalidData] = [] if wrong is None else wrong
    found = _read(home, environ, errors)
    values = {name: value for name, (value, _) in found.items()}
    origins = {name: f"{FILE}:{line}" for name, (_, line) in found.items()}
    for setting in SETTINGS:
        variable = _variable(setting, environ)
        if variable is not None:
            try:
                values[setting.name] = _from_environment(setting, variable, environ)
            except InvalidData as error:
                errors.append(error)
            origins[setting.name] = f"environment {variable}"
    if errors and wrong is None:
        raise with_more(errors)
    return Settings(values, origins)


def set_value(home: str, name: str, text: str, environ: Mapping[str, str]) -> tuple[Value, Value, str | None]:
    """Set one setting, or with a dotted name a member of one, in config.yaml, keeping every other line and all comments.

    Returns:
        The value in force before, the value set, and what overrides it ("environment QUEUECTL_TIMEOUT") or None.
    Raises:
        NotFound: no such setting.
        InvalidData: the text is not acceptable, or the file is broken already; nothing was changed.
        Busy: another process is editing the file.
    Crash: the old file or the new one, whole; at worst a temporary file is left beside it.
    """
    setting, path = find_member(name)
    if path:
        return _edit_member(home, setting, path, text, environ)
    try:
        value = setting.parse(text)
    except ValueError as error:
        raise InvalidData(f"{setting.name} {error}") from None
    # Durations and sizes stay as their author wrote them: "2h30m" says more than 9000.
    spelled = " ".join(text.split()) if setting.unit else setting.in_yaml(value)
    return _edit(home, setting, environ, spelled, value)


def unset_value(home: str, name: str, environ: Mapping[str, str]) -> tuple[Value, Value, str | None]:
    """Take one setting out of config.yaml, so that its default holds again.

    Returns, Raises, Crash: as `set_value`; a setting that is not in the file is no error. Without a file no home is made.
    """
    setting, path = find_member(name)
    if path and os.path.lexists(os.path.join(home, FILE)):
        return _edit_member(home, setting, path, "none", environ)
    if not os.path.lexists(os.path.join(home, FILE)):
        variable = _variable(setting, environ)
        before = setting.default if variable is None else _from_environment(setting, variable, environ)
        before = member(before, path) if isinstance(before, dict) else before
        return before, None if path else setting.default, variable and f"environment {variable}"
    return _edit(home, setting, environ, None, setting.default)


def place_of(home: str, environ: Mapping[str, str], path: Sequence[str]) -> str | None:
    """Return "config.yaml:12", where a setting, or what is in it, is written; None when it does not come from the file."""
    from queuectl.config.yaml_text import line_of

    setting = find(path[0])
    if _variable(setting, environ) is not None:
        return None
    file = os.path.join(home, FILE)
    try:
        line = line_of(_read_text(file, _shown(file, environ))[0], path)
    except QueueError:
        return None
    return None if line is None else f"{_shown(file, environ)}:{line}"


def set_schedule(home: str, name: str, schedule: Mapping[str, Any] | None, environ: Mapping[str, str]) -> str | None:
    """Add a schedule to config.yaml, or (None) remove one; return what overrides the file, or None.

    Raises:
        Conflict: there is one of this name already. NotFound: there is none. InvalidData, Busy: as `set_value`.
    Crash: as `set_value`.
    """
    from queuectl.config.yaml_text import edit_member

    setting = find("schedules")

    def change(yaml: str, old: Value, shown: str) -> str:
        declared = old if isinstance(old, dict) else {}
        if schedule is None:
            if name not in declared:
                raise NotFound(f"no schedule {quote(name)} in {shown}{did_you_mean(name, declared)}")
            return edit_member(yaml, setting, (name,), {k: v for k, v in declared.items() if k != name}, shown)
        if name in declared:
            raise Conflict(f"there is a schedule {name} already", f"queuectl schedule remove {name}")
        return edit_member(yaml, setting, (name,), {**declared, name: dict(schedule)}, shown)

    _, overridden_by = _rewrite(home, setting, environ, change, makes_file=schedule is not None)
    return overridden_by


def render_example() -> str:
    """Return the text of config.example.yaml: every setting with its meaning, range and default."""
    lines = [
        "# Settings of QueueCTL. Copy the settings that you change to ~/.queuectl/config.yaml,",
        "# or type `queuectl config set NAME VALUE`. Each line shows the default. The",
        "# environment (QUEUECTL_ and the name in capitals) overrides this file. A command-line",
        '# option overrides both. Durations are seconds, or text such as "90s", "10m", "2h30m",',
        '# "3d". Sizes are bytes, or text such as "64MiB", "1GiB". Changes apply to running',
        "# workers at once, without a restart.",
    ]
    for setting in SETTINGS:
        unit = f" ({setting.unit})" if setting.unit else ""
        # the unit is named once, and the ways to write a duration or a size above
        expected = setting.expected().partition(f": {setting.unit}, or")[0]
        lines += ["", f"# {setting.help}", f"# {expected}{unit}"]
        lines += [f"# {setting.name}: {setting.spell(setting.default)}"]
    return "\n".join(lines) + "\n"


def _variable(setting: Setting, environ: Mapping[str, str]) -> str | None:
    """Return the environment variable that sets it; an empty one counts as not there."""
    aliases = [alias for alias, name in ALIASES.items() if name == setting.name]
    names = [setting.variable, *("QUEUECTL_" + alias.upper() for alias in aliases)]
    return next((name for name in names if environ.get(name)), None)


def _from_environment(setting: Setting, variable: str, environ: Mapping[str, str]) -> Value:
    try:
        return setting.parse(environ[variable])
    except ValueError as error:
        raise InvalidData(f"{variable} {error}") from None


# --- reading


def _read(home: str, environ: Mapping[str, str], wrong: list[InvalidData]) -> Found:
    """Return what config.yaml says, from the parsed copy while it still holds; the errors of settings go to `wrong`."""
    path = os.path.join(home, FILE)
    try:
        key = _key(os.stat(path))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise from_os_error(error, f"cannot read {_shown(path, environ)}") from error
    copy = os.path.join(home, COPY)
    found = _read_copy(copy, key)
    if found is None:
        from queuectl.config.yaml_text import parse

        text, key = _read_text(path, _shown(path, environ))
        found = parse(text, _shown(path, environ), wrong)
        if not wrong:
            _write_copy(copy, key, found)
    return found


def _key(stat: os.stat_result) -> list[int]:
    # ctime as well: a file put back with its old mtime (cp -p, rsync) is another file.
    return [stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino]


def _read_copy(copy: str, key: list[int]) -> Found | None:
    """Return the parsed copy if it was made from the file that `key` describes."""
    import json

    try:
        with open(copy, encoding="utf-8") as file:
            data = json.load(file)
        if data["key"] != key:
            return None
        found: Found = {}
        for name, (value, line) in data["found"].items():
            setting = find(name)
            # Checked again: another version may have written it, under other rules.
            found[setting.name] = (setting.check(value), int(line))
        return found
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, NotFound):
        return None


def _write_copy(copy: str, key: list[int], found: Found) -> None:
    """Keep the parsed file. Best effort: without the copy everything works, a little slower."""
    import json

    if Clock().now() - key[0] / 1e9 < SETTLED_S:
        return
    temporary = f"{copy}.{os.getpid()}.tmp"
    try:
        if os.stat(os.path.dirname(temporary)).st_uid != os.geteuid():  # root leaves nothing in the home of another
            return
        descriptor = open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump({"key": key, "found": found}, file)
        os.replace(temporary, copy)
    except OSError:
        _remove(temporary)


def _read_text(path: str, shown: str) -> tuple[str, list[int]]:
    """Return the text of config.yaml, line ends untouched, and what identifies that text."""
    from stat import S_ISREG

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not stop the program
        try:
            stat = os.fstat(descriptor)  # before reading: a later change then has another key
            if not S_ISREG(stat.st_mode):
                raise InvalidData(f"{shown} is not a regular file")
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(LONGEST_FILE_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise from_os_error(error, f"cannot read {shown}") from error
    if len(data) > LONGEST_FILE_BYTES:
        raise InvalidData(f"{shown} is longer than 1 MiB")
    try:
        return data.decode("utf-8"), _key(stat)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidData(f"{shown}:{line}: not UTF-8 (byte 0x{data[error.start]:02x})") from None


def _shown(path: str, environ: Mapping[str, str]) -> str:
    """Name a file as its owner would type it."""
    user = environ.get("HOME", "").rstrip("/")
    return "~" + path[len(user) :] if user and path.startswith(user + "/") else path


# --- editing


def _edit(
    home: str, setting: Setting, environ: Mapping[str, str], spelled: str | None, value: Value
) -> tuple[Value, Value, str | None]:
    from queuectl.config.yaml_text import edit

    def change(text: str, _old: Value, shown: str) -> str:
        return edit(text, setting, spelled, shown)

    before, overridden_by = _rewrite(home, setting, environ, change, makes_file=spelled is not None)
    return before, value, overridden_by


def _edit_member(
    home: str, setting: Setting, path: tuple[str, ...], text: str, environ: Mapping[str, str]
) -> tuple[Value, Value, str | None]:
    from queuectl.config.yaml_text import edit_member

    check_member(setting, {}, path, text)
    new: dict[str, Any] = {}

    def change(yaml: str, old: Value, shown: str) -> str:
        new.update(check_member(setting, old, path, text))
        return edit_member(yaml, setting, path, new, shown)

    before, overridden_by = _rewrite(home, setting, environ, change, makes_file=text.lower() != "none")
    return member(before, path) if isinstance(before, dict) else None, member(new, path), overridden_by


def check_member(setting: Setting, old: Value, path: tuple[str, ...], text: str) -> dict[str, Any]:
    """Return the value of a setting with one member changed.

    Raises:
        InvalidData.
    """
    try:
        return with_member(setting.name, old if isinstance(old, dict) else {}, path, text)
    except ValueError as error:
        raise InvalidData(f"{setting.name} {error}") from None


def _rewrite(
    home: str, setting: Setting, environ: Mapping[str, str], change: Change, *, makes_file: bool
) -> tuple[Value, str | None]:
    """Replace config.yaml by what `change` makes of it; return the value before, and what overrides the setting."""
    from queuectl.config.yaml_text import parse

    path = os.path.join(home, FILE)
    shown = _shown(path, environ)
    variable = _variable(setting, environ)
    lock = _lock(home, shown)
    try:
        exists = os.path.exists(path)
        text = _read_text(path, shown)[0] if exists else ""
        before = in_file = parse(text, shown).get(setting.name, (setting.default, 0))[0]
        if variable is not None:
            before = _from_environment(setting, variable, environ)
        new = change(text if exists or not makes_file else HEADER, in_file, shown)
        if new != text:
            _write(os.path.realpath(path), new, shown)  # the file itself, where config.yaml is a symbolic link
    finally:
        lock.release()
    return before, variable and f"environment {variable}"


def _lock(home: str, shown: str) -> BaseFileLock:
    """Take the lock that edits of config.yaml share, making home and run/ where they are missing."""
    import filelock

    lock = filelock.FileLock(os.path.join(home, LOCK), timeout=LOCK_PATIENCE_S, mode=0o600)
    try:
        make_parents(os.path.abspath(home))
        for folder in (home, os.path.join(home, os.path.dirname(LOCK))):
            if not os.path.isdir(folder):
                make_directory(folder)
        lock.acquire()
    except filelock.Timeout:
        raise Busy(f"cannot change {shown}: another process is changing it", "try again") from None
    except OSError as error:
        raise from_os_error(error, f"cannot change {shown}") from error
    return lock


def _write(path: str, text: str, shown: str) -> None:
    """Replace a file as a whole, durably.

    Crash: the old text or the new one; at worst a temporary file is left beside it, which the next edit does not mind.
    """
    temporary = f"{path}.{os.getpid()}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        try:
            with open(os.open(temporary, flags, FILE_MODE), "wb") as file:
                os.fchmod(file.fileno(), FILE_MODE)
                file.write(text.encode("utf-8"))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError:
            _remove(temporary)
            raise
        folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise from_os_error(error, f"cannot write {shown}") from error


def _remove(temporary: str) -> None:
    try:
        os.unlink(temporary)
    except OSError:
        pass  # another error is being reported; this one would hide it
