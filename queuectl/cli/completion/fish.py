"""fish: the completion of fish, with what each word means.

Source:     fish-doc, complete(1).
"""

from __future__ import annotations

from queuectl.cli.aliases import ALIASES
from queuectl.cli.completion import table
from queuectl.cli.completion.table import ANYTHING, FILE, FOLDER, NOTHING, QUESTIONS
from queuectl.cli.verbs import GROUPS, VERBS

SCRIPT = """\
# Completion of queuectl for fish. To use it: queuectl completion fish | source

function __queuectl_words --description 'the words before the cursor that name the command'
    set -l words (commandline -opc)
    set -l found
    set -l skip true
    for word in $words
        if test $skip = true
            set skip false
            continue
        end
        switch $word
            case {common}
                set skip true
            case '-*'
            case '*'
                if not set -q found[1]; or contains -- $found[1] {groups}
                    set -q found[2]; or set -a found $word
                end
        end
    end
    switch "$found"
{aliases}
    end
    echo "$found"
end

function __queuectl_at --description 'whether that command is being typed'
    test (__queuectl_words) = "$argv"
end

function __queuectl_typed --description 'a filter for what has been typed of the word'
    set -l word (commandline -ct)
    test -n "$word"; and printf '%s\n' --search $word
end

function __queuectl_ask --description 'what the queue itself knows'
    set -l words (commandline -opc)
    set -l home
    set -l at (contains -i -- --home $words); and set home --home $words[(math $at + 1)]
    set -l place $home[2] $QUEUECTL_HOME $HOME/.queuectl
    test -d $place[1]; or return # asking would make it
    $words[1] $home $argv </dev/null 2>/dev/null
end

complete -c queuectl -f
{lines}
"""


def script() -> str:
    """Return the text that fish sources."""
    lines = [_option("", entry) for entry in table.options("")]
    lines.append("complete -c queuectl -s h -l help -d 'show help'")
    for name in ("", *GROUPS):
        lines += [f"{_at(name)} -a {word} -d {_quoted(meaning)}" for word, meaning in table.following(name)]
    for command in VERBS:
        lines += [_option(command, entry) for entry in table.options(command)]
        value = table.place(command)
        if value not in (NOTHING, ANYTHING):
            lines.append(f"{_at(command)}{_offer(value)}")
    common = " ".join(table.taking_values(""))
    aliases = "\n".join(f"        case '{alias}'\n            set found {meant}" for alias, meant in ALIASES.items())
    return SCRIPT.format(common=common, groups=" ".join(GROUPS), aliases=aliases, lines="\n".join(lines))


def _option(command: str, entry: table.Entry) -> str:
    names = "".join(f" -l {name[2:]}" if name.startswith("--") else f" -s {name[1:]}" for name in entry.names)
    value = "" if entry.value == NOTHING else f" -r{_offer(entry.value)}"
    return f"{_at(command) if command else 'complete -c queuectl'}{names}{value} -d {_quoted(entry.help)}"


def _at(command: str) -> str:
    return f"complete -c queuectl -n {_quoted(f'__queuectl_at {command}'.rstrip())}"


def _offer(value: str | tuple[str, ...]) -> str:
    if isinstance(value, tuple):
        return f" -f -a {_quoted(' '.join(value))}"
    if value in QUESTIONS:
        return f" -f -a {_quoted('(__queuectl_ask ' + QUESTIONS[value].format('(__queuectl_typed)') + ')')}"
    return {FILE: " -F", FOLDER: " -f -a '(__fish_complete_directories)'"}.get(value, " -f")


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
