"""edit and priority: change fields of jobs that wait."""

from __future__ import annotations

from queuectl.cli.home import queue_to_change
from queuectl.cli.ids import Unchanged, act
from queuectl.cli.options import CHOSEN, CONSENT, NAMED, STATE, command, flag, number, option
from queuectl.cli.selection import Verb, act_on, is_bulk
from queuectl.client.job_spec import changes_of
from queuectl.command_location import check_directory
from queuectl.errors import UsageError
from queuectl.job.fields import FIELDS, validate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.selection import Check
    from queuectl.cli.terminal import Screen
    from queuectl.client.queue import Queue
    from queuectl.job.job import Job

NUMBERS = ("priority", "weight", "nice", "max_retries", "backoff_base", "backoff_jitter")
STRUCTURED = ("argv", "env", "needs")
LISTS = ("tags", "after")


@command(
    "edit",
    NAMED,
    option(
        "--set",
        metavar="FIELD=VALUE",
        action="append",
        help="a new value, as in a job file; times also as --at and --delay take them: priority=5, timeout=10m,"
        " delay=2h, queue=night, tags=a,b, argv=JSON; may be repeated",
    ),
    option("--unset", metavar="FIELD", action="append", help="remove a field, so that its default applies"),
    flag("--no-check", help="do not check that a new directory exists"),
    STATE,
    *CHOSEN,
    *CONSENT,
    examples=(
        "queuectl edit 01JDFW11AA --set priority=5 --set timeout=10m",
        "queuectl edit 01JDFW11AA",
        "queuectl edit 01JDFW11AA --set at='tomorrow 02:00'",
        "queuectl edit --queue default --set max_retries=0 --unset timeout --yes",
    ),
)
def run_edit(args: Arguments, screen: Screen) -> int:
    """Change each job; what cannot be changed so is said before any is. Without --set and --unset, open one job in $EDITOR."""
    queue = queue_to_change(args, screen)
    changes, _, warning = changes_of({}, _typed(args), queue.spool.clock.now(), check=False)
    if not changes:
        return _edit_by_hand(args, screen, queue)
    new = {field: value for field, value in changes.items() if value is not None}
    validate(new if "command" in new or "argv" in new else {"command": "true", **new})

    if changes.get("cwd") is not None and not args.no_check:
        check_directory(changes["cwd"])
    if warning is not None:
        screen.warn(warning)

    def edit(job_id: str, check: Check | None) -> None:
        queue.change(job_id, changes, check)

    return act_on(args, screen, queue, Verb("edit", "edit", "edited"), edit)


def _edit_by_hand(args: Arguments, screen: Screen, queue: Queue) -> int:
    """Open the one job that is named in an editor."""
    if is_bulk(args, "edit") or len(args.ids) != 1 or args.ids == ["-"] or args.dry_run:
        hint = "queuectl edit ID --set priority=5 --unset timeout; queuectl edit ID opens one job in $EDITOR"
        raise UsageError("nothing to change", hint)
    from queuectl.cli.editor import Editing

    job_id = queue.resolve(args.ids[0], to_change=True)
    with Editing(queue, job_id) as editing:
        job = queue.rewrite(job_id, editing.ask, check=not args.no_check)

    def report(_named: object) -> tuple[str, None]:
        if job is None:
            raise Unchanged(job_id, queue.get(job_id).state, "had been left as it was")
        return job_id, None

    return act(screen, [(job_id, True)], report, "edit", "edited", total=1)


def _typed(args: Arguments) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for pair in args.set or ():
        field, equals, text = pair.partition("=")
        if not field or not equals:
            raise UsageError(f'--set must be FIELD=VALUE, not "{pair}"', "to remove a field: --unset FIELD")
        _refuse_second(field, made)
        made[field] = _value(field, text)
    for field in args.unset or ():
        _refuse_second(field, made)
        made[field] = None
    return made


def _refuse_second(field: str, made: dict[str, Any]) -> None:
    if field in made:
        raise UsageError(f'"{field}" is changed twice')


def _value(field: str, text: str) -> object:
    """Read a value: numbers and JSON where the field has them; all else is text, which may be a time or a duration."""
    if field in LISTS and text[:1] != "[":
        return [word for word in text.split(",") if word]
    if field == "needs" and text[:1] != "{":
        from queuectl.cli.job_options import units_of

        return units_of([text], "--set needs:")
    if field not in NUMBERS and field not in STRUCTURED and field not in LISTS:
        return text
    import json

    try:
        return json.loads(text)
    except ValueError:
        if field in NUMBERS:
            return text  # the check of the field says what was expected
        raise UsageError(f'--set {field}= must be JSON, not "{text}"', _EXAMPLES[field]) from None


_EXAMPLES = {
    "argv": """--set 'argv=["gzip", "-k", "a.csv"]'""",
    "after": "--set after=extract-1,extract-2",
    "env": """--set 'env={"LANG": "C"}'""",
    "needs": "--set needs=gpu=1",
    "tags": "--set tags=nightly,video",
}


@command(
    "priority",
    number("level", help="-1000 to 1000; higher runs first (default of a job: 0)"),
    NAMED,
    STATE,
    *CHOSEN,
    *CONSENT,
    examples=("queuectl priority 10 01JDFW11AA", "queuectl priority -5 --queue default --yes"),
)
def run_priority(args: Arguments, screen: Screen) -> int:
    """Set the priority of each job."""
    level: int = args.level
    expected = FIELDS["priority"](level)
    if expected is not None:
        raise UsageError(f"the priority must be {expected}, not {level}", "queuectl priority 5 ID")
    queue = queue_to_change(args, screen)

    def change(job_id: str, check: Check | None) -> str:
        before = 0

        def look(job: Job) -> None:
            nonlocal before
            before = job.priority
            if check is not None:
                check(job)
            if before == level and job.directory == "pending":
                raise Unchanged(job.id, job.state, f"had priority {level} already")

        job = queue.change(job_id, {"priority": level}, look)
        return f"{job.id}: priority {before} → {level}"

    return act_on(args, screen, queue, Verb("priority", "edit", "edited"), change)
