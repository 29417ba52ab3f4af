"""Runs the code of a page of the documentation, as a reader types it."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from medcl import cli

DOCS = Path(__file__).parents[2] / "docs"
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.M | re.S)


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, text) of every block of a page of docs/."""
    return FENCE.findall((DOCS / page).read_text(encoding="utf-8"))


def lines(text: str) -> list[str]:
    """The commands of a block: a backslash continues a line."""
    return [one for one in re.sub(r"\\\n\s*", "", text).splitlines() if one.strip() and not one.startswith("#")]


def run(page: str, folder: Path) -> None:
    """Run the `bash` and `python` blocks of a page one after the other in a folder, which is the current one.

    Commands of medcl run in this process, since a process each would load torch each time.
    """
    for language, text in blocks(page):
        if language == "python":
            exec(compile(text, page, "exec"), {"__name__": "__main__"})  # noqa: S102
        elif language == "bash":
            for line in lines(text):
                words = shlex.split(line, comments=True)
                if words[0] == "medcl":
                    assert cli.main(words[1:]) == 0, line
                elif words[0] == "python" and words[1].endswith(".py"):
                    subprocess.run([sys.executable, *words[1:]], check=True, cwd=folder)
                else:
                    subprocess.run(["bash", "-ec", line], check=True, cwd=folder)
