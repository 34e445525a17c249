"""settings and units: the table, one value of each kind, and the object that holds them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from queuectl.config import settings as module
from queuectl.config.settings import (
    SETTINGS,
    Setting,
    Settings,
    find,
    parse_duration,
    parse_size,
    spell_duration,
    spell_size,
)
from queuectl.errors import InvalidData, NotFound
from queuectl.units import quote, spell_exact_size

untimed = example_settings(deadline=None)


def values_of(setting: Setting) -> st.SearchStrategy[object]:
    """Every value that a setting accepts, as far as it can be generated."""
    if setting.kind == "choice":
        return st.sampled_from(setting.choices)
    names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,8}", fullmatch=True)
    if setting.kind == "resources":
        return st.dictionaries(names, st.integers(0, 1_000_000), max_size=3)
    if setting.kind == "queues":
        limits = st.fixed_dictionaries(
            {},
            optional={"concurrency": st.integers(1, 100), "rate": st.sampled_from(["10/1m", "2/1s", "1/h"])}
            | {"on_dead": st.sampled_from(["true", 'echo "$X": #1'])},
        )
        return st.dictionaries(names, limits, max_size=3)
    if setting.kind == "command":
        return st.none() | st.sampled_from(["true", 'mail -s "it is $X: #1" me', "'a b' \\ {c: d}", "müll\nund mehr"])
    if setting.kind == "rate":
        return st.none() | st.sampled_from(["10/1m", "2/1s", "1/h"])
    if setting.kind == "schedules":
        return st.dictionaries(names, st.just({"every": "1m", "job": {"command": "true"}}) | st.none(), max_size=3)
    integers = st.integers(math.ceil(setting.low), int(setting.high))
    return {
        "integer": integers,
        "size_bytes": integers,
        "number": integers.filter(lambda n: n >= setting.low) | st.floats(setting.low, setting.high),
        "duration_s": integers.filter(lambda n: n >= setting.low) | st.floats(setting.low, setting.high),
        "integers": st.lists(integers, max_size=5).map(tuple),
        "optional_integer": st.none() | integers,
    }[setting.kind]


settings_and_values = st.sampled_from(SETTINGS).flatmap(lambda s: st.tuples(st.just(s), values_of(s)))


# --- durations and sizes


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("0", 0),
        ("0.5", 0.5),
        (".5", 0.5),
        ("90s", 90),
        ("10m", 600),
        ("2h30m", 9000),
        ("2H 30M", 9000),
        (" 3d ", 259200),
        ("3d 4h", 273600),
        ("1w", 604800),
        ("1.5h", 5400),
        ("1m 02s", 62),
        ("5min", 300),
        ("5 minutes", 300),
        ("1 week 2 days", 777600),
        ("1h30", 5400),
        ("2m30", 150),
        ("500ms", 0.5),
        ("1s 500ms", 1.5),
    ],
)
def test_a_duration_is_seconds_or_units_from_the_greatest_down(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "m",
        "ten",
        "10x",
        "30m2h",
        "1h1h",
        "-5",
        "-5m",
        "1..5",
        "1h90",
        "1h30.5",
        "5s30",
        "2 months",
        "5 minutes minutes",
        "minutes",
        "inf",
        "nan",
        "1e3",
        "1_0",
        "١",
        ".",
    ],
)
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match='seconds, or as "90s"'):
        parse_duration(text)


@pytest.mark.parametrize("text", ["1M", "1.5 M", "1d 1M", "1MS", "5Ms"])
def test_a_capital_m_may_be_a_month_and_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\(m is minutes; months are not supported: 30d\)$"):
        parse_duration(text)
    with pytest.raises(ValueError, match="months are not supported"):
        find("backoff_max").parse(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.31, "0.3s"),
        (2, "2s"),
        (4.06, "4.1s"),
        (9.96, "10s"),
        (42.4, "42s"),
        (59.6, "1m 00s"),
        (62, "1m 02s"),
        (3599.7, "1h 00m"),
        (7500, "2h 05m"),
        (273600, "3d 4h"),
        (-90, "-1m 30s"),
    ],
)
def test_a_duration_is_shown_in_at_most_two_units(seconds: float, text: str) -> None:
    assert spell_duration(seconds) == text


@untimed
@given(st.floats(0, 1e9))
def test_a_shown_duration_can_be_typed_in_again(seconds: float) -> None:
    shown = spell_duration(seconds)
    assert spell_duration(parse_duration(shown)) == shown


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("4096", 4096),
        ("512 B", 512),
        ("1k", 1024),
        ("10M", 10 << 20),
        ("10MB", 10 << 20),
        ("64MiB", 64 << 20),
        ("64 mib", 64 << 20),
        ("1GiB", 1 << 30),
        ("1.5 GB", 3 << 29),
        ("2T", 2 << 40),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_a_size_is_bytes_or_a_unit_of_1024(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "M", "ib", "5 ib", "10X", "1 2", "-1", "1e6", "0x10", "nan", "10MM"])
def test_what_is_no_size_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match='bytes, or as "64MiB"'):
        parse_size(text)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (1000, "1 KiB"),
        (1536, "1.5 KiB"),
        (222298112, "212 MiB"),
        (9 << 20, "9 MiB"),
        (1 << 50, "1024 TiB"),
    ],
)
def test_a_size_is_shown_in_units_of_1024(size_bytes: int, text: str) -> None:
    assert spell_size(size_bytes) == text


@untimed
@given(st.integers(0, 1 << 60))
def test_a_size_spelled_exactly_reads_back_exactly(size_bytes: int) -> None:
    assert parse_size(spell_exact_size(size_bytes)) == size_bytes


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("four", '"four"'),
        ("a\x1b[2J\udc80", '"a\\x1b[2J\\udc80"'),
        (True, "true"),
        (4, "4"),
        ("x" * 61, '"' + "x" * 59 + '…"'),
    ],
)
def test_a_value_in_a_message_cannot_write_to_the_terminal(value: object, shown: str) -> None:
    assert quote(value) == shown


# --- one setting


@untimed
@given(settings_and_values)
def test_what_spell_writes_parse_reads_back(pair: tuple[Setting, module.Value]) -> None:
    setting, value = pair
    assert setting.parse(setting.spell(value)) == value
    assert setting.check(value) == value


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.name)
def test_every_default_is_accepted_and_every_row_explains_itself(setting: Setting) -> None:
    assert setting.check(setting.default) == setting.default
    assert setting.help
    assert setting.expected()
    assert setting.variable == f"QUEUECTL_{setting.name.upper()}"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_retries_default", " 4 ", 4),
        ("max_retries_default", "+4", 4),
        ("max_retries_default", "010", 10),
        ("backoff_base", "1.5", 1.5),
        ("backoff_base", "2e1", 20),
        ("timeout", "2h30m", 9000),
        ("timeout", "0", 0),
        ("max_output", "10M", 10 << 20),
        ("durability", "relaxed", "relaxed"),
        ("permanent_exit_codes", "1,2", (1, 2)),
        ("permanent_exit_codes", "[ 1, 2 ]", (1, 2)),
        ("permanent_exit_codes", "[]", ()),
        ("permanent_exit_codes", "", ()),
        ("snooze_exit_code", "75", 75),
        ("snooze_exit_code", "none", None),
        ("snooze_exit_code", "NULL", None),
        ("snooze_exit_code", "", None),
    ],
)
def test_text_is_read_by_the_kind_of_the_setting(name: str, text: str, value: object) -> None:
    assert find(name).parse(text) == value


def test_numbers_keep_the_form_they_were_written_in() -> None:
    """`config get poll_interval` says 2.0, as it always did, and `timeout` 3600."""
    assert [find(n).spell(find(n).default) for n in ("poll_interval", "timeout", "backoff_base")] == [
        "2.0",
        "3600",
        "2",
    ]
    assert find("timeout").spell(find("timeout").parse("10m")) == "600"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("max_retries_default", "four", 'must be an integer from 0 to 1000, not "four"'),
        ("max_retries_default", "3.0", 'must be an integer from 0 to 1000, not "3.0"'),
        ("max_retries_default", "1_0", 'must be an integer from 0 to 1000, not "1_0"'),
        ("max_retries_default", "1001", 'must be an integer from 0 to 1000, not "1001"'),
        ("max_retries_default", "", "must be an integer from 0 to 1000, not nothing"),
        ("max_retries_default", "9" * 5000, "must be an integer from 0 to 1000, not"),
        ("backoff_base", "0", 'must be a number above 0, not "0"'),
        ("backoff_base", "nan", 'must be a number above 0, not "nan"'),
        ("backoff_base", "1e999", 'must be a number above 0, not "1e999"'),
        ("backoff_base", "true", 'must be a number above 0, not "true"'),
        ("backoff_jitter", "1.1", 'must be a number from 0 to 1, not "1.1"'),
        ("kill_after", "0", "must be a duration above 0, at most 10 years: seconds, or as"),
        ("timeout", "-1", "must be a duration from 0 to 10 years: seconds, or as"),
        ("timeout", "9999w", "must be a duration from 0 to 10 years: seconds, or as"),
        ("poll_interval", "0.01", "must be a duration from 0.05 to 3600: seconds, or as"),
        ("max_output", "0", "must be a size from 1 to 1024TiB: bytes, or as"),
        ("max_output", "lots", 'bytes, or as "64MiB", "1GiB", not "lots"'),
        ("durability", "some", 'must be "full" or "relaxed", not "some"'),
        ("permanent_exit_codes", "[0]", 'must be a list of integers from 1 to 255, not "[0]"'),
        ("permanent_exit_codes", "1,,2", "must be a list of integers from 1 to 255, not"),
        ("snooze_exit_code", "256", 'must be an integer from 1 to 255, or none, not "256"'),
    ],
)
def test_a_refusal_says_what_was_expected_and_what_was_found(name: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^must be ") as raised:
        find(name).parse(text)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("max_retries_default", True, "true"),
        ("max_retries_default", 3.0, "3.0"),
        ("max_retries_default", None, "nothing"),
        ("timeout", False, "false"),
        ("timeout", math.nan, "nan"),
        ("timeout", math.inf, "inf"),
        ("timeout", [1], "[1]"),
        ("max_output", 1.5, "1.5"),
        ("durability", 1, "1"),
        ("permanent_exit_codes", 5, "5"),
        ("permanent_exit_codes", [True], "[True]"),
        ("snooze_exit_code", {}, "{}"),
    ],
)
def test_a_typed_value_is_held_to_its_type_and_a_bool_is_no_number(name: str, value: object, found: str) -> None:
    with pytest.raises(ValueError, match=r"^must be ") as raised:
        find(name).check(value)
    assert str(raised.value).endswith(f", not {found}")


@pytest.mark.parametrize(
    "name", ["max_retries_default", "max-retries-default", "max_retries", "max-retries", "max-retries_default"]
)
def test_a_name_is_found_in_either_spelling_and_by_its_alias(name: str) -> None:
    assert find(name).name == "max_retries_default"


def test_an_unknown_name_is_refused_with_what_was_probably_meant() -> None:
    with pytest.raises(NotFound, match=r'^unknown setting "backof_base"; did you mean "backoff_base"\?$'):
        find("backof_base")
    with pytest.raises(NotFound, match=r'^unknown setting "zzz"$') as raised:
        find("zzz")
    assert raised.value.hint


# --- the values together


def test_settings_begin_as_the_defaults_and_have_an_attribute_a_setting() -> None:
    """The annotations, which mypy reads, and the table, which the program reads, name the same settings."""
    settings = Settings()
    assert set(Settings.__annotations__) - {"_origins"} == {s.name for s in SETTINGS}
    for setting in SETTINGS:
        assert getattr(settings, setting.name) == setting.default == settings.get(setting.name)
        assert settings.origin(setting.name) == "default"


def test_settings_cannot_be_changed_in_place() -> None:
    settings = Settings()
    with pytest.raises(AttributeError, match="immutable"):
        settings.timeout = 1
    with pytest.raises(AttributeError):
        settings.anything = 1


def test_replace_gives_a_changed_copy_that_knows_where_the_value_came_from() -> None:
    before = Settings(origins={"kill_after": "config.yaml:7"})
    after = before.replace("max-retries", "9").replace("timeout", 60, "flag --timeout")
    assert (before.max_retries_default, after.max_retries_default, after.timeout) == (3, 9, 60)
    assert after.origin("max_retries") == "flag"
    assert after.origin("timeout") == "flag --timeout"
    assert after.origin("kill_after") == "config.yaml:7"
    assert after.replace("timeout", 60, None).origin("timeout") == "default"


def test_replace_refuses_what_the_table_refuses() -> None:
    with pytest.raises(InvalidData, match=r'^timeout must be a duration .*, not "soon"$'):
        Settings().replace("timeout", "soon")
    with pytest.raises(NotFound):
        Settings().replace("timeouts", 1)


@untimed
@given(st.lists(settings_and_values, max_size=4))
def test_settings_survive_the_way_through_a_dictionary(pairs: list[tuple[Setting, object]]) -> None:
    settings = Settings.from_dict({setting.name: value for setting, value in pairs})
    again = Settings.from_dict(settings.as_dict())
    assert again == settings
    assert hash(again) == hash(settings)


def test_settings_are_equal_when_their_values_are_wherever_they_came_from() -> None:
    assert Settings() == Settings(origins={"timeout": "config.yaml:1"})
    assert Settings() != Settings({"timeout": 1})
    assert Settings() != object()
    assert repr(Settings({"timeout": 1})) == "Settings({'timeout': 1})"


def test_a_dictionary_is_checked_like_everything_else() -> None:
    with pytest.raises(NotFound):
        Settings.from_dict({"zzz": 1})
    with pytest.raises(InvalidData):
        Settings.from_dict({"timeout": True})
