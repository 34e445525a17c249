"""An idle queue, dropped files, jobs that are changed by hand, long lists of changes."""

from __future__ import annotations

import select
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]

LONG_TIME_S = 2.0


def test_an_idle_queue_sleeps(supervised: Make) -> None:
    """With nothing to do, neither supervisor nor workers are woken: the kernel counts no switch."""
    s = supervised()
    s.start(4)
    first = s.queue.enqueue("true")
    s.wait_for(first, "completed")
    s.wait_until(lambda: all(w["state"] == "idle" for w in s.status()["workers"]), "idle")
    pids = [s.status()["pid"], *(w["pid"] for w in s.status()["workers"])]
    select.select([], [], [], LONG_TIME_S)  # what the last job left to do (commit, sync) is done by then
    before = [_switches(pid) for pid in pids]
    select.select([], [], [], LONG_TIME_S)
    assert [_switches(pid) for pid in pids] == before


def _switches(pid: int) -> list[str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return [line for line in lines if "ctxt_switches" in line]


def test_a_dropped_file_starts_at_once_and_a_bad_one_harms_nobody(supervised: Make) -> None:
    """No polling in between: the file-system event starts the job; the bad file is set aside with its reason.

    Proves G11.
    """
    s = supervised(drop_grace=0.2, poll_interval=3600)
    s.start(1)
    pending = s.home / "spool/pending"
    (pending / "bad.json").write_text('{"command": "echo "hi""}')
    (pending / "nightly.json").write_text('{"command": "echo dropped"}')
    s.wait_for("nightly", "completed")
    assert s.output("nightly") == b"dropped\n"
    s.wait_until((s.home / "spool/rejected/bad.json.reason").exists, "it was set aside")
    reason = (s.home / "spool/rejected/bad.json.reason").read_text()
    assert "line 1, column 20" in reason
    (pending / "nightly.json").write_text('{"command": "echo again"}')
    s.wait_until(lambda: s.queue.counts()["completed"] == 2, "the same name runs every night")
    assert s.output("nightly") == b"dropped\n"


def test_a_file_that_was_seen_half_written_starts_as_soon_as_it_is_whole(supervised: Make) -> None:
    """The end of the writing counts, not the grace that half a file is given."""
    s = supervised(drop_grace=3600, poll_interval=3600)
    s.start(1)
    with (s.home / "spool/pending/copied.json").open("w") as file:
        s.ask("flush")
        file.write('{"command": ')
        file.flush()
        s.ask("flush")
        file.write('"true"}')
    s.wait_for("copied", "completed")


def test_a_job_that_waits_for_years_stops_nothing(supervised: Make) -> None:
    """No wait of the system's is longer than the system can count."""
    s = supervised()
    s.start(1)
    later = [s.queue.enqueue("true", run_at=at) for at in ("2999-01-01T00:00:00Z", "9999-12-31T23:59:59Z")]
    s.wait_until(lambda: s.queue.counts()["pending"] == 2, "they are known")
    job_id = s.queue.enqueue("true")
    s.wait_for(job_id, "completed")
    assert [s.state(each) for each in later] == ["pending", "pending"]


def test_what_people_do_to_files_by_hand_is_seen(supervised: Make) -> None:
    """A job removed, moved to dead/ or moved out of it by hand is shown as it is, while a supervisor runs."""
    s = supervised()
    s.start(1)
    s.queue.enqueue("true", id="one", run_at="2999-01-01T00:00:00Z")
    s.queue.enqueue("true", id="two", run_at="2999-01-01T00:00:00Z")
    assert s.queue.counts()["pending"] == 2
    spool = s.home / "spool"
    (spool / "pending/one.json").rename(spool / "dead/one.json")
    (spool / "pending/two.json").unlink()
    assert s.queue.counts()["pending"] == 0
    assert s.queue.counts()["dead"] == 1
    (spool / "dead/one.json").unlink()
    assert sum(s.queue.counts().values()) == 0


def test_a_long_list_of_changes_does_not_end_the_supervisor(supervised: Make) -> None:
    """Thousands of changes made at once are read like a few; ids of jobs that are gone harm nobody."""
    s = supervised()
    supervisor = s.start(1)
    job_id = s.queue.enqueue("true", run_at="2999-01-01T00:00:00Z")
    spool = s.queue.spool
    spool.files.append(s.queue.layout.changes, b"".join(b"gone-%05d\n" % number for number in range(20_000)))
    s.queue.retry(job_id)
    s.wait_for(job_id, "completed")
    s.wait_until(lambda: Path(s.queue.layout.changes).read_bytes() == b"", "all changes are read")
    assert s.queue.counts()["completed"] == 1
    assert supervisor.poll() is None
