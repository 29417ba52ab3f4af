"""What a command returns: a short text, what it wrote, and the object behind it."""

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from medcl.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")


@dataclass(frozen=True, repr=False)
class Result(Generic[T]):
    """The result of a command. It is taken wherever the path of what was written is: `medcl.explore(medcl.embed(...))`.

    Args:
        text: as the command prints it; names no patient.
        load: returns the object, which `value` keeps.
        path: the file or folder that was written, if any.
    """

    text: str
    load: Callable[[], T]
    path: Path | None = None

    @cached_property
    def value(self) -> T:
        """The manifest, the embeddings, the numbers."""
        return self.load()

    def __fspath__(self) -> str:
        """The path of what was written.

        Raises:
            UsageError: nothing was.
        """
        if self.path is None:
            raise UsageError("this result was not written to a file: give output=")
        return str(self.path)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return re.sub(r"\x1b\[[\d;]*m", "", self.text)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


def printed(show: "Callable[[Console], None]") -> str:
    """What a function prints on the console, with the styles that the terminal has."""
    from medcl.evaluate.wording import console_of

    console = console_of()
    with console.capture() as captured:
        show(console)
    return captured.get()
