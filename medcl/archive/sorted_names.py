"""Sets of names that need not fit into memory."""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

from medcl.errors import MedclError

_AT_ONCE = 8192  # names that are sorted before they are put among the others, so that few pages are touched
_TABLE = """
PRAGMA journal_mode = OFF;
PRAGMA cache_size = -512;
CREATE TABLE names (name BLOB PRIMARY KEY) WITHOUT ROWID;
"""


class SortedNames:
    """A set of text, such as paths, sorted by code points as by `sorted`.

    It lies in a temporary file without a name, which ends with the process; about 1 MB of it is in memory, however many
    names there are. One thread may go through it while another one uses it.

    Args:
        names: that are in it from the start.

    Raises:
        MedclError: of every method: the temporary folder is full.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._new: list[bytes] = []
        self._base = sqlite3.connect("", check_same_thread=False)
        self._base.executescript(_TABLE)
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """Put in a name; one that is there stays."""
        self._new.append(_bytes(name))
        if len(self._new) >= _AT_ONCE:
            self._save()

    def pop(self, *, last: bool = False) -> str | None:
        """Take out the first name, or the last one; None where there is none."""
        ((name,),) = self._ask(f"SELECT {'MAX' if last else 'MIN'}(name) FROM names")
        if name is None:
            return None
        self._base.execute("DELETE FROM names WHERE name = ?", (name,))
        return _text(name)

    def __contains__(self, name: object) -> bool:
        return any(self._ask("SELECT 1 FROM names WHERE name = ?", _bytes(str(name))))

    def __iter__(self) -> Iterator[str]:
        return (_text(name) for (name,) in self._ask("SELECT name FROM names ORDER BY name"))

    def __len__(self) -> int:
        return sum(number for (number,) in self._ask("SELECT COUNT(*) FROM names"))

    def _ask(self, question: str, *values: bytes) -> Iterator[tuple[Any, ...]]:
        self._save()
        return self._base.execute(question, values)

    def _save(self) -> None:
        if self._new:
            new, self._new = sorted(self._new), []
            try:
                self._base.executemany("INSERT OR IGNORE INTO names VALUES (?)", ((name,) for name in new))
            except sqlite3.Error as error:
                raise MedclError("temporary folder: names of files cannot be kept: the disk takes no more") from error


def _bytes(name: str) -> bytes:
    # Bytes that are not UTF-8 are half characters in the names of Python; so they keep their place in the order.
    return name.encode("utf-8", "surrogatepass")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogatepass")
