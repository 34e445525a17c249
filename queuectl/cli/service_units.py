"""service_units: the texts by which systemd and launchd run the queue.

Guarantees: pure; the same answers to the same questions. Every word of a command line reaches the program as it is here,
            whatever characters are in it.
Source:     systemd.service(5), systemd.exec(5), systemd.syntax(7); launchd.plist(5).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-=:+,@")
UNSAFE = frozenset("\"'\\")  # what systemd does not take in the path of a program
DRAIN_S, GRACE_S = 60, 90
LABEL = "org.queuectl"


class Service:
    """What the files are about.

    Attributes:
        program: the words that start this installation, the first an absolute path.
        home: the queue's directory, absolute.
        is_home_known: the program takes this home by itself.
        path: where commands find programs.
        user: whom a service of the system runs as; empty for a service of the user's own.
    """

    __slots__ = ("home", "is_home_known", "path", "program", "user", "workers")

    def __init__(
        self, program: Sequence[str], home: str, path: str, *, is_home_known: bool, user: str, workers: int
    ) -> None:
        self.program = program
        self.home = home
        self.is_home_known = is_home_known
        self.path = path
        self.user = user
        self.workers = workers

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the program is started with."""
        return {"PATH": self.path, **({} if self.is_home_known else {"QUEUECTL_HOME": self.home})}

    def start(self) -> tuple[str, ...]:
        """Return the command line of the supervisor."""
        return (*self.program, "worker", "start", "--foreground", "--count", str(self.workers))


def unit(service: Service) -> str:
    """Return the systemd unit of the supervisor."""
    return f"""\
[Unit]
Description=QueueCTL, a local job queue
Documentation=man:queuectl(1)
{_needs(service)}
[Service]
Type=notify
NotifyAccess=main
{_common(service)}
ExecStart={_line(service.start())}
ExecReload=/bin/kill -HUP $MAINPID
# Jobs have {DRAIN_S} seconds to end; those that need longer are put back, which costs them no retry.
ExecStop=-{_line((*service.program, "worker", "stop", "--timeout", str(DRAIN_S)))}
ExecStop=-{_line((*service.program, "worker", "stop", "--now", "--wait"))}
KillMode=mixed
TimeoutStopSec={GRACE_S}
Restart=on-failure
RestartSec=2
# Trying again does not help: wrong usage, another supervisor, invalid configuration, not allowed.
RestartPreventExitStatus=2 4 6 8
# A job that runs out of memory fails alone.
OOMPolicy=continue
# What jobs write is for their owner; without this line it is for whom the system says.
UMask=0077

[Install]
WantedBy={_target(service)}
"""


def web_unit(service: Service) -> str:
    """Return the systemd unit of the status page; hardened, for nothing but the page runs in it."""
    return f"""\
[Unit]
Description=QueueCTL, the status page
Documentation=man:queuectl(1)
# The page can start workers; with the queue's own service there, they never run in this one.
Wants=queuectl.service
After=queuectl.service
{_needs(service)}
[Service]
Type=exec
{_common(service)}
ExecStart={_line((*service.program, "web"))}
# The address that it prints holds the token.
StandardOutput=null
KillSignal=SIGINT
KillMode=process
SuccessExitStatus=130
Restart=on-failure
RestartSec=2
RestartPreventExitStatus=2 6 8
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
SystemCallArchitectures=native
{_walls(service)}
[Install]
WantedBy={_target(service)}
"""


def _needs(service: Service) -> str:
    return f"RequiresMountsFor={_word(service.home)}\n" if service.user else ""


def _common(service: Service) -> str:
    lines = [f"User={service.user}"] if service.user else []
    return "\n".join(lines + [f"Environment={_word(f'{key}={value}')}" for key, value in service.environment.items()])


def _target(service: Service) -> str:
    return "multi-user.target" if service.user else "default.target"


def _walls(service: Service) -> str:
    """Return what only the system's own manager can do."""
    if not service.user:
        return ""
    return f"""\
CapabilityBoundingSet=
PrivateDevices=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectSystem=strict
ReadWritePaths={_word(service.home)}
"""


def _line(words: Sequence[str]) -> str:
    """Return a command line as ExecStart= takes it; a variable is replaced everywhere but in the program's path."""
    first, *rest = words
    return " ".join([_word(first), *(_word(word).replace("$", "$$") for word in rest)])


def _word(text: str) -> str:
    """Return one word of a unit file, in quotes where it needs them; % would begin a specifier."""
    text = text.replace("%", "%%")
    if PLAIN.union("%").issuperset(text) and text:
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def plist(service: Service) -> str:
    """Return the launchd agent of the supervisor."""
    return _agent(LABEL, service.start(), service)


def web_plist(service: Service) -> str:
    """Return the launchd agent of the status page."""
    return _agent(f"{LABEL}.web", (*service.program, "web"), service)


def _agent(label: str, words: Sequence[str], service: Service) -> str:
    import plistlib

    agent = {
        "Label": label,
        "ProgramArguments": [*words],
        "EnvironmentVariables": service.environment,
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ProcessType": "Background",
        "ExitTimeOut": GRACE_S,
        "Umask": 0o077,
    }
    return plistlib.dumps(agent, sort_keys=False).decode()
