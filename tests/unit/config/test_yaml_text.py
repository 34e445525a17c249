"""config_text: what a config.yaml says, what is wrong with it, and edits that leave the rest alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from queuectl.config.capacities import with_member
from queuectl.config.settings import SETTINGS, Setting, Value, find, find_member
from queuectl.config.yaml_text import edit, edit_member, parse
from queuectl.errors import InvalidData

untimed = example_settings(deadline=None)
PLACE = "~/.queuectl/config.yaml"


def values(text: str) -> dict[str, Value]:
    return {name: value for name, (value, _) in parse(text, PLACE).items()}


# --- reading


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# nothing\n", "---\n", "---\n...\n", "null\n", "{}\n", "\ufeff", "\ufeff# x\n"]
)
def test_a_file_without_settings_is_fine(text: str) -> None:
    assert parse(text, PLACE) == {}


def test_settings_are_read_with_the_line_each_is_set_in() -> None:
    text = "# head\n\nmax-retries: 5  # why\ntimeout: 2h30m\n\npermanent_exit_codes:\n  - 1\n  - 2\n"
    assert parse(text, PLACE) == {
        "max_retries_default": (5, 3),
        "timeout": (9000, 4),
        "permanent_exit_codes": ((1, 2), 6),
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("max_retries_default: 010", 10),
        ('max_retries_default: "4"', 4),
        ("timeout: !!float 4", 4),
        ("{timeout: 4}", 4),
        ("\ufefftimeout: 4", 4),
        ("timeout: 1h\r\nkill_after: 3\r\n", 3600),
        ("timeout: |\n  10m\n", 600),
        ("timeout: 1h\n  30m", 5400),
        ("timeout: &x 4", 4),
        ("? timeout\n: 4", 4),
        ("permanent_exit_codes: 1, 2", (1, 2)),
        ("permanent_exit_codes: []", ()),
        ("permanent_exit_codes:", ()),
        ("permanent_exit_codes: [1, # one\n 2]", (1, 2)),
        ("snooze_exit_code:", None),
        ("snooze_exit_code: ~", None),
        ("snooze_exit_code: null", None),
    ],
)
def test_a_value_is_read_as_it_is_written_not_as_yaml_might_convert_it(text: str, value: object) -> None:
    """The same text means the same in the file, in the environment and on the command line: 010 is ten."""
    assert next(iter(values(text).values())) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n\nmax_retries_default: four", ':3: max_retries_default must be an integer from 0 to 1000, not "four"'),
        ("max_retries_default: true", ':1: max_retries_default must be an integer from 0 to 1000, not "true"'),
        ("max_retries_default:", ":1: max_retries_default must be an integer from 0 to 1000, not nothing"),
        ("timeout: [1]", ":1: timeout must be a duration from 0 to 10 years"),
        ("durability: {a: b}", ':1: durability must be "full" or "relaxed", not a mapping'),
        ("durability: [full]", ':1: durability must be "full" or "relaxed", not a list'),
        (
            "permanent_exit_codes: [[1]]",
            ":1: permanent_exit_codes must be a list of integers from 1 to 255, not a list",
        ),
        ("timeout: 1\n\nbackof_base: 3", ':3: unknown setting "backof_base"; did you mean "backoff_base"?'),
        ("schedules: []", ':1: schedules must be names with "cron"'),
        ("3: x", ':1: unknown setting "3"'),
        ("<<: {timeout: 3}", ':1: unknown setting "<<"'),
        ("? [a]\n: b", ":1: a setting's name was expected, not a list"),
        ("? {a: 1}\n: b", ":1: a setting's name was expected, not a mapping"),
        ("timeout: 1\n# again\ntimeout: 2", ":3: timeout is set twice, first in line 1"),
        ("max_retries_default: 1\nmax-retries: 2", ":2: max_retries_default is set twice, first in line 1"),
        ("timeout: &x 3\nkill_after: *x", ":2: kill_after is an alias (*name); write the value itself"),
        ("- timeout", ':1: must hold lines "name: value", not a list'),
        ("# x\ntimeout", ':2: must hold lines "name: value", not "timeout"'),
        ("timeout: 1\nkill_after: [", ":2:14: not valid YAML: "),
        ("timeout: 1\n  kill_after: 2", ":2:13: not valid YAML: mapping values are not allowed here"),
        ("timeout:\t3\n\tkill_after: 2", ":1:9: not valid YAML: "),
        ("timeout: 1\n---\ntimeout: 2", ":2:1: not valid YAML: "),
        ("timeout: *x", ":1:10: not valid YAML: "),
        ('timeout: "', ":1:11: not valid YAML: "),
        ('timeout: "3\n', ":1:12: not valid YAML: "),
        ("timeout: 1\nkill_after: [2,\n\n\n", ":2:16: not valid YAML: "),
        ("timeout: {\n", ":1:11: not valid YAML: "),
        ("timeout: 1\n# \x07", ':2:3: not valid YAML: character "\\x07" is not allowed'),
        ("timeout: \0", ':1:10: not valid YAML: character "\\x00" is not allowed'),
        ("a: " + "[" * 5000, " is nested too deeply"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, message: str) -> None:
    with pytest.raises(InvalidData) as raised:
        parse(text, PLACE)
    assert str(raised.value).startswith(PLACE + message)
    assert "\n" not in str(raised.value)


def test_a_syntax_error_shows_the_line_with_a_caret() -> None:
    with pytest.raises(InvalidData) as raised:
        parse("timeout: 1\n  kill_after: \x1f2", PLACE)
    assert raised.value.excerpt == "  kill_after:  2\n              ^"


@untimed
@given(st.text(max_size=80) | st.lists(st.sampled_from([*"\n :-[]{}#&*!|>'\"%@`,?1a", "timeout", ": "])).map("".join))
def test_any_text_either_parses_or_is_refused(text: str) -> None:
    try:
        parse(text, PLACE)
    except InvalidData:
        pass


# --- editing


@pytest.mark.parametrize(
    ("before", "name", "spelled", "after"),
    [
        ("# why\ntimeout: 1h   # long\n", "timeout", "2h", "# why\ntimeout: 2h   # long\n"),
        ("timeout: 1h", "timeout", "2h", "timeout: 2h"),
        ("timeout:   '1h' # x\n", "timeout", "2h", "timeout:   2h # x\n"),
        ("max-retries: 1\n", "max_retries_default", "2", "max-retries: 2\n"),
        ("'timeout' : 1\n", "timeout", "2", "'timeout' : 2\n"),
        ("timeout: 1\r\nkill_after: 2\r\n", "timeout", "3", "timeout: 3\r\nkill_after: 2\r\n"),
        ("snooze_exit_code:   # 75?\n", "snooze_exit_code", "75", "snooze_exit_code: 75   # 75?\n"),
        ("snooze_exit_code:", "snooze_exit_code", "75", "snooze_exit_code: 75"),
        ("{timeout: 1, kill_after: 2}\n", "timeout", "3", "{timeout: 3, kill_after: 2}\n"),
        ("? timeout\n: 1\n", "timeout", "3", "? timeout\n: 3\n"),
        ("timeout: &a !!int 1 # x\n", "timeout", "3", "timeout: 3 # x\n"),
        ("timeout: |\n  1h\n\n# x\nkill_after: 2\n", "timeout", "3", "timeout: 3\n\n# x\nkill_after: 2\n"),
        ("timeout: 1h\n  30m # x\nkill_after: 2\n", "timeout", "3", "timeout: 3 # x\nkill_after: 2\n"),
        (
            "permanent_exit_codes:  # bury\n  # first\n  - 1  # one\n\n  # second\n  - 2  # two\n\n# next\ntimeout: 1\n",
            "permanent_exit_codes",
            "[3]",
            "permanent_exit_codes: [3]  # bury\n  # first\n  # second\n\n# next\ntimeout: 1\n",
        ),
        ("permanent_exit_codes:\n- 1\n- 2", "permanent_exit_codes", "[3]", "permanent_exit_codes: [3]\n"),
        (
            "permanent_exit_codes: [\n  1, # one\n  # more\n  2,\n]  # end\ntimeout: 1\n",
            "permanent_exit_codes",
            "[3]",
            "permanent_exit_codes: [3]  # end\n  # more\ntimeout: 1\n",
        ),
        (
            "permanent_exit_codes:\r\n  - 1\r\ntimeout: 1\r\n",
            "permanent_exit_codes",
            "[]",
            "permanent_exit_codes: []\r\ntimeout: 1\r\n",
        ),
        ("", "timeout", "1", "timeout: 1\n"),
        ("# end", "timeout", "1", "# end\ntimeout: 1\n"),
        ("\ufeff", "timeout", "1", "\ufefftimeout: 1\n"),
        ("---\n", "timeout", "1", "---\ntimeout: 1\n"),
        ("---\n...\n", "timeout", "1", "---\ntimeout: 1\n...\n"),
        ("---\nkill_after: 2\n...\n", "timeout", "1", "---\nkill_after: 2\ntimeout: 1\n...\n"),
        ("  kill_after: 2\n# end\n", "timeout", "1", "  kill_after: 2\n# end\n  timeout: 1\n"),
        ("kill_after: 2\r\n", "timeout", "1", "kill_after: 2\r\ntimeout: 1\r\n"),
        ("kill_after: |\n  2\n", "timeout", "1", "kill_after: |\n  2\ntimeout: 1\n"),
    ],
)
def test_setting_changes_the_value_and_nothing_beside_it(before: str, name: str, spelled: str, after: str) -> None:
    assert edit(before, find(name), spelled, PLACE) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# why\ntimeout: 1h # long\nkill_after: 2\n", "# why\nkill_after: 2\n"),
        ("kill_after: 2\ntimeout: 1h", "kill_after: 2\n"),
        ("timeout: 1h", ""),
        ("\ufefftimeout: 1h\nkill_after: 2\n", "\ufeffkill_after: 2\n"),
        ("  timeout: 1h\n  kill_after: 2\n", "  kill_after: 2\n"),
        ("timeout: |\n  1h\n\n# x\n", "\n# x\n"),
        ("timeout:\n  # half\n\n  30m\nkill_after: 2\n", "  # half\nkill_after: 2\n"),
        ("{timeout: 1}\n", ""),
        ("{\n  timeout: 1,\n  kill_after: 2\n}\n", "{\n  kill_after: 2\n}\n"),
        ("kill_after: 2\n", "kill_after: 2\n"),
        ("", ""),
    ],
)
def test_unsetting_takes_out_the_lines_of_the_setting_and_no_other(before: str, after: str) -> None:
    assert edit(before, find("timeout"), None, PLACE) == after


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("{kill_after: 2}", "1"),
        ("{timeout: 1, kill_after: 2}", None),
        ("null\n", "1"),
        ("{}\n", "1"),
    ],
)
def test_a_layout_that_cannot_be_edited_by_the_line_is_refused(text: str, spelled: str | None) -> None:
    with pytest.raises(InvalidData, match="cannot be changed in place"):
        edit(text, find("timeout"), spelled, PLACE)


def test_a_name_without_a_colon_is_refused_not_guessed() -> None:
    with pytest.raises(InvalidData, match="cannot be changed in place"):
        edit("? snooze_exit_code\n", find("snooze_exit_code"), "75", PLACE)


def test_a_broken_file_is_not_edited() -> None:
    with pytest.raises(InvalidData, match=":1: kill_after must be"):
        edit("kill_after: never\n", find("timeout"), "1", PLACE)


# --- any commented file

comments = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")) | st.just(" "), max_size=12).map(
    lambda text: "# " + text
)
gaps = st.sampled_from([" ", "  ", "   "])


def lines_of(setting: Setting, text: str, note: str, shape: str) -> list[str]:
    """One way of writing a setting down; every returned line belongs to it."""
    beside = f"  {note}" if note else ""
    if setting.kind == "integers":
        items = setting.parse(text)
        assert isinstance(items, tuple)
        if shape == "block" and items:
            return [f"{setting.name}:{beside}", *(f"  - {item}  # {item}" for item in items)]
        if shape == "flow":
            return [f"{setting.name}: [", *(f"  {item}," for item in items), f"]{beside}"]
    if setting.kind in ("resources", "queues", "schedules"):
        return [f"{setting.name}: {text}{beside}"]
    if shape == "quoted":
        return [f'"{setting.name}": "{text}"{beside}']
    return [f"{setting.name.replace('_', '-')}: {text}{beside}"]


@st.composite
def value_texts(draw: st.DrawFn, setting: Setting) -> str:
    integer = draw(st.integers(max(1, int(setting.low)), max(1, min(200, int(setting.high)))))
    return draw(
        {
            "choice": st.sampled_from(setting.choices or ("",)),
            "resources": st.just(f'{{"gpu": {integer}}}'),
            "schedules": st.just(f'{{"a": {{"every": {integer}, "job": {{"argv": ["x"]}}}}}}'),
            "queues": st.just(f'{{"encode": {{"concurrency": {integer}, "rate": "{integer}/1m"}}}}'),
            "command": st.sampled_from(["true", "none"]),
            "rate": st.sampled_from([f"{integer}/1m", "none"]),
            "integers": st.lists(st.integers(1, 255), max_size=4).map(str),
            "optional_integer": st.sampled_from(["none", str(integer)]),
            "duration_s": st.sampled_from([str(integer), f"{integer}s", f"0.{integer}"]),
            "size_bytes": st.sampled_from([str(integer), f"{integer}MiB", f"{integer} KB"]),
        }.get(setting.kind, st.just(str(integer)))
    )


@st.composite
def files(draw: st.DrawFn) -> list[tuple[str | None, list[str]]]:
    """A random config.yaml in blocks: the setting's name (None: blank lines, comments) and its lines."""
    blocks: list[tuple[str | None, list[str]]] = []
    filler = st.lists(comments | st.just("") | comments.map("    {}".format), max_size=3)
    for setting in draw(st.lists(st.sampled_from(SETTINGS), unique=True, max_size=6)):
        blocks.append((None, draw(filler)))
        text, note = draw(value_texts(setting)), draw(st.just("") | comments)
        blocks.append(
            (setting.name, lines_of(setting, text, note, draw(st.sampled_from(["plain", "block", "flow", "quoted"]))))
        )
    blocks.append((None, draw(filler)))
    return blocks


@untimed
@given(files(), st.sampled_from(SETTINGS), st.data(), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_set_and_unset_leave_every_other_line_of_any_file_as_it_was(
    blocks: list[tuple[str | None, list[str]]], setting: Setting, data: st.DataObject, newline: str, ended: bool
) -> None:
    """What is before and after the setting stays byte for byte, and what was written reads back."""
    texts = [(name, "".join(line + newline for line in lines)) for name, lines in blocks]
    place = next((i for i, (name, _) in enumerate(texts) if name == setting.name), None)
    before = "".join(text for _, text in texts[:place])
    own = texts[place][1] if place is not None else ""
    after = "".join(text for _, text in texts[place + 1 :]) if place is not None else ""
    if not ended and after:
        after = after.removesuffix(newline)
    elif not ended and own:
        own = own.removesuffix(newline)
    text = before + own + after
    old = values(text)
    spelled = setting.spell(setting.parse(data.draw(value_texts(setting))))

    changed = edit(text, setting, spelled, PLACE)
    assert values(changed) == {**old, setting.name: setting.parse(spelled)}
    assert changed.startswith(before)
    assert changed.endswith(after)
    line = changed[len(before) : len(changed) - len(after)]
    assert line.rstrip("\r\n").count("\n") == 0
    assert line.startswith((setting.name, setting.name.replace("_", "-"), f'"{setting.name}"'))
    comment = own.splitlines()[0].partition("#")[1:] if own and setting.kind != "integers" else ("", "")
    assert "".join(comment) in line

    removed = edit(changed, setting, None, PLACE)
    assert removed == before + after
    assert values(removed) == {name: value for name, value in old.items() if name != setting.name}


@untimed
@given(files(), st.sampled_from(SETTINGS), st.data())
def test_setting_what_is_missing_appends_one_line_even_without_a_final_newline(
    blocks: list[tuple[str | None, list[str]]], setting: Setting, data: st.DataObject
) -> None:
    text = "\n".join(line for name, lines in blocks if name != setting.name for line in lines)
    spelled = setting.spell(setting.parse(data.draw(value_texts(setting))))
    gap = "\n" if text and not text.endswith("\n") else ""
    assert edit(text, setting, spelled, PLACE) == f"{text}{gap}{setting.name}: {spelled}\n"


FILE = """\
timeout: 10m  # ten
# the cards
resources:
  gpu: 2  # two
queues:
  encode:      # slow
    concurrency: 2  # two cores
    # not too fast
    rate: 10/1m
  mail: {concurrency: 1}
max_running: 4
"""


@pytest.mark.parametrize(
    ("name", "value", "old", "new"),
    [
        ("resources.gpu", "3", "gpu: 2  # two", "gpu: 3  # two"),
        ("resources.gpu", "none", "resources:\n  gpu: 2  # two\n", ""),
        ("resources.license", "5", "  gpu: 2  # two\n", "  gpu: 2  # two\n  license: 5\n"),
        ("queues.encode.concurrency", "1", "concurrency: 2  #", "concurrency: 1  #"),
        ("queues.encode.rate", "2/1s", "10/1m", "2/1s"),
        ("queues.encode.rate", "none", "    rate: 10/1m\n", ""),
        ("queues.encode", "none", "  encode:      # slow\n    concurrency: 2  # two cores\n    # not too fast\n    rate: 10/1m\n", "    # not too fast\n"),
        ("queues.mail.rate", "1/1h", "{concurrency: 1}", '{"concurrency": 1, "rate": "1/1h"}'),
        ("queues.mail.concurrency", "none", "  mail: {concurrency: 1}\n", ""),
        ("queues.a.b.concurrency", "7", "  mail: {concurrency: 1}\n", "  mail: {concurrency: 1}\n  a.b: {concurrency: 7}\n"),
    ],
)  # fmt: skip
def test_a_member_is_changed_in_its_place(name: str, value: str, old: str, new: str) -> None:
    assert changed(FILE, name, value) == FILE.replace(old, new)


@pytest.mark.parametrize(
    ("text", "name", "value", "new"),
    [
        ("", "resources.gpu", "2", "resources:\n  gpu: 2\n"),
        ("timeout: 5", "queues.encode.rate", "1/1m", "timeout: 5\nqueues:\n  encode: {rate: 1/1m}\n"),
        ("resources: {gpu: 2} # x\n", "resources.tape", "1", 'resources: {"gpu": 2, "tape": 1} # x\n'),
        ("resources: {gpu: 2, tape: 1}\n", "resources.tape", "none", 'resources: {"gpu": 2}\n'),
        ("resources: gpu=2,tape=1\n", "resources.tape", "3", 'resources: {"gpu": 2, "tape": 3}\n'),
        ("resources:\n", "resources.tape", "3", 'resources: {"tape": 3}\n'),
        ("queues:\n  a:\n", "queues.a.concurrency", "3", 'queues:\n  a: {"concurrency": 3}\n'),
        ("resources:\n  gpu: 2", "resources.tape", "3", "resources:\n  gpu: 2\n  tape: 3\n"),
        ("resources:\n  gpu: 2\n", "resources.tape", "none", "resources:\n  gpu: 2\n"),
    ],
)
def test_other_layouts_of_a_member(text: str, name: str, value: str, new: str) -> None:
    assert changed(text, name, value) == new


def changed(text: str, name: str, value: str) -> str:
    setting, path = find_member(name)
    old = parse(text, "f").get(setting.name, ({}, 0))[0]
    assert isinstance(old, dict)
    wanted = with_member(setting.name, old, path, value)
    new = edit_member(text, setting, path, wanted, "f")
    assert parse(new, "f").get(setting.name, ({}, 0))[0] == wanted
    return new
