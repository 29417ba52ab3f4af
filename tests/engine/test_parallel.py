"""Many records in several processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from medcl.engine.parallel import one_at_a_time, run_chunks
from medcl.errors import MedclError, UsageError


def squares(numbers: Sequence[int]) -> list[int]:
    return [number**2 for number in numbers]


def process_of(numbers: Sequence[int]) -> int:
    return os.getpid()


def refuse(numbers: Sequence[int]) -> int:
    raise ValueError(f"cannot work on {numbers[0]}")


def die(numbers: Sequence[int]) -> int:
    os._exit(1)


@pytest.mark.parametrize("jobs", [1, 2, -1])
def test_every_item_is_worked_on_once(jobs: int) -> None:
    found = [value for part in run_chunks(squares, range(100), jobs=jobs, chunk=7) for value in part]
    assert sorted(found) == squares(range(100))


def test_order_is_kept_where_it_is_asked_for() -> None:
    found = [value for part in run_chunks(squares, range(100), jobs=2, chunk=7, ordered=True) for value in part]
    assert found == squares(range(100))


def test_one_chunk_stays_in_this_process_and_several_leave_it() -> None:
    assert set(run_chunks(process_of, range(10), jobs=2, chunk=10)) == {os.getpid()}
    assert os.getpid() not in set(run_chunks(process_of, range(10), jobs=2, chunk=5))
    assert list(run_chunks(process_of, [], jobs=2)) == []


def test_all_cores_are_used_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    assert os.getpid() not in set(run_chunks(process_of, range(10), chunk=5))


def folder_of(numbers: Sequence[int]) -> str:
    return os.getcwd()


def test_processes_are_in_the_folder_of_their_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert set(run_chunks(folder_of, range(4), jobs=2, chunk=1)) == {str(tmp_path / name)}


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_of_the_function_reaches_the_caller(jobs: int) -> None:
    with pytest.raises(ValueError, match="cannot work on"):
        list(run_chunks(refuse, range(10), jobs=jobs, chunk=5))


def test_a_process_that_dies_is_an_error_and_no_endless_wait() -> None:
    with pytest.raises(MedclError, match="fewer --jobs"):
        list(run_chunks(die, range(10), jobs=2, chunk=5))


def die_of_seven(numbers: Sequence[int]) -> list[int]:
    if 7 in numbers:
        os._exit(1)
    return list(numbers)


@pytest.mark.parametrize("chunk", [1, 5])
def test_only_the_item_that_a_process_dies_of_is_lost(chunk: int) -> None:
    parts = run_chunks(die_of_seven, range(40), jobs=2, chunk=chunk, instead=lambda number: [-number])
    found = [value for part in parts for value in part]
    assert sorted(found) == [-7, *(number for number in range(40) if number != 7)]


@pytest.mark.parametrize("chunk", [1, 5])
def test_replaced_results_stay_in_order(chunk: int) -> None:
    parts = run_chunks(die_of_seven, range(40), jobs=2, chunk=chunk, ordered=True, instead=lambda number: [-number])
    assert [value for part in parts for value in part] == [-7 if number == 7 else number for number in range(40)]


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("numbers", [[7], [7, 8], [6, 7, 8, 9]])
def test_an_item_that_ends_its_process_never_ends_this_one(jobs: int, numbers: list[int]) -> None:
    options = {"jobs": jobs, "chunk": 2, "ordered": True, "apart": True}
    parts = run_chunks(die_of_seven, numbers, instead=lambda number: [-number], **options)
    assert [value for part in parts for value in part] == [-7 if number == 7 else number for number in numbers]
    assert os.getpid() not in set(run_chunks(process_of, numbers, **options))
    assert list(run_chunks(process_of, [], **options)) == []


@pytest.mark.parametrize(("jobs", "chunk"), [(0, 1), (-2, 1), (1, 0)])
def test_numbers_that_cannot_be_meant_are_refused(jobs: int, chunk: int) -> None:
    with pytest.raises(UsageError):
        list(run_chunks(squares, range(3), jobs=jobs, chunk=chunk))


def test_who_stops_early_is_not_warned(recwarn: pytest.WarningsRecorder) -> None:
    results = run_chunks(sorted, [3, 1, 2, 5, 4, 6], jobs=2, chunk=1)
    next(results)
    results.close()
    assert not [one for one in recwarn if one.category is UserWarning]


ROOT = Path(__file__).parents[2]
_PROCESSES = """
import os, time
from medcl.engine.parallel import run_chunks
from tests.engine.test_parallel import tell_and_wait
list(run_chunks(tell_and_wait, range(4), jobs=2, chunk=1))
"""
_LOADER = """
import os, time, torch
from medcl.data.loader import loader
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


@one_at_a_time
def drawn(number: int) -> float:
    torch.manual_seed(number)
    time.sleep(0.01)
    return float(torch.rand(()))


def test_threads_of_a_worker_do_not_draw_each_others_numbers() -> None:
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(drawn, [0, 1] * 4))
    assert found == [drawn(0), drawn(1)] * 4
