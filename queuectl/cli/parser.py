"""parser: the argparse parser, made of what the commands declare.

Guarantees: only the standard library is imported, so that the man page can be built before anything is installed. Common
            options work before and after the command. Nothing is abbreviated.
Fails with: Misuse.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from queuectl.cli.aliases import aliases_of
from queuectl.cli.options import COMMON, HIDDEN, ONCE, Misuse, option
from queuectl.cli.topics import TOPICS
from queuectl.cli.verbs import GROUPS, help_of, load_all
from queuectl.units import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, NoReturn

    from queuectl.cli.options import Command, Option

BELOW = """\
exit codes:
  0 done              1 failed            2 usage              3 not found
  4 conflict          5 no supervisor     6 invalid data       7 partly failed
  8 not allowed       9 busy or full     10 the job did not succeed
  70 our bug        124 time ran out    130 Ctrl-C

topics:
""" + "\n".join(f"  {topic:<15} {summary}" for topic, summary in TOPICS.items())


class Once(argparse.Action):
    """Refuses a second, other value."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        """Set the value; another one was not given before."""
        before = getattr(namespace, self.dest)
        if before not in (self.default, values):
            words = f"{option} takes one value, not two: {quote(before)} and {quote(values)}"
            raise Misuse(words, f"{parser.prog} --help")
        setattr(namespace, self.dest, values)


def build_parser(commands: Mapping[str, Command | None] | None = None, version: str = "") -> argparse.ArgumentParser:
    """Build the parser of all commands, or of `commands` only, which takes less time.

    Args:
        commands: by their names; None for one that is only listed in the help.
    """

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            words = _plain_message(message)
            name, _, rest = words.partition(": ")
            if rest == "expected one argument" and name[:2] == "--":
                words = f'{name} needs a value; write a value that begins with "-" as {name}=VALUE'
            raise Misuse(words, f"{self.prog} --help")

    def make(
        add: Callable[..., Any], name: str, help: str, usage: str | None, *more: str, aliases: Iterable[str] = ()
    ) -> argparse.ArgumentParser:
        also = "".join(f" (also: {alias})" for alias in aliases)
        made: argparse.ArgumentParser = add(
            name,
            **({"help": help + also} if add is not Parser else {}),
            description=help[:1].upper() + help[1:] + "." + also.replace(" (", "\n(", 1),
            epilog="\n".join(more) or None,
            usage=usage,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        return made

    def add_options(parser: argparse.ArgumentParser, options: Iterable[Option]) -> None:
        for names, more in options:
            once = {} if ONCE.isdisjoint(names) else {"action": Once}  # unless its row has another action
            checked = {**once, **more, "type": _explained(more["type"])} if "type" in more else {**once, **more}
            if checked.get("help") == HIDDEN:
                checked["help"] = argparse.SUPPRESS  # which argparse knows by its identity
            parser.add_argument(*names, **checked)
        parser._has_negative_number_optionals.clear()  # `-0` is an option, and `--priority -5` still has a value
        common = parser.add_argument_group("common options")
        for names, more in COMMON:
            # Real defaults on the root only: a default here would undo what was said before the command.
            common.add_argument(*names, **(more if parser is root else {**more, "default": argparse.SUPPRESS}))

    def _explained(read: Callable[[str], object]) -> Callable[[str], object]:
        def checked(text: str) -> object:
            try:
                return read(text)
            except ValueError as error:
                raise argparse.ArgumentTypeError(str(error)) from None

        return checked

    root = make(
        Parser,
        "queuectl",
        "a local job queue that keeps each job in one file",
        "%(prog)s [options] COMMAND ...",
        BELOW,
    )
    add_options(
        root, [option("-V", "--version", action="version", version=f"%(prog)s {version}", help="show the version")]
    )
    shape: dict[str, Any] = {"title": "commands", "metavar": "COMMAND", "parser_class": Parser}
    top = root.add_subparsers(**shape, prog="queuectl")
    groups: dict[str, Any] = {}
    for name, command in (load_all() if commands is None else commands).items():
        words = name.split()
        group = words[0]
        if group in GROUPS and group not in groups:
            parser = make(top.add_parser, group, GROUPS[group], f"queuectl {group} [options] COMMAND ...")
            add_options(parser, ())
            groups[group] = parser.add_subparsers(**shape, prog=f"queuectl {group}")
        add = groups.get(group, top).add_parser
        if command is None:
            make(add, words[-1], help_of(name), None, aliases=aliases_of(name))
            continue
        usage = f"queuectl {name} [options] {places(command)}".rstrip()
        examples = ("examples:", *(f"  {example}" for example in command.examples))
        parser = make(add, words[-1], help_of(name), usage, *examples, aliases=aliases_of(name))
        add_options(parser, command.options)
        parser.set_defaults(handler=command.handler)
    return root


def places(command: Command) -> str:
    """Return what follows the options in a usage line."""
    shapes = {"?": "[{}]", "*": "[{} ...]", "+": "{} ...", None: "{}"}
    rows = [more for names, more in command.options if names[0][0] != "-"]
    return command.usage or " ".join(shapes[more.get("nargs")].format(more["metavar"]) for more in rows)


def _plain_message(message: str) -> str:
    name, colon, rest = message.removeprefix("argument ").partition(": ")
    if not message.startswith("argument ") or not colon:
        return message
    choices = rest.removeprefix("invalid choice: ").partition(" (choose from ")
    if choices[1]:
        known = choices[2].rstrip(")").replace("'", "")
        rest = f'must be one of {known}, not "{choices[0][1:-1]}"'
    return f"{name.rpartition('/')[2]} {rest}" if rest.startswith("must") else f"{name.rpartition('/')[2]}: {rest}"
