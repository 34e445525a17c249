"""Foreign programs that put files into pending/: what they may do, and what has to become of their files."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from queuectl.job.job import PENDING
from queuectl.spool.intake import ClaimRefused
from tests.support.choices import PARENTS
from tests.support.reference_model import GRACE_S, Expected, Fault, Loose, Place, places
from tests.support.state_machine import FAULT, NAMES, TALLY, SpoolStateMachine

if TYPE_CHECKING:
    from tests.support.spools import Home

NO_JOBS = ("symlink", "fifo", "bad name", "directory")


class ForeignWriters(SpoolStateMachine):
    """Files of which it is not yet known what they will be."""

    def other_has(self, loose: Loose) -> bool:
        """Tell whether the id that a stranger's file wants belongs to another job or file."""
        is_named = any(other.name == loose.wanted for other in self.loose.values() if other is not loose)
        return is_named or self.by_id(loose.wanted) is not None

    def fate(self, loose: Loose) -> str:
        """Say what whoever looks at a stranger's file has to answer; it is `good` only when it is no plain job."""
        if loose.kind == "half" or (loose.kind == "garbage" and self.is_fresh(loose)):
            return "being written"
        if loose.kind == "good" and not (loose.promise and self.other_has(loose)):
            return "renamed"
        return "rejected"

    def is_fresh(self, loose: Loose) -> bool:
        return self.clock.now() - os.lstat(self.pending(loose.name)).st_mtime < GRACE_S

    def admit_plain(self) -> None:
        """What is whole and bears its own name, which no other has, is a job from the moment it lies there."""
        for note, loose in list(self.loose.items()):
            if loose.kind == "good" and loose.wanted == loose.name and not self.other_has(loose):
                del self.loose[note]
                at = loose.created_at
                self.jobs[note] = Expected(note, loose.name, at, is_dropped=True, run_at=at, after=loose.after)

    def loose_are_judged(self, *, may_stay: bool = False) -> None:
        """Find out what became of strangers' files, and refuse what must not have."""
        found = places(self.spool)
        names = Counter(loose.name for loose in self.loose.values())  # before they were looked at, in whatever order
        for directory in (PENDING, "rejected"):  # of two with one promise, one is admitted and the other rejected
            for note, loose in list(self.loose.items()):
                assert len(found.get(note, [])) == 1, f"{loose} is {found.get(note)}"
                place = found[note][0]
                assert place.directory in (PENDING, "rejected"), f"{loose} is {place}"
                if place.directory == directory == PENDING:
                    self.has_stayed(loose, place, may_stay=may_stay)
                elif place.directory == directory:
                    was_taken = loose.promise is not None and names[loose.promise] > (loose.promise == loose.name)
                    was_taken |= loose.wanted in self.perhaps_taken
                    assert self.fate_was_rejection(loose) or was_taken, f"{loose} was rejected"
                    del self.loose[note]
                    self.rejected.add(note)
                    TALLY[f"stranger: {loose.kind} rejected"] += 1
        self.admit_plain()

    def fate_was_rejection(self, loose: Loose) -> bool:
        return loose.kind != "half" and (loose.kind != "good" or bool(loose.promise and self.other_has(loose)))

    def has_stayed(self, loose: Loose, place: Place, *, may_stay: bool) -> None:
        name = place.name.removesuffix(".json")
        if name != loose.name:
            assert name == loose.promise or name.startswith(f"{loose.name}-"), f"{loose} is {place}"
            TALLY["stranger: promise kept" if name == loose.promise else "stranger: another name"] += 1
            loose.name = name
        self.admit_plain()
        must_go = loose.note in self.loose and loose.kind != "half" and not may_stay
        is_waited_for = loose.kind == "garbage" and must_go and self.is_fresh(loose)
        assert not must_go or is_waited_for or self.fate_was_rejection(loose), f"{loose} has stayed"

    @rule(
        name=NAMES,
        promise=st.none() | NAMES,
        kind=st.sampled_from(["good", "good", "half", "garbage"]),
        is_still=st.booleans(),
        keeps_link=st.booleans(),
        after=st.just([]) | PARENTS,
    )
    def drop(
        self, name: str, promise: str | None, kind: str, is_still: bool, keeps_link: bool, after: list[int]
    ) -> None:
        path = self.pending(name)
        if os.path.lexists(path):
            return
        note, at = self.fresh(), self.clock.now() - (3600.0 if is_still else 0.0)
        parents = [each for each in self.possible_parents(name, after) if promise not in self.ancestors(each)]
        loose = self.loose[note] = Loose(note, name, kind, promise, created_at=at, after=tuple(parents))
        text = self.text(loose)
        if kind == "half":
            loose.writer = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(loose.writer, text[:-5])
        else:
            linked = Path(self.spool.layout.tmp, note)
            linked.write_bytes(text if kind == "good" else text[:-1])
            linked.chmod(0o600)
            os.link(linked, path)
            if not keeps_link:
                linked.unlink()
        os.utime(path, (at, at))
        TALLY[f"dropped: {kind}"] += 1

    def text(self, loose: Loose) -> bytes:
        promise = {"id": loose.promise} if loose.promise else {}
        after = {"after": loose.after} if loose.after else {}
        return json.dumps({"note": loose.note, "command": "true", **promise, **after}).encode()

    @precondition(lambda self: not self.loose)
    @rule(kind=st.sampled_from(NO_JOBS))
    def drop_what_can_be_no_job(self, kind: str) -> None:
        note = self.fresh()
        loose = self.loose[note] = Loose(note, f"bad {note}" if kind == "bad name" else note, kind)
        path = self.pending(loose.name)
        if kind == "symlink":
            os.symlink("/dev/null", path)
        elif kind == "fifo":
            os.mkfifo(path, 0o600)
        elif kind == "directory":
            os.mkdir(path, 0o700)
        else:
            Path(path).write_text("{}")

    @precondition(lambda self: any(loose.kind == "half" for loose in self.loose.values()))
    @rule(data=st.data(), completes=st.booleans(), closes=st.booleans())
    def the_writer_goes_on(self, data: st.DataObject, completes: bool, closes: bool) -> None:
        loose = data.draw(st.sampled_from([loose for loose in self.loose.values() if loose.kind == "half"]))
        assert loose.writer is not None
        if completes:
            os.write(loose.writer, self.text(loose)[-5:])
        os.utime(self.pending(loose.name), (self.clock.now(), self.clock.now()))
        loose.kind, loose.created_at = "good" if completes else "garbage", self.clock.now()
        self.admit_plain()
        if completes and not closes and loose.note in self.jobs:
            self.writers[loose.note] = loose.writer
        else:
            os.close(loose.writer)
        loose.writer = None
        TALLY["half a file was completed" if completes else "half a file was left"] += 1

    @precondition(lambda self: self.writers)
    @rule()
    def the_writers_close(self) -> None:
        while self.writers:
            os.close(self.writers.popitem()[1])

    @precondition(lambda self: self.loose)
    @rule(data=st.data(), claims=st.booleans(), fault=FAULT)
    def look_at_a_stranger(self, data: st.DataObject, claims: bool, fault: Fault | None) -> None:
        loose = data.draw(st.sampled_from(list(self.loose.values())))
        by_claim = claims and loose.kind != "bad name"
        fate = self.fate(loose)

        def do(process: Home) -> object:
            return process.claim(loose.name, "w") if by_claim else process.examine(f"{loose.name}.json")

        answer, struck = self.attempt("look", fault, do)
        if struck and fault is not None:
            self.mend(fault)
            return
        assert isinstance(answer, ClaimRefused), f"{loose} was taken"
        if by_claim and answer.reason == "busy":  # it was judged between two looks
            answer = self.attempt("look", None, do)[0]
        assert answer.reason == fate, f"{answer}, for {loose}"
        self.loose_are_judged(may_stay=True)
        assert (loose.note in self.loose) == (fate == "being written"), loose
        TALLY[f"look: {fate}"] += 1
