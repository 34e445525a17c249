"""completion: real shells complete what the table of commands says."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl.cli.completion import table
from queuectl.cli.verbs import GROUPS, VERBS
from queuectl.config.settings import SETTINGS
from tests.cli.support import Jobs, Run

PATIENCE_S = 60
Complete = Callable[[str], set[str]]

BASH = """\
source "$1"
COMP_LINE=$2 COMP_POINT=${#2} COMP_WORDBREAKS=$' \\t\\n"\\'@><=;|&(:'
words=${2//=/ = }
read -ra COMP_WORDS <<< "${words//@/ @ }"
[[ $2 == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
last=${COMP_WORDS[COMP_CWORD]}
_queuectl "${COMP_WORDS[0]}" "$last" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def _needed(shell: str) -> str:
    path = shutil.which(shell)
    if path is None:
        if os.environ.get("QUEUECTL_CI"):
            pytest.fail(f"CI must have {shell}")
        pytest.skip(f"{shell} is not installed")
    return path


@pytest.fixture(params=["bash", "fish"])
def complete(request: pytest.FixtureRequest, cli: Run, tmp_path: Path, environ: dict[str, str]) -> Complete:
    """Ask a shell what it would offer at the end of a line."""
    shell = _needed(request.param)
    script = tmp_path / "completion"
    script.write_text(cli("completion", request.param).out)

    def ask(line: str) -> set[str]:
        told = ["-c", BASH, "bash", str(script), line]
        if request.param == "fish":
            told = ["--no-config", "-c", "source $argv[1]; complete -C $argv[2]", "--", str(script), line]
        done = subprocess.run([shell, *told], env=environ, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.stderr == "", done.stderr
        return {offered.partition("\t")[0] for offered in done.stdout.splitlines() if offered}

    return ask


def test_commands_and_their_words_are_offered(complete: Complete) -> None:
    assert complete("queuectl ") == {name.split()[0] for name in VERBS}
    assert complete("queuectl en") == {"enqueue"}
    assert complete("queuectl --home /x worker ") == {"start", "stop", "list", "scale", "restart", "logs"}
    assert complete("queuectl -q config se") == {"set"}
    assert complete("queuectl worker ls --") == complete("queuectl worker list --")
    assert complete("queuectl add --que") == {"--queue"}
    assert complete("queuectl xyzzy ") == set()


def test_options_are_those_of_the_command(complete: Complete) -> None:
    """With the common ones, and no others."""
    assert {"--state", "--limit", "--json", "--help"} <= complete("queuectl list --")
    assert "--state" not in complete("queuectl show --")
    assert complete("queuectl worker start --c") == {"--count", "--color"}
    assert complete("queuectl worker start --r") == set()


def test_values_are_offered_where_they_are_known(complete: Complete, tmp_path: Path) -> None:
    assert complete("queuectl list --state d") == {"dead"}
    assert complete("queuectl list -o j") == {"jsonl", "json"}
    assert complete("queuectl config get web_p") == {"web_port"}
    assert complete("queuectl completion ") == {"bash", "zsh", "fish"}
    assert complete("queuectl enqueue --command ") == set()
    (tmp_path / "jobs.jsonl").touch()
    assert complete("queuectl enqueue --file job") == {"jobs.jsonl"}
    assert {"status", "worker"} <= complete("queuectl help ")


def test_a_value_behind_an_equals_sign_is_offered_too(complete: Complete, request: pytest.FixtureRequest) -> None:
    """Bash takes it for a word of its own, fish for the end of one."""
    start = "--output=" if "fish" in request.node.name else ""
    assert complete("queuectl list --output=j") == {f"{start}jsonl", f"{start}json"}


def test_an_id_with_an_at_sign_is_completed(complete: Complete, jobs: Jobs, request: pytest.FixtureRequest) -> None:
    """Bash splits the word there, and replaces only what is behind the sign."""
    start = "nightly@" if "fish" in request.node.name else ""
    jobs.pending("nightly@20261130T013000Z")
    jobs.pending("nightly@20261201T013000Z")
    assert complete("queuectl show nightly@202611") == {f"{start}20261130T013000Z"}
    assert complete("queuectl enqueue --after nightly@20261201") == {f"{start}20261201T013000Z"}


def test_schedules_are_those_of_the_configuration(complete: Complete, jobs: Jobs) -> None:
    jobs.queue.add_schedule("nightly", "true", every="1h")
    jobs.queue.add_schedule("sync", "true", every="1h")
    assert complete("queuectl schedule pause ni") == {"nightly"}
    assert complete("queuectl schedule run ") == {"nightly", "sync"}
    assert complete("queuectl schedule add ni") == set()


def test_ids_are_those_of_the_queue(complete: Complete, jobs: Jobs, home: Path, tmp_path: Path) -> None:
    """Of the home that was named; dead ones for dlq; nothing is made where there is no queue."""
    elsewhere = tmp_path / "elsewhere"
    assert complete(f"queuectl --home {elsewhere} show ") == set()
    assert not elsewhere.exists()
    jobs.pending("apple")
    jobs.dead("apricot")
    jobs.pending("banana")
    assert complete("queuectl show a") == {"apple", "apricot"}
    assert complete("queuectl cancel ") == {"apple", "apricot", "banana"}
    assert complete("queuectl dlq retry a") == {"apricot"}
    assert complete(f"queuectl --home {elsewhere} show ") == set()
    assert complete("queuectl worker stop --id ") == set()


@pytest.mark.parametrize("how", ["source {folder}/_queuectl", "fpath=({folder} $fpath)"], ids=["sourced", "fpath"])
def test_zsh_completes_what_is_typed(cli: Run, tmp_path: Path, environ: dict[str, str], jobs: Jobs, how: str) -> None:
    """On a terminal, by its own completion system: each prefix becomes the whole word."""
    shell = _needed("zsh")
    jobs.pending("apple")
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions/_queuectl").write_text(cli("completion", "zsh").out)
    (tmp_path / "jobs.jsonl").touch()
    begin, load = "autoload -Uz compinit; compinit -u -D", how.format(folder=tmp_path / "functions")
    (tmp_path / ".zshrc").write_text(
        "PS1=\n" + "\n".join([load, begin] if load.startswith("fpath") else [begin, load]) + "\n"
        "show() { zle -I; print -r -- \"<$BUFFER>\"; BUFFER= }; zle -N show; bindkey '^X' show\nprint READY\n"
    )
    lines = {
        "queuectl enq": "queuectl enqueue ",
        "queuectl -q worker sca": "queuectl -q worker scale ",
        "queuectl worker start --cou": "queuectl worker start --count ",
        "queuectl list --state proc": "queuectl list --state processing ",
        "queuectl list --output=ts": "queuectl list --output=tsv ",
        "queuectl config get web_p": "queuectl config get web_port ",
        "queuectl show app": "queuectl show apple ",
        "queuectl enqueue --file job": "queuectl enqueue --file jobs.jsonl ",
        "queuectl help complet": "queuectl help completion ",
    }
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execve(shell, ["zsh", "-i"], {**environ, "ZDOTDIR": str(tmp_path), "TERM": "dumb"})
    try:
        _read_until(terminal, "READY")
        for typed, completed in lines.items():
            os.write(terminal, f"{typed}\t".encode())
            os.write(terminal, b"\x18")
            assert f"<{completed}>" in _read_until(terminal, ">"), typed
    finally:
        os.close(terminal)
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def _read_until(terminal: int, mark: str) -> str:
    shown, deadline = "", time.monotonic() + PATIENCE_S
    while mark not in shown:
        assert select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0], shown
        shown += os.read(terminal, 65536).decode()
    return shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_and_option_is_in_the_script(cli: Run, shell: str) -> None:
    """A row of the table needs nothing more to be completed."""
    text = cli("completion", shell).out
    for command in ("", *VERBS):
        for entry in table.options(command):
            for name in entry.names:
                plain = name if shell != "fish" else f"-{'l' if name[:2] == '--' else 's'} {name.lstrip('-')}"
                assert plain in text, (command, name)
    known = {word for name in VERBS for word in name.split()} | {setting.name for setting in SETTINGS} | {*GROUPS}
    assert not [word for word in known if word not in text]
    assert "ready-fd" not in text
