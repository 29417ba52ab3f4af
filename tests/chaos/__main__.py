"""`make chaos`: kill medcl at random moments, run the same command again, and compare with what undisturbed runs make.

Every trial is one of scan, prepare, pretrain, reduce, embed and finetune on a small phantom. Its process is killed
(SIGKILL) between its start and its usual end, sometimes once more on the second run; then the same command runs to its
end. Neither a process nor a draft may be left, and the result must be that of a run that nobody disturbed.
"""

import argparse
import itertools
import json
import os
import random
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.chaos.commands import PREPARED, STEPS, Step

_SECONDS = 600  # of one command at most
_GRACE = 10  # seconds in which the children of a killed process have to be gone


def main() -> int:
    """Run all trials; 0 where nothing was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="over all commands")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--only", nargs="+", choices=[step.name for step in STEPS], help="these commands alone")
    given = parser.parse_args()
    os.environ.setdefault("MEDCL_SALT", secrets.token_hex(32))
    os.environ["OMP_NUM_THREADS"] = "1"
    steps = [step for step in STEPS if not given.only or step.name in given.only]
    rng, begun = random.Random(given.seed), time.monotonic()
    kills: Counter[str] = Counter()
    early: Counter[str] = Counter()
    faults: list[str] = []
    told = 0
    with tempfile.TemporaryDirectory(prefix="medcl-chaos-") as temporary:
        base = Path(temporary) / "base"
        usual, wanted = _undisturbed(base)
        turns = itertools.cycle(steps)
        while sum(kills.values()) < given.kills:
            step = next(turns)
            folder = Path(temporary) / "trial"
            _copy(base, folder, step)
            for _ in range(rng.choice([1, 1, 1, 2])):
                killed = _killed(step, folder, rng.uniform(0, 1.1) * usual[step.name])
                kills[step.name] += bool(killed)
                early[step.name] += not killed
                faults += [f"{step.name}: {fault}" for fault in (_left(killed) if killed else [])]
                print(f"{sum(kills.values())} kills, {len(faults)} faults: {step.name}", flush=True)
            code, _ = _run(step.again(folder), folder)
            if code:
                faults.append(f"{step.name}: exit code {code}: {(folder / 'log').read_text()[-500:]}")
            elif step.content(folder) != wanted[step.name]:
                faults.append(f"{step.name}: another result than that of an undisturbed run")
            drafts = [one.name for one in folder.rglob("*") if "medcl-draft" in one.name or "partial" in one.name]
            faults += [f"{step.name}: left {name}" for name in drafts]
            print(*faults[told:], sep="\n", end="\n" if faults[told:] else "", flush=True)
            told = len(faults)
            shutil.rmtree(folder)
    took = time.monotonic() - begun
    for name, count in kills.items():
        print(f"{name:<10} {count:>4} kills, {early[name]} runs that ended before their kill")
    print(json.dumps({"kills": sum(kills.values()), "faults": len(faults), "seconds": round(took)}))
    return bool(faults)


def _undisturbed(base: Path) -> tuple[dict[str, float], dict[str, Any]]:
    """Make everything once: how long each command takes, and what comes of it."""
    base.mkdir()
    usual, wanted = {}, {}
    for step in (*PREPARED, *STEPS):
        code, seconds = _run(step.first(base), base)
        if code:
            raise SystemExit(f"{step.name} fails without any kill:\n{(base / 'log').read_text()}")
        # At once: a later command may add to what this one has made.
        usual[step.name], wanted[step.name] = seconds, step.content(base)
    return usual, wanted


def _copy(base: Path, folder: Path, step: Step) -> None:
    """What a command needs, and nothing that it makes."""
    folder.mkdir()
    for name in step.needs:
        source = base / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)


def _killed(step: Step, folder: Path, after: float) -> int:
    """Run a command and kill it after some seconds; its session, 0 where it had ended before."""
    words = step.again(folder) if (folder / "log").exists() else step.first(folder)
    process = _start(words, folder)
    deadline = time.monotonic() + after
    while time.monotonic() < deadline:
        if os.waitpid(process, os.WNOHANG)[0]:
            return 0
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return process


def _run(words: Sequence[str], folder: Path) -> tuple[int, float]:
    begun = time.monotonic()
    process = _start(words, folder)
    while time.monotonic() - begun < _SECONDS:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), time.monotonic() - begun
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return 99, _SECONDS


def _start(words: Sequence[str], folder: Path) -> int:
    """The command in a process of its own, forked so that no trial waits for imports."""
    process = os.fork()
    if process:
        return process
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    # Children are of this session, whatever becomes of their parents.
    os.setsid()
    code = 98
    try:
        from medcl.cli import main as command

        code = command(words)
        sys.stdout.flush()
    finally:
        os._exit(code)


def _left(session: int) -> list[str]:
    """Processes that have outlived the one whose session they are of."""
    deadline = time.monotonic() + _GRACE
    while (left := _alive(session)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return [f"process {one} outlived its parent" for one in left]


def _alive(session: int) -> list[int]:
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, its_session = (place / "stat").read_text().rsplit(")", 1)[1].split()[:4]
        except OSError:
            continue
        if state != "Z" and int(its_session) == session:
            found.append(int(place.name))
    return found


if __name__ == "__main__":
    sys.exit(main())
