"""Many records on a Dask cluster: two workers, each a process of its own."""

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from medcl.engine.parallel import run_chunks
from medcl.errors import MedclError, UsageError

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    # Two deaths of one item are enough.
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as made,
    ):
        yield made


def squares(numbers: Sequence[int]) -> list[int]:
    return [number**2 for number in numbers]


def process_of(numbers: Sequence[int]) -> int:
    time.sleep(0.05)
    return os.getpid()


def refuse(numbers: Sequence[int]) -> int:
    raise ValueError(f"cannot work on {numbers[0]}")


def die_once(numbers: Sequence[Any]) -> list[int]:
    """Ends the worker that meets 7 first."""
    for number, folder in numbers:
        if number == 7:
            try:
                (folder / "died").mkdir()
            except FileExistsError:
                continue
            os.kill(os.getpid(), signal.SIGKILL)
    return [number for number, _ in numbers]


def die_of_seven(numbers: Sequence[int]) -> list[int]:
    if 7 in numbers:
        os.kill(os.getpid(), signal.SIGKILL)
    return list(numbers)


def minus(number: int) -> list[int]:
    return [-number]


@pytest.mark.parametrize("ordered", [True, False])
def test_every_item_is_worked_on_once_by_processes_of_the_cluster(cluster: Any, ordered: bool) -> None:
    address = cluster.scheduler_address
    parts = run_chunks(squares, range(100), chunk=7, ordered=ordered, cluster=address)
    found = [value for part in parts for value in part]
    assert (found if ordered else sorted(found)) == squares(range(100))
    assert len(set(run_chunks(process_of, range(8), chunk=1, cluster=address)) - {os.getpid()}) == 2


def test_a_worker_that_is_killed_in_mid_run_loses_nothing(cluster: Any, tmp_path: Path) -> None:
    items = [(number, tmp_path) for number in range(60)]
    found = [one for part in run_chunks(die_once, items, chunk=3, cluster=cluster.scheduler_address) for one in part]
    assert (tmp_path / "died").is_dir()
    assert sorted(found) == list(range(60))


def test_only_the_item_that_workers_die_of_is_replaced(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)  # starting a worker takes seconds
    address = cluster.scheduler_address
    found = [v for part in run_chunks(die_of_seven, range(12), chunk=3, instead=minus, cluster=address) for v in part]
    assert sorted(found) == [-7, *(number for number in range(12) if number != 7)]


def test_an_error_of_the_function_reaches_the_caller(cluster: Any) -> None:
    with pytest.raises(ValueError, match="cannot work on"):
        list(run_chunks(refuse, range(10), chunk=5, cluster=cluster.scheduler_address))


def test_who_stops_early_leaves_no_work_behind(cluster: Any) -> None:
    results = run_chunks(process_of, range(200), chunk=1, cluster=cluster.scheduler_address)
    next(results)
    results.close()
    with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
        assert not any(client.processing().values())


def test_a_cluster_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medcl.engine.cluster._CONNECT", 0.5)
    with pytest.raises(MedclError, match="no scheduler answers"):
        list(run_chunks(squares, range(3), cluster="tcp://127.0.0.1:9"))
    with pytest.raises(UsageError, match="no address of a scheduler"):
        list(run_chunks(squares, range(3), cluster="nonsense://x"))


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"pip install 'medcl\[cluster\]'"):
        list(run_chunks(squares, range(3), cluster="tcp://127.0.0.1:9"))
