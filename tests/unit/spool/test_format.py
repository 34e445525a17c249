"""FORMAT.md says what the code does: its tables are read and compared, its examples are run."""

from __future__ import annotations

import io
import os
import re
import subprocess
from pathlib import Path

import pytest

from queuectl.ids import ID_MAX, new_id
from queuectl.job import history, job_file, strict_json
from queuectl.job.checks import LONGEST_ARGUMENT
from queuectl.job.fields import FIELDS
from queuectl.job.history import DEAD, DONE, ENTRY_MEMBERS, EVENTS, KEPT, LEADS_TO, PENDING, PROCESSING
from queuectl.job.job import Job
from queuectl.spool import claim, layout, rejected
from queuectl.spool.fs import CREATE, READ
from queuectl.spool.group_commit import commit_group
from queuectl.spool.layout import FOLDERS
from tests.support.clock import NOON
from tests.support.faulty_fs import Faulty
from tests.support.spools import Home

PAGE = (Path(layout.__file__).parent / "FORMAT.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """Return what stands under a heading, up to the next of its level or above."""
    found = re.search(rf"^(#+) {re.escape(title)}$", PAGE, re.M)
    assert found, f"no section {title}"
    rest = PAGE[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.M)
    return rest[: end.start()] if end else rest


def rows(title: str, number: int = 0) -> list[list[str]]:
    """Return the cells of the n-th table of a section."""
    tables = re.findall(r"(?:^\|.*\n)+", section(title), re.M)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in tables[number].splitlines()[2:]]


def code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_every_field_is_in_the_table() -> None:
    assert sorted(code(row[0])[0] for row in rows("Fields")) == sorted(FIELDS)


def test_every_event_is_in_the_table_with_where_it_leads() -> None:
    table = {code(row[0])[0]: row[1] for row in rows("History")}
    assert list(table) == list(EVENTS)
    assert {event: table[event] for event in LEADS_TO} == LEADS_TO
    assert (table["started"], table["compacted"]) == ("–", "as `last_event`")


def test_every_member_of_an_entry_is_in_the_table() -> None:
    table = {code(row[0])[0]: row[1] for row in rows("History", 1)}
    assert list(table) == list(ENTRY_MEMBERS)
    assert code(table["kept"]) == list(KEPT)
    fixed = set(code(table["set"]))
    assert fixed == {field for field in [*FIELDS, "history"] if ENTRY_MEMBERS["set"]({field: 1})}


def test_the_table_of_states_is_how_a_job_folds() -> None:
    for directory, last, state in rows("States"):
        events = [e for e in code(last) if e in EVENTS] or ["started"]
        if "that leads to done/" in last:
            continue
        for event in events:
            entry = {"event": event, "at": "2026-11-24T14:01:58Z"}
            made = job_file.Record({"command": "true"}, [entry], b"", b"")
            assert Job("a", made, directory.rstrip("/"), NOON).state == state


def test_the_numbers_are_those_of_the_code() -> None:
    text = section("The file")
    for number in (job_file.MAX_BYTES, job_file.MAX_FILE_BYTES, job_file.MAX_ENTRY_BYTES, job_file.MAX_START_BYTES):
        assert f"{number}" in text
    assert f"{strict_json.MAX_DEPTH} levels deep" in text
    assert f"{strict_json.MAX_DIGITS} characters" in text
    assert f"{LONGEST_ARGUMENT} bytes" in text
    assert f"1 to {ID_MAX} of the characters" in text
    assert f"… {history.MAX_ATTEMPTS}" in section("History")
    assert f"{job_file.SECTOR_BYTES} bytes" in section("Torn writes")
    assert f"{claim.COMPACT_AT_BYTES} bytes" in section("Replacing")
    assert f"{rejected.NAME_BYTES} bytes" in section("Rejected files")
    assert len(new_id(NOON)) == 16
    assert "16 characters" in text


def test_the_directories_are_those_that_are_made(tmp_path: Path) -> None:
    tree = PAGE.split("```")[1]
    drawn = set(re.findall(r"── ([a-z]+)/", tree))
    assert drawn == {folder.split("/")[-1] for folder in FOLDERS} - {"logs"}


def test_the_example_is_a_job_that_grows(spool: Home) -> None:
    text = re.search(r"```json\n(.*)\n```", section("The file"))
    assert text
    spool.path(PROCESSING, "1MCC5RM003N0Q8HP").write_text(text[1] + "\n")
    spool.path(PROCESSING, "1MCC5RM003N0Q8HP").chmod(0o600)
    with spool.take("1MCC5RM003N0Q8HP") as got:
        assert (got.job.attempts, got.job.failures, got.job.worker) == (2, 1, "worker-2")
        got.finish({"exit_code": 0})
    assert spool.events("1MCC5RM003N0Q8HP") == ["started", "failed", "started", "completed"]


def test_the_shell_example_queues_a_job(spool: Home) -> None:
    script = re.search(r"```sh\n(.*?)```", section("Taking part"), re.S)
    assert script
    for code_ in (0, 1):  # the second finds its name taken, and overwrites nothing
        done = subprocess.run(
            ["/bin/sh", "-c", script[1]], env={**os.environ, "QUEUECTL_HOME": spool.layout.home}, check=False
        )
        assert done.returncode == code_
    spool.start("hi").close()
    assert (spool.job("hi").command, spool.job("hi").attempts) == ("echo hi", 1)


# --- the order of operations

WORDS = {
    "create": "create",
    "write": "write",
    "sync": "[fsync]",
    "publish": "publish",
    "sync_data": "[fdatasync]",
    "try_lock": "lock",
    "read": "read",
    "read_at": "compare",
    "move": "move",
    "unlink": "unlink",
    "append": "note in run/changes",
    "exists": "look",
}


def operations(spool: Home) -> list[str]:
    """Return what has been done to the disk since the last time, in the words of the table."""
    assert isinstance(spool.files, Faulty)
    trace, spool.files.trace = spool.files.trace, []
    return [WORDS.get(method, method) for method in trace if method not in ("fstat", "lstat", "close")]


def table_row(verb: str) -> list[str]:
    for row in rows("Transitions"):
        if verb in [each.strip() for each in row[0].split(",")]:
            return [each.strip() for each in row[1].split(",")]
    raise AssertionError(verb)


def check_order(verb: str, done: list[str]) -> None:
    """Compare with the table; what opens, looks and syncs directories is spelled there in more words."""
    said = []
    for word in table_row(verb):
        if word.startswith("[fsync "):
            said.append("sync_directory")
        elif word.startswith("look in"):
            said += ["look"] * word.count("/")
        elif word in ("unlink output", "lock and unlink the input"):
            continue  # this job has none
        elif word == "write the reason":
            said += ["look", "move", "open", "write"]
        else:
            said.append(word)
    ours = ("open", "free_bytes")
    assert [each for each in done if each not in ours] == [each for each in said if each not in ours], verb


@pytest.fixture
def traced(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", files=Faulty(), durability="full", announce=True)


def test_every_verb_does_its_operations_in_the_order_of_the_table(traced: Home) -> None:
    job_id = traced.enqueue({"command": "true"})
    check_order("enqueue", operations(traced))
    claimed = traced.start(job_id)
    check_order("claim", operations(traced))
    claimed.reschedule("failed", NOON, {})
    check_order("reschedule", operations(traced))
    claimed.close()
    for verb in ("hold", "release", "run now", "edit"):
        with traced.take(job_id) as taken:
            operations(traced)
            {"hold": taken.hold, "release": taken.release, "run now": taken.run_now}.get(
                verb, lambda taken=taken: taken.edit({"queue": "q"})
            )()
        check_order(verb, ["lock", "read", *operations(traced)])
    for verb in ("move to dead", "finish"):
        claimed = traced.start(job_id)
        operations(traced)
        claimed.move_to_dead("x", {}) if verb == "move to dead" else claimed.finish({})
        check_order(verb, operations(traced))
        claimed.close()
        if verb == "move to dead":
            with traced.take(job_id) as taken:
                operations(traced)
                taken.revive()
            check_order("revive", ["lock", "read", *operations(traced)])
    with traced.take(job_id) as taken:
        operations(traced)
        taken.delete()
        assert operations(traced) == ["look"] * (3 * 3) + ["unlink"] + ["sync_directory"] * 3
    other = traced.enqueue({"command": "true"})
    with traced.take(other) as taken:
        taken.cancel()
    with traced.take(other) as taken:
        operations(traced)
        taken.delete()
    check_order("delete", ["lock", "read", *operations(traced)])
    other = traced.enqueue({"command": "true"})
    with traced.take(other) as taken:
        operations(traced)
        taken.cancel()
    check_order("cancel", operations(traced))


def test_an_input_is_durable_before_its_job_has_a_name_and_removed_after_it_has_none(traced: Home) -> None:
    job_id = traced.enqueue({"command": "cat"}, io.BytesIO(b"data"))
    [said] = [row[1] for row in rows("Transitions") if row[0] == "enqueue with input"]
    assert said == (
        "create, lock, write, [fsync]; create, write, [fsync]; publish the input, [fsync input/]; "
        "publish the job as above, [fsync pending/]"
    )
    done = [each for each in operations(traced) if each != "free_bytes"]
    assert done == [
        *("create", "lock", "write", "[fsync]", "create", "write", "[fsync]"),
        *("publish", "sync_directory", "publish", "sync_directory"),
    ]
    with traced.take(job_id) as taken:
        operations(traced)
        taken.delete()
    done = [each for each in operations(traced) if each not in ("look", "open")]
    assert done == ["move", "unlink", *["sync_directory"] * 2, "lock", "unlink"]


def test_many_are_finished_in_the_order_of_the_table(traced: Home) -> None:
    [said] = [row[1] for row in rows("Transitions") if row[0] == "finish many"]
    assert said == "of each of a group: compare, write; of each: [fdatasync]; of each: move; [fsync targets]"
    claims = [traced.start(traced.enqueue({"command": "true"})) for _ in range(3)]
    operations(traced)
    for claim_, verb in zip(claims, ("finish", "move to dead", "finish"), strict=True):
        claim_.finish({}, commit=False) if verb == "finish" else claim_.move_to_dead("x", {}, commit=False)
    assert commit_group(traced, claims) == {}
    for claim_ in claims:
        claim_.close()
    done = operations(traced)
    assert done == ["compare", "write"] * 3 + ["[fdatasync]"] * 3 + ["move"] * 3 + ["sync_directory"] * 2


def test_a_file_without_history_is_claimed_in_the_order_of_the_table(traced: Home) -> None:
    """Its author is asked for in between, so it is locked and read twice."""
    traced.drop("a.json", '{"command":"true"}')
    claimed = traced.start("a")
    claimed.finish_start()
    done = operations(traced)
    first = done.index("has_writer")
    assert [each for each in done[:first] if each != "open"] == ["lock", "read"]
    words = {"chmod": "mark"}
    marked = [words.get(each, each) for each in done[first + 1 :]]
    assert marked.pop() == "mark"
    assert marked.pop() == "write"
    check_order("claim without history", [*marked, "write the comma", "unmark"])
    claimed.close()


def test_a_promised_id_is_looked_for_after_publishing(traced: Home) -> None:
    traced.enqueue({"command": "true", "id": "a"})
    done = operations(traced)
    created = done.index("create")
    assert done[:created] == ["free_bytes"] + ["look"] * 4
    check_order("enqueue with an id", done[created:])


def test_what_is_opened_is_opened_carefully() -> None:
    careful = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    assert all(flags & careful == careful for flags in (READ, CREATE))
    assert "`O_NOFOLLOW | O_NONBLOCK | O_NOCTTY`" in section("Foreign files")


def test_the_order_in_which_names_stay() -> None:
    from queuectl.spool.locking import KEEP_ORDER

    assert KEEP_ORDER == (DONE, DEAD, PENDING, PROCESSING)
    said = section("Two names").replace("\n", " ")
    assert "in done/, else dead/, else pending/, else processing/" in said


def test_every_section_that_the_code_refers_to_exists() -> None:
    headings = set(re.findall(r"^#+ (.+)$", PAGE, re.M))
    for path in Path(layout.__file__).parents[1].rglob("*.py"):
        for line in re.findall(r"FORMAT\.md (§[^\n\"]*)", path.read_text(encoding="utf-8")):
            for title in re.findall(r"§ ([A-Z][A-Za-z ]*[a-z])", line):
                assert title in headings, f"{path.name} refers to § {title}"


def test_the_version_is_the_name_of_the_directory(spool: Home) -> None:
    assert spool.layout.spool.endswith("/spool")
    assert "`spool/` is format 1" in section("Versions")
