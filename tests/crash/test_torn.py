"""A growth that a crash tore, as a file in a directory: whoever comes next reads it, mends it, and the job goes on.

tests/unit/job/test_torn_file.py tries every tear on the bytes alone. Here each lies in the spool, in every directory, and what
counts is what becomes of the job.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from queuectl.clock import spell
from queuectl.job.history import LEADS_TO
from queuectl.job.job import DEAD, DIRECTORIES, DONE, PENDING, PROCESSING
from queuectl.job.job_file import OPEN_HISTORY, SECTOR_BYTES, Record, parse, render_new
from queuectl.spool.claim import Claim
from queuectl.spool.fs import Files
from tests.support import audit, scenarios
from tests.support.clock import NOON
from tests.support.scenarios import of_size
from tests.support.spools import Home

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.job.history import Entry

EVERY = of_size(15, 1)  # of the tears of one growth every so-manieth is tried
AT = spell(NOON - 1000)
STARTED: Entry = {"event": "started", "attempt": 1, "at": AT, "worker": "worker-1"}
FAILED: Entry = {"event": "failed", "at": AT, "run_at": AT, "exit_code": 1, "error": 'größer "]}" \\'}
GROWTHS: dict[str, Entry] = {
    "started": STARTED,
    "failed": FAILED,
    "failed with many words": {**FAILED, "error": "wörter " * 180},
    "completed": {"event": "completed", "at": AT, "exit_code": 0, "cpu_s": 1.5},
    "died": {"event": "died", "at": AT, "reason": "retries_exhausted", "exit_code": 1},
    "cancelled": {"event": "cancelled", "at": AT},
    "held": {"event": "held", "at": AT},
    "edited": {"event": "edited", "at": AT, "set": {"queue": "mail", "env": {"A": "]}"}}},
    "revived": {"event": "revived", "at": AT},
}
# What the file said before, as (members besides the note, events; None: a stranger's file without a history).
SHAPES: dict[str, tuple[dict[str, Any], list[Entry] | None]] = {
    "without a history": ({"command": "true"}, None),
    "without a history, in two sectors": ({"command": "true", "pad": "x" * 600}, None),
    "new": ({"command": "true"}, []),
    "started": ({"command": "true"}, [STARTED]),
    "failed before": ({"command": "true", "pad": "x" * 700}, [STARTED, FAILED, {**STARTED, "attempt": 2}]),
}


@pytest.fixture
def spool() -> Iterator[Home]:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as path:
        yield Home(Path(path, "home"))


def tears(old: bytes, at: int, growth: bytes) -> Iterator[bytes]:
    """Yield what may be there: every prefix, with and without NULs behind it, every mix of sectors, and the old length."""
    new = old[:at] + growth
    joint = at + (len(OPEN_HISTORY) if growth.startswith(OPEN_HISTORY) else 0)
    for cut in (at, *range(joint + 1, len(new))):
        if len(old) <= cut or cut > joint:
            yield new[:cut] if cut > at else old
            yield new[:cut].ljust(len(new), b"\0") if cut > joint else old.ljust(len(new), b"\0")
    first, last = at // SECTOR_BYTES, (len(new) - 1) // SECTOR_BYTES
    versions = (old.ljust(len(new), b"\0"), new)
    for mix in range(1 << min(6, last - first + 1)):
        parts = [versions[mix >> min(5, sector - first) & 1] for sector in range(first, last + 1)]
        bounds = [(number * SECTOR_BYTES, (number + 1) * SECTOR_BYTES) for number in range(first, last + 1)]
        mixed = b"".join(part[start:end] for part, (start, end) in zip(parts, bounds, strict=True))
        yield (old[: first * SECTOR_BYTES] + mixed)[: len(new)]
    if not growth.startswith(OPEN_HISTORY):
        yield new[: len(old)]


def before(shape: str, note: str) -> bytes:
    members, history = SHAPES[shape]
    data = render_new({**members, "note": note})
    if history is None:
        return data.replace(b',"history":[]', b"")
    record = parse(data)
    for entry in history:
        record = record.grown(entry, record.growth(dict(entry)))
    return record.body + record.tail


def lay(spool: Home, directory: str, shape: str, entry: Entry) -> dict[str, Record]:
    """Put one job a tear into a directory; return what each file said before."""
    made: dict[str, Record] = {}
    probe = parse(before(shape, "t0000"))
    count = len(set(tears(probe.body + probe.tail, probe.grow_at, probe.growth(dict(entry)))))
    for number in range(0, count, EVERY):
        note = f"t{number:04}"
        old = before(shape, note)
        record = parse(old)
        torn = list(dict.fromkeys(tears(old, record.grow_at, record.growth(dict(entry)))))[number]
        path = spool.path(directory, note)
        path.write_bytes(torn)
        path.chmod(0o600)
        spool.age(path, 3600)
        made[note] = record
    return made


def is_running(shape: str) -> bool:
    """Tell whether an attempt is open, which alone can come to an end."""
    history = SHAPES[shape][1]
    return history is not None and history[-1:] != [] and history[-1]["event"] == "started"


CASES = [
    (directory, shape, growth)
    for directory in DIRECTORIES
    for shape in SHAPES
    for growth in GROWTHS
    if not (directory == PENDING and "without" in shape)
    and (is_running(shape) or growth.split()[0] not in ("failed", "completed", "died"))
]


@pytest.mark.parametrize(("directory", "shape", "growth"), CASES)
def test_a_torn_job_is_mended_and_goes_on(spool: Home, directory: str, shape: str, growth: str) -> None:
    """It is the job before the growth or after it, with all that its author said; and its file can grow again."""
    entry = GROWTHS[growth]
    made = lay(spool, directory, shape, entry)
    for note in made:
        assert spool.read(note).fields["note"] == note
    audit.mend(spool)
    assert not spool.rejected()
    jobs = scenarios.by_note(spool)
    assert set(jobs) == set(made)
    for note, record in made.items():
        job = jobs[note]
        known = len(record.history)
        assert {**job.fields, "queue": "", "env": {}} == {**record.fields, "queue": "", "env": {}}
        assert job.history[:known] == record.history
        new = [each["event"] for each in job.history[known:]]
        assert new[: new.count(entry["event"])] in ([], [entry["event"]])
        assert set(new) <= {entry["event"], "interrupted"}
        expected = {directory} if directory in (DONE, DEAD) else where(record.history) | where([*record.history, entry])
        assert job.directory in expected, f"{note} is in {job.directory}, after {new}"
    revive_all(spool)
    scenarios.run_on(spool)
    assert {job.state for job in scenarios.by_note(spool).values()} == {"completed"}
    assert all(parse(spool.path(DONE, note).read_bytes()) for note in made)
    print(f"{len(made)} tears")
    assert made


def where(history: list[Entry]) -> set[str]:
    """Return where a job ends up that lies in pending/ or processing/."""
    last = history[-1]["event"] if history else ""
    return {LEADS_TO.get(last, PENDING)}


def revive_all(spool: Home) -> None:
    for directory in (DONE, DEAD):
        for job_id in list(spool.ids(directory)):
            with spool.take(job_id) as claim:
                claim.revive()


@pytest.mark.parametrize("end", ["", "\n", " \r\n\n"])
@pytest.mark.parametrize("inside", [0, 1, 2, 3, 13, 60, 200])
@pytest.mark.parametrize("directory", [PENDING, PROCESSING])
def test_whatever_is_left_of_a_first_growth_is_the_job_before_or_after_it(
    spool: Home, directory: str, inside: int, end: str
) -> None:
    """Before the comma, of which the sync comes first: every mixture of sectors, and every length, with the mark that the
    new length brings with it; and after it, when only the comma and the mark may be missing.

    Proves G3. Hole H5.
    """
    text = f'{{"command":"true","note":"NNNNN","pad":""}}{end}'
    pad = "x" * (SECTOR_BYTES - inside - len(text))  # so much of the growth lies in the first sector
    left = []
    old = text.replace('""', f'"{pad}"').encode()
    record = parse(old)
    growth = record.first_growth({**STARTED, "worker": "w" * 600})
    new = old + growth
    bounds = range(0, len(new), SECTOR_BYTES)
    for mix in range(1 << len(bounds)):
        versions = (old.ljust(len(new), b"\0"), new)
        parts = [versions[mix >> n & 1][at : at + SECTOR_BYTES] for n, at in enumerate(bounds)]
        left += [(b"".join(parts)[:length], True) for length in {len(new), *(at for at in bounds if at > len(old))}]
    left += [(old, False), (old, True), (new, True), (new, False)]
    comma = record.begun({}, growth)
    left += [(comma.body + comma.tail, False), (comma.body + comma.tail, True)]
    for number, (data, is_marked) in enumerate(left):
        path = spool.path(directory, f"t{number:04}")
        path.write_bytes(data.replace(b"NNNNN", f"t{number:04}".encode()))
        path.chmod(0o1600 if is_marked else 0o600)
        spool.age(path, 3600)
    audit.mend(spool)
    for number in range(len(left)):
        if spool.files.exists(str(spool.path(PENDING, f"t{number:04}"))):
            answer = spool.claim(f"t{number:04}", "w")
            assert isinstance(answer, Claim), f"{left[number]}: {answer}"
            with answer:
                answer.finish({})
    assert not spool.rejected()
    for number, (data, _) in enumerate(left):
        path = spool.path(DONE, f"t{number:04}")
        done = parse(path.read_bytes())
        assert {**done.fields, "note": ""} == {**record.fields, "note": ""}
        assert path.stat().st_mode & 0o7777 == 0o600
        events = [entry["event"] for entry in done.history]
        assert events in (["started", "completed"], ["started", "interrupted", "started", "completed"])
        assert len(events) == 4 or growth not in data, data
    print(f"{len(left)} states")


@pytest.mark.parametrize(
    "behind", ["\0" * 90, '"history":[', '"history":[{"event":"star', '"history":[]}', "{}", "\0", "x"]
)
def test_what_a_stranger_writes_behind_a_whole_object_in_pending_is_not_taken_for_ours(
    spool: Home, behind: str
) -> None:
    """Nothing has marked it, and no entry is whole: it is set aside as it is."""
    spool.drop("a.json", '{"command":"true"}\n' + behind, still_s=3600)
    assert getattr(spool.claim("a", "w"), "reason", "claimed") == "rejected"
    assert Path(spool.layout.rejected, "a.json").read_text() == '{"command":"true"}\n' + behind


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if "without" in shape])
def test_half_of_a_strangers_file_never_runs(spool: Home, shape: str) -> None:
    """In pending/ every prefix of it, with and without NULs, waits for its grace and is then set aside as it is.

    Proves G3. Hole H5.
    """
    whole = before(shape, "t0000").rstrip()
    found = {f"t{number:04}": whole[:number] for number in range(0, len(whole), EVERY)}
    found |= {f"u{number:04}": whole[:number].ljust(len(whole), b"\0") for number in range(0, len(whole), EVERY)}
    for note, data in found.items():
        spool.drop(f"{note}.json", data, still_s=0.0)
    for note in found:
        answer = spool.claim(note, "w")
        assert getattr(answer, "reason", "claimed") == "being written"
    spool.clock.advance(3600)
    for note in found:
        answer = spool.claim(note, "w")
        assert getattr(answer, "reason", "claimed") == "rejected"
    assert {Path(spool.layout.rejected, f"{note}.json").read_bytes() for note in found} == set(found.values())
    print(f"{len(found)} halves")
    assert len(found) > 5


@pytest.mark.parametrize("growth", GROWTHS)
def test_a_dropped_file_that_was_torn_while_it_ran_is_not_guessed(spool: Home, growth: str) -> None:
    """Cut within the joint of its first growth, what its author wrote is set aside whole or taken whole, never in part."""
    old = before("without a history", "t0000")
    record = parse(old)
    new = record.body + record.growth(dict(GROWTHS[growth]))
    tried = 0
    for cut in range(record.grow_at, record.grow_at + len(OPEN_HISTORY) + 1):
        for data in {new[:cut], new[:cut].ljust(len(new), b"\0")}:
            note = f"t{tried:04}"
            spool.path(PROCESSING, note).write_bytes(data)
            spool.path(PROCESSING, note).chmod(0o600)
            tried += 1
    audit.mend(spool)
    for job in audit.check_mended(spool).values():
        assert job.fields == record.fields
    kept = [Path(spool.layout.rejected, name).read_bytes() for name in spool.rejected()]
    assert all(data.startswith(record.body) for data in kept)
    assert len(kept) + len(audit.names(spool)) == tried > 20
    print(f"{tried} tears in the joint, {len(kept)} set aside")


class TornAgain(Files):
    """Keeps what the disk surely has, and what a cut in the middle of a growth that holds `word` may leave of the file."""

    def __init__(self, sure: bytes, word: bytes) -> None:
        super().__init__()
        self.sure = sure
        self.word = word
        self.left: set[bytes] = set()

    def sync_data(self, fd: int) -> None:
        super().sync_data(fd)
        self.sure = self.read(fd, 1 << 20)

    def write(self, fd: int, data: bytes, offset: int) -> None:
        before = self.read(fd, 1 << 20)
        super().write(fd, data, offset)
        if self.word not in data:
            return
        for cut in range(offset, offset + len(data)):  # the process is killed
            self.left.add(self.read(fd, 1 << 20)[:cut] + before[cut:])
        new = self.read(fd, 1 << 20)  # the power goes
        length = max(len(new), len(self.sure))
        starts = range(0, length, SECTOR_BYTES)
        versions = [data.ljust(length, b"\0") for data in (self.sure, new)]
        for mix in range(1 << len(starts)):
            parts = [versions[mix >> n & 1][at : at + SECTOR_BYTES] for n, at in enumerate(starts)]
            self.left.add(b"".join(parts))


@pytest.mark.parametrize("inside", [1, 60, 110, 125, 140])
def test_a_growth_that_is_torn_is_never_read_together_with_one_that_was_torn_before(spool: Home, inside: int) -> None:
    """What the first crash left is gone for good before the next growth, of which a second crash may leave any part.

    Proves G5. Holes H4, H25.
    """
    other: Entry = {"event": "interrupted", "at": AT, "run_at": AT, "error": "a" * 300}
    record = parse(render_new({"command": "true", "id": "t", "note": "t", "pad": ""}))
    record = record.grown(STARTED, record.growth(dict(STARTED)))
    pad = "x" * (SECTOR_BYTES - inside - record.grow_at)  # so much of the growths lies in the first sector
    record = parse((record.body + record.tail).replace(b'"pad":""', b'"pad":"' + pad.encode() + b'"'))
    whole, first = record.body + record.tail, record.body + record.growth(dict(other))
    torn = whole[:SECTOR_BYTES].ljust(SECTOR_BYTES, b"\0") + first[SECTOR_BYTES:]
    spool.path(PROCESSING, "t").write_bytes(torn)
    spool.path(PROCESSING, "t").chmod(0o600)
    files = TornAgain(torn, b"interrupted")
    audit.mend(Home(Path(spool.layout.home), files=files, durability="full"))
    words = spool.job("t").last_error
    for number, data in enumerate(files.left):
        path = spool.path(PROCESSING, f"u{number}")
        path.write_bytes(data)
        path.chmod(0o600)
        job = spool.job(f"u{number}")
        assert [entry["event"] for entry in job.history] in (["started"], ["started", "interrupted"])
        assert job.last_error in (None, words), data
    print(f"{len(files.left)} tears")
    assert len(files.left) > 50
