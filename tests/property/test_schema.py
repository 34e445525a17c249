"""The JSON Schemas accept what the program accepts and refuse what it refuses.

What they cannot say is excused here, one function a schema, and told in their `$comment`.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from queuectl import json_schema
from queuectl.config import yaml_text
from queuectl.config.settings import SETTINGS, find
from queuectl.errors import InvalidData
from queuectl.job.checks import MOST_UNITS_OF_A_JOB
from queuectl.job.fields import FIELDS, validate
from queuectl.job.job_file import parse, render_new
from queuectl.units import parse_duration, parse_size
from tests.unit.job import test_fields

MANY = settings(max_examples=700, deadline=None)
JOB = jsonschema.Draft202012Validator(json_schema.job_schema())
CONFIG = jsonschema.Draft202012Validator(json_schema.config_schema())

BOUNDS = sorted(
    {int(bound) + step for s in SETTINGS for bound in (s.low, s.high) for step in (-1, 0, 1)} | {-1001, 1001}
)
NUMBERS = st.sampled_from(BOUNDS) | st.integers(-3, 300) | st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
NAMES = st.text("aZ0._-/=\n ", max_size=4) | st.sampled_from(["a" * 128, "a" * 129, "a" * 256, "a" * 257])
TIMES = st.from_regex(
    r"\A[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{0,7})?([Zz]|[+-][0-2][0-9]:[0-6][0-9])\n?\Z"
)
ODD_TIMES = st.sampled_from(["2026-W47-2T14:01:58Z", "2026-328T14:01:58Z", "20261124T140158Z", "2026-11-24T14:01:58"])
WORDS = st.from_regex(r"\A[0-9]{0,3}\.?[0-9]{0,2} ?[a-zA-Z]{0,3} ?([0-9]{1,2}[smhd])?\Z")
LISTS = st.lists(TEXT | NUMBERS, max_size=3)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    NUMBERS,
    TEXT,
    NAMES,
    TIMES,
    ODD_TIMES,
    LISTS,
    st.dictionaries(NAMES, TEXT | NUMBERS, max_size=2),
)

GOOD = test_fields.GOOD
BAD = {  # what JSON can say of it
    field: [value for value in values if json.loads(json.dumps(value)) == value]
    for field, values in test_fields.BAD.items()
}


def _agree(validator: jsonschema.Draft202012Validator, value: object, read: Callable[[], object]) -> None:
    try:
        read()
        ours = ""
    except InvalidData as error:
        ours = str(error)
    theirs = [error.message for error in validator.iter_errors(value)]
    event("refused" if ours else "accepted")
    assert bool(ours) == bool(theirs), (value, ours, theirs)


# --- jobs


@st.composite
def jobs(draw: st.DrawFn) -> dict[str, Any]:
    """Jobs that are right but for one or two members."""
    known = draw(st.lists(st.sampled_from(sorted(GOOD)), max_size=4))
    job = {"command": "true", **{field: draw(st.sampled_from(GOOD[field])) for field in known if field != "argv"}}
    for field in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=1)):
        job[field] = draw(VALUES | st.sampled_from([*GOOD.get(field, [None]), *BAD.get(field, [None])]))
    if draw(st.integers(0, 9)) == 0:
        del job["command"]
    return job


def _excused_of_a_job(job: dict[str, Any]) -> bool:
    """What the schema cannot say, in the order of its `$comment`."""
    if any(
        isinstance(job.get(field), float)
        for field in ("priority", "max_retries", "attempts", "weight", "nice", "memory")
    ):
        return True
    if _needs_too_many(job.get("needs")):
        return True
    times = [job[field] for field in ("run_at", "expires_at", "created_at", "updated_at") if field in job]
    return any(
        isinstance(text, str) and re.match(json_schema._instant("")["pattern"], text) and not _is_a_day(text)
        for text in times
    )


def _needs_too_many(value: object) -> bool:
    units = value.values() if isinstance(value, dict) else ()
    return sum(n for n in units if isinstance(n, int)) > MOST_UNITS_OF_A_JOB


def _is_a_day(text: str) -> bool:
    try:
        return 1 < datetime.date.fromisoformat(text[:10]).year < 9999
    except ValueError:
        return False


@MANY
@given(jobs())
def test_the_schema_of_jobs_and_the_program_agree(job: dict[str, Any]) -> None:
    assume(not _excused_of_a_job(job))
    _agree(JOB, job, lambda: validate(job))


@MANY
@given(jobs())
def test_a_file_of_such_a_job_is_read_as_the_schema_says(job: dict[str, Any]) -> None:
    """The bytes as well, history and all."""
    assume(not _excused_of_a_job(job))
    _agree(JOB, {**job, "history": []}, lambda: parse(render_new(job)))


@pytest.mark.parametrize("field", sorted({*GOOD, *BAD}))
def test_the_schema_of_each_field_takes_what_is_good_and_nothing_else(field: str) -> None:
    def errors(value: Any) -> list[Any]:
        others = {"batch": "b"} if field == "on_batch_done" else {}
        return [*JOB.iter_errors({"command": "true", **others, field: value} if field != "argv" else {"argv": value})]

    assert [value for value in GOOD.get(field, ()) if errors(value)] == []
    wrong = [value for value in BAD.get(field, ()) if not errors(value)]
    wrong = [value for value in wrong if field != "needs" or not _needs_too_many(value)]
    excused = [v for v in wrong if isinstance(v, float) or (isinstance(v, str) and not _is_a_day(v)) or "\0" in str(v)]
    assert wrong == excused


# --- configuration


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    """Settings with values that are often of their kind."""
    found: dict[str, Any] = {}
    for setting in draw(st.lists(st.sampled_from(SETTINGS), max_size=3)):
        own = st.sampled_from([setting.default, *setting.choices]).map(lambda v: [*v] if isinstance(v, tuple) else v)
        numbers = st.lists(st.integers(-1, 300), max_size=3)
        found[setting.name] = draw(own | NUMBERS | WORDS | numbers | st.none() | st.booleans())
    if draw(st.integers(0, 9)) == 0:
        found[draw(st.sampled_from(["max_retries", "colour", "Timeout"]))] = 5
    return found


def _excused_of_a_setting(name: str, value: object) -> bool:
    """What the schema cannot say, in the order of its `$comment`."""
    setting = find(name)
    if isinstance(value, float) and "integer" in setting.kind + {"size_bytes": "integer"}.get(setting.kind, ""):
        return True
    if not isinstance(value, str) or setting.kind == "choice":
        return False
    if not re.search("[a-zA-Z]", value) or re.fullmatch(r"[0-9.]*[eE][0-9]+", value.strip()):
        return True  # a number in quotes
    if setting.kind in ("integers", "optional_integer"):
        return value.strip().lower() in ("none", "null", "")
    try:
        amount = parse_size(value) if setting.kind == "size_bytes" else parse_duration(value)
    except ValueError:
        return False
    return (
        not setting.low <= amount <= setting.high
        or setting.kind not in ("size_bytes", "duration_s")
        or value != value.strip()
    )


@MANY
@given(configurations())
def test_the_schema_of_the_configuration_and_the_program_agree(found: dict[str, Any]) -> None:
    known = {setting.name for setting in SETTINGS}
    assume(not any(_excused_of_a_setting(name, value) for name, value in found.items() if name in known))
    assume(not {"max_retries", "max_retries_default"} <= {*found})
    _agree(CONFIG, found, lambda: yaml_text.parse(yaml.safe_dump(found), "config.yaml"))


def test_the_defaults_and_the_example_satisfy_the_schema() -> None:
    defaults = {s.name: [*s.default] if isinstance(s.default, tuple) else s.default for s in SETTINGS}
    CONFIG.validate(defaults)
    CONFIG.validate(None)  # a file of comments


# --- both


def test_the_schemas_are_schemas_that_can_be_printed() -> None:
    for made in (json_schema.job_schema(), json_schema.config_schema()):
        jsonschema.Draft202012Validator.check_schema(made)
        assert json.loads(json.dumps(made)) == made
    assert [*json_schema.job_schema()["properties"]] == [*FIELDS, "history"]
