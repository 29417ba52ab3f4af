"""Every command that a page or the README shows is one that medcl takes, whether it is run or not."""

import re
import shlex
from pathlib import Path

import pytest

from medcl.api import COMMANDS
from medcl.commands.parsers import parse
from medcl.errors import UsageError
from tests.site.pages import DOCS, FENCE, lines

ROOT = DOCS.parent
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
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


def test_commands_are_found() -> None:
    assert sum(len(shown(path)) for path in PAGES) > 60
