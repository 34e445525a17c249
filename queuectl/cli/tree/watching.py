"""watching: the commands that tell how things stand."""

from __future__ import annotations

from queuectl.cli.grammar import Command, choice, flag, number, option

WATCHING: dict[str, Command] = {
    "status": Command(
        "show the queue, its workers and what needs attention",
        examples=("queuectl status", "queuectl status --json"),
    ),
    "web": Command(
        "serve the status page, its API and metrics until Ctrl-C",
        choice("what", "token", ("token",), nargs="?", help="print the token that the page and scripts need"),
        option("--host", metavar="ADDRESS", help="where to listen (default: 127.0.0.1)"),
        number("--port", help="which port (default: the setting web_port, 5000); 0 takes a free one"),
        option("--socket", metavar="PATH", help="listen on a socket in the file system instead, for a proxy"),
        option("--token-file", metavar="FILE", help="where the token is (default: web.token in the home)"),
        flag("--read-only", help="let nothing be changed"),
        option("--allow-host", metavar="NAME", action="append", help="a name that it answers to; may be repeated"),
        flag("--open", help="open the page in a browser"),
        flag("--rotate", help="with token: make a new one, which signs everybody out"),
        examples=("queuectl web", "queuectl web --read-only --port 8080", "queuectl web token"),
    ),
}
