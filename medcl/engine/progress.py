"""How far a command has come: a bar with the time left on a terminal, elsewhere a plain line a minute."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from typing import IO, Any, Protocol, TypeVar

from tqdm.auto import tqdm

DELAY = 2.0
"""Seconds before a bar appears: what takes less needs none."""
EVERY = 60.0
"""Seconds between two lines where there is no terminal."""
LOOK = 5.0
"""Seconds between two looks at what is shown while a unit takes long."""
T = TypeVar("T")


class Progress(Protocol):
    """What counts the work that is done."""

    def update(self, n: int = 1) -> Any:
        """Count `n` more units."""

    def set_postfix(self, ordered_dict: Mapping[str, str], refresh: bool = True) -> Any:
        """Show some numbers beside the count."""


class Lines:
    """A line a minute, for files and queues, which would keep every stroke of a bar.

    Args:
        title: of the work.
        total: number of units; None where it is not known.
        unit: name of one, such as `record`.
        done: units that were finished before.
        stream: that is written to; default: standard error.
        clock: seconds, as `time.monotonic` tells them.
    """

    def __init__(
        self,
        title: str,
        total: int | None,
        unit: str,
        done: int = 0,
        stream: IO[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = self.first = done
        self.told: Mapping[str, str] = {}
        self.stream, self.clock = stream or sys.stderr, clock
        self.begun = self.last = clock()
        self._telling = threading.Lock()

    def update(self, n: int = 1) -> None:
        """Count, and write a line where the last one is a minute old."""
        self.done += n
        self.tell()

    def tell(self) -> None:
        """Write a line where the last one is a minute old."""
        with self._telling:
            now = self.clock()
            if now - self.last >= EVERY:
                self.last = now
                print(self.line(now - self.begun), file=self.stream, flush=True)

    def set_postfix(self, ordered_dict: Mapping[str, str], refresh: bool = True) -> None:
        """Keep the numbers for the next line."""
        self.told = ordered_dict

    def line(self, seconds: float) -> str:
        """The line after some seconds, such as `embed: 1,200 of 4,800 records (25%), 6 min left`."""
        units = f"{self.unit}{'' if (self.total or self.done) == 1 else 's'}"
        parts = [f"{self.done:,} {units}"]
        if self.total:
            parts = [f"{self.done:,} of {self.total:,} {units} ({min(1.0, self.done / self.total):.0%})"]
            if self.done > self.first:
                left = seconds / (self.done - self.first) * max(0, self.total - self.done)
                parts.append(f"{in_words(left)} left")
        parts += [f"{name} {value}" for name, value in self.told.items()]
        return f"{self.title + ': ' if self.title else ''}{', '.join(parts)}"


def in_words(seconds: float) -> str:
    """A duration to two figures at most, such as `40 s`, `6 min`, `3 h 20 min`, `2 d 4 h`."""
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours = round(minutes / 60)
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"


@contextmanager
def progress(
    title: str, total: int | None = None, unit: str = "record", *, done: int = 0, hidden: bool = False
) -> Iterator[Progress]:
    """Show how far some work is while the block runs.

    Args:
        title: of the work, such as the command's name.
        total: number of units; None where it is not known.
        unit: name of one.
        done: units that were finished before.
        hidden: show nothing, as all but the first of several processes do.

    Yields:
        What counts; nothing is shown of work that ends within two seconds.
    """
    if not hidden and not sys.stderr.isatty():
        lines = Lines(title, total, unit, done)
        with _meanwhile(lines.tell):
            yield lines
        return
    # What tqdm shows by itself waits for the first unit, which may take minutes.
    with (
        tqdm(total=total, initial=done, desc=title, unit=unit, disable=hidden, delay=DELAY, leave=None) as bar,
        _meanwhile(bar.refresh),
    ):
        yield bar


@contextmanager
def _meanwhile(tell: Callable[[], Any]) -> Iterator[None]:
    """Call a function every few seconds while the block runs: a single unit may take many minutes."""
    ended = threading.Event()

    def keep() -> None:
        while not ended.wait(max(LOOK, DELAY)):
            tell()

    thread = threading.Thread(target=keep, daemon=True, name="medcl-progress")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def watched(items: Iterable[T], title: str, unit: str = "record", total: int | None = None) -> Iterator[T]:
    """Items one after the other, each of them counted when the next one is asked for."""
    with progress(title, len(items) if isinstance(items, Sized) else total, unit) as bar:
        for one in items:
            yield one
            bar.update()
