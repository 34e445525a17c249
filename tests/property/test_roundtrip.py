"""Whatever an author writes is read back; whatever happens to a job, its file says so; nothing strange gets through."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from queuectl import clock
from queuectl.clock import instant_of, parse_instant, spell
from queuectl.errors import Conflict, InvalidData
from queuectl.job.fields import FIELDS
from queuectl.job.job import DEAD, DONE, OF_HISTORY, PENDING, PROCESSING, Job
from queuectl.job.job_file import MAX_ENTRY_BYTES, parse, parse_torn, render_entry, render_new
from queuectl.job.strict_json import read_object
from queuectl.spool.claim import Claim
from queuectl.spool.intake import ClaimRefused
from queuectl.spool.recovery import recover
from tests.support import audit
from tests.support.clock import NOON
from tests.support.spools import Home

MANY = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12
)
STRANGE = st.dictionaries(TEXT.filter(lambda key: key not in FIELDS and key != "history"), VALUES, max_size=4)
COMMANDS = TEXT.filter(str.strip)
INSTANTS = st.integers(0, 4 * 10**15).map(lambda micros: spell(micros / 1e6))  # later, floats lose microseconds


@MANY
@given(COMMANDS, STRANGE)
def test_what_an_author_says_is_read_back(command: str, strange: dict[str, Any]) -> None:
    fields = {"command": command, **strange}
    record = parse(render_new(fields))
    assert record.fields == fields
    assert list(record.fields) == list(fields)


@MANY
@given(COMMANDS, STRANGE, st.integers(0, 4), st.sampled_from(["\n", " ", "\t", "\r\n", ""]), st.booleans())
def test_a_file_in_any_spelling_grows_without_touching_the_authors_bytes(
    command: str, strange: dict[str, Any], indent: int, space: str, ascii: bool
) -> None:
    """Proves G10."""
    text = json.dumps({"command": command, **strange}, indent=indent or None, ensure_ascii=ascii)
    data = (space + text + space * 3).encode()
    record = parse(data)
    head = data[: data.rstrip().rindex(b"}")]
    for number in range(1, 4):
        growth = record.growth({"event": "started", "attempt": number, "at": "2026-11-24T14:01:58Z"})
        data = data[: record.grow_at] + growth
        record = parse(data)
        assert data.startswith(head)
        assert (record.fields, len(record.history)) == ({"command": command, **strange}, number)


@MANY
@given(st.text(max_size=3000), st.text(max_size=200))
def test_any_text_can_stand_in_an_entry(error: str, worker: str) -> None:
    """Also NUL and halves of surrogate pairs: commands print what they like."""
    record = parse(render_new({"command": "true"}))
    entry = {"event": "failed", "at": "2026-11-24T14:01:58Z", "error": error, "worker": worker}
    assert len(render_entry(dict(entry))) <= MAX_ENTRY_BYTES
    grown = record.grown(entry, record.growth(entry))
    assert parse(grown.body + grown.tail).history == [entry]


@MANY
@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_do_anything_but_read_or_refuse(data: bytes) -> None:
    for text in (data, b"{" + data, b'{"command":"true",' + data, b'{"command":"true","history":[' + data):
        message = ""
        try:
            parse(text)
        except InvalidData as error:
            message = str(error)
        assert "\n" not in message
        parse_torn(text, without_history=True)


@MANY
@given(VALUES | STRANGE)
def test_the_reader_accepts_of_json_what_is_not_explicitly_refused(value: Any) -> None:
    text = json.dumps(value)
    try:
        _, read = read_object(text.encode())
    except InvalidData:
        assert not isinstance(value, dict)
    else:
        assert json.loads(text) == read


@MANY
@given(st.floats(-62135596800, 253402300799))
def test_instants_are_spelled_and_read_back(at: float) -> None:
    text = spell(at)
    assert abs(parse_instant(text) - at) <= 1e-6 * max(1.0, abs(at) * 1e-9)
    assert spell(parse_instant(text)) == text
    assert instant_of(text) == parse_instant(text)
    another = f"{text[:20]}{999_999 - int(text[20:26]):06}Z"  # of the same second, which is remembered
    try:
        expected = clock._parse(another)
    except ValueError:  # the last microseconds of the year 9999 are rounded up
        with pytest.raises(ValueError, match="9999"):
            parse_instant(another)
    else:
        assert parse_instant(another) == expected


ENTRIES = st.one_of(
    st.builds(lambda w: {"event": "started", "worker": w}, TEXT),
    st.builds(
        lambda e, c, x, r: {"event": e, "exit_code": c, "error": x, "run_at": r},
        st.sampled_from(["failed", "snoozed", "completed", "died"]),
        st.integers(0, 255),
        TEXT,
        INSTANTS,
    ),
    st.builds(lambda e: {"event": e}, st.sampled_from(["held", "released", "revived", "interrupted", "expired"])),
    st.builds(lambda f: {"event": "edited", "set": f}, STRANGE),
    st.builds(lambda p: {"event": "edited", "set": {"priority": p}}, st.integers(-1000, 1000) | st.none()),
)


@MANY
@given(STRANGE, st.lists(ENTRIES, min_size=1, max_size=12), st.integers(0, 11))
def test_a_compaction_at_any_time_changes_nothing_but_the_history(
    strange: dict[str, Any], entries: list[dict[str, Any]], when: int
) -> None:
    plain = compact = parse(render_new({"command": "true", "created_at": spell(NOON), **strange}))
    for number, entry in enumerate(entries):
        entry = {"at": spell(NOON + number), **entry}
        plain = plain.grown(dict(entry), plain.growth(dict(entry)))
        compact = compact.grown(dict(entry), compact.growth(dict(entry)))
        if number == when:
            compact = compact.compacted(Job("a", compact, PENDING, NOON).compacted(NOON + number))
    one = Job("a", parse(plain.body + plain.tail), PENDING, NOON)
    other = Job("a", parse(compact.body + compact.tail), PENDING, NOON)
    kept = [name for name in (*Job.__slots__, "run_s") if name not in OF_HISTORY]
    assert [getattr(one, name) for name in kept] == [getattr(other, name) for name in kept]


# --- the verbs in any order


class SpoolMachine(RuleBasedStateMachine):
    """A few jobs, every verb in any order, crashes in between; a model says what each job has to be."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self.spool = Home(Path(self._directory.name) / "home")
        self.model: dict[str, str] = {}
        self.attempts: dict[str, int] = {}
        self.claims: dict[str, Claim] = {}

    def teardown(self) -> None:
        for claim in self.claims.values():
            claim.close()
        self._directory.cleanup()

    def some(self, data: st.DataObject, *states: str) -> str | None:
        fitting = sorted(job_id for job_id, state in self.model.items() if state in states)
        return data.draw(st.sampled_from(fitting)) if fitting else None

    @initialize()
    def begin(self) -> None:
        self.enqueue(None)

    @rule(job_id=st.none() | st.sampled_from(["a", "b", "c"]))
    def enqueue(self, job_id: str | None) -> None:
        fields = {"command": "true", **({"id": job_id} if job_id else {})}
        if job_id in self.model:
            try:
                self.spool.enqueue(fields)
            except Conflict:
                return
            raise AssertionError("an id was given twice")
        made = self.spool.enqueue(fields)
        self.model[made], self.attempts[made] = "pending", 0

    @rule(name=st.sampled_from(["a", "b", "x"]), promise=st.booleans())
    def drop(self, name: str, promise: bool) -> None:
        if self.spool.path(PENDING, name).exists():
            return
        text = {"command": "true", "id": name} if promise else {"command": "true"}
        self.spool.drop(f"{name}.json", text)
        answer = self.spool.examine(f"{name}.json")
        if name not in self.model:
            assert isinstance(answer, Job)
            self.model[name], self.attempts[name] = "pending", 0
        elif promise:
            assert isinstance(answer, ClaimRefused)
            assert answer.reason == "rejected"
        else:
            assert isinstance(answer, ClaimRefused)
            assert (answer.reason, answer.job_id is None) == ("renamed", False)
            self.model[str(answer.job_id)], self.attempts[str(answer.job_id)] = "pending", 0

    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        job_id = self.some(data, "pending", "failed", "held")
        if job_id is None:
            return
        self.spool.clock.advance(10)
        answer = self.spool.claim(job_id, "w")
        assert isinstance(answer, Claim) == (self.model[job_id] != "held")
        if isinstance(answer, Claim):
            self.claims[job_id] = answer
            self.model[job_id] = "processing"
            self.attempts[job_id] += 1

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), how=st.sampled_from(["finish", "fail", "bury", "cancel", "put back", "die"]))
    def settle(self, data: st.DataObject, how: str) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.claims)))
        claim = self.claims.pop(job_id)
        if how == "finish":
            claim.finish({"exit_code": 0})
        elif how == "fail":
            claim.reschedule("failed", self.spool.clock.now() + 5, {"exit_code": 1, "error": "x" * 1500})
        elif how == "bury":
            claim.move_to_dead("x", {})
        elif how == "cancel":
            claim.cancel()
        elif how == "put back":
            claim.reschedule("requeued", self.spool.clock.now(), {})
        claim.close()
        ends = {"finish": "completed", "fail": "failed", "bury": "dead", "cancel": "cancelled", "put back": "pending"}
        if how == "die":
            interruptions = self.spool.job(job_id).interruptions
            self.recover()
            ends["die"] = "dead" if interruptions + 1 >= 3 else "pending"
        self.model[job_id] = ends[how]

    @rule()
    def recover(self) -> None:
        for found in recover(self.spool, lambda job: False):
            assert found.result in ("owned", "interrupted", "moved")

    @rule(data=st.data(), verb=st.sampled_from(["hold", "release", "cancel", "revive", "run_now", "edit", "delete"]))
    def change(self, data: st.DataObject, verb: str) -> None:
        job_id = self.some(data, "pending", "failed", "held", "completed", "cancelled", "dead")
        if job_id is None:
            return
        state = self.model[job_id]
        waits = state in ("pending", "failed", "held")
        after = {
            "hold": "held" if waits else None,
            "release": "pending" if state == "held" else None,
            "cancel": "cancelled" if waits else state,
            "revive": None if waits else "pending",
            "run_now": "pending" if waits else None,
            "edit": state if waits else None,
            "delete": "gone",
        }[verb]
        with self.spool.take(job_id) as claim:
            try:
                claim.edit({"priority": 3}) if verb == "edit" else getattr(claim, verb)()
            except Conflict:
                assert after is None
                return
        assert after is not None
        if after == "gone":
            del self.model[job_id], self.attempts[job_id]
        else:
            self.model[job_id] = after

    @invariant()
    def every_job_is_what_the_model_says(self) -> None:
        assert {job_id: self.spool.read(job_id).state for job_id in self.model} == self.model
        assert {job_id: self.spool.read(job_id).attempts for job_id in self.model} == self.attempts
        found = audit.names(self.spool)
        assert {job_id: len(places) for job_id, places in found.items()} == dict.fromkeys(self.model, 1)
        where = {"processing": PROCESSING, "completed": DONE, "cancelled": DONE, "dead": DEAD}
        assert {i: next(iter(p)) for i, p in found.items()} == {
            i: where.get(state, PENDING) for i, state in self.model.items()
        }
        assert self.spool.litter() == []


SpoolMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
test_verbs_in_any_order = SpoolMachine.TestCase
