"""A bar on a terminal, a line a minute elsewhere, nothing of what is quick."""

import io
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from medcl.engine.progress import Lines, in_words, watched


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_there_is_a_line_a_minute_with_the_time_left() -> None:
    clock, stream = Clock(), io.StringIO()
    lines = Lines("embed", 1000, "record", stream=stream, clock=clock)
    for _ in range(250):
        clock.now += 0.5
        lines.update()
    assert stream.getvalue().splitlines() == [
        "embed: 120 of 1,000 records (12%), 7 min left",
        "embed: 240 of 1,000 records (24%), 6 min left",
    ]


def test_what_was_done_before_does_not_count_for_the_pace() -> None:
    lines = Lines("", 100, "step", done=80, stream=io.StringIO(), clock=Clock())
    lines.update(10)
    lines.set_postfix({"loss": "0.5"})
    assert lines.line(30) == "90 of 100 steps (90%), 30 s left, loss 0.5"


def test_an_unknown_number_is_counted() -> None:
    lines = Lines("scan", None, "file", stream=io.StringIO(), clock=Clock())
    lines.update(1200)
    assert lines.line(60) == "scan: 1,200 files"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (89, "89 s"), (91, "2 min"), (5300, "88 min"), (12_000, "3 h 20 min"), (187_200, "2 d 4 h")],
)
def test_durations_are_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_what_is_watched_is_unchanged_and_quick_work_shows_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(watched(range(3), "count")) == [0, 1, 2]
    assert list(watched(iter("ab"), "count", total=2)) == ["a", "b"]
    assert capfd.readouterr().err == ""


_WORK = """
import medcl.engine.progress as module
module.DELAY = {delay}
for _ in module.watched(range(20), "count", "record"):
    module.time.sleep(0.02)
"""


@pytest.mark.parametrize(("delay", "shown"), [(0.1, True), (60, False)])
def test_a_terminal_shows_a_bar_of_what_takes_longer(delay: float, shown: bool) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", _WORK.format(delay=delay)], stderr=theirs, check=True, cwd=root)
    os.write(theirs, b"end")
    told = os.read(ours, 1 << 16).decode()
    os.close(theirs)
    os.close(ours)
    if shown:
        assert "count: 100%" in told
        assert "20/20" in told
    else:
        assert told == "end"
