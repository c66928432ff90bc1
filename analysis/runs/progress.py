"""Progress on standard error: one line that is redrawn on a terminal, and plain lines in a log.

A command may say with :func:`plan` which steps it will take; its bar then shows what is left of all of them.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Lock, Timer
from time import monotonic
from typing import Self, TextIO, TypeVar

T = TypeVar("T")

REDRAW = 0.1  # seconds between two states of the line on a terminal
SILENCE = 60.0  # seconds after which a log gets a line, however little was done
START = 0.5  # seconds after which a log is told that a command has begun, if it has not been told anything
WIDTH = 20  # characters of the bar


def on_terminal(stream: TextIO) -> bool:
    """Return whether a stream shows what carriage returns do: a terminal that is not dumb, or a notebook."""
    if type(stream).__module__.startswith("ipykernel"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


class _Line:
    """The last line of a terminal, which is written again and again, and erased before anything else is printed.

    In a log, one that is written later, unless something else is printed before.
    """

    def __init__(self) -> None:
        self.length = 0
        self.name = ""  # of the command that begins, until something is printed
        self.pending: Timer | None = None

    def draw(self, text: str) -> None:
        """Show a text in place of the one before, cut where the terminal ends."""
        text = text[: shutil.get_terminal_size().columns - 1]
        before, self.length = self.length, 0  # while writing: standard error itself may erase
        sys.stderr.write("\r" + text.ljust(before))
        sys.stderr.flush()
        self.length = len(text)

    def promise(self, text: str) -> None:
        """Write a line of a log in a while."""
        self.erase()
        self.pending = Timer(START, say, [text])
        self.pending.daemon = True
        self.pending.start()

    def erase(self) -> None:
        """Make place for something else."""
        self.name = ""
        pending, self.pending = self.pending, None
        if pending is not None:
            pending.cancel()
        if self.length:
            before, self.length = self.length, 0
            sys.stderr.write("\r" + " " * before + "\r")
            sys.stderr.flush()


class _Plan:
    """Steps of the command that runs, and how long they usually take."""

    def __init__(self, steps: Mapping[str, float | None]) -> None:
        self.names = list(steps)
        self.seconds = [seconds or 0.0 for seconds in steps.values()]
        self.reached = -1
        self.spent = 0.0  # in the steps before

    def enter(self, name: str) -> str:
        """Begin a step; return its number for the line, or nothing if it was not foreseen."""
        if name not in self.names:
            return ""
        self.reached = max(self.reached, self.names.index(name))
        return f"[{self.reached + 1}/{len(self.names)}] " if len(self.names) > 1 else ""

    def later(self) -> float:
        """Seconds that the steps behind this one usually take."""
        return sum(self.seconds[self.reached + 1 :])


_line = _Line()
_plan = _Plan({})


def plan(steps: Mapping[str, float | None]) -> None:
    """Say which steps, that is bars, a command will take, in their order.

    Parameters
    ----------
    steps : mapping of str to float or None
        Names of the bars, and the seconds that each usually takes; None where its own speed will tell.
    """
    global _plan
    _plan = _Plan(steps)
    if steps and _line.name:
        _line.promise(f"{_line.name}: starting")


def starting(name: str) -> None:
    """Say on a terminal that a command begins, until something else is shown.

    A log is told so after :func:`plan`, if the first step takes its time to begin.
    """
    if on_terminal(sys.stderr):
        _line.draw(f"{name}: starting")
    else:
        _line.name = name


def erase() -> None:
    """Erase the line on the terminal, if there is one, so that something else can be printed."""
    _line.erase()


def say(text: str) -> None:
    """Print a line on standard error; a bar goes on below it."""
    erase()
    print(text, file=sys.stderr)


class Bar:
    """Progress of one step.

    Parameters
    ----------
    name : str
        Of the step.
    total : int, optional
        Number of things to be done, if it is known.
    unit : str
        What they are, in the plural.
    progress : bool
        Show anything at all.
    before : int
        How many an earlier run has done: they do not count for the speed.
    resumes : bool
        More may turn out to have been done by an earlier run, so nothing is shown before something new is done.
    overall : bool
        Bars that begin before this one is closed are parts of its next unit: it shows how far they are, they do not.
    """

    _overall: Bar | None = None  # the one that is open

    def __init__(
        self,
        name: str,
        total: int | None = None,
        unit: str = "steps",
        progress: bool = True,
        before: int = 0,
        resumes: bool = False,
        overall: bool = False,
    ) -> None:
        self.name, self.total, self.unit, self.progress = name, total, unit, progress
        self.n = before
        self.before: float = before
        self.part = 0.0  # of the next unit
        self.added = ""
        self._inside = Bar._overall if progress else None
        if overall and progress:
            Bar._overall = self
        self._terminal = progress and on_terminal(sys.stderr)
        self._number = _plan.enter(name) if progress and not self._inside else ""
        self._begin = self._shown = monotonic()
        self._tenth = self._tenths()
        self._lock = Lock()
        self._last = -1  # count that was shown
        self._resumes = resumes
        if progress and not resumes and not self._inside:
            self._show()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, count: int = 1, before: bool = False) -> None:
        """Note that so many more are done, or were done `before` by an earlier run."""
        with self._lock:
            self.n += count
            self.before += count if before else 0
            if self._inside:
                self._inside.within(self, count if before else 0)
                return
            if self.part:  # of the unit that is done now
                self.part, self.added = 0.0, ""
            self._tell(before)

    def within(self, bar: Bar, before: int) -> None:
        """Note how far a bar inside of this one is, and how much of that an earlier run did."""
        with self._lock:
            self.part = max(self.part, min(bar.n / bar.total, 1.0) if bar.total else 0.0)
            self.before += before / bar.total if bar.total else 0.0
            self.added = ", ".join(filter(None, (f"{bar.name} {bar.n}/{bar.total} {bar.unit}", bar.added)))
            self._tell(False)

    def _tell(self, before: bool) -> None:
        """Show the state if it is time to."""
        now, tenth = monotonic(), self._tenths()
        waited = now - self._shown
        due = waited >= REDRAW if self._terminal else tenth > self._tenth or waited >= SILENCE
        if self._resumes:
            due, self._resumes = not before, before
        if self.progress and due:
            self._shown, self._tenth = now, tenth
            self._show()

    def close(self) -> None:
        """Show the last state, if it was not shown; on a terminal it stays unless a plan has further steps."""
        if Bar._overall is self:
            Bar._overall = None
        if not self.progress or self._inside:
            return
        if self._terminal:
            self._show()
            if _plan.names:
                _line.erase()
            else:
                _line.length = 0
                sys.stderr.write("\n")
        elif self.n != self._last:
            self._show()
        _plan.spent += monotonic() - self._begin
        self.progress = False

    def line(self) -> str:
        """State in words: what is done, how long that took, and how long the rest will take."""
        gone = monotonic() - self._begin
        share = "" if not self.total else f"{100 * min(self._position / self.total, 1):.0f}% "
        of = "" if self.total is None else f"/{self.total}"
        times = [f"{_clock(gone)} gone"] if gone >= 1 else []
        if (left := self._left(gone)) is not None and self._position > self.before:
            times.append(f"{_clock(left)} left")
        parts = [f"{share}{self.n}{of} {self.unit}", *times, *([self.added] if self.added else [])]
        return f"{self._number}{self.name}: {', '.join(parts)}"

    def _left(self, gone: float) -> float | None:
        """Seconds that are left of this step and of those that a plan has behind it; None if nobody knows."""
        if self.total is None or self.n >= self.total:
            return None if self.total is None or not _plan.later() else _plan.later()
        if self._position <= self.before:
            return None
        return gone * (self.total - self._position) / (self._position - self.before) + _plan.later()

    @property
    def _position(self) -> float:
        """Number of steps done, with the part of the next one."""
        return self.n + self.part

    def _share(self) -> float:
        """Part of all steps that is done, in time; of this step, by number, as long as no speed is known."""
        here = min(self._position / self.total, 1.0) if self.total else 0.0
        done = self._position - self.before
        whole = (monotonic() - self._begin) * self.total / done if self.total is not None and done > 0 else 0.0
        everything = _plan.spent + whole + _plan.later()
        return (_plan.spent + here * whole) / everything if everything else here

    def _tenths(self) -> int:
        return int(10 * self._position / self.total + 1e-9) if self.total else 0

    def _show(self) -> None:
        self._last = self.n
        if self._terminal:
            done = round(WIDTH * self._share())
            _line.draw(f"[{'#' * done}{'-' * (WIDTH - done)}] {self.line()}")
        else:
            say(self.line())


def track(
    items: Sequence[T] | Iterable[T], name: str, unit: str = "steps", progress: bool = True, total: int | None = None
) -> Iterator[T]:
    """Yield the items, with a bar that counts them."""
    if total is None and isinstance(items, Sequence):
        total = len(items)
    with Bar(name, total, unit, progress) as bar:
        for item in items:
            yield item
            bar.update()


def _clock(seconds: float) -> str:
    """Minutes and seconds, or hours too."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
