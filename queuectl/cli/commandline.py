"""commandline: what was typed, read by the options that its command declares.

Guarantees: a plain command line is read without argparse, whose import takes longer than the rest of an `enqueue`,
            and means the same as with it; what needs cleverness, help and mistakes are left to argparse.
Fails with: Misuse; SystemExit once argparse has printed help or version.
"""

from __future__ import annotations

from queuectl.cli.options import COMMON, ONCE, Misuse
from queuectl.cli.verbs import GROUPS, VERBS, load, load_all, subcommands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from queuectl.cli.options import Handler, Option

HELP = ("-h", "--help")
WITH_ARGV = (["enqueue"], ["run"], ["map"], ["schedule", "add"])  # what follows `--` is a command of its own


class Arguments:
    """What was typed, one attribute an option; `handler` carries it out, None without a command."""

    handler: Handler | None = None
    argv: list[str] | None = None

    if TYPE_CHECKING:
        output: str
        debug: bool
        job: str | None
        lines: Any
        wait: Any
        collect: bool
        batch: str | None
        sort: str | None

        def __getattr__(self, name: str) -> Any: ...


def parse(tokens: Sequence[str], version: str = "") -> Arguments:
    """Read a command line, without the program's name; what follows `--` after one of WITH_ARGV is its `argv`.

    Raises:
        Misuse: it cannot be read.
        SystemExit: help or version was asked for and has been printed.
    """
    words, tokens = _command_of(tokens)
    argv: list[str] | None = None
    if words in WITH_ARGV and "--" in tokens:
        cut = [*tokens].index("--")
        tokens, argv = tokens[:cut], [*tokens[cut + 1 :]]
    found = read_plainly(tokens, words) or read_with_argparse(tokens, words, version)
    found.argv = argv
    return found


def command_words(tokens: Sequence[str]) -> list[str]:
    """Return the words that name the command; empty when there are none.

    Raises:
        Misuse: there is no such command.
    """
    return _command_of(tokens)[0]


def _command_of(tokens: Sequence[str]) -> tuple[list[str], Sequence[str]]:
    """Return the words that name the command, and the command line with the command's own name for an alias."""
    words: list[str] = []
    with_value = {name for names, more in COMMON if "action" not in more for name in names}
    rest = iter(enumerate(tokens))
    for at, token in rest:
        if token in with_value:
            next(rest, None)
        elif token == "--":
            break
        elif not token.startswith("-"):
            word = _known(words, token)
            if word != token:
                tokens = [*tokens[:at], word, *tokens[at + 1 :]]
            words.append(word)
            if words[0] not in GROUPS or len(words) == 2:
                return words, tokens
    if words and not set(HELP) & set(tokens):
        known = ", ".join(subcommands(words[0]))
        raise Misuse(f'"queuectl {words[0]}" needs a command: {known}', f"queuectl {words[0]} --help")
    return words, tokens


def _known(group: list[str], word: str) -> str:
    """Return the word of the table that `word` stands for: itself, or what it is an alias of."""
    known = subcommands(*group)
    if word in known:
        return word
    from queuectl.cli.aliases import ALIASES, MEANT

    typed = " ".join((*group, word))
    if typed in ALIASES:
        return ALIASES[typed].split()[-1]
    if typed in MEANT:
        hint = f"queuectl {MEANT[typed]}" + ("" if MEANT[typed][:2] == "--" else " --help")
        raise Misuse(f'unknown command "{typed}"; did you mean "{MEANT[typed]}"?', hint)
    meant = did_you_mean(word, known, group)
    raise Misuse(f'unknown command "{typed}"{meant}', " ".join(("queuectl", *group, "--help")))


def did_you_mean(word: str, known: Sequence[str], before: Sequence[str] = ()) -> str:
    """Return '; did you mean "..."?' when something known is like `word`, else nothing."""
    from difflib import get_close_matches

    plain = word.lstrip("-")  # two dashes in common make no two options alike
    by_plain = {name.lstrip("-"): name for name in known}
    begun = [name for name in by_plain if len(plain) > 1 and name.startswith(plain)]
    near = begun or get_close_matches(plain, by_plain, 1, 0.7)
    return f'; did you mean "{" ".join((*before, by_plain[near[0]]))}"?' if near else ""


def dest(names: Sequence[str], more: Mapping[str, Any]) -> str:
    """Return the attribute of Arguments that an option sets, as argparse derives it."""
    first_long = next((name for name in names if name.startswith("--")), names[0])
    return str(more.get("dest", first_long.lstrip("-").replace("-", "_")))


def read_plainly(tokens: Sequence[str], words: Sequence[str]) -> Arguments | None:
    """Read a command line that needs nothing clever; None when it does."""
    if " ".join(words) not in VERBS:
        return None
    command = load(" ".join(words))
    options = (*command.options, *COMMON)
    made = Arguments()
    for names, more in options:
        if more.get("action") != "store_const":
            setattr(made, dest(names, more), more.get("default", False if more.get("action") == "store_true" else None))
    made.handler = command.handler
    flags = {name: option for option in options for name in option[0] if name[0] == "-"}
    places: list[str] = []
    rest = [*reversed(tokens)]
    while rest:
        token = rest.pop()
        if token == "-" or token[:1] != "-":
            places.append(token)
            continue
        name, equals, text = token.partition("=") if token[:2] == "--" else (token, "", "")
        option = flags.get(name)
        if option is None or (len(places) < len(words) and option not in COMMON):
            return None
        if not _set(made, option, text if equals else None, rest):
            return None
    return made if _place(made, options, places[len(words) :]) else None


def _set(made: Arguments, option: Option, text: str | None, rest: list[str]) -> bool:
    """Set what an option says; False when argparse has to read it. `rest` are the tokens behind it, the next one last."""
    names, more = option
    action, name = more.get("action"), dest(names, more)
    if action in ("store_true", "store_const"):
        setattr(made, name, more.get("const", True))
        return text is None
    if "nargs" in more and action != "extend":
        return False
    if text is None:
        if not rest or not _is_value(rest[-1]):
            return False
        text = rest.pop()
        if action == "extend":
            values = [text]
            while rest and _is_value(rest[-1]) and rest[-1][0] != "{":
                values.append(rest.pop())
            setattr(made, name, [*(getattr(made, name) or ()), *values])
            return True
    value = _value(text, more)
    if not ONCE.isdisjoint(names) and action is None and getattr(made, name) not in (more.get("default"), value):
        return False
    setattr(made, name, [*(getattr(made, name) or ()), value] if action in ("append", "extend") else value)
    return value is not None


def _is_value(text: str) -> bool:
    return text == "-" or (text != "" and text[0] != "-")


def _value(text: str, more: Mapping[str, Any]) -> object:
    """Return the value that `text` stands for; None when argparse has to say what is wrong with it."""
    if "choices" in more and text not in more["choices"]:
        return None
    try:
        return more["type"](text) if "type" in more else text
    except ValueError:
        return None


def _place(made: Arguments, options: Sequence[Option], places: list[str]) -> bool:
    for names, more in options:
        if names[0][0] == "-":
            continue
        count, name = more.get("nargs"), names[0]
        if count in ("+", "*"):
            if not places and count == "+":
                return False
            setattr(made, name, places)
            places = []
        elif places:
            value = _value(places.pop(0), more)
            if value is None:
                return False
            setattr(made, name, value)
        elif count != "?":
            return False
    return not places


def read_common(tokens: Sequence[str]) -> Arguments:
    """Return `output` and `debug` of a command line that could not be read, so that its error has the right form.

    The value of an option is never taken for an option, nor what follows `--`. Of an unknown command, every option that
    any command has is known.
    """
    try:
        name = " ".join(command_words(tokens))
    except Misuse:
        name = ""
    flags = {name: option for option in COMMON for name in option[0]}
    has_others = any(token[:1] == "-" and token.partition("=")[0] not in flags for token in tokens)
    for command in [load(name)] if name in VERBS else load_all().values() if has_others else ():
        flags |= {name: option for option in command.options for name in option[0] if name[0] == "-"}
    made = Arguments()
    made.output, made.debug = "table", False
    rest = iter(tokens)
    for token in rest:
        if token == "--":
            break
        name, equals, text = token.partition("=")
        if token[:2] != "--":
            name, equals, text = token[:2], token[2:3], token[2:].removeprefix("=")
        option = flags.get(name)
        if option is None:
            continue
        names, more = option
        if "action" in more and more["action"] not in ("append", "extend"):
            if dest(names, more) in ("output", "debug"):
                setattr(made, dest(names, more), more.get("const", True))
        elif more.get("nargs") != "?":
            text = text if equals else next(rest, "")
            if "--output" in names:
                made.output = text
    return made


def read_with_argparse(tokens: Sequence[str], words: Sequence[str], version: str = "") -> Arguments:
    """Read any command line; parsers of other commands are built only where help lists them."""
    from queuectl.cli.parser import build_parser

    name = " ".join(words)
    listed = () if version else VERBS  # without a command, the help lists them; only behind -- can one follow
    command = load(name) if name in VERBS else None
    commands = {name: command} if command else load_all() if "--" in tokens else dict.fromkeys(listed)
    parser = build_parser(commands, version)
    made = Arguments()
    _, extra = parser.parse_known_args(tokens, made)
    unknown = next((token for token in extra if token[:1] == "-" and token != "-"), None)
    options = command.options if command else ()
    lists = [names[0] for names, more in options if more.get("nargs") in ("+", "*") and names[0][0] != "-"]
    if extra and unknown is None and lists:  # argparse takes a list in one piece only: `show A -q B`
        setattr(made, lists[0], [*getattr(made, lists[0]), *extra])
    elif extra:
        _refuse(unknown, extra, words, tokens, made)
    return made


def _refuse(
    unknown: str | None, extra: Sequence[str], words: Sequence[str], tokens: Sequence[str], made: Arguments
) -> None:
    hint = " ".join(("queuectl", *words, "--help"))
    job = getattr(made, "job", None)
    if [*words] in WITH_ARGV and job and job[:1] not in ("{", "[", "-"):
        at = tokens.index(job, tokens.index(words[0]) + 1)
        if unknown is None or tokens.index(unknown) > at:
            _refuse_command(tokens, at)
    if unknown is None and [*words] == ["schedule", "add"]:
        hint = "a command is written after --: queuectl schedule add NAME --cron EXPR -- COMMAND"
    if unknown is None and [*words] in (["worker", "stop"], ["worker", "restart"]):
        hint = "to stop one worker: --id; to reduce the number: queuectl worker scale N"
    if unknown is None and [*words] == ["list"]:
        from shlex import quote

        from queuectl.job.job import STATES

        hint = f"queuectl {'list --state' if extra[0] in STATES else 'show'} {quote(extra[0])}"
    if unknown is None:
        raise Misuse(f'unexpected argument "{extra[0]}"', hint)
    options = (*load(" ".join(words)).options, *COMMON) if " ".join(words) in VERBS else COMMON
    known = [name for names, _ in options for name in names if name[:2] == "--"]
    option = unknown.partition("=")[0]
    from queuectl.cli.aliases import ABSENT_OPTIONS, MEANT_OPTIONS

    command = " ".join(words)
    if (command, option) in ABSENT_OPTIONS:
        raise Misuse(f"unknown option {option}", ABSENT_OPTIONS[command, option])
    meant = MEANT_OPTIONS.get((command, option)) or MEANT_OPTIONS.get(("", option))
    if meant in known:
        raise Misuse(f'unknown option {option}; did you mean "{meant}"?', hint)
    raise Misuse(f"unknown option {option}{did_you_mean(option, known)}", hint)


def _refuse_command(tokens: Sequence[str], at: int) -> None:
    """Name what to type instead of `enqueue echo hi`; the command begins at `at`."""
    from shlex import join

    raise Misuse("write the command to run after --", join(["queuectl", *tokens[:at], "--", *tokens[at:]]))
