"""What a file in pending/ is: what is taken, what is left, and when it may start."""

from __future__ import annotations

import os
import stat

import pytest

from queuectl.clock import spell
from queuectl.job.job import PENDING, PROCESSING
from queuectl.spool.claim import Claim
from queuectl.spool.fs import Files
from queuectl.spool.intake import ClaimRefused
from tests.support.clock import NOON
from tests.support.spools import Home
from tests.unit.spool.conftest import both, claim, look

GRACE = 5.0  # drop_grace
IS_ROOT = os.geteuid() == 0


# --- what is taken


@pytest.mark.parametrize(
    "text",
    [
        '{"command":"true"}',
        '{"command":"true"}\n',
        '\n  {\n  "command": "true",\n  "tags": ["a"]\n}\n\n',
        '{"argv":["echo","\\u00e9"],"x":{"y":[1]}}',
        '{"command":"true","history":[]}',
        '{"command":"true","state":"pending","attempts":0,"created_at":"2026-11-24T14:01:58Z"}',
    ],
)
def test_a_job_in_any_spelling_is_taken(spool: Home, text: str) -> None:
    spool.drop("a.json", text)
    assert both(spool, "a") == ("job", "claimed")
    assert spool.job("a").attempts == 1


def test_a_file_is_claimed_at_once_however_young_it_is(spool: Home) -> None:
    """Half a file never parses, so a whole one has no need to wait."""
    spool.drop("a.json", '{"command":"true"}', still_s=0)
    assert both(spool, "a") == ("job", "claimed")


def test_looking_at_a_file_does_not_change_it(spool: Home) -> None:
    """Hole H23."""
    path = spool.drop("a.json", '{"command":"true"}')
    before = path.stat()
    opened: list[int] = []

    class Watching(Files):
        def open(self, path: str, flags: int) -> int:
            opened.append(flags & os.O_ACCMODE)
            return super().open(path, flags)

    spool.files = Watching()
    assert look(spool, "a.json")[0] == "job"
    after = path.stat()
    assert (after.st_mtime_ns, after.st_ctime_ns, after.st_ino) == (
        before.st_mtime_ns,
        before.st_ctime_ns,
        before.st_ino,
    )
    assert opened == [os.O_RDONLY]


@pytest.mark.parametrize("mode", [0o660, 0o620, 0o664, 0o400, 0o444])
def test_a_mode_that_is_too_wide_or_too_narrow_is_set_right(spool: Home, mode: int) -> None:
    path = spool.drop("a.json", '{"command":"true"}')
    path.chmod(mode)
    assert both(spool, "a") == ("job", "claimed")
    if mode & 0o020 or not IS_ROOT:
        assert stat.S_IMODE(spool.path(PROCESSING, "a").stat().st_mode) == 0o600


def test_a_mode_that_others_may_read_is_left_alone(spool: Home) -> None:
    spool.drop("a.json", '{"command":"true"}').chmod(0o644)
    assert both(spool, "a") == ("job", "claimed")


# --- what is none of our business


@pytest.mark.parametrize("name", [".a.json", "a.json.tmp", "a.json.part", "a.json~", "a.txt", "a", "a.json.swp"])
def test_a_file_being_written_under_another_name_is_ignored(spool: Home, name: str) -> None:
    path = spool.drop(name, "garbage")
    assert look(spool, name)[0] == "ignored"
    assert path.read_text() == "garbage"


def test_a_file_that_has_gone_is_gone(spool: Home) -> None:
    assert both(spool, "a") == ("gone", "gone")


# --- what is still being written


@pytest.mark.parametrize("text", ["", "{", '{"command":"tr', '{"command":"true"', "garbage", '{"command":"true"}x'])
def test_what_does_not_parse_is_left_alone_until_it_has_been_still(spool: Home, text: str) -> None:
    path = spool.drop("a.json", text, still_s=0)
    assert both(spool, "a") == ("being written", "being written")
    spool.clock.advance(GRACE - 0.5)
    answer = spool.examine("a.json")
    assert isinstance(answer, ClaimRefused)
    assert answer.again_s == pytest.approx(0.5)
    assert path.read_text() == text
    spool.clock.advance(0.5)
    assert look(spool, "a.json")[0] == "rejected"
    assert list(spool.rejected()) == ["a.json"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"command":"true","at":"23:00"}', 'line 1, column 19: unknown field "at"; did you mean "run_at"?'),
        ('{"command":"true","prio":3}', 'unknown field "prio"; did you mean "priority"?'),
        ('{"comand":"true"}', 'line 1, column 2: unknown field "comand"; did you mean "command"?'),
    ],
)
def test_a_dropped_job_that_would_run_otherwise_than_was_meant_is_rejected(spool: Home, text: str, reason: str) -> None:
    path = spool.drop("a.json", text, still_s=0)
    assert both(spool, "a") == ("being written", "being written")  # its author may still correct it
    spool.clock.advance(GRACE)
    assert look(spool, "a.json")[0] == "rejected"
    assert reason in spool.rejected()["a.json"]
    assert not path.exists()


@pytest.mark.parametrize(
    "text",
    [
        '{"command":"true","tag":"a","ID":"b"}',  # it runs as it was meant to
        '{"command":"true","pid":3,"ticket":"T-7"}',  # the author's own
        '{"command":"true","at":"23:00","history":[]}',  # enqueued by a version that only warned
    ],
)
def test_other_members_keep_no_job_from_running(spool: Home, text: str) -> None:
    spool.drop("a.json", text)
    assert both(spool, "a") == ("job", "claimed")


def test_every_change_begins_the_waiting_anew(spool: Home) -> None:
    path = spool.drop("a.json", '{"comm', still_s=0)
    assert look(spool, "a.json")[0] == "being written"
    for text in ('{"command', '{"command":"tr'):
        spool.clock.advance(GRACE - 1)
        spool.drop("a.json", text, still_s=0)
        assert look(spool, "a.json")[0] == "being written"
    spool.clock.advance(GRACE - 1)
    path.write_text('{"command":"true"}')
    assert both(spool, "a") == ("job", "claimed")


def test_a_file_from_the_future_is_watched_on_the_clock_that_does_not_jump(spool: Home) -> None:
    """The wall clock was set back, or the file was made elsewhere: its age would never come. Proves G15."""
    spool.drop("a.json", "garbage", still_s=-86400.0)
    assert look(spool, "a.json")[0] == "being written"
    spool.clock.advance(GRACE - 1)
    assert look(spool, "a.json")[0] == "being written"
    spool.clock.set_back(10**6)
    spool.clock.advance(1)
    assert look(spool, "a.json")[0] == "rejected"


def test_a_file_from_the_future_that_is_a_job_runs_at_once(spool: Home) -> None:
    spool.drop("a.json", '{"command":"true"}', still_s=-86400.0)
    assert both(spool, "a") == ("job", "claimed")


def test_as_long_as_somebody_has_it_open_for_writing_it_waits(spool: Home) -> None:
    """Hole H22."""
    path = spool.drop("a.json", '{"command":"true"}')
    with path.open("r+"):
        assert both(spool, "a") == ("job", "being written")
        assert path.read_text() == '{"command":"true"}'
    with path.open("r"):
        assert both(spool, "a") == ("job", "claimed")


def test_a_broken_file_that_somebody_has_open_is_not_rejected(spool: Home) -> None:
    path = spool.drop("a.json", '{"command":"tr')
    with path.open("r+") as writer:
        assert both(spool, "a") == ("being written", "being written")
        assert path.exists()
        writer.write('{"command":"true"}')
    assert both(spool, "a") == ("job", "claimed")


def test_a_file_that_changes_between_two_looks_is_not_claimed(spool: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its writer came back just when we had asked whether there was one."""
    path = spool.drop("a.json", '{"command":"true"}')

    def meanwhile(self: Files, name: str) -> bool:
        path.write_text('{"command":"true" }')
        return False

    monkeypatch.setattr(Files, "has_writer", meanwhile)
    assert claim(spool, "a")[0] == "being written"
    monkeypatch.undo()
    assert claim(spool, "a")[0] == "claimed"


def test_a_file_that_changes_while_it_is_judged_is_not_rejected(spool: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    path = spool.drop("a.json", '{"command":"tr')
    real = Files.read

    def meanwhile(self: Files, fd: int, limit: int) -> bytes:
        data = real(self, fd, limit)
        path.write_text('{"command":"true"}')
        return data

    monkeypatch.setattr(Files, "read", meanwhile)
    assert look(spool, "a.json")[0] == "being written"
    monkeypatch.undo()
    assert both(spool, "a") == ("job", "claimed")


def test_a_locked_file_is_tried_again_soon(spool: Home) -> None:
    """Hole H19."""
    job_id = spool.put("pending")
    with spool.take(job_id):
        reason, answer = claim(spool, job_id)
    assert isinstance(answer, ClaimRefused)
    assert (reason, answer.again_s) == ("busy", 0.02)


# --- when a job may start


def test_a_job_waits_for_its_time(spool: Home) -> None:
    job_id = spool.put("pending", run_at=spell(NOON + 90))
    reason, answer = claim(spool, job_id)
    assert isinstance(answer, ClaimRefused)
    assert (reason, answer.again_s) == ("early", 90.0)
    spool.clock.advance(90)
    assert claim(spool, job_id)[0] == "claimed"


def test_a_held_job_does_not_start(spool: Home) -> None:
    assert both(spool, spool.put("held")) == ("job", "held")


def test_a_job_that_has_expired_is_dead(spool: Home) -> None:
    job_id = spool.put("pending", expires_at=spell(NOON + 10))
    spool.clock.advance(11)
    assert claim(spool, job_id)[0] == "moved"
    job = spool.job(job_id)
    assert (job.state, job.dead_reason, job.attempts) == ("dead", "expired", 0)


def test_a_held_job_does_not_expire_before_it_is_released(spool: Home) -> None:
    job_id = spool.put("held", expires_at=spell(NOON + 10))
    spool.clock.advance(11)
    assert claim(spool, job_id)[0] == "held"


def test_a_retry_does_not_wait_for_a_clock_that_was_set_back(spool: Home) -> None:
    """Proves G15."""
    job_id = spool.put("failed")
    spool.clock.set_back(10 * 365 * 86400)
    assert claim(spool, job_id)[0] == "claimed"


@pytest.mark.parametrize(("state", "event"), [("completed", "completed"), ("dead", "died"), ("cancelled", "cancelled")])
def test_what_has_ended_never_runs_again_wherever_it_lies(spool: Home, state: str, event: str) -> None:
    """A revival that was cut off, or a file that somebody moved by hand. Proves G7. Hole H15."""
    job_id = spool.put(state)
    (directory,) = spool.where(job_id)
    os.rename(spool.path(directory, job_id), spool.path(PENDING, job_id))
    assert claim(spool, job_id)[0] == "moved"
    assert spool.where(job_id) == [directory]
    assert spool.events(job_id)[-1:] == [event]


def test_a_start_whose_move_was_lost_counts_as_an_interruption(spool: Home) -> None:
    """The power cut took back the move to processing/, but not the growth: a job that brings the machine down counts.

    Proves G5, G6.
    """
    job_id = spool.put("pending")
    spool.start(job_id).close()
    for number in (1, 2, 3):
        os.rename(spool.path(PROCESSING, job_id), spool.path(PENDING, job_id))
        reason, answer = claim(spool, job_id)
        if isinstance(answer, Claim):
            answer.close()
        assert reason == ("claimed" if number < 3 else "moved")
    assert spool.job(job_id).dead_reason == "interrupted"
    assert spool.events(job_id) == ["started", "interrupted"] * 2 + ["started", "died"]


def test_a_job_moved_back_by_hand_while_its_command_lives_does_not_start(spool: Home) -> None:
    """Proves G4."""
    job_id = spool.put("pending")
    spool.start(job_id).close()
    output = os.open(spool.layout.output_of(job_id, 1), os.O_CREAT | os.O_WRONLY)
    assert spool.files.try_lock(output)
    os.rename(spool.path(PROCESSING, job_id), spool.path(PENDING, job_id))
    assert claim(spool, job_id)[0] == "busy"
    os.close(output)
    assert claim(spool, job_id)[0] == "claimed"


def test_a_job_that_comes_after_itself_is_rejected_unless_its_name_becomes_another(spool: Home) -> None:
    """A nightly `backup.json` may come after the one before it."""
    spool.drop("alone.json", {"command": "true", "after": ["alone"]})
    assert spool.examine("alone.json").reason == "rejected"  # type: ignore[union-attr]
    assert '"after": job "alone" cannot come after itself' in spool.rejected()["alone.json"]
    spool.put("completed", id="nightly")
    spool.drop("nightly.json", {"command": "true", "after": ["nightly"]})
    answer = spool.claim("nightly", "worker-1")
    assert isinstance(answer, ClaimRefused)
    assert (answer.reason, spool.job(str(answer.job_id)).parents) == ("renamed", ["nightly"])
    spool.start(str(answer.job_id)).close()
