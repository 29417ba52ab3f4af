"""Workers end with the process that started them, also when that is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_PROCESSES = """
import os, time
from medcl.engine.parallel import run_chunks
from tests.engine.test_watch import tell_and_wait
list(run_chunks(tell_and_wait, range(4), jobs=2, chunk=1))
"""
_LOADER = """
import os, time, torch
from medcl.data.datamodule import loader
class Data(torch.utils.data.Dataset):
    def __getitems__(self, rows):
        os.write(1, b"%d\\n" % os.getpid())
        return rows
class Rows:
    def batches(self, start, stop, *, rank=0, world=1):
        for step in range(start, stop):
            yield [step]
for batch in loader(Data(), Rows(), 0, 1000, 2):
    time.sleep(60)
"""


def tell_and_wait(numbers: range) -> int:
    os.write(1, b"%d\n" % os.getpid())  # in one piece: two processes write to the same pipe
    time.sleep(60)
    return len(numbers)


@pytest.mark.parametrize("code", [_PROCESSES, _LOADER], ids=["processes", "data loader"])
def test_no_worker_outlives_a_parent_that_was_killed(code: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    )
    assert process.stdout is not None
    workers: set[int] = set()
    while len(workers) < 2:
        workers.add(int(process.stdout.readline()))
    assert all(_lives(one) for one in workers)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 10
    while any(_lives(one) for one in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(_lives(one) for one in workers)
    process.stdout.close()


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
