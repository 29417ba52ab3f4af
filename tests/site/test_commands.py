"""Every command that a page or the README shows is one that medcl takes, whether it is run or not."""

import re
import shlex
from pathlib import Path

import pytest

from medcl.api import COMMANDS
from medcl.commands import recipe_help
from medcl.commands.parsers import parse, parser_of
from medcl.errors import UsageError
from tests.site.pages import DOCS, FENCE, lines

ROOT = DOCS.parent
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
ELSEWHERE = {"--nnodes", "--node-rank", "--nproc-per-node", "--requeue", "--signal"}
"""Flags of torchrun and SLURM."""
ABSENT = re.compile(r"there is no such file|no such file|it is a folder|cannot be read")
"""Of files that a page only names: a recipe of the reader's own."""


def shown(path: Path) -> list[str]:
    """The lines of blocks that call a command of medcl."""
    found = [line for _, text in FENCE.findall(path.read_text(encoding="utf-8")) for line in lines(text)]
    return [line.strip() for line in found if re.match(r"\s*medcl \w+ ", line)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_flags_of_a_page_are_flags_of_the_command(path: Path) -> None:
    wrong = []
    for line in shown(path):
        name, *words = shlex.split(line, comments=True)[1:]
        if name == "COMMAND":
            continue
        try:
            parse(COMMANDS[name], words)
        except UsageError as error:
            if not ABSENT.search(str(error)):
                wrong.append(f"{line}\n    {error}")
    assert not wrong, "\n".join(wrong)


def known_flags() -> set[str]:
    """Of all commands, of what they show, and of recipes."""
    found = {"--help", "--version", "--config", "--deid-recipe", *recipe_help.known_flags()}
    for command in COMMANDS.values():
        found.update(parser_of(command)._flags())
    return found


def test_flags_within_sentences_and_tables_are_flags_of_a_command() -> None:
    known, wrong = known_flags(), []
    for path in PAGES:
        text = FENCE.sub("", path.read_text(encoding="utf-8"))
        named = {
            flag for code in re.findall(r"`([^`]+)`", text) for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", code)
        }
        # Settings of the inputs of a reader's own recipe have a dot, and are not known here.
        wrong += [f"{path.name}: {flag}" for flag in sorted(named - known - ELSEWHERE) if f"{flag}." not in text]
    assert not wrong


def test_commands_are_found() -> None:
    assert sum(len(shown(path)) for path in PAGES) > 60
