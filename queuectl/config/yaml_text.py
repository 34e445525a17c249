"""config_text: the text of config.yaml, read with line numbers and edited in place.

Owns:       YAML; nothing else in the project imports it, and nothing imports this module before it has to.
Guarantees: pure, text in and text out. An edit leaves every line alone that is not part of the setting;
            comment lines inside a list stay, only a comment beside a removed item goes with it.
            What an edit gives was parsed again and says what it should.
Fails with: InvalidData: the file, the line, what was expected and what was found.
"""

from __future__ import annotations

import json
import re

import yaml

from queuectl.config.capacities import EXPECTED, member, quoted, spell_member
from queuectl.config.settings import find
from queuectl.errors import InvalidData, NotFound, with_more
from queuectl.units import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from queuectl.config.settings import Setting, Value

    Found = dict[str, tuple[Value, int]]  # canonical name -> value, line

PLAIN = frozenset("0123456789/abcdefghijklmnopqrstuvwxyz")  # what a rate is made of
DEEPEST = 32  # levels of a value
ONE_A_LINE = 'each line is "name: value"'


def parse(text: str, place: str, wrong: list[InvalidData] | None = None) -> Found:
    """Read the settings of a config.yaml.

    Args:
        place: how messages name the file.
        wrong: gets the errors of settings, which are left out; without it, they are raised.
    Returns:
        By canonical name the value and the line it is set in, counted from 1.
    Raises:
        InvalidData: not YAML, not a mapping, an unknown or repeated name, a value that is not accepted. `more` are those of
            other settings.
    """
    found: Found = {}
    errors: list[InvalidData] = [] if wrong is None else wrong
    for entry in _entries(_compose(text, place), place, errors).values():
        try:
            found[entry.setting.name] = (_value(entry, place), entry.line)
        except InvalidData as error:
            errors.append(error)
    if errors and wrong is None:
        raise with_more(errors)
    return found


def edit(text: str, setting: Setting, spelled: str | None, place: str) -> str:
    """Set or (`spelled` is None) take out one setting, touching no other line.

    Raises:
        InvalidData: the text is broken already, or laid out so that it cannot be edited line by line.
    """
    wanted = {name: value for name, (value, _) in parse(text, place).items()}
    root = _compose(text, place)
    entry = _entries(root, place).get(setting.name)
    if entry is not None:
        new = _remove(text, entry) if spelled is None else _replace(text, entry, spelled)
        del wanted[setting.name]
    else:
        new = text if spelled is None else _append(text, root, f"{setting.name}: {spelled}")
    if spelled is not None:
        wanted[setting.name] = parse(f"{setting.name}: {spelled}", place)[setting.name][0]
    if _says(new, wanted, place):
        return new
    raise InvalidData(f"{place} is laid out so that {setting.name} cannot be changed in place", ONE_A_LINE)


def edit_member(text: str, setting: Setting, path: Sequence[str], value: dict[str, Any], place: str) -> str:
    """Set or take out one member of a setting that is a mapping, touching no other line where the layout allows it.

    Args:
        path: of the member: ("gpu",), ("encode", "rate").
        value: of the whole setting afterwards.

    Raises:
        InvalidData: as `edit`.
    """
    old = {name: each for name, (each, _) in parse(text, place).items()}
    if not value:
        return edit(text, setting, None, place)
    wanted = {**old, setting.name: value}
    if wanted == old:
        return text
    root = _compose(text, place)
    entry = _entries(root, place).get(setting.name)
    new = _with_new(text, root, setting, path, value) if entry is None else _with_member(text, entry, path, value)
    return new if _says(new, wanted, place) else edit(text, setting, setting.spell(value), place)


def _says(text: str, wanted: Mapping[str, Value], place: str) -> bool:
    """Tell whether a text has these settings, and no others."""
    try:
        return {name: value for name, (value, _) in parse(text, place).items()} == wanted
    except InvalidData:
        return False


def _with_new(text: str, root: yaml.Node | None, setting: Setting, path: Sequence[str], value: dict[str, Any]) -> str:
    indent = " " * (root.value[0][0].start_mark.column if isinstance(root, yaml.MappingNode) and root.value else 0)
    below = f"{_newline(text)}{indent}  "
    return _append(text, root, f"{setting.name}:{below}{_nested(path, 1, value, below)}")


def _with_member(text: str, entry: _Entry, path: Sequence[str], value: dict[str, Any]) -> str:
    chain = [entry]  # the entries on the way to the member, as far as they are there
    for name in path:
        node = chain[-1].value
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        found = next((pair for pair in pairs if pair[0].value == name), None)
        if found is None:
            break
        chain.append(_Entry(entry.setting, *found))
    depth = len(chain) - 1
    if member(value, path[: max(1, depth)]) is None:  # to be taken out, and what holds nothing else with it
        while depth > 1 and member(value, path[: depth - 1]) is None:
            depth -= 1
        holder = chain[depth - 1]
        return (
            _remove(text, chain[depth])
            if _is_block(holder.value)
            else _replace(text, holder, _flow(path, depth, value))
        )
    if depth == len(path):
        return _replace(text, chain[-1], _scalar(member(value, path)))
    holder = chain[-1]
    if not _is_block(holder.value) or not holder.value.value:
        return _replace(text, holder, _flow(path, depth + 1, value))
    at = _line_end(text, _end(text, holder.value))
    gap = "" if text[:at].endswith("\n") else _newline(text)
    indent = " " * holder.value.value[0][0].start_mark.column
    nested = _nested(path, depth + 1, value, f"{_newline(text)}{indent}")
    return f"{text[:at]}{gap}{indent}{nested}{_newline(text)}{text[at:]}"


def _nested(path: Sequence[str], depth: int, value: dict[str, Any], below: str) -> str:
    """Return "gpu: 2" or "encode: {concurrency: 2}": the member at path[:depth] as an entry; a schedule as lines.

    Args:
        below: the line feed and the indentation of the next entry.
    """
    found = member(value, path[:depth])
    if isinstance(found, dict) and "job" in found:
        lines = (f"{name}: {_simple(each)}" for name, each in found.items() if name != "job")
        fields = (f"  {name}: {_simple(each)}" for name, each in found["job"].items())
        return f"{below}  ".join((f"{path[depth - 1]}:", *lines, "job:", *fields))
    words = ", ".join(f"{name}: {_scalar(each)}" for name, each in found.items()) if isinstance(found, dict) else ""
    return f"{path[depth - 1]}: " + (f"{{{words}}}" if words else _scalar(found))


def _scalar(value: Any) -> str:
    """Write a member: a command in quotes, a number or a rate as it is."""
    return quoted(value) if isinstance(value, str) and not PLAIN.issuperset(value) else spell_member(value)


def _simple(value: object) -> str:
    """Return a value as JSON, which YAML reads as well; a word without quotes."""
    is_word = isinstance(value, str) and re.fullmatch(r"[A-Za-z][A-Za-z_/+-]*|[1-9][0-9]*[smhdw]", value)
    return str(value) if is_word and yaml.safe_load(str(value)) == value else json.dumps(value, ensure_ascii=False)


def _flow(path: Sequence[str], depth: int, value: dict[str, Any]) -> str:
    """Return what holds the member at path[:depth], on one line."""
    return spell_member(member(value, path[: depth - 1]))


class _Entry:
    """One "name: value" of the file."""

    __slots__ = ("key", "line", "setting", "value")

    def __init__(self, setting: Setting, key: yaml.Node, value: yaml.Node) -> None:
        self.setting = setting
        self.key = key
        self.value = value
        self.line: int = key.start_mark.line + 1


def _compose(text: str, place: str) -> yaml.Node | None:
    """Return the root node: a mapping, an empty scalar, or None for a file of comments."""
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark, problem = error.problem_mark or error.context_mark, error.problem or error.context
        raise _syntax_error(text, place, mark.index if mark else 0, problem or "unreadable") from None
    except yaml.reader.ReaderError as error:
        problem = f"character {quote(text[error.position])} is not allowed"
        raise _syntax_error(text, place, error.position, problem) from None
    except RecursionError:
        raise InvalidData(f"{place} is nested too deeply", ONE_A_LINE) from None
    empty = isinstance(root, yaml.ScalarNode) and root.value in ("", "null", "~")
    if root is not None and not empty and not isinstance(root, yaml.MappingNode):
        line = root.start_mark.line + 1
        raise InvalidData(f'{place}:{line}: must hold lines "name: value", not {_noun(root)}')
    return root


def _syntax_error(text: str, place: str, index: int, problem: str) -> InvalidData:
    index = min(index, len(text.rstrip()))  # what ends too early, ends in its last line, not in the one after it
    line, start = text.count("\n", 0, index) + 1, text.rfind("\n", 0, index) + 1
    source = text[start:].partition("\n")[0].rstrip()
    shown = "".join(c if c.isprintable() else " " for c in source[:200])
    column = index - start
    in_quotes = 'a cron expression is written in quotes: cron: "30 2 * * *"' if "cron:" in source else ONE_A_LINE
    excerpt = f"{shown}\n{' ' * column}^" if column <= len(shown) else None
    return InvalidData(f"{place}:{line}:{column + 1}: not valid YAML: {problem}", in_quotes, excerpt)


def _entries(root: yaml.Node | None, place: str, wrong: list[InvalidData] | None = None) -> dict[str, _Entry]:
    """Return the settings of a file that was parsed before, or add its errors to `wrong`."""
    entries: dict[str, _Entry] = {}
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        try:
            entry = _entry(key, value, entries, place)
        except InvalidData as error:
            if wrong is None:
                raise
            wrong.append(error)
        else:
            entries[entry.setting.name] = entry
    return entries


def _entry(key: yaml.Node, value: yaml.Node, before: Mapping[str, _Entry], place: str) -> _Entry:
    line = key.start_mark.line + 1
    if not isinstance(key, yaml.ScalarNode):
        raise InvalidData(f"{place}:{line}: a setting's name was expected, not {_noun(key)}")
    try:
        entry = _Entry(find(key.value), key, value)
    except NotFound as error:
        raise InvalidData(f"{place}:{line}: {error}", error.hint) from None
    name = entry.setting.name
    if name in before:
        raise InvalidData(f"{place}:{line}: {name} is set twice, first in line {before[name].line}")
    if value.start_mark.index < key.end_mark.index:  # the node that an alias names lies before it
        raise InvalidData(f"{place}:{line}: {name} is an alias (*name); write the value itself")
    return entry


def _value(entry: _Entry, place: str) -> Value:
    setting, node = entry.setting, entry.value
    try:
        if isinstance(node, yaml.ScalarNode):
            return setting.parse(node.value)
        if isinstance(node, yaml.MappingNode) and setting.kind in EXPECTED:
            return setting.check(_plain(node))
        items = node.value if isinstance(node, yaml.SequenceNode) and setting.kind == "integers" else [node]
        if all(isinstance(item, yaml.ScalarNode) for item in items):
            return setting.parse("[" + ", ".join(item.value for item in items) + "]")
        raise setting.refusal(_noun(node))
    except ValueError as error:
        raise InvalidData(f"{place}:{entry.line}: {setting.name} {error}") from None


def _plain(node: yaml.Node, depth: int = 0) -> object:
    """Return a node as JSON has it; repeated names are an error."""
    if depth > DEEPEST:
        raise ValueError("is nested too deeply")
    if isinstance(node, yaml.SequenceNode):
        return [_plain(each, depth + 1) for each in node.value]
    if not isinstance(node, yaml.MappingNode):
        value = yaml.safe_load(node.value) if isinstance(node, yaml.ScalarNode) and not node.style else node.value
        return value if value is None or isinstance(value, (str, int, float)) else node.value  # YAML has dates too
    made: dict[str, object] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ValueError(f"has {_noun(key)} as a name")
        if key.value in made:
            raise ValueError(f"has {quote(key.value)} twice")
        made[key.value] = _plain(value, depth + 1)
    return made


def line_of(text: str, path: Sequence[str]) -> int | None:
    """Return the line of what a path names, or of the last name on the way to it that is there; None without the first."""
    found: int | None = None
    node = _compose(text, "")
    for name in path:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        pair = next((pair for pair in pairs if pair[0].value == name), None)
        if pair is None:
            break
        found, node = pair[0].start_mark.line + 1, pair[1]
    return found


def _noun(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    return "a list" if isinstance(node, yaml.SequenceNode) else quote(node.value)


def _is_block(value: yaml.Node) -> bool:
    return isinstance(value, yaml.CollectionNode) and not value.flow_style


def _end(text: str, value: yaml.Node) -> int:
    """Return where a value really ends; the marks of block values reach over what follows them."""
    if _is_block(value) and value.value:
        last = value.value[-1]
        return _end(text, last[1] if isinstance(last, tuple) else last)
    return max(value.start_mark.index, len(text[: value.end_mark.index].rstrip()))


def _line_end(text: str, index: int) -> int:
    """Return the index just after the line that holds `index`."""
    return text.find("\n", index) + 1 or len(text)


def _comments(text: str, start: int, end: int) -> str:
    """Return the comment lines among the lines that begin in text[start:end]."""
    lines = text[start:end].splitlines(keepends=True)
    return "".join(line for line in lines[1:-1] if line.lstrip().startswith("#"))


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _remove(text: str, entry: _Entry) -> str:
    key = entry.key.start_mark.index
    start = max(text.rfind("\n", 0, key) + 1, text.startswith("\ufeff"))
    end = _end(text, entry.value)
    return text[:start] + _comments(text, key, end) + text[_line_end(text, end) :]


def _replace(text: str, entry: _Entry, spelled: str) -> str:
    after_colon = text.find(":", entry.key.end_mark.index) + 1
    start, end = entry.value.start_mark.index, _end(text, entry.value)
    if "\n" not in text[after_colon:end]:
        return text[:start] + (" " if start == after_colon else "") + spelled + text[end:]
    first_end, last_end = _line_end(text, after_colon), _line_end(text, end)
    beside_name = text[after_colon:first_end].rstrip() if start >= first_end else ""
    beside_end = "" if _is_block(entry.value) else text[end:last_end].rstrip()
    rest = _comments(text, after_colon, end) + text[last_end:]
    return f"{text[:after_colon]} {spelled}{beside_name}{beside_end}{_newline(text)}{rest}"


def _append(text: str, root: yaml.Node | None, line: str) -> str:
    """Add a line at the end of the mapping, which is before a document end marker."""
    newline, position, indent = _newline(text), len(text), ""
    if isinstance(root, yaml.MappingNode):
        position = root.end_mark.index
        indent = " " * (root.value[0][0].start_mark.column if root.value else 0)
    elif root is not None and not root.value:
        position = root.start_mark.index
    before = text[:position]
    gap = newline if before.strip("\ufeff") and not before.endswith("\n") else ""
    return f"{before}{gap}{indent}{line}{newline}{text[position:]}"
