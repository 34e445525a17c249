"""web: the status page, its API and metrics."""

from __future__ import annotations

import os

from queuectl.atomic_file import open_private
from queuectl.cli.home import refuse_missing
from queuectl.cli.options import choice, command, flag, number, option
from queuectl.cli.terminal import shorten
from queuectl.client.queue import Queue, own_layout
from queuectl.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen
    from queuectl.web.http_server import Server

HOST = "127.0.0.1"
SOCKET_PATH_MAX = 107  # bytes, in Linux's sockaddr_un


@command(
    "web",
    choice("what", "token", ("token",), nargs="?", help="print the token that the page and scripts need"),
    option("--host", metavar="ADDRESS", help="address to listen on (default: 127.0.0.1)"),
    number("--port", help="port to listen on (default: the setting web_port, 5000); 0 picks a free one"),
    option("--socket", metavar="PATH", help="listen on a Unix socket instead, for a proxy"),
    option("--token-file", metavar="FILE", help="file with the token (default: web.token in the home)"),
    flag("--read-only", help="allow no changes"),
    option("--allow-host", metavar="NAME", action="append", help="a host name to accept; may be repeated"),
    flag("--open", help="open the page in a browser"),
    flag("--rotate", help="with token: create a new token, which signs all users out"),
    examples=("queuectl web", "queuectl web --read-only --port 8080", "queuectl web token"),
)
def run(args: Arguments, screen: Screen) -> int:
    """Serve until Ctrl-C, or print the token."""
    if args.what == "token":
        return _token(args, screen)
    if args.rotate:
        raise UsageError("--rotate goes with `token`", "queuectl web token --rotate")
    if args.port is not None and not 0 <= args.port <= 65535:
        raise UsageError(f"--port must be from 0 to 65535, not {args.port}")
    _check_socket(args)
    from queuectl.web.serve import ServeOptions, build

    queue = Queue(args.home)
    settings = queue.settings
    options = ServeOptions(
        args.host or HOST,
        settings.web_port if args.port is None else args.port,
        socket_path=args.socket,
        token_file=args.token_file,
        auth=settings.web_auth,
        read_only=args.read_only or settings.web_access == "read-only",
        allow_hosts=args.allow_host or (),
    )
    server = build(queue, options)
    try:
        _write_address(args, screen, server, is_local=options.is_local)
        _serve(server)
    except KeyboardInterrupt:
        words = server.app.tasks.stop_all()
        screen.message("Stopped; jobs and workers continue")
        if words is not None:
            screen.message(words)
    finally:
        server.server_close()
        if args.socket is not None:
            server.forget(args.socket)
    return 0


def _serve(server: Server) -> None:
    """Serve until Ctrl-C."""
    from threading import Thread

    from queuectl.executor.signals import sleep_until_interrupted

    Thread(target=server.serve_forever, kwargs={"poll_interval": 3600}, daemon=True).start()
    sleep_until_interrupted()


def _check_socket(args: Arguments) -> None:
    """Refuse what cannot be meant together with --socket, and a name that no socket can have."""
    if args.socket is None:
        return
    for name, value in (("--host", args.host), ("--port", args.port), ("--open", args.open or None)):
        if value is not None:
            raise UsageError(f"{name} cannot be used with --socket", "leave one of them out")
    size = len(os.fsencode(args.socket))
    if size > SOCKET_PATH_MAX:
        raise UsageError(
            f"--socket: {size} bytes are too many for the path of a socket; at most {SOCKET_PATH_MAX} are possible",
            "a shorter path, as /run/queuectl.sock",
        )
    if not size:
        raise UsageError("--socket needs a path", "queuectl web --socket /run/queuectl.sock")


def _write_address(args: Arguments, screen: Screen, server: Server, *, is_local: bool) -> None:
    """Say where the page is; the part behind # never leaves the browser."""
    from queuectl.web.serve import url_of
    from queuectl.web.tokens import read

    url, access = url_of(server), server.app.access
    if access.has_token:
        url += f"#token={read(args.token_file or server.app.layout.web_token)}"
    if not is_local:
        screen.warn(
            f"{args.host} can be reached from other machines, and there is no TLS: the token is sent unencrypted"
        )
        screen.warn("host names other than the address must be allowed: --allow-host NAME")
    shown = {"url": url, "socket": args.socket, "read_only": access.read_only}
    screen.result(shown, [url if args.socket is None else args.socket])
    screen.flush()
    for what, is_so in (("read-only", access.read_only), ("without a token", not access.has_token)):
        if is_so:
            screen.message(f"Served {what}")
    screen.hint('Ctrl-C ends it. For scripts: curl -H "Authorization: Bearer $(queuectl web token)" ...')
    if args.open and args.socket is None:
        _open(server, url)


def _open(server: Server, url: str) -> None:
    """Open the page in a browser, through a file: other users see the words of a command line."""
    import webbrowser

    path = f"{server.app.layout.run}/web.html"
    with open(open_private(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW), "w") as file:
        file.write(f'<!doctype html><meta http-equiv="refresh" content="0; url={url}"><a href="{url}">QueueCTL</a>\n')
    webbrowser.open(f"file://{path}")


def _token(args: Arguments, screen: Screen) -> int:
    """Print the token, perhaps a new one."""
    from queuectl.web import tokens

    layout = own_layout(args.home)
    refuse_missing(args, layout)
    layout.ensure()
    path = args.token_file or layout.web_token
    token = tokens.make(path) if args.rotate else tokens.read(path, create=True)
    screen.result({"token": token, "file": path, "rotated": args.rotate}, [token])
    if args.rotate:
        screen.message("All users must sign in again with the new token")
    screen.hint(f"It is stored in {shorten(path)}; a running page reads it from there")
    return 0
