"""selection: the jobs that a command acts on: those that are named, or those that selectors choose.

Guarantees: naming a job is consent. What selectors choose is counted first, exactly, and kept as a list: no other job is
            acted on, and none whose state is no longer one that was chosen. Acting on it needs consent: an answer on a
            terminal, --yes elsewhere.
Fails with: UsageError.
"""

from __future__ import annotations

import sys
from itertools import islice

from queuectl.cli.ids import Failures, Unchanged, act, act_on_named, expand
from queuectl.cli.terminal import is_terminal
from queuectl.cli.times import refuse_bare_number
from queuectl.errors import NotFound, QueueError, UsageError
from queuectl.job.job import STATES
from queuectl.units import plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.ids import Notes
    from queuectl.cli.terminal import Screen
    from queuectl.client.queue import Queue
    from queuectl.index.reader import Reader
    from queuectl.index.selection import Selected, Selection
    from queuectl.job.job import Job

    Check = Callable[[Job], None]

FILTERS = ("queue", "tag", "batch", "error", "search", "since", "until")
ORDER = ("sort", "limit")
FLAGS = ("with_dependents", "no_check", "output_only")
NOT_CONFIRMED = 1


class Verb:
    """What a command does to jobs.

    Args:
        command: as it is typed after `queuectl`.
        action, done: "cancel", "cancelled".
        with_what: goes on after "3 jobs", given their ids: " and what they wrote".
        states: of the jobs that selectors may choose; default: as filters.SELECTED_FOR says of the action.
    """

    def __init__(
        self,
        command: str,
        action: str,
        done: str,
        with_what: Callable[[Collection[str]], str] = lambda _ids: "",
        states: Sequence[str] | None = None,
    ) -> None:
        self.command = command
        self.action = action
        self.done = done
        self.with_what = with_what
        self._states = states

    def states(self) -> tuple[Sequence[str], Sequence[str]]:
        """Return the states of the jobs that selectors choose when they name none, and those that they may name."""
        if self._states is not None:
            return self._states, self._states
        from queuectl.client.filters import SELECTED_FOR  # not needed for jobs that are named

        return SELECTED_FOR[self.action]


def is_bulk(args: Arguments, command: str) -> bool:
    """Tell whether selectors choose the jobs, instead of ids naming them.

    Raises:
        UsageError: both do, or nothing does.
    """
    has_selectors = bool(getattr(args, "all", False) or given(args, ("state", *FILTERS)))
    if has_selectors and args.ids:
        raise UsageError("give ids or selectors, not both", f"queuectl {command} --help")
    if given(args, ORDER) and not has_selectors:
        raise UsageError("--limit and --sort need a selector, for instance --all", f"queuectl {command} --help")
    if not has_selectors and not args.ids:
        hint = f"give ids (- reads them from standard input) or selectors: --queue NAME, --all ... (queuectl {command} --help)"
        raise UsageError("no jobs given", hint)
    return has_selectors


def given(args: Arguments, names: Iterable[str]) -> dict[str, Any]:
    """Return the filters of a command line that were given."""
    found = {name: getattr(args, name, None) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def states_of(args: Arguments, verb: Verb) -> tuple[str, ...]:
    """Return the states of the jobs to choose.

    Raises:
        UsageError: jobs in a state that was named cannot be acted on.
    """
    from queuectl.client import filters

    named = filters.states_of(getattr(args, "state", None), "--state")
    usual, possible = verb.states()
    impossible = [state for state in named if state not in possible]
    if impossible:
        hint = f"it acts only on jobs that are {', '.join(possible)}"
        raise UsageError(f"{' and '.join(impossible)} jobs cannot be {verb.done}", hint)
    return named or tuple(usual)


def choose(reader: Reader, wanted: Mapping[str, Any], states: Sequence[str], now: float) -> Selection:
    """Return the jobs that filters choose, at most `limit` of them, as they are now."""
    from queuectl.cli.commands.list import query_of
    from queuectl.index.selection import Selection

    query = query_of({name: value for name, value in wanted.items() if name != "limit"}, now)
    chosen = reader.select(query, states)
    if "limit" not in wanted:
        return chosen
    first = Selection(islice(chosen, wanted["limit"]))
    first.left_out = chosen.left_out
    return first


def chosen_by(args: Arguments, screen: Screen, queue: Queue, states: Sequence[str]) -> tuple[Selection, str]:
    """Return the jobs that the selectors of a command line choose, and what `unknown_name` says of them."""
    from queuectl.cli.progress import open_index
    from queuectl.client.filters import limit_of

    wanted = given(args, (*FILTERS, *ORDER))
    if "limit" in wanted:
        limit_of(wanted["limit"], "--limit")
    with open_index(queue, screen, is_complete=True) as reader:
        chosen = choose(reader, wanted, states, queue.spool.clock.now())
        return chosen, unknown_name(queue, reader, wanted, chosen)


def unknown_name(queue: Queue, reader: Reader, wanted: Mapping[str, Any], chosen: Selection) -> str:
    """Return what to say of a name in selectors that no job has; empty where they select jobs, or all names are known."""
    if chosen or chosen.left_out:
        return ""
    from queuectl.cli.unknown_names import of_filters

    return of_filters(queue, reader, wanted)


def ids_of(
    args: Arguments, screen: Screen, queue: Queue, failures: Failures, command: str, states: Sequence[str]
) -> list[str]:
    """Return the ids of the jobs of a command that only looks at them; those that do not exist become failures."""
    if is_bulk(args, command):
        verb = Verb(command, "", "chosen", states=states)
        chosen, unknown = chosen_by(args, screen, queue, states_of(args, verb))
        if unknown:
            raise NotFound(unknown, "queuectl list --all   (queues: queuectl queue list)")
        return [job.id for job in chosen]
    ids = []
    for text, is_whole in expand(args.ids):
        try:
            ids.append(queue.resolve(text, is_whole=is_whole))
        except QueueError as error:
            failures.add("id", text, error)
    return ids


def act_on(
    args: Arguments,
    screen: Screen,
    queue: Queue,
    verb: Verb,
    do: Callable[[str, Check | None], str | None],
    notes: Notes | None = None,
) -> int:
    """Do something to the jobs that a command line names or chooses, and return the exit code.

    Args:
        do: given a whole id, and what has to be called with the job before it is changed.
        notes: asked at the end what else was done to the jobs.
    """
    if not is_bulk(args, verb.command):
        if args.dry_run:
            return _try_named(args, screen, queue, verb)
        return act_on_named(screen, queue, args.ids, lambda job_id: do(job_id, None), verb.action, verb.done, notes)
    from queuectl.client.filters import is_as_selected

    states = states_of(args, verb)
    for name, text in given(args, ("since", "until")).items():
        refuse_bare_number(f"--{name}", text)
    chosen, unknown = chosen_by(args, screen, queue, states)
    sentence = f"{verb.action} {describe(chosen.by_state)}{verb.with_what([job.id for job in chosen])}"
    none, total = none_of(states, chosen.left_out, unknown), len(chosen)
    if args.dry_run:
        return show_trial(screen, verb.command, sentence, chosen.by_state, (job.id for job in chosen), none)
    if not is_agreed(args, verb.command, sentence, total):
        return NOT_CONFIRMED

    def do_if_unchanged(selected: Selected) -> tuple[str, str | None]:
        def check(job: Job) -> None:
            if not is_as_selected(verb.action, states, selected, job):
                raise Unchanged(job.id, job.state, CHANGED)

        try:
            return selected.id, do(selected.id, check)
        except NotFound:
            raise Unchanged(selected.id, "deleted", CHANGED) from None

    jobs = _running_last(chosen)
    return act(screen, jobs, do_if_unchanged, verb.action, verb.done, notes, total=total, none=none)


def none_of(states: Sequence[str], left_out: Mapping[str, int], unknown: str = "") -> str:
    """Say that no job matches, and how many would in other states; or `unknown`, as unknown_name returns it."""
    if not left_out:
        return f"No job matches: {unknown}" if unknown else "No job matches"
    named = " or ".join(filter(None, (", ".join(states[:-1]), states[-1])))
    return f"No job matches that is {named}; in other states {describe(left_out)} would"


CHANGED = "had changed in the meantime"


def _running_last(chosen: Selection) -> Iterator[Selected | None]:
    """Yield jobs, those that are running jobs at the end: else the workers that become free would start others meanwhile.

    None, which stands between the two, waits for the end of the actions before.
    """
    yield from (job for job in chosen if job.state != "processing")
    yield None
    yield from (job for job in chosen if job.state == "processing")


def _try_named(args: Arguments, screen: Screen, queue: Queue, verb: Verb) -> int:
    failures = Failures(screen)
    counts: dict[str, int] = {}
    unchanged: dict[str, int] = {}
    ids = []
    possible = verb.states()[1]
    for text, is_whole in expand(args.ids):
        try:
            job = queue.get(queue.resolve(text, is_whole=is_whole, to_change=True))
        except QueueError as error:
            failures.add("id", text, error)
            continue
        if job.state in possible:
            ids.append(job.id)
        found = counts if job.state in possible else unchanged
        found[job.state] = found.get(job.state, 0) + 1
    sentence = f"{verb.action} {describe(counts)}{verb.with_what(ids)}"
    if unchanged:
        sentence += f", not {describe(unchanged)}"
    show_trial(screen, verb.command, sentence, counts, ids)
    failures.finish(len(ids) + sum(unchanged.values()) + len(failures), f"could not be {verb.done}")
    return 0


def describe(by_state: Mapping[str, int]) -> str:
    """Return "3 jobs (2 completed, 1 dead)"."""
    found = [f"{count:,} {state}" for state, count in _in_order(by_state).items()]
    jobs = plural(sum(by_state.values()), "job")
    return f"{jobs} ({', '.join(found)})" if len(found) > 1 else f"{jobs} ({found[0].split()[-1]})" if found else jobs


def _in_order(by_state: Mapping[str, int]) -> dict[str, int]:
    return {state: by_state[state] for state in STATES if by_state.get(state)}


def show_trial(
    screen: Screen, command: str, sentence: str, by_state: Mapping[str, int], ids: Iterable[str], none: str = ""
) -> int:
    """Say what would be done, and return the exit code; `none` is said when no job matches."""
    action = command.rpartition(" ")[2]
    if screen.format in ("json", "jsonl"):
        counts = _in_order(by_state)
        screen.json({"action": action, "dry_run": True, "matched": sum(counts.values()), "by_state": counts})
    elif screen.format == "name":
        for job_id in ids:
            screen.line(job_id)
    screen.message(none if none and not any(by_state.values()) else f"Would {sentence}; nothing was done")
    return 0


def is_agreed(args: Arguments, command: str, sentence: str, total: int) -> bool:
    """Ask whether to do it, where a person can answer; `sentence` is "cancel 3 jobs". Nothing to do needs no answer.

    Raises:
        UsageError: nobody can answer, and --yes was not given.
    """
    if args.yes or not total:
        return True
    if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        hint = f"{typed(args, command)} --yes   (--dry-run only counts)"
        raise UsageError(f"this would {sentence}: without a terminal it needs --yes", hint)
    sys.stderr.write(f"{sentence[:1].upper()}{sentence[1:]}? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    sys.stderr.write("Nothing was done\n")
    return False


def typed(args: Arguments, command: str) -> str:
    """Return the command line as it may be typed again."""
    from shlex import join

    words = ["queuectl", *(["--home", args.home] if args.home else []), *command.split()]
    words += [str(value) for name in ("level", "signal") if (value := getattr(args, name, None)) is not None]
    if getattr(args, "all", False):
        words.append("--all")
    words += [
        word for name in ("set", "unset") for text in getattr(args, name, None) or () for word in (f"--{name}", text)
    ]
    for name, value in given(args, ("state", "older_than", *FILTERS, *ORDER)).items():
        option, text = f"--{name.replace('_', '-')}", ",".join(value) if isinstance(value, list) else str(value)
        words += [f"{option}={text}"] if text[:1] == "-" else [option, text]
    words += [f"--{name.replace('_', '-')}" for name in FLAGS if getattr(args, name, False)]
    return join(words)
