"""Help in a screen, all of it on demand, with the default of every option and no word of Python."""

import re

import pytest

from medcl.api import COMMANDS
from medcl.cli import main
from medcl.commands.option_help import _GROUPS
from medcl.commands.parsers import parser_of

LINES = 66
"""What a terminal shows at a time, and the reader turns once."""


def told(capsys: pytest.CaptureFixture[str], command: str, *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help", *words])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_short_and_names_what_it_leaves_out(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    short, everything = told(capsys, command), told(capsys, command, "all")
    assert short.startswith(f"usage: medcl {command}")
    assert len(short.splitlines()) <= LINES
    shown = set(re.findall(r"^  (?:-\w \w+, )?(--[\w.-]+)", short, re.M))
    for action in parser_of(COMMANDS[command])._actions:
        if not action.option_strings or action.dest == "help":
            continue
        flag = action.option_strings[-1]
        assert re.search(rf"{re.escape(flag)}\b", everything), flag
        if flag not in shown and "." not in flag and len(flag) > 2:
            assert flag.replace("-", "") in re.sub(r"[-\s]", "", short), f"{flag} is neither shown nor named"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_tells_its_default_and_no_type_of_python(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    everything = told(capsys, command, "all")
    for odd in ("<class", "%%", "null)", "(type:", "Literal[", "typing.", "PosixPath", "(default: )"):
        assert odd not in everything.partition("settings of a recipe")[0].partition("\nrecipe: ")[0], odd
    for odd in ("<class", "%%", "Literal[", "typing.", "PosixPath", "(default: )"):
        assert odd not in everything
    for action in parser_of(COMMANDS[command])._actions:
        needs_none = action.required or action.dest in ("help", "deid_recipe") or "." in action.dest
        has_place = not action.option_strings
        if not (needs_none or has_place) and "Path to a conf" not in (action.help or ""):
            assert "default" in (action.help or "").lower(), action.dest


@pytest.mark.parametrize("command", _GROUPS)
def test_groups_hold_options_that_there_are(command: str) -> None:
    known = {action.dest for action in parser_of(COMMANDS[command])._actions}
    listed = " ".join(_GROUPS[command].values()).replace("*", "").split()
    assert len(listed) == len(set(listed))
    assert set(listed) <= known, set(listed) - known
