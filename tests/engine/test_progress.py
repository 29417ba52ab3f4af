"""A bar on a terminal, a line a minute elsewhere, nothing of what is quick."""

import io
import os
import pty
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from medcl.engine import progress as module
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


def test_a_unit_that_takes_long_is_told_of_before_it_is_done(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "EVERY", 0.05)
    monkeypatch.setattr(module, "LOOK", 0.01)
    monkeypatch.setattr(module, "DELAY", 0.01)
    with module.progress("evaluate", 2, "model"):
        time.sleep(0.2)
    told = capfd.readouterr().err.splitlines()
    assert 1 < len(told) < 5
    assert set(told) == {"evaluate: 0 of 2 models (0%)"}


_WORK = """
import medcl.engine.progress as module
module.DELAY, module.LOOK = {delay}, {look}
for _ in module.watched(range({units}), "count", "record"):
    module.time.sleep({pause})
"""


@pytest.mark.parametrize(("delay", "pause", "shown"), [(0.1, 0.02, "20/20"), (60, 0.02, ""), (0.1, 0.5, "0/2 ")])
def test_a_terminal_shows_a_bar_of_what_takes_longer(delay: float, pause: float, shown: str) -> None:
    units = 20 if pause < 0.1 else 2
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    root = Path(__file__).parents[2]
    work = _WORK.format(delay=delay, look=0.15, pause=pause, units=units)
    subprocess.run([sys.executable, "-c", work], stderr=theirs, check=True, cwd=root)
    os.write(theirs, b"end")
    told = os.read(ours, 1 << 16).decode()
    os.close(theirs)
    os.close(ours)
    if shown:
        assert "count: 100%" in told
        assert shown in told
    else:
        assert told == "end"
