"""What a queue does to a run: the processes that SLURM starts, and the signals that it sends."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_utilities.core.rank_zero import rank_zero_only
from torch.utils.data import Dataset

from medcl.data.loader import loader
from medcl.errors import UsageError
from medcl.pretrain.devices import fabric_for
from medcl.pretrain.recipe import HardwareConfig
from medcl.pretrain.trainer import _stop_asked

BATCH = {"JOB_ID": 7, "JOB_NAME": "medcl", "NTASKS": 1, "NNODES": 1, "PROCID": 0, "LOCALID": 0, "NODEID": 0}
"""Variables of a script that SLURM runs, which has asked for one task."""
STEP = {**BATCH, "STEP_ID": 0, "NTASKS": 8, "NNODES": 2, "NTASKS_PER_NODE": 4, "PROCID": 5, "LOCALID": 1, "NODEID": 1}
"""Those of the sixth of eight tasks that `srun` starts."""


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(rank_zero_only, "rank", 0)  # Fabric sets it, for good

    def describe(variables: dict[str, Any]) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(f"SLURM_{name}", str(value))

    return describe


@pytest.mark.parametrize(
    ("variables", "devices", "nodes", "rank", "processes"),
    [
        (STEP, 4, 2, 5, 8),
        ({**BATCH, "NTASKS": 8}, 1, 1, 0, 1),  # many tasks were asked for, for their cores
        (BATCH, 2, 1, 0, 2),
        ({**BATCH, "STEP_ID": 0}, 2, 1, 0, 2),  # `srun --pty`, or a notebook's server
    ],
)
def test_processes_in_a_job_of_slurm(
    slurm: Any, variables: dict[str, Any], devices: int, nodes: int, rank: int, processes: int
) -> None:
    slurm(variables)
    fabric = fabric_for(HardwareConfig(accelerator="cpu", devices=devices, nodes=nodes))
    assert (fabric.global_rank, fabric.world_size) == (rank, processes)


@pytest.mark.parametrize(
    ("variables", "devices", "nodes"),
    [(STEP, 1, 1), (STEP, 4, 1), ({**BATCH, "NTASKS": 8, "NNODES": 2, "NTASKS_PER_NODE": 4}, 4, 2), (BATCH, 1, 2)],
    ids=["one process", "one node", "no srun", "no srun, one task"],
)
def test_tasks_that_are_not_those_of_the_recipe(
    slurm: Any, variables: dict[str, Any], devices: int, nodes: int
) -> None:
    slurm(variables)
    with pytest.raises(UsageError, match=f"`srun --nodes={nodes} --ntasks-per-node={devices} medcl pretrain"):
        fabric_for(HardwareConfig(accelerator="cpu", devices=devices, nodes=nodes))


@pytest.mark.filterwarnings("error")
def test_one_process_needs_no_srun(slurm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "srun").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fabric_for(HardwareConfig(accelerator="cpu")).world_size == 1


class _Processes(Dataset[Any]):
    """Whose batches are the worker that reads them."""

    def __getitems__(self, rows: list[int]) -> Any:
        return {"index": torch.tensor([os.getpid()])}


class _Rows:
    def batches(self, start: int, stop: int, *, rank: int = 0, world: int = 1) -> Any:
        yield from ([step] for step in range(start, stop))


def test_a_signal_to_all_processes_of_a_job_ends_no_worker() -> None:
    rows: Any = _Rows()
    batches = iter(loader(_Processes(), rows, 0, 40, workers=1))
    worker = int(next(batches)["index"])
    assert worker != os.getpid()
    # Not from this process, whose signal a worker obeys.
    subprocess.run(["kill", "-TERM", str(worker)], check=True)
    assert [int(batch["index"]) for batch in batches] == [worker] * 39
    del batches
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_a_worker_obeys_its_parent() -> None:
    rows: Any = _Rows()
    batches = iter(loader(_Processes(), rows, 0, 40, workers=1))
    next(batches)
    (worker,) = batches._workers  # type: ignore[attr-defined]
    worker.terminate()
    worker.join(5)
    assert worker.exitcode == 0
    del batches


def test_a_second_signal_of_a_queue_does_not_break_the_step() -> None:
    with _stop_asked() as asked:
        assert not asked()
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
