"""Bad files beside good jobs: each is dealt with as FORMAT.md says, none is run, and the good ones do not notice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from queuectl.job.job import PENDING, PROCESSING
from queuectl.supervisor.inotify import open_watch
from tests.support.bad_entries import REJECTED
from tests.support.chaos import Tally
from tests.support.home_with_bad_entries import GOOD, HomeWithBadEntries

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]

AT_LEAST = 250
TOUCHED = 0x1 | 0x2 | 0x4 | 0x20 | 0x200 | 0x40 | 0x100 | 0x80  # inotify: read, changed, opened, removed, moved, made


def test_bad_files_are_set_aside_and_the_good_jobs_run(supervised: Make, tmp_path: Path) -> None:
    """What lies there at the start, and what comes while it runs; once more from nothing, with the index gone."""
    s = supervised(durability="relaxed", drop_grace=0.2, kill_after=0.2, backoff_base=0.1)
    scene = HomeWithBadEntries(s, tmp_path)
    entries = scene.entries
    watch = open_watch()
    with Tally("bad files", "entries", f"{PENDING}: {REJECTED}", f"{PROCESSING}: {REJECTED}") as tally:
        for directory in (scene.corpus.outside, scene.corpus.outside / "directory"):
            watch.add(str(directory), TOUCHED)
        at_start = [bad for number, bad in enumerate(entries) if number % 2 or bad.directory == PROCESSING]
        scene.put_good(scene.good[: GOOD // 2])
        scene.put(at_start)
        supervisor = s.start(4)
        scene.put_good(scene.good[GOOD // 2 :])
        scene.put([bad for bad in entries if bad not in at_start])
        try:
            s.wait_until(lambda: not scene.unsettled(), "all has been dealt with")
        finally:
            print("\nleft over:", scene.unsettled())
        scene.check()
        scene.check_command_line()
        assert supervisor.poll() is None
        supervisor.terminate()
        assert supervisor.wait(60) == 0
        scene.check_command_line()
        Path(s.queue.layout.index).unlink()
        scene.check_command_line()
        Path(s.queue.layout.index).unlink()
        s.start(2)
        last = s.queue.enqueue("true")
        s.wait_for(last, "completed")
        s.queue.delete(last)
        scene.check_command_line()
        assert watch.read() == [], "something outside the spool was touched"
        (scene.corpus.outside / "secret").read_text()
        assert watch.read() != [], "the watch would not have told"
        watch.close()
        for what, number in scene.check().items():
            tally.add(what, number)
        tally.add("entries", len(entries))
        tally.add("good jobs", GOOD)
        assert len(entries) >= AT_LEAST
