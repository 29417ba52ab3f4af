"""An end to the reading of a damaged file that would have none."""

import contextlib
import signal
import threading
from collections.abc import Iterator

from medcl.errors import UnreadableError


class _TimeIsUpError(BaseException):
    """No `Exception`: parsers catch those, go on, and have no second alarm."""


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Give up what is still running after some time.

    A count that a damaged header states may send a parser round a billion times. Where there is no alarm (off the main
    thread, on Windows) there is no deadline.

    Args:
        seconds: from now.

    Raises:
        UnreadableError: time is up, wherever the code was by then.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise _TimeIsUpError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except _TimeIsUpError:
        raise UnreadableError(f"damaged file: it cannot be read in {seconds:g} s") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
