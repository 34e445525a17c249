"""progress: a line on stderr that tells how far long work has come, on a terminal only.

Guarantees: nothing is shown before 0.3 s have passed nor more than ten times a second; the line is wiped at the end.
"""

from __future__ import annotations

import sys

from queuectl.cli.text import cut
from queuectl.clock import Clock
from queuectl.units import spell_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.terminal import Screen
    from queuectl.client.queue import Queue
    from queuectl.index.reader import Reader

SHOW_AFTER_S = 0.3
REDRAW_S = 0.1
BAR = 20


class Progress:
    """Tells of work that is under way; silent where nobody looks.

    Args:
        doing: "Queueing".
        total: how much there is to do; None when that is not known.
    """

    def __init__(self, screen: Screen, doing: str, total: int | None = None, clock: Clock | None = None) -> None:
        self._is_interactive = screen.is_interactive
        self._doing = doing
        self._monotonic = (clock or Clock()).monotonic
        self._start = self._monotonic()
        self._next = self._start + SHOW_AFTER_S
        self._shown = False
        self.total = total
        self.done = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def step(self, count: int = 1, words: str = "") -> None:
        """Count what was done, and show it now and then; `words` instead of figures."""
        self.done += count
        if not self._is_interactive:
            return
        now = self._monotonic()
        if now >= self._next:
            self._next = now + REDRAW_S
            self._draw(words or self._figures(now - self._start))

    def clear(self) -> None:
        """Wipe the line, so that the result stands in its place."""
        if self._shown:
            self._write("\r\x1b[K")
            self._shown = False

    @property
    def elapsed_s(self) -> float:
        """Seconds since the work began."""
        return self._monotonic() - self._start

    def _figures(self, elapsed_s: float) -> str:
        rate = self.done / elapsed_s if elapsed_s > 0 else 0.0
        if not self.total:
            return f"{self.done:,}  {rate:,.0f}/s"
        share = min(1.0, self.done / self.total)
        filled = int(share * BAR)
        left = f"  {spell_duration((self.total - self.done) / rate)} left" if rate else ""
        bar = "#" * filled + "-" * (BAR - filled)
        return f"[{bar}]  {share:.0%}  {self.done:,}/{self.total:,}  {rate:,.0f}/s{left}"

    def _draw(self, words: str) -> None:
        import shutil

        self._shown = True
        self._write("\r\x1b[K" + cut(f"{self._doing}  {words}", shutil.get_terminal_size().columns - 1))

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):
            self._is_interactive = False


def open_index(queue: Queue, screen: Screen, *, is_complete: bool = False) -> Reader:
    """Open the index, up to date; bringing a large one there may take a while.

    Args:
        is_complete: show every job, also while the supervisor rebuilds it; else a warning says that some may be missing.
    """
    with Progress(screen, "Catching up") as progress:
        open_reader = queue.complete_reader if is_complete else queue.reader
        return open_reader(screen.warn, lambda words: progress.step(0, words))
