"""How a job comes into the spool, and how it is found again."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from queuectl.errors import Busy, Conflict, InvalidData, NotFound
from queuectl.job.checks import LONGEST_ARGUMENT
from queuectl.job.fields import InvalidField
from queuectl.job.job import DEAD, DONE, PENDING, PROCESSING
from queuectl.job.job_file import MAX_BYTES, parse
from queuectl.spool.claim import Claim, SpoolFull
from queuectl.spool.context import BALLAST_BYTES
from queuectl.spool.enqueue import GROUP_JOBS
from queuectl.spool.fs import MANY_FILES, Files
from queuectl.spool.intake import ClaimRefused
from queuectl.spool.layout import Layout
from queuectl.spool.spool import Spool, check_id
from tests.support.clock import NOON
from tests.support.faulty_fs import Faulty, Named, make_old
from tests.support.spools import DIRECTORIES, Home

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BAD: list[tuple[dict[Any, Any], str]] = [
    ({}, "has either"),
    ({"command": ""}, '"command" must be'),
    ({"command": "true", "history": []}, 'no "history"'),
    ({"command": "true", "id": "../../etc"}, '"id" must be'),
    ({"command": "true", "id": 7}, '"id" must be'),
    ({"command": "a\0b"}, "NUL"),
    ({"command": "a\udcff"}, "surrogate"),
    ({"argv": ["a", "b\0"]}, "NUL"),
    ({"command": "true", "env": {"A": "\0"}}, "NUL"),
    ({"command": "true", "x": float("nan")}, "JSON"),
    ({"command": "true", "x": float("inf")}, "JSON"),
    ({"command": "true", "x": {1, 2}}, "JSON"),
    ({"command": "true", "x": {1: "a", "1": "b"}}, "twice"),
    ({"command": "true", "x": json.loads("[" * 40 + "]" * 40)}, "deep"),
    ({"command": "true", "x": 10**4400}, "JSON|at most"),
    ({"command": "true", "x": "x" * MAX_BYTES}, f"at most {MAX_BYTES}"),
    ({"command": "x" * (LONGEST_ARGUMENT + 1)}, f"at most {LONGEST_ARGUMENT} bytes long"),
    ({"command": "true", "after": ["a", "a"]}, "different job ids"),
]


def test_an_enqueued_job_waits_in_pending(spool: Home) -> None:
    job_id = spool.enqueue({"command": "echo hi", "priority": 5, "x-team": "a"})
    assert spool.where(job_id) == [PENDING]
    made = json.loads(spool.text(PENDING, job_id))
    assert list(made) == ["id", "command", "priority", "x-team", "created_at", "history"]
    assert made["history"] == []
    job = spool.job(job_id)
    assert (job.state, job.created_at, job.run_at, job.priority) == ("pending", NOON, NOON, 5)


def test_a_file_of_ours_is_one_private_line(spool: Home) -> None:
    path = spool.path(PENDING, spool.enqueue({"command": "echo\nhi"}))
    assert path.read_bytes().count(b"\n") == 1
    assert path.read_bytes().endswith(b'"history":[]}\n')
    assert (path.stat().st_mode & 0o777, path.stat().st_nlink) == (0o600, 1)


@pytest.mark.parametrize(("fields", "words"), BAD, ids=[words for _, words in BAD])
def test_what_a_claim_would_refuse_is_not_acknowledged(spool: Home, fields: dict[Any, Any], words: str) -> None:
    with pytest.raises(InvalidData, match=words):
        spool.enqueue(fields)
    assert os.listdir(spool.layout.directory(PENDING)) == []
    assert spool.litter() == []


def test_a_bad_field_is_named_without_a_place_in_a_text_nobody_wrote(spool: Home) -> None:
    with pytest.raises(InvalidField, match=r'^"priority" must be an integer'):
        spool.enqueue({"command": "true", "priority": "high"})


def test_the_largest_job_can_be_claimed_and_settled(spool: Home) -> None:
    """Its growth does not push it over the limit."""
    room = MAX_BYTES - len(spool.text(PENDING, spool.enqueue({"command": "x", "x": "", "id": "a" * 16})).encode())
    job_id = spool.enqueue({"command": "x", "x": "x" * room, "id": "b" * 16})
    with spool.start(job_id) as claim:
        claim.reschedule("failed", NOON, {"exit_code": 1, "error": "e" * 1500})
    spool.start(job_id).close()
    with pytest.raises(InvalidData):
        spool.enqueue({"command": "x", "x": "x" * (MAX_BYTES - 50)})


@pytest.mark.parametrize("state", ["pending", "held", "failed", "completed", "cancelled", "dead"])
def test_an_id_is_taken_as_long_as_its_job_exists(spool: Home, state: str) -> None:
    job_id = spool.put(state, id="nightly")
    before = spool.text(spool.where(job_id)[0], job_id)
    with pytest.raises(Conflict, match=f"exists already, in {spool.where(job_id)[0]}/"):
        spool.enqueue({"command": "false", "id": "nightly"})
    assert spool.text(spool.where(job_id)[0], job_id) == before
    assert spool.litter() == []
    with spool.take(job_id) as claim:
        claim.delete()
    assert spool.enqueue({"command": "false", "id": "nightly"}) == "nightly"


def test_an_id_is_taken_while_its_job_runs(spool: Home) -> None:
    with spool.start(spool.put("pending", id="a")), pytest.raises(Conflict, match="in processing/"):
        spool.enqueue({"command": "true", "id": "a"})


@pytest.mark.parametrize("directory", [PROCESSING, DONE, DEAD])
def test_a_job_that_appears_elsewhere_while_ours_is_published_wins(
    spool: Home, directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look before the link can miss it; the look after it cannot."""
    real = Files.publish

    def meanwhile(self: Files, fd: int, name: str | None, target: str) -> None:
        spool.path(directory, "a").write_text('{"command":"other"}')
        real(self, fd, name, target)

    monkeypatch.setattr(Files, "publish", meanwhile)
    with pytest.raises(Conflict, match=f"in {directory}/"):
        spool.enqueue({"command": "true", "id": "a"})
    assert spool.where("a") == [directory]
    assert spool.litter() == []


def test_withdrawing_does_not_take_away_what_took_the_name_meanwhile(
    spool: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that is revived just then makes ours step aside: the name in pending/ is his."""
    spool.put("dead", id="a")
    monkeypatch.setattr("queuectl.spool.enqueue.lies_in", lambda spool, job_id: None)
    real = Files.fstat

    def meanwhile(self: Files, fd: int) -> os.stat_result:
        status = real(self, fd)
        monkeypatch.undo()
        os.rename(spool.path(PENDING, "a"), spool.path(PENDING, "a-aside"))
        os.rename(spool.path(DEAD, "a"), spool.path(PENDING, "a"))
        return status

    monkeypatch.setattr(Files, "fstat", meanwhile)
    with pytest.raises(Conflict):
        spool.enqueue({"command": "false", "id": "a"})
    assert spool.where("a") == [PENDING]
    assert json.loads(spool.text(PENDING, "a"))["command"] == "true"
    assert spool.litter() == []


def test_a_promised_job_is_locked_until_nobody_else_can_have_its_id(
    spool: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[object] = []
    real = Files.publish

    def claim_at_once(self: Files, fd: int, name: str | None, target: str) -> None:
        real(self, fd, name, target)
        answers.append(spool.claim("a", "w"))

    monkeypatch.setattr(Files, "publish", claim_at_once)
    spool.enqueue({"command": "true", "id": "a"})
    assert repr(answers[0]).startswith("ClaimRefused('busy'")
    spool.start("a").close()


def test_a_generated_id_that_is_taken_is_drawn_again(spool: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["SAME", "SAME", "OTHER"])
    monkeypatch.setattr("queuectl.spool.enqueue.new_id", lambda now: next(drawn))
    assert [spool.enqueue({"command": "true"}) for _ in range(2)] == ["SAME", "OTHER"]


def test_ids_sort_by_creation(spool: Home) -> None:
    made = [spool.enqueue({"command": "true"}) for _ in range(100)]
    assert made == sorted(made)


def test_many_jobs_are_published_in_order_and_each_is_told_its_fate(spool: Home) -> None:
    jobs = [{"command": "true", "id": "a"}, {"command": ""}, {"command": "true", "id": "a"}, {"command": "true"}]
    first, second, third, fourth = spool.enqueue_many(jobs)
    assert first == "a"
    assert isinstance(second, InvalidData)
    assert isinstance(third, Conflict)
    assert spool.where(str(fourth)) == [PENDING]


def test_many_jobs_are_made_durable_by_one_sync_of_the_directory(tmp_path: Path) -> None:
    calls: list[str] = []

    class Counting(Files):
        def sync(self, fd: int) -> None:
            calls.append("file")

        def sync_directory(self, path: str) -> None:
            calls.append("directory")

    spool = Home(tmp_path / "home", files=Counting(), durability="full")
    assert len(list(spool.enqueue_many([{"command": "true"}] * 3))) == 3
    assert calls == ["file"] * 3 + ["directory"]
    calls.clear()
    jobs = spool.enqueue_many([{"command": "true"}, None, {"command": "true"}])
    next(jobs)
    jobs.close()  # type: ignore[attr-defined]
    assert calls == ["file", "directory"]  # None ended the group; the rest was never begun


def test_a_large_group_is_synced_with_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no id is told before that, nor a name given to bytes that are not on the disk."""
    monkeypatch.setattr("queuectl.spool.fs.MEMINFO", "/none")  # nobody else writes
    calls: list[str] = []

    class Counting(Files):
        def sync(self, fd: int) -> None:
            calls.append("file")

        def _sync_file_system(self, fd: int) -> bool:
            calls.append("all")
            assert os.listdir(home / "spool/pending") == []
            return super()._sync_file_system(fd)

        def sync_directory(self, path: str) -> None:
            calls.append("directory")

    home = tmp_path / "home"
    spool = Home(home, files=Counting(), durability="full")
    jobs = spool.enqueue_many([{"command": "true"}] * MANY_FILES)
    next(jobs)
    assert calls == ["all", "directory"]
    assert len(os.listdir(home / "spool/pending")) == MANY_FILES
    assert len(list(jobs)) == MANY_FILES - 1


@pytest.mark.parametrize(
    ("text", "synced"),
    [
        ("MemTotal: 9 kB\nDirty:  1048576 kB\nWriteback:  0 kB\nWritebackTmp:  1 kB\n", ["all"]),
        ("Dirty:  1048575 kB\nWriteback:  2 kB\n", ["file"] * MANY_FILES),
        ("Dirty: much\n", ["all"]),
        (None, ["all"]),
    ],
    ids=["little", "much", "strange", "unknown"],
)
def test_where_others_write_much_files_are_synced_one_by_one(
    tmp_path: Path, text: str | None, synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file system as a whole would be synced with all that is not ours."""
    calls: list[str] = []

    class Counting(Files):
        def sync(self, fd: int) -> None:
            calls.append("file")
            super().sync(fd)

        def _sync_file_system(self, fd: int) -> bool:
            calls.append("all")
            return True

    if text is not None:
        (tmp_path / "meminfo").write_text(text)
    monkeypatch.setattr("queuectl.spool.fs.MEMINFO", str(tmp_path / "meminfo"))
    spool = Home(tmp_path / "home", files=Counting(), durability="full")
    assert len(list(spool.enqueue_many([{"command": "true"}] * MANY_FILES))) == MANY_FILES
    assert calls == synced


def test_without_a_call_for_the_file_system_each_file_is_synced(tmp_path: Path) -> None:
    synced: list[int] = []

    class Elsewhere(Files):
        def sync(self, fd: int) -> None:
            synced.append(fd)

        def _sync_file_system(self, fd: int) -> bool:
            return False

    spool = Home(tmp_path / "home", files=Elsewhere(), durability="full")
    assert len(list(spool.enqueue_many([{"command": "true"}] * 100))) == 100
    assert len(synced) == 100


@pytest.mark.parametrize("durability", ["relaxed", "full"])
def test_a_group_is_bounded_and_leaves_no_descriptor(tmp_path: Path, durability: str) -> None:
    before = os.listdir("/dev/fd")
    most = 0

    def jobs() -> Iterator[dict[str, str]]:
        nonlocal most
        for number in range(3 * GROUP_JOBS + 1):
            most = max(most, len(os.listdir("/dev/fd")))
            yield {"command": f"echo {number}"}

    spool = Home(tmp_path / "home", durability=durability)
    assert len(set(map(str, spool.enqueue_many(jobs())))) == 3 * GROUP_JOBS + 1
    assert GROUP_JOBS // 2 < most <= GROUP_JOBS + len(before)
    assert os.listdir("/dev/fd") == before


@pytest.mark.parametrize("error", [OSError(errno.EIO, "no"), MemoryError("no")], ids=["EIO", "no memory"])
def test_a_group_whose_sync_fails_gets_no_names(tmp_path: Path, error: Exception) -> None:
    """Proves G1, G16."""

    class Failing(Files):
        def sync_all(self, fds: Sequence[int]) -> None:
            raise error

    before = os.listdir("/dev/fd")
    spool = Home(tmp_path / "home", files=Failing(), durability="full")
    with pytest.raises(type(error), match="no"):
        list(spool.enqueue_many([{"command": "true"}] * (2 * GROUP_JOBS + 1)))
    assert (os.listdir("/dev/fd"), spool.litter(), [*spool.ids(PENDING)]) == (before, [], [])


def test_an_error_in_the_middle_of_a_group_leaves_nothing_behind(tmp_path: Path) -> None:
    def jobs() -> Iterator[dict[str, str]]:
        yield {"command": "true"}
        raise KeyboardInterrupt

    before = os.listdir("/dev/fd")
    spool = Home(tmp_path / "home", durability="full")
    with pytest.raises(KeyboardInterrupt):
        list(spool.enqueue_many(jobs()))
    assert os.listdir("/dev/fd") == before
    assert spool.litter() == []
    assert [*spool.ids(PENDING)] == []


def test_a_job_is_durable_before_it_is_acknowledged(tmp_path: Path) -> None:
    calls: list[str] = []

    class Recording(Files):
        def sync(self, fd: int) -> None:
            calls.append("sync")

        def publish(self, fd: int, path: str | None, target: str) -> None:
            calls.append("publish")
            super().publish(fd, path, target)

        def sync_directory(self, path: str) -> None:
            calls.append(os.path.basename(path))

    Home(tmp_path / "home", files=Recording(), durability="full").enqueue({"command": "true"})
    assert calls == ["sync", "publish", "pending"]


@pytest.mark.parametrize("is_old", [False, True], ids=["new", "old"])
def test_at_any_moment_a_job_is_there_whole_or_not_at_all(tmp_path: Path, *, is_old: bool) -> None:
    """Whoever looks, or dies, between two operations of an enqueue has all of it or nothing. Proves G1, G3."""
    seen: list[int] = []

    class Looking(Faulty):
        def at(self, method: str, *args: Any) -> None:
            for path in Path(spool.layout.directory(PENDING)).iterdir():
                assert parse(path.read_bytes()).fields["note"] == "all of it", f"before {method}"
            seen.append(len(list(Path(spool.layout.directory(PENDING)).iterdir())))

    files = Looking()
    if is_old:
        make_old(files)
    spool = Home(tmp_path / "home", files=files, durability="full")
    spool.enqueue({"command": "true", "note": "all of it"})
    spool.enqueue({"command": "true", "note": "all of it", "id": "a"})
    assert seen == sorted(seen)
    assert set(seen) == {0, 1, 2}


def test_below_the_floor_nothing_is_enqueued(tmp_path: Path) -> None:
    """Proves G16."""

    class Nearly(Files):
        free = 10 << 20

        def free_bytes(self, path: str) -> tuple[int, int]:
            return self.free, 100 << 30

    spool = Home(tmp_path / "home", files=Nearly())
    with pytest.raises(Busy, match="has 10 MiB left; below 64 MiB nothing is enqueued"):
        spool.enqueue({"command": "true"})
    with pytest.raises(Busy):
        list(spool.enqueue_many([{"command": "true"}]))
    spool.settings = spool.settings.replace("min_free", 5 << 20)
    spool.enqueue({"command": "true"})


def test_a_refusal_on_a_full_disk_names_the_largest_outputs(tmp_path: Path) -> None:
    class Full(Files):
        def free_bytes(self, path: str) -> tuple[int, int]:
            return 0, 100 << 20

    spool = Home(tmp_path / "home")
    waiting, running = spool.put("failed", id="waits"), spool.put("pending", id="runs")
    claim = spool.start(running)
    for job_id, size in ((waiting, 3 << 20), (running, 2 << 20), ("gone", 4 << 20), ("small", 1000)):
        Path(spool.layout.output_of(job_id, 1)).write_bytes(b"x" * size)
    spool.files = Full()
    with pytest.raises(Busy) as refused:
        spool.enqueue({"command": "true"})
    output = spool.layout.output
    assert refused.value.hint == (
        f"the largest outputs: job gone, 4 MiB ({output}/gone.1.log), job waits, 3 MiB ({output}/waits.1.log),"
        f" job runs, 2 MiB ({output}/runs.1.log); to remove: queuectl cancel runs &&"
        f" queuectl purge --output-only waits runs && rm {output}/gone.1.log"
    )
    claim.close()


def test_a_small_disk_is_full_at_one_percent(tmp_path: Path) -> None:
    class Small(Files):
        def free_bytes(self, path: str) -> tuple[int, int]:
            return 2 << 20, 100 << 20

    Home(tmp_path / "home", files=Small()).enqueue({"command": "true"})


@pytest.mark.parametrize("method", ["create", "write", "publish"])
def test_a_disk_that_fills_up_meanwhile_says_so_and_keeps_nothing(
    spool: Home, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Files, method, refuse)
    with pytest.raises(SpoolFull):
        spool.enqueue({"command": "true"})
    monkeypatch.undo()
    assert list(spool.ids(PENDING)) == []
    assert spool.litter() == []


def test_a_file_system_without_unnamed_files_does_as_well(tmp_path: Path) -> None:
    spool = Home(tmp_path / "home", files=Named())
    job_id = spool.enqueue({"command": "true", "id": "a"})
    with pytest.raises(Conflict):
        spool.enqueue({"command": "true", "id": "a"})
    assert (spool.where(job_id), spool.litter()) == ([PENDING], [])
    with spool.start(job_id) as claim:
        claim.finish({})


def test_the_home_is_made_when_it_is_first_needed(tmp_path: Path) -> None:
    home = Home(tmp_path / "first")
    spool = Spool(Layout(str(tmp_path / "second")), home.settings)
    assert spool.find(spool.enqueue({"command": "true"})) == PENDING
    spool = Spool(Layout(str(tmp_path / "third")), home.settings)
    assert len(list(spool.enqueue_many([{"command": "true"}]))) == 1


# --- looking


@pytest.mark.parametrize("state", ["pending", "held", "failed", "completed", "cancelled", "dead"])
def test_a_job_is_found_and_read_wherever_it_lies(spool: Home, state: str) -> None:
    job_id = spool.put(state)
    assert spool.read(job_id).state == state
    assert [d for d in DIRECTORIES if job_id in spool.ids(d)] == [spool.find(job_id)]


def test_a_job_that_does_not_exist_is_not_found(spool: Home) -> None:
    for ask in (spool.read, spool.take):
        with pytest.raises(NotFound, match='no job "none"'):
            ask("none")
    assert spool.find("none") is None
    assert spool.read_in(DONE, "none") is None
    assert spool.take_in(DONE, "none") is None
    with pytest.raises(NotFound, match="not an id"):
        spool.read("../x")


def test_names_that_are_no_jobs_are_not_listed(spool: Home) -> None:
    for name in (".a.json", "a.tmp", "a b.json", "c.json"):
        spool.drop(name, "{}")
    assert list(spool.ids(PENDING)) == ["c"]


@pytest.mark.parametrize("directory", [PROCESSING, DONE, DEAD])
def test_garbage_is_told_from_a_job_wherever_it_lies(spool: Home, directory: str) -> None:
    spool.path(directory, "text").write_text("garbage")
    os.mkfifo(spool.path(directory, "fifo"))
    spool.path(directory, "directory").mkdir()
    spool.path(directory, "link").symlink_to("/etc/passwd")
    spool.path(directory, "open").write_text('{"command":"true"}')
    spool.path(directory, "open").chmod(0o606)
    for name, words in {
        "text": "expected an object",
        "fifo": "a FIFO",
        "directory": "a directory",
        "link": "a symbolic link",
        "open": "writable by all users",
    }.items():
        for ask in (spool.read_in, spool.take_in):
            with pytest.raises(InvalidData, match=words):
                ask(directory, name)
    assert sorted(os.listdir(spool.layout.directory(directory))) == sorted(
        f"{name}.json" for name in ("text", "fifo", "directory", "link", "open")
    )


def test_a_reader_in_the_middle_of_a_growth_reads_once_more(spool: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = spool.put("pending")
    spool.start(job_id).close()
    whole = spool.path(PROCESSING, job_id).read_bytes()
    reads = [whole[:-20], whole]
    monkeypatch.setattr(Files, "read", lambda self, fd, limit: reads.pop(0))
    assert spool.read(job_id).attempts == 1
    assert reads == []


def test_a_second_name_is_taken_away_before_anything_is_decided(spool: Home) -> None:
    job_id = spool.put("completed")
    os.link(spool.path(DONE, job_id), spool.path(PENDING, job_id))
    with spool.take(job_id) as claim:
        assert claim.directory == DONE
    assert spool.where(job_id) == [DONE]


def test_a_job_that_moved_on_before_its_lock_was_had_is_not_taken(
    spool: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inode that is locked is not the one that has the name now: neither the old job nor the new one is touched.

    Hole H10.
    """
    other, real = Home(tmp_path / "home"), Files.try_lock
    for number, ask in enumerate(
        (lambda job_id: spool.take_in(PENDING, job_id), lambda job_id: spool.claim(job_id, "w"))
    ):
        job_id = spool.put("pending", name=f"n{number}")

        def meanwhile(self: Files, fd: int, job_id: str = job_id) -> bool:
            monkeypatch.undo()
            with other.start(job_id) as running:
                running.finish({})
            spool.drop(f"{job_id}.json", '{"command":"other"}')
            return real(self, fd)

        monkeypatch.setattr(Files, "try_lock", meanwhile)
        answer = ask(job_id)
        assert not isinstance(answer, Claim)
        if isinstance(answer, ClaimRefused):
            assert answer.again_s is not None, "the job that took the name would not be looked at again"
        assert spool.where(job_id) == [PENDING, DONE]
        assert spool.text(PENDING, job_id) == '{"command":"other"}'
        assert spool.read_in(DONE, job_id).fields["name"] == f"n{number}"  # type: ignore[union-attr]


def test_what_a_job_said_before_it_was_locked_does_not_count(
    spool: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody held it while we waited for the lock: what decides is read after it. Hole H10."""
    other, real, job_id = Home(tmp_path / "home"), Files.try_lock, spool.put("pending")

    def meanwhile(self: Files, fd: int) -> bool:
        monkeypatch.undo()
        with other.take(job_id) as taken:
            taken.hold()
        return real(self, fd)

    monkeypatch.setattr(Files, "try_lock", meanwhile)
    answer = spool.claim(job_id, "w")
    assert getattr(answer, "reason", "claimed") == "held"
    assert spool.events(job_id) == ["held"]


def test_a_job_whose_revival_was_cut_off_is_where_it_was(spool: Home) -> None:
    """In pending/ with a terminal last event: nobody may hold, release or run it."""
    job_id = spool.put("dead")
    os.rename(spool.path(DEAD, job_id), spool.path(PENDING, job_id))
    with spool.take(job_id) as claim:
        assert claim.directory == DEAD
        claim.revive()
    assert spool.job(job_id).state == "pending"


def test_a_locked_job_is_waited_for_and_then_reported_busy(spool: Home) -> None:
    job_id = spool.put("pending")
    with spool.take(job_id), pytest.raises(Busy, match="locked by another process"):
        spool.take(job_id)
    spool.take(job_id).close()


def test_changes_in_place_are_noted_for_the_index(tmp_path: Path) -> None:
    """Hole H24."""
    spool = Home(tmp_path / "home", announce=True)
    a, b = spool.put("pending", id="a"), spool.put("pending", id="b")
    with spool.take(a) as claim:
        claim.hold()
        claim.release()
    with spool.take(b) as claim:
        claim.edit({"command": "x" * 3000})
        claim.run_now()
    assert (
        spool.files.take(spool.changes_path) == b"a\n" * 4 + b"b\n" * 3
    )  # before and after what leaves no other trace


def test_on_a_full_disk_the_directory_shows_the_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Home(tmp_path / "home", announce=True)
    pending = spool.layout.directory(PENDING)
    os.utime(pending, (1, 1))

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(Files, "append", refuse)
    spool.note_change("a")
    assert os.stat(pending).st_mtime > 1


def test_the_lock_of_a_run_is_seen_without_being_taken(spool: Home) -> None:
    assert not spool.run_is_locked("a", 1)
    path = spool.layout.output_of("a", 1)
    Path(path).touch()
    assert not spool.run_is_locked("a", 1)
    fd = os.open(path, os.O_WRONLY)
    assert spool.files.try_lock(fd)
    assert spool.run_is_locked("a", 1)
    os.close(fd)
    assert not spool.run_is_locked("a", 1)


def test_ballast_is_kept_once_and_freed_once(spool: Home) -> None:
    spool.keep_ballast()
    spool.keep_ballast()
    assert spool.free_ballast()
    assert not spool.free_ballast()


def test_ballast_that_cannot_be_reserved_is_reserved_when_it_can(spool: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Files, "reserve", full)
        spool.keep_ballast()
    assert not Path(spool.layout.ballast).exists()
    spool.keep_ballast()
    assert Path(spool.layout.ballast).stat().st_size == BALLAST_BYTES


def test_syncing_a_started_job_that_has_moved_on_is_nothing(spool: Home) -> None:
    spool.sync_started(spool.put("completed"))


def test_an_id_is_checked_in_words() -> None:
    assert check_id("a-1") == "a-1"
    with pytest.raises(InvalidData, match="is not an id: letters, digits"):
        check_id("a b")


def test_what_is_published_reads_as_it_was_meant(spool: Home) -> None:
    fields = {"argv": ["printf", "%s", "é\n\t\\\"'€😀"], "env": {"A": ""}, "x": [1, 2.5, None, True, {"y": "\x7f"}]}
    record = parse(spool.path(PENDING, spool.enqueue(fields)).read_bytes())
    assert {key: record.fields[key] for key in fields} == fields
