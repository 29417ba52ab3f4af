"""A process that reads damaged inputs one by one, with an end in time and in memory for each."""

import contextlib
import hashlib
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import numpy as np

from medcl.archive.scan import scan
from medcl.data.prepare import prepare
from medcl.errors import MedclError
from medcl.modality.signal.config import SignalConfig
from tests.fuzz.kinds import FRAGILE, KINDS
from tests.fuzz.mutate import damaged

SECONDS = 10.0
"""Of the processor, an input."""
MEMORY = 2 << 30
"""Bytes, an input."""
_STUCK = 120.0  # seconds of the clock, for what waits without working; machines are busy
_GENERIC = "its reader stopped with"

What = Literal["same", "other", "refused", "generic", "foreign", "hang", "ended", "crash"]


@dataclass(frozen=True)
class Outcome:
    """What became of one damaged input.

    Args:
        what: `same` and `other` were read, as before or as something else; `refused` in words that say why; `generic`
            with the class of a foreign exception in the place of words; `foreign` is an exception that is not ours;
            `ended` took its process with it, and the commands refuse it all the same.
        detail: the error, or where it was raised.
        seconds: of the processor.
        memory: bytes beyond those that the process had before.
    """

    what: What
    detail: str = ""
    seconds: float = 0.0
    memory: int = 0


class Worker:
    """Reads inputs of one kind; a process that hangs or dies is replaced.

    Args:
        kind: its name.
        scratch: a folder for the inputs.
    """

    def __init__(self, kind: str, scratch: Path) -> None:
        self.kind, self.scratch = kind, scratch
        self.sound = scratch / "sound"
        if not self.sound.exists():
            self.sound.mkdir(parents=True)
            KINDS[kind].write(self.sound)
        self._process: Any = None
        self._pipe: Any = None

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def read(self, number: int) -> Outcome:
        """What becomes of the input of this number."""
        if self._process is None:
            self._start()
        self._pipe.send(number)
        return self._answer()

    def _start(self) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.fuzz.worker"])
        self._pipe, end = context.Pipe()
        self._process = context.Process(target=_serve, args=(self.kind, self.sound, end), daemon=True)
        self._process.start()
        end.close()
        first = self._answer()
        if first.what != "same":
            raise AssertionError(f"{self.kind}: the sound input cannot be read: {first.detail}")

    def _answer(self) -> Outcome:
        if self._pipe.poll(_STUCK):
            with contextlib.suppress(EOFError, ConnectionError):
                outcome: Outcome = self._pipe.recv()
                return outcome
            self._process.join()
            code, self._process = self._process.exitcode, None
            if code == -signal.SIGPROF:
                return Outcome("hang", f"more than {SECONDS:g} s", SECONDS)
            if self.kind.startswith(FRAGILE) and self._is_quarantined():
                return Outcome("ended", f"exit code {code}")
            return Outcome("crash", f"exit code {code}")
        self._process.kill()
        self._process.join()
        self._process = None
        return Outcome("hang", f"no answer in {_STUCK:g} s", _STUCK)

    def _is_quarantined(self) -> bool:
        """Whether the commands survive what has ended the process, and refuse the record."""
        manifest = scan(self.scratch / "input", salt=b"the salt of the tests", jobs=1)
        if not len(manifest.ok().table):
            return True
        try:
            prepare(manifest.ok(), SignalConfig(sampling_rate=100, channels=["Fz"]), self.scratch / "store", jobs=1)
        except MedclError:
            return True
        return False


def _serve(kind: str, sound: Path, pipe: Connection) -> None:
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    read = KINDS[kind].read
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # Ends the process, whatever it is in.
    try:
        for _ in range(2):  # What is loaded late counts for no input.
            wanted = digest(read(sound))
    except BaseException:
        pipe.send(Outcome("foreign", traceback.format_exc()))
        return
    pipe.send(Outcome("same"))
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    while True:
        number = pipe.recv()
        folder = sound.with_name("input")
        write_input(kind, number, sound, folder)
        pipe.send(_read(read, folder, wanted))


def _read(read: Any, folder: Path, wanted: str) -> Outcome:
    Path("/proc/self/clear_refs").write_text("5")  # The most that was in use begins anew.
    before, began = _memory("VmRSS"), time.process_time()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    what: What
    try:
        found = digest(read(folder))
        what, detail = ("same" if found == wanted else "other"), ""
    except MedclError as error:
        what, detail = ("generic" if _GENERIC in str(error) else "refused"), f"{type(error).__name__}: {error}"
        if what == "generic":
            detail += where(error)
    except SystemExit as error:  # How a parser of commands refuses.
        what, detail = ("refused" if error.code == 2 else "foreign"), f"exit code {error.code}"
    except BaseException as error:
        what, detail = "foreign", f"{type(error).__name__}: {error}"[:300] + where(error)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return Outcome(what, detail, time.process_time() - began, max(0, _memory("VmHWM") - before))


def write_input(kind: str, number: int, sound: Path, folder: Path) -> Path:
    """Write the input of a number: the sound one with one of its files damaged.

    Returns:
        The damaged file.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(sound, folder)
    rng = random.Random(f"{kind} {number}")
    path = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    path.write_bytes(damaged(path.read_bytes(), rng))
    return path


def where(error: BaseException) -> str:
    """The last lines of our code that an exception came through, and the last of all."""
    chain = error.__context__ if error.__context__ is not None and isinstance(error, MedclError) else error
    frames = traceback.extract_tb(chain.__traceback__)
    own = [frame for frame in frames if "/medcl/" in frame.filename][-2:]
    return "".join(f" < {Path(one.filename).name}:{one.lineno}" for one in reversed([*own, *frames[-1:]]))


def digest(value: Any) -> str:
    """A checksum of whatever a reader gives."""
    made = hashlib.blake2b(digest_size=16)
    for part in _parts(value):
        made.update(part)
    return made.hexdigest()


def _parts(value: Any) -> Iterator[bytes]:
    if isinstance(value, np.ndarray) and value.dtype != object:
        yield f"{value.shape} {value.dtype}".encode() + np.ascontiguousarray(value).tobytes()
    elif isinstance(value, dict):
        for name, one in value.items():
            yield repr(name).encode()
            yield from _parts(one)
    elif isinstance(value, list | tuple):
        yield str(len(value)).encode()
        for one in value:
            yield from _parts(one)
    elif hasattr(value, "__dataclass_fields__"):
        yield from _parts({name: getattr(value, name) for name in value.__dataclass_fields__})
    elif isinstance(value, Path):
        yield value.name.encode("utf-8", "surrogateescape")
    else:
        yield repr(value).encode("utf-8", "surrogatepass")


def _memory(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    sys.exit(f"no {name}")


def is_finding(kind: str, outcome: Outcome) -> bool:
    """Whether an outcome is one that no damage may have."""
    return outcome.what in ("generic", "foreign", "hang", "crash") or (KINDS[kind].sealed and outcome.what == "other")
