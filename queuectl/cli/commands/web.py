"""web: the status page, its API and metrics."""

from __future__ import annotations

import os

from queuectl.atomic_file import open_private
from queuectl.cli.home import refuse_missing
from queuectl.cli.options import choice, command, flag, number, option
from queuectl.cli.terminal import shorten
from queuectl.client.queue import Queue, own_layout
from queuectl.clock import Clock
from queuectl.errors import UsageError
from queuectl.units import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen
    from queuectl.spool.layout import Layout
    from queuectl.web.http_server import Server

HOST = "127.0.0.1"
SOCKET_PATH_MAX = 107  # bytes, in Linux's sockaddr_un


@command(
    "web",
    choice(
        "what",
        "login|token",
        ("login", "token"),
        nargs="?",
        help="login: print an address that signs a browser in once; token: print the token for scripts",
    ),
    option("--host", metavar="ADDRESS", help="address to listen on (default: 127.0.0.1)"),
    number("--port", help="port to listen on (default: the setting web_port, 5000); 0 picks a free one"),
    option("--socket", metavar="PATH", help="listen on a Unix socket instead, for a proxy"),
    option("--socket-mode", metavar="MODE", help="its mode (default: 600); 660 for a proxy of its group"),
    option("--socket-group", metavar="GROUP", help="its group"),
    option("--token-file", metavar="FILE", help="file with the token (default: web.token in the home)"),
    flag("--read-only", help="allow no changes"),
    option("--allow-host", metavar="NAME", action="append", help="a host name to accept; may be repeated"),
    flag("--open", help="open the page in a browser"),
    flag("--rotate", help="with token: create a new token, which signs all users out"),
    examples=("queuectl web", "queuectl web --read-only --port 8080", "queuectl web login", "queuectl web token"),
)
def run(args: Arguments, screen: Screen) -> int:
    """Serve until Ctrl-C, or print an address to sign in or the token."""
    if args.what == "token":
        return _token(args, screen)
    if args.rotate:
        raise UsageError("--rotate goes with `token`", "queuectl web token --rotate")
    if args.port is not None and not 0 <= args.port <= 65535:
        raise UsageError(f"--port must be from 0 to 65535, not {args.port}")
    _check_socket(args)
    if args.what == "login":
        return _login(args, screen)
    from queuectl.web.serve import ServeOptions, build

    queue = Queue(args.home)
    settings = queue.settings
    options = ServeOptions(
        args.host or HOST,
        settings.web_port if args.port is None else args.port,
        socket_path=args.socket,
        socket_mode=_mode(args.socket_mode),
        socket_group=_group(args.socket_group),
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


def _mode(text: str | None) -> int:
    """Read the mode of a socket."""
    if text is None:
        return 0o600
    if len(text.removeprefix("0")) != 3 or not set(text) <= {*"01234567"} or int(text, 8) & 0o600 != 0o600:
        raise UsageError(
            f"--socket-mode must be three octal digits, the first of them 6 or 7, not {quote(text)}", "660"
        )
    return int(text, 8)


def _group(name: str | None) -> int:
    """Return the number of a group."""
    import grp

    try:
        return -1 if name is None else grp.getgrnam(name).gr_gid
    except KeyError:
        raise UsageError(f"there is no group {quote(name)}", "getent group") from None


def _serve(server: Server) -> None:
    """Serve until Ctrl-C."""
    from threading import Thread

    from queuectl.executor.signals import sleep_until_interrupted

    Thread(target=server.serve_forever, kwargs={"poll_interval": 3600}, daemon=True).start()
    sleep_until_interrupted()


def _check_socket(args: Arguments) -> None:
    """Refuse what cannot be meant together with --socket, and a name that no socket can have."""
    if args.socket is None:
        for name, value in (("--socket-mode", args.socket_mode), ("--socket-group", args.socket_group)):
            if value is not None:
                raise UsageError(f"{name} needs --socket", f"queuectl web --socket /run/queuectl.sock {name} {value}")
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
    """Say where the page is; the part behind # signs a browser in once, and never leaves it but to the server."""
    from queuectl.web.serve import url_of

    url, access = url_of(server), server.app.access
    if access.has_token:
        url += _code(args, server.app.layout)
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


def _code(args: Arguments, layout: Layout) -> str:
    from queuectl.web.tokens import login_code, read

    return f"#code={login_code(read(args.token_file or layout.web_token, create=True), Clock().now())}"


def _login(args: Arguments, screen: Screen) -> int:
    """Print an address that signs a browser in."""
    from queuectl.web.serve import url_at

    layout = own_layout(args.home)
    refuse_missing(args, layout)
    layout.ensure()
    settings = Queue(args.home).settings
    if settings.web_auth == "none":
        raise UsageError("the page is served without a token, so there is nothing to sign in with")
    url = url_at(args.host or HOST, settings.web_port if args.port is None else args.port) + _code(args, layout)
    screen.result({"url": url}, [url])
    screen.hint("It works once, within 10 minutes. For a page at another address, put the part from # on behind that")
    return 0


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
