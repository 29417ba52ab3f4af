"""A cell that a spreadsheet would take for a formula is none in a CSV file, and a number stays one."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

PANEL = Path(__file__).parents[2] / "medcl" / "explore" / "panel.js"


def test_formulas_are_guarded() -> None:
    if shutil.which("node") is None:
        pytest.skip("no node to run the page's functions with")
    source = PANEL.read_text(encoding="utf-8")
    rules = "\n".join(re.findall(r"^  const (?:formula|cell) = .*$", source, re.MULTILINE))
    guarded = ["=1+1", "+1", "@x", "-1+cmd|' /C calc'!A0", "-x", "--1", "\tx", "\rx", "-"]
    plain = ["-1", "-1.5", "-1e-05", "-0,5", "1", "a-b", ""]
    program = f"{rules}\nconsole.log(JSON.stringify({json.dumps(guarded + plain)}.map(cell)))"
    told = json.loads(subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True).stdout)
    assert told[: len(guarded)] == [f'"\'{one}"' for one in guarded]
    assert [one.strip('"') for one in told[len(guarded) :]] == plain
