"""Run many damaged inputs and tell what became of them, or one of them again.

python -m tests.fuzz --inputs 200 [KIND ...]
python -m tests.fuzz KIND NUMBER
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.fuzz.kinds import KINDS
from tests.fuzz.worker import Outcome, Worker, is_finding, write_input

COLUMNS = ("same", "other", "refused", "generic", "ended", "foreign", "hang", "crash")
HEADS = ("as before", "other value", "refused", "by class", "ended", "foreign", "hangs", "crashes")


def many(kinds: list[str], inputs: int, jobs: int) -> int:
    """Print a table with a row a kind, and under it each finding with what replays it; returns how many there are."""
    print(f"{'kind':<20}{'inputs':>8}" + "".join(f"{head:>12}" for head in HEADS) + f"{'slowest':>10}{'memory':>10}")
    findings: list[str] = []
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        for kind, outcomes in pool.map(lambda kind: (kind, _of(kind, inputs, Path(folder))), kinds):
            counts = Counter(one.what for one in outcomes.values())
            total += counts
            slowest = max(one.seconds for one in outcomes.values())
            memory = max(one.memory for one in outcomes.values()) / 2**20
            numbers = "".join(f"{counts[column]:>12}" for column in COLUMNS)
            print(f"{kind:<20}{inputs:>8}{numbers}{slowest:>8.2f} s{memory:>7.0f} MB", flush=True)
            places: dict[str, list[str]] = defaultdict(list)
            before = len(findings)
            for number, one in outcomes.items():
                if is_finding(kind, one):
                    raised, *frames = one.detail.split(" < ")
                    places[" < ".join([f"{one.what}: {raised.partition(':')[0]}", *frames])].append(str(number))
            findings += [f"{kind!r} {', '.join(some[:4])} ({len(some)}): {place}" for place, some in places.items()]
            print(*findings[before:], sep="\n", end="\n" if findings[before:] else "", flush=True)
    print(f"{'all':<20}{inputs * len(kinds):>8}" + "".join(f"{total[column]:>12}" for column in COLUMNS))
    return len(findings)


def _of(kind: str, inputs: int, folder: Path) -> dict[int, Outcome]:
    with Worker(kind, folder / kind.replace(" ", "_")) as worker:
        try:
            return {number: worker.read(number) for number in range(inputs)}
        except AssertionError as error:
            return {-1: Outcome("foreign", str(error))}


def again(kind: str, number: int) -> None:
    """Read one input in this process, so that its whole traceback is seen."""
    with tempfile.TemporaryDirectory() as folder:
        sound, damaged = Path(folder) / "sound", Path(folder) / "input"
        sound.mkdir()
        KINDS[kind].write(sound)
        print(f"damaged: {write_input(kind, number, sound, damaged).name}")
        began = time.monotonic()
        try:
            print(f"read: {KINDS[kind].read(damaged)!r}"[:1000])
        finally:
            print(f"{time.monotonic() - began:.2f} s")


def main() -> int:
    """Read the words of the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="KIND", help=f"default: all of {', '.join(KINDS)}")
    parser.add_argument("--inputs", type=int, default=200, help="a kind")
    parser.add_argument("--jobs", type=int, default=2, help="kinds at a time")
    given = parser.parse_args()
    if len(given.words) == 2 and given.words[1].isdigit():
        again(given.words[0], int(given.words[1]))
        return 0
    return int(many(given.words or list(KINDS), given.inputs, given.jobs) > 0)


if __name__ == "__main__":
    sys.exit(main())
