import signal
import threading
import time

import pytest

from medcl.errors import UnreadableError
from medcl.modality.foreign import deadline


def parse_for(seconds: float) -> None:
    with deadline(0.1):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass


def test_what_does_not_end_is_given_up() -> None:
    begun = time.monotonic()
    with pytest.raises(UnreadableError, match=r"cannot be read in 0.1 s"):
        parse_for(30)
    assert time.monotonic() < begun + 20
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def parse_and_catch() -> None:
    with deadline(0.1):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                sum(range(1000))
            except Exception:
                continue


def test_a_parser_that_catches_everything_ends_too() -> None:
    begun = time.monotonic()
    with pytest.raises(UnreadableError, match=r"cannot be read in 0.1 s"):
        parse_and_catch()
    assert time.monotonic() < begun + 20


def test_what_ends_in_time_is_left_alone() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with deadline(5):
        done = sum(range(1000))
    assert done == 499500
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert signal.getsignal(signal.SIGALRM) == before


def test_another_thread_has_no_alarm() -> None:
    done = []

    def work() -> None:
        with deadline(0.01):
            time.sleep(0.05)
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
